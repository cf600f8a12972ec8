//! What every [`Storage`] does, tried on a real directory and on the simulated one, and what only
//! a real one does.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;

use super::disk::DiskStorage;
use super::*;

/// Runs a test on both kinds of storage.
fn on_both(test: impl Fn(&dyn Storage)) {
    test(&*SimStorage::new());
    if cfg!(miri) {
        eprintln!("skipped on disk: Miri can't map files");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    test(&DiskStorage::open(dir.path()).unwrap());
}

fn path(path: &str) -> &Path {
    Path::new(path)
}

fn write(file: &dyn File, offset: u64, bytes: &[u8]) {
    file.write_all_at(&mut [IoSlice::new(bytes)], offset).unwrap();
}

fn read(file: &dyn File, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; len];
    let read = file.read_at(&mut bytes, offset).unwrap();
    bytes.truncate(read);
    bytes
}

fn kind<T>(outcome: io::Result<T>) -> ErrorKind {
    outcome.err().unwrap().kind()
}

#[test]
fn a_file_holds_what_was_written() {
    on_both(|storage| {
        let file = storage.open(path("a"), Mode::CreateNew).unwrap();
        file.write_all_at(&mut [IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"two")], 4).unwrap();
        assert_eq!(read(&*file, 0, 100), b"\0\0\0\0onetwo");
        assert_eq!(read(&*file, 8, 2), b"wo");
        assert_eq!(read(&*file, 10, 5), b"");
        assert_eq!(read(&*file, 1000, 5), b"");
        file.write_all_at(&mut [IoSlice::new(b"")], 50).unwrap();
        file.write_all_at(&mut [], 50).unwrap();
        assert_eq!(file.len().unwrap(), 10);
        file.sync_data().unwrap();
        file.drop_cache();

        let reader = storage.open(path("a"), Mode::Read).unwrap();
        write(&*file, 0, b"zero");
        assert_eq!(read(&*reader, 0, 6), b"zeroon");
        assert!(reader.write_all_at(&mut [IoSlice::new(b"x")], 0).is_err());
        reader.sync_data().unwrap();
    });
}

#[test]
fn many_slices_are_written_in_turn() {
    on_both(|storage| {
        let file = storage.open(path("a"), Mode::CreateNew).unwrap();
        let numbers: Vec<[u8; 4]> = (0..5000_u32).map(u32::to_le_bytes).collect();
        let mut slices: Vec<IoSlice<'_>> = numbers.iter().map(|number| IoSlice::new(number)).collect();
        file.write_all_at(&mut slices, 7).unwrap(); // More than the system takes at once.
        assert_eq!(read(&*file, 7, 20_001), numbers.concat());
    });
}

#[test]
fn lengths_grow_and_shrink() {
    on_both(|storage| {
        let file = storage.open(path("a"), Mode::Create).unwrap();
        write(&*file, 0, &[7; 5000]);
        file.set_len(4100).unwrap();
        file.set_len(4200).unwrap();
        assert_eq!(read(&*file, 4098, 4), [7, 7, 0, 0]);
        file.allocate(4000, 100).unwrap();
        assert_eq!(file.len().unwrap(), 4200, "a reserved range inside changes nothing");
        file.allocate(4200, 800).unwrap();
        assert_eq!(file.len().unwrap(), 5000);
        assert_eq!(read(&*file, 4096, 904), [&[7; 4][..], &[0; 900]].concat());
    });
}

#[test]
fn modes_of_opening() {
    on_both(|storage| {
        assert_eq!(kind(storage.open(path("a"), Mode::Read)), ErrorKind::NotFound);
        assert_eq!(kind(storage.open(path("a"), Mode::Write)), ErrorKind::NotFound);
        assert_eq!(kind(storage.open(path("no/a"), Mode::Create)), ErrorKind::NotFound);
        storage.open(path("a"), Mode::CreateNew).unwrap();
        assert_eq!(kind(storage.open(path("a"), Mode::CreateNew)), ErrorKind::AlreadyExists);
        write(&*storage.open(path("a"), Mode::Create).unwrap(), 0, b"x");
        write(&*storage.open(path("a"), Mode::Write).unwrap(), 1, b"y");
        assert_eq!(read(&*storage.open(path("a"), Mode::Create).unwrap(), 0, 9), b"xy");
        for outside in ["/etc/passwd", "../a", "log/../../a"] {
            assert_eq!(kind(storage.open(path(outside), Mode::Read)), ErrorKind::InvalidInput, "{outside}");
        }
    });
}

#[test]
fn names_come_and_go() {
    on_both(|storage| {
        assert_eq!(kind(storage.list(path("log"))), ErrorKind::NotFound);
        storage.create_dir_all(path("log/deep")).unwrap();
        storage.create_dir_all(path("log")).unwrap();
        write(&*storage.open(path("log/b"), Mode::CreateNew).unwrap(), 0, b"bee");
        storage.open(path("log/a"), Mode::CreateNew).unwrap();
        let names = |dir| storage.list(path(dir)).unwrap().into_iter().map(|e| e.name).collect::<Vec<_>>();
        assert_eq!(names("log"), ["a", "b", "deep"]);
        assert_eq!(names(""), ["log"]);
        assert!(storage.list(path("")).unwrap()[0].is_dir);
        assert_eq!(storage.list(path("log")).unwrap()[1], Entry { name: "b".into(), len: 3, is_dir: false });

        assert_eq!(kind(storage.rename_new(path("log/b"), path("log/a"))), ErrorKind::AlreadyExists);
        assert_eq!(kind(storage.rename_new(path("log/x"), path("log/y"))), ErrorKind::NotFound);
        let inode = |name| storage.metadata(path(name)).unwrap().map(|meta| (meta.device, meta.inode));
        let bee = inode("log/b");
        storage.rename_new(path("log/b"), path("c")).unwrap();
        assert_eq!((inode("c"), inode("log/b")), (bee, None));
        storage.rename(path("c"), path("log/a")).unwrap();
        assert_eq!((inode("log/a"), inode("c")), (bee, None));

        storage.hard_link(path("log/a"), path("log/deep/link")).unwrap();
        assert_eq!(kind(storage.hard_link(path("log/a"), path("log/deep/link"))), ErrorKind::AlreadyExists);
        assert_eq!(inode("log/deep/link"), bee);
        storage.rename(path("log/a"), path("log/deep/link")).unwrap();
        assert_eq!(inode("log/a"), bee, "POSIX: a rename from one name of a file to another does nothing");
        let open = storage.open(path("log/a"), Mode::Read).unwrap();
        storage.remove(path("log/a")).unwrap();
        storage.remove(path("log/deep/link")).unwrap();
        assert_eq!(kind(storage.remove(path("log/a"))), ErrorKind::NotFound);
        assert_eq!(read(&*open, 0, 9), b"bee", "who has it open keeps it");
        assert_eq!(storage.metadata(path("log/a")).unwrap(), None);

        storage.sync_dir(path("log/deep")).unwrap();
        storage.sync_dir(path("")).unwrap();
        storage.sync_parent().unwrap();
        assert_eq!(kind(storage.sync_dir(path("none"))), ErrorKind::NotFound);
    });
}

#[test]
fn a_lock_has_one_holder() {
    on_both(|storage| {
        let held = storage.lock(path("LOCK")).unwrap().unwrap();
        assert!(storage.lock(path("LOCK")).unwrap().is_none(), "in the same process too");
        held.write_text("a long line about the holder\n").unwrap();
        held.write_text("pid 1\n").unwrap();
        let file = storage.open(path("LOCK"), Mode::Read).unwrap();
        assert_eq!(read(&*file, 0, 100), b"pid 1\n", "anybody can read who it is");
        drop(file); // Closing another descriptor of the file must not unlock it.
        assert!(storage.lock(path("LOCK")).unwrap().is_none());
        drop(held);
        assert!(storage.lock(path("LOCK")).unwrap().is_some());
        assert!(storage.metadata(path("LOCK")).unwrap().is_some(), "it is never unlinked");
    });
}

#[test]
fn a_mapping_grows_with_its_file() {
    on_both(|storage| {
        let file = storage.open(path("a"), Mode::CreateNew).unwrap();
        let mapping = file.map(1 << 20).unwrap();
        assert_eq!(mapping.bytes(0..0), Some(&[][..]));
        assert_eq!(mapping.bytes(0..1), None, "nothing is published");

        write(&*file, 0, &[1; 5000]);
        mapping.publish(5000);
        let first = mapping.bytes(0..5000).unwrap();
        write(&*file, 5000, &[2; 100_000]);
        write(&*file, 100, &[1; 20]); // The same bytes again, as recovery does.
        assert_eq!(mapping.bytes(4999..5001), None);
        mapping.publish(105_000);
        mapping.publish(70_000);
        assert_eq!(mapping.published(), 105_000, "nothing is taken back");
        mapping.advise(0..u64::MAX, Advice::Sequential);
        mapping.advise(5000..6000, Advice::PopulateRead);
        assert_eq!(mapping.bytes(4999..5002), Some(&[1, 2, 2][..]));
        assert_eq!(mapping.bytes(104_999..105_000), Some(&[2][..]));
        #[allow(clippy::reversed_empty_ranges, reason = "that is the question")]
        let reversed = 9..8;
        for beyond in [105_000..105_001, u64::MAX - 1..u64::MAX, reversed] {
            assert_eq!(mapping.bytes(beyond), None);
        }
        assert!(first.iter().all(|&byte| byte == 1), "a slice stays good");

        storage.remove(path("a")).unwrap();
        drop(file);
        assert_eq!(mapping.bytes(0..2), Some(&[1, 1][..]), "and so does the mapping");
    });
}

#[test]
fn a_mapping_ends_where_it_was_told() {
    on_both(|storage| {
        let file = storage.open(path("a"), Mode::CreateNew).unwrap();
        write(&*file, 0, &[3; 9000]);
        let mapping = file.map(6000).unwrap();
        mapping.publish(9000);
        assert_eq!(mapping.bytes(5999..6000), Some(&[3][..]));
        assert_eq!(mapping.bytes(5999..6001), None);
    });
}

#[test]
fn mappings_are_read_while_the_file_is_written() {
    let rounds = if cfg!(miri) { 5 } else { 200 };
    on_both(|storage| {
        let file = storage.open(path("a"), Mode::CreateNew).unwrap();
        let mapping = file.map(1 << 16).unwrap();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                loop {
                    let end = mapping.published();
                    let bytes = mapping.bytes(0..end).unwrap();
                    assert!(bytes.iter().enumerate().all(|(i, &byte)| byte == i as u8));
                    if end == rounds * 100 {
                        break;
                    }
                }
            });
            for i in 0..rounds {
                let bytes: Vec<u8> = (i * 100..(i + 1) * 100).map(|i: u64| i as u8).collect();
                write(&*file, i * 100, &bytes);
                mapping.publish((i + 1) * 100);
            }
            reader.join().unwrap();
        });
    });
}

#[test]
fn words_are_shared_between_openings() {
    on_both(|storage| {
        assert_eq!(kind(storage.words(path("LIVE"), false)), ErrorKind::NotFound);
        storage.open(path("LIVE"), Mode::CreateNew).unwrap();
        assert_eq!(kind(storage.words(path("LIVE"), false)), ErrorKind::InvalidData, "too short to touch");

        let writer = storage.words(path("LIVE"), true).unwrap();
        let reader = storage.words(path("LIVE"), false).unwrap();
        assert_eq!(writer.len(), WORDS);
        assert!((0..WORDS).all(|index| reader.load(index) == 0));
        writer.store(16, 0x0102_0304_0506_0708);
        writer.store(511, u64::MAX);
        assert_eq!((reader.load(16), reader.load(511)), (0x0102_0304_0506_0708, u64::MAX));
        reader.store(16, 9);
        assert_eq!(writer.load(16), 0x0102_0304_0506_0708, "a reader can't write");

        let file = storage.open(path("LIVE"), Mode::Read).unwrap();
        assert_eq!(read(&*file, 128, 8), [8, 7, 6, 5, 4, 3, 2, 1], "little-endian");
        let again = storage.words(path("LIVE"), true).unwrap();
        assert_eq!(again.load(16), 0x0102_0304_0506_0708, "opening keeps them");
        assert_eq!(file.len().unwrap(), WORDS_BYTES);
    });
}

#[test]
#[should_panic(expected = "word 512")]
fn a_word_beyond_the_page_is_our_mistake() {
    let dir = tempfile::tempdir().unwrap();
    DiskStorage::open(dir.path()).unwrap().words(path("LIVE"), true).unwrap().load(512);
}

#[test]
fn a_root_is_created_on_demand() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("not/yet");
    let disk: Arc<dyn Storage> = Arc::new(DiskStorage::open(&root).unwrap());
    assert_eq!(disk.metadata(path("")).unwrap(), None);
    disk.kind().unwrap();
    disk.create_dir_all(path("")).unwrap();
    disk.sync_parent().unwrap();
    assert!(disk.metadata(path("")).unwrap().unwrap().is_dir);
}

#[cfg(unix)]
#[test]
fn nobody_else_may_look() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let disk = DiskStorage::open(&root).unwrap();
    disk.create_dir_all(path("log")).unwrap();
    disk.open(path("log/a"), Mode::CreateNew).unwrap();
    let mode = |path| std::fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("log"), mode("log/a")), (0o700, 0o700, 0o600));
}

#[cfg(unix)]
#[test]
fn a_page_of_words_is_really_allocated() {
    use std::os::unix::fs::MetadataExt;

    let dir = tempfile::tempdir().unwrap();
    let disk = DiskStorage::open(dir.path()).unwrap();
    disk.open(path("LIVE"), Mode::Create).unwrap().set_len(WORDS_BYTES).unwrap(); // A hole.
    disk.words(path("LIVE"), true).unwrap();
    disk.open(path("LIVE"), Mode::Read).unwrap().sync_data().unwrap();
    let blocks = std::fs::metadata(dir.path().join("LIVE")).unwrap().blocks();
    assert!(blocks * 512 >= WORDS_BYTES, "{blocks} blocks");
}

#[test]
fn the_wall_clock_and_the_boot_clock_go() {
    let (wall, boot) = (SystemClock.wall_nanos(), SystemClock.boot_nanos());
    assert!(wall > 1_700_000_000_000_000_000);
    assert!(SystemClock.boot_nanos() >= boot);
    let clock = ManualClock::new(100);
    clock.advance(5);
    clock.set_wall(-7);
    assert_eq!((clock.wall_nanos(), clock.boot_nanos()), (-7, 5));
}

#[test]
fn the_host_tells_who_it_is() {
    assert_eq!(boot_id(), boot_id());
    assert_eq!(boot_id() != 0, cfg!(target_os = "linux"));
    assert_ne!(random_bytes::<20>(), random_bytes::<20>());
    let line = process_line();
    assert!(line.starts_with(&format!("pid {}, host ", std::process::id())), "{line}");
    assert!(line.ends_with("Z\n") && line.contains(", program ") && line.contains(", since 20"), "{line}");
    assert_eq!(line.lines().count(), 1);
}
