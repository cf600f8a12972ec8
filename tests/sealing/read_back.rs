//! A disk that stores a bit otherwise: what is sealed is read back before the raw form goes.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use annals::sim::{Entry, File, FsKind, LockGuard, Mapping, Meta, Mode, SimStorage, Storage, Words};
use annals::{ErrorKind, Store};

use super::{check_all, fill, sealed_count};

/// No bit.
const NONE: u64 = u64::MAX;

/// Stores one bit otherwise of every new sealed file.
#[derive(Debug)]
struct Rotting {
    disk: Arc<SimStorage>,
    bit: Arc<AtomicU64>,
}

#[derive(Debug)]
struct RottingFile {
    file: Arc<dyn File>,
    bit: Arc<AtomicU64>,
}

impl File for RottingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_all_at(&self, bufs: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut bytes = bufs.iter().map(|buf| &buf[..]).collect::<Vec<_>>().concat();
        let bit = self.bit.load(Ordering::Relaxed);
        if bit != NONE {
            let at = (bit / 8) as usize % bytes.len();
            bytes[at] ^= 1 << (bit % 8);
        }
        self.file.write_all_at(&mut [IoSlice::new(&bytes)], offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.file.allocate(offset, len)
    }

    fn map_from(&self, first: u64, max_len: u64) -> io::Result<Arc<dyn Mapping>> {
        self.file.map_from(first, max_len)
    }
}

impl Storage for Rotting {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, mode)?;
        let new = path.to_string_lossy().ends_with(".seg.tmp") && mode != Mode::Read;
        Ok(if new { Arc::new(RottingFile { file, bit: Arc::clone(&self.bit) }) } else { file })
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Meta>> {
        self.disk.metadata(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename_new(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn sync_parent(&self) -> io::Result<()> {
        self.disk.sync_parent()
    }

    fn kind(&self) -> io::Result<FsKind> {
        self.disk.kind()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        self.disk.lock(path)
    }

    fn words(&self, path: &Path, create: bool) -> io::Result<Arc<dyn Words>> {
        self.disk.words(path, create)
    }
}

#[test]
fn what_is_not_stored_as_it_was_written_is_not_sealed() {
    let disk = SimStorage::new();
    let bit = Arc::new(AtomicU64::new(NONE));
    let storage = Arc::new(Rotting { disk: Arc::clone(&disk), bit: Arc::clone(&bit) });
    let options = Store::options().background(false).sealing(false).segment_bytes(64 << 10);
    let store = options.open_on(storage, Path::new("/simulated")).unwrap();
    fill(&store, 300);
    for number in 0..200 {
        // Over all of the file, which is shorter than the product.
        bit.store(number * 1_237, Ordering::Relaxed);
        let error = store.seal().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption, "bit {number}: {error:?}");
        assert_eq!((sealed_count(&store), check_all(&store).unwrap()), (0, 300), "bit {number}");
    }
    let left = disk.list(Path::new("log")).unwrap();
    assert!(left.iter().all(|entry| !entry.name.contains(".seg")), "{left:?}");
    bit.store(NONE, Ordering::Relaxed);
    assert!(store.seal().unwrap().segments >= 2);
    assert_eq!(check_all(&store).unwrap(), 300);
}
