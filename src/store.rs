//! The one handle that users hold.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::append::{Append, Appended};
use crate::boundary::{self, Boundary};
use crate::error::{AppendError, Corruption, Error, Result};
use crate::event::NewEvent;
use crate::feed::{StartAt, Subscription};
use crate::format::header::Mode;
use crate::head::{Against, Head};
use crate::io::{Clock, LockGuard, SharedLock, Storage, SystemClock};
use crate::limits;
use crate::log::commit::{Committer, Ticket};
use crate::log::follow::{self, Follower};
use crate::log::open::{self, Wanted};
use crate::log::prepare::Prepared;
use crate::log::sealer;
use crate::log::shared::{Lister, Log};
use crate::log::tiers;
use crate::options::{Durability, Options};
use crate::position::Position;
use crate::query::Query;
use crate::query::run::{OnDamage, Run};
use crate::reader::Reader;
use crate::receipt::Receipt;
use crate::report::{Progress, Recovery, Sealed, SegmentInfo, Stats, Verification};
use crate::segment::sealed::shelf::Shelf;
use crate::snapshot::{Snapshots, Writes};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::worker::journal::Desk;
use crate::{describe, receipt, trace, verify};

/// An event store: one directory, one process that writes, any number that read.
///
/// A handle is cheap to clone and may be shared between threads. [`Store::close`] closes all clones;
/// dropping the last one closes too, in order.
///
/// ```
/// use annals::{Actor, NewEvent, Query, Store};
/// use serde_json::json;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path();
/// let store = Store::open(path)?;
/// store.append([NewEvent::json("note.created", "note/n-1", &json!({"content": "A"}))?.actor(Actor::user("alice"))])?;
/// for event in store.reader().read(&Query::all().subject("note/n-1")) {
///     println!("{:?}", event?);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) path: PathBuf,
    pub(crate) log: Arc<Log>,
    pub(crate) recovery: Recovery,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) side: Side,
    /// The lock under which this process keeps projections, while it does.
    pub(crate) projections: SharedLock,
    /// What may be appended, by the tables of now; none until it is asked for.
    pub(crate) boundary: ArcSwapOption<Boundary>,
    /// Whether a flow answers at a control socket; if nothing was said, it does.
    #[cfg_attr(not(unix), allow(dead_code, reason = "there are no control sockets"))]
    pub(crate) control_socket: Option<bool>,
    /// Somebody answers at it.
    pub(crate) answers: AtomicBool,
    /// The files of the workers that run in this process.
    pub(crate) workers: Arc<Desk>,
}

/// What a handle may do.
pub(crate) enum Side {
    Writer { committer: Arc<Committer>, lock: Mutex<Option<Box<dyn LockGuard>>> },
    Reader(Arc<Follower>),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.inner.path)
            .field("tail", &self.inner.log.tail())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in a directory with the default options: `Synced`, segments of 64 MiB. An
    /// absent or empty directory becomes a store.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Store> {
        Options::default().open(path)
    }

    /// Options to open a store with.
    #[must_use]
    pub fn options() -> Options {
        Options::default()
    }

    pub(crate) fn open_with(options: Options, storage: Arc<dyn Storage>, path: &Path) -> Result<Store> {
        check_options(&options)?;
        let control_socket = options.control_socket;
        if options.read_only {
            let (log, follower, recovery) =
                follow::open(storage, path, Shelf::new(options.cache_bytes).with_threads(options.background))?;
            let follower = Arc::new(follower);
            let lister = Arc::clone(&follower);
            let _ = log.lister.set(Lister(Box::new(move |log| lister.relist(log))));
            trace::opened(path, &recovery, true);
            let snapshots = Snapshots::new(Arc::clone(&log), options.snapshot_every, Writes::Never);
            let side = Side::Reader(follower);
            return Ok(Store { inner: Inner::new(path, log, recovery, snapshots, side, control_socket) });
        }
        let (mode, sync_every) = match options.durability {
            Durability::Synced => (Mode::Synced, None),
            Durability::Written { sync_every } => (Mode::Written, Some(sync_every)),
        };
        let writes = if options.background { Writes::InBackground } else { Writes::AtOnce };
        let wanted = Wanted {
            mode,
            sync_every,
            segment_bytes: options.segment_bytes,
            level: options.compression,
            sealing: options.sealing,
            cache_bytes: options.cache_bytes,
            force_file_system: options.force_file_system,
            background: options.background,
            clock: options.clock,
            matcher: Box::new(|log: &Arc<Log>, query, after| first_match(log, query, after)),
        };
        let opened = open::open(storage, path, wanted)?;
        let log = Arc::clone(&opened.committer.core().log);
        trace::opened(path, &opened.recovery, false);
        let snapshots = Snapshots::new(Arc::clone(&log), options.snapshot_every, writes);
        let side = Side::Writer { committer: opened.committer, lock: Mutex::new(Some(opened.lock)) };
        Ok(Store { inner: Inner::new(path, log, opened.recovery, snapshots, side, control_socket) })
    }

    pub(crate) fn committer(&self) -> Result<&Arc<Committer>, AppendError> {
        match &self.inner.side {
            _ if self.inner.log.is_closed() => Err(AppendError::Closed),
            Side::Writer { committer, .. } => Ok(committer),
            Side::Reader(_) => Err(AppendError::ReadOnly),
        }
    }

    pub(crate) fn prepare(&self, committer: &Committer, append: Append) -> Result<Prepared, AppendError> {
        self.check_boundary(&append)?;
        let core = committer.core();
        Prepared::new(append, core.log.hasher, limits::batch_bytes_max(core.segment_bytes))
    }

    /// Appends a batch, whole or not at all, and blocks until it is as safe as the store's
    /// durability promises.
    ///
    /// # Errors
    /// As [`Store::append_with`].
    pub fn append(&self, events: impl IntoIterator<Item = NewEvent>) -> Result<Appended, AppendError> {
        self.append_with(Append::new(events))
    }

    /// Appends a batch under conditions; blocks as [`Store::append`] does.
    ///
    /// # Errors
    /// `Conflict`, `TooLate`, `KeyReused`, `Invalid`, `TooLarge`, `Reserved`, `ReadOnly`, `Closed`: nothing
    /// was done. `Full`: there is no room; appends work again when there is. `Poisoned`: a sync
    /// failed, now or earlier; if `unknown` is set, the append may be found after reopening.
    pub fn append_with(&self, append: impl Into<Append>) -> Result<Appended, AppendError> {
        let committer = self.committer()?;
        let append = append.into();
        let adds_tables = boundary::adds_tables(&append);
        let done = committer.append(self.prepare(committer, append)?);
        if adds_tables {
            self.forget_boundary();
        }
        done
    }

    /// Appends what only the store itself may: events whose types or metadata are reserved.
    pub(crate) fn append_reserved(&self, append: Append) -> Result<Appended, AppendError> {
        self.append_with(Append { reserved: true, ..append })
    }

    /// The same, handed in.
    pub(crate) fn submit_reserved(&self, append: Append) -> Ticket {
        self.submit(Append { reserved: true, ..append })
    }

    /// Whether a flow of this handle answers at a control socket: unless that was switched off, and the store is a real
    /// directory.
    #[cfg(unix)]
    pub(crate) fn serves_control_socket(&self) -> bool {
        let is_real = matches!(self.inner.log.storage.real_root(), Ok(Some(_)));
        let is_writer = matches!(self.inner.side, Side::Writer { .. });
        // Of several flows in a process the first one answers; nothing is handed over by the flag.
        self.inner.control_socket.unwrap_or(true)
            && is_real
            && is_writer
            && !self.inner.answers.swap(true, Ordering::Relaxed)
    }

    /// The clock by which this handle tells the time.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match &self.inner.side {
            Side::Writer { committer, .. } => Arc::clone(&committer.core().clock),
            Side::Reader(_) => Arc::new(SystemClock),
        }
    }

    /// Hands a batch in and returns at once. It is committed whether or not anybody waits for the
    /// ticket, in the order in which one thread hands its batches in.
    pub fn submit(&self, append: impl Into<Append>) -> Ticket {
        let submitted =
            self.committer().and_then(|committer| Ok(committer.submit(self.prepare(committer, append.into())?)));
        submitted.unwrap_or_else(Ticket::refused)
    }

    /// A view of the log up to its tail now. In a process that does not write, what the writer has
    /// published until now is taken in first.
    #[must_use]
    pub fn reader(&self) -> Reader {
        if let Side::Reader(follower) = &self.inner.side {
            // What cannot be taken in is met again, and reported, by whoever waits for it.
            let _ = follower.refresh(&self.inner.log);
        }
        Reader::new(Arc::clone(&self.inner.log), Arc::clone(&self.inner.snapshots))
    }

    /// A cursor that waits at the tail.
    #[must_use]
    pub fn subscribe(&self, query: Query, start: StartAt) -> Subscription {
        let follower = match &self.inner.side {
            Side::Reader(follower) => Some(Arc::clone(follower)),
            Side::Writer { .. } => None,
        };
        if let Some(follower) = &follower {
            let _ = follower.refresh(&self.inner.log);
        }
        Subscription::new(Arc::clone(&self.inner.log), follower, query, start)
    }

    /// The segments of the log, in order of position.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        describe::segments(&self.inner.log)
    }

    /// The store in numbers.
    #[must_use]
    pub fn stats(&self) -> Stats {
        describe::stats(&self.inner)
    }

    /// Checks every byte of every file up to the tail, and every derived file against the log.
    /// Changes nothing; blocks while it reads. `progress` is called often and may stop it.
    ///
    /// # Errors
    /// `Io`; `Closed` if `progress` stopped it. Damage is no error but part of the result.
    pub fn verify(&self, mut progress: impl FnMut(Progress) -> ControlFlow<()>) -> Result<Verification> {
        self.verified(None, &mut progress)
    }

    /// As [`Store::verify`], and holds the log's first events against a head that was kept elsewhere:
    /// [`Verification::against`]. This alone shows that the whole directory was replaced, by an older
    /// copy of itself or by a forgery.
    ///
    /// # Errors
    /// As [`Store::verify`]. That the log is another one than the head names is no error but part of
    /// the result.
    pub fn verify_against(
        &self,
        head: &Head,
        mut progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Verification> {
        self.verified(Some(head), &mut progress)
    }

    fn verified(
        &self,
        against: Option<&Head>,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Verification> {
        self.inner.log.check_open()?;
        let mut found = verify::verify(&self.inner.log, against, progress)?;
        found.torn = self.inner.recovery.torn.clone();
        // What a worker has seen must not lie behind the tail that it is held against.
        drop(self.reader());
        let in_use = |name: &str| match self.inner.side {
            Side::Writer { .. } => self.inner.workers.find(name).is_some(),
            Side::Reader(_) => true,
        };
        verify::workers::check(&self.inner.log, &in_use, &mut found)?;
        if !found.damage.is_empty() {
            (found.head, found.root, found.against) = (None, None, None);
        }
        Ok(found)
    }

    /// The head of all durable events: [`Reader::head`] of a reader made now.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub fn head(&self) -> Result<Head> {
        self.reader().head()
    }

    /// The proof that an event is in the history that a head names; without one, in that of the head
    /// of now. Blocks while it reads all events that the head names.
    ///
    /// # Errors
    /// `NotFound` if no event up to the head is at the position. `Corruption` if the head is of
    /// another log, names more events, or names others; or if one of the events is damaged. `Io`, `Closed`.
    pub fn receipt(&self, position: impl Into<Position>, head: Option<&Head>) -> Result<Receipt> {
        self.inner.log.check_open()?;
        let (log, durable) = (&self.inner.log, self.reader().durable().get());
        let Some(head) = head else { return receipt::make(log, position.into(), durable) };
        if head.log != log.id {
            Against::OtherLog(log.id).result(head)?;
        }
        if head.size > durable {
            Against::Fewer(durable).result(head)?;
        }
        let receipt = receipt::make(log, position.into(), head.size)?;
        match receipt.head().root {
            root if root == head.root => Ok(receipt),
            root => Against::OtherEvents(root).result(head).map(|()| receipt),
        }
    }

    /// What opening found and did.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.inner.recovery
    }

    /// Damage found when the store was opened for reading; reading what is good works.
    #[must_use]
    pub fn damage(&self) -> Vec<Corruption> {
        self.inner.log.damage()
    }

    /// The directory, as it was named at opening.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Makes everything acknowledged so far survive power loss. A `Synced` store has nothing to do.
    /// Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// `Poisoned` if a sync failed, now or earlier; `Closed`; `ReadOnly`.
    pub fn sync(&self) -> Result<()> {
        self.committer()?.sync_written()
    }

    /// Seals everything that is in the store now: begins a new segment if the one that takes appends has
    /// events, and makes sealed segments of all raw ones before it, each read back and compared with its
    /// raw form, event by event, before that goes. Blocks while it works; appends go on meanwhile.
    ///
    /// # Errors
    /// `Corruption` of a raw segment, which stays as it is, with those behind it; `Full`, `Io`,
    /// `Poisoned`, `Closed`, `ReadOnly`.
    pub fn seal(&self) -> Result<Sealed> {
        let committer = self.committer()?;
        let core = committer.core();
        // Nobody else seals meanwhile, so what is told is what was there.
        let mut roll = || {
            committer.with_writer(|writer| writer.roll(core))?;
            committer.sync_written()
        };
        let go_on = || !self.inner.log.is_closed();
        let sealed = sealer::seal_due(core, core.level, &mut roll, &go_on);
        // They only cost time where they fail; the statistics say so.
        tiers::make_due(core, &go_on);
        sealed
    }

    /// Closes this handle and all its clones: appends in flight finish, everything is synced, and
    /// the next opening is quick. Later calls fail with `Closed`; closing again does nothing.
    ///
    /// # Errors
    /// `Poisoned` if what was acknowledged could not be synced; the store is closed all the same.
    pub fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

impl Inner {
    fn new(
        path: &Path,
        log: Arc<Log>,
        recovery: Recovery,
        snapshots: Arc<Snapshots>,
        side: Side,
        control_socket: Option<bool>,
    ) -> Arc<Inner> {
        Arc::new(Inner {
            path: path.to_owned(),
            log,
            recovery,
            snapshots,
            side,
            projections: SharedLock::default(),
            boundary: ArcSwapOption::empty(),
            control_socket,
            answers: AtomicBool::new(false),
            workers: Arc::default(),
        })
    }

    fn close(&self) -> Result<()> {
        let Side::Writer { committer, lock } = &self.side else {
            self.log.set_closed();
            return Ok(());
        };
        let mut lock = lock.lock();
        if lock.is_none() {
            return Ok(());
        }
        // Before the lock goes: only who holds it writes files.
        self.workers.close();
        self.snapshots.close();
        let closed = crate::log::close::close(committer);
        self.log.set_closed();
        self.log.doorbell.ring();
        *lock = None;
        closed
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Who wants to know calls `close`.
        let _ = self.close();
    }
}

fn check_options(options: &Options) -> Result<()> {
    let segment = limits::SEGMENT_BYTES_MIN..=limits::SEGMENT_BYTES_MAX;
    if !segment.contains(&options.segment_bytes) {
        return Err(Error::invalid(format!(
            "segments of {} bytes: from {} to {} are possible",
            options.segment_bytes,
            segment.start(),
            segment.end()
        )));
    }
    if !(1..=19).contains(&options.compression) {
        return Err(Error::invalid(format!("compression level {}: from 1 to 19 are possible", options.compression)));
    }
    if let Durability::Written { sync_every } = options.durability
        && sync_every.is_zero()
    {
        return Err(Error::invalid("syncing every 0 s: use Durability::Synced, or a longer time"));
    }
    Ok(())
}

/// The first event after a position that a query matches.
fn first_match(
    log: &Arc<Log>,
    query: &Query,
    after: crate::position::Position,
) -> Result<Option<crate::position::Position>> {
    let mut query = query.clone().after(after);
    (query.reverse, query.limit) = (false, None);
    let mut found = None;
    Run::new(Arc::clone(log), &query, log.tail())?.run(&mut OnDamage::Stop, &mut |event| {
        found = Some(event.position());
        std::ops::ControlFlow::Break(())
    })?;
    Ok(found)
}
