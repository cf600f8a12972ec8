//! Events of one key one at a time and in order, whatever happens to one of them; other keys go on.

use super::*;

/// Which positions of each subject were finished, in the order of finishing, and whether two were run at once.
#[derive(Default)]
struct Watch {
    running: BTreeMap<String, u64>,
    finished: BTreeMap<String, Vec<u64>>,
    at_once: usize,
    most_at_once: usize,
}

#[test]
fn one_at_a_time_and_in_order_per_key() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append(jobs(1, 400)).unwrap();
    let watch = Arc::new(Mutex::new(Watch::default()));
    let (seen, tries) = (Arc::clone(&watch), Counts::default());
    let handle = worker(&store, "ordered")
        .concurrency(8)
        .run(move |event, _| {
            let (subject, position) = (event.subject().to_owned(), event.position().get());
            {
                let mut watch = seen.lock();
                let earlier = watch.running.insert(subject.clone(), position);
                assert_eq!(earlier, None, "two of one key at once");
                watch.at_once += 1;
                watch.most_at_once = watch.most_at_once.max(watch.at_once);
            }
            std::thread::sleep(Duration::from_micros(300 * (position % 5)));
            // Some fail first, so that their key waits.
            let fails = position % 11 == 0 && tries.add(event.position()) < 3;
            let mut watch = seen.lock();
            watch.running.remove(&subject);
            watch.at_once -= 1;
            if fails {
                return Err("not yet".into());
            }
            watch.finished.entry(subject).or_default().push(position);
            Ok(())
        })
        .unwrap();
    assert!(handle.wait_for(400, LONG).unwrap());
    let watch = watch.lock();
    for finished in watch.finished.values() {
        assert!(finished.is_sorted(), "{finished:?}");
    }
    assert_eq!(watch.finished.values().map(Vec::len).sum::<usize>(), 400);
    assert!(watch.most_at_once > 1, "nothing was run at once");
    assert_eq!(store.parked(None).unwrap(), []);
}

#[test]
fn one_that_waits_holds_up_its_key_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append([event("job", "s/slow", "1"), event("job", "s/slow", "2"), event("job", "s/quick", "3")]).unwrap();
    let (runs, let_through) = (Counts::default(), Arc::new(AtomicBool::new(false)));
    let (counted, open) = (runs.clone(), Arc::clone(&let_through));
    let handle = worker(&store, "waits")
        .retries(u32::MAX)
        .run(move |event, _| {
            if event.data() == b"1" && !open.load(Ordering::Relaxed) {
                return Err("not yet".into());
            }
            counted.add(event.position());
            Ok(())
        })
        .unwrap();
    until("the other key", || runs.of(3) == 1);
    std::thread::sleep(Duration::from_millis(100));
    runs.each_once([3]);
    let status = handle.status();
    assert_eq!((status.checkpoint, status.held), (Position::ORIGIN, 1), "{status:?}");
    assert!(status.error.unwrap().contains("not yet"));
    let_through.store(true, Ordering::Relaxed);
    assert!(handle.wait_for(3, LONG).unwrap());
    runs.each_once(1..=3);
}

#[test]
fn a_key_of_ones_own_orders_what_it_joins() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append(jobs(1, 60)).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let (even_ran, first_waits) = crossbeam_channel::bounded(60);
    // Keys that cannot be kept as they are join what they should all the same.
    let handle = worker(&store, "keyed")
        .concurrency(4)
        .key(|event| format!("{}\n{}", "long".repeat(400), event.position().get() % 2))
        .run(move |event, _| {
            let position = event.position().get();
            if position == 1 {
                // Ends only if the other key goes on beside this one.
                first_waits.recv_timeout(LONG).expect("both keys were run as one");
            }
            seen.lock().push(position);
            if position % 2 == 0 {
                even_ran.send(()).expect("the handler holds the other end");
            }
            Ok(())
        })
        .unwrap();
    assert!(handle.wait_for(60, LONG).unwrap());
    let order = order.lock();
    for rest in 0..2 {
        let of_key: Vec<u64> = order.iter().copied().filter(|position| position % 2 == rest).collect();
        assert_eq!(of_key.len(), 30);
        assert!(of_key.is_sorted(), "{of_key:?}");
    }
}

#[test]
fn a_key_that_panics_parks_its_event() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append(jobs(1, 3)).unwrap();
    let handle = worker(&store, "panics")
        .key(|event| {
            assert_ne!(event.position().get(), 2, "no key for this one");
            String::new()
        })
        .run(|_, _| Ok(()))
        .unwrap();
    assert!(handle.wait_for(3, LONG).unwrap());
    let parked = store.parked(None).unwrap();
    assert_eq!((parked.len(), parked[0].position, parked[0].key.as_str()), (1, Position::new(2), "s/2"));
    assert!(parked[0].error.contains("no key for this one"));
}

#[test]
fn too_many_that_wait_stop_the_reading_until_they_are_let_through() {
    let directory = tempfile::tempdir().unwrap();
    let written = Durability::Written { sync_every: Duration::from_millis(5) };
    let store = Store::options().durability(written).open(directory.path()).unwrap();
    let most = annals::limits::WORKER_OPEN_EVENTS_MAX as u64;
    let all = most + 3_000;
    for from in (1..=all).step_by(1_000) {
        store.append((from..from + 1_000).map(|n| event("job", "s/1", &n.to_string()))).unwrap();
    }
    let (let_through, runs) = (Arc::new(AtomicBool::new(false)), Counts::default());
    let (open, counted) = (Arc::clone(&let_through), runs.clone());
    let handle = worker(&store, "full")
        .retries(u32::MAX)
        .run(move |event, _| {
            if !open.load(Ordering::Relaxed) {
                return Err("not yet".into());
            }
            counted.add(event.position());
            Ok(())
        })
        .unwrap();
    until("full", || handle.status().state == WorkerState::Full);
    let status = handle.status();
    let held = status.held + status.waiting + status.in_flight;
    assert!((most..most + 2_000).contains(&held), "{status:?}");
    handle.stop();
    drop(handle);
    // What is open is taken up again, in order.
    let open = Arc::clone(&let_through);
    let counted = runs.clone();
    open.store(true, Ordering::Relaxed);
    let handle = worker(&store, "full")
        .run(move |event, _| {
            counted.add(event.position());
            Ok(())
        })
        .unwrap();
    assert!(handle.wait_for(all, LONG).unwrap());
    runs.each_once(1..=all);
}
