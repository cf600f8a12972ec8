//! Keeping the tables up: on a thread of their own while an application runs, or when somebody asks.

use std::ops::ControlFlow;

use super::super::home::Home;
use super::super::runtime::Source;
use super::super::{Projection, ProjectionHandle};
use super::database::{self, is_damage, of_live, of_sqlite};
use super::{Builder, TableCheck, Trouble, on_file};
use crate::catalog::TABLE_ADDED;
use crate::checkpoint::Checkpoint;
use crate::error::{BoxError, Error, Result};
use crate::feed::Batch;
use crate::position::Position;
use crate::store::Store;

/// The tables in SQLite as a projection: [`Store::project_tables`] runs it, so that they follow the log.
pub struct Tables {
    source: Source,
    builder: Option<Builder>,
    /// Up to here batches were given.
    through: Position,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").finish_non_exhaustive()
    }
}

impl Tables {
    /// Puts tables that were made anew in the place of those that served; says in what they differ.
    fn take_over(&mut self) -> Result<Vec<String>, Trouble> {
        let Some(builder) = &mut self.builder else { return Ok(Vec::new()) };
        let found = match builder.compare() {
            Ok(tables) => tables.iter().filter_map(difference).collect(),
            // What an older version left behind keeps no new one from serving.
            Err(Trouble::Sqlite(error)) if !is_damage(&error) => {
                vec![format!("they could not be compared: {}", of_sqlite(&error))]
            }
            Err(trouble) => return Err(trouble),
        };
        builder.serve()?;
        Ok(found)
    }

    fn take_batch(&mut self, batch: &Batch<'_>) -> Result<(), Trouble> {
        let Some(builder) = &mut self.builder else { return Ok(()) };
        builder.begin()?;
        while builder.behind().position < self.through {
            // Another one has made a table anew, and this batch begins behind where that stands.
            builder.roll_back();
            builder.read_to(self.through, &mut |_, _| ControlFlow::Continue(()))?;
            builder.begin()?;
        }
        let reader = builder.reader();
        let mut take = || {
            for event in batch.iter() {
                for slot in builder.slots.iter_mut().filter(|slot| slot.stand.at.position < event.position()) {
                    slot.model.take(&builder.db, &slot.table, &event)?;
                }
            }
            let mut stands: Vec<Position> = builder.slots.iter().map(|slot| slot.stand.at.position).collect();
            stands.retain(|at| *at < batch.through());
            stands.sort_unstable();
            stands.dedup();
            stands.into_iter().try_for_each(|from| builder.put_down(&reader, from, batch.through()))?;
            builder.db.execute_batch("COMMIT")?;
            Ok(())
        };
        let taken: Result<(), Trouble> = take();
        if let Err(trouble) = taken {
            builder.roll_back();
            return Err(trouble);
        }
        if batch.iter().any(|event| event.event_type() == TABLE_ADDED) {
            builder.reconcile()?;
            builder.catch_up(Some(batch.through()), &mut |_, _| ControlFlow::Continue(()))?;
        }
        self.through = batch.through();
        Ok(())
    }
}

/// A line for a table that does not have the rows of the one that it replaces.
fn difference(table: &TableCheck) -> Option<String> {
    let (kept, fresh) = table.differences.filter(|found| *found != (0, 0))?;
    Some(format!("{}: {kept} rows only in the old one, {fresh} only in the new one", table.name))
}

impl Projection for Tables {
    fn name(&self) -> &str {
        "tables"
    }

    fn open(&mut self, home: &Home, _: bool) -> Result<Checkpoint, BoxError> {
        let builder = on_file(home, &self.source, None, Ok)?;
        let at = builder.behind();
        (self.builder, self.through) = (Some(builder), at.position);
        Ok(at)
    }

    fn keeps_checkpoint(&self) -> bool {
        true
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<(), BoxError> {
        self.take_batch(batch).map_err(|trouble| of_live(Error::from(trouble).into()))
    }

    fn clear(&mut self, home: &Home) -> Result<(), BoxError> {
        // Closed before its file is taken away.
        self.builder = None;
        database::remove(&*home.storage)?;
        self.open(home, false)?;
        Ok(())
    }

    fn serve(&mut self, _: &Home) -> Result<Vec<String>, BoxError> {
        self.take_over().map_err(|trouble| of_live(Error::from(trouble).into()))
    }
}

impl Store {
    /// Keeps the tables in SQLite up on a thread of their own: `subjects`, `stats`, `search` and those of the
    /// catalogue, in `projections/tables.sqlite`. Without it they are brought up when somebody asks them.
    ///
    /// # Errors
    /// As [`Store::project`].
    pub fn project_tables(&self) -> Result<ProjectionHandle<Tables>> {
        self.project(Tables { source: Source::of(self), builder: None, through: Position::ORIGIN })
    }

    /// Brings tables up to what is durable now, those of these names or all; `tell` is told how far it is and how far
    /// it will go, and may stop it. Blocks while it works. Returns whether everything was taken in.
    ///
    /// # Errors
    /// `Locked` if another process keeps the projections; `Corruption` if the log is damaged where it is read; `Full`,
    /// `Io`, `Closed`.
    pub fn update_tables(
        &self,
        names: Option<&[String]>,
        mut tell: impl FnMut(Position, Position) -> ControlFlow<()>,
    ) -> Result<bool> {
        self.inner.log.check_open()?;
        let home = Home::new(&self.inner.path, &self.inner.log.storage, true, &self.inner.projections)?;
        on_file(&home, &Source::of(self), names, |mut builder| builder.catch_up(None, &mut tell))
    }
}
