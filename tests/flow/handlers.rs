//! Rules that do more than compute: they run behind the approval, once it is durable, while nothing is held.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use annals::sim::ManualClock;
use annals::{
    Actor, Answered, Change, Durability, ErrorKind, Flow, Grant, Outcome, Refusal, Request, RequestId, Rules,
    StaleBecause, Store, Ticketed,
};
use serde_json::{Value, json};

use super::{alice, scribe};

type Answer = Box<dyn FnMut(&Change<'_>) -> Result<(), Refusal> + Send>;

/// Rules that send something away, and what the test has them answer.
struct Sends {
    runs: Arc<AtomicU32>,
    answer: Mutex<Answer>,
}

impl Rules for Sends {
    fn name(&self) -> &str {
        "sends"
    }

    fn check(&self, _: &Change<'_>) -> Result<Option<Vec<u8>>, Refusal> {
        panic!("nobody asks them before the change is approved");
    }

    fn execute(&self, change: &Change<'_>) -> Result<(), Refusal> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        (self.answer.lock().unwrap_or_else(std::sync::PoisonError::into_inner))(change)
    }

    fn is_pure(&self) -> bool {
        false
    }
}

struct Office {
    clock: Arc<ManualClock>,
    store: Store,
    flow: Flow,
    runs: Arc<AtomicU32>,
    _directory: tempfile::TempDir,
}

fn office(background: bool, answer: impl FnMut(&Change<'_>) -> Result<(), Refusal> + Send + 'static) -> Office {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(1_700_000_000_000_000_000));
    // Nothing is synced but what somebody asks for.
    let durability = Durability::Written { sync_every: Duration::from_secs(3600) };
    let store = Store::options().clock(clock.clone()).durability(durability).open(directory.path()).unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let rules = Sends { runs: Arc::clone(&runs), answer: Mutex::new(Box::new(answer)) };
    let flow = Flow::builder(&store).table("letters", rules).background(background).start().unwrap();
    Office { clock, store, flow, runs, _directory: directory }
}

impl Office {
    fn create(&self, id: &str) -> Ticketed {
        self.flow.request(Request::create("letters", &json!({"text": "A"})).id(id).by(alice())).unwrap()
    }

    fn update(&self, id: &str, text: &str, by: Actor) -> RequestId {
        self.flow.request(Request::update("letters", id, &json!({ "text": text })).by(by)).unwrap().request
    }

    fn approve(&self, request: RequestId) -> Answered {
        let waiting = self.flow.pending(10).unwrap();
        let digest = waiting.into_iter().find(|pending| pending.request == request).unwrap().digest;
        self.flow.approve(request, digest, alice(), "ok").unwrap()
    }

    fn outcome(&self, request: RequestId) -> Outcome {
        self.flow.outcome(request, Duration::ZERO).unwrap()
    }

    fn settled(&self, request: RequestId) -> Outcome {
        self.flow.settle().unwrap();
        self.outcome(request)
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    fn text(&self, id: &str) -> Value {
        let state = self.store.reader().document(&format!("letter/{id}")).unwrap();
        let document = state.and_then(|loaded| loaded.state.document);
        document.map_or(Value::Null, |document| serde_json::from_str(&document.to_json()).unwrap())["text"].clone()
    }
}

#[test]
fn they_run_behind_the_approval_and_then_the_change_is_made() {
    let office = office(false, |change| {
        assert!(change.current().is_none() && change.after().unwrap().field("text").is_some());
        Ok(())
    });
    let made = office.create("l").request;
    assert_eq!((office.outcome(made), office.runs()), (Outcome::Pending, 0));
    assert!(matches!(office.settled(made), Outcome::Validated { .. }));
    assert_eq!((office.runs(), office.text("l")), (1, json!("A")));
    office.flow.settle().unwrap();
    assert_eq!(office.runs(), 1);
}

#[test]
fn what_a_person_approved_is_carried_out_later_and_can_be_taken_back_until_then() {
    let office = office(false, |_| Ok(()));
    office.create("l");
    office.flow.settle().unwrap();
    let wish = office.update("l", "B", scribe());
    assert_eq!(office.settled(wish), Outcome::Pending);
    assert_eq!(office.approve(wish).outcome, Outcome::Pending);
    assert_eq!((office.runs(), office.text("l")), (1, json!("A")));
    assert!(matches!(office.settled(wish), Outcome::Validated { .. }));
    assert_eq!((office.runs(), office.text("l")), (2, json!("B")));
    let other = office.update("l", "C", scribe());
    office.approve(other);
    for neither in [super::bob(), Actor::agent("alice")] {
        assert_eq!(office.flow.withdraw(other, neither).unwrap_err().kind(), ErrorKind::Denied);
    }
    office.flow.withdraw(other, alice()).unwrap();
    assert_eq!((office.settled(other), office.runs(), office.text("l")), (Outcome::Withdrawn, 2, json!("B")));
}

#[test]
fn what_was_approved_on_something_that_has_changed_since_is_not_carried_out() {
    let office = office(false, |_| Ok(()));
    office.create("l");
    office.flow.settle().unwrap();
    let (first, second) = (office.update("l", "B", alice()), office.update("l", "C", alice()));
    assert!(matches!(office.settled(first), Outcome::Validated { .. }));
    assert!(matches!(office.outcome(second), Outcome::Stale { because: StaleBecause::Basis, event: Some(_) }));
    assert_eq!((office.runs(), office.text("l")), (2, json!("B")));
}

#[test]
fn a_grant_that_is_revoked_and_a_time_that_passes_stop_what_they_had_let_through() {
    let office = office(false, |_| Ok(()));
    for id in ["l", "m"] {
        office.create(id);
    }
    office.flow.settle().unwrap();
    let grant = office.flow.grant(Grant::to("scribe").action("letters.update"), alice()).unwrap();
    let wish = office.update("l", "B", scribe());
    assert_eq!((office.outcome(wish), office.flow.pending_for(&alice(), 10).unwrap().len()), (Outcome::Pending, 0));
    let revoked = office.flow.revoke(grant, alice()).unwrap();
    let stale = Outcome::Stale { because: StaleBecause::Grant, event: Some(revoked) };
    assert_eq!(office.settled(wish), stale);
    let update = Request::update("letters", "m", &json!({"text": "B"})).by(alice());
    let late = office.flow.request(update.execute_by(Duration::from_secs(60))).unwrap().request;
    office.clock.advance(60_000_000_000);
    assert!(matches!(office.settled(late), Outcome::Stale { because: StaleBecause::Deadline, .. }));
    assert_eq!(office.runs(), 2);
}

#[test]
fn what_is_refused_for_good_fails_and_what_is_not_there_now_is_tried_again() {
    let mut tries = 0;
    let office = office(false, move |change| {
        tries += 1;
        match (change.subject(), tries) {
            ("letter/never", _) => Err(Refusal::for_good("no such address")),
            (_, 1) => Err(Refusal::for_now("the post is closed")),
            (_, 2) => panic!("the pen broke (this is part of the test)"),
            _ => Ok(()),
        }
    });
    let later = office.create("l").request;
    assert_eq!((office.settled(later), office.runs()), (Outcome::Pending, 1));
    let Outcome::Pending = office.settled(later) else { panic!("it panicked, so it has not said anything") };
    assert!(matches!(office.settled(later), Outcome::Validated { .. }));
    let never = office.create("never").request;
    assert_eq!(office.settled(never), Outcome::Failed { reason: "no such address".to_owned() });
    assert_eq!(office.runs(), 4);
}

#[test]
fn they_hold_up_nobody_and_see_a_durable_approval() {
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let office = office(true, move |change| {
        begun.send(change.subject().to_owned()).unwrap();
        may_go_on.recv_timeout(Duration::from_secs(20)).map_err(|_| Refusal::for_good("nobody else could do anything"))
    });
    let letter = office.create("l");
    let subject = has_begun.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(subject, letter.subject);
    assert!(office.store.reader().durable() >= letter.position, "the approval can still be lost");
    // Others go on meanwhile.
    let tag = office.flow.request(Request::create("tags", &json!({"name": "A"})).by(alice())).unwrap();
    assert!(matches!(office.outcome(tag.request), Outcome::Validated { .. }));
    go_on.send(()).unwrap();
    let end = office.flow.outcome(letter.request, Duration::from_secs(20)).unwrap();
    assert!(matches!(end, Outcome::Validated { .. }), "{end:?}");
}

#[test]
fn who_changes_the_row_while_they_run_is_first() {
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let office = office(true, move |_| {
        begun.send(()).unwrap();
        let _ = may_go_on.recv_timeout(Duration::from_secs(20));
        Ok(())
    });
    let letter = office.create("l").request;
    has_begun.recv_timeout(Duration::from_secs(20)).unwrap();
    office.flow.withdraw(letter, alice()).unwrap();
    go_on.send(()).unwrap();
    office.flow.settle().unwrap();
    assert_eq!((office.outcome(letter), office.text("l")), (Outcome::Withdrawn, Value::Null));
}
