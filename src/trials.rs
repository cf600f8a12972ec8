//! How much unit tests try. Miri is thousands of times slower than the machine, and gets as much less.

use proptest::test_runner::Config;

const FEW: bool = cfg!(miri);

/// Tests that go to every bit or length of something go to every so many-th of them.
pub(crate) const STRIDE: usize = if FEW { 1_009 } else { 1 };

/// A property test of so many cases.
pub(crate) fn cases(count: u32) -> Config {
    Config { cases: if FEW { 4 } else { count }, ..Config::default() }
}
