//! A place among the events that a search finds.
//!
//! Events are taken from the log in lots, which begin small, so that `LIMIT 10` reads little, and grow. A lot is a copy
//! in buffers that are used again: nothing is allocated for an event, and nothing of the log is held between two calls
//! of SQLite but the run's place.

use std::ops::ControlFlow;

use rusqlite::types::Value;

use super::Shared;
use super::columns::Used;
use super::plan::{Access, Search};
use super::search::{Given, Point, query, text};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{EventRef, Head};
use crate::query::run::{OnDamage, Run};

/// Events of the first lot.
const LOT_EVENTS_MIN: usize = 16;
/// Events of the largest lot.
const LOT_EVENTS_MAX: usize = 1024;
/// Bytes after which a lot ends.
const LOT_BYTES_MAX: usize = 256 << 10;

/// Copies of events, one after the other.
#[derive(Debug, Default)]
struct Lot {
    events: Vec<Copied>,
    lists: Vec<u8>,
    text: String,
    data: Vec<u8>,
}

/// An event, and where its parts end in the buffers.
#[derive(Debug)]
struct Copied {
    head: Head,
    lists_end: usize,
    text_end: usize,
    data_end: usize,
}

impl Lot {
    fn clear(&mut self) {
        self.events.clear();
        self.lists.clear();
        self.text.clear();
        self.data.clear();
    }

    fn bytes(&self) -> usize {
        self.lists.len() + self.text.len() + self.data.len()
    }

    fn push(&mut self, event: &EventRef<'_>, used: Used) {
        if used.text() {
            self.lists.extend_from_slice(event.lists);
            self.text.push_str(event.text);
        }
        if used.data() {
            self.data.extend_from_slice(event.data);
        }
        self.events.push(Copied {
            head: event.head,
            lists_end: self.lists.len(),
            text_end: self.text.len(),
            data_end: self.data.len(),
        });
    }

    fn get(&self, index: usize) -> Option<EventRef<'_>> {
        let event = self.events.get(index)?;
        let before = index.checked_sub(1).and_then(|before| self.events.get(before));
        let (lists, text, data) =
            before.map_or((0, 0, 0), |before| (before.lists_end, before.text_end, before.data_end));
        Some(EventRef {
            head: event.head,
            lists: self.lists.get(lists..event.lists_end).unwrap_or_default(),
            text: self.text.get(text..event.text_end).unwrap_or_default(),
            data: self.data.get(data..event.data_end).unwrap_or_default(),
        })
    }
}

/// The cursor, without what SQLite keeps of it.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// Where the next lot comes from; none once it has all been read.
    run: Option<Run>,
    used: Option<Used>,
    lot: Lot,
    lot_events: usize,
    /// What ended the run; told behind the events that were read before it.
    failure: Option<Error>,
    /// Which event of the lot the cursor stands on; behind the last at the end.
    at: usize,
}

impl Cursor {
    /// Begins a search. The cursor may have been used for another one.
    pub(super) fn begin(&mut self, shared: &Shared, search: &Search, values: Vec<Vec<Value>>) -> Result<()> {
        let reader = shared.reader()?;
        (self.run, self.failure) = (None, None);
        self.lot.clear();
        self.at = 0;
        self.lot_events = LOT_EVENTS_MIN;
        self.used = Some(search.used);
        shared.check_stop()?;
        let mut given: Vec<Given> =
            search.parts.iter().zip(values).map(|(part, values)| Given { part: *part, values }).collect();
        let lot = &mut self.lot;
        match (search.access, given.first()) {
            (Access::Position, Some(Given { part, values })) => {
                match values.first().map_or(Point::Unknown, |value| Point::of(value, part.test)) {
                    Point::Nowhere => return Ok(()),
                    Point::At(position) => {
                        reader.look_at(position, search.used.data(), |event| lot.push(event, search.used))?;
                        shared.count(lot.events.len());
                        return Ok(());
                    }
                    Point::Unknown => given.clear(),
                }
            }
            (Access::Id, Some(Given { values, .. })) => match values.first() {
                Some(Value::Null) | None => return Ok(()),
                Some(value) => match text(value) {
                    Some(id) => {
                        // Ids are not unique, but few events share one.
                        let mut found = reader.events_by_id(&id)?;
                        if search.newest_first {
                            found.reverse();
                        }
                        found.iter().for_each(|event| lot.push(&event.as_ref(), search.used));
                        shared.count(lot.events.len());
                        return Ok(());
                    }
                    None => given.clear(),
                },
            },
            _ => {}
        }
        let Some(query) = query(&given, search.newest_first) else { return Ok(()) };
        let run = reader.run(&query)?;
        self.run = Some(if search.used.data() { run } else { run.without_data() });
        self.fill(shared)
    }

    /// Steps to the next event.
    pub(super) fn step(&mut self, shared: &Shared) -> Result<()> {
        self.at += 1;
        if self.at >= self.lot.events.len() { self.fill(shared) } else { Ok(()) }
    }

    /// The event on which the cursor stands; `None` at the end.
    pub(super) fn event(&self) -> Option<EventRef<'_>> {
        self.lot.get(self.at)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.lot.events.len()
    }

    fn fill(&mut self, shared: &Shared) -> Result<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let (Some(run), Some(used)) = (&mut self.run, self.used) else { return Ok(()) };
        shared.check_stop()?;
        self.at = 0;
        self.lot.clear();
        let (lot, most) = (&mut self.lot, self.lot_events);
        let broke = run.run(&mut OnDamage::Stop, &mut |event| {
            lot.push(&event, used);
            match lot.events.len() >= most || lot.bytes() >= LOT_BYTES_MAX {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        self.lot_events = (most * 4).min(LOT_EVENTS_MAX);
        shared.count(self.lot.events.len());
        match broke {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.run = None;
                Ok(())
            }
            // What was read before the damage is given first.
            Err(error) => {
                self.run = None;
                if self.lot.events.is_empty() {
                    return Err(error);
                }
                self.failure = Some(error);
                Ok(())
            }
        }
    }
}

/// What a statement that was told to stop ends with.
pub(in crate::sql) fn stopped() -> Error {
    Error::new(ErrorKind::Closed, "the statement was interrupted")
}
