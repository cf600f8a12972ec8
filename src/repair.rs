//! Repair: what only a person may decide. The log is cut before its first damage, everything from
//! there on is kept under `quarantine/`, and ANCHOR is made anew from what is left.
//!
//! Positions are gapless, so nothing behind the damage can stay in the log; what is good of it can
//! be exported before, or read from the files in quarantine. Positions that are used again get a
//! higher epoch than any that is known.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Corruption, Error, Result};
use crate::event::LogId;
use crate::format::Read;
use crate::format::anchor::Anchor;
use crate::format::bytes::u64_at;
use crate::format::header::{Mode, SegmentHeader};
use crate::format::leaf::Tree;
use crate::io::{DiskStorage, Mode as Open, Storage, read_to_end_of};
use crate::limits;
use crate::log::anchor_file::{self, AnchorRead};
use crate::log::files::{self, Directory};
use crate::log::live_file;
use crate::log::open::{not_a_store, take_lock};
use crate::log::recover::act;
use crate::log::recover::look::{CutPlan, Look, look};
use crate::position::Position;
use crate::report::{Repair, RepairOptions};
use crate::segment::scan::{self, From};
use crate::segment::sealed::log_of;
use crate::store::Store;
use crate::time::Timestamp;

impl Store {
    /// Looks at all of a store and, if the loss is accepted, cuts the log before its first damage.
    /// Everything that is taken out is kept under `quarantine/`. A store without damage is left as
    /// it is. Nobody may have it open for writing.
    ///
    /// # Errors
    /// `NotFound`, `NotAStore`, `NewerFormat`, `Locked`, `Io`.
    pub fn repair(path: impl AsRef<Path>, options: RepairOptions) -> Result<Repair> {
        let path = path.as_ref();
        let storage =
            DiskStorage::open(path).map_err(|error| Error::io(format_args!("open {}", path.display()), error))?;
        repair(&(Arc::new(storage) as Arc<dyn Storage>), path, &options)
    }

    /// Repairs a store on any storage; for simulations.
    ///
    /// # Errors
    /// As [`Store::repair`].
    #[doc(hidden)]
    pub fn repair_on(storage: &Arc<dyn Storage>, path: &Path, options: &RepairOptions) -> Result<Repair> {
        repair(storage, path, options)
    }
}

fn repair(storage: &Arc<dyn Storage>, root: &Path, options: &RepairOptions) -> Result<Repair> {
    let storage = &**storage;
    match files::what_is(storage)? {
        Directory::Store => {}
        Directory::Foreign => return Err(not_a_store(root)),
        Directory::Missing | Directory::Empty => {
            return Err(Error::not_found(format!("there is no store at {}", root.display())));
        }
    }
    let _lock = take_lock(storage, root)?;
    let mut report = Repair::default();
    let anchor = match anchor_file::read(storage)? {
        AnchorRead::Valid { anchor, .. } => Some(*anchor),
        AnchorRead::Missing => None,
        AnchorRead::Bad(_) => None,
    };
    let log = match &anchor {
        Some(anchor) => anchor.log,
        None => {
            report.damage.push(Corruption::new(files::ANCHOR, 0, "the identity of the log", "no valid slot"));
            id_of_segments(storage)?
        }
    };
    let mut seen = look(storage, log, anchor.as_ref())?;
    if let Some(damage) = sealed_damage(&seen) {
        return refuse_sealed(seen, damage, options, report);
    }
    let plan = find_cut(storage, &mut seen, &mut report)?;
    report.tail = plan.as_ref().map_or(seen.tail, |plan| Position::new(plan.next.get() - 1));
    report.lost_events = seen.last_known.get().saturating_sub(report.tail.get());
    if report.damage.is_empty() {
        report.lost_events = 0;
        report.steps.push("nothing is damaged; nothing was changed".to_owned());
        return Ok(report);
    }
    describe(&mut report, plan.as_ref());
    if options.accept_loss {
        act_on(storage, anchor, log, &seen, plan, &mut report)?;
    }
    crate::trace::repaired(root, &report);
    Ok(report)
}

/// The position behind the sealed segments.
fn sealed_next(seen: &Look) -> Position {
    seen.sealed.last().map_or(Position::new(1), |file| file.ends.footer.next())
}

/// Damage of sealed segments, or the lack of one.
fn sealed_damage(seen: &Look) -> Option<Corruption> {
    let sealed_next = sealed_next(seen);
    let is_sealed = |corruption: &&Corruption| {
        corruption.file.extension().is_some_and(|extension| extension == "seg")
            || corruption.positions.as_ref().is_some_and(|positions| *positions.start() < sealed_next)
    };
    seen.damage.iter().map(|damage| &damage.corruption).find(is_sealed).cloned()
}

/// Sealed history is never cut: what follows it is whole, and its positions were seen.
fn refuse_sealed(seen: Look, first: Corruption, options: &RepairOptions, mut report: Repair) -> Result<Repair> {
    const WHY: &str = "sealed history is not cut; put the segment's file back from a backup, or export what is good";
    if options.accept_loss {
        return Err(Error::from(first).hinting(format!("nothing was changed: {WHY}")));
    }
    report.damage.extend(seen.damage.into_iter().map(|damage| damage.corruption));
    report.tail = seen.tail;
    report.steps.push(format!("nothing: {WHY}"));
    Ok(report)
}

fn id_of_segments(storage: &dyn Storage) -> Result<LogId> {
    let listing = files::list(storage)?;
    if let Some(log) = listing.sealed.iter().find_map(|base| log_of(storage, &files::sealed(*base))) {
        return Ok(log);
    }
    for base in listing.raw {
        let path = files::raw(base);
        let failed = |error| Error::io(format_args!("read {}", path.display()), error);
        let file = storage.open(&path, Open::Read).map_err(failed)?;
        let mut page = [0; crate::format::PAGE_BYTES];
        let got = read_to_end_of(&*file, &mut page, 0).map_err(failed)?;
        if let Read::Valid(header) = SegmentHeader::read(&page[..got]) {
            return Ok(header.log);
        }
    }
    Err(Corruption::new(
        files::ANCHOR,
        0,
        "the identity of the log",
        "no valid slot, and no segment with a valid header",
    )
    .into())
}

/// Reads every frame of every file, also those that are proven durable: where the log has to end.
fn find_cut(storage: &dyn Storage, seen: &mut Look, report: &mut Repair) -> Result<Option<CutPlan>> {
    report.damage.extend(seen.damage.iter().map(|damage| damage.corruption.clone()));
    let mut expected = sealed_next(seen);
    let sealed_at = seen.sealed.last().map_or(i64::MIN, |file| file.ends.footer.recorded.1);
    let mut recorded_at = Timestamp::from_nanos(sealed_at);
    let reason = "events were lost, and a person accepted it".to_owned();
    for index in 0..seen.files.len() {
        let next_base = seen.files.get(index + 1).map(|next| next.base);
        let file = &mut seen.files[index];
        if file.base != expected {
            let gap = CutPlan { file: index, path: file.path.clone(), offset: 0, next: expected, reason };
            return Ok(Some(gap));
        }
        let scanned = scan::scan(&*file.file, file.facts(), From::start(file.base), |_, _| Ok(()))
            .map_err(|error| Error::io(format_args!("read {}", file.path.display()), error))?;
        recorded_at = recorded_at.max(scanned.recorded_at.unwrap_or(recorded_at));
        (seen.recorded_at, seen.group_seq) = (recorded_at, seen.group_seq.max(scanned.group_seq));
        (file.end, file.next, expected) = (scanned.end, scanned.next, scanned.next);
        let bad = scanned.bad.clone();
        let path = file.path.clone();
        file.scan = Some(scanned);
        if let Some(place) = bad {
            let known_last = seen.last_known.max(place.last_after).max(expected);
            let last = next_base.map_or(known_last, |base| Position::new(base.get() - 1).max(expected));
            let known = report.damage.iter().any(|known| known.file == path && known.offset >= place.offset);
            if !known && seen.cut.is_none() {
                report.damage.push(place.bad.after(place.offset).corruption(&path).at(expected..=last));
            }
            return Ok(Some(CutPlan { file: index, path, offset: place.offset, next: expected, reason }));
        }
        if next_base.is_some_and(|base| base != expected) {
            let file = &seen.files[index];
            return Ok(Some(CutPlan {
                file: index,
                path: file.path.clone(),
                offset: file.end,
                next: expected,
                reason,
            }));
        }
    }
    seen.tail = Position::new(expected.get() - 1);
    // A file whose header is torn or damaged, and all behind it.
    let headless = unknown_from(storage, seen, expected)?.into_iter().next();
    Ok(headless.map(|path| CutPlan { file: seen.files.len(), path, offset: 0, next: expected, reason }))
}

fn describe(report: &mut Repair, plan: Option<&CutPlan>) {
    match plan {
        Some(plan) => report.steps.push(format!(
            "cut {} at byte {}: the log then ends at position {}; everything from there on goes to quarantine/",
            plan.path.display(),
            plan.offset,
            report.tail
        )),
        None => report.steps.push(format!("make ANCHOR anew for a log that ends at position {}", report.tail)),
    }
}

fn act_on(
    storage: &dyn Storage,
    anchor: Option<Anchor>,
    log: LogId,
    seen: &Look,
    plan: Option<CutPlan>,
    report: &mut Repair,
) -> Result<()> {
    let epoch = seen
        .files
        .iter()
        .map(|file| file.header.epoch)
        .chain(anchor.iter().map(|anchor| anchor.epoch))
        .max()
        .unwrap_or(1)
        + 1;
    let mode = seen.files.last().map_or(Mode::Synced, |file| file.header.mode);
    let segment_bytes = seen.files.last().map_or(limits::SEGMENT_BYTES_DEFAULT, |file| file.header.segment_bytes);
    let last_whole = plan
        .as_ref()
        .and_then(|plan| seen.files.get(plan.file).filter(|file| plan.offset > 0 && plan.next > file.base));
    if let Some(plan) = &plan {
        act::rewrite_unproven(storage, seen)?;
        let mut all = seen.headless.clone();
        all.extend(unknown_from(storage, seen, plan.next)?);
        for path in &all {
            if storage.metadata(path).map_err(|error| Error::io("look at a segment", error))?.is_some()
                && *path != plan.path
            {
                report.quarantine.push(act::quarantine(storage, path)?);
                storage.remove(path).map_err(|error| Error::io(format_args!("remove {}", path.display()), error))?;
            }
        }
        let without = Look { headless: Vec::new(), ..seen.clone() };
        report.quarantine.extend(act::cut(storage, &without, plan)?.quarantine);
    }
    let next = report.tail.next();
    let header = SegmentHeader {
        mode,
        log,
        base: next,
        epoch,
        salt: u64_at(&storage.random(), 0).unwrap_or_default(),
        created_at: Timestamp::now(),
        segment_bytes,
    };
    let begun = plan.is_some();
    if begun {
        let replace = last_whole.is_none();
        act::begin_segment(storage, &header, true, replace)?;
    }
    let newest_base = if begun { next } else { seen.files.last().map_or(Position::ORIGIN, |file| file.base) };
    let fresh = Anchor {
        seq: anchor.as_ref().map_or(0, |anchor| anchor.seq + 1),
        log,
        epoch: if begun { epoch } else { epoch - 1 },
        newest_base,
        durable: report.tail,
        created_at: anchor.as_ref().map_or_else(Timestamp::now, |anchor| anchor.created_at),
        tree: Tree::default(),
    };
    if anchor.is_none()
        && storage.metadata(files::ANCHOR.as_ref()).map_err(|error| Error::io("look at ANCHOR", error))?.is_some()
    {
        report.quarantine.push(act::quarantine(storage, files::ANCHOR.as_ref())?);
    }
    anchor_file::create(storage, &fresh)?;
    // What it says of this boot is of the log as it was; the next writer makes it anew.
    live_file::retire(storage)?;
    report.steps.push(format!("ANCHOR was made anew; the next event gets position {next} under epoch {}", fresh.epoch));
    report.done = true;
    Ok(())
}

/// Raw files from a position on that are no part of the log as the look found it: the first has no valid header.
fn unknown_from(storage: &dyn Storage, seen: &Look, first: Position) -> Result<Vec<std::path::PathBuf>> {
    let bases = files::list(storage)?.raw;
    let known = |path: &Path| seen.files.iter().any(|file| file.path == path);
    Ok(bases.into_iter().filter(|base| *base >= first).map(files::raw).filter(|path| !known(path)).collect())
}
