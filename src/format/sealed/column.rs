//! A column of numbers, packed so that one of them is read without decoding the others.
//!
//! | codec | body | value i |
//! |---|---|---|
//! | 0 constant | base | base |
//! | 1 packed | base, unit varint, width u8, packed | base + unit * packed[i] |
//! | 2 runs | runs varint, ends packed (width of the count), inner column | inner[runs that end at or before i] |
//! | 3 delta | base, unit varint, step zigzag varint, width u8, a width u8 for each 64 rows, starts packed, deltas packed in bytes of their own for each 64 rows | base + unit * (starts[i / 64] + the sum of the i % 64 first (step + delta)) |
//! | 4 table | values - 1 u8, inner column, index packed (width of values - 1) | inner[index[i]] |
//! | 5 first appearances | a bit for each row, inner column | 1 + set bits before i where bit i is set, else inner[clear bits before i] |
//! | 6 repeats | a bit for each row, inner column | inner[set bits up to and with i, less one] |
//!
//! base is a zigzag varint; an inner column is its codec u8 and its body. Sums wrap in 64 bits. An inner column of 6
//! may be anything but 2 and 6, any other is 0 or 1. How many values a column has is known from elsewhere.

mod pack;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::bits::{bit, get, ones, packed_bytes, take_varint, unzigzag, width_of};
use crate::format::bytes::Take;
use crate::format::{Bad, Parsed};

pub(crate) use pack::encode;

const CONSTANT: u8 = 0;
const PACKED: u8 = 1;
const RUNS: u8 = 2;
const DELTA: u8 = 3;
const TABLE: u8 = 4;
const FIRST: u8 = 5;
const REPEATS: u8 = 6;

/// Rows that share a start and a width in the delta codec.
const MINI: usize = 64;
/// Values of a column in the delta codec at most, as finding a value adds up the widths before it.
const DELTA_MAX: usize = 1024;
const TABLE_MAX: usize = 256;

/// How deep a column stands in others.
const OUTER: u8 = 0;
const IN_REPEATS: u8 = 1;
const INNERMOST: u8 = 2;

/// A column within some bytes; the bytes are given to each method again, as whoever holds both could not borrow them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ints {
    count: usize,
    base: i64,
    unit: u64,
    shape: Shape,
}

#[derive(Debug, Clone, Default)]
enum Shape {
    #[default]
    Constant,
    Packed {
        width: u8,
        at: Range<usize>,
    },
    Runs {
        width: u8,
        ends: Range<usize>,
        inner: Box<Ints>,
    },
    Delta {
        step: i64,
        width: u8,
        widths: Range<usize>,
        starts: Range<usize>,
        deltas: Range<usize>,
    },
    Table {
        width: u8,
        index: Range<usize>,
        inner: Box<Ints>,
    },
    First {
        bits: Range<usize>,
        inner: Box<Ints>,
    },
    Repeats {
        bits: Range<usize>,
        inner: Box<Ints>,
    },
}

fn slice<'a>(bytes: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    bytes.get(range.clone()).unwrap_or_default()
}

impl Ints {
    /// A column that is not there.
    pub(crate) fn zeros(count: usize) -> Ints {
        Ints { count, ..Ints::default() }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The value of all rows, where the column says so at once.
    pub(crate) fn constant(&self) -> Option<i64> {
        matches!(self.shape, Shape::Constant).then_some(self.base)
    }

    /// Reads the column that fills `range` of `bytes`; offsets in an error count from the start of `bytes`.
    pub(crate) fn parse(codec: u8, bytes: &[u8], range: Range<usize>, count: usize) -> Parsed<Ints> {
        let start = range.start;
        let body = bytes.get(range).ok_or_else(|| Bad::new(start as u64, "a column", "the end"))?;
        let mut take = Take(body);
        let end = start + body.len();
        let column = parse(codec, &mut take, end, count, OUTER);
        let at = end - take.0.len();
        match column {
            Some(column) if take.0.is_empty() => Ok(column),
            Some(_) => Err(Bad::new(at as u64, "the end of a column", "more bytes")),
            None => Err(Bad::new(at as u64, format!("a column of {count} numbers, codec {codec}"), "other bytes")),
        }
    }

    /// The value at an index below the count; what lies outside reads as some value.
    pub(crate) fn get(&self, bytes: &[u8], index: usize) -> i64 {
        let scaled = |packed: u64| self.base.wrapping_add(self.unit.wrapping_mul(packed).cast_signed());
        match &self.shape {
            Shape::Constant => self.base,
            Shape::Packed { width, at } => scaled(get(slice(bytes, at), index, *width)),
            Shape::Runs { width, ends, inner } => {
                let ends = slice(bytes, ends);
                let (mut low, mut high) = (0, inner.count.saturating_sub(1));
                while low < high {
                    let middle = low.midpoint(high);
                    match get(ends, middle, *width) <= index as u64 {
                        true => low = middle + 1,
                        false => high = middle,
                    }
                }
                inner.get(bytes, low)
            }
            Shape::Delta { step, width, widths, starts, deltas } => {
                let mini = (index / MINI).min(widths.len().saturating_sub(1));
                let widths = slice(bytes, widths);
                let before: usize = widths.iter().take(mini).map(|width| packed_bytes(MINI - 1, *width)).sum();
                let own = widths.get(mini).copied().unwrap_or_default();
                let deltas = slice(bytes, deltas).get(before..).unwrap_or_default();
                let steps = index % MINI;
                let sum = (0..steps)
                    .fold(get(slice(bytes, starts), mini, *width), |sum, at| sum.wrapping_add(get(deltas, at, own)));
                scaled(sum.wrapping_add(step.cast_unsigned().wrapping_mul(steps as u64)))
            }
            Shape::Table { width, index: indices, inner } => {
                inner.get(bytes, get(slice(bytes, indices), index, *width) as usize)
            }
            Shape::First { bits, inner } => {
                let bits = slice(bytes, bits);
                let new = ones(bits, index);
                if bit(bits, index) { 1 + new as i64 } else { inner.get(bytes, index - new.min(index)) }
            }
            Shape::Repeats { bits, inner } => inner.get(bytes, ones(slice(bytes, bits), index + 1).saturating_sub(1)),
        }
    }

    /// Replaces the contents of `out` by all values.
    pub(crate) fn unpack(&self, bytes: &[u8], out: &mut Vec<i64>) {
        out.clear();
        self.append(bytes, out);
    }

    fn append(&self, bytes: &[u8], out: &mut Vec<i64>) {
        let scaled = |packed: u64| self.base.wrapping_add(self.unit.wrapping_mul(packed).cast_signed());
        let begin = out.len();
        match &self.shape {
            Shape::Constant => out.resize(begin + self.count, self.base),
            Shape::Packed { width, at } => {
                let at = slice(bytes, at);
                out.extend((0..self.count).map(|index| scaled(get(at, index, *width))));
            }
            Shape::Runs { width, ends, inner } => {
                let ends = slice(bytes, ends);
                for run in 0..inner.count {
                    let end = match run + 1 == inner.count {
                        true => self.count,
                        false => (get(ends, run, *width) as usize).min(self.count),
                    };
                    out.resize(out.len().max(begin + end), inner.get(bytes, run));
                }
            }
            Shape::Delta { step, width, widths, starts, deltas } => {
                let (starts, mut deltas) = (slice(bytes, starts), slice(bytes, deltas));
                let mut left = self.count;
                for (mini, own) in slice(bytes, widths).iter().enumerate() {
                    let mut sum = get(starts, mini, *width);
                    out.push(scaled(sum));
                    let steps = left.min(MINI) - 1;
                    out.extend((0..steps).map(|at| {
                        sum = sum.wrapping_add(get(deltas, at, *own)).wrapping_add(step.cast_unsigned());
                        scaled(sum)
                    }));
                    deltas = deltas.get(packed_bytes(steps, *own)..).unwrap_or_default();
                    left -= steps + 1;
                }
            }
            Shape::Table { width, index, inner } => {
                let mut values = [0i64; TABLE_MAX];
                values.iter_mut().enumerate().take(inner.count).for_each(|(at, value)| *value = inner.get(bytes, at));
                let index = slice(bytes, index);
                // Indices have eight bits at most.
                out.extend((0..self.count).map(|at| values[get(index, at, *width) as usize % TABLE_MAX]));
            }
            Shape::First { bits, inner } => {
                let bits = slice(bytes, bits);
                let (mut new, mut old) = (0i64, Vec::new());
                inner.append(bytes, &mut old);
                let mut old = old.into_iter();
                out.extend((0..self.count).map(|index| match bit(bits, index) {
                    true => {
                        new += 1;
                        new
                    }
                    false => old.next().unwrap_or_default(),
                }));
            }
            Shape::Repeats { bits, inner } => {
                let bits = slice(bytes, bits);
                let mut values = Vec::new();
                inner.append(bytes, &mut values);
                let mut values = values.into_iter();
                let mut value = inner.get(bytes, 0);
                out.extend((0..self.count).map(|index| {
                    if bit(bits, index) {
                        value = values.next().unwrap_or_default();
                    }
                    value
                }));
            }
        }
    }
}

/// Reads a column from the front; `end` is where the bytes in hand end.
fn parse(codec: u8, take: &mut Take<'_>, end: usize, count: usize, depth: u8) -> Option<Ints> {
    let inner_column = |take: &mut Take<'_>, count: usize, depth: u8| -> Option<Box<Ints>> {
        let codec = take.u8()?;
        parse(codec, take, end, count, depth).map(Box::new)
    };
    let range = |take: &mut Take<'_>, len: usize| {
        let at = end - take.0.len();
        take.slice(len).map(|_| at..at + len)
    };
    let width = |take: &mut Take<'_>| take.u8().filter(|width| *width <= 64);
    let allowed = match codec {
        CONSTANT | PACKED => true,
        RUNS | REPEATS => depth == OUTER,
        DELTA | TABLE | FIRST => depth <= IN_REPEATS,
        _ => false,
    };
    if !allowed {
        return None;
    }
    let (mut base, mut unit) = (0, 0);
    if matches!(codec, CONSTANT | PACKED | DELTA) {
        base = unzigzag(take_varint(take)?);
    }
    if matches!(codec, PACKED | DELTA) {
        unit = take_varint(take).filter(|unit| *unit > 0)?;
    }
    let shape = match codec {
        CONSTANT => Shape::Constant,
        PACKED => {
            let width = width(take)?;
            Shape::Packed { width, at: range(take, packed_bytes(count, width))? }
        }
        RUNS => {
            let runs = usize::try_from(take_varint(take)?).ok().filter(|runs| (1..=count).contains(runs))?;
            let width = width_of(count as u64);
            let at = end - take.0.len();
            let ends = take.slice(packed_bytes(runs - 1, width))?;
            let mut last = 0;
            for run in 0..runs - 1 {
                let end = get(ends, run, width);
                if end <= last || end >= count as u64 {
                    return None;
                }
                last = end;
            }
            Shape::Runs { width, ends: at..at + ends.len(), inner: inner_column(take, runs, INNERMOST)? }
        }
        DELTA => {
            if count > DELTA_MAX {
                return None;
            }
            let step = unzigzag(take_varint(take)?);
            let width = width(take)?;
            let minis = count.div_ceil(MINI);
            let at = end - take.0.len();
            let widths = take.slice(minis)?;
            let mut deltas = 0;
            for (mini, width) in widths.iter().enumerate() {
                if *width > 64 {
                    return None;
                }
                deltas += packed_bytes((count - mini * MINI).min(MINI) - 1, *width);
            }
            let starts = range(take, packed_bytes(minis, width))?;
            Shape::Delta { step, width, widths: at..at + minis, starts, deltas: range(take, deltas)? }
        }
        TABLE => {
            let values = 1 + usize::from(take.u8()?);
            let inner = inner_column(take, values, INNERMOST)?;
            let width = width_of(values as u64 - 1);
            Shape::Table { width, index: range(take, packed_bytes(count, width))?, inner }
        }
        _ => {
            let at = end - take.0.len();
            let bits = take.slice(count.div_ceil(8))?;
            let set = ones(bits, count);
            let bits = at..at + bits.len();
            match codec {
                FIRST => Shape::First { bits, inner: inner_column(take, count - set, INNERMOST)? },
                _ => Shape::Repeats { bits, inner: inner_column(take, set, IN_REPEATS)? },
            }
        }
    };
    Some(Ints { count, base, unit, shape })
}
