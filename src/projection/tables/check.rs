//! Holding tables against a fresh rebuild from the log, and putting the fresh ones in their place.

use std::ops::ControlFlow;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::super::home::Home;
use super::super::runtime::Source;
use super::database::{self, CHECKPOINTS, FILE, Stand, of_sqlite};
use super::model::quoted;
use super::{Builder, Slot, Trouble, models, on_file};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::position::Position;
use crate::store::Store;

/// A table of the read models, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableCheck {
    /// Its name in SQL.
    pub name: String,
    /// Everything up to here is in it.
    pub position: Position,
    /// Rows.
    pub rows: u64,
    /// Events that could not be taken in, since their data is no object.
    pub skipped: u64,
    /// Why it will be made anew when it is next brought up, if it will be.
    pub outdated: Option<String>,
    /// After a check or a rebuild: rows that only the table has, and rows that only the fresh one has. None if a running
    /// projection took events into the table while it was rebuilt, so that the two cannot be compared.
    pub differences: Option<(u64, u64)>,
}

impl Store {
    /// The tables in SQLite as they are, without bringing them up: none if they were never asked for.
    ///
    /// # Errors
    /// `Io`, `Closed`.
    pub fn tables(&self) -> Result<Vec<TableCheck>> {
        self.inner.log.check_open()?;
        let Some(db) = self.tables_file()? else { return Ok(Vec::new()) };
        let stands = database::stands(&db).map_err(|error| of_sqlite(&error))?;
        // Younger than what it is asked about: tables come up meanwhile.
        let reader = self.reader();
        let models = models(&reader.catalog()?, None);
        let mut found = Vec::new();
        for (name, stand) in stands {
            let Some(model) = models.iter().find(|model| model.name() == name) else { continue };
            let outdated = if stand.version != model.version() {
                Some("its definition has changed".to_owned())
            } else if !reader.holds(&stand.at)? {
                Some("its checkpoint is of another history".to_owned())
            } else {
                None
            };
            let rows = rows(&db, "main", &name).map_err(|error| of_sqlite(&error))?;
            let (position, skipped) = (stand.at.position, stand.skipped);
            found.push(TableCheck { name, position, rows, skipped, outdated, differences: None });
        }
        Ok(found)
    }

    /// Makes tables anew from the first event, those of these names or all, beside the ones that serve, and says in
    /// how many rows they differed before it puts them in their place. Blocks while it works; `None` if `tell` stopped
    /// it.
    ///
    /// # Errors
    /// `NotFound` for a name that no table has; else as [`Store::update_tables`].
    pub fn rebuild_tables(
        &self,
        names: Option<&[String]>,
        mut tell: impl FnMut(Position, Position) -> ControlFlow<()>,
    ) -> Result<Option<Vec<TableCheck>>> {
        self.check_names(names)?;
        let home = Home::new(&self.inner.path, &self.inner.log.storage, true, &self.inner.projections)?;
        on_file(&home, &Source::of(self), names, |mut builder| {
            let horizon = builder.reader().tail();
            // Both have to stand at the same position to be compared.
            if !builder.catch_up(Some(horizon), &mut tell)? {
                return Ok(None);
            }
            builder.begin_anew()?;
            if !builder.read_to(horizon, &mut tell)? {
                return Ok(None);
            }
            let done = builder.compare()?;
            builder.serve()?;
            Ok(Some(done))
        })
    }

    /// Compares the tables with ones made anew from the log, which are thrown away again. Blocks while it works; `None`
    /// if `tell` stopped it.
    ///
    /// # Errors
    /// `NotFound` for a name that no table has; `Corruption` if the log is damaged; `Io`, `Closed`.
    pub fn check_tables(
        &self,
        names: Option<&[String]>,
        mut tell: impl FnMut(Position, Position) -> ControlFlow<()>,
    ) -> Result<Option<Vec<TableCheck>>> {
        self.check_names(names)?;
        let mut done = Vec::new();
        for table in self.tables()? {
            let asked = names.is_none_or(|names| names.iter().any(|name| name.eq_ignore_ascii_case(&table.name)));
            if !asked || table.outdated.is_some() {
                if asked {
                    done.push(table);
                }
                continue;
            }
            match self.check_table(&table, &mut tell).map_err(Error::from)? {
                Some(checked) => done.push(checked),
                None => return Ok(None),
            }
        }
        Ok(Some(done))
    }

    fn check_table(
        &self,
        table: &TableCheck,
        tell: &mut dyn FnMut(Position, Position) -> ControlFlow<()>,
    ) -> Result<Option<TableCheck>, Trouble> {
        // A database without a name is a temporary file that SQLite removes.
        let db = Connection::open("")?;
        database::set_up(&db)?;
        db.execute("ATTACH DATABASE ?1 AS kept", [database::uri(&self.inner.path.join(FILE), "mode=ro")])?;
        let source = Source::of(self);
        let reader = source.reader();
        let mut slots = Vec::new();
        for mut model in models(&reader.catalog()?, Some(std::slice::from_ref(&table.name))) {
            let name = model.name().to_owned();
            model.create(&db, &name)?;
            let stand = Stand { version: model.version(), at: Checkpoint::ORIGIN, skipped: 0 };
            slots.push(Slot { model, table: name, stand });
        }
        let home = Home::new(&self.inner.path, &self.inner.log.storage, false, &self.inner.projections)?;
        let seen = database::changes_of_others(&db)?;
        let mut builder = Builder { db, source, _home: home, names: None, slots, seen };
        if !builder.catch_up(Some(table.position), tell)? {
            return Ok(None);
        }
        let Some(slot) = builder.slots.first() else { return Ok(Some(table.clone())) };
        let mut found = compared(&builder.db, slot, ("kept", &table.name), ("main", &slot.table))?;
        found.rows = table.rows;
        Ok(Some(found))
    }

    /// The store is open, and has tables of these names.
    fn check_names(&self, names: Option<&[String]>) -> Result<()> {
        self.inner.log.check_open()?;
        let known = models(&self.reader().catalog()?, None);
        for name in names.unwrap_or_default() {
            if !known.iter().any(|model| model.name().eq_ignore_ascii_case(name)) {
                let list: Vec<&str> = known.iter().map(|model| model.name()).collect();
                return Err(Error::new(ErrorKind::NotFound, format!("there is no table {name}"))
                    .hinting(format!("there are {}", list.join(", "))));
            }
        }
        Ok(())
    }

    /// The file, opened for reading; `None` if there is none.
    fn tables_file(&self) -> Result<Option<Connection>> {
        let there = self.inner.log.storage.metadata(FILE.as_ref()).map_err(|error| Error::io(FILE, error))?;
        if there.is_none() {
            return Ok(None);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(self.inner.path.join(FILE), flags).map_err(|error| of_sqlite(&error))?;
        let listed: i64 = db
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = ?1", [CHECKPOINTS], |row| row.get(0))
            .map_err(|error| of_sqlite(&error))?;
        Ok((listed > 0).then_some(db))
    }
}

impl Builder {
    /// Compares tables that were made anew with those that serve, where both stand at the same position. The others
    /// have no differences: they are further on, or of an older version and were not kept up.
    pub(super) fn compare(&self) -> Result<Vec<TableCheck>, Trouble> {
        // All of it at one moment, whoever else keeps them up.
        let _snapshot = Transaction::new_unchecked(&self.db, TransactionBehavior::Deferred)?;
        let mut done = Vec::new();
        for slot in self.slots.iter().filter(|slot| !slot.serves()) {
            let name = slot.model.name();
            let same = database::stand(&self.db, name)?.is_some_and(|kept| kept.at == slot.stand.at);
            done.push(match same {
                true => compared(&self.db, slot, ("main", name), ("main", &slot.table))?,
                false => TableCheck {
                    name: name.to_owned(),
                    position: slot.stand.at.position,
                    rows: rows(&self.db, "main", &slot.table)?,
                    skipped: slot.stand.skipped,
                    outdated: None,
                    differences: None,
                },
            });
        }
        Ok(done)
    }
}

fn rows(db: &Connection, schema: &str, table: &str) -> rusqlite::Result<u64> {
    let count: i64 = db.query_row(&format!("SELECT count(*) FROM {schema}.{}", quoted(table)), [], |row| row.get(0))?;
    Ok(count.max(0) as u64)
}

/// In how many rows two tables of one model differ, either way.
fn compared(db: &Connection, slot: &Slot, kept: (&str, &str), fresh: (&str, &str)) -> rusqlite::Result<TableCheck> {
    let columns = |(schema, table): (&str, &str)| -> rusqlite::Result<Vec<String>> {
        let mut listed = db.prepare("SELECT name FROM pragma_table_info(?1, ?2)")?;
        let names = listed.query_map([table, schema], |row| row.get(0))?;
        names.collect()
    };
    let known = slot.model.compared().map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let (mut of_kept, mut of_fresh) = (columns(kept)?, columns(fresh)?);
    of_kept.sort_unstable();
    of_fresh.sort_unstable();
    // One of another version may have had other columns: then all of its rows are others.
    let differ = match &known {
        None => of_kept != of_fresh,
        Some(names) => names.iter().any(|name| !of_kept.contains(name)),
    };
    let columns = known.unwrap_or(of_fresh).iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let only = |(schema, table): (&str, &str), (other_schema, other): (&str, &str)| -> rusqlite::Result<u64> {
        if differ {
            return rows(db, schema, table);
        }
        let (table, other) = (quoted(table), quoted(other));
        let count: i64 = db.query_row(
            &format!(
                "SELECT count(*) FROM (SELECT {columns} FROM {schema}.{table} EXCEPT \
                 SELECT {columns} FROM {other_schema}.{other})"
            ),
            [],
            |row| row.get(0),
        )?;
        Ok(count.max(0) as u64)
    };
    Ok(TableCheck {
        name: slot.model.name().to_owned(),
        position: slot.stand.at.position,
        rows: rows(db, fresh.0, fresh.1)?,
        skipped: slot.stand.skipped,
        outdated: None,
        differences: Some((only(kept, fresh)?, only(fresh, kept)?)),
    })
}
