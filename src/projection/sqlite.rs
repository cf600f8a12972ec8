//! A read model of the user's own in SQLite: effects and checkpoint in one transaction.
//!
//! A projection has a file of its own, `projections/NAME.sqlite`, which any SQLite tool can read. In it, beside the
//! user's tables, stands `annals_checkpoint` with one row: the version of the code, and where it stands in the log.
//!
//! Invariants:
//! - What a batch changes and the checkpoint behind it are committed together, so a batch is never lost and never taken
//!   in twice, whatever kills the process.
//! - A file made by another version of the code serves until the new one, built in `NAME.new.sqlite`, has caught up.
//!   Its content then replaces the old in one transaction of the old file, so that whoever reads that sees either.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, backup};

use super::Projection;
use super::home::{DIRECTORY, Home};
use super::tables::database::{of_sqlite, use_wal};
use super::tables::{is_damage, of_live};
use crate::checkpoint::Checkpoint;
use crate::error::{BoxError, Error, Result};
use crate::event::EventRef;
use crate::feed::Batch;
use crate::io::Mode;
use crate::position::Position;
use crate::query::Query;
use crate::sql::{Row, SqlParams, SqlTx, rows};

/// How long a lock of another reader or writer of the file is waited for.
const BUSY: Duration = Duration::from_secs(5);
/// Pages of a file that are copied in one go when it takes the place of another.
const COPY_PAGES: i32 = 4096;

/// What a [`SqliteProjection`] does with events.
pub trait SqlFold: Send + 'static {
    /// What it is called, and its file.
    fn name(&self) -> &str;

    /// The version of the code. A file of another version is made anew.
    fn version(&self) -> u32 {
        1
    }

    /// The events that it folds.
    fn query(&self) -> Query {
        Query::all()
    }

    /// Makes the tables, in an empty database. Names that begin with `annals_` are taken.
    ///
    /// # Errors
    /// Whatever keeps it from that; the projection does not start then.
    fn create(&self, tx: &SqlTx<'_>) -> Result<(), BoxError>;

    /// Takes an event in.
    ///
    /// # Errors
    /// Whatever keeps it from that. Nothing of the batch takes effect then, and it is given again, after a pause.
    fn apply(&mut self, tx: &SqlTx<'_>, event: EventRef<'_>) -> Result<(), BoxError>;
}

/// A projection into a SQLite file of its own, exactly once: the effects of a batch and the checkpoint behind it are
/// one transaction.
///
/// ```
/// use std::time::Duration;
///
/// use annals::{BoxError, EventRef, NewEvent, SqlFold, SqlTx, SqliteProjection, Store};
///
/// #[derive(Default)]
/// struct Titles;
///
/// impl SqlFold for Titles {
///     fn name(&self) -> &str {
///         "titles"
///     }
///
///     fn create(&self, tx: &SqlTx<'_>) -> Result<(), BoxError> {
///         Ok(tx.execute_all("CREATE TABLE titles (subject TEXT PRIMARY KEY, title TEXT)")?)
///     }
///
///     fn apply(&mut self, tx: &SqlTx<'_>, event: EventRef<'_>) -> Result<(), BoxError> {
///         let data = String::from_utf8_lossy(event.data()).into_owned();
///         tx.execute("REPLACE INTO titles VALUES (?1, ?2 ->> 'title')", [event.subject(), data.as_str()])?;
///         Ok(())
///     }
/// }
///
/// # let directory = tempfile::tempdir()?;
/// let store = Store::open(directory.path())?;
/// let done = store.append([NewEvent::json("note.created", "note/n-1", &serde_json::json!({"title": "A"}))?])?;
/// let titles = store.project(SqliteProjection::new(Titles))?;
/// titles.wait_for(done.last, Duration::from_secs(5))?;
/// let rows = titles.with(|model| model.rows("SELECT title FROM titles", ()))?;
/// assert_eq!(rows[0].get(0).and_then(|title| title.as_text()), Some("A"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SqliteProjection<F> {
    fold: F,
    db: Option<Connection>,
    at: Checkpoint,
    /// What is open is built beside the file that serves.
    beside: bool,
}

impl<F: Default + SqlFold> Default for SqliteProjection<F> {
    fn default() -> SqliteProjection<F> {
        SqliteProjection::new(F::default())
    }
}

impl<F> std::fmt::Debug for SqliteProjection<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteProjection").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<F: SqlFold> SqliteProjection<F> {
    /// A projection by this fold.
    pub fn new(fold: F) -> SqliteProjection<F> {
        SqliteProjection { fold, db: None, at: Checkpoint::ORIGIN, beside: false }
    }

    /// The fold.
    pub fn fold(&self) -> &F {
        &self.fold
    }

    /// The rows that a statement gives, of what was taken in so far.
    ///
    /// # Errors
    /// `Invalid` with what SQLite says, also while the projection was not started; `Io`.
    pub fn rows(&self, text: &str, params: impl SqlParams) -> Result<Vec<Row>> {
        match &self.db {
            Some(db) => rows(db, text, params),
            None => Err(Error::invalid(format!("the projection {} was not started", self.fold.name()))),
        }
    }

    fn file(&self, beside: bool) -> PathBuf {
        let new = if beside { ".new" } else { "" };
        PathBuf::from(format!("{DIRECTORY}/{}{new}.sqlite", self.fold.name()))
    }

    /// Opens a file, made if needed.
    fn connect(&self, home: &Home, beside: bool) -> Result<rusqlite::Result<Connection>> {
        let file = self.file(beside);
        // Made by us, so that nobody but the owner may read it; SQLite gives its other files the same mode.
        let made = home.storage.open(&file, Mode::Create);
        made.map_err(|error| Error::io(format_args!("open {}", file.display()), error))?;
        let root = home.path().parent().unwrap_or(home.path());
        Ok(prepared(&root.join(&file)))
    }

    fn remove(&self, home: &Home, beside: bool) -> Result<()> {
        let file = self.file(beside);
        for suffix in ["-wal", "-shm", ""] {
            let mut name = file.clone().into_os_string();
            name.push(suffix);
            match home.storage.remove(name.as_ref()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io(format_args!("remove {}", PathBuf::from(name).display()), error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Begins with an empty file.
    fn begin(&mut self, home: &Home, beside: bool) -> Result<(), BoxError> {
        self.db = None;
        self.remove(home, beside)?;
        let db = self.connect(home, beside)??;
        db.execute_batch(
            "BEGIN IMMEDIATE; CREATE TABLE annals_checkpoint (name TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, \
             position INTEGER NOT NULL, epoch INTEGER NOT NULL, fingerprint BLOB NOT NULL)",
        )?;
        self.fold.create(&SqlTx::new(&db))?;
        self.write_checkpoint(&db, Checkpoint::ORIGIN)?;
        db.execute_batch("COMMIT")?;
        (self.db, self.at, self.beside) = (Some(db), Checkpoint::ORIGIN, beside);
        Ok(())
    }

    fn write_checkpoint(&self, db: &Connection, at: Checkpoint) -> rusqlite::Result<()> {
        let mut write = db.prepare_cached("REPLACE INTO annals_checkpoint VALUES (?1, ?2, ?3, ?4, ?5)")?;
        let numbers = [i64::from(self.fold.version()), at.position.get() as i64, at.epoch as i64];
        write.execute((self.fold.name(), numbers[0], numbers[1], numbers[2], at.fingerprint.as_slice())).map(drop)
    }

    fn take(&mut self, batch: &Batch<'_>) -> Result<(), BoxError> {
        let Some(db) = &self.db else { return Err("it was not started".into()) };
        db.execute_batch("BEGIN IMMEDIATE")?;
        // A transaction whose end was not heard of may have taken effect.
        let behind = self.at.position;
        let tx = SqlTx::new(db);
        for event in batch.iter().filter(|event| event.position() > behind) {
            self.fold.apply(&tx, event)?;
        }
        let at = batch.checkpoint()?;
        self.write_checkpoint(db, at)?;
        db.execute_batch("COMMIT")?;
        self.at = at;
        Ok(())
    }
}

/// A connection to a file that any number may read while it is written.
fn prepared(path: &std::path::Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(128);
    use_wal(&db)?;
    // A power cut may take the last transactions, whole, with their checkpoints: they are made again.
    db.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(db)
}

/// Version and checkpoint of a file; `None` if it has none.
fn kept(db: &Connection, name: &str) -> rusqlite::Result<Option<(u32, Checkpoint)>> {
    let listed: i64 =
        db.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'annals_checkpoint'", [], |row| row.get(0))?;
    if listed == 0 {
        return Ok(None);
    }
    db.query_row("SELECT version, position, epoch, fingerprint FROM annals_checkpoint WHERE name = ?1", [name], |row| {
        let (position, epoch): (i64, i64) = (row.get(1)?, row.get(2)?);
        let fingerprint: Vec<u8> = row.get(3)?;
        let at = Checkpoint {
            position: Position::new(position.max(0) as u64),
            epoch: epoch.max(0) as u64,
            // One of another length fits no event.
            fingerprint: fingerprint.try_into().unwrap_or([0xff; 16]),
        };
        Ok((row.get(0)?, at))
    })
    .optional()
}

impl<F: SqlFold> Projection for SqliteProjection<F> {
    fn name(&self) -> &str {
        self.fold.name()
    }

    fn version(&self) -> u32 {
        self.fold.version()
    }

    fn query(&self) -> Query {
        self.fold.query()
    }

    fn keeps_checkpoint(&self) -> bool {
        true
    }

    fn open(&mut self, home: &Home, beside: bool) -> Result<Checkpoint, BoxError> {
        if self.fold.name() == "tables" {
            return Err("the name belongs to the store's own tables".into());
        }
        if beside {
            self.begin(home, true)?;
            return Ok(Checkpoint::ORIGIN);
        }
        let opened = self.connect(home, false)?.and_then(|db| Ok((kept(&db, self.fold.name())?, db)));
        match opened {
            Ok((Some((version, at)), db)) if version == self.fold.version() => {
                (self.db, self.at, self.beside) = (Some(db), at, false);
                Ok(at)
            }
            // Made by another version: it serves until this one has caught up.
            Ok((Some(_), _)) => {
                self.begin(home, true)?;
                Ok(Checkpoint::ORIGIN)
            }
            // Empty, or no database that can be read: everything in it comes from the log.
            Ok((None, db)) => {
                drop(db);
                self.begin(home, false)?;
                Ok(Checkpoint::ORIGIN)
            }
            Err(error) if is_damage(&error) => {
                self.begin(home, false)?;
                Ok(Checkpoint::ORIGIN)
            }
            Err(error) => Err(of_sqlite(&error).into()),
        }
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<(), BoxError> {
        let taken = self.take(batch);
        if taken.is_err()
            && let Some(db) = &self.db
        {
            // Where that fails too there is nothing to undo.
            let _ = db.execute_batch("ROLLBACK");
        }
        taken.map_err(of_live)
    }

    fn clear(&mut self, home: &Home) -> Result<(), BoxError> {
        let beside = self.beside;
        self.begin(home, false)?;
        if beside {
            // The other file says nothing any more, and is begun anew if it is still there.
            let _ = self.remove(home, true);
        }
        Ok(())
    }

    fn serve(&mut self, home: &Home) -> Result<Vec<String>, BoxError> {
        if self.beside { self.take_over(home).map_err(of_live) } else { Ok(Vec::new()) }
    }
}

impl<F: SqlFold> SqliteProjection<F> {
    /// Puts what was built beside in the place of the file that serves; says in what they differ.
    fn take_over(&mut self, home: &Home) -> Result<Vec<String>, BoxError> {
        let mut serving = self.connect(home, false)??;
        let Some(fresh) = self.db.take() else { return Err("it was not started".into()) };
        // What is not where this one is would differ by the events between them.
        let found = match kept(&serving, self.fold.name()) {
            Ok(Some((_, at))) if at == self.at => differences(&serving, &fresh)
                .unwrap_or_else(|error| vec![format!("they could not be compared: {}", of_sqlite(&error))]),
            _ => Vec::new(),
        };
        let copied = backup::Backup::new(&fresh, &mut serving)
            .and_then(|copy| copy.run_to_completion(COPY_PAGES, Duration::from_millis(10), None));
        if let Err(error) = copied {
            self.db = Some(fresh);
            return Err(error.into());
        }
        drop(fresh);
        (self.db, self.beside) = (Some(serving), false);
        // The other file says nothing any more, and is begun anew if it is still there.
        let _ = self.remove(home, true);
        Ok(found)
    }
}

/// A line for each table of which the two do not have the same rows.
fn differences(kept: &Connection, fresh: &Connection) -> rusqlite::Result<Vec<String>> {
    let tables = |db: &Connection| -> rusqlite::Result<Vec<String>> {
        let mut listed = db.prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' \
             AND name NOT LIKE 'annals!_%' ESCAPE '!' ORDER BY name",
        )?;
        let names = listed.query_map([], |row| row.get(0))?;
        names.collect()
    };
    let (of_kept, of_fresh) = (tables(kept)?, tables(fresh)?);
    let mut lines: Vec<String> = Vec::new();
    lines.extend(
        of_kept.iter().filter(|name| !of_fresh.contains(name)).map(|name| format!("{name}: only in the old one")),
    );
    lines.extend(
        of_fresh.iter().filter(|name| !of_kept.contains(name)).map(|name| format!("{name}: only in the new one")),
    );
    let digest = |db: &Connection, table: &str| -> rusqlite::Result<(u64, u64)> {
        // Order plays no part: the sum of the hashes of the rows does not depend on it.
        let (mut rows, mut sum) = (0, 0u64);
        let mut select = db.prepare(&format!("SELECT * FROM {}", super::tables::quoted(table)))?;
        let columns = select.column_count();
        let mut found = select.query([])?;
        while let Some(row) = found.next()? {
            let values = (0..columns).map(|at| row.get_ref(at).map(|value| format!("{value:?}")));
            let text = values.collect::<rusqlite::Result<Vec<_>>>()?.join("\u{1f}");
            sum = sum.wrapping_add(xxhash_rust::xxh3::xxh3_64(text.as_bytes()));
            rows += 1;
        }
        Ok((rows, sum))
    };
    for name in of_kept.iter().filter(|name| of_fresh.contains(name)) {
        let (old, new) = (digest(kept, name)?, digest(fresh, name)?);
        if old != new {
            lines.push(format!("{name}: {} rows in the old one, {} in the new one, not the same", old.0, new.0));
        }
    }
    Ok(lines)
}
