//! `import`: what goes in, what is skipped, what is kept of it where something is wrong.

use std::fmt::Write as _;

use crate::run::Place;

fn lines(numbers: impl IntoIterator<Item = u32>) -> String {
    numbers.into_iter().fold(String::new(), |mut lines, n| {
        writeln!(lines, "{{\"id\":\"e-{n}\",\"type\":\"t\",\"subject\":\"s/{}\",\"data\":{{\"n\":{n}}}}}", n % 7)
            .unwrap();
        lines
    })
}

fn count(place: &Place) -> usize {
    place.good(&["export", "pod"]).lines().count()
}

#[test]
fn plain_and_compressed_input_are_told_apart_by_content() {
    let packed = zstd::encode_all(lines(1..=100).as_bytes(), 3).unwrap();
    for (name, content) in
        [("a.jsonl", lines(1..=100).into_bytes()), ("b.jsonl.zst", packed.clone()), ("c.jsonl", packed)]
    {
        let place = Place::new();
        place.write(name, content);
        let out = place.good(&["import", "pod", name]);
        assert!(out.starts_with("imported 100 events in "), "{out}");
        assert_eq!(count(&place), 100, "{name}");
    }
    let place = Place::new();
    let ended = place.run_with(&["import", "pod", "-"], &lines(1..=100));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.err, "", "no progress where nobody watches");
    assert_eq!(count(&place), 100);
}

#[test]
fn an_import_can_be_resumed_and_repeated() {
    let place = Place::new();
    place.write("in.jsonl", lines(1..=50));
    place.write("more.jsonl", lines(1..=80));
    place.good(&["import", "pod", "in.jsonl", "--batch", "7"]);
    let answer = place.json(&["import", "pod", "more.jsonl", "--durability", "written"]);
    assert_eq!((answer["skipped"].as_u64(), answer["appended"].as_u64()), (Some(50), Some(30)));
    let out = place.good(&["import", "pod", "more.jsonl"]);
    assert!(out.starts_with("imported 0 events in ") && out.contains("skipped 80 that were there"), "{out}");
    assert_eq!(count(&place), 80);
}

#[test]
fn blank_lines_and_a_missing_last_break_are_no_fault() {
    let place = Place::new();
    place.write("in.jsonl", format!("\n{}\n  \r\n{}", lines([1]), lines([2]).trim_end()));
    place.good(&["import", "pod", "in.jsonl"]);
    assert_eq!(count(&place), 2);
    place.write("empty.jsonl", "");
    assert!(place.good(&["import", "pod", "empty.jsonl"]).starts_with("imported 0 events"));
    assert!(place.good(&["import", "new", "empty.jsonl"]).starts_with("imported 0 events"));
    assert!(place.exists("new"));
}

#[test]
fn keep_going_writes_rejects_to_a_file() {
    let place = Place::new();
    let long = "x".repeat(2000);
    place.write(
        "in.jsonl",
        format!(
            "{}nonsense\n{}{{\"type\":\"t\"}}\n{{\"type\":\"t\",\"subject\":\"s/{long}\"}}\n{}",
            lines([1]),
            lines([2]),
            lines([3])
        ),
    );
    let ended = place.run(&["import", "pod", "in.jsonl", "--keep-going"]);
    ended.is_bad(1, "3 lines rejected, in.jsonl.rejects.jsonl");
    assert_eq!(count(&place), 3);
    let rejects = place.read("in.jsonl.rejects.jsonl");
    let rejects: Vec<serde_json::Value> = rejects.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<_> = rejects.iter().map(|reject| reject["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [2, 4, 5]);
    assert_eq!(rejects[0]["text"], "nonsense");
    assert_eq!(rejects[1]["reason"], "`subject` is missing");
    place.write("ok.jsonl", lines([1]));
    place.good(&["import", "good", "ok.jsonl", "--keep-going"]);
    assert!(!place.exists("ok.jsonl.rejects.jsonl"), "no rejects, no file");
}

#[test]
fn damaged_compression_keeps_what_came_before() {
    let place = Place::new();
    let mut packed = zstd::encode_all(lines(1..=20_000).as_bytes(), 3).unwrap();
    packed.truncate(packed.len() / 2);
    place.write("in.jsonl.zst", packed);
    let ended = place.run(&["import", "pod", "in.jsonl.zst"]);
    ended.is_bad(1, "line ");
    assert!(ended.err.contains("cannot be read"), "{ended:?}");
    assert!(count(&place) > 0);
}

#[test]
fn large_data_draws_one_warning_in_all() {
    let place = Place::new();
    let long = "x".repeat(70_000);
    let line = |n| format!("{{\"type\":\"t\",\"subject\":\"s/{n}\",\"data\":\"{long}\"}}\n");
    place.write("in.jsonl", line(1) + &line(2) + &line(3));
    let ended = place.run(&["import", "pod", "in.jsonl", "--batch", "1"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.err.matches("warning:").count(), 1, "{ended:?}");
    assert!(ended.err.contains("3 events with more than 64.0 KiB"), "{ended:?}");
}

#[test]
fn causes_are_mapped_and_those_outside_are_counted() {
    let place = Place::new();
    place.write(
        "in.jsonl",
        "{\"type\":\"t\",\"subject\":\"s/1\",\"sequence\":\"00000000000000000071\"}\n\
         {\"type\":\"t\",\"subject\":\"s/1\",\"sequence\":\"00000000000000000072\",\"causationid\":\"71\"}\n\
         {\"type\":\"t\",\"subject\":\"s/1\",\"sequence\":\"00000000000000000073\",\"causationid\":\"3\"}\n",
    );
    let ended = place.run(&["import", "pod", "in.jsonl"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("note: 1 event caused by something outside"), "{ended:?}");
    assert_eq!(place.json(&["show", "pod", "2"])["causationid"], "1");
}

#[test]
fn kept_times_must_not_run_backwards_nor_follow_other_events() {
    let place = Place::new();
    let line = |n: u32, day: u32| {
        format!(
            "{{\"id\":\"{n}\",\"type\":\"t\",\"subject\":\"s/1\",\"recordedtime\":\"2020-01-{day:02}T00:00:00Z\"}}\n"
        )
    };
    place.write("in.jsonl", line(1, 1) + &line(2, 2));
    place.good(&["import", "pod", "in.jsonl", "--keep-recorded"]);
    assert_eq!(place.json(&["show", "pod", "2"])["recordedtime"], "2020-01-02T00:00:00Z");
    place.write("more.jsonl", line(1, 1) + &line(2, 2) + &line(3, 3));
    place.good(&["import", "pod", "more.jsonl", "--keep-recorded"]);
    place.write("back.jsonl", line(1, 2) + &line(2, 1));
    place.run(&["import", "new", "back.jsonl", "--keep-recorded"]).is_bad(1, "");
    place.pod(&["A"]);
    place.write("other.jsonl", line(9, 1));
    assert_ne!(place.run(&["import", "pod", "other.jsonl", "--keep-recorded"]).code, 0);
}
