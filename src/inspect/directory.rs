//! What the files of a directory are, each by its first pages alone.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{FileKind, Inspection, KnownBy, PageState, Problem, empty, kind_of, pages, sealed, snapshots, workers};
use crate::format::idx::IdxHeader;
use crate::format::layout;
use crate::format::tier::TierHeader;
use crate::io::{File, Mode, Storage};
use crate::log::files::{ANCHOR, ANCHOR_TMP, INDEX, LIVE, LOCK, LOG, LogFile, QUARANTINE, SNAPSHOTS, WORKERS};

/// A file in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileView {
    /// Its path, relative to the directory.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// What it is.
    pub kind: FileKind,
    /// What told so.
    pub known_by: KnownBy,
    /// In a few words what it says of itself.
    pub summary: String,
    /// Whether its first pages are as they should be. What follows them was not looked at.
    pub good: bool,
}

pub(super) fn inspect(storage: &dyn Storage) -> io::Result<Inspection> {
    let root = Path::new("");
    let entries = storage.list(root)?;
    let is_store = entries.iter().any(|entry| entry.name == LOG || entry.name == ANCHOR);
    let kind = if is_store { FileKind::Store } else { FileKind::Directory };
    let mut inspection = Inspection::new(0, kind, KnownBy::Content);
    for entry in entries {
        let path = PathBuf::from(&entry.name);
        if !entry.is_dir {
            let name = entry.name.as_str();
            let is_log_file = !matches!(LogFile::parse(name), LogFile::Foreign);
            add(&mut inspection, storage, &path)?;
            if is_store && ![LOCK, ANCHOR, ANCHOR_TMP, LIVE].contains(&name) && !is_log_file {
                inspection.notes.push(format!("{} is no file of the store", shown(&path)));
            }
        } else if is_store && [LOG, INDEX, QUARANTINE, SNAPSHOTS, WORKERS].contains(&entry.name.as_str()) {
            for inner in storage.list(&path)? {
                let inner_path = path.join(&inner.name);
                if inner.is_dir {
                    inspection.notes.push(format!("{} is a directory", shown(&inner_path)));
                } else {
                    add(&mut inspection, storage, &inner_path)?;
                }
            }
        } else {
            inspection.notes.push(format!("{} is a directory", shown(&path)));
        }
    }
    Ok(inspection)
}

fn shown(path: &Path) -> String {
    crate::time::one_line(&path.to_string_lossy(), 256)
}

fn add(inspection: &mut Inspection, storage: &dyn Storage, path: &Path) -> io::Result<()> {
    // Gone since the directory was listed, as a writer may do.
    let Some(meta) = storage.metadata(path)? else { return Ok(()) };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (head, summary) = match meta.len {
        0 => (empty(&name), "empty".to_owned()),
        _ => match storage.open(path, Mode::Read).and_then(|file| look(&*file, &name)) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                let mut unread = Inspection::new(meta.len, FileKind::Unknown, KnownBy::Nothing);
                unread.problem(Problem::new("file", 0, "a file that can be read", error.to_string()));
                (unread, error.to_string())
            }
        },
    };
    let in_quarantine = path.starts_with(QUARANTINE);
    for problem in head.problems.iter().filter(|_| !in_quarantine) {
        let what = format!("{}: {}", shown(path), problem.what);
        inspection.problem(Problem { what, ..problem.clone() });
    }
    inspection.bytes = inspection.bytes.saturating_add(meta.len);
    inspection.files.push(FileView {
        path: shown(path),
        bytes: meta.len,
        kind: head.kind,
        known_by: head.known_by,
        summary,
        good: head.problems.is_empty(),
    });
    Ok(())
}

/// The first pages of a file, and what they say in a few words.
fn look(file: &dyn File, name: &str) -> io::Result<(Inspection, String)> {
    let (kind, known_by) = kind_of(file, name)?;
    let mut head = Inspection::new(file.len()?, kind, known_by);
    let summary = match kind {
        FileKind::Segment => {
            pages::segment(&mut head, file, name)?;
            segment(&head)
        }
        FileKind::Index => {
            let bytes = super::read_page(file, 0)?;
            let header = pages::page(&mut head, "header", 0, layout::IDX_HEADER, &bytes, IdxHeader::read(&bytes));
            header.map(|header| format!("{} rows from position {} on", header.rows, header.facts.base))
        }
        FileKind::Tier => {
            let bytes = super::read_page(file, 0)?;
            let header = pages::page(&mut head, "header", 0, layout::TIER_HEADER, &bytes, TierHeader::read(&bytes));
            let text = |header: TierHeader| {
                format!("terms of positions {} to {} in {} segments", header.first, header.last, header.segments)
            };
            header.map(text)
        }
        FileKind::Sealed => sealed::summary(&mut head, file, name)?,
        FileKind::Snapshots => {
            let header = snapshots::header(&mut head, file)?;
            header.map(|(header, _)| format!("states of {:?}", header.name))
        }
        FileKind::Worker => {
            let header = workers::header(&mut head, file)?;
            header.map(|header| format!("what the worker {} knows", header.name))
        }
        FileKind::Anchor => {
            pages::anchor(&mut head, file)?;
            head.notes.first().cloned()
        }
        FileKind::Live => {
            pages::live(&mut head, file)?;
            let field = |name| value(&head, 0, name);
            field("published position")
                .zip(field("state"))
                .map(|(position, state)| format!("published up to {position}, state {state}"))
        }
        FileKind::Lock => Some(pages::text(file)?),
        FileKind::Store | FileKind::Directory | FileKind::Unknown => None,
    };
    let bad = || head.problems.first().map(|bad| format!("expected {}, found {}", bad.expected, bad.found));
    let summary = summary.or_else(bad).unwrap_or_default();
    Ok((head, summary))
}

fn value<'a>(head: &'a Inspection, page: usize, name: &str) -> Option<&'a str> {
    let fields = &head.pages.get(page)?.fields;
    fields.iter().find(|field| field.name == name).map(|field| field.value.as_str())
}

fn segment(head: &Inspection) -> Option<String> {
    let field = |name| value(head, 0, name);
    let page = head.pages.first().filter(|page| page.state == PageState::Valid);
    page?;
    let mut text =
        format!("from position {} on, epoch {}, {}", field("base position")?, field("epoch")?, field("durability")?);
    let slots = (1..head.pages.len()).filter(|page| head.pages[*page].state == PageState::Valid);
    let seq = |page: &usize| value(head, *page, "seq").and_then(|seq| seq.parse::<u64>().ok());
    if let Some(newest) = slots.max_by_key(seq) {
        let state = value(head, newest, "state").unwrap_or_default();
        let end = value(head, newest, "end position").unwrap_or_default();
        text.push_str(&format!(", {state} at position {end}"));
    }
    Some(text)
}
