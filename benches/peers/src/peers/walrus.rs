//! walrus: a log of topics; all events go into one.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

use super::record;
use crate::event::Event;
use crate::peer::{About, Durability, Each, Failure, Outcome, Peer};

pub(crate) const ABOUT: About = About {
    name: "walrus",
    package: "walrus-rust",
    written: Some("FsyncSchedule::Milliseconds(200), its default"),
    durable: Some("FsyncSchedule::SyncEach; batches through io_uring"),
    checks: "each entry, at every read (FNV-1a)",
    layout: "one topic, one entry an event; read without moving its checkpoint",
    indexed: false,
    open,
};

const TOPIC: &str = "events";
/// Bytes that are asked for at once; it gives 2,000 entries at most.
const READ_BYTES: usize = 4 << 20;

struct Log {
    /// A batch that meets another is refused, so they are put in line.
    walrus: Mutex<Option<Walrus>>,
    schedule: FsyncSchedule,
}

fn open(directory: &Path, durability: Durability) -> Outcome<Box<dyn Peer>> {
    let schedule = match durability {
        Durability::Written => FsyncSchedule::Milliseconds(200),
        Durability::Durable => FsyncSchedule::SyncEach,
    };
    // Its directory can only be named by the environment, and it talks on standard output unless that says otherwise.
    // SAFETY: this process has one thread when it opens its peer.
    unsafe {
        std::env::set_var("WALRUS_DATA_DIR", directory);
        std::env::set_var("WALRUS_QUIET", "1");
    }
    Ok(Box::new(Log { walrus: Mutex::new(Some(start(schedule)?)), schedule }))
}

/// `AtLeastOnce` with a count that is never reached: no read moves what the next reader will see.
fn start(schedule: FsyncSchedule) -> std::io::Result<Walrus> {
    Walrus::with_consistency_and_schedule(ReadConsistency::AtLeastOnce { persist_every: u32::MAX }, schedule)
}

impl Peer for Log {
    fn append(&self, events: &[Event]) -> Outcome<()> {
        let records: Vec<Vec<u8>> = events
            .iter()
            .map(|event| {
                let mut record = Vec::with_capacity(512);
                record::encode(event, &mut record);
                record
            })
            .collect();
        let guard = self.walrus.lock().unwrap_or_else(PoisonError::into_inner);
        let walrus = guard.as_ref().ok_or(Failure::Failed("it was not opened again".to_owned()))?;
        match records.as_slice() {
            [one] => walrus.append_for_topic(TOPIC, one)?,
            many => {
                let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
                walrus.batch_append_for_topic(TOPIC, &many)?;
            }
        }
        Ok(())
    }

    fn replay(&self, each: Each<'_>) -> Outcome<()> {
        // A reader's place is kept by the instance: a new one begins at the beginning.
        let mut guard = self.walrus.lock().unwrap_or_else(PoisonError::into_inner);
        drop(guard.take());
        let walrus = guard.insert(start(self.schedule)?);
        loop {
            let entries = walrus.batch_read_for_topic(TOPIC, READ_BYTES, true)?;
            if entries.is_empty() {
                return Ok(());
            }
            for entry in entries {
                each(record::decode(&entry.data)?);
            }
        }
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        // Nothing of it can be told to close; what it has not synced within 200 ms is the system's to write.
        drop(self.walrus);
        Ok(())
    }
}
