//! Appends: synced by one and by many, in flight, and written in batches.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use annals::{Append, AppendError, Durability, Store};

use super::report::{Limit, Report, Row};
use super::sample::{Latencies, median};
use super::workload::Workload;
use super::{Effort, Scratch, WRITTEN, disk, remove, unless_interrupted};
use crate::cli::fail::{Done, Failure};
use crate::cli::open::close;

const THREADS: u64 = 8;
const IN_FLIGHT: usize = 1000;
/// Events that are made before the clock runs, at a time.
const AHEAD_EVENTS: usize = 20_000;
/// The same of what is kept in flight: more of them, as every pause lets the flight run dry.
const IN_FLIGHT_EVENTS: usize = 100_000;

pub(super) fn open(path: &Path, durability: Durability) -> Done<Store> {
    Store::options().durability(durability).open(path).map_err(|error| Failure::of_store(&error, path))
}

pub(super) fn refused(error: AppendError, path: &Path) -> Failure {
    Failure::of_append(error, path)
}

/// What several runs of appends came to.
#[derive(Default)]
struct Runs {
    rates: Vec<f64>,
    latencies: Latencies,
}

impl Runs {
    fn add(&mut self, events: u64, took: Duration, latencies: Latencies) {
        self.rates.push(events as f64 / took.as_secs_f64().max(1e-9));
        self.latencies.extend(latencies);
    }

    fn row(mut self, name: &'static str) -> Row {
        Row {
            p50: self.latencies.percentile(50),
            p99: self.latencies.percentile(99),
            runs: self.rates.clone(),
            ..Row::new("append", name, "events/s", median(self.rates))
        }
    }
}

/// One event at a time, each durable before the next, in turn with the bare write and sync of as many bytes.
pub(super) fn synced(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let (mut store_runs, mut bare_runs) = (Runs::default(), Runs::default());
    for run in 0..effort.runs {
        unless_interrupted()?;
        let path = scratch.fresh("synced");
        let store = open(&path, Durability::Synced)?;
        let mut workload = Workload::new(run as u64);
        let mut latencies = Latencies::default();
        let mut spent = Duration::ZERO;
        while spent < effort.run {
            let event = workload.event();
            let began = Instant::now();
            latencies.time(|| store.append([event])).map_err(|error| refused(error, &path))?;
            spent += began.elapsed();
        }
        let appends = latencies.count();
        let piece_bytes = (store.stats().log_bytes / appends.max(1)) as usize;
        report.stored_bytes = store.stats().log_bytes as f64 / appends.max(1) as f64;
        store_runs.add(appends, spent, latencies);
        close(&store, &path)?;
        drop(store);
        remove(&path);

        let bare = scratch.fresh("bare");
        let (writes, took, latencies) = disk::synced(&bare, piece_bytes, effort.run)?;
        bare_runs.add(writes, took, latencies);
        remove(&bare);
    }
    let bare = bare_runs.row("bare write and sync");
    let limit = Limit { name: "bare write and sync", value: bare.value };
    report.add(Row { limit: Some(limit), ..store_runs.row("synced, 1 thread") });
    report.add(bare);
    Ok(())
}

/// Eight threads, each waiting for its own event: what group commit gains.
pub(super) fn threads(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let mut runs = Runs::default();
    for _ in 0..effort.runs {
        unless_interrupted()?;
        let path = scratch.fresh("threads");
        let store = open(&path, Durability::Synced)?;
        let began = Instant::now();
        let worker = |seed: u64| {
            let mut workload = Workload::new(seed);
            let mut latencies = Latencies::default();
            while began.elapsed() < effort.run {
                let event = workload.event();
                latencies.time(|| store.append([event]))?;
            }
            Ok::<_, AppendError>(latencies)
        };
        let mut all = Latencies::default();
        std::thread::scope(|scope| {
            let handles: Vec<_> = (0..THREADS).map(|seed| scope.spawn(move || worker(seed))).collect();
            for handle in handles {
                match handle.join() {
                    Ok(latencies) => all.extend(latencies.map_err(|error| refused(error, &path))?),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Done::Ok(())
        })?;
        runs.add(all.count(), began.elapsed(), all);
        close(&store, &path)?;
        drop(store);
        remove(&path);
    }
    report.add(runs.row("synced, 8 threads"));
    Ok(())
}

/// One thread that does not wait for each event, but keeps a thousand in flight.
pub(super) fn tickets(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let mut runs = Runs::default();
    for run in 0..effort.runs {
        unless_interrupted()?;
        let path = scratch.fresh("tickets");
        let store = open(&path, Durability::Synced)?;
        let mut workload = Workload::new(run as u64);
        let mut waiting = VecDeque::with_capacity(IN_FLIGHT);
        let mut done = 0;
        let mut took = Duration::ZERO;
        while took < effort.run && done < effort.run_events_max {
            let ahead = workload.batch(IN_FLIGHT_EVENTS);
            done += ahead.len() as u64;
            let began = Instant::now();
            for event in ahead {
                waiting.push_back(store.submit(Append::new([event])));
                if waiting.len() == IN_FLIGHT
                    && let Some(oldest) = waiting.pop_front()
                {
                    oldest.wait().map_err(|error| refused(error, &path))?;
                }
            }
            // Nothing may be under way while events are made and the clock stands still.
            for ticket in waiting.drain(..) {
                ticket.wait().map_err(|error| refused(error, &path))?;
            }
            took += began.elapsed();
        }
        runs.add(done, took, Latencies::default());
        close(&store, &path)?;
        drop(store);
        remove(&path);
    }
    report.add(runs.row("synced, 1,000 tickets in flight"));
    Ok(())
}

/// Batches that survive the process at once and the power a moment later, in turn with the bare loop.
pub(super) fn written(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    for (batch, name) in
        [(1, "written, batches of 1"), (100, "written, batches of 100"), (1000, "written, batches of 1,000")]
    {
        let (mut store_runs, mut bare_runs) = (Runs::default(), Runs::default());
        for run in 0..effort.runs {
            unless_interrupted()?;
            let path = scratch.fresh("written");
            let store = open(&path, WRITTEN)?;
            let (events, took) =
                write_batches(&store, batch, run as u64, effort).map_err(|error| refused(error, &path))?;
            let batch_bytes = (store.stats().log_bytes * batch as u64 / events.max(1)) as usize;
            store_runs.add(events, took, Latencies::default());
            close(&store, &path)?;
            drop(store);
            remove(&path);

            let bare = scratch.fresh("bare");
            let limit = (effort.run / 2, effort.run_events_max);
            let (events, took) = disk::framed(&bare, batch, batch_bytes, limit, None)?;
            bare_runs.add(events, took, Latencies::default());
            remove(&bare);
        }
        let limit = Limit { name: "bare copy, checksum and write", value: median(bare_runs.rates) };
        report.add(Row { limit: Some(limit), ..store_runs.row(name) });
    }
    Ok(())
}

/// Appends batches for a while; the clock stands still while their events are made.
fn write_batches(store: &Store, batch: usize, seed: u64, effort: Effort) -> Result<(u64, Duration), AppendError> {
    let mut workload = Workload::new(seed);
    let mut events = 0;
    let mut took = Duration::ZERO;
    while took < effort.run && events < effort.run_events_max {
        let ahead: Vec<_> = (0..AHEAD_EVENTS.div_ceil(batch)).map(|_| workload.batch(batch)).collect();
        events += (ahead.len() * batch) as u64;
        let began = Instant::now();
        for batch in ahead {
            store.append(batch)?;
        }
        took += began.elapsed();
    }
    Ok((events, took))
}
