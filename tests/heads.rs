//! The head of a log names its history: the same over everything that leaves the events alone, another after anything
//! that does not.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use annals::{Against, AsOf, Durability, Head, ImportEvent, ImportOptions, NewEvent, Position, Store};

const EVENTS: u64 = 2_000;

/// A store of several small segments.
fn open(path: &Path) -> Store {
    Store::options().segment_bytes(64 << 10).open(path).unwrap()
}

fn fill(store: &Store, events: u64) {
    for first in (1..=events).step_by(50) {
        let batch =
            (first..first + 50).map(|n| NewEvent::bytes("t", format!("s/{}", n % 7), "text/plain", n.to_string()));
        store.append(batch).unwrap();
    }
}

fn verified(store: &Store) -> Option<Head> {
    let found = store.verify(|_| ControlFlow::Continue(())).unwrap();
    assert!(found.is_good());
    assert_eq!(found.head.map(|head| head.root), found.root);
    found.head
}

fn against(store: &Store, head: &Head) -> Against {
    store.verify_against(head, |_| ControlFlow::Continue(())).unwrap().against.unwrap()
}

#[test]
fn rolls_closing_and_opening_leave_the_head_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let empty = store.head().unwrap();
    assert_eq!((empty.size, Some(empty)), (0, verified(&store)));
    fill(&store, EVENTS);
    assert!(store.segments().len() > 2, "it is about rolls too");
    let head = store.head().unwrap();
    assert_eq!((head.size, Some(head)), (EVENTS, verified(&store)));

    let reading = Store::options().read_only(true).open(directory.path()).unwrap();
    assert_eq!((reading.head().unwrap(), verified(&reading)), (head, Some(head)));
    store.close().unwrap();
    assert!(store.head().is_err(), "it is closed");
    let store = open(directory.path());
    assert_eq!((store.head().unwrap(), verified(&store)), (head, Some(head)));

    store.append([NewEvent::bytes("t", "s/1", "text/plain", *b"more")]).unwrap();
    let later = store.head().unwrap();
    assert_ne!(later.root, head.root);
    let reader = store.reader();
    for (position, then) in [(0, empty), (EVENTS, head), (EVENTS + 1, later), (EVENTS + 9, later)] {
        assert_eq!(reader.as_of(AsOf::Position(Position::new(position))).head().unwrap(), then);
    }
    for then in [empty, head, later] {
        assert_eq!(against(&store, &then), Against::Same, "{then}");
    }
    assert_eq!(against(&store, &Head { size: EVENTS + 2, ..later }), Against::Fewer(EVENTS + 1));
    assert_eq!(against(&store, &Head { root: [7; 32], ..head }), Against::OtherEvents(head.root));
    let occurred = annals::Timestamp::now();
    assert!(reader.as_of(AsOf::Occurred(occurred)).head().is_err(), "such a view is no beginning of the log");
}

#[test]
fn a_log_that_grows_meanwhile_is_good_and_has_its_heads() {
    let directory = tempfile::tempdir().unwrap();
    let durability = Durability::Written { sync_every: Duration::from_millis(5) };
    let store = Store::options().durability(durability).segment_bytes(64 << 10).open(directory.path()).unwrap();
    let writer = std::thread::spawn({
        let store = store.clone();
        move || (0..40).for_each(|_| fill(&store, 500))
    });
    let mut heads = vec![store.head().unwrap()];
    while !writer.is_finished() {
        let last = heads[heads.len() - 1];
        let found = store.verify_against(&last, |_| ControlFlow::Continue(())).unwrap();
        assert_eq!((&found.damage, found.against), (&Vec::new(), Some(Against::Same)));
        heads.extend(found.head);
        heads.push(store.head().unwrap());
    }
    writer.join().unwrap();
    assert!(heads.is_sorted_by_key(|head| head.size));
    for head in heads.iter().rev().take(20) {
        assert_eq!(against(&store, head), Against::Same, "{head}");
    }
}

#[test]
fn the_head_ends_where_the_log_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    let durability = Durability::Written { sync_every: Duration::from_secs(3600) };
    let store = Store::options().durability(durability).open(directory.path()).unwrap();
    fill(&store, 100);
    let (head, durable) = (store.head().unwrap(), store.reader().durable().get());
    assert!(head.size <= 100 && head.size >= durable.min(head.size));
    store.sync().unwrap();
    let head = store.head().unwrap();
    assert_eq!((head.size, Some(head)), (100, verified(&store)));
}

#[test]
fn an_import_of_an_export_has_the_same_events_and_a_head_of_its_own() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(from.path());
    fill(&store, 100);
    let lines: Vec<String> = store.reader().read(&annals::Query::all()).map(|event| event.unwrap().to_json()).collect();
    let copy = open(to.path());
    let events = lines.iter().map(|line| ImportEvent::from_json(line.as_bytes()).unwrap());
    copy.import(events, ImportOptions::new().keep_recorded(true)).unwrap();

    let data = |store: &Store| -> Vec<(Vec<u8>, annals::Timestamp)> {
        let events = store.reader().read(&annals::Query::all());
        events.map(|event| event.unwrap()).map(|event| (event.data().to_vec(), event.recorded_at())).collect()
    };
    assert_eq!(data(&copy), data(&store));
    let (head, other) = (store.head().unwrap(), copy.head().unwrap());
    assert_eq!(head.size, other.size);
    // A log of its own: another id, and leaves that say that their events were imported.
    assert_ne!(head.log, other.log);
    assert_ne!(head.root, other.root);
    assert_eq!(against(&copy, &head), Against::OtherLog(other.log));
}

#[test]
fn a_directory_replaced_by_an_older_copy_shows_against_a_head_alone() {
    let (kept, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copy = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to.join("log")).unwrap();
        for place in ["", "log"] {
            for entry in std::fs::read_dir(from.join(place)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    std::fs::copy(entry.path(), to.join(place).join(entry.file_name())).unwrap();
                }
            }
        }
    };
    let store = open(directory.path());
    fill(&store, 100);
    store.close().unwrap();
    copy(directory.path(), kept.path());
    let store = open(directory.path());
    fill(&store, 50);
    let head = store.head().unwrap();
    store.close().unwrap();

    let older = open(kept.path());
    assert!(verified(&older).is_some(), "nothing is wrong with it by itself");
    assert_eq!(against(&older, &head), Against::Fewer(100));
    // Another history that goes on from the copy is as long, and another.
    older.append([NewEvent::bytes("t", "s/1", "text/plain", *b"other")]).unwrap();
    fill(&older, 50);
    assert!(matches!(against(&older, &head), Against::OtherEvents(_)));
}
