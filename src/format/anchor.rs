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

#[cfg(test)]
mod tests {
    use super::*;

    /// An anchor over so many events.
    fn over(events: u64) -> Anchor {
        let mut tree = Tree::default();
        for event in 0..events {
            tree.push([event as u8 | 1; DIGEST_BYTES]);
        }
        Anchor {
            seq: events,
            log: LogId([7; 16]),
            epoch: 3,
            newest_base: Position::new(events / 2 + 1),
            durable: Position::new(events),
            created_at: Timestamp::from_nanos(1_700_000_000_000_000_000),
            tree,
        }
    }

    /// The page with a change, and a check that fits.
    fn mended(anchor: &Anchor, change: impl FnOnce(&mut Page)) -> Read<Anchor> {
        let mut page = anchor.encode();
        change(&mut page);
        page::seal(&mut page, CHECK_AT, SEED ^ anchor.offset());
        Anchor::read(&page[..], anchor.offset())
    }

    #[test]
    fn it_comes_back_with_every_number_of_peaks() {
        for events in [0, 1, 2, 3, 7, 8, 31, 100, 1023] {
            let anchor = over(events);
            assert_eq!(anchor.tree.peaks().len() as u32, events.count_ones());
            let page = anchor.encode();
            assert_eq!(Anchor::read(&page[..], anchor.offset()), Read::Valid(anchor.clone()));
            // In the other place it would hide what belongs there.
            let other = OFFSETS.into_iter().find(|offset| *offset != anchor.offset()).unwrap();
            assert!(matches!(Anchor::read(&page[..], other), Read::Bad(_)), "{events}");
        }
        assert_eq!(OFFSETS[1] + PAGE_BYTES as u64, FILE_BYTES as u64);
    }

    #[test]
    fn peaks_and_numbers_that_do_not_fit_are_damage_under_a_check_that_fits() {
        let anchor = over(5);
        assert_eq!(mended(&anchor, |_| {}), Read::Valid(anchor.clone()));
        let bad = |change: fn(&mut Page)| assert!(matches!(mended(&over(5), change), Read::Bad(_)));
        // More peaks than the number of events has.
        bad(|page| page[PEAKS_AT + 2 * DIGEST_BYTES] = 1);
        bad(|page| page[CHECK_AT - 1] = 1);
        // A tree over more than is durable.
        bad(|page| page[64] = 4);
        // Numbers that the next one could not be counted on from.
        bad(|page| page[31] = 0x80);
        bad(|page| page[55] = 0x80);
        // What stands behind the check is told where it begins.
        let mut page = anchor.encode();
        page[PAGE_BYTES - 1] = 1;
        let Read::Bad(found) = Anchor::read(&page[..], anchor.offset()) else { panic!("zeros are looked at") };
        assert_eq!(found.offset, CHECK_AT as u64 + 8);
        // Fewer events in the tree than it has peaks for.
        bad(|page| page[72] = 4);
    }
}
