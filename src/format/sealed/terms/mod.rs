//! The term index of a sealed segment. Skeleton: the interface.
#![allow(dead_code, unused_variables, clippy::unused_self)]

use std::ops::Range;

use crate::format::{Bad, Parsed};

/// Rows of one block.
pub(crate) const BLOCK_ROWS: u32 = 1024;
/// A bitmap of so many blocks always fits a page.
pub(crate) const BLOCKS_MAX: u32 = 8192;
/// Rows of a sealed segment.
pub(crate) const ROWS_MAX: u32 = BLOCK_ROWS * BLOCKS_MAX;

fn todo<T>() -> Parsed<T> {
    Err(Bad::new(0, "code", "a skeleton"))
}

#[derive(Debug)]
pub(crate) struct TermsBuilder;

impl TermsBuilder {
    pub(crate) fn new() -> TermsBuilder {
        TermsBuilder
    }
    /// In ascending order of rows.
    pub(crate) fn term(&mut self, hash: u64, row: u32) {}
    pub(crate) fn subject(&mut self, hash: u64, row: u32, version: u64) {}
    pub(crate) fn key(&mut self, hash: u64, first_row: u32, count: u32, content_hash: [u8; 32]) {}
    pub(crate) fn finish(self, rows: u32) -> Parsed<EncodedTerms> {
        todo()
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EncodedTerms {
    pub(crate) pages: Vec<u8>,
    pub(crate) directory: Vec<u8>,
    pub(crate) filter: Option<Vec<u8>>,
    pub(crate) entries: u64,
}

impl EncodedTerms {
    /// For verify: an error where the file holds something else.
    pub(crate) fn diff(&self, pages: &[u8], directory: &[u8], filter: Option<&[u8]>) -> Parsed<()> {
        todo()
    }
}

#[derive(Debug)]
pub(crate) struct TermsDirectory;

impl TermsDirectory {
    pub(crate) fn parse(bytes: &[u8]) -> Parsed<TermsDirectory> {
        todo()
    }
    /// Pages that may hold it: normally one.
    pub(crate) fn page_of(&self, hash: u64) -> Range<usize> {
        0..0
    }
    /// Bytes within the pages section.
    pub(crate) fn place(&self, page: usize) -> Range<u64> {
        0..0
    }
    pub(crate) fn page_count(&self) -> usize {
        0
    }
    /// Entries of all pages.
    pub(crate) fn entries(&self) -> u64 {
        0
    }
    pub(crate) fn rows(&self) -> u32 {
        0
    }
    pub(crate) fn memory(&self) -> usize {
        0
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct TermsPage<'a>(&'a [u8]);

impl<'a> TermsPage<'a> {
    pub(crate) fn parse(bytes: &'a [u8], directory: &TermsDirectory) -> Parsed<TermsPage<'a>> {
        todo()
    }
    pub(crate) fn find(&self, hash: u64, each: &mut dyn FnMut(Entry<'a>)) -> Parsed<()> {
        todo()
    }
    pub(crate) fn entries(&self) -> impl Iterator<Item = Parsed<(u64, Entry<'a>)>> + use<'a> {
        std::iter::empty()
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Entry<'a> {
    Term(Postings<'a>),
    Subject { last_version: u64, postings: Postings<'a> },
    Key { first_row: u32, count: u32, content_hash: &'a [u8; 32] },
}

#[derive(Debug, Clone)]
pub(crate) struct Postings<'a> {
    pub(crate) last_row: u32,
    pub(crate) count: u32,
    list: &'a [u8],
}

impl<'a> Postings<'a> {
    /// Ascending.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Parsed<u32>> + use<'a> {
        std::iter::empty()
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct FilterView<'a>(&'a [u8]);

impl FilterView<'_> {
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        true
    }
}

pub(crate) fn parse_filter(bytes: &[u8]) -> Parsed<FilterView<'_>> {
    todo()
}
