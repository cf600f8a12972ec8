//! A payload page: the data of some events of one block, one after the other, as one zstd frame
//! (with the segment's dictionary, if it has one), or as they are where that is no shorter.
//!
//! Stored length equal to raw length: the bytes as they are. Its CRC-32, over the stored bytes, its
//! lengths and its place are in the head of the block.

use std::cell::RefCell;

use zstd::bulk::Compressor;
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::DCtx;

use crate::format::{Bad, Parsed};
use crate::limits;

/// No page is longer: one event's data at its limit, or what stands together up to that.
pub(crate) const PAGE_RAW_MAX: usize = limits::DATA_BYTES_MAX;
/// A page holds at least so many raw bytes, if the block has them; it opens in some 10 us. The sealer takes
/// twice as much, up to eight times, where that saves enough.
pub(crate) const TARGET_MIN: usize = 8 << 10;
const TARGET_MAX: usize = 256 << 10;
/// Events that a page holds at least, until it has grown to `TARGET_MAX`.
const EVENTS_MIN: usize = 16;

/// Raw bytes at which a page of a block ends, by the mean of the block's payloads.
pub(crate) fn page_target(data_bytes: usize, rows: usize, least: usize) -> usize {
    (data_bytes / rows.max(1) * EVENTS_MIN).clamp(least, TARGET_MAX)
}

/// Packs pages, one after the other.
pub(crate) struct PageEncoder<'d> {
    compressor: Compressor<'d>,
}

impl<'d> PageEncoder<'d> {
    pub(crate) fn new(level: i32, dictionary: Option<&'d EncoderDictionary<'static>>) -> std::io::Result<Self> {
        let mut compressor = match dictionary {
            Some(dictionary) => Compressor::with_prepared_dictionary(dictionary)?,
            None => Compressor::new(level)?,
        };
        // The head of the block says all of this.
        compressor.include_checksum(false)?;
        compressor.include_contentsize(false)?;
        compressor.include_dictid(false)?;
        Ok(PageEncoder { compressor })
    }

    /// Appends the stored form of a page to `out`.
    pub(crate) fn encode(&mut self, raw: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
        let packed = self.compressor.compress(raw)?;
        out.extend_from_slice(if packed.len() < raw.len() { &packed } else { raw });
        Ok(())
    }
}

thread_local! {
    /// Making a context costs more than unpacking a page.
    static CONTEXT: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// Unpacks a zstd frame of exactly `raw_len` bytes into `raw`, which is emptied first.
pub(crate) fn unpack(
    frame: &[u8],
    raw_len: usize,
    dictionary: Option<&DecoderDictionary<'_>>,
    raw: &mut Vec<u8>,
) -> Parsed<()> {
    raw.clear();
    raw.reserve_exact(raw_len);
    let done = CONTEXT.with_borrow_mut(|context| match dictionary {
        Some(dictionary) => context.decompress_using_ddict(raw, frame, dictionary.as_ddict()),
        None => context.decompress(raw, frame),
    });
    match done {
        Ok(got) if got == raw_len && raw.len() == raw_len => Ok(()),
        Ok(got) => Err(Bad::new(0, format!("a zstd frame of {raw_len} bytes"), format!("one of {got}"))),
        Err(code) => {
            Err(Bad::new(0, format!("a zstd frame of {raw_len} bytes"), zstd::zstd_safe::get_error_name(code)))
        }
    }
}

/// Unpacks the stored form of a page into `raw`, which is emptied first.
pub(crate) fn decode(
    stored: &[u8],
    raw_len: usize,
    dictionary: Option<&DecoderDictionary<'_>>,
    raw: &mut Vec<u8>,
) -> Parsed<()> {
    if raw_len > PAGE_RAW_MAX {
        return Err(Bad::new(0, format!("a page of at most {PAGE_RAW_MAX} bytes"), raw_len.to_string()));
    }
    if stored.len() == raw_len {
        raw.clear();
        raw.extend_from_slice(stored);
        return Ok(());
    }
    unpack(stored, raw_len, dictionary, raw)
}
