//! The whole of an index, checked: for `verify`, and for whoever wants to be sure. Lookups need none
//! of it, they check what they touch.

use super::pages::file_offset;
use super::view::IdxView;
use super::{TERM_BYTES, ZONE_ROWS, Zone};
use crate::format::term::{Dimension, TermHasher};
use crate::format::{Bad, Parsed, frame};

impl IdxView<'_> {
    /// Checks every page, and then that what they hold is an index: places and terms in order, every
    /// posting a row, zones within the bounds, every term in the filter.
    pub(crate) fn check_all(&self) -> Parsed<()> {
        self.space.check_all()?;
        self.check_places()?;
        self.check_zones()?;
        self.check_terms()?;
        self.check_types()
    }

    fn check_places(&self) -> Parsed<()> {
        let mut before = None;
        for row in 0..self.header.rows {
            let place = self.place(row)?;
            let next = match before {
                None => place.0 >= frame::FIRST_OFFSET && place.1 == 0,
                Some((frame, index)) => place == (frame, index + 1) || place.0 > frame && place.1 == 0,
            };
            if !next || place.0 >= self.header.end_offset {
                let at = self.header.layout.frames.offset + u64::from(row) * 4;
                return Err(bad(at, "the place after that of the row before", format!("row {row} at {place:?}")));
            }
            before = Some(place);
        }
        Ok(())
    }

    fn check_zones(&self) -> Parsed<()> {
        let mut all = Zone::EMPTY;
        for zone in self.zones() {
            let (rows, zone) = zone?;
            if zone.min_recorded > zone.max_recorded || zone.min_occurred > zone.max_occurred {
                let at = self.header.layout.zones.offset + u64::from(rows.start / ZONE_ROWS) * super::ZONE_BYTES;
                return Err(bad(at, "a zone", format!("{zone:?}")));
            }
            all.join(&zone);
        }
        match all == self.header.zone {
            true => Ok(()),
            false => Err(Bad::new(88, format!("{all:?}"), format!("{:?}", self.header.zone))),
        }
    }

    fn check_terms(&self) -> Parsed<()> {
        let mut before = None;
        let mut start = 0;
        for index in 0..self.header.layout.terms.count {
            let term = self.term(index)?;
            let known = (Dimension::Subject as u8..=Dimension::Key as u8).contains(&term.dimension);
            let stored = if term.count > 1 { term.count } else { 0 };
            let in_order =
                before < Some((term.hash, term.dimension)) && term.start == if stored > 0 { start } else { 0 };
            let version = term.extra == 0 || term.dimension == Dimension::Subject as u8;
            if !known || !in_order || !version || !self.may_contain(term.hash)? || !self.ascends(&term)? {
                let at = self.header.layout.terms.offset + u64::from(index) * TERM_BYTES;
                return Err(bad(at, "a term in order, with rows in order, that the filter knows", format!("{term:?}")));
            }
            before = Some((term.hash, term.dimension));
            start += stored;
        }
        match start == self.header.layout.postings.count {
            true => Ok(()),
            false => {
                let found = self.header.layout.postings.count.to_string();
                Err(bad(self.header.layout.postings.offset, "as many postings as the terms have", found))
            }
        }
    }

    fn ascends(&self, term: &super::TermEntry) -> Parsed<bool> {
        let mut before = None;
        for row in self.postings(term, 0..self.header.rows)? {
            let row = row?;
            if before >= Some(row) {
                return Ok(false);
            }
            before = Some(row);
        }
        Ok(before == Some(term.last_row))
    }

    fn check_types(&self) -> Parsed<()> {
        let Some(names) = self.type_names()? else { return Ok(()) };
        let hasher = TermHasher::new(self.header.facts.log);
        let mut before = None;
        for (name, hash, rows) in names.iter() {
            let term = self.find(Dimension::Type, hash)?;
            let there = term.is_some_and(|term| rows > 0 && rows <= term.count);
            if !there || hasher.hash(Dimension::Type, name.as_bytes()) != hash || before >= Some((hash, name)) {
                let at = self.header.layout.types.offset;
                return Err(bad(at, "event types in order that have terms", format!("{name:?}")));
            }
            before = Some((hash, name));
        }
        Ok(())
    }
}

fn bad(at: u64, expected: &'static str, found: String) -> Box<Bad> {
    Bad::new(file_offset(at), expected, found)
}
