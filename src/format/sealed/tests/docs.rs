//! The fixed structures of a sealed segment in docs/format.md against the code.

use super::*;
use crate::format::header::Mode;
use crate::format::layout;
use crate::format::leaf::Tree;
use crate::format::sealed::blocks::BlockEntry;
use crate::format::sealed::envelope::{SealedHeader, Tail};
use crate::format::sealed::footer::{Footer, Section};
use crate::format::sealed::sections::SectionsWriter;
use crate::format::sealed::terms::{EncodedTerms, TermsBuilder};
use crate::format::tests::{ONE, OTHER, Sheet, versions};

const HALF: u32 = ONE as u32;
const OTHER_HALF: u32 = OTHER as u32;

#[test]
fn sealed_header() {
    let mut sheet = Sheet::below("### Sealed header", 0);
    sheet.is_gapless(128);
    sheet.agrees(layout::SEALED_HEADER);
    let header = SealedHeader {
        log: LogId([1; 16]),
        base: Position::new(ONE),
        block_rows: HALF,
        sealed_at: Timestamp::from_nanos(ONE as i64),
    };
    let one = header.encode();
    let mut moves = |name, other: SealedHeader| sheet.moves(name, &["check"], true, &one, &other.encode());
    moves("log id", SealedHeader { log: LogId([2; 16]), ..header });
    moves("base position", SealedHeader { base: Position::new(OTHER), ..header });
    moves("rows of a block", SealedHeader { block_rows: OTHER_HALF, ..header });
    moves("sealed at", SealedHeader { sealed_at: Timestamp::from_nanos(OTHER as i64), ..header });
    versions(&mut sheet, &one, b"ANNALSEG");
    sheet.is("era of the clock", &one, &[0; 4]);
    sheet.checks("check", &one, u64::from_le_bytes(*b"ANNALSEG"));
    sheet.zeros(&one);
    sheet.is_complete();
}

#[test]
fn tail() {
    let mut sheet = Sheet::below("### Tail", 0);
    sheet.is_gapless(64);
    sheet.agrees(layout::SEALED_TAIL);
    let tail = Tail {
        footer_at: ONE,
        footer_len: HALF,
        footer_crc: HALF,
        file_len: ONE,
        log: LogId([1; 16]),
        base: Position::new(ONE),
    };
    let one = tail.encode();
    let mut moves = |name, other: Tail| sheet.moves(name, &["check"], true, &one, &other.encode());
    moves("offset of the footer", Tail { footer_at: OTHER, ..tail });
    moves("length of the footer", Tail { footer_len: OTHER_HALF, ..tail });
    moves("CRC-32 of the footer", Tail { footer_crc: OTHER_HALF, ..tail });
    moves("length of the file", Tail { file_len: OTHER, ..tail });
    moves("log id", Tail { log: LogId([2; 16]), ..tail });
    moves("base position", Tail { base: Position::new(OTHER), ..tail });
    sheet.is("magic", &one, b"ANNALEND");
    sheet.checks("check", &one, u64::from_le_bytes(*b"ANNALEND"));
    sheet.is_complete();
}

fn footer_of(section: Section) -> Footer {
    let tree = |size: u8| {
        let mut tree = Tree::default();
        (0..size).for_each(|leaf| tree.push([leaf; 32]));
        tree
    };
    Footer {
        log: LOG,
        base: Position::new(4),
        count: ONE,
        recorded: (ONE as i64, ONE as i64),
        occurred: (ONE as i64, ONE as i64),
        frame_bytes: ONE,
        data_bytes: ONE,
        group_seq: ONE,
        blocks: HALF,
        mode: Mode::Synced,
        by_subject: false,
        archived: false,
        epochs: vec![(Position::new(4), ONE), (Position::new(5), OTHER)],
        before: tree(3),
        after: tree(7),
        sections: vec![section],
    }
}

const SECTION: Section = Section {
    id: ONE as u16,
    required: false,
    compressed: false,
    offset: ONE,
    stored: ONE,
    raw: ONE,
    count: ONE,
    crc: HALF,
};

#[test]
fn footer() {
    let mut sheet = Sheet::below("### Footer", 0);
    sheet.is_gapless(88);
    sheet.agrees(layout::SEALED_FOOTER);
    let footer = footer_of(SECTION);
    let one = footer.encode();
    let both = (ONE as i64, OTHER as i64);
    let other = (OTHER as i64, ONE as i64);
    let mut moves = |name, whole, change: &dyn Fn(&mut Footer)| {
        let mut changed = footer.clone();
        change(&mut changed);
        sheet.moves(name, &[], whole, &one, &changed.encode());
    };
    moves("number of events", true, &|footer| footer.count = OTHER);
    moves("least recorded_at", true, &|footer| footer.recorded = other);
    moves("greatest recorded_at", true, &|footer| footer.recorded = both);
    moves("least occurred_at", true, &|footer| footer.occurred = other);
    moves("greatest occurred_at", true, &|footer| footer.occurred = both);
    moves("bytes of the frames", true, &|footer| footer.frame_bytes = OTHER);
    moves("bytes of all data", true, &|footer| footer.data_bytes = OTHER);
    moves("highest group seq", true, &|footer| footer.group_seq = OTHER);
    moves("number of blocks", true, &|footer| footer.blocks = OTHER_HALF);
    moves("durability", true, &|footer| footer.mode = Mode::Written);
    moves("flags", true, &|footer| footer.by_subject = true);
    moves("number of epoch runs", false, &|footer| footer.epochs.truncate(1));
    moves("number of sections", false, &|footer| footer.sections.clear());
    sheet.is("magic", &one, b"ANNALFTR");
    sheet.is("durability", &one, &[1]);
    sheet.is("flags", &Footer { archived: true, ..footer.clone() }.encode(), &[2]);
    sheet.zeros(&one);
    sheet.is_complete();

    // What follows has no fixed place.
    let number = |value: u64| value.to_le_bytes().to_vec();
    let runs = [number(4), number(ONE), number(5), number(OTHER)].concat();
    let peaks = [footer.before.peaks(), footer.after.peaks()].concat().concat();
    assert_eq!(peaks.len(), (2 + 3) * 32);
    assert_eq!(one[88..one.len() - 48], [runs, peaks].concat());
}

#[test]
fn entry_of_a_section() {
    let mut sheet = Sheet::below("### Footer", 1);
    sheet.is_gapless(48);
    let entry = |section: Section| {
        let bytes = footer_of(section).encode();
        bytes[bytes.len() - 48..].to_vec()
    };
    let one = entry(SECTION);
    let mut moves = |name, section: Section| sheet.moves(name, &[], true, &one, &entry(section));
    moves("id", Section { id: OTHER as u16, ..SECTION });
    moves("flags", Section { required: true, ..SECTION });
    moves("codec", Section { compressed: true, ..SECTION });
    moves("offset", Section { offset: OTHER, ..SECTION });
    moves("stored length", Section { stored: OTHER, ..SECTION });
    moves("raw length", Section { raw: OTHER, ..SECTION });
    moves("count", Section { count: OTHER, ..SECTION });
    moves("CRC-32", Section { crc: OTHER_HALF, ..SECTION });
    sheet.is("version", &one, &[1, 0]);
    sheet.is("flags", &entry(Section { required: true, ..SECTION }), &[1]);
    sheet.is("codec", &entry(Section { compressed: true, ..SECTION }), &[1]);
    sheet.zeros(&one);
    sheet.is_complete();
}

#[test]
fn block_directory() {
    let mut sheet = Sheet::below("### Block directory", 0);
    sheet.is_gapless(56);
    let encoded = |entry: BlockEntry| {
        let mut out = Vec::new();
        entry.encode(&mut out);
        out
    };
    let entry = BlockEntry {
        head_at: ONE,
        head_len: HALF,
        head_crc: HALF,
        recorded: (ONE as i64, ONE as i64),
        occurred: (ONE as i64, ONE as i64),
        types: ONE,
    };
    let one = encoded(entry);
    let mut moves = |name, entry| sheet.moves(name, &[], true, &one, &encoded(entry));
    moves("offset", BlockEntry { head_at: OTHER, ..entry });
    moves("length", BlockEntry { head_len: OTHER_HALF, ..entry });
    moves("CRC-32", BlockEntry { head_crc: OTHER_HALF, ..entry });
    moves("least recorded_at", BlockEntry { recorded: (OTHER as i64, ONE as i64), ..entry });
    moves("greatest recorded_at", BlockEntry { recorded: (ONE as i64, OTHER as i64), ..entry });
    moves("least occurred_at", BlockEntry { occurred: (OTHER as i64, ONE as i64), ..entry });
    moves("greatest occurred_at", BlockEntry { occurred: (ONE as i64, OTHER as i64), ..entry });
    moves("types", BlockEntry { types: OTHER, ..entry });
    sheet.is_complete();
}

#[test]
fn table_of_sections() {
    let mut sheet = Sheet::below("### Tables of sections", 0);
    sheet.is_gapless(8);
    let mut sections = SectionsWriter::default();
    sections.raw(9, b"abc");
    // Shorter as a frame of zstd.
    sections.text(64, &"a".repeat(1_000));
    let mut bytes = Vec::new();
    sections.finish(&mut bytes);
    let (first, second) = (&bytes[..8], &bytes[8..16]);
    sheet.is("section id", first, &[9]);
    sheet.is("section id", second, &[64]);
    sheet.is("codec", first, &[0]);
    sheet.is("codec", second, &[1]);
    sheet.is("flags", first, &[1]);
    sheet.is("length of the body", first, &[3, 0, 0, 0]);
    sheet.is("length of the body", second, &(bytes.len() as u32 - 16 - 3).to_le_bytes());
    sheet.zeros(first);
    sheet.is_complete();
    // The bodies follow, in the order of the table; a text begins with its length.
    assert_eq!(bytes[16..19], *b"abc");
    assert_eq!(bytes[19..21], [0xE8, 0x07]);
    assert_eq!(bytes[21..25], 0xFD2F_B528u32.to_le_bytes());
}

#[test]
fn heads_of_blocks_and_dictionaries() {
    let said = |n: i64| Said {
        subject: format!("note/n-{n}"),
        event_type: "t".into(),
        data: vec![1; 9],
        recorded: n,
        ..Said::default()
    };
    let events = owned((0..3).map(said).collect());
    let rows: Vec<Row<'_>> = events.iter().map(Owned::row).collect();
    let dictionary = dictionary_of(&rows);
    let mut sheet = Sheet::below("### Head of a block", 0);
    sheet.is_gapless(24);
    let head = head_of(&rows, &dictionary, true, 18).unwrap();
    let number = |value: u32| value.to_le_bytes();
    sheet.is("rows", &head, &number(3));
    sheet.is("payload pages", &head, &number(2));
    sheet.is("flags", &head, &number(1));
    sheet.is("flags", &head_of(&rows, &dictionary, false, 18).unwrap(), &number(0));
    sheet.is("offset of the first page", &head, &4_096u64.to_le_bytes());
    // Entries of the table have 8 bytes, and their last one is the text or the CRCs of the pages.
    let count = u32::from_le_bytes(sheet.bytes("number of sections", &head).try_into().unwrap());
    sheet.is("number of sections", &head, &number(count));
    let ids: Vec<u8> = (0..count as usize).map(|index| head[24 + 8 * index]).collect();
    assert!(ids.is_sorted() && ids.starts_with(&[3, 7, 10, 11]) && ids.ends_with(&[61, 62]), "{ids:?}");
    sheet.is_complete();

    let mut sheet = Sheet::below("### Segment dictionary", 0);
    sheet.is_gapless(8);
    let mut bytes = Vec::new();
    dictionary.encode(&mut bytes);
    // All columns have few strings, or none; subjects, types and the text are sections.
    sheet.is("scopes", &bytes, &[0xFF, 0x03]);
    sheet.is("number of sections", &bytes, &number(3));
    sheet.zeros(&bytes);
    sheet.is_complete();
    assert_eq!([bytes[8], bytes[16], bytes[24]], [0, 1, 64]);
}

fn terms(rows: u32, count: u64) -> EncodedTerms {
    let mut builder = TermsBuilder::new();
    (0..count).for_each(|n| builder.term(n.wrapping_mul(0x9E37_79B9_7F4A_7C15), (n * 10 / count) as u32));
    builder.finish(rows).unwrap()
}

#[test]
fn term_index() {
    let encoded = terms(300, 4_000);
    let mut sheet = Sheet::below("### Term index of a sealed segment", 1);
    sheet.is_gapless(20);
    sheet.agrees(layout::TERM_DIRECTORY);
    let directory = &encoded.directory;
    let pages = directory[20..directory.len() - 4].as_chunks::<12>().0;
    sheet.is("rows of the segment", directory, &300u32.to_le_bytes());
    sheet.is("pages", directory, &(pages.len() as u32).to_le_bytes());
    sheet.is("entries", directory, &4_000u64.to_le_bytes());
    // 12 bits number 4,000 entries, and 19 more are kept.
    sheet.is("bits of a truncated hash", directory, &[31]);
    // One bit, nine for a row, and 22 for gaps of 2^19 on the average.
    sheet.is("bytes of an entry", directory, &[4]);
    sheet.zeros(directory);
    sheet.is_complete();
    let crc = |bytes: &[u8]| {
        let (checked, crc) = bytes.split_last_chunk::<4>().unwrap();
        assert_eq!(*crc, crc32fast::hash(checked).to_le_bytes());
    };
    crc(directory);

    let mut sheet = Sheet::below("### Term index of a sealed segment", 0);
    sheet.is_gapless(12);
    let mut start = 0;
    assert!(pages.len() > 2);
    for (number, page) in (0u32..).zip(pages) {
        let end = u32::from_le_bytes(page[8..].try_into().unwrap()) as usize;
        let bytes = &encoded.pages[start..end];
        assert!(bytes.len() <= 4_096);
        sheet.is("number of the page", bytes, &number.to_le_bytes());
        sheet.is("truncated hash of its first entry", bytes, &page[..8]);
        crc(bytes);
        start = end;
    }
    assert_eq!(start, encoded.pages.len());
    sheet.is_complete();

    let sheet = Sheet::below("### Term index of a sealed segment", 2);
    sheet.is_gapless(16);
    sheet.agrees(layout::TERM_FILTER);
    let filter = encoded.filter.unwrap();
    crc(&filter);
    let word = |name: &str| u32::from_le_bytes(sheet.bytes(name, &filter).try_into().unwrap());
    let (len, all) = (word("segment length"), word("segment count"));
    assert!(len.is_power_of_two() && all.is_multiple_of(len));
    assert_eq!(filter.len(), 16 + (all + 2 * len) as usize + 4);
    assert_ne!(sheet.bytes("seed", &filter), [0; 8]);
}
