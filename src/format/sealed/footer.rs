//! The footer of a sealed segment: what holds for all of it, and where its sections stand. Its
//! CRC-32 is in the tail.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `ANNALFTR` |
//! | 8 | 8 | number of events, at most 2^23 |
//! | 16 | 8 | least recorded_at |
//! | 24 | 8 | greatest recorded_at |
//! | 32 | 8 | least occurred_at |
//! | 40 | 8 | greatest occurred_at |
//! | 48 | 8 | bytes of the frames that it was made from |
//! | 56 | 8 | bytes of all data |
//! | 64 | 8 | highest group seq of those frames |
//! | 72 | 4 | number of blocks |
//! | 76 | 1 | durability of the raw segment: 1 synced, 2 written |
//! | 77 | 1 | flags: 1 data ordered by subject within a block, 2 archived: the pages stand in another file |
//! | 78 | 2 | number of epoch runs |
//! | 80 | 2 | number of sections |
//! | 82 | 6 | zero |
//! | 88 | | epoch runs `{first position u64, epoch u64}`, ascending; the first begins with the segment |
//! | | | peaks of the tree over all events before the segment: 32 bytes for each one bit of base - 1 |
//! | | | peaks of the tree behind the segment's last event |
//! | | | sections, 48 bytes each |
//!
//! A section: `{id u16, version u16, flags u8 (1: a reader must know it), codec u8 (0 none, 1 zstd),
//! zero u16, offset u64, stored length u64, raw length u64, count u64, CRC-32 of the stored bytes
//! u32, zero u32}`.

use crate::event::LogId;
use crate::format::bytes::{Take, is_zero};
use crate::format::header::Mode;
use crate::format::leaf::{DIGEST_BYTES, Hash, Tree};
use crate::format::{Bad, Parsed};
use crate::position::Position;

pub(crate) const MAGIC: [u8; 8] = *b"ANNALFTR";
pub(crate) const FIXED_BYTES: usize = 88;
pub(crate) const SECTION_BYTES: usize = 48;
const SECTIONS_MAX: usize = 64;
const SECTION_VERSION: u16 = 1;
const REQUIRED: u8 = 1;
const BY_SUBJECT: u8 = 1;
const ARCHIVED: u8 = 2;

/// What a section holds. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub(crate) enum SectionId {
    /// Where each block stands, its times and types.
    Blocks = 1,
    /// Strings and id templates that all blocks refer to.
    Dictionary = 2,
    TermPages = 3,
    TermDirectory = 4,
    Filter = 5,
    /// The zstd dictionary of the payload pages.
    PayloadDictionary = 6,
    /// Of an archived segment: where its whole file went, as text.
    Archive = 7,
    /// Of an archived segment, block by block: SHA-256 of each event's data, then a CRC-32 over these.
    DataDigests = 8,
}

const KNOWN: [SectionId; 8] = [
    SectionId::Blocks,
    SectionId::Dictionary,
    SectionId::TermPages,
    SectionId::TermDirectory,
    SectionId::Filter,
    SectionId::PayloadDictionary,
    SectionId::Archive,
    SectionId::DataDigests,
];

/// Where a section stands. `codec` 1: zstd, so that `raw` bytes come of `stored` ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) id: u16,
    pub(crate) required: bool,
    pub(crate) compressed: bool,
    pub(crate) offset: u64,
    pub(crate) stored: u64,
    pub(crate) raw: u64,
    pub(crate) count: u64,
    pub(crate) crc: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) log: LogId,
    pub(crate) base: Position,
    pub(crate) count: u64,
    pub(crate) recorded: (i64, i64),
    pub(crate) occurred: (i64, i64),
    /// Bytes of the frames that it was made from.
    pub(crate) frame_bytes: u64,
    pub(crate) data_bytes: u64,
    pub(crate) group_seq: u64,
    pub(crate) blocks: u32,
    pub(crate) mode: Mode,
    pub(crate) by_subject: bool,
    pub(crate) archived: bool,
    /// First position and epoch of each run, ascending.
    pub(crate) epochs: Vec<(Position, u64)>,
    /// The tree over everything before the segment, and with it.
    pub(crate) before: Tree,
    pub(crate) after: Tree,
    pub(crate) sections: Vec<Section>,
}

impl Footer {
    /// The position after the last event.
    pub(crate) fn next(&self) -> Position {
        Position::new(self.base.get() + self.count)
    }

    pub(crate) fn section(&self, id: SectionId) -> Option<&Section> {
        self.sections.iter().find(|section| section.id == id as u16)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.count.to_le_bytes());
        for time in [self.recorded.0, self.recorded.1, self.occurred.0, self.occurred.1] {
            out.extend_from_slice(&time.to_le_bytes());
        }
        for number in [self.frame_bytes, self.data_bytes, self.group_seq] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.blocks.to_le_bytes());
        out.push(match self.mode {
            Mode::Synced => 1,
            Mode::Written => 2,
        });
        out.push(if self.by_subject { BY_SUBJECT } else { 0 } | if self.archived { ARCHIVED } else { 0 });
        out.extend_from_slice(&(self.epochs.len() as u16).to_le_bytes());
        out.extend_from_slice(&(self.sections.len() as u16).to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        for (first, epoch) in &self.epochs {
            out.extend_from_slice(&first.get().to_le_bytes());
            out.extend_from_slice(&epoch.to_le_bytes());
        }
        self.before.peaks().iter().chain(self.after.peaks()).for_each(|peak| out.extend_from_slice(peak));
        for section in &self.sections {
            out.extend_from_slice(&section.id.to_le_bytes());
            out.extend_from_slice(&SECTION_VERSION.to_le_bytes());
            out.extend_from_slice(&[u8::from(section.required), u8::from(section.compressed), 0, 0]);
            for number in [section.offset, section.stored, section.raw, section.count] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.extend_from_slice(&section.crc.to_le_bytes());
            out.extend_from_slice(&[0; 4]);
        }
        out
    }

    /// Reads the footer of the segment of `log` that begins at `base`. Offsets are held to lie
    /// before the footer, at `footer_at`.
    pub(crate) fn parse(bytes: &[u8], log: LogId, base: Position, footer_at: u64) -> Parsed<Footer> {
        let fixed = bytes.get(..FIXED_BYTES).ok_or_else(|| Bad::new(0, "a footer", "too few bytes"))?;
        let mut rest = Take(bytes);
        let read = |rest: &mut Take<'_>| {
            let magic: [u8; 8] = rest.array()?;
            let count = rest.u64()?;
            let times = [rest.i64()?, rest.i64()?, rest.i64()?, rest.i64()?];
            let numbers = [rest.u64()?, rest.u64()?, rest.counter()?];
            let blocks = rest.u32()?;
            let mode = match rest.u8()? {
                1 => Mode::Synced,
                2 => Mode::Written,
                _ => return None,
            };
            let flags = rest.u8()?;
            let (epochs, sections) = (rest.u16()?, rest.u16()?);
            let sane = magic == MAGIC && flags & !(BY_SUBJECT | ARCHIVED) == 0 && is_zero(rest.slice(6)?);
            sane.then_some((count, times, numbers, blocks, mode, flags, usize::from(epochs), usize::from(sections)))
        };
        let (count, times, [frame_bytes, data_bytes, group_seq], blocks, mode, flags, epoch_count, section_count) =
            read(&mut rest).ok_or_else(|| Bad::new(0, "the fields of a footer", format!("{} bytes", fixed.len())))?;
        let begun = base > Position::ORIGIN && count > 0;
        let end = base.get().checked_add(count).filter(|_| begun && count <= u64::from(super::terms::ROWS_MAX));
        let end = end.ok_or_else(|| Bad::new(8, "a number of events", count.to_string()))?;
        if u64::from(blocks) != count.div_ceil(u64::from(super::BLOCK_ROWS)) {
            return Err(Bad::new(72, format!("the blocks of {count} events"), blocks.to_string()));
        }
        let cut = || Bad::new(FIXED_BYTES as u64, "epochs, peaks and sections", "the end of the footer");
        let mut epochs = Vec::new();
        for _ in 0..epoch_count {
            let (first, epoch) = rest.u64().zip(rest.counter()).ok_or_else(cut)?;
            let after = epochs.last().map_or(base.get(), |(last, _): &(Position, u64)| last.get() + 1);
            let fits = if epochs.is_empty() { first == base.get() } else { first >= after && first < end };
            if !fits {
                return Err(Bad::new(FIXED_BYTES as u64, "runs of epochs in order", format!("position {first}")));
            }
            epochs.push((Position::new(first), epoch));
        }
        if epochs.is_empty() {
            return Err(Bad::new(78, "an epoch", "none"));
        }
        let tree = |size: u64, rest: &mut Take<'_>| {
            let peaks: Option<Vec<Hash>> = (0..size.count_ones()).map(|_| rest.array::<DIGEST_BYTES>()).collect();
            peaks.and_then(|peaks| Tree::from_peaks(size, peaks)).ok_or_else(cut)
        };
        let before = tree(base.get() - 1, &mut rest)?;
        let after = tree(end - 1, &mut rest)?;
        let sections = read_sections(bytes.len(), &mut rest, section_count, footer_at)?;
        if !rest.0.is_empty() {
            return Err(Bad::new((bytes.len() - rest.0.len()) as u64, "the end of the footer", "more bytes"));
        }
        Ok(Footer {
            log,
            base,
            count,
            recorded: (times[0], times[1]),
            occurred: (times[2], times[3]),
            frame_bytes,
            data_bytes,
            group_seq,
            blocks,
            mode,
            by_subject: flags & BY_SUBJECT != 0,
            archived: flags & ARCHIVED != 0,
            epochs,
            before,
            after,
            sections,
        })
    }
}

/// Reads the last entries of a footer of so many bytes.
fn read_sections(bytes: usize, rest: &mut Take<'_>, count: usize, footer_at: u64) -> Parsed<Vec<Section>> {
    if count > SECTIONS_MAX {
        return Err(Bad::new(80, format!("at most {SECTIONS_MAX} sections"), count.to_string()));
    }
    let mut sections: Vec<Section> = Vec::new();
    for _ in 0..count {
        let at = (bytes - rest.0.len()) as u64;
        let read = |rest: &mut Take<'_>| {
            let (id, version) = (rest.u16()?, rest.u16()?);
            let (flags, codec, zero) = (rest.u8()?, rest.u8()?, rest.u16()?);
            let section = Section {
                id,
                required: flags & REQUIRED != 0,
                compressed: codec == 1,
                offset: rest.u64()?,
                stored: rest.u64()?,
                raw: rest.u64()?,
                count: rest.u64()?,
                crc: rest.u32()?,
            };
            let within = section.offset.checked_add(section.stored).is_some_and(|end| end <= footer_at);
            // An older reader passes over a newer form of what it can do without.
            let readable = version == SECTION_VERSION || !section.required;
            (flags & !REQUIRED == 0 && codec <= 1 && zero == 0 && rest.u32()? == 0 && within && readable)
                .then_some(section)
        };
        let section = read(rest).ok_or_else(|| Bad::new(at, "a section before the footer", "another entry"))?;
        let known = KNOWN.iter().any(|known| *known as u16 == section.id);
        if section.required && !known {
            return Err(Bad::new(at, "sections of format version 1", format!("section {}", section.id)));
        }
        if sections.iter().any(|other| other.id == section.id) {
            return Err(Bad::new(at, "each section once", format!("section {} twice", section.id)));
        }
        sections.push(section);
    }
    Ok(sections)
}
