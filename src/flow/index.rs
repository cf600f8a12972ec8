//! What the flow knows without reading: who may do what, which requests wait, and where their subjects stand.
//!
//! Derived: a fold of the log up to a position, kept in `projections/annals.flow.state` now and then so that a start replays
//! only what came since. Whatever is decided on it is appended under the condition that nothing that matters came
//! behind that position, so an index that is behind decides nothing wrong; it decides again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::authority::{self, Authority};
use super::outcome::Outcome;
use super::payload::{self, StaleBecause};
use super::rows::{Facts, change_of, literal};
use super::transition::{after, is_end};
use crate::actor::ActorKind;
use crate::catalog::{Action, Catalog, Phase, Table, parts};
use crate::error::Result;
use crate::event::EventRef;
use crate::position::Position;
use crate::query::{Query, TypePattern};
use crate::reader::Reader;
use crate::time::Timestamp;

/// The table whose rows want to be told of changes.
pub(crate) const HOOKS: &str = "webhookSubscriptions";
/// Names that are remembered; above, those that no live request has are forgotten.
const NAMES_MAX: usize = 1 << 16;
/// Rows whose facts are remembered; above, all are forgotten and read again as they are needed.
const FACTS_MAX: usize = 1 << 16;

/// A request that is not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Live {
    pub(crate) phase: Phase,
    pub(crate) action: Action,
    pub(crate) table: Arc<str>,
    pub(crate) subject: Box<str>,
    pub(crate) actor_kind: ActorKind,
    pub(crate) actor: Arc<str>,
    /// Whom it was left to.
    pub(crate) whom: Arc<[String]>,
    /// Only they may answer.
    pub(crate) only: bool,
    pub(crate) answer_by: Option<Timestamp>,
    pub(crate) execute_by: Option<Timestamp>,
    /// What it was decided on; of an open one, nothing yet.
    pub(crate) basis: Position,
    /// The first event that changed the subject behind the basis, and when.
    pub(crate) moved: Option<(Position, Timestamp)>,
    pub(crate) grant: Option<Position>,
}

impl Live {
    /// The time at which it ends by itself.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        let answer_by = self.answer_by.filter(|_| self.phase != Phase::Approved);
        let execute_by = self.execute_by.filter(|_| self.phase != Phase::Requested);
        match (answer_by, execute_by) {
            (Some(answer), Some(execute)) => Some(answer.min(execute)),
            (answer, execute) => answer.or(execute),
        }
    }

    /// How it reads at a time, before the flow has written so.
    pub(crate) fn lapsed(&self, authority: &Authority, now: Timestamp) -> Option<Lapse> {
        let is_past = |time: Option<Timestamp>| time.is_some_and(|time| now >= time);
        // What came first counts, so that it reads the same however much later somebody looks.
        let moved = self.moved.filter(|_| self.phase != Phase::Requested);
        let moved = moved.filter(|(_, at)| self.phase == Phase::Approved || self.answer_by.is_none_or(|by| *at < by));
        if let Some((event, _)) = moved {
            return Some(Lapse::Stale(StaleBecause::Basis, Some(event)));
        }
        if self.phase != Phase::Approved && is_past(self.answer_by) {
            return self.answer_by.map(Lapse::Expired);
        }
        if self.phase == Phase::Requested {
            return None;
        }
        if let Some(grant) = self.grant.and_then(|id| authority.grants.get(&id)).filter(|grant| !grant.is_good(now)) {
            return Some(Lapse::Stale(StaleBecause::Grant, grant.revoked));
        }
        is_past(self.execute_by).then_some(Lapse::Stale(StaleBecause::Deadline, None))
    }
}

/// How a request ends without anybody doing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lapse {
    Expired(Timestamp),
    Stale(StaleBecause, Option<Position>),
}

impl Lapse {
    /// How the request reads from then on.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Lapse::Expired(_) => Outcome::Expired,
            Lapse::Stale(because, event) => Outcome::Stale { because, event },
        }
    }
}

/// A row of webhookSubscriptions, as far as it says who is told what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hook {
    pub(crate) url: Option<String>,
    pub(crate) events: Vec<String>,
    pub(crate) active: bool,
}

impl Hook {
    /// The address to tell of an event of this type.
    pub(crate) fn wants(&self, event_type: &str) -> Option<&str> {
        let wants = self.active && self.events.iter().any(|pattern| TypePattern::new(pattern).matches(event_type));
        self.url.as_deref().filter(|_| wants)
    }
}

/// The fold.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Everything up to here is in it.
    pub(crate) position: Position,
    pub(crate) authority: Arc<Authority>,
    pub(crate) live: BTreeMap<Position, Live>,
    /// Live requests of a subject.
    by_subject: HashMap<Box<str>, Vec<Position>>,
    /// When live requests end by themselves.
    pub(crate) due: BTreeSet<(Timestamp, Position)>,
    /// Live requests that wait for something to be done: open ones, approved ones, and those that have become stale.
    pub(crate) todo: BTreeSet<Position>,
    /// How many requests of an agent wait.
    waiting: HashMap<Arc<str>, u64>,
    /// Rows that were looked at lately.
    facts: HashMap<Box<str>, Facts>,
    /// Who wants to be told of changes, by subject.
    pub(crate) hooks: BTreeMap<String, Hook>,
    /// Names that many requests share.
    names: HashMap<Box<str>, Arc<str>>,
    lists: HashMap<Vec<String>, Arc<[String]>>,
    pub(crate) always: Always,
    /// How often something was found that is to be done.
    pub(crate) stirred: u64,
    /// The newest event that says who may do what.
    pub(crate) ruled: Position,
    /// When the newest event was recorded: the log's time is never before it.
    pub(crate) recorded_at: Timestamp,
}

/// What no decision may overlook: who may do what, and who is told.
#[derive(Debug)]
pub(crate) struct Always(pub(crate) Arc<Query>);

impl Always {
    fn of(catalog: &Catalog) -> Always {
        let hooks = catalog.table(HOOKS).into_iter().flat_map(Table::changing_types);
        Always(Arc::new(Query::all().types(authority::TYPES).or(Query::all().types(literal(hooks)))))
    }
}

impl Default for Always {
    fn default() -> Always {
        Always::of(&Catalog::core())
    }
}

impl Index {
    /// One that was kept, but for its live requests.
    pub(crate) fn at(position: Position, authority: Authority, hooks: BTreeMap<String, Hook>) -> Index {
        let always = Always::of(&authority.catalog);
        Index { position, authority: Arc::new(authority), hooks, always, ..Index::default() }
    }

    /// Takes in what is behind its position in a reader's view.
    pub(crate) fn catch_up(&mut self, reader: &Reader) -> Result<()> {
        if self.position >= reader.tail() {
            return Ok(());
        }
        let behind = Query::all().after(self.position);
        reader.scan(&behind, |event| {
            self.take(&event);
            ControlFlow::Continue(())
        })?;
        self.position = reader.tail();
        Ok(())
    }

    /// What is known of a row, read if need be. `reader` sees at least as much as the index.
    pub(crate) fn facts(&mut self, reader: &Reader, subject: &str) -> Result<Facts> {
        debug_assert!(reader.tail() >= self.position);
        if let Some(facts) = self.facts.get(subject) {
            return Ok(facts.clone());
        }
        let Some(table) = self.authority.catalog.table_of_kind(crate::subject::kind_of(subject)) else {
            return Ok(Facts::default());
        };
        let facts = Facts::of(&reader.as_of(crate::reader::AsOf::Position(self.position)), table, subject)?;
        self.remember(subject, facts.clone());
        Ok(facts)
    }

    /// What is known of a row without reading.
    pub(crate) fn known_facts(&self, subject: &str) -> Option<&Facts> {
        self.facts.get(subject)
    }

    pub(crate) fn remember(&mut self, subject: &str, facts: Facts) {
        if self.facts.len() >= FACTS_MAX {
            self.facts.clear();
        }
        self.facts.insert(subject.into(), facts);
    }

    /// How many requests of an agent wait.
    pub(crate) fn waiting(&self, agent: &str) -> u64 {
        self.waiting.get(agent).copied().unwrap_or_default()
    }

    /// Live requests of a subject.
    pub(crate) fn of_subject(&self, subject: &str) -> &[Position] {
        self.by_subject.get(subject).map_or(&[], Vec::as_slice)
    }

    /// Takes an event in; it is the next one, or one in between has no part in this.
    pub(crate) fn take(&mut self, event: &EventRef<'_>) {
        self.position = event.position();
        self.recorded_at = self.recorded_at.max(event.recorded_at());
        if event.event_type().starts_with("annals.") {
            return self.take_authority(event);
        }
        let authority = Arc::clone(&self.authority);
        let Some(table) = authority.catalog.table_of_kind(event.kind()) else { return };
        if let Some(action) = change_of(event, table) {
            if let Some(facts) = self.facts.get_mut(event.subject()) {
                facts.take(event, table);
            }
            self.moved(event);
            if table.name() == HOOKS {
                self.take_hook(event, action);
            }
        }
        if event.is_imported() {
            return;
        }
        let Some((name, action, phase)) = parts(event.event_type()) else { return };
        let (Some(action), Some(phase)) = (Action::parse(action), Phase::parse(phase)) else { return };
        if name != table.name() {
            return;
        }
        if phase == Phase::Requested {
            return self.open(event, action);
        }
        if let Some(id) = event.causation() {
            self.step(id, phase, event);
        }
    }

    fn take_authority(&mut self, event: &EventRef<'_>) {
        if !Arc::make_mut(&mut self.authority).take(event) {
            return;
        }
        self.ruled = event.position();
        match event.event_type() {
            crate::catalog::TABLE_ADDED => {
                self.facts.clear();
                self.always = Always::of(&self.authority.catalog);
            }
            authority::GRANT_REVOKED => {
                // One that names no grant revokes none.
                let Some(grant) = event.causation() else { return };
                let ids = self.live.iter().filter(|(_, live)| live.grant == Some(grant)).map(|(id, _)| *id);
                self.todo.extend(ids.collect::<Vec<_>>());
                self.stirred += 1;
            }
            _ => {}
        }
    }

    fn open(&mut self, event: &EventRef<'_>, action: Action) {
        let time = |name: &str| event.meta_value(name).and_then(|text| Timestamp::parse(text).ok());
        let actor = event.actor();
        let live = Live {
            phase: Phase::Requested,
            action,
            table: self.name(event.event_type().split('.').next().unwrap_or_default()),
            subject: event.subject().into(),
            actor_kind: actor.map_or(ActorKind::Unknown, |actor| actor.kind()),
            actor: self.name(actor.map_or("", |actor| actor.id())),
            whom: self.list(Vec::new()),
            only: false,
            answer_by: time(payload::ANSWER_BY),
            execute_by: time(payload::EXECUTE_BY),
            basis: Position::ORIGIN,
            moved: None,
            grant: None,
        };
        self.insert(event.position(), live);
    }

    pub(crate) fn insert(&mut self, id: Position, live: Live) {
        if live.actor_kind == ActorKind::Agent && live.phase != Phase::Approved {
            *self.waiting.entry(Arc::clone(&live.actor)).or_default() += 1;
        }
        if live.phase != Phase::Asked || live.moved.is_some() {
            self.stirred += 1;
            self.todo.insert(id);
        }
        self.due.extend(live.due().map(|time| (time, id)));
        self.by_subject.entry(live.subject.clone()).or_default().push(id);
        self.live.insert(id, live);
    }

    fn remove(&mut self, id: Position) -> Option<Live> {
        let live = self.live.remove(&id)?;
        if live.actor_kind == ActorKind::Agent
            && live.phase != Phase::Approved
            && let Some(count) = self.waiting.get_mut(&live.actor)
        {
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(&live.actor);
            }
        }
        self.todo.remove(&id);
        if let Some(time) = live.due() {
            self.due.remove(&(time, id));
        }
        if let Some(ids) = self.by_subject.get_mut(&live.subject) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_subject.remove(&live.subject);
            }
        }
        Some(live)
    }

    fn step(&mut self, id: Position, phase: Phase, event: &EventRef<'_>) {
        let Some(from) = self.live.get(&id).map(|live| live.phase) else { return };
        if after(Some(from), phase) != Some(phase) {
            return;
        }
        let Some(mut live) = self.remove(id) else { return };
        if is_end(phase) {
            return;
        }
        live.phase = phase;
        match phase {
            Phase::Asked => {
                let asked: payload::Asked = event.json().unwrap_or_default();
                live.whom = self.list(asked.whom);
                (live.only, live.basis) = (asked.only, asked.basis);
                live.answer_by = asked.answer_by.or(live.answer_by);
            }
            Phase::Approved => {
                let approved: payload::Approved = event.json().unwrap_or_default();
                (live.basis, live.grant) = (approved.basis, approved.grant);
                let grant = approved.grant.and_then(|id| Arc::make_mut(&mut self.authority).grants.get_mut(&id));
                grant.into_iter().for_each(|grant| grant.used += 1);
            }
            _ => {}
        }
        // What was changed between the look at it and this event is no longer what was looked at.
        live.moved = live.moved.filter(|(at, _)| *at > live.basis);
        self.insert(id, live);
    }

    /// A row has changed: what was decided on it as it was before is stale, unless it is the change itself.
    fn moved(&mut self, event: &EventRef<'_>) {
        let Some(ids) = self.by_subject.get(event.subject()) else { return };
        for id in ids.clone().into_iter().filter(|id| event.causation() != Some(*id)) {
            if let Some(live) = self.live.get_mut(&id)
                && live.moved.is_none()
            {
                live.moved = Some((event.position(), event.recorded_at()));
                if live.phase != Phase::Requested {
                    self.stirred += 1;
                    self.todo.insert(id);
                }
            }
        }
    }

    fn take_hook(&mut self, event: &EventRef<'_>, action: Action) {
        #[derive(Default, Deserialize)]
        struct Row {
            url: Option<String>,
            events: Option<Vec<String>>,
            active: Option<bool>,
        }
        if action == Action::Delete {
            self.hooks.remove(event.subject());
            return;
        }
        let new = || Hook { url: None, events: Vec::new(), active: true };
        let hook = self.hooks.entry(event.subject().to_owned()).or_insert_with(new);
        if action == Action::Create {
            *hook = new();
        }
        // A row of another shape tells nobody.
        let row: Row = event.json().unwrap_or_default();
        hook.url = row.url.or(hook.url.take());
        if let Some(events) = row.events {
            hook.events = events;
        }
        hook.active = row.active.unwrap_or(hook.active);
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        if self.names.len() >= NAMES_MAX {
            self.names.retain(|_, shared| Arc::strong_count(shared) > 1);
        }
        let shared: Arc<str> = name.into();
        self.names.insert(name.into(), Arc::clone(&shared));
        shared
    }

    fn list(&mut self, list: Vec<String>) -> Arc<[String]> {
        if let Some(known) = self.lists.get(&list) {
            return Arc::clone(known);
        }
        let shared: Arc<[String]> = list.clone().into();
        self.lists.insert(list, Arc::clone(&shared));
        shared
    }
}
