//! Who may do what: the tables, policy, roles and grants of a store, as its events say.
//!
//! It is a fold of the events whose types are listed here, so every process sees the same, and a reader of the past
//! sees what was in force then. What was imported is history: of it, only tables count.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::grant::{GivenGrant, Grant};
use super::policy::RuleSet;
use crate::catalog::{Catalog, TABLE_ADDED, Table};
use crate::error::Result;
use crate::event::EventRef;
use crate::position::Position;
use crate::query::Query;
use crate::reader::Reader;

/// The rules by which requests are decided were set.
pub(crate) const POLICY_SET: &str = "annals.policy.set";
/// A user was given a role in a workspace, or lost it.
pub(crate) const ROLE_SET: &str = "annals.role.set";
/// An agent was given leave.
pub(crate) const GRANT_GIVEN: &str = "annals.grant.given";
/// It was taken back.
pub(crate) const GRANT_REVOKED: &str = "annals.grant.revoked";
/// Somebody tried what they may not.
pub(crate) const DENIED: &str = "annals.flow.denied";

/// The types that change who may do what.
pub(crate) const TYPES: [&str; 5] = [TABLE_ADDED, POLICY_SET, ROLE_SET, GRANT_GIVEN, GRANT_REVOKED];

/// What a user is in a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees; a request on what is another's is rejected.
    Viewer,
    /// Changes what is in the workspace.
    Editor,
    /// Does that and gives roles.
    Owner,
}

impl Role {
    /// As it stands in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Editor => "editor",
            Role::Owner => "owner",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Role> {
        [Role::Viewer, Role::Editor, Role::Owner].into_iter().find(|role| role.as_str() == name)
    }

    /// Whether who has it may change what is in the workspace.
    #[must_use]
    pub const fn may_edit(self) -> bool {
        matches!(self, Role::Editor | Role::Owner)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The data of [`ROLE_SET`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RoleSet {
    pub(crate) user: String,
    pub(crate) workspace: String,
    /// `None`: the user has none any more.
    pub(crate) role: Option<Role>,
}

/// The data of [`POLICY_SET`]: the one or the other.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct PolicySet {
    /// Rules as TOML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rules: Option<String>,
    /// The name of a policy that is code; `default` is the one that reads the rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
}

/// Who may do what, up to a position.
#[derive(Debug, Clone, Default)]
pub(crate) struct Authority {
    pub(crate) catalog: Catalog,
    pub(crate) rules: Arc<RuleSet>,
    /// The event that set the rules.
    pub(crate) rules_at: Position,
    /// The policy, where it is code and not the default one.
    pub(crate) code: Option<String>,
    /// Of each workspace, what its users are.
    pub(crate) roles: BTreeMap<String, BTreeMap<String, Role>>,
    pub(crate) grants: BTreeMap<Position, GivenGrant>,
}

impl Authority {
    /// What is in force in a reader's view. How often grants were used is left at what `used` says.
    pub(crate) fn of(reader: &Reader) -> Result<Authority> {
        let mut authority = Authority::default();
        reader.scan(&Query::all().types(TYPES), |event| {
            authority.take(&event);
            ControlFlow::Continue(())
        })?;
        Ok(authority)
    }

    /// Takes an event in; `false` if it has no part in this, or no force.
    pub(crate) fn take(&mut self, event: &EventRef<'_>) -> bool {
        if !TYPES.contains(&event.event_type()) || (event.is_imported() && event.event_type() != TABLE_ADDED) {
            return false;
        }
        // Only the store itself appends these, so what cannot be read was written by a newer version; it is passed
        // over as a table that cannot be is.
        self.take_known(event).unwrap_or(false)
    }

    fn take_known(&mut self, event: &EventRef<'_>) -> Result<bool> {
        match event.event_type() {
            TABLE_ADDED => self.catalog = self.catalog.clone().with(event.json::<Table>()?)?,
            POLICY_SET => {
                let set: PolicySet = event.json()?;
                if let Some(rules) = set.rules {
                    self.rules = Arc::new(RuleSet::parse(&rules)?);
                    self.rules_at = event.position();
                }
                if let Some(code) = set.code {
                    self.code = Some(code).filter(|code| code != super::policy::DEFAULT);
                }
            }
            ROLE_SET => {
                let set: RoleSet = event.json()?;
                let users = self.roles.entry(set.workspace).or_default();
                match set.role {
                    Some(role) => users.insert(set.user, role),
                    None => users.remove(&set.user),
                };
            }
            GRANT_GIVEN => {
                let grant: Grant = event.json()?;
                let by = event.actor().map_or(String::new(), |actor| actor.id().to_owned());
                let id = event.position();
                self.grants.insert(id, GivenGrant { id, grant, by, used: 0, revoked: None });
            }
            GRANT_REVOKED => {
                let grant = event.causation().and_then(|id| self.grants.get_mut(&id));
                grant.into_iter().for_each(|grant| grant.revoked = grant.revoked.or(Some(event.position())));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What a user is in a workspace.
    pub(crate) fn role(&self, workspace: &str, user: &str) -> Option<Role> {
        self.roles.get(workspace)?.get(user).copied()
    }

    /// Whether anybody has a role in a workspace.
    pub(crate) fn has_roles(&self, workspace: &str) -> bool {
        self.roles.get(workspace).is_some_and(|users| !users.is_empty())
    }
}
