//! Room for frames ahead of need, so that no append waits for the file system to find blocks.
//!
//! Invariants: bytes below `allocated` are in the file; the committer writes there without asking.
//! Whoever extends a file (the committer in need, or the thread ahead of it) holds its lock, and
//! the thread writes zeros only at or beyond `allocated`, so zeros never meet a frame. The system
//! tells a failed sync once, to whoever asks first, so who syncs beside the committer does so under
//! `syncing`, and the committer believes its own sync only when it has seen how that one ended.
//!
//! How, by what was measured: small synced groups want blocks that were written before (else each
//! sync also commits the journal), so zeros are written ahead; large groups and `Written` segments
//! only want them reserved, since writing everything twice halves a bulk load. What is ahead grows
//! with what is used, so a store of fifty events takes kilobytes.

use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::format::frame::FIRST_OFFSET;
use crate::format::header::Mode;
use crate::io::{File, FsKind, Mode as Open, Storage};
use crate::log::files;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const ZEROS_MIN: u64 = 64 << 10;
const ZEROS_MAX: u64 = 4 << 20;
const RESERVE_MAX: u64 = 16 << 20;
/// Groups of more bytes than this on average are a bulk load. Of groups of 230 KB a sync took 0.32 ms
/// in blocks of zeros and 0.59 ms in reserved ones, of which the file system has more to note.
const BULK_GROUP_BYTES: u64 = 512 << 10;
/// The spare is begun when so much of the segment is used: one part in this many.
const SPARE_FROM: u64 = 4;

static ZEROS: [u8; 256 << 10] = [0; 256 << 10];

/// One raw file that takes frames.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) file: Arc<dyn File>,
    segment_bytes: u64,
    mode: Mode,
    kind: FsKind,
    /// Written under `extending`; read by the committer (Acquire).
    allocated: AtomicU64,
    extending: Mutex<()>,
    /// Moving average of a group's bytes; written by the committer, a hint to the thread.
    group_bytes: AtomicU64,
    closing: AtomicBool,
    /// Held during a sync beside the committer; whether one has failed.
    syncing: Mutex<bool>,
}

impl Room {
    pub(crate) fn new(file: Arc<dyn File>, allocated: u64, segment_bytes: u64, mode: Mode, kind: FsKind) -> Room {
        Room {
            file,
            segment_bytes,
            mode,
            kind,
            allocated: AtomicU64::new(allocated),
            extending: Mutex::new(()),
            group_bytes: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            syncing: Mutex::new(false),
        }
    }

    /// Syncs what the committer wrote.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        match *self.syncing.lock() {
            false => Ok(()),
            true => Err(io::Error::other("a sync of the same file failed")),
        }
    }

    /// Syncs off the commit path.
    pub(crate) fn sync_beside(&self) -> io::Result<()> {
        let mut failed = self.syncing.lock();
        let synced = self.file.sync_data();
        *failed |= synced.is_err();
        synced
    }

    pub(crate) fn allocated(&self) -> u64 {
        self.allocated.load(Ordering::Acquire)
    }

    /// Makes room up to `end` now; the thread was late or there is none.
    pub(crate) fn ensure(&self, end: u64) -> io::Result<()> {
        if end <= self.allocated() {
            return Ok(());
        }
        let _extending = self.extending.lock();
        let allocated = self.allocated();
        if end <= allocated {
            return Ok(());
        }
        let target = (end + self.step(end)).min(self.segment_bytes).max(end);
        if self.kind != FsKind::CopyOnWrite
            && let Err(error) = self.file.allocate(allocated, target - allocated)
        {
            // Less may do: only what is needed now.
            if !crate::error::is_full(&error) || self.file.allocate(allocated, end - allocated).is_err() {
                return Err(error);
            }
            self.allocated.store(end, Ordering::Release);
            return Ok(());
        }
        self.allocated.store(target, Ordering::Release);
        Ok(())
    }

    fn step(&self, used: u64) -> u64 {
        let used = used.saturating_sub(FIRST_OFFSET);
        if self.zeroes() { used.clamp(ZEROS_MIN, ZEROS_MAX) } else { used.clamp(ZEROS_MIN, RESERVE_MAX) }
    }

    fn zeroes(&self) -> bool {
        self.mode == Mode::Synced
            && self.kind == FsKind::Local
            && self.group_bytes.load(Ordering::Relaxed) <= BULK_GROUP_BYTES
    }

    /// Notes a group, and says whether the thread should look: `end` is where the next frame goes.
    pub(crate) fn note_group(&self, bytes: u64, end: u64) -> bool {
        let old = self.group_bytes.load(Ordering::Relaxed);
        self.group_bytes.store((old * 7 + bytes) / 8, Ordering::Relaxed);
        self.wants_more(end)
    }

    fn wants_more(&self, end: u64) -> bool {
        let allocated = self.allocated();
        allocated < self.segment_bytes && allocated < end + self.step(end) / 2
    }

    /// Extends ahead of `end`. For the thread; an error here only means that the committer will
    /// meet it.
    pub(crate) fn extend_ahead(&self, end: u64) -> io::Result<()> {
        if !self.wants_more(end) || self.closing.load(Ordering::Relaxed) {
            return Ok(());
        }
        let _extending = self.extending.lock();
        let from = self.allocated();
        let to = (end.max(from) + self.step(end)).min(self.segment_bytes);
        if from >= to {
            return Ok(());
        }
        self.fill(from, to)?;
        self.allocated.store(to, Ordering::Release);
        Ok(())
    }

    /// Zeros or reserves a range that lies beyond everything written.
    fn fill(&self, from: u64, to: u64) -> io::Result<()> {
        match (self.kind, self.zeroes()) {
            (FsKind::CopyOnWrite, _) => Ok(()),
            (_, false) => self.file.allocate(from, to - from),
            (_, true) => {
                let mut at = from;
                while at < to {
                    let len = (ZEROS.len() as u64).min(to - at);
                    self.file.write_all_at(&mut [IoSlice::new(&ZEROS[..len as usize])], at)?;
                    at += len;
                }
                self.sync_beside()
            }
        }
    }

    /// Whether a sync beside the committer has failed.
    pub(crate) fn has_failed(&self) -> bool {
        *self.syncing.lock()
    }

    /// Keeps the thread from extending any further and waits until it has let go.
    pub(crate) fn stop(&self) {
        self.closing.store(true, Ordering::Relaxed);
        drop(self.extending.lock());
    }

    /// Whether it is time to prepare the next file.
    pub(crate) fn wants_spare(&self, end: u64) -> bool {
        end > self.segment_bytes / SPARE_FROM && self.kind != FsKind::CopyOnWrite
    }

    /// How the next segment's file should be prepared, by the experience with this one.
    pub(crate) fn spare_like(&self, file: Arc<dyn File>, allocated: u64) -> Room {
        let spare = Room::new(file, allocated, self.segment_bytes, self.mode, self.kind);
        spare.group_bytes.store(self.group_bytes.load(Ordering::Relaxed), Ordering::Relaxed);
        spare
    }
}

/// Where the next segment's file stands ready.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    room: Mutex<Option<Room>>,
    ready: AtomicBool,
}

impl Spare {
    /// Takes a step in preparing the file; `true` if there is more to do.
    pub(crate) fn prepare(&self, storage: &dyn Storage, active: &Room) -> io::Result<bool> {
        let mut room = self.room.lock();
        let spare = match &*room {
            Some(spare) => spare,
            None => {
                let file = storage.open(&files::spare(), Open::Create)?;
                let len = file.len()?;
                room.insert(active.spare_like(file, len))
            }
        };
        let from = spare.allocated();
        let goal = if spare.zeroes() { spare.segment_bytes } else { RESERVE_MAX.min(spare.segment_bytes) };
        let to = (from + ZEROS_MAX).min(goal);
        if from >= to {
            self.ready.store(true, Ordering::Relaxed);
            return Ok(false);
        }
        spare.fill(from, to)?;
        spare.allocated.store(to, Ordering::Release);
        self.ready.store(to >= goal, Ordering::Relaxed);
        Ok(to < goal)
    }

    /// Whether nothing more is to be prepared. A hint.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Gives up the file to whoever begins the next segment: how far it is prepared.
    pub(crate) fn take(&self) -> Option<Room> {
        self.ready.store(false, Ordering::Relaxed);
        self.room.lock().take()
    }
}
