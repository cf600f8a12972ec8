//! The digest of the history: a Merkle tree over all events in order of position, hashed as RFC
//! 6962 (section 2.1) says, so that raw, sealed and copied forms of the same events have one root.
//!
//! `leaf = SHA-256(0x00 | metadata | SHA-256(data))`, `node = SHA-256(0x01 | left | right)`. The
//! metadata, every number little-endian, every string as `u32` length and bytes:
//!
//! position u64, version u64, epoch u64, recorded_at i64, wall clock i64 (recorded_at where none was
//! kept), occurred_at i64 (recorded_at where none was given), causation u64 (0: none), flags u8 (1:
//! last of its batch, 2: occurred_at was given, 4: imported, 8: clock suspect), actor kind u8, codec
//! u8 (0), zero u8, encryption key id u32 (0); id (empty: derived), subject, type, actor, on_behalf_of,
//! source, correlation, content type; number of tags u32, the tags; number of metadata entries
//! u32, names and values in turn; idempotency key and content hash of the batch, on its first event
//! (empty elsewhere).
//!
//! An event's fingerprint is the first 16 bytes of its leaf.

use sha2::{Digest, Sha256};

use crate::event::EventRef;
use crate::time::Timestamp;

pub(crate) const DIGEST_BYTES: usize = 32;
pub(crate) type Hash = [u8; DIGEST_BYTES];

/// What a leaf holds beside the event itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BatchFacts<'a> {
    pub(crate) last_of_batch: bool,
    pub(crate) clock_suspect: bool,
    pub(crate) wall: Option<Timestamp>,
    /// Key and content hash; only for the first event of a keyed batch.
    pub(crate) key: Option<(&'a str, &'a [u8])>,
}

/// Makes leaves, with one buffer for all of them.
#[derive(Debug, Default)]
pub(crate) struct LeafHasher {
    buffer: Vec<u8>,
}

impl LeafHasher {
    pub(crate) fn leaf(&mut self, event: &EventRef<'_>, batch: &BatchFacts<'_>) -> Hash {
        Sha256::digest(self.preimage(event, batch)).into()
    }

    /// What is hashed to make the leaf: a zero, the metadata, the digest of the data.
    pub(crate) fn preimage(&mut self, event: &EventRef<'_>, batch: &BatchFacts<'_>) -> &[u8] {
        self.preimage_of_digest(event, batch, &Sha256::digest(event.data()).into())
    }

    pub(crate) fn preimage_of_digest(&mut self, event: &EventRef<'_>, batch: &BatchFacts<'_>, data: &Hash) -> &[u8] {
        let head = &event.head;
        let recorded = head.recorded_at.as_nanos();
        let out = &mut self.buffer;
        out.clear();
        out.push(0);
        for number in [head.position.get(), head.version, head.epoch] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for time in [recorded, batch.wall.map_or(recorded, Timestamp::as_nanos), event.occurred_at().as_nanos()] {
            out.extend_from_slice(&time.to_le_bytes());
        }
        out.extend_from_slice(&head.causation.map_or(0, |cause| cause.get()).to_le_bytes());
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        out.push(
            flag(batch.last_of_batch, 1)
                | flag(head.occurred_at.is_some(), 2)
                | flag(head.imported, 4)
                | flag(batch.clock_suspect, 8),
        );
        out.extend_from_slice(&[head.actor.map_or(0, |kind| kind.code()), 0, 0]);
        out.extend_from_slice(&0u32.to_le_bytes());
        let mut string = |bytes: &[u8]| {
            out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(bytes);
        };
        string(event.given_id().unwrap_or_default().as_bytes());
        string(event.subject().as_bytes());
        string(event.event_type().as_bytes());
        string(event.actor().map(|actor| actor.id()).unwrap_or_default().as_bytes());
        string(event.on_behalf_of().unwrap_or_default().as_bytes());
        string(event.source().unwrap_or_default().as_bytes());
        string(event.correlation().unwrap_or_default().as_bytes());
        string(event.content_type().as_bytes());
        self.buffer.extend_from_slice(&(event.tags().len() as u32).to_le_bytes());
        event.tags().for_each(|tag| self.string(tag.as_bytes()));
        self.buffer.extend_from_slice(&(event.meta().len() as u32).to_le_bytes());
        event.meta().for_each(|(name, value)| {
            self.string(name.as_bytes());
            self.string(value.as_bytes());
        });
        let (key, content_hash) = batch.key.unwrap_or_default();
        self.string(key.as_bytes());
        self.string(content_hash);
        self.buffer.extend_from_slice(data);
        &self.buffer
    }

    fn string(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(bytes);
    }
}

/// The tree, kept as the roots of its complete subtrees: `peaks.len() == size.count_ones()`,
/// largest subtree first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tree {
    size: u64,
    peaks: Vec<Hash>,
}

impl Tree {
    pub(crate) fn from_peaks(size: u64, peaks: Vec<Hash>) -> Option<Tree> {
        (peaks.len() == size.count_ones() as usize).then_some(Tree { size, peaks })
    }

    /// How many leaves the tree holds: those of positions 1 to `size`.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut carry = leaf;
        // Each trailing one bit of the size is a subtree as large as the one in hand.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                carry = node(&left, &carry);
            }
        }
        self.peaks.push(carry);
        self.size += 1;
    }

    /// The tree hash of RFC 6962; for no leaves the hash of nothing.
    pub(crate) fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return Sha256::digest([]).into() };
        peaks.fold(*last, |right, left| node(left, &right))
    }
}

pub(crate) fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// RFC 6962 section 2.1, word by word: the oracle.
    pub(in crate::format) fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => *leaf,
            many => {
                let split = 1 << (many.len() - 1).ilog2();
                node(&naive(&many[..split]), &naive(&many[split..]))
            }
        }
    }

    /// That many leaves, each another.
    pub(in crate::format) fn leaves(count: u8) -> Vec<Hash> {
        (0..count).map(|n| Sha256::digest([0, n]).into()).collect()
    }

    #[test]
    fn the_tree_is_the_one_of_rfc_6962() {
        let leaves = leaves(200);
        let mut tree = Tree::default();
        for (count, leaf) in leaves.iter().enumerate() {
            assert_eq!(tree.root(), naive(&leaves[..count]), "{count} leaves");
            assert_eq!(tree.peaks().len(), tree.size().count_ones() as usize);
            tree.push(*leaf);
        }
    }
}
