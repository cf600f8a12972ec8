//! What opening does with an end that nothing proves durable: what is whole is written again, what is torn is cut and
//! kept, and the report says of both exactly what was done.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use annals::sim::{Call, Crash, FailPlan, Fault, ManualClock, SimStorage};
use annals::{Cut, Durability, ErrorKind, NewEvent, Options, Query, Store};

use common::sim;

/// Where the frames of a raw segment begin: behind a header and two slots.
const FIRST_OFFSET: usize = 3 * 4096;
const WRITTEN: Durability = Durability::Written { sync_every: Duration::from_secs(3600) };

fn options(clock: &Arc<ManualClock>, durability: Durability) -> Options {
    sim::options(clock).sealing(false).durability(durability)
}

fn open(disk: &Arc<SimStorage>, durability: Durability) -> Store {
    sim::open(disk, options(&sim::clock(), durability)).unwrap()
}

fn append(store: &Store, count: u64) {
    let first = store.reader().tail().get() + 1;
    let event = |number: u64| NewEvent::bytes("t", format!("note/n-{number}"), "", vec![number as u8; 300]);
    store.append((first..first + count).map(event)).unwrap();
}

fn count(store: &Store) -> u64 {
    store.reader().count(&Query::all()).unwrap()
}

fn raw(base: u64) -> PathBuf {
    format!("log/{base:020}.raw").into()
}

fn quarantined(disk: &SimStorage) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = sim::files(disk);
    files.retain(|(path, _)| path.starts_with("quarantine"));
    files
}

#[test]
fn what_is_whole_and_not_proven_is_written_again_and_counted() {
    let disk = SimStorage::new();
    let store = open(&disk, Durability::Synced);
    append(&store, 3);
    append(&store, 4);
    append(&store, 2);
    // Each frame says that those before it are durable; of the last, nothing does.
    let killed = disk.snapshot();
    let again = open(&killed, Durability::Synced);
    assert_eq!((again.recovery().rewritten, again.recovery().clean, count(&again)), (2, false, 9));
    // Now a slot says so of all of them; the log was not closed for that.
    let proven = open(&killed.snapshot(), Durability::Synced);
    assert_eq!((proven.recovery().rewritten, proven.recovery().clean, count(&proven)), (0, false, 9));
    again.close().unwrap();
    let closed = open(&killed, Durability::Synced);
    assert_eq!((closed.recovery().rewritten, closed.recovery().clean, count(&closed)), (0, true, 9));
    drop(store);
}

/// A sync that fails while a store is made leaves a header in the page cache that is clean and not on the disk. Whichever
/// call it was that failed, what is acknowledged afterwards lasts.
#[test]
fn after_a_failure_in_the_making_what_is_appended_lasts() {
    for durability in [Durability::Synced, WRITTEN] {
        let calls = {
            let disk = SimStorage::new();
            open(&disk, durability);
            disk.call_count()
        };
        for failing in 0..calls {
            let disk = SimStorage::new();
            disk.fail(FailPlan::at(failing, Fault::Eio));
            let made = sim::open(&disk, options(&sim::clock(), durability));
            disk.heal();
            let killed = disk.snapshot();
            drop(made);
            let store = open(&killed, durability);
            append(&store, 3);
            store.sync().unwrap();
            let left = open(&killed.crash(Crash::None), durability);
            assert_eq!(count(&left), 3, "{durability:?}, call {failing} failed");
        }
    }
}

/// Writes bytes where the segment's next frame would begin: the disk, that file before it is opened, and the offset.
fn torn(disk: &Arc<SimStorage>, store: &Store, path: &Path, bytes: &[u8]) -> (Arc<SimStorage>, Vec<u8>, u64) {
    let (torn, before) = (disk.snapshot(), sim::read(disk, path));
    append(store, 1);
    let after = sim::read(disk, path);
    let changed = |at: &usize| *at >= FIRST_OFFSET && before.get(*at) != after.get(*at);
    let offset = (0..after.len()).find(changed).unwrap() as u64;
    sim::write(&torn, path, offset, bytes);
    let was = sim::read(&torn, path);
    (torn, was, offset)
}

#[test]
fn a_torn_tail_is_cut_where_it_begins_and_kept_whole() {
    let disk = SimStorage::new();
    let store = open(&disk, WRITTEN);
    append(&store, 3);
    append(&store, 4);
    let (killed, was, offset) = torn(&disk, &store, &raw(1), &[0xAB; 41]);
    let again = open(&killed, WRITTEN);
    let cut = again.recovery().cut.clone().unwrap();
    let Cut { file, position, bytes, quarantine, reason, .. } = &cut;
    assert_eq!((file, cut.offset, position.get(), *bytes), (&raw(1), offset, 8, 41));
    assert_eq!(quarantine, &[PathBuf::from("quarantine").join(raw(1).file_name().unwrap())]);
    assert!(reason.contains("nothing proves it was durable"), "{reason}");
    assert!(again.recovery().to_string().contains("torn tail of 41 bytes cut at"), "{}", again.recovery());
    assert!(sim::read(&killed, &quarantine[0]) == was, "it is kept byte for byte");
    // Nothing is ever added to a file that was cut: what comes next stands in another.
    assert_eq!(sim::read(&killed, &raw(1)).len() as u64, offset);
    append(&again, 2);
    assert_eq!((count(&again), again.segments().len()), (9, 2));
    assert!(sim::read(&killed, &raw(8))[FIRST_OFFSET] != 0);
    again.close().unwrap();
    // Also after a loss of power, and nothing is cut twice.
    let left = open(&killed.crash(Crash::None), WRITTEN);
    assert_eq!((count(&left), left.recovery().cut.as_ref(), left.recovery().rewritten), (9, None, 0));
    assert_eq!(quarantined(&killed.crash(Crash::None)), [(quarantine[0].clone(), was)]);
}

/// However far from each other: all of them are looked at.
#[test]
fn all_bytes_that_are_cut_are_counted() {
    let disk = SimStorage::new();
    let large = || options(&sim::clock(), WRITTEN).segment_bytes(8 << 20);
    let store = sim::open(&disk, large()).unwrap();
    append(&store, 2);
    let (killed, _, offset) = torn(&disk, &store, &raw(1), &[0xAB; 10]);
    sim::write(&killed, &raw(1), offset + (3 << 20), &[0xAB; 7]);
    sim::write(&killed, &raw(1), offset + (5 << 20), &[0xAB; 5]);
    let again = sim::open(&killed, large()).unwrap();
    assert_eq!(again.recovery().cut.as_ref().unwrap().bytes, 22);
    assert_eq!(count(&again), 2);
}

/// A segment of which nothing remains gives its name to the next, so the same name may be torn again: each is kept.
#[test]
fn a_name_that_is_torn_again_and_again_is_kept_each_time() {
    let mut disk = SimStorage::new();
    drop(open(&disk, WRITTEN));
    let mut kept = Vec::new();
    for time in 0..3 {
        sim::write(&disk, &raw(1), FIRST_OFFSET as u64, &[0xA0 + time; 9]);
        kept.push(sim::read(&disk, &raw(1)));
        let store = open(&disk, WRITTEN);
        let cut = store.recovery().cut.clone().unwrap();
        assert_eq!((cut.file, cut.offset, cut.position.get(), cut.bytes), (raw(1), FIRST_OFFSET as u64, 1, 9));
        assert_eq!(quarantined(&disk).into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), kept);
        // Killed here.
        disk = disk.snapshot();
    }
    let store = open(&disk, WRITTEN);
    append(&store, 1);
    assert_eq!((count(&store), quarantined(&disk).len()), (1, 3));
}

#[test]
fn where_links_are_not_to_be_had_a_copy_is_kept() {
    let disk = SimStorage::new();
    let store = open(&disk, WRITTEN);
    append(&store, 5);
    let (killed, was, _) = torn(&disk, &store, &raw(1), &[0xCD; 100]);
    killed.fail(FailPlan::every(Call::Link, Fault::Eio));
    let again = open(&killed, WRITTEN);
    let cut = again.recovery().cut.clone().unwrap();
    killed.heal();
    assert!(sim::read(&killed, &cut.quarantine[0]) == was, "a copy is the whole file");
    assert_eq!(quarantined(&killed.crash(Crash::None)), [(cut.quarantine[0].clone(), was)], "and durable");
    assert_eq!(count(&again), 5);
    drop(store);
}

/// The next file was given its name, and its header never came to the disk.
#[test]
fn a_file_without_a_header_behind_a_tear_goes_too() {
    let disk = SimStorage::new();
    let store = open(&disk, WRITTEN);
    append(&store, 5);
    let (killed, was, offset) = torn(&disk, &store, &raw(1), &[0xCD; 100]);
    sim::write(&killed, &raw(9), 0, &[0; 8192]);
    let again = open(&killed, WRITTEN);
    let cut = again.recovery().cut.clone().unwrap();
    assert_eq!((cut.file, cut.offset, cut.bytes, cut.quarantine.len()), (raw(1), offset, 100, 2));
    assert!(sim::read(&killed, &cut.quarantine[0]) == was && sim::read(&killed, &cut.quarantine[1]) == [0; 8192]);
    assert!(!sim::files(&killed).iter().any(|(path, _)| *path == raw(9)), "it is gone from the log");
    append(&again, 1);
    assert_eq!(count(&again), 6);
    drop(store);
}

/// Every sync that a recovery makes may fail; what it should have made durable is then clean in memory and not on the
/// disk. The recovery after it makes up for that, whenever the writer was killed before.
#[test]
fn after_a_recovery_that_failed_the_next_leaves_nothing_in_memory_alone() {
    let disk = SimStorage::with_trace();
    let store = open(&disk, WRITTEN);
    let made = disk.op_count();
    while store.segments().len() < 3 {
        append(&store, 40);
    }
    let trace = disk.trace();
    let mut failures = 0;
    for op in made..trace.ops().len() as u64 {
        let killed = trace.killed_after(op);
        let once = killed.snapshot();
        drop(open(&once, WRITTEN));
        for call in (0..once.call_count()).filter(|call| once.call_at(*call) == Some(Call::SyncData)) {
            let again = killed.snapshot();
            again.fail(FailPlan::at(call, Fault::Eio));
            let failed = sim::open(&again, options(&sim::clock(), WRITTEN));
            again.heal();
            failures += u32::from(failed.is_err());
            let again = again.snapshot();
            let store = open(&again, WRITTEN);
            append(&store, 3);
            store.sync().unwrap();
            let left = open(&again.crash(Crash::None), WRITTEN);
            assert_eq!(count(&left), count(&store), "killed after {op}, call {call} of the recovery failed");
        }
    }
    assert!(failures > 50, "{failures}");
}

/// The page of a raw segment that holds the newer of its two slots, with its number; `None` if none was written. Their
/// seq stands at byte 8.
fn newer_slot(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let page = |number: usize| bytes.get(number * 4096..(number + 1) * 4096);
    let seq = |page: &[u8]| u64::from_le_bytes(page[8..16].try_into().unwrap());
    let slots = [1, 2].into_iter().filter_map(|number| Some((number, page(number)?)));
    slots.filter(|(_, page)| page.iter().any(|byte| *byte != 0)).max_by_key(|(_, page)| seq(page))
}

/// It may be torn while it is written, and then the other one has to be there.
#[test]
fn a_slot_is_never_written_over_the_newer_of_the_two() {
    let disk = SimStorage::with_trace();
    let mut rewritten = 0;
    for _ in 0..3 {
        let store = open(&disk, WRITTEN);
        append(&store, 60);
        store.close().unwrap();
    }
    let trace = disk.trace();
    for op in 0..trace.ops().len() as u64 {
        let killed = trace.killed_after(op);
        let before = sim::files(&killed);
        // Held, for closing writes slots too.
        let Ok(_store) = sim::open(&killed, options(&sim::clock(), WRITTEN)) else { continue };
        for (path, was) in before.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "raw")) {
            let is = sim::read(&killed, path);
            let (Some((number, old)), Some((other, new))) = (newer_slot(was), newer_slot(&is)) else { continue };
            assert!(old == &is[number * 4096..][..4096], "killed after {op}: {} lost its slot", path.display());
            rewritten += u32::from(number != other);
            assert!(number == other || new != old, "killed after {op}");
        }
    }
    assert!(rewritten > 0, "no recovery wrote a slot");
}

#[test]
fn a_recovery_that_fails_and_is_done_again_keeps_a_tear_once() {
    let disk = SimStorage::new();
    let store = open(&disk, WRITTEN);
    append(&store, 5);
    let (killed, was, _) = torn(&disk, &store, &raw(1), &[0xEF; 77]);
    let whole = killed.snapshot();
    drop(open(&whole, WRITTEN));
    for call in 0..whole.call_count() {
        let again = killed.snapshot();
        again.fail(FailPlan::at(call, Fault::Eio));
        drop(sim::open(&again, options(&sim::clock(), WRITTEN)));
        again.heal();
        let again = again.snapshot();
        let store = open(&again, WRITTEN);
        assert_eq!(count(&store), 5, "call {call} failed");
        let kept = quarantined(&again);
        // A failed link was made up for by a copy, which is another file than what the second recovery finds.
        let most = if whole.call_at(call) == Some(Call::Link) { 2 } else { 1 };
        assert!((1..=most).contains(&kept.len()), "call {call} failed: kept {} times", kept.len());
        assert!(kept.iter().all(|(_, bytes)| *bytes == was), "call {call} failed");
    }
}

/// Of a newest segment that nothing proves durable a crash leaves a header, zeros, or less than a page. A whole page of
/// something else was not left by a crash.
#[test]
fn a_header_that_is_short_or_zero_is_a_tear_and_a_damaged_one_is_not() {
    let disk = SimStorage::new();
    let store = open(&disk, WRITTEN);
    while store.segments().len() < 3 {
        append(&store, 10);
    }
    let first = store.segments()[2].first.get();
    let killed = disk.snapshot();
    drop(store);
    let len = sim::read(&killed, &raw(first)).len();
    for left in [0, 1, 100, 4095] {
        let torn = killed.snapshot();
        sim::truncate(&torn, &raw(first), left);
        let store = open(&torn, WRITTEN);
        let cut = store.recovery().cut.clone().map(|cut| cut.file);
        assert_eq!((count(&store), cut), (first - 1, Some(raw(first))), "{left} bytes left");
    }
    let zeros = killed.snapshot();
    sim::write(&zeros, &raw(first), 0, &[0; 4096]);
    assert_eq!(count(&open(&zeros, WRITTEN)), first - 1);
    for left in [4096, 4097, len as u64] {
        let damaged = killed.snapshot();
        sim::truncate(&damaged, &raw(first), left);
        sim::write(&damaged, &raw(first), 50, &[0xFF; 4]);
        let refused = sim::open(&damaged, options(&sim::clock(), WRITTEN)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corruption, "{left} bytes left: {refused}");
    }
}

#[test]
fn a_tear_behind_what_is_proven_is_cut_and_what_is_proven_stays() {
    let disk = SimStorage::new();
    let store = open(&disk, WRITTEN);
    append(&store, 3);
    store.sync().unwrap();
    append(&store, 4);
    let (killed, _, _) = torn(&disk, &store, &raw(1), &[0xAB; 41]);
    let again = open(&killed, WRITTEN);
    assert_eq!((count(&again), again.recovery().cut.is_some(), again.damage().len()), (7, true, 0));
    drop(store);
}

/// One event in it that ANCHOR says was durable is enough.
#[test]
fn a_header_of_a_segment_with_one_durable_event_is_no_tear() {
    let disk = SimStorage::new();
    let store = open(&disk, WRITTEN);
    while store.segments().len() < 2 {
        append(&store, 1);
    }
    let newest = raw(store.reader().tail().get());
    store.close().unwrap();
    sim::write(&disk, &newest, 0, &[0; 4096]);
    let refused = sim::open(&disk, options(&sim::clock(), WRITTEN)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corruption, "{refused}");
}

/// A whole segment behind one that lost its header has nothing to follow: it is kept, and out of the log.
#[test]
fn a_whole_segment_behind_a_torn_one_goes_with_it() {
    let disk = SimStorage::new();
    let store = open(&disk, WRITTEN);
    while store.segments().len() < 3 {
        append(&store, 10);
    }
    append(&store, 5);
    let [second, third] = [1, 2].map(|index| raw(store.segments()[index].first.get()));
    let first_holds = store.segments()[1].first.get() - 1;
    let killed = disk.snapshot();
    drop(store);
    sim::write(&killed, &second, 0, &[0; 4096]);
    let was = sim::read(&killed, &third);
    let again = open(&killed, WRITTEN);
    let cut = again.recovery().cut.clone().unwrap();
    assert_eq!((count(&again), cut.file, cut.quarantine.len()), (first_holds, second, 2));
    assert!(cut.quarantine.iter().any(|kept| sim::read(&killed, kept) == was), "{:?}", cut.quarantine);
    assert!(!sim::files(&killed).iter().any(|(path, _)| *path == third), "it is gone from the log");
    append(&again, 1);
    assert_eq!((count(&again), again.damage().len()), (first_holds + 1, 0));
}
