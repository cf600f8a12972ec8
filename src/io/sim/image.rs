//! The bytes of a file, sparse and cheap to copy: pages are shared until one of the copies changes.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What a disk writes as a whole or not at all.
pub(super) const SECTOR_BYTES: u64 = 512;

const PAGE_BYTES: usize = 4096;

type Page = [u8; PAGE_BYTES];

/// Invariant, except while a crash is being worked out: no page holds anything but zeros beyond
/// `len`.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    len: u64,
    /// By number; a missing page is zeros.
    pages: BTreeMap<u64, Arc<Page>>,
}

impl Image {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `buf` up to the end of the file.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let take = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        for (page, within, piece) in pieces(offset, take) {
            let target = &mut buf[piece];
            match self.pages.get(&page) {
                Some(page) => target.copy_from_slice(&page[within..within + target.len()]),
                None => target.fill(0),
            }
        }
        take
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.put(offset, bytes);
        if !bytes.is_empty() {
            self.extend(offset + bytes.len() as u64);
        }
    }

    /// Writes without a word about the length: data and metadata reach the disk on their own.
    pub(super) fn put(&mut self, offset: u64, bytes: &[u8]) {
        for (page, within, piece) in pieces(offset, bytes.len()) {
            let source = &bytes[piece];
            let page = self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE_BYTES]));
            Arc::make_mut(page)[within..within + source.len()].copy_from_slice(source);
        }
    }

    pub(super) fn extend(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.len = len;
        drop(self.pages.split_off(&len.div_ceil(PAGE_BYTES as u64)));
        let within = (len % PAGE_BYTES as u64) as usize;
        if within > 0
            && let Some(page) = self.pages.get_mut(&(len / PAGE_BYTES as u64))
            && page[within..].iter().any(|&byte| byte != 0)
        {
            Arc::make_mut(page)[within..].fill(0);
        }
    }

    /// The pages that hold anything, by number.
    pub(super) fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let pages = self.pages.iter().map(|(number, page)| (*number, &page[..]));
        pages.filter(|(_, page)| page.iter().any(|&byte| byte != 0))
    }
}

/// Cuts a range at the borders of pages: the page, where in it, and which part of the range.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        (done < len).then(|| {
            let at = offset + done as u64;
            let within = (at % PAGE_BYTES as u64) as usize;
            let end = len.min(done + PAGE_BYTES - within);
            let piece = (at / PAGE_BYTES as u64, within, done..end);
            done = end;
            piece
        })
    })
}
