//! Looking up one subject, key or id in a sealed segment: the term index says in which blocks to look,
//! the real bytes decide. Where the index cannot be read, every block is looked at: damage never
//! means that something is absent.

use super::{Cursor, SealedSegment};
use crate::error::{ErrorKind, Result};
use crate::format::Bad;
use crate::format::sealed::BLOCK_ROWS;
use crate::format::sealed::block::{Row, Scratch};
use crate::format::sealed::dictionary::{IdCandidate, StringColumn};
use crate::format::sealed::terms::Entry;
use crate::format::term::{Dimension, TermHasher};
use crate::position::Position;
use crate::segment::KeyHit;

impl SealedSegment {
    /// The blocks in which one of the terms may stand, ascending; all of them if the index is damaged.
    pub(crate) fn blocks_or_all(&self, hashes: &[u64]) -> Result<Vec<u32>> {
        match self.blocks_of(hashes) {
            Err(error) if error.kind() == ErrorKind::Corruption => Ok((0..self.footer.blocks).collect()),
            other => other,
        }
    }

    /// Calls `each` with the events of a subject at or before `horizon`, newest first, without their data, until it
    /// says `false`.
    pub(crate) fn each_row_of(
        &self,
        subject: &str,
        hash: u64,
        horizon: Position,
        each: &mut dyn FnMut(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        let end = self.row_of(horizon).map_or(self.rows(), |row| row + 1);
        let mut cursor = Cursor::default();
        let mut rows = Vec::new();
        for number in self.blocks_or_all(&[hash])?.into_iter().rev() {
            let first = number * BLOCK_ROWS;
            if first >= end {
                continue;
            }
            let block = self.block_at(&mut cursor, number)?;
            let references = block.references_where(StringColumn::Subject, &mut |known| known == subject);
            rows.clear();
            block.rows_where(StringColumn::Subject, &references, 0..(end - first).min(block.rows()), &mut rows);
            for row in rows.iter().rev() {
                if !self.with_row(&mut cursor, first + row, false, |row| each(&row))?? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The version of a subject's last event here, as the term index has it. Other subjects may share its hash.
    pub(crate) fn last_version_by_index(&self, hash: u64) -> Result<Option<u64>> {
        let mut last = None;
        self.entries(hash, &mut |entry| {
            if let Entry::Subject { last_version, .. } = entry {
                last = last.max(Some(last_version));
            }
        })?;
        Ok(last)
    }

    /// The position of a subject's event of one version, at or before `horizon`.
    pub(crate) fn position_of_version(
        &self,
        subject: &str,
        hash: u64,
        version: u64,
        horizon: Position,
    ) -> Result<Option<Position>> {
        match self.halve_to_version(subject, hash, version) {
            Ok(found) => Ok(found.filter(|position| *position <= horizon)),
            // A block on the way may be damaged that need not be read at all.
            Err(error) if error.kind() == ErrorKind::Corruption => {
                let mut found = None;
                self.each_row_of(subject, hash, horizon, &mut |row| {
                    found = (row.event.version() == version).then(|| row.event.position());
                    Ok(found.is_none() && row.event.version() > version)
                })?;
                Ok(found)
            }
            Err(error) => Err(error),
        }
    }

    /// The versions of a subject rise by one from row to row, so any block tells on which side of it to look.
    fn halve_to_version(&self, subject: &str, hash: u64, version: u64) -> Result<Option<Position>> {
        let mut blocks = self.blocks_or_all(&[hash])?;
        let (mut low, mut high) = (0, blocks.len());
        let mut rows = Vec::new();
        while low < high {
            let middle = low + (high - low) / 2;
            let number = blocks[middle];
            let block = self.block(number)?;
            let references = block.references_where(StringColumn::Subject, &mut |known| known == subject);
            rows.clear();
            block.rows_where(StringColumn::Subject, &references, 0..block.rows(), &mut rows);
            let Some(&first) = rows.first() else {
                // It was named for another term of this hash.
                blocks.remove(middle);
                high -= 1;
                continue;
            };
            let damaged = |bad: Box<Bad>| self.corruption(&bad, 0, self.rows_range(number));
            match version.checked_sub(block.version(first).map_err(damaged)?) {
                None => high = middle,
                Some(above) => match usize::try_from(above).ok().and_then(|above| rows.get(above)) {
                    None => low = middle + 1,
                    Some(&row) if block.version(row).map_err(damaged)? == version => {
                        return Ok(Some(self.position(number * BLOCK_ROWS + row)));
                    }
                    Some(_) => {
                        return Err(self.damage(0, format!("version {version}"), "another", self.rows_range(number)));
                    }
                },
            }
        }
        Ok(None)
    }

    /// Position and version of a subject's last event at or before `horizon`.
    pub(crate) fn last_of_subject(
        &self,
        subject: &str,
        hash: u64,
        horizon: Position,
    ) -> Result<Option<(Position, u64)>> {
        // The index says where its last event is; one probe and one look at the block answer.
        let mut hinted = Vec::new();
        let listed = self.entries(hash, &mut |entry| {
            if let Entry::Subject { last_version, postings } = entry {
                hinted.push((postings.last_row, last_version));
            }
        });
        match listed {
            Ok(()) if hinted.is_empty() => return Ok(None),
            Err(error) if error.kind() != ErrorKind::Corruption => return Err(error),
            _ => {}
        }
        for (row, version) in hinted.into_iter().filter(|(row, _)| *row < self.rows()) {
            if self.position(row) > horizon {
                continue;
            }
            let block = self.block(row / BLOCK_ROWS)?;
            let damaged = |bad: Box<Bad>| self.corruption(&bad, 0, row..row + 1);
            let within = row % BLOCK_ROWS;
            let is_it = block.subject(within).map_err(damaged)? == subject;
            if is_it && block.version(within).map_err(damaged)? == version {
                return Ok(Some((self.position(row), version)));
            }
        }
        let mut found = None;
        self.each_row_of(subject, hash, horizon, &mut |row| {
            found = Some((row.event.position(), row.event.version()));
            Ok(false)
        })?;
        Ok(found)
    }

    /// The batch that carries an idempotency key.
    pub(crate) fn find_key(&self, key: &str, hash: u64) -> Result<Option<KeyHit>> {
        let mut candidates = Vec::new();
        let listed = self.entries(hash, &mut |entry| {
            if let Entry::Key { first_row, count, content_hash } = entry {
                candidates.push((first_row, Some((count, *content_hash))));
            }
        });
        match listed {
            Err(error) if error.kind() == ErrorKind::Corruption => {
                candidates = (0..self.rows()).map(|row| (row, None)).collect();
            }
            other => other?,
        }
        let mut cursor = Cursor::default();
        for (first, listed) in candidates.into_iter().filter(|(first, _)| *first < self.rows()) {
            let carries = |row: Row<'_>| {
                let hash =
                    row.batch.key.filter(|(stored, _)| *stored == key).map(|(_, hash)| hash.first_chunk().copied());
                Some((hash??, row.event.recorded_at()))
            };
            let Some((content_hash, recorded_at)) = self.with_row(&mut cursor, first, false, carries)? else {
                continue;
            };
            let mut last = match listed {
                Some((count, hash)) if hash == content_hash => {
                    first.saturating_add(count - count.min(1)).min(self.rows() - 1)
                }
                _ => first,
            };
            while !self.with_row(&mut cursor, last, false, |row| row.batch.last_of_batch)? && last + 1 < self.rows() {
                last += 1;
            }
            return Ok(Some(KeyHit {
                first: self.position(first),
                last: self.position(last),
                recorded_at,
                content_hash,
            }));
        }
        Ok(None)
    }

    /// The rows of a given id at or before `horizon`, ascending.
    pub(crate) fn rows_of_id(&self, id: &str, horizon: Position) -> Result<Vec<u32>> {
        let hasher = TermHasher::new(self.footer.log);
        let hash = hasher.hash(Dimension::Id, self.dictionary()?.indexed_id(id).as_bytes());
        let end = self.row_of(horizon).map_or(self.rows(), |row| row + 1);
        let mut cursor = Cursor::default();
        let mut found = Vec::new();
        let mut scratch = Scratch::default();
        for number in self.blocks_or_all(&[hash])? {
            let first = number * BLOCK_ROWS;
            let block = self.block_at(&mut cursor, number)?;
            for row in first..end.min(first + block.rows()) {
                let given = block.given_id(row - first, &mut scratch);
                let given = given.map_err(|bad| self.corruption(&bad, 0, row..row + 1))?;
                if given == Some(id) {
                    found.push(row);
                }
            }
        }
        for candidate in self.dictionary()?.id_candidates(id) {
            match candidate {
                IdCandidate::Position(position) => {
                    let row = self.row_of(position).filter(|row| *row < end);
                    if let Some(row) = row
                        && self.with_row(&mut cursor, row, false, |row| row.event.given_id() == Some(id))?
                    {
                        found.push(row);
                    }
                }
                IdCandidate::Subject { subject, version } => {
                    let hash = hasher.subject(&subject);
                    self.each_row_of(&subject, hash, horizon, &mut |row| {
                        if row.event.given_id() == Some(id) {
                            found.extend(self.row_of(row.event.position()));
                        }
                        Ok(version.is_none_or(|version| row.event.version() > version))
                    })?;
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}
