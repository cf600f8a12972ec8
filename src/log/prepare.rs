//! An append on its way in: checked against the limits, laid out, checksummed and hashed by the
//! thread that asks for it, before any lock is taken.

use crate::append::{Append, Condition, Link};
use crate::error::{AppendError, Error, ErrorKind};
use crate::event::{Cause, NewEvent};
use crate::format::draft::{Draft, DraftFacts};
use crate::format::term::{Dimension, TermHasher};
use crate::limits;
use crate::segment::mem_index::EventTerms;
use crate::subject;
use crate::time::Timestamp;

/// Names that begin so belong to the store itself.
const RESERVED: &str = "annals.";

#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) draft: Draft,
    pub(crate) events: Vec<NewEvent>,
    pub(crate) terms: Vec<EventTerms>,
    /// Further terms: index of the event, dimension, hash. In order of the index.
    pub(crate) sparse: Vec<(u32, Dimension, u64)>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) before: Option<Timestamp>,
    /// The idempotency key and its hash.
    pub(crate) key: Option<(String, u64)>,
    pub(crate) recorded_at: Option<Vec<Timestamp>>,
    pub(crate) link: Option<Link>,
}

impl Prepared {
    /// Checks and lays out an append. `batch_bytes_max` is what a frame may take.
    pub(crate) fn new(append: Append, hasher: TermHasher, batch_bytes_max: u64) -> Result<Prepared, AppendError> {
        let Append { events, conditions, before, key, imported, reserved, recorded_at, link } = append;
        check_batch(&events, &conditions, key.as_deref(), recorded_at.as_deref())?;
        for (index, event) in events.iter().enumerate() {
            check_event(event, imported || reserved)
                .and_then(|()| check_cause(index, event))
                .map_err(|refusal| refusal.of_event(index, event))?;
        }
        let facts = DraftFacts { key: key.as_deref(), imported, recorded_at: recorded_at.as_deref() };
        let draft = Draft::new(&events, &facts);
        if draft.frame_bytes_max() > batch_bytes_max {
            let text = format!(
                "the batch takes {} bytes; half a segment, {batch_bytes_max}, is the limit",
                draft.frame_bytes_max()
            );
            return Err(AppendError::TooLarge(
                Error::new(ErrorKind::TooLarge, text)
                    .hinting("append smaller batches, or open the store with larger segments"),
            ));
        }
        let mut sparse = Vec::new();
        let terms = (0u32..).zip(&events).map(|(index, event)| hash_terms(hasher, index, event, &mut sparse)).collect();
        let key = key.map(|key| {
            let hash = hasher.hash(Dimension::Key, key.as_bytes());
            (key, hash)
        });
        Ok(Prepared { draft, events, terms, sparse, conditions, before, key, recorded_at, link })
    }
}

fn hash_terms(hasher: TermHasher, index: u32, event: &NewEvent, sparse: &mut Vec<(u32, Dimension, u64)>) -> EventTerms {
    let mut text = |dimension: Dimension, value: &str| {
        if !value.is_empty() {
            sparse.push((index, dimension, hasher.hash(dimension, value.as_bytes())));
        }
    };
    text(Dimension::OnBehalfOf, event.on_behalf_of_str());
    text(Dimension::Source, event.source_str());
    text(Dimension::Correlation, event.correlation_str());
    event.tag_strs().for_each(|tag| text(Dimension::Tag, tag));
    if let Some(Cause::At(position)) = event.cause() {
        sparse.push((index, Dimension::Causation, hasher.hash(Dimension::Causation, &position.get().to_le_bytes())));
    }
    let id = event.id_str();
    EventTerms {
        subject: hasher.subject(event.subject()),
        kind: hasher.hash(Dimension::Kind, subject::kind_of(event.subject()).as_bytes()),
        event_type: hasher.hash(Dimension::Type, event.event_type().as_bytes()),
        actor: event.actor_parts().map_or(0, |(kind, id)| hasher.actor(kind, id)),
        id: if id.is_empty() { 0 } else { hasher.hash(Dimension::Id, id.as_bytes()) },
    }
}

fn check_batch(
    events: &[NewEvent],
    conditions: &[Condition],
    key: Option<&str>,
    times: Option<&[Timestamp]>,
) -> Result<(), AppendError> {
    let invalid = |text: String| Err(AppendError::Invalid(Error::invalid(text)));
    if events.is_empty() {
        return invalid("an append needs at least one event".to_owned());
    }
    size("a batch", "events", events.len(), limits::BATCH_EVENTS_MAX).map_err(Refusal::of_batch)?;
    size("an append", "conditions", conditions.len(), limits::CONDITIONS_MAX).map_err(Refusal::of_batch)?;
    if let Some(key) = key {
        size("the key", "bytes", key.len(), limits::KEY_BYTES_MAX).map_err(Refusal::of_batch)?;
        if key.is_empty() {
            return invalid("the key is empty".to_owned());
        }
    }
    if times.is_some_and(|times| times.len() != events.len() || !times.is_sorted()) {
        return invalid("kept times must be one an event, and must not run backwards".to_owned());
    }
    Ok(())
}

/// Why an event cannot be appended, in words that do not name the event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Invalid(String),
    TooLarge(String),
    /// A name that belongs to the store.
    Reserved(String),
}

impl Refusal {
    fn of_event(self, index: usize, event: &NewEvent) -> AppendError {
        let named = |text: String| format!("event {index} ({}): {text}", shown(event));
        match self {
            Refusal::Invalid(text) => Refusal::Invalid(named(text)).of_batch(),
            Refusal::TooLarge(text) => Refusal::TooLarge(named(text)).of_batch(),
            Refusal::Reserved(_) => self.of_batch(),
        }
    }

    fn of_batch(self) -> AppendError {
        match self {
            Refusal::Invalid(text) => AppendError::Invalid(Error::invalid(text)),
            Refusal::TooLarge(text) => AppendError::TooLarge(Error::new(ErrorKind::TooLarge, text)),
            Refusal::Reserved(name) => AppendError::Reserved(name),
        }
    }
}

/// Checks an event by itself. Reserved names are taken from an import and from the store itself.
pub(crate) fn check_event(event: &NewEvent, may_be_reserved: bool) -> Result<(), Refusal> {
    let strings = [
        ("the type", event.event_type(), limits::TYPE_BYTES_MAX),
        ("the actor", event.actor_parts().map_or("", |(_, id)| id), limits::ACTOR_BYTES_MAX),
        ("the on_behalf_of", event.on_behalf_of_str(), limits::ACTOR_BYTES_MAX),
        ("the source", event.source_str(), limits::SOURCE_BYTES_MAX),
        ("the correlation", event.correlation_str(), limits::CORRELATION_BYTES_MAX),
        ("the content type", event.content_type_str(), limits::CONTENT_TYPE_BYTES_MAX),
        ("the id", event.id_str(), limits::ID_BYTES_MAX),
    ];
    size("the subject", "bytes", event.subject().len(), limits::SUBJECT_BYTES_MAX)?;
    // All texts of an event lie side by side: nearly always one look over them tells that none is to be looked at alone.
    let is_plain = subject::is_printable_ascii(event.text());
    let checked = if is_plain { subject::validate_parts } else { subject::validate };
    checked(event.subject()).map_err(|error| Refusal::Invalid(error.to_string()))?;
    if event.event_type().is_empty() {
        return Err(Refusal::Invalid("the type is empty".to_owned()));
    }
    if let Some(field) = event.empty_field() {
        return Err(Refusal::Invalid(format!("the {field} is empty; leave it out instead")));
    }
    for (name, text, limit) in strings {
        size(name, "bytes", text.len(), limit)?;
        if !is_plain {
            no_control(name, text)?;
        }
    }
    size("the event", "tags", event.tag_strs().len(), limits::TAGS_MAX)?;
    for tag in event.tag_strs() {
        size("a tag", "bytes", tag.len(), limits::TAG_BYTES_MAX)?;
        if !is_plain {
            no_control("a tag", tag)?;
        }
    }
    size("the metadata", "entries", event.meta_strs().len(), limits::META_ENTRIES_MAX)?;
    let meta: usize = event.meta_strs().map(|(name, value)| name.len() + value.len()).sum();
    size("the metadata", "bytes", meta, limits::META_BYTES_MAX)?;
    size("the data", "bytes", event.data().len(), limits::DATA_BYTES_MAX)?;
    if !may_be_reserved {
        let names = std::iter::once(event.event_type()).chain(event.meta_strs().map(|(name, _)| name));
        if let Some(name) = names.into_iter().find(|name| name.starts_with(RESERVED)) {
            return Err(Refusal::Reserved(name.to_owned()));
        }
    }
    Ok(())
}

/// A cause within the batch has to be an earlier event of it.
fn check_cause(index: usize, event: &NewEvent) -> Result<(), Refusal> {
    match event.cause() {
        Some(Cause::InBatch(cause)) if cause >= index => {
            Err(Refusal::Invalid(format!("the cause is event {cause} of the batch, which is no earlier one")))
        }
        _ => Ok(()),
    }
}

fn size(what: &str, unit: &str, found: usize, limit: usize) -> Result<(), Refusal> {
    if found <= limit {
        return Ok(());
    }
    Err(Refusal::TooLarge(format!("{what} has {found} {unit}; the limit is {limit}")))
}

fn no_control(name: &str, text: &str) -> Result<(), Refusal> {
    match subject::control_character(text) {
        Some(found) => Err(Refusal::Invalid(format!("{name} holds the control character {found:?}"))),
        None => Ok(()),
    }
}

fn shown(event: &NewEvent) -> String {
    let short = |text: &str| text.chars().take(40).collect::<String>();
    format!("{} on {}", short(event.event_type()).escape_debug(), short(event.subject()).escape_debug())
}
