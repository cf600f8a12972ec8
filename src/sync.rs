//! Locks, atomics, channels, threads and the swapped pointer, under one name, so that a model checker can put its own in
//! their place and run this very code through every order of its steps. See models/src/sync.rs for those.
//!
//! A normal build gets nothing but other names for what it would use anyway.

#[cfg(not(any(annals_loom, annals_shuttle)))]
mod chosen {
    pub(crate) use arc_swap::ArcSwap;
    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};

    pub(crate) mod atomic {
        pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
    }

    pub(crate) mod channel {
        pub(crate) use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded, unbounded};
    }

    pub(crate) mod hint {
        pub(crate) use std::hint::spin_loop;
    }

    pub(crate) mod thread {
        pub(crate) use std::thread::{Builder, JoinHandle, current, park_timeout, sleep};
    }
}

#[cfg(any(annals_loom, annals_shuttle))]
#[path = "../models/src/sync.rs"]
pub(crate) mod chosen;

pub(crate) use chosen::{ArcSwap, Condvar, Mutex, MutexGuard, RwLock, atomic, channel, hint, thread};
