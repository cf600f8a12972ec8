//! `annals bench`: what this machine gets, in the same run beside what its disk could give at best.
//!
//! Every figure is the median of several runs. Events are made outside the clock. The synced figures come first, while
//! the disk is quiet; each store is removed before the next one is written.

mod append;
mod condition;
mod disk;
mod fanout;
mod flow;
mod image;
mod memory;
mod opening;
mod population;
mod read;
mod report;
mod sample;
mod sealed;
mod slowest;
mod state;
mod workers;
mod workload;
mod writer;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use annals::Durability;

use super::fail::{Code, Done, Failure};
use super::open::SYNC_EVERY;
use super::out::{Format, Out};
use super::{interrupt, progress};
use report::Report;

pub(crate) use memory::{Args as ReaderArgs, open_and_tell};
pub(crate) use writer::{Args as WriterArgs, append_and_wait};

/// Measure this machine: in some three minutes, or with --quick in half a minute
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to measure; a directory is made in it and removed at the end. By default the working directory
    #[arg(long, value_name = "D", value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
    /// The same cases with a tenth of the time and of the events
    #[arg(long)]
    quick: bool,
    /// Only the steps whose name has this in it, such as "requests"
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Events of the logs that are read, opened and searched for their slowest append. By default a million
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(EVENTS_MIN..=EVENTS_MAX))]
    events: Option<u64>,
    /// Sealed segments of the log that lookups are measured over, beside one of a hundred. By default a thousand
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(SEGMENTS_MIN..=SEGMENTS_MAX))]
    segments: Option<u64>,
}

/// Bounds of what can be asked for: enough for ten events of a subject to lie apart, and what a disk holds.
const EVENTS_MIN: u64 = 1000;
const EVENTS_MAX: u64 = 100_000_000;
/// Enough for a run of lookup tiers, and what is made in half an hour.
const SEGMENTS_MIN: u64 = 100;
const SEGMENTS_MAX: u64 = 100_000;

/// How everything is written that need not survive the power at once.
const WRITTEN: Durability = Durability::Written { sync_every: SYNC_EVERY };

/// How long and how often to measure.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Time of one run of appends.
    run: Duration,
    /// Runs of each figure; the median of them is shown.
    runs: usize,
    /// Events of one run of appends at most, so that a fast disk does not fill up.
    run_events_max: u64,
    /// Events of the stores that are read and opened.
    events: u64,
    /// Sealed segments of the log over which lookups are measured.
    segments: u64,
}

impl Effort {
    fn of(args: &Args) -> Effort {
        let full = Effort {
            run: Duration::from_secs(1),
            runs: 3,
            run_events_max: 1_500_000,
            events: 1_000_000,
            segments: 1000,
        };
        let effort = if args.quick {
            Effort { run: full.run / 10, events: full.events / 10, segments: 100, ..full }
        } else {
            full
        };
        let segments = args.segments.unwrap_or(effort.segments);
        Effort { events: args.events.unwrap_or(effort.events), segments, ..effort }
    }
}

/// A directory of our own that goes when we go.
struct Scratch(PathBuf);

impl Scratch {
    fn make(parent: &Path) -> Done<Scratch> {
        let path = parent.join(format!("annals-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .map_err(|error| Failure::io(format_args!("make the directory {}", path.display()), &error))?;
        Ok(Scratch(path))
    }

    /// A path in it where nothing is.
    fn fresh(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        remove(&path);
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes a file or directory; what cannot be removed stays, and is said to lie there by its name.
fn remove(path: &Path) {
    let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    interrupt::listen();
    let parent = args.dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let scratch = Scratch::make(&parent)?;
    let effort = Effort::of(args);
    let began = Instant::now();
    let bar = progress::endless("measuring");
    let mut report = Report::new(&parent);
    let steps: [(&str, Step); 14] = [
        ("synced appends and the bare sync", append::synced),
        ("appends of many threads", append::threads),
        ("tickets in flight", append::tickets),
        ("written appends and the bare loop", append::written),
        ("the slowest of many synced appends", slowest::synced),
        ("the slowest of many written appends", slowest::written),
        ("reads", read::all),
        ("subscribers and projections", fanout::all),
        ("workers", workers::all),
        ("states", state::all),
        ("requests and answers", flow::all),
        ("sealed segments", sealed::large),
        ("lookups over many sealed segments", sealed::many),
        ("appends beside sealing", sealed::beside_sealing),
    ];
    let wanted = args.only.as_deref().unwrap_or_default();
    if !steps.iter().any(|(name, _)| name.contains(wanted)) {
        let names: Vec<&str> = steps.iter().map(|(name, _)| *name).collect();
        return Err(Failure::usage(format!("no step is called {wanted:?}, --only")).hinting(names.join("; ")));
    }
    for (name, step) in steps.into_iter().filter(|(name, _)| name.contains(wanted)) {
        bar.set_message(name);
        step(&scratch, effort, &mut report)?;
    }
    bar.finish_and_clear();
    report.seconds = began.elapsed().as_secs_f64();
    report.print(format, out)
}

/// One part of the measurement.
type Step = fn(&Scratch, Effort, &mut Report) -> Done;

/// Ctrl-C ends a measurement between two runs; nothing of it is worth keeping.
fn unless_interrupted() -> Done {
    if interrupt::asked() { Err(Failure::Quiet(Code::Interrupted)) } else { Ok(()) }
}
