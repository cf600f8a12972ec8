//! Segments that are begun, sealed and removed under readers of the same process.

use shuttle::thread;

use super::{check, disk, event, events, name_of, open, options};
use crate::models::Model;
use crate::sync::chosen::Timeouts;
use crate::{Query, Store};

/// Two such events fill a segment.
const DATA_BYTES: usize = 25 << 10;
/// Three segments: the first can be sealed while the third begins.
const APPENDS: usize = 5;

pub(super) fn models() -> Vec<Model> {
    vec![Model {
        name: "segments",
        claim: "a reader sees one consistent prefix, by scan, by position and by subject, while segments roll and are sealed",
        controls: &["stale"],
        run: |schedules| check(schedules, Timeouts::Always, run),
    }]
}

pub(super) fn data(number: usize) -> String {
    let name = name_of(0, number);
    name.clone() + &"x".repeat(DATA_BYTES - name.len())
}

pub(super) fn append(store: &Store) {
    for number in 0..APPENDS {
        store.append([event("note/n", &data(number))]).unwrap();
    }
}

/// Everything that a reader can ask of what it sees.
pub(super) fn ask(store: &Store, seen: &mut usize) {
    let reader = store.reader();
    let tail = reader.tail().get();
    assert!(tail >= *seen as u64, "the tail went back");
    *seen = tail as usize;
    let mut next = 0;
    reader
        .scan(&Query::all(), |event| {
            assert!(event.data() == data(next).as_bytes() && event.position().get() == next as u64 + 1);
            next += 1;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(next as u64, tail, "the scan ended elsewhere");
    for position in 1..=tail {
        let event = reader.event(position).unwrap().expect("it is below the tail");
        assert!(event.data() == data(position as usize - 1).as_bytes());
    }
    assert!(reader.version("note/n").unwrap() >= tail);
}

fn run() {
    let store = open(&disk(), options());
    let writer = {
        let store = store.clone();
        thread::spawn(move || append(&store))
    };
    let sealer = {
        let store = store.clone();
        thread::spawn(move || store.seal().unwrap())
    };
    let mut seen = 0;
    ask(&store, &mut seen);
    let old = store.reader();
    let found = old.tail();
    ask(&store, &mut seen);
    writer.join().unwrap();
    sealer.join().unwrap();
    // What was taken before reads on, whatever was sealed since.
    assert_eq!(old.count(&Query::all()).unwrap(), found.get());
    ask(&store, &mut seen);
    assert_eq!(events(&store).len(), APPENDS);
}
