//! The templates of ids of all segments of a run, each once, with the segments between which it is in use.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::format::bytes::{Put, Take};
use crate::format::sealed::dictionary::IdCandidate;
use crate::format::sealed::ids::{Mode, Template};
use crate::format::{Bad, Parsed};

pub(super) const TEMPLATES_MAX: usize = 1024;
pub(super) const BYTES_MAX: usize = 256 << 10;
const HEAD_BYTES: usize = 20;

/// Kind, text, mode and difference, in whose order they stand.
type Key = (String, String, u8, i64);

/// Different templates, each with the numbers of the first and last segment that has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Templates {
    known: BTreeMap<Key, (Template, RangeInclusive<u16>)>,
    bytes: usize,
    /// There were too many: none is kept.
    overflown: bool,
}

impl Templates {
    /// Adds a template that finds ids, of the segments between two numbers.
    pub(crate) fn add(&mut self, template: &Template, segments: RangeInclusive<u16>) {
        if self.overflown {
            return;
        }
        let key =
            (template.kind.clone(), template.text.clone(), template.mode.code() as u8, template.mode.difference());
        if let Some((_, known)) = self.known.get_mut(&key) {
            *known = *known.start().min(segments.start())..=*known.end().max(segments.end());
            return;
        }
        self.bytes += HEAD_BYTES + key.0.len() + key.1.len();
        let fits = u16::try_from(key.0.len()).is_ok() && u16::try_from(key.1.len()).is_ok();
        if !fits || self.bytes > BYTES_MAX || self.known.len() == TEMPLATES_MAX {
            self.overflow();
            return;
        }
        self.known.insert(key, (template.clone(), segments));
    }

    /// Adds those of another run whose first segment has this number here.
    pub(crate) fn add_all(&mut self, other: &Templates, offset: u16) {
        if other.overflown {
            self.overflow();
        }
        for (template, segments) in other.known.values() {
            let shifted = segments.start().saturating_add(offset)..=segments.end().saturating_add(offset);
            self.add(template, shifted);
        }
    }

    /// None is known any more: any segment may have any id.
    pub(crate) fn overflow(&mut self) {
        *self = Templates { overflown: true, ..Templates::default() };
    }

    pub(crate) fn is_overflown(&self) -> bool {
        self.overflown
    }

    /// Calls `each` with every place that a template admits for an id, and the segments that have the template.
    pub(crate) fn candidates(&self, id: &str, mut each: impl FnMut(IdCandidate, RangeInclusive<u16>)) {
        let mut found = Vec::new();
        for (template, segments) in self.known.values() {
            template.candidates(id, &mut found);
            found.drain(..).for_each(|candidate| each(candidate, segments.clone()));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes);
        for ((kind, text, mode, difference), (_, segments)) in &self.known {
            let mut head = [0; HEAD_BYTES];
            Put(&mut head)
                .u16(0, kind.len() as u16)
                .u16(2, text.len() as u16)
                .bytes(4, &[*mode])
                .i64(8, *difference)
                .u16(16, *segments.start())
                .u16(18, *segments.end());
            out.extend_from_slice(&head);
            out.extend_from_slice(kind.as_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        out
    }

    /// Reads `count` templates, whose segments have to be below `segments`.
    pub(super) fn parse(bytes: &[u8], count: u32, segments: u32, overflown: bool) -> Parsed<Templates> {
        let mut take = Take(bytes);
        let mut templates = Templates { overflown, ..Templates::default() };
        for _ in 0..count {
            let at = (bytes.len() - take.0.len()) as u64;
            let (key, template, range) = Self::one(&mut take)
                .filter(|(_, _, range)| u32::from(*range.end()) < segments)
                .filter(|(key, ..)| templates.known.last_key_value().is_none_or(|(before, _)| before < key))
                .ok_or_else(|| Bad::new(at, "a template behind the one before", "other bytes"))?;
            templates.bytes += HEAD_BYTES + key.0.len() + key.1.len();
            templates.known.insert(key, (template, range));
        }
        match take.0 {
            [] => Ok(templates),
            rest => Err(Bad::new((bytes.len() - rest.len()) as u64, "the end of the templates", "more bytes")),
        }
    }

    fn one(take: &mut Take<'_>) -> Option<(Key, Template, RangeInclusive<u16>)> {
        let (kind, text) = (take.u16()?, take.u16()?);
        let (mode, zero, difference) = (take.u8()?, take.array::<3>()?, take.i64()?);
        let (first, last) = (take.u16()?, take.u16()?);
        let mut string = |len: u16| Some(std::str::from_utf8(take.slice(len.into())?).ok()?.to_owned());
        let (kind, text) = (string(kind)?, string(text)?);
        let template = Template::new(kind.clone(), text.clone(), Mode::from_parts(mode.into(), difference)?)?;
        let sane = zero == [0; 3] && first <= last && template.finds() && template.mode.difference() == difference;
        sane.then_some(((kind, text, mode, difference), template, first..=last))
    }
}
