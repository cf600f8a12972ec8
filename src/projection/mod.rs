//! Projections: deterministic folds of events into read models, each on its own thread.
//!
//! A projection is disposable: what it holds can be made again from the log, and is whenever its version changes, its
//! checkpoint turns out to be of another history, or somebody asks for it. The log stays the only truth.
//!
//! Invariants:
//! - A projection sees every event that its query matches, once, in order of position, in batches. A batch whose
//!   `apply` failed is given again, the very same one, until it succeeds or the projection is stopped.
//! - A projection that keeps a checkpoint sees only what survives power loss, so that it never has to take back what a
//!   power cut took away.
//! - What a projection does, slow, failing or panicking, is felt by nobody else: it holds no lock of the log.

mod handle;
mod home;
pub(crate) mod kept;
mod memory;
mod runtime;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
pub(crate) mod tables;

use crate::checkpoint::Checkpoint;
use crate::error::BoxError;
use crate::feed::Batch;
use crate::query::Query;

pub use handle::{ProjectionHandle, ProjectionState, ProjectionStatus};
pub use home::Home;
pub use memory::MemoryProjection;
#[cfg(feature = "sqlite")]
pub use sqlite::{SqlFold, SqliteProjection};
#[cfg(feature = "sqlite")]
pub use tables::{TableCheck, Tables};

/// A fold of events into a read model; [`Store::project`](crate::Store::project) runs it.
///
/// Name and `apply` are all that a model in memory needs. One that keeps itself somewhere, with its checkpoint, says so
/// in [`Projection::open`] and the methods behind it; `MemoryProjection` and `SqliteProjection` do that for the two
/// usual places.
///
/// ```
/// use std::collections::HashMap;
/// use std::time::Duration;
///
/// use annals::{Batch, BoxError, NewEvent, Projection, Query, Store};
///
/// #[derive(Default)]
/// struct PerType(HashMap<String, u64>);
///
/// impl Projection for PerType {
///     fn name(&self) -> &str {
///         "per-type"
///     }
///
///     fn apply(&mut self, batch: &Batch<'_>) -> Result<(), BoxError> {
///         for event in batch.iter() {
///             *self.0.entry(event.event_type().to_owned()).or_default() += 1;
///         }
///         Ok(())
///     }
/// }
///
/// # let directory = tempfile::tempdir()?;
/// let store = Store::open(directory.path())?;
/// let per_type = store.project(PerType::default())?;
/// let done = store.append([NewEvent::bytes("note.created", "note/n-1", "text/plain", "A")])?;
/// per_type.wait_for(done.last, Duration::from_secs(5))?;
/// assert_eq!(per_type.with(|model| model.0["note.created"]), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Projection: Send + 'static {
    /// What it is called in status and files: letters, digits, `-`, `_` and `.`.
    fn name(&self) -> &str;

    /// The version of its code. What was made by another version is made again from the first event.
    fn version(&self) -> u32 {
        1
    }

    /// The events that it folds.
    fn query(&self) -> Query {
        Query::all()
    }

    /// Takes in a batch, which may be empty and only say how far the log was read.
    ///
    /// # Errors
    /// Whatever keeps it from taking the batch in. It is given the same batch again, after a pause that grows; so it
    /// has to have changed nothing, or to pass over what it took in already. An [`Error`](crate::Error) of the kind
    /// `Diverged` says that what it kept is no good: it is told to [`clear`](Projection::clear) and begins again.
    fn apply(&mut self, batch: &Batch<'_>) -> Result<(), BoxError>;

    /// Finds what it kept, if it keeps anything, and says where to go on; called once, before the first batch. With
    /// `beside` it is to begin with nothing while what is kept goes on serving, until [`Projection::serve`].
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    fn open(&mut self, home: &Home, beside: bool) -> Result<Checkpoint, BoxError> {
        let _ = (home, beside);
        Ok(Checkpoint::ORIGIN)
    }

    /// Whether it keeps a checkpoint somewhere. If so it is given only what survives power loss.
    fn keeps_checkpoint(&self) -> bool {
        false
    }

    /// Forgets everything it made and kept, to begin again at the first event: the checkpoint that it kept is not of
    /// this log's history, or what it kept turned out damaged.
    ///
    /// # Errors
    /// Whatever keeps it from that; it stops then.
    fn clear(&mut self, home: &Home) -> Result<(), BoxError> {
        let _ = home;
        Err("it does not say how to begin again".into())
    }

    /// It has caught up for the first time: what it made takes the place of what served until now. Returns in what the
    /// two differ, a line each, if both stand at the same position and it can tell; none else.
    ///
    /// # Errors
    /// Whatever keeps it from that; it is asked again later.
    fn serve(&mut self, home: &Home) -> Result<Vec<String>, BoxError> {
        let _ = home;
        Ok(Vec::new())
    }

    /// Keeps what it made so far, up to this checkpoint; called now and then, and at the end. A projection that keeps
    /// its checkpoint together with each batch has nothing to do.
    ///
    /// # Errors
    /// Whatever keeps it from that; it goes on and is asked again later.
    fn save(&mut self, home: &Home, at: &Checkpoint) -> Result<(), BoxError> {
        let _ = (home, at);
        Ok(())
    }

    /// In what a rebuilt one differs from this one, a line each; both stand at the same position. None if they do
    /// not, if nothing can be said, or if [`Projection::serve`] will say it.
    fn differences(&self, rebuilt: &Self) -> Vec<String>
    where
        Self: Sized,
    {
        let _ = rebuilt;
        Vec::new()
    }
}
