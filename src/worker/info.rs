//! What is told about all workers of a store, and decisions about what they have parked.

use std::sync::Arc;

use serde::Serialize;

use super::journal::{Journal, now};
use super::kept;
use super::state::State;
use crate::actor::Actor;
use crate::error::{Error, ErrorKind, Result};
use crate::format::worker::Decision;
use crate::io::is_there;
use crate::limits;
use crate::position::Position;
use crate::store::{Side, Store};
use crate::time::Timestamp;

/// A worker of a store, running or not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Its name.
    pub name: String,
    /// Whether it runs: in this process for certain; in another one as far as its file and the system tell.
    pub running: bool,
    /// Every event up to here is finished or parked.
    pub checkpoint: Position,
    /// How many events the log has behind that.
    pub lag: u64,
    /// Events that were begun, and neither finished nor put aside: for which the closure runs, if it runs.
    pub in_flight: u64,
    /// Events that wait for an earlier one of their key; of a worker that does not run in this process they are counted
    /// among those in flight.
    pub held: u64,
    /// Events that wait for a retry, or sleep, in order of position.
    pub waiting: Vec<WaitingEvent>,
    /// How many events are parked, those that wait behind one that is among them.
    pub parked: u64,
    /// What went wrong last, as far as it is remembered.
    pub error: Option<String>,
    /// The newest decisions about parked events, oldest first; at most 100.
    pub decisions: Vec<WorkerDecision>,
}

/// An event that waits for its time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitingEvent {
    /// Its position.
    pub position: Position,
    /// When it is run again.
    pub due: Timestamp,
    /// How often it failed.
    pub attempts: u32,
    /// How it failed last; none if it sleeps.
    pub error: Option<String>,
    /// The step that sleeps; none after an error.
    pub step: Option<String>,
}

/// What somebody decided about a parked event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerDecision {
    /// The event.
    pub position: Position,
    /// Whether it was skipped; else it was tried again.
    pub skipped: bool,
    /// Who decided.
    pub by: Actor,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// An event that a worker has given up until somebody decides about it ([`Store::retry`], [`Store::skip`]), or that
/// waits behind such a one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Parked {
    /// The worker.
    pub worker: String,
    /// The event.
    pub position: Position,
    /// Its key: no later event of this key is run before it.
    pub key: String,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// What went wrong last; empty for one that waits behind another.
    pub error: String,
    /// When it was parked.
    pub since: Timestamp,
    /// The parked event that it waits behind.
    pub behind: Option<Position>,
}

impl Store {
    /// All workers that were ever run in this store, in order of name. Of those that run elsewhere it tells what their
    /// files say.
    ///
    /// # Errors
    /// `Corruption` if a worker's file is damaged; `NewerFormat`, `Io`, `Closed`.
    pub fn workers(&self) -> Result<Vec<WorkerInfo>> {
        // What a worker has seen must not lie behind the tail that it is held against.
        let each = self.each_worker(|name, state, journal| {
            let in_hand = journal.map(|journal| journal.look_at_hand(|_, in_hand| in_hand.clone()));
            let is_in_hand = |position: &Position| in_hand.as_ref().is_some_and(|in_hand| in_hand.contains(position));
            let waits = state.open.iter().filter(|(position, open)| open.due.is_some() && !is_in_hand(position));
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let waiting: Vec<WaitingEvent> = waits
                .map(|(position, open)| WaitingEvent {
                    position: *position,
                    due: open.due.unwrap_or_default(),
                    attempts: open.attempts,
                    error: text(&open.error),
                    step: text(&open.step),
                })
                .collect();
            let others = (state.open.len() - waiting.len()) as u64;
            let in_flight = in_hand.as_ref().map_or(others, |in_hand| in_hand.len() as u64);
            let newest = state.parked.values().rfind(|parked| parked.behind.is_none()).map(|parked| &parked.error);
            WorkerInfo {
                name: name.to_owned(),
                running: journal.is_some() || self.runs_elsewhere(state),
                checkpoint: journal.map_or_else(|| state.checkpoint(), Journal::checkpoint),
                lag: 0,
                in_flight,
                held: others.saturating_sub(in_flight),
                waiting,
                parked: state.parked.len() as u64,
                error: state.last_error.clone().or_else(|| newest.cloned()),
                decisions: state.decisions.iter().map(|(decision, skipped)| told(decision, *skipped)).collect(),
            }
        });
        let mut workers = each?;
        let log = &self.inner.log;
        let end = log.reach(log.tail()).get();
        workers.iter_mut().for_each(|worker| worker.lag = end.saturating_sub(worker.checkpoint.get()));
        Ok(workers)
    }

    /// The events that a worker has parked, or all workers, in order of position.
    ///
    /// # Errors
    /// `NotFound` if there is no worker of this name; else as [`Store::workers`].
    pub fn parked(&self, worker: Option<&str>) -> Result<Vec<Parked>> {
        let all = self.each_worker(|name, state, _| {
            if worker.is_some_and(|worker| worker != name) {
                return None;
            }
            let parked = state.parked.iter().map(|(position, parked)| Parked {
                worker: name.to_owned(),
                position: *position,
                key: parked.key.clone(),
                attempts: parked.attempts,
                error: parked.error.clone(),
                since: parked.since,
                behind: parked.behind,
            });
            Some(parked.collect::<Vec<_>>())
        });
        let found: Vec<Vec<Parked>> = all?.into_iter().flatten().collect();
        match worker.filter(|_| found.is_empty()) {
            Some(worker) => Err(no_worker(worker)),
            None => Ok(found.into_iter().flatten().collect()),
        }
    }

    /// Has a parked event tried again, with those that wait behind it, in order. It counts as never tried before; steps
    /// that were done are not done again. Works whether or not the worker runs in this process; if not, it happens when
    /// it is run. Blocks until the decision is durable.
    ///
    /// # Errors
    /// `NotFound` if there is no such worker, or nothing is parked there; `Conflict` for an event that waits behind
    /// another; `Invalid` without a reason; `ReadOnly`, `Closed`, `Corruption`, `Full`, `Io`.
    pub fn retry(
        &self,
        worker: &str,
        position: impl Into<Position>,
        by: Actor,
        reason: impl Into<String>,
    ) -> Result<()> {
        self.decide(worker, position.into(), by, reason.into(), false)
    }

    /// Gives a parked event up for good: it counts as finished, and those that wait behind it are run. Else as
    /// [`Store::retry`].
    ///
    /// # Errors
    /// As [`Store::retry`]; an event that waits behind another can be skipped.
    pub fn skip(
        &self,
        worker: &str,
        position: impl Into<Position>,
        by: Actor,
        reason: impl Into<String>,
    ) -> Result<()> {
        self.decide(worker, position.into(), by, reason.into(), true)
    }

    fn decide(&self, worker: &str, position: Position, by: Actor, reason: String, skip: bool) -> Result<()> {
        let committer = self.committer()?;
        if !kept::is_name(worker) {
            return Err(no_worker(worker));
        }
        let texts = [by.id(), by.on_behalf_of.as_deref().unwrap_or_default(), &reason];
        let too_long = texts.iter().any(|text| text.len() > limits::WORKER_ERROR_BYTES_MAX);
        if too_long || texts.iter().any(|text| text.chars().any(char::is_control)) {
            return Err(Error::invalid("a decision is one line of at most 4,096 bytes, by an actor with a name"));
        }
        if by.id().is_empty() || reason.trim().is_empty() {
            return Err(Error::invalid("a decision about a parked event needs an actor and a reason"));
        }
        let (log, clock) = (&self.inner.log, Arc::clone(&committer.core().clock));
        let decision = Decision { position, at: now(&*clock), by, reason };
        let open = || Journal::open(log, &clock, worker, || Ok(None));
        self.inner.workers.decide(worker, decision, skip, open)
    }

    /// Looks at what is known of each worker, in order of name: of those that run here what they know themselves.
    fn each_worker<T>(&self, mut look: impl FnMut(&str, &State, Option<&Journal>) -> T) -> Result<Vec<T>> {
        let log = &self.inner.log;
        log.check_open()?;
        let mut found = Vec::new();
        for name in kept::names(&*log.storage)? {
            match self.inner.workers.find(&name) {
                Some(journal) => {
                    let state = journal.look(State::clone);
                    found.push(look(&name, &state, Some(&*journal)));
                }
                None => {
                    let kept = kept::read(&*log.storage, log.id, &name)?;
                    found.extend(kept.map(|kept| look(&name, &kept.state, None)));
                }
            }
        }
        Ok(found)
    }

    /// Whether another process runs a worker, as its file and the system tell.
    fn runs_elsewhere(&self, state: &State) -> bool {
        let begun = state.session.as_ref().filter(|session| session.begun);
        // Who holds the lock runs all workers that run.
        let others = matches!(self.inner.side, Side::Reader(_));
        begun.is_some_and(|session| others && is_there(&session.process).unwrap_or(true))
    }
}

fn no_worker(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no worker {name:?} in this store"))
        .hinting("`annals workers` lists them")
}

fn told(decision: &Decision, skipped: bool) -> WorkerDecision {
    WorkerDecision {
        position: decision.position,
        skipped,
        by: decision.by.clone(),
        reason: decision.reason.clone(),
        at: decision.at,
    }
}
