//! Damaged, hostile and incomplete files: the right answer or an error, and never a panic.

use proptest::prelude::*;

use super::*;
use crate::format::bytes::{Put, u32_at, u64_at};
use crate::format::filter::FilterShape;
use crate::format::idx::header::{Counts, Layout, MAGIC, Section};

proptest! {
    #![proptest_config(crate::trials::cases(1_000))]

    /// Numbers that nobody would write, under checks that hold: an answer or an error, no panic.
    #[test]
    fn hostile_numbers_are_survived(
        pokes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..6, any::<u64>()), 1..6),
        in_header in any::<bool>(),
    ) {
        let (mut file, oracle) = build(&small());
        for (at, kind, value) in pokes {
            // Only the header's fields, or only what the pages hold.
            let (start, len) = if in_header { (20, 284) } else { (PAGE_BYTES, file.len() - PAGE_BYTES) };
            let at = start + at.index(len / 4) * 4;
            let value = match kind {
                0 => u64::from(u32::MAX),
                1 => value % 64,
                2 => u64::from(header_rows(&file)).wrapping_sub(value % 3),
                3 => 1 << (value % 32),
                _ => value,
            };
            file[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
        }
        reseal(&mut file);
        if let Read::Valid(header) = IdxHeader::read(&file[..PAGE_BYTES]) {
            let checked = Checked::new(file.len() as u64);
            poke_all(&IdxView::new(&file, &header, &checked), &oracle);
        }
    }
}

fn header_rows(file: &[u8]) -> u32 {
    u32_at(file, 80).unwrap()
}

/// Gives every page the check that its bytes ask for, as an attacker would.
fn reseal(file: &mut [u8]) {
    let salt = u64_at(file, 48).unwrap();
    let check_at = 304;
    let check = xxhash_rust::xxh3::xxh3_64_with_seed(&file[..check_at], u64::from_le_bytes(MAGIC));
    file[check_at..check_at + 8].copy_from_slice(&check.to_le_bytes());
    pages::seal(file, salt);
}

/// Asks everything, whatever the answers.
fn poke_all(view: &IdxView<'_>, oracle: &Oracle) {
    let _ = view.check_all();
    let _ = view.type_names();
    for row in 0..oracle.places.len() as u32 + 2 {
        let _ = view.place(row);
    }
    for zone in view.zones().take(10) {
        let _ = zone;
    }
    for &(hash, _) in oracle.terms.keys() {
        for dimension in DIMENSIONS {
            if let Ok(Some(term)) = view.find(dimension, hash)
                && let Ok(postings) = view.postings(&term, 1..u32::MAX)
            {
                let rows = postings.clone().take(100).chain(postings.rev().take(100));
                assert!(rows.flatten().all(|row| row < view.header.rows));
            }
        }
    }
    for index in 0..view.header.layout.terms.count.min(1_000) {
        let _ = view.term(index).and_then(|term| view.postings(&term, 0..7)).map(|postings| postings.take(100).count());
    }
}

/// A filter that could not be made is left out, and then every hash may be there.
#[test]
fn without_a_filter_the_answers_are_the_same() {
    let (file, oracle) = build(&small());
    let whole = header(&file);
    let mut counts = Counts {
        rows: whole.rows,
        terms: whole.layout.terms.count,
        postings: whole.layout.postings.count,
        types: whole.layout.types.count,
        types_bytes: whole.layout.types.len,
        fingerprints: whole.layout.filter.count,
    };
    assert_eq!(Layout::new(&counts), whole.layout);
    counts.fingerprints = 0;
    let layout = Layout::new(&counts);
    let bare = IdxHeader { filter: None, layout, file_bytes: pages::file_bytes(layout.space), ..whole };
    let mut file = file[..bare.file_bytes as usize].to_vec();
    file[..PAGE_BYTES].copy_from_slice(&bare.encode()[..]);
    pages::seal(&mut file, FACTS.salt);
    assert_whole(&file, &oracle);
    let checked = Checked::new(bare.file_bytes);
    assert!(IdxView::new(&file, &bare, &checked).may_contain(1).unwrap());
    // A filter where the flag says there is none, and the other way round.
    for wrong in [IdxHeader { filter: Some(FilterShape::default()), ..bare }, IdxHeader { filter: None, ..whole }] {
        assert!(matches!(IdxHeader::read(&wrong.encode()[..]), Read::Bad(_)));
    }
}

#[test]
fn every_flipped_bit_is_found_and_gives_no_wrong_answer() {
    let (mut file, oracle) = build(&small());
    assert!(file.len() >= 3 * PAGE_BYTES, "more than one page: {}", file.len());
    for bit in (0..file.len() * 8).step_by(crate::trials::STRIDE) {
        file[bit / 8] ^= 1 << (bit % 8);
        match IdxHeader::read(&file[..PAGE_BYTES]) {
            Read::Valid(header) => {
                assert!(bit / 8 >= PAGE_BYTES, "bit {bit} of the header");
                let checked = Checked::new(file.len() as u64);
                let view = IdxView::new(&file, &header, &checked);
                assert!(view.check_all().is_err(), "bit {bit}");
                // The pages that are whole still answer; those of the flipped one are errors.
                if bit % 61 == 0 {
                    assert!(compare(&view, &oracle) > 0, "bit {bit}");
                }
            }
            _ => assert!(bit / 8 < PAGE_BYTES, "bit {bit} beyond the header"),
        }
        file[bit / 8] ^= 1 << (bit % 8);
    }
    assert_whole(&file, &oracle);
}

#[test]
fn pages_in_the_wrong_place_are_found() {
    let (file, oracle) = build(&small());
    let (foreign, _) = {
        let (mut builder, oracle) = add_all(&small());
        builder.facts.salt += 1;
        (builder.finish(oracle.end_offset, LAST_CHECK), oracle)
    };
    let header = header(&file);
    let page = |file: &[u8], page: usize| file[page * PAGE_BYTES..(page + 1) * PAGE_BYTES].to_vec();
    for (from, to) in [(1, 2), (2, 1)] {
        let mut swapped = file.clone();
        swapped[to * PAGE_BYTES..(to + 1) * PAGE_BYTES].copy_from_slice(&page(&file, from));
        let mut mixed = file.clone();
        mixed[to * PAGE_BYTES..(to + 1) * PAGE_BYTES].copy_from_slice(&page(&foreign, to));
        let mut zeroed = file.clone();
        zeroed[to * PAGE_BYTES..(to + 1) * PAGE_BYTES].fill(0);
        for damaged in [swapped, mixed, zeroed] {
            let checked = Checked::new(header.file_bytes);
            let view = IdxView::new(&damaged, &header, &checked);
            assert!(view.check_all().is_err());
            assert!(compare(&view, &oracle) > 0);
        }
    }
}

#[test]
fn a_view_of_a_cut_file_answers_or_fails() {
    let (file, oracle) = build(&small());
    let header = header(&file);
    for len in (0..file.len()).step_by(crate::trials::STRIDE) {
        let checked = Checked::new(header.file_bytes);
        let view = IdxView::new(&file[..len], &header, &checked);
        if len % 97 == 0 {
            compare(&view, &oracle);
        }
        assert!(view.place(0).is_err() || len >= 2 * PAGE_BYTES);
    }
}

/// What page checks cannot see, because whoever wrote it sealed it: `check_all` reads the meaning, and says where.
#[test]
fn what_is_no_index_under_good_checks_is_found() {
    let (file, _) = build(&small());
    let whole = header(&file);
    let Layout { frames, indices, zones, terms, postings, types, .. } = whole.layout;
    let place = |section: Section, byte: u64| pages::file_offset(section.offset + byte) as usize;
    type Change<'a> = Box<dyn Fn(&mut [u8]) + 'a>;
    let poke = |place: usize, value: u32| -> Change<'_> {
        Box::new(move |file| {
            Put(file).u32(place, value);
        })
    };
    let index = |row: u64, value: u16| -> Change<'_> {
        let at = place(indices, row * 2);
        Box::new(move |file| {
            Put(file).u16(at, value);
        })
    };
    let copy = |from: u64, to: u64| -> Change<'_> {
        let (from, to) = (place(terms, from * 32), place(terms, to * 32));
        Box::new(move |file| file.copy_within(from..from + 32, to))
    };
    let number = |at: usize| u32_at(&file, at).unwrap();
    let rows_of = |term: u64| number(place(terms, term * 32 + 20));
    // The first term of one row behind another, and the first of more; where its postings stand.
    let single = (1..).find(|term| rows_of(*term) == 1 && file[place(terms, term * 32 + 28)] != 1).unwrap();
    let several = (0..).find(|term| rows_of(*term) > 1).unwrap();
    let field = |term: u64, at: u64| place(terms, term * 32 + at);
    let start = u64::from(number(field(several, 16)));
    let rows = whole.rows;
    let (last, row) = (u64::from(rows) - 3, |row: u64| place(frames, row * 4));
    let (one, more) = (field(single, 0), field(several, 0));
    // The last term of several rows, without the last of them.
    let tail = (0..u64::from(terms.count)).rev().find(|term| rows_of(*term) > 1).unwrap();
    let (left, start_of_tail) = (rows_of(tail) - 1, u64::from(number(field(tail, 16))));
    let shorter: Change<'_> = Box::new(|file| {
        let last_row = number(place(postings, (start_of_tail + u64::from(left) - 1) * 4));
        let start = if left > 1 { start_of_tail as u32 } else { 0 };
        Put(file).u32(field(tail, 16), start).u32(field(tail, 20), left).u32(field(tail, 24), last_row);
    });
    let changes: Vec<(&str, Change<'_>, usize)> = vec![
        ("nothing", Box::new(|_| {}), 0),
        ("a first frame before the first", poke(row(0), 3), row(0)),
        ("a first index that is none", index(0, 1), row(0)),
        ("a frame beyond what is covered", poke(row(last), u32::MAX), row(last)),
        ("a frame that begins where all is covered", poke(row(last), (whole.end_offset / 64) as u32), row(last)),
        ("an index that leaps", index(2, 7), row(2)),
        ("a row twice", index(1, 0), row(1)),
        ("a frame that begins in its midst", index(3, 1), row(3)),
        ("a frame before the one before", poke(row(3), 64), row(3)),
        ("recorded the wrong way round", poke(place(zones, 4), i32::MAX as u32), place(zones, 0)),
        ("occurred the wrong way round", poke(place(zones, 20), i32::MAX as u32), place(zones, 0)),
        ("a zone beyond the bounds", poke(place(zones, 8), 1_000_000), 88),
        (
            "terms out of order",
            Box::new(|file| {
                let (first, second) = (field(0, 0), field(1, 0));
                let copy = file[second..second + 32].to_vec();
                file.copy_within(first..first + 32, second);
                file[first..first + 32].copy_from_slice(&copy);
            }),
            field(1, 0),
        ),
        ("a term twice", copy(single - 1, single), if several == single - 1 { one - 32 } else { one }),
        ("a hash that the filter does not know", poke(field(0, 0), 1), field(0, 0)),
        ("a dimension that is none", poke(one + 28, 12), one),
        ("a dimension of no value", poke(one + 28, 0), one),
        ("a version of what has none", poke(one + 8, 1), one),
        ("a term of no rows", poke(more + 20, 0), more),
        ("a term of too many rows", poke(more + 20, rows + 1), more),
        ("more postings than there are", poke(more + 16, postings.count), more),
        ("postings that are not the next", poke(more + 16, start as u32 + 1), more),
        ("postings of a single row", poke(one + 16, 1), one),
        ("a last row that is another", poke(more + 24, 0), more),
        ("a last row that is none", poke(more + 24, rows), more),
        ("a posting that is no row", poke(place(postings, start * 4), rows), place(postings, start * 4)),
        ("postings that fall", poke(place(postings, start * 4), rows - 1), more),
        ("a posting twice", poke(place(postings, start * 4 + 4), number(place(postings, start * 4))), more),
        ("more postings than the terms have", shorter, place(postings, 0)),
        ("a type of another hash", poke(place(types, 0), 1), place(types, 0)),
        ("a type of another name", Box::new(|file| file[place(types, 14 + 2)] = b'x'), place(types, 0)),
        (
            "a type twice",
            Box::new(|file| file.copy_within(place(types, 0)..place(types, 17), place(types, 17))),
            place(types, 0),
        ),
        ("a type of more rows than its term has", poke(place(types, 8), rows), place(types, 0)),
        ("a type of no rows", poke(place(types, 8), 0), place(types, 0)),
        ("a second type that is longer", poke(place(types, 17 + 12), 0xFFFF), place(types, 17)),
        ("a type that is longer than the section", poke(place(types, 12), 0xFFFF), place(types, 0)),
    ];
    for (name, change, expected) in changes {
        let mut changed = file.clone();
        change(&mut changed);
        reseal(&mut changed);
        let checked = Checked::new(changed.len() as u64);
        let verdict = IdxView::new(&changed, &header(&changed), &checked).check_all();
        assert_eq!(verdict.map_err(|bad| bad.offset as usize).err().unwrap_or(0), expected, "{name}");
    }

    // Of more than 1,024 rows, the second zone.
    let (mut file, _) = build(&large(1_100));
    let zone = place(header(&file).layout.zones, 32);
    poke(zone + 4, i32::MAX as u32)(&mut file);
    reseal(&mut file);
    let checked = Checked::new(file.len() as u64);
    let verdict = IdxView::new(&file, &header(&file), &checked).check_all();
    assert_eq!(verdict.unwrap_err().offset as usize, zone);
}

/// The layout is a promise: other bytes for the same events are another format. (Other fingerprints
/// are not: a reader takes the shape of the filter from the header.)
#[test]
fn the_bytes_are_those_of_format_version_1() {
    let (file, oracle) = build(&small());
    let known = header(&file);
    assert_eq!(&file[..12], b"ANNALIDX\x01\x00\x01\x00");
    assert_eq!((u32_at(&file, 20), &file[24..40]), (Some(3), &FACTS.log.0[..]));
    let words = [FACTS.base.get(), FACTS.salt, oracle.end_offset, LAST_CHECK, file.len() as u64, 72];
    assert_eq!([40, 48, 56, 64, 72, 80].map(|at| u64_at(&file, at).unwrap()), words);
    assert_eq!(file[88..120], known.zone.encode());
    let layout = &known.layout;
    let offsets: Vec<u64> = (0..7).map(|index| u64_at(&file, 136 + index * 24).unwrap()).collect();
    let (terms, filter) = (layout.terms.offset, layout.filter.offset);
    assert_eq!(offsets, [0, 288, 448, 480, terms + 32 * u64::from(layout.terms.count), layout.types.offset, filter]);
    let checked = Checked::new(known.file_bytes);
    let space = IdxView::new(&file, &known, &checked).space.copy(0, filter).unwrap();
    let hash = xxhash_rust::xxh3::xxh3_64(&space);
    assert_eq!(hash, 0xf95c_9742_69ba_8f77, "found {hash:#018x}");
}

/// Whoever looks a term up is told before it is used.
#[test]
fn a_term_beyond_its_bounds_is_none() {
    let (file, _) = build(&large(200));
    let whole = header(&file);
    let (terms, postings, rows) = (whole.layout.terms, whole.layout.postings.count, whole.rows);
    let at = |index: u32| pages::file_offset(terms.offset + u64::from(index) * 32) as usize;
    let last = terms.count - 1;
    assert!(at(last) > at(0) + 32 * last as usize, "the terms go over pages");
    let with = |start: u32, count: u32, last_row: u32| {
        let mut changed = file.clone();
        Put(&mut changed).u32(at(last) + 16, start).u32(at(last) + 20, count).u32(at(last) + 24, last_row);
        reseal(&mut changed);
        let checked = Checked::new(changed.len() as u64);
        let term = IdxView::new(&changed, &whole, &checked).term(last);
        term.map(|term| (term.start, term.count, term.last_row)).map_err(|bad| bad.offset as usize)
    };
    let refused = Err(at(last));
    assert_eq!(with(0, 1, rows - 1), Ok((0, 1, rows - 1)));
    assert_eq!((with(0, 1, rows), with(0, 0, 0)), (refused, refused));
    assert_eq!(with(postings - 2, 2, 5), Ok((postings - 2, 2, 5)));
    assert_eq!((with(postings - 1, 2, 5), with(u32::MAX, 2, 5)), (refused, refused));
    assert_eq!(with(0, rows, 5), Ok((0, rows, 5)));
    assert_eq!(with(0, rows + 1, 5), refused);
}

#[test]
fn without_postings_or_terms_the_answers_are_the_same() {
    let (file, oracle) = build(&large(1));
    assert_eq!(header(&file).layout.postings.count, 0);
    assert_whole(&file, &oracle);
    let layout = Layout::new(&Counts::default());
    let bare = IdxHeader { filter: None, has_types: false, rows: 0, file_bytes: 4096, layout, ..header(&file) };
    let checked = Checked::new(4096);
    let page = bare.encode();
    let view = IdxView::new(&page[..], &bare, &checked);
    assert_eq!(view.find(Dimension::Type, 7).unwrap(), None);
    assert_eq!(view.type_names().unwrap(), None);
}

/// Counts that no writer reaches, in a header that is as long as it says.
#[test]
fn a_header_beyond_the_limits_is_none() {
    let whole = header(&build(&small()).0);
    let is_sane = |change: &dyn Fn(&mut Counts, &mut IdxHeader)| {
        let mut counts = Counts { rows: 1, types: 1, types_bytes: 15, ..Counts::default() };
        let mut header = IdxHeader { filter: None, ..whole };
        change(&mut counts, &mut header);
        (header.rows, header.layout) = (counts.rows, Layout::new(&counts));
        header.file_bytes = pages::file_bytes(header.layout.space);
        IdxHeader::read(&header.encode()[..]).valid().is_some()
    };
    assert!(is_sane(&|_, _| ()));
    assert!(is_sane(&|counts, _| counts.rows = ROWS_MAX) && !is_sane(&|counts, _| counts.rows = ROWS_MAX + 1));
    assert!(is_sane(&|counts, _| (counts.types, counts.types_bytes) = (4096, 4096 * 14)));
    assert!(!is_sane(&|counts, _| (counts.types, counts.types_bytes) = (4097, 4097 * 14)));
    assert!(!is_sane(&|counts, _| (counts.types, counts.types_bytes) = (4096, 4096 * 14 - 1)));
    assert!(is_sane(&|counts, _| counts.types_bytes = TYPES_BYTES_MAX));
    assert!(!is_sane(&|counts, _| counts.types_bytes = TYPES_BYTES_MAX + 1));
    // Names where the flag says there are none.
    assert!(!is_sane(&|_, header| header.has_types = false));
    assert!(is_sane(&|counts, header| (counts.types, counts.types_bytes, header.has_types) = (0, 0, false)));
    // A filter of another length than its shape has.
    let shape = FilterShape { seed: 1, segment_len: 4, segment_count_len: 8 };
    assert!(is_sane(&|counts, header| (counts.fingerprints, header.filter) = (16, Some(shape))));
    assert!(!is_sane(&|counts, header| (counts.fingerprints, header.filter) = (15, Some(shape))));

    let poked = |at: usize, bits: u8| {
        let mut page = whole.encode();
        page[at] ^= bits;
        reseal(&mut page[..]);
        IdxHeader::read(&page[..]).valid().is_some()
    };
    assert!(poked(20, 0) && !poked(20, 4), "a flag that means nothing");
    assert!(!poked(73, 0x10), "another length of the file");
    assert!(!poked(160, 32) && !poked(168, 2) && !poked(176, 1), "a section in another place");
}
