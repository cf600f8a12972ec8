//! Every call of sealing, archiving, bringing back and backing up fails once, and from then on.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use annals::sim::{Call, Crash, FailPlan, Fault, ManualClock, SimStorage, Storage};
use annals::{Error, ErrorKind, Form, Store, Timestamp};

use super::{check_all, fill, look_up, sealed_count};

const EVENTS: u64 = 300;
const ARCHIVE: &str = "/archive";

fn open(disk: &Arc<SimStorage>) -> Store {
    let clock = Arc::new(ManualClock::new(1_767_225_600_000_000_000));
    let options = Store::options().background(false).sealing(false).segment_bytes(64 << 10).clock(clock);
    options.open_on(disk.clone(), Path::new("/simulated")).unwrap_or_else(|error| panic!("opening fails: {error:?}"))
}

/// Two full segments and one that takes appends, all raw.
fn raw() -> Arc<SimStorage> {
    let disk = SimStorage::with_trace();
    let store = open(&disk);
    fill(&store, EVENTS);
    assert!(store.segments().len() >= 3);
    store.close().unwrap();
    disk
}

/// The same, all of it sealed.
fn sealed() -> Arc<SimStorage> {
    let disk = raw();
    let store = open(&disk);
    store.seal().unwrap();
    store.close().unwrap();
    disk
}

fn is_whole(store: &Store, what: &str) {
    let count = check_all(store).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert_eq!(count, EVENTS, "{what}");
    for position in [1, 2, EVENTS / 2, EVENTS] {
        look_up(&store.reader(), position);
    }
}

/// Every full segment is sealed, and their data moved away or not.
fn is_done(store: &Store, form: Form) {
    let segments = store.segments();
    let (newest, full) = segments.split_last().unwrap();
    assert!(newest.form == Form::Active && full.len() >= 2);
    assert!(full.iter().all(|segment| segment.form == form), "{segments:?}");
}

/// Plays `work` on a store on copies of `disk`, each time with another call that fails. `left` checks what is found
/// after everything that may happen then.
fn every_call_fails(
    disk: &Arc<SimStorage>,
    work: &dyn Fn(&Store) -> annals::Result<()>,
    allowed: &dyn Fn(&Error) -> bool,
) -> (u64, u64) {
    let calls = {
        let disk = disk.snapshot();
        let store = open(&disk);
        let before = disk.call_count();
        work(&store).unwrap();
        (before, disk.call_count())
    };
    let (mut errors, mut runs) = (0, 0);
    for index in calls.0..calls.1 {
        for (fault, goes_on) in [
            (Fault::Eio, false),
            (Fault::Eio, true),
            (Fault::Enospc, false),
            (Fault::Eintr, false),
            (Fault::Short(7), false),
            (Fault::Short(0), false),
        ] {
            let disk = disk.snapshot();
            let store = open(&disk);
            disk.fail(if goes_on { FailPlan::from(index, fault) } else { FailPlan::at(index, fault) });
            let outcome = work(&store);
            let call = disk.call_at(index);
            disk.heal();
            let what = format!("call {index} ({call:?}) with {fault:?}, {goes_on}: {outcome:?}");
            runs += 1;
            let unnoticed = match fault {
                Fault::Short(bytes) => bytes > 0 || !matches!(call, Some(Call::Read | Call::Write)),
                Fault::Eintr => !matches!(call, Some(Call::SyncData | Call::SyncDir)),
                _ => false,
            };
            let mut poisoned = false;
            match &outcome {
                // Work that is said to be done is done (see `work`); what was derived may be missing.
                Ok(()) => {}
                Err(error) => {
                    errors += 1;
                    poisoned = error.kind() == ErrorKind::Poisoned;
                    let kind = matches!(error.kind(), ErrorKind::Io | ErrorKind::Full | ErrorKind::Poisoned);
                    assert!(kind || allowed(error), "{what}");
                    assert!(!unnoticed, "{what}: need not have failed");
                }
            }
            is_whole(&store, &what);
            // What nobody noticed leaves what every run leaves.
            let lefts = if unnoticed { 0 } else { 3 };
            for left in
                [disk.snapshot(), disk.crash(Crash::None), disk.crash(Crash::Random(index))].into_iter().take(lefts)
            {
                let store = open(&left);
                is_whole(&store, &what);
                work(&store).unwrap_or_else(|error| panic!("{what}: the next process: {error:?}"));
                is_whole(&store, &what);
            }
            if !poisoned {
                work(&store).unwrap_or_else(|error| panic!("{what}: the next time: {error:?}"));
                is_whole(&store, &what);
            }
            store.close().unwrap_or_else(|error| assert!(poisoned, "{what}: {error:?}"));
            let cut = open(&disk.crash(Crash::None));
            is_whole(&cut, &what);
            let verified = cut.verify(|_| ControlFlow::Continue(())).unwrap();
            assert!(verified.is_good(), "{what}: {verified:?}");
        }
    }
    println!("{} calls, {runs} runs, {errors} errors", calls.1 - calls.0);
    assert!(errors > 20);
    (calls.1 - calls.0, errors)
}

#[test]
fn every_call_of_sealing_may_fail() {
    let work = |store: &Store| {
        store.seal()?;
        is_done(store, Form::Sealed);
        Ok(())
    };
    every_call_fails(&raw(), &work, &|_| false);
}

#[test]
fn every_call_of_archiving_and_bringing_back_may_fail() {
    let disk = sealed();
    let archive = |store: &Store| {
        store.archive(Timestamp::from_nanos(i64::MAX), ARCHIVE)?;
        is_done(store, Form::Archived);
        Ok(())
    };
    every_call_fails(&disk, &archive, &|_| false);
    let store = open(&disk);
    archive(&store).unwrap();
    store.close().unwrap();
    drop(store);
    let back = |store: &Store| {
        store.unarchive(ARCHIVE)?;
        is_done(store, Form::Sealed);
        Ok(())
    };
    every_call_fails(&disk, &back, &|_| false);
}

#[test]
fn every_call_of_a_backup_of_sealed_segments_may_fail() {
    let disk = sealed();
    // On the side of the store; tests/backup.rs has the other one.
    let backup = |store: &Store| {
        let target: Arc<dyn Storage> = SimStorage::absent();
        store.backup_on(&target, Path::new("/backup"), |_| ControlFlow::Continue(()))?;
        let copy = Store::options().read_only(true).open_on(target, Path::new("/backup"))?;
        assert_eq!(check_all(&copy)?, EVENTS);
        assert!(sealed_count(&copy) >= 2);
        Ok(())
    };
    every_call_fails(&disk, &backup, &|_| false);
}

#[test]
fn a_full_disk_stops_sealing_which_goes_on_when_there_is_room() {
    let disk = raw();
    for room in (0..60_000).step_by(1_999) {
        let disk = disk.snapshot();
        let store = open(&disk);
        disk.set_capacity(disk.used_bytes() + room);
        let first = store.seal();
        if let Err(error) = &first {
            assert_eq!(error.kind(), ErrorKind::Full, "{room}: {error:?}");
        }
        is_whole(&store, "a full disk");
        disk.set_capacity(u64::MAX);
        store.seal().unwrap();
        assert!(sealed_count(&store) >= 2);
        is_whole(&store, "there is room again");
    }
}
