//! SQLite: one table of events with an index by subject, by type and by time, in WAL mode.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Params, TransactionBehavior, params};

use crate::event::{Event, View};
use crate::peer::{About, Durability, Each, Failure, Outcome, Peer};

pub(crate) const ABOUT: About = About {
    name: "sqlite",
    package: "rusqlite",
    written: Some("WAL, synchronous=NORMAL: synced at checkpoints"),
    durable: Some("WAL, synchronous=FULL: the WAL synced at each commit"),
    checks: "none on data (page structure only; WAL frames at recovery)",
    layout: "one table, indexes on subject, type and time; cache of 64 MiB",
    indexed: true,
    open,
};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS events (
        position INTEGER PRIMARY KEY, subject TEXT NOT NULL, type TEXT NOT NULL, actor TEXT NOT NULL,
        time INTEGER NOT NULL, data BLOB NOT NULL
    );
    CREATE INDEX IF NOT EXISTS by_subject ON events (subject);
    CREATE INDEX IF NOT EXISTS by_type ON events (type);
    CREATE INDEX IF NOT EXISTS by_time ON events (time);
";
const INSERT: &str = "INSERT INTO events (subject, type, actor, time, data) VALUES (?1, ?2, ?3, ?4, ?5)";
/// An index ends with the row id, so that the newest position of a subject is one look.
const NEWEST: &str = "SELECT max(position) FROM events WHERE subject = ?1";

struct Sqlite {
    connection: Mutex<Connection>,
}

fn open(directory: &Path, durability: Durability) -> Outcome<Box<dyn Peer>> {
    let connection = Connection::open(directory.join("events.sqlite"))?;
    let synchronous = if durability == Durability::Durable { "FULL" } else { "NORMAL" };
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "cache_size", -65_536)?;
    connection.execute_batch(SCHEMA)?;
    Ok(Box::new(Sqlite { connection: Mutex::new(connection) }))
}

impl Sqlite {
    fn append_if(&self, events: &[Event], allowed: impl FnOnce(&Connection) -> Outcome<bool>) -> Outcome<()> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !allowed(&transaction)? {
            return Err(Failure::Conflict);
        }
        {
            let mut insert = transaction.prepare_cached(INSERT)?;
            for event in events {
                insert.execute(params![event.subject, event.kind, event.actor, event.time, event.data])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn rows(&self, condition: &str, bound: impl Params, each: Each<'_>) -> Outcome<()> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let text = format!("SELECT type, subject, time, data FROM events {condition}");
        let mut statement = connection.prepare_cached(&text)?;
        let mut rows = statement.query(bound)?;
        while let Some(row) = rows.next()? {
            let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
            each(View {
                kind: text(0)?,
                subject: text(1)?,
                time: row.get(2)?,
                data: row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?,
            });
        }
        Ok(())
    }
}

fn newest(connection: &Connection, subject: &str) -> Outcome<u64> {
    let found: Option<Option<i64>> =
        connection.prepare_cached(NEWEST)?.query_row([subject], |row| row.get(0)).optional()?;
    Ok(found.flatten().unwrap_or(0) as u64)
}

impl Peer for Sqlite {
    fn append(&self, events: &[Event]) -> Outcome<()> {
        self.append_if(events, |_| Ok(true))
    }

    fn replay(&self, each: Each<'_>) -> Outcome<()> {
        self.rows("ORDER BY position", [], each)
    }

    fn subject(&self, subject: &str, each: Each<'_>) -> Outcome<()> {
        self.rows("WHERE subject = ?1 ORDER BY position", [subject], each)
    }

    fn kind(&self, kind: &str, each: Each<'_>) -> Outcome<()> {
        self.rows("WHERE type = ?1 ORDER BY position", [kind], each)
    }

    fn window(&self, since: i64, until: i64, each: Each<'_>) -> Outcome<()> {
        self.rows("WHERE time >= ?1 AND time < ?2 ORDER BY time, position", [since, until], each)
    }

    fn version(&self, subject: &str) -> Outcome<u64> {
        newest(&self.connection.lock().unwrap_or_else(PoisonError::into_inner), subject)
    }

    fn append_expecting(&self, event: &Event, version: u64) -> Outcome<()> {
        self.append_if(std::slice::from_ref(event), |connection| Ok(newest(connection, &event.subject)? == version))
    }

    fn tail(&self) -> Outcome<u64> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let newest: Option<i64> = connection.query_row("SELECT max(position) FROM events", [], |row| row.get(0))?;
        Ok(newest.unwrap_or(0) as u64)
    }

    fn append_unless(&self, event: &Event, after: u64) -> Outcome<()> {
        self.append_if(std::slice::from_ref(event), |connection| Ok(newest(connection, &event.subject)? <= after))
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        let connection = self.connection.into_inner().unwrap_or_else(PoisonError::into_inner);
        connection.close().map_err(|(_, error)| Failure::from(error))
    }
}
