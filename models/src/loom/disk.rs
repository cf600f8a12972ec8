//! A disk of which only what a model needs is there: files that can be mapped, and the words of LIVE.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::io::map::Region;
use crate::io::{Entry, File, FsKind, LockGuard, Mapping, Meta, Mode, Storage, Words};
use crate::sync::atomic::{AtomicU64, Ordering, fence};

/// Words of LIVE that are in use.
const WORDS_USED: usize = 40;

#[derive(Debug)]
pub(super) struct Stub {
    /// Files by name, each with its mapping.
    pub(super) files: Vec<(PathBuf, Arc<Region>)>,
    live: Arc<LiveWords>,
}

impl Stub {
    pub(super) fn new(files: Vec<(PathBuf, Arc<Region>)>) -> Stub {
        let live = Arc::new(LiveWords { words: (0..WORDS_USED).map(|_| AtomicU64::new(0)).collect() });
        Stub { files, live }
    }
}

fn none<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Storage for Stub {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        none()
    }

    fn list(&self, _: &Path) -> io::Result<Vec<Entry>> {
        none()
    }

    fn metadata(&self, _: &Path) -> io::Result<Option<Meta>> {
        Ok(Some(Meta { len: 1 << 20, device: 1, inode: 1, is_dir: false }))
    }

    fn open(&self, path: &Path, _: Mode) -> io::Result<Arc<dyn File>> {
        let file = self.files.iter().find(|(name, _)| name == path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(StubFile(Arc::clone(&file.1))))
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        none()
    }

    fn rename_new(&self, _: &Path, _: &Path) -> io::Result<()> {
        none()
    }

    fn hard_link(&self, _: &Path, _: &Path) -> io::Result<()> {
        none()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        none()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_parent(&self) -> io::Result<()> {
        Ok(())
    }

    fn kind(&self) -> io::Result<FsKind> {
        Ok(FsKind::Local)
    }

    fn lock(&self, _: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        none()
    }

    fn words(&self, _: &Path, _: bool) -> io::Result<Arc<dyn Words>> {
        Ok(Arc::clone(&self.live) as Arc<dyn Words>)
    }

    fn boot_id(&self) -> u64 {
        7
    }

    fn random(&self) -> [u8; 16] {
        [5; 16]
    }
}

#[derive(Debug)]
struct StubFile(Arc<Region>);

impl File for StubFile {
    fn len(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        none()
    }

    fn write_all_at(&self, _: &mut [io::IoSlice<'_>], _: u64) -> io::Result<()> {
        none()
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        none()
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        none()
    }

    fn map_from(&self, _: u64, _: u64) -> io::Result<Arc<dyn Mapping>> {
        Ok(Arc::clone(&self.0) as Arc<dyn Mapping>)
    }
}

/// As `SharedWords` orders them: Release stores, relaxed loads with an Acquire fence behind.
#[derive(Debug)]
struct LiveWords {
    words: Vec<AtomicU64>,
}

impl Words for LiveWords {
    fn load(&self, index: usize) -> u64 {
        let word = self.words[index].load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        word
    }

    fn store(&self, index: usize, value: u64) {
        self.words[index].store(value, Ordering::Release);
    }
}
