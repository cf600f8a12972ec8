//! A `.idx` file, opened and mapped. Invariants:
//!
//! - The header was read and belongs to the segment it was opened for; the file has exactly the
//!   length that the header says.
//! - The file was renamed into place whole and is never written again, only unlinked, so all of it
//!   is published at once.
//! - A page is looked at only after it passed its check, once in this process.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::format::idx::{Checked, IdxFacts, IdxHeader, IdxView, Postings, TermEntry, TypeNames, Zone};
use crate::format::term::Dimension;
use crate::format::{Bad, PAGE_BYTES, Parsed, Read};
use crate::io::{Advice, Mapping, Mode, Storage, read_to_end_of};

/// Why an index that is there is not used. Whatever it is, the index is made anew.
#[derive(Debug)]
pub(crate) enum IdxError {
    /// The system would not let it be read.
    Io(io::Error),
    /// It belongs to another log or segment, or to other bytes under the same name.
    Foreign(Box<Bad>),
    /// It is of a format that this code does not know.
    Newer { version: u16 },
    /// It is no index, or a damaged one.
    Damaged(Box<Bad>),
}

impl fmt::Display for IdxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, bad) = match self {
            IdxError::Io(error) => return write!(f, "the index cannot be read: {error}"),
            IdxError::Newer { version } => return write!(f, "the index is of format version {version}"),
            IdxError::Foreign(bad) => ("belongs elsewhere", bad),
            IdxError::Damaged(bad) => ("is damaged", bad),
        };
        write!(f, "the index {what}: at byte {} expected {}, found {}", bad.offset, bad.expected, bad.found)
    }
}

impl std::error::Error for IdxError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            IdxError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for IdxError {
    fn from(error: io::Error) -> IdxError {
        IdxError::Io(error)
    }
}

/// An index of a rolled segment.
#[derive(Debug)]
pub(crate) struct IdxFile {
    header: IdxHeader,
    map: Arc<dyn Mapping>,
    checked: Checked,
    /// Read at first use. `None` inside: there were too many to list.
    types: OnceLock<Option<TypeNames>>,
}

impl IdxFile {
    /// Opens the index of a segment; `None` if there is none. Only the header is read and checked.
    ///
    /// The caller still has to hold [`end_offset`](Self::end_offset) and
    /// [`last_header_check`](Self::last_header_check) against the raw file.
    pub(crate) fn open(storage: &dyn Storage, path: &Path, expected: &IdxFacts) -> Result<Option<IdxFile>, IdxError> {
        let file = match storage.open(path, Mode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut page = [0; PAGE_BYTES];
        let read = read_to_end_of(&*file, &mut page, 0)?;
        let header = match IdxHeader::read(&page[..read]) {
            Read::Valid(header) => header,
            Read::Newer { version } => return Err(IdxError::Newer { version }),
            Read::Zero => return Err(IdxError::Damaged(Bad::new(0, "the header of an index", "zeros"))),
            Read::Bad(bad) => return Err(IdxError::Damaged(bad)),
        };
        belongs(&header.facts, expected)?;
        let len = file.len()?;
        if len != header.file_bytes {
            let expected = format!("a file of {} bytes", header.file_bytes);
            return Err(IdxError::Damaged(Bad::new(len, expected, len.to_string())));
        }
        let map = file.map(len)?;
        map.publish(len);
        // Lookups jump about; reading on would fetch what nobody asked for.
        map.advise(0..len, Advice::Random);
        Ok(Some(IdxFile { header, map, checked: Checked::new(len), types: OnceLock::new() }))
    }

    fn view(&self) -> IdxView<'_> {
        // All of it was published when it was opened. Were it not, every page would be missing.
        let bytes = self.map.bytes(0..self.header.file_bytes).unwrap_or_default();
        IdxView::new(bytes, &self.header, &self.checked)
    }

    /// How many rows are covered: those from 0 on.
    pub(crate) fn rows(&self) -> u32 {
        self.header.rows
    }

    /// How many bytes of the raw file are covered, from its start.
    pub(crate) fn end_offset(&self) -> u64 {
        self.header.end_offset
    }

    /// The header check of the last frame in them; 0 if there is none.
    pub(crate) fn last_header_check(&self) -> u64 {
        self.header.last_header_check
    }

    /// Length of the file, in bytes.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.header.file_bytes
    }

    /// The bounds of both times over all rows.
    pub(crate) fn bounds(&self) -> Zone {
        self.header.zone
    }

    /// Where the event of a row stands in the raw file: offset of its frame, and index within it.
    pub(crate) fn place(&self, row: u32) -> Parsed<(u64, u32)> {
        self.view().place(row)
    }

    /// What is known of a term; `None` if no row has it. The hash is no identity: whoever finds one
    /// compares the bytes.
    pub(crate) fn find(&self, dimension: Dimension, hash: u64) -> Parsed<Option<TermEntry>> {
        self.view().find(dimension, hash)
    }

    /// Those rows of a term that lie in `rows`.
    pub(crate) fn postings(&self, term: &TermEntry, rows: Range<u32>) -> Parsed<Postings<'_>> {
        self.view().postings(term, rows)
    }

    /// All zones, each with its rows.
    pub(crate) fn zones(&self) -> impl Iterator<Item = Parsed<(Range<u32>, Zone)>> {
        self.view().zones()
    }

    /// The event types; `None` if there were too many to list them. Read once, then kept.
    pub(crate) fn type_names(&self) -> Parsed<Option<&TypeNames>> {
        if let Some(names) = self.types.get() {
            return Ok(names.as_ref());
        }
        let names = self.view().type_names()?;
        Ok(self.types.get_or_init(|| names).as_ref())
    }

    /// Checks every page and all that they hold.
    pub(crate) fn check_all(&self) -> Parsed<()> {
        self.map.advise(0..self.header.file_bytes, Advice::WillNeed);
        self.view().check_all()
    }
}

fn belongs(found: &IdxFacts, expected: &IdxFacts) -> Result<(), IdxError> {
    let differ = |offset, expected: String, found: String| Err(IdxError::Foreign(Bad::new(offset, expected, found)));
    if found.log != expected.log {
        return differ(24, format!("log {}", expected.log), found.log.to_string());
    }
    if found.base != expected.base {
        return differ(40, format!("base {}", expected.base), found.base.to_string());
    }
    if found.salt != expected.salt {
        return differ(48, format!("salt {:016x}", expected.salt), format!("{:016x}", found.salt));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::format::frame;
    use crate::format::idx::tests::{FACTS, LAST_CHECK, build, large, small};
    use crate::format::term::TermHasher;
    use crate::io::DiskStorage;
    use crate::position::Position;

    const NAME: &str = "00000000000000001001.idx";

    fn disk() -> (tempfile::TempDir, DiskStorage, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let storage = DiskStorage::open(dir.path()).unwrap();
        let path = dir.path().join(NAME);
        (dir, storage, path)
    }

    fn open(storage: &DiskStorage, facts: &IdxFacts) -> Result<Option<IdxFile>, IdxError> {
        IdxFile::open(storage, Path::new(NAME), facts)
    }

    #[test]
    fn what_was_built_is_found_through_the_file() {
        let (_dir, storage, path) = disk();
        assert!(open(&storage, &FACTS).unwrap().is_none(), "none is there yet");
        let (bytes, _) = build(&large(3_000));
        fs::write(path, &bytes).unwrap();
        let index = open(&storage, &FACTS).unwrap().unwrap();
        assert_eq!((index.rows(), index.last_header_check()), (3_000, LAST_CHECK));
        assert_eq!(index.file_bytes(), bytes.len() as u64);
        assert!(index.end_offset() > frame::FIRST_OFFSET);
        assert_eq!(index.place(0).unwrap(), (frame::FIRST_OFFSET, 0));
        let hasher = TermHasher::new(FACTS.log);
        let subject = index.find(Dimension::Subject, hasher.subject("note/700")).unwrap().unwrap();
        assert_eq!((subject.count, subject.extra, subject.last_row), (4, 4, 2_803));
        let newest: Vec<u32> = index.postings(&subject, 0..2_803).unwrap().rev().map(Result::unwrap).collect();
        assert_eq!(newest, [2_802, 2_801, 2_800]);
        assert!(index.find(Dimension::Subject, hasher.subject("note/750")).unwrap().is_none());
        assert_eq!(index.type_names().unwrap().unwrap().iter().len(), 50);
        assert_eq!(index.type_names().unwrap().unwrap().iter().map(|(_, _, rows)| rows).sum::<u32>(), 3_000);
        assert_eq!(index.zones().count(), 3);
        index.check_all().unwrap();
    }

    #[test]
    fn one_of_another_segment_is_refused() {
        let (_dir, storage, path) = disk();
        fs::write(path, build(&small()).0).unwrap();
        assert!(open(&storage, &FACTS).unwrap().is_some());
        for foreign in [
            IdxFacts { log: crate::event::LogId(*b"the log of other"), ..FACTS },
            IdxFacts { base: Position::new(1), ..FACTS },
            IdxFacts { salt: 1, ..FACTS },
        ] {
            let error = open(&storage, &foreign).unwrap_err();
            assert!(matches!(error, IdxError::Foreign(_)), "{error}");
            assert!(error.to_string().contains("belongs elsewhere"), "{error}");
        }
    }

    #[test]
    fn one_of_a_wrong_length_is_refused() {
        let (_dir, storage, path) = disk();
        let (bytes, _) = build(&small());
        fs::write(&path, &bytes).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        for len in (0..bytes.len()).rev() {
            file.set_len(len as u64).unwrap();
            let error = open(&storage, &FACTS).unwrap_err();
            assert!(matches!(error, IdxError::Damaged(_)), "{len}: {error}");
        }
        fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
        assert!(matches!(open(&storage, &FACTS), Err(IdxError::Damaged(_))));
        fs::write(&path, vec![0; bytes.len()]).unwrap();
        assert!(open(&storage, &FACTS).unwrap_err().to_string().contains("zeros"));
    }

    #[test]
    fn one_of_a_newer_format_is_refused() {
        let (_dir, storage, path) = disk();
        let (mut bytes, _) = build(&small());
        bytes[8..12].copy_from_slice(&[2, 0, 2, 0]);
        let check = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes[..304], u64::from_le_bytes(*b"ANNALIDX"));
        bytes[304..312].copy_from_slice(&check.to_le_bytes());
        fs::write(path, bytes).unwrap();
        assert!(matches!(open(&storage, &FACTS), Err(IdxError::Newer { version: 2 })));
    }

    #[test]
    fn a_system_error_is_no_missing_index() {
        let (_dir, storage, path) = disk();
        fs::create_dir(path).unwrap();
        assert!(matches!(open(&storage, &FACTS), Err(IdxError::Io(_))));
    }

    /// A page of the types that is damaged says so each time, and what stands elsewhere answers.
    #[test]
    fn a_flipped_bit_is_an_error_where_it_is_met_and_nowhere_else() {
        let (_dir, storage, path) = disk();
        let (mut bytes, _) = build(&large(3_000));
        let last = bytes.len() - 5_000;
        bytes[last] ^= 1;
        fs::write(path, bytes).unwrap();
        let index = open(&storage, &FACTS).unwrap().unwrap();
        assert!(index.check_all().is_err());
        assert!(index.check_all().is_err());
        assert_eq!(index.place(2_999).unwrap().1, 99);
        let hasher = TermHasher::new(FACTS.log);
        let answers: Vec<_> =
            (0..750).map(|n| index.find(Dimension::Subject, hasher.subject(&format!("note/{n}")))).collect();
        assert!(answers.iter().all(|answer| !matches!(answer, Ok(None))), "a term went missing");
        assert!(answers.iter().any(Result::is_err) && answers.iter().any(Result::is_ok));
    }
}
