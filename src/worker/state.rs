//! What a worker has to know after a crash, folded from the entries of its file. Pure.
//!
//! Invariants: every matching event up to `through` is finished, or open, or parked, and in one of these alone. An open
//! or parked event stands at or before `through`. What `entries` gives, applied to nothing, is this state again.

use std::collections::{BTreeMap, VecDeque};

use crate::checkpoint::Checkpoint;
use crate::format::worker::{Decision, Entry};
use crate::limits::WORKER_DECISIONS_MAX;
use crate::position::Position;
use crate::time::Timestamp;

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Memo {
    /// Its result as JSON.
    Result(String),
    /// It sleeps, or slept, until then.
    Due(Timestamp),
}

/// An event that is begun and not finished.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) memos: BTreeMap<String, Memo>,
    /// That failed.
    pub(crate) attempts: u32,
    /// When it is run again.
    pub(crate) due: Option<Timestamp>,
    /// The step that sleeps; empty after an error.
    pub(crate) step: String,
    pub(crate) error: String,
}

/// An event that was given up until somebody decides about it, or that waits behind one that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParkedEvent {
    pub(crate) memos: BTreeMap<String, Memo>,
    pub(crate) attempts: u32,
    pub(crate) since: Timestamp,
    pub(crate) behind: Option<Position>,
    pub(crate) key: String,
    pub(crate) error: String,
}

/// When a process began to run the worker, or ended it in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) begun: bool,
    pub(crate) at: Timestamp,
    pub(crate) process: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) through: Checkpoint,
    pub(crate) open: BTreeMap<Position, Open>,
    pub(crate) parked: BTreeMap<Position, ParkedEvent>,
    /// The newest decisions, oldest first; the second says whether it was to skip.
    pub(crate) decisions: VecDeque<(Decision, bool)>,
    pub(crate) session: Option<Session>,
    /// What went wrong last.
    pub(crate) last_error: Option<String>,
    /// Bytes that it takes in a file, more or less.
    pub(crate) bytes: usize,
}

/// Bytes of an entry beside its texts, at least.
const ENTRY_BYTES: usize = 48;

impl Open {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.step.len() + self.error.len() + bytes_of(&self.memos)
    }
}

impl ParkedEvent {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.key.len() + self.error.len() + bytes_of(&self.memos)
    }
}

fn bytes_of(memos: &BTreeMap<String, Memo>) -> usize {
    memos.iter().map(|(step, memo)| memo_bytes(step, memo)).sum()
}

fn memo_bytes(step: &str, memo: &Memo) -> usize {
    let result = match memo {
        Memo::Result(json) => json.len(),
        Memo::Due(_) => 0,
    };
    ENTRY_BYTES + step.len() + result
}

impl State {
    /// Every matching event up to here is finished or parked.
    pub(crate) fn checkpoint(&self) -> Position {
        match self.open.keys().next() {
            Some(lowest) => Position::new(lowest.get().saturating_sub(1)),
            None => self.through.position,
        }
    }

    /// Takes an entry in. One that does not fit what was before it changes nothing, or as little as it can: a file is
    /// written by this program, so that is a matter of old decisions alone.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Through(at) => {
                if at.position >= self.through.position {
                    self.through = *at;
                }
            }
            Entry::Open(position) => {
                self.opened(*position);
            }
            Entry::Finished(position) => self.finished(*position),
            Entry::Result { position, step, json } => {
                self.keep(*position, step, Memo::Result(json.clone()));
            }
            Entry::Due { position, step, due } => self.keep(*position, step, Memo::Due(*due)),
            Entry::Aside { position, due, attempts, step, error } => {
                let Some(open) = self.opened(*position) else { return };
                let before = open.bytes();
                (open.due, open.attempts) = (Some(*due), *attempts);
                (open.step, open.error) = (step.clone(), error.clone());
                let after = open.bytes();
                self.bytes = (self.bytes + after).saturating_sub(before);
                if !error.is_empty() {
                    self.last_error = Some(error.clone());
                }
            }
            Entry::Parked { position, since, attempts, behind, key, error } => {
                let open = self.close(*position).map(|open| open.memos);
                let memos = open.or_else(|| self.unpark(*position).map(|parked| parked.memos)).unwrap_or_default();
                let (key, error) = (key.clone(), error.clone());
                if behind.is_none() {
                    self.last_error = Some(error.clone());
                }
                let parked = ParkedEvent { memos, attempts: *attempts, since: *since, behind: *behind, key, error };
                self.bytes += parked.bytes();
                self.parked.insert(*position, parked);
            }
            Entry::Retried(decision) => {
                self.decided(decision, false);
                if let Some(parked) = self.unpark(decision.position) {
                    let open = Open { memos: parked.memos, ..Open::default() };
                    self.bytes += open.bytes();
                    self.open.insert(decision.position, open);
                    self.free(decision.position);
                }
            }
            Entry::Skipped(decision) => {
                self.decided(decision, true);
                if self.unpark(decision.position).is_some() {
                    self.free(decision.position);
                }
            }
            Entry::Session { begun, at, process } => {
                self.session = Some(Session { begun: *begun, at: *at, process: process.clone() });
            }
        }
    }

    /// The event as an open one; none if it is parked.
    fn opened(&mut self, position: Position) -> Option<&mut Open> {
        if self.parked.contains_key(&position) {
            return None;
        }
        let bytes = &mut self.bytes;
        Some(self.open.entry(position).or_insert_with(|| {
            *bytes += ENTRY_BYTES;
            Open::default()
        }))
    }

    fn finished(&mut self, position: Position) {
        self.close(position);
        self.unpark(position);
    }

    fn close(&mut self, position: Position) -> Option<Open> {
        let open = self.open.remove(&position)?;
        self.bytes = self.bytes.saturating_sub(open.bytes());
        Some(open)
    }

    fn unpark(&mut self, position: Position) -> Option<ParkedEvent> {
        let parked = self.parked.remove(&position)?;
        self.bytes = self.bytes.saturating_sub(parked.bytes());
        Some(parked)
    }

    fn keep(&mut self, position: Position, step: &str, memo: Memo) {
        let bytes = memo_bytes(step, &memo);
        let Some(open) = self.opened(position) else { return };
        let old = open.memos.insert(step.to_owned(), memo);
        let gone = old.map_or(0, |old| memo_bytes(step, &old));
        self.bytes = (self.bytes + bytes).saturating_sub(gone);
    }

    fn decided(&mut self, decision: &Decision, skipped: bool) {
        self.decisions.push_back((decision.clone(), skipped));
        if self.decisions.len() > WORKER_DECISIONS_MAX {
            self.decisions.pop_front();
        }
    }

    /// Those that wait behind a parked event, in order.
    pub(crate) fn behind(&self, position: Position) -> Vec<Position> {
        let behind = self.parked.iter().filter(|(_, parked)| parked.behind == Some(position));
        behind.map(|(position, _)| *position).collect()
    }

    /// Opens those that wait behind a parked event.
    fn free(&mut self, position: Position) {
        for behind in self.behind(position) {
            if let Some(parked) = self.unpark(behind) {
                let open = Open { memos: parked.memos, ..Open::default() };
                self.bytes += open.bytes();
                self.open.insert(behind, open);
            }
        }
    }

    /// Entries from which this state is made anew.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut entries = vec![Entry::Through(self.through)];
        // Before anything is parked, so that they decide nothing again.
        entries.extend(self.decisions.iter().map(|(decision, skipped)| match skipped {
            true => Entry::Skipped(decision.clone()),
            false => Entry::Retried(decision.clone()),
        }));
        for (position, open) in &self.open {
            entries.push(Entry::Open(*position));
            remember(&mut entries, *position, &open.memos);
            if let Some(due) = open.due {
                let (position, attempts) = (*position, open.attempts);
                let (step, error) = (open.step.clone(), open.error.clone());
                entries.push(Entry::Aside { position, due, attempts, step, error });
            }
        }
        for (position, parked) in &self.parked {
            remember(&mut entries, *position, &parked.memos);
            entries.push(Entry::Parked {
                position: *position,
                since: parked.since,
                attempts: parked.attempts,
                behind: parked.behind,
                key: parked.key.clone(),
                error: parked.error.clone(),
            });
        }
        entries.extend(self.session.iter().map(|session| Entry::Session {
            begun: session.begun,
            at: session.at,
            process: session.process.clone(),
        }));
        entries
    }
}

fn remember(entries: &mut Vec<Entry>, position: Position, memos: &BTreeMap<String, Memo>) {
    entries.extend(memos.iter().map(|(step, memo)| match memo {
        Memo::Result(json) => Entry::Result { position, step: step.clone(), json: json.clone() },
        Memo::Due(due) => Entry::Due { position, step: step.clone(), due: *due },
    }));
}

#[cfg(test)]
mod tests;
