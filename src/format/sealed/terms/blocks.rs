//! The blocks of an entry: five ways to store them, of which the smallest is taken. Each is anchored
//! at the last block, which the last row tells. The tables are in mod.rs.

use super::varint;

const ONE: u8 = 0;
const ALL: u8 = 1;
const RUN: u8 = 2;
const BITMAP: u8 = 3;
const RICE: u8 = 4;
const RICE_PARAMETER_MAX: u32 = 11;

/// Appends the blocks, ascending and at least one, of a segment of `total`, and returns their code.
pub(super) fn put(out: &mut Vec<u8>, blocks: &[u32], total: u32) -> u8 {
    let (&[first, ..], &[.., last]) = (blocks, blocks) else { return ONE };
    if first == last {
        return ONE;
    }
    let span = last - first + 1;
    if span as usize == blocks.len() {
        if span == total {
            return ALL;
        }
        varint::put(out, u64::from(span));
        return RUN;
    }
    let bitmap = span.div_ceil(8) as usize;
    let (parameter, rice) = best_parameter(blocks, span);
    if rice < bitmap {
        varint::put(out, rice as u64);
        put_rice(out, blocks, parameter);
        return RICE + parameter as u8;
    }
    varint::put(out, bitmap as u64);
    let start = out.len();
    out.resize(start + bitmap, 0);
    for block in blocks {
        let bit = (block - first) as usize;
        out[start + bit / 8] |= 1 << (bit % 8);
    }
    BITMAP
}

/// The parameter that needs the fewest bytes, and these. It lies near the logarithm of the mean.
fn best_parameter(blocks: &[u32], span: u32) -> (u32, usize) {
    let codes = blocks.len() as u32 - 1;
    let about = (span / codes).max(1).ilog2().min(RICE_PARAMETER_MAX);
    let bits_of = |parameter: u32| {
        let ones: u64 = between(blocks).map(|gap| u64::from(gap >> parameter)).sum();
        ones + u64::from(codes) * u64::from(1 + parameter)
    };
    (about.saturating_sub(2)..=(about + 1).min(RICE_PARAMETER_MAX))
        .map(|parameter| (parameter, bits_of(parameter).div_ceil(8) as usize))
        .min_by_key(|(_, bytes)| *bytes)
        .unwrap_or((0, usize::MAX))
}

fn between(blocks: &[u32]) -> impl Iterator<Item = u32> {
    blocks.windows(2).map(|pair| pair[1] - pair[0] - 1)
}

fn put_rice(out: &mut Vec<u8>, blocks: &[u32], parameter: u32) {
    // The lowest `filled` bits of `pending` are not in `out` yet.
    let (mut pending, mut filled) = (0u64, 0u32);
    let mut push = |value: u64, bits: u32| {
        pending |= value << filled;
        filled += bits;
        while filled >= 8 {
            out.push(pending as u8);
            pending >>= 8;
            filled -= 8;
        }
        (pending, filled)
    };
    for gap in between(blocks) {
        let mut ones = gap >> parameter;
        while ones > 0 {
            let some = ones.min(32);
            push((1 << some) - 1, some);
            ones -= some;
        }
        push(0, 1);
        push(u64::from(gap) & ((1 << parameter) - 1), parameter);
    }
    let (pending, filled) = push(0, 0);
    if filled > 0 {
        out.push(pending as u8 | (0xFF << filled) as u8);
    }
}

/// The bytes of an entry's blocks, not looked at yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawBlocks<'a> {
    code: u8,
    run: u64,
    bytes: &'a [u8],
}

impl<'a> RawBlocks<'a> {
    /// Those of one block.
    pub(super) const ONE: RawBlocks<'static> = RawBlocks { code: ONE, run: 0, bytes: &[] };

    /// Takes them off the front; `None` if they do not end there.
    #[inline]
    pub(super) fn take(code: u8, from: &mut &'a [u8]) -> Option<RawBlocks<'a>> {
        let (mut run, mut bytes) = (0, &[][..]);
        match code {
            ONE | ALL => {}
            RUN => run = varint::take(from)?,
            _ => {
                let len = usize::try_from(varint::take(from)?).ok()?;
                (bytes, *from) = from.split_at_checked(len)?;
            }
        }
        Some(RawBlocks { code, run, bytes })
    }

    /// The blocks that end with `last` in a segment of `total`, and how many they are; `None` if
    /// there are no such.
    pub(super) fn read(self, last: u32, total: u32) -> Option<(Blocks<'a>, u32)> {
        let run = |first| Some((Blocks { next: first, last, rest: Rest::Run }, last - first + 1));
        if last >= total {
            return None;
        }
        match self.code {
            ONE => run(last),
            ALL if total > 1 && last == total - 1 => run(0),
            ALL => None,
            RUN => {
                let len = u32::try_from(self.run).ok().filter(|len| *len > 1)?;
                run((last + 1).checked_sub(len)?)
            }
            BITMAP => {
                let (&lowest, &highest) = (self.bytes.first()?, self.bytes.last()?);
                let top = (self.bytes.len() as u32 - 1) * 8 + highest.checked_ilog2()?;
                let first = last.checked_sub(top).filter(|_| lowest & 1 == 1)?;
                let count = self.bytes.iter().map(|byte| byte.count_ones()).sum();
                Some((Blocks { next: first, last, rest: Rest::Bitmap { first, bytes: self.bytes } }, count))
            }
            _ => {
                let codes = Codes { bytes: self.bytes, at: 0, parameter: u32::from(self.code - RICE) };
                let (mut first, mut count, mut all) = (last, 1, codes);
                while let Some(gap) = all.next()? {
                    first = first.checked_sub(gap.checked_add(1)?)?;
                    count += 1;
                }
                (count > 1).then_some((Blocks { next: first, last, rest: Rest::Codes(codes) }, count))
            }
        }
    }
}

/// The blocks of an entry, ascending. Only blocks that the segment has: that was seen before.
#[derive(Debug, Clone)]
pub(crate) struct Blocks<'a> {
    /// Above `last` when there are no more.
    next: u32,
    last: u32,
    rest: Rest<'a>,
}

#[derive(Debug, Clone)]
enum Rest<'a> {
    Run,
    Bitmap { first: u32, bytes: &'a [u8] },
    Codes(Codes<'a>),
}

impl Iterator for Blocks<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let block = self.next;
        if block > self.last {
            return None;
        }
        self.next = match &mut self.rest {
            Rest::Run => block + 1,
            Rest::Bitmap { first, bytes } => {
                let is_set = |block: &u32| {
                    let bit = (block - *first) as usize;
                    bytes.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
                };
                (block + 1..=self.last).find(is_set).unwrap_or(self.last + 1)
            }
            Rest::Codes(codes) => match codes.next() {
                Some(Some(gap)) => block.saturating_add(gap).saturating_add(1),
                _ => self.last + 1,
            },
        };
        Some(block)
    }
}

/// Reads Rice codes.
#[derive(Debug, Clone, Copy)]
struct Codes<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
    parameter: u32,
}

impl Codes<'_> {
    /// So many bits at least [`Codes::window`] has, if there are so many.
    const WINDOW: usize = 57;

    /// The bits from `at` on, and zeros beyond the end.
    fn window(&self) -> u64 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        word >> (self.at % 8)
    }

    /// `Some(None)` at the end; `None` if the bits make no sense.
    fn next(&mut self) -> Option<Option<u32>> {
        let end = self.bytes.len() * 8;
        let mut quotient = 0;
        loop {
            let there = (end - self.at).min(Codes::WINDOW);
            let ones = (self.window().trailing_ones() as usize).min(there);
            quotient += ones as u32;
            self.at += ones;
            if self.at == end {
                // Ones that fill a byte up, or a code that was cut.
                return (quotient < 8).then_some(None);
            }
            if ones < there {
                break;
            }
        }
        self.at += 1;
        if end - self.at < self.parameter as usize {
            return None;
        }
        let low = self.window() as u32 & ((1 << self.parameter) - 1);
        self.at += self.parameter as usize;
        // A page has fewer than 2^15 bits, and the parameter is at most 11.
        Some(Some(quotient << self.parameter | low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(blocks: &[u32], total: u32) -> u8 {
        let mut bytes = Vec::new();
        let code = put(&mut bytes, blocks, total);
        let mut rest = &bytes[..];
        let raw = RawBlocks::take(code, &mut rest).unwrap();
        assert!(rest.is_empty());
        let (read, count) = raw.read(*blocks.last().unwrap(), total).unwrap();
        assert_eq!(read.collect::<Vec<_>>(), blocks);
        assert_eq!(count as usize, blocks.len());
        assert!(bytes.len() <= 1026);
        code
    }

    #[test]
    fn each_way_is_taken_where_it_is_smallest() {
        assert_eq!(there_and_back(&[7], 8), ONE);
        assert_eq!(there_and_back(&[0], 1), ONE);
        assert_eq!(there_and_back(&[0, 1], 2), ALL);
        assert_eq!(there_and_back(&[0, 1], 3), RUN);
        assert_eq!(there_and_back(&(0..8192).collect::<Vec<_>>(), 8192), ALL);
        assert_eq!(there_and_back(&(1..8192).collect::<Vec<_>>(), 8192), RUN);
        assert_eq!(there_and_back(&[0, 8191], 8192), RICE + RICE_PARAMETER_MAX as u8);
        let most: Vec<u32> = (0..8192).filter(|block| block % 17 != 3).collect();
        assert!(there_and_back(&most, 8192) >= BITMAP);
        assert_eq!(there_and_back(&(0..8192).step_by(2).collect::<Vec<_>>(), 8192), BITMAP);
        assert!(there_and_back(&(0..8192).step_by(20).collect::<Vec<_>>(), 8192) > RICE);
    }

    /// Gaps of more ones than are looked at together.
    #[test]
    fn a_long_code_comes_back() {
        for gap in [7, 8, 56, 57, 58, 64, 113, 114, 115, 500] {
            let blocks: Vec<u32> = (0..9).chain(9 + gap..15 + gap).chain([16 + gap + gap / 2]).collect();
            let mut bytes = Vec::new();
            put_rice(&mut bytes, &blocks, 0);
            let raw = RawBlocks { code: RICE, run: 0, bytes: &bytes };
            let (read, count) = raw.read(*blocks.last().unwrap(), 2_000).unwrap();
            assert_eq!((read.collect::<Vec<_>>(), count as usize), (blocks.clone(), blocks.len()), "a gap of {gap}");
        }
    }

    #[test]
    fn codes_that_no_writer_makes_are_none() {
        let read =
            |code: u8, bytes: &[u8]| RawBlocks::take(code, &mut &bytes[..])?.read(20, 21).map(|(_, count)| count);
        assert_eq!(RawBlocks::ONE.read(0, 1).map(|(_, count)| count), Some(1));
        let all = |total: u32| RawBlocks { code: ALL, ..RawBlocks::ONE }.read(total - 1, total).is_some();
        assert!(all(2) && !all(1), "all of one block");
        // Four gaps of one, and then seven ones that fill a byte up, or eight.
        assert_eq!((read(RICE, &[1, 0b0101_0101]), read(RICE, &[2, 0b0101_0101, 0b1111_1110])), (Some(5), Some(6)));
        assert_eq!(read(RICE, &[2, 0b0101_0101, 0xFF]), None);
        // Eleven bits that are not all there, of the first code or of the second.
        assert_eq!(read(RICE + 11, &[2, 0, 0]), None);
        assert_eq!((read(RICE + 11, &[1, 0]), read(RICE + 11, &[2, 0, 0b1111_0000])), (None, Some(2)));
        assert_eq!((read(RICE, &[2, 0]), read(BITMAP, &[2, 1])), (None, None), "fewer bytes than they say");
    }

    proptest! {
        #![proptest_config(crate::trials::cases(500))]

        #[test]
        fn any_blocks_come_back(
            blocks in prop::collection::btree_set(0u32..8192, 1..200),
            near in 0u32..7000,
            dense in prop::collection::btree_set(0u32..64, 1..50),
        ) {
            there_and_back(&blocks.into_iter().collect::<Vec<_>>(), 8192);
            there_and_back(&dense.into_iter().map(|block| near + block).collect::<Vec<_>>(), 7064);
        }

        #[test]
        fn any_bytes_are_blocks_of_the_segment_or_none(
            code in 0u8..16,
            bytes in prop::collection::vec(prop_oneof![Just(255u8), Just(0), any::<u8>()], 0..40),
            last in 0u32..300,
            total in 0u32..300,
        ) {
            if let Some((blocks, count)) =
                RawBlocks::take(code, &mut &bytes[..]).and_then(|raw| raw.read(last, total))
            {
                let blocks: Vec<u32> = blocks.collect();
                prop_assert!(blocks.is_sorted_by(|a, b| a < b) && last < total);
                prop_assert_eq!((blocks.len(), blocks.last()), (count as usize, Some(&last)));
            }
        }
    }
}
