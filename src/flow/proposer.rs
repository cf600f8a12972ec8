//! Handles that can do less: to propose, and to hear what is asked.

use std::time::{Duration, Instant};

use super::show::Pending;
use super::{Answered, Flow, Outcome, Request, RequestId, Ticketed};
use crate::actor::Actor;
use crate::error::{Error, ErrorKind, Result};
use crate::feed::{StartAt, Subscription};
use crate::query::Query;

/// What one actor may do by itself: request, follow, amend and withdraw its own; see [`Flow::proposer`].
#[derive(Clone)]
pub struct Proposer {
    flow: Flow,
    actor: Actor,
}

impl std::fmt::Debug for Proposer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proposer").field("actor", &self.actor).finish_non_exhaustive()
    }
}

impl Proposer {
    pub(crate) fn new(flow: Flow, actor: Actor) -> Proposer {
        Proposer { flow, actor }
    }

    /// Who proposes.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Makes a request as this actor, whatever the request says; for whom it is made is left to the request, unless the
    /// actor of this handle acts for somebody.
    ///
    /// # Errors
    /// As [`Flow::request`].
    pub fn request(&self, request: Request) -> Result<Ticketed> {
        let named = request.actor.as_ref().and_then(|actor| actor.on_behalf_of.clone());
        let actor = match (&self.actor.on_behalf_of, named) {
            (None, Some(user)) => self.actor.clone().on_behalf_of(user),
            _ => self.actor.clone(),
        };
        self.flow.request(request.by(actor))
    }

    /// What became of a request of this actor; as [`Flow::outcome`].
    ///
    /// # Errors
    /// `Denied` if it is another's; else as [`Flow::outcome`].
    pub fn outcome(&self, request: impl Into<RequestId>, timeout: Duration) -> Result<Outcome> {
        let id = self.own(request.into())?;
        self.flow.outcome(id, timeout)
    }

    /// Something else takes the place of a request of this actor; as [`Flow::amend`].
    ///
    /// # Errors
    /// `Denied` if it is another's; else as [`Flow::amend`].
    pub fn amend(&self, request: impl Into<RequestId>, change: impl serde::Serialize) -> Result<Answered> {
        let id = self.own(request.into())?;
        self.flow.amend(id, self.actor.clone(), change)
    }

    /// Takes a request of this actor back.
    ///
    /// # Errors
    /// `Denied` if it is another's; else as [`Flow::withdraw`].
    pub fn withdraw(&self, request: impl Into<RequestId>) -> Result<Answered> {
        let id = self.own(request.into())?;
        self.flow.withdraw(id, self.actor.clone())
    }

    fn own(&self, id: RequestId) -> Result<RequestId> {
        let event = self.flow.store().reader().event(id)?;
        let is_own = event.is_some_and(|event| {
            event.actor().is_some_and(|actor| actor.kind() == self.actor.kind() && actor.id() == self.actor.id())
        });
        match is_own {
            true => Ok(id),
            false => Err(Error::new(ErrorKind::Denied, format!("request {id} is none of {}", self.actor))),
        }
    }
}

/// Requests that a user is asked about, as they come; see [`Flow::subscribe_asks`].
#[derive(Debug)]
pub struct Asks {
    flow: Flow,
    actor: Actor,
    news: Subscription,
    /// Requests that were given out and still wait.
    seen: std::collections::BTreeSet<RequestId>,
}

impl Asks {
    pub(crate) fn new(flow: Flow, actor: Actor) -> Asks {
        // Where nothing is asked, nothing is read: it only tells that there is something new.
        let news = flow.store().subscribe(Query::all().types::<&str>([]), StartAt::Now);
        Asks { flow, actor, news, seen: std::collections::BTreeSet::new() }
    }

    /// The next request that waits for an answer and was not given out yet; `None` if none came within `timeout`.
    ///
    /// # Errors
    /// `Corruption`, `Io`, `Closed`.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Pending>> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(next) = self.flow.engine.next_ask(&self.actor, &mut self.seen)? {
                return Ok(Some(next));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.news.next_timeout(left)?;
        }
    }
}
