//! What bad input gets: an exit code, one line that says what and where, a hint, and nothing changed.

use std::io::Read as _;
use std::process::Stdio;

use crate::run::Place;

const EVENT: &[&str] = &["append", "pod", "--type", "note.created", "--subject", "note/n-1"];

fn event<'a>(more: &[&'a str]) -> Vec<&'a str> {
    EVENT.iter().copied().chain(more.iter().copied()).collect()
}

#[test]
fn a_line_that_is_no_event_ends_the_import_and_keeps_what_came_before() {
    let good = r#"{"id":"1","type":"note.created","subject":"n-1","subject_type":"note","data":{"a":1}}"#;
    for (line, reason) in [
        ("{\"id\":", "line 2: "),
        ("hello", "line 2: "),
        (r#"{"id":"2","subject":"note/n-1"}"#, "line 2: `type` is missing"),
        (r#"{"id":"2","type":"note.created"}"#, "line 2: `subject` is missing"),
        ("[1,2]", "line 2: "),
    ] {
        let place = Place::new();
        place.write("in.jsonl", format!("{good}\n{line}\n{good}\n"));
        let ended = place.run(&["import", "pod", "in.jsonl"]);
        ended.is_bad(1, reason);
        assert!(ended.err.contains("in.jsonl"), "{ended:?}");
        assert_eq!(place.jsonl(&["log", "pod"]).len(), 1, "{line}");
    }
}

#[test]
fn a_line_that_is_too_long_is_refused_without_reading_it_into_memory() {
    let place = Place::new();
    let long = "x".repeat(33 << 20);
    place.write("in.jsonl", format!("{{\"type\":\"a\",\"subject\":\"b/{long}\"}}\n"));
    let ended = place.run(&["import", "pod", "in.jsonl"]);
    ended.is_bad(1, "line 1: it is longer than 32.0 MiB");
    assert!(ended.err.len() < 1000);
}

#[test]
fn a_line_beyond_the_limits_of_an_event_is_named_too() {
    let place = Place::new();
    let good = r#"{"type":"a","subject":"b/c"}"#;
    let long = "x".repeat(2000);
    place.write("in.jsonl", format!("{good}\n{{\"type\":\"a\",\"subject\":\"b/{long}\"}}\n{good}\n"));
    let ended = place.run(&["import", "pod", "in.jsonl"]);
    ended.is_bad(1, "line 2: ");
    assert_eq!(place.jsonl(&["log", "pod"]).len(), 1);
}

#[test]
fn a_wrong_path_is_not_found_and_nothing_is_made() {
    let place = Place::new();
    for verb in [
        &["log", "pod"][..],
        &["export", "pod"],
        &["show", "pod", "1"],
        &["history", "pod", "note/n-1"],
        &["state", "pod", "note/n-1"],
        &["stat", "pod"],
        &["segments", "pod"],
        &["verify", "pod"],
        &["repair", "pod"],
        &["inspect", "pod"],
    ] {
        place.bad(verb, 3, "");
        assert!(!place.exists("pod"), "{verb:?}");
    }
    place.bad(&["import", "pod", "missing.jsonl"], 3, "cannot read missing.jsonl: ");
    assert!(!place.exists("pod"), "the file is opened before the store is made");
    place.bad(&event(&["--data", "@missing.json"]), 3, "cannot read missing.json: ");
    assert!(!place.exists("pod"));
}

#[test]
fn a_directory_that_is_no_store_is_left_alone() {
    let place = Place::new();
    std::fs::create_dir(place.path("pod")).unwrap();
    place.write("pod/letter.txt", "dear");
    for verb in [&["log", "pod"][..], &["stat", "pod"], &["verify", "pod"], &["repair", "pod", "--accept-loss"]] {
        place.bad(verb, 3, "");
    }
    place.bad(EVENT, 3, "");
    place.write("in.jsonl", "{\"type\":\"a\",\"subject\":\"b/c\"}\n");
    place.bad(&["import", "pod", "in.jsonl"], 3, "");
    let files: Vec<_> = std::fs::read_dir(place.path("pod")).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
    place.bad(&["import", "new", "pod"], 2, "pod is a directory");
    assert!(!place.exists("new"));
}

#[test]
fn misuse_of_the_command_line_is_one_line_and_exit_2() {
    let place = Place::new();
    place.pod(&["A"]);
    for (args, message) in [
        (&["log", "pod", "--since", "soon"][..], "invalid value 'soon' for '--since <TIME>': `soon` is no time"),
        (&["log", "pod", "--until", "42"], "invalid value '42' for '--until <TIME>': `42` is no time"),
        (&["log", "pod", "--occurred-since", "2026-13-01"], "invalid value '2026-13-01'"),
        (&["log", "pod", "--after", "first"], "invalid value 'first' for '--after <P>': give a position"),
        (&["log", "pod", "--limit", "-1"], ""),
        (&["log", "pod", "--reverse", "--follow"], "the argument '--reverse' cannot be used with '--follow'"),
        (&["log", "pod", "--nonsense"], "unexpected argument '--nonsense' found"),
        (&["log", "pod", "--format", "xml"], "invalid value 'xml' for '--format <FORMAT>'"),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["log"], "no store was given"),
        (&["show", "17"], "no store was given"),
        (&["show", "pod", "first"], "invalid value 'first'"),
        (&["append", "pod", "--type", "a"], "the following required arguments were not provided: --subject"),
        (&["import", "pod"], "no store was given"),
        (&["import", "pod", "-", "--batch", "0"], "invalid value '0' for '--batch <N>'"),
        (&["import", "pod", "-", "--batch", "65536"], "invalid value '65536' for '--batch <N>'"),
        (&["import", "pod", "-", "--durability", "maybe"], "invalid value 'maybe'"),
        (&["help", "frobnicate"], "no verb is called \"frobnicate\""),
        (&["log", "pod", "--actor", "user:"], "invalid value 'user:' for '--actor <ACTOR>'"),
    ] {
        let ended = place.bad(args, 2, message);
        assert_eq!(ended.err.lines().count(), 2, "{ended:?}");
    }
}

#[test]
fn what_cannot_be_an_event_is_misuse_and_makes_no_store() {
    let place = Place::new();
    for (more, message) in [
        (&["--data", "{\"a\":"][..], "the data is no JSON: "),
        (&["--data", "hello"], "the data is no JSON: "),
        (&["--data", ""], "the data is no JSON: "),
        (&["--data", "{} {}"], "the data is no JSON: "),
        (&["--data", "@"], ""),
        (&["--data", "x", "--content-type", "application/vnd.x+json"], "the data is no JSON: "),
        (&["--content-type", "text/plain"], ""),
        (&["--expect", "some"], "invalid value 'some' for '--expect"),
        (&["--occurred-at", "soon"], "invalid value 'soon'"),
        (&["--actor", ""], ""),
        (&["--caused-by", "x"], "invalid value 'x'"),
    ] {
        place.bad(&event(more), 2, message);
        assert!(!place.exists("pod"), "{more:?}");
    }
    for subject in ["note", "note/", "/n-1", ""] {
        place.bad(&["append", "pod", "--type", "a", "--subject", subject], 2, "");
        assert!(!place.exists("pod"), "{subject:?}");
    }
}

#[test]
fn values_that_only_the_store_can_judge_are_misuse_too() {
    let place = Place::new();
    place.pod(&["A"]);
    place.bad(&["append", "pod", "--type", "", "--subject", "note/n-1"], 2, "");
    place.bad(&["append", "pod", "--type", "a\nb", "--subject", "note/n-1"], 2, "");
    place.bad(&event(&["--id", ""]), 2, "");
    place.bad(&event(&["--caused-by", "99"]), 3, "no event at position 99, pod");
    place.bad(&event(&["--caused-by", "id:nobody"]), 3, "no event has the id \"nobody\", pod");
    place.bad(&["append", "pod", "--type", "annals.table.added", "--subject", "note/n-1"], 7, "");
    assert_eq!(place.jsonl(&["log", "pod"]).len(), 1);
}

#[test]
fn a_condition_that_does_not_hold_says_what_stands_against_it() {
    let place = Place::new();
    place.pod(&["A", "B"]);
    for expected in ["none", "1", "3"] {
        let ended = place.bad(&event(&["--expect", expected]), 4, "");
        assert!(ended.err.contains("note/n-1") && ended.err.contains("pod"), "{ended:?}");
    }
    place.bad(&["append", "pod", "--type", "a", "--subject", "note/n-2", "--expect", "exists"], 4, "");
    place.good(&event(&["--expect", "2"]));
    place.good(&event(&["--expect", "exists"]));
    place.good(&event(&["--key", "k", "--data", "1"]));
    place.bad(&event(&["--key", "k", "--data", "2"]), 4, "the key \"k\" was used at position 5");
    assert_eq!(place.jsonl(&["log", "pod"]).len(), 5);
}

#[test]
fn a_store_that_somebody_writes_is_locked_for_writers_alone() {
    let place = Place::new();
    place.pod(&["A"]);
    let held = annals::Store::open(place.path("pod")).unwrap();
    let began = std::time::Instant::now();
    let ended = place.bad(EVENT, 6, "");
    assert!(began.elapsed().as_secs() >= 2, "it waits for two seconds");
    let holder = std::process::id().to_string();
    assert!(ended.err.contains(&holder), "the holder is named: {ended:?}");
    place.write("in.jsonl", "{\"type\":\"a\",\"subject\":\"b/c\"}\n");
    place.bad(&["import", "pod", "in.jsonl"], 6, "");
    place.bad(&["repair", "pod", "--accept-loss"], 6, "");
    for verb in ["log", "export", "stat", "segments", "verify"] {
        place.good(&[verb, "pod"]);
    }
    held.close().unwrap();
    place.good(EVENT);
}

#[test]
fn what_is_not_there_is_not_found() {
    let place = Place::new();
    place.pod(&["A"]);
    place.bad(&["show", "pod", "2"], 3, "no event at position 2, pod");
    place.bad(&["show", "pod", "0"], 3, "no event at position 0, pod");
    place.bad(&["show", "pod", "id:nobody"], 3, "no event has the id \"nobody\", pod");
    place.bad(&["log", "pod", "--after", "id:nobody"], 3, "no event has the id \"nobody\", pod");
    place.bad(&["history", "pod", "note/n-2"], 3, "no event is about \"note/n-2\", pod");
}

#[test]
fn a_closed_pipe_ends_a_verb_quietly() {
    let place = Place::new();
    let lines: String =
        (0..5000).map(|n| format!("{{\"type\":\"a\",\"subject\":\"b/{n}\",\"data\":{{\"n\":{n}}}}}\n")).collect();
    place.write("in.jsonl", lines);
    place.good(&["import", "pod", "in.jsonl"]);
    for args in
        [&["export", "pod"][..], &["log", "pod"], &["log", "pod", "--follow"], &["log", "pod", "--format", "json"]]
    {
        let mut child = place.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0; 10]).unwrap();
        drop(out);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}

#[test]
fn nothing_of_an_event_commands_the_terminal() {
    let place = Place::new();
    place.good(&[
        "append",
        "pod",
        "--type",
        "t",
        "--subject",
        "s/1",
        "--data",
        "\u{1b}[31mred\u{7}",
        "--content-type",
        "text/plain",
    ]);
    for args in [&["log", "pod"][..], &["show", "pod", "1"]] {
        let out = place.good(args);
        assert!(!out.contains('\u{1b}') && !out.contains('\u{7}'), "{out:?}");
        assert!(out.contains("\\u{1b}[31mred"), "{out:?}");
    }
}
