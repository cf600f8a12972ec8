//! Making an index: every row is added in order, then the file's bytes come out at once. The caller
//! read and checked the events; nothing here is fed with bytes that nobody checked.

use super::filter::FilterShape;
use super::header::{Counts, IdxHeader, Layout};
use super::pages::{self, Writer};
use super::sort::{Posted, sort};
use super::types::TypeCounter;
use super::{IdxFacts, ROWS_MAX, TERM_BYTES, ZONE_ROWS, Zone};
use crate::event::EventRef;
use crate::format::frame;
use crate::format::term::{Dimension, TermHasher};

/// Collects the rows of a segment. Memory: 14 bytes an event and 12 a term while adding, about
/// twice that and the file itself at the end.
#[derive(Debug)]
pub(crate) struct IdxBuilder {
    pub(super) facts: IdxFacts,
    pub(super) hasher: TermHasher,
    pub(super) posted: Vec<Posted>,
    /// Of each row: offset of its frame in units of frame alignment, index in the frame, version.
    pub(super) frames: Vec<u32>,
    pub(super) indices: Vec<u16>,
    pub(super) versions: Vec<u64>,
    pub(super) zones: Vec<Zone>,
    pub(super) types: TypeCounter,
}

impl IdxBuilder {
    pub(crate) fn new(facts: IdxFacts) -> IdxBuilder {
        IdxBuilder {
            facts,
            hasher: TermHasher::new(facts.log),
            posted: Vec::new(),
            frames: Vec::new(),
            indices: Vec::new(),
            versions: Vec::new(),
            zones: Vec::new(),
            types: TypeCounter::new(),
        }
    }

    /// Adds the next row. `key` is the idempotency key of the batch, given at its first row only.
    ///
    /// # Panics
    /// If the rows are more than a segment of the greatest length has room for, or the place is none
    /// in such a segment. Who read the frames has seen that neither can be.
    pub(crate) fn add(&mut self, event: &EventRef<'_>, frame_offset: u64, index_in_frame: u32, key: Option<&str>) {
        let row = self.frames.len() as u32;
        assert!(row < ROWS_MAX, "row {row} of a segment");
        assert!(frame_offset.is_multiple_of(frame::ALIGN), "a frame at {frame_offset}");
        let frame = u32::try_from(frame_offset / frame::ALIGN);
        let index = u16::try_from(index_in_frame);
        let (Ok(frame), Ok(index)) = (frame, index) else {
            panic!("event {index_in_frame} of a frame at {frame_offset}")
        };
        self.frames.push(frame);
        self.indices.push(index);
        self.versions.push(event.version());
        if row.is_multiple_of(ZONE_ROWS) {
            self.zones.push(Zone::EMPTY);
        }
        if let Some(zone) = self.zones.last_mut() {
            zone.add(event);
        }
        self.add_terms(event, row, key);
    }

    fn add_terms(&mut self, event: &EventRef<'_>, row: u32, key: Option<&str>) {
        let (hasher, types) = (self.hasher, &mut self.types);
        let mut post = |dimension, hash| self.posted.push(Posted::new(hash, dimension as u8, row));
        post(Dimension::Subject, hasher.subject(event.subject()));
        hasher.terms(event, |dimension, hash| {
            if dimension == Dimension::Type {
                types.add(event.event_type(), hash);
            }
            post(dimension, hash);
        });
        for (dimension, text) in [(Dimension::Id, event.given_id()), (Dimension::Key, key)] {
            if let Some(text) = text {
                post(dimension, hasher.hash(dimension, text.as_bytes()));
            }
        }
    }

    /// The bytes of the file. `end_offset` and `last_header_check` say which bytes of the raw file
    /// the rows are all the events of: up to where, and the header check of the last frame before.
    pub(crate) fn finish(self, end_offset: u64, last_header_check: u64) -> Vec<u8> {
        let posted = sort(self.posted);
        let terms = || posted.chunk_by(Posted::same_term);
        let mut hashes = Vec::with_capacity(self.frames.len());
        let (mut term_count, mut posting_count) = (0u64, 0u64);
        for term in terms() {
            term_count += 1;
            posting_count += if term.len() > 1 { term.len() as u64 } else { 0 };
            let hash = term[0].hash();
            if hashes.last() != Some(&hash) {
                hashes.push(hash);
            }
        }
        let types = self.types.finish();
        let filter = FilterShape::build(&hashes);
        drop(hashes);

        let (types_section, type_count) = types.as_ref().map_or((&[][..], 0), |(section, count)| (section, *count));
        let fingerprints = filter.as_ref().map_or(&[][..], |(_, fingerprints)| fingerprints);
        let narrow = |count: u64| {
            assert!(count <= u64::from(u32::MAX), "{count} terms or postings of one segment");
            count as u32
        };
        let layout = Layout::new(&Counts {
            rows: self.frames.len() as u32,
            terms: narrow(term_count),
            postings: narrow(posting_count),
            types: type_count,
            types_bytes: types_section.len() as u64,
            fingerprints: narrow(fingerprints.len() as u64),
        });
        let mut zone = Zone::EMPTY;
        self.zones.iter().for_each(|each| zone.join(each));
        let header = IdxHeader {
            facts: self.facts,
            end_offset,
            last_header_check,
            file_bytes: pages::file_bytes(layout.space),
            rows: self.frames.len() as u32,
            zone,
            filter: filter.as_ref().map(|(shape, _)| *shape),
            has_types: types.is_some(),
            layout,
        };

        let mut file = vec![0u8; header.file_bytes as usize];
        let head = header.encode();
        file[..head.len()].copy_from_slice(&head[..]);
        let mut out = Writer::new(&mut file, layout.frames.offset);
        self.frames.iter().for_each(|frame| out.put(&frame.to_le_bytes()));
        let mut out = Writer::new(&mut file, layout.indices.offset);
        self.indices.iter().for_each(|index| out.put(&index.to_le_bytes()));
        let mut out = Writer::new(&mut file, layout.zones.offset);
        self.zones.iter().for_each(|zone| out.put(&zone.encode()));
        let mut out = Writer::new(&mut file, layout.terms.offset);
        let mut start = 0;
        for term in terms() {
            out.put(&entry(term, &mut start, &self.versions));
        }
        let mut out = Writer::new(&mut file, layout.postings.offset);
        for term in terms().filter(|term| term.len() > 1) {
            term.iter().for_each(|posted| out.put(&posted.row().to_le_bytes()));
        }
        Writer::new(&mut file, layout.types.offset).put(types_section);
        Writer::new(&mut file, layout.filter.offset).put(fingerprints);
        pages::seal(&mut file, self.facts.salt);
        file
    }
}

/// The entry of a term whose postings begin at `start`, which goes on behind them.
fn entry(term: &[Posted], start: &mut u32, versions: &[u64]) -> [u8; TERM_BYTES as usize] {
    let (first, last_row) = (term[0], term[term.len() - 1].row());
    let extra = if first.dimension() == Dimension::Subject as u8 { versions[last_row as usize] } else { 0 };
    let count = term.len() as u32;
    let mut bytes = [0; TERM_BYTES as usize];
    bytes[0..8].copy_from_slice(&first.hash().to_le_bytes());
    bytes[8..16].copy_from_slice(&extra.to_le_bytes());
    if count > 1 {
        bytes[16..20].copy_from_slice(&start.to_le_bytes());
        *start += count;
    }
    bytes[20..24].copy_from_slice(&count.to_le_bytes());
    bytes[24..28].copy_from_slice(&last_row.to_le_bytes());
    bytes[28] = first.dimension();
    bytes
}
