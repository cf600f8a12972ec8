//! A run of lookup tiers, opened and mapped. Invariants:
//!
//! - The header was read and belongs to the log; the file has exactly the length that the header says.
//! - The segments and templates that it names were read, each page checked.
//! - The file was renamed into place whole and is never written again, only unlinked or replaced, so
//!   all of it is published at once.
//! - A page is looked at only after it passed its check, once in this process.
//!
//! It says where a term may be. What it does not name has no such term, as long as it belongs to the
//! events of the log: whoever lists it holds bounds and root against the segments.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::event::LogId;
use crate::format::idx::Checked;
use crate::format::leaf::Hash;
use crate::format::tier::{Covered, Templates, TierHeader, TierView};
use crate::format::{PAGE_BYTES, Parsed, Read};
use crate::io::{Advice, Mapping, Mode, Storage, read_to_end_of};
use crate::position::Position;

#[derive(Debug)]
pub(crate) struct TierFile {
    /// Relative to the store.
    pub(crate) path: PathBuf,
    header: TierHeader,
    segments: Vec<Covered>,
    templates: Templates,
    map: Arc<dyn Mapping>,
    checked: Checked,
}

/// What opening a run came to.
#[derive(Debug)]
pub(crate) enum TierOpened {
    Good(Arc<TierFile>),
    Missing,
    /// There, and not to be used; why.
    Unfit(String),
}

impl TierFile {
    pub(crate) fn open(storage: &dyn Storage, path: &Path, log: LogId) -> TierOpened {
        match Self::try_open(storage, path, log) {
            Ok(file) => TierOpened::Good(Arc::new(file)),
            Err(Ok(error)) if error.kind() == io::ErrorKind::NotFound => TierOpened::Missing,
            Err(Ok(error)) => TierOpened::Unfit(format!("it cannot be read: {error}")),
            Err(Err(why)) => TierOpened::Unfit(why),
        }
    }

    fn try_open(storage: &dyn Storage, path: &Path, log: LogId) -> Result<TierFile, Result<io::Error, String>> {
        let file = storage.open(path, Mode::Read).map_err(Ok)?;
        let mut page = [0; PAGE_BYTES];
        let got = read_to_end_of(&*file, &mut page, 0).map_err(Ok)?;
        let damaged = |bad: Box<crate::format::Bad>| {
            Err(format!("it is damaged: at byte {} expected {}, found {}", bad.offset, bad.expected, bad.found))
        };
        let header = match TierHeader::read(page.get(..got).unwrap_or_default()) {
            Read::Valid(header) => header,
            Read::Newer { version } => return Err(Err(format!("it is of format version {version}"))),
            Read::Zero => return Err(Err("it begins with zeros".to_owned())),
            Read::Bad(bad) => return Err(damaged(bad)),
        };
        if header.log != log {
            return Err(Err(format!("it belongs to log {}", header.log)));
        }
        let len = file.len().map_err(Ok)?;
        if len != header.file_bytes {
            return Err(Err(format!("it has {len} bytes and not {}", header.file_bytes)));
        }
        let map = file.map(len).map_err(Ok)?;
        map.publish(len);
        // Lookups jump about; reading on would fetch what nobody asked for.
        map.advise(0..len, Advice::Random);
        let mut file = TierFile {
            path: path.to_owned(),
            checked: Checked::new(len),
            header,
            segments: Vec::new(),
            templates: Templates::default(),
            map,
        };
        file.segments = file.view().segments().map_err(damaged)?;
        file.templates = file.view().templates().map_err(damaged)?;
        Ok(file)
    }

    fn view(&self) -> TierView<'_> {
        // All of it was published when it was opened. Were it not, every page would be missing.
        let bytes = self.map.bytes(0..self.header.file_bytes).unwrap_or_default();
        TierView::new(bytes, &self.header, &self.checked)
    }

    /// The bytes of the file, none of them checked.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.map.bytes(0..self.header.file_bytes).unwrap_or_default()
    }

    pub(crate) fn log(&self) -> LogId {
        self.header.log
    }

    pub(crate) fn first(&self) -> Position {
        self.header.first
    }

    pub(crate) fn last(&self) -> Position {
        self.header.last
    }

    /// Of the tree over all events up to the last one.
    pub(crate) fn root(&self) -> &Hash {
        &self.header.root
    }

    pub(crate) fn segments(&self) -> &[Covered] {
        &self.segments
    }

    pub(crate) fn templates(&self) -> &Templates {
        &self.templates
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.header.file_bytes
    }

    pub(crate) fn entries(&self) -> u64 {
        self.header.entries
    }

    pub(crate) fn entry(&self, index: u64) -> Parsed<u64> {
        self.view().entry(index)
    }

    /// Appends the numbers of all segments that may hold a term, ascending.
    pub(crate) fn find(&self, hash: u64, found: &mut Vec<u16>) -> Parsed<()> {
        self.view().find(hash, &self.segments, found)
    }

    /// The number of the segment that holds a position of the run.
    pub(crate) fn segment_of(&self, position: Position) -> Option<u16> {
        let mut rows = position.get().checked_sub(self.header.first.get())?;
        for (number, segment) in (0u16..).zip(&self.segments) {
            match rows.checked_sub(u64::from(segment.rows)) {
                Some(rest) => rows = rest,
                None => return Some(number),
            }
        }
        None
    }
}
