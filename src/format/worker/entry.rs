//! One entry of a worker's file: a fact about an event, a step, or the worker itself.

use crate::actor::{Actor, ActorKind};
use crate::checkpoint::Checkpoint;
use crate::format::bytes::Take;
use crate::format::{Bad, Parsed};
use crate::position::Position;
use crate::time::Timestamp;

/// See the table of kinds in [`super`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Through(Checkpoint),
    Open(Position),
    Finished(Position),
    Result {
        position: Position,
        step: String,
        json: String,
    },
    Due {
        position: Position,
        step: String,
        due: Timestamp,
    },
    Aside {
        position: Position,
        due: Timestamp,
        /// That failed.
        attempts: u32,
        /// That sleeps; empty after an error.
        step: String,
        error: String,
    },
    Parked {
        position: Position,
        since: Timestamp,
        attempts: u32,
        behind: Option<Position>,
        key: String,
        error: String,
    },
    Retried(Decision),
    Skipped(Decision),
    Session {
        begun: bool,
        at: Timestamp,
        process: String,
    },
}

/// What a person decided about a parked event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) position: Position,
    pub(crate) at: Timestamp,
    pub(crate) by: Actor,
    pub(crate) reason: String,
}

const FIXED: usize = 16;
const BEGUN: u8 = 1;
const ENDED: u8 = 2;

impl Entry {
    fn kind(&self) -> u8 {
        match self {
            Entry::Through(_) => 1,
            Entry::Open(_) => 2,
            Entry::Finished(_) => 3,
            Entry::Result { .. } => 4,
            Entry::Due { .. } => 5,
            Entry::Aside { .. } => 6,
            Entry::Parked { .. } => 7,
            Entry::Retried(_) => 8,
            Entry::Skipped(_) => 9,
            Entry::Session { .. } => 10,
        }
    }

    /// The event that it is about.
    pub(crate) fn position(&self) -> Option<Position> {
        match self {
            Entry::Through(_) | Entry::Session { .. } => None,
            Entry::Open(position) | Entry::Finished(position) => Some(*position),
            Entry::Result { position, .. }
            | Entry::Due { position, .. }
            | Entry::Aside { position, .. }
            | Entry::Parked { position, .. } => Some(*position),
            Entry::Retried(decision) | Entry::Skipped(decision) => Some(decision.position),
        }
    }

    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        let start = to.len();
        let code = match self {
            Entry::Retried(decision) | Entry::Skipped(decision) => decision.by.kind.code(),
            Entry::Session { begun, .. } => {
                if *begun {
                    BEGUN
                } else {
                    ENDED
                }
            }
            _ => 0,
        };
        let position = match self {
            Entry::Through(at) => at.position,
            other => other.position().unwrap_or_default(),
        };
        to.extend_from_slice(&[0, 0, 0, 0, self.kind(), code, 0, 0]);
        to.extend_from_slice(&position.get().to_le_bytes());
        match self {
            Entry::Through(at) => {
                to.extend_from_slice(&at.epoch.to_le_bytes());
                to.extend_from_slice(&at.fingerprint);
            }
            Entry::Open(_) | Entry::Finished(_) => {}
            Entry::Result { step, json, .. } => texts(to, &[step, json]),
            Entry::Due { step, due, .. } => {
                time(to, *due);
                texts(to, &[step]);
            }
            Entry::Aside { due, attempts, step, error, .. } => {
                time(to, *due);
                to.extend_from_slice(&attempts.to_le_bytes());
                texts(to, &[step, error]);
            }
            Entry::Parked { since, attempts, behind, key, error, .. } => {
                time(to, *since);
                to.extend_from_slice(&attempts.to_le_bytes());
                to.extend_from_slice(&behind.unwrap_or_default().get().to_le_bytes());
                texts(to, &[key, error]);
            }
            Entry::Retried(decision) | Entry::Skipped(decision) => {
                time(to, decision.at);
                let on_behalf_of = decision.by.on_behalf_of.as_deref().unwrap_or_default();
                texts(to, &[&decision.by.id, on_behalf_of, &decision.reason]);
            }
            Entry::Session { at, process, .. } => {
                time(to, *at);
                texts(to, &[process]);
            }
        }
        let len = (to.len() - start) as u32;
        if let Some(place) = to.get_mut(start..start + 4) {
            place.copy_from_slice(&len.to_le_bytes());
        }
    }

    /// The entry that `bytes` begin with, and its length.
    pub(crate) fn read(bytes: &[u8]) -> Parsed<(Entry, usize)> {
        let len = Take(bytes).u32().map_or(0, |len| len as usize);
        let Some(whole) = bytes.get(..len).filter(|whole| whole.len() >= FIXED) else {
            return Err(Bad::new(0, "the length of an entry", format!("{len} of {} bytes", bytes.len())));
        };
        let mut take = Take(whole.get(4..).unwrap_or_default());
        let entry = fields(&mut take).filter(|_| take.0.is_empty());
        let nonsense = || Bad::new(4, "an entry with a meaning", "one that has none");
        entry.map(|entry| (entry, len)).ok_or_else(nonsense)
    }
}

fn fields(take: &mut Take<'_>) -> Option<Entry> {
    let (kind, code, zero, number) = (take.u8()?, take.u8()?, take.u16()?, take.u64()?);
    let position = Position::new(number);
    let has_code = matches!(kind, 8..=10);
    let fits = match kind {
        // Up to a position, also none; a session, which is about no event; all others are about one.
        1 => true,
        10 => number == 0,
        _ => number > 0,
    };
    if zero != 0 || (code != 0) != has_code || !fits {
        return None;
    }
    Some(match kind {
        1 => Entry::Through(Checkpoint { position, epoch: take.u64()?, fingerprint: take.array()? }),
        2 => Entry::Open(position),
        3 => Entry::Finished(position),
        4 => Entry::Result { position, step: text(take)?, json: text(take)? },
        5 => Entry::Due { position, due: Timestamp::from_nanos(take.i64()?), step: text(take)? },
        6 => Entry::Aside {
            position,
            due: Timestamp::from_nanos(take.i64()?),
            attempts: take.u32()?,
            step: text(take)?,
            error: text(take)?,
        },
        7 => Entry::Parked {
            position,
            since: Timestamp::from_nanos(take.i64()?),
            attempts: take.u32()?,
            behind: Some(Position::new(take.u64()?)).filter(|behind| *behind > Position::ORIGIN),
            key: text(take)?,
            error: text(take)?,
        },
        8 => Entry::Retried(decision(take, position, code)?),
        9 => Entry::Skipped(decision(take, position, code)?),
        10 => Entry::Session {
            begun: match code {
                BEGUN => true,
                ENDED => false,
                _ => return None,
            },
            at: Timestamp::from_nanos(take.i64()?),
            process: text(take)?,
        },
        _ => return None,
    })
}

fn decision(take: &mut Take<'_>, position: Position, code: u8) -> Option<Decision> {
    let (kind, at) = (ActorKind::from_code(code)?, Timestamp::from_nanos(take.i64()?));
    let (id, on_behalf_of, reason) = (text(take)?, text(take)?, text(take)?);
    let on_behalf_of = Some(on_behalf_of).filter(|user| !user.is_empty());
    Some(Decision { position, at, by: Actor { kind, id, on_behalf_of }, reason })
}

fn time(to: &mut Vec<u8>, time: Timestamp) {
    to.extend_from_slice(&time.as_nanos().to_le_bytes());
}

fn texts(to: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        to.extend_from_slice(&(text.len() as u32).to_le_bytes());
        to.extend_from_slice(text.as_bytes());
    }
}

fn text(take: &mut Take<'_>) -> Option<String> {
    let len = take.u32()? as usize;
    let text = std::str::from_utf8(take.slice(len)?).ok()?;
    (!text.contains('\0')).then(|| text.to_owned())
}
