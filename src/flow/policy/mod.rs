//! Policies: what becomes of a request before anybody was asked.

mod default;
mod rules;

use std::fmt;
use std::time::Duration;

use super::authority::{Authority, Role};
use crate::actor::Actor;
use crate::catalog::{Action, Table};

pub use default::DefaultPolicy;
pub use rules::{Rule, RuleSet, Then};

/// The name of the policy that every store has.
pub(crate) const DEFAULT: &str = "default";

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It may be done.
    Approve {
        /// Which rule says so.
        rule: String,
    },
    /// It may not.
    Reject {
        /// Which rule says so.
        rule: String,
        /// Why, for who asked.
        reason: String,
    },
    /// A person decides.
    Ask {
        /// Which rule says so.
        rule: String,
        /// Why, for who is asked.
        because: String,
        /// Only these may answer; if empty, whoever could do it themselves.
        whom: Vec<Actor>,
        /// How long they have.
        within: Option<Duration>,
    },
}

impl Verdict {
    /// Approved by this rule.
    pub fn approve(rule: impl Into<String>) -> Verdict {
        Verdict::Approve { rule: rule.into() }
    }

    /// Rejected by this rule, and why.
    pub fn reject(rule: impl Into<String>, reason: impl Into<String>) -> Verdict {
        Verdict::Reject { rule: rule.into(), reason: reason.into() }
    }

    /// Left to whoever could do it themselves, by this rule, and why.
    pub fn ask(rule: impl Into<String>, because: impl Into<String>) -> Verdict {
        Verdict::Ask { rule: rule.into(), because: because.into(), whom: Vec::new(), within: None }
    }

    /// The rule that says so.
    #[must_use]
    pub fn rule(&self) -> &str {
        match self {
            Verdict::Approve { rule } | Verdict::Reject { rule, .. } | Verdict::Ask { rule, .. } => rule,
        }
    }
}

/// What is proposed, and what the log knows about it: all that a policy decides on. What an event calls its source is
/// not among it.
#[derive(Debug, Clone, Copy)]
pub struct Proposal<'p> {
    pub(crate) table: &'p Table,
    pub(crate) action: Action,
    pub(crate) subject: &'p str,
    pub(crate) data: &'p [u8],
    pub(crate) actor: &'p Actor,
    pub(crate) tags: &'p [String],
    pub(crate) owner: Option<&'p str>,
    pub(crate) workspace: Option<&'p str>,
    pub(crate) authority: &'p Authority,
}

impl<'p> Proposal<'p> {
    /// The table.
    #[must_use]
    pub fn table(&self) -> &'p Table {
        self.table
    }

    /// What is to be done.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// To what.
    #[must_use]
    pub fn subject(&self) -> &'p str {
        self.subject
    }

    /// The object or the merge patch as JSON; empty if the row is to go.
    #[must_use]
    pub fn data(&self) -> &'p [u8] {
        self.data
    }

    /// Who wants it; or, when it is asked whether somebody may answer, who would.
    #[must_use]
    pub fn actor(&self) -> &'p Actor {
        self.actor
    }

    /// The tags of the request. They never say where a subject belongs; see [`Proposal::workspace`].
    #[must_use]
    pub fn tags(&self) -> &'p [String] {
        self.tags
    }

    /// Whose the subject is, by its create; `None` if nobody's, or there is none yet.
    #[must_use]
    pub fn owner(&self) -> Option<&'p str> {
        self.owner
    }

    /// The workspace of the subject by its create; of a subject that is to be created, that of the request's tags.
    #[must_use]
    pub fn workspace(&self) -> Option<&'p str> {
        self.workspace
    }

    /// What a user is in the subject's workspace.
    #[must_use]
    pub fn role_of(&self, user: &str) -> Option<Role> {
        self.authority.role(self.workspace?, user)
    }

    /// Whether anybody has a role in the subject's workspace.
    #[must_use]
    pub fn workspace_has_roles(&self) -> bool {
        self.workspace.is_some_and(|workspace| self.authority.has_roles(workspace))
    }

    /// The same change, if this actor wanted it.
    pub(crate) fn by(self, actor: &'p Actor) -> Proposal<'p> {
        Proposal { actor, ..self }
    }
}

/// Decides requests. It is asked again whenever authority is in question, also years later when somebody wants to know
/// why; so it must be pure: the same proposal, the same verdict, nothing read or done besides.
///
/// ```
/// use annals::{Action, DefaultPolicy, Policy, Proposal, Verdict};
///
/// struct NobodyDeletes;
///
/// impl Policy for NobodyDeletes {
///     fn name(&self) -> &str {
///         "nobody-deletes"
///     }
///
///     fn decide(&self, proposal: &Proposal<'_>) -> Verdict {
///         match proposal.action() {
///             Action::Delete => Verdict::reject("nobody-deletes", "rows stay"),
///             _ => DefaultPolicy::new().decide(proposal),
///         }
///     }
/// }
/// ```
pub trait Policy: Send + Sync + 'static {
    /// Its name, recorded in the log. While a store is kept by another policy than the default one, the command line
    /// alone leaves new requests open.
    fn name(&self) -> &str;

    /// What becomes of a proposal.
    fn decide(&self, proposal: &Proposal<'_>) -> Verdict;
}

impl fmt::Debug for dyn Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({})", self.name())
    }
}
