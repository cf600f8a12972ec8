//! Queries over sealed segments: which blocks may hold a match, and which rows of a block.
//!
//! Blocks come from their times and from the term index; rows from the block's packed columns, by
//! comparing references. As with raw segments, [`Query::matches`] has the last word on every event.

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::plan::{Bounded, How, Why};
use super::run::{Asked, OnDamage, meet};
use super::terms::Group;
use crate::error::{ErrorKind, Result};
use crate::event::EventRef;
use crate::format::Parsed;
use crate::format::sealed::BLOCK_ROWS;
use crate::format::sealed::block::Block;
use crate::format::sealed::dictionary::StringColumn;
use crate::format::term::Dimension;
use crate::log::shared::Log;
use crate::position::Position;
use crate::query::Item;
use crate::segment::Cursor;
use crate::segment::sealed::SealedSegment;
use crate::segment::sealed::ahead::Ahead;
use crate::segment::sealed::shelf::Walk;
use crate::time::Timestamp;

/// The rows of a sealed segment that an item's positions admit, half open.
fn rows_of(segment: &SealedSegment, bounded: &Bounded, horizon: Position) -> Range<u32> {
    let (base, end) = (segment.base().get(), segment.next().get().min(horizon.get() + 1));
    let start = bounded.positions.start.clamp(base, end.max(base));
    let stop = bounded.positions.end.clamp(start, end.max(start));
    (start - base) as u32..(stop - base) as u32
}

/// The blocks that may hold a match of any item, ascending.
pub(crate) fn blocks(log: &Log, segment: &SealedSegment, items: &[Bounded], horizon: Position) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for bounded in items {
        let rows = rows_of(segment, bounded, horizon);
        if !rows.is_empty() {
            found.extend(item_blocks(log, segment, bounded, &rows)?);
        }
    }
    if items.len() > 1 {
        found.sort_unstable();
        found.dedup();
    }
    Ok(found)
}

fn item_blocks(log: &Log, segment: &SealedSegment, bounded: &Bounded, rows: &Range<u32>) -> Result<Vec<u32>> {
    let item = &bounded.item;
    let (footer, entries) = (&segment.footer, rows.start / BLOCK_ROWS..(rows.end - 1) / BLOCK_ROWS + 1);
    if !overlaps(item, footer.recorded, footer.occurred) {
        return Ok(Vec::new());
    }
    let Some(groups) = constraints(log, segment, bounded)? else { return Ok(Vec::new()) };
    let mut blocks: Option<Vec<u32>> = None;
    for group in groups {
        let listed = segment.blocks_or_all(&group.hashes)?;
        blocks = Some(match blocks {
            None => listed,
            Some(mut known) => {
                known.retain(|block| listed.binary_search(block).is_ok());
                known
            }
        });
        if blocks.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
    }
    let mut found = blocks.unwrap_or_else(|| entries.clone().collect());
    found.retain(|block| entries.contains(block));
    let timed =
        item.since.is_some() || item.until.is_some() || item.occurred_since.is_some() || item.occurred_until.is_some();
    if timed {
        let directory = segment.blocks()?;
        found.retain(|block| directory.get(*block).is_none_or(|entry| overlaps(item, entry.recorded, entry.occurred)));
    }
    Ok(found)
}

/// What the term index can say of an item; `None`: nothing can match.
fn constraints<'b>(log: &Log, segment: &SealedSegment, bounded: &'b Bounded) -> Result<Option<Vec<Cow<'b, Group>>>> {
    let dictionary = match bounded.terms.has_patterns() {
        true => match segment.dictionary() {
            Ok(dictionary) => Some(dictionary),
            Err(error) if error.kind() == ErrorKind::Corruption => None,
            Err(error) => return Err(error),
        },
        false => None,
    };
    let names = dictionary.and_then(|dictionary| dictionary.references(StringColumn::Type));
    let names = names.map(|names| names.map(|(_, name)| (name, log.hasher.hash(Dimension::Type, name.as_bytes()))));
    Ok(bounded.terms.resolved(bounded.item.types.as_deref(), names))
}

fn overlaps(item: &Item, recorded: (i64, i64), occurred: (i64, i64)) -> bool {
    item.since.is_none_or(|since| recorded.1 >= since.as_nanos())
        && item.until.is_none_or(|until| recorded.0 < until.as_nanos())
        && item.occurred_since.is_none_or(|since| occurred.1 >= since.as_nanos())
        && item.occurred_until.is_none_or(|until| occurred.0 < until.as_nanos())
}

/// Chooses rows of the blocks of one segment.
#[derive(Debug, Default)]
pub(crate) struct Chooser {
    items: Vec<ItemChooser>,
}

#[derive(Debug)]
struct ItemChooser {
    item: Item,
    rows: Range<u32>,
    /// Columns that narrow, with the references that the whole segment shares, if it does.
    columns: Vec<(StringColumn, Option<Vec<u32>>)>,
}

impl Chooser {
    pub(crate) fn new(segment: &SealedSegment, items: &[Bounded], horizon: Position) -> Result<Chooser> {
        let dictionary = segment.dictionary()?;
        let choosers = items.iter().map(|bounded| {
            let columns = narrowing(&bounded.item).into_iter().map(|column| {
                let shared = dictionary.references(column).map(|strings| {
                    strings.filter(|(_, text)| admits(&bounded.item, column, text)).map(|(number, _)| number).collect()
                });
                (column, shared)
            });
            ItemChooser {
                columns: columns.collect(),
                rows: rows_of(segment, bounded, horizon),
                item: bounded.item.clone(),
            }
        });
        Ok(Chooser { items: choosers.collect() })
    }

    /// Whether no column narrows: all rows of a block are read.
    fn takes_all(&self) -> bool {
        self.items.iter().any(|chooser| {
            let item = &chooser.item;
            chooser.columns.is_empty() && item.tags.is_empty() && item.causes.is_none()
        })
    }

    /// The rows of a block that may match, ascending, counted from the segment's first.
    pub(crate) fn rows(&self, number: u32, block: &Block) -> Vec<u32> {
        let first = number * BLOCK_ROWS;
        let mut found = Vec::new();
        for chooser in &self.items {
            let start = chooser.rows.start.saturating_sub(first).min(block.rows());
            let end = chooser.rows.end.saturating_sub(first).min(block.rows());
            if start < end {
                chooser.add_rows(block, start..end, first, &mut found);
            }
        }
        if self.items.len() > 1 {
            found.sort_unstable();
            found.dedup();
        }
        found
    }
}

impl ItemChooser {
    fn add_rows(&self, block: &Block, rows: Range<u32>, first: u32, found: &mut Vec<u32>) {
        let mut chosen: Option<Vec<u32>> = None;
        for (column, shared) in &self.columns {
            let own;
            let references = match shared {
                Some(shared) => shared,
                None => {
                    own = block.references_where(*column, &mut |text| admits(&self.item, *column, text));
                    &own
                }
            };
            let mut listed = Vec::new();
            block.rows_where(*column, references, rows.clone(), &mut listed);
            chosen = Some(match chosen {
                None => listed,
                Some(mut known) => {
                    known.retain(|row| listed.binary_search(row).is_ok());
                    known
                }
            });
            if chosen.as_ref().is_some_and(Vec::is_empty) {
                return;
            }
        }
        for tag in &self.item.tags {
            let references = block.references_where(StringColumn::Tag, &mut |text| text == tag);
            let mut listed = Vec::new();
            block.rows_where(StringColumn::Tag, &references, rows.clone(), &mut listed);
            chosen = Some(match chosen {
                None => listed,
                Some(mut known) => {
                    known.retain(|row| listed.binary_search(row).is_ok());
                    known
                }
            });
        }
        let item = &self.item;
        // What cannot be read is left in: reading the event meets and names it.
        let fits = |row: &u32| {
            let at = |time: Parsed<Timestamp>, since: Option<Timestamp>, until: Option<Timestamp>| {
                time.map_or(true, |time| {
                    since.is_none_or(|since| time >= since) && until.is_none_or(|until| time < until)
                })
            };
            let recorded =
                item.since.is_none() && item.until.is_none() || at(block.recorded_at(*row), item.since, item.until);
            let occurred = item.occurred_since.is_none() && item.occurred_until.is_none()
                || at(block.occurred_at(*row), item.occurred_since, item.occurred_until);
            let caused = |causes: &Vec<Position>| {
                block.causation(*row).map_or(true, |cause| cause.is_some_and(|cause| causes.contains(&cause)))
            };
            recorded && occurred && item.causes.as_ref().is_none_or(caused)
        };
        match chosen {
            Some(chosen) => found.extend(chosen.into_iter().filter(fits).map(|row| first + row)),
            None => found.extend(rows.filter(fits).map(|row| first + row)),
        }
    }
}

/// Where a run stands in a sealed segment.
#[derive(Debug)]
pub(crate) struct SealedPlace {
    chooser: Chooser,
    /// Blocks that are left, in the order in which they are read.
    blocks: std::vec::IntoIter<u32>,
    /// Rows that are left of the block in hand.
    rows: std::vec::IntoIter<u32>,
    cursor: Cursor,
    /// Counts it among the readers of whole blocks.
    _walk: Option<Walk>,
    /// Blocks that are still read before a thread is started that decodes ahead; `None` if none will be, or it was.
    ahead_in: Option<usize>,
    ahead: Option<Ahead>,
}

/// Blocks that are read before it is worth while to decode ahead.
const BLOCKS_BEFORE_AHEAD: usize = 2;
/// Blocks that have to be left then.
const BLOCKS_LEFT_FOR_AHEAD: usize = 6;

impl SealedPlace {
    pub(crate) fn enter(segment: &Arc<SealedSegment>, asked: &Asked) -> Result<SealedPlace> {
        let mut blocks = blocks(&asked.log, segment, &asked.items, asked.horizon)?;
        if asked.query.reverse {
            blocks.reverse();
        }
        let chooser = match blocks.is_empty() {
            true => Chooser::default(),
            false => Chooser::new(segment, &asked.items, asked.horizon)?,
        };
        let walks = chooser.takes_all();
        let may_look_ahead = walks
            && asked.with_data
            && !asked.query.reverse
            && blocks.len() >= BLOCKS_BEFORE_AHEAD + BLOCKS_LEFT_FOR_AHEAD
            && asked.left > (BLOCKS_BEFORE_AHEAD + BLOCKS_LEFT_FOR_AHEAD) as u64 * u64::from(BLOCK_ROWS);
        Ok(SealedPlace {
            chooser,
            blocks: blocks.into_iter(),
            rows: Vec::new().into_iter(),
            cursor: Cursor::walking(walks),
            _walk: walks.then(|| Walk::begin(&segment.shelf)),
            ahead_in: may_look_ahead.then_some(BLOCKS_BEFORE_AHEAD),
            ahead: None,
        })
    }

    /// Lets the next blocks be decoded while the rows of this one are read.
    fn look_ahead(&mut self, segment: &Arc<SealedSegment>, number: u32) {
        let left = self.blocks.as_slice();
        match self.ahead_in {
            Some(0) => (self.ahead, self.ahead_in) = (Ahead::start(segment), None),
            Some(blocks) => self.ahead_in = Some(blocks - 1),
            None => {}
        }
        if let Some(ahead) = &mut self.ahead {
            ahead.at(number, left);
        }
    }

    pub(crate) fn run(
        &mut self,
        segment: &Arc<SealedSegment>,
        asked: &mut Asked,
        damage: &mut OnDamage<'_>,
        each: &mut dyn FnMut(EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        loop {
            let Some(row) = self.rows.next() else {
                let Some(number) = self.blocks.next() else { return Ok(ControlFlow::Continue(())) };
                self.look_ahead(segment, number);
                match segment.block_at(&mut self.cursor, number) {
                    Ok(block) => {
                        let mut rows = self.chooser.rows(number, &block);
                        if asked.query.reverse {
                            rows.reverse();
                        }
                        self.rows = rows.into_iter();
                    }
                    Err(error) => meet(error, damage)?,
                }
                continue;
            };
            match self.one(segment, row, asked, each) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(flow) => return Ok(flow),
                Err(error) => meet(error, damage)?,
            }
        }
    }

    fn one(
        &mut self,
        segment: &SealedSegment,
        row: u32,
        asked: &mut Asked,
        each: &mut dyn FnMut(EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let before = asked.through;
        let given = self.look_at(segment, row, asked, each);
        if given.is_err() {
            // Whoever lists the files anew goes on with this very row.
            asked.through = before;
        }
        given
    }

    fn look_at(
        &mut self,
        segment: &SealedSegment,
        row: u32,
        asked: &mut Asked,
        each: &mut dyn FnMut(EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        if !asked.trivial && !asked.with_data {
            return segment.with_row(&mut self.cursor, row, false, |row| match asked.takes(&row.event) {
                true => asked.give(row.event, each),
                false => ControlFlow::Continue(()),
            });
        }
        // Its data is read only if it matches: that is what costs.
        if !asked.trivial {
            let takes = segment.with_row(&mut self.cursor, row, false, |row| asked.takes(&row.event))?;
            if !takes {
                return Ok(ControlFlow::Continue(()));
            }
        }
        asked.through = segment.position(row);
        let with_data = asked.with_data;
        segment.with_row(&mut self.cursor, row, with_data, |row| asked.give(row.event, each))
    }
}

/// How a sealed segment would be read.
pub(crate) fn how(log: &Log, segment: &SealedSegment, items: &[Bounded], horizon: Position) -> Result<How> {
    let blocks = blocks(log, segment, items, horizon)?;
    if blocks.is_empty() {
        let asked = |bounded: &&Bounded| !rows_of(segment, bounded, horizon).is_empty();
        let timely = |bounded: &Bounded| overlaps(&bounded.item, segment.footer.recorded, segment.footer.occurred);
        return Ok(How::Skipped(match items.iter().find(asked) {
            None => Why::Positions,
            Some(_) if !items.iter().filter(asked).any(timely) => Why::Times,
            Some(_) => Why::Terms,
        }));
    }
    let chooser = Chooser::new(segment, items, horizon)?;
    let mut cursor = Cursor::default();
    let (mut rows, mut pages, mut bytes) = (0, 0, 0);
    for number in &blocks {
        let block = segment.block_at(&mut cursor, *number)?;
        let chosen = chooser.rows(*number, &block);
        let mut touched = vec![false; block.page_count() as usize];
        for row in &chosen {
            // A place that cannot be read is met, and named, by whoever reads the event.
            let Ok(place) = block.payload(row % BLOCK_ROWS) else { continue };
            if let Some(page) = touched.get_mut(place.page as usize).filter(|_| place.len > 0) {
                *page = true;
            }
        }
        let stored = (0u32..).zip(&touched).filter(|(_, touched)| **touched).filter_map(|(page, _)| block.page(page));
        let (count, stored) = stored.fold((0, 0), |(count, sum), page| (count + 1, sum + u64::from(page.stored)));
        rows += chosen.len() as u64;
        pages += count;
        bytes += stored + u64::from(segment.block_entry(*number)?.head_len);
    }
    Ok(How::Blocks { read: blocks.len() as u64, of: u64::from(segment.footer.blocks), rows, pages, bytes })
}

/// The columns whose strings an item asks for, any of some.
fn narrowing(item: &Item) -> Vec<StringColumn> {
    let asked = [
        (StringColumn::Subject, item.subjects.is_some() || item.kinds.is_some()),
        (StringColumn::Type, item.types.is_some()),
        (StringColumn::Actor, item.actors.is_some()),
        (StringColumn::OnBehalfOf, item.on_behalf_of.is_some()),
        (StringColumn::Source, item.sources.is_some()),
        (StringColumn::Correlation, item.correlations.is_some()),
    ];
    asked.into_iter().filter(|(_, asked)| *asked).map(|(column, _)| column).collect()
}

/// Whether an item admits a string of a column.
fn admits(item: &Item, column: StringColumn, text: &str) -> bool {
    fn any<T>(list: Option<&Vec<T>>, test: impl Fn(&T) -> bool) -> bool {
        list.is_none_or(|list| list.iter().any(test))
    }
    match column {
        StringColumn::Subject => {
            any(item.subjects.as_ref(), |subject| subject == text)
                && any(item.kinds.as_ref(), |kind| kind == crate::subject::kind_of(text))
        }
        StringColumn::Type => any(item.types.as_ref(), |pattern| pattern.matches(text)),
        StringColumn::Actor => any(item.actors.as_ref(), |(kind, id)| {
            let of_kind = |kind: &crate::actor::ActorKind| text.bytes().next() == Some(b'0' + kind.code());
            text.get(1..) == Some(id.as_str()) && kind.as_ref().is_none_or(of_kind)
        }),
        StringColumn::OnBehalfOf => any(item.on_behalf_of.as_ref(), |user| user == text),
        StringColumn::Source => any(item.sources.as_ref(), |source| source == text),
        StringColumn::Correlation => any(item.correlations.as_ref(), |correlation| correlation == text),
        _ => true,
    }
}
