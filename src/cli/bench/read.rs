//! Reads of a log that was written in batches of a thousand and closed in order.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use annals::{NewEvent, Position, Query, Reader, Store, Timestamp};

use super::append::open;
use super::population::{EVENTS_EACH, Population, Sort};
use super::report::{Report, Row};
use super::sample::{Latencies, median};
use super::workload::{SUBJECTS, some_type, subject};
use super::{Effort, Scratch, WRITTEN, condition, memory, opening, remove, unless_interrupted};
use crate::cli::fail::{Done, Failure};
use crate::cli::open::{close, reading};
use crate::cli::text;

const BATCH: u64 = 1000;
/// Lookups of which a latency is made up.
const LOOKUPS: u64 = 1000;
/// Part of the log that a window of time covers.
const WINDOW: u64 = 100;
/// These take less, in seconds.
const TEN_EVENTS_AIM: f64 = 5e-6;
const NEVER_SEEN_AIM: f64 = 2e-6;

pub(super) fn all(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let path = scratch.fresh("read");
    let mut population = Population::new(effort.events);
    let store = open(&path, WRITTEN)?;
    fill(&store, &path, &mut population, effort, &|_, event| event)?;
    close(&store, &path)?;
    drop(store);
    opening::closed(&path, WRITTEN, effort, report)?;
    let store = reading(&path)?;
    let reader = store.reader();
    let failed = |error: annals::Error| Failure::of_store(&error, &path);
    report.events = reader.tail().get();
    report.add(scan(&reader, &Query::all(), "checked replay of all", effort).map_err(failed)?);
    lookups(&reader, report).map_err(failed)?;
    known_subjects(&reader, &population, report).map_err(failed)?;
    unless_interrupted()?;
    report.add(scan(&reader, &Query::all().types([some_type()]), "one type of 54", effort).map_err(failed)?);
    let (since, until) = window(&reader).map_err(failed)?;
    let one_percent = Query::all().since(since).until(until);
    report.add(scan(&reader, &one_percent, "a window of time, 1 % of the log", effort).map_err(failed)?);
    drop(store);
    memory::of_a_reader(&path, "memory of a reader, after a close", report)?;
    condition::all(&path, population.subjects(), effort, report)?;
    remove(&path);
    Ok(())
}

/// Appends all events of a log, each as `change` leaves it, which is given its number too.
pub(super) fn fill(
    store: &Store,
    path: &Path,
    population: &mut Population,
    effort: Effort,
    change: &dyn Fn(u64, NewEvent) -> NewEvent,
) -> Done {
    let mut done = 0;
    while done < effort.events {
        unless_interrupted()?;
        let events = (effort.events - done).min(BATCH);
        let batch = population.batch(events as usize).into_iter().zip(done..);
        let batch = batch.map(|(event, number)| change(number, event));
        store.append(batch).map_err(|error| Failure::of_append(error, path))?;
        done += events;
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

/// Subjects with few events, and with none; the second time, when the pages of the index are mapped and checked.
fn known_subjects(reader: &Reader, population: &Population, report: &mut Report) -> annals::Result<()> {
    for (sort, name) in [
        (Sort::Near, "a subject's ten events, close together"),
        (Sort::Far, "a subject's ten events, spread over the log"),
    ] {
        let mut first = few_events(reader, population, sort)?;
        let mut again = few_events(reader, population, sort)?;
        let apart = match sort {
            Sort::Far => reader.tail().get() / EVENTS_EACH,
            _ => population.stride(),
        };
        let note = format!("{} positions apart; {} the first time", text::count(apart), middle(&mut first));
        report.add(Row::time("aims", name, &mut again).aiming(TEN_EVENTS_AIM).noting(note));
    }
    let never_seen = || -> annals::Result<Latencies> {
        let mut latencies = Latencies::default();
        for number in 0..LOOKUPS {
            let name = format!("never/{number:05}");
            let version = latencies.time(|| reader.version(&name))?;
            assert_eq!(version, 0, "the version of a subject without events");
        }
        Ok(latencies)
    };
    let (mut first, mut again) = (never_seen()?, never_seen()?);
    let note = format!("{} the first time", middle(&mut first));
    report.add(Row::time("aims", "version of a subject never seen", &mut again).aiming(NEVER_SEEN_AIM).noting(note));
    Ok(())
}

fn middle(latencies: &mut Latencies) -> String {
    text::span(latencies.percentile(50).unwrap_or_default())
}

/// Scans for the events of each subject of a sort.
fn few_events(reader: &Reader, population: &Population, sort: Sort) -> annals::Result<Latencies> {
    let mut latencies = Latencies::default();
    let mut found = 0;
    for number in 0..population.subjects() {
        let query = Query::all().subject(sort.subject(number));
        latencies.time(|| {
            reader.scan(&query, |event| {
                found += u64::from(event.version() > 0);
                ControlFlow::Continue(())
            })
        })?;
    }
    // A log that holds others than were appended is not worth measuring.
    assert_eq!(found, EVENTS_EACH * population.subjects(), "events of the subjects that were appended");
    Ok(latencies)
}

/// Reads a query several times: events that it gives in a second, and how long it takes.
pub(super) fn scan(reader: &Reader, query: &Query, name: &'static str, effort: Effort) -> annals::Result<Row> {
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
    Ok(Row {
        p50: times.percentile(50),
        runs: rates.clone(),
        note: Some(text::counted(events, "event")),
        ..Row::new("read", name, "events/s", median(rates))
    })
}

/// When the events in the middle of the log were recorded.
pub(super) fn window(reader: &Reader) -> annals::Result<(Timestamp, Timestamp)> {
    let tail = reader.tail().get();
    let time = |position: u64| -> annals::Result<Timestamp> {
        Ok(reader.event(Position::new(position.max(1)))?.map_or(Timestamp::MAX, |event| event.recorded_at()))
    };
    Ok((time(tail / 2)?, time(tail / 2 + tail / WINDOW)?))
}
