//! A frame: one batch, visible whole or not at all.
//!
//! Frames are 64-aligned, so that a header never crosses a 512-byte sector: after a torn write it
//! is there or it is zeros. Header:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `ANFR` |
//! | 4 | 1 | kind: 1 events, 2 pad, 3 control; 0 never |
//! | 5 | 1 | flags: 1 imported, 2 clock suspect; incompatible: 16 recorded_at each, 32 wall clock, 64 prelude |
//! | 6 | 2 | zero |
//! | 8 | 4 | body length |
//! | 12 | 4 | number of events |
//! | 16 | 8 | position of the first event |
//! | 24 | 8 | durable position: every event up to it was durable when this frame was made |
//! | 32 | 8 | recorded_at of its events, of the last where each has its own, ns since 1970 |
//! | 40 | 8 | group seq: the same for all frames of one write, higher than that of every earlier attempt |
//! | 48 | 4 | prelude CRC: CRC-32 of the prelude (of the whole body for pad and control); 0 without one |
//! | 52 | 4 | table CRC: CRC-32 of everything between header and body |
//! | 56 | 8 | header check: xxh3-64 of bytes 0 to 55, seed = salt ^ offset of the frame in the file |
//!
//! Then the table, 16 bytes an event:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | version |
//! | 8 | 4 | end of the record, counted from the start of the body |
//! | 12 | 4 | record check: CRC-32 of the record ^ low half of xxh3-64(position, version; seed = salt) |
//!
//! Then, by flag, recorded_at of each event (i64) and the wall clock (i64, where it differs from
//! recorded_at). Then the body: by flag the prelude, then the records end to end. Then zeros to
//! the next multiple of 64. CRC-32 is that of IEEE 802.3.
//!
//! The caller of an append computes each record's CRC without a lock; whoever commits it only adds
//! the place. A frame of pad or control has no events and no table, and is passed over.

use std::borrow::Cow;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::bytes::{Put, align_up, array, counter_at, i64_at, is_zero, u16_at, u32_at, u64_at};
use super::leaf::BatchFacts;
use super::prelude::Prelude;
use super::record::Record;
use super::{Bad, Parsed};
use crate::event::{Cause, EventRef, Head, LogId};
use crate::position::Position;
use crate::time::Timestamp;

pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"ANFR");
pub(crate) const ALIGN: u64 = 64;
pub(crate) const HEADER_BYTES: usize = 64;
pub(crate) const ENTRY_BYTES: usize = 16;
/// Where the first frame of a segment stands.
pub(crate) const FIRST_OFFSET: u64 = 3 * super::PAGE_BYTES as u64;

pub(crate) const IMPORTED: u8 = 1;
pub(crate) const CLOCK_SUSPECT: u8 = 2;
pub(crate) const RECORDED_EACH: u8 = 16;
pub(crate) const WALL: u8 = 32;
pub(crate) const PRELUDE: u8 = 64;
const FLAGS_KNOWN: u8 = IMPORTED | CLOCK_SUSPECT | RECORDED_EACH | WALL | PRELUDE;
const FLAGS_INCOMPATIBLE: u8 = 0xF0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Events = 1,
    Pad = 2,
    Control = 3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) body_len: u32,
    pub(crate) count: u32,
    pub(crate) first: Position,
    pub(crate) durable: Position,
    pub(crate) recorded_at: Timestamp,
    pub(crate) group_seq: u64,
    pub(crate) prelude_crc: u32,
    pub(crate) table_crc: u32,
    /// As it stands in the frame: what names this very frame in slots.
    pub(crate) check: u64,
}

/// What stands where a frame might begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeaderRead {
    /// 64 zeros.
    Zero,
    Valid(FrameHeader),
    Bad(Box<Bad>),
}

impl FrameHeader {
    /// Length of everything between header and body, in bytes.
    pub(crate) fn table_bytes(&self) -> u64 {
        let each = ENTRY_BYTES as u64 + if self.flags & RECORDED_EACH != 0 { 8 } else { 0 };
        u64::from(self.count) * each + if self.flags & WALL != 0 { 8 } else { 0 }
    }

    /// Length without the zeros at the end, in bytes.
    pub(crate) fn used_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.table_bytes() + u64::from(self.body_len)
    }

    /// Length of the whole frame, in bytes.
    pub(crate) fn frame_bytes(&self) -> u64 {
        align_up(self.used_bytes(), ALIGN)
    }

    /// The position after the frame's last event.
    pub(crate) fn next(&self) -> Position {
        Position::new(self.first.get().saturating_add(u64::from(self.count)))
    }

    /// Writes the header to `out`, with its check, and returns the check.
    pub(crate) fn encode(&self, out: &mut [u8], salt: u64, offset: u64) -> u64 {
        Put(out)
            .u32(0, MAGIC)
            .bytes(4, &[self.kind as u8, self.flags, 0, 0])
            .u32(8, self.body_len)
            .u32(12, self.count)
            .u64(16, self.first.get())
            .u64(24, self.durable.get())
            .i64(32, self.recorded_at.as_nanos())
            .u64(40, self.group_seq)
            .u32(48, self.prelude_crc)
            .u32(52, self.table_crc);
        let check = xxh3_64_with_seed(&out[..56], header_seed(salt, offset));
        Put(out).u64(56, check);
        check
    }

    /// Reads the header at the start of `bytes`, which stand at `offset` in the file.
    pub(crate) fn read(bytes: &[u8], salt: u64, offset: u64) -> HeaderRead {
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
            return HeaderRead::Bad(Bad::new(bytes.len() as u64, "a frame header of 64 bytes", "the end of the file"));
        };
        if u32_at(head, 0) != Some(MAGIC) {
            return match is_zero(head) {
                true => HeaderRead::Zero,
                false => HeaderRead::Bad(Bad::new(
                    0,
                    "the magic of a frame, or zeros",
                    format!("{}", head[..4].escape_ascii()),
                )),
            };
        }
        let check = u64_at(head, 56).unwrap_or_default();
        let expected = match cfg!(annals_no_header_check) {
            true => check,
            false => xxh3_64_with_seed(&head[..56], header_seed(salt, offset)),
        };
        if check != expected {
            return HeaderRead::Bad(Bad::new(56, format!("header check {expected:016x}"), format!("{check:016x}")));
        }
        Self::fields(head, check).unwrap_or_else(|| {
            HeaderRead::Bad(Bad::new(
                4,
                "kind, flags and lengths of format version 1",
                format!("{}", head[4..16].escape_ascii()),
            ))
        })
    }

    fn fields(head: &[u8; HEADER_BYTES], check: u64) -> Option<HeaderRead> {
        let kind = match head[4] {
            1 => Kind::Events,
            2 => Kind::Pad,
            3 => Kind::Control,
            _ => return None,
        };
        let header = FrameHeader {
            kind,
            flags: head[5],
            body_len: u32_at(head, 8)?,
            count: u32_at(head, 12)?,
            first: Position::new(u64_at(head, 16)?),
            durable: Position::new(u64_at(head, 24)?),
            recorded_at: Timestamp::from_nanos(i64_at(head, 32)?),
            group_seq: counter_at(head, 40)?,
            prelude_crc: u32_at(head, 48)?,
            table_crc: u32_at(head, 52)?,
            check,
        };
        let unknown = header.flags & !FLAGS_KNOWN & FLAGS_INCOMPATIBLE != 0;
        let sane = match kind {
            Kind::Events => header.count > 0 && header.first > Position::ORIGIN,
            Kind::Pad | Kind::Control => header.count == 0 && header.flags & FLAGS_INCOMPATIBLE == 0,
        };
        (!unknown && sane && u16_at(head, 6) == Some(0)).then_some(HeaderRead::Valid(header))
    }
}

/// What binds a header check to its segment and place.
fn header_seed(salt: u64, offset: u64) -> u64 {
    if cfg!(annals_no_seed) { 0 } else { salt ^ offset }
}

/// The part of a record check that binds it to its place.
pub(crate) fn place_mask(position: u64, version: u64, salt: u64) -> u32 {
    let salt = if cfg!(annals_no_seed) { 0 } else { salt };
    let mut place = [0u8; 16];
    place[..8].copy_from_slice(&position.to_le_bytes());
    place[8..].copy_from_slice(&version.to_le_bytes());
    xxh3_64_with_seed(&place, salt) as u32
}

/// CRC-32 (IEEE 802.3).
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// What the frames of one segment share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentFacts {
    pub(crate) log: LogId,
    pub(crate) epoch: u64,
    pub(crate) salt: u64,
}

/// A frame whose header is valid, over all its bytes. Nothing else is checked yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) header: FrameHeader,
    facts: SegmentFacts,
    /// From the header to before the zeros at the end.
    bytes: &'a [u8],
    padding: &'a [u8],
    table_len: usize,
}

impl<'a> Frame<'a> {
    /// Takes the frame at the start of `bytes`, whose header was read from them.
    pub(crate) fn new(header: FrameHeader, facts: SegmentFacts, bytes: &'a [u8]) -> Parsed<Frame<'a>> {
        let cut = || {
            Bad::new(bytes.len() as u64, format!("a frame of {} bytes", header.frame_bytes()), "the end of the segment")
        };
        let whole = usize::try_from(header.frame_bytes()).ok().and_then(|len| bytes.get(..len)).ok_or_else(cut)?;
        let (bytes, padding) = whole.split_at(header.used_bytes() as usize);
        Ok(Frame { header, facts, bytes, padding, table_len: header.table_bytes() as usize })
    }

    fn table(&self) -> &'a [u8] {
        &self.bytes[HEADER_BYTES..HEADER_BYTES + self.table_len]
    }

    fn body(&self) -> &'a [u8] {
        &self.bytes[HEADER_BYTES + self.table_len..]
    }

    fn prelude_bytes(&self) -> Parsed<&'a [u8]> {
        let len = match self.header.flags & PRELUDE {
            0 => 0,
            _ => Prelude::len(self.body())
                .ok_or_else(|| Bad::new(self.body_at(), "a prelude inside the body", "another length"))?,
        };
        Ok(&self.body()[..len])
    }

    fn body_at(&self) -> u64 {
        (HEADER_BYTES + self.table_len) as u64
    }

    /// Checks what stands between header and body: versions, record checks, times.
    pub(crate) fn check_table(&self) -> Parsed<()> {
        let table = crc(self.table());
        if table != self.header.table_crc && !cfg!(annals_no_body_check) {
            return Err(mismatch(HEADER_BYTES as u64, "table CRC", self.header.table_crc, table));
        }
        Ok(())
    }

    /// Checks everything of the frame but its records: table, prelude, zeros at the end. With the
    /// check that [`Frame::event`] does for each record, every bit of the frame is covered.
    pub(crate) fn check(&self) -> Parsed<()> {
        self.check_table()?;
        let checked = match self.header.kind {
            Kind::Events => self.prelude_bytes()?,
            Kind::Pad | Kind::Control => self.body(),
        };
        let found = if checked.is_empty() { 0 } else { crc(checked) };
        if found != self.header.prelude_crc {
            return Err(mismatch(self.body_at(), "prelude CRC", self.header.prelude_crc, found));
        }
        if !is_zero(self.padding) {
            return Err(Bad::new(self.bytes.len() as u64, "zeros to the end of the frame", "other bytes"));
        }
        if self.header.kind == Kind::Events {
            let last = self.record_end(self.header.count - 1)?;
            if last != self.body().len() {
                return Err(Bad::new(
                    self.body_at(),
                    format!("records of {} bytes", self.body().len()),
                    last.to_string(),
                ));
            }
        }
        Ok(())
    }

    /// Checks the whole frame, every record included.
    pub(crate) fn check_all(&self) -> Parsed<()> {
        self.check()?;
        (0..self.header.count).try_for_each(|index| self.event(index).map(drop))
    }

    fn record_end(&self, index: u32) -> Parsed<usize> {
        let at = index as usize * ENTRY_BYTES + 8;
        u32_at(self.table(), at)
            .map(|end| end as usize)
            .ok_or_else(|| Bad::new(HEADER_BYTES as u64, "an event of the frame", index.to_string()))
    }

    /// Where the record of an event lies, by a frame's bytes as they stand: unchecked, for touching
    /// them ahead of reading.
    pub(crate) fn record_place(bytes: &[u8], index: u32) -> Option<Range<usize>> {
        let entry = HEADER_BYTES + index as usize * ENTRY_BYTES;
        let table = ENTRY_BYTES + if bytes.get(5)? & RECORDED_EACH != 0 { 8 } else { 0 };
        let body = HEADER_BYTES + u32_at(bytes, 12)? as usize * table;
        let start = if index == 0 { 0 } else { u32_at(bytes, entry + 8 - ENTRY_BYTES)? as usize };
        let end = u32_at(bytes, entry + 8)? as usize;
        Some(body + start..body + end)
    }

    /// The batch's key and the hash of what it was used for; none where there is no prelude.
    pub(crate) fn prelude(&self) -> Parsed<Prelude<'a>> {
        Prelude::parse(self.prelude_bytes()?).map_err(|bad| bad.after(self.body_at()))
    }

    /// The event at a 0-based index, its record fully checked, whatever the rest of the frame is like.
    pub(crate) fn event(&self, index: u32) -> Parsed<EventRef<'a>> {
        let end = self.record_end(index)?;
        let start = match index {
            0 => self.prelude_bytes()?.len(),
            _ => self.record_end(index - 1)?,
        };
        let outside = || Bad::new(self.body_at(), "a record inside the body", format!("bytes {start} to {end}"));
        let record_bytes = self.body().get(start..end).ok_or_else(outside)?;
        let at = self.body_at() + start as u64;
        let entry = index as usize * ENTRY_BYTES;
        let version = u64_at(self.table(), entry).unwrap_or_default();
        let position = self.header.first.get().saturating_add(u64::from(index));
        let expected = u32_at(self.table(), entry + 12).unwrap_or_default();
        let found = crc(record_bytes) ^ place_mask(position, version, self.facts.salt);
        if expected != found && !cfg!(annals_no_body_check) {
            return Err(mismatch(at, "record check", expected, found));
        }
        let record = Record::parse(record_bytes).map_err(|bad| bad.after(at))?;
        let causation = match record.cause {
            None => None,
            Some(Cause::At(position)) => Some(position),
            Some(Cause::InBatch(earlier)) if earlier < index as usize => {
                Some(Position::new(self.header.first.get().saturating_add(earlier as u64)))
            }
            Some(Cause::InBatch(later)) => {
                return Err(Bad::new(at + 40, "the index of an earlier event of the batch", later.to_string()));
            }
        };
        let recorded_at = match self.header.flags & RECORDED_EACH {
            0 => self.header.recorded_at,
            _ => Timestamp::from_nanos(
                i64_at(self.table(), self.header.count as usize * ENTRY_BYTES + index as usize * 8).unwrap_or_default(),
            ),
        };
        Ok(EventRef {
            head: Head {
                log: self.facts.log,
                epoch: self.facts.epoch,
                position: Position::new(position),
                version,
                recorded_at,
                occurred_at: record.occurred_at,
                causation,
                actor: record.actor,
                content: record.content,
                lens: record.lens,
                tag_count: record.tag_count,
                imported: self.header.flags & IMPORTED != 0,
            },
            lists: record.lists,
            text: record.text,
            data: record.data,
        })
    }

    /// What the leaf of the event at `index` holds beside the event.
    pub(crate) fn batch_facts(&self, index: u32) -> Parsed<BatchFacts<'a>> {
        let wall_at = self.table().len().saturating_sub(8);
        Ok(BatchFacts {
            last_of_batch: index + 1 == self.header.count,
            clock_suspect: self.header.flags & CLOCK_SUSPECT != 0,
            wall: (self.header.flags & WALL != 0)
                .then(|| Timestamp::from_nanos(i64_at(self.table(), wall_at).unwrap_or_default())),
            key: match index {
                0 => self.prelude()?.key.map(|(key, hash)| (key, hash.as_slice())),
                _ => None,
            },
        })
    }

    /// Whether what is wrong with a frame that fails its checks is what a torn write leaves: every
    /// part that fails touches bytes that may never have been written.
    pub(crate) fn looks_torn(&self, offset: u64) -> bool {
        let gaps = self.unwritten(offset);
        let touches = |part: Range<usize>| gaps.iter().any(|gap| gap.start < part.end && part.start < gap.end);
        let body_at = HEADER_BYTES + self.table_len;
        if crc(self.table()) != self.header.table_crc {
            return touches(HEADER_BYTES..body_at);
        }
        let Ok(prelude) = self.prelude_bytes() else { return touches(body_at..self.bytes.len()) };
        let records_at = body_at + prelude.len();
        let prelude_is_good = prelude.is_empty() || crc(prelude) == self.header.prelude_crc;
        if !prelude_is_good && !touches(body_at..records_at) {
            return false;
        }
        let mut start = records_at;
        let mut is_explained = |index| {
            let end = self.record_end(index).map_or(start, |end| body_at + end);
            let record = start..end;
            start = end;
            self.event(index).is_ok() || touches(record)
        };
        is_zero(self.padding) && (0..self.header.count).all(&mut is_explained)
    }

    /// The parts of the frame that look as if their write was lost: sectors of zeros behind the one
    /// that the header stands in, and the zeros that the frame ends with.
    fn unwritten(&self, offset: u64) -> Vec<Range<usize>> {
        let len = self.bytes.len();
        let written = self.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let mut gaps: Vec<Range<usize>> = std::iter::once(written..len).collect();
        let mut sector = (align_up(offset + 1, super::SECTOR_BYTES) - offset) as usize;
        while sector < written {
            let next = (sector + super::SECTOR_BYTES as usize).min(len);
            if is_zero(&self.bytes[sector..next]) {
                gaps.push(sector..next);
            }
            sector = next;
        }
        gaps
    }
}

fn mismatch(offset: u64, what: &'static str, expected: u32, found: u32) -> Box<Bad> {
    Bad::new(offset, Cow::Owned(format!("{what} {expected:08x}")), Cow::Owned(format!("{found:08x}")))
}

/// The seq and place fields of a table entry as the committer fills them in: `entry` holds the
/// bare CRC of the record until then.
pub(crate) fn seal_entry(entry: &mut [u8], position: u64, version: u64, salt: u64) {
    let bare = array::<4>(entry, 12).map_or(0, u32::from_le_bytes);
    Put(entry).u64(0, version).u32(12, bare ^ place_mask(position, version, salt));
}

#[cfg(test)]
mod tests;
