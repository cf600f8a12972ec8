//! What every handle on a log shares: identity, the list of segments, how far it is published.
//!
//! Invariants: `tail` is the newest position that anybody may see; everything up to it stands in
//! the segments of the list, whole, and never changes. `tail` never
//! exceeds `durable` where the segments are synced (there it moves right behind it). A list, once loaded, stays good: segments are
//! only ever added to later lists, and a file that is replaced stays mapped.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::doorbell::Doorbell;
use super::lost::Damage;
use super::tiers::Tiers;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{EventRef, LogId};
use crate::format::Bad;
use crate::format::sealed::block::Row;
use crate::format::term::TermHasher;
use crate::io::Storage;
use crate::position::Position;
use crate::segment::Segment;
use crate::segment::raw::RawSegment;
use crate::segment::sealed::Cursor;
use crate::segment::sealed::shelf::Shelf;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{ArcSwap, Mutex, thread};
use crate::time::Timestamp;

/// How often a list of the files is taken again where one of them was replaced, and the pause before
/// each further attempt: a writer that seals or archives names the new file just before it lists it.
pub(crate) const GONE_TRIES: u32 = 20;
pub(crate) const GONE_WAIT: Duration = Duration::from_millis(5);

/// The segments in order of position, and the lookup tiers over them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Segments(pub(crate) Vec<Segment>, pub(crate) Tiers);

impl Segments {
    /// Index of the segment that holds or would hold the position.
    pub(crate) fn index_of(&self, position: Position) -> Option<usize> {
        self.0.partition_point(|segment| segment.base() <= position).checked_sub(1)
    }

    /// The newest raw segment: the one that takes appends, if anybody writes.
    pub(crate) fn newest(&self) -> Option<&Arc<RawSegment>> {
        self.0.last().and_then(Segment::raw)
    }

    pub(crate) fn raw(&self) -> impl DoubleEndedIterator<Item = &Arc<RawSegment>> {
        self.0.iter().filter_map(Segment::raw)
    }
}

/// Lists the files anew.
pub(crate) struct Lister(pub(crate) Box<List>);

type List = dyn Fn(&Log) -> Result<()> + Send + Sync;

impl std::ops::Deref for Lister {
    type Target = List;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl std::fmt::Debug for Lister {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lister")
    }
}

#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) id: LogId,
    pub(crate) hasher: TermHasher,
    segments: ArcSwap<Segments>,
    /// What the sealed segments share.
    pub(crate) shelf: Arc<Shelf>,
    /// Written by the committer or, in a process that only reads, by whoever refreshes (Release,
    /// after the bytes and the index); read by everybody (Acquire).
    tail: AtomicU64,
    /// Written by the committer or the thread that syncs (Release, after the sync).
    durable: AtomicU64,
    pub(crate) doorbell: Doorbell,
    closed: AtomicBool,
    /// Damage found when the store was opened for reading.
    pub(super) damage: Damage,
    /// How a process that only reads lists the files anew.
    pub(crate) lister: OnceLock<Lister>,
    /// Indexes that turned out damaged while they were used, and were left out of use.
    pub(crate) distrusted: Mutex<Vec<(PathBuf, String)>>,
}

impl Log {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        id: LogId,
        shelf: Arc<Shelf>,
        segments: Segments,
        tail: Position,
        durable: Position,
    ) -> Log {
        Log {
            storage,
            id,
            hasher: TermHasher::new(id),
            segments: ArcSwap::from_pointee(segments),
            shelf,
            tail: AtomicU64::new(tail.get()),
            durable: AtomicU64::new(durable.get()),
            doorbell: Doorbell::default(),
            closed: AtomicBool::new(false),
            damage: Damage::none(),
            lister: OnceLock::new(),
            distrusted: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn tail(&self) -> Position {
        Position::new(self.tail.load(Ordering::Acquire))
    }

    pub(crate) fn durable(&self) -> Position {
        Position::new(self.durable.load(Ordering::Acquire))
    }

    /// Moves the tail; everything up to it is in the segments and in the index.
    pub(crate) fn set_tail(&self, tail: Position) {
        self.tail.store(tail.get(), Ordering::Release);
    }

    pub(crate) fn set_durable(&self, durable: Position) {
        self.durable.fetch_max(durable.get(), Ordering::AcqRel);
    }

    pub(crate) fn segments(&self) -> Arc<Segments> {
        self.segments.load_full()
    }

    pub(crate) fn set_segments(&self, segments: Segments) {
        self.segments.store(Arc::new(segments));
    }

    /// Changes a copy of the list and puts it in the list's place. Who holds the old one goes on with it.
    pub(super) fn rcu_segments(&self, change: impl Fn(&mut Segments)) {
        self.segments.rcu(|list| {
            let mut list = Segments::clone(list);
            change(&mut list);
            list
        });
    }

    pub(crate) fn push_segment(&self, segment: Arc<RawSegment>) {
        self.rcu_segments(|list| list.0.push(Segment::Raw(Arc::clone(&segment))));
    }

    /// Puts the sealed form of a segment in the place of its raw one. Who holds an older list reads on
    /// in the raw one.
    pub(crate) fn replace_segment(&self, sealed: &Segment) {
        self.rcu_segments(|list| {
            if let Some(place) = list.0.iter_mut().find(|segment| segment.base() == sealed.base()) {
                *place = sealed.clone();
            }
        });
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn set_closed(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.is_closed() { Err(Error::new(ErrorKind::Closed, "the store is closed")) } else { Ok(()) }
    }

    /// Runs `read`, and again after listing the files anew where one was gone: another process may have sealed it.
    pub(crate) fn settled<T>(&self, mut read: impl FnMut() -> Result<T>) -> Result<T> {
        for attempt in 0..GONE_TRIES {
            match read() {
                Err(error) if error.is_gone() => {
                    if attempt > 0 {
                        thread::sleep(GONE_WAIT);
                    }
                    self.relist()?;
                }
                other => return other,
            }
        }
        read()
    }

    /// The segment that holds a position, and its row there, with its file at hand; `None` if the log does not hold it
    /// (yet).
    pub(crate) fn segment_at(&self, position: Position) -> Result<Option<(Segment, u32)>> {
        if position == Position::ORIGIN || position > self.tail() {
            return self.check_held(position..=position).map(|()| None);
        }
        self.settled(|| {
            let segments = self.segments.load();
            let segment = segments.index_of(position).map(|index| &segments.0[index]);
            let found = segment.and_then(|segment| Some((segment, segment.row_of(position)?)));
            let (segment, row) = found.ok_or_else(|| self.missing(position))?;
            segment.open()?;
            Ok(Some((segment.clone(), row)))
        })
    }

    /// Runs `each` on the event at a position; `None` if the log does not hold it (yet).
    pub(crate) fn with_event<T>(&self, position: Position, each: impl FnOnce(&EventRef<'_>) -> T) -> Result<Option<T>> {
        match self.segment_at(position)? {
            None => Ok(None),
            Some((Segment::Raw(raw), row)) => {
                let event = raw.event_at(raw.mapping()?, raw.place(row)?, position)?;
                Ok(Some(each(&event)))
            }
            Some((Segment::Sealed(sealed), row)) => {
                sealed.with_row(&mut Cursor::default(), row, true, |row| each(&row.event)).map(Some)
            }
        }
    }

    /// When the event at a position was recorded; `None` as with [`Log::with_event`].
    pub(crate) fn recorded_at(&self, position: Position) -> Result<Option<Timestamp>> {
        match self.segment_at(position)? {
            Some((Segment::Sealed(sealed), row)) => sealed.recorded_at(row).map(Some),
            _ => self.with_event(position, |event| event.recorded_at()),
        }
    }

    /// Runs `each` on the event at a position, whose data it may be given or not; `None` as with [`Log::with_event`].
    pub(crate) fn with_head<T>(&self, position: Position, each: impl FnOnce(&EventRef<'_>) -> T) -> Result<Option<T>> {
        match self.segment_at(position)? {
            Some((Segment::Sealed(sealed), row)) => {
                sealed.with_row(&mut Cursor::default(), row, false, |row| each(&row.event)).map(Some)
            }
            _ => self.with_event(position, each),
        }
    }

    /// Takes a fresh list of the files, where another process may have replaced some.
    pub(crate) fn relist(&self) -> Result<()> {
        match self.lister.get() {
            Some(list) => list(self),
            None => Ok(()),
        }
    }

    /// Runs `each` on the event at a position and on what it has from its batch; `None` as with
    /// [`Log::with_event`].
    pub(crate) fn with_row<T>(&self, position: Position, each: impl FnOnce(&Row<'_>) -> T) -> Result<Option<T>> {
        let Some((segment, row)) = self.segment_at(position)? else { return Ok(None) };
        segment.with_row(row, each).map(Some)
    }

    /// What is hashed to make the leaf of the event at a position; `None` as with [`Log::with_event`].
    pub(crate) fn preimage(&self, position: Position) -> Result<Option<Vec<u8>>> {
        let Some((segment, row)) = self.segment_at(position)? else { return Ok(None) };
        segment.preimage(row).map(Some)
    }

    /// The checkpoint of who has dealt with everything up to a position; `None` as with [`Log::with_event`].
    pub(crate) fn checkpoint(&self, position: Position) -> Result<Option<Checkpoint>> {
        if position == Position::ORIGIN {
            return Ok(Some(Checkpoint::ORIGIN));
        }
        let Some(fingerprint) = self.fingerprint(position)? else { return Ok(None) };
        let epoch = self.with_head(position, |event| event.epoch())?;
        Ok(epoch.map(|epoch| Checkpoint { position, epoch, fingerprint }))
    }

    /// The first 16 bytes of the leaf of the event at a position; `None` as with [`Log::with_event`].
    pub(crate) fn fingerprint(&self, position: Position) -> Result<Option<[u8; 16]>> {
        let preimage = self.preimage(position)?;
        if cfg!(annals_no_fingerprint) {
            return Ok(preimage.map(|_| [0; 16]));
        }
        Ok(preimage.and_then(|preimage| Sha256::digest(preimage).first_chunk::<16>().copied()))
    }

    /// An index whose pages fail their checks is not asked again; its rows are found by scanning
    /// until it is made anew.
    pub(crate) fn distrust(&self, segment: &RawSegment, why: &Bad) {
        {
            let mut index = segment.index.write();
            index.idx = None;
            // An index in memory that only stood behind the file's has nothing to go on from.
            index.mem = index.mem.take().filter(|mem| mem.first_row() == 0 || mem.end_row() > mem.first_row());
        }
        let why = format!("expected {}, found {} at byte {}", why.expected, why.found, why.offset);
        self.note_distrust(segment.idx_path(), why);
    }

    /// Notes once that a derived file is not used, and why.
    pub(crate) fn note_distrust(&self, path: PathBuf, why: String) {
        let mut distrusted = self.distrusted.lock();
        if !distrusted.iter().any(|(known, _)| *known == path) {
            distrusted.push((path, why));
        }
    }
}
