//! Terms: the indexed values of an event, as 64-bit hashes. A hash narrows a search, it is never
//! identity: whoever finds one compares the bytes it stands for.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::actor::ActorKind;
use crate::event::{EventRef, LogId};

/// What a term is a value of. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Dimension {
    Subject = 1,
    Kind = 2,
    Type = 3,
    Tag = 4,
    /// Kind and id.
    Actor = 5,
    OnBehalfOf = 6,
    Source = 7,
    Correlation = 8,
    /// The position of the cause, 8 bytes.
    Causation = 9,
    /// An id that the producer gave.
    Id = 10,
    /// An idempotency key.
    Key = 11,
}

/// Hashes the terms of one log: a chosen collision in one log is none in another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TermHasher {
    seed: u64,
}

impl TermHasher {
    pub(crate) fn new(log: LogId) -> TermHasher {
        TermHasher { seed: xxh3_64(&log.0) }
    }

    /// `xxh3-64(value, seed = xxh3-64(log id) + dimension * 0x9E3779B97F4A7C15)`.
    pub(crate) fn hash(self, dimension: Dimension, value: &[u8]) -> u64 {
        xxh3_64_with_seed(value, self.seed.wrapping_add((dimension as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    pub(crate) fn subject(self, subject: &str) -> u64 {
        self.hash(Dimension::Subject, subject.as_bytes())
    }

    /// An actor of one kind: the hash of its id, moved by the code of the kind.
    pub(crate) fn actor(self, kind: ActorKind, id: &str) -> u64 {
        self.hash(Dimension::Actor, id.as_bytes())
            .wrapping_add(u64::from(kind.code()).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// Calls `each` with every term of the event but its subject, id and key.
    pub(crate) fn terms(self, event: &EventRef<'_>, mut each: impl FnMut(Dimension, u64)) {
        let mut text = |dimension, value: Option<&str>| {
            if let Some(value) = value {
                each(dimension, self.hash(dimension, value.as_bytes()));
            }
        };
        text(Dimension::Kind, Some(event.kind()));
        text(Dimension::Type, Some(event.event_type()));
        text(Dimension::OnBehalfOf, event.on_behalf_of());
        text(Dimension::Source, event.source());
        text(Dimension::Correlation, event.correlation());
        event.tags().for_each(|tag| text(Dimension::Tag, Some(tag)));
        if let Some(actor) = event.actor() {
            each(Dimension::Actor, self.actor(actor.kind(), actor.id()));
        }
        if let Some(cause) = event.causation() {
            each(Dimension::Causation, self.hash(Dimension::Causation, &cause.get().to_le_bytes()));
        }
    }
}
