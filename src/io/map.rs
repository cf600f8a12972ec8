//! Memory that somebody else changes: the only `unsafe` of the crate.
//!
//! A `&[u8]` promises that its bytes don't change while it lives, and a mapped file can't promise
//! that: the writer appends to it. So a [`Region`] hands out a slice only of bytes below one
//! published number. Invariants:
//!
//! 1. **Published bytes never change.** Whoever publishes an end promises that all bytes below it
//!    are in the file and stay as they are; the file is never truncated below it. What is read
//!    from disk is published after it was validated, and what is cut is cut in another file.
//! 2. **Bytes are seen only after the number.** The bytes are written before the Release store of
//!    `published`; a reader's Acquire load of it comes before the slice is made.
//! 3. **No reference to an unpublished byte is ever made,** not even for an instant: the memory is
//!    held as a raw pointer.
//!
//! A [`SharedWords`] page is touched by atomic operations alone, in every process that maps it.

#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::ops::Range;
use std::sync::atomic;

use memmap2::{MmapOptions, MmapRaw};

use super::{Advice, Mapping, WORDS, WORDS_BYTES, Words};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Memory of which `[first, published)` can be read.
#[derive(Debug)]
pub struct Region {
    memory: Memory,
    /// The beginning of the visible bytes: what precedes it never is, and may change.
    first: u64,
    /// The end of the visible bytes. Written by [`Mapping::publish`] (Release: the bytes come
    /// first), read by every reader (Acquire: the bytes come after).
    published: AtomicU64,
}

#[derive(Debug)]
enum Memory {
    File(MmapRaw),
    Heap(Heap),
}

impl Region {
    /// Maps `[0, max_len)` of a file for reading from `first` on, whether the file is that long yet
    /// or not.
    pub fn map_file(file: &fs::File, first: u64, max_len: u64) -> io::Result<Region> {
        let len = usize::try_from(max_len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let map = MmapOptions::new().len(len).map_raw_read_only(file)?;
        Ok(Region { memory: Memory::File(map), first, published: AtomicU64::new(0) })
    }

    fn base(&self) -> *const u8 {
        match &self.memory {
            Memory::File(map) => map.as_ptr(),
            Memory::Heap(heap) => heap.base(),
        }
    }

    fn len(&self) -> usize {
        match &self.memory {
            Memory::File(map) => map.len(),
            Memory::Heap(heap) => heap.len(),
        }
    }
}

impl Mapping for Region {
    fn publish(&self, end: u64) {
        let _no_write_meanwhile = match &self.memory {
            Memory::Heap(heap) => Some(heap.writing.lock()),
            Memory::File(_) => None,
        };
        self.published.fetch_max(end, Ordering::Release);
    }

    fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    fn bytes(&self, range: Range<u64>) -> Option<&[u8]> {
        if range.start < self.first || range.start > range.end || range.end > self.published() {
            return None;
        }
        let end = usize::try_from(range.end).ok().filter(|&end| end <= self.len())?;
        let start = range.start as usize; // Not above `end`, which fits.
        // SAFETY: `start <= end <= self.len()`, so the range lies within one live allocation or
        // mapping, which `self` keeps for as long as the slice lives. Its bytes were published
        // (invariant 1), so nobody writes them any more, and the Acquire load above ordered this
        // read behind the writes that made them (invariant 2).
        Some(unsafe { std::slice::from_raw_parts(self.base().add(start), end - start) })
    }

    fn advise(&self, range: Range<u64>, advice: Advice) {
        #[cfg(unix)]
        if let Memory::File(map) = &self.memory {
            let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(map.len());
            let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(map.len());
            if start < end {
                // It is only advice: a system that can't take it reads all the same.
                let _ = map.advise_range(system_advice(advice), start, end - start);
            }
        }
        #[cfg(not(unix))]
        let _ = (range, advice);
    }
}

#[cfg(unix)]
fn system_advice(advice: Advice) -> memmap2::Advice {
    match advice {
        Advice::Normal => memmap2::Advice::Normal,
        Advice::Sequential => memmap2::Advice::Sequential,
        Advice::Random => memmap2::Advice::Random,
        Advice::WillNeed => memmap2::Advice::WillNeed,
        #[cfg(target_os = "linux")]
        Advice::PopulateRead => memmap2::Advice::PopulateRead,
        #[cfg(not(target_os = "linux"))]
        Advice::PopulateRead => memmap2::Advice::WillNeed,
    }
}

/// Memory for the simulated disk: like a mapping, it changes beyond what is published.
#[derive(Debug)]
struct Heap {
    bytes: std::ptr::NonNull<[u8]>,
    /// Held while bytes are written and while an end is published, so that a write knows for sure
    /// which bytes it must not touch. (On a real mapping that is a promise of the callers.)
    writing: Mutex<()>,
}

impl Heap {
    fn new(len: usize) -> Heap {
        let bytes = Box::leak(vec![0; len].into_boxed_slice());
        Heap { bytes: bytes.into(), writing: Mutex::new(()) }
    }

    fn base(&self) -> *mut u8 {
        self.bytes.cast().as_ptr()
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a leaked box of this length, and only here is it freed.
        // No slice of it is left: each borrows the `Region` that owns this.
        drop(unsafe { Box::from_raw(self.bytes.as_ptr()) });
    }
}

// SAFETY: the bytes belong to this value alone. Threads write them under `writing` and only beyond
// what is published, and read them only below it, after an Acquire load.
unsafe impl Send for Heap {}
// SAFETY: as for `Send`.
unsafe impl Sync for Heap {}

impl Region {
    /// A region of zeros on the heap, visible from `first` on, which [`Region::write`] fills.
    pub fn on_heap(first: u64, len: u64) -> io::Result<Region> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(Region { memory: Memory::Heap(Heap::new(len)), first, published: AtomicU64::new(0) })
    }

    /// Puts bytes into a region on the heap, as a write to the file behind a mapping would. What
    /// lies beyond the region is left out.
    ///
    /// # Panics
    /// If it would change a published byte (writing the same ones again is fine): on a real
    /// mapping that is undefined behaviour.
    pub fn write(&self, offset: u64, bytes: &[u8]) {
        let Memory::Heap(heap) = &self.memory else {
            return;
        };
        let _no_publish_meanwhile = heap.writing.lock();
        let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(heap.len());
        let start = within(offset);
        let bytes = &bytes[..bytes.len().min(heap.len() - start)];
        let free = within(self.first).saturating_sub(start).min(bytes.len());
        let fixed = within(self.published()).saturating_sub(start).clamp(free, bytes.len());
        let (hidden, rest) = bytes.split_at(free);
        let (same, new) = rest.split_at(fixed - free);
        // SAFETY: `start + fixed <= heap.len()`, and these bytes are published, so nobody writes
        // them: shared reads are fine.
        let standing = unsafe { std::slice::from_raw_parts(heap.base().add(start + free), same.len()) };
        assert!(standing == same, "published bytes would change under their readers, from {offset} on");
        // SAFETY: `start + hidden.len() <= heap.len()`. The bytes lie before what is ever visible,
        // and the lock is held, so nobody else reads or writes them.
        unsafe { heap.base().add(start).copy_from_nonoverlapping(hidden.as_ptr(), hidden.len()) };
        // SAFETY: `start + fixed + new.len() <= heap.len()`. The bytes lie beyond what is
        // published and stay so while the lock is held, so nobody else reads or writes them.
        unsafe { heap.base().add(start + fixed).copy_from_nonoverlapping(new.as_ptr(), new.len()) };
    }

    /// Zeros a range of a region on the heap, as far as it is not published.
    pub fn clear(&self, range: Range<u64>) {
        let Memory::Heap(heap) = &self.memory else {
            return;
        };
        let _no_publish_meanwhile = heap.writing.lock();
        let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(heap.len());
        let start = within(range.start.max(self.published()));
        let len = within(range.end).saturating_sub(start);
        // SAFETY: as in `write`: within the allocation, beyond what is published.
        unsafe { heap.base().add(start).write_bytes(0, len) };
    }
}

/// A page of atomics in a file, shared by all processes that map it.
#[derive(Debug)]
pub struct SharedWords {
    map: MmapRaw,
    writable: bool,
}

impl SharedWords {
    /// Maps the first page of a file, which must be open for writing if `writable`.
    ///
    /// # Errors
    /// `InvalidData` if the file is shorter than the page: touching what is missing would be
    /// answered by a signal.
    pub fn map_file(file: &fs::File, writable: bool) -> io::Result<SharedWords> {
        if file.metadata()?.len() < WORDS_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too short for a page of words"));
        }
        let mut options = MmapOptions::new();
        options.len(WORDS * 8);
        let map = if writable { options.map_raw(file)? } else { options.map_raw_read_only(file)? };
        Ok(SharedWords { map, writable })
    }

    fn word(&self, index: usize) -> &atomic::AtomicU64 {
        assert!(index < WORDS, "word {index} of a page of {WORDS}");
        // SAFETY: the pointer is inside the mapping, which `self` keeps, and aligned, as a mapping
        // begins at a page. Everybody who maps the file touches it through these atomics only.
        unsafe { atomic::AtomicU64::from_ptr(self.map.as_mut_ptr().cast::<u64>().add(index)) }
    }
}

impl Words for SharedWords {
    fn load(&self, index: usize) -> u64 {
        // A relaxed load and a fence are an Acquire load in two steps. Only relaxed loads are
        // promised to work on memory that is mapped read-only, as a reader's is.
        let word = self.word(index).load(Ordering::Relaxed);
        atomic::fence(Ordering::Acquire);
        u64::from_le(word)
    }

    fn store(&self, index: usize, value: u64) {
        let word = self.word(index);
        if self.writable {
            word.store(value.to_le(), Ordering::Release);
        }
    }
}
