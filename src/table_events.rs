//! The tables of a store, read from its events and added as events.

use serde_json::Value;

use crate::actor::{Actor, ActorKind};
use crate::append::Append;
use crate::catalog::{Catalog, TABLE_ADDED, TABLE_KIND, Table};
use crate::error::{AppendError, Error, ErrorKind, Result};
use crate::event::NewEvent;
use crate::position::Position;
use crate::query::Query;
use crate::store::Store;

/// How often adding a table is tried again when another one was added meanwhile.
const TRIES: u32 = 8;

impl Store {
    /// The tables of the store now: [`Reader::catalog`](crate::Reader::catalog) of a reader made now.
    ///
    /// # Errors
    /// As [`Reader::catalog`](crate::Reader::catalog).
    pub fn catalog(&self) -> Result<Catalog> {
        self.reader().catalog()
    }

    /// Adds a table, or changes what one adopts and indexes; both stand as an event in the log. Where it is there
    /// already, just so, nothing is appended. Returns the position of the event that says so.
    ///
    /// # Errors
    /// `Denied` unless a user does it; `Invalid`, `Conflict` and `Reserved` as [`Catalog::with`]; `ReadOnly` and
    /// whatever else an append can meet.
    pub fn add_table(&self, table: Table, by: Actor) -> Result<Position> {
        if by.kind() != ActorKind::User {
            let text = format!("only a user can add the table {}, not {by}", table.name());
            return Err(Error::new(ErrorKind::Denied, text).hinting("ask a person to do it"));
        }
        self.add_table_by(table, by)
    }

    /// The same by whoever may: a flow adds the tables that it was built with.
    pub(crate) fn add_table_by(&self, table: Table, by: Actor) -> Result<Position> {
        let mut tries = 0;
        loop {
            let reader = self.reader();
            let catalog = reader.catalog()?;
            let subject = format!("{TABLE_KIND}/{}", table.name());
            if catalog.tables().contains(&table) {
                let newest = Query::all().types([TABLE_ADDED]).subject(&subject).rev().limit(1);
                if let Some(event) = reader.read(&newest).next() {
                    return Ok(event?.position());
                }
            }
            catalog.with(table.clone())?;
            let data = serde_json::to_value(&table).unwrap_or(Value::Null);
            let event = NewEvent::json(TABLE_ADDED, subject.as_str(), &data)?.actor(by.clone());
            let nothing_new = Query::all().types([TABLE_ADDED]);
            match self.append_reserved(Append::new([event]).unless(nothing_new, reader.tail())) {
                Ok(done) => return Ok(done.last),
                Err(AppendError::Conflict { .. }) if tries < TRIES => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}
