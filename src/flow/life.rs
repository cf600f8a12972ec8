//! The life of one request, read from the log: the event that asked for it, and what it caused.

use super::outcome::{AlreadyDecided, Outcome};
use super::payload;
use super::request::RequestId;
use super::transition::{after, is_end};
use crate::actor::Actor;
use crate::catalog::{Action, Catalog, Phase, Table, parts};
use crate::error::{Error, Result};
use crate::event::{Event, EventRef};
use crate::position::Position;
use crate::query::Query;
use crate::reader::Reader;
use crate::time::Timestamp;

/// A request and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) requested: Event,
    pub(crate) table: Table,
    pub(crate) action: Action,
    /// The steps that were taken, in order; none that the table of transitions does not know.
    pub(crate) steps: Vec<(Phase, Event)>,
}

impl Life {
    /// Reads the life of a request; `NotFound` if there is no such one in the reader's view.
    pub(crate) fn read(reader: &Reader, catalog: &Catalog, id: RequestId) -> Result<Life> {
        let mut life = Life::begin(reader, catalog, id)?;
        life.go_on(reader)?;
        Ok(life)
    }

    /// Reads the request alone, of which nothing more is known to follow.
    pub(crate) fn begin(reader: &Reader, catalog: &Catalog, id: RequestId) -> Result<Life> {
        let Some(requested) = reader.event(id)? else {
            return Err(unknown(id, "there is no such position"));
        };
        let Some((table, action)) = request_of(catalog, &requested.as_ref()) else {
            return Err(unknown(id, &format!("the event there is a {}", requested.event_type())));
        };
        Ok(Life { table: table.clone(), action, steps: Vec::new(), requested })
    }

    fn go_on(&mut self, reader: &Reader) -> Result<()> {
        for event in reader.read(&Query::all().caused_by(self.id())) {
            let event = event?;
            let Some((table, action, phase)) = parts(event.event_type()) else { continue };
            let Some(phase) = Phase::parse(phase) else { continue };
            let is_of_it = table == self.table.name()
                && Action::parse(action) == Some(self.action)
                && event.subject() == self.requested.subject();
            // What was imported has no force on what was not.
            if is_of_it
                && event.is_imported() == self.requested.is_imported()
                && after(Some(self.phase()), phase) == Some(phase)
            {
                self.steps.push((phase, event));
            }
        }
        Ok(())
    }

    pub(crate) fn id(&self) -> RequestId {
        self.requested.position()
    }

    /// Where it stands.
    pub(crate) fn phase(&self) -> Phase {
        self.steps.last().map_or(Phase::Requested, |(phase, _)| *phase)
    }

    /// The newest event of it.
    pub(crate) fn last(&self) -> Position {
        self.steps.last().map_or(self.id(), |(_, event)| event.position())
    }

    pub(crate) fn step(&self, phase: Phase) -> Option<&Event> {
        self.steps.iter().find(|(known, _)| *known == phase).map(|(_, event)| event)
    }

    /// What a person was asked, if one was.
    pub(crate) fn asked(&self) -> Result<Option<payload::Asked>> {
        self.step(Phase::Asked).map(Event::json).transpose()
    }

    /// How it was approved, if it was.
    pub(crate) fn approved(&self) -> Result<Option<payload::Approved>> {
        self.step(Phase::Approved).map(Event::json).transpose()
    }

    /// The change in the form that was shown or approved, if it was yet; else as it was requested.
    pub(crate) fn change(&self) -> Result<Vec<u8>> {
        let approved = self.approved()?.and_then(|approved| approved.change);
        let shown = match approved {
            Some(change) => Some(change),
            None => self.asked()?.and_then(|asked| asked.change),
        };
        Ok(shown.map_or_else(|| self.requested.data().to_vec(), |change| change.get().as_bytes().to_vec()))
    }

    pub(crate) fn outcome(&self) -> Result<Outcome> {
        let Some((phase, event)) = self.steps.last() else { return Ok(Outcome::Pending) };
        Ok(match phase {
            Phase::Validated => Outcome::Validated { position: event.position() },
            Phase::Rejected => {
                let data: payload::Rejected = event.json()?;
                Outcome::Rejected { by: decider(event, data.rule.as_deref()), reason: data.reason }
            }
            Phase::Failed => Outcome::Failed { reason: event.json::<payload::Failed>()?.reason },
            Phase::Expired => Outcome::Expired,
            Phase::Withdrawn => Outcome::Withdrawn,
            Phase::Stale => {
                let data: payload::Stale = event.json()?;
                Outcome::Stale { because: data.because, event: data.event }
            }
            Phase::Requested | Phase::Asked | Phase::Approved => Outcome::Pending,
        })
    }

    /// Who decided it first, for who came second; `None` while nobody has.
    pub(crate) fn decided(&self) -> Result<Option<AlreadyDecided>> {
        let decision = self.steps.iter().find(|(phase, _)| *phase == Phase::Approved || is_end(*phase));
        let Some((phase, event)) = decision else { return Ok(None) };
        let rule = match phase {
            Phase::Approved => event.json::<payload::Approved>()?.rule,
            Phase::Rejected => event.json::<payload::Rejected>()?.rule,
            Phase::Expired => Some("the clock".to_owned()),
            _ => None,
        };
        let by = decider(event, rule.as_deref());
        Ok(Some(AlreadyDecided { by, at: event.recorded_at(), position: event.position(), outcome: *phase }))
    }

    pub(crate) fn execute_by(&self) -> Option<Timestamp> {
        time_of(&self.requested, payload::EXECUTE_BY)
    }

    pub(crate) fn answer_by(&self) -> Option<Timestamp> {
        time_of(&self.requested, payload::ANSWER_BY)
    }
}

pub(crate) fn time_of(event: &Event, name: &str) -> Option<Timestamp> {
    event.meta_value(name).and_then(|text| Timestamp::parse(text).ok())
}

/// Who a decision is by: the rule that made it, else its actor.
fn decider(event: &Event, rule: Option<&str>) -> String {
    match rule {
        Some(rule) => format!("rule {rule}"),
        None => event.actor().map_or("nobody".to_owned(), |actor| actor.to_string()),
    }
}

/// The table and action that an event asks for, if it is a request of a catalogue's table.
pub(crate) fn request_of<'c>(catalog: &'c Catalog, event: &EventRef<'_>) -> Option<(&'c Table, Action)> {
    let (name, action, phase) = parts(event.event_type())?;
    let table = catalog.table_of_kind(event.kind()).filter(|table| table.name() == name)?;
    Some((table, Action::parse(action).filter(|_| phase == Phase::Requested.as_str())?))
}

/// The actor of an event, with whom it acted for.
pub(crate) fn actor_of(event: &EventRef<'_>) -> Actor {
    let actor = match event.actor() {
        Some(actor) => Actor::new(actor.kind(), actor.id()),
        None => Actor::unknown("nobody"),
    };
    match event.on_behalf_of() {
        Some(user) => actor.on_behalf_of(user),
        None => actor,
    }
}

fn unknown(id: RequestId, why: &str) -> Error {
    Error::not_found(format!("no request has the number {id}: {why}"))
        .hinting("`annals requests STORE` lists those that wait; a request's number is the position of its event")
}
