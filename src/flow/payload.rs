//! What the events of a request's life carry. Each is a JSON object in the event's data, so that any program can read
//! why something was decided; fields that do not apply are left out.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::position::Position;
use crate::time::Timestamp;

/// Metadata of `requested`: until when somebody has to answer.
pub(crate) const ANSWER_BY: &str = "annals.answer_by";
/// Metadata of `requested`: until when it has to be done.
pub(crate) const EXECUTE_BY: &str = "annals.execute_by";
/// Metadata of `requested`: the version that the row had to have.
pub(crate) const IF_VERSION: &str = "annals.if_version";
/// Metadata of `requested`: the request whose change is to be undone.
pub(crate) const UNDOES: &str = "annals.undoes";

/// A person is asked.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) because: String,
    pub(crate) rule: String,
    /// Who is asked: `user:alice`, `editors`, `users`.
    pub(crate) whom: Vec<String>,
    /// Whether only those in `whom` may answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) only: bool,
    /// How many have to approve.
    pub(crate) needs: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer_by: Option<Timestamp>,
    pub(crate) digest: String,
    pub(crate) basis: Position,
    /// The change in the form that the table's rules gave it, where that is another than was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) change: Option<Box<RawValue>>,
}

/// It may be done.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Approved {
    /// The rule that decided, or `grant/ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grant: Option<Position>,
    /// The user who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    pub(crate) digest: String,
    pub(crate) basis: Position,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) execute_by: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) change: Option<Box<RawValue>>,
}

/// It may not, or not as it was asked for.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rejected {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    pub(crate) reason: String,
    /// The decider asks for something else instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) edited: bool,
}

/// Nobody answered in time.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Expired {
    pub(crate) answer_by: Timestamp,
}

/// Who asked, or who approved, no longer wants it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Withdrawn {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    /// Who asked asks for something else instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) amended: bool,
}

/// It could not be done.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Failed {
    pub(crate) reason: String,
}

/// What it was decided on has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StaleBecause {
    /// The subject was changed by another event.
    Basis,
    /// The grant was revoked or has run out.
    Grant,
    /// It was to be done by a time that has passed.
    Deadline,
}

impl std::fmt::Display for StaleBecause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            StaleBecause::Basis => "the subject has changed since",
            StaleBecause::Grant => "the grant it stood on is no longer good",
            StaleBecause::Deadline => "its deadline has passed",
        })
    }
}

/// See [`StaleBecause`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stale {
    pub(crate) because: StaleBecause,
    /// The event that stands against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<Position>,
}

/// Somebody tried what they may not.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Denied {
    pub(crate) attempt: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<Position>,
    pub(crate) reason: String,
}

/// A webhook is to be told of the event that caused this one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Deliver {
    /// The row of webhookSubscriptions, as a subject.
    pub(crate) subscription: String,
    pub(crate) url: String,
    /// Type and subject of the event; the event itself is the cause of this one.
    #[serde(rename = "type")]
    pub(crate) event_type: String,
    pub(crate) subject: String,
}
