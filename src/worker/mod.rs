//! Workers: durable consumers of a query. What the log does instead of a second system.
//!
//! A worker runs a closure for every event that its query matches, at least once: after a crash it goes on where it was.
//! Steps within the closure are done once each, their results are kept. What fails is tried again after a pause that
//! grows, and whose end is kept too. What keeps failing is parked, and holds up nothing but later events of its key.
//!
//! Invariants:
//! - Only events that survive power loss are given to the closure.
//! - Of the events of one key one at a time is run, in order of position; one that waits, or is parked, holds up the
//!   later ones of its key and no others.
//! - What a step came to is durable before the step returns; a step whose result is kept is never done again.
//! - Everything that a worker has to know after a crash stands in its file and in the log.
//!
//! | file | is |
//! |---|---|
//! | `mod.rs` | what a worker is to be: the builder |
//! | `step.rs` | what the closure is given |
//! | `runtime.rs` | which event is run when: keys, times, parking |
//! | `threads.rs` | the threads: one reads, the others run the closure |
//! | `handle.rs` `info.rs` | what a user holds of a running worker; what is told about all of them |
//! | `journal.rs` | the open file: facts go in, group by group |
//! | `kept.rs` `state.rs` | the file as a whole; what it says |

mod handle;
mod info;
pub(crate) mod journal;
pub(crate) mod kept;
mod runtime;
pub(crate) mod state;
mod step;
mod threads;

use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::Checkpoint;
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::event::EventRef;
use crate::feed::StartAt;
use crate::limits::{WORKER_CONCURRENCY_MAX, WORKER_NAME_BYTES_MAX};
use crate::log::commit::Committer;
use crate::query::Query;
use crate::store::Store;

pub use handle::{WorkerHandle, WorkerState, WorkerStatus};
pub use info::{Parked, WaitingEvent, WorkerDecision, WorkerInfo};
use journal::Journal;
use runtime::Runtime;
pub use step::{Permanent, Step, permanent};

type Work = Box<dyn Fn(EventRef<'_>, &Step<'_>) -> Result<(), BoxError> + Send + Sync>;
type Key = Box<dyn Fn(EventRef<'_>) -> String + Send + Sync>;

/// What a worker is to be; [`Store::worker`] begins one, [`WorkerBuilder::run`] starts it.
///
/// ```
/// use std::time::Duration;
///
/// use annals::{NewEvent, Query, Store};
/// # fn mail(_: annals::EventRef<'_>) -> Result<String, std::io::Error> { Ok("message-1".to_owned()) }
///
/// # let directory = tempfile::tempdir()?;
/// let store = Store::open(directory.path())?;
/// let mailer = store
///     .worker("mail")
///     .on(Query::all().types(["order.placed"]))
///     .concurrency(4)
///     .retries(8)
///     .run(|event, step| {
///         let message: String = step.run("send", || mail(event))?; // Once, however often the closure is run.
///         let sent = NewEvent::bytes("mail.sent", event.subject(), "text/plain", message);
///         step.append("note", sent.caused_by(event.position()))?;
///         Ok(())
///     })?;
/// let done = store.append([NewEvent::bytes("order.placed", "order/17", "text/plain", "two lamps")])?;
/// assert!(mailer.wait_for(done.last, Duration::from_secs(10))?);
/// assert_eq!(store.reader().version("order/17")?, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a worker begins with `run`"]
pub struct WorkerBuilder {
    store: Store,
    name: String,
    query: Query,
    concurrency: usize,
    retries: u32,
    backoff: (Duration, Duration),
    key: Key,
    start: StartAt,
}

impl std::fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerBuilder").field("name", &self.name).field("query", &self.query).finish_non_exhaustive()
    }
}

impl Store {
    /// Begins to describe a worker. Its name stands for it: what it did, and what it still has to do, is kept under it.
    pub fn worker(&self, name: impl Into<String>) -> WorkerBuilder {
        WorkerBuilder {
            store: self.clone(),
            name: name.into(),
            query: Query::all(),
            concurrency: 1,
            retries: 8,
            backoff: (Duration::from_secs(1), Duration::from_secs(10 * 60)),
            key: Box::new(|event| event.subject().to_owned()),
            start: StartAt::Start,
        }
    }
}

impl WorkerBuilder {
    /// The events that it is run for; all, if nothing is said. Another query than at an earlier start counts for what
    /// was not begun yet.
    pub fn on(mut self, query: Query) -> WorkerBuilder {
        self.query = query;
        self
    }

    /// How many events are run at once, each on a thread of its own; 1 if nothing is said. Never two of one key.
    pub fn concurrency(mut self, threads: usize) -> WorkerBuilder {
        self.concurrency = threads;
        self
    }

    /// How often an event is tried again before it is parked; 8 times if nothing is said.
    pub fn retries(mut self, retries: u32) -> WorkerBuilder {
        self.retries = retries;
        self
    }

    /// The pause before the first retry, and the longest one; one second and ten minutes if nothing is said. Each is up
    /// to twice as long as the one before, somewhat less by chance, so that what failed together does not come back
    /// together.
    pub fn backoff(mut self, min: Duration, max: Duration) -> WorkerBuilder {
        self.backoff = (min, max);
        self
    }

    /// What orders events: those of one key are run one after the other. The subject, if nothing is said.
    pub fn key(mut self, key: impl Fn(EventRef<'_>) -> String + Send + Sync + 'static) -> WorkerBuilder {
        self.key = Box::new(key);
        self
    }

    /// Where it begins when it is run for the first time; at the first event if nothing is said. Later it goes on where
    /// it was, whatever is said here.
    pub fn start_at(mut self, start: StartAt) -> WorkerBuilder {
        self.start = start;
        self
    }

    /// Starts the worker on threads of its own: one that reads, and as many as it runs events at once. It ends with the
    /// last handle on it, or with the store.
    ///
    /// The closure is run at least once for every event. It is run again where it gave an error, panicked, slept, or was
    /// interrupted by a crash; steps that were done are not done again then. An error that wraps [`Permanent`] parks the
    /// event at once.
    ///
    /// # Errors
    /// `Locked` if a worker of this name runs in this process; `ReadOnly`, `Closed`. `Corruption` if the file of the
    /// worker is damaged: it does not start, and nothing is changed. `Diverged` if the log no longer holds what the
    /// worker has seen. `Invalid` for a name that cannot name a file, or a number that makes no sense. `Io`, `Full`.
    pub fn run<F>(self, work: F) -> Result<WorkerHandle>
    where
        F: Fn(EventRef<'_>, &Step<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
    {
        self.check()?;
        let committer = Arc::clone(self.store.committer()?);
        let desk = Arc::clone(&self.store.inner.workers);
        let log = Arc::clone(&self.store.inner.log);
        let clock = Arc::clone(&committer.core().clock);
        let start = || first_checkpoint(&committer, self.start).map(Some);
        let journal = desk.open(&self.name, || Journal::open(&log, &clock, &self.name, start))?;
        let runtime = Runtime {
            query: self.query,
            retries: self.retries,
            backoff: self.backoff,
            key: self.key,
            work: Box::new(work),
            log,
            clock,
            committer,
            journal,
            desk,
            core: Default::default(),
            work_there: Default::default(),
            moved: Default::default(),
        };
        threads::start(runtime, self.concurrency)
    }

    fn check(&self) -> Result<()> {
        if !kept::is_name(&self.name) {
            let name = &self.name;
            return Err(Error::invalid(format!(
                "the worker name {name:?}: up to {WORKER_NAME_BYTES_MAX} letters, digits, '-', '_' and '.' are possible, \
                 no '.' at first"
            )));
        }
        if !(1..=WORKER_CONCURRENCY_MAX).contains(&self.concurrency) {
            let text = format!("{} threads: from 1 to {WORKER_CONCURRENCY_MAX} are possible", self.concurrency);
            return Err(Error::invalid(text));
        }
        if self.backoff.0 > self.backoff.1 {
            return Err(Error::invalid("the first pause is longer than the longest one"));
        }
        Ok(())
    }
}

/// Where a worker begins that was never run before.
fn first_checkpoint(committer: &Committer, start: StartAt) -> Result<Checkpoint> {
    // What a power cut can take away must not be counted as seen.
    committer.sync_written()?;
    let log = &committer.core().log;
    let position = match start {
        StartAt::Start => return Ok(Checkpoint::ORIGIN),
        StartAt::Now => log.durable(),
        StartAt::After(position) => position,
        StartAt::Checkpoint(checkpoint) => match log.checkpoint(checkpoint.position)? {
            Some(found) if found == checkpoint => return Ok(checkpoint),
            _ => {
                let text = format!("the log does not hold the checkpoint to begin at: {checkpoint}");
                return Err(Error::new(ErrorKind::Diverged, text));
            }
        },
    };
    let none = || Error::invalid(format!("a worker cannot begin behind position {position}, which is not there yet"));
    log.checkpoint(position)?.ok_or_else(none)
}
