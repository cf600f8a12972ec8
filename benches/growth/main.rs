//! How cost grows with events, segments, subjects and subscribers: the tables of docs/benchmarks.md.
//!
//! `cargo bench --bench growth` takes some minutes; `-- --long` goes on to 50 million events and needs 19 GB of disk;
//! `-- subjects` measures one axis; `-- --charts docs/charts` draws them. What is measured of a store is measured by a
//! process of its own that opens it, so that memory is what that store takes.
#![allow(clippy::unwrap_used, reason = "a benchmark has no one to report to")]

mod chart;
#[path = "../common/mod.rs"]
mod common;
mod table;

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
use table::Unit::{Microseconds, Milliseconds, Other, PerSecond};
use table::{OPENED, Table};

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
    let charts = arguments.iter().skip_while(|argument| *argument != "--charts").nth(1).map(Path::new);
    let axes: [(&str, &dyn Fn() -> Table); 5] = [
        ("events", &|| events(long)),
        ("segments", &|| segments(false)),
        ("sealed", &|| segments(true)),
        ("subjects", &subjects),
        ("subscribers", &subscribers),
    ];
    let is_axis = |argument: &String| axes.iter().any(|(axis, _)| argument == axis);
    let all = !arguments.iter().any(is_axis);
    for (axis, measured) in axes {
        if all || arguments.iter().any(|argument| argument == axis) {
            let table = measured();
            table.print();
            if let Some(directory) = charts {
                table.draw(directory, &format!("growth-{axis}.svg"));
            }
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Closes a store, and what it costs to open it again: figures in the order of [`OPENED`].
fn reopened(store: Store, directory: &Path, subjects: u64) -> Vec<f64> {
    store.close().unwrap();
    drop(store);
    let subjects = subjects.to_string();
    let directory = directory.to_str().unwrap();
    let runs: Vec<Vec<f64>> = (0..OPENINGS).map(|_| child(&["--measure", directory, &subjects])).collect();
    let writers = (0..OPENINGS).map(|_| child(&["--open-writer", directory])[0]).collect();
    let mut figures: Vec<f64> =
        (0..runs[0].len()).map(|column| median(runs.iter().map(|run| run[column]).collect())).collect();
    figures.insert(1, median(writers));
    figures
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
    let rate = timed(MILLION, || (0..MILLION / 1_000).for_each(|_| file.write_all(&batch).unwrap()));
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

fn events(long: bool) -> Table {
    let columns = [
        ("million events", Other),
        ("segments", Other),
        ("append, the last million, events/s", PerSecond),
        ("the same bytes to a plain file, events/s", PerSecond),
        ("slowest append, ms", Milliseconds),
        ("index in memory, MiB", Other),
        ("bytes an event", Other),
    ];
    let mut table = Table::new("Events, in raw segments of 64 MiB", &[&columns[..], &OPENED].concat());
    let scratch = scratch();
    let directory = scratch.path();
    let mut there = 0;
    for millions in [1, 2, 5, 10, 20, 50].into_iter().filter(|millions| long || *millions <= 10) {
        let store = written().sealing(false).open(directory).unwrap();
        fill(&store, there..(millions - 1) * MILLION, 1_000, SUBJECTS);
        let plain = plain_writes(directory);
        let rate = timed(MILLION, || fill(&store, (millions - 1) * MILLION..millions * MILLION, 1_000, SUBJECTS));
        there = millions * MILLION;
        let mut row = vec![millions as f64, store.stats().segments as f64, rate, plain];
        row.extend(cost(&store, directory, there));
        row.extend(reopened(store, directory, SUBJECTS));
        table.add(row);
    }
    table
}

/// Events a second.
fn timed(events: u64, work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    events as f64 / began.elapsed().as_secs_f64()
}

/// The slowest append, the index in memory, and bytes an event.
fn cost(store: &Store, directory: &Path, events: u64) -> [f64; 3] {
    let stats = store.stats();
    [
        stats.slowest_append.as_secs_f64() * 1e3,
        stats.index_memory_bytes as f64 / f64::from(1 << 20),
        bytes_below(directory) as f64 / events as f64,
    ]
}

fn segments(sealed: bool) -> Table {
    let title = if sealed {
        "Sealed segments: a million events in more of them"
    } else {
        "Raw segments: a million events in more of them"
    };
    let columns =
        [("segments", Other), if sealed { ("sealed, events/s", Other) } else { ("append, events/s", PerSecond) }];
    let mut table = Table::new(title, &[&columns[..], &OPENED].concat());
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
        let mut rate = timed(MILLION, || fill(&store, 0..MILLION, 100, SUBJECTS));
        if sealed {
            rate = timed(MILLION, || assert_eq!(store.seal().unwrap().segments, segments));
        }
        let mut row = vec![segments as f64, rate];
        row.extend(reopened(store, scratch.path(), SUBJECTS));
        table.add(row);
    }
    table
}

fn subjects() -> Table {
    let columns = [
        ("subjects", Other),
        ("append, events/s", PerSecond),
        ("slowest append, ms", Milliseconds),
        ("index in memory, MiB", Other),
        ("bytes an event", Other),
    ];
    let mut table = Table::new("Subjects: a million events about more of them", &[&columns[..], &OPENED].concat());
    for subjects in [1, 100, SUBJECTS, MILLION] {
        let scratch = scratch();
        let store = written().sealing(false).open(scratch.path()).unwrap();
        let rate = timed(MILLION, || fill(&store, 0..MILLION, 1_000, subjects));
        let mut row = vec![subjects as f64, rate];
        row.extend(cost(&store, scratch.path(), MILLION));
        row.extend(reopened(store, scratch.path(), subjects));
        table.add(row);
    }
    table
}

fn subscribers() -> Table {
    let columns = [
        ("subscribers", Other),
        ("append, all idle, events/s", PerSecond),
        ("append, all live, events/s", PerSecond),
        ("delivery, all live, events/s", PerSecond),
        ("append to delivery p50, us", Microseconds),
        ("append to delivery p99, us", Microseconds),
    ];
    let mut table = Table::new("Subscribers, beside appends of 100 at full speed", &columns);
    for count in [0, 1, 10, 100, 1_000] {
        let idle = median((0..3).map(|_| idle(count)).collect());
        let (deliveries, appended) = live(count);
        let (p50, p99) = delivered(count);
        table.add(vec![count as f64, idle, appended, deliveries, p50, p99]);
    }
    table
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
    timed(events, || {
        for batch in batches {
            store.append(batch).unwrap();
        }
    })
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
    // Nobody: not a number.
    ((count as u64 * events) as f64 / took, appended)
}

/// p50 and p99 of the time from just before an append of one event to a subscriber that has it, in microseconds.
fn delivered(count: usize) -> (f64, f64) {
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
    let at = |share: f64| all.get((all.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    (at(0.5), at(0.99))
}
