//! Everything at once: writers in three ways, imports, sealing, a flow with its requests and approvals, a worker, a
//! projection of one's own and the tables, until somebody kills it, or an error ends it, or the time is over.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use annals::{
    Action, Actor, BoxError, EventRef, Expected, Flow, ImportOptions, NewEvent, NoteRules, ProjectionHandle, Request,
    SqlFold, SqlTx, SqliteProjection, Store, Table, WorkerHandle,
};
use serde_json::json;

use super::events::{batch, chunk, jobs};
use super::ledger::{Ledger, Told};
use super::{Dice, LONG, Verdict, options};

/// Every event's position, without a key: one that is taken in twice would stand there twice.
pub struct Tally;

impl SqlFold for Tally {
    fn name(&self) -> &str {
        "tally"
    }

    fn version(&self) -> u32 {
        1
    }

    fn create(&self, tx: &SqlTx<'_>) -> Result<(), BoxError> {
        Ok(tx.execute_all("CREATE TABLE tally (position INTEGER)")?)
    }

    fn apply(&mut self, tx: &SqlTx<'_>, event: EventRef<'_>) -> Result<(), BoxError> {
        Ok(tx.execute("INSERT INTO tally VALUES (?1)", (event.position(),)).map(drop)?)
    }
}

/// What runs beside the writers.
pub struct Consumers {
    pub flow: Flow,
    pub tally: ProjectionHandle<SqliteProjection<Tally>>,
    pub worker: WorkerHandle,
    _tables: ProjectionHandle<annals::Tables>,
}

impl Consumers {
    pub fn start(store: &Store, ledger: &Arc<Ledger>) -> Verdict<Consumers> {
        let works = Table::new("works").with_kind("work");
        let works = works.adopting("work.begun", Action::Create).adopting("work.noted", Action::Update);
        store.add_table(works, Actor::user("alice"))?;
        let flow = Flow::builder(store).table("notes", NoteRules).start()?;
        let tally = store.project(SqliteProjection::new(Tally))?;
        let tables = store.project_tables()?;
        let ledger = Arc::clone(ledger);
        let retry = Duration::from_millis(5);
        let copier = store.worker("copier").on(jobs()).concurrency(3).backoff(retry, retry);
        let worker = copier.run(move |event, step| {
            let position = event.position().get();
            step.run("do", || ledger.tell(format_args!("do {position}")))?;
            // The result was acknowledged: from now on the step must never be done again.
            ledger.tell(format_args!("did {position}"))?;
            let copy = NewEvent::bytes("copied", format!("copy/{position}"), "text/plain", position.to_string());
            step.append("copy", annals::Append::new([copy.caused_by(position)]))?;
            ledger.tell(format_args!("done {position}"))?;
            Ok(())
        })?;
        Ok(Consumers { flow, tally, worker, _tables: tables })
    }
}

struct Busy<'a> {
    store: &'a Store,
    told: &'a Told,
    ledger: &'a Ledger,
    flow: &'a Flow,
    over: &'a AtomicBool,
}

/// Works on the store at `path` for so long, or until an error ends it; then closes it. What was acknowledged stands in
/// the ledger. Says `OPEN` when it has begun.
pub fn write(path: &Path, ledger: &Path, seed: u64, time: Duration) -> Verdict<()> {
    let (told, ledger) = Ledger::open(ledger)?;
    let ledger = Arc::new(ledger);
    let store = options().open(path)?;
    let consumers = Consumers::start(&store, &ledger)?;
    println!("OPEN");
    let over = AtomicBool::new(false);
    let busy = Busy { store: &store, told: &told, ledger: &ledger, flow: &consumers.flow, over: &over };
    let begun = Instant::now();
    let ended = std::thread::scope(|scope| {
        let part = |seed: u64, work: fn(&Busy<'_>, Dice) -> Verdict<()>| {
            let busy = &busy;
            scope.spawn(move || {
                let ended = work(busy, Dice(seed));
                busy.over.store(true, Ordering::Relaxed);
                ended
            })
        };
        let parts = [
            ("writer 0", part(seed.wrapping_mul(8), |busy, dice| busy.append(dice))),
            ("writer 1", part(seed.wrapping_mul(8) + 1, |busy, dice| busy.submit(dice))),
            ("writer 2", part(seed.wrapping_mul(8) + 2, |busy, dice| busy.append_expecting(dice))),
            ("importer", part(seed.wrapping_mul(8) + 3, |busy, dice| busy.import(dice))),
            ("sealer", part(seed.wrapping_mul(8) + 4, |busy, dice| busy.seal(dice))),
            ("asker", part(seed.wrapping_mul(8) + 5, |busy, dice| busy.ask(dice))),
        ];
        while begun.elapsed() < time && !over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(2));
        }
        over.store(true, Ordering::Relaxed);
        let mut ended = Ok(());
        for (name, part) in parts {
            match part.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => ended = Err(format!("{name}: {error}").into()),
                Err(_) => ended = Err(format!("{name} panicked").into()),
            }
        }
        ended
    });
    drop(consumers);
    ended.and(store.close().map_err(Into::into))
}

impl Busy<'_> {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    /// The batches of a writer: first those of which nobody knows whether they are there, then new ones.
    fn batches(&self, writer: u64, mut dice: Dice) -> impl Iterator<Item = (u64, u64)> {
        let mut next = self.told.next(writer);
        let new = std::iter::repeat_with(move || {
            let first = next;
            next += if dice.below(20) == 0 { 1 + dice.below(40) } else { 1 + dice.below(5) };
            (first, next - 1)
        });
        self.told.unknown(writer).into_iter().chain(new).take_while(|_| self.goes_on())
    }

    fn append(&self, dice: Dice) -> Verdict<()> {
        let mut pauses = Dice(dice.0);
        for (first, last) in self.batches(0, dice) {
            self.ledger.tell(format_args!("try 0 {first} {last}"))?;
            let done = self.store.append_with(batch(0, (first, last)))?;
            self.ledger.tell(format_args!("ack 0 {first} {last} {}", done.first))?;
            std::thread::sleep(Duration::from_micros(pauses.below(3_000)));
            if pauses.below(10) == 0 {
                self.store.reader().document(&format!("work/0-{}", pauses.below(20)))?;
            }
        }
        Ok(())
    }

    fn submit(&self, dice: Dice) -> Verdict<()> {
        let mut pauses = Dice(dice.0);
        let mut batches = self.batches(1, dice).peekable();
        while batches.peek().is_some() {
            let mut tickets = Vec::new();
            for (first, last) in batches.by_ref().take(1 + pauses.below(6) as usize) {
                self.ledger.tell(format_args!("try 1 {first} {last}"))?;
                tickets.push((first, last, self.store.submit(batch(1, (first, last)))));
            }
            for (first, last, ticket) in tickets {
                let done = ticket.wait()?;
                self.ledger.tell(format_args!("ack 1 {first} {last} {}", done.first))?;
            }
            std::thread::sleep(Duration::from_micros(pauses.below(6_000)));
        }
        Ok(())
    }

    /// Each batch holds that its first subject is as it was, which nobody else changes.
    fn append_expecting(&self, dice: Dice) -> Verdict<()> {
        let mut pauses = Dice(dice.0);
        for bounds in self.batches(2, dice) {
            let (first, last) = bounds;
            self.ledger.tell(format_args!("try 2 {first} {last}"))?;
            let batch = batch(2, bounds);
            let subject = batch.events()[0].subject().to_owned();
            let version = self.store.reader().version(&subject)?;
            let done = self.store.append_with(batch.expect(subject, Expected::Exactly(version)))?;
            self.ledger.tell(format_args!("ack 2 {first} {last} {}", done.first))?;
            std::thread::sleep(Duration::from_micros(pauses.below(3_000)));
        }
        Ok(())
    }

    fn import(&self, mut dice: Dice) -> Verdict<()> {
        // The last one may have been broken off: it is begun again, and skips what is there.
        let first = self.told.imports.last_key_value().map_or(1, |(chunk, _)| *chunk);
        for number in (first..).take_while(|_| self.goes_on()) {
            self.ledger.tell(format_args!("import {number}"))?;
            let mut told = Ok(());
            let options = ImportOptions::new().batch(10).on_group(|report| {
                told = self.ledger.tell(format_args!("imported {number} {}", report.appended + report.skipped));
                std::ops::ControlFlow::Continue(())
            });
            self.store.import(chunk(number), options)?;
            told?;
            std::thread::sleep(Duration::from_micros(dice.below(60_000)));
        }
        Ok(())
    }

    fn seal(&self, mut dice: Dice) -> Verdict<()> {
        while self.goes_on() {
            std::thread::sleep(Duration::from_millis(5 + dice.below(200)));
            self.store.seal()?;
        }
        Ok(())
    }

    /// An agent asks for new rows, and a user approves them.
    fn ask(&self, mut dice: Dice) -> Verdict<()> {
        let unknown = self.told.asks.keys().copied().filter(|row| !self.told.approved.contains(row));
        let unknown: Vec<u64> = unknown.collect();
        let next = self.told.asks.last_key_value().map_or(1, |(row, _)| row + 1);
        for row in unknown.into_iter().chain(next..).take_while(|_| self.goes_on()) {
            self.ledger.tell(format_args!("ask {row}"))?;
            let wish = Request::create("notes", &json!({"n": row})).id(row.to_string()).key(format!("ask-{row}"));
            let asked = self.flow.request(wish.by(Actor::agent("scribe")))?.request;
            self.ledger.tell(format_args!("asked {row} {asked}"))?;
            let waiting = self.flow.pending(1_000_000)?;
            // It does not wait if its approval was there after all, unheard.
            if let Some(pending) = waiting.iter().find(|one| one.request == asked) {
                self.flow.approve(asked, pending.digest.clone(), Actor::user("alice"), "")?;
            }
            self.ledger.tell(format_args!("approved {row}"))?;
            if self.flow.outcome(asked, LONG)?.phase() == Some(annals::Phase::Validated) {
                self.ledger.tell(format_args!("validated {row}"))?;
            }
            std::thread::sleep(Duration::from_micros(dice.below(20_000)));
        }
        Ok(())
    }
}
