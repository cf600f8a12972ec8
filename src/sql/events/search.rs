//! From the arguments of a search to a query of the log.
//!
//! A part that the log cannot follow exactly is left out or made wider, never narrower: SQLite checks every row. An
//! argument comes as it was written, without the affinity of its column, so `position = '5'` brings a text.

use rusqlite::types::{Value, ValueRef};

use super::columns::Column;
use super::plan::{Part, Test};
use crate::actor::ActorKind;
use crate::position::Position;
use crate::query::{Item, Query, TypePattern};
use crate::sql::times;
use crate::time::Timestamp;

/// One part with its values: one, or those of an IN.
pub(super) struct Given {
    pub(super) part: Part,
    pub(super) values: Vec<Value>,
}

/// What a comparison with these values leaves to be found.
enum Wanted<T> {
    /// Everything: the values say nothing to the log.
    Anything,
    These(Vec<T>),
}

/// The query that finds every event for which the parts may hold; `None`: there is none.
pub(super) fn query(given: &[Given], newest_first: bool) -> Option<Query> {
    let mut item = Item::default();
    for Given { part: Part { column, test }, values } in given {
        match column {
            Column::Position => bound_position(&mut item, *test, values.first()?)?,
            Column::RecordedAt | Column::OccurredAt => bound_time(&mut item, *column, *test, values.first()?)?,
            Column::Causation => {
                if let Wanted::These(causes) = wanted(*test, values, position)? {
                    item.causes = Some(causes.into_iter().flatten().collect());
                }
            }
            Column::ActorKind | Column::SubjectId => {}
            Column::Type if *test == Test::Glob => {
                if let Some(pattern) = values.first().and_then(text).and_then(|text| glob(&text)) {
                    item.types = Some(vec![pattern]);
                }
            }
            _ => {
                let Wanted::These(texts) = wanted(*test, values, text)? else { continue };
                match column {
                    Column::Type => item.types = Some(texts.iter().map(|text| literal(text)).collect()),
                    Column::Subject => item.subjects = Some(texts),
                    Column::Kind => item.kinds = Some(texts),
                    Column::Actor => item.actors = Some(texts.into_iter().map(|id| (None, id)).collect()),
                    Column::OnBehalfOf => item.on_behalf_of = Some(texts),
                    Column::Source => item.sources = Some(texts),
                    Column::Correlation => item.correlations = Some(texts),
                    _ => {}
                }
            }
        }
    }
    let single = |wanted: Column| {
        let found = given.iter().find(|given| given.part.column == wanted)?;
        found.values.first().and_then(text)
    };
    if let (Some(actors), Some(kind)) = (&mut item.actors, single(Column::ActorKind)) {
        let kind = ActorKind::from_word(&kind)?;
        actors.iter_mut().for_each(|actor| actor.0 = Some(kind));
    }
    if let (Some([kind]), Some(id)) = (item.kinds.as_deref(), single(Column::SubjectId)) {
        // A subject's kind holds no `/`, so this is the only subject of that kind and id.
        item.subjects = Some(vec![format!("{kind}/{id}")]);
    }
    Some(Query { items: vec![item], reverse: newest_first, limit: None })
}

/// The values of an equality or an IN; `None` if they match nothing.
fn wanted<T>(test: Test, values: &[Value], read: impl Fn(&Value) -> Option<T>) -> Option<Wanted<T>> {
    let mut found = Vec::new();
    for value in values {
        match (value, test) {
            (Value::Null, Test::Is) => return Some(Wanted::Anything),
            (Value::Null, _) => {}
            (value, _) => match read(value) {
                Some(value) => found.push(value),
                None => return Some(Wanted::Anything),
            },
        }
    }
    (!found.is_empty()).then_some(Wanted::These(found))
}

/// A text. A number is left to SQLite: beside a column of numbers `'05'` equals 5, beside a literal it does not.
pub(super) fn text(value: &Value) -> Option<String> {
    if let Value::Text(text) = value { Some(text.clone()) } else { None }
}

/// A value as a column of positions takes it: `Some(None)` is a whole number that is no position.
#[allow(clippy::option_option, reason = "what cannot be read and what is no position are two things")]
fn position(value: &Value) -> Option<Option<Position>> {
    let number = match value {
        Value::Integer(number) => *number,
        Value::Text(text) => text.parse().ok()?,
        _ => return None,
    };
    Some(u64::try_from(number).ok().map(Position::new))
}

/// The one position of a search by position.
pub(super) enum Point {
    Nowhere,
    At(Position),
    /// Only SQLite can tell.
    Unknown,
}

impl Point {
    pub(super) fn of(value: &Value, test: Test) -> Point {
        match (value, test) {
            (Value::Null, Test::Is) => Point::Unknown,
            (Value::Null, _) => Point::Nowhere,
            (value, _) => match position(value) {
                Some(Some(position)) => Point::At(position),
                Some(None) => Point::Nowhere,
                None => Point::Unknown,
            },
        }
    }
}

/// A pattern that is the type itself.
fn literal(event_type: &str) -> TypePattern {
    TypePattern::new(&event_type.replace('*', "\\*"))
}

/// The pattern that matches what a GLOB does, where there is one: `note.*` in SQL is `note.**` here.
fn glob(text: &str) -> Option<TypePattern> {
    let beginning = text.strip_suffix(".*")?;
    (!beginning.contains(['*', '?', '['])).then(|| TypePattern::new(&format!("{beginning}.**")))
}

/// The whole numbers around a value: the largest that is not above it and the smallest that is not below.
fn around(value: &Value) -> Option<(i64, i64)> {
    match value {
        Value::Integer(number) => Some((*number, *number)),
        // As a float a number may lie one beside what it was; from 2^53 on more, but no log is so long.
        Value::Real(number) => Some((number.floor() as i64, number.ceil() as i64)),
        Value::Text(text) => {
            let number: f64 = text.trim().parse().ok()?;
            Some((number.floor() as i64, number.ceil() as i64))
        }
        _ => None,
    }
}

/// `None`: no position fits.
fn bound_position(item: &mut Item, test: Test, value: &Value) -> Option<()> {
    if *value == Value::Null {
        return if test == Test::Is { Some(()) } else { None };
    }
    let Some((below, above)) = around(value) else { return Some(()) };
    let clamp = |number: i64| Position::new(u64::try_from(number).unwrap_or(0));
    let after = match test {
        Test::More => Some(clamp(below)),
        Test::MoreOrEqual | Test::Equal | Test::Is => Some(clamp(below.saturating_sub(1))),
        _ => None,
    };
    let before = match test {
        Test::Less => Some(clamp(above)),
        Test::LessOrEqual | Test::Equal | Test::Is => Some(clamp(above.saturating_add(1))),
        _ => None,
    };
    item.after = item.after.max(after);
    item.before = earlier(item.before, before);
    Some(())
}

/// `None`: no time fits.
fn bound_time(item: &mut Item, column: Column, test: Test, value: &Value) -> Option<()> {
    let text = match value {
        Value::Null => return if test == Test::Is { Some(()) } else { None },
        Value::Text(text) => text,
        // Numbers come before all texts and bytes behind them: SQLite knows.
        _ => return Some(()),
    };
    let Some(nanos) = times::nanos(text) else { return Some(()) };
    let since = match test {
        Test::More => Some(times::nearest(nanos + 1)),
        Test::MoreOrEqual | Test::Equal | Test::Is => Some(times::nearest(nanos)),
        _ => None,
    };
    // The bound is exclusive, so a time at the very end of the range is left to SQLite.
    let until = match test {
        Test::Less => Some(nanos),
        Test::LessOrEqual | Test::Equal | Test::Is => Some(nanos + 1),
        _ => None,
    }
    .filter(|until| *until <= i128::from(i64::MAX))
    .map(times::nearest);
    let (known_since, known_until): (&mut Option<Timestamp>, &mut Option<Timestamp>) = match column {
        Column::RecordedAt => (&mut item.since, &mut item.until),
        _ => (&mut item.occurred_since, &mut item.occurred_until),
    };
    *known_since = (*known_since).max(since);
    *known_until = earlier(*known_until, until);
    Some(())
}

fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// A copy of a value that SQLite lends.
pub(super) fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        // A text that is no Unicode equals none of the log's; as bytes it is left to SQLite.
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Blob(text.to_vec()),
        },
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}
