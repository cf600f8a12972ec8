//! From columns back to events: one row alone, or many from columns that were unpacked before.

use super::block::{self, Block, CAUSE, ID_LITERAL, ID_NONE, ID_TEMPLATES, OCCURRED, PayloadPlace, ROW_STRINGS, Row};
use super::dictionary::StringColumn;
use super::ids::Place;
use crate::actor::ActorKind;
use crate::event::{EventRef, Head, TextLens};
use crate::format::leaf::BatchFacts;
use crate::format::record::known_content_type;
use crate::format::{Bad, Parsed};
use crate::limits::ID_BYTES_MAX;
use crate::position::Position;
use crate::subject;
use crate::time::Timestamp;

/// Buffers for the event in hand.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    text: String,
    lists: Vec<u8>,
}

/// All columns of a block as arrays, for a walk over its rows. Belongs to the block that filled it last.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    rows: u32,
    flags: Vec<i64>,
    epoch: Vec<i64>,
    recorded: Vec<i64>,
    wall: Vec<i64>,
    occurred: Vec<i64>,
    cause: Vec<i64>,
    data_len: Vec<i64>,
    id_form: Vec<i64>,
    id_number: Vec<i64>,
    references: [Vec<i64>; ROW_STRINGS],
    tag_list: Vec<i64>,
    meta_list: Vec<i64>,
    literals: String,
    literal_ends: Vec<u32>,
}

/// The numbers of one row.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    flags: u8,
    epoch: i64,
    recorded: i64,
    wall: i64,
    occurred: i64,
    cause: i64,
    data_len: i64,
    id_form: i64,
    id_number: i64,
    references: [i64; ROW_STRINGS],
    tag_list: i64,
    meta_list: i64,
}

impl Block {
    /// Puts the event together; `data` is what stands at its [`Block::payload`].
    pub(crate) fn event<'a>(&'a self, row: u32, scratch: &'a mut Scratch, data: &'a [u8]) -> Parsed<Row<'a>> {
        let (index, bytes, columns) = (self.index(row)?, &*self.head, &self.columns);
        let numbers = Numbers {
            flags: columns.flags.get(bytes, index) as u8,
            epoch: columns.epoch.get(bytes, index),
            recorded: columns.recorded.get(bytes, index),
            wall: columns.wall.get(bytes, index),
            occurred: columns.occurred.get(bytes, index),
            cause: columns.cause.get(bytes, index),
            data_len: columns.data_len.get(bytes, index),
            id_form: columns.id_form.get(bytes, index),
            id_number: columns.id_number.get(bytes, index),
            references: std::array::from_fn(|column| columns.references[column].get(bytes, index)),
            tag_list: columns.tag_list.get(bytes, index),
            meta_list: columns.meta_list.get(bytes, index),
        };
        let mut buffer = [0; ID_BYTES_MAX];
        let literal = match numbers.id_form {
            ID_LITERAL => self.literal(index, &mut buffer)?,
            _ => "",
        };
        self.assemble(index, &numbers, literal, scratch, data)
    }

    /// As [`Block::event`], from columns unpacked before.
    pub(crate) fn event_unpacked<'a>(
        &'a self,
        unpacked: &'a Unpacked,
        row: u32,
        scratch: &'a mut Scratch,
        data: &'a [u8],
    ) -> Parsed<Row<'a>> {
        let index = self.index(row)?;
        let at = |column: &Vec<i64>| column.get(index).copied().unwrap_or_default();
        if unpacked.rows != self.rows() {
            return Err(Bad::new(0, "the columns of this block", "those of another"));
        }
        let numbers = Numbers {
            flags: at(&unpacked.flags) as u8,
            epoch: at(&unpacked.epoch),
            recorded: at(&unpacked.recorded),
            wall: at(&unpacked.wall),
            occurred: at(&unpacked.occurred),
            cause: at(&unpacked.cause),
            data_len: at(&unpacked.data_len),
            id_form: at(&unpacked.id_form),
            id_number: at(&unpacked.id_number),
            references: std::array::from_fn(|column| at(&unpacked.references[column])),
            tag_list: at(&unpacked.tag_list),
            meta_list: at(&unpacked.meta_list),
        };
        let literal = match numbers.id_form {
            ID_LITERAL => {
                let ordinal = self.literal_of.get(index).map_or(0, |ordinal| usize::from(*ordinal));
                let end_of = |ordinal: usize| unpacked.literal_ends.get(ordinal).map_or(0, |end| *end as usize);
                let start = ordinal.checked_sub(1).map_or(0, end_of);
                unpacked.literals.get(start..end_of(ordinal)).unwrap_or_default()
            }
            _ => "",
        };
        self.assemble(index, &numbers, literal, scratch, data)
    }

    /// Replaces the contents by the columns of this block.
    pub(crate) fn unpack(&self, unpacked: &mut Unpacked) -> Parsed<()> {
        let (bytes, columns) = (&*self.head, &self.columns);
        // Whatever fails must not leave the rows of two blocks behind.
        unpacked.rows = 0;
        columns.flags.unpack(bytes, &mut unpacked.flags);
        columns.epoch.unpack(bytes, &mut unpacked.epoch);
        columns.recorded.unpack(bytes, &mut unpacked.recorded);
        columns.wall.unpack(bytes, &mut unpacked.wall);
        columns.occurred.unpack(bytes, &mut unpacked.occurred);
        columns.cause.unpack(bytes, &mut unpacked.cause);
        columns.data_len.unpack(bytes, &mut unpacked.data_len);
        columns.id_form.unpack(bytes, &mut unpacked.id_form);
        columns.id_number.unpack(bytes, &mut unpacked.id_number);
        for (column, out) in columns.references.iter().zip(&mut unpacked.references) {
            column.unpack(bytes, out);
        }
        columns.tag_list.unpack(bytes, &mut unpacked.tag_list);
        columns.meta_list.unpack(bytes, &mut unpacked.meta_list);
        self.literals.unpack(bytes, &self.text, &mut unpacked.literals, &mut unpacked.literal_ends)?;
        unpacked.rows = self.rows();
        Ok(())
    }

    /// As [`Block::payload`], from columns unpacked before.
    pub(crate) fn payload_unpacked(&self, unpacked: &Unpacked, row: u32) -> Parsed<PayloadPlace> {
        let index = self.index(row)?;
        match unpacked.data_len.get(index) {
            Some(len) if unpacked.rows == self.rows() => Ok(self.place(index, *len)),
            _ => Err(Bad::new(0, "the columns of this block", "those of another")),
        }
    }

    /// The given id of a row.
    pub(super) fn id_alone<'a>(&'a self, index: usize, scratch: &'a mut Scratch) -> Parsed<Option<&'a str>> {
        scratch.text.clear();
        match self.columns.id_form.get(&self.head, index) {
            ID_NONE => return Ok(None),
            ID_LITERAL => {
                let mut buffer = [0; ID_BYTES_MAX];
                scratch.text.push_str(self.literal(index, &mut buffer)?);
            }
            form => {
                let local = self.columns.references[StringColumn::Subject as usize].get(&self.head, index);
                let number = self.columns.id_number.get(&self.head, index);
                self.template_id(index, form, number, local, &mut scratch.text)?;
            }
        }
        Ok(Some(&scratch.text))
    }

    fn literal<'b>(&self, index: usize, buffer: &'b mut super::literals::Buffer) -> Parsed<&'b str> {
        let ordinal = self.literal_of.get(index).map_or(usize::MAX, |ordinal| usize::from(*ordinal));
        self.literals.get(&self.head, &self.text, ordinal, buffer)
    }

    fn template_id(&self, index: usize, form: i64, number: i64, local: i64, out: &mut String) -> Parsed<()> {
        let none =
            || Bad::new(0, "an id that a template of the segment makes", format!("form {form}, number {number}"));
        let template = usize::try_from(form.wrapping_sub(ID_TEMPLATES)).ok();
        let template = template.and_then(|template| self.dictionary.template(template)).ok_or_else(none)?;
        let text = self.subject_text(local)?;
        let kind = subject::kind_of(text);
        let place = Place {
            kind,
            subject_id: text.get(kind.len() + 1..).unwrap_or_default(),
            version: self.version_of(index, local),
            position: self.facts.base.get() + index as u64,
        };
        template.render(&place, number, out).ok_or_else(none)
    }

    fn assemble<'a>(
        &'a self,
        index: usize,
        numbers: &Numbers,
        literal: &str,
        scratch: &'a mut Scratch,
        data: &'a [u8],
    ) -> Parsed<Row<'a>> {
        // No data at all: whoever reads wants the rest alone.
        if !data.is_empty() && data.len() as i64 != numbers.data_len {
            return Err(Bad::new(0, format!("data of {} bytes", numbers.data_len), data.len().to_string()));
        }
        let (text, lists) = (&mut scratch.text, &mut scratch.lists);
        text.clear();
        lists.clear();
        let reference = |column: StringColumn| {
            let reference = numbers.references.get(column as usize).copied().unwrap_or_default();
            self.text_of(column, reference)
        };
        let mut push = |string: &str| {
            text.push_str(string);
            u16::try_from(string.len()).map_err(|_| Bad::new(0, "a string of at most 65535 bytes", "a longer one"))
        };
        let local = numbers.references[StringColumn::Subject as usize];
        let subject = push(self.subject_text(local)?)?;
        let event_type = push(reference(StringColumn::Type)?)?;
        let (actor, id) = actor_of(reference(StringColumn::Actor)?)?;
        let actor_len = push(id)?;
        let on_behalf_of = push(reference(StringColumn::OnBehalfOf)?)?;
        let source = push(reference(StringColumn::Source)?)?;
        let correlation = push(reference(StringColumn::Correlation)?)?;
        let content_type = reference(StringColumn::ContentType)?;
        let content = known_content_type(content_type);
        let content_len = if content.is_some() { 0 } else { push(content_type)? };
        let id_start = text.len();
        match numbers.id_form {
            ID_NONE => {}
            ID_LITERAL => text.push_str(literal),
            form => self.template_id(index, form, numbers.id_number, local, text)?,
        }
        let id = text.len() - id_start;
        if id > ID_BYTES_MAX {
            return Err(Bad::new(0, "an id of at most 255 bytes", id.to_string()));
        }
        let mut element = |column: StringColumn, reference: i64| -> Parsed<()> {
            let string = self.text_of(column, reference)?;
            text.push_str(string);
            // Strings of blocks and dictionaries are no longer than that.
            lists.extend_from_slice(&(string.len() as u16).to_le_bytes());
            Ok(())
        };
        let tags = self.tag_lists.range(numbers.tag_list)?;
        let tag_count = tags.len() as u8;
        for tag in tags {
            element(StringColumn::Tag, self.tags.get(&self.head, tag))?;
        }
        for entry in self.meta_lists.range(numbers.meta_list)? {
            element(StringColumn::MetaName, self.meta_names.get(&self.head, entry))?;
            element(StringColumn::MetaValue, self.meta_values.get(&self.head, entry))?;
        }

        let position = self.facts.base.get() + index as u64;
        let flag = |bit: u8| numbers.flags & bit != 0;
        let head = Head {
            log: self.facts.log,
            epoch: numbers.epoch.cast_unsigned(),
            position: Position::new(position),
            version: self.version_of(index, local),
            recorded_at: Timestamp::from_nanos(numbers.recorded),
            occurred_at: flag(OCCURRED).then(|| Timestamp::from_nanos(numbers.occurred)),
            causation: flag(CAUSE).then(|| Position::new(position.wrapping_sub(numbers.cause.cast_unsigned()))),
            actor,
            content,
            lens: TextLens {
                subject,
                event_type,
                actor: actor_len,
                on_behalf_of,
                source,
                correlation,
                content_type: content_len,
                id: id as u16,
            },
            tag_count,
            imported: flag(block::IMPORTED),
        };
        let batch = BatchFacts {
            last_of_batch: flag(block::LAST_OF_BATCH),
            clock_suspect: flag(block::CLOCK_SUSPECT),
            wall: flag(block::WALL).then(|| Timestamp::from_nanos(numbers.recorded.wrapping_add(numbers.wall))),
            key: self.key(index as u32)?.map(|(key, hash)| (key, hash.as_slice())),
        };
        Ok(Row { event: EventRef { head, lists: &scratch.lists, text: &scratch.text, data }, batch })
    }
}

/// What `actor_string` made one text of.
fn actor_of(string: &str) -> Parsed<(Option<ActorKind>, &str)> {
    let Some(code) = string.bytes().next() else { return Ok((None, "")) };
    let kind = code.checked_sub(b'0').and_then(ActorKind::from_code);
    match (kind, string.get(1..)) {
        (Some(kind), Some(id)) => Ok((Some(kind), id)),
        _ => Err(Bad::new(0, "the digit of an actor's kind, 1 to 5", format!("{string:?}"))),
    }
}
