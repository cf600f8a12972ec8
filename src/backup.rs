//! Backup: a copy of the log up to one durable position, made while the store is in use.
//!
//! Invariants:
//! - A backup is complete when its ANCHOR is there, which is renamed in last. Without ANCHOR it is
//!   unfinished, and running the backup again finishes it. A backup that is brought up to date stays
//!   good on the way: files are only added or replaced by longer ones, in order of position, each
//!   name durable before the next is given, so that the power never leaves a gap.
//! - Only what is final is linked: a slot in the file itself says so, and it was read through the link.
//!   From then on no byte of it is written, by the writer, by recovery or by repair (which replace
//!   files by name). All else is copied. The last file is always a copy.
//! - A name in the backup is never opened for writing; it is made new or taken away. It may be a link.
//! - Nothing is touched before it is clear that the directory is empty or a backup of this very log
//!   that holds nothing else.

pub(crate) mod part;
pub(crate) mod sealed;
pub(crate) mod workers;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::format::anchor::Anchor;
use crate::format::frame::FIRST_OFFSET;
use crate::format::leaf::Tree;
use crate::format::slot::{Slot, State as SlotState};
use crate::io::{DiskStorage, Mode, Storage};
use crate::log::anchor_file::{self, AnchorRead};
use crate::log::files::{self, Directory, LOG};
use crate::log::open::take_lock;
use crate::log::recover::look::look;
use crate::log::shared::Log;
use crate::options::Options;
use crate::position::Position;
use crate::report::{Backup, Progress, Verification};
use crate::segment::Segment;
use crate::segment::sealed::{self as sealed_file, SealedSegment};
use crate::store::{Side, Store};
use crate::time::Timestamp;
use crate::worker::state::State;
use part::{Checked, Pace, Part, check, copy, failed, give_name, is_final, read_head, remove_if_there};

impl Store {
    /// Copies the log into a directory, while it is in use: up to one durable position, with every
    /// event that was durable when the call began. The same directory may be given again: what is
    /// good in it is kept, and what was interrupted is finished. The copy is verified to the last
    /// byte before this returns. It opens as any store does; [`Store::restore`] makes one to go on with.
    ///
    /// Where the directory lies on the same file system, full segments are linked, not copied: they
    /// never change, and they cost no room. Against the loss of the disk only a copy elsewhere helps.
    ///
    /// Blocks while it reads; appends go on meanwhile. Works through a handle for reading, too, beside
    /// a writer in another process. A `Written` store is synced first by the handle that writes.
    ///
    /// # Errors
    /// `Corruption` or `DamagedTail`: the store is damaged, or the copy turned out so; there is no
    /// backup. `Invalid`: the directory is within the store, or holds other files. `Conflict`: it holds
    /// another log, or events that this store does not have. In these cases nothing was touched there.
    /// `Locked`: somebody else writes to the backup. `Full`, `Io`; `Closed`.
    pub fn backup(&self, dir: impl AsRef<Path>) -> Result<Backup> {
        self.backup_with(dir, |_| ControlFlow::Continue(()))
    }

    /// As [`Store::backup`]; `progress` is called often and may stop it. What was copied until then is
    /// kept for the next time.
    ///
    /// # Errors
    /// As [`Store::backup`]; `Closed` if `progress` stopped it.
    pub fn backup_with(
        &self,
        dir: impl AsRef<Path>,
        progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Backup> {
        let dir = dir.as_ref();
        let target =
            DiskStorage::open(dir).map_err(|error| Error::io(format_args!("open {}", dir.display()), error))?;
        self.backup_on(&(Arc::new(target) as Arc<dyn Storage>), dir, progress)
    }

    /// Copies to any storage; for simulations.
    ///
    /// # Errors
    /// As [`Store::backup_with`].
    #[doc(hidden)]
    pub fn backup_on(
        &self,
        target: &Arc<dyn Storage>,
        dir: &Path,
        mut progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Backup> {
        let begun = Instant::now();
        let log = &self.inner.log;
        log.check_open()?;
        let workers = self::workers::read_all(&*log.storage, log.id)?;
        match &self.inner.side {
            // A poisoned writer syncs nothing any more; what it made durable before is worth a backup.
            Side::Writer { committer, .. } => {
                let _ = committer.sync_written();
            }
            Side::Reader(follower) => follower.refresh(log)?,
        }
        if let Some(damage) = log.damage().first() {
            return Err(damage.clone().into());
        }
        part::refuse_inside(&*log.storage, &**target, "the store", dir)?;
        // Segments are sealed while they are copied: what was brought already is found again.
        let mut report = log.settled(|| backup(log, target, dir, &workers, &mut progress))?;
        let verified = verify_copy(target, dir, report.position, report.bytes, &mut progress);
        // What fails its check must not be taken for a backup.
        let verified = verified.inspect_err(|error| {
            if matches!(error.kind(), ErrorKind::Corruption | ErrorKind::DamagedTail) {
                let _ = target.remove(files::ANCHOR.as_ref());
            }
        })?;
        report.root = verified.root;
        report.took = begun.elapsed();
        Ok(report)
    }
}

/// What the backup holds of a part already.
enum Found {
    /// All of it, checked.
    Whole(Checked),
    /// Nothing, or less, or something damaged.
    Less,
}

fn backup(
    log: &Log,
    target_arc: &Arc<dyn Storage>,
    dir: &Path,
    workers: &[(String, State)],
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Backup> {
    let target = &**target_arc;
    // First how far, then where: a list that is taken later holds at least that much.
    let position = log.durable();
    let segments = log.segments();
    let sealed: Vec<&Arc<SealedSegment>> = segments.0.iter().filter_map(Segment::sealed).collect();
    // What was sealed meanwhile is durable too.
    let sealed_next = sealed.last().map_or(Position::new(1), |sealed| sealed.next());
    let position = position.max(Position::new(sealed_next.get() - 1));
    let parts = Part::all(&segments, position);
    let frames: u64 = parts.iter().map(Part::frame_bytes).sum();
    let frames = frames + sealed.iter().map(|sealed| sealed.file_bytes()).sum::<u64>();
    let mut pace =
        Pace { told: Progress { done_bytes: 0, total_bytes: frames.saturating_mul(2), events: 0 }, tell: progress };
    let (source, tree) = source_anchor(log, position)?;

    let old = examine(log, target, dir, position, sealed_next, &parts)?;
    let create = |error| Error::io(format_args!("create {}", dir.display()), error);
    target.create_dir_all("".as_ref()).map_err(create)?;
    let _lock = take_lock(target, dir)?;
    target.create_dir_all(LOG.as_ref()).map_err(create)?;
    // Looked at again: until now somebody else may have held the lock.
    let old = examine(log, target, dir, position, sealed_next, &parts)?.or(old);
    part::remove_temporaries(target)?;

    let mut report = Backup { position, ..Backup::default() };
    let mut recorded_at = Timestamp::from_nanos(i64::MIN);
    let mut before = 0;
    for sealed in &sealed {
        let mut each = |bytes: u64| pace.at(before + bytes, sealed.base().get() - 1);
        self::sealed::one(&*log.storage, target_arc, sealed, &mut report, &mut each)?;
        recorded_at = Timestamp::from_nanos(sealed.footer.recorded.1);
        before += sealed.file_bytes();
    }
    for part in &parts {
        let mut each = |end: u64| pace.at(before + (end - FIRST_OFFSET), part.header.base.get() - 1);
        let done = one(log, target, part, recorded_at, &mut report, &mut each);
        let done = done.inspect_err(|_| {
            let _ = remove_if_there(target, &part.temporary());
        })?;
        recorded_at = done.recorded_at;
        before += part.frame_bytes();
        report.bytes += done.end;
    }
    target.sync_dir(LOG.as_ref()).map_err(failed("sync", LOG.as_ref()))?;

    let anchor = Anchor {
        seq: old.as_ref().map_or(0, |anchor| anchor.seq.saturating_add(1)),
        log: log.id,
        epoch: segments.0.last().map_or(source.epoch, Segment::epoch),
        newest_base: parts.last().map_or(Position::ORIGIN, |part| part.header.base),
        durable: position,
        created_at: source.created_at,
        tree,
    };
    let seen = look(target, log.id, Some(&anchor))?;
    if let Some(damage) = seen.damage.first() {
        return Err(damage.corruption.clone().into());
    }
    if seen.cut.is_some() || seen.tail != position {
        let text = format!("the copy in {} ends at position {}, and not at {position}", dir.display(), seen.tail);
        return Err(Error::new(ErrorKind::Io, text).hinting("somebody else may write there; run the backup again"));
    }
    // Whoever wrote there left word of a log that was another; readers would believe it until reboot.
    remove_if_there(target, files::LIVE.as_ref())?;
    self::workers::write_all(target, log.id, workers, position)?;
    report.workers = workers.len() as u64;
    anchor_file::create(target, &anchor)?;
    self::workers::remove_others(target, workers)?;
    self::sealed::remove_superseded(target, sealed_next)?;
    Ok(report)
}

/// ANCHOR of the store, and the peaks of the tree if they are of no more than the backup will hold.
fn source_anchor(log: &Log, position: Position) -> Result<(Anchor, Tree)> {
    match anchor_file::read(&*log.storage)? {
        AnchorRead::Valid { anchor, .. } => {
            let tree = if anchor.tree.size() <= position.get() { anchor.tree.clone() } else { Tree::default() };
            Ok((*anchor, tree))
        }
        AnchorRead::Missing | AnchorRead::Bad(_) => {
            Err(crate::error::Corruption::new(files::ANCHOR, 0, "the identity of the log", "no valid slot").into())
        }
    }
}

/// Whether the directory may be written to: it is empty, or holds a backup of this log and nothing
/// that the log does not have. Reads only. Gives the ANCHOR that is there.
fn examine(
    log: &Log,
    target: &dyn Storage,
    dir: &Path,
    position: Position,
    sealed_next: Position,
    parts: &[Part],
) -> Result<Option<Anchor>> {
    match files::what_is(target)? {
        Directory::Missing | Directory::Empty => return Ok(None),
        Directory::Foreign => {
            let text = format!("{} holds other files and is no backup", dir.display());
            return Err(Error::invalid(text).hinting("name an empty or absent directory; nothing was touched"));
        }
        Directory::Store => {}
    }
    let conflict = |text: String| {
        Error::new(ErrorKind::Conflict, text).hinting("name another directory for this backup; nothing was touched")
    };
    let anchor = match anchor_file::read(target)? {
        AnchorRead::Valid { anchor, .. } => Some(*anchor),
        AnchorRead::Missing | AnchorRead::Bad(_) => None,
    };
    if let Some(anchor) = anchor.as_ref().filter(|anchor| anchor.log != log.id) {
        return Err(conflict(format!("{} holds another log: {}, not {}", dir.display(), anchor.log, log.id)));
    }
    if let Some(anchor) = anchor.as_ref().filter(|anchor| anchor.durable > position) {
        return Err(conflict(format!(
            "{} holds events up to position {}, and the store only up to {position}",
            dir.display(),
            anchor.durable
        )));
    }
    let listing = files::list(target)?;
    for base in listing.sealed {
        let found = sealed_file::log_of(target, &files::sealed(base));
        if let Some(other) = found.filter(|other| *other != log.id) {
            return Err(conflict(format!("{} holds another log: {other}, not {}", dir.display(), log.id)));
        }
        if base >= sealed_next {
            let path = files::sealed(base);
            return Err(conflict(format!("{} holds {}, which the store does not have", dir.display(), path.display())));
        }
    }
    for base in listing.raw {
        let path = files::raw(base);
        let file = target.open(&path, Mode::Read).map_err(failed("open", &path))?;
        // Whatever lost its header is made anew, or found to be one too many at the end.
        let Some((header, slot)) = read_head(&*file, &path)? else { continue };
        if header.log != log.id {
            return Err(conflict(format!("{} holds another log: {}, not {}", dir.display(), header.log, log.id)));
        }
        // It came from here in raw form, and comes again sealed.
        if base < sealed_next {
            continue;
        }
        let part = parts.iter().find(|part| part.header.base == base);
        if let Some(part) = part.filter(|part| part.header == header)
            && let Some(slot) = slot
            && !same_so_far(log, part, &slot)?
        {
            return Err(conflict(format!("{} was written to: {} is no copy", dir.display(), path.display())));
        }
        let claimed = slot.map_or(Position::ORIGIN, |slot| slot.end_position);
        let has_events = claimed >= base || anchor.as_ref().is_some_and(|anchor| anchor.durable >= base);
        let fits = match part {
            Some(part) if part.header == header => claimed < part.next,
            _ => !has_events,
        };
        if !fits {
            return Err(conflict(format!(
                "{} went another way: {} holds events that the store does not have",
                dir.display(),
                path.display()
            )));
        }
        if part.is_none() {
            // Written to since: an epoch was begun, and nothing stands in it yet.
            return Err(conflict(format!(
                "{} was opened as a store: {} is not of this log",
                dir.display(),
                path.display()
            )));
        }
    }
    Ok(anchor)
}

/// Whether a file with this slot can be a copy of the part: it takes no more events, and where both
/// are full, they end with the same frame.
fn same_so_far(log: &Log, part: &Part, copied: &Slot) -> Result<bool> {
    let file = log.storage.open(&part.path, Mode::Read).map_err(failed("open", &part.path))?;
    let own = read_head(&*file, &part.path)?.and_then(|(_, slot)| slot).filter(|slot| slot.state.is_final());
    let end = |slot: &Slot| (slot.end_offset, slot.end_position, slot.last_header_check);
    Ok(copied.state.is_final() && own.is_none_or(|own| copied.state == SlotState::Cut || end(&own) == end(copied)))
}

/// Brings one part into the backup: kept if it is there and good, else linked if it is final, else
/// copied.
fn one(
    log: &Log,
    target: &dyn Storage,
    part: &Part,
    recorded_at: Timestamp,
    report: &mut Backup,
    each: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Checked> {
    if !part.is_last
        && let Found::Whole(checked) = find(target, part, recorded_at, each)?
    {
        report.kept += 1;
        return Ok(checked);
    }
    let temporary = part.temporary();
    remove_if_there(target, &temporary)?;
    if !part.is_last && target.link_from(&*log.storage, &part.path, &temporary).is_ok() {
        let file = target.open(&temporary, Mode::Read).map_err(failed("open", &temporary))?;
        let checked = check(&*file, part, recorded_at, each)?;
        if is_final(part, &checked) {
            file.sync_data().map_err(failed("sync", &temporary))?;
            put(target, part)?;
            report.linked += 1;
            return Ok(checked);
        }
        target.remove(&temporary).map_err(failed("remove", &temporary))?;
    }
    let file = log.storage.open(&part.path, Mode::Read).map_err(failed("open", &part.path))?;
    let checked = check(&*file, part, recorded_at, each)?;
    // The last one may stand there already, as long as this one.
    if part.is_last
        && let Found::Whole(found) = find(target, part, recorded_at, &mut |_| Ok(()))?
        && (found.end, found.last_check) == (checked.end, checked.last_check)
    {
        report.kept += 1;
        return Ok(checked);
    }
    copy(&*file, target, part, &checked)?;
    put(target, part)?;
    report.copied += 1;
    report.copied_bytes += checked.end;
    Ok(checked)
}

/// Gives the finished file its name, in the place of a shorter one.
fn put(target: &dyn Storage, part: &Part) -> Result<()> {
    give_name(target, &part.temporary(), &part.path)
}

/// Looks for a whole part in the backup. What is damaged there is no reason to stop: it is made anew.
fn find(
    target: &dyn Storage,
    part: &Part,
    recorded_at: Timestamp,
    each: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Found> {
    if target.metadata(&part.path).map_err(failed("look at", &part.path))?.is_none() {
        return Ok(Found::Less);
    }
    let file = target.open(&part.path, Mode::Read).map_err(failed("open", &part.path))?;
    match check(&*file, part, recorded_at, each) {
        Ok(checked) => {
            let ends = checked.slot.is_some_and(|slot| {
                slot.state.is_final() && slot.end_offset == checked.end && slot.end_position.next() == part.next
            });
            Ok(if ends { Found::Whole(checked) } else { Found::Less })
        }
        Err(error) if error.kind() == ErrorKind::Corruption => Ok(Found::Less),
        Err(error) => Err(error),
    }
}

/// Opens a finished copy as anybody would, and verifies all of it.
pub(crate) fn verify_copy(
    storage: &Arc<dyn Storage>,
    dir: &Path,
    position: Position,
    done: u64,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Verification> {
    let copy = Options::default().read_only(true).open_on(Arc::clone(storage), dir)?;
    let verified = copy.verify(|told| {
        progress(Progress { done_bytes: done + told.done_bytes, total_bytes: done + told.total_bytes, ..told })
    })?;
    if let Some(damage) = verified.damage.first() {
        return Err(damage.clone().into());
    }
    if verified.events != position.get() || verified.torn.is_some() {
        let text = format!("the copy in {} ends at {}, and not at {position}", dir.display(), verified.events);
        return Err(Error::new(ErrorKind::Corruption, text));
    }
    Ok(verified)
}
