//! What somebody wants: a change of a row.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::catalog::Action;
use crate::error::{Error, Result};
use crate::position::Position;
use crate::time::Timestamp;

/// The number of a request: the position of its `requested` event.
pub type RequestId = Position;

/// A time that something has to happen by: a moment, or so long from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deadline {
    /// Before this moment.
    At(Timestamp),
    /// So long after the request was made.
    Within(Duration),
}

impl Deadline {
    pub(crate) fn after(self, now: Timestamp) -> Timestamp {
        match self {
            Deadline::At(time) => time,
            Deadline::Within(length) => {
                let nanos = i64::try_from(length.as_nanos()).unwrap_or(i64::MAX);
                Timestamp::from_nanos(now.as_nanos().saturating_add(nanos))
            }
        }
    }
}

impl From<Timestamp> for Deadline {
    fn from(time: Timestamp) -> Deadline {
        Deadline::At(time)
    }
}

impl From<std::time::SystemTime> for Deadline {
    fn from(time: std::time::SystemTime) -> Deadline {
        Deadline::At(time.into())
    }
}

impl From<Duration> for Deadline {
    fn from(length: Duration) -> Deadline {
        Deadline::Within(length)
    }
}

/// A change that somebody wants made to a row of a table.
///
/// ```
/// use annals::{Actor, Request};
/// use serde_json::json;
/// use std::time::Duration;
///
/// let request = Request::update("notes", "n-1", &json!({"content": "B"}))
///     .by(Actor::agent("scribe").on_behalf_of("alice"))
///     .answer_by(Duration::from_secs(7200));
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    pub(crate) table: String,
    pub(crate) action: Action,
    pub(crate) id: Option<String>,
    #[serde(with = "text")]
    pub(crate) data: Result<Vec<u8>, String>,
    pub(crate) actor: Option<Actor>,
    pub(crate) source: Option<String>,
    pub(crate) correlation: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) meta: Vec<(String, String)>,
    pub(crate) key: Option<String>,
    pub(crate) if_version: Option<u64>,
    pub(crate) answer_by: Option<Deadline>,
    pub(crate) execute_by: Option<Deadline>,
    /// The request that this one takes the place of, or undoes.
    pub(crate) cause: Option<Position>,
    pub(crate) undoes: bool,
}

impl Request {
    fn new(table: impl Into<String>, action: Action, id: Option<String>, data: Result<Vec<u8>, String>) -> Request {
        Request {
            table: table.into(),
            action,
            id,
            data,
            actor: None,
            source: None,
            correlation: None,
            tags: Vec::new(),
            meta: Vec::new(),
            key: None,
            if_version: None,
            answer_by: None,
            execute_by: None,
            cause: None,
            undoes: false,
        }
    }

    /// A new row, as a whole object. Without [`Request::id`] it gets an id of its own, a UUID of version 7.
    pub fn create<T: Serialize + ?Sized>(table: impl Into<String>, object: &T) -> Request {
        Request::new(table, Action::Create, None, json(object))
    }

    /// A change of a row, as a JSON merge patch (RFC 7396): fields that are named are set, those that are null removed.
    pub fn update<T: Serialize + ?Sized>(table: impl Into<String>, id: impl Into<String>, patch: &T) -> Request {
        Request::new(table, Action::Update, Some(id.into()), json(patch))
    }

    /// A row is to go.
    pub fn delete(table: impl Into<String>, id: impl Into<String>) -> Request {
        Request::new(table, Action::Delete, Some(id.into()), Ok(Vec::new()))
    }

    /// Any action, with data that is JSON already and is kept as it is.
    pub fn from_json(
        table: impl Into<String>,
        action: Action,
        id: Option<String>,
        data: impl Into<Vec<u8>>,
    ) -> Request {
        Request::new(table, action, id, Ok(data.into()))
    }

    /// The id of the row that is to be created.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Request {
        self.id = Some(id.into());
        self
    }

    /// Who wants it, and for whom; every request says so.
    #[must_use]
    pub fn by(mut self, actor: Actor) -> Request {
        self.actor = Some(actor);
        self
    }

    /// Where it comes from. It is told, never trusted.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Request {
        self.source = Some(source.into());
        self
    }

    /// What ties events of one undertaking together.
    #[must_use]
    pub fn correlation(mut self, correlation: impl Into<String>) -> Request {
        self.correlation = Some(correlation.into());
        self
    }

    /// Adds a tag, which the change carries too. Of a row that is created, `workspace:NAME` says where it belongs.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Request {
        self.tags.push(tag.into());
        self
    }

    /// Adds an entry of metadata, such as `traceparent`.
    #[must_use]
    pub fn meta(mut self, name: impl Into<String>, value: impl Into<String>) -> Request {
        self.meta.push((name.into(), value.into()));
        self
    }

    /// An idempotency key: the same key with the same request is made once, however often it is sent.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Request {
        self.key = Some(key.into());
        self
    }

    /// Only if the row has this version: so many changes were made to it.
    #[must_use]
    pub fn if_version(mut self, version: u64) -> Request {
        self.if_version = Some(version);
        self
    }

    /// If nobody has answered by then, it expires.
    #[must_use]
    pub fn answer_by(mut self, deadline: impl Into<Deadline>) -> Request {
        self.answer_by = Some(deadline.into());
        self
    }

    /// If it is not done by then, it is stale, approved or not.
    #[must_use]
    pub fn execute_by(mut self, deadline: impl Into<Deadline>) -> Request {
        self.execute_by = Some(deadline.into());
        self
    }

    pub(crate) fn actor(&self) -> Result<&Actor> {
        self.actor.as_ref().ok_or_else(|| {
            Error::invalid(format!("nobody wants {}.{}: a request says who makes it", self.table, self.action))
        })
    }

    pub(crate) fn data(&self) -> Result<&[u8]> {
        let data = self.data.as_ref();
        data.map(Vec::as_slice)
            .map_err(|why| Error::invalid(format!("the data of {}.{} {why}", self.table, self.action)))
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, String> {
    serde_json::to_vec(value).map_err(|error| format!("cannot be written as JSON: {error}"))
}

/// Data on its way to another program: as text, which JSON is.
mod text {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(data: &Result<Vec<u8>, String>, serializer: S) -> Result<S::Ok, S::Error> {
        match data {
            Ok(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => serializer.serialize_str(text),
                Err(error) => Err(serde::ser::Error::custom(format_args!("the data is no JSON: {error}"))),
            },
            Err(why) => Err(serde::ser::Error::custom(why)),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Result<Vec<u8>, String>, D::Error> {
        String::deserialize(from).map(|text| Ok(text.into_bytes()))
    }
}
