//! Stores on simulated disks, and the bytes of their files.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annals::sim::{ManualClock, Mode, SimStorage, Storage};
use annals::{Options, Result, Store};

/// 2026-01-01, in ns since 1970.
pub const NOW: i64 = 1_767_225_600_000_000_000;

pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(NOW))
}

/// The smallest segments, no threads, a clock that stands still.
pub fn options(clock: &Arc<ManualClock>) -> Options {
    Store::options().background(false).segment_bytes(64 << 10).clock(clock.clone())
}

pub fn open(disk: &Arc<SimStorage>, options: Options) -> Result<Store> {
    options.open_on(disk.clone(), Path::new("simulated"))
}

pub fn open_read_only(disk: &Arc<SimStorage>) -> Result<Store> {
    open(disk, Store::options().background(false).read_only(true))
}

/// Every file of a disk with its bytes, in order of name.
pub fn files(disk: &SimStorage) -> Vec<(PathBuf, Vec<u8>)> {
    fn walk(disk: &SimStorage, directory: &Path, out: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in disk.list(directory).unwrap() {
            let path = directory.join(&entry.name);
            if entry.is_dir {
                walk(disk, &path, out);
            } else {
                let bytes = read(disk, &path);
                out.push((path, bytes));
            }
        }
    }
    let mut out = Vec::new();
    walk(disk, Path::new(""), &mut out);
    out
}

pub fn read(disk: &SimStorage, path: &Path) -> Vec<u8> {
    let file = disk.open(path, Mode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    let got = file.read_at(&mut bytes, 0).unwrap();
    assert_eq!(got, bytes.len());
    bytes
}

/// Writes bytes into a file, behind the back of any store, and syncs them.
pub fn write(disk: &SimStorage, path: &Path, offset: u64, bytes: &[u8]) {
    let file = disk.open(path, Mode::Create).unwrap();
    file.write_all_at(&mut [IoSlice::new(bytes)], offset).unwrap();
    file.sync_data().unwrap();
}

pub fn truncate(disk: &SimStorage, path: &Path, len: u64) {
    let file = disk.open(path, Mode::Write).unwrap();
    file.set_len(len).unwrap();
    file.sync_data().unwrap();
}
