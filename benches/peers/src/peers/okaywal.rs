//! okaywal: a write-ahead log. Its files are emptied at a checkpoint, so it is told never to make one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{PoisonError, RwLock};
use std::thread;

use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

use super::record;
use crate::event::Event;
use crate::peer::{About, Durability, Each, Failure, Outcome, Peer};

pub(crate) const ABOUT: About = About {
    name: "okaywal",
    package: "okaywal",
    written: None,
    durable: Some("fdatasync at each commit, shared by those that wait; 64 MiB laid out ahead"),
    checks: "each chunk, at recovery, if the caller asks (CRC-32C)",
    layout: "one entry a batch, one chunk an event; replay is its recovery",
    indexed: false,
    open,
};

const PREALLOCATED_BYTES: u32 = 64 << 20;

struct Okaywal {
    directory: PathBuf,
    /// Absent only while it is recovered again.
    log: RwLock<Option<WriteAheadLog>>,
}

/// Hands over what it recovers; without a receiver, only looks at it.
#[derive(Debug)]
struct Recovering {
    to: Option<SyncSender<Vec<Vec<u8>>>>,
}

impl LogManager for Recovering {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        if let (Some(chunks), Some(to)) = (entry.read_all_chunks()?, &self.to) {
            to.send(chunks).map_err(|_| io::Error::other("nobody receives"))?;
        }
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        Err(io::Error::other("a checkpoint would empty the log"))
    }
}

fn recover(directory: &Path, to: Option<SyncSender<Vec<Vec<u8>>>>) -> io::Result<WriteAheadLog> {
    Configuration::default_for(directory)
        .preallocate_bytes(PREALLOCATED_BYTES)
        .checkpoint_after_bytes(u64::MAX)
        .open(Recovering { to })
}

fn open(directory: &Path, _: Durability) -> Outcome<Box<dyn Peer>> {
    let log = recover(directory, None)?;
    Ok(Box::new(Okaywal { directory: directory.to_owned(), log: RwLock::new(Some(log)) }))
}

impl Peer for Okaywal {
    fn append(&self, events: &[Event]) -> Outcome<()> {
        let guard = self.log.read().unwrap_or_else(PoisonError::into_inner);
        let log = guard.as_ref().ok_or(Failure::Failed("it was not recovered".to_owned()))?;
        let mut record = Vec::with_capacity(512);
        let mut entry = log.begin_entry()?;
        for event in events {
            record.clear();
            record::encode(event, &mut record);
            entry.write_chunk(&record)?;
        }
        entry.commit()?;
        Ok(())
    }

    fn replay(&self, each: Each<'_>) -> Outcome<()> {
        let mut guard = self.log.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = guard.take() {
            log.shutdown()?;
        }
        let (to, from) = sync_channel(16);
        let directory = self.directory.clone();
        // The log keeps its manager, so the end has to be sent: an entry without chunks, which no append makes.
        let recovering = thread::spawn(move || {
            let end = to.clone();
            let log = recover(&directory, Some(to));
            let _ = end.send(Vec::new());
            log
        });
        let mut decoded = Ok(());
        while let Ok(chunks) = from.recv() {
            if chunks.is_empty() {
                break;
            }
            for chunk in chunks {
                match record::decode(&chunk) {
                    Ok(view) => each(view),
                    Err(failure) => decoded = Err(failure),
                }
            }
        }
        *guard = Some(recovering.join().map_err(|_| Failure::Failed("its recovery panicked".to_owned()))??);
        decoded
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        if let Some(log) = self.log.into_inner().unwrap_or_else(PoisonError::into_inner) {
            log.shutdown()?;
        }
        Ok(())
    }
}
