//! Read models that nobody had to program, in one SQLite file: `subjects`, `stats`, `search`, and a table for each table
//! of the catalogue.
//!
//! Invariants:
//! - A table and the checkpoint that says up to where it was made change in one transaction.
//! - Each table has a checkpoint of its own, so one that is new, or made anew, reads the log from the beginning while
//!   the others stay where they are. Tables that stand at the same place read it together.
//! - A table of an older version serves until the new one, built beside it under the name `annals_new_…`, has caught
//!   up; they change places in one transaction. One of another history is dropped at once: what it says is not true.
//! - Only what survives power loss is taken in.
//! - Whoever writes the file holds the lock of the projections. Those of one process share it, such as a running
//!   projection and statements that bring tables up: each transaction begins by looking whether another one has changed
//!   the file, and where the tables stand then. So no event is taken in twice.

mod check;
pub(crate) mod database;
mod live;
mod model;
mod rows;
mod search;
mod stats;
mod subjects;

use std::ops::ControlFlow;

use rusqlite::Connection;

pub use check::TableCheck;
pub(super) use database::{is_damage, of_live};
pub use live::Tables;

use super::home::Home;
use super::runtime::Source;
use crate::catalog::Catalog;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::event::EventRef;
use crate::position::Position;
use crate::query::Query;
use crate::reader::{AsOf, Reader};
use database::{Stand, of_sqlite};
use model::Model;
pub(super) use model::quoted;

/// Events of one transaction at most.
const TRANSACTION_EVENTS: usize = 20_000;
/// Bytes of data of one transaction, more or less.
const TRANSACTION_BYTES: usize = 16 << 20;
/// What the name of a table begins with while it is made anew beside the one that serves.
const BESIDE: &str = "annals_new_";

/// The tables that a store has in SQLite beside those of its catalogue.
pub(crate) const OF_EVERY_STORE: [&str; 3] = ["subjects", "stats", "search"];

/// The file, opened for writing, with the tables that were asked for.
pub(super) struct Builder {
    db: Connection,
    source: Source,
    /// Holds the lock of the projections.
    _home: Home,
    /// The tables that were asked for; all if `None`.
    names: Option<Vec<String>>,
    slots: Vec<Slot>,
    /// What SQLite counts changes of others by, when it was last seen where the tables stand.
    seen: i64,
}

/// A table that is being made or kept up.
struct Slot {
    model: Box<dyn Model>,
    /// What it is called now.
    table: String,
    stand: Stand,
}

impl Slot {
    fn serves(&self) -> bool {
        self.table == self.model.name()
    }
}

/// What stands in the way: the file, which can be made anew, or anything else.
enum Trouble {
    Sqlite(rusqlite::Error),
    Other(Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        Trouble::Sqlite(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Other(error)
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Error {
        match trouble {
            Trouble::Sqlite(error) => of_sqlite(&error).caused_by(error),
            Trouble::Other(error) => error,
        }
    }
}

/// The models of a catalogue, of these names; all if none are given.
fn models(catalog: &Catalog, names: Option<&[String]>) -> Vec<Box<dyn Model>> {
    let mut models: Vec<Box<dyn Model>> = vec![
        Box::new(subjects::Subjects::default()),
        Box::new(stats::Stats::default()),
        Box::new(search::Search::new(catalog.clone())),
    ];
    models.extend(catalog.tables().iter().map(|table| Box::new(rows::Rows::new(table.clone())) as Box<dyn Model>));
    if let Some(names) = names {
        models.retain(|model| names.iter().any(|name| name.eq_ignore_ascii_case(model.name())));
    }
    models
}

/// Runs `work` on the file, and once more on an empty one if it turns out damaged.
fn on_file<T>(
    home: &Home,
    source: &Source,
    names: Option<&[String]>,
    mut work: impl FnMut(Builder) -> Result<T, Trouble>,
) -> Result<T> {
    let mut tried = false;
    loop {
        let done = Builder::open(home.clone(), source.clone(), names).and_then(&mut work);
        match done {
            Err(Trouble::Sqlite(error)) if database::is_damage(&error) && !tried => {
                database::remove(&*home.storage)?;
                tried = true;
            }
            other => return other.map_err(Error::from),
        }
    }
}

impl Builder {
    fn open(home: Home, source: Source, names: Option<&[String]>) -> Result<Builder, Trouble> {
        let root = home.path().parent().unwrap_or(home.path()).to_owned();
        let db = database::open(&*home.storage, &root)??;
        let names = names.map(<[String]>::to_vec);
        let mut builder = Builder { db, source, _home: home, names, slots: Vec::new(), seen: 0 };
        builder.reconcile()?;
        Ok(builder)
    }

    /// Begins a transaction, and takes over what others changed before it.
    fn begin(&mut self) -> Result<(), Trouble> {
        loop {
            self.db.execute_batch("BEGIN IMMEDIATE")?;
            match self.look() {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    self.db.execute_batch("ROLLBACK")?;
                    self.reconcile()?;
                }
                Err(error) => {
                    self.roll_back();
                    return Err(error.into());
                }
            }
        }
    }

    /// Looks where the tables stand, if another connection has changed the file; `false` if they are no longer those
    /// that were found.
    fn look(&mut self) -> rusqlite::Result<bool> {
        let now = database::changes_of_others(&self.db)?;
        if now == self.seen {
            return Ok(true);
        }
        for slot in &mut self.slots {
            match database::stand(&self.db, &slot.table)? {
                Some(stand) if stand.version == slot.stand.version => {
                    // Also where it stands as it did: it may have been made anew.
                    slot.model.forget();
                    slot.stand = stand;
                }
                _ => return Ok(false),
            }
        }
        self.seen = now;
        Ok(true)
    }

    /// Where the table is that is furthest behind.
    fn behind(&self) -> Checkpoint {
        self.slots.iter().map(|slot| slot.stand.at).min_by_key(|at| at.position).unwrap_or_default()
    }

    /// What survives power loss now.
    fn reader(&self) -> Reader {
        let reader = self.source.reader();
        let durable = reader.durable();
        reader.as_of(AsOf::Position(durable))
    }

    /// Finds the tables of the catalogue in the file, and makes those that are missing or no longer fit.
    fn reconcile(&mut self) -> Result<(), Trouble> {
        // First of all: what changes while they are looked for is seen by the next transaction.
        self.seen = database::changes_of_others(&self.db)?;
        let models = models(&self.reader().catalog()?, self.names.as_deref());
        self.slots.clear();
        for model in models {
            let slot = self.slot(model)?;
            self.slots.push(slot);
        }
        Ok(())
    }

    fn slot(&self, mut model: Box<dyn Model>) -> Result<Slot, Trouble> {
        let (name, version) = (model.name().to_owned(), model.version());
        // Asked of a reader that is younger than the stand: another one may have come further than an older one sees.
        let is_true = |stand: &Stand| self.reader().holds(&stand.at);
        let fits = |stand: &Stand| -> Result<bool, Trouble> { Ok(stand.version == version && is_true(stand)?) };
        let table = match database::stand(&self.db, &name)? {
            Some(stand) if fits(&stand)? => return Ok(Slot { model, table: name, stand }),
            // What it says was true, and serves until the new one has caught up.
            Some(stand) if is_true(&stand)? => format!("{BESIDE}{name}"),
            _ => name.clone(),
        };
        if table != name
            && let Some(stand) = database::stand(&self.db, &table)?
            && fits(&stand)?
        {
            return Ok(Slot { model, table, stand });
        }
        let found = database::stand(&self.db, &table)?;
        let stand = Stand { version, at: Checkpoint::ORIGIN, skipped: 0 };
        let made = in_transaction(&self.db, |db| {
            // Another one may have made it meanwhile, and be filling it.
            if database::stand(db, &table)? != found {
                return Ok(false);
            }
            database::drop_table(db, &table)?;
            model.create(db, &table)?;
            if table == name {
                model.index(db)?;
            }
            database::set_stand(db, &table, &stand)?;
            Ok(true)
        })?;
        if made { Ok(Slot { model, table, stand }) } else { self.slot(model) }
    }

    /// Takes in everything durable, up to a horizon if one is given; `tell` is told how far it is after each
    /// transaction, and may stop it. Returns whether everything was taken in.
    fn catch_up(
        &mut self,
        horizon: Option<Position>,
        tell: &mut dyn FnMut(Position, Position) -> ControlFlow<()>,
    ) -> Result<bool, Trouble> {
        let durable = self.reader().tail();
        let caught_up = self.read_to(horizon.map_or(durable, |horizon| horizon.min(durable)), tell)?;
        if caught_up {
            self.serve()?;
        }
        Ok(caught_up)
    }

    /// The same, without putting tables that were made anew in the place of those that serve.
    fn read_to(
        &mut self,
        horizon: Position,
        tell: &mut dyn FnMut(Position, Position) -> ControlFlow<()>,
    ) -> Result<bool, Trouble> {
        let reader = self.reader().as_of(AsOf::Position(horizon));
        while !self.slots.is_empty() && self.behind().position < horizon {
            self.begin()?;
            // Another one may have done it meanwhile.
            let from = self.behind().position;
            if from >= horizon {
                self.roll_back();
                break;
            }
            let done = self.take_some(&reader, from).and_then(|through| {
                self.db.execute_batch("COMMIT")?;
                Ok(through)
            });
            let through = match done {
                Ok(through) => through,
                Err(trouble) => {
                    self.roll_back();
                    return Err(trouble);
                }
            };
            if tell(through, horizon).is_break() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Undoes the transaction under way, in the file and in the models.
    fn roll_back(&mut self) {
        // Where that fails too, closing the file undoes it.
        let _ = self.db.execute_batch("ROLLBACK");
        for slot in &mut self.slots {
            slot.model.forget();
            slot.model.take_skipped();
            if let Ok(Some(stand)) = database::stand(&self.db, &slot.table) {
                slot.stand = stand;
            }
        }
    }

    /// Takes in some events behind a position; returns up to where.
    fn take_some(&mut self, reader: &Reader, from: Position) -> Result<Position, Trouble> {
        let queries = self.slots.iter().filter(|slot| slot.stand.at.position == from).map(|slot| slot.model.query());
        let query = queries.reduce(Query::or).unwrap_or_else(Query::all).after(from);
        // Tables that stand further on are left alone until the others have come up to them.
        let next = self.slots.iter().map(|slot| slot.stand.at.position).filter(|at| *at > from).min();
        let reader = next.map_or_else(|| reader.clone(), |next| reader.as_of(AsOf::Position(next)));
        let (db, slots) = (&self.db, &mut self.slots);
        let with_data = slots.iter().any(|slot| slot.stand.at.position == from && slot.model.needs_data());
        let (mut events, mut bytes, mut failed) = (0, 0, None);
        let mut take = |event: EventRef<'_>| {
            for slot in slots.iter_mut().filter(|slot| slot.stand.at.position == from) {
                if let Err(error) = slot.model.take(db, &slot.table, &event) {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            (events, bytes) = (events + 1, bytes + event.data().len());
            if events < TRANSACTION_EVENTS && bytes < TRANSACTION_BYTES {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        let through =
            if with_data { reader.scan(&query, &mut take)? } else { reader.scan_metadata(&query, &mut take)? };
        if let Some(error) = failed {
            return Err(error.into());
        }
        self.put_down(&reader, from, through)?;
        Ok(through)
    }

    /// Writes what the models at a position hold back, and where they stand now.
    fn put_down(&mut self, reader: &Reader, from: Position, through: Position) -> Result<(), Trouble> {
        let at =
            reader.checkpoint(through)?.ok_or_else(|| Error::invalid(format!("position {through} is not there")))?;
        for slot in self.slots.iter_mut().filter(|slot| slot.stand.at.position == from) {
            slot.model.flush(&self.db, &slot.table)?;
            let stand = Stand { at, skipped: slot.stand.skipped + slot.model.take_skipped(), ..slot.stand };
            database::set_stand(&self.db, &slot.table, &stand)?;
            slot.stand = stand;
        }
        Ok(())
    }

    /// Puts tables that were made anew in the place of those that served.
    fn serve(&mut self) -> Result<(), Trouble> {
        let mut moved = false;
        for slot in self.slots.iter_mut().filter(|slot| !slot.serves()) {
            let name = slot.model.name().to_owned();
            let (table, model, stand) = (&slot.table, &mut slot.model, slot.stand);
            model.forget();
            let done = in_transaction(&self.db, |db| {
                // Another one may have put it there already, or begun it anew.
                if database::stand(db, table)? != Some(stand) {
                    return Ok(false);
                }
                database::rename_table(db, table, &name)?;
                model.index(db)?;
                Ok(true)
            })?;
            if done {
                slot.table = name;
            }
            moved |= !done;
        }
        if moved { self.reconcile() } else { Ok(()) }
    }

    /// Begins tables anew beside those that serve.
    fn begin_anew(&mut self) -> Result<(), Trouble> {
        for slot in &mut self.slots {
            let table = format!("{BESIDE}{}", slot.model.name());
            let stand = Stand { at: Checkpoint::ORIGIN, skipped: 0, ..slot.stand };
            let model = &mut slot.model;
            model.forget();
            in_transaction(&self.db, |db| {
                database::drop_table(db, &table)?;
                model.create(db, &table)?;
                database::set_stand(db, &table, &stand)
            })?;
            (slot.table, slot.stand) = (table, stand);
        }
        Ok(())
    }
}

/// Runs `work` in a transaction: whole, or not at all.
fn in_transaction<T>(db: &Connection, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let transaction = rusqlite::Transaction::new_unchecked(db, rusqlite::TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}
