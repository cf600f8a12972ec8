//! The same asked in two ways: of a log as it was written and of the same log sealed, of a plan and of every event.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::OnceLock;

use super::logs::{self, Dice, ours};
use crate::event::Event;
use crate::io::SimStorage;
use crate::position::Position;
use crate::query::Query;
use crate::reader::{AsOf, Reader};
use crate::receipt::Receipt;
use crate::report::Form;
use crate::store::Store;

/// Events of one input at most.
const EVENTS_MAX: u64 = 400;
/// Queries of one input at most.
const QUERIES_MAX: usize = 6;

/// Events, by the first byte many or few of them, and queries over them: the log as it was written answers as the same
/// log sealed, and so do receipts and the root of its tree.
pub fn forms(data: &[u8]) {
    let (clock, disk) = (logs::clock(), SimStorage::new());
    let raw = logs::sound(&disk, logs::options(&clock));
    let (asked, events) = data.split_at(data.len().min(1 + data.len() / 4));
    let tail = logs::fill(&raw, &clock, &mut Dice(events), EVENTS_MAX);
    if tail == 0 {
        return;
    }
    ours(raw.sync());
    let other = disk.snapshot();
    let sealed = logs::sound(&other, logs::options(&clock));
    ours(sealed.seal());
    assert!(sealed.segments().iter().any(|segment| segment.form == Form::Sealed));
    assert_eq!(ours(raw.head()), ours(sealed.head()));
    let (left, right) = (raw.reader(), sealed.reader());
    let whole = logs::lines(&left, &Query::all());
    assert!(whole == logs::lines(&right, &Query::all()), "sealing changes an event");
    assert_eq!(whole.len() as u64, tail);
    same_lookups(&left, &right, tail);
    same_receipts(&raw, &sealed, tail);
    let mut dice = Dice(asked);
    for _ in 0..QUERIES_MAX {
        let query = logs::query(&mut dice, tail, 1 << 20);
        assert!(logs::lines(&left, &query) == logs::lines(&right, &query), "{query}");
        assert_eq!(ours(left.count(&query)), ours(right.count(&query)), "{query}");
        if dice.is_over() {
            break;
        }
    }
    let verified = ours(sealed.verify(|_| ControlFlow::Continue(())));
    assert!(verified.damage.is_empty() && verified.derived.is_empty(), "{verified:?}");
}

/// What is looked up without a query: by id, by key, by subject and version.
fn same_lookups(left: &Reader, right: &Reader, tail: u64) {
    let positions = |events: Vec<Event>| events.iter().map(|event| event.position().get()).collect::<Vec<_>>();
    let mut seen = BTreeSet::new();
    for position in 1..=tail {
        let (one, other) = (ours(left.event(position)), ours(right.event(position)));
        let (Some(one), Some(other)) = (one, other) else { panic!("no event at {position}") };
        super::use_up::assert_same(&one.as_ref(), &other.as_ref());
        let (subject, version) = (one.subject(), one.version());
        let again = ours(right.event_of_version(subject, version));
        assert_eq!(again.map(|event| event.position()), Some(one.position()), "{subject} {version}");
        assert_eq!(ours(left.fingerprint(position)), ours(right.fingerprint(position)));
        if seen.insert(one.id().into_owned()) {
            let ids = positions(ours(left.events_by_id(&one.id())));
            assert!(ids.contains(&position));
            assert_eq!(ids, positions(ours(right.events_by_id(&one.id()))), "{}", one.id());
        }
        if seen.insert(subject.to_owned()) {
            assert_eq!(ours(left.version(subject)), ours(right.version(subject)), "{subject}");
        }
    }
    for number in 0..=u8::MAX {
        let key = format!("key-{number}");
        assert_eq!(ours(left.positions_of_key(&key)), ours(right.positions_of_key(&key)), "{key}");
    }
    assert!(ours(right.events_by_id("no such id")).is_empty());
}

fn same_receipts(raw: &Store, sealed: &Store, tail: u64) {
    let head = ours(raw.head());
    for position in [1, tail.div_ceil(2), tail] {
        let (one, other) = (ours(raw.receipt(position, None)), ours(sealed.receipt(position, Some(&head))));
        assert_eq!(one.to_json(), other.to_json());
        let read = ours(Receipt::from_json(one.to_json().as_bytes()));
        assert_eq!(ours(read.check(&head)).position(), Position::new(position));
        let mut wrong = head;
        wrong.root[usize::try_from(position % 32).unwrap_or_default()] ^= 1;
        assert!(read.check(&wrong).is_err(), "a receipt is good for another head");
    }
}

/// A log with every form that a segment can have, the same every time, and what stands in it.
struct Mixed {
    stores: [Store; 2],
    events: Vec<Event>,
    span: i64,
}

fn mixed() -> &'static Mixed {
    static MIXED: OnceLock<Mixed> = OnceLock::new();
    MIXED.get_or_init(|| {
        let (clock, disk) = (logs::clock(), SimStorage::new());
        let mut number = 7u64;
        let mut noise = |len: usize| -> Vec<u8> {
            let mut next = || {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (number >> 56) as u8
            };
            (0..len).map(|_| next()).collect()
        };
        let store = logs::sound(&disk, logs::options(&clock));
        // Sixteen small sealed ones make a lookup tier; raw ones and the one that takes appends come behind.
        for part in 0..22 {
            let tail = store.reader().tail().get();
            let events = logs::fill(&store, &clock, &mut Dice(&noise(1500)), tail + 40);
            assert!(events > tail);
            if part < 17 {
                ours(store.seal());
            }
        }
        logs::fill(&store, &clock, &mut Dice(&noise(60_000)), 3_000);
        ours(store.close());
        let writing = logs::sound(&disk, logs::options(&clock));
        logs::fill(&writing, &clock, &mut Dice(&noise(6_000)), u64::MAX);
        let segments = writing.segments();
        let sealed = segments.iter().filter(|segment| segment.form == Form::Sealed).count();
        assert!(sealed > 16 && segments.len() > sealed + 2, "{segments:?}");
        // The same without any index: what was derived is gone, and the answers may not depend on it.
        let bare = disk.snapshot();
        for directory in ["log", "index"] {
            for entry in ours(crate::io::Storage::list(&*bare, directory.as_ref())) {
                if entry.name.ends_with(".idx") || entry.name.ends_with(".run") {
                    ours(crate::io::Storage::remove(&*bare, &std::path::Path::new(directory).join(entry.name)));
                }
            }
        }
        let bare = logs::sound(&bare, logs::options(&clock).read_only(true));
        let events: Vec<Event> = writing.reader().read(&Query::all()).map(ours).collect();
        let span = events.last().map_or(0, |event| event.recorded_at().as_nanos() - logs::NOW);
        Mixed { stores: [writing, bare], events, span }
    })
}

/// A query over a log that stands there in every form, planned: it finds what looking at every event finds, with indexes
/// and without.
pub fn plan(data: &[u8]) {
    let mixed = mixed();
    let tail = mixed.events.len() as u64;
    let mut dice = Dice(data);
    let query = logs::query(&mut dice, tail, mixed.span);
    let until = if dice.one_in(3) { u64::from(dice.byte()) * tail / 255 } else { tail };
    let mut expected: Vec<u64> = Vec::new();
    for event in &mixed.events[..until as usize] {
        if query.matches(&event.as_ref()) {
            expected.push(event.position().get());
        }
    }
    if query.reverse {
        expected.reverse();
    }
    expected.truncate(query.limit.unwrap_or(u64::MAX).min(tail) as usize);
    for store in &mixed.stores {
        let mut reader = store.reader();
        if until < tail {
            reader = reader.as_of(AsOf::Position(Position::new(until)));
        }
        let plan = reader.plan(&query);
        let found: Vec<u64> = reader.read(&query).map(|event| ours(event).position().get()).collect();
        assert_eq!(found, expected, "{query} by {plan}");
        assert_eq!(ours(reader.count(&query)), expected.len() as u64, "{query} by {plan}");
        let mut scanned = Vec::new();
        ours(reader.scan(&query, |event| {
            scanned.push(event.position().get());
            ControlFlow::Continue(())
        }));
        assert_eq!(scanned, expected, "{query} by {plan}");
    }
}
