//! Numbers in as many bytes as they need: seven bits a byte, the lowest first; the top bit says that
//! another byte follows.

/// Bytes that [`put`] writes.
pub(super) fn len(value: u64) -> usize {
    value.checked_ilog2().map_or(1, |log| log as usize / 7 + 1)
}

#[inline]
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number off the front; `None` if it does not end or is above `u64::MAX`.
#[inline]
pub(super) fn take(from: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = from.split_first()?;
    *from = rest;
    if first < 0x80 {
        return Some(u64::from(first));
    }
    let mut value = u64::from(first & 0x7F);
    for shift in (7..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_none_is_too_long() {
        let numbers = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]).chain([u64::MAX]);
        for number in numbers {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            assert_eq!(bytes.len(), len(number));
            for end in 0..bytes.len() {
                assert_eq!(take(&mut &bytes[..end]), None);
            }
            bytes.push(7);
            let mut rest = &bytes[..];
            assert_eq!((take(&mut rest), rest), (Some(number), &[7u8][..]));
        }
        assert_eq!(take(&mut &[0xFF; 20][..]), None);
        let above = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2];
        assert_eq!(take(&mut &above[..]), None);
    }
}
