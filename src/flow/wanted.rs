//! A change that is wanted, whether its request stands in the log or is about to be appended, and the events that are
//! made of it.

use serde::Serialize;

use super::digest::Shown;
use super::life::{Life, actor_of};
use super::request::RequestId;
use super::rows::workspace_of;
use crate::actor::{Actor, ActorKind};
use crate::catalog::{Action, Phase, Table};
use crate::error::Result;
use crate::event::{CONTENT_JSON, NewEvent};
use crate::position::Position;
use crate::time::Timestamp;

/// The name under which the flow itself appends.
pub(crate) const FLOW: &str = "flow";

/// A change that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The position of its request, if that is in the log.
    pub(crate) id: Option<RequestId>,
    /// Which event of the append its request is, if that is not in the log yet.
    pub(crate) batch_index: usize,
    /// Its subject was made up just now, so that nobody can have said anything about it.
    pub(crate) is_unheard_of: bool,
    pub(crate) table: Table,
    pub(crate) action: Action,
    pub(crate) subject: String,
    /// In the form that it has by now.
    pub(crate) data: Vec<u8>,
    /// Whether that is another one than was requested.
    pub(crate) is_normalised: bool,
    pub(crate) actor: Actor,
    pub(crate) tags: Vec<String>,
    pub(crate) source: Option<String>,
    pub(crate) correlation: Option<String>,
    pub(crate) answer_by: Option<Timestamp>,
    pub(crate) execute_by: Option<Timestamp>,
}

impl Wanted {
    pub(crate) fn of(life: &Life) -> Result<Wanted> {
        let event = life.requested.as_ref();
        let data = life.change()?;
        Ok(Wanted {
            id: Some(life.id()),
            batch_index: 0,
            is_unheard_of: false,
            table: life.table.clone(),
            action: life.action,
            subject: event.subject().to_owned(),
            is_normalised: data != event.data(),
            data,
            actor: actor_of(&event),
            tags: event.tags().map(str::to_owned).collect(),
            source: event.source().map(str::to_owned),
            correlation: event.correlation().map(str::to_owned),
            answer_by: life.answer_by(),
            execute_by: life.execute_by(),
        })
    }

    pub(crate) fn event_type(&self, phase: Phase) -> String {
        self.table.event_type(self.action, phase)
    }

    pub(crate) fn workspace(&self) -> Option<&str> {
        workspace_of(self.tags.iter().map(String::as_str))
    }

    pub(crate) fn digest(&self, basis: Position) -> String {
        let event_type = self.event_type(Phase::Requested);
        let shown = Shown {
            event_type: &event_type,
            subject: &self.subject,
            data: &self.data,
            basis,
            actor: &self.actor,
            tags: &self.tags,
            execute_by: self.execute_by,
        };
        shown.digest()
    }

    /// Whose a row would be that this creates, if the change is approved by this user.
    pub(crate) fn owner(&self, approver: Option<&str>) -> Option<String> {
        let asked_by = Some(self.actor.id()).filter(|_| self.actor.kind() == ActorKind::User);
        self.actor.on_behalf_of.as_deref().or(asked_by).or(approver).or(self.table.owner()).map(str::to_owned)
    }

    /// An event of the request's life.
    pub(crate) fn event(&self, phase: Phase, actor: Actor, data: Vec<u8>) -> NewEvent {
        let content_type = if data.is_empty() { "" } else { CONTENT_JSON };
        let event = NewEvent::bytes(self.event_type(phase), &self.subject, content_type, data).actor(actor);
        let event = match &self.correlation {
            Some(correlation) => event.correlation(correlation),
            None => event,
        };
        if phase == Phase::Requested {
            return event;
        }
        match self.id {
            Some(id) => event.caused_by(id),
            None => event.caused_by_batch(self.batch_index),
        }
    }

    /// The same, with what it carries as JSON.
    pub(crate) fn says<T: Serialize>(&self, phase: Phase, actor: Actor, data: &T) -> NewEvent {
        // What is said has only texts and numbers, which always have a JSON form.
        self.event(phase, actor, serde_json::to_vec(data).unwrap_or_default())
    }

    /// As the flow itself.
    pub(crate) fn flow_says<T: Serialize>(&self, phase: Phase, data: &T) -> NewEvent {
        self.says(phase, Actor::system(FLOW), data)
    }
}
