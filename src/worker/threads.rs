//! The threads of a worker: one reads, watches the time and writes down how far it is; the others run the closure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::handle::{Running, WorkerHandle, WorkerState};
use super::runtime::Runtime;
use crate::error::{Error, ErrorKind, Result};
use crate::feed::{StartAt, Subscription};
use crate::format::worker::Entry;
use crate::io::process_line;
use crate::limits::{WORKER_OPEN_EVENTS_MAX, WORKER_PARKED_EVENTS_MAX, WORKER_STATE_BYTES_MAX};
use crate::sync::Mutex;
use crate::sync::thread::{self, JoinHandle};

/// How long the reading thread waits at most before it looks around.
const LOOK: Duration = Duration::from_millis(50);
/// How often it is written down how far the worker is. What was finished since is run again after a crash.
const FLUSH_EVERY: Duration = Duration::from_millis(50);
/// Events that wait in memory to be begun: with fewer, more are read.
const INCOMING_MAX: usize = 512;

/// Starts the threads; the worker's file is open.
pub(super) fn start(runtime: Runtime, concurrency: usize) -> Result<WorkerHandle> {
    let runtime = Arc::new(runtime);
    let started = (|| {
        begin(&runtime)?;
        let mut threads = vec![spawn(&runtime, "reads", |runtime| runtime.lead())?];
        for _ in 0..concurrency {
            match spawn(&runtime, "works", |runtime| runtime.work()) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    runtime.stop();
                    threads.into_iter().for_each(|thread| drop(thread.join()));
                    return Err(error);
                }
            }
        }
        Ok(threads)
    })();
    match started {
        Ok(threads) => Ok(WorkerHandle { running: Arc::new(Running { runtime, threads: Mutex::new(threads) }) }),
        Err(error) => {
            runtime.desk.put_back(&runtime.journal.name);
            Err(error)
        }
    }
}

fn begin(runtime: &Arc<Runtime>) -> Result<()> {
    let weak = Arc::downgrade(runtime);
    runtime.journal.set_hook(move |decision, skip| match weak.upgrade() {
        Some(runtime) => runtime.decide(decision, skip),
        None => Err(Error::new(ErrorKind::Closed, "the worker has just ended; try again")),
    });
    runtime.take_up()?;
    let begun = session(true, runtime);
    runtime.journal.wait(runtime.journal.note([begun]))
}

fn session(begun: bool, runtime: &Runtime) -> Entry {
    Entry::Session { begun, at: runtime.now(), process: process_line().trim().to_owned() }
}

fn spawn(runtime: &Arc<Runtime>, does: &str, life: impl FnOnce(&Runtime) + Send + 'static) -> Result<JoinHandle<()>> {
    let name = &runtime.journal.name;
    let moved = Arc::clone(runtime);
    let thread = thread::Builder::new().name(format!("{name} {does}"));
    thread
        .spawn(move || life(&moved))
        .map_err(|error| Error::io(format_args!("start a thread of the worker {name}"), error))
}

impl Runtime {
    /// The life of a thread that runs the closure.
    fn work(&self) {
        while let Some(task) = self.next() {
            self.run(task);
        }
        // The last one may be waited for.
        self.moved.notify_all();
    }

    /// The life of the thread that reads.
    fn lead(&self) {
        if let Err(error) = self.follow() {
            self.fail(&error);
        }
        self.stop();
        let mut core = self.core.lock();
        while core.in_hand > 0 {
            self.moved.wait_for(&mut core, LOOK);
        }
        drop(core);
        // After a failure what can be kept is kept; who wants to know asks for the status.
        self.journal.note([session(false, self)]);
        let kept = self.journal.flush();
        self.desk.put_back(&self.journal.name);
        let mut core = self.core.lock();
        if core.state != WorkerState::Failed {
            core.state = WorkerState::Stopped;
            core.error = kept.err().filter(|error| error.kind() != ErrorKind::Closed).map(|error| error.to_string());
        }
        self.moved.notify_all();
    }

    fn subscribe(&self, start: StartAt) -> Subscription {
        Subscription::new(Arc::clone(&self.log), None, self.query.clone(), start).durable_only()
    }

    fn follow(&self) -> Result<()> {
        let start = self.journal.look(|state| state.through);
        let mut subscription = self.subscribe(StartAt::Checkpoint(start));
        let mut flushed = Instant::now();
        let mut idle = false;
        loop {
            if self.core.lock().stop || self.log.is_closed() {
                return Ok(());
            }
            let due = self.look_at_times();
            let wait = due.map_or(LOOK, |due| due.min(LOOK));
            if self.is_full() {
                let mut core = self.core.lock();
                self.moved.wait_for(&mut core, wait);
            } else {
                match subscription.next_timeout(wait) {
                    Ok(Some(batch)) => {
                        let events: Vec<_> = batch.iter().map(|event| (event.to_owned(), self.key_of(event))).collect();
                        let mut core = self.core.lock();
                        core.incoming.extend(events);
                        core.read = batch.through();
                        self.passed(&core);
                        self.work_there.notify_all();
                    }
                    Ok(None) => {}
                    Err(error) if error.kind() == ErrorKind::Closed => return Ok(()),
                    Err(error) if error.kind() == ErrorKind::Diverged || error.corruption().is_some() => {
                        return Err(error);
                    }
                    // Whatever else it is may pass.
                    Err(error) => {
                        let position = subscription.position();
                        let mut core = self.core.lock();
                        core.error = Some(error.to_string());
                        self.moved.wait_for(&mut core, LOOK);
                        drop(core);
                        subscription = self.subscribe(StartAt::After(position));
                    }
                }
            }
            self.tell_state(&subscription);
            if flushed.elapsed() >= FLUSH_EVERY {
                let before = idle;
                idle = self.write_down(before)?;
                flushed = Instant::now();
            }
        }
    }

    /// Writes down how far the worker is. Where nothing was to be written twice in a row, the newest frame is proved.
    fn write_down(&self, was_idle: bool) -> Result<bool> {
        let is_idle = self.core.lock().in_hand == 0;
        let written = if was_idle && is_idle {
            self.journal.flush().and_then(|()| self.journal.mark())
        } else {
            self.journal.flush()
        };
        match written {
            Ok(()) => Ok(is_idle),
            Err(error) if super::step::is_final(&error) => {
                if error.kind() == ErrorKind::Closed {
                    Ok(false)
                } else {
                    Err(error)
                }
            }
            // There is no room, say. It is tried again.
            Err(error) => {
                self.core.lock().error = Some(error.to_string());
                Ok(false)
            }
        }
    }

    /// Whether nothing more is to be read now.
    fn is_full(&self) -> bool {
        let beyond = self.journal.look(|state| {
            state.open.len() >= WORKER_OPEN_EVENTS_MAX
                || state.parked.len() >= WORKER_PARKED_EVENTS_MAX
                || state.bytes >= WORKER_STATE_BYTES_MAX
        });
        let mut core = self.core.lock();
        core.full = beyond;
        beyond || core.incoming.len() >= INCOMING_MAX
    }

    fn tell_state(&self, subscription: &Subscription) {
        let mut core = self.core.lock();
        let now = match core.state {
            WorkerState::Failed | WorkerState::Stopped => return,
            _ if core.full => WorkerState::Full,
            _ if subscription.caught_up() && core.incoming.is_empty() => WorkerState::Following,
            WorkerState::Following => return,
            _ => WorkerState::CatchingUp,
        };
        if core.state != now {
            core.state = now;
            self.moved.notify_all();
        }
    }
}
