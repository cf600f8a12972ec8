//! The state of a subject that nobody wrote a type for: its events' data, merged as JSON.

use serde::{Deserialize, Serialize};

use super::Loaded;
use super::load::load_as;
use crate::catalog::{Action, Catalog, Table};
use crate::error::Result;
use crate::event::EventRef;
use crate::json::Document;
use crate::reader::Reader;
use crate::subject;

/// The name under which documents are stored.
const NAME: &str = "annals.document";
/// The version of documents that are merged from all events.
const MERGED: u32 = 1;

/// What the events of a subject come to as one JSON document; see [`Reader::document`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Folded {
    /// The document; `None` if no event brought an object, or the last one deleted it.
    pub document: Option<Document>,
    /// Events that made it what it is.
    pub events: u64,
    /// Events that were passed over because their data is no JSON object.
    pub passed_over: u64,
}

/// Which types of events make a row, where not all of them do.
pub(crate) struct Rules<'r> {
    /// Tells these rules from others, so that what was stored under others is not used. Greater than 1.
    pub(crate) id: u32,
    /// What events of a type do; `None`: they have no part in the row.
    pub(crate) action_of: &'r dyn Fn(&str) -> Option<Action>,
}

impl Folded {
    fn apply(&mut self, event: EventRef<'_>, rules: Option<&Rules<'_>>) {
        let action = match rules {
            None => Action::Update,
            Some(rules) => match (rules.action_of)(event.event_type()) {
                Some(action) => action,
                None => return,
            },
        };
        let taken = match action {
            Action::Delete => {
                self.document = None;
                true
            }
            Action::Create => match Document::from_object(event.data()) {
                Ok(whole) => {
                    self.document = Some(whole);
                    true
                }
                Err(_) => false,
            },
            Action::Update => match &mut self.document {
                Some(document) => document.merge(event.data()).is_ok(),
                none => {
                    let mut first = Document::new();
                    let taken = first.merge(event.data()).is_ok();
                    *none = taken.then_some(first);
                    taken
                }
            },
        };
        self.events += u64::from(taken);
        self.passed_over += u64::from(!taken);
    }
}

impl Reader {
    /// What the events of a subject come to in this reader's view. Where the subject is a row of a table of the
    /// catalogue, that is what its `validated` and adopted events made of it. Else every event whose data is a JSON
    /// object is merged, as a merge patch (RFC 7396), onto what those before it made; others are passed over and
    /// counted. `None` if the subject has no event in this view.
    ///
    /// Documents are stored now and then, as the states of [`Reader::load`] are. Blocks while it reads.
    ///
    /// ```
    /// use annals::{NewEvent, Store};
    /// use serde_json::json;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// let store = Store::open(directory.path())?;
    /// store.append([
    ///     NewEvent::json("note.created", "note/n-1", &json!({"content": "A", "draft": true}))?,
    ///     NewEvent::json("note.edited", "note/n-1", &json!({"content": "B", "draft": null}))?,
    /// ])?;
    /// let note = store.reader().document("note/n-1")?.unwrap();
    /// assert_eq!(note.state.document.unwrap().to_json(), r#"{"content":"B"}"#);
    /// assert_eq!((note.version, note.state.events), (2, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `Corruption`, `Io`, `Closed`.
    pub fn document(&self, subject: &str) -> Result<Option<Loaded<Folded>>> {
        let catalog = self.catalog()?;
        let Some(table) = catalog.table_of_kind(subject::kind_of(subject)) else {
            return self.document_by(subject, None);
        };
        self.row(subject, table)
    }

    /// The same of a row of a table that is at hand.
    pub(crate) fn row(&self, subject: &str, table: &Table) -> Result<Option<Loaded<Folded>>> {
        let id = Catalog::definition_id(table).max(MERGED + 1);
        self.document_by(subject, Some(&Rules { id, action_of: &|event_type| table.action_of(event_type) }))
    }

    /// The same where only some types of events count, and some replace or delete.
    pub(crate) fn document_by(&self, subject: &str, rules: Option<&Rules<'_>>) -> Result<Option<Loaded<Folded>>> {
        let shape = rules.map_or(MERGED, |rules| rules.id);
        let loaded = load_as(self, NAME, shape, subject, &mut |folded: &mut Folded, event| {
            folded.apply(event, rules);
            Ok(())
        })?;
        Ok((loaded.version > 0).then_some(loaded))
    }
}
