//! Loading as a fold: at any moment, in any view, with states stored or not.

use std::time::Duration;

use annals::{AsOf, Durability, ErrorKind, Timestamp};
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append(u8, u8),
    Load(u8),
    LoadAt(u8, u64),
    LoadOccurred(u8, u8),
    Seal,
    Reopen(u64),
    /// Flips a bit of a file of states.
    Flip(u64),
    Cut(u64),
    Sync,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3u8, 1..9u8).prop_map(|(subject, count)| Step::Append(subject, count)),
        6 => (0..4u8).prop_map(Step::Load),
        4 => (0..3u8, any::<u64>()).prop_map(|(subject, position)| Step::LoadAt(subject, position)),
        1 => (0..3u8, any::<u8>()).prop_map(|(subject, second)| Step::LoadOccurred(subject, second)),
        1 => Just(Step::Seal),
        2 => (0..8u64).prop_map(Step::Reopen),
        1 => any::<u64>().prop_map(Step::Flip),
        1 => any::<u64>().prop_map(Step::Cut),
        1 => Just(Step::Sync),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn load_is_the_fold(steps in proptest::collection::vec(step(), 1..40), written in any::<bool>()) {
        let clock = sim::clock();
        let disk = SimStorage::new();
        let options = |every| {
            let options = options(&clock, every);
            if written { options.durability(Durability::Written { sync_every: Duration::from_secs(1) }) } else { options }
        };
        let mut store = sim::open(&disk, options(3)).unwrap();
        let (mut appended, mut most) = ([0u64; 3], 0);
        for step in steps {
            let subject = |index: u8| format!("thing/{index}");
            match step {
                Step::Append(index, count) => {
                    let number = &mut appended[usize::from(index)];
                    for _ in 0..count {
                        *number += 1;
                        let at = Timestamp::from_nanos(sim::NOW + (*number * 7 % 200) as i64);
                        store.append([event(&subject(index), *number).occurred_at(at)]).unwrap();
                    }
                }
                Step::Load(index) => {
                    check(&store.reader(), &subject(index));
                    let reading = sim::open_read_only(&disk).unwrap();
                    check(&reading.reader(), &subject(index));
                    check(&reading.reader(), &subject(index));
                }
                Step::LoadAt(index, place) => {
                    let position = Position::new(place % (store.reader().tail().get() + 2));
                    let then = store.reader().as_of(AsOf::Position(position));
                    let snapshot = check(&then, &subject(index));
                    assert!(snapshot.is_none_or(|snapshot| snapshot <= position));
                }
                Step::LoadOccurred(index, second) => {
                    let time = Timestamp::from_nanos(sim::NOW + i64::from(second));
                    assert_eq!(check(&store.reader().as_of(AsOf::Occurred(time)), &subject(index)), None);
                }
                Step::Seal => drop(store.seal().unwrap()),
                Step::Reopen(every) => {
                    most = most.max(store.stats().snapshots);
                    store.close().unwrap();
                    store = sim::open(&disk, options(every)).unwrap();
                }
                Step::Flip(place) => damage::flip_any(&disk, place),
                Step::Cut(place) => damage::cut_any(&disk, place),
                Step::Sync => store.sync().unwrap(),
            }
        }
        for index in 0..3 {
            check(&store.reader(), &format!("thing/{index}"));
        }
        store.verify(|_| std::ops::ControlFlow::Continue(())).unwrap();
    }
}

#[test]
fn a_stored_state_is_used_and_saves_the_fold() {
    let clock = sim::clock();
    let disk = SimStorage::new();
    let store = sim::open(&disk, options(&clock, 10)).unwrap();
    append(&store, "a/1", 1, 9);
    assert_eq!(check(&store.reader(), "a/1"), None);
    assert_eq!(store.stats().snapshots, 0, "fewer events than a state is stored after");
    append(&store, "a/1", 10, 3);
    append(&store, "b/1", 1, 30);
    assert_eq!(check(&store.reader(), "a/1"), None);
    append(&store, "a/1", 13, 4);
    let loaded = store.reader().load::<Tally>("a/1").unwrap();
    assert_eq!((loaded.snapshot, loaded.replayed, loaded.version), (Some(Position::new(12)), 4, 16));
    // The past begins from a stored state too, and never from a later one.
    let then = |position| store.reader().as_of(AsOf::Position(Position::new(position)));
    assert_eq!(check(&then(12), "a/1"), Some(Position::new(12)));
    assert_eq!(check(&then(11), "a/1"), None);
    assert_eq!(check(&store.reader(), "none/1"), None);
    // That of the past was stored as well, since as many events were folded for it.
    assert_eq!((store.stats().snapshots, store.stats().snapshots_written), (2, 2));
    assert_eq!(store.stats().snapshots_ignored, 0);
    store.close().unwrap();

    let again = sim::open(&disk, options(&clock, 10)).unwrap();
    assert_eq!(check(&again.reader(), "a/1"), Some(Position::new(12)));
    let reading = sim::open_read_only(&disk).unwrap();
    assert_eq!(check(&reading.reader(), "a/1"), Some(Position::new(12)));
    append(&again, "a/1", 17, 10);
    check(&again.reader(), "a/1");
    // A reader sees what another process has stored since.
    assert_eq!(check(&reading.reader(), "a/1"), Some(again.reader().tail()));
    let off = sim::open(&disk.snapshot(), options(&clock, 0)).unwrap();
    assert_eq!(check(&off.reader(), "a/1"), None);
    append(&off, "c/1", 1, 2000);
    check(&off.reader(), "c/1");
    assert_eq!(off.stats().snapshots_written, 0);
}

#[test]
fn a_state_that_refuses_an_event_says_which() {
    let clock = sim::clock();
    let disk = SimStorage::new();
    let store = sim::open(&disk, options(&clock, 2)).unwrap();
    append(&store, "a/1", 1, 5);
    store.append([NewEvent::bytes("counted", "a/1", "text/plain", *b"poison")]).unwrap();
    let error = store.reader().load::<Tally>("a/1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.to_string(), "the state \"tally\" refuses a/1 at position 6: poison is not taken");
    assert!(snapshot_files(&disk).is_empty());
    check(&store.reader().as_of(AsOf::Position(Position::new(5))), "a/1");
    store.close().unwrap();
    assert_eq!(store.reader().load::<Tally>("a/1").unwrap_err().kind(), ErrorKind::Closed);
}

/// What a power cut may take is not stored: the state is that of the newest durable position.
#[test]
fn only_durable_states_are_stored() {
    let clock = sim::clock();
    let disk = SimStorage::new();
    let written = options(&clock, 4).durability(Durability::Written { sync_every: Duration::from_secs(3600) });
    let store = sim::open(&disk, written).unwrap();
    append(&store, "a/1", 1, 6);
    check(&store.reader(), "a/1");
    assert_eq!(store.stats().snapshots, 0);
    store.sync().unwrap();
    append(&store, "a/1", 7, 6);
    assert_eq!(store.reader().durable(), Position::new(6));
    assert_eq!(check(&store.reader(), "a/1"), None);
    assert_eq!(check(&store.reader(), "a/1"), Some(Position::new(6)));
    assert_eq!(store.stats().snapshots, 1);
}

/// A file does not grow without end, and the past keeps something to begin from.
#[test]
fn files_are_compacted_and_older_states_thin_out() {
    let clock = sim::clock();
    let disk = SimStorage::new();
    let store = sim::open(&disk, options(&clock, 1)).unwrap();
    append(&store, "b/1", 1, 3);
    check(&store.reader(), "b/1");
    for n in 1..=2000 {
        append(&store, "a/1", n, 1);
        store.reader().load::<Tally>("a/1").unwrap();
    }
    let stats = store.stats();
    assert_eq!((stats.snapshots_written, stats.snapshots_ignored), (2001, 0));
    assert!(stats.snapshot_bytes < 160_000, "{} bytes", stats.snapshot_bytes);
    let tail = store.reader().tail();
    assert_eq!(check(&store.reader(), "a/1"), Some(tail));
    assert_eq!(check(&store.reader(), "b/1"), Some(Position::new(3)));
    for back in [1, 10, 100, 1000] {
        let then = store.reader().as_of(AsOf::Position(Position::new(tail.get() - back)));
        let snapshot = check(&then, "a/1").expect("a state to begin from");
        assert!(snapshot.get() + 4 * back >= tail.get(), "{back} back there is {snapshot}");
    }
    let verified = store.verify(|_| std::ops::ControlFlow::Continue(())).unwrap();
    assert_eq!(verified.derived, []);
    store.close().unwrap();
    let again = sim::open(&disk, options(&clock, 1)).unwrap();
    assert_eq!(check(&again.reader(), "a/1"), Some(tail));
}

/// With real threads on a real disk: nobody waits, and after closing all is there.
#[test]
fn a_thread_stores_them() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::options().snapshot_every(100).open(directory.path()).unwrap();
    for subject in 0..20 {
        store.append((1..=150).map(|n| event(&format!("a/{subject}"), n))).unwrap();
    }
    for subject in 0..20 {
        check(&store.reader(), &format!("a/{subject}"));
    }
    store.close().unwrap();
    let again = Store::options().snapshot_every(100).open(directory.path()).unwrap();
    let used = (0..20).filter(|subject| check(&again.reader(), &format!("a/{subject}")).is_some()).count();
    // The queue is short, and what finds it full is dropped.
    assert!(used >= 16, "{used} of 20");
    assert_eq!(again.stats().snapshots_ignored, 0);
}
