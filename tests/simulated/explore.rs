//! Goes through a played run: at every moment of it the disks are built that a power cut may leave, and each that is
//! new is checked.
//!
//! Where few things wait to become durable, every subset of them is a disk; where many do, choices are drawn. A disk
//! that was seen before is checked again if more was promised since. A violation says where its disk comes from, in a
//! form that `ANNALS_CRASH_ONLY` takes to build that one disk again and check it alone.

use std::collections::HashSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use annals::sim::{Crash, Op, Replay, SimStorage, Storage, Trace};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Dice;

/// How much is tried at each operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Up to this many things that wait, every subset of them is tried.
    pub(crate) all_things_max: u32,
    /// Random subsets where there are more.
    pub(crate) things: u64,
    /// Random choices of what survives, older versions of sectors among it.
    pub(crate) random: u64,
    /// Random subsets of dirty sectors, with all names.
    pub(crate) sectors: u64,
    /// Writes up to this many bytes are cut at every byte.
    pub(crate) prefix_bytes_max: u64,
    /// Longer ones at so many places, and on both sides of each border of a sector.
    pub(crate) prefix_samples: u64,
    /// One in so many operations is looked at.
    pub(crate) every: u64,
    /// One in so many found disks is a run of its own, and the power goes again in it.
    pub(crate) nested_every: u64,
    /// After one in so many operations the process is killed instead.
    pub(crate) kill_every: u64,
}

/// A played run that can be cut anywhere.
pub(crate) trait Explored: Sync + Sized {
    fn trace(&self) -> &Trace;

    /// Whether a file means anything after a power cut.
    fn counts(path: &Path) -> bool;

    /// A number that changes whenever something more was promised.
    fn promises(&self, ops: u64) -> u64;

    /// Checks a disk. If it is to be gone on with, the run that this was.
    fn found(&self, found: &Found<'_>) -> Result<Option<Self>, String>;
}

/// A disk that was found.
pub(crate) struct Found<'a> {
    pub(crate) disk: Arc<SimStorage>,
    /// After so many operations of the run.
    pub(crate) ops: u64,
    /// Nothing was lost but the process.
    pub(crate) killed: bool,
    /// Decides what is tried beyond recovering it.
    pub(crate) lot: u64,
    /// Whether a run is made of it, in which the power goes again.
    pub(crate) goes_on: bool,
    pub(crate) seen: &'a Seen,
}

/// What becomes of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Crash(Crash),
    /// A subset of what waits: names, lengths and sectors.
    Things(u64),
    Killed,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Crash(Crash::None) => f.write_str("none"),
            Choice::Crash(Crash::All) => f.write_str("all"),
            Choice::Crash(Crash::Random(seed)) => write!(f, "random-{seed}"),
            Choice::Crash(Crash::PrefixBytes(bytes)) => write!(f, "prefix-{bytes}"),
            Choice::Crash(Crash::Sectors(mask)) => write!(f, "sectors-{mask}"),
            Choice::Things(mask) => write!(f, "things-{mask}"),
            Choice::Killed => f.write_str("killed"),
        }
    }
}

impl Choice {
    fn parse(text: &str) -> Option<Choice> {
        let (name, number) = text.split_once('-').unwrap_or((text, "0"));
        let number = number.parse().ok()?;
        Some(match name {
            "none" => Choice::Crash(Crash::None),
            "all" => Choice::Crash(Crash::All),
            "random" => Choice::Crash(Crash::Random(number)),
            "prefix" => Choice::Crash(Crash::PrefixBytes(number)),
            "sectors" => Choice::Crash(Crash::Sectors(number)),
            "things" => Choice::Things(number),
            "killed" => Choice::Killed,
            _ => return None,
        })
    }

    fn disk(self, replay: &Replay<'_>, counts: fn(&Path) -> bool) -> Arc<SimStorage> {
        match self {
            Choice::Crash(crash) => replay.crash(crash),
            Choice::Things(mask) => replay.crash_things(mask, &counts),
            Choice::Killed => replay.kill(),
        }
    }
}

/// What was seen by all threads of all explorations of a test.
#[derive(Default)]
pub(crate) struct Seen {
    digests: Mutex<HashSet<u64>>,
    /// Disks, each with what had been promised when it was checked.
    checked: Mutex<HashSet<u64>>,
    pub(crate) cuts: AtomicU64,
    /// Disks on which everything was opened again.
    pub(crate) opened: AtomicU64,
    nested: AtomicU64,
    kills: AtomicU64,
    violations: Mutex<Vec<String>>,
    /// Enough was seen.
    enough: AtomicBool,
}

impl Seen {
    /// Whether a disk has to be checked. `run` tells apart what different runs promise.
    fn is_due(&self, digest: u64, promises: u64, is_nested: bool, run: u64) -> bool {
        let is_new = self.digests.lock().unwrap().insert(digest);
        if is_new && is_nested {
            self.nested.fetch_add(1, Ordering::Relaxed);
        }
        self.checked.lock().unwrap().insert(xxh3_64_with_seed(&promises.to_le_bytes(), digest ^ run))
    }

    pub(crate) fn states(&self) -> usize {
        self.digests.lock().unwrap().len()
    }

    fn report(&self, what: &str, begun: Instant) {
        let violations = self.violations.lock().unwrap();
        println!(
            "{what}: {} distinct disks after power cuts, {} of them found in the midst of recovery, {} after kills; \
             everything was opened again on {}; {} tails were cut; {:.1} s; {} violations",
            self.states(),
            self.nested.load(Ordering::Relaxed),
            self.kills.load(Ordering::Relaxed),
            self.opened.load(Ordering::Relaxed),
            self.cuts.load(Ordering::Relaxed),
            begun.elapsed().as_secs_f64(),
            violations.len(),
        );
        assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
    }

    fn violated(&self, text: String) {
        let mut violations = self.violations.lock().unwrap();
        if violations.len() < 20 {
            violations.push(text);
        }
    }

    fn is_over(&self) -> bool {
        self.enough.load(Ordering::Relaxed) || self.violations.lock().unwrap().len() >= 20
    }
}

/// The choices of what survives, after an operation. `changed` says that the operation did something to the disk, and
/// not only to what was promised.
fn choices<R: Explored>(replay: &Replay<'_>, op: Option<&Op>, effort: &Effort, dice: &mut Dice) -> Vec<Choice> {
    let mut choices = vec![Choice::Crash(Crash::None), Choice::Crash(Crash::All)];
    if matches!(op, Some(Op::StoreWord { .. })) {
        return choices;
    }
    // A file that gets its name when it is whole is not worth as much as one that is read as it stands.
    let temporary = |path: &Path| path.extension().is_some_and(|extension| extension == "tmp");
    let is_temporary = matches!(op, Some(Op::Write { file, .. }) if replay.is_named(*file, &temporary));
    let less = if is_temporary { 8 } else { 1 };
    choices.extend((0..effort.random.div_ceil(less)).map(|_| Choice::Crash(Crash::Random(dice.roll()))));
    let things = replay.dirty_things(&R::counts) as u32;
    if things <= effort.all_things_max {
        choices.extend((0..1u64 << things).map(Choice::Things));
    } else {
        choices.extend((0..effort.things.div_ceil(less)).map(|_| Choice::Things(dice.roll())));
    }
    if replay.dirty_sectors() > 1 {
        choices.extend((0..effort.sectors.div_ceil(less)).map(|_| Choice::Crash(Crash::Sectors(dice.roll()))));
    }
    if let Some(Op::Write { offset, bytes, .. }) = op {
        let len = bytes.len() as u64;
        let prefix = |bytes| Choice::Crash(Crash::PrefixBytes(bytes));
        if len <= effort.prefix_bytes_max && !is_temporary {
            choices.extend((1..len).map(prefix));
        } else if len > 1 {
            let samples = effort.prefix_samples.div_ceil(less);
            choices.extend((0..samples).map(|_| prefix(1 + dice.below(len - 1))));
            let border = 512 - offset % 512;
            let borders = (border..len).step_by(512).flat_map(|at| [at - 1, at, at + 1]);
            choices.extend(borders.take(samples as usize).map(prefix));
        }
    }
    choices
}

/// Where a disk comes from, to be built again: `RUN/OPERATIONS CHOICE LOT/..`.
fn origin(run: &str, ops: u64, choice: Choice, lot: u64) -> String {
    format!("{run}/{ops} {choice} {lot}")
}

/// An operation without its bytes.
fn brief(op: &Op) -> String {
    match op {
        Op::Write { file, offset, bytes } => format!("write {file:?} {offset} {}", bytes.len()),
        Op::StoreWord { file, index, .. } => format!("word {file:?} {index}"),
        op => format!("{op:?}"),
    }
}

/// All files of a disk with their lengths.
fn list(disk: &SimStorage, directory: &Path, told: &mut dyn FnMut(&Path, u64)) {
    for entry in disk.list(directory).unwrap_or_default() {
        let path = directory.join(&entry.name);
        if entry.is_dir { list(disk, &path, told) } else { told(&path, entry.len) }
    }
}

/// What the operations of a run look like; two runs of one shape are the same but for times and process numbers.
fn shape(trace: &Trace) -> u64 {
    trace.ops().iter().fold(0, |hash, op| xxh3_64_with_seed(brief(op).as_bytes(), hash))
}

struct Exploration<'a> {
    effort: &'a Effort,
    nested: Option<&'a Effort>,
    seen: &'a Seen,
    seed: u64,
}

impl Exploration<'_> {
    /// Goes through the operations of a run whose number is `part.0` modulo `part.1`.
    fn part<R: Explored>(&self, run: &R, name: &str, part: (u64, u64)) {
        let (effort, seen) = (self.effort, self.seen);
        let mut replay = run.trace().replay();
        let run_number = xxh3_64_with_seed(name.as_bytes(), 0);
        let mut op = None;
        let mut promised = None;
        loop {
            let ops = replay.done();
            let is_mine = ops % part.1 == part.0 && (ops / part.1).is_multiple_of(effort.every);
            let promises = run.promises(ops);
            let is_news = promised.replace(promises) != Some(promises);
            let changed = !matches!(op, Some(Op::StoreWord { .. }));
            if (is_news || changed) && is_mine && !seen.is_over() {
                let mut dice = Dice(self.seed ^ ops.rotate_left(40));
                for choice in choices::<R>(&replay, op.as_ref(), effort, &mut dice) {
                    let disk = choice.disk(&replay, R::counts);
                    if !seen.is_due(disk.digest_of(R::counts), promises, self.nested.is_none(), run_number) {
                        continue;
                    }
                    let lot = dice.roll();
                    let goes_on = self.nested.is_some() && (lot >> 32).is_multiple_of(effort.nested_every);
                    self.check(run, name, choice, Found { disk, ops, killed: false, lot, goes_on, seen });
                }
                // A kill loses nothing, so the next process has in its hands what is not durable yet.
                if self.nested.is_some() && dice.below(effort.kill_every) == 0 {
                    seen.kills.fetch_add(1, Ordering::Relaxed);
                    let (disk, lot) = (replay.kill(), dice.roll());
                    let goes_on = (lot >> 32).is_multiple_of((effort.nested_every / 40).max(1));
                    self.check(run, name, Choice::Killed, Found { disk, ops, killed: true, lot, goes_on, seen });
                }
            }
            match replay.advance() {
                Some(done) => op = Some(done.clone()),
                None => return,
            }
        }
    }

    fn check<R: Explored>(&self, run: &R, name: &str, choice: Choice, found: Found<'_>) {
        let origin = origin(name, found.ops, choice, found.lot);
        let seed = found.lot;
        match guarded(|| run.found(&found)) {
            Err(why) => self.seen.violated(format!("ANNALS_CRASH_ONLY='{origin}': {why}")),
            Ok(Some(inner)) => {
                if let Some(nested) = self.nested {
                    let deeper = Exploration { effort: nested, nested: None, seen: self.seen, seed };
                    deeper.part(&inner, &origin, (0, 1));
                }
            }
            Ok(None) => {}
        }
    }
}

/// A panic is a violation too.
pub(crate) fn guarded<T>(check: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("panic: {}", text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?")))
    })
}

/// A script, and how much of what it leaves is tried.
pub(crate) struct Plan<'a> {
    pub(crate) name: &'a str,
    /// In every run of the tests, and in a recovery there.
    pub(crate) quick: [Effort; 2],
    /// The same when a number of states is asked for.
    pub(crate) deep: [Effort; 2],
    /// Threads for each processor; more than one where checks wait.
    pub(crate) threads: u64,
}

impl Plan<'_> {
    /// Goes through all operations of a run, on all processors.
    fn explore<R: Explored>(&self, run: &R, seed: u64, efforts: &[Effort; 2], seen: &Seen) {
        let name = format!("{} {seed}#{:016x}", self.name, shape(run.trace()));
        let exploration = Exploration { effort: &efforts[0], nested: Some(&efforts[1]), seen, seed };
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
        let threads = processors * self.threads;
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (exploration, name) = (&exploration, &name);
                scope.spawn(move || exploration.part(run, name, (thread, threads)));
            }
        });
    }

    /// Explores runs of the script: one with little effort, or with great effort as many as it takes.
    pub(crate) fn go<R: Explored>(&self, script: impl Fn(u64) -> Result<R, String>) {
        if let Ok(only) = std::env::var("ANNALS_CRASH_ONLY") {
            return self.again(&only, script);
        }
        let begun = Instant::now();
        let seen = Seen::default();
        let wanted = std::env::var("ANNALS_CRASH_STATES").ok().map(|text| text.parse::<usize>().unwrap());
        match wanted {
            None => {
                let run = script(1).unwrap();
                println!("{}: a run of {} operations", self.name, run.trace().ops().len());
                self.explore(&run, 1, &self.quick, &seen);
            }
            Some(wanted) => {
                for seed in 1.. {
                    let run = script(seed).unwrap();
                    self.explore(&run, seed, &self.deep, &seen);
                    let (states, seconds) = (seen.states(), begun.elapsed().as_secs_f64());
                    println!(
                        "{} {seed}: {} operations, {states} states, {seconds:.0} s",
                        self.name,
                        run.trace().ops().len()
                    );
                    if states >= wanted || seen.is_over() {
                        break;
                    }
                }
            }
        }
        seen.report(self.name, begun);
        assert!(seen.states() > 500, "too little was explored for the test to mean anything");
    }

    /// Builds one disk again, as a violation names it, and checks it.
    fn again<R: Explored>(&self, only: &str, script: impl Fn(u64) -> Result<R, String>) {
        let (name, steps) = only.split_once('/').expect("RUN/OPERATIONS CHOICE LOT");
        let (run, wanted) = name.split_once('#').expect("NAME SEED#SHAPE");
        let Some(seed) = run.strip_prefix(self.name).and_then(|seed| seed.trim().parse().ok()) else { return };
        // Threads may have taken turns otherwise.
        let mut run = script(seed).unwrap();
        for _ in 0..30 {
            if format!("{:016x}", shape(run.trace())) == wanted {
                break;
            }
            run = script(seed).unwrap();
        }
        println!("{name}: the shape is now {:016x}", shape(run.trace()));
        let seen = Seen::default();
        let mut steps = steps.split('/').peekable();
        while let Some(step) = steps.next() {
            let mut parts = step.split(' ');
            let ops: u64 = parts.next().unwrap().parse().unwrap();
            let choice = parts.next().and_then(Choice::parse).expect("a choice");
            let lot = parts.next().unwrap().parse().unwrap();
            let mut replay = run.trace().replay();
            while replay.done() < ops && replay.advance().is_some() {}
            let disk = choice.disk(&replay, R::counts);
            let (killed, goes_on) = (choice == Choice::Killed, steps.peek().is_some());
            println!("after {ops} operations, {choice}. The last of them, and what is found:");
            let last = ops.saturating_sub(20) as usize..(ops as usize).min(run.trace().ops().len());
            run.trace().ops()[last].iter().for_each(|op| println!("  {}", brief(op)));
            list(&disk, Path::new(""), &mut |path, len| println!("  {} {len}", path.display()));
            let inner = guarded(|| run.found(&Found { disk, ops, killed, lot, goes_on, seen: &seen })).unwrap();
            match inner {
                Some(inner) => run = inner,
                None => break,
            }
        }
        println!("{only}: nothing is wrong with it");
    }
}
