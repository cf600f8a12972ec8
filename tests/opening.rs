//! What opening for reading syncs: what a crash may have left in memory alone, and nothing that is known to be on disk.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::path::Path;
use std::sync::Arc;

use annals::sim::{Call, Crash, SimStorage, Storage};
use annals::{NewEvent, Store};

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
