//! A long run of appends without pauses, made by another process of this same program, which is then killed: what it
//! measured itself, and a log to be opened as a killed writer leaves it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use annals::{Durability, Store};
use serde::{Deserialize, Serialize};

use super::append::{open, refused};
use super::sample::Latencies;
use super::workload::Workload;
use super::{WRITTEN, unless_interrupted};
use crate::cli::fail::{Code, Done, Failure};
use crate::cli::out::{Format, Out};

/// The verb of the other process.
const VERB: &str = "bench-writer";
pub(super) const BATCH: u64 = 100;
/// Events that are made before the clock runs. The appends take copies of them in turn, so that next to nothing gives
/// the store's threads time to catch up.
const POOL_EVENTS: u64 = 100_000;
/// Batches between two looks at the index.
pub(super) const LOOK_EVERY: u64 = 100;
/// Indexes of fewer events say little about what one takes.
const INDEX_EVENTS_MIN: u64 = 10_000;

/// Append a number of events, tell how that went, and wait to be killed (a part of `annals bench`)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The store's directory
    store: PathBuf,
    /// How many
    #[arg(long)]
    events: u64,
    /// Durable before they are acknowledged
    #[arg(long)]
    synced: bool,
}

/// What the run came to; times in nanoseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) slowest: u64,
    /// Changes of segment.
    pub(super) rolls: u64,
    /// Bytes of a batch in the log.
    pub(super) batch_bytes: usize,
    /// Bytes of the index in memory for each event in it, at times all over the run.
    pub(super) index_bytes: Vec<f64>,
}

/// What the other process does.
pub(crate) fn append_and_wait(args: &Args, out: &mut Out) -> Done {
    let store = open(&args.store, if args.synced { Durability::Synced } else { WRITTEN })?;
    let told = append_all(&store, args)?;
    out.json(&told, Format::Jsonl)?;
    out.flush()?;
    // Nobody ever writes to it: it ends when who started this process is gone.
    let _ = std::io::stdin().read(&mut [0]);
    Ok(())
}

fn append_all(store: &Store, args: &Args) -> Done<Told> {
    let pool = Workload::new(0).batch(POOL_EVENTS.min(args.events) as usize);
    let mut latencies = Latencies::default();
    let mut index_bytes = Vec::new();
    let mut left = args.events;
    for batch in pool.chunks(BATCH as usize).cycle() {
        if left == 0 {
            break;
        }
        let batch = batch.to_vec();
        left = left.saturating_sub(batch.len() as u64);
        latencies.time(|| store.append(batch)).map_err(|error| refused(error, &args.store))?;
        if latencies.count().is_multiple_of(LOOK_EVERY) {
            let stats = store.stats();
            if stats.index_memory_events >= INDEX_EVENTS_MIN {
                index_bytes.push(stats.index_memory_bytes as f64 / stats.index_memory_events as f64);
            }
        }
    }
    let stats = store.stats();
    let nanos = |time: Duration| time.as_nanos() as u64;
    Ok(Told {
        p50: latencies.percentile(50).map_or(0, nanos),
        p99: latencies.percentile(99).map_or(0, nanos),
        slowest: nanos(stats.slowest_append),
        rolls: stats.segments.saturating_sub(1),
        batch_bytes: (stats.log_bytes / latencies.count().max(1)) as usize,
        index_bytes,
    })
}

/// The other process, which does not outlive our interest in it.
struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        // Both fail only for a child that has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the other process on a new log, does something while it has the log open, and kills it.
pub(super) fn run_and_kill(
    path: &Path,
    durability: Durability,
    events: u64,
    while_open: impl FnOnce() -> Done,
) -> Done<Told> {
    let failed = |error: &std::io::Error| Failure::io("run a second annals", error);
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let mut command = Command::new(program);
    command.arg(VERB).arg(path).arg("--events").arg(events.to_string());
    if durability == Durability::Synced {
        command.arg("--synced");
    }
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|error| failed(&error))?;
    let mut writer = Writer(child);
    let mut line = String::new();
    if let Some(told) = writer.0.stdout.take() {
        BufReader::new(told).read_line(&mut line).map_err(|error| failed(&error))?;
    }
    unless_interrupted()?;
    let told = serde_json::from_str(&line).map_err(|error| {
        Failure::new(Code::Failure, format!("a second annals did not tell how its appends went: {error}"))
    })?;
    while_open()?;
    drop(writer);
    Ok(told)
}
