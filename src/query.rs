//! What to read: [`Query`] is a value, without any access to the log.
//!
//! A query is a list of items, of which an event must match at least one. An item is a list of
//! constraints, of which an event must match all. A constraint over a list matches any of the
//! list, and an empty list matches nothing, so that "no subjects" never silently means "every
//! subject". [`Query::matches`] is the meaning of all this, in a few plain lines; every faster way
//! of answering is tested against it.

mod pattern;
pub(crate) mod plan;
pub(crate) mod raw;
pub(crate) mod run;
pub(crate) mod sealed;
pub(crate) mod terms;

use std::fmt;
use std::ops::Range;

use crate::actor::{Actor, ActorKind};
use crate::event::EventRef;
use crate::position::Position;
use crate::time::Timestamp;

pub use pattern::TypePattern;

/// One alternative of a query. `None` is no constraint; an empty list matches nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Item {
    pub(crate) subjects: Option<Vec<String>>,
    pub(crate) kinds: Option<Vec<String>>,
    pub(crate) types: Option<Vec<TypePattern>>,
    /// All of these must be there.
    pub(crate) tags: Vec<String>,
    /// Kind `None` stands for any kind.
    pub(crate) actors: Option<Vec<(Option<ActorKind>, String)>>,
    pub(crate) on_behalf_of: Option<Vec<String>>,
    pub(crate) sources: Option<Vec<String>>,
    pub(crate) correlations: Option<Vec<String>>,
    pub(crate) causes: Option<Vec<Position>>,
    pub(crate) after: Option<Position>,
    pub(crate) before: Option<Position>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) occurred_since: Option<Timestamp>,
    pub(crate) occurred_until: Option<Timestamp>,
}

/// Which events to read, in which direction and how many.
///
/// ```
/// use annals::Query;
///
/// let notes_of_alice = Query::all().kind("note").types(["notes.*.validated"]).actor_id("alice").rev().limit(20);
/// ```
///
/// A method called after [`or`](Query::or) narrows every alternative given so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub(crate) items: Vec<Item>,
    pub(crate) reverse: bool,
    pub(crate) limit: Option<u64>,
}

impl Query {
    /// Every event, oldest first.
    #[must_use]
    pub fn all() -> Query {
        Query { items: vec![Item::default()], reverse: false, limit: None }
    }

    fn narrow(mut self, mut each: impl FnMut(&mut Item)) -> Query {
        self.items.iter_mut().for_each(&mut each);
        self
    }

    fn list<T: Clone>(self, values: Vec<T>, field: impl Fn(&mut Item) -> &mut Option<Vec<T>>) -> Query {
        self.narrow(|item| field(item).get_or_insert_default().extend(values.iter().cloned()))
    }

    /// Events of this subject; called again, of either.
    #[must_use]
    pub fn subject(self, subject: impl Into<String>) -> Query {
        self.list(vec![subject.into()], |item| &mut item.subjects)
    }

    /// Events of any of these subjects; of none if there are none.
    #[must_use]
    pub fn subjects<S: Into<String>>(self, subjects: impl IntoIterator<Item = S>) -> Query {
        self.list(subjects.into_iter().map(Into::into).collect(), |item| &mut item.subjects)
    }

    /// Events whose subject is of this kind (what stands before its first `/`).
    #[must_use]
    pub fn kind(self, kind: impl Into<String>) -> Query {
        self.list(vec![kind.into()], |item| &mut item.kinds)
    }

    /// Events whose subject is of any of these kinds.
    #[must_use]
    pub fn kinds<S: Into<String>>(self, kinds: impl IntoIterator<Item = S>) -> Query {
        self.list(kinds.into_iter().map(Into::into).collect(), |item| &mut item.kinds)
    }

    /// Events whose type matches any of these patterns; see [`TypePattern`].
    #[must_use]
    pub fn types<S: AsRef<str>>(self, patterns: impl IntoIterator<Item = S>) -> Query {
        self.list(patterns.into_iter().map(|text| TypePattern::new(text.as_ref())).collect(), |item| &mut item.types)
    }

    /// Events with this tag; called again, with both.
    #[must_use]
    pub fn tag(self, tag: impl Into<String>) -> Query {
        let tag = tag.into();
        self.narrow(|item| item.tags.push(tag.clone()))
    }

    /// Events of this actor, kind and id.
    #[must_use]
    pub fn actor(self, actor: Actor) -> Query {
        self.list(vec![(Some(actor.kind), actor.id)], |item| &mut item.actors)
    }

    /// Events of an actor of this id, whatever its kind.
    #[must_use]
    pub fn actor_id(self, id: impl Into<String>) -> Query {
        self.list(vec![(None, id.into())], |item| &mut item.actors)
    }

    /// Events done for this user.
    #[must_use]
    pub fn on_behalf_of(self, user: impl Into<String>) -> Query {
        self.list(vec![user.into()], |item| &mut item.on_behalf_of)
    }

    /// Events from this source.
    #[must_use]
    pub fn source(self, source: impl Into<String>) -> Query {
        self.list(vec![source.into()], |item| &mut item.sources)
    }

    /// Events of this correlation.
    #[must_use]
    pub fn correlation(self, correlation: impl Into<String>) -> Query {
        self.list(vec![correlation.into()], |item| &mut item.correlations)
    }

    /// Events that the event at this position caused.
    #[must_use]
    pub fn caused_by(self, position: impl Into<Position>) -> Query {
        self.list(vec![position.into()], |item| &mut item.causes)
    }

    /// Events after this position, which is excluded.
    #[must_use]
    pub fn after(self, position: impl Into<Position>) -> Query {
        let position = position.into();
        self.narrow(|item| item.after = item.after.max(Some(position)))
    }

    /// Events before this position, which is excluded.
    #[must_use]
    pub fn before(self, position: impl Into<Position>) -> Query {
        let position = position.into();
        self.narrow(|item| item.before = Some(item.before.map_or(position, |old| old.min(position))))
    }

    /// Events recorded at this time or later.
    #[must_use]
    pub fn since(self, time: impl Into<Timestamp>) -> Query {
        let time = time.into();
        self.narrow(|item| item.since = item.since.max(Some(time)))
    }

    /// Events recorded before this time, which is excluded.
    #[must_use]
    pub fn until(self, time: impl Into<Timestamp>) -> Query {
        let time = time.into();
        self.narrow(|item| item.until = Some(item.until.map_or(time, |old| old.min(time))))
    }

    /// Events that occurred at this time or later.
    #[must_use]
    pub fn occurred_since(self, time: impl Into<Timestamp>) -> Query {
        let time = time.into();
        self.narrow(|item| item.occurred_since = item.occurred_since.max(Some(time)))
    }

    /// Events that occurred before this time, which is excluded.
    #[must_use]
    pub fn occurred_until(self, time: impl Into<Timestamp>) -> Query {
        let time = time.into();
        self.narrow(|item| item.occurred_until = Some(item.occurred_until.map_or(time, |old| old.min(time))))
    }

    /// Events that match this query or the other one. Direction and limit stay those of this one.
    #[must_use]
    pub fn or(mut self, other: Query) -> Query {
        self.items.extend(other.items);
        self
    }

    /// Newest first.
    #[must_use]
    pub fn rev(mut self) -> Query {
        self.reverse = !self.reverse;
        self
    }

    /// At most so many events.
    #[must_use]
    pub fn limit(mut self, events: u64) -> Query {
        self.limit = Some(self.limit.map_or(events, |old| old.min(events)));
        self
    }

    /// Whether the event is one that this query asks for; direction and limit play no part.
    #[must_use]
    pub fn matches(&self, event: &EventRef<'_>) -> bool {
        self.items.iter().any(|item| item.matches(event))
    }
}

impl Item {
    pub(crate) fn matches(&self, event: &EventRef<'_>) -> bool {
        fn any<T>(list: Option<&Vec<T>>, test: impl Fn(&T) -> bool) -> bool {
            list.is_none_or(|list| list.iter().any(test))
        }
        let is = |value: Option<&str>, wanted: &String| value == Some(wanted.as_str());
        self.positions().contains(&event.position().get())
            && self.since.is_none_or(|since| event.recorded_at() >= since)
            && self.until.is_none_or(|until| event.recorded_at() < until)
            && self.occurred_since.is_none_or(|since| event.occurred_at() >= since)
            && self.occurred_until.is_none_or(|until| event.occurred_at() < until)
            && any(self.types.as_ref(), |pattern| pattern.matches(event.event_type()))
            && any(self.subjects.as_ref(), |subject| subject == event.subject())
            && any(self.kinds.as_ref(), |kind| kind == event.kind())
            && any(self.actors.as_ref(), |(kind, id)| {
                event.actor().is_some_and(|actor| actor.id == id && kind.is_none_or(|kind| kind == actor.kind))
            })
            && any(self.on_behalf_of.as_ref(), |user| is(event.on_behalf_of(), user))
            && any(self.sources.as_ref(), |source| is(event.source(), source))
            && any(self.correlations.as_ref(), |correlation| is(event.correlation(), correlation))
            && any(self.causes.as_ref(), |cause| event.causation() == Some(*cause))
            && self.tags.iter().all(|tag| event.tags().any(|known| known == tag))
    }

    /// The positions that the item admits, as a half-open range.
    pub(crate) fn positions(&self) -> Range<u64> {
        let first = self.after.map_or(0, |after| after.get().saturating_add(1));
        first..self.before.map_or(u64::MAX, Position::get)
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.items.iter().enumerate() {
            write!(f, "{}{item}", if index == 0 { "" } else { " OR " })?;
        }
        if self.reverse {
            f.write_str(", newest first")?;
        }
        self.limit.map_or(Ok(()), |limit| write!(f, ", at most {limit}"))
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        let mut list = |name: &str, values: Option<Vec<String>>| {
            if let Some(values) = values {
                parts.push(if values.is_empty() {
                    format!("{name} none")
                } else {
                    format!("{name} {}", values.join("|"))
                });
            }
        };
        list("subject", self.subjects.clone());
        list("kind", self.kinds.clone());
        list("type", self.types.as_ref().map(|types| types.iter().map(ToString::to_string).collect()));
        let actor = |(kind, id): &(Option<ActorKind>, String)| kind.map_or(id.clone(), |kind| format!("{kind}:{id}"));
        list("actor", self.actors.as_ref().map(|actors| actors.iter().map(actor).collect()));
        list("on_behalf_of", self.on_behalf_of.clone());
        list("source", self.sources.clone());
        list("correlation", self.correlations.clone());
        list("caused_by", self.causes.as_ref().map(|causes| causes.iter().map(ToString::to_string).collect()));
        parts.extend(self.tags.iter().map(|tag| format!("tag {tag}")));
        let mut bound = |name: &str, value: Option<String>| parts.extend(value.map(|value| format!("{name} {value}")));
        bound("after", self.after.map(|value| value.to_string()));
        bound("before", self.before.map(|value| value.to_string()));
        bound("since", self.since.map(|value| value.to_string()));
        bound("until", self.until.map(|value| value.to_string()));
        bound("occurred since", self.occurred_since.map(|value| value.to_string()));
        bound("occurred until", self.occurred_until.map(|value| value.to_string()));
        if parts.is_empty() { f.write_str("everything") } else { f.write_str(&parts.join(" AND ")) }
    }
}
