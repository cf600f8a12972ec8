//! One row, one column at a time, without putting events together: what queries ask before they read data.

use std::ops::Range;

use super::block::{Block, CAUSE, HASH_BYTES, LEAF_FLAGS, Lists, OCCURRED, PayloadPlace, Scratch};
use super::column::Ints;
use super::dictionary::StringColumn;
use crate::format::{Bad, Parsed};
use crate::position::Position;
use crate::time::Timestamp;

impl Block {
    /// The row as an index, if there is such a row.
    pub(super) fn index(&self, row: u32) -> Parsed<usize> {
        match row < self.facts.rows {
            true => Ok(row as usize),
            false => Err(Bad::new(0, format!("a row below {}", self.facts.rows), row.to_string())),
        }
    }

    pub(crate) fn payload(&self, row: u32) -> Parsed<PayloadPlace> {
        let len = self.columns.data_len.get(&self.head, self.index(row)?);
        Ok(self.place(row as usize, len))
    }

    pub(super) fn place(&self, index: usize, len: i64) -> PayloadPlace {
        match self.places.get(index) {
            Some((page, start)) if len > 0 => {
                PayloadPlace { page: u32::from(*page), start: *start as usize, len: len as usize }
            }
            _ => PayloadPlace::default(),
        }
    }

    pub(crate) fn recorded_at(&self, row: u32) -> Parsed<Timestamp> {
        Ok(Timestamp::from_nanos(self.columns.recorded.get(&self.head, self.index(row)?)))
    }

    /// `recorded_at` where none was given.
    pub(crate) fn occurred_at(&self, row: u32) -> Parsed<Timestamp> {
        match self.flags(row)? & OCCURRED {
            0 => self.recorded_at(row),
            _ => Ok(Timestamp::from_nanos(self.columns.occurred.get(&self.head, row as usize))),
        }
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn epoch(&self, row: u32) -> Parsed<u64> {
        Ok(self.columns.epoch.get(&self.head, self.index(row)?).cast_unsigned())
    }

    pub(crate) fn version(&self, row: u32) -> Parsed<u64> {
        let index = self.index(row)?;
        Ok(self.version_of(index, self.local_subject(index)))
    }

    /// `local` is the ordinal of the row's subject in the block.
    pub(super) fn version_of(&self, index: usize, local: i64) -> u64 {
        let first = usize::try_from(local - 1).ok().and_then(|local| self.versions.get(local).copied());
        let before = self.ordinals.get(index).copied().unwrap_or_default();
        first.unwrap_or_default().cast_unsigned().wrapping_add(u64::from(before))
    }

    fn local_subject(&self, index: usize) -> i64 {
        self.columns.references[StringColumn::Subject as usize].get(&self.head, index)
    }

    pub(crate) fn causation(&self, row: u32) -> Parsed<Option<Position>> {
        let index = self.index(row)?;
        let back = self.columns.cause.get(&self.head, index).cast_unsigned();
        let caused = self.raw_flags(index) & CAUSE != 0;
        Ok(caused.then(|| Position::new((self.facts.base.get() + u64::from(row)).wrapping_sub(back))))
    }

    pub(crate) fn subject(&self, row: u32) -> Parsed<&str> {
        let local = self.local_subject(self.index(row)?);
        self.subject_text(local)
    }

    pub(super) fn subject_text(&self, local: i64) -> Parsed<&str> {
        let reference = self.subject_reference(local);
        let value = reference.and_then(|reference| self.value(StringColumn::Subject, reference));
        value.ok_or_else(|| no_string(StringColumn::Subject, local))
    }

    fn subject_reference(&self, local: i64) -> Option<u32> {
        let local = u32::try_from(local).ok()?;
        match &self.subjects {
            Some(subjects) => subjects.get(local.checked_sub(1)? as usize).copied(),
            None => Some(local),
        }
    }

    fn raw_flags(&self, index: usize) -> u8 {
        self.columns.flags.get(&self.head, index) as u8
    }

    /// The flags of the row's leaf: 1 last of its batch, 2 occurred_at given, 4 imported, 8 clock suspect.
    pub(crate) fn flags(&self, row: u32) -> Parsed<u8> {
        Ok(self.raw_flags(self.index(row)?) & LEAF_FLAGS)
    }

    #[cfg(any(test, feature = "fuzzing"))]
    /// The reference of a column that has one a row (all but tags and metadata): see [`Block::value`].
    pub(crate) fn reference(&self, column: StringColumn, row: u32) -> Parsed<u32> {
        let index = self.index(row)?;
        let packed = self.columns.references.get(column as usize);
        let value = packed.ok_or_else(|| no_string(column, 0))?.get(&self.head, index);
        let reference = match column {
            StringColumn::Subject => self.subject_reference(value),
            _ => u32::try_from(value).ok(),
        };
        reference.ok_or_else(|| no_string(column, value))
    }

    /// The string behind a reference, 0 being none; whichever scope the column has.
    pub(crate) fn value(&self, column: StringColumn, reference: u32) -> Option<&str> {
        match self.dictionary.has(column) {
            true => self.dictionary.value(column, reference),
            false => self.strings[column as usize].get(&self.text, reference),
        }
    }

    /// The string of a reference as a column has it; empty for 0.
    pub(super) fn text_of(&self, column: StringColumn, reference: i64) -> Parsed<&str> {
        match u32::try_from(reference) {
            Ok(0) => Ok(""),
            Ok(reference) => self.value(column, reference).ok_or_else(|| no_string(column, reference.into())),
            Err(_) => Err(no_string(column, reference)),
        }
    }

    #[cfg(any(test, feature = "fuzzing"))]
    /// References of a row's tags.
    pub(crate) fn tags(&self, row: u32) -> Parsed<impl ExactSizeIterator<Item = u32>> {
        let list = self.columns.tag_list.get(&self.head, self.index(row)?);
        Ok(self.tag_lists.range(list)?.map(|element| self.tags.get(&self.head, element) as u32))
    }

    /// The given id of a row, for comparing with one that is looked for.
    pub(crate) fn given_id<'a>(&'a self, row: u32, scratch: &'a mut Scratch) -> Parsed<Option<&'a str>> {
        self.id_alone(self.index(row)?, scratch)
    }

    /// References of the strings that pass a test, ascending. Those of the whole segment, if the column's strings are
    /// in the dictionary; for subjects, those that the block has.
    pub(crate) fn references_where(&self, column: StringColumn, test: &mut dyn FnMut(&str) -> bool) -> Vec<u32> {
        let mut passed = |(reference, string): (u32, &str)| test(string).then_some(reference);
        if let (StringColumn::Subject, Some(subjects)) = (column, &self.subjects) {
            let string = |reference: &u32| Some((*reference, self.value(column, *reference)?));
            let mut references: Vec<u32> = subjects.iter().filter_map(string).filter_map(passed).collect();
            references.sort_unstable();
            return references;
        }
        match self.dictionary.references(column) {
            Some(references) => references.filter_map(passed).collect(),
            None => self.strings[column as usize].iter(&self.text).filter_map(&mut passed).collect(),
        }
    }

    /// Appends the rows that have one of the references, which ascend, in a column.
    pub(crate) fn rows_where(&self, column: StringColumn, references: &[u32], rows: Range<u32>, out: &mut Vec<u32>) {
        let wanted = |value: i64| u32::try_from(value).is_ok_and(|value| references.binary_search(&value).is_ok());
        let list = |lists: &Lists, elements: &Ints| -> Vec<u32> {
            let hit = |ordinal: &u32| {
                let range = lists.range(i64::from(*ordinal)).unwrap_or_default();
                range.into_iter().any(|element| wanted(elements.get(&self.head, element)))
            };
            (1..=lists.ends.len() as u32).filter(hit).collect()
        };
        match column {
            StringColumn::Subject => match &self.subjects {
                None => self.scan(&self.columns.references[0], references, rows, out),
                Some(subjects) => {
                    let hit = |local: &u32| {
                        subjects.get(*local as usize - 1).is_some_and(|subject| wanted(i64::from(*subject)))
                    };
                    let locals: Vec<u32> = (1..=subjects.len() as u32).filter(hit).collect();
                    self.scan(&self.columns.references[0], &locals, rows, out);
                }
            },
            StringColumn::Tag => self.scan(&self.columns.tag_list, &list(&self.tag_lists, &self.tags), rows, out),
            StringColumn::MetaName => {
                self.scan(&self.columns.meta_list, &list(&self.meta_lists, &self.meta_names), rows, out);
            }
            StringColumn::MetaValue => {
                self.scan(&self.columns.meta_list, &list(&self.meta_lists, &self.meta_values), rows, out);
            }
            _ => self.scan(&self.columns.references[column as usize], references, rows, out),
        }
    }

    /// The rows whose value in a column is among some that ascend.
    fn scan(&self, column: &Ints, values: &[u32], rows: Range<u32>, out: &mut Vec<u32>) {
        let rows = rows.start..rows.end.min(self.facts.rows);
        let (Some(first), Some(last)) = (values.first(), values.last()) else { return };
        let (first, last) = (i64::from(*first), i64::from(*last));
        let in_values = |value: i64| value == first || values.binary_search(&(value as u32)).is_ok();
        let hit = |value: i64| (first..=last).contains(&value) && (first == last || in_values(value));
        if let Some(constant) = column.constant() {
            if hit(constant) {
                out.extend(rows);
            }
        } else if rows.len() < 8 {
            out.extend(rows.filter(|row| hit(column.get(&self.head, *row as usize))));
        } else {
            let mut all = Vec::new();
            column.unpack(&self.head, &mut all);
            out.extend(rows.filter(|row| all.get(*row as usize).is_some_and(|value| hit(*value))));
        }
    }

    /// Key and content hash of the batch, on its first event.
    pub(crate) fn key(&self, row: u32) -> Parsed<Option<(&str, &[u8; HASH_BYTES])>> {
        let Ok(index) = self.key_rows.binary_search(&i64::from(row)) else { return Ok(None) };
        let key = self.keys.get(&self.text, index as u32 + 1);
        let hashes = self.head.get(self.key_hashes.clone()).unwrap_or_default();
        let hash = hashes.as_chunks::<HASH_BYTES>().0.get(index);
        key.zip(hash).map(Some).ok_or_else(|| Bad::new(0, "a key and a hash", "one without the other"))
    }
}

fn no_string(column: StringColumn, reference: i64) -> Box<Bad> {
    Bad::new(0, format!("a string of the column {column:?}"), format!("reference {reference}"))
}
