//! RocksDB: an LSM tree in C++, four column families.

use std::path::Path;

use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions};

use super::keys::{Index, Kv, KvPeer, Rows, position_of};
use crate::event::Event;
use crate::peer::{About, Durability, Failure, Outcome, Peer};

pub(crate) const ABOUT: About = About {
    name: "rocksdb",
    package: "rocksdb",
    written: Some("its default: a batch reaches the system's buffers"),
    durable: Some("WriteOptions::set_sync(true): the write-ahead log synced"),
    checks: "each block, when it is read from a file (its default)",
    layout: "column families: position to record, three of keys; one batch",
    indexed: true,
    open,
};

const FAMILIES: [&str; 4] = ["events", "by_subject", "by_type", "by_time"];

struct Rocks {
    database: DB,
    sync: bool,
}

fn open(directory: &Path, durability: Durability) -> Outcome<Box<dyn Peer>> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let database = DB::open_cf(&options, directory, FAMILIES)?;
    Ok(Box::new(KvPeer::new(Rocks { database, sync: durability == Durability::Durable })?))
}

impl Rocks {
    fn family(&self, name: &str) -> Outcome<&ColumnFamily> {
        self.database.cf_handle(name).ok_or_else(|| Failure::Failed(format!("there is no column family {name}")))
    }

    fn index(&self, index: Index) -> Outcome<&ColumnFamily> {
        self.family(match index {
            Index::Subject => "by_subject",
            Index::Kind => "by_type",
            Index::Time => "by_time",
        })
    }
}

impl Kv for Rocks {
    fn newest(&self) -> Outcome<u64> {
        match self.database.iterator_cf(self.family("events")?, IteratorMode::End).next() {
            Some(row) => Ok(position_of(&row?.0)),
            None => Ok(0),
        }
    }

    fn commit(&self, first: u64, events: &[Event], rows: &mut Rows) -> Outcome<()> {
        let (records, by_subject) = (self.family("events")?, self.family("by_subject")?);
        let (by_kind, by_time) = (self.family("by_type")?, self.family("by_time")?);
        let mut batch = WriteBatch::default();
        for (position, event) in (first..).zip(events) {
            rows.of(event, position);
            batch.put_cf(records, position.to_be_bytes(), &rows.record);
            batch.put_cf(by_subject, &rows.subject, []);
            batch.put_cf(by_kind, &rows.kind, []);
            batch.put_cf(by_time, &rows.time, []);
        }
        let mut options = WriteOptions::default();
        options.set_sync(self.sync);
        Ok(self.database.write_opt(&batch, &options)?)
    }

    fn records(&self, each: &mut dyn FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
        for row in self.database.iterator_cf(self.family("events")?, IteratorMode::Start) {
            each(&row?.1)?;
        }
        Ok(())
    }

    fn lookup(&self, index: Index, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let records = self.family("events")?;
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to);
        let mode = IteratorMode::From(from, Direction::Forward);
        for row in self.database.iterator_cf_opt(self.index(index)?, options, mode) {
            if let Some(record) = self.database.get_pinned_cf(records, position_of(&row?.0).to_be_bytes())? {
                each(&record)?;
            }
        }
        Ok(())
    }

    fn last(&self, index: Index, from: &[u8], to: &[u8]) -> Outcome<Option<u64>> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        let mode = IteratorMode::From(to, Direction::Reverse);
        match self.database.iterator_cf_opt(self.index(index)?, options, mode).next() {
            Some(row) => Ok(Some(position_of(&row?.0))),
            None => Ok(None),
        }
    }

    fn close(self) -> Outcome<()> {
        self.database.flush_wal(true)?;
        drop(self.database);
        Ok(())
    }
}
