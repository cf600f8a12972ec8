//! Projections: what they see, what they do when taking in fails, how they are rebuilt, and that whatever becomes of
//! one of them is felt by nobody else.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use annals::{
    Batch, BoxError, Checkpoint, Durability, ErrorKind, EventRef, Home, MemoryProjection, NewEvent, Position,
    Projection, ProjectionHandle, ProjectionState, Query, StartAt, State, Store,
};

#[cfg(feature = "sqlite")]
#[path = "common/spoil.rs"]
mod spoil;
#[cfg(feature = "sqlite")]
#[path = "projections/sqlite.rs"]
mod sqlite;

const LONG: Duration = Duration::from_secs(30);

fn events(from: u64, to: u64) -> Vec<NewEvent> {
    let event = |n: u64| NewEvent::bytes(format!("t.{}", n % 3), format!("s/{}", n % 7), "", format!("{n}"));
    (from..=to).map(event).collect()
}

fn filled(path: &Path, count: u64) -> Store {
    let store = Store::open(path).unwrap();
    for first in (1..=count).step_by(100) {
        store.append(events(first, (first + 99).min(count))).unwrap();
    }
    store
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Counts events per subject, checks their order, and misbehaves when it is told to.
#[derive(Default)]
struct Counts {
    seen: u64,
    per_subject: BTreeMap<String, u64>,
    query: Option<Query>,
    /// How many times taking in is to fail.
    failures: Option<Arc<AtomicU64>>,
    panics: Option<Arc<AtomicBool>>,
    pause: Duration,
    version: u32,
    /// What it claims to have kept.
    kept: Option<Checkpoint>,
    cleared: Option<Arc<AtomicU64>>,
}

impl Projection for Counts {
    fn name(&self) -> &str {
        "counts"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn query(&self) -> Query {
        self.query.clone().unwrap_or_else(Query::all)
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<(), BoxError> {
        if self.panics.as_ref().is_some_and(|panics| panics.load(Ordering::Relaxed)) {
            panic!("told to");
        }
        if let Some(left) = &self.failures
            && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        {
            return Err("not now".into());
        }
        std::thread::sleep(self.pause);
        for event in batch.iter() {
            assert!(event.position().get() > self.seen, "an event twice, or out of order");
            self.seen = event.position().get();
            *self.per_subject.entry(event.subject().to_owned()).or_default() += 1;
        }
        assert!(batch.through().get() >= self.seen);
        Ok(())
    }

    fn open(&mut self, _: &Home, beside: bool) -> Result<Checkpoint, BoxError> {
        Ok(self.kept.filter(|_| !beside).unwrap_or_default())
    }

    fn clear(&mut self, _: &Home) -> Result<(), BoxError> {
        let Some(cleared) = &self.cleared else { return Err("it cannot".into()) };
        cleared.fetch_add(1, Ordering::Relaxed);
        (self.seen, self.per_subject) = (0, BTreeMap::new());
        Ok(())
    }

    fn keeps_checkpoint(&self) -> bool {
        self.kept.is_some()
    }

    fn differences(&self, rebuilt: &Counts) -> Vec<String> {
        let total = |model: &Counts| model.per_subject.values().sum::<u64>();
        if total(self) == total(rebuilt) { Vec::new() } else { vec![format!("{} and {}", total(self), total(rebuilt))] }
    }
}

fn total(handle: &ProjectionHandle<Counts>) -> u64 {
    handle.with(|model| model.per_subject.values().sum())
}

#[test]
fn a_projection_catches_up_follows_and_gives_read_your_writes() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 2_000);
    let counts = store.project(Counts::default()).unwrap();
    assert!(counts.wait_for(2_000, LONG).unwrap());
    assert_eq!(total(&counts), 2_000);
    for n in 2_001..=2_050 {
        let done = store.append(events(n, n)).unwrap();
        assert!(counts.wait_for(done.last, LONG).unwrap());
        assert_eq!(total(&counts), n);
    }
    until("following", || counts.status().state == ProjectionState::Following);
    let status = counts.status();
    assert_eq!((status.lag, status.events, counts.lag()), (0, 2_050, 0));
    assert!(!counts.wait_for(2_051, Duration::from_millis(20)).unwrap(), "nobody appended it");
    counts.stop();
    assert_eq!(counts.status().state, ProjectionState::Stopped);
    store.append(events(2_051, 2_051)).unwrap();
    assert_eq!(counts.wait_for(2_051, LONG).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(total(&counts), 2_050, "its model can still be looked at");
}

#[test]
fn what_does_not_match_moves_it_on_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 1_000);
    let one = Counts { query: Some(Query::all().types(["t.1"])), ..Counts::default() };
    let counts = store.project(one).unwrap();
    assert!(counts.wait_for(1_000, LONG).unwrap());
    assert_eq!(total(&counts), 334);
}

#[test]
fn a_failing_projection_gets_the_same_batch_again_and_hurts_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 500);
    let left = Arc::new(AtomicU64::new(3));
    let failing = store.project(Counts { failures: Some(Arc::clone(&left)), ..Counts::default() }).unwrap();
    let other = store.project(Counts::default()).unwrap();
    assert!(other.wait_for(500, LONG).unwrap());
    until("retrying", || {
        let status = failing.status();
        status.state == ProjectionState::Retrying && status.error.as_deref() == Some("not now") || status.lag == 0
    });
    assert!(failing.wait_for(500, LONG).unwrap());
    assert_eq!((total(&failing), left.load(Ordering::Relaxed)), (500, 0));
    assert_eq!(failing.status().error, None);
}

#[test]
fn a_panicking_projection_ends_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 100);
    let panics = Arc::new(AtomicBool::new(false));
    let bad = store.project(Counts { panics: Some(Arc::clone(&panics)), ..Counts::default() }).unwrap();
    let good = store.project(Counts::default()).unwrap();
    assert!(bad.wait_for(100, LONG).unwrap());
    panics.store(true, Ordering::Relaxed);
    let done = store.append(events(101, 101)).unwrap();
    assert!(good.wait_for(done.last, LONG).unwrap());
    let error = bad.wait_for(done.last, LONG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("told to"), "{error}");
    assert_eq!(bad.status().state, ProjectionState::Panicked);
    assert_eq!(total(&bad), 100);
    store.append(events(102, 102)).unwrap();
    store.close().unwrap();
}

#[test]
fn a_slow_projection_slows_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let written = Durability::Written { sync_every: Duration::from_secs(60) };
    let store = Store::options().durability(written).open(directory.path()).unwrap();
    let slow = store.project(Counts { pause: Duration::from_millis(300), ..Counts::default() }).unwrap();
    let fast = store.project(Counts::default()).unwrap();
    for n in 1..=2_000 {
        store.append(events(n, n)).unwrap();
    }
    assert!(fast.wait_for(2_000, LONG).unwrap());
    assert!(slow.lag() > 0, "it could not be there yet");
    slow.stop();
}

#[test]
fn a_rebuilt_model_takes_the_place_of_the_serving_one_without_a_step_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 20_000);
    // What serves has missed two thirds of the events; the rebuilt one sees all.
    let counts = store.project(Counts { query: Some(Query::all().types(["t.1"])), ..Counts::default() }).unwrap();
    assert!(counts.wait_for(20_000, LONG).unwrap());
    assert_eq!(total(&counts), 6_667);
    counts.rebuild_as(Counts { version: 2, ..Counts::default() });
    let mut highest = Position::new(20_000);
    let mut n = 20_000;
    until("rebuilt", || {
        n += 1;
        store.append(events(n, n)).unwrap();
        let status = counts.status();
        assert!(status.position >= highest, "what was served stepped back");
        highest = status.position;
        status.rebuilds == 1
    });
    assert!(counts.wait_for(n, LONG).unwrap());
    let status = counts.status();
    assert_eq!((status.version, status.rebuilding, total(&counts)), (2, None, n));
    assert_eq!(status.differences.len(), 1, "{status:?}");
    counts.rebuild();
    until("rebuilt again", || counts.status().rebuilds == 2);
    assert_eq!(counts.status().differences, Vec::<String>::new());
}

#[test]
fn a_checkpoint_of_another_history_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 300);
    let right = store.reader().checkpoint(200).unwrap().unwrap();
    let beyond = Checkpoint { position: Position::new(301), ..right };
    let beside = Checkpoint { fingerprint: [7; 16], ..right };
    let other_epoch = Checkpoint { epoch: right.epoch + 1, ..right };
    for wrong in [beyond, beside, other_epoch] {
        assert!(!store.reader().holds(&wrong).unwrap());
        let cleared = Arc::new(AtomicU64::new(0));
        let counts = Counts { kept: Some(wrong), cleared: Some(Arc::clone(&cleared)), ..Counts::default() };
        let counts = store.project(counts).unwrap();
        until("cleared", || cleared.load(Ordering::Relaxed) == 1 && counts.status().lag == 0);
        assert_eq!((total(&counts), cleared.load(Ordering::Relaxed)), (300, 1));
        drop(counts);
        let stubborn = store.project(Counts { kept: Some(wrong), ..Counts::default() }).unwrap();
        until("failed", || stubborn.status().state == ProjectionState::Failed);
        drop(stubborn);
        let mut subscription = store.subscribe(Query::all(), StartAt::Checkpoint(wrong));
        assert_eq!(subscription.next_timeout(LONG).unwrap_err().kind(), ErrorKind::Diverged);
    }
    assert!(store.reader().holds(&right).unwrap());
    let counts = store.project(Counts { kept: Some(right), ..Counts::default() }).unwrap();
    assert!(counts.wait_for(300, LONG).unwrap());
    assert_eq!(total(&counts), 100, "it went on behind its checkpoint");
}

#[test]
fn one_that_keeps_a_checkpoint_sees_only_what_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    let written = Durability::Written { sync_every: Duration::from_secs(3_600) };
    let store = Store::options().durability(written).open(directory.path()).unwrap();
    let careful = store.project(Counts { kept: Some(Checkpoint::ORIGIN), ..Counts::default() }).unwrap();
    let eager = store.project(Counts::default()).unwrap();
    store.append(events(1, 50)).unwrap();
    assert!(eager.wait_for(50, LONG).unwrap());
    assert!(!careful.wait_for(1, Duration::from_millis(200)).unwrap());
    store.sync().unwrap();
    assert!(careful.wait_for(50, LONG).unwrap());
}

#[test]
fn closing_the_store_ends_its_projections_and_dropping_the_handle_too() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 100);
    let counts = store.project(Counts::default()).unwrap();
    assert!(counts.wait_for(100, LONG).unwrap());
    store.close().unwrap();
    until("ended", || counts.status().state == ProjectionState::Stopped);
    let store = Store::open(directory.path()).unwrap();
    drop(store.project(Counts { pause: Duration::from_millis(50), ..Counts::default() }).unwrap());
    drop(store);
    Store::open(directory.path()).unwrap();
}

#[test]
fn a_name_that_cannot_name_a_file_is_refused() {
    struct Named(&'static str);
    impl Projection for Named {
        fn name(&self) -> &str {
            self.0
        }
        fn apply(&mut self, _: &Batch<'_>) -> Result<(), BoxError> {
            Ok(())
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    for name in ["", "a/b", "..", ".hidden", "a b", "ü"] {
        assert_eq!(store.project(Named(name)).unwrap_err().kind(), ErrorKind::Invalid, "{name}");
    }
}

#[test]
fn a_projection_follows_a_writer_in_another_handle() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 100);
    let reader = Store::options().read_only(true).open(directory.path()).unwrap();
    let counts = reader.project(Counts::default()).unwrap();
    assert!(counts.wait_for(100, LONG).unwrap());
    store.append(events(101, 150)).unwrap();
    assert!(counts.wait_for(150, LONG).unwrap());
    assert_eq!(total(&counts), 150);
}

/// The versions of each subject, summed up.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Versions(BTreeMap<String, u64>);

impl State for Versions {
    const NAME: &'static str = "versions";

    fn apply(&mut self, event: EventRef<'_>) -> Result<(), BoxError> {
        let version = self.0.entry(event.subject().to_owned()).or_default();
        *version += 1;
        assert_eq!(*version, event.version(), "an event lost, or taken in twice");
        Ok(())
    }
}

#[test]
fn a_state_in_memory_goes_on_where_it_was_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 1_000);
    let versions = store.project(MemoryProjection::<Versions>::default()).unwrap();
    assert!(versions.wait_for(1_000, LONG).unwrap());
    versions.stop();
    drop(versions);
    store.append(events(1_001, 1_100)).unwrap();
    let versions = store.project(MemoryProjection::<Versions>::default()).unwrap();
    assert!(versions.wait_for(1_100, LONG).unwrap());
    assert_eq!(versions.status().events, 100, "what was kept was folded again");
    assert_eq!(versions.with(|model| model.state().0.values().sum::<u64>()), 1_100);
    versions.rebuild();
    until("rebuilt", || versions.status().rebuilds == 1);
    assert_eq!(versions.status().differences, Vec::<String>::new());
    drop(versions);
    // Damaged, or another store's: it is made again from the first event.
    let file = directory.path().join("projections/versions.state");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let versions = store.project(MemoryProjection::<Versions>::default()).unwrap();
    assert!(versions.wait_for(1_100, LONG).unwrap());
    assert_eq!(versions.status().events, 1_100);
    drop(versions);
    let other_directory = tempfile::tempdir().unwrap();
    let other = filled(other_directory.path(), 1_100);
    std::fs::create_dir_all(other_directory.path().join("projections")).unwrap();
    std::fs::copy(&file, other_directory.path().join("projections/versions.state")).unwrap();
    let versions = other.project(MemoryProjection::<Versions>::default()).unwrap();
    until("made again", || versions.status().rebuilds == 1 && versions.status().lag == 0);
    assert_eq!(versions.with(|model| model.state().0.values().sum::<u64>()), 1_100);
}
