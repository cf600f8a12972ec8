use super::file::{Place, kept, left_out};
use super::*;
use crate::catalog::Action;

fn place(version: u64, shape: u32) -> Place {
    Place { offset: version * 100, bytes: 10, position: Position::new(version), version, shape, told: false }
}

#[test]
fn older_states_stay_at_distances_that_double() {
    let places: Vec<Place> = (1..=100).map(|version| place(version, 1)).collect();
    let versions = |places: &[Place]| kept(places).map(|place| place.version).collect::<Vec<_>>();
    assert_eq!(versions(&places), [100, 99, 98, 96, 92, 84, 68, 36, 1]);
    // What stayed stays again, until newer ones take its place.
    let again: Vec<Place> = kept(&places).cloned().collect::<Vec<_>>().into_iter().rev().collect();
    assert_eq!(versions(&again), [100, 99, 98, 96, 92, 84, 68, 36, 1]);
    assert_eq!(left_out(&places), 910);
    assert_eq!(versions(&places[..1]), [1]);
    assert_eq!(versions(&[]), Vec::<u64>::new());
    // Of another shape than the one written last, none.
    assert_eq!(versions(&[place(1, 1), place(2, 1), place(3, 2)]), [3]);
}

#[test]
fn names_of_files_are_plain_and_all_their_own() {
    let names = ["note", "Note", "a/b", "a_b", "../x", "", "ä", &"x".repeat(255)].map(file_name);
    assert_eq!(names[0], "note-e5e7a02f3a2b4ee5.snap".replace("e5e7a02f3a2b4ee5", &names[0][5..21]));
    for (index, name) in names.iter().enumerate() {
        assert!(name.len() < 80 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
        assert!(!name.starts_with('.') && names[..index].iter().all(|other| other != name), "{name}");
    }
}

fn event(event_type: &str, data: &str) -> crate::NewEvent {
    crate::NewEvent::bytes(event_type, "note/1", "application/json", data.as_bytes().to_vec())
}

/// Where a table says which types count, others have no part in the row; a row can be deleted and made again.
#[test]
fn rules_say_what_an_event_does() {
    let directory = tempfile::tempdir().unwrap();
    let store = crate::Store::options().snapshot_every(2).open(directory.path()).unwrap();
    let action_of = |event_type: &str| match event_type {
        "note.created" => Some(Action::Create),
        "note.updated" => Some(Action::Update),
        "note.deleted" => Some(Action::Delete),
        _ => None,
    };
    let rules = Rules { id: 7, action_of: &action_of };
    let state = |event_type: &str, data: &str| {
        store.append([event(event_type, data)]).unwrap();
        let by_rules = store.reader().document_by("note/1", Some(&rules)).unwrap().unwrap().state;
        // What is stored under these rules is not taken for what all events come to, nor the other way round.
        let merged = store.reader().document("note/1").unwrap().unwrap();
        assert_eq!(merged.state.events + merged.state.passed_over, merged.version);
        by_rules.document.map(|document| document.to_json())
    };
    assert_eq!(state("note.updated", r#"{"a":1}"#).as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(state("note.created", r#"{"b":null}"#).as_deref(), Some(r#"{"b":null}"#));
    assert_eq!(state("note.created", "[1]").as_deref(), Some(r#"{"b":null}"#));
    assert_eq!(state("note.updated", r#"{"c":2}"#).as_deref(), Some(r#"{"b":null,"c":2}"#));
    assert_eq!(state("note.deleted", r#"{"why":"old"}"#), None);
    assert_eq!(state("note.updated", "[2]"), None);
    assert_eq!(state("note.seen", r#"{"d":3}"#), None);
}
