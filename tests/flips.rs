//! Damage to a small store: flipped bits, cut files, zeroed and exchanged sectors, files that are missing or
//! another store's. Whatever it is, it is detected or harmless: an error, or exactly the events that were
//! acknowledged; never others, never fewer in silence.
//!
//! By default every 97th bit is flipped and as much again in the places that matter most; with
//! `ANNALS_FLIPS=all` every single one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/detected.rs"]
#[allow(unreachable_pub, reason = "each test file uses its part of it")]
mod detected;
#[path = "flips/sealed.rs"]
mod sealed;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use annals::{Actor, Append, NewEvent, Query, Store};
use detected::DETECTED;

/// Everything of a store that a reader can ask for, one line an event.
type Events = Vec<String>;

struct Golden {
    _directory: tempfile::TempDir,
    root: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
    events: Events,
    /// Closed in order, so that everything in it is proven durable.
    closed: bool,
}

fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn event(number: u64) -> NewEvent {
    let text = format!("{{\"n\":{number},\"text\":\"{}\"}}", "lorem ipsum ".repeat(number as usize % 7));
    let event = NewEvent::bytes(
        format!("note.kind{}", number % 5),
        format!("note/n-{}", number % 17),
        "application/json",
        text,
    )
    .actor(Actor::agent("scribe").on_behalf_of("alice"))
    .tag("workspace:7")
    .source("test");
    if number.is_multiple_of(3) { event.id(format!("id-{number}")) } else { event.meta("m", "v") }
}

fn files_of(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).unwrap().chain(std::fs::read_dir(root.join("log")).unwrap()) {
        let path = entry.unwrap().path();
        if path.is_file() && !path.ends_with("LOCK") {
            let relative = path.strip_prefix(root).unwrap().to_owned();
            found.push((relative, std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// Three segments and more: full ones with their index, and one that takes appends.
fn golden(closed: bool) -> Golden {
    let directory = scratch();
    let root = directory.path().join("store");
    let store = Store::options().segment_bytes(64 << 10).sealing(false).open(&root).unwrap();
    let mut number = 0;
    while store.segments().len() < 3 || number < 520 {
        let batch = 1 + number % 4;
        let append = Append::new((number..number + batch).map(event));
        let append = if number % 5 == 0 { append.key(format!("key-{number}")) } else { append };
        store.append_with(append).unwrap();
        number += batch;
    }
    let events = read_all(&store).unwrap();
    let files = if closed {
        store.close().unwrap();
        files_of(&root)
    } else {
        // What a killed writer leaves: the files as they stand, but not what LIVE says of this boot.
        let files = files_of(&root).into_iter().filter(|(path, _)| !path.ends_with("LIVE")).collect();
        store.close().unwrap();
        files
    };
    Golden { _directory: directory, root, files, events, closed }
}

fn line(event: &annals::EventRef<'_>) -> String {
    format!("{} {} {} {}", event.version(), event.recorded_at(), event.is_imported(), event.to_json())
}

fn read_all(store: &Store) -> annals::Result<Events> {
    let mut events = Vec::new();
    store.reader().scan(&Query::all(), |event| {
        events.push(line(&event));
        ControlFlow::Continue(())
    })?;
    Ok(events)
}

#[derive(Default, Debug)]
struct Count {
    cases: u64,
    detected: u64,
    harmless: u64,
    cut: u64,
}

impl Golden {
    fn restore(&self, at: &Path) {
        let _ = std::fs::remove_dir_all(at);
        std::fs::create_dir_all(at.join("log")).unwrap();
        for (path, bytes) in &self.files {
            std::fs::write(at.join(path), bytes).unwrap();
        }
    }

    /// Damages a copy and looks at it as a reader and as the next writer.
    fn try_case(&self, what: &str, count: &mut Count, damage: &dyn Fn(&Path)) {
        let at = self.root.with_file_name("damaged");
        self.restore(&at);
        damage(&at);
        count.cases += 1;
        let read = Store::options().read_only(true).open(&at).and_then(|store| {
            let torn = store.recovery().torn.clone();
            let events = read_all(&store)?;
            self.points(&store, what)?;
            Ok((events, torn))
        });
        match &read {
            Err(error) => self.expect_detected(what, error),
            Ok((events, torn)) => {
                let prefix = torn.is_some() && !self.closed && self.events.starts_with(events);
                assert!(
                    *events == self.events || prefix,
                    "{what}: a reader sees {} of {} events",
                    events.len(),
                    self.events.len()
                );
            }
        }
        let written = Store::options().segment_bytes(64 << 10).sealing(false).open(&at).and_then(|store| {
            let cut = store.recovery().cut.is_some();
            let events = read_all(&store)?;
            Ok((events, cut))
        });
        match &written {
            Err(error) => self.expect_detected(what, error),
            Ok((events, cut)) => {
                let prefix = *cut && !self.closed && self.events.starts_with(events);
                assert!(
                    *events == self.events || prefix,
                    "{what}: a writer sees {} of {} events",
                    events.len(),
                    self.events.len()
                );
                count.cut += u64::from(*cut);
            }
        }
        match (&read, &written) {
            (Ok(_), Ok(_)) => count.harmless += 1,
            _ => count.detected += 1,
        }
    }

    /// Point reads and indexed reads: right or an error.
    fn points(&self, store: &Store, what: &str) -> annals::Result<()> {
        let reader = store.reader();
        let all = self.events.len() as u64;
        for position in [1, 2, all / 3, all / 2, all - 1] {
            if let Some(event) = reader.event(position)? {
                assert_eq!(line(&event.as_ref()), self.events[position as usize - 1], "{what}: position {position}");
            }
        }
        let subject = reader.count(&Query::all().subject("note/n-3"))?;
        let expected = self.events.iter().filter(|line| line.contains("\"note/n-3\"")).count() as u64;
        let torn = store.recovery().torn.is_some();
        assert!(subject == expected || torn, "{what}: {subject} of {expected} events of a subject");
        Ok(())
    }

    fn expect_detected(&self, what: &str, error: &annals::Error) {
        assert!(DETECTED.contains(&error.kind()), "{what}: {error:?}");
    }
}

fn rewrite(at: &Path, file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let path = at.join(file);
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

fn flip_bits(golden: &Golden) -> Count {
    let all = std::env::var("ANNALS_FLIPS").is_ok_and(|what| what == "all");
    let mut count = Count::default();
    for (file, bytes) in &golden.files {
        let bits = bytes.len() * 8;
        let step = if all { 1 } else { 2_503 };
        let mut wanted: Vec<usize> = (0..bits).step_by(step).collect();
        if !all {
            // Headers, slots and the first frame, more densely.
            wanted.extend((0..104 * 8).step_by(61));
            wanted.extend(
                [4096, 8192, 12_288]
                    .iter()
                    .flat_map(|at| (at * 8..(at + 160) * 8).step_by(67))
                    .filter(|bit| *bit < bits),
            );
        }
        for bit in wanted.into_iter().filter(|bit| *bit < bits) {
            golden.try_case(&format!("{} bit {bit}", file.display()), &mut count, &|at| {
                rewrite(at, file, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            });
        }
    }
    count
}

#[test]
fn a_flipped_bit_of_a_closed_store_is_detected_or_harmless() {
    let count = flip_bits(&golden(true));
    println!("closed: {count:?}");
    assert!(count.detected > 0 && count.harmless > 0 && count.cut == 0);
}

#[test]
fn a_flipped_bit_of_a_killed_store_is_detected_or_harmless_or_cut_and_told() {
    let count = flip_bits(&golden(false));
    println!("killed: {count:?}");
    assert!(count.detected > 0);
}

#[test]
fn a_file_cut_short_missing_or_exchanged_is_detected_or_harmless() {
    let golden = golden(true);
    let other = self::golden(true);
    let mut count = Count::default();
    for (index, (file, bytes)) in golden.files.iter().enumerate() {
        let lengths = (0..bytes.len()).step_by((bytes.len() / 23).max(1));
        for len in lengths.chain([bytes.len() - 1]) {
            golden.try_case(&format!("{} cut to {len}", file.display()), &mut count, &|at| {
                rewrite(at, file, |bytes| bytes.truncate(len));
            });
        }
        golden.try_case(&format!("{} deleted", file.display()), &mut count, &|at| {
            std::fs::remove_file(at.join(file)).unwrap();
        });
        if let Some((_, foreign)) = other.files.iter().find(|(path, _)| path == file) {
            golden.try_case(&format!("{} of another store", file.display()), &mut count, &|at| {
                std::fs::write(at.join(file), foreign).unwrap();
            });
        }
        let (next, next_bytes) = &golden.files[(index + 1) % golden.files.len()];
        golden.try_case(&format!("{} and {} exchanged", file.display(), next.display()), &mut count, &|at| {
            std::fs::write(at.join(file), next_bytes).unwrap();
            std::fs::write(at.join(next), bytes).unwrap();
        });
    }
    println!("files: {count:?}");
    assert!(count.detected > 0);
}

#[test]
fn a_sector_zeroed_or_exchanged_is_detected_or_harmless() {
    let golden = golden(true);
    let mut count = Count::default();
    for (file, bytes) in &golden.files {
        let sectors = bytes.len() / 512;
        for sector in (0..sectors).step_by((sectors / 31).max(1)) {
            let here = sector * 512..(sector + 1) * 512;
            golden.try_case(&format!("{} sector {sector} zeroed", file.display()), &mut count, &|at| {
                rewrite(at, file, |bytes| bytes[here.clone()].fill(0));
            });
            let there = (sector * 7 + 25) % sectors * 512;
            golden.try_case(
                &format!("{} sectors {sector} and {} exchanged", file.display(), there / 512),
                &mut count,
                &|at| {
                    rewrite(at, file, |bytes| {
                        let kept = bytes[here.clone()].to_vec();
                        bytes.copy_within(there..there + 512, here.start);
                        bytes[there..there + 512].copy_from_slice(&kept);
                    });
                },
            );
        }
    }
    println!("sectors: {count:?}");
    assert!(count.detected > 0);
}

/// Frames of the same sizes and positions at the same places, of another store: what a disk leaves that writes a sector
/// to the wrong place, or gives back one of a file that was deleted.
#[test]
fn frames_of_another_store_at_the_same_places_are_detected() {
    let filled = |letter: &str| {
        let directory = scratch();
        let root = directory.path().join("store");
        let store = Store::options().segment_bytes(64 << 10).sealing(false).open(&root).unwrap();
        for number in 0..20 {
            store.append([NewEvent::bytes("note.made", format!("note/{number}"), "", letter.repeat(200))]).unwrap();
        }
        let events = read_all(&store).unwrap();
        store.close().unwrap();
        let files = files_of(&root);
        Golden { _directory: directory, root, files, events, closed: true }
    };
    let (golden, other) = (filled("a"), filled("b"));
    let file = Path::new("log/00000000000000000001.raw");
    let of = |golden: &Golden| golden.files.iter().find(|(path, _)| path == file).unwrap().1.clone();
    let (ours, theirs) = (of(&golden), of(&other));
    let begin = 12_288;
    let frame = ours[begin + 1..].windows(4).position(|bytes| bytes == &ours[begin..begin + 4]).unwrap() + 1;
    let mut count = Count::default();
    for number in 0..20 {
        let here = begin + number * frame..begin + (number + 1) * frame;
        golden.try_case(&format!("frame {number} of another store"), &mut count, &|at| {
            rewrite(at, file, |bytes| bytes[here.clone()].copy_from_slice(&theirs[here.clone()]));
        });
    }
    golden.try_case("all frames of another store", &mut count, &|at| {
        rewrite(at, file, |bytes| bytes[begin..].copy_from_slice(&theirs[begin..]));
    });
    assert_eq!(count.detected, 21, "{count:?}");
}
