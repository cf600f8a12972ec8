//! Writing a run from front to back, in two places at once: directory and entries grow together. Memory: two buffers.

use super::{Covered, HASH_BITS, PAGE_BYTES, PAYLOAD_BYTES, Templates, TierHeader, keep, radix};
use crate::event::LogId;
use crate::format::idx::pages::page_check;
use crate::format::leaf::Hash;
use crate::position::Position;

/// Pages that are put at once.
const PAGES_AT_ONCE: usize = 128;

/// Fills the pages of a section.
#[derive(Debug)]
struct Section {
    salt: u64,
    /// Number of the page that the buffer begins with.
    page: u64,
    buffer: Vec<u8>,
    /// Bytes of payload in the last page of the buffer.
    used: usize,
}

impl Section {
    fn new(salt: u64, page: u64) -> Section {
        Section { salt, page, buffer: Vec::new(), used: PAYLOAD_BYTES }
    }

    /// Appends bytes, none of which may cross a page, and hands whole pages to `put`.
    fn push<E>(&mut self, bytes: &[u8], put: &mut impl FnMut(u64, &[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.used == PAYLOAD_BYTES {
            if self.buffer.len() == PAGES_AT_ONCE * PAGE_BYTES {
                self.flush(put)?;
            }
            self.buffer.resize(self.buffer.len() + PAGE_BYTES, 0);
            self.used = 0;
        }
        let at = self.buffer.len() - PAGE_BYTES + self.used;
        self.buffer[at..at + bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len();
        Ok(())
    }

    /// Puts what is there; returns the number of the next page.
    fn flush<E>(&mut self, put: &mut impl FnMut(u64, &[u8]) -> Result<(), E>) -> Result<u64, E> {
        let first = self.page * PAGE_BYTES as u64;
        for page in self.buffer.chunks_exact_mut(PAGE_BYTES) {
            let check = page_check(page, self.salt, self.page * PAGE_BYTES as u64);
            page[PAGE_BYTES - 8..].copy_from_slice(&check.to_le_bytes());
            self.page += 1;
        }
        if !self.buffer.is_empty() {
            put(first, &self.buffer)?;
        }
        self.buffer.clear();
        self.used = PAYLOAD_BYTES;
        Ok(self.page)
    }
}

/// Writes one run. `put` is called with pieces of the file and where they belong; the header comes last.
pub(crate) struct TierWriter<P> {
    header: TierHeader,
    put: P,
    directory: Section,
    entries: Section,
    /// Buckets whose start was put.
    buckets: u64,
}

impl<E, P: FnMut(u64, &[u8]) -> Result<(), E>> TierWriter<P> {
    /// Begins the run from `first` on over these segments, of which there is one at least. `root` is that of the tree
    /// after the last.
    pub(crate) fn new(
        log: LogId,
        first: Position,
        root: Hash,
        segments: &[Covered],
        templates: &Templates,
        mut put: P,
    ) -> Result<TierWriter<P>, E> {
        let rows: u64 = segments.iter().map(|segment| u64::from(segment.rows)).sum();
        let bytes = templates.encode();
        let mut header = TierHeader {
            log,
            first,
            last: Position::new(first.get() + rows - 1),
            root,
            file_bytes: 0,
            entries: 0,
            segments: segments.len() as u32,
            any_id: templates.is_overflown(),
            widths: segments.iter().fold(0, |widths, segment| widths | 1 << segment.width),
            templates: templates.len() as u32,
            templates_bytes: bytes.len() as u32,
            radix: radix(segments.iter().fold(0, |sum: u64, segment| sum.saturating_add(segment.entries))),
        };
        let salt = header.salt();
        let mut section = Section::new(salt, 1);
        for segment in segments {
            section.push(&segment.encode(), &mut put)?;
        }
        let page = section.flush(&mut put)?;
        let mut section = Section::new(salt, page);
        for chunk in bytes.chunks(PAYLOAD_BYTES) {
            section.push(chunk, &mut put)?;
        }
        let directory = section.flush(&mut put)?;
        let entries = header.pages().map_or(directory, |pages| pages.entries);
        header.file_bytes = entries * PAGE_BYTES as u64;
        let (directory, entries) = (Section::new(salt, directory), Section::new(salt, entries));
        Ok(TierWriter { header, put, directory, entries, buckets: 0 })
    }

    /// Adds an entry, which is above the one before.
    pub(crate) fn push(&mut self, entry: u64) -> Result<(), E> {
        debug_assert_eq!(keep(entry, HASH_BITS), entry >> 16 << 16, "an entry is a hash and a number");
        let bucket = entry.checked_shr(64 - self.header.radix).unwrap_or(0);
        self.start_buckets(bucket + 1)?;
        self.entries.push(&entry.to_le_bytes(), &mut self.put)?;
        self.header.entries += 1;
        Ok(())
    }

    /// Puts where all buckets below `end` begin that were not begun yet.
    fn start_buckets(&mut self, end: u64) -> Result<(), E> {
        while self.buckets < end {
            self.directory.push(&self.header.entries.to_le_bytes(), &mut self.put)?;
            self.buckets += 1;
        }
        Ok(())
    }

    /// Puts what is left; returns the length of the file.
    pub(crate) fn finish(mut self) -> Result<u64, E> {
        self.start_buckets((1 << self.header.radix) + 1)?;
        self.directory.flush(&mut self.put)?;
        self.header.file_bytes = self.entries.flush(&mut self.put)? * PAGE_BYTES as u64;
        (self.put)(0, &self.header.encode()[..])?;
        Ok(self.header.file_bytes)
    }
}
