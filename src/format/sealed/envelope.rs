//! The two ends of a sealed segment: what it is, and where its parts stand.
//!
//! Header, the first 128 bytes:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `ANNALSEG` |
//! | 8 | 2 | format version |
//! | 10 | 2 | oldest reader version that can read it |
//! | 12 | 4 | incompatible feature bits: a reader must know them all |
//! | 16 | 4 | compatible feature bits |
//! | 20 | 4 | rows of a block |
//! | 24 | 16 | log id |
//! | 40 | 8 | base position |
//! | 48 | 8 | sealed at, ns since 1970 |
//! | 56 | 4 | era of the clock, 0 |
//! | 60 | 60 | zero |
//! | 120 | 8 | check: xxh3-64 of bytes 0 to 119, seed "ANNALSEG" |
//!
//! Tail, the last 64 bytes:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `ANNALEND` |
//! | 8 | 8 | offset of the footer |
//! | 16 | 4 | length of the footer |
//! | 20 | 4 | CRC-32 of the footer |
//! | 24 | 8 | length of the file |
//! | 32 | 16 | log id |
//! | 48 | 8 | base position |
//! | 56 | 8 | check: xxh3-64 of bytes 0 to 55, seed "ANNALEND" |

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::event::LogId;
use crate::format::bytes::{Put, array, i64_at, is_zero, u32_at, u64_at};
use crate::format::header::newer;
use crate::format::{Bad, FORMAT_VERSION, Parsed, Read};
use crate::position::Position;
use crate::time::Timestamp;

pub(crate) const MAGIC: [u8; 8] = *b"ANNALSEG";
pub(crate) const END_MAGIC: [u8; 8] = *b"ANNALEND";
pub(crate) const HEADER_BYTES: usize = 128;
pub(crate) const TAIL_BYTES: usize = 64;
const HEADER_CHECK_AT: usize = 120;
const TAIL_CHECK_AT: usize = 56;
/// No footer is longer: 64 sections, 65,535 epochs and the peaks of two trees.
pub(crate) const FOOTER_MAX: u32 = 2 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedHeader {
    pub(crate) log: LogId,
    pub(crate) base: Position,
    pub(crate) block_rows: u32,
    pub(crate) sealed_at: Timestamp,
}

impl SealedHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        Put(&mut bytes)
            .bytes(0, &MAGIC)
            .u16(8, FORMAT_VERSION)
            .u16(10, FORMAT_VERSION)
            .u32(20, self.block_rows)
            .bytes(24, &self.log.0)
            .u64(40, self.base.get())
            .i64(48, self.sealed_at.as_nanos());
        seal(&mut bytes, HEADER_CHECK_AT, MAGIC);
        bytes
    }

    pub(crate) fn read(bytes: &[u8]) -> Read<SealedHeader> {
        let fields = match checked(bytes, HEADER_CHECK_AT, MAGIC) {
            Ok(fields) => fields,
            Err(bad) => return Read::Bad(bad),
        };
        let read = || {
            if let Some(version) = newer(fields, 8)? {
                return Some(Read::Newer { version });
            }
            let (base, block_rows) = (u64_at(fields, 40)?, u32_at(fields, 20)?);
            (base > 0 && block_rows == super::BLOCK_ROWS && is_zero(fields.get(60..)?)).then_some(())?;
            Some(Read::Valid(SealedHeader {
                log: LogId(array(fields, 24)?),
                base: Position::new(base),
                block_rows,
                sealed_at: Timestamp::from_nanos(i64_at(fields, 48)?),
            }))
        };
        read().unwrap_or_else(|| Read::Bad(Bad::new(8, "the fields of a sealed header", "others under a valid check")))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) footer_at: u64,
    pub(crate) footer_len: u32,
    pub(crate) footer_crc: u32,
    /// Length of the whole file.
    pub(crate) file_len: u64,
    pub(crate) log: LogId,
    pub(crate) base: Position,
}

impl Tail {
    pub(crate) fn encode(&self) -> [u8; TAIL_BYTES] {
        let mut bytes = [0; TAIL_BYTES];
        Put(&mut bytes)
            .bytes(0, &END_MAGIC)
            .u64(8, self.footer_at)
            .u32(16, self.footer_len)
            .u32(20, self.footer_crc)
            .u64(24, self.file_len)
            .bytes(32, &self.log.0)
            .u64(48, self.base.get());
        seal(&mut bytes, TAIL_CHECK_AT, END_MAGIC);
        bytes
    }

    /// Reads the tail of a file of `file_len` bytes.
    pub(crate) fn read(bytes: &[u8], file_len: u64) -> Parsed<Tail> {
        let fields = checked(bytes, TAIL_CHECK_AT, END_MAGIC)?;
        let read = || {
            Some(Tail {
                footer_at: u64_at(fields, 8)?,
                footer_len: u32_at(fields, 16)?,
                footer_crc: u32_at(fields, 20)?,
                file_len: u64_at(fields, 24)?,
                log: LogId(array(fields, 32)?),
                base: Position::new(u64_at(fields, 48)?),
            })
        };
        let tail = read().ok_or_else(|| Bad::new(0, "a tail", "too few bytes"))?;
        if tail.file_len != file_len {
            return Err(Bad::new(24, format!("a file of {} bytes", tail.file_len), format!("{file_len} bytes")));
        }
        let end = tail.footer_at.checked_add(u64::from(tail.footer_len) + TAIL_BYTES as u64);
        if tail.footer_len > FOOTER_MAX || end != Some(file_len) || tail.footer_at < HEADER_BYTES as u64 {
            return Err(Bad::new(8, "a footer before the tail", format!("{} bytes", tail.footer_len)));
        }
        Ok(tail)
    }
}

fn seal(bytes: &mut [u8], check_at: usize, magic: [u8; 8]) {
    let check = xxh3_64_with_seed(&bytes[..check_at], u64::from_le_bytes(magic));
    Put(bytes).u64(check_at, check);
}

/// The fields before the check, if it and the magic hold.
fn checked(bytes: &[u8], check_at: usize, magic: [u8; 8]) -> Parsed<&[u8]> {
    let short = || Bad::new(0, format!("{} bytes", check_at + 8), format!("{} bytes", bytes.len()));
    let fields = bytes.get(..check_at).ok_or_else(short)?;
    let stored = u64_at(bytes, check_at).ok_or_else(short)?;
    if fields[..8] != magic {
        return Err(Bad::new(0, String::from_utf8_lossy(&magic).into_owned(), "another magic"));
    }
    let check = xxh3_64_with_seed(fields, u64::from_le_bytes(magic));
    if check != stored {
        return Err(Bad::new(check_at as u64, format!("check {check:016x}"), format!("{stored:016x}")));
    }
    Ok(fields)
}
