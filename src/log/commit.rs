//! Group commit. Whoever appends lays its batch out without a lock; then one of those who wait
//! leads: it takes all that wait, and the writer places, writes, syncs and publishes them together.
//!
//! Invariants: `leading` is true exactly while somebody leads or was told to; only the leader holds
//! the writer; one group is in flight. A leader that is done either hands over to the first who
//! waits or clears `leading` under the queue's lock, so nobody waits without a leader.

use std::collections::VecDeque;
use std::future::Future;
use std::io::IoSlice;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::core::{Core, NotWritten};
use super::prepare::Prepared;
use super::room::Room;
use super::writer::{Member, Unsynced, Writer, write_slot};
use crate::append::Appended;
use crate::error::{AppendError, Error, ErrorKind, Result, is_full};
use crate::format::header::Mode;
use crate::format::slot::State;
use crate::position::Position;
use crate::sync::atomic::Ordering;
use crate::sync::{Condvar, Mutex, thread};

/// Appends that one group takes at most, and their bytes: a bound on latency and memory.
const GROUP_MEMBERS_MAX: usize = 4096;
const GROUP_BYTES_MAX: u64 = 32 << 20;

#[derive(Debug)]
pub(crate) struct Committer {
    core: Arc<Core>,
    writer: Mutex<Writer>,
    queue: Mutex<Queue>,
    /// Signalled when somebody queues while a leader waits for company.
    arrived: Condvar,
    /// Wakes the thread that leads for tickets.
    for_tickets: Condvar,
    /// Held while a `Written` log is synced: one sync at a time, so that they go in order.
    syncing: Mutex<()>,
    pid: u32,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Arc<Waiter>>,
    leading: bool,
    /// The leader waits for so many to queue.
    company: usize,
    ticket_thread: bool,
    /// Leadership was handed to the ticket thread.
    tickets_lead: bool,
    closed: bool,
    /// Members of the last group, and how long a sync takes of late.
    last_group: usize,
    sync_time: Duration,
}

/// One queued append.
#[derive(Debug)]
struct Waiter {
    state: Mutex<WaitState>,
    wake: Condvar,
    /// Nobody sleeps on it, so it cannot lead.
    is_ticket: bool,
    bytes: u64,
}

#[derive(Debug)]
enum Outcome {
    Waiting,
    Lead,
    Done(Result<Appended, AppendError>),
    Taken,
}

/// The member goes to the leader and comes back with the outcome, so that the thread that made its
/// many pieces frees them: memory that another thread frees makes both wait for the allocator.
#[derive(Debug)]
struct WaitState {
    outcome: Outcome,
    member: Option<Box<Member>>,
    waker: Option<Waker>,
}

impl WaitState {
    /// The outcome, once there is one; it is given out once.
    fn take(&mut self) -> Option<Result<Appended, AppendError>> {
        match std::mem::replace(&mut self.outcome, Outcome::Taken) {
            Outcome::Done(done) => {
                self.member = None;
                Some(done)
            }
            Outcome::Taken => Some(Err(AppendError::Closed)),
            pending => {
                self.outcome = pending;
                None
            }
        }
    }
}

impl Waiter {
    fn new(member: Box<Member>, is_ticket: bool) -> Waiter {
        let bytes = member.prepared.draft.bytes().len() as u64;
        let state = Mutex::new(WaitState { outcome: Outcome::Waiting, member: Some(member), waker: None });
        Waiter { state, wake: Condvar::new(), is_ticket, bytes }
    }

    fn take_member(&self) -> Option<Box<Member>> {
        self.state.lock().member.take()
    }

    fn finish(&self, member: Box<Member>, outcome: Result<Appended, AppendError>) {
        let mut state = self.state.lock();
        state.outcome = Outcome::Done(outcome);
        state.member = Some(member);
        let waker = state.waker.take();
        drop(state);
        self.wake.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// An append that was handed in; it is committed whether or not anybody waits for it.
///
/// A `Future` without a runtime of its own: it can be awaited under any executor, or waited for
/// with [`Ticket::wait`].
#[derive(Debug)]
pub struct Ticket {
    inner: std::result::Result<Arc<Waiter>, Option<AppendError>>,
}

impl Ticket {
    pub(crate) fn refused(error: AppendError) -> Ticket {
        Ticket { inner: Err(Some(error)) }
    }

    /// Blocks until the append is done or refused.
    ///
    /// # Errors
    /// As [`Store::append_with`](crate::Store::append_with); `Closed` if the outcome was taken
    /// before, by polling.
    pub fn wait(mut self) -> std::result::Result<Appended, AppendError> {
        match &mut self.inner {
            Err(error) => Err(error.take().unwrap_or(AppendError::Closed)),
            Ok(waiter) => {
                let mut state = waiter.state.lock();
                loop {
                    if let Some(done) = state.take() {
                        return done;
                    }
                    waiter.wake.wait(&mut state);
                }
            }
        }
    }

    /// Whether it was refused without ever being handed in.
    pub(crate) fn is_refused(&self) -> bool {
        self.inner.is_err()
    }

    /// Whether the outcome is known.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match &self.inner {
            Err(_) => true,
            Ok(waiter) => matches!(waiter.state.lock().outcome, Outcome::Done(_) | Outcome::Taken),
        }
    }
}

impl Future for Ticket {
    type Output = std::result::Result<Appended, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.inner {
            Err(error) => Poll::Ready(Err(error.take().unwrap_or(AppendError::Closed))),
            Ok(waiter) => {
                let mut state = waiter.state.lock();
                match state.take() {
                    Some(done) => Poll::Ready(done),
                    None => {
                        state.waker = Some(context.waker().clone());
                        Poll::Pending
                    }
                }
            }
        }
    }
}

impl Committer {
    pub(crate) fn new(core: Arc<Core>, writer: Writer) -> Committer {
        Committer {
            core,
            writer: Mutex::new(writer),
            queue: Mutex::new(Queue::default()),
            arrived: Condvar::new(),
            for_tickets: Condvar::new(),
            syncing: Mutex::new(()),
            pid: std::process::id(),
        }
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    fn check_process(&self) -> Result<(), AppendError> {
        // A forked child shares the lock's file description but not the threads.
        if std::process::id() != self.pid {
            return Err(AppendError::Failed(Error::invalid(
                "the store was opened by the process that this one was forked from",
            )));
        }
        Ok(())
    }

    /// Appends and waits.
    pub(crate) fn append(&self, prepared: Prepared) -> Result<Appended, AppendError> {
        self.check_process()?;
        let begun = Instant::now();
        let member = Box::new(Member::new(prepared));
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(AppendError::Closed);
        }
        let outcome = if queue.leading {
            let waiter = Arc::new(Waiter::new(member, false));
            self.enqueue(&mut queue, &waiter);
            drop(queue);
            self.wait_or_lead(&waiter)
        } else {
            queue.leading = true;
            drop(queue);
            self.lead(Some(member)).unwrap_or(Err(AppendError::Closed))
        };
        let counters = &self.core.counters;
        counters.appends.fetch_add(1, Ordering::Relaxed);
        counters.slowest_append_ns.fetch_max(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
        outcome
    }

    fn enqueue(&self, queue: &mut Queue, waiter: &Arc<Waiter>) {
        queue.waiting.push_back(Arc::clone(waiter));
        if queue.company > 0 && queue.waiting.len() >= queue.company {
            self.arrived.notify_one();
        }
    }

    fn wait_or_lead(&self, waiter: &Arc<Waiter>) -> Result<Appended, AppendError> {
        let mut state = waiter.state.lock();
        loop {
            if matches!(state.outcome, Outcome::Lead) {
                let member = state.member.take();
                drop(state);
                return self.lead(member).unwrap_or(Err(AppendError::Closed));
            }
            if let Some(done) = state.take() {
                return done;
            }
            waiter.wake.wait(&mut state);
        }
    }

    /// Hands an append in.
    pub(crate) fn submit(self: &Arc<Self>, prepared: Prepared) -> Ticket {
        if let Err(error) = self.check_process() {
            return Ticket::refused(error);
        }
        let waiter = Arc::new(Waiter::new(Box::new(Member::new(prepared)), true));
        let mut queue = self.queue.lock();
        if queue.closed {
            return Ticket::refused(AppendError::Closed);
        }
        if !queue.ticket_thread {
            queue.ticket_thread = true;
            let committer = Arc::clone(self);
            let spawned =
                thread::Builder::new().name("annals-commit".to_owned()).spawn(move || committer.ticket_thread());
            if let Err(error) = spawned {
                queue.ticket_thread = false;
                return Ticket::refused(AppendError::Failed(Error::io("start a thread", error)));
            }
        }
        self.enqueue(&mut queue, &waiter);
        if !queue.leading {
            queue.leading = true;
            queue.tickets_lead = true;
            self.for_tickets.notify_one();
        }
        self.core.counters.appends.fetch_add(1, Ordering::Relaxed);
        Ticket { inner: Ok(waiter) }
    }

    /// Leads whenever a ticket stands first.
    fn ticket_thread(&self) {
        let mut queue = self.queue.lock();
        loop {
            if queue.tickets_lead {
                queue.tickets_lead = false;
                drop(queue);
                self.lead(None);
                queue = self.queue.lock();
                continue;
            }
            if queue.closed && queue.waiting.is_empty() {
                queue.ticket_thread = false;
                self.for_tickets.notify_all();
                return;
            }
            self.for_tickets.wait(&mut queue);
        }
    }

    /// Commits a group: the leader's own append and all that wait. Returns the outcome of its own.
    fn lead(&self, own: Option<Box<Member>>) -> Option<Result<Appended, AppendError>> {
        let has_own = own.is_some();
        let mut writer = self.writer.lock();
        let waiters = self.gather(has_own);
        let mut members: Vec<_> =
            own.into_iter().chain(waiters.iter().filter_map(|waiter| waiter.take_member())).collect();
        let begun = Instant::now();
        // A panic in here is a bug of ours; it must not leave others waiting for ever.
        let finished = catch_unwind(AssertUnwindSafe(|| writer.commit(&self.core, &mut members)));
        if finished.is_err() {
            self.core.poison("the writer panicked".to_owned());
        }
        drop(writer);
        let took = begun.elapsed();
        let count = members.len();
        let outcome_of = |member: &mut Member| member.outcome.take().unwrap_or_else(|| Err(self.core.poisoned(true)));
        let mut members = members.into_iter();
        let own = if has_own { members.next().map(|mut member| outcome_of(&mut member)) } else { None };
        for (waiter, mut member) in waiters.iter().zip(members) {
            let outcome = outcome_of(&mut member);
            waiter.finish(member, outcome);
        }
        self.hand_over(count, took);
        own
    }

    /// Takes who waits, after giving those of the last group a little time to be back.
    fn gather(&self, has_own: bool) -> Vec<Arc<Waiter>> {
        let mut queue = self.queue.lock();
        let own = usize::from(has_own);
        if self.core.mode == Mode::Synced && queue.last_group > 1 && queue.waiting.len() + own < queue.last_group {
            let deadline = Instant::now() + queue.sync_time.mul_f64(0.15);
            queue.company = queue.last_group - own;
            while queue.waiting.len() < queue.company {
                if self.arrived.wait_until(&mut queue, deadline).timed_out() {
                    break;
                }
            }
            queue.company = 0;
        }
        let mut bytes = 0;
        let mut fits = |waiter: &Arc<Waiter>| {
            bytes += waiter.bytes;
            bytes <= GROUP_BYTES_MAX
        };
        let count = queue.waiting.iter().take(GROUP_MEMBERS_MAX).take_while(|waiter| fits(waiter)).count();
        let count = count.max(usize::from(!has_own && !queue.waiting.is_empty()));
        queue.waiting.drain(..count).collect()
    }

    fn hand_over(&self, group: usize, took: Duration) {
        let mut queue = self.queue.lock();
        queue.last_group = group;
        queue.sync_time = if queue.sync_time.is_zero() { took } else { (queue.sync_time * 7 + took) / 8 };
        match queue.waiting.front().map(Arc::clone) {
            None => queue.leading = false,
            Some(first) if first.is_ticket => {
                queue.tickets_lead = true;
                drop(queue);
                self.for_tickets.notify_one();
            }
            Some(first) => {
                queue.waiting.pop_front();
                drop(queue);
                first.state.lock().outcome = Outcome::Lead;
                first.wake.notify_all();
            }
        }
    }

    /// The position of the next event: whether anything was appended since it was asked last.
    pub(crate) fn next(&self) -> Position {
        self.writer.lock().next
    }

    pub(crate) fn room(&self) -> (Arc<Room>, u64) {
        let writer = self.writer.lock();
        (Arc::clone(&writer.room), writer.offset)
    }

    /// Says in a slot how far a `Synced` log is durable, after a while without appends.
    pub(crate) fn write_idle_slot(&self) {
        if self.core.mode != Mode::Synced || self.core.poison.is_set() {
            return;
        }
        let (room, slot, salt) = {
            let mut writer = self.writer.lock();
            if writer.slotted == writer.offset {
                return;
            }
            let slot = writer.slot(State::Idle);
            (Arc::clone(&writer.room), slot, writer.active.header.salt)
        };
        let written = match write_slot(&*room.file, &slot, salt) {
            Ok(()) => room.sync_beside().map_err(|error| Error::io("sync a slot", error)),
            // It only saves the next opening some reading.
            Err(error) if error.kind() == ErrorKind::Full => Ok(()),
            failed => failed,
        };
        if let Err(error) = written {
            self.core.poison(error.to_string());
        }
    }

    /// Syncs a `Written` log: full segments first, names, the active segment; then what they hold
    /// is durable. A `Synced` log has nothing to sync.
    pub(crate) fn sync_written(&self) -> Result<()> {
        let core = &*self.core;
        if core.poison.is_set() {
            return Err(core.poisoned(false).into());
        }
        if core.mode == Mode::Synced {
            return Ok(());
        }
        let _syncing = self.syncing.lock();
        // Another sync may have failed while this one waited; a second one proves nothing.
        if core.poison.is_set() {
            return Err(core.poisoned(false).into());
        }
        if core.log.durable() == core.log.tail() {
            return Ok(());
        }
        let (full, room, tail, base, epoch) = {
            let writer = self.writer.lock();
            let tail = Position::new(writer.next.get() - 1);
            (writer.unsynced.clone(), Arc::clone(&writer.room), tail, writer.active.base(), writer.active.header.epoch)
        };
        let synced = self.sync_files(&full, &room, base);
        if let Err(error) = synced {
            core.poison(format!("the background sync failed: {error}"));
            return Err(core.poisoned(false).into());
        }
        self.writer.lock().unsynced.drain(..full.len());
        core.log.set_durable(tail);
        core.live.durable(tail);
        core.log.doorbell.ring();
        if core.anchor.lock().newest_base != base {
            let anchored =
                core.write_anchor(|anchor| (anchor.newest_base, anchor.durable, anchor.epoch) = (base, tail, epoch));
            // Without room it is told at the next sync.
            if let Err(NotWritten::Failed(error)) = anchored {
                core.poison(format!("writing ANCHOR failed: {error}"));
                return Err(core.poisoned(false).into());
            }
        }
        Ok(())
    }

    fn sync_files(&self, full: &[Unsynced], active: &Room, base: Position) -> std::io::Result<()> {
        for segment in full {
            segment.file.sync_data()?;
            let page = segment.slot.encode(segment.salt);
            let written = segment.file.write_all_at(&mut [IoSlice::new(&page[..])], segment.slot.offset());
            // It only saves the next opening some reading.
            written.or_else(|error| if is_full(&error) { Ok(()) } else { Err(error) })?;
        }
        if self.core.anchor.lock().newest_base != base {
            self.core.log.storage.sync_dir(super::files::LOG.as_ref())?;
        }
        active.sync()
    }

    /// Stops taking appends, lets those in flight finish, and gives up the writer.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        self.for_tickets.notify_all();
        while queue.leading || queue.ticket_thread || !queue.waiting.is_empty() {
            self.for_tickets.notify_all();
            self.for_tickets.wait_for(&mut queue, Duration::from_millis(5));
        }
    }

    /// The writer, once the committer is closed.
    pub(crate) fn with_writer<T>(&self, work: impl FnOnce(&mut Writer) -> T) -> T {
        work(&mut self.writer.lock())
    }
}
