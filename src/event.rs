//! The event as it is read: [`EventRef`] borrows from the log, [`Event`] owns a copy.
//!
//! Both stand on the same parts: one run of text that holds every string of the event in a fixed
//! order, a list of lengths, and the data. So reading an event checks UTF-8 once and allocates
//! nothing, and keeping one costs a single allocation.

mod copied;
mod new_event;

use std::borrow::Cow;
use std::fmt;
use std::iter;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::actor::{ActorKind, ActorRef};
use crate::error::{Error, Result};
use crate::position::Position;
use crate::subject;
use crate::time::Timestamp;

pub(crate) use copied::CopiedEvents;
pub(crate) use new_event::Cause;
pub use new_event::NewEvent;

/// What a content type is where nothing else was said.
pub(crate) const CONTENT_JSON: &str = "application/json";

/// The 16 random bytes that name a log; shown as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LogId(pub(crate) [u8; 16]);

impl LogId {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand and in one piece: an export prints the log's id once an event.
        let mut hex = [0; 32];
        for (digits, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
            digits.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        f.write_str(std::str::from_utf8(&hex).unwrap_or_default())
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Lengths of the strings of one event, in the order in which they stand in its text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TextLens {
    pub(crate) subject: u16,
    pub(crate) event_type: u16,
    pub(crate) actor: u16,
    pub(crate) on_behalf_of: u16,
    pub(crate) source: u16,
    pub(crate) correlation: u16,
    pub(crate) content_type: u16,
    pub(crate) id: u16,
}

/// What an event has beside its strings and its data. Small and `Copy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) log: LogId,
    pub(crate) epoch: u64,
    pub(crate) position: Position,
    pub(crate) version: u64,
    pub(crate) recorded_at: Timestamp,
    /// `None`: the producer gave none, so it equals `recorded_at`.
    pub(crate) occurred_at: Option<Timestamp>,
    pub(crate) causation: Option<Position>,
    pub(crate) actor: Option<ActorKind>,
    /// A content type that the format has a code for; `None`: it stands in the text.
    pub(crate) content: Option<&'static str>,
    pub(crate) lens: TextLens,
    pub(crate) tag_count: u8,
    pub(crate) imported: bool,
}

/// An event borrowed from the log. Every string is checked UTF-8, every byte passed its checksum.
#[derive(Clone, Copy)]
pub struct EventRef<'a> {
    pub(crate) head: Head,
    /// Lengths of tags, then of metadata names and values in turn: little-endian `u16`s.
    pub(crate) lists: &'a [u8],
    pub(crate) text: &'a str,
    pub(crate) data: &'a [u8],
}

impl<'a> EventRef<'a> {
    fn piece(&self, start: usize, len: u16) -> &'a str {
        self.text.get(start..start + usize::from(len)).unwrap_or_default()
    }

    /// The event's place in the log: 1-based and without gaps.
    #[must_use]
    pub fn position(&self) -> Position {
        self.head.position
    }

    /// The event's ordinal within its subject: 1-based and without gaps.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.head.version
    }

    /// The writer's tenure under which the event was recorded; with the position it names the
    /// event for ever.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.head.epoch
    }

    /// The id that the producer gave, or the one derived from log id, epoch and position.
    #[must_use]
    pub fn id(&self) -> Cow<'a, str> {
        match self.given_id() {
            Some(id) => Cow::Borrowed(id),
            None => Cow::Owned(derived_id(self.head.log, self.head.epoch, self.head.position)),
        }
    }

    /// The id that the producer gave, if it gave one.
    #[must_use]
    pub fn given_id(&self) -> Option<&'a str> {
        let lens = &self.head.lens;
        (lens.id > 0).then(|| self.piece(self.start_of_content_type() + usize::from(lens.content_type), lens.id))
    }

    /// What the event is about, as `kind/id`.
    #[must_use]
    pub fn subject(&self) -> &'a str {
        self.piece(0, self.head.lens.subject)
    }

    /// The subject up to its first `/`.
    #[must_use]
    pub fn kind(&self) -> &'a str {
        subject::kind_of(self.subject())
    }

    /// The subject after its first `/`.
    #[must_use]
    pub fn subject_id(&self) -> &'a str {
        let subject = self.subject();
        subject.get(self.kind().len() + 1..).unwrap_or_default()
    }

    /// What happened.
    #[must_use]
    pub fn event_type(&self) -> &'a str {
        self.piece(usize::from(self.head.lens.subject), self.head.lens.event_type)
    }

    /// When the log took the event; never before that of the event before it.
    #[must_use]
    pub fn recorded_at(&self) -> Timestamp {
        self.head.recorded_at
    }

    /// When it happened according to its producer; `recorded_at` if none was given.
    #[must_use]
    pub fn occurred_at(&self) -> Timestamp {
        self.head.occurred_at.unwrap_or(self.head.recorded_at)
    }

    /// Who did it.
    #[must_use]
    pub fn actor(&self) -> Option<ActorRef<'a>> {
        let lens = &self.head.lens;
        let start = usize::from(lens.subject) + usize::from(lens.event_type);
        self.head.actor.map(|kind| ActorRef { kind, id: self.piece(start, lens.actor) })
    }

    fn start_of_on_behalf_of(&self) -> usize {
        let lens = &self.head.lens;
        usize::from(lens.subject) + usize::from(lens.event_type) + usize::from(lens.actor)
    }

    fn start_of_source(&self) -> usize {
        self.start_of_on_behalf_of() + usize::from(self.head.lens.on_behalf_of)
    }

    fn start_of_correlation(&self) -> usize {
        self.start_of_source() + usize::from(self.head.lens.source)
    }

    fn start_of_content_type(&self) -> usize {
        self.start_of_correlation() + usize::from(self.head.lens.correlation)
    }

    fn start_of_lists(&self) -> usize {
        self.start_of_content_type() + usize::from(self.head.lens.content_type) + usize::from(self.head.lens.id)
    }

    /// The user for whom the actor acted.
    #[must_use]
    pub fn on_behalf_of(&self) -> Option<&'a str> {
        let len = self.head.lens.on_behalf_of;
        (len > 0).then(|| self.piece(self.start_of_on_behalf_of(), len))
    }

    /// Where the event came from, in its producer's words.
    #[must_use]
    pub fn source(&self) -> Option<&'a str> {
        let len = self.head.lens.source;
        (len > 0).then(|| self.piece(self.start_of_source(), len))
    }

    /// What ties events of one undertaking together.
    #[must_use]
    pub fn correlation(&self) -> Option<&'a str> {
        let len = self.head.lens.correlation;
        (len > 0).then(|| self.piece(self.start_of_correlation(), len))
    }

    /// The event that caused this one.
    #[must_use]
    pub fn causation(&self) -> Option<Position> {
        self.head.causation
    }

    /// The tags, in the order in which they were given.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = &'a str> + use<'a> {
        let (text, mut start) = (self.text, self.start_of_lists());
        let lens = self.lists.get(..usize::from(self.head.tag_count) * 2).unwrap_or_default();
        lens.chunks_exact(2).map(move |len| {
            let end = start + le_u16(len);
            let tag = text.get(start..end).unwrap_or_default();
            start = end;
            tag
        })
    }

    /// The metadata: names and values, in the order in which they were given.
    pub fn meta(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + use<'a> {
        let (tags, meta) = self.lists.split_at_checked(usize::from(self.head.tag_count) * 2).unwrap_or_default();
        let text = self.text;
        let mut start = self.start_of_lists() + tags.chunks_exact(2).map(le_u16).sum::<usize>();
        meta.chunks_exact(4).map(move |lens| {
            let middle = start + le_u16(&lens[..2]);
            let end = middle + le_u16(&lens[2..]);
            let pair = (text.get(start..middle).unwrap_or_default(), text.get(middle..end).unwrap_or_default());
            start = end;
            pair
        })
    }

    /// The value of one metadata name.
    #[must_use]
    pub fn meta_value(&self, name: &str) -> Option<&'a str> {
        self.meta().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The media type of the data; empty where the event has none.
    #[must_use]
    pub fn content_type(&self) -> &'a str {
        match self.head.content {
            Some(known) => known,
            None => self.piece(self.start_of_content_type(), self.head.lens.content_type),
        }
    }

    /// The data, byte for byte as it was given.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Whether the event came in through an import.
    #[must_use]
    pub fn is_imported(&self) -> bool {
        self.head.imported
    }

    /// The data as a value of one's own.
    ///
    /// # Errors
    /// `Invalid` if the data is not JSON of that shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(self.data).map_err(|error| {
            Error::invalid(format!("the data of event {} is not of the expected shape: {error}", self.position()))
                .caused_by(error)
        })
    }

    /// A copy that outlives the log; one allocation.
    #[must_use]
    pub fn to_owned(&self) -> Event {
        let (text_start, data_start) = (self.lists.len(), self.lists.len() + self.text.len());
        // Made of zeros first: of a length that is known, and then it is filled in place.
        let mut bytes: Arc<[u8]> = iter::repeat_n(0, data_start + self.data.len()).collect();
        if let Some(bytes) = Arc::get_mut(&mut bytes) {
            bytes[..text_start].copy_from_slice(self.lists);
            bytes[text_start..data_start].copy_from_slice(self.text.as_bytes());
            bytes[data_start..].copy_from_slice(self.data);
        }
        Event { head: self.head, text_start: text_start as u32, data_start: data_start as u32, bytes }
    }
}

impl fmt::Debug for EventRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("position", &self.position().get())
            .field("subject", &self.subject())
            .field("version", &self.version())
            .field("type", &self.event_type())
            .field("actor", &self.actor().map(|actor| actor.to_string()))
            .field("data_bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// An event that owns its bytes; cloning it copies no data.
#[derive(Clone)]
pub struct Event {
    head: Head,
    bytes: Arc<[u8]>,
    text_start: u32,
    data_start: u32,
}

impl Event {
    /// The same event, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> EventRef<'_> {
        let (lists, rest) = self.bytes.split_at_checked(self.text_start as usize).unwrap_or_default();
        let (text, data) = rest.split_at_checked((self.data_start - self.text_start) as usize).unwrap_or_default();
        // The text was checked when the event was read; it cannot fail here.
        EventRef { head: self.head, lists, text: std::str::from_utf8(text).unwrap_or_default(), data }
    }

    /// See [`EventRef::position`].
    #[must_use]
    pub fn position(&self) -> Position {
        self.head.position
    }

    /// See [`EventRef::version`].
    #[must_use]
    pub fn version(&self) -> u64 {
        self.head.version
    }

    /// See [`EventRef::epoch`].
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.head.epoch
    }

    /// See [`EventRef::id`].
    #[must_use]
    pub fn id(&self) -> Cow<'_, str> {
        self.as_ref().id()
    }

    /// See [`EventRef::given_id`].
    #[must_use]
    pub fn given_id(&self) -> Option<&str> {
        self.as_ref().given_id()
    }

    /// See [`EventRef::subject`].
    #[must_use]
    pub fn subject(&self) -> &str {
        self.as_ref().subject()
    }

    /// See [`EventRef::kind`].
    #[must_use]
    pub fn kind(&self) -> &str {
        self.as_ref().kind()
    }

    /// See [`EventRef::subject_id`].
    #[must_use]
    pub fn subject_id(&self) -> &str {
        self.as_ref().subject_id()
    }

    /// See [`EventRef::event_type`].
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.as_ref().event_type()
    }

    /// See [`EventRef::recorded_at`].
    #[must_use]
    pub fn recorded_at(&self) -> Timestamp {
        self.head.recorded_at
    }

    /// See [`EventRef::occurred_at`].
    #[must_use]
    pub fn occurred_at(&self) -> Timestamp {
        self.as_ref().occurred_at()
    }

    /// See [`EventRef::actor`].
    #[must_use]
    pub fn actor(&self) -> Option<ActorRef<'_>> {
        self.as_ref().actor()
    }

    /// See [`EventRef::on_behalf_of`].
    #[must_use]
    pub fn on_behalf_of(&self) -> Option<&str> {
        self.as_ref().on_behalf_of()
    }

    /// See [`EventRef::source`].
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.as_ref().source()
    }

    /// See [`EventRef::correlation`].
    #[must_use]
    pub fn correlation(&self) -> Option<&str> {
        self.as_ref().correlation()
    }

    /// See [`EventRef::causation`].
    #[must_use]
    pub fn causation(&self) -> Option<Position> {
        self.head.causation
    }

    /// See [`EventRef::tags`].
    pub fn tags(&self) -> impl ExactSizeIterator<Item = &str> {
        self.as_ref().tags()
    }

    /// See [`EventRef::meta`].
    pub fn meta(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.as_ref().meta()
    }

    /// See [`EventRef::meta_value`].
    #[must_use]
    pub fn meta_value(&self, name: &str) -> Option<&str> {
        self.as_ref().meta_value(name)
    }

    /// See [`EventRef::content_type`].
    #[must_use]
    pub fn content_type(&self) -> &str {
        self.as_ref().content_type()
    }

    /// See [`EventRef::data`].
    #[must_use]
    pub fn data(&self) -> &[u8] {
        self.bytes.get(self.data_start as usize..).unwrap_or_default()
    }

    /// See [`EventRef::is_imported`].
    #[must_use]
    pub fn is_imported(&self) -> bool {
        self.head.imported
    }

    /// The data as a value of one's own.
    ///
    /// # Errors
    /// `Invalid` if the data is not JSON of that shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        self.as_ref().json()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl<'a> From<EventRef<'a>> for Event {
    fn from(event: EventRef<'a>) -> Event {
        event.to_owned()
    }
}

/// The id of an event that brought none: `{log id}-{epoch}-{position}`.
pub(crate) fn derived_id(log: LogId, epoch: u64, position: Position) -> String {
    format!("{log}-{epoch}-{position}")
}

/// Epoch and position of an id that was derived in this log; `None` for every other text.
pub(crate) fn parse_derived_id(log: LogId, id: &str) -> Option<(u64, Position)> {
    let rest = id.strip_prefix(log.to_string().as_str())?.strip_prefix('-')?;
    let (epoch, position) = rest.split_once('-')?;
    let parsed = (epoch.parse().ok()?, Position::new(position.parse().ok()?));
    // Only the one canonical spelling is the id: no signs, no leading zeros.
    (derived_id(log, parsed.0, parsed.1) == id).then_some(parsed)
}

fn le_u16(bytes: &[u8]) -> usize {
    match bytes {
        [low, high, ..] => usize::from(u16::from_le_bytes([*low, *high])),
        _ => 0,
    }
}
