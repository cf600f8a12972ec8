//! The flow: every change is requested, approved and validated, and each of the three is an event.
//!
//! Invariants:
//! - The log is the only state. What the flow remembers is a fold of it ([`index`]), and nothing is appended but under
//!   the condition that nothing that matters came behind what was looked at ([`engine`]).
//! - Where a request may go from where it stands is one table ([`transition`]).
//! - Only actors decide: what an event calls its source has no part in it, and what was imported has no force.
//! - A change is made only as it was shown: an approval names the digest of it ([`digest`]).

mod answer;
mod authority;
mod builder;
mod carry;
mod command;
mod control;
mod decide;
mod digest;
mod drive;
mod engine;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod grant;
mod index;
mod keep;
mod life;
mod list;
mod make;
mod outcome;
mod pattern;
mod payload;
mod policy;
mod policy_test;
mod proposer;
mod request;
mod rows;
mod rules;
mod rulings;
mod runner;
mod show;
mod transition;
mod undo;
mod wanted;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::actor::Actor;
use crate::error::Result;
use crate::feed::StartAt;
use crate::query::Query;
use crate::store::Store;

pub use authority::Role;
pub use builder::FlowBuilder;
pub use command::{Command, Reply};
pub use grant::{GivenGrant, Grant, GrantId};
pub use list::RequestEntry;
pub use outcome::{AlreadyDecided, Answered, Outcome, OutcomeFields, Ticketed};
pub use payload::StaleBecause;
pub use policy::{DefaultPolicy, Policy, Proposal, Rule, RuleSet, Then, Verdict};
pub use policy_test::{PolicyDifference, PolicyTest};
pub use proposer::{Asks, Proposer};
pub use request::{Deadline, Request, RequestId};
pub use rules::{Change, NoteRules, Refusal, Rules, SecretRules};
pub use rulings::{PolicyInForce, RoleEntry};
pub use show::{Decision, Explanation, Page, Pending, Trace};

use engine::Engine;
use runner::Runner;

/// The flow of a store: requests come in, policy and people decide, changes are made; and all of it is in the log.
///
/// A handle is cheap to clone and may be shared between threads. The last one that goes stops the flow's thread; what
/// is not done then is done when a flow is started again.
///
/// ```
/// use annals::{Actor, Flow, NoteRules, Outcome, Request, Store};
/// use serde_json::json;
/// use std::time::Duration;
///
/// # let directory = tempfile::tempdir()?;
/// let store = Store::open(directory.path())?;
/// let flow = Flow::builder(&store).table("notes", NoteRules).start()?;
///
/// // A user's own write goes straight through.
/// let note = flow.request(Request::create("notes", &json!({"content": "A"})).id("n-1").by(Actor::user("alice")))?;
/// assert!(matches!(flow.outcome(note.request, Duration::ZERO)?, Outcome::Validated { .. }));
///
/// // An agent's waits for a person, who approves what they saw.
/// let scribe = Actor::agent("scribe").on_behalf_of("alice");
/// let wish = flow.request(Request::update("notes", "n-1", &json!({"content": "B"})).by(scribe))?;
/// let asked = &flow.pending_for(&Actor::user("alice"), 10)?[0];
/// assert_eq!(asked.request, wish.request);
/// flow.approve(wish.request, &asked.digest, Actor::user("alice"), "fine")?;
/// assert_eq!(store.reader().document("note/n-1")?.unwrap().state.document.unwrap().to_json(), r#"{"content":"B"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Flow {
    pub(crate) engine: Arc<Engine>,
    _running: Option<Arc<Running>>,
}

/// What stops when the last handle goes.
#[derive(Debug)]
struct Running {
    engine: Arc<Engine>,
    /// Stops first: whoever asks over it holds the flow for as long as that takes.
    #[cfg(unix)]
    server: parking_lot::Mutex<Option<control::Server>>,
    runner: parking_lot::Mutex<Option<Runner>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        #[cfg(unix)]
        drop(self.server.lock().take());
        // The thread first, so that nothing moves while the index is kept.
        *self.runner.lock() = None;
        // What it had not looked at yet, as far as that can still be read.
        let _ = self.engine.look(|_| Ok(()));
        let image = keep::image(&self.engine.index.lock());
        if let Some((position, state)) = image {
            // It is derived: without it the next start reads more.
            let _ = keep::save(&self.engine.store, position, &state);
        }
    }
}

impl Flow {
    /// A flow for a store, to be set up and started.
    #[must_use]
    pub fn builder(store: &Store) -> FlowBuilder {
        FlowBuilder::new(store.clone())
    }

    /// The flow of a store for looking at: nothing is decided or done, and whatever would append fails with `ReadOnly`
    /// where the store was opened so. For programs beside the one that runs the flow.
    ///
    /// # Errors
    /// `Corruption`, `Io`, `Closed`.
    pub fn view(store: &Store) -> Result<Flow> {
        FlowBuilder::new(store.clone()).view()
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.engine.store
    }

    /// Asks the application that runs the flow of the store in this directory, over its control socket.
    ///
    /// # Errors
    /// `Locked` if no application listens there; whatever it answers.
    pub fn send(store: impl AsRef<std::path::Path>, command: &Command) -> Result<Reply> {
        control::send(store.as_ref(), command)
    }

    /// Makes a request. What can be decided at once is, in the same append. Blocks as an append does.
    ///
    /// # Errors
    /// `Invalid` for an unknown table, no actor, data that is no JSON object; `Conflict` if the row has another version
    /// than the request names; `KeyReused` if its key was used for something else; `Denied` if too many requests of the
    /// agent wait; whatever an append can meet. That it is rejected or fails is no error but its outcome.
    pub fn request(&self, request: Request) -> Result<Ticketed> {
        self.engine.request(&request)
    }

    /// What became of a request; waits until it has ended, or for so long. `Pending` then.
    ///
    /// # Errors
    /// `NotFound` if there is no such request; `Corruption`, `Io`, `Closed`.
    pub fn outcome(&self, request: impl Into<RequestId>, timeout: Duration) -> Result<Outcome> {
        let id = request.into();
        let deadline = Instant::now() + timeout;
        let outcome = self.engine.outcome_now(id)?;
        if outcome.is_final() || timeout.is_zero() {
            return Ok(outcome);
        }
        let mut news = self.engine.store.subscribe(Query::all().caused_by(id), StartAt::After(id));
        loop {
            let outcome = self.engine.outcome_now(id)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if outcome.is_final() || left.is_zero() {
                return Ok(outcome);
            }
            // It may run out meanwhile, which no event tells at once.
            news.next_timeout(left.min(Duration::from_millis(250)))?;
        }
    }

    /// Requests that wait, oldest first: to be decided, for an answer, or to be carried out.
    ///
    /// # Errors
    /// `Corruption`, `Io`, `Closed`.
    pub fn pending(&self, page: impl Into<Page>) -> Result<Vec<Pending>> {
        self.engine.pending(page.into(), |_, _| true)
    }

    /// Requests that this user is asked about and may answer, oldest first.
    ///
    /// # Errors
    /// As [`Flow::pending`].
    pub fn pending_for(&self, actor: &Actor, page: impl Into<Page>) -> Result<Vec<Pending>> {
        self.engine.pending_for(actor, page.into())
    }

    /// Requests that this user is asked about, as they come: first those that wait, then new ones.
    #[must_use]
    pub fn subscribe_asks(&self, actor: &Actor) -> Asks {
        Asks::new(self.clone(), actor.clone())
    }

    /// A user approves a request, as they were shown it: `seen` is the digest of what they saw. Once this returns, the
    /// approval is durable.
    ///
    /// # Errors
    /// `Denied` if they may not, and that is written down; `Conflict` if it is decided already
    /// ([`Error::already_decided`](crate::Error::already_decided)), has ended, or is not what was seen; `NotFound`.
    pub fn approve(
        &self,
        request: impl Into<RequestId>,
        seen: impl AsRef<str>,
        by: Actor,
        reason: impl AsRef<str>,
    ) -> Result<Answered> {
        self.engine.approve(request.into(), seen.as_ref(), &by, reason.as_ref())
    }

    /// A user rejects a request.
    ///
    /// # Errors
    /// As [`Flow::approve`].
    pub fn reject(&self, request: impl Into<RequestId>, by: Actor, reason: impl AsRef<str>) -> Result<Answered> {
        self.engine.reject(request.into(), &by, reason.as_ref())
    }

    /// Who asked, or who approved what is not done yet, takes it back.
    ///
    /// # Errors
    /// As [`Flow::approve`].
    pub fn withdraw(&self, request: impl Into<RequestId>, by: Actor) -> Result<Answered> {
        self.engine.withdraw(request.into(), &by, "")
    }

    /// Something else takes the place of a request: for who made it, theirs is withdrawn and a new one made; a user who
    /// could answer rejects it and asks for something else instead. Either way in one append. `change` is the object or
    /// the merge patch as JSON.
    ///
    /// # Errors
    /// As [`Flow::approve`] and [`Flow::request`].
    pub fn amend(&self, request: impl Into<RequestId>, by: Actor, change: impl serde::Serialize) -> Result<Answered> {
        let data = serde_json::to_vec(&change)
            .map_err(|error| crate::error::Error::invalid(format!("the change cannot be written as JSON: {error}")))?;
        self.engine.amend(request.into(), &by, &data, "")
    }

    /// Asks for the inverse of a change that was made, as a new request that is decided like any other.
    ///
    /// # Errors
    /// `Conflict` if it made no change, or what it set was changed since: the message says by whom. Else as
    /// [`Flow::request`].
    pub fn undo(&self, request: impl Into<RequestId>, by: Actor) -> Result<Ticketed> {
        self.engine.undo(request.into(), &by)
    }

    /// How a request was decided, and on what authority: each decision with the rule, the grant and the role that it
    /// stands on, judged again by what was in force then.
    ///
    /// # Errors
    /// `NotFound` if there is no such request; `Corruption`, `Io`, `Closed`.
    pub fn explain(&self, request: impl Into<RequestId>) -> Result<Explanation> {
        self.engine.explain(request.into())
    }

    /// A request's whole life: what led to it, its events, and what they caused.
    ///
    /// # Errors
    /// As [`Flow::explain`].
    pub fn trace(&self, request: impl Into<RequestId>) -> Result<Trace> {
        self.engine.trace(request.into())
    }

    /// A handle by which one actor can request, follow, amend and withdraw its own, and do nothing else: what is handed
    /// to a part of the program that is not trusted with more.
    #[must_use]
    pub fn proposer(&self, actor: Actor) -> Proposer {
        Proposer::new(self.clone(), actor)
    }

    /// Does everything that is due, and returns when nothing more can be done now. The flow's own thread does the same
    /// all the time; this is for programs that start none.
    ///
    /// # Errors
    /// Whatever an append can meet.
    pub fn settle(&self) -> Result<()> {
        self.engine.settle()
    }
}
