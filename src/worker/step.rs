//! What the closure of a worker is given: steps that are done once, appends that are done once, and sleep.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::runtime::Runtime;
use super::state::{Memo, Open};
use crate::append::{Append, Appended};
use crate::error::{AppendError, BoxError, Error, ErrorKind, Result};
use crate::format::term::Dimension;
use crate::format::worker::Entry;
use crate::limits;
use crate::log::prepare::Prepared;
use crate::position::Position;
use crate::sync::Mutex;
use crate::time::Timestamp;

/// An error that trying again would not mend: the event is parked at once. It may be wrapped in others.
///
/// ```
/// # fn gone() -> bool { true }
/// # let work = || -> Result<(), annals::BoxError> {
/// if gone() {
///     return Err(annals::permanent("the address is not there any more").into());
/// }
/// # Ok(())
/// # };
/// # assert!(work().is_err());
/// ```
#[derive(Debug)]
pub struct Permanent(pub BoxError);

impl fmt::Display for Permanent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Permanent {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Says of an error that trying again would not mend it.
pub fn permanent(error: impl Into<BoxError>) -> Permanent {
    Permanent(error.into())
}

/// Whether an error, or what caused it, is permanent.
pub(super) fn is_permanent(error: &BoxError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&**error);
    while let Some(error) = cause {
        if error.is::<Permanent>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Ends a run of the closure that is to be gone on with later.
#[derive(Debug)]
struct Later;

impl fmt::Display for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is put aside until its time")
    }
}

impl std::error::Error for Later {}

/// The steps of one event.
///
/// Steps are told apart by their names, so each has its own name within the closure. What a step came to is kept until
/// the event is finished; a closure that is run again gets it from there.
#[derive(Debug)]
pub struct Step<'a> {
    runtime: &'a Runtime,
    position: Position,
    attempts: u32,
    marks: Mutex<Marks>,
}

#[derive(Debug, Default)]
struct Marks {
    memos: BTreeMap<String, Memo>,
    /// Names of steps that this run has come by.
    seen: BTreeSet<String>,
    /// The newest event that a step appended.
    appended: Position,
    ended: Option<Ended>,
}

/// Why the run of the closure cannot be gone on with, whatever it gives.
#[derive(Debug)]
pub(super) enum Ended {
    /// It sleeps.
    Until { step: String, due: Timestamp },
    /// The worker's own file, or the store, takes nothing more.
    Broken(Error),
}

/// What a run of the closure left behind.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) appended: Position,
    pub(super) ended: Option<Ended>,
}

impl<'a> Step<'a> {
    pub(super) fn new(runtime: &'a Runtime, position: Position, open: Open) -> Step<'a> {
        let marks = Marks { memos: open.memos, ..Marks::default() };
        Step { runtime, position, attempts: open.attempts, marks: Mutex::new(marks) }
    }

    pub(super) fn left(self) -> Left {
        let marks = self.marks.into_inner();
        Left { appended: marks.appended, ended: marks.ended }
    }

    /// How often the event was tried in vain before.
    #[must_use]
    pub fn failed_attempts(&self) -> u32 {
        self.attempts
    }

    /// Does a step, once: its result is kept, durably, before this returns, and given again whenever the closure is run
    /// again for this event. A step that was interrupted by a crash, or gave an error, is done again. Blocks for as long
    /// as the disk takes.
    ///
    /// # Errors
    /// What `work` gives, which is not kept. [`Permanent`] for a name that was used in this run, is empty, longer than
    /// 255 bytes or holds control characters; for a result beyond a mebibyte, and for a kept one that is no `T`.
    pub fn run<T, E>(&self, name: impl AsRef<str>, work: impl FnOnce() -> Result<T, E>) -> Result<T, BoxError>
    where
        T: Serialize + DeserializeOwned,
        E: Into<BoxError>,
    {
        let name = name.as_ref();
        match self.enter(name)? {
            Some(Memo::Result(json)) => {
                return serde_json::from_str(&json).map_err(|error| {
                    permanent(format!("the kept result of step {name:?} is not what is asked for: {error}")).into()
                });
            }
            Some(Memo::Due(_)) => return Err(permanent(format!("step {name:?} slept in an earlier run")).into()),
            None => {}
        }
        // What it does outside must not stand on what a power cut can take away.
        let appended = self.marks.lock().appended;
        self.runtime.make_durable(appended).map_err(|error| self.broken(error))?;
        let value = work().map_err(Into::into)?;
        let json = serde_json::to_string(&value).map_err(permanent)?;
        if json.len() > limits::STEP_RESULT_BYTES_MAX {
            let (len, max) = (json.len(), limits::STEP_RESULT_BYTES_MAX);
            return Err(
                permanent(format!("the result of step {name:?} takes {len} bytes, at most {max} are kept")).into()
            );
        }
        let (position, step) = (self.position, name.to_owned());
        self.keep(Entry::Result { position, step, json })?;
        Ok(value)
    }

    /// Appends events, exactly once: the append gets the key `WORKER/POSITION/NAME`, in place of its own if it has one,
    /// and an append under that key is this step's result, whatever a later run would append.
    ///
    /// # Errors
    /// As [`Store::append_with`](crate::Store::append_with); `Invalid` for a name as in [`Step::run`].
    pub fn append(&self, name: impl AsRef<str>, append: impl Into<Append>) -> Result<Appended, AppendError> {
        let name = name.as_ref();
        self.enter(name).map_err(|error| AppendError::Invalid(Error::invalid(error.to_string()).caused_by(error)))?;
        let key = format!("{}/{}/{name}", self.runtime.journal.name, self.position);
        let core = self.runtime.committer.core();
        let hash = core.log.hasher.hash(Dimension::Key, key.as_bytes());
        let append = Append { key: Some(key.clone()), ..append.into() };
        let bytes_max = limits::batch_bytes_max(core.segment_bytes);
        let prepared = Prepared::new(append, core.log.hasher, bytes_max);
        let done = match prepared.and_then(|prepared| self.runtime.committer.append(prepared)) {
            Err(AppendError::KeyReused { .. }) => match core.log.find_key(&key, hash)? {
                Some(hit) => {
                    Appended { first: hit.first, last: hit.last, recorded_at: hit.recorded_at, duplicate: true }
                }
                None => return Err(AppendError::Failed(Error::not_found(format!("the key {key:?} is gone again")))),
            },
            Err(error @ (AppendError::Poisoned { .. } | AppendError::Closed)) => {
                let mut marks = self.marks.lock();
                marks.ended = Some(Ended::Broken(Error::new(error.kind(), error.to_string())));
                return Err(error);
            }
            done => done?,
        };
        let mut marks = self.marks.lock();
        marks.appended = marks.appended.max(done.last);
        Ok(done)
    }

    /// Sleeps until a time: the event is put aside, without a thread, and the closure is run again then, from its
    /// beginning, with the results of its steps as they were. The time is kept, so it holds over restarts.
    ///
    /// # Errors
    /// An error that ends this run of the closure, to be handed on by `?`. [`Permanent`] for a name as in [`Step::run`].
    pub fn sleep_until(&self, name: impl AsRef<str>, time: Timestamp) -> Result<(), BoxError> {
        self.sleep_as(name.as_ref(), |_| time)
    }

    /// Sleeps for so long, counted from when the closure comes by here for the first time; else as
    /// [`Step::sleep_until`].
    ///
    /// # Errors
    /// As [`Step::sleep_until`].
    pub fn sleep(&self, name: impl AsRef<str>, time: Duration) -> Result<(), BoxError> {
        self.sleep_as(name.as_ref(), |now| super::runtime::after(now, time))
    }

    fn sleep_as(&self, name: &str, due: impl FnOnce(Timestamp) -> Timestamp) -> Result<(), BoxError> {
        let now = self.runtime.now();
        let due = match self.enter(name)? {
            Some(Memo::Due(due)) => due,
            Some(Memo::Result(_)) => {
                return Err(permanent(format!("step {name:?} did something in an earlier run")).into());
            }
            None => due(now),
        };
        if due <= now {
            return Ok(());
        }
        self.marks.lock().ended = Some(Ended::Until { step: name.to_owned(), due });
        Err(Later.into())
    }

    /// Comes by a step: what was kept of it. An error if the run cannot be gone on with.
    fn enter(&self, name: &str) -> Result<Option<Memo>, BoxError> {
        let mut marks = self.marks.lock();
        match &marks.ended {
            Some(Ended::Until { .. }) => return Err(Later.into()),
            Some(Ended::Broken(error)) => return Err(error.duplicate().into()),
            None => {}
        }
        let fits = (1..=limits::STEP_NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
        if !fits {
            return Err(permanent(format!("{name:?} cannot name a step")).into());
        }
        if marks.seen.len() >= limits::STEPS_MAX {
            return Err(permanent(format!("more than {} steps for one event", limits::STEPS_MAX)).into());
        }
        if !marks.seen.insert(name.to_owned()) {
            return Err(permanent(format!("two steps of one event have the name {name:?}")).into());
        }
        Ok(marks.memos.get(name).cloned())
    }

    fn keep(&self, entry: Entry) -> Result<(), BoxError> {
        let noted = self.runtime.journal.note([entry]);
        self.runtime.settle(noted).map_err(|error| self.broken(error).into())
    }

    fn broken(&self, error: Error) -> Error {
        let told = error.duplicate();
        self.marks.lock().ended = Some(Ended::Broken(error));
        told
    }
}

/// Whether an error of the store means that it takes nothing more from anybody.
pub(super) fn is_final(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Closed | ErrorKind::Poisoned | ErrorKind::Diverged | ErrorKind::Corruption | ErrorKind::Invalid
    )
}
