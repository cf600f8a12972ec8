//! Making derived things of segments: the `.idx` beside a raw file, and the leaves of the tree.

use std::io::IoSlice;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::shared::Log;
use crate::error::{Error, Result};
use crate::format::frame::FIRST_OFFSET;
use crate::format::idx::{IdxBuilder, IdxFacts};
use crate::format::leaf::{Hash, Tree};
use crate::io::Mode;
use crate::position::Position;
use crate::segment::idx_file::{IdxError, IdxFile};
use crate::segment::raw::RawSegment;

pub(crate) fn facts(segment: &RawSegment) -> IdxFacts {
    IdxFacts { log: segment.header.log, base: segment.base(), salt: segment.header.salt }
}

/// Writes the index of everything that a segment has published, and puts it in the place of what
/// memory holds. If that fails, memory goes on serving: the index is derived, and only costs room.
pub(crate) fn index_segment(log: &Log, segment: &RawSegment) {
    if let Ok(idx) = write_index(log, segment) {
        let mut index = segment.index.write();
        let whole = idx.rows() == segment.rows();
        index.idx = Some(Arc::new(idx));
        if whole {
            index.mem = None;
        }
    }
}

/// Reads the whole segment, checked, and writes its index beside it.
pub(crate) fn write_index(log: &Log, segment: &RawSegment) -> Result<IdxFile> {
    let bytes = build_index(segment)?;
    let path = segment.idx_path();
    let failed = |error| Error::io(format_args!("write {}", path.display()), error);
    let temporary = segment.path.with_extension("idx.tmp");
    let storage = &*log.storage;
    let file = storage.open(&temporary, Mode::Create).map_err(failed)?;
    file.set_len(0).map_err(failed)?;
    file.write_all_at(&mut [IoSlice::new(&bytes)], 0).map_err(failed)?;
    // Derived, and bound to its segment by checks: a name that outlives its bytes is seen as damage.
    storage.rename(&temporary, &path).map_err(failed)?;
    match IdxFile::open(storage, &path, &facts(segment)) {
        Ok(Some(idx)) => Ok(idx),
        Ok(None) => Err(Error::not_found(format!("{} went away", path.display()))),
        Err(error) => Err(Error::invalid(format!("{}: {error}", path.display()))),
    }
}

/// The bytes of a segment's index, from its frames.
pub(crate) fn build_index(segment: &RawSegment) -> Result<Vec<u8>> {
    let mapping = segment.mapping()?;
    let end = segment.end();
    let (mut offset, mut expected, mut last_check) = (FIRST_OFFSET, segment.base(), 0);
    let mut builder = IdxBuilder::new(facts(segment));
    while let Some(at) = segment.frame_at(mapping, offset, end, expected)? {
        let header = at.frame.header;
        for index in 0..header.count {
            let position = Position::new(header.first.get() + u64::from(index));
            let damaged = |bad| segment.corruption(bad, at.offset, position, position);
            let event = at.frame.event(index).map_err(damaged)?;
            let key = if index == 0 { at.frame.prelude().map_err(damaged)?.key.map(|(key, _)| key) } else { None };
            builder.add(&event, at.offset, index, key);
        }
        offset = at.offset + header.frame_bytes();
        expected = header.next();
        last_check = header.check;
    }
    Ok(builder.finish(offset, last_check))
}

/// What opening an index beside a segment came to.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It covers the first rows of the segment.
    Good(Box<IdxFile>),
    Missing,
    /// There, and not to be used; why.
    Unfit(String),
}

/// Opens the index of a segment and holds it against the raw file: it must end at a frame of the
/// segment, with that very frame's check.
pub(crate) fn open_index(log: &Log, segment: &RawSegment) -> Opened {
    let idx = match IdxFile::open(&*log.storage, &segment.idx_path(), &facts(segment)) {
        Ok(Some(idx)) => idx,
        Ok(None) => return Opened::Missing,
        Err(error @ (IdxError::Io(_) | IdxError::Foreign(_) | IdxError::Newer { .. } | IdxError::Damaged(_))) => {
            return Opened::Unfit(error.to_string());
        }
    };
    match ends_at_its_frame(segment, &idx) {
        Ok(true) => Opened::Good(Box::new(idx)),
        Ok(false) => Opened::Unfit("the index was made from other bytes".to_owned()),
        Err(error) => Opened::Unfit(error.to_string()),
    }
}

fn ends_at_its_frame(segment: &RawSegment, idx: &IdxFile) -> Result<bool> {
    let rows = idx.rows();
    if rows == 0 || rows > segment.rows() || idx.end_offset() > segment.end() {
        return Ok(rows == 0 && idx.end_offset() == FIRST_OFFSET);
    }
    let damaged =
        |bad: Box<crate::format::Bad>| Error::invalid(format!("expected {}, found {}", bad.expected, bad.found));
    let (frame, index) = idx.place(rows - 1).map_err(damaged)?;
    let position = Position::new(segment.base().get() + u64::from(rows) - 1);
    let place = crate::segment::mem_index::RowPlace { frame, index };
    let frame_of = segment.frame_of(segment.mapping()?, place, position)?;
    Ok(frame_of.header.check == idx.last_header_check()
        && frame + frame_of.header.frame_bytes() == idx.end_offset()
        && frame_of.header.next().get() == position.get() + 1)
}

/// Adds up to `most` leaves to the tree, up to `until`; `true` if there are more.
pub(crate) fn hash_leaves(log: &Log, tree: &mut Tree, until: Position, most: u64) -> Result<bool> {
    let stop = until.get().min(tree.size().saturating_add(most));
    for_each_leaf(log, tree.size(), stop, &mut |leaf| tree.push(leaf))?;
    Ok(tree.size() < until.get())
}

/// Calls `take` with the leaves behind the first `done` ones, in order, up to position `stop`. Holds one at a time.
pub(crate) fn for_each_leaf(log: &Log, done: u64, stop: u64, take: &mut dyn FnMut(Hash)) -> Result<()> {
    let mut done = done;
    while done < stop {
        let first = Position::new(done + 1);
        let (segment, row) = log.segment_at(first)?.ok_or_else(|| log.missing(first))?;
        segment.for_each_preimage(row, &mut |preimage| {
            take(Sha256::digest(preimage).into());
            done += 1;
            Ok(done < stop)
        })?;
        // A row that nothing stands behind would be asked for again and again.
        if done < first.get() {
            return Err(log.missing(first));
        }
    }
    Ok(())
}
