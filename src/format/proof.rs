//! The proof that one leaf is in the tree: the audit path of RFC 6962, section 2.1.1.
//!
//! The path of a leaf is the hashes of the subtrees beside the way from the leaf to the root, the one beside the leaf
//! first. Its length is given by index and size, and so is the side on which each hash stands: a path says nothing but
//! the hashes. With the right leaf it leads to the root; with another leaf, place, size or hash to another value.

use super::leaf::{Hash, node};

/// Makes the audit path of one leaf while all leaves pass by in order. Holds the roots of complete subtrees alone,
/// whatever the number of leaves.
#[derive(Debug)]
pub(crate) struct PathBuilder {
    /// 0-based index of the leaf that is to be proven.
    index: u64,
    size: u64,
    /// The roots of complete subtrees, largest first, as in [`Tree`](super::leaf::Tree).
    peaks: Vec<Hash>,
    /// Which peak stands above the leaf, once it has passed.
    above: Option<usize>,
    path: Vec<Hash>,
}

impl PathBuilder {
    pub(crate) fn new(index: u64) -> PathBuilder {
        PathBuilder { index, size: 0, peaks: Vec::new(), above: None, path: Vec::new() }
    }

    pub(crate) fn push(&mut self, leaf: Hash) {
        let (mut carry, mut carry_is_above) = (leaf, self.size == self.index);
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            if self.above == Some(self.peaks.len()) {
                self.path.push(carry);
                carry_is_above = true;
            } else if carry_is_above {
                self.path.push(left);
            }
            carry = node(&left, &carry);
        }
        if carry_is_above {
            self.above = Some(self.peaks.len());
        }
        self.peaks.push(carry);
        self.size += 1;
    }

    /// The path and the root; `None` if the leaf did not pass by.
    pub(crate) fn finish(mut self) -> Option<(Vec<Hash>, Hash)> {
        let above = self.above?;
        let mut right = self.peaks.pop()?;
        let mut right_is_above = above == self.peaks.len();
        while let Some(left) = self.peaks.pop() {
            if above == self.peaks.len() {
                self.path.push(right);
                right_is_above = true;
            } else if right_is_above {
                self.path.push(left);
            }
            right = node(&left, &right);
        }
        Some((self.path, right))
    }
}

/// The root to which a path leads from the leaf at `index` (from 0) in a tree of `size` leaves; `None` if the path is
/// longer or shorter than one of that place. (The algorithm of RFC 9162, section 2.1.3.2.)
pub(crate) fn root_of_path(index: u64, size: u64, leaf: Hash, path: &[Hash]) -> Option<Hash> {
    let (mut place, mut last) = (index, size.checked_sub(1)?);
    if place > last {
        return None;
    }
    let mut hash = leaf;
    for beside in path {
        if last == 0 {
            return None;
        }
        if place & 1 == 1 || place == last {
            hash = node(beside, &hash);
            // A subtree that stands alone at the right edge goes up without a neighbour.
            while place & 1 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            hash = node(&hash, beside);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::super::leaf::tests::{leaves, naive};
    use super::*;

    /// RFC 6962 section 2.1.1, word by word: the oracle.
    fn naive_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() <= 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(1 << (leaves.len() - 1).ilog2());
        let (mut path, beside) = match index.checked_sub(left.len()) {
            None => (naive_path(index, left), naive(right)),
            Some(index) => (naive_path(index, right), naive(left)),
        };
        path.push(beside);
        path
    }

    #[test]
    fn every_path_is_the_one_of_rfc_6962_and_leads_to_the_root() {
        let leaves = leaves(200);
        for size in 1..=leaves.len() {
            let root = naive(&leaves[..size]);
            for index in 0..size {
                let mut builder = PathBuilder::new(index as u64);
                leaves[..size].iter().for_each(|leaf| builder.push(*leaf));
                let (path, found) = builder.finish().unwrap();
                assert_eq!(found, root, "{index} of {size}");
                assert_eq!(path, naive_path(index, &leaves[..size]), "{index} of {size}");
                assert_eq!(root_of_path(index as u64, size as u64, leaves[index], &path), Some(root));
            }
        }
    }

    #[test]
    fn no_flipped_bit_leads_to_the_root() {
        let leaves = leaves(23);
        for size in [1, 2, 3, 7, 8, 13, 23] {
            let root = naive(&leaves[..size]);
            for index in 0..size {
                let path = naive_path(index, &leaves[..size]);
                let (index, size, leaf) = (index as u64, size as u64, leaves[index]);
                for bit in 0..256 {
                    let mut other = leaf;
                    other[bit / 8] ^= 1 << (bit % 8);
                    assert_ne!(root_of_path(index, size, other, &path), Some(root));
                    for hash in 0..path.len() {
                        let mut other = path.clone();
                        other[hash][bit / 8] ^= 1 << (bit % 8);
                        assert_ne!(root_of_path(index, size, leaf, &other), Some(root));
                    }
                }
            }
        }
    }

    #[test]
    fn no_other_place_and_no_other_length_leads_to_the_root() {
        let leaves = leaves(40);
        for size in 1..=40 {
            let root = naive(&leaves[..size]);
            for index in 0..size {
                let path = naive_path(index, &leaves[..size]);
                let leads = |index: usize, path: &[Hash]| {
                    root_of_path(index as u64, size as u64, leaves[index.min(39)], path) == Some(root)
                };
                for other in 0..48 {
                    let found = root_of_path(other as u64, size as u64, leaves[index], &path) == Some(root);
                    assert_eq!(found, other == index, "{index} as {other} of {size}");
                }
                assert!(leads(index, &path));
                assert!(!leads(index, &[path.as_slice(), &[leaves[0]]].concat()));
                if let Some((_, shorter)) = path.split_last() {
                    assert!(!leads(index, shorter) && !leads(index, &path[1..]));
                }
            }
        }
        assert_eq!(root_of_path(0, 0, leaves[0], &[]), None);
        assert_eq!(root_of_path(u64::MAX, u64::MAX, leaves[0], &leaves), None);
    }

    #[test]
    fn a_leaf_that_did_not_pass_has_no_path() {
        let mut builder = PathBuilder::new(3);
        assert!(PathBuilder::new(0).finish().is_none());
        leaves(3).into_iter().for_each(|leaf| builder.push(leaf));
        assert!(builder.finish().is_none());
    }
}
