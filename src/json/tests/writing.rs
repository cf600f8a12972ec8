use super::{LOG, RECORDED, stored};
use crate::event::{NewEvent, derived_id};
use crate::json::{Member, is_json, write_event};
use crate::position::Position;
use crate::time::Timestamp;
use crate::{Actor, ActorKind};

fn line(event: &NewEvent) -> String {
    stored(event, 42, |event| event.to_json())
}

fn with_data(content_type: &str, data: impl Into<Vec<u8>>) -> String {
    let line = line(&NewEvent::bytes("t", "s/1", content_type, data).id("i"));
    let (_, rest) = line.split_once(r#""time":"2026-11-01T13:00:00.25Z""#).expect("a time");
    let times = r#","recordedtime":"2026-11-01T13:00:00.25Z","sequence":"00000000000000000042""#;
    rest.replace(times, "")
}

#[test]
fn a_full_event_stands_in_the_order_of_the_specification() {
    let event = NewEvent::bytes("note.created", "note/n-1", "application/json", br#"{"content": "A"}"#)
        .id("evt-1")
        .actor(Actor::agent("scribe").on_behalf_of("alice"))
        .source("web-app")
        .correlation("req-1")
        .caused_by(17)
        .tag("workspace:7")
        .tag("b")
        .meta("traceparent", "00-1")
        .occurred_at(Timestamp::from_nanos(-1));
    assert_eq!(
        line(&event),
        concat!(
            r#"{"specversion":"1.0","id":"evt-1","source":"web-app","type":"note.created","subject":"note/n-1","#,
            r#""time":"1969-12-31T23:59:59.999999999Z","datacontenttype":"application/json","authtype":"agent","#,
            r#""authid":"scribe","onbehalfof":"alice","correlationid":"req-1","causationid":"17","#,
            r#""recordedtime":"2026-11-01T13:00:00.25Z","sequence":"00000000000000000042","#,
            r#""tags":["workspace:7","b"],"traceparent":"00-1","data":{"content": "A"}}"#,
        )
    );
}

#[test]
fn a_bare_event_has_what_cloudevents_demands() {
    assert_eq!(
        line(&NewEvent::bytes("t", "s/1", "", [])),
        concat!(
            r#"{"specversion":"1.0","id":"abababababababababababababababab-3-42","source":"annals:none","type":"t","#,
            r#""subject":"s/1","time":"2026-11-01T13:00:00.25Z","recordedtime":"2026-11-01T13:00:00.25Z","#,
            r#""sequence":"00000000000000000042"}"#,
        )
    );
    assert_eq!(derived_id(LOG, 3, Position::new(42)), "abababababababababababababababab-3-42");
}

#[test]
fn lines_are_appended_and_positions_have_20_digits() {
    let mut out = b"before".to_vec();
    stored(&NewEvent::bytes("t", "s/1", "", []).caused_by(u64::MAX), u64::MAX, |event| write_event(event, &mut out));
    let out = String::from_utf8(out).unwrap();
    assert!(out.starts_with(r#"before{"specversion""#) && out.ends_with('}'));
    assert!(out.contains(r#""sequence":"18446744073709551615""#));
    assert!(out.contains(r#""causationid":"18446744073709551615""#));
}

#[test]
fn every_kind_of_actor_has_its_word() {
    for kind in [ActorKind::User, ActorKind::Agent, ActorKind::External, ActorKind::System, ActorKind::Unknown] {
        let line = line(&NewEvent::bytes("t", "s/1", "", []).actor(Actor::new(kind, "x")));
        assert!(line.contains(&format!(r#""authtype":"{kind}","authid":"x""#)), "{line}");
    }
}

#[test]
fn data_stands_raw_only_where_it_is_json_on_one_line() {
    let json = |data: &str| with_data("application/json", data);
    for data in [
        "null",
        "0",
        r#""a\nb""#,
        r#"{"a": [1,	2]}"#,
        "1e999",
        "12345678901234567890.10",
        r#""\ud800""#,
        "\"\u{2028}\"",
        "[[[[]]]]",
    ] {
        assert_eq!(json(data), format!(r#","datacontenttype":"application/json","data":{data}}}"#));
    }
    for data in ["{\n}", "[1,\r2]", " 1", "1 ", "1\t", "{", "", "1 2", "\u{feff}1", "nul", "\"\u{1}\"", "01", "NaN"] {
        let line = json(data);
        assert!(!line.contains(r#""data":"#), "{line}");
        assert_eq!(line.contains(r#""data_base64":"#), !data.is_empty(), "{line}");
    }
    assert_eq!(
        with_data("application/json", b"\"\xff\"".to_vec()),
        r#","datacontenttype":"application/json","data_base64":"Iv8i"}"#
    );
    assert_eq!(with_data("text/plain", "ab"), r#","datacontenttype":"text/plain","data_base64":"YWI="}"#);
    assert_eq!(with_data("", "1"), r#","datacontenttype":"","data_base64":"MQ=="}"#);
    assert_eq!(with_data("text/plain", ""), r#","datacontenttype":"text/plain"}"#);
}

#[test]
fn content_types_that_are_json() {
    for json in [
        "application/json",
        "text/json",
        "Application/JSON; charset=utf-8",
        "application/problem+json",
        "application/vnd.x+Json;v=1",
        "application/json ; a",
    ] {
        assert!(is_json(json), "{json}");
    }
    for other in ["", "json", "application/jsonl", "application/json+xml", "text/plain", ";application/json", "a/+jso"]
    {
        assert!(!is_json(other), "{other}");
    }
}

#[test]
fn texts_are_escaped_and_still_the_same_texts() {
    let all: String = (0..0x80u8).map(char::from).chain("é\u{7f}\u{2028}😀".chars()).collect();
    let line = line(&NewEvent::bytes("t", "s/1", "", []).meta("all", &all).meta("\"\n", ""));
    assert!(line.bytes().all(|byte| byte >= 0x20));
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["all"], all);
    assert_eq!(value["\"\n"], "");
    assert!(line.contains(r#"\u0000\u0001"#) && line.contains(r#"\b\t\n\u000b\f\r"#) && line.contains(r##" !\"#$"##));
}

#[test]
fn no_object_has_two_members_of_one_name() {
    let event = NewEvent::bytes("t", "s/1", "application/json", "1").meta("a", "1");
    let event = Member::ALL.iter().fold(event, |event, member| event.meta(member.name(), "x"));
    let event = event.meta("a", "2").meta("b", "3");
    let line = line(&event);
    for name in Member::ALL.iter().map(|member| member.name()).chain(["a", "b"]) {
        assert!(
            line.matches(&format!(r#"{{"{name}":"#)).count() + line.matches(&format!(r#","{name}":"#)).count() <= 1
        );
    }
    assert!(line.contains(r#","a":"1","b":"3","annalsmeta":[[1,"specversion","x"],"#), "{line}");
    assert!(line.contains(r#"[21,"a","2"]],"data":1}"#), "{line}");
}

#[test]
fn names_and_members_agree() {
    for member in Member::ALL {
        assert_eq!(Member::of(member.name()), Some(*member));
        assert!(member.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
    }
    assert_eq!(Member::of("traceparent"), None);
    assert_eq!(RECORDED.to_string(), "2026-11-01T13:00:00.25Z");
}
