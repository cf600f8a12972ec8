//! Reading a run. No byte of a page is seen before the page passed its check. Offsets in errors count from the start of
//! the file.

use std::borrow::Cow;

use super::{Covered, HASH_BITS, PAYLOAD_BYTES, Pages, SEGMENT_BYTES, Templates, TierHeader, keep};
use crate::format::idx::pages::{Checked, Space, file_offset};
use crate::format::{Bad, Parsed};

/// A run over the bytes of its file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TierView<'a> {
    header: &'a TierHeader,
    space: Space<'a>,
    pages: Pages,
}

impl<'a> TierView<'a> {
    /// `file` has the length that the header says; `checked` is of this very file.
    pub(crate) fn new(file: &'a [u8], header: &'a TierHeader, checked: &'a Checked) -> TierView<'a> {
        let none = Pages { templates: 1, directory: 1, entries: 1, end: 1 };
        TierView { header, space: Space::new(file, header.salt(), checked), pages: header.pages().unwrap_or(none) }
    }

    /// Where an entry of a section that begins with a page stands in the space of all payloads.
    fn at(page: u64, index: u64, bytes: u64) -> u64 {
        (page - 1) * PAYLOAD_BYTES as u64 + index * bytes
    }

    /// The segments, whose events have to be those between first and last position, and whose widths
    /// those that the header has.
    pub(crate) fn segments(&self) -> Parsed<Vec<Covered>> {
        let header = self.header;
        let mut segments = Vec::with_capacity(header.segments as usize);
        let (mut rows, mut widths) = (0u64, 0);
        for index in 0..u64::from(header.segments) {
            let at = Self::at(1, index, SEGMENT_BYTES as u64);
            let segment = Covered::read(self.space.array(at)?);
            let segment = segment.ok_or_else(|| bad(at, "a segment", "other bytes"))?;
            rows += u64::from(segment.rows);
            widths |= 1 << segment.width;
            segments.push(segment);
        }
        let wanted = header.last.get() - header.first.get() + 1;
        if rows != wanted || widths != header.widths {
            let found = format!("{rows} of widths {widths:x}");
            return Err(bad(0, format!("{wanted} events of widths {:x}", header.widths), found));
        }
        Ok(segments)
    }

    pub(crate) fn templates(&self) -> Parsed<Templates> {
        let header = self.header;
        let at = Self::at(self.pages.templates, 0, 0);
        let bytes = self.space.copy(at, u64::from(header.templates_bytes))?;
        Templates::parse(&bytes, header.templates, header.segments, header.any_id)
            .map_err(|parsed| bad(at + parsed.offset, parsed.expected, parsed.found))
    }

    /// How many entries stand in the buckets before this one.
    fn start_of(&self, bucket: u64) -> Parsed<u64> {
        let start = self.space.u64(Self::at(self.pages.directory, bucket, 8))?;
        if start > self.header.entries {
            return Err(self.bad_start(bucket, start, format!("at most {} entries", self.header.entries)));
        }
        Ok(start)
    }

    #[cold]
    fn bad_start(&self, bucket: u64, start: u64, expected: String) -> Box<Bad> {
        bad(Self::at(self.pages.directory, bucket, 8), expected, format!("{start} before bucket {bucket}"))
    }

    /// The entry of an index below their number.
    pub(crate) fn entry(&self, index: u64) -> Parsed<u64> {
        self.space.u64(Self::at(self.pages.entries, index, 8))
    }

    /// Appends the numbers of all segments that may hold a term, ascending. `segments` are those of the run.
    pub(crate) fn find(&self, hash: u64, segments: &[Covered], found: &mut Vec<u16>) -> Parsed<()> {
        let (start, mut widths, mut several) = (found.len(), self.header.widths, false);
        while widths != 0 {
            let width = widths.trailing_zeros() as u8;
            widths &= widths - 1;
            let before = found.len();
            self.find_kept(keep(hash, width), width, segments, found)?;
            several |= before > start && found.len() > before;
        }
        if several {
            found[start..].sort_unstable();
        }
        Ok(())
    }

    fn find_kept(&self, wanted: u64, width: u8, segments: &[Covered], found: &mut Vec<u16>) -> Parsed<()> {
        let bucket = wanted.checked_shr(64 - self.header.radix).unwrap_or(0);
        let (mut low, end) = (self.start_of(bucket)?, self.start_of(bucket + 1)?);
        let mut high = end;
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)? < wanted { low = middle + 1 } else { high = middle }
        }
        let mut before = None;
        for index in low..end {
            let entry = self.entry(index)?;
            if entry >> (64 - HASH_BITS) != wanted >> (64 - HASH_BITS) {
                break;
            }
            let number = entry as u16;
            match segments.get(usize::from(number)) {
                Some(segment) if before.is_none_or(|before| before < number) => {
                    if segment.width == width {
                        found.push(number);
                    }
                }
                _ => return Err(self.out_of_order(index, entry)),
            }
            before = Some(number);
        }
        Ok(())
    }

    #[cold]
    fn out_of_order(&self, index: u64, entry: u64) -> Box<Bad> {
        let at = Self::at(self.pages.entries, index, 8);
        bad(at, "entries in order, of segments of the run", format!("{entry:x} at {index}"))
    }

    /// Checks every page, and that directory and entries go with each other.
    pub(crate) fn check_all(&self) -> Parsed<()> {
        self.space.check_all()?;
        let segments = self.segments()?;
        self.templates()?;
        let (mut bucket, mut before) = (0, None);
        let mut starts = self.start_of(0)?;
        for index in 0..self.header.entries {
            let entry = self.entry(index)?;
            let known = segments
                .get(usize::from(entry as u16))
                .is_some_and(|segment| keep(entry >> 16 << 16, segment.width) == entry >> 16 << 16);
            if !known || before.is_some_and(|before| before >= entry) {
                return Err(self.out_of_order(index, entry));
            }
            before = Some(entry);
            let own = entry.checked_shr(64 - self.header.radix).unwrap_or(0);
            while bucket <= own {
                if starts != index {
                    return Err(self.bad_start(bucket, starts, format!("{index} entries")));
                }
                bucket += 1;
                starts = self.start_of(bucket)?;
            }
        }
        while bucket <= 1 << self.header.radix {
            let start = self.start_of(bucket)?;
            if start != self.header.entries {
                return Err(self.bad_start(bucket, start, format!("{} entries", self.header.entries)));
            }
            bucket += 1;
        }
        Ok(())
    }
}

/// What is wrong at a place of the space.
fn bad(at: u64, expected: impl Into<Cow<'static, str>>, found: impl Into<Cow<'static, str>>) -> Box<Bad> {
    Bad::new(file_offset(at), expected, found)
}
