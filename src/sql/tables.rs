//! The file of the projected tables, as a statement reads it.
//!
//! Invariants: the file is derived, so nothing in it is evidence. It is opened for reading only. Where it is absent or
//! damaged, the table `events` is still there, and a statement that names another table says what became of them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{Corruption, Error, Result};
use crate::position::Position;
use crate::projection::tables::OF_EVERY_STORE;
pub(super) use crate::projection::tables::database::FILE;
use crate::projection::tables::database::uri;
use crate::store::Store;

/// Promises SQLite that nobody changes the file.
const UNCHANGING: &str = "immutable=1";
/// How long a statement waits for whoever locks the file for a moment.
const BUSY_WAIT: Duration = Duration::from_secs(2);

/// Those of the names that the store has a table for, whether or not it was made yet.
pub(super) fn of_store(store: &Store, named: BTreeSet<String>) -> Result<BTreeSet<String>> {
    if named.is_empty() {
        return Ok(named);
    }
    let catalog = store.catalog()?;
    let known = |name: &String| {
        OF_EVERY_STORE.iter().any(|of_all| of_all.eq_ignore_ascii_case(name))
            || catalog.tables().iter().any(|table| table.name().eq_ignore_ascii_case(name))
    };
    Ok(named.into_iter().filter(known).collect())
}

/// Brings the tables up that a statement names, before it runs.
///
/// # Errors
/// Whatever kept them from being brought up: another process that keeps them, a directory where nothing can be written,
/// damage of the log. The tables can be read all the same, as far as they are.
pub(super) fn catch_up(store: &Store, named: &BTreeSet<String>, stop: &AtomicBool) -> Result<()> {
    let names: Vec<String> = named.iter().cloned().collect();
    let tell = |_, _| if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    store.update_tables(Some(&names), tell).map(drop)
}

/// Whether all tables that a statement names are level with what is durable.
pub(super) fn are_level(connection: &Connection, named: &BTreeSet<String>, durable: Position) -> bool {
    let level = |found: Vec<Reached>| found.len() == named.len() && found.iter().all(|table| table.position == durable);
    reached(connection, named).is_ok_and(level)
}

/// A connection, and what was wrong with the file, if it could not be used.
pub(super) struct Opened {
    pub(super) connection: Connection,
    /// Whether the tables of the file are there.
    pub(super) has_file: bool,
    pub(super) damage: Option<String>,
}

/// Opens the file of the tables, or nothing but memory where there is none that can be read.
pub(super) fn open(store: &Path) -> rusqlite::Result<Opened> {
    let file = store.join(FILE);
    // Asked first: most stores have none, and SQLite would take longer to say so.
    let mut damage = None;
    if file.is_file() {
        match open_file(&file) {
            Ok(connection) => return Ok(Opened { connection, has_file: true, damage: None }),
            Err(error) => damage = Some(error.to_string()),
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_MEMORY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_in_memory_with_flags(flags)?;
    Ok(Opened { connection, has_file: false, damage })
}

fn open_file(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let first = Connection::open_with_flags(file, flags).and_then(checked);
    let error = match first {
        Ok(connection) => return Ok(connection),
        Err(error) => error,
    };
    // In a directory where nothing can be made, SQLite cannot read beside a writer. There is none if there is no log
    // of one, and then the file alone is the whole database.
    let mut wal = file.as_os_str().to_owned();
    wal.push("-wal");
    let has_wal = Path::new(&wal).metadata().is_ok_and(|wal| wal.len() > 0);
    match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) if !has_wal => {
            Connection::open_with_flags(uri(file, UNCHANGING), flags | OpenFlags::SQLITE_OPEN_URI).and_then(checked)
        }
        _ => Err(error),
    }
}

/// Makes SQLite look at the file, which it opens only when it has to.
fn checked(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(BUSY_WAIT)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// How far a table was projected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) table: String,
    pub(super) position: Position,
}

/// How far each of the tables that a statement names was projected, by what the file says.
pub(super) fn reached(connection: &Connection, named: &BTreeSet<String>) -> rusqlite::Result<Vec<Reached>> {
    let mut statement = match connection.prepare("SELECT name, position FROM annals_checkpoint") {
        Ok(statement) => statement,
        // A file of tables that nothing keeps up says nothing of how far they are.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::Unknown) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (table, position) = row?;
        if named.iter().any(|named| named.eq_ignore_ascii_case(&table)) {
            found.push(Reached { table, position: Position::new(u64::try_from(position).unwrap_or(0)) });
        }
    }
    Ok(found)
}

/// The tables that a statement can name, sorted; those of SQLite's own making and of this crate left out.
pub(super) fn names(connection: &Connection) -> Vec<String> {
    const TABLES: &str = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'view', 'virtual') \
                          AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name NOT LIKE 'annals!_%' ESCAPE '!' \
                          AND name <> 'events' ORDER BY name";
    let listed = connection.prepare(TABLES).and_then(|mut statement| {
        let names = statement.query_map([], |row| row.get(0))?;
        names.collect::<rusqlite::Result<Vec<String>>>()
    });
    listed.unwrap_or_default()
}

/// The error for a file that turned out damaged while it was read.
pub(super) fn damaged(reason: &str) -> Error {
    let corruption = Corruption::new(FILE, 0, "a database in good order", reason);
    Error::from(corruption)
        .hinting("the tables are made from the events, which are not touched: remove the file, or rebuild them")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader falls back on where it can make no file beside the tables.
    #[test]
    fn the_file_alone_is_read_whatever_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a b?mode=rw#%41ü'.sqlite");
        let writer = Connection::open(&file).unwrap();
        writer.pragma_update(None, "journal_mode", "WAL").unwrap();
        writer.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (7)").unwrap();
        drop(writer);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let reader = Connection::open_with_flags(uri(&file, UNCHANGING), flags).and_then(checked).unwrap();
        assert_eq!(reader.query_row("SELECT a FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 7);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing was made beside it");
        assert!(reader.execute_batch("INSERT INTO t VALUES (8)").is_err());
    }

    #[test]
    fn only_tables_that_the_statement_names_are_asked_how_far_they_are() {
        let tables = Connection::open_in_memory().unwrap();
        let named = BTreeSet::from(["Notes".to_owned(), "events".to_owned()]);
        assert_eq!(reached(&tables, &named).unwrap(), [], "nobody keeps these up");
        tables
            .execute_batch(
                "CREATE TABLE annals_checkpoint(name TEXT, position INTEGER);
                 INSERT INTO annals_checkpoint VALUES ('notes', 7), ('stats', 9), ('events', -1)",
            )
            .unwrap();
        let expected = [("notes", 7), ("events", 0)]
            .map(|(table, position)| Reached { table: table.to_owned(), position: Position::new(position) });
        assert_eq!(reached(&tables, &named).unwrap(), expected);
        assert_eq!(names(&tables), Vec::<String>::new());
    }
}
