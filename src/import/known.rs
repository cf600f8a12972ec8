//! What stood in the store before an import, and which of it the input was found to be.
//!
//! Invariant: a stored event is taken for at most one event of the input, so of two equal lines the second is new
//! unless its like stood there twice.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::causes::Place;
use crate::error::Result;
use crate::event::EventRef;
use crate::json::ImportEvent;
use crate::log::shared::Log;
use crate::position::Position;
use crate::query::Query;
use crate::reader::Reader;
use crate::store::Store;
use crate::time::Timestamp;

/// An event of the input that may be taken, as it would be appended.
pub(super) struct Line {
    pub(super) event: ImportEvent,
    /// Where its cause is, if it has one that is an event of the input or a position of the store.
    pub(super) cause: Option<Place>,
    /// Whether it keeps its cause as metadata.
    pub(super) is_outside: bool,
    /// As it was read, if its cause is a number that the input does not hold. That may be the very position: a part of
    /// this store's own export comes back to it.
    pub(super) as_read: Option<(ImportEvent, Position)>,
}

impl Line {
    /// The forms in which it may stand in the store: what is compared, with the position of its cause.
    fn forms(&self) -> impl Iterator<Item = Form<'_>> {
        let as_appended = match self.cause {
            None => Some((&self.event, None)),
            Some(Place::Stood(position)) => Some((&self.event, Some(position))),
            // Nothing that stood there before can have been caused by what this run appends.
            Some(Place::Added(_)) => None,
        };
        let as_read = self.as_read.as_ref().map(|(event, cause)| (event, Some(*cause)));
        as_appended.into_iter().chain(as_read)
    }
}

type Form<'a> = (&'a ImportEvent, Option<Position>);

pub(super) struct Known {
    log: Arc<Log>,
    /// Sees what stood there before.
    reader: Reader,
    taken: PositionSet,
    /// The first position that is not taken.
    first_free: Position,
}

impl Known {
    pub(super) fn new(store: &Store) -> Known {
        Known {
            log: Arc::clone(&store.inner.log),
            reader: store.reader(),
            taken: PositionSet::default(),
            first_free: Position::new(1),
        }
    }

    /// The newest position that stood there before.
    pub(super) fn tail(&self) -> Position {
        self.reader.tail()
    }

    /// The stored event that a line is, if there is one that no line before it was. Of several it is the oldest, so
    /// that lines find the same events when the same import is begun once more.
    pub(super) fn find(&mut self, line: &Line) -> Result<Option<Position>> {
        if self.tail() == Position::ORIGIN {
            return Ok(None);
        }
        for form in line.forms() {
            let found = self.find_form(form)?;
            if let Some(position) = found {
                self.taken.insert(position);
                while self.taken.contains(self.first_free) {
                    self.first_free = self.first_free.next();
                }
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn find_form(&self, form: Form<'_>) -> Result<Option<Position>> {
        // An import that is begun again finds what it left in the order in which it left it, with no index asked.
        let (event, cause) = form;
        if self.at(self.first_free, |stored| event.content_equals(stored, cause))? == Some(true) {
            return Ok(Some(self.first_free));
        }
        if event.event().id_str().is_empty() { self.find_in_subject(form) } else { self.find_by_id(form) }
    }

    /// Whether a line stands at a position, recorded at that time; `None` if nothing stood there.
    pub(super) fn is_at(&self, position: Position, line: &Line, recorded_at: Timestamp) -> Result<Option<bool>> {
        self.at(position, |stored| {
            stored.recorded_at() == recorded_at
                && line.forms().any(|(event, cause)| event.content_equals(stored, cause))
        })
    }

    fn at(&self, position: Position, is_it: impl FnOnce(&EventRef<'_>) -> bool) -> Result<Option<bool>> {
        if position > self.tail() { Ok(None) } else { self.log.with_event(position, is_it) }
    }

    fn find_by_id(&self, form: Form<'_>) -> Result<Option<Position>> {
        let mut found = None;
        self.reader.each_of_id(form.0.event().id_str(), &mut |stored| {
            let is_it = self.is_free(stored, form);
            if is_it {
                found = Some(stored.position());
            }
            !is_it
        })?;
        Ok(found)
    }

    /// Without an id to look up, the subject's events of the same time are compared.
    fn find_in_subject(&self, form: Form<'_>) -> Result<Option<Position>> {
        let event = form.0.event();
        let mut query = Query::all().subject(event.subject());
        if let Some(time) = event.occurred() {
            query = query.occurred_since(time);
            if let Some(next) = time.as_nanos().checked_add(1) {
                query = query.occurred_until(Timestamp::from_nanos(next));
            }
        }
        let mut found = None;
        self.reader.scan(&query, |stored| {
            if self.is_free(&stored, form) {
                found = Some(stored.position());
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    fn is_free(&self, stored: &EventRef<'_>, (event, cause): Form<'_>) -> bool {
        event.content_equals(stored, cause) && !self.taken.contains(stored.position())
    }
}

/// Positions, a bit each, in pages that are made when the first of them comes and given up when the last has come: an
/// import that is begun again fills one after the other.
#[derive(Debug, Default)]
struct PositionSet {
    pages: Vec<Page>,
}

const WORDS: usize = 64;
const PAGE_POSITIONS: u64 = WORDS as u64 * 64;

#[derive(Debug, Clone, Default)]
enum Page {
    #[default]
    Empty,
    Some {
        bits: Box<[u64; WORDS]>,
        count: u64,
    },
    Full,
}

impl PositionSet {
    fn contains(&self, position: Position) -> bool {
        match self.pages.get(page_of(position)) {
            None | Some(Page::Empty) => false,
            Some(Page::Full) => true,
            Some(Page::Some { bits, .. }) => {
                let (word, bit) = place_of(position);
                bits[word] & bit != 0
            }
        }
    }

    fn insert(&mut self, position: Position) {
        let index = page_of(position);
        if self.pages.len() <= index {
            self.pages.resize(index + 1, Page::Empty);
        }
        let page = &mut self.pages[index];
        if let Page::Empty = page {
            *page = Page::Some { bits: Box::new([0; WORDS]), count: 0 };
        }
        if let Page::Some { bits, count } = page {
            let (word, bit) = place_of(position);
            *count += u64::from(bits[word] & bit == 0);
            bits[word] |= bit;
            if *count == PAGE_POSITIONS {
                *page = Page::Full;
            }
        }
    }
}

fn page_of(position: Position) -> usize {
    (position.get() / PAGE_POSITIONS) as usize
}

fn place_of(position: Position) -> (usize, u64) {
    let within = position.get() % PAGE_POSITIONS;
    ((within / 64) as usize, 1 << (within % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_positions_holds_what_was_put_in_and_gives_up_full_pages() {
        let mut set = PositionSet::default();
        let mut rest = 0;
        for position in (1..20_000).filter(|position| position % 3 > 0) {
            assert!(!set.contains(Position::new(position)));
            set.insert(Position::new(position));
            set.insert(Position::new(position));
            rest += 1;
        }
        let held = (0..30_000).filter(|position| set.contains(Position::new(*position)));
        assert_eq!(held.clone().count(), rest);
        assert!(held.clone().all(|position| position % 3 > 0 && position < 20_000));
        (0..20_000).for_each(|position| set.insert(Position::new(position)));
        assert!((0..20_000).all(|position| set.contains(Position::new(position))));
        assert_eq!(set.pages.iter().filter(|page| matches!(page, Page::Full)).count(), 4);
    }
}
