//! Stored states: what folding the events of a subject came to, so that the next fold begins there.
//!
//! Invariants:
//! - A snapshot is derived and never evidence. It is used only if it is of this log, of this kind and shape of state, if
//!   its checks hold and if the log's event at its position has the fingerprint that it carries; else it is ignored,
//!   counted, and the fold begins earlier. The answer is the same with and without.
//! - Nothing is stored that a power cut could make untrue: a state is stored at a durable position only.
//! - Only the process that holds LOCK writes, and there one thread; a load never waits for it.
//! - A view as of a time of occurrence neither uses nor makes any: its events are no beginning of the log.

pub(crate) mod check;
pub(crate) mod codec;
mod document;
mod file;
mod load;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::BoxError;
use crate::event::EventRef;
use crate::log::files::SNAPSHOTS;
use crate::log::shared::Log;
use crate::position::Position;

pub use document::Folded;
#[cfg(test)]
pub(crate) use document::Rules;
use file::StateFile;
use write::Queue;

const EXTENSION: &str = "snap";

/// A state of one subject, folded from its events: the same events always give the same state.
///
/// States are stored now and then (see [`Options::snapshot_every`](crate::Options::snapshot_every)), in a compact binary
/// form where the type comes back whole from it, else as JSON. One that comes back whole from neither is folded from
/// the first event each time.
///
/// ```
/// use annals::{BoxError, EventRef, NewEvent, State, Store};
/// use serde::{Deserialize, Serialize};
/// use serde_json::json;
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Balance {
///     cents: i64,
/// }
///
/// impl State for Balance {
///     const NAME: &'static str = "balance";
///
///     fn apply(&mut self, event: EventRef<'_>) -> Result<(), BoxError> {
///         self.cents += event.json::<i64>()?;
///         Ok(())
///     }
/// }
///
/// # let directory = tempfile::tempdir()?;
/// let store = Store::open(directory.path())?;
/// for cents in [500, -120] {
///     store.append([NewEvent::json("account.moved", "account/1", &json!(cents))?])?;
/// }
/// let account = store.reader().load::<Balance>("account/1")?;
/// assert_eq!((account.state.cents, account.version), (380, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait State: Default + Serialize + DeserializeOwned {
    /// Names the kind of state among all that are stored; at most
    /// [`STATE_NAME_BYTES_MAX`](crate::limits::STATE_NAME_BYTES_MAX) bytes.
    const NAME: &'static str;

    /// To be raised when fields or the meaning of [`State::apply`] change: what was stored under another version is not
    /// used any more.
    const SNAPSHOT_VERSION: u32 = 1;

    /// Takes one event into the state. Must depend on nothing but the state and the event.
    ///
    /// # Errors
    /// Whatever makes the fold stop; [`Reader::load`](crate::Reader::load) then fails, and nothing is stored.
    fn apply(&mut self, event: EventRef<'_>) -> Result<(), BoxError>;
}

/// A state, and what it was made of; see [`Reader::load`](crate::Reader::load).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loaded<S> {
    /// The state.
    pub state: S,
    /// Version of the subject's last event in it; 0 if there is none.
    pub version: u64,
    /// Position of that event.
    pub position: Position,
    /// How many events were folded for this answer.
    pub replayed: u64,
    /// Where the stored state stood that the fold began from, if there was one.
    pub snapshot: Option<Position>,
}

/// Who writes snapshots, if anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    /// This process only reads.
    Never,
    /// A thread of its own.
    InBackground,
    /// Whoever loads, for simulations.
    AtOnce,
}

/// The stored states of a log, as one handle knows them.
#[derive(Debug)]
pub(crate) struct Snapshots {
    log: Arc<Log>,
    /// Events of a subject after which its state is stored; 0: never.
    every: u64,
    writes: Writes,
    /// By the names of the files.
    files: Mutex<BTreeMap<String, Arc<StateFile>>>,
    queue: Queue,
    written: AtomicU64,
    ignored: Ignored,
}

/// Counts what was there and not used, with the last reason.
#[derive(Debug, Default)]
pub(crate) struct Ignored {
    count: AtomicU64,
    last: Mutex<Option<String>>,
}

impl Ignored {
    fn add(&self, file: &Path, why: impl std::fmt::Display) {
        crate::trace::snapshot_ignored(file, &why);
        self.count.fetch_add(1, Ordering::Relaxed);
        *self.last.lock() = Some(format!("{}: {why}", file.display()));
    }
}

/// Stored states in numbers.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) snapshots: u64,
    pub(crate) bytes: u64,
    pub(crate) written: u64,
    pub(crate) ignored: u64,
    pub(crate) ignored_why: Option<String>,
}

impl Snapshots {
    pub(crate) fn new(log: Arc<Log>, every: u64, writes: Writes) -> Arc<Snapshots> {
        Arc::new(Snapshots {
            log,
            every,
            writes,
            files: Mutex::default(),
            queue: Queue::new(),
            written: AtomicU64::new(0),
            ignored: Ignored::default(),
        })
    }

    /// The file of a kind of state, as far as this handle knows it.
    fn file(&self, name: &str) -> Arc<StateFile> {
        self.file_at(&file_name(name))
    }

    fn file_at(&self, file_name: &str) -> Arc<StateFile> {
        let mut files = self.files.lock();
        if let Some(known) = files.get(file_name) {
            return Arc::clone(known);
        }
        let made = Arc::new(StateFile::new(PathBuf::from(SNAPSHOTS).join(file_name)));
        files.insert(file_name.to_owned(), Arc::clone(&made));
        made
    }

    /// What is stored, after a look at every file.
    pub(crate) fn summary(&self) -> Summary {
        let mut summary = Summary {
            written: self.written.load(Ordering::Relaxed),
            ignored: self.ignored.count.load(Ordering::Relaxed),
            ignored_why: self.ignored.last.lock().clone(),
            ..Summary::default()
        };
        for name in file_names(&self.log) {
            let (snapshots, bytes) = self.file_at(&name).count(self);
            summary.snapshots += snapshots;
            summary.bytes += bytes;
        }
        summary
    }

    /// Ends the thread that writes, after what waits for it. Nothing is written from then on.
    pub(crate) fn close(&self) {
        self.queue.close();
        for file in self.files.lock().values() {
            file.sync();
        }
    }

    fn follows(&self) -> bool {
        self.writes == Writes::Never
    }
}

/// The files of snapshots that are there, in order of name.
pub(crate) fn file_names(log: &Log) -> Vec<String> {
    let entries = log.storage.list(SNAPSHOTS.as_ref()).unwrap_or_default();
    let is_ours = |name: &str| Path::new(name).extension().is_some_and(|extension| extension == EXTENSION);
    entries.into_iter().filter(|entry| !entry.is_dir && is_ours(&entry.name)).map(|entry| entry.name).collect()
}

/// What a person recognises of the name, and what tells it from all others.
fn file_name(name: &str) -> String {
    let plain = |char: char| if char.is_ascii_alphanumeric() || char == '-' { char } else { '_' };
    let readable: String = name.chars().take(40).map(plain).collect();
    format!("{readable}-{:016x}.{EXTENSION}", xxh3_64(name.as_bytes()))
}
