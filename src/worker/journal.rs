//! The file of a running worker: facts go in, and those who must not go on before a fact is durable wait for it.
//!
//! Invariants:
//! - `state` is what the file says once everything noted is in it. Whoever waits for a note is let go when that is so.
//! - One thread at a time writes, and it writes and syncs one frame for all who wait. A frame is written only after the
//!   one before it was synced.
//! - A note about a position goes down in a frame whose through is at that position or behind it, and `through` never
//!   names an event that is not durable in the log.
//! - Opening makes the file anew: what the page cache may only pretend to hold is written again, and what an interrupted
//!   write left is gone.
//! - After a sync that failed nothing is written any more, since it is unknown what the disk holds. A write that failed
//!   is made good by a new file.
//! - Nothing is written once the store is closed: somebody else may hold its lock.

use std::collections::{BTreeSet, HashMap};
use std::io::IoSlice;
use std::sync::{Arc, OnceLock};

use super::kept::{self, Kept, NotMade, Writing, make};
use super::state::{Open, State};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind, Result, is_full};
use crate::format::bytes::align_up;
use crate::format::worker::{Decision, EMPTY_FRAME_BYTES, Entry, frame, frame_bytes};
use crate::io::Clock;
use crate::log::files::QUARANTINE;
use crate::log::shared::Log;
use crate::position::Position;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::time::Timestamp;

/// A file grows by as much as it is long, within these bounds, in bytes.
const GROW_BYTES_MIN: u64 = 4 << 10;
const GROW_BYTES_MAX: u64 = 1 << 20;
/// A file below this length grows; a longer one is made anew if most of it is of no use.
const COMPACT_BYTES_MIN: u64 = 1 << 20;
/// It is, if it is so many times longer than what is in use.
const COMPACT_TIMES: u64 = 4;

/// What is noted, by its number; see [`Journal::wait`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Noted(u64);

/// What a decision about a parked event frees.
#[derive(Debug, Clone)]
pub(crate) struct Decided {
    pub(crate) noted: Noted,
    pub(crate) key: String,
    /// Whether it was a parked event behind which others wait, or may.
    pub(crate) was_first: bool,
    /// What is open again, in order.
    pub(crate) freed: Vec<Position>,
}

type Hook = Box<dyn Fn(Decision, bool) -> Result<()> + Send + Sync>;

pub(crate) struct Journal {
    log: Arc<Log>,
    clock: Arc<dyn Clock>,
    pub(crate) name: String,
    inner: Mutex<Inner>,
    /// Signalled when a write has ended.
    settled: Condvar,
    /// Takes decisions while the worker runs.
    hook: OnceLock<Hook>,
    /// What opening left out, in words.
    pub(crate) cut: Option<String>,
}

struct Inner {
    state: State,
    /// Events up to here were begun or do not match.
    through: Position,
    /// Opened, and in no frame yet: one that is finished before that leaves no trace.
    opened: BTreeSet<Position>,
    /// Run by a thread at this moment.
    in_hand: BTreeSet<Position>,
    /// In no frame yet.
    buffer: Vec<Entry>,
    noted: u64,
    durable: u64,
    /// At the disk; `None` while a thread writes.
    file: Option<Writing>,
    /// What the newest frame says, or would.
    written_through: Position,
    /// The newest frame has no entries, so it proves those before it.
    marked: bool,
    poisoned: Option<String>,
    closed: bool,
}

/// Why nothing was written.
enum NotWritten {
    /// It can be tried again.
    Later(Error),
    Poisoned(Error),
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Journal").field(&self.name).finish()
    }
}

impl Journal {
    /// Opens the file of a worker for writing, by making it anew. Where there is none it is made, to begin behind what
    /// `start` gives.
    ///
    /// # Errors
    /// `Corruption`: it is damaged, and was not touched. `Diverged`: the log does not hold the checkpoint. `Io`, `Full`;
    /// `NotFound` if there is none and `start` gives none.
    pub(crate) fn open(
        log: &Arc<Log>,
        clock: &Arc<dyn Clock>,
        name: &str,
        start: impl FnOnce() -> Result<Option<Checkpoint>>,
    ) -> Result<Journal> {
        let storage = &*log.storage;
        let (state, cut) = match kept::read(storage, log.id, name)? {
            Some(Kept { state, torn, .. }) => (state, torn),
            None => {
                let none = || Error::not_found(format!("there is no worker {name:?} in this store"));
                (State { through: start()?.ok_or_else(none)?, ..State::default() }, None)
            }
        };
        if log.checkpoint(state.through.position)? != Some(state.through) {
            let text = format!("the log does not hold what the worker {name} has seen: {}", state.through);
            return Err(Error::new(ErrorKind::Diverged, text)
                .hinting(format!("move {} away to have the worker begin anew", kept::path_of(name).display())));
        }
        if cut.is_some() {
            set_aside(log, name);
        }
        let file = make(storage, log.id, name, &state.entries(), now(&**clock))?;
        let inner = Inner {
            through: state.through.position,
            written_through: state.through.position,
            state,
            opened: BTreeSet::new(),
            in_hand: BTreeSet::new(),
            buffer: Vec::new(),
            noted: 0,
            durable: 0,
            file: Some(file),
            // It was renamed when it was whole.
            marked: true,
            poisoned: None,
            closed: false,
        };
        Ok(Journal {
            log: Arc::clone(log),
            clock: Arc::clone(clock),
            name: name.to_owned(),
            inner: Mutex::new(inner),
            settled: Condvar::new(),
            hook: OnceLock::new(),
            cut,
        })
    }

    /// Looks at what is noted so far.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.inner.lock().state)
    }

    /// Every matching event up to here is finished or parked.
    pub(crate) fn checkpoint(&self) -> Position {
        let inner = self.inner.lock();
        match inner.state.open.keys().next() {
            Some(lowest) => Position::new(lowest.get().saturating_sub(1)),
            None => inner.through,
        }
    }

    /// An event is open: it is begun, or (`starts` false) waits for one of its key; all before it were, or do not match.
    pub(crate) fn opened(&self, position: Position, starts: bool) {
        let mut inner = self.inner.lock();
        inner.state.apply(&Entry::Open(position));
        inner.opened.insert(position);
        inner.through = inner.through.max(position);
        if starts {
            inner.in_hand.insert(position);
        }
    }

    /// An event that was open is begun; gives what is known of it.
    pub(crate) fn started(&self, position: Position) -> Open {
        let mut inner = self.inner.lock();
        inner.in_hand.insert(position);
        inner.state.open.get(&position).cloned().unwrap_or_default()
    }

    /// How many events are in hand, and a look at everything.
    pub(crate) fn look_at_hand<T>(&self, look: impl FnOnce(&State, &BTreeSet<Position>) -> T) -> T {
        let inner = self.inner.lock();
        look(&inner.state, &inner.in_hand)
    }

    /// Everything up to here was begun, or does not match.
    pub(crate) fn passed(&self, position: Position) {
        let mut inner = self.inner.lock();
        inner.through = inner.through.max(position);
    }

    /// An event is finished. It is written down sometime; if that is lost, it is run again.
    pub(crate) fn finished(&self, position: Position) {
        let mut inner = self.inner.lock();
        inner.in_hand.remove(&position);
        inner.state.apply(&Entry::Finished(position));
        if inner.opened.remove(&position) {
            inner.buffer.retain(|entry| entry.position() != Some(position));
        } else {
            inner.note(Entry::Finished(position));
        }
    }

    /// Notes facts, to be waited for.
    pub(crate) fn note(&self, entries: impl IntoIterator<Item = Entry>) -> Noted {
        let mut inner = self.inner.lock();
        for entry in entries {
            if let Entry::Aside { position, .. } | Entry::Parked { position, .. } = &entry {
                inner.in_hand.remove(position);
            }
            inner.state.apply(&entry);
            inner.note(entry);
        }
        Noted(inner.noted)
    }

    /// Notes a decision about a parked event.
    ///
    /// # Errors
    /// `NotFound` if the event is not parked; `Conflict` for one that is to be tried again and waits behind another.
    pub(crate) fn decide(&self, decision: Decision, skip: bool) -> Result<Decided> {
        let mut inner = self.inner.lock();
        let position = decision.position;
        let Some(parked) = inner.state.parked.get(&position) else {
            let text = format!("the worker {} has no parked event at position {position}", self.name);
            return Err(Error::not_found(text).hinting("`annals parked` lists what is parked"));
        };
        if let Some(first) = parked.behind.filter(|_| !skip) {
            let text = format!("position {position} waits behind position {first} of the worker {}", self.name);
            return Err(Error::new(ErrorKind::Conflict, text).hinting(format!("retry or skip position {first}")));
        }
        let (key, was_first) = (parked.key.clone(), parked.behind.is_none());
        let mut freed = inner.state.behind(position);
        if !skip {
            freed.insert(0, position);
        }
        let entry = if skip { Entry::Skipped(decision) } else { Entry::Retried(decision) };
        inner.state.apply(&entry);
        inner.note(entry);
        Ok(Decided { noted: Noted(inner.noted), key, was_first, freed })
    }

    /// From now on decisions are taken by who runs the worker.
    pub(crate) fn set_hook(&self, hook: impl Fn(Decision, bool) -> Result<()> + Send + Sync + 'static) {
        let _ = self.hook.set(Box::new(hook));
    }

    /// Takes a decision and waits until it is durable.
    fn take(&self, decision: Decision, skip: bool) -> Result<()> {
        match self.hook.get() {
            Some(hook) => hook(decision, skip),
            None => self.wait(self.decide(decision, skip)?.noted),
        }
    }

    /// Waits until a note is durable, by writing it if nobody else does. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// `Poisoned` if a sync failed, now or earlier. `Full`, `Io`: it can be tried again. `Closed`.
    pub(crate) fn wait(&self, noted: Noted) -> Result<()> {
        let mut inner = self.inner.lock();
        loop {
            if inner.durable >= noted.0 {
                return Ok(());
            }
            inner.check(&self.name)?;
            match inner.file.take() {
                Some(file) => {
                    let written = self.write(&mut inner, file);
                    self.settled.notify_all();
                    written?;
                }
                None => self.settled.wait(&mut inner),
            }
        }
    }

    /// Writes down what is noted, and how far the worker has come.
    ///
    /// # Errors
    /// As [`Journal::wait`].
    pub(crate) fn flush(&self) -> Result<()> {
        let noted = {
            let mut inner = self.inner.lock();
            if inner.buffer.is_empty() && inner.opened.is_empty() && inner.through == inner.written_through {
                return Ok(());
            }
            inner.noted += 1;
            Noted(inner.noted)
        };
        self.wait(noted)
    }

    /// Proves the newest frame by one behind it, once, for when nothing else is to be written.
    ///
    /// # Errors
    /// As [`Journal::wait`].
    pub(crate) fn mark(&self) -> Result<()> {
        let noted = {
            let mut inner = self.inner.lock();
            if inner.marked || !inner.buffer.is_empty() || !inner.opened.is_empty() {
                return Ok(());
            }
            inner.noted += 1;
            Noted(inner.noted)
        };
        self.wait(noted)
    }

    /// From now on nothing is written, and what is being written is.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        while inner.file.is_none() {
            self.settled.wait(&mut inner);
        }
        inner.closed = true;
    }

    /// Writes one frame of everything that is noted, or a new file; without the lock while the disk works.
    fn write(&self, inner: &mut MutexGuard<'_, Inner>, mut file: Writing) -> Result<()> {
        let (mut taken, noted, through) = inner.take();
        let marks = taken.is_empty() && through == inner.written_through;
        let mut anew = inner.should_compact(&file, &taken).then(|| inner.state.entries());
        let done = MutexGuard::unlocked(inner, || {
            let at = self.log.checkpoint(through).map_err(NotWritten::Later)?;
            let gone = || Error::new(ErrorKind::Diverged, format!("the log no longer holds position {through}"));
            let at = at.ok_or_else(|| NotWritten::Later(gone()))?;
            match &mut anew {
                Some(entries) => {
                    // A state begins with how far it goes.
                    entries.splice(..1, [Entry::Through(at)]);
                    self.make_anew(&mut file, entries)?;
                }
                None if marks => self.append(&mut file, &[])?,
                None => {
                    let entries: Vec<Entry> = [Entry::Through(at)].into_iter().chain(taken.iter().cloned()).collect();
                    self.append(&mut file, &entries)?;
                }
            }
            Ok(at)
        });
        inner.file = Some(file);
        match done {
            Ok(at) => {
                inner.durable = inner.durable.max(noted);
                inner.marked = marks || anew.is_some();
                (inner.written_through, inner.state.through) = (through, at);
                Ok(())
            }
            Err(why) => {
                // What was noted meanwhile comes behind it.
                taken.append(&mut inner.buffer);
                inner.buffer = taken;
                match why {
                    NotWritten::Later(error) => Err(error),
                    NotWritten::Poisoned(error) => {
                        inner.poisoned = Some(error.to_string());
                        inner.check(&self.name)
                    }
                }
            }
        }
    }

    fn make_anew(&self, file: &mut Writing, entries: &[Entry]) -> Result<(), NotWritten> {
        match make(&*self.log.storage, self.log.id, &self.name, entries, now(&*self.clock)) {
            Ok(fresh) => {
                *file = fresh;
                Ok(())
            }
            Err(NotMade::Before(error)) => Err(NotWritten::Later(error)),
            Err(NotMade::Unknown(error)) => Err(NotWritten::Poisoned(error)),
        }
    }

    /// Puts a frame behind the last one, and syncs it.
    fn append(&self, file: &mut Writing, entries: &[Entry]) -> Result<(), NotWritten> {
        let at = now(&*self.clock);
        let encode = |file: &Writing, entries: &[Entry], reach: u64| {
            let bytes = frame(entries, file.seq + 1, reach, at, file.salt, file.end);
            bytes.ok_or_else(|| NotWritten::Later(kept::zeros()))
        };
        let mut bytes = encode(file, entries, file.reach)?;
        // An announcement of more reach always finds room behind the last frame.
        if file.end + bytes.len() as u64 + EMPTY_FRAME_BYTES > file.reach {
            let needed = file.end + 2 * EMPTY_FRAME_BYTES + bytes.len() as u64;
            let more = file.reach.clamp(GROW_BYTES_MIN, GROW_BYTES_MAX);
            let reach = align_up(needed.max(file.reach + more), GROW_BYTES_MIN);
            // Written, not only reserved: a sync of what was reserved alone costs several times as much.
            let zeros = vec![0; (reach - file.reach) as usize];
            if let Err(error) = file.file.write_all_at(&mut [IoSlice::new(&zeros)], file.reach) {
                file.broken = true;
                return Err(NotWritten::Later(self.failed("extend", error)));
            }
            // Before it is announced it has to be there for good.
            file.file.sync_data().map_err(|error| NotWritten::Poisoned(self.failed("sync", error)))?;
            let announcement = encode(file, &[], reach)?;
            self.put(file, &announcement)?;
            file.reach = reach;
            bytes = encode(file, entries, reach)?;
        }
        self.put(file, &bytes)
    }

    fn put(&self, file: &mut Writing, bytes: &[u8]) -> Result<(), NotWritten> {
        if let Err(error) = file.file.write_all_at(&mut [IoSlice::new(bytes)], file.end) {
            file.broken = true;
            return Err(NotWritten::Later(self.failed("write", error)));
        }
        if !cfg!(annals_no_worker_sync) {
            file.file.sync_data().map_err(|error| NotWritten::Poisoned(self.failed("sync", error)))?;
        }
        file.end += bytes.len() as u64;
        file.seq += 1;
        Ok(())
    }

    fn failed(&self, what: &str, error: std::io::Error) -> Error {
        let full = is_full(&error);
        let error = Error::io(format_args!("{what} {}", kept::path_of(&self.name).display()), error);
        if full { error.hinting("the worker goes on when there is room") } else { error }
    }
}

impl Inner {
    fn note(&mut self, entry: Entry) {
        self.buffer.push(entry);
        self.noted += 1;
    }

    fn check(&self, name: &str) -> Result<()> {
        if let Some(reason) = &self.poisoned {
            let text = format!("the file of the worker {name} takes nothing more: {reason}");
            return Err(Error::new(ErrorKind::Poisoned, text).hinting("start the worker again; its file is read anew"));
        }
        if self.closed { Err(Error::new(ErrorKind::Closed, "the store is closed")) } else { Ok(()) }
    }

    /// Everything that is in no frame yet, in order, the number of the newest note, and how far the worker has come.
    fn take(&mut self) -> (Vec<Entry>, u64, Position) {
        let mut taken: Vec<Entry> = std::mem::take(&mut self.opened).into_iter().map(Entry::Open).collect();
        taken.append(&mut self.buffer);
        (taken, self.noted, self.through)
    }

    /// Whether to make the file anew instead of adding to it.
    fn should_compact(&self, file: &Writing, taken: &[Entry]) -> bool {
        if file.broken || file.end < COMPACT_BYTES_MIN || file.end / COMPACT_TIMES <= self.state.bytes as u64 {
            return file.broken;
        }
        let mut bytes = Vec::new();
        taken.iter().for_each(|entry| entry.encode(&mut bytes));
        // With room for the through.
        let needed = frame_bytes(bytes.len() as u64 + 64) + EMPTY_FRAME_BYTES;
        file.end + needed > file.reach
    }
}

/// Keeps what stood at the end of a file when it was opened, for people; at best, since nothing of it counts.
fn set_aside(log: &Log, name: &str) {
    let storage = &*log.storage;
    let _ = storage.create_dir_all(QUARANTINE.as_ref());
    for number in 0..100 {
        let to = match number {
            0 => format!("{QUARANTINE}/worker-{name}.log"),
            number => format!("{QUARANTINE}/worker-{name}.log.{number}"),
        };
        match storage.hard_link(&kept::path_of(name), to.as_ref()) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            _ => break,
        }
    }
}

pub(crate) fn now(clock: &dyn Clock) -> Timestamp {
    Timestamp::from_nanos(clock.wall_nanos())
}

/// The files of workers that this process has open, by name.
#[derive(Default)]
pub(crate) struct Desk {
    open: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    open: HashMap<String, Arc<Journal>>,
    closed: bool,
}

impl Desk {
    /// Opens a file, for as long as its worker runs.
    ///
    /// # Errors
    /// `Locked` if the worker runs already; as [`Journal::open`].
    pub(crate) fn open(&self, name: &str, open: impl FnOnce() -> Result<Journal>) -> Result<Arc<Journal>> {
        let mut files = self.open.lock();
        files.check()?;
        if files.open.contains_key(name) {
            return Err(Error::new(ErrorKind::Locked, format!("the worker {name} is running in this process already")));
        }
        let journal = Arc::new(open()?);
        files.open.insert(name.to_owned(), Arc::clone(&journal));
        Ok(journal)
    }

    /// The worker has ended.
    pub(crate) fn put_back(&self, name: &str) {
        self.open.lock().open.remove(name);
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Journal>> {
        self.open.lock().open.get(name).cloned()
    }

    /// Takes a decision about a parked event, where the worker runs or in its file.
    pub(crate) fn decide(
        &self,
        name: &str,
        decision: Decision,
        skip: bool,
        open: impl FnOnce() -> Result<Journal>,
    ) -> Result<()> {
        let files = self.open.lock();
        files.check()?;
        match files.open.get(name).cloned() {
            Some(journal) => {
                drop(files);
                journal.take(decision, skip)
            }
            // Held meanwhile, so that the worker is not started beside it.
            None => open()?.take(decision, skip),
        }
    }

    /// From now on no file is written.
    pub(crate) fn close(&self) {
        let mut files = self.open.lock();
        files.closed = true;
        files.open.values().for_each(|journal| journal.close());
    }
}

impl Files {
    fn check(&self) -> Result<()> {
        if self.closed { Err(Error::new(ErrorKind::Closed, "the store is closed")) } else { Ok(()) }
    }
}
