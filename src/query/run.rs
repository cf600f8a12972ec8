//! Running a query: a place in the log that moves through the candidates of one segment after the
//! other, in either direction, and can stop after any event and go on.

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;

use super::plan::{self, Bounded, How, Plan, Step, Why};
use super::raw::RawPlace;
use super::sealed::SealedPlace;
use super::terms::Left;
use crate::error::{Corruption, Error, Result};
use crate::event::EventRef;
use crate::log::shared::{GONE_TRIES, GONE_WAIT, Log, Segments};
use crate::position::Position;
use crate::query::Query;
use crate::segment::Segment;
use crate::sync::thread;

/// What is done where bytes are damaged.
pub(crate) enum OnDamage<'a> {
    Stop,
    /// Told, and passed over.
    Skip(&'a mut dyn FnMut(&Corruption)),
}

/// What every segment of a run needs to know.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) log: Arc<Log>,
    pub(crate) query: Query,
    pub(crate) items: Vec<Bounded>,
    /// Every event of the ranges matches, so nothing has to be asked of it.
    pub(crate) trivial: bool,
    pub(crate) horizon: Position,
    /// The data of an event is wanted too.
    pub(crate) with_data: bool,
    pub(crate) left: u64,
    /// Everything up to here (from here, backwards) was looked at.
    pub(crate) through: Position,
}

impl Asked {
    /// An event was read: whether it is given out.
    pub(crate) fn takes(&mut self, event: &EventRef<'_>) -> bool {
        self.through = event.position();
        self.trivial || self.query.matches(event)
    }

    /// Gives an event out; breaks if that was the last one.
    pub(crate) fn give(
        &mut self,
        event: EventRef<'_>,
        each: &mut dyn FnMut(EventRef<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.left -= 1;
        if each(event).is_break() || self.left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Where a run forward goes on behind the last segment.
const END: Position = Position::new(u64::MAX);

/// A query under way.
#[derive(Debug)]
pub(crate) struct Run {
    asked: Asked,
    segments: Arc<Segments>,
    /// The next position to go on with, in the direction of the query.
    at: Position,
    within: Option<Within>,
    /// Which positions are still to be held against what the log has lost.
    unsure: RangeInclusive<Position>,
    /// What the lookup tiers leave of the segments about here.
    left: Option<Left>,
}

/// Where the run stands in a segment.
#[derive(Debug)]
enum Within {
    Raw(RawPlace),
    Sealed(Box<SealedPlace>),
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
        let asked = Asked {
            trivial,
            items,
            horizon,
            with_data: true,
            left: query.limit.unwrap_or(u64::MAX),
            through: if query.reverse { horizon.next() } else { Position::ORIGIN },
            query: query.clone(),
            log,
        };
        let at = if query.reverse { horizon } else { Position::new(1) };
        // Beyond the horizon only if the end of the log is lost.
        let reach = if horizon < asked.log.tail() { horizon } else { asked.log.reach(horizon) };
        let unsure = Position::new(1)..=reach;
        Ok(Run { asked, segments, at, within: None, unsure, left: None })
    }

    /// The same for a view that asks for no more than what stands at or before a position.
    pub(crate) fn reaching(mut self, reach: Position) -> Run {
        self.unsure = Position::new(1)..=reach;
        self
    }

    /// The same without the data of the events, which need not be read then.
    pub(crate) fn without_data(mut self) -> Run {
        self.asked.with_data = false;
        self
    }

    /// Calls `each` with every event that matches, until it breaks or there is none left. Returns
    /// `true` if it broke; calling again goes on behind that event.
    pub(crate) fn run(
        &mut self,
        damage: &mut OnDamage<'_>,
        each: &mut dyn FnMut(EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<bool> {
        let mut relisted = 0;
        while self.asked.left > 0 {
            let Some(segment) = self.segment() else { break };
            let flow = match self.run_segment(&segment, damage, each) {
                // The file was replaced by another of the same events since it was listed.
                Err(error) if error.is_gone() && relisted < GONE_TRIES => {
                    if relisted > 0 {
                        thread::sleep(GONE_WAIT);
                    }
                    self.list_again()?;
                    relisted += 1;
                    continue;
                }
                other => other?,
            };
            relisted = 0;
            if flow.is_break() {
                return Ok(true);
            }
            self.within = None;
            self.at = if self.asked.query.reverse {
                Position::new(segment.base().get() - 1)
            } else {
                // By the bases alone: where a segment ends moves on while it takes appends.
                let behind = self.segments.index_of(segment.base()).and_then(|index| self.segments.0.get(index + 1));
                behind.map_or(END, Segment::base)
            };
        }
        if self.asked.left > 0 {
            let unsure = self.unsure.clone();
            self.check_held(unsure, damage)?;
            self.asked.through = if self.asked.query.reverse { Position::new(1) } else { self.asked.horizon };
        }
        Ok(false)
    }

    fn run_segment(
        &mut self,
        segment: &Segment,
        damage: &mut OnDamage<'_>,
        each: &mut dyn FnMut(EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        if self.within.is_none() {
            // What lies between this segment and the one that was read before it: files that are missing are told, not
            // passed over in silence.
            let (first, last) = (*self.unsure.start(), *self.unsure.end());
            let before = match self.asked.query.reverse {
                true => segment.next()..=last,
                false => first..=Position::new(segment.base().get() - 1),
            };
            self.check_held(before, damage)?;
            self.unsure = match self.asked.query.reverse {
                true => first..=Position::new(segment.base().get() - 1),
                false => segment.next()..=last,
            };
            self.within = Some(match segment {
                Segment::Raw(raw) => Within::Raw(RawPlace::enter(raw, &self.asked)?),
                Segment::Sealed(sealed) => match SealedPlace::enter(sealed, &self.asked) {
                    Ok(place) => Within::Sealed(Box::new(place)),
                    Err(error) => {
                        meet(error, damage)?;
                        return Ok(ControlFlow::Continue(()));
                    }
                },
            });
        }
        match (segment, &mut self.within) {
            (Segment::Raw(raw), Some(Within::Raw(place))) => place.run(raw, &mut self.asked, damage, each),
            (Segment::Sealed(sealed), Some(Within::Sealed(place))) => place.run(sealed, &mut self.asked, damage, each),
            _ => Err(Error::invalid("the run stands in another segment")),
        }
    }

    /// Takes a new list of segments, and goes on behind the last event that was looked at.
    fn list_again(&mut self) -> Result<()> {
        self.asked.log.relist()?;
        self.segments = self.asked.log.segments();
        (self.within, self.left) = (None, None);
        let reverse = self.asked.query.reverse;
        let through = self.asked.through;
        let bound = if reverse { Position::new(through.get() - 1) } else { through };
        self.at = if reverse { bound.min(self.at) } else { bound.next().max(self.at) };
        for bounded in &mut self.asked.items {
            let positions = &mut bounded.positions;
            match reverse {
                true => positions.end = positions.end.min(bound.get() + 1).max(positions.start),
                false => positions.start = positions.start.max(bound.get() + 1).min(positions.end),
            }
        }
        Ok(())
    }

    /// Whether the query asks for any position of a range.
    fn asks_for(&self, first: Position, last: Position) -> bool {
        self.asked.items.iter().any(|bounded| {
            let (after, before) = (bounded.item.positions().start, bounded.item.positions().end);
            after <= last.get() && first.get() < before
        })
    }

    /// Tells of those of these positions that the log has lost and the query asks for.
    fn check_held(&self, positions: RangeInclusive<Position>, damage: &mut OnDamage<'_>) -> Result<()> {
        for lost in self.asked.log.lost(positions) {
            if self.asks_for(*lost.start(), *lost.end()) {
                meet(self.asked.log.missing(*lost.start()), damage)?;
            }
        }
        Ok(())
    }

    pub(crate) fn through(&self) -> Position {
        self.asked.through
    }

    /// The segment that holds the next position, or the nearest one behind it that may hold a match.
    fn segment(&mut self) -> Option<Segment> {
        let reverse = self.asked.query.reverse;
        let mut found = match reverse {
            true if self.at == Position::ORIGIN => None,
            true => self.segments.index_of(self.at),
            false if self.at == END => None,
            false => Some(self.segments.index_of(self.at).unwrap_or(0)),
        };
        while let Some(place) = found.filter(|_| !self.segments.1.0.is_empty()) {
            if !self.left.as_ref().is_some_and(|left| left.covers(place)) {
                self.left = Left::at(&self.asked.log, &self.segments, place, &self.asked.items);
            }
            let Some(left) = &self.left else { break };
            let next = if reverse { left.back_from(place) } else { Some(left.from(place)) };
            if next == found {
                break;
            }
            found = next.filter(|next| *next < self.segments.0.len());
            self.at = match found.and_then(|next| self.segments.0.get(next)) {
                Some(segment) if reverse => Position::new(segment.next().get() - 1),
                Some(segment) => segment.base(),
                None if reverse => Position::ORIGIN,
                None => END,
            };
        }
        found.and_then(|place| self.segments.0.get(place)).cloned()
    }
}

pub(crate) fn meet(error: Error, damage: &mut OnDamage<'_>) -> Result<()> {
    match (damage, error.corruption()) {
        (OnDamage::Skip(tell), Some(corruption)) => {
            tell(corruption);
            Ok(())
        }
        _ => Err(error),
    }
}

/// The plan of a query, without running it.
pub(crate) fn explain(log: &Log, query: &Query, horizon: Position) -> Result<Plan> {
    log.settled(|| explain_once(log, query, horizon))
}

fn explain_once(log: &Log, query: &Query, horizon: Position) -> Result<Plan> {
    let items = plan::bound(log, query, horizon)?;
    let segments = log.segments();
    let mut steps = Vec::new();
    let mut left: Option<Left> = None;
    for (place, segment) in segments.0.iter().enumerate() {
        if !left.as_ref().is_some_and(|left| left.covers(place)) {
            left = Left::at(log, &segments, place, &items);
        }
        let how = match segment {
            _ if left.as_ref().is_some_and(|left| left.from(place) != place) => How::Skipped(Why::Tier),
            Segment::Raw(raw) => How::of(&plan::candidates(log, raw, &items, horizon)?, || {
                let (first, last) = (raw.base().get(), raw.next().get());
                let is_asked = |bounded: &Bounded| bounded.positions.start < last && bounded.positions.end > first;
                if items.iter().any(is_asked) { Why::Terms } else { Why::Positions }
            }),
            Segment::Sealed(sealed) => super::sealed::how(log, sealed, &items, horizon)?,
        };
        let last = Position::new(segment.next().get() - 1).min(horizon);
        let rows = u64::from(segment.rows());
        steps.push(Step { file: segment.path().to_owned(), first: segment.base(), last, rows, how });
    }
    if query.reverse {
        steps.reverse();
    }
    Ok(Plan { query: query.to_string(), horizon, steps })
}
