//! Running a query: a place in the log that moves through the candidates of one segment after the
//! other, in either direction, and can stop after any event and go on.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::plan::{self, Bounded, Candidates, How, Plan, Step};
use crate::error::{Corruption, Result};
use crate::event::EventRef;
use crate::format::frame::FIRST_OFFSET;
use crate::log::shared::{Log, Segments};
use crate::position::Position;
use crate::query::Query;
use crate::segment::raw::{RawSegment, TOUCHED_TOGETHER};

/// What is done where bytes are damaged.
pub(crate) enum OnDamage<'a> {
    Stop,
    /// Told, and passed over.
    Skip(&'a mut dyn FnMut(&Corruption)),
}

/// A query under way.
#[derive(Debug)]
pub(crate) struct Run {
    log: Arc<Log>,
    query: Query,
    items: Vec<Bounded>,
    /// Every event of the ranges matches, so nothing has to be asked of it.
    trivial: bool,
    horizon: Position,
    segments: Arc<Segments>,
    /// Index of the segment in work, counted in the direction of the query.
    at: usize,
    within: Option<Within>,
    left: u64,
    /// Everything up to here (from here, backwards) was looked at.
    through: Position,
}

/// The rest of one segment's candidates.
#[derive(Debug)]
enum Within {
    /// Rows from `next` on of each range in turn. `frame` is where the frame of `next` stands, if it
    /// is known, and the frame's first position.
    Forward { ranges: std::vec::IntoIter<Range<u32>>, rows: Range<u32>, frame: Option<(u64, Position)> },
    /// Rows one by one, in the order in which they are read.
    Rows(std::vec::IntoIter<u32>),
    /// Rows of ranges, from the last to the first.
    Backward { ranges: std::vec::IntoIter<Range<u32>>, rows: Range<u32> },
}

impl Run {
    pub(crate) fn new(log: Arc<Log>, query: &Query, horizon: Position) -> Result<Run> {
        let items = plan::bound(&log, query, horizon)?;
        let unbounded = |bounded: &Bounded| {
            let mut item = bounded.item.clone();
            (item.after, item.before, item.since, item.until) = (None, None, None, None);
            item == crate::query::Item::default()
        };
        let trivial = items.len() == 1 && items.iter().all(unbounded);
        let segments = log.segments();
        Ok(Run {
            trivial,
            items,
            horizon,
            segments,
            at: 0,
            within: None,
            left: query.limit.unwrap_or(u64::MAX),
            through: if query.reverse { horizon.next() } else { Position::ORIGIN },
            query: query.clone(),
            log,
        })
    }

    /// Calls `each` with every event that matches, until it breaks or there is none left. Returns
    /// `true` if it broke; calling again goes on behind that event.
    pub(crate) fn run(
        &mut self,
        damage: &mut OnDamage<'_>,
        each: &mut dyn FnMut(EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<bool> {
        while self.left > 0 {
            let Some(segment) = self.segment() else { break };
            if self.within.is_none() {
                self.check_gap(&segment, damage)?;
                self.enter(&segment)?;
            }
            let flow = self.run_within(&segment, damage, each)?;
            if flow.is_break() {
                return Ok(true);
            }
            self.within = None;
            self.at += 1;
        }
        if self.left > 0 {
            self.check_end(damage)?;
            self.through = if self.query.reverse { Position::new(1) } else { self.horizon };
        }
        Ok(false)
    }

    /// Whether the query asks for any position of a range.
    fn asks_for(&self, first: Position, last: Position) -> bool {
        self.items.iter().any(|bounded| {
            let (after, before) = (bounded.item.positions().start, bounded.item.positions().end);
            after <= last.get() && first.get() < before
        })
    }

    /// A file that is missing before this segment is told, not passed over in silence.
    fn check_gap(&self, segment: &RawSegment, damage: &mut OnDamage<'_>) -> Result<()> {
        let before = self.segments.index_of(Position::new(segment.base().get() - 1));
        let expected = before.map_or(Position::new(1), |index| self.segments.0[index].next());
        if expected >= segment.base() || !self.asks_for(expected, Position::new(segment.base().get() - 1)) {
            return Ok(());
        }
        meet(self.log.missing(expected), damage)
    }

    /// Events beyond the end that were durable once are told too.
    fn check_end(&self, damage: &mut OnDamage<'_>) -> Result<()> {
        let tail = self.log.tail();
        if self.query.reverse || self.horizon < tail {
            return Ok(());
        }
        let beyond = |corruption: &&Corruption| {
            corruption
                .positions
                .as_ref()
                .is_some_and(|range| *range.start() > tail && self.asks_for(*range.start(), *range.end()))
        };
        let found = self.log.damage.read().iter().find(beyond).cloned();
        found.map_or(Ok(()), |corruption| meet(corruption.into(), damage))
    }

    pub(crate) fn through(&self) -> Position {
        self.through
    }

    fn segment(&self) -> Option<Arc<RawSegment>> {
        let list = &self.segments.0;
        let index = if self.query.reverse { list.len().checked_sub(self.at + 1)? } else { self.at };
        list.get(index).map(Arc::clone)
    }

    fn enter(&mut self, segment: &RawSegment) -> Result<()> {
        let found = plan::candidates(&self.log, segment, &self.items, self.horizon)?;
        self.within = Some(match (found, self.query.reverse) {
            (Candidates::Rows(rows), false) => Within::Rows(rows.into_iter()),
            (Candidates::Rows(mut rows), true) => {
                rows.reverse();
                Within::Rows(rows.into_iter())
            }
            (Candidates::Ranges(ranges), false) => {
                Within::Forward { ranges: ranges.into_iter(), rows: 0..0, frame: None }
            }
            (Candidates::Ranges(mut ranges), true) => {
                ranges.reverse();
                Within::Backward { ranges: ranges.into_iter(), rows: 0..0 }
            }
        });
        Ok(())
    }

    fn run_within(
        &mut self,
        segment: &RawSegment,
        damage: &mut OnDamage<'_>,
        each: &mut dyn FnMut(EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        loop {
            let outcome = match &self.within {
                Some(Within::Forward { .. }) => self.run_forward(segment, each),
                Some(_) => self.run_rows(segment, each),
                None => return Ok(ControlFlow::Continue(())),
            };
            let error = match outcome {
                Ok(flow) => return Ok(flow),
                Err(error) => error,
            };
            let (OnDamage::Skip(tell), Some(corruption)) = (&mut *damage, error.corruption()) else {
                return Err(error);
            };
            tell(corruption);
            if !self.step_over(segment, corruption) {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }

    /// Moves behind the events that damage has taken; `false` if nothing of the segment is left.
    fn step_over(&mut self, segment: &RawSegment, corruption: &Corruption) -> bool {
        match &mut self.within {
            // The row that failed was taken already.
            Some(Within::Rows(_) | Within::Backward { .. }) => true,
            Some(Within::Forward { rows, frame, .. }) => {
                let failed = Position::new(segment.base().get() + u64::from(rows.start));
                let last = corruption.positions.as_ref().map_or(failed, |range| *range.end());
                *frame = None;
                let whole_tail = last >= Position::new(segment.next().get().saturating_sub(1)) && last > failed;
                let next = if whole_tail { next_good(segment, failed) } else { Some(last.next().max(failed.next())) };
                match next.and_then(|next| segment.row_of(next)) {
                    Some(row) => {
                        rows.start = row.min(rows.end);
                        true
                    }
                    None => false,
                }
            }
            None => false,
        }
    }

    fn run_forward(
        &mut self,
        segment: &RawSegment,
        each: &mut dyn FnMut(EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mapping = segment.mapping()?;
        let end = segment.end();
        let base = segment.base().get();
        loop {
            let Some(Within::Forward { ranges, rows, frame }) = &mut self.within else {
                return Ok(ControlFlow::Continue(()));
            };
            if rows.start >= rows.end {
                let Some(next) = ranges.next() else { return Ok(ControlFlow::Continue(())) };
                if next.start != rows.end {
                    *frame = None;
                }
                *rows = next;
                continue;
            }
            let position = Position::new(base + u64::from(rows.start));
            let (offset, first) = match frame {
                Some(known) => *known,
                None if rows.start == 0 => (FIRST_OFFSET, segment.base()),
                None => {
                    let place = segment.place(rows.start)?;
                    (place.frame, Position::new(position.get() - u64::from(place.index)))
                }
            };
            let Some(found) = segment.frame_at(mapping, offset, end, first)? else {
                return Err(self.log.missing(position));
            };
            let header = found.frame.header;
            let last = header.next().get().min(base + u64::from(rows.end));
            let mut index = (position.get() - header.first.get()) as u32;
            let stop = (last - header.first.get()) as u32;
            while index < stop {
                let here = Position::new(header.first.get() + u64::from(index));
                rows.start += 1;
                if index + 1 == header.count {
                    *frame = Some((found.offset + header.frame_bytes(), header.next()));
                } else {
                    *frame = Some((found.offset, header.first));
                }
                let event = match found.frame.event(index) {
                    Ok(event) => event,
                    Err(bad) => {
                        rows.start -= 1;
                        return Err(segment.corruption(bad, found.offset, here, here));
                    }
                };
                index += 1;
                self.through = here;
                if !self.trivial && !self.query.matches(&event) {
                    continue;
                }
                self.left -= 1;
                if each(event).is_break() || self.left == 0 {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }

    fn run_rows(
        &mut self,
        segment: &RawSegment,
        each: &mut dyn FnMut(EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mapping = segment.mapping()?;
        loop {
            let row = match &mut self.within {
                Some(Within::Rows(rows)) => {
                    if rows.len() % TOUCHED_TOGETHER == 0 && self.left >= TOUCHED_TOGETHER as u64 {
                        segment.touch(mapping, &rows.as_slice()[..rows.len().min(TOUCHED_TOGETHER)]);
                    }
                    rows.next()
                }
                Some(Within::Backward { ranges, rows }) => {
                    if rows.start >= rows.end {
                        *rows = ranges.next().unwrap_or(0..0);
                    }
                    rows.next_back()
                }
                _ => None,
            };
            let Some(row) = row else { return Ok(ControlFlow::Continue(())) };
            let position = Position::new(segment.base().get() + u64::from(row));
            let event = segment.event_at(mapping, segment.place(row)?, position)?;
            self.through = position;
            if !self.query.matches(&event) {
                continue;
            }
            self.left -= 1;
            if each(event).is_break() || self.left == 0 {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
}

fn meet(error: crate::error::Error, damage: &mut OnDamage<'_>) -> Result<()> {
    match (damage, error.corruption()) {
        (OnDamage::Skip(tell), Some(corruption)) => {
            tell(corruption);
            Ok(())
        }
        _ => Err(error),
    }
}

/// The first position after `failed` whose frame can be read, found by searching for frames.
fn next_good(segment: &RawSegment, failed: Position) -> Option<Position> {
    let mapping = segment.mapping().ok()?;
    let bytes = mapping.bytes(FIRST_OFFSET..segment.end())?;
    let step = crate::format::frame::ALIGN;
    (0..bytes.len() as u64 / step).find_map(|slot| {
        let offset = FIRST_OFFSET + slot * step;
        let head = bytes.get((slot * step) as usize..)?;
        match crate::format::frame::FrameHeader::read(head, segment.header.salt, offset) {
            crate::format::frame::HeaderRead::Valid(header) if header.count > 0 && header.first > failed => {
                Some(header.first)
            }
            _ => None,
        }
    })
}

/// The plan of a query, without running it.
pub(crate) fn explain(log: &Log, query: &Query, horizon: Position) -> Result<Plan> {
    let items = plan::bound(log, query, horizon)?;
    let mut steps = Vec::new();
    let segments = log.segments();
    let in_order: Vec<&Arc<RawSegment>> =
        if query.reverse { segments.0.iter().rev().collect() } else { segments.0.iter().collect() };
    for segment in in_order {
        let found = plan::candidates(log, segment, &items, horizon)?;
        let how = match &found {
            nothing if nothing.is_empty() => How::Skipped,
            Candidates::Ranges(_) => How::Scan(found.len()),
            Candidates::Rows(_) => How::Index(found.len()),
        };
        let last = Position::new(segment.next().get() - 1).min(horizon);
        steps.push(Step {
            file: segment.path.clone(),
            first: segment.base(),
            last,
            rows: u64::from(segment.rows()),
            how,
        });
    }
    Ok(Plan { query: query.to_string(), horizon, steps })
}
