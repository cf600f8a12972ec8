//! What becomes of a request at once.

use annals::{Action, Actor, ErrorKind, Outcome, Phase, Query, Request};
use serde_json::{Value, json};

use super::{alice, bob, pod, scribe};

#[test]
fn a_users_own_write_goes_straight_through_in_one_append() {
    let pod = pod();
    let made = pod.note("n-1", "A");
    assert_eq!(pod.types("note/n-1"), ["notes.create.requested", "notes.create.approved", "notes.create.validated"]);
    let events = pod.events(&Query::all().subject("note/n-1"));
    assert_eq!(events[0].position(), made.request);
    assert_eq!(made.position, events[2].position());
    assert!(events[1..].iter().all(|event| event.causation() == Some(made.request)));
    // One append: recorded at one moment, and nothing between.
    assert!(events.iter().all(|event| event.recorded_at() == events[0].recorded_at()));
    assert_eq!(pod.row("note/n-1"), json!({"content": "A"}));
    let approved: Value = events[1].json().unwrap();
    assert_eq!(approved["rule"], "default/create");
    assert_eq!(events[2].actor().unwrap().to_string(), "user:alice");
    assert_eq!(events[2].data(), br#"{"content":"A"}"#);
}

#[test]
fn an_update_is_a_merge_patch_and_a_delete_takes_the_row_away() {
    let pod = pod();
    let create = Request::create("notes", &json!({"content": "A", "tags": {"x": 1, "y": 2}})).id("n-1").by(alice());
    pod.flow.request(create).unwrap();
    let patch = json!({"content": "B", "tags": {"x": null, "z": 3}});
    let made = pod.flow.request(Request::update("notes", "n-1", &patch).by(alice())).unwrap();
    assert!(matches!(pod.outcome(made.request), Outcome::Validated { .. }));
    assert_eq!(pod.row("note/n-1"), json!({"content": "B", "tags": {"y": 2, "z": 3}}));
    let made = pod.flow.request(Request::delete("notes", "n-1").by(alice())).unwrap();
    assert!(matches!(pod.outcome(made.request), Outcome::Validated { .. }));
    assert_eq!(pod.row("note/n-1"), Value::Null);
    let gone = pod.update("n-1", "C", alice());
    assert!(matches!(pod.outcome(gone), Outcome::Rejected { .. } | Outcome::Failed { .. }), "{:?}", pod.outcome(gone));
    // It can be created again, by anybody then.
    let again = pod.flow.request(Request::create("notes", &json!({"content": "D"})).id("n-1").by(bob())).unwrap();
    assert!(matches!(pod.outcome(again.request), Outcome::Validated { .. }));
    assert_eq!(pod.row("note/n-1"), json!({"content": "D"}));
}

#[test]
fn a_row_without_an_id_gets_one_that_orders_by_time() {
    let pod = pod();
    let create = || Request::create("notes", &json!({"content": "A"})).by(alice());
    let subjects: Vec<String> = (0..20).map(|_| pod.flow.request(create()).unwrap().subject).collect();
    assert!(subjects.is_sorted());
    assert!(subjects.iter().all(|subject| subject.len() == "note/".len() + 36));
}

#[test]
fn what_the_rules_of_the_table_refuse_fails_and_nobody_is_asked() {
    let pod = pod();
    let long = "x".repeat(10_001);
    let create = Request::create("notes", &json!({ "content": long })).id("n-1");
    let made = pod.flow.request(create.clone().by(alice())).unwrap();
    let Outcome::Failed { reason } = pod.outcome(made.request) else { panic!("{:?}", pod.outcome(made.request)) };
    assert_eq!(reason, "content has 10001 characters; a note has 10000 at most");
    assert_eq!(pod.types("note/n-1"), ["notes.create.requested", "notes.create.approved", "notes.create.failed"]);
    let made = pod.flow.request(create.by(scribe())).unwrap();
    assert!(matches!(pod.outcome(made.request), Outcome::Rejected { by, .. } if by == "rule rules/notes"));
    assert_eq!(pod.row("note/n-1"), Value::Null);
    assert!(pod.flow.pending(10).unwrap().is_empty());
    // As many characters as are allowed, though more bytes.
    let made =
        pod.flow.request(Request::create("notes", &json!({ "content": "ü".repeat(10_000) })).by(alice())).unwrap();
    assert!(matches!(pod.outcome(made.request), Outcome::Validated { .. }));
}

#[test]
fn a_live_row_is_not_created_again_and_a_missing_one_not_changed() {
    let pod = pod();
    pod.note("n-1", "A");
    let twice = pod.flow.request(Request::create("notes", &json!({})).id("n-1").by(alice())).unwrap();
    assert!(matches!(pod.outcome(twice.request), Outcome::Failed { reason } if reason == "note/n-1 is there already"));
    // Nobody's row is another's, so that is what a user is told first.
    let missing = pod.update("n-2", "B", alice());
    assert!(matches!(pod.outcome(missing), Outcome::Rejected { .. } | Outcome::Failed { .. }));
    assert_eq!(pod.row("note/n-1"), json!({"content": "A"}));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_written() {
    let pod = pod();
    let tail = pod.store.reader().tail();
    let kind = |request: Request| pod.flow.request(request).unwrap_err().kind();
    assert_eq!(kind(Request::create("nots", &json!({})).by(alice())), ErrorKind::Invalid);
    assert_eq!(kind(Request::create("notes", &json!([1])).by(alice())), ErrorKind::Invalid);
    assert_eq!(kind(Request::create("notes", &json!({}))), ErrorKind::Invalid);
    assert_eq!(kind(Request::update("notes", "", &json!({})).by(alice())), ErrorKind::Invalid);
    assert_eq!(kind(Request::create("notes", &json!({})).meta("annals.owner", "bob").by(alice())), ErrorKind::Reserved);
    let error = pod.flow.request(Request::create("Notes", &json!({})).by(alice())).unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.hint()),
        ("no table is called \"Notes\"", Some("did you mean notes?"))
    );
    assert_eq!(pod.store.reader().tail(), tail);
}

#[test]
fn the_same_key_makes_one_request_however_often_it_is_sent() {
    let pod = pod();
    let create = || Request::create("notes", &json!({"content": "A"})).by(alice()).key("once");
    let first = pod.flow.request(create()).unwrap();
    let again = pod.flow.request(create()).unwrap();
    assert!(!first.duplicate && again.duplicate);
    assert_eq!((first.request, &first.subject, first.position), (again.request, &again.subject, again.position));
    let other = Request::create("notes", &json!({"content": "B"})).by(alice()).key("once");
    assert_eq!(pod.flow.request(other).unwrap_err().kind(), ErrorKind::KeyReused);
    let other = Request::create("notes", &json!({"content": "A"})).by(bob()).key("once");
    assert_eq!(pod.flow.request(other).unwrap_err().kind(), ErrorKind::KeyReused);
    // An agent's, which was approved meanwhile.
    let wish = || {
        Request::update("notes", first.subject.trim_start_matches("note/"), &json!({"content": "C"}))
            .by(scribe())
            .key("k2")
    };
    let asked = pod.flow.request(wish()).unwrap();
    pod.approve(asked.request, alice()).unwrap();
    let again = pod.flow.request(wish()).unwrap();
    assert_eq!((again.request, again.duplicate), (asked.request, true));
    assert_eq!(pod.types(&first.subject).iter().filter(|name| name.ends_with("requested")).count(), 2);
}

#[test]
fn a_request_for_a_version_is_refused_on_another() {
    let pod = pod();
    pod.note("n-1", "A");
    let update =
        |version: u64| Request::update("notes", "n-1", &json!({"content": "B"})).by(alice()).if_version(version);
    let error = pod.flow.request(update(2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.to_string(), "note/n-1 has to be at version 2, but it is at version 1");
    let made = pod.flow.request(update(1)).unwrap();
    assert!(matches!(pod.outcome(made.request), Outcome::Validated { .. }));
    assert_eq!(pod.flow.request(update(1)).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn a_request_that_was_appended_raw_is_decided_like_any_other() {
    let pod = pod();
    pod.note("n-1", "A");
    let raw = |actor: Actor, data: Value| {
        let event = annals::NewEvent::json("notes.update.requested", "note/n-1", &data).unwrap().actor(actor);
        pod.store.append([event]).unwrap().first
    };
    let own = raw(alice(), json!({"content": "B"}));
    assert!(matches!(pod.end(own), Outcome::Validated { .. }));
    let others = raw(bob(), json!({"content": "C"}));
    assert!(matches!(pod.end(others), Outcome::Rejected { .. }));
    let no_object = raw(alice(), json!(7));
    assert!(matches!(pod.end(no_object), Outcome::Rejected { by, .. } if by == "rule flow/form"));
    let agents = raw(scribe(), json!({"content": "D"}));
    let asked = std::iter::repeat_with(|| pod.flow.pending_for(&alice(), 10).unwrap())
        .find(|waiting| !waiting.is_empty())
        .unwrap();
    assert_eq!((asked[0].request, asked[0].state), (agents, Phase::Asked));
    assert_eq!(pod.row("note/n-1"), json!({"content": "B"}));
}

#[test]
fn numbers_keep_their_digits_through_the_flow() {
    let pod = pod();
    let data = br#"{"n":12345678901234567890.123456789012345678901234567890,"m":1e400}"#;
    let create = Request::from_json("notes", annals::Action::Create, Some("n-1".to_owned()), data.to_vec()).by(alice());
    pod.flow.request(create).unwrap();
    let row = pod.store.reader().document("note/n-1").unwrap().unwrap().state.document.unwrap();
    assert_eq!(row.to_json().as_bytes(), data);
}

#[test]
fn data_that_an_action_does_not_take_is_refused_and_nothing_is_written() {
    let pod = pod();
    pod.note("n-1", "A");
    let tail = pod.store.reader().tail();
    for (action, data, reason) in [
        (Action::Delete, "{}", "a delete takes no data"),
        (Action::Update, "", "update takes a JSON object"),
        (Action::Update, "[1]", "update takes a JSON object"),
        (Action::Create, "", "create takes a JSON object"),
        (Action::Create, "7", "create takes a JSON object"),
    ] {
        let id = if action == Action::Create { "n-2" } else { "n-1" };
        let error = pod.flow.request(Request::from_json("notes", action, Some(id.to_owned()), data).by(alice()));
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    assert_eq!(pod.store.reader().tail(), tail);
    let delete = Request::from_json("notes", Action::Delete, Some("n-1".to_owned()), "").by(alice());
    assert!(matches!(pod.outcome(pod.flow.request(delete).unwrap().request), Outcome::Validated { .. }));
}
