//! Page 0: which segment the index belongs to, how much of it is covered, and where what stands.

use super::{
    IdxFacts, ROWS_MAX, TERM_BYTES, TYPE_HEAD_BYTES, TYPES_BYTES_MAX, TYPES_MAX, ZONE_BYTES, ZONE_ROWS, Zone, pages,
};
use crate::event::LogId;
use crate::format::bytes::{Put, align_up, array, u32_at, u64_at};
use crate::format::filter::FilterShape;
use crate::format::header::newer;
use crate::format::page::{self, Page};
use crate::format::{FORMAT_VERSION, PAGE_BYTES, Read};
use crate::position::Position;

pub(crate) const MAGIC: [u8; 8] = *b"ANNALIDX";
const SEED: u64 = u64::from_le_bytes(MAGIC);
const ZONE_AT: usize = 88;
const FILTER_AT: usize = 120;
const TABLE_AT: usize = 136;
const TABLE_ENTRY_BYTES: usize = 24;
const SECTIONS: usize = 7;
const CHECK_AT: usize = TABLE_AT + SECTIONS * TABLE_ENTRY_BYTES;
/// Sections begin at multiples of it.
const SECTION_ALIGN: u64 = 32;

const HAS_TYPES: u32 = 1;
const HAS_FILTER: u32 = 2;
const FLAGS_KNOWN: u32 = HAS_TYPES | HAS_FILTER;

/// A run of entries in the space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Section {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) count: u32,
}

/// How many entries there are; everything else about the layout follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) rows: u32,
    pub(super) terms: u32,
    pub(super) postings: u32,
    pub(super) types: u32,
    pub(super) types_bytes: u64,
    pub(super) fingerprints: u32,
}

/// Where the sections stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) frames: Section,
    pub(super) indices: Section,
    pub(super) zones: Section,
    pub(super) terms: Section,
    pub(super) postings: Section,
    pub(super) types: Section,
    pub(super) filter: Section,
    /// Length of the space, in bytes.
    pub(super) space: u64,
}

impl Layout {
    pub(super) fn new(counts: &Counts) -> Layout {
        let mut space = 0;
        let mut section = |count: u32, len: u64| {
            let offset = align_up(space, SECTION_ALIGN);
            space = offset + len;
            Section { offset, len, count }
        };
        let zones = counts.rows.div_ceil(ZONE_ROWS);
        Layout {
            frames: section(counts.rows, u64::from(counts.rows) * 4),
            indices: section(counts.rows, u64::from(counts.rows) * 2),
            zones: section(zones, u64::from(zones) * ZONE_BYTES),
            terms: section(counts.terms, u64::from(counts.terms) * TERM_BYTES),
            postings: section(counts.postings, u64::from(counts.postings) * 4),
            types: section(counts.types, counts.types_bytes),
            filter: section(counts.fingerprints, u64::from(counts.fingerprints)),
            space,
        }
    }

    fn sections(&self) -> [Section; SECTIONS] {
        [self.frames, self.indices, self.zones, self.terms, self.postings, self.types, self.filter]
    }
}

/// The header, whose table makes sense: every section lies within the space, and the space within
/// the length that the file has according to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdxHeader {
    pub(crate) facts: IdxFacts,
    /// So many bytes of the raw file are covered, from its start.
    pub(crate) end_offset: u64,
    /// The header check of the last frame in them; 0 if there is none.
    pub(crate) last_header_check: u64,
    /// Length of the index file.
    pub(crate) file_bytes: u64,
    pub(crate) rows: u32,
    /// The bounds over all rows.
    pub(crate) zone: Zone,
    pub(super) filter: Option<FilterShape>,
    pub(super) has_types: bool,
    pub(super) layout: Layout,
}

impl IdxHeader {
    pub(super) fn encode(&self) -> Box<Page> {
        let mut page = Box::new([0u8; PAGE_BYTES]);
        let flag = |on: bool, bit: u32| if on { bit } else { 0 };
        let flags = flag(self.has_types, HAS_TYPES) | flag(self.filter.is_some(), HAS_FILTER);
        let filter = self.filter.unwrap_or_default();
        let mut put = Put(&mut page[..]);
        put.bytes(0, &MAGIC)
            .u16(8, FORMAT_VERSION)
            .u16(10, FORMAT_VERSION)
            .u32(20, flags)
            .bytes(24, &self.facts.log.0)
            .u64(40, self.facts.base.get())
            .u64(48, self.facts.salt)
            .u64(56, self.end_offset)
            .u64(64, self.last_header_check)
            .u64(72, self.file_bytes)
            .u32(80, self.rows)
            .bytes(ZONE_AT, &self.zone.encode())
            .u64(FILTER_AT, filter.seed)
            .u32(FILTER_AT + 8, filter.segment_len)
            .u32(FILTER_AT + 12, filter.segment_count_len);
        for (index, section) in self.layout.sections().iter().enumerate() {
            let at = TABLE_AT + index * TABLE_ENTRY_BYTES;
            put.u64(at, section.offset).u64(at + 8, section.len).u32(at + 16, section.count);
        }
        page::seal(&mut page, CHECK_AT, SEED);
        page
    }

    /// Reads the header from the first page of a file.
    pub(crate) fn read(page: &[u8]) -> Read<IdxHeader> {
        page::read(page, MAGIC, CHECK_AT, SEED, |fields| match newer(fields, 8)? {
            Some(version) => Some(Read::Newer { version }),
            None => Self::fields(fields).map(Read::Valid),
        })
    }

    fn fields(fields: &[u8]) -> Option<IdxHeader> {
        let flags = u32_at(fields, 20)?;
        let rows = u32_at(fields, 80)?;
        let mut sections = [Section::default(); SECTIONS];
        for (index, section) in sections.iter_mut().enumerate() {
            let at = TABLE_AT + index * TABLE_ENTRY_BYTES;
            *section =
                Section { offset: u64_at(fields, at)?, len: u64_at(fields, at + 8)?, count: u32_at(fields, at + 16)? };
        }
        let [_, _, _, terms, postings, types, filter] = sections;
        let sane = flags & !FLAGS_KNOWN == 0
            && rows <= ROWS_MAX
            && types.count as usize <= TYPES_MAX
            && types.len <= TYPES_BYTES_MAX
            && types.len >= u64::from(types.count) * TYPE_HEAD_BYTES;
        sane.then_some(())?;
        let layout = Layout::new(&Counts {
            rows,
            terms: terms.count,
            postings: postings.count,
            types: types.count,
            types_bytes: types.len,
            fingerprints: filter.count,
        });
        let file_bytes = u64_at(fields, 72)?;
        (layout.sections() == sections && pages::file_bytes(layout.space) == file_bytes).then_some(())?;

        let (has_types, has_filter) = (flags & HAS_TYPES != 0, flags & HAS_FILTER != 0);
        let shape = FilterShape {
            seed: u64_at(fields, FILTER_AT)?,
            segment_len: u32_at(fields, FILTER_AT + 8)?,
            segment_count_len: u32_at(fields, FILTER_AT + 12)?,
        };
        let filter_fits = if has_filter { shape.fits(filter.len) } else { filter.count == 0 };
        (filter_fits && (has_types || types.count == 0)).then_some(())?;
        Some(IdxHeader {
            facts: IdxFacts {
                log: LogId(array(fields, 24)?),
                base: Position::new(u64_at(fields, 40)?),
                salt: u64_at(fields, 48)?,
            },
            end_offset: u64_at(fields, 56)?,
            last_header_check: u64_at(fields, 64)?,
            file_bytes,
            rows,
            zone: Zone::read(fields.get(ZONE_AT..)?)?,
            filter: has_filter.then_some(shape),
            has_types,
            layout,
        })
    }
}
