//! A disk that loses power, runs full and fails on demand, in memory and the same every time.
//!
//! The model is what POSIX promises and no more; real file systems are kinder.
//!
//! | what | live at once | durable after |
//! |---|---|---|
//! | bytes and length of a file | for every reader and mapping | [`File::sync_data`] of it |
//! | a name: created, linked, renamed, removed | for everybody | [`Storage::sync_dir`] of its directory |
//! | the root's own name | | [`Storage::sync_parent`] |
//!
//! Syncing a file says nothing about its name, and syncing a name nothing about its directory's.
//! On power loss, what is not durable survives in any part: each 512-byte sector on its own, and
//! in any of its versions; lengths and names apart from bytes; a rename wholly or not at all. See
//! [`Crash`] for the choice. A crash doesn't change the storage: it makes another, which holds what
//! would be found.
//!
//! What is not modelled: sectors that change by themselves, a directory sync that fails and loses
//! its names for good (a later one still makes them durable), renaming or removing directories,
//! and the room that a hole in a file would save.
//!
//! As every published byte is promised to stand still, the simulator checks that promise: writing
//! another byte there, truncating it, or publishing what is beyond the end of the file (which a
//! real mapping answers with undefined behaviour or a signal) panics.
//!
//! [`File::sync_data`]: super::File::sync_data
//! [`Storage::sync_dir`]: super::Storage::sync_dir
//! [`Storage::sync_parent`]: super::Storage::sync_parent

mod beside;
mod contents;
mod crash;
mod fault;
mod handles;
mod image;
mod medium;
mod names;
mod state;
mod storage;
#[cfg(test)]
mod tests;
mod trace;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use crash::Crash;
pub use fault::{Call, FailPlan, Fault};
pub use trace::{Op, Replay, Trace};

use super::FsKind;
use crate::sync::{Mutex, MutexGuard};
use crash::Rng;
use medium::Medium;
use names::{Names, Target};
use state::State;

/// A file, by its inode number. Names change, this doesn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimStorage {
    state: Arc<Mutex<State>>,
}

/// What surrounds a disk and isn't on it.
#[derive(Clone, Copy, Debug)]
struct World {
    boot: u64,
    /// Where random bytes come from.
    seed: u64,
    kind: FsKind,
    /// The room on the disk, in bytes.
    capacity: u64,
}

impl World {
    fn first() -> World {
        World { boot: 1, seed: 0, kind: FsKind::Local, capacity: u64::MAX }
    }

    /// The same boot; a process that starts now must not draw the random bytes of the one before.
    fn restarted(self, steps: u64) -> World {
        World { seed: Rng::new(self.seed ^ steps.rotate_left(32)).next(), ..self }
    }

    fn rebooted(self, steps: u64) -> World {
        World { boot: self.boot + 1, ..self.restarted(steps) }
    }
}

impl SimStorage {
    /// A disk with an empty root directory that is there for good.
    #[must_use]
    pub fn new() -> Arc<SimStorage> {
        SimStorage::found(Medium::new(Names::with_root()), World::first(), false)
    }

    /// The same, with every operation recorded for [`SimStorage::trace`].
    #[must_use]
    pub fn with_trace() -> Arc<SimStorage> {
        SimStorage::found(Medium::new(Names::with_root()), World::first(), true)
    }

    /// A disk on which the root directory doesn't exist yet, with every operation recorded: who
    /// creates it must sync its parent, or the whole store may be gone.
    #[must_use]
    pub fn absent() -> Arc<SimStorage> {
        SimStorage::found(Medium::new(Names::default()), World::first(), true)
    }

    fn found(medium: Medium, world: World, traced: bool) -> Arc<SimStorage> {
        let state = Arc::new(Mutex::new(State::new(medium, world, traced)));
        Arc::new(SimStorage { state })
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The disk that is found if the power goes now.
    #[must_use]
    pub fn crash(&self, crash: Crash) -> Arc<SimStorage> {
        let state = self.lock_state();
        SimStorage::found(state.medium().crash(crash), state.world.rebooted(state.ops()), state.is_traced())
    }

    /// The disk that is found if the process is killed now: nothing is lost, no lock is held.
    #[must_use]
    pub fn snapshot(&self) -> Arc<SimStorage> {
        let state = self.lock_state();
        SimStorage::found(state.medium().clone(), state.world.restarted(state.ops()), state.is_traced())
    }

    /// Takes the random bytes from now on from this seed, which otherwise depends on how many operations went before.
    pub fn reseed(&self, seed: u64) {
        self.lock_state().world.seed = seed;
    }

    /// How many operations have changed the disk, syncs included: the moments at which the power
    /// can go.
    #[must_use]
    pub fn op_count(&self) -> u64 {
        self.lock_state().ops()
    }

    /// What was done so far; empty if it isn't recorded.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.lock_state().trace()
    }

    /// How many calls that can fail have begun: the number of the next one.
    #[must_use]
    pub fn call_count(&self) -> u64 {
        self.lock_state().call_count()
    }

    /// What the call of this number was, if the run is recorded.
    #[must_use]
    pub fn call_at(&self, index: u64) -> Option<Call> {
        self.lock_state().call_at(index)
    }

    /// How many calls of a kind have begun.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        self.lock_state().calls(call)
    }

    /// Plans a fault. Of several plans that hit the same call, the first counts.
    pub fn fail(&self, plan: FailPlan) {
        self.lock_state().plans.push(plan);
    }

    /// Drops all plans of faults.
    pub fn heal(&self) {
        self.lock_state().plans.clear();
    }

    /// Sets the room on the disk in bytes; `u64::MAX` is without end. A write that doesn't fit does
    /// what fits and fails (error 28), an allocation just fails. What a file takes is counted up to
    /// the last byte that was written or allocated.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock_state().world.capacity = bytes;
    }

    /// How much room is taken, in bytes.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.lock_state().medium().used_bytes()
    }

    /// Sets what [`Storage::kind`](super::Storage::kind) answers.
    pub fn set_kind(&self, kind: FsKind) {
        self.lock_state().world.kind = kind;
    }

    /// The length of the newest write that is not durable, in bytes, for [`Crash::PrefixBytes`]; 0
    /// if there is none.
    #[must_use]
    pub fn newest_write_bytes(&self) -> u64 {
        self.lock_state().medium().newest_write_bytes()
    }

    /// How many sectors have changes that are not durable, for [`Crash::Sectors`].
    #[must_use]
    pub fn dirty_sectors(&self) -> usize {
        self.lock_state().medium().dirty_sectors()
    }

    /// The file that stands under a name.
    #[must_use]
    pub fn file_id(&self, path: &Path) -> Option<FileId> {
        match self.lock_state().medium().names().get(path) {
            Some(Target::File(file)) => Some(file),
            _ => None,
        }
    }

    /// A hash of all names and bytes as readers see them, to tell states apart.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest_of(|_| true)
    }

    /// The same of some names only, because states that differ in files without meaning are one.
    #[must_use]
    pub fn digest_of(&self, counted: impl Fn(&Path) -> bool) -> u64 {
        self.lock_state().medium().digest(counted)
    }
}

impl fmt::Debug for SimStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimStorage").finish_non_exhaustive()
    }
}
