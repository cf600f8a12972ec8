//! An archived segment: its payload pages stand in another file, which may or may not be at hand.

use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Cursor, Ends, SealedSegment};
use crate::error::{Error, ErrorKind, Result};
use crate::format::bytes::u32_at;
use crate::format::leaf::{DIGEST_BYTES, Hash, LeafHasher};
use crate::format::sealed::BLOCK_ROWS;
use crate::format::sealed::block::Row;
use crate::format::sealed::footer::SectionId;
use crate::io::{File, Mode};

/// The longest name of a directory that a stub may hold.
const PLACE_MAX: u64 = 4096;
/// Set in a segment's name on the shelf: its whole file, not its stub.
const WHOLE: u64 = 1 << 63;

impl SealedSegment {
    /// The directory that the whole file went to.
    pub(crate) fn archive(&self) -> Result<Option<PathBuf>> {
        let Some((at, bytes)) = self.section(SectionId::Archive, PLACE_MAX)? else { return Ok(None) };
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(PathBuf::from(text))),
            Err(_) => Err(self.damage(at, "the name of a directory", "bytes that are no UTF-8", 0..self.rows())),
        }
    }

    /// The whole file, if it is where it was put and is still the same.
    pub(super) fn whole_file(&self, rows: &Range<u32>) -> Result<Arc<dyn File>> {
        self.shelf.file(self.name | WHOLE, || self.open_whole(rows))
    }

    fn open_whole(&self, rows: &Range<u32>) -> Result<Arc<dyn File>> {
        let place = self.archive()?.unwrap_or_default();
        let name = Path::new(self.path.file_name().unwrap_or_default());
        let path = place.join(name);
        let missing = |why: &dyn Display| {
            let (first, last) = (self.position(rows.start), self.position(rows.end - 1));
            Error::new(ErrorKind::Archived, format!("the data of positions {first} to {last} is archived: {why}"))
                .hinting(format!("put it there again: {}; or `annals archive STORE --back DIR`", path.display()))
        };
        // A disk that fails says nothing about what is there.
        let unless_failed = |error: Error| match error.kind() {
            ErrorKind::Io | ErrorKind::Full if !error.is_gone() => error,
            _ => missing(&error),
        };
        let failed = |error| unless_failed(Error::io(format_args!("open {}", path.display()), error));
        let storage = self.storage.beside(&place).map_err(failed)?;
        let ends = Ends::read(&*storage, name, self.footer.log, self.base())
            .map_err(|unfit| unless_failed(Error::from(unfit)))?;
        if !self.is_stub_of(&ends) {
            return Err(missing(&format_args!("{} holds another segment", path.display())));
        }
        storage.open(name, Mode::Read).map_err(failed)
    }

    /// Whether these are the ends of the whole file of this stub.
    pub(crate) fn is_stub_of(&self, ends: &Ends) -> bool {
        let (own, whole) = (&self.footer, &ends.footer);
        !whole.archived && own.count == whole.count && own.after == whole.after && self.header == ends.header
    }

    /// The digests of the data of a block's events.
    fn digests(&self, number: u32) -> Result<Vec<Hash>> {
        let rows = self.rows_range(number);
        let section = self.footer.section(SectionId::DataDigests);
        let section = section.ok_or_else(|| self.damage(0, "digests of the data", "none", rows.clone()))?;
        let whole_block = u64::from(BLOCK_ROWS) * DIGEST_BYTES as u64 + 4;
        let at = section.offset + u64::from(number) * whole_block;
        let len = rows.len() * DIGEST_BYTES;
        let beyond = at + len as u64 + 4 > section.offset + section.stored;
        if beyond {
            return Err(self.damage(at, "digests of a block", "the end of the section", rows));
        }
        let bytes = self.read_unchecked(at, len + 4)?;
        let crc = u32_at(&bytes, len).unwrap_or_default();
        let found = crc32fast::hash(&bytes[..len]);
        if crc != found {
            return Err(self.damage(at, format!("digests of CRC {crc:08x}"), format!("CRC {found:08x}"), rows));
        }
        Ok(bytes.chunks_exact(DIGEST_BYTES).filter_map(|digest| digest.first_chunk().copied()).collect())
    }

    /// Calls `each` with every row from `first` on and what is hashed to make its leaf, until it says `false`. Without
    /// the data of an archived segment, which its digests stand in for.
    pub(crate) fn for_each_preimage(
        &self,
        first: u32,
        each: &mut dyn FnMut(&Row<'_>, &[u8]) -> Result<bool>,
    ) -> Result<()> {
        let mut cursor = Cursor::walking(true);
        let mut hasher = LeafHasher::default();
        let mut digests: Option<(u32, Vec<Hash>)> = None;
        for row in first..self.rows() {
            let number = row / BLOCK_ROWS;
            if self.footer.archived && digests.as_ref().is_none_or(|(known, _)| *known != number) {
                digests = Some((number, self.digests(number)?));
            }
            let digest = digests.as_ref().and_then(|(_, list)| list.get((row % BLOCK_ROWS) as usize));
            let go_on = self.with_row(&mut cursor, row, !self.footer.archived, |found| {
                let preimage = match digest {
                    Some(digest) => hasher.preimage_of_digest(&found.event, &found.batch, digest),
                    None => hasher.preimage(&found.event, &found.batch),
                };
                each(&found, preimage)
            })??;
            if !go_on {
                break;
            }
        }
        Ok(())
    }
}
