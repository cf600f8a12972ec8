//! What the store tells about itself: recovery, segments, statistics, verification.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Corruption;
use crate::event::LogId;
use crate::head::{Against, Head};
use crate::position::Position;
use crate::time::Timestamp;

/// What opening the store found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// The last writer closed the store in order.
    pub clean: bool,
    /// The store was made by this very open.
    pub created: bool,
    /// The tail after recovery.
    pub tail: Position,
    /// Events that were whole but not known to be durable; they were written and synced again.
    pub rewritten: u64,
    /// What was cut from the end of the log, if anything.
    pub cut: Option<Cut>,
    /// A torn tail that was seen while opening for reading and that the next writer will cut.
    pub torn: Option<String>,
    /// Derived files that were missing or damaged and were made again, relative to the store.
    pub rebuilt: Vec<PathBuf>,
    /// Anything else worth knowing, one sentence each.
    pub notes: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// A torn tail that was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// The file it was cut from, relative to the store.
    pub file: PathBuf,
    /// Where the first bad byte stood.
    pub offset: u64,
    /// The first position that the cut bytes would have held.
    pub position: Position,
    /// How many bytes from there on were not zero.
    pub bytes: u64,
    /// Where the bytes are kept, relative to the store.
    pub quarantine: Vec<PathBuf>,
    /// Why it is a tear and not corruption.
    pub reason: String,
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.created {
            return write!(f, "created");
        }
        write!(f, "{}, tail at {}", if self.clean { "closed in order" } else { "not closed in order" }, self.tail)?;
        if self.rewritten > 0 {
            write!(f, "; {} unproven events written and synced again", self.rewritten)?;
        }
        if let Some(cut) = &self.cut {
            write!(
                f,
                "; torn tail of {} bytes cut at {}:{} ({})",
                cut.bytes,
                cut.file.display(),
                cut.offset,
                cut.reason
            )?;
            for kept in &cut.quarantine {
                write!(f, ", kept as {}", kept.display())?;
            }
        }
        if !self.rebuilt.is_empty() {
            write!(f, "; {} derived files rebuilt", self.rebuilt.len())?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

/// What form a segment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// Takes appends.
    Active,
    /// Full, still raw.
    Rolled,
    /// Packed and final.
    Sealed,
    /// Sealed, and its data was moved elsewhere.
    Archived,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Form::Active => "active",
            Form::Rolled => "rolled",
            Form::Sealed => "sealed",
            Form::Archived => "archived",
        })
    }
}

/// One segment of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The file, relative to the store.
    pub file: PathBuf,
    /// Its form.
    pub form: Form,
    /// Whether its appends were synced before they were acknowledged.
    pub synced: bool,
    /// The writer's tenure it belongs to.
    pub epoch: u64,
    /// Position of its first event, if it has one.
    pub first: Position,
    /// Position of its last event; below `first` if it has none.
    pub last: Position,
    /// When its first and last event were recorded.
    pub recorded: Option<(Timestamp, Timestamp)>,
    /// Bytes that hold its events: of frames, or of the sealed file.
    pub used_bytes: u64,
    /// Bytes of the frames that it was before it was sealed; for a raw segment the same as `used_bytes`.
    pub raw_bytes: u64,
    /// Bytes that the file takes, preallocated room included.
    pub file_bytes: u64,
    /// Bytes of its index: a file beside a raw segment, a part of a sealed one; 0 if it has none.
    pub index_bytes: u64,
    /// Bytes of the zstd dictionary of a sealed segment, packed; 0 if it has none.
    pub dictionary_bytes: u64,
    /// Of a sealed segment: root of the tree over all events up to its last.
    pub root: Option<[u8; 32]>,
}

/// What was sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sealed {
    /// Segments that became sealed ones.
    pub segments: u64,
    /// Their events.
    pub events: u64,
    /// Bytes of their frames before.
    pub raw_bytes: u64,
    /// Bytes of their files now, all that is needed to read them included.
    pub stored_bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// What was archived, or brought back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Archived {
    /// Segments that changed places with their stubs.
    pub segments: u64,
    /// Their events.
    pub events: u64,
    /// Bytes of their whole files.
    pub moved_bytes: u64,
    /// Bytes of their stubs.
    pub stub_bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// The store in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The log's identity.
    pub log: LogId,
    /// The writer's tenure.
    pub epoch: u64,
    /// The newest published position; also the number of events.
    pub tail: Position,
    /// The newest durable position.
    pub durable: Position,
    /// When the first and the last event were recorded.
    pub recorded: Option<(Timestamp, Timestamp)>,
    /// Number of segments.
    pub segments: u64,
    /// Bytes of all segments' frames.
    pub log_bytes: u64,
    /// Bytes of all files, as their lengths say.
    pub file_bytes: u64,
    /// Bytes that this handle's indexes take in memory, mappings apart.
    pub index_memory_bytes: u64,
    /// Events that are indexed in memory.
    pub index_memory_events: u64,
    /// States that are stored, of all kinds.
    pub snapshots: u64,
    /// Bytes of the files that hold them.
    pub snapshot_bytes: u64,
    /// States that this handle has stored.
    pub snapshots_written: u64,
    /// States, or whole files of them, that this handle met and did not use, and those that it could not store.
    pub snapshots_ignored: u64,
    /// Why the last one of these was not used.
    pub snapshots_ignored_why: Option<String>,
    /// Appends that were committed through this handle, and the groups that carried them.
    pub appends: u64,
    /// Writes of a group.
    pub groups: u64,
    /// The slowest append of this handle.
    pub slowest_append: Duration,
    /// Whether a failed sync has stopped this writer.
    pub poisoned: Option<String>,
    /// Why full segments are not sealed, or lookup tiers over sealed ones not made, if that failed the last time it was
    /// tried.
    pub sealing_failed: Option<String>,
    /// Files of lookup tiers over sealed segments that are in use, and their bytes.
    pub lookup_runs: u64,
    /// Bytes of these files.
    pub lookup_bytes: u64,
    /// Derived files that turned out damaged or foreign and are not used, each with the reason. Answers do not depend
    /// on them.
    pub distrusted: Vec<(PathBuf, String)>,
}

/// How far a long work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes done.
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Events done.
    pub events: u64,
}

/// What a full check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Verification {
    /// Events that are whole.
    pub events: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Files looked at.
    pub files: u64,
    /// Everything that is damaged, in order of place.
    pub damage: Vec<Corruption>,
    /// Derived files that do not fit the log, with the reason; they are made again when needed.
    pub derived: Vec<(PathBuf, String)>,
    /// A torn tail that the next writer may cut, in words.
    pub torn: Option<String>,
    /// The head of all durable events, if nothing is damaged. Worked out from the events that were read.
    pub head: Option<Head>,
    /// What holding the log against a head came to, if one was given and nothing is damaged.
    pub against: Option<Against>,
    /// Root of the Merkle tree over the events 1 to `events`, if nothing is damaged.
    pub root: Option<[u8; 32]>,
    /// How long it took.
    pub took: Duration,
}

impl Verification {
    /// Whether nothing is damaged. A legal tear at the end is no damage.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.damage.is_empty()
    }
}

/// What a repair may do.
#[derive(Debug, Clone, Default)]
pub struct RepairOptions {
    pub(crate) accept_loss: bool,
}

impl RepairOptions {
    /// Changes nothing and says what would be lost.
    #[must_use]
    pub fn new() -> RepairOptions {
        RepairOptions::default()
    }

    /// Goes on although events are lost. Everything that is taken out is kept under `quarantine/`.
    #[must_use]
    pub fn accept_loss(mut self, accept: bool) -> RepairOptions {
        self.accept_loss = accept;
        self
    }
}

/// What a repair did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// Whether anything was changed.
    pub done: bool,
    /// What was wrong.
    pub damage: Vec<Corruption>,
    /// The tail afterwards.
    pub tail: Position,
    /// Events that stood after it by all evidence and are lost to the log.
    pub lost_events: u64,
    /// Where everything that was taken out is kept, relative to the store.
    pub quarantine: Vec<PathBuf>,
    /// What was done, one sentence each.
    pub steps: Vec<String>,
}

/// What a backup holds, and what it took to make it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backup {
    /// The backup holds the events 1 to this position, each whole and checked, and no other.
    pub position: Position,
    /// Segments that were copied.
    pub copied: u64,
    /// Segments that the backup shares with the store: full ones, linked, since they never change.
    pub linked: u64,
    /// Segments that were in the backup already and passed a full check.
    pub kept: u64,
    /// Bytes that were copied.
    pub copied_bytes: u64,
    /// Bytes of all segments of the backup.
    pub bytes: u64,
    /// Workers of which the backup has what they know.
    pub workers: u64,
    /// Root of the Merkle tree over all events, to be held against that of the store.
    pub root: Option<[u8; 32]>,
    /// How long it took.
    pub took: Duration,
}

/// What was restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The restored store holds the events 1 to this position, each whole and checked.
    pub position: Position,
    /// The epoch under which it goes on, so that no position used from now on passes for one that
    /// the original store used after the backup.
    pub epoch: u64,
    /// Segments that were copied.
    pub segments: u64,
    /// Bytes that were copied.
    pub bytes: u64,
    /// Workers that go on where they were.
    pub workers: u64,
    /// A torn tail of the source that was left out, in words.
    pub torn: Option<String>,
    /// Root of the Merkle tree over all events.
    pub root: Option<[u8; 32]>,
    /// How long it took.
    pub took: Duration,
}
