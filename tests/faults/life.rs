//! A whole life (see `simulated/life`) in which one call fails: with an error, without room, interrupted, short, or as a
//! sync that lies. Whatever it is part of gives an error of the right kind or does not notice; the process goes on, or
//! the next one does; what was acknowledged is there, in this process, in the next one and after a power cut.
//!
//! Every run of the tests plays a share of all calls and faults; `ANNALS_FAULTS_ALL=1` plays them all, best with
//! `--release`. `ANNALS_FAULTS_ONLY='CALL FAULT'` plays one.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use annals::ErrorKind;
use annals::sim::{Call, Crash, FailPlan, Fault, ManualClock, SimStorage};

use super::is_sync;
use crate::life::{self, Life, Trouble, flow, load, project, read_and_fold, worker};
use crate::simulated::explore::guarded;
use crate::simulated::{CLOCK_START, Dice, Mark};

const SEED: u64 = 3;
const DEEDS: usize = 70;
/// Of all calls and faults one in so many is played in every run of the tests.
const SHARE: usize = 29;
const AWAY_NANOS: i64 = 3 * 3_600_000_000_000;
const FAULTS: [Fault; 6] = [Fault::Eio, Fault::Enospc, Fault::Eintr, Fault::Short(7), Fault::Short(0), Fault::LostSync];

/// What one run came to.
#[derive(Default, Debug)]
struct Played {
    errors: Vec<String>,
    restarts: u64,
    /// Calls of the first process.
    calls: u64,
}

struct Trial {
    life: Life,
    /// The disk of the first process, on which the call fails.
    first: Arc<SimStorage>,
    fault: Option<Fault>,
    played: Played,
}

fn matters(call: Call, fault: Fault) -> bool {
    match fault {
        Fault::Short(_) => matches!(call, Call::Read | Call::Write),
        Fault::LostSync => is_sync(call),
        _ => true,
    }
}

impl Trial {
    fn begin(plan: Option<(u64, Fault)>) -> Result<Trial, Trouble> {
        let disk = SimStorage::absent();
        if let Some((index, fault)) = plan {
            disk.fail(FailPlan::at(index, fault));
        }
        let mut played = Played::default();
        let fault = plan.map(|(_, fault)| fault);
        let life = match Life::begin(&disk, 0, &Mark::nothing(), &[], SEED) {
            Err(trouble) => {
                allowed(&trouble)?;
                played.errors.push(format!("opening: {}", String::from(trouble)));
                Life::begin(&disk.snapshot(), 0, &Mark::nothing(), &[], SEED)?
            }
            Ok(life) => life,
        };
        Ok(Trial { life, first: disk, fault, played })
    }

    fn play(&mut self) -> Result<(), Trouble> {
        for deed in life::script(DEEDS, &mut Dice(SEED)) {
            for attempt in 0.. {
                let Err(trouble) = self.life.act(deed) else { break };
                if attempt == 3 {
                    return Err(trouble);
                }
                allowed(&trouble)?;
                self.played.errors.push(format!("{deed:?}: {}", String::from(trouble)));
                self.go_on()?;
            }
        }
        // The calls of the first process are those that fail here.
        self.played.calls = self.first.call_count();
        self.first.heal();
        Ok(())
    }

    /// After an error: readers go on. So does the writer, unless it says that it does not.
    fn go_on(&mut self) -> Result<(), Trouble> {
        let poisoned = match &self.life.opened {
            Some(opened) => opened.store.stats().poisoned.is_some(),
            None => true,
        };
        self.life.look()?;
        if !poisoned {
            return Ok(());
        }
        self.played.restarts += 1;
        let (was_open, known) = (self.life.opened.is_some(), self.life.tail());
        self.life.restart()?;
        // Only of what a poisoned writer had in hand it is unknown whether it is there.
        if !was_open && self.life.tail() > known {
            return Err(Trouble::Wrong(format!("{} events are there, {known} had been shown", self.life.tail())));
        }
        Ok(())
    }

    /// What it all came to: in this process, in the next one hours later, and after power cuts.
    fn end(&mut self) -> Result<(), Trouble> {
        self.life.look()?;
        let (known, sum) = (self.life.known.clone(), self.life.sum());
        self.is_good()?;
        for crash in [Crash::None, Crash::All, Crash::Random(1), Crash::Random(2)] {
            self.lose_power(crash, &known)?;
        }
        self.life.clock.advance(AWAY_NANOS);
        self.life.restart()?;
        if self.life.known != known {
            return Err(Trouble::Wrong(format!(
                "{} events were shown, {} are there",
                known.len(),
                self.life.known.len()
            )));
        }
        self.is_good()?;
        let store = self.life.store()?.clone();
        worker::finishes(&store, &self.life.told, &sum)
    }

    fn is_good(&mut self) -> Result<(), Trouble> {
        let opened = self.life.opened.as_ref().ok_or("it is closed")?;
        flow::check_log(&opened.store)?;
        flow::agrees(&opened.flow, &self.life.sum().outcomes)?;
        (0..5).try_for_each(|number| load(&opened.store, &format!("note/n-{number}")))?;
        project(&opened.store, &self.life.tally)?;
        let verified = opened.store.verify(|_| std::ops::ControlFlow::Continue(()))?;
        if verified.is_good() { Ok(()) } else { Err(Trouble::Wrong(format!("{:?}", verified.damage))) }
    }

    fn lose_power(&self, crash: Crash, known: &[crate::simulated::Known]) -> Result<(), Trouble> {
        let left = self.life.disk.crash(crash);
        let clock = Arc::new(ManualClock::new(CLOCK_START + AWAY_NANOS * 100));
        let lied = self.fault == Some(Fault::LostSync);
        let store = match life::open(&left, &clock, false) {
            // A sync that lied may have lost anything, which is then seen or not there at all.
            Err(error) if lied && matches!(error.kind(), ErrorKind::Corruption | ErrorKind::DamagedTail) => {
                return Ok(());
            }
            opened => opened?,
        };
        let found = match read_and_fold(&store) {
            Err(Trouble::Failed(error)) if lied && error.corruption().is_some() => return Ok(()),
            found => found?.0,
        };
        let is_prefix = known.get(..found.len()) == Some(&found[..]);
        if !is_prefix || (found.len() < known.len() && !lied) {
            let (found, known) = (found.len(), known.len());
            return Err(Trouble::Wrong(format!("{known} events were shown, {found} or others after {crash:?}")));
        }
        Ok(())
    }
}

/// The errors that a failing call may lead to.
fn allowed(trouble: &Trouble) -> Result<(), Trouble> {
    match trouble {
        Trouble::Own(_) => Ok(()),
        // A worker or a projection that has ended says `Closed`.
        Trouble::Failed(error)
            if matches!(error.kind(), ErrorKind::Io | ErrorKind::Full | ErrorKind::Poisoned | ErrorKind::Closed) =>
        {
            Ok(())
        }
        Trouble::Failed(error) => Err(Trouble::Wrong(format!("an error of the wrong kind: {error:?}"))),
        Trouble::Wrong(why) => Err(Trouble::Wrong(why.clone())),
    }
}

fn play(plan: Option<(u64, Fault)>) -> Result<Trial, String> {
    guarded(|| {
        let mut trial = Trial::begin(plan)?;
        trial.play().map_err(|trouble| format!("{}; {:?}", String::from(trouble), trial.played))?;
        trial.end().map_err(|trouble| format!("at the end: {}; {:?}", String::from(trouble), trial.played))?;
        Ok(trial)
    })
}

/// Plays a life in which one call fails.
fn one(index: u64, fault: Fault) -> Result<Played, String> {
    let trial = play(Some((index, fault)))?;
    let call = trial.first.call_at(index);
    let unnoticed = match fault {
        Fault::Eintr => !call.is_some_and(is_sync),
        Fault::Short(bytes) => bytes > 0,
        Fault::LostSync => true,
        _ => false,
    };
    match trial.played.errors.first().filter(|_| unnoticed) {
        Some(error) => Err(format!("{call:?} with {fault:?} was noticed: {error}")),
        None => Ok(trial.played),
    }
}

#[test]
fn every_call_of_a_whole_life_may_fail() {
    let begun = Instant::now();
    let whole = play(None).unwrap();
    assert_eq!((whole.played.errors.len(), whole.played.restarts), (0, 0), "{:?}", whole.played);
    let calls = whole.played.calls;
    let all = std::env::var_os("ANNALS_FAULTS_ALL").is_some();
    let only = std::env::var("ANNALS_FAULTS_ONLY").ok();
    let cases: Vec<(u64, Fault)> = (0..calls).flat_map(|index| FAULTS.map(|fault| (index, fault))).collect();
    let hit = |(index, fault): &(u64, Fault)| whole.first.call_at(*index).is_some_and(|call| matters(call, *fault));
    let cases: Vec<_> = cases.into_iter().filter(hit).collect();
    let possible = cases.len();
    let cases: Vec<_> = match &only {
        Some(only) => cases.into_iter().filter(|(index, fault)| *only == format!("{index} {fault:?}")).collect(),
        None => cases.into_iter().step_by(if all { 1 } else { SHARE }).collect(),
    };
    let (next, errors, restarts, runs) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let violations = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        // Each waits more than it works.
        for _ in 0..12 {
            scope.spawn(|| {
                while let Some((index, fault)) = cases.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
                    match one(index, fault) {
                        Ok(played) => {
                            runs.fetch_add(1, Ordering::Relaxed);
                            errors.fetch_add(played.errors.len() as u64, Ordering::Relaxed);
                            restarts.fetch_add(played.restarts, Ordering::Relaxed);
                        }
                        Err(why) => {
                            let why = format!("{:?}: {why}", whole.first.call_at(index));
                            let only = format!("ANNALS_FAULTS_ONLY='{index} {fault:?}'");
                            violations.lock().unwrap().push(format!("{only}: {why}"));
                        }
                    }
                }
            });
        }
    });
    let violations = violations.into_inner().unwrap();
    println!(
        "a whole life: {calls} calls, {possible} runs are possible, {} were played, {} errors, {} new processes; {:.1} s; {} violations",
        runs.into_inner(),
        errors.into_inner(),
        restarts.into_inner(),
        begun.elapsed().as_secs_f64(),
        violations.len()
    );
    let shown = &violations[..violations.len().min(20)];
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), shown.join("\n"));
    assert!(calls > 500, "the life is too short for the test to mean anything");
}
