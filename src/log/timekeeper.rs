//! Times of record. They never run backwards, and one bad clock must not freeze them for years.
//!
//! Within a session the wall clock is held against the boot clock, which nobody sets: if it runs
//! ahead by more than five minutes at once, time goes on at what has passed since, the frame is
//! flagged, and the wall clock is kept beside it. Small corrections are followed.

use crate::io::Clock;
use crate::time::Timestamp;

/// How far the wall clock may run ahead of what has passed before it is not believed, in ns.
const JUMP_MAX: i64 = 5 * 60 * 1_000_000_000;
/// How far the wall clock may lie behind the last event when a store is opened before it is
/// reported, in ns.
pub(crate) const BEHIND_MAX: i64 = 24 * 60 * 60 * 1_000_000_000;
/// Differences below this are corrections of a good clock, in ns.
const CORRECTION_MAX: i64 = 1_000_000_000;

/// A time of record, and what the clock on the wall said where that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) recorded_at: Timestamp,
    pub(crate) wall: Option<Timestamp>,
    pub(crate) suspect: bool,
}

#[derive(Debug)]
pub(crate) struct Timekeeper {
    last: i64,
    /// A moment at which the wall clock was believed, by both clocks.
    wall: i64,
    boot: i64,
}

impl Timekeeper {
    pub(crate) fn new(clock: &dyn Clock, last: Timestamp) -> Timekeeper {
        Timekeeper { last: last.as_nanos(), wall: clock.wall_nanos(), boot: clock.boot_nanos() }
    }

    pub(crate) fn now(&mut self, clock: &dyn Clock) -> Now {
        let (wall, boot) = (clock.wall_nanos(), clock.boot_nanos());
        let expected = self.wall.saturating_add(boot.saturating_sub(self.boot));
        let ahead = wall.saturating_sub(expected);
        let suspect = ahead > JUMP_MAX;
        if ahead.abs() <= CORRECTION_MAX {
            (self.wall, self.boot) = (wall, boot);
        }
        let believed = if suspect { expected } else { wall };
        let recorded = believed.max(self.last);
        self.last = recorded;
        Now {
            recorded_at: Timestamp::from_nanos(recorded),
            wall: (recorded != wall).then(|| Timestamp::from_nanos(wall)),
            suspect,
        }
    }

    /// The last time given out.
    pub(crate) fn last(&self) -> Timestamp {
        Timestamp::from_nanos(self.last)
    }

    /// Takes over a time that an import keeps; `false` if it lies before the last one.
    pub(crate) fn keep(&mut self, first: Timestamp, last: Timestamp) -> bool {
        let in_order = first.as_nanos() >= self.last;
        if in_order {
            self.last = last.as_nanos();
        }
        in_order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::ManualClock;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn time_never_runs_backwards_and_a_jump_ahead_is_not_believed() {
        let clock = ManualClock::new(1000 * SECOND);
        let mut keeper = Timekeeper::new(&clock, Timestamp::from_nanos(0));
        assert_eq!(keeper.now(&clock).recorded_at.as_nanos(), 1000 * SECOND);
        clock.advance(SECOND);
        clock.set_wall(10 * SECOND);
        let back = keeper.now(&clock);
        assert_eq!((back.recorded_at.as_nanos(), back.suspect), (1000 * SECOND, false));
        assert_eq!(back.wall.map(Timestamp::as_nanos), Some(10 * SECOND));
        clock.set_wall(1_000_000_000 * SECOND);
        let ahead = keeper.now(&clock);
        assert!(ahead.suspect);
        assert_eq!(ahead.recorded_at.as_nanos(), 1001 * SECOND);
        clock.set_wall(1001 * SECOND);
        clock.advance(SECOND);
        let good = keeper.now(&clock);
        assert_eq!((good.recorded_at.as_nanos(), good.wall, good.suspect), (1002 * SECOND, None, false));
    }
}
