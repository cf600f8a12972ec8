//! The parts of a sealed segment that are read when they are first asked for.

use std::sync::Arc;

use zstd::dict::DecoderDictionary;

use super::shelf::Piece;
use super::{PayloadDictionary, SealedSegment};
use crate::error::{Error, Result};
use crate::format::Bad;
use crate::format::sealed::block::{Block, BlockFacts, PageEntry};
use crate::format::sealed::blocks::{BlockEntry, Blocks};
use crate::format::sealed::dictionary::Dictionary;
use crate::format::sealed::footer::{Section, SectionId};
use crate::format::sealed::page;
use crate::format::sealed::terms::TermsDirectory;
use crate::io::Mapping;

/// Raw lengths that a compressed section may declare.
const STRINGS_MAX: u64 = 8 << 20;
const PAYLOAD_DICTIONARY_MAX: u64 = 1 << 20;
/// Sections that are held in memory whole.
const HELD_MAX: u64 = 512 << 20;

impl SealedSegment {
    /// A section's raw bytes, checked; `None` if the segment has none.
    pub(super) fn section(&self, id: SectionId, raw_max: u64) -> Result<Option<(u64, Vec<u8>)>> {
        let Some(section) = self.footer.section(id) else { return Ok(None) };
        let whole = 0..self.rows();
        if section.raw > raw_max || section.stored > HELD_MAX {
            let expected = format!("a section of at most {raw_max} bytes");
            return Err(self.damage(section.offset, expected, section.raw.to_string(), whole));
        }
        let what = format!("section {:?}", id);
        let stored = self.read_checked(section.offset, section.stored as usize, section.crc, &what, whole.clone())?;
        if !section.compressed {
            return Ok(Some((section.offset, stored)));
        }
        let mut raw = Vec::new();
        page::unpack(&stored, section.raw as usize, None, &mut raw)
            .map_err(|bad| self.corruption(&bad, section.offset, whole))?;
        Ok(Some((section.offset, raw)))
    }

    fn required(&self, id: SectionId, raw_max: u64) -> Result<(u64, Vec<u8>)> {
        let missing = || {
            let expected = format!("section {id:?}");
            self.damage(self.tail.footer_at, expected, "none", 0..self.rows())
        };
        self.section(id, raw_max)?.ok_or_else(missing)
    }

    /// The directory of the blocks.
    pub(crate) fn blocks(&self) -> Result<&Blocks> {
        if let Some(blocks) = self.blocks.get() {
            return Ok(blocks);
        }
        let (at, bytes) = self.required(SectionId::Blocks, HELD_MAX)?;
        let parsed = Blocks::parse(bytes.into_boxed_slice(), self.footer.blocks, self.tail.footer_at)
            .map_err(|bad| self.corruption(&bad, at, 0..self.rows()))?;
        Ok(self.blocks.get_or_init(|| parsed))
    }

    /// Strings and id templates.
    pub(crate) fn dictionary(&self) -> Result<&Arc<Dictionary>> {
        if let Some(dictionary) = self.dictionary.get() {
            return Ok(dictionary);
        }
        let (at, bytes) = self.required(SectionId::Dictionary, STRINGS_MAX)?;
        let parsed = Dictionary::parse(&bytes).map_err(|bad| self.corruption(&bad, at, 0..self.rows()))?;
        Ok(self.dictionary.get_or_init(|| Arc::new(parsed)))
    }

    fn payload_dictionary(&self) -> Result<Option<&DecoderDictionary<'static>>> {
        if let Some(dictionary) = self.payload_dictionary.get() {
            return Ok(dictionary.as_ref().map(|dictionary| &dictionary.0));
        }
        let bytes = self.section(SectionId::PayloadDictionary, PAYLOAD_DICTIONARY_MAX)?;
        let dictionary = match bytes {
            None => None,
            Some((at, bytes)) => Some(PayloadDictionary(DecoderDictionary::try_copy(&bytes).map_err(|error| {
                self.corruption(&Bad::new(0, "a zstd dictionary", error.to_string()), at, 0..self.rows())
            })?)),
        };
        Ok(self.payload_dictionary.get_or_init(|| dictionary).as_ref().map(|dictionary| &dictionary.0))
    }

    /// The directory of the term pages.
    pub(super) fn term_directory(&self) -> Result<&TermsDirectory> {
        if let Some(terms) = self.terms.get() {
            return Ok(terms);
        }
        let (at, bytes) = self.required(SectionId::TermDirectory, HELD_MAX)?;
        let parsed = TermsDirectory::parse(&bytes).map_err(|bad| self.corruption(&bad, at, 0..self.rows()))?;
        let pages = self.footer.section(SectionId::TermPages).map_or(0, |section| section.stored);
        if parsed.rows() != self.rows() || parsed.pages_bytes() != pages {
            let expected = format!("the terms of {} rows in {pages} bytes", self.rows());
            let found = format!("{} rows in {} bytes", parsed.rows(), parsed.pages_bytes());
            return Err(self.damage(at, expected, found, 0..self.rows()));
        }
        Ok(self.terms.get_or_init(|| parsed))
    }

    /// The file in memory, for the term index and its filter.
    pub(super) fn mapping(&self) -> Result<&dyn Mapping> {
        if let Some(mapping) = self.mapping.get() {
            return Ok(&**mapping);
        }
        let file = self.file()?;
        let mapping = file
            .map(self.file_bytes())
            .map_err(|error| Error::io(format_args!("map {}", self.path.display()), error))?;
        mapping.publish(self.file_bytes());
        Ok(&**self.mapping.get_or_init(|| mapping))
    }

    pub(crate) fn block_entry(&self, block: u32) -> Result<BlockEntry> {
        let missing = || self.damage(0, format!("block {block}"), "none", 0..self.rows());
        self.blocks()?.get(block).ok_or_else(missing)
    }

    /// A block's head, from the shelf or the file.
    pub(crate) fn block(&self, block: u32) -> Result<Arc<Block>> {
        if let Some(found) = self.shelf.head(self.name, block) {
            return Ok(found);
        }
        let read = Arc::new(self.read_block(block)?);
        self.shelf.keep(self.name, block, u32::MAX, Piece::Head(Arc::clone(&read)));
        Ok(read)
    }

    /// A block's head from the file, checked, and not kept.
    pub(crate) fn read_block(&self, block: u32) -> Result<Block> {
        let entry = self.block_entry(block)?;
        let rows = self.rows_range(block);
        let head =
            self.read_checked(entry.head_at, entry.head_len as usize, entry.head_crc, "a block", rows.clone())?;
        let facts = BlockFacts { log: self.footer.log, base: self.position(rows.start), rows: rows.end - rows.start };
        Block::parse(head.into_boxed_slice(), facts, Arc::clone(self.dictionary()?))
            .map_err(|bad| self.corruption(&bad, entry.head_at, rows))
    }

    /// A payload page of a block, from the shelf or the file.
    pub(crate) fn page(&self, number: u32, block: &Block, page: u32) -> Result<Arc<Vec<u8>>> {
        if let Some(found) = self.shelf.page(self.name, number, page) {
            return Ok(found);
        }
        let mut raw = Vec::new();
        self.read_page(number, block, page, &mut raw)?;
        let raw = Arc::new(raw);
        self.shelf.keep(self.name, number, page, Piece::Page(Arc::clone(&raw)));
        Ok(raw)
    }

    /// A payload page from the file, checked and unpacked, and not kept.
    pub(crate) fn read_page(&self, number: u32, block: &Block, page: u32, raw: &mut Vec<u8>) -> Result<()> {
        let rows = self.rows_range(number);
        let missing = || self.damage(0, format!("page {page} of block {number}"), "none", rows.clone());
        let entry: PageEntry = block.page(page).ok_or_else(missing)?;
        if entry.stored as usize > page::PAGE_RAW_MAX {
            return Err(self.damage(entry.offset, "a page within the file", entry.stored.to_string(), rows));
        }
        let file = if self.footer.archived { self.whole_file(&rows)? } else { self.file()? };
        let (at, len) = (entry.offset, entry.stored as usize);
        let stored = self.read_checked_from(&*file, at, len, entry.crc, "a page", rows.clone())?;
        page::decode(&stored, entry.raw as usize, self.payload_dictionary()?, raw)
            .map_err(|bad| self.corruption(&bad, entry.offset, rows))
    }

    /// Reads and checks everything that is not a block or a payload page: directory, strings, dictionary, filter, and
    /// every page of the term index.
    pub(crate) fn check_parts(&self) -> Result<()> {
        self.blocks()?;
        self.dictionary()?;
        self.payload_dictionary()?;
        self.check_terms()
    }

    /// Reads and checks every block and payload page. `each` is told how many bytes are done, about.
    pub(crate) fn check_blocks(&self, each: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        let mut raw = Vec::new();
        for number in 0..self.footer.blocks {
            let block = self.read_block(number)?;
            for page in (0..block.page_count()).filter(|_| !self.footer.archived) {
                self.read_page(number, &block, page, &mut raw)?;
            }
            each(u64::from(number + 1) * self.file_bytes() / u64::from(self.footer.blocks))?;
        }
        Ok(())
    }

    /// A block's entry and the bytes of its head.
    pub(crate) fn head_bytes(&self, number: u32) -> Result<(BlockEntry, Vec<u8>)> {
        let entry = self.block_entry(number)?;
        let rows = self.rows_range(number);
        let head = self.read_checked(entry.head_at, entry.head_len as usize, entry.head_crc, "a block", rows)?;
        Ok((entry, head))
    }

    /// A section's bytes as they stand in the file, checked.
    pub(crate) fn stored_section(&self, section: &Section) -> Result<Vec<u8>> {
        let what = format!("section {}", section.id);
        self.read_checked(section.offset, section.stored as usize, section.crc, &what, 0..self.rows())
    }
}
