//! The pages that begin a file: segment header and slots, ANCHOR, LIVE; and the text of LOCK.

use std::io;

use serde::Serialize;

use super::fields::{FieldView, fields};
use super::{Inspection, Problem, is_temporary, read, read_page};
use crate::event::LogId;
use crate::format::anchor::{self, Anchor};
use crate::format::bytes::{array, u64_at};
use crate::format::frame::{FIRST_OFFSET, SegmentFacts};
use crate::format::header::SegmentHeader;
use crate::format::layout::{self, Layout};
use crate::format::live::{Identity, State, position_check, word};
use crate::format::slot::{self, Slot};
use crate::format::{PAGE_BYTES, Read};
use crate::io::{File, Meta, Storage};
use crate::log::files::LogFile;
use crate::position::Position;

/// Bytes of a LOCK file that are shown.
const TEXT_BYTES_MAX: usize = 4096;

/// What a page turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PageState {
    /// Its checks hold.
    Valid,
    /// All zeros: never written.
    Zero,
    /// Whole, but of a format that this version does not know.
    Newer,
    /// A check fails; the fields are shown as they stand.
    Bad,
}

/// A page, field by field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PageView {
    /// Which one: `header`, `slot 0`.
    pub name: String,
    /// Where it begins.
    pub offset: u64,
    /// Whether it is to be believed.
    pub state: PageState,
    /// Its fields as they stand; none where it is zeros.
    pub fields: Vec<FieldView>,
}

/// Adds a page and, if it is not as it should be, the problem. Returns its value if it is valid.
pub(super) fn page<T>(
    inspection: &mut Inspection,
    name: &str,
    offset: u64,
    layout: Layout,
    bytes: &[u8],
    read: Read<T>,
) -> Option<T> {
    let (state, value) = match read {
        Read::Valid(value) => (PageState::Valid, Some(value)),
        Read::Zero => (PageState::Zero, None),
        Read::Newer { version } => {
            let found = format!("format version {version}");
            inspection.problem(Problem::new(name, offset, "format version 1", found));
            (PageState::Newer, None)
        }
        Read::Bad(bad) => {
            inspection.problem(Problem::of(name, &bad.after(offset)));
            (PageState::Bad, None)
        }
    };
    let fields = if state == PageState::Zero { Vec::new() } else { fields(layout, bytes, offset) };
    inspection.pages.push(PageView { name: name.to_owned(), offset, state, fields });
    value
}

/// What the first pages of a segment say.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// What the checks of the frames depend on: from the header where it is valid, else from where
    /// it should stand, in case that only something else of the page is damaged.
    pub(super) facts: Option<SegmentFacts>,
    /// Position of the first event, where the header is valid or the name says so.
    pub(super) base: Option<Position>,
    /// The newer of the valid slots.
    pub(super) slot: Option<Slot>,
}

/// Header and slots of a segment.
pub(super) fn segment(inspection: &mut Inspection, file: &dyn File, name: &str) -> io::Result<Head> {
    let bytes = read_page(file, 0)?;
    let read = SegmentHeader::read(&bytes);
    let is_zero = read == Read::Zero;
    let valid = page(inspection, "header", 0, layout::SEGMENT_HEADER, &bytes, read);
    if is_zero && is_temporary(name) {
        inspection.notes.push("room for the next segment, which has not begun".to_owned());
        return Ok(Head::default());
    }
    if is_zero {
        inspection.problem(Problem::new("header", 0, "a segment header", "zeros"));
    }
    let named = match LogFile::parse(name.get(..24).unwrap_or_default()) {
        LogFile::Raw(base) => Some(base),
        _ => None,
    };
    let mut head = Head { base: named, ..Head::default() };
    if let Some(header) = valid {
        if let Some(named) = named.filter(|named| *named != header.base) {
            let expected = format!("base position {named}, as the name says");
            inspection.problem(Problem::new("header", 40, expected, header.base.to_string()));
        }
        if inspection.bytes > header.segment_bytes {
            let expected = format!("a file of at most {} bytes", header.segment_bytes);
            let found = format!("{} bytes", inspection.bytes);
            inspection.problem(Problem::new("file", header.segment_bytes, expected, found));
        }
        head.base = Some(header.base);
        head.facts = Some(SegmentFacts { log: header.log, epoch: header.epoch, salt: header.salt });
    } else if !is_zero {
        let log = array(&bytes, 24).map(LogId);
        let fields = log.zip(u64_at(&bytes, 48)).zip(u64_at(&bytes, 56));
        head.facts = fields.map(|((log, epoch), salt)| SegmentFacts { log, epoch, salt });
        if head.facts.is_some() {
            inspection.notes.push("the header is bad; frames and slots are checked with the salt it shows".to_owned());
        }
    }
    for (index, offset) in slot::OFFSETS.into_iter().enumerate() {
        let bytes = read_page(file, offset)?;
        let salt = head.facts.map_or(0, |facts| facts.salt);
        let read = if bytes.is_empty() { Read::Zero } else { Slot::read(&bytes, salt, offset) };
        let name = format!("slot {index}");
        let Some(slot) = page(inspection, &name, offset, layout::SLOT, &bytes, read) else { continue };
        if let Some(facts) = head.facts.filter(|facts| facts.log != slot.log) {
            let expected = format!("log {}", facts.log);
            inspection.problem(Problem::new(&name, offset + 16, expected, slot.log.to_string()));
        } else if let Some(base) = head.base.filter(|base| *base != slot.base) {
            let expected = format!("base position {base}");
            inspection.problem(Problem::new(&name, offset + 40, expected, slot.base.to_string()));
        } else if head.slot.is_none_or(|other| other.seq < slot.seq) {
            head.slot = Some(slot);
        }
    }
    if inspection.bytes < FIRST_OFFSET {
        let found = format!("the end after {} bytes", inspection.bytes);
        inspection.problem(Problem::new("file", inspection.bytes, "header and two slots, 12288 bytes", found));
    }
    Ok(head)
}

/// Both slots of ANCHOR.
pub(super) fn anchor(inspection: &mut Inspection, file: &dyn File) -> io::Result<()> {
    let mut newest: Option<Anchor> = None;
    for (index, offset) in anchor::OFFSETS.into_iter().enumerate() {
        let bytes = read_page(file, offset)?;
        let read = Anchor::read(&bytes, offset);
        let anchor = page(inspection, &format!("slot {index}"), offset, layout::ANCHOR, &bytes, read);
        newest = newest.into_iter().chain(anchor).max_by_key(|anchor| anchor.seq);
    }
    match newest {
        None => {
            inspection.problem(Problem::new("file", 0, "a valid slot", "none"));
        }
        Some(anchor) => inspection.notes.push(format!(
            "log {}, epoch {}: durable up to position {} in a segment from {} on; root of the first {}: {}",
            anchor.log,
            anchor.epoch,
            anchor.durable,
            anchor.newest_base,
            anchor.tree.size(),
            super::fields::hex(&anchor.tree.root())
        )),
    }
    if inspection.bytes != anchor::FILE_BYTES as u64 {
        let found = format!("{} bytes", inspection.bytes);
        inspection.problem(Problem::new("file", inspection.bytes, "a file of 8192 bytes", found));
    }
    Ok(())
}

/// The words of LIVE.
pub(super) fn live(inspection: &mut Inspection, file: &dyn File) -> io::Result<()> {
    let bytes = read_page(file, 0)?;
    let word = |index: usize| u64_at(&bytes, index * 8);
    let mut head = [0; 8];
    head.iter_mut().enumerate().for_each(|(index, value)| *value = word(index).unwrap_or_default());
    let identity = Identity::read(&head);
    let state = if identity.is_some() { PageState::Valid } else { PageState::Bad };
    let fields = fields(layout::LIVE, &bytes, 0);
    inspection.pages.push(PageView { name: "words".to_owned(), offset: 0, state, fields });
    if bytes.len() < PAGE_BYTES {
        let found = format!("the end after {} bytes", bytes.len());
        inspection.problem(Problem::new("file", bytes.len() as u64, "a page of 4096 bytes", found));
    }
    let Some(identity) = identity else {
        inspection.problem(Problem::new("words", 0, "magic and identity check", "others"));
        return Ok(());
    };
    for (what, at) in [("published position", word::PUBLISHED), ("durable position", word::DURABLE)] {
        let (Some(position), Some(check)) = (word(at), word(at + 1)) else { continue };
        let expected = position_check(position, identity.session);
        if check != expected {
            let (expected, found) = (format!("check {expected:016x}"), format!("{check:016x}"));
            inspection.problem(Problem::new(what, at as u64 * 8 + 8, expected, found));
        }
    }
    let state = word(word::STATE).unwrap_or_default();
    if State::from_word(state).is_none() {
        inspection.problem(Problem::new("state", word::STATE as u64 * 8, "a state from 1 to 4", state.to_string()));
    }
    if word(word::GENERATION).is_some_and(|generation| generation % 2 == 1) {
        inspection.notes.push("the generation is odd: the list of files was changing".to_owned());
    }
    Ok(())
}

/// Whether LIVE is this very file's, under this very boot: else readers do not believe it.
pub(super) fn note_place_of_live(inspection: &mut Inspection, storage: &dyn Storage, meta: &Meta) {
    let value = |name: &str| {
        let fields = inspection.pages.first().map(|page| page.fields.as_slice()).unwrap_or_default();
        fields.iter().find(|field| field.name == name).map(|field| field.value.clone())
    };
    let is = |name: &str, number: String| value(name).is_some_and(|value| value == number);
    let here = is("device", meta.device.to_string()) && is("inode", meta.inode.to_string());
    let booted = is("boot id", format!("{:016x}", storage.boot_id()));
    if !here {
        inspection
            .notes
            .push("it was written as another file: this is a copy, and readers do not believe it".to_owned());
    }
    if !booted {
        inspection.notes.push("it was written under another boot: readers do not believe it".to_owned());
    }
}

/// The text of a LOCK file, on one line.
pub(super) fn text(file: &dyn File) -> io::Result<String> {
    let bytes = read(file, 0, TEXT_BYTES_MAX)?;
    Ok(crate::time::one_line(String::from_utf8_lossy(&bytes).trim_end(), TEXT_BYTES_MAX))
}
