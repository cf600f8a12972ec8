//! The table `events`: the log, as SQLite sees it.
//!
//! It is a virtual table without any data of its own. `plan` says which constraints of a statement the log answers,
//! `search` turns their values into a [`Query`](crate::Query), `cursor` goes through what that finds, `columns` gives
//! the parts of an event. `module` hangs it all into SQLite.

mod columns;
mod cursor;
mod module;
mod plan;
mod search;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::reader::Reader;

pub(super) use cursor::stopped;
pub(super) use module::register;

/// The name of the table.
pub(super) const NAME: &str = "events";

/// The names of its columns, the hidden one left out.
pub(super) fn column_names() -> impl Iterator<Item = &'static str> {
    columns::COLUMNS.iter().map(|(_, name)| *name).filter(|name| *name != "meta")
}

/// What one statement's table shares with whoever runs the statement.
#[derive(Debug)]
pub(super) struct Shared {
    /// The view that all cursors of the statement read; set before its first step.
    reader: OnceLock<Reader>,
    /// How many events there are, about: what a plan goes by.
    events: u64,
    /// Set by whoever has heard enough, read by the statement's thread; nothing else hangs on its order.
    pub(super) stop: Arc<AtomicBool>,
    /// What really went wrong where SQLite only hears a text.
    failure: Mutex<Option<Error>>,
    /// What was chosen by each plan; SQLite gives the number of one back.
    searches: Mutex<Vec<plan::Search>>,
    /// Events that were taken from the log. Written by the statement's thread, read by whoever wants to know.
    read: Arc<AtomicU64>,
}

impl Shared {
    pub(super) fn new(events: u64, stop: Arc<AtomicBool>, read: Arc<AtomicU64>) -> Shared {
        Shared {
            reader: OnceLock::new(),
            events,
            stop,
            failure: Mutex::new(None),
            searches: Mutex::new(Vec::new()),
            read,
        }
    }

    /// Says what the statement reads. Only the first call counts.
    pub(super) fn set_reader(&self, reader: Reader) {
        let _ = self.reader.set(reader);
    }

    fn reader(&self) -> Result<&Reader> {
        self.reader.get().ok_or_else(|| Error::invalid("the statement reads before it has begun"))
    }

    fn check_stop(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(stopped()) } else { Ok(()) }
    }

    /// The failure behind what SQLite reported.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.failure.lock().take()
    }

    fn count(&self, events: usize) {
        self.read.fetch_add(events as u64, Ordering::Relaxed);
    }
}
