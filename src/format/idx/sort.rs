//! Sorting the pairs of term and row that a segment is made of: a million of them, by hashes that
//! are evenly spread. They are collected in buckets small enough for the processor's cache; there a
//! counting pass puts nearly every term by itself, and what it leaves together is sorted.

/// A term of a row. Ordered by hash, then dimension, then row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Posted {
    // In halves, so that it takes 12 bytes and not 16.
    hash_high: u32,
    hash_low: u32,
    /// Dimension in the upper 4 bits, row in the lower 28.
    place: u32,
}

const ROW_BITS: u32 = 28;
const ROW_MASK: u32 = (1 << ROW_BITS) - 1;

const _: () = assert!(super::ROWS_MAX - 1 == ROW_MASK);

impl Posted {
    pub(super) fn new(hash: u64, dimension: u8, row: u32) -> Posted {
        Posted {
            hash_high: (hash >> 32) as u32,
            hash_low: hash as u32,
            place: u32::from(dimension) << ROW_BITS | row & ROW_MASK,
        }
    }

    pub(super) fn hash(&self) -> u64 {
        u64::from(self.hash_high) << 32 | u64::from(self.hash_low)
    }

    pub(super) fn dimension(&self) -> u8 {
        (self.place >> ROW_BITS) as u8
    }

    pub(super) fn row(&self) -> u32 {
        self.place & ROW_MASK
    }

    /// Whether both are of one term.
    pub(super) fn same_term(&self, other: &Posted) -> bool {
        self.hash_high == other.hash_high
            && self.hash_low == other.hash_low
            && (self.place ^ other.place) >> ROW_BITS == 0
    }
}

const BUCKET_BITS: u32 = 8;
const BUCKETS: usize = 1 << BUCKET_BITS;
const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 1 << DIGIT_BITS;
/// So few entries are sorted faster than the digits are counted.
const FEW: usize = DIGITS / 8;

/// Entries of a chunk. Those that are being filled, one a bucket, stay in the cache together.
const CHUNK: usize = 64;
/// Entries of a block: so many are allocated at once.
const BLOCK: usize = 1 << 15;

/// Collects the terms of rows in buckets, by the upper bits of the hash. A bucket is a list of
/// chunks of blocks, so that collecting copies nothing and leaves little room unused.
#[derive(Debug)]
pub(super) struct Sorter {
    /// Whole chunks up to the length of each; only the last has room for more.
    blocks: Vec<Vec<Posted>>,
    /// Of each bucket the place for its next entry, counted over all blocks. At a multiple of the
    /// chunk length its chunk is full, or it has none yet.
    next: [usize; BUCKETS],
    /// The bucket of each chunk.
    owners: Vec<u8>,
}

impl Sorter {
    pub(super) fn new() -> Sorter {
        Sorter { blocks: Vec::new(), next: [0; BUCKETS], owners: Vec::new() }
    }

    #[inline]
    pub(super) fn push(&mut self, posted: Posted) {
        let bucket = (posted.hash_high >> (32 - BUCKET_BITS)) as usize;
        let mut next = self.next[bucket];
        if next.is_multiple_of(CHUNK) {
            next = self.add_chunk(bucket);
        }
        self.blocks[next / BLOCK][next % BLOCK] = posted;
        self.next[bucket] = next + 1;
    }

    /// Where the new chunk begins. Its zeros are written front to back just before its entries come
    /// in here and there, which is what the processor is good at.
    #[cold]
    fn add_chunk(&mut self, bucket: usize) -> usize {
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let start = self.owners.len() * CHUNK;
        if let Some(block) = self.blocks.last_mut() {
            block.resize(block.len() + CHUNK, Posted::default());
        }
        self.owners.push(bucket as u8);
        start
    }

    /// Hands out each term in order, with all its rows in order. A row stands there twice if it was
    /// pushed twice.
    pub(super) fn for_each_term(&self, mut each: impl FnMut(&[Posted])) {
        let mut buckets: Vec<Vec<&[Posted]>> = vec![Vec::new(); BUCKETS];
        let chunks = self.blocks.iter().flat_map(|block| block.chunks_exact(CHUNK));
        for (chunk, owner) in chunks.zip(&self.owners) {
            buckets[usize::from(*owner)].push(chunk);
        }
        let mut room = Vec::new();
        for (chunks, next) in buckets.iter_mut().zip(self.next) {
            if let Some(last) = chunks.last_mut() {
                let unused = next.next_multiple_of(CHUNK) - next;
                *last = &last[..CHUNK - unused];
            }
            sort(chunks, &mut room).chunk_by(Posted::same_term).for_each(&mut each);
        }
    }
}

/// Sorts the entries of a bucket into `room`, which grows as needed.
fn sort<'a>(chunks: &[&[Posted]], room: &'a mut Vec<Posted>) -> &'a [Posted] {
    let count = chunks.iter().map(|chunk| chunk.len()).sum();
    if room.len() < count {
        room.resize(count, Posted::default());
    }
    let sorted = &mut room[..count];
    if count < FEW {
        sorted.iter_mut().zip(chunks.iter().copied().flatten()).for_each(|(to, from)| *to = *from);
        sorted.sort_unstable();
        return sorted;
    }
    let digit = |entry: &Posted| (entry.hash_high >> (32 - BUCKET_BITS - DIGIT_BITS)) as usize % DIGITS;
    let mut ends = [0u32; DIGITS];
    chunks.iter().copied().flatten().for_each(|entry| ends[digit(entry)] += 1);
    let mut sum = 0;
    for end in &mut ends {
        sum += std::mem::replace(end, sum);
    }
    for entry in chunks.iter().copied().flatten() {
        let end = &mut ends[digit(entry)];
        sorted[*end as usize] = *entry;
        *end += 1;
    }
    let mut start = 0;
    for end in ends.map(|end| end as usize) {
        // Rows are pushed in order and counting kept it, so a group of one term is sorted.
        let group = &mut sorted[start..end];
        if !group.is_sorted() {
            group.sort_unstable();
        }
        start = end;
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(crate::trials::cases(64))]

        /// Few different hashes, so that terms share a prefix, a hash and a row.
        #[test]
        fn each_term_comes_once_and_in_order(
            hashes in prop::collection::vec(any::<u64>(), 1..20),
            low_bits in prop::collection::vec((0usize..20, 0u64..3, 1u8..12), 0..if cfg!(miri) { 100 } else { 12_000 }),
        ) {
            let posted: Vec<Posted> = low_bits
                .iter()
                .zip(0u32..)
                .map(|((index, low, dimension), row)| {
                    Posted::new(hashes[index % hashes.len()] ^ low, *dimension, row / 3)
                })
                .collect();
            let (mut sorter, mut terms) = (Sorter::new(), Vec::new());
            posted.iter().for_each(|entry| sorter.push(*entry));
            sorter.for_each_term(|term| terms.push(term.to_vec()));
            let mut naive = posted.clone();
            naive.sort();
            let naive: Vec<_> = naive.chunk_by(Posted::same_term).map(<[_]>::to_vec).collect();
            prop_assert_eq!(terms, naive);
        }
    }

    #[test]
    fn the_parts_come_back() {
        let posted = Posted::new(0x1234_5678_9ABC_DEF0, 11, ROW_MASK);
        assert_eq!((posted.hash(), posted.dimension(), posted.row()), (0x1234_5678_9ABC_DEF0, 11, ROW_MASK));
        assert!(posted.same_term(&Posted::new(0x1234_5678_9ABC_DEF0, 11, 0)));
        assert!(!posted.same_term(&Posted::new(0x1234_5678_9ABC_DEF0, 10, ROW_MASK)));
        assert!(Posted::new(1, 1, 9) < Posted::new(1, 2, 0) && Posted::new(1, 11, 9) < Posted::new(2, 1, 0));
    }
}
