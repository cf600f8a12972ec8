//! Subscriptions: a cursor on the log that waits at its tail. A batch is a copy, so it never holds the log; no lock is
//! taken between it and the writer, and catching up and following live are one thing.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{CopiedEvents, EventRef};
use crate::log::doorbell::Bell;
use crate::log::follow::Follower;
use crate::log::shared::Log;
use crate::position::Position;
use crate::query::Query;
use crate::query::run::{OnDamage, Run};
use crate::sync::thread;

/// Events of one batch at most.
const BATCH_EVENTS: usize = 512;
/// Bytes of one batch, more or less: a batch ends with the event that reaches it.
const BATCH_BYTES: usize = 1 << 20;
/// A subscriber in another process than the writer looks again after this long, and then less
/// often, up to [`POLL_MAX`].
const POLL_MIN: Duration = Duration::from_micros(200);
const POLL_MAX: Duration = Duration::from_millis(5);

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartAt {
    /// At the first event of the log.
    Start,
    /// Behind this position.
    After(Position),
    /// At what is appended from now on.
    Now,
    /// Behind this checkpoint, whose event the log must still hold: else the first call gives `Diverged`.
    Checkpoint(Checkpoint),
}

/// Events as they come: first those that are there, then those that are appended.
///
/// ```
/// # use annals::{NewEvent, Query, StartAt, Store};
/// # use std::time::Duration;
/// # let directory = tempfile::tempdir()?;
/// # let store = Store::open(directory.path())?;
/// store.append([NewEvent::bytes("note.created", "note/n-1", "text/plain", "A")])?;
/// let mut notes = store.subscribe(Query::all().kind("note"), StartAt::Start);
/// while let Some(batch) = notes.next_timeout(Duration::from_millis(10))? {
///     batch.iter().for_each(|event| println!("{} {}", event.position(), event.event_type()));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Subscription {
    log: Arc<Log>,
    follower: Option<Arc<Follower>>,
    query: Query,
    /// Everything up to here was looked at.
    position: Position,
    run: Option<Run>,
    bell: Option<Bell>,
    events: CopiedEvents,
    /// The newest event that was given out, and its epoch: what the log must still hold.
    last: Option<(Position, u64)>,
    /// Where it was told to begin, until that was compared with the log.
    unproven: Option<Checkpoint>,
    /// Gives out only what survives power loss.
    durable: bool,
    /// Gives out nothing behind this.
    until: Option<Position>,
}

/// Some events of a subscription, in order.
#[derive(Debug)]
pub struct Batch<'a> {
    events: &'a CopiedEvents,
    through: Position,
    log: &'a Log,
}

impl<'a> Batch<'a> {
    /// The events.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = EventRef<'a>> + use<'a> {
        self.events.iter()
    }

    /// The position read up to: every event up to it was looked at, so a consumer that has dealt
    /// with this batch may begin behind it.
    #[must_use]
    pub fn through(&self) -> Position {
        self.through
    }

    /// The place to go on from for who has dealt with this batch, to be kept with what was made of it.
    ///
    /// # Errors
    /// `Corruption`, `Io`; `Diverged` if the log no longer holds the position.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        self.log.checkpoint(self.through)?.ok_or_else(|| {
            Error::new(ErrorKind::Diverged, format!("the log no longer holds position {}", self.through))
        })
    }

    /// How many events there are; a batch may be empty and only move [`Batch::through`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing up to [`Batch::through`] matched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.len() == 0
    }
}

impl Subscription {
    pub(crate) fn new(log: Arc<Log>, follower: Option<Arc<Follower>>, query: Query, start: StartAt) -> Subscription {
        let position = match start {
            StartAt::Start => Position::ORIGIN,
            StartAt::After(position) => position,
            StartAt::Now => log.tail(),
            StartAt::Checkpoint(checkpoint) => checkpoint.position,
        };
        let unproven = match start {
            StartAt::Checkpoint(checkpoint) => Some(checkpoint),
            _ => None,
        };
        // A subscription runs forward; direction is a matter of reading.
        let query = if query.reverse { query.rev() } else { query };
        Subscription {
            log,
            follower,
            query,
            position,
            run: None,
            bell: None,
            events: CopiedEvents::default(),
            last: None,
            unproven,
            durable: false,
            until: None,
        }
    }

    /// The same, but giving out only what survives power loss: for who keeps a checkpoint, or acts outside of the
    /// store. In a `Synced` store that is everything.
    #[must_use]
    pub fn durable_only(mut self) -> Subscription {
        self.durable = true;
        self
    }

    /// Behind this nothing is given out yet.
    fn end(&self) -> Position {
        let tail = self.log.tail().min(self.until.unwrap_or(self.log.tail()));
        if self.durable { tail.min(self.log.durable()) } else { tail }
    }

    /// From now on nothing behind this is given out. Never less than at an earlier call.
    pub(crate) fn set_until(&mut self, until: Position) {
        self.until = Some(until);
    }

    /// Everything up to this position was given out or did not match.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// How many events lie between this subscription and the tail.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.log.tail().get().saturating_sub(self.position.get())
    }

    /// Whether everything that is published was given out; with [`Subscription::durable_only`], everything durable.
    #[must_use]
    pub fn caught_up(&self) -> bool {
        self.position >= self.end()
    }

    /// The next events; `None` if none came within `timeout`. Blocks until then.
    ///
    /// # Errors
    /// `Corruption`, `Io`, `Closed`; `Diverged` if the log no longer holds what was given out, or the checkpoint
    /// that this was to begin at.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Batch<'_>>> {
        let deadline = Instant::now() + timeout;
        self.events.clear();
        if let Some(start) = self.unproven {
            self.log.check_open()?;
            match self.log.checkpoint(start.position)? {
                Some(found) if found == start => self.last = Some((start.position, start.epoch)),
                _ => return Err(self.diverged("is not the event that the checkpoint names")),
            }
            self.last = self.last.filter(|(position, _)| *position > Position::ORIGIN);
            self.unproven = None;
        }
        self.check_nothing_lost()?;
        if !self.wait(deadline)? {
            return Ok(None);
        }
        self.check_place()?;
        self.fill()?;
        if let Some(last) = self.events.last() {
            self.last = Some((last.position, last.epoch));
        }
        Ok(Some(Batch { events: &self.events, through: self.position, log: &self.log }))
    }

    /// What was lost behind the end of the log never comes, and is not waited for.
    fn check_nothing_lost(&self) -> Result<()> {
        let tail = self.log.tail();
        if self.position >= tail { self.log.check_held(self.position.next()..=self.log.reach(tail)) } else { Ok(()) }
    }

    /// Reads on up to a batch. The events are copied out of the mapping, so that the batch does not
    /// hold the log.
    fn fill(&mut self) -> Result<()> {
        let run = match self.run.take() {
            Some(run) => run,
            None => Run::new(Arc::clone(&self.log), &self.query.clone().after(self.position), self.end())?,
        };
        let mut run = run;
        let events = &mut self.events;
        let broke = run.run(&mut OnDamage::Stop, &mut |event| {
            events.push(&event);
            if events.len() < BATCH_EVENTS && events.byte_len() < BATCH_BYTES {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        self.position = run.through().max(self.position);
        if broke {
            self.run = Some(run);
        }
        Ok(())
    }

    /// Waits until there is something behind this position.
    fn wait(&mut self, deadline: Instant) -> Result<bool> {
        if self.run.is_some() || !self.caught_up() {
            return Ok(true);
        }
        // Waiting beyond the end would pass over what is appended up to there.
        if let Some(follower) = &self.follower {
            follower.refresh(&self.log)?;
        }
        self.check_place()?;
        match &self.follower {
            None => {
                self.log.check_open()?;
                let bell = self.bell.get_or_insert_with(|| self.log.doorbell.bell());
                let (log, position, durable) = (&self.log, self.position, self.durable);
                let end = || if durable { log.durable().min(log.tail()) } else { log.tail() };
                let ready = log.doorbell.wait(bell, deadline, || end() > position || log.is_closed());
                self.log.check_open()?;
                Ok(ready)
            }
            Some(follower) => {
                let mut pause = POLL_MIN;
                loop {
                    self.log.check_open()?;
                    follower.refresh(&self.log)?;
                    if !self.caught_up() {
                        return Ok(true);
                    }
                    let now = Instant::now();
                    if now >= deadline {
                        return Ok(false);
                    }
                    thread::sleep(pause.min(deadline - now));
                    pause = (pause * 2).min(POLL_MAX);
                }
            }
        }
    }

    /// Whether the log still holds the event that was given out last.
    fn check_place(&self) -> Result<()> {
        if self.position > self.log.tail() {
            return Err(self.diverged("is beyond its end"));
        }
        match self.last.filter(|_| self.follower.is_some()) {
            None => Ok(()),
            Some((position, epoch)) => match self.log.with_head(position, |event| event.epoch())? {
                Some(found) if found == epoch => Ok(()),
                _ => Err(self.diverged("holds another event now")),
            },
        }
    }

    fn diverged(&self, found: &str) -> Error {
        Error::new(ErrorKind::Diverged, format!("the log has another history: position {} {found}", self.position))
            .hinting("begin again from a position that is known to be durable")
    }
}
