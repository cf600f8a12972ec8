//! How a store is opened.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::io::{Clock, DiskStorage, Storage, SystemClock};
use crate::limits;
use crate::store::Store;

/// What an acknowledged append survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Power loss: an append returns when its bytes, and the name of the file they are in, are
    /// synced. Nobody sees an event before that.
    Synced,
    /// The process, not the power: an append returns when its bytes were handed to the operating
    /// system; they are synced in the background.
    Written {
        /// How often to sync.
        sync_every: Duration,
    },
}

/// Options of a store; [`Options::open`] opens it.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) durability: Durability,
    pub(crate) segment_bytes: u64,
    pub(crate) compression: i32,
    pub(crate) sealing: bool,
    pub(crate) cache_bytes: u64,
    pub(crate) snapshot_every: u64,
    pub(crate) read_only: bool,
    pub(crate) control_socket: Option<bool>,
    pub(crate) force_file_system: bool,
    pub(crate) background: bool,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            durability: Durability::Synced,
            segment_bytes: limits::SEGMENT_BYTES_DEFAULT,
            compression: 3,
            sealing: true,
            cache_bytes: limits::CACHE_BYTES_DEFAULT,
            snapshot_every: 1000,
            read_only: false,
            control_socket: None,
            force_file_system: false,
            background: true,
            clock: Arc::new(SystemClock),
        }
    }
}

impl Options {
    /// What an acknowledgement means; [`Durability::Synced`] by default. It is a property of each
    /// segment: opening a store in the other mode begins a new one.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Options {
        self.durability = durability;
        self
    }

    /// The size of new segments in bytes; 64 MiB by default, within
    /// [`limits::SEGMENT_BYTES_MIN`] and [`limits::SEGMENT_BYTES_MAX`]. A batch takes half a
    /// segment at most.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Options {
        self.segment_bytes = bytes;
        self
    }

    /// The zstd level for sealed segments, 1 to 19; 3 by default.
    #[must_use]
    pub fn compression(mut self, level: i32) -> Options {
        self.compression = level;
        self
    }

    /// Whether full segments are sealed in the background: packed to a tenth, indexed, proven equal. On by
    /// default. Without it [`Store::seal`] does it when asked.
    #[must_use]
    pub fn sealing(mut self, on: bool) -> Options {
        self.sealing = on;
        self
    }

    /// Bytes of decoded blocks and pages of sealed segments that are kept in memory, shared by all
    /// readers; 16 MiB by default.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: u64) -> Options {
        self.cache_bytes = bytes;
        self
    }

    /// After how many events of a subject its state is stored, so that [`Reader::load`](crate::Reader::load) begins
    /// there the next time; 1,000 by default. With 0 states are neither stored nor read.
    #[must_use]
    pub fn snapshot_every(mut self, events: u64) -> Options {
        self.snapshot_every = events;
        self
    }

    /// Opens for reading only, beside a writer in this or another process and also where the store
    /// is damaged. Nothing is changed.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Options {
        self.read_only = read_only;
        self
    }

    /// Whether a [`Flow`](crate::Flow) that is started on the store answers other processes of the same user at a
    /// socket in its directory. It does if nothing is said; a store without a flow never does.
    #[must_use]
    pub fn control_socket(mut self, on: bool) -> Options {
        self.control_socket = Some(on);
        self
    }

    /// Opens on a network file system too, where locks and mappings cannot be relied on.
    #[must_use]
    pub fn force_file_system(mut self, force: bool) -> Options {
        self.force_file_system = force;
        self
    }

    /// Replaces the clock; for tests of what depends on time.
    #[doc(hidden)]
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Options {
        self.clock = clock;
        self
    }

    /// Without background threads: everything is done by the call that makes it due, in a fixed
    /// order. For simulations.
    #[doc(hidden)]
    #[must_use]
    pub fn background(mut self, background: bool) -> Options {
        self.background = background;
        self
    }

    /// Opens the store in this directory; an absent or empty one becomes a store.
    ///
    /// # Errors
    /// `NotAStore`, `NewerFormat`, `Locked` (naming the holder), `Corruption`, `DamagedTail`,
    /// `NotFound` (reading only, and nothing is there), `Invalid` (an option makes no sense), `Io`.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Store> {
        let path = path.as_ref();
        let storage =
            DiskStorage::open(path).map_err(|error| Error::io(format_args!("open {}", path.display()), error))?;
        self.open_on(Arc::new(storage), path)
    }

    /// Opens a store on any storage; for simulations.
    ///
    /// # Errors
    /// As [`Options::open`].
    #[doc(hidden)]
    pub fn open_on(self, storage: Arc<dyn Storage>, path: &Path) -> Result<Store> {
        Store::open_with(self, storage, path)
    }
}
