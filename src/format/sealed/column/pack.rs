//! Writing a column: every codec is tried, the smallest one is taken.

use super::{
    CONSTANT, DELTA, DELTA_MAX, FIRST, IN_REPEATS, INNERMOST, MINI, OUTER, PACKED, REPEATS, RUNS, TABLE, TABLE_MAX,
};
use crate::format::sealed::bits::{pack, put_varint, width_of, zigzag};

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

pub(super) fn packed(values: &[i64], out: &mut Vec<u8>) {
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
pub(super) fn delta(values: &[i64]) -> Option<Vec<u8>> {
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

pub(super) fn table(values: &[i64]) -> Option<Vec<u8>> {
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
pub(super) fn first_appearances(values: &[i64]) -> Option<Vec<u8>> {
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

pub(super) fn runs(values: &[i64]) -> Option<Vec<u8>> {
    let (starts, inner_values): (Vec<usize>, Vec<i64>) = changes(values).unzip();
    let mut out = Vec::new();
    put_varint(starts.len() as u64, &mut out);
    pack(starts.iter().skip(1).map(|at| *at as u64), width_of(values.len() as u64), &mut out);
    inner(&inner_values, INNERMOST, &mut out);
    Some(out)
}

pub(super) fn repeats(values: &[i64]) -> Option<Vec<u8>> {
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
