//! The fuzz targets as plain tests: over every input in `fuzz/corpus`, and over mutations of them
//! that are the same in every run. What a fuzzer finds goes into the corpus and stays found.
//!
//! The seeds come from the golden store (`cargo test --test fuzz_corpus -- --ignored`), so they are
//! real bytes of the present format.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "fuzz_corpus/beside.rs"]
mod beside;
#[path = "fuzz_corpus/sealed.rs"]
mod sealed;
#[path = "fuzz_corpus/texts.rs"]
mod texts;
#[path = "fuzz_corpus/tier.rs"]
mod tier;
#[path = "../fuzz/wincode.rs"]
mod wincode;
#[path = "fuzz_corpus/worker.rs"]
mod worker;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use annals::fuzzing::{TARGETS, Target, canary};

/// Of each target's inputs; `ANNALS_FUZZ_MUTATIONS` makes them more.
const MUTATIONS: u64 = 2_000;
/// Of a target that opens stores or runs statements, one in so many of these.
const SLOW: &[(&str, u64)] = &[
    ("checkpoint", 10),
    ("control", 40),
    ("flow", 40),
    ("forms", 40),
    ("identity", 10),
    ("import", 10),
    ("plan", 4),
    ("snapshot", 20),
    ("sql", 10),
];
const MEMORY_BYTES_MAX: u64 = 256 << 20;
const CORPUS_BYTES_MAX: u64 = 500_000;

/// Every target: those of the library, and the one that needs more than the library has.
fn targets() -> impl Iterator<Item = (&'static str, Target)> {
    let all: [(&str, Target); 1] = [("wincode", wincode::wincode)];
    TARGETS.iter().copied().chain(all)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The inputs of a target by name, in order.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = root().join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn mutate(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        const NUMBERS: [u64; 10] =
            [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, i64::MAX as u64, u64::MAX];
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(8) {
                0 | 1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                2 if !bytes.is_empty() => bytes[at] = self.next() as u8,
                3 => {
                    let number = NUMBERS[self.below(NUMBERS.len())].wrapping_add(self.next() % 3).to_le_bytes();
                    let width = [1, 2, 4, 8][self.below(4)];
                    bytes.iter_mut().skip(at).zip(&number[..width]).for_each(|(to, from)| *to = *from);
                }
                4 => bytes.truncate(at),
                5 => drop(bytes.drain(at..(at + self.below(64)).min(bytes.len()))),
                6 => {
                    let from = self.below(other.len());
                    let piece = other[from..(from + self.below(128)).min(other.len())].to_vec();
                    drop(bytes.splice(at..at, piece));
                }
                _ => bytes.extend_from_slice(&other[self.below(other.len())..]),
            }
        }
        bytes
    }
}

fn run(name: &str, target: Target, input: &[u8], what: &dyn Fn() -> String) {
    let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
    if outcome.is_err() {
        let found = std::env::temp_dir().join(format!("annals-fuzz-{name}"));
        fs::write(&found, input).unwrap();
        panic!("{name} fails on {}; it is kept as {}", what(), found.display());
    }
}

#[test]
fn no_target_fails() {
    let mutations = std::env::var("ANNALS_FUZZ_MUTATIONS").map_or(MUTATIONS, |count| count.parse().unwrap());
    let only = std::env::var("ANNALS_FUZZ_TARGET").ok();
    for (name, target) in targets().filter(|(name, _)| only.as_ref().is_none_or(|only| only == name)) {
        let corpus = corpus(name);
        assert!(corpus.len() >= 3, "{name} has too few seeds");
        for (path, input) in &corpus {
            run(name, target, input, &|| path.display().to_string());
        }
        let mut random = Random(name.bytes().fold(1, |seed, byte| seed * 31 + u64::from(byte)));
        let slow = SLOW.iter().find(|(slow, _)| *slow == name).map_or(1, |(_, times)| *times);
        for number in 0..mutations / slow {
            let (path, input) = &corpus[random.below(corpus.len())];
            let (_, other) = &corpus[random.below(corpus.len())];
            let mutated = random.mutate(input, other);
            run(name, target, &mutated, &|| format!("mutation {number} of {}", path.display()));
        }
    }
    // All of them together, and what the tests beside them take, in what a fuzzer allows to one.
    if let Some(peak) = peak_memory_bytes() {
        assert!(peak < MEMORY_BYTES_MAX, "{} MiB were taken", peak >> 20);
    }
}

/// The most memory that this process had, where the system tells.
fn peak_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// A target that cannot fail tests nothing; this one must.
#[test]
#[should_panic(expected = "got through all checks, as they should")]
fn the_canary_fails() {
    let corpus = corpus("canary");
    assert!(!corpus.is_empty());
    corpus.iter().for_each(|(_, input)| canary(input));
}

/// It fails only where the checks are passed: so do whole segments and many mutations of them, and
/// not what is no segment.
#[test]
fn the_canary_fails_for_the_right_reason() {
    let dies = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| canary(input))).is_err();
    assert!(!dies(b"") && !dies(&[0; 4096]) && !dies(&[0xFF; 4096]));
    std::panic::set_hook(Box::new(|_| ()));
    let segments = corpus("segment");
    let whole = segments.iter().filter(|(path, _)| path.to_string_lossy().contains("whole"));
    assert!(whole.clone().count() > 0 && whole.clone().all(|(_, input)| dies(input)));
    let mut random = Random(1);
    let (_, input) = whole.clone().next().unwrap();
    let through = (0..100).filter(|_| dies(&random.mutate(input, input))).count();
    drop(std::panic::take_hook());
    assert!(through > 50, "{through} of 100 mutations got through the checks");
}

#[test]
fn every_target_has_its_fuzzer() {
    let names = |directory: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root().join(directory)).unwrap();
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let expected: BTreeSet<String> = targets().map(|(name, _)| name).chain(["canary"]).map(str::to_owned).collect();
    assert_eq!(names("fuzz/fuzz_targets"), expected);
    assert_eq!(names("fuzz/corpus"), expected);
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let mut bytes = 0;
    for name in &expected {
        let path = format!("path = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&format!("name = \"{name}\"\n{path}")), "{name}");
        let source = fs::read_to_string(root().join(format!("fuzz/fuzz_targets/{name}.rs"))).unwrap();
        let called =
            ["annals::fuzzing", "against"].map(|of| format!("fuzz_target!(|data: &[u8]| {of}::{name}(data));"));
        assert!(called.iter().any(|call| source.contains(call)), "{name}");
        bytes += corpus(name).iter().map(|(_, input)| input.len() as u64).sum::<u64>();
    }
    assert!(bytes < CORPUS_BYTES_MAX, "{bytes} bytes of corpus");
}

/// Writes the seeds: pieces of the golden store, whole, cut short and with bits flipped. What else
/// lies in the corpus stays.
#[test]
#[ignore = "writes into fuzz/corpus"]
fn write_seeds() {
    let store = root().join("tests/golden/v1/store");
    let lines = fs::read_to_string(root().join("tests/golden/v1/events.jsonl")).unwrap();
    let read = |name: &Path| fs::read(name).unwrap();
    let mut log: Vec<PathBuf> = fs::read_dir(store.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    log.sort();
    for path in log {
        let (name, file) =
            (path.file_stem().unwrap().to_string_lossy().trim_start_matches('0').to_owned(), read(&path));
        if path.extension().is_some_and(|extension| extension == "raw") {
            segment_seeds(&name, &file);
        } else {
            let space: Vec<u8> = file[4096..].chunks(4096).flat_map(|page| &page[..4064]).copied().collect();
            let input = [&file[..304], &space[..]].concat();
            seed("idx", &format!("whole-{name}"), &input);
            damaged("idx", &name, &input);
            seed("page", &format!("idx-{name}"), &[&[3], &file[..304]].concat());
        }
    }
    let anchor = read(&store.join("ANCHOR"));
    seed("page", "anchor-0", &[&[2], &anchor[..2144]].concat());
    seed("page", "anchor-1", &[&[6], &anchor[4096..4096 + 2144]].concat());
    seed("inspect", "anchor", &[&[4], &anchor[..2144]].concat());
    let live = read(&store.join("LIVE"));
    seed("live", "whole", &live[..264]);
    damaged("live", "whole", &live[..264]);
    seed("inspect", "live", &[&[5], &live[..264]].concat());
    seed("inspect", "lock", &[&[6], &read(&store.join("LOCK"))[..]].concat());

    for (number, line) in lines.lines().enumerate().step_by(4) {
        seed("json", &format!("event-{number}"), line.as_bytes());
    }
    for (name, line) in [
        (
            "plain",
            r#"{"id":"1","type":"note.created","subject":"n-1","subject_type":"note","actor":"alice","time":"2015-01-01T00:00:00Z","data":{"a":[1,2.50e3,null,"\u00e9\ud83d\ude00"]}}"#,
        ),
        ("nested", r#"{"type":"t","subject":"k/i","data":[[[[[[[[{"a":{"b":[]}}]]]]]]]]}"#),
        (
            "base64",
            r#"{"type":"t","subject":"k/i","datacontenttype":"application/octet-stream","data_base64":"AAEC/w=="}"#,
        ),
        (
            "meta",
            r#"{"type":"t","subject":"k/i","annalsmeta":[[0,"id","x"],[1,"id","y"]],"traceparent":"00-1","n":1.0,"b":true}"#,
        ),
        (
            "none",
            r#"{"type":"t","subject":"k/i","source":"annals:none~~","tags":["a","b"],"causationid":"17","sequence":"00000000000000000018"}"#,
        ),
        ("twice", r#"{"type":"t","type":"u","subject":"k/i"}"#),
        ("broken", r#"{"type":"t","subject":"k/i","data":"#),
    ] {
        seed("json", name, line.as_bytes());
    }
    sealed::write_seeds(&store);
    tier::write_seeds();
    worker::write_seeds();
    beside::write_seeds(&store);
    texts::write_seeds(&lines);
    let golden = annals::Store::options().read_only(true).open(&store).unwrap();
    for position in [1, 2, 5] {
        let json = golden.receipt(position, None).unwrap().to_json();
        seed("receipt", &format!("whole-{position}"), json.as_bytes());
        damaged("receipt", &position.to_string(), json.as_bytes());
        let wire: serde_json::Value = serde_json::from_str(&json).unwrap();
        let digits = wire["metadata"].as_str().unwrap();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
        seed("receipt", &format!("metadata-{position}"), &bytes);
    }

    for (name, text) in [
        ("one", "notes.*.validated\nnotes.update.validated"),
        ("two", "note.**\nnote.a.b"),
        ("literal", "a.\\*.b\na.*.b"),
        ("empty", "\n"),
        ("odd", "**.a..*\\*\n.a..*"),
    ] {
        seed("pattern", name, text.as_bytes());
    }
    for (name, text) in [
        ("rfc", "2026-01-02T03:04:05.678901234+01:00"),
        ("date", "2016-02-29"),
        ("back", "-2h"),
        ("yesterday", "yesterday 14:00"),
        ("least", "1677-09-21T00:12:43.145224192Z"),
        ("duration", "1d 2h 3m 4.5s"),
    ] {
        seed("time", name, &[&1_767_323_045_000_000_000i64.to_le_bytes(), text.as_bytes()].concat());
    }
}

fn seed(target: &str, name: &str, bytes: &[u8]) {
    let directory = root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(name), bytes).unwrap();
}

/// The same cut short, and with a bit flipped.
fn damaged(target: &str, name: &str, bytes: &[u8]) {
    let mut random = Random(bytes.len() as u64);
    seed(target, &format!("short-{name}"), &bytes[..bytes.len() * 2 / 3]);
    let mut flipped = bytes.to_vec();
    flipped[random.below(bytes.len())] ^= 1 << random.below(8);
    seed(target, &format!("flipped-{name}"), &flipped);
}

fn segment_seeds(name: &str, file: &[u8]) {
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let end = file.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
    let end = end.max(12_288).next_multiple_of(64).min(file.len());
    let heads = [&file[..96], &file[4096..4096 + 104], &file[8192..8192 + 104]].concat();
    let whole = [&heads[..], &file[12_288..end]].concat();
    seed("segment", &format!("whole-{name}"), &whole);
    damaged("segment", name, &whole);
    seed("part", &format!("all-{name}"), &[&[0], &whole[..]].concat());
    seed("part", &format!("some-{name}"), &[&[7], &whole[..whole.len().min(5_000)]].concat());
    seed("inspect", &format!("raw-{name}"), &[&[0], &file[..200]].concat());
    seed("page", &format!("header-{name}"), &[&[0], &file[..96]].concat());
    seed("page", &format!("slot-{name}"), &[&[1], &file[4096..4096 + 104]].concat());
    let mut at = 12_288;
    while at + 64 <= end {
        let (flags, body_len, count) = (file[at + 5], number(at + 8), number(at + 12));
        let each = if flags & 16 != 0 { 24 } else { 16 };
        let body_at = at + 64 + count * each + if flags & 32 != 0 { 8 } else { 0 };
        let next = (body_at + body_len).next_multiple_of(64);
        seed("frame", &format!("{name}-{at}"), &file[at..next]);
        let mut start = 0;
        if flags & 64 != 0 {
            start = number(body_at);
            let prelude = &file[body_at..body_at + start];
            seed("prelude", &format!("whole-{name}-{at}"), prelude);
            damaged("prelude", &format!("{name}-{at}"), prelude);
        }
        let record_end = number(at + 64 + 8);
        let record = &file[body_at + start..body_at + record_end];
        seed("record", &format!("{name}-{at}"), record);
        if record_end % 5 == 0 {
            damaged("record", &format!("{name}-{at}"), record);
        }
        if at == 12_288 {
            seed("canary", &format!("whole-{name}"), &[&heads[..], &file[at..next]].concat());
        }
        at = next;
    }
}
