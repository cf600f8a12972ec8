//! The reading verbs: which events, in which shape.

use serde_json::Value;

use crate::run::Place;

/// Ten events about two subjects, by three actors.
fn place() -> Place {
    let place = Place::new();
    let lines: String = (1..=10)
        .map(|n| {
            let (kind, actor) = if n % 2 == 0 { ("note", "user") } else { ("task", "agent") };
            let who = ["ann", "bob", "cyd"][n % 3];
            format!(
                "{{\"id\":\"e-{n}\",\"type\":\"{kind}s.{}.done\",\"subject\":\"{kind}/1\",\"source\":\"s-{}\",\
                 \"authtype\":\"{actor}\",\"authid\":\"{who}\",\"time\":\"2020-01-{n:02}T00:00:00Z\",\
                 \"tags\":[\"all\",\"t-{}\"],\"correlationid\":\"c-{}\",\"data\":{{\"n\":{n},\"same\":true}}}}\n",
                if n > 5 { "update" } else { "create" },
                n % 2,
                n % 2,
                n % 5,
            )
        })
        .collect();
    place.write("in.jsonl", lines);
    place.good(&["import", "pod", "in.jsonl"]);
    place
}

fn positions(place: &Place, query: &[&str]) -> Vec<u64> {
    let events = place.jsonl(&[&["log", "pod"], query].concat());
    events.iter().map(|event| event["sequence"].as_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn every_query_flag_selects() {
    let place = place();
    let all: Vec<u64> = (1..=10).collect();
    for (query, expected) in [
        (&[][..], all.clone()),
        (&["--reverse"], all.iter().rev().copied().collect()),
        (&["--limit", "3"], vec![1, 2, 3]),
        (&["--reverse", "--limit", "2"], vec![10, 9]),
        (&["--limit", "0"], vec![]),
        (&["--subject", "note/1"], vec![2, 4, 6, 8, 10]),
        (&["--subject", "note/1", "--subject", "task/1"], all.clone()),
        (&["--kind", "task"], vec![1, 3, 5, 7, 9]),
        (&["--type", "notes.*.done"], vec![2, 4, 6, 8, 10]),
        (&["--type", "notes.create.done", "--type", "tasks.update.**"], vec![2, 4, 7, 9]),
        (&["--tag", "all"], all.clone()),
        (&["--tag", "all", "--tag", "t-1"], vec![1, 3, 5, 7, 9]),
        (&["--tag", "t-0", "--tag", "t-1"], vec![]),
        (&["--actor", "ann"], vec![3, 6, 9]),
        (&["--actor", "user:ann"], vec![6]),
        (&["--actor", "user:ann", "--actor", "agent:bob"], vec![1, 6, 7]),
        (&["--source", "s-1"], vec![1, 3, 5, 7, 9]),
        (&["--correlation", "c-1"], vec![1, 6]),
        (&["--after", "8"], vec![9, 10]),
        (&["--after", "id:e-8"], vec![9, 10]),
        (&["--before", "3"], vec![1, 2]),
        (&["--after", "3", "--before", "5"], vec![4]),
        (&["--occurred-since", "2020-01-09"], vec![9, 10]),
        (&["--occurred-until", "2020-01-03"], vec![1, 2]),
        (&["--since", "-1h"], all.clone()),
        (&["--since", "2020-01-01", "--until", "yesterday 14:00"], vec![]),
        (&["--until", "now"], all.clone()),
        (&["--on-behalf-of", "zoe"], vec![]),
        (&["--caused-by", "1"], vec![]),
    ] {
        assert_eq!(positions(&place, query), expected, "{query:?}");
    }
}

#[test]
fn export_gives_what_was_imported_and_a_new_store_of_it_is_the_same() {
    let place = place();
    let exported = place.good(&["export", "pod"]);
    assert_eq!(exported.lines().count(), 10);
    place.write("out.jsonl", &exported);
    place.good(&["import", "copy", "out.jsonl", "--keep-recorded"]);
    assert_eq!(place.good(&["export", "copy"]), exported);
    let array: Value = place.json(&["export", "pod"]);
    assert_eq!(array.as_array().unwrap().len(), 10);
    assert_eq!(place.good(&["export", "pod", "--kind", "note"]).lines().count(), 5);
    assert_eq!(place.good(&["export", "pod", "--kind", "nothing"]), "");
    assert_eq!(place.json(&["export", "pod", "--kind", "nothing"]), Value::Array(Vec::new()));
}

#[test]
fn the_log_is_a_table_for_a_person() {
    let place = place();
    let out = place.good(&["log", "pod", "--limit", "2"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 4, "{out}");
    assert!(lines[0].contains("position") && lines[0].contains("actor"), "{out}");
    assert!(lines[2].contains("2020-01-01 00:00:00") && lines[2].contains("agent:bob"), "{out}");
    assert!(lines[3].contains("{\"n\":2,\"same\":true}"), "{out}");
    assert!(lines.iter().all(|line| line.trim_end() == *line), "no blanks at the end of a line: {out:?}");
    let nothing = place.run(&["log", "pod", "--kind", "nothing"]);
    assert_eq!((nothing.code, nothing.out.as_str()), (0, ""));
    assert_eq!(nothing.err, "note: nothing matches: kind nothing\n");
}

#[test]
fn explain_shows_the_plan_instead_of_the_events() {
    let place = place();
    let out = place.good(&["log", "pod", "--actor", "ann", "--explain"]);
    assert!(!out.is_empty() && !out.contains("e-3"), "{out}");
    assert!(
        place.json(&["log", "pod", "--actor", "ann", "--explain"])["query"].as_str().unwrap().contains("actor ann")
    );
}

#[test]
fn show_names_one_position_or_all_events_of_an_id() {
    let place = place();
    place.good(&["append", "pod", "--type", "again", "--subject", "note/1", "--id", "e-1"]);
    assert_eq!(place.json(&["show", "pod", "1"])["id"], "e-1");
    let both = place.json(&["show", "pod", "id:e-1"]);
    assert_eq!(both.as_array().unwrap().len(), 2);
    assert_eq!(place.jsonl(&["show", "pod", "id:e-1"]).len(), 2);
    let out = place.good(&["show", "pod", "id:e-1"]);
    assert!(out.contains("tasks.create.done") && out.contains("again"), "{out}");
    // What the log derives is an id like any other.
    let exported = place.jsonl(&["log", "pod", "--limit", "1"]);
    let id = format!("id:{}", exported[0]["id"].as_str().unwrap());
    assert_eq!(place.jsonl(&["show", "pod", &id]).len(), 2);
}

#[test]
fn history_shows_which_fields_changed() {
    let place = Place::new();
    place.pod(&["A", "B", "B"]);
    place.good(&[
        "append",
        "pod",
        "--type",
        "note.tagged",
        "--subject",
        "note/n-1",
        "--data",
        "{\"n\":1.0}",
        "--actor",
        "user:al",
    ]);
    let out = place.good(&["history", "pod", "note/n-1"]);
    let rows: Vec<&str> = out.lines().skip(2).collect();
    assert!(rows[0].ends_with("content = \"A\""), "{out}");
    assert!(rows[1].ends_with("content \"A\" → \"B\""), "{out}");
    assert!(rows[2].ends_with("nothing"), "{out}");
    assert!(rows[3].contains("user:al") && rows[3].ends_with("n = 1.0"), "{out}");
    let steps = place.jsonl(&["history", "pod", "note/n-1"]);
    assert_eq!(steps[1]["changes"][0]["from"], "A");
    assert_eq!(steps[1]["version"], 2);
    assert_eq!(place.json(&["history", "pod", "note/n-1"]).as_array().unwrap().len(), 4);
}

#[test]
fn stat_segments_and_verify_agree() {
    let place = place();
    let stat = place.json(&["stat", "pod"]);
    assert_eq!((&stat["events"], &stat["tail"], &stat["durable"]), (&10.into(), &10.into(), &10.into()));
    let segments = place.json(&["segments", "pod"]);
    assert_eq!(segments[0]["last"], 10);
    assert_eq!(segments[0]["durability"], "synced");
    assert_eq!(place.jsonl(&["segments", "pod"]).len() as u64, stat["segments"].as_u64().unwrap());
    let verify = place.json(&["verify", "pod"]);
    assert_eq!((&verify["good"], &verify["events"]), (&true.into(), &10.into()));
    assert_eq!(verify["root"].as_str().unwrap().len(), 64);
    for (verb, word) in [("stat", "10"), ("segments", "active"), ("verify", "pod is good")] {
        let out = place.good(&[verb, "pod"]);
        assert!(out.contains(word), "{out}");
    }
    assert_eq!(place.good(&["repair", "pod"]), "nothing to repair, tail at 10\n");
}

#[test]
fn inspect_decodes_the_files_of_a_store() {
    let place = place();
    let segment = place.json(&["segments", "pod"])[0]["file"].as_str().unwrap().to_owned();
    for file in [format!("pod/{segment}"), "pod/ANCHOR".to_owned(), "pod/LIVE".to_owned()] {
        assert!(place.good(&["inspect", &file]).contains("nothing is wrong"), "{file}");
        assert!(!place.json(&["inspect", &file])["pages"].as_array().unwrap().is_empty(), "{file}");
    }
    assert!(place.good(&["inspect", &format!("pod/{segment}"), "--all-frames"]).contains("1-10"));
    let foreign = place.run(&["inspect", "in.jsonl"]);
    foreign.is_bad(3, "no file of a store, in.jsonl");
    let mut anchor = std::fs::read(place.path("pod/ANCHOR")).unwrap();
    anchor[20] ^= 1;
    place.write("damaged", anchor);
    place.run(&["inspect", "damaged"]).is_bad(5, "1 problem, damaged");
}

#[test]
fn help_and_completions_are_there() {
    let place = Place::new();
    assert!(place.good(&["help", "exit-codes"]).contains("130  interrupted"));
    assert_eq!(place.json(&["help", "exit-codes"]).as_array().unwrap().len(), 10);
    assert!(place.good(&["help"]).contains("annals demo"));
    assert!(place.good(&["--help"]).contains("import"));
    assert!(place.good(&["help", "import"]).contains("--keep-going"));
    assert!(place.good(&["--version"]).starts_with("annals "));
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(place.good(&["completions", shell]).contains("annals"), "{shell}");
    }
    let bare = place.run(&[]);
    assert_eq!(bare.code, 2);
    assert!(bare.out.contains("annals demo"));
}
