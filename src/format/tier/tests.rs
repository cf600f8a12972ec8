//! Runs against a plain list of pairs, and under damage.

mod hostile;

use std::convert::Infallible;

use super::{Covered, Templates, TierHeader, TierView, TierWriter, entry, keep};
use crate::event::LogId;
use crate::format::idx::Checked;
use crate::format::idx::pages::page_check;
use crate::format::leaf::Hash;
use crate::format::{PAGE_BYTES, Parsed};
use crate::position::Position;

/// The bytes of a run.
pub(super) fn write(
    log: LogId,
    first: Position,
    root: Hash,
    covered: &[Covered],
    templates: &Templates,
    entries: &[u64],
) -> Vec<u8> {
    let mut file = Vec::new();
    let put = |at: u64, bytes: &[u8]| {
        let end = at as usize + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[at as usize..end].copy_from_slice(bytes);
        Ok::<(), Infallible>(())
    };
    let mut writer = TierWriter::new(log, first, root, covered, templates, put).unwrap();
    entries.iter().for_each(|entry| writer.push(*entry).unwrap());
    let len = writer.finish().unwrap();
    assert_eq!(file.len() as u64, len);
    file
}

/// Segments that keep so many bits each, and the hashes in each.
struct Sample {
    covered: Vec<Covered>,
    hashes: Vec<Vec<u64>>,
    bytes: Vec<u8>,
}

fn sample(widths: &[u8], per_segment: u64) -> Sample {
    let mut state = 7u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ (state >> 29)
    };
    let common: Vec<u64> = (0..5).map(|_| next()).collect();
    let hashes: Vec<Vec<u64>> =
        widths.iter().map(|_| (0..per_segment).map(|_| next()).chain(common.iter().copied()).collect()).collect();
    let covered: Vec<Covered> =
        widths.iter().zip(&hashes).map(|(width, hashes)| Covered::new(10, *width, hashes.len() as u64)).collect();
    let mut entries: Vec<u64> = widths
        .iter()
        .zip(&hashes)
        .zip(0..)
        .flat_map(|((width, hashes), number)| {
            hashes.iter().map(move |hash| entry(hash >> (64 - width), *width, number))
        })
        .collect();
    entries.sort_unstable();
    entries.dedup();
    let bytes = write(LogId([3; 16]), Position::new(1), [5; 32], &covered, &Templates::default(), &entries);
    Sample { covered, hashes, bytes }
}

fn find(bytes: &[u8], hash: u64) -> Parsed<Vec<u16>> {
    let header = TierHeader::read(bytes).valid().unwrap();
    let checked = Checked::new(bytes.len() as u64);
    let view = TierView::new(bytes, &header, &checked);
    let segments = view.segments()?;
    let mut found = Vec::new();
    view.find(hash, &segments, &mut found)?;
    Ok(found)
}

/// Every segment that has a term is named for it, and few others.
fn is_found(widths: &[u8], per_segment: u64, step: usize) {
    let sample = sample(widths, per_segment);
    let header = TierHeader::read(&sample.bytes).valid().unwrap();
    let checked = Checked::new(sample.bytes.len() as u64);
    let view = TierView::new(&sample.bytes, &header, &checked);
    view.check_all().unwrap();
    assert_eq!(view.segments().unwrap(), sample.covered);
    let wanted = |hash: u64| -> Vec<u16> {
        let has = |(segment, hashes): (&Covered, &Vec<u64>)| {
            hashes.iter().any(|known| keep(*known, segment.width) == keep(hash, segment.width))
        };
        let named = sample.covered.iter().zip(&sample.hashes).zip(0u16..);
        named.filter(|(pair, _)| has(*pair)).map(|(_, number)| number).collect()
    };
    let all: Vec<u64> = sample.hashes.iter().flatten().step_by(step).copied().collect();
    let absent = (0..400u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for hash in all.into_iter().chain(absent).chain([0, u64::MAX, 1 << 63]) {
        let mut found = vec![9];
        view.find(hash, &sample.covered, &mut found).unwrap();
        assert_eq!(found[1..], wanted(hash), "{hash:x} of {widths:?}");
    }
}

#[test]
fn terms_are_found_among_few_segments() {
    is_found(&[20, 48, 12, 20, 21, 33, 48, 12], 60, 1);
    is_found(&[48], 500, 1);
}

#[test]
fn every_segment_that_has_a_term_is_named_and_few_others() {
    for widths in [vec![32; 40], vec![20, 48, 12, 20, 21, 33, 48, 12], vec![17; 300]] {
        is_found(&widths, 500, 41);
    }
}

#[test]
fn a_run_of_nothing_finds_nothing() {
    let bytes = write(LogId([3; 16]), Position::new(1), [5; 32], &[Covered::new(1, 12, 0)], &Templates::default(), &[]);
    for hash in [0, 1, u64::MAX] {
        assert_eq!(find(&bytes, hash).unwrap(), Vec::<u16>::new());
    }
}

/// No bit that is flipped makes a term absent: it is an error, or the answer is the same.
#[test]
fn flipped_bits_are_errors_or_harmless() {
    let sample = sample(&[20, 20, 33], 60);
    let terms: Vec<u64> = sample.hashes.iter().flatten().step_by(17).copied().collect();
    let good: Vec<Vec<u16>> = terms.iter().map(|hash| find(&sample.bytes, *hash).unwrap()).collect();
    for at in (0..sample.bytes.len()).step_by(crate::trials::STRIDE) {
        let mut bytes = sample.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        if TierHeader::read(&bytes).valid().is_none() {
            continue;
        }
        assert!(at >= PAGE_BYTES, "a header with byte {at} flipped is not valid");
        for (hash, good) in terms.iter().zip(&good).step_by(1 + at % 3) {
            assert!(find(&bytes, *hash).is_ok_and(|found| found == *good) || find(&bytes, *hash).is_err(), "byte {at}");
        }
        let header = TierHeader::read(&bytes).valid().unwrap();
        let checked = Checked::new(bytes.len() as u64);
        assert!(TierView::new(&bytes, &header, &checked).check_all().is_err(), "byte {at} went unnoticed");
    }
    for len in (0..sample.bytes.len()).step_by(97) {
        let cut = &sample.bytes[..len];
        if let Some(header) = TierHeader::read(cut).valid() {
            let checked = Checked::new(len as u64);
            assert!(TierView::new(cut, &header, &checked).check_all().is_err(), "{len} bytes");
        }
    }
}

#[test]
fn templates_come_back_and_too_many_are_left_out() {
    use crate::format::sealed::dictionary::IdCandidate;
    use crate::format::sealed::ids::{Mode, Template};
    let template = |number: i64| Template::new("k".into(), "wiki-\x02".into(), Mode::Position(number)).unwrap();
    let mut templates = Templates::default();
    templates.add(&template(-7), 1..=1);
    templates.add(&template(3), 0..=0);
    let mut later = Templates::default();
    later.add(&template(3), 0..=2);
    templates.add_all(&later, 4);
    let covered = [Covered::new(1, 12, 0); 7];
    let bytes = write(LogId([3; 16]), Position::new(1), [5; 32], &covered, &templates, &[]);
    let header = TierHeader::read(&bytes).valid().unwrap();
    let checked = Checked::new(bytes.len() as u64);
    let read = TierView::new(&bytes, &header, &checked).templates().unwrap();
    assert_eq!(read, templates);
    let mut found = Vec::new();
    read.candidates("wiki-10", |candidate, segments| found.push((candidate, segments)));
    let at = |position| IdCandidate::Position(Position::new(position));
    assert_eq!(found, [(at(17), 1..=1), (at(7), 0..=6)]);

    (0..2000).for_each(|number| templates.add(&template(number), 0..=0));
    assert!(templates.is_overflown());
    let bytes = write(LogId([3; 16]), Position::new(1), [5; 32], &covered, &templates, &[]);
    let header = TierHeader::read(&bytes).valid().unwrap();
    assert!(header.any_id);
    let checked = Checked::new(bytes.len() as u64);
    assert!(TierView::new(&bytes, &header, &checked).templates().unwrap().is_overflown());
}

/// As many pages as the sections have, each section on pages of its own.
#[test]
fn sections_follow_each_other() {
    let page = write(LogId([3; 16]), Position::new(1), [5; 32], &[Covered::new(1, 12, 0)], &Templates::default(), &[]);
    let one = TierHeader::read(&page).valid().unwrap();
    let header =
        TierHeader { segments: 255, templates: 1, templates_bytes: 4065, radix: 10, entries: 509, ..one.clone() };
    let starts = |header: &TierHeader| {
        let pages = header.pages().unwrap();
        [pages.templates, pages.directory, pages.entries, pages.end]
    };
    // 255 segments of 16 bytes, the templates, 1,025 words and 509 words in pages of 4,064 bytes.
    assert_eq!(starts(&header), [3, 5, 8, 10]);
    assert_eq!(starts(&TierHeader { segments: 254, templates_bytes: 4064, entries: 508, ..header }), [2, 3, 6, 7]);
    assert_eq!(starts(&one), [2, 2, 3, 3]);
}

/// Memory stays small however long the run: whoever writes it gets 128 pages at once.
#[test]
fn pages_are_put_as_soon_as_there_are_many() {
    let mut puts = Vec::new();
    let mut put = |at: u64, bytes: &[u8]| {
        puts.push((at / PAGE_BYTES as u64, bytes.len() / PAGE_BYTES));
        Ok::<(), Infallible>(())
    };
    let covered = [Covered::new(1, 48, 0)];
    let mut writer =
        TierWriter::new(LogId([3; 16]), Position::new(1), [5; 32], &covered, &Templates::default(), &mut put).unwrap();
    // Of 508 entries a page.
    (1..=130 * 508u64).for_each(|number| writer.push(number << 16).unwrap());
    assert_eq!(writer.finish().unwrap(), 133 * PAGE_BYTES as u64);
    assert_eq!(puts, [(1, 1), (3, 128), (2, 1), (131, 2), (0, 1)]);
}

/// The layout is a promise: other bytes for the same segments are another format.
#[test]
fn the_bytes_are_those_of_format_version_1() {
    let sample = sample(&[20, 48, 12, 20, 21, 33, 48, 12], 60);
    let found = xxhash_rust::xxh3::xxh3_64(&sample.bytes);
    assert_eq!(found, 0x70c4_fa04_35ab_2ac5, "found {found:#018x}");
}
