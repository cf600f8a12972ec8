//! commitlog: an append-only log in the manner of Kafka, with an offset index and no other.

use std::path::Path;
use std::sync::{PoisonError, RwLock};

use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};

use super::record;
use crate::event::Event;
use crate::peer::{About, Durability, Each, Failure, Outcome, Peer};

pub(crate) const ABOUT: About = About {
    name: "commitlog",
    package: "commitlog",
    written: Some("as documented: a write to the segment and its mapped offset index"),
    durable: None,
    checks: "each message's hash, at every read (CRC-32C)",
    layout: "one message an event; segments of 1 GB",
    indexed: false,
    open,
};

/// Bytes that are asked for at once.
const READ_BYTES: usize = 1 << 20;

struct Log {
    log: RwLock<CommitLog>,
}

fn open(directory: &Path, _: Durability) -> Outcome<Box<dyn Peer>> {
    let mut options = LogOptions::new(directory);
    // A batch counts as one message for this limit, and 1,000 events do not fit the default.
    options.message_max_bytes(16 << 20);
    let log = CommitLog::new(options)?;
    Ok(Box::new(Log { log: RwLock::new(log) }))
}

impl Peer for Log {
    fn append(&self, events: &[Event]) -> Outcome<()> {
        let mut messages = MessageBuf::default();
        let mut record = Vec::with_capacity(512);
        for event in events {
            record.clear();
            record::encode(event, &mut record);
            messages.push(&record).map_err(|_| Failure::Failed("a message that is too large".to_owned()))?;
        }
        self.log.write().unwrap_or_else(PoisonError::into_inner).append(&mut messages)?;
        Ok(())
    }

    fn replay(&self, each: Each<'_>) -> Outcome<()> {
        let log = self.log.read().unwrap_or_else(PoisonError::into_inner);
        let mut next = 0;
        while next < log.next_offset() {
            let messages = log.read(next, ReadLimit::max_bytes(READ_BYTES))?;
            if messages.is_empty() {
                return Err(Failure::Failed(format!("nothing to be read at offset {next}")));
            }
            if let Err(at) = messages.verify_hashes() {
                return Err(Failure::Failed(format!("the hash of message {} does not match", next + at as u64)));
            }
            for message in messages.iter() {
                each(record::decode(message.payload())?);
                next = message.offset() + 1;
            }
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(self.log.write().unwrap_or_else(PoisonError::into_inner).flush()?)
    }
}
