//! All requests of a store, those that have ended too.

use serde::{Serialize, Serializer};

use super::Flow;
use super::engine::{Engine, Look};
use super::life::{Life, request_of};
use super::outcome::Outcome;
use super::rows::literal;
use super::show::{Page, Pending, differences, outcome_of, told};
use super::wanted::Wanted;
use crate::catalog::{Action, Phase};
use crate::error::Result;
use crate::query::Query;

/// A request, and what became of it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RequestEntry {
    /// What it asks for. Of one that has ended, nothing is told of what would change.
    #[serde(flatten)]
    pub request: Pending,
    /// What became of it, also where the flow has not written so yet.
    #[serde(flatten, serialize_with = "fields")]
    pub outcome: Outcome,
}

/// The position of the outcome is that of the request's newest event, which is told already.
fn fields<S: Serializer>(outcome: &Outcome, serializer: S) -> Result<S::Ok, S::Error> {
    outcome.fields().serialize(serializer)
}

impl Flow {
    /// Requests that were made, oldest first: those that wait and those that have ended. What was imported is none.
    ///
    /// # Errors
    /// `Corruption`, `Io`, `Closed`.
    pub fn requests(&self, page: impl Into<Page>) -> Result<Vec<RequestEntry>> {
        self.engine.requests(page.into())
    }
}

impl Engine {
    fn requests(&self, page: Page) -> Result<Vec<RequestEntry>> {
        self.look(|look| {
            let authority = std::sync::Arc::clone(&look.index.authority);
            let catalog = &authority.catalog;
            let types = catalog
                .tables()
                .iter()
                .flat_map(|table| Action::ALL.into_iter().map(|action| table.event_type(action, Phase::Requested)));
            let mut query = Query::all().types(literal(types)).after(page.after);
            if page.is_last {
                query = query.rev();
            }
            let mut entries = Vec::new();
            for event in look.reader.read(&query) {
                if entries.len() >= page.limit {
                    break;
                }
                let event = event?;
                if !event.is_imported() && request_of(catalog, &event.as_ref()).is_some() {
                    let life = Life::read(look.reader, catalog, event.position())?;
                    entries.push(entry(look, &life)?);
                }
            }
            if page.is_last {
                entries.reverse();
            }
            Ok(entries)
        })
    }
}

fn entry(look: &Look<'_>, life: &Life) -> Result<RequestEntry> {
    let outcome = outcome_of(look, life)?;
    let wanted = Wanted::of(life)?;
    let differences = if outcome.is_final() { Vec::new() } else { differences(look, &wanted)? };
    Ok(RequestEntry { request: told(look, life, wanted, differences)?, outcome })
}
