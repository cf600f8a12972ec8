//! Reading the log as it stood at one moment.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::catalog::{Catalog, TABLE_ADDED, Table};
use crate::checkpoint::Checkpoint;
use crate::error::{Corruption, Error, Result};
use crate::event::{Event, EventRef};
use crate::format::leaf::Tree;
use crate::format::term::Dimension;
use crate::head::Head;
use crate::log::anchor_file::{self, AnchorRead};
use crate::log::indexer;
use crate::log::shared::Log;
use crate::position::Position;
use crate::query::Query;
use crate::query::plan::{self, Plan};
use crate::query::run::{OnDamage, Run, explain};
use crate::snapshot::Snapshots;
use crate::time::Timestamp;

/// How many owned events an iterator reads at a time.
const READ_AHEAD: usize = 128;

/// A moment of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AsOf {
    /// What had been recorded at this time, inclusive.
    Time(Timestamp),
    /// What had been recorded up to this position, inclusive.
    Position(Position),
    /// What had happened at this time, inclusive, according to the producers: for histories that
    /// were brought from elsewhere. Events keep their order of position.
    Occurred(Timestamp),
}

/// A view of the log up to a horizon: the tail at the time when the reader was made. Cheap to make
/// and to clone. What is appended later is not seen; what is seen never changes.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(crate) log: Arc<Log>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) horizon: Position,
    /// What it would see if nothing was lost: beyond the horizon only where damage took the end of the log.
    reach: Position,
    durable: Position,
    /// Only events that had occurred by then.
    occurred: Option<Timestamp>,
    /// Only events that had been recorded by then; where the horizon could not be found.
    recorded: Option<Timestamp>,
}

impl Reader {
    pub(crate) fn new(log: Arc<Log>, snapshots: Arc<Snapshots>) -> Reader {
        // Durable first: it must never be beyond the horizon.
        let (durable, horizon) = (log.durable(), log.tail());
        let reach = log.reach(horizon);
        Reader { log, snapshots, horizon, reach, durable: durable.min(horizon), occurred: None, recorded: None }
    }

    /// The newest position that this reader sees.
    #[must_use]
    pub fn tail(&self) -> Position {
        self.horizon
    }

    /// The newest position that was known to survive power loss when the reader was made. In a
    /// `Synced` store that is the tail.
    #[must_use]
    pub fn durable(&self) -> Position {
        self.durable.min(self.horizon)
    }

    /// The same log as it stood at another moment; everything asked of it answers as it would have
    /// then. Never beyond this reader's own horizon.
    #[must_use]
    pub fn as_of(&self, moment: AsOf) -> Reader {
        let mut then = self.clone();
        match moment {
            AsOf::Position(position) => {
                (then.horizon, then.reach) = (then.horizon.min(position), then.reach.min(position));
            }
            AsOf::Occurred(time) => then.occurred = Some(then.occurred.map_or(time, |old| old.min(time))),
            AsOf::Time(time) => {
                // Where the search fails, every event is asked for its time, and the failure is met
                // again, and reported, by whoever reads.
                match plan::position_at(&self.log, time, self.horizon) {
                    // Times ascend: what was lost behind an event of a later time is of later times too.
                    Ok(position) if position < self.horizon => (then.horizon, then.reach) = (position, position),
                    Ok(_) => {}
                    Err(_) => then.recorded = Some(then.recorded.map_or(time, |old| old.min(time))),
                }
            }
        }
        then
    }

    /// The query within this reader's view.
    fn within(&self, query: &Query) -> Query {
        let after = |time: Timestamp| time.as_nanos().checked_add(1).map(Timestamp::from_nanos);
        let mut query = query.clone();
        if let Some(next) = self.occurred.and_then(after) {
            query = query.occurred_until(next);
        }
        if let Some(next) = self.recorded.and_then(after) {
            query = query.until(next);
        }
        query
    }

    /// Whether this view is everything up to its horizon, as what was stored earlier is.
    pub(crate) fn is_whole(&self) -> bool {
        self.occurred.is_none() && self.recorded.is_none()
    }

    fn sees(&self, event: &EventRef<'_>) -> bool {
        self.occurred.is_none_or(|time| event.occurred_at() <= time)
            && self.recorded.is_none_or(|time| event.recorded_at() <= time)
    }

    /// Whether a position is in this view; an error if it would be, had it not been lost.
    fn reaches(&self, position: Position) -> Result<bool> {
        if position > self.horizon && position <= self.reach {
            self.log.check_held(position..=position)?;
        }
        Ok(position <= self.horizon)
    }

    /// An answer rests on all events behind `last`: an error if the log has lost some of them.
    fn check_behind(&self, last: Position) -> Result<()> {
        self.log.check_held(last.next()..=self.reach)
    }

    /// The query within this view, under way: it can stop after any event and go on.
    pub(crate) fn run(&self, query: &Query) -> Result<Run> {
        self.log.check_open()?;
        Ok(Run::new(Arc::clone(&self.log), &self.within(query), self.horizon)?.reaching(self.reach))
    }

    /// Calls `each` with every event that the query matches, until it breaks. Nothing is allocated
    /// for an event, and every one has passed its checks. Blocks while it reads.
    ///
    /// Returns how far the log was read: forward, everything up to the position returned was looked
    /// at; backward, everything from it on.
    ///
    /// # Errors
    /// `Corruption` (every event before the damage was given), `Io`, `Closed`.
    pub fn scan(&self, query: &Query, mut each: impl FnMut(EventRef<'_>) -> ControlFlow<()>) -> Result<Position> {
        let mut run = self.run(query)?;
        run.run(&mut OnDamage::Stop, &mut each)?;
        Ok(run.through())
    }

    /// Like [`Reader::scan`], but events that are damaged are told to `damage` and passed over.
    ///
    /// # Errors
    /// `Io`, `Closed`.
    pub fn scan_good(
        &self,
        query: &Query,
        mut each: impl FnMut(EventRef<'_>) -> ControlFlow<()>,
        mut damage: impl FnMut(&Corruption),
    ) -> Result<Position> {
        let mut run = self.run(query)?;
        run.run(&mut OnDamage::Skip(&mut damage), &mut each)?;
        Ok(run.through())
    }

    /// Like [`Reader::scan`], but the events come without their data: it is not read, which in sealed segments is most
    /// of the work, and not missed where it is archived.
    ///
    /// # Errors
    /// As [`Reader::scan`].
    pub fn scan_metadata(
        &self,
        query: &Query,
        mut each: impl FnMut(EventRef<'_>) -> ControlFlow<()>,
    ) -> Result<Position> {
        let mut run = self.run(query)?.without_data();
        run.run(&mut OnDamage::Stop, &mut each)?;
        Ok(run.through())
    }

    /// The events that the query matches, owned. Reading goes on as the iterator is driven; after
    /// an error it ends.
    pub fn read(&self, query: &Query) -> Events {
        Events {
            reader: self.clone(),
            query: query.clone(),
            run: None,
            buffer: VecDeque::new(),
            failure: None,
            done: false,
        }
    }

    /// All events of a subject, oldest first.
    pub fn history(&self, subject: impl Into<String>) -> Events {
        self.read(&Query::all().subject(subject))
    }

    /// How many events the query matches, its limit included.
    ///
    /// # Errors
    /// As [`Reader::scan`].
    pub fn count(&self, query: &Query) -> Result<u64> {
        let mut count = 0;
        self.run(query)?.without_data().run(&mut OnDamage::Stop, &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// How the query would be answered: segments skipped, events read.
    #[must_use]
    pub fn plan(&self, query: &Query) -> Plan {
        let query = self.within(query);
        explain(&self.log, &query, self.horizon).unwrap_or_else(|error| Plan {
            query: format!("{query}: {error}"),
            horizon: self.horizon,
            steps: Vec::new(),
        })
    }

    /// The event at a position; `None` if this reader does not see it.
    ///
    /// # Errors
    /// `Corruption`, `Io`, `Closed`.
    pub fn event(&self, position: impl Into<Position>) -> Result<Option<Event>> {
        self.log.check_open()?;
        let position = position.into();
        if !self.reaches(position)? {
            return Ok(None);
        }
        let event = self.log.with_event(position, |event| event.to_owned())?;
        Ok(event.filter(|event| self.sees(&event.as_ref())))
    }

    /// Runs `each` on the event at a position, if this reader sees it; its data is left out if it is not wanted.
    #[cfg(feature = "sqlite")]
    pub(crate) fn look_at(&self, position: Position, with_data: bool, each: impl FnOnce(&EventRef<'_>)) -> Result<()> {
        self.log.check_open()?;
        if !self.reaches(position)? {
            return Ok(());
        }
        let seen = |event: &EventRef<'_>| {
            if self.sees(event) {
                each(event);
            }
        };
        match with_data {
            true => self.log.with_event(position, seen)?,
            false => self.log.with_head(position, seen)?,
        };
        Ok(())
    }

    /// The first event of an id, whether the producer gave it or the log derived it.
    ///
    /// # Errors
    /// As [`Reader::event`].
    pub fn event_by_id(&self, id: &str) -> Result<Option<Event>> {
        let mut found = None;
        self.each_of_id(id, &mut |event| {
            found = Some(event.to_owned());
            false
        })?;
        Ok(found)
    }

    /// All events of an id, oldest first; ids are not unique.
    ///
    /// # Errors
    /// As [`Reader::event`].
    pub fn events_by_id(&self, id: &str) -> Result<Vec<Event>> {
        let mut found = Vec::new();
        self.each_of_id(id, &mut |event| {
            found.push(event.to_owned());
            true
        })?;
        Ok(found)
    }

    /// The first and the last position of the append that carried an idempotency key.
    pub(crate) fn positions_of_key(&self, key: &str) -> Result<Option<(Position, Position)>> {
        self.log.check_open()?;
        let hash = self.log.hasher.hash(Dimension::Key, key.as_bytes());
        let hit = self.log.find_key(key, hash)?.filter(|hit| hit.last <= self.horizon);
        if hit.is_none() {
            self.check_behind(Position::ORIGIN)?;
        }
        Ok(hit.map(|hit| (hit.first, hit.last)))
    }

    pub(crate) fn each_of_id(&self, id: &str, each: &mut dyn FnMut(&EventRef<'_>) -> bool) -> Result<()> {
        self.log.check_open()?;
        let mut stopped = None;
        self.log.each_of_id(id, self.horizon, &mut |event| {
            let goes_on = !self.sees(event) || each(event);
            stopped = Some(event.position()).filter(|_| !goes_on);
            goes_on
        })?;
        // Oldest first: what was lost before the one that was enough might have come before it.
        self.log.check_held(Position::new(1)..=stopped.unwrap_or(self.reach))
    }

    /// The version of a subject: that of its last event in this reader's view, 0 if it has none.
    ///
    /// # Errors
    /// As [`Reader::event`].
    pub fn version(&self, subject: &str) -> Result<u64> {
        self.log.check_open()?;
        if self.is_whole() {
            let hash = self.log.hasher.subject(subject);
            let (last, version) = self.log.last_of_subject(subject, hash, self.horizon)?.unwrap_or_default();
            self.check_behind(last)?;
            return Ok(version);
        }
        let mut version = 0;
        let last = Query::all().subject(subject).rev().limit(1);
        self.run(&last)?.without_data().run(&mut OnDamage::Stop, &mut |event| {
            version = event.version();
            ControlFlow::Break(())
        })?;
        Ok(version)
    }

    /// The event of a subject that has this version; `None` if this reader sees none.
    ///
    /// # Errors
    /// As [`Reader::event`].
    pub fn event_of_version(&self, subject: &str, version: u64) -> Result<Option<Event>> {
        self.log.check_open()?;
        let hash = self.log.hasher.subject(subject);
        match self.log.position_of_version(subject, hash, version, self.horizon)? {
            Some(position) => self.event(position),
            None => self.check_behind(Position::ORIGIN).map(|()| None),
        }
    }

    /// The head of what this reader sees, as far as it is durable: one line that names the whole history. Blocks while
    /// it reads the events that the tree in ANCHOR does not cover yet, mostly those of the newest segment;
    /// [`Store::verify`](crate::Store::verify) works it out from all events instead.
    ///
    /// # Errors
    /// `Corruption`, `Io`, `Closed`; `Invalid` for a view as of a time of occurrence, whose events are no beginning of
    /// the log.
    pub fn head(&self) -> Result<Head> {
        self.log.check_open()?;
        if !self.is_whole() {
            return Err(Error::invalid("only a view up to a position has a head")
                .hinting("take the head of a reader as of a position"));
        }
        self.check_behind(self.horizon)?;
        let size = self.durable().get();
        let mut tree = match anchor_file::read(&*self.log.storage)? {
            AnchorRead::Valid { anchor, .. } if anchor.log == self.log.id && anchor.tree.size() <= size => anchor.tree,
            _ => Tree::default(),
        };
        indexer::hash_leaves(&self.log, &mut tree, Position::new(size), u64::MAX)?;
        Ok(Head { log: self.log.id, size, root: tree.root() })
    }

    /// The fingerprint of an event: the first 16 bytes of its leaf in the tree over the history,
    /// which names it and everything in it; `None` if this reader does not see the position.
    ///
    /// # Errors
    /// As [`Reader::event`].
    pub fn fingerprint(&self, position: impl Into<Position>) -> Result<Option<[u8; 16]>> {
        self.log.check_open()?;
        let position = position.into();
        if self.reaches(position)? { self.log.fingerprint(position) } else { Ok(None) }
    }

    /// The checkpoint of who has dealt with everything up to a position; `None` if this reader does not see it.
    ///
    /// # Errors
    /// As [`Reader::event`].
    pub fn checkpoint(&self, position: impl Into<Position>) -> Result<Option<Checkpoint>> {
        self.log.check_open()?;
        let position = position.into();
        if self.reaches(position)? { self.log.checkpoint(position) } else { Ok(None) }
    }

    /// The tables that this reader sees: the core ones and those that were added until then. A view as of a time of
    /// occurrence sees all of them: what was brought from elsewhere happened before it was given a table.
    ///
    /// # Errors
    /// As [`Reader::scan`]. An event of a table that cannot be, as only an import can bring one, is passed over.
    pub fn catalog(&self) -> Result<Catalog> {
        let mut catalog = Catalog::core();
        let recorded = Reader { occurred: None, ..self.clone() };
        recorded.scan(&Query::all().types([TABLE_ADDED]), |event| {
            if let Ok(table) = event.json::<Table>()
                && let Ok(grown) = catalog.clone().with(table)
            {
                catalog = grown;
            }
            ControlFlow::Continue(())
        })?;
        Ok(catalog)
    }

    /// Whether this reader sees the very event that a checkpoint names. If not, what stood on it has to begin again:
    /// the log has another history, or the checkpoint is another log's.
    ///
    /// # Errors
    /// As [`Reader::event`].
    pub fn holds(&self, checkpoint: &Checkpoint) -> Result<bool> {
        Ok(self.checkpoint(checkpoint.position)?.as_ref() == Some(checkpoint))
    }
}

/// Owned events of a query; see [`Reader::read`].
#[derive(Debug)]
pub struct Events {
    reader: Reader,
    query: Query,
    run: Option<Run>,
    buffer: VecDeque<Event>,
    /// What ended the reading; given out behind the events that were read before it.
    failure: Option<Error>,
    done: bool,
}

impl Events {
    /// The same events from the other end. Only of use before the first event was taken.
    #[must_use]
    pub fn rev(self) -> Events {
        Events { query: self.query.rev(), run: None, buffer: VecDeque::new(), ..self }
    }

    fn fill(&mut self) -> Result<()> {
        let run = match &mut self.run {
            Some(run) => run,
            none => none.insert(self.reader.run(&self.query)?),
        };
        let buffer = &mut self.buffer;
        let broke = run.run(&mut OnDamage::Stop, &mut |event| {
            buffer.push_back(event.to_owned());
            if buffer.len() < READ_AHEAD { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        self.done = !broke;
        Ok(())
    }
}

impl Iterator for Events {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Result<Event>> {
        if self.buffer.is_empty()
            && !self.done
            && let Err(error) = self.fill()
        {
            self.failure = Some(error);
            self.done = true;
        }
        match self.buffer.pop_front() {
            Some(event) => Some(Ok(event)),
            None => self.failure.take().map(Err),
        }
    }
}
