//! Documents of real histories: at any moment they hold what the lines of the file say, by a second and naive reading.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use annals::{AsOf, Durability, ImportEvent, ImportOptions, Timestamp};
use serde_json::Value;

use super::*;

fn lines(path: &Path) -> Vec<String> {
    BufReader::new(zstd::Decoder::new(File::open(path).unwrap()).unwrap()).lines().map(Result::unwrap).collect()
}

fn imported(lines: &[String]) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let written = Durability::Written { sync_every: Duration::from_millis(50) };
    let store = Store::options().durability(written).snapshot_every(20).open(directory.path()).unwrap();
    let events = lines.iter().map(|line| ImportEvent::from_json(line.as_bytes()).unwrap());
    store.import(events, ImportOptions::new()).unwrap();
    (directory, store)
}

struct Line {
    subject: String,
    time: Timestamp,
    data: Value,
}

fn parse(line: impl AsRef<str>) -> Line {
    let line: Value = serde_json::from_str(line.as_ref()).unwrap();
    let text = |name: &str| line[name].as_str().unwrap();
    Line {
        subject: format!("{}/{}", text("subject_type"), text("subject")),
        time: Timestamp::parse(text("time")).unwrap(),
        data: line["data"].clone(),
    }
}

/// RFC 7396, naively.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return target.clone_from(patch) };
    if !target.is_object() {
        *target = Value::Object(Default::default());
    }
    for (name, value) in patch {
        let object = target.as_object_mut().unwrap();
        if value.is_null() {
            object.remove(name);
        } else {
            merge(object.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// What each subject had come to at a moment of occurrence.
fn states(lines: &[Line], moment: Timestamp) -> BTreeMap<&str, (Value, u64)> {
    let mut states: BTreeMap<&str, (Value, u64)> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.time <= moment) {
        let state = states.entry(&line.subject).or_insert((Value::Null, 0));
        merge(&mut state.0, &line.data);
        state.1 += 1;
    }
    states
}

fn moments(lines: &[Line], count: usize) -> Vec<Timestamp> {
    let mut times: Vec<_> = lines.iter().map(|line| line.time).collect();
    times.sort_unstable();
    (1..=count).map(|n| times[(times.len() - 1) * n / count]).collect()
}

#[test]
fn the_revision_of_each_note_that_was_current_at_ten_moments() {
    let lines = lines(&files::sample());
    let (_directory, store) = imported(&lines);
    let lines: Vec<Line> = lines.iter().map(parse).collect();
    let subjects: BTreeSet<&str> = lines.iter().map(|line| line.subject.as_str()).collect();
    for moment in moments(&lines, 10) {
        let then = store.reader().as_of(AsOf::Occurred(moment));
        let expected = states(&lines, moment);
        for subject in subjects.iter().filter(|subject| !expected.contains_key(**subject)) {
            assert_eq!(then.document(subject).unwrap(), None, "{subject} at {moment}");
        }
        for (subject, (state, events)) in expected {
            let found = then.document(subject).unwrap().unwrap();
            let json: Value = serde_json::from_str(&found.state.document.unwrap().to_json()).unwrap();
            // The text of the newest revision until then, word for word.
            let newest = lines.iter().rev().find(|line| line.subject == subject && line.time <= moment).unwrap();
            assert_eq!(json["body"], newest.data["body"], "{subject} at {moment}");
            assert_eq!(json, state, "{subject} at {moment}");
            assert_eq!((found.state.events, found.state.passed_over), (events, 0));
        }
    }
    // Now, with states stored on the way, and a second time from them.
    let expected = states(&lines, moments(&lines, 1)[0]);
    for _ in 0..2 {
        for (subject, (state, _)) in &expected {
            let found = store.reader().document(subject).unwrap().unwrap();
            assert_eq!(&serde_json::from_str::<Value>(&found.state.document.unwrap().to_json()).unwrap(), state);
        }
    }
}

fn optional(stem: &str, most: usize) {
    let Some(path) = files::optional(stem) else { return };
    let mut lines = lines(&path);
    lines.truncate(most);
    let (_directory, store) = imported(&lines);
    let lines: Vec<Line> = lines.iter().map(parse).collect();
    for moment in moments(&lines, 3) {
        let then = store.reader().as_of(AsOf::Occurred(moment));
        let expected = states(&lines, moment);
        // The subjects with the longest histories, and some others.
        let mut subjects: Vec<_> = expected.iter().collect();
        subjects.sort_by_key(|(subject, (_, events))| (std::cmp::Reverse(*events), **subject));
        for (subject, (state, events)) in subjects.iter().take(50).chain(subjects.iter().rev().take(20)) {
            let found = then.document(subject).unwrap().unwrap();
            let json: Value = serde_json::from_str(&found.state.document.unwrap().to_json()).unwrap();
            assert_eq!((&json, found.state.events), (state, *events), "{subject} at {moment}");
        }
    }
}

#[test]
fn github() {
    optional("github-2015-01-01-00", 5000);
}

#[test]
fn wiki() {
    optional("wiki-edits-2015", 10_000);
}
