//! How the sealed golden store is made: two sealed segments and a raw one behind them, with all that
//! a sealed segment can hold, on the same disk and clock as the other one.

use std::sync::Arc;

use annals::sim::{ManualClock, SimStorage};
use annals::{Actor, Append, ImportOptions, NewEvent, Timestamp};

use super::make::{BEGIN, DURABILITIES, KEY, SECOND, history, keyed, open_with};

/// Rows of the first segment: two blocks, the second one with a few rows only.
pub(crate) const ROWS: u64 = 1_100;

/// The `n`-th of many events that are much alike, as those of an application are.
fn step(n: u64) -> NewEvent {
    let subject = format!("case/{}", n % 37 / 4 * 5 + n % 3);
    let data = serde_json::json!({"case": n % 37, "step": n, "resource": format!("R{}", n * 7919 % 41)});
    let event = NewEvent::json(["case.opened", "case.moved", "case.closed"][n as usize % 3], subject, &data).unwrap();
    // Ids of every kind: by a template that finds, by one that keeps its number, literal ones; or none.
    let event = match n % 5 {
        0 => event.id(format!("step-{}", n * n)),
        1 => event.id(format!("{:016x}:{}", n / 50 * 0x9E37_79B9, n % 50)),
        2 => event.id(format!("550e8400-e29b-41d4-a716-{n:012x}")),
        3 => event,
        _ => event.id(format!("wäre/{}", n % 11)),
    };
    let actor = [Actor::user("alice"), Actor::agent("scribe").on_behalf_of("bob"), Actor::system("clock")];
    // More correlations, in bytes, than a dictionary takes.
    let event = event.actor(actor[n as usize % 7 % 3].clone()).correlation(format!("{n:066}"));
    (0..n % 3).fold(event, |event, tag| event.tag(format!("tag:{}", (n + tag) % 10))).meta("trace", (n / 9).to_string())
}

pub(crate) fn make() -> Arc<SimStorage> {
    let begin = Timestamp::parse(BEGIN).unwrap();
    let clock = Arc::new(ManualClock::new(begin.as_nanos()));
    let disk = SimStorage::new();
    let store = open_with(&disk, &clock, DURABILITIES[1], 1 << 20);

    // A history that keeps its times, then what else an event can have, then many that are alike.
    store.import(history(), ImportOptions::new().keep_recorded(true).batch(5)).unwrap();
    store.append_with(Append::new(keyed()).key(KEY)).unwrap();
    let attached =
        NewEvent::bytes("note.attached", "note/n-1", "application/octet-stream", (0..=255).collect::<Vec<u8>>());
    let attached = attached.id("evt-1").source("web-app").caused_by(13).occurred_at(begin);
    store.append([attached.meta("note", "zwölf"), NewEvent::bytes("note.touched", "note/n-1", "", *b"")]).unwrap();
    clock.set_wall(begin.as_nanos() - 3600 * SECOND);
    store.append([NewEvent::bytes("clock.back", "clock/1", "text/plain", "back")]).unwrap();
    clock.set_wall(begin.as_nanos() + 10 * 365 * 86_400 * SECOND);
    store.append([NewEvent::bytes("clock.ahead", "clock/1", "text/plain", "ahead")]).unwrap();
    clock.set_wall(begin.as_nanos() + 60 * SECOND);
    let mut next = store.reader().tail().get();
    while next < ROWS {
        clock.advance(SECOND);
        let some = (next % 13 + 1).min(ROWS - next);
        let events = (next..next + some).map(|n| match n % 4 {
            0 => step(n).caused_by(n - n % 30 + 1),
            1 => step(n).occurred_at(Timestamp::from_nanos(begin.as_nanos() + n as i64 * SECOND)),
            _ => step(n),
        });
        store.append(events).unwrap();
        next += some;
    }
    assert_eq!(store.seal().unwrap().segments, 1);

    // Another one, whose ids all follow the version of their subject, and which has no other columns.
    for n in 1..=20u64 {
        let event = NewEvent::bytes("page.edited", "page/7", "text/plain", format!("text {n}"));
        store.append([event.id(format!("page-7-{n}"))]).unwrap();
    }
    assert_eq!(store.seal().unwrap().segments, 1);
    store.append([NewEvent::bytes("note.edited", "note/n-2", "text/plain", "raw")]).unwrap();
    store.close().unwrap();
    disk
}
