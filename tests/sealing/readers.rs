//! Readers that were there before.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use annals::{Query, StartAt, Store, Timestamp};

use super::{check, check_all, fill, look_up, sealed_count};

fn writer(path: &Path) -> Store {
    Store::options().segment_bytes(64 << 10).sealing(false).open(path).unwrap()
}

fn reader(path: &Path) -> Store {
    Store::options().read_only(true).open(path).unwrap()
}

fn tempdir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Half-read iterators in both directions, a subscription on its way, and readers that have read nothing yet.
#[test]
fn whoever_stands_in_a_raw_file_that_is_sealed_reads_on_and_sees_everything_once() {
    let directory = tempdir();
    let store = writer(directory.path());
    fill(&store, 600);
    for read_only in [false, true] {
        let handle = if read_only { reader(directory.path()) } else { store.clone() };
        let tail = handle.reader().tail().get();
        let (mut forward, mut backward) =
            (handle.reader().read(&Query::all()), handle.reader().read(&Query::all()).rev());
        let mut by_type = handle.reader().read(&Query::all().types(["t.2"]));
        let mut subscription = handle.subscribe(Query::all(), StartAt::Start);
        let untouched = handle.reader();
        for position in 1..=10 {
            check(&forward.next().unwrap().unwrap().as_ref(), position);
            check(&backward.next().unwrap().unwrap().as_ref(), tail + 1 - position);
            by_type.next().unwrap().unwrap();
        }
        let mut seen = subscription.next_timeout(Duration::ZERO).unwrap().unwrap().len() as u64;
        let before = sealed_count(&store);
        assert!(store.seal().unwrap().segments > 0 && sealed_count(&store) > before);
        for position in [1, 2, tail / 2, tail] {
            look_up(&untouched, position);
        }
        assert_eq!(untouched.count(&Query::all().subject("note/n-5")).unwrap(), (tail + 8) / 13);
        for position in 11..=tail {
            check(&forward.next().unwrap().unwrap().as_ref(), position);
            check(&backward.next().unwrap().unwrap().as_ref(), tail + 1 - position);
        }
        assert!(forward.next().is_none() && backward.next().is_none());
        let of_type = (1..=tail).filter(|position| position % 5 == 2).count();
        assert_eq!(by_type.map(Result::unwrap).count(), of_type - 10);
        while let Some(events) = subscription.next_timeout(Duration::ZERO).unwrap() {
            for event in events.iter() {
                seen += 1;
                check(&event, seen);
            }
        }
        assert_eq!(seen, tail);
        assert_eq!(check_all(&handle).unwrap(), tail);
        // More raw segments for the next round, and the read-only handle opens while there are both forms.
        fill(&store, 500);
    }
}

/// The same where the whole file gives way to its stub, and comes back.
#[test]
fn whoever_stands_in_a_segment_that_is_archived_reads_on() {
    let directory = tempdir();
    let (path, archive) = (directory.path().join("store"), directory.path().join("archive"));
    let store = writer(&path);
    fill(&store, 600);
    store.seal().unwrap();
    fill(&store, 30);
    for read_only in [false, true] {
        let handle = if read_only { reader(&path) } else { store.clone() };
        let tail = handle.reader().tail().get();
        for back in [false, true] {
            let mut forward = handle.reader().read(&Query::all());
            let mut by_type = handle.reader().read(&Query::all().types(["t.2"]).rev());
            let untouched = handle.reader();
            for position in 1..=10 {
                check(&forward.next().unwrap().unwrap().as_ref(), position);
                by_type.next().unwrap().unwrap();
            }
            let moved = match back {
                false => store.archive(Timestamp::from_nanos(i64::MAX), &archive).unwrap(),
                true => store.unarchive(&archive).unwrap(),
            };
            assert!(moved.segments > 0);
            for position in [1, 2, tail / 2, tail] {
                look_up(&untouched, position);
            }
            for position in 11..=tail {
                check(&forward.next().unwrap().unwrap().as_ref(), position);
            }
            assert!(forward.next().is_none());
            let of_type = (1..=tail).filter(|position| position % 5 == 2).count();
            assert_eq!(by_type.map(Result::unwrap).count(), of_type - 10);
        }
    }
}

/// A writer that appends and seals all the time, and handles beside it that read, look up and follow.
#[test]
fn sealing_all_the_time_disturbs_nobody() {
    let directory = tempdir();
    let store = writer(directory.path());
    fill(&store, 50);
    let stop = AtomicBool::new(false);
    let end = Instant::now() + Duration::from_secs(4);
    std::thread::scope(|scope| {
        let _stops = Stops(&stop);
        let follow = |handle: Store| {
            let stop = &stop;
            move || {
                let mut subscription = handle.subscribe(Query::all(), StartAt::Start);
                let mut seen = 0;
                loop {
                    let stopping = stop.load(Ordering::Acquire);
                    match subscription.next_timeout(Duration::from_millis(20)).unwrap() {
                        Some(events) => {
                            let given: Vec<u64> = events.iter().map(|event| event.position().get()).collect();
                            let through = events.through();
                            let whole = given.iter().copied().eq(seen + 1..=seen + given.len() as u64);
                            assert!(
                                whole,
                                "{given:?}, through {through}, behind {seen}; {:?}",
                                handle.segments().iter().rev().take(3).collect::<Vec<_>>()
                            );
                            for event in events.iter() {
                                seen += 1;
                                check(&event, seen);
                            }
                        }
                        None if stopping => return seen,
                        None => {}
                    }
                }
            }
        };
        let ask = |handle: Store| {
            let stop = &stop;
            move || {
                let mut asked = 0u64;
                while !stop.load(Ordering::Acquire) {
                    let reader = handle.reader();
                    let tail = reader.tail().get();
                    for step in 0..7 {
                        look_up(&reader, 1 + (asked * 31 + step * 97) % tail);
                    }
                    asked += 1;
                    let read = reader.read(&Query::all()).map(Result::unwrap).zip(1..);
                    assert_eq!(read.map(|(event, position)| check(&event.as_ref(), position)).count() as u64, tail);
                }
                asked
            }
        };
        let open_anew = || {
            let mut opened = 0u64;
            while !stop.load(Ordering::Acquire) {
                let handle = reader(directory.path());
                check_all(&handle).unwrap();
                opened += 1;
            }
            opened
        };
        let followers = [scope.spawn(follow(store.clone())), scope.spawn(follow(reader(directory.path())))];
        let askers = [scope.spawn(ask(store.clone())), scope.spawn(ask(reader(directory.path())))];
        let openers = scope.spawn(open_anew);
        while Instant::now() < end {
            fill(&store, 60);
            store.seal().unwrap();
        }
        let tail = store.reader().tail().get();
        stop.store(true, Ordering::Release);
        for follower in followers {
            assert_eq!(follower.join().unwrap(), tail);
        }
        let asked: Vec<u64> = askers.into_iter().map(|asker| asker.join().unwrap()).collect();
        println!("{tail} events, {asked:?} rounds of questions, {} opened anew", openers.join().unwrap());
    });
    assert!(sealed_count(&store) > 3);
}

/// Ends the threads also when a check fails: else they would be waited for without end.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
