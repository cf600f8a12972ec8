//! Archiving: the data of old sealed segments moves into files of another directory, and comes back.
//!
//! What stays is a stub: subjects, types, times, versions, tags and the digest of every event's data,
//! so that queries without data and proofs go on answering. Order for one segment, each step of which
//! may be the last before a crash: the whole file is copied to the directory, synced, read back and
//! compared; the stub is written, synced, read back; it takes the place of the file by one rename.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::backup::part::failed;
use crate::backup::sealed::{check, copy};
use crate::error::{Error, Result};
use crate::format::leaf::Tree;
use crate::io::{Mode, Storage};
use crate::log::core::Core;
use crate::log::files::LOG;
use crate::report::Archived;
use crate::segment::Segment;
use crate::segment::seal::stub;
use crate::segment::sealed::shelf::Shelf;
use crate::segment::sealed::{Ends, SealedSegment};
use crate::store::Store;
use crate::time::Timestamp;

impl Store {
    /// Moves the data of every sealed segment whose last event was recorded before `before` into files
    /// of `dir`, and leaves stubs. From then on data is read from there as long as the files are there;
    /// else reading it fails with `Archived`, which names the file. Everything but data goes on being
    /// answered without them. Blocks while it works; appends go on meanwhile.
    ///
    /// # Errors
    /// `Corruption` of a segment or its copy: it stays as it is; `Full`, `Io`, `Closed`, `ReadOnly`;
    /// `Invalid` where the storage has no other directories.
    pub fn archive(&self, before: Timestamp, dir: impl AsRef<Path>) -> Result<Archived> {
        let dir = std::path::absolute(dir.as_ref()).map_err(|error| Error::io("name the archive", error))?;
        let core = self.committer()?.core();
        let begun = Instant::now();
        let _sealing = core.sealing.lock();
        let place = open_place(core, &dir)?;
        let mut done = Archived::default();
        for segment in sealed(core) {
            if !segment.footer.archived && segment.footer.recorded.1 < before.as_nanos() {
                let stub_bytes = archive_one(core, &segment, &dir, &place)?;
                done.segments += 1;
                done.events += segment.footer.count;
                done.moved_bytes += segment.file_bytes();
                done.stub_bytes += stub_bytes;
            }
        }
        done.took = begun.elapsed();
        Ok(done)
    }

    /// Brings archived segments back whose whole files stand in `dir`: each is copied, read back and
    /// compared, and takes the place of its stub. The files in `dir` stay. Blocks while it works.
    ///
    /// # Errors
    /// As [`Store::archive`].
    pub fn unarchive(&self, dir: impl AsRef<Path>) -> Result<Archived> {
        let dir = std::path::absolute(dir.as_ref()).map_err(|error| Error::io("name the archive", error))?;
        let core = self.committer()?.core();
        let begun = Instant::now();
        let _sealing = core.sealing.lock();
        let place = core.log.storage.beside(&dir).map_err(|error| Error::io("open the archive", error))?;
        let mut done = Archived::default();
        for segment in sealed(core) {
            let name = Path::new(segment.path.file_name().unwrap_or_default());
            let is_there = place.metadata(name).map_err(failed("look at", name))?.is_some();
            if segment.footer.archived && is_there {
                let whole_bytes = bring_back(core, &segment, &place, name)?;
                done.segments += 1;
                done.events += segment.footer.count;
                done.moved_bytes += whole_bytes;
                done.stub_bytes += segment.file_bytes();
            }
        }
        done.took = begun.elapsed();
        Ok(done)
    }
}

fn sealed(core: &Core) -> Vec<Arc<SealedSegment>> {
    core.log.segments().0.iter().filter_map(Segment::sealed).map(Arc::clone).collect()
}

fn open_place(core: &Core, dir: &Path) -> Result<Arc<dyn Storage>> {
    let place =
        core.log.storage.beside(dir).map_err(|error| Error::io(format_args!("open {}", dir.display()), error))?;
    crate::backup::part::refuse_inside(&*core.log.storage, &*place, "the store", dir)?;
    place.create_dir_all("".as_ref()).map_err(failed("create", dir))?;
    place.sync_parent().map_err(failed("sync", dir))?;
    Ok(place)
}

/// Returns the bytes of the stub.
fn archive_one(core: &Core, whole: &SealedSegment, dir: &Path, place: &Arc<dyn Storage>) -> Result<u64> {
    let storage = &core.log.storage;
    let name = Path::new(whole.path.file_name().unwrap_or_default());
    put_whole(&**storage, whole, place, name)?;
    let temporary = whole.path.with_extension("seg.tmp");
    let file = storage.open(&temporary, Mode::Create).map_err(failed("create", &temporary))?;
    file.set_len(0).map_err(failed("write", &temporary))?;
    stub::write(whole, dir, &*file)?;
    file.sync_data().map_err(failed("sync", &temporary))?;
    file.drop_cache();
    let stub = read_back(storage, &temporary, whole)?;
    if tree_of(&stub)? != whole.footer.after {
        let text = format!("the stub of {} does not read back as written", whole.path.display());
        return Err(Error::new(crate::error::ErrorKind::Corruption, text));
    }
    let bytes = stub.file_bytes();
    put_in_place(core, whole, &temporary)?;
    Ok(bytes)
}

/// Copies the whole file into the archive, or finds it there.
fn put_whole(storage: &dyn Storage, whole: &SealedSegment, place: &Arc<dyn Storage>, name: &Path) -> Result<()> {
    let there = place.metadata(name).map_err(failed("look at", name))?.is_some();
    if there {
        // An earlier attempt, or something else of that name, which is an error. It may have ended before the file or
        // its name was durable.
        check(place, name, whole, &mut |_| Ok(()))?;
        let file = place.open(name, Mode::Read).map_err(failed("open", name))?;
        file.sync_data().map_err(failed("sync", name))?;
        return place.sync_dir("".as_ref()).map_err(failed("sync", name));
    }
    let temporary = name.with_extension("seg.tmp");
    crate::backup::part::remove_if_there(&**place, &temporary)?;
    copy(storage, &**place, &whole.path, &temporary, &mut |_| Ok(()))?;
    check(place, &temporary, whole, &mut |_| Ok(()))?;
    place.rename_new(&temporary, name).map_err(failed("name", name))?;
    place.sync_dir("".as_ref()).map_err(failed("sync", name))
}

fn bring_back(core: &Core, stub: &SealedSegment, place: &Arc<dyn Storage>, name: &Path) -> Result<u64> {
    let storage = &core.log.storage;
    let temporary = stub.path.with_extension("seg.tmp");
    crate::backup::part::remove_if_there(&**storage, &temporary)?;
    let ends = Ends::read(&**place, name, stub.footer.log, stub.base())?;
    if !stub.is_stub_of(&ends) {
        let text = format!("{} in the archive is not the whole of {}", name.display(), stub.path.display());
        return Err(Error::new(crate::error::ErrorKind::Conflict, text));
    }
    // Names in the archive have no directory above them.
    let len = copy(&**place, &**storage, name, &temporary, &mut |_| Ok(()))?;
    let whole = read_back(storage, &temporary, stub)?;
    if tree_of(&whole)? != stub.footer.after {
        let text = format!("{} in the archive holds other events than its stub", name.display());
        return Err(Error::new(crate::error::ErrorKind::Corruption, text));
    }
    put_in_place(core, stub, &temporary)?;
    Ok(len)
}

fn read_back(storage: &Arc<dyn Storage>, path: &Path, of: &SealedSegment) -> Result<SealedSegment> {
    let ends = Ends::read(&**storage, path, of.footer.log, of.base())?;
    let read = SealedSegment::new(Arc::clone(storage), Arc::new(Shelf::new(0)), path.to_owned(), ends);
    read.check_parts()?;
    Ok(read)
}

/// The tree with the leaf of every event, by its data or by its digest.
fn tree_of(segment: &SealedSegment) -> Result<Tree> {
    use sha2::{Digest, Sha256};
    let mut tree = segment.footer.before.clone();
    segment.for_each_preimage(0, &mut |_, preimage| {
        tree.push(Sha256::digest(preimage).into());
        Ok(true)
    })?;
    Ok(tree)
}

/// Puts a finished file in the place of a segment's, and in the list.
fn put_in_place(core: &Core, old: &SealedSegment, temporary: &Path) -> Result<()> {
    let log = &core.log;
    let storage = &*log.storage;
    let ends = Ends::read(storage, temporary, log.id, old.base())?;
    storage.rename(temporary, &old.path).map_err(failed("name", &old.path))?;
    // The old file is gone for readers, whether the new name is durable or not; either one is good.
    let new = SealedSegment::new(Arc::clone(&log.storage), Arc::clone(&log.shelf), old.path.clone(), ends);
    core.live.change(|| log.replace_segment(&Segment::Sealed(Arc::new(new))));
    storage.sync_dir(LOG.as_ref()).map_err(failed("sync", &old.path))
}
