//! Requests and answers: what is asked for, shown, decided, and the exit code that tells a script.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::run::{Ended, Place};

/// A store with a table `notes` that has rules, and a note of alice.
pub(crate) fn pod() -> Place {
    let place = Place::new();
    place.good(&["tables", "pod", "add", "notes", "--rules", "notes", "--actor", "user:alice"]);
    let out = place.good(&[
        "request",
        "pod",
        "create",
        "notes",
        "n-1",
        "--data",
        r#"{"content":"A"}"#,
        "--actor",
        "user:alice",
    ]);
    assert_eq!(out, "request 2 of note/n-1: validated at position 4\n");
    place
}

impl Place {
    /// Asks for another content of the note, as an agent that acts for alice.
    pub(crate) fn wish(&self, content: &str) -> Value {
        let data = json!({ "content": content }).to_string();
        let args = ["request", "pod", "update", "notes", "n-1", "--data", &data];
        let who = ["--actor", "agent:scribe", "--on-behalf-of", "alice", "--format", "json"];
        self.coded(&[&args[..], &who].concat(), 8)
    }

    /// The JSON that a command answers with, and its exit code.
    #[track_caller]
    pub(crate) fn coded(&self, args: &[&str], code: i32) -> Value {
        let ended = self.run(args);
        assert_eq!((ended.code, ended.err.as_str()), (code, ""), "{args:?}: {ended:?}");
        serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{args:?}: {error}: {ended:?}"))
    }

    /// The digest of what a person is asked.
    pub(crate) fn digest(&self, request: u64) -> String {
        let waiting = self.jsonl(&["requests", "pod", "--pending"]);
        let asked = waiting.iter().find(|asked| asked["request"] == request).unwrap();
        asked["digest"].as_str().unwrap().to_owned()
    }

    pub(crate) fn content(&self) -> Value {
        self.json(&["state", "pod", "note/n-1"])["state"]["content"].clone()
    }
}

#[test]
fn a_request_tells_its_number_its_subject_and_its_outcome() {
    let place = pod();
    let args = ["request", "pod", "update", "notes", "n-1", "--data", r#"{"content":"B"}"#, "--actor", "user:alice"];
    let made = place.json(&[&args[..], &["--key", "k"]].concat());
    let mut expected =
        json!({"request": 5, "subject": "note/n-1", "position": 7, "outcome": "validated", "duplicate": false});
    assert_eq!(made, expected);
    expected["duplicate"] = json!(true);
    assert_eq!(place.json(&[&args[..], &["--key", "k"]].concat()), expected);
    place.bad(&[&args[..6], &[r#"{"content":"C"}"#, "--actor", "user:alice", "--key", "k"]].concat(), 4, "the key");
    let line = place.good(&[&args[..], &["--format", "jsonl"]].concat());
    assert_eq!(line.lines().count(), 1);
    let out = place.good(&["request", "pod", "delete", "notes", "n-1", "--actor", "user:alice"]);
    assert_eq!(out, "request 11 of note/n-1: validated at position 13\n");
    let made = place.json(&["request", "pod", "create", "notes", "--data", "{}", "--actor", "user:alice"]);
    let id = made["subject"].as_str().unwrap().strip_prefix("note/").unwrap();
    assert_eq!(id.len(), 36, "a UUID is generated: {made}");
}

#[test]
fn every_flag_of_a_request_is_found_again() {
    let place = pod();
    place.write("b.json", "{\"content\": \"B\"}\n");
    let ended = place.run(&[
        "request",
        "pod",
        "update",
        "notes",
        "n-1",
        "--data",
        "@b.json",
        "--actor",
        "agent:scribe",
        "--on-behalf-of",
        "user:alice",
        "--source",
        "desk",
        "--tag",
        "x",
        "--tag",
        "y",
        "--correlation",
        "c-1",
        "--if-version",
        "1",
        "--answer-by",
        "2h",
        "--execute-by",
        "2200-01-01",
    ]);
    assert_eq!(ended.code, 8, "{ended:?}");
    assert!(ended.out.starts_with("request 5 of note/n-1: asked, user:alice is to answer\n"), "{ended:?}");
    let event = place.json(&["show", "pod", "5"]);
    for (name, value) in [
        ("type", json!("notes.update.requested")),
        ("authid", json!("scribe")),
        ("onbehalfof", json!("alice")),
        ("source", json!("desk")),
        ("tags", json!(["x", "y"])),
        ("correlationid", json!("c-1")),
        ("annals.execute_by", json!("2200-01-01T00:00:00Z")),
        ("annals.if_version", json!("1")),
        ("data", json!({"content": "B"})),
    ] {
        assert_eq!(event[name], value, "{name}: {event}");
    }
    let wrong =
        ["request", "pod", "update", "notes", "n-1", "--data", "-", "--actor", "user:alice", "--if-version", "7"];
    let ended = place.run_with(&wrong, "{\"content\": \"C\"}");
    ended.is_bad(4, "note/n-1 has to be at version 7, but it is at version 1");
}

#[test]
fn the_exit_code_tells_what_became_of_a_request() {
    let place = pod();
    let update = |content: &str, by: &'static str, code: i32| {
        let data = json!({ "content": content }).to_string();
        place.coded(
            &["request", "pod", "update", "notes", "n-1", "--data", &data, "--actor", by, "--format", "json"],
            code,
        )
    };
    assert_eq!(update("B", "user:alice", 0)["outcome"], "validated");
    let rejected = update("C", "user:bob", 7);
    assert_eq!((&rejected["outcome"], &rejected["by"]), (&json!("rejected"), &json!("rule default/not-theirs")));
    assert_eq!(rejected["reason"], "note/n-1 is alice's and in no workspace");
    let failed = update(&"x".repeat(10_001), "user:alice", 1);
    assert_eq!(failed["outcome"], "failed", "{failed}");
    let asked = update("D", "agent:scribe", 8);
    assert_eq!((&asked["outcome"], &asked["state"]), (&json!("pending"), &json!("asked")));
    let over =
        ["request", "pod", "delete", "notes", "n-1", "--actor", "agent:scribe", "--format", "json", "--answer-by"];
    let expired = place.coded(&[&over[..], &["-1h"]].concat(), 4);
    assert_eq!(expired["outcome"], "expired", "{expired}");
    // A change of the subject makes stale what was asked about it.
    update("E", "user:alice", 0);
    let number = asked["request"].to_string();
    let ended = place.run(&["approve", "pod", &number, "--seen", "x", "--actor", "user:alice"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(place.content() == "E");
}

#[test]
fn what_is_asked_for_in_the_wrong_way_is_misuse() {
    let place = pod();
    let tail = place.jsonl(&["log", "pod"]).len();
    let user = ["--actor", "user:alice"];
    let data = ["--data", "{}"];
    for (args, code, message) in [
        (vec!["request", "pod", "create", "nots", "--data", "{}"], 2, "no table is called \"nots\", pod"),
        (vec!["request", "pod", "create", "note", "--data", "{}"], 2, "no table is called \"note\", pod"),
        (vec!["request", "pod", "change", "notes", "n-1"], 2, "\"change\" is none of create, update and delete"),
        (vec!["request", "pod"], 2, "nothing is asked for"),
        (vec!["request", "pod", "update"], 2, "update needs a table"),
        (vec!["request", "pod", "update", "notes", "--data", "{}"], 2, "update needs the id of a row of notes"),
        (vec!["request", "pod", "delete", "notes"], 2, "delete needs the id of a row of notes"),
        (vec!["request", "pod", "delete", "notes", "n-1", "--data", "{}"], 2, "a delete takes no data"),
        (vec!["request", "pod", "create", "notes"], 2, "create needs the data of the row, --data"),
        (vec!["request", "pod", "create", "notes", "--data", "[1]"], 2, "the data is no JSON object"),
        (vec!["request", "pod", "create", "notes", "--data", "{"], 2, "the data is no JSON object"),
        (vec!["request", "pod", "create", "notes", "--data", "@none.json"], 3, "cannot read none.json"),
        (vec!["request", "nopod", "update", "notes", "n-1", "--data", "{}"], 3, "there is no store at nopod"),
        (vec!["request", "nopod", "create", "nots", "--data", "{}"], 2, "no table is called \"nots\", nopod"),
    ] {
        let ended = place.bad(&[&args[..], &user].concat(), code, message);
        assert!(ended.err.contains("\nhint: ") || code == 3, "{ended:?}");
    }
    place.bad(
        &[&["request", "pod", "update", "notes", "n-1"][..], &data].concat(),
        2,
        "nobody does it: a request needs",
    );
    place.bad(&["request", "pod", "update", "notes", "n-1", "--data", "{}", "--actor", "user:"], 2, "invalid value");
    place.bad(&["request", "pod", "update", "notes", "n-1", "--answer-by", "soon"], 2, "invalid value 'soon'");
    assert!(!place.exists("nopod"), "nothing is made in order to be refused");
    assert_eq!(place.jsonl(&["log", "pod"]).len(), tail, "nothing was written");
}

#[test]
fn a_first_request_makes_the_store() {
    let place = Place::new();
    let made =
        place.json(&["request", "new", "create", "tags", "t-1", "--data", "{\"name\":\"x\"}", "--actor", "user:alice"]);
    assert_eq!((&made["request"], &made["subject"]), (&json!(1), &json!("tag/t-1")));
}

#[test]
fn who_answers_is_shown_what_would_change_and_the_command_that_approves_it() {
    let place = pod();
    assert_eq!(place.good(&["requests", "pod", "--pending"]), "nothing waits\n");
    assert_eq!(place.good(&["requests", "pod", "--for", "alice"]), "nothing waits for user:alice\n");
    place.wish("B");
    let waiting = place.jsonl(&["requests", "pod", "--pending"]);
    assert_eq!(waiting.len(), 1);
    let asked = &waiting[0];
    for (name, value) in [
        ("request", json!(5)),
        ("position", json!(6)),
        ("type", json!("notes.update.requested")),
        ("subject", json!("note/n-1")),
        ("actor", json!("agent:scribe")),
        ("on_behalf_of", json!("alice")),
        ("change", json!({"content": "B"})),
        ("asked_because", json!("an agent wants it, and no grant covers it")),
        ("whom", json!(["user:alice"])),
        ("answer_by", Value::Null),
    ] {
        assert_eq!(asked[name], value, "{name}: {asked}");
    }
    let digest = asked["digest"].as_str().unwrap();
    let out = place.good(&["requests", "pod", "--for", "user:alice"]);
    assert!(out.contains("request 5: change note/n-1\n") && out.contains("agent:scribe for alice, "), "{out}");
    assert!(out.contains("  content\n  - \"A\"\n  + \"B\"\n"), "{out}");
    let command = format!("annals approve pod 5 --actor user:alice --seen {digest}\n");
    assert!(out.ends_with(&command), "{out}");
    assert_eq!(place.good(&["requests", "pod", "--for", "user:bob"]), "nothing waits for user:bob\n");
    assert!(place.jsonl(&["requests", "pod", "--for", "agent:alice"]).is_empty());
    // The command is there to be copied.
    let args: Vec<&str> = command.trim_end().split(' ').skip(1).collect();
    assert_eq!(place.good(&args), "request 5: validated at position 8\n");
    assert_eq!(place.content(), "B");
    assert_eq!(place.good(&["requests", "pod", "--pending"]), "nothing waits\n");
}

#[test]
fn all_requests_are_listed_with_what_became_of_them_newest_last() {
    let place = pod();
    for content in ["B", "C", "D"] {
        place.wish(content);
    }
    place.good(&["reject", "pod", "5", "--actor", "user:alice", "--reason", "no\nB"]);
    place.good(&["withdraw", "pod", "7", "--actor", "agent:scribe"]);
    let all = place.jsonl(&["requests", "pod"]);
    let told: Vec<_> =
        all.iter().map(|entry| (entry["request"].as_u64().unwrap(), entry["outcome"].as_str().unwrap())).collect();
    assert_eq!(told, [(2, "validated"), (5, "rejected"), (7, "withdrawn"), (9, "pending")]);
    assert_eq!((&all[0]["position"], &all[1]["by"]), (&json!(4), &json!("user:alice")));
    assert_eq!(all[1]["reason"], "no\\nB", "a reason is one line");
    let json = place.json(&["requests", "pod"]);
    assert_eq!(json.as_array().unwrap(), &all);
    let numbers = |args: &[&str]| -> Vec<u64> {
        place.jsonl(args).iter().map(|entry| entry["request"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(&["requests", "pod", "--limit", "2"]), [7, 9]);
    assert_eq!(numbers(&["requests", "pod", "--after", "5"]), [7, 9]);
    assert_eq!(numbers(&["requests", "pod", "--pending", "--limit", "1"]), [9]);
    let out = place.good(&["requests", "pod"]);
    let at = |text: &str| out.find(text).unwrap_or_else(|| panic!("{text}: {out}"));
    assert!(at("validated at position 4") < at("withdrawn") && at("withdrawn") < at("request 9: change"), "{out}");
    let ended = place.run(&["requests", "pod", "--limit", "1"]);
    assert!(ended.err.starts_with("note: older ones are left out"), "{ended:?}");
}

#[test]
fn an_approval_names_what_was_seen() {
    let place = pod();
    place.wish("B");
    let digest = place.digest(5);
    let args = ["approve", "pod", "5", "--actor", "user:alice"];
    let ended = place.bad(&args, 2, "an approval names the digest of what was seen, --seen");
    assert!(ended.err.contains("hint: `annals requests pod`"), "{ended:?}");
    place.bad(&[&args[..], &["--seen", "0"]].concat(), 4, "request 5 is not what was seen");
    place.bad(&["approve", "pod", "5", "--seen", &digest], 2, "nobody does it: an approval needs an actor");
    place.bad(&["approve", "pod", "5", "--seen", &digest, "--actor", "user:bob"], 7, "user:bob may not approve");
    place.bad(&["approve", "pod", "5", "--seen", &digest, "--actor", "agent:scribe"], 7, "agent:scribe may not");
    place.bad(&["approve", "pod", "2", "--seen", &digest, "--actor", "user:alice"], 7, "user:alice may not");
    place.bad(&["approve", "pod", "99", "--seen", &digest, "--actor", "user:alice"], 3, "no request has the number 99");
    place.bad(&["approve", "pod", "0", "--seen", &digest, "--actor", "user:alice"], 2, "invalid value '0'");
    place.bad(&["approve", "nopod", "5", "--seen", &digest, "--actor", "user:alice"], 3, "there is no store at nopod");
    assert_eq!(place.content(), "A");
    let seen = [&args[..], &["--seen", &digest]].concat();
    let done = place.json(&[&seen[..], &["--reason", "fine"]].concat());
    assert_eq!(done["outcome"], "validated");
    let ended = place.bad(&seen, 4, "request 5 is decided already: approved by user:alice");
    assert!(ended.err.contains("hint: `annals trace pod 5`"), "{ended:?}");
    assert_eq!(place.content(), "B");
}

#[test]
fn a_rejection_says_why_and_is_final() {
    let place = pod();
    place.wish("B");
    let args = ["reject", "pod", "5", "--actor", "user:alice", "--reason", "not like this"];
    assert_eq!(place.good(&args), "request 5: rejected by user:alice: not like this\n");
    place.bad(&args, 4, "request 5 is decided already: rejected by user:alice");
    place.bad(&["reject", "pod", "5"], 2, "nobody does it: a rejection needs an actor");
    place.bad(&["reject", "pod", "77", "--actor", "user:alice"], 3, "no request has the number 77");
    assert_eq!(place.content(), "A");
}

#[test]
fn who_asked_takes_it_back_or_asks_for_something_else() {
    let mut place = pod();
    place.wish("B");
    place.bad(&["withdraw", "pod", "5", "--actor", "user:bob"], 7, "user:bob may not withdraw");
    place.bad(&["amend", "pod", "5", "--actor", "user:alice"], 2, "the following required arguments");
    place.bad(&["amend", "pod", "5", "--data", "7", "--actor", "user:alice"], 2, "the data is no JSON object");
    // A decider's edit: theirs takes the place of what was asked for.
    let args = ["amend", "pod", "5", "--data", r#"{"content":"B!"}"#, "--actor", "user:alice", "--format", "json"];
    let amended = place.coded(&args, 0);
    assert_eq!((&amended["request"], &amended["outcome"]), (&json!(5), &json!("rejected")), "{amended}");
    assert_eq!(amended["successor"]["outcome"], "validated", "{amended}");
    assert_eq!(place.content(), "B!");
    place.wish("C");
    place.set("ANNALS_ACTOR", "agent:scribe");
    let waiting = place.jsonl(&["requests", "pod", "--pending"])[0]["request"].to_string();
    let args = ["amend", "pod", &waiting, "--data", r#"{"content":"D"}"#];
    let ended = place.run(&args);
    assert_eq!(ended.code, 8, "{ended:?}");
    assert!(ended.out.starts_with(&format!("request {waiting}: withdrawn\nrequest ")), "{ended:?}");
    let waiting = place.jsonl(&["requests", "pod", "--pending"])[0]["request"].to_string();
    let told = place.good(&["withdraw", "pod", &waiting]);
    assert_eq!(told, format!("request {waiting}: withdrawn\n"));
}

#[test]
fn a_change_is_undone_unless_it_was_changed_since() {
    let place = pod();
    let update = ["request", "pod", "update", "notes", "n-1", "--actor", "user:alice", "--data"];
    place.good(&[&update[..], &[r#"{"content":"B"}"#]].concat());
    let undone = place.json(&["undo", "pod", "5", "--actor", "user:alice"]);
    assert_eq!((&undone["outcome"], place.content()), (&json!("validated"), json!("A")));
    place.good(&[&update[..], &[r#"{"content":"C"}"#]].concat());
    let ended =
        place.bad(&["undo", "pod", "8", "--actor", "user:alice"], 4, "request 8 cannot be undone: note/n-1 content");
    assert!(ended.err.contains("user:alice"), "it says by whom: {ended:?}");
    place.bad(&["undo", "pod", "8"], 2, "nobody does it");
    place.bad(&["undo", "pod", "3", "--actor", "user:alice"], 3, "no request has the number 3");
}

#[test]
fn a_requests_life_and_its_reasons_are_told() {
    let place = pod();
    place.wish("B");
    place.run(&["reject", "pod", "5", "--actor", "user:bob"]);
    let digest = place.digest(5);
    place.good(&["approve", "pod", "5", "--actor", "user:alice", "--seen", &digest, "--reason", "fine"]);
    let out = place.good(&["trace", "pod", "5"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..3], ["request 5: notes.update of note/n-1", "validated at position 9", ""]);
    for (line, words) in lines[5..].iter().zip([
        &["5", "requested", "agent:scribe for alice"][..],
        &["6", "    asked", "system:flow", "an agent wants it, and no grant covers it"],
        &["7", "    annals.flow.denied", "user:bob"],
        &["8", "    approved", "user:alice", "fine"],
        &["9", "    validated", "agent:scribe for alice"],
    ]) {
        assert!(words.iter().all(|word| line.contains(word)), "{words:?}: {line:?}");
    }
    let json = place.json(&["trace", "pod", "5"]);
    assert_eq!((&json["request"], &json["outcome"], &json["cut"]), (&json!(5), &json!("validated"), &json!(false)));
    assert_eq!(json["events"].as_array().unwrap().len(), 5);
    assert_eq!(place.jsonl(&["trace", "pod", "5"]).len(), 5);
    let out = place.good(&["explain", "pod", "5"]);
    assert!(out.contains("The rule default/agent left it to a person: an agent wants it"), "{out}");
    assert!(out.contains("user:alice approved it: fine. The rule default/own lets them"), "{out}");
    let json = place.json(&["explain", "pod", "5"]);
    assert_eq!(json["decisions"][1]["by"], "user:alice", "{json}");
    for verb in ["trace", "explain"] {
        place.bad(&[verb, "pod", "3"], 3, "no request has the number 3");
        place.bad(&[verb, "pod", "99"], 3, "no request has the number 99");
        place.bad(&[verb, "nopod", "1"], 3, "there is no store at nopod");
        place.bad(&[verb, "pod", "x"], 2, "invalid value 'x'");
    }
}

#[test]
fn the_environment_stands_in_for_store_and_actor() {
    let mut place = pod();
    place.set("ANNALS_STORE", "pod");
    place.set("ANNALS_ACTOR", "user:alice");
    place.good(&["request", "update", "notes", "n-1", "--data", r#"{"content":"B"}"#]);
    assert_eq!(place.content(), "B");
    place.good(&["undo", "5"]);
    place.good(&["trace", "5"]);
    place.good(&["explain", "5"]);
    assert_eq!(place.jsonl(&["requests"]).len(), 3);
    place.good(&["grant", "add", "agent:scribe", "--action", "notes.*", "--subject", "note/*"]);
    let grant = place.jsonl(&["grants"])[0]["id"].to_string();
    place.good(&["revoke", &grant]);
    place.bad(&["request", "update", "notes"], 2, "update needs the id");
}

#[test]
fn whoever_waits_is_told_as_soon_as_somebody_has_answered() {
    let place = pod();
    let data = r#"{"content":"B"}"#;
    let args = ["request", "pod", "update", "notes", "n-1", "--data", data, "--actor", "agent:scribe", "--wait"];
    let began = std::time::Instant::now();
    let ended = place.run(&[&args[..], &["50ms"]].concat());
    assert_eq!(ended.code, 8, "{ended:?}");
    assert!(began.elapsed() >= Duration::from_millis(50));
    let mut command = place.command(&[&args[..], &["60s", "--format", "json"]].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let asked = || place.jsonl(&["requests", "pod", "--pending"]);
    while asked().len() < 2 {
        assert!(began.elapsed() < Duration::from_secs(60));
    }
    let asked = asked()[1].clone();
    let (number, digest) = (asked["request"].to_string(), asked["digest"].as_str().unwrap().to_owned());
    place.good(&["approve", "pod", &number, "--actor", "user:alice", "--seen", &digest]);
    let ended = Ended::of(&child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&told["outcome"], &told["request"]), (&json!("validated"), &asked["request"]));
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_store_that_another_process_writes_is_waited_for_and_who_holds_it_is_told() {
    let place = pod();
    place.wish("B");
    let digest = place.digest(5);
    let held = annals::Store::open(place.path("pod")).unwrap();
    let approve = ["approve", "pod", "5", "--actor", "user:alice", "--seen", &digest];
    let began = std::time::Instant::now();
    let ended = place.bad(&approve, 6, "");
    assert!(began.elapsed() >= Duration::from_secs(2), "it waits for two seconds");
    assert!(ended.err.contains(&std::process::id().to_string()), "the holder is named: {ended:?}");
    let request = ["request", "pod", "delete", "notes", "n-1", "--actor", "user:alice"];
    place.bad(&request, 6, "");
    // Whoever reads is held up by nobody.
    assert_eq!(place.jsonl(&["requests", "pod", "--pending"]).len(), 1);
    place.good(&["trace", "pod", "5"]);
    place.good(&["explain", "pod", "5"]);
    place.good(&["capabilities", "pod"]);
    let waits = place.command(&approve).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    held.close().unwrap();
    let ended = Ended::of(&waits.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.out.as_str()), (0, "request 5: validated at position 8\n"), "{ended:?}");
}

#[cfg(unix)]
#[test]
fn a_running_application_answers_for_its_store_and_by_its_own_rules() {
    let place = Place::new();
    let store = annals::Store::open(place.path("pod")).unwrap();
    let flow = annals::Flow::builder(&store).table("notes", annals::NoteRules).start().unwrap();
    let request = ["request", "pod", "create", "notes", "n-1", "--data", r#"{"content":"A"}"#, "--actor", "user:alice"];
    let began = std::time::Instant::now();
    assert_eq!(place.json(&request)["outcome"], "validated");
    assert_eq!(place.coded(&[&request[..], &["--format", "json"]].concat(), 1)["reason"], "note/n-1 is there already");
    place.bad(&[&request[..], &["--if-version", "9"]].concat(), 4, "note/n-1 has to be at version 9");
    let wish = place.wish("B");
    let number = wish["request"].as_u64().unwrap();
    let digest = place.digest(number);
    let number = number.to_string();
    let approve = ["approve", "pod", &number, "--seen", &digest, "--actor"];
    place.bad(&[&approve[..], &["user:bob"]].concat(), 7, "user:bob may not approve");
    place.good(&[&approve[..], &["user:alice"]].concat());
    let ended = place.bad(&[&approve[..], &["user:alice"]].concat(), 4, "request");
    assert!(ended.err.contains("decided already") && ended.err.contains("annals trace pod"), "{ended:?}");
    assert_eq!(place.content(), "B");

    // Whatever else writes goes the same way.
    let append = ["append", "pod", "--type", "note.seen", "--subject", "note/n-1", "--data", "{\"at\": 1.50}"];
    let more = ["--actor", "user:alice", "--source", "annals:none", "--tag", "x", "--correlation", "c", "--key", "k"];
    let appended = place.json(&[&append[..], &more].concat());
    let shown = place.good(&["show", "pod", &appended["position"].to_string(), "--format", "jsonl"]);
    for part in
        ["{\"at\": 1.50}", "\"tags\":[\"x\"]", "\"authid\":\"alice\"", "\"annals:none~\"", "\"correlationid\":\"c\""]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(place.json(&[&append[..], &more].concat())["duplicate"], true);
    let text =
        ["append", "pod", "--type", "t", "--subject", "s/1", "--data", "plain\ntext", "--content-type", "text/plain"];
    let appended = place.json(&text);
    let event = store.reader().event(annals::Position::new(appended["position"].as_u64().unwrap())).unwrap().unwrap();
    assert_eq!((event.data(), event.content_type()), (&b"plain\ntext"[..], "text/plain"));
    place.bad(&[&text[..], &["--expect", "none"]].concat(), 4, "");
    place.good(&["tables", "pod", "add", "bills", "--actor", "user:alice"]);
    place.good(&["roles", "pod", "set", "alice", "owner", "--workspace", "7", "--actor", "user:alice"]);
    let granted = place.json(&[
        "grant",
        "pod",
        "add",
        "scribe",
        "--action",
        "notes.*",
        "--subject",
        "note/*",
        "--actor",
        "user:alice",
    ]);
    place.good(&["revoke", "pod", &granted["id"].to_string(), "--actor", "user:alice"]);
    place.write("rules.toml", "");
    place.good(&["policy", "pod", "set", "rules.toml", "--actor", "user:alice"]);
    place.good(&["undo", "pod", &number, "--actor", "user:alice"]);
    assert_eq!(place.content(), "A");
    assert!(began.elapsed() < Duration::from_secs(60), "nothing waits for the lock");
    drop(flow);
    store.close().unwrap();
    place.good(&["verify", "pod"]);
}

#[test]
fn a_reader_that_goes_is_no_failure() {
    let place = pod();
    for _ in 0..30 {
        place.wish("B");
    }
    for args in [&["requests", "pod", "--format", "jsonl"][..], &["requests", "pod", "--limit", "100"]] {
        let mut child = place.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ended = Ended::of(&child.wait_with_output().unwrap());
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{args:?}");
    }
}

#[test]
fn a_raw_request_event_is_decided_like_any_other() {
    let place = pod();
    let args = ["append", "pod", "--type", "notes.update.requested", "--subject", "note/n-1", "--data"];
    place.good(&[&args[..], &[r#"{"content":"B"}"#, "--actor", "user:alice"]].concat());
    assert_eq!(place.content(), "B");
    let decision = ["append", "pod", "--type", "notes.update.approved", "--subject", "note/n-1"];
    place.bad(&decision, 7, "");
}
