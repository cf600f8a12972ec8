//! What a peer is: a store that can do some of the work, and says which it cannot.

use std::path::Path;
use std::time::Duration;

use crate::event::{Event, View};

/// Why a peer did not do what it was asked.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// It has no such thing; the figure is a dash, and this is why.
    Unsupported(&'static str),
    /// A condition did not hold.
    Conflict,
    /// It tried and failed.
    Failed(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Failed(error.to_string())
    }
}

impl Failure {
    pub(crate) fn text(&self) -> String {
        match self {
            Failure::Unsupported(why) => format!("not there: {why}"),
            Failure::Conflict => "a conflict that should not be".to_owned(),
            Failure::Failed(why) => why.clone(),
        }
    }
}

pub(crate) type Outcome<T> = Result<T, Failure>;

/// What an acknowledged append has survived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Handed to the system at the least promise that the peer's documentation recommends.
    Written,
    /// Forced to the disk before the append returns.
    Durable,
}

/// What is known of a peer before it is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    pub(crate) name: &'static str,
    /// Its package, by which its version is found; empty for what is written here.
    pub(crate) package: &'static str,
    /// How it is set up where nothing is forced; `None`: it always forces.
    pub(crate) written: Option<&'static str>,
    /// How it is set up where each append is forced; `None`: it cannot.
    pub(crate) durable: Option<&'static str>,
    /// Which checks it makes when it reads.
    pub(crate) checks: &'static str,
    /// How events are laid out in it.
    pub(crate) layout: &'static str,
    /// Whether it keeps an index by subject, type and time.
    pub(crate) indexed: bool,
    pub(crate) open: fn(&Path, Durability) -> Outcome<Box<dyn Peer>>,
}

pub(crate) type Each<'a> = &'a mut dyn FnMut(View<'_>);

const NO_INDEX: Failure = Failure::Unsupported("a log without an index");
const NO_CONDITION: Failure = Failure::Unsupported("no conditional append");

/// An open peer. What it does not override it cannot do.
pub(crate) trait Peer: Send + Sync {
    /// Appends the batch as one, and returns once it is as durable as the peer was opened for.
    fn append(&self, events: &[Event]) -> Outcome<()>;

    /// Appends batch after batch with up to `in_flight` of them unacknowledged, until there is none, and returns once
    /// all are acknowledged. `None` from `next`: no more.
    fn pipelined(&self, _next: &mut dyn FnMut() -> Option<Event>, _in_flight: usize) -> Outcome<()> {
        Err(Failure::Unsupported("an append returns when it is durable, and not before"))
    }

    /// Gives every event, oldest first.
    fn replay(&self, each: Each<'_>) -> Outcome<()>;

    fn subject(&self, _subject: &str, _each: Each<'_>) -> Outcome<()> {
        Err(NO_INDEX)
    }

    fn kind(&self, _kind: &str, _each: Each<'_>) -> Outcome<()> {
        Err(NO_INDEX)
    }

    /// Turns numbers of synthetic events into the times that `window` takes.
    fn bounds(&self, first: u64, end: u64) -> Outcome<(i64, i64)> {
        Ok((crate::event::TIME + first as i64, crate::event::TIME + end as i64))
    }

    /// Events from the time `since`, up to but without the time `until`.
    fn window(&self, _since: i64, _until: i64, _each: Each<'_>) -> Outcome<()> {
        Err(NO_INDEX)
    }

    /// What `append_expecting` is to expect of this subject now.
    fn version(&self, _subject: &str) -> Outcome<u64> {
        Err(NO_CONDITION)
    }

    /// Appends the event if its subject is at this version.
    fn append_expecting(&self, _event: &Event, _version: u64) -> Outcome<()> {
        Err(NO_CONDITION)
    }

    /// The position that `append_unless` is to be given now.
    fn tail(&self) -> Outcome<u64> {
        Err(NO_CONDITION)
    }

    /// Appends the event if its subject has no event after this position.
    fn append_unless(&self, _event: &Event, _after: u64) -> Outcome<()> {
        Err(NO_CONDITION)
    }

    /// Events from now on, as they come.
    fn subscribe(&self) -> Outcome<Box<dyn Subscriber>> {
        Err(Failure::Unsupported("no subscription of its own"))
    }

    /// Packs what is packed later in use, so that sizes can be compared; bytes are not moved otherwise.
    fn pack(&self) -> Outcome<()> {
        Err(Failure::Unsupported("nothing is packed later"))
    }

    fn close(self: Box<Self>) -> Outcome<()>;
}

/// A live subscription.
pub(crate) trait Subscriber: Send {
    /// Waits until there is something, and gives it; gives nothing when the time is over.
    fn next(&mut self, timeout: Duration, each: Each<'_>) -> Outcome<()>;
}
