//! Power cuts and kills at every operation of whole runs, on the simulated disk.
//!
//! A run is played once with its trace recorded. For every operation of it the disk is then built
//! as it might be found: with nothing that was not synced, with all of it, with random sectors,
//! lengths and names of it, with every prefix of the newest write. Each of these disks is opened
//! with recovery and must hold all that was promised and nothing that was not asked for, in whole
//! batches, byte for byte; recovering twice must come to the same bytes; the recovery is a run of
//! its own, in which the power goes again; and what is appended after it must last.
//!
//! `ANNALS_CRASH_STATES=1000000` goes on, over ever new runs, until so many distinct disks were
//! seen (best with `--release --nocapture`).

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "simulated/mod.rs"]
mod simulated;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use annals::sim::{Crash, Op, Replay, SimStorage};
use simulated::{Dice, Known, Mark, Mode, Player, Run, counts, is_raw, open, options, read_all, root};

/// How much is tried at each operation.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// Random choices of what survives.
    random: u64,
    /// Random subsets of dirty sectors.
    subsets: u64,
    /// Writes up to this many bytes are cut at every byte.
    prefix_bytes_max: u64,
    /// Longer ones at so many places, and on both sides of each border of a sector.
    prefix_samples: u64,
    /// One in so many operations is looked at.
    every: u64,
    /// One in so many found disks is a run of its own, and the power goes again in it.
    nested_every: u64,
}

const QUICK: Effort =
    Effort { random: 3, subsets: 1, prefix_bytes_max: 0, prefix_samples: 4, every: 1, nested_every: 40 };
const NESTED: Effort =
    Effort { random: 2, subsets: 1, prefix_bytes_max: 0, prefix_samples: 2, every: 3, nested_every: u64::MAX };
const DEEP: Effort =
    Effort { random: 40, subsets: 10, prefix_bytes_max: 8192, prefix_samples: 300, every: 1, nested_every: 100 };
const DEEP_NESTED: Effort =
    Effort { random: 6, subsets: 3, prefix_bytes_max: 0, prefix_samples: 8, every: 1, nested_every: u64::MAX };

/// What was seen by all threads of all explorations of a test.
#[derive(Default)]
struct Seen {
    digests: Mutex<HashSet<u64>>,
    cuts: AtomicU64,
    nested: AtomicU64,
    kills: AtomicU64,
    violations: Mutex<Vec<String>>,
}

impl Seen {
    /// Whether this disk is seen for the first time.
    fn is_new(&self, disk: &SimStorage) -> bool {
        self.digests.lock().unwrap().insert(disk.digest_of(counts))
    }

    fn states(&self) -> usize {
        self.digests.lock().unwrap().len()
    }

    fn report(&self, what: &str, begun: Instant) {
        println!(
            "{what}: {} distinct disks after power cuts, {} of them found in the midst of recovery, {} after kills; \
             {} tails were cut; {:.1} s",
            self.states(),
            self.nested.load(Ordering::Relaxed),
            self.kills.load(Ordering::Relaxed),
            self.cuts.load(Ordering::Relaxed),
            begun.elapsed().as_secs_f64()
        );
        let violations = self.violations.lock().unwrap();
        assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
    }

    fn violated(&self, text: String) {
        let mut violations = self.violations.lock().unwrap();
        if violations.len() < 20 {
            violations.push(text);
        }
    }

    fn is_over(&self) -> bool {
        self.violations.lock().unwrap().len() >= 20
    }
}

/// Where a disk comes from, to be built again.
#[derive(Clone, Debug)]
struct Origin {
    run: String,
    ops: u64,
    how: String,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} / after {} operations, {}", self.run, self.ops, self.how)
    }
}

/// The choices of what survives, after an operation.
fn choices(replay: &Replay<'_>, op: Option<&Op>, effort: &Effort, dice: &mut Dice) -> Vec<Crash> {
    let mut choices = vec![Crash::None, Crash::All];
    choices.extend((0..effort.random).map(|_| Crash::Random(dice.roll())));
    if replay.dirty_sectors() > 1 {
        choices.extend((0..effort.subsets).map(|_| Crash::Sectors(dice.roll())));
    }
    if let Some(Op::Write { offset, bytes, .. }) = op {
        let len = bytes.len() as u64;
        if len <= effort.prefix_bytes_max {
            choices.extend((1..len).map(Crash::PrefixBytes));
        } else if len > 1 {
            choices.extend((0..effort.prefix_samples).map(|_| Crash::PrefixBytes(1 + dice.below(len - 1))));
            let border = 512 - offset % 512;
            let borders = (border..len).step_by(512).flat_map(|at| [at - 1, at, at + 1]);
            choices.extend(borders.take(effort.prefix_samples as usize).map(Crash::PrefixBytes));
        }
    }
    choices
}

/// Goes through all operations of a run, on all processors.
fn explore(run: &Run, name: &str, effort: &Effort, nested: &Effort, seen: &Seen, seed: u64) {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || explore_part(run, name, effort, Some(nested), seen, seed, (thread, threads)));
        }
    });
}

fn explore_part(
    run: &Run,
    name: &str,
    effort: &Effort,
    nested: Option<&Effort>,
    seen: &Seen,
    seed: u64,
    part: (u64, u64),
) {
    let mut replay = run.trace.replay();
    let mut op = None;
    loop {
        let ops = replay.done();
        let (turn, rest) = ((ops / part.1).is_multiple_of(effort.every), ops % part.1 == part.0);
        if turn && rest && !seen.is_over() {
            let mut dice = Dice(seed ^ ops.rotate_left(40));
            for crash in choices(&replay, op.as_ref(), effort, &mut dice) {
                let disk = replay.crash(crash);
                if !seen.is_new(&disk) {
                    continue;
                }
                let origin = Origin { run: name.to_owned(), ops, how: format!("{crash:?}") };
                let lot = dice.roll();
                let deeper = nested.filter(|_| lot.is_multiple_of(effort.nested_every));
                if nested.is_none() {
                    seen.nested.fetch_add(1, Ordering::Relaxed);
                }
                guarded(seen, &origin, || {
                    found(disk.clone(), false, run.mode, run.at(ops), seen, &origin, lot, deeper)
                });
            }
            // A kill loses nothing, so the next process has in its hands what is not durable yet.
            if let Some(nested) = nested.filter(|_| dice.below(effort.nested_every) < 4) {
                let origin = Origin { run: name.to_owned(), ops, how: "killed".to_owned() };
                seen.kills.fetch_add(1, Ordering::Relaxed);
                let mark = run.at(ops);
                guarded(seen, &origin, || found(replay.kill(), true, run.mode, mark, seen, &origin, 0, Some(nested)));
            }
        }
        match replay.advance() {
            Some(done) => op = Some(done.clone()),
            None => return,
        }
    }
}

/// A violation is told with where its disk comes from; a panic is one.
fn guarded(seen: &Seen, origin: &Origin, check: impl FnOnce() -> Result<(), String>) {
    match catch_unwind(AssertUnwindSafe(check)) {
        Ok(Ok(())) => {}
        Ok(Err(why)) => seen.violated(format!("{origin}: {why}")),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?");
            seen.violated(format!("{origin}: panic: {text}"));
        }
    }
}

/// Checks a disk that was found. `lot` decides what is tried beyond recovering it.
#[allow(clippy::too_many_arguments, reason = "everything that is known of the disk")]
fn found(
    disk: std::sync::Arc<SimStorage>,
    killed: bool,
    mode: Mode,
    mark: &Mark,
    seen: &Seen,
    origin: &Origin,
    lot: u64,
    deeper: Option<&Effort>,
) -> Result<(), String> {
    if lot % 8 == 1 {
        reads_alone(&disk, mark)?;
    }
    let begin = if killed { Player::begin_killed } else { Player::begin };
    let mut player = begin(&disk, mode, mark, lot)?;
    if player.store.recovery().cut.is_some() {
        seen.cuts.fetch_add(1, Ordering::Relaxed);
    }
    let tail = player.tail();
    if lot % 4 == 2 {
        recovers_to_the_same(&disk, mode, &player.found)?;
    }
    if deeper.is_none() && lot % 4 != 3 {
        return Ok(());
    }
    // What comes after a recovery lasts like everything else.
    player.append_random(4, 300)?;
    player.append_random(2, 5000)?;
    if mode == Mode::Written {
        renewed(&player, mark, tail)?;
        player.sync()?;
    }
    let appended = player.tail();
    let run = player.finish()?;
    let left = disk.crash(Crash::None);
    let store = open(&left, mode).map_err(|error| format!("after a recovery and a power cut: {error:?}"))?;
    let again = read_all(&store)?;
    run.at(run.ops()).check(&again).map_err(|why| format!("after a recovery and a power cut: {why}"))?;
    if again.len() as u64 != appended {
        return Err(format!("{appended} events were synced, and {} are there after a power cut", again.len()));
    }
    if let Some(nested) = deeper {
        explore_part(&run, &format!("{origin}"), nested, None, seen, lot, (0, 1));
    }
    Ok(())
}

/// Opening for reading only changes nothing and shows what may be shown.
fn reads_alone(disk: &SimStorage, mark: &Mark) -> Result<(), String> {
    let disk = disk.snapshot();
    let before = disk.digest();
    let store = match options(Mode::Synced).read_only(true).open_on(disk.clone(), root()) {
        Err(error) if error.kind() == annals::ErrorKind::NotFound && mark.must == 0 => return Ok(()),
        other => other.map_err(|error| format!("opening for reading fails: {error:?}"))?,
    };
    mark.check(&read_all(&store)?).map_err(|why| format!("opened for reading: {why}"))?;
    drop(store);
    if disk.digest() == before { Ok(()) } else { Err("opening for reading changed the disk".to_owned()) }
}

/// A second recovery finds nothing to do, neither beside the first nor after another power cut.
fn recovers_to_the_same(disk: &SimStorage, mode: Mode, found: &[Known]) -> Result<(), String> {
    let killed = disk.snapshot();
    let first = killed.digest_of(is_raw);
    let store = open(&killed, mode).map_err(|error| format!("recovering again fails: {error:?}"))?;
    if read_all(&store)? != found {
        return Err("recovering again finds other events".to_owned());
    }
    if killed.digest_of(is_raw) != first {
        return Err(format!("recovering again changes the segments: {}", store.recovery()));
    }
    let cut = disk.crash(Crash::None);
    if mode == Mode::Synced && cut.digest_of(is_raw) != first {
        return Err("a recovery was not durable".to_owned());
    }
    let store = open(&cut, mode).map_err(|error| format!("recovering after another power cut fails: {error:?}"))?;
    if read_all(&store)? != found {
        return Err("recovering after another power cut finds other events".to_owned());
    }
    if mode == Mode::Synced && cut.digest_of(is_raw) != first {
        return Err(format!("recovering after another power cut changes the segments: {}", store.recovery()));
    }
    Ok(())
}

/// In a `Written` store a position that somebody saw and that was lost comes again under another
/// epoch, so that nothing takes one event for the other.
fn renewed(player: &Player, before: &Mark, tail: u64) -> Result<(), String> {
    if before.shown <= tail {
        return Ok(());
    }
    let lost = before.line.events[tail as usize];
    let event = player.store.reader().event(tail + 1).map_err(|error| format!("{error:?}"))?.ok_or("no event")?;
    if event.epoch() <= lost.epoch {
        return Err(format!("position {} was lost and came again under epoch {}", tail + 1, event.epoch()));
    }
    Ok(())
}

fn start(mode: Mode, seed: u64, background: bool) -> Result<Player, String> {
    let disk = SimStorage::absent();
    Player::begin_with(&disk, mode, &Mark::nothing(), seed, background)
}

/// The script of a `Synced` store.
fn synced(seed: u64) -> Result<Run, String> {
    let mut player = start(Mode::Synced, seed, false)?;
    for batch in 0..56u64 {
        match batch {
            10 => player.append_keyed("key-1")?,
            21 => player.reopen()?,
            15 | 33 | 52 => {
                player.seal()?;
                player.append_random(3, 100)?;
            }
            50 => {
                player.reopen()?;
                player.reopen()?;
            }
            _ if batch % 9 == 0 => player.append_random(1, 9000)?,
            _ => player.append_random(20, 500)?,
        }
    }
    player.store.close().map_err(|error| format!("{error:?}"))?;
    player.reopen()?;
    player.append_random(1, 10)?;
    player.finish()
}

/// The script of a `Written` store.
fn written(seed: u64) -> Result<Run, String> {
    let mut player = start(Mode::Written, seed, false)?;
    for batch in 0..56u64 {
        match batch {
            10 => player.append_keyed("key-1")?,
            30 => player.reopen()?,
            17 | 41 => player.seal()?,
            // Over three segments nothing is synced.
            5 | 9 | 26 | 27 | 50 => player.sync()?,
            _ if batch % 9 == 0 => player.append_random(1, 9000)?,
            _ => player.append_random(20, 500)?,
        }
    }
    player.finish()
}

/// With all threads: spare files, room ahead, idle slots, background syncs.
fn threaded(mode: Mode, seed: u64) -> Result<Run, String> {
    let mut player = start(mode, seed, true)?;
    for batch in 0..40u64 {
        match batch {
            18 => player.reopen()?,
            7 | 25 => std::thread::sleep(Duration::from_millis(220)),
            26 | 27 if mode == Mode::Written => player.sync()?,
            _ => player.append_random(20, 500)?,
        }
        if batch % 3 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    player.finish()
}

fn wanted_states() -> Option<usize> {
    std::env::var("ANNALS_CRASH_STATES").ok().and_then(|text| text.parse().ok())
}

/// Explores runs of a script: one with little effort, or with great effort as many as it takes.
fn explore_script(what: &str, script: impl Fn(u64) -> Result<Run, String>) {
    let begun = Instant::now();
    let seen = Seen::default();
    match wanted_states() {
        None => {
            let run = script(1).unwrap();
            println!("{what}: a run of {} operations", run.ops());
            explore(&run, what, &QUICK, &NESTED, &seen, 1);
        }
        Some(wanted) => {
            for seed in 1.. {
                let run = script(seed).unwrap();
                explore(&run, &format!("{what} {seed}"), &DEEP, &DEEP_NESTED, &seen, seed);
                println!("{what} {seed}: {} states, {:.0} s", seen.states(), begun.elapsed().as_secs_f64());
                if seen.states() >= wanted || seen.is_over() {
                    break;
                }
            }
        }
    }
    seen.report(what, begun);
    assert!(seen.states() > 500, "too little was explored for the test to mean anything");
}

#[test]
fn a_synced_store_loses_nothing_to_a_power_cut() {
    explore_script("synced", synced);
}

#[test]
fn a_written_store_loses_at_most_its_unsynced_tail() {
    explore_script("written", written);
}

#[test]
fn what_the_background_threads_do_is_as_safe() {
    explore_script("synced with threads", |seed| threaded(Mode::Synced, seed));
    explore_script("written with threads", |seed| threaded(Mode::Written, seed));
}
