//! The segment dictionary.

use crate::event::EventRef;
use crate::format::{Bad, Parsed};
use crate::position::Position;

/// A column of strings. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum StringColumn {
    Subject = 0,
    Type = 1,
    /// The digit of the kind's code, then the id.
    Actor = 2,
    OnBehalfOf = 3,
    Source = 4,
    Correlation = 5,
    ContentType = 6,
    Tag = 7,
    MetaName = 8,
    MetaValue = 9,
}

/// First pass over all events of a segment.
#[derive(Debug, Default)]
pub(crate) struct DictionaryBuilder {}

impl DictionaryBuilder {
    pub(crate) fn new() -> DictionaryBuilder {
        DictionaryBuilder::default()
    }

    pub(crate) fn add(&mut self, _event: &EventRef<'_>) {}

    pub(crate) fn finish(self) -> Dictionary {
        Dictionary::default()
    }
}

/// Where an event with some id may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IdCandidate {
    Position(Position),
    /// An event of this subject; of this version, if the id tells.
    Subject {
        subject: String,
        version: Option<u64>,
    },
}

/// What the blocks of a segment share.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {}

impl Dictionary {
    pub(crate) fn encode(&self, _out: &mut Vec<u8>) {}

    pub(crate) fn parse(_bytes: &[u8]) -> Parsed<Dictionary> {
        Err(Bad::new(0, "a dictionary", "not written yet"))
    }

    /// The string of a segment-scoped column behind a reference, which is 1 for the first; 0 is none.
    pub(crate) fn value(&self, _column: StringColumn, _reference: u32) -> Option<&str> {
        None
    }

    /// All strings of a column with their references; `None` where the column has block scope.
    pub(crate) fn references(&self, _column: StringColumn) -> Option<impl Iterator<Item = (u32, &str)>> {
        Some(std::iter::empty())
    }

    /// Whether an event is found by its id without the term index: it gave none, or one that follows a template.
    pub(crate) fn id_is_derivable(&self, _event: &EventRef<'_>) -> bool {
        false
    }

    /// The places that templates admit for an id; the event there may still have another id.
    pub(crate) fn id_candidates(&self, _id: &str) -> Vec<IdCandidate> {
        Vec::new()
    }
}
