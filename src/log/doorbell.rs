//! How the committer wakes those who wait at the tail.
//!
//! Protocol: a waiter counts itself in `waiting`, then looks at the tail once more, then sleeps on
//! its own channel of capacity one. The committer moves the tail, then reads `waiting`. The fence
//! between the two steps on both sides makes sure that at least one of them sees the other. An idle
//! reader that does not wait costs the committer one relaxed load.

use std::time::Instant;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering, fence};
use crate::sync::channel::{Receiver, Sender, TrySendError, bounded};

#[derive(Debug, Default)]
pub(crate) struct Doorbell {
    waiting: AtomicUsize,
    bells: Mutex<Vec<Sender<()>>>,
}

impl Doorbell {
    /// Wakes everybody who waits. The tail has been moved before.
    pub(crate) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        // A bell whose waiter is gone is disconnected; a full one rings already.
        self.bells.lock().retain(|bell| !matches!(bell.try_send(()), Err(TrySendError::Disconnected(()))));
    }

    /// A place to wait at.
    pub(crate) fn bell(&self) -> Bell {
        let (sender, receiver) = bounded(1);
        self.bells.lock().push(sender);
        Bell { receiver }
    }

    /// Sleeps until `ready` says so or the deadline has passed; `ready` is asked at least once.
    pub(crate) fn wait(&self, bell: &Bell, deadline: Instant, mut ready: impl FnMut() -> bool) -> bool {
        if ready() {
            return true;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let woken = loop {
            if ready() {
                break true;
            }
            if bell.receiver.recv_deadline(deadline).is_err() {
                break ready();
            }
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        woken
    }
}

/// One waiter's end.
#[derive(Debug)]
pub(crate) struct Bell {
    receiver: Receiver<()>,
}
