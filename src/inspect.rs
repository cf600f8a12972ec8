//! Any file of a store, decoded as far as its bytes allow. For people who want to see what stands on
//! the disk, above all where something is damaged.
//!
//! Invariants: nothing is changed, not even a time of access that the system does not set by itself;
//! nothing is believed, so every field is shown as it stands and beside it whether its check holds;
//! no byte makes it panic, and memory is bounded whatever a length claims.

mod directory;
mod fields;
mod frames;
mod index;
mod pages;
mod sealed;
mod show;
mod snapshots;
#[cfg(test)]
mod tests;
mod tier;
mod workers;

use std::borrow::Cow;
use std::io;
use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::format::sealed::envelope;
use crate::format::{Bad, PAGE_BYTES, anchor, frame, header, idx, live, slot, snapshot, tier as tier_format, worker};
use crate::io::{DiskStorage, File, Mode, Storage, read_to_end_of};
use crate::log::files;

pub use directory::FileView;
pub use fields::FieldView;
pub use frames::{FrameView, FramesView};
pub use index::IndexView;
pub use pages::{PageState, PageView};
pub use sealed::{BlockView, SealedView, SectionView};
pub use snapshots::{SnapshotView, SnapshotsView};
pub use tier::TierSummary;
pub use workers::{WorkerFileView, WorkerFrameView};

/// Frames, or blocks, shown from the front and from the end, where not all were asked for.
const FIRST_FRAMES: usize = 50;
const LAST_FRAMES: usize = 10;
/// Problems kept; the rest are counted. A file can be made to have millions.
const PROBLEMS_MAX: usize = 1000;

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileKind {
    /// A directory that is a store.
    Store,
    /// Any other directory.
    Directory,
    /// A raw segment, or what is left of one.
    Segment,
    /// The index of a rolled segment.
    Index,
    /// A run of lookup tiers over sealed segments.
    Tier,
    /// A sealed segment, or the stub of an archived one.
    Sealed,
    /// Stored states of one kind.
    Snapshots,
    /// What a worker has to know after a crash.
    Worker,
    /// ANCHOR: identity of the log, and how far it surely reached.
    Anchor,
    /// LIVE: how other processes follow the writer.
    Live,
    /// LOCK: who writes.
    Lock,
    /// No file of a store, as far as can be told.
    Unknown,
}

/// What told the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KnownBy {
    /// What the file holds.
    Content,
    /// Its name alone.
    Name,
    /// Nothing.
    Nothing,
}

/// A place that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// What stands there, or should: `header`, `slot 1`, `frame`, `page 7`.
    pub what: String,
    /// Where in the file the bad bytes begin.
    pub offset: u64,
    /// How many bytes can't be told from there on, where that is known.
    pub bytes: Option<u64>,
    /// What should have stood there.
    pub expected: String,
    /// What stood there.
    pub found: String,
}

impl Problem {
    fn new(
        what: impl Into<String>,
        offset: u64,
        expected: impl Into<Cow<'static, str>>,
        found: impl Into<Cow<'static, str>>,
    ) -> Problem {
        let (expected, found) = (expected.into().into_owned(), found.into().into_owned());
        Problem { what: what.into(), offset, bytes: None, expected, found }
    }

    fn of(what: impl Into<String>, bad: &Bad) -> Problem {
        Problem::new(what, bad.offset, bad.expected.clone(), bad.found.clone())
    }
}

/// A file of a store as it stands on the disk; see [`inspect`]. Displayed as tables for people,
/// serialized for programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// The path as it was given.
    pub path: String,
    /// Length of the file; of a directory the sum over its files.
    pub bytes: u64,
    /// What it is.
    pub kind: FileKind,
    /// What told so.
    pub known_by: KnownBy,
    /// The pages that begin it, field by field; of a sealed segment what stands at its ends.
    pub pages: Vec<PageView>,
    /// The frames of a segment.
    pub frames: Option<FramesView>,
    /// The content of an index.
    pub index: Option<IndexView>,
    /// The content of a run of lookup tiers.
    pub tier: Option<TierSummary>,
    /// The parts of a sealed segment.
    pub sealed: Option<SealedView>,
    /// The stored states in a file of them.
    pub snapshots: Option<SnapshotsView>,
    /// The content of a worker's file.
    pub worker: Option<WorkerFileView>,
    /// The text of a LOCK file.
    pub text: Option<String>,
    /// The files of a directory.
    pub files: Vec<FileView>,
    /// What is worth knowing and no fault.
    pub notes: Vec<String>,
    /// Everything that is not as it should be, in order of place; at most 1,000.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more_problems: u64,
}

impl Inspection {
    fn new(bytes: u64, kind: FileKind, known_by: KnownBy) -> Inspection {
        Inspection {
            path: String::new(),
            bytes,
            kind,
            known_by,
            pages: Vec::new(),
            frames: None,
            index: None,
            tier: None,
            sealed: None,
            snapshots: None,
            worker: None,
            text: None,
            files: Vec::new(),
            notes: Vec::new(),
            problems: Vec::new(),
            more_problems: 0,
        }
    }

    /// Whether the file is one of a store and nothing in it fails a check. A segment that is still
    /// written may end in an unfinished frame, which does.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.kind != FileKind::Unknown
    }

    fn problem(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        } else {
            self.more_problems += 1;
        }
    }
}

/// How much to show of a large file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InspectOptions {
    all_frames: bool,
}

impl InspectOptions {
    /// The first 50 and the last 10 frames, or blocks, totals, and every bad place.
    #[must_use]
    pub fn new() -> InspectOptions {
        InspectOptions::default()
    }

    /// Shows every frame, or block: some 200 bytes of memory each.
    #[must_use]
    pub fn all_frames(mut self, all: bool) -> InspectOptions {
        self.all_frames = all;
        self
    }

    /// Decodes the file; see [`inspect`].
    ///
    /// # Errors
    /// As [`inspect`].
    pub fn inspect(&self, path: impl AsRef<Path>) -> Result<Inspection> {
        let path = path.as_ref();
        let failed = |error| Error::io(format_args!("read {}", path.display()), error);
        // The root of a storage may be a file, which then goes by the empty name.
        let storage = DiskStorage::open(path).map_err(failed)?;
        let whole = Path::new("");
        let Some(meta) = storage.metadata(whole).map_err(failed)? else {
            return Err(Error::not_found(format!("{} is not there", path.display())));
        };
        let mut inspection = if meta.is_dir {
            directory::inspect(&storage).map_err(failed)?
        } else if meta.len == 0 {
            // Not opened at all: what has no length may be a pipe that blocks.
            empty(&file_name(path))
        } else {
            let file = storage.open(whole, Mode::Read).map_err(failed)?;
            let mut inspection = self.inspect_file(&*file, &file_name(path)).map_err(failed)?;
            if inspection.kind == FileKind::Live {
                pages::note_place_of_live(&mut inspection, &storage, &meta);
            }
            inspection
        };
        inspection.path = path.display().to_string();
        Ok(inspection)
    }

    /// Decodes an open file that has this name.
    pub(crate) fn inspect_file(&self, file: &dyn File, name: &str) -> io::Result<Inspection> {
        let (kind, known_by) = kind_of(file, name)?;
        let mut inspection = Inspection::new(file.len()?, kind, known_by);
        match kind {
            FileKind::Segment => {
                let header = pages::segment(&mut inspection, file, name)?;
                frames::walk(&mut inspection, file, &header, self.all_frames)?;
            }
            FileKind::Index => index::inspect(&mut inspection, file)?,
            FileKind::Tier => tier::inspect(&mut inspection, file)?,
            FileKind::Sealed => sealed::inspect(&mut inspection, file, name, self.all_frames)?,
            FileKind::Snapshots => snapshots::inspect(&mut inspection, file)?,
            FileKind::Worker => workers::inspect(&mut inspection, file)?,
            FileKind::Anchor => pages::anchor(&mut inspection, file)?,
            FileKind::Live => pages::live(&mut inspection, file)?,
            FileKind::Lock => inspection.text = Some(pages::text(file)?),
            FileKind::Store | FileKind::Directory | FileKind::Unknown => {}
        }
        inspection.problems.sort_by_key(|problem| problem.offset);
        Ok(inspection)
    }
}

/// Decodes any file of a store, whole or damaged: a segment, raw or sealed, an index, lookup tiers, ANCHOR, LIVE, LOCK,
/// what lies in quarantine; or says what the files of a directory are. Changes nothing, and reads by
/// itself, without opening the store. Blocks while it reads the whole file.
///
/// What it finds wrong is no error but part of the answer; see [`Inspection::is_good`].
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let store = annals::Store::open(directory.path())?;
/// store.append([annals::NewEvent::bytes("note.created", "note/n-1", "text/plain", "A")])?;
/// store.close()?;
///
/// let anchor = annals::inspect(directory.path().join("ANCHOR"))?;
/// assert!(anchor.is_good());
/// println!("{anchor}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// `NotFound`, `Io`.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    InspectOptions::new().inspect(path)
}

fn file_name(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

fn empty(name: &str) -> Inspection {
    let (kind, known_by) = kind_by_name(name);
    let mut inspection = Inspection::new(0, kind, known_by);
    match kind {
        FileKind::Unknown | FileKind::Lock => {}
        FileKind::Segment | FileKind::Sealed if is_temporary(name) => {}
        _ => inspection.problem(Problem::new("file", 0, "a header", "no bytes")),
    }
    inspection
}

/// The kind of a file: by its content where that says anything, else by its name.
fn kind_of(file: &dyn File, name: &str) -> io::Result<(FileKind, KnownBy)> {
    // Each place where a magic stands that tells the kind. Page 0 comes first: the others are for
    // files that have lost it.
    let anchor_second = anchor::OFFSETS[1];
    let [slot_first, slot_second] = slot::OFFSETS;
    let tail = file.len()?.saturating_sub(envelope::TAIL_BYTES as u64);
    for (at, magic, kind) in [
        (0, &header::MAGIC[..], FileKind::Segment),
        (0, &idx::MAGIC, FileKind::Index),
        (0, &snapshot::MAGIC, FileKind::Snapshots),
        (0, &worker::MAGIC, FileKind::Worker),
        (0, &tier_format::MAGIC, FileKind::Tier),
        (0, &anchor::MAGIC, FileKind::Anchor),
        (0, &live::MAGIC.to_le_bytes(), FileKind::Live),
        (0, &envelope::MAGIC, FileKind::Sealed),
        (tail, &envelope::END_MAGIC, FileKind::Sealed),
        (anchor_second, &anchor::MAGIC, FileKind::Anchor),
        (slot_first, &slot::MAGIC, FileKind::Segment),
        (slot_second, &slot::MAGIC, FileKind::Segment),
        (frame::FIRST_OFFSET, &frame::MAGIC.to_le_bytes(), FileKind::Segment),
    ] {
        if read(file, at, magic.len())? == magic {
            return Ok((kind, KnownBy::Content));
        }
    }
    Ok(kind_by_name(name))
}

fn kind_by_name(name: &str) -> (FileKind, KnownBy) {
    // In quarantine a name may have a number behind it.
    let stem = match name.rsplit_once('.') {
        Some((stem, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => stem,
        _ => name,
    };
    let kind = match stem.strip_suffix(".tmp").unwrap_or(stem) {
        files::ANCHOR => FileKind::Anchor,
        files::LIVE => FileKind::Live,
        files::LOCK => FileKind::Lock,
        "spare" => FileKind::Segment,
        stem if stem.ends_with(".raw") || stem.ends_with(".cut") => FileKind::Segment,
        stem if stem.ends_with(".idx") => FileKind::Index,
        stem if stem.ends_with(".run") => FileKind::Tier,
        stem if stem.ends_with(".seg") => FileKind::Sealed,
        stem if stem.ends_with(".snap") => FileKind::Snapshots,
        stem if stem.ends_with(".log") => FileKind::Worker,
        _ => return (FileKind::Unknown, KnownBy::Nothing),
    };
    (kind, KnownBy::Name)
}

fn is_temporary(name: &str) -> bool {
    name.ends_with(".tmp")
}

/// Up to `len` bytes at a place; fewer at the end of the file.
fn read(file: &dyn File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let got = read_to_end_of(file, &mut bytes, offset)?;
    bytes.truncate(got);
    Ok(bytes)
}

fn read_page(file: &dyn File, offset: u64) -> io::Result<Vec<u8>> {
    read(file, offset, PAGE_BYTES)
}
