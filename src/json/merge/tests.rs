use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::*;

/// RFC 7396, section 2, word for word.
fn naive(target: Json, patch: &Json) -> Json {
    let Json::Object(patch) = patch else { return patch.clone() };
    let mut target = match target {
        Json::Object(object) => object,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            let old = target.remove(name).unwrap_or(Json::Null);
            target.insert(name.clone(), naive(old, value));
        }
    }
    Json::Object(target)
}

fn parsed(document: &Document) -> Json {
    serde_json::from_str(&document.to_json()).unwrap()
}

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        3 => Just(Json::Null),
        1 => any::<bool>().prop_map(Json::from),
        2 => any::<i32>().prop_map(Json::from),
        2 => "[a-c\"\\\\ \n{}é]{0,4}".prop_map(Json::from),
        1 => proptest::collection::vec(prop_oneof![Just(json!(null)), Just(json!({"a": null}))], 0..3).prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 24, 4, object)
}

fn object(inner: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    proptest::collection::vec(("[a-c]|\\.|", inner), 0..4)
        .prop_map(|members| Json::Object(members.into_iter().collect()))
}

proptest! {
    #[test]
    fn equals_the_naive_merge_patch(
        patches in proptest::collection::vec((object(value()), any::<bool>()), 1..8),
        whole in proptest::option::of(object(value())),
    ) {
        let mut document = whole.as_ref().map_or_else(Document::new, |whole| {
            Document::from_object(whole.to_string().as_bytes()).unwrap()
        });
        let mut expected = whole.unwrap_or_else(|| json!({}));
        prop_assert_eq!(&parsed(&document), &expected);
        for (patch, pretty) in patches {
            let text = if pretty { serde_json::to_string_pretty(&patch).unwrap() } else { patch.to_string() };
            let mut told = Vec::new();
            let before = document.clone();
            document.merge_telling(text.as_bytes(), |change| told.push(change)).unwrap();
            expected = naive(expected, &patch);
            prop_assert_eq!(&parsed(&document), &expected);
            prop_assert!(!document.to_json().contains('\n'));
            prop_assert_eq!(told.is_empty(), parsed(&before) == expected, "{:?}", told);
            prop_assert!(told.iter().all(|change| change.from != change.to));

            let mut quiet = before;
            quiet.merge(text.as_bytes()).unwrap();
            prop_assert_eq!(quiet.to_json(), document.to_json());
            let again: Document = serde_json::from_str(&serde_json::to_string(&document).unwrap()).unwrap();
            prop_assert_eq!(again.to_json(), document.to_json());
            let fields: Vec<_> = document.fields().map(|(name, _)| name.to_owned()).collect();
            prop_assert!(fields.iter().all(|name| document.field(name).is_some()));
            prop_assert_eq!(fields.len(), document.len());
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Document::new().merge(&bytes);
        let _ = Document::from_object(&bytes);
    }
}

fn merged(patches: &[&str]) -> String {
    let mut document = Document::new();
    patches.iter().for_each(|patch| document.merge(patch.as_bytes()).unwrap());
    document.to_json()
}

#[test]
fn the_examples_of_the_rfc() {
    // Those whose target and patch are objects; the others cannot be events of a document.
    for (target, patch, result) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ] {
        let mut document = Document::from_object(target.as_bytes()).unwrap();
        document.merge(patch.as_bytes()).unwrap();
        assert_eq!(document.to_json(), result, "{target} and {patch}");
    }
}

#[test]
fn what_nobody_touched_stays_as_it_was_written() {
    let digits = r#"{"n":12345678901234567890.10e+0,"s":"\u0041\/","l":[1,  2.00],"o":{"z":1.0, "a":-0}}"#;
    assert_eq!(merged(&[digits]), digits);
    assert_eq!(
        merged(&[digits, r#"{"o":{"y":1e3}}"#]),
        digits.replace(r#""z":1.0, "a":-0"#, r#""z":1.0,"a":-0,"y":1e3"#)
    );
    assert_eq!(merged(&["{\n \"a\": [1,\r\n \" b \\\" \" ]\n}"]), r#"{"a":[1," b \" "]}"#);
    assert_eq!(merged(&[r#"{"b":1,"a":2}"#, r#"{"b":3,"c":4}"#]), r#"{"b":3,"a":2,"c":4}"#);
    assert_eq!(merged(&[r#"{"b":1,"a":2}"#, r#"{"b":null}"#, r#"{"b":3}"#]), r#"{"a":2,"b":3}"#);
    assert_eq!(merged(&[r#"{"a":{"x":1},"b":0,"a":{"y":2}}"#]), r#"{"a":{"y":2},"b":0}"#);
    assert_eq!(merged(&[r#"{"o":{"a":1,"a":2}}"#]), r#"{"o":{"a":2}}"#);
}

#[test]
fn changes_are_told_field_by_field() {
    let mut document = Document::new();
    let mut told = |patch: &str| {
        let mut lines = Vec::new();
        let each = |change: FieldChange| lines.push(format!("{} {:?} {:?}", change.path, change.from, change.to));
        document.merge_telling(patch.as_bytes(), each).unwrap();
        lines.join("; ").replace("Some(", "").replace(')', "")
    };
    assert_eq!(told(r#"{"a":1,"o":{"p":{"q":true},"e":{}}}"#), r#"a None "1"; o.p.q None "true"; o.e None "{}""#);
    assert_eq!(told(r#"{"a":1,"o":{"p":{"q":false}}}"#), r#"o.p.q "true" "false""#);
    assert_eq!(told(r#"{"a":1.0,"o":{"p":null}}"#), r#"a "1" "1.0"; o.p "{\"q\":false}" None"#);
    assert_eq!(told(r#"{"a":"A","x":null}"#), r#"a "1.0" "\"A\"""#);
    assert_eq!(told(r#"{"a":"\u0041"}"#), "");
    assert_eq!(told(r#"{"a":{"b":[1]},"":{"c.d":0}}"#), r#"a "\"\\u0041\"" "{\"b\":[1]}"; ""."c.d" None "0""#);
    assert_eq!(told(r#"{"a":{"b":[ 1 ]}}"#), "");
}

#[test]
fn what_is_no_object_changes_nothing() {
    let deep = |levels: usize| format!("{}{}{}", r#"{"a":"#.repeat(levels), "{}", "}".repeat(levels));
    let mut document = Document::from_object(br#"{"a":1}"#).unwrap();
    let wrong = ["", "[]", "1", "null", "{", "{}}", "{\"a\":2,}", "{\"a\":2,\"b\":{\"\\ud800\":1}}", "{\"a\":2}{}"];
    for bytes in wrong.iter().map(|text| text.as_bytes()).chain([&b"{\"a\":\"\xff\"}"[..]]) {
        assert!(document.merge(bytes).is_err(), "{bytes:?}");
    }
    assert!(document.merge(deep(crate::limits::DOCUMENT_DEPTH_MAX).as_bytes()).is_err());
    assert!(document.merge("{\"a\":".repeat(1_000_000).as_bytes()).is_err());
    assert_eq!(document.to_json(), r#"{"a":1}"#);
    document.merge(deep(crate::limits::DOCUMENT_DEPTH_MAX - 1).as_bytes()).unwrap();
    document.merge(deep(crate::limits::DOCUMENT_DEPTH_MAX - 1).replace("{}", "{\"b\":[]}").as_bytes()).unwrap_err();
    serde_json::from_str::<Json>(&document.to_json()).unwrap();
}

#[test]
fn kinds_and_texts_of_leaves() {
    let kinds = [("null", Kind::Null), ("true", Kind::Bool), ("-1", Kind::Number), ("\"\"", Kind::String)];
    for (json, kind) in kinds.into_iter().chain([("[]", Kind::Array), ("{}", Kind::Object)]) {
        assert_eq!(Kind::of(json), kind);
    }
    assert_eq!(unescaped(r#""\u00e9\n""#).as_deref(), Some("é\n"));
    assert_eq!(unescaped("1"), None);
    assert_eq!(unescaped(r#""\ud800""#), None);
}
