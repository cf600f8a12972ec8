//! Workers: how many events a second go through one, with and without a step whose result is kept.

use std::time::{Duration, Instant};

use annals::{BoxError, Durability, Position, Store};

use super::append::{open, refused};
use super::report::{Report, Row};
use super::sample::median;
use super::workload::Workload;
use super::{Effort, Scratch, WRITTEN, remove, unless_interrupted};
use crate::cli::fail::{Done, Failure};
use crate::cli::open::close;

const BATCH: u64 = 100;
/// Each step waits for the disk, so fewer of them do.
const STEPS_PART: u64 = 100;
const STEPS_MIN: u64 = 200;
/// Longer than any of this takes.
const WAIT_MAX: Duration = Duration::from_secs(600);

pub(super) fn all(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let without = effort.events / 4;
    let with = (effort.events / STEPS_PART).max(STEPS_MIN);
    let written = [
        ("a worker without steps, written", false, 1, without),
        ("a worker with one kept step, written", true, 1, with),
        ("a worker with one kept step, eight threads, written", true, 8, with),
    ];
    let synced = [
        ("a worker without steps, synced", false, 1, without),
        ("a worker with one kept step, synced", true, 1, with),
        ("a worker with one kept step, eight threads, synced", true, 8, with),
    ];
    for (durability, rows) in [(WRITTEN, written), (Durability::Synced, synced)] {
        for (name, steps, threads, events) in rows {
            let path = scratch.fresh("workers");
            let store = open(&path, durability)?;
            let mut workload = Workload::new(9);
            for _ in 0..events.div_ceil(BATCH) {
                let batch = (0..BATCH).map(|_| workload.event());
                store.append(batch.collect::<Vec<_>>()).map_err(|error| refused(error, &path))?;
            }
            let of_store = |error: annals::Error| Failure::of_store(&error, &path);
            store.sync().map_err(of_store)?;
            let last = store.reader().durable();
            let mut rates = Vec::new();
            for run in 0..effort.runs {
                unless_interrupted()?;
                rates.push(
                    last.get() as f64
                        / through(&store, &format!("bench-{run}"), steps, threads, last).map_err(of_store)?,
                );
            }
            report.add(Row { runs: rates.clone(), ..Row::new("read", name, "events/s", median(rates)) });
            close(&store, &path)?;
            remove(&path);
        }
    }
    Ok(())
}

/// Seconds until a new worker has dealt with everything.
fn through(store: &Store, name: &str, steps: bool, threads: usize, last: Position) -> annals::Result<f64> {
    let began = Instant::now();
    let worker = store.worker(name).concurrency(threads).run(move |event, step| {
        if steps {
            step.run("keep", || Ok::<_, BoxError>(event.position()))?;
        }
        Ok(())
    })?;
    worker.wait_for(last, WAIT_MAX)?;
    Ok(began.elapsed().as_secs_f64().max(1e-9))
}
