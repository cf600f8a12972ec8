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
