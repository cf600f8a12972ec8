//! What the sealed segments of a log share: a bounded cache of decoded blocks and pages, and a
//! bounded number of open files. Nothing here is needed for an answer, only for its speed.

use std::collections::VecDeque;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::format::sealed::block::Block;
use crate::io::File;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Files that are kept open at once.
const OPEN_FILES: usize = 128;
/// What an average piece weighs, for the cache to size itself by.
const PIECE_BYTES: u64 = 16 << 10;

/// A decoded piece of a segment: of which segment, of which block, and which page of it; the block's
/// head itself is page `u32::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PieceKey {
    pub(crate) segment: u64,
    pub(crate) block: u32,
    pub(crate) page: u32,
}

#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Head(Arc<Block>),
    Page(Arc<Vec<u8>>),
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<PieceKey, Piece> for ByBytes {
    fn weight(&self, _key: &PieceKey, piece: &Piece) -> u64 {
        let bytes = match piece {
            Piece::Head(block) => block.memory(),
            Piece::Page(page) => page.capacity(),
        };
        bytes as u64 + size_of::<PieceKey>() as u64
    }
}

#[derive(Debug)]
pub(crate) struct Shelf {
    pieces: Cache<PieceKey, Piece, ByBytes>,
    open: Mutex<VecDeque<(u64, Arc<dyn File>)>>,
    names: AtomicU64,
    /// Readers that go through whole blocks now; read by each of them to see whether it is alone. A hint, so no ordering
    /// is needed.
    walks: AtomicUsize,
    bytes: u64,
    threads: bool,
}

/// A reader that goes through whole blocks, counted for as long as this lives.
#[derive(Debug)]
pub(crate) struct Walk {
    shelf: Arc<Shelf>,
}

impl Walk {
    pub(crate) fn begin(shelf: &Arc<Shelf>) -> Walk {
        shelf.walks.fetch_add(1, Ordering::Relaxed);
        Walk { shelf: Arc::clone(shelf) }
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.shelf.walks.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shelf {
    pub(crate) fn new(cache_bytes: u64) -> Shelf {
        let pieces = (cache_bytes / PIECE_BYTES).max(16) as usize;
        Shelf {
            pieces: Cache::with_weighter(pieces, cache_bytes, ByBytes),
            open: Mutex::new(VecDeque::new()),
            names: AtomicU64::new(1),
            walks: AtomicUsize::new(0),
            bytes: cache_bytes,
            threads: false,
        }
    }

    /// The same for a log whose readers may be helped by threads; one core has nothing to help with.
    pub(crate) fn with_threads(self, threads: bool) -> Shelf {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Shelf { threads: threads && cores > 1, ..self }
    }

    pub(super) fn has_threads(&self) -> bool {
        self.threads
    }

    /// Bytes that it holds at most.
    pub(super) fn capacity(&self) -> u64 {
        self.bytes
    }

    /// Whether what one reader of whole blocks decodes is of use to another one now.
    pub(super) fn is_walked_by_several(&self) -> bool {
        self.walks.load(Ordering::Relaxed) > 1
    }

    /// A name for one more opened segment.
    pub(super) fn name(&self) -> u64 {
        self.names.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn head(&self, segment: u64, block: u32) -> Option<Arc<Block>> {
        match self.pieces.get(&PieceKey { segment, block, page: u32::MAX })? {
            Piece::Head(block) => Some(block),
            Piece::Page(_) => None,
        }
    }

    pub(super) fn page(&self, segment: u64, block: u32, page: u32) -> Option<Arc<Vec<u8>>> {
        match self.pieces.get(&PieceKey { segment, block, page })? {
            Piece::Page(page) => Some(page),
            Piece::Head(_) => None,
        }
    }

    pub(super) fn keep(&self, segment: u64, block: u32, page: u32, piece: Piece) {
        self.pieces.insert(PieceKey { segment, block, page }, piece);
    }

    /// The open file of a segment, opened by `open` if it is not. The one that was used longest ago
    /// is closed for it.
    pub(super) fn file<E>(
        &self,
        segment: u64,
        open: impl FnOnce() -> Result<Arc<dyn File>, E>,
    ) -> Result<Arc<dyn File>, E> {
        {
            let mut files = self.open.lock();
            if let Some(at) = files.iter().rposition(|(name, _)| *name == segment) {
                let Some(found) = files.remove(at) else { return open() };
                let file = Arc::clone(&found.1);
                files.push_back(found);
                return Ok(file);
            }
        }
        let file = open()?;
        let mut files = self.open.lock();
        files.push_back((segment, Arc::clone(&file)));
        if files.len() > OPEN_FILES {
            files.pop_front();
        }
        Ok(file)
    }
}
