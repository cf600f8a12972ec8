//! What is done off the append path: making room, idle slots, syncing a `Written` log, indexing
//! full segments and hashing their leaves.
//!
//! Three threads, each started by the first that needs it: one that must answer within
//! milliseconds (room and idle slots), one that waits for the disk (syncs), one that computes
//! (indexes and leaves). Without threads, for simulations, the call that makes work due does it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::commit::Committer;
use super::core::Core;
use super::indexer;
use super::room::Room;
use super::sealer;
use super::tiers;
use crate::format::leaf::Tree;
use crate::io::Storage;
use crate::segment::raw::RawSegment;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Condvar, Mutex};

/// How long the writer has nothing to do before a slot says how far the log is durable.
const IDLE: Duration = Duration::from_millis(100);
/// Full segments that may wait for their index, each with some 10 MB of memory.
const BACKLOG_MAX: usize = 2;
/// Leaves that are hashed before the computing thread looks for segments to index again.
const LEAVES_AT_ONCE: u64 = 20_000;
/// How often the sealing thread looks by itself.
const SEAL_LOOK: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Compute {
    Index(Arc<RawSegment>),
    Stop,
}

/// The ends of the background threads that others hold.
#[derive(Debug)]
pub(crate) struct Jobs {
    /// Everything is done by whoever makes it due.
    inline: bool,
    bell: Sender<()>,
    bell_rung: Receiver<()>,
    /// The room thread expects commits; set by it and by the committer, a hint.
    awake: AtomicBool,
    stopping: AtomicBool,
    compute: Sender<Compute>,
    computing: Receiver<Compute>,
    backlog: AtomicUsize,
    /// Signalled when the backlog shrinks.
    shrunk: (Mutex<()>, Condvar),
    /// The tree over the leaves hashed so far.
    tree: Mutex<Tree>,
    /// Rung when a segment may be due to be sealed.
    seal: Sender<()>,
    seal_rung: Receiver<()>,
    /// Why sealing stands still, if it does.
    seal_failure: Mutex<Option<String>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Jobs {
    pub(crate) fn new(inline: bool, tree: Tree) -> Jobs {
        let (bell, bell_rung) = bounded(1);
        let (compute, computing) = unbounded();
        let (seal, seal_rung) = bounded(1);
        Jobs {
            inline,
            bell,
            bell_rung,
            awake: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            compute,
            computing,
            backlog: AtomicUsize::new(0),
            shrunk: Default::default(),
            tree: Mutex::new(tree),
            seal,
            seal_rung,
            seal_failure: Mutex::new(None),
            threads: Mutex::new(Vec::new()),
        }
    }

    /// Whether there are no threads, for a simulation.
    pub(crate) fn is_inline(&self) -> bool {
        self.inline
    }

    /// The tree as far as it was hashed.
    pub(crate) fn tree(&self) -> Tree {
        self.tree.lock().clone()
    }

    /// Hashes up to `most` further leaves; `true` if there are more.
    pub(crate) fn hash_leaves(&self, core: &Core, most: u64) -> crate::error::Result<bool> {
        let mut tree = self.tree();
        let more = indexer::hash_leaves(&core.log, &mut tree, core.log.durable(), most)?;
        *self.tree.lock() = tree;
        Ok(more)
    }

    /// A group was committed; `wanting` says that room or a spare file is wanted.
    pub(crate) fn committed(&self, wanting: bool) {
        if wanting || !self.awake.load(Ordering::Relaxed) {
            self.awake.store(true, Ordering::Relaxed);
            let _ = self.bell.try_send(());
        }
    }

    /// A segment is full: its index is to be written and its leaves hashed. Waits while too many
    /// are waiting already, so that memory stays bounded.
    pub(crate) fn index(&self, core: &Core, segment: Arc<RawSegment>) {
        if self.inline {
            indexer::index_segment(&core.log, &segment);
            return;
        }
        self.backlog.fetch_add(1, Ordering::AcqRel);
        let _ = self.compute.send(Compute::Index(segment));
        let mut lock = self.shrunk.0.lock();
        while self.backlog.load(Ordering::Acquire) > BACKLOG_MAX && !self.stopping.load(Ordering::Relaxed) {
            self.shrunk.1.wait_for(&mut lock, Duration::from_millis(50));
        }
    }

    /// Starts the threads.
    pub(crate) fn start(
        &self,
        committer: &Arc<Committer>,
        sync_every: Option<Duration>,
        sealing: bool,
    ) -> std::io::Result<()> {
        if self.inline {
            return Ok(());
        }
        let spawn = |name: &str, work: fn(&Committer, Duration), every: Duration| {
            let committer = Arc::clone(committer);
            thread::Builder::new().name(name.to_owned()).spawn(move || work(&committer, every))
        };
        let mut threads = self.threads.lock();
        threads.push(spawn("annals-room", |committer, _| room_thread(committer), IDLE)?);
        threads.push(spawn("annals-index", |committer, _| compute_thread(committer), IDLE)?);
        if sealing {
            threads.push(spawn("annals-seal", |committer, _| seal_thread(committer), IDLE)?);
            self.ring_sealer();
        }
        if let Some(every) = sync_every {
            threads.push(spawn("annals-sync", sync_thread, every)?);
        }
        Ok(())
    }

    fn ring_sealer(&self) {
        let _ = self.seal.try_send(());
    }

    /// Why sealing stands still, if it does.
    pub(crate) fn seal_failure(&self) -> Option<String> {
        self.seal_failure.lock().clone()
    }

    /// Stops the threads and waits for them.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let _ = self.bell.try_send(());
        let _ = self.compute.send(Compute::Stop);
        self.ring_sealer();
        for thread in self.threads.lock().drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Seals what is full and durable, whenever somebody rings and again after a failure.
fn seal_thread(committer: &Committer) {
    crate::io::host::lower_priority();
    let core = committer.core();
    let jobs = &core.jobs;
    let mut failed = false;
    loop {
        // In a `Written` log a segment becomes durable some time after it is full.
        let wait = if failed { sealer::RETRY } else { SEAL_LOOK };
        if let Err(RecvTimeoutError::Disconnected) = jobs.seal_rung.recv_timeout(wait) {
            return;
        }
        if jobs.stopping.load(Ordering::Acquire) {
            return;
        }
        let done = sealer::seal_due(core, core.level, &mut || Ok(()), &|| !jobs.stopping.load(Ordering::Acquire));
        failed = done.is_err();
        *jobs.seal_failure.lock() = done.err().map(|error| error.to_string());
        failed |= tiers::make_due(core, &|| !jobs.stopping.load(Ordering::Acquire));
    }
}

fn room_thread(committer: &Committer) {
    let core = committer.core();
    let jobs = &core.jobs;
    let mut seen = crate::position::Position::ORIGIN;
    while !jobs.stopping.load(Ordering::Acquire) {
        let rung = if jobs.awake.load(Ordering::Relaxed) {
            jobs.bell_rung.recv_timeout(IDLE)
        } else {
            jobs.bell_rung.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match rung {
            Ok(()) => make_room(committer),
            Err(RecvTimeoutError::Timeout) => {
                let next = committer.next();
                if seen == next {
                    jobs.awake.store(false, Ordering::Relaxed);
                    committer.write_idle_slot();
                }
                seen = next;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Extends the active file ahead of need, then prepares the next one, as long as nobody rings.
fn make_room(committer: &Committer) {
    let core = committer.core();
    let (room, end) = committer.room();
    extend_ahead(core, &room, end);
    while room.wants_spare(end) && !core.jobs.stopping.load(Ordering::Relaxed) {
        match core.spare.prepare(&*core.log.storage, &room) {
            Ok(true) if core.jobs.bell_rung.is_empty() => {}
            Ok(true) => break,
            Ok(false) | Err(_) => break,
        }
        let (now, end) = committer.room();
        if !Arc::ptr_eq(&now, &room) {
            break;
        }
        extend_ahead(core, &now, end);
    }
}

/// What fails for want of room fails again, and is reported, where it is needed; a sync that fails
/// may have lost what was committed meanwhile.
fn extend_ahead(core: &Core, room: &Room, end: u64) {
    if let Err(error) = room.extend_ahead(end)
        && room.has_failed()
    {
        core.poison(format!("syncing the active segment failed: {error}"));
    }
}

fn sync_thread(committer: &Committer, every: Duration) {
    let jobs = &committer.core().jobs;
    while !jobs.stopping.load(Ordering::Acquire) {
        thread::park_timeout(every);
        if committer.sync_written().is_err() {
            return;
        }
    }
}

fn compute_thread(committer: &Committer) {
    let core = committer.core();
    let jobs = &core.jobs;
    let mut waiting: VecDeque<Arc<RawSegment>> = VecDeque::new();
    let mut leaves_due = true;
    loop {
        let idle = waiting.is_empty() && !leaves_due;
        let next = if idle { jobs.computing.recv().ok() } else { jobs.computing.try_recv().ok() };
        match next {
            Some(Compute::Stop) => return,
            Some(Compute::Index(segment)) => {
                waiting.push_back(segment);
                continue;
            }
            None if idle => return,
            None => {}
        }
        if let Some(segment) = waiting.pop_front() {
            indexer::index_segment(&core.log, &segment);
            jobs.ring_sealer();
            jobs.backlog.fetch_sub(1, Ordering::AcqRel);
            jobs.shrunk.1.notify_all();
            leaves_due = true;
        } else {
            // Only full segments: the active one is hashed when it is closed or asked for.
            let durable = core.log.durable();
            let base = core.log.segments().newest().map_or(durable, |segment| segment.base());
            let due = jobs.tree().size() + 1 < base.get().min(durable.get() + 1);
            leaves_due = due && jobs.hash_leaves(core, LEAVES_AT_ONCE).unwrap_or(false);
        }
    }
}

/// Removes a spare file that is not needed any more.
pub(crate) fn remove_spare(storage: &dyn Storage) {
    let _ = storage.remove(&super::files::spare());
}
