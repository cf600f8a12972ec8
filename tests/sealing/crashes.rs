//! What a crash between two steps leaves on a real disk, made by hand: the raw file back beside its sealed form, which
//! may also be damaged or another's; temporary files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use annals::{ErrorKind, Store};

use super::{check_all, fill, look_up, sealed_count};

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn options() -> annals::Options {
    Store::options().segment_bytes(64 << 10).sealing(false)
}

/// All files below a directory, by their names from there on.
fn files(root: &Path) -> Files {
    let (mut found, mut due) = (Files::new(), vec![root.to_owned()]);
    while let Some(directory) = due.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                due.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn put(root: &Path, files: &Files) {
    let _ = fs::remove_dir_all(root);
    for (path, bytes) in files {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), bytes).unwrap();
    }
}

struct Before {
    _directory: tempfile::TempDir,
    root: PathBuf,
    /// With everything raw, and with the full segments sealed.
    raw: Files,
    sealed: Files,
    events: u64,
}

/// A store before and after sealing.
fn before() -> Before {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    let store = options().open(&root).unwrap();
    fill(&store, 500);
    store.close().unwrap();
    let raw = files(&root);
    let store = options().open(&root).unwrap();
    store.seal().unwrap();
    assert!(sealed_count(&store) >= 2);
    store.close().unwrap();
    Before { _directory: directory, raw, sealed: files(&root), root, events: 500 }
}

fn with(name: &Path, end: &str) -> PathBuf {
    name.with_extension(end)
}

impl Before {
    /// Names of the sealed segments that were raw before.
    fn names(&self) -> Vec<PathBuf> {
        let is_seg = |path: &&PathBuf| path.extension().is_some_and(|end| end == "seg");
        let names: Vec<_> = self.sealed.keys().filter(is_seg).cloned().collect();
        assert!(names.iter().all(|name| self.raw.contains_key(&with(name, "raw"))));
        names
    }

    /// The sealed store with the raw forms of these segments back beside them.
    fn both(&self, names: &[PathBuf]) -> Files {
        let mut files = self.sealed.clone();
        for name in names {
            for end in ["raw", "idx"] {
                let path = with(name, end);
                files.extend(self.raw.get(&path).map(|bytes| (path, bytes.clone())));
            }
        }
        files
    }

    fn open_is_whole(&self, what: &str) -> Store {
        let store = options().open(&self.root).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(check_all(&store).unwrap(), self.events, "{what}");
        for position in [1, 2, 250, 500] {
            look_up(&store.reader(), position);
        }
        assert!(store.verify(|_| std::ops::ControlFlow::Continue(())).unwrap().is_good(), "{what}");
        store
    }
}

#[test]
fn a_raw_file_left_beside_its_sealed_form_is_settled_at_opening() {
    let before = before();
    let names = before.names();
    for names in [&names[..1], &names[1..], &names[..]] {
        put(&before.root, &before.both(names));
        // Who only reads uses one of them and touches none.
        let there = files(&before.root);
        let reader = Store::options().read_only(true).open(&before.root).unwrap();
        assert_eq!(check_all(&reader).unwrap(), before.events);
        look_up(&reader.reader(), 3);
        drop(reader);
        assert_eq!(files(&before.root).len(), there.len());
        let store = before.open_is_whole("both forms");
        assert_eq!(store.recovery().notes.len(), names.len(), "{:?}", store.recovery().notes);
        store.close().unwrap();
        let now = files(&before.root);
        for name in names {
            assert!(!now.contains_key(&with(name, "raw")) && !now.contains_key(&with(name, "idx")));
            assert_eq!(now[name], before.sealed[name]);
        }
        assert!(before.open_is_whole("again").recovery().notes.is_empty());
    }
}

/// The sealed file goes into quarantine. The raw one stays, and is sealed again: at once if sealed ones follow it.
fn is_set_aside(before: &Before, name: &Path, bad: &[u8], what: &str) {
    let mut both = before.both(&[name.to_owned()]);
    both.insert(name.to_owned(), bad.to_vec());
    put(&before.root, &both);
    let reading = Store::options().read_only(true).open(&before.root);
    match reading.and_then(|store| check_all(&store)) {
        Ok(count) => assert_eq!(count, before.events, "{what}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption, "{what}: {error:?}"),
    }
    let store = before.open_is_whole(what);
    assert_eq!(store.recovery().notes.len(), 1, "{what}: {:?}", store.recovery().notes);
    let now = files(&before.root);
    let at_once = before.names().last().map(PathBuf::as_path) != Some(name);
    assert!(now.get(name).is_none_or(|now| now != bad), "{what}: the bad file is still there");
    assert_eq!(now.contains_key(name), at_once, "{what}");
    assert_eq!(now.contains_key(&with(name, "raw")), !at_once, "{what}: the raw file");
    let kept = now.iter().any(|(path, bytes)| path.starts_with("quarantine") && bytes == bad);
    assert!(kept, "{what}: the bad file is not kept");
    assert_eq!(store.seal().unwrap().segments > 0, !at_once, "{what}");
    assert_eq!(check_all(&store).unwrap(), before.events, "{what}");
    store.close().unwrap();
    drop(store);
    before.open_is_whole(what);
    assert!(files(&before.root).contains_key(name), "{what}: not sealed again");
}

#[test]
fn a_damaged_sealed_file_beside_its_raw_form_is_set_aside() {
    let before = before();
    let names = before.names();
    for name in [&names[0], &names[1], &names[names.len() - 1]] {
        let good = &before.sealed[name];
        for at in (0..good.len()).step_by((good.len() / 17).max(1)).chain([good.len() - 1]) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            is_set_aside(&before, name, &bad, &format!("{} byte {at}", name.display()));
        }
        for len in [0, 1, 100, 200, good.len() / 2, good.len() - 1] {
            is_set_aside(&before, name, &good[..len], &format!("{} cut to {len}", name.display()));
        }
    }
}

#[test]
fn a_sealed_file_of_other_events_beside_a_raw_one_is_set_aside() {
    let before = before();
    let names = before.names();
    // Of another log, of another place in this one.
    let other = self::before();
    is_set_aside(&before, &names[0], &other.sealed[&names[0]], "another log");
    is_set_aside(&before, &names[1], &before.sealed[&names[0]], "another base");
    // Of the same log, which went another way since.
    let newest = before.raw.keys().rfind(|path| path.extension().is_some_and(|end| end == "raw")).unwrap();
    put(&before.root, &before.raw);
    let here = options().open(&before.root).unwrap();
    fill(&here, 10);
    here.close().unwrap();
    drop(here);
    let line = files(&before.root);
    put(&before.root, &before.raw);
    let there = options().open(&before.root).unwrap();
    there.append([annals::NewEvent::bytes("other", "other/1", "", "other")]).unwrap();
    there.seal().unwrap();
    there.close().unwrap();
    drop(there);
    let name = with(newest, "seg");
    let foreign = files(&before.root)[&name].clone();
    let mut both = line;
    both.insert(name.clone(), foreign.clone());
    put(&before.root, &both);
    let store = options().open(&before.root).unwrap();
    assert_eq!(check_all(&store).unwrap(), before.events + 10);
    let now = files(&before.root);
    assert!(!now.contains_key(&name) && now.contains_key(newest));
    assert!(now.iter().any(|(path, bytes)| path.starts_with("quarantine") && *bytes == foreign));
}

#[test]
fn of_a_damaged_raw_file_beside_a_good_sealed_one_nothing_is_lost() {
    let before = before();
    let name = &before.names()[0];
    let mut both = before.both(std::slice::from_ref(name));
    both.get_mut(&with(name, "raw")).unwrap()[12_288 + 3_000] ^= 1;
    put(&before.root, &both);
    before.open_is_whole("a damaged raw file");
    // Both damaged: reported, and both are kept.
    let mut bad_seg = before.sealed[name].clone();
    bad_seg[400] ^= 1;
    both.insert(name.clone(), bad_seg.clone());
    put(&before.root, &both);
    match options().open(&before.root) {
        Ok(store) => assert_eq!(check_all(&store).unwrap_err().kind(), ErrorKind::Corruption),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption),
    }
    let now = files(&before.root);
    assert!(now.values().any(|bytes| *bytes == bad_seg));
    assert_eq!(now[&with(name, "raw")], both[&with(name, "raw")]);
}

#[test]
fn temporary_files_of_a_crash_are_in_nobodys_way() {
    let before = before();
    for name in &before.names() {
        let good = &before.sealed[name];
        for bytes in [&b""[..], &good[..good.len() / 2], good] {
            let mut left = before.raw.clone();
            left.insert(with(name, "seg.tmp"), bytes.to_vec());
            put(&before.root, &left);
            let reader = Store::options().read_only(true).open(&before.root).unwrap();
            assert_eq!(check_all(&reader).unwrap(), before.events);
            drop(reader);
            let store = before.open_is_whole("a temporary file");
            assert!(store.seal().unwrap().segments >= 2);
            assert_eq!(check_all(&store).unwrap(), before.events);
            store.close().unwrap();
            drop(store);
            assert!(files(&before.root).keys().all(|path| path.extension().is_none_or(|end| end != "tmp")));
        }
    }
}
