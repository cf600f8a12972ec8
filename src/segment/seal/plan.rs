//! How the payloads of a segment are packed: in which order, and with which dictionary. Both are
//! tried on a sample of the segment, and what costs least in all is kept, the dictionary's own bytes
//! included: 110 KiB of it is 18 % of a segment of events that pack to 2.4 bytes.

use zstd::dict::EncoderDictionary;

use crate::error::{Error, Result};
use crate::format::sealed::block::{Row, payload_order};
use crate::format::sealed::page::{PageEncoder, page_target};

/// Blocks that a sample holds at most, spread over the segment.
pub(crate) const SAMPLE_BLOCKS: u32 = 8;
/// Bytes of data that a sample holds, more or less.
pub(crate) const SAMPLE_BYTES: usize = 2 << 20;
/// Sizes of dictionary that are tried, in bytes. Larger ones pay off for no log measured so far.
const DICTIONARY_BYTES: [usize; 2] = [16 << 10, 64 << 10];
/// Less data than this is not worth a dictionary.
const DICTIONARY_FROM: u64 = 256 << 10;

pub(crate) struct PayloadPlan {
    pub(crate) by_subject: bool,
    /// Empty: none.
    pub(crate) dictionary: Vec<u8>,
    pub(crate) level: i32,
}

impl PayloadPlan {
    pub(crate) fn encoder_dictionary(&self) -> Option<EncoderDictionary<'static>> {
        (!self.dictionary.is_empty()).then(|| EncoderDictionary::copy(&self.dictionary, self.level))
    }

    /// Chooses by a sample of whole blocks of a segment that has `data_bytes` in all.
    pub(crate) fn choose(sample: &[Vec<Row<'_>>], data_bytes: u64, level: i32) -> Result<PayloadPlan> {
        let sampled: usize = sample.iter().flatten().map(|row| row.event.data().len()).sum();
        let mut best: Option<(u64, PayloadPlan)> = None;
        let mut dictionaries = vec![Vec::new()];
        if data_bytes >= DICTIONARY_FROM && sampled > 0 {
            dictionaries.extend(DICTIONARY_BYTES.iter().filter_map(|size| train(sample, *size)));
        }
        for dictionary in dictionaries {
            let mut by_order = [0; 2];
            let plan = PayloadPlan { by_subject: false, dictionary, level };
            for (cost, by_subject) in by_order.iter_mut().zip([false, true]) {
                *cost = plan.cost(sample, by_subject)?;
            }
            let by_subject = by_order[1] < by_order[0];
            let pages = by_order[usize::from(by_subject)];
            let scaled = (u128::from(pages) * u128::from(data_bytes) / sampled.max(1) as u128) as u64;
            let total = scaled + packed_dictionary(&plan.dictionary)?.len() as u64;
            if best.as_ref().is_none_or(|(least, _)| total < *least) {
                best = Some((total, PayloadPlan { by_subject, ..plan }));
            }
        }
        Ok(best.map_or(PayloadPlan { by_subject: false, dictionary: Vec::new(), level }, |(_, plan)| plan))
    }

    /// Bytes of the sample's pages.
    fn cost(&self, sample: &[Vec<Row<'_>>], by_subject: bool) -> Result<u64> {
        let dictionary = self.encoder_dictionary();
        let mut encoder = PageEncoder::new(self.level, dictionary.as_ref()).map_err(zstd_failed)?;
        let (mut stored, mut sum) = (Vec::new(), 0);
        for rows in sample {
            for page in cut_pages(rows, &payload_order(rows, by_subject), dictionary.is_some()) {
                stored.clear();
                encoder.encode(&page.raw, &mut stored).map_err(zstd_failed)?;
                sum += stored.len() as u64;
            }
        }
        Ok(sum)
    }
}

pub(crate) fn zstd_failed(error: std::io::Error) -> Error {
    Error::io("pack with zstd", error)
}

/// The stored form of the dictionary itself.
pub(crate) fn packed_dictionary(dictionary: &[u8]) -> Result<Vec<u8>> {
    if dictionary.is_empty() { Ok(Vec::new()) } else { zstd::bulk::compress(dictionary, 19).map_err(zstd_failed) }
}

fn train(sample: &[Vec<Row<'_>>], size: usize) -> Option<Vec<u8>> {
    let pieces: Vec<&[u8]> =
        sample.iter().flatten().map(|row| row.event.data()).filter(|data| !data.is_empty()).collect();
    // Too few or too uniform samples make no dictionary: then there is none.
    zstd::dict::from_samples(&pieces, size).ok().filter(|dictionary| !dictionary.is_empty())
}

/// A page before it is packed.
pub(crate) struct RawPage {
    /// Rank of its first payload.
    pub(crate) first_rank: u32,
    pub(crate) raw: Vec<u8>,
}

/// Cuts a block's payloads into pages, in the order given.
pub(crate) fn cut_pages(rows: &[Row<'_>], order: &[u32], has_dictionary: bool) -> impl Iterator<Item = RawPage> {
    let data_bytes = rows.iter().map(|row| row.event.data().len()).sum();
    let target = page_target(data_bytes, rows.len(), has_dictionary);
    let mut rank = 0;
    std::iter::from_fn(move || {
        let mut page = RawPage { first_rank: rank as u32, raw: Vec::new() };
        while let Some(row) = order.get(rank).and_then(|row| rows.get(*row as usize)) {
            let data = row.event.data();
            if !page.raw.is_empty() && page.raw.len() + data.len() > target {
                break;
            }
            page.raw.extend_from_slice(data);
            rank += 1;
        }
        (!page.raw.is_empty()).then_some(page)
    })
}
