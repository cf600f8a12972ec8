//! What survives when the power goes.

/// Which of the changes that were not synced survive. Whatever is chosen, the state is one that a
/// disk could be found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// None of them.
    None,
    /// All of them.
    All,
    /// A choice by this seed: sectors one by one, sometimes in an older version; names in one of
    /// three orders (see the sources of [`crate::io::sim`]).
    Random(u64),
    /// All of them but the rest of the newest write, of which only the first so many bytes do.
    /// [`crate::io::SimStorage::newest_write_bytes`] says how long that write is.
    PrefixBytes(u64),
    /// Dirty sector number `i`, counted over the files in the order of their creation, survives if
    /// bit `i` (from 64 on: `i` modulo 64) is set. All names and lengths do. For trying every
    /// subset of a few sectors; [`crate::io::SimStorage::dirty_sectors`] says of how many.
    Sectors(u64),
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and each seed gives another sequence.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A chance for the changes of one file or directory. Fair coins alone would hardly ever lose
    /// a single sector of a hundred, or keep one.
    pub(super) fn luck(&mut self) -> Luck {
        const CHANCES_OF_16: [u64; 5] = [0, 1, 8, 15, 16];
        let chance_of_16 = CHANCES_OF_16[self.below(CHANCES_OF_16.len() as u64) as usize];
        Luck { rng: Rng::new(self.next()), chance_of_16 }
    }
}

/// Decides what survives.
#[derive(Clone, Debug)]
pub(super) struct Luck {
    rng: Rng,
    chance_of_16: u64,
}

impl Luck {
    pub(super) fn survives(&mut self) -> bool {
        self.rng.below(16) < self.chance_of_16
    }

    /// How many of `changes`, one after the other, survive: none by bad luck, mostly all by good.
    pub(super) fn surviving(&mut self, changes: usize) -> usize {
        if !self.survives() {
            0
        } else if changes > 1 && self.chance_of_16 < 16 && self.rng.below(4) == 0 {
            1 + self.rng.below(changes as u64) as usize
        } else {
            changes
        }
    }
}
