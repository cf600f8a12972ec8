//! annals

mod actor;
mod append;
mod describe;
mod error;
mod event;
mod feed;
mod format;
#[doc(hidden)]
pub mod io;
mod json;
pub mod limits;
mod log;
mod options;
mod position;
mod query;
mod reader;
mod repair;
mod report;
mod segment;
mod store;
mod stub;
pub use stub::*;
pub mod subject;
pub mod time;
mod verify;

pub use actor::{Actor, ActorKind, ActorRef};
pub use append::{Append, Appended, Expected};
pub use error::{AppendError, BoxError, Corruption, Error, ErrorKind, Result};
pub use event::{Event, EventRef, LogId, NewEvent};
pub use feed::{Batch, StartAt, Subscription};
pub use json::{ImportCause, ImportEvent, write_event};
pub use log::commit::Ticket;
pub use options::{Durability, Options};
pub use position::{Position, PositionError};
pub use query::plan::Plan;
pub use query::{Query, TypePattern};
pub use reader::{AsOf, Events, Reader};
pub use report::{Cut, Form, Progress, Recovery, Repair, RepairOptions, SegmentInfo, Stats, Verification};
pub use store::Store;
pub use time::Timestamp;

/// Simulated disks and clocks, for crash tests of this crate and of programs built on it.
#[cfg(any(test, feature = "sim"))]
#[doc(hidden)]
pub mod sim {
    pub use crate::io::sim::*;
    pub use crate::io::{Clock, Entry, File, FsKind, LockGuard, ManualClock, Meta, Mode, Storage};
}
