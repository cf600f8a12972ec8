//! Looking back in the log for one subject, key or id: newest segment first, real bytes compared. Which of the sealed
//! segments are asked at all, the lookup tiers say where they are there.

use super::shared::{Log, Segments};
use crate::error::{Error, Result};
use crate::event::{EventRef, parse_derived_id};
use crate::format::sealed::dictionary::IdCandidate;
use crate::format::sealed::stems::indexed as indexed_id;
use crate::format::term::Dimension;
use crate::format::{Bad, Parsed};
use crate::position::Position;
use crate::segment::idx_file::IdxFile;
use crate::segment::mem_index::MemIndex;
use crate::segment::raw::RawSegment;
use crate::segment::tier_file::TierFile;
use crate::segment::{KeyHit, Segment};

/// Segments that a run names are asked in their order.
fn as_they_are(_: &[Segment], _: &mut Vec<usize>) {}

impl Log {
    /// Position and version of the subject's last event at or before `horizon`.
    pub(crate) fn last_of_subject(
        &self,
        subject: &str,
        hash: u64,
        horizon: Position,
    ) -> Result<Option<(Position, u64)>> {
        let is_subject = |event: &EventRef<'_>| (event.subject() == subject).then(|| event.version());
        self.settled(|| {
            self.newest_first(hash, horizon, &as_they_are, &mut |segment| match segment {
                Segment::Raw(raw) => match self.last_in_memory(raw, subject, hash, horizon)? {
                    None => self.newest_in(raw, subject, hash, horizon, &is_subject),
                    last => Ok(last),
                },
                Segment::Sealed(sealed) => sealed.last_of_subject(subject, hash, horizon),
            })
        })
    }

    /// A subject's last event, if the index in memory has it and it is not beyond `horizon`: found by its text.
    fn last_in_memory(
        &self,
        segment: &RawSegment,
        subject: &str,
        hash: u64,
        horizon: Position,
    ) -> Result<Option<(Position, u64)>> {
        self.ensure_indexed(segment)?;
        let last = segment.index.read().mem.as_ref().and_then(|mem| mem.last_of_subject(hash, subject));
        let last = last.map(|(row, version)| (Position::new(segment.base().get() + u64::from(row)), version));
        Ok(last.filter(|(position, _)| *position <= horizon))
    }

    /// The same over everything but the rows that the active segment's index holds in memory, which
    /// the committer has asked already.
    pub(crate) fn last_of_subject_before(
        &self,
        active: &RawSegment,
        subject: &str,
        hash: u64,
    ) -> Result<Option<(Position, u64)>> {
        let in_memory_from = active.index.read().mem.as_ref().map(MemIndex::first_row);
        let rows = in_memory_from.unwrap_or_else(|| active.rows());
        let horizon = Position::new(active.base().get() + u64::from(rows) - 1);
        self.last_of_subject(subject, hash, horizon)
    }

    /// The position of a subject's event of one version, at or before `horizon`.
    pub(crate) fn position_of_version(
        &self,
        subject: &str,
        hash: u64,
        version: u64,
        horizon: Position,
    ) -> Result<Option<Position>> {
        // Of segments that a run names, the oldest whose last version is not below is the likeliest.
        let likeliest_first = |list: &[Segment], places: &mut Vec<usize>| {
            let not_below = |place: &usize| {
                let sealed = list.get(*place).and_then(Segment::sealed);
                let last = sealed.and_then(|sealed| sealed.last_version_by_index(hash).ok()).flatten();
                last.is_some_and(|last| last >= version)
            };
            let count = places.partition_point(not_below);
            places[..count].rotate_right(usize::from(count > 1));
        };
        self.settled(|| {
            self.newest_first(hash, horizon, &likeliest_first, &mut |segment| match segment {
                Segment::Raw(raw) => self.version_in(raw, subject, hash, version, horizon),
                Segment::Sealed(sealed) => sealed.position_of_version(subject, hash, version, horizon),
            })
        })
    }

    /// The same in a raw segment.
    fn version_in(
        &self,
        segment: &RawSegment,
        subject: &str,
        hash: u64,
        version: u64,
        horizon: Position,
    ) -> Result<Option<Position>> {
        self.ensure_indexed(segment)?;
        let (in_memory, idx) = {
            let index = segment.index.read();
            let known = index.mem.as_ref().map(|mem| {
                let last = mem.last_of_subject(hash, subject);
                (mem.row_of_version(hash, subject, version), last, mem.first_row())
            });
            (known, index.idx.clone())
        };
        let at = |row: u32, version: u64| {
            let position = Position::new(segment.base().get() + u64::from(row));
            let event = segment.event_at(segment.mapping()?, segment.place(row)?, position)?;
            Ok::<_, Error>(Some(position).filter(|_| event.subject() == subject && event.version() == version))
        };
        // What memory covers it knows by the subject's text.
        match in_memory {
            Some((Some(row), ..)) => {
                if let Some(position) = at(row, version)? {
                    return Ok(Some(position).filter(|position| *position <= horizon));
                }
            }
            Some((None, last, first_row)) if first_row == 0 || last.is_some_and(|(_, last)| last < version) => {
                return Ok(None);
            }
            _ => {}
        }
        if let Some(idx) = idx
            && let Some(found) = version_by_idx(&idx, hash, version, &at)?
        {
            return Ok(found.filter(|position| *position <= horizon));
        }
        let found = self.newest_in(segment, subject, hash, horizon, &|event| {
            (event.subject() == subject && event.version() <= version).then(|| event.version())
        });
        Ok(found?.filter(|(_, found)| *found == version).map(|(position, _)| position))
    }

    /// Calls `test` on the events of a subject in a raw segment, newest first, and returns the first that it accepts.
    fn newest_in<T>(
        &self,
        segment: &RawSegment,
        subject: &str,
        hash: u64,
        horizon: Position,
        test: &impl Fn(&EventRef<'_>) -> Option<T>,
    ) -> Result<Option<(Position, T)>> {
        let mut found = None;
        self.each_row(segment, Dimension::Subject, subject, hash, &mut |row| {
            let position = Position::new(segment.base().get() + u64::from(row));
            if position > horizon {
                return Ok(true);
            }
            let event = segment.event_at(segment.mapping()?, segment.place(row)?, position)?;
            found = test(&event).map(|value| (position, value));
            Ok(found.is_none())
        })?;
        Ok(found)
    }

    /// Calls `each` with the rows of a segment that may carry the term, newest first, until it says
    /// `false`. Every row that carries it is among them.
    pub(crate) fn each_row(
        &self,
        segment: &RawSegment,
        dimension: Dimension,
        value: &str,
        hash: u64,
        each: &mut dyn FnMut(u32) -> Result<bool>,
    ) -> Result<()> {
        // Rows are copied out in small lots, so that the lock is never held while events are read.
        const LOT: usize = 64;
        self.ensure_indexed(segment)?;
        let mut lowest = u32::MAX;
        let mut below = Some(u32::MAX);
        while let Some(bound) = below.take() {
            let mut lot = [0u32; LOT];
            let mut count = 0;
            if let Some(mem) = segment.index.read().mem.as_ref() {
                let mut take = |rows: &mut dyn Iterator<Item = u32>| {
                    for row in rows.filter(|row| *row < bound).take(LOT) {
                        lot[count] = row;
                        count += 1;
                    }
                };
                match dimension {
                    Dimension::Subject => take(&mut mem.subject_rows(hash, value)),
                    Dimension::Key => take(&mut mem.key_rows(hash)),
                    _ => take(&mut mem.id_rows(hash)),
                }
            }
            for row in &lot[..count] {
                if !each(*row)? {
                    return Ok(());
                }
                lowest = *row;
            }
            below = lot[..count].last().copied().filter(|_| count == LOT);
        }
        // Asked for after the rows in memory: if those went into a file meanwhile, it has the rest.
        let (idx, mem_from) = {
            let index = segment.index.read();
            (index.idx.clone(), index.mem.as_ref().map(MemIndex::first_row))
        };
        let Some(idx) = idx else {
            // What memory does not cover and no file does has to be read.
            return match mem_from {
                Some(0) => Ok(()),
                Some(from) => scan_rows(self, segment, dimension, hash, from.min(lowest), each),
                None => scan_rows(self, segment, dimension, hash, lowest, each),
            };
        };
        match idx.find(dimension, hash) {
            Ok(None) => Ok(()),
            Ok(Some(entry)) => {
                // One row is the usual case; the others are read only if it is not enough.
                if entry.last_row < lowest {
                    if !each(entry.last_row)? {
                        return Ok(());
                    }
                    lowest = entry.last_row;
                }
                let rest = idx.postings(&entry, 0..entry.last_row.min(lowest));
                match rest.and_then(|rows| rows.rev().collect::<Parsed<Vec<u32>>>()) {
                    Ok(rows) => {
                        for row in rows {
                            if !each(row)? {
                                return Ok(());
                            }
                        }
                        Ok(())
                    }
                    Err(bad) => self.fall_back(segment, &bad, dimension, hash, lowest, each),
                }
            }
            Err(bad) => self.fall_back(segment, &bad, dimension, hash, lowest, each),
        }
    }

    /// Brings the index of a segment up to what it has published. Only a process that does not write
    /// can find it behind; a full segment without any index is left to scanning, so that memory
    /// does not grow with the log.
    pub(crate) fn ensure_indexed(&self, segment: &RawSegment) -> Result<()> {
        if segment.indexed_rows() >= segment.rows() {
            return Ok(());
        }
        let newest = self.segments().newest().is_some_and(|newest| newest.base() == segment.base());
        if newest || segment.has_index() { segment.index_published(self.hasher) } else { Ok(()) }
    }

    /// The index of a segment is damaged: it is put aside, and its rows are found by reading them.
    fn fall_back(
        &self,
        segment: &RawSegment,
        why: &Bad,
        dimension: Dimension,
        hash: u64,
        below: u32,
        each: &mut dyn FnMut(u32) -> Result<bool>,
    ) -> Result<()> {
        self.distrust(segment, why);
        scan_rows(self, segment, dimension, hash, below, each)
    }

    /// The batch that carries an idempotency key, however old.
    pub(crate) fn find_key(&self, key: &str, hash: u64) -> Result<Option<KeyHit>> {
        self.settled(|| self.find_key_once(key, hash))
    }

    fn find_key_once(&self, key: &str, hash: u64) -> Result<Option<KeyHit>> {
        self.newest_first(hash, Position::new(u64::MAX), &as_they_are, &mut |segment| match segment {
            Segment::Raw(raw) => self.find_key_in(raw, key, hash),
            Segment::Sealed(sealed) => sealed.find_key(key, hash),
        })
    }

    fn find_key_in(&self, segment: &RawSegment, key: &str, hash: u64) -> Result<Option<KeyHit>> {
        let mut found = None;
        self.each_row(segment, Dimension::Key, key, hash, &mut |row| {
            let position = Position::new(segment.base().get() + u64::from(row));
            let frame = segment.frame_of(segment.mapping()?, segment.place(row)?, position)?;
            let prelude = frame.prelude().map_err(|bad| segment.corruption(bad, 0, position, position))?;
            if let Some((_, content_hash)) = prelude.key.filter(|(stored, _)| *stored == key) {
                found = Some(KeyHit {
                    first: frame.header.first,
                    last: Position::new(frame.header.next().get() - 1),
                    recorded_at: frame.header.recorded_at,
                    content_hash: *content_hash,
                });
            }
            Ok(found.is_none())
        })?;
        Ok(found)
    }

    /// Calls `each` with every event of an id at or before `horizon`, oldest first, until it says
    /// `false`.
    pub(crate) fn each_of_id(
        &self,
        id: &str,
        horizon: Position,
        each: &mut dyn FnMut(&EventRef<'_>) -> bool,
    ) -> Result<()> {
        if let Some((epoch, position)) = parse_derived_id(self.id, id).filter(|(_, position)| *position <= horizon) {
            let derived = |event: &EventRef<'_>| event.epoch() == epoch && event.given_id().is_none();
            if self.with_event(position, |event| derived(event) && !each(event))? == Some(true) {
                return Ok(());
            }
        }
        let hash = self.hasher.hash(Dimension::Id, id.as_bytes());
        for position in self.settled(|| self.positions_of_id(id, hash, horizon))? {
            let is_it = |event: &EventRef<'_>| event.given_id() == Some(id);
            if self.with_event(position, |event| is_it(event) && !each(event))? == Some(true) {
                break;
            }
        }
        Ok(())
    }

    /// Where events of a given id may stand, at or before `horizon`, ascending.
    fn positions_of_id(&self, id: &str, hash: u64, horizon: Position) -> Result<Vec<Position>> {
        let segments = self.segments();
        let mut found = Vec::new();
        for place in self.places_of_id(&segments, id, hash, horizon)? {
            let Some(segment) = segments.0.get(place) else { continue };
            let mut rows = Vec::new();
            match segment {
                Segment::Sealed(sealed) => rows = sealed.rows_of_id(id, horizon)?,
                Segment::Raw(raw) => {
                    self.each_row(raw, Dimension::Id, id, hash, &mut |row| {
                        rows.push(row);
                        Ok(true)
                    })?;
                    rows.reverse();
                }
            }
            let base = segment.base().get();
            found.extend(rows.into_iter().map(|row| Position::new(base + u64::from(row))));
        }
        found.retain(|position| *position <= horizon);
        Ok(found)
    }

    /// The places in the list of all segments that may hold a given id, ascending.
    fn places_of_id(&self, segments: &Segments, id: &str, hash: u64, horizon: Position) -> Result<Vec<usize>> {
        let end = segments.0.partition_point(|segment| segment.base() <= horizon);
        let mut places = Vec::new();
        let mut at = 0;
        while at < end {
            let Some(tier) = segments.1.covering(at) else {
                places.push(at);
                at += 1;
                continue;
            };
            let range = tier.range();
            match self.numbers_of_id(&tier.file, id, hash, horizon) {
                Ok(Some(numbers)) => {
                    places.extend(numbers.into_iter().map(|number| range.start + usize::from(number)));
                }
                Ok(None) => places.extend(range.clone()),
                Err(bad) => {
                    self.distrust_tier_for(&tier.file, &bad);
                    places.extend(range.clone());
                }
            }
            at = range.end;
        }
        places.retain(|place| *place < end);
        Ok(places)
    }

    /// The numbers of the segments of a run that may hold a given id, ascending; `None`: any of them.
    fn numbers_of_id(&self, run: &TierFile, id: &str, hash: u64, horizon: Position) -> Parsed<Option<Vec<u16>>> {
        let mut numbers = Vec::new();
        if run.templates().is_overflown() {
            return Ok(None);
        }
        // Its own term, or that of what ids share where neighbours do; a segment has the one or the other.
        run.find(hash, &mut numbers)?;
        let stem = indexed_id(id);
        if stem != id {
            run.find(self.hasher.hash(Dimension::Id, stem.as_bytes()), &mut numbers)?;
        }
        let mut failed = None;
        run.templates().candidates(id, |candidate, having| {
            let start = numbers.len();
            match candidate {
                IdCandidate::Position(position) => {
                    numbers.extend(Some(position).filter(|at| *at <= horizon).and_then(|at| run.segment_of(at)));
                }
                IdCandidate::Subject { subject, .. } => {
                    failed = failed.take().or(run.find(self.hasher.subject(&subject), &mut numbers).err());
                }
            }
            let admitted = numbers.split_off(start);
            numbers.extend(admitted.into_iter().filter(|number| having.contains(number)));
        });
        if let Some(bad) = failed {
            return Err(bad);
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(Some(numbers))
    }
}

/// The position of a version by the postings of the index file, which are the subject's versions one by one; `at` gives
/// the position of a row if it has that version of the subject. The outer `None`: the postings do not tell, because
/// another subject has the same hash, or a page is damaged.
fn version_by_idx(
    idx: &IdxFile,
    hash: u64,
    version: u64,
    at: &dyn Fn(u32, u64) -> Result<Option<Position>>,
) -> Result<Option<Option<Position>>> {
    let entry = match idx.find(Dimension::Subject, hash) {
        Ok(Some(entry)) => entry,
        Ok(None) => return Ok(Some(None)),
        Err(_) => return Ok(None),
    };
    if at(entry.last_row, entry.extra)?.is_none() {
        return Ok(None);
    }
    // Whatever else has its hash, the subject has no more rows than these.
    let back = entry.extra.checked_sub(version).and_then(|back| u32::try_from(back).ok());
    let Some(back) = back.filter(|back| *back < entry.count) else { return Ok(Some(None)) };
    let row = idx.postings(&entry, 0..u32::MAX).and_then(|rows| rows.row(entry.count - 1 - back));
    match row {
        Ok(row) => Ok(at(row, version)?.map(Some)),
        Err(_) => Ok(None),
    }
}

/// Finds the rows of a term below `below` by reading them: nothing indexes them.
fn scan_rows(
    log: &Log,
    segment: &RawSegment,
    dimension: Dimension,
    hash: u64,
    below: u32,
    each: &mut dyn FnMut(u32) -> Result<bool>,
) -> Result<()> {
    use crate::format::frame::FIRST_OFFSET;
    let mapping = segment.mapping()?;
    let (end, mut offset, mut expected) = (segment.end(), FIRST_OFFSET, segment.base());
    let mut rows = Vec::new();
    while let Some(at) = segment.frame_at(mapping, offset, end, expected)? {
        let header = at.frame.header;
        if header.first.get() - segment.base().get() >= u64::from(below) {
            break;
        }
        for index in 0..header.count {
            let position = Position::new(header.first.get() + u64::from(index));
            let damaged = |bad| segment.corruption(bad, at.offset, position, position);
            let event = at.frame.event(index).map_err(damaged)?;
            let carries = match dimension {
                Dimension::Subject => log.hasher.subject(event.subject()) == hash,
                Dimension::Id => {
                    event.given_id().is_some_and(|id| log.hasher.hash(Dimension::Id, id.as_bytes()) == hash)
                }
                _ if index > 0 => false,
                _ => at
                    .frame
                    .prelude()
                    .map_err(damaged)?
                    .key
                    .is_some_and(|(key, _)| log.hasher.hash(Dimension::Key, key.as_bytes()) == hash),
            };
            if carries {
                rows.push((position.get() - segment.base().get()) as u32);
            }
        }
        offset = at.offset + header.frame_bytes();
        expected = header.next();
    }
    for row in rows.into_iter().rev().filter(|row| *row < below) {
        if !each(row)? {
            break;
        }
    }
    Ok(())
}
