//! Backup and restore: a copy made under way is a prefix of the log and holds all that was acknowledged
//! before; whatever interrupts it, the next one finishes it; damage is never copied in silence; and a
//! restored store goes on under another epoch.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "simulated/mod.rs"]
mod simulated;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use annals::sim::{Call, Crash, FailPlan, Fault, SimStorage, Storage};
use annals::{Durability, ErrorKind, NewEvent, Query, Store, Timestamp};
use simulated::{Mode, open, root};

/// The smallest there are, so that little makes many.
const SEGMENT_BYTES: u64 = 64 << 10;

fn event(number: u64, bytes: usize) -> NewEvent {
    let data: Vec<u8> = format!("{number} ").bytes().cycle().take(bytes).collect();
    NewEvent::bytes("note.edited", format!("note/n-{}", number % 7), "text/plain", data)
}

fn fill(store: &Store, events: u64) {
    let first = store.reader().tail().get();
    for number in first..first + events {
        store.append([event(number, 3000)]).unwrap();
    }
}

/// All that a copy must keep of an event.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    position: u64,
    version: u64,
    id: String,
    recorded_at: Timestamp,
    subject: String,
    data: Vec<u8>,
}

fn read(store: &Store) -> Vec<Seen> {
    let seen = |event: annals::Event| Seen {
        position: event.position().get(),
        version: event.version(),
        id: event.id().to_string(),
        recorded_at: event.recorded_at(),
        subject: event.subject().to_owned(),
        data: event.data().to_vec(),
    };
    store.reader().read(&Query::all()).map(|event| seen(event.unwrap())).collect()
}

fn open_disk(path: &Path) -> Store {
    Store::options().segment_bytes(SEGMENT_BYTES).sealing(false).open(path).unwrap()
}

fn reading(path: &Path) -> Store {
    Store::options().read_only(true).open(path).unwrap()
}

fn is_good(store: &Store) {
    let found = store.verify(|_| ControlFlow::Continue(())).unwrap();
    assert!(found.is_good() && found.torn.is_none(), "{found:?}");
    assert_eq!(found.events, store.reader().tail().get());
}

/// Ends the threads that watch it, also when a check fails: else they would be waited for without end.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// The raw files of a store on a real disk, oldest first.
fn raws(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(path.join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "raw"))
        .collect();
    files.sort();
    files
}

/// All names and bytes below a directory, but for LOCK.
fn everything(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut due = vec![path.to_owned()];
    while let Some(dir) = due.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                due.push(path);
            } else if path.file_name().is_some_and(|name| name != "LOCK") {
                let bytes = fs::read(&path).unwrap();
                found.push((path, bytes));
            }
        }
    }
    found.sort();
    found
}

/// Flips a bit of the frames of a file, in a new file of that name, so that what is linked stays good.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[12_288 + 700] ^= 4;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_backup_under_way_is_a_prefix_with_all_that_was_acknowledged() {
    for durability in [Durability::Synced, Durability::Written { sync_every: std::time::Duration::from_millis(5) }] {
        let place = Place::new();
        let options = Store::options().segment_bytes(SEGMENT_BYTES).durability(durability);
        let store = options.open(place.at("store")).unwrap();
        let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let _stops = Stops(&stop);
            for thread in 0..2u64 {
                let (store, stop, acknowledged) = (&store, &stop, &acknowledged);
                scope.spawn(move || {
                    for number in 0.. {
                        if stop.load(Ordering::Acquire) {
                            break;
                        }
                        let batch = (0..1 + number % 3).map(|index| event(thread + number + index, 900));
                        let done = store.append(batch).unwrap();
                        acknowledged.fetch_max(done.last.get(), Ordering::AcqRel);
                        // Every segment is mapped, and these are small.
                        std::thread::sleep(std::time::Duration::from_micros(500));
                    }
                });
            }
            for round in 0..4u64 {
                while acknowledged.load(Ordering::Acquire) < 200 * (round + 1) {
                    std::thread::yield_now();
                }
                let before = acknowledged.load(Ordering::Acquire);
                // Through the writer's handle, and through one for reading.
                let dir = place.at(&format!("backup-{}", round % 2));
                let done = if round < 2 {
                    store.backup(&dir).unwrap()
                } else {
                    let reader = reading(&place.at("store"));
                    let before = reader.reader().durable().get();
                    let done = reader.backup(&dir).unwrap();
                    assert!(done.position.get() >= before);
                    done
                };
                if round < 2 || durability == Durability::Synced {
                    assert!(done.position.get() >= before, "{done:?}, {before} were acknowledged");
                }
                let backup = reading(&dir);
                is_good(&backup);
                let copied = read(&backup);
                assert_eq!(copied.len() as u64, done.position.get());
                assert_eq!(copied, read(&store)[..copied.len()]);
                assert!(done.root.is_some());
            }
        });
    }
}

#[test]
fn a_second_backup_brings_only_what_is_new() {
    let place = Place::new();
    let store = open_disk(&place.at("store"));
    fill(&store, 50);
    let first = store.backup(place.at("backup")).unwrap();
    assert_eq!((first.position.get(), first.kept), (50, 0));
    assert!(first.linked >= 1 && first.copied == 1, "{first:?}");
    let again = store.backup(place.at("backup")).unwrap();
    assert_eq!((again.copied, again.linked, again.kept), (0, 0, first.linked + 1), "{again:?}");
    fill(&store, 70);
    let second = store.backup(place.at("backup")).unwrap();
    assert_eq!((second.position.get(), second.kept, second.copied), (120, first.linked, 1), "{second:?}");
    assert!(second.linked >= 2, "{second:?}");
    let backup = reading(&place.at("backup"));
    assert_eq!(read(&backup), read(&store));
    assert!(!place.at("backup/LIVE").exists() && !place.at("backup/log/spare.tmp").exists());

    // Full files are shared, the last one never.
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let mut links: Vec<u64> =
            raws(&place.at("backup")).iter().map(|file| fs::metadata(file).unwrap().nlink()).collect();
        assert_eq!(links.pop(), Some(1));
        assert!(links.iter().all(|links| *links == 2), "{links:?}");
    }
    // What happens to the store later is nothing to the backup.
    let before = everything(&place.at("backup"));
    fill(&store, 30);
    store.close().unwrap();
    fill(&open_disk(&place.at("store")), 30);
    assert!(everything(&place.at("backup")) == before);
}

#[test]
fn an_empty_store_has_a_backup_too() {
    let place = Place::new();
    let store = open_disk(&place.at("store"));
    assert_eq!(store.backup(place.at("backup")).unwrap().position.get(), 0);
    let restored = Store::restore(place.at("backup"), place.at("restored")).unwrap();
    assert_eq!((restored.position.get(), restored.epoch), (0, 2));
    fill(&open_disk(&place.at("restored")), 3);
    fill(&store, 3);
    assert_eq!(store.backup(place.at("backup")).unwrap().position.get(), 3);
}

#[test]
fn a_restored_store_goes_on_under_another_epoch() {
    let place = Place::new();
    let store = open_disk(&place.at("store"));
    fill(&store, 60);
    store.backup(place.at("backup")).unwrap();
    fill(&store, 5);
    let restored = Store::restore(place.at("backup"), place.at("restored")).unwrap();
    assert_eq!((restored.position.get(), restored.epoch), (60, store.stats().epoch + 1));

    let copy = open_disk(&place.at("restored"));
    assert!(copy.recovery().clean, "{}", copy.recovery());
    fill(&copy, 40);
    let (original, events) = (read(&store), read(&copy));
    assert_eq!(events[..60], original[..60]);
    assert_eq!(copy.stats().log, store.stats().log);
    for (ours, theirs) in events[60..].iter().zip(&original[60..]) {
        assert_eq!(ours.position, theirs.position);
        assert_ne!(ours.id, theirs.id, "another event under the same name");
    }
    is_good(&copy);
    copy.close().unwrap();
    assert!(open_disk(&place.at("restored")).recovery().clean);
    // It has gone another way, and so no backup of the one goes over that of the other.
    let before = everything(&place.at("restored"));
    let refused = store.backup(place.at("restored")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert!(everything(&place.at("restored")) == before);
    // A store that was closed is restored as well as a backup.
    store.close().unwrap();
    assert_eq!(Store::restore(place.at("store"), place.at("twin")).unwrap().position.get(), 65);
}

#[test]
fn who_writes_into_a_backup_does_so_under_another_epoch() {
    let place = Place::new();
    let store = open_disk(&place.at("store"));
    fill(&store, 30);
    store.backup(place.at("backup")).unwrap();
    let epoch = store.stats().epoch;
    let full = raws(&place.at("backup"))[0].clone();
    let bytes = fs::read(&full).unwrap();
    let opened = open_disk(&place.at("backup"));
    assert_eq!(opened.stats().epoch, epoch + 1);
    // As long as it is open, no backup is made there.
    let refused = store.backup(place.at("backup")).unwrap_err();
    assert!([ErrorKind::Locked, ErrorKind::Conflict].contains(&refused.kind()), "{refused:?}");
    fill(&opened, 5);
    opened.close().unwrap();
    assert!(fs::read(&full).unwrap() == bytes, "what the store shares was written to");
    let refused = store.backup(place.at("backup")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    is_good(&store);
}

#[test]
fn wrong_directories_are_refused_untouched() {
    let place = Place::new();
    let store = open_disk(&place.at("store"));
    fill(&store, 30);
    let other = open_disk(&place.at("other"));
    fill(&other, 30);
    other.backup(place.at("other-backup")).unwrap();
    fs::create_dir(place.at("foreign")).unwrap();
    fs::write(place.at("foreign/notes.txt"), "mine").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(place.at("store"), place.at("alias")).unwrap();

    let mut cases = vec![
        ("store", ErrorKind::Invalid),
        ("store/backup", ErrorKind::Invalid),
        ("store/log/deep/er", ErrorKind::Invalid),
        ("foreign", ErrorKind::Invalid),
        ("", ErrorKind::Invalid),
        ("foreign/notes.txt", ErrorKind::Invalid),
        ("other", ErrorKind::Conflict),
        ("other-backup", ErrorKind::Conflict),
    ];
    if cfg!(unix) {
        cases.extend([("alias", ErrorKind::Invalid), ("alias/backup", ErrorKind::Invalid)]);
    }
    for (name, kind) in cases {
        let before = (everything(&place.at(name)), everything(&place.at("store")));
        let refused = store.backup(place.at(name)).unwrap_err();
        assert_eq!(refused.kind(), kind, "{name}: {refused}");
        assert!((everything(&place.at(name)), everything(&place.at("store"))) == before, "{name} was touched");
    }

    store.backup(place.at("backup")).unwrap();
    let locked = Store::restore(place.at("store"), place.at("new")).unwrap_err();
    assert_eq!(locked.kind(), ErrorKind::Locked, "{locked}");
    for (from, to, kind) in [
        ("nothing", "new", ErrorKind::NotFound),
        ("foreign", "new", ErrorKind::NotAStore),
        ("backup", "foreign", ErrorKind::Conflict),
        ("backup", "other", ErrorKind::Conflict),
        ("backup", "backup", ErrorKind::Invalid),
        ("backup", "backup/new", ErrorKind::Invalid),
    ] {
        let refused = Store::restore(place.at(from), place.at(to)).unwrap_err();
        assert_eq!(refused.kind(), kind, "{from} to {to}: {refused}");
        assert!(!place.at("new").exists(), "{from}");
    }
    // A store that lost events is no source for a backup that has them.
    let copy = place.at("shorter");
    fs::create_dir_all(copy.join("log")).unwrap();
    let early = Place::new();
    Store::restore(place.at("backup"), early.at("early")).unwrap();
    fill(&store, 10);
    store.backup(place.at("backup")).unwrap();
    let refused = reading(&early.at("early")).backup(place.at("backup")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
}

#[test]
fn damage_is_reported_and_never_copied_in_silence() {
    for file in 0..4 {
        let place = Place::new();
        let store = open_disk(&place.at("store"));
        fill(&store, 50);
        assert_eq!(raws(&place.at("store")).len(), 4);
        store.backup(place.at("good")).unwrap();
        store.close().unwrap();

        flip(&raws(&place.at("store"))[file]);
        let damaged = reading(&place.at("store"));
        let refused = damaged.backup(place.at("backup")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corruption, "{refused}");
        let at = refused.corruption().unwrap();
        assert!(raws(&place.at("store"))[file].ends_with(&at.file) && at.positions.is_some(), "{refused}");
        assert!(!place.at("backup/ANCHOR").exists(), "an unfinished backup has no ANCHOR");
        let refused = Store::restore(place.at("backup"), place.at("new")).unwrap_err();
        assert!([ErrorKind::Corruption, ErrorKind::NotFound].contains(&refused.kind()), "{refused:?}");
        let refused = Store::restore(place.at("store"), place.at("new")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corruption, "{refused}");

        // A backup that was damaged is no source, and is made good again by the next backup.
        let healthy = place.at("healthy");
        Store::restore(place.at("good"), &healthy).unwrap();
        flip(&raws(&place.at("good"))[file]);
        let refused = Store::restore(place.at("good"), place.at("new")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corruption, "{refused}");
        let store = reading(&healthy);
        store.backup(place.at("second")).unwrap();
        flip(&raws(&place.at("second"))[file]);
        let again = store.backup(place.at("second")).unwrap();
        assert_eq!(again.copied + again.linked, 1, "{again:?}");
        assert_eq!(read(&reading(&place.at("second"))), read(&store));
    }
}

/// A store on a simulated disk, and an empty disk for its backup.
fn simulated_store(mode: Mode) -> (Arc<SimStorage>, Store) {
    let disk = SimStorage::new();
    let store = open(&disk, mode).unwrap();
    fill(&store, 45);
    (disk, store)
}

fn backup_to(store: &Store, disk: &Arc<SimStorage>) -> annals::Result<annals::Backup> {
    let storage: Arc<dyn Storage> = disk.clone();
    store.backup_on(&storage, Path::new("/backup"), |_| ControlFlow::Continue(()))
}

fn restore_to(from: &Arc<SimStorage>, to: &Arc<SimStorage>) -> annals::Result<annals::Restored> {
    let (source, target): (Arc<dyn Storage>, Arc<dyn Storage>) = (from.clone(), to.clone());
    let paths = (Path::new("/backup"), Path::new("/restored"));
    Store::restore_on((&source, paths.0), (&target, paths.1), |_| ControlFlow::Continue(()))
}

fn open_copy(disk: &Arc<SimStorage>) -> annals::Result<Store> {
    Store::options().read_only(true).open_on(disk.clone(), root())
}

#[test]
fn a_backup_that_is_interrupted_anywhere_is_finished_by_the_next() {
    let (_disk, store) = simulated_store(Mode::Synced);
    let events = read(&store);
    let old = {
        let disk = SimStorage::new();
        backup_to(&store, &disk).unwrap();
        disk
    };
    fill(&store, 40);
    let all = read(&store);
    // Onto nothing, and onto an older backup, which stays good on the way.
    for older in [None, Some(old)] {
        let begun = || older.as_ref().map_or_else(SimStorage::absent, |old| old.snapshot());
        let calls = {
            let disk = begun();
            backup_to(&store, &disk).unwrap();
            disk.call_count()
        };
        assert!(calls > 50, "{calls}");
        for index in 0..calls {
            for (fault, dies) in [(Fault::Eio, false), (Fault::Enospc, false), (Fault::Eio, true)] {
                let disk = begun();
                disk.fail(if dies { FailPlan::from(index, fault) } else { FailPlan::at(index, fault) });
                let first = backup_to(&store, &disk);
                disk.heal();
                for found in [disk.snapshot(), disk.crash(Crash::None), disk.crash(Crash::Random(index))] {
                    if first.is_ok() || older.is_some() {
                        let copy = open_copy(&found).unwrap_or_else(|error| panic!("call {index}, {fault:?}: {error}"));
                        let copied = read(&copy);
                        assert!(copied.len() >= if first.is_ok() { all.len() } else { events.len() }, "call {index}");
                        assert_eq!(copied, all[..copied.len()]);
                        assert!(copy.damage().is_empty(), "call {index}: {:?}", copy.damage());
                    }
                    let again = backup_to(&store, &found);
                    let again = again.unwrap_or_else(|error| panic!("call {index}, {fault:?}, {dies}: {error}"));
                    assert_eq!(again.position.get(), all.len() as u64);
                    // And what is told as done survives the power.
                    let copy = open_copy(&found.crash(Crash::None)).unwrap();
                    assert_eq!(read(&copy), all, "call {index}");
                }
            }
        }
    }
}

#[test]
fn a_restore_that_fails_anywhere_leaves_no_store_or_a_whole_one() {
    for mode in [Mode::Synced, Mode::Written] {
        let (_disk, store) = simulated_store(mode);
        let all = read(&store);
        let backup = SimStorage::new();
        backup_to(&store, &backup).unwrap();
        let calls = {
            let disk = SimStorage::absent();
            restore_to(&backup, &disk).unwrap();
            disk.call_count()
        };
        for index in 0..calls {
            for fault in [Fault::Eio, Fault::Enospc] {
                let disk = SimStorage::absent();
                disk.fail(FailPlan::at(index, fault));
                let done = restore_to(&backup, &disk);
                disk.heal();
                for found in [disk.snapshot(), disk.crash(Crash::None)] {
                    match open_copy(&found) {
                        Ok(copy) if done.is_ok() || copy.damage().is_empty() => assert_eq!(read(&copy), all),
                        Ok(copy) => assert!(done.is_err() && !copy.damage().is_empty()),
                        Err(error) => assert!(done.is_err(), "call {index}: {error}"),
                    }
                    if done.is_ok() {
                        let store = open(&found, mode).unwrap();
                        assert_eq!(store.stats().epoch, 2);
                        fill(&store, 5);
                        assert_eq!(read(&store)[..all.len()], all);
                    }
                }
            }
        }
    }
}

#[test]
fn a_full_disk_stops_a_backup_which_is_finished_when_there_is_room() {
    let (_disk, store) = simulated_store(Mode::Synced);
    let disk = SimStorage::new();
    disk.set_capacity(100 << 10);
    let full = backup_to(&store, &disk).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Full, "{full}");
    assert!(disk.metadata(Path::new("ANCHOR")).unwrap().is_none());
    assert_eq!(restore_to(&disk, &SimStorage::new()).unwrap_err().kind(), ErrorKind::Corruption);
    disk.set_capacity(u64::MAX);
    let done = backup_to(&store, &disk).unwrap();
    assert!(done.kept >= 1, "{done:?}");
    let restored = SimStorage::absent();
    restored.set_capacity(100 << 10);
    assert_eq!(restore_to(&disk, &restored).unwrap_err().kind(), ErrorKind::Full);
    restored.set_capacity(u64::MAX);
    assert_eq!(restore_to(&disk, &restored).unwrap().position.get(), 45);
}

#[test]
fn a_poisoned_writer_is_backed_up_to_where_it_was_durable() {
    for mode in [Mode::Synced, Mode::Written] {
        let (disk, store) = simulated_store(mode);
        store.sync().unwrap();
        disk.fail(FailPlan::every(Call::SyncData, Fault::Eio));
        let lost = store.append([event(0, 100)]).is_err() | store.sync().is_err();
        assert!(lost);
        disk.heal();
        let target = SimStorage::new();
        assert_eq!(backup_to(&store, &target).unwrap().position.get(), 45, "{mode:?}");
    }
}

#[test]
fn whoever_watches_may_stop_it_and_what_is_there_is_kept() {
    let place = Place::new();
    let store = open_disk(&place.at("store"));
    fill(&store, 60);
    let mut calls = 0;
    let stopped = store.backup_with(place.at("backup"), |told| {
        assert!(told.done_bytes <= told.total_bytes);
        calls += 1;
        if calls == 30 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Closed);
    assert!(!place.at("backup/ANCHOR").exists());
    assert!(store.backup(place.at("backup")).unwrap().kept >= 1);
}
