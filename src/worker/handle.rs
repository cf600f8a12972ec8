//! What a user holds of a running worker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::runtime::Runtime;
use crate::error::{Error, ErrorKind, Result};
use crate::position::Position;
use crate::sync::Mutex;
use crate::sync::thread::{self, JoinHandle};

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum WorkerState {
    /// It takes up what was there before it.
    #[default]
    CatchingUp,
    /// It has caught up and takes up what comes.
    Following,
    /// Too many events wait or are parked; it reads no further until some are finished, or decided about.
    Full,
    /// It was stopped, or the store was closed.
    Stopped,
    /// It cannot go on: the log or its file is damaged, or its file takes nothing more.
    Failed,
}

impl WorkerState {
    /// Whether its threads have ended, or are about to.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, WorkerState::Stopped | WorkerState::Failed)
    }
}

/// How a worker is doing, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: WorkerState,
    /// Every event up to here is finished or parked.
    pub checkpoint: Position,
    /// How many events the log has behind that.
    pub lag: u64,
    /// Events that it has finished since it was started.
    pub events: u64,
    /// Events for which the closure runs at this moment.
    pub in_flight: u64,
    /// Events that wait for a retry, or sleep.
    pub waiting: u64,
    /// Events that wait for an earlier one of their key.
    pub held: u64,
    /// Events that are parked, those that wait behind one that is among them.
    pub parked: u64,
    /// What went wrong last.
    pub error: Option<String>,
    /// What an interrupted write had left in the worker's file when it was started: nothing that was acknowledged. It
    /// is kept under `quarantine/`.
    pub cut: Option<String>,
}

/// A running worker. Dropping the last handle stops it and waits for its threads.
#[derive(Clone)]
pub struct WorkerHandle {
    pub(super) running: Arc<Running>,
}

pub(super) struct Running {
    pub(super) runtime: Arc<Runtime>,
    pub(super) threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for WorkerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WorkerHandle").field(&self.status()).finish()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Running {
    fn stop(&self) {
        self.runtime.stop();
        let threads = std::mem::take(&mut *self.threads.lock());
        // A handle that is dropped within the closure cannot wait for its own thread.
        let own = thread::current().id();
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != own) {
            let _ = thread.join();
        }
    }
}

impl WorkerHandle {
    /// Waits until every event up to a position is finished or parked; `false` if that took longer than `timeout`.
    ///
    /// # Errors
    /// `Closed` if the worker has ended before; the message says why.
    pub fn wait_for(&self, position: impl Into<Position>, timeout: Duration) -> Result<bool> {
        let (position, deadline) = (position.into(), Instant::now() + timeout);
        let runtime = &self.running.runtime;
        let mut core = runtime.core.lock();
        loop {
            if runtime.journal.checkpoint() >= position {
                return Ok(true);
            }
            if core.state.has_ended() {
                let why = core.error.as_deref().unwrap_or("it was stopped");
                let (name, at) = (&runtime.journal.name, runtime.journal.checkpoint());
                let text = format!("the worker {name} has ended at position {at}: {why}");
                return Err(Error::new(ErrorKind::Closed, text));
            }
            if runtime.moved.wait_until(&mut core, deadline).timed_out() {
                return Ok(runtime.journal.checkpoint() >= position);
            }
        }
    }

    /// How many events the log has behind its checkpoint.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let runtime = &self.running.runtime;
        runtime.log.tail().get().saturating_sub(runtime.journal.checkpoint().get())
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> WorkerStatus {
        let runtime = &self.running.runtime;
        let core = runtime.core.lock();
        let (open, waiting, in_flight, parked) = runtime.journal.look_at_hand(|state, in_hand| {
            let waits =
                |(position, open): &(&Position, &super::state::Open)| open.due.is_some() && !in_hand.contains(position);
            let waiting = state.open.iter().filter(waits).count();
            (state.open.len(), waiting, in_hand.len(), state.parked.len())
        });
        let checkpoint = runtime.journal.checkpoint();
        WorkerStatus {
            name: runtime.journal.name.clone(),
            state: core.state,
            checkpoint,
            lag: runtime.log.tail().get().saturating_sub(checkpoint.get()),
            events: core.events,
            in_flight: in_flight as u64,
            waiting: waiting as u64,
            held: open.saturating_sub(waiting + in_flight) as u64,
            parked: parked as u64,
            error: core.error.clone(),
            cut: runtime.journal.cut.clone(),
        }
    }

    /// Stops it: no event is begun any more, and this waits until those in hand are dealt with and it is written down
    /// how far it came. Called within the closure it waits for the others.
    pub fn stop(&self) {
        self.running.stop();
    }
}
