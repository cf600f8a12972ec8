//! What opening for reading syncs: what a crash may have left in memory alone, and nothing that is known to be on disk.
//! And what it believes: LIVE, unless the files prove more.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod common;

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use annals::sim::{Call, Crash, FailPlan, Fault, Mode, SimStorage, Storage};
use annals::{ErrorKind, NewEvent, Query, StartAt, Store};

use common::sim;

/// Four raw segments, the last of which takes appends.
fn filled() -> (Arc<SimStorage>, Store) {
    let (disk, clock) = (SimStorage::new(), sim::clock());
    let store = sim::open(&disk, sim::options(&clock).sealing(false)).unwrap();
    while store.segments().len() < 4 {
        store.append([NewEvent::bytes("t", "note/n-1", "", vec![7; 4000])]).unwrap();
    }
    (disk, store)
}

/// Files whose contents are synced when the log is opened for reading.
fn synced(disk: &Arc<SimStorage>, events: u64) -> u64 {
    let before = disk.calls(Call::SyncData);
    let store = sim::open_read_only(disk).unwrap();
    assert_eq!(store.reader().tail().get(), events);
    disk.calls(Call::SyncData) - before
}

#[test]
fn only_what_no_slot_proves_durable_is_synced_by_a_reader() {
    let (disk, store) = filled();
    let events = store.reader().tail().get();
    // The power goes: every full segment has its slot, the newest one has frames behind its last.
    let cut = disk.crash(Crash::All);
    assert_eq!(synced(&cut, events), 1, "after a loss of power");
    store.close().unwrap();
    assert_eq!(synced(&disk, events), 0, "after a close in order");
    // A slot says how far it was durable, and more was appended.
    let clock = sim::clock();
    let again = disk.snapshot();
    let store = sim::open(&again, sim::options(&clock).sealing(false)).unwrap();
    store.append([NewEvent::bytes("t", "note/n-1", "", *b"")]).unwrap();
    assert_eq!(synced(&again.crash(Crash::All), events + 1), 1, "after a close, an append and a loss of power");
    // In a copy LIVE belongs to another file, and nobody knows what was synced.
    let copy = disk.snapshot();
    copy.remove(Path::new("LIVE")).unwrap();
    assert_eq!(synced(&copy, events), 4, "in a copy");
}

/// Appends so many events of 1,000 bytes, one by one; all that are there then.
fn append(store: &Store, count: u64) -> u64 {
    for _ in 0..count {
        store.append([NewEvent::bytes("t", "note/n-1", "", vec![7; 1000])]).unwrap();
    }
    store.reader().tail().get()
}

/// A disk that goes away and comes back under the same boot has LIVE as it was written back some time ago: nobody syncs
/// it. What it says then is less than what the files hold, and some of that was acknowledged.
#[test]
fn a_live_page_that_is_older_than_the_files_hides_nothing() {
    for (was_closed, more, is_closed) in [
        (true, 3, false),
        (true, 200, true),
        (false, 3, false),
        (false, 200, false),
        (false, 3, true),
        (false, 70, true),
    ] {
        let what = format!("LIVE of a closed store {was_closed}, {more} events later, closed {is_closed}");
        let directory = tempfile::tempdir().unwrap();
        let open = || Store::options().segment_bytes(64 << 10).sealing(false).open(directory.path()).unwrap();
        let live = directory.path().join("LIVE");
        let mut store = open();
        append(&store, 5);
        if was_closed {
            store.close().unwrap();
        }
        let old = std::fs::read(&live).unwrap();
        if was_closed {
            store = open();
        }
        let events = append(&store, more);
        if is_closed {
            store.close().unwrap();
        }
        // In place: it stays the same file.
        std::fs::OpenOptions::new().write(true).open(&live).unwrap().write_all(&old).unwrap();
        let beside = Store::options().read_only(true).open(directory.path()).unwrap();
        let mut subscription = beside.subscribe(Query::all(), StartAt::Start);
        for _ in 0..2 {
            let reader = beside.reader();
            assert_eq!((reader.tail().get(), reader.count(&Query::all()).unwrap()), (events, events), "{what}");
        }
        let mut followed = 0;
        while followed < events {
            followed += subscription.next_timeout(Duration::from_secs(5)).unwrap().expect(&what).len() as u64;
        }
        assert_eq!(followed, events, "{what}");
    }
}

/// Under a reader that follows, too, what was read stays: it is told that the log has another end now.
#[test]
fn a_log_that_got_shorter_under_a_reader_leaves_out_nothing_in_silence() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::options().segment_bytes(64 << 10).sealing(false).open(directory.path()).unwrap();
    let live = directory.path().join("LIVE");
    append(&store, 5);
    let old = std::fs::read(&live).unwrap();
    let events = append(&store, 200);
    let beside = Store::options().read_only(true).open(directory.path()).unwrap();
    let mut subscription = beside.subscribe(Query::all(), StartAt::Now);
    assert_eq!(beside.reader().count(&Query::all()).unwrap(), events);
    std::fs::OpenOptions::new().write(true).open(&live).unwrap().write_all(&old).unwrap();
    let error = subscription.next_timeout(Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Diverged);
    let reader = beside.reader();
    assert_eq!((reader.tail().get(), reader.count(&Query::all()).unwrap()), (events, events));
}

/// Power may go while a store is made: of the names in its directory any may then be there.
#[test]
fn a_store_of_which_only_anchor_is_there_is_empty() {
    let (disk, clock) = (SimStorage::new(), sim::clock());
    disk.fail(FailPlan::every(Call::Words, Fault::Eio));
    assert_eq!(sim::open(&disk, sim::options(&clock)).unwrap_err().kind(), ErrorKind::Io);
    let anchor = Path::new("ANCHOR");
    let left = SimStorage::new();
    left.create_dir_all(Path::new("")).unwrap();
    left.open(anchor, Mode::CreateNew).unwrap();
    sim::write(&left, anchor, 0, &sim::read(&disk, anchor));
    let reading = sim::open_read_only(&left).unwrap();
    assert_eq!((reading.reader().tail().get(), reading.damage()), (0, vec![]));
    drop(reading);
    let writing = sim::open(&left, sim::options(&clock)).unwrap();
    writing.append([NewEvent::bytes("t", "note/n-1", "", *b"1")]).unwrap();
    writing.close().unwrap();
}

/// A system that gives nothing at one time and all at the next has not damaged anything.
#[test]
fn a_read_that_gives_nothing_is_no_damage() {
    let (disk, store) = filled();
    let verify = || store.verify(|_| ControlFlow::Continue(()));
    let before = disk.call_count();
    assert!(verify().unwrap().is_good());
    let calls = disk.call_count() - before;
    assert!(calls > 20, "{calls} calls");
    for call in 0..calls {
        disk.fail(FailPlan::at_read(disk.call_count() + call, Fault::Short(0)));
        match verify() {
            Ok(verification) => assert!(verification.is_good(), "call {call}: {verification:?}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Io, "call {call}: {error}"),
        }
    }
}
