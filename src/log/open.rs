//! Opening a log for writing: lock, look, act, begin.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::anchor_file::{self, AnchorRead};
use super::background::Jobs;
use super::commit::Committer;
use super::core::{Core, Counters, Matcher, Poison};
use super::files::{self, Directory};
use super::indexer::{self, Opened};
use super::live_file::{LiveReader, LiveWriter};
use super::overlay::Overlay;
use super::recover::act;
use super::recover::look::{Look, RawFile, SealedFile, look};
use super::room::{Room, Spare};
use super::sealer;
use super::shared::{Log, Segments};
use super::tiers::{self, TierKeeper, Tiers};
use super::timekeeper::{BEHIND_MAX, Timekeeper};
use super::writer::{Writer, write_slot};
use crate::error::{Corruption, Error, ErrorKind, Result};
use crate::event::LogId;
use crate::format::anchor::Anchor;
use crate::format::bytes::u64_at;
use crate::format::frame::FIRST_OFFSET;
use crate::format::header::{Mode, SegmentHeader};
use crate::format::leaf::Tree;
use crate::format::slot::State;
use crate::io::{Clock, FsKind, LockGuard, Mode as Open, Storage, process_line};
use crate::position::Position;
use crate::report::Recovery;
use crate::segment::Segment;
use crate::segment::raw::RawSegment;
use crate::segment::seal::SealOptions;
use crate::segment::sealed::SealedSegment;
use crate::segment::sealed::shelf::Shelf;
use crate::sync::Mutex;
use crate::time::Timestamp;

/// What the layer above asks for.
pub(crate) struct Wanted {
    pub(crate) mode: Mode,
    pub(crate) sync_every: Option<Duration>,
    pub(crate) segment_bytes: u64,
    pub(crate) force_file_system: bool,
    pub(crate) background: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) matcher: Matcher,
    /// zstd level of sealed segments.
    pub(crate) level: i32,
    /// Whether full segments are sealed in the background.
    pub(crate) sealing: bool,
    /// Bytes of decoded blocks and pages of sealed segments that are kept.
    pub(crate) cache_bytes: u64,
}

/// A log that takes appends.
#[derive(Debug)]
pub(crate) struct OpenLog {
    pub(crate) committer: Arc<Committer>,
    pub(crate) recovery: Recovery,
    pub(crate) lock: Box<dyn LockGuard>,
}

pub(crate) fn not_a_store(root: &Path) -> Error {
    Error::new(ErrorKind::NotAStore, format!("{} holds other files and is no store", root.display()))
        .hinting("name an empty or absent directory to make a store there; nothing was touched")
}

/// Takes the lock, or says who holds it.
pub(crate) fn take_lock(storage: &dyn Storage, root: &Path) -> Result<Box<dyn LockGuard>> {
    let failed = |error| Error::io(format_args!("lock {}", root.join(files::LOCK).display()), error);
    match storage.lock(files::LOCK.as_ref()).map_err(failed)? {
        Some(guard) => {
            guard.write_text(&process_line()).map_err(failed)?;
            Ok(guard)
        }
        None => {
            let holder = holder(storage);
            let by = holder.as_deref().unwrap_or("another process or handle");
            Err(Error::new(ErrorKind::Locked, format!("{} is held by {by}", root.display()))
                .hinting("close it there first, or open it for reading only"))
        }
    }
}

fn holder(storage: &dyn Storage) -> Option<String> {
    let file = storage.open(files::LOCK.as_ref(), Open::Read).ok()?;
    let mut bytes = [0; 512];
    let got = file.read_at(&mut bytes, 0).ok()?;
    let text = String::from_utf8_lossy(bytes.get(..got)?).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Refuses file systems on which locks, mappings and syncs do not mean what they should.
pub(crate) fn check_file_system(storage: &dyn Storage, root: &Path, force: bool) -> Result<FsKind> {
    let kind = storage.kind().map_err(|error| Error::io(format_args!("look at {}", root.display()), error))?;
    if kind == FsKind::Network && !force {
        return Err(Error::invalid(format!(
            "{} lies on a network file system, where locks and syncs cannot be relied on",
            root.display()
        ))
        .hinting("put the store on a local disk"));
    }
    Ok(kind)
}

/// Opens or creates the log for writing.
pub(crate) fn open(storage: Arc<dyn Storage>, root: &Path, wanted: Wanted) -> Result<OpenLog> {
    let begun = Instant::now();
    if files::what_is(&*storage)? == Directory::Foreign {
        return Err(not_a_store(root));
    }
    let kind = check_file_system(&*storage, root, wanted.force_file_system)?;
    let create = |error| Error::io(format_args!("create {}", root.display()), error);
    storage.create_dir_all("".as_ref()).map_err(create)?;
    let lock = take_lock(&*storage, root)?;
    storage.create_dir_all(files::LOG.as_ref()).map_err(create)?;
    let mut recovery = Recovery::default();
    let anchor = anchor_or_create(&*storage, &*wanted.clock, &mut recovery)?;
    if !recovery.created {
        sync_names(&*storage)?;
        anchor_file::sync(&*storage)?;
    }
    let sealed_at = Timestamp::from_nanos(wanted.clock.wall_nanos());
    let options = SealOptions { level: wanted.level, sealed_at };
    recovery.notes.extend(sealer::settle(&storage, anchor.log, &options)?);
    let before = LiveReader::open(&*storage).and_then(|live| live.look(&*storage, anchor.log));
    let (look, live) = recover(&*storage, &anchor, &wanted, before.is_some(), &mut recovery)?;
    let (sync_every, sealing) = (wanted.sync_every, wanted.sealing);
    let open = assemble(storage, kind, anchor, look, live, wanted, recovery, lock, begun)?;
    let core = open.committer.core();
    core.jobs.start(&open.committer, sync_every, sealing).map_err(|error| Error::io("start a thread", error))?;
    Ok(open)
}

fn anchor_or_create(storage: &dyn Storage, clock: &dyn Clock, recovery: &mut Recovery) -> Result<Anchor> {
    match anchor_file::read(storage)? {
        AnchorRead::Valid { anchor, other_bad } => {
            if other_bad {
                recovery.notes.push("one of the two slots of ANCHOR was damaged; the other one served".to_owned());
            }
            Ok(*anchor)
        }
        AnchorRead::Missing if files::what_is(storage)? == Directory::Empty => {
            let anchor = Anchor {
                seq: 0,
                log: LogId(storage.random()),
                epoch: 1,
                newest_base: Position::ORIGIN,
                durable: Position::ORIGIN,
                created_at: Timestamp::from_nanos(clock.wall_nanos()),
                tree: Tree::default(),
            };
            anchor_file::create(storage, &anchor)?;
            recovery.created = true;
            Ok(anchor)
        }
        AnchorRead::Missing => Err(identity_error("no such file")),
        AnchorRead::Bad(why) => Err(identity_error(&why)),
    }
}

/// The process before may have been killed between giving a file its name and syncing that name. What
/// is appended now stands under it, so it has to be durable first.
pub(crate) fn sync_names(storage: &dyn Storage) -> Result<()> {
    let failed = |error| Error::io("sync the directories of the store", error);
    match storage.sync_dir(files::LOG.as_ref()) {
        // Power went while the store was made: ANCHOR's name was kept, and that of the directory was not.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        synced => synced.map_err(failed)?,
    }
    storage.sync_dir("".as_ref()).map_err(failed)?;
    match storage.sync_parent() {
        // Who may not read the directory above did not make the store's own there.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced.map_err(failed),
    }
}

fn identity_error(found: &str) -> Error {
    Error::from(Corruption::new(files::ANCHOR, 0, "the identity of the log", found))
        .hinting("reading still works; `annals repair --accept-loss` makes ANCHOR anew from the segments")
}

/// Looks, and acts until nothing is left to do: a log that ends where the next frame goes.
fn recover(
    storage: &dyn Storage,
    anchor: &Anchor,
    wanted: &Wanted,
    same_boot: bool,
    recovery: &mut Recovery,
) -> Result<(Look, LiveWriter)> {
    let mut seen = look(storage, anchor.log, Some(anchor))?;
    refuse_damage(&seen)?;
    for path in &seen.temporary {
        storage.remove(path).map_err(|error| Error::io(format_args!("remove {}", path.display()), error))?;
    }
    recovery.notes.append(&mut seen.notes);
    for path in &seen.foreign {
        recovery.notes.push(format!("{} is no file of the store and was left alone", path.display()));
    }
    recovery.clean = seen.is_clean() || recovery.created;
    let live = LiveWriter::begin(storage)?;
    recovery.rewritten = act::rewrite_unproven(storage, &seen)?;
    if let Some(plan) = seen.cut.clone() {
        let epoch = seen
            .files
            .get(plan.file)
            .or(seen.files.last())
            .map_or(anchor.epoch, |file| file.header.epoch)
            .max(anchor.epoch);
        let nothing_left = seen.files.get(plan.file).is_none_or(|file| plan.offset == 0 || plan.next <= file.base);
        recovery.cut = Some(act::cut(storage, &seen, &plan)?);
        if nothing_left {
            act::begin_segment(
                storage,
                &header(storage, wanted, anchor.log, plan.next, epoch_behind(epoch)),
                true,
                true,
            )?;
        }
        seen = look(storage, anchor.log, Some(anchor))?;
        refuse_damage(&seen)?;
    }
    let power_lost = !recovery.clean && !same_boot;
    let (last_epoch, begin_next) = match seen.files.last() {
        None => (anchor.epoch, Some(anchor.epoch)),
        Some(file) => {
            let epoch = file.header.epoch;
            let state = file.slot.filter(|slot| slot.end_offset == file.end).map(|slot| slot.state);
            let renewed = power_lost && file.header.mode == Mode::Written && file.header.epoch <= anchor.epoch;
            let next = match state {
                Some(State::Cut) => Some(epoch_behind(epoch)),
                // Also behind a full segment: the one that followed it may be gone, name and all.
                _ if renewed => Some(epoch_behind(epoch)),
                Some(State::Rolled) => Some(epoch),
                _ if file.header.mode != wanted.mode => Some(epoch),
                // The largest batch must fit an empty segment.
                _ if file.end == FIRST_OFFSET && file.header.segment_bytes != wanted.segment_bytes => Some(epoch),
                _ => None,
            };
            (epoch, next)
        }
    };
    if let Some(epoch) = begin_next {
        let base = seen.tail.next();
        let replace = seen.files.last().is_some_and(|file| file.base == base);
        if let Some(file) = seen.files.last().filter(|file| {
            !replace && !file.slot.is_some_and(|slot| slot.state.is_final() && slot.end_offset == file.end)
        }) {
            // Positions that a reader may have seen are used again only under another epoch.
            let state = if epoch > last_epoch { State::Cut } else { State::Rolled };
            let last_check = file.scan.as_ref().map_or(0, |scan| scan.last_check);
            let slot = act::final_slot(file, state, file.end, file.next, last_check, &seen);
            let target = storage.open(&file.path, Open::Write).map_err(|error| Error::io("open a segment", error))?;
            write_slot(&*target, &slot, file.header.salt)?;
            target.sync_data().map_err(|error| Error::io("sync a slot", error))?;
        }
        act::begin_segment(storage, &header(storage, wanted, anchor.log, base, epoch), true, replace)?;
        seen = look(storage, anchor.log, Some(anchor))?;
        refuse_damage(&seen)?;
    }
    Ok((seen, live))
}

fn header(storage: &dyn Storage, wanted: &Wanted, log: LogId, base: Position, epoch: u64) -> SegmentHeader {
    SegmentHeader {
        mode: wanted.mode,
        log,
        base,
        epoch,
        salt: u64_at(&storage.random(), 0).unwrap_or_default(),
        created_at: Timestamp::from_nanos(wanted.clock.wall_nanos()),
        segment_bytes: wanted.segment_bytes,
    }
}

/// Damage keeps the log from being written: nothing is changed, a person decides.
fn refuse_damage(seen: &Look) -> Result<()> {
    let Some(first) = seen.damage.first() else { return Ok(()) };
    let tail_only = seen.damage.iter().all(|damage| damage.is_tail);
    if !tail_only {
        return Err(first.corruption.clone().into());
    }
    Err(Error::damaged_tail(first.corruption.clone()))
}

#[expect(clippy::too_many_arguments, reason = "the one place where everything comes together")]
fn assemble(
    storage: Arc<dyn Storage>,
    kind: FsKind,
    anchor: Anchor,
    look: Look,
    live: LiveWriter,
    wanted: Wanted,
    mut recovery: Recovery,
    lock: Box<dyn LockGuard>,
    begun: Instant,
) -> Result<OpenLog> {
    let keeper = Timekeeper::new(&*wanted.clock, look.recorded_at);
    if wanted.clock.wall_nanos() < look.recorded_at.as_nanos().saturating_sub(BEHIND_MAX) {
        recovery.notes.push(format!(
            "the clock lies more than a day before the last event ({}); times go on from there",
            look.recorded_at
        ));
    }
    let Some(newest) = look.files.last() else { return Err(Error::invalid("no segment was begun")) };
    let shelf = Arc::new(Shelf::new(wanted.cache_bytes).with_threads(wanted.background));
    let mut segments = sealed_segments(&storage, &shelf, &look);
    segments.extend(look.files.iter().map(|file| {
        let raw = RawSegment::new(Arc::clone(&storage), file.path.clone(), file.header, file.end, file.next);
        Segment::Raw(Arc::new(raw))
    }));
    let active = segments.last().and_then(Segment::raw).map(Arc::clone);
    let active = active.ok_or_else(|| Error::invalid("no segment was begun"))?;
    let tiers = tiers::attach(&*storage, anchor.log, &segments, &Tiers::default(), &mut |path, why| {
        recovery.notes.push(format!("{} is not used: {why}", path.display()));
    });
    let segments = Segments(segments, tiers);
    let log = Arc::new(Log::new(Arc::clone(&storage), anchor.log, shelf, segments, look.tail, look.tail));
    index_all(&log, &active, &mut recovery)?;
    let file = storage.open(&newest.path, Open::Write).map_err(|error| Error::io("open the active segment", error))?;
    let (last_check, group_seq) = (newest.scan.as_ref().map_or(0, |scan| scan.last_check), look.group_seq);
    let room = Room::new(file, newest.len, newest.header.segment_bytes, newest.header.mode, kind);
    let mut writer = Writer {
        active,
        room: Arc::new(room),
        offset: newest.end,
        next: newest.next,
        group_seq,
        last_check,
        slot_seq: newest.slot.map_or(0, |slot| slot.seq),
        slotted: newest.slot.map_or(FIRST_OFFSET, |slot| slot.end_offset),
        keeper,
        overlay: Overlay::default(),
        unsynced: Vec::new(),
        anchor_due: false,
    };
    begin_tenure(&mut writer, newest)?;
    let (base, epoch) = (newest.base, newest.header.epoch);
    let tree = if anchor.tree.size() <= look.tail.get() { anchor.tree.clone() } else { Tree::default() };
    let core = Core {
        log: Arc::clone(&log),
        live,
        clock: Arc::clone(&wanted.clock),
        mode: wanted.mode,
        segment_bytes: wanted.segment_bytes,
        kind,
        anchor: Mutex::new(anchor),
        spare: Spare::default(),
        poison: Poison::default(),
        counters: Counters::default(),
        jobs: Jobs::new(!wanted.background, tree),
        matcher: wanted.matcher,
        level: wanted.level,
        sealing: Mutex::new(()),
        tiers: TierKeeper::default(),
    };
    core.write_anchor(|anchor| (anchor.newest_base, anchor.durable, anchor.epoch) = (base, look.tail, epoch))?;
    core.live.open(&*storage, log.id, epoch, look.tail, look.tail)?;
    recovery.tail = look.tail;
    recovery.took = begun.elapsed();
    Ok(OpenLog { committer: Arc::new(Committer::new(Arc::new(core), writer)), recovery, lock })
}

/// The sealed segments that a look found.
pub(crate) fn sealed_segments(storage: &Arc<dyn Storage>, shelf: &Arc<Shelf>, look: &Look) -> Vec<Segment> {
    let open = |file: &SealedFile| {
        let (storage, shelf) = (Arc::clone(storage), Arc::clone(shelf));
        Segment::Sealed(Arc::new(SealedSegment::new(storage, shelf, file.path.clone(), file.ends.clone())))
    };
    look.sealed.iter().map(open).collect()
}

/// A slot that says `clean` must not outlive what follows it. In a `Synced` segment the next frame
/// belies it. In a `Written` one the power may take all that was appended since and leave the slot,
/// and positions that were seen would be used again under the same epoch. A slot that tore is written again now, or
/// `verify` would take it for damage.
fn begin_tenure(writer: &mut Writer, newest: &RawFile) -> Result<()> {
    let closed = newest.slot.is_some_and(|slot| slot.state == State::Clean);
    if (newest.header.mode == Mode::Written && closed) || newest.torn_slot {
        let slot = writer.slot(State::Idle);
        write_slot(&*writer.room.file, &slot, writer.active.header.salt)?;
        writer.room.sync().map_err(|error| Error::io("sync a slot", error))?;
    }
    Ok(())
}

/// Gives every segment its index: the one beside it where it fits, a new one where it does not, and
/// memory for what the active segment's lacks.
fn index_all(log: &Log, active: &Arc<RawSegment>, recovery: &mut Recovery) -> Result<()> {
    for segment in log.segments().raw() {
        let is_active = Arc::ptr_eq(segment, active);
        let opened = indexer::open_index(log, segment);
        if let Opened::Unfit(why) = &opened {
            recovery.notes.push(format!("{}: {why}", segment.idx_path().display()));
        }
        match opened {
            Opened::Good(idx) => segment.index.write().idx = Some(Arc::from(idx)),
            Opened::Missing | Opened::Unfit(_) if !is_active => {
                match indexer::write_index(log, segment) {
                    Ok(idx) => {
                        segment.index.write().idx = Some(Arc::new(idx));
                        recovery.rebuilt.push(segment.idx_path());
                    }
                    // It is derived, and a full disk must not keep the store from being opened.
                    Err(error) => {
                        segment.index_published(log.hasher)?;
                        recovery.notes.push(format!("{} is kept in memory: {error}", segment.idx_path().display()));
                    }
                }
            }
            Opened::Missing => {}
            Opened::Unfit(_) => recovery.rebuilt.push(segment.idx_path()),
        }
        if is_active {
            segment.index_published(log.hasher)?;
        }
    }
    Ok(())
}

/// The epoch under which positions are used again that somebody may have seen.
fn epoch_behind(epoch: u64) -> u64 {
    if cfg!(annals_no_epoch) { epoch } else { epoch + 1 }
}
