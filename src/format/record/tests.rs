use super::super::bytes::Put;
use super::*;
use crate::actor::Actor;

/// An event that has everything.
fn full() -> NewEvent {
    NewEvent::bytes("a.b", "k/ä", "application/x-other", b"data".as_slice())
        .actor(Actor::agent("scribe").on_behalf_of("alice"))
        .source("elsewhere")
        .correlation("run-7")
        .id("id-1")
        .tag("t:1")
        .tag("t:22")
        .meta("name", "value")
        .occurred_at(Timestamp::from_nanos(-3))
        .caused_by(Position::new(9))
}

fn encoded(event: &NewEvent) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(event, &mut bytes);
    assert_eq!(bytes.len(), len(event));
    bytes
}

/// The offset of what is wrong with the full event, changed.
fn wrong(change: impl FnOnce(&mut Vec<u8>)) -> Option<u64> {
    let mut bytes = encoded(&full());
    change(&mut bytes);
    Record::parse(&bytes).err().map(|bad| bad.offset)
}

/// The full event with an extension area.
fn extended(extension: &[u8]) -> Vec<u8> {
    let mut bytes = encoded(&full());
    let at = HEADER_BYTES + 2 * 2 + 4;
    bytes.splice(at..at, extension.iter().copied());
    let len = bytes.len() as u32;
    Put(&mut bytes).u32(0, len).u16(26, extension.len() as u16);
    bytes
}

#[test]
fn whatever_an_event_has_comes_back() {
    let bytes = encoded(&full());
    let record = Record::parse(&bytes).unwrap();
    assert_eq!(record.text, "k/äa.bscribealiceelsewhererun-7application/x-otherid-1t:1t:22namevalue");
    assert_eq!((record.data, record.tag_count, record.content), (&b"data"[..], 2, None));
    assert_eq!(record.actor, Some(ActorKind::Agent));
    assert_eq!(
        (record.occurred_at, record.cause),
        (Some(Timestamp::from_nanos(-3)), Some(Cause::At(Position::new(9))))
    );
    let lens = &record.lens;
    assert_eq!([lens.subject, lens.event_type, lens.actor, lens.on_behalf_of], [4, 3, 6, 5]);
    assert_eq!([lens.source, lens.correlation, lens.content_type, lens.id], [9, 5, 19, 4]);
    assert_eq!(record.lists, [3, 0, 4, 0, 4, 0, 5, 0]);
    // Next to nothing, and each content type with a code.
    for (_, content) in CONTENT_CODES {
        let bytes = encoded(&NewEvent::bytes("a", "k", content, []));
        let record = Record::parse(&bytes).unwrap();
        assert_eq!((record.text, record.content, record.actor), ("ka", Some(content), None));
        assert_eq!((record.occurred_at, record.cause, record.data.len(), record.lens.content_type), (None, None, 0, 0));
        assert_eq!(known_content_type(content), Some(content));
    }
    assert_eq!(known_content_type("application/x-other"), None);
    let third = encoded(&NewEvent::bytes("a", "k", "", []).caused_by_batch(2));
    assert_eq!(Record::parse(&third).unwrap().cause, Some(Cause::InBatch(2)));
}

#[test]
fn what_is_wrong_is_told_where_it_stands() {
    assert_eq!(wrong(|_| {}), None);
    assert_eq!(wrong(|bytes| bytes.truncate(HEADER_BYTES - 1)), Some(0));
    assert_eq!(wrong(|bytes| bytes[0] += 1), Some(0));
    assert_eq!(wrong(|bytes| bytes.truncate(bytes.len() - 1)), Some(0));
    for bit in 0..8 {
        assert_eq!(wrong(|bytes| bytes[5] |= 1 << bit), Some(4), "flag {bit}");
    }
    // Flags that a reader need not know.
    assert_eq!(wrong(|bytes| bytes[4] |= 0xF8), None);
    for code in [6, 255] {
        assert_eq!(wrong(|bytes| bytes[6] = code), Some(6));
    }
    for code in [4, 254] {
        assert_eq!(wrong(|bytes| bytes[7] = code), Some(7));
    }
    // A length more or less; one that ends within a character.
    for field in [8, 10, 12, 14, 16, 18, 20, 22] {
        assert_eq!(wrong(|bytes| bytes[field] += 1), Some(8), "{field}");
    }
    assert_eq!(wrong(|bytes| (bytes[8], bytes[10]) = (3, 4)), Some(8));
    assert_eq!(wrong(|bytes| bytes[HEADER_BYTES] += 1), Some(8), "the first tag");
    // Lists, extension area and data that are longer than the record.
    assert_eq!(wrong(|bytes| bytes[23] = 200), Some(0));
    assert_eq!(wrong(|bytes| bytes[25] = 200), Some(0));
    assert_eq!(wrong(|bytes| bytes[27] = 200), Some(0));
    assert_eq!(wrong(|bytes| bytes[29] = 200), Some(0));
    // Text that is none: the second byte of the a-umlaut.
    let text = HEADER_BYTES + 8;
    assert_eq!(wrong(|bytes| bytes[text + 3] = 0x20), Some(text as u64 + 2));
    assert_eq!(wrong(|bytes| bytes[text + 9] = 0xFF), Some(text as u64 + 9));
}

#[test]
fn an_extension_is_passed_over_unless_it_has_to_be_known() {
    let wrong = |extension: &[u8]| {
        Record::parse(&extended(extension)).map(|record| record.text.len()).map_err(|bad| bad.offset)
    };
    let at = (HEADER_BYTES + 8) as u64;
    let whole = Record::parse(&encoded(&full())).unwrap().text.len();
    for good in [&[][..], &[1, 0], &[1, 2, 7, 7], &[127, 1, 7, 2, 0]] {
        assert_eq!(wrong(good), Ok(whole), "{good:?}");
    }
    assert_eq!(wrong(&[128, 0]), Err(at));
    assert_eq!(wrong(&[1, 2, 7, 7, 200, 1, 7]), Err(at + 4));
    assert_eq!(wrong(&[1, 3, 7, 7]), Err(at));
    assert_eq!(wrong(&[1, 0, 1]), Err(at + 2));
}
