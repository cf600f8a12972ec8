//! One file of the log. A raw segment takes appends and then rests; a sealed one is made of it,
//! packed and indexed. Both answer the same questions.

pub(crate) mod idx_file;
pub(crate) mod mem_index;
pub(crate) mod raw;
pub(crate) mod scan;
pub(crate) mod seal;
pub(crate) mod sealed;
pub(crate) mod tier_file;
pub(crate) mod tier_merge;

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::header::Mode;
use crate::format::leaf::LeafHasher;
use crate::format::sealed::block::Row;
use crate::position::Position;
use crate::time::Timestamp;
use raw::RawSegment;
pub(crate) use sealed::Cursor;
use sealed::SealedSegment;

/// A batch that was appended under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyHit {
    pub(crate) first: Position,
    pub(crate) last: Position,
    pub(crate) recorded_at: Timestamp,
    pub(crate) content_hash: [u8; 32],
}

#[derive(Debug, Clone)]
pub(crate) enum Segment {
    Raw(Arc<RawSegment>),
    Sealed(Arc<SealedSegment>),
}

impl Segment {
    pub(crate) fn raw(&self) -> Option<&Arc<RawSegment>> {
        match self {
            Segment::Raw(raw) => Some(raw),
            Segment::Sealed(_) => None,
        }
    }

    pub(crate) fn sealed(&self) -> Option<&Arc<SealedSegment>> {
        match self {
            Segment::Raw(_) => None,
            Segment::Sealed(sealed) => Some(sealed),
        }
    }

    /// Relative to the store.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Segment::Raw(raw) => &raw.path,
            Segment::Sealed(sealed) => &sealed.path,
        }
    }

    /// Opens the file, if that was not done yet.
    pub(crate) fn open(&self) -> Result<()> {
        match self {
            Segment::Raw(raw) => raw.mapping().map(drop),
            Segment::Sealed(sealed) => sealed.open(),
        }
    }

    pub(crate) fn base(&self) -> Position {
        match self {
            Segment::Raw(raw) => raw.base(),
            Segment::Sealed(sealed) => sealed.base(),
        }
    }

    /// The position after the last published event.
    pub(crate) fn next(&self) -> Position {
        match self {
            Segment::Raw(raw) => raw.next(),
            Segment::Sealed(sealed) => sealed.next(),
        }
    }

    pub(crate) fn rows(&self) -> u32 {
        (self.next().get() - self.base().get()) as u32
    }

    /// The row of a position, if the segment has published it.
    pub(crate) fn row_of(&self, position: Position) -> Option<u32> {
        (position >= self.base() && position < self.next()).then(|| (position.get() - self.base().get()) as u32)
    }

    pub(crate) fn mode(&self) -> Mode {
        match self {
            Segment::Raw(raw) => raw.header.mode,
            Segment::Sealed(sealed) => sealed.footer.mode,
        }
    }

    /// Epoch of the last event, or of those to come.
    pub(crate) fn epoch(&self) -> u64 {
        match self {
            Segment::Raw(raw) => raw.header.epoch,
            Segment::Sealed(sealed) => sealed.footer.epochs.last().map_or(0, |(_, epoch)| *epoch),
        }
    }

    /// Bytes that hold events.
    pub(crate) fn used_bytes(&self) -> u64 {
        match self {
            Segment::Raw(raw) => raw.end() - crate::format::frame::FIRST_OFFSET,
            Segment::Sealed(sealed) => sealed.file_bytes(),
        }
    }

    /// Runs `each` on one event, fully checked, and on what it has from its batch.
    pub(crate) fn with_row<T>(&self, row: u32, each: impl FnOnce(&Row<'_>) -> T) -> Result<T> {
        let position = Position::new(self.base().get() + u64::from(row));
        match self {
            Segment::Raw(raw) => {
                let place = raw.place(row)?;
                let frame = raw.frame_of(raw.mapping()?, place, position)?;
                let damaged = |bad| raw.corruption(bad, place.frame, position, position);
                let event = frame.event(place.index).map_err(damaged)?;
                let batch = frame.batch_facts(place.index).map_err(damaged)?;
                if event.position() != position {
                    return Err(Error::invalid(format!(
                        "{} holds another event than its index says",
                        raw.path.display()
                    )));
                }
                Ok(each(&Row { event, batch }))
            }
            Segment::Sealed(sealed) => sealed.with_row(&mut Cursor::default(), row, true, |row| each(&row)),
        }
    }

    /// Calls `each` with what is hashed to make the leaf of every row from `first` on, in order, until it says
    /// `false`.
    pub(crate) fn for_each_preimage(&self, first: u32, each: &mut dyn FnMut(&[u8]) -> Result<bool>) -> Result<()> {
        match self {
            Segment::Raw(raw) => {
                let mut hasher = LeafHasher::default();
                raw.for_each_row_from(first, &mut |row| each(hasher.preimage(&row.event, &row.batch)))
            }
            Segment::Sealed(sealed) => sealed.for_each_preimage(first, &mut |_, preimage| each(preimage)),
        }
    }

    /// What is hashed to make the leaf of one row.
    pub(crate) fn preimage(&self, row: u32) -> Result<Vec<u8>> {
        let mut found = Vec::new();
        self.for_each_preimage(row, &mut |preimage| {
            found = preimage.to_vec();
            Ok(false)
        })?;
        Ok(found)
    }
}
