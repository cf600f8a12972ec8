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
pub(crate) const INDEX: &str = "index";
pub(crate) const QUARANTINE: &str = "quarantine";
pub(crate) const WORKERS: &str = "workers";
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

/// The run of lookup tiers over the events from `first` to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunName {
    pub(crate) first: Position,
    pub(crate) last: Position,
}

impl RunName {
    fn name(self) -> String {
        format!("terms-{:0BASE_DIGITS$}-{:0BASE_DIGITS$}.run", self.first.get(), self.last.get())
    }

    pub(crate) fn path(self) -> PathBuf {
        PathBuf::from(INDEX).join(self.name())
    }

    /// The file while it is made.
    pub(crate) fn temporary(self) -> PathBuf {
        PathBuf::from(INDEX).join(self.name() + ".tmp")
    }

    pub(crate) fn parse(name: &str) -> Option<RunName> {
        let (first, last) = name.strip_prefix("terms-")?.strip_suffix(".run")?.split_once('-')?;
        let position = |text: &str| text.parse().ok().map(Position::new);
        let found = RunName { first: position(first)?, last: position(last)? };
        // In its one spelling, and not empty.
        (found.name() == name && found.first > Position::ORIGIN && found.first <= found.last).then_some(found)
    }
}

/// Names in `index/`; a missing directory holds nothing.
fn index_names(storage: &dyn Storage) -> Result<Vec<String>> {
    match storage.list(INDEX.as_ref()) {
        Ok(entries) => Ok(entries.into_iter().map(|entry| entry.name).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("list index", error)),
    }
}

/// The runs of lookup tiers that are there, in any order.
pub(crate) fn list_runs(storage: &dyn Storage) -> Result<Vec<RunName>> {
    Ok(index_names(storage)?.iter().filter_map(|name| RunName::parse(name)).collect())
}

/// Files of runs whose making ended in the middle.
pub(crate) fn list_unfinished_runs(storage: &dyn Storage) -> Result<Vec<PathBuf>> {
    let is_one = |name: &String| name.strip_suffix(".tmp").is_some_and(|name| RunName::parse(name).is_some());
    Ok(index_names(storage)?.into_iter().filter(is_one).map(|name| PathBuf::from(INDEX).join(name)).collect())
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
        let run = RunName { first: Position::new(7), last: Position::new(42) };
        assert_eq!(run.path().to_str(), Some("index/terms-00000000000000000007-00000000000000000042.run"));
        assert_eq!(RunName::parse(&run.name()), Some(run));
        let bad = ["terms-7-42.run", "terms-00000000000000000042-00000000000000000007.run", "terms-.run", "x.run"];
        assert!(bad.into_iter().all(|name| RunName::parse(name).is_none()));
        assert_eq!(LogFile::parse("spare.tmp"), LogFile::Temporary);
        assert_eq!(LogFile::parse("notes.txt"), LogFile::Foreign);
        assert_eq!(raw(Position::new(42)).to_str(), Some("log/00000000000000000042.raw"));
    }
}
