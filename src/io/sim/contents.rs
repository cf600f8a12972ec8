//! What one file holds: in the page cache, on the disk, and in between.
//!
//! Invariants:
//! - `live` is what every reader and mapping sees; a change is in it at once.
//! - `durable` is what certainly survives power loss. Only a sync changes it.
//! - `pending` are the changes since the last sync, oldest first. Power loss keeps, of each sector
//!   on its own, the first so many of its changes (0 or more), and of the length likewise. Hence a
//!   sector of a preallocated range that was not written back reads as zeros.
//! - Where a sync failed, `pending` may be empty though `live` and `durable` differ: nothing but
//!   writing the bytes again can make them durable.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use xxhash_rust::xxh3::Xxh3;

use super::image::{Image, SECTOR_BYTES};
use crate::io::WORDS_BYTES;

#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    live: Image,
    durable: Image,
    pending: Vec<Pending>,
    /// Whether a sync ever failed, so that `live` may differ from `durable` without a trace.
    sync_failed: bool,
    /// The bytes in front that are allocated on the disk. Holes are not told apart.
    reserved: u64,
    /// A hash of `live`, once somebody asked for it. Whoever changes anything empties it first.
    digest: OnceLock<u64>,
}

#[derive(Clone, Debug)]
struct Pending {
    /// The number of the operation on the whole disk, which tells what was newest.
    step: u64,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Write {
        offset: u64,
        bytes: Arc<[u8]>,
    },
    /// The first page was changed through a shared mapping; it is what `live` says at the moment
    /// of writing it back.
    Words,
    Extend(u64),
    SetLen(u64),
}

impl Contents {
    /// A file that was found on the disk.
    fn found(image: Image) -> Contents {
        Contents { reserved: image.len(), live: image.clone(), durable: image, ..Contents::default() }
    }

    /// To be called before a change.
    pub(super) fn forget_digest(&mut self) {
        self.digest = OnceLock::new();
    }

    /// A hash of the bytes and the length as readers see them.
    pub(super) fn digest(&self) -> u64 {
        *self.digest.get_or_init(|| {
            let mut hash = Xxh3::new();
            hash.update(&self.live.len().to_le_bytes());
            for (number, page) in self.live.pages() {
                hash.update(&number.to_le_bytes());
                hash.update(page);
            }
            hash.digest()
        })
    }

    pub(super) fn live(&self) -> &Image {
        &self.live
    }

    pub(super) fn reserved(&self) -> u64 {
        self.reserved
    }

    pub(super) fn write(&mut self, step: u64, offset: u64, bytes: &Arc<[u8]>) {
        self.live.write(offset, bytes);
        self.reserved = self.reserved.max(offset + bytes.len() as u64);
        self.pending.push(Pending { step, change: Change::Write { offset, bytes: bytes.clone() } });
    }

    pub(super) fn store_word(&mut self, step: u64, index: usize, value: u64) {
        self.live.put(index as u64 * 8, &value.to_le_bytes());
        // One change stands for all of them, or a store for each commit would pile up.
        if !matches!(self.pending.last(), Some(Pending { change: Change::Words, .. })) {
            self.pending.push(Pending { step, change: Change::Words });
        }
    }

    pub(super) fn set_len(&mut self, step: u64, len: u64) {
        self.live.set_len(len);
        self.reserved = self.reserved.min(len);
        self.pending.push(Pending { step, change: Change::SetLen(len) });
    }

    pub(super) fn allocate(&mut self, step: u64, end: u64) {
        self.live.extend(end);
        self.reserved = self.reserved.max(end);
        self.pending.push(Pending { step, change: Change::Extend(end) });
    }

    /// A sync that did its work.
    pub(super) fn sync(&mut self) {
        for Pending { change, .. } in std::mem::take(&mut self.pending) {
            self.write_back(&change);
        }
    }

    fn write_back(&mut self, change: &Change) {
        match change {
            Change::Write { offset, bytes } => self.durable.put(*offset, bytes),
            Change::Words => self.durable.put(0, &self.words()),
            Change::Extend(_) | Change::SetLen(_) => {}
        }
        change.record_length(&mut self.durable);
    }

    /// A sync that failed: the kernel has marked the pages clean and will not try again.
    pub(super) fn lose_pending(&mut self) {
        self.pending.clear();
        self.sync_failed = true;
    }

    /// Whether power loss would change nothing.
    pub(super) fn is_durable(&self) -> bool {
        self.pending.is_empty() && !self.sync_failed
    }

    fn words(&self) -> [u8; WORDS_BYTES as usize] {
        let mut page = [0; WORDS_BYTES as usize];
        self.live.read(0, &mut page);
        page
    }

    /// The step and the length in bytes of the newest write that is not durable.
    pub(super) fn newest_write(&self) -> Option<(u64, u64)> {
        self.pending.iter().rev().find_map(|pending| match &pending.change {
            Change::Write { bytes, .. } => Some((pending.step, bytes.len() as u64)),
            _ => None,
        })
    }

    /// How many changes wait for each sector that has any.
    fn dirty(&self) -> BTreeMap<u64, usize> {
        let mut dirty = BTreeMap::new();
        for Pending { change, .. } in &self.pending {
            for sector in change.sectors() {
                *dirty.entry(sector).or_default() += 1;
            }
        }
        dirty
    }

    pub(super) fn dirty_sectors(&self) -> usize {
        self.dirty().len()
    }

    /// Power loss that keeps nothing but what is durable.
    pub(super) fn crash_to_durable(&self) -> Contents {
        Contents::found(self.durable.clone())
    }

    /// Power loss after everything was written back.
    pub(super) fn crash_after_write_back(&self) -> Contents {
        let mut contents = self.clone();
        contents.sync();
        Contents::found(contents.durable)
    }

    /// Power loss after everything was written back but the rest of the newest write, of which
    /// only the first `bytes` were.
    pub(super) fn crash_within_newest_write(&self, bytes: u64) -> Contents {
        let mut contents = self.clone();
        let newest = contents.pending.iter_mut().rev().find_map(|pending| match &mut pending.change {
            Change::Write { bytes, .. } => Some(bytes),
            _ => None,
        });
        if let Some(written) = newest {
            let cut = (written.len() as u64).min(bytes) as usize;
            *written = written[..cut].into();
        }
        contents.crash_after_write_back()
    }

    /// Power loss in the midst of writing back. `lengths_kept` gets the number of changes and says
    /// of how many the length was recorded; `kept` gets, for each dirty sector from front to back,
    /// the number of its changes and says how many were written back.
    pub(super) fn crash(&self, lengths_kept: usize, kept: &mut dyn FnMut(usize) -> usize) -> Contents {
        let mut left = self.dirty();
        for changes in left.values_mut() {
            *changes = kept(*changes);
        }
        let words = self.words();
        let mut image = self.durable.clone();
        for (i, Pending { change, .. }) in self.pending.iter().enumerate() {
            let (offset, bytes) = match change {
                Change::Write { offset, bytes } => (*offset, &bytes[..]),
                Change::Words => (0, &words[..]),
                Change::Extend(_) | Change::SetLen(_) => (0, &[][..]),
            };
            for sector in change.sectors() {
                if let Some(left) = left.get_mut(&sector).filter(|left| **left > 0) {
                    *left -= 1;
                    let end = offset + bytes.len() as u64;
                    let from = (sector * SECTOR_BYTES).max(offset);
                    let to = ((sector + 1) * SECTOR_BYTES).min(end);
                    image.put(from, &bytes[(from - offset) as usize..(to - offset) as usize]);
                }
            }
            if i < lengths_kept {
                change.record_length(&mut image);
            }
        }
        image.set_len(image.len()); // What was written beyond a length that was lost is out of reach.
        Contents::found(image)
    }

    pub(super) fn pending_changes(&self) -> usize {
        self.pending.len()
    }

    /// Whether a change of the length waits.
    pub(super) fn has_dirty_length(&self) -> bool {
        let mut image = Image::default();
        image.extend(self.durable.len());
        self.pending.iter().any(|pending| {
            pending.change.record_length(&mut image);
            image.len() != self.durable.len()
        })
    }
}

impl Change {
    /// The sectors that it writes to.
    fn sectors(&self) -> std::ops::Range<u64> {
        match self {
            Change::Write { bytes, .. } if bytes.is_empty() => 0..0,
            Change::Write { offset, bytes } => {
                offset / SECTOR_BYTES..(offset + bytes.len() as u64).div_ceil(SECTOR_BYTES)
            }
            Change::Words => 0..WORDS_BYTES / SECTOR_BYTES,
            Change::Extend(_) | Change::SetLen(_) => 0..0,
        }
    }

    /// What it does to the length of the file.
    fn record_length(&self, image: &mut Image) {
        match self {
            Change::Write { bytes, .. } if bytes.is_empty() => {}
            Change::Write { offset, bytes } => image.extend(offset + bytes.len() as u64),
            Change::Words => {}
            Change::Extend(end) => image.extend(*end),
            Change::SetLen(len) => image.set_len(*len),
        }
    }
}
