//! annals

mod actor;
mod append;
mod error;
mod event;
mod format;
mod io;
pub mod limits;
mod options;
mod position;
mod query;
mod report;
mod stub;
pub use stub::*;
mod store;
pub mod subject;
pub mod time;

pub use actor::{Actor, ActorKind, ActorRef};
pub use append::{Append, Appended, Expected};
pub use error::{AppendError, BoxError, Corruption, Error, ErrorKind, Result};
pub use event::{Event, EventRef, LogId, NewEvent};
pub use options::{Durability, Options};
pub use position::Position;
pub use query::{Query, TypePattern};
pub use report::*;
pub use store::Store;
pub use time::Timestamp;
