//! An append on its way in: checked against the limits, laid out, checksummed and hashed by the
//! thread that asks for it, before any lock is taken.

use crate::append::{Append, Condition};
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
}

impl Prepared {
    /// Checks and lays out an append. `batch_bytes_max` is what a frame may take.
    pub(crate) fn new(append: Append, hasher: TermHasher, batch_bytes_max: u64) -> Result<Prepared, AppendError> {
        let Append { events, conditions, before, key, imported, recorded_at } = append;
        check_batch(&events, &conditions, key.as_deref(), recorded_at.as_deref())?;
        for (index, event) in events.iter().enumerate() {
            check_event(index, event, imported)?;
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
        Ok(Prepared { draft, events, terms, sparse, conditions, before, key, recorded_at })
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
    too_large("a batch", "events", events.len(), limits::BATCH_EVENTS_MAX)?;
    too_large("an append", "conditions", conditions.len(), limits::CONDITIONS_MAX)?;
    if let Some(key) = key {
        too_large("the key", "bytes", key.len(), limits::KEY_BYTES_MAX)?;
        if key.is_empty() {
            return invalid("the key is empty".to_owned());
        }
    }
    if times.is_some_and(|times| times.len() != events.len() || !times.is_sorted()) {
        return invalid("kept times must be one an event, and must not run backwards".to_owned());
    }
    Ok(())
}

fn too_large(what: &str, unit: &str, found: usize, limit: usize) -> Result<(), AppendError> {
    if found <= limit {
        return Ok(());
    }
    Err(AppendError::TooLarge(Error::new(
        ErrorKind::TooLarge,
        format!("{what} has {found} {unit}; the limit is {limit}"),
    )))
}

fn check_event(index: usize, event: &NewEvent, imported: bool) -> Result<(), AppendError> {
    let invalid =
        |text: String| AppendError::Invalid(Error::invalid(format!("event {index} ({}): {text}", shown(event))));
    let size = |what: &'static str, unit: &'static str, found: usize, limit: usize| {
        if found <= limit {
            return Ok(());
        }
        let text = format!("event {index} ({}): {what} has {found} {unit}; the limit is {limit}", shown(event));
        Err(AppendError::TooLarge(Error::new(ErrorKind::TooLarge, text)))
    };
    let text = |what: &'static str, text: &str, limit: usize| {
        size(what, "bytes", text.len(), limit)?;
        match subject::control_character(text) {
            Some(found) => Err(invalid(format!("{what} holds the control character {found:?}"))),
            None => Ok(()),
        }
    };
    size("the subject", "bytes", event.subject().len(), limits::SUBJECT_BYTES_MAX)?;
    subject::validate(event.subject()).map_err(|error| invalid(error.to_string()))?;
    if event.event_type().is_empty() {
        return Err(invalid("the type is empty".to_owned()));
    }
    if let Some(field) = event.empty_field() {
        return Err(invalid(format!("the {field} is empty; leave it out instead")));
    }
    text("the type", event.event_type(), limits::TYPE_BYTES_MAX)?;
    text("the actor", event.actor_parts().map_or("", |(_, id)| id), limits::ACTOR_BYTES_MAX)?;
    text("on_behalf_of", event.on_behalf_of_str(), limits::ACTOR_BYTES_MAX)?;
    text("the source", event.source_str(), limits::SOURCE_BYTES_MAX)?;
    text("the correlation", event.correlation_str(), limits::CORRELATION_BYTES_MAX)?;
    text("the content type", event.content_type_str(), limits::CONTENT_TYPE_BYTES_MAX)?;
    text("the id", event.id_str(), limits::ID_BYTES_MAX)?;
    size("the event", "tags", event.tag_strs().len(), limits::TAGS_MAX)?;
    event.tag_strs().try_for_each(|tag| text("a tag", tag, limits::TAG_BYTES_MAX))?;
    size("the metadata", "entries", event.meta_strs().len(), limits::META_ENTRIES_MAX)?;
    let meta: usize = event.meta_strs().map(|(name, value)| name.len() + value.len()).sum();
    size("the metadata", "bytes", meta, limits::META_BYTES_MAX)?;
    size("the data", "bytes", event.data().len(), limits::DATA_BYTES_MAX)?;
    if !imported {
        let names = std::iter::once(event.event_type()).chain(event.meta_strs().map(|(name, _)| name));
        if let Some(name) = names.into_iter().find(|name| name.starts_with(RESERVED)) {
            return Err(AppendError::Reserved(name.to_owned()));
        }
    }
    match event.cause() {
        Some(Cause::InBatch(cause)) if cause >= index => {
            Err(invalid(format!("the cause is event {cause} of the batch, which is no earlier one")))
        }
        _ => Ok(()),
    }
}

fn shown(event: &NewEvent) -> String {
    let short = |text: &str| text.chars().take(40).collect::<String>();
    format!("{} on {}", short(event.event_type()).escape_debug(), short(event.subject()).escape_debug())
}
