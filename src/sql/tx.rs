//! A transaction on a database of a projection, in types of our own.

use std::sync::Arc;

use rusqlite::{Connection, params_from_iter};

use super::statement::value;
use super::value::{Row, SqlParams};
use crate::error::{Error, ErrorKind, Result};

/// A transaction of SQLite in which a batch of events takes effect, together with the checkpoint that says so.
///
/// Statements are kept prepared by their text, so an unchanging text with parameters is what is fast.
#[derive(Debug)]
pub struct SqlTx<'a> {
    db: &'a Connection,
}

impl<'a> SqlTx<'a> {
    pub(crate) fn new(db: &'a Connection) -> SqlTx<'a> {
        SqlTx { db }
    }

    /// Runs a statement that gives no rows; returns how many rows it changed.
    ///
    /// # Errors
    /// `Invalid` with what SQLite says; `Full`; `Io`.
    pub fn execute(&self, text: &str, params: impl SqlParams) -> Result<usize> {
        let mut statement = self.db.prepare_cached(text).map_err(of_statement)?;
        statement.execute(params_from_iter(params.into_values())).map_err(of_statement)
    }

    /// Runs several statements without parameters, such as those that make the tables.
    ///
    /// # Errors
    /// As [`SqlTx::execute`].
    pub fn execute_all(&self, text: &str) -> Result<()> {
        self.db.execute_batch(text).map_err(of_statement)
    }

    /// The rows that a statement gives.
    ///
    /// # Errors
    /// As [`SqlTx::execute`].
    pub fn rows(&self, text: &str, params: impl SqlParams) -> Result<Vec<Row>> {
        rows(self.db, text, params)
    }
}

pub(crate) fn rows(db: &Connection, text: &str, params: impl SqlParams) -> Result<Vec<Row>> {
    let mut statement = db.prepare_cached(text).map_err(of_statement)?;
    let columns: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
    let read = || {
        let mut found = Vec::new();
        let mut rows = statement.query(params_from_iter(params.into_values()))?;
        while let Some(row) = rows.next()? {
            let values = (0..columns.len()).map(|at| row.get_ref(at).map(value)).collect::<rusqlite::Result<_>>()?;
            found.push(Row { columns: Arc::clone(&columns), values });
        }
        Ok(found)
    };
    read().map_err(of_statement)
}

/// What SQLite says of a statement of the user's.
fn of_statement(error: rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => ErrorKind::Full,
        Some(rusqlite::ErrorCode::SystemIoFailure | rusqlite::ErrorCode::CannotOpen) => ErrorKind::Io,
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => ErrorKind::Locked,
        _ => ErrorKind::Invalid,
    };
    Error::new(kind, error.to_string()).caused_by(error)
}
