//! annals

mod actor;
mod append;
mod error;
mod event;
mod feed;
mod format;
mod io;
pub mod json;
pub mod limits;
mod log;
mod options;
mod position;
mod query;
mod reader;
mod report;
mod segment;
mod store;
mod stub;
pub use stub::*;
pub mod subject;
pub mod time;

pub use actor::{Actor, ActorKind, ActorRef};
pub use append::{Append, Appended, Expected};
pub use error::{AppendError, BoxError, Corruption, Error, ErrorKind, Result};
pub use event::{Event, EventRef, LogId, NewEvent};
pub use feed::{Batch, StartAt, Subscription};
pub use json::{ImportCause, ImportEvent, write_event};
pub use log::commit::Ticket;
pub use options::{Durability, Options};
pub use position::Position;
pub use query::{Plan, Query, TypePattern};
pub use reader::{AsOf, Events, Reader};
pub use report::*;
pub use store::Store;
pub use time::Timestamp;
