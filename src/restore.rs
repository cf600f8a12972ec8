//! Restore: a store of its own, made from a backup or from any store that can be read without damage
//! and that nobody writes to.
//!
//! Order: all files are copied under temporary names, each checked on the way; they get their names;
//! a new segment begins under the next epoch; ANCHOR comes last, and with it the directory is a store.
//! The next epoch is begun as recovery does it: the last file says `cut`, so positions from there on
//! stand in another file under another epoch, and no id made from them equals one of the original.

use std::io::IoSlice;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::backup::part::{self, Pace, Part, check, copy, failed, remove_if_there};
use crate::backup::{sealed, verify_copy, workers};
use crate::error::{Error, ErrorKind, Result};
use crate::format::PAGE_BYTES;
use crate::format::anchor::Anchor;
use crate::format::bytes::u64_at;
use crate::format::frame::FIRST_OFFSET;
use crate::format::header::{Mode as Durability, SegmentHeader};
use crate::format::leaf::Tree;
use crate::format::slot::{Slot, State as SlotState};
use crate::io::{DiskStorage, LockGuard, Mode, Storage};
use crate::limits;
use crate::log::anchor_file::{self, AnchorRead};
use crate::log::files::{self, Directory, LOG};
use crate::log::follow;
use crate::log::open::{check_file_system, not_a_store, take_lock};
use crate::position::Position;
use crate::report::{Progress, Restored};
use crate::segment::Segment;
use crate::segment::sealed::SealedSegment;
use crate::segment::sealed::shelf::Shelf;
use crate::store::Store;
use crate::time::Timestamp;
use crate::worker::state::State;

impl Store {
    /// Makes a store from a backup, or from any store that is not damaged and that nobody has open for
    /// writing. `to` must be absent or empty. Events keep ids, positions, versions, times and the id of
    /// the log; the log goes on under the next epoch. All of it is copied, nothing linked, and the
    /// result is verified to the last byte before this returns.
    ///
    /// A torn tail of the source is left out, and told in the report. Blocks while it works. Two stores
    /// that were restored from one backup go on under the same epoch: go on with one of them.
    ///
    /// # Errors
    /// `NotFound`, `NotAStore`, `Locked`: of the source. `Corruption`: it is damaged, or a backup that
    /// was never finished; nothing is restored. `Conflict`: `to` holds something. `Invalid`: it lies in
    /// the source, or on a network file system. `Full`, `Io`.
    pub fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Restored> {
        Store::restore_with(from, to, |_| ControlFlow::Continue(()))
    }

    /// As [`Store::restore`]; `progress` is called often and may stop it.
    ///
    /// # Errors
    /// As [`Store::restore`]; `Closed` if `progress` stopped it.
    pub fn restore_with(
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
        progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Restored> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let on = |path: &Path| {
            let storage = DiskStorage::open(path);
            storage.map_err(|error| Error::io(format_args!("open {}", path.display()), error))
        };
        let source: Arc<dyn Storage> = Arc::new(on(from)?);
        let target: Arc<dyn Storage> = Arc::new(on(to)?);
        Store::restore_on((&source, from), (&target, to), progress)
    }

    /// Restores between any storages; for simulations.
    ///
    /// # Errors
    /// As [`Store::restore_with`].
    #[doc(hidden)]
    pub fn restore_on(
        from: (&Arc<dyn Storage>, &Path),
        to: (&Arc<dyn Storage>, &Path),
        mut progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Restored> {
        let begun = Instant::now();
        let mut restored = restore(from, to, &mut progress)?;
        let verified = verify_copy(to.0, to.1, restored.position, restored.bytes, &mut progress)?;
        restored.root = verified.root;
        restored.took = begun.elapsed();
        Ok(restored)
    }
}

fn restore(
    (source, from): (&Arc<dyn Storage>, &Path),
    (target, to): (&Arc<dyn Storage>, &Path),
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Restored> {
    match files::what_is(&**source)? {
        Directory::Store => {}
        Directory::Foreign => return Err(not_a_store(from)),
        Directory::Missing | Directory::Empty => {
            return Err(Error::not_found(format!("there is no backup and no store at {}", from.display())));
        }
    }
    part::refuse_inside(&**source, &**target, "the source", to)?;
    refuse_taken(&**target, to)?;
    check_file_system(&**target, to, false)?;
    let _source_lock = lock_source(&**source, from)?;
    let anchor = match anchor_file::read(&**source)? {
        AnchorRead::Valid { anchor, .. } => *anchor,
        AnchorRead::Missing | AnchorRead::Bad(_) => {
            let bad = crate::error::Corruption::new(files::ANCHOR, 0, "the identity of the log", "no valid slot");
            return Err(Error::from(bad)
                .hinting("a backup without ANCHOR was never finished; run `annals backup` into it again"));
        }
    };
    let (log, _, recovery) = follow::open(Arc::clone(source), from, Shelf::new(limits::CACHE_BYTES_DEFAULT))?;
    if let Some(damage) = log.damage().first() {
        return Err(damage.clone().into());
    }
    let segments = log.segments();
    let parts = Part::all(&segments, log.tail());
    let sealed: Vec<&Arc<SealedSegment>> = segments.0.iter().filter_map(Segment::sealed).collect();

    let create = |error| Error::io(format_args!("create {}", to.display()), error);
    target.create_dir_all("".as_ref()).map_err(create)?;
    let _target_lock = take_lock(&**target, to)?;
    refuse_taken(&**target, to)?;
    target.create_dir_all(LOG.as_ref()).map_err(create)?;
    part::remove_temporaries(&**target)?;
    let workers = workers::read_all(&**source, log.id)?;
    let (tail, torn) = (log.tail(), recovery.torn);
    let mut made = Made { sealed: &sealed, parts: &parts, tail, anchor: &anchor, torn, workers: &workers };
    let restored = made.copy_all(&**source, &**target, progress);
    restored.inspect_err(|_| {
        // So that it can be tried again: what has no ANCHOR is no store.
        let _ = part::remove_temporaries(&**target);
    })
}

/// Refuses a directory that holds anything but what an unfinished creation leaves.
fn refuse_taken(target: &dyn Storage, to: &Path) -> Result<()> {
    match files::what_is(target)? {
        Directory::Missing | Directory::Empty => Ok(()),
        Directory::Store | Directory::Foreign => {
            Err(Error::new(ErrorKind::Conflict, format!("{} is not empty", to.display()))
                .hinting("name an empty or absent directory; nothing was touched"))
        }
    }
}

/// Keeps writers away while the source is read. On a medium that cannot be written there are none.
fn lock_source(source: &dyn Storage, from: &Path) -> Result<Option<Box<dyn LockGuard>>> {
    use std::error::Error as _;
    use std::io::ErrorKind as K;
    match take_lock(source, from) {
        Ok(guard) => Ok(Some(guard)),
        Err(error) => {
            let system = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
            match system.map(std::io::Error::kind) {
                Some(K::PermissionDenied | K::ReadOnlyFilesystem) => Ok(None),
                _ => Err(error),
            }
        }
    }
}

struct Made<'a> {
    sealed: &'a [&'a Arc<SealedSegment>],
    parts: &'a [Part],
    tail: Position,
    anchor: &'a Anchor,
    torn: Option<String>,
    workers: &'a [(String, State)],
}

impl Made<'_> {
    fn copy_all(
        &mut self,
        source: &dyn Storage,
        target: &dyn Storage,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Restored> {
        let frames: u64 = self.parts.iter().map(Part::frame_bytes).sum();
        let frames = frames + self.sealed.iter().map(|sealed| sealed.file_bytes()).sum::<u64>();
        let told = Progress { done_bytes: 0, total_bytes: frames.saturating_mul(2), events: 0 };
        let mut pace = Pace { told, tell: progress };
        let mut restored = Restored { position: self.tail, torn: self.torn.take(), ..Restored::default() };
        let mut recorded_at = Timestamp::from_nanos(i64::MIN);
        let (mut before, mut group_seq, mut named) = (0, 0, Vec::new());
        let mut placed = Vec::new();
        for sealed in self.sealed {
            let temporary = sealed.path.with_extension("seg.tmp");
            remove_if_there(target, &temporary)?;
            let mut each = |bytes: u64| pace.at(before + bytes, sealed.base().get() - 1);
            restored.bytes += sealed::copy(source, target, &sealed.path, &temporary, &mut each)?;
            restored.segments += 1;
            before += sealed.file_bytes();
            recorded_at = Timestamp::from_nanos(sealed.footer.recorded.1);
            group_seq = sealed.footer.group_seq.max(group_seq);
            placed.push((temporary, sealed.path.clone()));
        }
        for part in self.parts {
            let file = source.open(&part.path, Mode::Read).map_err(failed("open", &part.path))?;
            let mut each = |end: u64| pace.at(before + (end - FIRST_OFFSET), part.header.base.get() - 1);
            let checked = check(&*file, part, recorded_at, &mut each)?;
            recorded_at = checked.recorded_at;
            group_seq = checked.group_seq.max(group_seq);
            before += part.frame_bytes();
            // An empty file at the end gives its name to the one that begins the new epoch.
            if part.header.base <= self.tail {
                copy(&*file, target, part, &checked)?;
                named.push(part);
                restored.segments += 1;
                restored.bytes += checked.end;
            }
        }
        let first = self.first_of_epoch(target);
        let temporary = files::raw(first.base).with_extension("raw.tmp");
        remove_if_there(target, &temporary)?;
        begin(target, &temporary, &first, group_seq, recorded_at)?;
        for (temporary, path) in placed {
            target.rename_new(&temporary, &path).map_err(failed("name", &path))?;
        }
        for part in named {
            target.rename_new(&part.temporary(), &part.path).map_err(failed("name", &part.path))?;
        }
        let path = files::raw(first.base);
        target.rename_new(&temporary, &path).map_err(failed("name", &path))?;
        target.sync_dir(LOG.as_ref()).map_err(failed("sync", LOG.as_ref()))?;
        workers::write_all(target, self.anchor.log, self.workers, self.tail)?;
        restored.workers = self.workers.len() as u64;
        let tree = &self.anchor.tree;
        let anchor = Anchor {
            seq: 0,
            log: self.anchor.log,
            epoch: first.epoch,
            newest_base: first.base,
            durable: self.tail,
            created_at: self.anchor.created_at,
            tree: if tree.size() <= self.tail.get() { tree.clone() } else { Tree::default() },
        };
        anchor_file::create(target, &anchor)?;
        restored.epoch = first.epoch;
        Ok(restored)
    }

    /// The segment that the next event goes into: as the last one was, under the next epoch.
    fn first_of_epoch(&self, target: &dyn Storage) -> SegmentHeader {
        let last = self.parts.last().map(|part| part.header);
        SegmentHeader {
            mode: last.map_or(Durability::Synced, |last| last.mode),
            log: self.anchor.log,
            base: self.tail.next(),
            epoch: last.map_or(self.anchor.epoch, |last| last.epoch.max(self.anchor.epoch)).saturating_add(1),
            salt: u64_at(&target.random(), 0).unwrap_or_default(),
            created_at: Timestamp::now(),
            segment_bytes: last.map_or(limits::SEGMENT_BYTES_DEFAULT, |last| last.segment_bytes),
        }
    }
}

/// Writes an empty segment whose slot says that it was closed in order.
fn begin(
    target: &dyn Storage,
    path: &Path,
    header: &SegmentHeader,
    group_seq: u64,
    recorded_at: Timestamp,
) -> Result<()> {
    let file = target.open(path, Mode::CreateNew).map_err(failed("create", path))?;
    let slot = Slot {
        seq: 1,
        log: header.log,
        epoch: header.epoch,
        base: header.base,
        state: SlotState::Clean,
        end_offset: FIRST_OFFSET,
        end_position: Position::new(header.base.get() - 1),
        last_header_check: 0,
        group_seq,
        recorded_at,
    };
    let write = |bytes: &[u8], at| file.write_all_at(&mut [IoSlice::new(bytes)], at).map_err(failed("write", path));
    write(&header.encode()[..], 0)?;
    write(&[0; 2 * PAGE_BYTES], PAGE_BYTES as u64)?;
    write(&slot.encode(header.salt)[..], slot.offset())?;
    file.sync_data().map_err(failed("sync", path))
}
