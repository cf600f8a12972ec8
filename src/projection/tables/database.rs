//! The file `projections/tables.sqlite`: how it is opened, and its list of checkpoints.
//!
//! ```text
//! annals_checkpoint (name, version, position, epoch, fingerprint, skipped)   a row for each table, by the name it
//!                                                        has now: a table that is made anew has another until it serves
//! annals_gone (tbl, id, version)                         versions of rows that were deleted
//! ```
//!
//! Everything in the file is derived. It is written in one transaction with the checkpoint that says up to where, so
//! whatever kills the process, the two agree; and when the file is damaged it is made anew.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, params};

use super::rows::GONE_TABLE;
use crate::checkpoint::Checkpoint;
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::io::{Mode, Storage};
use crate::position::Position;

/// Relative to the store.
pub(crate) const FILE: &str = "projections/tables.sqlite";
/// What SQLite keeps beside it.
const BESIDE: [&str; 2] = ["projections/tables.sqlite-wal", "projections/tables.sqlite-shm"];
/// The checkpoints.
pub(crate) const CHECKPOINTS: &str = "annals_checkpoint";

/// Marks the file as ours for who looks at it: "anls".
const APPLICATION_ID: i32 = 0x616e_6c73;
/// How long a lock of another SQLite reader or writer is waited for.
const BUSY: Duration = Duration::from_secs(5);
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// Statements that are kept prepared.
const STATEMENTS: usize = 256;

/// A table's own place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) version: i64,
    pub(crate) at: Checkpoint,
    pub(crate) skipped: u64,
}

/// An error of SQLite as one of ours. What it says of a damaged file is not corruption of the store: the file is
/// derived.
pub(crate) fn of_sqlite(error: &rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => ErrorKind::Full,
        _ if is_busy(error) => ErrorKind::Locked,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("{FILE}: {error}"))
}

/// Whether another connection holds a lock.
fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether the file is no good, and has to be made anew.
pub(in crate::projection) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// What a running projection says of its file: damage as `Diverged`, wherever among the causes it stands. Such a file
/// is to be believed no more than one of another history, and the projection begins again.
pub(in crate::projection) fn of_live(error: BoxError) -> BoxError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&*error);
    while let Some(at) = cause {
        if at.downcast_ref::<rusqlite::Error>().is_some_and(is_damage) {
            return Error::new(ErrorKind::Diverged, format!("its file is damaged: {error}")).caused_by(error).into();
        }
        cause = at.source();
    }
    error
}

/// Opens the file for writing, made if needed.
pub(super) fn open(storage: &dyn Storage, root: &Path) -> Result<rusqlite::Result<Connection>> {
    let path = root.join(FILE);
    // Made by us, so that nobody but the owner may read it; SQLite gives its other files the same mode.
    storage.open(Path::new(FILE), Mode::Create).map_err(|error| Error::io(format_args!("open {FILE}"), error))?;
    Ok(prepare(&path))
}

fn prepare(path: &PathBuf) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    use_wal(&db)?;
    // A power cut may take the last transactions, whole, with their checkpoints: they are made again.
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.pragma_update(None, "application_id", APPLICATION_ID)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update(None, "cache_size", -32_768)?;
    set_up(&db)?;
    Ok(db)
}

/// Sets the mode in which readers and a writer do not wait for each other. Where two connections set it in a new file at
/// the same time, SQLite gives up at once, whatever its timeout.
pub(in crate::projection) fn use_wal(db: &Connection) -> rusqlite::Result<()> {
    let begun = Instant::now();
    loop {
        match db.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if is_busy(&error) && begun.elapsed() < BUSY => std::thread::sleep(BUSY_PAUSE),
            done => return done,
        }
    }
}

/// A file name as SQLite takes it with parameters, such as `mode=ro`.
pub(crate) fn uri(path: &Path, parameters: &str) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri + "?" + parameters
}

/// Makes what every such database has.
pub(super) fn set_up(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS {CHECKPOINTS} (name TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, \
         position INTEGER NOT NULL, epoch INTEGER NOT NULL, fingerprint BLOB NOT NULL, skipped INTEGER NOT NULL); \
         CREATE TABLE IF NOT EXISTS {GONE_TABLE} (tbl TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, \
         PRIMARY KEY (tbl, id)) WITHOUT ROWID"
    ))
}

/// Takes the file away, which cannot be read or is of another history. Everything in it comes from the log.
pub(super) fn remove(storage: &dyn Storage) -> Result<()> {
    for file in BESIDE.into_iter().chain([FILE]) {
        match storage.remove(Path::new(file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format_args!("remove {file}"), error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A number that is another one whenever another connection has changed the file.
pub(super) fn changes_of_others(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// Where a table stands; `None` if there is none of that name.
pub(super) fn stand(db: &Connection, table: &str) -> rusqlite::Result<Option<Stand>> {
    let mut select = db.prepare_cached(&format!(
        "SELECT version, position, epoch, fingerprint, skipped FROM {CHECKPOINTS} WHERE name = ?1"
    ))?;
    select
        .query_row([table], |row| {
            let number = |at: usize| row.get::<_, i64>(at).map(|number| number.max(0) as u64);
            let fingerprint: Vec<u8> = row.get(3)?;
            let at = Checkpoint {
                position: Position::new(number(1)?),
                epoch: number(2)?,
                // One of another length fits no event, and the table is made anew.
                fingerprint: fingerprint.try_into().unwrap_or([0xff; 16]),
            };
            Ok(Stand { version: row.get(0)?, at, skipped: number(4)? })
        })
        .optional()
}

/// All tables and where they stand.
pub(crate) fn stands(db: &Connection) -> rusqlite::Result<Vec<(String, Stand)>> {
    let names: Vec<String> = {
        let mut select = db.prepare(&format!("SELECT name FROM {CHECKPOINTS} ORDER BY name"))?;
        let names = select.query_map([], |row| row.get(0))?;
        names.collect::<Result<_, _>>()?
    };
    let mut found = Vec::new();
    for name in names {
        if let Some(stand) = stand(db, &name)? {
            found.push((name, stand));
        }
    }
    Ok(found)
}

/// Says where a table stands.
pub(super) fn set_stand(db: &Connection, table: &str, stand: &Stand) -> rusqlite::Result<()> {
    let mut write = db.prepare_cached(&format!("REPLACE INTO {CHECKPOINTS} VALUES (?1, ?2, ?3, ?4, ?5, ?6)"))?;
    let Stand { version, at, skipped } = stand;
    let numbers = [at.position.get(), at.epoch, *skipped].map(|number| number as i64);
    write.execute(params![table, version, numbers[0], numbers[1], at.fingerprint.as_slice(), numbers[2]]).map(drop)
}

/// Takes a table away, with everything that is known of it.
pub(super) fn drop_table(db: &Connection, table: &str) -> rusqlite::Result<()> {
    db.execute_batch(&format!("DROP TABLE IF EXISTS {}", super::model::quoted(table)))?;
    db.execute(&format!("DELETE FROM {CHECKPOINTS} WHERE name = ?1"), [table])?;
    db.execute(&format!("DELETE FROM {GONE_TABLE} WHERE tbl = ?1"), [table]).map(drop)
}

/// Gives a table another name, in the place of the one that has it.
pub(super) fn rename_table(db: &Connection, from: &str, to: &str) -> rusqlite::Result<()> {
    drop_table(db, to)?;
    db.execute_batch(&format!("ALTER TABLE {} RENAME TO {}", super::model::quoted(from), super::model::quoted(to)))?;
    db.execute(&format!("UPDATE {CHECKPOINTS} SET name = ?2 WHERE name = ?1"), [from, to])?;
    db.execute(&format!("UPDATE {GONE_TABLE} SET tbl = ?2 WHERE tbl = ?1"), [from, to]).map(drop)
}
