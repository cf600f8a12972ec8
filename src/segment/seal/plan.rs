//! How the payloads of a segment are packed: in which order, and with which dictionary. Both are
//! tried on a sample of the segment, and what costs least in all is kept, the dictionary's own bytes
//! included: 110 KiB of it is 18 % of a segment of events that pack to 2.4 bytes.

use zstd::dict::EncoderDictionary;

use crate::error::{Error, Result};
use crate::format::sealed::block::{Row, payload_order};
use crate::format::sealed::page::{PageEncoder, TARGET_MIN, page_target};

/// Blocks that a sample holds at most, spread over the segment.
pub(crate) const SAMPLE_BLOCKS: u32 = 16;
/// Bytes of data that a sample holds, more or less.
pub(crate) const SAMPLE_BYTES: usize = 4 << 20;
/// Sizes of dictionary that are tried, in bytes.
const DICTIONARY_BYTES: [usize; 2] = [16 << 10, 110 << 10];
/// Less data than this is not worth a dictionary.
const DICTIONARY_FROM: u64 = 256 << 10;
/// Sizes of page, as multiples of the least.
const PAGE_FACTORS: [usize; 3] = [2, 4, 8];
/// Pages of twice the size take twice as long to open: they have to save one byte in so many of the raw data.
const DOUBLING_SAVES: u64 = 600;

#[derive(Clone)]
pub(crate) struct PayloadPlan {
    pub(crate) by_subject: bool,
    /// Empty: none.
    pub(crate) dictionary: Vec<u8>,
    pub(crate) level: i32,
    /// Raw bytes of a page at least, if the block has them.
    pub(crate) page_bytes: usize,
}

impl PayloadPlan {
    pub(crate) fn encoder_dictionary(&self) -> Option<EncoderDictionary<'static>> {
        (!self.dictionary.is_empty()).then(|| EncoderDictionary::copy(&self.dictionary, self.level))
    }

    /// Chooses by a sample of whole blocks of a segment that has `data_bytes` in all: dictionary and order first,
    /// then the size of a page.
    pub(crate) fn choose(sample: &[Vec<Row<'_>>], data_bytes: u64, level: i32) -> Result<PayloadPlan> {
        let plain = PayloadPlan { by_subject: false, dictionary: Vec::new(), level, page_bytes: TARGET_MIN };
        // Half of the sample is enough to compare by, and the other half is new to the dictionary.
        let judged: Vec<&[Row<'_>]> = sample.iter().step_by(2).map(Vec::as_slice).collect();
        let sampled: u64 = judged.iter().copied().flatten().map(|row| row.event.data().len() as u64).sum();
        if sampled == 0 {
            return Ok(plain);
        }
        let mut dictionaries = vec![Vec::new()];
        if data_bytes >= DICTIONARY_FROM {
            dictionaries.extend(DICTIONARY_BYTES.iter().filter_map(|size| train(sample, *size)));
        }
        let mut best: Option<(u64, u64, PayloadPlan)> = None;
        for dictionary in dictionaries {
            let (pages, plan) = PayloadPlan { dictionary, ..plain.clone() }.in_better_order(&judged)?;
            let scaled = (u128::from(pages) * u128::from(data_bytes) / u128::from(sampled)) as u64;
            let total = scaled + packed_dictionary(&plan.dictionary)?.len() as u64;
            if best.as_ref().is_none_or(|(least, ..)| total < *least) {
                best = Some((total, pages, plan));
            }
        }
        let Some((_, mut cost, mut plan)) = best else { return Ok(plain) };
        for factor in PAGE_FACTORS {
            let wider = PayloadPlan { page_bytes: TARGET_MIN * factor, ..plan.clone() };
            let (wider_cost, wider) = wider.in_better_order(&judged)?;
            if cost.saturating_sub(wider_cost) < sampled / DOUBLING_SAVES {
                break;
            }
            (cost, plan) = (wider_cost, wider);
        }
        Ok(plan)
    }

    /// The plan in whichever order costs less, and that cost.
    fn in_better_order(self, sample: &[&[Row<'_>]]) -> Result<(u64, PayloadPlan)> {
        let [by_row, by_subject] = [false, true].map(|by_subject| self.cost(sample, by_subject));
        let (by_row, by_subject) = (by_row?, by_subject?);
        Ok((by_row.min(by_subject), PayloadPlan { by_subject: by_subject < by_row, ..self }))
    }

    /// Bytes of the sample's pages.
    fn cost(&self, sample: &[&[Row<'_>]], by_subject: bool) -> Result<u64> {
        let dictionary = self.encoder_dictionary();
        let mut encoder = PageEncoder::new(self.level, dictionary.as_ref()).map_err(zstd_failed)?;
        let (mut stored, mut sum) = (Vec::new(), 0);
        for rows in sample {
            for page in cut_pages(rows, &payload_order(rows, by_subject), self.page_bytes) {
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
pub(crate) fn cut_pages(rows: &[Row<'_>], order: &[u32], page_bytes: usize) -> impl Iterator<Item = RawPage> {
    let data_bytes = rows.iter().map(|row| row.event.data().len()).sum();
    let target = page_target(data_bytes, rows.len(), page_bytes);
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
