//! Rules that give a change another form: what is shown, approved and made is that form.

use std::time::Duration;

use annals::{Change, Durability, Flow, Outcome, Query, Refusal, Request, RequestId, Rules, Store};
use serde_json::{Value, json};

use super::{alice, scribe};

/// Rules that take the spaces around a text away, and make of an empty one what is no change.
struct Trims;

impl Rules for Trims {
    fn name(&self) -> &str {
        "trims"
    }

    fn check(&self, change: &Change<'_>) -> Result<Option<Vec<u8>>, Refusal> {
        let asked: Value =
            serde_json::from_slice(change.data()).map_err(|error| Refusal::for_good(error.to_string()))?;
        let text = asked["text"].as_str().unwrap_or_default().trim().to_owned();
        Ok(Some(if text.is_empty() { b"[]".to_vec() } else { json!({ "text": text }).to_string().into_bytes() }))
    }
}

struct Desk {
    store: Store,
    flow: Flow,
    directory: tempfile::TempDir,
}

fn opened(directory: tempfile::TempDir) -> Desk {
    let durability = Durability::Written { sync_every: Duration::from_millis(50) };
    let store = Store::options().durability(durability).open(directory.path()).unwrap();
    let flow = Flow::builder(&store).table("memos", Trims).start().unwrap();
    Desk { store, flow, directory }
}

impl Desk {
    fn request(&self, request: Request) -> RequestId {
        self.flow.request(request).unwrap().request
    }

    /// The data of a request's event of this phase.
    fn said(&self, request: RequestId, phase: &str) -> Value {
        let of = Query::all().caused_by(request);
        let events = self.store.reader().read(&of).collect::<annals::Result<Vec<_>>>().unwrap();
        events.iter().find(|event| event.event_type().ends_with(phase)).unwrap().json().unwrap()
    }

    fn outcome(&self, request: RequestId) -> Outcome {
        self.flow.outcome(request, Duration::ZERO).unwrap()
    }

    fn text(&self) -> Value {
        let state = self.store.reader().document("memo/m").unwrap().unwrap().state.document.unwrap();
        serde_json::from_str::<Value>(&state.to_json()).unwrap()["text"].clone()
    }
}

fn create(text: &str) -> Request {
    Request::create("memos", &json!({ "text": text })).id("m").by(alice())
}

#[test]
fn what_the_rules_made_of_it_is_approved_and_made_and_the_request_stays_as_it_was() {
    let desk = opened(tempfile::tempdir().unwrap());
    let made = desk.request(create("  A "));
    assert!(matches!(desk.outcome(made), Outcome::Validated { .. }));
    let requested = desk.store.reader().event(made).unwrap().unwrap();
    assert_eq!(requested.json::<Value>().unwrap(), json!({"text": "  A "}));
    assert_eq!(desk.said(made, ".approved")["change"], json!({"text": "A"}));
    assert_eq!(desk.said(made, ".validated"), json!({"text": "A"}));
    assert_eq!(desk.text(), "A");
    // What they leave as it is stands in the log once.
    let same = desk.request(Request::update("memos", "m", &json!({"text": "B"})).by(alice()));
    assert_eq!(desk.said(same, ".approved").get("change"), None);
    assert_eq!(desk.text(), "B");
}

#[test]
fn what_the_rules_made_of_it_is_shown_and_still_known_after_a_restart() {
    let desk = opened(tempfile::tempdir().unwrap());
    desk.request(create("A"));
    let wish = desk.request(Request::update("memos", "m", &json!({"text": " B"})).by(scribe()));
    assert_eq!(desk.said(wish, ".asked")["change"], json!({"text": "B"}));
    let Desk { store, flow, directory } = desk;
    drop(flow);
    store.close().unwrap();
    let desk = opened(directory);
    let asked = &desk.flow.pending_for(&alice(), 10).unwrap()[0];
    let shown: Vec<_> = asked.differences.iter().map(|c| (c.path.as_str(), c.to.as_deref())).collect();
    assert_eq!((asked.request, shown), (wish, vec![("text", Some("\"B\""))]));
    desk.flow.approve(wish, &asked.digest, alice(), "").unwrap();
    assert_eq!(desk.said(wish, ".validated"), json!({"text": "B"}));
    assert_eq!(desk.text(), "B");
}

#[test]
fn rules_that_make_what_is_no_change_are_the_reason_why_it_is_not_made() {
    let desk = opened(tempfile::tempdir().unwrap());
    let empty = desk.request(create("  "));
    let outcome = format!("{:?}", desk.outcome(empty));
    assert!(outcome.contains("the rules made of it what is no change"), "{outcome}");
    assert!(desk.store.reader().document("memo/m").unwrap().is_none_or(|loaded| loaded.state.document.is_none()));
}
