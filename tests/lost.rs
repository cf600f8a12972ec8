//! What a log has lost is missed: whoever asks for more than is left gets an error, never the shorter answer; and what is
//! left is read, on both sides of a loss.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use annals::sim::{SimStorage, Storage as _};
use annals::{
    AsOf, Corruption, ErrorKind, NewEvent, Position, Query, Reader, RepairOptions, Result, StartAt, State, Store,
};

use common::sim;

const SUBJECTS: u64 = 7;

fn subject(number: u64) -> String {
    format!("note/n-{}", number % SUBJECTS)
}

/// Event `number` stands at position `number`.
fn event(number: u64) -> NewEvent {
    let event = NewEvent::bytes(format!("note.kind{}", number % 3), subject(number), "", vec![number as u8; 600]);
    if number.is_multiple_of(2) { event.id(format!("evt-{number}")) } else { event.tag(format!("t-{}", number % 4)) }
}

/// Four raw segments in batches of one to four events, closed; and the number of events.
fn filled() -> (Arc<SimStorage>, u64) {
    let disk = SimStorage::new();
    let last = fill(&disk);
    (disk, last)
}

/// Makes a log of four raw segments; returns its last position.
fn fill(disk: &Arc<SimStorage>) -> u64 {
    let store = sim::open(disk, sim::options(&sim::clock()).sealing(false)).unwrap();
    let mut last = 0;
    while store.segments().len() < 4 {
        let batch = 1 + last % 4;
        store.append((last + 1..=last + batch).map(event)).unwrap();
        last += batch;
    }
    assert_eq!(store.segments().len(), 4);
    store.close().unwrap();
    last
}

/// Opens for reading what is refused for writing.
fn open_damaged(disk: &Arc<SimStorage>, what: &str) -> Store {
    let refused = sim::open(disk, sim::options(&sim::clock())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corruption, "{what}: {refused}");
    sim::open_read_only(disk).unwrap()
}

/// The raw files with their first positions, ascending.
fn raw_files(disk: &SimStorage) -> Vec<(PathBuf, u64)> {
    let names = sim::files(disk).into_iter().map(|(path, _)| path);
    let raw = names.filter(|path| path.extension().is_some_and(|end| end == "raw"));
    raw.map(|path| (path.clone(), path.file_stem().unwrap().to_str().unwrap().parse().unwrap())).collect()
}

fn scanned(reader: &Reader, query: &Query) -> (Vec<u64>, Result<Position>) {
    let mut positions = Vec::new();
    let end = reader.scan(query, |event| {
        positions.push(event.position().get());
        ControlFlow::Continue(())
    });
    (positions, end)
}

fn lost_of(error: &annals::Error) -> (u64, u64) {
    let range = error.corruption().unwrap().positions.clone().unwrap();
    (range.start().get(), range.end().get())
}

/// How many events it has folded.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Count(u64);

impl State for Count {
    const NAME: &'static str = "count";

    fn apply(&mut self, _: annals::EventRef<'_>) -> std::result::Result<(), annals::BoxError> {
        self.0 += 1;
        Ok(())
    }
}

/// Answers that rest on the newest events of the log.
fn newest(reader: &Reader, last: u64) -> Vec<(&'static str, Result<String>)> {
    let text = |found: Option<annals::Event>| format!("{:?}", found.map(|event| event.position()));
    let read = |query: Query| {
        let found: Result<Vec<_>> = reader.read(&query).map(|event| event.map(|event| event.position())).collect();
        found.map(|found| format!("{found:?}"))
    };
    vec![
        ("all", read(Query::all())),
        ("the newest", read(Query::all().rev().limit(1))),
        ("a subject", read(Query::all().subject(subject(last)))),
        ("a type, backward", read(Query::all().types(["note.kind1"]).rev())),
        ("a tag", read(Query::all().tag("t-1"))),
        ("a count", reader.count(&Query::all()).map(|count| count.to_string())),
        ("the last event", reader.event(last).map(text)),
        ("its fingerprint", reader.fingerprint(last).map(|found| format!("{found:?}"))),
        ("an id that is not there", reader.event_by_id("none").map(text)),
        ("a version", reader.version(&subject(last)).map(|version| version.to_string())),
        ("no version", reader.version("note/none").map(|version| version.to_string())),
        ("a version that is not there", reader.event_of_version(&subject(last), 1_000).map(text)),
        ("a state", reader.load::<Count>(&subject(last)).map(|loaded| format!("{:?}", loaded.state))),
        ("the catalogue", reader.catalog().map(|catalog| catalog.tables().len().to_string())),
        ("the head", reader.head().map(|head| head.to_string())),
    ]
}

#[test]
fn an_end_that_is_gone_is_missed_by_every_question_and_by_none_about_earlier() {
    let (disk, last) = filled();
    let (newest_file, base) = raw_files(&disk).pop().unwrap();
    let whole_store = sim::open_read_only(&disk).unwrap();
    let whole = whole_store.reader();
    let expected = newest(&whole, last);
    let len = sim::read(&disk, &newest_file).len() as u64;
    let mut at_frame_ends = 0;
    for len in (12_288..len).step_by(64) {
        let cut = disk.snapshot();
        sim::truncate(&cut, &newest_file, len);
        let refused = sim::open(&cut, sim::options(&sim::clock())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corruption, "{refused}");
        let store = sim::open_read_only(&cut).unwrap();
        let reader = store.reader();
        let tail = reader.tail().get();
        assert!((base - 1..last).contains(&tail), "{tail}");
        for (question, answer) in newest(&reader, last) {
            let error = answer.expect_err(question);
            assert_eq!(error.kind(), ErrorKind::Corruption, "{question}: {error}");
        }
        // What is before it was given, and the error names the rest.
        let (positions, end) = scanned(&reader, &Query::all());
        assert_eq!(positions, (1..=tail).collect::<Vec<u64>>());
        let lost = lost_of(&end.unwrap_err());
        assert_eq!(lost.1, last);
        at_frame_ends += u64::from(lost.0 == tail + 1);
        let mut told = Vec::new();
        let all = |_: annals::EventRef<'_>| ControlFlow::Continue(());
        reader.scan_good(&Query::all(), all, |corruption| told.push(corruption.clone())).unwrap();
        assert_eq!(
            told.iter().filter_map(|one: &Corruption| Some(*one.positions.as_ref()?.end())).max(),
            Some(last.into())
        );
        // A view of what is left is whole, and so is a query that asks for no more.
        let (then, before) = (AsOf::Position(Position::new(tail)), whole.as_of(AsOf::Position(Position::new(tail))));
        for ((question, answer), (_, expected)) in
            newest(&reader.as_of(then), tail).into_iter().zip(newest(&before, tail))
        {
            assert_eq!(answer.expect(question), expected.unwrap(), "{question}");
        }
        assert_eq!(scanned(&reader, &Query::all().before(40)).0, scanned(&whole, &Query::all().before(40)).0);
        assert_eq!(reader.event_by_id("evt-2").unwrap().unwrap().position().get(), 2);
        assert_eq!(reader.event_of_version(&subject(1), 1).unwrap().unwrap().position().get(), 1);
        // A subscription does not wait for ever for what is gone.
        let mut feed = store.subscribe(Query::all(), StartAt::After(tail.into()));
        let error = feed.next_timeout(Duration::from_secs(20)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
    }
    assert!(expected.iter().all(|(_, answer)| answer.is_ok()));
    assert!(at_frame_ends > 5, "{at_frame_ends} cuts between two frames");
}

/// A segment in the middle that is missing, has no header, or is shorter than one.
#[test]
fn both_sides_of_a_missing_segment_are_read_and_the_gap_is_told() {
    let (disk, last) = filled();
    let files = raw_files(&disk);
    let ((path, first), (_, behind)) = (files[1].clone(), files[2].clone());
    let whole = sim::open_read_only(&disk).unwrap();
    type Harm<'a> = &'a dyn Fn(&SimStorage);
    let harms: [(&str, Harm<'_>); 7] = [
        ("missing", &|disk| disk.remove(&path).unwrap()),
        ("a header of zeros", &|disk| sim::write(disk, &path, 0, &[0; 4096])),
        ("a damaged header", &|disk| sim::write(disk, &path, 40, &[7; 8])),
        ("empty", &|disk| sim::truncate(disk, &path, 0)),
        ("the header alone", &|disk| sim::truncate(disk, &path, 4096)),
        ("half a header", &|disk| sim::truncate(disk, &path, 2048)),
        ("no frames", &|disk| sim::truncate(disk, &path, 12_288)),
    ];
    for (what, harm) in harms {
        let hurt = disk.snapshot();
        harm(&hurt);
        let store = open_damaged(&hurt, what);
        let reader = store.reader();
        assert_eq!(reader.tail().get(), last, "{what}");

        let (positions, end) = scanned(&reader, &Query::all());
        assert_eq!(positions, (1..first).collect::<Vec<u64>>(), "{what}");
        assert_eq!(lost_of(&end.unwrap_err()), (first, behind - 1), "{what}");
        let (positions, end) = scanned(&reader, &Query::all().rev());
        assert_eq!(positions, (behind..=last).rev().collect::<Vec<u64>>(), "{what}");
        assert_eq!(lost_of(&end.unwrap_err()), (first, behind - 1), "{what}");
        let (mut good, mut told) = (Vec::new(), Vec::new());
        let take = |event: annals::EventRef<'_>| {
            good.push(event.position().get());
            ControlFlow::Continue(())
        };
        reader.scan_good(&Query::all(), take, |corruption| told.push(corruption.clone())).unwrap();
        assert_eq!(good, (1..first).chain(behind..=last).collect::<Vec<u64>>(), "{what}");
        assert!(!told.is_empty() && told.iter().all(|one| one.file == path), "{what}: {told:?}");

        // Who asks about one side gets an answer, whoever needs both an error.
        for query in [Query::all().before(first), Query::all().after(behind - 1)] {
            assert_eq!(scanned(&reader, &query).0, scanned(&whole.reader(), &query).0, "{what}: {query}");
        }
        assert_eq!(reader.version(&subject(last)).unwrap(), whole.reader().version(&subject(last)).unwrap());
        assert_eq!(reader.event_of_version(&subject(1), 2).unwrap().unwrap().position().get(), 1 + SUBJECTS);
        for (question, answer) in [
            ("no version", reader.version("note/none").map(drop)),
            ("a lost event", reader.event(first).map(drop)),
            ("a lost id", reader.event_by_id(&format!("evt-{}", first + first % 2)).map(drop)),
            ("an id behind", reader.event_by_id(&format!("evt-{}", last - last % 2)).map(drop)),
            ("a state", reader.load::<Count>(&subject(last)).map(drop)),
        ] {
            assert_eq!(answer.expect_err(question).kind(), ErrorKind::Corruption, "{what}: {question}");
        }
        // The tree in ANCHOR knows of what is gone.
        assert_eq!(reader.head().unwrap(), whole.reader().head().unwrap(), "{what}");
        let then = AsOf::Position(Position::new(first - 1));
        let (before, expected) = (reader.as_of(then), whole.reader().as_of(then));
        assert_eq!(before.head().unwrap(), expected.head().unwrap(), "{what}");
        assert_eq!(before.version(&subject(first)).unwrap(), expected.version(&subject(first)).unwrap(), "{what}");
        assert!(before.event_by_id("none").unwrap().is_none(), "{what}");

        // A person accepts the loss: what is before it goes on.
        let storage: Arc<dyn annals::sim::Storage> = hurt.clone();
        let repaired =
            Store::repair_on(&storage, Path::new("simulated"), &RepairOptions::default().accept_loss(true)).unwrap();
        assert_eq!((repaired.tail.get(), repaired.lost_events), (first - 1, last - first + 1), "{what}: {repaired:?}");
        let store = sim::open(&hurt, sim::options(&sim::clock())).unwrap();
        assert_eq!(store.append([event(first)]).unwrap().first.get(), first, "{what}");
        assert_eq!(scanned(&store.reader(), &Query::all()).0, (1..=first).collect::<Vec<u64>>(), "{what}");
    }
}

/// Of a segment that was cut short, what is left of it is read, and only the rest is missed.
#[test]
fn what_is_left_of_a_segment_in_the_middle_is_read() {
    let (disk, last) = filled();
    let files = raw_files(&disk);
    let ((path, first), (_, behind)) = (files[1].clone(), files[2].clone());
    let len = sim::read(&disk, &path).len() as u64;
    let mut ends = std::collections::BTreeSet::new();
    for len in (12_352..len).step_by(64 * 37) {
        let cut = disk.snapshot();
        sim::truncate(&cut, &path, len);
        let store = sim::open_read_only(&cut).unwrap();
        let reader = store.reader();
        let (positions, end) = scanned(&reader, &Query::all());
        let end = end.err();
        // The frames end before the file did: room was left in it.
        let Some(error) = end else { continue };
        let left = positions.len() as u64;
        assert_eq!(positions, (1..=left).collect::<Vec<u64>>());
        assert!((first - 1..behind - 1).contains(&left), "{left}");
        assert_eq!(lost_of(&error), (left + 1, behind - 1), "{error}");
        let (mut good, mut told) = (Vec::new(), Vec::new());
        let take = |event: annals::EventRef<'_>| {
            good.push(event.position().get());
            ControlFlow::Continue(())
        };
        reader.scan_good(&Query::all(), take, |corruption| told.push(corruption.clone())).unwrap();
        assert_eq!(good, (1..=left).chain(behind..=last).collect::<Vec<u64>>());
        assert!(told.iter().all(|one| one.file == path), "{told:?}");
        assert_eq!(
            store.damage().iter().filter_map(|one| Some(one.positions.as_ref()?.start().get())).min(),
            Some(left + 1)
        );
        ends.insert(left);
    }
    assert!(ends.len() > 10, "{ends:?}");
}

/// The event that is damaged is met by whoever asks, not only by the first who does.
#[test]
fn a_damaged_event_of_the_newest_segment_is_missed_each_time() {
    let (disk, last) = filled();
    let (path, _) = raw_files(&disk).pop().unwrap();
    // In the last batch of several events, with the index in memory still to be made.
    let bytes = sim::read(&disk, &path);
    let at = bytes.windows(600).rposition(|data| data == [last as u8; 600]).unwrap();
    sim::write(&disk, &path, at as u64 + 300, &[0xff]);
    let store = sim::open_read_only(&disk).unwrap();
    for round in 0..3 {
        for (question, answer) in [
            ("its version", store.reader().version(&subject(last)).map(drop)),
            ("its id", store.reader().event_by_id(&format!("evt-{last}")).map(drop)),
            ("no id", store.reader().event_by_id("none").map(drop)),
        ] {
            let error = answer.expect_err(question);
            assert_eq!(error.kind(), ErrorKind::Corruption, "{question}, {round}: {error}");
        }
    }
}

/// A process that reads what is left sees what is appended once somebody has repaired the store beside it.
#[test]
fn a_reader_of_what_was_left_joins_whoever_writes_after_a_repair() {
    let directory = tempfile::tempdir().unwrap();
    let options = || Store::options().segment_bytes(64 << 10).sealing(false);
    let store = options().open(directory.path()).unwrap();
    for number in 1..=50 {
        store.append([event(number)]).unwrap();
    }
    // One that follows a writer, and one that begins on the damaged files.
    let following = options().read_only(true).open(directory.path()).unwrap();
    assert_eq!(following.reader().tail().get(), 50);
    store.close().unwrap();
    let raw = directory.path().join("log/00000000000000000001.raw");
    let bytes = std::fs::read(&raw).unwrap();
    let at = bytes.windows(600).position(|data| data == [40; 600]).unwrap() as u64;
    std::fs::OpenOptions::new().write(true).open(&raw).unwrap().set_len(at).unwrap();
    let reading = options().read_only(true).open(directory.path()).unwrap();
    assert!(!reading.damage().is_empty());
    assert_eq!(reading.reader().tail().get(), 39);
    assert_eq!(reading.reader().version(&subject(50)).unwrap_err().kind(), ErrorKind::Corruption);
    let mut feed = reading.subscribe(Query::all(), StartAt::After(Position::new(39)));
    assert_eq!(feed.next_timeout(Duration::from_secs(20)).unwrap_err().kind(), ErrorKind::Corruption);

    let repaired = Store::repair(directory.path(), RepairOptions::default().accept_loss(true)).unwrap();
    assert_eq!(repaired.tail.get(), 39);
    let store = options().open(directory.path()).unwrap();
    store.append((40..=60).map(event)).unwrap();
    let reader = reading.reader();
    assert_eq!((reader.tail().get(), reading.damage().len()), (60, 0));
    assert_eq!(scanned(&reader, &Query::all()).0, (1..=60).collect::<Vec<u64>>());
    assert_eq!(reader.version(&subject(60)).unwrap(), store.reader().version(&subject(60)).unwrap());
    assert_eq!(following.reader().tail().get(), 60);
}

/// Each form of harm to each sealed segment is told once, with the positions that the segment held and no others.
#[test]
fn a_sealed_segment_that_is_lost_is_told_once_with_its_positions() {
    let (disk, last) = filled();
    let store = sim::open(&disk, sim::options(&sim::clock())).unwrap();
    store.seal().unwrap();
    store.close().unwrap();
    let is_sealed = |path: &PathBuf| path.extension().is_some_and(|end| end == "seg");
    let sealed: Vec<PathBuf> = sim::files(&disk).into_iter().map(|(path, _)| path).filter(is_sealed).collect();
    let base = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    assert!(sealed.len() > 2, "{sealed:?}");
    let behind = raw_files(&disk).first().map_or(last + 1, |(_, base)| *base);
    let ends = sealed.iter().skip(1).map(base).chain([behind]);
    for (path, end) in sealed.iter().zip(ends) {
        type Harm<'a> = &'a dyn Fn(&SimStorage);
        let len = sim::read(&disk, path).len() as u64;
        let harms: [(&str, Harm<'_>); 4] = [
            ("missing", &|disk| disk.remove(path).unwrap()),
            ("a damaged header", &|disk| sim::write(disk, path, 40, &[7; 8])),
            ("a damaged end", &|disk| sim::write(disk, path, len - 16, &[7; 8])),
            ("cut short", &|disk| sim::truncate(disk, path, len / 2)),
        ];
        for (what, harm) in harms {
            let hurt = disk.snapshot();
            harm(&hurt);
            let store = open_damaged(&hurt, what);
            let damage = store.damage();
            let told: Vec<_> =
                damage.iter().map(|one| one.positions.clone().map(|p| (p.start().get(), p.end().get()))).collect();
            assert_eq!(told, [Some((base(path), end - 1))], "{what}: {damage:?}");
            // Of the last of them, nothing says whether it was sealed.
            let file = if sealed.last() == Some(path) { path.with_extension("raw") } else { path.clone() };
            assert!(damage[0].file == *path || what == "missing" && damage[0].file == file, "{what}: {damage:?}");
            assert_eq!(lost_of(&store.reader().event(base(path)).unwrap_err()), (base(path), end - 1), "{what}");
        }
    }
}

/// The same of raw segments, in a log of them alone and in one that begins with sealed ones; also of two at once.
#[test]
fn a_raw_segment_that_is_lost_is_told_once_with_its_positions() {
    let (disk, last) = filled();
    let half_sealed = disk.snapshot();
    let store = sim::open(&half_sealed, sim::options(&sim::clock())).unwrap();
    store.seal().unwrap();
    let mut more = last;
    while store.segments().len() < 7 {
        more += 1;
        store.append([event(more)]).unwrap();
    }
    store.close().unwrap();
    for (disk, last) in [(disk, last), (half_sealed, more)] {
        let files = raw_files(&disk);
        assert!(files.len() > 2);
        for harmed in (0..files.len()).flat_map(|one| (one..files.len()).map(move |other| [one, other])) {
            for left in [None, Some(0), Some(100), Some(4096), Some(12_288), Some(20_000)] {
                let hurt = disk.snapshot();
                let mut ranges: Vec<Range<u64>> = Vec::new();
                for index in BTreeSet::from(harmed) {
                    let (path, base) = &files[index];
                    match left {
                        None => hurt.remove(path).unwrap(),
                        Some(len) => sim::truncate(&hurt, path, len),
                    }
                    let end = files.get(index + 1).map_or(last + 1, |(_, base)| *base);
                    match ranges.last_mut() {
                        // Of two missing neighbours only ANCHOR says where the newest began.
                        Some(before) if left.is_none() && before.end == *base && end <= last => before.end = end,
                        _ => ranges.push(*base..end),
                    }
                }
                let what = format!("{left:?} bytes left of {ranges:?}");
                tells_exactly_what_is_lost(&hurt, last, &ranges, &what);
            }
        }
    }
}

/// Whether the damage that is told and the positions that cannot be read are the same; each in one of the ranges, and
/// those of one range told as one.
fn tells_exactly_what_is_lost(disk: &Arc<SimStorage>, last: u64, ranges: &[Range<u64>], what: &str) {
    let store = sim::open_read_only(disk).unwrap();
    let reader = store.reader();
    let lost: Vec<u64> = (1..=last).filter(|position| reader.event(*position).is_err()).collect();
    let of_ranges = ranges.iter().filter_map(|range| {
        let of_range: Vec<u64> = lost.iter().copied().filter(|position| range.contains(position)).collect();
        Some((*of_range.first()?, *of_range.last()?))
    });
    let of_ranges: Vec<(u64, u64)> = of_ranges.collect();
    assert_eq!(
        of_ranges.iter().map(|(first, last)| last - first + 1).sum::<u64>(),
        lost.len() as u64,
        "{what}: {lost:?}"
    );
    let damage = store.damage();
    let mut told: Vec<_> =
        damage.iter().filter_map(|one| one.positions.as_ref()).map(|p| (p.start().get(), p.end().get())).collect();
    told.sort_unstable();
    assert_eq!(told, of_ranges, "{what}: {damage:#?}");
    assert_eq!(told.len(), damage.len(), "{what}");
    let checked = store.verify(|_| ControlFlow::Continue(())).unwrap();
    assert_eq!(checked.damage, damage, "{what}");
}

/// Damage inside a segment costs the events of one frame at most, and a full check says of which: in the newest segment
/// too, of which opening can only say that nothing from there on is certain.
#[test]
fn a_check_tells_the_events_of_a_damaged_frame_and_no_others() {
    const OF_A_FRAME: u64 = 4;
    let (disk, _) = filled();
    let store = sim::open(&disk, sim::options(&sim::clock())).unwrap();
    for _ in 0..2 * OF_A_FRAME {
        store.append((1..=OF_A_FRAME).map(event)).unwrap();
    }
    let last = store.reader().tail().get();
    let left_open = disk.snapshot();
    left_open.remove(Path::new("LIVE")).unwrap();
    store.close().unwrap();
    for (path, base) in raw_files(&disk) {
        let len = sim::read(&disk, &path).len() as u64;
        for (disk, harmed) in [(&disk, 13_000), (&disk, len - 4_000), (&left_open, 13_000), (&left_open, len - 4_000)] {
            let hurt = disk.snapshot();
            sim::write(&hurt, &path, harmed, &[0xA5; 4]);
            let store = sim::open_read_only(&hurt).unwrap();
            let reader = store.reader();
            let lost: Vec<u64> = (1..=last).filter(|position| reader.event(*position).is_err()).collect();
            let damage = store.verify(|_| ControlFlow::Continue(())).unwrap().damage;
            let [one] = &damage[..] else { panic!("{path:?}: {damage:?}") };
            let told = one.positions.clone().unwrap();
            let (first, end) = (told.start().get(), told.end().get());
            assert!(!lost.is_empty() && first >= base && end - first < OF_A_FRAME, "{path:?}: {lost:?}, {one:?}");
            assert!(
                lost.iter().all(|position| told.contains(&Position::new(*position))),
                "{path:?}: {lost:?}, {one:?}"
            );
        }
    }
}

/// A segment that bears the name of another, or belongs to another log, is damage where it stands; the rest is read.
#[test]
fn a_segment_of_another_place_or_log_is_no_part_of_this_one() {
    let (disk, last) = filled();
    let foreign = SimStorage::new();
    // Another number for it than for the first.
    foreign.random();
    fill(&foreign);
    let files = raw_files(&disk);
    let [_, (path, base), (other, next), ..] = &files[..] else { panic!("{files:?}") };
    assert!(sim::read(&disk, path) != sim::read(&foreign, path), "two logs are not the same");
    for (what, bytes) in [("moved", sim::read(&disk, other)), ("of another log", sim::read(&foreign, path))] {
        let hurt = disk.snapshot();
        hurt.remove(path).unwrap();
        hurt.open(path, annals::sim::Mode::Create).unwrap();
        sim::write(&hurt, path, 0, &bytes);
        let refused = sim::open(&hurt, sim::options(&sim::clock())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corruption, "{what}: {refused}");
        tells_exactly_what_is_lost(&hurt, last, slice::from_ref(&(*base..*next)), what);
    }
}

/// Which file, at which byte, what should be there and what is.
fn told(disk: &Arc<SimStorage>) -> Vec<(PathBuf, u64, String, String)> {
    let store = sim::open_read_only(disk).unwrap();
    let words = |one: Corruption| (one.file.clone(), one.offset, one.expected.to_string(), one.found.to_string());
    store.damage().into_iter().map(words).collect()
}

#[test]
fn a_loss_is_told_with_the_file_that_is_missing_or_ends_too_early() {
    let (disk, last) = filled();
    let files = raw_files(&disk);
    let [(first, _), (second, base), (third, next), (newest, end)] = &files[..] else { panic!("{files:?}") };
    let missing =
        |path: &PathBuf, base: u64| (path.clone(), 0, format!("a segment from {base} on"), "no such file".to_owned());

    let gone = disk.snapshot();
    gone.remove(first).unwrap();
    assert_eq!(told(&gone), [missing(first, 1)]);
    let gone = disk.snapshot();
    gone.remove(third).unwrap();
    gone.remove(newest).unwrap();
    let by_anchor = (newest.clone(), 0, "the segment that ANCHOR names".to_owned(), "no such file".to_owned());
    assert_eq!(told(&gone), [by_anchor, missing(third, *next)]);

    // The newest ends between two frames; who says that it went on?
    let short = disk.snapshot();
    sim::truncate(&short, newest, 3 * 4096);
    let events = |by: &str| {
        let expected = format!("events up to position {last}, which {by} says were durable");
        (newest.clone(), 3 * 4096, expected, format!("the end at position {}", end - 1))
    };
    assert_eq!(told(&short), [events("ANCHOR")]);
    short.remove(Path::new("ANCHOR")).unwrap();
    assert_eq!(told(&short)[1..], [events("a slot or later frame")]);

    let short = disk.snapshot();
    sim::truncate(&short, second, 3 * 4096);
    let frames = format!("frames up to position {}", next - 1);
    let ends = (second.clone(), 3 * 4096, frames, format!("the end before position {base}"));
    assert_eq!(told(&short), slice::from_ref(&ends));

    // Behind one without a header, one ends before the next begins.
    let two = disk.snapshot();
    sim::write(&two, first, 0, &[0; 4096]);
    sim::truncate(&two, second, 3 * 4096);
    let header = (first.clone(), 0, "a segment header".to_owned(), "zeros".to_owned());
    assert_eq!(told(&two), [header, ends]);
}
