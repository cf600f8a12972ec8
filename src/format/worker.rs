//! The file of a worker: what it has to know after a crash, one frame behind the other.
//!
//! The header fills the first 512 bytes:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `ANNLWORK` |
//! | 8 | 2 | format version |
//! | 10 | 2 | oldest reader version that can read it |
//! | 12 | 4 | incompatible feature bits |
//! | 16 | 16 | log id |
//! | 32 | 8 | salt, random for each file |
//! | 40 | 8 | made at, ns |
//! | 48 | 8 | reach: how long the file is, durably |
//! | 56 | 2 | length of the name |
//! | 58 | 6 | zero |
//! | 64 | 64 | name of the worker, then zeros |
//! | 128 | 376 | zero |
//! | 504 | 8 | check: xxh3-64 of bytes 0 to 503, seed "ANNLWORK" |
//!
//! Frames follow, each at a multiple of 64, each written by one call and synced before the next one is written. Behind
//! the last one stand zeros, up to the reach and beyond. A frame:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `WFRM` |
//! | 4 | 4 | length of the entries, in bytes |
//! | 8 | 4 | number of entries |
//! | 12 | 4 | zero |
//! | 16 | 8 | seq: 1 for the first frame, then one more each |
//! | 24 | 8 | reach from now on, never less than before |
//! | 32 | 8 | written at, ns |
//! | 40 | 8 | check of the body: xxh3-64, seed salt |
//! | 48 | 8 | check of the head: xxh3-64 of bytes 0 to 47, seed salt xor offset of the frame |
//! | 56 | 7 | zero |
//! | 63 | 1 | `A5` |
//! | 64 | | the body: entries, then at least one byte `A5` up to a multiple of 64 |
//!
//! No frame reaches beyond what the header and the frames before it give as the reach, and no whole 64 bytes of a frame
//! are zeros. So what an interrupted write leaves looks otherwise than damage does: some sector of it, or its last byte,
//! is still zero. From the first place that holds no valid frame:
//!
//! | what stands there | verdict |
//! |---|---|
//! | the file is shorter than a reach that it gives | damage |
//! | anything, and a valid head of a frame at a later multiple of 64, beyond the reach too | damage: a later frame proves that it was synced |
//! | zeros up to the reach | the end |
//! | a head whose last byte is zero, zeros among them | a tear |
//! | any other head that fails its checks | damage |
//! | a valid head, and a body whose last byte is zero, or of which all that lies in one 512-byte sector is zero | a tear |
//! | a valid head, and any other body that fails its check, or entries without a meaning | damage |
//!
//! A tear was never acknowledged; it is left out when the file is made anew, which every opening for writing does. Damage
//! is an error, and nothing is changed.
//!
//! An entry, of which all numbers are at fixed places and all texts follow, each as its length (4 bytes) and UTF-8
//! without zeros:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | length of the entry |
//! | 4 | 1 | kind |
//! | 5 | 1 | code: of an actor's kind (8, 9), or 1 begun, 2 ended (10); else 0 |
//! | 6 | 2 | zero |
//! | 8 | 8 | position of the event; 0 in kind 10 |
//!
//! | kind | is | numbers from 16 on | texts |
//! |---|---|---|---|
//! | 1 | through: every event up to the position is finished, but those that are open or parked | epoch u64, fingerprint 16 bytes | |
//! | 2 | open: begun, or waiting for one before it, and not finished | | |
//! | 3 | finished: neither open nor parked any more | | |
//! | 4 | result of a step of an open event | | step, result as JSON |
//! | 5 | time until which a step of an open event sleeps | due i64 | step |
//! | 6 | aside: an open event that is run again at a time | due i64, failed attempts u32 | step that sleeps, or empty; error |
//! | 7 | parked: no longer open | since i64, failed attempts u32, position of the parked event that it waits behind u64 or 0 | key, error |
//! | 8 | retried: if parked, open again, with those that wait behind it | at i64 | actor, on behalf of, reason |
//! | 9 | skipped: if parked, finished, and those that wait behind it are open | at i64 | actor, on behalf of, reason |
//! | 10 | a process began to run the worker, or ended it in order | at i64 | process |
//!
//! An entry about a position stands in a frame whose, or before which a, through is at that position or behind it.

mod entry;
#[cfg(test)]
mod tests;
mod walk;

use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(crate) use entry::{Decision, Entry};
pub(crate) use walk::walk;

use super::bytes::{Put, align_up, array, i64_at, is_zero, u16_at, u64_at};
use super::header::newer;
use super::{Bad, FORMAT_VERSION, Read};
use crate::event::LogId;
use crate::limits::WORKER_NAME_BYTES_MAX;
use crate::time::Timestamp;

pub(crate) const MAGIC: [u8; 8] = *b"ANNLWORK";
const SEED: u64 = u64::from_le_bytes(MAGIC);
pub(crate) const FRAME_MAGIC: [u8; 4] = *b"WFRM";
pub(crate) const HEADER_BYTES: usize = 512;
const CHECK_AT: usize = 504;
const NAME_AT: usize = 64;
/// Frames begin at multiples of this, and their heads are so long.
pub(crate) const UNIT: usize = 64;
const SECTOR: usize = 512;
/// What ends a head and a frame: a byte that is not zero.
const MARK: u8 = 0xA5;
/// Length of a frame without entries.
pub(crate) const EMPTY_FRAME_BYTES: u64 = 2 * UNIT as u64;

const _: () = assert!(WORKER_NAME_BYTES_MAX <= 64);

/// What begins a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) log: LogId,
    pub(crate) salt: u64,
    pub(crate) made_at: Timestamp,
    /// How long the file is, durably.
    pub(crate) reach: u64,
    pub(crate) name: String,
}

impl FileHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        Put(&mut bytes)
            .bytes(0, &MAGIC)
            .u16(8, FORMAT_VERSION)
            .u16(10, FORMAT_VERSION)
            .bytes(16, &self.log.0)
            .u64(32, self.salt)
            .i64(40, self.made_at.as_nanos())
            .u64(48, self.reach)
            .u16(56, self.name.len() as u16)
            .bytes(NAME_AT, self.name.as_bytes());
        let check = xxh3_64_with_seed(&bytes[..CHECK_AT], SEED);
        Put(&mut bytes).u64(CHECK_AT, check);
        bytes
    }

    /// The header that a file begins with. Zeros are no header: a file gets its name when it is whole.
    pub(crate) fn read(bytes: &[u8]) -> Read<FileHeader> {
        let Some(head) = bytes.get(..HEADER_BYTES) else {
            return Read::Bad(Bad::new(bytes.len() as u64, "a header of 512 bytes", "the end of the file"));
        };
        if array(head, 0) != Some(MAGIC) {
            return Read::Bad(Bad::new(0, "the magic of a worker's file", "other bytes"));
        }
        let expected = xxh3_64_with_seed(&head[..CHECK_AT], SEED);
        let found = u64_at(head, CHECK_AT).unwrap_or_default();
        if expected != found {
            return Read::Bad(Bad::new(CHECK_AT as u64, format!("check {expected:016x}"), format!("{found:016x}")));
        }
        match newer(head, 8) {
            Some(Some(version)) => return Read::Newer { version },
            Some(None) => {}
            None => return Read::Bad(Bad::new(8, "a format version", "none")),
        }
        let nonsense = || Read::Bad(Bad::new(40, "fields with a meaning", "a value that has none"));
        Self::fields(head).map_or_else(nonsense, Read::Valid)
    }

    fn fields(head: &[u8]) -> Option<FileHeader> {
        let len = usize::from(u16_at(head, 56)?);
        let (name, rest) = head.get(NAME_AT..CHECK_AT)?.split_at_checked(len)?;
        let header = FileHeader {
            log: LogId(array(head, 16)?),
            salt: u64_at(head, 32)?,
            made_at: Timestamp::from_nanos(i64_at(head, 40)?),
            reach: u64_at(head, 48)?,
            name: std::str::from_utf8(name).ok()?.to_owned(),
        };
        let sane = is_zero(rest) && is_zero(head.get(58..NAME_AT)?) && header.reach >= HEADER_BYTES as u64;
        (sane && (1..=WORKER_NAME_BYTES_MAX).contains(&len)).then_some(header)
    }
}

/// The length of a frame with so many bytes of entries.
pub(crate) fn frame_bytes(entries_bytes: u64) -> u64 {
    UNIT as u64 + align_up(entries_bytes.saturating_add(1), UNIT as u64)
}

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) entries_bytes: u32,
    pub(crate) entries: u32,
    pub(crate) seq: u64,
    pub(crate) reach: u64,
    pub(crate) written_at: Timestamp,
    body_check: u64,
}

/// The bytes of a frame, for a place in a file; `None` if 64 bytes of its entries would be zeros, which texts with
/// zeros alone could bring about.
pub(crate) fn frame(entries: &[Entry], seq: u64, reach: u64, at: Timestamp, salt: u64, offset: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; UNIT];
    entries.iter().for_each(|entry| entry.encode(&mut bytes));
    let entries_bytes = u32::try_from(bytes.len() - UNIT).ok()?;
    bytes.resize(frame_bytes(u64::from(entries_bytes)) as usize, MARK);
    let body_check = xxh3_64_with_seed(&bytes[UNIT..], salt);
    Put(&mut bytes)
        .bytes(0, &FRAME_MAGIC)
        .u32(4, entries_bytes)
        .u32(8, u32::try_from(entries.len()).ok()?)
        .u64(16, seq)
        .u64(24, reach)
        .i64(32, at.as_nanos())
        .u64(40, body_check);
    let check = xxh3_64_with_seed(&bytes[..48], salt ^ offset);
    Put(&mut bytes).u64(48, check).bytes(63, &[MARK]);
    (!bytes.chunks(UNIT).any(is_zero)).then_some(bytes)
}
