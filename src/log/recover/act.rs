//! Doing what was decided. Every step may be the last before a crash, and doing all of them again
//! comes to the same end:
//!
//! 1. What is whole but unproven is written again, same bytes at the same place, and synced, with
//!    the header above it: the page cache may only pretend that the disk holds it. For the same reason
//!    the newest segment with events, whose slot may be what a killed process wrote last, and what
//!    follows it are synced.
//! 2. To cut: every file that loses bytes is linked into `quarantine/` first. Then files that lie
//!    wholly beyond go, newest first. Then a copy of the file with the bad place, holding its valid
//!    frames verbatim at the same offsets and a slot that says `cut`, takes its name.
//! 3. A new segment begins under the next epoch.
//!
//! Nothing is truncated, nothing is appended to a file that was cut, and no byte that failed a
//! check gets a fresh one.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::look::{CutPlan, Look, RawFile};
use crate::error::{Error, ErrorKind, Result};
use crate::format::PAGE_BYTES;
use crate::format::bytes::is_zero;
use crate::format::frame::FIRST_OFFSET;
use crate::format::header::{Mode as Durability, SegmentHeader};
use crate::format::slot::{Slot, State};
use crate::io::{File, Mode, Storage};
use crate::log::files::{self, LOG, QUARANTINE};
use crate::position::Position;
use crate::report::Cut;
use crate::segment::scan::Window;

const COPY_BYTES: u64 = 1 << 20;

fn failed(what: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_owned();
    move |error| Error::io(format_args!("{what} {}", path.display()), error)
}

/// Writes the frames that nothing proves durable once more, and the header above them, and syncs
/// them. Returns how many events they hold.
pub(crate) fn rewrite_unproven(storage: &dyn Storage, look: &Look) -> Result<u64> {
    let mut events = 0;
    let newest = look.files.iter().rposition(|file| file.end > FIRST_OFFSET).unwrap_or(0);
    for (number, file) in look.files.iter().enumerate() {
        let mut unproven = file.scan.iter().flat_map(|scan| &scan.unproven);
        let first = unproven.find(|frame| frame.next.get() > look.proven.get().saturating_add(1));
        // The header of a `Written` segment that has no frame yet is no more certain.
        let only_header = file.scan.is_some() && file.header.mode == Durability::Written && file.end == FIRST_OFFSET;
        if first.is_none() && !only_header {
            if number >= newest {
                file.file.sync_data().map_err(failed("sync", &file.path))?;
            }
            continue;
        }
        let target = storage.open(&file.path, Mode::Write).map_err(failed("open", &file.path))?;
        let again = copy(&*file.file, &*target, 0, FIRST_OFFSET.min(file.len))
            .and_then(|()| first.map_or(Ok(()), |first| copy(&*file.file, &*target, first.offset, file.end)));
        again.map_err(failed("write again", &file.path))?;
        target.sync_data().map_err(failed("sync", &file.path))?;
        events += first.map_or(0, |first| file.next.get() - first.first.get());
    }
    Ok(events)
}

fn copy(from: &dyn File, to: &dyn File, start: u64, end: u64) -> std::io::Result<()> {
    let mut window = Window::new(from)?;
    let mut offset = start;
    while offset < end {
        let bytes = window.get(offset, COPY_BYTES.min(end - offset))?;
        if bytes.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all_at(&mut [IoSlice::new(bytes)], offset)?;
        offset += bytes.len() as u64;
    }
    Ok(())
}

/// Keeps a file under `quarantine/`, durable when this returns. A file that is there already with
/// the same name and inode is not kept twice.
pub(crate) fn quarantine(storage: &dyn Storage, path: &Path) -> Result<PathBuf> {
    let directory = Path::new(QUARANTINE);
    storage.create_dir_all(directory).map_err(failed("create", directory))?;
    storage.sync_dir("".as_ref()).map_err(failed("sync", directory))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let inode =
        storage.metadata(path).map_err(failed("look at", path))?.map(|meta| (meta.device, meta.inode, meta.len));
    let mut number = 0;
    let kept = loop {
        let kept = directory.join(if number == 0 { name.clone() } else { format!("{name}.{number}") });
        match storage.metadata(&kept).map_err(failed("look at", &kept))? {
            None => {
                if storage.hard_link(path, &kept).is_err() {
                    copy_whole(storage, path, &kept)?;
                }
                break kept;
            }
            Some(meta) if inode == Some((meta.device, meta.inode, meta.len)) && meta.inode != 0 => break kept,
            Some(_) => number += 1,
        }
    };
    let file = storage.open(&kept, Mode::Read).map_err(failed("open", &kept))?;
    file.sync_data().map_err(failed("sync", &kept))?;
    storage.sync_dir(directory).map_err(failed("sync", directory))?;
    Ok(kept)
}

/// Where links are not to be had.
fn copy_whole(storage: &dyn Storage, from: &Path, to: &Path) -> Result<()> {
    let temporary = to.with_extension("tmp");
    let source = storage.open(from, Mode::Read).map_err(failed("open", from))?;
    let target = storage.open(&temporary, Mode::Create).map_err(failed("create", &temporary))?;
    let len = source.len().map_err(failed("read", from))?;
    copy(&*source, &*target, 0, len).map_err(failed("copy", from))?;
    target.set_len(len).map_err(failed("copy", from))?;
    target.sync_data().map_err(failed("sync", &temporary))?;
    storage.rename(&temporary, to).map_err(failed("rename", &temporary))
}

/// Cuts the log as planned. What remains of the file with the bad place is final afterwards; if
/// nothing remains, the file stays as it is, and the segment that begins next takes its name.
pub(crate) fn cut(storage: &dyn Storage, look: &Look, plan: &CutPlan) -> Result<Cut> {
    let mut doomed: Vec<PathBuf> = look.files.iter().skip(plan.file + 1).map(|file| file.path.clone()).collect();
    doomed.extend(look.headless.iter().cloned());
    doomed.dedup();
    let bytes = nonzero_bytes(look, plan)?;
    let mut kept = vec![];
    for path in std::iter::once(&plan.path).chain(doomed.iter().filter(|path| **path != plan.path)) {
        kept.push(quarantine(storage, path)?);
    }
    for path in doomed.iter().rev().filter(|path| **path != plan.path) {
        remove_with_index(storage, path)?;
        storage.sync_dir(LOG.as_ref()).map_err(failed("sync", LOG.as_ref()))?;
    }
    if let Some(file) = look.files.get(plan.file).filter(|file| plan.offset > 0 && plan.next > file.base) {
        put_cut_copy(storage, file, plan, look)?;
    } else if plan.path != files::raw(plan.next) {
        // Events before it are lost too, so the segment that begins next has another name.
        remove_with_index(storage, &plan.path)?;
    }
    storage.sync_dir(LOG.as_ref()).map_err(failed("sync", LOG.as_ref()))?;
    Ok(Cut {
        file: plan.path.clone(),
        offset: plan.offset,
        position: plan.next,
        bytes,
        quarantine: kept,
        reason: plan.reason.clone(),
    })
}

fn remove_with_index(storage: &dyn Storage, path: &Path) -> Result<()> {
    let _ = storage.remove(&path.with_extension("idx"));
    storage.remove(path).map_err(failed("remove", path))
}

/// How many bytes from the bad place on, in all files, are not zero.
fn nonzero_bytes(look: &Look, plan: &CutPlan) -> Result<u64> {
    let mut sum = 0;
    for (index, file) in look.files.iter().enumerate().skip(plan.file) {
        let mut offset = if index == plan.file { plan.offset } else { FIRST_OFFSET };
        let mut window = Window::new(&*file.file).map_err(failed("read", &file.path))?;
        loop {
            let bytes = window.get(offset, COPY_BYTES).map_err(failed("read", &file.path))?;
            if bytes.is_empty() {
                break;
            }
            if !is_zero(bytes) {
                sum += bytes.iter().filter(|byte| **byte != 0).count() as u64;
            }
            offset += bytes.len() as u64;
        }
    }
    Ok(sum)
}

/// Puts a copy in the file's place that ends at the bad place and says that it was cut.
fn put_cut_copy(storage: &dyn Storage, file: &RawFile, plan: &CutPlan, look: &Look) -> Result<()> {
    let temporary = file.path.with_extension("cut.tmp");
    let target = storage.open(&temporary, Mode::Create).map_err(failed("create", &temporary))?;
    target.set_len(0).map_err(failed("write", &temporary))?;
    let write = |bytes: &[u8], offset| {
        target.write_all_at(&mut [IoSlice::new(bytes)], offset).map_err(failed("write", &temporary))
    };
    write(&file.header.encode()[..], 0)?;
    let last_check = file.scan.as_ref().map_or(0, |scan| scan.last_check);
    let slot = final_slot(file, State::Cut, plan.offset, plan.next, last_check, look);
    write(&slot.encode(file.header.salt)[..], slot.offset())?;
    copy(&*file.file, &*target, FIRST_OFFSET, plan.offset).map_err(failed("copy", &file.path))?;
    target.set_len(plan.offset.max(FIRST_OFFSET)).map_err(failed("write", &temporary))?;
    target.sync_data().map_err(failed("sync", &temporary))?;
    storage.rename(&temporary, &file.path).map_err(failed("rename", &temporary))
}

/// A slot after which nothing is ever added to the file.
pub(crate) fn final_slot(
    file: &RawFile,
    state: State,
    end_offset: u64,
    next: Position,
    last_check: u64,
    look: &Look,
) -> Slot {
    Slot {
        seq: file.slot.map_or(0, |slot| slot.seq) + 1,
        log: file.header.log,
        epoch: file.header.epoch,
        base: file.base,
        state,
        end_offset,
        end_position: Position::new(next.get() - 1),
        last_header_check: last_check,
        group_seq: look.group_seq,
        recorded_at: look.recorded_at,
    }
}

/// Why a segment was not begun.
pub(crate) enum NotBegun {
    /// There was no room, and nothing has happened: it may be tried again.
    NoRoom(Error),
    /// What is on the disk is unknown.
    Failed(Error),
}

impl From<NotBegun> for Error {
    fn from(why: NotBegun) -> Error {
        match why {
            NotBegun::NoRoom(error) | NotBegun::Failed(error) => error,
        }
    }
}

/// Begins a segment in the spare file, which is made if it is not there: header, sync, name,
/// directory. `replace` is for the successor of a segment of which nothing remains.
pub(crate) fn begin_segment(
    storage: &dyn Storage,
    header: &SegmentHeader,
    sync: bool,
    replace: bool,
) -> Result<(Arc<dyn File>, PathBuf), NotBegun> {
    let (spare, path) = (files::spare(), files::raw(header.base));
    let refused = |error: Error| match error.kind() {
        ErrorKind::Full => NotBegun::NoRoom(error),
        _ => NotBegun::Failed(error),
    };
    let file = put_header(storage, &spare, header).map_err(refused)?;
    // After a sync that failed nothing is certain, not even when it says that there is no room.
    if sync {
        file.sync_data().map_err(failed("sync", &spare)).map_err(NotBegun::Failed)?;
    }
    let renamed = if replace { storage.rename(&spare, &path) } else { storage.rename_new(&spare, &path) };
    renamed.map_err(failed("name", &path)).map_err(refused)?;
    if sync && !cfg!(annals_no_dir_sync) {
        storage.sync_dir(LOG.as_ref()).map_err(failed("sync", LOG.as_ref())).map_err(NotBegun::Failed)?;
    }
    Ok((file, path))
}

/// Writes the header and two empty slots, so that a slot needs no room later on.
fn put_header(storage: &dyn Storage, path: &Path, header: &SegmentHeader) -> Result<Arc<dyn File>> {
    let file = storage.open(path, Mode::Create).map_err(failed("create", path))?;
    let (page, empty) = (header.encode(), [0; 2 * PAGE_BYTES]);
    let mut pages = [IoSlice::new(&page[..]), IoSlice::new(&empty)];
    file.write_all_at(&mut pages, 0).map_err(failed("write", path))?;
    Ok(file)
}
