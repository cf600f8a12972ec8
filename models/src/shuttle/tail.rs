//! Readers and subscribers at the tail of a store that is appended to. A subscriber's deadline never comes: a wake-up that
//! is lost leaves it asleep.

use std::time::Duration;

use shuttle::thread;

use super::{check, disk, event, events, name_of, open, options};
use crate::models::Model;
use crate::sync::chosen::Timeouts;
use crate::{Durability, Query, StartAt, Store};

const APPENDS: usize = 3;

pub(super) fn models() -> Vec<Model> {
    vec![
        Model {
            name: "subscribe",
            claim: "every subscriber is given each event once, in order, and none sleeps through one",
            controls: &["send:log/doorbell.rs"],
            run: |schedules| check(schedules, Timeouts::Never, || run(false)),
        },
        Model {
            name: "subscribe-durable",
            claim: "who wants only what survives is woken by the sync, and is given nothing before it",
            controls: &["send:log/doorbell.rs", "sync"],
            run: |schedules| check(schedules, Timeouts::Never, || run(true)),
        },
        Model {
            name: "read",
            claim: "a reader sees a prefix, whole and the same ever after, and the tail never ahead of what is durable",
            controls: &["notify:log/commit.rs"],
            run: |schedules| check(schedules, Timeouts::Always, read),
        },
    ]
}

fn subscriber(store: &Store, is_durable: bool) -> impl FnOnce() + Send + 'static {
    let mut subscription = store.subscribe(Query::all(), StartAt::Start);
    if is_durable {
        subscription = subscription.durable_only();
    }
    let store = store.clone();
    move || {
        let mut seen = 0;
        while seen < APPENDS {
            let batch =
                subscription.next_timeout(Duration::from_secs(3600)).unwrap().expect("it was woken for something");
            for event in batch.iter() {
                assert_eq!((event.position().get(), event.data()), (seen as u64 + 1, name_of(0, seen).as_bytes()));
                assert!(!is_durable || event.position() <= store.reader().durable(), "not durable yet");
                seen += 1;
            }
        }
    }
}

fn run(is_durable: bool) {
    let disk = disk();
    let durability =
        if is_durable { Durability::Written { sync_every: Duration::from_secs(1) } } else { Durability::Synced };
    let store = open(&disk, options().durability(durability));
    let mut threads: Vec<_> = (0..2).map(|_| thread::spawn(subscriber(&store, is_durable))).collect();
    if is_durable {
        let store = store.clone();
        threads.push(thread::spawn(move || {
            while store.reader().durable().get() < APPENDS as u64 {
                store.sync().unwrap();
                if crate::sync::chosen::is_sync_lost() {
                    let cut = disk.crash(crate::sim::Crash::None);
                    assert!(events(&open(&cut, options())).len() as u64 >= store.reader().durable().get());
                }
                thread::yield_now();
            }
        }));
    }
    for number in 0..APPENDS {
        store.append([event("note/n", &name_of(0, number))]).unwrap();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn read() {
    let store = open(&disk(), options());
    let threads: Vec<_> = (0..2)
        .map(|thread| {
            let store = store.clone();
            thread::spawn(move || {
                for number in 0..APPENDS {
                    store.append([event("note/n", &name_of(thread, number))]).unwrap();
                }
            })
        })
        .collect();
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..3 {
        let reader = store.reader();
        assert!(reader.tail() <= store.reader().durable(), "a tail was seen before it was durable");
        let now = events(&store);
        assert_eq!(now.get(..seen.len()), Some(&seen[..]), "what was seen has changed");
        assert_eq!(store.reader().version("note/n").unwrap() >= now.len() as u64, true);
        seen = now;
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(events(&store).len(), 2 * APPENDS);
}
