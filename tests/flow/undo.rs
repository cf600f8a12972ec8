//! Taking a change back.

use annals::{Actor, ErrorKind, Outcome, Request};
use serde_json::{Value, json};

use super::{alice, bob, pod, scribe};

#[test]
fn an_update_is_undone_in_the_fields_that_it_set() {
    let pod = pod();
    let create = Request::create("notes", &json!({"content": "A", "deep": {"x": 1, "y": 2}, "kept": true})).id("n-1");
    pod.flow.request(create.by(alice())).unwrap();
    let patch = json!({"content": "B", "deep": {"x": 5, "z": 6}, "new": [1]});
    let change = pod.flow.request(Request::update("notes", "n-1", &patch).by(alice())).unwrap();
    pod.flow.request(Request::update("notes", "n-1", &json!({"kept": false, "deep": {"y": 3}})).by(alice())).unwrap();
    let undone = pod.flow.undo(change.request, alice()).unwrap();
    assert!(matches!(pod.outcome(undone.request), Outcome::Validated { .. }));
    assert_eq!(pod.row("note/n-1"), json!({"content": "A", "deep": {"x": 1, "y": 3}, "kept": false}));
    let again = pod.flow.undo(undone.request, alice()).unwrap();
    assert!(matches!(pod.outcome(again.request), Outcome::Validated { .. }));
    assert_eq!(
        pod.row("note/n-1"),
        json!({"content": "B", "deep": {"x": 5, "y": 3, "z": 6}, "kept": false, "new": [1]})
    );
}

#[test]
fn what_was_changed_since_is_not_undone_and_it_says_by_whom() {
    let pod = pod();
    pod.note("n-1", "A");
    let change = pod.update("n-1", "B", alice());
    let wish = pod.update("n-1", "C", scribe());
    pod.approve(wish, alice()).unwrap();
    let error = pod.flow.undo(change, alice()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("note/n-1 content was changed since by agent:scribe at position"), "{error}");
    assert_eq!(pod.row("note/n-1"), json!({"content": "C"}));
}

#[test]
fn a_delete_is_undone_with_id_and_owner_and_a_create_with_a_delete() {
    let pod = pod();
    let made = pod.note("n-1", "A");
    let gone = pod.flow.request(Request::delete("notes", "n-1").by(alice())).unwrap();
    assert_eq!(pod.flow.undo(made.request, alice()).unwrap_err().kind(), ErrorKind::Conflict);
    let back = pod.flow.undo(gone.request, bob()).unwrap();
    assert!(matches!(pod.outcome(back.request), Outcome::Validated { .. }));
    assert_eq!(back.subject, "note/n-1");
    assert_eq!(pod.row("note/n-1"), json!({"content": "A"}));
    assert!(matches!(pod.outcome(pod.update("n-1", "bob's?", bob())), Outcome::Rejected { .. }), "it is alice's again");
    let off = pod.flow.undo(back.request, alice()).unwrap();
    assert!(matches!(pod.outcome(off.request), Outcome::Validated { .. }));
    assert_eq!(pod.row("note/n-1"), Value::Null);
}

#[test]
fn an_undo_is_decided_like_any_other_request() {
    let pod = pod();
    pod.note("n-1", "A");
    let change = pod.update("n-1", "B", alice());
    let wish = pod.flow.undo(change, scribe()).unwrap();
    assert_eq!(pod.outcome(wish.request), Outcome::Pending);
    let strangers = pod.flow.undo(change, bob()).unwrap();
    assert!(matches!(pod.outcome(strangers.request), Outcome::Rejected { .. }));
    pod.approve(wish.request, alice()).unwrap();
    assert_eq!(pod.row("note/n-1"), json!({"content": "A"}));
    let rejected = strangers.request;
    assert_eq!(pod.flow.undo(rejected, alice()).unwrap_err().kind(), ErrorKind::Conflict, "it changed nothing");
    let _ = Actor::user("x");
}
