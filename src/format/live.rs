//! The file LIVE: 4 KiB of shared words through which the writer tells other processes how far
//! they may read. It says nothing about what is on disk and is never evidence.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `ANNLLIVE` |
//! | 8 | 16 | log id |
//! | 24 | 8 | boot id: hash of the boot's identity; another one makes the rest void |
//! | 32 | 8 | session, random: changes with every writer |
//! | 40 | 8 | device of this file |
//! | 48 | 8 | inode of this file: with the device it shows a copied directory |
//! | 56 | 8 | identity check: xxh3-64 of bytes 0 to 55 |
//! | 64 | 8 | generation: odd while the list of files changes |
//! | 72 | 8 | epoch |
//! | 80 | 48 | unused |
//! | 128 | 8 | published position |
//! | 136 | 8 | check of the published position |
//! | 144 | 48 | unused |
//! | 192 | 8 | durable position |
//! | 200 | 8 | check of the durable position |
//! | 208 | 48 | unused |
//! | 256 | 8 | state: 1 open, 2 clean, 3 poisoned, 4 recovering |
//! | 264 | 3832 | unused |
//!
//! A position's check is `xxh3-64(position, seed = session)`; it is stored right after the position,
//! so a reader that sees them differ looks again, and reads from the files alone if they stay so.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::bytes::u64_at;
use crate::event::LogId;

pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"ANNLLIVE");

/// Indices of the 64-bit words: offset / 8.
pub(crate) mod word {
    pub(crate) const GENERATION: usize = 8;
    pub(crate) const EPOCH: usize = 9;
    pub(crate) const PUBLISHED: usize = 16;
    pub(crate) const DURABLE: usize = 24;
    pub(crate) const STATE: usize = 32;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Open = 1,
    Clean = 2,
    Poisoned = 3,
    Recovering = 4,
}

impl State {
    pub(crate) fn from_word(word: u64) -> Option<State> {
        [State::Open, State::Clean, State::Poisoned, State::Recovering].into_iter().find(|state| *state as u64 == word)
    }
}

/// The words 0 to 7: whose file this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) log: LogId,
    pub(crate) boot: u64,
    pub(crate) session: u64,
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl Identity {
    pub(crate) fn words(&self) -> [u64; 8] {
        let log = |at| u64_at(&self.log.0, at).unwrap_or_default();
        let mut words = [MAGIC, log(0), log(8), self.boot, self.session, self.device, self.inode, 0];
        words[7] = check(&words);
        words
    }

    pub(crate) fn read(words: &[u64; 8]) -> Option<Identity> {
        (words[0] == MAGIC && words[7] == check(words)).then(|| {
            let mut log = [0; 16];
            log[..8].copy_from_slice(&words[1].to_le_bytes());
            log[8..].copy_from_slice(&words[2].to_le_bytes());
            Identity { log: LogId(log), boot: words[3], session: words[4], device: words[5], inode: words[6] }
        })
    }
}

fn check(words: &[u64; 8]) -> u64 {
    let mut bytes = [0u8; 56];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    xxh3_64(&bytes)
}

/// The check that stands beside a position.
pub(crate) fn position_check(position: u64, session: u64) -> u64 {
    xxh3_64_with_seed(&position.to_le_bytes(), session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_file_it_is_comes_back_unless_a_word_is_another() {
        let identity = Identity {
            log: LogId([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
            boot: 3,
            session: 4,
            device: 5,
            inode: 6,
        };
        let words = identity.words();
        assert_eq!(Identity::read(&words), Some(identity));
        for at in 0..words.len() {
            let mut other = words;
            other[at] ^= 1;
            assert_eq!(Identity::read(&other), None, "{at}");
            // Of another kind of file, with a check that fits.
            other[7] = check(&other);
            assert_eq!(Identity::read(&other).is_some(), at != 0, "{at}");
        }
        assert_eq!(Identity::read(&[0; 8]), None);
    }

    #[test]
    fn a_state_is_one_of_four() {
        for state in [State::Open, State::Clean, State::Poisoned, State::Recovering] {
            assert_eq!(State::from_word(state as u64), Some(state));
        }
        assert_eq!([0, 5, u64::MAX].map(State::from_word), [None; 3]);
    }

    #[test]
    fn a_positions_check_is_that_of_the_position_in_the_session() {
        let checks = [(1, 1), (2, 1), (1, 2), (0, 0)].map(|(position, session)| position_check(position, session));
        let distinct: std::collections::BTreeSet<u64> = checks.into_iter().collect();
        assert_eq!(distinct.len(), 4);
        assert_eq!(position_check(7, 9), xxh3_64_with_seed(&[7, 0, 0, 0, 0, 0, 0, 0], 9));
    }
}
