//! One statement, from its text to its last row, on a thread of its own.
//!
//! A connection lives as long as its statement. The order of the steps is what makes the answer consistent: the view
//! of the projected tables is taken first, the view of the log after it, so the tables are behind what the statement
//! sees of the log, or level with it, and never ahead.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, Statement, ToSql};

use super::events::{self, Shared};
use super::guard::{self, Seen};
use super::tables::{self, Opened, Reached};
use super::times;
use super::value::{Row, SqlValue};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{SQL_BYTES_MAX, SQL_VALUE_BYTES_MAX};
use crate::store::Store;

/// Steps of SQLite's machine between two looks at whether somebody wants it to stop.
const STEPS_BETWEEN_LOOKS: i32 = 1000;
/// Rows and bytes after which a lot of rows is handed over, and the time after which it is in any case.
const LOT_ROWS_MAX: usize = 256;
const LOT_BYTES_MAX: usize = 256 << 10;
const LOT_TIME_MAX: Duration = Duration::from_millis(20);

/// What the thread of a statement tells whoever asked.
#[derive(Debug)]
pub(super) enum Told {
    /// First of all, if the statement can be answered.
    Begun(Begun),
    Rows(Vec<Row>),
    Failed(Error),
    /// There are no more rows.
    Done,
}

/// What is known before the first row.
#[derive(Debug, Default)]
pub(super) struct Begun {
    pub(super) columns: Arc<[String]>,
    /// The projected tables that the statement names, each with its distance behind the log, in events.
    pub(super) lags: Vec<(String, u64)>,
}

/// A statement to be answered.
pub(super) struct Job {
    pub(super) store: Store,
    pub(super) text: String,
    pub(super) params: Vec<SqlValue>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) read: Arc<AtomicU64>,
}

/// Where an answer goes, row by row.
pub(super) trait Sink {
    fn begin(&mut self, begun: Begun) -> Handed;
    fn row(&mut self, row: Row) -> Handed;
}

/// Nobody wants any more.
pub(super) struct Gone;

pub(super) type Handed = std::result::Result<(), Gone>;

impl Job {
    /// Answers from a thread of its own, and tells how it ended.
    pub(super) fn run(self, to: &Sender<Told>) {
        let mut lot = Lot::new(to);
        let outcome = self.answer(&mut lot);
        // What was found before a failure is part of the answer. Where nobody listens any more, nobody wants to know.
        let _ = lot.send();
        let _ = to.send(match outcome {
            Ok(()) => Told::Done,
            Err(error) => Told::Failed(error),
        });
    }

    /// Answers on the calling thread, until there are no more rows or no more are wanted.
    pub(super) fn answer(&self, to: &mut dyn Sink) -> Result<()> {
        self.store.inner.log.check_open()?;
        if self.text.len() > SQL_BYTES_MAX {
            let message = format!("the statement has {} bytes, at most {SQL_BYTES_MAX} are allowed", self.text.len());
            return Err(Error::new(ErrorKind::TooLarge, message).hinting("values belong into parameters"));
        }
        guard::check_text(&self.text)?;
        // Names that were brought up; a table that is not there yet is met one at a time.
        let mut brought_up = BTreeSet::new();
        let mut kept_behind = None;
        loop {
            let desk = Desk::open(self)?;
            let prepared = desk.connection.prepare(&self.text);
            let named = match &prepared {
                Ok(_) => std::mem::take(&mut desk.seen.lock().tables),
                Err(error) => missing_table(error).into_iter().collect(),
            };
            let named = tables::of_store(&self.store, named)?;
            let is_new = |name: &String| !brought_up.contains(name);
            // One that is missing is so for good only after it was brought up: others may be making it.
            let is_level = || tables::are_level(&desk.connection, &named, self.store.reader().durable());
            if named.iter().any(is_new) && (prepared.is_err() || !is_level()) {
                brought_up.extend(named.iter().cloned());
                match tables::catch_up(&self.store, &named, &self.stop) {
                    // The file may be another one now.
                    Ok(()) => continue,
                    // They are read as they are, with their lag, if they are there.
                    Err(error) => kept_behind = Some(error),
                }
            }
            return match (prepared, kept_behind) {
                (Ok(statement), _) => self.give(&desk, statement, &named, to),
                (Err(error), Some(reason)) if missing_table(&error).is_some() => Err(reason),
                (Err(error), _) => Err(desk.explain(error)),
            };
        }
    }

    /// Runs the statement and hands its rows over.
    fn give(
        &self,
        desk: &Desk,
        mut statement: Statement<'_>,
        named: &BTreeSet<String>,
        to: &mut dyn Sink,
    ) -> Result<()> {
        if !statement.readonly() || !guard::begins_reading(&self.text) {
            return Err(guard::refusal("something else to do"));
        }
        let wanted = statement.parameter_count();
        if wanted != self.params.len() {
            let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
            let (wanted, given) = (count(wanted, "parameter"), count(self.params.len(), "value"));
            let message = format!("the statement has {wanted}, but {given} came with it");
            return Err(Error::invalid(message).hinting("`?1` stands for the first value, `?2` for the second"));
        }
        for (index, value) in (1..).zip(&self.params) {
            statement.raw_bind_parameter(index, value).map_err(|error| desk.explain(error))?;
        }
        let reached = desk.begin(named)?;
        // After the view of the tables, see above.
        let reader = self.store.reader();
        let tail = reader.tail().get();
        desk.shared.set_reader(reader);
        let lags = reached.into_iter().map(|table| (table.table, tail.saturating_sub(table.position.get())));
        let columns: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
        let begun = Begun { columns: Arc::clone(&columns), lags: lags.collect() };
        if to.begin(begun).is_err() {
            return Ok(());
        }
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(|error| desk.explain(error))? {
            let values = (0..columns.len()).map(|index| row.get_ref(index).map(value));
            let values = values.collect::<rusqlite::Result<Vec<SqlValue>>>().map_err(|error| desk.explain(error))?;
            if to.row(Row { columns: Arc::clone(&columns), values }).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Rows on their way.
struct Lot<'a> {
    to: &'a Sender<Told>,
    rows: Vec<Row>,
    bytes: usize,
    /// Rows after which the lot goes: few at first, so that the first rows come at once.
    most: usize,
    begun: Instant,
}

impl Lot<'_> {
    fn new(to: &Sender<Told>) -> Lot<'_> {
        Lot { to, rows: Vec::new(), bytes: 0, most: 1, begun: Instant::now() }
    }

    fn send(&mut self) -> Handed {
        self.most = (self.most * 4).min(LOT_ROWS_MAX);
        (self.bytes, self.begun) = (0, Instant::now());
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() { Ok(()) } else { self.to.send(Told::Rows(rows)).map_err(|_| Gone) }
    }
}

impl Sink for Lot<'_> {
    fn begin(&mut self, begun: Begun) -> Handed {
        self.to.send(Told::Begun(begun)).map_err(|_| Gone)
    }

    fn row(&mut self, row: Row) -> Handed {
        self.bytes += row.values.iter().filter_map(SqlValue::as_bytes).map(<[u8]>::len).sum::<usize>();
        self.rows.push(row);
        let is_full = self.rows.len() >= self.most || self.bytes >= LOT_BYTES_MAX;
        if is_full || self.begun.elapsed() >= LOT_TIME_MAX { self.send() } else { Ok(()) }
    }
}

/// A connection that is ready for one statement.
struct Desk {
    connection: Connection,
    has_file: bool,
    damage: Option<String>,
    shared: Arc<Shared>,
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
}

impl Desk {
    fn open(job: &Job) -> Result<Desk> {
        let opened = tables::open(&job.store.inner.path);
        let Opened { connection, has_file, damage } = opened.map_err(|error| failed(&error))?;
        let events = job.store.inner.log.tail().get();
        let shared = Arc::new(Shared::new(events, Arc::clone(&job.stop), Arc::clone(&job.read)));
        let mut desk = Desk { connection, has_file, damage, shared, seen: Arc::default(), stop: Arc::clone(&job.stop) };
        desk.set_up().map_err(|error| failed(&error))?;
        Ok(desk)
    }

    fn set_up(&mut self) -> rusqlite::Result<()> {
        let connection = &mut self.connection;
        // What does not fit into a cache must not go into a file: the directory may be read-only.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        // `"no such column"` is an error, not a text.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        let limit = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
        connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, limit(SQL_BYTES_MAX))?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, limit(SQL_VALUE_BYTES_MAX))?;
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        connection.create_collation(times::NAME, times::compare)?;
        events::register(connection, &self.shared)?;
        guard::watch(connection, &self.seen)?;
        let stop = Arc::clone(&self.stop);
        connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || stop.load(Ordering::Relaxed)))
    }

    /// Takes the view of the projected tables, if the statement names any, and says how far they are.
    fn begin(&self, named: &BTreeSet<String>) -> Result<Vec<Reached>> {
        if !self.has_file || named.is_empty() {
            return Ok(Vec::new());
        }
        self.seen.lock().is_own = true;
        let reached = self.connection.execute_batch("BEGIN").and_then(|()| tables::reached(&self.connection, named));
        self.seen.lock().is_own = false;
        reached.map_err(|error| self.explain(error))
    }

    /// What a failure of SQLite means.
    fn explain(&self, error: rusqlite::Error) -> Error {
        if let Some(failure) = self.shared.take_failure() {
            return failure;
        }
        if let Some(refused) = self.seen.lock().refused.take() {
            return guard::refusal(&refused);
        }
        let message = message_of(&error);
        if message.starts_with("no such table") {
            return match &self.damage {
                Some(damage) => tables::damaged(damage),
                None => Error::invalid(message).hinting(self.tables_hint()),
            };
        }
        if message.starts_with("no such column") {
            let columns = events::column_names().collect::<Vec<_>>().join(", ");
            return Error::invalid(message)
                .hinting(format!("`events` has the columns {columns}; a text stands in single quotes"));
        }
        failed(&error)
    }

    fn tables_hint(&self) -> String {
        let names = match self.has_file {
            true => tables::names(&self.connection),
            false => Vec::new(),
        };
        match names.is_empty() {
            true => format!("the only table is {}: nothing was projected into this store", events::NAME),
            false => format!("the tables are {}, {}", events::NAME, names.join(", ")),
        }
    }
}

/// The table that is not there, where that is what is wrong.
fn missing_table(error: &rusqlite::Error) -> Option<String> {
    let message = bare_message(error);
    let name = message.strip_prefix("no such table: ")?;
    Some(name.rsplit('.').next().unwrap_or(name).to_owned())
}

/// What SQLite says, without the statement, which rusqlite would repeat.
fn bare_message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}

/// What SQLite says, with the place in the statement where it knows one.
fn message_of(error: &rusqlite::Error) -> String {
    let message = bare_message(error);
    let rusqlite::Error::SqlInputError { sql, offset, .. } = error else { return message };
    let Some(before) = usize::try_from(*offset).ok().and_then(|offset| sql.get(..offset)) else { return message };
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    match before.matches('\n').count() {
        0 => format!("{message}, at character {column} of the statement"),
        lines => format!("{message}, at line {} of the statement, character {column}", lines + 1),
    }
}

fn failed(error: &rusqlite::Error) -> Error {
    if matches!(error, rusqlite::Error::MultipleStatement) {
        return Error::invalid("more than one statement was given").hinting("one at a time");
    }
    let message = message_of(error);
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => events::stopped(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => tables::damaged(&message),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::new(ErrorKind::Locked, format!("{}: {message}", tables::FILE))
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            Error::new(ErrorKind::Io, format!("cannot read {}: {message}", tables::FILE))
        }
        Some(ErrorCode::OutOfMemory | ErrorCode::TooBig) => Error::new(ErrorKind::TooLarge, message),
        _ => Error::invalid(message),
    }
}

impl ToSql for SqlValue {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            SqlValue::Null => ValueRef::Null,
            SqlValue::Integer(number) => ValueRef::Integer(*number),
            SqlValue::Real(number) => ValueRef::Real(*number),
            SqlValue::Text(text) => ValueRef::Text(text.as_bytes()),
            SqlValue::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

pub(super) fn value(value: ValueRef<'_>) -> SqlValue {
    match value {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(number) => SqlValue::Integer(number),
        ValueRef::Real(number) => SqlValue::Real(number),
        // SQLite makes texts that are no Unicode of bytes; what can be read of them is given.
        ValueRef::Text(text) => SqlValue::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => SqlValue::Blob(bytes.to_vec()),
    }
}
