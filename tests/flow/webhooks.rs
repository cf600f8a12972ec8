//! Work orders: one for each change that somebody wants to be told of, in the append of the change.

use annals::{Query, Request};
use serde_json::{Value, json};

use super::{alice, pod, scribe};

#[test]
fn a_change_that_a_live_subscription_matches_makes_one_work_order() {
    let pod = pod();
    let hook = |id: &str, row: Value| {
        pod.flow.request(Request::create("webhookSubscriptions", &row).id(id).by(alice())).unwrap();
    };
    hook("all-notes", json!({"url": "http://127.0.0.1:9/a", "events": ["notes.*.validated"], "active": true}));
    hook("deletes", json!({"url": "http://127.0.0.1:9/b", "events": ["notes.delete.validated"]}));
    hook("off", json!({"url": "http://127.0.0.1:9/c", "events": ["**"], "active": false}));
    hook("broken", json!({"events": "notes"}));
    let orders = || pod.events(&Query::all().types(["webhooks.deliver.requested"]));
    assert!(orders().is_empty());
    let made = pod.note("n-1", "A");
    let first = orders();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].subject(), "webhookSubscription/all-notes");
    let validated = pod.store.reader().event(first[0].causation().unwrap()).unwrap().unwrap();
    assert_eq!((validated.event_type(), validated.causation()), ("notes.create.validated", Some(made.request)));
    assert_eq!(validated.recorded_at(), first[0].recorded_at());
    assert_eq!(
        first[0].json::<Value>().unwrap(),
        json!({"subscription": "webhookSubscription/all-notes", "url": "http://127.0.0.1:9/a",
               "type": "notes.create.validated", "subject": "note/n-1"})
    );
    // What is only asked for tells nobody.
    let wish = pod.flow.request(Request::delete("notes", "n-1").by(scribe())).unwrap().request;
    assert_eq!(orders().len(), 1);
    pod.approve(wish, alice()).unwrap();
    assert_eq!(orders().len(), 3);

    // An update that switches one off and on again keeps what it left out; a deleted one is told nothing.
    let change = |id: &str, patch: Value| {
        pod.flow.request(Request::update("webhookSubscriptions", id, &patch).by(alice())).unwrap();
    };
    change("all-notes", json!({"active": false}));
    pod.note("n-2", "A");
    assert_eq!(orders().len(), 3);
    change("all-notes", json!({"active": true}));
    pod.note("n-3", "A");
    assert_eq!(orders().len(), 4);
    pod.flow.request(Request::delete("webhookSubscriptions", "all-notes").by(alice())).unwrap();
    pod.note("n-4", "A");
    assert_eq!(orders().len(), 4);
    // A raw request is told of too.
    let raw = annals::NewEvent::bytes("notes.delete.requested", "note/n-4", "", []).actor(alice());
    let raw = pod.store.append([raw]).unwrap().first;
    assert!(matches!(pod.end(raw), annals::Outcome::Validated { .. }));
    assert_eq!(orders().len(), 5);
}

#[test]
fn what_was_kept_is_gone_on_from_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = annals::Store::open(directory.path()).unwrap();
    let start = |store| annals::Flow::builder(store).agent_waiting_max(3).start().unwrap();
    let flow = start(&store);
    let row = json!({"url": "http://127.0.0.1:9/a", "events": ["tags.*.validated"]});
    flow.request(Request::create("webhookSubscriptions", &row).id("h").by(alice())).unwrap();
    let wish = |flow: &annals::Flow| flow.request(Request::create("tags", &json!({})).by(scribe()));
    (0..2).for_each(|_| drop(wish(&flow).unwrap()));
    drop(flow);
    store.close().unwrap();
    let kept = directory.path().join("projections/annals.flow.state");
    assert!(kept.exists());

    let store = annals::Store::open(directory.path()).unwrap();
    let flow = start(&store);
    // Two wait and not four, so a third may; and who is told is still known.
    wish(&flow).unwrap();
    assert_eq!(wish(&flow).unwrap_err().kind(), annals::ErrorKind::Denied);
    flow.request(Request::create("tags", &json!({"name": "A"})).by(alice())).unwrap();
    let orders = Query::all().types(["webhooks.deliver.requested"]);
    assert_eq!(store.reader().count(&orders).unwrap(), 1);
}
