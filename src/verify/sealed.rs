//! Checking a sealed segment: every byte of the file lies in a part that is checked, every event is
//! hashed, and what is derived from the events is derived again and compared.

use std::ops::{ControlFlow, Range};

use sha2::{Digest, Sha256};

use super::Work;
use crate::error::{Corruption, Error, ErrorKind, Result};
use crate::format::sealed::BLOCK_ROWS;
use crate::format::sealed::blocks::type_bit;
use crate::format::sealed::envelope::{HEADER_BYTES, TAIL_BYTES};
use crate::format::term::Dimension;
use crate::report::Progress;
use crate::segment::seal::RowTerms;
use crate::segment::sealed::SealedSegment;

impl Work<'_> {
    pub(super) fn sealed(
        &mut self,
        segment: &SealedSegment,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        self.found.files += 1;
        self.found.bytes += segment.file_bytes();
        let base_bytes = self.done.done_bytes;
        if self.tree.size() + 1 == segment.base().get() && self.tree != segment.footer.before {
            let bad = Corruption::new(&segment.path, 0, "the tree over all events before the segment", "another tree");
            self.damage(bad.at(segment.base()..=segment.base()));
        }
        let good = self.parts(segment)?;
        let mut terms = good.then(|| RowTerms::new(self.log.hasher));
        let mut parts: Vec<Range<u64>> = segment.places();
        for number in 0..segment.footer.blocks {
            match self.block(segment, number, &mut terms, &mut parts) {
                Ok(()) => {}
                Err(error) => {
                    terms = None;
                    self.meet(error)?;
                }
            }
            let share = u64::from(number + 1) * segment.file_bytes() / u64::from(segment.footer.blocks);
            self.done.done_bytes = base_bytes + share;
            if progress(self.done).is_break() {
                return Err(Error::new(ErrorKind::Closed, "the check was stopped"));
            }
        }
        self.found.events += self.done.events - self.found.events;
        let Some(terms) = terms else { return Ok(()) };
        if self.tree.size() + 1 == segment.next().get() && self.tree != segment.footer.after {
            let bad = Corruption::new(&segment.path, 0, "the tree over all events of the segment", "another tree");
            let last = crate::position::Position::new(segment.next().get() - 1);
            self.damage(bad.at(segment.base()..=last));
        }
        if let Err(error) = segment.check_terms_are(terms) {
            self.meet(error)?;
        }
        self.tiling(segment, parts);
        Ok(())
    }

    /// Damage is noted; anything else ends the check.
    fn meet(&mut self, error: Error) -> Result<()> {
        match error.corruption() {
            Some(corruption) => {
                self.damage(corruption.clone());
                Ok(())
            }
            None => Err(error),
        }
    }

    /// Everything that is no block; whether all of it is good.
    fn parts(&mut self, segment: &SealedSegment) -> Result<bool> {
        match segment.check_parts() {
            Ok(()) => Ok(true),
            Err(error) => self.meet(error).map(|()| false),
        }
    }

    fn block(
        &mut self,
        segment: &SealedSegment,
        number: u32,
        terms: &mut Option<RowTerms>,
        parts: &mut Vec<Range<u64>>,
    ) -> Result<()> {
        let entry = segment.block_entry(number)?;
        parts.push(entry.head_at..entry.head_at + u64::from(entry.head_len));
        let block = segment.read_block(number)?;
        for page in (0..block.page_count()).filter_map(|page| block.page(page)) {
            parts.push(page.offset..page.offset + u64::from(page.stored));
        }
        let dictionary = segment.dictionary()?;
        let first = number * BLOCK_ROWS;
        let end = first + segment.rows_of_block(number);
        let (mut recorded, mut occurred, mut types) = ((i64::MAX, i64::MIN), (i64::MAX, i64::MIN), 0);
        let mut row = first;
        segment.for_each_preimage(first, &mut |found, preimage| {
            let event = &found.event;
            if self.tree.size() + 1 == event.position().get() {
                self.tree.push(Sha256::digest(preimage).into());
                self.roots.look(&self.tree);
            }
            if let Some(terms) = terms {
                terms.add(found, row, dictionary);
            }
            for (range, time) in [(&mut recorded, event.recorded_at()), (&mut occurred, event.occurred_at())] {
                *range = (range.0.min(time.as_nanos()), range.1.max(time.as_nanos()));
            }
            types |= type_bit(self.log.hasher.hash(Dimension::Type, event.event_type().as_bytes()));
            self.done.events += 1;
            row += 1;
            Ok(row < end)
        })?;
        if (recorded, occurred, types) != (entry.recorded, entry.occurred, entry.types) {
            let (first, last) = (segment.position(first), segment.position(end - 1));
            let bad = Corruption::new(&segment.path, entry.head_at, "the times and types of the block", "others");
            self.damage(bad.at(first..=last));
        }
        Ok(())
    }

    /// Every byte of the file belongs to exactly one part.
    fn tiling(&mut self, segment: &SealedSegment, mut parts: Vec<Range<u64>>) {
        parts.push(0..HEADER_BYTES as u64);
        parts.push(segment.file_bytes() - TAIL_BYTES as u64..segment.file_bytes());
        if segment.footer.archived {
            // The heads name pages of another file.
            return;
        }
        parts.sort_unstable_by_key(|part| (part.start, part.end));
        let mut at = 0;
        for part in parts {
            if part.start != at {
                let bad =
                    Corruption::new(&segment.path, at, format!("a part from byte {at} on"), part.start.to_string());
                return self.damage(bad);
            }
            at = part.end;
        }
        if at != segment.file_bytes() {
            self.damage(Corruption::new(&segment.path, at, "parts to the end of the file", at.to_string()));
        }
    }
}
