//! Versions of a subject with many events: each is found, and each refusal names the first event against it, whatever
//! form the log has.

use std::path::Path;
use std::sync::Arc;

use annals::sim::{ManualClock, SimStorage};
use annals::{Append, AppendError, Expected, NewEvent, Store};

use super::NOW;

const LONG: &str = "case/long";

fn open(disk: &Arc<SimStorage>, segment_bytes: u64) -> Store {
    let clock = Arc::new(ManualClock::new(NOW));
    let options = Store::options().background(false).sealing(false).segment_bytes(segment_bytes).clock(clock);
    options.open_on(disk.clone(), Path::new("simulated")).unwrap()
}

fn check(store: &Store, positions: &[u64]) {
    let reader = store.reader();
    assert_eq!(reader.version(LONG).unwrap(), positions.len() as u64);
    for (version, position) in (1..).zip(positions) {
        let found = reader.event_of_version(LONG, version).unwrap().unwrap();
        assert_eq!((found.position().get(), found.version()), (*position, version));
    }
    assert!(reader.event_of_version(LONG, positions.len() as u64 + 1).unwrap().is_none());
    // A reader of the past does not see what came later.
    let then = reader.as_of(annals::AsOf::Position(annals::Position::new(positions[100])));
    assert!(then.event_of_version(LONG, 101).unwrap().is_some() && then.event_of_version(LONG, 102).unwrap().is_none());
    assert_eq!(then.version(LONG).unwrap(), 101);
    let last = positions.len() as u64;
    for wanted in (0..last).step_by(37).chain([63, 64, 65, last - 1]) {
        let expected = if wanted == 0 { Expected::NoSubject } else { Expected::Exactly(wanted) };
        let append = Append::new([NewEvent::bytes("t", LONG, "", *b"")]).expect(LONG, expected);
        match store.append_with(append) {
            Err(AppendError::Conflict { position, .. }) => assert_eq!(position.get(), positions[wanted as usize]),
            other => panic!("{wanted}: {other:?}"),
        }
    }
}

#[test]
fn every_version_of_a_long_subject_is_found_and_named() {
    // In several segments, of which all but one have an index file; and all in memory.
    in_segments_of(64 << 10, 4);
    in_segments_of(4 << 20, 1);
}

fn in_segments_of(segment_bytes: u64, least: usize) {
    let disk = SimStorage::new();
    let store = open(&disk, segment_bytes);
    let mut positions = Vec::new();
    let mut position = 0;
    while positions.len() < 1_300 {
        let event = |number: u64| {
            let subject = if number % 5 < 3 { LONG.to_owned() } else { format!("case/{}", number % 7) };
            NewEvent::bytes("t", subject, "", vec![b'x'; 30])
        };
        let count = 1 + position % 9;
        let numbers = position + 1..=position + count;
        positions.extend(numbers.clone().filter(|number| number % 5 < 3));
        store.append(numbers.map(event)).unwrap();
        position += count;
    }
    assert!(store.segments().len() >= least);
    check(&store, &positions);
    store.close().unwrap();
    // An active segment whose beginning is in a file.
    let store = open(&disk, segment_bytes);
    check(&store, &positions);
    store.append([NewEvent::bytes("t", LONG, "", *b"")]).unwrap();
    positions.push(position + 1);
    check(&store, &positions);
    store.seal().unwrap();
    check(&store, &positions);
    // Eighteen more sealed segments, over which a run lies.
    for number in 0..18 {
        store.append([NewEvent::bytes("t", if number % 3 == 0 { LONG } else { "case/1" }, "", *b"")]).unwrap();
        let tail = store.reader().tail().get();
        positions.extend((number % 3 == 0).then_some(tail));
        store.seal().unwrap();
    }
    assert!(store.stats().lookup_runs > 0);
    check(&store, &positions);
}
