//! Positions that the log should hold and no segment does: files that are missing, and an end that damage took. Only a
//! log that was opened for reading can have lost any.

use std::ops::RangeInclusive;

use super::files;
use super::shared::Log;
use crate::error::{Corruption, Error, Result};
use crate::position::Position;
use crate::sync::RwLock;
use crate::sync::atomic::{AtomicBool, Ordering};

/// What opening found damaged.
#[derive(Debug)]
pub(crate) struct Damage {
    /// Written after the list; whoever reads `false` has nothing to look for.
    is_any: AtomicBool,
    found: RwLock<Vec<Corruption>>,
}

impl Damage {
    pub(crate) fn none() -> Damage {
        Damage { is_any: AtomicBool::new(false), found: RwLock::new(Vec::new()) }
    }
}

impl Log {
    pub(crate) fn damage(&self) -> Vec<Corruption> {
        self.damage.found.read().clone()
    }

    pub(crate) fn set_damage(&self, found: Vec<Corruption>) {
        let is_any = !found.is_empty();
        *self.damage.found.write() = found;
        self.damage.is_any.store(is_any, Ordering::Release);
    }

    fn is_damaged(&self) -> bool {
        self.damage.is_any.load(Ordering::Acquire)
    }

    /// Where a log that ends at `tail` ended once, by all that is known: there, or behind it where damage took the end.
    pub(crate) fn reach(&self, tail: Position) -> Position {
        if !self.is_damaged() {
            return tail;
        }
        let found = self.damage.found.read();
        found.iter().filter_map(|corruption| Some(*corruption.positions.as_ref()?.end())).fold(tail, Position::max)
    }

    /// Which of these positions no segment holds, ascending.
    pub(crate) fn lost(&self, positions: RangeInclusive<Position>) -> Vec<RangeInclusive<Position>> {
        if !self.is_damaged() {
            return Vec::new();
        }
        let segments = self.segments();
        let reach = self.reach(self.tail());
        let bounds = segments.0.iter().map(|segment| (segment.base(), segment.next()));
        let mut expected = Position::new(1);
        let mut lost = Vec::new();
        for (base, next) in bounds.chain([(reach.next(), reach.next())]) {
            let (first, end) = (expected.max(*positions.start()), base.min(positions.end().next()));
            if first < end {
                lost.push(first..=Position::new(end.get() - 1));
            }
            expected = expected.max(next);
        }
        lost
    }

    /// # Errors
    /// `Corruption` if some of these positions are lost: an answer that asks for all of them would leave events out.
    pub(crate) fn check_held(&self, positions: RangeInclusive<Position>) -> Result<()> {
        self.lost(positions).first().map_or(Ok(()), |lost| Err(self.missing(*lost.start())))
    }

    /// The error for a position that should be there and that no segment holds.
    pub(crate) fn missing(&self, position: Position) -> Error {
        let segments = self.segments();
        let after = segments.0.iter().map(|segment| segment.base()).find(|base| *base > position);
        let last = after.map_or_else(|| self.reach(position), |base| Position::new(base.get() - 1));
        let covers = |known: &&Corruption| known.positions.as_ref().is_some_and(|range| range.contains(&position));
        let known = self.damage.found.read().iter().find(covers).cloned();
        let unknown = || {
            let expected = format!("a segment that holds position {position}");
            Corruption::new(files::raw(position), 0, expected, "no such file")
        };
        known.unwrap_or_else(unknown).at(position..=last).into()
    }
}
