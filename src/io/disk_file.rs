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
        read_on(buf, offset, |buf, offset| sys::read(&self.file, buf, offset))
    }

    fn write_all_at(&self, bufs: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        write_on(bufs, offset, |bufs, offset| sys::write(&self.file, bufs, offset))
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

    fn map_from(&self, first: u64, max_len: u64) -> io::Result<Arc<dyn Mapping>> {
        Ok(Arc::new(Region::map_file(&self.file, first, max_len)?))
    }

    fn drop_cache(&self) {
        sys::drop_cache(&self.file);
    }
}

/// Reads on after short reads and interruptions, up to the end of the file.
fn read_on(buf: &mut [u8], offset: u64, read: impl Fn(&mut [u8], u64) -> io::Result<usize>) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match read(&mut buf[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes on after short writes and interruptions.
fn write_on(
    bufs: &mut [IoSlice<'_>],
    mut offset: u64,
    write: impl Fn(&[IoSlice<'_>], u64) -> io::Result<usize>,
) -> io::Result<()> {
    let mut rest = bufs;
    IoSlice::advance_slices(&mut rest, 0); // Drops empty ones in front.
    while !rest.is_empty() {
        match write(rest, offset) {
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

/// The system calls, each made once.
#[cfg(unix)]
mod sys {
    use std::fs::File;
    use std::io::{self, IoSlice};

    pub(super) fn read(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(file, buf, offset)
    }

    pub(super) fn write(file: &File, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        match bufs {
            // The system need not take in a list first.
            [one] => Ok(rustix::io::pwrite(file, one, offset)?),
            many => Ok(rustix::io::pwritev(file, many, offset)?),
        }
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

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A system that is interrupted every other time and moves three bytes at once.
    fn moves(calls: &Cell<u32>, asked: usize) -> io::Result<usize> {
        calls.set(calls.get() + 1);
        if calls.get() % 2 == 1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(asked.min(3))
    }

    #[test]
    fn short_and_interrupted_reads_are_gone_on_with() {
        let (content, calls) = (b"..abcdefgh", Cell::new(0));
        let read = |buf: &mut [u8], offset: u64| {
            let rest = &content[offset as usize..];
            let read = moves(&calls, buf.len().min(rest.len()))?;
            buf[..read].copy_from_slice(&rest[..read]);
            Ok(read)
        };
        let mut buf = [0; 8];
        assert!(matches!(read_on(&mut buf, 2, read), Ok(8)));
        assert_eq!(&buf, b"abcdefgh");
        let mut longer = [0; 20];
        assert!(matches!(read_on(&mut longer, 6, read), Ok(4)));
        assert_eq!(&longer[..5], b"efgh\0");
    }

    #[test]
    fn short_and_interrupted_writes_are_gone_on_with() {
        let (written, calls) = (RefCell::new(Vec::new()), Cell::new(0));
        let write = |bufs: &[IoSlice<'_>], offset: u64| {
            let bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.to_vec()).collect();
            let moved = moves(&calls, bytes.len())?;
            assert_eq!(offset, 7 + written.borrow().len() as u64);
            written.borrow_mut().extend_from_slice(&bytes[..moved]);
            Ok(moved)
        };
        let mut bufs = [b"", b"ab".as_slice(), b"", b"cdefg", b""].map(IoSlice::new);
        assert!(write_on(&mut bufs, 7, write).is_ok());
        assert_eq!(written.take(), b"abcdefg");
    }

    #[test]
    fn other_errors_and_no_progress_end_it() {
        let full = |_: &[IoSlice<'_>], _| Err(io::Error::from(io::ErrorKind::StorageFull));
        let kind = |outcome: io::Result<()>| outcome.err().map(|error| error.kind());
        let outcome = write_on(&mut [IoSlice::new(b"x")], 0, full);
        assert_eq!(kind(outcome), Some(io::ErrorKind::StorageFull));
        let outcome = write_on(&mut [IoSlice::new(b"x")], 0, |_, _| Ok(0));
        assert_eq!(kind(outcome), Some(io::ErrorKind::WriteZero));
        let broken = |_: &mut [u8], _| Err(io::Error::from(io::ErrorKind::Other));
        assert!(read_on(&mut [0], 0, broken).is_err());
    }
}
