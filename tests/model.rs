//! Random operations, reopening and crashes among them, held against a plain `Vec`.
//!
//! On the simulated disk a crash goes back to any moment of the run, in the midst of an append, a roll, a recovery,
//! a close. Then the log must be a prefix of what was asked for, made of whole batches, and hold
//! - what was acknowledged by that moment, if the process was killed;
//! - what the store said was durable by that moment, if the power went: in a `Synced` store all that was acknowledged.
//!
//! And a position that was seen once, lost with the power and used again has another epoch.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use annals::sim::{Crash, ManualClock, SimStorage};
use annals::{Append, AppendError, Appended, Durability, Expected, Position, StartAt, Store, Subscription, Timestamp};
use proptest::prelude::*;

use common::check::{check_past, check_reader};
use common::query::QuerySpec;
use common::{Plain, Rng, SUBJECTS, Spec, sim};

/// One step of a run. Seeds stand for events and queries.
#[derive(Clone, Debug)]
enum Op {
    /// A batch, sometimes with conditions and a key.
    Append {
        seed: u64,
        events: usize,
    },
    /// Enough events for indexes to matter and segments to fill.
    Bulk {
        seed: u64,
        events: usize,
    },
    /// Several appends at once, waited for in the end.
    Submit {
        seed: u64,
        appends: usize,
    },
    /// Lets time pass, or sets the clock to so many ns before or after what has passed.
    Tick(i64),
    SetWall(i64),
    Sync,
    /// Everything becomes sealed.
    Seal,
    /// Closes and opens, sometimes in the other mode.
    Reopen {
        other_mode: bool,
    },
    /// The process is killed so many operations of the disk ago.
    Kill {
        back: u64,
    },
    /// The power went so many operations of the disk ago.
    PowerCut {
        back: u64,
        seed: u64,
    },
    /// Everything that a reader can be asked, now and as of the past.
    Read {
        seed: u64,
    },
    /// The same in another handle that only reads.
    ReadOnly {
        seed: u64,
    },
    /// Takes what a subscription has to give; which of them, and whether it begins anew.
    Poll {
        seed: u64,
        anew: bool,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let seed = any::<u64>;
    let op = prop_oneof![
        8 => (seed(), 1..6usize).prop_map(|(seed, events)| Op::Append { seed, events }),
        3 => (seed(), 20..500usize).prop_map(|(seed, events)| Op::Bulk { seed, events }),
        3 => (seed(), 1..9usize).prop_map(|(seed, appends)| Op::Submit { seed, appends }),
        2 => (0..1000i64).prop_map(Op::Tick),
        1 => (-1000..1000i64).prop_map(Op::SetWall),
        1 => Just(Op::Sync),
        1 => Just(Op::Seal),
        2 => any::<bool>().prop_map(|other_mode| Op::Reopen { other_mode }),
        1 => (0..60u64).prop_map(|back| Op::Kill { back }),
        2 => (0..60u64, seed()).prop_map(|(back, seed)| Op::PowerCut { back, seed }),
        2 => seed().prop_map(|seed| Op::Read { seed }),
        2 => seed().prop_map(|seed| Op::ReadOnly { seed }),
        3 => (seed(), any::<bool>()).prop_map(|(seed, anew)| Op::Poll { seed, anew }),
    ];
    proptest::collection::vec(op, 1..40)
}

/// Where the store lies.
enum Place {
    Simulated(Arc<SimStorage>),
    Real(tempfile::TempDir),
}

/// What the log must hold.
#[derive(Default)]
struct Model {
    events: Vec<Plain>,
    /// Of each batch: the position of its last event, its key and events.
    batches: Vec<(u64, Option<String>, Vec<Spec>, Appended)>,
}

impl Model {
    fn version(&self, subject: &str) -> u64 {
        self.events.iter().filter(|event| event.subject == subject).count() as u64
    }

    fn position_of(&self, subject: &str, version: u64) -> u64 {
        let is_it = |event: &&Plain| event.subject == subject && event.version == version;
        self.events.iter().find(is_it).map_or(0, |event| event.position)
    }

    fn truncate(&mut self, tail: u64) {
        self.events.truncate(tail as usize);
        self.batches.retain(|(last, ..)| *last <= tail);
    }
}

/// What one append asks for beside its events.
struct Wish {
    specs: Vec<Spec>,
    expects: Vec<(String, Expected)>,
    unlesses: Vec<(QuerySpec, u64)>,
    before: Option<i64>,
    key: Option<String>,
}

/// What the log is known to have been at some moment: the number of operations of the disk, and of events.
type Mark = (u64, u64);

struct Run {
    place: Place,
    clock: Arc<ManualClock>,
    written: bool,
    store: Option<Store>,
    beside: Option<Store>,
    subscriptions: HashMap<bool, (QuerySpec, u64, Subscription)>,
    model: Model,
    log_id: String,
    epoch: Option<u64>,
    acknowledged: Vec<Mark>,
    durable: Vec<Mark>,
    power_was_lost: bool,
    /// Every event that anybody could have seen, with the moment when it could.
    seen: HashMap<(u64, u64), (u64, Plain)>,
}

impl Run {
    fn new(place: Place, written: bool) -> Run {
        let mut run = Run {
            place,
            clock: sim::clock(),
            written,
            store: None,
            beside: None,
            subscriptions: HashMap::new(),
            model: Model::default(),
            log_id: String::new(),
            epoch: None,
            acknowledged: vec![(0, 0)],
            durable: vec![(0, 0)],
            power_was_lost: false,
            seen: HashMap::new(),
        };
        run.open();
        run
    }

    fn options(&self) -> annals::Options {
        let durability = match self.written {
            true => Durability::Written { sync_every: Duration::from_millis(5) },
            false => Durability::Synced,
        };
        sim::options(&self.clock).durability(durability)
    }

    fn open(&mut self) {
        let store = match &self.place {
            Place::Simulated(disk) => sim::open(disk, self.options()),
            Place::Real(directory) => self.options().background(true).open(directory.path()),
        };
        let store = store.unwrap();
        self.log_id = store.stats().log.to_string();
        self.store = Some(store);
        self.epoch = None;
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn disk_ops(&self) -> u64 {
        match &self.place {
            Place::Simulated(disk) => disk.op_count(),
            Place::Real(_) => 0,
        }
    }

    fn mark(&mut self) {
        let ops = self.disk_ops();
        let reader = self.store().reader();
        assert_eq!(reader.tail().get(), self.model.events.len() as u64);
        assert!(reader.durable() <= reader.tail());
        if !self.written {
            assert_eq!(reader.durable(), reader.tail());
        }
        self.acknowledged.push((ops, reader.tail().get()));
        self.durable.push((ops, reader.durable().get()));
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Append { seed, events } => self.append(*seed, *events),
            Op::Bulk { seed, events } => self.bulk(*seed, *events),
            Op::Submit { seed, appends } => self.submit(*seed, *appends),
            Op::Tick(nanos) => self.clock.advance(*nanos),
            Op::SetWall(offset) => self.clock.set_wall(self.wall() + offset),
            Op::Sync => {
                self.store().sync().unwrap();
                let reader = self.store().reader();
                assert_eq!(reader.durable(), reader.tail(), "all is durable after a sync");
            }
            Op::Seal => {
                self.store().seal().unwrap();
            }
            Op::Reopen { other_mode } => self.reopen(*other_mode),
            Op::Kill { back } => self.kill(*back),
            Op::PowerCut { back, seed } => self.power_cut(*back, *seed),
            Op::Read { seed } => {
                let mut rng = Rng::new(*seed);
                let reader = self.store().reader();
                check_reader(&reader, &self.model.events, None, &self.log_id, &mut rng, 6);
                check_past(&reader, &self.model.events, &self.log_id, &mut rng, 3);
                let verified = self.store().verify(|_| ControlFlow::Continue(())).unwrap();
                assert!(verified.is_good() && verified.torn.is_none(), "{verified:?}");
                // Indexes are not synced: the power may take parts of them, which is seen when they are used.
                assert!(verified.derived.is_empty() || self.power_was_lost, "{verified:?}");
                assert_eq!(verified.events, self.model.events.len() as u64);
            }
            Op::ReadOnly { seed } => self.read_only(*seed),
            Op::Poll { seed, anew } => self.poll(*seed, *anew),
        }
        self.mark();
    }

    fn wall(&self) -> i64 {
        use annals::sim::Clock;
        self.clock.wall_nanos()
    }

    fn wish(&self, rng: &mut Rng, events: usize) -> Wish {
        let tail = self.model.events.len() as u64;
        let mut wish = Wish {
            specs: Spec::batch(rng, events, self.wall()),
            expects: Vec::new(),
            unlesses: Vec::new(),
            before: None,
            key: rng.happens(5).then(|| rng.text(&["k-1", "k-2", "import-17"])),
        };
        for _ in 0..rng.below(7).saturating_sub(4) {
            let subject = rng.text(SUBJECTS);
            let version = self.model.version(&subject);
            let expected = match rng.below(7) {
                0 => Expected::NoSubject,
                1 => Expected::Exists,
                2 => Expected::Any,
                3 => Expected::Exactly(rng.below(4)),
                4 => Expected::Exactly(version + 1),
                _ => Expected::Exactly(version),
            };
            wish.expects.push((subject, expected));
        }
        if rng.happens(3) {
            let times = (sim::NOW, self.wall());
            wish.unlesses.push((QuerySpec::random(rng, tail, times), tail.saturating_sub(rng.below(6))));
        }
        if rng.happens(2) {
            wish.before = Some(self.wall() + [-1, 0, 1_000_000_000_000][rng.index(3)]);
        }
        // Now and then the same append again.
        if let Some(key) = wish.key.as_ref().filter(|_| rng.happens(8))
            && let Some((_, _, specs, _)) = self.model.batches.iter().rfind(|batch| batch.1.as_ref() == Some(key))
        {
            wish.specs.clone_from(specs);
        }
        wish
    }

    fn append(&mut self, seed: u64, events: usize) {
        let wish = self.wish(&mut Rng::new(seed), events);
        let outcome = self.store().append_with(wish.append());
        self.settle(&wish, outcome);
    }

    fn bulk(&mut self, seed: u64, events: usize) {
        let mut rng = Rng::new(seed);
        let mut specs = Spec::batch(&mut rng, events, self.wall());
        // A batch takes half a segment at most.
        specs.iter_mut().for_each(|spec| spec.data.truncate(20));
        while specs.iter().map(|spec| 160 + spec.subject.len() + spec.data.len() + 60).sum::<usize>() > 32 << 10 {
            specs.truncate(specs.len() * 3 / 4);
        }
        let outcome = self.store().append(Spec::events(&specs));
        self.settle(&Wish { specs, expects: vec![], unlesses: vec![], before: None, key: None }, outcome);
    }

    fn submit(&mut self, seed: u64, appends: usize) {
        let mut rng = Rng::new(seed);
        let wishes: Vec<Wish> = (0..appends)
            .map(|_| {
                let events = 1 + rng.index(4);
                self.wish(&mut rng, events)
            })
            .collect();
        let tickets: Vec<_> = wishes.iter().map(|wish| self.store().submit(wish.append())).collect();
        for (at, (wish, ticket)) in wishes.iter().zip(tickets).enumerate() {
            let outcome = if at % 2 == 0 { ticket.wait() } else { common::block_on(ticket) };
            self.settle(wish, outcome);
        }
    }

    /// Holds the outcome of an append against what it must be, and takes it into the model.
    fn settle(&mut self, wish: &Wish, outcome: Result<Appended, AppendError>) {
        if let Some(key) = &wish.key
            && let Some((_, _, specs, first)) = self.model.batches.iter().find(|batch| batch.1.as_ref() == Some(key))
        {
            match outcome {
                Ok(done) => {
                    assert!(done.duplicate && *specs == wish.specs);
                    assert_eq!((done.first, done.last, done.recorded_at), (first.first, first.last, first.recorded_at));
                }
                Err(AppendError::KeyReused { position, key: reused }) => {
                    assert_ne!(*specs, wish.specs);
                    assert_eq!((position, &reused), (first.first, key));
                }
                Err(other) => panic!("the key {key} was used: {other}"),
            }
            return;
        }
        if let Some(before) = wish.before.filter(|before| *before <= self.wall()) {
            match outcome {
                Err(AppendError::TooLate { before: told, now }) => {
                    assert_eq!(told.as_nanos(), before);
                    assert!(now >= told);
                }
                other => panic!("it was too late: {other:?}"),
            }
            return;
        }
        if let Some(conflict) = self.conflict(wish) {
            match outcome {
                Err(AppendError::Conflict { position, .. }) => {
                    assert_eq!(position.get(), conflict, "{:?}", wish.expects)
                }
                other => panic!("there was a conflict at {conflict}: {other:?}"),
            }
            return;
        }
        let done = outcome.unwrap();
        let first = self.model.events.len() as u64 + 1;
        let recorded_at = done.recorded_at.as_nanos();
        assert_eq!((done.first.get(), done.duplicate), (first, false));
        assert_eq!(done.last.get() + 1, first + wish.specs.len() as u64);
        assert!(recorded_at >= self.wall());
        assert!(self.model.events.last().is_none_or(|last| last.recorded_at <= recorded_at));
        let epoch = self.learn_epoch(done.first);
        for (index, spec) in wish.specs.iter().enumerate() {
            let version = self.model.version(&spec.subject) + 1;
            let event = Plain::of_spec(spec, first, index, version, epoch, recorded_at);
            self.model.events.push(event.clone());
            if let Some((_, before)) = self.seen.insert((epoch, event.position), (self.disk_ops(), event.clone())) {
                assert_eq!(before, event, "two events under one epoch and position");
            }
        }
        self.model.batches.push((done.last.get(), wish.key.clone(), wish.specs.clone(), done));
    }

    fn learn_epoch(&mut self, position: Position) -> u64 {
        let reader = self.store().reader();
        if let Some(epoch) = self.epoch {
            return epoch;
        }
        let event = reader.event(position).unwrap().unwrap();
        let before = self.model.events.last().map_or(1, |event| event.epoch);
        assert!(event.epoch() >= before, "epochs never fall");
        self.epoch = Some(event.epoch());
        event.epoch()
    }

    /// The position that the first failed condition has to name.
    fn conflict(&self, wish: &Wish) -> Option<u64> {
        for (subject, expected) in &wish.expects {
            let version = self.model.version(subject);
            let against = match expected {
                Expected::NoSubject if version > 0 => 1,
                Expected::Exists if version == 0 => 0,
                Expected::Exactly(wanted) if version > *wanted => wanted + 1,
                Expected::Exactly(wanted) if version < *wanted => version,
                _ => continue,
            };
            return Some(self.model.position_of(subject, against));
        }
        wish.unlesses.iter().find_map(|(query, after)| {
            let matches = |event: &&Plain| event.position > *after && query.matches(event);
            self.model.events.iter().find(matches).map(|event| event.position)
        })
    }

    fn reopen(&mut self, other_mode: bool) {
        self.subscriptions.clear();
        let store = self.store.take().unwrap();
        let clone = store.clone();
        store.close().unwrap();
        assert!(matches!(clone.append([Spec::plain("a/b", "").event()]), Err(AppendError::Closed)));
        drop((store, clone));
        self.durable.push((self.disk_ops(), self.model.events.len() as u64));
        self.written ^= other_mode;
        self.open();
        let recovery = self.store().recovery();
        assert!(recovery.clean && !recovery.created && recovery.cut.is_none(), "{recovery}");
        assert_eq!((recovery.rewritten, recovery.tail.get()), (0, self.model.events.len() as u64), "{recovery}");
        assert!(recovery.notes.is_empty(), "{recovery}");
    }

    fn kill(&mut self, back: u64) {
        match &self.place {
            Place::Simulated(disk) => {
                let moment = disk.op_count().saturating_sub(back);
                let found = disk.trace().killed_after(moment);
                let least = at_moment(&self.acknowledged, moment);
                self.crashed(found, moment, least, at_moment(&self.durable, moment));
            }
            Place::Real(directory) => {
                // A copy is what another process would find if this one were gone.
                let copy = tempfile::tempdir().unwrap();
                copy_all(directory.path(), copy.path());
                let (store, beside) = (self.store.take(), self.beside.take());
                self.subscriptions.clear();
                self.place = Place::Real(copy);
                self.open();
                drop((store, beside));
                let found = self.store().reader();
                check_reader(&found, &self.model.events, None, &self.log_id, &mut Rng::new(back), 2);
                assert!(self.store().recovery().cut.is_none());
            }
        }
    }

    fn power_cut(&mut self, back: u64, seed: u64) {
        let Place::Simulated(disk) = &self.place else { return };
        let moment = disk.op_count().saturating_sub(back);
        let crash = match seed % 8 {
            0 => Crash::None,
            1 => Crash::All,
            _ => Crash::Random(seed),
        };
        let found = disk.trace().state_after(moment, crash);
        self.power_was_lost = true;
        let least = at_moment(&self.durable, moment);
        self.crashed(found, moment, least, least);
    }

    /// Goes on with another disk, on which at least so many events must be found.
    fn crashed(&mut self, disk: Arc<SimStorage>, moment: u64, least: u64, durable: u64) {
        self.subscriptions.clear();
        self.beside = None;
        self.place = Place::Simulated(disk);
        let old = self.store.take();
        self.open();
        drop(old);
        let reader = self.store().reader();
        let tail = reader.tail().get();
        assert!(tail >= least, "{least} events were promised, {tail} are there: {}", self.store().recovery());
        assert!(tail <= self.model.events.len() as u64, "events that nobody asked for");
        let whole = tail == 0 || self.model.batches.iter().any(|(last, ..)| *last == tail);
        assert!(whole, "position {tail} is in the midst of a batch");
        assert_eq!(self.store().recovery().tail.get(), tail);
        self.model.truncate(tail);
        check_reader(&reader, &self.model.events, None, &self.log_id, &mut Rng::new(moment), 2);
        // What came after that moment has not happened, and until the store was open nothing more was promised.
        self.seen.retain(|_, (at, _)| *at <= moment);
        self.seen.values_mut().for_each(|(at, _)| *at = 0);
        self.acknowledged = vec![(0, least)];
        self.durable = vec![(0, durable)];
        self.mark();
    }

    fn read_only(&mut self, seed: u64) {
        let mut rng = Rng::new(seed);
        if self.beside.is_none() || rng.happens(4) {
            self.subscriptions.remove(&false);
            self.beside = Some(match &self.place {
                Place::Simulated(disk) => sim::open_read_only(disk).unwrap(),
                Place::Real(directory) => Store::options().read_only(true).open(directory.path()).unwrap(),
            });
        }
        let beside = self.beside.as_ref().unwrap();
        let reader = beside.reader();
        assert!(beside.damage().is_empty(), "{:?}", beside.damage());
        if let Place::Simulated(_) = self.place {
            assert_eq!(reader.durable(), self.store().reader().durable());
        }
        check_reader(&reader, &self.model.events, None, &self.log_id, &mut rng, 4);
        check_past(&reader, &self.model.events, &self.log_id, &mut rng, 2);
        assert!(matches!(beside.append([Spec::plain("a/b", "").event()]), Err(AppendError::ReadOnly)));
    }

    /// Subscriptions of the writing and of the reading handle.
    fn poll(&mut self, seed: u64, anew: bool) {
        let mut rng = Rng::new(seed);
        let tail = self.model.events.len() as u64;
        let of_writer = self.beside.is_none() || rng.happens(8);
        if anew || !self.subscriptions.contains_key(&of_writer) {
            let spec = match rng.below(3) {
                0 => QuerySpec::all(),
                _ => QuerySpec { limit: None, ..QuerySpec::random(&mut rng, tail, (sim::NOW, self.wall())) },
            };
            let (start, position) = match rng.below(3) {
                0 => (StartAt::Start, 0),
                1 => (StartAt::Now, tail),
                _ => {
                    let position = rng.below(tail + 1);
                    (StartAt::After(Position::new(position)), position)
                }
            };
            let store = if of_writer { self.store() } else { self.beside.as_ref().unwrap() };
            let subscription = store.subscribe(spec.query(), start);
            self.subscriptions.insert(of_writer, (spec, position, subscription));
        }
        let (spec, position, subscription) = self.subscriptions.get_mut(&of_writer).unwrap();
        let all_between = |from: u64, to: u64| self.model.events[from as usize..to as usize].iter();
        for _ in 0..=tail {
            let Some(batch) = subscription.next_timeout(Duration::ZERO).unwrap() else { break };
            let given: Vec<Plain> = batch.iter().map(|event| Plain::of_ref(&event)).collect();
            assert_eq!((batch.len(), batch.is_empty()), (given.len(), given.is_empty()));
            let through = batch.through().get();
            assert!(through >= *position && through <= tail, "from {position} to {through} of {tail}");
            let expected: Vec<Plain> =
                all_between(*position, through).filter(|event| spec.matches(event)).cloned().collect();
            assert_eq!(given, expected);
            *position = through;
        }
        assert!(subscription.caught_up() && subscription.lag() == 0);
        assert_eq!((*position, subscription.position().get()), (tail, tail), "a subscription stopped too early");
    }
}

impl Wish {
    fn append(&self) -> Append {
        let mut append = Append::new(Spec::events(&self.specs));
        for (subject, expected) in &self.expects {
            append = append.expect(subject, *expected);
        }
        for (query, after) in &self.unlesses {
            append = append.unless(query.query(), *after);
        }
        if let Some(before) = self.before {
            append = append.before(Timestamp::from_nanos(before));
        }
        match &self.key {
            Some(key) => append.key(key),
            None => append,
        }
    }
}

/// The newest mark that was made by then.
fn at_moment(marks: &[Mark], moment: u64) -> u64 {
    marks.iter().filter(|(at, _)| *at <= moment).map(|(_, events)| *events).next_back().unwrap_or(0)
}

fn copy_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_all(&entry.path(), &target);
        } else {
            // The spare file is renamed and removed while we look.
            let _ = std::fs::copy(entry.path(), target);
        }
    }
}

fn run(place: Place, written: bool, ops: &[Op]) {
    let mut run = Run::new(place, written);
    for op in ops {
        run.step(op);
    }
    run.step(&Op::Read { seed: 1 });
    run.step(&Op::ReadOnly { seed: 2 });
    run.step(&Op::Reopen { other_mode: false });
    run.step(&Op::Read { seed: 3 });
}

/// More cases where somebody asks for them.
fn config(cases: u32) -> ProptestConfig {
    let cases = std::env::var("ANNALS_MODEL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(cases);
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn a_synced_log_is_the_vec_that_was_acknowledged(ops in ops()) {
        run(Place::Simulated(SimStorage::with_trace()), false, &ops);
    }

    #[test]
    fn a_written_log_is_a_prefix_after_power_loss(ops in ops()) {
        run(Place::Simulated(SimStorage::with_trace()), true, &ops);
    }
}

proptest! {
    #![proptest_config(config(8))]

    #[test]
    fn real_files_and_threads_hold_the_same(ops in ops(), written in any::<bool>()) {
        run(Place::Real(tempfile::tempdir().unwrap()), written, &ops);
    }
}
