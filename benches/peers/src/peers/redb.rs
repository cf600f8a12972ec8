//! redb: copy-on-write B-trees in one file, four tables.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::keys::{Index, Kv, KvPeer, Rows, position_of};
use crate::event::Event;
use crate::peer::{About, Durability, Outcome, Peer};

pub(crate) const ABOUT: About = About {
    name: "redb",
    package: "redb",
    written: Some("Durability::None, one Immediate commit a second, without which its file only grows"),
    durable: Some("Durability::Immediate"),
    checks: "none on reads (checksums count when it is repaired)",
    layout: "tables: position to record, three of keys; one transaction",
    indexed: true,
    open,
};

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const BY_SUBJECT: TableDefinition<'_, &[u8], ()> = TableDefinition::new("by_subject");
const BY_KIND: TableDefinition<'_, &[u8], ()> = TableDefinition::new("by_type");
const BY_TIME: TableDefinition<'_, &[u8], ()> = TableDefinition::new("by_time");
/// How often an unforced store commits for good.
const FORCE_EVERY: Duration = Duration::from_secs(1);

struct Redb {
    database: Database,
    durability: Durability,
    forced: Mutex<Instant>,
}

fn open(directory: &Path, durability: Durability) -> Outcome<Box<dyn Peer>> {
    let database = Database::create(directory.join("events.redb"))?;
    let setup = database.begin_write()?;
    setup.open_table(EVENTS)?;
    for table in [BY_SUBJECT, BY_KIND, BY_TIME] {
        setup.open_table(table)?;
    }
    setup.commit()?;
    Ok(Box::new(KvPeer::new(Redb { database, durability, forced: Mutex::new(Instant::now()) })?))
}

fn table(index: Index) -> TableDefinition<'static, &'static [u8], ()> {
    match index {
        Index::Subject => BY_SUBJECT,
        Index::Kind => BY_KIND,
        Index::Time => BY_TIME,
    }
}

impl Kv for Redb {
    fn newest(&self) -> Outcome<u64> {
        let events = self.database.begin_read()?.open_table(EVENTS)?;
        Ok(events.last()?.map_or(0, |(position, _)| position.value()))
    }

    fn commit(&self, first: u64, events: &[Event], rows: &mut Rows) -> Outcome<()> {
        let mut transaction = self.database.begin_write()?;
        if self.durability == Durability::Written {
            let mut forced = self.forced.lock().unwrap_or_else(PoisonError::into_inner);
            if forced.elapsed() < FORCE_EVERY {
                transaction.set_durability(redb::Durability::None)?;
            } else {
                *forced = Instant::now();
            }
        }
        {
            let mut records = transaction.open_table(EVENTS)?;
            let mut by_subject = transaction.open_table(BY_SUBJECT)?;
            let mut by_kind = transaction.open_table(BY_KIND)?;
            let mut by_time = transaction.open_table(BY_TIME)?;
            for (position, event) in (first..).zip(events) {
                rows.of(event, position);
                records.insert(position, rows.record.as_slice())?;
                by_subject.insert(rows.subject.as_slice(), ())?;
                by_kind.insert(rows.kind.as_slice(), ())?;
                by_time.insert(rows.time.as_slice(), ())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn records(&self, each: &mut dyn FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let events = self.database.begin_read()?.open_table(EVENTS)?;
        for row in events.iter()? {
            each(row?.1.value())?;
        }
        Ok(())
    }

    fn lookup(&self, index: Index, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let transaction = self.database.begin_read()?;
        let events = transaction.open_table(EVENTS)?;
        let keys = transaction.open_table(table(index))?;
        for row in keys.range(from..to)? {
            if let Some(record) = events.get(position_of(row?.0.value()))? {
                each(record.value())?;
            }
        }
        Ok(())
    }

    fn last(&self, index: Index, from: &[u8], to: &[u8]) -> Outcome<Option<u64>> {
        let keys = self.database.begin_read()?.open_table(table(index))?;
        match keys.range(from..to)?.next_back() {
            Some(row) => Ok(Some(position_of(row?.0.value()))),
            None => Ok(None),
        }
    }

    fn close(self) -> Outcome<()> {
        // The last commits may have been unforced ones.
        self.database.begin_write()?.commit()?;
        drop(self.database);
        Ok(())
    }
}
