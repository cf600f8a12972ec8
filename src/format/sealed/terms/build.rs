//! Making the term index of a segment. Rows come in order from a caller who read and checked the
//! events; what it gives that cannot be is an error of [`TermsBuilder::finish`].

use super::collect::{BUCKETS, Buckets, Hashed, InBlock, Keyed, OpenBlock, SubjectInBlock};
use super::write::{Given, Widths, Writer};
use super::{BLOCK_ROWS, ROWS_MAX, SPARE_BITS, Shape, filter, row_bits};
use crate::format::{Bad, Parsed};

/// Collects the terms of a segment. Memory: 16 bytes (of a subject 24) for each pair of a term and a
/// block, and a quarter more, and 48 a key; at the end some 30 bytes an entry for the filter.
#[derive(Debug)]
pub(crate) struct TermsBuilder {
    /// The row that came last, and the block that it is in.
    row: u32,
    block: u32,
    open_terms: OpenBlock,
    open_subjects: OpenBlock,
    collected: Collected,
    /// The first thing that was wrong.
    wrong: Option<Box<Bad>>,
}

/// The sections of a term index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EncodedTerms {
    pub(crate) pages: Vec<u8>,
    pub(crate) directory: Vec<u8>,
    /// `None` if it could not be made: then every hash may be there.
    pub(crate) filter: Option<Vec<u8>>,
    pub(crate) entries: u64,
}

impl TermsBuilder {
    pub(crate) fn new() -> TermsBuilder {
        TermsBuilder {
            row: 0,
            block: 0,
            open_terms: OpenBlock::new(),
            open_subjects: OpenBlock::new(),
            collected: Collected { terms: Buckets::new(), subjects: Buckets::new(), keys: Buckets::new() },
            wrong: None,
        }
    }

    /// Adds a term of a row, which is not below the row before. A term that a row has twice counts once.
    #[inline]
    pub(crate) fn term(&mut self, hash: u64, row: u32) {
        if self.enter(row) {
            self.open_terms.add(hash, row, 0);
        }
    }

    /// Adds the subject of a row, and the event's version.
    #[inline]
    pub(crate) fn subject(&mut self, hash: u64, row: u32, version: u64) {
        if self.enter(row) {
            self.open_subjects.add(hash, row, version);
        }
    }

    /// Adds the idempotency key of a batch of `count` events, in any order.
    pub(crate) fn key(&mut self, hash: u64, first_row: u32, count: u32, content_hash: [u8; 32]) {
        let end = first_row.checked_add(count);
        if count == 0 || end.is_none_or(|end| end > ROWS_MAX) {
            self.is_wrong("a batch of rows", format!("{count} from {first_row} on"));
            return;
        }
        self.collected.keys.push(Keyed { hash, first_row, count, content_hash });
    }

    #[inline]
    fn enter(&mut self, row: u32) -> bool {
        if row < self.row || row >= ROWS_MAX {
            self.is_wrong("rows in order, below 8388608", format!("{row} after {}", self.row));
            return false;
        }
        self.row = row;
        if row / BLOCK_ROWS != self.block {
            self.close_block();
            self.block = row / BLOCK_ROWS;
        }
        true
    }

    #[cold]
    fn is_wrong(&mut self, expected: &'static str, found: String) {
        self.wrong.get_or_insert_with(|| Bad::new(0, expected, found));
    }

    #[cold]
    fn close_block(&mut self) {
        let Collected { terms, subjects, .. } = &mut self.collected;
        self.open_terms.close(self.block, |rows, _| terms.push(rows));
        self.open_subjects.close(self.block, |rows, version| subjects.push(SubjectInBlock { rows, version }));
    }

    /// The index of a segment of so many rows.
    pub(crate) fn finish(mut self, rows: u32) -> Parsed<EncodedTerms> {
        self.close_block();
        let TermsBuilder { mut collected, row, wrong, .. } = self;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        collected.sort();
        let end = collected.end_row(row);
        if rows > ROWS_MAX || rows < end {
            return Err(Bad::new(0, format!("{end} to {ROWS_MAX} rows"), format!("{rows}")));
        }
        let entries = collected.entries();
        let bits = bits(entries);
        let mut widths = Widths::new(row_bits(rows));
        let mut hashes = Vec::with_capacity(entries as usize);
        collected.for_each_entry(bits, Some(&mut hashes), |hash, given| widths.add(hash, &given));
        let mut writer = Writer::new(Shape { rows, bits: bits as u8, short: widths.best() });
        collected.for_each_entry(bits, None, |hash, given| writer.put(hash, &given));
        drop(collected);
        let (pages, directory, entries) = writer.finish()?;
        Ok(EncodedTerms { pages, directory, filter: filter::encode(&hashes), entries })
    }
}

/// How many bits of a hash are kept where there are so many entries.
fn bits(entries: u64) -> u32 {
    let numbering = entries.saturating_sub(1).checked_ilog2().map_or(0, |log| log + 1);
    (numbering + SPARE_BITS).min(64)
}

/// All that came.
#[derive(Debug)]
struct Collected {
    terms: Buckets<InBlock>,
    subjects: Buckets<SubjectInBlock>,
    keys: Buckets<Keyed>,
}

impl Collected {
    fn sort(&mut self) {
        self.terms.sort();
        self.subjects.sort();
        self.keys.sort();
    }

    /// Entries before terms are merged.
    fn entries(&self) -> u64 {
        self.terms.distinct() + self.subjects.distinct() + self.keys.len()
    }

    /// So many rows the segment has at least, if `row` came last.
    fn end_row(&self, row: u32) -> u32 {
        let keyed = (0..BUCKETS).flat_map(|bucket| self.keys.get(bucket));
        let keyed = keyed.map(|key| key.first_row + key.count).max().unwrap_or(0);
        let any = self.terms.len() + self.subjects.len() > 0;
        keyed.max(if any { row + 1 } else { 0 })
    }

    /// Hands out the entries in their order, each with its truncated hash, and appends the different
    /// hashes that they have in full to `hashes`.
    fn for_each_entry(&self, bits: u32, mut hashes: Option<&mut Vec<u64>>, mut each: impl FnMut(u64, Given<'_>)) {
        let cut = 64 - bits;
        let mut blocks = Vec::new();
        for bucket in 0..BUCKETS {
            let (mut terms, mut subjects, mut keys) =
                (self.terms.get(bucket), self.subjects.get(bucket), self.keys.get(bucket));
            while let Some(least) = [head(terms), head(subjects), head(keys)].into_iter().flatten().min() {
                let hash = least >> cut;
                let terms = split(&mut terms, |term| term.hash >> cut == hash);
                let subjects = split(&mut subjects, |subject| subject.rows.hash >> cut == hash);
                let keys = split(&mut keys, |key| key.hash >> cut == hash);
                if let Some(hashes) = &mut hashes {
                    add_hashes(hashes, terms, subjects, keys);
                }
                if let Some(given) = merge(terms, &mut blocks) {
                    each(hash, given);
                }
                for subject in subjects.chunk_by(|a, b| a.rows.hash == b.rows.hash) {
                    let version = subject[subject.len() - 1].version;
                    blocks.clear();
                    blocks.extend(subject.iter().map(|subject| subject.rows.block));
                    let (last_row, count) = last_and_count(subject.iter().map(|subject| &subject.rows));
                    each(hash, Given::Subject { version, last_row, count, blocks: &blocks });
                }
                keys.iter().for_each(|key| each(hash, Given::Key(key)));
            }
        }
    }
}

fn head<T: Hashed>(records: &[T]) -> Option<u64> {
    records.first().map(Hashed::hash)
}

/// Takes the records off the front of which `is` holds.
fn split<'a, T>(records: &mut &'a [T], is: impl Fn(&T) -> bool) -> &'a [T] {
    let count = records.iter().take_while(|record| is(record)).count();
    let (front, rest) = records.split_at(count);
    *records = rest;
    front
}

/// Appends the hashes of entries that agree in what is kept of them, each once, however many forms
/// have it: a filter cannot be made over a hash that stands there twice.
fn add_hashes(hashes: &mut Vec<u64>, terms: &[InBlock], subjects: &[SubjectInBlock], keys: &[Keyed]) {
    let start = hashes.len();
    let mut add = |hash| {
        if hashes.get(start..).is_some_and(|tail| tail.last() != Some(&hash)) {
            hashes.push(hash);
        }
    };
    terms.iter().for_each(|term| add(term.hash));
    subjects.iter().for_each(|subject| add(subject.rows.hash));
    keys.iter().for_each(|key| add(key.hash));
    if hashes.len() - start > 1 {
        let mut tail = hashes.split_off(start);
        tail.sort_unstable();
        tail.dedup();
        hashes.append(&mut tail);
    }
}

/// One entry of all the terms that agree in their truncated hash, if there are any.
fn merge<'a>(terms: &[InBlock], blocks: &'a mut Vec<u32>) -> Option<Given<'a>> {
    let (first, last) = (terms.first()?, terms.last()?);
    blocks.clear();
    blocks.extend(terms.iter().map(|term| term.block));
    if first.hash != last.hash {
        blocks.sort_unstable();
        blocks.dedup();
    }
    let (last_row, count) = last_and_count(terms.iter());
    Some(Given::Term { last_row, count, blocks })
}

/// Of terms that agree in their truncated hash. So many that their sum is too large there are not,
/// unless somebody can make hashes; then it is the largest number.
fn last_and_count<'a>(terms: impl Iterator<Item = &'a InBlock>) -> (u32, u32) {
    terms.fold((0, 0), |(last, count): (u32, u32), term| {
        (last.max(term.last_row()), count.saturating_add(u32::from(term.count)))
    })
}

impl EncodedTerms {
    /// Whether a file holds these very sections; the error says which does not, and from where on.
    pub(crate) fn diff(&self, pages: &[u8], directory: &[u8], filter: Option<&[u8]>) -> Parsed<()> {
        same("term directory", &self.directory, directory)?;
        same("term pages", &self.pages, pages)?;
        match (&self.filter, filter) {
            (None, None) => Ok(()),
            (Some(ours), Some(theirs)) => same("term filter", ours, theirs),
            (ours, _) => {
                let word = |there| if there { "a filter" } else { "no filter" };
                Err(Bad::new(0, word(ours.is_some()), word(ours.is_none())))
            }
        }
    }
}

fn same(what: &'static str, ours: &[u8], theirs: &[u8]) -> Parsed<()> {
    if ours == theirs {
        return Ok(());
    }
    let at = ours.iter().zip(theirs).take_while(|(ours, theirs)| ours == theirs).count();
    let expected = format!("the {what} of the events, {} bytes", ours.len());
    Err(Bad::new(at as u64, expected, format!("others, {} bytes", theirs.len())))
}
