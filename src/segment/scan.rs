//! Reading the frames of a raw segment from the file itself, for recovery and verification: what a
//! mapping shows may be what memory holds, and a read error through it would kill the process.

use std::collections::VecDeque;
use std::io;

use crate::format::bytes::is_zero;
use crate::format::frame::{ALIGN, Frame, FrameHeader, HEADER_BYTES, HeaderRead, Kind, MAGIC, SegmentFacts};
use crate::format::{Bad, frame::FIRST_OFFSET};
use crate::io::{File, read_to_end_of};
use crate::position::Position;
use crate::time::Timestamp;

/// How much is read at once, in bytes; a longer frame is read whole.
const CHUNK_BYTES: usize = 1 << 20;

/// A window over a file that moves forward.
pub(crate) struct Window<'f> {
    file: &'f dyn File,
    len: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl<'f> Window<'f> {
    pub(crate) fn new(file: &'f dyn File) -> io::Result<Window<'f>> {
        Ok(Window { file, len: file.len()?, start: 0, buffer: Vec::new() })
    }

    /// The same over the first `end` bytes, for a file that somebody appends to.
    pub(crate) fn limited(file: &'f dyn File, end: u64) -> io::Result<Window<'f>> {
        let mut window = Window::new(file)?;
        window.len = window.len.min(end);
        Ok(window)
    }

    /// Length of the file when the window was made, in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The bytes from `offset` on: `want` of them, fewer only at the end of the file.
    pub(crate) fn get(&mut self, offset: u64, want: u64) -> io::Result<&[u8]> {
        let want = want.min(self.len.saturating_sub(offset));
        let held = self.start..self.start + self.buffer.len() as u64;
        if offset < held.start || offset + want > held.end {
            let take = want.max((CHUNK_BYTES as u64).min(self.len.saturating_sub(offset)));
            self.buffer.resize(take as usize, 0);
            let got = read_to_end_of(self.file, &mut self.buffer, offset)?;
            self.buffer.truncate(got);
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        let to = (from + want as usize).min(self.buffer.len());
        Ok(&self.buffer[from.min(to)..to])
    }
}

/// Why a scan stopped before the end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadKind {
    /// Zeros where a frame should begin, and something else after them.
    ZeroHeader,
    /// A header that is not zero and fails its check.
    BadHeader,
    /// The beginning of a header, and nothing but zeros, or nothing at all, behind it.
    CutHeader,
    /// A valid header over bytes that fail; whether they fail where zeros stand, as a write leaves
    /// it that was torn.
    BadBody { torn: bool },
    /// A valid header of a frame that the file is too short for.
    CutShort,
    /// A whole frame of another position: misplaced, or left over.
    WrongPosition,
    /// A whole frame of an earlier group: left over from a write that failed.
    GroupSeqFell,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadPlace {
    pub(crate) offset: u64,
    pub(crate) kind: BadKind,
    pub(crate) bad: Box<Bad>,
    /// The highest durable position that a valid frame further on claims.
    pub(crate) durable_after: Position,
    /// The highest last position of a valid frame further on; what a loss would cost.
    pub(crate) last_after: Position,
}

/// A frame that was seen and is not yet known to be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unproven {
    pub(crate) offset: u64,
    pub(crate) first: Position,
    pub(crate) next: Position,
}

/// What the frames from some offset on turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Where the last valid frame ends.
    pub(crate) end: u64,
    /// The position after the last valid event.
    pub(crate) next: Position,
    /// Header check of the last valid frame; as given at the start if there is none.
    pub(crate) last_check: u64,
    pub(crate) group_seq: u64,
    pub(crate) recorded_at: Option<Timestamp>,
    /// The highest durable position that a valid frame claims.
    pub(crate) durable: Position,
    /// The last frames, those that no later frame proves durable.
    pub(crate) unproven: VecDeque<Unproven>,
    /// `None`: zeros, or the end of the file.
    pub(crate) bad: Option<BadPlace>,
    /// Bytes read.
    pub(crate) bytes: u64,
}

/// From where a scan sets out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct From {
    pub(crate) offset: u64,
    pub(crate) next: Position,
    pub(crate) last_check: u64,
    pub(crate) group_seq: u64,
}

impl From {
    pub(crate) fn start(base: Position) -> From {
        From { offset: FIRST_OFFSET, next: base, last_check: 0, group_seq: 0 }
    }
}

/// Checks every bit of the frames from `from` to the end of the file. `each` gets every valid frame
/// with its offset.
pub(crate) fn scan(
    file: &dyn File,
    facts: SegmentFacts,
    from: From,
    each: impl FnMut(u64, &Frame<'_>) -> io::Result<()>,
) -> io::Result<Scan> {
    scan_to(file, facts, from, u64::MAX, each)
}

/// The same over the first `end` bytes of the file.
pub(crate) fn scan_to(
    file: &dyn File,
    facts: SegmentFacts,
    from: From,
    end: u64,
    mut each: impl FnMut(u64, &Frame<'_>) -> io::Result<()>,
) -> io::Result<Scan> {
    let mut window = Window::limited(file, end)?;
    let mut scan = Scan {
        end: from.offset,
        next: from.next,
        last_check: from.last_check,
        group_seq: from.group_seq,
        recorded_at: None,
        durable: Position::ORIGIN,
        unproven: VecDeque::new(),
        bad: None,
        bytes: 0,
    };
    loop {
        let offset = scan.end;
        let head = window.get(offset, HEADER_BYTES as u64)?;
        if head.is_empty() {
            break;
        }
        let header = match FrameHeader::read(head, facts.salt, offset) {
            HeaderRead::Valid(header) => header,
            HeaderRead::Bad(_) if head.len() < HEADER_BYTES && is_zero(head) => break,
            HeaderRead::Bad(bad) => {
                let cut = head.len() < HEADER_BYTES || head.ends_with(&[0]);
                let behind = offset + HEADER_BYTES as u64;
                let cut = cut && first_nonzero(&mut window, behind)?.is_none();
                let kind = if cut { BadKind::CutHeader } else { BadKind::BadHeader };
                scan.bad = Some(look_on(&mut window, facts, offset, kind, bad)?);
                break;
            }
            HeaderRead::Zero => {
                if let Some(at) = first_nonzero(&mut window, offset)? {
                    let bad = Bad::new(0, "zeros to the end of the file", format!("other bytes at {at}"));
                    scan.bad = Some(look_on(&mut window, facts, offset, BadKind::ZeroHeader, bad)?);
                }
                break;
            }
        };
        if let Err((kind, bad)) = accept(&mut window, facts, offset, &header, &scan, &mut each)? {
            scan.bad = Some(look_on(&mut window, facts, offset, kind, bad)?);
            break;
        }
        if header.kind == Kind::Events {
            scan.recorded_at = Some(header.recorded_at);
            scan.next = header.next();
            scan.unproven.push_back(Unproven { offset, first: header.first, next: header.next() });
        }
        scan.durable = scan.durable.max(header.durable);
        while scan.unproven.front().is_some_and(|frame| frame.next.get() <= scan.durable.get().saturating_add(1)) {
            scan.unproven.pop_front();
        }
        scan.end += header.frame_bytes();
        scan.last_check = header.check;
        scan.group_seq = header.group_seq;
    }
    scan.bytes = window.len().saturating_sub(from.offset);
    Ok(scan)
}

/// Whether the frame whose header is valid is good in itself and in its place.
fn accept(
    window: &mut Window<'_>,
    facts: SegmentFacts,
    offset: u64,
    header: &FrameHeader,
    scan: &Scan,
    each: &mut impl FnMut(u64, &Frame<'_>) -> io::Result<()>,
) -> io::Result<Result<(), (BadKind, Box<Bad>)>> {
    let bytes = window.get(offset, header.frame_bytes())?;
    let frame = match Frame::new(*header, facts, bytes) {
        Ok(frame) => frame,
        Err(bad) => return Ok(Err((BadKind::CutShort, bad))),
    };
    if let Err(bad) = frame.check_all() {
        let torn = frame.looks_torn(offset);
        return Ok(Err((BadKind::BadBody { torn }, bad)));
    }
    if header.kind == Kind::Events && header.first != scan.next {
        let bad = Bad::new(16, format!("position {}", scan.next), header.first.to_string());
        return Ok(Err((BadKind::WrongPosition, bad)));
    }
    if header.group_seq < scan.group_seq {
        let bad = Bad::new(40, format!("group seq {} or more", scan.group_seq), header.group_seq.to_string());
        return Ok(Err((BadKind::GroupSeqFell, bad)));
    }
    each(offset, &frame)?;
    Ok(Ok(()))
}

fn first_nonzero(window: &mut Window<'_>, from: u64) -> io::Result<Option<u64>> {
    let mut offset = from;
    loop {
        let bytes = window.get(offset, CHUNK_BYTES as u64)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if !is_zero(bytes) {
            let at = bytes.iter().position(|byte| *byte != 0).unwrap_or(0);
            return Ok(Some(offset + at as u64));
        }
        offset += bytes.len() as u64;
    }
}

/// Searches the rest of the file for valid frames, which tell whether the bad place was once
/// durable.
fn look_on(
    window: &mut Window<'_>,
    facts: SegmentFacts,
    offset: u64,
    kind: BadKind,
    bad: Box<Bad>,
) -> io::Result<BadPlace> {
    let mut place = BadPlace { offset, kind, bad, durable_after: Position::ORIGIN, last_after: Position::ORIGIN };
    for_each_header(window, facts, offset + ALIGN, |_, header| {
        place.durable_after = place.durable_after.max(header.durable);
        place.last_after = place.last_after.max(Position::new(header.next().get().saturating_sub(1)));
    })?;
    Ok(place)
}

/// Calls `each` for every valid frame header at a legal place from `offset` on, whatever stands
/// between them.
pub(crate) fn for_each_header(
    window: &mut Window<'_>,
    facts: SegmentFacts,
    mut offset: u64,
    mut each: impl FnMut(u64, &FrameHeader),
) -> io::Result<()> {
    loop {
        let bytes = window.get(offset, CHUNK_BYTES as u64)?;
        if bytes.len() < HEADER_BYTES {
            return Ok(());
        }
        let whole = bytes.len() / HEADER_BYTES * HEADER_BYTES;
        for (index, head) in bytes[..whole].chunks_exact(HEADER_BYTES).enumerate() {
            if head[..4] == MAGIC.to_le_bytes() {
                let at = offset + (index * HEADER_BYTES) as u64;
                if let HeaderRead::Valid(header) = FrameHeader::read(head, facts.salt, at) {
                    each(at, &header);
                }
            }
        }
        offset += whole as u64;
    }
}
