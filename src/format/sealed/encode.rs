//! Writing the head of a block. What it does not say as it is refused: see `block.rs` for the layout.

use std::collections::HashMap;

use super::block::{self, PageEntry, ROWS_MAX, Row, TEXT_BYTES_MAX, section};
use super::dictionary::{Dictionary, StringColumn, actor_string};
use super::ids::Place;
use super::literals;
use super::sections::SectionsWriter;
use super::strings::{Interner, STRING_BYTES_MAX};
use crate::event::EventRef;
use crate::format::{Bad, Parsed};
use crate::limits::{DATA_BYTES_MAX, ID_BYTES_MAX};

/// The order in which payloads are laid down: rank -> row.
pub(crate) fn payload_order(rows: &[Row<'_>], by_subject: bool) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    if by_subject {
        let mut subjects = HashMap::new();
        let appearances: Vec<usize> = rows
            .iter()
            .map(|row| {
                let next = subjects.len();
                *subjects.entry(row.event.subject()).or_insert(next)
            })
            .collect();
        order.sort_by_key(|row| appearances[*row as usize]);
    }
    order
}

/// Appends the head of a block. `pages` stand one after the other from `pages_at` on and hold the payloads in
/// [`payload_order`]; each but an empty block's has one at least.
pub(crate) fn encode(
    rows: &[Row<'_>],
    dictionary: &Dictionary,
    by_subject: bool,
    pages_at: u64,
    pages: &[PageEntry],
    out: &mut Vec<u8>,
) -> Parsed<()> {
    check(rows)?;
    check_pages(rows, by_subject, pages_at, pages)?;
    let mut writer = Writer::new(dictionary);
    for row in rows {
        writer.row(row)?;
    }
    writer.finish(by_subject, pages_at, pages, out)
}

fn refuse(expected: &'static str, found: impl ToString) -> Box<Bad> {
    Bad::new(0, expected, found.to_string())
}

/// What is said once for the block has to be true of each row.
fn check(rows: &[Row<'_>]) -> Parsed<()> {
    let first = rows.first().map(|row| row.event).ok_or_else(|| refuse("rows", 0))?;
    if rows.len() > ROWS_MAX as usize {
        return Err(refuse("at most 1024 rows", rows.len()));
    }
    let mut versions: HashMap<&str, u64> = HashMap::new();
    for (row, index) in rows.iter().zip(0u64..) {
        let event = &row.event;
        if Some(event.position().get()) != first.position().get().checked_add(index) || event.head.log != first.head.log
        {
            return Err(refuse("positions of one log without gaps", event.position()));
        }
        let version = versions.entry(event.subject()).or_insert(event.version());
        if event.version() != *version {
            return Err(refuse("versions without gaps", format!("{} of {:?}", event.version(), event.subject())));
        }
        *version = version.wrapping_add(1);
        let id_bytes = event.given_id().unwrap_or_default().len();
        if event.data().len() > DATA_BYTES_MAX || id_bytes > ID_BYTES_MAX {
            return Err(refuse("data and an id within the limits", format!("{} and {id_bytes}", event.data().len())));
        }
        if row
            .batch
            .key
            .is_some_and(|(key, hash)| hash.len() != block::HASH_BYTES || key.len() as i64 > STRING_BYTES_MAX)
        {
            return Err(refuse("a key and a hash of 32 bytes", "others"));
        }
    }
    Ok(())
}

fn check_pages(rows: &[Row<'_>], by_subject: bool, pages_at: u64, pages: &[PageEntry]) -> Parsed<()> {
    let order = payload_order(rows, by_subject);
    let (mut offset, mut rank) = (pages_at, 0);
    for (index, page) in pages.iter().enumerate() {
        let end = pages.get(index + 1).map_or(rows.len() as u32, |next| next.first_rank);
        let payloads = order.get(rank as usize..end as usize).unwrap_or_default();
        let raw: u64 = payloads.iter().map(|row| rows[*row as usize].event.data().len() as u64).sum();
        if page.first_rank != rank || payloads.is_empty() || page.offset != offset || u64::from(page.raw) != raw {
            return Err(refuse("pages of all payloads, one after the other", format!("{page:?}")));
        }
        if raw > block::PAGE_RAW_MAX {
            return Err(refuse("pages of at most 32 MiB", raw));
        }
        offset = offset.checked_add(u64::from(page.stored)).ok_or_else(|| refuse("an offset", page.stored))?;
        rank = end;
    }
    let left = order.get(rank as usize..).unwrap_or_default();
    match left.iter().all(|row| rows[*row as usize].event.data().is_empty()) {
        true => Ok(()),
        false => Err(refuse("pages of all payloads", pages.len())),
    }
}

#[derive(Default)]
struct Rows {
    flags: Vec<i64>,
    epochs: Vec<i64>,
    recorded: Vec<i64>,
    walls: Vec<i64>,
    occurred: Vec<i64>,
    causes: Vec<i64>,
    data_lens: Vec<i64>,
    id_forms: Vec<i64>,
    id_numbers: Vec<i64>,
    references: [Vec<i64>; block::ROW_STRINGS],
    tag_lists: Vec<i64>,
    meta_lists: Vec<i64>,
}

/// Lists of references, each once.
#[derive(Default)]
struct Lists {
    known: HashMap<Vec<i64>, i64>,
    lengths: Vec<i64>,
    elements: Vec<i64>,
}

impl Lists {
    fn reference(&mut self, list: Vec<i64>) -> i64 {
        if list.is_empty() {
            return 0;
        }
        if let Some(known) = self.known.get(&list) {
            return *known;
        }
        self.lengths.push(list.len() as i64);
        self.elements.extend_from_slice(&list);
        let next = self.lengths.len() as i64;
        self.known.insert(list, next);
        next
    }
}

struct Writer<'a, 'd> {
    dictionary: &'d Dictionary,
    rows: Rows,
    strings: [Interner<Box<str>>; StringColumn::ALL.len()],
    /// References of the block's subjects, and their versions at their first row.
    subjects: Vec<i64>,
    versions: Vec<i64>,
    local_subjects: HashMap<&'a str, i64>,
    tags: Lists,
    meta: Lists,
    literals: Vec<&'a str>,
    key_rows: Vec<i64>,
    key_lens: Vec<i64>,
    keys: String,
    key_hashes: Vec<u8>,
    actor: String,
}

impl<'a, 'd> Writer<'a, 'd> {
    fn new(dictionary: &'d Dictionary) -> Writer<'a, 'd> {
        Writer {
            dictionary,
            rows: Rows::default(),
            strings: Default::default(),
            subjects: Vec::new(),
            versions: Vec::new(),
            local_subjects: HashMap::new(),
            tags: Lists::default(),
            meta: Lists::default(),
            literals: Vec::new(),
            key_rows: Vec::new(),
            key_lens: Vec::new(),
            keys: String::new(),
            key_hashes: Vec::new(),
            actor: String::new(),
        }
    }

    fn reference(&mut self, column: StringColumn, string: &str) -> Parsed<i64> {
        if self.dictionary.has(column) {
            let known = self.dictionary.reference(column, string);
            return known
                .map(i64::from)
                .ok_or_else(|| refuse("strings that the dictionary has", format!("{string:?}")));
        }
        Ok(i64::from(self.strings[column as usize].reference(string)))
    }

    fn optional(&mut self, column: StringColumn, string: &str) -> Parsed<()> {
        let reference = if string.is_empty() { 0 } else { self.reference(column, string)? };
        self.rows.references[column as usize].push(reference);
        Ok(())
    }

    fn row(&mut self, row: &Row<'a>) -> Parsed<()> {
        let (event, batch) = (&row.event, &row.batch);
        let head = &event.head;
        let recorded = head.recorded_at.as_nanos();
        let flag = |on: bool, bit: u8| if on { i64::from(bit) } else { 0 };
        self.rows.flags.push(
            flag(batch.last_of_batch, block::LAST_OF_BATCH)
                | flag(head.occurred_at.is_some(), block::OCCURRED)
                | flag(head.imported, block::IMPORTED)
                | flag(batch.clock_suspect, block::CLOCK_SUSPECT)
                | flag(batch.wall.is_some(), block::WALL)
                | flag(head.causation.is_some(), block::CAUSE),
        );
        self.rows.epochs.push(head.epoch.cast_signed());
        self.rows.recorded.push(recorded);
        self.rows.walls.push(batch.wall.map_or(0, |wall| wall.as_nanos().wrapping_sub(recorded)));
        // Where none is given, whatever is cheap: the time of the row before.
        let before = self.rows.occurred.last().copied().unwrap_or_default();
        self.rows.occurred.push(head.occurred_at.map_or(before, |time| time.as_nanos()));
        let cause = head.causation.map_or(0, |cause| head.position.get().wrapping_sub(cause.get()).cast_signed());
        self.rows.causes.push(cause);
        self.rows.data_lens.push(event.data().len() as i64);
        self.subject(event)?;
        let mut actor = std::mem::take(&mut self.actor);
        actor.clear();
        if let Some(found) = event.actor() {
            actor_string(found.kind(), found.id(), &mut actor);
        }
        self.optional(StringColumn::Actor, &actor)?;
        self.actor = actor;
        self.optional(StringColumn::Type, event.event_type())?;
        self.optional(StringColumn::OnBehalfOf, event.on_behalf_of().unwrap_or_default())?;
        self.optional(StringColumn::Source, event.source().unwrap_or_default())?;
        self.optional(StringColumn::Correlation, event.correlation().unwrap_or_default())?;
        self.optional(StringColumn::ContentType, event.content_type())?;
        let tags = event.tags().map(|tag| self.reference(StringColumn::Tag, tag)).collect::<Parsed<Vec<_>>>()?;
        let tag_list = self.tags.reference(tags);
        self.rows.tag_lists.push(tag_list);
        let mut pairs = Vec::new();
        for (name, value) in event.meta() {
            pairs.push(self.reference(StringColumn::MetaName, name)?);
            pairs.push(self.reference(StringColumn::MetaValue, value)?);
        }
        if pairs.len() > 2 * block::META_ENTRIES_MAX {
            return Err(refuse("metadata within the limits", pairs.len() / 2));
        }
        let meta_list = self.meta.reference(pairs);
        self.rows.meta_lists.push(meta_list);
        self.id(event);
        if let Some((key, hash)) = batch.key {
            self.key_rows.push(self.rows.flags.len() as i64 - 1);
            self.key_lens.push(key.len() as i64);
            self.keys.push_str(key);
            self.key_hashes.extend_from_slice(hash);
        }
        Ok(())
    }

    fn subject(&mut self, event: &EventRef<'a>) -> Parsed<()> {
        let subject = event.subject();
        let local = match self.local_subjects.get(subject) {
            Some(local) => *local,
            None => {
                let reference = self.reference(StringColumn::Subject, subject)?;
                self.subjects.push(reference);
                self.versions.push(event.version().cast_signed());
                let local = self.subjects.len() as i64;
                self.local_subjects.insert(subject, local);
                local
            }
        };
        self.rows.references[StringColumn::Subject as usize].push(local);
        Ok(())
    }

    fn id(&mut self, event: &EventRef<'a>) {
        // A number that is not there is cheapest as the one before it.
        let before = self.rows.id_numbers.last().copied().unwrap_or_default();
        let (form, number) = match event.given_id() {
            None => (block::ID_NONE, before),
            Some(id) => match self.dictionary.match_id(id, &Place::of(event)) {
                Some((template, number)) => {
                    let keeps = self.dictionary.template(template).is_some_and(|template| template.keeps_number());
                    (block::ID_TEMPLATES + template as i64, if keeps { number } else { before })
                }
                None => {
                    self.literals.push(id);
                    (block::ID_LITERAL, before)
                }
            },
        };
        self.rows.id_forms.push(form);
        self.rows.id_numbers.push(number);
    }

    fn finish(self, by_subject: bool, pages_at: u64, pages: &[PageEntry], out: &mut Vec<u8>) -> Parsed<()> {
        let (rows, mut sections, mut text) = (&self.rows, SectionsWriter::default(), String::new());
        sections.column(section::FLAGS, &rows.flags);
        sections.column(section::EPOCH, &rows.epochs);
        sections.column(section::RECORDED, &rows.recorded);
        sections.column(section::WALL, &rows.walls);
        sections.column(section::OCCURRED, &rows.occurred);
        sections.column(section::CAUSE, &rows.causes);
        sections.column(section::DATA_LEN, &rows.data_lens);
        sections.column(section::ID_FORM, &rows.id_forms);
        sections.column(section::ID_NUMBER, &rows.id_numbers);
        for (references, id) in rows.references.iter().zip(section::REFERENCES..) {
            sections.column(id, references);
        }
        sections.column(section::TAG_LIST, &rows.tag_lists);
        sections.column(section::META_LIST, &rows.meta_lists);
        if self.dictionary.has(StringColumn::Subject) {
            sections.list(section::SUBJECTS, &self.subjects);
        }
        sections.column(section::VERSIONS, &self.versions);
        sections.list(section::TAG_LISTS, &self.tags.lengths);
        sections.column(section::TAGS, &self.tags.elements);
        let entries: Vec<i64> = self.meta.lengths.iter().map(|len| len / 2).collect();
        sections.list(section::META_LISTS, &entries);
        let every_other = |skip: usize| self.meta.elements.iter().skip(skip).step_by(2).copied().collect::<Vec<_>>();
        sections.column(section::META_NAMES, &every_other(0));
        sections.column(section::META_VALUES, &every_other(1));
        for (strings, id) in self.strings.iter().zip(section::STRINGS..) {
            sections.list(id, &strings.lengths);
            text.push_str(&strings.text);
        }
        literals::encode(&self.literals, &mut sections, &mut text);
        sections.list(section::KEY_ROWS, &self.key_rows);
        sections.column(section::KEY_LENS, &self.key_lens);
        sections.raw(section::KEY_HASHES, &self.key_hashes);
        text.push_str(&self.keys);
        let of_pages =
            |value: &dyn Fn(&PageEntry) -> u32| pages.iter().map(|page| i64::from(value(page))).collect::<Vec<_>>();
        sections.column(section::PAGE_FIRST, &of_pages(&|page| page.first_rank));
        sections.column(section::PAGE_STORED, &of_pages(&|page| page.stored));
        sections.column(section::PAGE_CRC, &of_pages(&|page| page.crc));
        if text.len() > TEXT_BYTES_MAX {
            return Err(refuse("at most 96 MiB of strings in a block", text.len()));
        }
        sections.text(section::TEXT, &text);

        out.extend_from_slice(&(rows.flags.len() as u32).to_le_bytes());
        out.extend_from_slice(&(pages.len() as u32).to_le_bytes());
        out.extend_from_slice(&(if by_subject { block::BY_SUBJECT } else { 0 }).to_le_bytes());
        out.extend_from_slice(&sections.len().to_le_bytes());
        out.extend_from_slice(&pages_at.to_le_bytes());
        sections.finish(out);
        Ok(())
    }
}
