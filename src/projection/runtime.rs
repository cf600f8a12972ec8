//! The thread of a projection: it reads, hands batches over, tries again what failed, and swaps a rebuilt model in.
//!
//! Only this thread moves a projection. Others reach the model through its mutex, between two batches, and ask for
//! things by leaving them in [`Shared`].

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Projection;
use super::handle::ProjectionState;
use super::home::Home;
use crate::checkpoint::Checkpoint;
use crate::error::{BoxError, Error, ErrorKind};
use crate::feed::{Batch, StartAt, Subscription};
use crate::log::follow::Follower;
use crate::log::shared::Log;
use crate::position::Position;
#[cfg(feature = "sqlite")]
use crate::reader::Reader;
#[cfg(feature = "sqlite")]
use crate::snapshot::Snapshots;
use crate::store::{Side, Store};

/// How long the thread waits for events before it looks what it is asked for.
const LOOK: Duration = Duration::from_millis(50);
/// The first pause after a failure; each further one is twice as long, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often a model that has moved is asked to keep itself.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// What the thread and the handles share.
pub(super) struct Shared<P> {
    pub(super) model: Mutex<P>,
    pub(super) progress: Mutex<Progress>,
    /// Signalled whenever `progress` changes.
    pub(super) moved: Condvar,
    /// Written by handles, read by the thread; a hint, so no ordering is needed.
    pub(super) stop: AtomicBool,
    /// An empty model to rebuild into, put here by a handle and taken by the thread.
    pub(super) wanted: Mutex<Option<P>>,
    pub(super) source: Source,
    pub(super) home: Home,
}

/// How far it is.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    pub(super) state: ProjectionState,
    pub(super) position: Position,
    pub(super) events: u64,
    pub(super) version: u32,
    pub(super) error: Option<String>,
    pub(super) attempts: u32,
    pub(super) rebuilding: Option<Position>,
    pub(super) rebuilds: u64,
    pub(super) differences: Vec<String>,
}

/// The log as this process sees it.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) log: Arc<Log>,
    pub(super) follower: Option<Arc<Follower>>,
    #[cfg(feature = "sqlite")]
    snapshots: Arc<Snapshots>,
}

impl Source {
    pub(super) fn of(store: &Store) -> Source {
        let follower = match &store.inner.side {
            Side::Reader(follower) => Some(Arc::clone(follower)),
            Side::Writer { .. } => None,
        };
        Source {
            log: Arc::clone(&store.inner.log),
            follower,
            #[cfg(feature = "sqlite")]
            snapshots: Arc::clone(&store.inner.snapshots),
        }
    }

    /// A view up to the tail now.
    #[cfg(feature = "sqlite")]
    pub(super) fn reader(&self) -> Reader {
        if let Some(follower) = &self.follower {
            // What cannot be taken in is met again, and reported, by whoever reads it.
            let _ = follower.refresh(&self.log);
        }
        Reader::new(Arc::clone(&self.log), Arc::clone(&self.snapshots))
    }

    fn subscribe<P: Projection>(&self, model: &P, start: StartAt) -> Subscription {
        let subscription = Subscription::new(Arc::clone(&self.log), self.follower.clone(), model.query(), start);
        if model.keeps_checkpoint() { subscription.durable_only() } else { subscription }
    }
}

/// Why the thread ends.
enum End {
    Stopped,
    Failed(String),
    Panicked(String),
}

impl<P: Projection> Shared<P> {
    /// The whole life of the thread.
    pub(super) fn run(&self, start: Checkpoint) {
        let end = self.follow(start);
        // Whatever ended it, what was taken in is kept if it can be.
        if !matches!(end, End::Panicked(_)) {
            self.save();
        }
        self.tell(|progress| {
            (progress.state, progress.rebuilding) = (ProjectionState::Stopped, None);
            match end {
                End::Stopped => progress.error = None,
                End::Failed(error) => (progress.state, progress.error) = (ProjectionState::Failed, Some(error)),
                End::Panicked(error) => (progress.state, progress.error) = (ProjectionState::Panicked, Some(error)),
            }
        });
    }

    fn follow(&self, start: Checkpoint) -> End {
        let mut subscription = self.source.subscribe(&*self.model.lock(), StartAt::Checkpoint(start));
        let (mut served, mut saved, mut saved_at) = (false, start.position, Instant::now());
        let mut rebuild: Option<Rebuild<P>> = None;
        loop {
            if self.is_stopping() {
                return End::Stopped;
            }
            if let Some(fresh) = self.wanted.lock().take() {
                match Rebuild::begin(fresh, self) {
                    Ok(begun) => rebuild = Some(begun),
                    Err(error) => self.tell(|progress| progress.error = Some(format!("rebuilding: {error}"))),
                }
            }
            let waits = if rebuild.is_some() { Duration::ZERO } else { LOOK };
            match subscription.next_timeout(waits) {
                Ok(Some(batch)) => match self.take_in(&self.model, &batch) {
                    Ok(Taken::In) => self.tell(|progress| {
                        progress.position = batch.through();
                        progress.events += batch.len() as u64;
                        (progress.error, progress.attempts) = (None, 0);
                    }),
                    Ok(Taken::BeginAgain(error)) => match self.begin_again(&error) {
                        Ok(begun) => subscription = begun,
                        Err(end) => return end,
                    },
                    Err(end) => return end,
                },
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Closed => return End::Stopped,
                Err(error) if error.kind() == ErrorKind::Diverged => match self.begin_again(&error) {
                    Ok(begun) => subscription = begun,
                    Err(end) => return end,
                },
                // Damage stays until somebody repairs it; whatever else it is may pass.
                Err(error) if error.corruption().is_some() => return End::Failed(error.to_string()),
                Err(error) => {
                    let position = subscription.position();
                    if let Err(end) = self.pause(&error.to_string()) {
                        return end;
                    }
                    subscription = self.source.subscribe(&*self.model.lock(), StartAt::After(position));
                }
            }
            if subscription.caught_up() {
                if !served {
                    match self.guarded(|| self.model.lock().serve(&self.home)) {
                        Ok(differences) => {
                            served = true;
                            self.tell(|progress| progress.differences = differences);
                        }
                        Err(Failure::Failed(error)) if is_diverged(&error) => match self.begin_again(&*error) {
                            Ok(begun) => subscription = begun,
                            Err(end) => return end,
                        },
                        Err(failure) => self.tell(|progress| progress.error = Some(format!("taking over: {failure}"))),
                    }
                }
                self.tell_if(ProjectionState::CatchingUp, ProjectionState::Following);
            }
            let position = subscription.position();
            if position > saved && saved_at.elapsed() >= SAVE_EVERY {
                self.save();
                (saved, saved_at) = (position, Instant::now());
            }
            if let Some(running) = &mut rebuild {
                match running.advance(self, position) {
                    Ok(false) => {}
                    Ok(true) => {
                        if let Some(done) = rebuild.take() {
                            done.swap_in(self);
                            served = true;
                            // The new one may want other events.
                            subscription = self.source.subscribe(&*self.model.lock(), StartAt::After(position));
                        }
                    }
                    Err(error) => {
                        rebuild = None;
                        self.tell(|progress| {
                            progress.rebuilding = None;
                            progress.error = Some(format!("rebuilding: {error}"));
                        });
                    }
                }
            }
        }
    }

    /// Gives a batch to a model until it takes it, or says that it has to begin again.
    fn take_in(&self, model: &Mutex<P>, batch: &Batch<'_>) -> Result<Taken, End> {
        loop {
            match self.guarded(|| model.lock().apply(batch)) {
                Ok(()) => return Ok(Taken::In),
                Err(Failure::Panicked(what)) => return Err(End::Panicked(what)),
                Err(Failure::Failed(error)) => {
                    self.pause(&error.to_string())?;
                    if is_diverged(&error) {
                        return Ok(Taken::BeginAgain(error.to_string()));
                    }
                }
            }
        }
    }

    /// The model forgets what it kept, which is of another history or no good, and is given everything anew.
    fn begin_again(&self, error: &dyn fmt::Display) -> Result<Subscription, End> {
        self.guarded(|| self.model.lock().clear(&self.home)).map_err(|failure| match failure {
            Failure::Failed(failed) => End::Failed(format!("{error}; {failed}")),
            Failure::Panicked(what) => End::Panicked(what),
        })?;
        self.tell(|progress| {
            progress.position = Position::ORIGIN;
            progress.rebuilds += 1;
            progress.error = Some(format!("begun again: {error}"));
        });
        Ok(self.source.subscribe(&*self.model.lock(), StartAt::Start))
    }

    /// Runs a call of the model. A panic of it is caught here: it must not be met again by whoever looks at the model.
    fn guarded<T>(&self, call: impl FnOnce() -> Result<T, BoxError>) -> Result<T, Failure> {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(Failure::Failed(error)),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                Err(Failure::Panicked(text.unwrap_or_else(|| "a panic without words".to_owned())))
            }
        }
    }

    /// Waits after a failure, longer each time in a row.
    fn pause(&self, error: &str) -> Result<(), End> {
        let mut attempts = 0;
        self.tell(|progress| {
            progress.attempts = progress.attempts.saturating_add(1);
            attempts = progress.attempts;
            (progress.state, progress.error) = (ProjectionState::Retrying, Some(error.to_owned()));
        });
        let until = Instant::now() + (PAUSE_MIN * 2u32.saturating_pow(attempts.min(16) - 1)).min(PAUSE_MAX);
        while Instant::now() < until {
            if self.is_stopping() {
                return Err(End::Stopped);
            }
            std::thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
        }
        self.tell_if(ProjectionState::Retrying, ProjectionState::CatchingUp);
        Ok(())
    }

    fn save(&self) {
        let position = self.progress.lock().position;
        let Ok(Some(at)) = self.source.log.checkpoint(position) else { return };
        if let Err(failure) = self.guarded(|| self.model.lock().save(&self.home, &at)) {
            self.tell(|progress| progress.error = Some(format!("keeping it: {failure}")));
        }
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.source.log.is_closed()
    }

    fn tell(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock());
        self.moved.notify_all();
    }

    fn tell_if(&self, from: ProjectionState, to: ProjectionState) {
        let mut progress = self.progress.lock();
        if progress.state == from {
            progress.state = to;
            drop(progress);
            self.moved.notify_all();
        }
    }
}

/// What became of a batch.
enum Taken {
    In,
    /// What the model kept is no good, for this reason.
    BeginAgain(String),
}

/// Why a call of the model did not do what it was to do.
enum Failure {
    Failed(BoxError),
    Panicked(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(error) => error.fmt(f),
            Failure::Panicked(what) => what.fmt(f),
        }
    }
}

/// Whether a model says that what it kept is of another history, or no good.
fn is_diverged(error: &BoxError) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| error.kind() == ErrorKind::Diverged)
}

/// A model made anew beside the one that serves. It is read for by the same thread, in turn with the serving one, so
/// that both are at the same position when they change places.
struct Rebuild<P> {
    model: Mutex<P>,
    subscription: Subscription,
    events: u64,
}

impl<P: Projection> Rebuild<P> {
    fn begin(mut fresh: P, shared: &Shared<P>) -> Result<Rebuild<P>, BoxError> {
        let start = fresh.open(&shared.home, true)?;
        let subscription = shared.source.subscribe(&fresh, StartAt::Checkpoint(start));
        shared.tell(|progress| progress.rebuilding = Some(start.position));
        Ok(Rebuild { model: Mutex::new(fresh), subscription, events: 0 })
    }

    /// Reads on; `true` once it stands where the serving one stands.
    fn advance(&mut self, shared: &Shared<P>, serving: Position) -> Result<bool, BoxError> {
        self.subscription.set_until(serving);
        let until = Instant::now() + LOOK;
        while self.subscription.position() < serving && Instant::now() < until {
            let Some(batch) = self.subscription.next_timeout(Duration::ZERO)? else { break };
            match shared.guarded(|| self.model.lock().apply(&batch)) {
                Ok(()) => self.events += batch.len() as u64,
                Err(failure) => return Err(failure.to_string().into()),
            }
            shared.tell(|progress| progress.rebuilding = Some(batch.through()));
        }
        Ok(self.subscription.position() == serving)
    }

    /// Puts the new model in the place of the old one.
    fn swap_in(self, shared: &Shared<P>) {
        let mut fresh = self.model.into_inner();
        let mut serving = shared.model.lock();
        let mut differences = serving.differences(&fresh);
        let swapped = shared.guarded(|| fresh.serve(&shared.home));
        let error = match swapped {
            Ok(found) => {
                differences.extend(found);
                *serving = fresh;
                None
            }
            Err(failure) => Some(format!("rebuilding: {failure}")),
        };
        let version = serving.version();
        drop(serving);
        shared.tell(|progress| {
            progress.rebuilding = None;
            if error.is_none() {
                progress.rebuilds += 1;
                (progress.version, progress.events, progress.differences) = (version, self.events, differences);
            }
            progress.error = error;
        });
    }
}
