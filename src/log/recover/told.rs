//! What is told of the damage: each loss once, with its positions up to where the log can be read again.

use std::mem;
use std::ops::RangeInclusive;

use super::look::{Damage, Look, RawFile};
use crate::error::Corruption;
use crate::format::anchor::Anchor;
use crate::log::files;
use crate::position::Position;

/// Ends the positions of each damage before the next raw file (`bases` are their names, ascending), leaves out what
/// another damage tells already, and adds what no segment holds and nothing tells.
pub(super) fn tell(look: &mut Look, anchor: Option<&Anchor>, bases: &[Position]) {
    for mut damage in mem::take(&mut look.damage) {
        let positions = damage.corruption.positions.take();
        damage.corruption.positions = positions.map(|lost| up_to_next(&lost, bases));
        add(&mut look.damage, damage);
    }
    for (between, before) in not_held(look) {
        let (mut first, end) = (*between.start(), between.end().next());
        while first < end {
            let told = || look.damage.iter().filter_map(|damage| damage.corruption.positions.as_ref());
            if let Some(lost) = told().find(|lost| lost.contains(&first)) {
                first = lost.end().next();
                continue;
            }
            let next = told().map(|lost| *lost.start()).filter(|start| *start > first).fold(end, Position::min);
            let corruption = missing(look, anchor, before, first..=Position::new(next.get() - 1));
            look.damage.push(Damage { corruption, is_tail: false });
            first = next;
        }
    }
}

fn up_to_next(lost: &RangeInclusive<Position>, bases: &[Position]) -> RangeInclusive<Position> {
    let (first, last) = (*lost.start(), *lost.end());
    let next = bases.iter().find(|base| **base > first);
    first..=next.map_or(last, |next| last.min(Position::new(next.get() - 1)))
}

/// What two damages tell of one file ends at the same place; where it does not, the rest is still not held by any file.
fn add(told: &mut Vec<Damage>, damage: Damage) {
    let first = damage.corruption.positions.as_ref().map(|lost| *lost.start());
    let covers = |known: &&mut Damage| match (&known.corruption.positions, &first) {
        (Some(known), Some(first)) => known.contains(first),
        _ => false,
    };
    match told.iter_mut().find(covers) {
        Some(known) => known.is_tail &= damage.is_tail,
        None => told.push(damage),
    }
}

/// Positions between what the segments hold, and behind it up to where the log is proven to have reached; with the raw
/// file, by its index, that ends before them. Where the log is to be cut, it ends.
fn not_held(look: &Look) -> Vec<(RangeInclusive<Position>, Option<usize>)> {
    let sealed = look.sealed.iter().map(|file| (file.ends.footer.base, file.ends.footer.next(), None));
    let raw = raw_files(look).enumerate().map(|(index, file)| (file.base, file.next, Some(index)));
    let reach = look.proven.next();
    let mut found = Vec::new();
    let (mut expected, mut before) = (Position::new(1), None);
    for (base, next, file) in sealed.chain(raw).chain([(reach, reach, None)]) {
        if expected < base {
            found.push((expected..=Position::new(base.get() - 1), before));
        }
        if next >= expected {
            (expected, before) = (next, file);
        }
    }
    found
}

fn raw_files(look: &Look) -> impl Iterator<Item = &RawFile> {
    let end = look.cut.as_ref().map_or(usize::MAX, |plan| plan.file + 1);
    look.files.iter().chain(&look.behind).take(end)
}

/// What there is to say of positions that no segment holds: their file is missing, or the one before them ends early.
fn missing(look: &Look, anchor: Option<&Anchor>, before: Option<usize>, lost: RangeInclusive<Position>) -> Corruption {
    let (first, last) = (*lost.start(), *lost.end());
    let is_whole =
        |file: &RawFile| file.slot.is_some_and(|slot| slot.state.is_final() && slot.end_position.next() == first);
    let before = before.and_then(|index| raw_files(look).nth(index));
    let short = before.filter(|file| file.next == first && !is_whole(file));
    let is_sealed = look.sealed.iter().any(|file| file.ends.footer.base > first);
    let (path, offset) = match short {
        Some(file) => (file.path.clone(), file.end),
        None => (if is_sealed { files::sealed(first) } else { files::raw(first) }, 0),
    };
    let (expected, found) = if last == look.proven {
        let is_anchor = anchor.is_some_and(|anchor| anchor.durable == last);
        let by = if is_anchor { "ANCHOR" } else { "a slot or later frame" };
        let end = Position::new(first.get() - 1);
        (format!("events up to position {last}, which {by} says were durable"), format!("the end at position {end}"))
    } else if short.is_some() {
        (format!("frames up to position {last}"), format!("the end before position {first}"))
    } else {
        (format!("a segment from {first} on"), "no such file".to_owned())
    };
    Corruption::new(&path, offset, expected, found).at(lost)
}
