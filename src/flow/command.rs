//! What can be asked of a flow, as values: so that a program beside the one that runs the flow can ask over its control
//! socket, and gets the same answers as within it.

use serde::{Deserialize, Serialize};

use super::Flow;
use super::authority::Role;
use super::grant::{Grant, GrantId};
use super::outcome::{Answered, Outcome, Ticketed};
use super::request::{Request, RequestId};
use crate::actor::Actor;
use crate::append::{Append, Appended, Expected};
use crate::catalog::Table;
use crate::error::{Error, Result};
use crate::json::ImportEvent;
use crate::position::Position;

/// Something that is asked of a flow; [`Flow::run`] does it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Command {
    /// [`Flow::request`].
    Request {
        /// What is wanted.
        request: Box<Request>,
    },
    /// [`Flow::approve`].
    Approve {
        /// Which one.
        request: RequestId,
        /// The digest of what was seen.
        seen: String,
        /// Who approves.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// [`Flow::reject`].
    Reject {
        /// Which one.
        request: RequestId,
        /// Who rejects.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// [`Flow::withdraw`].
    Withdraw {
        /// Which one.
        request: RequestId,
        /// Who takes it back.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// [`Flow::amend`].
    Amend {
        /// Which one.
        request: RequestId,
        /// Who wants something else.
        by: Actor,
        /// The object or the merge patch that takes its place, as JSON.
        data: String,
        /// Why.
        reason: String,
    },
    /// [`Flow::undo`].
    Undo {
        /// Which one.
        request: RequestId,
        /// Who wants it undone.
        by: Actor,
    },
    /// [`Flow::grant`].
    Grant {
        /// What is granted.
        grant: Grant,
        /// Who grants it.
        by: Actor,
    },
    /// [`Flow::revoke`].
    Revoke {
        /// Which one.
        grant: GrantId,
        /// Who takes it back.
        by: Actor,
    },
    /// [`Flow::set_role`]; without a role [`Flow::remove_role`].
    SetRole {
        /// Whose role.
        user: String,
        /// Where.
        workspace: String,
        /// What they are from now on.
        role: Option<Role>,
        /// Who says so.
        by: Actor,
    },
    /// [`Flow::set_policy`].
    SetPolicy {
        /// Rules as TOML.
        rules: String,
        /// Who sets them.
        by: Actor,
    },
    /// [`Store::add_table`](crate::Store::add_table).
    AddTable {
        /// The table.
        table: Table,
        /// Who adds it.
        by: Actor,
    },
    /// [`Store::retry`](crate::Store::retry).
    Retry {
        /// The worker.
        worker: String,
        /// The event that it parked.
        position: Position,
        /// Who says so.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// [`Store::skip`](crate::Store::skip).
    Skip {
        /// The worker.
        worker: String,
        /// The event that it parked.
        position: Position,
        /// Who says so.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// [`Store::append_with`](crate::Store::append_with), one event.
    Append {
        /// The event, as a line that an import takes.
        event: String,
        /// What caused it.
        caused_by: Option<Position>,
        /// The version that its subject has to have.
        expect: Option<Expected>,
        /// The idempotency key.
        key: Option<String>,
    },
}

/// What came of a [`Command`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reply {
    /// A request was made.
    Made {
        /// Which one.
        ticketed: Ticketed,
        /// What has become of it by now.
        outcome: Outcome,
    },
    /// A request was answered.
    Answered {
        /// What it led to.
        answered: Answered,
    },
    /// It is done: the event that says so.
    Done {
        /// Its position.
        position: Position,
    },
    /// An event was appended.
    Appended {
        /// Where.
        appended: Appended,
    },
}

impl Flow {
    /// Does what a command says.
    ///
    /// # Errors
    /// As the method that the command names.
    pub fn run(&self, command: &Command) -> Result<Reply> {
        let made = |ticketed: Ticketed| {
            let outcome = self.outcome(ticketed.request, std::time::Duration::ZERO)?;
            Ok(Reply::Made { ticketed, outcome })
        };
        let answered = |answered| Ok(Reply::Answered { answered });
        let done = |position| Ok(Reply::Done { position });
        match command.clone() {
            Command::Request { request } => made(self.request(*request)?),
            Command::Approve { request, seen, by, reason } => answered(self.approve(request, seen, by, reason)?),
            Command::Reject { request, by, reason } => answered(self.reject(request, by, reason)?),
            Command::Withdraw { request, by, reason } => answered(self.engine.withdraw(request, &by, &reason)?),
            Command::Amend { request, by, data, reason } => {
                answered(self.engine.amend(request, &by, data.as_bytes(), &reason)?)
            }
            Command::Undo { request, by } => made(self.undo(request, by)?),
            Command::Grant { grant, by } => done(self.grant(grant, by)?),
            Command::Revoke { grant, by } => done(self.revoke(grant, by)?),
            Command::SetRole { user, workspace, role: Some(role), by } => {
                done(self.set_role(user, workspace, role, by)?)
            }
            Command::SetRole { user, workspace, role: None, by } => done(self.remove_role(user, workspace, by)?),
            Command::SetPolicy { rules, by } => done(self.set_policy(&rules, by)?),
            Command::AddTable { table, by } => done(self.store().add_table(table, by)?),
            Command::Retry { worker, position, by, reason } => {
                self.store().retry(&worker, position, by, &reason)?;
                done(position)
            }
            Command::Skip { worker, position, by, reason } => {
                self.store().skip(&worker, position, by, &reason)?;
                done(position)
            }
            Command::Append { event, caused_by, expect, key } => {
                let event = ImportEvent::from_json(event.as_bytes())?.event().clone();
                let event = caused_by.into_iter().fold(event, |event, cause| event.caused_by(cause));
                let subject = event.subject().to_owned();
                let mut append = Append::new([event]);
                if let Some(expected) = expect {
                    append = append.expect(subject, expected);
                }
                if let Some(key) = key {
                    append = append.key(key);
                }
                let appended = self.store().append_with(append).map_err(Error::from)?;
                Ok(Reply::Appended { appended })
            }
        }
    }
}
