//! What the committer, the background threads and the store's handles share on the writing side.

use std::sync::Arc;

use super::anchor_file;
use super::background::Jobs;
use super::live_file::LiveWriter;
use super::room::Spare;
use super::shared::Log;
use super::tiers::TierKeeper;
use crate::error::{AppendError, Error, Result};
use crate::format::anchor::Anchor;
use crate::format::header::Mode;
use crate::format::live::State;
use crate::io::{Clock, FsKind};
use crate::position::Position;
use crate::query::Query;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Finds the first event after a position, at or below the tail, that a query matches. Given by
/// the layer that plans queries.
pub(crate) type Matcher = Box<dyn Fn(&Arc<Log>, &Query, Position) -> Result<Option<Position>> + Send + Sync>;

/// Why the writer has stopped for good, once it has.
#[derive(Debug, Default)]
pub(crate) struct Poison {
    set: AtomicBool,
    reason: Mutex<Option<String>>,
}

impl Poison {
    pub(crate) fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    pub(crate) fn reason(&self) -> Option<String> {
        self.reason.lock().clone()
    }
}

/// Counts of this handle's work.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) appends: AtomicU64,
    pub(crate) groups: AtomicU64,
    pub(crate) slowest_append_ns: AtomicU64,
}

pub(crate) struct Core {
    pub(crate) log: Arc<Log>,
    pub(crate) live: LiveWriter,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) mode: Mode,
    pub(crate) segment_bytes: u64,
    pub(crate) kind: FsKind,
    /// The newest ANCHOR; written to disk under this lock.
    pub(crate) anchor: Mutex<Anchor>,
    pub(crate) spare: Spare,
    pub(crate) poison: Poison,
    pub(crate) counters: Counters,
    pub(crate) jobs: Jobs,
    pub(crate) matcher: Matcher,
    /// zstd level of sealed segments.
    pub(crate) level: i32,
    /// Held by whoever seals.
    pub(crate) sealing: Mutex<()>,
    pub(crate) tiers: TierKeeper,
}

/// Why ANCHOR was not written.
pub(crate) enum NotWritten {
    /// There was no room; the other slot stands.
    NoRoom(Error),
    Failed(Error),
}

impl From<NotWritten> for Error {
    fn from(why: NotWritten) -> Error {
        match why {
            NotWritten::NoRoom(error) | NotWritten::Failed(error) => error,
        }
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("log", &self.log).finish_non_exhaustive()
    }
}

impl Core {
    /// Stops the writer for good. The first reason stays.
    pub(crate) fn poison(&self, reason: String) {
        let mut known = self.poison.reason.lock();
        if known.is_none() {
            crate::trace::poisoned(&reason);
            *known = Some(reason);
            self.poison.set.store(true, Ordering::Release);
            self.live.set_state(State::Poisoned);
        }
    }

    /// The error for an append that meets a poisoned writer; `unknown` if it was under way.
    pub(crate) fn poisoned(&self, unknown: bool) -> AppendError {
        let reason = self.poison.reason().unwrap_or_else(|| "the writer has stopped".to_owned());
        let durable = self.log.durable();
        let reason = match self.mode {
            Mode::Written if durable < self.log.tail() => {
                format!(
                    "{reason}; positions {} to {} were acknowledged and are not known to be synced",
                    durable.next(),
                    self.log.tail()
                )
            }
            _ => reason,
        };
        let reason = if unknown {
            format!("{reason}; whether this append is in the log is known only after reopening")
        } else {
            reason
        };
        AppendError::Poisoned { reason, unknown }
    }

    /// Writes and syncs the next ANCHOR: what is durable now, as far as the tree was hashed.
    pub(crate) fn write_anchor(&self, change: impl FnOnce(&mut Anchor)) -> Result<(), NotWritten> {
        let mut anchor = self.anchor.lock();
        let mut next = anchor.clone();
        next.seq += 1;
        change(&mut next);
        let tree = self.jobs.tree();
        if tree.size() >= next.tree.size() && tree.size() <= next.durable.get() {
            next.tree = tree;
        }
        anchor_file::write(&*self.log.storage, &next)?;
        *anchor = next;
        Ok(())
    }
}
