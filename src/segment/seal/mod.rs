//! Making a sealed segment of a raw one: two passes over the raw frames, every one of them checked,
//! and one over the new file to read it back.
//!
//! Pass one learns what the strings, ids and payloads are like, pass two writes block after block.
//! What is held meanwhile is one block, the sample, the dictionary and the terms: bounded by the
//! segment, not by the log.

mod plan;
mod row_terms;
pub(crate) mod stub;

use std::io::IoSlice;

pub(crate) use row_terms::RowTerms;

use plan::{PayloadPlan, SAMPLE_BLOCKS, SAMPLE_BYTES, cut_pages, packed_dictionary, zstd_failed};

use super::raw::RawSegment;
use crate::error::{Error, ErrorKind, Result};
use crate::format::leaf::{LeafHasher, Tree};
use crate::format::sealed::BLOCK_ROWS;
use crate::format::sealed::block::{self, PageEntry, Row, payload_order};
use crate::format::sealed::blocks::{BlockEntry, type_bit};
use crate::format::sealed::dictionary::{Dictionary, DictionaryBuilder};
use crate::format::sealed::envelope::{SealedHeader, TAIL_BYTES, Tail};
use crate::format::sealed::footer::{Footer, Section, SectionId};
use crate::format::sealed::page::PageEncoder;
use crate::format::term::{Dimension, TermHasher};
use crate::io::File;
use crate::position::Position;
use crate::time::Timestamp;

const BUFFER_BYTES: usize = 1 << 20;

/// What is decided outside.
#[derive(Debug, Clone)]
pub(crate) struct SealOptions {
    /// zstd level of payload pages and texts.
    pub(crate) level: i32,
    pub(crate) sealed_at: Timestamp,
}

/// Writes the sealed form of everything that a raw segment has published. `before` is the tree over
/// all events before it. The file is not synced.
///
/// # Errors
/// `Corruption` of the raw segment; `Io`, `Full` of the new file.
pub(crate) fn write(
    raw: &RawSegment,
    hasher: TermHasher,
    before: &Tree,
    options: &SealOptions,
    file: &dyn File,
    go_on: &dyn Fn() -> bool,
) -> Result<Footer> {
    let learnt = learn(raw)?;
    let plan = PayloadPlan::choose(&learnt.sample, learnt.data_bytes, options.level)?;
    let encoder_dictionary = plan.encoder_dictionary();
    let encoder = PageEncoder::new(plan.level, encoder_dictionary.as_ref()).map_err(zstd_failed)?;
    let header =
        SealedHeader { log: raw.header.log, base: raw.base(), block_rows: BLOCK_ROWS, sealed_at: options.sealed_at };
    let mut out = Out::new(file);
    out.put(&header.encode())?;
    let mut writer = Writer {
        hasher,
        dictionary: &learnt.dictionary,
        by_subject: plan.by_subject,
        page_bytes: plan.page_bytes,
        encoder,
        out,
        row: 0,
        directory: Vec::new(),
        terms: RowTerms::new(hasher),
        leaves: LeafHasher::default(),
        tree: before.clone(),
        epochs: Vec::new(),
        recorded: (i64::MAX, i64::MIN),
        occurred: (i64::MAX, i64::MIN),
        head: Vec::new(),
    };
    let mut rows = Vec::with_capacity(BLOCK_ROWS as usize);
    raw.for_each_row(&mut |row| {
        rows.push(row);
        if rows.len() == BLOCK_ROWS as usize {
            if !go_on() {
                return Err(Error::new(ErrorKind::Closed, "sealing was stopped"));
            }
            writer.block(&rows)?;
            rows.clear();
        }
        Ok(())
    })?;
    if !rows.is_empty() {
        writer.block(&rows)?;
    }
    let footer = Footer {
        log: raw.header.log,
        base: raw.base(),
        count: u64::from(writer.row),
        recorded: writer.recorded,
        occurred: writer.occurred,
        frame_bytes: raw.end() - crate::format::frame::FIRST_OFFSET,
        data_bytes: learnt.data_bytes,
        group_seq: raw.last_group_seq()?,
        blocks: writer.row.div_ceil(BLOCK_ROWS),
        mode: raw.header.mode,
        by_subject: plan.by_subject,
        archived: false,
        epochs: std::mem::take(&mut writer.epochs),
        before: before.clone(),
        after: writer.tree.clone(),
        sections: Vec::new(),
    };
    writer.finish(footer, &plan)
}

/// What the first pass learns.
struct Learnt<'a> {
    dictionary: Dictionary,
    sample: Vec<Vec<Row<'a>>>,
    data_bytes: u64,
}

fn learn(raw: &RawSegment) -> Result<Learnt<'_>> {
    let blocks = raw.rows().div_ceil(BLOCK_ROWS);
    let stride = blocks.div_ceil(SAMPLE_BLOCKS).max(1);
    let mut builder = DictionaryBuilder::new();
    let (mut sample, mut sampled, mut data_bytes, mut number) = (Vec::new(), 0, 0, 0);
    raw.for_each_row(&mut |row: Row<'_>| {
        builder.add(&row.event);
        let bytes = row.event.data().len();
        data_bytes += bytes as u64;
        let block = number / BLOCK_ROWS;
        if block.is_multiple_of(stride) && sampled < SAMPLE_BYTES {
            if number % BLOCK_ROWS == 0 || sample.is_empty() {
                sample.push(Vec::new());
            }
            if let Some(rows) = sample.last_mut() {
                rows.push(row);
            }
            sampled += bytes;
        }
        number += 1;
        Ok(())
    })?;
    Ok(Learnt { dictionary: builder.finish(), sample, data_bytes })
}

/// A file that is written from front to back.
struct Out<'f> {
    file: &'f dyn File,
    /// Where the buffer begins in the file.
    offset: u64,
    buffer: Vec<u8>,
}

impl<'f> Out<'f> {
    fn new(file: &'f dyn File) -> Out<'f> {
        Out { file, offset: 0, buffer: Vec::with_capacity(BUFFER_BYTES + (64 << 10)) }
    }

    fn at(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.file
            .write_all_at(&mut [IoSlice::new(&self.buffer)], self.offset)
            .map_err(|error| Error::io("write a sealed segment", error))?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Puts a section, and says where it stands.
    fn section(
        &mut self,
        id: SectionId,
        required: bool,
        stored: &[u8],
        raw: Option<u64>,
        count: u64,
    ) -> Result<Section> {
        let section = Section {
            id: id as u16,
            required,
            compressed: raw.is_some(),
            offset: self.at(),
            stored: stored.len() as u64,
            raw: raw.unwrap_or(stored.len() as u64),
            count,
            crc: crc32fast::hash(stored),
        };
        self.put(stored)?;
        Ok(section)
    }

    /// Puts footer and tail, and writes what is left.
    fn end(&mut self, footer: &Footer) -> Result<()> {
        let (footer_at, bytes) = (self.at(), footer.encode());
        self.put(&bytes)?;
        let tail = Tail {
            footer_at,
            footer_len: bytes.len() as u32,
            footer_crc: crc32fast::hash(&bytes),
            file_len: footer_at + bytes.len() as u64 + TAIL_BYTES as u64,
            log: footer.log,
            base: footer.base,
        };
        self.put(&tail.encode())?;
        self.flush()
    }
}

struct Writer<'w> {
    hasher: TermHasher,
    dictionary: &'w Dictionary,
    by_subject: bool,
    page_bytes: usize,
    encoder: PageEncoder<'w>,
    out: Out<'w>,
    row: u32,
    directory: Vec<u8>,
    terms: RowTerms,
    leaves: LeafHasher,
    tree: Tree,
    epochs: Vec<(Position, u64)>,
    recorded: (i64, i64),
    occurred: (i64, i64),
    head: Vec<u8>,
}

fn widen(range: &mut (i64, i64), value: i64) {
    *range = (range.0.min(value), range.1.max(value));
}

impl Writer<'_> {
    fn block(&mut self, rows: &[Row<'_>]) -> Result<()> {
        let pages_at = self.out.at();
        let order = payload_order(rows, self.by_subject);
        let mut pages = Vec::new();
        let mut stored = Vec::new();
        for page in cut_pages(rows, &order, self.page_bytes) {
            stored.clear();
            self.encoder.encode(&page.raw, &mut stored).map_err(zstd_failed)?;
            pages.push(PageEntry {
                first_rank: page.first_rank,
                offset: self.out.at(),
                stored: stored.len() as u32,
                raw: page.raw.len() as u32,
                crc: crc32fast::hash(&stored),
            });
            self.out.put(&stored)?;
        }
        self.head.clear();
        block::encode(rows, self.dictionary, self.by_subject, pages_at, &pages, &mut self.head).map_err(|bad| {
            Error::invalid(format!("a block cannot be sealed: expected {}, found {}", bad.expected, bad.found))
        })?;
        let mut entry = BlockEntry {
            head_at: self.out.at(),
            head_len: self.head.len() as u32,
            head_crc: crc32fast::hash(&self.head),
            recorded: (i64::MAX, i64::MIN),
            occurred: (i64::MAX, i64::MIN),
            types: 0,
        };
        self.out.put(&self.head)?;
        for row in rows {
            self.row(row, &mut entry);
        }
        for (whole, block) in [(&mut self.recorded, entry.recorded), (&mut self.occurred, entry.occurred)] {
            *whole = (whole.0.min(block.0), whole.1.max(block.1));
        }
        entry.encode(&mut self.directory);
        Ok(())
    }

    fn row(&mut self, row: &Row<'_>, entry: &mut BlockEntry) {
        let (event, hasher, number) = (&row.event, self.hasher, self.row);
        widen(&mut entry.recorded, event.recorded_at().as_nanos());
        widen(&mut entry.occurred, event.occurred_at().as_nanos());
        entry.types |= type_bit(hasher.hash(Dimension::Type, event.event_type().as_bytes()));
        if self.epochs.last().is_none_or(|(_, epoch)| *epoch != event.epoch()) {
            self.epochs.push((event.position(), event.epoch()));
        }
        self.tree.push(self.leaves.leaf(event, &row.batch));
        self.terms.add(row, number, self.dictionary);
        self.row += 1;
    }

    fn finish(self, mut footer: Footer, plan: &PayloadPlan) -> Result<Footer> {
        let Writer { mut out, directory, terms, dictionary, row, .. } = self;
        let refused =
            |bad: Box<crate::format::Bad>| Error::invalid(format!("expected {}, found {}", bad.expected, bad.found));
        let terms = terms.finish(row).map_err(refused)?;
        let mut strings = Vec::new();
        dictionary.encode(&mut strings);
        let packed = zstd::bulk::compress(&strings, plan.level).map_err(zstd_failed)?;
        let sections = &mut footer.sections;
        let blocks = u64::from(footer.blocks);
        sections.push(out.section(SectionId::Blocks, true, &directory, None, blocks)?);
        let strings_len = strings.len() as u64;
        sections.push(out.section(SectionId::Dictionary, true, &packed, Some(strings_len), 1)?);
        sections.push(out.section(SectionId::TermPages, true, &terms.pages, None, terms.entries)?);
        sections.push(out.section(SectionId::TermDirectory, true, &terms.directory, None, terms.entries)?);
        if let Some(filter) = &terms.filter {
            sections.push(out.section(SectionId::Filter, false, filter, None, terms.entries)?);
        }
        if !plan.dictionary.is_empty() {
            let (stored, len) = (packed_dictionary(&plan.dictionary)?, plan.dictionary.len() as u64);
            sections.push(out.section(SectionId::PayloadDictionary, true, &stored, Some(len), 1)?);
        }
        out.end(&footer)?;
        Ok(footer)
    }
}
