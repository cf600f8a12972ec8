//! Heads and receipts: what is proven is said, and what is not is exit 5 with what differs.

use std::fs;

use serde_json::{Value, json};

use crate::run::Place;

/// A store of two notes, and its head in `head`.
fn place() -> Place {
    let place = Place::new();
    place.pod(&["A", "B", "C"]);
    let head = place.good(&["verify", "pod", "--head"]);
    place.write("head", head);
    place
}

fn copy(place: &Place, from: &str, to: &str) {
    fs::create_dir_all(place.path(to).join("log")).unwrap();
    for part in ["", "log"] {
        for entry in fs::read_dir(place.path(from).join(part)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), place.path(to).join(part).join(entry.file_name())).unwrap();
            }
        }
    }
}

#[test]
fn a_head_is_one_line_and_holds_while_the_log_grows() {
    let place = place();
    let head = place.read("head");
    let words: Vec<&str> = head.split(' ').collect();
    assert_eq!((&words[..2], words[3], head.lines().count()), (&["annals-head", "1"][..], "3", 1));
    let verified = place.json(&["verify", "pod", "--against", "head"]);
    assert_eq!(verified["head"], head.trim_end());
    assert_eq!((&verified["root"], &verified["same_as_head"]), (&words[4].trim_end().into(), &true.into()));
    assert_eq!(place.json(&["verify", "pod"])["same_as_head"], Value::Null);

    place.pod(&["D"]);
    let out = place.good(&["verify", "pod", "--against", "head"]);
    assert!(out.contains("pod is good") && out.contains("the first 3 events are those that the head names"), "{out}");
    let ended = place.run_with(&["verify", "pod", "--against", "-"], &head);
    assert_eq!(ended.code, 0, "{ended:?}");
    // One run proves the old head and prints the next one.
    let ended = place.run(&["verify", "pod", "--against", "head", "--head"]);
    assert!(ended.code == 0 && ended.out.lines().count() == 1 && ended.out.contains(" 4 "), "{ended:?}");
    assert_eq!(ended.err, "note: the first 3 events are those that the head names\n");
}

#[test]
fn another_history_is_named_for_what_it_is() {
    let place = place();
    // An older copy of the whole directory, in which nothing is wrong.
    copy(&place, "pod", "older");
    place.pod(&["D"]);
    place.write("later", place.good(&["verify", "pod", "--head"]));
    place.good(&["verify", "older"]);
    let against = |store: &str, message: &str| {
        let ended = place.run(&["verify", store, "--against", "later"]);
        ended.is_bad(5, message);
        assert!(ended.err.contains("\nhint: ") && !ended.out.contains(" is good"), "{ended:?}");
        place.bad(&["verify", store, "--against", "later", "--head"], 5, message);
        place.bad(&["receipt", store, "1", "--head", "later"], 5, message);
    };
    against("older", "fewer events than the head names: 3 of 4, older");

    // The same events but the last.
    place.good(&["append", "older", "--type", "note.edited", "--subject", "note/n-1", "--data", "{}"]);
    against("older", "other events in positions 1 to 4 than the head names: ");

    // The same events, exported and imported: another log.
    place.write("all.jsonl", place.good(&["export", "pod"]));
    place.good(&["import", "copy", "all.jsonl", "--keep-recorded"]);
    assert_eq!(place.json(&["log", "copy"])[3]["data"], place.json(&["log", "pod"])[3]["data"]);
    against("copy", "another log: the head is of log ");
}

#[test]
fn damage_comes_before_any_head() {
    let place = place();
    let file = place.json(&["segments", "pod"])[0]["file"].as_str().unwrap().to_owned();
    let path = place.path("pod").join(file);
    let mut bytes = fs::read(&path).unwrap();
    bytes[12_288 + 150] ^= 1;
    fs::write(&path, bytes).unwrap();
    for args in [&["verify", "pod", "--head"][..], &["verify", "pod", "--against", "head"]] {
        let ended = place.run(args);
        ended.is_bad(5, "1 damaged place, pod");
        assert!(!ended.out.contains("annals-head"), "{ended:?}");
    }
}

#[test]
fn what_is_no_head_is_refused() {
    let place = place();
    place.write("bad", "annals-head 1 00 3 00\n");
    place.write("newer", place.read("head").replacen(" 1 ", " 2 ", 1));
    place.write("large", vec![b'a'; 1 << 20]);
    place.write("receipt", place.good(&["receipt", "pod", "1"]));
    for args in
        [&["verify", "pod", "--against"][..], &["receipt", "pod", "1", "--head"], &["check", "receipt", "--head"]]
    {
        let with = |file: &'static str| [args, &[file]].concat();
        place.bad(&with("nowhere"), 3, "cannot read nowhere: ");
        place.bad(&with("pod"), 2, "pod is a directory, not a head");
        place.bad(&with("bad"), 1, "no head: the log's id is not 32 hexadecimal digits, bad");
        place.bad(&with("newer"), 1, "a head of version 2, newer");
        place.bad(&with("large"), 1, "too large to be a head, large");
        place.bad(&with("receipt"), 1, "no head: ");
        place.bad(args, 2, "");
    }
}

#[test]
fn a_receipt_proves_its_event_without_the_store() {
    let place = place();
    place.write("receipt", place.good(&["receipt", "pod", "2"]));
    fs::rename(place.path("pod"), place.path("gone")).unwrap();
    let out = place.good(&["check", "receipt", "--head", "head"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert!(lines[0].starts_with("proven: position 2 of 3 events of log "), "{out}");
    assert!(lines[1].starts_with("note/n-1 version 2, note.edited, recorded 2"), "{out}");
    assert!(lines[1].ends_with(", 15 B of data that match their digest"), "{out}");
    let answer = place.json(&["check", "receipt", "--head", "head"]);
    assert_eq!((&answer["good"], &answer["event"]["data"]), (&true.into(), &json!({"content": "B"})));
    let ended = place.run_with(&["check", "-", "--head", "head"], &place.read("receipt"));
    assert_eq!(ended.code, 0, "{ended:?}");
    place.bad(&["check", "-", "--head", "-"], 2, "receipt and head cannot both come from standard input");
    place.bad(&["check", "receipt"], 2, "");
    place.bad(&["check", "nowhere", "--head", "head"], 3, "cannot read nowhere: ");
    place.bad(&["check", "head", "--head", "head"], 1, "no receipt: ");
}

#[test]
fn a_receipt_and_a_head_are_of_one_size() {
    let place = place();
    place.pod(&["D"]);
    place.write("2.json", place.good(&["receipt", "pod", "2"]));
    let ended = place.bad(
        &["check", "2.json", "--head", "head"],
        1,
        "the receipt is for the first 4 events, the head for 3, 2.json",
    );
    assert!(ended.err.contains("annals receipt STORE POSITION --head FILE"), "{ended:?}");
    place.write("2.json", place.good(&["receipt", "pod", "2", "--head", "head", "--format", "jsonl"]));
    assert_eq!(place.read("2.json").lines().count(), 1);
    place.good(&["check", "2.json", "--head", "head"]);
    let ended =
        place.bad(&["receipt", "pod", "4", "--head", "head"], 3, "no event at position 4 among the first 3, pod");
    assert!(ended.err.contains("the head is older than the event"), "{ended:?}");
    place.bad(&["receipt", "pod", "5"], 3, "no event at position 5, pod");
    place.bad(&["receipt", "pod", "0"], 3, "no event at position 0, pod");
    place.bad(&["receipt", "nothing", "1"], 3, "");
}

#[test]
fn a_forged_receipt_proves_nothing() {
    let place = place();
    let wire = |position: &str| -> Value { serde_json::from_str(&place.good(&["receipt", "pod", position])).unwrap() };
    let (good, other) = (wire("2"), wire("3"));
    let refused = |member: &str, value: Value, message: &str| {
        let mut forged = good.clone();
        *forged.pointer_mut(member).unwrap() = value;
        place.write("forged", forged.to_string());
        place.bad(&["check", "forged", "--head", "head"], 5, &format!("the receipt proves nothing: {message}"));
    };
    refused("/log", json!("00".repeat(16)), "it is of log 0000");
    refused("/root", json!("00".repeat(32)), "its root is not that of the head");
    refused("/position", json!(3), "it is about position 3, its metadata about 2");
    refused("/metadata", json!("00"), "byte 0 of its metadata is not one of an event");
    refused("/metadata", other["metadata"].clone(), "it is about position 2, its metadata about 3");
    let metadata = good["metadata"].as_str().unwrap();
    for place in [16, 40, 100, metadata.len() - 1] {
        let mut digits = metadata.to_owned().into_bytes();
        digits[place] = if digits[place] == b'0' { b'1' } else { b'0' };
        let digits = String::from_utf8(digits).unwrap();
        refused("/metadata", digits.into(), "metadata and path do not lead to the root");
    }
    refused("/path", json!([]), "metadata and path do not lead to the root");
    refused("/path", other["path"].clone(), "metadata and path do not lead to the root");
    refused("/path/0", json!("11".repeat(32)), "metadata and path do not lead to the root");
    refused("/event/data", json!({"content": "X"}), "the data of its event is not what was recorded");
    refused("/event", json!({"type": "a"}), "its event is none: ");
    for (name, value) in [
        ("id", "mine"),
        ("source", "urn:mine"),
        ("type", "note.deleted"),
        ("subject", "note/n-2"),
        ("time", "2020-01-01T00:00:00Z"),
        ("recordedtime", "2020-01-01T00:00:00Z"),
        ("sequence", "00000000000000000009"),
        ("datacontenttype", "text/json"),
    ] {
        refused(&format!("/event/{name}"), value.into(), &format!("`{name}` of its event is not what was recorded"));
    }
    let mut forged = good.clone();
    forged["event"]["authid"] = "mallory".into();
    place.write("forged", forged.to_string());
    let message = "the receipt proves nothing: `authid` of its event is not what was recorded";
    place.bad(&["check", "forged", "--head", "head"], 5, message);
    forged = good.clone();
    forged["event"].as_object_mut().unwrap().remove("recordedtime");
    place.write("forged", forged.to_string());
    let message = "the receipt proves nothing: `recordedtime` of its event is not what was recorded";
    place.bad(&["check", "forged", "--head", "head"], 5, message);
    forged = good.clone();
    forged["comment"] = "trust me".into();
    place.write("forged", forged.to_string());
    place.bad(&["check", "forged", "--head", "head"], 1, "no receipt: unknown field `comment`");
}
