//! Planning: which rows of a segment may match a query, by what the segment's index knows.
//!
//! A plan never decides that an event matches, only that it may; [`Query::matches`] has the last
//! word on every event. So a plan can be wrong only by leaving out, which the naive oracle catches.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use super::terms::{Group, Terms};
use crate::error::{ErrorKind, Result};
use crate::format::Parsed;
use crate::format::term::Dimension;
use crate::log::shared::Log;
use crate::position::Position;
use crate::query::{Item, Query};
use crate::segment::mem_index::MemIndex;
use crate::segment::raw::{RawSegment, SegmentIndex};
use crate::time::Timestamp;

/// Fewer rows than this are read one after the other without asking an index.
const SCAN_ROWS: u32 = 256;
/// A further constraint is intersected if it has at most so many times the rows of the first.
const INTERSECT_RATIO: u64 = 64;

/// So few rows are read rather than held against a column.
const FEW_ROWS: usize = 64;

/// The rows of a segment that may match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Candidates {
    /// All of these rows, ascending and disjoint.
    Ranges(Vec<Range<u32>>),
    /// These rows, ascending.
    Rows(Vec<u32>),
}

impl Candidates {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Candidates::Ranges(ranges) => ranges.is_empty(),
            Candidates::Rows(rows) => rows.is_empty(),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Candidates::Ranges(ranges) => ranges.iter().map(|range| u64::from(range.end - range.start)).sum(),
            Candidates::Rows(rows) => rows.len() as u64,
        }
    }
}

/// One item of a query with its bounds in positions, half open.
#[derive(Debug, Clone)]
pub(crate) struct Bounded {
    pub(crate) item: Item,
    pub(crate) positions: Range<u64>,
    pub(crate) terms: Terms,
}

/// Turns the bounds of every item, times of record included, into positions up to `horizon`. Times
/// of record never run backwards, so a binary search finds them.
pub(crate) fn bound(log: &Log, query: &Query, horizon: Position) -> Result<Vec<Bounded>> {
    let end = horizon.get() + 1;
    query
        .items
        .iter()
        .map(|item| {
            let given = item.positions();
            let mut positions = given.start.max(1).min(end)..given.end.min(end);
            if let Some(since) = item.since {
                positions.start = positions.start.max(first_not_before(log, since, end)?);
            }
            if let Some(until) = item.until {
                positions.end = positions.end.min(first_not_before(log, until, end)?);
            }
            positions.end = positions.end.max(positions.start);
            Ok(Bounded { item: item.clone(), positions, terms: Terms::of(log.hasher, item) })
        })
        .collect()
}

/// The first position below `end` whose event was recorded at `time` or later, else `end`. Where
/// damage bars the way, the bound that leaves nothing out: the search gives up at 1.
fn first_not_before(log: &Log, time: Timestamp, end: u64) -> Result<u64> {
    let (mut low, mut high) = (1, end);
    while low < high {
        let middle = low + (high - low) / 2;
        match log.recorded_at(Position::new(middle)).map(|found| found.map(|at| at >= time)) {
            Ok(Some(true) | None) => high = middle,
            Ok(Some(false)) => low = middle + 1,
            Err(error) if error.kind() == ErrorKind::Corruption => return nearest_good(log, time, low, high),
            Err(error) => return Err(error),
        }
    }
    Ok(low)
}

/// The same by going through all that is left; damaged events are passed over.
fn nearest_good(log: &Log, time: Timestamp, low: u64, high: u64) -> Result<u64> {
    for position in low..high {
        match log.recorded_at(Position::new(position)).map(|found| found.map(|at| at >= time)) {
            Ok(Some(true)) => return Ok(position),
            Err(error) if error.kind() != ErrorKind::Corruption => return Err(error),
            _ => {}
        }
    }
    Ok(high)
}

/// The last position whose event was recorded at `time` or before.
pub(crate) fn position_at(log: &Log, time: Timestamp, horizon: Position) -> Result<Position> {
    let after = match time.as_nanos().checked_add(1) {
        Some(next) => first_not_before(log, Timestamp::from_nanos(next), horizon.get() + 1)?,
        None => horizon.get() + 1,
    };
    Ok(Position::new(after - 1))
}

/// The candidate rows of a segment for the items of a query.
pub(crate) fn candidates(log: &Log, segment: &RawSegment, items: &[Bounded], horizon: Position) -> Result<Candidates> {
    let base = segment.base().get();
    let end = segment.next().get().min(horizon.get() + 1);
    let mut parts = Vec::new();
    for bounded in items {
        let start = bounded.positions.start.max(base);
        let stop = bounded.positions.end.min(end);
        if start < stop {
            let rows = (start - base) as u32..(stop - base) as u32;
            parts.push(item_candidates(log, segment, bounded, rows)?);
        }
    }
    Ok(union(parts))
}

fn union(mut parts: Vec<Candidates>) -> Candidates {
    if parts.len() == 1 {
        return parts.swap_remove(0);
    }
    let all_rows = parts.iter().all(|part| matches!(part, Candidates::Rows(_)));
    if all_rows {
        let mut rows: Vec<u32> = parts
            .into_iter()
            .flat_map(|part| if let Candidates::Rows(rows) = part { rows } else { Vec::new() })
            .collect();
        rows.sort_unstable();
        rows.dedup();
        return Candidates::Rows(rows);
    }
    // Rows among ranges become ranges of one; neighbours are joined.
    let mut ranges: Vec<Range<u32>> = Vec::new();
    for part in parts {
        match part {
            Candidates::Ranges(part) => ranges.extend(part),
            Candidates::Rows(rows) => ranges.extend(rows.into_iter().map(|row| row..row + 1)),
        }
    }
    ranges.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Range<u32>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    Candidates::Ranges(joined)
}

/// The candidates of one item among `rows`.
fn item_candidates(log: &Log, segment: &RawSegment, bounded: &Bounded, rows: Range<u32>) -> Result<Candidates> {
    let unlisted = || Candidates::Ranges(vec![rows.clone()]);
    if rows.end - rows.start <= SCAN_ROWS {
        return Ok(unlisted());
    }
    // Where damage keeps a segment from being indexed, reading its rows meets and names it.
    match log.ensure_indexed(segment) {
        Err(error) if error.kind() == ErrorKind::Corruption => return Ok(unlisted()),
        other => other?,
    }
    if !segment.has_index() {
        return Ok(unlisted());
    }
    let index = segment.index.read();
    match by_index(&index, bounded, &rows) {
        Ok(candidates) => Ok(candidates),
        Err(bad) => {
            drop(index);
            log.distrust(segment, &bad);
            Ok(unlisted())
        }
    }
}

fn by_index(index: &SegmentIndex, bounded: &Bounded, rows: &Range<u32>) -> Parsed<Candidates> {
    // Rows below the split are covered by the file; where it was put aside, by nothing.
    let split = match (&index.idx, &index.mem) {
        (Some(idx), _) => idx.rows(),
        (None, mem) => mem.as_ref().map_or(0, MemIndex::first_row),
    };
    let mut found = Candidates::Rows(Vec::new());
    if rows.start < split {
        let covered = rows.start..rows.end.min(split);
        found = match &index.idx {
            Some(_) => in_idx(index, bounded, covered)?,
            None => Candidates::Ranges(vec![covered]),
        };
    }
    if rows.end > split {
        found = union(vec![found, in_memory(index, bounded, rows.start.max(split)..rows.end)]);
    }
    Ok(found)
}

fn in_idx(index: &SegmentIndex, bounded: &Bounded, rows: Range<u32>) -> Parsed<Candidates> {
    let item = &bounded.item;
    let Some(idx) = &index.idx else { return Ok(Candidates::Rows(Vec::new())) };
    if !overlaps_times(item, &idx.bounds()) {
        return Ok(Candidates::Rows(Vec::new()));
    }
    let names = if bounded.terms.has_patterns() { idx.type_names()? } else { None };
    let names = names.map(|names| names.iter().map(|(name, hash, _)| (name, hash)));
    let Some(groups) = bounded.terms.resolved(item.types.as_deref(), names) else {
        return Ok(Candidates::Rows(Vec::new()));
    };
    let mut lists = Vec::new();
    for group in &groups {
        let mut terms = Vec::new();
        for hash in &group.hashes {
            terms.extend(idx.find(group.dimension, *hash)?);
        }
        let total: u64 = terms.iter().map(|term| u64::from(term.count)).sum();
        if total == 0 {
            return Ok(Candidates::Rows(Vec::new()));
        }
        lists.push((total, terms));
    }
    lists.sort_unstable_by_key(|(total, _)| *total);
    let Some((least, _)) = lists.first().map(|(total, terms)| (*total, terms)) else {
        let mut ranges = Vec::new();
        for zone in idx.zones() {
            let (zone_rows, zone) = zone?;
            let overlap = zone_rows.start.max(rows.start)..zone_rows.end.min(rows.end);
            if overlap.start < overlap.end && overlaps_times(item, &zone) {
                push_range(&mut ranges, overlap);
            }
        }
        return Ok(Candidates::Ranges(ranges));
    };
    let mut found: Option<Vec<u32>> = None;
    for (total, terms) in &lists {
        if *total > least.saturating_mul(INTERSECT_RATIO) {
            break;
        }
        let mut list = Vec::with_capacity((*total).min(u64::from(rows.end - rows.start)) as usize);
        for term in terms {
            for row in idx.postings(term, rows.clone())? {
                list.push(row?);
            }
        }
        if terms.len() > 1 {
            list.sort_unstable();
            list.dedup();
        }
        found = Some(match found {
            None => list,
            Some(known) => intersect(&known, &list),
        });
    }
    Ok(Candidates::Rows(found.unwrap_or_default()))
}

fn in_memory(index: &SegmentIndex, bounded: &Bounded, rows: Range<u32>) -> Candidates {
    let item = &bounded.item;
    let Some(mem) = &index.mem else { return Candidates::Ranges(vec![rows]) };
    let Some(groups) = bounded.terms.resolved(item.types.as_deref(), mem.type_names()) else {
        return Candidates::Rows(Vec::new());
    };
    if groups.is_empty() {
        let mut ranges = Vec::new();
        for (number, zone) in (0u32..).zip(mem.zones()) {
            let start = mem.first_row() + number * crate::format::idx::ZONE_ROWS;
            let overlap = start.max(rows.start)..(start + crate::format::idx::ZONE_ROWS).min(rows.end);
            if overlap.start < overlap.end && overlaps_times(item, zone) {
                push_range(&mut ranges, overlap);
            }
        }
        return Candidates::Ranges(ranges);
    }
    let mut found: Option<Vec<u32>> = None;
    // What has chains is walked first: where it leaves few rows, reading them costs less than scanning a column.
    let has_chains = |group: &Group| matches!(group.dimension, Dimension::Subject | Dimension::Causation);
    let chained = groups.iter().filter(|group| has_chains(group));
    for group in chained.chain(groups.iter().filter(|group| !has_chains(group))) {
        let is_column = !has_chains(group);
        if is_column && found.as_ref().is_some_and(|rows| rows.len() <= FEW_ROWS) {
            break;
        }
        let mut list = Vec::new();
        if group.dimension == Dimension::Subject {
            for (hash, subject) in group.hashes.iter().zip(&group.texts) {
                list.extend(
                    mem.subject_rows(*hash, subject).take_while(|row| *row >= rows.start).filter(|row| *row < rows.end),
                );
            }
            list.sort_unstable();
            list.dedup();
        } else {
            mem.column_rows(group.dimension, &group.hashes, rows.clone(), &mut list);
        }
        found = Some(match found {
            None => list,
            Some(known) => intersect(&known, &list),
        });
        if found.as_ref().is_some_and(Vec::is_empty) {
            break;
        }
    }
    Candidates::Rows(found.unwrap_or_default())
}

fn push_range(ranges: &mut Vec<Range<u32>>, range: Range<u32>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

fn overlaps_times(item: &Item, zone: &crate::format::idx::Zone) -> bool {
    item.since.is_none_or(|since| zone.max_recorded >= since.as_nanos())
        && item.until.is_none_or(|until| zone.min_recorded < until.as_nanos())
        && item.occurred_since.is_none_or(|since| zone.max_occurred >= since.as_nanos())
        && item.occurred_until.is_none_or(|until| zone.min_occurred < until.as_nanos())
}

fn intersect(left: &[u32], right: &[u32]) -> Vec<u32> {
    let mut other = right.iter().peekable();
    left.iter()
        .filter(|row| {
            while other.next_if(|candidate| candidate < row).is_some() {}
            other.peek() == Some(row)
        })
        .copied()
        .collect()
}

/// How a query is answered, segment by segment; printed by `--explain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub(crate) query: String,
    pub(crate) horizon: Position,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) file: PathBuf,
    pub(crate) first: Position,
    pub(crate) last: Position,
    pub(crate) rows: u64,
    pub(crate) how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Nothing in it can match, and why not.
    Skipped(Why),
    /// So many rows are read one after the other.
    Scan(u64),
    /// So many rows are read that the index names.
    Index(u64),
    /// Of a sealed segment: in so many of its blocks rows are looked for, by the index and times; with so many pages of
    /// data, and so many stored bytes in all.
    Blocks { read: u64, of: u64, rows: u64, pages: u64, bytes: u64 },
}

/// Why a segment is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Positions,
    Times,
    /// Its own index has none of the terms together.
    Terms,
    /// A lookup tier over many segments does not name it.
    Tier,
}

impl Why {
    fn as_str(self) -> &'static str {
        match self {
            Why::Positions => "no position that is asked for",
            Why::Times => "all its times lie outside",
            Why::Terms => "its index has no match",
            Why::Tier => "the lookup tier does not name it",
        }
    }
}

impl How {
    /// How a raw segment is read, of which nothing else rules anything out than positions, times and its index.
    pub(crate) fn of(found: &Candidates, why_not: impl FnOnce() -> Why) -> How {
        match found {
            nothing if nothing.is_empty() => How::Skipped(why_not()),
            Candidates::Ranges(_) => How::Scan(found.len()),
            Candidates::Rows(_) => How::Index(found.len()),
        }
    }

    fn rows(self) -> u64 {
        match self {
            How::Skipped(_) => 0,
            How::Scan(rows) | How::Index(rows) | How::Blocks { rows, .. } => rows,
        }
    }
}

impl Plan {
    /// Segments that are not touched.
    #[must_use]
    pub fn segments_skipped(&self) -> u64 {
        self.steps.iter().filter(|step| matches!(step.how, How::Skipped(_))).count() as u64
    }

    /// Events that are read, of those that the log holds.
    #[must_use]
    pub fn events_read(&self) -> u64 {
        self.steps.iter().map(|step| step.how.rows()).sum()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "query     {}", self.query)?;
        writeln!(f, "horizon   position {}", self.horizon)?;
        for step in &self.steps {
            let span = format!("{}..{}", step.first, step.last);
            write!(f, "{:<34} {span:>21}  ", step.file.display())?;
            match step.how {
                How::Skipped(why) => writeln!(f, "skipped: {}", why.as_str())?,
                How::Scan(rows) => writeln!(f, "scan {rows} of {} events", step.rows)?,
                How::Index(rows) => writeln!(f, "index: {rows} of {} events", step.rows)?,
                How::Blocks { read, of, rows, pages, bytes } => {
                    writeln!(f, "{read} of {of} blocks, {pages} pages, {bytes} bytes: {rows} of {} events", step.rows)?
                }
            }
        }
        write!(
            f,
            "reads     {} events, skips {} of {} segments",
            self.events_read(),
            self.segments_skipped(),
            self.steps.len()
        )
    }
}
