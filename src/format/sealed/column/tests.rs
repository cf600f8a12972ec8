//! Columns in every codec.

use super::pack::*;
use super::*;
use proptest::prelude::*;

fn parse_all(codec: u8, body: &[u8], count: usize) -> Parsed<Ints> {
    Ints::parse(codec, body, 0..body.len(), count)
}

fn check(codec: u8, body: &[u8], values: &[i64]) {
    // Anywhere in a larger buffer.
    let bytes = [&[0x55; 7], body, &[0xAA; 3]].concat();
    let column = Ints::parse(codec, &bytes, 7..7 + body.len(), values.len()).unwrap();
    let mut all = Vec::new();
    column.unpack(&bytes, &mut all);
    assert_eq!(all, values, "codec {codec}");
    for (index, value) in values.iter().enumerate() {
        assert_eq!(column.get(&bytes, index), *value, "codec {codec}, {index}");
    }
    for cut in 0..body.len() {
        assert!(parse_all(codec, &body[..cut], values.len()).is_err(), "codec {codec} cut to {cut}");
    }
}

fn check_every(values: &[i64]) {
    let mut body = Vec::new();
    let codec = encode(values, &mut body);
    check(codec, &body, values);
    if values.is_empty() {
        return;
    }
    let mut body = Vec::new();
    packed(values, &mut body);
    check(PACKED, &body, values);
    for (codec, body) in [
        (RUNS, runs(values)),
        (DELTA, delta(values)),
        (TABLE, table(values)),
        (FIRST, first_appearances(values)),
        (REPEATS, repeats(values)),
    ] {
        if let Some(body) = body {
            check(codec, &body, values);
        }
    }
}

#[test]
fn the_edges_come_back() {
    check_every(&[]);
    check_every(&[i64::MIN]);
    check_every(&[i64::MIN, i64::MAX]);
    check_every(&[i64::MAX, i64::MIN, 0, -1, 1, i64::MAX]);
    check_every(&[i64::MIN, 0]);
    check_every(&[i64::MIN, -1]);
    check_every(&[0, i64::MAX]);
    check_every(&[0, i64::MAX, 0, i64::MAX]);
    check_every(&(1..=1024).collect::<Vec<_>>());
    check_every(&(0..1024).map(|n| n * 1_000_000_000 + 1_700_000_000_000_000_000).collect::<Vec<_>>());
    check_every(&(0..1024).map(|n| n / 100).collect::<Vec<_>>());
    check_every(&(0..5000).map(|n| n % 7 * 12).collect::<Vec<_>>());
}

#[test]
fn a_column_takes_the_codec_that_suits_it() {
    let codec = |values: &[i64]| {
        let mut out = Vec::new();
        (encode(values, &mut out), out.len())
    };
    assert_eq!(codec(&[5; 1024]), (CONSTANT, 1));
    assert_eq!(codec(&(1..=1024).collect::<Vec<_>>()).0, DELTA);
    let times: Vec<i64> = (0..1024).map(|n| 1_700_000_000_000_000_000 + n * n * 1_000_000).collect();
    assert_eq!(codec(&times).0, DELTA);
    let scattered: Vec<i64> = (0..1024).map(|n| n * 7919 % 1021).collect();
    assert_eq!(codec(&scattered).0, PACKED);
    let few: Vec<i64> = (0..1024).map(|n| [35, 38, 108][(n * n * 31 + n * 7) % 1021 % 3]).collect();
    assert_eq!(codec(&few).0, TABLE);
    let batches: Vec<i64> = (0..1024).map(|n| n / 500 * 123_456_789).collect();
    assert_eq!(codec(&batches).0, RUNS);
    let subjects: Vec<i64> =
        (0..1024).map(|n| if n % 2 == 0 { n / 2 + 1 } else { n * 7919 % 1021 % (n / 2 + 1) }).collect();
    assert_eq!(codec(&subjects).0, FIRST);
    let bursts: Vec<i64> = (0..1024).map(|n| n / 3 * 7919 % 1021).collect();
    assert_eq!(codec(&bursts).0, REPEATS);
}

#[test]
fn columns_of_any_bytes_are_errors_or_some_values() {
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    let mut out = Vec::new();
    for round in 0..60_000usize {
        let bytes: Vec<u8> = (0..round % 40).map(|_| if random() % 3 == 0 { random() } else { random() % 8 }).collect();
        let count = usize::from(random()) * (round % 5);
        if let Ok(column) = parse_all(random() % 8, &bytes, count) {
            column.unpack(&bytes, &mut out);
            assert_eq!(out.len(), count);
            for index in [0, count / 2, count, count + 1, usize::MAX >> 8] {
                column.get(&bytes, index);
            }
        }
    }
}

/// A codec that is slower to read is taken where it saves enough, and within the limits of what it may hold.
#[test]
fn a_slower_codec_has_to_save_something() {
    let codec = |values: &[i64]| encode(values, &mut Vec::new());
    let random = |n: i64| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()).cast_signed();
    // Of 1,024 values so many that differ from the one before.
    let changing = |count: i64, value: &dyn Fn(i64) -> i64| -> Vec<i64> {
        let repeated = 1_024 - count;
        (0..1_024).map(|n| value(if n < 2 * repeated { n / 2 } else { n - repeated })).collect()
    };
    assert_eq!((codec(&changing(896, &random)), codec(&changing(897, &random))), (REPEATS, PACKED));
    let bytes = |n: i64| n * 101 % 256;
    assert_eq!((codec(&changing(800, &bytes)), codec(&changing(888, &bytes))), (REPEATS, PACKED));
    let (mut packed_body, repeats_body) = (Vec::new(), repeats(&changing(888, &bytes)).unwrap());
    packed(&changing(888, &bytes), &mut packed_body);
    assert!(repeats_body.len() < packed_body.len(), "it would have saved, but too little");
    let different = |values: i64, count: i64| codec(&(0..count).map(|n| random(n * 7 % values)).collect::<Vec<_>>());
    assert_eq!((different(10, 20), different(11, 20)), (TABLE, PACKED));
    assert_eq!((different(256, 1_024), different(257, 1_024)), (TABLE, PACKED));
    let constant = |values: &[i64]| {
        let mut body = Vec::new();
        let codec = encode(values, &mut body);
        parse_all(codec, &body, values.len()).unwrap().constant()
    };
    assert_eq!((constant(&[7; 5]), constant(&[7, 8, 7, 8])), (Some(7), None));
}

/// Of each series the codec and the bytes: what is sealed again from the same events is the same file.
#[test]
fn the_bytes_are_those_of_format_version_1() {
    let random = |n: i64| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()).cast_signed();
    let mut series: Vec<Vec<i64>> = vec![
        (0..1024).map(|n| random(n) % 1_000).collect(),
        (0..1024).map(|n| 1_700_000_000_000_000_000 + n * 1_000_000 + random(n) % 1_000 * 1_000).collect(),
        (0..1024).map(|n| n * 12 + random(n / 70) % 5 * 12).collect(),
        (0..300).map(|n| [35, 38, 108, -7][(random(n) & 3) as usize]).collect(),
        (0..300).map(|n| [35, 1 << 50][usize::from(random(n) % 4 == 0)]).collect(),
        (0..1024).map(|n| random(n / 40)).collect(),
        (0..1024).map(|n| random(n / 3) % 700).collect(),
        (0..1024).map(|n| if random(n) % 3 == 0 { 5 } else { n / 2 }).collect(),
        (0..257).map(|n| n * n % 257 * 1_000).collect(),
        (0..9).map(random).collect(),
    ];
    // Subjects in order of first appearance, and lengths that are mostly the same.
    let (mut seen, mut subjects) = (Vec::new(), Vec::new());
    for n in 0..1024 {
        let subject = random(n) % 300;
        let known = seen.iter().position(|other| *other == subject).unwrap_or_else(|| {
            seen.push(subject);
            seen.len() - 1
        });
        subjects.push(known as i64 + 1);
    }
    series.push(subjects);
    series.push((0..1024).map(|n| if n % 97 == 0 { random(n) % 100 } else { 17 }).collect());
    for len in [1, 2, 3, 7, 8, 63, 64, 65, 128, 129] {
        series.push((0..len).map(|n| n / 2 * 3).collect());
        series.push((0..len).map(|n| random(n) % 10).collect());
    }
    let (mut out, mut codecs) = (Vec::new(), Vec::new());
    for values in &series {
        let codec = encode(values, &mut out);
        codecs.push(codec);
        out.push(codec);
    }
    assert_eq!(codecs[..12], [1, 3, 3, 4, 1, 2, 6, 6, 1, 1, 5, 2]);
    let found = xxhash_rust::xxh3::xxh3_64(&out);
    assert_eq!(found, 0x9177_331c_59e8_4b70, "found {found:#018x}");
}

/// Columns that no writer makes, and where reading them ends.
#[test]
fn what_is_no_column_is_told_where_it_stands() {
    let offset = |codec: u8, body: &[u8], count: usize| {
        let bytes = [&[0x55; 7], body, &[0xAA; 3]].concat();
        Ints::parse(codec, &bytes, 7..7 + body.len(), count).err().map(|bad| bad.offset as usize - 7)
    };
    assert_eq!(Ints::parse(CONSTANT, &[0; 4], 3..5, 1).unwrap_err().offset, 3, "beyond the bytes");
    assert_eq!(offset(CONSTANT, &[2], 9), None);
    assert_eq!(offset(CONSTANT, &[2, 2], 9), Some(1), "more bytes");
    assert_eq!(offset(7, &[2], 9), Some(0), "a codec that is none");
    // Base, unit, width, and nine numbers of four bits.
    let packed = |unit: u8, width: u8| [&[2, unit, width][..], &[0; 100]].concat();
    assert_eq!(offset(PACKED, &packed(1, 4)[..3 + 5], 9), None);
    assert_eq!(offset(PACKED, &packed(1, 4)[..3 + 6], 9), Some(8));
    assert_eq!(offset(PACKED, &packed(0, 4)[..3 + 5], 9), Some(2), "a unit of nothing");
    assert_eq!(offset(PACKED, &packed(1, 64)[..3 + 72], 9), None);
    assert_eq!(offset(PACKED, &packed(1, 65)[..3 + 74], 9), Some(3), "a width beyond 64");

    // Runs, their ends in four bits each, and a constant.
    let runs = |runs: u8, ends: &[u8]| offset(RUNS, &[&[runs][..], ends, &[CONSTANT, 2]].concat(), 9);
    assert_eq!(runs(1, &[]), None);
    assert_eq!(runs(3, &[0x81]), None, "ends at 1 and 8");
    assert_eq!(runs(9, &[0x21, 0x43, 0x65, 0x87]), None, "each of one row");
    assert_eq!(runs(0, &[]), Some(1), "no runs");
    assert_eq!(runs(10, &[0x21, 0x43, 0x65, 0x87, 0x09]), Some(1), "more than there are rows");
    for (ends, why) in
        [([0x11], "the same end"), ([0x12], "ends that fall"), ([0x10], "none at all"), ([0x91], "behind")]
    {
        assert_eq!(runs(3, &ends), Some(2), "{why}");
    }

    // Base, unit, step, width of the starts, a width for each 64 rows, starts of 8 bits, deltas of 1 bit.
    let delta = |count: usize, width: u8| {
        let minis = count.div_ceil(MINI);
        let deltas = (0..minis).map(|mini| packed_bytes((count - mini * MINI).min(MINI) - 1, width)).sum::<usize>();
        offset(DELTA, &[&[2, 1, 2, 8][..], &vec![width; minis], &vec![0; minis + deltas]].concat(), count)
    };
    assert_eq!((delta(0, 1), delta(1, 1), delta(64, 1), delta(65, 1), delta(1024, 64)), (None, None, None, None, None));
    assert_eq!(delta(1025, 1), Some(2), "more than a block has");
    assert_eq!(delta(65, 65), Some(4 + 2), "a width beyond 64");

    // Which may stand in which: 1 runs and repeats in none, others in these two.
    let table = [&[0, CONSTANT, 2][..], &[]].concat();
    let first = |inner: &[u8]| [&[0, 0][..], inner].concat();
    let one_run = [1, CONSTANT, 2];
    let repeats = |inner: &[u8]| offset(REPEATS, &[&[1, 0][..], inner].concat(), 9).is_none();
    let inner = |codec: u8, body: &[u8]| [&[codec][..], body].concat();
    assert!(repeats(&inner(CONSTANT, &[2])) && repeats(&inner(TABLE, &table)));
    assert!(repeats(&inner(FIRST, &[&[0][..], &[CONSTANT, 2]].concat())));
    assert!(!repeats(&inner(RUNS, &one_run)) && !repeats(&inner(REPEATS, &[&[1][..], &[CONSTANT, 2]].concat())));
    let in_first = |inner: &[u8]| offset(FIRST, &first(inner), 9).is_none();
    assert!(in_first(&inner(CONSTANT, &[2])) && in_first(&inner(PACKED, &packed(1, 4)[..3 + 5])));
    for (codec, body) in [(TABLE, &table[..]), (RUNS, &one_run), (DELTA, &[2, 1, 2, 0, 0]), (FIRST, &first(&[0, 2]))] {
        assert!(!in_first(&inner(codec, body)), "codec {codec}");
    }
}

proptest! {
    #[test]
    fn any_numbers_come_back(values in prop::collection::vec(any::<i64>(), 0..200)) {
        check_every(&values);
    }

    #[test]
    fn close_numbers_come_back(base in any::<i64>(), unit in 1i64..1_000_000_000, values in prop::collection::vec(0i64..50, 0..1024)) {
        let values: Vec<i64> = values.iter().map(|value| base.wrapping_add(value * unit)).collect();
        let mut body = Vec::new();
        let codec = encode(&values, &mut body);
        let column = parse_all(codec, &body, values.len()).unwrap();
        let mut all = Vec::new();
        column.unpack(&body, &mut all);
        prop_assert_eq!(&all, &values);
        for (index, value) in values.iter().enumerate() {
            prop_assert_eq!(column.get(&body, index), *value);
        }
    }
}
