//! What the log answers itself, and how little is read for it.

use annals::{Actor, NewEvent, Store, Timestamp};

use crate::{numbers, plan, rows};

/// So many events: a hundred subjects, ten types, each caused by the one ten before it; recorded one second apart.
fn store(events: u64) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for first in (1..=events).step_by(500) {
        let batch = (first..=events.min(first + 499)).map(|n| {
            let event = NewEvent::json(format!("t.{}", n % 10), format!("s/{}", n % 100), &serde_json::json!({"n": n}));
            let event = event.unwrap().actor(Actor::user(format!("u-{}", n % 7))).correlation(format!("c-{}", n / 20));
            let event =
                event.id(format!("e-{n}")).source("test").occurred_at(Timestamp::from_nanos(n as i64 * 1_000_000_000));
            if n > 10 { event.caused_by(n - 10) } else { event }
        });
        store.append(batch).unwrap();
    }
    (dir, store)
}

#[test]
fn explain_query_plan_shows_what_the_log_answers() {
    let (_dir, store) = store(100);
    for (condition, told) in [
        ("1", "log: everything, without data"),
        ("type = 't.1'", "log: type=?, without data"),
        ("type IN ('t.1', 't.2')", "log: type IN (?), without data"),
        ("type GLOB 't.*'", "log: type GLOB ?, without data"),
        ("subject = 's/1' AND type = 't.1'", "log: subject=?, type=?, without data"),
        ("kind = 's' AND subject_id = '1'", "log: kind=?, subject_id=?, without data"),
        ("actor = 'u-1' AND actor_kind = 'user'", "log: actor=?, actor_kind=?, without data"),
        ("actor_kind = 'user'", "log: everything, without data"),
        ("on_behalf_of = 'x' AND source = 'test'", "log: on_behalf_of=?, source=?, without data"),
        ("correlation = 'c-1'", "log: correlation=?, without data"),
        ("causation = 17", "log: causation=?, without data"),
        ("position = 17 AND type = 't.7'", "log: position=?, without data"),
        ("position IN (1, 2)", "log: position=?, without data"),
        ("id = 'e-1'", "log: id=?, without data"),
        ("position > 5 AND position <= 9", "log: position>?, position<=?, without data"),
        ("position BETWEEN 5 AND 9", "log: position>=?, position<=?, without data"),
        ("recorded_at >= '2020'", "log: recorded_at>=?, without data"),
        ("occurred_at < '2020'", "log: occurred_at<?, without data"),
        // What asks for more than the log would find stays with SQLite.
        ("type = 'T.1' COLLATE NOCASE", "log: everything, without data"),
        ("type LIKE 't.%'", "log: everything, without data"),
        ("recorded_at = '2020' COLLATE BINARY", "log: everything, without data"),
        ("version = 1", "log: everything, without data"),
        ("data = ''", "log: everything"),
    ] {
        let found = plan(&store, &format!("SELECT position FROM events WHERE {condition}"));
        assert_eq!(found.len(), 1, "{condition}: {found:?}");
        assert!(found[0].ends_with(&format!(":{told}")), "{condition}: {found:?}");
    }
    let newest = plan(&store, "SELECT data FROM events WHERE type = 't.1' ORDER BY position DESC");
    assert!(newest.len() == 1 && newest[0].ends_with(":log: type=?, newest first"), "{newest:?}");
    for order in ["recorded_at", "recorded_at, position", "rowid", "position, type"] {
        let found = plan(&store, &format!("SELECT type FROM events ORDER BY {order}"));
        assert_eq!(found.len(), 1, "no sorting: {found:?}");
    }
    for order in ["recorded_at, position DESC", "occurred_at", "recorded_at COLLATE BINARY", "type"] {
        let found = plan(&store, &format!("SELECT type FROM events ORDER BY {order}"));
        assert!(found.iter().any(|line| line.contains("ORDER BY")), "{order}: {found:?}");
    }
}

#[test]
fn few_events_are_read_for_few_that_are_asked_for() {
    let (_dir, store) = store(5000);
    for round in 0..2 {
        for (statement, found, most) in [
            ("SELECT position FROM events WHERE position = 17", 1, 1),
            ("SELECT position FROM events WHERE position IN (17, 3, 999999)", 2, 2),
            ("SELECT position FROM events WHERE id = 'e-17'", 1, 1),
            ("SELECT position FROM events WHERE subject = 's/17'", 50, 50),
            ("SELECT position FROM events WHERE kind = 's' AND subject_id = '17'", 50, 50),
            ("SELECT position FROM events WHERE subject = 's/17' AND type = 't.7'", 50, 50),
            ("SELECT position FROM events WHERE subject = 's/17' AND type = 't.8'", 0, 0),
            ("SELECT position FROM events WHERE correlation = 'c-3'", 20, 20),
            ("SELECT position FROM events WHERE causation = 100", 1, 1),
            ("SELECT position FROM events WHERE causation IN (100, 200)", 2, 2),
            ("SELECT position FROM events WHERE actor = 'u-1' AND actor_kind = 'agent'", 0, 0),
            ("SELECT position FROM events WHERE position > 4990", 10, 10),
            ("SELECT position FROM events WHERE occurred_at < '1970-01-01T00:00:05Z'", 4, 4),
            ("SELECT position FROM events WHERE recorded_at > '2200'", 0, 0),
            ("SELECT position FROM events ORDER BY position DESC LIMIT 10", 10, 16),
            ("SELECT position FROM events ORDER BY recorded_at DESC LIMIT 10", 10, 16),
            ("SELECT position FROM events LIMIT 1", 1, 16),
            ("SELECT count(*) FROM events WHERE type = 't.1'", 1, 500),
            // Each of 50 events looks at one other place: at its cause, and at what it caused.
            (
                "SELECT a.position FROM events a JOIN events b ON b.position = a.causation WHERE a.subject = 's/17'",
                50,
                100,
            ),
            (
                "SELECT a.position FROM events a JOIN events b ON b.causation = a.position WHERE a.subject = 's/17'",
                50,
                100,
            ),
        ] {
            let mut rows = store.sql(statement, ()).unwrap();
            assert_eq!(rows.by_ref().map(Result::unwrap).count(), found, "{statement}");
            assert!(rows.events_read() <= most, "{statement}: {} events read in round {round}", rows.events_read());
        }
        store.seal().unwrap();
    }
    let newest = numbers(&store, "SELECT position FROM events ORDER BY position DESC LIMIT 3", ());
    assert_eq!(newest, [5000, 4999, 4998]);
}

#[test]
fn joins_and_aggregates_are_right() {
    let (_dir, store) = store(1000);
    let sum = numbers(
        &store,
        "SELECT sum(a.position - b.position) FROM events a JOIN events b ON a.causation = b.position",
        (),
    );
    assert_eq!(sum, [9900]);
    let chain = "WITH RECURSIVE up(p) AS (SELECT 995 UNION ALL SELECT causation FROM events, up WHERE position = p AND causation > 0) \
                 SELECT count(*) FROM up";
    assert_eq!(numbers(&store, chain, ()), [100]);
    let days = rows(&store, "SELECT substr(occurred_at, 1, 10) AS day, count(*) FROM events GROUP BY day", ());
    assert_eq!(days.len(), 1);
    assert_eq!(days[0].values(), [annals::SqlValue::from("1970-01-01"), 1000.into()]);
    assert_eq!(numbers(&store, "SELECT count(DISTINCT subject) FROM events", ()), [100]);
    let tags = "SELECT count(*) FROM events, json_each(tags)";
    assert_eq!(numbers(&store, tags, ()), [0]);
    let sum = numbers(&store, "SELECT sum(data->>'n') FROM events WHERE type = ?1", ["t.3"]);
    assert_eq!(sum, [(3..1000).step_by(10).sum::<i64>()]);
    let outer =
        "SELECT count(*) FROM events a LEFT JOIN events b ON b.id = 'e-' || (a.position + 500) WHERE b.id IS NULL";
    assert_eq!(numbers(&store, outer, ()), [500]);
    let nested = "SELECT count(*) FROM events WHERE subject IN (SELECT subject FROM events WHERE position < 4)";
    assert_eq!(numbers(&store, nested, ()), [30]);
}

#[test]
fn times_compare_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let times = ["2026-11-01T00:00:00Z", "2026-11-01T00:00:00.5Z", "2026-11-01T00:00:00.25Z", "2026-10-31T23:59:59.9Z"];
    let events = times.map(|time| NewEvent::bytes("t", "s/1", "", b"").occurred_at(Timestamp::parse(time).unwrap()));
    store.append(events).unwrap();
    let found = numbers(&store, "SELECT position FROM events ORDER BY occurred_at", ());
    assert_eq!(found, [4, 1, 3, 2]);
    let found = numbers(&store, "SELECT position FROM events WHERE occurred_at >= '2026-11-01'", ());
    assert_eq!(found, [1, 2, 3]);
    let found = numbers(&store, "SELECT position FROM events WHERE occurred_at = ?", ["2026-11-01T01:00:00+01:00"]);
    assert_eq!(found, [1]);
    let latest = rows(&store, "SELECT max(occurred_at) FROM events", ());
    assert_eq!(latest[0].get(0).unwrap().as_text(), Some("2026-11-01T00:00:00.5Z"));
    let joined = "SELECT count(*) FROM events a JOIN events b ON a.occurred_at < b.occurred_at";
    assert_eq!(numbers(&store, joined, ()), [6]);
}
