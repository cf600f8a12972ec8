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

use std::ops::Range;

use super::bits::{bit, get, ones, pack, packed_bytes, put_varint, take_varint, unzigzag, width_of, zigzag};
use crate::format::bytes::Take;
use crate::format::{Bad, Parsed};

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

/// Appends a column in whichever codec makes it smallest, and returns the codec.
pub(crate) fn encode(values: &[i64], out: &mut Vec<u8>) -> u8 {
    let (codec, body) = smallest(values, OUTER);
    out.extend_from_slice(&body);
    codec
}

fn inner(values: &[i64], depth: u8, out: &mut Vec<u8>) {
    let (codec, body) = smallest(values, depth);
    out.push(codec);
    out.extend_from_slice(&body);
}

fn smallest(values: &[i64], depth: u8) -> (u8, Vec<u8>) {
    let first = values.first().copied().unwrap_or_default();
    let mut body = Vec::new();
    if values.iter().all(|value| *value == first) {
        put_varint(zigzag(first), &mut body);
        return (CONSTANT, body);
    }
    packed(values, &mut body);
    let mut best = (PACKED, body);
    let mut offer = |codec: u8, body: Option<Vec<u8>>| {
        // A slower codec has to save something.
        if let Some(body) = body
            && body.len() + body.len() / 64 < best.1.len()
        {
            best = (codec, body);
        }
    };
    if depth <= IN_REPEATS {
        offer(TABLE, table(values));
        offer(FIRST, first_appearances(values));
        offer(DELTA, delta(values));
    }
    if depth == OUTER {
        offer(RUNS, runs(values));
        offer(REPEATS, repeats(values));
    }
    best
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn packed(values: &[i64], out: &mut Vec<u8>) {
    let base = values.iter().copied().min().unwrap_or_default();
    // The difference of any two i64 fits a u64.
    let over = |value: &i64| value.wrapping_sub(base).cast_unsigned();
    let unit = values.iter().fold(0, |unit, value| if unit == 1 { 1 } else { gcd(over(value), unit) }).max(1);
    let width = values.iter().map(|value| width_of(over(value) / unit)).max().unwrap_or_default();
    put_varint(zigzag(base), out);
    put_varint(unit, out);
    out.push(width);
    pack(values.iter().map(|value| over(value) / unit), width, out);
}

/// `None` where differences do not fit an i64: sums that wrap would not be multiples of the unit.
fn delta(values: &[i64]) -> Option<Vec<u8>> {
    let base = values.iter().copied().min()?;
    values.iter().copied().max()?.checked_sub(base)?;
    if values.len() > DELTA_MAX {
        return None;
    }
    let over = |value: i64| (value - base).cast_unsigned();
    let steps = values.windows(2).map(|pair| pair[1] - pair[0]);
    let unit = steps.clone().fold(0, |unit, step| if unit == 1 { 1 } else { gcd(step.unsigned_abs(), unit) }).max(1);
    // Of a range that fits an i64, a unit does too.
    let least = steps.min().unwrap_or_default() / unit.cast_signed();
    let deltas_of = |mini: &[i64]| -> Vec<u64> {
        let packed = |pair: &[i64]| ((pair[1] - pair[0]) / unit.cast_signed()).wrapping_sub(least).cast_unsigned();
        mini.windows(2).map(packed).collect()
    };
    let minis: Vec<Vec<u64>> = values.chunks(MINI).map(deltas_of).collect();
    let widths = minis.iter().map(|mini| mini.iter().copied().map(width_of).max().unwrap_or_default());
    let starts = values.chunks(MINI).map(|mini| over(mini[0]) / unit);
    let width = starts.clone().map(width_of).max().unwrap_or_default();

    let mut out = Vec::new();
    put_varint(zigzag(base), &mut out);
    put_varint(unit, &mut out);
    put_varint(zigzag(least), &mut out);
    out.push(width);
    out.extend(widths.clone());
    pack(starts, width, &mut out);
    minis.iter().zip(widths).for_each(|(mini, width)| pack(mini.iter().copied(), width, &mut out));
    Some(out)
}

fn table(values: &[i64]) -> Option<Vec<u8>> {
    let mut known = values.to_vec();
    known.sort_unstable();
    known.dedup();
    if known.len() > TABLE_MAX.min(values.len() / 2) {
        return None;
    }
    let mut out = vec![(known.len() - 1) as u8];
    inner(&known, INNERMOST, &mut out);
    let index = values.iter().map(|value| known.binary_search(value).unwrap_or_default() as u64);
    pack(index, width_of(known.len() as u64 - 1), &mut out);
    Some(out)
}

/// `None` where no value is one more than all before it.
fn first_appearances(values: &[i64]) -> Option<Vec<u8>> {
    let mut new = 0;
    let mut old = Vec::new();
    let bits: Vec<u64> = values
        .iter()
        .map(|value| {
            let is_new = *value == new + 1;
            match is_new {
                true => new += 1,
                false => old.push(*value),
            }
            u64::from(is_new)
        })
        .collect();
    if new == 0 {
        return None;
    }
    let mut out = Vec::new();
    pack(bits, 1, &mut out);
    inner(&old, INNERMOST, &mut out);
    Some(out)
}

/// The values that differ from the one before, and where.
fn changes(values: &[i64]) -> impl Iterator<Item = (usize, i64)> {
    values
        .iter()
        .enumerate()
        .filter(|(at, value)| *at == 0 || values[at - 1] != **value)
        .map(|(at, value)| (at, *value))
}

fn runs(values: &[i64]) -> Option<Vec<u8>> {
    let (starts, inner_values): (Vec<usize>, Vec<i64>) = changes(values).unzip();
    let mut out = Vec::new();
    put_varint(starts.len() as u64, &mut out);
    pack(starts.iter().skip(1).map(|at| *at as u64), width_of(values.len() as u64), &mut out);
    inner(&inner_values, INNERMOST, &mut out);
    Some(out)
}

fn repeats(values: &[i64]) -> Option<Vec<u8>> {
    let (starts, inner_values): (Vec<usize>, Vec<i64>) = changes(values).unzip();
    if starts.len() > values.len() / 8 * 7 {
        return None;
    }
    let mut bits = vec![0u64; values.len()];
    starts.iter().for_each(|at| bits[*at] = 1);
    let mut out = Vec::new();
    pack(bits, 1, &mut out);
    inner(&inner_values, IN_REPEATS, &mut out);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse_all(codec: u8, body: &[u8], count: usize) -> Parsed<Ints> {
        Ints::parse(codec, body, 0..body.len(), count)
    }

    fn check(codec: u8, body: &[u8], values: &[i64]) {
        // Anywhere in a larger buffer.
        let bytes = [&[0x55; 7], body, &[0xAA; 3]].concat();
        let column = Ints::parse(codec, &bytes, 7..7 + body.len(), values.len()).unwrap();
        let mut all = Vec::new();
        column.unpack(&bytes, &mut all);
        assert_eq!(all, values, "codec {codec}");
        for (index, value) in values.iter().enumerate() {
            assert_eq!(column.get(&bytes, index), *value, "codec {codec}, {index}");
        }
        for cut in 0..body.len() {
            assert!(parse_all(codec, &body[..cut], values.len()).is_err(), "codec {codec} cut to {cut}");
        }
    }

    fn check_every(values: &[i64]) {
        let mut body = Vec::new();
        let codec = encode(values, &mut body);
        check(codec, &body, values);
        if values.is_empty() {
            return;
        }
        let mut body = Vec::new();
        packed(values, &mut body);
        check(PACKED, &body, values);
        for (codec, body) in [
            (RUNS, runs(values)),
            (DELTA, delta(values)),
            (TABLE, table(values)),
            (FIRST, first_appearances(values)),
            (REPEATS, repeats(values)),
        ] {
            if let Some(body) = body {
                check(codec, &body, values);
            }
        }
    }

    #[test]
    fn the_edges_come_back() {
        check_every(&[]);
        check_every(&[i64::MIN]);
        check_every(&[i64::MIN, i64::MAX]);
        check_every(&[i64::MAX, i64::MIN, 0, -1, 1, i64::MAX]);
        check_every(&[i64::MIN, 0]);
        check_every(&[i64::MIN, -1]);
        check_every(&[0, i64::MAX]);
        check_every(&[0, i64::MAX, 0, i64::MAX]);
        check_every(&(1..=1024).collect::<Vec<_>>());
        check_every(&(0..1024).map(|n| n * 1_000_000_000 + 1_700_000_000_000_000_000).collect::<Vec<_>>());
        check_every(&(0..1024).map(|n| n / 100).collect::<Vec<_>>());
        check_every(&(0..5000).map(|n| n % 7 * 12).collect::<Vec<_>>());
    }

    #[test]
    fn a_column_takes_the_codec_that_suits_it() {
        let codec = |values: &[i64]| {
            let mut out = Vec::new();
            (encode(values, &mut out), out.len())
        };
        assert_eq!(codec(&[5; 1024]), (CONSTANT, 1));
        assert_eq!(codec(&(1..=1024).collect::<Vec<_>>()).0, DELTA);
        let times: Vec<i64> = (0..1024).map(|n| 1_700_000_000_000_000_000 + n * n * 1_000_000).collect();
        assert_eq!(codec(&times).0, DELTA);
        let scattered: Vec<i64> = (0..1024).map(|n| n * 7919 % 1021).collect();
        assert_eq!(codec(&scattered).0, PACKED);
        let few: Vec<i64> = (0..1024).map(|n| [35, 38, 108][(n * n * 31 + n * 7) % 1021 % 3]).collect();
        assert_eq!(codec(&few).0, TABLE);
        let batches: Vec<i64> = (0..1024).map(|n| n / 500 * 123_456_789).collect();
        assert_eq!(codec(&batches).0, RUNS);
        let subjects: Vec<i64> =
            (0..1024).map(|n| if n % 2 == 0 { n / 2 + 1 } else { n * 7919 % 1021 % (n / 2 + 1) }).collect();
        assert_eq!(codec(&subjects).0, FIRST);
        let bursts: Vec<i64> = (0..1024).map(|n| n / 3 * 7919 % 1021).collect();
        assert_eq!(codec(&bursts).0, REPEATS);
    }

    #[test]
    fn columns_of_any_bytes_are_errors_or_some_values() {
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        let mut out = Vec::new();
        for round in 0..60_000usize {
            let bytes: Vec<u8> =
                (0..round % 40).map(|_| if random() % 3 == 0 { random() } else { random() % 8 }).collect();
            let count = usize::from(random()) * (round % 5);
            if let Ok(column) = parse_all(random() % 8, &bytes, count) {
                column.unpack(&bytes, &mut out);
                assert_eq!(out.len(), count);
                for index in [0, count / 2, count, count + 1, usize::MAX >> 8] {
                    column.get(&bytes, index);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_numbers_come_back(values in prop::collection::vec(any::<i64>(), 0..200)) {
            check_every(&values);
        }

        #[test]
        fn close_numbers_come_back(base in any::<i64>(), unit in 1i64..1_000_000_000, values in prop::collection::vec(0i64..50, 0..1024)) {
            let values: Vec<i64> = values.iter().map(|value| base.wrapping_add(value * unit)).collect();
            let mut body = Vec::new();
            let codec = encode(&values, &mut body);
            let column = parse_all(codec, &body, values.len()).unwrap();
            let mut all = Vec::new();
            column.unpack(&body, &mut all);
            prop_assert_eq!(&all, &values);
            for (index, value) in values.iter().enumerate() {
                prop_assert_eq!(column.get(&body, index), *value);
            }
        }
    }
}
