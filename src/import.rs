//! Importing another history: its events in their order, each one once, however often the import is begun again.
//!
//! | file | what |
//! |---|---|
//! | `run` | one run: checks each event, gathers batches, hands them in, tells how far it is |
//! | `known` | what stood in the store before the run, and which of it the input was found to be |
//! | `causes` | from numbers of the input to positions of the store |

mod causes;
mod known;
mod run;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::json::ImportEvent;
use crate::limits::BATCH_EVENTS_MAX;
use crate::position::Position;
use crate::store::Store;
use run::Import;

/// Events of a batch where nothing else is asked for.
const BATCH_EVENTS: usize = 1000;

type OnGroup<'a> = Box<dyn FnMut(&ImportReport) -> ControlFlow<()> + 'a>;
type OnReject<'a> = Box<dyn FnMut(&ImportEvent, &Error) -> ControlFlow<()> + 'a>;

/// How an import is done; see [`Store::import`].
pub struct ImportOptions<'a> {
    batch: usize,
    keep_recorded: bool,
    on_group: Option<OnGroup<'a>>,
    on_reject: Option<OnReject<'a>>,
}

impl Default for ImportOptions<'_> {
    fn default() -> Self {
        ImportOptions { batch: BATCH_EVENTS, keep_recorded: false, on_group: None, on_reject: None }
    }
}

impl fmt::Debug for ImportOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportOptions")
            .field("batch", &self.batch)
            .field("keep_recorded", &self.keep_recorded)
            .finish_non_exhaustive()
    }
}

impl<'a> ImportOptions<'a> {
    /// Batches of 1,000 events, recorded now; the first event that cannot be taken ends the import.
    #[must_use]
    pub fn new() -> ImportOptions<'a> {
        ImportOptions::default()
    }

    /// Events that are appended together, from 1 to [`BATCH_EVENTS_MAX`]; what lies outside is taken for the nearest.
    /// A batch that would fill more than half a segment is made shorter.
    #[must_use]
    pub fn batch(mut self, events: usize) -> Self {
        self.batch = events.clamp(1, BATCH_EVENTS_MAX);
        self
    }

    /// Keeps the times of recording that the input gives. Every event needs one, they must not run backwards, and the
    /// store has to be empty or equal to the beginning of the input.
    #[must_use]
    pub fn keep_recorded(mut self, keep: bool) -> Self {
        self.keep_recorded = keep;
        self
    }

    /// Calls `each` behind every batch that was committed, and behind as many events as a batch has where they were
    /// there already. If it breaks, nothing more is read from the input; what was read is committed, and the report
    /// says `interrupted`.
    #[must_use]
    pub fn on_group(mut self, each: impl FnMut(&ImportReport) -> ControlFlow<()> + 'a) -> Self {
        self.on_group = Some(Box::new(each));
        self
    }

    /// Calls `each` with every event that cannot be taken, and why, before the next one is read from the input. If it
    /// continues, the event is left out; if it breaks, the import ends with that error.
    #[must_use]
    pub fn on_reject(mut self, each: impl FnMut(&ImportEvent, &Error) -> ControlFlow<()> + 'a) -> Self {
        self.on_reject = Some(Box::new(each));
        self
    }
}

/// What an import has done. At its end `read` is `appended + skipped + rejected`; before, events that were read may
/// still be on their way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// Events read from the input.
    pub read: u64,
    /// Events appended.
    pub appended: u64,
    /// Events left out because they stood in the store before.
    pub skipped: u64,
    /// Events left out because they cannot be taken; only if [`ImportOptions::on_reject`] went on.
    pub rejected: u64,
    /// Events appended whose cause the input does not hold before them; it is kept as metadata `causationid`.
    pub outside_causes: u64,
    /// Events appended with more data than [`DATA_BYTES_WARN`](crate::limits::DATA_BYTES_WARN).
    pub large: u64,
    /// Events appended that would decide, grant or rule something if they had not been imported: those of the store's
    /// own types and of decisions over requests. Here they are history.
    pub without_force: u64,
    /// The newest position of the store.
    pub tail: Position,
    /// Whether [`ImportOptions::on_group`] ended it.
    pub interrupted: bool,
}

impl Store {
    /// Appends the events of another history, in their order, and blocks until all of them are synced, in both
    /// durability modes. Several batches are on their way at once; none is in the log without all before it.
    ///
    /// An event is skipped if one of equal id and equal content, as [`ImportEvent::content_equals`] says, stood in the
    /// store before, as often as it stood there. So an import that was broken off can be begun again. Events without
    /// an id are compared too, with the events of their subject that were given none.
    ///
    /// A cause is named by the [`sequence`](ImportEvent::sequence) of an event earlier in the input, wherever that one
    /// came to stand. Any other cause is kept as metadata.
    ///
    /// Names that are reserved for the store are taken: what is imported is history without force.
    ///
    /// ```
    /// use annals::{ImportEvent, ImportOptions, Store};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let store = Store::open(directory.path())?;
    /// let lines = [r#"{"id":"1","type":"note.created","subject":"note/n-1","data":{"a":1}}"#];
    /// let events = lines.iter().map(|line| ImportEvent::from_json(line.as_bytes())).collect::<annals::Result<Vec<_>>>()?;
    /// let report = store.import(events.clone(), ImportOptions::new())?;
    /// assert_eq!((report.read, report.appended, report.skipped), (1, 1, 0));
    /// let again = store.import(events, ImportOptions::new())?;
    /// assert_eq!((again.read, again.appended, again.skipped), (1, 0, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What came before the failure is in the store and synced, and was told to [`ImportOptions::on_group`].
    ///
    /// - `Invalid`, `TooLarge`: an event cannot be taken; [`Error::input_index`] says which.
    /// - `Conflict`: times of recording are to be kept, and the store is neither empty nor equal to the beginning of
    ///   the input, or somebody else appended meanwhile.
    /// - `Full`, `Poisoned`, `Closed`, `ReadOnly`, `Io`, `Corruption`: as [`Store::append_with`].
    pub fn import(
        &self,
        events: impl IntoIterator<Item = ImportEvent>,
        options: ImportOptions<'_>,
    ) -> Result<ImportReport> {
        Import::new(self, options)?.run(events)
    }
}

/// Whether events of this type would have force in a flow if they were not imported: the store's own, and the phases
/// between `requested` and `validated`. Imported tables count, as imported rows do.
fn is_without_force(event_type: &str) -> bool {
    const DECISIONS: [&str; 7] = ["asked", "approved", "rejected", "expired", "withdrawn", "failed", "stale"];
    if let Some(own) = event_type.strip_prefix("annals.") {
        return !own.starts_with("table.");
    }
    let mut parts = event_type.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some("create" | "update" | "delete"), Some(phase), None) => DECISIONS.contains(&phase),
        _ => false,
    }
}
