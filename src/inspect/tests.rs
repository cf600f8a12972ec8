//! `inspect` on the files of a real store, whole and damaged in every way.

mod sealed;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::actor::Actor;
use crate::append::Append;
use crate::event::NewEvent;
use crate::format::frame::FIRST_OFFSET;
use crate::options::{Durability, Options};
use crate::position::Position;
use crate::store::Store;

const SEGMENT: &str = "log/00000000000000000001.raw";

fn event(n: usize) -> NewEvent {
    NewEvent::bytes("note.edited", format!("note/n-{}", n % 3), "text/plain", vec![b'x'; 100 + n])
        .actor(Actor::user("alice"))
        .tag("t")
}

/// A closed store of two segments, the first of which has 20 frames and an index.
fn store() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let open = |durability| {
        Options::default().background(false).segment_bytes(64 << 10).durability(durability).open(directory.path())
    };
    let written = open(Durability::Written { sync_every: std::time::Duration::from_secs(1) }).unwrap();
    for n in 0..19 {
        written.append([event(n)]).unwrap();
    }
    written.append_with(Append::new((19..24).map(event)).key("k")).unwrap();
    written.close().unwrap();
    let synced = open(Durability::Synced).unwrap();
    synced.append([event(24)]).unwrap();
    synced.close().unwrap();
    directory
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// Changes a file, inspects it, and shows what was found as text and JSON.
fn changed(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Inspection {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    let copy = tempfile::tempdir().unwrap();
    let file = copy.path().join(path.file_name().unwrap());
    fs::write(&file, bytes).unwrap();
    let found = inspect(&file).unwrap();
    let shown = found.to_string();
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown}");
    assert!(serde_json::to_value(&found).unwrap().is_object());
    found
}

fn offsets(found: &Inspection) -> Vec<u64> {
    found.problems.iter().map(|problem| problem.offset).collect()
}

#[test]
fn every_file_of_a_good_store_is_good_and_known() {
    let store = store();
    let before: Vec<_> = files(store.path()).iter().map(|path| fs::read(path).unwrap()).collect();
    let kinds: Vec<FileKind> = files(store.path())
        .iter()
        .map(|path| {
            let found = inspect(path).unwrap();
            assert!(found.is_good(), "{found}");
            assert!(found.to_string().contains("nothing is wrong"), "{found}");
            found.kind
        })
        .collect();
    use FileKind::{Anchor, Index, Live, Lock, Segment};
    assert_eq!(kinds, [Anchor, Live, Lock, Index, Segment, Segment]);

    let whole = inspect(store.path()).unwrap();
    assert!(whole.is_good() && whole.kind == FileKind::Store && whole.files.len() == 6, "{whole}");
    assert!(whole.notes.is_empty(), "{whole}");
    let summary = &whole.files.iter().find(|file| file.path == SEGMENT).unwrap().summary;
    assert!(summary.contains("from position 1 on, epoch 1") && summary.contains("rolled"), "{summary}");
    assert_eq!(inspect(store.path().join("log")).unwrap().kind, FileKind::Directory);
    let after: Vec<_> = files(store.path()).iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(before == after, "inspecting changed something");
}

#[test]
fn a_segment_is_told_frame_by_frame() {
    let store = store();
    let found = inspect(store.path().join(SEGMENT)).unwrap();
    let frames = found.frames.unwrap();
    assert_eq!((frames.frames, frames.events, frames.bad_frames), (20, 24, 0));
    assert_eq!(frames.positions, Some((Position::new(1), Position::new(24))));
    let last = frames.first.last().unwrap();
    assert_eq!((last.events, last.first, last.last), (5, Position::new(20), Position::new(24)));
    assert_eq!(last.flags, ["prelude"]);
    assert_eq!(frames.first[0].offset, FIRST_OFFSET);
    let header = &found.pages[0];
    let value = |name| header.fields.iter().find(|field| field.name == name).unwrap().value.as_str();
    assert_eq!((value("magic"), value("durability"), value("base position")), ("ANNALRAW", "2 (written)", "1"));
}

#[test]
fn of_many_frames_the_first_and_the_last_are_shown() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    for n in 0..200 {
        store.append([event(n % 10)]).unwrap();
    }
    store.close().unwrap();
    let path = directory.path().join(SEGMENT);
    let found = inspect(&path).unwrap();
    let frames = found.frames.as_ref().unwrap();
    assert_eq!((frames.frames, frames.first.len(), frames.left_out > 0), (200, 50, true));
    assert_eq!(frames.first.len() as u64 + frames.left_out + frames.last.len() as u64, 200);
    assert!((10..=20).contains(&frames.last.len()));
    assert_eq!(frames.last.last().unwrap().last, Position::new(200));
    assert!(found.to_string().contains("frames not shown"));
    let all = InspectOptions::new().all_frames(true).inspect(&path).unwrap().frames.unwrap();
    assert_eq!((all.first.len(), all.left_out, all.last.len()), (200, 0, 0));
}

#[test]
fn a_bad_frame_hides_no_other() {
    let store = store();
    let path = store.path().join(SEGMENT);
    let frames = inspect(&path).unwrap().frames.unwrap();
    let (third, fourth) = (frames.first[2].clone(), frames.first[3].clone());

    // A bit of a record: the frame is bad, and says which of its events.
    let found = changed(&path, |bytes| bytes[fourth.offset as usize - 70] ^= 1);
    let view = found.frames.unwrap();
    assert_eq!((view.frames, view.bad_frames, view.events), (20, 1, 23));
    assert_eq!((view.first[2].bad_events, view.first[2].problem.is_some()), (1, true));

    // A bit of a header: the place is bad, and frames go on behind it.
    let found = changed(&path, |bytes| bytes[third.offset as usize + 20] ^= 1);
    assert_eq!(offsets(&found), [third.offset + 56]);
    assert_eq!(found.problems[0].bytes, Some(third.bytes));
    assert!(found.notes.iter().any(|note| note.contains("positions 3 to 3 stood before")), "{found}");
    assert_eq!(found.frames.unwrap().frames, 19);

    // Zeros in the middle.
    let range = third.offset as usize..(fourth.offset + fourth.bytes) as usize;
    let found = changed(&path, |bytes| bytes[range].fill(0));
    assert_eq!(found.problems[0].offset, third.offset, "{found}");
    assert_eq!(found.problems[0].bytes, Some(third.bytes + fourth.bytes));

    // Two frames exchanged do not pass at each other's place.
    let (a, b) = (third.offset as usize, fourth.offset as usize);
    let found = changed(&path, |bytes| (0..64).for_each(|n| bytes.swap(a + n, b + n)));
    assert!(!found.is_good() && found.frames.unwrap().frames == 18);
}

#[test]
fn heads_that_are_damaged_are_shown_as_they_stand() {
    let store = store();
    let path = store.path().join(SEGMENT);
    // Not the salt: frames can still be checked.
    let found = changed(&path, |bytes| bytes[64] ^= 1);
    assert_eq!(found.pages[0].state, PageState::Bad);
    assert_eq!(offsets(&found), [88]);
    assert_eq!(found.frames.as_ref().unwrap().bad_frames, 0, "{found}");
    // The salt: nothing of the frames is certain.
    let found = changed(&path, |bytes| bytes[56] ^= 1);
    assert_eq!(found.frames.as_ref().unwrap().frames, 0, "{found}");
    // The magic: known by its slots.
    let found = changed(&path, |bytes| bytes[0] ^= 1);
    assert_eq!((found.kind, found.known_by), (FileKind::Segment, KnownBy::Content));
    // All pages: known by its frames, then by its name.
    let found = changed(&path, |bytes| bytes[..FIRST_OFFSET as usize].fill(0));
    assert_eq!((found.kind, found.known_by), (FileKind::Segment, KnownBy::Content));
    let found = changed(&path, |bytes| bytes.fill(0));
    assert_eq!((found.kind, found.known_by, found.is_good()), (FileKind::Segment, KnownBy::Name, false));
    // A format of the future.
    let found = changed(&path, |bytes| {
        bytes[8] = 2;
        bytes[10] = 2;
        let check = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes[..88], u64::from_le_bytes(*b"ANNALRAW"));
        bytes[88..96].copy_from_slice(&check.to_le_bytes());
    });
    assert_eq!((found.pages[0].state, found.is_good()), (PageState::Newer, false));
    // The end of the file before what the slot says.
    let found = changed(&path, |bytes| bytes.truncate(FIRST_OFFSET as usize + 64));
    assert!(found.problems.iter().any(|problem| problem.what == "slot"), "{found}");
    assert!(!changed(&path, |bytes| bytes.truncate(100)).is_good());
    assert!(!changed(&path, Vec::clear).is_good());
}

#[test]
fn anchor_live_and_index() {
    let store = store();
    let anchor = store.path().join("ANCHOR");
    let found = changed(&anchor, |bytes| bytes[40] ^= 1);
    assert!(!found.is_good() && found.notes[0].contains("durable up to position"), "the other slot serves: {found}");
    assert!(!changed(&anchor, |bytes| bytes.truncate(4096)).is_good());
    assert!(!changed(&anchor, |bytes| bytes.fill(7)).is_good());

    let live = store.path().join("LIVE");
    assert_eq!(offsets(&changed(&live, |bytes| bytes[10] ^= 1)), [0]);
    assert_eq!(offsets(&changed(&live, |bytes| bytes[128] ^= 1)), [136]);
    assert_eq!(offsets(&changed(&live, |bytes| bytes[256] = 9)), [256]);
    let copy = changed(&live, |_| ());
    assert!(copy.is_good() && copy.notes.iter().any(|note| note.contains("copy")), "{copy}");

    let index = store.path().join(SEGMENT).with_extension("idx");
    let whole = inspect(&index).unwrap().index.unwrap();
    assert!(whole.checked_whole && whole.types == [("note.edited".to_owned(), 24)]);
    let found = changed(&index, |bytes| bytes[4096 + 9] ^= 1);
    assert_eq!((offsets(&found), found.index.unwrap().bad_pages), (vec![4096 + 4088], 1));
    assert!(!changed(&index, |bytes| bytes.truncate(5000)).is_good());
    assert!(!changed(&index, |bytes| bytes.extend_from_slice(&[0; 4096])).is_good());
}

#[test]
fn what_is_no_file_of_a_store_is_said_to_be_none() {
    let directory = tempfile::tempdir().unwrap();
    let notes = directory.path().join("notes.txt");
    fs::write(&notes, "hello").unwrap();
    let found = inspect(&notes).unwrap();
    assert_eq!((found.kind, found.is_good()), (FileKind::Unknown, false));
    assert_eq!(inspect(directory.path().join("absent")).unwrap_err().kind(), crate::ErrorKind::NotFound);
    let found = inspect(directory.path()).unwrap();
    assert_eq!((found.kind, found.files.len()), (FileKind::Directory, 1));
    fs::write(directory.path().join("LOCK"), "pid 1\x1b[31m, host x\nsecond").unwrap();
    let text = inspect(directory.path().join("LOCK")).unwrap().text.unwrap();
    assert!(!text.contains(char::is_control), "{text}");
}

proptest! {
    #![proptest_config(crate::trials::cases(64))]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..9000), name in 0usize..7) {
        let names =
            ["LOCK", "LIVE", "ANCHOR", "00000000000000000001.raw", "00000000000000000001.idx", "00000000000000000001.seg", "x"];
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(names[name]), &bytes).unwrap();
        let found = inspect(directory.path().join(names[name])).unwrap();
        let _ = (found.to_string(), serde_json::to_string(&found).unwrap(), inspect(directory.path()).unwrap().to_string());
    }

    #[test]
    fn damaged_files_never_panic(
        which in 0usize..6,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 1usize..600), 1..5),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        thread_local!(static STORE: TempDir = store());
        STORE.with(|store| {
            let path = &files(store.path())[which];
            let found = changed(path, |bytes| {
                for (at, value, len) in &changes {
                    let at = at.index(bytes.len());
                    let end = (at + len).min(bytes.len());
                    bytes[at..end].fill(*value);
                }
                if let Some(cut) = cut {
                    bytes.truncate(cut.index(bytes.len()));
                }
            });
            assert!(found.problems.len() <= PROBLEMS_MAX);
        });
    }
}
