//! Medians and percentiles.

use std::time::{Duration, Instant};

/// How long each of many calls took.
#[derive(Debug, Default)]
pub(super) struct Latencies(Vec<u64>);

impl Latencies {
    /// Runs and times a call.
    pub(super) fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = call();
        self.0.push(began.elapsed().as_nanos() as u64);
        result
    }

    pub(super) fn add(&mut self, took: Duration) {
        self.0.push(took.as_nanos() as u64);
    }

    pub(super) fn extend(&mut self, other: Latencies) {
        self.0.extend(other.0);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// The time that `percent` of the calls did not exceed (nearest rank).
    pub(super) fn percentile(&mut self, percent: usize) -> Option<Duration> {
        if self.0.is_empty() {
            return None;
        }
        let rank = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        let (_, nanos, _) = self.0.select_nth_unstable(rank);
        Some(Duration::from_nanos(*nanos))
    }
}

/// The middle of some figures; the lower one of two middles.
pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut latencies = Latencies((1..=200).rev().collect());
        assert_eq!(latencies.percentile(50), Some(Duration::from_nanos(100)));
        assert_eq!(latencies.percentile(99), Some(Duration::from_nanos(198)));
        assert_eq!(latencies.percentile(100), Some(Duration::from_nanos(200)));
        assert_eq!(Latencies::default().percentile(50), None);
        assert_eq!(Latencies(vec![5]).percentile(1), Some(Duration::from_nanos(5)));
    }

    #[test]
    fn the_median_is_one_of_the_figures() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![1.0, 2.0]), 1.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
