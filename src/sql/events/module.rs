//! The table's place in SQLite: what it calls, with failures kept and panics caught.
//!
//! `rusqlite` asks for two promises that no compiler checks, hence `unsafe`: that SQLite's own structure is the first
//! thing in each of ours, whose layout is C's. Both are asserted below. Nothing here dereferences a pointer.

#![allow(unsafe_code)]

use std::borrow::Cow;
use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::vtab::{
    Context, Filters, IndexInfo, Module, VTab, VTabConfig, VTabConnection, VTabCursor, sqlite3_vtab,
    sqlite3_vtab_cursor,
};

use super::columns::{Column, DECLARATION, give};
use super::cursor::Cursor;
use super::plan::{Test, choose};
use super::search::owned;
use super::{NAME, Shared};
use crate::error::{Error, Result};

/// Makes the table known to a connection.
pub(in crate::sql) fn register(connection: &Connection, shared: &Arc<Shared>) -> rusqlite::Result<()> {
    const MODULE: Module<'_, Events> = Module::eponymous_only_module();
    connection.create_module(NAME, &MODULE, Some(Arc::clone(shared)))
}

/// The table, as SQLite holds it.
#[repr(C)]
struct Events {
    base: sqlite3_vtab,
    shared: Arc<Shared>,
}

/// A cursor over it, as SQLite holds it.
#[repr(C)]
struct EventsCursor {
    base: sqlite3_vtab_cursor,
    shared: Arc<Shared>,
    cursor: Cursor,
}

const _: () = {
    assert!(std::mem::offset_of!(Events, base) == 0);
    assert!(std::mem::offset_of!(EventsCursor, base) == 0);
};

// SAFETY: the structure is `repr(C)` and begins with `sqlite3_vtab`, as asserted above.
unsafe impl VTab<'_> for Events {
    type Aux = Arc<Shared>;
    type Cursor = EventsCursor;

    fn connect(
        db: &mut VTabConnection,
        aux: Option<&Arc<Shared>>,
        _module_name: &[u8],
        _database_name: &[u8],
        _table_name: &[u8],
        _args: &[&[u8]],
    ) -> rusqlite::Result<(Cow<'static, CStr>, Events)> {
        let Some(shared) = aux else {
            return Err(rusqlite::Error::ModuleError("the table knows no log".to_owned()));
        };
        // It reads and does nothing else, whoever asks.
        db.config(VTabConfig::Innocuous)?;
        Ok((Cow::Borrowed(DECLARATION), Events { base: sqlite3_vtab::default(), shared: Arc::clone(shared) }))
    }

    fn best_index(&self, info: &mut IndexInfo) -> rusqlite::Result<bool> {
        let (search, told) = choose(info, self.shared.events)?;
        let mut searches = self.shared.searches.lock();
        info.set_idx_num(searches.len() as c_int);
        info.set_idx_str(&told);
        searches.push(search);
        Ok(true)
    }

    fn open(&mut self) -> rusqlite::Result<EventsCursor> {
        let base = sqlite3_vtab_cursor::default();
        Ok(EventsCursor { base, shared: Arc::clone(&self.shared), cursor: Cursor::default() })
    }
}

impl EventsCursor {
    fn begin(&mut self, number: c_int, args: &Filters<'_>) -> Result<()> {
        let searches = self.shared.searches.lock();
        let found = usize::try_from(number).ok().and_then(|number| searches.get(number)).cloned();
        drop(searches);
        let search = found.ok_or_else(|| Error::invalid("SQLite asks for a plan that was never made"))?;
        let mut values = Vec::with_capacity(search.parts.len());
        for (index, (part, value)) in search.parts.iter().zip(args.iter()).enumerate() {
            values.push(match part.test {
                Test::In => in_values(args, index)?,
                _ => vec![owned(value)],
            });
        }
        self.cursor.begin(&self.shared, &search, values)
    }

    /// Runs a part of the cursor. SQLite gets a text where it fails, and its caller the whole error.
    fn guarded(&mut self, what: impl FnOnce(&mut EventsCursor) -> Result<()>) -> rusqlite::Result<()> {
        let shared = Arc::clone(&self.shared);
        // A panic must not cross SQLite's frames; it would end the process.
        let outcome = catch_unwind(AssertUnwindSafe(|| what(self)));
        let error = match outcome {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => Error::invalid("reading the log for a statement panicked; this is a bug in annals"),
        };
        let told = rusqlite::Error::ModuleError(error.to_string());
        *shared.failure.lock() = Some(error);
        Err(told)
    }
}

/// All values of an IN.
fn in_values(args: &Filters<'_>, index: usize) -> Result<Vec<rusqlite::types::Value>> {
    use rusqlite::fallible_iterator::FallibleIterator as _;
    let values = args.in_values(index).and_then(|list| list.map(|value| Ok(owned(value))).collect());
    values.map_err(|error| Error::invalid(error.to_string()))
}

// SAFETY: the structure is `repr(C)` and begins with `sqlite3_vtab_cursor`, as asserted above.
unsafe impl VTabCursor for EventsCursor {
    fn filter(&mut self, number: c_int, _told: Option<&str>, args: &Filters<'_>) -> rusqlite::Result<()> {
        self.guarded(|this| this.begin(number, args))
    }

    fn next(&mut self) -> rusqlite::Result<()> {
        self.guarded(|this| this.cursor.step(&this.shared))
    }

    fn eof(&self) -> bool {
        self.cursor.is_at_end()
    }

    fn column(&self, context: &mut Context, number: c_int) -> rusqlite::Result<()> {
        match (Column::from_number(number), self.cursor.event()) {
            (Some(column), Some(event)) => give(context, column, &event),
            _ => Ok(()),
        }
    }

    fn rowid(&self) -> rusqlite::Result<i64> {
        Ok(self.cursor.event().map_or(0, |event| i64::try_from(event.position().get()).unwrap_or(i64::MAX)))
    }
}
