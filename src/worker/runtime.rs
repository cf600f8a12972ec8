//! Which event is run when: keys, times, retries, parking.
//!
//! Invariants, all under the lock of `core`:
//! - The line of a key holds its open events in order; only its first one is ready, in hand, or waits for its time.
//! - Every open event is in one line. A key with a parked event has an empty line, and what comes for it is parked too.
//! - Events go from `incoming` into the journal in order of position, so the journal's `through` passes over none.
//! - The lock of `core` is taken before that of the journal, never the other way round.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::handle::WorkerState;
use super::journal::{Desk, Journal, Noted, now};
use super::state::Open;
use super::step::{Ended, Left, Step, is_final, is_permanent};
use super::{Key, Work};
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::event::{Event, EventRef};
use crate::format::bytes::u64_at;
use crate::format::worker::{Decision, Entry};
use crate::io::Clock;
use crate::limits::{KEY_BYTES_MAX, WORKER_ERROR_BYTES_MAX};
use crate::log::commit::Committer;
use crate::log::shared::Log;
use crate::position::Position;
use crate::query::Query;
use crate::sync::{Condvar, Mutex, MutexGuard, thread};
use crate::time::Timestamp;

/// How long a thread waits before it tries a write again for which there was no room.
const TRY_AGAIN: Duration = Duration::from_millis(200);

pub(super) struct Runtime {
    pub(super) query: Query,
    pub(super) retries: u32,
    pub(super) backoff: (Duration, Duration),
    pub(super) key: Key,
    pub(super) work: Work,
    pub(super) log: Arc<Log>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) committer: Arc<Committer>,
    pub(super) journal: Arc<Journal>,
    pub(super) desk: Arc<Desk>,
    pub(super) core: Mutex<Core>,
    /// Signalled when there is something to run, or the end has come.
    pub(super) work_there: Condvar,
    /// Signalled when an event is finished or parked, and when the state changes.
    pub(super) moved: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct Core {
    /// Read, and not begun: with the key, or why there is none.
    pub(super) incoming: VecDeque<(Event, Result<String, String>)>,
    /// Open events that are to be run again, or whose turn has come.
    ready: VecDeque<Position>,
    lines: HashMap<Arc<str>, Line>,
    keys: HashMap<Position, Arc<str>>,
    timers: BTreeSet<(Timestamp, Position)>,
    pub(super) in_hand: usize,
    /// Everything up to here was read.
    pub(super) read: Position,
    pub(super) state: WorkerState,
    pub(super) error: Option<String>,
    /// Finished since the start.
    pub(super) events: u64,
    pub(super) stop: bool,
    /// Nothing more is read, since too much waits or is parked.
    pub(super) full: bool,
}

/// The open events of a key.
#[derive(Debug, Default)]
struct Line {
    open: VecDeque<Position>,
    parked: Option<Position>,
}

/// An event that is in hand.
pub(super) struct Task {
    position: Position,
    /// `None` if it has to be read.
    event: Option<Event>,
    open: Open,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Runtime").field(&self.journal.name).finish()
    }
}

/// A time after another; the end of all times where there is none.
pub(super) fn after(time: Timestamp, wait: Duration) -> Timestamp {
    let wait = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX);
    Timestamp::from_nanos(time.as_nanos().saturating_add(wait))
}

/// A text that is kept: within its length, without control characters.
fn kept_text(text: &str, bytes_max: usize) -> String {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or_default().replace(|char: char| char.is_control(), " ")
}

/// An error and what caused it, in one line.
fn words(error: &BoxError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(&format!(": {more}"));
        }
        cause = error.source();
    }
    kept_text(&text, WORKER_ERROR_BYTES_MAX)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.unwrap_or_else(|| "without words".to_owned()))
}

impl Runtime {
    pub(super) fn now(&self) -> Timestamp {
        now(&*self.clock)
    }

    /// The key of an event as it is kept; in words why there is none.
    pub(super) fn key_of(&self, event: EventRef<'_>) -> Result<String, String> {
        let key = catch_unwind(AssertUnwindSafe(|| (self.key)(event)));
        let key = key.map_err(|panic| kept_text(&panic_text(&*panic), WORKER_ERROR_BYTES_MAX))?;
        let hashed = || {
            let hash = xxh3_64_with_seed(key.as_bytes(), 0);
            format!("{}#{hash:016x}", kept_text(&key, KEY_BYTES_MAX - 17))
        };
        Ok(if key.len() > KEY_BYTES_MAX || key.chars().any(char::is_control) { hashed() } else { key })
    }

    /// Takes up what is open and parked since an earlier run, before anything else is done.
    pub(super) fn take_up(&self) -> Result<()> {
        let (open, parked) = self.journal.look(|state| {
            let open: Vec<_> = state.open.iter().map(|(position, open)| (*position, open.due)).collect();
            let first = state.parked.iter().filter(|(_, parked)| parked.behind.is_none());
            (open, first.map(|(position, parked)| (*position, parked.key.clone())).collect::<Vec<_>>())
        });
        let mut core = self.core.lock();
        for (position, key) in parked {
            core.lines.entry(key.into()).or_default().parked.get_or_insert(position);
        }
        for (position, due) in open {
            let key: Arc<str> = match self.read(position) {
                Ok(event) => self.key_of(event.as_ref()).unwrap_or_else(|_| event.subject().to_owned()).into(),
                // It is parked when its turn comes; until then its subject has to do.
                Err(error) if error.kind() == ErrorKind::Archived => {
                    let subject = self.log.with_head(position, |event| event.subject().to_owned())?;
                    subject.ok_or(error)?.into()
                }
                Err(error) => return Err(error),
            };
            core.keys.insert(position, Arc::clone(&key));
            let line = core.lines.entry(key).or_default();
            line.open.push_back(position);
            if line.open.len() == 1 {
                match due {
                    Some(due) => drop(core.timers.insert((due, position))),
                    None => core.ready.push_back(position),
                }
            }
        }
        core.read = self.journal.checkpoint();
        Ok(())
    }

    /// The event at a position that is open.
    fn read(&self, position: Position) -> Result<Event> {
        let event = self.log.with_event(position, |event| event.to_owned())?;
        event.ok_or_else(|| Error::new(ErrorKind::Diverged, format!("the log no longer holds position {position}")))
    }

    /// What is to be run next; waits for it. `None` at the end.
    pub(super) fn next(&self) -> Option<Task> {
        let mut core = self.core.lock();
        loop {
            if core.stop {
                return None;
            }
            if let Some(position) = core.ready.pop_front() {
                core.in_hand += 1;
                return Some(Task { position, event: None, open: self.journal.started(position) });
            }
            match core.incoming.pop_front() {
                Some((event, key)) => {
                    let task = self.begin(&mut core, event, key);
                    self.passed(&core);
                    if task.is_some() {
                        core.in_hand += 1;
                        return task;
                    }
                }
                None => self.work_there.wait(&mut core),
            }
        }
    }

    /// Lets the checkpoint pass over what did not match, where nothing that was read is left.
    pub(super) fn passed(&self, core: &Core) {
        if core.incoming.is_empty() {
            self.journal.passed(core.read);
            self.moved.notify_all();
        }
    }

    /// Puts an event in its line; gives it if it is the first there.
    fn begin(&self, core: &mut Core, event: Event, key: Result<String, String>) -> Option<Task> {
        let position = event.position();
        let (key, error) = match key {
            Ok(key) => (key, None),
            Err(error) => (event.subject().to_owned(), Some(error)),
        };
        let key: Arc<str> = key.into();
        let line = core.lines.entry(Arc::clone(&key)).or_default();
        if let Some(first) = line.parked {
            self.journal.opened(position, false);
            self.journal.note([parked(position, self.now(), 0, Some(first), &key, String::new())]);
            self.moved.notify_all();
            return None;
        }
        let is_first = line.open.is_empty();
        line.open.push_back(position);
        core.keys.insert(position, key);
        self.journal.opened(position, is_first && error.is_none());
        match error {
            // It is written down sometime; if that is lost, the event comes again.
            Some(error) if is_first => {
                self.park(core, position, 0, error);
                None
            }
            _ if !is_first => None,
            _ => Some(Task { position, event: Some(event), open: Open::default() }),
        }
    }

    /// Runs the closure for an event, and notes what came of it.
    pub(super) fn run(&self, task: Task) {
        let Task { position, event, open } = task;
        let event = match event.map_or_else(|| self.read(position), Ok) {
            Ok(event) => event,
            // Somebody may bring it back.
            Err(error) if error.kind() == ErrorKind::Archived => {
                return self.failed(position, open.attempts.saturating_add(1), error.to_string(), true);
            }
            Err(error) => return self.let_go(error),
        };
        let attempts = open.attempts;
        let step = Step::new(self, position, open);
        let result = catch_unwind(AssertUnwindSafe(|| (self.work)(event.as_ref(), &step)));
        let Left { appended, ended } = step.left();
        let (error, is_permanent) = match (ended, result) {
            (Some(Ended::Broken(error)), _) => return self.let_go(error),
            (Some(Ended::Until { step, due }), Ok(_)) => return self.sleep(position, attempts, step, due),
            // What it appended must be there for good before the event counts as finished.
            (None, Ok(Ok(()))) => match self.make_durable(appended) {
                Ok(()) => return self.finish(position),
                Err(error) => return self.let_go(error),
            },
            (None, Ok(Err(error))) => (words(&error), is_permanent(&error)),
            (_, Err(panic)) => (kept_text(&panic_text(&*panic), WORKER_ERROR_BYTES_MAX), false),
        };
        self.failed(position, attempts.saturating_add(1), error, is_permanent);
    }

    /// Waits until events up to a position survive power loss.
    pub(super) fn make_durable(&self, position: Position) -> Result<()> {
        if self.log.durable() >= position { Ok(()) } else { self.committer.sync_written() }
    }

    /// Waits until a note is durable, however long there is no room for it.
    pub(super) fn settle(&self, noted: Noted) -> Result<()> {
        loop {
            match self.journal.wait(noted) {
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => {
                    let mut core = self.core.lock();
                    core.error = Some(error.to_string());
                    if core.stop || self.log.is_closed() {
                        return Err(Error::new(ErrorKind::Closed, error.to_string()));
                    }
                    drop(core);
                    thread::sleep(TRY_AGAIN);
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    fn finish(&self, position: Position) {
        let mut core = self.core.lock();
        self.journal.finished(position);
        core.in_hand -= 1;
        core.events += 1;
        self.leave_line(&mut core, position);
        self.passed(&core);
        self.moved.notify_all();
    }

    /// An event has left its line for good: the next one's turn has come.
    fn leave_line(&self, core: &mut Core, position: Position) {
        let Some(key) = core.keys.remove(&position) else { return };
        let Some(line) = core.lines.get_mut(&key) else { return };
        line.open.retain(|other| *other != position);
        match line.open.front() {
            Some(next) => {
                core.ready.push_back(*next);
                self.work_there.notify_one();
            }
            None if line.parked.is_none() => drop(core.lines.remove(&key)),
            None => {}
        }
    }

    fn sleep(&self, position: Position, attempts: u32, step: String, due: Timestamp) {
        let remembered = Entry::Due { position, step: step.clone(), due };
        let aside = Entry::Aside { position, due, attempts, step, error: String::new() };
        self.put_aside(position, due, [remembered, aside]);
    }

    fn put_aside(&self, position: Position, due: Timestamp, entries: impl IntoIterator<Item = Entry>) {
        let noted = {
            let mut core = self.core.lock();
            core.in_hand -= 1;
            core.timers.insert((due, position));
            self.journal.note(entries)
        };
        self.settled(noted);
    }

    fn failed(&self, position: Position, attempts: u32, error: String, is_permanent: bool) {
        if is_permanent || attempts > self.retries {
            let noted = {
                let mut core = self.core.lock();
                core.in_hand -= 1;
                self.park(&mut core, position, attempts, error)
            };
            self.moved.notify_all();
            return self.settled(noted);
        }
        let due = after(self.now(), self.pause(position, attempts));
        self.core.lock().error = Some(format!("position {position}: {error}"));
        self.put_aside(position, due, [Entry::Aside { position, due, attempts, step: String::new(), error }]);
    }

    /// The pause before an event is tried again.
    fn pause(&self, position: Position, attempts: u32) -> Duration {
        let (min, max) = self.backoff;
        let full = min.saturating_mul(2u32.saturating_pow(attempts.saturating_sub(1))).min(max);
        let least = min.max(full / 2);
        let seed = u64_at(self.log.id.as_bytes(), 0).unwrap_or_default() ^ u64::from(attempts);
        let chance = xxh3_64_with_seed(&position.get().to_le_bytes(), seed) % 1024;
        least + (full - least).mul_f64(chance as f64 / 1024.0)
    }

    /// Parks an event, and behind it those of its key that wait.
    fn park(&self, core: &mut Core, position: Position, attempts: u32, error: String) -> Noted {
        core.error = Some(format!("position {position} is parked: {error}"));
        let now = self.now();
        let mut entries = Vec::new();
        if let Some(key) = core.keys.get(&position).cloned()
            && let Some(line) = core.lines.get_mut(&key)
        {
            entries.push(parked(position, now, attempts, None, &key, error));
            let behind: Vec<Position> = line.open.drain(..).filter(|other| *other != position).collect();
            line.parked = Some(position);
            for other in behind {
                core.keys.remove(&other);
                entries.push(parked(other, now, 0, Some(position), &key, String::new()));
            }
            core.keys.remove(&position);
        }
        self.journal.note(entries)
    }

    /// Takes a decision about a parked event.
    pub(super) fn decide(&self, decision: Decision, skip: bool) -> Result<()> {
        let decided = {
            let mut core = self.core.lock();
            let decided = self.journal.decide(decision, skip)?;
            let key: Arc<str> = decided.key.as_str().into();
            if decided.was_first {
                let other = self.journal.look(|state| {
                    let same =
                        state.parked.iter().find(|(_, parked)| parked.key == decided.key && parked.behind.is_none());
                    same.map(|(position, _)| *position)
                });
                let line = core.lines.entry(Arc::clone(&key)).or_default();
                line.parked = other;
                line.open.extend(&decided.freed);
                let first = line.open.front().copied();
                if first.is_none() && other.is_none() {
                    core.lines.remove(&key);
                }
                core.keys.extend(decided.freed.iter().map(|position| (*position, Arc::clone(&key))));
                core.ready.extend(first.filter(|first| decided.freed.contains(first)));
                self.work_there.notify_one();
            }
            decided
        };
        self.moved.notify_all();
        self.journal.wait(decided.noted)
    }

    /// Makes ready what is due; says when the next one is.
    pub(super) fn look_at_times(&self) -> Option<Duration> {
        let now = self.now();
        let mut core = self.core.lock();
        while let Some((due, position)) = core.timers.first().copied() {
            if due > now {
                let wait = due.as_nanos().saturating_sub(now.as_nanos());
                return Some(Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)));
            }
            core.timers.pop_first();
            core.ready.push_back(position);
            self.work_there.notify_one();
        }
        None
    }

    /// An event that is in hand stays open: it cannot be gone on with now, and the worker ends if that is for good.
    fn let_go(&self, error: Error) {
        self.core.lock().in_hand -= 1;
        self.fail(&error);
    }

    fn settled(&self, noted: Noted) {
        if let Err(error) = self.settle(noted) {
            self.fail(&error);
        }
    }

    /// The worker ends.
    pub(super) fn fail(&self, error: &Error) {
        let mut core = self.core.lock();
        self.end(&mut core, (error.kind() != ErrorKind::Closed).then(|| error.to_string()));
    }

    fn end(&self, core: &mut MutexGuard<'_, Core>, error: Option<String>) {
        core.stop = true;
        if error.is_some() && core.state != WorkerState::Failed {
            (core.state, core.error) = (WorkerState::Failed, error);
        }
        self.work_there.notify_all();
        self.moved.notify_all();
    }

    /// Asks all threads to end.
    pub(super) fn stop(&self) {
        self.end(&mut self.core.lock(), None);
    }
}

fn parked(
    position: Position,
    since: Timestamp,
    attempts: u32,
    behind: Option<Position>,
    key: &str,
    error: String,
) -> Entry {
    Entry::Parked { position, since, attempts, behind, key: key.to_owned(), error }
}
