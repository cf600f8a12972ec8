//! [`File`] on a file of the operating system.

use std::fs;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::map::Region;
use super::{File, Mapping};

/// An open file of the operating system.
#[derive(Debug)]
pub(super) struct DiskFile {
    file: fs::File,
}

impl DiskFile {
    pub(super) fn new(file: fs::File) -> DiskFile {
        DiskFile { file }
    }

    pub(super) fn system_file(&self) -> &fs::File {
        &self.file
    }
}

impl File for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match sys::read(&self.file, &mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, bufs: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let (mut rest, mut offset) = (bufs, offset);
        IoSlice::advance_slices(&mut rest, 0); // Drops empty ones in front.
        while !rest.is_empty() {
            match sys::write(&self.file, rest, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut rest, written);
                    offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        sys::sync(&self.file)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let end = offset.checked_add(len).ok_or(io::ErrorKind::InvalidInput)?;
        if len == 0 || sys::allocate(&self.file, offset, len)? || self.len()? >= end {
            return Ok(());
        }
        self.file.set_len(end)
    }

    fn map(&self, max_len: u64) -> io::Result<Arc<dyn Mapping>> {
        Ok(Arc::new(Region::map_file(&self.file, max_len)?))
    }

    fn drop_cache(&self) {
        sys::drop_cache(&self.file);
    }
}

/// The system calls, each made once.
#[cfg(unix)]
mod sys {
    use std::fs::File;
    use std::io::{self, IoSlice};

    pub(super) fn read(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(file, buf, offset)
    }

    pub(super) fn write(file: &File, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(file, bufs, offset)?)
    }

    // Not `File::sync_data`, which retries when interrupted.
    #[cfg(not(target_vendor = "apple"))]
    pub(super) fn sync(file: &File) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(file)?)
    }

    /// There `fsync` only hands the data to the drive; this makes the drive keep it.
    #[cfg(target_vendor = "apple")]
    pub(super) fn sync(file: &File) -> io::Result<()> {
        Ok(rustix::fs::fcntl_fullfsync(file)?)
    }

    /// Whether the system could do it.
    pub(super) fn allocate(file: &File, offset: u64, len: u64) -> io::Result<bool> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;

        // There it would cut a file that is longer than the range.
        #[cfg(target_vendor = "apple")]
        if file.metadata()?.len() >= offset + len {
            return Ok(true);
        }
        loop {
            match fallocate(file, FallocateFlags::empty(), offset, len) {
                Ok(()) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) fn drop_cache(file: &File) {
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
        #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
        let _ = file;
    }
}

/// The system calls, each made once.
#[cfg(windows)]
mod sys {
    use std::fs::File;
    use std::io::{self, IoSlice};
    use std::os::windows::fs::FileExt;

    pub(super) fn read(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        file.seek_read(buf, offset)
    }

    pub(super) fn write(file: &File, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        match bufs.iter().find(|buf| !buf.is_empty()) {
            Some(buf) => file.seek_write(buf, offset),
            None => Ok(0),
        }
    }

    pub(super) fn sync(file: &File) -> io::Result<()> {
        file.sync_data()
    }

    pub(super) fn allocate(_file: &File, _offset: u64, _len: u64) -> io::Result<bool> {
        Ok(false)
    }

    pub(super) fn drop_cache(_file: &File) {}
}
