//! The log: appends against a bare loop, replay, queries, opening. Each group measures the floor in
//! the same run, so that ratios hold on a noisy machine.
#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark has no one to report to")]

mod common;

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use annals::{Append, Expected, NewEvent, Query, Store};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use crate::common::{scratch, written};

const SUBJECTS: u64 = 10_000;
/// Events of the store that is read.
const READ_EVENTS: u64 = 1_000_000;

fn event(number: u64) -> NewEvent {
    common::event(number, SUBJECTS)
}

/// What any log has to do: a header and a checksum for each event, one write for the batch.
struct Bare {
    file: File,
    offset: u64,
    buffer: Vec<u8>,
}

impl Bare {
    fn new(directory: &Path) -> Bare {
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(directory.join("bare")).unwrap();
        Bare { file, offset: 0, buffer: Vec::new() }
    }

    fn append(&mut self, events: &[NewEvent]) {
        self.buffer.clear();
        for event in events {
            let start = self.buffer.len();
            self.buffer.extend_from_slice(&[0; 16]);
            for text in [event.subject(), event.event_type(), "alice"] {
                self.buffer.extend_from_slice(text.as_bytes());
            }
            self.buffer.extend_from_slice(event.data());
            let crc = crc32fast::hash(&self.buffer[start + 16..]);
            let len = (self.buffer.len() - start) as u32;
            self.buffer[start..start + 4].copy_from_slice(&len.to_le_bytes());
            self.buffer[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
        }
        // The file goes round, so that the disk does not fill.
        self.file.write_all_at(&self.buffer, self.offset % (256 << 20)).unwrap();
        self.offset += self.buffer.len() as u64;
    }
}

fn appends(criterion: &mut Criterion) {
    for batch in [1u64, 100, 1_000] {
        let mut group = criterion.benchmark_group(format!("append/written/{batch}"));
        group.throughput(Throughput::Elements(batch));
        let directory = scratch();
        let store = written().open(directory.path()).unwrap();
        let mut next = 0;
        let mut make = || {
            next += batch;
            (next - batch..next).map(event).collect::<Vec<NewEvent>>()
        };
        group.bench_function("annals", |bencher| {
            bencher.iter_batched(&mut make, |events| store.append(events).unwrap(), BatchSize::LargeInput);
        });
        let other = scratch();
        let mut bare = Bare::new(other.path());
        group.bench_function("bare loop", |bencher| {
            bencher.iter_batched(&mut make, |events| bare.append(&events), BatchSize::LargeInput);
        });
    }
}

fn durable_appends(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append/synced/1");
    let directory = scratch();
    let store = Store::open(directory.path()).unwrap();
    let mut number = 0;
    let mut make = || {
        number += 1;
        event(number)
    };
    group.bench_function("annals", |bencher| {
        bencher.iter_batched(&mut make, |event| store.append([event]).unwrap(), BatchSize::SmallInput);
    });
    group.bench_function("annals, with a condition", |bencher| {
        let append = || Append::new([make()]).expect("note/never", Expected::NoSubject);
        bencher.iter_batched(append, |append| store.append_with(append).unwrap(), BatchSize::SmallInput);
    });
    group.bench_function("annals, refused", |bencher| {
        let append = || Append::new([event(1)]).expect("note/never", Expected::Exists);
        bencher.iter_batched(append, |append| store.append_with(append).unwrap_err(), BatchSize::SmallInput);
    });
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(directory.path().join("bare")).unwrap();
    file.write_all_at(&vec![0; 64 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let (page, mut offset) = ([7u8; 448], 0);
    group.bench_function("bare write and sync", |bencher| {
        bencher.iter(|| {
            file.write_all_at(&page, offset % (63 << 20)).unwrap();
            file.sync_data().unwrap();
            offset += 448;
        });
    });
}

fn reads(criterion: &mut Criterion) {
    let directory = scratch();
    {
        let store = written().open(directory.path()).unwrap();
        common::fill(&store, 0..READ_EVENTS, 1_000, SUBJECTS);
        store.close().unwrap();
    }
    let store = Store::open(directory.path()).unwrap();
    let reader = store.reader();
    let mut group = criterion.benchmark_group("replay");
    group.throughput(Throughput::Elements(READ_EVENTS)).sample_size(10);
    group.bench_function("scan, checked", |bencher| {
        bencher.iter(|| {
            let mut bytes = 0;
            let each = |event: annals::EventRef<'_>| {
                bytes += event.data().len();
                ControlFlow::Continue(())
            };
            reader.scan(&Query::all(), each).unwrap();
            bytes
        });
    });
    group.bench_function("read, owned", |bencher| bencher.iter(|| reader.read(&Query::all()).count()));
    group.finish();

    let mut group = criterion.benchmark_group("query of a million");
    let mut number = 0u64;
    group.bench_function("ten events of a subject", |bencher| {
        bencher.iter(|| {
            number += 7;
            let query = Query::all().subject(format!("note/n-{}", number % SUBJECTS)).limit(10);
            reader.scan(&query, |event| {
                black_box(event.version());
                ControlFlow::Continue(())
            })
        });
    });
    group.bench_function("version of a new subject", |bencher| {
        bencher.iter(|| {
            number += 1;
            reader.version(&format!("note/absent-{number}")).unwrap()
        });
    });
    group.bench_function("event by position", |bencher| {
        bencher.iter(|| {
            number = (number + 7_919) % READ_EVENTS;
            reader.event(number + 1).unwrap()
        });
    });
    group.sample_size(20);
    group.bench_function("one type of 54", |bencher| {
        bencher.iter(|| reader.count(&Query::all().types(["note.kind17.recorded"])).unwrap());
    });
    let at = |position: u64| reader.event(position).unwrap().unwrap().recorded_at();
    let (since, until) = (at(READ_EVENTS / 3), at(READ_EVENTS / 3 + READ_EVENTS / 100));
    group.bench_function("one percent of time", |bencher| {
        bencher.iter(|| reader.count(&Query::all().since(since).until(until)).unwrap());
    });
    group.finish();
    #[cfg(feature = "sqlite")]
    sql(criterion, &store);
    store.close().unwrap();
    criterion.bench_function("open, closed in order, a million", |bencher| {
        bencher.iter_with_large_drop(|| Store::open(directory.path()).unwrap());
    });
}

/// Statements from their text to their last row.
#[cfg(feature = "sqlite")]
fn sql(criterion: &mut Criterion, store: &Store) {
    let mut group = criterion.benchmark_group("sql over a million");
    group.sample_size(20);
    for (name, statement) in [
        ("no table", "SELECT 1"),
        ("one position", "SELECT * FROM events WHERE position = 500000"),
        ("one subject", "SELECT actor, recorded_at FROM events WHERE subject = 'note/n-17'"),
        (
            "one subject and type",
            "SELECT actor, recorded_at FROM events WHERE type = 'note.kind17.recorded' AND subject = 'note/n-17'",
        ),
        ("the last ten", "SELECT position, type, subject FROM events ORDER BY position DESC LIMIT 10"),
        ("count of one type of 54", "SELECT count(*) FROM events WHERE type = 'note.kind17.recorded'"),
        ("count of all", "SELECT count(*) FROM events"),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut rows = 0;
                let each = |_: &annals::Row| {
                    rows += 1;
                    ControlFlow::Continue(())
                };
                store.sql_each(statement, (), each).unwrap();
                rows
            });
        });
    }
    group.bench_function("one subject, from a thread", |bencher| {
        let statement = "SELECT actor, recorded_at FROM events WHERE subject = 'note/n-17'";
        bencher.iter(|| store.sql(statement, ()).unwrap().map(Result::unwrap).count());
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(4)).warm_up_time(Duration::from_secs(1));
    targets = appends, durable_appends, reads
}
criterion_main!(benches);
