//! The names of the event types of a segment, so that a pattern is resolved to the few types it
//! stands for.

use crate::format::bytes::Take;
use crate::format::{Bad, Parsed};
use crate::limits::TYPE_BYTES_MAX;

use super::{TYPE_HEAD_BYTES, TYPES_BYTES_MAX, TYPES_MAX};

/// The event types of a segment, in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TypeNames {
    text: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    hash: u64,
    rows: u32,
    end: u32,
}

impl TypeNames {
    /// Each type with its hash (that of its term) and the number of its rows; ascending by hash.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, u64, u32)> {
        let mut start = 0;
        self.entries.iter().map(move |entry| {
            let name = self.text.get(start..entry.end as usize).unwrap_or_default();
            start = entry.end as usize;
            (name, entry.hash, entry.rows)
        })
    }

    /// Reads `count` types, which must be all that the section holds.
    pub(super) fn parse(section: &[u8], count: u32) -> Parsed<TypeNames> {
        let mut take = Take(section);
        let mut names = TypeNames { text: String::new(), entries: Vec::with_capacity((count as usize).min(TYPES_MAX)) };
        for index in 0..count {
            let at = (section.len() - take.0.len()) as u64;
            let (hash, rows, name) = entry(&mut take).ok_or_else(|| {
                Bad::new(at, format!("event type {index} of {count}"), "lengths or text that cannot be")
            })?;
            names.text.push_str(name);
            names.entries.push(Entry { hash, rows, end: names.text.len() as u32 });
        }
        match take.0 {
            [] => Ok(names),
            rest => Err(Bad::new((section.len() - rest.len()) as u64, "the end of the types", "more bytes")),
        }
    }
}

fn entry<'a>(take: &mut Take<'a>) -> Option<(u64, u32, &'a str)> {
    let (hash, rows, len) = (take.u64()?, take.u32()?, usize::from(take.u16()?));
    let name = take.slice(len)?;
    (len <= TYPE_BYTES_MAX).then_some(())?;
    Some((hash, rows, std::str::from_utf8(name).ok()?))
}

/// Collects the types of a segment, up to the limit.
#[derive(Debug)]
pub(super) struct TypeCounter {
    /// Open addressing by the upper bits of the hash: index into `types` + 1, 0 for an empty slot.
    slots: Vec<u16>,
    types: Vec<(u64, Box<str>, u32)>,
    bytes: u64,
    over: bool,
}

/// Twice the limit, so that a search always meets an empty slot, and soon.
const SLOTS: usize = 2 * TYPES_MAX;

impl TypeCounter {
    pub(super) fn new() -> TypeCounter {
        TypeCounter { slots: vec![0; SLOTS], types: Vec::new(), bytes: 0, over: false }
    }

    pub(super) fn add(&mut self, name: &str, hash: u64) {
        if self.over {
            return;
        }
        let mut slot = (hash >> (64 - SLOTS.ilog2())) as usize;
        loop {
            match usize::from(self.slots[slot]).checked_sub(1) {
                None => break,
                Some(index) => {
                    let (known_hash, known, rows) = &mut self.types[index];
                    if *known_hash == hash && **known == *name {
                        *rows += 1;
                        return;
                    }
                }
            }
            slot = (slot + 1) % SLOTS;
        }
        self.bytes += TYPE_HEAD_BYTES + name.len() as u64;
        self.over = self.types.len() == TYPES_MAX || self.bytes > TYPES_BYTES_MAX;
        if !self.over {
            self.types.push((hash, name.into(), 1));
            self.slots[slot] = self.types.len() as u16;
        }
    }

    /// The section and the number of types; `None` if there are too many.
    pub(super) fn finish(mut self) -> Option<(Vec<u8>, u32)> {
        if self.over {
            return None;
        }
        self.types.sort_unstable();
        let mut section = Vec::with_capacity(self.bytes as usize);
        for (hash, name, rows) in &self.types {
            section.extend_from_slice(&hash.to_le_bytes());
            section.extend_from_slice(&rows.to_le_bytes());
            section.extend_from_slice(&(name.len() as u16).to_le_bytes());
            section.extend_from_slice(name.as_bytes());
        }
        Some((section, self.types.len() as u32))
    }
}
