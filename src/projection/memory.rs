//! A read model in memory whose state is kept now and then, so that a restart replays only what came since.
//!
//! Where and how it is kept: [`super::kept`].

use super::Projection;
use super::home::Home;
use super::kept;
use crate::checkpoint::Checkpoint;
use crate::error::{BoxError, Result};
use crate::feed::Batch;
use crate::position::Position;
use crate::query::Query;
use crate::snapshot::{State, codec};

/// A projection that folds events into one [`State`], in memory; the state is kept in the store now and then and when
/// it is stopped. Its name and version are the state's.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::time::Duration;
///
/// use annals::{BoxError, EventRef, MemoryProjection, NewEvent, State, Store};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct PerType(BTreeMap<String, u64>);
///
/// impl State for PerType {
///     const NAME: &'static str = "per-type";
///
///     fn apply(&mut self, event: EventRef<'_>) -> Result<(), BoxError> {
///         *self.0.entry(event.event_type().to_owned()).or_default() += 1;
///         Ok(())
///     }
/// }
///
/// # let directory = tempfile::tempdir()?;
/// let store = Store::open(directory.path())?;
/// let per_type = store.project(MemoryProjection::<PerType>::default())?;
/// let done = store.append([NewEvent::bytes("note.created", "note/n-1", "text/plain", "A")])?;
/// per_type.wait_for(done.last, Duration::from_secs(5))?;
/// assert_eq!(per_type.with(|model| model.state().0["note.created"]), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MemoryProjection<S> {
    state: S,
    query: Query,
    /// Everything up to here is in the state: what a batch that failed halfway had taken in is not taken in again.
    position: Position,
    /// What is kept is another model's, until this one takes its place.
    beside: bool,
}

impl<S: State> Default for MemoryProjection<S> {
    fn default() -> MemoryProjection<S> {
        MemoryProjection::of(Query::all())
    }
}

impl<S: State> MemoryProjection<S> {
    /// A projection that folds the events of a query.
    #[must_use]
    pub fn of(query: Query) -> MemoryProjection<S> {
        MemoryProjection { state: S::default(), query, position: Position::ORIGIN, beside: false }
    }

    /// The state as it is now.
    pub fn state(&self) -> &S {
        &self.state
    }
}

impl<S: State + Send + 'static> MemoryProjection<S> {
    fn kept(&self, home: &Home) -> Result<Option<(Checkpoint, S)>> {
        let kept = kept::load(home, S::NAME, S::SNAPSHOT_VERSION)?;
        Ok(kept.and_then(|(at, state)| Some((at, codec::decode(&state).ok()?))))
    }
}

impl<S: State + Send + 'static> Projection for MemoryProjection<S> {
    fn name(&self) -> &str {
        S::NAME
    }

    fn version(&self) -> u32 {
        S::SNAPSHOT_VERSION
    }

    fn query(&self) -> Query {
        self.query.clone()
    }

    fn keeps_checkpoint(&self) -> bool {
        true
    }

    fn open(&mut self, home: &Home, beside: bool) -> Result<Checkpoint, BoxError> {
        self.beside = beside;
        let Some((at, state)) = (if beside { None } else { self.kept(home)? }) else { return Ok(Checkpoint::ORIGIN) };
        (self.state, self.position) = (state, at.position);
        Ok(at)
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<(), BoxError> {
        let behind = self.position;
        for event in batch.iter().filter(|event| event.position() > behind) {
            self.state.apply(event)?;
            self.position = event.position();
        }
        self.position = self.position.max(batch.through());
        Ok(())
    }

    fn clear(&mut self, _: &Home) -> Result<(), BoxError> {
        (self.state, self.position) = (S::default(), Position::ORIGIN);
        Ok(())
    }

    fn serve(&mut self, _: &Home) -> Result<Vec<String>, BoxError> {
        self.beside = false;
        Ok(Vec::new())
    }

    fn save(&mut self, home: &Home, at: &Checkpoint) -> Result<(), BoxError> {
        // A batch that failed halfway is in the state and in no checkpoint.
        if self.beside || at.position != self.position {
            return Ok(());
        }
        Ok(kept::save(home, S::NAME, S::SNAPSHOT_VERSION, at, &codec::encode(&self.state)?)?)
    }

    fn differences(&self, rebuilt: &Self) -> Vec<String> {
        let text = |state: &S| serde_json::to_value(state).ok();
        match text(&self.state) == text(&rebuilt.state) {
            true => Vec::new(),
            false => vec!["the states are not the same".to_owned()],
        }
    }
}
