//! The segment dictionary: strings that the blocks of a segment refer to, and the templates of its ids.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | scopes: bit n is set if column n has its strings here, for all blocks, and not in each block |
//! | 2 | 2 | flags: 1 the term index holds the stems of ids |
//! | 4 | 4 | number of sections |
//! | 8 | | sections |
//!
//! | section | what |
//! |---|---|
//! | 0 to 9 | list: lengths of the strings of that column, in the order of their references |
//! | 16 | list: lengths of the kinds of the templates |
//! | 17 | column: lengths of the texts of the templates |
//! | 18 | column: modes of the templates |
//! | 19 | column: differences of the templates |
//! | 64 | text: all strings, then kinds and texts of all templates in turn |
//!
//! A column has its strings here if there are at most 4,096 and 64 KiB of them.

use super::column::Ints;
use super::ids::{Mode, Place, TEMPLATES_MAX, Template, TemplateFinder};
use super::sections::{Sections, SectionsWriter};
use super::stems::{self, StemFinder};
use super::strings::{Interner, Strings};
use crate::actor::ActorKind;
use crate::event::EventRef;
use crate::format::bytes::{u16_at, u32_at};
use crate::format::{Bad, Parsed};
use crate::position::Position;

const STRINGS_MAX: usize = 4096;
const COLUMN_BYTES_MAX: usize = 64 << 10;
/// A kind and a text are pieces of a subject and an id.
const TEMPLATE_BYTES_MAX: usize = 2048;
/// Of all columns together.
const STRINGS_BYTES_MAX: usize = StringColumn::ALL.len() * COLUMN_BYTES_MAX;

const HEADER_BYTES: usize = 8;
const BY_STEM: u16 = 1;
const KIND_LENS: u8 = 16;
const TEXT_LENS: u8 = 17;
const MODES: u8 = 18;
const DIFFERENCES: u8 = 19;
const TEXT: u8 = 64;
const SECTIONS: [u8; 15] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, KIND_LENS, TEXT_LENS, MODES, DIFFERENCES, TEXT];

/// A column of strings. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum StringColumn {
    Subject = 0,
    Type = 1,
    /// What [`actor_string`] makes of an actor.
    Actor = 2,
    OnBehalfOf = 3,
    Source = 4,
    Correlation = 5,
    ContentType = 6,
    Tag = 7,
    MetaName = 8,
    MetaValue = 9,
}

impl StringColumn {
    pub(crate) const ALL: [StringColumn; 10] = [
        StringColumn::Subject,
        StringColumn::Type,
        StringColumn::Actor,
        StringColumn::OnBehalfOf,
        StringColumn::Source,
        StringColumn::Correlation,
        StringColumn::ContentType,
        StringColumn::Tag,
        StringColumn::MetaName,
        StringColumn::MetaValue,
    ];
}

/// How an actor stands in its column: the digit of its kind's code, then its id.
pub(crate) fn actor_string(kind: ActorKind, id: &str, out: &mut String) {
    out.clear();
    out.push(char::from(b'0' + kind.code()));
    out.push_str(id);
}

/// Calls `each` with every string of an event but its id. What is empty counts as absent, but a subject.
fn strings(event: &EventRef<'_>, actor: &mut String, mut each: impl FnMut(StringColumn, &str)) {
    each(StringColumn::Subject, event.subject());
    if let Some(found) = event.actor() {
        actor_string(found.kind(), found.id(), actor);
        each(StringColumn::Actor, actor);
    }
    let mut text = |column, string: &str| {
        if !string.is_empty() {
            each(column, string);
        }
    };
    text(StringColumn::Type, event.event_type());
    text(StringColumn::OnBehalfOf, event.on_behalf_of().unwrap_or_default());
    text(StringColumn::Source, event.source().unwrap_or_default());
    text(StringColumn::Correlation, event.correlation().unwrap_or_default());
    text(StringColumn::ContentType, event.content_type());
    event.tags().for_each(|tag| each(StringColumn::Tag, tag));
    for (name, value) in event.meta() {
        each(StringColumn::MetaName, name);
        each(StringColumn::MetaValue, value);
    }
}

/// First pass over all events of a segment. Its memory is bounded: a column that has too many strings is given up.
#[derive(Debug, Default)]
pub(crate) struct DictionaryBuilder {
    /// `None`: given up, so the column has block scope.
    columns: [Column; StringColumn::ALL.len()],
    ids: TemplateFinder,
    stems: StemFinder,
    actor: String,
}

#[derive(Debug)]
struct Column(Option<Interner<Box<str>>>);

impl Default for Column {
    fn default() -> Self {
        Column(Some(Interner::default()))
    }
}

impl DictionaryBuilder {
    pub(crate) fn new() -> DictionaryBuilder {
        DictionaryBuilder::default()
    }

    pub(crate) fn add(&mut self, event: &EventRef<'_>) {
        let columns = &mut self.columns;
        strings(event, &mut self.actor, |column, string| {
            let Column(interner) = &mut columns[column as usize];
            if let Some(known) = interner {
                known.reference(string);
                if known.lengths.len() > STRINGS_MAX || known.text.len() > COLUMN_BYTES_MAX {
                    *interner = None;
                }
            }
        });
        if let Some(id) = event.given_id() {
            self.ids.add(id, &Place::of(event));
            self.stems.add(id);
        }
    }

    pub(crate) fn finish(self) -> Dictionary {
        let by_stem = self.stems.worth_it();
        let templates = self.ids.finish();
        let mut dictionary = Dictionary { templates, by_stem, ..Dictionary::default() };
        for (Column(interner), column) in self.columns.into_iter().zip(StringColumn::ALL) {
            let Some(interner) = interner else { continue };
            let mut at = dictionary.text.len();
            dictionary.text.push_str(&interner.text);
            let end = |len: &i64| {
                at += *len as usize;
                at as u32
            };
            let start = dictionary.text.len() - interner.text.len();
            dictionary.columns[column as usize] =
                Some(Strings::new(start as u32, interner.lengths.iter().map(end).collect()));
            dictionary.known[column as usize] = interner;
        }
        dictionary
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
pub(crate) struct Dictionary {
    text: String,
    /// `None`: the column has block scope.
    columns: [Option<Strings>; StringColumn::ALL.len()],
    /// References of strings, where the dictionary was built and not parsed.
    known: [Interner<Box<str>>; StringColumn::ALL.len()],
    templates: Vec<Template>,
    by_stem: bool,
}

impl Dictionary {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut sections = SectionsWriter::default();
        let (mut scopes, mut text) = (0u16, String::new());
        for (column, strings) in self.columns.iter().enumerate() {
            let Some(strings) = strings else { continue };
            scopes |= 1 << column;
            let lengths: Vec<i64> = strings.iter(&self.text).map(|(_, string)| string.len() as i64).collect();
            sections.list(column as u8, &lengths);
            strings.iter(&self.text).for_each(|(_, string)| text.push_str(string));
        }
        let numbers = |number: &dyn Fn(&Template) -> i64| self.templates.iter().map(number).collect::<Vec<_>>();
        sections.list(KIND_LENS, &numbers(&|template| template.kind.len() as i64));
        sections.column(TEXT_LENS, &numbers(&|template| template.text.len() as i64));
        sections.column(MODES, &numbers(&|template| template.mode.code()));
        sections.column(DIFFERENCES, &numbers(&|template| template.mode.difference()));
        for template in &self.templates {
            text.push_str(&template.kind);
            text.push_str(&template.text);
        }
        sections.text(TEXT, &text);
        out.extend_from_slice(&scopes.to_le_bytes());
        out.extend_from_slice(&(if self.by_stem { BY_STEM } else { 0 }).to_le_bytes());
        out.extend_from_slice(&sections.len().to_le_bytes());
        sections.finish(out);
    }

    pub(crate) fn parse(bytes: &[u8]) -> Parsed<Dictionary> {
        let short = || Bad::new(0, "the head of a dictionary", format!("{} bytes", bytes.len()));
        let scopes = u16_at(bytes, 0).ok_or_else(short)?;
        let flags = u16_at(bytes, 2).ok_or_else(short)?;
        if flags & !BY_STEM != 0 || scopes >> StringColumn::ALL.len() != 0 {
            return Err(Bad::new(0, "scopes of known columns", format!("{scopes:#x}")));
        }
        let sections =
            Sections::parse(bytes, HEADER_BYTES, u32_at(bytes, 4).ok_or_else(short)?, |id| SECTIONS.contains(&id))?;
        let mut at = 0;
        let mut columns: [Option<Strings>; StringColumn::ALL.len()] = Default::default();
        for (index, column) in columns.iter_mut().enumerate() {
            let lengths = sections.list(index as u8, STRINGS_MAX)?;
            if scopes & (1 << index) != 0 {
                *column = Some(Strings::lay_out(bytes, &lengths, STRINGS_BYTES_MAX, &mut at)?);
            }
        }
        let kinds = sections.list(KIND_LENS, TEMPLATES_MAX)?;
        let count = kinds.count();
        let texts = sections.column(TEXT_LENS, count)?;
        let modes = sections.column(MODES, count)?;
        let differences = sections.column(DIFFERENCES, count)?;
        let mut spans = Vec::with_capacity(count);
        for index in 0..count {
            let mut span = |lengths: &Ints| {
                let len = usize::try_from(lengths.get(bytes, index)).ok().filter(|len| *len <= TEMPLATE_BYTES_MAX)?;
                at += len;
                Some(at - len..at)
            };
            let span = span(&kinds).zip(span(&texts));
            spans.push(span.ok_or_else(|| Bad::new(0, "templates of at most 2 KiB", "a longer one"))?);
        }
        let text = sections.text(TEXT, at)?;
        columns.iter().flatten().try_for_each(|strings| strings.check(&text))?;
        let mut templates = Vec::with_capacity(count);
        for (index, (kind, template)) in spans.into_iter().enumerate() {
            let mode = Mode::from_parts(modes.get(bytes, index), differences.get(bytes, index));
            let template = text.get(kind).zip(text.get(template)).zip(mode);
            let template = template.and_then(|((kind, text), mode)| Template::new(kind.into(), text.into(), mode));
            templates.push(template.ok_or_else(|| Bad::new(0, "templates of ids", format!("another at {index}")))?);
        }
        let by_stem = flags & BY_STEM != 0;
        Ok(Dictionary { text: text.into(), columns, templates, by_stem, ..Dictionary::default() })
    }

    /// Bytes held, about.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn memory(&self) -> usize {
        self.text.len() + self.columns.iter().flatten().map(super::strings::Strings::memory).sum::<usize>()
    }

    /// Whether a column has its strings here.
    pub(crate) fn has(&self, column: StringColumn) -> bool {
        self.columns[column as usize].is_some()
    }

    /// The string of a segment-scoped column behind a reference, which is 1 for the first; 0 is none.
    pub(crate) fn value(&self, column: StringColumn, reference: u32) -> Option<&str> {
        self.columns[column as usize].as_ref()?.get(&self.text, reference)
    }

    /// All strings of a column with their references; `None` where the column has block scope.
    pub(crate) fn references(&self, column: StringColumn) -> Option<impl Iterator<Item = (u32, &str)>> {
        self.columns[column as usize].as_ref().map(|strings| strings.iter(&self.text))
    }

    /// The reference of a string of a segment-scoped column.
    pub(crate) fn reference(&self, column: StringColumn, string: &str) -> Option<u32> {
        // Dictionaries that were parsed are seldom asked.
        self.known[column as usize]
            .known(string)
            .or_else(|| self.references(column)?.find(|(_, known)| *known == string).map(|(reference, _)| reference))
    }

    pub(crate) fn templates(&self) -> &[Template] {
        &self.templates
    }

    pub(crate) fn template(&self, index: usize) -> Option<&Template> {
        self.templates.get(index)
    }

    /// The template that an id follows, and the number to keep.
    pub(crate) fn match_id(&self, id: &str, place: &Place<'_>) -> Option<(usize, i64)> {
        self.templates.iter().enumerate().find_map(|(index, template)| Some((index, template.number_of(id, place)?)))
    }

    /// Whether an event is found by its id without the term index: it gave none, or one that follows a template.
    pub(crate) fn id_is_derivable(&self, event: &EventRef<'_>) -> bool {
        let Some(id) = event.given_id() else { return true };
        let matched = self.match_id(id, &Place::of(event));
        matched.and_then(|(index, _)| self.template(index)).is_some_and(Template::finds)
    }

    /// What the term index holds of an id that is not found without it.
    pub(crate) fn indexed_id<'i>(&self, id: &'i str) -> &'i str {
        if self.by_stem { stems::indexed(id) } else { id }
    }

    /// The places that templates admit for an id; the event there may still have another id.
    pub(crate) fn id_candidates(&self, id: &str) -> Vec<IdCandidate> {
        let mut candidates = Vec::new();
        self.templates.iter().for_each(|template| template.candidates(id, &mut candidates));
        candidates
    }
}
