//! [`Storage`] on a real directory.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::disk_file::DiskFile;
use super::map::SharedWords;
use super::{Entry, File, FsKind, LockGuard, Meta, Mode, Storage, WORDS_BYTES, Words, fs_kind};

/// A directory of the operating system.
#[derive(Debug)]
pub struct DiskStorage {
    /// Absolute, so that it stays the same when the process changes its working directory.
    root: PathBuf,
}

impl DiskStorage {
    /// Names a directory as the root; it need not exist yet.
    pub fn open(root: &Path) -> io::Result<DiskStorage> {
        Ok(DiskStorage { root: std::path::absolute(root)? })
    }

    /// Where a path of the store stands. One that would leave the root is `InvalidInput`.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        if path.components().all(|part| matches!(part, Component::Normal(_))) {
            Ok(if path.as_os_str().is_empty() { self.root.clone() } else { self.root.join(path) })
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "a path of a store stays below its root"))
        }
    }

    fn open_file(&self, path: &Path, mode: Mode) -> io::Result<fs::File> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(mode != Mode::Read);
        options.create_new(mode == Mode::CreateNew).create(mode == Mode::Create);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(self.resolve(path)?)
    }
}

impl Storage for DiskStorage {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(self.resolve(path)?)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.resolve(dir)?)? {
            let entry = entry?;
            let meta = match entry.metadata() {
                Ok(meta) => meta,
                // Unlinked since the directory was read, by a writer that seals for example.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(Entry { name, len: meta.len(), is_dir: meta.is_dir() });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Meta>> {
        match fs::metadata(self.resolve(path)?) {
            Ok(meta) => Ok(Some(describe(&meta))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(DiskFile::new(self.open_file(path, mode)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.resolve(from)?, self.resolve(to)?)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        rename_new(&self.resolve(from)?, &self.resolve(to)?)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(self.resolve(from)?, self.resolve(to)?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(self.resolve(path)?)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        sync_directory(&self.resolve(path)?)
    }

    fn sync_parent(&self) -> io::Result<()> {
        match self.root.parent() {
            Some(parent) => sync_directory(parent),
            None => Ok(()), // The root of the file system has no name to lose.
        }
    }

    fn real_root(&self) -> io::Result<Option<PathBuf>> {
        // What is not there yet has no links to resolve: names below the deepest directory there is.
        let mut missing = Vec::new();
        let mut there = self.root.as_path();
        loop {
            match fs::canonicalize(there) {
                Ok(real) => return Ok(Some(missing.iter().rev().fold(real, |path, name| path.join(name)))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            let (Some(name), Some(above)) = (there.file_name(), there.parent()) else {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "`..` behind a directory that is not there"));
            };
            missing.push(name);
            there = above;
        }
    }

    fn link_from(&self, other: &dyn Storage, from: &Path, to: &Path) -> io::Result<()> {
        let Some(root) = other.real_root()? else { return Err(io::ErrorKind::Unsupported.into()) };
        let from = DiskStorage { root }.resolve(from)?;
        fs::hard_link(from, self.resolve(to)?)
    }

    fn beside(&self, path: &Path) -> io::Result<Arc<dyn Storage>> {
        Ok(Arc::new(DiskStorage::open(path)?))
    }

    fn kind(&self) -> io::Result<FsKind> {
        fs_kind::kind_of(&self.root)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        let file = self.open_file(path, Mode::Create)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(DiskLock { file: DiskFile::new(file), pid: std::process::id() }))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn words(&self, path: &Path, create: bool) -> io::Result<Arc<dyn Words>> {
        if !create {
            return Ok(Arc::new(SharedWords::map_file(&self.open_file(path, Mode::Read)?, false)?));
        }
        let file = DiskFile::new(self.open_file(path, Mode::Create)?);
        // Write the page over with what it holds, zeros where it is new: a hole in the file would
        // let a store through the mapping die of SIGBUS on a full disk.
        let mut page = [0; WORDS_BYTES as usize];
        file.read_at(&mut page, 0)?;
        file.write_all_at(&mut [io::IoSlice::new(&page)], 0)?;
        Ok(Arc::new(SharedWords::map_file(file.system_file(), true)?))
    }
}

#[cfg(unix)]
fn describe(meta: &fs::Metadata) -> Meta {
    use std::os::unix::fs::MetadataExt;
    Meta { len: meta.len(), device: meta.dev(), inode: meta.ino(), is_dir: meta.is_dir() }
}

#[cfg(not(unix))]
fn describe(meta: &fs::Metadata) -> Meta {
    Meta { len: meta.len(), device: 0, inode: 0, is_dir: meta.is_dir() }
}

/// Renames in one step where the system can refuse a taken name by itself.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;

    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The kernel or the file system doesn't know the flag.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => link_and_unlink(from, to),
        outcome => Ok(outcome?),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    link_and_unlink(from, to)
}

/// The same in two steps; a crash between them leaves both names.
fn link_and_unlink(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    // Not `File::sync_all`, which retries when interrupted.
    Ok(rustix::fs::fsync(fs::File::open(path)?)?)
}

#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(()) // Directories can't be opened for syncing; the system journals names by itself.
}

/// The lock belongs to the open file, which a forked child shares.
#[derive(Debug)]
struct DiskLock {
    file: DiskFile,
    pid: u32,
}

impl LockGuard for DiskLock {
    fn write_text(&self, text: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all_at(&mut [io::IoSlice::new(text.as_bytes())], 0)
    }
}

impl Drop for DiskLock {
    fn drop(&mut self) {
        // Closing alone would keep it locked for as long as a forked child lives; unlocking in
        // such a child would take the lock from its parent.
        if self.pid == std::process::id() {
            let _ = self.file.system_file().unlock(); // Closing follows and does the same.
        }
    }
}
