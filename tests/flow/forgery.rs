//! What somebody might try to get a change made without an approval. None of it does.

use std::time::Duration;

use annals::{
    Actor, AppendError, ErrorKind, Flow, Grant, ImportEvent, ImportOptions, NewEvent, Outcome, Phase, Request, Role,
    Store,
};
use serde_json::json;

use super::{alice, bob, pod, scribe};

#[test]
fn the_source_of_an_event_decides_nothing() {
    let pod = pod();
    pod.note("n-1", "A");
    for source in ["user:alice", "alice", "system:flow", "annals"] {
        let update = Request::update("notes", "n-1", &json!({"content": "B"})).by(scribe()).source(source);
        let made = pod.flow.request(update).unwrap();
        assert_eq!(pod.outcome(made.request), Outcome::Pending);
    }
    assert_eq!(pod.row("note/n-1"), json!({"content": "A"}));
}

#[test]
fn decisions_and_outcomes_cannot_be_appended() {
    let pod = pod();
    pod.note("n-1", "A");
    let wish = pod.update("n-1", "B", scribe());
    let tail = pod.store.reader().tail();
    for phase in Phase::ALL.into_iter().filter(|phase| *phase != Phase::Requested) {
        for table in ["notes", "apiKeys", "entities"] {
            let name = format!("{table}.update.{phase}");
            let event =
                NewEvent::json(&name, "note/n-1", &json!({"content": "B"})).unwrap().actor(alice()).caused_by(wish);
            let refused = pod.store.append([event]).unwrap_err();
            assert!(matches!(&refused, AppendError::Reserved(reserved) if *reserved == name), "{refused}");
        }
    }
    for name in [
        "notes.update.done",
        "notes.change.validated",
        "notes.updated.requested",
        "annals.grant.given",
        "annals.role.set",
        "annals.flow.denied",
    ] {
        let event = NewEvent::json(name, "note/n-1", &json!({})).unwrap().actor(alice());
        assert_eq!(pod.store.append([event]).unwrap_err().kind(), ErrorKind::Reserved, "{name}");
    }
    let order = NewEvent::json("webhooks.deliver.requested", "webhookSubscription/w", &json!({})).unwrap();
    for actor in [alice(), scribe(), Actor::external("x")] {
        assert_eq!(pod.store.append([order.clone().actor(actor)]).unwrap_err().kind(), ErrorKind::Denied);
    }
    assert_eq!(pod.store.reader().tail(), tail);
    // All else is free.
    for name in ["note.created", "notes.read", "notes.read.often", "notes.a.b.c", "other.update.validated", "notes"] {
        pod.store.append([NewEvent::json(name, "note/n-1", &json!({})).unwrap()]).unwrap();
    }
    assert_eq!(pod.row("note/n-1"), json!({"content": "A"}));
}

#[test]
fn the_boundary_holds_in_a_bare_store_and_with_a_new_table_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let event = || NewEvent::json("notes.create.validated", "note/n-1", &json!({})).unwrap();
    store.append([event()]).unwrap();
    store.add_table(annals::Table::new("notes").adopting("note.created", annals::Action::Create), alice()).unwrap();
    assert_eq!(store.append([event()]).unwrap_err().kind(), ErrorKind::Reserved);
    let adopted =
        |actor: Actor| store.append([NewEvent::json("note.created", "note/n-2", &json!({})).unwrap().actor(actor)]);
    assert!(adopted(alice()).is_ok() && adopted(Actor::system("app")).is_ok());
    for actor in [scribe(), Actor::external("x"), Actor::unknown("alice")] {
        assert_eq!(adopted(actor).unwrap_err().kind(), ErrorKind::Denied);
    }
    store.close().unwrap();
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.append([event()]).unwrap_err().kind(), ErrorKind::Reserved);
}

/// A store's own history, exported and brought into another one.
#[test]
fn what_was_imported_has_no_force() {
    let one = pod();
    one.note("n-1", "A");
    one.flow.grant(Grant::to("scribe"), alice()).unwrap();
    one.flow.set_role("mallory", "7", Role::Owner, Actor::user("mallory")).unwrap();
    one.flow.set_policy("[[rule]]\nname = 'all'\nthen = 'approve'\n", alice()).unwrap();
    let open = one.flow.request(Request::create("tags", &json!({"name": "x"})).by(Actor::external("x"))).unwrap();
    assert!(matches!(one.outcome(open.request), Outcome::Validated { .. }));
    one.flow.set_policy("", alice()).unwrap();
    let asked = one.update("n-1", "B", Actor::external("x"));
    assert_eq!(one.outcome(asked), Outcome::Pending);

    let mut lines = Vec::new();
    for event in one.store.reader().read(&annals::Query::all()) {
        let mut line = Vec::new();
        annals::write_event(&event.unwrap().as_ref(), &mut line);
        lines.push(ImportEvent::from_json(&line).unwrap());
    }
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let count = lines.len() as u64;
    let report = store.import(lines, ImportOptions::new()).unwrap();
    assert_eq!(report.appended, count);
    let flow = Flow::builder(&store).table("notes", annals::NoteRules).start().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert!(flow.pending(10).unwrap().is_empty(), "what was asked elsewhere waits for nobody here");
    assert!(flow.grants().unwrap().is_empty() && flow.roles().unwrap().is_empty());
    assert_eq!(flow.policy().unwrap().rules, "");
    // Rows and tables count.
    let row = store.reader().document("note/n-1").unwrap().unwrap().state.document.unwrap();
    assert_eq!(row.to_json(), r#"{"content":"A"}"#);
    let wish = flow.request(Request::update("notes", "n-1", &json!({"content": "C"})).by(scribe())).unwrap();
    assert_eq!(flow.outcome(wish.request, Duration::ZERO).unwrap(), Outcome::Pending);
    let own = flow.request(Request::update("notes", "n-1", &json!({"content": "D"})).by(alice())).unwrap();
    assert!(
        matches!(flow.outcome(own.request, Duration::ZERO).unwrap(), Outcome::Validated { .. }),
        "alice is its owner"
    );
    // The request that was asked elsewhere cannot be answered here, whatever is named.
    let history = store.reader().event_by_id(&one.store.reader().event(asked).unwrap().unwrap().id()).unwrap().unwrap();
    let old = one.digest(asked);
    assert_eq!(flow.approve(history.position(), old, alice(), "").unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(flow.reject(history.position(), alice(), "").unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn a_request_that_is_sent_again_with_its_key_is_not_made_again() {
    let pod = pod();
    pod.note("n-1", "A");
    let update = || Request::update("notes", "n-1", &json!({"content": "B"})).by(scribe()).key("replayed");
    let wish = pod.flow.request(update()).unwrap();
    pod.approve(wish.request, alice()).unwrap();
    pod.update("n-1", "C", alice());
    let again = pod.flow.request(update()).unwrap();
    assert_eq!((again.request, again.duplicate), (wish.request, true));
    assert_eq!(pod.row("note/n-1"), json!({"content": "C"}));
    assert!(pod.flow.pending(10).unwrap().is_empty());
}

#[test]
fn tags_of_a_request_move_nothing() {
    let pod = pod();
    pod.flow.set_role("mallory", "8", Role::Owner, Actor::user("mallory")).unwrap();
    pod.note("n-1", "A");
    let mallory = Actor::user("mallory");
    let update = Request::update("notes", "n-1", &json!({"content": "B"})).by(mallory.clone()).tag("workspace:8");
    let made = pod.flow.request(update).unwrap();
    assert!(matches!(pod.outcome(made.request), Outcome::Rejected { .. }));
    let made = pod.flow.request(Request::update("notes", "n-1", &json!({})).by(mallory.on_behalf_of("alice"))).unwrap();
    assert!(matches!(pod.outcome(made.request), Outcome::Rejected { .. }), "for whom somebody acts gives no right");
    assert_eq!(pod.row("note/n-1"), json!({"content": "A"}));
    let _ = bob();
}
