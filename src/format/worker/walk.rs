//! Going through a file of a worker, and judging its end. Pure: the bytes decide.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::entry::Entry;
use super::{EMPTY_FRAME_BYTES, FRAME_MAGIC, FileHeader, FrameHead, HEADER_BYTES, MARK, SECTOR, UNIT, frame_bytes};
use crate::format::bytes::{array, i64_at, is_zero, u32_at, u64_at};
use crate::format::{Bad, Parsed};
use crate::time::Timestamp;

/// A frame whose checks hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameView<'a> {
    pub(crate) offset: u64,
    /// Length of the whole frame.
    pub(crate) bytes: u64,
    pub(crate) head: FrameHead,
    entries: &'a [u8],
}

impl FrameView<'_> {
    /// Its entries, in order.
    pub(crate) fn entries(&self) -> Parsed<Vec<Entry>> {
        let mut rest = self.entries;
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let at = self.offset + UNIT as u64 + (self.entries.len() - rest.len()) as u64;
            let (entry, len) = Entry::read(rest).map_err(|bad| bad.after(at))?;
            entries.push(entry);
            rest = rest.get(len..).unwrap_or_default();
        }
        if entries.len() != self.head.entries as usize {
            let found = format!("{}", entries.len());
            return Err(Bad::new(self.offset + 8, format!("{} entries", self.head.entries), found));
        }
        Ok(entries)
    }
}

/// What a walk over a whole file came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Walked {
    /// Behind the last valid frame.
    pub(crate) end: u64,
    /// Of the last valid frame; 0 if there is none.
    pub(crate) seq: u64,
    /// What an interrupted write left there, if it did.
    pub(crate) torn: Option<Box<Bad>>,
}

impl FrameHead {
    /// The head at the beginning of `unit`, which stands at `offset`; `None` if it fails its checks.
    fn read(unit: &[u8], salt: u64, offset: u64) -> Option<FrameHead> {
        let checked = unit.get(..48)?;
        let ends = unit.get(56..UNIT)? == [0, 0, 0, 0, 0, 0, 0, MARK];
        if !ends || array(unit, 0) != Some(FRAME_MAGIC) || !is_zero(unit.get(12..16)?) {
            return None;
        }
        if u64_at(unit, 48)? != xxh3_64_with_seed(checked, salt ^ offset) {
            return None;
        }
        Some(FrameHead {
            entries_bytes: u32_at(unit, 4)?,
            entries: u32_at(unit, 8)?,
            seq: u64_at(unit, 16)?,
            reach: u64_at(unit, 24)?,
            written_at: Timestamp::from_nanos(i64_at(unit, 32)?),
            body_check: u64_at(unit, 40)?,
        })
    }
}

/// Calls `each` with every frame up to the end, a tear or damage; damage is the error. Offsets count from the beginning
/// of the file.
pub(crate) fn walk<'a>(
    bytes: &'a [u8],
    header: &FileHeader,
    each: &mut dyn FnMut(&FrameView<'a>) -> Parsed<()>,
) -> Parsed<Walked> {
    let (len, salt) = (bytes.len() as u64, header.salt);
    let (mut offset, mut seq, mut reach) = (HEADER_BYTES as u64, 0, header.reach);
    loop {
        if len < reach {
            return Err(Bad::new(len, format!("a file of {reach} bytes"), format!("its end after {len}")));
        }
        // What lies beyond the reach is looked at too: where an announcement of more was lost, frames stand there.
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let within = rest.get(..(reach - offset.min(reach)) as usize).unwrap_or_default();
        let unit = within.get(..UNIT).unwrap_or_default();
        let Some(head) = FrameHead::read(unit, salt, offset) else {
            return end(rest, within, salt, offset, seq);
        };
        let whole = frame_bytes(u64::from(head.entries_bytes));
        if head.seq != seq + 1 || head.reach < reach || offset.saturating_add(whole) > reach {
            return Err(Bad::new(
                offset,
                format!("frame {} within {reach} bytes", seq + 1),
                "a frame that does not fit",
            ));
        }
        let body = rest.get(UNIT..whole as usize).unwrap_or_default();
        let (entries, padding) = body.split_at_checked(head.entries_bytes as usize).unwrap_or_default();
        let checks = xxh3_64_with_seed(body, salt) == head.body_check && padding.iter().all(|byte| *byte == MARK);
        if !checks && !cfg!(annals_no_worker_check) {
            let bad = Bad::new(offset + UNIT as u64, "a body that passes its check", "another");
            let later = later_frame(rest, salt, offset, whole as usize);
            let torn = !later && body_is_torn(body, offset + UNIT as u64);
            return if torn { Ok(Walked { end: offset, seq, torn: Some(bad) }) } else { Err(bad) };
        }
        each(&FrameView { offset, bytes: whole, head, entries })?;
        (offset, seq, reach) = (offset + whole, head.seq, head.reach);
    }
}

/// What it means that no valid head stands at `offset`.
fn end(rest: &[u8], within: &[u8], salt: u64, offset: u64, seq: u64) -> Parsed<Walked> {
    let bad = Bad::new(offset, "a frame, or zeros", "other bytes");
    if later_frame(rest, salt, offset, UNIT) {
        return Err(bad);
    }
    if is_zero(within) {
        return Ok(Walked { end: offset, seq, torn: None });
    }
    // A head lies within one sector: it is there, or the write was cut off before its last byte.
    let head_is_torn = within.get(UNIT - 1) == Some(&0);
    if head_is_torn { Ok(Walked { end: offset, seq, torn: Some(bad) }) } else { Err(bad) }
}

/// Whether a valid head stands at or behind `from` of `rest`, which begins at `offset`.
fn later_frame(rest: &[u8], salt: u64, offset: u64, from: usize) -> bool {
    let units = rest.chunks_exact(UNIT).enumerate().skip(from / UNIT);
    units.into_iter().any(|(index, unit)| {
        unit.starts_with(&FRAME_MAGIC) && FrameHead::read(unit, salt, offset + (index * UNIT) as u64).is_some()
    })
}

/// Whether a body that fails its check looks as an interrupted write leaves it: cut off, or without one of its sectors.
fn body_is_torn(body: &[u8], offset: u64) -> bool {
    if body.last() == Some(&0) {
        return true;
    }
    let first = (SECTOR - offset as usize % SECTOR).min(body.len());
    let (first, others) = body.split_at_checked(first).unwrap_or_default();
    (!first.is_empty() && is_zero(first)) || others.chunks(SECTOR).any(is_zero)
}

// An announcement of more reach has to find room.
const _: () = assert!(EMPTY_FRAME_BYTES == 128);
