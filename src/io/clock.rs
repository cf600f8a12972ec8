//! Time as the operating system tells it.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Two clocks: the one that people set and the one that nobody can.
pub trait Clock: Send + Sync + Debug {
    /// Nanoseconds since 1970 UTC. It may jump, also backwards.
    fn wall_nanos(&self) -> i64;

    /// Nanoseconds since some moment before this process began, sleep of the machine included.
    /// It never runs backwards.
    fn boot_nanos(&self) -> i64;
}

/// The clocks of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall_nanos(&self) -> i64 {
        // Beyond the years 1677 to 2262 the clock stands still at the end of the range.
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn boot_nanos(&self) -> i64 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn boot_nanos(&self) -> i64 {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        let start = START.get_or_init(std::time::Instant::now);
        i64::try_from(start.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }
}

/// Clocks that stand still until a test moves them.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall: AtomicI64,
    boot: AtomicI64,
}

impl ManualClock {
    /// Clocks with this wall time, in nanoseconds since 1970 UTC, and a boot time of zero.
    #[must_use]
    pub fn new(wall_nanos: i64) -> ManualClock {
        ManualClock { wall: AtomicI64::new(wall_nanos), boot: AtomicI64::new(0) }
    }

    /// Lets time pass: both clocks move.
    pub fn advance(&self, nanos: i64) {
        self.wall.fetch_add(nanos, Ordering::Relaxed);
        self.boot.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Sets the wall clock, as a person or a time server would; the boot clock doesn't notice.
    pub fn set_wall(&self, wall_nanos: i64) {
        self.wall.store(wall_nanos, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn wall_nanos(&self) -> i64 {
        self.wall.load(Ordering::Relaxed)
    }

    fn boot_nanos(&self) -> i64 {
        self.boot.load(Ordering::Relaxed)
    }
}
