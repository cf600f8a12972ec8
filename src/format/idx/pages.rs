//! The space that the payloads of the pages are, end to end: writing to it, and reading from it
//! with each page checked at its first use.

use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::format::bytes::{Put, u64_at};
use crate::format::{Bad, PAGE_BYTES, Parsed};

/// Bytes of the space in one page.
pub(in crate::format) const PAYLOAD_BYTES: usize = 4064;
const CHECK_AT: usize = PAGE_BYTES - 8;

type Payload = [u8; PAYLOAD_BYTES];

/// Length of a file whose space is `space` bytes long, the header included.
pub(super) fn file_bytes(space: u64) -> u64 {
    (1 + space.div_ceil(PAYLOAD_BYTES as u64)) * PAGE_BYTES as u64
}

/// Where a byte of the space stands in the file.
pub(in crate::format) fn file_offset(at: u64) -> u64 {
    (1 + at / PAYLOAD_BYTES as u64) * PAGE_BYTES as u64 + at % PAYLOAD_BYTES as u64
}

/// The check of a page of the file, any but the header, that stands at `offset`.
pub(in crate::format) fn page_check(page: &[u8], salt: u64, offset: u64) -> u64 {
    xxh3_64_with_seed(&page[..CHECK_AT], salt ^ offset)
}

/// Whether a page, any but the header, passes its check. Offsets count from the start of the file.
pub(crate) fn check_page(page: &[u8], salt: u64, offset: u64) -> Parsed<()> {
    let Some(found) = u64_at(page, CHECK_AT) else {
        return Err(Bad::new(offset + page.len() as u64, "a page of 4096 bytes", "the end of the file"));
    };
    let expected = page_check(page, salt, offset);
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (format!("page check {expected:016x}"), format!("{found:016x}"));
    Err(Bad::new(offset + CHECK_AT as u64, expected, found))
}

/// Fills the space of a new file from some place on, front to back.
pub(super) struct Writer<'a> {
    /// The rest of the file, from the page that is written on.
    rest: &'a mut [u8],
    used: usize,
}

impl<'a> Writer<'a> {
    /// Begins at byte `at` of the space. `file` is the whole file, of the length it will have.
    pub(super) fn new(file: &'a mut [u8], at: u64) -> Writer<'a> {
        let (page, used) = (1 + at / PAYLOAD_BYTES as u64, at % PAYLOAD_BYTES as u64);
        Writer { rest: &mut file[page as usize * PAGE_BYTES..], used: used as usize }
    }

    /// Puts bytes that may go over several pages.
    #[inline]
    pub(super) fn put(mut self, mut bytes: &[u8]) {
        while bytes.len() > PAYLOAD_BYTES - self.used {
            let (head, tail) = bytes.split_at(PAYLOAD_BYTES - self.used);
            self.rest[self.used..self.used + head.len()].copy_from_slice(head);
            self.rest = &mut self.rest[PAGE_BYTES..];
            (self.used, bytes) = (0, tail);
        }
        self.rest[self.used..self.used + bytes.len()].copy_from_slice(bytes);
    }

    /// Puts entries of `N` bytes each. It stands at a multiple of `N`, and so does every page's end.
    pub(super) fn put_all<T: Copy, const N: usize>(mut self, mut values: &[T], encode: impl Fn(T) -> [u8; N]) {
        while !values.is_empty() {
            if self.used == PAYLOAD_BYTES {
                self.rest = &mut self.rest[PAGE_BYTES..];
                self.used = 0;
            }
            let (places, _) = self.rest[self.used..PAYLOAD_BYTES].as_chunks_mut::<N>();
            let (head, tail) = values.split_at(values.len().min(places.len()));
            for (place, value) in places.iter_mut().zip(head) {
                *place = encode(*value);
            }
            self.used += head.len() * N;
            values = tail;
        }
    }
}

/// Puts the check of every page but the header.
pub(super) fn seal(file: &mut [u8], salt: u64) {
    for (index, page) in file.chunks_exact_mut(PAGE_BYTES).enumerate().skip(1) {
        let check = page_check(page, salt, (index * PAGE_BYTES) as u64);
        Put(page).u64(CHECK_AT, check);
    }
}

/// Which pages have passed their check in this process.
#[derive(Debug)]
pub(crate) struct Checked {
    /// A bit a page. Written and read by every reader. Relaxed: a bit stands for a property of bytes
    /// that never change, it publishes nothing; who misses one checks the page once more.
    bits: Box<[AtomicU64]>,
}

impl Checked {
    /// For a file of `file_bytes` bytes, of which nothing was checked yet.
    pub(crate) fn new(file_bytes: u64) -> Checked {
        let pages = file_bytes.div_ceil(PAGE_BYTES as u64);
        Checked { bits: (0..pages.div_ceil(64)).map(|_| AtomicU64::new(0)).collect() }
    }

    #[inline]
    fn has(&self, page: usize) -> bool {
        self.bits.get(page / 64).is_some_and(|word| word.load(Ordering::Relaxed) & (1 << (page % 64)) != 0)
    }

    fn set(&self, page: usize) {
        if let Some(word) = self.bits.get(page / 64) {
            word.fetch_or(1 << (page % 64), Ordering::Relaxed);
        }
    }
}

/// The space of a file, for reading. No byte of a page is seen before the page passed its check.
#[derive(Debug, Clone, Copy)]
pub(in crate::format) struct Space<'a> {
    file: &'a [u8],
    salt: u64,
    checked: &'a Checked,
}

impl<'a> Space<'a> {
    pub(in crate::format) fn new(file: &'a [u8], salt: u64, checked: &'a Checked) -> Space<'a> {
        Space { file, salt, checked }
    }

    /// The payload of a page; page 1 is the first.
    #[inline]
    fn payload(&self, page: usize) -> Parsed<&'a Payload> {
        let bytes = self.file.get(page * PAGE_BYTES..).and_then(|rest| rest.first_chunk::<PAGE_BYTES>());
        let Some(bytes) = bytes else { return Err(self.missing(page)) };
        if !self.checked.has(page) {
            self.check(page, bytes)?;
        }
        bytes.first_chunk::<PAYLOAD_BYTES>().ok_or_else(|| self.missing(page))
    }

    #[cold]
    fn missing(&self, page: usize) -> Box<Bad> {
        Bad::new(self.file.len() as u64, format!("page {page} of an index"), "the end of the file")
    }

    #[cold]
    fn check(&self, page: usize, bytes: &[u8; PAGE_BYTES]) -> Parsed<()> {
        check_page(bytes, self.salt, (page * PAGE_BYTES) as u64)?;
        self.checked.set(page);
        Ok(())
    }

    /// `N` bytes at a place of the space, all in one page.
    #[inline]
    pub(in crate::format) fn array<const N: usize>(&self, at: u64) -> Parsed<&'a [u8; N]> {
        let (page, within) = (1 + at / PAYLOAD_BYTES as u64, (at % PAYLOAD_BYTES as u64) as usize);
        let payload = self.payload(page as usize)?;
        payload[within..].first_chunk::<N>().ok_or_else(|| self.missing(page as usize + 1))
    }

    #[inline]
    pub(super) fn u8(&self, at: u64) -> Parsed<u8> {
        self.array::<1>(at).map(|[byte]| *byte)
    }

    #[inline]
    pub(super) fn u16(&self, at: u64) -> Parsed<u16> {
        self.array(at).map(|bytes| u16::from_le_bytes(*bytes))
    }

    #[inline]
    pub(super) fn u32(&self, at: u64) -> Parsed<u32> {
        self.array(at).map(|bytes| u32::from_le_bytes(*bytes))
    }

    #[inline]
    pub(in crate::format) fn u64(&self, at: u64) -> Parsed<u64> {
        self.array(at).map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// A copy of `len` bytes, which may go over several pages. The caller knows that the file holds
    /// as many.
    pub(in crate::format) fn copy(&self, mut at: u64, len: u64) -> Parsed<Vec<u8>> {
        let mut rest = len as usize;
        let mut bytes = Vec::with_capacity(rest);
        while rest > 0 {
            let (page, within) = (1 + at / PAYLOAD_BYTES as u64, (at % PAYLOAD_BYTES as u64) as usize);
            let piece = &self.payload(page as usize)?[within..];
            let piece = &piece[..piece.len().min(rest)];
            bytes.extend_from_slice(piece);
            (rest, at) = (rest - piece.len(), at + piece.len() as u64);
        }
        Ok(bytes)
    }

    /// Checks every page, whether it was checked before or not.
    pub(in crate::format) fn check_all(&self) -> Parsed<()> {
        let pages = self.file.chunks_exact(PAGE_BYTES).enumerate().skip(1);
        pages
            .filter_map(|(page, bytes)| Some((page, bytes.first_chunk()?)))
            .try_for_each(|(page, bytes)| self.check(page, bytes))
    }
}
