//! The measurement: every figure is there with its unit and its aim, and nothing is left behind. No figure is held
//! against anything, since a test must not depend on how fast a machine is.

use serde_json::Value;

use crate::run::Place;

/// The rows that have an aim, with their unit.
const AIMED: [(&str, &str); 31] = [
    ("from an append to each of four subscribers", "seconds"),
    ("four projections together, against one", "times"),
    ("slowest append, synced, batches of 100", "seconds"),
    ("memory of a reader, beside a writer", "bytes"),
    ("opening for reading, killed, synced", "seconds"),
    ("opening for writing, killed, synced", "seconds"),
    ("opening for reading, power lost, synced", "seconds"),
    ("opening for writing, power lost, synced", "seconds"),
    ("slowest append, written, batches of 100", "seconds"),
    ("opening for reading, killed, written", "seconds"),
    ("opening for writing, killed, written", "seconds"),
    ("opening for reading, power lost, written", "seconds"),
    ("opening for writing, power lost, written", "seconds"),
    ("opening for reading, after a close", "seconds"),
    ("opening for writing, after a close", "seconds"),
    ("a subject's ten events, close together", "seconds"),
    ("a subject's ten events, spread over the log", "seconds"),
    ("version of a subject never seen", "seconds"),
    ("memory of a reader, after a close", "bytes"),
    ("refused: the subject has an event", "seconds"),
    ("refused: it has ten, spread over the log", "seconds"),
    ("the same, from a stored state", "seconds"),
    ("sealed, cold: a subject's ten events, close together", "seconds"),
    ("sealed, cold: one event by its position", "seconds"),
    ("sealed, cold: one event by its id", "seconds"),
    ("sealed: one type of 54", "seconds"),
    ("sealed: a window of time, 1 % of the log", "seconds"),
    ("sealed: opening for reading", "seconds"),
    ("sealed: memory of a reader", "bytes"),
    ("version of a new subject, 100 sealed segments", "seconds"),
    ("version of a new subject, many sealed segments", "seconds"),
];

#[test]
fn every_figure_is_measured_and_nothing_is_left() {
    let place = Place::new();
    std::fs::create_dir(place.path("disk")).unwrap();
    let report = place.json(&["bench", "--quick", "--events", "3000", "--dir", "disk"]);
    assert_eq!(report["events"], 3000);
    let row = |name: &str| -> &Value {
        let rows = report["rows"].as_array().unwrap();
        rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
    };
    for (name, unit) in AIMED {
        let row = row(name);
        assert_eq!(row["unit"], unit, "{row}");
        assert!(row["aim"].as_f64().unwrap() > 0.0, "{row}");
        let is_known = row["value"].as_f64().is_some_and(|value| value > 0.0);
        assert!(is_known || unit == "bytes" && cfg!(not(target_os = "linux")), "{row}");
    }
    let cost = row("what a condition adds to a synced append");
    assert_eq!((&cost["unit"], cost["aim"].as_f64()), (&"percent".into(), Some(15.0)));
    assert!(cost["value"].is_f64(), "{cost}");
    let storing = row("what storing states takes from appends");
    assert_eq!((&storing["unit"], storing["aim"].as_f64()), (&"percent".into(), Some(5.0)));
    // Too few events for an index worth measuring.
    assert_eq!(row("index in memory, bytes an event")["value"], Value::Null);
    let note = row("opening for writing, power lost, synced")["note"].as_str().unwrap();
    assert!(note.starts_with("3,000 events, "), "{note}");
    assert_eq!(std::fs::read_dir(place.path("disk")).unwrap().count(), 0);
}

#[test]
fn a_log_has_enough_events_to_be_measured() {
    let place = Place::new();
    place.bad(&["bench", "--events", "999"], 2, "invalid value '999' for '--events <N>'");
    place.bad(&["bench", "--events", "many"], 2, "invalid value 'many' for '--events <N>'");
}
