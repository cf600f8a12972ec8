//! Collecting the terms of a segment: one record for each pair of a term and a block, in buckets by
//! hash that are sorted at the end. Within the block that is being filled, a small hash table finds
//! the record of a term that came before, so that memory follows the pairs and not the rows.

/// Anything that is filed under a hash.
pub(super) trait Hashed: Copy + Ord {
    fn hash(&self) -> u64;
}

/// The rows of a term in one block. Ordered by hash, then block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InBlock {
    pub(super) hash: u64,
    pub(super) block: u32,
    /// Less the first row of the block.
    last_row: u16,
    pub(super) count: u16,
}

impl InBlock {
    pub(super) fn last_row(&self) -> u32 {
        self.block * super::BLOCK_ROWS + u32::from(self.last_row)
    }
}

/// The rows of a subject in one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SubjectInBlock {
    pub(super) rows: InBlock,
    /// Of the last row.
    pub(super) version: u64,
}

/// A keyed batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Keyed {
    pub(super) hash: u64,
    pub(super) first_row: u32,
    pub(super) count: u32,
    pub(super) content_hash: [u8; 32],
}

impl Hashed for InBlock {
    fn hash(&self) -> u64 {
        self.hash
    }
}

impl Hashed for SubjectInBlock {
    fn hash(&self) -> u64 {
        self.rows.hash
    }
}

impl Hashed for Keyed {
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// Bits of the hash that choose the bucket; fewer than are kept of it.
const BUCKET_BITS: u32 = 8;
pub(super) const BUCKETS: usize = 1 << BUCKET_BITS;
const GROWTH_MIN: usize = 32;

/// Records in buckets by the upper bits of their hashes.
#[derive(Debug)]
pub(super) struct Buckets<T>(Vec<Vec<T>>);

impl<T: Hashed> Buckets<T> {
    pub(super) fn new() -> Buckets<T> {
        Buckets((0..BUCKETS).map(|_| Vec::new()).collect())
    }

    pub(super) fn push(&mut self, record: T) {
        let bucket = &mut self.0[(record.hash() >> (64 - BUCKET_BITS)) as usize];
        if bucket.len() == bucket.capacity() {
            // All buckets grow at about the same time: by doubling they would waste half of it all.
            bucket.reserve_exact(GROWTH_MIN.max(bucket.len() / 4));
        }
        bucket.push(record);
    }

    pub(super) fn sort(&mut self) {
        self.0.iter_mut().for_each(|bucket| bucket.sort_unstable());
    }

    /// The records of a bucket; after [`Buckets::sort`] all buckets together are sorted.
    pub(super) fn get(&self, bucket: usize) -> &[T] {
        &self.0[bucket]
    }

    /// How many different hashes there are, once sorted.
    pub(super) fn distinct(&self) -> u64 {
        self.0.iter().map(|bucket| bucket.chunk_by(|a, b| a.hash() == b.hash()).count() as u64).sum()
    }

    pub(super) fn len(&self) -> u64 {
        self.0.iter().map(|bucket| bucket.len() as u64).sum()
    }
}

/// A term of the block that is being filled.
#[derive(Debug, Clone, Copy)]
struct Open {
    hash: u64,
    version: u64,
    last_row: u32,
    count: u32,
}

/// The terms of the block that is being filled, in order of first appearance.
#[derive(Debug)]
pub(super) struct OpenBlock {
    terms: Vec<Open>,
    /// An open table: index in `terms` plus 1, or 0. Its length is a power of two.
    slots: Vec<u32>,
}

const SLOTS_MIN: usize = 4096;

impl OpenBlock {
    pub(super) fn new() -> OpenBlock {
        OpenBlock { terms: Vec::new(), slots: vec![0; SLOTS_MIN] }
    }

    /// Counts a row of a term once, however often it comes.
    #[inline]
    pub(super) fn add(&mut self, hash: u64, row: u32, version: u64) {
        let mut slot = self.home(hash);
        loop {
            match self.slots[slot] {
                0 => break,
                index => {
                    let term = &mut self.terms[index as usize - 1];
                    if term.hash == hash {
                        term.count += u32::from(term.last_row != row);
                        (term.last_row, term.version) = (row, version);
                        return;
                    }
                }
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.terms.push(Open { hash, version, last_row: row, count: 1 });
        self.slots[slot] = self.terms.len() as u32;
        if self.terms.len() * 2 > self.slots.len() {
            self.grow();
        }
    }

    fn home(&self, hash: u64) -> usize {
        let mixed = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> (64 - self.slots.len().trailing_zeros())) as usize
    }

    #[cold]
    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 2];
        for index in 0..self.terms.len() {
            let mut slot = self.home(self.terms[index].hash);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (self.slots.len() - 1);
            }
            self.slots[slot] = index as u32 + 1;
        }
    }

    /// Hands out the terms of the block and their versions, and begins the next.
    pub(super) fn close(&mut self, block: u32, mut each: impl FnMut(InBlock, u64)) {
        if self.terms.is_empty() {
            return;
        }
        for term in self.terms.drain(..) {
            let last_row = (term.last_row % super::BLOCK_ROWS) as u16;
            each(InBlock { hash: term.hash, block, last_row, count: term.count as u16 }, term.version);
        }
        self.slots.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_many_terms_counts_each() {
        let mut open = OpenBlock::new();
        let hash = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for (row, versions) in [(2_048, 1), (2_049, 5), (2_049, 5), (3_071, 9)] {
            for n in 0..10_000 {
                open.add(hash(n), row, versions + n);
                assert!(open.terms.len() * 2 <= open.slots.len(), "room for the next");
            }
        }
        assert_eq!(open.slots.len(), 1 << 15, "and no more than twice as much");
        let mut closed = Vec::new();
        open.close(2, |rows, version| closed.push((rows, version)));
        let expected = |n: u64| (InBlock { hash: hash(n), block: 2, last_row: 1_023, count: 3 }, n + 9);
        assert!(closed.into_iter().eq((0..10_000).map(expected)));
        open.close(3, |_, _| panic!("a block without terms"));
        open.add(hash(7), 3_072, 1);
        open.close(3, |rows, _| assert_eq!((rows.last_row(), rows.count), (3_072, 1)));
    }
}
