//! The filter over the hashes of all entries: whether a segment is worth asking. The table is in
//! mod.rs, and how a filter answers in format/filter.rs.

use super::CRC_BYTES;
use crate::format::bytes::{u32_at, u64_at};
use crate::format::filter::FilterShape;
use crate::format::{Bad, Parsed};

const HEAD_BYTES: usize = 16;

/// `None` if it cannot be made.
pub(super) fn encode(hashes: &[u64]) -> Option<Vec<u8>> {
    let (shape, fingerprints) = FilterShape::build(hashes)?;
    let mut bytes = Vec::with_capacity(HEAD_BYTES + fingerprints.len() + CRC_BYTES);
    bytes.extend(shape.seed.to_le_bytes());
    bytes.extend(shape.segment_len.to_le_bytes());
    bytes.extend(shape.segment_count_len.to_le_bytes());
    bytes.extend(&fingerprints[..]);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    Some(bytes)
}

/// A filter over its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FilterView<'a> {
    shape: FilterShape,
    fingerprints: &'a [u8],
}

impl FilterView<'_> {
    /// Whether an entry of this hash may be there; `false` is certain.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        let (places, fingerprint) = self.shape.places(hash);
        // Every place lies among the fingerprints, because the shape fits them.
        let at = |place: u64| usize::try_from(place).ok().and_then(|place| self.fingerprints.get(place));
        places.iter().try_fold(fingerprint, |sum, place| at(*place).map(|byte| sum ^ byte)).is_none_or(|sum| sum == 0)
    }
}

/// A filter whose bytes pass their check, all of which this reads.
pub(crate) fn parse_filter(bytes: &[u8]) -> Parsed<FilterView<'_>> {
    let checked = super::page::checked(bytes)?;
    view(checked)
}

/// The same for bytes that [`parse_filter`] has seen before: it reads the head only.
pub(crate) fn view_filter(bytes: &[u8]) -> Parsed<FilterView<'_>> {
    view(bytes.split_last_chunk::<CRC_BYTES>().map_or(&[][..], |(checked, _)| checked))
}

fn view(checked: &[u8]) -> Parsed<FilterView<'_>> {
    let shape = || {
        Some(FilterShape {
            seed: u64_at(checked, 0)?,
            segment_len: u32_at(checked, 8)?,
            segment_count_len: u32_at(checked, 12)?,
        })
    };
    let fingerprints = checked.get(HEAD_BYTES..).unwrap_or_default();
    match shape() {
        Some(shape) if shape.fits(fingerprints.len() as u64) => Ok(FilterView { shape, fingerprints }),
        shape => {
            let found = format!("{shape:?} and {} fingerprints", fingerprints.len());
            Err(Bad::new(8, "a filter whose places are all there", found))
        }
    }
}
