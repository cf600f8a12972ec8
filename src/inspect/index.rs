//! The index of a rolled segment: its header, every page's check, and whether it is an index at all.

use std::io;

use serde::Serialize;

use super::pages::page;
use super::{Inspection, Problem, read, read_page};
use crate::format::bytes::u64_at;
use crate::format::idx::{Checked, IdxHeader, IdxView, check_page};
use crate::format::{PAGE_BYTES, Parsed, layout};
use crate::io::File;
use crate::segment::scan::Window;

/// An index up to so many bytes is read whole and checked for its order; of a larger one only the
/// pages are.
const WHOLE_BYTES_MAX: u64 = 256 << 20;
/// Event types that are listed.
const TYPES_SHOWN: usize = 50;
/// Where the header keeps the segment's salt.
const SALT_AT: usize = 48;

/// The content of an index beside its header.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct IndexView {
    /// Pages behind the header.
    pub pages: u64,
    /// Those of them that fail their check.
    pub bad_pages: u64,
    /// Whether all that the pages hold was checked too: order, bounds, filter.
    pub checked_whole: bool,
    /// The event types, each with the number of its events; the first 50.
    pub types: Vec<(String, u32)>,
    /// How many types there are.
    pub type_count: u64,
}

pub(super) fn inspect(inspection: &mut Inspection, file: &dyn File) -> io::Result<()> {
    let head = read_page(file, 0)?;
    let read_header = IdxHeader::read(&head);
    let is_zero = read_header == crate::format::Read::Zero;
    let header = page(inspection, "header", 0, layout::IDX_HEADER, &head, read_header);
    if is_zero {
        inspection.problem(Problem::new("header", 0, "the header of an index", "zeros"));
    }
    if header.is_none() {
        inspection.notes.push("the header is bad; the pages are checked with the salt it shows".to_owned());
    }
    let mut view = IndexView::default();
    let salt = header.map_or_else(|| u64_at(&head, SALT_AT).unwrap_or_default(), |header| header.facts.salt);
    (view.pages, view.bad_pages) = check_pages(inspection, file, salt)?;
    if let Some(header) = header.filter(|_| view.bad_pages == 0) {
        if header.file_bytes != inspection.bytes {
            let expected = format!("a file of {} bytes", header.file_bytes);
            let found = format!("{} bytes", inspection.bytes);
            inspection.problem(Problem::new("file", inspection.bytes, expected, found));
        } else if header.file_bytes > WHOLE_BYTES_MAX {
            inspection.notes.push("too large to be read whole: only its pages were checked".to_owned());
        } else {
            let bytes = read(file, 0, header.file_bytes as usize)?;
            if let Err(bad) = look_into(&mut view, &bytes, &header) {
                inspection.problem(Problem::of("content", &bad));
            }
        }
    }
    inspection.index = Some(view);
    Ok(())
}

/// Checks every page but the header: how many there are, and how many fail.
pub(super) fn check_pages(inspection: &mut Inspection, file: &dyn File, salt: u64) -> io::Result<(u64, u64)> {
    let (mut pages, mut bad_pages) = (0, 0);
    let mut window = Window::new(file)?;
    let mut offset = PAGE_BYTES as u64;
    while offset < inspection.bytes {
        let bytes = window.get(offset, PAGE_BYTES as u64)?;
        pages += 1;
        if let Err(bad) = check_page(bytes, salt, offset) {
            bad_pages += 1;
            inspection.problem(Problem::of(format!("page {}", offset / PAGE_BYTES as u64), &bad));
        }
        offset += PAGE_BYTES as u64;
    }
    Ok((pages, bad_pages))
}

fn look_into(view: &mut IndexView, bytes: &[u8], header: &IdxHeader) -> Parsed<()> {
    let checked = Checked::new(bytes.len() as u64);
    let idx = IdxView::new(bytes, header, &checked);
    if let Some(names) = idx.type_names()? {
        view.type_count = names.iter().len() as u64;
        view.types = names.iter().take(TYPES_SHOWN).map(|(name, _, rows)| (name.to_owned(), rows)).collect();
    }
    idx.check_all()?;
    view.checked_whole = true;
    Ok(())
}
