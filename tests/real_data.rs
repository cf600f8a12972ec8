//! Real histories go in and come out as they were: other people's types, subjects and payloads, in every batch size,
//! over closing and opening, over a writer that is killed in the middle, and from one store into another.
//!
//! Expectations are read from the lines by serde_json and jiff alone, not by this crate.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use annals::{
    ActorKind, Durability, EventRef, ImportEvent, ImportOptions, ImportReport, Position, Query, Store, write_event,
};
use serde::Deserialize;
use serde_json::value::RawValue;

#[path = "common/real.rs"]
mod real;

use real::{KNOWN, directory, sample};

/// Files of more events are imported one by one only in a release build.
const ONE_BY_ONE_EVENTS_MAX: usize = if cfg!(debug_assertions) { 60_000 } else { usize::MAX };

#[test]
fn the_sample_of_this_repository() {
    goes_in_and_comes_out(&sample());
}

#[test]
fn expenses() {
    optional("expenses-bpic2020-domestic");
}

#[test]
fn git() {
    optional("git-cargo");
}

#[test]
fn github() {
    optional("github-2015-01-01-00");
}

#[test]
fn loans() {
    optional("loans-bpic2012");
}

#[test]
fn permits() {
    optional("permits-receipt");
}

#[test]
fn webhooks() {
    optional("webhooks-octokit");
}

#[test]
fn wiki() {
    optional("wiki-edits-2015");
}

/// Whatever else lies there.
#[test]
fn others() {
    let entries = std::fs::read_dir(directory()).into_iter().flatten().map(|entry| entry.unwrap().path());
    let is_other = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_suffix(".jsonl.zst").is_some_and(|stem| !KNOWN.contains(&stem))
    };
    entries.filter(is_other).for_each(|path| goes_in_and_comes_out(&path));
}

fn optional(stem: &str) {
    if let Some(path) = real::optional(stem) {
        goes_in_and_comes_out(&path);
    }
}

fn read_lines(path: &Path) -> Vec<String> {
    let reader = zstd::Decoder::new(File::open(path).unwrap()).unwrap();
    BufReader::with_capacity(1 << 20, reader).lines().map(|line| line.unwrap()).collect()
}

/// A line as anybody would read it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    subject_type: Cow<'a, str>,
    #[serde(borrow)]
    actor: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    time: jiff::Timestamp,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The same event as it is exported, in CloudEvents' own names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exported<'a> {
    specversion: &'a str,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    time: jiff::Timestamp,
    datacontenttype: &'a str,
    authtype: Option<&'a str>,
    #[serde(borrow)]
    authid: Option<Cow<'a, str>>,
    recordedtime: jiff::Timestamp,
    sequence: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

fn goes_in_and_comes_out(path: &Path) {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let lines = read_lines(path);
    let expected: Vec<Line<'_>> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = lines.len() as u64;
    assert!(count > 0, "{name} is empty");
    let scratch = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let mut times = Vec::new();
    let mut lap = |what: &str| times.push(format!("{what} {:.1}", begun.elapsed().as_secs_f32()));

    // In, out, and in the same way once more: nothing is added.
    let thousands = scratch.path().join("by 1000");
    let store = Store::open(&thousands).unwrap();
    assert_counts(&import(&store, &lines, 1000), count, 0);
    lap("by 1000");
    assert_holds(&store, &expected);
    assert_exports(&store, &expected);
    lap("out");
    assert_counts(&import(&store, &lines, 1000), 0, count);
    lap("again");
    store.close().unwrap();
    let store = Store::open(&thousands).unwrap();
    assert_holds(&store, &expected);
    lap("reopened");

    // Into another store, as `export | import --keep-recorded` does.
    let copy = Store::options().durability(Durability::Written { sync_every: Duration::from_millis(50) });
    let copy = copy.open(scratch.path().join("copy")).unwrap();
    let piped = store.reader().read(&Query::all()).map(|event| {
        let mut line = Vec::new();
        write_event(&event.unwrap().as_ref(), &mut line);
        ImportEvent::from_json(&line).unwrap()
    });
    assert_counts(&copy.import(piped, ImportOptions::new().keep_recorded(true)).unwrap(), count, 0);
    assert_eq!(copy.reader().durable(), Position::new(count), "the end of an import is synced");
    assert_same_export(&store, &copy);
    lap("copied");
    drop((store, copy));

    // By a process that is killed in the middle; then on from there.
    let hundreds = scratch.path().join("by 100");
    let acknowledged = import_and_be_killed(path, &hundreds, count / 2);
    let store = Store::open(&hundreds).unwrap();
    let tail = store.reader().tail().get();
    assert!(tail >= acknowledged, "{name}: {acknowledged} events were acknowledged, {tail} are there");
    assert_counts(&import(&store, &lines, 100), count - tail, tail);
    assert_holds(&store, &expected);
    lap("killed");

    if lines.len() < ONE_BY_ONE_EVENTS_MAX {
        let store = Store::open(scratch.path().join("by 1")).unwrap();
        assert_counts(&import(&store, &lines, 1), count, 0);
        assert_holds(&store, &expected);
        lap("one by one");
    }
    eprintln!("{name}: {count} events; seconds until {}", times.join(", "));
}

fn parse(lines: &[String]) -> impl Iterator<Item = ImportEvent> {
    lines.iter().map(|line| ImportEvent::from_json(line.as_bytes()).unwrap())
}

fn import(store: &Store, lines: &[String], batch: usize) -> ImportReport {
    store.import(parse(lines), ImportOptions::new().batch(batch)).unwrap()
}

fn assert_counts(report: &ImportReport, appended: u64, skipped: u64) {
    assert_eq!((report.appended, report.skipped), (appended, skipped), "{report:?}");
    assert_eq!((report.read, report.tail.get()), (appended + skipped, appended + skipped), "{report:?}");
    assert_eq!((report.rejected, report.outside_causes, report.without_force), (0, 0, 0), "{report:?}");
}

/// The store holds these events and no others, in this order, to the last byte.
fn assert_holds(store: &Store, expected: &[Line<'_>]) {
    let mut versions: HashMap<String, u64> = HashMap::new();
    let mut index = 0;
    let through = store.reader().scan(&Query::all(), |event| {
        let line = &expected[index];
        index += 1;
        assert_is(&event, line, index as u64);
        let version = versions.entry(event.subject().to_owned()).or_default();
        *version += 1;
        assert_eq!(event.version(), *version);
        ControlFlow::Continue(())
    });
    assert_eq!((through.unwrap().get(), index), (expected.len() as u64, expected.len()));
}

fn assert_is(event: &EventRef<'_>, line: &Line<'_>, position: u64) {
    assert_eq!(event.position().get(), position);
    assert_eq!((event.id(), event.event_type()), (line.id.clone(), &*line.r#type), "{position}");
    assert_eq!((event.kind(), event.subject_id()), (&*line.subject_type, &*line.subject), "{position}");
    let actor = line.actor.as_deref().map(|actor| (ActorKind::Unknown, actor));
    assert_eq!(event.actor().map(|actor| (actor.kind(), actor.id())), actor, "{position}");
    assert_eq!(event.source(), Some(&*line.source), "{position}");
    assert_eq!(i128::from(event.occurred_at().as_nanos()), line.time.as_nanosecond(), "{position}");
    assert_eq!((event.content_type(), event.data()), ("application/json", line.data.get().as_bytes()), "{position}");
    assert_eq!((event.on_behalf_of(), event.correlation(), event.causation()), (None, None, None), "{position}");
    assert_eq!((event.tags().len(), event.meta().len()), (0, 0), "{position}");
    assert!(event.is_imported());
}

/// What is exported says the same, data byte for byte.
fn assert_exports(store: &Store, expected: &[Line<'_>]) {
    let (mut out, mut index, mut recorded) = (Vec::new(), 0, jiff::Timestamp::MIN);
    let scanned = store.reader().scan(&Query::all(), |event| {
        let line = &expected[index];
        index += 1;
        out.clear();
        write_event(&event, &mut out);
        let exported: Exported<'_> = serde_json::from_slice(&out).unwrap();
        assert_eq!((exported.specversion, exported.datacontenttype), ("1.0", "application/json"));
        assert_eq!((&exported.id, &exported.source, &exported.r#type), (&line.id, &line.source, &line.r#type));
        assert_eq!(exported.subject, format!("{}/{}", line.subject_type, line.subject));
        assert_eq!((exported.time, &exported.authid), (line.time, &line.actor));
        assert_eq!(exported.authtype.is_some(), line.actor.is_some());
        assert_eq!(exported.sequence, format!("{index:020}"));
        assert_eq!(exported.data.get(), line.data.get());
        assert!(exported.recordedtime >= recorded);
        recorded = exported.recordedtime;
        ControlFlow::Continue(())
    });
    assert_eq!(scanned.unwrap().get(), expected.len() as u64);
}

fn assert_same_export(one: &Store, other: &Store) {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut others = other.reader().read(&Query::all());
    for event in one.reader().read(&Query::all()) {
        left.clear();
        right.clear();
        write_event(&event.unwrap().as_ref(), &mut left);
        write_event(&others.next().unwrap().unwrap().as_ref(), &mut right);
        assert!(left == right, "{}\n{}", String::from_utf8_lossy(&left), String::from_utf8_lossy(&right));
    }
    assert!(others.next().is_none());
}

const CHILD_FILE: &str = "ANNALS_TEST_CHILD_FILE";
const CHILD_STORE: &str = "ANNALS_TEST_CHILD_STORE";

/// Has another process import a file in batches of 100 and kills it when it has acknowledged so many events. Returns
/// how many it had acknowledged, as far as was heard.
fn import_and_be_killed(file: &Path, store: &Path, enough: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["the_process_that_is_killed", "--exact", "--nocapture"])
        .envs([(CHILD_FILE, file), (CHILD_STORE, store)])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines();
    let tails = said.filter_map(|line| line.unwrap().strip_prefix("tail ")?.parse::<u64>().ok());
    let mut heard = 0;
    for tail in tails {
        heard = tail;
        if heard >= enough {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(heard >= enough, "the other process came to {heard} events only");
    heard
}

/// Not a test: what [`import_and_be_killed`] starts.
#[test]
fn the_process_that_is_killed() {
    let (Some(file), Some(store)) = (std::env::var_os(CHILD_FILE), std::env::var_os(CHILD_STORE)) else {
        return;
    };
    let store = Store::open(store).unwrap();
    let mut out = std::io::stdout();
    let options = ImportOptions::new().batch(100).on_group(|report| {
        // The harness has written `test ..` without an end of line.
        writeln!(out, "\ntail {}", report.tail).unwrap();
        ControlFlow::Continue(())
    });
    store.import(parse(&read_lines(Path::new(&file))), options).unwrap();
    // If the end comes before the kill, it waits here with the store open.
    std::thread::sleep(Duration::from_secs(60));
}

/// Measures, in a release build: `cargo test --release --test real_data -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a test"]
fn speed() {
    let path = directory().join("loans-bpic2012.jsonl.zst");
    let path = if path.exists() { path } else { sample() };
    let lines = read_lines(&path);
    let report = |what: &str, begun: Instant| {
        let rate = lines.len() as f64 / begun.elapsed().as_secs_f64();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        writeln!(std::io::stderr(), "{name}: {what}: {rate:.0} events/s").unwrap();
    };
    let begun = Instant::now();
    let events: Vec<_> = parse(&lines).collect();
    report("parsing alone", begun);
    let written = Durability::Written { sync_every: Duration::from_millis(50) };
    for (mode, durability) in [("synced", Durability::Synced), ("written", written)] {
        for batch in [1, 100, 1000] {
            let scratch = tempfile::tempdir().unwrap();
            let store = Store::options().durability(durability).open(scratch.path()).unwrap();
            let events = events.clone();
            let begun = Instant::now();
            store.import(events, ImportOptions::new().batch(batch)).unwrap();
            report(&format!("{mode}, batches of {batch}, parsed before"), begun);
            if batch == 1000 {
                let begun = Instant::now();
                store.import(parse(&lines), ImportOptions::new()).unwrap();
                report(&format!("{mode}, all there already, parsing included"), begun);
                drop(store);
                let store = Store::options().durability(durability).open(scratch.path().join("b")).unwrap();
                let begun = Instant::now();
                store.import(parse(&lines), ImportOptions::new()).unwrap();
                report(&format!("{mode}, batches of {batch}, parsing included"), begun);
            }
        }
    }
}
