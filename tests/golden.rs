//! Golden stores: what a version of the format has written stays readable for ever.
//!
//! `tests/golden/vN/store` is a store as it was written, `events.jsonl` its events as they were
//! then exported, `root` the root of their tree. Each store is read three ways: for reading only,
//! for writing (of a copy), and by a reader that was written from docs/format.md alone.
//!
//! `tests/golden/v1-sealed` is the same for sealed segments, with the SHA-256 of the export in the
//! place of the export. Its bytes depend on the version of zstd
//! too, which `zstd` there names.
//!
//! A new version of the format adds a store and leaves the old ones as they are. The stores of the
//! present version were made by `cargo test --test golden -- --ignored make`, on a simulated disk
//! and with a clock that stands still, so that they can be made again byte for byte.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "golden/make.rs"]
mod make;
#[path = "golden/make_sealed.rs"]
mod make_sealed;
#[path = "golden/reader.rs"]
mod reader;
#[path = "golden/sealed_reader.rs"]
mod sealed_reader;
#[path = "golden/terms_reader.rs"]
mod terms_reader;

use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use annals::{Append, Durability, Form, NewEvent, Query, Store, write_event};
use sha2::{Digest, Sha256};

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

fn sealed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1-sealed")
}

/// Of an export: the page reader and the root tell more where it differs.
fn digest(text: &str) -> String {
    reader::hex(&Sha256::digest(text))
}

/// Compares what the page alone gives with what the crate reads, event by event.
fn assert_read_by_the_page_alone(path: &Path) -> reader::Log {
    let log = reader::read_store(path).unwrap();
    let store = Store::options().read_only(true).open(path).unwrap();
    let events: Vec<annals::Event> = store.reader().read(&Query::all()).map(Result::unwrap).collect();
    assert_eq!(log.events.len(), events.len());
    for (found, event) in log.events.iter().zip(&events) {
        reader::assert_same(found, event);
        let fingerprint = store.reader().fingerprint(event.position()).unwrap().unwrap();
        assert_eq!(found.leaf[..16], fingerprint);
    }
    assert_eq!(reader::hex(&log.root), root(&store));
    log
}

#[test]
fn sealed_segments_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    copy(&sealed().join("store"), &path);
    let events = fs::read_to_string(sealed().join("events.sha256")).unwrap();
    let expected_root = fs::read_to_string(sealed().join("root")).unwrap();
    for store in [Store::options().read_only(true).open(&path).unwrap(), Store::open(&path).unwrap()] {
        assert!(store.damage().is_empty());
        assert_eq!(digest(&export(&store)), events.trim());
        assert_eq!(root(&store), expected_root.trim());
        let forms: Vec<Form> = store.segments().iter().map(|segment| segment.form).collect();
        assert_eq!(forms.iter().filter(|form| **form == Form::Sealed).count(), 2, "{forms:?}");
        store.close().unwrap();
    }
    for file in make::all_files(&sealed().join("store")) {
        assert!(annals::inspect(&file).unwrap().is_good());
    }
    let bytes: u64 =
        make::all_files(&sealed().join("store")).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(bytes < 400_000, "{bytes} bytes");
}

#[test]
fn sealed_segments_are_read_by_the_page_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    copy(&sealed().join("store"), &path);
    let log = assert_read_by_the_page_alone(&path);
    assert_eq!(reader::hex(&log.root), fs::read_to_string(sealed().join("root")).unwrap().trim());
    // What the store is there for is really in it.
    let sections = (1..=18).chain(20..=26).chain([37, 48, 49, 50, 51, 56, 57, 58, 60, 61, 62, 64]);
    assert_seen(sections.map(|section| format!("head section {section}")));
    assert_seen([0, 1, 2, 3, 4, 6, 7, 8, 9, 16, 17, 18, 64].map(|section| format!("string section {section}")));
    assert_seen((0..=6).map(|codec| format!("codec {codec}")));
    assert_seen((1..=5).map(|section| format!("section {section}")));
    assert_seen([
        "template of mode 0",
        "template of mode 1",
        "a stem",
        "a UUID",
        "a page of zstd",
        "payloads ordered by subject",
    ]);
}

fn assert_seen<T: Into<String>>(what: impl IntoIterator<Item = T>) {
    let seen = sealed_reader::seen();
    let missing: Vec<String> = what.into_iter().map(Into::into).filter(|what| !seen.contains(what)).collect();
    assert!(missing.is_empty(), "not there to be read: {missing:?}");
}

/// No byte is without a check: a reader by the page alone finds every flip.
#[test]
fn a_flip_anywhere_in_a_sealed_segment_is_found_by_the_page_alone() {
    let path = sealed().join("store/log/00000000000000000001.seg");
    let mut file = fs::read(path).unwrap();
    let log_id = file[24..40].to_vec();
    let read = |file: &[u8]| {
        let mut log = reader::Log { events: Vec::new(), root: [0; 32], states: Vec::new(), index_rows: 0 };
        sealed_reader::read_segment(file, 1, &log_id, &mut log)
    };
    read(&file).unwrap();
    let len = file.len();
    let at_the_ends = (0..128).chain(len - 600..len);
    for at in at_the_ends.chain((128..len - 600).step_by(59)) {
        let bit = 1 << (at % 8);
        file[at] ^= bit;
        assert!(read(&file).is_err(), "byte {at}");
        file[at] ^= bit;
    }
}

/// What has no place in a small store: many blocks, a dictionary of the payloads, payloads ordered by subject.
#[test]
fn large_sealed_segments_are_read_by_the_page_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = Store::options().background(false).open(&path).unwrap();
    for batch in 0..60u64 {
        let events = (batch * 200..(batch + 1) * 200).map(|n| {
            let place = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 52;
            let subject = format!("{}/{}", ["order", "person", "place"][place as usize % 3], place / 3);
            let letters: String = (0..8).map(|at| char::from(b'a' + (place >> at & 15) as u8)).collect();
            let data = serde_json::json!({
                "subject": subject, "revision": n / 97, "address": {"street": letters, "number": place % 100},
                "previous": format!("{:016x}", place.wrapping_mul(0x2545_F491_4F6C_DD1D)),
            });
            let event = NewEvent::json(format!("type.{}", place % 30), subject, &data).unwrap();
            event.id(format!("{}-{}", n / 1000, n * 3)).tag(format!("rare:{}", n / 37)).tag(format!("often:{}", n % 4))
        });
        store.append_with(Append::new(events).key(format!("batch {batch}"))).unwrap();
    }
    store.seal().unwrap();
    // More subjects than a dictionary takes, ids that follow the position, data that cannot be packed.
    for batch in 0..6u64 {
        let events = (batch * 1_000..(batch + 1) * 1_000).map(|n| {
            let data: Vec<u8> = Sha256::digest(n.to_le_bytes()).to_vec();
            NewEvent::bytes("t", format!("own/{n}"), "", data).id(format!("own{}", n + 12_001))
        });
        store.append(events).unwrap();
    }
    store.seal().unwrap();
    store.close().unwrap();
    let log = assert_read_by_the_page_alone(&path);
    assert_seen((1..=6).map(|section| format!("section {section}")));
    assert_seen((0..=4).map(|code| format!("blocks by code {code}")));
    assert_seen(["head section 32", "template of mode 2", "a page as it is", "a page of zstd", "a short entry"]);
    assert_eq!(log.events.len(), 18_000);
}

/// As [`make`], for sealed segments.
#[test]
#[ignore = "writes into tests/golden"]
fn make_sealed() {
    let to = sealed();
    let _ = fs::remove_dir_all(&to);
    let disk = make_sealed::make();
    make::write_out(&*disk, &to.join("store"));
    let store = Store::options().read_only(true).background(false).open_on(disk.snapshot(), Path::new("sim")).unwrap();
    fs::write(to.join("events.sha256"), digest(&export(&store)) + "\n").unwrap();
    fs::write(to.join("root"), root(&store) + "\n").unwrap();
    fs::write(to.join("zstd"), format!("{}\n", zstd::zstd_safe::version_string())).unwrap();
}

/// Another version of zstd may pack otherwise: then only what is unpacked can be compared, which the tests above do.
#[test]
fn the_present_sealer_writes_the_same_store() {
    let made_with = fs::read_to_string(sealed().join("zstd")).unwrap();
    if made_with.trim() != zstd::zstd_safe::version_string() {
        writeln!(std::io::stderr(), "SKIPPED: the sealed golden store was made with zstd {}", made_with.trim())
            .unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    make::write_out(&*make_sealed::make(), directory.path());
    let files = make::all_files(directory.path());
    assert!(files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "seg")).count() == 2);
    for file in files {
        let name = file.strip_prefix(directory.path()).unwrap();
        if name == Path::new("LOCK") {
            continue; // It names the process.
        }
        let (found, expected) = (fs::read(&file).unwrap(), fs::read(sealed().join("store").join(name)).unwrap());
        assert!(found == expected, "{} is another", name.display());
    }
}
