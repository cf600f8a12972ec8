//! Grants: what a user lets an agent do without asking each time.

use serde::{Deserialize, Serialize};

use super::pattern::{Glob, is_action};
use crate::catalog::{Action, Table};
use crate::error::{Error, Result};
use crate::limits;
use crate::position::Position;
use crate::time::Timestamp;

/// What a user lets an agent do without being asked each time: as far as that user could approve it, until it runs
/// out, is used up or is revoked.
///
/// ```
/// use annals::{Grant, Timestamp};
///
/// let grant = Grant::to("scribe").action("notes.update").subject("note/*").uses(20).until(Timestamp::now());
/// assert_eq!(grant.agent(), "scribe");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    agent: String,
    #[serde(default = "anything")]
    action: String,
    #[serde(default = "any_subject")]
    subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uses: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

fn anything() -> String {
    "**".to_owned()
}

fn any_subject() -> String {
    "*".to_owned()
}

impl Grant {
    /// For the agent of this id, any action on any subject, without end; narrow it.
    #[must_use]
    pub fn to(agent: impl Into<String>) -> Grant {
        Grant { agent: agent.into(), action: anything(), subject: any_subject(), uses: None, until: None }
    }

    /// Only for actions that match: `notes.update`, `notes.*`.
    #[must_use]
    pub fn action(mut self, pattern: impl Into<String>) -> Grant {
        self.action = pattern.into();
        self
    }

    /// Only for subjects that match, where `*` stands for any characters: `note/*`.
    #[must_use]
    pub fn subject(mut self, pattern: impl Into<String>) -> Grant {
        self.subject = pattern.into();
        self
    }

    /// Only so many times.
    #[must_use]
    pub fn uses(mut self, uses: u64) -> Grant {
        self.uses = Some(uses);
        self
    }

    /// Only before this time.
    #[must_use]
    pub fn until(mut self, time: impl Into<Timestamp>) -> Grant {
        self.until = Some(time.into());
        self
    }

    /// The id of the agent.
    #[must_use]
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// The pattern of its actions.
    #[must_use]
    pub fn action_pattern(&self) -> &str {
        &self.action
    }

    /// The pattern of its subjects.
    #[must_use]
    pub fn subject_pattern(&self) -> &str {
        &self.subject
    }

    /// How often it may be used; `None` is without end.
    #[must_use]
    pub fn uses_max(&self) -> Option<u64> {
        self.uses
    }

    /// When it runs out.
    #[must_use]
    pub fn runs_out(&self) -> Option<Timestamp> {
        self.until
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.agent.is_empty() || self.agent.len() > limits::ACTOR_BYTES_MAX {
            return Err(Error::invalid("a grant names the agent that it is for"));
        }
        if self.action.is_empty() || self.action.len() > limits::TYPE_BYTES_MAX {
            return Err(Error::invalid("a grant names the actions that it is for, such as notes.update or notes.*"));
        }
        if self.subject.is_empty() || self.subject.len() > limits::SUBJECT_BYTES_MAX {
            return Err(Error::invalid("a grant names the subjects that it is for, such as note/*"));
        }
        if self.uses == Some(0) {
            return Err(Error::invalid("a grant of no uses grants nothing"));
        }
        Ok(())
    }

    fn covers(&self, agent: &str, table: &Table, action: Action, subject: &str) -> bool {
        self.agent == agent && is_action(&self.action, table, action) && Glob::new(&self.subject).matches(subject)
    }
}

/// A grant that stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GivenGrant {
    /// Its number: the position of the event that gave it.
    pub id: GrantId,
    /// What it allows.
    #[serde(flatten)]
    pub grant: Grant,
    /// The user who gave it.
    pub by: String,
    /// How often it was used.
    pub used: u64,
    /// The event that revoked it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Position>,
}

/// The number of a grant: the position of the event that gave it.
pub type GrantId = Position;

impl GivenGrant {
    /// Whether it covers an action on a subject by an agent at a time.
    pub(crate) fn covers(&self, agent: &str, table: &Table, action: Action, subject: &str, now: Timestamp) -> bool {
        self.is_live(now) && self.grant.covers(agent, table, action, subject)
    }

    /// Whether it can still be used at a time.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.is_good(now) && self.grant.uses.is_none_or(|uses| self.used < uses)
    }

    /// Whether what was approved under it may still be carried out.
    pub(crate) fn is_good(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.grant.until.is_none_or(|until| now < until)
    }
}
