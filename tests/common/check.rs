//! Holds everything that a [`Reader`] can be asked against a plain list of events.

use std::ops::ControlFlow;

use annals::{AsOf, Position, Query, Reader, Timestamp};

use super::query::QuerySpec;
use super::{Plain, Rng, SUBJECTS};

/// Asks a reader everything. `events` is what it must see, `occurred` the bound of [`AsOf::Occurred`], if it has one.
pub fn check_reader(
    reader: &Reader,
    events: &[Plain],
    occurred: Option<i64>,
    log: &str,
    rng: &mut Rng,
    queries: usize,
) {
    assert_eq!(reader.tail().get(), events.len() as u64, "tail");
    let seen = |event: &&Plain| occurred.is_none_or(|time| event.occurred_at <= time);
    let visible: Vec<&Plain> = events.iter().filter(seen).collect();

    check_query(reader, &QuerySpec::all(), events, &visible, rng);
    let backwards = QuerySpec { rev: true, ..QuerySpec::all() };
    check_query(reader, &backwards, events, &visible, rng);
    let times =
        (events.first().map_or(0, |event| event.recorded_at), events.last().map_or(0, |event| event.recorded_at));
    for _ in 0..queries {
        let spec = QuerySpec::random(rng, events.len() as u64, times);
        check_query(reader, &spec, events, &visible, rng);
    }

    assert!(reader.event(Position::ORIGIN).unwrap().is_none());
    assert!(reader.event(events.len() as u64 + 1).unwrap().is_none());
    assert!(reader.event(u64::MAX).unwrap().is_none());
    for _ in 0..queries.min(events.len()) {
        let event = rng.pick(events);
        let found = reader.event(event.position).unwrap().map(|found| Plain::of(&found));
        assert_eq!(found.as_ref(), seen(&event).then_some(event), "event at {}", event.position);
        check_id(reader, &event.id(log), &visible, log);
        let found = reader.event_of_version(&event.subject, event.version).unwrap().map(|found| Plain::of(&found));
        assert_eq!(found.as_ref(), seen(&event).then_some(event), "{} version {}", event.subject, event.version);
    }
    for id in ["evt-1", "no such id", "", &format!("{log}-1-0"), &format!("{log}-9-1")] {
        check_id(reader, id, &visible, log);
    }
    for subject in SUBJECTS.iter().chain(&["note/none", "", "note"]) {
        let last = visible.iter().rfind(|event| event.subject == *subject);
        let version = last.map_or(0, |event| event.version);
        assert_eq!(reader.version(subject).unwrap(), version, "version of {subject}");
        assert!(reader.event_of_version(subject, 0).unwrap().is_none());
        assert!(reader.event_of_version(subject, events.len() as u64 + 1).unwrap().is_none());
        let history: Vec<Plain> = reader.history(*subject).map(|event| Plain::of(&event.unwrap())).collect();
        let expected: Vec<&Plain> = visible.iter().copied().filter(|event| event.subject == *subject).collect();
        assert_eq!(history.iter().collect::<Vec<_>>(), expected, "history of {subject}");
    }
}

fn check_id(reader: &Reader, id: &str, visible: &[&Plain], log: &str) {
    let expected: Vec<&Plain> = visible.iter().copied().filter(|event| event.id(log) == id).collect();
    let first = reader.event_by_id(id).unwrap().map(|event| Plain::of(&event));
    assert_eq!(first.as_ref(), expected.first().copied(), "event of id {id:?}");
    let all: Vec<Plain> = reader.events_by_id(id).unwrap().iter().map(Plain::of).collect();
    assert_eq!(all.iter().collect::<Vec<_>>(), expected, "events of id {id:?}");
    if let Some(event) = reader.event_by_id(id).unwrap() {
        assert_eq!(event.id(), id);
    }
}

/// Asks one query in every way there is.
pub fn check_query(reader: &Reader, spec: &QuerySpec, events: &[Plain], visible: &[&Plain], rng: &mut Rng) {
    let query = spec.query();
    let expected = spec.answer(visible);
    let read: Vec<Plain> = reader.read(&query).map(|event| Plain::of(&event.unwrap())).collect();
    same(&read, &expected, &query, "read");

    let turned = QuerySpec { rev: !spec.rev, ..spec.clone() };
    let read: Vec<Plain> = reader.read(&query).rev().map(|event| Plain::of(&event.unwrap())).collect();
    same(&read, &turned.answer(visible), &query, "read().rev()");

    assert_eq!(reader.count(&query).unwrap(), expected.len() as u64, "count {query}");
    let plan = reader.plan(&query);
    assert!(plan.events_read() <= events.len() as u64, "{query}\n{plan}");
    let matching = visible.iter().filter(|event| spec.matches(event)).count() as u64;
    assert!(plan.events_read() >= matching, "{query} has {matching} matches\n{plan}");

    // All of it, and then only so many.
    let all = expected.len();
    for stop in [usize::MAX, 1, 1 + rng.index(all + 1)] {
        let mut scanned = Vec::new();
        let through = reader.scan(&query, |event| {
            scanned.push(Plain::of_ref(&event));
            assert!(query.matches(&event), "{query} does not match what it gave out");
            if scanned.len() == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let through = through.unwrap().get();
        same(&scanned, &expected[..stop.min(all)], &query, "scan");
        // What was looked at gave everything that there is to give in it.
        let looked_at = |event: &&&Plain| if spec.rev { event.position >= through } else { event.position <= through };
        assert_eq!(expected.iter().filter(looked_at).count(), scanned.len(), "{query}: through {through}");
        let ran_out = scanned.len() < stop && spec.limit.is_none_or(|limit| (scanned.len() as u64) < limit);
        if ran_out && !events.is_empty() {
            assert_eq!(through, if spec.rev { 1 } else { events.len() as u64 }, "{query} looked at everything");
        }
    }
}

fn same(found: &[Plain], expected: &[&Plain], query: &Query, how: &str) {
    for (at, event) in found.iter().enumerate() {
        assert_eq!(Some(event), expected.get(at).copied(), "{how} {query}: event {at} of {}", expected.len());
    }
    assert_eq!(found.len(), expected.len(), "{how} {query}: too few");
}

/// Asks the reader for moments of the past, one over the other too.
pub fn check_past(reader: &Reader, events: &[Plain], log: &str, rng: &mut Rng, queries: usize) {
    let up_to_time = |time: i64| events.iter().filter(|event| event.recorded_at <= time).count();
    let (first, last) =
        (events.first().map_or(0, |event| event.recorded_at), events.last().map_or(0, |event| event.recorded_at));
    let span = (last - first) as u64;
    let time = match rng.below(8) {
        0 => i64::MIN,
        1 => i64::MAX,
        2 => rng.pick(&[first, last]).to_owned(),
        3 if !events.is_empty() => rng.pick(events).recorded_at,
        _ => first - 10 + rng.below(span + 20) as i64,
    };
    let then = reader.as_of(AsOf::Time(Timestamp::from_nanos(time)));
    check_reader(&then, &events[..up_to_time(time)], None, log, rng, queries);

    let position = match rng.below(8) {
        0 => 0,
        1 => u64::MAX,
        _ => rng.below(events.len() as u64 + 2),
    };
    let kept = (position as usize).min(events.len());
    let then = reader.as_of(AsOf::Position(Position::new(position)));
    check_reader(&then, &events[..kept], None, log, rng, queries);

    let occurred = match rng.below(8) {
        0 => i64::MIN,
        1 => i64::MAX,
        _ => first - 1500 + rng.below(span + 2000) as i64,
    };
    let then = then.as_of(AsOf::Occurred(Timestamp::from_nanos(occurred)));
    check_reader(&then, &events[..kept], Some(occurred), log, rng, queries);
    let then = then.as_of(AsOf::Time(Timestamp::from_nanos(time)));
    check_reader(&then, &events[..kept.min(up_to_time(time))], Some(occurred), log, rng, queries.min(2));
}
