//! Documents that are folded from JSON subjects, against revisions that are known.

use annals::AsOf;
use serde_json::json;

use super::*;

fn note(value: serde_json::Value) -> NewEvent {
    NewEvent::json("note.edited", "note/n-1", &value).unwrap()
}

#[test]
fn documents_are_merged_and_stored() {
    let clock = sim::clock();
    let disk = SimStorage::new();
    let store = sim::open(&disk, options(&clock, 4)).unwrap();
    assert_eq!(store.reader().document("note/n-1").unwrap(), None);
    store.append([NewEvent::bytes("note.seen", "note/n-1", "text/plain", *b"text")]).unwrap();
    let seen = store.reader().document("note/n-1").unwrap().unwrap();
    assert_eq!((seen.state.document, seen.state.passed_over, seen.version), (None, 1, 1));
    store.append([note(json!({"content": "A", "n": {"x": 1, "y": null}}))]).unwrap();
    let price = br#"{"price": 1.50, "n": {"z": 1e2}}"#;
    store.append([NewEvent::bytes("note.priced", "note/n-1", "application/json", *price)]).unwrap();
    store.append([note(json!({"content": null})), note(json!([1])), note(json!({"last": true}))]).unwrap();
    let whole = r#"{"n":{"x":1,"z":1e2},"price":1.50,"last":true}"#;
    for from in [None, Some(Position::new(6))] {
        let note = store.reader().document("note/n-1").unwrap().unwrap();
        assert_eq!(note.state.document.unwrap().to_json(), whole);
        assert_eq!((note.state.events, note.state.passed_over, note.version, note.snapshot), (4, 2, 6, from));
    }
    let then = store.reader().as_of(AsOf::Position(Position::new(3))).document("note/n-1").unwrap().unwrap();
    assert_eq!(then.state.document.unwrap().to_json(), r#"{"content":"A","n":{"x":1,"z":1e2},"price":1.50}"#);
}
