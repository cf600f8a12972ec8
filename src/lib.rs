//! annals

mod actor;
mod error;
mod event;
mod format;
mod io;
pub mod limits;
mod position;
mod query;
mod segment;
mod subject;
mod time;

pub use actor::{Actor, ActorKind, ActorRef};
pub use error::{AppendError, BoxError, Corruption, Error, ErrorKind, Result};
pub use event::{Event, EventRef, LogId, NewEvent};
pub use position::Position;
pub use query::{Query, TypePattern};
pub use time::Timestamp;
