//! What block heads and the segment dictionary have in common: a table of sections, then their bodies.
//!
//! An entry of the table:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | section id |
//! | 1 | 1 | codec |
//! | 2 | 1 | flags: 1 required, so that a reader that does not know the id refuses the whole |
//! | 3 | 1 | zero |
//! | 4 | 4 | length of the body |
//!
//! Ids ascend. The bodies stand one after the other behind the table, in its order. A section that is not there is a
//! column of zeros, or a list without entries. A column has its codec from `column.rs`; where the number of its
//! values is not known from elsewhere, it stands as a varint before the column (a list).
//!
//! Texts have codec 0: as they are, or 1: one frame of zstd; their length without compression stands before them as a
//! varint.

use std::cell::RefCell;
use std::ops::Range;

use super::bits::{put_varint, take_varint};
use super::column::{self, Ints};
use crate::format::bytes::{Take, u32_at};
use crate::format::{Bad, Parsed};

pub(crate) const ENTRY_BYTES: usize = 8;
const REQUIRED: u8 = 1;
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
/// How hard texts are compressed: 3 % smaller than at 3, for 0.3 us an event; beyond there is little.
const LEVEL: i32 = 12;

/// Collects sections; ids have to ascend.
#[derive(Debug, Default)]
pub(crate) struct SectionsWriter {
    table: Vec<u8>,
    bodies: Vec<u8>,
}

impl SectionsWriter {
    fn add(&mut self, id: u8, codec: u8, start: usize) {
        self.table.extend_from_slice(&[id, codec, REQUIRED, 0]);
        self.table.extend_from_slice(&((self.bodies.len() - start) as u32).to_le_bytes());
    }

    /// A column whose number of values is known to the reader.
    pub(crate) fn column(&mut self, id: u8, values: &[i64]) {
        if values.iter().any(|value| *value != 0) {
            let start = self.bodies.len();
            let codec = column::encode(values, &mut self.bodies);
            self.add(id, codec, start);
        }
    }

    /// A column that says how many values it has.
    pub(crate) fn list(&mut self, id: u8, values: &[i64]) {
        if !values.is_empty() {
            let start = self.bodies.len();
            put_varint(values.len() as u64, &mut self.bodies);
            let codec = column::encode(values, &mut self.bodies);
            self.add(id, codec, start);
        }
    }

    pub(crate) fn raw(&mut self, id: u8, bytes: &[u8]) {
        if !bytes.is_empty() {
            let start = self.bodies.len();
            self.bodies.extend_from_slice(bytes);
            self.add(id, PLAIN, start);
        }
    }

    pub(crate) fn text(&mut self, id: u8, text: &str) {
        if text.is_empty() {
            return;
        }
        let start = self.bodies.len();
        put_varint(text.len() as u64, &mut self.bodies);
        let codec = match compress(text.as_bytes()) {
            Some(frame) if frame.len() < text.len() => {
                self.bodies.extend_from_slice(&frame);
                ZSTD
            }
            _ => {
                self.bodies.extend_from_slice(text.as_bytes());
                PLAIN
            }
        };
        self.add(id, codec, start);
    }

    /// How many sections there are.
    pub(crate) fn len(&self) -> u32 {
        (self.table.len() / ENTRY_BYTES) as u32
    }

    pub(crate) fn finish(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.table);
        out.extend_from_slice(&self.bodies);
    }
}

#[derive(Debug, Clone)]
struct Section {
    id: u8,
    codec: u8,
    body: Range<usize>,
}

/// Sections as they stand in some bytes.
#[derive(Debug)]
pub(crate) struct Sections<'a> {
    bytes: &'a [u8],
    sections: Vec<Section>,
}

impl<'a> Sections<'a> {
    /// Reads a table of `count` entries at `at`, whose bodies fill the bytes; `known` says which ids mean something.
    pub(crate) fn parse(bytes: &'a [u8], at: usize, count: u32, known: impl Fn(u8) -> bool) -> Parsed<Sections<'a>> {
        let short = || Bad::new(at as u64, format!("a table of {count} sections"), "the end");
        let table_bytes = (count as usize).checked_mul(ENTRY_BYTES).ok_or_else(short)?;
        let table = bytes.get(at..).and_then(|rest| rest.get(..table_bytes)).ok_or_else(short)?;
        let (mut body, mut last) = (at + table_bytes, None);
        let mut sections = Vec::with_capacity(count as usize);
        for (index, entry) in table.chunks_exact(ENTRY_BYTES).enumerate() {
            let entry_at = (at + index * ENTRY_BYTES) as u64;
            let (id, codec, flags) = (entry[0], entry[1], entry[2]);
            if last >= Some(id) || entry[3] != 0 {
                return Err(Bad::new(entry_at, "sections in ascending order", format!("section {id}")));
            }
            last = Some(id);
            let end = body + u32_at(entry, 4).unwrap_or_default() as usize;
            if end > bytes.len() {
                return Err(Bad::new(entry_at + 4, "a section within the bytes", format!("an end at {end}")));
            }
            match (known(id), flags & REQUIRED != 0) {
                (true, _) => sections.push(Section { id, codec, body: body..end }),
                (false, true) => {
                    return Err(Bad::new(entry_at, "sections that this version knows", format!("section {id}")));
                }
                (false, false) => {}
            }
            body = end;
        }
        if body != bytes.len() {
            return Err(Bad::new(body as u64, "the end", "more bytes"));
        }
        Ok(Sections { bytes, sections })
    }

    fn find(&self, id: u8) -> Option<&Section> {
        self.sections.iter().find(|section| section.id == id)
    }

    /// A column of `count` values; zeros where it is not there.
    pub(crate) fn column(&self, id: u8, count: usize) -> Parsed<Ints> {
        match self.find(id) {
            None => Ok(Ints::zeros(count)),
            Some(section) => Ints::parse(section.codec, self.bytes, section.body.clone(), count),
        }
    }

    /// A column that says how many values it has, at most `max`.
    pub(crate) fn list(&self, id: u8, max: usize) -> Parsed<Ints> {
        let Some(section) = self.find(id) else { return Ok(Ints::zeros(0)) };
        let (count, start) = self.length(section, max)?;
        Ints::parse(section.codec, self.bytes, start..section.body.end, count)
    }

    fn length(&self, section: &Section, max: usize) -> Parsed<(usize, usize)> {
        let mut take = Take(self.bytes.get(section.body.clone()).unwrap_or_default());
        let len = take_varint(&mut take).and_then(|len| usize::try_from(len).ok());
        match len {
            Some(len) if len <= max => Ok((len, section.body.end - take.0.len())),
            other => Err(Bad::new(section.body.start as u64, format!("a length up to {max}"), format!("{other:?}"))),
        }
    }

    pub(crate) fn raw(&self, id: u8) -> Parsed<Range<usize>> {
        match self.find(id) {
            None => Ok(0..0),
            Some(section) if section.codec == PLAIN => Ok(section.body.clone()),
            Some(section) => {
                Err(Bad::new(section.body.start as u64, "codec 0", format!("{} in section {id}", section.codec)))
            }
        }
    }

    /// A text whose length the caller knows from the lengths of what it is made of.
    pub(crate) fn text(&self, id: u8, len: usize) -> Parsed<Box<str>> {
        let Some(section) = self.find(id) else {
            return match len {
                0 => Ok("".into()),
                _ => Err(Bad::new(0, format!("a text of {len} bytes"), "none")),
            };
        };
        let at = section.body.start as u64;
        let (declared, start) = self.length(section, len)?;
        if declared != len {
            return Err(Bad::new(at, format!("a text of {len} bytes"), format!("{declared}")));
        }
        let stored = self.bytes.get(start..section.body.end).unwrap_or_default();
        let bytes = match section.codec {
            PLAIN => stored.to_vec(),
            ZSTD => decompress(stored, len).ok_or_else(|| Bad::new(at, "a frame of zstd", "other bytes"))?,
            codec => return Err(Bad::new(at, "text codec 0 or 1", codec.to_string())),
        };
        if bytes.len() != len {
            return Err(Bad::new(at, format!("a text of {len} bytes"), format!("{}", bytes.len())));
        }
        String::from_utf8(bytes).map(String::into_boxed_str).map_err(|_| Bad::new(at, "UTF-8 text", "other bytes"))
    }
}

thread_local! {
    // Making a context costs more than a block's texts do.
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|context| {
        if context.is_none() {
            let mut made = zstd::bulk::Compressor::new(LEVEL).ok()?;
            // What is stored has a checksum of its own, and its length stands before it.
            made.include_checksum(false).ok()?;
            made.include_contentsize(false).ok()?;
            made.include_dictid(false).ok()?;
            *context = Some(made);
        }
        context.as_mut()?.compress(bytes).ok()
    })
}

/// At most `len` bytes, whatever the frame says.
fn decompress(frame: &[u8], len: usize) -> Option<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|context| {
        if context.is_none() {
            *context = zstd::bulk::Decompressor::new().ok();
        }
        let mut out = Vec::with_capacity(len);
        context.as_mut()?.decompress_to_buffer(frame, &mut out).ok()?;
        Some(out)
    })
}
