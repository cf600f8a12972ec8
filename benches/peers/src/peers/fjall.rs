//! fjall: an LSM tree, four keyspaces.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::keys::{Index, Kv, KvPeer, Rows, position_of};
use crate::event::Event;
use crate::peer::{About, Durability, Outcome, Peer};

pub(crate) const ABOUT: About = About {
    name: "fjall",
    package: "fjall",
    written: Some("batch with PersistMode::Buffer: it reaches the system's buffers"),
    durable: Some("batch with PersistMode::SyncData: fdatasync of the journal"),
    checks: "each block, when it is read from a file",
    layout: "keyspaces: position to record, three of keys; one batch",
    indexed: true,
    open,
};

struct Fjall {
    database: Database,
    events: Keyspace,
    by_subject: Keyspace,
    by_kind: Keyspace,
    by_time: Keyspace,
    persist: PersistMode,
}

fn open(directory: &Path, durability: Durability) -> Outcome<Box<dyn Peer>> {
    let database = Database::builder(directory).open()?;
    let keyspace = |name: &str| database.keyspace(name, KeyspaceCreateOptions::default);
    let kv = Fjall {
        events: keyspace("events")?,
        by_subject: keyspace("by_subject")?,
        by_kind: keyspace("by_type")?,
        by_time: keyspace("by_time")?,
        persist: match durability {
            Durability::Written => PersistMode::Buffer,
            Durability::Durable => PersistMode::SyncData,
        },
        database,
    };
    Ok(Box::new(KvPeer::new(kv)?))
}

impl Fjall {
    fn index(&self, index: Index) -> &Keyspace {
        match index {
            Index::Subject => &self.by_subject,
            Index::Kind => &self.by_kind,
            Index::Time => &self.by_time,
        }
    }
}

impl Kv for Fjall {
    fn newest(&self) -> Outcome<u64> {
        match self.events.last_key_value() {
            Some(guard) => Ok(position_of(&guard.key()?)),
            None => Ok(0),
        }
    }

    fn commit(&self, first: u64, events: &[Event], rows: &mut Rows) -> Outcome<()> {
        let mut batch = self.database.batch().durability(Some(self.persist));
        for (position, event) in (first..).zip(events) {
            rows.of(event, position);
            batch.insert(&self.events, position.to_be_bytes(), rows.record.as_slice());
            batch.insert(&self.by_subject, rows.subject.as_slice(), []);
            batch.insert(&self.by_kind, rows.kind.as_slice(), []);
            batch.insert(&self.by_time, rows.time.as_slice(), []);
        }
        Ok(batch.commit()?)
    }

    fn records(&self, each: &mut dyn FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
        for guard in self.events.iter() {
            each(&guard.value()?)?;
        }
        Ok(())
    }

    fn lookup(&self, index: Index, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8]) -> Outcome<()>) -> Outcome<()> {
        for guard in self.index(index).range(from..to) {
            if let Some(record) = self.events.get(position_of(&guard.key()?).to_be_bytes())? {
                each(&record)?;
            }
        }
        Ok(())
    }

    fn last(&self, index: Index, from: &[u8], to: &[u8]) -> Outcome<Option<u64>> {
        match self.index(index).range(from..to).next_back() {
            Some(guard) => Ok(Some(position_of(&guard.key()?))),
            None => Ok(None),
        }
    }

    fn close(self) -> Outcome<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}
