//! Looking at the files of a log: where each segment ends, what is proven durable, and the first
//! bad place. Reads only.

use std::path::PathBuf;
use std::sync::Arc;

use super::{told, walk};
use crate::error::{Corruption, Error, Result, newer_format};
use crate::event::LogId;
use crate::format::anchor::Anchor;
use crate::format::frame::{FIRST_OFFSET, SegmentFacts};
use crate::format::header::SegmentHeader;
use crate::format::slot::{self, Slot, State};
use crate::format::{PAGE_BYTES, Read};
use crate::io::{File, Mode as Open, Storage, read_to_end_of};
use crate::log::files;
use crate::position::Position;
use crate::segment::scan::Scan;
use crate::segment::sealed::{Ends, Unfit};
use crate::time::Timestamp;

/// One raw file, as far as it was looked at.
#[derive(Debug, Clone)]
pub(crate) struct RawFile {
    pub(crate) base: Position,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) len: u64,
    pub(crate) header: SegmentHeader,
    /// The newer of the valid slots.
    pub(crate) slot: Option<Slot>,
    /// Whether a slot was written and cannot be read.
    pub(crate) torn_slot: bool,
    /// Where its valid frames end and the position after them, once that is known.
    pub(crate) end: u64,
    pub(crate) next: Position,
    /// Frames that were looked at because nothing proved them durable before.
    pub(crate) scan: Option<Scan>,
}

impl RawFile {
    pub(crate) fn facts(&self) -> SegmentFacts {
        SegmentFacts { log: self.header.log, epoch: self.header.epoch, salt: self.header.salt }
    }
}

/// A sealed file whose ends hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SealedFile {
    pub(crate) path: PathBuf,
    pub(crate) ends: Ends,
}

/// A place from which on the log is to be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CutPlan {
    /// Index of the first file that is touched; what precedes `offset` in it stays. An offset of 0
    /// means that the file has no valid header and goes as a whole.
    pub(crate) file: usize,
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    /// The first position that is lost to the log.
    pub(crate) next: Position,
    pub(crate) reason: String,
}

/// Something that keeps the log from being opened for writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) corruption: Corruption,
    /// A damaged tail, as opposed to corruption.
    pub(crate) is_tail: bool,
}

/// What there is.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// Sealed segments, ascending: the beginning of the log.
    pub(crate) sealed: Vec<SealedFile>,
    /// Raw segments, ascending: the rest.
    pub(crate) files: Vec<RawFile>,
    /// Raw segments behind a file whose header is damaged, ascending: to be read, and no part of a log that can be
    /// written on.
    pub(crate) behind: Vec<RawFile>,
    /// Raw files whose events stand in a sealed one.
    pub(crate) superseded: Vec<Position>,
    /// Names in `log/` whose file has no valid header and lies where a tear is legal.
    pub(crate) headless: Vec<PathBuf>,
    pub(crate) temporary: Vec<PathBuf>,
    pub(crate) foreign: Vec<PathBuf>,
    /// What whoever opens the store should know.
    pub(crate) notes: Vec<String>,
    /// Everything up to here was durable, by all evidence.
    pub(crate) proven: Position,
    /// The newest event of the valid frames before any bad place.
    pub(crate) tail: Position,
    pub(crate) recorded_at: Timestamp,
    pub(crate) group_seq: u64,
    pub(crate) cut: Option<CutPlan>,
    pub(crate) damage: Vec<Damage>,
    /// The highest position that any evidence speaks of.
    pub(crate) last_known: Position,
}

fn corruption(
    path: &std::path::Path,
    offset: u64,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Corruption {
    Corruption::new(path, offset, expected, found)
}

impl Look {
    pub(super) fn corrupt(&mut self, corruption: Corruption) {
        self.damage.push(Damage { corruption, is_tail: false });
    }

    /// Whether the last writer closed the log in order.
    pub(crate) fn is_clean(&self) -> bool {
        let closed =
            |file: &RawFile| file.slot.is_some_and(|slot| slot.state == State::Clean && slot.end_offset == file.end);
        self.damage.is_empty() && self.cut.is_none() && self.files.last().is_some_and(closed)
    }
}

/// A raw file without a valid header. Whether that is damage or part of a legal tear is known once the rest was read.
pub(super) struct Headless {
    pub(super) base: Position,
    pub(super) path: PathBuf,
    pub(super) corruption: Corruption,
    /// The header is zeros or cut short.
    pub(super) may_be_torn: bool,
}

pub(super) type Head = std::result::Result<RawFile, Headless>;

fn read_head(storage: &dyn Storage, log: LogId, base: Position) -> Result<Head> {
    let path = files::raw(base);
    let failed = |error| Error::io(format_args!("read {}", path.display()), error);
    let file = storage.open(&path, Open::Read).map_err(failed)?;
    let len = file.len().map_err(failed)?;
    let mut pages = vec![0; 3 * PAGE_BYTES];
    let got = read_to_end_of(&*file, &mut pages, 0).map_err(failed)?;
    pages.truncate(got);
    let bad = |corruption, may_be_torn| Ok(Err(Headless { base, path: path.clone(), corruption, may_be_torn }));
    let header = match SegmentHeader::read(&pages) {
        Read::Valid(header) => header,
        Read::Newer { version } => return Err(newer_format(version)),
        Read::Zero => return bad(corruption(&path, 0, "a segment header", "zeros"), true),
        Read::Bad(why) => {
            return bad(why.corruption(&path), got < PAGE_BYTES);
        }
    };
    if header.base != base || header.log != log {
        let found = format!("base {} of log {}", header.base, header.log);
        return bad(corruption(&path, 24, format!("base {base} of log {log}"), found), false);
    }
    let slots =
        slot::OFFSETS.map(|offset| Slot::read(pages.get(offset as usize..).unwrap_or_default(), header.salt, offset));
    let torn_slot = slots.iter().any(|slot| matches!(slot, Read::Bad(_)));
    let slot = slots.into_iter().filter_map(Read::valid).max_by_key(|slot| slot.seq);
    let slot = slot.filter(|slot| slot.log == log && slot.base == base);
    Ok(Ok(RawFile { base, path, file, len, header, slot, torn_slot, end: FIRST_OFFSET, next: base, scan: None }))
}

/// Looks at everything. `anchor` is what ANCHOR says, if it can be read.
pub(crate) fn look(storage: &dyn Storage, log: LogId, anchor: Option<&Anchor>) -> Result<Look> {
    let listing = files::list(storage)?;
    let mut look = Look {
        sealed: Vec::new(),
        files: Vec::new(),
        behind: Vec::new(),
        superseded: Vec::new(),
        headless: Vec::new(),
        temporary: listing.temporary.clone(),
        foreign: listing.foreign.clone(),
        notes: Vec::new(),
        proven: anchor.map_or(Position::ORIGIN, |anchor| anchor.durable),
        tail: Position::ORIGIN,
        recorded_at: Timestamp::from_nanos(i64::MIN),
        group_seq: 0,
        cut: None,
        damage: Vec::new(),
        last_known: Position::ORIGIN,
    };
    look_at_sealed(&mut look, storage, log, &listing)?;
    let sealed_next = look.sealed.last().map_or(Position::new(1), |file| file.ends.footer.next());
    let (superseded, raw): (Vec<Position>, Vec<Position>) = listing.raw.iter().partition(|base| **base < sealed_next);
    look.superseded = superseded;
    let mut heads: Vec<Head> = raw.iter().map(|base| read_head(storage, log, *base)).collect::<Result<_>>()?;
    for head in heads.iter().flatten() {
        if let Some(slot) = head.slot {
            look.proven = look.proven.max(slot.end_position);
        }
    }
    // From a file on that lost its header, a Written log may have been torn.
    let first_bad = heads.iter().position(std::result::Result::is_err);
    let headless = first_bad.map(|index| heads.split_off(index)).unwrap_or_default();
    look.files = heads.into_iter().flatten().collect();
    check_names(&mut look, anchor, &raw);
    walk::walk(&mut look)?;
    walk::judge_headless(&mut look, headless)?;
    look.last_known = look.last_known.max(look.proven).max(look.tail);
    told::tell(&mut look, anchor, &raw);
    Ok(look)
}

/// Reads the ends of every sealed file. What they hold was durable before they had their name.
fn look_at_sealed(look: &mut Look, storage: &dyn Storage, log: LogId, listing: &files::Listing) -> Result<()> {
    let mut expected = Position::new(1);
    for (index, base) in listing.sealed.iter().enumerate() {
        let path = files::sealed(*base);
        match Ends::read(storage, &path, log, *base) {
            Ok(ends) => {
                expected = ends.footer.next().max(expected);
                look.recorded_at = look.recorded_at.max(Timestamp::from_nanos(ends.footer.recorded.1));
                look.group_seq = look.group_seq.max(ends.footer.group_seq);
                look.sealed.push(SealedFile { path, ends });
            }
            Err(Unfit::Other(error)) => return Err(error),
            Err(Unfit::Damaged(damage)) => {
                // The raw file it was made of still stands: that one is read.
                if listing.raw.contains(base) {
                    look.notes.push(format!("{} is damaged and not used: {damage}", path.display()));
                    continue;
                }
                let next = listing.sealed.get(index + 1).into_iter().chain(&listing.raw).find(|next| *next > base);
                let last = next.map_or(*base, |next| Position::new(next.get() - 1));
                look.corrupt(damage.at(*base..=last));
            }
        }
    }
    look.tail = Position::new(expected.get() - 1);
    look.proven = look.proven.max(look.tail);
    Ok(())
}

/// Whether the files are there that ANCHOR and final slots speak of. That others are missing shows in what the files hold.
fn check_names(look: &mut Look, anchor: Option<&Anchor>, bases: &[Position]) {
    let sealed = look.sealed.last().map_or(Position::ORIGIN, |file| file.ends.footer.base);
    let newest = bases.last().copied().unwrap_or(sealed);
    if let Some(anchor) = anchor.filter(|anchor| anchor.newest_base > newest) {
        let missing = anchor.newest_base..=anchor.newest_base.max(anchor.durable);
        look.corrupt(
            corruption(&files::raw(anchor.newest_base), 0, "the segment that ANCHOR names", "no such file").at(missing),
        );
    }
    let mut found = Vec::new();
    for pair in look.files.windows(2) {
        let [file, next] = pair else { continue };
        if let Some(slot) = file.slot.filter(|slot| slot.state.is_final() && slot.end_position.next() != next.base) {
            let first = slot.end_position.next();
            let gap = first..=Position::new(next.base.get() - 1).max(first);
            found.push(corruption(&files::raw(first), 0, format!("a segment from {first} on"), "no such file").at(gap));
        }
    }
    found.into_iter().for_each(|corruption| look.corrupt(corruption));
}
