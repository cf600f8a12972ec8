//! What was done to the disk, one operation after the other, and the states in between.

use std::path::Path;
use std::sync::Arc;

use super::crash::Crash;
use super::medium::Medium;
use super::names::Target;
use super::{FileId, SimStorage, World};

/// A change of the disk. Paths are below the root.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the fields are named after the arguments of the calls")]
pub enum Op {
    /// A new directory; the root itself is the empty path.
    CreateDir { path: Arc<Path> },
    /// A new, empty file.
    Create { path: Arc<Path>, file: FileId },
    /// One more name of a file.
    Link { file: FileId, path: Arc<Path> },
    /// Another name for a file, taking the place of what had it.
    Rename { file: FileId, from: Arc<Path>, to: Arc<Path> },
    /// A name less.
    Unlink { path: Arc<Path> },
    /// The names in a directory became durable; `None` is the directory that holds the root.
    SyncDir { dir: Option<Arc<Path>> },
    /// Bytes were written, all in one system call.
    Write { file: FileId, offset: u64, bytes: Arc<[u8]> },
    /// A word was stored through a shared mapping.
    StoreWord { file: FileId, index: usize, value: u64 },
    /// The file was cut or extended.
    SetLen { file: FileId, len: u64 },
    /// Room was reserved, and the file extended to the end of it.
    Allocate { file: FileId, offset: u64, len: u64 },
    /// Contents and length became durable.
    SyncData { file: FileId },
    /// A sync failed: what was pending is marked clean and is not durable.
    SyncFailed { file: FileId },
}

/// A recorded run, of which every moment can be visited again.
#[derive(Clone, Debug)]
pub struct Trace {
    pub(super) start: Medium,
    pub(super) ops: Vec<Op>,
    pub(super) world: World,
}

impl Trace {
    /// The operations in their order.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The disk that is found if the power goes after the first `n` operations (or all of them, if
    /// there are fewer). To visit many moments, [`Trace::replay`] once.
    #[must_use]
    pub fn state_after(&self, n: u64, crash: Crash) -> Arc<SimStorage> {
        self.replayed(n).crash(crash)
    }

    /// The disk that is found if the process is killed after the first `n` operations.
    #[must_use]
    pub fn killed_after(&self, n: u64) -> Arc<SimStorage> {
        self.replayed(n).kill()
    }

    fn replayed(&self, n: u64) -> Replay<'_> {
        let mut replay = self.replay();
        while replay.done() < n && replay.advance().is_some() {}
        replay
    }

    /// Goes through the run from its beginning.
    #[must_use]
    pub fn replay(&self) -> Replay<'_> {
        Replay { trace: self, medium: self.start.clone(), done: 0 }
    }
}

/// A moment of a recorded run.
#[derive(Clone, Debug)]
pub struct Replay<'a> {
    trace: &'a Trace,
    medium: Medium,
    done: usize,
}

impl Replay<'_> {
    /// How many operations are done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done as u64
    }

    /// Does the next operation and returns it; `None` at the end of the run.
    pub fn advance(&mut self) -> Option<&Op> {
        let op = self.trace.ops.get(self.done)?;
        self.medium.apply(op);
        self.done += 1;
        Some(op)
    }

    /// The disk that is found if the power goes now.
    #[must_use]
    pub fn crash(&self, crash: Crash) -> Arc<SimStorage> {
        SimStorage::found(self.medium.crash(crash), self.trace.world.rebooted(self.done()), true)
    }

    /// The disk that is found if the process is killed now.
    #[must_use]
    pub fn kill(&self) -> Arc<SimStorage> {
        SimStorage::found(self.medium.clone(), self.trace.world.restarted(self.done()), true)
    }

    /// How many things of what is `counted` wait to become durable: changes of names, lengths of files, sectors.
    #[must_use]
    pub fn dirty_things(&self, counted: &dyn Fn(&Path) -> bool) -> usize {
        self.medium.dirty_things(counted)
    }

    /// The disk that is found if the power goes now and takes each thing whose bit (from 64 on: its number modulo 64)
    /// is not set in `mask`. The rest, and what isn't `counted`, survives, but for a name that builds on a lost one.
    #[must_use]
    pub fn crash_things(&self, mask: u64, counted: &dyn Fn(&Path) -> bool) -> Arc<SimStorage> {
        let found = self.medium.crash_things(mask, counted);
        SimStorage::found(found, self.trace.world.rebooted(self.done()), true)
    }

    /// Whether a file has a name that is `wanted`.
    #[must_use]
    pub fn is_named(&self, file: FileId, wanted: &dyn Fn(&Path) -> bool) -> bool {
        self.medium.names().iter().any(|(name, target)| target == Target::File(file) && wanted(name))
    }

    /// See [`SimStorage::newest_write_bytes`].
    #[must_use]
    pub fn newest_write_bytes(&self) -> u64 {
        self.medium.newest_write_bytes()
    }

    /// See [`SimStorage::dirty_sectors`].
    #[must_use]
    pub fn dirty_sectors(&self) -> usize {
        self.medium.dirty_sectors()
    }
}
