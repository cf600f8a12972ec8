//! The running disk: what the calls of all handles come down to.
//!
//! Invariants:
//! - Every change goes through [`State::perform`], so that the medium, the record, the mappings
//!   and the shared words agree.
//! - Every call that can fail passes [`State::enter`] or [`State::sync`] before it does anything.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};
use std::sync::{Arc, Weak};

use super::fault::{Call, FailPlan, Fault};
use super::medium::Medium;
use super::names::{Name, Target};
use super::trace::{Op, Trace};
use super::{FileId, World};
use crate::io::map::Region;
use crate::io::{Mapping, WORDS, WORDS_BYTES};
use crate::sync::atomic::{AtomicU64, Ordering};

/// The words of a file as the processes that map it see them.
pub(super) type WordPage = Arc<[AtomicU64]>;

pub(super) struct State {
    medium: Medium,
    pub(super) world: World,
    ops: u64,
    trace: Option<Trace>,
    calls: u64,
    /// What each call was, if the run is recorded.
    call_log: Vec<Call>,
    calls_by_kind: BTreeMap<Call, u64>,
    pub(super) plans: Vec<FailPlan>,
    pub(super) locked: BTreeSet<FileId>,
    mappings: BTreeMap<FileId, Vec<Weak<Region>>>,
    words: BTreeMap<FileId, WordPage>,
}

impl State {
    pub(super) fn new(medium: Medium, world: World, traced: bool) -> State {
        let trace = traced.then(|| Trace { start: medium.clone(), ops: Vec::new(), world });
        State {
            medium,
            world,
            ops: 0,
            trace,
            calls: 0,
            call_log: Vec::new(),
            calls_by_kind: BTreeMap::new(),
            plans: Vec::new(),
            locked: BTreeSet::new(),
            mappings: BTreeMap::new(),
            words: BTreeMap::new(),
        }
    }

    pub(super) fn medium(&self) -> &Medium {
        &self.medium
    }

    pub(super) fn ops(&self) -> u64 {
        self.ops
    }

    pub(super) fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    pub(super) fn trace(&self) -> Trace {
        let nothing = || Trace { start: self.medium.clone(), ops: Vec::new(), world: self.world };
        Trace { world: self.world, ..self.trace.clone().unwrap_or_else(nothing) }
    }

    pub(super) fn call_count(&self) -> u64 {
        self.calls
    }

    pub(super) fn call_at(&self, index: u64) -> Option<Call> {
        self.call_log.get(usize::try_from(index).ok()?).copied()
    }

    pub(super) fn calls(&self, call: Call) -> u64 {
        self.calls_by_kind.get(&call).copied().unwrap_or(0)
    }

    /// Begins one attempt at a call.
    fn fault(&mut self, call: Call) -> Option<Fault> {
        let index = self.calls;
        self.calls += 1;
        if self.trace.is_some() {
            self.call_log.push(call);
        }
        *self.calls_by_kind.entry(call).or_default() += 1;
        self.plans.iter_mut().find_map(|plan| plan.hit(index, call))
    }

    /// Begins a call that is tried again when interrupted, and says how many bytes it may move.
    pub(super) fn enter(&mut self, call: Call) -> io::Result<usize> {
        loop {
            match self.fault(call) {
                None | Some(Fault::LostSync) => return Ok(usize::MAX),
                Some(Fault::Short(bytes)) => return Ok(bytes),
                Some(Fault::Eintr) => {}
                Some(fault @ (Fault::Eio | Fault::Enospc)) => return Err(fault.error()),
            }
        }
    }

    /// Makes a sync, which is `done` if all is well and leaves `failed`, if anything, when not.
    pub(super) fn sync(&mut self, call: Call, done: Op, failed: Option<Op>) -> io::Result<()> {
        match self.fault(call) {
            None | Some(Fault::Short(_)) => self.perform(done),
            Some(Fault::LostSync) => {}
            Some(fault @ Fault::Eintr) => return Err(fault.error()),
            Some(fault @ (Fault::Eio | Fault::Enospc)) => {
                if let Some(failed) = failed {
                    self.perform(failed);
                }
                return Err(fault.error());
            }
        }
        Ok(())
    }

    pub(super) fn perform(&mut self, op: Op) {
        self.cut_mappings(&op);
        self.medium.apply(&op);
        self.show(&op);
        self.ops += 1;
        if let Some(trace) = &mut self.trace {
            trace.ops.push(op);
        }
    }

    /// Takes from the mappings what a file is about to lose. (A real mapping shows a signal there.)
    /// What is published must stay in the file for as long as anybody maps it.
    fn cut_mappings(&self, op: &Op) {
        let Op::SetLen { file, len } = op else { return };
        for region in self.regions(*file) {
            let published = region.published();
            assert!(published <= *len, "{file:?} is cut at {len}, but published up to {published}");
            region.clear(*len..self.len(*file));
        }
    }

    /// Lets mappings and words see what was done.
    fn show(&mut self, op: &Op) {
        match op {
            Op::Write { file, offset, bytes } => {
                self.regions(*file).for_each(|region| region.write(*offset, bytes));
                self.reload_words(*file);
            }
            Op::SetLen { file, .. } => self.reload_words(*file),
            Op::StoreWord { file, index, value } => {
                if let Some(page) = self.words.get(file) {
                    page[*index].store(*value, Ordering::Release);
                }
            }
            _ => {}
        }
    }

    fn regions(&self, file: FileId) -> impl Iterator<Item = Arc<Region>> {
        self.mappings.get(&file).into_iter().flatten().filter_map(Weak::upgrade)
    }

    fn reload_words(&self, file: FileId) {
        if let Some(page) = self.words.get(&file) {
            for (word, value) in page.iter().zip(self.stored_words(file)) {
                word.store(value, Ordering::Release);
            }
        }
    }

    fn stored_words(&self, file: FileId) -> [u64; WORDS] {
        let mut page = [0; WORDS_BYTES as usize];
        self.read_live(file, 0, &mut page);
        let (words, _) = page.as_chunks();
        std::array::from_fn(|i| u64::from_le_bytes(words[i]))
    }

    /// The words of a file, which all who map it share.
    pub(super) fn words(&mut self, file: FileId) -> WordPage {
        let stored = self.stored_words(file);
        self.words.entry(file).or_insert_with(|| stored.map(AtomicU64::new).into_iter().collect()).clone()
    }

    pub(super) fn map(&mut self, file: FileId, first: u64, max_len: u64) -> io::Result<Arc<Region>> {
        let region = Arc::new(Region::on_heap(first, max_len)?);
        let mut piece = vec![0; max_len.min(1 << 16) as usize];
        let mut offset = 0;
        while offset < max_len {
            let read = self.read_live(file, offset, &mut piece);
            if read == 0 {
                break;
            }
            region.write(offset, &piece[..read]);
            offset += read as u64;
        }
        let mappings = self.mappings.entry(file).or_default();
        mappings.retain(|mapping| mapping.strong_count() > 0);
        mappings.push(Arc::downgrade(&region));
        Ok(region)
    }

    pub(super) fn len(&self, file: FileId) -> u64 {
        self.medium.file(file).map_or(0, |contents| contents.live().len())
    }

    fn read_live(&self, file: FileId, offset: u64, buf: &mut [u8]) -> usize {
        self.medium.file(file).map_or(0, |contents| contents.live().read(offset, buf))
    }

    pub(super) fn read(&mut self, file: FileId, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            let end = buf.len().min(done.saturating_add(self.enter(Call::Read)?));
            let read = self.read_live(file, offset + done as u64, &mut buf[done..end]);
            if read == 0 {
                break;
            }
            done += read;
        }
        Ok(done)
    }

    pub(super) fn write(&mut self, file: FileId, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let end = bytes.len().min(done.saturating_add(self.enter(Call::Write)?));
            if end == done {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let at = offset + done as u64;
            let end = end.min(done.saturating_add(self.room_from(file, at)));
            if end == done {
                return Err(Fault::Enospc.error());
            }
            self.perform(Op::Write { file, offset: at, bytes: bytes[done..end].into() });
            done = end;
        }
        Ok(())
    }

    /// How many bytes can be written to a file from `offset` on.
    fn room_from(&self, file: FileId, offset: u64) -> usize {
        let free = self.world.capacity.saturating_sub(self.used_if_limited());
        let reserved = self.medium.file(file).map_or(0, |contents| contents.reserved());
        usize::try_from(reserved.saturating_add(free).saturating_sub(offset)).unwrap_or(usize::MAX)
    }

    /// Adding up all files for each write is only done where it matters.
    fn used_if_limited(&self) -> u64 {
        if self.world.capacity == u64::MAX { 0 } else { self.medium.used_bytes() }
    }

    pub(super) fn allocate(&mut self, file: FileId, offset: u64, len: u64) -> io::Result<()> {
        self.enter(Call::Allocate)?;
        if offset.checked_add(len).is_none() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let fits = usize::try_from(len).is_ok_and(|len| len <= self.room_from(file, offset));
        if !fits {
            return Err(Fault::Enospc.error());
        }
        self.perform(Op::Allocate { file, offset, len });
        Ok(())
    }

    /// The name for a path, which must not leave the root.
    pub(super) fn name(path: &Path) -> io::Result<Name> {
        if path.components().all(|part| matches!(part, Component::Normal(_))) {
            Ok(path.components().as_path().into())
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    }

    /// The file under a name.
    pub(super) fn existing(&self, name: &Name) -> io::Result<FileId> {
        match self.medium.names().get(name) {
            Some(Target::File(file)) => Ok(file),
            Some(Target::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Whether a file may get a name: its directory is there and no other file has it.
    pub(super) fn check_free(&self, name: &Name) -> io::Result<()> {
        self.check_dir(name.parent())?;
        match self.medium.names().get(name) {
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => Ok(()),
        }
    }

    pub(super) fn check_dir(&self, dir: Option<&Path>) -> io::Result<()> {
        match dir.map(|dir| self.medium.names().get(dir)) {
            Some(Some(Target::Dir)) => Ok(()),
            Some(Some(Target::File(_))) => Err(io::ErrorKind::NotADirectory.into()),
            Some(None) => Err(io::ErrorKind::NotFound.into()),
            None => Err(io::ErrorKind::IsADirectory.into()), // Only the root has no directory here.
        }
    }

    pub(super) fn create(&mut self, path: Name) -> io::Result<FileId> {
        self.check_free(&path)?;
        let file = self.medium.next_file();
        self.perform(Op::Create { path, file });
        Ok(file)
    }

    pub(super) fn open_or_create(&mut self, path: Name) -> io::Result<FileId> {
        match self.existing(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create(path),
            found => found,
        }
    }
}
