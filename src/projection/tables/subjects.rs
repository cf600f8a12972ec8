//! `subjects`: a row for each subject, with its version, its first and last event, and who was last.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::model::{Model, quoted, version_of};
use crate::event::EventRef;
use crate::query::Query;
use crate::subject;

#[derive(Debug, Default)]
pub(super) struct Subjects {
    changed: HashMap<String, Change>,
}

/// What the events of one transaction say of a subject. The first ones count only if the row is new.
#[derive(Debug)]
struct Change {
    first: (u64, String),
    last: (u64, String),
    version: u64,
    last_actor: Option<String>,
}

impl Model for Subjects {
    fn name(&self) -> &str {
        "subjects"
    }

    fn version(&self) -> i64 {
        version_of(1, "subjects")
    }

    fn query(&self) -> Query {
        Query::all()
    }

    fn needs_data(&self) -> bool {
        false
    }

    fn create(&mut self, db: &Connection, table: &str) -> rusqlite::Result<()> {
        let table = quoted(table);
        db.execute_batch(&format!(
            "CREATE TABLE {table} (subject TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, subject_id TEXT NOT NULL, \
             version INTEGER NOT NULL, first_position INTEGER NOT NULL, last_position INTEGER NOT NULL, \
             first_at TEXT NOT NULL, last_at TEXT NOT NULL, last_actor TEXT) WITHOUT ROWID"
        ))
    }

    fn index(&mut self, db: &Connection) -> rusqlite::Result<()> {
        db.execute_batch(
            "CREATE INDEX IF NOT EXISTS subjects_kind ON subjects (kind); \
             CREATE INDEX IF NOT EXISTS subjects_last ON subjects (last_position)",
        )
    }

    fn forget(&mut self) {
        self.changed.clear();
    }

    fn take(&mut self, _: &Connection, _: &str, event: &EventRef<'_>) -> rusqlite::Result<()> {
        let at = || (event.position().get(), event.occurred_at().to_string());
        let last_actor = event.actor().map(|actor| actor.id().to_owned());
        match self.changed.get_mut(event.subject()) {
            Some(change) => {
                (change.last, change.version, change.last_actor) = (at(), event.version(), last_actor);
            }
            None => {
                let change = Change { first: at(), last: at(), version: event.version(), last_actor };
                self.changed.insert(event.subject().to_owned(), change);
            }
        }
        Ok(())
    }

    fn flush(&mut self, db: &Connection, table: &str) -> rusqlite::Result<()> {
        let mut upsert = db.prepare_cached(&format!(
            "INSERT INTO {} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (subject) DO UPDATE SET \
             version = excluded.version, last_position = excluded.last_position, last_at = excluded.last_at, \
             last_actor = excluded.last_actor",
            quoted(table)
        ))?;
        // In the order of the table, which writes each page once.
        let mut changed: Vec<(String, Change)> = self.changed.drain().collect();
        changed.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        for (name, change) in changed {
            let (kind, id) = subject::split(&name).unwrap_or((&name, ""));
            upsert.execute(params![
                name,
                kind,
                id,
                change.version as i64,
                change.first.0 as i64,
                change.last.0 as i64,
                change.first.1,
                change.last.1,
                change.last_actor
            ])?;
        }
        Ok(())
    }
}
