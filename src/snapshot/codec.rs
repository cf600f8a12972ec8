//! A state as bytes, and back.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | how the state was written: 1 JSON, 2 bincode 2 (little-endian, variable-length integers) |
//! | 1 | 3 | zero |
//! | 4 | 4 | length of the written state, u32 little-endian |
//! | 8 | | the written state as one zstd frame |
//!
//! Whoever stores these bytes checks them; here they are taken for the work of an honest but perhaps different program,
//! and still cost no more memory than their declared length, which is limited.
//!
//! bincode names no fields. A type that leaves fields out when writing, or asks what comes when reading (serde's
//! `skip_serializing_if`, `flatten`, `untagged`, a `serde_json::Value` within), would come back as an error or, worse, as
//! another value. So a state is read back when it is written, and compared; one that does not come back the same is
//! written as JSON instead.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::limits::STATE_BYTES_MAX;

const JSON: u8 = 1;
const BINCODE: u8 = 2;
const HEAD_BYTES: usize = 8;
/// States are small and written in the background: speed counts more than the last byte.
const LEVEL: i32 = 3;

/// Why a state was not written or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CodecError {
    /// This build can't read how it was written.
    #[cfg_attr(feature = "bincode", allow(dead_code, reason = "a build with all features reads everything"))]
    Without(&'static str),
    /// Longer than the limit.
    TooLarge(usize),
    /// The state does not come back out of its own bytes.
    NotStorable(String),
    Damaged(String),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::Without(feature) => {
                write!(f, "written with {feature}, which this program was built without")
            }
            CodecError::TooLarge(bytes) => write!(f, "a state of {bytes} bytes: at most {STATE_BYTES_MAX} are stored"),
            CodecError::NotStorable(why) => write!(f, "the state can't be stored: {why}"),
            CodecError::Damaged(why) => write!(f, "no state of this shape: {why}"),
        }
    }
}

impl std::error::Error for CodecError {}

/// The bytes of a state.
pub(crate) fn encode<T: Serialize + DeserializeOwned>(state: &T) -> Result<Vec<u8>, CodecError> {
    let (code, written) = match compact(state)? {
        Some(bytes) => (BINCODE, bytes),
        None => (JSON, json(state)?),
    };
    if written.len() > STATE_BYTES_MAX {
        return Err(CodecError::TooLarge(written.len()));
    }
    let packed = zstd::bulk::compress(&written, LEVEL).map_err(|error| CodecError::NotStorable(error.to_string()))?;
    let mut bytes = Vec::with_capacity(HEAD_BYTES + packed.len());
    bytes.extend_from_slice(&[code, 0, 0, 0]);
    bytes.extend_from_slice(&(written.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&packed);
    Ok(bytes)
}

/// The state that stands in the bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let damaged = |why: &str| CodecError::Damaged(why.to_owned());
    let (head, packed) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or_else(|| damaged("too short"))?;
    let [code, 0, 0, 0, length @ ..] = *head else { return Err(damaged("unknown fields")) };
    let length = u32::from_le_bytes(length) as usize;
    if length > STATE_BYTES_MAX {
        return Err(CodecError::TooLarge(length));
    }
    let written = zstd::bulk::decompress(packed, length).map_err(|error| CodecError::Damaged(error.to_string()))?;
    if written.len() != length {
        return Err(damaged("another length than declared"));
    }
    match code {
        JSON => serde_json::from_slice(&written).map_err(|error| CodecError::Damaged(error.to_string())),
        BINCODE => expand(&written),
        _ => Err(damaged("written in an unknown way")),
    }
}

fn json<T: Serialize + DeserializeOwned>(state: &T) -> Result<Vec<u8>, CodecError> {
    let not_storable = |error: serde_json::Error| CodecError::NotStorable(error.to_string());
    let bytes = serde_json::to_vec(state).map_err(not_storable)?;
    let back: T = serde_json::from_slice(&bytes).map_err(not_storable)?;
    let (written, read) = (serde_json::to_value(state), serde_json::to_value(&back));
    match same(written.map_err(not_storable)?, read.map_err(not_storable)?) {
        true => Ok(bytes),
        false => Err(CodecError::NotStorable("it comes back as another one from JSON".to_owned())),
    }
}

/// Whether two states are the same as values. The order within hash maps and hash sets is another one each time, so
/// lists that differ may hold the same in another order.
fn same(left: Value, right: Value) -> bool {
    left == right || sorted(left) == sorted(right)
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Array(list) => {
            let mut list: Vec<Value> = list.into_iter().map(sorted).collect();
            list.sort_by_cached_key(Value::to_string);
            Value::Array(list)
        }
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, sorted(value))).collect(),
        scalar => scalar,
    }
}

#[cfg(feature = "bincode")]
mod with_bincode {
    use super::*;

    fn config() -> impl bincode::config::Config {
        // Without a limit a few hostile bytes would have any amount of memory allocated.
        bincode::config::standard().with_limit::<STATE_BYTES_MAX>()
    }

    /// The bytes, if the state comes back out of them.
    pub(super) fn compact<T: Serialize + DeserializeOwned>(state: &T) -> Result<Option<Vec<u8>>, CodecError> {
        // What it cannot write at all is left to JSON.
        let Ok(bytes) = bincode::serde::encode_to_vec(state, config()) else { return Ok(None) };
        if bytes.len() > STATE_BYTES_MAX {
            return Err(CodecError::TooLarge(bytes.len()));
        }
        let Ok(back) = expand::<T>(&bytes) else { return Ok(None) };
        let same = match (serde_json::to_value(state), serde_json::to_value(&back)) {
            (Ok(state), Ok(back)) => super::same(state, back),
            // What JSON has no form for, such as maps by compound keys, is compared by its bytes, in any order.
            _ => bincode::serde::encode_to_vec(&back, config())
                .is_ok_and(|again| ordered(again) == ordered(bytes.clone())),
        };
        Ok(same.then_some(bytes))
    }

    fn ordered(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.sort_unstable();
        bytes
    }

    pub(super) fn expand<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        match bincode::serde::decode_from_slice(bytes, config()) {
            Ok((state, read)) if read == bytes.len() => Ok(state),
            Ok((_, read)) => Err(CodecError::Damaged(format!("{} bytes left over", bytes.len() - read))),
            Err(error) => Err(CodecError::Damaged(error.to_string())),
        }
    }
}

#[cfg(not(feature = "bincode"))]
mod with_bincode {
    use super::*;

    pub(super) fn compact<T: Serialize + DeserializeOwned>(_: &T) -> Result<Option<Vec<u8>>, CodecError> {
        Ok(None)
    }

    pub(super) fn expand<T: DeserializeOwned>(_: &[u8]) -> Result<T, CodecError> {
        Err(CodecError::Without("bincode"))
    }
}

use with_bincode::{compact, expand};

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
    struct Sample {
        text: String,
        number: i64,
        size: u64,
        ratio: f64,
        maybe: Option<u8>,
        list: Vec<(u16, bool)>,
        by_name: HashMap<String, u32>,
        names: HashSet<String>,
        kind: Kind,
    }

    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
    enum Kind {
        #[default]
        Unit,
        Tuple(u32, i8),
        Named {
            name: char,
        },
    }

    fn sample() -> impl Strategy<Value = Sample> {
        let kind = prop_oneof![
            Just(Kind::Unit),
            any::<(u32, i8)>().prop_map(|(a, b)| Kind::Tuple(a, b)),
            any::<char>().prop_map(|name| Kind::Named { name })
        ];
        let first = (".*", any::<i64>(), any::<u64>(), any::<i32>(), any::<Option<u8>>());
        let rest = (any::<Vec<(u16, bool)>>(), proptest::collection::hash_map("[a-z]{0,4}", any::<u32>(), 0..5), kind);
        (first, rest).prop_map(|((text, number, size, ratio, maybe), (list, by_name, kind))| Sample {
            text,
            number,
            size,
            ratio: f64::from(ratio) / 7.0,
            maybe,
            list,
            names: by_name.keys().cloned().collect(),
            by_name,
            kind,
        })
    }

    proptest! {
        #[test]
        fn states_come_back(state in sample()) {
            prop_assert_eq!(&decode::<Sample>(&encode(&state).unwrap()).unwrap(), &state);
        }

        #[test]
        fn any_bytes_cost_an_error_at_most(mut bytes in proptest::collection::vec(any::<u8>(), 0..64), code in 0u8..4) {
            if let [first, a, b, c, ..] = &mut bytes[..] {
                (*first, *a, *b, *c) = (code, 0, 0, 0);
            }
            let _ = decode::<Sample>(&bytes);
            let mut honest = vec![code, 0, 0, 0];
            honest.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            honest.extend_from_slice(&zstd::bulk::compress(&bytes, 1).unwrap());
            let _ = decode::<Sample>(&honest);
            let _ = decode::<Vec<Vec<u64>>>(&honest);
        }
    }

    fn written(bytes: &[u8]) -> (u8, Vec<u8>) {
        let length = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
        (bytes[0], zstd::bulk::decompress(&bytes[8..], length as usize).unwrap())
    }

    /// The bytes as any other writer of this encoding has to make them: integers below 251 in one byte, larger ones
    /// behind 251 (u16), 252 (u32), 253 (u64), signed ones in zigzag, lengths and variants as integers, floats as they are.
    #[cfg(feature = "bincode")]
    #[test]
    fn golden_bytes() {
        fn is<T: Serialize + DeserializeOwned>(state: &T, bytes: &[u8]) {
            assert_eq!(written(&encode(state).unwrap()), (BINCODE, bytes.to_vec()));
        }
        is(&250u64, &[250]);
        is(&251u64, &[251, 251, 0]);
        is(&65_536u64, &[252, 0, 0, 1, 0]);
        is(&(1u64 << 32), &[253, 0, 0, 0, 0, 1, 0, 0, 0]);
        is(&(-1i64, 1i32, -126i16), &[1, 2, 251, 251, 0]);
        is(&("é".to_owned(), Some(7u8), None::<u8>, true), &[2, 0xC3, 0xA9, 1, 7, 0, 1]);
        is(&vec![300u16, 1], &[2, 251, 44, 1, 1]);
        is(&Kind::Tuple(5, -1), &[1, 5, 255]);
        is(&Kind::Named { name: 'x' }, &[2, b'x']);
        is(&1.5f64, &1.5f64.to_le_bytes());
        is(&BTreeMap::from([(1u8, "a".to_owned())]), &[1, 1, 1, b'a']);
        // A whole stored state: it must stay readable.
        let stored = encode(&(7u64, "n-1".to_owned())).unwrap();
        assert_eq!(stored[..8], [2, 0, 0, 0, 5, 0, 0, 0]);
        let golden = [2, 0, 0, 0, 5, 0, 0, 0, 0x28, 0xB5, 0x2F, 0xFD, 0x20, 5, 0x29, 0, 0, 7, 3, b'n', b'-', b'1'];
        assert_eq!(decode::<(u64, String)>(&golden).unwrap(), (7, "n-1".to_owned()));
    }

    #[cfg(not(feature = "bincode"))]
    #[test]
    fn what_needs_bincode_is_named() {
        let golden = [2, 0, 0, 0, 5, 0, 0, 0, 0x28, 0xB5, 0x2F, 0xFD, 0x20, 5, 0x29, 0, 0, 7, 3, b'n', b'-', b'1'];
        assert_eq!(decode::<(u64, String)>(&golden), Err(CodecError::Without("bincode")));
        assert_eq!(written(&encode(&7u64).unwrap()), (JSON, b"7".to_vec()));
    }

    #[test]
    fn json_is_read_by_every_build() {
        let mut stored = vec![JSON, 0, 0, 0, 7, 0, 0, 0];
        stored.extend(zstd::bulk::compress(b"[1,\"a\"]", 3).unwrap());
        assert_eq!(decode::<(u8, String)>(&stored), Ok((1, "a".to_owned())));
        stored[4] = 6;
        assert!(decode::<(u8, String)>(&stored).is_err());
        stored[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode::<(u8, String)>(&stored), Err(CodecError::TooLarge(u32::MAX as usize)));
    }

    /// Types that bincode would give back as others.
    #[test]
    fn what_only_json_gives_back_is_stored_as_json() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Skips {
            #[serde(skip_serializing_if = "Option::is_none", default)]
            first: Option<()>,
            second: String,
        }
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Flat {
            #[serde(flatten)]
            rest: BTreeMap<String, u8>,
        }
        let skips = Skips { first: None, second: "\0".to_owned() };
        let bytes = encode(&skips).unwrap();
        assert_eq!(written(&bytes), (JSON, br#"{"second":"\u0000"}"#.to_vec()));
        assert_eq!(decode::<Skips>(&bytes), Ok(skips));
        let flat = Flat { rest: BTreeMap::from([("a".to_owned(), 1)]) };
        assert_eq!(decode::<Flat>(&encode(&flat).unwrap()), Ok(flat));
        let any = serde_json::json!({"a": [1, null, 2.5]});
        assert_eq!(decode::<serde_json::Value>(&encode(&any).unwrap()), Ok(any));
        // And what neither gives back is not stored.
        assert!(matches!(encode(&f64::NAN), Err(CodecError::NotStorable(_))) || cfg!(feature = "bincode"));
        assert!(matches!(encode(&Lost(5)), Err(CodecError::NotStorable(_))));
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Lost(#[serde(serialize_with = "plus_one")] u8);

    fn plus_one<S: serde::Serializer>(value: &u8, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(value + 1)
    }
}
