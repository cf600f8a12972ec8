//! The term index of a sealed segment: in which blocks a term may stand. Read through a mapping,
//! page by page, each held against its own CRC.

use std::ops::Range;

use super::SealedSegment;
use crate::error::Result;
use crate::format::sealed::footer::SectionId;
use crate::format::sealed::terms::{Entries, Entry, FilterView, TermsDirectory, TermsPage, parse_filter, view_filter};
use crate::segment::seal::RowTerms;

/// The filter's section, checked once.
#[derive(Debug)]
pub(super) struct Filter {
    place: Range<u64>,
}

impl SealedSegment {
    /// The filter, if the segment has one.
    fn filter(&self) -> Result<Option<FilterView<'_>>> {
        let place = match self.filter.get() {
            Some(None) => return Ok(None),
            Some(Some(filter)) => filter.place.clone(),
            None => {
                let Some(section) = self.footer.section(SectionId::Filter) else {
                    self.filter.get_or_init(|| None);
                    return Ok(None);
                };
                let place = section.offset..section.offset + section.stored;
                let bytes = self.mapped(&place)?;
                let found = crc32fast::hash(bytes);
                if found != section.crc {
                    let (expected, found) =
                        (format!("a filter of CRC {:08x}", section.crc), format!("CRC {found:08x}"));
                    return Err(self.damage(section.offset, expected, found, 0..self.rows()));
                }
                parse_filter(bytes).map_err(|bad| self.corruption(&bad, place.start, 0..self.rows()))?;
                self.filter.get_or_init(|| Some(Filter { place: place.clone() }));
                place
            }
        };
        let bytes = self.mapped(&place)?;
        view_filter(bytes).map(Some).map_err(|bad| self.corruption(&bad, place.start, 0..self.rows()))
    }

    fn mapped(&self, place: &Range<u64>) -> Result<&[u8]> {
        let beyond = || self.damage(place.start, format!("bytes up to {}", place.end), "the end", 0..self.rows());
        self.mapping()?.bytes(place.clone()).ok_or_else(beyond)
    }

    /// Calls `each` with every entry of a term's hash. Other terms may share it.
    pub(crate) fn entries(&self, hash: u64, each: &mut dyn FnMut(Entry<'_>)) -> Result<()> {
        if self.filter()?.is_some_and(|filter| !filter.may_contain(hash)) {
            return Ok(());
        }
        let directory = self.term_directory()?;
        for page in directory.page_of(hash) {
            let (at, bytes) = self.term_page(page)?;
            let damaged = |bad: Box<crate::format::Bad>| self.corruption(&bad, at, 0..self.rows());
            TermsPage::parse(bytes, directory).map_err(damaged)?.find(hash, each).map_err(damaged)?;
        }
        Ok(())
    }

    /// A page of the index and where it stands in the file.
    pub(crate) fn term_page(&self, page: usize) -> Result<(u64, &[u8])> {
        let whole = 0..self.rows();
        let section = self.footer.section(SectionId::TermPages);
        let section = section.ok_or_else(|| self.damage(self.tail.footer_at, "term pages", "none", whole.clone()))?;
        let place = self.term_directory()?.place(page);
        if place.start > place.end || place.end > section.stored {
            return Err(self.damage(section.offset, "a page within its section", "one beyond it", whole));
        }
        let place = section.offset + place.start..section.offset + place.end;
        Ok((place.start, self.mapped(&place)?))
    }

    /// The blocks in which any of these terms may stand.
    pub(crate) fn blocks_of(&self, hashes: &[u64]) -> Result<Vec<u32>> {
        let mut blocks = Vec::new();
        for hash in hashes {
            self.entries(*hash, &mut |entry| match entry {
                Entry::Term(postings) | Entry::Subject { postings, .. } => {
                    blocks.extend(postings.blocks());
                }
                Entry::Key { first_row, .. } => blocks.push(first_row / crate::format::sealed::BLOCK_ROWS),
            })?;
        }
        blocks.sort_unstable();
        blocks.dedup();
        blocks.retain(|block| *block < self.footer.blocks);
        Ok(blocks)
    }

    /// Checks the filter and every page of the index.
    pub(super) fn check_terms(&self) -> Result<()> {
        self.filter()?;
        let directory = self.term_directory()?;
        for page in 0..directory.page_count() {
            let (at, bytes) = self.term_page(page)?;
            let damaged = |bad: Box<crate::format::Bad>| self.corruption(&bad, at, 0..self.rows());
            for entry in TermsPage::parse(bytes, directory).map_err(damaged)?.entries() {
                entry.map_err(damaged)?;
            }
        }
        Ok(())
    }

    /// How many bits of a hash the term index keeps, and how many entries it has.
    pub(crate) fn terms_kept(&self) -> Result<(u8, u64)> {
        let directory = self.term_directory()?;
        Ok((directory.bits(), directory.entries()))
    }

    /// Walks through the hashes of the term index.
    pub(crate) fn walk_terms(&self) -> Result<TermWalk<'_>> {
        Ok(TermWalk { segment: self, directory: self.term_directory()?, page: 0, at: 0, entries: None })
    }

    /// Holds the index against one made anew from the same events: the bytes must be the same.
    pub(crate) fn check_terms_are(&self, terms: RowTerms) -> Result<()> {
        let whole = 0..self.rows();
        let anew = terms.finish(self.rows()).map_err(|bad| self.corruption(&bad, 0, whole.clone()))?;
        let part = |id: SectionId| match self.footer.section(id) {
            Some(section) => self.mapped(&(section.offset..section.offset + section.stored)).map(Some),
            None => Ok(None),
        };
        let pages = part(SectionId::TermPages)?.unwrap_or_default();
        let directory = part(SectionId::TermDirectory)?.unwrap_or_default();
        let at = self.footer.section(SectionId::TermPages).map_or(self.tail.footer_at, |section| section.offset);
        anew.diff(pages, directory, part(SectionId::Filter)?).map_err(|bad| self.corruption(&bad, at, whole))
    }

    /// Where the sections and the footer stand.
    pub(crate) fn places(&self) -> Vec<Range<u64>> {
        let sections = self.footer.sections.iter().map(|section| section.offset..section.offset + section.stored);
        let footer_at = self.tail.footer_at;
        sections.chain(std::iter::once(footer_at..footer_at + u64::from(self.tail.footer_len))).collect()
    }
}

/// A place in the term index of a segment.
pub(crate) struct TermWalk<'a> {
    segment: &'a SealedSegment,
    directory: &'a TermsDirectory,
    /// The next page.
    page: usize,
    /// Where the page in hand stands in the file.
    at: u64,
    entries: Option<Entries<'a>>,
}

impl TermWalk<'_> {
    /// The truncated hash of the next entry, not below the one before, and how many bits it has. Every page is checked.
    pub(crate) fn next_hash(&mut self) -> Result<Option<(u64, u8)>> {
        let segment = self.segment;
        loop {
            if let Some(entry) = self.entries.as_mut().and_then(Iterator::next) {
                let (hash, _) = entry.map_err(|bad| segment.corruption(&bad, self.at, 0..segment.rows()))?;
                return Ok(Some((hash, self.directory.bits())));
            }
            if self.page == self.directory.page_count() {
                return Ok(None);
            }
            let (at, bytes) = segment.term_page(self.page)?;
            let page = TermsPage::parse(bytes, self.directory);
            self.entries = Some(page.map_err(|bad| segment.corruption(&bad, at, 0..segment.rows()))?.entries());
            (self.page, self.at) = (self.page + 1, at);
        }
    }
}
