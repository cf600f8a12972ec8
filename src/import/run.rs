//! One run of an import.
//!
//! Invariants: what is handed in is handed in the order of the input, as one chain, so the log never holds an event
//! without all before it. An event is known by its ordinal among those that this run appends: ordinals below
//! `batch.first` were handed in, those before `in_flight` are in the log and `landed` knows where. Once something
//! handed in was refused (`failed`), nothing more is.

use std::collections::VecDeque;
use std::mem;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::causes::{Landed, Place, Sequences};
use super::known::{Known, Line};
use super::{ImportOptions, ImportReport, is_without_force};
use crate::append::{Append, Appended, Chain, Link};
use crate::error::{AppendError, Error, ErrorKind, Result};
use crate::event::{Cause, NewEvent};
use crate::format::draft::Draft;
use crate::format::record;
use crate::json::{ImportCause, ImportEvent};
use crate::limits;
use crate::log::commit::{Committer, Ticket};
use crate::log::prepare::{Refusal, check_event};
use crate::position::Position;
use crate::store::Store;
use crate::time::Timestamp;

/// Bytes of a batch at most, also where segments are long: it is held in memory.
const BATCH_BYTES_MAX: u64 = 32 << 20;
/// Batches on their way at most, and their bytes.
const FLIGHT_BATCHES_MAX: usize = 256;
const FLIGHT_BYTES_MAX: u64 = 16 << 20;

pub(super) struct Import<'s, 'o> {
    store: &'s Store,
    committer: &'s Arc<Committer>,
    options: ImportOptions<'o>,
    report: ImportReport,
    known: Known,
    sequences: Sequences,
    batch: Batch,
    in_flight: VecDeque<Flying>,
    flight_bytes: u64,
    landed: Landed,
    chain: Chain,
    failed: bool,
    /// Events passed over since `on_group` was called last.
    untold: usize,
    /// The time of record of the last event, where such times are kept.
    recorded_at: Timestamp,
}

/// Events to be handed in together.
#[derive(Default)]
struct Batch {
    /// Ordinal of the first event.
    first: u64,
    events: Vec<NewEvent>,
    recorded_at: Vec<Timestamp>,
    record_bytes: u64,
    counts: Counts,
}

/// What the report counts of appended events.
#[derive(Default)]
struct Counts {
    outside_causes: u64,
    large: u64,
    without_force: u64,
}

/// A batch on its way.
struct Flying {
    ticket: Ticket,
    first: u64,
    count: u64,
    bytes: u64,
    counts: Counts,
}

/// An event that cannot be taken, and why.
type Rejected = Box<(ImportEvent, Error)>;

impl<'s, 'o> Import<'s, 'o> {
    pub(super) fn new(store: &'s Store, options: ImportOptions<'o>) -> Result<Import<'s, 'o>> {
        let committer = store.committer()?;
        let known = Known::new(store);
        Ok(Import {
            store,
            committer,
            options,
            report: ImportReport { tail: known.tail(), ..ImportReport::default() },
            known,
            sequences: Sequences::default(),
            batch: Batch::default(),
            in_flight: VecDeque::new(),
            flight_bytes: 0,
            landed: Landed::default(),
            chain: Chain::default(),
            failed: false,
            untold: 0,
            recorded_at: Timestamp::from_nanos(i64::MIN),
        })
    }

    pub(super) fn run(mut self, events: impl IntoIterator<Item = ImportEvent>) -> Result<ImportReport> {
        let read = self.read(events);
        let landed = if self.failed { Ok(()) } else { self.hand_in().and_then(|()| self.land_all()) };
        // Whatever ended the import, what is in the log stays there.
        let synced = self.store.sync();
        self.store.forget_boundary();
        // In the order of the input: what was read last was handed in before.
        landed.and(read).and(synced)?;
        self.report.tail = self.store.inner.log.tail();
        Ok(self.report)
    }

    fn read(&mut self, events: impl IntoIterator<Item = ImportEvent>) -> Result<()> {
        for event in events {
            self.take(event)?;
            if self.report.interrupted {
                return Ok(());
            }
        }
        let tail = self.known.tail();
        if self.options.keep_recorded && self.report.skipped < tail.get() {
            return Err(conflict(format!(
                "the store has {tail} events and the input only {}: times of recording are kept in an empty store, or \
                 in one that equals the beginning of the input",
                self.report.skipped
            )));
        }
        Ok(())
    }

    fn take(&mut self, event: ImportEvent) -> Result<()> {
        let index = self.report.read;
        self.report.read += 1;
        let line = match self.check(event) {
            Ok(line) => line,
            Err(rejected) => {
                let (event, error) = *rejected;
                return self.reject(&event, error.at_input(index));
            }
        };
        let stood =
            if self.options.keep_recorded { self.next_of_prefix(index, &line)? } else { self.known.find(&line)? };
        match stood {
            Some(position) => {
                self.learn(&line, Place::Stood(position));
                self.report.skipped += 1;
                self.passed_over()
            }
            None => self.add(line),
        }
    }

    /// Everything that can be wrong with one event, before anything is done about it.
    fn check(&self, event: ImportEvent) -> Result<Line, Rejected> {
        let checked = self.check_one(&event).and_then(|()| self.check_recorded(&event));
        let own = match checked.and_then(|()| own_cause(event.event())) {
            Ok(own) => own,
            Err(error) => return Err(Box::new((event, error))),
        };
        let number = match event.cause() {
            None => return Ok(Line { event, cause: own, is_outside: false, as_read: None }),
            Some(ImportCause::Sequence(number)) => Some(*number),
            Some(_) => None,
        };
        if let Some(place) = number.and_then(|number| self.sequences.get(number)) {
            return Ok(Line { event, cause: Some(place), is_outside: false, as_read: None });
        }
        let as_read = event.clone();
        let event = event.with_cause_as_meta();
        match self.check_one(&event) {
            Ok(()) => {
                let as_read = number.map(|number| (as_read, number));
                Ok(Line { event, cause: own, is_outside: true, as_read })
            }
            Err(error) => Err(Box::new((as_read, error))),
        }
    }

    fn check_one(&self, event: &ImportEvent) -> Result<()> {
        check_event(event.event(), true).map_err(|refusal| match refusal {
            Refusal::TooLarge(text) => Error::new(ErrorKind::TooLarge, text),
            Refusal::Invalid(text) | Refusal::Reserved(text) => Error::invalid(text),
        })?;
        let bytes = self.frame_bytes(record::len(event.event()) as u64, 1);
        let limit = limits::batch_bytes_max(self.committer.core().segment_bytes);
        if bytes > limit {
            let text = format!("the event takes {bytes} bytes in the log; half a segment, {limit}, is the limit");
            return Err(Error::new(ErrorKind::TooLarge, text).hinting("open the store with larger segments"));
        }
        Ok(())
    }

    fn check_recorded(&self, event: &ImportEvent) -> Result<()> {
        match event.recorded_at() {
            _ if !self.options.keep_recorded => Ok(()),
            None => Err(Error::invalid("it has no `recordedtime` that could be kept")),
            Some(time) if time < self.recorded_at => {
                let before = self.recorded_at;
                Err(Error::invalid(format!("`recordedtime` runs backwards: {time} behind {before}")))
            }
            Some(_) => Ok(()),
        }
    }

    fn reject(&mut self, event: &ImportEvent, error: Error) -> Result<()> {
        match &mut self.options.on_reject {
            None => return Err(error),
            Some(on_reject) => {
                if on_reject(event, &error).is_break() {
                    return Err(error);
                }
            }
        }
        self.report.rejected += 1;
        self.passed_over()
    }

    /// Where times are kept, the store has to equal the beginning of the input; `None` behind its end.
    fn next_of_prefix(&mut self, index: u64, line: &Line) -> Result<Option<Position>> {
        // Checked to be there.
        let recorded_at = line.event.recorded_at().unwrap_or(self.recorded_at);
        self.recorded_at = recorded_at;
        let position = Position::new(self.report.skipped + 1);
        match self.known.is_at(position, line, recorded_at)? {
            None => Ok(None),
            Some(true) => Ok(Some(position)),
            Some(false) => {
                let text = format!(
                    "it is not the event at position {position}: times of recording are kept in an empty store, or in \
                     one that equals the beginning of the input"
                );
                Err(conflict(text).at_input(index))
            }
        }
    }

    fn learn(&mut self, line: &Line, place: Place) {
        if let Some(sequence) = line.event.sequence() {
            self.sequences.insert(sequence, place);
        }
    }

    /// Puts an event into the batch, which is handed in when it is full.
    fn add(&mut self, line: Line) -> Result<()> {
        let bytes = record::len(line.event.event()) as u64;
        let limit = limits::batch_bytes_max(self.committer.core().segment_bytes).min(BATCH_BYTES_MAX);
        if self.frame_bytes(self.batch.record_bytes + bytes, self.batch.events.len() + 1) > limit {
            self.hand_in()?;
        }
        self.learn(&line, Place::Added(self.batch.first + self.batch.events.len() as u64));
        let cause = match line.cause {
            None => None,
            Some(Place::Stood(position)) => Some(Cause::At(position)),
            Some(Place::Added(ordinal)) => Some(match ordinal.checked_sub(self.batch.first) {
                Some(index) => Cause::InBatch(index as usize),
                None => Cause::At(self.position_of(ordinal)?),
            }),
        };
        let counts = &mut self.batch.counts;
        let event = line.event.event();
        counts.outside_causes += u64::from(line.is_outside);
        counts.large += u64::from(event.data().len() > limits::DATA_BYTES_WARN);
        counts.without_force += u64::from(is_without_force(event.event_type()));
        if self.options.keep_recorded {
            self.batch.recorded_at.extend(line.event.recorded_at());
        }
        let event = NewEvent::from(line.event);
        self.batch.events.push(match cause {
            None => event,
            Some(Cause::At(position)) => event.caused_by(position),
            Some(Cause::InBatch(index)) => event.caused_by_batch(index),
        });
        self.batch.record_bytes += bytes;
        if self.batch.events.len() >= self.options.batch { self.hand_in() } else { Ok(()) }
    }

    /// Bytes that a frame takes at most.
    fn frame_bytes(&self, record_bytes: u64, count: usize) -> u64 {
        Draft::frame_bytes_max_of(record_bytes, count, self.options.keep_recorded)
    }

    /// The position of an event that was handed in; waits until it is in the log.
    fn position_of(&mut self, ordinal: u64) -> Result<Position> {
        loop {
            if let Some(position) = self.landed.get(ordinal) {
                return Ok(position);
            }
            assert!(!self.in_flight.is_empty(), "what was handed in is on its way or in the log");
            self.land()?;
        }
    }

    /// Hands in the batch, if it holds anything, and takes note of those that have arrived.
    fn hand_in(&mut self) -> Result<()> {
        let count = self.batch.events.len() as u64;
        if count == 0 {
            return Ok(());
        }
        let next = Batch { first: self.batch.first + count, ..Batch::default() };
        let batch = mem::replace(&mut self.batch, next);
        let keep = self.options.keep_recorded;
        // Where times are kept the store is a copy, so positions are known, and nobody may come between.
        let first = keep.then(|| Position::new(self.known.tail().get() + batch.first + 1));
        let append = Append {
            events: batch.events,
            imported: true,
            recorded_at: keep.then_some(batch.recorded_at),
            link: Some(Link { chain: self.chain.clone(), first }),
            ..Append::default()
        };
        let prepared = match self.store.prepare(self.committer, append) {
            Ok(prepared) => prepared,
            Err(error) => return Err(self.fail(error)),
        };
        let bytes = prepared.draft.bytes().len() as u64;
        while !self.in_flight.is_empty()
            && (self.in_flight.len() >= FLIGHT_BATCHES_MAX || self.flight_bytes + bytes > FLIGHT_BYTES_MAX)
        {
            self.land()?;
        }
        if self.committer.core().jobs.is_inline() {
            let done = self.committer.append(prepared);
            return self.arrived(done, batch.first, count, batch.counts);
        }
        let ticket = self.committer.submit(prepared);
        if ticket.is_refused() {
            self.chain.tear();
        }
        self.in_flight.push_back(Flying { ticket, first: batch.first, count, bytes, counts: batch.counts });
        self.flight_bytes += bytes;
        self.land_ready()
    }

    fn land_ready(&mut self) -> Result<()> {
        while self.in_flight.front().is_some_and(|flying| flying.ticket.is_done()) {
            self.land()?;
        }
        Ok(())
    }

    fn land_all(&mut self) -> Result<()> {
        while !self.in_flight.is_empty() {
            self.land()?;
        }
        Ok(())
    }

    /// Waits for the batch that was handed in first.
    fn land(&mut self) -> Result<()> {
        let Some(flying) = self.in_flight.pop_front() else { return Ok(()) };
        self.flight_bytes -= flying.bytes;
        self.arrived(flying.ticket.wait(), flying.first, flying.count, flying.counts)
    }

    fn arrived(&mut self, done: Result<Appended, AppendError>, first: u64, count: u64, counts: Counts) -> Result<()> {
        let done = match done {
            Ok(done) => done,
            Err(error) => return Err(self.fail(error)),
        };
        self.landed.insert(first, done.first, count);
        self.report.appended += count;
        self.report.outside_causes += counts.outside_causes;
        self.report.large += counts.large;
        self.report.without_force += counts.without_force;
        self.report.tail = done.last;
        self.tell();
        Ok(())
    }

    /// Notes that a batch was refused, and waits until all behind it were too.
    fn fail(&mut self, error: AppendError) -> Error {
        self.failed = true;
        self.chain.tear();
        for flying in self.in_flight.drain(..) {
            let _ = flying.ticket.wait();
        }
        Error::from(error)
    }

    fn passed_over(&mut self) -> Result<()> {
        self.untold += 1;
        if self.untold >= self.options.batch {
            self.land_ready()?;
            self.tell();
        }
        Ok(())
    }

    fn tell(&mut self) {
        self.untold = 0;
        if let (false, Some(on_group)) = (self.report.interrupted, &mut self.options.on_group) {
            self.report.interrupted = matches!(on_group(&self.report), ControlFlow::Break(()));
        }
    }
}

/// The cause that an event brings as a position of this store.
fn own_cause(event: &NewEvent) -> Result<Option<Place>> {
    match event.cause() {
        None => Ok(None),
        Some(Cause::At(position)) => Ok(Some(Place::Stood(position))),
        Some(Cause::InBatch(_)) => {
            Err(Error::invalid("its cause is an index into a batch, and an import makes batches of its own"))
        }
    }
}

fn conflict(text: String) -> Error {
    Error::new(ErrorKind::Conflict, text)
}
