//! Ids that follow no template, each as what it does not share with the one before it in the block: a run of hex
//! digits, four bits each, then text.
//!
//! | section | what, for each such id |
//! |---|---|
//! | 48 | list: bytes shared with the id before |
//! | 49 | column: hex digits (0-9, a-f) that follow; -1: 32 digits that stand as in a UUID, with dashes |
//! | 50 | column: bytes of text that follow |
//! | 51 | raw: the digits of all, the first in the low half of a byte |

use std::ops::Range;

use super::bits;
use super::sections::{Sections, SectionsWriter};
use super::strings::Strings;
use crate::format::{Bad, Parsed};
use crate::limits::ID_BYTES_MAX;

const SHARED: u8 = 48;
const DIGITS: u8 = 49;
const RESTS: u8 = 50;
const NIBBLES: u8 = 51;
pub(crate) const SECTIONS: [u8; 4] = [SHARED, DIGITS, RESTS, NIBBLES];

/// Sharing fewer bytes with a hash is an accident that costs more than it saves.
const SHARED_MIN: usize = 3;
/// A shorter run of digits that is not all there is belongs to a word.
const DIGITS_MIN: usize = 8;
const UUID: i64 = -1;
const UUID_DIGITS: usize = 32;
const UUID_BYTES: usize = 36;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Bytes of an id, while it is put together.
pub(crate) type Buffer = [u8; ID_BYTES_MAX];

/// Appends the sections of some ids, and their texts to `text`.
pub(crate) fn encode(ids: &[&str], sections: &mut SectionsWriter, text: &mut String) {
    let (mut shared, mut digits, mut rests, mut nibbles) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut before = "";
    for id in ids {
        if is_uuid(id) {
            shared.push(0);
            digits.push(UUID);
            rests.push(0);
            nibbles.extend(id.bytes().filter_map(nibble));
        } else {
            let equal = id.char_indices().zip(before.chars()).find(|((_, char), other)| char != other);
            let end = equal.map_or(id.len().min(before.len()), |((at, _), _)| at);
            let end = if end < SHARED_MIN { 0 } else { end };
            let suffix = &id[end..];
            let run = suffix.bytes().take_while(|byte| nibble(*byte).is_some()).count();
            let run = if run < DIGITS_MIN && run < suffix.len() { 0 } else { run };
            let (run, rest) = suffix.split_at(run);
            shared.push(end as i64);
            digits.push(run.len() as i64);
            rests.push(rest.len() as i64);
            nibbles.extend(run.bytes().filter_map(nibble));
            text.push_str(rest);
        }
        before = id;
    }
    sections.list(SHARED, &shared);
    sections.column(DIGITS, &digits);
    sections.column(RESTS, &rests);
    let mut packed = Vec::new();
    bits::pack(nibbles.into_iter().map(u64::from), 4, &mut packed);
    sections.raw(NIBBLES, &packed);
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn is_dash(at: usize) -> bool {
    matches!(at, 8 | 13 | 18 | 23)
}

fn is_uuid(id: &str) -> bool {
    let fits = |(at, byte): (usize, u8)| if is_dash(at) { byte == b'-' } else { nibble(byte).is_some() };
    id.len() == UUID_BYTES && id.bytes().enumerate().all(fits)
}

#[derive(Debug, Clone, Copy)]
struct Literal {
    shared: u8,
    len: u8,
    uuid: bool,
    first_nibble: u32,
}

/// The literal ids of a block.
#[derive(Debug, Default)]
pub(crate) struct Literals {
    literals: Box<[Literal]>,
    nibbles: Range<usize>,
    rests: Strings,
}

impl Literals {
    /// Reads the sections; `text_at` moves behind the texts.
    pub(crate) fn parse(
        sections: &Sections<'_>,
        bytes: &[u8],
        rows: usize,
        text_max: usize,
        text_at: &mut usize,
    ) -> Parsed<Literals> {
        let shared = sections.list(SHARED, rows)?;
        let count = shared.count();
        let digits = sections.column(DIGITS, count)?;
        let rest_lens = sections.column(RESTS, count)?;
        let rests = Strings::lay_out(bytes, &rest_lens, text_max, text_at)?;
        let nibbles = sections.raw(NIBBLES)?;
        let (mut all_shared, mut all_digits, mut all_rests) = (Vec::new(), Vec::new(), Vec::new());
        shared.unpack(bytes, &mut all_shared);
        digits.unpack(bytes, &mut all_digits);
        rest_lens.unpack(bytes, &mut all_rests);

        let (mut first_nibble, mut before) = (0usize, 0i64);
        let mut literals = Vec::with_capacity(count);
        for ((shared, digits), rest) in all_shared.into_iter().zip(all_digits).zip(all_rests) {
            let uuid = digits == UUID;
            let (digits, bytes) = if uuid { (UUID_DIGITS as i64, UUID_BYTES as i64) } else { (digits, digits) };
            let (id_max, len) = (ID_BYTES_MAX as i64, shared.saturating_add(bytes).saturating_add(rest));
            if !(0..=before).contains(&shared) || !(0..=id_max).contains(&digits) || len > id_max {
                return Err(Bad::new(0, "ids of at most 255 bytes", "another length, or more shared than there is"));
            }
            literals.push(Literal { shared: shared as u8, len: len as u8, uuid, first_nibble: first_nibble as u32 });
            first_nibble += digits as usize;
            before = len;
        }
        if first_nibble.div_ceil(2) != nibbles.len() {
            return Err(Bad::new(nibbles.start as u64, format!("{first_nibble} hex digits"), "another number"));
        }
        Ok(Literals { literals: literals.into(), nibbles, rests })
    }

    pub(crate) fn len(&self) -> usize {
        self.literals.len()
    }

    pub(crate) fn memory(&self) -> usize {
        self.literals.len() * size_of::<Literal>() + self.rests.memory()
    }

    pub(crate) fn check(&self, text: &str) -> Parsed<()> {
        self.rests.check(text)
    }

    /// Puts what the id at `index` does not share into its place, up to `end`.
    fn suffix(&self, bytes: &[u8], text: &str, index: usize, end: usize, buffer: &mut Buffer) -> Option<()> {
        let literal = self.literals.get(index)?;
        let nibbles = bytes.get(self.nibbles.clone())?;
        let rest = self.rests.get(text, index as u32 + 1)?.as_bytes();
        let place = buffer.get_mut(usize::from(literal.shared)..end)?;
        let digits = (usize::from(literal.len) - usize::from(literal.shared)).checked_sub(rest.len())?;
        let mut at = literal.first_nibble as usize;
        let (front, back) = place.split_at_mut(digits.min(place.len()));
        for (index, to) in front.iter_mut().enumerate() {
            *to = if literal.uuid && is_dash(index) {
                b'-'
            } else {
                at += 1;
                HEX[bits::get(nibbles, at - 1, 4) as usize & 15]
            };
        }
        back.copy_from_slice(rest.get(..back.len())?);
        Some(())
    }

    /// The id at an index. Walks back over ids that share bytes with it.
    pub(crate) fn get<'b>(&self, bytes: &[u8], text: &str, index: usize, buffer: &'b mut Buffer) -> Parsed<&'b str> {
        let len = self.literals.get(index).map(|literal| usize::from(literal.len)).ok_or_else(broken)?;
        let (mut at, mut end) = (index, len);
        loop {
            let shared = usize::from(self.literals.get(at).ok_or_else(broken)?.shared);
            if shared < end {
                self.suffix(bytes, text, at, end, buffer).ok_or_else(broken)?;
                end = shared;
            }
            if end == 0 {
                break;
            }
            at = at.checked_sub(1).ok_or_else(broken)?;
        }
        std::str::from_utf8(&buffer[..len]).map_err(|_| broken())
    }

    /// Replaces the contents of `out` by all ids, and those of `ends` by their ends in it.
    pub(crate) fn unpack(&self, bytes: &[u8], text: &str, out: &mut String, ends: &mut Vec<u32>) -> Parsed<()> {
        out.clear();
        ends.clear();
        let mut buffer = [0; ID_BYTES_MAX];
        for (index, literal) in self.literals.iter().enumerate() {
            let len = usize::from(literal.len);
            self.suffix(bytes, text, index, len, &mut buffer).ok_or_else(broken)?;
            out.push_str(std::str::from_utf8(&buffer[..len]).map_err(|_| broken())?);
            ends.push(out.len() as u32);
        }
        Ok(())
    }
}

fn broken() -> Box<Bad> {
    Bad::new(0, "an id within the block", "parts that make none")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ids: &[&str]) -> usize {
        let (mut sections, mut text, mut bytes) = (SectionsWriter::default(), String::new(), Vec::new());
        encode(ids, &mut sections, &mut text);
        let count = sections.len();
        sections.finish(&mut bytes);
        let mut at = 0;
        let parsed = Sections::parse(&bytes, 0, count, |id| SECTIONS.contains(&id)).unwrap();
        let literals = Literals::parse(&parsed, &bytes, ids.len(), 1 << 20, &mut at).unwrap();
        assert_eq!((at, literals.len()), (text.len(), ids.len()));
        literals.check(&text).unwrap();
        assert_eq!(literals.memory(), ids.len() * (size_of::<Literal>() + size_of::<u32>()));
        let (mut all, mut ends) = (String::new(), Vec::new());
        literals.unpack(&bytes, &text, &mut all, &mut ends).unwrap();
        assert_eq!(all, ids.concat());
        let mut buffer = [0; ID_BYTES_MAX];
        for (index, id) in ids.iter().enumerate() {
            assert_eq!(literals.get(&bytes, &text, index, &mut buffer).unwrap(), *id);
        }
        assert!(literals.get(&bytes, &text, ids.len(), &mut buffer).is_err());
        bytes.len() + text.len()
    }

    #[test]
    fn ids_of_every_shape_come_back() {
        let hash = "227d4e83effb41d5f02341afdb8a06cff2e028e8";
        let with = |n: usize| format!("{hash}:{n}");
        let files: Vec<String> = (0..300).map(with).collect();
        let files: Vec<&str> = std::iter::once(hash).chain(files.iter().map(String::as_str)).collect();
        assert!(check(&files) < 700, "{}", check(&files));
        check(&[]);
        check(&["a", "a", "", "é", "éa", "è", "deadbeef", "deadbeefdeadbeefx", "x"]);
        check(&[
            "550e8400-e29b-41d4-a716-446655440000",
            "550e8400-e29b-41d4-a716-44665544000g",
            "550e8400-e29b-41d4-a716-446655440001",
        ]);
        let long = ["é".repeat(127), "f".repeat(255), format!("{}x", "f".repeat(254)), "日".repeat(85)];
        check(&long.each_ref().map(String::as_str));
        let falling: Vec<String> = (0..200).rev().map(|n| "ab-".repeat(n % 85)).collect();
        check(&falling.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// The sections of some literals, by hand.
    fn parse(shared: &[i64], digits: &[i64], rests: &[i64], nibbles: usize) -> Parsed<Literals> {
        let (mut sections, mut bytes) = (SectionsWriter::default(), Vec::new());
        sections.list(SHARED, shared);
        sections.column(DIGITS, digits);
        sections.column(RESTS, rests);
        sections.raw(NIBBLES, &vec![0x21; nibbles]);
        let count = sections.len();
        sections.finish(&mut bytes);
        let parsed = Sections::parse(&bytes, 0, count, |id| SECTIONS.contains(&id)).unwrap();
        Literals::parse(&parsed, &bytes, 4, 1 << 20, &mut 0)
    }

    #[test]
    fn what_an_id_shares_and_its_digits_are_taken_where_they_save() {
        let parts = |ids: &[&str]| {
            let (mut sections, mut text, mut bytes) = (SectionsWriter::default(), String::new(), Vec::new());
            encode(ids, &mut sections, &mut text);
            let count = sections.len();
            sections.finish(&mut bytes);
            let parsed = Sections::parse(&bytes, 0, count, |id| SECTIONS.contains(&id)).unwrap();
            let literals = Literals::parse(&parsed, &bytes, ids.len(), 1 << 20, &mut 0).unwrap();
            let all: Vec<_> = literals.literals.iter().map(|id| (id.shared, id.len, id.first_nibble)).collect();
            (all, text)
        };
        // Two bytes are shared by accident, three are worth it.
        assert_eq!(parts(&["xyz", "xyw", "xyw1"]), (vec![(0, 3, 0), (0, 3, 0), (3, 4, 0)], "xyzxyw".into()));
        // Eight digits before a text, or fewer that are all there is.
        assert_eq!(
            parts(&["12345678z", "fedcba9z", "abc"]),
            (vec![(0, 9, 0), (0, 8, 8), (0, 3, 8)], "zfedcba9z".into())
        );
    }

    #[test]
    fn ids_that_no_writer_makes_are_errors() {
        let is_read =
            |shared: &[i64], digits: &[i64], rests: &[i64], nibbles| parse(shared, digits, rests, nibbles).is_ok();
        assert!(is_read(&[0, 9], &[8, 0], &[1, 1], 4));
        assert!(!is_read(&[1, 9], &[8, 0], &[1, 1], 4), "shared with none");
        assert!(!is_read(&[0, 10], &[8, 0], &[1, 1], 4) && !is_read(&[0, -1], &[8, 0], &[1, 1], 4));
        assert!(is_read(&[0], &[7], &[0], 4) && !is_read(&[0], &[7], &[0], 3) && !is_read(&[0], &[8], &[0], 5));
        assert_eq!(parse(&[0], &[8], &[0], 5).unwrap_err().expected, "8 hex digits");
        assert!(is_read(&[0], &[255], &[0], 128) && !is_read(&[0], &[256], &[0], 128));
        assert!(is_read(&[0], &[UUID], &[219], 16) && !is_read(&[0], &[UUID], &[220], 16));
        assert!(!is_read(&[0], &[UUID], &[0], 15) && !is_read(&[0], &[-2], &[2], 0));
        assert!(is_read(&[0, 200], &[0, 55], &[200, 0], 28) && !is_read(&[0, 200], &[0, 56], &[200, 0], 28));
        assert!(is_read(&[0; 4], &[0; 4], &[1; 4], 0) && !is_read(&[0; 5], &[0; 5], &[1; 5], 0), "more than rows");
    }

    #[test]
    fn a_uuid_costs_its_sixteen_bytes() {
        let ids: Vec<String> = (1..=100u128)
            .map(|n| {
                let hex = format!("{:032x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
                [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
            })
            .collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        assert!(check(&ids) < 1_650, "{}", check(&ids));
    }
}
