//! What a handle gives: tickets, and errors once it is closed or where it only reads; and many threads on one handle.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use annals::{Append, AppendError, ErrorKind, Expected, NewEvent, Query, StartAt, Store, Timestamp};

use super::{Gated, append, event, first, log};

/// A waker that counts how often it was woken.
#[derive(Default)]
struct Count(AtomicU64);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_ticket_is_a_future_that_wakes_whoever_polled_it_last() {
    let gated = Gated::new();
    gated.clock.set_shut(true);
    let plug = gated.store.submit(append(&["plug/p"]));
    gated.clock.wait_for_somebody();
    let mut ticket = gated.store.submit(append(&["a/a"]));
    let mut refused = gated.store.submit(append(&["a/a"]).expect("a/none", Expected::Exists));
    let (early, late) = (Arc::new(Count::default()), Arc::new(Count::default()));
    for count in [&early, &late] {
        let waker = Waker::from(Arc::clone(count));
        let mut context = Context::from_waker(&waker);
        assert!(Pin::new(&mut ticket).poll(&mut context).is_pending() && !ticket.is_done());
        assert!(Pin::new(&mut refused).poll(&mut context).is_pending());
    }
    assert_eq!(late.0.load(Ordering::SeqCst), 0);
    gated.clock.set_shut(false);
    let begun = Instant::now();
    while late.0.load(Ordering::SeqCst) < 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the waker of the last poll was never woken");
        std::thread::sleep(Duration::from_micros(100));
    }
    assert_eq!(early.0.load(Ordering::SeqCst), 0, "a waker that was replaced was woken");
    assert!(ticket.is_done() && refused.is_done());
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(&mut ticket).poll(&mut context) {
        Poll::Ready(Ok(done)) => assert_eq!(done.first.get(), 2),
        other => panic!("{other:?}"),
    }
    assert!(matches!(Pin::new(&mut refused).poll(&mut context), Poll::Ready(Err(AppendError::Conflict { .. }))));
    // The outcome is given once.
    assert!(matches!(ticket.wait(), Err(AppendError::Closed)));
    assert_eq!(first(plug.wait()), 1);
    // What is refused at the door is ready at once, without a waker.
    let mut ticket = gated.store.submit(Append::new([]));
    assert!(ticket.is_done());
    assert!(matches!(Pin::new(&mut ticket).poll(&mut context), Poll::Ready(Err(AppendError::Invalid(_)))));
}

#[test]
fn what_was_submitted_is_committed_without_anybody_waiting() {
    let gated = Gated::new();
    for number in 0..200 {
        let ticket = gated.store.submit(append(&[&format!("a/{}", number % 7)]));
        if number % 2 == 0 {
            drop(ticket);
        } else {
            std::mem::forget(ticket);
        }
    }
    // One that waits stands behind all of them, for they come from one thread.
    assert_eq!(first(gated.store.submit(append(&["b/b"])).wait()), 201);
    let order: Vec<String> = log(&gated.store).into_iter().map(|event| event.1).take(200).collect();
    assert_eq!(order, (0..200).map(|number| format!("a/{}", number % 7)).collect::<Vec<_>>());
    // Also those that are under way while the store is closed.
    let tickets: Vec<_> = (0..300).map(|_| gated.store.submit(append(&["c/c"]))).collect();
    gated.store.close().unwrap();
    for (ticket, position) in tickets.into_iter().zip(202..) {
        assert_eq!(first(ticket.wait()), position);
    }
    let again = gated.reopened(true);
    assert_eq!(again.tail(), 501);
}

#[test]
fn close_closes_all_clones() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append([event("a/a")]).unwrap();
    let (clone, reader) = (store.clone(), store.reader());
    let mut subscription = store.subscribe(Query::all(), StartAt::Now);
    let mut events = store.reader().read(&Query::all());
    // Somebody who waits is told at once, not at the end of the time.
    let waiting = std::thread::spawn(move || subscription.next_timeout(Duration::from_secs(60)).map(|_| ()));
    std::thread::sleep(Duration::from_millis(20));
    clone.close().unwrap();
    assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    for handle in [&store, &clone] {
        assert!(matches!(handle.append([event("a/a")]), Err(AppendError::Closed)));
        assert!(matches!(handle.submit(append(&["a/a"])).wait(), Err(AppendError::Closed)));
        let keyed = Append::new([event("a/a")]).key("k").expect("a/a", Expected::NoSubject);
        assert!(matches!(handle.append_with(keyed), Err(AppendError::Closed)));
        handle.close().unwrap();
        let closed = [
            handle.sync().unwrap_err().kind(),
            handle.verify(|_| ControlFlow::Continue(())).unwrap_err().kind(),
            handle.reader().event(1).unwrap_err().kind(),
            handle.reader().version("a/a").unwrap_err().kind(),
            handle.reader().count(&Query::all()).unwrap_err().kind(),
            handle.subscribe(Query::all(), StartAt::Now).next_timeout(Duration::ZERO).unwrap_err().kind(),
        ];
        assert_eq!(closed, [ErrorKind::Closed; 6]);
    }
    assert_eq!(reader.event_by_id("x").unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(events.next().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    // The lock is free, although two handles are still there.
    let next = Store::open(directory.path()).unwrap();
    assert!(next.recovery().clean);
    assert_eq!(next.append([event("a/a")]).unwrap().first.get(), 2);
    drop((store, clone));
    assert_eq!(next.append([event("a/a")]).unwrap().first.get(), 3, "old handles took the lock away");
}

#[test]
fn a_store_that_was_opened_for_reading_takes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let writer = Store::open(directory.path()).unwrap();
    writer.append([event("a/a")]).unwrap();
    let reading = || Store::options().read_only(true).open(directory.path()).unwrap();
    let beside = reading();
    writer.close().unwrap();
    for store in [beside, reading()] {
        assert!(matches!(store.append([event("a/a")]), Err(AppendError::ReadOnly)));
        assert!(matches!(store.append_with(append(&["a/a"]).key("k")), Err(AppendError::ReadOnly)));
        assert!(matches!(store.submit(append(&["a/a"])).wait(), Err(AppendError::ReadOnly)));
        assert_eq!(store.sync().unwrap_err().kind(), ErrorKind::ReadOnly);
        assert_eq!(store.reader().tail().get(), 1);
        store.close().unwrap();
        assert!(matches!(store.append([event("a/a")]), Err(AppendError::Closed)));
        assert_eq!(store.reader().event(1).unwrap_err().kind(), ErrorKind::Closed);
    }
}

const THREADS: u64 = 8;
const ROUNDS: u64 = 60;

/// Each thread wants each version for itself: exactly one gets it.
#[test]
fn of_many_that_expect_the_same_version_one_wins() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::options().segment_bytes(64 << 10).open(directory.path()).unwrap();
    let start = std::sync::Barrier::new(THREADS as usize);
    let wins: Vec<Vec<(u64, u64)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (store, start) = (&store, &start);
                scope.spawn(move || {
                    let mut wins = vec![];
                    for version in 0..ROUNDS {
                        start.wait();
                        let data = format!("{thread} {version}");
                        // The other conditions hold for whoever comes first only, too.
                        let of = NewEvent::bytes("won", "a/a", "", data);
                        let wanted = Append::new([of, event("b/b")]).expect("a/a", Expected::Exactly(version));
                        let outcome = match thread % 3 {
                            0 => store.append_with(wanted),
                            1 => store.submit(wanted).wait(),
                            _ => store.append_with(wanted.unless(Query::all().subject("a/a"), 2 * version)),
                        };
                        match outcome {
                            Ok(done) => wins.push((version, done.first.get())),
                            Err(AppendError::Conflict { position, .. }) => {
                                assert_eq!(position.get(), 2 * version + 1, "not the one that won");
                            }
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                    wins
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut winners = BTreeMap::new();
    for (thread, (version, position)) in
        wins.iter().enumerate().flat_map(|(thread, wins)| wins.iter().map(move |win| (thread, *win)))
    {
        assert_eq!(winners.insert(version, (thread, position)), None, "two have version {}", version + 1);
    }
    assert_eq!(winners.len() as u64, ROUNDS);
    for (version, (thread, position)) in &winners {
        assert_eq!(*position, 2 * version + 1);
        let event = store.reader().event(*position).unwrap().unwrap();
        assert_eq!((event.version(), event.data()), (version + 1, format!("{thread} {version}").as_bytes()));
    }
    assert_eq!(store.reader().tail().get(), 2 * ROUNDS);
    let recorded: Vec<Timestamp> =
        store.reader().read(&Query::all()).map(|event| event.unwrap().recorded_at()).collect();
    assert!(recorded.is_sorted());
}
