//! The directory of the pages, in memory as packed arrays. The table is in mod.rs.

use std::ops::Range;

use super::{CRC_BYTES, PAGE_BYTES_MAX, PAGE_HEAD_BYTES, ROWS_MAX, SHORT_BYTES_MAX, SPARE_BITS, Shape, page, row_bits};
use crate::format::bytes::Take;
use crate::format::{Bad, Parsed};

const HEAD_BYTES: usize = 20;
const PAGE_ENTRY_BYTES: usize = 12;
/// A page has at least one entry, and that at least its first byte.
const PAGE_BYTES_MIN: u32 = (PAGE_HEAD_BYTES + 1 + CRC_BYTES) as u32;

/// Which page holds which hashes, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TermsDirectory {
    shape: Shape,
    entries: u64,
    /// Of each page the truncated hash of its first entry; ascending.
    firsts: Box<[u64]>,
    /// Of each page where it ends.
    ends: Box<[u32]>,
}

/// `pages`: of each the truncated hash of its first entry, and where it ends.
pub(super) fn encode(shape: Shape, entries: u64, pages: &[(u64, u32)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + pages.len() * PAGE_ENTRY_BYTES + CRC_BYTES);
    bytes.extend(shape.rows.to_le_bytes());
    bytes.extend((pages.len() as u32).to_le_bytes());
    bytes.extend(entries.to_le_bytes());
    bytes.extend([shape.bits, shape.short, 0, 0]);
    for (first, end) in pages {
        bytes.extend(first.to_le_bytes());
        bytes.extend(end.to_le_bytes());
    }
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

impl TermsDirectory {
    pub(crate) fn parse(bytes: &[u8]) -> Parsed<TermsDirectory> {
        let mut take = Take(page::checked(bytes)?);
        let head = (|| {
            let (rows, pages, entries) = (take.u32()?, take.u32()?, take.u64()?);
            let [bits, short, zero, zero_too] = take.array()?;
            Some((Shape { rows, bits, short }, pages, entries, zero == 0 && zero_too == 0))
        })();
        let Some((shape, pages, entries, zeros)) = head else {
            return Err(Bad::new(0, format!("{HEAD_BYTES} bytes or more"), format!("{} bytes", bytes.len())));
        };
        let sane = zeros
            && shape.rows <= ROWS_MAX
            && (SPARE_BITS..=64).contains(&u32::from(shape.bits))
            && shape.short <= SHORT_BYTES_MAX
            && u32::from(shape.short) * 8 > row_bits(shape.rows)
            && take.0.len() as u64 == u64::from(pages) * PAGE_ENTRY_BYTES as u64
            && entries >= u64::from(pages)
            && (entries == 0) == (pages == 0);
        if !sane {
            let found = format!("{shape:?}, {pages} pages, {entries} entries, {} bytes", bytes.len());
            return Err(Bad::new(0, "a directory of a term index", found));
        }
        // So many bytes are there, so this allocates no more than was given.
        let (mut firsts, mut ends) = (Vec::with_capacity(pages as usize), Vec::with_capacity(pages as usize));
        let (mut before, mut end_before) = (0, 0);
        for index in 0..pages as usize {
            let (first, end) = (take.u64().unwrap_or_default(), take.u32().unwrap_or_default());
            let len = end.saturating_sub(end_before);
            let within = first >= before && (shape.bits == 64 || first >> shape.bits == 0);
            if !within || !(PAGE_BYTES_MIN..=PAGE_BYTES_MAX as u32).contains(&len) {
                let at = (HEAD_BYTES + index * PAGE_ENTRY_BYTES) as u64;
                return Err(Bad::new(at, "a page after the one before", format!("{first:x}, to {end}")));
            }
            (before, end_before) = (first, end);
            firsts.push(first);
            ends.push(end);
        }
        Ok(TermsDirectory { shape, entries, firsts: firsts.into(), ends: ends.into() })
    }

    /// The pages that may hold entries of a hash: none or one, but two or more if pages begin with
    /// that very hash.
    pub(crate) fn page_of(&self, hash: u64) -> Range<usize> {
        let hash = self.shape.truncate(hash);
        let start = self.firsts.partition_point(|first| *first < hash);
        let more = self.firsts.get(start..).unwrap_or_default().iter().take_while(|first| **first == hash).count();
        start.saturating_sub(1)..start + more
    }

    /// Which bytes of the pages a page is; empty if there is no such page.
    pub(crate) fn place(&self, page: usize) -> Range<u64> {
        let Some(end) = self.ends.get(page) else { return 0..0 };
        let start = page.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        u64::from(start)..u64::from(*end)
    }

    pub(crate) fn page_count(&self) -> usize {
        self.firsts.len()
    }

    /// Bits of a hash that the entries have.
    pub(crate) fn bits(&self) -> u8 {
        self.shape.bits
    }

    /// How many entries all pages have.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Rows of the segment.
    pub(crate) fn rows(&self) -> u32 {
        self.shape.rows
    }

    /// Bytes in all pages together.
    pub(crate) fn pages_bytes(&self) -> u64 {
        self.ends.last().copied().map_or(0, u64::from)
    }

    /// What of a hash the entries have.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn truncate(&self, hash: u64) -> u64 {
        self.shape.truncate(hash)
    }

    /// Bytes of memory that it takes.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + size_of_val(&self.firsts[..]) + size_of_val(&self.ends[..])
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// The truncated hash of the first entry of a page.
    pub(super) fn first(&self, page: usize) -> Option<u64> {
        self.firsts.get(page).copied()
    }
}
