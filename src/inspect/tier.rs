//! A run of lookup tiers: its header, every page's check, and whether its entries are in order.

use std::io;

use serde::Serialize;

use super::index::check_pages;
use super::pages::page;
use super::{Inspection, Problem, read, read_page};
use crate::format::bytes::u64_at;
use crate::format::idx::Checked;
use crate::format::tier::{TierHeader, TierView};
use crate::format::{Parsed, Read, layout};
use crate::io::File;

/// A run up to so many bytes is read whole; of a larger one only the pages are checked.
const WHOLE_BYTES_MAX: u64 = 256 << 20;
/// Where the header keeps what the salt of the pages is made of.
const FIRST_AT: usize = 40;
const ROOT_AT: usize = 56;

/// The content of a run of lookup tiers beside its header.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct TierSummary {
    /// Pages behind the header.
    pub pages: u64,
    /// Those of them that fail their check.
    pub bad_pages: u64,
    /// Whether all that the pages hold was checked too.
    pub checked_whole: bool,
    /// Sealed segments that it covers.
    pub segments: u64,
    /// Pairs of a term and a segment.
    pub entries: u64,
}

pub(super) fn inspect(inspection: &mut Inspection, file: &dyn File) -> io::Result<()> {
    let head = read_page(file, 0)?;
    let read_header = TierHeader::read(&head);
    if read_header == Read::Zero {
        inspection.problem(Problem::new("header", 0, "the header of a run of lookup tiers", "zeros"));
    }
    let header = page(inspection, "header", 0, layout::TIER_HEADER, &head, read_header);
    if header.is_none() {
        inspection.notes.push("the header is bad; the pages are checked with the salt it shows".to_owned());
    }
    let salt = u64_at(&head, ROOT_AT).unwrap_or_default() ^ u64_at(&head, FIRST_AT).unwrap_or_default();
    let mut view = TierSummary::default();
    (view.pages, view.bad_pages) = check_pages(inspection, file, salt)?;
    if let Some(header) = header {
        (view.segments, view.entries) = (u64::from(header.segments), header.entries);
        if header.file_bytes != inspection.bytes {
            let expected = format!("a file of {} bytes", header.file_bytes);
            let found = format!("{} bytes", inspection.bytes);
            inspection.problem(Problem::new("file", inspection.bytes, expected, found));
        } else if header.file_bytes > WHOLE_BYTES_MAX {
            inspection.notes.push("too large to be read whole: only its pages were checked".to_owned());
        } else if view.bad_pages == 0 {
            let bytes = read(file, 0, header.file_bytes as usize)?;
            match look_into(&bytes, &header) {
                Ok(()) => view.checked_whole = true,
                Err(bad) => inspection.problem(Problem::of("content", &bad)),
            }
        }
    }
    inspection.tier = Some(view);
    Ok(())
}

fn look_into(bytes: &[u8], header: &TierHeader) -> Parsed<()> {
    let checked = Checked::new(bytes.len() as u64);
    TierView::new(bytes, header, &checked).check_all()
}
