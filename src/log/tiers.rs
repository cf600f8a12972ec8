//! Lookup tiers: which of the many sealed segments may hold a term, without asking each of them.
//!
//! A run covers neighbours of the list of segments. Invariants:
//!
//! - A run is listed only if it belongs to the log, its segments are those of the list, event for
//!   event, and its root is that of the tree in the footer of the last of them. Sealed segments change
//!   their place in the list never, and an archived one has the same terms, so it stays good.
//! - What is not covered by a listed run is asked itself. So a run that is missing, damaged or foreign
//!   costs time and no answer.
//! - The writer merges sixteen segments into a run, sixteen runs into the next, counted from the log's
//!   beginning; never is a run removed before the one that takes its place is listed.

use std::collections::HashSet;
use std::io::IoSlice;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::core::Core;
use super::files::{self, INDEX, RunName};
use super::shared::{Log, Segments};
use crate::error::{Error, ErrorKind, Result};
use crate::event::LogId;
use crate::format::Bad;
use crate::io::{Mode, Storage};
use crate::position::Position;
use crate::segment::Segment;
use crate::segment::tier_file::{TierFile, TierOpened};
use crate::segment::tier_merge::{Part, merge};
use crate::sync::Mutex;

/// Lengths of runs, in segments.
const LEVELS: [usize; 4] = [1 << 16, 1 << 12, 1 << 8, 1 << 4];

/// A run and the place of its first segment in the list.
#[derive(Debug, Clone)]
pub(crate) struct Tier {
    pub(crate) start: usize,
    pub(crate) file: Arc<TierFile>,
}

impl Tier {
    /// Places of its segments in the list.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.start + self.file.segments().len()
    }
}

/// The runs of a list of segments, ascending and disjoint.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tiers(pub(crate) Vec<Tier>);

impl Tiers {
    /// The run that covers the segment at a place in the list.
    pub(crate) fn covering(&self, place: usize) -> Option<&Tier> {
        let index = self.0.partition_point(|tier| tier.start <= place).checked_sub(1)?;
        self.0.get(index).filter(|tier| tier.range().contains(&place))
    }

    /// Lists a run, in the place of those within it.
    fn put(&mut self, new: Tier) {
        let range = new.range();
        self.0.retain(|tier| tier.range().end <= range.start || tier.start >= range.end);
        let at = self.0.partition_point(|tier| tier.start < new.start);
        self.0.insert(at, new);
    }
}

/// Where a run belongs in a list of segments; `Err` says why it does not.
pub(crate) fn place(file: &TierFile, list: &[Segment]) -> Result<usize, &'static str> {
    let start = list.partition_point(|segment| segment.base() < file.first());
    let covered = list.get(start..start + file.segments().len()).unwrap_or_default();
    let mut base = file.first();
    for (segment, known) in covered.iter().zip(file.segments()) {
        let is_it = segment.sealed().is_some_and(|sealed| sealed.base() == base && sealed.rows() == known.rows);
        if !is_it {
            return Err("its segments are not those of the log");
        }
        base = segment.next();
    }
    match covered.last().and_then(Segment::sealed) {
        None => Err("its segments are not those of the log"),
        Some(last) if last.footer.after.root() != *file.root() => Err("it was made of other events"),
        Some(_) => Ok(start),
    }
}

/// The largest runs that fit a list of segments, those of `known` among them without opening them again. What is there
/// and is not to be used is told to `unfit`.
pub(crate) fn attach(
    storage: &dyn Storage,
    log: LogId,
    list: &[Segment],
    known: &Tiers,
    unfit: &mut dyn FnMut(PathBuf, String),
) -> Tiers {
    let mut names = match files::list_runs(storage) {
        Ok(names) => names,
        Err(error) => {
            unfit(INDEX.into(), error.to_string());
            return Tiers::default();
        }
    };
    // Who lists sealed segments while more are sealed beside him sees runs beyond them.
    let sealed = list.partition_point(|segment| segment.sealed().is_some());
    let end = list[..sealed].last().map_or(Position::new(1), Segment::next);
    names.retain(|name| name.last < end);
    names.sort_unstable_by_key(|name| (name.first, std::cmp::Reverse(name.last)));
    let mut tiers = Tiers::default();
    let mut free = Position::ORIGIN;
    for name in names {
        if name.first < free {
            continue;
        }
        let path = name.path();
        let again = known.0.iter().map(|tier| &tier.file).find(|file| file.path == path);
        let file = match again {
            Some(file) => Arc::clone(file),
            None => match TierFile::open(storage, &path, log) {
                TierOpened::Good(file) if (file.first(), file.last()) == (name.first, name.last) => file,
                TierOpened::Good(_) => {
                    unfit(path, "it has the name of another".to_owned());
                    continue;
                }
                TierOpened::Missing => continue,
                TierOpened::Unfit(why) => {
                    unfit(path, why);
                    continue;
                }
            },
        };
        match place(&file, list) {
            Ok(start) => {
                free = name.last.next();
                tiers.0.push(Tier { start, file });
            }
            Err(why) => unfit(path, why.to_owned()),
        }
    }
    tiers
}

/// The writer's work on tiers.
#[derive(Debug, Default)]
pub(crate) struct TierKeeper {
    /// Held by whoever makes them.
    work: Mutex<TierWork>,
    /// Why the last attempt failed, if it did.
    failure: Mutex<Option<String>>,
}

impl TierKeeper {
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }
}

#[derive(Debug, Default)]
struct TierWork {
    /// Runs that cannot be made, because a segment in them is damaged.
    barred: HashSet<(usize, usize)>,
    /// Nothing was tidied yet.
    tidied: bool,
}

/// The runs that should be there over so many sealed segments.
fn wanted(sealed: usize) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = 0;
    while let Some(len) = LEVELS.into_iter().find(|len| start + len <= sealed) {
        runs.push(start..start + len);
        start += len;
    }
    runs
}

/// Makes the runs that are due, and removes those that are no longer needed. A failure is remembered, and costs nothing
/// but time. Returns whether there was one.
pub(crate) fn make_due(core: &Core, go_on: &dyn Fn() -> bool) -> bool {
    let mut work = core.tiers.work.lock();
    let failure = match try_make_due(core, &mut work, go_on) {
        Err(error) if error.kind() != ErrorKind::Closed => Some(format!("lookup tiers: {error}")),
        _ => None,
    };
    let failed = failure.is_some();
    *core.tiers.failure.lock() = failure;
    failed
}

fn try_make_due(core: &Core, work: &mut TierWork, go_on: &dyn Fn() -> bool) -> Result<()> {
    let segments = core.log.segments();
    let sealed = segments.0.partition_point(|segment| segment.sealed().is_some());
    let mut made = false;
    for run in wanted(sealed) {
        made |= make(core, work, run, go_on)?;
    }
    if made || !work.tidied {
        tidy(core)?;
        work.tidied = true;
    }
    Ok(())
}

/// Makes a run unless it is there; whether anything was made.
fn make(core: &Core, work: &mut TierWork, run: Range<usize>, go_on: &dyn Fn() -> bool) -> Result<bool> {
    let is_there = |segments: &Segments| segments.1.covering(run.start).is_some_and(|tier| tier.range() == run);
    if is_there(&core.log.segments()) {
        return Ok(false);
    }
    while !work.barred.contains(&(run.start, run.end)) {
        let segments = core.log.segments();
        match write(core, &segments, &run, go_on) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Corruption => {
                // A damaged run is left out, and the next attempt does without it.
                let corruption = error.corruption();
                let within = segments.1.0.iter().find(|tier| corruption.is_some_and(|at| at.file == tier.file.path));
                match within {
                    Some(tier) => core.log.distrust_tier(&tier.file, &error.to_string()),
                    None => {
                        work.barred.insert((run.start, run.end));
                    }
                }
            }
            Err(error) => return Err(error),
        }
    }
    // What is not damaged within it gets smaller runs.
    let Some(len) = LEVELS.into_iter().find(|len| *len < run.len()) else { return Ok(false) };
    let mut made = false;
    for start in run.step_by(len) {
        made |= make(core, work, start..start + len, go_on)?;
    }
    Ok(made)
}

/// The segments of a run, where runs within it are there those instead.
fn parts(segments: &Segments, run: &Range<usize>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = run.start;
    while at < run.end {
        let tier = segments.1.covering(at).filter(|tier| tier.start == at && tier.range().end <= run.end);
        match (tier, segments.0.get(at).and_then(Segment::sealed)) {
            (Some(tier), _) => {
                parts.push(Part::Run(Arc::clone(&tier.file)));
                at = tier.range().end;
            }
            (None, Some(sealed)) => {
                parts.push(Part::Segment(Arc::clone(sealed)));
                at += 1;
            }
            (None, None) => break,
        }
    }
    parts
}

/// Makes one run: a file beside, synced, then its name, then its place in the list.
fn write(core: &Core, segments: &Segments, run: &Range<usize>, go_on: &dyn Fn() -> bool) -> Result<()> {
    let (log, storage) = (&core.log, &*core.log.storage);
    let covered = segments.0.get(run.clone()).unwrap_or_default();
    let ends = covered.first().zip(covered.last().and_then(Segment::sealed));
    let Some((first, last)) = ends else { return Err(Error::invalid("a run over segments that are not there")) };
    let name = RunName { first: first.base(), last: Position::new(last.next().get() - 1) };
    let path = name.path();
    let failed = |error| Error::io(format_args!("write {}", path.display()), error);
    let temporary = name.temporary();
    storage.create_dir_all(INDEX.as_ref()).map_err(failed)?;
    let file = storage.open(&temporary, Mode::Create).map_err(failed)?;
    let written = file.set_len(0).map_err(failed).and_then(|()| {
        merge(&parts(segments, run), last.footer.after.root(), go_on, |at, bytes| {
            file.write_all_at(&mut [IoSlice::new(bytes)], at).map_err(failed)
        })?;
        file.sync_data().map_err(failed)
    });
    if let Err(error) = written {
        let _ = storage.remove(&temporary);
        return Err(error);
    }
    storage.rename(&temporary, &path).map_err(failed)?;
    storage.sync_dir(INDEX.as_ref()).map_err(failed)?;
    let file = match TierFile::open(storage, &path, log.id) {
        TierOpened::Good(file) => file,
        TierOpened::Missing => return Err(Error::invalid(format!("{} went away", path.display()))),
        TierOpened::Unfit(why) => return Err(Error::invalid(format!("{}: {why}", path.display()))),
    };
    let start = place(&file, &segments.0).map_err(|why| Error::invalid(format!("{}: {why}", path.display())))?;
    let tier = Tier { start, file };
    core.live.change(|| log.change_tiers(|tiers| tiers.put(tier.clone())));
    Ok(())
}

/// Removes the files of runs that are not listed: merged into larger ones, or of no use.
fn tidy(core: &Core) -> Result<()> {
    let storage = &*core.log.storage;
    let segments = core.log.segments();
    let listed: HashSet<PathBuf> = segments.1.0.iter().map(|tier| tier.file.path.clone()).collect();
    let named = files::list_runs(storage)?.into_iter().map(|name| name.path());
    let mut spare: Vec<PathBuf> = named.filter(|path| !listed.contains(path)).collect();
    spare.extend(files::list_unfinished_runs(storage)?);
    for path in spare {
        match storage.remove(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format_args!("remove {}", path.display()), error));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Log {
    /// Calls `each` with every segment that begins at or before `horizon` and may hold a term, newest first, until it
    /// finds something. Every segment that holds the term is among them. The places of those that a run names are given
    /// to `order`, newest first, which may move them.
    pub(crate) fn newest_first<T>(
        &self,
        hash: u64,
        horizon: Position,
        order: &dyn Fn(&[Segment], &mut Vec<usize>),
        each: &mut dyn FnMut(&Segment) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let segments = self.segments();
        let list = &segments.0;
        let mut end = match list.last() {
            Some(last) if last.base() > horizon => list.partition_point(|segment| segment.base() <= horizon),
            _ => list.len(),
        };
        let mut tiers = segments.1.0.as_slice();
        let mut numbers = Vec::new();
        while end > 0 {
            if let Some((tier, before)) = tiers.split_last().filter(|(tier, _)| tier.range().end >= end) {
                tiers = before;
                numbers.clear();
                if tier.start >= end {
                    continue;
                }
                if let Err(bad) = tier.file.find(hash, &mut numbers) {
                    self.distrust_tier_for(&tier.file, &bad);
                    continue;
                }
                let places = numbers.iter().rev().map(|number| tier.start + usize::from(*number));
                let mut places: Vec<usize> = places.filter(|place| *place < end).collect();
                order(list, &mut places);
                for segment in places.into_iter().filter_map(|place| list.get(place)) {
                    if let Some(found) = each(segment)? {
                        return Ok(Some(found));
                    }
                }
                end = tier.start;
                continue;
            }
            end -= 1;
            if let Some(found) = each(&list[end])? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Lists other runs.
    pub(crate) fn change_tiers(&self, change: impl Fn(&mut Tiers)) {
        self.rcu_segments(|segments| change(&mut segments.1));
    }

    /// A run that turned out damaged is not asked again; its segments are, until it is made anew.
    pub(crate) fn distrust_tier_for(&self, file: &Arc<TierFile>, why: &Bad) {
        let text = format!("expected {}, found {} at byte {}", why.expected, why.found, why.offset);
        self.distrust_tier(file, &text);
    }

    fn distrust_tier(&self, file: &Arc<TierFile>, why: &str) {
        self.change_tiers(|tiers| tiers.0.retain(|tier| !Arc::ptr_eq(&tier.file, file)));
        self.note_distrust(file.path.clone(), why.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_runs_cover_many_segments() {
        assert_eq!(wanted(15), Vec::<Range<usize>>::new());
        assert_eq!(wanted(33), [0..16, 16..32]);
        assert_eq!(wanted(256 + 16), [0..256, 256..272]);
        for sealed in 0..70_000 {
            let runs = wanted(sealed);
            let end = runs.last().map_or(0, |run| run.end);
            assert!(sealed - end < 16 && runs.len() <= 62, "{sealed}: {} runs to {end}", runs.len());
            assert!(runs.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].len() >= pair[1].len()));
        }
        assert!((1..10_000).all(|sealed| wanted(sealed).len() <= 46 || sealed > 10_000));
    }
}
