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
        Ok(got) if got == raw_len => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(raw: &[u8], dictionary: Option<&EncoderDictionary<'static>>) -> Vec<u8> {
        let mut out = vec![1, 2, 3];
        PageEncoder::new(3, dictionary).unwrap().encode(raw, &mut out).unwrap();
        out.split_off(3)
    }

    fn read(stored: &[u8], raw_len: usize, dictionary: Option<&DecoderDictionary<'_>>) -> Option<Vec<u8>> {
        let mut raw = b"of another page".to_vec();
        decode(stored, raw_len, dictionary, &mut raw).ok().map(|()| raw)
    }

    #[test]
    fn pages_come_back_with_and_without_a_dictionary() {
        let text = b"{\"title\":\"a note\",\"body\":\"of some length\"}".repeat(9);
        let noise: Vec<u8> = (0..900u32).map(|n| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()) as u8).collect();
        for raw in [&text[..], &noise, b"", b"x"] {
            assert_eq!(read(&stored(raw, None), raw.len(), None).as_deref(), Some(raw));
        }
        assert!(stored(&text, None).len() < 100);
        assert!(stored(&noise, None) == noise, "what gets no shorter stands as it is");
        let frame = stored(&text, None);
        assert_eq!(frame[4] & 0b0010_0111, 0, "no dictionary id, no check and no length");

        let bytes = b"{\"title\":\"a note\",\"body\":\"of some length\"}".repeat(2);
        let (encoder, decoder) = (EncoderDictionary::copy(&bytes, 3), DecoderDictionary::copy(&bytes));
        let with = stored(&bytes, Some(&encoder));
        assert!(with.len() < stored(&bytes, None).len());
        assert_eq!(read(&with, bytes.len(), Some(&decoder)).as_deref(), Some(&bytes[..]));
        assert_eq!(read(&with, bytes.len(), None), None, "without it nothing is read");
    }

    #[test]
    fn pages_of_another_length_are_errors() {
        let raw = [b'a'; 500];
        let good = stored(&raw, None);
        assert_eq!((read(&good, 499, None), read(&good, 501, None)), (None, None));
        assert_eq!(read(&good[..good.len() - 1], 500, None), None);
        assert_eq!(read(b"no frame", 500, None), None);
        let most = vec![0; PAGE_RAW_MAX + 1];
        assert!(read(&most[1..], PAGE_RAW_MAX, None).is_some() && read(&most, PAGE_RAW_MAX + 1, None).is_none());
    }

    #[test]
    fn a_page_holds_sixteen_events_within_its_bounds() {
        assert_eq!(page_target(1_000 * 100, 100, TARGET_MIN), 16_000);
        assert_eq!(page_target(100 * 100, 100, TARGET_MIN), 8 << 10);
        assert_eq!(page_target(100 * 100, 100, 1), 1_600);
        assert_eq!(page_target(100 * 17_000, 100, TARGET_MIN), 256 << 10);
        assert_eq!(page_target(0, 0, TARGET_MIN), 8 << 10);
    }
}
