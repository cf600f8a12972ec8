//! The file ANCHOR: two slots, pages 0 and 1, written in turn. It says which log this is and how
//! far it surely reached, so that a missing newest file is seen. Written and synced at open, roll
//! and close, never per commit.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `ANNLANCH` |
//! | 8 | 2 | format version |
//! | 10 | 2 | oldest reader version that can read it |
//! | 12 | 4 | incompatible feature bits |
//! | 16 | 4 | compatible feature bits |
//! | 20 | 4 | zero |
//! | 24 | 8 | seq: the higher of two valid slots is the newer |
//! | 32 | 16 | log id |
//! | 48 | 8 | epoch |
//! | 56 | 8 | base position of the newest segment |
//! | 64 | 8 | durable position |
//! | 72 | 8 | tree size: so many leaves are in the peaks; at most the durable position |
//! | 80 | 8 | created, ns since 1970 |
//! | 88 | 2048 | peaks of the Merkle tree, 32 bytes each, largest subtree first; zero after the last |
//! | 2136 | 8 | check: xxh3-64 of bytes 0 to 2135, seed = "ANNLANCH" ^ offset of the slot |
//! | 2144 | 1952 | zero |

use super::bytes::{Put, array, counter_at, i64_at, is_zero, u64_at};
use super::header::newer;
use super::leaf::{DIGEST_BYTES, Tree};
use super::page::{self, Page};
use super::{FORMAT_VERSION, PAGE_BYTES, Read};
use crate::event::LogId;
use crate::position::Position;
use crate::time::Timestamp;

pub(crate) const MAGIC: [u8; 8] = *b"ANNLANCH";
const PEAKS_AT: usize = 88;
const CHECK_AT: usize = PEAKS_AT + 64 * DIGEST_BYTES;
const SEED: u64 = u64::from_le_bytes(MAGIC);
pub(crate) const OFFSETS: [u64; 2] = [0, PAGE_BYTES as u64];
/// Length of the file.
pub(crate) const FILE_BYTES: usize = 2 * PAGE_BYTES;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) seq: u64,
    pub(crate) log: LogId,
    pub(crate) epoch: u64,
    pub(crate) newest_base: Position,
    pub(crate) durable: Position,
    pub(crate) created_at: Timestamp,
    pub(crate) tree: Tree,
}

impl Anchor {
    pub(crate) fn offset(&self) -> u64 {
        OFFSETS[(self.seq % 2) as usize]
    }

    pub(crate) fn encode(&self) -> Box<Page> {
        let mut page = Box::new([0u8; PAGE_BYTES]);
        let mut put = Put(&mut page[..]);
        put.bytes(0, &MAGIC)
            .u16(8, FORMAT_VERSION)
            .u16(10, FORMAT_VERSION)
            .u64(24, self.seq)
            .bytes(32, &self.log.0)
            .u64(48, self.epoch)
            .u64(56, self.newest_base.get())
            .u64(64, self.durable.get())
            .u64(72, self.tree.size())
            .i64(80, self.created_at.as_nanos());
        for (index, peak) in self.tree.peaks().iter().enumerate() {
            put.bytes(PEAKS_AT + index * DIGEST_BYTES, peak);
        }
        page::seal(&mut page, CHECK_AT, SEED ^ self.offset());
        page
    }

    pub(crate) fn read(page: &[u8], offset: u64) -> Read<Anchor> {
        page::read(page, MAGIC, CHECK_AT, SEED ^ offset, |fields| {
            if let Some(version) = newer(fields, 8)? {
                return Some(Read::Newer { version });
            }
            let size = u64_at(fields, 72)?;
            let used = size.count_ones() as usize * DIGEST_BYTES;
            let (peaks, rest) = fields.get(PEAKS_AT..)?.split_at_checked(used)?;
            let durable = u64_at(fields, 64)?;
            (is_zero(rest) && size <= durable).then_some(())?;
            let peaks = peaks.chunks_exact(DIGEST_BYTES).filter_map(|peak| array(peak, 0)).collect();
            Some(Read::Valid(Anchor {
                seq: counter_at(fields, 24)?,
                log: LogId(array(fields, 32)?),
                epoch: counter_at(fields, 48)?,
                newest_base: Position::new(u64_at(fields, 56)?),
                durable: Position::new(durable),
                created_at: Timestamp::from_nanos(i64_at(fields, 80)?),
                tree: Tree::from_peaks(size, peaks)?,
            }))
        })
    }
}
