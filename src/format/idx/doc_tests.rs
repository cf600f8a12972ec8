//! The index's tables in docs/format.md against the code.

use super::IdxBuilder;
use super::IdxFacts;
use crate::event::LogId;
use crate::event::NewEvent;
use crate::format::draft::{Draft, DraftFacts, Place};
use crate::format::frame::{FIRST_OFFSET, SegmentFacts};
use crate::format::tests::{ONE, OTHER, Sheet, versions};
use crate::format::{PAGE_BYTES, layout};
use crate::position::Position;
use crate::time::Timestamp;

const HEADING: &str = "## Index of a rolled segment";
const FACTS: IdxFacts = IdxFacts { log: LogId([1; 16]), base: Position::new(ONE), salt: ONE };

/// An index over `count` events of one subject.
fn index(facts: IdxFacts, count: usize, end: u64, check: u64) -> Vec<u8> {
    let events: Vec<NewEvent> = (0..count)
        .map(|n| NewEvent::bytes("t", "k/i", "", *b"").occurred_at(Timestamp::from_nanos(ONE as i64 + n as i64)))
        .collect();
    let mut builder = IdxBuilder::new(facts);
    if count > 0 {
        let mut draft = Draft::new(&events, &DraftFacts::default());
        let place = Place {
            first: Position::new(1),
            durable: Position::ORIGIN,
            recorded_at: Timestamp::from_nanos(OTHER as i64),
            wall: None,
            clock_suspect: false,
            group_seq: 1,
            offset: FIRST_OFFSET,
        };
        let header = draft.seal(&place, facts.salt, &(1..=count as u64).collect::<Vec<_>>());
        let frame = draft.view(header, SegmentFacts { log: facts.log, epoch: 1, salt: facts.salt }).unwrap();
        for event in 0..count as u32 {
            builder.add(&frame.event(event).unwrap(), FIRST_OFFSET, event, None);
        }
    }
    builder.finish(end, check)
}

#[test]
fn header_page() {
    let mut sheet = Sheet::below(HEADING, 0);
    sheet.is_gapless(PAGE_BYTES);
    sheet.agrees(layout::IDX_HEADER);
    let one = index(FACTS, 0, ONE, ONE);
    let mut moves = |name, facts, end, check| {
        sheet.moves(name, &["check"], true, &one, &index(facts, 0, end, check));
    };
    moves("log id", IdxFacts { log: LogId([2; 16]), ..FACTS }, ONE, ONE);
    moves("base position", IdxFacts { base: Position::new(OTHER), ..FACTS }, ONE, ONE);
    moves("salt", IdxFacts { salt: OTHER, ..FACTS }, ONE, ONE);
    moves("covered", FACTS, OTHER, ONE);
    moves("header check of the last frame", FACTS, ONE, OTHER);
    versions(&mut sheet, &one, b"ANNALIDX");
    sheet.checks("check", &one, u64::from_le_bytes(*b"ANNALIDX"));
    sheet.zeros(&one);

    let three = index(FACTS, 3, ONE, ONE);
    let number = |value: u64| value.to_le_bytes();
    sheet.is("flags", &three, &[3, 0, 0, 0]);
    sheet.is("length of this file", &three, &number(three.len() as u64));
    sheet.is("rows", &three, &[3, 0, 0, 0]);
    sheet.is("least recorded_at", &three, &number(OTHER));
    sheet.is("greatest recorded_at", &three, &number(OTHER));
    sheet.is("least occurred_at", &three, &number(ONE));
    sheet.is("greatest occurred_at", &three, &number(ONE + 2));
    sheet.is("least recorded_at", &one, &number(i64::MAX as u64));
    sheet.is("greatest occurred_at", &one, &number(i64::MIN as u64));
    // Subject, kind and type, each with three rows.
    let fingerprints = u64::from_le_bytes(three[288..296].try_into().unwrap());
    let mut end = 0;
    for (name, bytes, count) in [
        ("section frames", 3 * 4, 3),
        ("section indices", 3 * 2, 3),
        ("section zones", 32, 1),
        ("section terms", 3 * 32, 3),
        ("section postings", 9 * 4, 9),
        ("section types", 8 + 4 + 2 + 1, 1),
        ("section filter", fingerprints, fingerprints),
    ] {
        let offset = u64::next_multiple_of(end, 32);
        let section = [number(offset), number(bytes), number(count)].concat();
        sheet.is(name, &three, &section);
        end = offset + bytes;
    }
    let shape = crate::format::filter::FilterShape {
        seed: u64::from_le_bytes(sheet.bytes("filter: seed", &three).try_into().unwrap()),
        segment_len: u32::from_le_bytes(sheet.bytes("filter: segment length", &three).try_into().unwrap()),
        segment_count_len: u32::from_le_bytes(sheet.bytes("filter: segment count", &three).try_into().unwrap()),
    };
    assert!(shape.fits(fingerprints) && shape.seed != 0);
    for name in ["filter: seed", "filter: segment length", "filter: segment count"] {
        let same = sheet.bytes(name, &three).to_vec();
        sheet.is(name, &three, &same);
    }
    sheet.is_complete();
}

#[test]
fn other_pages_and_terms() {
    let mut sheet = Sheet::below(HEADING, 1);
    sheet.is_gapless(PAGE_BYTES);
    let file = index(FACTS, 3, ONE, ONE);
    let page = &file[PAGE_BYTES..2 * PAGE_BYTES];
    sheet.checks("check", page, ONE ^ 4096);
    sheet.zeros(page);
    assert_eq!(sheet.bytes("payload", page).len(), super::pages::PAYLOAD_BYTES);

    let mut sheet = Sheet::below(HEADING, 2);
    sheet.is_gapless(super::TERM_BYTES as usize);
    let hasher = crate::format::term::TermHasher::new(FACTS.log);
    let at = u64::from_le_bytes(file[208..216].try_into().unwrap()) as usize;
    let subject = page[at..]
        .chunks_exact(32)
        .take(3)
        .find(|term| sheet.bytes("hash", term) == hasher.subject("k/i").to_le_bytes())
        .unwrap();
    sheet.is("hash", subject, &hasher.subject("k/i").to_le_bytes());
    sheet.is("for a subject the version of its last event here", subject, &3u64.to_le_bytes());
    sheet.is("number of rows", subject, &3u32.to_le_bytes());
    sheet.is("last row", subject, &2u32.to_le_bytes());
    sheet.is("dimension", subject, &[1]);
    sheet.zeros(subject);
    let starts: Vec<u8> = page[at..].chunks_exact(32).take(3).map(|term| sheet.bytes("first of", term)[0]).collect();
    assert_eq!(starts, [0, 3, 6]);
    let first = sheet.bytes("first of", subject).to_vec();
    sheet.is("first of", subject, &first);
    sheet.is_complete();
}
