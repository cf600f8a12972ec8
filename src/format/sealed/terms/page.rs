//! Reading a page of entries. Nothing here allocates, and an entry is handed out only after all
//! that it says was held against what the segment has. Offsets in errors count within the page.

use super::blocks::{Blocks, RawBlocks};
use super::directory::TermsDirectory;
use super::{
    BLOCK_ROWS, CRC_BYTES, FORM_KEY, FORM_SUBJECT, FORM_TERM, PAGE_BYTES_MAX, PAGE_HEAD_BYTES, Shape, TAG_EXTRA, varint,
};
use crate::format::bytes::{u32_at, u64_at};
use crate::format::{Bad, Parsed};

/// The bytes before the check that stands at the end, if it holds.
pub(super) fn checked(bytes: &[u8]) -> Parsed<&[u8]> {
    let Some((checked, crc)) = bytes.split_last_chunk::<CRC_BYTES>() else {
        return Err(Bad::new(0, "a check", format!("{} bytes", bytes.len())));
    };
    let (expected, found) = (crc32fast::hash(checked), u32::from_le_bytes(*crc));
    if expected != found {
        return Err(Bad::new(checked.len() as u64, format!("check {expected:08x}"), format!("{found:08x}")));
    }
    Ok(checked)
}

/// One page over its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TermsPage<'a> {
    body: &'a [u8],
    shape: Shape,
    first: u64,
    /// The first hash of the next page.
    next: Option<u64>,
}

/// What is known of one hash.
#[derive(Debug, Clone)]
pub(crate) enum Entry<'a> {
    Term(Postings<'a>),
    Subject { last_version: u64, postings: Postings<'a> },
    Key { first_row: u32, count: u32, content_hash: &'a [u8; 32] },
}

/// Where the rows of a term or subject are.
#[derive(Debug, Clone)]
pub(crate) struct Postings<'a> {
    pub(crate) last_row: u32,
    #[cfg_attr(not(test), allow(dead_code, reason = "a field of the format, for whoever shows it"))]
    /// Number of rows.
    pub(crate) count: u32,
    blocks: Blocks<'a>,
    #[cfg_attr(
        not(any(test, feature = "fuzzing")),
        allow(dead_code, reason = "a field of the format, for whoever shows it")
    )]
    block_count: u32,
}

impl<'a> Postings<'a> {
    /// The blocks with such rows, ascending. They were all looked at, so that none is an error.
    pub(crate) fn blocks(&self) -> Blocks<'a> {
        self.blocks.clone()
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn block_count(&self) -> u32 {
        self.block_count
    }
}

impl<'a> TermsPage<'a> {
    /// `bytes` are those of one page, of the index that the directory is of.
    pub(crate) fn parse(bytes: &'a [u8], directory: &TermsDirectory) -> Parsed<TermsPage<'a>> {
        if bytes.len() > PAGE_BYTES_MAX {
            return Err(Bad::new(0, "at most 4096 bytes", format!("{} bytes", bytes.len())));
        }
        let checked = checked(bytes)?;
        let number = u32_at(checked, 0).map_or(usize::MAX, |number| number as usize);
        let place = directory.place(number);
        let known = u64_at(checked, 4)
            .filter(|first| directory.first(number) == Some(*first))
            .filter(|_| place.end - place.start == bytes.len() as u64);
        match (known, checked.get(PAGE_HEAD_BYTES..)) {
            (Some(first), Some(body)) => {
                let next = number.checked_add(1).and_then(|next| directory.first(next));
                Ok(TermsPage { body, shape: directory.shape(), first, next })
            }
            _ => Err(Bad::new(0, "a page that the directory knows", format!("page {number}"))),
        }
    }

    /// Calls `each` with every entry of the hash in this page. It is an error if the directory says
    /// that such entries are not in this page: then another was read than was asked for.
    pub(crate) fn find(&self, hash: u64, each: &mut dyn FnMut(Entry<'a>)) -> Parsed<()> {
        let wanted = self.shape.truncate(hash);
        if wanted < self.first || self.next.is_some_and(|next| wanted > next) {
            let found = format!("that from {:x} on", self.first);
            return Err(Bad::new(4, format!("the page of {wanted:x}"), found));
        }
        let mut entries = self.entries();
        while let Some((at, raw)) = entries.next_raw()? {
            if entries.hash > wanted {
                break;
            }
            if entries.hash == wanted {
                each(entries.read(at, raw)?);
            }
        }
        Ok(())
    }

    /// All entries, each with its truncated hash. Ends after an error.
    pub(crate) fn entries(&self) -> Entries<'a> {
        Entries { page: *self, rest: self.body, hash: self.first }
    }
}

/// The entries of a page.
#[derive(Debug, Clone)]
pub(crate) struct Entries<'a> {
    page: TermsPage<'a>,
    rest: &'a [u8],
    /// Of the last entry.
    hash: u64,
}

/// The fields of an entry, as they stand there.
#[derive(Debug, Clone, Copy)]
struct Raw<'a> {
    form: u8,
    version: u64,
    row: u64,
    /// Of a key the number of its events.
    extra: u64,
    content_hash: Option<&'a [u8; 32]>,
    blocks: RawBlocks<'a>,
}

impl<'a> Entries<'a> {
    fn at(&self) -> u64 {
        (PAGE_HEAD_BYTES + self.page.body.len() - self.rest.len()) as u64
    }

    /// The next entry and its offset.
    fn next_raw(&mut self) -> Parsed<Option<(u64, Raw<'a>)>> {
        let Some(&first) = self.rest.first() else { return Ok(None) };
        let at = self.at();
        let taken = if first & 1 == 1 { self.take_short() } else { self.take_long() };
        let raw = taken.and_then(|(gap, raw)| {
            // Of a first entry the gap is from itself.
            self.hash = self.hash.checked_add(gap).filter(|_| gap == 0 || at > PAGE_HEAD_BYTES as u64)?;
            Some((at, raw))
        });
        let in_bounds = self.page.next.is_none_or(|next| self.hash <= next)
            && (self.page.shape.bits == 64 || self.hash >> self.page.shape.bits == 0);
        match raw {
            Some(raw) if in_bounds => Ok(Some(raw)),
            _ => Err(Bad::new(at, "an entry", format!("tag {first:02x} and bytes that make none"))),
        }
    }

    #[inline]
    fn take_short(&mut self) -> Option<(u64, Raw<'a>)> {
        let shape = self.page.shape;
        let len = usize::from(shape.short);
        let (entry, rest) = self.rest.split_at_checked(len)?;
        let word = match self.rest.first_chunk::<8>() {
            // The shifts keep the bytes of this entry: 1 to 8.
            Some(word) => (u64::from_le_bytes(*word) << (64 - 8 * len)) >> (64 - 8 * len),
            None => entry.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        self.rest = rest;
        let row_bits = shape.row_bits();
        let row = (word >> 1) & ((1 << row_bits) - 1);
        let blocks = RawBlocks::ONE;
        Some(((word >> 1) >> row_bits, Raw { form: FORM_TERM, version: 0, row, extra: 0, content_hash: None, blocks }))
    }

    #[inline]
    fn take_long(&mut self) -> Option<(u64, Raw<'a>)> {
        let (&tag, rest) = self.rest.split_first()?;
        self.rest = rest;
        let rest = &mut self.rest;
        let form = tag >> 1 & 3;
        let gap = varint::take(rest)?;
        let version = if form == FORM_SUBJECT { varint::take(rest)? } else { 0 };
        let row = varint::take(rest)?;
        let has_extra = tag & TAG_EXTRA != 0 || form == FORM_KEY;
        let extra = if has_extra { varint::take(rest)? } else { 0 };
        let mut content_hash = None;
        if form == FORM_KEY {
            let (hash, after) = rest.split_first_chunk::<32>()?;
            (content_hash, *rest) = (Some(hash), after);
        }
        // The codes of a key's tag are zero, and there is no fourth form.
        if form > FORM_KEY || form == FORM_KEY && tag >> 3 != 0 {
            return None;
        }
        let blocks = RawBlocks::take(tag >> 4, rest)?;
        Some((gap, Raw { form, version, row, extra, content_hash, blocks }))
    }

    fn read(&self, at: u64, raw: Raw<'a>) -> Parsed<Entry<'a>> {
        let entry = self.try_read(raw);
        entry.ok_or_else(|| Bad::new(at, format!("an entry of {} rows", self.page.shape.rows), format!("{raw:?}")))
    }

    fn try_read(&self, raw: Raw<'a>) -> Option<Entry<'a>> {
        let shape = self.page.shape;
        let row = u32::try_from(raw.row).ok().filter(|row| *row < shape.rows)?;
        let extra = u32::try_from(raw.extra).ok()?;
        if let Some(content_hash) = raw.content_hash {
            let fits = extra > 0 && extra <= shape.rows - row;
            return fits.then_some(Entry::Key { first_row: row, count: extra, content_hash });
        }
        let (blocks, block_count) = raw.blocks.read(row / BLOCK_ROWS, shape.blocks())?;
        let postings = Postings { last_row: row, count: block_count.checked_add(extra)?, blocks, block_count };
        Some(match raw.form {
            FORM_TERM => Entry::Term(postings),
            _ => Entry::Subject { last_version: raw.version, postings },
        })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Parsed<(u64, Entry<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.next_raw().and_then(|raw| match raw {
            Some((at, raw)) => Ok(Some((self.hash, self.read(at, raw)?))),
            None => Ok(None),
        });
        if entry.is_err() {
            self.rest = &[];
        }
        entry.transpose()
    }
}
