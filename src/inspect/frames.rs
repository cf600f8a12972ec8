//! The frames of a segment, one after the other. Behind a bad place the search goes on at every
//! place where a frame could begin, so one bad frame hides no other.

use std::io;

use serde::Serialize;

use super::fields::{word, words};
use super::pages::Head;
use super::{FIRST_FRAMES, Inspection, LAST_FRAMES, Problem};
use crate::format::Bad;
use crate::format::bytes::is_zero;
use crate::format::frame::{
    ALIGN, FIRST_OFFSET, Frame, FrameHeader, HEADER_BYTES, HeaderRead, Kind, MAGIC, SegmentFacts,
};
use crate::format::layout::{FRAME_FLAGS, FRAME_KINDS};
use crate::format::slot::Slot;
use crate::io::File;
use crate::limits::SEGMENT_BYTES_MAX;
use crate::position::Position;
use crate::segment::scan::Window;
use crate::time::Timestamp;

/// Bytes that are searched at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// The frames of a segment. Where not all are shown, `first` and `last` are those at both ends.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct FramesView {
    /// Frames with a valid header.
    pub frames: u64,
    /// Those of them that fail a check.
    pub bad_frames: u64,
    /// Events in the valid frames.
    pub events: u64,
    /// The first and the last of their positions.
    pub positions: Option<(Position, Position)>,
    /// The highest position that a frame says was durable when it was made.
    pub durable: Position,
    /// Where the last frame ends.
    pub end: u64,
    /// From where on the file is zeros.
    pub zeros_from: Option<u64>,
    /// The first frames; all of them if `left_out` is 0.
    pub first: Vec<FrameView>,
    /// How many frames between `first` and `last` are not shown.
    pub left_out: u64,
    /// The last frames.
    pub last: Vec<FrameView>,
}

/// One frame, as its header says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FrameView {
    /// Where it begins.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// `events`, `pad` or `control`.
    pub kind: &'static str,
    /// Number of events.
    pub events: u32,
    /// Position of its first event.
    pub first: Position,
    /// Position of its last event.
    pub last: Position,
    /// Every event up to here was durable when the frame was made.
    pub durable: Position,
    /// When its (last) event was recorded.
    pub recorded_at: Timestamp,
    /// The write it was part of.
    pub group_seq: u64,
    /// The flags that are set, in words.
    pub flags: Vec<String>,
    /// What is wrong with it; nothing if it is valid and in its place.
    pub problem: Option<String>,
    /// How many of its events fail their checks.
    pub bad_events: u32,
}

/// Goes through all frames of the file.
pub(super) fn walk(inspection: &mut Inspection, file: &dyn File, head: &Head, all: bool) -> io::Result<()> {
    let Some(facts) = head.facts else { return Ok(()) };
    let walk = Walk {
        window: Window::new(file)?,
        facts,
        base: head.base,
        slot: head.slot,
        expected: head.base,
        group_seq: 0,
        last_check: None,
        all,
        view: FramesView { end: FIRST_OFFSET, ..FramesView::default() },
    };
    walk.run(inspection)
}

struct Walk<'f> {
    window: Window<'f>,
    facts: SegmentFacts,
    base: Option<Position>,
    slot: Option<Slot>,
    /// The position that the next frame must begin with, if that is known.
    expected: Option<Position>,
    group_seq: u64,
    last_check: Option<u64>,
    all: bool,
    view: FramesView,
}

impl Walk<'_> {
    fn run(mut self, inspection: &mut Inspection) -> io::Result<()> {
        let mut offset = FIRST_OFFSET;
        while offset < self.window.len() {
            self.check_slot(inspection, offset);
            let head = self.window.get(offset, HEADER_BYTES as u64)?;
            let header = match FrameHeader::read(head, self.facts.salt, offset) {
                HeaderRead::Valid(header) => header,
                HeaderRead::Bad(_) if head.len() < HEADER_BYTES && is_zero(head) => {
                    self.view.zeros_from = Some(offset);
                    break;
                }
                HeaderRead::Bad(bad) => {
                    offset = self.pass_over(inspection, offset, &bad)?;
                    continue;
                }
                HeaderRead::Zero => match self.first_nonzero(offset)? {
                    None => {
                        self.view.zeros_from = Some(offset);
                        break;
                    }
                    Some(at) => {
                        let bad =
                            Bad::new(0, "a frame, or zeros to the end", format!("zeros, and other bytes at {at}"));
                        offset = self.pass_over(inspection, offset, &bad)?;
                        continue;
                    }
                },
            };
            let bytes = header.frame_bytes();
            if bytes > SEGMENT_BYTES_MAX || offset.saturating_add(bytes) > self.window.len() {
                let bad = Bad::new(0, format!("a frame of {bytes} bytes"), "the end of the file before its end");
                offset = self.pass_over(inspection, offset, &bad)?;
                continue;
            }
            self.take(inspection, offset, &header)?;
            offset += bytes;
        }
        self.check_slot(inspection, offset);
        self.check_reach(inspection);
        let keep = if self.all { usize::MAX } else { FIRST_FRAMES };
        if self.view.first.len() > keep {
            self.view.last = self.view.first.split_off(keep);
        }
        inspection.frames = Some(self.view);
        Ok(())
    }

    /// Takes a frame that lies within the file, whatever its content is worth.
    fn take(&mut self, inspection: &mut Inspection, offset: u64, header: &FrameHeader) -> io::Result<()> {
        let bytes = self.window.get(offset, header.frame_bytes())?;
        let (bad, bad_events) = match Frame::new(*header, self.facts, bytes) {
            Err(bad) => (Some(bad), header.count),
            Ok(frame) => match frame.check_all() {
                Ok(()) => (None, 0),
                Err(bad) => (Some(bad), count_bad_events(&frame)),
            },
        };
        let events = header.kind == Kind::Events;
        let misplaced = || {
            let expected = self.expected.filter(|expected| events && *expected != header.first)?;
            Some(Bad::new(16, format!("position {expected}"), header.first.to_string()))
        };
        let fell = || {
            let fell = header.group_seq < self.group_seq;
            fell.then(|| Bad::new(40, format!("group seq {} or more", self.group_seq), header.group_seq.to_string()))
        };
        let bad = bad.or_else(misplaced).or_else(fell);
        let problem = bad.map(|bad| {
            let mut problem = Problem::of("frame", &bad.after(offset));
            problem.bytes = Some(header.frame_bytes());
            let text = format!("at {} expected {}, found {}", problem.offset, problem.expected, problem.found);
            inspection.problem(problem);
            text
        });
        let last = Position::new(header.next().get().saturating_sub(1));
        let view = &mut self.view;
        view.frames += 1;
        view.durable = view.durable.max(header.durable);
        view.end = offset + header.frame_bytes();
        match &problem {
            Some(_) => view.bad_frames += 1,
            None if events => {
                view.events += u64::from(header.count);
                let first = view.positions.map_or(header.first, |(first, _)| first);
                view.positions = Some((first, last));
            }
            None => {}
        }
        let shown = FrameView {
            offset,
            bytes: header.frame_bytes(),
            kind: word(FRAME_KINDS, header.kind as u64).unwrap_or_default(),
            events: header.count,
            first: header.first,
            last,
            durable: header.durable,
            recorded_at: header.recorded_at,
            group_seq: header.group_seq,
            flags: words(FRAME_FLAGS, header.flags.into()),
            problem,
            bad_events,
        };
        if events {
            self.expected = Some(header.next());
        }
        self.group_seq = header.group_seq;
        self.last_check = Some(header.check);
        self.keep(shown);
        Ok(())
    }

    /// Keeps a frame to be shown; of too many the first and, for now, more than the last.
    fn keep(&mut self, frame: FrameView) {
        self.view.first.push(frame);
        if !self.all && self.view.first.len() > FIRST_FRAMES + 2 * LAST_FRAMES {
            self.view.first.drain(FIRST_FRAMES..FIRST_FRAMES + LAST_FRAMES);
            self.view.left_out += LAST_FRAMES as u64;
        }
    }

    /// Notes a bad place and finds where valid frames go on: the next place, or the end.
    fn pass_over(&mut self, inspection: &mut Inspection, offset: u64, bad: &Bad) -> io::Result<u64> {
        let next = self.next_header(offset + ALIGN)?;
        let end = next.map_or(self.window.len(), |(at, _)| at);
        let mut problem = Problem::new("frame", offset + bad.offset, bad.expected.clone(), bad.found.clone());
        problem.bytes = Some(end - offset);
        inspection.problem(problem);
        // What a bad place held is not known, but the frame behind it says where it should have begun.
        if let (Some(expected), Some((at, header))) = (self.expected, next)
            && header.kind == Kind::Events
            && header.first > expected
        {
            inspection.notes.push(format!(
                "positions {expected} to {} stood before byte {at}, where valid frames go on",
                header.first.get() - 1
            ));
            self.expected = None;
        }
        Ok(end)
    }

    /// The next valid header at a place where one may stand.
    fn next_header(&mut self, from: u64) -> io::Result<Option<(u64, FrameHeader)>> {
        let mut offset = from;
        loop {
            let bytes = self.window.get(offset, CHUNK_BYTES)?;
            if bytes.len() < HEADER_BYTES {
                return Ok(None);
            }
            let heads = bytes.chunks_exact(HEADER_BYTES);
            let whole = (heads.len() * HEADER_BYTES) as u64;
            for (at, head) in (offset..).step_by(HEADER_BYTES).zip(heads) {
                if head.starts_with(&MAGIC.to_le_bytes())
                    && let HeaderRead::Valid(header) = FrameHeader::read(head, self.facts.salt, at)
                {
                    return Ok(Some((at, header)));
                }
            }
            offset += whole;
        }
    }

    fn first_nonzero(&mut self, from: u64) -> io::Result<Option<u64>> {
        let mut offset = from;
        loop {
            let bytes = self.window.get(offset, CHUNK_BYTES)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            if let Some(at) = bytes.iter().position(|byte| *byte != 0) {
                return Ok(Some(offset + at as u64));
            }
            offset += bytes.len() as u64;
        }
    }

    /// Where the newer slot says that the durable frames end, the frame that ends there must be the
    /// one it names.
    fn check_slot(&self, inspection: &mut Inspection, offset: u64) {
        let Some(slot) = self.slot.filter(|slot| slot.end_offset == offset) else { return };
        let check = self.last_check.unwrap_or(0);
        if check != slot.last_header_check {
            let expected =
                format!("a frame with header check {:016x} before it, as the slot says", slot.last_header_check);
            inspection.problem(Problem::new("slot", offset, expected, format!("{check:016x}")));
        }
        if let Some(expected) = self.expected.filter(|expected| *expected != slot.end_position.next()) {
            let expected = format!("position {expected} as the next");
            inspection.problem(Problem::new("slot", offset, expected, format!("end position {}", slot.end_position)));
        }
    }

    /// Whether the frames reach as far as the newer slot says that they did.
    fn check_reach(&self, inspection: &mut Inspection) {
        let Some(slot) = self.slot else { return };
        if self.view.end < slot.end_offset {
            let expected = format!("frames up to byte {}, as the slot says", slot.end_offset);
            let found = format!("the end of the frames at {}", self.view.end);
            inspection.problem(Problem::new("slot", self.view.end, expected, found));
        }
        if slot.state.is_final() && self.view.end > slot.end_offset {
            let expected = format!("no frames from byte {} on, where the segment ended", slot.end_offset);
            let found = format!("frames up to {}", self.view.end);
            inspection.problem(Problem::new("slot", slot.end_offset, expected, found));
        }
        if let (Some((first, _)), Some(base)) = (self.view.positions, self.base)
            && first < base
        {
            inspection.problem(Problem::new("frame", FIRST_OFFSET, format!("position {base}"), first.to_string()));
        }
    }
}

fn count_bad_events(frame: &Frame<'_>) -> u32 {
    let mut bad = 0;
    // A count comes from a header that passed its check, and its table is within the file.
    for index in 0..frame.header.count {
        bad += u32::from(frame.event(index).is_err());
    }
    bad
}
