//! The head of a block: up to 1,024 rows, all that is known of their events but the data.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | rows, 1 to 1,024 |
//! | 4 | 4 | payload pages |
//! | 8 | 4 | flags: 1 payloads are ordered by subject; the others are incompatible |
//! | 12 | 4 | number of sections |
//! | 16 | 8 | offset of the first page in the file |
//! | 24 | | sections |
//!
//! A reference is 1 for the first string of its column, in the segment dictionary or in this block as the dictionary
//! says; 0 is none. The sections, columns with one value a row if not said otherwise:
//!
//! | section | what |
//! |---|---|
//! | 1 | flags: 1 last of its batch, 2 occurred_at given, 4 imported, 8 clock suspect, 16 wall clock kept, 32 caused |
//! | 2 | epoch |
//! | 3 | recorded_at, ns since 1970 |
//! | 4 | wall clock less recorded_at, where kept |
//! | 5 | occurred_at, where given |
//! | 6 | position less that of the cause, where caused |
//! | 7 | length of the data |
//! | 8 | id: 0 none given, 1 a literal (the next one), 2 + n template n of the dictionary |
//! | 9 | number of the id, where its template keeps one |
//! | 10 | subject: its ordinal among the block's subjects, 1 for the first, in order of appearance |
//! | 11 to 16 | references: type, actor, on_behalf_of, source, correlation, content type |
//! | 17, 18 | tag list, metadata list: ordinal among those of the block; 0 none |
//! | 20 | list: references of the block's subjects; only if they are in the dictionary |
//! | 21 | for each subject of the block: the version of its first row |
//! | 22 | list: lengths of the tag lists |
//! | 23 | references of the tags of all lists |
//! | 24 | list: entries of the metadata lists |
//! | 25, 26 | references of the names, and of the values, of all lists |
//! | 32 to 41 | list: lengths of the block's own strings of column 0 to 9 |
//! | 48 to 51 | literal ids |
//! | 56 | list: rows that are the first of a batch with an idempotency key |
//! | 57 | for each of them: length of the key |
//! | 58 | raw: for each of them the content hash, 32 bytes |
//! | 60, 61, 62 | for each page: rank of its first payload, stored length, CRC-32 of the stored bytes |
//! | 64 | text: strings of columns 0 to 9, rests of literal ids, keys |
//!
//! Reserved: 72 payload codec, 73 encryption key id, 74 origin of a replicated event.
//!
//! A row's version is that of its subject's first row plus the subject's rows before it. Payloads stand one after the
//! other in order of rank: that of the rows, or of the rows sorted by subject (stable). A page ends where the next
//! one begins; its raw length is the sum of its payloads' lengths. The pages stand one after the other in the file.

use std::ops::Range;
use std::sync::Arc;

use super::column::Ints;
use super::dictionary::{Dictionary, StringColumn};
use super::literals::{self, Literals};
use super::places::{Places, lay_pages, literal_ordinals, order, ordinals};
use super::sections::Sections;
use super::strings::Strings;
use crate::event::{EventRef, LogId};
use crate::format::bytes::{u32_at, u64_at};
use crate::format::leaf::BatchFacts;
use crate::format::{Bad, Parsed};
use crate::limits::DATA_BYTES_MAX;
use crate::position::Position;

pub(crate) use super::assemble::{Scratch, Unpacked};
pub(crate) use super::encode::{encode, payload_order};

/// Rows of a block at most.
pub(crate) const ROWS_MAX: u32 = 1024;
/// Bytes of all strings of a block at most; whoever fills blocks ends one before it has more.
pub(crate) const TEXT_BYTES_MAX: usize = 96 << 20;
/// Bytes of a raw page at most: a payload may be a page of its own.
pub(crate) const PAGE_RAW_MAX: u64 = 2 * DATA_BYTES_MAX as u64;
pub(super) const META_ENTRIES_MAX: usize = crate::limits::META_ENTRIES_MAX;
pub(super) const HASH_BYTES: usize = 32;
const TAGS_MAX: usize = u8::MAX as usize;
const HEADER_BYTES: usize = 24;
pub(super) const BY_SUBJECT: u32 = 1;

pub(super) const LAST_OF_BATCH: u8 = 1;
pub(super) const OCCURRED: u8 = 2;
pub(super) const IMPORTED: u8 = 4;
pub(super) const CLOCK_SUSPECT: u8 = 8;
pub(super) const WALL: u8 = 16;
pub(super) const CAUSE: u8 = 32;
/// Those that the leaf of an event has.
pub(super) const LEAF_FLAGS: u8 = LAST_OF_BATCH | OCCURRED | IMPORTED | CLOCK_SUSPECT;

pub(super) const ID_NONE: i64 = 0;
pub(super) const ID_LITERAL: i64 = 1;
pub(super) const ID_TEMPLATES: i64 = 2;

/// String columns of which each row has one.
pub(super) const ROW_STRINGS: usize = 7;

/// Ids of sections.
pub(super) mod section {
    pub(crate) const FLAGS: u8 = 1;
    pub(crate) const EPOCH: u8 = 2;
    pub(crate) const RECORDED: u8 = 3;
    pub(crate) const WALL: u8 = 4;
    pub(crate) const OCCURRED: u8 = 5;
    pub(crate) const CAUSE: u8 = 6;
    pub(crate) const DATA_LEN: u8 = 7;
    pub(crate) const ID_FORM: u8 = 8;
    pub(crate) const ID_NUMBER: u8 = 9;
    pub(crate) const REFERENCES: u8 = 10;
    pub(crate) const TAG_LIST: u8 = 17;
    pub(crate) const META_LIST: u8 = 18;
    pub(crate) const SUBJECTS: u8 = 20;
    pub(crate) const VERSIONS: u8 = 21;
    pub(crate) const TAG_LISTS: u8 = 22;
    pub(crate) const TAGS: u8 = 23;
    pub(crate) const META_LISTS: u8 = 24;
    pub(crate) const META_NAMES: u8 = 25;
    pub(crate) const META_VALUES: u8 = 26;
    pub(crate) const STRINGS: u8 = 32;
    pub(crate) const KEY_ROWS: u8 = 56;
    pub(crate) const KEY_LENS: u8 = 57;
    pub(crate) const KEY_HASHES: u8 = 58;
    pub(crate) const PAGE_FIRST: u8 = 60;
    pub(crate) const PAGE_STORED: u8 = 61;
    pub(crate) const PAGE_CRC: u8 = 62;
    pub(crate) const TEXT: u8 = 64;
}

/// What a block's head does not say itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockFacts {
    pub(crate) log: LogId,
    /// The position of the first row.
    pub(crate) base: Position,
    pub(crate) rows: u32,
}

/// One event with what its leaf holds beside it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) event: EventRef<'a>,
    pub(crate) batch: BatchFacts<'a>,
}

/// One payload page: payloads from `first_rank` on, up to the first of the next page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageEntry {
    pub(crate) first_rank: u32,
    /// In the file.
    pub(crate) offset: u64,
    pub(crate) stored: u32,
    pub(crate) raw: u32,
    pub(crate) crc: u32,
}

/// Where a payload lies in its raw page. Of length 0: no page needs to be read, and all is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PayloadPlace {
    pub(crate) page: u32,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// Columns with one value a row, packed.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) flags: Ints,
    pub(super) epoch: Ints,
    pub(super) recorded: Ints,
    pub(super) wall: Ints,
    pub(super) occurred: Ints,
    pub(super) cause: Ints,
    pub(super) data_len: Ints,
    pub(super) id_form: Ints,
    pub(super) id_number: Ints,
    pub(super) references: [Ints; ROW_STRINGS],
    pub(super) tag_list: Ints,
    pub(super) meta_list: Ints,
}

/// Lists of references: where each ends among the elements.
#[derive(Debug)]
pub(super) struct Lists {
    pub(super) ends: Box<[u32]>,
}

impl Lists {
    fn parse(bytes: &[u8], lengths: &Ints, list_max: usize) -> Parsed<Lists> {
        let mut all = Vec::new();
        lengths.unpack(bytes, &mut all);
        let mut end = 0;
        let ends = all.into_iter().map(|len| match usize::try_from(len) {
            Ok(len) if len <= list_max => {
                end += len as u32;
                Ok(end)
            }
            _ => Err(Bad::new(0, format!("a list of at most {list_max}"), len.to_string())),
        });
        Ok(Lists { ends: ends.collect::<Parsed<_>>()? })
    }

    fn elements(&self) -> usize {
        self.ends.last().map_or(0, |end| *end as usize)
    }

    /// The elements of the list with an ordinal; 0 is the empty one.
    pub(super) fn range(&self, ordinal: i64) -> Parsed<Range<usize>> {
        let end_of = |ordinal: i64| {
            let index = usize::try_from(ordinal.wrapping_sub(1)).ok()?;
            self.ends.get(index).map(|end| *end as usize)
        };
        match (ordinal, end_of(ordinal)) {
            (0, _) => Ok(0..0),
            (1.., Some(end)) => Ok(end_of(ordinal - 1).unwrap_or_default()..end),
            _ => Err(Bad::new(0, format!("one of {} lists", self.ends.len()), ordinal.to_string())),
        }
    }
}

/// A parsed block head: columns stay packed, texts are decoded.
#[derive(Debug)]
pub(crate) struct Block {
    pub(super) head: Box<[u8]>,
    pub(super) text: Box<str>,
    pub(super) facts: BlockFacts,
    pub(super) dictionary: Arc<Dictionary>,
    pub(super) columns: Columns,
    /// The block's own strings, where the column has block scope.
    pub(super) strings: [Strings; StringColumn::ALL.len()],
    /// Where subjects are in the dictionary: their references.
    pub(super) subjects: Option<Box<[u32]>>,
    pub(super) versions: Box<[i64]>,
    pub(super) tag_lists: Lists,
    pub(super) tags: Ints,
    pub(super) meta_lists: Lists,
    pub(super) meta_names: Ints,
    pub(super) meta_values: Ints,
    pub(super) literals: Literals,
    /// For each row with a literal id its ordinal among them; empty if none has one.
    pub(super) literal_of: Box<[u16]>,
    pub(super) key_rows: Box<[i64]>,
    pub(super) keys: Strings,
    pub(super) key_hashes: Range<usize>,
    pub(super) pages: Box<[PageEntry]>,
    /// For each row: rows of its subject before it.
    pub(super) ordinals: Box<[u16]>,
    /// For each row: its page, and where its payload starts there. Empty if there are no pages.
    pub(super) places: Places,
}

/// The sections that this version knows.
fn is_known(id: u8) -> bool {
    let columns = section::FLAGS..=section::META_LIST;
    let lists = section::SUBJECTS..=section::META_VALUES;
    let strings = section::STRINGS..section::STRINGS + StringColumn::ALL.len() as u8;
    let keys = section::KEY_ROWS..=section::KEY_HASHES;
    let pages = section::PAGE_FIRST..=section::PAGE_CRC;
    let ranges = [columns, lists, keys, pages];
    ranges.iter().any(|range| range.contains(&id))
        || strings.contains(&id)
        || literals::SECTIONS.contains(&id)
        || id == section::TEXT
}

impl Block {
    pub(crate) fn parse(head: Box<[u8]>, facts: BlockFacts, dictionary: Arc<Dictionary>) -> Parsed<Block> {
        let bytes = &*head;
        let short = || Bad::new(0, "the head of a block", format!("{} bytes", bytes.len()));
        let [rows, page_count, flags, count] = [0, 4, 8, 12].map(|at| u32_at(bytes, at).ok_or_else(short));
        let (rows, page_count, flags, count) = (rows?, page_count?, flags?, count?);
        let pages_at = u64_at(bytes, 16).ok_or_else(short)?;
        if rows != facts.rows || !(1..=ROWS_MAX).contains(&rows) {
            return Err(Bad::new(0, format!("{} rows, 1 to 1024", facts.rows), rows.to_string()));
        }
        if page_count > rows {
            return Err(Bad::new(4, format!("at most {rows} pages"), page_count.to_string()));
        }
        if flags & !BY_SUBJECT != 0 {
            return Err(Bad::new(8, "flags of format version 1", format!("{flags:#x}")));
        }
        if facts.base.get().checked_add(u64::from(rows)).is_none() {
            return Err(Bad::new(0, "positions of 64 bits", format!("{rows} from {}", facts.base)));
        }
        let rows = rows as usize;
        let sections = Sections::parse(bytes, HEADER_BYTES, count, is_known)?;
        let column = |id: u8| sections.column(id, rows);
        let mut references: [Ints; ROW_STRINGS] = Default::default();
        for (references, id) in references.iter_mut().zip(section::REFERENCES..) {
            *references = column(id)?;
        }
        let columns = Columns {
            flags: column(section::FLAGS)?,
            epoch: column(section::EPOCH)?,
            recorded: column(section::RECORDED)?,
            wall: column(section::WALL)?,
            occurred: column(section::OCCURRED)?,
            cause: column(section::CAUSE)?,
            data_len: column(section::DATA_LEN)?,
            id_form: column(section::ID_FORM)?,
            id_number: column(section::ID_NUMBER)?,
            references,
            tag_list: column(section::TAG_LIST)?,
            meta_list: column(section::META_LIST)?,
        };

        let mut values = Vec::new();
        let mut text_bytes = 0;
        let mut strings: [Strings; StringColumn::ALL.len()] = Default::default();
        for (column, strings) in StringColumn::ALL.into_iter().zip(&mut strings) {
            let max = match column {
                StringColumn::Tag => rows * TAGS_MAX,
                StringColumn::MetaName | StringColumn::MetaValue => rows * META_ENTRIES_MAX,
                _ => rows,
            };
            let lengths = sections.list(section::STRINGS + column as u8, max)?;
            *strings = Strings::lay_out(bytes, &lengths, TEXT_BYTES_MAX, &mut text_bytes)?;
        }
        let literals = Literals::parse(&sections, bytes, rows, TEXT_BYTES_MAX, &mut text_bytes)?;
        let key_rows = sections.list(section::KEY_ROWS, rows)?;
        let key_lens = sections.column(section::KEY_LENS, key_rows.count())?;
        let keys = Strings::lay_out(bytes, &key_lens, TEXT_BYTES_MAX, &mut text_bytes)?;
        let key_hashes = sections.raw(section::KEY_HASHES)?;
        if key_hashes.len() != key_rows.count() * HASH_BYTES {
            return Err(Bad::new(key_hashes.start as u64, "a hash for each key", "another number"));
        }
        key_rows.unpack(bytes, &mut values);
        let key_rows: Box<[i64]> = values.as_slice().into();
        let text = sections.text(section::TEXT, text_bytes)?;
        strings.iter().chain([&keys]).try_for_each(|strings| strings.check(&text))?;
        literals.check(&text)?;

        let subjects = match dictionary.has(StringColumn::Subject) {
            true => {
                sections.list(section::SUBJECTS, rows)?.unpack(bytes, &mut values);
                let reference = |value: &i64| {
                    let reference = u32::try_from(*value).ok()?;
                    dictionary.value(StringColumn::Subject, reference).map(|_| reference)
                };
                let outside = || Bad::new(0, "subjects of the dictionary", "a reference to none");
                Some(values.iter().map(reference).collect::<Option<Box<[u32]>>>().ok_or_else(outside)?)
            }
            false => None,
        };
        let subject_count = match &subjects {
            Some(subjects) => subjects.len(),
            None => strings[StringColumn::Subject as usize].len() as usize,
        };
        sections.column(section::VERSIONS, subject_count)?.unpack(bytes, &mut values);
        let versions: Box<[i64]> = values.as_slice().into();
        let tag_lists = Lists::parse(bytes, &sections.list(section::TAG_LISTS, rows)?, TAGS_MAX)?;
        let tags = sections.column(section::TAGS, tag_lists.elements())?;
        let meta_lists = Lists::parse(bytes, &sections.list(section::META_LISTS, rows)?, META_ENTRIES_MAX)?;
        let meta_names = sections.column(section::META_NAMES, meta_lists.elements())?;
        let meta_values = sections.column(section::META_VALUES, meta_lists.elements())?;
        let literal_of = literal_ordinals(&columns.id_form, bytes, literals.len())?;

        columns.references[StringColumn::Subject as usize].unpack(bytes, &mut values);
        let (ordinals, counts) = ordinals(&values, subject_count)?;
        let mut lens = Vec::new();
        columns.data_len.unpack(bytes, &mut lens);
        if !lens.iter().all(|len| (0..=DATA_BYTES_MAX as i64).contains(len)) {
            return Err(Bad::new(0, "lengths of data within the limit", "a longer one"));
        }
        let by_subject = (flags & BY_SUBJECT != 0).then_some((&values[..], &counts[..], &ordinals[..]));
        let order = order(rows, by_subject);
        let page = |id| -> Parsed<Vec<i64>> {
            let mut values = Vec::new();
            sections.column(id, page_count as usize)?.unpack(bytes, &mut values);
            Ok(values)
        };
        let (firsts, stored, crcs) =
            (page(section::PAGE_FIRST)?, page(section::PAGE_STORED)?, page(section::PAGE_CRC)?);
        let (pages, places) = lay_pages(&order, &lens, pages_at, &firsts, &stored, &crcs)?;
        Ok(Block {
            text,
            facts,
            dictionary,
            columns,
            strings,
            subjects,
            versions,
            tag_lists,
            tags,
            meta_lists,
            meta_names,
            meta_values,
            literals,
            literal_of,
            key_rows,
            keys,
            key_hashes,
            pages,
            ordinals,
            places,
            head,
        })
    }

    pub(crate) fn rows(&self) -> u32 {
        self.facts.rows
    }

    /// Bytes held, about.
    pub(crate) fn memory(&self) -> usize {
        let parts = [
            size_of::<Block>(),
            self.head.len(),
            self.text.len(),
            self.strings.iter().chain([&self.keys]).map(Strings::memory).sum::<usize>(),
            self.literals.memory(),
            size_of_val(&*self.versions),
            size_of_val(&*self.literal_of),
            size_of_val(&*self.key_rows),
            size_of_val(&*self.pages),
            size_of_val(&*self.ordinals),
            size_of_val(&*self.places),
            size_of_val(&*self.tag_lists.ends),
            size_of_val(&*self.meta_lists.ends),
        ];
        parts.iter().sum()
    }

    pub(crate) fn page_count(&self) -> u32 {
        self.pages.len() as u32
    }

    pub(crate) fn page(&self, index: u32) -> Option<PageEntry> {
        self.pages.get(index as usize).copied()
    }
}
