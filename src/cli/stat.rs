//! `annals stat`: the store in numbers.

use annals::{Position, Timestamp};
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
    damaged_places: usize,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let store = open::reading(&path)?;
    let stats = store.stats();
    let events = stats.tail.get();
    let answer = Answer {
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
        index_file_bytes: store.segments().iter().map(|segment| segment.index_bytes).sum(),
        index_memory_bytes: stats.index_memory_bytes,
        index_memory_events: stats.index_memory_events,
        damaged_places: store.damage().len(),
    };
    match format {
        Format::Table => table(&answer, out),
        _ => out.json(&answer, format),
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
