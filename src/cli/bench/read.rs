//! Reads of a store of a million events, written in batches of a thousand and closed in order.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use annals::{Durability, Position, Query, Reader, Store, Timestamp};

use super::report::{Report, Row};
use super::sample::{Latencies, median};
use super::workload::{SUBJECTS, Workload, some_type, subject};
use super::{Effort, Scratch, remove, unless_interrupted};
use crate::cli::fail::{Done, Failure};
use crate::cli::open::{SYNC_EVERY, close, reading};
use crate::cli::text;

const BATCH: usize = 1000;
/// Lookups of which a latency is made up.
const LOOKUPS: u64 = 1000;
/// Part of the log that a window of time covers.
const WINDOW: u64 = 100;

pub(super) fn all(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let path = scratch.fresh("read");
    fill(&path, effort)?;
    opening(&path, effort, report)?;
    let store = reading(&path)?;
    let reader = store.reader();
    let failed = |error: annals::Error| Failure::of_store(&error, &path);
    report.read_events = reader.tail().get();
    scan(&reader, &Query::all(), "checked replay of all", effort, report).map_err(failed)?;
    lookups(&reader, report).map_err(failed)?;
    unless_interrupted()?;
    scan(&reader, &Query::all().types([some_type()]), "one type of 54", effort, report).map_err(failed)?;
    let (since, until) = window(&reader).map_err(failed)?;
    scan(&reader, &Query::all().since(since).until(until), "a window of time, 1 % of the log", effort, report)
        .map_err(failed)?;
    drop(store);
    remove(&path);
    Ok(())
}

fn fill(path: &Path, effort: Effort) -> Done {
    let store = Store::options()
        .durability(Durability::Written { sync_every: SYNC_EVERY })
        .open(path)
        .map_err(|error| Failure::of_store(&error, path))?;
    let mut workload = Workload::new(0);
    for _ in 0..effort.read_events.div_ceil(BATCH as u64) {
        unless_interrupted()?;
        store.append(workload.batch(BATCH)).map_err(|error| Failure::of_append(error, path))?;
    }
    close(&store, path)
}

fn opening(path: &Path, effort: Effort, report: &mut Report) -> Done {
    for (name, read_only) in [("opening for reading", true), ("opening for writing, after a close in order", false)] {
        let mut latencies = Latencies::default();
        for _ in 0..effort.runs {
            unless_interrupted()?;
            let options =
                Store::options().durability(Durability::Written { sync_every: SYNC_EVERY }).read_only(read_only);
            let store = latencies.time(|| options.open(path)).map_err(|error| Failure::of_store(&error, path))?;
            close(&store, path)?;
        }
        report.add(Row::time("read", name, &mut latencies));
    }
    Ok(())
}

/// One event by its position, and the events of one subject, for subjects all over the log.
fn lookups(reader: &Reader, report: &mut Report) -> annals::Result<()> {
    let tail = reader.tail().get();
    let (mut by_position, mut by_subject) = (Latencies::default(), Latencies::default());
    let mut found = 0;
    for lookup in 0..LOOKUPS {
        // Steps that share no factor with the number of subjects visit them all in no order.
        let number = lookup * 7919 % SUBJECTS;
        let position = Position::new(lookup * 104_729 % tail.max(1) + 1);
        by_position.time(|| reader.event(position))?;
        let query = Query::all().subject(subject(number));
        by_subject.time(|| {
            reader.scan(&query, |event| {
                found += u64::from(event.version() > 0);
                ControlFlow::Continue(())
            })
        })?;
    }
    report.add(Row::time("read", "one event by its position", &mut by_position));
    let note = format!("{} each on average", text::counted(found / LOOKUPS, "event"));
    report.add(Row { note: Some(note), ..Row::time("read", "one subject of 10,000", &mut by_subject) });
    Ok(())
}

/// Reads a query several times: events that it gives in a second, and how long it takes.
fn scan(reader: &Reader, query: &Query, name: &'static str, effort: Effort, report: &mut Report) -> annals::Result<()> {
    let (mut rates, mut times) = (Vec::new(), Latencies::default());
    let mut events = 0;
    for _ in 0..effort.runs {
        let mut data_bytes = 0;
        events = 0;
        let began = Instant::now();
        times.time(|| {
            reader.scan(query, |event| {
                events += 1;
                data_bytes += event.data().len();
                ControlFlow::Continue(())
            })
        })?;
        // The sum is what keeps the reading of the data from being optimised away.
        std::hint::black_box(data_bytes);
        rates.push(events as f64 / began.elapsed().max(Duration::from_nanos(1)).as_secs_f64());
    }
    report.add(Row {
        p50: times.percentile(50),
        runs: rates.clone(),
        note: Some(text::counted(events, "event")),
        ..Row::new("read", name, "events/s", median(rates))
    });
    Ok(())
}

/// When the events in the middle of the log were recorded.
fn window(reader: &Reader) -> annals::Result<(Timestamp, Timestamp)> {
    let tail = reader.tail().get();
    let time = |position: u64| -> annals::Result<Timestamp> {
        Ok(reader.event(Position::new(position.max(1)))?.map_or(Timestamp::MAX, |event| event.recorded_at()))
    };
    Ok((time(tail / 2)?, time(tail / 2 + tail / WINDOW)?))
}
