//! The filter over the hashes of all terms: a three-wise binary fuse filter with 8-bit fingerprints.
//! `xorf` makes it; asking it is done here, on the bytes in the file. A test holds the two against
//! each other.

use xorf::BinaryFuse8;

/// How a hash is turned into places among the fingerprints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FilterShape {
    pub(crate) seed: u64,
    pub(crate) segment_len: u32,
    /// Number of segments that a first place can fall into, times `segment_len`.
    pub(crate) segment_count_len: u32,
}

impl FilterShape {
    /// Makes a filter over hashes that are all different; `None` if that fails, so that there is none.
    pub(crate) fn build(hashes: &[u64]) -> Option<(FilterShape, Box<[u8]>)> {
        let filter = BinaryFuse8::try_from(hashes).ok()?;
        let shape = FilterShape {
            seed: filter.descriptor.seed,
            segment_len: filter.descriptor.segment_length,
            segment_count_len: filter.descriptor.segment_count_length,
        };
        shape.fits(filter.fingerprints.len() as u64).then_some((shape, filter.fingerprints))
    }

    /// Whether every place that [`FilterShape::places`] can say lies within so many fingerprints.
    pub(crate) fn fits(&self, fingerprints: u64) -> bool {
        self.segment_len.is_power_of_two()
            && self.segment_count_len > 0
            && self.segment_count_len.is_multiple_of(self.segment_len)
            && u64::from(self.segment_count_len) + 2 * u64::from(self.segment_len) == fingerprints
    }

    /// The three places of a hash, and its fingerprint: the hash may be there if that is the
    /// exclusive or of what stands in the places.
    #[inline]
    pub(crate) fn places(&self, hash: u64) -> ([u64; 3], u8) {
        let mixed = mix(hash.wrapping_add(self.seed));
        let (segment, mask) = (u64::from(self.segment_len), u64::from(self.segment_len.wrapping_sub(1)));
        let first = ((u128::from(mixed) * u128::from(self.segment_count_len)) >> 64) as u64;
        let second = (first + segment) ^ ((mixed >> 18) & mask);
        let third = (first + 2 * segment) ^ (mixed & mask);
        ([first, second, third], (mixed ^ (mixed >> 32)) as u8)
    }
}

/// The finalizer of MurmurHash3.
#[inline]
fn mix(mut key: u64) -> u64 {
    key ^= key >> 33;
    key = key.wrapping_mul(0xff51_afd7_ed55_8ccd);
    key ^= key >> 33;
    key = key.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    key ^ (key >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xorf::Filter;

    #[test]
    fn it_answers_as_xorf_does() {
        let (counts, probes) = if cfg!(miri) { (7, 200) } else { (9, 100_000) };
        for count in [0u64, 1, 2, 3, 5, 10, 100, 1_000, 30_000].into_iter().take(counts) {
            let hashes: Vec<u64> = (0..count).map(|n| mix(n + 1)).collect();
            let theirs = BinaryFuse8::try_from(&hashes).unwrap();
            let (shape, fingerprints) = FilterShape::build(&hashes).unwrap();
            let ours = |hash| {
                let (places, fingerprint) = shape.places(hash);
                places.iter().fold(fingerprint, |sum, place| sum ^ fingerprints[*place as usize]) == 0
            };
            assert!(hashes.iter().all(|hash| ours(*hash)));
            for probe in (0..probes).map(|n: u64| mix(n ^ 0x5555_5555)) {
                assert_eq!(ours(probe), theirs.contains(&probe), "{probe:016x} of {count}");
            }
        }
    }

    #[test]
    fn a_shape_that_leads_outside_does_not_fit() {
        let shape = FilterShape { seed: 0, segment_len: 8, segment_count_len: 24 };
        assert!(shape.fits(40));
        assert!(!shape.fits(39) && !shape.fits(41) && !shape.fits(0));
        assert!(!FilterShape { segment_len: 0, ..shape }.fits(24));
        assert!(!FilterShape { segment_len: 6, ..shape }.fits(36));
        assert!(!FilterShape { segment_count_len: 0, ..shape }.fits(16));
        assert!(!FilterShape { segment_count_len: 20, ..shape }.fits(36));
        assert!(FilterShape { seed: 0, segment_len: 1 << 31, segment_count_len: 1 << 31 }.fits(3 << 31));
    }
}
