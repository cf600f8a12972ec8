//! A file of stored states: those of one kind of state, each at a position, one record behind the other.
//!
//! Header, at the beginning:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `ANNLSNAP` |
//! | 8 | 2 | format version, 1 |
//! | 10 | 2 | length of the name |
//! | 12 | 4 | zero |
//! | 16 | 16 | log id |
//! | 32 | 8 | salt, random for each file |
//! | 40 | | the name of the state, zeros up to a multiple of 8 |
//! | | 8 | check: xxh3-64 of all before it, seed "ANNLSNAP" |
//!
//! Records follow, each at a multiple of 8:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `SNAP` |
//! | 4 | 2 | length of the subject |
//! | 6 | 2 | zero |
//! | 8 | 8 | position of the last event that the state holds |
//! | 16 | 8 | version of the subject there |
//! | 24 | 8 | epoch of that event |
//! | 32 | 16 | fingerprint of that event |
//! | 48 | 4 | version of the state's shape |
//! | 52 | 4 | length of the state |
//! | 56 | 8 | check of the state: xxh3-64 of its bytes and the zeros behind them, seed salt |
//! | 64 | | the subject, zeros up to a multiple of 8 |
//! | | 8 | check: xxh3-64 of all of the record before it, seed salt xor offset of the record |
//! | | | the state, zeros up to a multiple of 8 |
//!
//! A record is valid if it lies within the file and both checks hold. The first one whose own check does not hold is
//! the end: what a crash tore, or damage. Nothing behind it counts, and the next record is written in its place.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Bad;
use super::bytes::{Put, Take, align_up, array, is_zero, u16_at, u32_at, u64_at};
use crate::event::LogId;
use crate::limits::{STATE_NAME_BYTES_MAX, SUBJECT_BYTES_MAX};
use crate::position::Position;

pub(crate) const MAGIC: [u8; 8] = *b"ANNLSNAP";
pub(crate) const RECORD_MAGIC: [u8; 4] = *b"SNAP";
pub(crate) const VERSION: u16 = 1;
const UNIT: u64 = 8;
const HEADER_FIXED: usize = 40;
const RECORD_FIXED: usize = 64;
const CHECK_BYTES: usize = 8;
/// Bytes that surely hold any header, or any record up to its state.
pub(crate) const HEAD_BYTES_MAX: usize = 2048;

const _: () = {
    assert!(HEADER_FIXED + STATE_NAME_BYTES_MAX + 8 + CHECK_BYTES <= HEAD_BYTES_MAX);
    assert!(RECORD_FIXED + SUBJECT_BYTES_MAX + 8 + CHECK_BYTES <= HEAD_BYTES_MAX);
};

/// What begins a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) log: LogId,
    pub(crate) salt: u64,
    pub(crate) name: String,
}

impl FileHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let check_at = padded(HEADER_FIXED + self.name.len());
        let mut bytes = vec![0; check_at + CHECK_BYTES];
        Put(&mut bytes)
            .bytes(0, &MAGIC)
            .u16(8, VERSION)
            .u16(10, self.name.len() as u16)
            .bytes(16, &self.log.0)
            .u64(32, self.salt)
            .bytes(HEADER_FIXED, self.name.as_bytes());
        let check = xxh3_64_with_seed(&bytes[..check_at], u64::from_le_bytes(MAGIC));
        Put(&mut bytes).u64(check_at, check);
        bytes
    }

    /// The header that `bytes` begin with, and its length.
    pub(crate) fn read(bytes: &[u8]) -> Result<(FileHeader, u64), Box<Bad>> {
        if array(bytes, 0) != Some(MAGIC) {
            return Err(Bad::new(0, "a file of snapshots", "another magic"));
        }
        match u16_at(bytes, 8) {
            Some(VERSION) => {}
            other => return Err(Bad::new(8, format!("format version {VERSION}"), format!("{other:?}"))),
        }
        let fixed = |bytes| Some((u16_at(bytes, 10)?, array(bytes, 16)?, u64_at(bytes, 32)?));
        let short = || Bad::new(bytes.len() as u64, "a header", "the end");
        let (name_len, log, salt) = fixed(bytes).ok_or_else(short)?;
        let check_at = padded(HEADER_FIXED + usize::from(name_len));
        let (body, check) = bytes.split_at_checked(check_at).ok_or_else(short)?;
        let check = u64_at(check, 0).ok_or_else(short)?;
        if xxh3_64_with_seed(body, u64::from_le_bytes(MAGIC)) != check {
            return Err(Bad::new(check_at as u64, "the header's check", "another"));
        }
        let name = body.get(HEADER_FIXED..HEADER_FIXED + usize::from(name_len)).map(<[u8]>::to_vec);
        let name = name.and_then(|name| String::from_utf8(name).ok());
        let name = name.ok_or_else(|| Bad::new(HEADER_FIXED as u64, "a name", "no text"))?;
        Ok((FileHeader { log: LogId(log), salt, name }, (check_at + CHECK_BYTES) as u64))
    }
}

/// A record without its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) subject: &'a str,
    pub(crate) position: Position,
    /// Of the subject.
    pub(crate) version: u64,
    pub(crate) epoch: u64,
    pub(crate) fingerprint: [u8; 16],
    /// Of the state's shape.
    pub(crate) shape: u32,
    pub(crate) state_bytes: u32,
    pub(crate) state_check: u64,
}

impl<'a> Record<'a> {
    pub(crate) fn new(subject: &'a str, position: Position, version: u64, epoch: u64) -> Record<'a> {
        Record { subject, position, version, epoch, fingerprint: [0; 16], shape: 0, state_bytes: 0, state_check: 0 }
    }

    /// The whole record with a state, for a place in a file.
    pub(crate) fn encode(&self, state: &[u8], salt: u64, offset: u64) -> Vec<u8> {
        let check_at = padded(RECORD_FIXED + self.subject.len());
        let state_at = check_at + CHECK_BYTES;
        let mut bytes = vec![0; state_at + padded(state.len())];
        Put(&mut bytes).bytes(state_at, state);
        let state_check = xxh3_64_with_seed(&bytes[state_at..], salt);
        Put(&mut bytes)
            .bytes(0, &RECORD_MAGIC)
            .u16(4, self.subject.len() as u16)
            .u64(8, self.position.get())
            .u64(16, self.version)
            .u64(24, self.epoch)
            .bytes(32, &self.fingerprint)
            .u32(48, self.shape)
            .u32(52, state.len() as u32)
            .u64(56, state_check)
            .bytes(RECORD_FIXED, self.subject.as_bytes());
        let check = xxh3_64_with_seed(&bytes[..check_at], salt ^ offset);
        Put(&mut bytes).u64(check_at, check);
        bytes
    }

    /// The record that `bytes` begin with; they may end where its state begins.
    pub(crate) fn read(bytes: &'a [u8], salt: u64, offset: u64) -> Result<Record<'a>, Box<Bad>> {
        let short = || Bad::new(offset, "a record", "the end of the file");
        let mut fields = Take(bytes);
        if fields.array() != Some(RECORD_MAGIC) {
            let found = if bytes.is_empty() { "the end of the file" } else { "other bytes" };
            return Err(Bad::new(offset, "a record", found));
        }
        let subject_len = usize::from(fields.u16().ok_or_else(short)?);
        let check_at = padded(RECORD_FIXED + subject_len);
        let (head, check) = bytes.split_at_checked(check_at).ok_or_else(short)?;
        let check = u64_at(check, 0).ok_or_else(short)?;
        if xxh3_64_with_seed(head, salt ^ offset) != check {
            return Err(Bad::new(offset + check_at as u64, "the record's check", "another"));
        }
        let text = head.get(RECORD_FIXED..RECORD_FIXED + subject_len).and_then(|text| std::str::from_utf8(text).ok());
        let values = |subject| {
            Some(Record {
                subject,
                position: Position::new(u64_at(head, 8)?),
                version: u64_at(head, 16)?,
                epoch: u64_at(head, 24)?,
                fingerprint: array(head, 32)?,
                shape: u32_at(head, 48)?,
                state_bytes: u32_at(head, 52)?,
                state_check: u64_at(head, 56)?,
            })
        };
        text.and_then(values).ok_or_else(|| Bad::new(offset, "fields with a meaning", "a value that has none"))
    }

    /// Where the state begins, counted from the record.
    pub(crate) fn state_at(&self) -> u64 {
        (padded(RECORD_FIXED + self.subject.len()) + CHECK_BYTES) as u64
    }

    /// Length of the whole record.
    pub(crate) fn bytes(&self) -> u64 {
        self.state_at() + align_up(u64::from(self.state_bytes), UNIT)
    }

    /// The state out of the bytes from [`Record::state_at`] to the end of the record.
    pub(crate) fn state<'s>(&self, bytes: &'s [u8], salt: u64) -> Option<&'s [u8]> {
        let whole = align_up(u64::from(self.state_bytes), UNIT);
        let checked = bytes.len() as u64 == whole && xxh3_64_with_seed(bytes, salt) == self.state_check;
        let (state, rest) = bytes.split_at_checked(self.state_bytes as usize).filter(|_| checked)?;
        is_zero(rest).then_some(state)
    }
}

fn padded(len: usize) -> usize {
    align_up(len as u64, UNIT) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables above are those of docs/format.md, and the bytes are where they say.
    #[test]
    fn the_tables_hold() {
        let page = include_str!("../../docs/format.md");
        let rows: Vec<&str> =
            include_str!("snapshot.rs").lines().filter_map(|line| line.strip_prefix("//! | ")).collect();
        assert!(rows.len() > 20);
        for row in rows {
            assert!(page.contains(&format!("\n| {row}\n")), "{row}");
        }
        let record = Record { fingerprint: [9; 16], shape: 3, ..Record::new("a/1", Position::new(5), 6, 7) };
        let bytes = record.encode(b"state", 11, 80);
        let check = |range: std::ops::Range<usize>, seed| xxh3_64_with_seed(&bytes[range], seed).to_le_bytes();
        let mut expected = b"SNAP\x03\0\0\0".to_vec();
        [5u64, 6, 7].iter().for_each(|number| expected.extend_from_slice(&number.to_le_bytes()));
        expected.extend_from_slice(&[9; 16]);
        expected.extend_from_slice(&[3, 0, 0, 0, 5, 0, 0, 0]);
        expected.extend_from_slice(&check(80..88, 11));
        expected.extend_from_slice(b"a/1\0\0\0\0\0");
        expected.extend_from_slice(&check(0..72, 11 ^ 80));
        expected.extend_from_slice(b"state\0\0\0");
        assert_eq!(bytes, expected);
        let header = FileHeader { log: LogId([7; 16]), salt: 99, name: "note".to_owned() }.encode();
        let mut expected = b"ANNLSNAP\x01\0\x04\0\0\0\0\0".to_vec();
        expected.extend_from_slice(&[7; 16]);
        expected.extend_from_slice(&[99, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend_from_slice(b"note\0\0\0\0");
        expected.extend_from_slice(&xxh3_64_with_seed(&expected, u64::from_le_bytes(MAGIC)).to_le_bytes());
        assert_eq!(header, expected);
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let header = FileHeader { log: LogId([7; 16]), salt: 99, name: "note".to_owned() };
        let bytes = header.encode();
        assert_eq!(FileHeader::read(&bytes).unwrap(), (header, bytes.len() as u64));
        let record = Record { fingerprint: [3; 16], shape: 2, ..Record::new("note/n-1", Position::new(17), 5, 1) };
        let state = b"thirteen byte";
        let whole = record.encode(state, 99, 64);
        let read = Record::read(&whole, 99, 64).unwrap();
        assert_eq!((read.subject, read.position, read.version, read.shape), ("note/n-1", Position::new(17), 5, 2));
        assert_eq!(read.bytes(), whole.len() as u64);
        let state_at = read.state_at() as usize;
        assert_eq!(read.state(&whole[state_at..], 99), Some(&state[..]));
        assert!(Record::read(&whole, 99, 72).is_err() && Record::read(&whole, 98, 64).is_err());
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            let read = Record::read(&flipped, 99, 64).ok();
            assert_eq!(read.is_none(), at < state_at, "byte {at}");
            assert!(read.is_none_or(|read| read.state(&flipped[state_at..], 99).is_none()), "byte {at}");
            assert!(at >= state_at || Record::read(&whole[..at], 99, 64).is_err());
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x80;
            assert!(FileHeader::read(&flipped).is_err() && FileHeader::read(&bytes[..at]).is_err(), "byte {at}");
        }
    }

    /// Whatever is wrong is told where it stands.
    #[test]
    fn what_makes_no_sense_under_checks_that_fit_is_told_where_it_stands() {
        let bytes = FileHeader { log: LogId([7; 16]), salt: 99, name: "note".to_owned() }.encode();
        let header = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            let check = xxh3_64_with_seed(&bytes[..48], u64::from_le_bytes(MAGIC));
            Put(&mut bytes).u64(48, check);
            FileHeader::read(&bytes).map_err(|bad| bad.offset)
        };
        assert_eq!((header(0, b'a'), header(8, 2), header(40, 0xFF)), (Err(0), Err(8), Err(40)));
        assert_eq!(header(40, b'N').unwrap().0.name, "Note");
        assert_eq!(FileHeader::read(&bytes[..50]).unwrap_err().offset, 50);
        let mut flipped = bytes.clone();
        flipped[20] ^= 1;
        assert_eq!(FileHeader::read(&flipped).unwrap_err().offset, 48);

        let record = Record::new("note/n-1", Position::new(17), 5, 1);
        let whole = record.encode(b"state", 0x60, 64);
        let read = |at: usize, byte: u8, mend: bool| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            if mend {
                let check = xxh3_64_with_seed(&bytes[..72], 0x60 ^ 64);
                Put(&mut bytes).u64(72, check);
            }
            Record::read(&bytes, 0x60, 64).map(|_| ()).map_err(|bad| bad.offset)
        };
        assert_eq!((read(8, 1, true), read(8, 1, false), read(64, 0xFF, true)), (Ok(()), Err(64 + 72), Err(64)));
        let found = |bytes: &[u8]| Record::read(bytes, 0x60, 64).unwrap_err();
        assert_eq!((found(&[]).found.as_ref(), found(b"SNIP").found.as_ref()), ("the end of the file", "other bytes"));
        assert_eq!((found(&whole[..5]).offset, found(&whole[..79]).offset), (64, 64));

        // Bytes behind the state that are no zeros, under a check that fits them.
        let read = Record::read(&whole, 0x60, 64).unwrap();
        let mut state = whole[read.state_at() as usize..].to_vec();
        assert_eq!(read.state(&state, 0x60), Some(&b"state"[..]));
        assert_eq!((read.state(&state[..7], 0x60), read.state(&[&state[..], &[0; 8]].concat(), 0x60)), (None, None));
        state[7] = 1;
        let read = Record { state_check: xxh3_64_with_seed(&state, 0x60), ..read };
        assert_eq!(read.state(&state, 0x60), None);
        let longer = Record { state_bytes: 9, state_check: xxh3_64_with_seed(&state, 0x60), ..read };
        assert_eq!(longer.state(&state, 0x60), None);
    }
}
