//! Every way to ask, over logs in every state that an index can be in, held against looking at every event.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::path::Path;
use std::sync::Arc;

use annals::sim::{Crash, ManualClock, SimStorage, Storage};
use annals::{Options, Query, Store};

use common::check::{check_past, check_query, check_reader};
use common::query::{ItemSpec, QuerySpec, each_dimension};
use common::{Plain, Rng, Spec, sim};

/// A log on a simulated disk, and what it holds.
struct Log {
    disk: Arc<SimStorage>,
    clock: Arc<ManualClock>,
    segment_bytes: u64,
    store: Option<Store>,
    events: Vec<Plain>,
}

impl Log {
    fn new(segment_bytes: u64) -> Log {
        let (disk, clock) = (SimStorage::new(), sim::clock());
        let mut log = Log { disk, clock, segment_bytes, store: None, events: Vec::new() };
        log.open();
        log
    }

    fn options(&self) -> Options {
        sim::options(&self.clock).segment_bytes(self.segment_bytes)
    }

    fn open(&mut self) {
        self.store = Some(sim::open(&self.disk, self.options()).unwrap());
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn close(&mut self) {
        self.store.take().unwrap().close().unwrap();
    }

    /// Appends random batches until there are so many events.
    fn fill(&mut self, rng: &mut Rng, events: usize, batch_max: u64, data_max: usize) {
        while self.events.len() < events {
            self.clock.advance(rng.below(30) as i64);
            let now = self.events.last().map_or(sim::NOW, |event| event.recorded_at);
            let mut specs = Spec::batch(rng, 1 + rng.clone().below(batch_max) as usize, now);
            specs.iter_mut().for_each(|spec| spec.data.truncate(data_max));
            let done = self.store().append(Spec::events(&specs)).unwrap();
            for (index, spec) in specs.iter().enumerate() {
                let version = 1 + self.events.iter().filter(|event| event.subject == spec.subject).count() as u64;
                let (first, at) = (done.first.get(), done.recorded_at.as_nanos());
                self.events.push(Plain::of_spec(spec, first, index, version, 1, at));
            }
        }
    }

    fn indexes(&self) -> Vec<std::path::PathBuf> {
        let entries = self.disk.list(Path::new("log")).unwrap();
        let names = entries.into_iter().map(|entry| entry.name).filter(|name| name.ends_with(".idx"));
        names.map(|name| Path::new("log").join(name)).collect()
    }

    fn check(&self, store: &Store, rng: &mut Rng, queries: usize, what: &str) {
        let log = store.stats().log.to_string();
        let reader = store.reader();
        eprintln!("{what}: {} events, {} segments, {queries} queries", self.events.len(), store.segments().len());
        check_reader(&reader, &self.events, None, &log, rng, queries);
        check_past(&reader, &self.events, &log, rng, queries / 10);
        let visible: Vec<&Plain> = self.events.iter().collect();
        for spec in each_dimension() {
            check_query(&reader, &spec, &self.events, &visible, rng);
        }
    }
}

/// Beyond the default for whoever has time.
fn queries(default: usize) -> usize {
    std::env::var("ANNALS_QUERIES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Flips a bit in each page of a file but the first, which opening reads.
fn damage_pages(disk: &SimStorage, path: &Path, rng: &mut Rng) {
    let bytes = sim::read(disk, path);
    for page in 1..bytes.len() / 4096 {
        let at = page * 4096 + rng.index(4096);
        sim::write(disk, path, at as u64, &[bytes[at] ^ (1 << rng.below(8))]);
    }
}

/// The states that a log can be found in, each asked the same kinds of questions.
fn every_state(mut log: Log, rng: &mut Rng, asked: usize) {
    log.check(log.store(), rng, asked, "as it was written");
    log.check(&sim::open_read_only(&log.disk).unwrap(), rng, asked, "beside its writer");

    log.close();
    log.check(&sim::open_read_only(&log.disk).unwrap(), rng, asked, "closed, read only");
    log.open();
    assert!(log.store().recovery().rebuilt.is_empty(), "{}", log.store().recovery());
    log.check(log.store(), rng, asked, "reopened");
    let more = log.events.len() + 600;
    log.fill(rng, more, 20, 40);
    log.check(log.store(), rng, asked, "and written on");
    log.check(&sim::open_read_only(&log.disk).unwrap(), rng, asked, "written on, beside its writer");

    // Indexes are derived: without them everything is found as well.
    log.close();
    let (whole, indexes) = (log.disk.snapshot(), log.indexes());
    assert!(!indexes.is_empty());
    indexes.iter().for_each(|path| log.disk.remove(path).unwrap());
    log.check(&sim::open_read_only(&log.disk).unwrap(), rng, asked, "without indexes, read only");
    log.open();
    // What is not full is indexed in memory, the rest beside it.
    let full = log.store().segments().len() - 1;
    assert_eq!(log.store().recovery().rebuilt.len(), full, "{}", log.store().recovery());
    log.check(log.store(), rng, asked, "without indexes");
    log.close();

    // Nor does anything depend on what a damaged index says, nor on when it is met.
    for round in 0..2 {
        log.disk = whole.snapshot();
        indexes.iter().for_each(|path| damage_pages(&log.disk, path, rng));
        log.check(&sim::open_read_only(&log.disk).unwrap(), rng, asked, "damaged indexes, read only");
        log.open();
        if round == 0 {
            let more = log.events.len() + 300;
            let before = log.events.clone();
            log.fill(rng, more, 20, 40);
            log.check(log.store(), rng, asked, "damaged indexes, written on first");
            log.events = before;
        } else {
            log.check(log.store(), rng, asked, "damaged indexes");
        }
        log.store = None;
    }

    // And a killed writer's log, whose newest segment nothing indexes.
    log.disk = whole.snapshot();
    log.open();
    let more = log.events.len() + 600;
    log.fill(rng, more, 20, 40);
    let killed = log.disk.crash(Crash::All);
    log.check(&sim::open_read_only(&killed).unwrap(), rng, asked, "killed, read only");
    log.store = None;
    log.disk = killed;
    log.open();
    log.check(log.store(), rng, asked, "killed and recovered");
}

/// Sealed at random places: raw and sealed segments side by side answer alike, and by one tree.
#[test]
fn any_mix_of_raw_and_sealed_segments() {
    for seed in 20..22 {
        let mut rng = Rng::new(seed);
        let mut log = Log::new(if seed == 20 { 64 << 10 } else { 1 << 20 });
        let mut roots = Vec::new();
        for _ in 0..4 {
            let more = log.events.len() + 100 + rng.index(1500);
            log.fill(&mut rng, more, 60, 300);
            if rng.happens(10) {
                let before = log.store().head().unwrap();
                let sealed = log.store().seal().unwrap();
                assert!(sealed.events > 0 && sealed.stored_bytes < sealed.raw_bytes, "{sealed:?}");
                let after = log.store().head().unwrap();
                assert_eq!(before, after);
            }
            roots.push(log.store().head().unwrap());
        }
        let forms = |log: &Log| {
            let segments = log.store().segments();
            segments.iter().filter(|segment| segment.form == annals::Form::Sealed).count()
        };
        assert!(forms(&log) > 0);
        let asked = queries(30);
        log.check(log.store(), &mut rng, asked, "raw and sealed");
        log.check(&sim::open_read_only(&log.disk).unwrap(), &mut rng, asked, "raw and sealed, beside the writer");
        log.close();
        log.open();
        log.check(log.store(), &mut rng, asked, "raw and sealed, reopened");
        let verified = log.store().verify(|_| std::ops::ControlFlow::Continue(())).unwrap();
        assert!(verified.damage.is_empty() && verified.derived.is_empty(), "{verified:?}");
        for head in &roots {
            let against = log.store().verify_against(head, |_| std::ops::ControlFlow::Continue(())).unwrap();
            assert_eq!(against.against, Some(annals::Against::Same), "{against:?}");
        }
        log.store().seal().unwrap();
        assert_eq!(forms(&log) + 1, log.store().segments().len(), "all but the empty one that takes appends");
        log.check(log.store(), &mut rng, asked, "all sealed");
        log.close();
        log.check(&sim::open_read_only(&log.disk).unwrap(), &mut rng, asked, "all sealed, closed, read only");
    }
}

#[test]
fn many_small_segments() {
    for seed in 0..2 {
        let mut rng = Rng::new(seed);
        let mut log = Log::new(64 << 10);
        let batch_max = if seed == 0 { 40 } else { 3 };
        log.fill(&mut rng, 1200, batch_max, 4000);
        assert!(log.store().segments().len() > 5);
        every_state(log, &mut rng, queries(60));
    }
}

/// So many events that the active segment has an index of its own, with a tail in memory behind it.
#[test]
fn an_index_beside_the_active_segment() {
    let mut rng = Rng::new(7);
    let mut log = Log::new(4 << 20);
    log.fill(&mut rng, 9000, 400, 30);
    log.close();
    assert_eq!(log.indexes().len(), 1, "the active segment is indexed when it is closed");
    log.open();
    let more = log.events.len() + 700;
    log.fill(&mut rng, more, 9, 30);
    assert_eq!(log.store().segments().len(), 1);
    every_state(log, &mut rng, queries(40));
}

#[test]
fn plans_leave_out_what_cannot_match() {
    let mut rng = Rng::new(3);
    let mut log = Log::new(64 << 10);
    log.fill(&mut rng, 600, 30, 1000);
    let (tail, rare) = (log.events.len() as u64, "rare/one");
    log.store().append([Spec::plain(rare, "x").event().tag("rare").actor(annals::Actor::user("rare"))]).unwrap();
    let more = log.events.len() + 600;
    log.events.push(Plain::of(&log.store().reader().event(tail + 1).unwrap().unwrap()));
    log.fill(&mut rng, more, 30, 1000);
    log.close();
    log.open();
    let store = log.store();
    let (reader, segments) = (store.reader(), store.segments().len() as u64);
    for query in [
        Query::all().subject(rare),
        Query::all().kind("rare"),
        Query::all().tag("rare"),
        Query::all().actor_id("rare"),
        Query::all().after(tail).before(tail + 2),
    ] {
        let plan = reader.plan(&query);
        assert_eq!(reader.count(&query).unwrap(), 1, "{plan}");
        // So few rows as the newest segment has are read without asking an index.
        assert!(plan.segments_skipped() >= segments - 2, "{plan}");
        assert!(plan.events_read() < 300, "{plan}");
        let shown = plan.to_string();
        assert!(shown.contains("skipped") && shown.contains(&format!("of {segments} segments")), "{shown}");
    }
    for nothing in [Query::all().subject("no/such"), Query::all().types(["no.such"]), Query::all().kinds([""; 0])] {
        let plan = reader.plan(&nothing);
        assert!(plan.events_read() <= 256 && reader.count(&nothing).unwrap() == 0, "{plan}");
    }
}

#[test]
fn limits_and_directions_of_combined_queries() {
    let mut log = Log::new(64 << 10);
    log.fill(&mut Rng::new(11), 300, 10, 100);
    let reader = log.store().reader();
    let notes = || Query::all().kind("note");
    // Direction and limit are those of the first; the smaller limit counts; turning twice is not turning.
    let both = notes().limit(3).or(Query::all().kind("user").rev().limit(1));
    assert_eq!(reader.count(&both).unwrap(), 3);
    assert_eq!(reader.count(&notes().limit(9).limit(2)).unwrap(), 2);
    assert_eq!(reader.count(&notes().limit(0)).unwrap(), 0);
    let forward: Vec<u64> = reader.read(&notes().rev().rev()).map(|event| event.unwrap().position().get()).collect();
    assert!(forward.is_sorted() && !forward.is_empty());
    // What is called behind `or` narrows both.
    let narrowed = notes().or(Query::all().kind("user")).after(200u64);
    let spec = |kind: &str| ItemSpec { kinds: Some(vec![kind.to_owned()]), after: Some(200), ..ItemSpec::default() };
    let spec = QuerySpec { items: vec![spec("note"), spec("user")], rev: false, limit: None };
    let visible: Vec<&Plain> = log.events.iter().collect();
    assert_eq!(reader.count(&narrowed).unwrap(), spec.answer(&visible).len() as u64);
}
