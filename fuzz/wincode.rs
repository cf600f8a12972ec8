//! Stored states, by bincode and by wincode: the same bytes from both, and the same state out of the same bytes. So bincode,
//! which nobody maintains, can be replaced without a change of the format.
//!
//! It is a file of its own because the library has no wincode; the fuzzer and `tests/fuzz_corpus.rs` include it.

use std::collections::BTreeMap;

use annals::fuzzing::{state_bytes, state_of_bytes};
use serde::{Deserialize, Serialize};
use wincode::config::Configuration;
use wincode::{SchemaRead, SchemaWrite};

/// A state with whatever a state can have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
struct Sample {
    text: String,
    number: i64,
    small: (i16, u16, i8, u8),
    middle: (i32, u32),
    size: u64,
    large: (u128, i128),
    ratio: (f64, f32),
    letter: char,
    maybe: Option<Box<Kind>>,
    list: Vec<(u16, bool)>,
    lists: Vec<Vec<u64>>,
    by_name: BTreeMap<String, u32>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, SchemaWrite, SchemaRead)]
enum Kind {
    Unit,
    Tuple(u32, i8),
    Named { name: String, unit: () },
}

/// A sample made of the bytes, through both; then the bytes themselves, taken for a written sample.
pub(crate) fn wincode(data: &[u8]) {
    // Built without bincode, states are JSON, and there is nothing to compare.
    if state_bytes(&7u8).is_none() {
        return;
    }
    let config = Configuration::default().with_varint_encoding();
    let sample = sample(data);
    let ours = state_bytes(&sample);
    let theirs = wincode::config::serialize(&sample, config).ok();
    assert!(ours.is_some() && ours == theirs, "{sample:?}: {ours:?} by bincode, {theirs:?} by wincode");

    let ours = state_of_bytes::<Sample>(data);
    let theirs = wincode::config::deserialize_exact::<Sample, _>(data, config);
    match (&ours, &theirs) {
        // Not compared as values, among which a number that is none is never the same.
        (Some(ours), Ok(theirs)) => assert_eq!(format!("{ours:?}"), format!("{theirs:?}")),
        (None, Err(_)) => {}
        _ => panic!("{ours:?} by bincode, {theirs:?} by wincode"),
    }
}

/// Takes what it needs from the bytes, and zeros when there are no more.
fn sample(mut data: &[u8]) -> Sample {
    fn take<const N: usize>(data: &mut &[u8]) -> [u8; N] {
        let mut bytes = [0; N];
        let (first, rest) = data.split_at(N.min(data.len()));
        bytes[..first.len()].copy_from_slice(first);
        *data = rest;
        bytes
    }
    fn number(data: &mut &[u8]) -> u64 {
        // Of every length, not most of the largest.
        let [shift] = take(data);
        u64::from_le_bytes(take(data)) >> (shift % 64)
    }
    fn text(data: &mut &[u8]) -> String {
        let [len] = take(data);
        let (first, rest) = data.split_at(usize::from(len).min(data.len()));
        *data = rest;
        String::from_utf8_lossy(first).into_owned()
    }
    fn kind(data: &mut &[u8]) -> Kind {
        match take::<1>(data)[0] % 3 {
            0 => Kind::Unit,
            1 => Kind::Tuple(number(data) as u32, number(data) as i8),
            _ => Kind::Named { name: text(data), unit: () },
        }
    }
    let data = &mut data;
    Sample {
        text: text(data),
        number: number(data) as i64,
        small: (number(data) as i16, number(data) as u16, number(data) as i8, number(data) as u8),
        middle: (number(data) as i32, number(data) as u32),
        size: number(data),
        large: (u128::from_le_bytes(take(data)) >> (number(data) % 128), i128::from_le_bytes(take(data))),
        ratio: (f64::from_bits(number(data)), f32::from_bits(number(data) as u32)),
        letter: char::from_u32(number(data) as u32).unwrap_or('\u{10ffff}'),
        maybe: number(data).is_multiple_of(2).then(|| Box::new(kind(data))),
        list: (0..number(data) % 5).map(|_| (number(data) as u16, number(data).is_multiple_of(2))).collect(),
        lists: (0..number(data) % 4).map(|_| (0..number(data) % 4).map(|_| number(data)).collect()).collect(),
        by_name: (0..number(data) % 4).map(|_| (text(data), number(data) as u32)).collect(),
        kind: kind(data),
    }
}
