//! The index file of a rolled raw segment: BASE.idx beside BASE.raw. Derived: it is bound to the
//! very bytes that it was made from, and one that is missing, foreign or damaged is made anew.
//!
//! A row is a position less the base of the segment. Page 0 is the header:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `ANNALIDX` |
//! | 8 | 2 | format version |
//! | 10 | 2 | oldest reader version that can read it |
//! | 12 | 4 | incompatible feature bits |
//! | 16 | 4 | compatible feature bits |
//! | 20 | 4 | flags: 1 the names of types are there, 2 the filter is there |
//! | 24 | 16 | log id |
//! | 40 | 8 | base position of the segment |
//! | 48 | 8 | salt of the segment: seeds the checks of the other pages |
//! | 56 | 8 | covered: so many bytes of the raw file, from its start |
//! | 64 | 8 | header check of the last frame in them; 0 if there is none |
//! | 72 | 8 | length of this file |
//! | 80 | 4 | rows |
//! | 84 | 4 | zero |
//! | 88 | 8 | least recorded_at of all rows, ns since 1970 |
//! | 96 | 8 | greatest recorded_at |
//! | 104 | 8 | least occurred_at |
//! | 112 | 8 | greatest occurred_at |
//! | 120 | 8 | filter: seed |
//! | 128 | 4 | filter: segment length, a power of two |
//! | 132 | 4 | filter: segment count times segment length |
//! | 136 | 24 | section frames: offset u64, length u64, count u32, zero u32; so are the next six |
//! | 160 | 24 | section indices |
//! | 184 | 24 | section zones |
//! | 208 | 24 | section terms |
//! | 232 | 24 | section postings |
//! | 256 | 24 | section types |
//! | 280 | 24 | section filter |
//! | 304 | 8 | check: xxh3-64 of bytes 0 to 303, seed "ANNALIDX" |
//! | 312 | 3784 | zero |
//!
//! Every other page:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4064 | payload |
//! | 4064 | 24 | zero |
//! | 4088 | 8 | check: xxh3-64 of bytes 0 to 4087, seed = salt ^ offset of the page in the file |
//!
//! The payloads end to end are one space; byte `n` of it stands in page `1 + n / 4064`. Offsets of
//! sections count in this space. Each section begins at a multiple of 32, as 4064 is one, so no
//! fixed-size entry ever crosses a page. The sections, in the order of the table and of the space,
//! with zeros between them:
//!
//! | section | entry | one for each |
//! |---|---|---|
//! | frames | u32: offset of the frame / 64 | row |
//! | indices | u16: index of the event in its frame | row |
//! | zones | i64 each: least and greatest recorded_at, least and greatest occurred_at | 1,024 rows |
//! | terms | 32 bytes, below | pair of hash and dimension, ascending by both |
//! | postings | u32: row | row of each term with more than one, ascending within the term, in the order of the terms |
//! | types | hash u64, rows u32, length u16, UTF-8 | event type, ascending by hash and text; none above 4,096 types or 1 MiB |
//! | filter | u8: fingerprint | binary fuse filter over the hashes of all terms |
//!
//! A term:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | hash |
//! | 8 | 8 | for a subject the version of its last event here, else 0 |
//! | 16 | 4 | first of its postings; 0 for a term of one row, whose only posting is the last row |
//! | 20 | 4 | number of rows |
//! | 24 | 4 | last row |
//! | 28 | 1 | dimension |
//! | 29 | 3 | zero |
//!
//! Two subjects of equal hash share one term; its version is that of the event in its last row.
//! So whoever finds a term compares the bytes of the events it names, and goes through the rows
//! where they differ.
//!
//! The filter is that of Graf and Lemire, "Binary Fuse Filters" (2022), three-wise with 8 bits a
//! fingerprint, as laid out by `xorf`. Without it every hash may be there. A filter that says no
//! is believed, so its pages are checked like all others: a page is checked at its first use, and
//! a flipped bit is an error and never a term that is silently absent.

mod build;
#[cfg(test)]
mod doc_tests;

mod header;
pub(in crate::format) mod pages;
mod sort;
#[cfg(test)]
pub(crate) mod tests;
mod types;
mod verify;
mod view;

pub(crate) use build::IdxBuilder;
pub(crate) use header::{IdxHeader, MAGIC};
pub(crate) use pages::{Checked, check_page};
pub(crate) use types::TypeNames;
pub(crate) use view::{IdxView, Postings, TermEntry};

use crate::event::{EventRef, LogId};
use crate::position::Position;
use crate::time::Timestamp;

/// Rows of one zone.
pub(crate) const ZONE_ROWS: u32 = 1024;
/// Rows of a segment stay below it. One of 4 GiB has room for a quarter of them.
pub(crate) const ROWS_MAX: u32 = 1 << 28;
/// Above so many types their names are left out, and a pattern over types is answered by scanning.
const TYPES_MAX: usize = 4096;
/// Above so many bytes they are left out too: whoever resolves a pattern keeps them in memory.
const TYPES_BYTES_MAX: u64 = 1 << 20;

const TERM_BYTES: u64 = 32;
const ZONE_BYTES: u64 = 32;
/// Bytes before the text of a type.
const TYPE_HEAD_BYTES: u64 = 14;

/// Which raw segment an index belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdxFacts {
    pub(crate) log: LogId,
    pub(crate) base: Position,
    pub(crate) salt: u64,
}

/// The bounds of both times over some rows, in ns since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Zone {
    pub(crate) min_recorded: i64,
    pub(crate) max_recorded: i64,
    pub(crate) min_occurred: i64,
    pub(crate) max_occurred: i64,
}

impl Zone {
    /// The zone of no rows: it overlaps nothing.
    pub(crate) const EMPTY: Zone =
        Zone { min_recorded: i64::MAX, max_recorded: i64::MIN, min_occurred: i64::MAX, max_occurred: i64::MIN };

    /// The zone of one event.
    pub(crate) fn of(event: &EventRef<'_>) -> Zone {
        Zone::at(event.recorded_at(), event.occurred_at())
    }

    /// The zone of an event with these times.
    pub(crate) fn at(recorded: Timestamp, occurred: Timestamp) -> Zone {
        let (recorded, occurred) = (recorded.as_nanos(), occurred.as_nanos());
        Zone { min_recorded: recorded, max_recorded: recorded, min_occurred: occurred, max_occurred: occurred }
    }

    fn add(&mut self, event: &EventRef<'_>) {
        self.join(&Zone::of(event));
    }

    pub(crate) fn join(&mut self, other: &Zone) {
        self.min_recorded = self.min_recorded.min(other.min_recorded);
        self.max_recorded = self.max_recorded.max(other.max_recorded);
        self.min_occurred = self.min_occurred.min(other.min_occurred);
        self.max_occurred = self.max_occurred.max(other.max_occurred);
    }

    fn words(&self) -> [i64; 4] {
        [self.min_recorded, self.max_recorded, self.min_occurred, self.max_occurred]
    }

    fn encode(&self) -> [u8; ZONE_BYTES as usize] {
        let mut bytes = [0; ZONE_BYTES as usize];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.words()) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Zone> {
        use super::bytes::i64_at;
        Some(Zone {
            min_recorded: i64_at(bytes, 0)?,
            max_recorded: i64_at(bytes, 8)?,
            min_occurred: i64_at(bytes, 16)?,
            max_occurred: i64_at(bytes, 24)?,
        })
    }
}
