//! Sealed logs: how fast they are made, what reading them takes, and what lookups cost over many of them.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use annals::{Durability, NewEvent, Position, Query, Reader, Store};

use super::opening::OPENING_AIM;
use super::population::{EVENTS_EACH, Population, Sort};
use super::read::{fill, scan, window};
use super::report::{Limit, Report, Row};
use super::sample::{Latencies, median};
use super::workload::{Workload, some_type};
use super::{Effort, Scratch, WRITTEN, append, memory, remove, unless_interrupted};
use crate::cli::fail::{Done, Failure};
use crate::cli::open::close;
use crate::cli::text;

/// Lookups of which a latency is made up.
const LOOKUPS: u64 = 1000;
/// Bytes of data that zstd unpacks at a time, to be compared with.
const PAGE_BYTES: usize = 16 << 10;
/// These take less, in seconds; of a million events and for a lookup.
const TYPE_AIM: f64 = 60e-3;
const WINDOW_AIM: f64 = 10e-3;
const COLD_SUBJECT_AIM: f64 = 150e-6;
const COLD_POINT_AIM: f64 = 25e-6;
/// Events of 5,000 bytes that fill a segment of the smallest size.
const EVENTS_A_SEGMENT: u64 = 10;
/// Percent of synced appends that sealing may cost.
const LOST_AIM: f64 = 15.0;

/// A log in segments of the usual size.
pub(super) fn large(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let path = scratch.fresh("sealed");
    let failed = |error: annals::Error| Failure::of_store(&error, &path);
    let mut population = Population::new(effort.events);
    let store = Store::options().durability(WRITTEN).sealing(false).open(&path).map_err(failed)?;
    fill(&store, &path, &mut population, effort, &|number, event| match number % 10 {
        // Ids that follow no rule, so that they are looked up in the index.
        0 => event.id(hex(number)),
        _ => event,
    })?;
    let sealed = store.seal().map_err(failed)?;
    let rate = sealed.events as f64 / sealed.took.as_secs_f64().max(1e-9);
    let saved = 100.0 * (1.0 - sealed.stored_bytes as f64 / sealed.raw_bytes.max(1) as f64);
    let note = format!("{}, {saved:.1} % of the raw bytes saved", text::counted(sealed.segments, "segment"));
    report.add(Row { note: Some(note), ..Row::new("read", "sealing", "events/s", rate) });
    close(&store, &path)?;
    drop(store);

    // Nothing that was unpacked is kept, so each lookup does it anew.
    let store = Store::options().read_only(true).cache_bytes(0).open(&path).map_err(failed)?;
    cold(&store.reader(), &population, report).map_err(failed)?;
    drop(store);
    let store = crate::cli::open::reading(&path)?;
    let reader = store.reader();
    replay(&reader, effort, report).map_err(failed)?;
    metadata(&reader, effort, report).map_err(failed)?;
    let times = |query: &Query, name, aim: f64, report: &mut Report| -> annals::Result<()> {
        let mut latencies = Latencies::default();
        let mut events = 0;
        for _ in 0..effort.runs {
            events = 0;
            latencies.time(|| {
                reader.scan(query, |_| {
                    events += 1;
                    ControlFlow::Continue(())
                })
            })?;
        }
        report.add(Row::time("aims", name, &mut latencies).aiming(aim).noting(text::counted(events, "event")));
        Ok(())
    };
    let millions = (effort.events as f64 / 1e6).max(1e-3);
    times(&Query::all().types([some_type()]), "sealed: one type of 54", TYPE_AIM * millions, report).map_err(failed)?;
    let (since, until) = window(&reader).map_err(failed)?;
    let one_percent = Query::all().since(since).until(until);
    times(&one_percent, "sealed: a window of time, 1 % of the log", WINDOW_AIM * millions, report).map_err(failed)?;
    drop(store);
    opening(&path, "sealed: opening for reading", effort, report)?;
    memory::of_a_reader(&path, "sealed: memory of a reader", report)?;
    remove(&path);
    Ok(())
}

fn hex(number: u64) -> String {
    format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995)
}

/// The first look at a subject, a position and an id, with nothing unpacked.
fn cold(reader: &Reader, population: &Population, report: &mut Report) -> annals::Result<()> {
    let tail = reader.tail().get();
    let (mut subjects, mut positions, mut ids) = (Latencies::default(), Latencies::default(), Latencies::default());
    let mut found = 0;
    for number in 0..population.subjects() {
        let query = Query::all().subject(Sort::Near.subject(number));
        subjects.time(|| {
            reader.scan(&query, |_| {
                found += 1;
                ControlFlow::Continue(())
            })
        })?;
    }
    assert_eq!(found, EVENTS_EACH * population.subjects(), "events of the subjects that were appended");
    for lookup in 0..LOOKUPS {
        let place = lookup * 104_729 % tail.max(1);
        positions.time(|| reader.event(Position::new(place + 1)))?;
        let number = place / 10 * 10;
        let event = ids.time(|| reader.event_by_id(&hex(number)))?;
        assert_eq!(event.map(|event| event.position().get()), Some(number + 1), "the event of an id");
    }
    let rows = [
        ("sealed, cold: a subject's ten events, close together", &mut subjects, COLD_SUBJECT_AIM),
        ("sealed, cold: one event by its position", &mut positions, COLD_POINT_AIM),
        ("sealed, cold: one event by its id", &mut ids, COLD_POINT_AIM),
    ];
    for (name, latencies, aim) in rows {
        report.add(Row::time("aims", name, latencies).aiming(aim));
    }
    Ok(())
}

/// Replay, beside zstd unpacking the same data in pages.
fn replay(reader: &Reader, effort: Effort, report: &mut Report) -> annals::Result<()> {
    let (mut pages, mut page, mut events) = (Vec::new(), Vec::new(), 0u64);
    let mut raw_max = 0;
    let mut pack = |page: &mut Vec<u8>| {
        raw_max = raw_max.max(page.len());
        let packed = zstd::bulk::compress(page, 3).unwrap_or_default();
        page.clear();
        pages.push(packed);
    };
    reader.scan(&Query::all(), |event| {
        events += 1;
        page.extend_from_slice(event.data());
        if page.len() >= PAGE_BYTES {
            pack(&mut page);
        }
        ControlFlow::Continue(())
    })?;
    pack(&mut page);
    let mut rates = Vec::new();
    let mut raw = vec![0; raw_max];
    let Ok(mut unpacker) = zstd::bulk::Decompressor::new() else { return Ok(()) };
    for _ in 0..effort.runs {
        let began = Instant::now();
        for page in &pages {
            let len = unpacker.decompress_to_buffer(page, &mut raw).unwrap_or_default();
            std::hint::black_box(&raw[..len]);
        }
        rates.push(events as f64 / began.elapsed().as_secs_f64().max(1e-9));
    }
    let limit = Limit { name: "zstd alone, the same data", value: median(rates) };
    let row = scan(reader, &Query::all(), "sealed: checked replay of all", effort)?;
    report.add(Row { limit: Some(limit), ..row });
    Ok(())
}

fn metadata(reader: &Reader, effort: Effort, report: &mut Report) -> annals::Result<()> {
    let mut rates = Vec::new();
    for _ in 0..effort.runs {
        let (mut events, mut versions) = (0u64, 0u64);
        let began = Instant::now();
        reader.scan_metadata(&Query::all(), |event| {
            events += 1;
            versions = versions.wrapping_add(event.version());
            ControlFlow::Continue(())
        })?;
        std::hint::black_box(versions);
        rates.push(events as f64 / began.elapsed().as_secs_f64().max(1e-9));
    }
    report.add(Row { runs: rates.clone(), ..Row::new("read", "sealed: metadata only", "events/s", median(rates)) });
    Ok(())
}

fn opening(path: &Path, name: &'static str, effort: Effort, report: &mut Report) -> Done {
    let mut latencies = Latencies::default();
    for _ in 0..effort.runs {
        unless_interrupted()?;
        drop(latencies.time(|| crate::cli::open::reading(path))?);
    }
    report.add(Row::time("aims", name, &mut latencies).aiming(OPENING_AIM));
    Ok(())
}

/// Lookups over a hundred small segments, and over many more.
pub(super) fn many(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let path = scratch.fresh("many");
    for (segments, aim, names) in [
        (
            100,
            10e-6,
            [
                "version of a new subject, 100 sealed segments",
                "keyed append, 100 sealed segments",
                "opening for reading, 100 sealed segments",
            ],
        ),
        (
            effort.segments,
            20e-6,
            [
                "version of a new subject, many sealed segments",
                "keyed append, many sealed segments",
                "opening for reading, many sealed segments",
            ],
        ),
    ] {
        small_segments(&path, segments)?;
        let failed = |error: annals::Error| Failure::of_store(&error, &path);
        let store = append::open(&path, WRITTEN)?;
        let note = format!(
            "{}, {}",
            text::counted(store.segments().len() as u64 - 1, "sealed segment"),
            text::counted(store.stats().lookup_runs, "run")
        );
        let reader = store.reader();
        let (mut first, mut versions, mut appends) = (Latencies::default(), Latencies::default(), Latencies::default());
        for (latencies, round) in [(&mut first, 0), (&mut versions, 1)] {
            for number in 0..LOOKUPS {
                let name = format!("never/{round}-{number}");
                let version = latencies.time(|| reader.version(&name)).map_err(failed)?;
                assert_eq!(version, 0, "the version of a subject without events");
            }
        }
        let mut workload = Workload::new(3);
        for number in 0..LOOKUPS {
            let append = annals::Append::new([workload.event()]).key(format!("new {segments} {number}"));
            appends.time(|| store.append_with(append)).map_err(|error| append::refused(error, &path))?;
        }
        let middle = text::span(first.percentile(50).unwrap_or_default());
        let row = Row::time("aims", names[0], &mut versions).aiming(aim);
        report.add(row.noting(format!("{note}; {middle} the first time")));
        report.add(Row::time("aims", names[1], &mut appends));
        close(&store, &path)?;
        drop(store);
        opening(&path, names[2], effort, report)?;
    }
    remove(&path);
    Ok(())
}

/// Goes on until there are so many sealed segments, of some ten events each.
fn small_segments(path: &Path, segments: u64) -> Done {
    let failed = |error: annals::Error| Failure::of_store(&error, path);
    let options = Store::options().durability(WRITTEN).sealing(false).segment_bytes(64 << 10);
    let store = options.open(path).map_err(failed)?;
    let mut made = store.reader().tail().get();
    // The active one is sealed too.
    while store.stats().segments < segments {
        let missing = segments - store.stats().segments;
        for _ in 0..missing * EVENTS_A_SEGMENT {
            unless_interrupted()?;
            let event = NewEvent::bytes("small.made", format!("small/{made}"), "", vec![b' '; 5000]);
            store.append([event]).map_err(|error| append::refused(error, path))?;
            made += 1;
        }
    }
    store.seal().map_err(failed)?;
    close(&store, path)
}

/// What synced appends lose while a backlog is sealed.
pub(super) fn beside_sealing(scratch: &Scratch, effort: Effort, report: &mut Report) -> Done {
    let path = scratch.fresh("beside");
    let failed = |error: annals::Error| Failure::of_store(&error, &path);
    let mut population = Population::new(effort.events);
    let store = Store::options().durability(WRITTEN).sealing(false).open(&path).map_err(failed)?;
    fill(&store, &path, &mut population, effort, &|_, event| event)?;
    close(&store, &path)?;
    drop(store);
    let mut workload = Workload::new(5);
    let mut rates = [Vec::new(), Vec::new()];
    let mut busy = true;
    for _ in 0..effort.runs {
        for (sealing, rates) in [false, true].into_iter().zip(&mut rates) {
            unless_interrupted()?;
            let options = Store::options().durability(Durability::Synced).sealing(sealing);
            let store = options.open(&path).map_err(failed)?;
            let (began, mut done) = (Instant::now(), 0u64);
            while began.elapsed() < effort.run {
                store.append([workload.event()]).map_err(|error| append::refused(error, &path))?;
                done += 1;
            }
            rates.push(done as f64 / began.elapsed().as_secs_f64().max(1e-9));
            let raw = store.segments().iter().filter(|one| one.form == annals::Form::Rolled).count();
            busy &= !sealing || raw > 0;
            close(&store, &path)?;
        }
    }
    let [without, with] = rates.map(median);
    let lost = 100.0 * (1.0 - with / without.max(1e-9));
    let note = format!(
        "{} a second without, {} with{}",
        text::count(without as u64),
        text::count(with as u64),
        if busy { "" } else { "; sealing was done before the run was" }
    );
    let row = Row::new("aims", "what synced appends lose while segments are sealed", "percent", lost);
    report.add(row.aiming(LOST_AIM).noting(note));
    remove(&path);
    Ok(())
}
