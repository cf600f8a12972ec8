//! JSON to events: [`ImportEvent`], an event with what its history says beside it.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::line::{Line, Text, kind_of, text, too_much_metadata};
use super::{LITERAL, Member, NO_SOURCE, is_json, looks_like_none};
use crate::actor::{Actor, ActorKind};
use crate::error::{Error, Result};
use crate::event::{CONTENT_JSON, EventRef, NewEvent};
use crate::limits::META_ENTRIES_MAX;
use crate::position::Position;
use crate::subject;
use crate::time::Timestamp;

/// What data in base64 is where nothing else was said.
const CONTENT_BYTES: &str = "application/octet-stream";

/// Base64 of the standard alphabet, whether its padding is there or not.
static BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An event of another history, to be imported: the event, and what that history says about it.
///
/// ```
/// use annals::ImportEvent;
///
/// let line = br#"{"id":"1","type":"note.created","subject":"n-1","subject_type":"note","actor":"alice","data":{"a":1}}"#;
/// let import = ImportEvent::from_json(line)?;
/// assert_eq!(import.event().subject(), "note/n-1");
/// assert_eq!(import.event().data(), br#"{"a":1}"#);
/// # Ok::<(), annals::Error>(())
/// ```
///
/// As with [`NewEvent`], limits are checked by the import itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportEvent {
    event: NewEvent,
    recorded_at: Option<Timestamp>,
    sequence: Option<Position>,
    cause: Option<ImportCause>,
}

/// What an imported event says it was caused by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportCause {
    /// The event of that [`sequence`](ImportEvent::sequence) in the same history.
    Sequence(Position),
    /// Something that is no number, such as an event's id in another system.
    Other(String),
}

impl ImportCause {
    fn of(text: &str) -> ImportCause {
        match text.parse() {
            Ok(position) => ImportCause::Sequence(position),
            Err(_) => ImportCause::Other(text.to_owned()),
        }
    }
}

/// A cause of the event's own ([`NewEvent::caused_by`]) stays what it is, a position of the store.
impl From<NewEvent> for ImportEvent {
    fn from(event: NewEvent) -> ImportEvent {
        ImportEvent { event, recorded_at: None, sequence: None, cause: None }
    }
}

impl From<ImportEvent> for NewEvent {
    fn from(import: ImportEvent) -> NewEvent {
        import.event
    }
}

impl ImportEvent {
    /// Reads a line of JSON: an event as `annals export` writes it, any CloudEvent of version 1.0 with a subject, or
    /// the plain envelope `{id, type, subject, subject_type, actor, source, time, data}`.
    ///
    /// `type` and `subject` are required. Members that are none of an event's own become metadata, data is kept byte
    /// for byte. Names that are reserved for the store are not refused: what is imported is history without force.
    ///
    /// # Errors
    /// `Invalid` with one line that names the member, such as "`type` is missing".
    pub fn from_json(line: &[u8]) -> Result<ImportEvent> {
        let mut line = Line::parse(line)?;
        match line.text(Member::SpecVersion)?.as_deref() {
            None | Some("1.0") => {}
            Some(_) => return Err(Error::invalid("`specversion` must be 1.0, the one version of CloudEvents known")),
        }
        let event_type = line.required(Member::Type)?;
        let subject = subject_of(&line)?;
        let (content_type, data) = content(&line)?;
        let mut event = NewEvent::bytes(event_type, subject, content_type, data);
        let mut kept = Vec::new();

        if let Some(id) = line.text(Member::Id)? {
            event = event.id(id);
        }
        if let Some(actor) = actor(&line, &mut kept)? {
            event = event.actor(actor);
        }
        if let Some(user) = line.text(Member::OnBehalfOf)? {
            event = event.on_behalf_of(user);
        }
        match line.text(Member::Source)? {
            Some(source) if source == NO_SOURCE => {}
            Some(source) if looks_like_none(&source) => {
                event = event.source(source.strip_suffix(LITERAL).unwrap_or(&source));
            }
            Some(source) => event = event.source(source),
            None => {}
        }
        if let Some(correlation) = line.text(Member::CorrelationId)? {
            event = event.correlation(correlation);
        }
        if let Some(time) = time(&line, Member::Time)? {
            event = event.occurred_at(time);
        }
        for tag in tags(&line)? {
            event = event.tag(tag.0);
        }
        let sequence = match line.text_or_number(Member::Sequence)? {
            None => None,
            Some(text) => {
                let sequence = text.parse().ok();
                if sequence.is_none() {
                    kept.push((Member::Sequence, text));
                }
                sequence
            }
        };
        for (name, value) in metadata(&mut line)? {
            event = event.meta(name, value);
        }
        for (member, value) in kept {
            event = event.meta(member.name(), value);
        }
        Ok(ImportEvent {
            event,
            recorded_at: time(&line, Member::RecordedTime)?,
            sequence,
            cause: line.text_or_number(Member::CausationId)?.map(|text| ImportCause::of(&text)),
        })
    }

    /// Says when the event was recorded in its own history, for an import that keeps such times.
    #[must_use]
    pub fn with_recorded_at(mut self, time: impl Into<Timestamp>) -> ImportEvent {
        self.recorded_at = Some(time.into());
        self
    }

    /// Numbers the event within its own history, for the causes of others to name it.
    #[must_use]
    pub fn with_sequence(mut self, sequence: impl Into<Position>) -> ImportEvent {
        self.sequence = Some(sequence.into());
        self
    }

    /// Says what caused the event, in terms of its own history.
    #[must_use]
    pub fn with_cause(mut self, cause: ImportCause) -> ImportEvent {
        self.cause = Some(cause);
        self
    }

    /// The event itself.
    #[must_use]
    pub fn event(&self) -> &NewEvent {
        &self.event
    }

    /// When the event was recorded in its own history.
    #[must_use]
    pub fn recorded_at(&self) -> Option<Timestamp> {
        self.recorded_at
    }

    /// The event's number within its own history; its position, where that is a log of this crate.
    #[must_use]
    pub fn sequence(&self) -> Option<Position> {
        self.sequence
    }

    /// What caused the event, in terms of its own history.
    #[must_use]
    pub fn cause(&self) -> Option<&ImportCause> {
        self.cause.as_ref()
    }

    /// The same event with its cause as metadata `causationid`, which is how a cause that the input does not hold is
    /// kept.
    #[must_use]
    pub fn with_cause_as_meta(mut self) -> ImportEvent {
        if let Some(cause) = self.cause.take() {
            let text = match cause {
                ImportCause::Sequence(position) => position.to_string(),
                ImportCause::Other(text) => text,
            };
            self.event = self.event.meta(Member::CausationId.name(), text);
        }
        self
    }

    /// Says whether a stored event has the content that this one would be stored with, `cause` being the position
    /// that its cause has in that store.
    ///
    /// Content is what the caller supplies: id, subject, type, actor, on_behalf_of, source, correlation, occurred_at,
    /// tags and metadata in their order, content type, data and cause. Position, version and recorded_at, which the
    /// log gives, are none of it. What the log fills in for a caller counts so:
    ///
    /// - An id equals the id of the stored event, derived or given, so that an export is found again in the very
    ///   store that it was made of. No id equals only an event that was given none.
    /// - A time equals the occurred_at of the stored event, and likewise the recorded_at that stands in for one. No
    ///   time equals only an event that was given none: one that was given a time holds more than this one.
    #[must_use]
    pub fn content_equals(&self, stored: &EventRef<'_>, cause: Option<Position>) -> bool {
        let event = &self.event;
        let same_id = match event.id_str() {
            "" => stored.given_id().is_none(),
            id => stored.id() == id,
        };
        let same_time = match event.occurred() {
            None => stored.head.occurred_at.is_none(),
            Some(time) => stored.occurred_at() == time,
        };
        same_id
            && same_time
            && event.subject() == stored.subject()
            && event.event_type() == stored.event_type()
            && event.actor_parts() == stored.actor().map(|actor| (actor.kind(), actor.id()))
            && event.on_behalf_of_str() == stored.on_behalf_of().unwrap_or_default()
            && event.source_str() == stored.source().unwrap_or_default()
            && event.correlation_str() == stored.correlation().unwrap_or_default()
            && cause == stored.causation()
            && event.content_type_str() == stored.content_type()
            && event.tag_strs().eq(stored.tags())
            && event.meta_strs().eq(stored.meta())
            && event.data() == stored.data()
    }
}

fn subject_of<'a>(line: &Line<'a>) -> Result<Cow<'a, str>> {
    let id = line.required(Member::Subject)?;
    let subject = match line.text(Member::SubjectType)? {
        None => id,
        Some(kind) => Cow::Owned(format!("{kind}/{id}")),
    };
    match subject::validate(&subject) {
        Ok(()) => Ok(subject),
        Err(error) => Err(Error::invalid(error.to_string())),
    }
}

/// The actor; what of it cannot be said in the terms of this crate goes to `kept`.
fn actor<'a>(line: &Line<'a>, kept: &mut Vec<(Member, Cow<'a, str>)>) -> Result<Option<Actor>> {
    let word = line.text(Member::AuthType)?;
    let plain = line.text(Member::Actor)?;
    let id = match (line.text(Member::AuthId)?, plain) {
        (None, plain) => plain,
        (id, None) => id,
        (id, Some(plain)) => {
            kept.push((Member::Actor, plain));
            id
        }
    };
    let Some(id) = id else {
        kept.extend(word.map(|word| (Member::AuthType, word)));
        return Ok(None);
    };
    let kind = match word {
        None => ActorKind::Unknown,
        Some(word) => ActorKind::from_word(&word).unwrap_or_else(|| {
            let kind = match &*word {
                "app_user" => ActorKind::User,
                "service_account" => ActorKind::System,
                _ => ActorKind::Unknown,
            };
            kept.push((Member::AuthType, word));
            kind
        }),
    };
    Ok(Some(Actor::new(kind, id)))
}

/// Content type and data.
fn content<'a>(line: &Line<'a>) -> Result<(Cow<'a, str>, Vec<u8>)> {
    let content_type = line.text_or_empty(Member::ContentType)?;
    let base64 = line.text_or_empty(Member::DataBase64)?;
    match (line.verbatim(Member::Data), base64) {
        (Some(_), Some(_)) => Err(Error::invalid("`data` and `data_base64` exclude each other")),
        (None, None) => Ok((content_type.unwrap_or_default(), Vec::new())),
        (Some(raw), None) => {
            let content_type = content_type.filter(|given| !given.is_empty()).unwrap_or(Cow::Borrowed(CONTENT_JSON));
            let data = match text(raw) {
                Some(text) if !is_json(&content_type) => {
                    let text = text.map_err(|reason| Error::invalid(format!("`data` {reason}")))?;
                    text.into_owned().into_bytes()
                }
                _ => raw.as_bytes().to_vec(),
            };
            Ok((content_type, data))
        }
        (None, Some(base64)) => {
            let data = BASE64.decode(&*base64);
            let data = data.map_err(|reason| Error::invalid(format!("`data_base64` is no base64: {reason}")))?;
            Ok((content_type.unwrap_or(Cow::Borrowed(CONTENT_BYTES)), data))
        }
    }
}

fn time(line: &Line<'_>, member: Member) -> Result<Option<Timestamp>> {
    let Some(text) = line.text(member)? else {
        return Ok(None);
    };
    let time = Timestamp::parse(&text);
    time.map(Some).map_err(|error| Error::invalid(format!("`{}`: {error}", member.name())))
}

fn tags<'a>(line: &Line<'a>) -> Result<Vec<Text<'a>>> {
    let Some(raw) = line.raw(Member::Tags) else {
        return Ok(Vec::new());
    };
    if !raw.starts_with('[') {
        return Err(Error::invalid(format!("`tags` is {}: it must be an array of texts", kind_of(raw))));
    }
    match serde_json::from_str::<Vec<Text<'a>>>(raw) {
        Ok(tags) if tags.iter().any(|tag| tag.0.is_empty()) => Err(Error::invalid("`tags` holds an empty text")),
        Ok(tags) => Ok(tags),
        Err(_) => Err(Error::invalid("`tags` must be an array of texts")),
    }
}

/// All metadata: the members of the line, with the entries of `annalsmeta` put back among them.
fn metadata<'a>(line: &mut Line<'a>) -> Result<Vec<(Cow<'a, str>, Cow<'a, str>)>> {
    let mut metadata = line.metadata()?;
    let Some(raw) = line.raw(Member::OtherMeta) else {
        return Ok(metadata);
    };
    let refused = || Error::invalid("`annalsmeta` must be an array of [index, name, value], the indexes rising");
    let others: Vec<(usize, Text<'a>, Text<'a>)> = serde_json::from_str(raw).map_err(|_| refused())?;
    if others.len() > META_ENTRIES_MAX {
        return Err(too_much_metadata());
    }
    let mut least = 0;
    for (index, name, value) in others {
        if index < least || index > metadata.len() || name.0.is_empty() {
            return Err(refused());
        }
        metadata.insert(index, (name.0, value.0));
        least = index + 1;
    }
    Ok(metadata)
}
