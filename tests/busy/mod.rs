//! A store that does everything at once, and what must be true of it after any interruption.
//!
//! | file | what |
//! |---|---|
//! | `ledger` | what was tried and what was acknowledged, kept outside of the store |
//! | `events` | the events that writers make: each follows from its number, so that a wrong one shows by itself |
//! | `write` | the one that works until it is killed or the disk is taken away |
//! | `check` | the oracle: the store opened again, held against the ledger |
//!
//! `tests/kills.rs` kills such a process again and again; `examples/busy.rs` is the same as a program, for the scripts
//! under `scripts/faults/` that take the power from under it.

#![allow(dead_code, unreachable_pub, reason = "the test and the example use each its part")]

pub mod check;
pub mod events;
pub mod ledger;
pub mod write;

use std::time::Duration;

use annals::{Options, Store};

/// Whatever can go wrong, in words.
pub type Verdict<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Small segments, so that a second of work rolls and seals some; stored states every few events.
pub fn options() -> Options {
    Store::options().segment_bytes(64 << 10).snapshot_every(8)
}

/// Longer than anything here takes on a busy machine.
pub const LONG: Duration = Duration::from_secs(120);

/// SplitMix64, so that sizes are the same every time; only the moments of kills are not.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
