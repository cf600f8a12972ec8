//! The thread of a flow: it decides what was appended without being decided, carries out what was approved, and ends
//! what has run out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::drive::Waiting;
use super::engine::Engine;
use super::index::Index;
use super::keep;
use crate::error::{Error, ErrorKind, Result};
use crate::feed::{StartAt, Subscription};
use crate::query::Query;

/// How long the thread waits at most before it looks at the clock again.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// How long it waits after an error, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often the thread looks by itself, and how often in vain before it has itself woken.
const LOOK_EVERY: Duration = Duration::from_micros(50);
const QUIET_LOOKS: u32 = 20;
/// The index is kept after so many events at the latest.
const KEEP_EVENTS: u64 = 100_000;

/// The running thread.
#[derive(Debug)]
pub(crate) struct Runner {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Runner {
    pub(crate) fn start(engine: Arc<Engine>) -> Result<Runner> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("annals-flow".to_owned())
            .spawn(move || run(&engine, &stopped))
            .map_err(|error| Error::io("start the flow's thread", error))?;
        Ok(Runner { stop, thread: Some(thread) })
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Read by the thread once a round; nothing else is handed over by it.
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            thread.thread().unpark();
            // A panic there was told by its message already.
            let _ = thread.join();
        }
    }
}

fn run(engine: &Engine, stop: &AtomicBool) {
    // It matches nothing: it only tells that there is something new.
    let mut news = engine.store.subscribe(Query::all().types::<&str>([]), StartAt::Now);
    let mut waiting = Waiting::default();
    let mut pause = PAUSE_MIN;
    let mut kept = engine.index.lock().position;
    while !stop.load(Ordering::Relaxed) {
        let stirred = engine.stirred();
        match engine.round(&mut waiting) {
            Ok(round) => {
                pause = PAUSE_MIN;
                if round.is_moving {
                    continue;
                }
                let due = |index: &Index| index.position.get() >= kept.get() + KEEP_EVENTS;
                let image = Some(engine.index.lock()).filter(|index| due(index)).and_then(|index| keep::image(&index));
                if let Some((position, state)) = image {
                    // It is derived: without it the next start reads more.
                    let _ = keep::save(&engine.store, position, &state);
                    kept = position;
                }
                let wait = round.next.unwrap_or(WAIT_MAX).min(WAIT_MAX);
                if !wait_for(engine, stirred, &mut news, wait, stop) {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::Closed => return,
            // Damage, a poisoned writer: nothing is lost by waiting, and whoever calls is told.
            Err(_) => {
                std::thread::park_timeout(pause);
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Waits until there is something that nobody looked at, at most so long; `false` if the store is closed.
///
/// Whoever requests deals with most of it in the same append, and would pay for each time that this thread is woken: so
/// while there is work it looks now and then by itself, and has itself woken only once there was none for a while.
fn wait_for(engine: &Engine, stirred: u64, news: &mut Subscription, wait: Duration, stop: &AtomicBool) -> bool {
    let until = Instant::now() + wait;
    let mut tail = engine.store.inner.log.tail();
    let mut quiet = 0;
    loop {
        if engine.has_news(stirred) || stop.load(Ordering::Relaxed) || Instant::now() >= until {
            return true;
        }
        let now = engine.store.inner.log.tail();
        quiet = if now == tail { quiet + 1 } else { 0 };
        tail = now;
        if quiet < QUIET_LOOKS {
            std::thread::sleep(LOOK_EVERY);
            continue;
        }
        // Short enough that whoever stops the flow hardly waits.
        let slice = until.saturating_duration_since(Instant::now()).min(Duration::from_millis(50));
        match news.next_timeout(slice) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Closed => return false,
            Err(_) => return true,
        }
    }
}
