//! What is asked of an append and what comes of it: events, conditions, a key, a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::event::NewEvent;
use crate::position::Position;
use crate::query::Query;
use crate::time::Timestamp;

/// What a subject's version has to be for an append to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Expected {
    /// The subject has no event.
    NoSubject,
    /// The subject has at least one event.
    Exists,
    /// The subject has exactly so many events.
    Exactly(u64),
    /// Anything; the same as no condition.
    Any,
}

/// One condition of an append.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    /// The subject's version is as expected.
    Expect { subject: String, expected: Expected },
    /// Nothing that the query matches stands after this position.
    Unless { query: Arc<Query>, after: Position },
}

/// A batch to be appended whole or not at all, under any number of conditions.
///
/// ```
/// use annals::{Append, Expected, NewEvent, Query, Position};
///
/// let append = Append::new([NewEvent::bytes("note.edited", "note/n-1", "text/plain", "B")])
///     .expect("note/n-1", Expected::Exactly(3))
///     .unless(Query::all().subject("note/n-1").types(["note.deleted"]), Position::new(17))
///     .key("edit-17");
/// assert_eq!(append.events().len(), 1);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Append {
    pub(crate) events: Vec<NewEvent>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) before: Option<Timestamp>,
    pub(crate) key: Option<String>,
    /// An import: reserved names are taken, and the frame says where it came from.
    pub(crate) imported: bool,
    /// The store itself appends it: reserved names are taken.
    pub(crate) reserved: bool,
    /// Times of an import that keeps them, one an event.
    pub(crate) recorded_at: Option<Vec<Timestamp>>,
    pub(crate) link: Option<Link>,
}

/// Appends that were handed in one behind the other and are done in that order: once one of them
/// has failed, none behind it is done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain {
    /// Written and read under the writer's lock, or by the thread that hands the appends in, about
    /// what it hands in itself; so no ordering is needed.
    broken: Arc<AtomicBool>,
}

impl Chain {
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    pub(crate) fn tear(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }
}

/// The place of an append in a chain.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) chain: Chain,
    /// Where its first event has to stand, where nothing else may come between.
    pub(crate) first: Option<Position>,
}

impl PartialEq for Link {
    fn eq(&self, other: &Link) -> bool {
        Arc::ptr_eq(&self.chain.broken, &other.chain.broken) && self.first == other.first
    }
}

impl Append {
    /// A batch of events, in this order.
    pub fn new(events: impl IntoIterator<Item = NewEvent>) -> Append {
        Append { events: events.into_iter().collect(), ..Append::default() }
    }

    /// Only if the subject's version is as expected, all earlier appends counted.
    #[must_use]
    pub fn expect(mut self, subject: impl Into<String>, expected: Expected) -> Append {
        self.conditions.push(Condition::Expect { subject: subject.into(), expected });
        self
    }

    /// Only if nothing that the query matches was appended after this position, which is the tail
    /// at the time of reading what the decision stands on. Direction and limit play no part.
    #[must_use]
    pub fn unless(mut self, query: Query, after: impl Into<Position>) -> Append {
        self.conditions.push(Condition::Unless { query: Arc::new(query), after: after.into() });
        self
    }

    /// The same with a query that many appends share.
    pub(crate) fn unless_any_of(mut self, query: &Arc<Query>, after: Position) -> Append {
        self.conditions.push(Condition::Unless { query: Arc::clone(query), after });
        self
    }

    /// Only if it would be recorded before this time.
    #[must_use]
    pub fn before(mut self, deadline: impl Into<Timestamp>) -> Append {
        let deadline = deadline.into();
        self.before = Some(self.before.map_or(deadline, |old| old.min(deadline)));
        self
    }

    /// An idempotency key: the same key with the same events is done once, however often it is
    /// asked for; with other events it is an error.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Append {
        self.key = Some(key.into());
        self
    }

    /// The events.
    #[must_use]
    pub fn events(&self) -> &[NewEvent] {
        &self.events
    }
}

impl From<NewEvent> for Append {
    fn from(event: NewEvent) -> Append {
        Append::new([event])
    }
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Appended {
    /// Position of the first event of the batch.
    pub first: Position,
    /// Position of the last event of the batch.
    pub last: Position,
    /// When the log took it.
    pub recorded_at: Timestamp,
    /// Whether it stood there before: its key had been used for the same events.
    pub duplicate: bool,
}
