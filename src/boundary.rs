//! What may be appended from outside the flow: types of the catalogue's tables mean something, so not everybody may
//! say them.
//!
//! | type | from outside |
//! |---|---|
//! | `{table}.{action}.requested` | free: a request, which the flow decides |
//! | `{table}.{action}.{any other phase}` | refused: only the flow says so |
//! | `{table}.{x}.{y}` where only one of the two is an action or a phase | refused: it looks like one of these and is none |
//! | `webhooks.deliver.requested` | systems, and who names no actor |
//! | what a table has adopted | users, systems, and who names no actor: it changes rows without an approval |
//! | all others | free |
//!
//! An import may bring them all; what it brings is history.

use std::collections::HashSet;
use std::sync::Arc;

use crate::actor::ActorKind;
use crate::append::Append;
use crate::catalog::{Action, Catalog, Phase, TABLE_ADDED, WEBHOOK_DELIVER_REQUESTED, parts};
use crate::error::{AppendError, Error, ErrorKind, Result};
use crate::event::NewEvent;
use crate::store::Store;

/// What is refused in a store, by its catalogue.
#[derive(Debug)]
pub(crate) struct Boundary {
    tables: HashSet<String>,
    adopted: HashSet<String>,
}

impl Boundary {
    fn of(catalog: &Catalog) -> Boundary {
        Boundary {
            tables: catalog.tables().iter().map(|table| table.name().to_owned()).collect(),
            adopted: catalog
                .tables()
                .iter()
                .flat_map(|table| table.adopts().map(|(name, _)| name.to_owned()).collect::<Vec<_>>())
                .collect(),
        }
    }

    fn check(&self, event: &NewEvent) -> Result<(), AppendError> {
        let name = event.event_type();
        if let Some((table, action, phase)) = parts(name)
            && let (action, phase) = (Action::parse(action), Phase::parse(phase))
            && (action.is_some() || phase.is_some())
            && self.tables.contains(table)
        {
            return match (action, phase) {
                (Some(_), Some(Phase::Requested)) => Ok(()),
                _ => Err(AppendError::Reserved(name.to_owned())),
            };
        }
        let kind = event.actor_parts().map(|(kind, _)| kind);
        let may = match kind {
            None | Some(ActorKind::System) => true,
            Some(ActorKind::User) => name != WEBHOOK_DELIVER_REQUESTED,
            Some(_) => false,
        };
        if may || !(name == WEBHOOK_DELIVER_REQUESTED || self.adopted.contains(name)) {
            return Ok(());
        }
        let who = kind.map_or("nobody", ActorKind::as_str);
        let text = format!("{name} changes rows without an approval, so no actor of kind {who} may append it");
        Err(AppendError::Denied(Error::new(ErrorKind::Denied, text).hinting("ask for the change with a request")))
    }
}

impl Store {
    /// Whether an append says what only the flow may.
    pub(crate) fn check_boundary(&self, append: &Append) -> Result<(), AppendError> {
        if append.imported || append.reserved {
            return Ok(());
        }
        let boundary = match self.inner.boundary.load_full() {
            Some(boundary) => boundary,
            None => match self.read_boundary() {
                Ok(boundary) => boundary,
                // What no table could make anything of goes on where the tables cannot be read.
                Err(_) if append.events.iter().all(is_harmless) => return Ok(()),
                Err(error) => return Err(error.into()),
            },
        };
        append.events.iter().try_for_each(|event| boundary.check(event))
    }

    fn read_boundary(&self) -> Result<Arc<Boundary>> {
        let boundary = Arc::new(Boundary::of(&self.catalog()?));
        self.inner.boundary.store(Some(Arc::clone(&boundary)));
        Ok(boundary)
    }

    /// After an append: tables may have come with it.
    pub(crate) fn forget_boundary(&self) {
        self.inner.boundary.store(None);
    }
}

/// Whether an event would be taken whatever tables there are.
fn is_harmless(event: &NewEvent) -> bool {
    let is_plain = parts(event.event_type())
        .is_none_or(|(_, action, phase)| Action::parse(action).is_none() && Phase::parse(phase).is_none());
    let kind = event.actor_parts().map(|(kind, _)| kind);
    is_plain
        && matches!(kind, None | Some(ActorKind::User | ActorKind::System))
        && event.event_type() != WEBHOOK_DELIVER_REQUESTED
}

/// Whether an append brings a table.
pub(crate) fn adds_tables(append: &Append) -> bool {
    (append.imported || append.reserved) && append.events.iter().any(|event| event.event_type() == TABLE_ADDED)
}
