//! The oracle: what must be true of a store that was busy, whenever it was interrupted.
//!
//! - Everything that the ledger calls acknowledged is there, where it was acknowledged.
//! - Nothing is there that nobody tried; each writer's events are a prefix of what it wrote, batches whole, in order.
//! - Positions have no gap, times of recording never fall.
//! - A reader sees that before recovery, too; `verify` finds no damage.
//! - What stands in the SQLite tables equals the log; a projection has each event once.
//! - A change stands behind an approval and is made once; a step that was acknowledged is never done again.
//! - The store works: appends, its flow and its worker come to their end.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use annals::{ErrorKind, EventRef, NewEvent, Outcome, Position, Query, Store, Timestamp};

use super::events::{Work, imported, work};
use super::ledger::{Ledger, Told};
use super::write::Consumers;
use super::{LONG, Verdict, options};

/// What a check has looked at.
#[derive(Debug, Default)]
pub struct Found {
    /// Events of the log.
    pub events: u64,
    /// Acknowledgements of every kind, all held.
    pub acknowledged: u64,
    /// Whether the store had not been closed in order.
    pub was_interrupted: bool,
    /// Whether recovery had to cut a torn tail.
    pub was_cut: bool,
}

macro_rules! holds {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+).into());
        }
    };
}

/// Opens the store again, checks it, and leaves it closed and in order, for the next one to be busy on.
pub fn check(path: &Path, ledger: &Path) -> Verdict<Found> {
    let (told, ledger) = Ledger::open(ledger)?;
    let ledger = Arc::new(ledger);
    holds!(told.done_again.is_empty(), "acknowledged steps were done again, for the events {:?}", told.done_again);
    // First as a process that only reads: it must see all that was acknowledged before anything is recovered.
    match options().read_only(true).open(path) {
        Ok(store) => drop(Seen::read(&store)?.hold_against(&told)?),
        // The very first opening may not have come so far that there is a store.
        Err(error) if error.kind() == ErrorKind::NotFound && told.acknowledged == 0 => {}
        Err(error) => return Err(error.into()),
    }
    let store = options().open(path)?;
    let was_interrupted = !store.recovery().clean && !store.recovery().created;
    let was_cut = store.recovery().cut.is_some();
    Seen::read(&store)?.hold_against(&told)?;
    let verified = store.verify(|_| ControlFlow::Continue(()))?;
    holds!(verified.is_good(), "verify: {verified:?}");
    store.append([NewEvent::bytes("checked", "check/1", "text/plain", "")])?;
    consumers_agree(&store, &told, &ledger)?;
    let seen = Seen::read(&store)?;
    seen.hold_against(&told)?;
    store.close()?;
    drop(store);
    Ok(Found { events: seen.events, acknowledged: told.acknowledged, was_interrupted, was_cut })
}

/// Lets the flow, the worker and the projections come to the end of the log, and looks at what they made.
fn consumers_agree(store: &Store, told: &Told, ledger: &Arc<Ledger>) -> Verdict<()> {
    let consumers = Consumers::start(store, ledger)?;
    consumers.flow.settle()?;
    for row in &told.approved {
        let Some(Some(request)) = told.asks.get(row) else { return Err("approved and never asked".into()) };
        let outcome = consumers.flow.outcome(Position::new(*request), LONG)?;
        holds!(matches!(outcome, Outcome::Validated { .. }), "note/{row} was approved, but is {outcome:?}");
    }
    holds!(consumers.worker.wait_for(store.reader().tail(), LONG)?, "the worker: {:?}", consumers.worker.status());
    let seen = Seen::read(store)?;
    let copies: BTreeSet<u64> = seen.copies.iter().copied().collect();
    holds!(copies == seen.jobs, "the worker is done, but not with {:?}", seen.jobs.difference(&copies));
    let tail = store.reader().tail();
    holds!(consumers.tally.wait_for(tail, LONG)?, "the projection: {:?}", consumers.tally.status());
    let rows = consumers.tally.with(|model| model.rows("SELECT position FROM tally ORDER BY position", ()))?;
    let counted: Vec<Option<i64>> = rows.iter().map(|row| row.get(0).and_then(annals::SqlValue::as_integer)).collect();
    let expected = (1..=tail.get() as i64).map(Some);
    holds!(counted.iter().copied().eq(expected), "the projection misses an event or has one twice: {}", rows.len());
    drop(consumers);
    // Without its thread the file stands still.
    holds!(store.update_tables(None, |_, _| ControlFlow::Continue(()))?, "the tables were stopped");
    for table in store.check_tables(None, |_, _| ControlFlow::Continue(()))?.into_iter().flatten() {
        holds!(
            table.differences == Some((0, 0)) && table.outdated.is_none(),
            "a table differs from the log: {table:?}"
        );
    }
    Ok(())
}

/// A log, read from its first event to its last.
#[derive(Default)]
struct Seen {
    events: u64,
    recorded_at: Option<Timestamp>,
    /// By writer: the position of each of its events, and its newest one.
    works: BTreeMap<u64, (Vec<u64>, Work)>,
    /// The event that must come next, of a batch that has begun.
    open_batch: Option<(u64, u64)>,
    imports: BTreeMap<u64, Vec<u64>>,
    /// By row and phase of its creation: positions.
    rows: BTreeMap<(u64, String), Vec<u64>>,
    jobs: BTreeSet<u64>,
    copies: Vec<u64>,
}

impl Seen {
    fn read(store: &Store) -> Verdict<Seen> {
        let mut seen = Seen::default();
        let mut verdict = Ok(());
        let reader = store.reader();
        let tail = reader.scan(&Query::all(), |event| {
            verdict = seen.take(&event);
            if verdict.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        verdict?;
        holds!(seen.open_batch.is_none(), "the last batch is there in part");
        holds!((tail, tail.get()) == (reader.tail(), seen.events), "{} events up to {tail}", seen.events);
        holds!(reader.durable() == tail, "of {tail} only {} are durable", reader.durable());
        Ok(seen)
    }

    fn take(&mut self, event: &EventRef<'_>) -> Verdict<()> {
        self.events += 1;
        let position = event.position().get();
        holds!(position == self.events, "position {position} stands where {} must", self.events);
        holds!(self.recorded_at <= Some(event.recorded_at()), "time runs backwards at {position}");
        self.recorded_at = Some(event.recorded_at());
        let awaited = self.open_batch.take();
        let number_of = |subject: &str| -> Verdict<u64> { Ok(subject.parse()?) };
        match event.event_type() {
            "work.begun" | "work.noted" => {
                let work = work(event)?;
                if work.is_job() {
                    self.jobs.insert(position);
                }
                return self.take_work(work, awaited, position);
            }
            "row.imported" => {
                let (chunk, row) = imported(event)?;
                let rows = self.imports.entry(chunk).or_default();
                holds!(rows.len() as u64 == row, "event {row} of chunk {chunk} stands behind {} of it", rows.len());
                rows.push(position);
            }
            "copied" => {
                let original = number_of(event.subject_id())?;
                let right = event.version() == 1 && event.causation() == Some(Position::new(original));
                holds!(right && self.jobs.contains(&original), "a copy of {original} that nobody made: {event:?}");
                self.copies.push(original);
            }
            "checked" => {}
            // Tables that were added and the flow's own notes.
            name if name.starts_with("annals.") => {}
            name => {
                let Some(phase) = name.strip_prefix("notes.create.") else {
                    return Err(format!("an event that nobody wrote: {event:?}").into());
                };
                let row = number_of(event.subject_id())?;
                self.rows.entry((row, phase.to_owned())).or_default().push(position);
            }
        }
        holds!(awaited.is_none(), "a batch is there in part before {position}");
        Ok(())
    }

    fn take_work(&mut self, work: Work, awaited: Option<(u64, u64)>, position: u64) -> Verdict<()> {
        let is_next = awaited.is_none_or(|awaited| awaited == (work.writer, work.number));
        holds!(is_next && awaited.is_some() == (work.number > work.first), "a batch in part at {position}: {work:?}");
        let (positions, newest) = self.works.entry(work.writer).or_insert_with(|| (Vec::new(), work.clone()));
        positions.push(position);
        holds!(positions.len() as u64 == work.number, "the events of writer {} have a gap at {position}", work.writer);
        self.open_batch = (work.number < work.last).then_some((work.writer, work.number + 1));
        *newest = work;
        Ok(())
    }

    /// Acknowledged and there, there and tried.
    fn hold_against(&self, told: &Told) -> Verdict<()> {
        for (writer, (first, last), position) in &told.acks {
            let positions = self.works.get(writer).map_or(&[][..], |(positions, _)| positions);
            let found = positions.get(*first as usize - 1..*last as usize);
            let right = found.is_some_and(|found| found.iter().copied().eq(*position..=position + (last - first)));
            holds!(right, "acknowledged to writer {writer}, {first} to {last} at {position}: found at {found:?}");
        }
        for (writer, (_, newest)) in &self.works {
            let tried = told.tried.get(writer).and_then(|batches| batches.get(&newest.first));
            holds!(tried.is_some_and(|(last, _)| *last == newest.last), "writer {writer} never tried {newest:?}");
        }
        for (chunk, count) in &told.imports {
            let found = self.imports.get(chunk).map_or(0, Vec::len) as u64;
            holds!(found >= *count, "of chunk {chunk} {count} events were acknowledged, {found} are there");
        }
        let invented = self.imports.keys().find(|chunk| !told.imports.contains_key(chunk));
        holds!(invented.is_none(), "chunk {invented:?} was never imported");
        self.hold_rows_against(told)?;
        let copies: BTreeSet<u64> = self.copies.iter().copied().collect();
        holds!(copies.len() == self.copies.len(), "a copy was made twice");
        let lost: Vec<&u64> = told.done.difference(&copies).collect();
        holds!(lost.is_empty(), "copies that were acknowledged are not there: {lost:?}");
        Ok(())
    }

    fn hold_rows_against(&self, told: &Told) -> Verdict<()> {
        let of = |row: u64, phase: &str| self.rows.get(&(row, phase.to_owned()));
        for (row, request) in &told.asks {
            let found = of(*row, "requested");
            let right = request.is_none_or(|request| found.is_some_and(|found| *found == [request]));
            holds!(right, "note/{row} was asked for at {request:?}, found at {found:?}");
        }
        for (phase, rows) in [("approved", &told.approved), ("validated", &told.validated)] {
            let lost = rows.iter().find(|row| of(**row, phase).is_none());
            holds!(lost.is_none(), "note/{lost:?} was {phase}, and is not");
        }
        for ((row, phase), positions) in &self.rows {
            holds!(told.asks.contains_key(row), "nobody asked for note/{row}");
            holds!(positions.len() == 1, "note/{row} was {phase} more than once: {positions:?}");
            let before = match phase.as_str() {
                "requested" => continue,
                "validated" => of(*row, "approved"),
                _ => of(*row, "requested"),
            };
            let before = before.and_then(|before| before.first());
            holds!(before.is_some_and(|before| before < &positions[0]), "note/{row} is {phase} out of the blue");
        }
        Ok(())
    }
}
