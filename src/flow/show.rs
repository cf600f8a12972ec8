//! What the flow shows: who waits for what, and how it came to that.

use std::collections::{BTreeSet, VecDeque};

use serde::Serialize;
use serde_json::value::RawValue;

use super::authority::{Authority, Role};
use super::carry::current;
use super::decide::{EDITORS, USERS, judge, may_do, proposal};
use super::engine::{Engine, Look};
use super::grant::GivenGrant;
use super::index::Live;
use super::life::{Life, actor_of};
use super::outcome::Outcome;
use super::payload;
use super::policy::{RuleSet, Verdict};
use super::policy_test::PolicyTest;
use super::request::RequestId;
use super::rows::Facts;
use super::wanted::Wanted;
use crate::actor::{Actor, ActorKind};
use crate::catalog::{Action, Phase};
use crate::error::Result;
use crate::event::Event;
use crate::json::FieldChange;
use crate::position::Position;
use crate::query::Query;
use crate::reader::AsOf;
use crate::time::Timestamp;

/// Requests of a page, if nothing else is said.
const PAGE: usize = 100;
/// How far a trace follows causes, in events.
const TRACE_MAX: usize = 1000;

/// Which part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    pub(crate) after: Position,
    pub(crate) limit: usize,
    pub(crate) is_last: bool,
}

impl Page {
    /// The first so many.
    #[must_use]
    pub fn first(limit: usize) -> Page {
        Page { after: Position::ORIGIN, limit, is_last: false }
    }

    /// The last so many, oldest first as ever.
    #[must_use]
    pub fn last(limit: usize) -> Page {
        Page { is_last: true, ..Page::first(limit) }
    }

    /// Those behind this request: the last one of the page before.
    #[must_use]
    pub fn after(mut self, request: RequestId) -> Page {
        self.after = request;
        self
    }
}

impl Default for Page {
    fn default() -> Page {
        Page::first(PAGE)
    }
}

impl From<usize> for Page {
    fn from(limit: usize) -> Page {
        Page::first(limit)
    }
}

/// A request that waits, with what whoever answers has to know.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Pending {
    /// Its number.
    pub request: RequestId,
    /// The newest event of its life.
    pub position: Position,
    /// `requested` if nobody has decided about it yet, `asked` if a person is to answer, `approved` if it is yet to be
    /// carried out.
    #[serde(serialize_with = "as_text")]
    pub state: Phase,
    /// What an approval has to name; empty while nobody was asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// The type of its `requested` event.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What would be done.
    pub action: Action,
    /// The table.
    pub table: String,
    /// What it is about.
    pub subject: String,
    /// Who wants it.
    #[serde(serialize_with = "as_text")]
    pub actor: Actor,
    /// For whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// The object or the merge patch, as it would be applied; none for a delete.
    pub change: Option<Box<RawValue>>,
    /// What would change, field by field.
    #[serde(skip)]
    pub differences: Vec<FieldChange>,
    /// Why somebody is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_because: Option<String>,
    /// Who is asked: `user:alice`, `editors` of the workspace, or `users`.
    pub whom: Vec<String>,
    /// Until when somebody has to answer.
    pub answer_by: Option<Timestamp>,
    /// Until when it has to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execute_by: Option<Timestamp>,
    /// When it was requested.
    pub requested_at: Timestamp,
}

fn as_text<T: ToString, S: serde::Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

/// How a request was decided, and on what authority.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The request.
    pub request: RequestId,
    /// What it asks for.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Of what.
    pub subject: String,
    /// Who asked for it.
    pub actor: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Each decision on the way, oldest first.
    pub decisions: Vec<Decision>,
}

/// One decision, and what was in force when it was made.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Decision {
    /// The event that says so.
    pub position: Position,
    /// When.
    pub at: Timestamp,
    /// What was decided.
    #[serde(serialize_with = "as_text")]
    pub phase: Phase,
    /// Who decided: an actor.
    pub by: String,
    /// The rule that decided, or by which the decider may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The grant that it stands on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<GivenGrant>,
    /// What the decider, or else the requester, was in the subject's workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whose the subject was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Where it belonged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The event that had set the rules then; none if none were set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Position>,
    /// The policy that was in force, where it was code: it is not asked again here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_code: Option<String>,
    /// The reason that was given.
    pub reason: String,
    /// Whether the same is found when it is judged again by what was in force then; none where that is code, or nothing
    /// that is judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agrees: Option<bool>,
}

/// A request's whole life: what led to it, its events, and what they caused.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Trace {
    /// The request.
    pub request: RequestId,
    /// What became of it.
    pub outcome: Outcome,
    /// All of it, in order of position.
    pub events: Vec<Event>,
    /// More was caused than is shown.
    pub is_cut: bool,
}

impl Engine {
    pub(crate) fn pending(&self, page: Page, of: impl Fn(&Live, &Authority) -> bool) -> Result<Vec<Pending>> {
        self.look(|look| {
            let behind = (std::ops::Bound::Excluded(page.after), std::ops::Bound::Unbounded);
            let authority = std::sync::Arc::clone(&look.index.authority);
            let waits = |live: &Live| live.lapsed(&authority, look.now).is_none() && of(live, &authority);
            let ids = look.index.live.range(behind).filter(|(_, live)| waits(live)).map(|(id, _)| *id);
            let ids: Vec<RequestId> = match page.is_last {
                true => ids.rev().take(page.limit).collect::<Vec<_>>().into_iter().rev().collect(),
                false => ids.take(page.limit).collect(),
            };
            ids.into_iter().map(|id| pending(look, &authority, id)).collect()
        })
    }

    /// Requests that this actor is asked about.
    pub(crate) fn pending_for(&self, actor: &Actor, page: Page) -> Result<Vec<Pending>> {
        self.look(|look| {
            let authority = std::sync::Arc::clone(&look.index.authority);
            let ids = self.asked(look, &authority, actor, page)?;
            ids.into_iter().map(|id| pending(look, &authority, id)).collect()
        })
    }

    /// The first request that this actor is asked about and that is not among those that were seen; of these, those that
    /// no longer wait are forgotten.
    pub(crate) fn next_ask(&self, actor: &Actor, seen: &mut BTreeSet<RequestId>) -> Result<Option<Pending>> {
        self.look(|look| {
            let authority = std::sync::Arc::clone(&look.index.authority);
            let waiting: BTreeSet<_> =
                self.asked(look, &authority, actor, Page::first(usize::MAX))?.into_iter().collect();
            seen.retain(|id| waiting.contains(id));
            let Some(id) = waiting.difference(seen).next().copied() else { return Ok(None) };
            let next = pending(look, &authority, id)?;
            seen.insert(id);
            Ok(Some(next))
        })
    }

    /// The ids of requests that this actor is asked about.
    fn asked(
        &self,
        look: &mut Look<'_>,
        authority: &Authority,
        actor: &Actor,
        page: Page,
    ) -> Result<VecDeque<RequestId>> {
        let mut found = VecDeque::new();
        let (mut after, mut before) = (page.after, std::ops::Bound::Unbounded);
        while found.len() < page.limit {
            let mut left = look.index.live.range((std::ops::Bound::Excluded(after), before));
            let next = if page.is_last { left.next_back() } else { left.next() };
            let Some((id, live)) = next.map(|(id, live)| (*id, live.clone())) else { break };
            match page.is_last {
                true => before = std::ops::Bound::Excluded(id),
                false => after = id,
            }
            if live.phase == Phase::Asked
                && live.lapsed(authority, look.now).is_none()
                && self.is_asked(look, authority, &live, id, actor)?
            {
                match page.is_last {
                    true => found.push_front(id),
                    false => found.push_back(id),
                }
            }
        }
        Ok(found)
    }

    /// Whether a request is left to this actor, and could be answered by them.
    fn is_asked(
        &self,
        look: &mut Look<'_>,
        authority: &Authority,
        live: &Live,
        id: RequestId,
        actor: &Actor,
    ) -> Result<bool> {
        if actor.kind() != ActorKind::User || (live.actor_kind == ActorKind::User && &*live.actor == actor.id()) {
            return Ok(false);
        }
        let name = actor.to_string();
        if live.only || live.whom.contains(&name) {
            return Ok(live.whom.contains(&name));
        }
        if !live.whom.iter().any(|whom| whom == EDITORS || whom == USERS) {
            return Ok(false);
        }
        let wanted = Wanted::of(&Life::read(look.reader, &authority.catalog, id)?)?;
        let facts = look.index.facts(look.reader, &wanted.subject)?;
        let user = Actor::user(actor.id());
        Ok(may_do(self.policy_for_answers(authority), proposal(authority, &wanted, &facts), &user))
    }

    /// What became of a request, also where the flow has not written so yet.
    pub(crate) fn outcome_now(&self, id: RequestId) -> Result<Outcome> {
        self.look(|look| {
            let authority = std::sync::Arc::clone(&look.index.authority);
            match look.lapse(id) {
                Some(lapse) => Ok(lapse.outcome()),
                None => Life::read(look.reader, &authority.catalog, id)?.outcome(),
            }
        })
    }

    pub(crate) fn explain(&self, id: RequestId) -> Result<Explanation> {
        self.look(|look| {
            let authority = std::sync::Arc::clone(&look.index.authority);
            let life = Life::read(look.reader, &authority.catalog, id)?;
            let wanted = Wanted::of(&life)?;
            let decided = life.steps.iter().filter(|(phase, _)| phase.is_decision());
            let decisions = decided
                .map(|(phase, event)| self.decision(look, &wanted, &life, *phase, event))
                .collect::<Result<Vec<_>>>()?;
            Ok(Explanation {
                request: id,
                event_type: life.requested.event_type().to_owned(),
                subject: wanted.subject.clone(),
                actor: wanted.actor.to_string(),
                outcome: outcome_of(look, &life)?,
                decisions,
            })
        })
    }

    /// One decision, judged again by what was in force when it was made.
    fn decision(&self, look: &Look<'_>, wanted: &Wanted, life: &Life, phase: Phase, event: &Event) -> Result<Decision> {
        let then = look.reader.as_of(AsOf::Position(before(life, event)));
        let mut authority = Authority::of(&then)?;
        let facts = Facts::of(&then, &wanted.table, &wanted.subject)?;
        let approved: payload::Approved =
            if phase == Phase::Approved { event.json()? } else { payload::Approved::default() };
        let said: payload::Rejected = match phase {
            Phase::Rejected => event.json()?,
            _ => payload::Rejected::default(),
        };
        let asked: Option<payload::Asked> = if phase == Phase::Asked { Some(event.json()?) } else { None };
        let rule = approved.rule.clone().or(said.rule.clone()).or(asked.as_ref().map(|asked| asked.rule.clone()));
        let by = event.actor().map_or(String::new(), |actor| actor.to_string());
        let user = approved.by.as_deref().or(said.by.as_deref());
        // A rule that names who is to answer says so whatever they could do themselves.
        let named = life.asked()?.filter(|asked| asked.only && user.is_some());
        let agrees = match (&named, user) {
            (Some(asked), Some(user)) => Some(asked.whom.contains(&Actor::user(user).to_string())),
            _ => self.agrees(look, &mut authority, wanted, &facts, phase, event, user)?,
        };
        let proposal = proposal(&authority, wanted, &facts);
        let judged = user.or((wanted.actor.kind() == ActorKind::User).then(|| wanted.actor.id()));
        let mut rule_of_user = named.map(|asked| asked.rule);
        if let Some(user) = user.filter(|_| rule_of_user.is_none()) {
            let actor = Actor::user(user);
            rule_of_user = Some(self.policy_for_answers(&authority).decide(&proposal.by(&actor)).rule().to_owned());
        }
        Ok(Decision {
            position: event.position(),
            at: event.recorded_at(),
            phase,
            by,
            rule: rule.or(rule_of_user.filter(|_| authority.code.is_none())),
            grant: approved.grant.and_then(|id| look.index.authority.grants.get(&id).cloned()),
            role: judged.and_then(|user| proposal.role_of(user)),
            owner: proposal.owner.map(str::to_owned),
            workspace: proposal.workspace.map(str::to_owned),
            policy: (authority.rules_at > Position::ORIGIN).then_some(authority.rules_at),
            policy_code: authority.code.clone(),
            reason: reason_of(phase, event)?,
            agrees,
        })
    }

    /// Whether the same is found again.
    #[allow(clippy::too_many_arguments, reason = "all of it is what a decision stands on")]
    fn agrees(
        &self,
        look: &Look<'_>,
        authority: &mut Authority,
        wanted: &Wanted,
        facts: &Facts,
        phase: Phase,
        event: &Event,
        user: Option<&str>,
    ) -> Result<Option<bool>> {
        if authority.code.is_some() && self.policy(authority).is_none() {
            return Ok(None);
        }
        // How often a grant had been used by then.
        for (id, grant) in &mut authority.grants {
            let uses = Query::all().tag(super::engine::grant_tag(*id)).before(event.position());
            grant.used = look.reader.count(&uses)?;
        }
        let policy = self.policy_for_answers(authority);
        if let Some(user) = user {
            return Ok(Some(may_do(policy, proposal(authority, wanted, facts), &Actor::user(user))));
        }
        let (verdict, _) = judge(policy, authority, wanted, facts, event.recorded_at());
        Ok(match phase {
            Phase::Approved => Some(matches!(verdict, Verdict::Approve { .. })),
            Phase::Asked => Some(matches!(verdict, Verdict::Ask { .. })),
            // The form and the table's rules reject too, and are not judged here.
            Phase::Rejected if matches!(verdict, Verdict::Reject { .. }) => Some(true),
            _ => None,
        })
    }

    pub(crate) fn trace(&self, id: RequestId) -> Result<Trace> {
        self.look(|look| {
            let authority = std::sync::Arc::clone(&look.index.authority);
            let life = Life::read(look.reader, &authority.catalog, id)?;
            let mut events = std::collections::BTreeMap::new();
            let mut is_cut = false;
            // What led to it, up to the first cause.
            let mut cause = life.requested.causation();
            while let Some(position) = cause.filter(|_| events.len() < TRACE_MAX) {
                let Some(event) = look.reader.event(position)? else { break };
                cause = event.causation().filter(|earlier| *earlier < position);
                events.insert(position, event);
            }
            let mut todo = vec![life.requested.clone()];
            while let Some(event) = todo.pop() {
                let position = event.position();
                if events.len() >= TRACE_MAX {
                    is_cut = true;
                    break;
                }
                for caused in look.reader.read(&Query::all().caused_by(position).limit(TRACE_MAX as u64)) {
                    todo.push(caused?);
                }
                events.insert(position, event);
            }
            let outcome = outcome_of(look, &life)?;
            Ok(Trace { request: id, outcome, events: events.into_values().collect(), is_cut })
        })
    }

    /// What a set of rules would decide otherwise about requests of the past.
    pub(crate) fn test_policy(&self, rules: RuleSet) -> Result<PolicyTest> {
        super::policy_test::run(self, rules)
    }
}

/// What became of a request, also where the flow has not written so yet.
pub(crate) fn outcome_of(look: &Look<'_>, life: &Life) -> Result<Outcome> {
    look.lapse(life.id()).map_or_else(|| life.outcome(), |lapse| Ok(lapse.outcome()))
}

/// Everything up to which a decision was made: the event before its append, and the request if that is of the same one.
fn before(life: &Life, event: &Event) -> Position {
    let id = life.id();
    // In one append with the request, nothing but the request itself came between.
    let first = life.steps.first().map_or(event.position(), |(_, first)| first.position());
    if event.position().get() == id.get() + 1 || (first.get() == id.get() + 1 && event.position() == first) {
        return Position::new(id.get().saturating_sub(1));
    }
    Position::new(event.position().get().saturating_sub(1))
}

fn reason_of(phase: Phase, event: &Event) -> Result<String> {
    Ok(match phase {
        Phase::Asked => event.json::<payload::Asked>()?.because,
        Phase::Approved => event.json::<payload::Approved>()?.reason,
        Phase::Rejected => event.json::<payload::Rejected>()?.reason,
        Phase::Withdrawn => event.json::<payload::Withdrawn>()?.reason,
        Phase::Failed => event.json::<payload::Failed>()?.reason,
        Phase::Stale => event.json::<payload::Stale>()?.because.to_string(),
        Phase::Expired => format!("nobody answered before {}", event.json::<payload::Expired>()?.answer_by),
        Phase::Requested | Phase::Validated => String::new(),
    })
}

fn pending(look: &mut Look<'_>, authority: &Authority, id: RequestId) -> Result<Pending> {
    let life = Life::read(look.reader, &authority.catalog, id)?;
    let wanted = Wanted::of(&life)?;
    let differences = differences(look, &wanted)?;
    told(look, &life, wanted, differences)
}

/// What there is to know about a request.
pub(crate) fn told(look: &Look<'_>, life: &Life, wanted: Wanted, differences: Vec<FieldChange>) -> Result<Pending> {
    let id = life.id();
    let asked = life.asked()?;
    let live = look.index.live.get(&id);
    let text = std::str::from_utf8(&wanted.data).ok().filter(|text| !text.is_empty());
    let approved = life.approved()?.map(|approved| approved.digest);
    Ok(Pending {
        request: id,
        position: life.last(),
        state: life.phase(),
        digest: asked.as_ref().map(|asked| asked.digest.clone()).or(approved).unwrap_or_default(),
        event_type: life.requested.event_type().to_owned(),
        action: life.action,
        table: life.table.name().to_owned(),
        subject: wanted.subject.clone(),
        on_behalf_of: wanted.actor.on_behalf_of.clone(),
        actor: actor_of(&life.requested.as_ref()),
        change: text.and_then(|text| RawValue::from_string(text.to_owned()).ok()),
        differences,
        asked_because: asked.as_ref().map(|asked| asked.because.clone()),
        whom: asked.map(|asked| asked.whom).unwrap_or_default(),
        answer_by: live.and_then(|live| live.answer_by).or(wanted.answer_by),
        execute_by: wanted.execute_by,
        requested_at: life.requested.recorded_at(),
    })
}

/// What a change would make of its row as it is now, field by field.
pub(crate) fn differences(look: &Look<'_>, wanted: &Wanted) -> Result<Vec<FieldChange>> {
    let mut changes = Vec::new();
    match wanted.action {
        Action::Delete => {
            let current = current(look, wanted)?.unwrap_or_default();
            for (name, value) in current.fields() {
                changes.push(FieldChange { path: name.to_owned(), from: Some(value.into_owned()), to: None });
            }
        }
        _ => {
            let mut row = current(look, wanted)?.unwrap_or_default();
            // What is no object is shown as it is, and refused when its turn comes.
            let _ = row.merge_telling(&wanted.data, |change| changes.push(change));
        }
    }
    Ok(changes)
}
