//! Making an index: every row is added in order, then the file's bytes come out at once. The caller
//! read and checked the events; nothing here is fed with bytes that nobody checked.

use super::header::{Counts, IdxHeader, Layout};
use super::pages::{self, Writer};
use super::sort::{Posted, Sorter};
use super::types::TypeCounter;
use super::{IdxFacts, ROWS_MAX, TermEntry, ZONE_ROWS, Zone};
use crate::event::EventRef;
use crate::format::filter::FilterShape;
use crate::format::frame;
use crate::format::term::{Dimension, TermHasher};

/// Collects the rows of a segment. Memory: 14 bytes an event and 12 a term while adding (up to twice
/// that, as vectors grow); at the end, when those go, twice the length of the file.
#[derive(Debug)]
pub(crate) struct IdxBuilder {
    pub(super) facts: IdxFacts,
    pub(super) hasher: TermHasher,
    pub(super) posted: Sorter,
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
            posted: Sorter::new(),
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
        let Terms { entries, postings, hashes } = Terms::collect(&self.posted, &self.versions);
        drop(self.posted);
        let types = self.types.finish();
        let filter = FilterShape::build(&hashes);
        drop(hashes);

        let (types_section, type_count) = types.as_ref().map_or((&[][..], 0), |(section, count)| (section, *count));
        let fingerprints = filter.as_ref().map_or(&[][..], |(_, fingerprints)| fingerprints);
        let layout = Layout::new(&Counts {
            rows: self.frames.len() as u32,
            terms: narrow(entries.len()),
            postings: narrow(postings.len()),
            types: type_count,
            types_bytes: types_section.len() as u64,
            fingerprints: narrow(fingerprints.len()),
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
        Writer::new(&mut file, layout.frames.offset).put_all(&self.frames, u32::to_le_bytes);
        Writer::new(&mut file, layout.indices.offset).put_all(&self.indices, u16::to_le_bytes);
        Writer::new(&mut file, layout.zones.offset).put_all(&self.zones, |zone| zone.encode());
        Writer::new(&mut file, layout.terms.offset).put_all(&entries, |entry| entry.encode());
        Writer::new(&mut file, layout.postings.offset).put_all(&postings, u32::to_le_bytes);
        Writer::new(&mut file, layout.types.offset).put(types_section);
        Writer::new(&mut file, layout.filter.offset).put(fingerprints);
        pages::seal(&mut file, self.facts.salt);
        file
    }
}

fn narrow(count: usize) -> u32 {
    assert!(u32::try_from(count).is_ok(), "{count} terms or postings of one segment");
    count as u32
}

/// The terms as they stand in the file.
#[derive(Default)]
struct Terms {
    entries: Vec<TermEntry>,
    postings: Vec<u32>,
    /// All different.
    hashes: Vec<u64>,
}

impl Terms {
    fn collect(posted: &Sorter, versions: &[u64]) -> Terms {
        let mut terms = Terms::default();
        posted.for_each_term(|term| terms.add(term));
        // In a loop of its own, because the rows are all over the place: so many are fetched at once.
        for entry in terms.entries.iter_mut().filter(|entry| entry.dimension == Dimension::Subject as u8) {
            entry.extra = versions[entry.last_row as usize];
        }
        terms
    }

    fn add(&mut self, term: &[Posted]) {
        let (first, last_row) = (term[0], term[term.len() - 1].row());
        if self.hashes.last() != Some(&first.hash()) {
            self.hashes.push(first.hash());
        }
        let start = self.postings.len();
        if first.row() != last_row {
            self.postings.extend(term.iter().map(Posted::row));
            // An event may have the same tag twice.
            if term.windows(2).any(|pair| pair[0].row() == pair[1].row()) {
                self.postings.truncate(start);
                self.postings.extend(term.chunk_by(|a, b| a.row() == b.row()).map(|row| row[0].row()));
            }
        }
        let stored = (self.postings.len() - start) as u32;
        self.entries.push(TermEntry {
            hash: first.hash(),
            extra: 0,
            start: if stored > 0 { narrow(start) } else { 0 },
            count: stored.max(1),
            last_row,
            dimension: first.dimension(),
        });
    }
}
