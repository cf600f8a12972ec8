//! The block head.

use std::ops::Range;
use std::sync::Arc;

use super::dictionary::{Dictionary, StringColumn};
use crate::event::{EventRef, LogId};
use crate::format::leaf::BatchFacts;
use crate::format::{Bad, Parsed};
use crate::position::Position;
use crate::time::Timestamp;

/// Rows of a block at most.
pub(crate) const ROWS_MAX: u32 = 1024;

/// What a block's head does not say itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockFacts {
    pub(crate) log: LogId,
    /// The position of the first row.
    pub(crate) base: Position,
    pub(crate) rows: u32,
    /// Where the head stands in the file.
    pub(crate) offset: u64,
}

/// One event with what its leaf holds beside it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) event: EventRef<'a>,
    pub(crate) batch: BatchFacts<'a>,
}

/// One payload page: payloads from `first_rank` on, up to the first of the next page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageEntry {
    pub(crate) first_rank: u32,
    /// In the file.
    pub(crate) offset: u64,
    pub(crate) stored: u32,
    pub(crate) raw: u32,
    pub(crate) crc: u32,
}

/// Where a payload lies in its raw page. Of length 0: no page needs to be read, and `page` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PayloadPlace {
    pub(crate) page: u32,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// The rows of a block that are one batch, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchRows {
    pub(crate) rows: Range<u32>,
    /// The rows begin with the block: the batch may have begun in the block before, if the last row there is not
    /// last of its batch.
    pub(crate) may_begin_before: bool,
    /// The batch goes on in the next block.
    pub(crate) goes_on: bool,
}

/// The order in which payloads are laid down: rank -> row.
pub(crate) fn payload_order(_rows: &[Row<'_>], _by_subject: bool) -> Vec<u32> {
    Vec::new()
}

/// Appends the head of a block. `pages` stand one after the other from `pages_at` on and hold the payloads in
/// [`payload_order`].
pub(crate) fn encode(
    _rows: &[Row<'_>],
    _dictionary: &Dictionary,
    _by_subject: bool,
    _pages_at: u64,
    _pages: &[PageEntry],
    _out: &mut Vec<u8>,
) -> Parsed<()> {
    unwritten()
}

fn unwritten<T>() -> Parsed<T> {
    Err(Bad::new(0, "a block", "not written yet"))
}

/// Buffers for the event in hand.
#[derive(Debug, Default)]
pub(crate) struct Scratch {}

/// All columns of a block as arrays, for a walk over its rows.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {}

/// A parsed block head: columns stay packed, texts are decoded.
#[derive(Debug)]
pub(crate) struct Block {}

impl Block {
    pub(crate) fn parse(_head: Box<[u8]>, _facts: BlockFacts, _dictionary: Arc<Dictionary>) -> Parsed<Block> {
        unwritten()
    }

    pub(crate) fn rows(&self) -> u32 {
        0
    }

    /// Bytes held, about.
    pub(crate) fn memory(&self) -> usize {
        0
    }

    pub(crate) fn page_count(&self) -> u32 {
        0
    }

    pub(crate) fn page(&self, _index: u32) -> Option<PageEntry> {
        None
    }

    pub(crate) fn payload(&self, _row: u32) -> Parsed<PayloadPlace> {
        unwritten()
    }

    /// Puts the event together; `data` is what stands at its [`Block::payload`].
    pub(crate) fn event<'a>(&'a self, _row: u32, _scratch: &'a mut Scratch, _data: &'a [u8]) -> Parsed<Row<'a>> {
        unwritten()
    }

    pub(crate) fn unpack(&self, _unpacked: &mut Unpacked) -> Parsed<()> {
        unwritten()
    }

    /// As [`Block::payload`], from columns unpacked before.
    pub(crate) fn payload_unpacked(&self, _unpacked: &Unpacked, _row: u32) -> Parsed<PayloadPlace> {
        unwritten()
    }

    /// As [`Block::event`], from columns unpacked before.
    pub(crate) fn event_unpacked<'a>(
        &'a self,
        _unpacked: &'a Unpacked,
        _row: u32,
        _scratch: &'a mut Scratch,
        _data: &'a [u8],
    ) -> Parsed<Row<'a>> {
        unwritten()
    }

    pub(crate) fn recorded_at(&self, _row: u32) -> Parsed<Timestamp> {
        unwritten()
    }

    /// `recorded_at` where none was given.
    pub(crate) fn occurred_at(&self, _row: u32) -> Parsed<Timestamp> {
        unwritten()
    }

    pub(crate) fn epoch(&self, _row: u32) -> Parsed<u64> {
        unwritten()
    }

    pub(crate) fn version(&self, _row: u32) -> Parsed<u64> {
        unwritten()
    }

    pub(crate) fn causation(&self, _row: u32) -> Parsed<Option<Position>> {
        unwritten()
    }

    pub(crate) fn subject(&self, _row: u32) -> Parsed<&str> {
        unwritten()
    }

    /// The flags of the row's leaf: 1 last of its batch, 2 occurred_at given, 4 imported, 8 clock suspect.
    pub(crate) fn flags(&self, _row: u32) -> Parsed<u8> {
        unwritten()
    }

    /// The reference of a column that has one a row (all but tags and metadata): see [`Block::value`].
    pub(crate) fn reference(&self, _column: StringColumn, _row: u32) -> Parsed<u32> {
        unwritten()
    }

    /// The string behind a reference, 0 being none; whichever scope the column has.
    pub(crate) fn value(&self, _column: StringColumn, _reference: u32) -> Option<&str> {
        None
    }

    /// References of a row's tags.
    pub(crate) fn tags(&self, _row: u32) -> Parsed<impl ExactSizeIterator<Item = u32>> {
        unwritten::<std::iter::Empty<u32>>()
    }

    /// The given id of a row, for comparing with one that is looked for.
    pub(crate) fn given_id<'a>(&'a self, _row: u32, _scratch: &'a mut Scratch) -> Parsed<Option<&'a str>> {
        unwritten()
    }

    /// References of the strings that pass a test, ascending.
    pub(crate) fn references_where(&self, _column: StringColumn, _test: &mut dyn FnMut(&str) -> bool) -> Vec<u32> {
        Vec::new()
    }

    /// Appends the rows that have one of the references, which ascend, in a column.
    pub(crate) fn rows_where(
        &self,
        _column: StringColumn,
        _references: &[u32],
        _rows: Range<u32>,
        _out: &mut Vec<u32>,
    ) {
    }

    pub(crate) fn batch(&self, _row: u32) -> Parsed<BatchRows> {
        unwritten()
    }

    /// Key and content hash of the batch, on its first event.
    pub(crate) fn key(&self, _row: u32) -> Parsed<Option<(&str, &[u8; 32])>> {
        unwritten()
    }
}
