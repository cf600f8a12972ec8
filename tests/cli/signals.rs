//! Ctrl-C, and following a log that another process writes.

#![cfg(unix)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::run::{Ended, Place};

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_follower_sees_what_another_process_appends_until_it_is_interrupted() {
    let place = Place::new();
    place.pod(&["A"]);
    let mut command = place.command(&["log", "pod", "--follow", "--format", "jsonl"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.contains("\"A\""), "it begins at position 1: {line}");
    place.pod(&["B"]);
    line.clear();
    out.read_line(&mut line).unwrap();
    assert!(line.contains("\"B\""), "{line}");
    interrupt(&child);
    let ended = Ended::of(&child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.err.as_str()), (130, ""));
}

#[test]
fn a_follower_with_a_limit_ends_by_itself() {
    let place = Place::new();
    place.pod(&["A", "B", "C"]);
    assert_eq!(place.jsonl(&["log", "pod", "--follow", "--limit", "2"]).len(), 2);
    assert_eq!(place.jsonl(&["log", "pod", "--follow", "--after", "1", "--limit", "1"])[0]["data"]["content"], "B");
}

#[test]
fn an_interrupted_import_says_how_far_it_came() {
    let place = Place::new();
    let mut command = place.command(&["import", "pod", "-", "--batch", "10"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // The pipe stays open and silent: the import must hear Ctrl-C while it waits.
    for n in 0..1000 {
        writeln!(input, "{{\"type\":\"t\",\"subject\":\"s/1\",\"data\":{n}}}").unwrap();
    }
    input.flush().unwrap();
    let began = Instant::now();
    while !place.exists("pod/ANCHOR") && began.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(10));
    }
    interrupt(&child);
    let ended = Ended::of(&child.wait_with_output().unwrap());
    ended.is_bad(130, "interrupted at position ");
    drop(input);
    let events = place.good(&["export", "pod"]).lines().count();
    assert!(ended.err.contains(&format!("interrupted at position {events}, pod")), "{events}: {ended:?}");
}

#[test]
fn the_demo_plays_twice_in_one_directory() {
    let place = Place::new();
    let first = place.good(&["demo"]);
    assert!(first.contains("nothing that was acknowledged is lost"), "{first}");
    assert!(first.contains("The store lies in annals-demo/store"), "{first}");
    let second = place.json(&["demo"]);
    assert!(second["events_before"].as_u64().unwrap() >= 1303);
    assert!(second["present"].as_u64() >= second["acknowledged"].as_u64());
    let scenes: Vec<&str> = first.split("\n\n").collect();
    for scene in &scenes {
        assert!(scene.lines().count() <= 9, "a title and eight lines at most: {scene}");
    }
}
