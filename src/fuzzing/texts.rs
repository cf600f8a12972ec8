//! What people and other programs write: histories to import, documents and their patches, tables, and the words of a
//! command line.

use std::str::FromStr;

use serde_json::Value;

use super::logs::{self, ours};
use crate::actor::ActorKind;
use crate::catalog::{Action, Catalog, Phase, Table, parts};
use crate::error::ErrorKind;
use crate::head::Head;
use crate::import::ImportOptions;
use crate::io::SimStorage;
use crate::json::{Document, ImportEvent, write_event};
use crate::position::Position;
use crate::query::Query;
use crate::reader::Reader;
use crate::subject;
use crate::time::Timestamp;

/// Lines of one input at most.
const LINES_MAX: usize = 64;

/// A history to import, one event a line. What was taken is not taken twice, and comes whole out of an export into
/// another store.
pub fn import(data: &[u8]) {
    let parsed = data.split(|byte| *byte == b'\n').take(LINES_MAX).map(ImportEvent::from_json);
    let events: Vec<ImportEvent> = parsed.filter_map(Result::ok).collect();
    if events.is_empty() {
        return;
    }
    let (clock, disk) = (logs::clock(), SimStorage::new());
    let store = logs::sound(&disk, logs::options(&clock));
    let lenient = || ImportOptions::new().batch(7).on_reject(|_, _| std::ops::ControlFlow::Continue(()));
    let report = ours(store.import(events.clone(), lenient()));
    assert_eq!(report.read, events.len() as u64);
    assert_eq!((report.read, report.tail.get()), (report.appended + report.rejected, report.appended), "{report:?}");
    let again = ours(store.import(events, lenient()));
    assert_eq!((again.appended, again.skipped, again.rejected), (0, report.appended, report.rejected), "{again:?}");
    let exported = export(&store.reader());
    assert_eq!(exported.len() as u64, report.appended);
    if exported.is_empty() {
        return;
    }
    let other = logs::sound(&SimStorage::new(), logs::options(&clock));
    let lines = exported.iter().map(|line| ours(ImportEvent::from_json(line)));
    let kept = ours(other.import(lines.collect::<Vec<_>>(), ImportOptions::new().keep_recorded(true)));
    assert_eq!((kept.appended, kept.outside_causes), (report.appended, 0), "{kept:?}");
    for (one, other) in exported.iter().zip(export(&other.reader())) {
        assert!(*one == other, "{} became {}", String::from_utf8_lossy(one), String::from_utf8_lossy(&other));
    }
}

fn export(reader: &Reader) -> Vec<Vec<u8>> {
    let line = |event: crate::event::Event| {
        let mut line = Vec::new();
        write_event(&event.as_ref(), &mut line);
        line
    };
    reader.read(&Query::all()).map(|event| line(ours(event))).collect()
}

/// Merge patches, one a line, held against a naive merging of values.
pub fn merge(data: &[u8]) {
    let (mut document, mut naive) = (Document::new(), Value::Object(serde_json::Map::new()));
    for patch in data.split(|byte| *byte == b'\n').take(LINES_MAX) {
        // Half a surrogate pair stands in a document as it was written, but is no text to compare.
        if let (Ok(whole), Some(value)) = (Document::from_object(patch), value(patch)) {
            assert_eq!(value_of(&whole), Some(value), "{whole}");
        }
        let before = document.clone();
        let mut told = Vec::new();
        if document.merge_telling(patch, |change| told.push(change)).is_err() {
            assert_eq!(document, before);
            assert!(told.is_empty() && document.merge(patch).is_err());
            continue;
        }
        let mut silent = before.clone();
        assert!(silent.merge(patch) == Ok(()) && silent == document);
        let Some(patch) = value(patch) else { return };
        let old = naive.clone();
        merge_naive(&mut naive, &patch);
        let text = document.to_json();
        assert_eq!(value(text.as_bytes()).as_ref(), Some(&naive), "{text}");
        assert!(!told.is_empty() || naive == old, "{before} became {text}, and nobody was told");
        assert!(told.iter().all(|change| change.from != change.to), "{told:?}");
        assert!(!text.contains(['\n', '\r']) && Document::from_object(text.as_bytes()) == Ok(document.clone()));
        let stored = serde_json::to_value(&document).ok();
        assert!(stored.is_some_and(|stored| serde_json::from_value(stored).ok().as_ref() == Some(&document)));
        for (name, field) in document.fields() {
            assert_eq!(document.field(name).as_deref(), Some(&*field));
        }
    }
}

fn value(json: &[u8]) -> Option<Value> {
    serde_json::from_slice(json).ok()
}

fn value_of(document: &Document) -> Option<Value> {
    value(document.to_json().as_bytes())
}

/// RFC 7396, section 2, word for word.
fn merge_naive(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge_naive(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Tables, one a line, each added to those before it.
pub fn table(data: &[u8]) {
    let mut catalog = Catalog::core();
    for line in data.split(|byte| *byte == b'\n').take(LINES_MAX) {
        let Ok(table) = serde_json::from_slice::<Table>(line) else { continue };
        let written = ours(serde_json::to_vec(&table));
        assert_eq!(serde_json::from_slice::<Table>(&written).ok().as_ref(), Some(&table));
        let before = catalog.tables().len();
        match catalog.clone().with(table.clone()) {
            Ok(with) => {
                let replaced = catalog.table(table.name()).is_some();
                assert_eq!(with.tables().len(), before + usize::from(!replaced));
                assert_eq!(with.table(table.name()), Some(&table));
                assert_eq!(with.table_of_kind(table.kind()), Some(&table));
                assert_eq!(Catalog::definition_id(&table), with.table(table.name()).map_or(0, Catalog::definition_id));
                catalog = with;
            }
            Err(error) => {
                use ErrorKind::{Conflict, Invalid, Reserved, TooLarge};
                logs::refused(&error, &[Conflict, Invalid, Reserved, TooLarge]);
            }
        }
    }
    // No name and no kind means two things, however SQL writes it. Several tables may adopt a type, each for its own kind,
    // but none that another one generates.
    let mut names: Vec<String> = catalog.tables().iter().map(|table| table.name().to_ascii_lowercase()).collect();
    let mut kinds: Vec<&str> = catalog.tables().iter().map(Table::kind).collect();
    names.sort_unstable();
    kinds.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{catalog:?}");
    for (adopted, _) in catalog.tables().iter().flat_map(Table::adopts) {
        assert!(parts(adopted).is_none_or(|(table, ..)| catalog.table(table).is_none()), "{adopted} in {catalog:?}");
    }
    assert!(kinds.windows(2).all(|pair| pair[0] != pair[1]), "{catalog:?}");
    for event_type in catalog.event_types().chain(catalog.decision_types()) {
        assert!(catalog.is_generated(&event_type), "{event_type}");
    }
}

/// A word of a command line, or a line of text, taken for everything that one can be: a position, a time, a head, an action,
/// a phase, a kind of actor, a role, a subject.
pub fn words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(position) = text.parse::<Position>() {
        assert_eq!(position.to_string().parse(), Ok(position));
    }
    if let Ok(time) = Timestamp::from_str(&text) {
        assert_eq!(time.to_string().parse(), Ok(time));
    }
    match text.parse::<Head>() {
        Ok(head) => assert_eq!(head.to_string().parse::<Head>().ok(), Some(head)),
        Err(error) => logs::refused(&error, &[ErrorKind::Invalid, ErrorKind::NewerFormat]),
    }
    let word = |found: Option<String>| assert!(found.is_none_or(|found| found == text), "{text}");
    word(Action::parse(&text).map(|action| action.to_string()));
    word(Phase::parse(&text).map(|phase| phase.to_string()));
    word(ActorKind::from_word(&text).map(|kind| kind.to_string()));
    word(crate::flow::Role::parse(&text).map(|role| role.to_string()));
    let kind = subject::kind_of(&text);
    assert!(text.starts_with(kind) && !kind.contains('/'));
}

/// Rules as TOML.
pub fn rules(data: &[u8]) {
    crate::flow::fuzz::rules(&String::from_utf8_lossy(data));
}

/// Lines that are sent to a control socket, each a call; or one that comes back from it.
pub fn control(data: &[u8]) {
    let store = logs::sound(&SimStorage::new(), logs::options(&logs::clock()));
    crate::flow::fuzz::converse(&store, data);
}

/// Events in the log that the flow has to make sense of, one a line as an import takes it.
pub fn flow(data: &[u8]) {
    let store = logs::sound(&SimStorage::new(), logs::options(&logs::clock()));
    crate::flow::fuzz::history(&store, data);
}
