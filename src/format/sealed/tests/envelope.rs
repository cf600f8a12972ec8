//! Header and tail that come back, and such as no writer makes.

use super::*;
use crate::format::Read;
use crate::format::bytes::Put;
use crate::format::sealed::envelope::{END_MAGIC, FOOTER_MAX, HEADER_BYTES, MAGIC, SealedHeader, TAIL_BYTES, Tail};

const HEADER: SealedHeader =
    SealedHeader { log: LOG, base: Position::new(BASE), block_rows: 1024, sealed_at: Timestamp::from_nanos(-9) };
const TAIL: Tail =
    Tail { footer_at: 128, footer_len: 300, footer_crc: 9, file_len: 492, log: LOG, base: Position::new(BASE) };

/// With the check that the bytes ask for.
fn resealed(mut bytes: Vec<u8>, magic: [u8; 8]) -> Vec<u8> {
    let check_at = bytes.len() - 8;
    let check = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes[..check_at], u64::from_le_bytes(magic));
    Put(&mut bytes).u64(check_at, check);
    bytes
}

#[test]
fn a_header_comes_back_or_is_told_from_others() {
    let good = HEADER.encode();
    assert_eq!(SealedHeader::read(&good), Read::Valid(HEADER));
    let poked = |at: usize, bytes: &[u8]| {
        let mut changed = good.to_vec();
        Put(&mut changed).bytes(at, bytes);
        SealedHeader::read(&resealed(changed, MAGIC))
    };
    let offset = |read| match read {
        Read::Bad(bad) => bad.offset,
        other => panic!("{other:?}"),
    };
    assert_eq!(offset(poked(0, b"a")), 0, "another magic");
    for (at, bytes) in [(20, &[1][..]), (40, &[0; 8]), (60, &[1]), (119, &[1])] {
        assert_eq!(offset(poked(at, bytes)), 8, "{bytes:?} at {at}");
    }
    assert_eq!(poked(40, &1u64.to_le_bytes()), Read::Valid(SealedHeader { base: Position::new(1), ..HEADER }));
    assert!(matches!(poked(10, &[2, 0]), Read::Newer { .. }));
    for len in [0, 119, 127] {
        assert_eq!(offset(SealedHeader::read(&good[..len])), 0);
    }
    let mut changed = good;
    changed[48] ^= 1;
    assert_eq!(offset(SealedHeader::read(&changed)), HEADER_BYTES as u64 - 8);
}

#[test]
fn a_tail_comes_back_or_is_told_from_others() {
    let read = |tail: &Tail| Tail::read(&tail.encode(), tail.file_len);
    let offset = |tail: Tail| read(&tail).unwrap_err().offset;
    assert_eq!(read(&TAIL).unwrap(), TAIL);
    assert_eq!(Tail::read(&TAIL.encode(), 493).unwrap_err().offset, 24);
    // The footer stands between header and tail, and fills what is there.
    assert_eq!(offset(Tail { footer_at: 127, file_len: 491, ..TAIL }), 8);
    assert_eq!(offset(Tail { footer_at: 129, ..TAIL }), 8);
    assert_eq!(offset(Tail { footer_len: 299, ..TAIL }), 8);
    assert_eq!(offset(Tail { footer_at: u64::MAX, ..TAIL }), 8);
    let long = |footer_len: u32| Tail { footer_len, file_len: 128 + u64::from(footer_len) + 64, ..TAIL };
    assert!(read(&long(FOOTER_MAX)).is_ok());
    assert_eq!(offset(long(FOOTER_MAX + 1)), 8);
    for len in [0, 55, 63] {
        assert_eq!(Tail::read(&TAIL.encode()[..len], 492).unwrap_err().offset, 0);
    }
    let mut changed = TAIL.encode();
    changed[20] ^= 1;
    assert_eq!(Tail::read(&changed, 492).unwrap_err().offset, TAIL_BYTES as u64 - 8);
    changed[0] ^= 1;
    assert_eq!(Tail::read(&resealed(changed.to_vec(), END_MAGIC), 492).unwrap_err().offset, 0);
}
