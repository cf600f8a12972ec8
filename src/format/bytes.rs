//! Little-endian numbers in byte slices: reading that cannot go out of bounds, and a small writer.

/// Reads a field of `N` bytes at `at`.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// The last number that something which is counted on may have: a file that says more is damaged or was made up, and one
/// more must not go round to zero.
pub(crate) const COUNTER_MAX: u64 = u64::MAX >> 1;

/// Reads a number that whoever writes next counts on from; `None` also if it is above [`COUNTER_MAX`].
pub(crate) fn counter_at(bytes: &[u8], at: usize) -> Option<u64> {
    u64_at(bytes, at).filter(|number| *number <= COUNTER_MAX)
}

pub(crate) fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    array(bytes, at).map(i64::from_le_bytes)
}

/// Puts fields at fixed places of a fixed page. The places are constants of the layout, so a
/// field that does not fit is a mistake of ours.
pub(crate) struct Put<'a>(pub(crate) &'a mut [u8]);

impl Put<'_> {
    pub(crate) fn bytes(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn u16(&mut self, at: usize, value: u16) -> &mut Self {
        self.bytes(at, &value.to_le_bytes())
    }

    pub(crate) fn u32(&mut self, at: usize, value: u32) -> &mut Self {
        self.bytes(at, &value.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, at: usize, value: u64) -> &mut Self {
        self.bytes(at, &value.to_le_bytes())
    }

    pub(crate) fn i64(&mut self, at: usize, value: i64) -> &mut Self {
        self.bytes(at, &value.to_le_bytes())
    }
}

/// Takes fields off the front of a slice, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Take<'a>(pub(crate) &'a [u8]);

impl<'a> Take<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn slice(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// As [`counter_at`].
    pub(crate) fn counter(&mut self) -> Option<u64> {
        self.u64().filter(|number| *number <= COUNTER_MAX)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }
}

/// Rounds up to a multiple of `unit`, a power of two.
pub(crate) const fn align_up(value: u64, unit: u64) -> u64 {
    (value + unit - 1) & !(unit - 1)
}

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (prefix, words, suffix) = (bytes.len() % 16, bytes.chunks_exact(16), 0u8);
    let tail = &bytes[bytes.len() - prefix..];
    words.map(|word| word.iter().fold(0u8, |sum, byte| sum | byte)).all(|sum| sum == 0)
        && tail.iter().fold(suffix, |sum, byte| sum | byte) == 0
}

#[cfg(test)]
mod tests {
    use super::super::anchor::Anchor;
    use super::super::frame::{FrameHeader, HEADER_BYTES, HeaderRead, Kind};
    use super::super::header::{Mode, SegmentHeader};
    use super::super::leaf::Tree;
    use super::super::slot::{Slot, State};
    use super::{COUNTER_MAX, Take, counter_at, is_zero};
    use crate::event::LogId;
    use crate::limits;
    use crate::position::Position;
    use crate::time::Timestamp;

    #[test]
    fn zeros_are_zeros_wherever_the_others_might_stand() {
        for len in 0..70 {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes), "{len}");
            for at in 0..len {
                bytes[at] = 1;
                assert!(!is_zero(&bytes), "{at} of {len}");
                // Two that are equal do not make up for each other.
                bytes[len - 1] = 1;
                assert!(!is_zero(&bytes), "{at} of {len}");
                (bytes[at], bytes[len - 1]) = (0, 0);
            }
        }
    }

    #[test]
    fn a_number_that_is_counted_on_ends_below_the_top_bit() {
        for (number, found) in [(0, Some(0)), (7, Some(7)), (COUNTER_MAX, Some((1 << 63) - 1)), (COUNTER_MAX + 1, None)]
        {
            let bytes = u64::to_le_bytes(number);
            assert_eq!((counter_at(&bytes, 0), Take(&bytes).counter()), (found, found));
        }
    }

    fn anchor(seq: u64, epoch: u64) -> bool {
        let tree = Tree::from_peaks(0, Vec::new()).unwrap();
        let (newest_base, durable) = (Position::new(1), Position::ORIGIN);
        let anchor = Anchor {
            seq,
            log: LogId([1; 16]),
            epoch,
            newest_base,
            durable,
            created_at: Timestamp::from_nanos(1),
            tree,
        };
        Anchor::read(&anchor.encode()[..], anchor.offset()).valid() == Some(anchor)
    }

    fn slot(seq: u64, epoch: u64, group_seq: u64) -> bool {
        let slot = Slot {
            seq,
            log: LogId([1; 16]),
            epoch,
            base: Position::new(1),
            state: State::Idle,
            end_offset: 0,
            end_position: Position::ORIGIN,
            last_header_check: 0,
            group_seq,
            recorded_at: Timestamp::from_nanos(1),
        };
        Slot::read(&slot.encode(7)[..], 7, slot.offset()).valid() == Some(slot)
    }

    fn header(epoch: u64) -> bool {
        let header = SegmentHeader {
            mode: Mode::Synced,
            log: LogId([1; 16]),
            base: Position::new(1),
            epoch,
            salt: 7,
            created_at: Timestamp::from_nanos(1),
            segment_bytes: limits::SEGMENT_BYTES_MIN,
        };
        SegmentHeader::read(&header.encode()[..]).valid() == Some(header)
    }

    fn frame(group_seq: u64) -> bool {
        let header = FrameHeader {
            kind: Kind::Events,
            flags: 0,
            body_len: 0,
            count: 1,
            first: Position::new(1),
            durable: Position::ORIGIN,
            recorded_at: Timestamp::from_nanos(1),
            group_seq,
            prelude_crc: 0,
            table_crc: 0,
            check: 0,
        };
        let mut bytes = [0; HEADER_BYTES];
        header.encode(&mut bytes, 7, 0);
        matches!(FrameHeader::read(&bytes, 7, 0), HeaderRead::Valid(read) if read.group_seq == group_seq)
    }

    #[test]
    fn what_cannot_be_counted_on_is_not_valid() {
        let (last, beyond) = (COUNTER_MAX, COUNTER_MAX + 1);
        assert!(anchor(last, last) && slot(last, last, last) && header(last) && frame(last));
        assert!(!anchor(beyond, 1) && !anchor(1, beyond));
        assert!(!slot(beyond, 1, 1) && !slot(1, beyond, 1) && !slot(1, 1, beyond));
        assert!(!header(beyond) && !frame(beyond));
    }
}
