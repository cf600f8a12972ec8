//! One segment on its way into a copy of the log: how far it is good, and its bytes.

use std::io::{self, IoSlice};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::error::{Corruption, Error, ErrorKind, Result, newer_format};
use crate::format::frame::{FIRST_OFFSET, SegmentFacts};
use crate::format::header::SegmentHeader;
use crate::format::slot::{self, Slot, State};
use crate::format::{PAGE_BYTES, Read};
use crate::io::{File, Mode, Storage, read_to_end_of};
use crate::log::files;
use crate::log::shared::Segments;
use crate::position::Position;
use crate::report::Progress;
use crate::segment::scan::{self, From, Window};
use crate::time::Timestamp;

const COPY_BYTES: u64 = 1 << 20;

pub(crate) fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |error| Error::io(format_args!("{what} {}", path.display()), error)
}

/// Tells somebody how far the work has come, and hears whether to go on.
pub(crate) struct Pace<'p> {
    pub(crate) told: Progress,
    pub(crate) tell: &'p mut dyn FnMut(Progress) -> ControlFlow<()>,
}

impl Pace<'_> {
    /// `bytes` of the work, counted from its beginning, and `events` are done.
    pub(crate) fn at(&mut self, bytes: u64, events: u64) -> Result<()> {
        self.told.done_bytes = bytes.min(self.told.total_bytes);
        self.told.events = events;
        match (self.tell)(self.told) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::new(ErrorKind::Closed, "the copying was stopped")),
        }
    }
}

/// A segment, as far as it goes into the copy.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) header: SegmentHeader,
    pub(crate) path: PathBuf,
    /// Published bytes; the frame that ends at `next` ends there or before.
    pub(crate) end: u64,
    /// The position after the last event that goes into the copy.
    pub(crate) next: Position,
    /// No segment follows it in the copy.
    pub(crate) is_last: bool,
}

impl Part {
    /// What of the segments lies at or before `last`. An empty segment at the end is a part too, so
    /// that the last file of a copy is never one that is full.
    pub(crate) fn all(segments: &Segments, last: Position) -> Vec<Part> {
        let mut parts: Vec<Part> = segments
            .raw()
            .filter(|segment| segment.base() <= last.next())
            .map(|segment| Part {
                header: segment.header,
                path: segment.path.clone(),
                end: segment.end(),
                next: segment.next().min(last.next()),
                is_last: false,
            })
            .collect();
        if let Some(part) = parts.last_mut() {
            part.is_last = true;
        }
        parts
    }

    /// A slot may claim an end within the head of the file.
    pub(crate) fn frame_bytes(&self) -> u64 {
        self.end.saturating_sub(FIRST_OFFSET)
    }

    fn facts(&self) -> SegmentFacts {
        SegmentFacts { log: self.header.log, epoch: self.header.epoch, salt: self.header.salt }
    }

    /// The name of the copy until all of it is synced.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.path.with_extension("raw.tmp")
    }
}

/// Header and newest slot of a raw file; `None` if the header is not whole.
pub(crate) fn read_head(file: &dyn File, path: &Path) -> Result<Option<(SegmentHeader, Option<Slot>)>> {
    let mut pages = vec![0; 3 * PAGE_BYTES];
    let got = read_to_end_of(file, &mut pages, 0).map_err(failed("read", path))?;
    pages.truncate(got);
    let header = match SegmentHeader::read(&pages) {
        Read::Valid(header) => header,
        Read::Newer { version } => return Err(newer_format(version)),
        Read::Zero | Read::Bad(_) => return Ok(None),
    };
    let slots = slot::OFFSETS.map(|at| Slot::read(pages.get(at as usize..).unwrap_or_default(), header.salt, at));
    let slot = slots.into_iter().filter_map(Read::valid).max_by_key(|slot| slot.seq);
    Ok(Some((header, slot.filter(|slot| slot.log == header.log && slot.base == header.base))))
}

/// Where the events of a part end, every bit before that having been checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checked {
    pub(crate) end: u64,
    pub(crate) next: Position,
    pub(crate) last_check: u64,
    pub(crate) group_seq: u64,
    pub(crate) recorded_at: Timestamp,
    pub(crate) slot: Option<Slot>,
}

/// Checks a file that holds a part, up to where the part ends. `recorded_at` is the time of the last
/// event before it.
pub(crate) fn check(
    file: &dyn File,
    part: &Part,
    recorded_at: Timestamp,
    each: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Checked> {
    let Some((header, slot)) = read_head(file, &part.path)?.filter(|(header, _)| *header == part.header) else {
        return Err(Corruption::new(&part.path, 0, "the segment's header", "another, or none").into());
    };
    let mut good = Checked { end: FIRST_OFFSET, next: header.base, last_check: 0, group_seq: 0, recorded_at, slot };
    let mut stopped = None;
    let scanned = scan::scan_to(file, part.facts(), From::start(header.base), part.end, |offset, frame| {
        if frame.header.next() <= part.next {
            good.end = offset + frame.header.frame_bytes();
            good.next = frame.header.next();
            (good.last_check, good.group_seq) = (frame.header.check, frame.header.group_seq);
            good.recorded_at = good.recorded_at.max(frame.header.recorded_at);
        }
        each(good.end).map_err(|error| {
            stopped = Some(error);
            io::ErrorKind::Interrupted.into()
        })
    });
    if let Some(error) = stopped {
        return Err(error);
    }
    let scanned = scanned.map_err(failed("read", &part.path))?;
    if good.next == part.next {
        return Ok(good);
    }
    let lost = good.next..=Position::new(part.next.get().saturating_sub(1)).max(good.next);
    Err(match scanned.bad {
        Some(place) => place.bad.after(place.offset).corruption(&part.path).at(lost),
        None => {
            let expected = format!("events up to position {}", part.next.get().saturating_sub(1));
            Corruption::new(&part.path, good.end, expected, format!("the end before position {}", good.next)).at(lost)
        }
    }
    .into())
}

/// Whether nothing is ever written to the file again: its slot says so, and it ends where the next
/// one begins.
pub(crate) fn is_final(part: &Part, checked: &Checked) -> bool {
    !part.is_last
        && checked.slot.is_some_and(|slot| {
            slot.state.is_final() && slot.end_offset == checked.end && slot.end_position.next() == part.next
        })
}

/// Copies a part to its temporary name, synced: header and frames as they are, and one slot that says
/// where it ends. The last file of a copy is `cut`, so that whoever goes on writing behind it does so
/// in another file, under another epoch.
pub(crate) fn copy(from: &dyn File, to: &dyn Storage, part: &Part, checked: &Checked) -> Result<()> {
    let temporary = part.temporary();
    let target = to.open(&temporary, Mode::CreateNew).map_err(failed("create", &temporary))?;
    let write =
        |bytes: &[u8], at| target.write_all_at(&mut [IoSlice::new(bytes)], at).map_err(failed("write", &temporary));
    let slot = Slot {
        seq: checked.slot.map_or(0, |slot| slot.seq).saturating_add(1),
        log: part.header.log,
        epoch: part.header.epoch,
        base: part.header.base,
        state: if part.is_last { State::Cut } else { State::Rolled },
        end_offset: checked.end,
        end_position: Position::new(checked.next.get() - 1),
        last_header_check: checked.last_check,
        group_seq: checked.group_seq,
        recorded_at: checked.recorded_at,
    };
    write(&part.header.encode()[..], 0)?;
    write(&[0; 2 * PAGE_BYTES], PAGE_BYTES as u64)?;
    write(&slot.encode(part.header.salt)[..], slot.offset())?;
    let mut window = Window::limited(from, checked.end).map_err(failed("read", &part.path))?;
    let mut offset = FIRST_OFFSET;
    while offset < checked.end {
        let bytes = window.get(offset, COPY_BYTES).map_err(failed("read", &part.path))?;
        if bytes.is_empty() {
            let bad = Corruption::new(&part.path, offset, format!("{} bytes", checked.end), "the end of the file");
            return Err(bad.into());
        }
        write(bytes, offset)?;
        offset += bytes.len() as u64;
    }
    target.sync_data().map_err(failed("sync", &temporary))
}

/// Gives a whole copy its name among the segments, durably: a power cut that kept the names of later ones and lost this
/// one would leave a gap in a backup that was good before.
pub(crate) fn give_name(target: &dyn Storage, temporary: &Path, path: &Path) -> Result<()> {
    target.rename(temporary, path).map_err(failed("name", path))?;
    target.sync_dir(files::LOG.as_ref()).map_err(failed("sync", files::LOG.as_ref()))
}

/// Takes away what an interrupted copy left. Never opened instead: the name may stand for a file that
/// is linked, whose bytes belong to the store.
pub(crate) fn remove_if_there(storage: &dyn Storage, path: &Path) -> Result<()> {
    match storage.metadata(path).map_err(failed("look at", path))? {
        Some(_) => storage.remove(path).map_err(failed("remove", path)),
        None => Ok(()),
    }
}

/// Refuses a directory that is the other one, or lies in it.
pub(crate) fn refuse_inside(outer: &dyn Storage, inner: &dyn Storage, what: &str, path: &Path) -> Result<()> {
    let look = |error| Error::io(format_args!("look at {}", path.display()), error);
    let (Some(outer_root), Some(inner_root)) = (outer.real_root().map_err(look)?, inner.real_root().map_err(look)?)
    else {
        return Ok(());
    };
    let identity = |storage: &dyn Storage| {
        let meta = storage.metadata("".as_ref()).map_err(look)?;
        Ok::<_, Error>(meta.filter(|meta| meta.inode != 0).map(|meta| (meta.device, meta.inode)))
    };
    let outer_identity = identity(outer)?;
    let same = outer_identity.is_some() && outer_identity == identity(inner)?;
    if same || inner_root.starts_with(&outer_root) {
        return Err(Error::invalid(format!("{} is {what} itself, or lies in it", path.display()))
            .hinting("name a directory outside it; nothing was touched"));
    }
    Ok(())
}

/// Removes what stands in `log/` under temporary names.
pub(crate) fn remove_temporaries(storage: &dyn Storage) -> Result<()> {
    for path in files::list(storage)?.temporary {
        storage.remove(&path).map_err(failed("remove", &path))?;
    }
    Ok(())
}
