//! The doorbell: nobody who waits sleeps through what was published. A deadline never comes, so that a wake-up that is
//! lost is a deadlock, which loom reports.

use std::sync::Arc;
use std::time::Instant;

use loom::thread;

use super::{check, check_some};
use crate::log::doorbell::Doorbell;
use crate::models::Model;
use crate::sync::atomic::{AtomicU64, Ordering};

pub(super) fn models() -> Vec<Model> {
    let controls = &["fence:log/doorbell.rs", "send:log/doorbell.rs"];
    vec![
        Model {
            name: "doorbell-two-wait",
            claim: "of two who wait, none sleeps through the publication that it waits for",
            controls,
            run: |_| check(two_wait),
        },
        Model {
            name: "doorbell-twice",
            claim: "who waits again and again at one bell is woken for each of two publications",
            controls,
            run: |_| check_some(twice),
        },
        Model {
            name: "doorbell-gone",
            claim: "a waiter that goes away takes nobody's wake-up with it",
            controls: &["send:log/doorbell.rs"],
            run: |_| check_some(gone),
        },
    ]
}

/// A bell and the number that is published.
#[derive(Default)]
struct Tail {
    doorbell: Doorbell,
    tail: AtomicU64,
}

impl Tail {
    fn publish(&self, tail: u64) {
        self.tail.store(tail, Ordering::Release);
        self.doorbell.ring();
    }

    fn wait_for(&self, bell: &crate::log::doorbell::Bell, tail: u64) {
        let ready = || self.tail.load(Ordering::Acquire) >= tail;
        assert!(self.doorbell.wait(bell, Instant::now(), ready), "woken without what it waits for");
    }
}

fn two_wait() {
    let shared = Arc::new(Tail::default());
    let waiters: Vec<_> = (0..2)
        .map(|_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.wait_for(&shared.doorbell.bell(), 1))
        })
        .collect();
    shared.publish(1);
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
}

fn twice() {
    let shared = Arc::new(Tail::default());
    let waiter = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let bell = shared.doorbell.bell();
            shared.wait_for(&bell, 1);
            shared.wait_for(&bell, 2);
        })
    };
    shared.publish(1);
    shared.publish(2);
    waiter.join().unwrap();
}

fn gone() {
    let shared = Arc::new(Tail::default());
    drop(shared.doorbell.bell());
    let leaves = {
        let shared = Arc::clone(&shared);
        let bell = shared.doorbell.bell();
        thread::spawn(move || {
            shared.wait_for(&bell, 1);
            drop(bell);
        })
    };
    let stays = {
        let shared = Arc::clone(&shared);
        let bell = shared.doorbell.bell();
        thread::spawn(move || shared.wait_for(&bell, 2))
    };
    shared.publish(1);
    shared.publish(2);
    leaves.join().unwrap();
    stays.join().unwrap();
}
