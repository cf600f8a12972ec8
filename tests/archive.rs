//! Archiving on a real disk: what stays when the data is elsewhere, what is answered without it, and what a process that
//! was killed between two steps leaves.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use annals::{Actor, Append, ErrorKind, Form, NewEvent, Query, Store, Timestamp};

const EVENTS: u64 = 1_300;

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn event(number: u64) -> NewEvent {
    let event = NewEvent::bytes(
        format!("note.kind{}", number % 5),
        format!("note/n-{}", number % 17),
        "text/plain",
        format!("data of {number}"),
    )
    .actor(Actor::user(format!("u-{}", number % 3)))
    .occurred_at(Timestamp::from_nanos(number as i64 * 1_000));
    if number.is_multiple_of(3) { event.id(format!("evt-{number}")) } else { event.tag(format!("t-{}", number % 4)) }
}

struct Place {
    directory: tempfile::TempDir,
    before: Files,
    heads: Vec<[u8; 16]>,
    head: String,
}

fn files(root: &Path) -> Files {
    let mut found = Files::new();
    for entry in fs::read_dir(root).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_file() {
            found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
        }
    }
    found
}

fn open(root: &Path) -> Store {
    Store::options().segment_bytes(512 << 10).sealing(false).open(root).unwrap()
}

/// Two sealed segments, the first of two blocks, and a raw one with the rest.
fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("store"));
    let append = |numbers: std::ops::Range<u64>| {
        let numbers: Vec<u64> = numbers.collect();
        for batch in numbers.chunks(13) {
            let append = Append::new(batch.iter().map(|number| event(*number))).key(format!("key-{}", batch[0]));
            store.append_with(append).unwrap();
        }
    };
    append(0..1_100);
    store.seal().unwrap();
    append(1_100..1_200);
    store.seal().unwrap();
    append(1_200..EVENTS);
    let reader = store.reader();
    let heads = (1..=EVENTS).map(|position| reader.fingerprint(position).unwrap().unwrap()).collect();
    let head = store.head().unwrap().to_string();
    store.close().unwrap();
    Place { before: files(&directory.path().join("store/log")), directory, heads, head }
}

fn all_time() -> Timestamp {
    Timestamp::from_nanos(i64::MAX)
}

impl Place {
    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn archive(&self) -> PathBuf {
        self.directory.path().join("archive")
    }

    fn sealed(&self) -> Files {
        let mut sealed = self.before.clone();
        sealed.retain(|path, _| path.extension().is_some_and(|end| end == "seg"));
        assert_eq!(sealed.len(), 2);
        sealed
    }

    /// Takes the files of the archive away, or brings them back.
    fn move_away(&self, away: bool) {
        let elsewhere = self.directory.path().join("elsewhere");
        let (from, to) = if away { (self.archive(), elsewhere) } else { (elsewhere, self.archive()) };
        fs::rename(from, to).unwrap();
    }

    /// What needs no data.
    fn answers_without_data(&self, store: &Store) {
        let reader = store.reader();
        let count = |query: Query| reader.count(&query).unwrap();
        let expected = |test: &dyn Fn(u64) -> bool| (0..EVENTS).filter(|number| test(*number)).count() as u64;
        assert_eq!(count(Query::all()), EVENTS);
        assert_eq!(count(Query::all().subject("note/n-3")), expected(&|number| number % 17 == 3));
        assert_eq!(count(Query::all().types(["note.kind4"])), expected(&|number| number % 5 == 4));
        assert_eq!(count(Query::all().actor_id("u-2")), expected(&|number| number % 3 == 2));
        assert_eq!(count(Query::all().tag("t-1")), expected(&|number| number % 4 == 1 && number % 3 != 0));
        let early = Query::all().occurred_until(Timestamp::from_nanos(500_000));
        assert_eq!(count(early), 500);
        assert_eq!(count(Query::all().since(Timestamp::from_nanos(0))), EVENTS);
        assert_eq!(count(Query::all().after(1_000).before(1_011).rev()), 10);
        for subject in 0..17 {
            let events = expected(&|number| number % 17 == subject);
            assert_eq!(reader.version(&format!("note/n-{subject}")).unwrap(), events);
        }
        for (position, expected) in (1..).zip(&self.heads) {
            if position % 50 == 1 || position == EVENTS {
                assert_eq!(reader.fingerprint(position).unwrap().as_ref(), Some(expected));
            }
        }
        assert_eq!(store.head().unwrap().to_string(), self.head);
        let verified = store.verify(|_| ControlFlow::Continue(())).unwrap();
        assert!(verified.is_good(), "{verified:?}");
        assert_eq!((verified.events, verified.head.unwrap().to_string()), (EVENTS, self.head.clone()));
    }

    fn answers_with_data(&self, store: &Store) {
        let mut number = 0;
        let read = store.reader().scan(&Query::all(), |found| {
            assert_eq!(found.data(), format!("data of {number}").as_bytes());
            number += 1;
            ControlFlow::Continue(())
        });
        assert_eq!((read.unwrap().get(), number), (EVENTS, EVENTS));
        let by_id = store.reader().event_by_id("evt-333").unwrap().unwrap();
        assert_eq!((by_id.position().get(), by_id.data()), (334, &b"data of 333"[..]));
        let by_version = store.reader().event_of_version("note/n-3", 3).unwrap().unwrap();
        assert_eq!(by_version.position().get(), 38);
    }

    /// Reading archived data says where it went.
    fn says_where_data_is(&self, store: &Store) {
        let reader = store.reader();
        let error = reader.scan(&Query::all(), |_| ControlFlow::Continue(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Archived, "{error:?}");
        let hint = error.hint().unwrap();
        assert!(hint.contains(self.archive().to_str().unwrap()), "{hint}");
        assert_eq!(reader.event(7).unwrap_err().kind(), ErrorKind::Archived);
        assert_eq!(reader.event_by_id("evt-333").unwrap_err().kind(), ErrorKind::Archived);
        // What is not archived is read as ever.
        let newest = reader.event(EVENTS).unwrap().unwrap();
        assert_eq!(newest.data(), format!("data of {}", EVENTS - 1).as_bytes());
        let last: Vec<_> = reader.read(&Query::all().after(1_200)).map(Result::unwrap).collect();
        assert_eq!(last.len(), 100);
    }

    fn is_back(&self) {
        let now = files(&self.store().join("log"));
        for (path, bytes) in &self.sealed() {
            assert!(now[path] == *bytes, "{} is not what it was", path.display());
        }
        assert!(now.keys().all(|path| path.extension().is_none_or(|end| end != "tmp")), "{:?}", now.keys());
    }
}

#[test]
fn what_is_archived_answers_all_but_data_and_comes_back_byte_by_byte() {
    let place = place();
    let store = open(&place.store());
    let done = store.archive(all_time(), place.archive()).unwrap();
    assert_eq!((done.segments, done.events), (2, 1_200));
    assert_eq!(done.moved_bytes, place.sealed().values().map(|bytes| bytes.len() as u64).sum::<u64>());
    assert_eq!(files(&place.archive()), place.sealed(), "the archive holds the whole files");
    let forms: Vec<Form> = store.segments().iter().map(|segment| segment.form).collect();
    assert_eq!(forms, [Form::Archived, Form::Archived, Form::Active]);
    place.answers_without_data(&store);
    place.answers_with_data(&store);
    // Once more: nothing is left to do.
    assert_eq!(store.archive(all_time(), place.archive()).unwrap().segments, 0);
    store.close().unwrap();
    place.move_away(true);
    for read_only in [true, false] {
        let options = Store::options().sealing(false).read_only(read_only);
        let store = options.open(place.store()).unwrap();
        place.answers_without_data(&store);
        place.says_where_data_is(&store);
        if !read_only {
            // Keys and versions are conditions that need no data.
            let batch = Append::new((13..26).map(event)).key("key-13");
            let done = store.append_with(batch).unwrap();
            assert!(done.duplicate && done.first.get() == 14);
        }
        // The files come back under an open handle.
        place.move_away(false);
        place.answers_with_data(&store);
        store.close().unwrap();
        place.move_away(true);
    }
    place.move_away(false);
    let store = open(&place.store());
    let done = store.unarchive(place.archive()).unwrap();
    assert_eq!((done.segments, done.events), (2, 1_200));
    place.is_back();
    assert_eq!(files(&place.archive()), place.sealed(), "the files in the archive stay");
    place.answers_without_data(&store);
    place.answers_with_data(&store);
    assert_eq!(store.unarchive(place.archive()).unwrap().segments, 0);
    store.close().unwrap();
    let store = open(&place.store());
    fs::remove_dir_all(place.archive()).unwrap();
    place.answers_with_data(&store);
}

#[test]
fn only_what_was_recorded_before_the_time_is_archived() {
    let place = place();
    let store = open(&place.store());
    assert_eq!(store.archive(Timestamp::from_nanos(0), place.archive()).unwrap().segments, 0);
    let between = store.reader().event(1_150).unwrap().unwrap().recorded_at();
    let done = store.archive(between, place.archive()).unwrap();
    assert_eq!((done.segments, done.events), (1, 1_100));
    assert_eq!(files(&place.archive()).len(), 1);
    place.answers_without_data(&store);
    place.answers_with_data(&store);
}

/// Whatever a killed process left, the next attempt finishes it.
#[test]
fn an_attempt_that_was_killed_is_finished_by_the_next() {
    let place = place();
    let sealed = place.sealed();
    let (name, whole) = sealed.first_key_value().unwrap();
    let temporary = name.with_extension("seg.tmp");
    let in_archive = place.archive().join(&temporary);
    let in_log = place.store().join("log").join(&temporary);
    fs::create_dir_all(place.archive()).unwrap();
    // A copy in part, the whole copy under its name, a stub in part, and all of them.
    for (left_in_archive, whole_is_there, left_in_log) in
        [(true, false, false), (false, true, false), (false, true, true), (true, true, true)]
    {
        let store = open(&place.store());
        if left_in_archive {
            fs::write(&in_archive, &whole[..whole.len() / 2]).unwrap();
        }
        if whole_is_there {
            fs::write(place.archive().join(name), whole).unwrap();
        }
        if left_in_log {
            fs::write(&in_log, &whole[..100]).unwrap();
        }
        assert_eq!(store.archive(all_time(), place.archive()).unwrap().segments, 2);
        place.answers_with_data(&store);
        let mut there = files(&place.archive());
        // What was left beside a whole copy is not this attempt's, and in nobody's way.
        there.remove(&temporary);
        assert_eq!(there, sealed);
        // On the way back too.
        fs::write(&in_log, &whole[..whole.len() / 3]).unwrap();
        assert_eq!(store.unarchive(place.archive()).unwrap().segments, 2);
        place.is_back();
        place.answers_without_data(&store);
        store.close().unwrap();
        fs::remove_dir_all(place.archive()).unwrap();
        fs::create_dir_all(place.archive()).unwrap();
    }
    // Leftovers in the log are in nobody's way when it is opened either.
    fs::write(&in_log, b"part of a stub").unwrap();
    place.answers_with_data(&open(&place.store()));
}

#[test]
fn a_wrong_file_in_the_archive_is_refused() {
    let (place, other) = (place(), place());
    let sealed = place.sealed();
    let (name, whole) = sealed.first_key_value().unwrap();
    let (second, second_whole) = sealed.last_key_value().unwrap();
    let in_archive = place.archive().join(name);
    fs::create_dir_all(place.archive()).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 3] ^= 1;
    let wrong: [(&str, &[u8]); 6] = [
        ("a flipped bit", &flipped),
        ("cut short", &whole[..whole.len() - 1]),
        ("empty", b""),
        ("no segment", b"notes of last year"),
        ("of another store", &other.sealed()[name]),
        ("another segment", second_whole),
    ];
    for (what, bytes) in wrong {
        let store = open(&place.store());
        fs::write(&in_archive, bytes).unwrap();
        let error = store.archive(all_time(), place.archive()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Conflict), "{what}: {error:?}");
        assert_eq!(fs::read(&in_archive).unwrap(), bytes, "{what}: somebody else's file was touched");
        place.is_back();
        place.answers_with_data(&store);
        fs::remove_file(&in_archive).unwrap();
        // The same when it is brought back, or only read.
        assert_eq!(store.archive(all_time(), place.archive()).unwrap().segments, 2, "{what}");
        store.close().unwrap();
        let store = open(&place.store());
        fs::write(&in_archive, bytes).unwrap();
        let error = store.unarchive(place.archive()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Conflict), "{what}: {error:?}");
        // The flipped bit may lie where reading never comes.
        let read = store.reader().scan(&Query::all(), |_| ControlFlow::Continue(()));
        match read {
            Ok(_) => assert!(bytes == flipped, "{what} is read"),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Archived), "{what}: {error:?}")
            }
        }
        place.answers_without_data(&store);
        fs::write(&in_archive, whole).unwrap();
        fs::write(place.archive().join(second), second_whole).unwrap();
        place.answers_with_data(&store);
        assert_eq!(store.unarchive(place.archive()).unwrap().segments, 2, "{what}");
        place.is_back();
        store.close().unwrap();
        fs::remove_file(&in_archive).unwrap();
        fs::remove_file(place.archive().join(second)).unwrap();
    }
}

#[test]
fn an_archive_within_the_store_is_refused_and_nothing_is_touched() {
    let place = place();
    let store = open(&place.store());
    for inside in ["", "log", "archive", "log/deep/er"] {
        let directory = place.store().join(inside);
        let error = store.archive(all_time(), &directory).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{inside}: {error:?}");
    }
    assert!(!place.store().join("archive").exists());
    place.is_back();
    place.answers_with_data(&store);
    drop(store);
    let reader = Store::options().read_only(true).open(place.store()).unwrap();
    assert_eq!(reader.archive(all_time(), place.archive()).unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(reader.unarchive(place.archive()).unwrap_err().kind(), ErrorKind::ReadOnly);
}
