//! Whole stores on the simulated disk, in random orders of the steps of their threads.
//!
//! Everything is the real code, but for what models/src/sync.rs replaces. Half of the schedules choose each step at
//! random, half give threads priorities that change at a few random moments (PCT), which finds what needs a long run of
//! one thread. Both draw from `MODELS_SEED` (1), so a run can be repeated.

mod close;
mod commit;
mod journal;
mod processes;
mod segments;
mod tail;

use std::path::Path;
use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use super::{Model, count};
use crate::sim::{Call, FailPlan, Fault, ManualClock, SimStorage};
use crate::sync::chosen::{Timeouts, is_sync_lost, set_timeouts};
use crate::{NewEvent, Options, Query, Store};

/// Moments at which the priorities of a PCT schedule change.
const PCT_DEPTH: usize = 4;
/// Stack of a thread, in bytes.
const STACK_BYTES: usize = 1 << 20;
/// Steps of a schedule that is taken for endless.
const STEPS_MAX: usize = 2_000_000;

pub(super) fn all() -> Vec<Model> {
    let mut all = commit::models();
    all.extend(close::models());
    all.extend(tail::models());
    all.extend(segments::models());
    all.extend(processes::models());
    all.extend(journal::models());
    all
}

/// Runs a model under so many schedules.
fn check(schedules: u64, timeouts: Timeouts, model: fn()) {
    set_timeouts(timeouts);
    let seed = std::env::var("MODELS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let config = || {
        let mut config = Config::new();
        config.stack_size = STACK_BYTES;
        config.failure_persistence = FailurePersistence::None;
        config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
        config.silence_warnings = true;
        config
    };
    let counted = move || {
        count();
        model();
    };
    let half = (schedules / 2) as usize;
    Runner::new(RandomScheduler::new_from_seed(seed, schedules as usize - half), config()).run(counted);
    Runner::new(PctScheduler::new_from_seed(seed, PCT_DEPTH, half), config()).run(counted);
}

fn disk() -> Arc<SimStorage> {
    let disk = SimStorage::new();
    if is_sync_lost() {
        disk.fail(FailPlan::every(Call::SyncData, Fault::LostSync));
    }
    disk
}

/// The smallest segments, no threads but those of the model, a clock that stands still.
fn options() -> Options {
    Store::options().background(false).segment_bytes(64 << 10).clock(Arc::new(ManualClock::new(1)))
}

fn open(disk: &Arc<SimStorage>, options: Options) -> Store {
    options.open_on(Arc::clone(disk) as Arc<_>, Path::new("simulated")).unwrap()
}

fn event(subject: &str, data: &str) -> NewEvent {
    NewEvent::bytes("note.created", subject, "text/plain", data.as_bytes())
}

/// Position and data of every event up to the tail, which must stand without a gap.
fn events(store: &Store) -> Vec<String> {
    let reader = store.reader();
    let mut found = Vec::new();
    reader
        .scan(&Query::all(), |event| {
            found.push(String::from_utf8(event.data().to_vec()).unwrap());
            assert_eq!(event.position().get(), found.len() as u64, "a position is missing or comes twice");
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(reader.tail().get(), found.len() as u64, "the tail is not what can be read");
    found
}

fn name_of(thread: usize, number: usize) -> String {
    format!("t{thread}-{number}")
}
