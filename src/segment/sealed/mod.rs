//! A sealed segment as readers know it. Nothing of it ever changes.
//!
//! Opening reads header, tail and footer. Everything else is read, checked and kept when it is first
//! asked for: the directory of the blocks, the strings, the term index and its filter through a
//! mapping; blocks and payload pages through a cache that all segments of the log share.

pub(crate) mod ahead;
mod archived;
mod cursor;
mod lookup;
mod parts;
pub(crate) mod shelf;
mod terms;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use zstd::dict::DecoderDictionary;

pub(crate) use cursor::Cursor;
pub(crate) use terms::TermWalk;

use crate::error::{Corruption, Error, ErrorKind, Result, newer_format};
use crate::event::LogId;
use crate::format::sealed::BLOCK_ROWS;
use crate::format::sealed::blocks::Blocks;
use crate::format::sealed::dictionary::Dictionary;
use crate::format::sealed::envelope::{HEADER_BYTES, SealedHeader, TAIL_BYTES, Tail};
use crate::format::sealed::footer::{Footer, SectionId};
use crate::format::sealed::terms::TermsDirectory;
use crate::format::{Bad, Read};
use crate::io::{File, Mapping, Mode as Open, Storage, read_to_end_of};
use crate::position::Position;
use shelf::Shelf;

#[derive(Debug)]
pub(crate) struct SealedSegment {
    pub(crate) header: SealedHeader,
    pub(crate) footer: Footer,
    /// Relative to the store.
    pub(crate) path: PathBuf,
    tail: Tail,
    storage: Arc<dyn Storage>,
    pub(crate) shelf: Arc<Shelf>,
    /// Its name on the shelf.
    name: u64,
    blocks: OnceLock<Blocks>,
    dictionary: OnceLock<Arc<Dictionary>>,
    payload_dictionary: OnceLock<Option<PayloadDictionary>>,
    terms: OnceLock<TermsDirectory>,
    filter: OnceLock<Option<terms::Filter>>,
    mapping: OnceLock<Arc<dyn Mapping>>,
}

struct PayloadDictionary(DecoderDictionary<'static>);

impl std::fmt::Debug for PayloadDictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PayloadDictionary")
    }
}

/// Why a file is not to be used as a sealed segment.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// Its bytes are damaged.
    Damaged(Corruption),
    Other(Error),
}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Error {
        match unfit {
            Unfit::Damaged(corruption) => corruption.into(),
            Unfit::Other(error) => error,
        }
    }
}

/// The two ends of a sealed segment: what has to be read to know what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) header: SealedHeader,
    pub(crate) footer: Footer,
    pub(crate) tail: Tail,
}

impl Ends {
    /// Reads and checks the ends of the file at `path`, of `log` and from `base` on.
    pub(crate) fn read(storage: &dyn Storage, path: &Path, log: LogId, base: Position) -> Result<Ends, Unfit> {
        let failed = |error| Unfit::Other(Error::io(format_args!("read {}", path.display()), error));
        let file = storage.open(path, Open::Read).map_err(failed)?;
        let len = file.len().map_err(failed)?;
        let damaged = |bad: Box<Bad>, at: u64| Unfit::Damaged(bad.after(at).corruption(path).at(base..=base));
        if len < (HEADER_BYTES + TAIL_BYTES) as u64 {
            return Err(damaged(Bad::new(len, "a sealed segment", format!("the end after {len} bytes")), 0));
        }
        let read = |at: u64, bytes: usize| {
            let mut buffer = vec![0; bytes];
            let got = read_to_end_of(&*file, &mut buffer, at).map_err(failed)?;
            buffer.truncate(got);
            Ok::<_, Unfit>(buffer)
        };
        let header = match SealedHeader::read(&read(0, HEADER_BYTES)?) {
            Read::Valid(header) => header,
            Read::Newer { version } => return Err(Unfit::Other(newer_format(version))),
            Read::Zero => return Err(damaged(Bad::new(0, "a sealed header", "zeros"), 0)),
            Read::Bad(bad) => return Err(damaged(bad, 0)),
        };
        let tail_at = len - TAIL_BYTES as u64;
        let tail = Tail::read(&read(tail_at, TAIL_BYTES)?, len).map_err(|bad| damaged(bad, tail_at))?;
        if (header.log, header.base, tail.log, tail.base) != (log, base, log, base) {
            let found = format!("base {} of log {}", header.base, header.log);
            return Err(damaged(Bad::new(24, format!("base {base} of log {log}"), found), 0));
        }
        let bytes = read(tail.footer_at, tail.footer_len as usize)?;
        if crc32fast::hash(&bytes) != tail.footer_crc {
            return Err(damaged(Bad::new(0, "a footer with the CRC in the tail", "another CRC"), tail.footer_at));
        }
        let footer = Footer::parse(&bytes, log, base, tail.footer_at).map_err(|bad| damaged(bad, tail.footer_at))?;
        Ok(Ends { header, footer, tail })
    }
}

/// The log that a sealed file belongs to, by its header alone.
pub(crate) fn log_of(storage: &dyn Storage, path: &Path) -> Option<LogId> {
    let file = storage.open(path, Open::Read).ok()?;
    let mut bytes = [0; HEADER_BYTES];
    let got = read_to_end_of(&*file, &mut bytes, 0).ok()?;
    SealedHeader::read(bytes.get(..got)?).valid().map(|header| header.log)
}

impl SealedSegment {
    /// The segment at `path`, whose ends were read.
    pub(crate) fn new(storage: Arc<dyn Storage>, shelf: Arc<Shelf>, path: PathBuf, ends: Ends) -> SealedSegment {
        SealedSegment {
            header: ends.header,
            footer: ends.footer,
            path,
            tail: ends.tail,
            storage,
            name: shelf.name(),
            shelf,
            blocks: OnceLock::new(),
            dictionary: OnceLock::new(),
            payload_dictionary: OnceLock::new(),
            terms: OnceLock::new(),
            filter: OnceLock::new(),
            mapping: OnceLock::new(),
        }
    }

    pub(crate) fn base(&self) -> Position {
        self.footer.base
    }

    /// The position after the last event.
    pub(crate) fn next(&self) -> Position {
        self.footer.next()
    }

    pub(crate) fn rows(&self) -> u32 {
        self.footer.count as u32
    }

    /// Length of the file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.tail.file_len
    }

    /// Whether both are of one file: the tail binds the footer, and the footer binds every part.
    pub(crate) fn is_same(&self, other: &SealedSegment) -> bool {
        self.tail == other.tail && self.header == other.header
    }

    /// Bytes of the term index and its filter.
    pub(crate) fn index_bytes(&self) -> u64 {
        let parts = [SectionId::TermPages, SectionId::TermDirectory, SectionId::Filter];
        parts.iter().filter_map(|id| self.footer.section(*id)).map(|section| section.stored).sum()
    }

    /// Bytes of the payload dictionary as it is stored.
    pub(crate) fn dictionary_bytes(&self) -> u64 {
        self.footer.section(SectionId::PayloadDictionary).map_or(0, |section| section.stored)
    }

    pub(crate) fn position(&self, row: u32) -> Position {
        Position::new(self.base().get() + u64::from(row))
    }

    /// Number of rows of a block.
    pub(crate) fn rows_of_block(&self, block: u32) -> u32 {
        self.rows().saturating_sub(block.saturating_mul(BLOCK_ROWS)).min(BLOCK_ROWS)
    }

    /// The open file. One that was replaced since is as good as gone.
    fn file(&self) -> Result<Arc<dyn File>> {
        self.shelf.file(self.name, || {
            let failed = |error| Error::io(format_args!("open {}", self.path.display()), error);
            let file = self.storage.open(&self.path, Open::Read).map_err(failed)?;
            let len = file.len().map_err(failed)?;
            if len != self.tail.file_len {
                let footer_still = self.tail_of(&*file, len).is_some();
                return Err(if footer_still {
                    Error::new(ErrorKind::NotFound, format!("{} was replaced", self.path.display()))
                } else {
                    let expected = format!("{} bytes", self.tail.file_len);
                    self.damage(len.min(self.tail.file_len), expected, format!("{len}"), 0..self.rows())
                });
            }
            Ok(file)
        })
    }

    /// Opens the file, if it is not open.
    pub(crate) fn open(&self) -> Result<()> {
        self.file().map(drop)
    }

    fn tail_of(&self, file: &dyn File, len: u64) -> Option<Tail> {
        let mut bytes = [0; TAIL_BYTES];
        let at = len.checked_sub(TAIL_BYTES as u64)?;
        let got = read_to_end_of(file, &mut bytes, at).ok()?;
        Tail::read(bytes.get(..got)?, len).ok()
    }

    /// Damage of some rows, as an error that names file, offset and positions.
    fn damage(&self, offset: u64, expected: impl Into<String>, found: impl Into<String>, rows: Range<u32>) -> Error {
        let last = self.position(rows.end.max(rows.start + 1) - 1);
        Corruption::new(&self.path, offset, expected, found).at(self.position(rows.start)..=last).into()
    }

    fn corruption(&self, bad: &Bad, at: u64, rows: Range<u32>) -> Error {
        self.damage(at + bad.offset, bad.expected.clone(), bad.found.clone(), rows)
    }

    fn rows_range(&self, block: u32) -> Range<u32> {
        let first = block * BLOCK_ROWS;
        first..first + self.rows_of_block(block)
    }

    /// Reads bytes of the file and holds them against their CRC-32.
    fn read_checked(&self, at: u64, len: usize, crc: u32, what: &str, rows: Range<u32>) -> Result<Vec<u8>> {
        self.read_checked_from(&*self.file()?, at, len, crc, what, rows)
    }

    /// The same of another file that holds a part of the segment.
    fn read_checked_from(
        &self,
        file: &dyn File,
        at: u64,
        len: usize,
        crc: u32,
        what: &str,
        rows: Range<u32>,
    ) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let got = read_to_end_of(file, &mut bytes, at)
            .map_err(|error| Error::io(format_args!("read {}", self.path.display()), error))?;
        if got < len {
            return Err(self.damage(at + got as u64, format!("{what} of {len} bytes"), "the end of the file", rows));
        }
        let found = crc32fast::hash(&bytes);
        if found != crc {
            return Err(self.damage(at, format!("{what} of CRC {crc:08x}"), format!("CRC {found:08x}"), rows));
        }
        Ok(bytes)
    }

    /// Reads bytes whose check stands among them.
    fn read_unchecked(&self, at: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let failed = |error| Error::io(format_args!("read {}", self.path.display()), error);
        let got = read_to_end_of(&*self.file()?, &mut bytes, at).map_err(failed)?;
        if got < len {
            return Err(self.damage(at + got as u64, format!("{len} bytes"), "the end of the file", 0..self.rows()));
        }
        Ok(bytes)
    }
}
