//! The same for sealed segments: written from "Sealed segments" in docs/format.md. It decodes every
//! column as a whole, and makes the term index anew to compare it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::reader::{Bytes, Found, Log, Result, leaf, named, need, number, peaks, version_is_known};
use crate::terms_reader::{hash, terms};

thread_local! {
    static SEEN: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes that something of the format was there to be read.
pub(crate) fn saw(what: impl Into<String>) {
    SEEN.with_borrow_mut(|seen| seen.insert(what.into()));
}

/// What this thread has seen until now.
pub(crate) fn seen() -> BTreeSet<String> {
    SEEN.with_borrow(BTreeSet::clone)
}

/// Bytes that are taken from the front.
pub(crate) struct Rest<'a>(pub(crate) Bytes<'a>);

impl<'a> Rest<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Result<Bytes<'a>> {
        let (front, rest) = self.0.split_at_checked(len).ok_or_else(|| format!("{len} more bytes"))?;
        self.0 = rest;
        Ok(front)
    }

    pub(crate) fn number(&mut self, len: usize) -> Result<u64> {
        number(self.take(len)?, 0, len)
    }

    pub(crate) fn varint(&mut self) -> Result<u64> {
        let mut sum = 0u128;
        for shift in (0..70).step_by(7) {
            let byte = self.number(1)?;
            sum |= u128::from(byte & 127) << shift;
            if byte < 128 {
                return u64::try_from(sum).map_err(|_| "a varint of 64 bits".to_owned());
            }
        }
        Err("a varint that ends".to_owned())
    }

    fn zigzag(&mut self) -> Result<i64> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(crate) fn packed(&mut self, count: usize, width: u64) -> Result<Vec<u64>> {
        let bytes = self.take((count * width as usize).div_ceil(8))?;
        let bit = |bit: usize| u64::from(bytes[bit / 8] >> (bit % 8) & 1);
        let width = width as usize;
        Ok((0..count).map(|index| (0..width).fold(0, |sum, at| sum | bit(index * width + at) << at)).collect())
    }
}

pub(crate) fn width_of(number: u64) -> u64 {
    u64::from(64 - number.leading_zeros())
}

/// Section "Tables of sections", the codecs.
fn column(codec: u64, rest: &mut Rest<'_>, count: usize) -> Result<Vec<i64>> {
    let inner = |rest: &mut Rest<'_>, count: usize, allowed: &[u64]| {
        let codec = rest.number(1)?;
        need(allowed.contains(&codec), "a codec of an inner column")?;
        column(codec, rest, count)
    };
    let scaled = |base: i64, unit: u64, number: u64| base.wrapping_add(unit.wrapping_mul(number) as i64);
    saw(format!("codec {codec}"));
    match codec {
        0 => Ok(vec![rest.zigzag()?; count]),
        1 => {
            let (base, unit, width) = (rest.zigzag()?, rest.varint()?, rest.number(1)?);
            need(unit > 0 && width <= 64, "a unit and a width")?;
            Ok(rest.packed(count, width)?.into_iter().map(|number| scaled(base, unit, number)).collect())
        }
        2 => {
            let runs = rest.varint()? as usize;
            need((1..=count).contains(&runs), "a number of runs")?;
            let ends = rest.packed(runs - 1, width_of(count as u64))?;
            let values = inner(rest, runs, &[0, 1])?;
            Ok((0..count as u64).map(|index| values[ends.iter().filter(|end| **end <= index).count()]).collect())
        }
        3 => {
            let (base, unit, step, width) = (rest.zigzag()?, rest.varint()?, rest.zigzag()?, rest.number(1)?);
            need(unit > 0 && width <= 64 && count <= 1_024, "a delta column")?;
            let widths = rest.take(count.div_ceil(64))?;
            let starts = rest.packed(widths.len(), width)?;
            let mut values = Vec::new();
            for (mini, (start, width)) in starts.into_iter().zip(widths).enumerate() {
                let mut sum = start;
                values.push(scaled(base, unit, sum));
                for delta in rest.packed((count - mini * 64).min(64) - 1, u64::from(*width))? {
                    sum = sum.wrapping_add(step as u64).wrapping_add(delta);
                    values.push(scaled(base, unit, sum));
                }
            }
            Ok(values)
        }
        4 => {
            let known = 1 + rest.number(1)? as usize;
            let values = inner(rest, known, &[0, 1])?;
            let index = rest.packed(count, width_of(known as u64 - 1))?;
            Ok(index.into_iter().map(|index| values[index as usize]).collect())
        }
        5 => {
            let bits = rest.packed(count, 1)?;
            let old = inner(rest, bits.iter().filter(|bit| **bit == 0).count(), &[0, 1])?;
            let (mut new, mut old) = (0, old.into_iter());
            Ok(bits
                .into_iter()
                .map(|bit| {
                    new += bit as i64;
                    if bit == 1 { new } else { old.next().unwrap() }
                })
                .collect())
        }
        6 => {
            let bits = rest.packed(count, 1)?;
            let values = inner(rest, bits.iter().sum::<u64>() as usize, &[0, 1, 3, 4, 5])?;
            let mut seen = 0;
            Ok(bits
                .into_iter()
                .map(|bit| {
                    seen += bit as usize;
                    values[seen - 1]
                })
                .collect())
        }
        _ => Err(format!("codec {codec}")),
    }
}

/// Section "Tables of sections".
struct Table<'a>(BTreeMap<u8, (u64, Bytes<'a>)>);

impl<'a> Table<'a> {
    fn read(bytes: Bytes<'a>, head: usize, known: &[u8]) -> Result<Table<'a>> {
        let count = number(bytes, head, 4)? as usize;
        let start = if head == 4 { 8 } else { 24 };
        let entries = bytes.get(start..start + 8 * count).ok_or("a table of sections")?;
        let (mut bodies, mut sections) = (Rest(&bytes[start + 8 * count..]), BTreeMap::new());
        for entry in entries.chunks(8) {
            let ascends = sections.last_key_value().is_none_or(|(last, _)| *last < entry[0]);
            need(ascends && entry[2] == 1 && entry[3] == 0, "an entry of a section")?;
            need(known.contains(&entry[0]), "a section that is known")?;
            let body = bodies.take(number(entry, 4, 4)? as usize)?;
            saw(format!("{} {}", if head == 4 { "string section" } else { "head section" }, entry[0]));
            sections.insert(entry[0], (u64::from(entry[1]), body));
        }
        need(bodies.0.is_empty(), "bodies to the end")?;
        Ok(Table(sections))
    }

    fn column(&self, id: u8, count: usize) -> Result<Vec<i64>> {
        let Some((codec, body)) = self.0.get(&id) else { return Ok(vec![0; count]) };
        let mut rest = Rest(body);
        let values = column(*codec, &mut rest, count)?;
        need(rest.0.is_empty(), "the end of a column")?;
        Ok(values)
    }

    fn list(&self, id: u8) -> Result<Vec<i64>> {
        let Some((codec, body)) = self.0.get(&id) else { return Ok(Vec::new()) };
        let mut rest = Rest(body);
        let count = rest.varint()? as usize;
        let values = column(*codec, &mut rest, count)?;
        need(rest.0.is_empty(), "the end of a list")?;
        Ok(values)
    }

    fn raw(&self, id: u8) -> Result<Bytes<'a>> {
        let (codec, body) = self.0.get(&id).copied().unwrap_or_default();
        need(codec == 0, "bytes as they are")?;
        Ok(body)
    }

    fn text(&self) -> Result<String> {
        let Some((codec, body)) = self.0.get(&64) else { return Ok(String::new()) };
        let mut rest = Rest(body);
        let len = rest.varint()? as usize;
        let bytes = match codec {
            0 => rest.0.to_vec(),
            1 => unpack(rest.0, len, &[])?,
            _ => return Err(format!("codec {codec} of a text")),
        };
        need(bytes.len() == len, "a text of its length")?;
        String::from_utf8(bytes).map_err(|_| "UTF-8".to_owned())
    }
}

fn unpack(frame: Bytes<'_>, len: usize, dictionary: Bytes<'_>) -> Result<Vec<u8>> {
    need(frame.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]), "the magic number of zstd")?;
    let mut decoder = zstd::bulk::Decompressor::with_dictionary(dictionary).map_err(|error| error.to_string())?;
    let raw = decoder.decompress(frame, len).map_err(|error| error.to_string())?;
    need(raw.len() == len, "as many bytes as were said")?;
    Ok(raw)
}

/// Strings are cut off a text one after the other.
struct Texts<'a>(&'a str);

impl Texts<'_> {
    fn one(&mut self, len: i64) -> Result<String> {
        let (front, rest) = self.0.split_at_checked(len as usize).ok_or("a string that ends at a character")?;
        self.0 = rest;
        Ok(front.to_owned())
    }

    fn all(&mut self, lens: &[i64]) -> Result<Vec<String>> {
        lens.iter().map(|len| self.one(*len)).collect()
    }
}

pub(crate) struct Template {
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) mode: i64,
    pub(crate) difference: i64,
}

impl Template {
    pub(crate) fn finds(&self) -> bool {
        let subject = self.text.contains('\u{1}');
        self.mode == 2 || subject && (self.mode == 1 || !self.text.contains('\u{2}'))
    }
}

/// Section "Segment dictionary".
pub(crate) struct Dictionary {
    strings: Vec<Option<Vec<String>>>,
    pub(crate) templates: Vec<Template>,
}

fn dictionary(bytes: Bytes<'_>) -> Result<Dictionary> {
    let scopes = number(bytes, 0, 2)?;
    need(scopes < 1 << 10 && number(bytes, 2, 2)? == 0, "scopes")?;
    let known: Vec<u8> = (0..10).chain([16, 17, 18, 19, 64]).collect();
    let table = Table::read(bytes, 4, &known)?;
    let text = table.text()?;
    let mut texts = Texts(&text);
    let strings = (0..10u8)
        .map(|column| match scopes >> column & 1 {
            1 => Ok(Some(texts.all(&table.list(column)?)?)),
            _ => Ok(None),
        })
        .collect::<Result<Vec<_>>>()?;
    let kinds = table.list(16)?;
    let [lens, modes, differences] = [17, 18, 19].map(|id| table.column(id, kinds.len()));
    let mut templates = Vec::new();
    for (((kind, len), mode), difference) in kinds.iter().zip(lens?).zip(modes?).zip(differences?) {
        need((0..=2).contains(&mode), "a mode")?;
        saw(format!("template of mode {mode}"));
        templates.push(Template { kind: texts.one(*kind)?, text: texts.one(len)?, mode, difference });
    }
    need(texts.0.is_empty(), "all of the text")?;
    Ok(Dictionary { strings, templates })
}

/// Section "Head of a block", the literal ids.
fn literals(table: &Table<'_>, texts: &mut Texts<'_>) -> Result<Vec<String>> {
    let shared = table.list(48)?;
    let (digits, rests) = (table.column(49, shared.len())?, table.column(50, shared.len())?);
    let nibbles = table.raw(51)?;
    let mut next = 0;
    let mut hex = |count: usize| -> String {
        let digit = |at: usize| char::from_digit(u32::from(nibbles[at / 2] >> (at % 2 * 4) & 15), 16).unwrap();
        next += count;
        (next - count..next).map(digit).collect()
    };
    let mut ids: Vec<Vec<u8>> = Vec::new();
    for ((shared, digits), rest) in shared.iter().zip(digits).zip(rests) {
        let mut id = ids.last().map_or(&[][..], Vec::as_slice)[..*shared as usize].to_vec();
        if digits == -1 {
            saw("a UUID");
            let parts = [8, 4, 4, 4, 12].map(&mut hex);
            id.extend(parts.join("-").into_bytes());
        } else {
            id.extend(hex(digits as usize).into_bytes());
        }
        id.extend(texts.one(rest)?.into_bytes());
        ids.push(id);
    }
    ids.into_iter().map(|id| String::from_utf8(id).map_err(|_| "an id".to_owned())).collect()
}

fn lists(lens: &[i64], elements: &[i64]) -> Vec<Vec<i64>> {
    let mut rest = elements;
    let mut one = |len: &i64| {
        let (list, after) = rest.split_at(*len as usize);
        rest = after;
        list.to_vec()
    };
    lens.iter().map(&mut one).collect()
}

/// The events of a block without their data, the lengths of these, and the pages: first rank, offset, stored length,
/// CRC.
struct Block {
    events: Vec<Found>,
    lens: Vec<usize>,
    ranks: Vec<usize>,
    pages: Vec<(usize, usize, usize, u64)>,
}

/// Section "Head of a block".
fn block(head: Bytes<'_>, base: u64, rows: usize, shared: &Dictionary) -> Result<Block> {
    need(number(head, 0, 4)? == rows as u64, "the rows of the block")?;
    let (page_count, flags) = (number(head, 4, 4)? as usize, number(head, 8, 4)?);
    need(flags <= 1, "flags of a head")?;
    let known: Vec<u8> =
        (1..=18).chain(20..=26).chain(32..=41).chain(48..=51).chain(56..=58).chain(60..=62).chain([64]).collect();
    let table = Table::read(head, 12, &known)?;
    let text = table.text()?;
    let mut texts = Texts(&text);
    let own = (0..10u8).map(|column| texts.all(&table.list(32 + column)?)).collect::<Result<Vec<_>>>()?;
    let ids = literals(&table, &mut texts)?;
    let key_rows = table.list(56)?;
    let keys = texts.all(&table.column(57, key_rows.len())?)?;
    need(texts.0.is_empty(), "all of the text")?;
    let hashes: Vec<Bytes<'_>> = table.raw(58)?.chunks(32).collect();
    need(hashes.len() == keys.len() && key_rows.is_sorted(), "a hash for each key")?;

    let string = |column: usize, reference: i64| -> Result<String> {
        let strings = shared.strings[column].as_ref().unwrap_or(&own[column]);
        match reference {
            0 => Ok(String::new()),
            _ => strings.get(reference as usize - 1).cloned().ok_or_else(|| format!("string {reference} of {column}")),
        }
    };
    let subjects = match shared.strings[0] {
        Some(_) => table.list(20)?.into_iter().map(|reference| string(0, reference)).collect::<Result<Vec<_>>>()?,
        None => own[0].clone(),
    };
    let mut versions = table.column(21, subjects.len())?;
    let per_row: Vec<Vec<i64>> = (0..=18u8).map(|id| table.column(id, rows)).collect::<Result<_>>()?;
    let elements = |lens: &[i64]| lens.iter().sum::<i64>() as usize;
    let (tag_lens, meta_lens) = (table.list(22)?, table.list(24)?);
    let tags = lists(&tag_lens, &table.column(23, elements(&tag_lens))?);
    let names = lists(&meta_lens, &table.column(25, elements(&meta_lens))?);
    let values = lists(&meta_lens, &table.column(26, elements(&meta_lens))?);

    let mut next_id = ids.into_iter();
    let mut events = Vec::new();
    for row in 0..rows {
        let of = |id: usize| per_row[id][row];
        let flag = |bit: i64| of(1) & bit != 0;
        let (position, local) = (base + row as u64, of(10) as usize - 1);
        let version = versions[local] as u64;
        versions[local] += 1;
        let subject = subjects[local].clone();
        let id = match of(8) {
            0 => String::new(),
            1 => next_id.next().ok_or("a literal id")?,
            template => {
                let template = shared.templates.get(template as usize - 2).ok_or("a template")?;
                let (kind, rest) = subject.split_once('/').ok_or("a subject")?;
                need(kind == template.kind, "a template of the kind")?;
                let number = match template.mode {
                    0 => of(9),
                    1 => version as i64 + template.difference,
                    _ => position as i64 + template.difference,
                };
                template.text.replace('\u{2}', &number.to_string()).replace('\u{1}', rest)
            }
        };
        let actor = string(2, of(12))?;
        let list = |lists: &[Vec<i64>], ordinal: i64| match ordinal {
            0 => Vec::new(),
            _ => lists[ordinal as usize - 1].clone(),
        };
        let pairs = list(&names, of(18)).into_iter().zip(list(&values, of(18)));
        let content_type = string(6, of(16))?;
        let listed = ["", "application/json", "application/octet-stream", "text/plain"];
        let key = key_rows.iter().position(|first| *first == row as i64);
        events.push(Found {
            position,
            version,
            epoch: of(2) as u64,
            recorded_at: of(3),
            wall: flag(16).then(|| of(3) + of(4)),
            occurred_at: flag(2).then(|| of(5)),
            causation: flag(32).then(|| position.wrapping_sub(of(6) as u64)),
            cause_in_batch: false,
            imported: flag(4),
            clock_suspect: flag(8),
            kept_time: false,
            last_of_batch: flag(1),
            actor_kind: actor.bytes().next().map_or(0, |digit| digit - b'0'),
            content: listed.iter().position(|listed| *listed == content_type).map_or(255, |code| code as u8),
            id,
            subject,
            event_type: string(1, of(11))?,
            actor: actor.chars().skip(1).collect(),
            on_behalf_of: string(3, of(13))?,
            source: string(4, of(14))?,
            correlation: string(5, of(15))?,
            content_type,
            tags: list(&tags, of(17)).into_iter().map(|tag| string(7, tag)).collect::<Result<_>>()?,
            meta: pairs.map(|(name, value)| Ok((string(8, name)?, string(9, value)?))).collect::<Result<_>>()?,
            key: key.map(|index| (keys[index].clone(), hashes[index].to_vec())),
            data: Vec::new(),
            leaf: [0; 32],
        });
    }
    need(next_id.next().is_none(), "all literal ids")?;

    let mut ranks: Vec<usize> = (0..rows).collect();
    if flags == 1 {
        saw("payloads ordered by subject");
        ranks.sort_by_key(|row| per_row[10][*row]);
    }
    let (mut pages, mut at) = (Vec::new(), number(head, 16, 8)? as usize);
    let of_pages = [60, 61, 62].map(|id| table.column(id, page_count));
    let [firsts, stored, crcs] = of_pages;
    for ((first, stored), crc) in firsts?.into_iter().zip(stored?).zip(crcs?) {
        pages.push((first as usize, at, stored as usize, crc as u64));
        at += stored as usize;
    }
    Ok(Block { events, lens: per_row[7].iter().map(|len| *len as usize).collect(), ranks, pages })
}

/// Section "Payload pages"; notes which bytes of the file they are.
fn payloads(file: Bytes<'_>, block: &mut Block, dictionary: Bytes<'_>, parts: &mut Vec<(usize, usize)>) -> Result<()> {
    need(block.pages.first().is_none_or(|page| page.0 == 0), "a page from rank 0 on")?;
    for (index, (first, at, stored_len, crc)) in block.pages.iter().enumerate() {
        let end = block.pages.get(index + 1).map_or(block.ranks.len(), |next| next.0);
        let rows = &block.ranks[*first..end];
        let len = rows.iter().map(|row| block.lens[*row]).sum();
        let stored = file.get(*at..at + stored_len).ok_or("a page")?;
        need(u64::from(crc32fast::hash(stored)) == *crc, "the CRC of a page")?;
        let raw = if stored.len() == len {
            saw("a page as it is");
            stored.to_vec()
        } else {
            saw("a page of zstd");
            unpack(stored, len, dictionary)?
        };
        let mut rest = Rest(&raw);
        for row in rows {
            block.events[*row].data = rest.take(block.lens[*row])?.to_vec();
        }
        parts.push((*at, *stored_len));
    }
    Ok(())
}

pub(crate) struct Section<'a> {
    pub(crate) count: u64,
    pub(crate) stored: Bytes<'a>,
    raw: Vec<u8>,
}

/// Section "Footer", its sections.
fn sections<'a>(
    file: Bytes<'a>,
    entries: Bytes<'_>,
    parts: &mut Vec<(usize, usize)>,
) -> Result<Vec<Option<Section<'a>>>> {
    let mut found: Vec<Option<Section<'_>>> = (0..9).map(|_| None).collect();
    for entry in entries.chunks(48) {
        let of = |at| number(entry, at, 8).map(|number| number as usize);
        let (id, at, len) = (number(entry, 0, 2)? as usize, of(8)?, of(16)?);
        need((1..=8).contains(&id) && found[id].is_none(), "a section that is known")?;
        need(entry[4] == u8::from(id != 5) && entry[5] <= 1, "flags and codec of a section")?;
        let stored = file.get(at..at + len).ok_or("a section in the file")?;
        need(u64::from(crc32fast::hash(stored)) == number(entry, 40, 4)?, "the CRC of a section")?;
        let raw = if entry[5] == 1 { unpack(stored, of(24)?, &[])? } else { stored.to_vec() };
        need(raw.len() == of(24)?, "the raw length of a section")?;
        saw(format!("section {id}"));
        parts.push((at, len));
        found[id] = Some(Section { count: of(32)? as u64, stored, raw });
    }
    Ok(found)
}

/// A whole segment, which begins behind the events in hand.
pub(crate) fn read_segment(file: Bytes<'_>, base: u64, id: Bytes<'_>, log: &mut Log) -> Result<()> {
    let header = file.get(..128).ok_or("a sealed header")?;
    need(header.starts_with(b"ANNALSEG"), "the magic of a sealed header")?;
    need(number(header, 120, 8)? == xxh3_64_with_seed(&header[..120], named(b"ANNALSEG")), "its check")?;
    version_is_known(header)?;
    need(number(header, 20, 4)? == 1_024 && header[56..120].iter().all(|byte| *byte == 0), "blocks of 1,024 rows")?;
    need(header[24..40] == *id && number(header, 40, 8)? == base, "the segment of the name")?;
    let tail = file.len().checked_sub(64).and_then(|at| file.get(at..)).ok_or("a tail")?;
    need(tail.starts_with(b"ANNALEND") && tail[32..48] == *id && number(tail, 48, 8)? == base, "a tail")?;
    need(number(tail, 56, 8)? == xxh3_64_with_seed(&tail[..56], named(b"ANNALEND")), "the check of a tail")?;
    need(number(tail, 24, 8)? == file.len() as u64, "the length of the file")?;
    let (at, len) = (number(tail, 8, 8)? as usize, number(tail, 16, 4)? as usize);
    need(at + len + 64 == file.len(), "a footer before the tail")?;
    let footer = &file[at..at + len];
    need(u64::from(crc32fast::hash(footer)) == number(tail, 20, 4)?, "the CRC of the footer")?;
    let mut parts = vec![(0, 128), (at, len + 64)];

    need(footer.starts_with(b"ANNALFTR") && footer[82..88] == [0; 6], "a footer")?;
    let count = number(footer, 8, 8)?;
    need([1, 2].contains(&footer[76]) && footer[77] & !1 == 0, "durability, and not archived")?;
    let (runs, section_count) = (number(footer, 78, 2)? as usize, number(footer, 80, 2)? as usize);
    let mut rest = Rest(&footer[88..]);
    let epochs: Vec<(u64, u64)> = (0..runs).map(|_| Ok((rest.number(8)?, rest.number(8)?))).collect::<Result<_>>()?;
    let before: Vec<[u8; 32]> = log.events.iter().map(|event| event.leaf).collect();
    need(base == before.len() as u64 + 1, "the next segment")?;
    let first_peaks = rest.take(32 * (base - 1).count_ones() as usize)?;
    need(peaks(&before).concat() == first_peaks, "the peaks before the segment")?;
    let last_peaks = rest.take(32 * (base - 1 + count).count_ones() as usize)?;
    let entries = rest.take(48 * section_count)?;
    need(rest.0.is_empty(), "the end of the footer")?;

    let found = sections(file, entries, &mut parts)?;
    let section = |id: usize| found[id].as_ref().ok_or_else(|| format!("section {id}"));
    let strings = dictionary(&section(2)?.raw)?;
    let payload_dictionary = found[6].as_ref().map_or(&[][..], |section| &section.raw);
    let directory: Vec<Bytes<'_>> = section(1)?.raw.chunks(56).collect();
    need(
        directory.len() as u64 == count.div_ceil(1_024) && number(footer, 72, 4)? == directory.len() as u64,
        "blocks",
    )?;
    let mut events = Vec::new();
    for (index, entry) in (0u64..).zip(directory) {
        let (at, len) = (number(entry, 0, 8)? as usize, number(entry, 8, 4)? as usize);
        let head = file.get(at..at + len).ok_or("a head")?;
        need(u64::from(crc32fast::hash(head)) == number(entry, 12, 4)?, "the CRC of a head")?;
        parts.push((at, len));
        let rows = (count - index * 1_024).min(1_024) as usize;
        let mut block = block(head, base + index * 1_024, rows, &strings)?;
        need(u64::from(footer[77]) == number(head, 8, 4)?, "the order of the payloads")?;
        payloads(file, &mut block, payload_dictionary, &mut parts)?;
        let types =
            block.events.iter().fold(0u64, |bits, event| bits | 1 << (hash(id, 3, event.event_type.as_bytes()) % 64));
        need(zone(&block.events) == times(entry, 16)? && types == number(entry, 48, 8)?, "times and types of a block")?;
        events.extend(block.events);
    }
    need(zone(&events) == times(footer, 16)?, "the times of the segment")?;
    let data: usize = events.iter().map(|event| event.data.len()).sum();
    need(data as u64 == number(footer, 56, 8)?, "the bytes of all data")?;
    let runs_of: Vec<(u64, u64)> =
        events.chunk_by(|a, b| a.epoch == b.epoch).map(|run| (run[0].position, run[0].epoch)).collect();
    need(runs_of == epochs, "the runs of epochs")?;
    events.iter_mut().for_each(|event| event.leaf = leaf(event));
    terms(&found, &events, id, &strings)?;

    let all: Vec<[u8; 32]> = before.into_iter().chain(events.iter().map(|event| event.leaf)).collect();
    need(peaks(&all).concat() == last_peaks, "the peaks behind the segment")?;
    log.events.extend(events);
    // Nothing between the parts.
    parts.retain(|(_, len)| *len > 0);
    parts.sort_unstable();
    let end = parts.iter().try_fold(0, |end, (at, len)| if *at == end { Ok(at + len) } else { Err(end) });
    need(end == Ok(file.len()), "parts without anything between them")
}

fn times(bytes: Bytes<'_>, at: usize) -> Result<[i64; 4]> {
    let one = |index: usize| number(bytes, at + 8 * index, 8).map(|time| time as i64);
    Ok([one(0)?, one(1)?, one(2)?, one(3)?])
}

fn zone(events: &[Found]) -> [i64; 4] {
    let recorded = || events.iter().map(|event| event.recorded_at);
    let occurred = || events.iter().map(|event| event.occurred_at.unwrap_or(event.recorded_at));
    [recorded().min(), recorded().max(), occurred().min(), occurred().max()].map(Option::unwrap)
}
