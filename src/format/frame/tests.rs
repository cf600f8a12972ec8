use super::super::draft::{Draft, DraftFacts, Place};
use super::*;
use crate::event::NewEvent;

const FACTS: SegmentFacts = SegmentFacts { log: LogId([3; 16]), epoch: 2, salt: 0x1040 };
const OFFSET: u64 = 4096;
const FIRST: u64 = 11;

fn header() -> FrameHeader {
    FrameHeader {
        kind: Kind::Events,
        flags: 0,
        body_len: 100,
        count: 3,
        first: Position::new(FIRST),
        durable: Position::new(5),
        recorded_at: Timestamp::from_nanos(1_700_000_000_000_000_000),
        group_seq: 4,
        prelude_crc: 0,
        table_crc: 7,
        check: 0,
    }
}

fn read(header: FrameHeader) -> HeaderRead {
    let mut bytes = [0; HEADER_BYTES];
    header.encode(&mut bytes, FACTS.salt, OFFSET);
    FrameHeader::read(&bytes, FACTS.salt, OFFSET)
}

fn is_valid(header: FrameHeader) -> bool {
    match read(header) {
        HeaderRead::Valid(found) => found == FrameHeader { check: found.check, ..header },
        HeaderRead::Bad(bad) => bad.offset != 4,
        HeaderRead::Zero => panic!("{header:?}"),
    }
}

#[test]
fn lengths_follow_from_count_and_flags() {
    for (flags, table) in
        [(0, 48), (RECORDED_EACH, 72), (WALL, 56), (RECORDED_EACH | WALL, 80), (PRELUDE | IMPORTED, 48)]
    {
        let header = FrameHeader { flags, ..header() };
        assert_eq!(header.table_bytes(), table);
        assert_eq!(header.used_bytes(), 64 + table + 100);
        assert_eq!(header.frame_bytes(), (64 + table + 100).div_ceil(64) * 64);
    }
    assert_eq!(header().next(), Position::new(FIRST + 3));
    assert_eq!(FrameHeader { first: Position::new(u64::MAX), ..header() }.next(), Position::new(u64::MAX));
}

#[test]
fn a_header_says_what_a_version_1_knows_or_is_none() {
    let pad = FrameHeader { kind: Kind::Pad, count: 0, ..header() };
    let control = FrameHeader { kind: Kind::Control, ..pad };
    for known in [IMPORTED, CLOCK_SUSPECT, RECORDED_EACH, WALL, PRELUDE] {
        assert!(is_valid(FrameHeader { flags: known, ..header() }), "{known}");
    }
    // Flags of a later version that change nothing for a reader of this one, and one that does.
    assert!(is_valid(FrameHeader { flags: 4 | 8, ..header() }));
    assert!(!is_valid(FrameHeader { flags: 128, ..header() }));
    assert!(!is_valid(FrameHeader { flags: 128 | RECORDED_EACH, ..header() }));
    assert!(!is_valid(FrameHeader { count: 0, ..header() }));
    assert!(!is_valid(FrameHeader { first: Position::ORIGIN, ..header() }));
    assert!(is_valid(FrameHeader { count: 1, first: Position::new(1), ..header() }));
    assert!(!is_valid(FrameHeader { group_seq: 1 << 63, ..header() }));
    for empty in [pad, control] {
        assert!(is_valid(empty) && is_valid(FrameHeader { flags: IMPORTED, first: Position::ORIGIN, ..empty }));
        assert!(!is_valid(FrameHeader { count: 1, ..empty }));
        for flag in [RECORDED_EACH, WALL, PRELUDE, 128] {
            assert!(!is_valid(FrameHeader { flags: flag, ..empty }), "{flag}");
        }
    }
    for (at, byte) in [(4, 0), (4, 4), (6, 1), (7, 1)] {
        let mut bytes = [0; HEADER_BYTES];
        header().encode(&mut bytes, FACTS.salt, OFFSET);
        bytes[at] = byte;
        let check = xxh3_64_with_seed(&bytes[..56], FACTS.salt ^ OFFSET);
        Put(&mut bytes).u64(56, check);
        assert!(matches!(FrameHeader::read(&bytes, FACTS.salt, OFFSET), HeaderRead::Bad(_)), "{at} {byte}");
    }
}

#[test]
fn a_header_counts_only_in_its_place_of_its_segment() {
    let mut bytes = [0; HEADER_BYTES];
    let check = header().encode(&mut bytes, FACTS.salt, OFFSET);
    let there = |salt, offset| FrameHeader::read(&bytes, salt, offset);
    assert_eq!(there(FACTS.salt, OFFSET), HeaderRead::Valid(FrameHeader { check, ..header() }));
    for (salt, offset) in [(FACTS.salt, 0), (FACTS.salt, OFFSET + 64), (FACTS.salt + 1, OFFSET), (0, OFFSET)] {
        let HeaderRead::Bad(bad) = there(salt, offset) else { panic!("{salt} {offset}") };
        assert_eq!(bad.offset, 56);
    }
    assert_eq!(FrameHeader::read(&[0; 100], 0, 0), HeaderRead::Zero);
    assert!(matches!(FrameHeader::read(&[1; 100], 0, 0), HeaderRead::Bad(bad) if bad.offset == 0));
    assert!(matches!(FrameHeader::read(&bytes[..63], FACTS.salt, OFFSET), HeaderRead::Bad(bad) if bad.offset == 63));
}

/// A batch of three, each of which the one before it caused.
fn sealed(data: usize, facts: &DraftFacts<'_>, wall: Option<i64>) -> (Vec<u8>, FrameHeader) {
    let events = (0..3).map(|n| {
        let event = NewEvent::bytes("a.b", format!("s/{n}"), "text/plain", vec![b'x'; data + n]);
        if n == 0 { event.caused_by(Position::new(2)) } else { event.caused_by_batch(n - 1) }
    });
    let mut draft = Draft::new(&events.collect::<Vec<_>>(), facts);
    let place = Place {
        first: Position::new(FIRST),
        durable: Position::new(5),
        recorded_at: Timestamp::from_nanos(1_700_000_000_000_000_000),
        wall: wall.map(Timestamp::from_nanos),
        clock_suspect: wall.is_some(),
        group_seq: 4,
        offset: OFFSET,
    };
    let header = draft.seal(&place, FACTS.salt, &[21, 22, 23]);
    (draft.bytes().to_vec(), header)
}

/// Every form that a frame of events can have.
fn forms(data: usize) -> Vec<(Vec<u8>, FrameHeader)> {
    let times = [100, 200, 300].map(Timestamp::from_nanos);
    let mut forms = Vec::new();
    for (key, recorded_at, wall) in [
        (None, None, None),
        (Some("k"), None, None),
        (None, Some(&times[..]), None),
        (Some("k"), Some(&times[..]), Some(9)),
    ] {
        let facts = DraftFacts { key, imported: recorded_at.is_some(), recorded_at };
        forms.push(sealed(data, &facts, wall));
    }
    forms
}

#[test]
fn events_come_back_with_their_places_times_and_causes() {
    for (bytes, header) in forms(40) {
        let frame = Frame::new(header, FACTS, &bytes).unwrap();
        frame.check_all().unwrap();
        let (keyed, each) = (header.flags & PRELUDE != 0, header.flags & RECORDED_EACH != 0);
        assert_eq!(frame.prelude().unwrap().key.map(|(key, _)| key), keyed.then_some("k"));
        for index in 0..3u32 {
            let event = frame.event(index).unwrap();
            let n = u64::from(index);
            assert_eq!(
                (event.position().get(), event.version(), event.data().len() as u64),
                (FIRST + n, 21 + n, 40 + n)
            );
            assert_eq!(event.causation(), Some(Position::new(if index == 0 { 2 } else { FIRST + n - 1 })));
            assert_eq!(event.is_imported(), each);
            let recorded = if each { (i64::from(index) + 1) * 100 } else { 1_700_000_000_000_000_000 };
            assert_eq!(event.recorded_at().as_nanos(), recorded);
            let facts = frame.batch_facts(index).unwrap();
            assert_eq!((facts.last_of_batch, facts.key.is_some()), (index == 2, keyed && index == 0));
            let wall = (header.flags & WALL != 0).then_some(9);
            assert_eq!((facts.wall.map(Timestamp::as_nanos), facts.clock_suspect), (wall, wall.is_some()));
        }
        assert!(frame.event(3).is_err());
        assert!(Frame::new(header, FACTS, &bytes[..bytes.len() - 1]).is_err());
    }
}

#[test]
fn a_cause_is_an_earlier_event_of_its_batch() {
    for (cause, is_good) in [(0, true), (1, false), (2, false)] {
        let event = |n: usize| NewEvent::bytes("a.b", format!("s/{n}"), "text/plain", "x");
        let events = [event(0), event(1).caused_by_batch(cause), event(2)];
        let mut draft = Draft::new(&events, &DraftFacts::default());
        let place = Place {
            first: Position::new(FIRST),
            durable: Position::ORIGIN,
            recorded_at: Timestamp::from_nanos(1),
            wall: None,
            clock_suspect: false,
            group_seq: 1,
            offset: OFFSET,
        };
        let header = draft.seal(&place, FACTS.salt, &[1, 1, 1]);
        let frame = draft.view(header, FACTS).unwrap();
        match frame.event(1) {
            Ok(event) => assert!(is_good && event.causation() == Some(Position::new(FIRST))),
            // Where the record says so.
            Err(bad) => {
                let record = Frame::record_place(draft.bytes(), 1).unwrap().start as u64;
                assert!(!is_good && bad.offset == record + 40, "{bad:?}");
            }
        }
    }
}

/// Where the parts of a frame begin and end: table, prelude, each record, the zeros.
fn parts(bytes: &[u8], header: &FrameHeader) -> Vec<Range<usize>> {
    let body = HEADER_BYTES + header.table_bytes() as usize;
    let end = |index: usize| body + u32_at(bytes, HEADER_BYTES + index * ENTRY_BYTES + 8).unwrap() as usize;
    let prelude = if header.flags & PRELUDE != 0 { Prelude::len(&bytes[body..]).unwrap() } else { 0 };
    let mut parts =
        vec![HEADER_BYTES..body, body..body + prelude, body + prelude..end(0), end(0)..end(1), end(1)..end(2)];
    parts.push(end(2)..bytes.len());
    parts
}

#[test]
fn whatever_changes_is_found_in_the_part_where_it_stands() {
    for (bytes, header) in forms(30) {
        let parts = parts(&bytes, &header);
        for at in (HEADER_BYTES..bytes.len()).flat_map(|at| [(at, 1u8), (at, 0x80)]) {
            let mut changed = bytes.clone();
            changed[at.0] ^= at.1;
            let frame = Frame::new(header, FACTS, &changed).unwrap();
            let bad = frame.check_all().unwrap_err();
            let part = parts.iter().find(|part| part.contains(&at.0)).unwrap();
            assert_eq!(bad.offset, part.start as u64, "{at:?}: {bad:?}");
        }
    }
    // A pad's body is covered as a whole, and need not be there.
    for body in [&b"any bytes"[..], b""] {
        let crc = if body.is_empty() { 0 } else { crc(body) };
        let pad = FrameHeader {
            kind: Kind::Pad,
            count: 0,
            body_len: body.len() as u32,
            prelude_crc: crc,
            table_crc: 0,
            ..header()
        };
        let mut bytes = vec![0; pad.frame_bytes() as usize];
        bytes[HEADER_BYTES..][..body.len()].copy_from_slice(body);
        Frame::new(pad, FACTS, &bytes).unwrap().check_all().unwrap();
        let last = bytes.len() - 1;
        for at in if body.is_empty() { vec![] } else { vec![HEADER_BYTES, last] } {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Frame::new(pad, FACTS, &changed).unwrap().check_all().is_err(), "{at}");
        }
        let other = FrameHeader { prelude_crc: crc ^ 1, ..pad };
        assert!(Frame::new(other, FACTS, &bytes).unwrap().check_all().is_err());
    }
}

#[test]
fn records_that_end_before_the_body_are_damage() {
    let (mut bytes, header) = sealed(30, &DraftFacts::default(), None);
    let longer = FrameHeader { body_len: header.body_len + 1, ..header };
    bytes.resize(longer.frame_bytes() as usize, 0);
    let bad = Frame::new(longer, FACTS, &bytes).unwrap().check_all().unwrap_err();
    assert_eq!(bad.offset, HEADER_BYTES as u64 + header.table_bytes());
}

#[test]
fn a_records_place_is_known_before_anything_is_checked() {
    for (bytes, header) in forms(30).into_iter().filter(|(_, header)| header.flags & (WALL | PRELUDE) == 0) {
        let records = parts(&bytes, &header)[2..5].to_vec();
        assert_eq!((0..3).filter_map(|index| Frame::record_place(&bytes, index)).collect::<Vec<_>>(), records);
    }
    let (bytes, _) = sealed(30, &DraftFacts::default(), None);
    assert_eq!(Frame::record_place(&bytes[..20], 0), None);
    assert_eq!(Frame::record_place(&bytes, 1000), None);
}

#[test]
fn what_was_never_written_is_a_tear_and_what_was_changed_is_not() {
    let sector = super::super::SECTOR_BYTES as usize;
    for ((bytes, header), into) in
        forms(600).into_iter().flat_map(|form| [0, 192, 384].map(|into| (form.clone(), into)))
    {
        let torn = |bytes: &[u8]| {
            let frame = Frame::new(header, FACTS, bytes).unwrap();
            frame.check_all().is_err().then(|| frame.looks_torn(OFFSET + into as u64))
        };
        assert_eq!(torn(&bytes), None);
        // Sectors that were not written, and the end of the frame.
        let first = sector - into;
        for start in (first..bytes.len()).step_by(sector) {
            let end = (start + sector).min(bytes.len());
            for lost in [start..end, start..bytes.len()] {
                let mut changed = bytes.clone();
                changed[lost.clone()].fill(0);
                assert_ne!(torn(&changed), Some(false), "{lost:?}");
            }
            let mut changed = bytes.clone();
            changed[start] ^= 0xff;
            // In the zeros at the end something stands that nobody wrote, or a byte is another one.
            assert_ne!(torn(&changed), Some(true), "{start}");
        }
        // The sector of the header was written whole.
        for at in [HEADER_BYTES, first - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            assert_eq!(torn(&changed), Some(false), "{at}");
        }
        let mut changed = bytes.clone();
        changed[HEADER_BYTES..first].fill(0);
        assert_eq!(torn(&changed), Some(false));
    }
}

#[test]
fn a_place_inside_a_part_is_told_from_the_start_of_the_whole() {
    assert_eq!(Bad::new(5, "", "").after(70).offset, 75);
    assert_eq!(Bad::new(0, "", "").after(70).offset, 70);
}

#[test]
fn a_lost_sector_explains_nothing_of_the_record_behind_it() {
    let sector = super::super::SECTOR_BYTES as usize;
    // Data of which the second record begins where a sector does.
    let begins = |data: usize| {
        let (bytes, header) = sealed(data, &DraftFacts::default(), None);
        let second = parts(&bytes, &header)[3].start;
        (second.is_multiple_of(sector) && second >= 2 * sector).then_some((bytes, header, second))
    };
    let (bytes, header, second) = (400..2000).find_map(begins).unwrap();
    let torn = |change: &dyn Fn(&mut [u8])| {
        let mut changed = bytes.clone();
        changed[second - sector..second].fill(0);
        change(&mut changed);
        Frame::new(header, FACTS, &changed).unwrap().looks_torn(OFFSET)
    };
    assert!(torn(&|_| {}));
    assert!(!torn(&|bytes| bytes[second + 60] ^= 1));
    assert!(torn(&|bytes| bytes[second..second + sector].fill(0)));
}
