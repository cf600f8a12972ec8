//! The event as it is written: [`NewEvent`] collects its strings in one arena, because an append
//! at memory speed has no time for six allocations an event.

use serde::Serialize;

use crate::actor::{Actor, ActorKind};
use crate::error::{Error, Result};
use crate::event::CONTENT_JSON;
use crate::position::Position;
use crate::time::Timestamp;

/// A piece of a [`NewEvent`]'s text: byte offset and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// What caused an event: one in the log, or an earlier one of the same append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    At(Position),
    InBatch(usize),
}

/// An event to be appended.
///
/// ```
/// use annals::{Actor, NewEvent};
/// use serde_json::json;
///
/// let event = NewEvent::json("note.created", "note/n-1", &json!({"content": "A"}))?
///     .actor(Actor::user("alice"))
///     .tag("workspace:7");
/// assert_eq!(event.subject(), "note/n-1");
/// # Ok::<(), annals::Error>(())
/// ```
///
/// Nothing is checked here but that JSON can be made: limits and names are checked by the append,
/// which refuses the whole batch and names the field.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    text: String,
    subject: Span,
    event_type: Span,
    content_type: Span,
    id: Option<Span>,
    actor: Option<(ActorKind, Span)>,
    on_behalf_of: Option<Span>,
    source: Option<Span>,
    correlation: Option<Span>,
    tags: Vec<Span>,
    meta: Vec<(Span, Span)>,
    cause: Option<Cause>,
    occurred_at: Option<Timestamp>,
    data: Vec<u8>,
}

impl NewEvent {
    /// An event whose data is the JSON form of `value`.
    ///
    /// # Errors
    /// `Invalid` if the value cannot be written as JSON.
    pub fn json<T: Serialize + ?Sized>(
        event_type: impl AsRef<str>,
        subject: impl AsRef<str>,
        value: &T,
    ) -> Result<NewEvent> {
        let data = serde_json::to_vec(value).map_err(|error| {
            Error::invalid(format!("the data of {:?} cannot be written as JSON: {error}", event_type.as_ref()))
        })?;
        Ok(NewEvent::bytes(event_type, subject, CONTENT_JSON, data))
    }

    /// An event whose data is `bytes`, kept verbatim.
    pub fn bytes(
        event_type: impl AsRef<str>,
        subject: impl AsRef<str>,
        content_type: impl AsRef<str>,
        bytes: impl Into<Vec<u8>>,
    ) -> NewEvent {
        let (event_type, subject, content_type) = (event_type.as_ref(), subject.as_ref(), content_type.as_ref());
        let mut text = String::with_capacity(event_type.len() + subject.len() + content_type.len() + 48);
        let subject = push(&mut text, subject);
        let event_type = push(&mut text, event_type);
        let content_type = push(&mut text, content_type);
        NewEvent {
            text,
            subject,
            event_type,
            content_type,
            id: None,
            actor: None,
            on_behalf_of: None,
            source: None,
            correlation: None,
            tags: Vec::new(),
            meta: Vec::new(),
            cause: None,
            occurred_at: None,
            data: bytes.into(),
        }
    }

    /// An id of the producer's own; without one the log derives it from log id, epoch and position.
    #[must_use]
    pub fn id(mut self, id: impl AsRef<str>) -> NewEvent {
        self.id = Some(push(&mut self.text, id.as_ref()));
        self
    }

    /// Who did it; if the actor acts for somebody, that is taken over too.
    #[must_use]
    pub fn actor(mut self, actor: Actor) -> NewEvent {
        self.actor = Some((actor.kind, push(&mut self.text, &actor.id)));
        match actor.on_behalf_of {
            Some(user) => self.on_behalf_of(user),
            None => self,
        }
    }

    /// The user for whom the actor acts.
    #[must_use]
    pub fn on_behalf_of(mut self, user: impl AsRef<str>) -> NewEvent {
        self.on_behalf_of = Some(push(&mut self.text, user.as_ref()));
        self
    }

    /// Where the event comes from. It is told, never trusted.
    #[must_use]
    pub fn source(mut self, source: impl AsRef<str>) -> NewEvent {
        self.source = Some(push(&mut self.text, source.as_ref()));
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, tag: impl AsRef<str>) -> NewEvent {
        let span = push(&mut self.text, tag.as_ref());
        self.tags.push(span);
        self
    }

    /// When it happened, if that is not when it is recorded.
    #[must_use]
    pub fn occurred_at(mut self, time: impl Into<Timestamp>) -> NewEvent {
        self.occurred_at = Some(time.into());
        self
    }

    /// What ties events of one undertaking together.
    #[must_use]
    pub fn correlation(mut self, correlation: impl AsRef<str>) -> NewEvent {
        self.correlation = Some(push(&mut self.text, correlation.as_ref()));
        self
    }

    /// The event in the log that caused this one.
    #[must_use]
    pub fn caused_by(mut self, position: impl Into<Position>) -> NewEvent {
        self.cause = Some(Cause::At(position.into()));
        self
    }

    /// The earlier event of the same append that caused this one, by its 0-based index.
    #[must_use]
    pub fn caused_by_batch(mut self, index: usize) -> NewEvent {
        self.cause = Some(Cause::InBatch(index));
        self
    }

    /// The same event, so many places further back in its append: what causes it there has moved with it.
    pub(crate) fn moved_in_batch(mut self, places: usize) -> NewEvent {
        if let Some(Cause::InBatch(index)) = &mut self.cause {
            *index += places;
        }
        self
    }

    /// Adds an entry of metadata, such as `traceparent`.
    #[must_use]
    pub fn meta(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> NewEvent {
        let entry = (push(&mut self.text, name.as_ref()), push(&mut self.text, value.as_ref()));
        self.meta.push(entry);
        self
    }

    /// What the event is about.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.str(self.subject)
    }

    /// What happened.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.str(self.event_type)
    }

    /// The data, as it will stand in the log.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    pub(crate) fn str(&self, span: Span) -> &str {
        &self.text[span.start as usize..(span.start + span.len) as usize]
    }

    fn optional(&self, span: Option<Span>) -> &str {
        span.map_or("", |span| self.str(span))
    }

    pub(crate) fn content_type_str(&self) -> &str {
        self.str(self.content_type)
    }

    pub(crate) fn id_str(&self) -> &str {
        self.optional(self.id)
    }

    pub(crate) fn actor_parts(&self) -> Option<(ActorKind, &str)> {
        self.actor.map(|(kind, span)| (kind, self.str(span)))
    }

    pub(crate) fn on_behalf_of_str(&self) -> &str {
        self.optional(self.on_behalf_of)
    }

    pub(crate) fn source_str(&self) -> &str {
        self.optional(self.source)
    }

    pub(crate) fn correlation_str(&self) -> &str {
        self.optional(self.correlation)
    }

    pub(crate) fn tag_strs(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tags.iter().map(|span| self.str(*span))
    }

    pub(crate) fn meta_strs(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.meta.iter().map(|(name, value)| (self.str(*name), self.str(*value)))
    }

    pub(crate) fn cause(&self) -> Option<Cause> {
        self.cause
    }

    pub(crate) fn occurred(&self) -> Option<Timestamp> {
        self.occurred_at
    }

    /// All strings, metadata too, one behind the other.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether an optional field was given an empty value, which means something else than none.
    pub(crate) fn empty_field(&self) -> Option<&'static str> {
        let empty = |span: Option<Span>| span.is_some_and(|span| span.len == 0);
        [
            ("id", empty(self.id)),
            ("actor", empty(self.actor.map(|(_, span)| span))),
            ("on_behalf_of", empty(self.on_behalf_of)),
            ("source", empty(self.source)),
            ("correlation", empty(self.correlation)),
            ("tag", self.tags.iter().any(|span| span.len == 0)),
            ("metadata name", self.meta.iter().any(|(name, _)| name.len == 0)),
        ]
        .into_iter()
        .find_map(|(name, is_empty)| is_empty.then_some(name))
    }
}

/// Appends to the arena. What would not fit in 4 GiB is left out to keep the spans whole; the
/// append refuses the event long before that, by the length of its text.
fn push(text: &mut String, piece: &str) -> Span {
    let start = text.len() as u32;
    let room = (u32::MAX as usize).saturating_sub(text.len());
    let piece = piece.get(..piece.len().min(room)).unwrap_or_default();
    text.push_str(piece);
    Span { start, len: piece.len() as u32 }
}
