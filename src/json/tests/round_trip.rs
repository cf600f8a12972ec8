use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{RECORDED, stored};
use crate::event::{Cause, EventRef, NewEvent};
use crate::json::{ImportCause, ImportEvent, Member};
use crate::position::Position;
use crate::time::Timestamp;
use crate::{Actor, ActorKind};

fn char() -> impl Strategy<Value = char> {
    prop_oneof![
        4 => proptest::char::range('a', 'z'),
        2 => prop_oneof![Just('"'), Just('\\'), Just('/'), Just('~'), Just(' '), Just('\n'), Just('\0'), Just('\u{2028}')],
        1 => any::<char>(),
    ]
}

fn text(chars: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    vec(char(), chars).prop_map(|chars| chars.into_iter().collect())
}

/// Names of metadata: among few, so that they repeat, and often those of members.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(Member::ALL).prop_map(|member| member.name().to_owned()),
        proptest::sample::select(vec!["a", "b", "traceparent", "annals.request", "A"]).prop_map(str::to_owned),
        text(1..6),
    ]
}

fn source() -> impl Strategy<Value = String> {
    prop_oneof![text(1..9), "~{0,3}".prop_map(|waves| format!("annals:none{waves}")), Just("annals:none~x".to_owned())]
}

fn content_type() -> impl Strategy<Value = String> {
    let known = ["", "application/json", "text/plain", "application/octet-stream", "text/JSON;a=b", "a/b+json"];
    prop_oneof![9 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => text(1..9)]
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<f64>().prop_map(|number| serde_json::json!(number).to_string()),
        text(0..8).prop_map(|text| serde_json::json!(text).to_string()),
        Just(r#""\ud800""#.to_owned()),
        Just("1e99999".to_owned()),
    ];
    let json = leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            (vec(inner.clone(), 0..4), select_space())
                .prop_map(|(items, space)| format!("[{space}{}]", items.join(","))),
            vec((text(0..3), inner), 0..4).prop_map(|entries| {
                let entry = |(name, value): (String, String)| format!("{}: {value}", serde_json::json!(name));
                format!("{{{}}}", entries.into_iter().map(entry).collect::<Vec<_>>().join(","))
            }),
        ]
    });
    prop_oneof![
        4 => (select_space(), json, select_space()).prop_map(|(a, json, b)| format!("{a}{json}{b}").into_bytes()),
        1 => vec(any::<u8>(), 0..40),
        1 => text(0..20).prop_map(String::into_bytes),
    ]
}

fn select_space() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => proptest::sample::select(vec![" ", "\t", "\n", "\r", "  "])]
}

fn actor() -> impl Strategy<Value = Actor> {
    let kinds = [ActorKind::User, ActorKind::Agent, ActorKind::External, ActorKind::System, ActorKind::Unknown];
    (proptest::sample::select(kinds.to_vec()), text(1..9)).prop_map(|(kind, id)| Actor::new(kind, id))
}

/// Any event that an append could let through, and some that it refuses, for control characters.
fn event() -> impl Strategy<Value = NewEvent> {
    let subject = (name(), text(1..9)).prop_filter_map("no control characters in subjects", |(kind, id)| {
        let subject = format!("{kind}/{id}");
        crate::subject::validate(&subject).is_ok().then_some(subject)
    });
    let what = (text(1..9), subject, content_type(), data());
    let who = (option::of(actor()), option::of(text(1..9)), option::of(source()), option::of(text(1..9)));
    let rest = (
        option::of(text(1..9)),
        option::of(any::<i64>()),
        option::of(1..u64::MAX),
        vec(text(1..9), 0..4),
        vec((name(), text(0..9)), 0..6),
    );
    (what, who, rest).prop_map(|(what, who, rest)| {
        let (event_type, subject, content_type, data) = what;
        let (actor, user, source, correlation) = who;
        let (id, time, cause, tags, meta) = rest;
        let mut event = NewEvent::bytes(event_type, subject, content_type, data);
        event = id.into_iter().fold(event, NewEvent::id);
        event = actor.into_iter().fold(event, NewEvent::actor);
        event = user.into_iter().fold(event, NewEvent::on_behalf_of);
        event = source.into_iter().fold(event, NewEvent::source);
        event = correlation.into_iter().fold(event, NewEvent::correlation);
        event = time.into_iter().fold(event, |event, nanos| event.occurred_at(Timestamp::from_nanos(nanos)));
        event = cause.into_iter().fold(event, NewEvent::caused_by);
        event = tags.into_iter().fold(event, NewEvent::tag);
        meta.into_iter().fold(event, |event, (name, value)| event.meta(name, value))
    })
}

fn import(event: &EventRef<'_>) -> ImportEvent {
    ImportEvent::from_json(event.to_json().as_bytes()).unwrap()
}

proptest! {
    #![proptest_config(crate::trials::cases(2_000))]

    #[test]
    fn what_is_written_reads_back_as_the_same_event(event in event(), position in 1..u64::MAX) {
        stored(&event, position, |original| {
            let line = original.to_json();
            prop_assert!(!line.contains(['\n', '\r']));
            let import = ImportEvent::from_json(line.as_bytes()).unwrap();
            prop_assert!(import.content_equals(original, original.causation()), "{line}\n{import:?}");
            prop_assert_eq!(import.recorded_at(), Some(RECORDED));
            prop_assert_eq!(import.sequence(), Some(Position::new(position)));
            prop_assert_eq!(import.cause().cloned(), original.causation().map(ImportCause::Sequence));

            // Recorded again at the same place, it writes the same line.
            let again = match original.causation() {
                Some(cause) => NewEvent::from(import).caused_by(cause),
                None => import.into(),
            };
            prop_assert_eq!(stored(&again, position, |again| again.to_json()), line);
            Ok(())
        })?;
    }

    #[test]
    fn events_that_differ_are_not_taken_for_equal(one in event(), other in event()) {
        let same = |one: &EventRef<'_>, other: &EventRef<'_>| {
            one.id() == other.id() && one.subject() == other.subject() && one.event_type() == other.event_type()
                && one.actor() == other.actor() && one.data() == other.data() && one.tags().eq(other.tags())
                && one.meta().eq(other.meta()) && one.content_type() == other.content_type()
                && one.source() == other.source() && one.on_behalf_of() == other.on_behalf_of()
                && one.correlation() == other.correlation() && one.occurred_at() == other.occurred_at()
                && one.causation() == other.causation()
        };
        stored(&one, 1, |one| stored(&other, 1, |other| {
            prop_assert_eq!(import(one).content_equals(other, one.causation()), same(one, other));
            Ok(())
        }))?;
    }

    #[test]
    fn no_line_of_any_kind_panics(line in vec(any::<u8>(), 0..200), text in text(0..60)) {
        drop(ImportEvent::from_json(&line));
        drop(ImportEvent::from_json(text.as_bytes()));
    }

    #[test]
    fn no_damage_to_a_line_panics(event in event(), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut line = stored(&event, 1, |event| event.to_json()).into_bytes();
        let at = at.index(line.len());
        drop(ImportEvent::from_json(&line[..at]));
        line[at] = byte;
        drop(ImportEvent::from_json(&line));
    }
}

#[test]
fn each_part_of_the_content_counts() {
    let full = || {
        NewEvent::bytes("t", "s/1", "text/plain", "data")
            .id("i")
            .actor(Actor::user("alice"))
            .on_behalf_of("bob")
            .source("x")
            .correlation("c")
            .occurred_at(RECORDED)
            .tag("one")
            .tag("two")
            .meta("a", "1")
            .meta("b", "2")
    };
    let equal = |import: &ImportEvent, other: &NewEvent| stored(other, 5, |other| import.content_equals(other, None));
    let import = ImportEvent::from(full());
    assert!(equal(&import, &full()));
    let bytes = |event_type, subject, content_type, data: &str| {
        NewEvent::bytes(event_type, subject, content_type, data.as_bytes())
            .id("i")
            .actor(Actor::user("alice"))
            .on_behalf_of("bob")
            .source("x")
            .correlation("c")
            .occurred_at(RECORDED)
            .tag("one")
            .tag("two")
            .meta("a", "1")
            .meta("b", "2")
    };
    assert!(equal(&import, &bytes("t", "s/1", "text/plain", "data")));
    for other in [
        bytes("u", "s/1", "text/plain", "data"),
        bytes("t", "s/2", "text/plain", "data"),
        bytes("t", "s/1", "text/html", "data"),
        bytes("t", "s/1", "text/plain", "Data"),
        full().id("j"),
        full().actor(Actor::agent("alice")),
        full().actor(Actor::user("bob")),
        full().on_behalf_of("carol"),
        full().source("y"),
        full().correlation("d"),
        full().occurred_at(Timestamp::MIN),
        full().tag("three"),
        full().meta("c", "3"),
        full().caused_by(1),
    ] {
        assert!(!equal(&import, &other), "{other:?}");
        assert!(!equal(&ImportEvent::from(other), &full()) || full().cause() != Some(Cause::At(Position::new(1))));
    }
    stored(&full().caused_by(4), 5, |other| {
        assert!(import.content_equals(other, Some(Position::new(4))));
        assert!(!import.content_equals(other, Some(Position::new(3))));
    });
}

#[test]
fn what_the_log_fills_in_counts_as_the_import_says() {
    let bare = || NewEvent::bytes("t", "s/1", "", []);
    let equal = |import: NewEvent, other: NewEvent| {
        stored(&other, 42, |other| ImportEvent::from(import).content_equals(other, None))
    };
    let derived = "abababababababababababababababab-3-42";
    assert!(equal(bare(), bare()));
    assert!(equal(bare().id(derived), bare()), "an export, found again in its own store");
    assert!(!equal(bare(), bare().id(derived)));
    assert!(equal(bare().occurred_at(RECORDED), bare()));
    assert!(!equal(bare().occurred_at(Timestamp::MIN), bare()));
    assert!(!equal(bare(), bare().occurred_at(RECORDED)));
}
