//! What was tried and what was acknowledged. A line is written by one call behind the acknowledgement, so that it
//! survives a kill of the process; the file has to lie where the fault does not reach.
//!
//! | line | means |
//! |---|---|
//! | `try W F L`, `ack W F L P` | writer W appends its events F to L, they stand from position P on |
//! | `import K`, `imported K N` | the chunk K is imported, the first N of its events are there |
//! | `ask N`, `asked N P`, `approved N`, `validated N` | the row note/N: asked for by the request P, approved, made |
//! | `do P`, `did P`, `done P` | the worker's step for the event P begins, is kept for ever, its copy is appended |
//!
//! With `BUSY_CLOCK=FILE` in the environment ` @N` stands behind each line, N being the length of that file in bytes when
//! the line was written. If the file is a log of all that is written to a disk, the lines up to N are what had been said
//! when the disk had come so far.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Verdict;

/// The file, open for more, and the one whose length is the time.
pub struct Ledger(File, Option<PathBuf>);

impl Ledger {
    /// What the file says already, and the file.
    pub fn open(path: &Path) -> Verdict<(Told, Ledger)> {
        // Whoever wrote last may have been killed within a line.
        let mut text = if path.exists() { std::fs::read_to_string(path)? } else { String::new() };
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        text.truncate(whole);
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(whole as u64)?;
        Ok((Told::read(&text)?, Ledger(file, std::env::var_os("BUSY_CLOCK").map(PathBuf::from))))
    }

    /// Adds a line.
    pub fn tell(&self, line: impl std::fmt::Display) -> std::io::Result<()> {
        let time = match &self.1 {
            Some(clock) => format!(" @{}", std::fs::metadata(clock)?.len()),
            None => String::new(),
        };
        (&self.0).write_all(format!("{line}{time}\n").as_bytes())
    }
}

/// A batch of a writer: its first number, its last.
pub type Bounds = (u64, u64);

/// All that a ledger says.
#[derive(Debug, Default)]
pub struct Told {
    /// By writer: the batches that it tried, and whether they were acknowledged, by their first number.
    pub tried: BTreeMap<u64, BTreeMap<u64, (u64, bool)>>,
    /// Acknowledged batches with the position of their first event.
    pub acks: Vec<(u64, Bounds, u64)>,
    /// Chunks that were begun, and how many of their events are surely there.
    pub imports: BTreeMap<u64, u64>,
    /// Rows that were asked for, and the request if it was acknowledged.
    pub asks: BTreeMap<u64, Option<u64>>,
    pub approved: BTreeSet<u64>,
    pub validated: BTreeSet<u64>,
    /// Events whose step was acknowledged.
    pub did: BTreeSet<u64>,
    /// Events whose copy was acknowledged.
    pub done: BTreeSet<u64>,
    /// Events whose step was begun again although it had been acknowledged. There must be none.
    pub done_again: Vec<u64>,
    /// Acknowledgements of every kind.
    pub acknowledged: u64,
}

impl Told {
    fn read(text: &str) -> Verdict<Told> {
        let mut told = Told::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            let what = words.next().unwrap_or_default();
            let numbers =
                words.filter(|word| !word.starts_with('@')).map(str::parse).collect::<Result<Vec<u64>, _>>()?;
            match (what, numbers.as_slice()) {
                ("try", &[writer, first, last]) => {
                    told.tried.entry(writer).or_default().entry(first).or_insert((last, false));
                }
                ("ack", &[writer, first, last, position]) => {
                    told.tried.entry(writer).or_default().insert(first, (last, true));
                    told.acks.push((writer, (first, last), position));
                }
                ("import", &[chunk]) => drop(told.imports.entry(chunk).or_default()),
                ("imported", &[chunk, count]) => {
                    let known = told.imports.entry(chunk).or_default();
                    *known = count.max(*known);
                }
                ("ask", &[row]) => drop(told.asks.entry(row).or_default()),
                ("asked", &[row, request]) => drop(told.asks.insert(row, Some(request))),
                ("approved", &[row]) => drop(told.approved.insert(row)),
                ("validated", &[row]) => drop(told.validated.insert(row)),
                ("do", &[position]) => {
                    if told.did.contains(&position) {
                        told.done_again.push(position);
                    }
                }
                ("did", &[position]) => drop(told.did.insert(position)),
                ("done", &[position]) => drop(told.done.insert(position)),
                _ => return Err(format!("the ledger has a line {line:?}").into()),
            }
            told.acknowledged += u64::from(!matches!(what, "try" | "import" | "ask" | "do"));
        }
        Ok(told)
    }

    /// The next number of a writer whose batches were all acknowledged.
    pub fn next(&self, writer: u64) -> u64 {
        self.tried.get(&writer).and_then(|batches| batches.last_key_value()).map_or(1, |(_, (last, _))| last + 1)
    }

    /// Batches of which nobody knows whether they are there.
    pub fn unknown(&self, writer: u64) -> Vec<Bounds> {
        let batches = self.tried.get(&writer).into_iter().flatten();
        batches.filter(|(_, (_, acknowledged))| !acknowledged).map(|(first, (last, _))| (*first, *last)).collect()
    }
}
