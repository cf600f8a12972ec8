//! Both sides of LIVE: the writer tells how far it has published, readers of other processes look.
//!
//! Nothing in LIVE is evidence about what is on disk. A reader that does not believe it (another
//! boot, another file, a damaged page) reads from the files alone.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::event::LogId;
use crate::format::bytes::u64_at;
use crate::format::live::{Identity, State, position_check, word};
use crate::io::{Storage, Words};
use crate::log::files::LIVE;
use crate::position::Position;
use crate::sync::{Mutex, hint};

/// How often a reader looks again at a position whose check does not fit: the writer stores the
/// two words within nanoseconds of each other.
const LOOKS: usize = if cfg!(annals_loom) { 2 } else { 10_000 };

/// Index of the word that names the session.
const SESSION: usize = 4;

/// The writer's side.
#[derive(Debug)]
pub(crate) struct LiveWriter {
    words: Arc<dyn Words>,
    session: u64,
    /// Held while the list of files changes.
    changing: Mutex<()>,
}

impl LiveWriter {
    /// Takes over the page and says that recovery is under way. What the writer before published
    /// stays readable until `open` is called.
    pub(crate) fn begin(storage: &dyn Storage) -> Result<LiveWriter> {
        let words = storage.words(LIVE.as_ref(), true).map_err(|error| Error::io("map LIVE", error))?;
        words.store(word::STATE, State::Recovering as u64);
        Ok(LiveWriter { words, session: u64_at(&storage.random(), 0).unwrap_or_default(), changing: Mutex::new(()) })
    }

    /// Begins a session: identity, epoch and positions, then the state that lets readers in.
    pub(crate) fn open(
        &self,
        storage: &dyn Storage,
        log: LogId,
        epoch: u64,
        published: Position,
        durable: Position,
    ) -> Result<()> {
        let meta = storage.metadata(LIVE.as_ref()).map_err(|error| Error::io("look at LIVE", error))?;
        let (device, inode) = meta.map_or((0, 0), |meta| (meta.device, meta.inode));
        let identity = Identity { log, boot: storage.boot_id(), session: self.session, device, inode };
        let changing = self.changing.lock();
        self.begin_change();
        self.words.store(word::EPOCH, epoch);
        self.put(word::DURABLE, durable);
        self.put(word::PUBLISHED, published);
        // The check goes last: until it fits, nobody believes the page.
        identity.words().into_iter().enumerate().for_each(|(index, value)| self.words.store(index, value));
        self.words.store(word::STATE, State::Open as u64);
        self.end_change();
        drop(changing);
        Ok(())
    }

    fn put(&self, at: usize, position: Position) {
        self.words.store(at, position.get());
        self.words.store(at + 1, position_check(position.get(), self.session));
    }

    pub(crate) fn publish(&self, position: Position) {
        self.put(word::PUBLISHED, position);
    }

    pub(crate) fn durable(&self, position: Position) {
        self.put(word::DURABLE, position);
    }

    /// Runs what changes the list of files; readers of other processes list them again behind it.
    pub(crate) fn change<T>(&self, change: impl FnOnce() -> T) -> T {
        let _changing = self.changing.lock();
        self.begin_change();
        let done = change();
        self.end_change();
        done
    }

    /// The list of files is about to change: an odd generation.
    fn begin_change(&self) {
        self.words.store(word::GENERATION, self.words.load(word::GENERATION) | 1);
    }

    /// The list of files has changed: the next even generation.
    fn end_change(&self) {
        self.words.store(word::GENERATION, (self.words.load(word::GENERATION) | 1).wrapping_add(1));
    }

    pub(crate) fn set_state(&self, state: State) {
        self.words.store(word::STATE, state as u64);
    }
}

/// Takes the page away. Whoever has it mapped looks again, and finds the next one where that stands.
pub(crate) fn retire(storage: &dyn Storage) -> Result<()> {
    if storage.metadata(LIVE.as_ref()).map_err(|error| Error::io("look at LIVE", error))?.is_none() {
        return Ok(());
    }
    // One that cannot be mapped is mapped by nobody.
    if let Ok(words) = storage.words(LIVE.as_ref(), true) {
        words.store(word::GENERATION, (words.load(word::GENERATION) | 1).wrapping_add(1));
    }
    storage.remove(LIVE.as_ref()).map_err(|error| Error::io("remove LIVE", error))
}

/// What a reader saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) session: u64,
    pub(crate) epoch: u64,
    pub(crate) generation: u64,
    pub(crate) published: Position,
    pub(crate) durable: Position,
    pub(crate) state: State,
}

/// The side of a reader in another process.
#[derive(Debug)]
pub(crate) struct LiveReader {
    words: Arc<dyn Words>,
    /// Device and inode of the file that is mapped.
    file: (u64, u64),
}

impl LiveReader {
    /// Maps the page; `None` if it is missing or too short.
    pub(crate) fn open(storage: &dyn Storage) -> Option<LiveReader> {
        // In this order: if the file is replaced in between, its page does not fit, and it is opened again.
        let meta = storage.metadata(LIVE.as_ref()).ok().flatten()?;
        let words = storage.words(LIVE.as_ref(), false).ok()?;
        Some(LiveReader { words, file: (meta.device, meta.inode) })
    }

    /// Whether the page that is mapped is no longer the one that has the name.
    pub(crate) fn is_replaced(&self, storage: &dyn Storage) -> bool {
        let meta = storage.metadata(LIVE.as_ref()).ok().flatten();
        meta.is_some_and(|meta| (meta.device, meta.inode) != self.file)
    }

    /// What the page says now; `None` if it is not to be believed. The generation is read before and
    /// after the positions, so that a position always goes with the list of files that holds it.
    pub(crate) fn look(&self, storage: &dyn Storage, log: LogId) -> Option<Seen> {
        (0..LOOKS).find_map(|_| {
            let generation = self.words.load(word::GENERATION);
            let seen = self.look_once(storage, log, generation);
            let settled = seen.is_none() || self.words.load(word::GENERATION) == generation;
            settled.then_some(seen)
        })?
    }

    /// Whether the page was made for this log and this very directory, under whichever boot: then a writer of ours is
    /// what wrote its files last.
    pub(crate) fn is_in_place(&self, storage: &dyn Storage, log: LogId) -> bool {
        let mut head = [0; 8];
        head.iter_mut().enumerate().for_each(|(index, value)| *value = self.words.load(index));
        let meta = storage.metadata(LIVE.as_ref()).ok().flatten();
        let known = Identity::read(&head).zip(meta).filter(|(identity, meta)| {
            identity.log == log && meta.inode != 0 && (identity.device, identity.inode) == (meta.device, meta.inode)
        });
        known.is_some()
    }

    fn look_once(&self, storage: &dyn Storage, log: LogId, generation: u64) -> Option<Seen> {
        let mut head = [0; 8];
        head.iter_mut().enumerate().for_each(|(index, value)| *value = self.words.load(index));
        let identity = Identity::read(&head)?;
        let meta = storage.metadata(LIVE.as_ref()).ok().flatten()?;
        let boot = storage.boot_id();
        let here = (identity.device, identity.inode) == (meta.device, meta.inode);
        let ours = identity.log == log && boot != 0 && identity.boot == boot && here;
        let state = State::from_word(self.words.load(word::STATE)).filter(|_| ours)?;
        Some(Seen {
            session: identity.session,
            epoch: self.words.load(word::EPOCH),
            generation,
            published: self.position(word::PUBLISHED, identity.session)?,
            durable: self.position(word::DURABLE, identity.session)?,
            state,
        })
    }

    fn position(&self, at: usize, session: u64) -> Option<Position> {
        (0..LOOKS).find_map(|_| {
            let position = self.words.load(at);
            let fits = self.words.load(at + 1) == position_check(position, session);
            if !fits {
                hint::spin_loop();
            }
            fits.then_some(Position::new(position))
        })
    }

    /// Whether the list of files or the writer changed since.
    pub(crate) fn has_changed(&self, seen: &Seen) -> bool {
        self.words.load(word::GENERATION) != seen.generation || self.words.load(SESSION) != seen.session
    }

    /// The published and the durable word alone, unchecked: whether to look at all.
    pub(crate) fn glance(&self) -> [u64; 2] {
        [word::PUBLISHED, word::DURABLE].map(|at| self.words.load(at))
    }
}
