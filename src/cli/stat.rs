//! `annals stat`: the store in numbers.

use std::path::Path;

use annals::{Form, Position, SegmentInfo, Store, Timestamp};
use serde::Serialize;

use super::args::StoreArg;
use super::fail::Done;
use super::grid::pairs;
use super::out::{Format, Out};
use super::{open, text};

/// Show the store in numbers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
}

#[derive(Serialize)]
struct Answer {
    store: String,
    log: String,
    epoch: u64,
    events: u64,
    tail: Position,
    durable: Position,
    first_recorded: Option<Timestamp>,
    last_recorded: Option<Timestamp>,
    segments: u64,
    log_bytes: u64,
    file_bytes: u64,
    bytes_per_event: Option<f64>,
    index_file_bytes: u64,
    index_memory_bytes: u64,
    index_memory_events: u64,
    segments_by_form: Forms<u64>,
    stored_bytes: Forms<u64>,
    raw_bytes: Forms<u64>,
    snapshots: u64,
    snapshot_bytes: u64,
    snapshots_written: u64,
    snapshots_ignored: u64,
    snapshots_ignored_why: Option<String>,
    appends: u64,
    groups: u64,
    slowest_append_seconds: f64,
    poisoned: Option<String>,
    sealing_failed: Option<String>,
    damaged_places: usize,
}

/// A number for each form of a segment; those that are rolled wait for sealing.
#[derive(Default, Serialize)]
struct Forms<T> {
    active: T,
    rolled: T,
    sealed: T,
    archived: T,
}

impl Forms<u64> {
    fn sum(segments: &[SegmentInfo], of: impl Fn(&SegmentInfo) -> u64) -> Forms<u64> {
        let mut sums = Forms::default();
        for segment in segments {
            match segment.form {
                Form::Active => sums.active += of(segment),
                Form::Rolled => sums.rolled += of(segment),
                Form::Sealed => sums.sealed += of(segment),
                Form::Archived => sums.archived += of(segment),
                _ => {}
            }
        }
        sums
    }
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let store = open::reading(&path)?;
    match format {
        Format::Prometheus => out.bytes(store.metrics().as_bytes()),
        Format::Table => table(&answer(&store, &path), out),
        _ => out.json(&answer(&store, &path), format),
    }
}

fn answer(store: &Store, path: &Path) -> Answer {
    let stats = store.stats();
    let segments = store.segments();
    let events = stats.tail.get();
    Answer {
        store: path.display().to_string(),
        log: stats.log.to_string(),
        epoch: stats.epoch,
        events,
        tail: stats.tail,
        durable: stats.durable,
        first_recorded: stats.recorded.map(|(first, _)| first),
        last_recorded: stats.recorded.map(|(_, last)| last),
        segments: stats.segments,
        log_bytes: stats.log_bytes,
        file_bytes: stats.file_bytes,
        bytes_per_event: (events > 0).then(|| stats.log_bytes as f64 / events as f64),
        index_file_bytes: segments.iter().map(|segment| segment.index_bytes).sum(),
        index_memory_bytes: stats.index_memory_bytes,
        index_memory_events: stats.index_memory_events,
        segments_by_form: Forms::sum(&segments, |_| 1),
        stored_bytes: Forms::sum(&segments, |segment| segment.used_bytes),
        raw_bytes: Forms::sum(&segments, |segment| segment.raw_bytes),
        snapshots: stats.snapshots,
        snapshot_bytes: stats.snapshot_bytes,
        snapshots_written: stats.snapshots_written,
        snapshots_ignored: stats.snapshots_ignored,
        snapshots_ignored_why: stats.snapshots_ignored_why,
        appends: stats.appends,
        groups: stats.groups,
        slowest_append_seconds: stats.slowest_append.as_secs_f64(),
        poisoned: stats.poisoned,
        sealing_failed: stats.sealing_failed,
        damaged_places: store.damage().len(),
    }
}

fn table(answer: &Answer, out: &mut Out) -> Done {
    out.line(out.paint.bold(&text::clean(&answer.store)))?;
    let durable = if answer.durable == answer.tail {
        "all of them".to_owned()
    } else {
        format!("up to position {}", text::count(answer.durable.get()))
    };
    let mut lines = vec![("events", text::count(answer.events)), ("durable", durable)];
    if let (Some(first), Some(last)) = (answer.first_recorded, answer.last_recorded) {
        lines.push(("recorded", format!("{} to {} UTC", text::when(first), text::when(last))));
    }
    let per_event = answer.bytes_per_event.map(|bytes| format!(", {bytes:.0} bytes an event")).unwrap_or_default();
    lines.push((
        "log",
        format!("{} in {}{per_event}", text::bytes(answer.log_bytes), text::counted(answer.segments, "segment")),
    ));
    lines.push(("files", text::bytes(answer.file_bytes)));
    lines.push(("index", index(answer)));
    if answer.snapshots > 0 || answer.snapshots_ignored > 0 {
        let stored = text::counted(answer.snapshots, "stored state");
        let ignored = answer.snapshots_ignored_why.as_ref().map(|why| format!("; ignored: {why}")).unwrap_or_default();
        lines.push(("snapshots", format!("{stored} in {}{ignored}", text::bytes(answer.snapshot_bytes))));
    }
    lines.push(("log id", format!("{}, epoch {}", answer.log, answer.epoch)));
    pairs(out, lines)?;
    if answer.damaged_places > 0 {
        let places = text::counted(answer.damaged_places as u64, "damaged place");
        out.line(out.paint.red(&format!("{places}: `annals verify` says where")))?;
    }
    Ok(())
}

/// What is indexed in files, and what this very process holds in memory.
fn index(answer: &Answer) -> String {
    let files = text::bytes(answer.index_file_bytes);
    match answer.index_memory_events {
        0 => format!("{files} of files"),
        events => {
            let memory = text::bytes(answer.index_memory_bytes);
            format!("{files} of files, {memory} of memory for {}", text::counted(events, "event"))
        }
    }
}
