//! Opening a store: for reading beside whoever writes, for writing with a little patience.

use std::path::Path;
use std::time::{Duration, Instant};

use annals::{Durability, Error, ErrorKind, Store};

use super::fail::{Done, Failure, warn};

/// How long a writing verb waits for another writer to end.
pub(crate) const LOCK_WAIT_MAX: Duration = Duration::from_secs(2);
/// How often it tries.
pub(crate) const LOCK_RETRY: Duration = Duration::from_millis(25);
/// How often a store that only writes is synced, while a verb works on it.
pub(crate) const SYNC_EVERY: Duration = Duration::from_millis(50);

/// Opens for reading only: damaged stores too, and while another process writes.
pub(crate) fn reading(path: &Path) -> Done<Store> {
    Store::options().read_only(true).open(path).map_err(|error| Failure::of_store(&error, path))
}

/// Opens for writing; makes the store where nothing is.
pub(crate) fn writing(path: &Path, durability: Durability) -> Done<Store> {
    let began = Instant::now();
    loop {
        match try_writing(path, durability) {
            Ok(store) => return Ok(store),
            Err(error) if error.kind() == ErrorKind::Locked && began.elapsed() < LOCK_WAIT_MAX => {
                std::thread::sleep(LOCK_RETRY);
            }
            Err(error) => return Err(Failure::of_store(&error, path)),
        }
    }
}

/// The same, once: `Locked` where another process writes.
pub(crate) fn try_writing(path: &Path, durability: Durability) -> Result<Store, Error> {
    let store = Store::options().durability(durability).open(path)?;
    if let Some(cut) = &store.recovery().cut {
        warn(format_args!("a torn tail was cut while opening {}: {}", path.display(), cut.reason));
    }
    Ok(store)
}

/// The durability that a store has; where nothing is and it may be made, that which it is made with.
pub(crate) fn durability(path: &Path, may_make: bool) -> Done<Durability> {
    let synced = match Store::options().read_only(true).open(path) {
        Ok(store) => store.segments().last().is_none_or(|newest| newest.synced),
        Err(error) if error.kind() == ErrorKind::NotFound && may_make => true,
        Err(error) => return Err(Failure::of_store(&error, path)),
    };
    Ok(if synced { Durability::Synced } else { Durability::Written { sync_every: SYNC_EVERY } })
}

/// Opens for writing, in the durability that the store has; makes a synced one where nothing is.
pub(crate) fn writing_as_it_is(path: &Path) -> Done<Store> {
    writing(path, durability(path, true)?)
}

/// Closes in order, so that the next opening has nothing to recover.
pub(crate) fn close(store: &Store, path: &Path) -> Done {
    store.close().map_err(|error| Failure::of_store(&error, path))
}
