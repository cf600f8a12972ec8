use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::append::Append;
use crate::error::ErrorKind;
use crate::event::{Event, NewEvent};
use crate::io::sim::{Call, Crash, FailPlan, Fault, SimStorage};
use crate::json::{ImportCause, write_event};
use crate::limits;
use crate::options::{Durability, Options};
use crate::query::Query;
use crate::time::Timestamp;

/// A store on a simulated disk that does everything in the calls themselves.
fn simulated() -> Store {
    open(&SimStorage::new(), Store::options().background(false))
}

fn open(storage: &std::sync::Arc<SimStorage>, options: Options) -> Store {
    options.open_on(storage.clone(), Path::new("store")).unwrap()
}

fn lines(text: &str) -> Vec<ImportEvent> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| ImportEvent::from_json(line.trim().as_bytes()).unwrap()).collect()
}

/// An event of an id, with data that says which.
fn event(id: &str, data: &str) -> ImportEvent {
    let event = NewEvent::bytes("note.edited", "note/n-1", "text/plain", data).occurred_at(Timestamp::from_nanos(7));
    ImportEvent::from(if id.is_empty() { event } else { event.id(id) })
}

fn numbered(count: usize) -> Vec<ImportEvent> {
    (0..count).map(|index| event(&format!("e-{index}"), &index.to_string())).collect()
}

fn all(store: &Store) -> Vec<Event> {
    store.reader().read(&Query::all()).collect::<Result<_>>().unwrap()
}

/// Data and cause of every event.
fn shape(store: &Store) -> Vec<(String, Option<u64>)> {
    let text = |event: &Event| String::from_utf8(event.data().to_vec()).unwrap();
    all(store).iter().map(|event| (text(event), event.causation().map(Position::get))).collect()
}

fn import(store: &Store, events: &[ImportEvent]) -> ImportReport {
    store.import(events.to_vec(), ImportOptions::new()).unwrap()
}

/// Everything as lines of JSON.
fn export(store: &Store) -> Vec<Vec<u8>> {
    let written = |event: Event| {
        let mut line = Vec::new();
        write_event(&event.as_ref(), &mut line);
        line
    };
    all(store).into_iter().map(written).collect()
}

fn read_back(lines: &[Vec<u8>]) -> Vec<ImportEvent> {
    lines.iter().map(|line| ImportEvent::from_json(line).unwrap()).collect()
}

#[test]
fn a_line_is_skipped_as_often_as_its_like_stood_there_before() {
    let store = simulated();
    let (a, b) = (event("a", "1"), event("b", "1"));
    assert_eq!(import(&store, std::slice::from_ref(&a)).appended, 1);
    // The second like of `a` is new, also within one run.
    let report = import(&store, &[a.clone(), b.clone(), a.clone()]);
    assert_eq!((report.read, report.appended, report.skipped, report.tail), (3, 2, 1, Position::new(3)));
    let report = import(&store, &[a.clone(), a.clone(), a, b]);
    assert_eq!((report.appended, report.skipped), (1, 3));
    // Equal id, other content.
    assert_eq!(import(&store, &[event("b", "2")]).appended, 1);
}

#[test]
fn an_event_without_an_id_is_the_like_of_one_that_was_given_none() {
    let store = simulated();
    let untimed = ImportEvent::from(NewEvent::bytes("note.edited", "note/n-1", "text/plain", "x"));
    let events = [event("", "1"), untimed.clone(), event("", "2"), event("", "1")];
    assert_eq!(import(&store, &events).appended, 4);
    assert_eq!(import(&store, &events).skipped, 4);
    let report = import(&store, &[event("", "2"), event("1", "1"), event("", "1"), untimed.clone(), untimed]);
    assert_eq!((report.appended, report.skipped), (2, 3));
}

#[test]
fn causes_follow_the_numbers_of_the_input_wherever_their_events_came_to_stand() {
    let input = lines(
        r#"
        {"id":"a","type":"t","subject":"s/1","sequence":"10","data":0}
        {"id":"b","type":"t","subject":"s/1","sequence":"11","causationid":"10","data":1}
        {"id":"c","type":"t","subject":"s/1","sequence":"15","causationid":"11","data":2}
        {"id":"d","type":"t","subject":"s/1","sequence":"16","causationid":"10","data":3}
        {"id":"e","type":"t","subject":"s/1","sequence":"17","causationid":"17","data":4}
        {"id":"f","type":"t","subject":"s/1","causationid":"9","data":5}
        {"id":"g","type":"t","subject":"s/1","causationid":"order-7","data":6}
        {"id":"h","type":"t","subject":"s/1","causationid":"16","data":7}
        "#,
    );
    for batch in [1, 2, 3, 100] {
        for background in [false, true] {
            let store = open(&SimStorage::new(), Store::options().background(background));
            store.append([NewEvent::bytes("x", "x/1", "", ""), NewEvent::from(input[0].clone())]).unwrap();
            for round in 0..3 {
                let report = store.import(input.clone(), ImportOptions::new().batch(batch)).unwrap();
                let expected = if round == 0 { (7, 1, 3) } else { (0, 8, 0) };
                assert_eq!((report.appended, report.skipped, report.outside_causes), expected, "batches of {batch}");
            }
            let causes: Vec<_> = shape(&store).into_iter().map(|(_, cause)| cause).collect();
            assert_eq!(causes, [None, None, Some(2), Some(3), Some(2), None, None, None, Some(5)]);
            let meta: Vec<_> = all(&store)
                .iter()
                .map(|event| event.meta().find(|meta| meta.0 == "causationid").map(|meta| meta.1.to_owned()))
                .collect();
            let texts: Vec<_> = meta.iter().flatten().map(String::as_str).collect();
            assert_eq!(texts, ["17", "9", "order-7"]);
            store.close().unwrap();
        }
    }
}

#[test]
fn a_cause_of_the_events_own_stays_and_one_by_index_is_refused() {
    let store = simulated();
    let own = ImportEvent::from(NewEvent::bytes("t", "s/1", "", "a").id("1").caused_by(1));
    let both = own.clone().with_cause(ImportCause::Other("else".to_owned()));
    for _ in 0..2 {
        import(&store, &[event("0", "0"), own.clone(), both.clone()]);
    }
    assert_eq!(shape(&store).iter().map(|event| event.1).collect::<Vec<_>>(), [None, Some(1), Some(1)]);
    let by_index = ImportEvent::from(NewEvent::bytes("t", "s/1", "", "a").caused_by_batch(0));
    let error = store.import([event("0", "0"), by_index], ImportOptions::new()).unwrap_err();
    assert_eq!((error.kind(), error.input_index()), (ErrorKind::Invalid, Some(1)));
}

#[test]
fn an_export_comes_back_to_its_own_store_without_adding_anything() {
    let store = simulated();
    let events = (0..20u64).map(|index| {
        let event = NewEvent::bytes("t", format!("s/{}", index % 3), "text/plain", format!("{}", index % 2));
        let event = if index % 4 == 0 { event.id(format!("id-{}", index % 8)) } else { event };
        if index % 5 == 4 { event.caused_by(index / 2) } else { event }
    });
    events.for_each(|event| {
        store.append([event]).unwrap();
    });
    let exported = read_back(&export(&store));
    for from in [0, 7, 15] {
        let report = import(&store, &exported[from..]);
        assert_eq!((report.appended, report.skipped), (0, 20 - from as u64), "from {from} on");
    }
}

#[test]
fn what_comes_before_a_bad_event_is_imported_and_the_error_says_which_it_is() {
    let bad = [
        (ImportEvent::from(NewEvent::bytes("", "s/1", "", "")), ErrorKind::Invalid, "the type is empty"),
        (
            ImportEvent::from(NewEvent::bytes("t", "s/1", "", "").id("x".repeat(256))),
            ErrorKind::TooLarge,
            "the id has 256 bytes; the limit is 255",
        ),
        (
            ImportEvent::from(NewEvent::bytes("t", "s/1", "", vec![0; limits::DATA_BYTES_MAX + 1])),
            ErrorKind::TooLarge,
            "the data has 16777217 bytes; the limit is 16777216",
        ),
    ];
    for (bad, kind, reason) in bad {
        let store = simulated();
        let mut input = numbered(25);
        input.insert(13, bad);
        let told = RefCell::new(0);
        let options = ImportOptions::new().batch(4).on_group(|report| {
            *told.borrow_mut() = report.appended;
            ControlFlow::Continue(())
        });
        let error = store.import(input.clone(), options).unwrap_err();
        assert_eq!((error.kind(), error.input_index(), error.message()), (kind, Some(13), reason));
        assert_eq!(error.to_string(), format!("event 14 of the input: {reason}"));
        assert_eq!((store.reader().tail(), told.into_inner()), (Position::new(13), 13));

        let mut seen = Vec::new();
        let options = ImportOptions::new().batch(4).on_reject(|event, error| {
            seen.push((event.event().subject().to_owned(), error.input_index()));
            ControlFlow::Continue(())
        });
        let report = store.import(input.clone(), options).unwrap();
        assert_eq!((report.read, report.appended, report.skipped, report.rejected), (26, 12, 13, 1));
        assert_eq!(seen, [("s/1".to_owned(), Some(13))]);
        let stopped = store.import(input, ImportOptions::new().on_reject(|_, _| ControlFlow::Break(())));
        assert_eq!(stopped.unwrap_err().input_index(), Some(13));
    }
}

#[test]
fn a_cause_kept_as_metadata_has_to_keep_the_limits_too() {
    let store = simulated();
    let full = (0..limits::META_ENTRIES_MAX)
        .fold(NewEvent::bytes("t", "s/1", "", ""), |event, index| event.meta(format!("m{index}"), "v"));
    let full = ImportEvent::from(full).with_cause(ImportCause::Sequence(Position::new(99)));
    let error = store.import([event("1", "1"), full], ImportOptions::new()).unwrap_err();
    assert_eq!((error.kind(), error.input_index()), (ErrorKind::TooLarge, Some(1)));
    assert_eq!(store.reader().tail(), Position::new(1));
}

#[test]
fn batches_are_made_to_fit_half_a_segment_and_no_event_fails_for_its_neighbours() {
    let options = || Store::options().background(false).segment_bytes(limits::SEGMENT_BYTES_MIN);
    let storage = SimStorage::new();
    let store = open(&storage, options());
    let half = limits::batch_bytes_max(limits::SEGMENT_BYTES_MIN) as usize;
    let sized = |index: usize, bytes: usize| event(&format!("e-{index}"), &"x".repeat(bytes));
    let sizes = [10, 5000, half - 500, 30_000, 30_000, 1, 16_000, 16_000, 15_000, half - 300];
    let mut input: Vec<_> = sizes.iter().enumerate().map(|(index, size)| sized(index, *size)).collect();
    input.extend(numbered(3000).split_off(10));
    let report = store.import(input.clone(), ImportOptions::new().batch(usize::MAX)).unwrap();
    assert_eq!(report.appended, 3000);
    let stored: Vec<_> = all(&store).iter().map(|event| event.id().into_owned()).collect();
    assert_eq!(stored, (0..3000).map(|index| format!("e-{index}")).collect::<Vec<_>>());
    assert_eq!(import(&store, &input).skipped, 3000);

    // Events of every size around the limit go in, or are refused by themselves.
    let store = open(&SimStorage::new(), options());
    let input: Vec<_> = (half - 400..half - 100).enumerate().map(|(index, size)| sized(index, size)).collect();
    let mut rejected = 0;
    let options = ImportOptions::new().on_reject(|_, error| {
        assert!(error.kind() == ErrorKind::TooLarge && error.hint().is_some());
        rejected += 1;
        ControlFlow::Continue(())
    });
    let report = store.import(input.clone(), options).unwrap();
    assert!(report.appended > 50 && rejected > 50, "{report:?}");
    for (index, event) in input.into_iter().enumerate() {
        let fits = store.append_with(Append { imported: true, ..Append::new([NewEvent::from(event)]) }).is_ok();
        assert_eq!(fits, (index as u64) < report.appended, "{index}");
    }
}

#[test]
fn kept_times_come_back_as_they_were() {
    let first = simulated();
    first
        .append([NewEvent::bytes("t", "s/1", "", "a"), NewEvent::bytes("t", "s/1", "", "b").caused_by_batch(0)])
        .unwrap();
    first.append([NewEvent::bytes("t", "s/2", "text/plain", "c").caused_by(2).id("own")]).unwrap();
    let exported = export(&first);
    let input = read_back(&exported);

    let keep = |batch: usize| ImportOptions::new().keep_recorded(true).batch(batch);
    for batch in [1, 2, 1000] {
        for background in [false, true] {
            let second = open(&SimStorage::new(), Store::options().background(background));
            assert_eq!(second.import(input[..2].to_vec(), keep(batch)).unwrap().appended, 2);
            let report = second.import(input.clone(), keep(batch)).unwrap();
            assert_eq!((report.appended, report.skipped, report.outside_causes), (1, 2, 0));
            assert_eq!(second.import(input.clone(), keep(batch)).unwrap().skipped, 3);
            assert_eq!(export(&second), exported);
            // Later events are recorded later.
            second.append([NewEvent::bytes("t", "s/1", "", "d")]).unwrap();
            second.close().unwrap();
        }
    }
}

#[test]
fn kept_times_are_refused_where_they_cannot_be_kept() {
    let at =
        |index: usize, nanos: i64| numbered(index + 1)[index].clone().with_recorded_at(Timestamp::from_nanos(nanos));
    let keep = || ImportOptions::new().keep_recorded(true);
    let store = simulated();
    let fails = |input: &[ImportEvent], kind, index, tail: u64| {
        let error = store.import(input.to_vec(), keep()).unwrap_err();
        assert_eq!((error.kind(), error.input_index()), (kind, index), "{error}");
        assert_eq!(store.reader().tail(), Position::new(tail), "{error}");
    };
    // Times before 1970 are times.
    fails(&[at(0, -5), at(1, 3), at(2, 2)], ErrorKind::Invalid, Some(2), 2);
    fails(&[at(0, -5), at(1, 3), event("x", "x")], ErrorKind::Invalid, Some(2), 2);
    fails(&[at(0, -5), at(1, 4)], ErrorKind::Conflict, Some(1), 2);
    fails(&[at(0, -5), at(3, 3), at(1, 3)], ErrorKind::Conflict, Some(1), 2);
    fails(&[at(0, -5)], ErrorKind::Conflict, None, 2);
    fails(&[], ErrorKind::Conflict, None, 2);
    assert_eq!(store.import([at(0, -5), at(1, 3), at(2, 3)], keep()).unwrap().appended, 1);
    let times: Vec<_> = all(&store).iter().map(|event| event.recorded_at().as_nanos()).collect();
    assert_eq!(times, [-5, 3, 3]);

    // A copy bears no stranger among its events.
    let store = simulated();
    let options = keep().batch(1).on_group(|_| {
        store.append([NewEvent::bytes("t", "s/1", "", "")]).unwrap();
        ControlFlow::Continue(())
    });
    let late = i64::MAX / 2;
    let error = store.import([at(0, late), at(1, late), at(2, late)], options).unwrap_err();
    assert_eq!((error.kind(), store.reader().tail()), (ErrorKind::Conflict, Position::new(2)), "{error}");
}

#[test]
fn an_import_that_is_interrupted_keeps_what_was_read_and_goes_on_from_there() {
    for background in [false, true] {
        let store = open(&SimStorage::new(), Store::options().background(background));
        let input = numbered(12_000);
        let mut calls = 0;
        let options = ImportOptions::new().batch(10).on_group(|report| {
            calls += 1;
            if report.appended >= 200 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let report = store.import(input.clone(), options).unwrap();
        assert!(report.interrupted && report.read < 12_000 && report.appended == report.read, "{report:?}");
        assert_eq!((report.tail, calls), (Position::new(report.appended), 20));
        // What is passed over is told too.
        let broken = store.import(input.clone(), ImportOptions::new().batch(10).on_group(|_| ControlFlow::Break(())));
        let broken = broken.unwrap();
        assert_eq!((broken.read, broken.skipped, broken.interrupted), (10, 10, true));
        let rest = import(&store, &input);
        assert_eq!((rest.appended, rest.skipped), (12_000 - report.appended, report.appended));
        store.close().unwrap();
    }
}

#[test]
fn a_batch_that_finds_no_room_keeps_all_behind_it_out_too() {
    // Segments roll often, so that batches of one group are written with several calls, and any of them may fail.
    let mut failures = 0;
    for failing in 1..40 {
        let storage = SimStorage::new();
        let store = open(&storage, Store::options().segment_bytes(limits::SEGMENT_BYTES_MIN));
        let input: Vec<_> =
            (0..300).map(|index| event(&format!("e-{index}"), &format!("{index} {}", "x".repeat(1500)))).collect();
        storage.fail(FailPlan::at(storage.call_count() + failing * 3, Fault::Enospc));
        let result = store.import(input.clone(), ImportOptions::new().batch(7));
        storage.heal();
        let stored: Vec<_> = all(&store).iter().map(|event| event.id().into_owned()).collect();
        let expected: Vec<_> = (0..stored.len()).map(|index| format!("e-{index}")).collect();
        assert_eq!(stored, expected, "call {failing}: {result:?}");
        match result {
            Ok(report) => assert_eq!(report.appended, 300),
            Err(error) if error.kind() == ErrorKind::Full => {
                failures += 1;
                let report = import(&store, &input);
                assert_eq!((report.appended, report.skipped), (300 - stored.len() as u64, stored.len() as u64));
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}"),
        }
        let _ = store.close();
    }
    assert!(failures > 0, "no call was one that may find no room");
}

#[test]
fn after_power_loss_in_the_middle_the_import_goes_on_and_adds_nothing_twice() {
    let events: Vec<_> = numbered(120)
        .into_iter()
        .enumerate()
        .map(|(index, event)| {
            let event = event.with_sequence(index as u64 + 50);
            if index % 3 == 2 {
                event.with_cause(ImportCause::Sequence(Position::new(index as u64 + 48)))
            } else {
                event
            }
        })
        .collect();
    for durability in [Durability::Synced, Durability::Written { sync_every: Duration::from_secs(1) }] {
        let options =
            || Store::options().background(false).segment_bytes(limits::SEGMENT_BYTES_MIN).durability(durability);
        let whole = open(&SimStorage::new(), options());
        import(&whole, &events);
        for seed in 0..30 {
            let storage = SimStorage::new();
            let store = open(&storage, options());
            let images = RefCell::new(Vec::new());
            let each = ImportOptions::new().batch(9).on_group(|report| {
                images.borrow_mut().push((report.appended, storage.crash(Crash::Random(seed))));
                ControlFlow::Continue(())
            });
            store.import(events.clone(), each).unwrap();
            let images = images.into_inner();
            let (committed, image) = &images[seed as usize % images.len()];
            let again = open(image, options());
            let report = import(&again, &events);
            assert_eq!(report.appended + report.skipped, 120);
            if durability == Durability::Synced {
                assert_eq!(report.skipped, *committed);
            }
            assert_eq!(shape(&again), shape(&whole));
            // What is acknowledged at the end survives, in both modes.
            let image = storage.crash(Crash::Random(seed));
            assert_eq!(open(&image, options()).reader().tail(), Position::new(120));
        }
    }
}

#[test]
fn what_has_no_force_is_counted_and_so_is_what_is_large() {
    let of_type = |event_type: &str| ImportEvent::from(NewEvent::bytes(event_type, "s/1", "", "").id(event_type));
    let types = [
        ("annals.grant.given", true),
        ("annals.policy.set", true),
        ("annals.table.added", false),
        ("notes.update.approved", true),
        ("notes.update.asked", true),
        ("notes.update.requested", false),
        ("notes.update.validated", false),
        ("notes.archive.approved", false),
        ("a.notes.update.approved", false),
        ("note.created", false),
    ];
    for (event_type, expected) in types {
        assert_eq!(is_without_force(event_type), expected, "{event_type}");
    }
    let store = simulated();
    let mut input: Vec<_> = types.iter().map(|(event_type, _)| of_type(event_type)).collect();
    input.push(event("large", &"x".repeat(limits::DATA_BYTES_WARN + 1)));
    input.push(event("not", &"x".repeat(limits::DATA_BYTES_WARN)));
    let report = import(&store, &input);
    assert_eq!((report.without_force, report.large), (4, 1));
    assert!(all(&store).iter().all(|event| event.as_ref().is_imported()));
    let report = import(&store, &input);
    assert_eq!((report.without_force, report.large, report.skipped), (0, 0, 12));
}

#[test]
fn only_a_store_that_is_open_for_writing_imports() {
    let storage = SimStorage::new();
    let store = open(&storage, Store::options().background(false));
    let reader = open(&storage, Store::options().read_only(true));
    let untouched = || std::iter::from_fn(|| -> Option<ImportEvent> { panic!("nothing is read of the input") });
    assert_eq!(reader.import(untouched(), ImportOptions::new()).unwrap_err().kind(), ErrorKind::ReadOnly);
    store.close().unwrap();
    assert_eq!(store.import(untouched(), ImportOptions::new()).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_sync_that_fails_ends_the_import() {
    for background in [false, true] {
        let storage = SimStorage::new();
        let store = open(&storage, Store::options().background(background));
        let options = ImportOptions::new().batch(10).on_group(|report| {
            if report.appended == 50 {
                storage.fail(FailPlan::next(Call::SyncData, Fault::Eio));
            }
            ControlFlow::Continue(())
        });
        let error = store.import(numbered(20_000), options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned);
    }
}

/// A line of few ids, few contents and few numbers, so that likes abound.
fn any_line() -> impl Strategy<Value = ImportEvent> {
    let cause = prop_oneof![3 => Just(None), 2 => (0u64..12).prop_map(Some)];
    (0..4u8, 0..2u8, proptest::option::of(0u64..12), cause).prop_map(|(id, data, sequence, cause)| {
        let id = if id == 0 { String::new() } else { id.to_string() };
        let mut line = event(&id, &data.to_string());
        if let Some(sequence) = sequence {
            line = line.with_sequence(sequence);
        }
        match cause {
            Some(cause) => line.with_cause(ImportCause::Sequence(Position::new(cause))),
            None => line,
        }
    })
}

proptest! {
    #![proptest_config(crate::trials::cases(200))]

    /// In however many pieces, and however often: the log is that of one import.
    #[test]
    fn an_import_in_pieces_is_the_import_at_once(
        before in proptest::collection::vec(any_line(), 0..6),
        input in proptest::collection::vec(any_line(), 0..25),
        cut in 0usize..25,
        batch in 1usize..6,
    ) {
        let (once, pieces) = (simulated(), simulated());
        for store in [&once, &pieces] {
            for line in before.iter() {
            store.append([NewEvent::from(line.clone())]).unwrap();
        }
        }
        import(&once, &input);
        let begun = &input[..cut.min(input.len())];
        pieces.import(begun.to_vec(), ImportOptions::new().batch(batch)).unwrap();
        pieces.import(input.clone(), ImportOptions::new().batch(batch)).unwrap();
        prop_assert_eq!(shape(&pieces), shape(&once));
        let again = import(&pieces, &input);
        prop_assert_eq!((again.appended, again.skipped), (0, input.len() as u64));
    }

    /// Without causes it can be counted by hand.
    #[test]
    fn likes_are_counted(
        before in proptest::collection::vec((0..4u8, 0..2u8), 0..10),
        input in proptest::collection::vec((0..4u8, 0..2u8), 0..20),
    ) {
        let line = |(id, data): &(u8, u8)| {
            event(&if *id == 0 { String::new() } else { id.to_string() }, &data.to_string())
        };
        let store = simulated();
        for like in before.iter() {
            store.append([NewEvent::from(line(like))]).unwrap();
        }
        import(&store, &input.iter().map(line).collect::<Vec<_>>());
        let mut left = before.clone();
        let mut expected: Vec<_> = before.iter().map(|(_, data)| data.to_string()).collect();
        for like in &input {
            match left.iter().position(|other| other == like) {
                Some(index) => drop(left.remove(index)),
                None => expected.push(like.1.to_string()),
            }
        }
        prop_assert_eq!(shape(&store).into_iter().map(|(data, _)| data).collect::<Vec<_>>(), expected);
    }
}
