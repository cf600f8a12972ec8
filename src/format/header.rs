//! Page 0 of a raw segment: which log and segment this is.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `ANNALRAW` |
//! | 8 | 2 | format version |
//! | 10 | 2 | oldest reader version that can read it |
//! | 12 | 4 | incompatible feature bits: a reader must know them all |
//! | 16 | 4 | compatible feature bits |
//! | 20 | 1 | durability: 1 synced, 2 written |
//! | 21 | 3 | zero |
//! | 24 | 16 | log id |
//! | 40 | 8 | base position: that of the segment's first event |
//! | 48 | 8 | epoch |
//! | 56 | 8 | salt, random: seeds every check of the segment |
//! | 64 | 8 | created, ns since 1970 |
//! | 72 | 8 | segment bytes: the length that the file never exceeds |
//! | 80 | 4 | era of the clock, 0 (reserved for `repair --new-clock-era`) |
//! | 84 | 4 | zero |
//! | 88 | 8 | check: xxh3-64 of bytes 0 to 87, seed "ANNALRAW" |
//! | 96 | 4000 | zero |

use super::bytes::{Put, array, counter_at, i64_at, u16_at, u32_at, u64_at};
use super::page::{self, Page};
use super::{FORMAT_VERSION, INCOMPATIBLE_KNOWN, PAGE_BYTES, Read};
use crate::event::LogId;
use crate::limits;
use crate::position::Position;
use crate::time::Timestamp;

pub(crate) const MAGIC: [u8; 8] = *b"ANNALRAW";
const CHECK_AT: usize = 88;
const SEED: u64 = u64::from_le_bytes(MAGIC);

/// What an acknowledgement of the segment's appends means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It survives power loss.
    Synced,
    /// It survives the process.
    Written,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) mode: Mode,
    pub(crate) log: LogId,
    pub(crate) base: Position,
    pub(crate) epoch: u64,
    pub(crate) salt: u64,
    pub(crate) created_at: Timestamp,
    pub(crate) segment_bytes: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Box<Page> {
        let mut page = Box::new([0u8; PAGE_BYTES]);
        Put(&mut page[..])
            .bytes(0, &MAGIC)
            .u16(8, FORMAT_VERSION)
            .u16(10, FORMAT_VERSION)
            .u32(12, 0)
            .u32(16, 0)
            .bytes(
                20,
                &[match self.mode {
                    Mode::Synced => 1,
                    Mode::Written => 2,
                }],
            )
            .bytes(24, &self.log.0)
            .u64(40, self.base.get())
            .u64(48, self.epoch)
            .u64(56, self.salt)
            .i64(64, self.created_at.as_nanos())
            .u64(72, self.segment_bytes);
        page::seal(&mut page, CHECK_AT, SEED);
        page
    }

    pub(crate) fn read(page: &[u8]) -> Read<SegmentHeader> {
        page::read(page, MAGIC, CHECK_AT, SEED, |fields| {
            if let Some(version) = newer(fields, 8)? {
                return Some(Read::Newer { version });
            }
            let mode = match fields.get(20)? {
                1 => Mode::Synced,
                2 => Mode::Written,
                _ => return None,
            };
            let segment_bytes = u64_at(fields, 72)?;
            let base = u64_at(fields, 40)?;
            let sane = (limits::SEGMENT_BYTES_MIN..=limits::SEGMENT_BYTES_MAX).contains(&segment_bytes) && base > 0;
            sane.then_some(())?;
            Some(Read::Valid(SegmentHeader {
                mode,
                log: LogId(array(fields, 24)?),
                base: Position::new(base),
                epoch: counter_at(fields, 48)?,
                salt: u64_at(fields, 56)?,
                created_at: Timestamp::from_nanos(i64_at(fields, 64)?),
                segment_bytes,
            }))
        })
    }
}

/// Reads the version and feature fields at `at`; the inner `Some` is the version of a format that
/// this code does not know.
pub(crate) fn newer(fields: &[u8], at: usize) -> Option<Option<u16>> {
    let (version, oldest_reader) = (u16_at(fields, at)?, u16_at(fields, at + 2)?);
    let unknown = u32_at(fields, at + 4)? & !INCOMPATIBLE_KNOWN;
    Some((oldest_reader > FORMAT_VERSION || unknown != 0).then_some(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            mode: Mode::Synced,
            log: LogId([7; 16]),
            base: Position::new(1),
            epoch: 3,
            salt: 9,
            created_at: Timestamp::from_nanos(-5),
            segment_bytes: limits::SEGMENT_BYTES_MIN,
        }
    }

    /// The page with a change, and a check that fits.
    fn mended(change: impl FnOnce(&mut Page)) -> Read<SegmentHeader> {
        let mut page = header().encode();
        change(&mut page);
        page::seal(&mut page, CHECK_AT, SEED);
        SegmentHeader::read(&page[..])
    }

    #[test]
    fn it_comes_back_within_its_limits() {
        let of = |segment_bytes| SegmentHeader { segment_bytes, ..header() };
        let (least, most) = (limits::SEGMENT_BYTES_MIN, limits::SEGMENT_BYTES_MAX);
        for good in [header(), SegmentHeader { mode: Mode::Written, ..header() }, of(most)] {
            assert_eq!(SegmentHeader::read(&good.encode()[..]), Read::Valid(good));
        }
        let before_the_first = SegmentHeader { base: Position::ORIGIN, ..header() };
        for bad in [of(least - 1), of(most + 1), before_the_first, SegmentHeader { epoch: 1 << 63, ..header() }] {
            assert!(matches!(SegmentHeader::read(&bad.encode()[..]), Read::Bad(_)), "{bad:?}");
        }
        for mode in [0, 3] {
            assert!(matches!(mended(|page| page[20] = mode), Read::Bad(_)), "{mode}");
        }
    }

    #[test]
    fn a_later_version_is_told_as_such_unless_this_one_may_read_it() {
        let newer = |version| Read::Newer { version };
        // Written by version 2: for readers from version 1 on, and from 2 on.
        assert_eq!(mended(|page| page[8] = 2), Read::Valid(header()));
        assert_eq!(mended(|page| (page[8], page[10]) = (2, 2)), newer(2));
        // With something that a reader has to know, and with something that it need not.
        for bit in 0..32 {
            assert_eq!(mended(|page| page[12 + bit / 8] = 1 << (bit % 8)), newer(FORMAT_VERSION), "{bit}");
            assert_eq!(mended(|page| page[16 + bit / 8] = 1 << (bit % 8)), Read::Valid(header()), "{bit}");
        }
    }
}
