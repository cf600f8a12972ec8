//! How cost grows with events, segments, subjects and subscribers: the tables of docs/benchmarks.md.
//!
//! `cargo bench --bench growth` takes some minutes; `-- --long` goes on to 50 million events and needs 30 GB of disk;
//! `-- subjects` measures one axis. What is measured of a store is measured by a process of its own that opens it, so
//! that memory is what that store takes.
#![allow(clippy::unwrap_used, reason = "a benchmark has no one to report to")]

mod common;

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs};

use annals::{EventRef, Query, StartAt, Store};
use common::{event, fill, scratch, written};

/// What is looked up for each figure of a latency.
const LOOKUPS: u64 = 200;
/// Fresh processes for each figure of opening.
const OPENINGS: usize = 5;
const SUBJECTS: u64 = 10_000;
const MILLION: u64 = 1_000_000;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--measure", directory, subjects] => return measure(Path::new(directory), subjects.parse().unwrap()),
        ["--open-writer", directory] => return open_writer(Path::new(directory)),
        _ => {}
    }
    let long = arguments.iter().any(|argument| argument == "--long");
    let chosen = |axis: &str| {
        let mut axes = arguments.iter().filter(|argument| !argument.starts_with("--")).peekable();
        axes.peek().is_none() || axes.any(|chosen| chosen == axis)
    };
    if chosen("events") {
        events(long);
    }
    if chosen("segments") {
        segments();
    }
    if chosen("subjects") {
        subjects();
    }
    if chosen("subscribers") {
        subscribers();
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const READ_HEAD: &str = "opened, ms | for writing, ms | ten newest of a subject, us | version of a new subject, us | \
                         one event, us | 1,000 of a window, us | memory opened, MiB | after the lookups, MiB";
const READ_LINE: &str = "---|---|---|---|---|---|---|---";

/// What a store costs that is opened: a row of figures, in the order of [`READ_HEAD`].
fn row(directory: &Path, subjects: u64) -> String {
    let subjects = subjects.to_string();
    let directory = directory.to_str().unwrap();
    let runs: Vec<Vec<f64>> = (0..OPENINGS).map(|_| child(&["--measure", directory, &subjects])).collect();
    let writers = (0..OPENINGS).map(|_| child(&["--open-writer", directory])[0]).collect();
    let mut columns: Vec<f64> =
        (0..runs[0].len()).map(|column| median(runs.iter().map(|run| run[column]).collect())).collect();
    columns.insert(1, median(writers));
    columns.iter().map(|value| shown(*value)).collect::<Vec<_>>().join(" | ")
}

fn shown(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") }
}

fn child(arguments: &[&str]) -> Vec<f64> {
    let output = Command::new(env::current_exe().unwrap()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(|figure| figure.parse().unwrap()).collect()
}

fn open_writer(directory: &Path) {
    let began = Instant::now();
    let store = written().open(directory).unwrap();
    println!("{}", began.elapsed().as_secs_f64() * 1e3);
    store.close().unwrap();
}

fn measure(directory: &Path, subjects: u64) {
    let before = anonymous_mib();
    let began = Instant::now();
    let store = Store::options().read_only(true).open(directory).unwrap();
    let opened = began.elapsed().as_secs_f64() * 1e3;
    let memory = anonymous_mib() - before;
    let reader = store.reader();
    let tail = reader.tail().get();
    let go_on = |_: EventRef<'_>| ControlFlow::Continue(());
    // Twice, and the second time counts: the first one maps pages and reads them from the disk.
    let mut figures = Vec::new();
    for _ in 0..2 {
        figures = vec![
            micros(|number| {
                let subject = event(number * 7_919 % tail, subjects);
                reader.read(&Query::all().subject(subject.subject()).limit(10)).rev().for_each(|event| {
                    event.unwrap();
                });
            }),
            micros(|number| assert_eq!(reader.version(&format!("note/never-{number}")).unwrap(), 0)),
            micros(|number| assert!(reader.event(number * 104_729 % tail + 1).unwrap().is_some())),
            micros(|number| {
                let first = number * 104_729 % (tail - 1_000) + 1;
                let at = |position| reader.event(position).unwrap().unwrap().recorded_at();
                let query = Query::all().since(at(first)).until(at(first + 999)).limit(1_000);
                reader.scan(&query, go_on).unwrap();
            }),
        ];
    }
    let lookups: Vec<String> = figures.iter().map(f64::to_string).collect();
    println!("{opened} {} {memory} {}", lookups.join(" "), anonymous_mib() - before);
}

/// The median of the lookups.
fn micros(lookup: impl Fn(u64)) -> f64 {
    let times = (0..LOOKUPS).map(|number| {
        let began = Instant::now();
        lookup(number);
        began.elapsed().as_secs_f64() * 1e6
    });
    median(times.collect())
}

/// Events a second if they were only bytes for one more file: what the disk has to give at this point.
fn plain_writes(directory: &Path) -> f64 {
    let (path, batch) = (directory.join("plain"), vec![7u8; 365_000]);
    let mut file = fs::File::create(&path).unwrap();
    let began = Instant::now();
    for _ in 0..MILLION / 1_000 {
        file.write_all(&batch).unwrap();
    }
    let rate = MILLION as f64 / began.elapsed().as_secs_f64();
    fs::remove_file(&path).unwrap();
    rate
}

/// Memory of this process that is no page of a file.
fn anonymous_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Bytes that a store takes, what is laid out ahead included.
fn bytes_below(directory: &Path) -> u64 {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| match entry.metadata().unwrap() {
            meta if meta.is_dir() => bytes_below(&entry.path()),
            meta => meta.len(),
        })
        .sum()
}

fn events(long: bool) {
    println!("\n### Events, about {SUBJECTS} subjects, in raw segments of 64 MiB\n");
    println!(
        "| million events | segments | appended/s, the last million | the same bytes to a plain file, events/s | slowest append, ms | index in memory, MiB | bytes an event | {READ_HEAD} |"
    );
    println!("|---|---|---|---|---|---|---|{READ_LINE}|");
    let scratch = scratch();
    let directory = scratch.path();
    let mut there = 0;
    for millions in [1, 2, 5, 10, 20, 50].into_iter().filter(|millions| long || *millions <= 10) {
        let store = written().sealing(false).open(directory).unwrap();
        fill(&store, there..(millions - 1) * MILLION, 1_000, SUBJECTS);
        let plain = plain_writes(directory);
        let began = Instant::now();
        fill(&store, (millions - 1) * MILLION..millions * MILLION, 1_000, SUBJECTS);
        let rate = MILLION as f64 / began.elapsed().as_secs_f64();
        there = millions * MILLION;
        let stats = store.stats();
        store.close().unwrap();
        drop(store);
        println!(
            "| {millions} | {} | {rate:.0} | {plain:.0} | {:.1} | {:.1} | {:.0} | {} |",
            stats.segments,
            stats.slowest_append.as_secs_f64() * 1e3,
            stats.index_memory_bytes as f64 / f64::from(1 << 20),
            bytes_below(directory) as f64 / there as f64,
            row(directory, SUBJECTS)
        );
    }
}

fn segments() {
    println!("\n### Segments: the same million events in ever smaller ones\n");
    println!("| form | segments | appended/s | {READ_HEAD} |");
    println!("|---|---|---|{READ_LINE}|");
    // What the events take, raw, so that they fill the wished number of segments.
    let log_bytes = {
        let scratch = scratch();
        let store = written().sealing(false).segment_bytes(1 << 30).open(scratch.path()).unwrap();
        fill(&store, 0..MILLION, 100, SUBJECTS);
        store.stats().log_bytes
    };
    for segments in [1, 10, 100, 1_000] {
        let scratch = scratch();
        // Each begins with its header and ends with room that no batch fitted in.
        let bytes = log_bytes / segments + (40 << 10);
        let store = written().sealing(false).segment_bytes(bytes).open(scratch.path()).unwrap();
        let began = Instant::now();
        fill(&store, 0..MILLION, 100, SUBJECTS);
        let rate = MILLION as f64 / began.elapsed().as_secs_f64();
        let raw = store.stats().segments;
        store.close().unwrap();
        drop(store);
        println!("| raw | {raw} | {rate:.0} | {} |", row(scratch.path(), SUBJECTS));
        let store = written().sealing(false).open(scratch.path()).unwrap();
        let sealed = store.seal().unwrap();
        store.close().unwrap();
        drop(store);
        println!("| sealed | {} | – | {} |", sealed.segments, row(scratch.path(), SUBJECTS));
    }
}

fn subjects() {
    println!("\n### Subjects: a million events about ever more of them\n");
    println!("| subjects | appended/s | slowest append, ms | index in memory, MiB | bytes an event | {READ_HEAD} |");
    println!("|---|---|---|---|---|{READ_LINE}|");
    for subjects in [1, 100, SUBJECTS, MILLION] {
        let scratch = scratch();
        let store = written().sealing(false).open(scratch.path()).unwrap();
        let began = Instant::now();
        fill(&store, 0..MILLION, 1_000, subjects);
        let rate = MILLION as f64 / began.elapsed().as_secs_f64();
        let stats = store.stats();
        store.close().unwrap();
        drop(store);
        println!(
            "| {subjects} | {rate:.0} | {:.1} | {:.1} | {:.0} | {} |",
            stats.slowest_append.as_secs_f64() * 1e3,
            stats.index_memory_bytes as f64 / f64::from(1 << 20),
            bytes_below(scratch.path()) as f64 / MILLION as f64,
            row(scratch.path(), subjects)
        );
    }
}

fn subscribers() {
    println!("\n### Subscribers: batches of 100, as fast as the writer can\n");
    println!(
        "| subscribers | appended/s, all idle | deliveries/s, all live | appended/s, all live | from append to delivery, p50, us | p99, us |"
    );
    println!("|---|---|---|---|---|---|");
    for count in [0, 1, 10, 100, 1_000] {
        let idle = median((0..3).map(|_| idle(count)).collect());
        let (deliveries, appended) = live(count);
        let (p50, p99) = delivered(count);
        println!(
            "| {count} | {idle:.0} | {deliveries:.0} | {appended:.0} | {} | {} |",
            p50.map_or("–".to_owned(), shown),
            p99.map_or("–".to_owned(), shown)
        );
    }
}

/// Threads that wait for what never comes, and the writer's rate beside them.
fn idle(count: usize) -> f64 {
    let scratch = scratch();
    let store = written().open(scratch.path()).unwrap();
    let is_over = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..count {
            let mut subscription = store.subscribe(Query::all().types(["never.happens"]), StartAt::Start);
            let is_over = &is_over;
            scope.spawn(move || {
                while is_over.load(Ordering::Relaxed) == 0 {
                    let _none = subscription.next_timeout(Duration::from_millis(200)).unwrap();
                }
            });
        }
        let rate = append_hundreds(&store, 200_000);
        is_over.store(1, Ordering::Relaxed);
        rate
    })
}

/// Appended a second, by batches that were made before.
fn append_hundreds(store: &Store, events: u64) -> f64 {
    let batches: Vec<Vec<_>> = (0..events / 100)
        .map(|batch| (batch * 100..batch * 100 + 100).map(|number| event(number, SUBJECTS)).collect())
        .collect();
    let began = Instant::now();
    for batch in batches {
        store.append(batch).unwrap();
    }
    events as f64 / began.elapsed().as_secs_f64()
}

/// Deliveries and appends a second while all subscribers take all events.
fn live(count: usize) -> (f64, f64) {
    let scratch = scratch();
    let store = written().open(scratch.path()).unwrap();
    let events = (4_000_000 / count.max(1) as u64).clamp(20_000, 400_000);
    let (mut appended, mut took) = (0.0, 0.0);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..count)
            .map(|_| {
                let mut subscription = store.subscribe(Query::all(), StartAt::Start);
                scope.spawn(move || {
                    let mut seen = 0;
                    while seen < events {
                        let batch = subscription.next_timeout(Duration::from_secs(60)).unwrap().unwrap();
                        seen += batch.len() as u64;
                    }
                    Instant::now()
                })
            })
            .collect();
        let began = Instant::now();
        appended = append_hundreds(&store, events);
        let last = readers.into_iter().map(|reader| reader.join().unwrap()).max().unwrap_or(began);
        took = last.duration_since(began).as_secs_f64();
    });
    let deliveries = if count == 0 { 0.0 } else { (count as u64 * events) as f64 / took };
    (deliveries, appended)
}

/// p50 and p99 of the time from just before an append of one event to a subscriber that has it, in microseconds.
fn delivered(count: usize) -> (Option<f64>, Option<f64>) {
    const EVENTS: u64 = 300;
    let scratch = scratch();
    let store = written().open(scratch.path()).unwrap();
    let began = Instant::now();
    let sent: Arc<Vec<AtomicU64>> = Arc::new((0..=EVENTS).map(|_| AtomicU64::new(0)).collect());
    let mut all: Vec<f64> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..count)
            .map(|_| {
                let (mut subscription, sent) = (store.subscribe(Query::all(), StartAt::Start), Arc::clone(&sent));
                scope.spawn(move || {
                    let mut times = Vec::new();
                    while (times.len() as u64) < EVENTS {
                        let batch = subscription.next_timeout(Duration::from_secs(60)).unwrap().unwrap();
                        let now = began.elapsed().as_nanos() as u64;
                        let sent = |at: u64| sent[at as usize].load(Ordering::Relaxed);
                        times.extend(batch.iter().map(|event| (now - sent(event.position().get())) as f64 / 1e3));
                    }
                    times
                })
            })
            .collect();
        for number in 0..EVENTS {
            std::thread::sleep(Duration::from_micros(1_000 + 100 * count as u64));
            sent[number as usize + 1].store(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
            store.append([event(number, SUBJECTS)]).unwrap();
        }
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
    });
    all.sort_by(f64::total_cmp);
    let at = |share: f64| all.get((all.len() as f64 * share) as usize).copied();
    (at(0.5), at(0.99))
}
