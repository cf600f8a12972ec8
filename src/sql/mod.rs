//! SQL over the log: [`Store::sql`].
//!
//! SQLite answers. The log comes in as a virtual table, `events`, to which it leaves what the log's own plan can do
//! better; the projected tables stand in a file beside the log, which is opened for reading. A statement has a thread
//! and a connection of its own; its rows come through a bounded channel, so that an answer of any length takes little
//! memory and whoever stops taking rows stops the statement.

mod events;
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod guard;
mod statement;
mod tables;
mod times;
mod tx;
mod value;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;

use crate::error::{Error, Result};
use crate::store::Store;
use statement::{Begun, Gone, Handed, Job, Sink, Told};

pub use tx::SqlTx;
pub(crate) use tx::rows;
pub use value::{Row, SqlParams, SqlValue};

/// Lots of rows that may wait to be taken.
const LOTS_WAITING_MAX: usize = 2;

impl Store {
    /// Answers a statement of SQL that reads: over the table `events`, which is the log itself, and over the projected
    /// tables, where there are any.
    ///
    /// `events` has the columns `position`, `version`, `id`, `type`, `subject`, `kind`, `subject_id`, `actor` (the id
    /// alone), `actor_kind`, `on_behalf_of`, `source`, `recorded_at`, `occurred_at` (RFC 3339 texts in UTC, which
    /// compare by time, with a date alone too), `correlation`, `causation`, `tags` (a JSON array), `content_type` and
    /// `data` (a text where the content type is JSON or text, else bytes); a hidden one, `meta`, is a JSON object.
    /// Conditions on types, subjects, kinds, actors, users, sources, correlations, causes, ids, positions and times are
    /// answered by the log's own indexes; `EXPLAIN QUERY PLAN` shows which.
    ///
    /// The statement sees the log as it stands now, to its end. The rows come as they are found. Sorting and grouping
    /// take memory in proportion to what is sorted.
    ///
    /// ```
    /// use annals::{Actor, NewEvent, Store};
    /// use serde_json::json;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path();
    /// let store = Store::open(path)?;
    /// store.append([NewEvent::json("note.created", "note/n-1", &json!({"title": "A"}))?.actor(Actor::user("alice"))])?;
    ///
    /// let rows = store.sql("SELECT actor, data->>'title' AS title FROM events WHERE subject = ?1", ["note/n-1"])?;
    /// for row in rows {
    ///     let row = row?;
    ///     assert_eq!(row.get(0), Some(&"alice".into()));
    ///     assert_eq!(row.named("title").and_then(|title| title.as_text()), Some("A"));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid`: the statement would write, is none, is more than one, has another number of parameters, or is
    /// refused by SQLite, which says why and where. `TooLarge`, `Closed`, `Io`. What goes wrong later, such as
    /// `Corruption` of an event, is told by the iterator. Blocks until the statement is understood.
    pub fn sql(&self, text: &str, params: impl SqlParams) -> Result<Rows> {
        let (to, from) = crossbeam_channel::bounded(LOTS_WAITING_MAX);
        let job = self.job(text, params);
        let (stop, read) = (Arc::clone(&job.stop), Arc::clone(&job.read));
        let thread = std::thread::Builder::new().name("annals-sql".to_owned()).spawn(move || job.run(&to));
        let thread = thread.map_err(|error| Error::io("start a thread for the statement", error))?;
        let mut rows = Rows {
            begun: Begun::default(),
            from,
            lot: Vec::new().into_iter(),
            stop,
            read,
            thread: Some(thread),
            is_over: false,
        };
        match rows.from.recv() {
            Ok(Told::Begun(begun)) => rows.begun = begun,
            Ok(Told::Failed(error)) => return Err(error),
            _ => return Err(panicked()),
        }
        Ok(rows)
    }

    /// As [`Store::sql`], on the calling thread: `each` gets every row until it breaks. A statement that finds little is
    /// answered sooner, since no thread has to begin and none to wake; one that runs long cannot be stopped between
    /// two rows. Blocks until the last row.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let store = annals::Store::open(directory.path())?;
    /// store.sql_each("SELECT type, count(*) FROM events GROUP BY type", (), |row| {
    ///     println!("{:?}", row.values());
    ///     ControlFlow::Continue(())
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::sql`], and what goes wrong while rows are found, such as `Corruption` of an event; the rows before it
    /// were given.
    pub fn sql_each(
        &self,
        text: &str,
        params: impl SqlParams,
        each: impl FnMut(&Row) -> ControlFlow<()>,
    ) -> Result<()> {
        self.job(text, params).answer(&mut Each(each))
    }

    fn job(&self, text: &str, params: impl SqlParams) -> Job {
        let (text, params) = (text.to_owned(), params.into_values());
        Job { store: self.clone(), text, params, stop: Arc::default(), read: Arc::default() }
    }
}

/// Rows that go to a function at once.
struct Each<F>(F);

impl<F: FnMut(&Row) -> ControlFlow<()>> Sink for Each<F> {
    fn begin(&mut self, _begun: Begun) -> Handed {
        Ok(())
    }

    fn row(&mut self, row: Row) -> Handed {
        match (self.0)(&row) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Gone),
        }
    }
}

/// The answer to a statement: an iterator over its rows, which come as they are found. Dropping it ends the statement.
///
/// After an error there are no more rows.
#[derive(Debug)]
pub struct Rows {
    begun: Begun,
    from: Receiver<Told>,
    lot: std::vec::IntoIter<Row>,
    stop: Arc<AtomicBool>,
    read: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
    is_over: bool,
}

impl Rows {
    /// The names of the columns, in order; they need not be unique.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.begun.columns
    }

    /// How far the projected tables that the statement names are behind the log, in events: that of the last of them.
    /// 0 if it names none.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.begun.lags.iter().map(|(_, lag)| *lag).max().unwrap_or(0)
    }

    /// The projected tables that the statement names, each with its distance behind the log, in events.
    pub fn lags(&self) -> impl Iterator<Item = (&str, u64)> {
        self.begun.lags.iter().map(|(table, lag)| (table.as_str(), *lag))
    }

    /// How many events the statement has taken from the log so far. What the log's indexes leave out is not among them.
    #[must_use]
    pub fn events_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// What can end the statement from another thread.
    #[must_use]
    pub fn interrupter(&self) -> Interrupter {
        Interrupter { stop: Arc::clone(&self.stop) }
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        loop {
            if let Some(row) = self.lot.next() {
                return Some(Ok(row));
            }
            if self.is_over {
                return None;
            }
            match self.from.recv() {
                Ok(Told::Rows(rows)) => self.lot = rows.into_iter(),
                Ok(Told::Begun(begun)) => self.begun = begun,
                Ok(Told::Done) => self.is_over = true,
                Ok(Told::Failed(error)) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
                // It ended without a word: an answer that is not whole must not look like one.
                Err(_) => {
                    self.is_over = true;
                    return Some(Err(panicked()));
                }
            }
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Where the thread waits to hand rows over, it hears that nobody takes them.
        self.from = crossbeam_channel::never();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Ends a statement from another thread, such as a handler of Ctrl-C: its rows then end with an error of the kind
/// `Closed`.
#[derive(Debug, Clone)]
pub struct Interrupter {
    stop: Arc<AtomicBool>,
}

impl Interrupter {
    /// Ends the statement soon. Does nothing if it has ended.
    pub fn interrupt(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn panicked() -> Error {
    Error::invalid("the thread of the statement panicked; this is a bug in annals")
}
