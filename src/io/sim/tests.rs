//! The simulated disk must lose what a real one may lose, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::io::{File, Mode, Storage};

fn path(path: &str) -> &Path {
    Path::new(path)
}

fn try_write(file: &dyn File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(&mut [IoSlice::new(bytes)], offset)
}

fn write(file: &dyn File, offset: u64, bytes: &[u8]) {
    try_write(file, offset, bytes).unwrap();
}

/// A file whose name is durable.
fn create(disk: &SimStorage, name: &str) -> Arc<dyn File> {
    let file = disk.open(path(name), Mode::CreateNew).unwrap();
    disk.sync_dir(path(name).parent().unwrap()).unwrap();
    file
}

fn content(disk: &SimStorage, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(path(name), Mode::Read).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    Some(bytes)
}

/// All that can be found under these names, with as many seeds as it takes.
fn outcomes<T: Ord>(disk: &SimStorage, found: impl Fn(&SimStorage) -> T) -> BTreeSet<T> {
    (0..2000).map(|seed| found(&disk.crash(Crash::Random(seed)))).collect()
}

#[test]
fn only_what_was_synced_is_safe() {
    let disk = SimStorage::new();
    let file = create(&disk, "a");
    write(&*file, 0, b"synced");
    file.sync_data().unwrap();
    write(&*file, 6, b" and not");
    assert_eq!(content(&disk, "a").unwrap(), b"synced and not");
    assert_eq!(content(&disk.crash(Crash::None), "a").unwrap(), b"synced");
    assert_eq!(content(&disk.crash(Crash::All), "a").unwrap(), b"synced and not");
    assert_eq!(content(&disk.snapshot(), "a").unwrap(), b"synced and not", "a killed process loses nothing");
    assert_eq!(content(&disk.snapshot().crash(Crash::None), "a").unwrap(), b"synced", "but makes nothing durable");
    file.sync_data().unwrap();
    assert_eq!(content(&disk.crash(Crash::None), "a").unwrap(), b"synced and not");
    for seed in 0..50 {
        assert_eq!(content(&disk.crash(Crash::Random(seed)), "a").unwrap(), b"synced and not");
    }
}

#[test]
fn sectors_survive_one_by_one_and_in_any_version() {
    let disk = SimStorage::new();
    let file = create(&disk, "a");
    write(&*file, 0, &[1; 1024]);
    file.sync_data().unwrap();
    write(&*file, 0, &[2; 1024]);
    write(&*file, 0, &[3; 1024]);
    let versions = outcomes(&disk, |found| {
        let bytes = content(found, "a").unwrap();
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|&byte| byte == sector[0])), "no torn sector");
        (bytes[0], bytes[512])
    });
    let all = (1..=3).flat_map(|a| (1..=3).map(move |b| (a, b))).collect();
    assert_eq!(versions, all);
}

#[test]
fn every_subset_of_sectors_can_be_asked_for() {
    let disk = SimStorage::new();
    let (a, b) = (create(&disk, "a"), create(&disk, "b"));
    write(&*a, 500, &[1; 30]); // Two sectors.
    write(&*b, 0, &[2; 512]);
    assert_eq!(disk.dirty_sectors(), 3);
    let states: BTreeSet<_> = (0..8)
        .map(|mask| {
            let found = disk.crash(Crash::Sectors(mask));
            let (a, b) = (content(&found, "a").unwrap(), content(&found, "b").unwrap());
            assert_eq!((a.len(), b.len()), (530, 512));
            assert_eq!(a[500] == 1, mask & 1 != 0);
            assert_eq!(a[529] == 1, mask & 2 != 0);
            assert_eq!(b[0] == 2, mask & 4 != 0);
            found.digest()
        })
        .collect();
    assert_eq!(states.len(), 8);
    a.sync_data().unwrap();
    assert_eq!(disk.dirty_sectors(), 1);
}

#[test]
fn the_newest_write_can_be_cut_at_every_byte() {
    let disk = SimStorage::new();
    let (a, b) = (create(&disk, "a"), create(&disk, "b"));
    write(&*b, 0, b"older");
    write(&*a, 0, b"newest");
    assert_eq!(disk.newest_write_bytes(), 6);
    for cut in 0..=7 {
        let found = disk.crash(Crash::PrefixBytes(cut));
        assert_eq!(content(&found, "a").unwrap(), b"newest"[..6.min(cut as usize)]);
        assert_eq!(content(&found, "b").unwrap(), b"older");
    }
    a.sync_data().unwrap();
    assert_eq!(disk.newest_write_bytes(), 5, "it is the newest that isn't durable");
}

#[test]
fn preallocated_room_reads_as_zeros_where_nothing_was_written_back() {
    let disk = SimStorage::new();
    let file = create(&disk, "a");
    file.allocate(0, 2048).unwrap();
    file.sync_data().unwrap();
    write(&*file, 512, &[1; 1024]);
    let states = outcomes(&disk, |found| {
        let bytes = content(found, "a").unwrap();
        assert_eq!(bytes.len(), 2048);
        (bytes[0], bytes[512], bytes[1024], bytes[1536])
    });
    assert_eq!(states, BTreeSet::from([(0, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 1, 1, 0)]));
}

#[test]
fn a_length_survives_apart_from_the_bytes() {
    let disk = SimStorage::new();
    let file = create(&disk, "a");
    write(&*file, 0, &[1; 512]);
    let states = outcomes(&disk, |found| content(found, "a").unwrap());
    assert_eq!(states, BTreeSet::from([vec![], vec![0; 512], vec![1; 512]]));
    outcomes(&disk, |found| {
        let file = found.open(path("a"), Mode::Write).unwrap();
        if file.len().unwrap() == 0 {
            file.set_len(512).unwrap();
            let bytes = content(found, "a").unwrap();
            assert_eq!(bytes, [0; 512], "what was written beyond a lost length is gone");
        }
    });

    file.sync_data().unwrap();
    file.set_len(100).unwrap();
    file.set_len(512).unwrap();
    let cut = [&[1; 100][..], &[0; 412]].concat();
    assert_eq!(content(&disk, "a").unwrap(), cut);
    let states = outcomes(&disk, |found| content(found, "a").unwrap());
    assert_eq!(states, BTreeSet::from([vec![1; 512], vec![1; 100], cut]));
}

#[test]
fn a_name_needs_a_sync_of_its_directory() {
    let disk = SimStorage::new();
    let file = disk.open(path("a"), Mode::CreateNew).unwrap();
    write(&*file, 0, b"x");
    file.sync_data().unwrap();
    assert_eq!(content(&disk.crash(Crash::None), "a"), None, "syncing a file doesn't sync its name");
    disk.sync_parent().unwrap();
    assert_eq!(content(&disk.crash(Crash::None), "a"), None);
    disk.sync_dir(path("")).unwrap();
    assert_eq!(content(&disk.crash(Crash::None), "a").unwrap(), b"x");

    disk.remove(path("a")).unwrap();
    assert_eq!(content(&disk.crash(Crash::None), "a").unwrap(), b"x", "a removed file can be back");
    disk.sync_dir(path("")).unwrap();
    assert_eq!(content(&disk.crash(Crash::None), "a"), None);
}

#[test]
fn a_rename_is_atomic_and_can_be_lost() {
    let disk = SimStorage::new();
    for (name, text) in [("old", b"old"), ("new", b"new")] {
        let file = create(&disk, name);
        write(&*file, 0, text);
        file.sync_data().unwrap();
    }
    disk.rename(path("new"), path("old")).unwrap();
    let states = outcomes(&disk, |found| (content(found, "old"), content(found, "new")));
    let before = (Some(b"old".to_vec()), Some(b"new".to_vec()));
    let after = (Some(b"new".to_vec()), None);
    assert_eq!(states, BTreeSet::from([before, after.clone()]));
    disk.sync_dir(path("")).unwrap();
    assert_eq!(outcomes(&disk, |found| (content(found, "old"), content(found, "new"))), BTreeSet::from([after]));
}

#[test]
fn a_rename_without_a_sync_of_the_contents_is_an_empty_file() {
    let disk = SimStorage::new();
    let file = disk.open(path("tmp"), Mode::CreateNew).unwrap();
    write(&*file, 0, b"anchor");
    disk.rename(path("tmp"), path("ANCHOR")).unwrap();
    disk.sync_dir(path("")).unwrap();
    assert_eq!(content(&disk.crash(Crash::None), "ANCHOR").unwrap(), b"");
}

#[test]
fn independent_names_survive_independently_and_one_name_in_order() {
    let disk = SimStorage::new();
    create(&disk, "a");
    create(&disk, "b");
    disk.rename(path("a"), path("c")).unwrap();
    disk.rename(path("b"), path("d")).unwrap();
    disk.rename(path("d"), path("e")).unwrap();
    let names = |found: &SimStorage| {
        let entries = found.list(path("")).unwrap();
        entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>().concat()
    };
    let states = outcomes(&disk, names);
    assert_eq!(states, ["ab", "bc", "ad", "cd", "ae", "ce"].map(String::from).into());
}

#[test]
fn a_synced_rename_brings_along_what_it_builds_on() {
    let disk = SimStorage::new();
    disk.create_dir_all(path("from")).unwrap();
    disk.create_dir_all(path("to")).unwrap();
    disk.sync_dir(path("")).unwrap();
    disk.open(path("from/a"), Mode::CreateNew).unwrap();
    disk.open(path("from/other"), Mode::CreateNew).unwrap();
    disk.rename(path("from/a"), path("to/a")).unwrap();
    disk.sync_dir(path("to")).unwrap();
    let states = outcomes(&disk, |found| {
        ["from/a", "from/other", "to/a"].map(|name| found.metadata(path(name)).unwrap().is_some())
    });
    assert_eq!(states, BTreeSet::from([[false, true, true], [false, false, true]]));
}

#[test]
fn a_directory_is_a_name_too() {
    let disk = SimStorage::absent();
    assert_eq!(disk.metadata(path("")).unwrap(), None);
    disk.create_dir_all(path("log")).unwrap();
    create(&disk, "log/a");
    disk.sync_dir(path("")).unwrap();
    let found = disk.crash(Crash::None);
    assert_eq!(found.metadata(path("")).unwrap(), None, "the root was not synced");
    assert_eq!(found.list(path("")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(content(&found, "log/a"), None);
    disk.sync_parent().unwrap();
    assert!(content(&disk.crash(Crash::None), "log/a").is_some());
}

#[test]
fn a_failed_sync_loses_what_a_later_one_claims_to_save() {
    for fault in [Fault::Eio, Fault::Enospc] {
        let disk = SimStorage::new();
        let file = create(&disk, "a");
        write(&*file, 0, b"safe");
        file.sync_data().unwrap();
        write(&*file, 4, b" lost");
        disk.fail(FailPlan::next(Call::SyncData, fault));
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        let disk = disk.snapshot(); // The page cache pretends to have it, to the next process too.
        assert_eq!(content(&disk, "a").unwrap(), b"safe lost");
        assert_eq!(content(&disk.crash(Crash::All), "a").unwrap(), b"safe");

        let file = disk.open(path("a"), Mode::Write).unwrap();
        write(&*file, 4, b" lost"); // The remedy: the same bytes again.
        file.sync_data().unwrap();
        assert_eq!(content(&disk.crash(Crash::None), "a").unwrap(), b"safe lost");
    }
}

#[test]
fn an_interrupted_sync_is_reported_and_a_lying_one_is_not() {
    let disk = SimStorage::new();
    let file = create(&disk, "a");
    write(&*file, 0, b"x");
    disk.fail(FailPlan::next(Call::SyncData, Fault::Eintr));
    assert_eq!(file.sync_data().unwrap_err().kind(), ErrorKind::Interrupted);
    disk.fail(FailPlan::next(Call::SyncData, Fault::LostSync));
    file.sync_data().unwrap();
    assert_eq!(content(&disk.crash(Crash::None), "a").unwrap(), b"");
    file.sync_data().unwrap();
    assert_eq!(content(&disk.crash(Crash::None), "a").unwrap(), b"x");

    disk.rename(path("a"), path("b")).unwrap();
    disk.fail(FailPlan::next(Call::SyncDir, Fault::Eio));
    assert!(disk.sync_dir(path("")).is_err());
    assert_eq!(content(&disk.crash(Crash::None), "a").unwrap(), b"x");
}

#[test]
fn short_and_interrupted_calls_are_gone_on_with() {
    let disk = SimStorage::with_trace();
    let file = create(&disk, "a");
    let before = disk.call_count();
    disk.fail(FailPlan::at(before, Fault::Short(2)));
    disk.fail(FailPlan::at(before + 1, Fault::Eintr));
    disk.fail(FailPlan::at(before + 2, Fault::Short(1)));
    write(&*file, 0, b"abcdef");
    assert_eq!(disk.call_count(), before + 4);
    assert_eq!(disk.calls(Call::Write), 4);
    let pieces = disk.trace().ops().iter().filter(|op| matches!(op, Op::Write { .. })).count();
    assert_eq!(pieces, 3, "each of them is a moment at which the power can go");

    disk.fail(FailPlan::next(Call::Read, Fault::Short(3)));
    disk.fail(FailPlan::next(Call::Read, Fault::Eintr));
    assert_eq!(content(&disk, "a").unwrap(), b"abcdef");

    disk.fail(FailPlan::next(Call::Write, Fault::Short(0)));
    assert_eq!(try_write(&*file, 0, b"x").unwrap_err().kind(), ErrorKind::WriteZero);
    disk.fail(FailPlan::next(Call::Write, Fault::Short(1)));
    disk.fail(FailPlan::at(disk.call_count() + 1, Fault::Enospc));
    assert_eq!(try_write(&*file, 0, b"XYZ").unwrap_err().raw_os_error(), Some(28));
    assert_eq!(content(&disk, "a").unwrap(), b"Xbcdef", "a failed write may have begun");
}

#[test]
fn each_kind_of_call_can_fail() {
    let disk = SimStorage::new();
    let file = create(&disk, "a");
    let first = disk.call_count();
    disk.fail(FailPlan::from(first, Fault::Eio));
    let mut buf = [0];
    let failed = [
        disk.create_dir_all(path("d")).is_err(),
        disk.list(path("")).is_err(),
        disk.metadata(path("a")).is_err(),
        disk.open(path("a"), Mode::Read).is_err(),
        disk.rename(path("a"), path("b")).is_err(),
        disk.rename_new(path("a"), path("b")).is_err(),
        disk.hard_link(path("a"), path("b")).is_err(),
        disk.remove(path("a")).is_err(),
        disk.sync_dir(path("")).is_err(),
        disk.sync_parent().is_err(),
        disk.lock(path("LOCK")).is_err(),
        disk.words(path("LIVE"), true).is_err(),
        file.len().is_err(),
        file.read_at(&mut buf, 0).is_err(),
        try_write(&*file, 0, b"x").is_err(),
        file.sync_data().is_err(),
        file.set_len(1).is_err(),
        file.allocate(0, 1).is_err(),
        file.map(1).is_err(),
    ];
    assert_eq!(failed, [true; 19]);
    assert_eq!(disk.call_count() - first, 19);
    disk.heal();
    assert_eq!(content(&disk, "a").unwrap(), b"", "and none of them did anything");
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = SimStorage::new();
    let file = create(&disk, "a");
    disk.set_capacity(1000);
    file.allocate(0, 600).unwrap();
    assert_eq!(disk.used_bytes(), 600);
    assert_eq!(file.allocate(0, 1001).unwrap_err().raw_os_error(), Some(28));
    write(&*file, 0, &[1; 600]); // It was reserved.
    let other = create(&disk, "b");
    assert_eq!(try_write(&*other, 0, &[2; 500]).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(content(&disk, "b").unwrap(), [2; 400], "what fitted was written");
    assert!(try_write(&*file, 600, b"x").is_err());
    write(&*file, 599, b"x");

    other.set_len(0).unwrap();
    write(&*file, 600, &[1; 400]);
    disk.remove(path("a")).unwrap();
    write(&*other, 0, &[2; 1000]);
    assert_eq!(disk.used_bytes(), 1000);
}

#[test]
fn a_mapping_sees_every_write_at_once() {
    let disk = SimStorage::new();
    let file = create(&disk, "a");
    write(&*file, 0, b"before");
    let (one, two) = (file.map(4096).unwrap(), file.map(8).unwrap());
    write(&*disk.open(path("a"), Mode::Write).unwrap(), 6, b" after");
    one.publish(12);
    two.publish(8);
    assert_eq!(one.bytes(0..12), Some(&b"before after"[..]));
    assert_eq!(two.bytes(0..8), Some(&b"before a"[..]));
    file.set_len(20).unwrap();
    write(&*file, 13, b"gone");
    file.set_len(12).unwrap();
    file.set_len(20).unwrap();
    one.publish(20);
    assert_eq!(one.bytes(12..20), Some(&[0; 8][..]));
}

#[test]
#[should_panic(expected = "published bytes would change")]
fn a_published_byte_never_changes() {
    let disk = SimStorage::new();
    let file = create(&disk, "a");
    write(&*file, 0, b"fixed");
    let mapping = file.map(100).unwrap();
    mapping.publish(5);
    write(&*file, 0, b"fixed and more");
    write(&*file, 4, b"t");
}

#[test]
#[should_panic(expected = "is cut at 4")]
fn a_published_byte_is_never_truncated() {
    let disk = SimStorage::new();
    let file = create(&disk, "a");
    write(&*file, 0, b"fixed");
    let mapping = file.map(100).unwrap();
    mapping.publish(5);
    file.set_len(4).unwrap();
}

#[test]
#[should_panic(expected = "but ends at 5")]
fn what_is_not_in_the_file_is_not_published() {
    let disk = SimStorage::new();
    let file = create(&disk, "a");
    write(&*file, 0, b"fixed");
    file.map(100).unwrap().publish(6);
}

#[test]
fn locks_die_with_the_process() {
    let disk = SimStorage::new();
    let held = disk.lock(path("LOCK")).unwrap();
    assert!(held.is_some());
    assert!(disk.lock(path("LOCK")).unwrap().is_none());
    assert!(disk.snapshot().lock(path("LOCK")).unwrap().is_some());
    assert!(disk.crash(Crash::None).lock(path("LOCK")).unwrap().is_some());
}

#[test]
fn words_outlive_the_process_but_prove_nothing_after_power_loss() {
    let disk = SimStorage::new();
    let words = disk.words(path("LIVE"), true).unwrap();
    disk.open(path("LIVE"), Mode::Read).unwrap().sync_data().unwrap();
    disk.sync_dir(path("")).unwrap();
    words.store(3, 7);
    words.store(100, 8); // In another sector.

    let killed = disk.snapshot();
    assert_eq!(killed.boot_id(), disk.boot_id());
    assert_eq!(killed.words(path("LIVE"), false).unwrap().load(3), 7);
    words.store(3, 9);
    assert_eq!(killed.words(path("LIVE"), false).unwrap().load(3), 7, "another machine by now");

    let states = outcomes(&disk, |found| {
        assert_ne!(found.boot_id(), disk.boot_id());
        let words = found.words(path("LIVE"), false).unwrap();
        (words.load(3), words.load(100))
    });
    assert_eq!(states, BTreeSet::from([(0, 0), (9, 0), (0, 8), (9, 8)]));
}

#[test]
fn inode_numbers_stay() {
    let disk = SimStorage::new();
    create(&disk, "a");
    create(&disk, "b");
    let inode = |disk: &SimStorage, name| disk.metadata(path(name)).unwrap().unwrap().inode;
    let id = inode(&disk, "a");
    assert_eq!(disk.file_id(path("a")), Some(FileId(id)));
    assert_ne!(inode(&disk, "b"), id);
    disk.rename(path("a"), path("b")).unwrap();
    assert_eq!(inode(&disk, "b"), id);
    assert_eq!(inode(&disk.crash(Crash::All), "b"), id);
    assert_eq!(inode(&disk.crash(Crash::None), "a"), id);
}

/// A little run with everything in it.
fn script(disk: &SimStorage) {
    disk.create_dir_all(path("log")).unwrap();
    let file = disk.open(path("log/tmp"), Mode::CreateNew).unwrap();
    file.allocate(0, 4096).unwrap();
    write(&*file, 0, &[1; 700]);
    file.sync_data().unwrap();
    disk.rename(path("log/tmp"), path("log/a")).unwrap();
    disk.sync_dir(path("log")).unwrap();
    disk.sync_dir(path("")).unwrap();
    disk.sync_parent().unwrap();
    write(&*file, 700, &[2; 700]);
    disk.hard_link(path("log/a"), path("log/b")).unwrap();
    disk.fail(FailPlan::next(Call::SyncData, Fault::Eio));
    assert!(file.sync_data().is_err());
    write(&*file, 1400, &[3; 700]);
    disk.words(path("LIVE"), true).unwrap().store(5, 5);
    file.set_len(3000).unwrap();
    disk.remove(path("log/b")).unwrap();
}

#[test]
fn a_trace_visits_every_moment_of_a_run() {
    let disk = SimStorage::absent();
    let mut crashes = BTreeMap::new();
    script(&disk);
    let trace = disk.trace();
    assert_eq!(trace.ops().len() as u64, disk.op_count());
    let policies = [Crash::None, Crash::All, Crash::Random(1), Crash::PrefixBytes(300), Crash::Sectors(5)];
    let mut replay = trace.replay();
    loop {
        for policy in policies {
            let digest = replay.crash(policy).digest();
            assert_eq!(trace.state_after(replay.done(), policy).digest(), digest);
            crashes.insert(digest, replay.done());
        }
        assert_eq!(trace.killed_after(replay.done()).digest(), replay.kill().digest());
        if replay.advance().is_none() {
            break;
        }
    }
    assert!(crashes.len() > 20, "{}", crashes.len());
    assert_eq!(replay.done(), disk.op_count());
    assert_eq!(replay.kill().digest(), disk.digest(), "the end of the replay is the end of the run");
    for policy in policies {
        assert_eq!(replay.crash(policy).digest(), disk.crash(policy).digest());
    }
    assert_eq!(trace.state_after(u64::MAX, Crash::None).digest(), disk.crash(Crash::None).digest());
}

#[test]
fn the_same_run_is_the_same_every_time() {
    let run = || {
        let disk = SimStorage::absent();
        script(&disk);
        let crashes: Vec<u64> = (0..50).map(|seed| disk.crash(Crash::Random(seed)).digest()).collect();
        (disk.digest(), disk.call_count(), disk.random(), crashes)
    };
    assert_eq!(run(), run());
}

#[test]
fn crashes_nest_and_draw_other_random_bytes() {
    let disk = SimStorage::with_trace();
    let file = create(&disk, "a");
    let drawn = [disk.random(), disk.random()];
    write(&*file, 0, b"first");
    file.sync_data().unwrap();
    let after = disk.crash(Crash::None);
    let second = [after.random(), disk.snapshot().random()];
    let all: BTreeSet<_> = drawn.into_iter().chain(second).collect();
    assert!(all.len() >= 3, "a salt must not come twice");
    assert!(!drawn.contains(&second[0]) && !drawn.contains(&second[1]));
    let file = after.open(path("a"), Mode::Write).unwrap();
    write(&*file, 0, b"again");
    assert_eq!(content(&after.trace().state_after(0, Crash::All), "a").unwrap(), b"first");
    assert_eq!(content(&after.trace().state_after(1, Crash::All), "a").unwrap(), b"again");
    assert_eq!(content(&disk, "a").unwrap(), b"first", "the disk that crashed goes on as it was");
}
