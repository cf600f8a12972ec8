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

#[path = "simulated/life/mod.rs"]
mod life;
#[path = "simulated/mod.rs"]
mod simulated;
#[path = "crash/whole.rs"]
mod whole;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use annals::sim::{Crash, SimStorage, Trace};
use simulated::explore::{Effort, Explored, Found, Plan};
use simulated::{Known, Mark, Mode, Player, Run, counts, is_raw, open, options, read_all, root};

const QUICK: Effort = Effort {
    all_things_max: 3,
    things: 2,
    random: 3,
    sectors: 1,
    prefix_bytes_max: 0,
    prefix_samples: 4,
    every: 1,
    nested_every: 40,
    kill_every: 4,
};
const NESTED: Effort =
    Effort { random: 2, all_things_max: 2, prefix_samples: 2, every: 3, nested_every: u64::MAX, ..QUICK };
const DEEP: Effort = Effort {
    all_things_max: 6,
    things: 40,
    random: 40,
    sectors: 10,
    prefix_bytes_max: 8192,
    prefix_samples: 300,
    every: 1,
    nested_every: 100,
    kill_every: 1,
};
const DEEP_NESTED: Effort = Effort {
    all_things_max: 4,
    things: 6,
    random: 6,
    sectors: 3,
    prefix_bytes_max: 0,
    prefix_samples: 8,
    every: 1,
    nested_every: u64::MAX,
    kill_every: u64::MAX,
};

impl Explored for Run {
    fn trace(&self) -> &Trace {
        &self.trace
    }

    fn counts(path: &Path) -> bool {
        counts(path)
    }

    fn promises(&self, ops: u64) -> u64 {
        self.at(ops).must
    }

    fn found(&self, found: &Found<'_>) -> Result<Option<Run>, String> {
        let (mode, mark, lot) = (self.mode, self.at(found.ops), found.lot);
        let disk = &found.disk;
        if lot % 8 == 1 {
            reads_alone(disk, mark)?;
        }
        let begin = if found.killed { Player::begin_killed } else { Player::begin };
        let mut player = begin(disk, mode, mark, lot)?;
        if player.store.recovery().cut.is_some() {
            found.seen.cuts.fetch_add(1, Ordering::Relaxed);
        }
        let tail = player.tail();
        if lot % 4 == 2 {
            recovers_to_the_same(disk, mode, &player.found)?;
        }
        if !found.goes_on && lot % 4 != 3 {
            return Ok(None);
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
        Ok(found.goes_on.then_some(run))
    }
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

/// Explores runs of a script.
fn explore_script(name: &str, script: impl Fn(u64) -> Result<Run, String>) {
    Plan { name, quick: [QUICK, NESTED], deep: [DEEP, DEEP_NESTED], threads: 1 }.go(script);
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
