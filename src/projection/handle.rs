//! What a user holds of a running projection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Projection;
use super::home::Home;
use super::runtime::{Progress, Shared, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::position::Position;
use crate::store::Store;

/// What a projection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProjectionState {
    /// It takes in what was there before it.
    CatchingUp,
    /// It has caught up and takes in what comes.
    Following,
    /// Taking a batch in failed; it is tried again after a pause.
    Retrying,
    /// It was stopped, or the store was closed.
    Stopped,
    /// It cannot go on: the log is damaged, or it cannot begin again.
    Failed,
    /// It panicked. Nothing else was harmed.
    Panicked,
}

impl ProjectionState {
    /// Whether its thread has ended.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, ProjectionState::Stopped | ProjectionState::Failed | ProjectionState::Panicked)
    }
}

/// How a projection is doing, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectionStatus {
    /// Its name.
    pub name: String,
    /// The version of its code.
    pub version: u32,
    /// What it is doing.
    pub state: ProjectionState,
    /// Everything up to here was taken in.
    pub position: Position,
    /// How many events the log has behind that.
    pub lag: u64,
    /// The events that it was given since it was started or rebuilt.
    pub events: u64,
    /// What went wrong last, if it was not mended since.
    pub error: Option<String>,
    /// How often in a row the batch at hand was tried in vain.
    pub attempts: u32,
    /// How far the rebuilding is, if it is rebuilt.
    pub rebuilding: Option<Position>,
    /// How often it was rebuilt since it was started.
    pub rebuilds: u64,
    /// In what the last rebuilt model differed from the one that it replaced. One of another version is compared too,
    /// if it keeps itself in SQLite and no event came since the older one was stopped.
    pub differences: Vec<String>,
}

/// A running projection. Dropping the last handle stops it and waits for its thread.
pub struct ProjectionHandle<P: Projection> {
    running: Arc<Running<P>>,
}

struct Running<P: Projection> {
    name: String,
    shared: Arc<Shared<P>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<P: Projection> Clone for ProjectionHandle<P> {
    fn clone(&self) -> ProjectionHandle<P> {
        ProjectionHandle { running: Arc::clone(&self.running) }
    }
}

impl<P: Projection> std::fmt::Debug for ProjectionHandle<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ProjectionHandle").field(&self.status()).finish()
    }
}

impl<P: Projection> Drop for Running<P> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.join();
    }
}

impl<P: Projection> Running<P> {
    fn join(&self) {
        let thread = self.thread.lock().take();
        // A handle that is dropped within the model's own thread cannot wait for it.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A panic of the model is caught and told in the status.
            let _ = thread.join();
        }
    }
}

impl<P: Projection> ProjectionHandle<P> {
    /// Waits until everything up to a position was taken in; `false` if that took longer than `timeout`. This is how a
    /// caller reads its own writes: append, wait for the position, look.
    ///
    /// # Errors
    /// `Closed` if the projection has ended before; the message says why.
    pub fn wait_for(&self, position: impl Into<Position>, timeout: Duration) -> Result<bool> {
        let (position, deadline) = (position.into(), Instant::now() + timeout);
        let mut progress = self.running.shared.progress.lock();
        loop {
            if progress.position >= position {
                return Ok(true);
            }
            if progress.state.has_ended() {
                let why = progress.error.as_deref().unwrap_or("it was stopped");
                let text =
                    format!("the projection {} has ended at position {}: {why}", self.running.name, progress.position);
                return Err(Error::new(ErrorKind::Closed, text));
            }
            if self.running.shared.moved.wait_until(&mut progress, deadline).timed_out() {
                return Ok(progress.position >= position);
            }
        }
    }

    /// How many events the log has that were not taken in yet.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.status().lag
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> ProjectionStatus {
        let progress = self.running.shared.progress.lock().clone();
        ProjectionStatus {
            name: self.running.name.clone(),
            version: progress.version,
            state: progress.state,
            position: progress.position,
            lag: self.running.shared.source.log.tail().get().saturating_sub(progress.position.get()),
            events: progress.events,
            error: progress.error,
            attempts: progress.attempts,
            rebuilding: progress.rebuilding,
            rebuilds: progress.rebuilds,
            differences: progress.differences,
        }
    }

    /// Looks at the model, between two batches; it takes nothing in meanwhile, so waiting for it in here is in vain.
    pub fn with<T>(&self, look: impl FnOnce(&P) -> T) -> T {
        look(&self.running.shared.model.lock())
    }

    /// Makes the model anew from the first event, beside the one that serves, which goes on meanwhile; the new one
    /// takes its place when it has caught up, and the status then says in what they differed. Returns at once.
    pub fn rebuild(&self)
    where
        P: Default,
    {
        self.rebuild_as(P::default());
    }

    /// The same with an empty model that the caller makes.
    pub fn rebuild_as(&self, empty: P) {
        *self.running.shared.wanted.lock() = Some(empty);
        self.running.shared.progress.lock().rebuilding = Some(Position::ORIGIN);
    }

    /// Stops it, and waits until it has kept what it made. Its model can still be looked at.
    pub fn stop(&self) {
        self.running.shared.stop.store(true, Ordering::Relaxed);
        self.running.join();
    }
}

impl Store {
    /// Runs a projection on a thread of its own, from where it left off. It ends with the last handle on it, or with
    /// the store.
    ///
    /// # Errors
    /// `Invalid` for a name that cannot name a file; `Locked` if it keeps what it makes and another process keeps the
    /// projections of this store; `Io`, `Closed`, and what [`Projection::open`] gives.
    pub fn project<P: Projection>(&self, mut projection: P) -> Result<ProjectionHandle<P>> {
        let log = &self.inner.log;
        log.check_open()?;
        let name = projection.name().to_owned();
        check_name(&name)?;
        let lock = &self.inner.projections;
        let home = Home::new(&self.inner.path, &log.storage, projection.keeps_checkpoint(), lock)?;
        let start = projection.open(&home, false).map_err(|error| of_user(&name, error))?;
        let progress = Progress {
            state: ProjectionState::CatchingUp,
            position: start.position,
            events: 0,
            version: projection.version(),
            error: None,
            attempts: 0,
            rebuilding: None,
            rebuilds: 0,
            differences: Vec::new(),
        };
        let shared = Arc::new(Shared {
            model: Mutex::new(projection),
            progress: Mutex::new(progress),
            moved: Condvar::new(),
            stop: AtomicBool::new(false),
            wanted: Mutex::new(None),
            source: Source::of(self),
            home,
        });
        let running = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(format!("annals {name}"))
            .spawn(move || running.run(start))
            .map_err(|error| Error::io(format_args!("start the thread of the projection {name}"), error))?;
        Ok(ProjectionHandle { running: Arc::new(Running { name, shared, thread: Mutex::new(Some(thread)) }) })
    }
}

/// What a projection's own code reported, with its kind if it was one of ours.
fn of_user(name: &str, error: crate::error::BoxError) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) => *ours,
        Err(error) => Error::invalid(format!("the projection {name} does not start: {error}")),
    }
}

fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.chars().all(fits) {
        return Err(Error::invalid(format!(
            "the projection name {name:?}: up to 64 letters, digits, '-', '_' and '.' are possible, no '.' at first"
        )));
    }
    Ok(())
}
