//! Reading rows one after the other: what was decoded for one row is kept for the next.

use std::sync::Arc;

use super::SealedSegment;
use crate::error::Result;
use crate::format::sealed::BLOCK_ROWS;
use crate::format::sealed::block::{Block, Row, Scratch, Unpacked};
use crate::position::Position;
use crate::time::Timestamp;

/// Pages of one block that are held at once, in bytes; one more page may come on top.
const PAGES_HELD: usize = 32 << 20;

/// What a reader of sealed segments holds between two rows.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    scratch: Scratch,
    at: Option<At>,
    /// Most rows of a block will be read: its columns are worth unpacking.
    whole_blocks: bool,
    unpacked: Unpacked,
}

impl Cursor {
    /// A cursor for reading most rows of a block, one after the other, or only some.
    pub(crate) fn walking(whole_blocks: bool) -> Cursor {
        Cursor { whole_blocks, ..Cursor::default() }
    }
}

#[derive(Debug)]
struct At {
    segment: u64,
    number: u32,
    block: Arc<Block>,
    pages: Vec<Option<Arc<Vec<u8>>>>,
    held: usize,
}

impl SealedSegment {
    /// Moves the cursor to a block.
    fn enter<'c>(&self, cursor: &'c mut Cursor, number: u32) -> Result<&'c mut At> {
        let here = cursor.at.as_ref().is_some_and(|at| (at.segment, at.number) == (self.name, number));
        if !here {
            cursor.at = None;
            // Whoever reads all of it once, and alone, has no use for a place on the shelf.
            let block = match cursor.whole_blocks && !self.shelf.is_walked_by_several() {
                true => self.shelf.head(self.name, number).map_or_else(|| self.read_block(number).map(Arc::new), Ok)?,
                false => self.block(number)?,
            };
            if cursor.whole_blocks {
                let at = self.block_entry(number)?.head_at;
                block.unpack(&mut cursor.unpacked).map_err(|bad| self.corruption(&bad, at, self.rows_range(number)))?;
            }
            let pages = vec![None; block.page_count() as usize];
            cursor.at = Some(At { segment: self.name, number, block, pages, held: 0 });
        }
        cursor.at.as_mut().ok_or_else(|| crate::error::Error::invalid("the cursor stands nowhere"))
    }

    /// The block that holds a row, for asking its columns.
    pub(crate) fn block_at(&self, cursor: &mut Cursor, number: u32) -> Result<Arc<Block>> {
        Ok(Arc::clone(&self.enter(cursor, number)?.block))
    }

    /// Runs `each` on a row, every byte of it checked. Without `with_data` its data is empty and no
    /// payload page is touched.
    pub(crate) fn with_row<T>(
        &self,
        cursor: &mut Cursor,
        row: u32,
        with_data: bool,
        each: impl FnOnce(Row<'_>) -> T,
    ) -> Result<T> {
        let number = row / BLOCK_ROWS;
        let within = row % BLOCK_ROWS;
        self.enter(cursor, number)?;
        let whole_blocks = cursor.whole_blocks;
        let Cursor { scratch, at: Some(at), unpacked, .. } = cursor else {
            return Err(crate::error::Error::invalid("the cursor stands nowhere"));
        };
        let damaged = |bad: Box<crate::format::Bad>, at: &At| {
            let head_at = self.block_entry(at.number).map_or(0, |entry| entry.head_at);
            self.corruption(&bad, head_at, row..row + 1)
        };
        let place = match whole_blocks {
            true => at.block.payload_unpacked(unpacked, within),
            false => at.block.payload(within),
        };
        let place = place.map_err(|bad| damaged(bad, at))?;
        if with_data && place.len > 0 {
            self.hold_page(at, place.page, whole_blocks)?;
        }
        let data = match at.pages.get(place.page as usize) {
            Some(Some(page)) if with_data && place.len > 0 => page.get(place.start..place.start + place.len),
            _ => None,
        };
        if with_data && place.len > 0 && data.is_none() {
            return Err(self.damage(0, "data within its page", "data beyond it", row..row + 1));
        }
        let data = data.unwrap_or_default();
        let found = match whole_blocks {
            true => at.block.event_unpacked(unpacked, within, scratch, data),
            false => at.block.event(within, scratch, data),
        };
        let found = found.map_err(|bad| damaged(bad, at))?;
        debug_assert_eq!(found.event.position(), self.position(row));
        Ok(each(found))
    }

    fn hold_page(&self, at: &mut At, page: u32, once: bool) -> Result<()> {
        let held = at.pages.get(page as usize).is_some_and(Option::is_some);
        if held {
            return Ok(());
        }
        let found = if once && !self.shelf.is_walked_by_several() {
            let mut raw = Vec::new();
            self.read_page(at.number, &at.block, page, &mut raw)?;
            Arc::new(raw)
        } else {
            self.page(at.number, &at.block, page)?
        };
        if at.held > PAGES_HELD {
            at.pages.fill(None);
            at.held = 0;
        }
        at.held += found.len();
        if let Some(slot) = at.pages.get_mut(page as usize) {
            *slot = Some(found);
        }
        Ok(())
    }

    /// When a row was recorded.
    pub(crate) fn recorded_at(&self, row: u32) -> Result<Timestamp> {
        let number = row / BLOCK_ROWS;
        let entry = self.block_entry(number)?;
        // Batches of thousands have one time.
        if entry.recorded.0 == entry.recorded.1 {
            return Ok(Timestamp::from_nanos(entry.recorded.0));
        }
        let block = self.block(number)?;
        block.recorded_at(row % BLOCK_ROWS).map_err(|bad| self.corruption(&bad, entry.head_at, row..row + 1))
    }

    /// The row of a position, if the segment holds it.
    pub(crate) fn row_of(&self, position: Position) -> Option<u32> {
        (position >= self.base() && position < self.next()).then(|| (position.get() - self.base().get()) as u32)
    }
}
