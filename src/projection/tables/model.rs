//! What every read model of the file has in common, and the small things that they share.

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::event::EventRef;
use crate::json::merge::{Kind, unescaped};
use crate::query::Query;

/// A table in SQLite that is folded from events.
///
/// Within a transaction a model may hold back what it takes in until [`Model::flush`]. It names its table by what it is
/// told, since the table is built under another name while an older one serves.
pub(super) trait Model: Send {
    /// What the table is called where it serves.
    fn name(&self) -> &str;

    /// Says by which code, and from which definition, the rows are made. Rows of another version are made again.
    fn version(&self) -> i64;

    /// The events that change it.
    fn query(&self) -> Query;

    /// Whether it looks at the data of events.
    fn needs_data(&self) -> bool;

    /// Makes the table, empty.
    fn create(&mut self, db: &Connection, table: &str) -> rusqlite::Result<()>;

    /// Makes the indexes of the table that serves.
    fn index(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let _ = db;
        Ok(())
    }

    /// Forgets what it knows of its table, which was exchanged or rolled back.
    fn forget(&mut self);

    /// Takes an event in.
    fn take(&mut self, db: &Connection, table: &str, event: &EventRef<'_>) -> rusqlite::Result<()>;

    /// Writes what was held back.
    fn flush(&mut self, db: &Connection, table: &str) -> rusqlite::Result<()>;

    /// Events since the last call whose data could not be taken in, since it is no object.
    fn take_skipped(&mut self) -> u64 {
        0
    }

    /// The columns by which two such tables are compared; all if `None`.
    fn compared(&self) -> Option<&'static [&'static str]> {
        None
    }
}

/// A name as it stands in SQL.
pub(in crate::projection) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A JSON value as SQLite's JSON functions would give it.
pub(super) fn sql_value(json: &str) -> Value {
    match Kind::of(json) {
        Kind::Null => Value::Null,
        Kind::Bool => Value::Integer(i64::from(json.starts_with('t'))),
        Kind::String => unescaped(json).map_or_else(|| Value::Text(json.to_owned()), Value::Text),
        Kind::Number => match (json.parse::<i64>(), json.parse::<f64>()) {
            (Ok(integer), _) => Value::Integer(integer),
            (_, Ok(real)) if real.is_finite() => Value::Real(real),
            // A number that no float holds keeps its digits as text.
            _ => Value::Text(json.to_owned()),
        },
        Kind::Array | Kind::Object => Value::Text(json.to_owned()),
    }
}

/// A version made of the version of the code and of what else the rows depend on.
pub(super) fn version_of(code: u32, definition: &str) -> i64 {
    let hash = xxhash_rust::xxh3::xxh3_64_with_seed(definition.as_bytes(), u64::from(code));
    (hash >> 1) as i64
}
