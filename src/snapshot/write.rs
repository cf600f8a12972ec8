//! Storing states: a short queue, one thread, one record behind the other; compaction when most of a file is of no use.
//!
//! Nothing here is waited for. A state that finds the queue full is dropped: the next load that replays as much hands
//! over a newer one.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::Snapshots;
use super::file::{Known, Opened, Place, StateFile, insert, kept, left_out};
use crate::error::{Error, Result};
use crate::format::bytes::u64_at;
use crate::format::snapshot::{FileHeader, Record};
use crate::io::{File, Mode, read_to_end_of};
use crate::log::files::SNAPSHOTS;
use crate::position::Position;

/// States that may wait.
const QUEUE_LEN: usize = 16;
/// Bytes of states that may wait; a larger one waits alone.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// How often closing looks whether the thread is still there.
const LOOK_AROUND: Duration = Duration::from_millis(50);
/// A file below this length is not compacted, in bytes.
const COMPACT_BYTES_MIN: u64 = 64 << 10;

/// A state on its way to the disk.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) name: String,
    pub(super) shape: u32,
    pub(super) subject: String,
    pub(super) position: Position,
    /// Of the subject.
    pub(super) version: u64,
    pub(super) epoch: u64,
    pub(super) state: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Queue {
    sender: Sender<Option<Job>>,
    receiver: Receiver<Option<Job>>,
    /// Bytes of the states that wait; a bound, so relaxed.
    bytes: AtomicUsize,
    thread: Mutex<Thread>,
}

#[derive(Debug)]
enum Thread {
    NotStarted,
    Running(JoinHandle<()>),
    Closed,
}

impl Queue {
    pub(super) fn new() -> Queue {
        let (sender, receiver) = bounded(QUEUE_LEN);
        Queue { sender, receiver, bytes: AtomicUsize::new(0), thread: Mutex::new(Thread::NotStarted) }
    }

    /// Hands a job to the thread, which is started at the first one; drops it where too much waits.
    fn push(&self, snapshots: &Arc<Snapshots>, job: Job) -> io::Result<()> {
        let bytes = job.state.len();
        let waiting = self.bytes.load(Ordering::Relaxed);
        if waiting > 0 && waiting + bytes > QUEUE_BYTES_MAX {
            return Ok(());
        }
        let mut thread = self.thread.lock();
        match &*thread {
            Thread::Closed => return Ok(()),
            Thread::Running(_) => {}
            Thread::NotStarted => {
                let snapshots = Arc::clone(snapshots);
                let work = move || snapshots.work();
                let started = std::thread::Builder::new().name("annals-snap".to_owned()).spawn(work)?;
                *thread = Thread::Running(started);
            }
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.sender.try_send(Some(job)).is_err() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Ends the thread when it has done what waits.
    pub(super) fn close(&self) {
        let thread = std::mem::replace(&mut *self.thread.lock(), Thread::Closed);
        if let Thread::Running(thread) = thread {
            // A thread that has panicked takes nothing out of a full queue any more.
            while self.sender.send_timeout(None, LOOK_AROUND).is_err() && !thread.is_finished() {}
            let _ = thread.join();
        }
    }
}

impl Snapshots {
    /// Whether handing over a state is of any use.
    pub(super) fn takes(&self) -> bool {
        self.every > 0 && self.writes != super::Writes::Never
    }

    /// Takes a state to be stored, now or later or not at all.
    pub(super) fn hand_over(self: &Arc<Snapshots>, job: Job) {
        match self.writes {
            super::Writes::Never => {}
            super::Writes::AtOnce => self.store(&job),
            super::Writes::InBackground => {
                // Without a thread there are no snapshots, and all answers are the same.
                let _ = self.queue.push(self, job);
            }
        }
    }

    fn work(&self) {
        crate::io::host::lower_priority();
        while let Ok(Some(job)) = self.queue.receiver.recv() {
            self.store(&job);
            self.queue.bytes.fetch_sub(job.state.len(), Ordering::Relaxed);
        }
    }

    fn store(&self, job: &Job) {
        let file = self.file(&job.name);
        match self.store_in(&file, job) {
            Ok(true) => {
                crate::trace::snapshot_written(&file.path, job.position, job.state.len());
                self.written.fetch_add(1, Ordering::Relaxed);
            }
            Ok(false) => {}
            Err(error) => self.ignored.add(&file.path, format_args!("a state was not stored: {error}")),
        }
    }

    /// Appends the state to its file; `false` if it is there, or must not be stored.
    fn store_in(&self, file: &StateFile, job: &Job) -> Result<bool> {
        let log = &self.log;
        let hash = log.hasher.subject(&job.subject);
        let is_there = |place: &Place| place.position == job.position && place.shape == job.shape;
        let opened = {
            let known = file.look(self);
            if known.places.get(&hash).is_some_and(|places| places.iter().any(is_there)) {
                return Ok(false);
            }
            known.opened.clone()
        };
        if job.position > log.durable() {
            return Ok(false);
        }
        let Some(fingerprint) = log.fingerprint(job.position)? else { return Ok(false) };
        let failed = |error| Error::io(format_args!("write {}", file.path.display()), error);
        let mut opened = match opened {
            Some(opened) if opened.header.name == job.name => opened,
            _ => self.begin(file, &job.name).map_err(failed)?,
        };
        let (salt, offset) = (opened.header.salt, opened.end);
        // What a crash has torn goes first, so that nothing of it comes to stand behind a shorter record.
        if opened.file.len().map_err(failed)? > offset {
            opened.file.set_len(offset).map_err(failed)?;
        }
        let record =
            Record { fingerprint, shape: job.shape, ..Record::new(&job.subject, job.position, job.version, job.epoch) };
        let bytes = record.encode(&job.state, salt, offset);
        opened.file.write_all_at(&mut [IoSlice::new(&bytes)], offset).map_err(failed)?;
        let record = Record::read(&bytes, salt, offset).map_err(|bad| Error::from(bad.corruption(&file.path)))?;
        opened.end = offset + bytes.len() as u64;
        let superseded = {
            let mut known = file.known.lock();
            let places = known.places.entry(hash).or_default();
            let before = left_out(places);
            insert(places, Place::of(offset, &record));
            let after = left_out(places);
            known.superseded = (known.superseded + after).saturating_sub(before);
            known.opened = Some(opened.clone());
            known.superseded
        };
        if opened.end > COMPACT_BYTES_MIN && superseded > opened.end / 2 {
            self.compact(file, &opened).map_err(failed)?;
        }
        Ok(true)
    }

    /// Puts a file without states in the place of whatever has the name.
    fn begin(&self, file: &StateFile, name: &str) -> io::Result<Opened> {
        let opened = self.make(file, name, &mut |_, _, end| Ok(end))?;
        *file.known.lock() = Known::of(opened.clone(), HashMap::new());
        Ok(opened)
    }

    /// Makes a file under another name, lets `fill` write records into it, and gives it its name.
    fn make(
        &self,
        file: &StateFile,
        name: &str,
        fill: &mut dyn FnMut(&dyn File, u64, u64) -> io::Result<u64>,
    ) -> io::Result<Opened> {
        let storage = &self.log.storage;
        storage.create_dir_all(SNAPSHOTS.as_ref())?;
        let temporary = file.path.with_extension("snap.tmp");
        let made = storage.open(&temporary, Mode::Create)?;
        made.set_len(0)?;
        let salt = u64_at(&storage.random(), 0).unwrap_or_default();
        let header = FileHeader { log: self.log.id, salt, name: name.to_owned() }.encode();
        made.write_all_at(&mut [IoSlice::new(&header)], 0)?;
        let end = fill(&*made, salt, header.len() as u64)?;
        storage.rename(&temporary, &file.path)?;
        let meta = storage.metadata(&file.path)?.ok_or(io::ErrorKind::NotFound)?;
        let mut opened = Opened::new(made, &meta).map_err(io::Error::other)?;
        opened.end = end;
        Ok(opened)
    }

    /// Writes what stays into a new file. Who reads the old one goes on with it.
    fn compact(&self, file: &StateFile, old: &Opened) -> io::Result<()> {
        let mut staying: Vec<(u64, Place)> = {
            let known = file.known.lock();
            known.places.iter().flat_map(|(hash, places)| kept(places).map(|place| (*hash, *place))).collect()
        };
        staying.sort_unstable_by_key(|(_, place)| place.offset);
        let mut places: HashMap<u64, Vec<Place>> = HashMap::new();
        let opened = self.make(file, &old.header.name, &mut |made, salt, mut end| {
            for (hash, place) in &staying {
                let mut bytes = vec![0; place.bytes as usize];
                let got = read_to_end_of(&*old.file, &mut bytes, place.offset)?;
                let Ok(record) = Record::read(bytes.get(..got).unwrap_or_default(), old.header.salt, place.offset)
                else {
                    continue;
                };
                let state = bytes.get(record.state_at() as usize..got).unwrap_or_default();
                let Some(state) = record.state(state, old.header.salt) else { continue };
                let moved = record.encode(state, salt, end);
                made.write_all_at(&mut [IoSlice::new(&moved)], end)?;
                insert(places.entry(*hash).or_default(), Place { offset: end, ..*place });
                end += moved.len() as u64;
            }
            // Else a power cut could leave the new name on bytes that were never written, and nothing of the old.
            made.sync_data()?;
            Ok(end)
        })?;
        *file.known.lock() = Known::of(opened, places);
        Ok(())
    }
}
