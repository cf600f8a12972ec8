//! raft-engine: the log of TiKV's Raft groups; all events are entries of one group. Each is a protobuf message, as the
//! crate wants: a `BytesValue` for what the user has, and its index in front of it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use protobuf::well_known_types::Any;
use raft_engine::{Config, Engine, LogBatch, MessageExt};

use super::record;
use crate::event::Event;
use crate::peer::{About, Durability, Each, Outcome, Peer};

pub(crate) const ABOUT: About = About {
    name: "raft-engine",
    package: "raft-engine",
    written: Some("write(.., sync: false)"),
    durable: Some("write(.., sync: true): fdatasync; one Raft group, so nothing to share"),
    checks: "each batch of entries, when it is read (CRC-32)",
    layout: "one Raft group, one protobuf entry an event; LZ4 above 8 KB, its default",
    indexed: false,
    open,
};

const GROUP: u64 = 1;
/// Entries that are read at once.
const READ_ENTRIES: u64 = 1_000;

#[derive(Clone)]
struct Entries;

/// The index of an entry has to stand in it; `type_url` is the string that an `Any` has.
impl MessageExt for Entries {
    type Entry = Any;

    fn index(entry: &Any) -> u64 {
        entry.type_url.parse().unwrap_or(0)
    }
}

struct Raft {
    engine: Engine,
    sync: bool,
    next: Mutex<u64>,
}

fn open(directory: &Path, durability: Durability) -> Outcome<Box<dyn Peer>> {
    let engine = Engine::open(Config { dir: directory.display().to_string(), ..Config::default() })?;
    let next = engine.last_index(GROUP).unwrap_or(0) + 1;
    Ok(Box::new(Raft { engine, sync: durability == Durability::Durable, next: Mutex::new(next) }))
}

impl Peer for Raft {
    fn append(&self, events: &[Event]) -> Outcome<()> {
        let mut entries: Vec<Any> = events
            .iter()
            .map(|event| {
                let mut value = Vec::with_capacity(512);
                record::encode(event, &mut value);
                Any { value, ..Any::default() }
            })
            .collect();
        // Indexes of a group must come in order, so its appends are in line, as they are in Raft.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, entry) in (*next..).zip(&mut entries) {
            entry.type_url = index.to_string();
        }
        let mut batch = LogBatch::with_capacity(entries.len());
        batch.add_entries::<Entries>(GROUP, &entries)?;
        self.engine.write(&mut batch, self.sync)?;
        *next += entries.len() as u64;
        Ok(())
    }

    fn replay(&self, each: Each<'_>) -> Outcome<()> {
        let (Some(first), Some(last)) = (self.engine.first_index(GROUP), self.engine.last_index(GROUP)) else {
            return Ok(());
        };
        let mut entries = Vec::new();
        for start in (first..=last).step_by(READ_ENTRIES as usize) {
            let end = (start + READ_ENTRIES).min(last + 1);
            entries.clear();
            self.engine.fetch_entries_to::<Entries>(GROUP, start, end, None, &mut entries)?;
            for entry in &entries {
                each(record::decode(&entry.value)?);
            }
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(self.engine.sync()?)
    }
}
