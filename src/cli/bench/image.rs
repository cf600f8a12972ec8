//! What a loss of power would leave of a store, once all that was written has reached the disk: a copy of its directory.
//!
//! The copy's LIVE is another file than the one that the writer named, so nobody believes it, as after a start of the
//! system; what is durable, and what has to be looked at, is told by the files alone. Segments that are long final are
//! linked, as nothing writes to them again; all else is copied and synced, so that no opening pays for syncing the copy.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::fail::{Done, Failure};

/// The newest segments, which are copied: recovery or the writer may still write to them.
const COPIED: usize = 4;

/// How often a copy is begun again.
const TRIES: u32 = 20;

/// Takes an image of a store.
pub(super) fn take(store: &Path, image: &Path) -> Done {
    let mut tries = 0;
    loop {
        match copy_directory(store, image) {
            // A segment was sealed between the look at the directory and the copy: its other form may have been missed.
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES => {
                tries += 1;
                super::remove(image);
            }
            done => return done.map_err(|error| Failure::io(format_args!("copy {}", store.display()), &error)),
        }
    }
}

fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut paths = fs::read_dir(from)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    // Names of segments are numbers of one width: the newest come first, before the writer has time to say more of them.
    paths.sort_unstable_by(|one, other| other.cmp(one));
    let mut raw = 0;
    for path in paths {
        let target = to.join(path.file_name().unwrap_or_default());
        let is_raw = path.extension() == Some(OsStr::new("raw"));
        raw += usize::from(is_raw);
        // An index is replaced under its name, never changed.
        let is_final = is_raw && raw > COPIED || path.extension() == Some(OsStr::new("idx"));
        if path.is_dir() {
            copy_directory(&path, &target)?;
        } else if !is_final || fs::hard_link(&path, &target).is_err() {
            copy_file(&path, &target)?;
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    match fs::copy(from, to) {
        Ok(_) => File::open(to)?.sync_all(),
        // Unfinished work that went away meanwhile, as it does.
        Err(error) if error.kind() == io::ErrorKind::NotFound && from.extension() != Some(OsStr::new("raw")) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use annals::{NewEvent, Store};

    use super::*;

    #[test]
    fn an_image_opens_as_a_store_that_was_not_closed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, crashed) = (directory.path().join("store"), directory.path().join("image"));
        let store = Store::options().segment_bytes(annals::limits::SEGMENT_BYTES_MIN).open(&path).unwrap();
        for number in 0..400 {
            let event = NewEvent::bytes("note.created", format!("note/{number}"), "text/plain", vec![b'x'; 1000]);
            store.append([event]).unwrap();
        }
        assert!(store.segments().len() > COPIED);
        take(&path, &crashed).unwrap();
        let opened = Store::open(&crashed).unwrap();
        assert!(!opened.recovery().clean);
        assert_eq!(opened.reader().tail(), store.reader().tail());
        assert!(opened.recovery().cut.is_none());
    }
}
