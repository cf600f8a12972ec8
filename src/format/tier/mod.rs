//! A lookup tier: in which of many sealed segments a term may stand, so that a lookup asks few files
//! and not all. `index/terms-FIRST-LAST.run` covers a run of neighbours, named by its first and last
//! position. Derived: it is bound to the events by the root of the tree after them, and one that is
//! missing, foreign or damaged is made anew from the term indexes of the segments.
//!
//! Page 0 is the header:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `ANNALRUN` |
//! | 8 | 2 | format version |
//! | 10 | 2 | oldest reader version that can read it |
//! | 12 | 4 | incompatible feature bits |
//! | 16 | 4 | compatible feature bits |
//! | 20 | 4 | flags: 1 templates of ids were left out, so that any of the segments may hold any id |
//! | 24 | 16 | log id |
//! | 40 | 8 | first position |
//! | 48 | 8 | last position |
//! | 56 | 32 | root of the tree over all events up to the last position |
//! | 88 | 8 | length of this file |
//! | 96 | 8 | entries |
//! | 104 | 8 | widths: bit n is set if some segment keeps n bits of its hashes |
//! | 112 | 4 | segments, 65,536 at most |
//! | 116 | 4 | templates |
//! | 120 | 4 | bytes of the templates |
//! | 124 | 4 | radix: so many upper bits of a hash number its bucket |
//! | 128 | 8 | check: xxh3-64 of bytes 0 to 127, seed "ANNALRUN" |
//! | 136 | 3960 | zero |
//!
//! Every other page is laid out as in an index of a rolled segment (4,064 bytes of payload, 24 zeros,
//! a check), with the first eight bytes of the root XOR the first position as its salt. The sections
//! follow each other; each begins on a page of its own and fills the payloads, with zeros to the end
//! of its last page:
//!
//! | section | entry | one for each |
//! |---|---|---|
//! | segments | 16 bytes, below | segment, in order of position |
//! | templates | below | different template by which an id is found without an entry |
//! | directory | u64: number of entries in the buckets before | bucket, and one more for the end |
//! | entries | u64: hash and segment, below | different pair of a kept hash and a segment, ascending |
//!
//! A segment:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | events; its first position is that of the run plus the events before |
//! | 4 | 1 | width: bits of a hash that its term index keeps, but 48 at most |
//! | 5 | 3 | zero |
//! | 8 | 8 | entries of its term index |
//!
//! An entry has in its upper 48 bits a hash as the term index of the segment keeps it (the upper
//! bits, zeros below), in its lower 16 bits the number of the segment within the run. So one
//! in 4,096 segments that do not have a term may be named for it; whose term index is then asked, and
//! its filter says no. A lookup looks for one value a width: that of neighbours is mostly the same.
//!
//! A template (see the ids of a sealed segment), ascending by kind, text, mode and difference:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | length of the kind |
//! | 2 | 2 | length of the text |
//! | 4 | 1 | mode |
//! | 5 | 3 | zero |
//! | 8 | 8 | difference |
//! | 16 | 2 | number of the first segment that has it |
//! | 18 | 2 | number of the last one |
//! | 20 | | kind, then text |
//!
//! Above 1,024 templates or 256 KiB of them, all are left out, and the flag is set.
//!
//! The radix follows from the sum of the entries of the term indexes: the number of its bits less
//! seven, but 0 to 32; so a bucket has 64 to 128 entries, or fewer where segments share terms. The same segments make
//! the same bytes.

#[cfg(test)]
mod doc_tests;
mod templates;
#[cfg(test)]
mod tests;
mod view;
mod write;

pub(crate) use templates::Templates;
pub(crate) use view::TierView;
pub(crate) use write::TierWriter;

use super::bytes::{Put, Take, array, u32_at, u64_at};
use super::header::newer;
use super::idx::pages::PAYLOAD_BYTES;
use super::page::{self, Page};
use super::{FORMAT_VERSION, PAGE_BYTES, Read};
use crate::event::LogId;
use crate::format::leaf::Hash;
use crate::position::Position;

pub(crate) const MAGIC: [u8; 8] = *b"ANNALRUN";
const SEED: u64 = u64::from_le_bytes(MAGIC);
const CHECK_AT: usize = 128;
/// Bits of a hash that an entry has room for.
const HASH_BITS: u8 = 48;
/// A number of a segment has 16 bits.
pub(crate) const SEGMENTS_MAX: usize = 1 << 16;
const RADIX_MAX: u32 = 32;
/// Bits of the number of entries that do not go into the radix.
const BUCKET_BITS: u32 = 7;
pub(crate) const SEGMENT_BYTES: usize = 16;
const FLAG_ANY_ID: u32 = 1;

/// What a run says of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Covered {
    /// Number of events.
    pub(crate) rows: u32,
    /// Bits of a hash that are kept, 1 to 48.
    pub(crate) width: u8,
    /// Entries of its term index.
    pub(crate) entries: u64,
}

impl Covered {
    /// Of a segment whose term index keeps so many bits.
    pub(crate) fn new(rows: u32, bits: u8, entries: u64) -> Covered {
        Covered { rows, width: bits.clamp(1, HASH_BITS), entries }
    }

    pub(crate) fn encode(&self) -> [u8; SEGMENT_BYTES] {
        let mut bytes = [0; SEGMENT_BYTES];
        Put(&mut bytes).u32(0, self.rows).bytes(4, &[self.width]).u64(8, self.entries);
        bytes
    }

    pub(crate) fn read(bytes: &[u8; SEGMENT_BYTES]) -> Option<Covered> {
        let mut take = Take(bytes);
        let (rows, width, zero, entries) = (take.u32()?, take.u8()?, take.array::<3>()?, take.u64()?);
        let sane = rows > 0 && (1..=HASH_BITS).contains(&width) && zero == [0; 3];
        sane.then_some(Covered { rows, width, entries })
    }
}

/// The upper bits of a hash in their places, zeros below.
fn keep(hash: u64, width: u8) -> u64 {
    hash & u64::MAX.checked_shl(64 - u32::from(width)).unwrap_or(u64::MAX)
}

/// An entry of a truncated hash, as a term index of so many bits has it, in the segment of this number.
pub(crate) fn entry(truncated: u64, bits: u8, segment: u16) -> u64 {
    let hash = truncated.checked_shl(64 - u32::from(bits)).unwrap_or(truncated);
    keep(hash, bits.min(HASH_BITS)) | u64::from(segment)
}

fn radix(entries: u64) -> u32 {
    entries.checked_ilog2().map_or(0, |log| log + 1).saturating_sub(BUCKET_BITS).min(RADIX_MAX)
}

/// The header, whose counts go with the length that the file has according to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TierHeader {
    pub(crate) log: LogId,
    pub(crate) first: Position,
    pub(crate) last: Position,
    pub(crate) root: Hash,
    pub(crate) file_bytes: u64,
    pub(crate) entries: u64,
    pub(crate) segments: u32,
    /// Templates were left out.
    pub(crate) any_id: bool,
    widths: u64,
    templates: u32,
    templates_bytes: u32,
    radix: u32,
}

/// Number of the page that each section begins with, and the number of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pages {
    templates: u64,
    directory: u64,
    entries: u64,
    end: u64,
}

impl TierHeader {
    fn salt(&self) -> u64 {
        u64_at(&self.root, 0).unwrap_or_default() ^ self.first.get()
    }

    fn pages(&self) -> Option<Pages> {
        let pages = |bytes: u64| bytes.div_ceil(PAYLOAD_BYTES as u64);
        let templates = 1 + pages(u64::from(self.segments) * SEGMENT_BYTES as u64);
        let directory = templates + pages(u64::from(self.templates_bytes));
        let entries = directory + pages(((1u64 << self.radix) + 1) * 8);
        let end = entries.checked_add(pages(self.entries.checked_mul(8)?))?;
        Some(Pages { templates, directory, entries, end })
    }

    fn encode(&self) -> Box<Page> {
        let mut page = Box::new([0u8; PAGE_BYTES]);
        Put(&mut page[..])
            .bytes(0, &MAGIC)
            .u16(8, FORMAT_VERSION)
            .u16(10, FORMAT_VERSION)
            .u32(20, if self.any_id { FLAG_ANY_ID } else { 0 })
            .bytes(24, &self.log.0)
            .u64(40, self.first.get())
            .u64(48, self.last.get())
            .bytes(56, &self.root)
            .u64(88, self.file_bytes)
            .u64(96, self.entries)
            .u64(104, self.widths)
            .u32(112, self.segments)
            .u32(116, self.templates)
            .u32(120, self.templates_bytes)
            .u32(124, self.radix);
        page::seal(&mut page, CHECK_AT, SEED);
        page
    }

    /// Reads the header from the first page of a file.
    pub(crate) fn read(page: &[u8]) -> Read<TierHeader> {
        page::read(page, MAGIC, CHECK_AT, SEED, |fields| match newer(fields, 8)? {
            Some(version) => Some(Read::Newer { version }),
            None => Self::fields(fields).map(Read::Valid),
        })
    }

    fn fields(fields: &[u8]) -> Option<TierHeader> {
        let flags = u32_at(fields, 20)?;
        let header = TierHeader {
            log: LogId(array(fields, 24)?),
            first: Position::new(u64_at(fields, 40)?),
            last: Position::new(u64_at(fields, 48)?),
            root: array(fields, 56)?,
            file_bytes: u64_at(fields, 88)?,
            entries: u64_at(fields, 96)?,
            widths: u64_at(fields, 104)?,
            segments: u32_at(fields, 112)?,
            templates: u32_at(fields, 116)?,
            templates_bytes: u32_at(fields, 120)?,
            radix: u32_at(fields, 124)?,
            any_id: flags & FLAG_ANY_ID != 0,
        };
        let known_widths = (2u64 << HASH_BITS) - 2;
        let sane = flags & !FLAG_ANY_ID == 0
            && header.radix <= RADIX_MAX
            && (1..=SEGMENTS_MAX as u32).contains(&header.segments)
            && header.first.get() > 0
            && header.first <= header.last
            && header.widths & !known_widths == 0
            && header.widths != 0
            && header.templates as usize <= templates::TEMPLATES_MAX
            && header.templates_bytes as usize <= templates::BYTES_MAX
            && !(header.any_id && header.templates > 0);
        sane.then_some(())?;
        let pages = header.pages()?.end;
        (pages.checked_mul(PAGE_BYTES as u64)? == header.file_bytes).then_some(header)
    }
}
