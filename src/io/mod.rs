//! The only layer that meets the operating system.
//!
//! Everything above speaks to four traits, so that the same code runs on a real directory
//! ([`disk`]) and on a simulated one that loses power on demand (`sim`):
//!
//! | trait | what it stands for |
//! |---|---|
//! | [`Storage`] | one directory tree: names, locks, which kind of file system it is |
//! | [`File`] | one open file: positioned reads and writes, sync, preallocation |
//! | [`Mapping`] | published bytes of a file, read without a system call |
//! | [`Words`] | a page of atomics that processes share |
//!
//! Invariants of the layer:
//! - Paths are relative to the root of the store and never leave it.
//! - Contents and names are made durable apart: [`File::sync_data`] for what a file holds,
//!   [`Storage::sync_dir`] for what it is called. Neither is ever retried: after a failed sync the
//!   kernel has marked the pages clean, and a second sync that succeeds proves nothing.
//! - A call that was interrupted (`EINTR`) or did less than asked is gone on with here, except a sync.
//! - `unsafe` lives in [`map`] and nowhere else.

pub mod clock;
pub mod disk;
mod disk_file;
mod fs_kind;
pub mod host;
pub mod map;
mod shared_lock;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use clock::{Clock, ManualClock, SystemClock};
pub use disk::DiskStorage;
pub use host::{boot_id, is_there, process_line, random_bytes};
pub use shared_lock::{SharedGuard, SharedLock};
#[cfg(any(test, feature = "sim"))]
pub use sim::SimStorage;

/// How many 64-bit words a page of [`Words`] holds.
pub const WORDS: usize = 512;

/// The bytes of a page of [`Words`] in its file.
pub const WORDS_BYTES: u64 = WORDS as u64 * 8;

/// One directory tree. The empty path is its root, which need not exist yet.
pub trait Storage: Send + Sync + Debug + 'static {
    /// Creates a directory and those above it, mode 0700; no error if it is there.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// What a directory holds, sorted by name. A missing directory is `NotFound`.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// What stands under a name; `None` if nothing does.
    fn metadata(&self, path: &Path) -> io::Result<Option<Meta>>;

    /// Opens a file, new ones with mode 0600. The directory above it must exist.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name, atomically taking the place of what had that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file another name; `AlreadyExists` if that name is taken.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name; `AlreadyExists` if that name is taken.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes away a file's name. Who has the file open or mapped keeps it.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable. Not retried.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the name of the root itself durable, by syncing the directory that holds it.
    fn sync_parent(&self) -> io::Result<()>;

    /// What kind of file system holds the root, or would hold it once it is created.
    fn kind(&self) -> io::Result<FsKind>;

    /// Locks a file, which is created if needed and never unlinked; `None` if somebody else holds
    /// the lock, in this process or another. The lock dies with the process.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>>;

    /// Maps the first [`WORDS_BYTES`] of a file as shared atomics. With `create` (the writer) the
    /// file is created if needed, every byte of it really allocated, and the mapping writable.
    /// Without, it is read-only, and a file that is too short is `InvalidData`.
    fn words(&self, path: &Path, create: bool) -> io::Result<Arc<dyn Words>>;

    /// Names the boot that this storage runs under; 0 if unknown. What only memory held, such as
    /// [`Words`], is worth nothing under another boot.
    fn boot_id(&self) -> u64 {
        boot_id()
    }

    /// Where the root stands or would stand, with all links of the file system resolved; `None` where
    /// it is no directory of the system. Tells whether one root lies within another.
    fn real_root(&self) -> io::Result<Option<PathBuf>> {
        Ok(None)
    }

    /// Gives a file of another storage a second name in this one; `AlreadyExists` if that name is
    /// taken. Any error means that the two share no file system that can do it: copy instead.
    fn link_from(&self, _other: &dyn Storage, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Another directory of the same kind, by its own path; it need not exist yet.
    fn beside(&self, _path: &Path) -> io::Result<Arc<dyn Storage>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Random bytes for identities and salts; a simulated storage draws them from its seed.
    fn random(&self) -> [u8; 16] {
        random_bytes()
    }
}

/// A held lock; dropping it unlocks.
pub trait LockGuard: Send + Sync + Debug {
    /// Replaces the text of the locked file, which tells others who holds it.
    fn write_text(&self, text: &str) -> io::Result<()>;
}

/// One open file. Offsets and lengths are in bytes.
#[allow(clippy::len_without_is_empty, reason = "a file's length is asked for its value")]
pub trait File: Send + Sync + Debug {
    /// The length of the file.
    fn len(&self) -> io::Result<u64>;

    /// Fills `buf` from `offset` on and returns how much was read: less than asked only at the end
    /// of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bufs` one after the other from `offset` on, in one system call if the system
    /// takes them. After an error any part of them may have been written. `bufs` is used up.
    fn write_all_at(&self, bufs: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;

    /// Makes the contents and the length durable, not the name. Never retried: after any error,
    /// an interruption too, it is unknown what is durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file or extends it by zeros that need not be allocated.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves room on the disk, so that writing there can't fail for want of it, and extends the
    /// file to the end of the range. Where the system can't reserve, it only extends.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Maps `[0, max_len)` for reading, also beyond the end of the file: pages become readable as
    /// it grows. Nothing is published yet.
    fn map(&self, max_len: u64) -> io::Result<Arc<dyn Mapping>> {
        self.map_from(0, max_len)
    }

    /// The same, but bytes before `first` are never shown, so they may change at any time.
    fn map_from(&self, first: u64, max_len: u64) -> io::Result<Arc<dyn Mapping>>;

    /// Lets go of the file's pages in the page cache, as far as the system does so.
    fn drop_cache(&self) {}
}

/// Reads like [`File::read_at`], but does not take it for the end of the file when less comes than
/// the file's length promises: what is missing must never look as if it had never been there. The file may grow
/// meanwhile.
pub(crate) fn read_to_end_of(file: &dyn File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = file.read_at(buf, offset)?;
    while let at = offset.saturating_add(got as u64)
        && got < buf.len()
        && at < file.len()?
    {
        // Asked after its length: what it has by now must come.
        match file.read_at(&mut buf[got..], at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => got += more,
        }
    }
    Ok(got)
}

/// Bytes of a file in memory, of which only what is published can be seen.
pub trait Mapping: Send + Sync + Debug {
    /// Makes `[0, end)` visible to [`Mapping::bytes`]; never takes anything back. The caller
    /// promises that these bytes are in the file and that nobody changes or truncates them again.
    fn publish(&self, end: u64);

    /// The end of what is published.
    fn published(&self) -> u64;

    /// Published bytes; `None` if the range is not within them.
    fn bytes(&self, range: Range<u64>) -> Option<&[u8]>;

    /// Tells the system how a range will be read. Best effort.
    fn advise(&self, _range: Range<u64>, _advice: Advice) {}
}

/// A page of [`WORDS`] little-endian 64-bit words that processes share; all zero when created.
#[allow(clippy::len_without_is_empty, reason = "it is never empty")]
pub trait Words: Send + Sync + Debug {
    /// Reads a word (Acquire).
    ///
    /// # Panics
    /// If `index` is not below [`Words::len`].
    fn load(&self, index: usize) -> u64;

    /// Writes a word (Release). Does nothing on a read-only page.
    ///
    /// # Panics
    /// If `index` is not below [`Words::len`].
    fn store(&self, index: usize, value: u64);

    /// The number of words.
    fn len(&self) -> usize {
        WORDS
    }
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name; what isn't UTF-8 (and so isn't ours) has replacement characters.
    pub name: String,
    /// The length of the file in bytes.
    pub len: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The length of the file in bytes.
    pub len: u64,
    /// The device that holds it; 0 if unknown.
    pub device: u64,
    /// Its number on that device, which a rename keeps and a copy changes; 0 if unknown.
    pub inode: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A new file, for reading and writing; `AlreadyExists` if there is one.
    CreateNew,
    /// A file, created if needed, for reading and writing.
    Create,
}

/// What kind of file system it is, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsKind {
    /// A file system on a local disk that writes in place, or one that isn't known.
    Local,
    /// Memory. Nothing survives power loss.
    Tmpfs,
    /// It never writes in place (btrfs, zfs, bcachefs), so that preallocating is of no use.
    CopyOnWrite,
    /// Another machine's (nfs, 9p, virtiofs, cifs): locks, mappings and syncs can't be relied on.
    Network,
}

/// How a range of a mapping will be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing special; takes earlier advice back.
    Normal,
    /// From front to back.
    Sequential,
    /// Here and there.
    Random,
    /// Soon, so fetch it in the background.
    WillNeed,
    /// At once: fetch and map it now, so that reading doesn't fault page by page.
    PopulateRead,
}
