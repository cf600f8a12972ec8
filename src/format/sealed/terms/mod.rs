//! The term index of a sealed segment: which blocks of it hold an event with a given term, and what
//! a subject's or a key's history lookup needs to know without reading any block.
//!
//! A row is a position less the base of the segment; a block is 1,024 rows, and within one the
//! columns tell which rows have a value. A segment has at most 8,192 blocks, so that a bitmap over
//! them has at most 1 KiB and an entry always fits a page. All is little-endian; a varint has seven
//! bits a byte, the lowest first, and the top bit says that another follows.
//!
//! Terms are hashes of 64 bits, of which the index keeps the upper `bits`: 12 more than it takes to
//! number the entries, so that one in 4,096 absent hashes looks present, after the filter
//! has turned away 255 of 256. Where several terms agree in these bits, they share one entry: all
//! their blocks, the sum of their rows, the last of their last rows. Subjects and keys are never
//! merged (unless all 64 bits agree: two such subjects share an entry with the version of the last
//! row of either; keys do not even then). So whoever finds an entry compares the bytes it stands for.
//!
//! Entries are sorted by truncated hash, then terms, subjects, keys. They stand in pages of at most
//! 4,096 bytes, one after the other; none crosses a page. A page:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | number of the page |
//! | 4 | 8 | truncated hash of its first entry |
//! | 12 | to 4 before the end | entries |
//! | 4 before the end | 4 | crc32 of all bytes before |
//!
//! An entry begins with the lowest bit of its first byte. 1: a term of one row, in as many bytes as
//! the directory says (little-endian): that bit, then the row in as many bits as the last row of the
//! segment takes, then the gap: how far the hash lies above that of the entry before in the page (0
//! for the first). Every other entry:
//!
//! | field | what |
//! |---|---|
//! | tag u8 | bit 0: 0; bits 1 and 2: 0 term, 1 subject, 2 key; bit 3: `extra` is there; bits 4 to 7: how the blocks are stored (0 for a key) |
//! | gap varint | as above |
//! | version varint | of a subject only: that of its last event here |
//! | last row varint | the row of the last event; its block is the last block. Of a key the first row of its batch |
//! | extra varint | rows less blocks, if that is not 0. Of a key always, instead: the number of events of its batch |
//! | content hash, 32 bytes | of a key only |
//! | blocks | not of a key |
//!
//! Blocks, of which the last is known:
//!
//! | code | bytes | blocks |
//! |---|---|---|
//! | 0 | none | that one only |
//! | 1 | none | all of the segment, which has more than one |
//! | 2 | varint n | the n blocks that end there; n > 1 |
//! | 3 | varint length, bytes | a bitmap: the lowest bit of the first byte is the first block, the highest bit set of the last byte is the last |
//! | 4 + k | varint length, bytes | Rice codes of parameter k, one for each block after the first: how many blocks lie between it and the one before |
//!
//! A Rice code of `n`, from the lowest bit of the first byte on: `n >> k` ones, a zero, and the lower
//! `k` bits of `n`, the lowest first. Ones fill the last byte: a code that never ends is none.
//!
//! The directory:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | rows of the segment |
//! | 4 | 4 | pages |
//! | 8 | 8 | entries |
//! | 16 | 1 | bits of a truncated hash, 12 to 64 |
//! | 17 | 1 | bytes of an entry for a term of one row, at most 8 |
//! | 18 | 2 | zero |
//! | 20 | 12 each | of each page: truncated hash of its first entry u64, where it ends in the pages u32 |
//! | 20 + 12 x pages | 4 | crc32 of all bytes before |
//!
//! The filter, over the hashes of all entries in full:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | seed |
//! | 8 | 4 | segment length, a power of two |
//! | 12 | 4 | segment count times segment length |
//! | 16 | to 4 before the end | fingerprints |
//! | 4 before the end | 4 | crc32 of all bytes before |
//!
//! The same events always make the same bytes.

mod blocks;
mod build;
mod collect;
mod directory;
mod filter;
mod page;
#[cfg(test)]
mod tests;
mod varint;
mod write;

pub(crate) use build::{EncodedTerms, TermsBuilder};
pub(crate) use directory::TermsDirectory;
pub(crate) use filter::{FilterView, parse_filter, view_filter};
pub(crate) use page::{Entries, Entry, TermsPage};

/// Rows of one block.
pub(crate) const BLOCK_ROWS: u32 = 1024;
/// A bitmap of so many blocks is a quarter of a page.
pub(crate) const BLOCKS_MAX: u32 = 8192;
/// Rows of a sealed segment.
pub(crate) const ROWS_MAX: u32 = BLOCK_ROWS * BLOCKS_MAX;
/// Bytes of a page, at most.
pub(crate) const PAGE_BYTES_MAX: usize = 4096;

/// Before the entries of a page.
const PAGE_HEAD_BYTES: usize = 12;
const CRC_BYTES: usize = 4;
/// So many bits more than it takes to number the entries are kept of a hash.
const SPARE_BITS: u32 = 12;
const SHORT_BYTES_MAX: u8 = 8;

const FORM_TERM: u8 = 0;
const FORM_SUBJECT: u8 = 1;
const FORM_KEY: u8 = 2;
const TAG_EXTRA: u8 = 1 << 3;

/// What the directory says about all pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    rows: u32,
    /// Of a truncated hash.
    bits: u8,
    /// Bytes of an entry for a term of one row.
    short: u8,
}

impl Shape {
    fn blocks(self) -> u32 {
        self.rows.div_ceil(BLOCK_ROWS)
    }

    fn row_bits(self) -> u32 {
        row_bits(self.rows)
    }

    /// Bits for the gap in a short entry.
    fn gap_bits(self) -> u32 {
        (u32::from(self.short) * 8).saturating_sub(1 + self.row_bits())
    }

    fn truncate(self, hash: u64) -> u64 {
        hash.checked_shr(64 - u32::from(self.bits)).unwrap_or(0)
    }
}

/// Bits that the number of any row takes.
fn row_bits(rows: u32) -> u32 {
    rows.saturating_sub(1).checked_ilog2().map_or(0, |log| log + 1)
}
