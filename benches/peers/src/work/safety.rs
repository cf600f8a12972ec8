//! Safety: one flipped bit of an event's data, and kill -9 of a process that appends.
//!
//! A flip is made in a copy of the filled store, in every place that holds the data of the chosen event; the copy is
//! then opened and read from end to end in a process of its own. The verdicts: `refused` (it does not open), `detected`
//! (reading fails), `SILENT` (changed data is given as if it were right), `LOST` (fewer events, and no error).

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Run, want};
use crate::child::{self, Job, Told, told};
use crate::event;
use crate::figures::{Better, Figure};
use crate::peer::{About, Failure, Outcome};
use crate::process;

/// How long a process appends before it is killed.
const BEFORE_KILL: Duration = Duration::from_millis(400);
/// How far before the marker of an event the flipped bit stands: well within its data.
const INTO_DATA: u64 = 60;

pub(crate) fn run(run: &mut Run) {
    for about in run.peers.clone() {
        run.fill_if_absent(about);
        for (case, number) in
            [("flip, old event", run.events / 20), ("flip, among the newest", run.events.saturating_sub(150))]
        {
            let verdict = flip(run, about, number);
            keep(run, about, case, verdict);
        }
    }
    for about in run.appenders() {
        for (case, durable) in [("kill -9, durable", 1), ("kill -9, unforced", 0)] {
            let can = if durable == 1 { about.durable } else { about.written };
            let verdict = match can {
                Some(_) => kill(run, about, durable),
                None => Err(Failure::Unsupported("not in this mode")),
            };
            keep(run, about, case, verdict);
        }
    }
}

fn keep(run: &mut Run, about: &About, case: &str, verdict: Outcome<(String, Option<String>)>) {
    let (verdict, note) = match verdict {
        Ok((verdict, note)) => (Some(verdict), note),
        Err(failure) => (None, Some(failure.text())),
    };
    run.add(Figure {
        work: "safety".to_owned(),
        case: case.to_owned(),
        unit: String::new(),
        better: Better::Lower,
        peer: about.name.to_owned(),
        rounds: Vec::new(),
        verdict,
        note,
    });
}

/// Copies the filled store, lets `change` do something to the copy, and reads it.
fn check_copy(run: &Run, about: &About, change: impl FnOnce(&Path) -> Outcome<usize>) -> Outcome<Told> {
    let (from, copy) = (run.filled(about.name), run.fresh());
    copy_all(&from, &copy)?;
    if change(&copy)? == 0 {
        return Err(Failure::Unsupported("the data stands in no file as it was given"));
    }
    child::run("check", about.name, &copy, &[], run.timeout())
}

fn copy_all(from: &Path, to: &Path) -> Outcome<()> {
    fs::create_dir_all(to)?;
    let mut files = Vec::new();
    process::files_below(from, &mut files);
    for file in files {
        let Ok(rest) = file.strip_prefix(from) else { continue };
        let target = to.join(rest);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(&file, target)?;
    }
    Ok(())
}

fn flip(run: &Run, about: &About, number: u64) -> Outcome<(String, Option<String>)> {
    let mut place = String::new();
    let found = check_copy(run, about, |copy| {
        let mut flipped = flip_marked(copy, number, &mut place)?;
        if flipped == 0 && number < run.events / 2 {
            // Packed: no event can be found, but the middle of the largest file is some event's.
            flipped = flip_middle(copy, &mut place)?;
        }
        Ok(flipped)
    });
    let told = match found {
        Ok(told) => told,
        // It could not say anything any more.
        Err(Failure::Failed(why)) => return Ok(("process died".to_owned(), Some(why))),
        Err(failure) => return Err(failure),
    };
    let count = |told: &Told, name: &str| told.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (read, all, wrong) = (count(&told, "read"), run.events, count(&told, "wrong"));
    let text = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
    let note = |why: &str| Some(format!("{place}: {why}"));
    Ok(if let Some(why) = text("refused") {
        ("refused".to_owned(), note(&why))
    } else if wrong > 0 {
        ("SILENT".to_owned(), note(&format!("{wrong} of {read} events are not what was appended, and no error")))
    } else if let Some(why) = text("error") {
        ("detected".to_owned(), note(&format!("after {read} of {all} events: {why}")))
    } else if read < all {
        (format!("LOST {}", all - read), note("no error"))
    } else {
        ("not hit".to_owned(), note("all events are right"))
    })
}

/// Flips a bit in the data of this event, wherever that stands; how many places that were.
fn flip_marked(directory: &Path, number: u64, place: &mut String) -> Outcome<usize> {
    let marker = event::marker_of(number).into_bytes();
    let finder = memchr::memmem::Finder::new(&marker);
    let mut flipped = 0;
    for path in files(directory) {
        let bytes = fs::read(&path)?;
        for at in finder.find_iter(&bytes) {
            flip_bit(&path, (at as u64).saturating_sub(INTO_DATA))?;
            flipped += 1;
            *place = name_of(&path, directory);
        }
    }
    Ok(flipped)
}

fn flip_middle(directory: &Path, place: &mut String) -> Outcome<usize> {
    let largest = files(directory).into_iter().max_by_key(|path| fs::metadata(path).map_or(0, |meta| meta.len()));
    let Some(path) = largest else { return Ok(0) };
    // Zeros at its end are room for more.
    let used = fs::read(&path)?.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    flip_bit(&path, used as u64 / 2)?;
    *place = format!("the middle of {}", name_of(&path, directory));
    Ok(1)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    process::files_below(directory, &mut found);
    found
}

fn name_of(path: &Path, directory: &Path) -> String {
    path.strip_prefix(directory).unwrap_or(path).display().to_string()
}

fn flip_bit(path: &Path, at: u64) -> Outcome<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ 1], at)?;
    Ok(())
}

/// Opens and reads everything, and tells what it found.
pub(crate) fn check(job: &Job) -> Outcome<Told> {
    let peer = match job.open() {
        Ok(peer) => peer,
        Err(failure) => return Ok(Told::from_iter([("refused".to_owned(), failure.text().into())])),
    };
    let (mut read, mut wrong, mut newest) = (0u64, 0u64, None);
    let outcome = peer.replay(&mut |event| {
        read += 1;
        match event::number_of(event.data) {
            Some(number) => newest = newest.max(Some(number)),
            None => wrong += 1,
        }
    });
    let mut answer = Told::new();
    answer.insert("read".to_owned(), read.into());
    answer.insert("wrong".to_owned(), wrong.into());
    if let Some(number) = newest {
        answer.insert("newest".to_owned(), number.into());
    }
    if let Err(failure) = outcome {
        answer.insert("error".to_owned(), failure.text().into());
    }
    Ok(answer)
}

/// Appends one event after the other and says of each, in eight bytes on standard output, that it was acknowledged.
pub(crate) fn acknowledge(job: &Job) -> Outcome<Told> {
    let peer = job.open()?;
    let mut output = std::io::stdout().lock();
    output.write_all(READY)?;
    output.flush()?;
    for number in 0u64.. {
        peer.append(&[event::synthetic(number)])?;
        output.write_all(&number.to_le_bytes())?;
        output.flush()?;
    }
    Ok(told(&[]))
}

/// What comes before the first acknowledgement, since a peer may print something of its own when it is opened.
const READY: &[u8] = b"\nready: ";

fn kill(run: &Run, about: &About, durable: u64) -> Outcome<(String, Option<String>)> {
    let (mut lost, mut acknowledged, mut kills) = (0, 0, 0);
    while kills < if run.long { 20 } else { 3 } {
        let directory = run.fresh();
        let wants = [want("durable", durable)];
        let count = killed(about, &directory, &wants)?;
        // It comes up as it was set up before it was killed.
        let told = child::run("check", about.name, &directory, &wants, run.timeout())?;
        let text = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(why) = text("refused").or_else(|| text("error")) {
            return Ok(("unreadable".to_owned(), Some(why)));
        }
        let read = told.get("read").and_then(Value::as_u64).unwrap_or(0);
        lost += count.saturating_sub(read);
        acknowledged += count;
        kills += 1;
    }
    let verdict = if lost == 0 { "nothing lost".to_owned() } else { format!("LOST {lost}") };
    Ok((verdict, Some(format!("{kills} kills, {acknowledged} appends acknowledged"))))
}

/// Starts such a process, kills it in the middle, and returns how many appends it had acknowledged.
fn killed(about: &About, directory: &Path, wants: &[String]) -> Outcome<u64> {
    let mut child = child::start("acknowledge", about.name, directory, wants).map_err(Failure::Failed)?;
    let output = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut output) = output {
            let _ = output.read_to_end(&mut bytes);
        }
        bytes
    });
    let begun = Instant::now();
    while begun.elapsed() < BEFORE_KILL && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    child.wait()?;
    let bytes = reader.join().unwrap_or_default();
    let Some(ready) = memchr::memmem::find(&bytes, READY) else {
        return Err(Failure::Failed("it did not come to append anything".to_owned()));
    };
    let count = (bytes.len() - ready - READY.len()) / 8;
    Ok(count as u64)
}
