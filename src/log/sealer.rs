//! Sealing: full raw segments become sealed ones, oldest first, off the append path.
//!
//! Order for one segment; every step may be the last before a crash, and leaves one valid form:
//!
//! 1. Write `BASE.seg.tmp` from the raw file, each of whose frames is checked, and sync it.
//! 2. Drop it from the page cache, read all of it back, and compare the leaf of every event with the
//!    raw file's. What differs is not sealed.
//! 3. Rename it to `BASE.seg`, without replacing anything, and sync the directory. From here on it is
//!    what counts; the raw file beside it is removed by whoever comes next.
//! 4. Put it into the list of segments, tell the readers of other processes, remove the raw file and
//!    its index.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::Core;
use super::files::{self, LOG};
use super::recover::act::quarantine;
use super::shared::Log;
use crate::error::{Error, ErrorKind, Result};
use crate::event::LogId;
use crate::format::leaf::{LeafHasher, Tree};
use crate::format::sealed::BLOCK_ROWS;
use crate::format::sealed::footer::Footer;
use crate::format::term::TermHasher;
use crate::io::{Mode, Storage, read_to_end_of};
use crate::position::Position;
use crate::report::Sealed;
use crate::segment::Segment;
use crate::segment::raw::RawSegment;
use crate::segment::seal::{self, SealOptions};
use crate::segment::sealed::shelf::Shelf;
use crate::segment::sealed::{Cursor, Ends, SealedSegment, Unfit};
use crate::time::Timestamp;

/// Raw bytes that wait before speed counts more than size.
const BACKLOG_BYTES: u64 = 2 << 30;
/// The zstd level then.
const LEVEL_IN_HASTE: i32 = 1;

/// Seals every full segment that is durable, after `first` has made some so. `go_on` is asked before each.
///
/// # Errors
/// `Corruption` of a raw segment, which then stays, and those behind it; `Full`, `Io`.
pub(crate) fn seal_due(
    core: &Core,
    level: i32,
    first: &mut dyn FnMut() -> Result<()>,
    go_on: &dyn Fn() -> bool,
) -> Result<Sealed> {
    // One at a time, whoever asks.
    let _sealing = core.sealing.lock();
    let begun = Instant::now();
    first()?;
    let mut done = Sealed::default();
    while go_on() {
        let (next, waiting) = due(&core.log);
        let Some((raw, before)) = next else { break };
        let level = if waiting > BACKLOG_BYTES { LEVEL_IN_HASTE.min(level) } else { level };
        let sealed = match seal_one(core, &raw, &before, level, go_on) {
            Err(error) if error.kind() == ErrorKind::Closed => break,
            other => other?,
        };
        let (footer, stored) = (&sealed.footer, sealed.file_bytes());
        crate::trace::sealed(raw.base(), footer.count, footer.frame_bytes, stored);
        done.segments += 1;
        done.events += sealed.footer.count;
        done.raw_bytes += sealed.footer.frame_bytes;
        done.stored_bytes += sealed.file_bytes();
    }
    done.took = begun.elapsed();
    Ok(done)
}

/// The first segment that can be sealed, with the tree over all before it, and how many raw bytes wait.
fn due(log: &Log) -> (Option<(Arc<RawSegment>, Tree)>, u64) {
    let segments = log.segments();
    let durable = log.durable();
    let mut before = Tree::default();
    let (mut next, mut waiting) = (None, 0);
    let full = segments.0.len().saturating_sub(1);
    for segment in &segments.0[..full] {
        match segment {
            Segment::Sealed(sealed) if next.is_none() => before = sealed.footer.after.clone(),
            Segment::Sealed(_) => {}
            Segment::Raw(raw) => {
                waiting += raw.end();
                let whole = raw.rows() > 0 && raw.next() <= durable.next() && before.size() + 1 == raw.base().get();
                if next.is_none() && whole {
                    next = Some(Arc::clone(raw));
                } else if next.is_none() {
                    return (None, waiting);
                }
            }
        }
    }
    (next.map(|raw| (raw, before)), waiting)
}

fn seal_one(
    core: &Core,
    raw: &Arc<RawSegment>,
    before: &Tree,
    level: i32,
    go_on: &dyn Fn() -> bool,
) -> Result<Arc<SealedSegment>> {
    let log = &core.log;
    let storage = &*log.storage;
    let path = files::sealed(raw.base());
    let temporary = path.with_extension("seg.tmp");
    let options = SealOptions { level, sealed_at: Timestamp::from_nanos(core.clock.wall_nanos()) };
    let written = write(&log.storage, raw, before, &options, &temporary, go_on);
    let checked = written.and_then(|footer| match cfg!(annals_no_read_back) {
        true => Ok(()),
        false => compare(&log.storage, &temporary, &footer, go_on),
    });
    if let Err(error) = checked {
        let _ = storage.remove(&temporary);
        return Err(error);
    }
    let failed = |what: &'static str| move |error| Error::io(format_args!("{what} a sealed segment"), error);
    // What opening found under this name was settled then: this one is of an attempt that failed behind the rename.
    let is_there = storage.metadata(&path).map_err(failed("look for"))?.is_some();
    let named = if is_there { storage.rename(&temporary, &path) } else { storage.rename_new(&temporary, &path) };
    named.map_err(failed("name"))?;
    storage.sync_dir(LOG.as_ref()).map_err(failed("sync the name of"))?;
    let ends = Ends::read(storage, &path, log.id, raw.base())?;
    let sealed = Arc::new(SealedSegment::new(Arc::clone(&log.storage), Arc::clone(&log.shelf), path, ends));
    core.live.change(|| log.replace_segment(&Segment::Sealed(Arc::clone(&sealed))));
    remove_raw(storage, raw.base())?;
    Ok(sealed)
}

/// Takes away a raw file whose events stand in a sealed one.
fn remove_raw(storage: &dyn Storage, base: Position) -> Result<()> {
    let path = files::raw(base);
    let _ = storage.remove(&path.with_extension("idx"));
    match storage.remove(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format_args!("remove {}", path.display()), error))
        }
        // The name comes back if the power goes: then it is removed again.
        _ => Ok(()),
    }
}

fn write(
    storage: &Arc<dyn Storage>,
    raw: &RawSegment,
    before: &Tree,
    options: &SealOptions,
    path: &Path,
    go_on: &dyn Fn() -> bool,
) -> Result<Footer> {
    let failed = |error| Error::io(format_args!("write {}", path.display()), error);
    let file = storage.open(path, Mode::Create).map_err(failed)?;
    file.set_len(0).map_err(failed)?;
    let footer = seal::write(raw, TermHasher::new(raw.header.log), before, options, &*file, go_on)?;
    file.sync_data().map_err(failed)?;
    file.drop_cache();
    Ok(footer)
}

/// Reads a new file back: every part of it, and the leaf of every event.
fn compare(storage: &Arc<dyn Storage>, path: &Path, footer: &Footer, go_on: &dyn Fn() -> bool) -> Result<()> {
    let ends = Ends::read(&**storage, path, footer.log, footer.base)?;
    if ends.footer != *footer {
        return Err(Error::new(ErrorKind::Corruption, format!("{} does not read back as written", path.display())));
    }
    // Nobody else may meet its blocks under this name.
    let shelf = Arc::new(Shelf::new(0));
    let sealed = SealedSegment::new(Arc::clone(storage), shelf, path.to_owned(), ends);
    sealed.check_parts()?;
    let tree = leaves(&sealed, go_on)?;
    if tree != footer.after {
        let text = format!("{} holds other events than the segment it was made of", path.display());
        return Err(Error::new(ErrorKind::Corruption, text));
    }
    Ok(())
}

/// The tree with all events of a sealed segment.
fn leaves(sealed: &SealedSegment, go_on: &dyn Fn() -> bool) -> Result<Tree> {
    let mut tree = sealed.footer.before.clone();
    let mut hasher = LeafHasher::default();
    let mut cursor = Cursor::walking(true);
    for row in 0..sealed.rows() {
        if row % BLOCK_ROWS == 0 && !go_on() {
            return Err(Error::new(ErrorKind::Closed, "sealing was stopped"));
        }
        sealed.with_row(&mut cursor, row, true, |row| {
            tree.push(hasher.leaf(&row.event, &row.batch));
        })?;
    }
    Ok(tree)
}

/// Raw files whose events stand in a sealed file that a crash left beside them: compared event by event, and then the
/// raw one goes; where they differ, or the sealed one is damaged, that one goes into quarantine. Where others follow, the
/// raw one is sealed again at once: no raw file stands before a sealed one. Returns notes.
pub(crate) fn settle(storage: &Arc<dyn Storage>, log: LogId, options: &SealOptions) -> Result<Vec<String>> {
    let listing = files::list(&**storage)?;
    let mut notes = Vec::new();
    for base in listing.sealed.iter().filter(|base| listing.raw.contains(base)) {
        let path = files::sealed(*base);
        match same_events(storage, log, *base) {
            Ok(true) => {
                remove_raw(&**storage, *base)?;
                notes.push(format!("{} was sealed; its raw form, which a crash had left, was removed", path.display()));
            }
            Ok(false) if listing.sealed.iter().any(|other| other > base) => {
                if let Some(kept) = seal_again(storage, log, *base, &listing.sealed, options)? {
                    remove_raw(&**storage, *base)?;
                    notes.push(format!(
                        "{} was not the sealed form of the raw file beside it: it was set aside as {} and made again",
                        path.display(),
                        kept.display()
                    ));
                }
            }
            Ok(false) => {
                let kept = quarantine(&**storage, &path)?;
                storage.remove(&path).map_err(|error| Error::io(format_args!("remove {}", path.display()), error))?;
                notes.push(format!(
                    "{} is not the sealed form of the raw file beside it, and was set aside as {}",
                    path.display(),
                    kept.display()
                ));
            }
            Err(error) => return Err(error),
        }
    }
    if !notes.is_empty() {
        storage.sync_dir(LOG.as_ref()).map_err(|error| Error::io("sync log", error))?;
    }
    Ok(notes)
}

/// Whether a sealed file holds exactly the events of the raw one beside it, or holds together by itself where the raw
/// one is damaged.
fn same_events(storage: &Arc<dyn Storage>, log: LogId, base: Position) -> Result<bool> {
    let path = files::sealed(base);
    let ends = match Ends::read(&**storage, &path, log, base) {
        Ok(ends) => ends,
        Err(Unfit::Damaged(_)) => return Ok(false),
        Err(Unfit::Other(error)) => return Err(error),
    };
    let sealed = SealedSegment::new(Arc::clone(storage), Arc::new(Shelf::new(0)), path, ends);
    let corrupt = |error: &Error| error.kind() == ErrorKind::Corruption;
    let after = match sealed.check_parts().and_then(|()| leaves(&sealed, &|| true)) {
        Ok(tree) => tree,
        Err(error) if corrupt(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    if after != sealed.footer.after {
        return Ok(false);
    }
    let raw = raw_leaves(storage, log, base, sealed.footer.before.clone())?;
    Ok(raw.is_none_or(|(raw, tree)| raw.next() >= sealed.next() && tree == after))
}

/// Puts the sealed form of a raw file in the place of one that is none. Returns where that one was put aside; `None` if
/// the raw file is damaged too or does not fit its neighbours: then both stay as they are.
fn seal_again(
    storage: &Arc<dyn Storage>,
    log: LogId,
    base: Position,
    sealed: &[Position],
    options: &SealOptions,
) -> Result<Option<PathBuf>> {
    let ends =
        |base: Option<&Position>| match base.map(|base| Ends::read(&**storage, &files::sealed(*base), log, *base)) {
            Some(Ok(ends)) => Ok(Some(ends.footer)),
            Some(Err(Unfit::Other(error))) => Err(error),
            Some(Err(Unfit::Damaged(_))) | None => Ok(None),
        };
    let before = ends(sealed.iter().rfind(|other| **other < base))?;
    let before = before.map_or_else(Tree::default, |footer| footer.after);
    let after = ends(sealed.iter().find(|other| **other > base))?;
    let fits = |tree: &Tree| after.as_ref().is_none_or(|footer| footer.before == *tree);
    let raw = raw_leaves(storage, log, base, before.clone())?;
    let Some((raw, _)) = raw.filter(|(_, tree)| before.size() + 1 == base.get() && fits(tree)) else { return Ok(None) };
    let path = files::sealed(base);
    let temporary = path.with_extension("seg.tmp");
    let footer = write(storage, &raw, &before, options, &temporary, &|| true)?;
    compare(storage, &temporary, &footer, &|| true)?;
    let kept = quarantine(&**storage, &path)?;
    let failed = |error| Error::io(format_args!("name {}", path.display()), error);
    storage.rename(&temporary, &path).map_err(failed)?;
    storage.sync_dir(LOG.as_ref()).map_err(failed)?;
    Ok(Some(kept))
}

/// The raw file as far as its frames reach, and the tree with all of its events; `None` if it is damaged.
fn raw_leaves(
    storage: &Arc<dyn Storage>,
    log: LogId,
    base: Position,
    before: Tree,
) -> Result<Option<(RawSegment, Tree)>> {
    use crate::format::frame::SegmentFacts;
    use crate::format::header::SegmentHeader;
    use crate::segment::scan::{From, scan};
    let path = files::raw(base);
    let failed = |error| Error::io(format_args!("read {}", path.display()), error);
    let file = storage.open(&path, Mode::Read).map_err(failed)?;
    let mut page = vec![0; crate::format::PAGE_BYTES];
    let got = read_to_end_of(&*file, &mut page, 0).map_err(failed)?;
    page.truncate(got);
    let Some(header) = SegmentHeader::read(&page).valid().filter(|header| header.log == log && header.base == base)
    else {
        return Ok(None);
    };
    let facts = SegmentFacts { log: header.log, epoch: header.epoch, salt: header.salt };
    let mut tree = before;
    let mut hasher = LeafHasher::default();
    let unreadable = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let scanned = scan(&*file, facts, From::start(base), |_, frame| {
        for index in 0..frame.header.count {
            let event = frame.event(index).map_err(|_| unreadable())?;
            tree.push(hasher.leaf(&event, &frame.batch_facts(index).map_err(|_| unreadable())?));
        }
        Ok(())
    });
    let scanned = scanned.map_err(failed)?;
    if scanned.bad.is_some() {
        return Ok(None);
    }
    Ok(Some((RawSegment::new(Arc::clone(storage), path, header, scanned.end, scanned.next), tree)))
}

/// How long the sealing thread lets pass before it looks again after a failure.
pub(crate) const RETRY: Duration = Duration::from_secs(30);
