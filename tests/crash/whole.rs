//! Power cuts and kills at every operation of a whole life: see `simulated/life`. Every disk that is found is opened and
//! holds what was promised; on some everything is opened again, the flow, the worker, the projection and the states go
//! on from there, and the power goes again meanwhile.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use annals::sim::{Crash, ManualClock, Mode as Open, SimStorage, Storage, Trace};
use annals::{Query, Store};

use crate::life::told::{Fact, Sum};
use crate::life::{self, BACKUP, Deed, Life, LifeRun, Tally, Trouble, beside, counts, flow, load, project, worker};
use crate::simulated::explore::{Effort, Explored, Found, Plan};
use crate::simulated::{CLOCK_START, Dice, Known, Mark, root, signature};

const QUICK: Effort = Effort {
    all_things_max: 3,
    things: 1,
    random: 1,
    sectors: 0,
    prefix_bytes_max: 0,
    prefix_samples: 1,
    every: 2,
    nested_every: 900,
    kill_every: 6,
};
const NESTED: Effort = Effort { all_things_max: 2, things: 1, random: 1, every: 3, nested_every: u64::MAX, ..QUICK };
const DEEP: Effort = Effort {
    all_things_max: 6,
    things: 40,
    random: 40,
    sectors: 10,
    prefix_bytes_max: 600,
    prefix_samples: 60,
    every: 1,
    nested_every: 800,
    kill_every: 3,
};
const DEEP_NESTED: Effort = Effort {
    all_things_max: 4,
    things: 6,
    random: 6,
    sectors: 2,
    prefix_bytes_max: 0,
    prefix_samples: 8,
    every: 1,
    nested_every: u64::MAX,
    kill_every: u64::MAX,
};
const LONG_DEEDS: usize = 300;
const SHORT_DEEDS: usize = 120;
/// What a recovery is followed by is short.
const DEEDS_AFTER: u64 = 5;
/// Hours that nobody was there, so that whatever waits is due.
const AWAY_NANOS: i64 = 3 * 3_600_000_000_000;
/// One disk in so many has everything opened again.
const OPENED_EVERY: u64 = 400;

/// Reads a file of the disk, if it is there.
fn bytes(disk: &SimStorage, path: &str) -> Option<Vec<u8>> {
    let file = disk.open(Path::new(path), Open::Read).ok()?;
    let mut bytes = vec![0; file.len().ok()? as usize];
    file.read_at(&mut bytes, 0).ok()?;
    Some(bytes)
}

/// The position that a kept state stands for (see `src/projection/kept.rs`).
fn kept_position(disk: &SimStorage, name: &str) -> Option<u64> {
    let bytes = bytes(disk, &format!("projections/{name}.state"))?;
    Some(u64::from_le_bytes(*bytes.get(16..24)?.first_chunk()?))
}

/// What is there of a log: all of it, or of long ones mostly only the newest part.
fn read(store: &Store, mark: &Mark, whole: bool) -> Result<Vec<Known>, Trouble> {
    const NEWEST: u64 = 60;
    let tail = store.reader().tail().get();
    let skipped = if whole { 0 } else { tail.saturating_sub(NEWEST).min(mark.line.events.len() as u64) };
    let mut found: Vec<Known> = mark.line.events[..skipped as usize].to_vec();
    let mut gap = false;
    store.reader().scan(&Query::all().after(skipped), |event| {
        gap |= event.position().get() != found.len() as u64 + 1;
        found.push(Known { signature: signature(&event), epoch: event.epoch() });
        ControlFlow::Continue(())
    })?;
    if gap || found.len() as u64 != tail {
        return Err(Trouble::Wrong(format!("{} events are read, gap {gap}, and the tail is {tail}", found.len())));
    }
    Ok(found)
}

impl Explored for LifeRun {
    fn trace(&self) -> &Trace {
        &self.trace
    }

    fn counts(path: &Path) -> bool {
        counts(path)
    }

    fn promises(&self, ops: u64) -> u64 {
        self.promises(ops)
    }

    fn found(&self, found: &Found<'_>) -> Result<Option<LifeRun>, String> {
        Ok(self.check(found)?)
    }
}

impl LifeRun {
    fn check(&self, found: &Found<'_>) -> Result<Option<LifeRun>, Trouble> {
        let lot = found.lot;
        let mark = if found.killed { self.at(found.ops).killed() } else { self.at(found.ops).clone() };
        if found.goes_on || lot % OPENED_EVERY == 7 {
            found.seen.opened.fetch_add(1, Ordering::Relaxed);
            return self.goes_on(found, &mark);
        }
        let sum = self.sum(found.ops);
        let disk = &found.disk;
        if lot % 16 == 1 && !sum.spoilt {
            reads_alone(disk, &mark)?;
        }
        let clock = Arc::new(ManualClock::new(CLOCK_START + self.nanos + AWAY_NANOS));
        let store = life::open(disk, &clock, sum.spoilt)?;
        if store.recovery().cut.is_some() {
            found.seen.cuts.fetch_add(1, Ordering::Relaxed);
        }
        let events = read(&store, &mark, lot.is_multiple_of(8))?;
        mark.check(&events)?;
        for name in ["tally", "annals.flow"] {
            if let Some(at) = kept_position(disk, name).filter(|at| *at > mark.must) {
                return Err(Trouble::Wrong(format!("{name} is kept at {at}, and {} were durable", mark.must)));
            }
        }
        // What only the page cache held must be durable before it is shown.
        let what = if found.killed && lot.is_multiple_of(2) { 2 } else { lot % 32 };
        match what {
            2 | 18 => recovers_to_the_same(disk, &clock, sum.spoilt)?,
            3 => (0..5).try_for_each(|number| load(&store, &format!("note/n-{number}")))?,
            5 => {
                let verified = store.verify(|_| ControlFlow::Continue(()))?;
                if !verified.is_good() {
                    return Err(Trouble::Wrong(format!("a power cut left damage: {:?}", verified.damage)));
                }
            }
            6 => holds_steps(&store, &sum)?,
            9 => backup_is_good(disk, &clock, &sum, &self.at(self.trace.ops().len() as u64).line.events)?,
            _ => {}
        }
        Ok(None)
    }

    /// Everything is opened again and goes on.
    fn goes_on(&self, found: &Found<'_>, mark: &Mark) -> Result<Option<LifeRun>, Trouble> {
        let (disk, sum) = (&found.disk, self.sum(found.ops));
        let mut life = Life::begin(disk, self.nanos + AWAY_NANOS, mark, &self.facts(found.ops), found.lot)?;
        mark.check(&life.known)?;
        let opened = life.opened.as_ref().ok_or("it is closed")?;
        let (store, flow) = (opened.store.clone(), opened.flow.clone());
        flow::agrees(&flow, &sum.outcomes)?;
        life.act(Deed::Settle)?;
        flow::check_log(&store)?;
        flow::agrees(&flow, &sum.outcomes)?;
        (0..5).try_for_each(|number| load(&store, &format!("note/n-{number}")))?;
        let begun = disk.op_count();
        worker::finishes(&store, &life.told, &sum)?;
        life.told.at(begun, Fact::Asked(store.reader().tail().get()));
        life.look()?;
        let shown = project(&store, &life.tally)?;
        life.told.now(Fact::Acked(shown));
        let mut dice = Dice(found.lot);
        let after = life::script(30, &mut dice);
        for _ in 0..DEEDS_AFTER {
            life.act(after[dice.below(after.len() as u64) as usize])?;
        }
        life.act(Deed::Verify)?;
        drop((store, flow));
        let tail = life.tail();
        let run = life.finish()?;
        let clock = Arc::new(ManualClock::new(CLOCK_START + run.nanos + AWAY_NANOS));
        let left = disk.crash(Crash::None);
        let store = life::open(&left, &clock, false)?;
        let events = read(&store, mark, true)?;
        run.at(run.trace.ops().len() as u64).check(&events)?;
        if events.len() as u64 != tail {
            return Err(Trouble::Wrong(format!(
                "{tail} events were shown, {} are there after a power cut",
                events.len()
            )));
        }
        Ok(found.goes_on.then_some(run))
    }
}

/// Opening for reading only changes nothing and shows what may be shown.
fn reads_alone(disk: &Arc<SimStorage>, mark: &Mark) -> Result<(), Trouble> {
    let disk = disk.snapshot();
    let before = disk.digest();
    let store = match Store::options().background(false).read_only(true).open_on(disk.clone(), root()) {
        Err(error) if error.kind() == annals::ErrorKind::NotFound && mark.must == 0 => return Ok(()),
        other => other?,
    };
    mark.check(&read(&store, mark, true)?)?;
    drop(store);
    if disk.digest() == before { Ok(()) } else { Err("opening for reading changed the disk".into()) }
}

/// A second recovery finds nothing to do, neither beside the first nor after another power cut.
fn recovers_to_the_same(disk: &Arc<SimStorage>, clock: &Arc<ManualClock>, spoilt: bool) -> Result<(), Trouble> {
    let is_log = |path: &Path| {
        path.starts_with("log") && path.extension().is_some_and(|extension| extension == "raw" || extension == "seg")
    };
    let first = disk.digest_of(is_log);
    for (what, again) in [("beside it", disk.snapshot()), ("after another power cut", disk.crash(Crash::None))] {
        if again.digest_of(is_log) != first {
            return Err(Trouble::Wrong(format!("a recovery was not durable, {what}")));
        }
        let store = life::open(&again, clock, spoilt)?;
        if again.digest_of(is_log) != first {
            return Err(Trouble::Wrong(format!("recovering again, {what}, changes the log: {}", store.recovery())));
        }
    }
    Ok(())
}

/// What the worker's file holds, without running it: no decision that was told is gone.
fn holds_steps(store: &Store, sum: &Sum) -> Result<(), Trouble> {
    let (tail, workers) = (store.reader().tail(), store.workers()?);
    if workers.is_empty() && !sum.steps.is_empty() {
        return Err("the worker's file is gone".into());
    }
    for info in workers {
        if info.checkpoint > tail {
            return Err(Trouble::Wrong(format!(
                "the worker stands at {}, and the log ends at {tail}",
                info.checkpoint
            )));
        }
    }
    match store.parked(None)?.iter().find(|one| sum.skipped.contains(&one.position.get())) {
        Some(one) => Err(Trouble::Wrong(format!("{} is parked, and was skipped", one.position))),
        None => Ok(()),
    }
}

/// A backup that was reported done is there, whatever was going on over it.
fn backup_is_good(disk: &Arc<SimStorage>, clock: &Arc<ManualClock>, sum: &Sum, line: &[Known]) -> Result<(), Trouble> {
    let Some(at_least) = sum.backed_up else { return Ok(()) };
    let backup = life::options(clock).read_only(true).open_on(beside(disk, BACKUP)?, Path::new(BACKUP))?;
    let (events, _): (Vec<Known>, Tally) = life::read_and_fold(&backup)?;
    if (events.len() as u64) < at_least || line.get(..events.len()) != Some(&events[..]) {
        return Err(Trouble::Wrong(format!("a backup of {at_least} events holds {} or others", events.len())));
    }
    Ok(())
}

/// A life of so many deeds.
pub(crate) fn lived(seed: u64, deeds: usize) -> Result<LifeRun, String> {
    let disk = SimStorage::absent();
    let mut life = Life::begin(&disk, 0, &Mark::nothing(), &[], seed)?;
    for (number, deed) in (1..).zip(life::script(deeds, &mut Dice(seed))) {
        life.act(deed).map_err(|trouble| format!("{number} {deed:?}: {}", String::from(trouble)))?;
    }
    Ok(life.finish()?)
}

#[test]
fn a_whole_life_loses_nothing_to_a_power_cut() {
    let asked = |name: &str| std::env::var(name).ok();
    // A violation says of which length its life was.
    let deeds = match (asked("ANNALS_CRASH_ONLY"), asked("ANNALS_CRASH_STATES")) {
        (Some(only), _) => {
            if only.starts_with("long life") {
                LONG_DEEDS
            } else {
                SHORT_DEEDS
            }
        }
        (None, Some(_)) => LONG_DEEDS,
        (None, None) => SHORT_DEEDS,
    };
    let name = if deeds == LONG_DEEDS { "long life" } else { "life" };
    let plan = Plan { name, quick: [QUICK, NESTED], deep: [DEEP, DEEP_NESTED], threads: 3 };
    plan.go(|seed| lived(seed, deeds));
}
