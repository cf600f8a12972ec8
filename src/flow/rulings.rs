//! What changes who may do what: grants, roles, rules.

use serde::Serialize;

use super::Flow;
use super::answer::{Denial, Ruling};
use super::authority::{GRANT_GIVEN, GRANT_REVOKED, POLICY_SET, PolicySet, ROLE_SET, Role, RoleSet};
use super::grant::{GivenGrant, Grant, GrantId};
use super::policy::RuleSet;
use super::policy_test::PolicyTest;
use crate::actor::{Actor, ActorKind};
use crate::error::{Error, Result};
use crate::limits;
use crate::position::Position;

/// What a user is in a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RoleEntry {
    /// The workspace.
    pub workspace: String,
    /// The user.
    pub user: String,
    /// What they are.
    pub role: Role,
}

/// The policy that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PolicyInForce {
    /// Its name, where it is code and not the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The rules as they were set, TOML; empty if none were.
    pub rules: String,
    /// The event that set them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

fn not_a_user(by: &Actor, attempt: &'static str) -> Denial {
    Denial { attempt, request: None, reason: format!("{by} is no user") }
}

impl Flow {
    /// Lets an agent do something without asking each time, as far as this user could approve it.
    ///
    /// # Errors
    /// `Denied` unless a user does it, and that is written down; `Invalid` for a grant that grants nothing; whatever an
    /// append can meet.
    pub fn grant(&self, grant: Grant, by: Actor) -> Result<GrantId> {
        grant.check()?;
        self.engine.rule(&by, GRANT_GIVEN, |_| {
            if by.kind() != ActorKind::User {
                return Ok(Err(not_a_user(&by, "give grants")));
            }
            let subject = format!("annals.grant/{}", grant.agent());
            Ok(Ok(Ruling { subject, data: grant.clone(), cause: None }))
        })
    }

    /// Takes a grant back. What was approved under it and is not done yet becomes stale. Any user may: it only takes
    /// power away, and the log says who did.
    ///
    /// # Errors
    /// `NotFound` if there is no such grant; `Conflict` if it was taken back already; `Denied` unless a user does it.
    pub fn revoke(&self, grant: impl Into<GrantId>, by: Actor) -> Result<Position> {
        let id = grant.into();
        self.engine.rule(&by, GRANT_REVOKED, |look| {
            if by.kind() != ActorKind::User {
                return Ok(Err(not_a_user(&by, "revoke grants")));
            }
            let Some(given) = look.index.authority.grants.get(&id) else {
                return Err(Error::not_found(format!("no grant has the number {id}"))
                    .hinting("`annals grant STORE list` lists them"));
            };
            if let Some(position) = given.revoked {
                let text = format!("grant {id} was revoked already, position {position}");
                return Err(Error::new(crate::error::ErrorKind::Conflict, text));
            }
            let subject = format!("annals.grant/{}", given.grant.agent());
            Ok(Ok(Ruling { subject, data: serde_json::json!({ "grant": id }), cause: Some(id) }))
        })
    }

    /// All grants that were given, oldest first.
    ///
    /// # Errors
    /// `Corruption`, `Io`, `Closed`.
    pub fn grants(&self) -> Result<Vec<GivenGrant>> {
        self.engine.look(|look| Ok(look.index.authority.grants.values().cloned().collect()))
    }

    /// Gives a user a role in a workspace. The first role of a workspace may be given by any user, all others by its
    /// owners.
    ///
    /// # Errors
    /// `Denied` for others, and that is written down; `Invalid` for an empty name; whatever an append can meet.
    pub fn set_role(
        &self,
        user: impl Into<String>,
        workspace: impl Into<String>,
        role: Role,
        by: Actor,
    ) -> Result<Position> {
        self.change_role(user.into(), workspace.into(), Some(role), &by)
    }

    /// Takes a user's role in a workspace away.
    ///
    /// # Errors
    /// As [`Flow::set_role`]; `Conflict` for the last owner of a workspace where others have roles.
    pub fn remove_role(&self, user: impl Into<String>, workspace: impl Into<String>, by: Actor) -> Result<Position> {
        self.change_role(user.into(), workspace.into(), None, &by)
    }

    fn change_role(&self, user: String, workspace: String, role: Option<Role>, by: &Actor) -> Result<Position> {
        for (what, name) in [("user", &user), ("workspace", &workspace)] {
            if name.is_empty() || name.len() > limits::ACTOR_BYTES_MAX {
                return Err(Error::invalid(format!("{name:?} is no name of a {what}")));
            }
        }
        self.engine.rule(by, ROLE_SET, |look| {
            let authority = &look.index.authority;
            let denied = |reason: String| Ok(Err(Denial { attempt: "set roles", request: None, reason }));
            if by.kind() != ActorKind::User {
                return Ok(Err(not_a_user(by, "set roles")));
            }
            if authority.has_roles(&workspace) && authority.role(&workspace, by.id()) != Some(Role::Owner) {
                return denied(format!("only owners of workspace {workspace} give roles in it"));
            }
            let owners = authority.roles.get(&workspace).map_or(0, |users| {
                users.iter().filter(|(name, known)| **known == Role::Owner && **name != user).count()
            });
            let others =
                authority.roles.get(&workspace).map_or(0, |users| users.keys().filter(|name| **name != user).count());
            if owners == 0
                && others > 0
                && role != Some(Role::Owner)
                && authority.role(&workspace, &user) == Some(Role::Owner)
            {
                let text = format!("{user} is the last owner of workspace {workspace}");
                return Err(
                    Error::new(crate::error::ErrorKind::Conflict, text).hinting("make somebody else owner first")
                );
            }
            let subject = format!("annals.role/{workspace}");
            let data = RoleSet { user: user.clone(), workspace: workspace.clone(), role };
            Ok(Ok(Ruling { subject, data, cause: None }))
        })
    }

    /// The roles of all workspaces.
    ///
    /// # Errors
    /// `Corruption`, `Io`, `Closed`.
    pub fn roles(&self) -> Result<Vec<RoleEntry>> {
        self.engine.look(|look| {
            let all = look.index.authority.roles.iter().flat_map(|(workspace, users)| {
                users.iter().map(|(user, role)| RoleEntry {
                    workspace: workspace.clone(),
                    user: user.clone(),
                    role: *role,
                })
            });
            Ok(all.collect())
        })
    }

    /// Sets the rules by which requests are decided, as TOML; empty for none.
    ///
    /// # Errors
    /// `Invalid` for what is no rules: one line that says what and where; `Denied` unless a user does it.
    pub fn set_policy(&self, rules: &str, by: Actor) -> Result<Position> {
        let rules = RuleSet::parse(rules)?;
        self.engine.rule(&by, POLICY_SET, |_| {
            if by.kind() != ActorKind::User {
                return Ok(Err(not_a_user(&by, "set the policy")));
            }
            let data = PolicySet { rules: Some(rules.text().to_owned()), code: None };
            Ok(Ok(Ruling { subject: "annals.policy/rules".to_owned(), data, cause: None }))
        })
    }

    /// The policy that is in force.
    ///
    /// # Errors
    /// `Corruption`, `Io`, `Closed`.
    pub fn policy(&self) -> Result<PolicyInForce> {
        self.engine.look(|look| {
            let authority = &look.index.authority;
            Ok(PolicyInForce {
                code: authority.code.clone(),
                rules: authority.rules.text().to_owned(),
                position: (authority.rules_at > Position::ORIGIN).then_some(authority.rules_at),
            })
        })
    }

    /// Holds rules against the requests of the past and says what would have been decided otherwise; above all what
    /// would be approved that a person refused. Changes nothing.
    ///
    /// # Errors
    /// `Invalid` for what is no rules; `Corruption`, `Io`, `Closed`.
    pub fn test_policy(&self, rules: &str) -> Result<PolicyTest> {
        self.engine.test_policy(RuleSet::parse(rules)?)
    }
}
