//! One file of stored states as a handle knows it: where the states of each subject stand.
//!
//! Invariants: everything up to `end` is whole records of this file; the places of a subject ascend by position. What
//! the lock guards is memory alone once the file was read: nobody writes to the disk while holding it. The bytes of a
//! record never change while its file is open, since a file is only appended to, or replaced under its name.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Snapshots;
use crate::format::snapshot::{FileHeader, HEAD_BYTES_MAX, Record};
use crate::io::{File, Meta, Mode, read_to_end_of};
use crate::limits::STATE_BYTES_MAX;
use crate::log::shared::Log;
use crate::position::Position;
use crate::segment::scan::Window;

/// No state takes more bytes: its own, what zstd may add to bytes that cannot be packed, and the codec's header.
pub(super) const STORED_BYTES_MAX: u64 = STATE_BYTES_MAX as u64 + (1 << 20);

/// Where a state stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    /// Of the whole record.
    pub(super) bytes: u64,
    pub(super) position: Position,
    /// Of the subject.
    pub(super) version: u64,
    /// Of the state's shape.
    pub(super) shape: u32,
    /// Was counted as one that does not fit.
    pub(super) told: bool,
}

impl Place {
    pub(super) fn of(offset: u64, record: &Record<'_>) -> Place {
        let (position, version, shape) = (record.position, record.version, record.shape);
        Place { offset, bytes: record.bytes(), position, version, shape, told: false }
    }
}

/// A file that was opened, and how far it was read.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) file: Arc<dyn File>,
    pub(super) header: FileHeader,
    /// Behind the last whole record.
    pub(super) end: u64,
    /// Device, inode and length when it was looked at last.
    seen: (u64, u64, u64),
}

#[derive(Debug, Default)]
pub(super) struct Known {
    /// Whether the file was looked for.
    looked: bool,
    /// Why the file that is there can't be used; told once.
    unfit: Option<String>,
    pub(super) opened: Option<Opened>,
    /// By the hash of the subject.
    pub(super) places: HashMap<u64, Vec<Place>>,
    /// Bytes of records that compaction would leave out.
    pub(super) superseded: u64,
}

/// A state out of the file, with what it claims.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) fingerprint: [u8; 16],
    pub(super) state: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct StateFile {
    pub(super) path: PathBuf,
    pub(super) known: Mutex<Known>,
}

impl StateFile {
    pub(super) fn new(path: PathBuf) -> StateFile {
        StateFile { path, known: Mutex::default() }
    }

    /// Reads the file at the first time, and what is new in it where another process writes.
    pub(super) fn look<'a>(&'a self, of: &Snapshots) -> parking_lot::MutexGuard<'a, Known> {
        let mut known = self.known.lock();
        if known.looked && !of.follows() {
            return known;
        }
        known.looked = true;
        match known.refresh(&of.log, &self.path, of.follows()) {
            Ok(None) => {}
            Ok(Some(torn)) => of.ignored.add(&self.path, torn),
            Err(why) => {
                if known.unfit.as_ref() != Some(&why) {
                    of.ignored.add(&self.path, &why);
                }
                *known = Known { looked: true, unfit: Some(why), ..Known::default() };
            }
        }
        known
    }

    /// How many states there are, and in how many bytes.
    pub(super) fn count(&self, of: &Snapshots) -> (u64, u64) {
        let known = self.look(of);
        let count = known.places.values().map(Vec::len).sum::<usize>();
        (count as u64, known.opened.as_ref().map_or(0, |opened| opened.end))
    }

    /// States of a subject up to a position, newest first, and the file that they stand in.
    pub(super) fn candidates(
        &self,
        of: &Snapshots,
        name: &str,
        shape: u32,
        subject: &str,
        until: Position,
    ) -> Option<(Opened, Vec<Place>)> {
        let mut known = self.look(of);
        let opened = known.opened.clone()?;
        if opened.header.name != name {
            drop(known);
            of.ignored.add(&self.path, format_args!("it holds states of {:?}", opened.header.name));
            return None;
        }
        let places = known.places.get_mut(&of.log.hasher.subject(subject))?;
        let mut fitting = Vec::new();
        for place in places.iter_mut().rev().filter(|place| place.position <= until) {
            if place.shape == shape {
                fitting.push(*place);
            } else if !std::mem::replace(&mut place.told, true) {
                of.ignored.add(&self.path, format_args!("a state of version {}, and {shape} is wanted", place.shape));
            }
        }
        Some((opened, fitting))
    }

    /// Forgets a state that does not fit.
    pub(super) fn forget(&self, hash: u64, place: &Place) {
        let mut known = self.known.lock();
        let mut gone = false;
        if let Some(places) = known.places.get_mut(&hash) {
            let before = places.len();
            places.retain(|other| (other.offset, other.position) != (place.offset, place.position));
            gone = places.len() < before;
        }
        if gone {
            known.superseded += place.bytes;
        }
    }

    /// Makes what was written survive power loss, at best: it is derived, so a failure costs nothing but work.
    pub(super) fn sync(&self) {
        let opened = self.known.lock().opened.clone();
        if let Some(opened) = opened {
            let _ = opened.file.sync_data();
        }
    }
}

impl Opened {
    /// Looks at a file from its beginning.
    pub(super) fn new(file: Arc<dyn File>, meta: &Meta) -> Result<Opened, String> {
        let mut head = vec![0; HEAD_BYTES_MAX];
        let got = read_to_end_of(&*file, &mut head, 0).map_err(|error| error.to_string())?;
        let read = FileHeader::read(head.get(..got).unwrap_or_default());
        let (header, end) = read.map_err(|bad| format!("expected {}, found {}", bad.expected, bad.found))?;
        Ok(Opened { file, header, end, seen: (meta.device, meta.inode, meta.len) })
    }

    /// The record at a place, its state checked too; the reason why there is none.
    pub(super) fn read(&self, place: &Place, subject: &str) -> Result<Stored, String> {
        let mut bytes = vec![0; place.bytes as usize];
        let got = read_to_end_of(&*self.file, &mut bytes, place.offset).map_err(|error| error.to_string())?;
        bytes.truncate(got);
        let at = |bad: Box<crate::format::Bad>| format!("at byte {}, expected {}", bad.offset, bad.expected);
        let record = Record::read(&bytes, self.header.salt, place.offset).map_err(at)?;
        if record.subject != subject || record.position != place.position {
            return Err(format!("at byte {}, another state", place.offset));
        }
        let state = bytes.get(record.state_at() as usize..).and_then(|bytes| record.state(bytes, self.header.salt));
        let damaged = || format!("at byte {}, a damaged state", place.offset);
        let state = state.ok_or_else(damaged)?.to_vec();
        Ok(Stored { fingerprint: record.fingerprint, state })
    }
}

/// Calls `each` with the records from `offset` on; gives where the last whole one ends.
pub(super) fn walk(
    file: &dyn File,
    salt: u64,
    mut offset: u64,
    mut each: impl FnMut(u64, &Record<'_>),
) -> io::Result<u64> {
    let mut window = Window::new(file)?;
    let len = window.len();
    while offset < len {
        let bytes = window.get(offset, HEAD_BYTES_MAX as u64)?;
        let Ok(record) = Record::read(bytes, salt, offset) else { break };
        if u64::from(record.state_bytes) > STORED_BYTES_MAX || offset + record.bytes() > len {
            break;
        }
        each(offset, &record);
        offset += record.bytes();
    }
    Ok(offset)
}

impl Known {
    /// What is known of a file that this handle has made.
    pub(super) fn of(opened: Opened, places: HashMap<u64, Vec<Place>>) -> Known {
        Known { looked: true, opened: Some(opened), places, ..Known::default() }
    }

    /// Takes in what is new; gives a torn end in words, or why there is no file to be used.
    fn refresh(&mut self, log: &Log, path: &Path, follows: bool) -> Result<Option<String>, String> {
        let failed = |error: io::Error| error.to_string();
        let Some(meta) = log.storage.metadata(path).map_err(failed)? else {
            *self = Known { looked: true, ..Known::default() };
            return Ok(None);
        };
        let seen = (meta.device, meta.inode, meta.len);
        let unchanged = |opened: &Opened| meta.inode != 0 && opened.seen == seen && opened.end == meta.len;
        if self.opened.as_ref().is_some_and(unchanged) {
            return Ok(None);
        }
        let file = log.storage.open(path, if follows { Mode::Read } else { Mode::Write }).map_err(failed)?;
        let fresh = Opened::new(file, &meta)?;
        if fresh.header.log != log.id {
            return Err(format!("it belongs to log {}", fresh.header.log));
        }
        match &mut self.opened {
            // The same file, longer.
            Some(opened) if opened.header == fresh.header => opened.seen = seen,
            _ => *self = Known { looked: true, opened: Some(fresh), ..Known::default() },
        }
        let Some(opened) = &mut self.opened else { return Ok(None) };
        let places = &mut self.places;
        let walked = walk(&*opened.file, opened.header.salt, opened.end, |offset, record| {
            insert(places.entry(log.hasher.subject(record.subject)).or_default(), Place::of(offset, record));
        });
        opened.end = walked.map_err(failed)?;
        self.superseded = self.places.values().map(|places| left_out(places)).sum();
        // While another process writes, the end may be a record that is under way.
        let torn = opened.end < meta.len && !follows;
        Ok(torn.then(|| format!("from byte {} on there is no whole record", opened.end)))
    }
}

/// Puts a place where it belongs.
pub(super) fn insert(places: &mut Vec<Place>, place: Place) {
    let at = places.partition_point(|other| other.position <= place.position);
    places.insert(at, place);
}

/// Says which places stay when a file is compacted: the newest, the oldest, and between them so many that the distance
/// from the newest at most doubles from one to the next, for those who ask for the past. Compacting what was compacted
/// before widens no gap beyond that. Only of the shape that was written last.
pub(super) fn kept(places: &[Place]) -> impl Iterator<Item = &Place> {
    let shape = places.iter().max_by_key(|place| place.offset).map(|place| place.shape);
    let mut older = places.iter().rev().filter(move |place| Some(place.shape) == shape).peekable();
    let newest = older.peek().map_or(0, |place| place.version);
    let mut far = 0u64;
    std::iter::from_fn(move || {
        loop {
            let place = older.next()?;
            let distance = |place: &Place| newest.saturating_sub(place.version);
            // Left out, the next one would have to lie within twice the distance of the last that stays.
            let is_needed = older.peek().is_none_or(|next| distance(next) > far.saturating_mul(2));
            if distance(place) == 0 || is_needed {
                far = distance(place);
                return Some(place);
            }
        }
    })
}

/// Bytes of the places that do not stay.
pub(super) fn left_out(places: &[Place]) -> u64 {
    let all: u64 = places.iter().map(|place| place.bytes).sum();
    all - kept(places).map(|place| place.bytes).sum::<u64>()
}
