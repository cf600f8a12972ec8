//! Bytes to values and back, for every file of a store. Pure: no I/O, no `unsafe`, and no input
//! makes anything here panic or allocate by an unchecked length.
//!
//! This is the specification in brief; `docs/format.md` has it byte by byte, and a test holds its
//! tables against this code. Everything is little-endian; every offset in a file is a `u64`.
//!
//! ```text
//! log/BASE.raw      page 0        header    which log, which segment, salt          header.rs
//!                   page 1, 2     slots     how far it was surely durable           slot.rs
//!                   from 12,288   frames    64-aligned; one frame is one batch      frame.rs
//!                                 records   the events of a frame                   record.rs
//! log/BASE.idx      4 KiB pages   derived: terms and rows of a rolled segment       idx/
//! index/*.run       4 KiB pages   derived: which of many segments may have a term   tier/
//! ANCHOR            page 0, 1     slots     identity, newest segment, tree          anchor.rs
//! LIVE              512 words     how other processes follow                        live.rs
//! snapshots/*.snap  records       derived: states of subjects at positions          snapshot.rs
//! workers/*.log     frames        what a worker has to know after a crash           worker.rs
//! ```
//!
//! A byte is believed only if a check covers it: a page by its check and its zeros, a frame's
//! header by `header_check` (seeded with the segment's salt and the frame's offset, so that it
//! holds at one place only), the frame's table by `table_crc` in that header, and each record by
//! its `record_check` in that table. So one event can be read and fully verified alone. Zeros are
//! never valid anywhere.

pub(crate) mod anchor;
pub(crate) mod bytes;
pub(crate) mod draft;
pub(crate) mod filter;
pub(crate) mod frame;
pub(crate) mod header;
pub(crate) mod idx;
pub(crate) mod layout;
pub(crate) mod leaf;
pub(crate) mod live;
pub(crate) mod metadata;
pub(crate) mod page;
pub(crate) mod prelude;
pub(crate) mod proof;
pub(crate) mod record;
pub(crate) mod sealed;
pub(crate) mod slot;
pub(crate) mod snapshot;
pub(crate) mod term;
#[cfg(test)]
mod tests;
pub(crate) mod tier;
pub(crate) mod worker;

use std::borrow::Cow;
use std::path::Path;

use crate::error::Corruption;

/// The version of the format that this code writes.
pub(crate) const FORMAT_VERSION: u16 = 1;
/// Feature bits that a reader must know to read at all. None are defined yet.
pub(crate) const INCOMPATIBLE_KNOWN: u32 = 0;
/// Size of header, slot and index pages, in bytes.
pub(crate) const PAGE_BYTES: usize = 4096;
/// What a disk writes whole or not at all, in bytes (assumed; see docs/format.md).
pub(crate) const SECTOR_BYTES: u64 = 512;

/// Bytes that are not what they should be. `offset` counts from where the parsed slice began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) offset: u64,
    pub(crate) expected: Cow<'static, str>,
    pub(crate) found: Cow<'static, str>,
}

pub(crate) type Parsed<T> = Result<T, Box<Bad>>;

impl Bad {
    pub(crate) fn new(
        offset: u64,
        expected: impl Into<Cow<'static, str>>,
        found: impl Into<Cow<'static, str>>,
    ) -> Box<Bad> {
        Box::new(Bad { offset, expected: expected.into(), found: found.into() })
    }

    /// The same with the offset counted from further left.
    pub(crate) fn after(mut self: Box<Self>, bytes: u64) -> Box<Bad> {
        self.offset += bytes;
        self
    }

    pub(crate) fn corruption(self, file: &Path) -> Corruption {
        Corruption::new(file, self.offset, self.expected, self.found)
    }
}

/// What a page or file of a known kind turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read<T> {
    Valid(T),
    /// All zeros: never written, or its write did not survive.
    Zero,
    /// Whole, but of a format that this code does not know.
    Newer {
        version: u16,
    },
    Bad(Box<Bad>),
}

impl<T> Read<T> {
    pub(crate) fn valid(self) -> Option<T> {
        match self {
            Read::Valid(value) => Some(value),
            _ => None,
        }
    }
}
