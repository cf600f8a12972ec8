//! Writing entries into pages. The tables are in mod.rs.

use super::collect::Keyed;
use super::{
    CRC_BYTES, FORM_KEY, FORM_SUBJECT, FORM_TERM, PAGE_BYTES_MAX, SHORT_BYTES_MAX, Shape, TAG_EXTRA, blocks, directory,
    varint,
};
use crate::format::{Bad, Parsed};

/// What an entry says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Given<'a> {
    Term { last_row: u32, count: u32, blocks: &'a [u32] },
    Subject { version: u64, last_row: u32, count: u32, blocks: &'a [u32] },
    Key(&'a Keyed),
}

impl Given<'_> {
    /// The row of a term that has only one.
    fn single_row(&self) -> Option<u32> {
        match self {
            Given::Term { last_row, count: 1, .. } => Some(*last_row),
            _ => None,
        }
    }
}

/// Finds how long a short entry should be: the longer, the larger gaps it has room for.
#[derive(Debug)]
pub(super) struct Widths {
    row_bits: u32,
    before: u64,
    /// Bytes that the short entries take together at each length, and those that would have been
    /// short but for their gap.
    bytes: [u64; SHORT_BYTES_MAX as usize + 1],
}

impl Widths {
    pub(super) fn new(row_bits: u32) -> Widths {
        Widths { row_bits, before: 0, bytes: [0; SHORT_BYTES_MAX as usize + 1] }
    }

    #[inline]
    pub(super) fn add(&mut self, hash: u64, given: &Given<'_>) {
        let gap = hash.saturating_sub(self.before);
        self.before = hash;
        let Some(row) = given.single_row() else { return };
        let long = 1 + varint::len(gap) + varint::len(u64::from(row));
        let bits = 1 + self.row_bits + gap.checked_ilog2().map_or(0, |log| log + 1);
        for (bytes, sum) in (0..).zip(&mut self.bytes) {
            *sum += if bits <= bytes * 8 { u64::from(bytes) } else { long as u64 };
        }
    }

    /// The best length that has room for a row at least.
    pub(super) fn best(&self) -> u8 {
        let least = (1 + self.row_bits).div_ceil(8) as u8;
        (least..=SHORT_BYTES_MAX).min_by_key(|bytes| self.bytes[usize::from(*bytes)]).unwrap_or(SHORT_BYTES_MAX)
    }
}

/// Fills pages with entries, which come in order.
#[derive(Debug)]
pub(super) struct Writer {
    shape: Shape,
    pages: Vec<u8>,
    /// Where the page that is being filled begins; `None` before the first entry.
    start: Option<usize>,
    /// The truncated hash of the entry before.
    before: u64,
    /// Of each page its first truncated hash, and where it ends; 0 for the page that is being filled.
    directory: Vec<(u64, u32)>,
    entries: u64,
    entry: Vec<u8>,
}

impl Writer {
    pub(super) fn new(shape: Shape) -> Writer {
        Writer {
            shape,
            pages: Vec::new(),
            start: None,
            before: 0,
            directory: Vec::new(),
            entries: 0,
            entry: Vec::with_capacity(PAGE_BYTES_MAX),
        }
    }

    /// Adds an entry whose hash, truncated, is not below the one before.
    pub(super) fn put(&mut self, hash: u64, given: &Given<'_>) {
        self.encode(hash - self.before, given);
        let fits = |start| self.pages.len() - start + self.entry.len() + CRC_BYTES <= PAGE_BYTES_MAX;
        if !self.start.is_some_and(fits) {
            self.close_page();
            self.start = Some(self.pages.len());
            self.pages.extend((self.directory.len() as u32).to_le_bytes());
            self.pages.extend(hash.to_le_bytes());
            self.directory.push((hash, 0));
            self.encode(0, given);
        }
        self.pages.extend_from_slice(&self.entry);
        self.before = hash;
        self.entries += 1;
    }

    /// Puts the bytes of an entry into `entry`.
    fn encode(&mut self, gap: u64, given: &Given<'_>) {
        let (shape, out) = (self.shape, &mut self.entry);
        out.clear();
        let fits = gap >> shape.gap_bits().min(63) == 0;
        if let Some(row) = given.single_row().filter(|_| fits) {
            let word = (gap << shape.row_bits() | u64::from(row)) << 1 | 1;
            out.extend_from_slice(&word.to_le_bytes()[..usize::from(shape.short)]);
            return;
        }
        let (form, version, last_row, count, blocks) = match *given {
            Given::Term { last_row, count, blocks } => (FORM_TERM, None, last_row, count, blocks),
            Given::Subject { version, last_row, count, blocks } => {
                (FORM_SUBJECT, Some(version), last_row, count, blocks)
            }
            Given::Key(key) => {
                out.push(FORM_KEY << 1);
                varint::put(out, gap);
                varint::put(out, u64::from(key.first_row));
                varint::put(out, u64::from(key.count));
                out.extend_from_slice(&key.content_hash);
                return;
            }
        };
        out.push(0);
        varint::put(out, gap);
        if let Some(version) = version {
            varint::put(out, version);
        }
        varint::put(out, u64::from(last_row));
        // Each of the blocks has at least one of the rows.
        let extra = count.saturating_sub(blocks.len() as u32);
        if extra > 0 {
            varint::put(out, u64::from(extra));
        }
        let code = blocks::put(out, blocks, shape.blocks());
        out[0] = form << 1 | if extra > 0 { TAG_EXTRA } else { 0 } | code << 4;
    }

    fn close_page(&mut self) {
        let Some(start) = self.start else { return };
        let crc = crc32fast::hash(&self.pages[start..]);
        self.pages.extend(crc.to_le_bytes());
        if let Some((_, end)) = self.directory.last_mut() {
            *end = self.pages.len() as u32;
        }
    }

    /// The pages, the directory, and how many entries there are.
    pub(super) fn finish(mut self) -> Parsed<(Vec<u8>, Vec<u8>, u64)> {
        self.close_page();
        if u32::try_from(self.pages.len()).is_err() {
            return Err(Bad::new(0, "term pages of less than 4 GiB", format!("{} bytes", self.pages.len())));
        }
        let directory = directory::encode(self.shape, self.entries, &self.directory);
        Ok((self.pages, directory, self.entries))
    }
}
