//! `annals state` and `annals history`: what a subject came to, when, and by whom; `annals stat` for machines.

use std::io::Read as _;

use serde_json::{Value, json};

use crate::run::Place;

fn append(place: &Place, event_type: &str, data: &str) {
    place.good(&["append", "pod", "--type", event_type, "--subject", "note/n-1", "--data", data, "--actor", "user:al"]);
}

#[test]
fn state_is_what_the_events_come_to() {
    let place = Place::new();
    append(&place, "note.created", r#"{"content":"A","price":1.50,"meta":{"by":"al","tmp":true}}"#);
    append(&place, "note.edited", r#"{"content":"B","meta":{"tmp":null}}"#);
    append(&place, "note.seen", "[1]");
    let state = |args: &[&str]| place.good(&[&["state", "pod", "note/n-1", "--format", "jsonl"], args].concat());
    let now = r#"{"content":"B","price":1.50,"meta":{"by":"al"}}"#;
    assert_eq!(state(&[]), format!("{{\"subject\":\"note/n-1\",\"state\":{now},\"version\":3,\"position\":3}}\n"));
    let first = r#"{"content":"A","price":1.50,"meta":{"by":"al","tmp":true}}"#;
    for at in ["@1", "1"] {
        let then = state(&["--at", at]);
        assert_eq!(then, format!("{{\"subject\":\"note/n-1\",\"state\":{first},\"version\":1,\"position\":1}}\n"));
    }
    assert_eq!(state(&["--at", "tomorrow"]), state(&[]));
    let table = place.good(&["state", "pod", "note/n-1"]);
    assert!(table.contains("3 events") && table.contains("1 event whose data is no JSON object"), "{table}");
    assert!(table.contains("note.seen") && table.contains("by user:al"), "{table}");
    assert!(
        table.ends_with("{\n  \"content\": \"B\",\n  \"price\": 1.50,\n  \"meta\": {\n    \"by\": \"al\"\n  }\n}\n"),
        "{table}"
    );
    append(&place, "note.noted", "[2]");
    assert_eq!(place.json(&["state", "pod", "note/n-1"])["version"], 4);

    // Nothing that is an object: no state, and said.
    place.good(&["append", "pod", "--type", "t", "--subject", "s/1", "--data", "17"]);
    let none = place.json(&["state", "pod", "s/1"]);
    assert_eq!(none, json!({"subject": "s/1", "state": null, "version": 1, "position": 5}));
    assert!(place.good(&["state", "pod", "s/1"]).contains("(deleted, or no event brought a JSON object)"));
    place.bad(&["state", "pod", "note/n-2"], 3, "no event is about \"note/n-2\", pod");
    let ended =
        place.bad(&["state", "pod", "s/1", "--at", "@4"], 3, "nothing was recorded about \"s/1\" up to position 4");
    assert!(ended.err.contains("its first event stands at position 5"), "{}", ended.err);
    place.bad(&["state", "pod", "s/1", "--at", "@x"], 2, "invalid value '@x' for '--at <TIME|@POSITION>'");
    place.bad(&["state", "pod", "s/1", "--at", "@1", "--as-happened", "2020-01-01"], 2, "the argument '--at");
}

#[test]
fn an_imported_history_is_asked_by_what_had_happened() {
    let place = Place::new();
    let line = |n: u32, content: &str| {
        format!(
            "{{\"id\":\"e-{n}\",\"type\":\"note.edited\",\"subject\":\"note/1\",\"time\":\"2020-01-{n:02}T00:00:00Z\",\
             \"data\":{{\"content\":\"{content}\"}}}}\n"
        )
    };
    place.write("in.jsonl", [line(3, "A"), line(5, "B"), line(9, "C")].concat());
    place.good(&["import", "pod", "in.jsonl"]);
    let at = |day: &str| place.json(&["state", "pod", "note/1", "--as-happened", day])["state"]["content"].clone();
    assert_eq!((at("2020-01-03"), at("2020-01-08T23:59:59Z"), at("2020-02-01")), (json!("A"), json!("B"), json!("C")));
    let ended =
        place.bad(&["state", "pod", "note/1", "--at", "2020-01-06"], 3, "nothing was recorded about \"note/1\"");
    assert!(ended.err.contains("was imported") && ended.err.contains("--as-happened TIME"), "{}", ended.err);
    let ended = place.bad(&["state", "pod", "note/1", "--as-happened", "2020-01-02"], 3, "nothing had happened to");
    assert!(ended.err.contains("its first event happened at 2020-01-03T00:00:00Z"), "{}", ended.err);
}

/// Ten moments of a real history: exactly the revision that was current then.
#[test]
fn the_past_of_real_notes() {
    let place = Place::new();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/notes-peps-sample.jsonl.zst");
    place.good(&["import", "pod", sample]);
    let mut lines = String::new();
    zstd::Decoder::new(std::fs::File::open(sample).unwrap()).unwrap().read_to_string(&mut lines).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_note: Vec<&Value> = lines.iter().filter(|line| line["subject"] == "pep-0484").collect();
    for n in 0..10 {
        // The time of one revision is before that of the next, so this very one was current.
        let index = n * (of_note.len() - 1) / 9;
        let (line, time) = (of_note[index], of_note[index]["time"].as_str().unwrap());
        assert!(of_note.get(index + 1).is_none_or(|next| next["time"] != line["time"]));
        let state = place.json(&["state", "pod", "note/pep-0484", "--as-happened", time]);
        assert_eq!(state["state"]["body"], line["data"]["body"], "{time}");
        assert_eq!(state["state"]["commit"], line["data"]["commit"], "{time}");
        assert_eq!(state["version"], index + 1);
    }
}

#[test]
fn history_names_nested_and_removed_fields() {
    let place = Place::new();
    append(&place, "note.created", r#"{"content":"A","meta":{"by":"al","n":1.0}}"#);
    append(&place, "note.edited", r#"{"meta":{"n":1.00,"by":null}}"#);
    append(&place, "note.seen", "[1]");
    place.good(&["append", "pod", "--type", "note.left", "--subject", "note/n-1"]);
    append(&place, "note.edited", r#"{"content":"A"}"#);
    let out = place.good(&["history", "pod", "note/n-1"]);
    let rows: Vec<&str> = out.lines().skip(2).collect();
    assert!(rows[0].ends_with("content = \"A\", meta.by = \"al\", meta.n = 1.0"), "{out}");
    assert!(rows[1].contains("meta.n 1.0 → 1.00") && rows[1].contains("meta.by removed (was \"al\")"), "{out}");
    assert!(rows[2].ends_with("(data is no JSON object)") && rows[3].ends_with("(no data)"), "{out}");
    assert!(rows[4].ends_with("nothing"), "{out}");
    let steps = place.jsonl(&["history", "pod", "note/n-1"]);
    assert_eq!(steps[1]["changes"][1], json!({"field": "meta.by", "from": "al", "to": null}));
    assert_eq!((&steps[2]["passed_over"], steps[1].get("passed_over")), (&json!(true), None));
    assert!(place.good(&["history", "pod", "note/n-1", "--format", "jsonl"]).contains(r#""from":1.0,"to":1.00"#));
}

#[test]
fn stat_speaks_prometheus() {
    let place = Place::new();
    place.pod(&["A", "B", "C"]);
    let text = place.good(&["stat", "pod", "--format", "prometheus"]);
    let mut described = std::collections::BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(name.starts_with("annals_") && !help.is_empty(), "{line}");
            assert_eq!(described.insert(name.to_owned(), None), None, "{name} twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(kind == "gauge" || kind == "counter" && name.ends_with("_total"), "{line}");
            *described.get_mut(name).unwrap() = Some(kind.to_owned());
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert!(described[name].is_some(), "{name} has no type");
            value.parse::<f64>().unwrap();
        }
    }
    assert!(text.contains("\nannals_events 3\n") && text.contains("\nannals_segments{form=\"active\"} 1\n"), "{text}");
    assert!(text.contains("\nannals_poisoned 0\n") && text.contains("\nannals_slowest_append_seconds 0\n"), "{text}");
    let stat = place.json(&["stat", "pod"]);
    assert_eq!((&stat["segments_by_form"]["active"], &stat["snapshots"]), (&json!(1), &json!(0)));
    for verb in [&["log", "pod"][..], &["state", "pod", "note/n-1"], &["verify", "pod"]] {
        place.bad(
            &[verb, &["--format", "prometheus"]].concat(),
            2,
            "only `annals stat` answers in the format prometheus",
        );
    }
}
