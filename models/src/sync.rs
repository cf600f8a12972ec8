//! The primitives of the library as a model checker has them: what src/sync.rs stands for in a normal build.
//!
//! Three things are doubles, since no checker knows them: channels (a queue under a lock of the checker), the swapped
//! pointer (the real one, with a step of the checker before each use) and time. A wait with a deadline either never sees
//! it, so that a wake-up that is lost is a deadlock, or it ends at once, for code that looks again and again by itself;
//! see [`Timeouts`].
//!
//! Everything here can be made weaker on purpose ([`Weakness`]), in one file of the library at a time, so that each model
//! can be seen to notice.

#[cfg(annals_loom)]
pub(crate) use loom as engine;
#[cfg(annals_shuttle)]
pub(crate) use shuttle as engine;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::{Arc, PoisonError, RwLock as StdRwLock};
use std::time::{Duration, Instant};

pub(crate) use atomic::Ordering;

/// What is done worse than the code asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Release stores order nothing.
    Release,
    /// Acquire loads order nothing.
    Acquire,
    /// Fences are left out.
    Fence,
    /// Wake-ups of condition variables are lost.
    Notify,
    /// What is sent without waiting is lost.
    Send,
    /// Who loads the swapped pointer may find what it was before its last change.
    Stale,
    /// Syncs of the simulated disk say that all is well and do nothing.
    Sync,
}

/// A thing made worse where it is used in one file of the library.
#[derive(Debug, Clone)]
pub(crate) struct Weakness {
    pub(crate) what: What,
    pub(crate) file: String,
}

/// What becomes of waits with a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timeouts {
    /// They wait for ever.
    Never,
    /// They end at once, by the deadline or not, as it comes.
    Always,
}

static WEAKNESS: StdRwLock<Option<Weakness>> = StdRwLock::new(None);
static TIMEOUTS: StdRwLock<Timeouts> = StdRwLock::new(Timeouts::Never);

pub(crate) fn set_weakness(weakness: Option<Weakness>) {
    *WEAKNESS.write().unwrap_or_else(PoisonError::into_inner) = weakness;
}

pub(crate) fn set_timeouts(timeouts: Timeouts) {
    *TIMEOUTS.write().unwrap_or_else(PoisonError::into_inner) = timeouts;
}

fn never() -> bool {
    *TIMEOUTS.read().unwrap_or_else(PoisonError::into_inner) == Timeouts::Never
}

fn is_weak(what: What, at: &Location<'_>) -> bool {
    let weakness = WEAKNESS.read().unwrap_or_else(PoisonError::into_inner);
    weakness.as_ref().is_some_and(|weakness| weakness.what == what && at.file().ends_with(&weakness.file))
}

/// Whether something is made worse wherever it is used.
fn is_weak_everywhere(what: What) -> bool {
    let weakness = WEAKNESS.read().unwrap_or_else(PoisonError::into_inner);
    weakness.as_ref().is_some_and(|weakness| weakness.what == what)
}

/// Whether the simulated disk is to lie about its syncs.
pub(crate) fn is_sync_lost() -> bool {
    is_weak_everywhere(What::Sync)
}

/// A coin, where the checker has one.
fn coin() -> bool {
    #[cfg(annals_shuttle)]
    return shuttle::rand::Rng::r#gen(&mut shuttle::rand::thread_rng());
    #[cfg(annals_loom)]
    return true;
}

pub(crate) mod hint {
    /// Who spins waits for somebody else, and a checker has to know.
    pub(crate) fn spin_loop() {
        super::engine::thread::yield_now();
    }
}

pub(crate) mod thread {
    use std::time::Duration;

    pub(crate) use super::engine::thread::{Builder, JoinHandle, current};

    pub(crate) fn sleep(_: Duration) {
        super::engine::thread::yield_now();
    }

    pub(crate) fn park_timeout(_: Duration) {
        super::engine::thread::yield_now();
    }
}

pub(crate) mod atomic {
    use std::fmt;
    use std::panic::Location;
    pub(crate) use std::sync::atomic::Ordering;

    use super::{What, engine, is_weak};

    #[track_caller]
    fn loading(order: Ordering) -> Ordering {
        match order {
            Ordering::Acquire if is_weak(What::Acquire, Location::caller()) => Ordering::Relaxed,
            order => order,
        }
    }

    #[track_caller]
    fn storing(order: Ordering) -> Ordering {
        match order {
            Ordering::Release if is_weak(What::Release, Location::caller()) => Ordering::Relaxed,
            order => order,
        }
    }

    #[track_caller]
    fn changing(order: Ordering) -> Ordering {
        match order {
            Ordering::Release | Ordering::AcqRel if is_weak(What::Release, Location::caller()) => Ordering::Relaxed,
            order => order,
        }
    }

    #[track_caller]
    pub(crate) fn fence(order: Ordering) {
        if !is_weak(What::Fence, Location::caller()) {
            engine::sync::atomic::fence(order);
        }
    }

    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            pub(crate) struct $name(engine::sync::atomic::$name);

            impl $name {
                pub(crate) fn new(value: $value) -> $name {
                    $name(engine::sync::atomic::$name::new(value))
                }

                #[track_caller]
                pub(crate) fn load(&self, order: Ordering) -> $value {
                    self.0.load(loading(order))
                }

                #[track_caller]
                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    self.0.store(value, storing(order));
                }

                #[track_caller]
                pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                    self.0.swap(value, changing(order))
                }
            }

            impl Default for $name {
                fn default() -> $name {
                    $name::new(<$value>::default())
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(stringify!($name))
                }
            }
        };
    }

    macro_rules! number {
        ($name:ident, $value:ty) => {
            atomic!($name, $value);

            impl $name {
                #[track_caller]
                pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    self.0.fetch_add(value, changing(order))
                }

                #[track_caller]
                pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                    self.0.fetch_sub(value, changing(order))
                }

                #[track_caller]
                pub(crate) fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                    self.0.fetch_max(value, changing(order))
                }
            }
        };
    }

    atomic!(AtomicBool, bool);
    number!(AtomicU64, u64);
    number!(AtomicUsize, usize);
}

/// As parking_lot's: without poisoning.
pub(crate) struct Mutex<T>(engine::sync::Mutex<T>);

pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// Away only while somebody waits.
    held: Option<engine::sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(engine::sync::Mutex::new(value))
    }

    fn hold(&self) -> engine::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, held: Some(self.hold()) }
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> MutexGuard<'_, T> {
    pub(crate) fn unlocked<R>(guard: &mut Self, run: impl FnOnce() -> R) -> R {
        drop(guard.held.take());
        let done = run();
        guard.held = Some(guard.mutex.hold());
        done
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_deref().expect("it is held while it can be seen")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_deref_mut().expect("it is held while it can be seen")
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

pub(crate) struct RwLock<T>(engine::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> RwLock<T> {
        RwLock(engine::sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> engine::sync::RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> engine::sync::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RwLock")
    }
}

pub(crate) struct Condvar(engine::sync::Condvar);

/// Whether a wait was ended by its deadline.
pub(crate) struct TimedOut(bool);

impl TimedOut {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar(engine::sync::Condvar::new())
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(held) = guard.held.take() {
            guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
        }
    }

    pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) -> TimedOut {
        if never() {
            self.wait(guard);
            return TimedOut(false);
        }
        MutexGuard::unlocked(guard, engine::thread::yield_now);
        TimedOut(coin())
    }

    pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _: Instant) -> TimedOut {
        self.wait_for(guard, Duration::ZERO)
    }

    #[track_caller]
    pub(crate) fn notify_one(&self) {
        if !is_weak(What::Notify, Location::caller()) {
            self.0.notify_one();
        }
    }

    #[track_caller]
    pub(crate) fn notify_all(&self) {
        if !is_weak(What::Notify, Location::caller()) {
            self.0.notify_all();
        }
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condvar")
    }
}

/// The real one, none of whose steps can be divided, with a step of the checker before each.
pub(crate) struct ArcSwap<T> {
    real: arc_swap::ArcSwap<T>,
    /// What it was before its last change.
    before: arc_swap::ArcSwap<T>,
    step: atomic::AtomicU64,
}

impl<T> ArcSwap<T> {
    pub(crate) fn from_pointee(value: T) -> ArcSwap<T> {
        let real = arc_swap::ArcSwap::from_pointee(value);
        ArcSwap { before: arc_swap::ArcSwap::new(real.load_full()), real, step: atomic::AtomicU64::new(0) }
    }

    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<T>> {
        self.step.load(Ordering::Acquire);
        if is_weak_everywhere(What::Stale) && coin() { self.before.load() } else { self.real.load() }
    }

    pub(crate) fn load_full(&self) -> Arc<T> {
        arc_swap::Guard::into_inner(self.load())
    }

    pub(crate) fn store(&self, value: Arc<T>) {
        self.before.store(self.real.swap(value));
        self.step.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn rcu<R: Into<Arc<T>>>(&self, change: impl FnMut(&Arc<T>) -> R) -> Arc<T> {
        self.step.load(Ordering::Acquire);
        let old = self.real.rcu(change);
        self.before.store(Arc::clone(&old));
        self.step.fetch_add(1, Ordering::AcqRel);
        old
    }
}

impl<T> fmt::Debug for ArcSwap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ArcSwap")
    }
}

pub(crate) mod channel {
    use std::collections::VecDeque;
    use std::fmt;
    use std::panic::Location;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    pub(crate) use crossbeam_channel::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

    use super::{Condvar, Mutex, MutexGuard, What, engine, is_weak};

    struct Shared<T> {
        queue: Mutex<Queue<T>>,
        moved: Condvar,
        capacity: usize,
    }

    struct Queue<T> {
        items: VecDeque<T>,
        senders: usize,
        receivers: usize,
    }

    pub(crate) struct Sender<T>(Arc<Shared<T>>);
    pub(crate) struct Receiver<T>(Arc<Shared<T>>);

    pub(crate) fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
        let queue = Mutex::new(Queue { items: VecDeque::new(), senders: 1, receivers: 1 });
        let shared = Arc::new(Shared { queue, moved: Condvar::new(), capacity });
        (Sender(Arc::clone(&shared)), Receiver(shared))
    }

    pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
        bounded(usize::MAX)
    }

    impl<T> Sender<T> {
        #[track_caller]
        pub(crate) fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
            if is_weak(What::Send, Location::caller()) {
                return Ok(());
            }
            let mut queue = self.0.queue.lock();
            if queue.receivers == 0 {
                return Err(TrySendError::Disconnected(item));
            }
            if queue.items.len() >= self.0.capacity {
                return Err(TrySendError::Full(item));
            }
            queue.items.push_back(item);
            self.0.moved.notify_all();
            Ok(())
        }

        /// For channels without a bound.
        pub(crate) fn send(&self, item: T) -> Result<(), SendError<T>> {
            assert_eq!(self.0.capacity, usize::MAX, "waiting for room is not modelled");
            self.try_send(item).map_err(|error| SendError(error.into_inner()))
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
            let mut queue = self.0.queue.lock();
            let gone = if queue.senders == 0 { TryRecvError::Disconnected } else { TryRecvError::Empty };
            queue.items.pop_front().ok_or(gone)
        }

        pub(crate) fn recv(&self) -> Result<T, RecvError> {
            let mut queue = self.0.queue.lock();
            loop {
                if let Some(item) = queue.items.pop_front() {
                    return Ok(item);
                }
                if queue.senders == 0 {
                    return Err(RecvError);
                }
                self.0.moved.wait(&mut queue);
            }
        }

        pub(crate) fn recv_deadline(&self, _: Instant) -> Result<T, RecvTimeoutError> {
            if super::never() {
                return self.recv().map_err(|RecvError| RecvTimeoutError::Disconnected);
            }
            engine::thread::yield_now();
            self.try_recv().map_err(|error| match error {
                TryRecvError::Empty => RecvTimeoutError::Timeout,
                TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
            })
        }

        pub(crate) fn recv_timeout(&self, _: Duration) -> Result<T, RecvTimeoutError> {
            self.recv_deadline(Instant::now())
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.queue.lock().items.is_empty()
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                self.0.queue.lock().senders -= 1;
                self.0.moved.notify_all();
            }
        }
    }

    impl<T> Drop for Receiver<T> {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                self.0.queue.lock().receivers -= 1;
            }
        }
    }

    impl<T> fmt::Debug for Sender<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Sender")
        }
    }

    impl<T> fmt::Debug for Receiver<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Receiver")
        }
    }
}
