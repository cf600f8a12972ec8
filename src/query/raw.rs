//! Queries over raw segments: rows in order, frame by frame, or row by row where the index names
//! them.

use std::ops::{ControlFlow, Range};

use super::plan::{self, Candidates};
use super::run::{Asked, OnDamage, meet};
use crate::error::{Corruption, Result};
use crate::event::EventRef;
use crate::format::frame::FIRST_OFFSET;
use crate::io::Mapping;
use crate::position::Position;
use crate::segment::raw::{RawSegment, TOUCHED_TOGETHER};

/// The rest of one segment's candidates.
#[derive(Debug)]
pub(crate) enum RawPlace {
    /// Rows from `next` on of each range in turn. `frame` is where the frame of `next` stands, if it
    /// is known, and the frame's first position.
    Forward { ranges: std::vec::IntoIter<Range<u32>>, rows: Range<u32>, frame: Option<(u64, Position)> },
    /// Rows one by one, in the order in which they are read.
    Rows(std::vec::IntoIter<u32>),
    /// Rows of ranges, from the last to the first.
    Backward { ranges: std::vec::IntoIter<Range<u32>>, rows: Range<u32> },
}

impl RawPlace {
    pub(crate) fn enter(segment: &RawSegment, asked: &Asked) -> Result<RawPlace> {
        let found = plan::candidates(&asked.log, segment, &asked.items, asked.horizon)?;
        Ok(match (found, asked.query.reverse) {
            (Candidates::Rows(rows), false) => RawPlace::Rows(rows.into_iter()),
            (Candidates::Rows(mut rows), true) => {
                rows.reverse();
                RawPlace::Rows(rows.into_iter())
            }
            (Candidates::Ranges(ranges), false) => {
                RawPlace::Forward { ranges: ranges.into_iter(), rows: 0..0, frame: None }
            }
            (Candidates::Ranges(mut ranges), true) => {
                ranges.reverse();
                RawPlace::Backward { ranges: ranges.into_iter(), rows: 0..0 }
            }
        })
    }

    pub(crate) fn run(
        &mut self,
        segment: &RawSegment,
        asked: &mut Asked,
        damage: &mut OnDamage<'_>,
        each: &mut dyn FnMut(EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let mapping = match segment.mapping() {
            Ok(mapping) => mapping,
            Err(error) => {
                meet(error, damage)?;
                return Ok(ControlFlow::Continue(()));
            }
        };
        loop {
            let outcome = match self {
                RawPlace::Forward { .. } => self.run_forward(segment, mapping, asked, each),
                _ => self.run_rows(segment, mapping, asked, each),
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
        match self {
            // The row that failed was taken already.
            RawPlace::Rows(_) | RawPlace::Backward { .. } => true,
            RawPlace::Forward { rows, frame, .. } => {
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
        }
    }

    fn run_forward(
        &mut self,
        segment: &RawSegment,
        mapping: &dyn Mapping,
        asked: &mut Asked,
        each: &mut dyn FnMut(EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let end = segment.end();
        let base = segment.base().get();
        loop {
            let RawPlace::Forward { ranges, rows, frame } = self else {
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
                return Err(asked.log.missing(position));
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
                if asked.takes(&event) && asked.give(event, each).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }

    fn run_rows(
        &mut self,
        segment: &RawSegment,
        mapping: &dyn Mapping,
        asked: &mut Asked,
        each: &mut dyn FnMut(EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        loop {
            let row = match self {
                RawPlace::Rows(rows) => {
                    if rows.len() % TOUCHED_TOGETHER == 0 && asked.left >= TOUCHED_TOGETHER as u64 {
                        segment.touch(mapping, &rows.as_slice()[..rows.len().min(TOUCHED_TOGETHER)]);
                    }
                    rows.next()
                }
                RawPlace::Backward { ranges, rows } => {
                    if rows.start >= rows.end {
                        *rows = ranges.next().unwrap_or(0..0);
                    }
                    rows.next_back()
                }
                RawPlace::Forward { .. } => None,
            };
            let Some(row) = row else { return Ok(ControlFlow::Continue(())) };
            let position = Position::new(segment.base().get() + u64::from(row));
            let event = segment.event_at(mapping, segment.place(row)?, position)?;
            if asked.takes(&event) && asked.give(event, each).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
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
