//! Sealed segments on their way into a copy of the log: whole files that never change.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use super::part::{failed, give_name, remove_if_there};
use crate::error::{Error, ErrorKind, Result};
use crate::io::{Mode, Storage};
use crate::log::files::{self, LOG};
use crate::position::Position;
use crate::report::Backup;
use crate::segment::sealed::shelf::Shelf;
use crate::segment::sealed::{Ends, SealedSegment, Unfit};

const COPY_BYTES: u64 = 1 << 20;

/// Brings a sealed segment into the backup: kept if it is there and good, else linked, else copied.
pub(crate) fn one(
    source: &dyn Storage,
    target: &Arc<dyn Storage>,
    sealed: &SealedSegment,
    report: &mut Backup,
    each: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    report.bytes += sealed.file_bytes();
    if is_there(target, sealed, each)? {
        report.kept += 1;
        return Ok(());
    }
    let temporary = sealed.path.with_extension("seg.tmp");
    remove_if_there(&**target, &temporary)?;
    if target.link_from(source, &sealed.path, &temporary).is_ok() {
        let file = target.open(&temporary, Mode::Read).map_err(failed("open", &temporary))?;
        file.sync_data().map_err(failed("sync", &temporary))?;
        check(target, &temporary, sealed, each)?;
        report.linked += 1;
    } else {
        copy(source, &**target, &sealed.path, &temporary, each)?;
        check(target, &temporary, sealed, &mut |_| Ok(()))?;
        report.copied += 1;
        report.copied_bytes += sealed.file_bytes();
    }
    give_name(&**target, &temporary, &sealed.path)
}

/// Whether the segment stands in the target, whole and good.
fn is_there(
    target: &Arc<dyn Storage>,
    sealed: &SealedSegment,
    each: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<bool> {
    if target.metadata(&sealed.path).map_err(failed("look at", &sealed.path))?.is_none() {
        return Ok(false);
    }
    match check(target, &sealed.path, sealed, each) {
        Ok(()) => Ok(true),
        // Made anew.
        Err(error) if error.kind() == ErrorKind::Corruption => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads the copy at `path` and holds every byte of it against its checks.
pub(crate) fn check(
    target: &Arc<dyn Storage>,
    path: &Path,
    sealed: &SealedSegment,
    each: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    let ends = match Ends::read(&**target, path, sealed.footer.log, sealed.base()) {
        Ok(ends) => ends,
        Err(Unfit::Damaged(corruption)) => return Err(corruption.into()),
        Err(Unfit::Other(error)) => return Err(error),
    };
    let copy = SealedSegment::new(Arc::clone(target), Arc::new(Shelf::new(0)), path.to_owned(), ends);
    if !copy.is_same(sealed) {
        return Err(Error::new(ErrorKind::Corruption, format!("{} is another segment", path.display())));
    }
    copy.check_parts()?;
    copy.check_blocks(each)
}

/// Copies the whole file, synced.
pub(crate) fn copy(
    source: &dyn Storage,
    target: &dyn Storage,
    path: &Path,
    temporary: &Path,
    each: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<u64> {
    let from = source.open(path, Mode::Read).map_err(failed("open", path))?;
    let to = target.open(temporary, Mode::CreateNew).map_err(failed("create", temporary))?;
    let len = from.len().map_err(failed("read", path))?;
    let mut buffer = vec![0; COPY_BYTES.min(len) as usize];
    let mut offset = 0;
    while offset < len {
        let got = from.read_at(&mut buffer, offset).map_err(failed("read", path))?;
        let bytes = buffer.get(..got).filter(|bytes| !bytes.is_empty());
        let bytes = bytes.ok_or_else(|| failed("read", path)(std::io::ErrorKind::UnexpectedEof.into()))?;
        to.write_all_at(&mut [IoSlice::new(bytes)], offset).map_err(failed("write", temporary))?;
        offset += got as u64;
        each(offset)?;
    }
    to.sync_data().map_err(failed("sync", temporary))?;
    Ok(len)
}

/// Takes away raw files of an earlier backup whose events came again in sealed form.
pub(crate) fn remove_superseded(target: &dyn Storage, sealed_next: Position) -> Result<()> {
    for base in files::list(target)?.raw.into_iter().filter(|base| *base < sealed_next) {
        remove_if_there(target, &files::raw(base).with_extension("idx"))?;
        remove_if_there(target, &files::raw(base))?;
    }
    target.sync_dir(LOG.as_ref()).map_err(failed("sync", LOG.as_ref()))
}
