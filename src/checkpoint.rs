//! How far a consumer has come, and which history it saw up to there.

use std::fmt;

use crate::position::Position;

/// A consumer's durable place in the log: everything up to the position was dealt with, and the event there was the
/// one of this epoch and fingerprint. After a power cut a `Written` store may hold another event at the same position;
/// the fingerprint is what tells.
///
/// [`Batch::checkpoint`](crate::Batch::checkpoint) makes one, [`StartAt::Checkpoint`](crate::StartAt) goes on from it,
/// [`Reader::holds`](crate::Reader::holds) compares it with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Checkpoint {
    /// Everything up to here was dealt with; [`Position::ORIGIN`] if nothing was.
    pub position: Position,
    /// The epoch of the event there; 0 at the origin.
    pub epoch: u64,
    /// The first 16 bytes of that event's leaf in the tree over the history; zeros at the origin.
    pub fingerprint: [u8; 16],
}

impl Checkpoint {
    /// Before every event.
    pub const ORIGIN: Checkpoint = Checkpoint { position: Position::ORIGIN, epoch: 0, fingerprint: [0; 16] };
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "position {}, epoch {}, fingerprint ", self.position, self.epoch)?;
        self.fingerprint.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
