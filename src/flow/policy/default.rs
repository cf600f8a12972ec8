//! The policy that every store has: its rules first, then what people expect of their own data.

use super::{DEFAULT, Policy, Proposal, Verdict};
use crate::actor::ActorKind;
use crate::catalog::Action;

/// Rules that were set come first; the first that matches decides. Else: a user does what they want with what is
/// theirs, creates, and changes what is another's as far as their role in its workspace allows. An agent's request
/// waits for a person, unless a grant covers it; so does that of an outside system, of the application itself and of
/// an actor of unknown kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultPolicy(());

impl DefaultPolicy {
    /// The policy.
    #[must_use]
    pub const fn new() -> DefaultPolicy {
        DefaultPolicy(())
    }
}

impl Policy for DefaultPolicy {
    fn name(&self) -> &str {
        DEFAULT
    }

    fn decide(&self, proposal: &Proposal<'_>) -> Verdict {
        if let Some(verdict) = proposal.authority.rules.decide(proposal) {
            return verdict;
        }
        match proposal.actor.kind() {
            ActorKind::User => user(proposal),
            ActorKind::Agent => Verdict::ask("default/agent", "an agent wants it, and no grant covers it"),
            ActorKind::External => {
                Verdict::ask("default/external", "an outside system wants it, and no rule covers it")
            }
            ActorKind::System => Verdict::ask("default/system", "a system wants it, and no rule covers it"),
            ActorKind::Unknown => Verdict::ask("default/unknown", "it is not known what kind of actor wants it"),
        }
    }
}

fn user(proposal: &Proposal<'_>) -> Verdict {
    let user = proposal.actor.id();
    let role = proposal.role_of(user);
    if proposal.action == Action::Create {
        return match (proposal.workspace, role) {
            (Some(_), Some(role)) if role.may_edit() => Verdict::approve(format!("default/role {role}")),
            (Some(workspace), _) if proposal.workspace_has_roles() => Verdict::reject(
                "default/workspace",
                format!("{} in workspace {workspace}, and creating takes an editor", is(user, role)),
            ),
            _ => Verdict::approve("default/create"),
        };
    }
    if proposal.owner == Some(user) {
        return Verdict::approve("default/own");
    }
    let whose = proposal.owner.map_or("nobody's".to_owned(), |owner| format!("{owner}'s"));
    match (proposal.workspace, role) {
        (_, Some(role)) if role.may_edit() => Verdict::approve(format!("default/role {role}")),
        (Some(workspace), _) => Verdict::reject(
            "default/not-theirs",
            format!("{} is {whose}, and {} in workspace {workspace}", proposal.subject, is(user, role)),
        ),
        (None, _) => {
            Verdict::reject("default/not-theirs", format!("{} is {whose} and in no workspace", proposal.subject))
        }
    }
}

fn is(user: &str, role: Option<super::Role>) -> String {
    role.map_or_else(|| format!("{user} has no role"), |role| format!("{user} is {role}"))
}
