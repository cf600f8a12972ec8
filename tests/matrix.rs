//! The damage of every kind at every place of a whole store: each bit flipped, each length cut, each sector zeroed,
//! exchanged with another or put back to what it was, each file missing, put back or another store's. Whatever it is, it
//! is detected or harmless: an error, or exactly the answers of the store as it was; never others in silence.
//!
//! By default a share of the places; `ANNALS_FLIPS=all cargo test --release --test matrix -- --nocapture` goes to all of
//! them, which takes half an hour; `ANNALS_FLIPS=37` to every 37th bit and length, and to all sectors and files.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "common/detected.rs"]
#[allow(unreachable_pub, reason = "each test file uses its part of it")]
mod detected;
#[path = "matrix/made.rs"]
mod made;
#[path = "common/sim.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]
mod sim;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use annals::sim::{SimStorage, Storage as _};
use detected::DETECTED;
use made::{Answer, Answers, Made, WORKERS, ask, ask_writer, files, project};

const SECTOR: usize = 512;

/// What is done to a file.
#[derive(Debug, Clone)]
enum Damage {
    Bit(usize),
    Cut(usize),
    Zeroed(usize),
    /// Of two sectors of this file, or of this one and another.
    Exchanged(usize, PathBuf, usize),
    /// A sector as it was when the store was closed before.
    SectorOfBefore(usize),
    FileOfBefore,
    ForeignFile,
    Deleted,
}

impl Damage {
    fn kind(&self) -> &'static str {
        match self {
            Damage::Bit(_) => "bits flipped",
            Damage::Cut(_) => "lengths cut",
            Damage::Zeroed(_) => "sectors zeroed",
            Damage::Exchanged(..) => "sectors exchanged",
            Damage::SectorOfBefore(_) => "sectors put back",
            Damage::FileOfBefore => "files put back",
            Damage::ForeignFile => "files of another store",
            Damage::Deleted => "files deleted",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Detected,
    /// What docs/guarantees.md names under "What remains"; see [`Case::may_be_believed`].
    Believed,
    Harmless,
}

struct Case {
    file: PathBuf,
    damage: Damage,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.file.display(), self.damage)
    }
}

/// The files of the store and of the two others.
struct Bytes {
    now: BTreeMap<PathBuf, Vec<u8>>,
    before: BTreeMap<PathBuf, Vec<u8>>,
    foreign: BTreeMap<PathBuf, Vec<u8>>,
}

fn sector(bytes: &[u8], sector: usize) -> &[u8] {
    &bytes[sector * SECTOR..((sector + 1) * SECTOR).min(bytes.len())]
}

impl Case {
    /// The disk with the damage.
    fn disk(&self, made: &Made, bytes: &Bytes) -> Arc<SimStorage> {
        let disk = made.disk.snapshot();
        let file = &self.file;
        let now = &bytes.now[file];
        let replace = |with: &[u8]| {
            sim::truncate(&disk, file, 0);
            sim::write(&disk, file, 0, with);
        };
        match &self.damage {
            Damage::Bit(bit) => sim::write(&disk, file, (bit / 8) as u64, &[now[bit / 8] ^ (1 << (bit % 8))]),
            Damage::Cut(len) => sim::truncate(&disk, file, *len as u64),
            Damage::Zeroed(at) => {
                let zeros = vec![0; sector(now, *at).len()];
                sim::write(&disk, file, (at * SECTOR) as u64, &zeros);
            }
            Damage::Exchanged(at, other, there) => {
                sim::write(&disk, file, (at * SECTOR) as u64, sector(&bytes.now[other], *there));
                sim::write(&disk, other, (there * SECTOR) as u64, sector(now, *at));
            }
            Damage::SectorOfBefore(at) => {
                sim::write(&disk, file, (at * SECTOR) as u64, sector(&bytes.before[file], *at));
            }
            Damage::FileOfBefore => replace(&bytes.before[file]),
            Damage::ForeignFile => replace(&bytes.foreign[file]),
            Damage::Deleted => disk.remove(file).unwrap(),
        }
        disk
    }

    fn is_of(&self, directory: &str) -> bool {
        self.file.starts_with(directory)
    }

    /// Whether it may look like something that is right: a worker's file that is gone or older is believed, and a last
    /// write of it that lost whole sectors looks like one that never ended (docs/guarantees.md, "What remains").
    fn may_be_believed(&self, bytes: &Bytes) -> bool {
        let last_write = |file: &Path, at: usize| {
            let now = &bytes.now[file];
            let has_entries = |at: &usize| now[*at..].starts_with(b"WFRM") && now[at + 8..at + 12] != [0; 4];
            let last = (SECTOR..now.len()).step_by(64).rfind(has_entries);
            file.starts_with("workers") && last.is_some_and(|last| at >= last / SECTOR)
        };
        match &self.damage {
            Damage::Deleted | Damage::FileOfBefore => self.is_of("workers"),
            Damage::Zeroed(at) | Damage::SectorOfBefore(at) => last_write(&self.file, *at),
            Damage::Exchanged(at, other, there) => last_write(&self.file, *at) || last_write(other, *there),
            Damage::Bit(_) | Damage::Cut(_) | Damage::ForeignFile => false,
        }
    }

    /// Whether the same is told as before, or an error, question by question.
    fn same(&self, made: &Made, bytes: &Bytes, found: &Answers) -> Result<Verdict, String> {
        let expected = &made.expected;
        let (mut silent, mut verdict) = (Vec::new(), Verdict::Harmless);
        let mut judge = |question: &str, is_right: bool, answer: &Answer| {
            let judged = match answer {
                Err(kind) if is_right && DETECTED.contains(kind) => Verdict::Detected,
                Ok(_) if is_right => Verdict::Harmless,
                Ok(_) if question == WORKERS && self.may_be_believed(bytes) => Verdict::Believed,
                _ => return silent.push(format!("{question}: {answer:?}")),
            };
            verdict = verdict.min(judged);
        };
        let (scanned, end) = &found.scan;
        let is_right = if end.is_ok() { found.scan == expected.scan } else { expected.scan.0.starts_with(scanned) };
        judge("a scan", is_right, end);
        let (good, end, is_damaged) = &found.good;
        let mut all = expected.scan.0.iter();
        let is_right =
            if *is_damaged { good.iter().all(|event| all.any(|one| one == event)) } else { *good == expected.good.0 };
        judge("a scan of what is good", is_right, end);
        for (question, answer) in &found.asked {
            judge(question, answer.is_err() || *answer == expected.asked[question], answer);
        }
        if *is_damaged {
            verdict = verdict.min(Verdict::Detected);
        }
        if silent.is_empty() { Ok(verdict) } else { Err(format!("silent: {}", silent.join("; "))) }
    }

    fn judge(&self, made: &Made, bytes: &Bytes) -> Result<Verdict, String> {
        let disk = self.disk(made, bytes);
        let detected = |error: annals::Error| {
            if DETECTED.contains(&error.kind()) { Ok(Verdict::Detected) } else { Err(format!("{error:?}")) }
        };
        let reading = ask(&disk).map_or_else(detected, |found| self.same(made, bytes, &found))?;
        // Of a byte, one bit also as the next writer sees it; of all else, all.
        if let Damage::Bit(bit) = self.damage
            && bit % 8 != (bit / 8) % 8
        {
            return Ok(reading);
        }
        let wanted = disk.snapshot();
        let writing = ask_writer(&disk).map_or_else(detected, |found| self.same(made, bytes, &found))?;
        if self.is_of("projections") {
            let (kept, naive) = project(&wanted).map_err(|error| format!("{error:?}"))?;
            if kept != naive {
                return Err(format!("silent: a projection comes to {kept:?}, a fold to {naive:?}"));
            }
        }
        Ok(reading.min(writing))
    }
}

/// Damage of every `stride`-th bit and length and of all sectors and files, or a small share of it.
fn cases(bytes: &Bytes, stride: Option<usize>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (index, (file, now)) in bytes.now.iter().enumerate() {
        let mut add = |damage| cases.push(Case { file: file.clone(), damage });
        let step = |places: usize, wanted: usize| stride.unwrap_or((places / wanted).max(1));
        let bits = now.len() * 8;
        (0..bits).step_by(step(bits, 160)).for_each(|bit| add(Damage::Bit(bit)));
        // What stands first in a file, and first on its pages, more densely.
        if stride.is_none() {
            let dense = [0, 4096, 8192, 12_288].into_iter().flat_map(|at| (at * 8..(at + 128) * 8).step_by(37));
            dense.filter(|bit| *bit < bits).for_each(|bit| add(Damage::Bit(bit)));
        }
        (0..now.len()).step_by(step(now.len(), 40)).for_each(|len| add(Damage::Cut(len)));
        let sectors = now.len().div_ceil(SECTOR);
        let (other, others) = bytes.now.iter().nth((index + 1) % bytes.now.len()).unwrap();
        for at in (0..sectors).step_by(if stride.is_some() { 1 } else { step(sectors, 24) }) {
            if sector(now, at).iter().any(|byte| *byte != 0) {
                add(Damage::Zeroed(at));
            }
            let there = (at * 7 + 5) % sectors;
            let whole = |bytes: &[u8], at: usize| bytes.len() >= (at + 1) * SECTOR;
            if whole(now, at) && whole(now, there) && sector(now, at) != sector(now, there) {
                add(Damage::Exchanged(at, file.clone(), there));
            }
            if whole(now, at) && whole(others, at) && sector(now, at) != sector(others, at) {
                add(Damage::Exchanged(at, other.clone(), at));
            }
        }
        if let Some(before) = bytes.before.get(file).filter(|before| *before != now) {
            add(Damage::FileOfBefore);
            let sectors = before.len().min(now.len()) / SECTOR;
            let differs = |at: &usize| sector(before, *at) != sector(now, *at);
            (0..sectors).filter(differs).for_each(|at| add(Damage::SectorOfBefore(at)));
        }
        if bytes.foreign.get(file).is_some_and(|foreign| foreign != now) {
            add(Damage::ForeignFile);
        }
        add(Damage::Deleted);
    }
    cases
}

#[test]
fn no_damage_at_any_place_is_silent() {
    let stride = std::env::var("ANNALS_FLIPS").ok().map(|what| match what.as_str() {
        "all" => 1,
        other => other.parse().expect("ANNALS_FLIPS is `all` or a number"),
    });
    let made = Made::new();
    let bytes = Bytes { now: files(&made.disk), before: files(&made.older), foreign: files(&made.foreign) };
    for part in ["log", "snapshots", "projections", "workers"] {
        assert!(bytes.now.keys().any(|path| path.starts_with(part)), "the store has no {part}");
    }
    let cases = cases(&bytes, stride);
    let begun = std::time::Instant::now();
    let (next, threads) = (AtomicUsize::new(0), std::thread::available_parallelism().map_or(1, usize::from));
    let results: Vec<_> = std::thread::scope(|scope| {
        let work = || {
            let (mut counts, mut silent) = (BTreeMap::<(&str, Verdict), u64>::new(), Vec::new());
            while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                let judged = catch_unwind(AssertUnwindSafe(|| case.judge(&made, &bytes)));
                match judged.unwrap_or_else(|_| Err("a panic".to_owned())) {
                    Ok(verdict) => *counts.entry((case.damage.kind(), verdict)).or_default() += 1,
                    Err(why) => silent.push(format!("{case}: {}", why.chars().take(400).collect::<String>())),
                }
            }
            (counts, silent)
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (mut counts, mut silent) = (BTreeMap::<(&str, Verdict), u64>::new(), Vec::new());
    for (part, why) in results {
        part.into_iter().for_each(|(kind, count)| *counts.entry(kind).or_default() += count);
        silent.extend(why);
    }
    let total: usize = bytes.now.values().map(Vec::len).sum();
    for ((kind, verdict), count) in &counts {
        println!("{kind:<24} {:<10} {count}", format!("{verdict:?}").to_lowercase());
    }
    println!(
        "{} files of {total} bytes: {} cases, {} silent; {:.1} s",
        bytes.now.len(),
        cases.len(),
        silent.len(),
        begun.elapsed().as_secs_f64()
    );
    assert!(silent.is_empty(), "{} are silent, such as\n{}", silent.len(), silent[..silent.len().min(10)].join("\n"));
    let of = |wanted| counts.iter().filter(|((_, verdict), _)| *verdict == wanted).map(|(_, count)| count).sum::<u64>();
    assert!(of(Verdict::Detected) > 500 && of(Verdict::Harmless) > 100);
    assert!(of(Verdict::Believed) < 20, "more is believed than a last write and a file");
}

/// The list of what is done must have something of each kind in it, or the test would be silent itself.
#[test]
fn there_is_damage_of_every_kind() {
    let made = Made::new();
    let bytes = Bytes { now: files(&made.disk), before: files(&made.older), foreign: files(&made.foreign) };
    let kinds: std::collections::BTreeSet<_> = cases(&bytes, None).iter().map(|case| case.damage.kind()).collect();
    assert_eq!(kinds.len(), 8, "{kinds:?}");
    assert!(bytes.now.contains_key(Path::new("workers/told.log")));
}
