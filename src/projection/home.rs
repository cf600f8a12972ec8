//! Where projections keep what they made: `projections/` in the store, held by one process at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::io::{SharedGuard, SharedLock, Storage};

/// The directory, relative to the store.
pub(crate) const DIRECTORY: &str = "projections";
/// Says which process keeps projections.
const LOCK: &str = "projections/LOCK";

/// Where a projection may keep what it made.
#[derive(Debug, Clone)]
pub struct Home {
    directory: PathBuf,
    pub(crate) storage: Arc<dyn Storage>,
    /// Held for as long as anything of it is written.
    lock: Option<Arc<SharedGuard>>,
}

impl Home {
    /// The home in a store, to be written or not.
    ///
    /// # Errors
    /// `Locked` if another process writes it; `Io`.
    pub(crate) fn new(root: &Path, storage: &Arc<dyn Storage>, writes: bool, shared: &SharedLock) -> Result<Home> {
        let mut home = Home { directory: root.join(DIRECTORY), storage: Arc::clone(storage), lock: None };
        if writes {
            let failed = |error| Error::io(format_args!("lock {LOCK}"), error);
            storage.create_dir_all(Path::new(DIRECTORY)).map_err(failed)?;
            home.lock = shared.hold(&**storage, Path::new(LOCK)).map_err(failed)?;
            if home.lock.is_none() {
                let text = format!("{LOCK} is held: another process keeps the projections of this store");
                return Err(Error::new(ErrorKind::Locked, text).hinting("read what it keeps, or stop it first"));
            }
        }
        Ok(home)
    }

    /// The directory. It is there once anything was kept in it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Whether this process may write there.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.lock.is_some()
    }
}
