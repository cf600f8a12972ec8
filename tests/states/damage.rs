//! Files of states that are damaged, another store's, of another shape, or of a history that did not last.

use super::*;

/// Flips one bit of a file of states, if there is one.
pub(super) fn flip_any(disk: &SimStorage, place: u64) {
    let files = snapshot_files(disk);
    let Some((path, bytes)) = files.first().filter(|(_, bytes)| !bytes.is_empty()) else { return };
    let at = (place / 8) as usize % bytes.len();
    sim::write(disk, path, at as u64, &[bytes[at] ^ (1 << (place % 8))]);
}

pub(super) fn cut_any(disk: &SimStorage, place: u64) {
    if let Some((path, bytes)) = snapshot_files(disk).first() {
        sim::truncate(disk, path, place % (bytes.len() as u64 + 1));
    }
}

/// A store with three states of one subject and one of another.
fn stored() -> (Arc<ManualClock>, Arc<SimStorage>) {
    let clock = sim::clock();
    let disk = SimStorage::new();
    let store = sim::open(&disk, options(&clock, 2)).unwrap();
    for round in 0..3 {
        append(&store, "a/1", round * 2 + 1, 2);
        check(&store.reader(), "a/1");
    }
    append(&store, "b/1", 1, 2);
    check(&store.reader(), "b/1");
    append(&store, "a/1", 7, 1);
    store.close().unwrap();
    (clock, disk)
}

#[test]
fn any_flipped_byte_costs_a_fold_at_most() {
    let (clock, disk) = stored();
    let (path, bytes) = snapshot_files(&disk).remove(0);
    let whole = sim::open(&disk.snapshot(), options(&clock, 2)).unwrap();
    assert_eq!(check(&whole.reader(), "a/1"), Some(Position::new(6)));
    assert_eq!(whole.verify(|_| std::ops::ControlFlow::Continue(())).unwrap().derived, []);
    let mut ignored = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let damaged = disk.snapshot();
        sim::write(&damaged, &path, at as u64, &[byte ^ 0x10]);
        let reading = sim::open_read_only(&damaged).unwrap();
        check(&reading.reader(), "a/1");
        check(&reading.reader(), "b/1");
        let verified = reading.verify(|_| std::ops::ControlFlow::Continue(())).unwrap();
        assert!(verified.is_good() && !verified.derived.is_empty(), "byte {at}");
        let store = sim::open(&damaged, options(&clock, 2)).unwrap();
        check(&store.reader(), "a/1");
        check(&store.reader(), "b/1");
        // Older states of a subject are not looked at.
        let stats = store.stats();
        assert!(stats.snapshots_ignored_why.is_none_or(|why| why.starts_with("snapshots/tally-")), "byte {at}");
        ignored += usize::from(stats.snapshots_ignored > 0);
        // What was ignored is made again, and is good from then on.
        append(&store, "a/1", 8, 2);
        check(&store.reader(), "a/1");
        assert_eq!(check(&store.reader(), "a/1"), Some(store.reader().tail()), "byte {at}");
    }
    assert!(ignored > bytes.len() / 2, "{ignored} of {}", bytes.len());
}

#[test]
fn any_cut_costs_a_fold_at_most() {
    let (clock, disk) = stored();
    let (path, bytes) = snapshot_files(&disk).remove(0);
    for len in 0..bytes.len() as u64 {
        let damaged = disk.snapshot();
        sim::truncate(&damaged, &path, len);
        let store = sim::open(&damaged, options(&clock, 2)).unwrap();
        check(&store.reader(), "a/1");
        append(&store, "a/1", 8, 3);
        check(&store.reader(), "a/1");
        assert_eq!(check(&store.reader(), "a/1"), Some(store.reader().tail()), "{len} bytes");
        store.close().unwrap();
        let again = sim::open(&damaged, options(&clock, 2)).unwrap();
        assert!(check(&again.reader(), "a/1").is_some(), "{len} bytes");
        assert_eq!(again.stats().snapshots_ignored, 0, "{len} bytes");
    }
}

#[test]
fn states_of_another_store_are_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let open = |name: &str| Store::options().snapshot_every(2).open(path(name)).unwrap();
    let store = open("one");
    append(&store, "a/1", 1, 3);
    check(&store.reader(), "a/1");
    store.close().unwrap();
    let other = open("other");
    append(&other, "a/1", 11, 3);
    std::fs::rename(path("one/snapshots"), path("other/snapshots")).unwrap();
    assert_eq!(check(&other.reader(), "a/1"), None);
    let stats = other.stats();
    assert!(stats.snapshots_ignored_why.unwrap().contains("it belongs to log "), "{}", stats.snapshots_ignored);
    other.close().unwrap();
    assert_eq!(check(&open("other").reader(), "a/1"), Some(Position::new(3)));
}

/// The same kind of state under a later shape.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Later {
    tally: Tally,
    longest: usize,
}

impl State for Later {
    const NAME: &'static str = Tally::NAME;
    const SNAPSHOT_VERSION: u32 = 2;

    fn apply(&mut self, event: EventRef<'_>) -> Result<(), BoxError> {
        self.longest = self.longest.max(event.data().len());
        self.tally.apply(event)
    }
}

#[test]
fn a_state_of_another_shape_is_not_taken() {
    let (clock, disk) = stored();
    let store = sim::open(&disk, options(&clock, 2)).unwrap();
    let later = store.reader().load::<Later>("a/1").unwrap();
    assert_eq!((later.snapshot, later.replayed, later.state.longest), (None, 7, "event 1 of a/1".len()));
    assert_eq!(later.state.tally, naive(&store.reader(), "a/1").0);
    let stats = store.stats();
    assert_eq!(stats.snapshots_ignored, 3);
    assert!(stats.snapshots_ignored_why.unwrap().ends_with("a state of version 1, and 2 is wanted"));
    assert_eq!(store.reader().load::<Later>("a/1").unwrap().snapshot, Some(Position::new(9)));
    assert_eq!(store.stats().snapshots_ignored, 3, "each is told once");
    assert_eq!(check(&store.reader(), "a/1"), Some(Position::new(6)));
}

/// A disk that lost what it had called durable: the log goes on otherwise from there, and the states stayed.
#[test]
fn states_beyond_a_lost_history_are_not_taken() {
    let clock = sim::clock();
    let disk = SimStorage::new();
    let store = sim::open(&disk, options(&clock, 3)).unwrap();
    append(&store, "a/1", 1, 4);
    check(&store.reader(), "a/1");
    let earlier = disk.snapshot();
    append(&store, "a/1", 5, 4);
    check(&store.reader(), "a/1");
    assert_eq!(store.stats().snapshots, 2);
    let (path, bytes) = snapshot_files(&disk).remove(0);
    sim::write(&earlier, &path, 0, &bytes);

    let other = sim::open(&earlier, options(&clock, 3)).unwrap();
    // Beyond the tail it cannot be asked for; the one before it is good.
    assert_eq!(check(&other.reader(), "a/1"), Some(Position::new(4)));
    assert_eq!(other.stats().snapshots_ignored, 0);
    let verified = other.verify(|_| std::ops::ControlFlow::Continue(())).unwrap();
    assert!(verified.derived[0].1.contains("the log holds another event at position 8"), "{:?}", verified.derived);
    append(&other, "a/1", 105, 6);
    assert_eq!(check(&other.reader(), "a/1"), Some(Position::new(4)));
    let stats = other.stats();
    assert_eq!(stats.snapshots_ignored, 1);
    assert!(stats.snapshots_ignored_why.unwrap().ends_with("the log holds another event at position 8"));
    assert_eq!(check(&other.reader(), "a/1"), Some(Position::new(10)));
}
