//! Lookups and queries over many small sealed segments: with lookup tiers, without them, and with each of them damaged,
//! the answers are those of a plain list. And how many files a lookup touches does not grow with their number.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annals::sim::{Call, Crash, FailPlan, Fault, ManualClock, SimStorage, Storage};
use annals::{Append, Expected, NewEvent, Query, Reader, Store};

use common::check::{check_query, check_reader};
use common::query::each_dimension;
use common::{Plain, Rng, Spec, sim};

fn runs(disk: &SimStorage) -> Vec<PathBuf> {
    let entries = disk.list(Path::new("index")).unwrap_or_default();
    let mut names: Vec<PathBuf> = entries.into_iter().map(|entry| Path::new("index").join(entry.name)).collect();
    names.sort();
    names
}

/// First and last position, as the name says.
fn span(run: &Path) -> (u64, u64) {
    let name = run.file_name().unwrap().to_str().unwrap();
    let (first, last) = name.strip_prefix("terms-").unwrap().strip_suffix(".run").unwrap().split_once('-').unwrap();
    (first.parse().unwrap(), last.parse().unwrap())
}

fn open(disk: &Arc<SimStorage>, clock: &Arc<ManualClock>) -> Store {
    sim::open(disk, sim::options(clock)).unwrap()
}

/// Writes over one byte of a file, behind the back of any store.
fn damage(disk: &SimStorage, path: &Path, at: usize) {
    let byte = sim::read(disk, path)[at] ^ 0x10;
    sim::write(disk, path, at as u64, &[byte]);
}

/// A log of random events in so many tiny sealed segments, and what it holds.
fn random_log(seed: u64, segments: usize) -> (Arc<SimStorage>, Arc<ManualClock>, Vec<Plain>) {
    let (disk, clock) = (SimStorage::new(), sim::clock());
    let store = open(&disk, &clock);
    let mut rng = Rng::new(seed);
    let (mut events, mut versions) = (Vec::<Plain>::new(), HashMap::<String, u64>::new());
    for _ in 0..segments {
        clock.advance(rng.below(30) as i64);
        let now = events.last().map_or(sim::NOW, |event| event.recorded_at);
        let count = 1 + rng.index(6);
        let mut specs = Spec::batch(&mut rng, count, now);
        specs.iter_mut().for_each(|spec| spec.data.truncate(60));
        // Some subjects are new, so that most segments do not have them.
        if rng.happens(8) {
            specs[0].subject = format!("note/only-{}", events.len());
        }
        let done = store.append(Spec::events(&specs)).unwrap();
        for (index, spec) in specs.iter().enumerate() {
            let version = versions.entry(spec.subject.clone()).or_default();
            *version += 1;
            events.push(Plain::of_spec(spec, done.first.get(), index, *version, 1, done.recorded_at.as_nanos()));
        }
        store.seal().unwrap();
    }
    store.close().unwrap();
    (disk, clock, events)
}

fn check(store: &Store, events: &[Plain], rng: &mut Rng, queries: usize) {
    let log = store.stats().log.to_string();
    check_reader(&store.reader(), events, None, &log, rng, queries);
    let visible: Vec<&Plain> = events.iter().collect();
    for spec in each_dimension() {
        check_query(&store.reader(), &spec, events, &visible, rng);
    }
}

#[test]
fn answers_are_the_same_with_tiers_without_them_and_with_each_damaged() {
    let (disk, clock, events) = random_log(1, 300);
    let mut rng = Rng::new(2);
    let all = runs(&disk);
    // 256, then two of 16, and twelve that nothing covers.
    assert_eq!(all.len(), 3, "{all:?}");
    let store = open(&disk, &clock);
    assert_eq!(store.stats().lookup_runs, 3);
    check(&store, &events, &mut rng, 60);
    assert!(store.stats().distrusted.is_empty());
    let found = store.verify(|_| ControlFlow::Continue(())).unwrap();
    assert!(found.is_good() && found.derived.is_empty(), "{:?}", found.derived);
    drop(store);

    let bare = disk.snapshot();
    all.iter().for_each(|run| bare.remove(run).unwrap());
    let store = sim::open_read_only(&bare).unwrap();
    assert_eq!(store.stats().lookup_runs, 0);
    check(&store, &events, &mut rng, 40);
    drop(store);

    // A writer makes them anew, the very same bytes.
    let store = open(&bare, &clock);
    store.seal().unwrap();
    assert_eq!(runs(&bare), all);
    assert!(all.iter().all(|run| sim::read(&bare, run) == sim::read(&disk, run)), "the same segments, other bytes");
    drop(store);

    for run in &all {
        let len = sim::read(&disk, run).len();
        for page in 0..len / 4096 {
            let hurt = disk.snapshot();
            damage(&hurt, run, page * 4096 + rng.index(4064));
            let store = sim::open_read_only(&hurt).unwrap();
            check_reader(&store.reader(), &events, None, &store.stats().log.to_string(), &mut rng, 4);
            let found = store.verify(|_| ControlFlow::Continue(())).unwrap();
            assert!(found.is_good());
            assert_eq!(found.derived.iter().map(|(path, _)| path).collect::<Vec<_>>(), [run], "page {page}");
            if page == 0 {
                assert_eq!(store.stats().distrusted.iter().map(|(path, _)| path).collect::<Vec<_>>(), [run]);
                let store = open(&hurt, &clock);
                assert!(store.recovery().notes.iter().any(|note| note.contains(run.to_str().unwrap())));
                store.seal().unwrap();
                assert!(store.verify(|_| ControlFlow::Continue(())).unwrap().derived.is_empty(), "made anew");
            }
        }
    }
}

#[test]
fn a_run_of_other_events_or_under_another_name_is_not_believed() {
    let (disk, clock, events) = random_log(1, 40);
    let (other, _, _) = random_log(3, 40);
    let mut rng = Rng::new(4);
    let (ours, theirs) = (runs(&disk), runs(&other));
    let put = |disk: &SimStorage, path: &Path, bytes: &[u8]| {
        sim::write(disk, path, 0, bytes);
        sim::truncate(disk, path, bytes.len() as u64);
    };
    let foreign = disk.snapshot();
    put(&foreign, &ours[0], &sim::read(&other, &theirs[0]));
    // Of the same log, under the name of another, and one that is empty.
    let exchanged = disk.snapshot();
    put(&exchanged, &ours[0], &sim::read(&disk, &ours[1]));
    put(&exchanged, &ours[1], b"");
    for disk in [foreign, exchanged] {
        let store = sim::open_read_only(&disk).unwrap();
        assert!(store.stats().distrusted.iter().any(|(path, _)| *path == ours[0]), "{:?}", store.stats().distrusted);
        check(&store, &events, &mut rng, 20);
        drop(store);
        let store = open(&disk, &clock);
        store.seal().unwrap();
        assert!(store.verify(|_| ControlFlow::Continue(())).unwrap().derived.is_empty());
        check(&store, &events, &mut rng, 20);
    }
}

#[test]
fn a_run_of_another_branch_of_the_same_log_is_not_believed() {
    let (disk, clock, _) = random_log(1, 16);
    // The same identity, the same positions, other events.
    let branch = |name: &str| {
        let disk = disk.snapshot();
        let store = open(&disk, &clock);
        for n in 0..16 {
            store.append([NewEvent::bytes("t", format!("{name}/{n}"), "", *b"")]).unwrap();
            store.seal().unwrap();
        }
        store.close().unwrap();
        disk
    };
    let (ours, theirs) = (branch("ours"), branch("theirs"));
    let run = runs(&ours).pop().unwrap();
    assert_eq!(runs(&ours), runs(&theirs));
    let bytes = sim::read(&theirs, &run);
    sim::write(&ours, &run, 0, &bytes);
    sim::truncate(&ours, &run, bytes.len() as u64);
    let store = sim::open_read_only(&ours).unwrap();
    assert_eq!(store.stats().distrusted.len(), 1, "{:?}", store.stats().distrusted);
    assert_eq!(store.reader().version("ours/3").unwrap(), 1);
    assert_eq!(store.reader().count(&Query::all().kind("ours")).unwrap(), 16);
}

/// Every kind of id: versions and positions by template, a hash, neighbours that share a stem, none, and one that
/// follows a template whose number stands in a column.
fn id_of(position: u64, version: u64, subject: &str) -> Option<String> {
    let hash = position.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    match position / 1000 % 6 {
        0 => Some(format!("loan-{subject}-{}", version - 1)),
        1 => Some(format!("wiki15-{}", position + 7)),
        2 => Some(format!("{hash:016x}")),
        3 => Some(format!("227d4e83effb41d5f02341af{:08x}:{}", position / 9, position % 9)),
        4 => Some(format!("n{}", hash % 1_000_000_007)),
        _ => None,
    }
}

struct Known {
    position: u64,
    subject: String,
    version: u64,
    id: Option<String>,
}

/// Segments of forty events, each batch with a key.
fn log_with_ids(segments: usize) -> (Arc<SimStorage>, Arc<ManualClock>, Vec<Known>) {
    let (disk, clock) = (SimStorage::new(), sim::clock());
    let store = open(&disk, &clock);
    let mut versions = HashMap::<String, u64>::new();
    let mut known = Vec::new();
    for number in 0..segments {
        let mut next = || {
            let position = known.len() as u64 + 1;
            // One that is everywhere, some that come back, many that are met once or twice.
            let subject = match position % 8 {
                0 => "everywhere".to_owned(),
                1..4 => format!("s{}", position % 31),
                _ => format!("r{}", position / 3),
            };
            let version = versions.entry(subject.clone()).or_default();
            *version += 1;
            let id = id_of(position, *version, &subject);
            let event = NewEvent::bytes("t", format!("case/{subject}"), "", *b"x");
            let event = id.iter().fold(event, |event, id| event.id(id.clone()));
            known.push(Known { position, version: *version, id, subject: format!("case/{subject}") });
            event
        };
        let events: Vec<NewEvent> = (0..40).map(|_| next()).collect();
        store.append_with(Append::new(events).key(format!("batch {number}"))).unwrap();
        store.seal().unwrap();
    }
    store.close().unwrap();
    (disk, clock, known)
}

fn look_up(reader: &Reader, known: &[Known], step: usize) {
    for event in known.iter().step_by(step) {
        let found = reader.event_of_version(&event.subject, event.version).unwrap();
        assert_eq!(found.map(|found| found.position().get()), Some(event.position), "{}", event.subject);
        if let Some(id) = &event.id {
            let found = reader.events_by_id(id).unwrap();
            let of_id = known.iter().filter(|other| other.id.as_ref() == Some(id)).map(|other| other.position);
            assert!(found.iter().map(|found| found.position().get()).eq(of_id), "{id}");
        }
        let last = known.iter().rfind(|other| other.subject == event.subject).unwrap();
        assert_eq!(reader.version(&event.subject).unwrap(), last.version, "{}", event.subject);
    }
    for id in ["loan-r4-9", "wiki15-6", "wiki15-9999999", "227d4e83effb41d5f02341af00000000:9", "n1", "", "loan--1"] {
        assert!(reader.event_by_id(id).unwrap().is_none_or(|found| found.given_id() == Some(id)));
    }
    assert_eq!(reader.version("case/never").unwrap(), 0);
    assert!(reader.event_of_version("case/everywhere", 1_000_000).unwrap().is_none());
}

#[test]
fn ids_versions_and_keys_are_found_whatever_form_they_are_kept_in() {
    let (disk, clock, known) = log_with_ids(160);
    for step in [7, 61] {
        let disk = disk.snapshot();
        if step == 61 {
            runs(&disk).iter().for_each(|run| disk.remove(run).unwrap());
        }
        let store = open(&disk, &clock);
        assert_eq!(store.stats().lookup_runs, if step == 7 { 10 } else { 0 });
        look_up(&store.reader(), &known, step);
        let tail = store.reader().tail();
        for number in (0..160).step_by(step) {
            let again = known[number * 40..(number + 1) * 40].iter().map(|event| {
                let id = event.id.iter();
                id.fold(NewEvent::bytes("t", event.subject.clone(), "", *b"x"), |event, id| event.id(id.clone()))
            });
            let done = store.append_with(Append::new(again).key(format!("batch {number}"))).unwrap();
            assert!(done.duplicate && done.first.get() == number as u64 * 40 + 1, "{number}");
            let other = Append::new([NewEvent::bytes("t", "case/x", "", *b"")]).key(format!("batch {number}"));
            assert!(store.append_with(other).is_err(), "the key of other content");
        }
        assert_eq!(store.reader().tail(), tail);
        let refused = Append::new([NewEvent::bytes("t", "case/everywhere", "", *b"")])
            .expect("case/everywhere", Expected::Exactly(5));
        match store.append_with(refused) {
            Err(annals::AppendError::Conflict { position, .. }) => assert_eq!(position.get(), 48),
            other => panic!("{other:?}"),
        }
    }
}

/// Every bit of the header, and bits all over the pages.
#[test]
fn a_run_with_any_bit_flipped_gives_the_same_answers() {
    let (disk, _, known) = log_with_ids(17);
    let run = runs(&disk).pop().unwrap();
    let bytes = sim::read(&disk, &run);
    let bits = (0..136 * 8).step_by(29).chain((136 * 8..bytes.len() * 8).step_by(4_003));
    for bit in bits {
        let disk = disk.snapshot();
        sim::write(&disk, &run, bit as u64 / 8, &[bytes[bit / 8] ^ 1 << (bit % 8)]);
        let store = sim::open_read_only(&disk).unwrap();
        look_up(&store.reader(), &known, 127);
        let new = Query::all().subject("case/s3");
        let expected = known.iter().filter(|event| event.subject == "case/s3").count();
        assert_eq!(store.reader().count(&new).unwrap(), expected as u64, "bit {bit}");
    }
}

/// Files that a lookup opens, once all that is opened anyway is open.
#[test]
fn the_number_of_files_that_a_lookup_opens_does_not_grow() {
    let mut opened = Vec::new();
    for segments in [64, 512] {
        let (disk, _, _) = random_log(5, segments);
        let store = sim::open_read_only(&disk).unwrap();
        assert!(store.stats().lookup_runs > 0);
        let reader = store.reader();
        let before = disk.calls(Call::Open) + disk.calls(Call::Map);
        for n in 0..100 {
            assert_eq!(reader.version(&format!("note/new-{n}")).unwrap(), 0);
            assert!(reader.event_by_id(&format!("new-{n}")).unwrap().is_none());
            assert_eq!(reader.count(&Query::all().subject(format!("note/new-{n}"))).unwrap(), 0);
        }
        let taken = disk.calls(Call::Open) + disk.calls(Call::Map) - before;
        eprintln!("{segments} segments: {taken} files opened and mapped by 300 lookups");
        opened.push(taken);

        // Each had to be asked without them.
        let bare = disk.snapshot();
        runs(&bare).iter().for_each(|run| bare.remove(run).unwrap());
        let store = sim::open_read_only(&bare).unwrap();
        let before = bare.calls(Call::Map);
        assert_eq!(store.reader().version("note/new").unwrap(), 0);
        assert!(bare.calls(Call::Map) - before >= segments as u64, "the count sees what is opened");
    }
    // A hash that meets another's kept bits is one in 4,096 a segment.
    assert!(opened[1] <= 100, "{opened:?}");
}

#[test]
fn sixteen_become_one_and_followers_take_them_over() {
    let (disk, clock) = (SimStorage::new(), sim::clock());
    let store = open(&disk, &clock);
    let reader = sim::open_read_only(&disk).unwrap();
    for n in 1..=272u64 {
        store.append([NewEvent::bytes("t", format!("note/n-{}", n % 100), "", *b"")]).unwrap();
        store.seal().unwrap();
        let spans: Vec<(u64, u64)> = runs(&disk).iter().map(|run| span(run)).collect();
        let mut expected: Vec<(u64, u64)> = (0..n / 256).map(|run| (run * 256 + 1, run * 256 + 256)).collect();
        expected.extend((n / 256 * 16..n / 16).map(|run| (run * 16 + 1, run * 16 + 16)));
        assert_eq!(spans, expected, "after {n} segments");
        if n % 5 == 0 {
            assert_eq!(reader.reader().tail().get(), n);
            assert_eq!(reader.reader().version(&format!("note/n-{}", n % 100)).unwrap(), n.div_ceil(100));
            assert_eq!(reader.stats().lookup_runs, expected.len() as u64, "after {n} segments");
        }
    }
    // What a crash left unfinished, and what was merged long ago, goes with the next work.
    sim::write(&disk, Path::new("index/terms-00000000000000000001-00000000000000000016.run.tmp"), 0, b"half");
    store.close().unwrap();
    let store = open(&disk, &clock);
    store.seal().unwrap();
    assert_eq!(runs(&disk).len(), 2, "{:?}", runs(&disk));
}

/// Whatever fails or crashes while the sixteenth segment is sealed and a run is made, the answers stand, and the next
/// process makes it.
#[test]
fn a_run_that_was_not_finished_costs_nothing() {
    let (disk, clock) = (SimStorage::with_trace(), sim::clock());
    let store = open(&disk, &clock);
    let event = |n: u64| [NewEvent::bytes("t", format!("note/n-{}", n % 7), "", *b"x").id(format!("e-{n}"))];
    for n in 1..=15 {
        store.append(event(n)).unwrap();
        store.seal().unwrap();
    }
    let ready = disk.snapshot();
    let before = disk.op_count();
    store.append(event(16)).unwrap();
    store.seal().unwrap();
    let after = disk.op_count();
    assert_eq!(runs(&disk).len(), 1);
    let check = |store: &Store, what: &str| {
        let reader = store.reader();
        let tail = reader.tail().get();
        assert!(tail == 15 || tail == 16, "{what}");
        for n in 1..=tail {
            let found = reader.event_by_id(&format!("e-{n}")).unwrap();
            assert_eq!(found.map(|event| event.position().get()), Some(n), "{what}");
        }
        for subject in 0..7 {
            let version = (1..=tail).filter(|n| n % 7 == subject).count() as u64;
            assert_eq!(reader.version(&format!("note/n-{subject}")).unwrap(), version, "{what}");
        }
        assert_eq!(reader.version("note/never").unwrap(), 0);
    };
    let mend = |disk: &Arc<SimStorage>, what: &str| {
        check(&sim::open_read_only(disk).unwrap(), what);
        let store = open(disk, &clock);
        check(&store, what);
        if store.reader().tail().get() == 15 {
            store.append(event(16)).unwrap();
        }
        store.seal().unwrap();
        check(&store, what);
        let found = store.verify(|_| ControlFlow::Continue(())).unwrap();
        assert!(found.is_good() && found.derived.is_empty(), "{what}: {found:?}");
        assert_eq!(runs(disk).len(), 1, "{what}: {:?}", runs(disk));
    };
    let trace = disk.trace();
    for op in before..=after {
        for crash in [Crash::None, Crash::All, Crash::Random(op)] {
            mend(&trace.state_after(op, crash), &format!("{crash:?} after operation {op}"));
        }
        mend(&trace.killed_after(op), &format!("killed after operation {op}"));
    }

    let calls = {
        let disk = ready.snapshot();
        let store = open(&disk, &clock);
        store.append(event(16)).unwrap();
        let before = disk.call_count();
        store.seal().unwrap();
        before..disk.call_count()
    };
    let mut made = 0;
    for call in calls {
        for fault in [Fault::Eio, Fault::Enospc] {
            let what = format!("call {call} with {fault:?}");
            let disk = ready.snapshot();
            let store = open(&disk, &clock);
            store.append(event(16)).unwrap();
            disk.fail(FailPlan::at(call, fault));
            let sealed = store.seal();
            disk.heal();
            // What fails of the run fails nothing else, and the statistics tell.
            made += u64::from(sealed.is_ok() && store.stats().sealing_failed.is_some());
            check(&store, &what);
            drop(store);
            mend(&disk, &what);
        }
    }
    assert!(made > 4, "{made} failed calls of making a run");
}
