//! LMDB through heed: a memory-mapped B-tree in one file, four databases.

use std::ops::Bound;
use std::path::Path;

use heed::byteorder::BigEndian;
use heed::types::{Bytes, U64, Unit};
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions};

use super::keys::{Index, Kv, KvPeer, Rows, position_of};
use crate::event::Event;
use crate::peer::{About, Durability, Outcome, Peer};

pub(crate) const ABOUT: About = About {
    name: "lmdb",
    package: "heed",
    written: Some("MDB_NOSYNC: the system writes when it likes; power loss may cost the file"),
    durable: Some("as documented: each commit synced"),
    checks: "none",
    layout: "databases: position to record, three of keys; one transaction",
    indexed: true,
    open,
};

/// Address space, not disk: LMDB wants a map that is never outgrown.
const MAP_BYTES: usize = 32 << 30;

type Records = Database<'static, U64<BigEndian>, Bytes>;
type Keys = Database<'static, Bytes, Unit>;

struct Lmdb {
    env: Env,
    events: Records,
    by_subject: Keys,
    by_kind: Keys,
    by_time: Keys,
}

fn open(directory: &Path, durability: Durability) -> Outcome<Box<dyn Peer>> {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP_BYTES).max_dbs(4);
    // SAFETY: the directory is this process's own for as long as it runs, and the environment is opened once in it.
    let env = unsafe {
        if durability == Durability::Written {
            options.flags(EnvFlags::NO_SYNC);
        }
        options.open(directory)?
    };
    let opened = env.create_databases_and_commit(env.write_txn()?, |opener, transaction| {
        let events = opener.create_database(transaction, Some("events"))?;
        let by_subject = opener.create_database(transaction, Some("by_subject"))?;
        let by_kind = opener.create_database(transaction, Some("by_type"))?;
        let by_time = opener.create_database(transaction, Some("by_time"))?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit((events, by_subject, by_kind, by_time)))
    })?;
    let (events, by_subject, by_kind, by_time): (Records, Keys, Keys, Keys) = opened.unwrap_commit();
    Ok(Box::new(KvPeer::new(Lmdb { env, events, by_subject, by_kind, by_time })?))
}

impl Lmdb {
    fn index(&self, index: Index) -> Keys {
        match index {
            Index::Subject => self.by_subject,
            Index::Kind => self.by_kind,
            Index::Time => self.by_time,
        }
    }
}

impl Kv for Lmdb {
    fn newest(&self) -> Outcome<u64> {
        let transaction = self.env.read_txn()?;
        Ok(self.events.last(&transaction)?.map_or(0, |(position, _)| position))
    }

    fn commit(&self, first: u64, events: &[Event], rows: &mut Rows) -> Outcome<()> {
        let mut transaction = self.env.write_txn()?;
        for (position, event) in (first..).zip(events) {
            rows.of(event, position);
            self.events.put_with_flags(&mut transaction, heed::PutFlags::APPEND, &position, &rows.record)?;
            self.by_subject.put(&mut transaction, &rows.subject, &())?;
            self.by_kind.put(&mut transaction, &rows.kind, &())?;
            self.by_time.put(&mut transaction, &rows.time, &())?;
        }
        Ok(transaction.commit()?)
    }

    fn records(&self, each: &mut dyn FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let transaction = self.env.read_txn()?;
        for row in self.events.iter(&transaction)? {
            each(row?.1)?;
        }
        Ok(())
    }

    fn lookup(&self, index: Index, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let transaction = self.env.read_txn()?;
        for row in self.index(index).range(&transaction, &(Bound::Included(from), Bound::Excluded(to)))? {
            if let Some(record) = self.events.get(&transaction, &position_of(row?.0))? {
                each(record)?;
            }
        }
        Ok(())
    }

    fn last(&self, index: Index, from: &[u8], to: &[u8]) -> Outcome<Option<u64>> {
        let transaction = self.env.read_txn()?;
        let mut range = self.index(index).rev_range(&transaction, &(Bound::Included(from), Bound::Excluded(to)))?;
        match range.next() {
            Some(row) => Ok(Some(position_of(row?.0))),
            None => Ok(None),
        }
    }

    fn close(self) -> Outcome<()> {
        self.env.force_sync()?;
        self.env.prepare_for_closing().wait();
        Ok(())
    }
}
