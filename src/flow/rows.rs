//! What the log knows about a row: whether it is there, whose it is, where it belongs, when it last changed.

use std::ops::ControlFlow;

use crate::actor::ActorKind;
use crate::catalog::{Action, OWNER, Phase, Table};
use crate::error::Result;
use crate::event::EventRef;
use crate::json::Document;
use crate::position::Position;
use crate::query::Query;
use crate::reader::Reader;

/// Tags that say to which workspace a subject belongs begin so.
pub(crate) const WORKSPACE: &str = "workspace:";

/// What the events of a subject say about its row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// It was created, and not deleted since.
    pub(crate) is_live: bool,
    /// Whose it is, by its create.
    pub(crate) owner: Option<String>,
    /// Where it belongs, by its create.
    pub(crate) workspace: Option<String>,
    /// The event that changed it last: the basis of who decides now.
    pub(crate) basis: Position,
    /// How often it was changed.
    pub(crate) version: u64,
}

impl Facts {
    /// What a reader's view says about the row of a subject. Reads all events that changed it.
    pub(crate) fn of(reader: &Reader, table: &Table, subject: &str) -> Result<Facts> {
        let mut facts = Facts::default();
        let changes = Query::all().subject(subject).types(literal(table.changing_types()));
        reader.scan(&changes, |event| {
            facts.take(&event, table);
            ControlFlow::Continue(())
        })?;
        Ok(facts)
    }

    /// Takes in an event of the subject; those that change nothing are passed over.
    pub(crate) fn take(&mut self, event: &EventRef<'_>, table: &Table) {
        let Some(action) = change_of(event, table) else { return };
        if action == Action::Delete && !self.is_live {
            return;
        }
        self.basis = event.position();
        self.version += 1;
        match action {
            Action::Delete => self.is_live = false,
            Action::Update if self.is_live => {}
            // An adopted history may begin anywhere.
            Action::Create | Action::Update => {
                let user = event.actor().filter(|actor| actor.kind() == ActorKind::User).map(|actor| actor.id());
                let owner = event.meta_value(OWNER).or(event.on_behalf_of()).or(user).or(table.owner());
                self.owner = owner.map(str::to_owned);
                self.workspace = workspace_of(event.tags()).map(str::to_owned);
                self.is_live = true;
            }
        }
    }

    /// The row as it would stand after a change, for what follows in the same append.
    pub(crate) fn changed(&self, action: Action, at: Position) -> Facts {
        Facts { is_live: action != Action::Delete, basis: at, version: self.version + 1, ..self.clone() }
    }
}

/// What an event does to the row of its subject, if it does anything. What was adopted was not looked at by anybody: of
/// it, data that is no object changes nothing.
pub(crate) fn change_of(event: &EventRef<'_>, table: &Table) -> Option<Action> {
    let action = table.action_of(event.event_type())?;
    let is_sound = action == Action::Delete
        || is_phase(event.event_type(), Phase::Validated)
        || Document::from_object(event.data()).is_ok();
    is_sound.then_some(action)
}

/// The workspace that tags name first.
pub(crate) fn workspace_of<'t>(tags: impl Iterator<Item = &'t str>) -> Option<&'t str> {
    tags.filter_map(|tag| tag.strip_prefix(WORKSPACE)).find(|workspace| !workspace.is_empty())
}

/// Whether a type ends in this phase.
pub(crate) fn is_phase(event_type: &str, phase: Phase) -> bool {
    event_type.rsplit('.').next() == Some(phase.as_str())
}

/// Types as patterns for just these types: an adopted one may hold a star of its own.
pub(crate) fn literal(types: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    types.map(|name| {
        name.split('.')
            .map(|part| if part.contains('*') { part.replace('*', "\\*") } else { part.to_owned() })
            .collect::<Vec<_>>()
            .join(".")
    })
}
