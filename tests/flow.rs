//! Requested, approved, validated: what people and programs can do through the flow, and what they cannot.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "flow/answers.rs"]
mod answers;
#[cfg(unix)]
#[path = "flow/control.rs"]
mod control;
#[path = "flow/forgery.rs"]
mod forgery;
#[path = "flow/forms.rs"]
mod forms;
#[path = "flow/handlers.rs"]
mod handlers;
#[path = "flow/kills.rs"]
mod kills;
#[path = "flow/list.rs"]
mod list;
#[path = "flow/policy.rs"]
mod policy;
#[path = "flow/races.rs"]
mod races;
#[path = "flow/requests.rs"]
mod requests;
#[path = "flow/time.rs"]
mod time;
#[path = "flow/undo.rs"]
mod undo;
#[path = "flow/webhooks.rs"]
mod webhooks;

use std::time::Duration;

use annals::{Actor, Durability, Event, Flow, NoteRules, Outcome, Query, Request, RequestId, Store, Ticketed};
use serde_json::{Value, json};

/// A store whose table `notes` has rules, and its flow.
pub(crate) struct Pod {
    pub(crate) store: Store,
    pub(crate) flow: Flow,
    _directory: tempfile::TempDir,
}

pub(crate) fn pod() -> Pod {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::options()
        .durability(Durability::Written { sync_every: Duration::from_millis(50) })
        .open(directory.path())
        .unwrap();
    let flow = Flow::builder(&store).table("notes", NoteRules).start().unwrap();
    Pod { store, flow, _directory: directory }
}

pub(crate) fn alice() -> Actor {
    Actor::user("alice")
}

pub(crate) fn bob() -> Actor {
    Actor::user("bob")
}

pub(crate) fn scribe() -> Actor {
    Actor::agent("scribe").on_behalf_of("alice")
}

impl Pod {
    /// A note of alice.
    pub(crate) fn note(&self, id: &str, content: &str) -> Ticketed {
        let create = Request::create("notes", &json!({ "content": content })).id(id).by(alice());
        let made = self.flow.request(create).unwrap();
        assert!(matches!(self.outcome(made.request), Outcome::Validated { .. }));
        made
    }

    pub(crate) fn update(&self, id: &str, content: &str, by: Actor) -> RequestId {
        self.flow.request(Request::update("notes", id, &json!({ "content": content })).by(by)).unwrap().request
    }

    pub(crate) fn outcome(&self, request: RequestId) -> Outcome {
        self.flow.outcome(request, Duration::ZERO).unwrap()
    }

    /// The outcome, once there is one.
    pub(crate) fn end(&self, request: RequestId) -> Outcome {
        self.flow.outcome(request, Duration::from_secs(10)).unwrap()
    }

    pub(crate) fn digest(&self, request: RequestId) -> String {
        let pending = self.flow.pending(1000).unwrap();
        pending.into_iter().find(|pending| pending.request == request).unwrap().digest
    }

    pub(crate) fn approve(&self, request: RequestId, by: Actor) -> annals::Result<annals::Answered> {
        self.flow.approve(request, self.digest(request), by, "ok")
    }

    /// The row of a note, `null` where there is none.
    pub(crate) fn row(&self, subject: &str) -> Value {
        let state = self.store.reader().document(subject).unwrap().and_then(|loaded| loaded.state.document);
        state.map_or(Value::Null, |document| serde_json::from_str(&document.to_json()).unwrap())
    }

    /// The types of a subject's events, in order.
    pub(crate) fn types(&self, subject: &str) -> Vec<String> {
        self.events(&Query::all().subject(subject)).iter().map(|event| event.event_type().to_owned()).collect()
    }

    pub(crate) fn events(&self, query: &Query) -> Vec<Event> {
        self.store.reader().read(query).collect::<Result<_, _>>().unwrap()
    }
}
