//! Power cuts at every operation of a worker's life, and calls that fail: no step that was acknowledged is done again,
//! no event is passed over, and what a crash left is never taken for damage.

use std::sync::atomic::AtomicU64;

use annals::sim::{Call, Crash, FailPlan, Fault, ManualClock, Op, SimStorage, Trace};

use super::*;

const JOBS: u64 = 12;

/// What is known of a run: moments at which something was so, in operations of the disk.
#[derive(Clone, Default)]
struct Told {
    /// The step of an event returned.
    acknowledged: Arc<Mutex<Vec<(u64, u64)>>>,
    /// The closure was about to return for good.
    done: Arc<Mutex<Vec<(u64, u64)>>>,
    /// The step was begun.
    begun: Arc<Mutex<Vec<u64>>>,
}

impl Told {
    fn acknowledged_by(&self, ops: u64) -> Vec<u64> {
        self.acknowledged.lock().iter().filter(|(at, _)| *at <= ops).map(|(_, position)| *position).collect()
    }

    fn done_by(&self, ops: u64) -> Vec<u64> {
        self.done.lock().iter().filter(|(at, _)| *at <= ops).map(|(_, position)| *position).collect()
    }
}

/// Starts a worker whose results take so many bytes. `first` is the run that is interrupted: in it one event waits an
/// hour, and one is parked.
fn start(
    disk: &Arc<SimStorage>,
    store: &Store,
    told: &Told,
    bytes: usize,
    first: bool,
) -> annals::Result<annals::WorkerHandle> {
    let (told, disk) = (told.clone(), disk.clone());
    let hour = Duration::from_secs(3_600);
    // One after the other, large results are not all in use at once.
    let threads = if bytes > 10_000 { 1 } else { 3 };
    worker(store, "crash").concurrency(threads).backoff(hour, hour).run(move |job, step| {
        let position = job.position().get();
        step.run("send", || {
            told.begun.lock().push(position);
            // What stays open or parked is short, so that a long file is mostly of no use.
            Ok::<_, BoxError>("x".repeat(if matches!(position, 3 | 5) { 10 } else { bytes }))
        })?;
        told.acknowledged.lock().push((disk.op_count(), position));
        step.append("make", event("made", &format!("m/{position}"), "x"))?;
        match position {
            3 if first => return Err("in an hour".into()),
            5 if first => return Err(annals::permanent("never").into()),
            _ => {}
        }
        told.done.lock().push((disk.op_count(), position));
        Ok(())
    })
}

fn jobs_of_four(from: u64, to: u64) -> Vec<NewEvent> {
    (from..=to).map(|n| event("job", &format!("s/{}", n % 4), &n.to_string())).collect()
}

/// A life with two starts, retries, parking and a decision.
fn life(bytes: usize) -> (Trace, Told, Option<u64>) {
    let (disk, told) = (SimStorage::with_trace(), Told::default());
    let store = sim::open(&disk, sim::options(&sim::clock())).unwrap();
    store.append(jobs_of_four(1, JOBS)).unwrap();
    let handle = start(&disk, &store, &told, bytes, true).unwrap();
    assert!(handle.wait_for(2, LONG).unwrap());
    until("settled", || {
        let status = handle.status();
        status.waiting == 1 && status.in_flight == 0 && status.parked == 2 && status.held == 2
    });
    std::thread::sleep(Duration::from_millis(150));
    drop(handle);
    let handle = start(&disk, &store, &told, bytes, true).unwrap();
    let skipped_at = {
        store.skip("crash", 5, Actor::user("alice"), "never is never").unwrap();
        disk.op_count()
    };
    until("those behind", || handle.status().parked == 0 && handle.status().in_flight == 0);
    drop(handle);
    (disk.trace(), told, Some(skipped_at))
}

/// Goes on with what a crash left, and holds it against what was known then.
fn check(found: &Arc<SimStorage>, told: &Told, ops: u64, skipped_at: Option<u64>, bytes: usize) -> Result<(), String> {
    let clock = Arc::new(ManualClock::new(sim::NOW + 2 * 3_600_000_000_000));
    // Before the store was made, or its events were appended, there is nothing to be held to.
    let Ok(store) = sim::open(found, sim::options(&clock)) else { return Ok(()) };
    if store.reader().tail().get() < JOBS {
        return Ok(());
    }
    let verified =
        store.verify(|_| std::ops::ControlFlow::Continue(())).map_err(|error| format!("verify: {error:?}"))?;
    if !verified.is_good() {
        return Err(format!("a crash left damage: {:?}", verified.damage));
    }
    let after = Told::default();
    let handle = start(found, &store, &after, bytes, false).map_err(|error| format!("it does not start: {error:?}"))?;
    // What was parked is still parked, unless the decision came through.
    let mut parked: Vec<u64> = Vec::new();
    for one in store.parked(None).map_err(|error| format!("{error:?}"))? {
        if one.behind.is_none() {
            parked.push(one.position.get());
            if skipped_at.is_some_and(|skipped_at| ops >= skipped_at) {
                return Err(format!("{} is parked, and was skipped", one.position));
            }
            store
                .retry("crash", one.position, Actor::user("bob"), "after the crash")
                .map_err(|error| format!("{error:?}"))?;
        }
    }
    if !handle.wait_for(JOBS, LONG).map_err(|error| format!("{error:?}"))? {
        return Err(format!("it does not come to an end: {:?}", handle.status()));
    }
    drop(handle);
    let again: Vec<u64> = after.begun.lock().clone();
    for position in told.acknowledged_by(ops) {
        if again.contains(&position) {
            return Err(format!("the step of {position} was done again"));
        }
    }
    let (before, now) = (told.done_by(ops), after.done_by(u64::MAX));
    for position in 1..=JOBS {
        let was_skipped = position == 5 && !parked.contains(&5) && told.acknowledged_by(ops).contains(&5);
        if !before.contains(&position) && !now.contains(&position) && !was_skipped {
            return Err(format!("{position} was passed over"));
        }
        let versions = store.reader().version(&format!("m/{position}")).map_err(|error| format!("{error:?}"))?;
        if versions != 1 && !(was_skipped && versions <= 1) {
            return Err(format!("{versions} events were made of {position}"));
        }
    }
    Ok(())
}

/// Runs a check for each of many cases on some threads, since each waits more than it works.
fn each_case<T: Send + Sync>(cases: &[T], check: impl Fn(&T) -> Result<(), String> + Sync) {
    let (next, wrong) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    if let Err(why) = check(case) {
                        wrong.lock().push(why);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner();
    assert!(wrong.is_empty(), "{} of {} cases: {:#?}", wrong.len(), cases.len(), &wrong[..wrong.len().min(10)]);
}

#[test]
fn power_cuts_at_every_operation() {
    let (trace, told, skipped_at) = life(300);
    let mut cases = Vec::new();
    let mut replay = trace.replay();
    while let Some(op) = replay.advance() {
        let is_write = matches!(op, Op::Write { .. });
        let ops = replay.done();
        let mut crashes = vec![Crash::None, Crash::Random(ops), Crash::Random(ops + 1_000_000)];
        if is_write {
            let len = replay.newest_write_bytes();
            crashes.extend([Crash::All, Crash::PrefixBytes(len / 2), Crash::PrefixBytes(len.saturating_sub(1))]);
            crashes.extend((1..=2).map(|n| Crash::Sectors(ops.wrapping_mul(n).wrapping_mul(0x9e37_79b9_7f4a_7c15))));
        }
        cases.extend(crashes.into_iter().map(|crash| (ops, crash)));
    }
    assert!(cases.len() > 300, "{} cases", cases.len());
    let most: usize = std::env::var("ANNALS_TEST_CRASHES").map_or(900, |most| most.parse().unwrap());
    let step = cases.len().div_ceil(most);
    let cases: Vec<_> = cases.into_iter().rev().step_by(step).collect();
    each_case(&cases, |(ops, crash)| {
        let found = trace.state_after(*ops, *crash);
        check(&found, &told, *ops, skipped_at, 300).map_err(|why| format!("after {ops}, {crash:?}: {why}"))
    });
}

#[test]
fn power_cuts_while_the_file_is_made_anew() {
    // Results so large that the file is made anew more than once in its life.
    let bytes = 600_000;
    let (trace, told, skipped_at) = life(bytes);
    let renamed = |op: &Op| matches!(op, Op::Rename { to, .. } if to.ends_with("crash.log"));
    let places: Vec<u64> = (0u64..).zip(trace.ops()).filter(|(_, op)| renamed(op)).map(|(index, _)| index).collect();
    assert!(places.len() > 2, "only when it was opened: {places:?}");
    let around = places.iter().flat_map(|place| place.saturating_sub(5)..place + 6);
    let cases: Vec<_> =
        around.flat_map(|ops| [Crash::None, Crash::All, Crash::Random(ops)].map(|crash| (ops, crash))).collect();
    each_case(&cases, |(ops, crash)| {
        let found = trace.state_after(*ops, *crash);
        check(&found, &told, *ops, skipped_at, bytes).map_err(|why| format!("after {ops}, {crash:?}: {why}"))
    });
}

/// A worker's life in which one call fails.
fn one_fails(index: u64, fault: Fault) -> Result<bool, String> {
    let (disk, told) = (SimStorage::new(), Told::default());
    let store = sim::open(&disk, sim::options(&sim::clock())).map_err(|error| format!("{error:?}"))?;
    store.append(jobs_of_four(1, JOBS)).map_err(|error| format!("{error:?}"))?;
    let first = disk.call_count();
    disk.fail(FailPlan::at(first + index, fault));
    let started = start(&disk, &store, &told, 300, true);
    if let Ok(handle) = &started {
        let deadline = Instant::now() + LONG;
        loop {
            let status = handle.status();
            // An append that finds no room is a failure of its event, which waits then.
            let somewhere = status.events + status.waiting + status.held + status.parked;
            if (somewhere >= JOBS && status.in_flight == 0) || status.state.has_ended() {
                break;
            }
            if Instant::now() > deadline {
                return Err(format!("it neither ends nor goes on: {status:?}"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        // To be written down; it may fail too.
        std::thread::sleep(Duration::from_millis(60));
    }
    drop(started);
    let hit = disk.call_count() > first + index;
    disk.heal();
    // In this process, and after a power cut that takes all that was not synced.
    let acknowledged = told.acknowledged_by(u64::MAX);
    drop(store);
    for (what, found) in [("reopened", disk.snapshot()), ("after a power cut", disk.crash(Crash::None))] {
        check(&found, &told, u64::MAX, None, 300)
            .map_err(|why| format!("{what}, {acknowledged:?} were acknowledged: {why}"))?;
    }
    Ok(hit)
}

#[test]
fn calls_that_fail_cost_no_step_and_no_event() {
    let faults = [Fault::Eio, Fault::Enospc, Fault::Short(3), Fault::Eintr];
    let cases: Vec<(u64, Fault)> = (0..200).flat_map(|index| faults.map(|fault| (index, fault))).step_by(3).collect();
    let hits = AtomicU64::new(0);
    each_case(&cases, |(index, fault)| {
        let hit = one_fails(*index, *fault).map_err(|why| format!("call {index}, {fault:?}: {why}"))?;
        hits.fetch_add(hit.into(), Ordering::Relaxed);
        Ok(())
    });
    assert!(hits.load(Ordering::Relaxed) > 60, "{hits:?} faults were met");
}

/// A worker that waits within its only event until it is let go on to its step; nobody else writes meanwhile.
fn waiting_worker(disk: &Arc<SimStorage>) -> (Store, annals::WorkerHandle, Arc<AtomicBool>, Counts) {
    let store = sim::open(disk, sim::options(&sim::clock())).unwrap();
    if store.reader().tail() == Position::ORIGIN {
        store.append(jobs_of_four(1, 1)).unwrap();
    }
    let (go, steps) = (Arc::new(AtomicBool::new(false)), Counts::default());
    let (wait, done) = (Arc::clone(&go), steps.clone());
    let handle = worker(&store, "crash").run(move |event, step| {
        until("let go", || wait.load(Ordering::Relaxed));
        step.run("send", || {
            done.add(event.position());
            Ok::<_, BoxError>("x".repeat(3_000))
        })?;
        Ok(())
    });
    let handle = handle.unwrap();
    // Until it has written down that the event is open, and proved that.
    until("in hand", || handle.status().in_flight == 1);
    std::thread::sleep(Duration::from_millis(200));
    (store, handle, go, steps)
}

#[test]
fn a_failed_sync_ends_the_worker_until_it_is_started_again() {
    let disk = SimStorage::new();
    let (store, handle, go, steps) = waiting_worker(&disk);
    disk.fail(FailPlan::next(Call::SyncData, Fault::Eio));
    go.store(true, Ordering::Relaxed);
    until("ended", || handle.status().state == WorkerState::Failed);
    let error = handle.wait_for(1, LONG).unwrap_err();
    assert!(error.to_string().contains("takes nothing more"), "{error}");
    assert_eq!((steps.total(), handle.status().checkpoint), (1, Position::ORIGIN));
    drop(handle);
    // The log goes on, and so does the worker once its file is read anew.
    store.append([event("other", "s/1", "x")]).unwrap();
    drop(store);
    let (_store, handle, go, _) = waiting_worker(&disk.crash(Crash::None));
    go.store(true, Ordering::Relaxed);
    assert!(handle.wait_for(1, LONG).unwrap());
}

#[test]
fn a_failed_write_is_made_good_by_a_new_file() {
    for fault in [Fault::Eio, Fault::Enospc] {
        let disk = SimStorage::new();
        let (_store, handle, go, steps) = waiting_worker(&disk);
        let file = || disk.file_id("workers/crash.log".as_ref()).unwrap();
        let before = file();
        disk.fail(FailPlan::next(Call::Write, fault));
        go.store(true, Ordering::Relaxed);
        assert!(handle.wait_for(1, LONG).unwrap());
        assert_eq!(steps.total(), 1);
        assert_ne!(file(), before, "it went on behind what the write left");
    }
}

#[test]
fn a_full_disk_is_waited_for() {
    let (disk, told) = (SimStorage::new(), Told::default());
    let store = sim::open(&disk, sim::options(&sim::clock())).unwrap();
    store.append(jobs_of_four(1, JOBS)).unwrap();
    disk.set_capacity(disk.used_bytes() + 12_000);
    let handle = start(&disk, &store, &told, 2_000, false).unwrap();
    until("no room", || {
        let status = handle.status();
        assert!(!status.state.has_ended(), "{status:?}");
        status.error.is_some()
    });
    disk.set_capacity(u64::MAX);
    assert!(handle.wait_for(JOBS, LONG * 2).unwrap());
    let mut begun = told.begun.lock().clone();
    begun.sort_unstable();
    assert_eq!(begun, (1..=JOBS).collect::<Vec<_>>(), "a step was done again for want of room");
}
