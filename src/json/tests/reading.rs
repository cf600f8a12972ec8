use crate::error::{Error, ErrorKind};
use crate::event::EventRef;
use crate::json::{ImportCause, ImportEvent};
use crate::position::Position;
use crate::time::Timestamp;
use crate::{Actor, NewEvent};

use super::stored;

fn read(line: &str) -> ImportEvent {
    ImportEvent::from_json(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// An event of type `t` and subject `s/1` with these further members.
fn with(members: &str) -> ImportEvent {
    read(&format!(r#"{{"type":"t","subject":"s/1",{members}}}"#))
}

fn refusal(line: impl AsRef<[u8]>) -> Error {
    let error = ImportEvent::from_json(line.as_ref()).expect_err("a line that is refused");
    let text = error.to_string();
    assert!(text.len() < 400 && !text.contains(char::is_control), "{text}");
    error
}

fn refused(members: &str) -> String {
    refusal(format!(r#"{{"type":"t","subject":"s/1",{members}}}"#)).to_string()
}

fn meta(import: &ImportEvent) -> Vec<(&str, &str)> {
    import.event().meta_strs().collect()
}

#[test]
fn the_plain_envelope() {
    let import = read(concat!(
        r#"{"id":"bpic-0","type":"A_SUBMITTED","subject":"17/3","subject_type":"application","actor":"112","#,
        r#""source":"4tu:bpic2012","time":"2011-10-01T00:38:44.546+02:00","data":{"a" : [1.50]}}"#
    ));
    let event = import.event();
    assert_eq!((event.id_str(), event.event_type(), event.subject()), ("bpic-0", "A_SUBMITTED", "application/17/3"));
    assert_eq!(event.actor_parts(), Some((crate::ActorKind::Unknown, "112")));
    assert_eq!(event.source_str(), "4tu:bpic2012");
    assert_eq!(event.occurred(), Timestamp::parse("2011-09-30T22:38:44.546Z").ok());
    assert_eq!((event.content_type_str(), event.data()), ("application/json", br#"{"a" : [1.50]}"#.as_slice()));
    assert_eq!((import.recorded_at(), import.sequence(), import.cause()), (None, None, None));
    assert!(meta(&import).is_empty());

    let import = with(r#""actor":null"#);
    assert_eq!(import.event().actor_parts(), None);
    assert_eq!((import.event().content_type_str(), import.event().data()), ("", b"".as_slice()));
    assert_eq!(import, ImportEvent::from(NewEvent::bytes("t", "s/1", "", [])));
}

#[test]
fn a_cloudevent_of_somebody_else() {
    let import = with(concat!(
        r#""specversion":"1.0","id":"A","source":"/x","time":"2018-04-05T17:31:00Z","comexampleextension1":"value","#,
        r#""comexampleothervalue":5.10,"flag":true,"gone":null,"traceparent":"00-1","datacontenttype":"text/xml","#,
        r#""dataschema":"urn:x","data":"<much wow=\"xml\"/>""#
    ));
    assert_eq!(import.event().data(), br#"<much wow="xml"/>"#);
    assert_eq!(import.event().content_type_str(), "text/xml");
    assert_eq!(
        meta(&import),
        [
            ("comexampleextension1", "value"),
            ("comexampleothervalue", "5.10"),
            ("flag", "true"),
            ("traceparent", "00-1"),
            ("dataschema", "urn:x")
        ]
    );
}

#[test]
fn data_is_kept_as_it_stands() {
    for data in ["null", "\"a\\u00e9\"", "{ \"a\":1,\t\"a\":2 }", "1e999", "-0.0", "[\n]", r#""\ud800""#, "\"é\""] {
        for import in [
            with(&format!(r#""data": {data} "#)),
            with(&format!(r#""data":{data},"datacontenttype":"a/b+json""#)),
            with(&format!(r#""data":{data},"datacontenttype":"""#)),
        ] {
            assert_eq!(import.event().data(), data.as_bytes());
        }
    }
    // Data of another type is the text itself if it stands as a text, else the JSON as it stands.
    let plain = |data| with(&format!(r#""datacontenttype":"text/plain","data":{data}"#));
    assert_eq!(plain(r#""a\n\"é\ud83d\ude00""#).event().data(), "a\n\"é😀".as_bytes());
    assert_eq!(plain(r#"{"a": 1}"#).event().data(), br#"{"a": 1}"#);
}

#[test]
fn data_in_base64() {
    let import = with(r#""data_base64":"AP8=""#);
    assert_eq!((import.event().content_type_str(), import.event().data()), ("application/octet-stream", &[0, 255][..]));
    let import = with(r#""data_base64":"AP8","datacontenttype":"image/png""#);
    assert_eq!((import.event().content_type_str(), import.event().data()), ("image/png", &[0, 255][..]));
    let import = with(r#""data_base64":null,"data":1"#);
    assert_eq!((import.event().content_type_str(), import.event().data()), ("application/json", &b"1"[..]));
    assert_eq!(with(r#""datacontenttype":"","data_base64":"MQ==""#).event().content_type_str(), "");
    assert!(refused(r#""data_base64":"A\nB=""#).starts_with("`data_base64` is no base64: "));
    assert!(refused(r#""data_base64":"AB=C""#).starts_with("`data_base64` is no base64: "));
    assert_eq!(refused(r#""data_base64":1"#), "`data_base64` is a number: it must be a text");
    assert_eq!(refused(r#""data_base64":"","data":null"#), "`data` and `data_base64` exclude each other");
}

#[test]
fn actors() {
    let actor = |members: &str| {
        let import = with(members);
        let kept = meta(&import).iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        (import.event().actor_parts().map(|(kind, id)| format!("{kind} {id}")), kept)
    };
    let some = |actor: &str, kept: &str| (Some(actor.to_owned()), kept.to_owned());
    assert_eq!(actor(r#""authtype":"agent","authid":"x""#), some("agent x", ""));
    assert_eq!(actor(r#""authtype":"unknown","authid":"x""#), some("unknown x", ""));
    assert_eq!(actor(r#""authid":"user:x""#), some("unknown user:x", ""));
    assert_eq!(actor(r#""authtype":"user","actor":"x""#), some("user x", ""));
    assert_eq!(actor(r#""authtype":"app_user","authid":"x""#), some("user x", "authtype=app_user"));
    assert_eq!(actor(r#""authtype":"service_account","authid":"x""#), some("system x", "authtype=service_account"));
    assert_eq!(actor(r#""authtype":"api_key","authid":"x""#), some("unknown x", "authtype=api_key"));
    assert_eq!(actor(r#""authtype":"User","authid":"x""#), some("unknown x", "authtype=User"));
    assert_eq!(actor(r#""authid":"x","actor":"y""#), some("unknown x", "actor=y"));
    assert_eq!(actor(r#""authtype":"unauthenticated""#), (None, "authtype=unauthenticated".to_owned()));
    assert_eq!(actor(r#""authtype":"system""#), (None, "authtype=system".to_owned()));
    assert_eq!(refused(r#""actor":112"#), "`actor` is a number: it must be a text");
}

#[test]
fn places_in_the_other_history() {
    let import = with(r#""sequence":"00000000000000000042","causationid":"17","recordedtime":"1970-01-01T00:00:00Z""#);
    assert_eq!(import.sequence(), Some(Position::new(42)));
    assert_eq!(import.cause(), Some(&ImportCause::Sequence(Position::new(17))));
    assert_eq!(import.recorded_at(), Some(Timestamp::UNIX_EPOCH));
    let import = with(r#""sequence":7,"causationid":3"#);
    assert_eq!(import.sequence(), Some(Position::new(7)));
    assert_eq!(import.cause(), Some(&ImportCause::Sequence(Position::new(3))));
    let import = with(r#""sequence":"a-1","causationid":"evt-1""#);
    assert_eq!(import.sequence(), None);
    assert_eq!(meta(&import), [("sequence", "a-1")]);
    assert_eq!(import.cause(), Some(&ImportCause::Other("evt-1".to_owned())));
    let import = with(r#""causationid":-1e3,"sequence":99999999999999999999"#);
    assert_eq!(import.cause(), Some(&ImportCause::Other("-1e3".to_owned())));
    assert_eq!(meta(&import), [("sequence", "99999999999999999999")]);

    // A cause that the input does not hold survives as metadata, and from there on every export and import.
    for (cause, text) in [(ImportCause::Sequence(Position::new(17)), "17"), (ImportCause::Other("x".into()), "x")] {
        let import = with(r#""a":"b""#).with_cause(cause).with_cause_as_meta();
        assert_eq!(import.cause(), None);
        assert_eq!(meta(&import), [("a", "b"), ("causationid", text)]);
        stored(import.event(), 9, |event: &EventRef<'_>| {
            let again = read(&event.to_json());
            assert_eq!(again.cause(), None);
            assert_eq!(meta(&again), [("a", "b"), ("causationid", text)]);
        });
    }
}

#[test]
fn the_builder_is_what_a_line_is() {
    let line = with(r#""id":"i","sequence":"4","causationid":"3","recordedtime":"1970-01-01T00:00:01Z""#);
    let built = ImportEvent::from(NewEvent::bytes("t", "s/1", "", []).id("i"))
        .with_sequence(4)
        .with_cause(ImportCause::Sequence(Position::new(3)))
        .with_recorded_at(Timestamp::from_nanos(1_000_000_000));
    assert_eq!(line, built);
}

#[test]
fn tags_and_metadata() {
    let import =
        with(r#""tags":["a","\u00e9","a"],"annalsmeta":[[0,"type","x"],[2,"a","2"],[3,"annalsmeta",""]],"a":"1""#);
    assert_eq!(import.event().tag_strs().collect::<Vec<_>>(), ["a", "é", "a"]);
    assert_eq!(meta(&import), [("type", "x"), ("a", "1"), ("a", "2"), ("annalsmeta", "")]);
    assert_eq!(with(r#""tags":null,"annalsmeta":null"#).event().tag_strs().len(), 0);
    for (tags, reason) in [
        (r#""a""#, "`tags` is a text: it must be an array of texts"),
        (r#"{"a":1}"#, "`tags` is an object: it must be an array of texts"),
        ("[1]", "`tags` must be an array of texts"),
        (r#"["\ud800"]"#, "`tags` must be an array of texts"),
        (r#"["a",""]"#, "`tags` holds an empty text"),
    ] {
        assert_eq!(refused(&format!(r#""tags":{tags}"#)), reason);
    }
    for other in ["1", "{}", "[1]", r#"[[0,"a"]]"#, r#"[[1,"a","b"]]"#, r#"[[-1,"a","b"]]"#, r#"[[0,"","b"]]"#] {
        assert!(refused(&format!(r#""annalsmeta":{other}"#)).starts_with("`annalsmeta` must be"), "{other}");
    }
    assert!(refused(r#""annalsmeta":[[0,"a","b"],[0,"c","d"]]"#).starts_with("`annalsmeta` must be"));
    assert_eq!(
        refused(r#""geo":{"lat":1}"#),
        "`geo` is an object: only a text, a number or a boolean can be kept as metadata"
    );
    assert_eq!(
        refused("\"a\\u001bb\":[]"),
        "`a\\u{1b}b` is an array: only a text, a number or a boolean can be kept as metadata"
    );
    assert_eq!(refused(r#""":1"#), "a member has an empty name");
    assert!(with(r#""annals.rule":"x""#).event().meta_strs().eq([("annals.rule", "x")]));
}

#[test]
fn every_refusal_is_one_clear_line() {
    for (line, reason) in [
        ("", "the line is empty: a JSON object must stand there"),
        (" \r\n", "the line is empty: a JSON object must stand there"),
        ("{", "not JSON: EOF while parsing an object at column 1"),
        ("nonsense", "not JSON: expected ident at column 2"),
        ("{\"type\":tru}", "not JSON: expected ident at column 12"),
        ("{\"type\":\"t\"} x", "not JSON: trailing characters at column 14"),
        ("[1]", "not an event: a JSON object must stand there"),
        ("\"\\u001b and more\"", "not an event: a JSON object must stand there"),
        ("5", "not an event: a JSON object must stand there"),
        ("null", "not an event: a JSON object must stand there"),
        ("{}", "`type` is missing"),
        (r#"{"type":null,"subject":"s/1"}"#, "`type` is missing"),
        (r#"{"type":"t"}"#, "`subject` is missing"),
        (r#"{"type":"t","subject_type":"s"}"#, "`subject` is missing"),
        (r#"{"type":"","subject":"s/1"}"#, "`type` is empty"),
        (r#"{"type":5,"subject":"s/1"}"#, "`type` is a number: it must be a text"),
        (r#"{"type":"t","subject":"s"}"#, "the subject has no `/`: it must be kind/id, such as note/n-1"),
        (r#"{"type":"t","subject":"a\nb","subject_type":"s"}"#, "the subject holds a control character, U+000A"),
        (r#"{"type":"t","type":"t","subject":"s/1"}"#, "`type` stands twice"),
        (r#"{"type":"t","\u0074ype":"t","subject":"s/1"}"#, "`type` stands twice"),
        (r#"{"type":"t","subject":"s/1","data":null,"data":1}"#, "`data` stands twice"),
        (r#"{"x":null,"x":1}"#, "`x` stands twice"),
        (r#"{"x":1,"x":1,"#, "not JSON: EOF while parsing a value at column 13"),
    ] {
        assert_eq!(refusal(line).to_string(), reason, "{line}");
        assert_eq!(refusal(line).kind(), ErrorKind::Invalid);
    }
    for (members, reason) in [
        (r#""id":"""#, "`id` is empty"),
        (r#""id":"\ud800""#, "`id` is no text: unexpected end of hex escape"),
        (r#""id":["a"]"#, "`id` is an array: it must be a text"),
        (r#""source":true"#, "`source` is a boolean: it must be a text"),
        (r#""authid":"""#, "`authid` is empty"),
        (r#""subject_type":"""#, "`subject_type` is empty"),
        (r#""specversion":"0.3""#, "`specversion` must be 1.0, the one version of CloudEvents known"),
        (r#""time":1446"#, "`time` is a number: it must be a text"),
        (r#""sequence":{}"#, "`sequence` is an object: it must be a text"),
    ] {
        assert_eq!(refused(members), reason, "{members}");
    }
    assert!(refused(r#""time":"yesterday""#).starts_with("`time`: `yesterday` is no RFC 3339 time"));
    assert!(refused(r#""recordedtime":"1500-01-01T00:00:00Z""#).starts_with("`recordedtime`: `1500"));
}

#[test]
fn hostile_lines_cost_an_error_at_most() {
    let deep = 1_000_000;
    let nested = |open: &str, close: &str| format!("{}{}", open.repeat(deep), close.repeat(deep));
    // Deep data is data like any other, since nothing recurses into it, reading or writing.
    for data in [nested("[", "]"), nested(r#"{"a":"#, "}").replace(":}", ":1}")] {
        let import = with(&format!(r#""data":{data}"#));
        assert_eq!(import.event().data(), data.as_bytes());
        let line = stored(import.event(), 1, |event| event.to_json());
        assert!(line.contains(&data));
        assert!(read(&line).event() == import.event() || read(&line).event().data() == data.as_bytes());
    }
    for name in ["tags", "annalsmeta", "id", "time", "x", "data_base64", "sequence", "type2"] {
        refused(&format!(r#""{name}":{}"#, nested("[", "]")));
        refused(&format!(r#""{name}":[[{}"#, "[".repeat(deep)));
        refused(&format!(r#""{name}":{}"#, nested(r#"{"a":"#, "}")));
    }
    refusal("[".repeat(deep));
    refusal("{\"a\":".repeat(deep));
    refusal(format!("\"{}\"", "\\u001b".repeat(deep)));

    let digits = "9".repeat(deep);
    assert_eq!(with(&format!(r#""data":{digits}"#)).event().data(), digits.as_bytes());
    assert_eq!(meta(&with(&format!(r#""sequence":{digits}"#))), [("sequence", &*digits)]);
    assert_eq!(meta(&with(&format!(r#""n":-{digits}e{digits}"#))).len(), 1);

    refusal(b"{\"type\":\"t\xff\",\"subject\":\"s/1\"}");
    refusal(b"{\"type\":\"t\",\"subject\":\"s/1\",\"data\":\"\xc3\"}");
    refusal(b"{\"type\":\"t\",\"subject\":\"s/1\",\"\xed\xa0\x80\":1}");
    refusal(b"\xff\xfe{\0}\0");
    refusal(b"\0");
    refused(r#""\ud800":1"#);
    refused(r#""\udc00\ud800":1"#);
    refused(&format!(r#""{}":1,"{}":2"#, "x".repeat(deep), "x".repeat(deep)));
    refused(&format!(r#""time":"{}""#, "x".repeat(deep)));
    refused(&format!(r#""data_base64":"{}""#, "!".repeat(deep)));

    let members = |count: usize| (0..count).map(|n| format!(r#""m{n}":{n}"#)).collect::<Vec<_>>().join(",");
    assert_eq!(meta(&with(&members(256))).len(), 256);
    let line = format!(r#"{{"type":"t","subject":"s/1",{}}}"#, members(100_000));
    assert_eq!(refusal(line).kind(), ErrorKind::TooLarge);
    let many = format!(r#"[{}[0,"a","b"]]"#, r#"[0,"a","b"],"#.repeat(100_000));
    refused(&format!(r#""annalsmeta":{many}"#));
}

#[test]
fn an_import_becomes_its_event() {
    let event = || NewEvent::bytes("t", "s/1", "", []).actor(Actor::user("alice"));
    assert_eq!(NewEvent::from(ImportEvent::from(event()).with_sequence(3)), event());
}
