//! A sealed segment, part by part. Where the tail or the footer is damaged, what they say is taken as
//! it stands as long as it makes sense, so that as many parts as can be are found and checked.

use std::io;
use std::sync::Arc;

use serde::Serialize;
use zstd::dict::DecoderDictionary;

use super::pages::page;
use super::{FIRST_FRAMES, Inspection, LAST_FRAMES, PageState, Problem, is_temporary, read};
use crate::event::LogId;
use crate::format::bytes::{array, u16_at, u32_at, u64_at};
use crate::format::leaf::DIGEST_BYTES;
use crate::format::sealed::block::{Block, BlockFacts, PageEntry};
use crate::format::sealed::blocks::{BlockEntry, Blocks};
use crate::format::sealed::dictionary::Dictionary;
use crate::format::sealed::envelope::{FOOTER_MAX, HEADER_BYTES, SealedHeader, TAIL_BYTES, Tail};
use crate::format::sealed::footer::{FIXED_BYTES, Footer, MAGIC, SECTION_BYTES, Section, SectionId};
use crate::format::sealed::terms::{TermsDirectory, TermsPage, parse_filter};
use crate::format::sealed::{BLOCK_ROWS, page as payload};
use crate::format::{Bad, Parsed, Read, layout};
use crate::io::File;
use crate::log::files::LogFile;
use crate::position::Position;
use crate::time::Timestamp;

/// Of a longer section, or head, only the CRC is checked.
const HELD_MAX: u64 = 256 << 20;
/// Raw lengths that a compressed section may declare.
const RAW_MAX: u64 = 8 << 20;
/// Bytes that are read at once for a CRC.
const CHUNK_BYTES: u64 = 1 << 20;

/// The parts of a sealed segment. Where not all blocks are shown, `first` and `last` are those at
/// both ends.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct SealedView {
    /// Events in the blocks whose heads are good.
    pub events: u64,
    /// Blocks that the directory names.
    pub blocks: u64,
    /// Those of them whose heads are bad.
    pub bad_blocks: u64,
    /// Payload pages that the heads name. Those of an archived segment stand in another file, and
    /// are not looked at.
    pub pages: u64,
    /// Those of them that are bad.
    pub bad_pages: u64,
    /// Bytes of the pages as they are stored.
    pub page_bytes: u64,
    /// Bytes of the data in the pages.
    pub data_bytes: u64,
    /// Pages of the term index.
    pub term_pages: u64,
    /// Those of them that are bad.
    pub bad_term_pages: u64,
    /// Entries in the good ones.
    pub term_entries: u64,
    /// First position and epoch of each run of events of one epoch.
    pub epochs: Vec<(Position, u64)>,
    /// Where its whole file went, if it is archived.
    pub archive: Option<String>,
    /// The sections that the footer names.
    pub sections: Vec<SectionView>,
    /// The first blocks; all of them if `left_out` is 0.
    pub first: Vec<BlockView>,
    /// How many blocks between `first` and `last` are not shown.
    pub left_out: u64,
    /// The last blocks.
    pub last: Vec<BlockView>,
}

/// A section, as the footer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SectionView {
    /// The number of what it holds.
    pub id: u16,
    /// What that is; empty where it is not known.
    pub name: &'static str,
    /// Where it begins.
    pub offset: u64,
    /// Its length in the file.
    pub bytes: u64,
    /// Its length once it is unpacked.
    pub raw_bytes: u64,
    /// How many there are of what it holds.
    pub count: u64,
    /// Whether a reader has to know it.
    pub required: bool,
    /// Whether its CRC holds.
    pub good: bool,
}

/// One block, as the directory and its head say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BlockView {
    /// Where its head begins.
    pub offset: u64,
    /// Length of the head.
    pub bytes: u64,
    /// Position of its first event.
    pub first: Position,
    /// Position of its last event.
    pub last: Position,
    /// The least and the greatest time when its events were recorded.
    pub recorded: (Timestamp, Timestamp),
    /// The least and the greatest time when they occurred.
    pub occurred: (Timestamp, Timestamp),
    /// Payload pages that the head names; none where it makes no sense.
    pub pages: u32,
    /// Their bytes as they are stored.
    pub page_bytes: u64,
    /// How many of them are bad.
    pub bad_pages: u32,
    /// What is wrong with the head.
    pub problem: Option<String>,
}

/// What the two ends say.
pub(super) struct Ends {
    header: Option<SealedHeader>,
    pub(super) footer: Footer,
    footer_at: u64,
}

impl Ends {
    /// In a few words, for a list of files.
    pub(super) fn summary(&self) -> String {
        let Footer { base, count, archived, .. } = &self.footer;
        let mode = match self.footer.mode {
            crate::format::header::Mode::Synced => "synced",
            crate::format::header::Mode::Written => "written",
        };
        let sealed = self.header.map_or_else(String::new, |header| format!(", sealed {}", header.sealed_at));
        let archived = if *archived { ", archived" } else { "" };
        format!("from position {base} on, {count} events, {mode}{sealed}{archived}")
    }
}

fn as_read<T>(parsed: Parsed<T>) -> Read<T> {
    match parsed {
        Ok(value) => Read::Valid(value),
        Err(bad) => Read::Bad(bad),
    }
}

/// Header, tail and footer; `None` where no footer makes sense.
pub(super) fn ends(inspection: &mut Inspection, file: &dyn File, name: &str) -> io::Result<Option<Ends>> {
    if is_temporary(name) {
        inspection.notes.push("unfinished work, which the next writer removes".to_owned());
    }
    let (len, least) = (inspection.bytes, (HEADER_BYTES + TAIL_BYTES) as u64);
    let head = read(file, 0, HEADER_BYTES)?;
    let header = page(inspection, "header", 0, layout::SEALED_HEADER, &head, SealedHeader::read(&head));
    let named = match LogFile::parse(name.get(..24).unwrap_or_default()) {
        LogFile::Sealed(base) => Some(base),
        _ => None,
    };
    if let Some((header, named)) = header.zip(named).filter(|(header, named)| header.base != *named) {
        let expected = format!("base position {named}, as the name says");
        inspection.problem(Problem::new("header", 40, expected, header.base.to_string()));
    }
    if len < least {
        let found = format!("the end after {len} bytes");
        inspection.problem(Problem::new("file", len, format!("header and tail, {least} bytes"), found));
        return Ok(None);
    }
    let tail_at = len - TAIL_BYTES as u64;
    let end = read(file, tail_at, TAIL_BYTES)?;
    let tail = page(inspection, "tail", tail_at, layout::SEALED_TAIL, &end, as_read(Tail::read(&end, len)));
    if let Some((header, tail)) =
        header.zip(tail).filter(|(header, tail)| (header.log, header.base) != (tail.log, tail.base))
    {
        let expected = format!("base position {} of log {}", header.base, header.log);
        let found = format!("base position {} of log {}", tail.base, tail.log);
        inspection.problem(Problem::new("tail", tail_at + 32, expected, found));
    }
    // Whatever is whole says which segment it is; else the header as it stands.
    let of_tail = || tail.map(|tail| (tail.log, tail.base));
    let as_it_stands = || Some((LogId(array(&head, 24)?), Position::new(u64_at(&head, 40)?)));
    let this = header.map(|header| (header.log, header.base)).or_else(of_tail).or_else(as_it_stands);
    let Some((log, base)) = this.filter(|(_, base)| base.get() > 0) else { return Ok(None) };
    let found = match tail {
        Some(tail) => Some((tail.footer_at, read(file, tail.footer_at, tail.footer_len as usize)?)),
        None => find_footer(file, len, base)?,
    };
    let Some((footer_at, bytes)) = found else {
        inspection.notes.push("there is no footer to be found, which says where everything else stands".to_owned());
        return Ok(None);
    };
    // A tail that is bad may still have the right one.
    let (crc, stored) = (crc32fast::hash(&bytes), u32_at(&end, 20).unwrap_or_default());
    let parsed = match crc == stored {
        true => as_read(Footer::parse(&bytes, log, base, footer_at)),
        false => Read::Bad(Bad::new(0, format!("a footer of CRC {stored:08x}"), format!("CRC {crc:08x}"))),
    };
    let footer = page(inspection, "footer", footer_at, layout::SEALED_FOOTER, &bytes, parsed);
    let is_believed = footer.is_some();
    let footer = footer.or_else(|| Footer::parse(&bytes, log, base, footer_at).ok());
    if footer.is_some() && !is_believed {
        inspection.notes.push("the footer is bad; what it says is taken as it stands".to_owned());
    }
    Ok(footer.map(|footer| Ends { header, footer, footer_at }))
}

/// The last place before the end where a whole footer could stand.
fn find_footer(file: &dyn File, len: u64, base: Position) -> io::Result<Option<(u64, Vec<u8>)>> {
    let from = len.saturating_sub(u64::from(FOOTER_MAX) + TAIL_BYTES as u64);
    let bytes = read(file, from, (len - from) as usize)?;
    let whole = |at: &usize| {
        let rest = bytes.get(*at..)?;
        let end = base.get().checked_add(u64_at(rest, 8)?)?;
        let peaks = (base.get() - 1).count_ones() + (end - 1).count_ones();
        let (epochs, sections) = (u16_at(rest, 78)?, u16_at(rest, 80)?);
        let len = FIXED_BYTES
            + 16 * usize::from(epochs)
            + DIGEST_BYTES * peaks as usize
            + SECTION_BYTES * usize::from(sections);
        Some((from + *at as u64, rest.get(..len)?.to_vec()))
    };
    let places = bytes.windows(MAGIC.len()).enumerate().filter(|(_, bytes)| *bytes == MAGIC);
    Ok(places.map(|(at, _)| at).collect::<Vec<_>>().iter().rev().find_map(whole))
}

/// Every part of the file.
pub(super) fn inspect(inspection: &mut Inspection, file: &dyn File, name: &str, all: bool) -> io::Result<()> {
    let Some(ends) = ends(inspection, file, name)? else { return Ok(()) };
    let view = SealedView { epochs: ends.footer.epochs.clone(), ..SealedView::default() };
    let mut walk = Walk { inspection, file, ends, view, all };
    walk.sections()?;
    walk.archive()?;
    walk.blocks()?;
    walk.terms()?;
    let view = walk.view;
    inspection.sealed = Some(view);
    Ok(())
}

struct Walk<'i> {
    inspection: &'i mut Inspection,
    file: &'i dyn File,
    ends: Ends,
    view: SealedView,
    all: bool,
}

/// CRC-32 of some bytes of the file; `None` if it ends before they do.
fn crc_of(file: &dyn File, offset: u64, len: u64) -> io::Result<Option<u32>> {
    let (mut hasher, mut done) = (crc32fast::Hasher::new(), 0);
    while done < len {
        let some = (len - done).min(CHUNK_BYTES);
        let bytes = read(file, offset + done, some as usize)?;
        if (bytes.len() as u64) < some {
            return Ok(None);
        }
        hasher.update(&bytes);
        done += some;
    }
    Ok(Some(hasher.finalize()))
}

fn name_of(id: u16) -> &'static str {
    const NAMES: [(SectionId, &str); 8] = [
        (SectionId::Blocks, "block directory"),
        (SectionId::Dictionary, "segment dictionary"),
        (SectionId::TermPages, "term pages"),
        (SectionId::TermDirectory, "term directory"),
        (SectionId::Filter, "filter"),
        (SectionId::PayloadDictionary, "dictionary of the payload pages"),
        (SectionId::Archive, "archive"),
        (SectionId::DataDigests, "digests of the data"),
    ];
    NAMES.iter().find(|(known, _)| *known as u16 == id).map_or("", |(_, name)| name)
}

impl Walk<'_> {
    fn problem(&mut self, what: impl Into<String>, at: u64, len: u64, bad: &Bad) {
        let mut problem = Problem::of(what, bad);
        problem.offset += at;
        problem.bytes = Some(len).filter(|len| *len > 0);
        self.inspection.problem(problem);
    }

    fn section_named(&self, id: SectionId) -> Option<Section> {
        self.ends.footer.section(id).copied()
    }

    fn sections(&mut self) -> io::Result<()> {
        for section in self.ends.footer.sections.clone() {
            let crc = crc_of(self.file, section.offset, section.stored)?;
            let name = name_of(section.id);
            self.view.sections.push(SectionView {
                id: section.id,
                name,
                offset: section.offset,
                bytes: section.stored,
                raw_bytes: section.raw,
                count: section.count,
                required: section.required,
                good: crc == Some(section.crc),
            });
            if crc != Some(section.crc) {
                let found = crc.map_or_else(|| "the end of the file".to_owned(), |crc| format!("CRC {crc:08x}"));
                let bad = Bad::new(0, format!("a section of CRC {:08x}", section.crc), found);
                self.problem(format!("section {} {name}", section.id).trim_end(), section.offset, section.stored, &bad);
            }
        }
        Ok(())
    }

    /// The raw bytes of a section, as far as they can be had; `None` if there is none.
    fn held(&mut self, id: SectionId) -> io::Result<Option<(Section, Vec<u8>)>> {
        let Some(section) = self.section_named(id) else { return Ok(None) };
        if section.stored > HELD_MAX || (section.compressed && section.raw > RAW_MAX) {
            self.inspection.notes.push(format!("{}: too large to be looked into", name_of(section.id)));
            return Ok(None);
        }
        let stored = read(self.file, section.offset, section.stored as usize)?;
        if !section.compressed {
            return Ok(Some((section, stored)));
        }
        let mut raw = Vec::new();
        match payload::unpack(&stored, section.raw as usize, None, &mut raw) {
            Ok(()) => Ok(Some((section, raw))),
            Err(bad) => {
                self.problem(name_of(section.id), section.offset, section.stored, &bad);
                Ok(None)
            }
        }
    }

    fn archive(&mut self) -> io::Result<()> {
        if let Some((_, bytes)) = self.held(SectionId::Archive)? {
            self.view.archive = Some(crate::time::one_line(&String::from_utf8_lossy(&bytes), 4096));
        }
        if !self.ends.footer.archived {
            return Ok(());
        }
        self.inspection.notes.push("it is archived: its payload pages stand in another file".to_owned());
        let Some(section) = self.section_named(SectionId::DataDigests) else { return Ok(()) };
        let mut at = section.offset;
        for number in 0..self.ends.footer.blocks {
            let len = u64::from(self.rows_of(number)) * DIGEST_BYTES as u64;
            let crc = crc_of(self.file, at, len)?;
            let stored = u32_at(&read(self.file, at + len, 4)?, 0);
            if crc.is_none() || crc != stored {
                let bad = Bad::new(0, "digests and their CRC", "others");
                self.problem(format!("digests of block {number}"), at, len + 4, &bad);
            }
            at += len + 4;
        }
        Ok(())
    }

    fn rows_of(&self, number: u32) -> u32 {
        let before = u64::from(number) * u64::from(BLOCK_ROWS);
        self.ends.footer.count.saturating_sub(before).min(u64::from(BLOCK_ROWS)) as u32
    }

    fn dictionary(&mut self) -> io::Result<Option<Arc<Dictionary>>> {
        let Some((section, bytes)) = self.held(SectionId::Dictionary)? else { return Ok(None) };
        match Dictionary::parse(&bytes) {
            Ok(dictionary) => Ok(Some(Arc::new(dictionary))),
            Err(bad) => {
                // Offsets are those of unpacked bytes.
                let what = format!("segment dictionary, byte {} of it", bad.offset);
                self.problem(what, section.offset, section.stored, &Bad { offset: 0, ..*bad });
                Ok(None)
            }
        }
    }

    fn payload_dictionary(&mut self) -> io::Result<Option<DecoderDictionary<'static>>> {
        let Some((section, bytes)) = self.held(SectionId::PayloadDictionary)? else { return Ok(None) };
        match DecoderDictionary::try_copy(&bytes) {
            Ok(dictionary) => Ok(Some(dictionary)),
            Err(error) => {
                let bad = Bad::new(0, "a dictionary of zstd", error.to_string());
                self.problem(name_of(section.id), section.offset, section.stored, &bad);
                Ok(None)
            }
        }
    }

    fn blocks(&mut self) -> io::Result<()> {
        let dictionary = self.dictionary()?;
        let payload_dictionary = self.payload_dictionary()?;
        let Some((section, bytes)) = self.held(SectionId::Blocks)? else {
            let bad = Bad::new(0, "a block directory", "none");
            let at = self.ends.footer_at;
            self.problem("block directory", at, 0, &bad);
            return Ok(());
        };
        let blocks = match Blocks::parse(bytes.into_boxed_slice(), self.ends.footer.blocks, self.ends.footer_at) {
            Ok(blocks) => blocks,
            Err(bad) => {
                self.problem("block directory", section.offset, 0, &bad);
                return Ok(());
            }
        };
        let count = blocks.len();
        if self.view.sections.iter().any(|view| view.id == section.id && !view.good) {
            self.inspection.notes.push("the block directory is bad; what it says is taken as it stands".to_owned());
        }
        self.view.blocks = u64::from(count);
        for number in 0..count {
            let Some(entry) = blocks.get(number) else { continue };
            let view = self.block(number, &entry, dictionary.as_ref(), payload_dictionary.as_ref())?;
            if self.all || number < FIRST_FRAMES as u32 {
                self.view.first.push(view);
            } else if number + LAST_FRAMES as u32 >= count {
                self.view.last.push(view);
            } else {
                self.view.left_out += 1;
            }
        }
        Ok(())
    }

    fn block(
        &mut self,
        number: u32,
        entry: &BlockEntry,
        dictionary: Option<&Arc<Dictionary>>,
        payload_dictionary: Option<&DecoderDictionary<'_>>,
    ) -> io::Result<BlockView> {
        let rows = self.rows_of(number);
        let first = self.ends.footer.base.get() + u64::from(number) * u64::from(BLOCK_ROWS);
        let times = |(least, greatest): (i64, i64)| (Timestamp::from_nanos(least), Timestamp::from_nanos(greatest));
        let mut view = BlockView {
            offset: entry.head_at,
            bytes: u64::from(entry.head_len),
            first: Position::new(first),
            last: Position::new(first + u64::from(rows.max(1)) - 1),
            recorded: times(entry.recorded),
            occurred: times(entry.occurred),
            pages: 0,
            page_bytes: 0,
            bad_pages: 0,
            problem: None,
        };
        let head = read(self.file, entry.head_at, entry.head_len as usize)?;
        let crc = crc32fast::hash(&head);
        let held = match crc == entry.head_crc {
            true => Ok(()),
            false => Err(Bad::new(0, format!("a head of CRC {:08x}", entry.head_crc), format!("CRC {crc:08x}"))),
        };
        let facts = BlockFacts { log: self.ends.footer.log, base: Position::new(first), rows };
        // What a dictionary that is bad said is not missed but by strings of the block.
        let parsed = dictionary.map(|dictionary| Block::parse(head.into_boxed_slice(), facts, Arc::clone(dictionary)));
        let parsed = match (held, parsed) {
            (Err(bad), parsed) => (parsed.and_then(Result::ok), Some(bad)),
            (Ok(()), Some(Err(bad))) => (None, Some(bad)),
            (Ok(()), Some(Ok(block))) => (Some(block), None),
            (Ok(()), None) => (None, None),
        };
        if let Some(bad) = &parsed.1 {
            self.view.bad_blocks += 1;
            view.problem = Some(format!("expected {}, found {}", bad.expected, bad.found));
            self.problem(format!("block {number}"), entry.head_at, view.bytes, bad);
        } else {
            self.view.events += u64::from(rows);
        }
        let Some(block) = parsed.0 else { return Ok(view) };
        for index in 0..block.page_count() {
            let Some(page) = block.page(index) else { continue };
            view.pages += 1;
            view.page_bytes += u64::from(page.stored);
            self.view.data_bytes += u64::from(page.raw);
            if self.ends.footer.archived {
                continue;
            }
            if let Err(bad) = self.check_page(&page, payload_dictionary)? {
                view.bad_pages += 1;
                let what = format!("page {index} of block {number}");
                self.problem(what, page.offset, u64::from(page.stored), &Bad { offset: 0, ..*bad });
            }
        }
        self.view.pages += u64::from(view.pages);
        self.view.page_bytes += view.page_bytes;
        self.view.bad_pages += u64::from(view.bad_pages);
        Ok(view)
    }

    fn check_page(&self, page: &PageEntry, dictionary: Option<&DecoderDictionary<'_>>) -> io::Result<Parsed<()>> {
        let within = page.offset.checked_add(u64::from(page.stored)).is_some_and(|end| end <= self.ends.footer_at);
        if !within || page.stored as usize > payload::PAGE_RAW_MAX {
            return Ok(Err(Bad::new(0, "a page before the footer", format!("one of {} bytes", page.stored))));
        }
        let stored = read(self.file, page.offset, page.stored as usize)?;
        let crc = crc32fast::hash(&stored);
        if crc != page.crc {
            return Ok(Err(Bad::new(0, format!("a page of CRC {:08x}", page.crc), format!("CRC {crc:08x}"))));
        }
        // Without its dictionary a page is not what it was.
        if dictionary.is_none() && self.section_named(SectionId::PayloadDictionary).is_some() {
            return Ok(Ok(()));
        }
        Ok(payload::decode(&stored, page.raw as usize, dictionary, &mut Vec::new()))
    }

    fn terms(&mut self) -> io::Result<()> {
        let directory = match self.held(SectionId::TermDirectory)? {
            None => None,
            Some((section, bytes)) => {
                let parsed = as_read(TermsDirectory::parse(&bytes));
                page(self.inspection, "term directory", section.offset, layout::TERM_DIRECTORY, &bytes, parsed)
            }
        };
        if let Some((section, bytes)) = self.held(SectionId::Filter)? {
            let parsed = as_read(parse_filter(&bytes));
            page(self.inspection, "filter", section.offset, layout::TERM_FILTER, &bytes, parsed);
        }
        let Some((directory, section)) = directory.zip(self.section_named(SectionId::TermPages)) else {
            return Ok(());
        };
        for number in 0..directory.page_count() {
            let place = directory.place(number);
            let (at, len) = (section.offset + place.start, place.end - place.start);
            let bytes = match place.end <= section.stored {
                true => read(self.file, at, len as usize)?,
                false => Vec::new(),
            };
            self.view.term_pages += 1;
            let entries = TermsPage::parse(&bytes, &directory)
                .and_then(|page| page.entries().try_fold(0, |sum, entry| entry.map(|_| sum + 1)));
            match entries {
                Ok(entries) => self.view.term_entries += entries,
                Err(bad) => {
                    self.view.bad_term_pages += 1;
                    self.problem(format!("term page {number}"), at, 0, &bad);
                }
            }
        }
        Ok(())
    }
}

/// The summary of a sealed file in a list.
pub(super) fn summary(head: &mut Inspection, file: &dyn File, name: &str) -> io::Result<Option<String>> {
    let ends = ends(head, file, name)?;
    let is_believed = head.pages.iter().all(|page| page.state == PageState::Valid);
    Ok(ends.filter(|_| is_believed).map(|ends| ends.summary()))
}
