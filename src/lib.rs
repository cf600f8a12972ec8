//! An embeddable event store: one directory, one process that writes, no server.
//!
//! `annals` appends events to a log, proves that they are intact, and finds them again by subject, type, tag, actor
//! or time. An event is an immutable fact: a type, a subject (`kind/id`, what it is about), data, and who did it. It
//! gets a [`Position`] in the whole log and a version within its subject, both counted from 1 without gaps. Events are
//! appended in batches; a batch is visible whole or not at all.
//!
//! # What it is not
//!
//! - No server and no message broker. Other processes read the same directory; nothing goes over a network.
//! - No replication. A copy is made by [`Store::backup`] or by exporting.
//! - No place for documents. An event holds up to 16 MiB, and a few kilobytes are better.
//! - No way to change or delete an event.
//!
//! # Requested, approved, validated
//!
//! A [`Flow`] puts every change of a row through `requested -> approved -> validated`, each an event of the log: a user's
//! own goes straight through, an agent's waits for a person who approves the digest of what they saw, all else is decided
//! by rules. What has to happen outside is the work of a worker ([`Store::worker`]). `docs/flow.md` and `docs/guide.md`
//! tell more.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use annals::{Actor, Append, Expected, NewEvent, Query, StartAt, Store};
//! use serde_json::json;
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path();
//! let store = Store::open(path)?;
//! let note = NewEvent::json("note.created", "note/n-1", &json!({"content": "A"}))?.actor(Actor::user("alice"));
//! let done = store.append([note])?; // Returns when a power cut can no longer take it.
//!
//! // Only if nobody else has changed the note meanwhile.
//! let edit = NewEvent::json("note.edited", "note/n-1", &json!({"content": "B"}))?.caused_by(done.last);
//! store.append_with(Append::new([edit]).expect("note/n-1", Expected::Exactly(1)))?;
//!
//! for event in store.reader().read(&Query::all().subject("note/n-1")) {
//!     let event = event?;
//!     println!("{} version {}: {}", event.position(), event.version(), event.event_type());
//! }
//!
//! let mut edits = store.subscribe(Query::all().types(["note.edited"]), StartAt::After(done.last));
//! while let Some(batch) = edits.next_timeout(Duration::from_millis(10))? {
//!     println!("{} edits, read up to position {}", batch.len(), batch.through());
//! }
//! store.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to begin
//!
//! | to | see |
//! |---|---|
//! | open, append, close | [`Store`], [`Options`], [`Durability`] |
//! | say what to append | [`NewEvent`], [`Actor`]; [`Append`] and [`Expected`] for conditions, deadlines and idempotency keys |
//! | append without waiting | [`Store::submit`], [`Ticket`] (a `Future` that needs no runtime) |
//! | read | [`Reader`], [`Query`], [`EventRef`] (borrows), [`Event`] (owns) |
//! | ask in SQL | `Store::sql`, `Rows`, `SqlValue` (feature `sqlite`) |
//! | look at a past moment | [`Reader::as_of`], [`AsOf`] |
//! | know what a subject came to | [`Reader::load`] with a [`State`] of yours, [`Reader::document`] for JSON, [`Document`] |
//! | follow | [`Store::subscribe`], [`Subscription`], [`StartAt`] |
//! | keep a read model up | [`Store::project`], [`Projection`], [`MemoryProjection`], `SqliteProjection` |
//! | do something for every event, once a step, over crashes | [`Store::worker`], [`Step`], [`Permanent`], [`WorkerHandle`]; [`Store::workers`], [`Store::parked`], [`Store::retry`], [`Store::skip`] |
//! | give event types a table | [`Store::add_table`], [`Catalog`], [`Table`] |
//! | ask in SQL, or for words | `Store::sql`, `Store::project_tables` (feature `sqlite`) |
//! | bring a history from elsewhere, or take one out | [`Store::import`], [`ImportEvent`], [`write_event`] |
//! | check, repair, measure | [`Store::recovery`], [`Store::verify`], [`Store::repair`], [`Store::stats`], [`Store::metrics`]; [`inspect()`] for any one file |
//! | prove later, elsewhere, that nothing was changed | [`Store::head`], [`Store::verify_against`], [`Store::receipt`], [`Receipt`] |
//! | keep a copy, and come back to it | [`Store::backup`], [`Store::restore`] |
//! | know what went wrong | [`Error`] and its [`ErrorKind`], [`AppendError`], [`Corruption`] |
//! | know the limits and why they are so | [`limits`] |
//!
//! # Guarantees in short
//!
//! `docs/guarantees.md` has them with the test that proves each.
//!
//! 1. What a [`Durability::Synced`] store acknowledged is there after any crash: whole batches, no gap, the same bytes.
//! 2. Nobody sees an event of a `Synced` store that a power cut can still take away.
//! 3. Only what looks like the tear of an interrupted write is ever cut. It is kept under `quarantine/` and reported in
//!    [`Recovery`]. Anything else is an error that names file, offset and positions, and nothing is changed.
//! 4. A flipped bit, a cut, zeroed or swapped piece, an exchanged or deleted file is detected or harmless. It never
//!    gives a wrong, missing or extra event in silence.
//! 5. Derived files (indexes, stored states) are made again when they are missing or damaged. They are never a reason to delete
//!    events.
//! 6. Positions that a reader of a `Synced` store saw are never used again. Where a [`Durability::Written`] store lost
//!    some with the power, they are used again under another epoch, and a subscription of another process that stood
//!    beyond them reports `Diverged`.
//! 7. Hostile bytes cost an error. They cause no panic, and no allocation on the word of an unchecked length.
//!
//! # Caveats
//!
//! | do not | else | instead |
//! |---|---|---|
//! | open a store for writing twice, in one process or two | the second gets `Locked` and is told who holds it | clone the [`Store`], or open with [`Options::read_only`] |
//! | block an async task: `append`, `sync`, `verify`, `close`, `next_timeout` and reading all block | the executor's thread stands still | [`Store::submit`] for appends, a blocking thread for the rest |
//! | truncate or overwrite files of the store while it is open | a process that has mapped the file may be killed by the system (`SIGBUS`), or read damage | leave the directory to the store |
//! | expect an error where the disk cannot be read: queries read through mappings | the system ends the process (`SIGBUS`); the store is unharmed | [`Store::verify`], which reads with plain reads and names the place |
//! | copy the directory while it is being written | the copy holds files of different moments, and opening it may report corruption | [`Store::backup`], or a snapshot of the file system (which is like a power cut) |
//! | put the store on a network file system | locks, mappings and syncs do not mean there what they must; opening is refused | a local disk |
//! | rely on a worker's closure to run once | it is run again after an error, a sleep, a crash | put what must happen once into [`Step::run`] or [`Step::append`], and give other systems a key of yours |
//! | append in a child of `fork` | every append there is refused | fork first, open then |
//! | go on after `Poisoned` | every append is refused: a sync failed, and trying again would prove nothing | close, look at the disk, open again; recovery says what survived |
//! | act on an event of a `Written` store that must not be lost | a power cut may take it after you acted | wait until [`Reader::durable`] has passed it, or call [`Store::sync`] |
//! | go on from a position of a `Written` store that you wrote down yourself | after power loss another event may stand there | write down [`Reader::fingerprint`] beside it and compare |
//! | take an event's id for unique, or a time for the order | two events may share either | the position |
//! | keep a [`Reader`] to see what is new | it sees the log as it was when it was made | make another (it is cheap), or subscribe |
//! | let somebody you do not trust write to the directory | the checks find accidents, not forgers | permissions (files are made 0600, directories 0700), and a [`Head`] that is kept elsewhere |
//!
//! # Features
//!
//! `cli` (on by default) builds the `annals` command; `sqlite` (on by default) answers SQL, keeps read models in SQLite
//! and brings SQLite itself; `bincode` (on by default) stores states in a compact form instead of JSON. An embedder takes
//! `default-features = false` and gets a small tree with no C but zstd. `tracing` tells what happens in the background to
//! a subscriber of that crate. `sim` gives a simulated disk for crash tests; it is not part of the stable interface.
//!
//! The library starts at most six threads a store, one a projection, one a statement of SQL, one or two for a flow (and
//! one for each program that asks at its control socket), and for a worker one and as many as it runs events at once; it
//! prints nothing, installs no signal handler and never ends the process. How it works inside is told in `docs/architecture.md`, what stands in the files in `docs/format.md`.

mod actor;
mod append;
mod archive;
mod backup;
mod boundary;
pub mod catalog;
mod checkpoint;
mod describe;
mod error;
mod event;
mod feed;
mod flow;
mod format;
#[cfg(any(fuzzing, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod head;
mod import;
mod inspect;
#[doc(hidden)]
pub mod io;
mod json;
pub mod limits;
mod log;
mod metrics;
#[cfg(any(annals_loom, annals_shuttle))]
#[doc(hidden)]
#[path = "../models/src/mod.rs"]
pub mod models;
mod options;
mod position;
mod projection;
mod query;
mod reader;
mod receipt;
mod repair;
mod report;
mod restore;
mod segment;
mod snapshot;
#[cfg(feature = "sqlite")]
mod sql;
mod store;
pub mod subject;
mod sync;
mod table_events;
pub mod time;
mod trace;
#[cfg(test)]
mod trials;
mod verify;
mod worker;

pub use actor::{Actor, ActorKind, ActorRef};
pub use append::{Append, Appended, Expected};
pub use catalog::{Action, Catalog, Phase, Table, types};
pub use checkpoint::Checkpoint;
pub use error::{AppendError, BoxError, Corruption, Error, ErrorKind, Result};
pub use event::{Event, EventRef, LogId, NewEvent};
pub use feed::{Batch, StartAt, Subscription};
pub use flow::{
    AlreadyDecided, Answered, Asks, Change, Command, Deadline, Decision, DefaultPolicy, Explanation, Flow, FlowBuilder,
    GivenGrant, Grant, GrantId, NoteRules, Outcome, OutcomeFields, Page, Pending, Policy, PolicyDifference,
    PolicyInForce, PolicyTest, Proposal, Proposer, Refusal, Reply, Request, RequestEntry, RequestId, Role, RoleEntry,
    Rule, RuleSet, Rules, SecretRules, StaleBecause, Then, Ticketed, Trace, Verdict,
};
pub use head::{Against, Head};
pub use import::{ImportOptions, ImportReport};
pub use inspect::{
    BlockView, FieldView, FileKind, FileView, FrameView, FramesView, IndexView, InspectOptions, Inspection, KnownBy,
    PageState, PageView, Problem, SealedView, SectionView, SnapshotView, SnapshotsView, TierSummary, WorkerFileView,
    WorkerFrameView, inspect,
};
pub use json::{Document, FieldChange, ImportCause, ImportEvent, NotAnObject, write_event};
pub use log::commit::Ticket;
pub use options::{Durability, Options};
pub use position::{Position, PositionError};
pub use projection::{Home, MemoryProjection, Projection, ProjectionHandle, ProjectionState, ProjectionStatus};
#[cfg(feature = "sqlite")]
pub use projection::{SqlFold, SqliteProjection, TableCheck, Tables};
pub use query::plan::Plan;
pub use query::{Query, TypePattern};
pub use reader::{AsOf, Events, Reader};
pub use receipt::Receipt;
pub use report::{
    Archived, Backup, Cut, Form, Progress, Recovery, Repair, RepairOptions, Restored, Sealed, SegmentInfo, Stats,
    Verification,
};
pub use snapshot::{Folded, Loaded, State};
#[cfg(feature = "sqlite")]
pub use sql::{Interrupter, Row, Rows, SqlParams, SqlTx, SqlValue};
pub use store::Store;
pub use time::Timestamp;
pub use worker::{
    Parked, Permanent, Step, WaitingEvent, WorkerBuilder, WorkerDecision, WorkerHandle, WorkerInfo, WorkerState,
    WorkerStatus, permanent,
};

/// Simulated disks and clocks, for crash tests of this crate and of programs built on it.
#[cfg(any(test, feature = "sim"))]
#[doc(hidden)]
pub mod sim {
    pub use crate::io::sim::*;
    pub use crate::io::{Clock, Entry, File, FsKind, LockGuard, ManualClock, Mapping, Meta, Mode, Storage, Words};
}
