//! Workers: at least once for every event, once for every step, in order of key, over restarts and crashes.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "workers/crashes.rs"]
mod crashes;
#[path = "workers/damage.rs"]
mod damage;
#[path = "workers/kills.rs"]
mod kills;
#[path = "workers/order.rs"]
mod order;
#[path = "workers/parking.rs"]
mod parking;
#[path = "workers/restarts.rs"]
mod restarts;
#[path = "common/sim.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]
mod sim;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use annals::{
    Actor, BoxError, Durability, ErrorKind, NewEvent, Position, Query, StartAt, Store, WorkerBuilder, WorkerState,
};
use parking_lot::Mutex;

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(5);

fn event(kind: &str, subject: &str, data: &str) -> NewEvent {
    NewEvent::bytes(kind, subject, "text/plain", data)
}

/// Events `from` to `to` of type `job`, each about one of seven subjects.
fn jobs(from: u64, to: u64) -> Vec<NewEvent> {
    (from..=to).map(|n| event("job", &format!("s/{}", n % 7), &n.to_string())).collect()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// How often each event was run, or each step done.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<BTreeMap<u64, u64>>>);

impl Counts {
    fn add(&self, position: Position) -> u64 {
        let mut counts = self.0.lock();
        let count = counts.entry(position.get()).or_default();
        *count += 1;
        *count
    }

    fn of(&self, position: u64) -> u64 {
        self.0.lock().get(&position).copied().unwrap_or_default()
    }

    fn total(&self) -> u64 {
        self.0.lock().values().sum()
    }

    #[track_caller]
    fn each_once(&self, positions: impl IntoIterator<Item = u64>) {
        let expected: BTreeMap<u64, u64> = positions.into_iter().map(|position| (position, 1)).collect();
        assert_eq!(*self.0.lock(), expected);
    }
}

/// A worker on jobs that tries again soon.
fn worker(store: &Store, name: &str) -> WorkerBuilder {
    store.worker(name).on(Query::all().types(["job"])).backoff(SHORT, SHORT)
}

#[test]
fn every_matching_event_is_run_once_and_what_comes_too() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append(jobs(1, 500)).unwrap();
    store.append([event("other", "s/1", "x")]).unwrap();
    let runs = Counts::default();
    let counted = runs.clone();
    let handle = worker(&store, "count")
        .run(move |event, _| {
            assert_eq!(event.data(), event.position().to_string().as_bytes());
            counted.add(event.position());
            Ok(())
        })
        .unwrap();
    assert!(handle.wait_for(501, LONG).unwrap());
    runs.each_once(1..=500);
    for n in 502..=520 {
        let done = store.append(jobs(n, n)).unwrap();
        assert!(handle.wait_for(done.last, LONG).unwrap());
        assert_eq!(runs.of(n), 1);
    }
    until("following", || handle.status().state == WorkerState::Following);
    let status = handle.status();
    assert_eq!((status.events, status.lag, status.in_flight, status.parked), (519, 0, 0, 0));
    assert_eq!((handle.lag(), status.error), (0, None));
    assert!(!handle.wait_for(521, Duration::from_millis(20)).unwrap(), "nobody appended it");
    handle.stop();
    assert_eq!(handle.status().state, WorkerState::Stopped);
    store.append(jobs(521, 521)).unwrap();
    assert_eq!(handle.wait_for(521, LONG).unwrap_err().kind(), ErrorKind::Closed);
    let info = store.workers().unwrap();
    assert_eq!((info.len(), info[0].name.as_str(), info[0].running), (1, "count", false));
    assert_eq!((info[0].checkpoint, info[0].lag), (Position::new(520), 1));
}

#[test]
fn a_step_is_done_once_and_its_result_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append(jobs(1, 20)).unwrap();
    let (runs, steps) = (Counts::default(), Counts::default());
    let (run, step_done) = (runs.clone(), steps.clone());
    let handle = worker(&store, "steps")
        .run(move |event, step| {
            let attempt = run.add(event.position());
            let n: u64 = step.run("double", || -> Result<u64, BoxError> {
                step_done.add(event.position());
                Ok(event.position().get() * 2)
            })?;
            assert_eq!(n, event.position().get() * 2);
            if attempt < 3 { Err("not yet".into()) } else { Ok(()) }
        })
        .unwrap();
    assert!(handle.wait_for(20, LONG).unwrap());
    steps.each_once(1..=20);
    assert_eq!(runs.total(), 60);
}

#[test]
fn a_step_that_fails_is_done_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append(jobs(1, 3)).unwrap();
    let tries = Counts::default();
    let tried = tries.clone();
    let handle = worker(&store, "again")
        .run(move |event, step| {
            step.run("send", || {
                if tried.add(event.position()) < 3 { Err(std::io::Error::other("refused")) } else { Ok(()) }
            })?;
            Ok(())
        })
        .unwrap();
    assert!(handle.wait_for(3, LONG).unwrap());
    assert_eq!(tries.total(), 9);
}

#[test]
fn a_panic_is_an_error_of_its_event_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append(jobs(1, 5)).unwrap();
    let runs = Counts::default();
    let counted = runs.clone();
    let handle = worker(&store, "panics")
        .retries(1)
        .run(move |event, _| {
            counted.add(event.position());
            assert_ne!(event.position().get(), 3, "told to");
            Ok(())
        })
        .unwrap();
    assert!(handle.wait_for(5, LONG).unwrap());
    assert_eq!((runs.of(3), runs.total()), (2, 6));
    let parked = store.parked(Some("panics")).unwrap();
    assert_eq!((parked.len(), parked[0].position, parked[0].attempts), (1, Position::new(3), 2));
    assert!(parked[0].error.contains("told to"), "{}", parked[0].error);
}

#[test]
fn two_steps_of_one_name_are_a_mistake_that_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append(jobs(1, 1)).unwrap();
    let handle = worker(&store, "twice")
        .run(|_, step| {
            step.run("send", || Ok::<_, BoxError>(1))?;
            step.run("send", || Ok::<_, BoxError>(2))?;
            Ok(())
        })
        .unwrap();
    assert!(handle.wait_for(1, LONG).unwrap());
    let parked = store.parked(None).unwrap();
    assert!(parked[0].error.contains("two steps of one event have the name \"send\""), "{}", parked[0].error);
    assert_eq!(parked[0].attempts, 1, "trying again would not mend it");
}

#[test]
fn a_step_appends_exactly_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append(jobs(1, 30)).unwrap();
    let runs = Counts::default();
    let counted = runs.clone();
    let handle = worker(&store, "appends")
        .concurrency(4)
        .run(move |job, step| {
            let attempt = counted.add(job.position());
            // What a later run would append does not count: the first one is the step's result.
            let made = event("made", &format!("m/{}", job.position()), &format!("attempt {attempt}"));
            let done = step.append("make", made.caused_by(job.position()))?;
            assert_eq!(done.duplicate, attempt > 1);
            if attempt < 3 { Err("again".into()) } else { Ok(()) }
        })
        .unwrap();
    assert!(handle.wait_for(30, LONG).unwrap());
    assert_eq!(runs.total(), 90);
    let reader = store.reader();
    for n in 1..=30 {
        assert_eq!(reader.version(&format!("m/{n}")).unwrap(), 1);
    }
    assert_eq!(reader.tail(), Position::new(60));
}

#[test]
fn a_worker_begins_where_it_is_told_the_first_time_and_where_it_was_later() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append(jobs(1, 10)).unwrap();
    let start = |name: &str, at: StartAt, runs: &Counts| {
        let counted = runs.clone();
        worker(&store, name).start_at(at).run(move |event, _| {
            counted.add(event.position());
            Ok(())
        })
    };
    let (now, behind) = (Counts::default(), Counts::default());
    let from_now = start("now", StartAt::Now, &now).unwrap();
    let from_behind = start("behind", StartAt::After(Position::new(4)), &behind).unwrap();
    store.append(jobs(11, 12)).unwrap();
    assert!(from_now.wait_for(12, LONG).unwrap() && from_behind.wait_for(12, LONG).unwrap());
    now.each_once(11..=12);
    behind.each_once(5..=12);
    drop(from_behind);
    let from_behind = start("behind", StartAt::Start, &behind).unwrap();
    store.append(jobs(13, 13)).unwrap();
    assert!(from_behind.wait_for(13, LONG).unwrap());
    behind.each_once(5..=13);
    let error = start("beyond", StartAt::After(Position::new(99)), &now).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn only_what_survives_power_loss_is_run() {
    let directory = tempfile::tempdir().unwrap();
    let written = Durability::Written { sync_every: Duration::from_secs(3_600) };
    let store = Store::options().durability(written).open(directory.path()).unwrap();
    let runs = Counts::default();
    let counted = runs.clone();
    let handle = worker(&store, "careful")
        .run(move |job, step| {
            counted.add(job.position());
            step.append("make", event("made", "m/1", "x"))?;
            Ok(())
        })
        .unwrap();
    store.append(jobs(1, 5)).unwrap();
    assert!(!handle.wait_for(1, Duration::from_millis(200)).unwrap());
    assert_eq!(runs.total(), 0);
    store.sync().unwrap();
    assert!(handle.wait_for(5, LONG).unwrap());
    runs.each_once(1..=5);
    // What its steps appended is durable before the event counts as finished.
    assert_eq!(store.reader().durable(), Position::new(10));
}

#[test]
fn what_cannot_be_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    for name in ["", "a/b", "..", ".hidden", "a b", "ü", &"x".repeat(65)] {
        assert_eq!(store.worker(name).run(|_, _| Ok(())).unwrap_err().kind(), ErrorKind::Invalid, "{name}");
    }
    assert_eq!(store.worker("a").concurrency(0).run(|_, _| Ok(())).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(store.worker("a").backoff(LONG, SHORT).run(|_, _| Ok(())).unwrap_err().kind(), ErrorKind::Invalid);
    let first = store.worker("a").run(|_, _| Ok(())).unwrap();
    assert_eq!(store.worker("a").run(|_, _| Ok(())).unwrap_err().kind(), ErrorKind::Locked);
    drop(first);
    let _again = store.worker("a").run(|_, _| Ok(())).unwrap();
    let reader = Store::options().read_only(true).open(directory.path()).unwrap();
    assert_eq!(reader.worker("b").run(|_, _| Ok(())).unwrap_err().kind(), ErrorKind::ReadOnly);
    let by = || Actor::user("alice");
    assert_eq!(reader.retry("a", 1, by(), "why").unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(store.retry("none", 1, by(), "why").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.parked(Some("none")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.skip("a", 1, by(), "why").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.skip("a", 1, by(), " ").unwrap_err().kind(), ErrorKind::Invalid);
    store.close().unwrap();
    assert_eq!(store.worker("c").run(|_, _| Ok(())).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(store.workers().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn closing_the_store_ends_its_workers_and_writes_nothing_more() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append(jobs(1, 50)).unwrap();
    let handle = worker(&store, "closed")
        .run(|_, step| {
            step.run("a", || {
                std::thread::sleep(Duration::from_millis(1));
                Ok::<_, BoxError>(())
            })?;
            Ok(())
        })
        .unwrap();
    until("some", || handle.status().events > 5);
    store.close().unwrap();
    let bytes = || std::fs::read(directory.path().join("workers/closed.log")).unwrap();
    let then = bytes();
    until("ended", || handle.status().state == WorkerState::Stopped);
    assert!(then == bytes(), "the file was written without the lock");
    let again = Store::open(directory.path()).unwrap();
    let handle = worker(&again, "closed").run(|_, _| Ok(())).unwrap();
    drop(again);
    drop(store);
    until("ended", || handle.status().state == WorkerState::Stopped);
    Store::open(directory.path()).unwrap();
}

#[test]
fn another_handle_sees_workers_and_what_is_parked() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append(jobs(1, 3)).unwrap();
    let held = Arc::new(AtomicBool::new(true));
    let hold = Arc::clone(&held);
    let handle = worker(&store, "seen")
        .run(move |event, step| {
            match event.position().get() {
                1 => return Err(annals::permanent("never").into()),
                2 => step.sleep("night", Duration::from_secs(3_600))?,
                _ => until("let go", || !hold.load(Ordering::Relaxed)),
            }
            Ok(())
        })
        .unwrap();
    until("all are somewhere", || {
        let status = handle.status();
        (status.parked, status.waiting, status.in_flight) == (1, 1, 1)
    });
    let reader = Store::options().read_only(true).open(directory.path()).unwrap();
    // What is in hand is written down within moments.
    until("written down", || reader.workers().unwrap()[0].in_flight == 1);
    for store in [&store, &reader] {
        let info = &store.workers().unwrap()[0];
        assert_eq!((info.name.as_str(), info.running, info.checkpoint), ("seen", true, Position::new(1)));
        assert_eq!((info.lag, info.in_flight, info.parked, info.waiting.len()), (2, 1, 1, 1));
        assert_eq!((info.waiting[0].position, info.waiting[0].step.as_deref()), (Position::new(2), Some("night")));
        assert_eq!(info.error.as_deref(), Some("never"));
        let parked = store.parked(None).unwrap();
        assert_eq!((parked.len(), parked[0].position, parked[0].error.as_str()), (1, Position::new(1), "never"));
    }
    held.store(false, Ordering::Relaxed);
    handle.stop();
    assert!(!reader.workers().unwrap()[0].running);
}
