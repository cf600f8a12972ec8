//! Names of the files of a store, relative to its directory.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::io::Storage;
use crate::position::Position;

pub(crate) const LOCK: &str = "LOCK";
pub(crate) const ANCHOR: &str = "ANCHOR";
pub(crate) const ANCHOR_TMP: &str = "ANCHOR.tmp";
pub(crate) const LIVE: &str = "LIVE";
pub(crate) const LOG: &str = "log";
pub(crate) const SNAPSHOTS: &str = "snapshots";
pub(crate) const QUARANTINE: &str = "quarantine";
const BASE_DIGITS: usize = 20;

pub(crate) fn raw(base: Position) -> PathBuf {
    PathBuf::from(format!("{LOG}/{:0BASE_DIGITS$}.raw", base.get()))
}

pub(crate) fn sealed(base: Position) -> PathBuf {
    PathBuf::from(format!("{LOG}/{:0BASE_DIGITS$}.seg", base.get()))
}

/// The next segment's file while it is prepared.
pub(crate) fn spare() -> PathBuf {
    PathBuf::from(LOG).join("spare.tmp")
}

/// What a name in `log/` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFile {
    Raw(Position),
    Sealed(Position),
    Idx(Position),
    /// Unfinished work of a writer; without meaning.
    Temporary,
    Foreign,
}

impl LogFile {
    pub(crate) fn parse(name: &str) -> LogFile {
        if name.ends_with(".tmp") {
            return LogFile::Temporary;
        }
        let Some((digits, extension)) = name.split_once('.') else { return LogFile::Foreign };
        let whole = digits.len() == BASE_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        let base = digits.parse().ok().filter(|base| whole && *base > 0).map(Position::new);
        match (base, extension) {
            (Some(base), "raw") => LogFile::Raw(base),
            (Some(base), "seg") => LogFile::Sealed(base),
            (Some(base), "idx") => LogFile::Idx(base),
            _ => LogFile::Foreign,
        }
    }
}

/// What stands in `log/`.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Bases of the raw segments, ascending.
    pub(crate) raw: Vec<Position>,
    /// Bases of the sealed segments, ascending.
    pub(crate) sealed: Vec<Position>,
    pub(crate) temporary: Vec<PathBuf>,
    pub(crate) foreign: Vec<PathBuf>,
}

/// Lists `log/`; a missing directory holds nothing.
pub(crate) fn list(storage: &dyn Storage) -> Result<Listing> {
    let entries = match storage.list(LOG.as_ref()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::io("list log", error)),
    };
    let mut listing = Listing::default();
    for entry in entries {
        let path = PathBuf::from(LOG).join(&entry.name);
        match LogFile::parse(&entry.name) {
            LogFile::Raw(base) => listing.raw.push(base),
            LogFile::Sealed(base) => listing.sealed.push(base),
            LogFile::Idx(_) => {}
            LogFile::Temporary => listing.temporary.push(path),
            LogFile::Foreign => listing.foreign.push(path),
        }
    }
    listing.raw.sort_unstable();
    listing.sealed.sort_unstable();
    Ok(listing)
}

/// What a directory is, judged by its names alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directory {
    Missing,
    /// Nothing in it, or nothing but what an unfinished creation leaves.
    Empty,
    Store,
    Foreign,
}

pub(crate) fn what_is(storage: &dyn Storage) -> Result<Directory> {
    let entries = match storage.list("".as_ref()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Directory::Missing),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(Directory::Foreign),
        Err(error) => return Err(Error::io("list the directory", error)),
    };
    let has = |name: &str| entries.iter().any(|entry| entry.name == name);
    let listing = list(storage)?;
    if has(ANCHOR) || !listing.raw.is_empty() || !listing.sealed.is_empty() {
        return Ok(Directory::Store);
    }
    // Others call a directory `log` too.
    let unfinished = listing.foreign.is_empty()
        && entries.iter().all(|entry| [LOCK, ANCHOR_TMP, LOG, LIVE].contains(&entry.name.as_str()));
    Ok(if unfinished { Directory::Empty } else { Directory::Foreign })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_only_in_their_one_spelling() {
        assert_eq!(LogFile::parse("00000000000000000001.raw"), LogFile::Raw(Position::new(1)));
        assert_eq!(LogFile::parse("00000000000000000001.idx"), LogFile::Idx(Position::new(1)));
        assert_eq!(LogFile::parse("00000000000000000000.raw"), LogFile::Foreign);
        assert_eq!(LogFile::parse("1.raw"), LogFile::Foreign);
        assert_eq!(LogFile::parse("+0000000000000000001.raw"), LogFile::Foreign);
        assert_eq!(LogFile::parse("spare.tmp"), LogFile::Temporary);
        assert_eq!(LogFile::parse("notes.txt"), LogFile::Foreign);
        assert_eq!(raw(Position::new(42)).to_str(), Some("log/00000000000000000042.raw"));
    }
}
