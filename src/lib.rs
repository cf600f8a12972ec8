//! annals: an embeddable event store. One directory, one process, no server.

pub mod limits;
mod position;
pub mod subject;
pub mod time;

pub use position::{Position, PositionError};
pub use time::Timestamp;
