//! Deadlines, on a clock that the test sets.

use std::sync::Arc;
use std::time::Duration;

use annals::sim::ManualClock;
use annals::{Actor, ErrorKind, Flow, Outcome, Request, StaleBecause, Store};
use serde_json::json;

use super::{alice, scribe};

const START: i64 = 1_700_000_000_000_000_000;
const HOUR: i64 = 3600 * 1_000_000_000;

struct Timed {
    clock: Arc<ManualClock>,
    store: Store,
    flow: Flow,
    directory: tempfile::TempDir,
}

fn timed() -> Timed {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(START));
    let (store, flow) = open(&directory, &clock);
    let timed = Timed { clock, store, flow, directory };
    timed.flow.request(Request::create("tags", &json!({"name": "A"})).id("t").by(alice())).unwrap();
    timed
}

fn open(directory: &tempfile::TempDir, clock: &Arc<ManualClock>) -> (Store, Flow) {
    let store = Store::options().clock(clock.clone()).open(directory.path()).unwrap();
    let flow = Flow::builder(&store).background(false).start().unwrap();
    (store, flow)
}

impl Timed {
    fn wish(&self, request: Request) -> annals::RequestId {
        self.flow.request(request.by(scribe())).unwrap().request
    }

    fn outcome(&self, id: annals::RequestId) -> Outcome {
        self.flow.outcome(id, Duration::ZERO).unwrap()
    }

    fn digest(&self, id: annals::RequestId) -> String {
        let waiting = self.flow.pending(10).unwrap();
        waiting.into_iter().find(|pending| pending.request == id).unwrap().digest
    }
}

#[test]
fn nobody_answers_in_time_and_it_reads_so_before_it_is_written() {
    let timed = timed();
    let wish = timed.wish(Request::update("tags", "t", &json!({"name": "B"})).answer_by(Duration::from_secs(7200)));
    let digest = timed.digest(wish);
    timed.clock.advance(HOUR);
    timed.flow.settle().unwrap();
    assert_eq!(timed.outcome(wish), Outcome::Pending);
    timed.clock.advance(HOUR);
    let tail = timed.store.reader().tail();
    assert_eq!(timed.outcome(wish), Outcome::Expired);
    assert!(timed.flow.pending(10).unwrap().is_empty());
    assert_eq!(timed.flow.explain(wish).unwrap().outcome, Outcome::Expired);
    assert_eq!(timed.flow.trace(wish).unwrap().outcome, Outcome::Expired);
    assert_eq!(timed.flow.requests(10).unwrap().pop().unwrap().outcome, Outcome::Expired);
    assert_eq!(timed.flow.approve(wish, &digest, alice(), "").unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(timed.store.reader().tail(), tail, "nothing was written yet");
    timed.flow.settle().unwrap();
    assert_eq!(timed.outcome(wish), Outcome::Expired);
    assert_eq!(timed.store.reader().event(tail.next()).unwrap().unwrap().event_type(), "tags.update.expired");
    timed.flow.settle().unwrap();
    assert_eq!(timed.store.reader().tail(), tail.next(), "once");
}

#[test]
fn a_deadline_survives_a_restart() {
    let timed = timed();
    let wish = timed.wish(Request::update("tags", "t", &json!({"name": "B"})).answer_by(Duration::from_secs(7200)));
    let Timed { clock, store, flow, directory } = timed;
    drop(flow);
    store.close().unwrap();
    clock.advance(HOUR);
    let (store, flow) = open(&directory, &clock);
    assert_eq!(flow.outcome(wish, Duration::ZERO).unwrap(), Outcome::Pending);
    drop(flow);
    store.close().unwrap();
    clock.advance(HOUR);
    let (_store, flow) = open(&directory, &clock);
    flow.settle().unwrap();
    assert_eq!(flow.outcome(wish, Duration::ZERO).unwrap(), Outcome::Expired);
}

#[test]
fn what_was_to_be_done_by_then_is_not_done_later() {
    let timed = timed();
    let wish = timed.wish(Request::update("tags", "t", &json!({"name": "B"})).execute_by(Duration::from_secs(3600)));
    let digest = timed.digest(wish);
    timed.clock.advance(HOUR);
    assert_eq!(timed.flow.approve(wish, &digest, alice(), "").unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(timed.outcome(wish), Outcome::Stale { because: StaleBecause::Deadline, event: None });
    let stale = annals::Query::all().caused_by(wish).types(["tags.update.stale"]);
    assert_eq!(timed.store.reader().count(&stale).unwrap(), 0, "nothing was written yet");
    timed.flow.settle().unwrap();
    assert_eq!(timed.store.reader().count(&stale).unwrap(), 1);
    let late = Request::update("tags", "t", &json!({"name": "C"}))
        .by(alice())
        .execute_by(annals::Timestamp::from_nanos(START));
    let late = timed.flow.request(late).unwrap();
    assert!(matches!(timed.outcome(late.request), Outcome::Rejected { by, .. } if by == "rule flow/deadline"));
    let in_time = Request::update("tags", "t", &json!({"name": "D"})).by(alice()).execute_by(Duration::from_secs(1));
    let in_time = timed.flow.request(in_time).unwrap();
    assert!(matches!(timed.outcome(in_time.request), Outcome::Validated { .. }));
}

#[test]
fn a_clock_that_jumps_ahead_ends_nothing() {
    let timed = timed();
    let wish = timed.wish(Request::update("tags", "t", &json!({"name": "B"})).answer_by(Duration::from_secs(7200)));
    timed.clock.set_wall(START + 10 * 365 * 24 * HOUR);
    timed.flow.settle().unwrap();
    assert_eq!(timed.outcome(wish), Outcome::Pending);
    timed.flow.approve(wish, timed.digest(wish), alice(), "").unwrap();
    assert!(matches!(timed.outcome(wish), Outcome::Validated { .. }));
    let _ = Actor::user("x");
}

#[test]
fn a_clock_that_was_set_back_is_not_before_what_is_recorded() {
    let timed = timed();
    timed.clock.advance(2 * HOUR);
    timed.flow.request(Request::update("tags", "t", &json!({"name": "later"})).by(alice())).unwrap();
    let Timed { clock, store, flow, directory } = timed;
    drop(flow);
    store.close().unwrap();
    clock.set_wall(START);
    let (_store, flow) = open(&directory, &clock);
    let late = Request::update("tags", "t", &json!({"name": "B"})).by(alice());
    let late = late.execute_by(annals::Timestamp::from_nanos(START + HOUR));
    let made = flow.request(late).unwrap();
    let outcome = flow.outcome(made.request, Duration::ZERO).unwrap();
    assert!(matches!(outcome, Outcome::Rejected { by, .. } if by == "rule flow/deadline"));
}

#[test]
fn of_a_change_and_the_end_of_the_time_the_first_counts() {
    let stale = |outcome: &Outcome| matches!(outcome, Outcome::Stale { because: StaleBecause::Basis, .. });
    for (before_the_end, ends) in [(1, stale as fn(&Outcome) -> bool), (0, |outcome| *outcome == Outcome::Expired)] {
        let timed = timed();
        let wish = timed.wish(Request::update("tags", "t", &json!({"name": "B"})).answer_by(Duration::from_secs(3600)));
        timed.clock.advance(HOUR - before_the_end);
        timed.flow.request(Request::update("tags", "t", &json!({"name": "C"})).by(alice())).unwrap();
        timed.clock.advance(HOUR);
        assert!(ends(&timed.outcome(wish)), "{before_the_end}: {:?}", timed.outcome(wish));
        timed.flow.settle().unwrap();
        assert!(ends(&timed.outcome(wish)), "{before_the_end}: {:?}", timed.outcome(wish));
        let ended = if before_the_end > 0 { "tags.update.stale" } else { "tags.update.expired" };
        let written = annals::Query::all().caused_by(wish).types([ended]);
        assert_eq!(timed.store.reader().count(&written).unwrap(), 1, "{ended}");
    }
}

#[test]
fn the_log_hears_of_what_has_run_out_though_nobody_asks() {
    let pod = super::pod();
    pod.note("n-1", "A");
    let update = Request::update("notes", "n-1", &json!({"content": "B"})).by(scribe());
    let wish = pod.flow.request(update.answer_by(Duration::from_millis(50))).unwrap().request;
    let expired = annals::Query::all().caused_by(wish).types(["notes.update.expired"]);
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while pod.store.reader().count(&expired).unwrap() == 0 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
}
