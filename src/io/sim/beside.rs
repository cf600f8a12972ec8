//! Another directory on the same simulated disk, as an archive is: it fails, fills up and loses power with the store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SimStorage;
use crate::io::{Entry, File, FsKind, LockGuard, Meta, Mode, Storage, Words};

#[derive(Debug)]
pub(super) struct Beside {
    pub(super) disk: SimStorage,
    /// Below the root of the disk.
    pub(super) root: PathBuf,
}

impl Beside {
    fn at(&self, path: &Path) -> PathBuf {
        if path.as_os_str().is_empty() { self.root.clone() } else { self.root.join(path) }
    }
}

impl Storage for Beside {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(&self.at(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(&self.at(dir))
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Meta>> {
        self.disk.metadata(&self.at(path))
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        self.disk.open(&self.at(path), mode)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(&self.at(from), &self.at(to))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename_new(&self.at(from), &self.at(to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.hard_link(&self.at(from), &self.at(to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(&self.at(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(&self.at(path))
    }

    fn sync_parent(&self) -> io::Result<()> {
        self.disk.sync_dir(self.root.parent().unwrap_or_else(|| Path::new("")))
    }

    fn kind(&self) -> io::Result<FsKind> {
        self.disk.kind()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        self.disk.lock(&self.at(path))
    }

    fn words(&self, path: &Path, create: bool) -> io::Result<Arc<dyn Words>> {
        self.disk.words(&self.at(path), create)
    }

    fn beside(&self, path: &Path) -> io::Result<Arc<dyn Storage>> {
        self.disk.beside(path)
    }

    fn boot_id(&self) -> u64 {
        self.disk.boot_id()
    }

    fn random(&self) -> [u8; 16] {
        self.disk.random()
    }
}
