//! Sorting the pairs of term and row that a segment is made of: a million of them, by hashes that
//! are evenly spread. Two counting passes over the upper 22 bits put nearly every term by itself;
//! what they leave together is sorted in place.

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

const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 1 << DIGIT_BITS;
/// Below so many entries, counting costs more than it saves.
const COUNTING_MIN: usize = 4096;

/// Sorts, and drops what stands there twice (a tag that an event has twice).
pub(super) fn sort(mut posted: Vec<Posted>) -> Vec<Posted> {
    if posted.len() < COUNTING_MIN {
        posted.sort_unstable();
    } else {
        let mut other = vec![Posted::default(); posted.len()];
        scatter(&posted, &mut other, |entry| (entry.hash_high >> (32 - 2 * DIGIT_BITS)) as usize % DIGITS);
        scatter(&other, &mut posted, |entry| (entry.hash_high >> (32 - DIGIT_BITS)) as usize);
        drop(other);
        let prefix = |entry: &Posted| entry.hash_high >> (32 - 2 * DIGIT_BITS);
        for group in posted.chunk_by_mut(|a, b| prefix(a) == prefix(b)) {
            // The rows came in order and the passes kept it, so a group of one term is sorted.
            if !group.is_sorted() {
                group.sort_unstable();
            }
        }
    }
    posted.dedup();
    posted
}

/// Orders `from` by a digit into `to`, keeping the order of equal ones.
fn scatter(from: &[Posted], to: &mut [Posted], digit: impl Fn(&Posted) -> usize) {
    let mut places = [0u32; DIGITS];
    from.iter().for_each(|entry| places[digit(entry)] += 1);
    let mut sum = 0;
    for place in &mut places {
        sum += std::mem::replace(place, sum);
    }
    for entry in from {
        let place = &mut places[digit(entry)];
        to[*place as usize] = *entry;
        *place += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Few different hashes, so that terms share a prefix, a hash and a row.
        #[test]
        fn it_sorts_and_drops_what_is_there_twice(
            hashes in prop::collection::vec(any::<u64>(), 1..20),
            low_bits in prop::collection::vec((0usize..20, 0u64..3, 1u8..12), 0..12_000),
        ) {
            let posted: Vec<Posted> = low_bits
                .iter()
                .zip(0u32..)
                .map(|((index, low, dimension), row)| {
                    Posted::new(hashes[index % hashes.len()] ^ low, *dimension, row / 3)
                })
                .collect();
            let mut naive = posted.clone();
            naive.sort();
            naive.dedup();
            prop_assert_eq!(sort(posted), naive);
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
