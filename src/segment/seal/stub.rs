//! The stub of an archived segment: the same file without its payload pages, and with the digest of
//! every event's data, so that proofs go on. Heads keep the offsets of their pages in the whole file.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::Out;
use crate::error::{Error, Result};
use crate::format::leaf::DIGEST_BYTES;
use crate::format::sealed::BLOCK_ROWS;
use crate::format::sealed::footer::{Footer, SectionId};
use crate::io::File;
use crate::segment::sealed::{Cursor, SealedSegment};

/// Writes the stub of `whole`, whose whole file is kept in the directory `place`. Not synced.
pub(crate) fn write(whole: &SealedSegment, place: &Path, file: &dyn File) -> Result<Footer> {
    let mut out = Out::new(file);
    out.put(&whole.header.encode())?;
    let mut directory = Vec::new();
    let mut digests = Vec::new();
    for number in 0..whole.footer.blocks {
        let (mut entry, head) = whole.head_bytes(number)?;
        entry.head_at = out.at();
        entry.encode(&mut directory);
        out.put(&head)?;
        block_digests(whole, number, &mut digests)?;
    }
    let mut footer = Footer { archived: true, sections: Vec::new(), ..whole.footer.clone() };
    for section in &whole.footer.sections {
        let is = |id: SectionId| section.id == id as u16;
        let bytes = if is(SectionId::Blocks) { directory.clone() } else { whole.stored_section(section)? };
        let mut moved = *section;
        moved.offset = out.at();
        moved.crc = crc32fast::hash(&bytes);
        out.put(&bytes)?;
        footer.sections.push(moved);
    }
    let count = u64::from(whole.rows());
    footer.sections.push(out.section(SectionId::DataDigests, true, &digests, None, count)?);
    let place = place.to_str().ok_or_else(|| Error::invalid("the name of the archive's directory is no UTF-8"))?;
    footer.sections.push(out.section(SectionId::Archive, true, place.as_bytes(), None, 1)?);
    out.end(&footer)?;
    Ok(footer)
}

/// Appends the digests of a block's data, and their CRC-32: they are read block by block.
fn block_digests(whole: &SealedSegment, number: u32, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    let first = number * BLOCK_ROWS;
    let mut cursor = Cursor::walking(true);
    for row in first..first + whole.rows_of_block(number) {
        whole.with_row(&mut cursor, row, true, |row| out.extend_from_slice(&Sha256::digest(row.event.data())))?;
    }
    let crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
    debug_assert_eq!(out.len() - start, whole.rows_of_block(number) as usize * DIGEST_BYTES + 4);
    Ok(())
}
