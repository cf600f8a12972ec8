//! What is open on the simulated disk: files, mappings, words, locks.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::fault::Call;
use super::state::WordPage;
use super::trace::Op;
use super::{FileId, SimStorage};
use crate::io::map::Region;
use crate::io::{File, LockGuard, Mapping, WORDS, Words};

#[derive(Debug)]
pub(super) struct SimFile {
    pub(super) disk: SimStorage,
    pub(super) file: FileId,
    pub(super) writable: bool,
}

impl SimFile {
    /// Writing through a file that was opened for reading is `EBADF`.
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::Error::from_raw_os_error(9)) }
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.lock_state();
        state.enter(Call::Len)?;
        Ok(state.len(self.file))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.lock_state().read(self.file, offset, buf)
    }

    fn write_all_at(&self, bufs: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        let bytes = bufs.iter().map(|buf| &buf[..]).collect::<Vec<_>>().concat();
        self.disk.lock_state().write(self.file, offset, &bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        let file = self.file;
        let failed = Some(Op::SyncFailed { file });
        self.disk.lock_state().sync(Call::SyncData, Op::SyncData { file }, failed)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        let mut state = self.disk.lock_state();
        state.enter(Call::SetLen)?;
        state.perform(Op::SetLen { file: self.file, len });
        Ok(())
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.disk.lock_state().allocate(self.file, offset, len)
    }

    fn map_from(&self, first: u64, max_len: u64) -> io::Result<Arc<dyn Mapping>> {
        let mut state = self.disk.lock_state();
        state.enter(Call::Map)?;
        let region = state.map(self.file, first, max_len)?;
        Ok(Arc::new(SimMapping { disk: self.disk.clone(), file: self.file, region }))
    }
}

#[derive(Debug)]
struct SimMapping {
    disk: SimStorage,
    file: FileId,
    region: Arc<Region>,
}

impl Mapping for SimMapping {
    fn publish(&self, end: u64) {
        let state = self.disk.lock_state();
        let len = state.len(self.file);
        assert!(end <= len, "{:?} is published up to {end}, but ends at {len}", self.file);
        self.region.publish(end);
    }

    fn published(&self) -> u64 {
        self.region.published()
    }

    fn bytes(&self, range: Range<u64>) -> Option<&[u8]> {
        self.region.bytes(range)
    }
}

#[derive(Debug)]
pub(super) struct SimWords {
    pub(super) disk: SimStorage,
    pub(super) file: FileId,
    pub(super) page: WordPage,
    pub(super) writable: bool,
}

impl Words for SimWords {
    fn load(&self, index: usize) -> u64 {
        assert!(index < WORDS, "word {index} of a page of {WORDS}");
        self.page[index].load(Ordering::Acquire)
    }

    fn store(&self, index: usize, value: u64) {
        assert!(index < WORDS, "word {index} of a page of {WORDS}");
        if self.writable {
            self.disk.lock_state().perform(Op::StoreWord { file: self.file, index, value });
        }
    }
}

#[derive(Debug)]
pub(super) struct SimLock {
    pub(super) disk: SimStorage,
    pub(super) file: FileId,
}

impl LockGuard for SimLock {
    fn write_text(&self, text: &str) -> io::Result<()> {
        let mut state = self.disk.lock_state();
        state.enter(Call::SetLen)?;
        state.perform(Op::SetLen { file: self.file, len: 0 });
        state.write(self.file, 0, text.as_bytes())
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.lock_state().locked.remove(&self.file);
    }
}
