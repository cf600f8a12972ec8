//! `inspect` on sealed segments, whole and damaged.

use std::ops::Range;

use super::*;
use crate::format::sealed::envelope::{HEADER_BYTES, TAIL_BYTES};

const SEGMENT: &str = "log/00000000000000000001.seg";
const EVENTS: u64 = 1_500;

fn event(n: u64) -> NewEvent {
    let data = format!(r#"{{"number":{n},"square":{},"text":"{}"}}"#, n * n * 7919, "abc ".repeat(n as usize % 50));
    NewEvent::bytes("note.edited", format!("note/n-{}", n % 7), "application/json", data.into_bytes()).tag("t")
}

/// A closed store of a sealed segment of two blocks, and a raw one.
fn store() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = Options::default().background(false).open(directory.path()).unwrap();
    for batch in 0..3u64 {
        let events = (batch * 500..(batch + 1) * 500).map(event);
        store.append_with(Append::new(events).key(format!("k{batch}"))).unwrap();
    }
    store.seal().unwrap();
    store.append([event(0)]).unwrap();
    store.close().unwrap();
    directory
}

fn path_of(store: &TempDir) -> PathBuf {
    store.path().join(SEGMENT)
}

fn view(found: &Inspection) -> &SealedView {
    found.sealed.as_ref().unwrap_or_else(|| panic!("{found}"))
}

fn places(found: &Inspection) -> Vec<(&str, u64)> {
    found.problems.iter().map(|problem| (problem.what.as_str(), problem.offset)).collect()
}

#[test]
fn a_good_one_is_told_part_by_part() {
    let store = store();
    let before = fs::read(path_of(&store)).unwrap();
    let found = inspect(path_of(&store)).unwrap();
    assert!(found.is_good() && found.notes.is_empty(), "{found}");
    assert_eq!((found.kind, found.known_by), (FileKind::Sealed, KnownBy::Content));
    let pages: Vec<&str> = found.pages.iter().map(|page| page.name.as_str()).collect();
    assert_eq!(pages, ["header", "tail", "footer", "term directory", "filter"]);
    let footer = &found.pages[2];
    let value = |name| footer.fields.iter().find(|field| field.name == name).unwrap().value.as_str();
    assert_eq!((value("number of events"), value("durability")), ("1500", "1 (synced)"));

    let view = view(&found);
    assert_eq!((view.events, view.blocks, view.bad_blocks), (EVENTS, 2, 0));
    assert!(view.pages > 0 && view.bad_pages == 0 && view.page_bytes < view.data_bytes, "{found}");
    let data: u64 = (0..EVENTS).map(|n| event(n).data().len() as u64).sum();
    assert_eq!(view.data_bytes, data);
    assert!(view.term_pages > 0 && view.bad_term_pages == 0);
    let terms = view.sections.iter().find(|section| section.name == "term pages").unwrap();
    assert_eq!(terms.count, view.term_entries);
    let blocks: Vec<_> = view.first.iter().map(|block| (block.first.get(), block.last.get())).collect();
    assert_eq!((blocks, view.left_out), (vec![(1, 1_024), (1_025, 1_500)], 0));
    assert_eq!(view.epochs, [(Position::new(1), 1)]);
    let shown = found.to_string();
    assert!(shown.contains("block directory") && shown.contains("nothing is wrong"), "{shown}");

    let whole = inspect(store.path()).unwrap();
    assert!(whole.is_good() && whole.notes.is_empty(), "{whole}");
    let file = whole.files.iter().find(|file| file.path == SEGMENT).unwrap();
    assert!(file.kind == FileKind::Sealed && file.good);
    assert!(file.summary.starts_with("from position 1 on, 1500 events, synced, sealed 20"), "{}", file.summary);
    assert!(fs::read(path_of(&store)).unwrap() == before, "inspecting changed something");
}

#[test]
fn of_many_blocks_the_first_and_the_last_are_shown() {
    let directory = tempfile::tempdir().unwrap();
    let store = Options::default().background(false).open(directory.path()).unwrap();
    let plain = |n: u64| NewEvent::bytes("t", format!("k/{}", n % 3), "", Vec::new());
    for batch in 0..2u64 {
        store.append((batch..batch + 35_000).map(plain)).unwrap();
    }
    store.seal().unwrap();
    store.close().unwrap();
    let found = inspect(directory.path().join(SEGMENT)).unwrap();
    let shown = view(&found);
    assert_eq!((shown.blocks, shown.first.len(), shown.left_out, shown.last.len()), (69, 50, 9, 10));
    assert_eq!(shown.last[9].last, Position::new(70_000));
    assert!(found.to_string().contains("9 blocks not shown"));
    let all = InspectOptions::new().all_frames(true).inspect(directory.path().join(SEGMENT)).unwrap();
    assert_eq!((view(&all).first.len(), view(&all).left_out), (69, 0));
}

#[test]
fn ends_that_are_damaged_are_shown_and_the_rest_is_found() {
    let store = store();
    let path = path_of(&store);
    let good = inspect(&path).unwrap();
    let (len, footer_at) = (good.bytes as usize, good.pages[2].offset as usize);
    let tail_at = len - TAIL_BYTES;
    let is_whole = |found: &Inspection| {
        let parts = view(found);
        assert_eq!((parts.events, parts.bad_blocks, parts.bad_pages), (EVENTS, 0, 0), "{found}");
        assert_eq!(parts.term_entries, view(&good).term_entries);
    };

    let found = changed(&path, |bytes| bytes[48] ^= 1);
    assert_eq!((found.pages[0].state, places(&found)), (PageState::Bad, vec![("header", 120)]));
    is_whole(&found);
    let found = changed(&path, |bytes| bytes[0] ^= 1);
    assert_eq!((found.kind, found.known_by), (FileKind::Sealed, KnownBy::Content));
    is_whole(&found);

    let found = changed(&path, |bytes| bytes[tail_at + 10] ^= 1);
    assert_eq!(places(&found), [("tail", tail_at as u64 + 56)]);
    is_whole(&found);
    let found = changed(&path, |bytes| bytes.truncate(len - 10));
    assert_eq!(found.pages[2].state, PageState::Bad);
    assert!(!found.is_good());
    is_whole(&found);

    let found = changed(&path, |bytes| bytes[footer_at + 64] ^= 1);
    assert_eq!(places(&found), [("footer", footer_at as u64)]);
    assert!(found.notes.iter().any(|note| note.contains("taken as it stands")), "{found}");
    is_whole(&found);
    let found = changed(&path, |bytes| bytes[footer_at + 1] ^= 1);
    assert!(found.sealed.is_none() && found.pages.len() == 3, "{found}");

    // A format of the future.
    let found = changed(&path, |bytes| {
        (bytes[8], bytes[10]) = (2, 2);
        let check = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes[..120], u64::from_le_bytes(*b"ANNALSEG"));
        bytes[120..128].copy_from_slice(&check.to_le_bytes());
    });
    assert_eq!((found.pages[0].state, found.is_good()), (PageState::Newer, false));
    for cut in [len / 2, HEADER_BYTES + TAIL_BYTES, 100, 1, 0] {
        let found = changed(&path, |bytes| bytes.truncate(cut));
        assert!(!found.is_good() && found.kind == FileKind::Sealed && found.sealed.is_none(), "{found}");
    }
    let found = changed(&path, |bytes| bytes.fill(0));
    assert_eq!((found.kind, found.known_by, found.is_good()), (FileKind::Sealed, KnownBy::Name, false));
}

#[test]
fn a_bad_part_is_named_and_hides_no_other() {
    let store = store();
    let path = path_of(&store);
    let good = inspect(&path).unwrap();
    let blocks = view(&good).first.clone();

    let found = changed(&path, |bytes| bytes[blocks[1].offset as usize + 100] ^= 1);
    assert_eq!(places(&found), [("block 1", blocks[1].offset)]);
    assert_eq!(found.problems[0].bytes, Some(blocks[1].bytes));
    assert_eq!((view(&found).events, view(&found).bad_blocks), (1_024, 1));
    assert!(view(&found).first[1].problem.is_some() && view(&found).first[0].problem.is_none());

    // The first page begins behind the header.
    let found = changed(&path, |bytes| bytes[HEADER_BYTES + 20] ^= 1);
    assert_eq!(places(&found), [("page 0 of block 0", HEADER_BYTES as u64)]);
    assert_eq!((view(&found).events, view(&found).bad_pages, view(&found).first[0].bad_pages), (EVENTS, 1, 1));

    for section in &view(&good).sections {
        let found = changed(&path, |bytes| bytes[section.offset as usize + 13] ^= 1);
        assert!(
            places(&found).iter().any(|(what, at)| what.ends_with(section.name) && *at == section.offset),
            "{found}"
        );
        // Blocks that a directory or a dictionary leads to may be called bad for it.
        let within = |at: &u64| (section.offset..section.offset + section.bytes).contains(at);
        assert!(section.id <= 2 || offsets(&found).iter().all(within), "{found}");
        let bad: Vec<u16> = view(&found).sections.iter().filter(|each| !each.good).map(|each| each.id).collect();
        assert_eq!(bad, [section.id]);
        assert_eq!(view(&found).bad_term_pages, u64::from(section.name == "term pages"));
    }
}

#[test]
fn a_stub_is_told_without_its_pages() {
    let store = store();
    let archive = tempfile::tempdir().unwrap();
    let open = Options::default().background(false).open(store.path()).unwrap();
    assert_eq!(open.archive(crate::Timestamp::from_nanos(i64::MAX), archive.path()).unwrap().segments, 1);
    open.close().unwrap();
    let found = inspect(path_of(&store)).unwrap();
    assert!(found.is_good() && found.notes.len() == 1, "{found}");
    assert_eq!((view(&found).events, view(&found).bad_pages), (EVENTS, 0));
    assert_eq!(view(&found).archive.as_deref().map(Path::new), Some(archive.path()));
    let whole = inspect(store.path()).unwrap();
    let file = whole.files.iter().find(|file| file.path == SEGMENT).unwrap();
    assert!(file.summary.ends_with(", archived"), "{}", file.summary);
    assert!(inspect(archive.path().join("00000000000000000001.seg")).unwrap().is_good());

    let digests = view(&found).sections.iter().find(|section| section.name == "digests of the data").unwrap();
    let second = digests.offset + 1_024 * 32 + 4;
    let bad = changed(&path_of(&store), |bytes| bytes[second as usize + 7] ^= 1);
    assert_eq!(places(&bad), [("section 8 digests of the data", digests.offset), ("digests of block 1", second)]);
}

proptest! {
    #![proptest_config(crate::trials::cases(48))]

    #[test]
    fn damaged_files_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 1usize..600), 1..5),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        thread_local!(static STORE: TempDir = store());
        STORE.with(|store| {
            let found = changed(&path_of(store), |bytes| {
                for (at, value, len) in &changes {
                    let at = at.index(bytes.len());
                    let range: Range<usize> = at..(at + len).min(bytes.len());
                    bytes[range].fill(*value);
                }
                if let Some(cut) = cut {
                    bytes.truncate(cut.index(bytes.len()));
                }
            });
            assert!(found.problems.len() <= PROBLEMS_MAX);
        });
    }
}
