//! Receipts: what is proven is shown, and nothing else can be shown.

use serde_json::{Value, json};

use super::*;
use crate::actor::Actor;
use crate::append::Append;
use crate::event::NewEvent;
use crate::store::Store;

/// A store of events of all sorts, in batches of several sizes.
fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let note = |n: u64| NewEvent::json("note.edited", format!("note/n-{}", n % 3), &json!({ "n": n })).unwrap();
    let full = note(5)
        .actor(Actor::agent("scribe").on_behalf_of("alice"))
        .id("e-5")
        .source("urn:a")
        .correlation("c-1")
        .caused_by(Position::new(1))
        .tag("a")
        .tag("ä\"\\\n".trim_end())
        .meta("traceparent", "00-1")
        .meta("subject", "a name of its own member");
    let bytes = NewEvent::bytes("blob", "file/1", "application/octet-stream", [0, 159, 146, 150]);
    let empty = NewEvent::bytes("nothing", "file/1", "", *b"");
    store.append([note(1), note(2)]).unwrap();
    store.append_with(Append::new([full, bytes]).key("k-1")).unwrap();
    store.append([empty]).unwrap();
    store.append((6..=11).map(note)).unwrap();
    (directory, store)
}

#[test]
fn each_event_is_proven_under_each_head() {
    let (_directory, store) = store();
    for size in 1..=11 {
        let head = store.reader().as_of(crate::reader::AsOf::Position(Position::new(size))).head().unwrap();
        assert_eq!(head.size, size);
        for position in 1..=size {
            let receipt = store.receipt(position, Some(&head)).unwrap();
            let read = Receipt::from_json(receipt.to_json().as_bytes()).unwrap();
            let proven = read.check(&head).unwrap();
            let there = store.reader().event(position).unwrap().unwrap();
            assert_eq!(proven.to_json(), there.to_json());
            assert_eq!((proven.version(), proven.epoch()), (there.version(), there.epoch()));
        }
        assert_eq!(store.receipt(size + 1, Some(&head)).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(store.receipt(0, Some(&head)).unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(store.receipt(3, None).unwrap().head(), store.head().unwrap());
}

#[test]
fn no_flipped_bit_passes() {
    let (_directory, store) = store();
    let head = store.head().unwrap();
    for position in [3, 4, 5] {
        let good = serde_json::to_string(&store.receipt(position, None).unwrap()).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let checked = Receipt::from_json(&bytes).and_then(|receipt| receipt.check(&head));
            assert!(checked.is_err(), "position {position}, bit {bit}: {}", String::from_utf8_lossy(&bytes));
        }
        for cut in 0..good.len() {
            assert!(Receipt::from_json(&good.as_bytes()[..cut]).is_err());
        }
    }
}

#[test]
fn no_part_can_come_from_another_event_head_or_log() {
    let (_directory, ours) = store();
    let (_other_directory, theirs) = store();
    let (head, their_head) = (ours.head().unwrap(), theirs.head().unwrap());
    let wire = |store: &Store, position: u64| -> Value {
        serde_json::from_str(&store.receipt(position, None).unwrap().to_json()).unwrap()
    };
    let (good, other) = (wire(&ours, 7), wire(&ours, 8));
    for member in ["position", "metadata", "path", "event"] {
        let mut forged = good.clone();
        forged[member] = other[member].clone();
        let receipt = Receipt::from_json(forged.to_string().as_bytes()).unwrap();
        assert_eq!(receipt.check(&head).unwrap_err().kind(), ErrorKind::Corruption, "{member}");
    }
    let receipt = ours.receipt(7, None).unwrap();
    assert_eq!(receipt.check(&their_head).unwrap_err().kind(), ErrorKind::Corruption);
    assert_eq!(receipt.check(&Head { root: their_head.root, ..head }).unwrap_err().kind(), ErrorKind::Corruption);
    let later = Head { size: 12, ..head };
    assert_eq!(receipt.check(&later).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(ours.receipt(7, Some(&later)).unwrap_err().kind(), ErrorKind::Corruption);
    assert_eq!(ours.receipt(7, Some(&their_head)).unwrap_err().kind(), ErrorKind::Corruption);
    let rewritten = Head { root: [1; 32], ..head };
    assert_eq!(ours.receipt(7, Some(&rewritten)).unwrap_err().kind(), ErrorKind::Corruption);
}

#[test]
fn what_is_no_receipt_is_refused_in_words() {
    let (_directory, store) = store();
    let good: Value = serde_json::from_str(&store.receipt(2, None).unwrap().to_json()).unwrap();
    let with = |member: &str, value: Value| {
        let mut changed = good.clone();
        changed[member] = value;
        Receipt::from_json(changed.to_string().as_bytes()).map(|_| ())
    };
    assert_eq!(with("receipt", json!(2)).unwrap_err().kind(), ErrorKind::NewerFormat);
    for (member, value) in [
        ("receipt", json!("1")),
        ("log", json!("00")),
        ("root", json!("zz")),
        ("size", json!(-1)),
        ("size", json!(1.5)),
        ("metadata", json!("0")),
        ("path", json!(["ä"])),
        ("comment", json!("proven by nobody")),
    ] {
        assert_eq!(with(member, value).unwrap_err().kind(), ErrorKind::Invalid, "{member}");
    }
    for bytes in [&b""[..], b"null", b"[]", b"{}", b"\xff", b"{\"receipt\":1}"] {
        assert_eq!(Receipt::from_json(bytes).unwrap_err().kind(), ErrorKind::Invalid);
    }
    let deep = format!("{{\"receipt\":1,\"event\":{}", "[".repeat(1 << 20));
    assert!(Receipt::from_json(deep.as_bytes()).is_err());
    let deep = good.to_string().replacen(
        "\"specversion\"",
        &format!("\"deep\":{}{},\"specversion\"", "[".repeat(9999), "]".repeat(9999)),
        1,
    );
    let checked = Receipt::from_json(deep.as_bytes()).and_then(|receipt| receipt.check(&store.head().unwrap()));
    assert!(checked.is_err());
}
