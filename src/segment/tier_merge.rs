//! Making a run of lookup tiers: the term indexes of its segments and the entries of older runs, all
//! sorted by hash, are merged. What is held is a place in each of them, and the buffers of the writer.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::sealed::{SealedSegment, TermWalk};
use super::tier_file::TierFile;
use crate::error::{Corruption, Error, ErrorKind, Result};
use crate::format::leaf::Hash;
use crate::format::tier::{Covered, SEGMENTS_MAX, Templates, TierWriter, entry};

/// A part of a new run.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Segment(Arc<SealedSegment>),
    /// An older run.
    Run(Arc<TierFile>),
}

impl Part {
    fn segments(&self) -> usize {
        match self {
            Part::Segment(_) => 1,
            Part::Run(run) => run.segments().len(),
        }
    }
}

/// A place in a part.
enum Walk<'a> {
    Segment(TermWalk<'a>, u16),
    Run { run: &'a TierFile, at: u64, offset: u16 },
}

impl Walk<'_> {
    fn next(&mut self) -> Result<Option<u64>> {
        match self {
            Walk::Segment(walk, number) => Ok(walk.next_hash()?.map(|(hash, bits)| entry(hash, bits, *number))),
            Walk::Run { run, at, .. } if *at == run.entries() => Ok(None),
            Walk::Run { run, at, offset } => {
                // Entries are sorted by hash, then number; adding to all numbers changes no order.
                let entry = run.entry(*at).map_err(|bad| damaged(run, &bad))?;
                *at += 1;
                Ok(Some(entry + u64::from(*offset)))
            }
        }
    }
}

fn damaged(run: &TierFile, bad: &crate::format::Bad) -> Error {
    Corruption::new(&run.path, bad.offset, bad.expected.clone(), bad.found.clone()).into()
}

/// Merges parts that follow each other into one run whose bytes go to `put`, in pieces; returns its length. `go_on` is
/// asked now and then.
///
/// # Errors
/// `Corruption` of a part; those of `put`; `Closed` if it is not to go on.
pub(crate) fn merge(
    parts: &[Part],
    root: Hash,
    go_on: &dyn Fn() -> bool,
    put: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<u64> {
    let count: usize = parts.iter().map(Part::segments).sum();
    let (log, first) = match parts.first() {
        Some(Part::Segment(segment)) => (segment.footer.log, segment.base()),
        Some(Part::Run(run)) => (run.log(), run.first()),
        None => return Err(Error::invalid("a run of no segments")),
    };
    if count > SEGMENTS_MAX {
        return Err(Error::invalid(format!("a run of {count} segments")));
    }
    let (mut covered, mut templates) = (Vec::with_capacity(count), Templates::default());
    let mut walks = Vec::with_capacity(parts.len());
    for part in parts {
        let number = covered.len() as u16;
        match part {
            Part::Segment(segment) => {
                let (bits, entries) = segment.terms_kept()?;
                covered.push(Covered::new(segment.rows(), bits, entries));
                for template in segment.dictionary()?.templates().iter().filter(|template| template.finds()) {
                    templates.add(template, number..=number);
                }
                walks.push(Walk::Segment(segment.walk_terms()?, number));
            }
            Part::Run(run) => {
                covered.extend_from_slice(run.segments());
                templates.add_all(run.templates(), number);
                walks.push(Walk::Run { run, at: 0, offset: number });
            }
        }
    }
    let mut writer = TierWriter::new(log, first, root, &covered, &templates, put)?;
    let mut heads = BinaryHeap::with_capacity(walks.len());
    for (index, walk) in walks.iter_mut().enumerate() {
        heads.extend(walk.next()?.map(|entry| Reverse((entry, index))));
    }
    let (mut before, mut done) = (None, 0u64);
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((entry, index)) = *head;
        if before != Some(entry) {
            if before.is_some_and(|before| before > entry) {
                return Err(Error::invalid("terms that are out of order"));
            }
            writer.push(entry)?;
            before = Some(entry);
        }
        match walks.get_mut(index).map(Walk::next).transpose()?.flatten() {
            Some(next) => *head = Reverse((next, index)),
            None => drop(std::collections::binary_heap::PeekMut::pop(head)),
        }
        done += 1;
        if done.is_multiple_of(1 << 16) && !go_on() {
            return Err(Error::new(ErrorKind::Closed, "merging was stopped"));
        }
    }
    writer.finish()
}

/// Holds a run against one made anew from the term indexes of its segments: the bytes must be the same. `None` if they
/// are, else what differs.
///
/// # Errors
/// `Corruption` of a segment; `Io`.
pub(crate) fn differs(run: &TierFile, parts: &[Part], root: Hash) -> Result<Option<String>> {
    let found = run.bytes();
    let mut wrong: Option<u64> = None;
    let len = merge(parts, root, &|| true, |at, bytes| {
        let there = found.get(at as usize..).and_then(|rest| rest.get(..bytes.len())).unwrap_or_default();
        if there != bytes {
            let same = there.iter().zip(bytes).take_while(|(there, bytes)| there == bytes).count();
            let place = at + same as u64;
            wrong = Some(wrong.map_or(place, |known| known.min(place)));
        }
        Ok(())
    })?;
    let wrong = wrong.or_else(|| (len != found.len() as u64).then_some(len));
    Ok(wrong.map(|at| format!("it differs from one made anew, at byte {at}")))
}
