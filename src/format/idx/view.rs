//! Asking an index: bytes in, values out, no allocation. Every byte that an answer depends on comes
//! from a page that passed its check, and every number is held against the bounds that the header
//! sets before it is used. Offsets in errors count from the start of the file.

use std::ops::Range;

use super::header::IdxHeader;
use super::pages::{Checked, Space, file_offset};
use super::types::TypeNames;
use super::{TERM_BYTES, ZONE_BYTES, ZONE_ROWS, Zone};
use crate::format::bytes::{u32_at, u64_at};
use crate::format::frame;
use crate::format::term::Dimension;
use crate::format::{Bad, Parsed};

/// An index over the bytes of its file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdxView<'a> {
    pub(super) header: &'a IdxHeader,
    pub(super) space: Space<'a>,
}

/// What an index says of one term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TermEntry {
    pub(crate) hash: u64,
    /// For a subject the version of its event in the last row, else 0.
    pub(crate) extra: u64,
    /// Number of rows; at least 1.
    pub(crate) count: u32,
    pub(crate) last_row: u32,
    /// The first of its postings; none are stored for a term of one row.
    pub(super) start: u32,
    pub(super) dimension: u8,
}

impl TermEntry {
    pub(super) fn encode(&self) -> [u8; TERM_BYTES as usize] {
        let mut bytes = [0; TERM_BYTES as usize];
        bytes[0..8].copy_from_slice(&self.hash.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.extra.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.start.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.count.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.last_row.to_le_bytes());
        bytes[28] = self.dimension;
        bytes
    }

    fn read(bytes: &[u8; TERM_BYTES as usize]) -> TermEntry {
        TermEntry {
            hash: u64_at(bytes, 0).unwrap_or_default(),
            extra: u64_at(bytes, 8).unwrap_or_default(),
            start: u32_at(bytes, 16).unwrap_or_default(),
            count: u32_at(bytes, 20).unwrap_or_default(),
            last_row: u32_at(bytes, 24).unwrap_or_default(),
            dimension: bytes[28],
        }
    }
}

impl<'a> IdxView<'a> {
    /// `file` is the whole file, `header` what was read from its first page, and `checked` what is
    /// known of the others so far.
    pub(crate) fn new(file: &'a [u8], header: &'a IdxHeader, checked: &'a Checked) -> IdxView<'a> {
        IdxView { header, space: Space::new(file, header.facts.salt, checked) }
    }

    /// Where the event of a row stands in the raw file: offset of its frame, and index within it.
    #[inline]
    pub(crate) fn place(&self, row: u32) -> Parsed<(u64, u32)> {
        if row >= self.header.rows {
            return Err(self.no_such("row", row, self.header.rows));
        }
        let frame = self.space.u32(self.header.layout.frames.offset + u64::from(row) * 4)?;
        let index = self.space.u16(self.header.layout.indices.offset + u64::from(row) * 2)?;
        Ok((u64::from(frame) * frame::ALIGN, u32::from(index)))
    }

    #[cold]
    fn no_such(&self, what: &'static str, index: u32, count: u32) -> Box<Bad> {
        Bad::new(0, format!("one of {count} {what}s"), format!("{what} {index}"))
    }

    /// Whether a term of this hash may be there; `false` is certain.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> Parsed<bool> {
        let Some(shape) = &self.header.filter else { return Ok(true) };
        let ([first, second, third], fingerprint) = shape.places(hash);
        let at = |place| self.space.u8(self.header.layout.filter.offset + place);
        Ok(at(first)? ^ at(second)? ^ at(third)? == fingerprint)
    }

    /// The entry of a term; `None` if no row has it.
    pub(crate) fn find(&self, dimension: Dimension, hash: u64) -> Parsed<Option<TermEntry>> {
        if !self.may_contain(hash)? {
            return Ok(None);
        }
        let mut index = self.first_not_below(hash)?;
        // A hash has few entries: one a dimension.
        while index < self.header.layout.terms.count {
            let bytes = self.term_bytes(index)?;
            if u64_at(bytes, 0) != Some(hash) {
                break;
            }
            if bytes[28] == dimension as u8 {
                return self.term(index).map(Some);
            }
            index += 1;
        }
        Ok(None)
    }

    fn term_bytes(&self, index: u32) -> Parsed<&'a [u8; TERM_BYTES as usize]> {
        self.space.array(self.header.layout.terms.offset + u64::from(index) * TERM_BYTES)
    }

    fn hash_of(&self, index: u32) -> Parsed<u64> {
        self.space.u64(self.header.layout.terms.offset + u64::from(index) * TERM_BYTES)
    }

    /// The entry at an index below the number of terms; its numbers fit the header.
    pub(super) fn term(&self, index: u32) -> Parsed<TermEntry> {
        let entry = TermEntry::read(self.term_bytes(index)?);
        let stored = if entry.count > 1 { entry.count } else { 0 };
        let end = u64::from(entry.start) + u64::from(stored);
        let sane = entry.count > 0
            && entry.count <= self.header.rows
            && entry.last_row < self.header.rows
            && end <= u64::from(self.header.layout.postings.count);
        if sane {
            return Ok(entry);
        }
        let at = self.header.layout.terms.offset + u64::from(index) * TERM_BYTES;
        Err(Bad::new(file_offset(at), "a term of rows and postings that exist", format!("{entry:?}")))
    }

    /// The index of the first term whose hash is not below `hash`; the number of terms if all are.
    ///
    /// Hashes are spread evenly, so the place of one can be guessed from its value, and the guess
    /// is off by some hundreds in a million. Each guess also bounds the search, which stays right
    /// however bad the guesses are; after a few it gallops to bound the other side and halves.
    fn first_not_below(&self, hash: u64) -> Parsed<u32> {
        const GUESSES: u32 = 3;
        let count = self.header.layout.terms.count;
        let scaled = |distance: u64| ((u128::from(distance) * u128::from(count)) >> 64) as u32;
        // The answer is at least `low` and at most `high`.
        let (mut low, mut high) = (0, count);
        let mut guess = scaled(hash);
        for _ in 0..GUESSES {
            if low >= high {
                return Ok(low);
            }
            guess = guess.clamp(low, high - 1);
            let found = self.hash_of(guess)?;
            if found < hash {
                low = guess + 1;
                guess = low.saturating_add(scaled(hash - found));
            } else {
                high = guess;
                guess = high.saturating_sub(1 + scaled(found - hash));
            }
        }
        // From the end that the last guess was near to, in growing steps, until it was passed.
        let mut step = 5;
        while low < high {
            let near_low = guess.saturating_sub(low) < high.saturating_sub(guess);
            let probe = probe(low..high, step, near_low);
            if self.hash_of(probe)? < hash {
                low = probe + 1;
            } else {
                high = probe;
            }
            step = step.saturating_mul(4);
        }
        Ok(low)
    }

    /// The rows of a term, ascending from the front and descending from the back, of which only
    /// those in `rows` are asked for.
    pub(crate) fn postings(&self, term: &TermEntry, rows: Range<u32>) -> Parsed<Postings<'a>> {
        let mut postings = Postings { view: *self, term: *term, front: 0, back: term.count };
        postings.skip_to(rows.start)?;
        postings.skip_back_below(rows.end)?;
        Ok(postings)
    }

    /// The times of the `index`-th 1,024 rows.
    pub(crate) fn zone(&self, index: u32) -> Parsed<Zone> {
        let zones = &self.header.layout.zones;
        if index >= zones.count {
            return Err(self.no_such("zone", index, zones.count));
        }
        let at = zones.offset + u64::from(index) * ZONE_BYTES;
        let bytes = self.space.array::<{ ZONE_BYTES as usize }>(at)?;
        Zone::read(bytes).ok_or_else(|| self.no_such("zone", index, zones.count))
    }

    /// All zones, each with its rows.
    pub(crate) fn zones(&self) -> impl Iterator<Item = Parsed<(Range<u32>, Zone)>> + use<'a> {
        let view = *self;
        (0..view.header.layout.zones.count).map(move |index| {
            let start = index * ZONE_ROWS;
            Ok((start..(start + ZONE_ROWS).min(view.header.rows), view.zone(index)?))
        })
    }

    /// The event types; `None` if there were too many to list them.
    pub(crate) fn type_names(&self) -> Parsed<Option<TypeNames>> {
        if !self.header.has_types {
            return Ok(None);
        }
        let types = &self.header.layout.types;
        let section = self.space.copy(types.offset, types.len)?;
        // The section may span pages, so offsets in it say nothing about the file.
        let names = TypeNames::parse(&section, types.count)
            .map_err(|bad| Bad { offset: file_offset(types.offset + bad.offset), ..*bad })?;
        Ok(Some(names))
    }
}

/// Where a search goes on among some places, one at least: so many steps from an end, or in their middle. Any of them
/// is right; this one is near to what is looked for, where that is near to the end.
#[inline]
fn probe(places: Range<u32>, step: u32, from_start: bool) -> u32 {
    let half = (places.end - places.start) / 2;
    match step < half {
        true if from_start => places.start + step - 1,
        true => places.end - step,
        false => places.start + half,
    }
}

/// Rows of a term. Both ends are as cheap as each other, and so is skipping.
#[derive(Debug, Clone)]
pub(crate) struct Postings<'a> {
    view: IdxView<'a>,
    term: TermEntry,
    /// What is left are the postings from `front` to before `back`, counted within the term.
    front: u32,
    back: u32,
}

impl Postings<'_> {
    /// How many rows are left.
    pub(crate) fn len(&self) -> u32 {
        self.back - self.front
    }

    /// The row of this index among all of the term.
    pub(crate) fn row(&self, index: u32) -> Parsed<u32> {
        if self.term.count == 1 {
            return Ok(self.term.last_row);
        }
        let postings = &self.view.header.layout.postings;
        let at = postings.offset + (u64::from(self.term.start) + u64::from(index)) * 4;
        let row = self.view.space.u32(at)?;
        if row >= self.view.header.rows {
            return Err(Bad::new(file_offset(at), "the number of a row", row.to_string()));
        }
        Ok(row)
    }

    /// Drops the rows below `row`.
    pub(crate) fn skip_to(&mut self, row: u32) -> Parsed<()> {
        if row == 0 {
            return Ok(());
        }
        // Whoever intersects terms skips a little each time, so the search begins at the front.
        let mut step = 1;
        let (mut low, mut high) = (self.front, self.back);
        while low < high {
            let probe = probe(low..high, step, true);
            if self.row(probe)? < row {
                low = probe + 1;
                step = step.saturating_mul(2);
            } else {
                high = probe;
            }
        }
        self.front = low;
        Ok(())
    }

    /// Drops the rows from `row` on.
    pub(crate) fn skip_back_below(&mut self, row: u32) -> Parsed<()> {
        if row > self.term.last_row {
            return Ok(());
        }
        let mut step = 1;
        let (mut low, mut high) = (self.front, self.back);
        while low < high {
            let probe = probe(low..high, step, false);
            if self.row(probe)? < row {
                low = probe + 1;
            } else {
                high = probe;
                step = step.saturating_mul(2);
            }
        }
        self.back = low;
        Ok(())
    }
}

impl Iterator for Postings<'_> {
    type Item = Parsed<u32>;

    fn next(&mut self) -> Option<Parsed<u32>> {
        (self.front < self.back).then(|| {
            self.front += 1;
            self.row(self.front - 1)
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len() as usize, Some(self.len() as usize))
    }
}

impl DoubleEndedIterator for Postings<'_> {
    fn next_back(&mut self) -> Option<Parsed<u32>> {
        (self.front < self.back).then(|| {
            self.back -= 1;
            self.row(self.back)
        })
    }
}
