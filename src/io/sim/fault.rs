//! Calls that fail on demand.

use std::io;

/// A call that can fail. Where a call is gone on with after doing less than asked, or made again
/// after an interruption, each attempt counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// `Storage::create_dir_all`
    CreateDir,
    /// `Storage::list`
    List,
    /// `Storage::metadata`
    Metadata,
    /// `Storage::open`
    Open,
    /// `Storage::rename` and `Storage::rename_new`
    Rename,
    /// `Storage::hard_link`
    Link,
    /// `Storage::remove`
    Remove,
    /// `Storage::sync_dir` and `Storage::sync_parent`
    SyncDir,
    /// `Storage::lock`
    Lock,
    /// `Storage::words`
    Words,
    /// `File::len`
    Len,
    /// `File::read_at`
    Read,
    /// `File::write_all_at` and `LockGuard::write_text`
    Write,
    /// `File::sync_data`
    SyncData,
    /// `File::set_len`
    SetLen,
    /// `File::allocate`
    Allocate,
    /// `File::map`
    Map,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error of the medium. Nothing is done, except that a sync of contents marks what was
    /// pending as clean: a later sync succeeds, and power loss takes it all the same.
    Eio,
    /// No room. Else as [`Fault::Eio`].
    Enospc,
    /// Interrupted. A sync reports it, with its work undone; anything else is tried again.
    Eintr,
    /// A read or write moves at most so many bytes in this attempt; 0 ends it with an error or,
    /// when reading, as at the end of the file. Other calls don't notice.
    Short(usize),
    /// A sync says that all is well and does nothing. Other calls don't notice.
    LostSync,
}

impl Fault {
    /// The error by its number, as the system reports it.
    pub(super) fn error(self) -> io::Error {
        match self {
            Fault::Eio => io::Error::from_raw_os_error(5),
            Fault::Enospc => io::Error::from_raw_os_error(28),
            Fault::Eintr => io::Error::from_raw_os_error(4),
            Fault::Short(_) | Fault::LostSync => io::Error::other("not an error"),
        }
    }
}

/// Which calls fail, and how. Calls are numbered from 0 in the order in which they begin.
#[derive(Clone, Copy, Debug)]
pub struct FailPlan {
    /// The first call that it may hit.
    from: u64,
    /// The only kind of call that it hits, if it is particular.
    call: Option<Call>,
    /// How often it hits.
    times: u64,
    fault: Fault,
}

impl FailPlan {
    /// Hits the call of this number.
    #[must_use]
    pub fn at(index: u64, fault: Fault) -> FailPlan {
        FailPlan { from: index, call: None, times: 1, fault }
    }

    /// Hits the first read from this call on.
    #[must_use]
    pub fn at_read(index: u64, fault: Fault) -> FailPlan {
        FailPlan { from: index, call: Some(Call::Read), times: 1, fault }
    }

    /// Hits this call and all that follow. (Not for [`Fault::Eintr`]: who is always interrupted
    /// tries for ever.)
    #[must_use]
    pub fn from(index: u64, fault: Fault) -> FailPlan {
        FailPlan { from: index, call: None, times: u64::MAX, fault }
    }

    /// Hits the next call of a kind.
    #[must_use]
    pub fn next(call: Call, fault: Fault) -> FailPlan {
        FailPlan { from: 0, call: Some(call), times: 1, fault }
    }

    /// Hits each call of a kind from now on.
    #[must_use]
    pub fn every(call: Call, fault: Fault) -> FailPlan {
        FailPlan { from: 0, call: Some(call), times: u64::MAX, fault }
    }

    /// The fault for a call, if it is hit.
    pub(super) fn hit(&mut self, index: u64, call: Call) -> Option<Fault> {
        let hit = self.times > 0 && index >= self.from && self.call.is_none_or(|only| only == call);
        hit.then(|| {
            self.times -= 1;
            self.fault
        })
    }
}
