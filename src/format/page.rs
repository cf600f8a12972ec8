//! What header, slot and ANCHOR pages have in common: 4 KiB that begin with a magic, hold their
//! fields and a check, and are zero from there on. The check covers what stands before it, and the
//! zeros are looked at, so every bit of a page is covered.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::bytes::{Put, is_zero, u64_at};
use super::{Bad, PAGE_BYTES, Parsed, Read};

pub(crate) type Page = [u8; PAGE_BYTES];

/// Puts the check at `check_at`, over all that stands before it.
pub(crate) fn seal(page: &mut Page, check_at: usize, seed: u64) {
    let check = xxh3_64_with_seed(&page[..check_at], seed);
    Put(page).u64(check_at, check);
}

/// Whether the page begins with the magic, passes its check and is zero after it.
/// `Ok(None)` is a page of zeros.
pub(crate) fn open(page: &[u8], magic: [u8; 8], check_at: usize, seed: u64) -> Parsed<Option<&[u8]>> {
    if page.len() < PAGE_BYTES {
        return Err(Bad::new(page.len() as u64, "a page of 4096 bytes", format!("the end after {} bytes", page.len())));
    }
    let page = &page[..PAGE_BYTES];
    if is_zero(page) {
        return Ok(None);
    }
    if page[..8] != magic {
        return Err(Bad::new(
            0,
            format!("magic {:?}", magic.escape_ascii().to_string()),
            format!("{:?}", page[..8].escape_ascii().to_string()),
        ));
    }
    let expected = xxh3_64_with_seed(&page[..check_at], seed);
    let found = u64_at(page, check_at).unwrap_or_default();
    if expected != found {
        return Err(Bad::new(check_at as u64, format!("check {expected:016x}"), format!("{found:016x}")));
    }
    if !is_zero(&page[check_at + 8..]) {
        return Err(Bad::new(check_at as u64 + 8, "zeros to the end of the page", "other bytes"));
    }
    Ok(Some(&page[..check_at]))
}

/// Like [`open`], with the fields read by `fields`, which says `None` for values that make no sense.
pub(crate) fn read<T>(
    page: &[u8],
    magic: [u8; 8],
    check_at: usize,
    seed: u64,
    fields: impl FnOnce(&[u8]) -> Option<Read<T>>,
) -> Read<T> {
    match open(page, magic, check_at, seed) {
        Ok(Some(body)) => {
            fields(body).unwrap_or_else(|| Read::Bad(Bad::new(8, "fields with a meaning", "a value that has none")))
        }
        Ok(None) => Read::Zero,
        Err(bad) => Read::Bad(bad),
    }
}
