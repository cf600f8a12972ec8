//! The block directory of a sealed segment: where each block stands and what it may hold.
//!
//! One entry of 56 bytes for each block of 1,024 rows (the last may have fewer):
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | offset of the block's head in the file |
//! | 8 | 4 | length of the head |
//! | 12 | 4 | CRC-32 of the head |
//! | 16 | 8 | least recorded_at |
//! | 24 | 8 | greatest recorded_at |
//! | 32 | 8 | least occurred_at |
//! | 40 | 8 | greatest occurred_at |
//! | 48 | 8 | types: bit `hash % 64` is set for each type in the block, by its term hash |

use crate::format::bytes::{i64_at, u32_at, u64_at};
use crate::format::{Bad, Parsed};

pub(crate) const ENTRY_BYTES: usize = 56;
/// No head is longer: 1,024 rows of strings and metadata at their limits.
pub(crate) const HEAD_MAX: u32 = 256 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    pub(crate) head_at: u64,
    pub(crate) head_len: u32,
    pub(crate) head_crc: u32,
    pub(crate) recorded: (i64, i64),
    pub(crate) occurred: (i64, i64),
    pub(crate) types: u64,
}

/// The bit of a type in [`BlockEntry::types`].
pub(crate) fn type_bit(hash: u64) -> u64 {
    1 << (hash % 64)
}

impl BlockEntry {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head_at.to_le_bytes());
        out.extend_from_slice(&self.head_len.to_le_bytes());
        out.extend_from_slice(&self.head_crc.to_le_bytes());
        for time in [self.recorded.0, self.recorded.1, self.occurred.0, self.occurred.1] {
            out.extend_from_slice(&time.to_le_bytes());
        }
        out.extend_from_slice(&self.types.to_le_bytes());
    }
}

/// The directory, its CRC checked by whoever read it.
#[derive(Debug)]
pub(crate) struct Blocks {
    bytes: Box<[u8]>,
}

impl Blocks {
    /// Takes the entries of `count` blocks, which stand before `end` in the file.
    pub(crate) fn parse(bytes: Box<[u8]>, count: u32, end: u64) -> Parsed<Blocks> {
        if bytes.len() != count as usize * ENTRY_BYTES {
            return Err(Bad::new(0, format!("entries of {count} blocks"), format!("{} bytes", bytes.len())));
        }
        let blocks = Blocks { bytes };
        for index in 0..count {
            let fits = blocks.get(index).is_some_and(|entry| {
                let stop = entry.head_at.checked_add(u64::from(entry.head_len));
                entry.head_len <= HEAD_MAX && stop.is_some_and(|stop| stop <= end)
            });
            if !fits {
                let at = u64::from(index) * ENTRY_BYTES as u64;
                return Err(Bad::new(at, "a block within the file", "one beyond it"));
            }
        }
        Ok(blocks)
    }

    pub(crate) fn len(&self) -> u32 {
        (self.bytes.len() / ENTRY_BYTES) as u32
    }

    pub(crate) fn get(&self, index: u32) -> Option<BlockEntry> {
        let at = (index as usize).checked_mul(ENTRY_BYTES)?;
        let bytes = self.bytes.get(at..at + ENTRY_BYTES)?;
        Some(BlockEntry {
            head_at: u64_at(bytes, 0)?,
            head_len: u32_at(bytes, 8)?,
            head_crc: u32_at(bytes, 12)?,
            recorded: (i64_at(bytes, 16)?, i64_at(bytes, 24)?),
            occurred: (i64_at(bytes, 32)?, i64_at(bytes, 40)?),
            types: u64_at(bytes, 48)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(head_at: u64, head_len: u32) -> BlockEntry {
        BlockEntry { head_at, head_len, head_crc: 3, recorded: (-4, 5), occurred: (6, 7), types: 8 }
    }

    fn parse(entries: &[BlockEntry], count: u32, end: u64) -> Parsed<Blocks> {
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| entry.encode(&mut bytes));
        Blocks::parse(bytes.into(), count, end)
    }

    #[test]
    fn entries_come_back() {
        let entries = [entry(128, 9), entry(200, 0), entry(300, 100)];
        let blocks = parse(&entries, 3, 400).unwrap();
        assert_eq!(blocks.len(), 3);
        assert_eq!([0, 1, 2].map(|index| blocks.get(index).unwrap()), entries);
        assert_eq!((blocks.get(3), blocks.get(u32::MAX)), (None, None));
        assert_eq!([0, 1, 65, u64::MAX].map(type_bit), [1, 2, 2, 1 << 63]);
    }

    #[test]
    fn heads_lie_within_the_file() {
        let offset = |entries: &[BlockEntry], count, end| parse(entries, count, end).unwrap_err().offset;
        let entries = [entry(128, 9), entry(300, 100)];
        assert_eq!(offset(&entries, 2, 399), ENTRY_BYTES as u64);
        assert_eq!(offset(&[entry(u64::MAX, 1)], 1, u64::MAX), 0);
        assert!(parse(&[entry(1, HEAD_MAX)], 1, u64::MAX).is_ok());
        assert_eq!(offset(&[entry(1, HEAD_MAX + 1)], 1, u64::MAX), 0);
        assert_eq!((offset(&entries, 1, 400), offset(&entries, 3, 400)), (0, 0));
    }
}
