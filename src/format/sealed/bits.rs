//! Numbers of any width from 0 to 64 bits, one behind the other, and variable-length numbers.
//!
//! ```text
//! packed   value i of width w: bits i * w to i * w + w - 1; bit b is bit b % 8 (the least is 0) of byte b / 8;
//!          zero bits up to the next byte
//! varint   u64, seven bits a byte, the lowest first; all bytes but the last have their high bit set
//! zigzag   i64 n as the u64 (n << 1) ^ (n >> 63), so that small numbers of either sign are short
//! ```

use crate::format::bytes::{Take, u64_at};

/// Bits that a number needs.
pub(crate) fn width_of(number: u64) -> u8 {
    (u64::BITS - number.leading_zeros()) as u8
}

/// Bytes of so many numbers of a width. Counts are below 2^32, so nothing overflows.
pub(crate) fn packed_bytes(count: usize, width: u8) -> usize {
    (count as u64 * u64::from(width)).div_ceil(8) as usize
}

/// Appends numbers, each of which has at most `width` bits.
pub(crate) fn pack(numbers: impl IntoIterator<Item = u64>, width: u8, out: &mut Vec<u8>) {
    let (mut word, mut used) = (0u128, 0u32);
    for number in numbers {
        debug_assert!(width_of(number) <= width, "{number} fits {width} bits");
        word |= u128::from(number) << used;
        used += u32::from(width);
        while used >= 8 {
            out.push(word as u8);
            word >>= 8;
            used -= 8;
        }
    }
    if used > 0 {
        out.push(word as u8);
    }
}

fn mask(width: u8) -> u64 {
    if width >= 64 { u64::MAX } else { (1 << width) - 1 }
}

/// The number at an index; what lies beyond the bytes reads as zero bits.
#[inline]
pub(crate) fn get(bytes: &[u8], index: usize, width: u8) -> u64 {
    let bit = index as u64 * u64::from(width);
    let (at, shift) = ((bit / 8) as usize, (bit % 8) as u32);
    match (u64_at(bytes, at), bytes.get(at.wrapping_add(8))) {
        (Some(low), _) if shift + u32::from(width) <= 64 => (low >> shift) & mask(width),
        // More than 64 bits are touched, so the shift is at least one.
        (Some(low), Some(high)) => ((low >> shift) | (u64::from(*high) << (64 - shift))) & mask(width),
        _ => {
            let mut last = [0u8; 16];
            let rest = bytes.get(at..).unwrap_or_default();
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            ((u128::from_le_bytes(last) >> shift) as u64) & mask(width)
        }
    }
}

/// Whether a bit is set.
#[inline]
pub(crate) fn bit(bytes: &[u8], index: usize) -> bool {
    bytes.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// How many of the first `bits` bits are set.
pub(crate) fn ones(bytes: &[u8], bits: usize) -> usize {
    let (whole, rest) = bytes.split_at(bytes.len().min(bits / 8));
    let (words, odd) = whole.as_chunks::<8>();
    let last = rest.first().map_or(0, |byte| (byte & mask((bits % 8) as u8) as u8).count_ones());
    let words: u32 = words.iter().map(|word| u64::from_le_bytes(*word).count_ones()).sum();
    let odd: u32 = odd.iter().map(|byte| byte.count_ones()).sum();
    (words + odd + last) as usize
}

pub(crate) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

pub(crate) fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

pub(crate) fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// `None`: cut off, or more than 64 bits.
pub(crate) fn take_varint(bytes: &mut Take<'_>) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes.u8()?;
        let bits = u64::from(byte & 0x7f);
        if (bits << shift) >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width_come_back() {
        for width in 0..=64u8 {
            let numbers: Vec<u64> = (0..131u64)
                .map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) & mask(width))
                .chain([0, mask(width), 1 & mask(width)])
                .collect();
            let mut out = vec![0xAA];
            pack(numbers.iter().copied(), width, &mut out);
            assert_eq!(out.len() - 1, packed_bytes(numbers.len(), width));
            for (index, number) in numbers.iter().enumerate() {
                assert_eq!(get(&out[1..], index, width), *number, "{index} of width {width}");
            }
        }
        assert_eq!(get(&[], 7, 64), 0);
        assert_eq!(get(&[0xff; 3], usize::MAX >> 8, 64), 0);
    }

    #[test]
    fn set_bits_are_counted() {
        let bytes: Vec<u8> = (0..41u8).map(|n| n.wrapping_mul(151)).collect();
        for bits in 0..=bytes.len() * 8 {
            assert_eq!(ones(&bytes, bits), (0..bits).filter(|index| bit(&bytes, *index)).count());
        }
        assert_eq!(ones(&bytes, 10_000), ones(&bytes, bytes.len() * 8));
    }

    #[test]
    fn varints_and_zigzags_come_back() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(number, &mut out);
            let mut take = Take(&out);
            assert_eq!((take_varint(&mut take), take.0.len()), (Some(number), 0));
            assert_eq!(take_varint(&mut Take(&out[..out.len() - 1])), None);
            assert_eq!(zigzag(unzigzag(number)), number);
        }
        assert_eq!([0, -1, 1, i64::MAX, i64::MIN].map(zigzag), [0, 1, 2, u64::MAX - 1, u64::MAX]);
        assert_eq!(take_varint(&mut Take(&[0xff; 11])), None);
        assert_eq!(take_varint(&mut Take(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2])), None);
    }
}
