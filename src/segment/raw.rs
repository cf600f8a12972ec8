//! A raw segment as readers know it: published bytes, and an index over them.
//!
//! Invariants: `end` is where the last published frame ends, `next` the position after its last
//! event; both only grow, and nothing below them ever changes. Rows below `next - base` are
//! readable; the index may already know more or less of them. The mapping is made once, over the
//! segment's maximum, so it never moves while the file grows.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::idx_file::IdxFile;
use super::mem_index::{MemIndex, RowPlace};
use crate::error::{Corruption, Error, Result};
use crate::event::EventRef;
use crate::format::Bad;
use crate::format::frame::{
    FIRST_OFFSET, Frame, FrameHeader, HEADER_BYTES, HeaderRead, Kind, RECORDED_EACH, SegmentFacts,
};
use crate::format::header::SegmentHeader;
use crate::format::sealed::block::Row;
use crate::io::{Mapping, Mode as Open, Storage};
use crate::position::Position;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, RwLock};

/// Rows that are touched together before they are read one by one.
pub(crate) const TOUCHED_TOGETHER: usize = 16;
/// Bytes that the processor fetches at once, and how many such pieces of a record are touched ahead:
/// behind those it sees by itself that all are read in order.
const CACHE_LINE: usize = 64;
const LINES_TOUCHED: usize = 8;

/// What is known of the rows of a segment. Rows below `idx.rows()` are in the file's index, rows
/// from `mem.first_row()` on in memory; `None` and `None` is a segment that has to be scanned.
#[derive(Debug, Default)]
pub(crate) struct SegmentIndex {
    pub(crate) idx: Option<Arc<IdxFile>>,
    pub(crate) mem: Option<MemIndex>,
}

#[derive(Debug)]
pub(crate) struct RawSegment {
    pub(crate) header: SegmentHeader,
    /// Relative to the store.
    pub(crate) path: PathBuf,
    storage: Arc<dyn Storage>,
    mapping: OnceLock<Arc<dyn Mapping>>,
    /// Held while the mapping is made, and by who publishes before it is. So a mapping that is there shows everything
    /// below `end`.
    making: Mutex<()>,
    /// Written by the committer (or the follower of another process) with Release after the bytes
    /// are in the file; read by everybody with Acquire.
    end: AtomicU64,
    next: AtomicU64,
    pub(crate) index: RwLock<SegmentIndex>,
}

/// A frame and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameAt<'a> {
    pub(crate) offset: u64,
    pub(crate) frame: Frame<'a>,
}

impl RawSegment {
    /// A segment whose first `end` bytes hold everything up to before `next`.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        path: PathBuf,
        header: SegmentHeader,
        end: u64,
        next: Position,
    ) -> RawSegment {
        RawSegment {
            header,
            path,
            storage,
            mapping: OnceLock::new(),
            making: Mutex::new(()),
            end: AtomicU64::new(end),
            next: AtomicU64::new(next.get()),
            index: RwLock::new(SegmentIndex::default()),
        }
    }

    pub(crate) fn facts(&self) -> SegmentFacts {
        SegmentFacts { log: self.header.log, epoch: self.header.epoch, salt: self.header.salt }
    }

    pub(crate) fn base(&self) -> Position {
        self.header.base
    }

    /// Where the last published frame ends.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// The position after the last published event.
    pub(crate) fn next(&self) -> Position {
        Position::new(self.next.load(Ordering::Acquire))
    }

    /// Number of published rows.
    pub(crate) fn rows(&self) -> u32 {
        (self.next().get() - self.base().get()) as u32
    }

    /// The row of a position, if the segment has published it.
    pub(crate) fn row_of(&self, position: Position) -> Option<u32> {
        (position >= self.base() && position < self.next()).then(|| (position.get() - self.base().get()) as u32)
    }

    /// Path of the derived index beside the file.
    pub(crate) fn idx_path(&self) -> PathBuf {
        self.path.with_extension("idx")
    }

    /// Makes frames up to `end` visible. The caller has written them, and never changes them again.
    pub(crate) fn publish(&self, end: u64, next: Position) {
        // A mapping that is being made shows what ends at the `end` that its maker reads. Without the lock that could be
        // the old one, and nobody would tell the mapping of this one.
        let _making = self.mapping.get().is_none().then(|| self.making.lock());
        if let Some(mapping) = self.mapping.get() {
            mapping.publish(end);
        }
        self.end.store(end, Ordering::Release);
        self.next.store(next.get(), Ordering::Release);
    }

    /// The published bytes. The file is opened at first use and its length checked, so that a file
    /// cut short since is an error and not a fault of the process.
    pub(crate) fn mapping(&self) -> Result<&dyn Mapping> {
        if let Some(mapping) = self.mapping.get() {
            return Ok(&**mapping);
        }
        let _making = self.making.lock();
        if self.mapping.get().is_none() {
            let failed = |error| Error::io(format_args!("map {}", self.path.display()), error);
            let file = self.storage.open(&self.path, Open::Read).map_err(failed)?;
            let (len, end) = (file.len().map_err(failed)?, self.end());
            if len < end {
                let bad = Corruption::new(
                    &self.path,
                    len,
                    format!("{end} bytes of frames"),
                    format!("the end after {len} bytes"),
                );
                return Err(bad.at(self.base()..=Position::new(self.next().get().saturating_sub(1))).into());
            }
            let mapping = file.map_from(FIRST_OFFSET, self.header.segment_bytes.max(end)).map_err(failed)?;
            // Whoever publishes meanwhile waits.
            mapping.publish(end);
            let _ = self.mapping.set(mapping);
        }
        match self.mapping.get() {
            Some(mapping) => Ok(&**mapping),
            None => Err(Error::invalid("the mapping was not made")),
        }
    }

    pub(crate) fn corruption(&self, bad: Box<Bad>, frame: u64, first: Position, last: Position) -> Error {
        bad.after(frame).corruption(&self.path).at(first..=last).into()
    }

    fn last_published(&self) -> Position {
        Position::new(self.next().get().saturating_sub(1))
    }

    /// The valid header at `offset`, which is published.
    fn header_at<'a>(
        &self,
        mapping: &'a dyn Mapping,
        offset: u64,
        end: u64,
        expected: Position,
    ) -> Result<(FrameHeader, &'a [u8])> {
        let bytes = mapping.bytes(offset..end).ok_or_else(|| Error::invalid("read beyond what is published"))?;
        match FrameHeader::read(bytes, self.header.salt, offset) {
            HeaderRead::Valid(header) => Ok((header, bytes)),
            HeaderRead::Zero => {
                let bad = Bad::new(0, "a frame header", "zeros");
                Err(self.corruption(bad, offset, expected, self.last_published()))
            }
            HeaderRead::Bad(bad) => Err(self.corruption(bad, offset, expected, self.last_published())),
        }
    }

    /// The frame at `offset`, checked but for its records, which are checked one by one as they are
    /// read; `None` at the published end. Frames without events are passed over.
    pub(crate) fn frame_at<'a>(
        &'a self,
        mapping: &'a dyn Mapping,
        offset: u64,
        end: u64,
        expected: Position,
    ) -> Result<Option<FrameAt<'a>>> {
        let mut offset = offset;
        while offset + HEADER_BYTES as u64 <= end {
            let (header, bytes) = self.header_at(mapping, offset, end, expected)?;
            let last = Position::new(header.next().get().saturating_sub(1));
            let damaged = |bad| self.corruption(bad, offset, expected, last.max(expected));
            let frame = Frame::new(header, self.facts(), bytes).map_err(damaged)?;
            frame.check().map_err(damaged)?;
            if header.kind == Kind::Events {
                if header.first != expected {
                    let bad = Bad::new(16, format!("position {expected}"), header.first.to_string());
                    return Err(self.corruption(bad, offset, expected, last.max(expected)));
                }
                return Ok(Some(FrameAt { offset, frame }));
            }
            offset += header.frame_bytes();
        }
        Ok(None)
    }

    /// The event at a place, its frame's header and its own record fully checked.
    pub(crate) fn event_at<'a>(
        &'a self,
        mapping: &'a dyn Mapping,
        place: RowPlace,
        position: Position,
    ) -> Result<EventRef<'a>> {
        let (header, bytes) = self.header_at(mapping, place.frame, self.end(), position)?;
        let damaged = |bad| self.corruption(bad, place.frame, position, position);
        let frame = Frame::new(header, self.facts(), bytes).map_err(damaged)?;
        // Times that an import kept stand outside the record, under the check of the whole table.
        if header.flags & RECORDED_EACH != 0 {
            frame.check_table().map_err(damaged)?;
        }
        let event = frame.event(place.index).map_err(damaged)?;
        if event.position() != position {
            let bad = Bad::new(16, format!("position {position}"), event.position().to_string());
            return Err(damaged(bad));
        }
        Ok(event)
    }

    /// Touches what reading these rows will need, so that the processor waits for all of it at once
    /// and not for one row after the other. Nothing that is read here is believed.
    pub(crate) fn touch(&self, mapping: &dyn Mapping, rows: &[u32]) {
        let end = self.end();
        for rows in rows.chunks(TOUCHED_TOGETHER) {
            let mut records: [&[u8]; TOUCHED_TOGETHER] = [&[]; TOUCHED_TOGETHER];
            for (record, row) in records.iter_mut().zip(rows) {
                *record = self.place(*row).ok().and_then(|place| record_of(mapping, place, end)).unwrap_or_default();
            }
            for record in records {
                record.chunks(CACHE_LINE).take(LINES_TOUCHED).for_each(|line| {
                    black_box(line[0]);
                });
            }
        }
    }

    /// The frame that holds a place, with its prelude readable.
    pub(crate) fn frame_of<'a>(
        &'a self,
        mapping: &'a dyn Mapping,
        place: RowPlace,
        position: Position,
    ) -> Result<Frame<'a>> {
        let (header, bytes) = self.header_at(mapping, place.frame, self.end(), position)?;
        let damaged = |bad| self.corruption(bad, place.frame, position, position);
        let frame = Frame::new(header, self.facts(), bytes).map_err(damaged)?;
        frame.check().map_err(damaged)?;
        Ok(frame)
    }

    /// Calls `each` with every published event, checked, in order.
    pub(crate) fn for_each_row<'a>(&'a self, each: &mut dyn FnMut(Row<'a>) -> Result<()>) -> Result<()> {
        self.for_each_row_from(0, &mut |row| each(row).map(|()| true))
    }

    /// The same from a row on, until `each` says `false`.
    pub(crate) fn for_each_row_from<'a>(
        &'a self,
        first: u32,
        each: &mut dyn FnMut(Row<'a>) -> Result<bool>,
    ) -> Result<()> {
        if first >= self.rows() {
            return Ok(());
        }
        let (mapping, end) = (self.mapping()?, self.end());
        let (mut offset, mut skip, mut expected) = (FIRST_OFFSET, 0, self.base());
        if first > 0 {
            let place = self.place(first)?;
            (offset, skip) = (place.frame, place.index);
            expected = Position::new(self.base().get() + u64::from(first - place.index));
        }
        while let Some(at) = self.frame_at(mapping, offset, end, expected)? {
            for index in std::mem::take(&mut skip)..at.frame.header.count {
                let position = Position::new(at.frame.header.first.get() + u64::from(index));
                let damaged = |bad| self.corruption(bad, at.offset, position, position);
                let event = at.frame.event(index).map_err(damaged)?;
                let batch = at.frame.batch_facts(index).map_err(damaged)?;
                if !each(Row { event, batch })? {
                    return Ok(());
                }
            }
            offset = at.offset + at.frame.header.frame_bytes();
            expected = at.frame.header.next();
        }
        Ok(())
    }

    /// Where a row stands, by whichever index knows it, or by walking the frames where none does.
    pub(crate) fn place(&self, row: u32) -> Result<RowPlace> {
        {
            let index = self.index.read();
            if let Some(place) = index.mem.as_ref().and_then(|mem| mem.place(row)) {
                return Ok(place);
            }
            if let Some(idx) = index.idx.as_ref().filter(|idx| row < idx.rows())
                && let Ok((frame, index)) = idx.place(row)
            {
                return Ok(RowPlace { frame, index });
            }
        }
        self.walk_to(row)
    }

    /// The highest group seq among the frames.
    pub(crate) fn last_group_seq(&self) -> Result<u64> {
        let Some(last) = self.rows().checked_sub(1) else { return Ok(0) };
        let place = self.place(last)?;
        Ok(self.header_at(self.mapping()?, place.frame, self.end(), self.last_published())?.0.group_seq)
    }

    /// Finds a row by its frames' headers alone.
    fn walk_to(&self, row: u32) -> Result<RowPlace> {
        let mapping = self.mapping()?;
        let wanted = Position::new(self.base().get() + u64::from(row));
        let (mut offset, mut expected, end) = (FIRST_OFFSET, self.base(), self.end());
        while offset + HEADER_BYTES as u64 <= end {
            let (header, _) = self.header_at(mapping, offset, end, expected)?;
            if header.kind == Kind::Events {
                if header.first <= wanted && wanted < header.next() {
                    return Ok(RowPlace { frame: offset, index: (wanted.get() - header.first.get()) as u32 });
                }
                expected = header.next();
            }
            offset += header.frame_bytes();
        }
        Err(Error::invalid(format!("position {wanted} is not in {}", self.path.display())))
    }

    /// Brings the index in memory up to what is published, by reading the rows it lacks. For
    /// segments that nobody indexes while appending: at open, and in a process that only reads.
    pub(crate) fn index_published(&self, hasher: crate::format::term::TermHasher) -> Result<()> {
        let mapping = self.mapping()?;
        // In this order: what is published meanwhile lies behind `next`, never before it and behind `end`.
        let next = self.next();
        let end = self.end();
        let mut index = self.index.write();
        let first_row = index.idx.as_ref().map_or(0, |idx| idx.rows());
        let idx_end = index.idx.as_ref().map_or(FIRST_OFFSET, |idx| idx.end_offset());
        let mem = index.mem.get_or_insert_with(|| MemIndex::new(first_row));
        let known = mem.end_row();
        let mut expected = Position::new(self.base().get() + u64::from(known));
        // Whoever appends folds first and publishes then: the last rows may lie beyond `end`.
        if expected >= next {
            return Ok(());
        }
        // Where a damaged event ended this the last time, it goes on within that event's frame.
        let (mut offset, mut within) = match known.checked_sub(1).and_then(|last| mem.place(last)) {
            None => (idx_end, 0),
            Some(place) => {
                let (header, _) = self.header_at(mapping, place.frame, end, expected)?;
                let is_last = place.index + 1 == header.count;
                if is_last { (place.frame + header.frame_bytes(), 0) } else { (place.frame, place.index + 1) }
            }
        };
        while expected < next {
            let first = Position::new(expected.get() - u64::from(within));
            let at = self.frame_at(mapping, offset, end, first)?.ok_or_else(|| {
                self.corruption(
                    Bad::new(0, "a frame", "the end of all frames"),
                    offset,
                    expected,
                    self.last_published(),
                )
            })?;
            self.index_frame(mem, hasher, &at, within)?;
            offset = at.offset + at.frame.header.frame_bytes();
            (expected, within) = (at.frame.header.next(), 0);
        }
        Ok(())
    }

    /// How many rows the index knows.
    pub(crate) fn indexed_rows(&self) -> u32 {
        let index = self.index.read();
        let idx = index.idx.as_ref().map_or(0, |idx| idx.rows());
        index.mem.as_ref().map_or(idx, MemIndex::end_row)
    }

    /// Whether anything indexes this segment.
    pub(crate) fn has_index(&self) -> bool {
        let index = self.index.read();
        index.idx.is_some() || index.mem.is_some()
    }

    /// Makes the frames up to `last` visible that a writer in another process has published, by
    /// their headers; nothing beyond them is touched.
    pub(crate) fn follow_to(&self, last: Position) -> Result<()> {
        let mapping = self.mapping()?;
        let (mut end, mut next) = (self.end(), self.next());
        let failed = |error| Error::io(format_args!("look at {}", self.path.display()), error);
        let gone = || failed(std::io::ErrorKind::NotFound.into());
        let len = self.storage.metadata(&self.path).map_err(failed)?.ok_or_else(gone)?.len;
        while next <= last {
            let short = |end: u64| {
                Corruption::new(&self.path, len, format!("{end} bytes of frames"), format!("the end after {len} bytes"))
                    .at(next..=last)
            };
            if len < end + HEADER_BYTES as u64 {
                return Err(short(end + HEADER_BYTES as u64).into());
            }
            mapping.publish(end + HEADER_BYTES as u64);
            let (header, _) = self.header_at(mapping, end, end + HEADER_BYTES as u64, next)?;
            end += header.frame_bytes();
            if len < end {
                return Err(short(end).into());
            }
            mapping.publish(end);
            if header.kind == Kind::Events {
                next = header.next();
            }
        }
        self.publish(end, next);
        Ok(())
    }

    /// Adds the events of a frame from the row `from` of it on.
    fn index_frame(
        &self,
        mem: &mut MemIndex,
        hasher: crate::format::term::TermHasher,
        at: &FrameAt<'_>,
        from: u32,
    ) -> Result<()> {
        let header = at.frame.header;
        for row in from..header.count {
            let position = Position::new(header.first.get() + u64::from(row));
            let damaged = |bad| self.corruption(bad, at.offset, position, position);
            let event = at.frame.event(row).map_err(damaged)?;
            let key = if row == 0 { at.frame.prelude().map_err(damaged)?.key.map(|(key, _)| key) } else { None };
            mem.push_event(hasher, RowPlace { frame: at.offset, index: row }, &event, key);
        }
        Ok(())
    }

    /// Length of the file now, in bytes.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.storage.metadata(&self.path).ok().flatten().map_or(0, |meta| meta.len)
    }
}
/// The bytes of an event's record, unchecked.
fn record_of(mapping: &dyn Mapping, place: RowPlace, end: u64) -> Option<&[u8]> {
    let bytes = mapping.bytes(place.frame..end)?;
    bytes.get(Frame::record_place(bytes, place.index)?)
}
