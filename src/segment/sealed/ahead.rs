//! Decoding ahead of a reader: while it goes through the rows of a block, a second thread unpacks the next ones onto the
//! shelf, where the reader finds them.
//!
//! Nothing depends on it. What it decoded too late, or what fell off the shelf, the reader decodes itself; what it could
//! not read, the reader meets, and reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam_channel::{Sender, bounded};

use super::SealedSegment;
use super::shelf::Walk;

/// Blocks that are asked for ahead of the one in hand.
const BLOCKS: usize = 4;
/// The shelf has to hold so many times as much, or what is decoded ahead pushes itself off it.
const SHELF_TIMES: u64 = 2;

/// The thread that decodes ahead. It ends when this is dropped, after the block in hand.
#[derive(Debug)]
pub(crate) struct Ahead {
    to: Sender<u32>,
    /// The block that the reader is at: written by it, read by the thread to pass over what comes too late. A hint, so
    /// no ordering is needed.
    reached: Arc<AtomicU32>,
    /// The last block that was asked for.
    asked: Option<u32>,
}

impl Ahead {
    /// Starts to decode ahead of a reader that goes forward through most blocks of a segment; `None` where that gains
    /// nothing.
    pub(crate) fn start(segment: &Arc<SealedSegment>) -> Option<Ahead> {
        let blocks = u64::from(segment.footer.blocks.max(1));
        let per_block = segment.footer.data_bytes / blocks;
        if !segment.shelf.has_threads() || per_block * BLOCKS as u64 * SHELF_TIMES > segment.shelf.capacity() {
            return None;
        }
        let (to, from) = bounded::<u32>(BLOCKS);
        let reached = Arc::new(AtomicU32::new(0));
        let (segment, at) = (Arc::clone(segment), Arc::clone(&reached));
        let work = move || {
            let _walk = Walk::begin(&segment.shelf);
            for number in from {
                if number < at.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(block) = segment.block(number) else { continue };
                for page in 0..block.page_count() {
                    if number < at.load(Ordering::Relaxed) || segment.page(number, &block, page).is_err() {
                        break;
                    }
                }
            }
        };
        std::thread::Builder::new().name("annals-ahead".to_owned()).spawn(work).ok()?;
        Some(Ahead { to, reached, asked: None })
    }

    /// The reader is at a block, and will come to the others in this order.
    pub(crate) fn at(&mut self, number: u32, next: &[u32]) {
        self.reached.store(number, Ordering::Relaxed);
        let asked = self.asked;
        for block in next.iter().take(BLOCKS).filter(|block| asked.is_none_or(|asked| **block > asked)) {
            if self.to.try_send(*block).is_err() {
                break;
            }
            self.asked = Some(*block);
        }
    }
}
