//! `stats`: how many events there are of each type, by each actor, on each day (UTC, of `occurred_at`).

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::model::{Model, quoted, version_of};
use crate::event::EventRef;
use crate::query::Query;
use crate::time::Timestamp;

const DAY_NANOS: i64 = 86_400_000_000_000;

/// A type, an actor, and a day since 1970.
type Cell = (String, Option<String>, i64);

#[derive(Debug, Default)]
pub(super) struct Stats {
    counted: HashMap<Cell, i64>,
}

impl Model for Stats {
    fn name(&self) -> &str {
        "stats"
    }

    fn version(&self) -> i64 {
        version_of(1, "stats")
    }

    fn query(&self) -> Query {
        Query::all()
    }

    fn needs_data(&self) -> bool {
        false
    }

    fn create(&mut self, db: &Connection, table: &str) -> rusqlite::Result<()> {
        // An index keeps its name when its table gets another, so the one that serves has one of two names.
        let taken = "SELECT count(*) FROM sqlite_schema WHERE name = 'annals_stats_1'";
        let number = 1 + db.query_row(taken, [], |row| row.get::<_, i64>(0))?;
        // A row is found again by its three values; an absent actor is a value like any other here.
        db.execute_batch(&format!(
            "CREATE TABLE {table} (type TEXT NOT NULL, actor TEXT, day TEXT NOT NULL, events INTEGER NOT NULL); \
             CREATE UNIQUE INDEX annals_stats_{number} ON {table} (type, day, ifnull(actor, ''), actor IS NULL)",
            table = quoted(table),
        ))
    }

    fn forget(&mut self) {
        self.counted.clear();
    }

    fn take(&mut self, _: &Connection, _: &str, event: &EventRef<'_>) -> rusqlite::Result<()> {
        let day = event.occurred_at().as_nanos().div_euclid(DAY_NANOS);
        let actor = event.actor().map(|actor| actor.id().to_owned());
        *self.counted.entry((event.event_type().to_owned(), actor, day)).or_default() += 1;
        Ok(())
    }

    fn flush(&mut self, db: &Connection, table: &str) -> rusqlite::Result<()> {
        let mut upsert = db.prepare_cached(&format!(
            "INSERT INTO {} VALUES (?1, ?2, ?3, ?4) ON CONFLICT (type, day, ifnull(actor, ''), actor IS NULL) \
             DO UPDATE SET events = events + excluded.events",
            quoted(table)
        ))?;
        let mut counted: Vec<(Cell, i64)> = self.counted.drain().collect();
        counted.sort_unstable();
        for ((event_type, actor, day), events) in counted {
            upsert.execute(params![event_type, actor, day_text(day), events])?;
        }
        Ok(())
    }
}

/// A day as `2026-11-22`.
fn day_text(day: i64) -> String {
    // The first day that a timestamp reaches into begins before the range.
    let nanos = day.checked_mul(DAY_NANOS).unwrap_or(if day < 0 { i64::MIN } else { i64::MAX });
    let mut text = Timestamp::from_nanos(nanos).to_string();
    text.truncate(text.find('T').unwrap_or(text.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_that_of_every_moment_in_it() {
        for nanos in [0, -1, i64::MIN, i64::MAX, 1_420_070_400_000_000_000, 1_420_156_799_999_999_999] {
            let text = Timestamp::from_nanos(nanos).to_string();
            assert_eq!(day_text(nanos.div_euclid(DAY_NANOS)), text[..10]);
        }
    }
}
