//! Making requests: the request goes down with what is decided about it at once, in one append.

use uuid::Uuid;

use super::decide::{Course, Step, TOO_MANY, check_form};
use super::engine::{Engine, Look};
use super::life::{Life, actor_of, request_of};
use super::outcome::Ticketed;
use super::payload;
use super::request::Request;
use super::rows::Facts;
use super::transition::{Transition, step};
use super::wanted::Wanted;
use crate::actor::Actor;
use crate::append::{Append, Appended};
use crate::catalog::{Action, Catalog, Phase, Table};
use crate::error::{AppendError, Error, ErrorKind, Result};
use crate::event::{Event, NewEvent};
use crate::position::Position;
use crate::subject;
use crate::time::Timestamp;

/// A request that is ready to be appended, behind other events perhaps.
pub(crate) struct Made {
    pub(crate) wanted: Wanted,
    pub(crate) steps: Vec<Step>,
    /// Where its request stands in the append.
    first: usize,
}

impl Engine {
    /// Makes a request.
    pub(crate) fn request(&self, request: &Request) -> Result<Ticketed> {
        let generated = generated_id(request);
        let _under_way = self.under_way();
        let made = self.act(|look| {
            if self.made_before(look, request)?.is_some() {
                return Ok(None);
            }
            let made = self.make(look, request, &generated, 0)?;
            let append = self.append_of(look, Vec::new(), &made, request);
            Ok(Some((append, made)))
        });
        match made {
            Ok(Some((done, made))) => {
                self.took(&done, &made);
                Ok(ticketed(&done, &made))
            }
            Ok(None) => self.known(request),
            Err(error) if error.kind() == ErrorKind::KeyReused => self.known(request),
            Err(error) => Err(error),
        }
    }

    /// The request that was made before with the same key.
    fn known(&self, request: &Request) -> Result<Ticketed> {
        let known = self.look(|look| self.made_before(look, request))?;
        known.ok_or_else(|| Error::new(ErrorKind::KeyReused, "the key was used for something else"))
    }

    /// What a request comes to, as the log stands now.
    pub(crate) fn make(&self, look: &mut Look<'_>, request: &Request, id: &str, first: usize) -> Result<Made> {
        let mut wanted = wanted(&look.index.authority.catalog, request, id, look.now)?;
        wanted.batch_index = first;
        if let Some(version) = request.if_version {
            let facts = look.index.facts(look.reader, &wanted.subject)?;
            check_version(&wanted, version, &facts)?;
        }
        let steps = match self.decide(look, &mut wanted)? {
            Course::Steps(steps) => steps,
            // What is open is nothing to run yet.
            Course::Leave | Course::Later | Course::Run(_) => Vec::new(),
        };
        if let [Step::Rejected(payload::Rejected { rule: Some(rule), reason, .. })] = steps.as_slice()
            && rule == TOO_MANY
        {
            return Err(Error::new(ErrorKind::Denied, reason.as_str())
                .hinting("withdraw some, or wait until a person has answered"));
        }
        Ok(Made { wanted, steps, first })
    }

    /// The append of a request with what was decided about it, behind other events.
    pub(crate) fn append_of(
        &self,
        look: &Look<'_>,
        mut events: Vec<NewEvent>,
        made: &Made,
        request: &Request,
    ) -> Append {
        events.push(requested(&made.wanted, request));
        events.extend(self.events(look, &made.wanted, &made.steps, made.first + 1));
        let grant = made.steps.iter().find_map(Step::grant);
        let append = look.guard().around(&made.wanted, grant, Append::new(events));
        let deadlines = deadlines(look, &made.wanted, &made.steps, Phase::Requested, grant);
        let append = deadlines.into_iter().fold(append, Append::before);
        match &request.key {
            Some(key) => append.key(key),
            None => append,
        }
    }

    /// The request that the key of this one was used for.
    ///
    /// # Errors
    /// `KeyReused` if it was for something else.
    fn made_before(&self, look: &Look<'_>, request: &Request) -> Result<Option<Ticketed>> {
        let Some(key) = &request.key else { return Ok(None) };
        let Some((first, last)) = look.reader.positions_of_key(key)? else { return Ok(None) };
        let reused = || Err(AppendError::KeyReused { key: key.clone(), position: first }.into());
        for position in first.get()..=last.get() {
            let Some(event) = look.reader.event(position)? else { break };
            let Some((table, action)) = request_of(&look.index.authority.catalog, &event.as_ref()) else { continue };
            if !is_same(request, table, action, &event)? {
                return reused();
            }
            let life = Life::read(look.reader, &look.index.authority.catalog, event.position())?;
            return Ok(Some(Ticketed {
                request: life.id(),
                subject: event.subject().to_owned(),
                position: life.last(),
                duplicate: true,
            }));
        }
        reused()
    }

    /// Takes in what was appended without reading it back, where nothing came between and nothing else is concerned.
    fn took(&self, done: &Appended, made: &Made) {
        let [Step::Approved(approved), Step::Validated { owner }] = made.steps.as_slice() else { return };
        let wanted = &made.wanted;
        let mut index = self.index.lock();
        let is_plain = index.position.next() == done.first
            && done.last.get() == done.first.get() + 2
            && approved.grant.is_none()
            && made.first == 0
            && index.of_subject(&wanted.subject).is_empty()
            && wanted.table.name() != super::index::HOOKS;
        if is_plain && let Some(facts) = self.facts_after(&mut index, wanted, owner.as_deref(), done.last) {
            index.remember(&wanted.subject, facts);
            index.position = done.last;
            index.recorded_at = index.recorded_at.max(done.recorded_at);
            self.note(index.position);
        }
    }

    fn facts_after(
        &self,
        index: &mut super::index::Index,
        wanted: &Wanted,
        owner: Option<&str>,
        at: Position,
    ) -> Option<Facts> {
        let before = index.known_facts(&wanted.subject);
        match wanted.action {
            Action::Create if before.is_some() || wanted.is_unheard_of => Some(Facts {
                is_live: true,
                owner: owner.map(str::to_owned),
                workspace: wanted.workspace().map(str::to_owned),
                basis: at,
                version: before.map_or(1, |facts| facts.version + 1),
            }),
            Action::Create => None,
            action => before.map(|facts| facts.changed(action, at)),
        }
    }
}

pub(crate) fn ticketed(done: &Appended, made: &Made) -> Ticketed {
    Ticketed {
        request: Position::new(done.first.get() + made.first as u64),
        subject: made.wanted.subject.clone(),
        position: done.last,
        duplicate: done.duplicate,
    }
}

/// The times before which steps have to be appended: when what they stand on runs out.
pub(crate) fn deadlines(
    look: &Look<'_>,
    wanted: &Wanted,
    steps: &[Step],
    from: Phase,
    grant: Option<Position>,
) -> Vec<Timestamp> {
    let mut at = Some(from);
    let is_timed = steps.iter().any(|taken| {
        let step = step(at, taken.phase());
        debug_assert!(step.is_some(), "{at:?} then {}", taken.phase());
        at = Some(taken.phase());
        step.is_some_and(Transition::is_timed)
    });
    if !is_timed {
        return Vec::new();
    }
    let until = grant.and_then(|id| look.index.authority.grants.get(&id)).and_then(|grant| grant.grant.runs_out());
    [wanted.execute_by, until].into_iter().flatten().collect()
}

/// The id of a row that is to be created; empty where it needs none.
fn generated_id(request: &Request) -> String {
    match &request.id {
        Some(id) => id.clone(),
        None => Uuid::now_v7().to_string(),
    }
}

fn wanted(catalog: &Catalog, request: &Request, id: &str, now: Timestamp) -> Result<Wanted> {
    let table = table(catalog, &request.table)?;
    let actor = request.actor()?.clone();
    let data = request.data()?.to_vec();
    check_form(request.action, &data)
        .map_err(|why| Error::invalid(format!("the data of {}.{}: {why}", request.table, request.action)))?;
    if let Some((name, _)) = request.meta.iter().find(|(name, _)| name.starts_with("annals.")) {
        return Err(AppendError::Reserved(name.clone()).into());
    }
    let subject = format!("{}/{id}", table.kind());
    subject::validate(&subject).map_err(|error| Error::invalid(error.to_string()))?;
    Ok(Wanted {
        id: None,
        batch_index: 0,
        is_unheard_of: request.action == Action::Create && request.id.is_none(),
        table: table.clone(),
        action: request.action,
        subject,
        data,
        is_normalised: false,
        actor,
        tags: request.tags.clone(),
        source: request.source.clone(),
        correlation: request.correlation.clone(),
        answer_by: request.answer_by.map(|deadline| deadline.after(now)),
        execute_by: request.execute_by.map(|deadline| deadline.after(now)),
    })
}

/// The table of a name, or which there are.
pub(crate) fn table<'c>(catalog: &'c Catalog, name: &str) -> Result<&'c Table> {
    catalog.table(name).ok_or_else(|| {
        let near =
            catalog.tables().iter().find(|table| table.name().eq_ignore_ascii_case(name) || table.kind() == name);
        let hint = near.map_or_else(
            || "`annals tables STORE` lists those that are there; `annals tables STORE add NAME` adds one".to_owned(),
            |table| format!("did you mean {}?", table.name()),
        );
        Error::invalid(format!("no table is called {name:?}")).hinting(hint)
    })
}

fn check_version(wanted: &Wanted, version: u64, facts: &Facts) -> Result<()> {
    if facts.version == version {
        return Ok(());
    }
    let text = format!("{} has to be at version {version}, but it is at version {}", wanted.subject, facts.version);
    Err(Error::new(ErrorKind::Conflict, text).hinting("look at it as it is now, and ask again"))
}

/// The event that asks for it.
fn requested(wanted: &Wanted, request: &Request) -> NewEvent {
    let data = request.data.clone().unwrap_or_default();
    let mut event = wanted.event(Phase::Requested, wanted.actor.clone(), data);
    if let Some(source) = &request.source {
        event = event.source(source);
    }
    event = request.tags.iter().fold(event, |event, tag| event.tag(tag));
    event = request.meta.iter().fold(event, |event, (name, value)| event.meta(name, value));
    let times = [(payload::ANSWER_BY, wanted.answer_by), (payload::EXECUTE_BY, wanted.execute_by)];
    for (name, time) in times {
        event = time.into_iter().fold(event, |event, time| event.meta(name, time.to_string()));
    }
    if let Some(version) = request.if_version {
        event = event.meta(payload::IF_VERSION, version.to_string());
    }
    match request.cause {
        Some(cause) if request.undoes => event.meta(payload::UNDOES, cause.to_string()).caused_by(cause),
        Some(cause) => event.caused_by(cause),
        None => event,
    }
}

/// Whether an event in the log asks for the same. Times that it is to happen by are counted from when it was sent, so
/// they are no part of it; neither is an id that was generated.
fn is_same(request: &Request, table: &Table, action: Action, event: &Event) -> Result<bool> {
    let actor: &Actor = request.actor()?;
    let same_id = request.id.as_deref().is_none_or(|id| id == event.subject_id());
    Ok(table.name() == request.table
        && action == request.action
        && same_id
        && request.data()? == event.data()
        && *actor == actor_of(&event.as_ref())
        && request.source.as_deref() == event.source()
        && request.correlation.as_deref() == event.correlation()
        && event.tags().eq(request.tags.iter().map(String::as_str)))
}
