//! Golden stores: what a version of the format has written stays readable for ever.
//!
//! `tests/golden/vN/store` is a store as it was written, `events.jsonl` its events as they were
//! then exported, `root` the root of their tree. Each store is read three ways: for reading only,
//! for writing (of a copy), and by a reader that was written from docs/format.md alone.
//!
//! A new version of the format adds a store and leaves the old ones as they are. The store of the
//! present version was made by `cargo test --test golden -- --ignored make`, on a simulated disk
//! and with a clock that stands still, so that it can be made again byte for byte.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "golden/make.rs"]
mod make;
#[path = "golden/reader.rs"]
mod reader;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use annals::{Append, Durability, Form, NewEvent, Query, Store, write_event};

fn golden(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{version}"))
}

/// Copies the store: opening for writing changes it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// All events as `annals export` writes them.
fn export(store: &Store) -> String {
    let mut out = Vec::new();
    let read = store.reader().scan(&Query::all(), |event| {
        write_event(&event, &mut out);
        out.push(b'\n');
        ControlFlow::Continue(())
    });
    read.unwrap();
    String::from_utf8(out).unwrap()
}

fn root(store: &Store) -> String {
    let found = store.verify(|_| ControlFlow::Continue(())).unwrap();
    assert!(found.is_good(), "{:?}", found.damage);
    found.root.unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn assert_same(found: &str, expected: &str) {
    for (number, (found, expected)) in (1..).zip(found.lines().zip(expected.lines())) {
        assert_eq!(found, expected, "line {number}");
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

#[test]
fn version_1_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    copy(&golden(1).join("store"), &path);
    let events = fs::read_to_string(golden(1).join("events.jsonl")).unwrap();
    let expected_root = fs::read_to_string(golden(1).join("root")).unwrap();

    let store = Store::options().read_only(true).open(&path).unwrap();
    assert_same(&export(&store), &events);
    assert_eq!(root(&store), expected_root.trim());
    assert!(store.damage().is_empty());
    store.close().unwrap();
}

#[test]
fn version_1_is_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    copy(&golden(1).join("store"), &path);
    let events = fs::read_to_string(golden(1).join("events.jsonl")).unwrap();
    let expected_root = fs::read_to_string(golden(1).join("root")).unwrap();

    let store = Store::open(&path).unwrap();
    assert!(store.recovery().clean && store.recovery().cut.is_none(), "{}", store.recovery());
    assert!(store.recovery().rebuilt.is_empty(), "{:?}", store.recovery().rebuilt);
    assert_same(&export(&store), &events);
    assert_eq!(root(&store), expected_root.trim());

    // Versions, keys and positions go on where they were.
    let tail = store.reader().tail();
    let version = store.reader().version("note/n-1").unwrap();
    let again = store.append_with(Append::new(make::keyed()).key(make::KEY)).unwrap();
    assert!(again.duplicate && again.last < tail);
    let done = store.append([NewEvent::bytes("note.edited", "note/n-1", "text/plain", "more")]).unwrap();
    assert_eq!(done.first, tail.next());
    assert_eq!(store.reader().version("note/n-1").unwrap(), version + 1);
    store.close().unwrap();
    let store = Store::open(&path).unwrap();
    assert_same(&export(&store)[..events.len()], &events);
    assert_eq!(store.reader().tail(), done.last);
}

/// The page is enough: a reader that knows nothing of this crate's code reads the same.
#[test]
fn version_1_is_read_by_the_page_alone() {
    let log = reader::read_store(&golden(1).join("store")).unwrap();
    let store = Store::options().read_only(true);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    copy(&golden(1).join("store"), &path);
    let store = store.open(&path).unwrap();
    let events: Vec<annals::Event> = store.reader().read(&Query::all()).map(Result::unwrap).collect();
    assert_eq!(log.events.len(), events.len());
    for (found, event) in log.events.iter().zip(&events) {
        reader::assert_same(found, event);
        let fingerprint = store.reader().fingerprint(event.position()).unwrap().unwrap();
        assert_eq!(found.leaf[..16], fingerprint);
    }
    assert_eq!(reader::hex(&log.root), fs::read_to_string(golden(1).join("root")).unwrap().trim());
    assert_eq!(log.index_rows, make::INDEX_ROWS);
}

/// What the store is there for is really in it.
#[test]
fn version_1_holds_what_it_should() {
    let path = golden(1).join("store");
    let log = reader::read_store(&path).unwrap();
    for what in make::SHOULD_HOLD {
        assert!((what.1)(&log), "no event with {}", what.0);
    }
    let bytes: u64 = make::all_files(&golden(1)).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(bytes < 200_000, "{bytes} bytes");
    let directory = tempfile::tempdir().unwrap();
    let copied = directory.path().join("store");
    copy(&path, &copied);
    let store = Store::options().read_only(true).open(copied).unwrap();
    let segments = store.segments();
    assert!(segments.iter().any(|segment| segment.synced) && segments.iter().any(|segment| !segment.synced));
    assert!(segments.iter().any(|segment| segment.form == Form::Rolled && segment.index_bytes > 0));
    assert!(segments.iter().any(|segment| segment.epoch == 2));
    assert!(annals::inspect(&path).unwrap().is_good());
    for file in make::all_files(&path) {
        // What was cut away is damaged, and all else is not.
        let inspection = annals::inspect(&file).unwrap();
        assert_eq!(
            inspection.is_good(),
            !file.components().any(|part| part.as_os_str() == "quarantine"),
            "{inspection}"
        );
    }
}

/// Writes the golden store of the present version. Look at the difference before you commit it: a
/// store of a released version never changes.
#[test]
#[ignore = "writes into tests/golden"]
fn make() {
    let to = golden(1);
    let _ = fs::remove_dir_all(&to);
    let disk = make::make();
    make::write_out(&*disk, &to.join("store"));
    let store = Store::options().read_only(true).background(false).open_on(disk.snapshot(), Path::new("sim")).unwrap();
    fs::write(to.join("events.jsonl"), export(&store)).unwrap();
    fs::write(to.join("root"), root(&store) + "\n").unwrap();
}

/// The same code on the same clock writes the same bytes: if this fails and the tests above do
/// not, the writer does something else than before, within the same format.
#[test]
fn the_present_writer_writes_the_same_store() {
    let directory = tempfile::tempdir().unwrap();
    make::write_out(&*make::make(), directory.path());
    for file in make::all_files(directory.path()) {
        let name = file.strip_prefix(directory.path()).unwrap();
        if name == Path::new("LOCK") {
            continue; // It names the process.
        }
        let (found, expected) = (fs::read(&file).unwrap(), fs::read(golden(1).join("store").join(name)).unwrap());
        assert!(found == expected, "{} is another", name.display());
    }
    assert!(matches!(make::DURABILITIES, [Durability::Written { .. }, Durability::Synced]));
}
