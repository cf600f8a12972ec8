//! The tables of a run in docs/format.md against the code.

use super::{Covered, TierHeader, entry};
use crate::event::LogId;
use crate::format::sealed::ids::{Mode, Template};
use crate::format::tests::{ONE, OTHER, Sheet, versions};
use crate::format::tier::Templates;
use crate::format::{PAGE_BYTES, layout};
use crate::position::Position;

const HEADING: &str = "## Lookup tiers";

/// A file of two segments, one template and these entries.
fn file(entries: &[u64]) -> Vec<u8> {
    let covered = [Covered::new(3, 20, 300), Covered::new(5, 33, 1000)];
    let mut templates = Templates::default();
    let template = Template::new("k".into(), "wiki-\x02".into(), Mode::Position(-7)).unwrap();
    templates.add(&template, 0..=1);
    super::tests::write(LogId([1; 16]), Position::new(9), [7; 32], &covered, &templates, entries)
}

#[test]
fn header_page() {
    let mut sheet = Sheet::below(HEADING, 0);
    sheet.is_gapless(PAGE_BYTES);
    sheet.agrees(layout::TIER_HEADER);
    let header = TierHeader {
        log: LogId([1; 16]),
        first: Position::new(ONE),
        last: Position::new(ONE),
        root: [1; 32],
        file_bytes: ONE,
        entries: ONE,
        segments: ONE as u32,
        any_id: false,
        widths: ONE,
        templates: ONE as u32,
        templates_bytes: ONE as u32,
        radix: ONE as u32,
    };
    let one = header.encode();
    let mut moves = |name, whole, other: TierHeader| {
        sheet.moves(name, &["check"], whole, &one[..], &other.encode()[..]);
    };
    let number = OTHER as u32;
    moves("flags", false, TierHeader { any_id: true, ..header.clone() });
    moves("log id", true, TierHeader { log: LogId([2; 16]), ..header.clone() });
    moves("first position", true, TierHeader { first: Position::new(OTHER), ..header.clone() });
    moves("last position", true, TierHeader { last: Position::new(OTHER), ..header.clone() });
    moves("root", true, TierHeader { root: [2; 32], ..header.clone() });
    moves("length of this file", true, TierHeader { file_bytes: OTHER, ..header.clone() });
    moves("entries", true, TierHeader { entries: OTHER, ..header.clone() });
    moves("widths", true, TierHeader { widths: OTHER, ..header.clone() });
    moves("segments", true, TierHeader { segments: number, ..header.clone() });
    moves("templates", true, TierHeader { templates: number, ..header.clone() });
    moves("bytes of the templates", true, TierHeader { templates_bytes: number, ..header.clone() });
    moves("radix", true, TierHeader { radix: number, ..header.clone() });
    versions(&mut sheet, &one[..], b"ANNALRUN");
    sheet.checks("check", &one[..], u64::from_le_bytes(*b"ANNALRUN"));
    sheet.zeros(&one[..]);
    sheet.is_complete();
    assert_eq!(TierHeader::read(&file(&[])).valid().unwrap().encode()[..], file(&[])[..PAGE_BYTES]);
}

#[test]
fn segments_templates_directory_and_entries() {
    let hash = 0x0123_4567_89AB_CDEF;
    let entries = [entry(hash >> 44, 20, 0), entry(hash >> 31, 33, 1)];
    // Zeros below the bits that are kept, and the number of the segment.
    assert_eq!(entries, [0x0123_4000_0000_0000, 0x0123_4567_8000_0001]);
    assert_eq!(entry(hash, 64, 9), 0x0123_4567_89AB_0009);
    let file = file(&entries);
    // Header, segments, templates, a directory of 16 buckets and an end, entries.
    assert_eq!(file.len(), 5 * PAGE_BYTES);
    assert_eq!(TierHeader::read(&file).valid().unwrap().radix, 4);
    let page = |number: usize| &file[number * PAGE_BYTES..(number + 1) * PAGE_BYTES];

    let mut sheet = Sheet::below(HEADING, 1);
    sheet.is_gapless(16);
    let segment = &page(1)[16..32];
    sheet.is("events", segment, &5u32.to_le_bytes());
    sheet.is("width", segment, &[33]);
    sheet.is("entries", segment, &1000u64.to_le_bytes());
    sheet.zeros(segment);
    sheet.is_complete();

    let mut sheet = Sheet::below(HEADING, 2);
    sheet.is_gapless(20);
    let template = page(2);
    sheet.is("length of the kind", template, &[1, 0]);
    sheet.is("length of the text", template, &[6, 0]);
    sheet.is("mode", template, &[2]);
    sheet.is("difference", template, &(-7i64).to_le_bytes());
    sheet.is("number of the first", template, &[0, 0]);
    sheet.is("number of the last", template, &[1, 0]);
    sheet.zeros(template);
    sheet.is_complete();
    assert_eq!(&template[20..27], b"kwiki-\x02");

    let starts: Vec<u64> =
        page(3).chunks_exact(8).take(18).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    assert_eq!(starts, [[0].as_slice(), &[2; 16], &[0]].concat());
    assert_eq!(page(4)[..16], entries.map(u64::to_le_bytes).concat());
    let salt = u64::from_le_bytes([7; 8]) ^ 9;
    for number in 1..5 {
        let check = xxhash_rust::xxh3::xxh3_64_with_seed(&page(number)[..4088], salt ^ (number * PAGE_BYTES) as u64);
        assert_eq!(page(number)[4088..], check.to_le_bytes());
    }
}
