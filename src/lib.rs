//! annals: an embeddable event store. One directory, one process, no server.

pub mod limits;
mod position;
pub mod subject;

pub use position::{Position, PositionError};
