//! `append`: what is given is what stands there.

use serde_json::json;

use crate::run::Place;

#[test]
fn every_flag_of_append_is_found_again() {
    let place = Place::new();
    place.pod(&["A"]);
    place.good(&[
        "append",
        "pod",
        "--type",
        "note.moved",
        "--subject",
        "note/a/b",
        "--data",
        "{\"to\": 1.50}",
        "--actor",
        "agent:scribe",
        "--on-behalf-of",
        "alice",
        "--id",
        "e-2",
        "--source",
        "desk",
        "--tag",
        "x",
        "--tag",
        "workspace:7",
        "--occurred-at",
        "2020-02-29T12:00:00+01:00",
        "--correlation",
        "c-1",
        "--caused-by",
        "1",
        "--key",
        "k-1",
        "--expect",
        "none",
    ]);
    let shown = place.json(&["show", "pod", "2"]);
    for (name, value) in [
        ("id", json!("e-2")),
        ("type", json!("note.moved")),
        ("subject", json!("note/a/b")),
        ("source", json!("desk")),
        ("time", json!("2020-02-29T11:00:00Z")),
        ("authtype", json!("agent")),
        ("authid", json!("scribe")),
        ("onbehalfof", json!("alice")),
        ("correlationid", json!("c-1")),
        ("causationid", json!("1")),
        ("sequence", json!("00000000000000000002")),
        ("tags", json!(["x", "workspace:7"])),
        ("datacontenttype", json!("application/json")),
        ("data", json!({"to": 1.5})),
    ] {
        assert_eq!(shown[name], value, "{name}: {shown}");
    }
    let line = place.good(&["show", "pod", "2", "--format", "jsonl"]);
    assert!(line.contains("{\"to\": 1.50}"), "data is kept byte for byte: {line}");
    let person = place.good(&["show", "pod", "2"]);
    assert!(person.contains("\"to\": 1.50") && person.contains("agent:scribe"), "{person}");
}

#[test]
fn an_append_says_where_it_went() {
    let place = Place::new();
    let args = ["append", "pod", "--type", "note.created", "--subject", "note/n-1", "--key", "k"];
    let answer = place.json(&args);
    assert_eq!((&answer["position"], &answer["version"], &answer["duplicate"]), (&json!(1), &json!(1), &json!(false)));
    let answer = place.json(&args);
    assert_eq!((&answer["position"], &answer["version"], &answer["duplicate"]), (&json!(1), &json!(1), &json!(true)));
    let out = place.good(&["append", "pod", "--type", "note.edited", "--subject", "note/n-1"]);
    assert_eq!(out, "appended note.edited at position 2, note/n-1 version 2\n");
}

#[test]
fn data_comes_from_the_argument_a_file_or_standard_input() {
    let place = Place::new();
    let event = |data| ["append", "pod", "--type", "t", "--subject", "s/1", "--data", data];
    place.write("data.json", "{\"from\":\"file\"}\n");
    place.good(&event("{\"from\":\"argument\"}"));
    place.good(&event("@data.json"));
    assert_eq!(place.run_with(&event("-"), "  {\"from\":\"stdin\"}\n").code, 0);
    place.good(&event("-17.5"));
    place.good(&["append", "pod", "--type", "t", "--subject", "s/1"]);
    let lines = place.good(&["export", "pod"]);
    let data: Vec<_> = lines.lines().map(|line| line.split_once(",\"data\":").map(|(_, data)| data)).collect();
    let expected = [
        Some("{\"from\":\"argument\"}}"),
        Some("{\"from\":\"file\"}}"),
        Some("{\"from\":\"stdin\"}}"),
        Some("-17.5}"),
        None,
    ];
    assert_eq!(data, expected);
    assert!(!lines.lines().last().unwrap().contains("data"), "no data: no member");
}

#[test]
fn data_that_is_no_json_is_kept_as_bytes() {
    let place = Place::new();
    place.good(&[
        "append",
        "pod",
        "--type",
        "t",
        "--subject",
        "s/1",
        "--data",
        "hällo\n",
        "--content-type",
        "text/plain",
    ]);
    let shown = place.json(&["show", "pod", "1"]);
    assert_eq!(shown["datacontenttype"], "text/plain");
    assert_eq!(shown["data_base64"], "aMOkbGxvCg==");
    assert!(place.good(&["show", "pod", "1"]).contains("hällo"));
}

#[test]
fn large_data_draws_a_warning_and_is_taken() {
    let place = Place::new();
    place.write("data.json", format!("\"{}\"", "x".repeat(70_000)));
    let ended = place.run(&["append", "pod", "--type", "t", "--subject", "s/1", "--data", "@data.json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.starts_with("warning: 68.4 KiB of data"), "{ended:?}");
    place.write("data.json", format!("\"{}\"", "x".repeat(17 << 20)));
    place.bad(
        &["append", "pod", "--type", "t", "--subject", "s/1", "--data", "@data.json"],
        1,
        "more than 16.0 MiB of data",
    );
}

#[test]
fn the_environment_stands_in_for_store_and_actor() {
    let mut place = Place::new();
    place.set("ANNALS_STORE", "pod");
    place.set("ANNALS_ACTOR", "user:alice");
    place.good(&["append", "--type", "t", "--subject", "s/1", "--data", "1"]);
    place.good(&["append", "--type", "t", "--subject", "s/1", "--actor", "bob"]);
    assert_eq!(place.json(&["show", "1"])["authid"], "alice");
    assert_eq!(place.json(&["show", "2"])["authtype"], "unknown");
    assert_eq!(place.jsonl(&["log"]).len(), 2, "the variable is no filter");
    assert_eq!(place.jsonl(&["log", "--actor", "alice"]).len(), 1);
    assert_eq!(place.jsonl(&["history", "s/1"]).len(), 2);
    place.write("in.jsonl", "{\"type\":\"a\",\"subject\":\"b/c\"}\n");
    place.good(&["import", "in.jsonl"]);
    // An argument wins over the variable.
    place.good(&["import", "other", "in.jsonl"]);
    assert_eq!(place.jsonl(&["log", "other"]).len(), 1);
    assert_eq!(place.json(&["show", "other", "1"])["type"], "a");
    assert!(place.exists("pod") && place.exists("other"));
}
