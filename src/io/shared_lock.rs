//! A lock of one process, shared by whatever in it needs the lock: held from the first that asks to the last that lets
//! go.

use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};

use super::{LockGuard, Storage, process_line};
use crate::sync::Mutex;

/// Holds the lock for as long as it lives.
#[derive(Debug)]
pub struct SharedGuard {
    _guard: Box<dyn LockGuard>,
}

/// Where the holders of one process find each other.
#[derive(Debug, Default)]
pub struct SharedLock {
    held: Mutex<Weak<SharedGuard>>,
}

impl SharedLock {
    /// Holds the lock, with those who hold it already; `None` if another process does.
    pub fn hold(&self, storage: &dyn Storage, path: &Path) -> io::Result<Option<Arc<SharedGuard>>> {
        let mut held = self.held.lock();
        if let Some(shared) = held.upgrade() {
            return Ok(Some(shared));
        }
        let Some(guard) = storage.lock(path)? else { return Ok(None) };
        // Who holds it is a help for people; without room for the line the lock holds all the same.
        let _ = guard.write_text(&process_line());
        let guard = Arc::new(SharedGuard { _guard: guard });
        *held = Arc::downgrade(&guard);
        Ok(Some(guard))
    }
}
