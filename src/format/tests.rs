//! docs/format.md against the code. Every table there is read; the encoders are run with two values
//! of each field, and what differs must be that row's bytes, and the check's. So a field that
//! moves in the code, or a row that moves in the page, fails here.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::anchor::Anchor;
use super::draft::{Draft, DraftFacts, Place};
use super::frame::{self, FrameHeader, Kind, SegmentFacts};
use super::header::{Mode, SegmentHeader};
use super::layout::{self, Layout, Show};
use super::leaf::{BatchFacts, LeafHasher, Tree};
use super::live::{self, Identity};
use super::prelude::Prelude;
use super::slot::{Slot, State};
use super::term::{Dimension, TermHasher};
use super::{FORMAT_VERSION, PAGE_BYTES, record};
use crate::actor::{Actor, ActorKind};
use crate::event::{LogId, NewEvent};
use crate::position::Position;
use crate::time::Timestamp;

const PAGE: &str = include_str!("../../docs/format.md");

/// Two values that differ in every byte.
pub(crate) const ONE: u64 = 0x0101_0101_0101_0101;
pub(crate) const OTHER: u64 = 0xFEFE_FEFE_FEFE_FEFE;

#[derive(Debug, Clone)]
struct Row {
    at: usize,
    bytes: usize,
    text: String,
}

/// A table `offset | bytes | field` of the page, as far as its rows have both numbers.
#[derive(Debug)]
pub(crate) struct Sheet {
    rows: Vec<Row>,
    /// Rows whose bytes have been seen to follow a value.
    seen: BTreeSet<usize>,
}

impl Sheet {
    /// The `index`-th table of that kind below a heading.
    pub(crate) fn below(heading: &str, index: usize) -> Sheet {
        let (_, section) = PAGE.split_once(&format!("\n{heading}\n")).unwrap();
        let tables: Vec<&str> = section.split("| offset | bytes | field |\n|---|---|---|\n").skip(1).collect();
        let rows = tables[index].lines().take_while(|line| line.starts_with('|')).map_while(row).collect();
        Sheet { rows, seen: BTreeSet::new() }
    }

    /// Every byte up to `size` is in exactly one row.
    pub(crate) fn is_gapless(&self, size: usize) {
        let end = self.rows.iter().fold(0, |end, row| {
            assert_eq!(row.at, end, "{row:?}");
            row.at + row.bytes
        });
        assert_eq!(end, size);
    }

    fn find(&self, name: &str) -> (usize, &Row) {
        let found: Vec<_> = self.rows.iter().enumerate().filter(|(_, row)| row.text.starts_with(name)).collect();
        assert_eq!(found.len(), 1, "{name:?}: {found:?}");
        found[0]
    }

    /// The bytes of a row in an encoded structure.
    pub(crate) fn bytes<'b>(&self, name: &str, encoded: &'b [u8]) -> &'b [u8] {
        let (_, row) = self.find(name);
        &encoded[row.at..row.at + row.bytes]
    }

    /// Two encodings that differ in the value of one field differ in that row, in each of its
    /// bytes if the values do so, and nowhere else but in the rows that follow from it.
    pub(crate) fn moves(&mut self, name: &str, follow: &[&str], whole: bool, one: &[u8], other: &[u8]) {
        let (index, row) = self.find(name);
        let range = row.at..row.at + row.bytes;
        let size = self.rows.iter().map(|row| row.at + row.bytes).max().unwrap();
        let differ = |at: &usize| one.get(*at) != other.get(*at);
        let differing = range.clone().filter(differ).count();
        assert!(if whole { differing == row.bytes } else { differing > 0 }, "{name}: {differing} bytes of {row:?}");
        let allowed = |at: &usize| {
            let follows = |name: &&str| {
                let (_, row) = self.find(name);
                (row.at..row.at + row.bytes).contains(at)
            };
            range.contains(at) || follow.iter().any(follows)
        };
        let elsewhere: Vec<usize> = (0..size).filter(differ).filter(|at| !allowed(at)).collect();
        assert!(elsewhere.is_empty(), "{name}: bytes {elsewhere:?} changed too");
        self.seen.insert(index);
    }

    /// A row holds these bytes, whatever the values.
    pub(crate) fn is(&mut self, name: &str, encoded: &[u8], expected: &[u8]) {
        assert_eq!(self.bytes(name, encoded), expected, "{name}");
        let (index, _) = self.find(name);
        self.seen.insert(index);
    }

    /// A row holds the hash of all bytes before it.
    pub(crate) fn checks(&mut self, name: &str, encoded: &[u8], seed: u64) {
        let (_, row) = self.find(name);
        let expected = xxh3_64_with_seed(&encoded[..row.at], seed);
        self.is(name, encoded, &expected.to_le_bytes());
    }

    /// All rows that say so are zero.
    pub(crate) fn zeros(&mut self, encoded: &[u8]) {
        for (index, row) in self.rows.iter().enumerate() {
            if row.text == "zero" {
                assert!(encoded[row.at..row.at + row.bytes].iter().all(|byte| *byte == 0), "{row:?}");
                self.seen.insert(index);
            }
        }
    }

    /// Nothing on the page was left unchecked.
    pub(crate) fn is_complete(&self) {
        let left: Vec<_> = (0..self.rows.len()).filter(|index| !self.seen.contains(index)).collect();
        assert!(left.is_empty(), "{:?}", left.iter().map(|index| &self.rows[*index]).collect::<Vec<_>>());
    }

    /// Shows the same fields as a layout, but for what is unused and the zeros after a check.
    pub(crate) fn agrees(&self, layout: Layout) {
        let shown = |row: &&Row| row.text != "unused" && !(row.text == "zero" && row.at + row.bytes == PAGE_BYTES);
        let rows: Vec<&Row> = self.rows.iter().filter(shown).collect();
        assert_eq!(rows.len(), layout.len());
        for (row, field) in rows.into_iter().zip(layout) {
            assert_eq!((row.at, row.bytes), (field.at, field.bytes), "{row:?}");
            assert!(row.text.starts_with(field.name), "{row:?} and {field:?}");
            if let Show::Code(codes) | Show::Bits(codes) = field.show {
                for (code, name) in codes {
                    assert!(row.text.contains(&format!("{code} ")), "{row:?} has no {code} {name}");
                }
            }
        }
    }
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let ["", at, bytes, text, ""] = cells[..] else { panic!("{line}") };
    Some(Row { at: at.parse().ok()?, bytes: bytes.parse().ok()?, text: text.to_owned() })
}

#[test]
fn the_tables_of_the_modules_stand_on_the_page() {
    let modules = [
        ("header.rs", include_str!("header.rs"), 1),
        ("slot.rs", include_str!("slot.rs"), 1),
        ("anchor.rs", include_str!("anchor.rs"), 1),
        ("live.rs", include_str!("live.rs"), 1),
        ("frame.rs", include_str!("frame.rs"), 2),
        ("prelude.rs", include_str!("prelude.rs"), 1),
        ("record.rs", include_str!("record.rs"), 1),
        ("idx/mod.rs", include_str!("idx/mod.rs"), 4),
        ("tier/mod.rs", include_str!("tier/mod.rs"), 4),
        ("worker.rs", include_str!("worker.rs"), 5),
        ("sealed/envelope.rs", include_str!("sealed/envelope.rs"), 2),
        ("sealed/footer.rs", include_str!("sealed/footer.rs"), 1),
        ("sealed/blocks.rs", include_str!("sealed/blocks.rs"), 1),
        ("sealed/sections.rs", include_str!("sealed/sections.rs"), 1),
        ("sealed/column.rs", include_str!("sealed/column.rs"), 1),
        ("sealed/dictionary.rs", include_str!("sealed/dictionary.rs"), 2),
        ("sealed/ids.rs", include_str!("sealed/ids.rs"), 1),
        ("sealed/block.rs", include_str!("sealed/block.rs"), 2),
        ("sealed/literals.rs", include_str!("sealed/literals.rs"), 1),
        ("sealed/terms/mod.rs", include_str!("sealed/terms/mod.rs"), 5),
        ("decide.rs", include_str!("../log/recover/decide.rs"), 1),
    ];
    for (name, text, count) in modules {
        let head: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
        let tables: Vec<String> = head
            .chunk_by(|a, b| a.starts_with('|') && b.starts_with('|'))
            .filter(|lines| lines[0].starts_with('|'))
            .map(|lines| lines.join("\n"))
            .collect();
        assert_eq!(tables.len(), count, "{name}");
        for table in tables {
            assert!(PAGE.contains(&table), "docs/format.md lacks a table of {name}, or has another:\n{table}");
        }
    }
}

#[test]
fn segment_header() {
    let mut sheet = Sheet::below("### Segment header", 0);
    sheet.is_gapless(PAGE_BYTES);
    sheet.agrees(layout::SEGMENT_HEADER);
    let header = SegmentHeader {
        mode: Mode::Synced,
        log: LogId([1; 16]),
        base: Position::new(ONE),
        epoch: ONE,
        salt: ONE,
        created_at: Timestamp::from_nanos(ONE as i64),
        segment_bytes: ONE,
    };
    let one = header.encode();
    let mut moves = |name, whole, other: SegmentHeader| {
        sheet.moves(name, &["check"], whole, &one[..], &other.encode()[..]);
    };
    moves("durability", true, SegmentHeader { mode: Mode::Written, ..header });
    moves("log id", true, SegmentHeader { log: LogId([2; 16]), ..header });
    moves("base position", true, SegmentHeader { base: Position::new(OTHER), ..header });
    moves("epoch", true, SegmentHeader { epoch: OTHER, ..header });
    moves("salt", true, SegmentHeader { salt: OTHER, ..header });
    moves("created", true, SegmentHeader { created_at: Timestamp::from_nanos(OTHER as i64), ..header });
    moves("segment bytes", true, SegmentHeader { segment_bytes: OTHER, ..header });
    sheet.checks("check", &one[..], u64::from_le_bytes(*b"ANNALRAW"));
    versions(&mut sheet, &one[..], b"ANNALRAW");
    sheet.is("era of the clock", &one[..], &[0; 4]);
    sheet.zeros(&one[..]);
    sheet.is_complete();
    assert_eq!(sheet.bytes("durability", &one[..]), [1]);
}

/// Magic, versions and feature bits, which no value of ours changes.
pub(crate) fn versions(sheet: &mut Sheet, encoded: &[u8], magic: &[u8]) {
    sheet.is("magic", encoded, magic);
    sheet.is("format version", encoded, &FORMAT_VERSION.to_le_bytes());
    sheet.is("oldest reader version", encoded, &1u16.to_le_bytes());
    sheet.is("incompatible feature bits", encoded, &[0; 4]);
    sheet.is("compatible feature bits", encoded, &[0; 4]);
}

#[test]
fn slot() {
    let mut sheet = Sheet::below("### Slot", 0);
    sheet.is_gapless(PAGE_BYTES);
    sheet.agrees(layout::SLOT);
    let slot = Slot {
        seq: ONE,
        log: LogId([1; 16]),
        epoch: ONE,
        base: Position::new(ONE),
        state: State::Idle,
        end_offset: ONE,
        end_position: Position::new(ONE),
        last_header_check: ONE,
        group_seq: ONE,
        recorded_at: Timestamp::from_nanos(ONE as i64),
    };
    let one = slot.encode(7);
    let mut moves = |name, other: Slot| sheet.moves(name, &["check"], true, &one[..], &other.encode(7)[..]);
    moves("seq", Slot { seq: OTHER, ..slot });
    moves("log id", Slot { log: LogId([2; 16]), ..slot });
    moves("epoch", Slot { epoch: OTHER, ..slot });
    moves("base position", Slot { base: Position::new(OTHER), ..slot });
    moves("state", Slot { state: State::Cut, ..slot });
    moves("end offset", Slot { end_offset: OTHER, ..slot });
    moves("end position", Slot { end_position: Position::new(OTHER), ..slot });
    moves("header check of the last durable frame", Slot { last_header_check: OTHER, ..slot });
    moves("highest group seq", Slot { group_seq: OTHER, ..slot });
    moves("recorded_at", Slot { recorded_at: Timestamp::from_nanos(OTHER as i64), ..slot });
    sheet.is("magic", &one[..], b"ANNLSLOT");
    // An odd seq goes to the second slot page.
    sheet.checks("check", &one[..], 7 ^ 8192);
    sheet.zeros(&one[..]);
    sheet.is_complete();
    let codes = [State::Idle, State::Rolled, State::Clean, State::Cut].map(State::code);
    assert_eq!(codes, [1, 2, 3, 4]);
}

#[test]
fn anchor() {
    let mut sheet = Sheet::below("## ANCHOR", 0);
    sheet.is_gapless(PAGE_BYTES);
    sheet.agrees(layout::ANCHOR);
    let tree = |size: u64, digest: u8| Tree::from_peaks(size, vec![[digest; 32]; size.count_ones() as usize]).unwrap();
    let anchor = Anchor {
        seq: ONE,
        log: LogId([1; 16]),
        epoch: ONE,
        newest_base: Position::new(ONE),
        durable: Position::new(ONE),
        created_at: Timestamp::from_nanos(ONE as i64),
        tree: tree(ONE, 1),
    };
    let one = anchor.encode();
    let mut moves = |name, other: Anchor| sheet.moves(name, &["check"], true, &one[..], &other.encode()[..]);
    moves("seq", Anchor { seq: OTHER, ..anchor.clone() });
    moves("log id", Anchor { log: LogId([2; 16]), ..anchor.clone() });
    moves("epoch", Anchor { epoch: OTHER, ..anchor.clone() });
    moves("base position", Anchor { newest_base: Position::new(OTHER), ..anchor.clone() });
    moves("durable position", Anchor { durable: Position::new(OTHER), ..anchor.clone() });
    moves("tree size", Anchor { tree: tree(ONE << 1, 1), ..anchor.clone() });
    moves("created", Anchor { created_at: Timestamp::from_nanos(OTHER as i64), ..anchor.clone() });
    let full = |digest| Anchor { tree: tree(u64::MAX, digest), ..anchor.clone() }.encode();
    sheet.moves("peaks", &["check"], true, &full(1)[..], &full(2)[..]);
    versions(&mut sheet, &one[..], b"ANNLANCH");
    sheet.checks("check", &one[..], u64::from_le_bytes(*b"ANNLANCH") ^ 4096);
    sheet.zeros(&one[..]);
    sheet.is_complete();
}

#[test]
fn live_page() {
    let mut sheet = Sheet::below("## LIVE", 0);
    sheet.is_gapless(PAGE_BYTES);
    sheet.agrees(layout::LIVE);
    let identity = Identity { log: LogId([1; 16]), boot: ONE, session: ONE, device: ONE, inode: ONE };
    let page = |identity: Identity, set: &[(usize, u64)]| {
        let mut page = vec![0; PAGE_BYTES];
        let words = identity.words();
        let all = words.iter().copied().enumerate().chain(set.iter().copied());
        all.for_each(|(word, value)| page[word * 8..word * 8 + 8].copy_from_slice(&value.to_le_bytes()));
        page
    };
    let one = page(identity, &[]);
    let mut moves = |name, other| sheet.moves(name, &["identity check"], true, &one, &page(other, &[]));
    moves("log id", Identity { log: LogId([2; 16]), ..identity });
    moves("boot id", Identity { boot: OTHER, ..identity });
    moves("session", Identity { session: OTHER, ..identity });
    moves("device", Identity { device: OTHER, ..identity });
    moves("inode", Identity { inode: OTHER, ..identity });
    sheet.is("magic", &one, b"ANNLLIVE");
    sheet.checks("identity check", &one, 0);
    for (name, word) in [
        ("generation", live::word::GENERATION),
        ("epoch", live::word::EPOCH),
        ("published position", live::word::PUBLISHED),
        ("check of the published position", live::word::PUBLISHED + 1),
        ("durable position", live::word::DURABLE),
        ("check of the durable position", live::word::DURABLE + 1),
        ("state", live::word::STATE),
    ] {
        sheet.moves(name, &[], true, &page(identity, &[(word, ONE)]), &page(identity, &[(word, OTHER)]));
    }
    assert_eq!(live::position_check(42, ONE), xxh3_64_with_seed(&42u64.to_le_bytes(), ONE));
    for (code, _) in layout::LIVE_STATES {
        assert_eq!(live::State::from_word(*code).map(|state| state as u64), Some(*code));
    }
    assert_eq!(live::State::from_word(0).or(live::State::from_word(5)), None);
}

#[test]
fn frame_header() {
    let mut sheet = Sheet::below("### Frame", 0);
    sheet.is_gapless(frame::HEADER_BYTES);
    let header = FrameHeader {
        kind: Kind::Events,
        flags: 1,
        body_len: ONE as u32,
        count: ONE as u32,
        first: Position::new(ONE),
        durable: Position::new(ONE),
        recorded_at: Timestamp::from_nanos(ONE as i64),
        group_seq: ONE,
        prelude_crc: ONE as u32,
        table_crc: ONE as u32,
        check: 0,
    };
    let encode = |header: FrameHeader| {
        let mut bytes = vec![0; frame::HEADER_BYTES];
        header.encode(&mut bytes, 7, 12_288);
        bytes
    };
    let one = encode(header);
    let mut moves = |name, other| sheet.moves(name, &["header check"], true, &one, &encode(other));
    moves("kind", FrameHeader { kind: Kind::Pad, ..header });
    moves("flags", FrameHeader { flags: 64, ..header });
    moves("body length", FrameHeader { body_len: OTHER as u32, ..header });
    moves("number of events", FrameHeader { count: OTHER as u32, ..header });
    moves("position of the first event", FrameHeader { first: Position::new(OTHER), ..header });
    moves("durable position", FrameHeader { durable: Position::new(OTHER), ..header });
    moves("recorded_at", FrameHeader { recorded_at: Timestamp::from_nanos(OTHER as i64), ..header });
    moves("group seq", FrameHeader { group_seq: OTHER, ..header });
    moves("prelude CRC", FrameHeader { prelude_crc: OTHER as u32, ..header });
    moves("table CRC", FrameHeader { table_crc: OTHER as u32, ..header });
    sheet.is("magic", &one, b"ANFR");
    sheet.checks("header check", &one, 7 ^ 12_288);
    sheet.zeros(&one);
    sheet.is_complete();
    assert_eq!([Kind::Events, Kind::Pad, Kind::Control].map(|kind| kind as u8), [1, 2, 3]);
    assert_eq!(
        [frame::IMPORTED, frame::CLOCK_SUSPECT, frame::RECORDED_EACH, frame::WALL, frame::PRELUDE],
        [1, 2, 16, 32, 64]
    );
    let (_, flags) = sheet.find("flags");
    layout::FRAME_FLAGS.iter().for_each(|(bit, name)| assert!(flags.text.contains(&format!("{bit} {name}"))));
    let (_, kinds) = sheet.find("kind");
    layout::FRAME_KINDS.iter().for_each(|(code, name)| assert!(kinds.text.contains(&format!("{code} {name}"))));
    let boundary = [12_288, frame::FIRST_OFFSET, 64, frame::ALIGN];
    assert_eq!(boundary, [frame::FIRST_OFFSET, 12_288, frame::ALIGN, 64]);
}

const LOG: LogId = LogId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
const SALT: u64 = 0x0123_4567_89AB_CDEF;

/// The frame of the example.
fn example() -> (Vec<u8>, FrameHeader, NewEvent) {
    let event = NewEvent::bytes("note.created", "note/n-1", "application/json", *br#"{"a":1}"#)
        .actor(Actor::user("alice"))
        .tag("t");
    let mut draft = Draft::new(std::slice::from_ref(&event), &DraftFacts::default());
    let place = Place {
        first: Position::new(1),
        durable: Position::ORIGIN,
        recorded_at: Timestamp::parse("2026-01-02T03:04:05Z").unwrap(),
        wall: None,
        clock_suspect: false,
        group_seq: 1,
        offset: frame::FIRST_OFFSET,
    };
    let header = draft.seal(&place, SALT, &[1]);
    (draft.bytes().to_vec(), header, event)
}

#[test]
fn frame_table() {
    let mut sheet = Sheet::below("### Frame", 1);
    sheet.is_gapless(frame::ENTRY_BYTES);
    let seal = |crc: u32, end: u32, version: u64| {
        let mut entry = vec![0; frame::ENTRY_BYTES];
        entry[8..12].copy_from_slice(&end.to_le_bytes());
        entry[12..].copy_from_slice(&crc.to_le_bytes());
        frame::seal_entry(&mut entry, 1, version, SALT);
        entry
    };
    sheet.moves("version", &["record check"], true, &seal(1, 1, ONE), &seal(1, 1, OTHER));
    sheet.moves("record check", &[], true, &seal(1, 1, 1), &seal(!1, 1, 1));
    let (bytes, header, event) = example();
    let entry = &bytes[frame::HEADER_BYTES..frame::HEADER_BYTES + frame::ENTRY_BYTES];
    sheet.is("end of the record", entry, &header.body_len.to_le_bytes());
    sheet.is_complete();

    let mut record = Vec::new();
    record::encode(&event, &mut record);
    let mut place = 1u64.to_le_bytes().to_vec();
    place.extend_from_slice(&1u64.to_le_bytes());
    let check = crc32fast::hash(&record) ^ xxh3_64_with_seed(&place, SALT) as u32;
    sheet.is("record check", entry, &check.to_le_bytes());
}

#[test]
fn prelude() {
    let mut sheet = Sheet::below("### Prelude", 0);
    let encode = |key: &str| {
        let mut out = Vec::new();
        Prelude { key: Some((key, &[9; 32])) }.encode(&mut out);
        out
    };
    let bytes = encode("k");
    sheet.is("prelude length", &bytes, &45u32.to_le_bytes());
    sheet.is_complete();
    let mut entries = vec![1, 0, 1, 0, b'k', 2, 0, 32, 0];
    entries.extend_from_slice(&[9; 32]);
    assert_eq!(bytes[4..], entries);
}

#[test]
fn record_head() {
    let mut sheet = Sheet::below("### Record", 0);
    sheet.is_gapless(record::HEADER_BYTES);
    let base = || NewEvent::bytes("t", "k/i", "", *b"");
    let encode = |event: NewEvent| {
        let mut out = Vec::new();
        record::encode(&event, &mut out);
        assert_eq!(out[..4], (out.len() as u32).to_le_bytes());
        out
    };
    let long = |len: usize| "x".repeat(len);
    let one = encode(base());
    let length = &["record length"][..];
    let mut moves = |name, follow, whole, other| sheet.moves(name, follow, whole, &one, &encode(other));
    moves("record length", &["data length"], false, NewEvent::bytes("t", "k/i", "", *b"data"));
    moves("flags", &["causation"], false, base().caused_by(1));
    moves("subject length", length, true, NewEvent::bytes("t", "k/".to_owned() + &long(300), "", *b""));
    moves("type length", length, true, NewEvent::bytes(long(300), "k/i", "", *b""));
    moves("content type:", &[], true, NewEvent::bytes("t", "k/i", "text/plain", *b""));
    moves("on_behalf_of length", length, true, base().on_behalf_of(long(300)));
    moves("source length", length, true, base().source(long(300)));
    moves("correlation length", length, true, base().correlation(long(300)));
    moves("id length", length, true, base().id("i"));
    moves("number of tags", length, true, base().tag("t"));
    let many = (0..256).fold(base(), |event, _| event.meta("n", "v"));
    moves("number of metadata entries", length, false, many);
    moves("data length", length, false, NewEvent::bytes("t", "k/i", "", vec![0; 0x01_0203]));

    let (user, agent) = (base().actor(Actor::user("a")), base().actor(Actor::agent("a")));
    sheet.moves("actor kind", &[], true, &encode(user.clone()), &encode(agent));
    sheet.moves("actor length", length, true, &encode(user), &encode(base().actor(Actor::user(long(300)))));
    let typed = |len| encode(NewEvent::bytes("t", "k/i", long(len), *b""));
    sheet.moves("content type length", length, true, &typed(1), &typed(256 + 2));
    let at = |time: u64| encode(base().occurred_at(Timestamp::from_nanos(time as i64)));
    sheet.moves("occurred_at", &[], true, &at(ONE), &at(OTHER));
    let caused = |position: u64| encode(base().caused_by(position));
    sheet.moves("causation", &[], true, &caused(ONE), &caused(OTHER));
    sheet.is("length of the extension area", &one, &[0, 0]);
    sheet.is_complete();

    let flags = |event| encode(event)[4..6].to_vec();
    assert_eq!(flags(base().occurred_at(Timestamp::from_nanos(0))), [1, 0]);
    assert_eq!(flags(base().caused_by(1)), [2, 0]);
    assert_eq!(flags(base().caused_by_batch(0)), [4, 0]);
    for (code, content) in [(0, ""), (1, "application/json"), (2, "application/octet-stream"), (3, "text/plain")] {
        assert_eq!(encode(NewEvent::bytes("t", "k/i", content, *b""))[7], code);
    }
    assert_eq!(encode(NewEvent::bytes("t", "k/i", "text/html", *b""))[7], 255);
    let kinds = [ActorKind::User, ActorKind::Agent, ActorKind::External, ActorKind::System, ActorKind::Unknown];
    assert_eq!(kinds.map(ActorKind::code), [1, 2, 3, 4, 5]);
}

#[test]
fn lists_and_text_of_a_record_stand_in_the_order_of_the_page() {
    let event = NewEvent::bytes("TYPE", "SUB/JECT", "CONTENT", *b"DATA")
        .id("ID")
        .actor(Actor::user("ACTOR").on_behalf_of("BEHALF"))
        .source("SOURCE")
        .correlation("CORR")
        .tag("T1")
        .tag("TAG2")
        .meta("NAME", "VALUE");
    let mut bytes = Vec::new();
    record::encode(&event, &mut bytes);
    let (lists, rest) = bytes[record::HEADER_BYTES..].split_at(8);
    assert_eq!(lists, [2, 0, 4, 0, 4, 0, 5, 0]);
    assert_eq!(rest.escape_ascii().to_string(), "SUB/JECTTYPEACTORBEHALFSOURCECORRCONTENTIDT1TAG2NAMEVALUEDATA");
}

#[test]
fn terms() {
    let hasher = TermHasher::new(LOG);
    let golden = 0x9E37_79B9_7F4A_7C15u64;
    let naive = |dimension: u64, value: &[u8]| {
        xxh3_64_with_seed(value, xxh3_64(&LOG.0).wrapping_add(dimension.wrapping_mul(golden)))
    };
    let (_, table) = PAGE.split_once("| dimension | of |\n|---|---|\n").unwrap();
    let names = ["subject", "kind", "type", "tag", "actor", "on_behalf_of", "source", "correlation", "causation", "id"];
    let dimensions = [
        Dimension::Subject,
        Dimension::Kind,
        Dimension::Type,
        Dimension::Tag,
        Dimension::Actor,
        Dimension::OnBehalfOf,
        Dimension::Source,
        Dimension::Correlation,
        Dimension::Causation,
        Dimension::Id,
        Dimension::Key,
    ];
    for ((code, line), (dimension, name)) in
        (1..).zip(table.lines()).zip(dimensions.iter().zip(names.iter().chain(&["idempotency key"])))
    {
        assert_eq!(*dimension as u64, code);
        assert!(line.starts_with(&format!("| {code} | {name}")), "{line}");
        assert_eq!(hasher.hash(*dimension, b"value"), naive(code, b"value"));
    }
    let (_, line) = PAGE.split_once("In the log `000102030405060708090a0b0c0d0e0f`:").unwrap();
    let actor = naive(5, b"alice").wrapping_add(golden);
    assert_eq!(hasher.actor(ActorKind::User, "alice"), actor);
    stands(
        "the vectors of terms",
        line,
        &[
            format!("{:016x}", hasher.subject("note/n-1")),
            format!("{actor:016x}"),
            format!("{:016x}", naive(9, &7u64.to_le_bytes())),
        ],
    );
    stands(
        "the vectors of hashes",
        PAGE,
        &[
            format!("{:08x}", frame::crc(b"123456789")),
            format!("{:016x}", xxh3_64(b"123456789")),
            hex(&Sha256::digest(b"123456789")),
        ],
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn stands(what: &str, page: &str, all: &[String]) {
    let missing: Vec<&str> = all.iter().map(String::as_str).filter(|text| !page.contains(text)).collect();
    assert!(missing.is_empty(), "{what}: docs/format.md lacks\n{}", missing.join("\n"));
}

#[test]
fn the_example_is_what_the_code_writes() {
    let (bytes, header, event) = example();
    let dump: Vec<String> = bytes
        .chunks(16)
        .zip((frame::FIRST_OFFSET..).step_by(16))
        .map(|(line, at)| {
            let words: Vec<String> = line.chunks(4).map(hex).collect();
            let text: String =
                line.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
            format!("{at}  {}  {text}", words.join(" "))
        })
        .collect();
    let mut record = Vec::new();
    record::encode(&event, &mut record);
    let facts = SegmentFacts { log: LOG, epoch: 1, salt: SALT };
    let frame = frame::Frame::new(header, facts, &bytes).unwrap();
    frame.check_all().unwrap();
    let leaf = LeafHasher::default().leaf(&frame.event(0).unwrap(), &frame.batch_facts(0).unwrap());
    stands("the example", PAGE, &[dump.join("\n"), format!("{:08x}", frame::crc(&record)), hex(&leaf)]);
}

/// The preimage of a leaf, put together by the rows of the page.
#[test]
fn leaves() {
    let sheet = Sheet::below("## Digests", 0);
    sheet.is_gapless(65);
    let event = NewEvent::bytes("TYPE", "SUB/JECT", "CONTENT", *b"DATA")
        .id("ID")
        .actor(Actor::system("ACTOR").on_behalf_of("BEHALF"))
        .source("SOURCE")
        .correlation("CORR")
        .occurred_at(Timestamp::from_nanos(3))
        .caused_by(17)
        .tag("T1")
        .tag("TAG2")
        .meta("NAME", "VALUE");
    let facts = DraftFacts { key: Some("KEY"), imported: true, recorded_at: None };
    let mut draft = Draft::new(&[event], &facts);
    let place = Place {
        first: Position::new(0x2122),
        durable: Position::ORIGIN,
        recorded_at: Timestamp::from_nanos(4),
        wall: Some(Timestamp::from_nanos(5)),
        clock_suspect: true,
        group_seq: 1,
        offset: frame::FIRST_OFFSET,
    };
    let header = draft.seal(&place, SALT, &[0x2324]);
    let frame = draft.view(header, SegmentFacts { log: LOG, epoch: 0x25, salt: SALT }).unwrap();
    let batch: BatchFacts<'_> = frame.batch_facts(0).unwrap();

    let mut bytes = vec![0; 65];
    let mut put = |name: &str, value: &[u8]| {
        let (_, row) = sheet.find(name);
        assert!(value.len() <= row.bytes);
        bytes[row.at..row.at + value.len()].copy_from_slice(value);
    };
    put("position", &[0x22, 0x21]);
    put("version", &[0x24, 0x23]);
    put("epoch", &[0x25]);
    put("recorded_at", &[4]);
    put("wall clock", &[5]);
    put("occurred_at", &[3]);
    put("causation", &[17]);
    put("flags", &[1 | 2 | 4 | 8]);
    put("actor kind", &[4]);
    let mut string = |text: &[u8]| {
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(text);
    };
    for text in ["ID", "SUB/JECT", "TYPE", "ACTOR", "BEHALF", "SOURCE", "CORR", "CONTENT"] {
        string(text.as_bytes());
    }
    bytes.extend_from_slice(&2u32.to_le_bytes());
    for text in ["T1", "TAG2"] {
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.extend_from_slice(&1u32.to_le_bytes());
    let (key, content_hash) = batch.key.unwrap();
    for text in [b"NAME".as_slice(), b"VALUE", key.as_bytes(), content_hash] {
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(text);
    }
    assert_eq!(key, "KEY");
    bytes.extend_from_slice(&Sha256::digest(b"DATA"));
    let expected: [u8; 32] = Sha256::digest(&bytes).into();
    assert_eq!(LeafHasher::default().leaf(&frame.event(0).unwrap(), &batch), expected);
}
