//! What became of a request.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::payload::StaleBecause;
use super::request::RequestId;
use crate::catalog::Phase;
use crate::error::{Error, ErrorKind};
use crate::position::Position;
use crate::time::Timestamp;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Outcome {
    /// It was done.
    Validated {
        /// The event that did it.
        position: Position,
    },
    /// It may not be done.
    Rejected {
        /// Why.
        reason: String,
        /// Who said so: `user:alice`, or `rule default/not-theirs`.
        by: String,
    },
    /// It could not be done.
    Failed {
        /// Why.
        reason: String,
    },
    /// Nobody answered in time.
    Expired,
    /// Who asked, or who approved, no longer wants it.
    Withdrawn,
    /// What it was decided on has changed.
    Stale {
        /// What has.
        because: StaleBecause,
        /// The event that stands against it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<Position>,
    },
    /// It waits: to be decided, for an answer, or to be carried out.
    Pending,
}

impl Outcome {
    /// Whether nothing will follow.
    #[must_use]
    pub fn is_final(&self) -> bool {
        *self != Outcome::Pending
    }

    /// The phase that it is the outcome of; `None` while it waits.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        Some(match self {
            Outcome::Validated { .. } => Phase::Validated,
            Outcome::Rejected { .. } => Phase::Rejected,
            Outcome::Failed { .. } => Phase::Failed,
            Outcome::Expired => Phase::Expired,
            Outcome::Withdrawn => Phase::Withdrawn,
            Outcome::Stale { .. } => Phase::Stale,
            Outcome::Pending => return None,
        })
    }
}

/// An outcome's name and fields but the position, for JSON objects that tell the newest position of a request already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OutcomeFields<'a> {
    /// Its name: `validated`, `pending`.
    pub outcome: &'static str,
    /// Why it was rejected or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Who rejected it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<&'a str>,
    /// Why it is stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<StaleBecause>,
    /// The event that stands against it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Position>,
}

impl Outcome {
    /// Its name and fields, but for the position.
    #[must_use]
    pub fn fields(&self) -> OutcomeFields<'_> {
        let outcome = self.phase().map_or("pending", Phase::as_str);
        let mut fields = OutcomeFields { outcome, reason: None, by: None, because: None, event: None };
        match self {
            Outcome::Rejected { reason, by } => {
                fields.reason = Some(reason);
                fields.by = Some(by);
            }
            Outcome::Failed { reason } => fields.reason = Some(reason),
            Outcome::Stale { because, event } => (fields.because, fields.event) = (Some(*because), *event),
            _ => {}
        }
        fields
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Validated { position } => write!(f, "validated at position {position}"),
            Outcome::Rejected { reason, by } if reason.is_empty() => write!(f, "rejected by {by}"),
            Outcome::Rejected { reason, by } => write!(f, "rejected by {by}: {reason}"),
            Outcome::Failed { reason } => write!(f, "failed: {reason}"),
            Outcome::Expired => f.write_str("expired: nobody answered in time"),
            Outcome::Withdrawn => f.write_str("withdrawn"),
            Outcome::Stale { because, event: Some(event) } => write!(f, "stale: {because}, position {event}"),
            Outcome::Stale { because, event: None } => write!(f, "stale: {because}"),
            Outcome::Pending => f.write_str("pending"),
        }
    }
}

/// A request that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ticketed {
    /// Its number.
    pub request: RequestId,
    /// What it is about; of a new row, its id was generated if none was given.
    pub subject: String,
    /// The newest event of its life so far.
    pub position: Position,
    /// Whether it was made before, with the same key.
    pub duplicate: bool,
}

/// What an answer led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Answered {
    /// The request.
    pub request: RequestId,
    /// The newest event of its life.
    pub position: Position,
    /// What became of it; `Pending` if it was approved and is yet to be carried out.
    pub outcome: Outcome,
    /// The request that took its place, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Ticketed>,
}

/// Somebody else, or the clock, was first. The source of an [`Error`] of kind `Conflict`; see
/// [`Error::already_decided`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AlreadyDecided {
    /// Who decided: an actor, or the rule that did.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The event that decided it.
    pub position: Position,
    /// What was decided.
    pub outcome: Phase,
}

impl fmt::Display for AlreadyDecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {} at {}, position {}", self.outcome, self.by, self.at, self.position)
    }
}

impl std::error::Error for AlreadyDecided {}

impl AlreadyDecided {
    pub(crate) fn into_error(self, request: RequestId) -> Error {
        Error::new(ErrorKind::Conflict, format!("request {request} is decided already: {self}"))
            .hinting(format!("`annals trace STORE {request}` shows its whole life"))
            .caused_by(self)
    }
}

impl Error {
    /// Who decided a request first, where that is why this call failed.
    #[must_use]
    pub fn already_decided(&self) -> Option<&AlreadyDecided> {
        std::error::Error::source(self).and_then(|source| source.downcast_ref())
    }
}
