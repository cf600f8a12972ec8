//! What becomes of a request: the policy's verdict, the grants, the rules of the table, and the events that say so.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::value::RawValue;

use super::authority::Authority;
use super::carry::{Checked, Errand, ask, current, misses};
use super::engine::{Engine, Handling, Look, grant_tag};
use super::payload;
use super::policy::{Policy, Proposal, Verdict};
use super::rows::Facts;
use super::rules::Refusal;
use super::wanted::Wanted;
use crate::actor::{Actor, ActorKind};
use crate::catalog::{Action, OWNER, Phase, WEBHOOK_DELIVER_REQUESTED};
use crate::error::Result;
use crate::event::{CONTENT_JSON, NewEvent};
use crate::json::Document;
use crate::position::Position;

/// Who is asked where nobody in particular is.
pub(crate) const USERS: &str = "users";
/// Who is asked where the workspace has editors.
pub(crate) const EDITORS: &str = "editors";

/// The rule by which an agent that floods people with requests is stopped.
pub(crate) const TOO_MANY: &str = "flow/waiting";

/// How a request goes on.
pub(crate) enum Course {
    /// Another program decides, or carries it out.
    Leave,
    /// Something that it takes is not there just now.
    Later,
    Steps(Vec<Step>),
    /// Rules that do more than compute are to be asked first.
    Run(Box<Errand>),
}

/// An event of a request's life that is to be appended.
#[derive(Debug)]
pub(crate) enum Step {
    Asked(payload::Asked),
    Approved(payload::Approved),
    Rejected(payload::Rejected),
    Validated { owner: Option<String> },
    Failed(String),
}

impl Step {
    pub(crate) fn phase(&self) -> Phase {
        match self {
            Step::Asked(_) => Phase::Asked,
            Step::Approved(_) => Phase::Approved,
            Step::Rejected(_) => Phase::Rejected,
            Step::Validated { .. } => Phase::Validated,
            Step::Failed(_) => Phase::Failed,
        }
    }

    pub(crate) fn grant(&self) -> Option<Position> {
        match self {
            Step::Approved(approved) => approved.grant,
            _ => None,
        }
    }
}

impl Engine {
    /// Decides an open request, and carries it out at once where that is pure.
    pub(crate) fn decide(&self, look: &mut Look<'_>, wanted: &mut Wanted) -> Result<Course> {
        let authority = std::sync::Arc::clone(&look.index.authority);
        let Some(policy) = self.policy(&authority) else { return Ok(Course::Leave) };
        let rejected = |rule: &str, reason: String| {
            let rejected = payload::Rejected { rule: Some(rule.to_owned()), reason, ..Default::default() };
            Ok(Course::Steps(vec![Step::Rejected(rejected)]))
        };
        if let Err(reason) = check_form(wanted.action, &wanted.data) {
            return rejected("flow/form", reason);
        }
        if wanted.execute_by.is_some_and(|time| look.now >= time) {
            return rejected("flow/deadline", "it was to be done by a time that has passed".to_owned());
        }
        let facts = match wanted.is_unheard_of {
            true => Facts::default(),
            false => look.index.facts(look.reader, &wanted.subject)?,
        };
        // A policy that panics has not decided: it is asked again.
        let judged = catch_unwind(AssertUnwindSafe(|| judge(policy, &authority, wanted, &facts, look.now)));
        let Ok((verdict, grant)) = judged else { return Ok(Course::Later) };
        if let Verdict::Reject { rule, reason } = verdict {
            return rejected(&rule, reason);
        }
        let checked = self.check(look, wanted, &facts)?;
        match (verdict, checked) {
            (_, Checked::Later) => Ok(Course::Later),
            (Verdict::Ask { .. }, Checked::Refused { rule, reason }) => rejected(&rule, reason),
            (Verdict::Ask { rule, because, whom, within }, Checked::Fine) => {
                // One that is in the log counts among those that wait, and so does the one whose place this one takes.
                let is_counted = wanted.id.is_some() || wanted.batch_index > 0;
                let others = look.index.waiting(wanted.actor.id()).saturating_sub(u64::from(is_counted));
                if wanted.actor.kind() == ActorKind::Agent && others >= self.agent_waiting_max {
                    let reason = format!("{} requests of {} wait already", self.agent_waiting_max, wanted.actor);
                    return rejected(TOO_MANY, reason);
                }
                let only = !whom.is_empty();
                let whom = if only {
                    whom.iter().map(ToString::to_string).collect()
                } else {
                    asked_of(self.policy_for_answers(&authority), &authority, wanted, &facts)
                };
                let answer_within = within.map(|length| super::request::Deadline::Within(length).after(look.now));
                Ok(Course::Steps(vec![Step::Asked(payload::Asked {
                    because,
                    rule,
                    whom,
                    only,
                    needs: 1,
                    answer_by: wanted.answer_by.or(answer_within),
                    digest: wanted.digest(facts.basis),
                    basis: facts.basis,
                    change: normalised(wanted),
                })]))
            }
            (verdict, checked) => {
                let approved = payload::Approved {
                    rule: Some(grant.map_or_else(|| verdict.rule().to_owned(), |id| format!("grant/{id}"))),
                    grant,
                    by: None,
                    reason: String::new(),
                    digest: wanted.digest(facts.basis),
                    basis: facts.basis,
                    execute_by: wanted.execute_by,
                    change: normalised(wanted),
                };
                let granter = grant.and_then(|id| authority.grants.get(&id)).map(|grant| grant.by.clone());
                Ok(Course::Steps(self.approved(wanted, approved, checked, granter.as_deref())))
            }
        }
    }

    /// The approval of a change, and what follows at once: that it is done, or why it can't be.
    fn approved(
        &self,
        wanted: &Wanted,
        approved: payload::Approved,
        checked: Checked,
        approver: Option<&str>,
    ) -> Vec<Step> {
        let mut steps = vec![Step::Approved(approved)];
        match checked {
            Checked::Refused { reason, .. } => steps.push(Step::Failed(reason)),
            Checked::Fine if self.is_at_once(wanted) => steps.push(Step::Validated { owner: wanted.owner(approver) }),
            Checked::Fine | Checked::Later => {}
        }
        steps
    }

    /// A person approves what they were shown.
    pub(crate) fn approve_asked(
        &self,
        look: &mut Look<'_>,
        wanted: &Wanted,
        approved: payload::Approved,
        by: &Actor,
    ) -> Result<Vec<Step>> {
        let facts = look.index.facts(look.reader, &wanted.subject)?;
        let checked = if self.is_at_once(wanted) { self.execute(look, wanted, &facts)? } else { Checked::Fine };
        Ok(self.approved(wanted, approved, checked, Some(by.id())))
    }

    /// Holds a change against its row and the rules of its table before anybody is asked; the rules may give it another
    /// form.
    fn check(&self, look: &mut Look<'_>, wanted: &mut Wanted, facts: &Facts) -> Result<Checked> {
        if let Some(reason) = misses(wanted, facts) {
            return Ok(Checked::Refused { rule: "flow/row".to_owned(), reason });
        }
        let Handling::Here(Some(rules)) = self.handling(&wanted.table) else { return Ok(Checked::Fine) };
        if !rules.is_pure() {
            return Ok(Checked::Fine);
        }
        let current = current(look, wanted)?;
        match ask(&*rules, wanted, current.as_ref(), |rules, change| rules.check(change)) {
            Ok(None) => Ok(Checked::Fine),
            Ok(Some(data)) => match check_form(wanted.action, &data) {
                Ok(()) => {
                    wanted.is_normalised |= data != wanted.data;
                    wanted.data = data;
                    Ok(Checked::Fine)
                }
                Err(reason) => {
                    let reason = format!("the rules made of it what is no change: {reason}");
                    Ok(Checked::by(&*rules, Refusal::ForGood(reason)))
                }
            },
            Err(refusal) => Ok(Checked::by(&*rules, refusal)),
        }
    }

    /// The events of steps, the first of which stands at this place of the append.
    pub(crate) fn events(&self, look: &Look<'_>, wanted: &Wanted, steps: &[Step], first: usize) -> Vec<NewEvent> {
        let mut events = Vec::with_capacity(steps.len());
        for step in steps {
            events.push(match step {
                Step::Asked(asked) => wanted.flow_says(Phase::Asked, asked),
                Step::Rejected(rejected) => match &rejected.by {
                    Some(user) => wanted.says(Phase::Rejected, Actor::user(user), rejected),
                    None => wanted.flow_says(Phase::Rejected, rejected),
                },
                Step::Failed(reason) => wanted.flow_says(Phase::Failed, &payload::Failed { reason: reason.clone() }),
                Step::Approved(approved) => {
                    let event = match &approved.by {
                        Some(user) => wanted.says(Phase::Approved, Actor::user(user), approved),
                        None => wanted.flow_says(Phase::Approved, approved),
                    };
                    approved.grant.into_iter().fold(event, |event, id| event.tag(grant_tag(id)))
                }
                Step::Validated { owner } => self.validated(wanted, owner.as_deref()),
            });
            if let Step::Validated { .. } = step {
                let at = first + events.len() - 1;
                events.extend(self.work_orders(look, wanted, at));
            }
        }
        events
    }

    /// The change itself: by who wanted it, with what was approved.
    fn validated(&self, wanted: &Wanted, owner: Option<&str>) -> NewEvent {
        let mut event = wanted.event(Phase::Validated, wanted.actor.clone(), wanted.data.clone());
        if let Some(source) = &wanted.source {
            event = event.source(source);
        }
        event = wanted.tags.iter().fold(event, |event, tag| event.tag(tag));
        match owner.filter(|_| wanted.action == Action::Create) {
            Some(owner) => event.meta(OWNER, owner),
            None => event,
        }
    }

    /// One for each webhook that is to be told of the change, caused by the event at this place of the append.
    fn work_orders(&self, look: &Look<'_>, wanted: &Wanted, at: usize) -> Vec<NewEvent> {
        let event_type = wanted.event_type(Phase::Validated);
        let told = look.index.hooks.iter().filter_map(|(subject, hook)| Some((subject, hook.wants(&event_type)?)));
        told.map(|(subscription, url)| {
            let deliver = payload::Deliver {
                subscription: subscription.clone(),
                url: url.to_owned(),
                event_type: event_type.clone(),
                subject: wanted.subject.clone(),
            };
            // Texts always have a JSON form.
            let data = serde_json::to_vec(&deliver).unwrap_or_default();
            NewEvent::bytes(WEBHOOK_DELIVER_REQUESTED, subscription, CONTENT_JSON, data)
                .actor(Actor::system(super::wanted::FLOW))
                .caused_by_batch(at)
        })
        .collect()
    }
}

/// What the policy says about a change, and the grant that covers it where it would ask.
pub(crate) fn judge(
    policy: &dyn Policy,
    authority: &Authority,
    wanted: &Wanted,
    facts: &Facts,
    now: crate::time::Timestamp,
) -> (Verdict, Option<Position>) {
    let proposal = proposal(authority, wanted, facts);
    let verdict = policy.decide(&proposal);
    if wanted.actor.kind() != ActorKind::Agent || !matches!(verdict, Verdict::Ask { .. }) {
        return (verdict, None);
    }
    let covers = authority.grants.values().find(|grant| {
        grant.covers(wanted.actor.id(), &wanted.table, wanted.action, &wanted.subject, now)
            // Nobody grants what they could not approve.
            && may_do(policy, proposal, &Actor::user(&grant.by))
    });
    match covers {
        Some(grant) => (Verdict::approve(format!("grant/{}", grant.id)), Some(grant.id)),
        None => (verdict, None),
    }
}

/// What is proposed, with what the log knows about it.
pub(crate) fn proposal<'p>(authority: &'p Authority, wanted: &'p Wanted, facts: &'p Facts) -> Proposal<'p> {
    // A row that is brought back belongs where its new create says.
    let is_new = wanted.action == Action::Create;
    Proposal {
        table: &wanted.table,
        action: wanted.action,
        subject: &wanted.subject,
        data: &wanted.data,
        actor: &wanted.actor,
        tags: &wanted.tags,
        owner: if is_new { None } else { facts.owner.as_deref() },
        workspace: if is_new { wanted.workspace() } else { facts.workspace.as_deref() },
        authority,
    }
}

/// Whether a user could make this very change without asking.
pub(crate) fn may_do<'p>(policy: &dyn Policy, proposal: Proposal<'p>, user: &'p Actor) -> bool {
    matches!(policy.decide(&proposal.by(user)), Verdict::Approve { .. })
}

/// Whom a request is left to: for whom the actor acts, else whose the subject is, else who may edit where it is, else
/// any user; of these, whoever could make the change themselves.
fn asked_of(policy: &dyn Policy, authority: &Authority, wanted: &Wanted, facts: &Facts) -> Vec<String> {
    let proposal = proposal(authority, wanted, facts);
    let may_answer = |user: &str| {
        let is_own = wanted.actor.kind() == ActorKind::User && wanted.actor.id() == user;
        !is_own && may_do(policy, proposal, &Actor::user(user))
    };
    let named = [wanted.actor.on_behalf_of.as_deref(), proposal.owner];
    if let Some(user) = named.into_iter().flatten().find(|user| may_answer(user)) {
        return vec![Actor::user(user).to_string()];
    }
    let has_editors = proposal
        .workspace
        .and_then(|workspace| authority.roles.get(workspace))
        .is_some_and(|users| users.values().any(|role| role.may_edit()));
    vec![if has_editors { EDITORS } else { USERS }.to_owned()]
}

/// Whether data is what an action takes.
pub(crate) fn check_form(action: Action, data: &[u8]) -> Result<(), String> {
    match action {
        Action::Delete if data.is_empty() => Ok(()),
        Action::Delete => Err("a delete takes no data".to_owned()),
        _ if data.is_empty() => Err(format!("{action} takes a JSON object")),
        _ => match Document::from_object(data) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{action} takes a JSON object: {error}")),
        },
    }
}

/// The change as the rules made it, where that is another form than was requested.
fn normalised(wanted: &Wanted) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(&wanted.data).ok().filter(|_| wanted.is_normalised)?;
    RawValue::from_string(text.to_owned()).ok()
}
