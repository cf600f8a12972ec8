//! [`Storage`] on the simulated disk.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::beside::Beside;
use super::fault::Call;
use super::handles::{SimFile, SimLock, SimWords};
use super::names::{Name, Target};
use super::state::State;
use super::trace::Op;
use super::{Rng, SimStorage};
use crate::io::{Entry, File, FsKind, LockGuard, Meta, Mode, Storage, WORDS_BYTES, Words};

/// There is one device.
const DEVICE: u64 = 1;

impl Storage for SimStorage {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = State::name(path)?;
        let mut state = self.lock_state();
        state.enter(Call::CreateDir)?;
        let mut missing = Vec::new();
        for dir in path.ancestors() {
            match state.medium().names().get(dir) {
                Some(Target::Dir) => break,
                Some(Target::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => missing.push(Name::from(dir)),
            }
        }
        for path in missing.into_iter().rev() {
            state.perform(Op::CreateDir { path });
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let dir = State::name(dir)?;
        let mut state = self.lock_state();
        state.enter(Call::List)?;
        state.check_dir(Some(&dir))?;
        let entry = |(name, target): (&Name, Target)| {
            let (len, is_dir) = match target {
                Target::Dir => (0, true),
                Target::File(file) => (state.len(file), false),
            };
            Entry { name: name.file_name().unwrap_or_default().to_string_lossy().into_owned(), len, is_dir }
        };
        Ok(state.medium().names().within(&dir).map(entry).collect())
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Meta>> {
        let path = State::name(path)?;
        let mut state = self.lock_state();
        state.enter(Call::Metadata)?;
        Ok(state.medium().names().get(&path).map(|target| match target {
            Target::Dir => Meta { len: 0, device: DEVICE, inode: 0, is_dir: true },
            Target::File(file) => Meta { len: state.len(file), device: DEVICE, inode: file.0, is_dir: false },
        }))
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        let path = State::name(path)?;
        let mut state = self.lock_state();
        state.enter(Call::Open)?;
        let file = match mode {
            Mode::Read | Mode::Write => state.existing(&path)?,
            Mode::CreateNew => state.create(path)?,
            Mode::Create => state.open_or_create(path)?,
        };
        Ok(Arc::new(SimFile { disk: self.clone(), file, writable: mode != Mode::Read }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (State::name(from)?, State::name(to)?);
        let mut state = self.lock_state();
        state.enter(Call::Rename)?;
        let file = state.existing(&from)?;
        match state.existing(&to) {
            // Two names of one file: POSIX has this do nothing.
            Ok(replaced) if replaced == file => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => state.check_dir(to.parent())?,
            Err(error) => return Err(error),
        }
        state.perform(Op::Rename { file, from, to });
        Ok(())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (State::name(from)?, State::name(to)?);
        let mut state = self.lock_state();
        state.enter(Call::Rename)?;
        let file = state.existing(&from)?;
        state.check_free(&to)?;
        state.perform(Op::Rename { file, from, to });
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, path) = (State::name(from)?, State::name(to)?);
        let mut state = self.lock_state();
        state.enter(Call::Link)?;
        let file = state.existing(&from)?;
        state.check_free(&path)?;
        state.perform(Op::Link { file, path });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = State::name(path)?;
        let mut state = self.lock_state();
        state.enter(Call::Remove)?;
        state.existing(&path)?;
        state.perform(Op::Unlink { path });
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let dir = State::name(path)?;
        let mut state = self.lock_state();
        state.check_dir(Some(&dir))?;
        state.sync(Call::SyncDir, Op::SyncDir { dir: Some(dir) }, None)
    }

    fn sync_parent(&self) -> io::Result<()> {
        self.lock_state().sync(Call::SyncDir, Op::SyncDir { dir: None }, None)
    }

    fn kind(&self) -> io::Result<FsKind> {
        Ok(self.lock_state().world.kind)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        let path = State::name(path)?;
        let mut state = self.lock_state();
        state.enter(Call::Lock)?;
        let file = state.open_or_create(path)?;
        if !state.locked.insert(file) {
            return Ok(None);
        }
        Ok(Some(Box::new(SimLock { disk: self.clone(), file })))
    }

    fn words(&self, path: &Path, create: bool) -> io::Result<Arc<dyn Words>> {
        let path = State::name(path)?;
        let mut state = self.lock_state();
        state.enter(Call::Words)?;
        let file = if create { state.open_or_create(path)? } else { state.existing(&path)? };
        if create {
            let mut page = [0; WORDS_BYTES as usize];
            state.read(file, 0, &mut page)?;
            state.write(file, 0, &page)?;
        } else if state.len(file) < WORDS_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let page = state.words(file);
        Ok(Arc::new(SimWords { disk: self.clone(), file, page, writable: create }))
    }

    /// A directory of this disk, named by what of the path lies below the root of all.
    fn beside(&self, path: &Path) -> io::Result<Arc<dyn Storage>> {
        let root = path.strip_prefix("/").unwrap_or(path).to_owned();
        State::name(&root)?;
        Ok(Arc::new(Beside { disk: self.clone(), root }))
    }

    fn boot_id(&self) -> u64 {
        self.lock_state().world.boot
    }

    fn random(&self) -> [u8; 16] {
        let mut state = self.lock_state();
        let mut rng = Rng::new(state.world.seed);
        let (low, high) = (rng.next(), rng.next());
        state.world.seed = rng.next();
        (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
    }
}
