//! What fuzzers call: one function for each parser, which takes any bytes and must not panic. They
//! are no part of the public interface, and there only with the feature `fuzzing`.
//!
//! A fuzzer never guesses a checksum: of 843,000 runs not one got past a check of a single byte.
//! So each function looks at the bytes twice: as they are, and with every check made to fit
//! ([`mend`]), which is what a hostile file would have. `fuzz/fuzz_targets` runs them under
//! libFuzzer, `tests/fuzz_corpus.rs` over the committed corpus and mutations of it.
//!
//! [`canary`] is the check of the checks: it panics as soon as an input gets through all of them,
//! so a fuzzer that does not find it quickly tests nothing.

mod bytes_file;
mod logs;
mod mend;
mod part;
mod sealed;
#[cfg(feature = "sqlite")]
mod sql;
mod stored;
mod texts;
mod twice;
mod use_up;

use bytes_file::BytesFile;
pub use part::part;
pub use sealed::{block, dictionary, envelope, payload, sealed, terms};
#[cfg(feature = "sqlite")]
pub use sql::sql;
pub use stored::{checkpoint, identity, snapshot, state, state_bytes, state_of_bytes};
pub use texts::{control, flow, import, merge, rules, table, words};
pub use twice::{forms, plan};

use sha2::{Digest, Sha256};

use crate::append::Append;
use crate::event::LogId;
use crate::format::anchor::Anchor;
use crate::format::draft::Place;
use crate::format::frame::{FIRST_OFFSET, Frame, FrameHeader, HeaderRead, SegmentFacts};
use crate::format::header::SegmentHeader;
use crate::format::idx::{Checked, IdxHeader, IdxView};
use crate::format::leaf::DIGEST_BYTES;
use crate::format::live::{Identity, State, position_check};
use crate::format::metadata::Metadata;
use crate::format::prelude::Prelude;
use crate::format::record;
use crate::format::slot::{self, Slot};
use crate::format::term::{Dimension, TermHasher};
use crate::format::tier::{TierHeader, TierView};
use crate::format::worker as worker_file;
use crate::format::{PAGE_BYTES, Read};
use crate::inspect::{InspectOptions, Inspection};
use crate::json::{ImportEvent, write_event};
use crate::limits;
use crate::log::prepare::Prepared;
use crate::position::Position;
use crate::query::TypePattern;
use crate::receipt::Receipt;
use crate::segment::scan::{self, From, Scan};
use crate::time::{Timestamp, parse_duration};
use crate::worker::kept;
use crate::worker::state::State as Knowledge;

/// A function that a fuzzer calls.
pub type Target = fn(&[u8]);

/// Every target with its name, which is that of its file in `fuzz/fuzz_targets` and of its
/// directory in `fuzz/corpus`; [`canary`] apart.
pub const TARGETS: &[(&str, Target)] = &[
    ("segment", segment),
    ("frame", frame),
    ("record", record),
    ("prelude", prelude),
    ("page", page),
    ("live", live),
    ("idx", idx),
    ("tier", tier),
    ("worker", worker),
    ("inspect", inspect),
    ("json", json),
    ("pattern", pattern),
    ("receipt", receipt),
    ("time", time),
    ("block", block),
    ("dictionary", dictionary),
    ("terms", terms),
    ("envelope", envelope),
    ("payload", payload),
    ("sealed", sealed),
    ("part", part),
    ("snapshot", snapshot),
    ("state", state),
    ("checkpoint", checkpoint),
    ("identity", identity),
    ("import", import),
    ("merge", merge),
    ("table", table),
    ("words", words),
    ("rules", rules),
    ("control", control),
    ("flow", flow),
    ("sql", sql),
    ("forms", forms),
    ("plan", plan),
];

/// Without SQLite there is no SQL.
#[cfg(not(feature = "sqlite"))]
pub fn sql(_: &[u8]) {}

const LOG: LogId = LogId([7; 16]);
const SALT: u64 = 0x0123_4567_89AB_CDEF;
const FACTS: SegmentFacts = SegmentFacts { log: LOG, epoch: 1, salt: SALT };

/// Bytes of a header page, and of a slot page, that carry anything.
const HEADER_USED: usize = 96;
const SLOT_USED: usize = 104;

/// A raw segment, through recovery's scan and through `inspect`. The input is what carries anything
/// of the first three pages (96, 104 and 104 bytes), then the frames.
pub fn segment(data: &[u8]) {
    let mut bytes = raw_file(data);
    look_at_segment(&bytes);
    mend::segment(&mut bytes);
    look_at_segment(&bytes);
}

/// Spreads the input over the pages of a file.
fn raw_file(data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; FIRST_OFFSET as usize];
    let mut rest = data;
    for (page, used) in [HEADER_USED, SLOT_USED, SLOT_USED].into_iter().enumerate() {
        let (part, behind) = rest.split_at(used.min(rest.len()));
        bytes[page * PAGE_BYTES..][..part.len()].copy_from_slice(part);
        rest = behind;
    }
    bytes.extend_from_slice(rest);
    bytes
}

/// What a scan of the segment finds; `None` without a valid header.
fn scan_segment(bytes: &[u8], mut each: impl FnMut(&Frame<'_>)) -> Option<Scan> {
    let header = SegmentHeader::read(bytes).valid()?;
    let facts = SegmentFacts { log: header.log, epoch: header.epoch, salt: header.salt };
    let file = BytesFile::new(bytes);
    let found = scan::scan(&file, facts, From::start(header.base), |_, frame| {
        each(frame);
        Ok(())
    });
    found.ok()
}

fn look_at_segment(bytes: &[u8]) {
    for offset in slot::OFFSETS {
        let salt = mend::number(bytes, 56);
        let _ = Slot::read(bytes.get(offset as usize..).unwrap_or_default(), salt, offset);
    }
    let mut frames = 0;
    let scanned = scan_segment(bytes, |frame| {
        frames += 1;
        use_up::frame(frame);
    });
    let inspection = look_into(bytes, "00000000000000000001.raw");
    let (Some(scan), Some(view)) = (scanned, &inspection.frames) else { return };
    assert!(scan.end <= bytes.len() as u64 && scan.end.is_multiple_of(64));
    assert!(view.frames >= frames, "scan saw {frames} frames, inspect {}", view.frames);
    if scan.bad.is_none() {
        assert_eq!((view.frames, view.bad_frames), (frames, 0));
    } else {
        assert!(!inspection.is_good());
    }
}

/// Inspects a file in memory, and shows what was found.
fn look_into(bytes: &[u8], name: &str) -> Inspection {
    let found = InspectOptions::new().inspect_file(&BytesFile::new(bytes), name);
    let Ok(inspection) = found else { panic!("reading memory failed") };
    assert!(!inspection.to_string().contains(|char: char| char.is_control() && char != '\n'));
    assert!(serde_json::to_vec(&inspection).is_ok());
    inspection
}

/// One frame at the first place of a segment with a known salt.
pub fn frame(data: &[u8]) {
    look_at_frame(data);
    let mut bytes = data.to_vec();
    bytes.resize(bytes.len().next_multiple_of(64), 0);
    mend::frame(&mut bytes, SALT, FIRST_OFFSET);
    look_at_frame(&bytes);
}

fn look_at_frame(bytes: &[u8]) {
    let HeaderRead::Valid(header) = FrameHeader::read(bytes, SALT, FIRST_OFFSET) else { return };
    let Ok(frame) = Frame::new(header, FACTS, bytes) else { return };
    let whole = frame.check_all().is_ok();
    let events = use_up::frame(&frame);
    assert!(!whole || events == header.count);
    let _ = frame.looks_torn(FIRST_OFFSET);
}

/// The record of an event. One that is read is written again, which must give the same event.
pub fn record(data: &[u8]) {
    let mut bytes = data.to_vec();
    mend::record_length(&mut bytes);
    for record in [data, &bytes] {
        use_up::in_frame(record, FACTS, |event| {
            let again = use_up::new_event(event);
            let mut encoded = Vec::new();
            record::encode(&again, &mut encoded);
            let same = use_up::in_frame(&encoded, FACTS, |twice| use_up::assert_same(event, twice));
            assert!(same, "the record of an event that was read is refused");
        });
    }
}

/// The prelude of a frame.
pub fn prelude(data: &[u8]) {
    let mut bytes = data.to_vec();
    mend::prelude_length(&mut bytes);
    for bytes in [data, &bytes] {
        let Some(len) = Prelude::len(bytes) else { continue };
        let Ok(found) = Prelude::parse(&bytes[..len]) else { continue };
        // A key that is longer than any writer makes cannot be written again.
        if found.key.is_some_and(|(key, _)| key.len() <= limits::KEY_BYTES_MAX) {
            let mut again = Vec::new();
            found.encode(&mut again);
            assert_eq!(Prelude::parse(&again), Ok(found));
        }
    }
}

/// A page of fields: by the first byte a segment header, a slot, an ANCHOR or an index header; the
/// rest begins the page, and what of it lies behind the check stands there.
pub fn page(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    let mut bytes = rest.to_vec();
    bytes.resize(PAGE_BYTES, 0);
    let offset = if which & 4 == 0 { 4096 } else { 8192 };
    look_at_page(*which, &bytes, offset);
    mend::page(*which, &mut bytes, SALT, offset);
    look_at_page(*which, &bytes, offset);
    look_at_page(*which, rest, offset);
}

fn look_at_page(which: u8, bytes: &[u8], offset: u64) {
    match which % 4 {
        0 => {
            if let Read::Valid(header) = SegmentHeader::read(bytes) {
                assert_eq!(SegmentHeader::read(&header.encode()[..]), Read::Valid(header));
            }
        }
        1 => {
            if let Read::Valid(slot) = Slot::read(bytes, SALT, offset) {
                assert_eq!(Slot::read(&slot.encode(SALT)[..], SALT, slot.offset()), Read::Valid(slot));
            }
        }
        2 => {
            // ANCHOR has its slots a page further to the front.
            if let Read::Valid(anchor) = Anchor::read(bytes, offset - PAGE_BYTES as u64) {
                assert_eq!(Anchor::read(&anchor.encode()[..], anchor.offset()), Read::Valid(anchor.clone()));
                let _ = anchor.tree.root();
            }
        }
        _ => {
            let _ = IdxHeader::read(bytes);
        }
    }
}

/// The words of LIVE.
pub fn live(data: &[u8]) {
    let mut bytes = data.to_vec();
    bytes.resize(PAGE_BYTES, 0);
    for mended in [false, true] {
        if mended {
            mend::live(&mut bytes);
        }
        let mut words = [0; 8];
        words.iter_mut().enumerate().for_each(|(index, word)| *word = mend::number(&bytes, index * 8));
        if let Some(identity) = Identity::read(&words) {
            assert_eq!(Identity::read(&identity.words()), Some(identity));
            let _ = position_check(mend::number(&bytes, 128), identity.session);
        }
        let _ = State::from_word(mend::number(&bytes, 256));
        look_into(&bytes, "LIVE");
    }
}

/// An index. The input is what carries anything of its header (304 bytes), then the space that the
/// payloads of the other pages are.
pub fn idx(data: &[u8]) {
    look_into_index(data);
    look_into(data, "00000000000000000001.idx");
    let bytes = mend::idx(data);
    look_into_index(&bytes);
    look_into(&bytes, "00000000000000000001.idx");
}

/// A run of lookup tiers. The input is what carries anything of its header (128 bytes), then the space that the payloads
/// of the other pages are.
pub fn tier(data: &[u8]) {
    const NAME: &str = "terms-00000000000000000001-00000000000000000009.run";
    for bytes in [data.to_vec(), mend::tier(data)] {
        look_into(&bytes, NAME);
        let Some(header) = TierHeader::read(&bytes).valid() else { continue };
        let checked = Checked::new(bytes.len() as u64);
        let view = TierView::new(&bytes, &header, &checked);
        let _ = view.check_all();
        if let Ok(templates) = view.templates() {
            for id in ["wiki15-4", "loan-7-1", "", "1"] {
                templates.candidates(id, |_, segments| assert!(u32::from(*segments.end()) < header.segments));
            }
        }
        let Ok(segments) = view.segments() else { continue };
        let entries = (0..header.entries.min(50)).filter_map(|index| view.entry(index).ok());
        for hash in entries.chain([0, u64::MAX]) {
            let mut found = Vec::new();
            if view.find(hash, &segments, &mut found).is_ok() {
                assert!(found.is_sorted() && found.iter().all(|number| usize::from(*number) < segments.len()));
            }
        }
    }
}

/// The file of a worker. What its entries come to is written again, which must come to the same.
pub fn worker(data: &[u8]) {
    for bytes in [data.to_vec(), mend::worker(data)] {
        look_into(&bytes, "mail.log");
        let Some(header) = worker_file::FileHeader::read(&bytes).valid() else { continue };
        let mut state = Knowledge::default();
        let walked = worker_file::walk(&bytes, &header, &mut |frame| {
            frame.entries()?.iter().for_each(|entry| state.apply(entry));
            Ok(())
        });
        assert!(walked.is_err() || kept::parse(&bytes, header.log, &header.name).is_ok());
        let mut again = Knowledge::default();
        state.entries().iter().for_each(|entry| again.apply(entry));
        let held = |state: &Knowledge| (state.through, state.open.clone(), state.parked.clone(), state.bytes);
        assert_eq!((held(&again), &again.decisions), (held(&state), &state.decisions));
    }
}

fn look_into_index(bytes: &[u8]) {
    let Read::Valid(header) = IdxHeader::read(bytes) else { return };
    let checked = Checked::new(bytes.len() as u64);
    let view = IdxView::new(bytes, &header, &checked);
    let last = header.rows.saturating_sub(1);
    let _ = (view.place(0), view.place(last), view.place(header.rows), view.zone(0), view.zone(u32::MAX));
    let _ = view.zones().find(|zone| zone.is_err());
    let Ok(names) = view.type_names() else { return };
    let hasher = TermHasher::new(header.facts.log);
    let types = names.iter().flat_map(|names| names.iter()).map(|(_, hash, _)| (Dimension::Type, hash));
    let others = [(Dimension::Subject, hasher.subject("note/n-1")), (Dimension::Key, 0), (Dimension::Tag, u64::MAX)];
    for (dimension, hash) in types.take(20).chain(others) {
        let Ok(Some(term)) = view.find(dimension, hash) else { continue };
        assert!(term.count > 0 && term.last_row < header.rows);
        for rows in [0..header.rows, 1..last, last..u32::MAX] {
            let Ok(postings) = view.postings(&term, rows) else { continue };
            let forward = postings.clone().take(1000).filter_map(std::result::Result::ok);
            assert!(forward.into_iter().all(|row| row < header.rows));
            let _ = postings.rev().take(1000).find(|row| row.is_err());
        }
    }
    let _ = view.check_all();
}

/// Any file by any name: the first byte picks the name, the rest is the file.
pub fn inspect(data: &[u8]) {
    const NAMES: [&str; 8] = [
        "00000000000000000001.raw",
        "00000000000000000001.idx",
        "00000000000000000001.raw.2",
        "spare.tmp",
        "ANCHOR",
        "LIVE",
        "LOCK",
        "notes.txt",
    ];
    let Some((which, rest)) = data.split_first() else { return };
    look_into(rest, NAMES[usize::from(*which) % NAMES.len()]);
}

/// A receipt as it is read, and the bytes under a leaf. What is read is written again as it was.
pub fn receipt(data: &[u8]) {
    if let Ok(receipt) = Receipt::from_json(data) {
        if let Ok(event) = receipt.check(&receipt.head()) {
            assert_eq!(event.position(), receipt.position());
        }
        let again = Receipt::from_json(receipt.to_json().as_bytes());
        assert!(again.is_ok_and(|again| again.to_json() == receipt.to_json()));
    }
    // The digest of no data, in the place where a hostile file would have the right one.
    let mut bytes = data.to_vec();
    let at = bytes.len().saturating_sub(DIGEST_BYTES);
    bytes.truncate(at);
    bytes.extend_from_slice(&Sha256::digest([]));
    for bytes in [data, &bytes] {
        let Ok(metadata) = Metadata::read(bytes, LOG) else { continue };
        if let Ok(event) = metadata.with_data(&[]) {
            use_up::use_event(&event.as_ref());
        }
    }
}

/// A line of an import. What can be appended comes back from its export.
pub fn json(data: &[u8]) {
    let import = match ImportEvent::from_json(data) {
        Ok(import) => import,
        Err(error) => {
            assert!(!error.to_string().contains(char::is_control));
            return;
        }
    };
    let append = Append::new([import.event().clone()]);
    let Ok(prepared) = Prepared::new(append, TermHasher::new(LOG), limits::SEGMENT_BYTES_MAX) else { return };
    let mut draft = prepared.draft;
    let header = draft.seal(&place(), SALT, &[1]);
    let Ok(frame) = draft.view(header, FACTS) else { panic!("a frame just made is too short") };
    let Ok(event) = frame.event(0) else { panic!("an event just made is refused") };
    let mut line = Vec::new();
    write_event(&event, &mut line);
    let again = ImportEvent::from_json(&line);
    let text = String::from_utf8_lossy(&line);
    assert!(again.is_ok_and(|again| again.content_equals(&event, event.causation())), "{text}");
}

fn place() -> Place {
    Place {
        first: Position::new(1),
        durable: Position::ORIGIN,
        recorded_at: Timestamp::from_nanos(1),
        wall: None,
        clock_suspect: false,
        group_seq: 1,
        offset: FIRST_OFFSET,
    }
}

/// A pattern over types, and below it, on the next line, a type.
pub fn pattern(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (text, event_type) = text.split_once('\n').unwrap_or((&text, ""));
    let pattern = TypePattern::new(text);
    assert_eq!(pattern.to_string(), text);
    match pattern.literal() {
        Some(literal) => assert_eq!(pattern.matches(event_type), literal == event_type),
        None => {
            let _ = pattern.matches(event_type);
        }
    }
}

/// A text that may be a time or a duration; its first 8 bytes are what time it is now.
pub fn time(data: &[u8]) {
    let now = Timestamp::from_nanos(mend::number(data, 0) as i64);
    let text = String::from_utf8_lossy(data.get(8..).unwrap_or_default());
    match Timestamp::parse_relative(&text, now) {
        Ok(time) => assert_eq!(Timestamp::parse(&time.to_string()), Ok(time)),
        Err(error) => assert!(!error.to_string().contains(char::is_control)),
    }
    if let Err(error) = parse_duration(&text) {
        assert!(!error.to_string().contains(char::is_control));
    }
}

/// Must fail: panics on the first segment that gets through every check with a frame whose events
/// can be read. The input is that of [`segment`].
///
/// # Panics
/// As soon as a fuzzer gets so far, which shows that it does.
pub fn canary(data: &[u8]) {
    let mut bytes = raw_file(data);
    mend::segment(&mut bytes);
    let mut events = 0;
    scan_segment(&bytes, |frame| events += use_up::frame(frame));
    assert!(events == 0, "{events} events got through all checks, as they should");
}
