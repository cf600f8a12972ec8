//! What a worker knows over restarts: memos, due times, what is open, how far it is.

use annals::sim::ManualClock;

use super::*;

#[test]
fn a_memoised_step_is_done_once_over_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let steps = Counts::default();
    for round in 0..6u64 {
        let store = Store::open(directory.path()).unwrap();
        if round == 0 {
            store.append(jobs(1, 10)).unwrap();
        }
        let done = steps.clone();
        let handle = worker(&store, "memo")
            .concurrency(3)
            .key(|event| event.position().to_string())
            .retries(u32::MAX)
            .backoff(Duration::ZERO, Duration::ZERO)
            .run(move |event, step| {
                let made: String = step.run("send", || {
                    done.add(event.position());
                    Ok::<_, BoxError>(format!("made in round {round}"))
                })?;
                assert_eq!(made, "made in round 0");
                if round < 5 { Err("not finished".into()) } else { Ok(()) }
            })
            .unwrap();
        if round < 5 {
            until("the steps", || steps.total() == 10 && handle.status().error.is_some());
            assert_eq!(handle.status().checkpoint, Position::ORIGIN);
        } else {
            assert!(handle.wait_for(10, LONG).unwrap());
        }
        drop(handle);
        store.close().unwrap();
    }
    steps.each_once(1..=10);
}

#[test]
fn due_times_are_neither_forgotten_nor_hurried_by_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(sim::NOW));
    let open = || Store::options().clock(clock.clone()).open(directory.path()).unwrap();
    let (runs, minute) = (Counts::default(), 60 * 1_000_000_000i64);
    let start = |store: &Store| {
        let counted = runs.clone();
        let hour = Duration::from_secs(3_600);
        store
            .worker("due")
            .backoff(hour, hour)
            .run(move |event, step| {
                let attempt = counted.add(event.position());
                match event.position().get() {
                    1 if attempt == 1 => Err("try in an hour".into()),
                    2 => Ok(step.sleep("a while", Duration::from_secs(1_800))?),
                    3 => Ok(step.sleep_until("noon", annals::Timestamp::from_nanos(sim::NOW + 40 * 60_000_000_000))?),
                    _ => Ok(()),
                }
            })
            .unwrap()
    };
    let store = open();
    store.append((1..=3).map(|n| event("job", &format!("s/{n}"), "x"))).unwrap();
    let handle = start(&store);
    until("all wait", || handle.status().waiting == 3);
    let waiting = store.workers().unwrap().remove(0).waiting;
    let due: Vec<i64> = waiting.iter().map(|one| (one.due.as_nanos() - sim::NOW) / minute).collect();
    assert_eq!(due, [60, 30, 40]);
    drop(handle);
    store.close().unwrap();
    // Nothing is due yet, and a restart makes it no earlier and no later.
    clock.advance(29 * minute);
    let store = open();
    let handle = start(&store);
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!((runs.total(), handle.status().waiting), (3, 3));
    clock.advance(minute);
    until("the short sleep", || runs.of(2) == 2);
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(runs.total(), 4);
    drop(handle);
    store.close().unwrap();
    clock.advance(10 * minute);
    let store = open();
    let handle = start(&store);
    until("noon", || runs.of(3) == 2);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!((runs.total(), handle.status().waiting), (5, 1));
    clock.advance(20 * minute);
    assert!(handle.wait_for(3, LONG).unwrap());
    assert_eq!(runs.total(), 6);
}

#[test]
fn pauses_grow_up_to_the_longest() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(sim::NOW));
    let store = Store::options().clock(clock.clone()).open(directory.path()).unwrap();
    store.append(jobs(1, 1)).unwrap();
    let handle = store
        .worker("grow")
        .retries(20)
        .backoff(Duration::from_secs(1), Duration::from_secs(60))
        .run(|_, _| Err("no".into()))
        .unwrap();
    let mut full = 1;
    for attempt in 1..=20u32 {
        until("waiting", || {
            let info = store.workers().unwrap().remove(0);
            info.waiting.first().is_some_and(|one| one.attempts == attempt)
        });
        let due = store.workers().unwrap()[0].waiting[0].due;
        let pause = due.as_nanos() - annals::sim::Clock::wall_nanos(&*clock);
        let (least, most) = ((full * 500_000_000i64).max(1_000_000_000), full * 1_000_000_000);
        assert!((least..=most).contains(&pause), "attempt {attempt}: {pause}");
        clock.advance(pause);
        full = (full * 2).min(60);
    }
    assert!(handle.wait_for(1, LONG).unwrap());
    assert_eq!(store.parked(None).unwrap()[0].attempts, 21);
}

#[test]
fn a_log_that_lost_what_the_worker_saw_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (path, other) = (directory.path().join("a"), directory.path().join("b"));
    let store = Store::open(&path).unwrap();
    store.append(jobs(1, 5)).unwrap();
    store.backup(&other).unwrap();
    store.append(jobs(6, 9)).unwrap();
    let handle = worker(&store, "ahead").run(|_, _| Ok(())).unwrap();
    assert!(handle.wait_for(9, LONG).unwrap());
    drop(handle);
    store.close().unwrap();
    std::fs::create_dir_all(other.join("workers")).unwrap();
    std::fs::copy(path.join("workers/ahead.log"), other.join("workers/ahead.log")).unwrap();
    let store = Store::open(&other).unwrap();
    // At first the log is too short, then it holds other events there.
    for round in 0..2 {
        let before = std::fs::read(other.join("workers/ahead.log")).unwrap();
        let error = worker(&store, "ahead").run(|_, _| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Diverged, "{round}: {error:?}");
        assert!(before == std::fs::read(other.join("workers/ahead.log")).unwrap());
        let found = store.verify(|_| std::ops::ControlFlow::Continue(())).unwrap();
        assert_eq!(found.damage.len(), 1, "{found:?}");
        store.append(jobs(100, 110)).unwrap();
    }
}

#[test]
fn a_backup_holds_what_workers_know_and_a_restored_store_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy, again) = (directory.path().join("a"), directory.path().join("b"), directory.path().join("c"));
    let store = Store::open(&path).unwrap();
    store.append(jobs(1, 200)).unwrap();
    let steps = Counts::default();
    let start = |store: &Store, finishes: bool| {
        let done = steps.clone();
        worker(store, "copied")
            .retries(u32::MAX)
            .backoff(Duration::from_secs(3_600), Duration::from_secs(3_600))
            .run(move |event, step| {
                step.run("send", || Ok::<_, BoxError>(done.add(event.position())))?;
                if finishes || event.position().get() <= 100 { Ok(()) } else { Err("later".into()) }
            })
            .unwrap()
    };
    let handle = start(&store, false);
    until("seven wait", || handle.status().waiting == 7);
    // While it runs, and events come.
    let report = store.backup(&copy).unwrap();
    assert_eq!(report.workers, 1);
    store.append(jobs(201, 300)).unwrap();
    let report = store.backup(&copy).unwrap();
    assert_eq!((report.workers, report.position), (1, Position::new(300)));
    drop(handle);
    store.close().unwrap();
    let restored = Store::restore(&copy, &again).unwrap();
    assert_eq!(restored.workers, 1);
    let store = Store::open(&again).unwrap();
    assert_eq!(store.workers().unwrap()[0].waiting.len(), 7);
    let found = store.verify(|_| std::ops::ControlFlow::Continue(())).unwrap();
    assert!(found.is_good(), "{found:?}");
    let before = steps.total();
    let _handle = start(&store, true);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(steps.total(), before, "it waits for its time there too");
    // A worker that is gone from the store is gone from the next backup.
    let store = Store::open(&path).unwrap();
    std::fs::remove_file(path.join("workers/copied.log")).unwrap();
    assert_eq!(store.backup(&copy).unwrap().workers, 0);
    assert!(!copy.join("workers/copied.log").exists());
}

#[test]
fn a_long_life_keeps_the_file_short() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    for from in (1..=4_000).step_by(500) {
        store.append(jobs(from, from + 499)).unwrap();
    }
    let steps = Counts::default();
    let done = steps.clone();
    let handle = worker(&store, "long")
        .concurrency(4)
        .run(move |event, step| {
            step.run("send", || {
                done.add(event.position());
                Ok::<_, BoxError>("x".repeat(1_000))
            })?;
            Ok(())
        })
        .unwrap();
    assert!(handle.wait_for(4_000, LONG * 4).unwrap());
    let len = std::fs::metadata(directory.path().join("workers/long.log")).unwrap().len();
    assert!(len < 3 << 20, "{len} bytes, and 4 MiB of results were kept in turn");
    drop(handle);
    let handle = worker(&store, "long").run(|_, _| panic!("all was finished")).unwrap();
    assert!(handle.wait_for(4_000, LONG).unwrap());
    steps.each_once(1..=4_000);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |name: &str| std::fs::metadata(directory.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("workers"), mode("workers/long.log")), (0o700, 0o600));
    }
}
