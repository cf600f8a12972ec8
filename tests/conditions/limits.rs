//! Each limit of `limits.rs`: what just keeps it is stored and comes back, what is one beyond it is refused with the
//! name of the field, and the whole batch with it.

use annals::{Actor, Append, AppendError, Expected, NewEvent, Query, Store, limits};

use super::event;

type Make = fn(usize) -> Append;

fn text(len: usize) -> String {
    "x".repeat(len)
}

fn plain() -> NewEvent {
    event("note/n-1")
}

/// The name in the error, the limit, and an append that has so much of it.
const LIMITS: &[(&str, usize, Make)] = &[
    ("the type", limits::TYPE_BYTES_MAX, |n| NewEvent::bytes(text(n), "note/n", "", "").into()),
    ("the subject", limits::SUBJECT_BYTES_MAX, |n| event(&format!("k/{}", text(n - 2))).into()),
    ("the actor", limits::ACTOR_BYTES_MAX, |n| plain().actor(Actor::user(text(n))).into()),
    ("on_behalf_of", limits::ACTOR_BYTES_MAX, |n| plain().on_behalf_of(text(n)).into()),
    ("the source", limits::SOURCE_BYTES_MAX, |n| plain().source(text(n)).into()),
    ("the correlation", limits::CORRELATION_BYTES_MAX, |n| plain().correlation(text(n)).into()),
    ("the content type", limits::CONTENT_TYPE_BYTES_MAX, |n| NewEvent::bytes("t", "note/n", text(n), "").into()),
    ("the id", limits::ID_BYTES_MAX, |n| plain().id(text(n)).into()),
    ("a tag", limits::TAG_BYTES_MAX, |n| plain().tag("short").tag(text(n)).into()),
    ("tags", limits::TAGS_MAX, |n| (0..n).fold(plain(), |event, tag| event.tag(format!("t-{tag}"))).into()),
    ("the metadata", limits::META_BYTES_MAX, |n| plain().meta("name", text(n - 4)).into()),
    ("the metadata", limits::META_BYTES_MAX, |n| plain().meta(text(n - 4), "val").meta("n", "").into()),
    ("entries", limits::META_ENTRIES_MAX, |n| {
        (0..n).fold(plain(), |event, at| event.meta(format!("m-{at}"), "")).into()
    }),
    ("the data", limits::DATA_BYTES_MAX, |n| NewEvent::bytes("t", "note/n", "", vec![7; n]).into()),
    ("the key", limits::KEY_BYTES_MAX, |n| Append::from(plain()).key(text(n))),
    ("conditions", limits::CONDITIONS_MAX, |n| {
        (0..n).fold(Append::from(plain()), |append, at| match at % 2 {
            0 => append.expect("note/none", Expected::NoSubject),
            _ => append.unless(Query::all().kind("none"), 0),
        })
    }),
    ("a batch", limits::BATCH_EVENTS_MAX, |n| Append::new((0..n).map(|_| NewEvent::bytes("t", "n/n", "", "")))),
];

#[test]
fn each_limit_can_be_reached_and_not_passed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let mut tail = 0;
    for (field, limit, make) in LIMITS {
        for beyond in [1, 7] {
            let refused = store.append_with(make(limit + beyond));
            match refused {
                Err(AppendError::TooLarge(error)) => {
                    assert!(error.to_string().contains(field), "{error} does not name {field:?}");
                    assert!(error.to_string().contains(&limit.to_string()), "{error} does not name the limit, {limit}");
                }
                other => panic!("{field} of {}: {other:?}", limit + beyond),
            }
        }
        // The one at fault takes the others with it, and is named by its place.
        if *limit < limits::BATCH_EVENTS_MAX && !["the key", "conditions"].contains(field) {
            let mut events = vec![plain(), plain()];
            events.extend(make(limit + 1).events().iter().cloned());
            match store.append(events) {
                Err(AppendError::TooLarge(error)) => assert!(error.to_string().contains("event 2"), "{error}"),
                other => panic!("{other:?}"),
            }
            assert!(matches!(store.submit(make(limit + 1)).wait(), Err(AppendError::TooLarge(_))));
        }
        assert_eq!(store.reader().tail().get(), tail, "a part of a refused append is there");
        let append = make(*limit);
        let wanted = append.events().to_vec();
        let done = store.append_with(append).unwrap_or_else(|error| panic!("{field} of {limit}: {error}"));
        assert_eq!((done.first.get(), done.last.get()), (tail + 1, tail + wanted.len() as u64));
        tail = done.last.get();
        let last = store.reader().event(tail).unwrap().unwrap();
        let asked = wanted.last().unwrap();
        assert_eq!(
            (last.subject(), last.event_type(), last.data()),
            (asked.subject(), asked.event_type(), asked.data())
        );
        let longest = [
            last.actor().map_or(0, |actor| actor.id().len()),
            last.on_behalf_of().map_or(0, str::len),
            last.source().map_or(0, str::len),
            last.correlation().map_or(0, str::len),
            last.content_type().len(),
            last.given_id().map_or(0, str::len),
            last.event_type().len(),
            last.subject().len(),
            last.data().len(),
            last.tags().map(str::len).max().unwrap_or(0),
            last.tags().count(),
            last.meta().map(|(name, value)| name.len() + value.len()).sum::<usize>(),
            last.meta().count(),
            wanted.len(),
        ];
        assert!(longest.contains(limit) || ["the key", "conditions"].contains(field), "{field}: {longest:?}");
    }
    // All of it is there in the next process too.
    store.close().unwrap();
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.reader().count(&Query::all()).unwrap(), tail);
}

#[test]
fn a_batch_takes_half_a_segment() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::options().segment_bytes(64 << 10).open(directory.path()).unwrap();
    let of = |bytes: usize| NewEvent::bytes("t", "n/n", "", vec![7; bytes]);
    // The frame around the data takes some two hundred bytes.
    for count in 0..10 {
        assert_eq!(store.append([of(32_000)]).unwrap().first.get(), count + 1);
    }
    match store.append([of(32_768)]) {
        Err(AppendError::TooLarge(error)) => {
            assert!(error.to_string().contains("32768"), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("segment")), "no hint in {error}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(store.append([of(16_000), of(17_000)]), Err(AppendError::TooLarge(_))));
    assert_eq!(store.append([of(16_000), of(16_000)]).unwrap().last.get(), 12);
    assert!(store.segments().len() > 4);
}

#[test]
fn what_has_no_legal_value_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let cases: Vec<(&str, Append)> = vec![
        ("at least one event", Append::new([])),
        ("at least one event", Append::new([]).key("k").expect("note/n", Expected::NoSubject)),
        ("type is empty", NewEvent::bytes("", "note/n", "", "").into()),
        ("subject is empty", event("").into()),
        ("subject has no `/`", event("note").into()),
        ("subject has no kind", event("/n").into()),
        ("subject has no id", event("note/").into()),
        ("subject", event("note/a\nb").into()),
        ("the type", NewEvent::bytes("a\u{7}", "note/n", "", "").into()),
        ("the content type", NewEvent::bytes("a", "note/n", "\0", "").into()),
        ("the actor", plain().actor(Actor::user("a\u{1b}[2J")).into()),
        ("on_behalf_of", plain().on_behalf_of("\r").into()),
        ("the source", plain().source("\u{7f}").into()),
        ("the correlation", plain().correlation("\t").into()),
        ("the id", plain().id("\n").into()),
        ("a tag", plain().tag("fine").tag("\u{85}").into()),
        ("id is empty", plain().id("").into()),
        ("actor is empty", plain().actor(Actor::user("")).into()),
        ("on_behalf_of is empty", plain().on_behalf_of("").into()),
        ("source is empty", plain().source("").into()),
        ("correlation is empty", plain().correlation("").into()),
        ("tag is empty", plain().tag("").into()),
        ("metadata name is empty", plain().meta("", "v").into()),
        ("key is empty", Append::from(plain()).key("")),
        ("event 0 of the batch", plain().caused_by_batch(0).into()),
        ("event 9 of the batch", Append::new([plain(), plain().caused_by_batch(9)])),
    ];
    for (name, append) in cases {
        for outcome in [store.append_with(append.clone()), store.submit(append.clone()).wait()] {
            match outcome {
                Err(AppendError::Invalid(error)) => assert!(error.to_string().contains(name), "{error}: no {name:?}"),
                other => panic!("{append:?}: {other:?}"),
            }
        }
    }
    assert_eq!(store.reader().tail().get(), 0);
    // An index that is one of a neighbour's is fine, and so is text beyond ASCII.
    store.append([plain(), plain().caused_by_batch(0), event("Straße/ü 1/2").tag("日本")]).unwrap();
    assert_eq!(store.reader().event(2).unwrap().unwrap().causation().unwrap().get(), 1);
}

#[test]
fn names_that_belong_to_the_store_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    for (name, event) in [
        ("annals.x", NewEvent::bytes("annals.x", "note/n", "", "")),
        ("annals.", NewEvent::bytes("annals.", "note/n", "", "")),
        ("annals.rule", plain().meta("m", "v").meta("annals.rule", "v")),
    ] {
        for append in [Append::from(event.clone()), Append::new([plain(), event])] {
            let outcomes = [store.append_with(append.clone()), store.submit(append).wait()];
            for outcome in outcomes {
                assert!(matches!(&outcome, Err(AppendError::Reserved(found)) if found == name), "{name}: {outcome:?}");
            }
        }
    }
    assert_eq!(store.reader().tail().get(), 0);
    // Only the names themselves are kept.
    for event in [
        NewEvent::bytes("annals", "note/n", "", ""),
        NewEvent::bytes("annalsx.y", "annals.x/annals.y", "", ""),
        plain().meta("annal.s", "annals.x").tag("annals.x").source("annals.x"),
    ] {
        store.append([event]).unwrap();
    }
}
