//! Calls to the operating system that fail: each call of a script, one after the other, with an error
//! of the medium, without room, interrupted, short, and with a sync that lies. Then the same faults
//! where more can be said about them, and real full disks.
//!
//! Whatever fails is an error value or goes unnoticed; what was acknowledged stays readable in this
//! process, in the next one, and (`Synced`) after a power cut; nothing is there that was refused.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "simulated/life/mod.rs"]
mod life;
#[path = "simulated/mod.rs"]
mod simulated;
#[path = "faults/life.rs"]
mod whole_life;

use std::io::Write as _;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use annals::sim::{Call, Crash, FailPlan, Fault, FsKind, SimStorage};
use annals::{Append, AppendError, Durability, ErrorKind, NewEvent, Query, Store};
use simulated::{Mode, open, options, root};

type Content = (String, Vec<u8>);

/// A batch of so many events of so many bytes; `number` makes it unlike all others.
fn contents(number: u64, events: u64, bytes: usize) -> Vec<Content> {
    let data = |event: u64| format!("{number}-{event} ").bytes().cycle().take(bytes).collect();
    (0..events).map(|event| (format!("note/n-{event}"), data(event))).collect()
}

fn batch(contents: &[Content]) -> Append {
    Append::new(
        contents.iter().map(|(subject, data)| NewEvent::bytes("note.edited", subject, "text/plain", data.clone())),
    )
}

/// What a store holds, in order.
fn read(store: &Store) -> annals::Result<Vec<Content>> {
    let mut found = Vec::new();
    store.reader().scan(&Query::all(), |event| {
        found.push((event.subject().to_owned(), event.data().to_owned()));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// A store on a disk where one call fails, and what is known about it.
struct Trial {
    disk: Arc<SimStorage>,
    mode: Mode,
    fault: Option<Fault>,
    store: Option<Store>,
    /// What must be there, in order.
    known: Vec<Content>,
    /// How much of it survives a power cut.
    safe: usize,
    /// A batch that may be there behind it, once the store is opened again.
    unknown: Option<Vec<Content>>,
    errors: u64,
    poisonings: u64,
    /// How many calls had begun when the process died last.
    calls: u64,
}

impl Trial {
    fn new(mode: Mode, plan: Option<(u64, Fault)>) -> Trial {
        let disk = SimStorage::absent();
        if let Some((index, fault)) = plan {
            disk.fail(FailPlan::at(index, fault));
        }
        let fault = plan.map(|(_, fault)| fault);
        Trial {
            disk,
            mode,
            fault,
            store: None,
            known: vec![],
            safe: 0,
            unknown: None,
            errors: 0,
            poisonings: 0,
            calls: 0,
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// Opens for writing. A call that fails is an error, and the next attempt succeeds.
    fn open(&mut self) {
        let opened = open(&self.disk, self.mode).or_else(|error| {
            self.errors += 1;
            assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::Full), "{error:?}");
            // The process starts anew, with what the last one left in the page cache.
            self.disk = self.disk.snapshot();
            open(&self.disk, self.mode)
        });
        let store = opened.unwrap_or_else(|error| panic!("opening again fails: {error:?}"));
        let found = read(&store).unwrap();
        let unknown = self.unknown.take().unwrap_or_default();
        if found.len() == self.known.len() + unknown.len() {
            self.known.extend(unknown);
        }
        assert_eq!(found.len(), self.known.len(), "events after opening: {}", store.recovery());
        assert!(found == self.known, "other events after opening: {}", store.recovery());
        // Opening makes what it finds durable before it shows it.
        self.safe = found.len();
        self.store = Some(store);
    }

    /// The process dies; the next one opens the store.
    fn restart(&mut self) {
        let disk = self.disk.snapshot();
        self.calls = self.disk.call_count();
        self.store = None;
        self.disk = disk;
        self.open();
    }

    /// Reading goes on whatever happened to the writer; a read that fails is an error and works the
    /// next time.
    fn read(&mut self) {
        let found = read(self.store()).or_else(|error| {
            self.errors += 1;
            assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::Full), "{error:?}");
            read(self.store())
        });
        assert!(found.unwrap() == self.known, "reading finds other events");
    }

    fn append(&mut self, number: u64, events: u64, bytes: usize) {
        let contents = contents(number, events, bytes);
        let append = || if number % 5 == 2 { batch(&contents).key(format!("key-{number}")) } else { batch(&contents) };
        let mut attempts = 0;
        loop {
            attempts += 1;
            assert!(attempts < 4, "batch {number} is refused again and again");
            match self.store().append_with(append()) {
                Ok(done) => {
                    assert_eq!(done.last.get(), (self.known.len() + contents.len()) as u64);
                    self.known.extend(contents);
                    if self.mode == Mode::Synced {
                        self.safe = self.known.len();
                    }
                    return;
                }
                Err(AppendError::Full(error)) => {
                    self.errors += 1;
                    assert!(matches!(self.fault, Some(Fault::Enospc | Fault::Short(0))), "{error:?}");
                    self.read();
                }
                Err(AppendError::Failed(error)) => {
                    self.errors += 1;
                    assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
                    self.read();
                }
                Err(AppendError::Poisoned { unknown, reason }) => {
                    self.errors += 1;
                    self.poisonings += 1;
                    assert!(!reason.contains("panicked"), "{reason}");
                    self.unknown = unknown.then(|| contents.clone());
                    self.is_poisoned_for_good();
                    let known = self.known.len();
                    self.restart();
                    if self.known.len() > known {
                        return;
                    }
                }
                Err(other) => panic!("appending batch {number}: {other:?}"),
            }
        }
    }

    fn is_poisoned_for_good(&mut self) {
        for _ in 0..2 {
            let again = self.store().append_with(batch(&contents(0, 1, 10)));
            assert!(matches!(again, Err(AppendError::Poisoned { unknown: false, .. })), "{again:?}");
        }
        assert!(self.store().stats().poisoned.is_some());
        self.read();
    }

    fn sync(&mut self) {
        match self.store().sync() {
            Ok(()) => self.safe = self.known.len(),
            Err(error) => {
                self.errors += 1;
                assert_eq!(error.kind(), ErrorKind::Poisoned, "{error:?}");
                self.poisonings += 1;
                self.is_poisoned_for_good();
                self.restart();
            }
        }
    }

    fn close(&mut self) {
        let closed = self.store().close();
        match closed {
            Ok(()) => self.safe = self.known.len(),
            Err(error) => {
                self.errors += 1;
                let kind = error.kind();
                assert!(matches!(kind, ErrorKind::Io | ErrorKind::Full | ErrorKind::Poisoned), "{error:?}");
                self.disk = self.disk.snapshot();
            }
        }
        self.store = None;
    }

    fn read_alone(&mut self) {
        let alone = |disk: &Arc<SimStorage>| {
            let store = options(self.mode).read_only(true).open_on(disk.clone(), root())?;
            read(&store)
        };
        let found = alone(&self.disk).or_else(|error| {
            self.errors += 1;
            assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::Full), "{error:?}");
            alone(&self.disk)
        });
        assert!(found.unwrap() == self.known, "opened for reading, other events are there");
    }

    /// The script: some three hundred calls, four segments, three openings.
    fn play(&mut self) {
        self.open();
        for number in 1..=7 {
            self.append(number, 1 + number % 3, 400);
            self.read();
        }
        self.sync();
        // Half a segment is the limit of a batch.
        for number in 8..=12 {
            self.append(number, 2, 13_000);
        }
        self.close();
        self.read_alone();
        self.open();
        self.append(13, 3, 2_000);
        self.read_alone();
        for number in 14..=16 {
            self.append(number, 1, 25_000);
            self.sync();
        }
        self.append(17, 4, 100);
        self.read();
        self.restart();
        self.append(18, 1, 3_000);
        self.read();
    }

    /// What a power cut at the end leaves.
    fn lose_power(&self) {
        for crash in [Crash::None, Crash::All, Crash::Random(1), Crash::Random(2)] {
            let left = self.disk.crash(crash);
            let store = match open(&left, self.mode) {
                // A sync that lied may have lost anything, which is then seen or not there at all.
                Err(error) if self.fault == Some(Fault::LostSync) => {
                    assert!(matches!(error.kind(), ErrorKind::Corruption | ErrorKind::DamagedTail), "{error:?}");
                    continue;
                }
                opened => opened.unwrap_or_else(|error| panic!("after a power cut: {error:?}")),
            };
            let found = read(&store).unwrap();
            assert!(found.len() <= self.known.len() && found == self.known[..found.len()], "other events");
            if self.fault != Some(Fault::LostSync) {
                assert!(found.len() >= self.safe, "{} events after a power cut, {} were safe", found.len(), self.safe);
            }
        }
    }
}

fn is_sync(call: Call) -> bool {
    matches!(call, Call::SyncData | Call::SyncDir)
}

fn every_call_fails(mode: Mode) {
    let mut whole = Trial::new(mode, None);
    whole.play();
    whole.lose_power();
    assert_eq!((whole.errors, whole.poisonings), (0, 0));
    // The calls of the last process are on another disk; those before it are what fails here.
    let mut first = Trial::new(mode, None);
    let disk = first.disk.clone();
    first.play();
    let calls = first.calls;
    let faults = [Fault::Eio, Fault::Enospc, Fault::Eintr, Fault::Short(7), Fault::Short(0), Fault::LostSync];
    let (mut runs, mut errors, mut poisonings) = (0, 0, 0);
    let mut violations = Vec::new();
    for index in 0..calls {
        let call = disk.call_at(index).unwrap();
        for fault in faults {
            let moves_bytes = matches!(call, Call::Read | Call::Write);
            let matters = match fault {
                Fault::Short(_) => moves_bytes,
                Fault::LostSync => is_sync(call),
                _ => true,
            };
            if !matters {
                continue;
            }
            let mut trial = Trial::new(mode, Some((index, fault)));
            let played = catch_unwind(AssertUnwindSafe(|| {
                trial.play();
                trial.lose_power();
            }));
            if let Err(panic) = played {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?");
                violations.push(format!("call {index} ({call:?}) with {fault:?}: {text}"));
                continue;
            }
            runs += 1;
            errors += trial.errors;
            poisonings += trial.poisonings;
            let unnoticed = match fault {
                Fault::Eintr => !is_sync(call),
                Fault::Short(bytes) => bytes > 0,
                Fault::LostSync => true,
                _ => false,
            };
            if unnoticed && trial.errors > 0 {
                violations.push(format!("call {index} ({call:?}) with {fault:?} was noticed"));
            }
            if call == Call::SyncData && !unnoticed && trial.errors == 0 {
                violations.push(format!("call {index}: {fault:?} of a sync went unnoticed"));
            }
        }
    }
    println!("{mode:?}: {calls} calls, {runs} runs with a fault; {errors} errors, {poisonings} poisonings");
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
    assert!(calls > 250, "the script is too short for the test to mean anything");
}

#[test]
fn every_call_of_a_synced_store_may_fail() {
    every_call_fails(Mode::Synced);
}

#[test]
fn every_call_of_a_written_store_may_fail() {
    every_call_fails(Mode::Written);
}

/// A store with a few batches on a disk that is told to fail only afterwards.
fn filled(mode: Mode, batches: u64) -> (Arc<SimStorage>, Store, Vec<Content>) {
    let disk = SimStorage::with_trace();
    let store = open(&disk, mode).unwrap();
    let mut known = vec![];
    for number in 0..batches {
        let batch_of = contents(number, 2, 500);
        store.append_with(batch(&batch_of)).unwrap();
        known.extend(batch_of);
    }
    (disk, store, known)
}

#[test]
fn a_failed_sync_stops_the_writer_for_good_and_readers_go_on() {
    for fault in [Fault::Eio, Fault::Enospc, Fault::Eintr] {
        let (disk, store, known) = filled(Mode::Synced, 5);
        let mut subscription = store.subscribe(Query::all(), annals::StartAt::Start);
        let early = store.reader();
        disk.fail(FailPlan::next(Call::SyncData, fault));
        let lost = contents(99, 2, 500);
        match store.append_with(batch(&lost)) {
            Err(AppendError::Poisoned { unknown: true, reason }) => assert!(reason.contains("sync"), "{reason}"),
            other => panic!("{fault:?}: {other:?}"),
        }
        disk.heal();
        // The next sync would succeed, and would say nothing about what the failed one lost.
        for _ in 0..3 {
            let again = store.append_with(batch(&lost));
            assert!(matches!(again, Err(AppendError::Poisoned { unknown: false, .. })), "{again:?}");
            let ticket = store.submit(batch(&lost)).wait();
            assert!(matches!(ticket, Err(AppendError::Poisoned { unknown: false, .. })), "{ticket:?}");
        }
        assert_eq!(read(&store).unwrap(), known);
        assert_eq!((early.tail().get(), store.reader().tail().get()), (10, 10));
        let mut seen = 0;
        while let Some(batch) = subscription.next_timeout(Duration::from_millis(1)).unwrap() {
            seen += batch.len();
        }
        assert_eq!(seen, 10);
        let beside = options(Mode::Synced).read_only(true).open_on(disk.clone(), root()).unwrap();
        assert_eq!(read(&beside).unwrap(), known, "what was not made durable is shown to others");
        // The failed sync marked the pages clean: they are in the cache and not on the disk.
        let after_power_cut = open(&disk.crash(Crash::None), Mode::Synced).unwrap();
        assert_eq!(read(&after_power_cut).unwrap(), known);
        let killed = disk.snapshot();
        let again = open(&killed, Mode::Synced).unwrap();
        let found = read(&again).unwrap();
        assert!(found == known || found == [known.clone(), lost.clone()].concat());
        // What opening shows has been made durable.
        let durable = open(&killed.crash(Crash::None), Mode::Synced).unwrap();
        assert_eq!(read(&durable).unwrap(), found, "{fault:?}: shown, and gone after a power cut");
    }
}

#[test]
fn a_failed_background_sync_stops_the_writer_and_names_what_it_may_have_lost() {
    let disk = SimStorage::with_trace();
    let wanted = options(Mode::Written)
        .background(true)
        .durability(Durability::Written { sync_every: Duration::from_millis(2) });
    let store = wanted.open_on(disk.clone(), root()).unwrap();
    let first = contents(1, 3, 100);
    store.append_with(batch(&first)).unwrap();
    store.sync().unwrap();
    disk.fail(FailPlan::every(Call::SyncData, Fault::Eio));
    let mut known = first.clone();
    let reason = loop {
        let next = contents(2, 2, 100);
        match store.append_with(batch(&next)) {
            Ok(_) => known.extend(next),
            Err(AppendError::Poisoned { reason, unknown }) => {
                assert!(!unknown, "an append that was acknowledged or refused is not unknown");
                break reason;
            }
            Err(other) => panic!("{other:?}"),
        }
        std::thread::sleep(Duration::from_millis(1));
        assert!(known.len() < 20_000, "the background sync never failed");
    };
    disk.heal();
    let named = format!("positions 4 to {}", known.len());
    assert!(reason.contains(&named), "{reason:?} does not say {named:?}");
    assert!(matches!(store.sync().unwrap_err().kind(), ErrorKind::Poisoned));
    assert_eq!((store.reader().durable().get(), store.reader().tail().get()), (3, known.len() as u64));
    assert_eq!(read(&store).unwrap(), known);
    // The pages are clean and not on the disk; what is shown after reopening is.
    let killed = disk.snapshot();
    let again = open(&killed, Mode::Written).unwrap();
    assert_eq!(read(&again).unwrap(), known);
    let left = open(&killed.crash(Crash::None), Mode::Written).unwrap();
    assert_eq!(read(&left).unwrap(), known, "rewritten and synced at opening");
    let lost = open(&disk.crash(Crash::None), Mode::Written).unwrap();
    assert_eq!(read(&lost).unwrap(), first);
}

/// The header of a segment may be lost to a failed sync like its frames.
#[test]
fn after_a_failed_sync_the_header_is_written_again_too() {
    for batches in [1, 30, 60] {
        let (disk, store, known) = filled(Mode::Written, batches);
        disk.fail(FailPlan::every(Call::SyncData, Fault::Eio));
        store.sync().unwrap_err();
        let killed = disk.snapshot();
        let store = open(&killed, Mode::Written).unwrap();
        let more = contents(1000, 1, 10);
        store.append_with(batch(&more)).unwrap();
        store.sync().unwrap();
        let left = open(&killed.crash(Crash::None), Mode::Written).unwrap();
        assert!(read(&left).unwrap() == [known, more].concat(), "after {batches} batches and a failed sync");
    }
}

#[test]
fn a_read_error_is_never_the_end_of_the_log() {
    let (disk, store, known) = filled(Mode::Synced, 80);
    store.close().unwrap();
    for read_only in [true, false] {
        let reads_of = |plan: Option<FailPlan>| {
            let disk = disk.snapshot();
            let before = disk.digest_of(simulated::is_raw);
            plan.into_iter().for_each(|plan| disk.fail(plan));
            let opened = options(Mode::Synced).read_only(read_only).open_on(disk.clone(), root());
            let found =
                opened.as_ref().map_err(|error| error.kind()).and_then(|store| read(store).map_err(|e| e.kind()));
            if read_only || found.is_err() {
                assert_eq!(disk.digest_of(simulated::is_raw), before, "a read error changed the log");
            }
            (found, disk.calls(Call::Read))
        };
        let (found, reads) = reads_of(None);
        assert_eq!(found.unwrap(), known);
        let mut errors = 0;
        // Calls are counted over all kinds, so the plan is for each call, and hits reads alone.
        let calls = 400;
        for index in 0..calls {
            for fault in [Fault::Eio, Fault::Short(0)] {
                match reads_of(Some(FailPlan::at_read(index, fault))).0 {
                    Ok(found) => assert!(found == known, "read {index} with {fault:?}: {} events", found.len()),
                    Err(kind) => {
                        errors += 1;
                        assert_eq!(kind, ErrorKind::Io, "read {index} with {fault:?}");
                    }
                }
            }
        }
        println!("read only {read_only}: {reads} reads, {errors} errors");
        assert!(errors > 5);
    }
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_goes_on_when_there_is_room() {
    for (kind, mode) in [
        (FsKind::Local, Mode::Synced),
        (FsKind::Local, Mode::Written),
        (FsKind::CopyOnWrite, Mode::Synced),
        (FsKind::CopyOnWrite, Mode::Written),
    ] {
        for room in (0..200_000).step_by(3_917) {
            let disk = SimStorage::with_trace();
            disk.set_kind(kind);
            let store = open(&disk, mode).unwrap();
            let mut known = vec![];
            disk.set_capacity(disk.used_bytes() + room);
            let mut number = 0;
            let mut refused = 0;
            // Large ones first, then what still fits.
            for bytes in [20_000, 3_000, 200, 20_000] {
                loop {
                    number += 1;
                    let next = contents(number, 2, bytes / 2);
                    match store.append_with(batch(&next)) {
                        Ok(done) => {
                            known.extend(next);
                            assert_eq!(done.last.get(), known.len() as u64);
                        }
                        Err(AppendError::Full(error)) => {
                            refused += 1;
                            assert_eq!(error.kind(), ErrorKind::Full);
                            break;
                        }
                        Err(other) => panic!("{kind:?} {mode:?} {room}: {other:?}"),
                    }
                }
                assert!(read(&store).unwrap() == known, "{kind:?} {mode:?} {room}: other events on a full disk");
            }
            assert_eq!(refused, 4);
            // A power cut must not bring back what was refused.
            for seed in 0..12 {
                let left = disk.crash(Crash::Random(seed));
                left.set_capacity(u64::MAX);
                let left =
                    open(&left, mode).unwrap_or_else(|error| panic!("{kind:?} {mode:?} {room} seed {seed}: {error:?}"));
                let found = read(&left).unwrap();
                assert!(found.len() <= known.len() && found == known[..found.len()], "{kind:?} {mode:?} {room} {seed}");
                assert!(mode == Mode::Written || found.len() == known.len());
            }
            // Reading needs no room, and neither does a new process for reading.
            let full = disk.snapshot();
            full.set_capacity(full.used_bytes());
            let beside = options(mode).read_only(true).open_on(full.clone(), root()).unwrap();
            assert!(read(&beside).unwrap() == known);
            match open(&full, mode) {
                Ok(store) => assert!(read(&store).unwrap() == known),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Full, "{kind:?} {mode:?} {room}: {error:?}"),
            }
            full.set_capacity(u64::MAX);
            let store_again = open(&full, mode).unwrap();
            assert!(read(&store_again).unwrap() == known);
            // The same handle goes on.
            disk.set_capacity(u64::MAX);
            for _ in 0..3 {
                number += 1;
                let next = contents(number, 2, 9_000);
                store.append_with(batch(&next)).unwrap_or_else(|error| panic!("{kind:?} {mode:?} {room}: {error:?}"));
                known.extend(next);
            }
            store.close().unwrap();
            let store = open(&disk, mode).unwrap();
            assert!(store.recovery().clean && read(&store).unwrap() == known, "{kind:?} {mode:?} {room}");
        }
    }
}

/// Several appends in one group, of which some find no room.
#[test]
fn a_group_that_finds_no_room_leaves_no_gap() {
    for room in (0..120_000).step_by(2_711) {
        let disk = SimStorage::with_trace();
        let store = open(&disk, Mode::Synced).unwrap();
        disk.set_capacity(disk.used_bytes() + room);
        let sizes = [30_000, 200, 30_000, 9_000, 200, 30_000, 200, 200, 28_000, 100, 30_000, 50];
        let batches: Vec<_> = sizes.iter().zip(1..).map(|(size, number)| contents(number, 1, *size)).collect();
        let tickets: Vec<_> = batches.iter().map(|next| store.submit(batch(next))).collect();
        let mut known = vec![];
        for (next, ticket) in batches.iter().zip(tickets) {
            match ticket.wait() {
                Ok(done) => {
                    known.extend(next.clone());
                    assert_eq!(done.last.get(), known.len() as u64, "room for {room}");
                }
                Err(AppendError::Full(_)) => {}
                Err(other) => panic!("room for {room}: {other:?}"),
            }
        }
        assert!(read(&store).unwrap() == known, "room for {room}: {} events", known.len());
        disk.set_capacity(u64::MAX);
        let last = contents(100, 1, 100);
        store.append_with(batch(&last)).unwrap();
        known.extend(last);
        let again = open(&disk.crash(Crash::None), Mode::Synced).unwrap();
        assert!(read(&again).unwrap() == known, "room for {room}: after a power cut");
    }
}

/// A directory on a tiny file system of its own, gone when this is dropped.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn tmpfs(size: &str) -> Option<Mounted> {
        let directory = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(directory.path())
            .output();
        match mount {
            Ok(done) if done.status.success() => Some(Mounted(directory)),
            other => {
                let mut said = std::io::stderr();
                writeln!(said, "SKIPPED: no tmpfs can be mounted here ({other:?}); this needs root").unwrap();
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Appends until there is no room, in batches of about this many bytes; what was acknowledged.
fn fill(store: &Store, bytes: usize) -> Vec<Content> {
    let mut known = vec![];
    for number in 0.. {
        let next = contents(number, 1, bytes);
        match store.append_with(batch(&next)) {
            Ok(_) => known.extend(next),
            Err(AppendError::Full(_)) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    known
}

#[test]
fn a_full_tmpfs_refuses_and_goes_on_when_there_is_room() {
    let Some(mounted) = Mounted::tmpfs("1m") else { return };
    let path = mounted.0.path().join("store");
    let ballast = mounted.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 256 << 10]).unwrap();
    let store = Store::options().segment_bytes(128 << 10).open(&path).unwrap();
    let mut known = fill(&store, 5_000);
    assert!(known.len() > 20, "only {} events found room", known.len());
    assert!(read(&store).unwrap() == known);
    let beside = Store::options().read_only(true).open(&path).unwrap();
    assert!(read(&beside).unwrap() == known, "reading needs no room");
    std::fs::remove_file(&ballast).unwrap();
    let more = fill(&store, 5_000);
    assert!(more.len() > 20, "with room again, {} events", more.len());
    known.extend(more);
    assert!(read(&store).unwrap() == known);
    drop(store);
    let beside = Store::options().read_only(true).open(&path).unwrap();
    assert!(read(&beside).unwrap() == known);
    println!("{} events of 5,000 bytes on a tmpfs of 1 MiB", known.len());
}

const CHILD_DIRECTORY: &str = "ANNALS_TEST_LIMITED_DIRECTORY";

/// Runs in a process of its own, with a limit on the size of files.
#[test]
#[ignore = "the child of the next test"]
fn child_with_a_limit_on_file_sizes() {
    let path = std::env::var_os(CHILD_DIRECTORY).unwrap();
    let store = Store::open(Path::new(&path)).unwrap();
    let known = fill(&store, 5_000);
    assert!(read(&store).unwrap() == known);
    // Small ones may fit still, and none is ever half there.
    let more = fill(&store, 40);
    println!("EVENTS {}", known.len() + more.len());
    assert_eq!(read(&store).unwrap().len(), known.len() + more.len());
}

#[test]
#[cfg(unix)]
fn a_limit_on_file_sizes_refuses_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let script =
        "trap '' XFSZ; ulimit -f 300; exec \"$0\" --exact child_with_a_limit_on_file_sizes --ignored --nocapture";
    let child = std::process::Command::new("bash")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD_DIRECTORY, &path)
        .output();
    let Ok(child) = child else {
        writeln!(std::io::stderr(), "SKIPPED: there is no bash to set a limit with").unwrap();
        return;
    };
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}\n{}", String::from_utf8_lossy(&child.stderr));
    let line = said.lines().find_map(|line| line.split_once("EVENTS ")).unwrap_or_else(|| panic!("{said}"));
    let events: usize = line.1.trim().parse().unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(read(&store).unwrap().len(), events);
    assert!(events > 40, "only {events} events found room within the limit");
    store.append_with(batch(&contents(1, 10, 100_000))).unwrap();
    println!("{events} events within a limit of 300 KiB, and more without it");
}
