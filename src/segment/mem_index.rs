//! The index of raw rows that no `.idx` covers yet, in memory.
//!
//! Invariants: one row is one event, `row = position - base`; rows are folded in order, only once
//! they are committed. Subjects, keys and ids are open tables from hash to newest row with a chain to
//! the row before, causes too; every other term is a plain column that a query scans, but for types of few rows, whose
//! rows are listed. A hash is never identity:
//! whoever gets a row compares the bytes it stands for. Readers hold the lock for a bounded number
//! of rows at a time, so they never keep an appender waiting for long.
//!
//! Of a subject with many events every 64th row is noted, so that each of its versions is at most 64 links away.
//!
//! Memory: 22 bytes a row, 40 and its text a distinct subject, 24 a row with an id, key or cause, 8 a row for
//! each further term (tag, source, correlation, on_behalf_of), before slack of the vectors.

use std::collections::HashMap;

use crate::event::EventRef;
use crate::format::idx::{ZONE_ROWS, Zone};
use crate::format::term::{Dimension, TermHasher};

/// No row: the end of a chain.
const NONE: u32 = u32::MAX;
/// Beyond so many distinct types the index no longer resolves patterns.
const TYPE_NAMES_MAX: usize = 4096;

/// Rows of a type that are listed; of a type with more, the column is scanned.
const TYPE_ROWS_MAX: usize = 1024;

/// Versions between two rows of a subject that are noted.
const MARK_EVERY: u64 = 64;

/// The hashed terms of one event; made by the appending thread, without a lock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventTerms {
    pub(crate) subject: u64,
    pub(crate) kind: u64,
    pub(crate) event_type: u64,
    /// 0: no actor.
    pub(crate) actor: u64,
    /// 0: the id is derived.
    pub(crate) id: u64,
}

/// Where a row stands: offset of its frame in the file and index within the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowPlace {
    pub(crate) frame: u64,
    pub(crate) index: u32,
}

/// An open-addressing table from hash to the newest entry of a chain.
#[derive(Debug, Default)]
struct Table {
    slots: Vec<(u64, u32)>,
    used: usize,
}

impl Table {
    fn find(&self, hash: u64) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.slots[at] {
                (_, NONE) => return None,
                (found, value) if found == hash => return Some(value),
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// Sets the value and returns the one before, or [`NONE`].
    fn replace(&mut self, hash: u64, value: u32) -> u32 {
        if (self.used + 1) * 8 > self.slots.len() * 5 {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = &mut self.slots[at];
            if slot.1 == NONE {
                *slot = (hash, value);
                self.used += 1;
                return NONE;
            }
            if slot.0 == hash {
                return std::mem::replace(&mut slot.1, value);
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(1024);
        let old = std::mem::replace(&mut self.slots, vec![(0, NONE); size]);
        let mask = size - 1;
        for (hash, value) in old.into_iter().filter(|(_, value)| *value != NONE) {
            let mut at = hash as usize & mask;
            while self.slots[at].1 != NONE {
                at = (at + 1) & mask;
            }
            self.slots[at] = (hash, value);
        }
    }

    fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<(u64, u32)>()
    }
}

/// One subject that has rows here.
#[derive(Debug, Clone, Copy)]
struct SubjectEntry {
    last_row: u32,
    /// Another subject of the same hash, or [`NONE`].
    same_hash: u32,
    text_at: u32,
    text_len: u32,
    version: u64,
}

/// Rows of a sparse term (ids, keys): chains of `{row, entry before}`.
#[derive(Debug, Default)]
struct Chains {
    table: Table,
    entries: Vec<(u32, u32)>,
}

impl Chains {
    fn add(&mut self, hash: u64, row: u32) {
        let before = self.table.replace(hash, self.entries.len() as u32);
        self.entries.push((row, before));
    }

    /// Rows of the hash, newest first.
    fn rows(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        let mut next = self.table.find(hash);
        std::iter::from_fn(move || {
            let (row, before) = *self.entries.get(next? as usize)?;
            next = (before != NONE).then_some(before);
            Some(row)
        })
    }

    fn bytes(&self) -> usize {
        self.table.bytes() + self.entries.capacity() * size_of::<(u32, u32)>()
    }
}

/// The in-memory index of the rows from `first_row` on.
#[derive(Debug)]
pub(crate) struct MemIndex {
    first_row: u32,
    frames: Vec<u32>,
    indices: Vec<u16>,
    subject_before: Vec<u32>,
    kinds: Vec<u32>,
    types: Vec<u32>,
    actors: Vec<u32>,
    zones: Vec<Zone>,
    subjects: Table,
    subject_entries: Vec<SubjectEntry>,
    /// Rows of the versions that are multiples of [`MARK_EVERY`], from the first such version on, by subject.
    marks: HashMap<u32, (u64, Vec<u32>)>,
    subject_text: String,
    ids: Chains,
    keys: Chains,
    causes: Chains,
    /// Tag, source, correlation, on_behalf_of: low half of the hash, and the row.
    sparse: [Vec<(u32, u32)>; 4],
    type_names: Vec<TypeName>,
    /// The type of the row pushed last, by its place among the names.
    last_type: (u64, Option<usize>),
}

/// A type that has rows here.
#[derive(Debug)]
struct TypeName {
    hash: u64,
    name: Box<str>,
    /// Its rows, ascending, while they are few.
    rows: Option<Vec<u32>>,
}

fn sparse_slot(dimension: Dimension) -> Option<usize> {
    Some(match dimension {
        Dimension::Tag => 0,
        Dimension::Source => 1,
        Dimension::Correlation => 2,
        Dimension::OnBehalfOf => 3,
        _ => return None,
    })
}

impl MemIndex {
    pub(crate) fn new(first_row: u32) -> MemIndex {
        MemIndex {
            first_row,
            frames: Vec::new(),
            indices: Vec::new(),
            subject_before: Vec::new(),
            kinds: Vec::new(),
            types: Vec::new(),
            actors: Vec::new(),
            zones: Vec::new(),
            subjects: Table::default(),
            subject_entries: Vec::new(),
            marks: HashMap::new(),
            subject_text: String::new(),
            ids: Chains::default(),
            keys: Chains::default(),
            causes: Chains::default(),
            sparse: Default::default(),
            type_names: Vec::new(),
            last_type: (0, None),
        }
    }

    /// The first row that is not here yet.
    pub(crate) fn end_row(&self) -> u32 {
        self.first_row + self.frames.len() as u32
    }

    pub(crate) fn first_row(&self) -> u32 {
        self.first_row
    }

    /// Adds the next row. `subject` and `event_type` are those whose hashes the terms hold.
    pub(crate) fn push(
        &mut self,
        place: RowPlace,
        version: u64,
        terms: &EventTerms,
        subject: &str,
        event_type: &str,
        zone: &Zone,
    ) {
        let row = self.end_row();
        self.frames.push((place.frame / crate::format::frame::ALIGN) as u32);
        self.indices.push(place.index as u16);
        let before = self.replace_subject(terms.subject, subject, row, version);
        self.subject_before.push(before);
        self.kinds.push(terms.kind as u32);
        self.types.push(terms.event_type as u32);
        self.actors.push(terms.actor as u32);
        if terms.id != 0 {
            self.ids.add(terms.id, row);
        }
        if (row - self.first_row).is_multiple_of(ZONE_ROWS) {
            self.zones.push(*zone);
        } else if let Some(last) = self.zones.last_mut() {
            last.join(zone);
        }
        if self.last_type.0 != terms.event_type || self.last_type.1.is_none() {
            self.last_type = (terms.event_type, self.learn_type(terms.event_type, event_type));
        }
        if let Some(of_type) = self.last_type.1.and_then(|at| self.type_names.get_mut(at))
            && let Some(rows) = &mut of_type.rows
        {
            match rows.len() < TYPE_ROWS_MAX {
                true => rows.push(row),
                false => of_type.rows = None,
            }
        }
    }

    /// Sets the subject's newest row and returns the one before, or [`NONE`].
    fn replace_subject(&mut self, hash: u64, subject: &str, row: u32, version: u64) -> u32 {
        if let Some(index) = self.subject_index(hash, subject) {
            if version.is_multiple_of(MARK_EVERY) {
                self.marks.entry(index as u32).or_insert_with(|| (version, Vec::new())).1.push(row);
            }
            let entry = &mut self.subject_entries[index];
            entry.version = version;
            return std::mem::replace(&mut entry.last_row, row);
        }
        let same_hash = self.subjects.replace(hash, self.subject_entries.len() as u32);
        let (text_at, text_len) = (self.subject_text.len() as u32, subject.len() as u32);
        self.subject_text.push_str(subject);
        self.subject_entries.push(SubjectEntry { last_row: row, same_hash, text_at, text_len, version });
        NONE
    }

    fn subject_index(&self, hash: u64, subject: &str) -> Option<usize> {
        let mut next = self.subjects.find(hash)?;
        loop {
            let entry = self.subject_entries.get(next as usize)?;
            let text = entry.text_at as usize..(entry.text_at + entry.text_len) as usize;
            if self.subject_text.as_bytes().get(text) == Some(subject.as_bytes()) {
                return Some(next as usize);
            }
            next = entry.same_hash;
        }
    }

    /// The version of a subject's newest row here.
    pub(crate) fn subject_version(&self, hash: u64, subject: &str) -> Option<u64> {
        self.subject_index(hash, subject).map(|index| self.subject_entries[index].version)
    }

    /// The newest row of a subject here, and its version.
    pub(crate) fn last_of_subject(&self, hash: u64, subject: &str) -> Option<(u32, u64)> {
        let entry = self.subject_entries.get(self.subject_index(hash, subject)?)?;
        Some((entry.last_row, entry.version))
    }

    /// The row of a version of a subject, if it is here: of its versions each is one above that before.
    pub(crate) fn row_of_version(&self, hash: u64, subject: &str, version: u64) -> Option<u32> {
        let index = self.subject_index(hash, subject)?;
        let entry = self.subject_entries.get(index)?;
        let (mut row, mut at) = (entry.last_row, entry.version);
        let mark = version.next_multiple_of(MARK_EVERY);
        if let Some((first, rows)) = self.marks.get(&(index as u32)).filter(|_| mark < at)
            && let Some(marked) = mark.checked_sub(*first).and_then(|above| rows.get((above / MARK_EVERY) as usize))
        {
            (row, at) = (*marked, mark);
        }
        for _ in 0..at.checked_sub(version)? {
            row = self.subject_before[self.local(row)?];
        }
        self.local(row).map(|_| row)
    }

    /// The place of a type among the names; `None` if there are too many to keep.
    fn learn_type(&mut self, hash: u64, name: &str) -> Option<usize> {
        if let Some(at) = self.type_names.iter().position(|known| known.hash == hash) {
            return Some(at);
        }
        if self.type_names.len() > TYPE_NAMES_MAX {
            return None;
        }
        self.type_names.push(TypeName { hash, name: name.into(), rows: Some(Vec::new()) });
        Some(self.type_names.len() - 1)
    }

    /// The rows of types within a range, if each is known and has few; of a type that has no row here, none.
    fn rows_of_types(&self, hashes: &[u64], rows: &std::ops::Range<u32>, out: &mut Vec<u32>) -> bool {
        if self.type_names.len() > TYPE_NAMES_MAX {
            return false;
        }
        let known = |hash: &u64| self.type_names.iter().find(|known| known.hash == *hash);
        let lists: Option<Vec<&Vec<u32>>> = hashes.iter().filter_map(known).map(|known| known.rows.as_ref()).collect();
        let Some(lists) = lists else { return false };
        let before = out.len();
        for list in &lists {
            let within = |row: &u32| *row < rows.start;
            let (start, end) = (list.partition_point(within), list.partition_point(|row| *row < rows.end));
            out.extend(list.get(start..end).unwrap_or_default());
        }
        if lists.len() > 1 {
            out[before..].sort_unstable();
        }
        true
    }

    /// Adds a further term of the row pushed last.
    pub(crate) fn push_term(&mut self, dimension: Dimension, hash: u64) {
        let row = self.end_row() - 1;
        match dimension {
            Dimension::Key => self.keys.add(hash, row),
            Dimension::Causation => self.causes.add(hash, row),
            other => {
                if let Some(slot) = sparse_slot(other) {
                    self.sparse[slot].push((hash as u32, row));
                }
            }
        }
    }

    /// Adds an event that stands in the file.
    pub(crate) fn push_event(&mut self, hasher: TermHasher, place: RowPlace, event: &EventRef<'_>, key: Option<&str>) {
        let (terms, zone) = terms_of(hasher, event);
        self.push(place, event.version(), &terms, event.subject(), event.event_type(), &zone);
        hasher.terms(event, |dimension, hash| self.push_term(dimension, hash));
        if let Some(key) = key {
            self.push_term(Dimension::Key, hasher.hash(Dimension::Key, key.as_bytes()));
        }
    }

    fn local(&self, row: u32) -> Option<usize> {
        let local = row.checked_sub(self.first_row)? as usize;
        (local < self.frames.len()).then_some(local)
    }

    pub(crate) fn place(&self, row: u32) -> Option<RowPlace> {
        let local = self.local(row)?;
        Some(RowPlace {
            frame: u64::from(self.frames[local]) * crate::format::frame::ALIGN,
            index: u32::from(self.indices[local]),
        })
    }

    /// Rows of a subject, newest first.
    pub(crate) fn subject_rows(&self, hash: u64, subject: &str) -> impl Iterator<Item = u32> + '_ {
        let mut next = self.subject_index(hash, subject).map(|index| self.subject_entries[index].last_row);
        std::iter::from_fn(move || {
            let row = next?;
            let before = self.local(row).map_or(NONE, |local| self.subject_before[local]);
            next = (before != NONE).then_some(before);
            Some(row)
        })
    }

    pub(crate) fn key_rows(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        self.keys.rows(hash)
    }

    pub(crate) fn id_rows(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        self.ids.rows(hash)
    }

    /// Appends to `out` the rows of `rows` whose term of this dimension has one of the hashes,
    /// ascending. For terms that stand in columns.
    pub(crate) fn column_rows(
        &self,
        dimension: Dimension,
        hashes: &[u64],
        rows: std::ops::Range<u32>,
        out: &mut Vec<u32>,
    ) {
        if dimension == Dimension::Type && self.rows_of_types(hashes, &rows, out) {
            return;
        }
        let column = match dimension {
            Dimension::Causation => return self.caused_rows(hashes, &rows, out),
            Dimension::Kind => &self.kinds,
            Dimension::Type => &self.types,
            Dimension::Actor => &self.actors,
            other => {
                let Some(slot) = sparse_slot(other) else { return };
                let pairs = &self.sparse[slot];
                let start = pairs.partition_point(|(_, row)| *row < rows.start);
                let found = pairs[start..].iter().take_while(|(_, row)| *row < rows.end);
                // An event may carry two of the tags asked for; its row counts once.
                for (_, row) in found.filter(|(hash, _)| hashes.iter().any(|wanted| *wanted as u32 == *hash)) {
                    if out.last() != Some(row) {
                        out.push(*row);
                    }
                }
                return;
            }
        };
        let start = rows.start.max(self.first_row);
        let end = rows.end.min(self.end_row());
        if start >= end {
            return;
        }
        let slice = &column[(start - self.first_row) as usize..(end - self.first_row) as usize];
        match hashes {
            [one] => {
                let wanted = *one as u32;
                out.extend((start..).zip(slice).filter(|(_, hash)| **hash == wanted).map(|(row, _)| row));
            }
            many => out.extend(
                (start..)
                    .zip(slice)
                    .filter(|(_, hash)| many.iter().any(|wanted| *wanted as u32 == **hash))
                    .map(|(row, _)| row),
            ),
        }
    }

    fn caused_rows(&self, hashes: &[u64], rows: &std::ops::Range<u32>, out: &mut Vec<u32>) {
        let before = out.len();
        for hash in hashes {
            let newest_first = self.causes.rows(*hash).take_while(|row| *row >= rows.start);
            out.extend(newest_first.filter(|row| *row < rows.end));
        }
        // An event has one cause, so no row comes twice.
        out[before..].sort_unstable();
    }

    /// The minima and maxima of the rows from `first_row + n * ZONE_ROWS` on.
    pub(crate) fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// The distinct types with their hashes; `None` if there are too many to keep.
    pub(crate) fn type_names(&self) -> Option<impl Iterator<Item = (&str, u64)>> {
        (self.type_names.len() <= TYPE_NAMES_MAX)
            .then(|| self.type_names.iter().map(|known| (&*known.name, known.hash)))
    }

    /// Memory taken, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let columns = [&self.frames, &self.subject_before, &self.kinds, &self.types, &self.actors];
        columns.iter().map(|column| column.capacity() * 4).sum::<usize>()
            + self.indices.capacity() * 2
            + self.zones.capacity() * size_of::<Zone>()
            + self.subjects.bytes()
            + self.subject_entries.capacity() * size_of::<SubjectEntry>()
            + self.marks.values().map(|(_, rows)| rows.capacity() * 4 + 48).sum::<usize>()
            + self.subject_text.capacity()
            + self.ids.bytes()
            + self.keys.bytes()
            + self.sparse.iter().map(|pairs| pairs.capacity() * 8).sum::<usize>()
            + self.causes.bytes()
            + self
                .type_names
                .iter()
                .map(|known| known.name.len() + 56 + known.rows.as_ref().map_or(0, |rows| rows.capacity() * 4))
                .sum::<usize>()
    }
}

/// The hashed terms of an event that stands in the file, and its times.
pub(crate) fn terms_of(hasher: TermHasher, event: &EventRef<'_>) -> (EventTerms, Zone) {
    let terms = EventTerms {
        subject: hasher.subject(event.subject()),
        kind: hasher.hash(Dimension::Kind, event.kind().as_bytes()),
        event_type: hasher.hash(Dimension::Type, event.event_type().as_bytes()),
        actor: event.actor().map_or(0, |actor| hasher.actor(actor.kind(), actor.id())),
        id: event.given_id().map_or(0, |id| hasher.hash(Dimension::Id, id.as_bytes())),
    };
    (terms, Zone::of(event))
}
