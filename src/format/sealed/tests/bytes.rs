//! The layout is a promise: a segment that is sealed again from the same events is the same file, but for what zstd
//! makes of texts and data.

use super::damage::sample;
use super::*;
use crate::format::sealed::sections::ENTRY_BYTES;

/// A hash of the head and the sections behind it, without the text.
fn without_text(bytes: &[u8], head: usize, count: u32) -> u64 {
    let mut kept = bytes[..head].to_vec();
    let mut body = head + count as usize * ENTRY_BYTES;
    for entry in bytes[head..body].chunks(ENTRY_BYTES) {
        let end = body + u32::from_le_bytes(entry[4..].try_into().unwrap()) as usize;
        if entry[0] != 64 {
            kept.extend_from_slice(entry);
            kept.extend_from_slice(&bytes[body..end]);
        }
        body = end;
    }
    assert_eq!(body, bytes.len());
    xxhash_rust::xxh3::xxh3_64(&kept)
}

#[test]
fn the_bytes_are_those_of_format_version_1() {
    let owned = sample();
    let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
    let mut found = Vec::new();
    for (dictionary, by_subject) in [(dictionary_of(&rows), false), (Dictionary::default(), true)] {
        let head = head_of(&rows, &dictionary, by_subject, 100).unwrap();
        found.push(without_text(&head, 24, u32::from_le_bytes(head[12..16].try_into().unwrap())));
        let mut bytes = Vec::new();
        dictionary.encode(&mut bytes);
        found.push(without_text(&bytes, 8, u32::from_le_bytes(bytes[4..8].try_into().unwrap())));
    }
    let known = [0xe1c2_2bb1_2eb5_906e, 0xe6e5_6951_60df_f25e, 0x9325_def9_21dc_3519, 0xc77b_3abb_6f87_acd9];
    assert_eq!(found, known, "found {found:#018x?}");
}
