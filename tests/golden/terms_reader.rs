//! The term index of a sealed segment, read by docs/format.md and compared with what the events give.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::reader::{Bytes, Found, Result, may_contain, need, number};
use crate::sealed_reader::{Dictionary, Rest, Section, Template, saw, width_of};

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Section "Terms".
pub(crate) fn hash(log: Bytes<'_>, dimension: u64, value: Bytes<'_>) -> u64 {
    xxh3_64_with_seed(value, xxh3_64(log).wrapping_add(dimension.wrapping_mul(GOLDEN)))
}

/// An entry of the term index: truncated hash, form, version, row, rows (events of a key's batch), content hash, blocks.
type Entry = (u64, u64, u64, u64, u64, Vec<u8>, Vec<u64>);

/// Section "Term index of a sealed segment": what stands there is what the events give.
pub(crate) fn terms(
    found: &[Option<Section<'_>>],
    events: &[Found],
    log: Bytes<'_>,
    strings: &Dictionary,
) -> Result<()> {
    let section = |id: usize| found[id].as_ref().ok_or_else(|| format!("section {id}"));
    let (pages, directory) = (section(3)?.stored, section(4)?.stored);
    let checked = |bytes: Bytes<'_>| {
        let at = bytes.len().checked_sub(4).ok_or("a check")?;
        need(u64::from(crc32fast::hash(&bytes[..at])) == number(bytes, at, 4)?, "a check of the term index")
    };
    checked(directory)?;
    let rows = events.len() as u64;
    need(number(directory, 0, 4)? == rows && number(directory, 18, 2)? == 0, "a term directory")?;
    let (bits, short) = (u64::from(directory[16]), usize::from(directory[17]));
    let (mut entries, mut start) = (Vec::new(), 0);
    for (index, page) in (0u64..).zip(directory[20..directory.len() - 4].chunks(12)) {
        let end = number(page, 8, 4)? as usize;
        let bytes = pages.get(start..end).filter(|bytes| bytes.len() <= 4_096).ok_or("a term page")?;
        checked(bytes)?;
        need(number(bytes, 0, 4)? == index && bytes[4..12] == page[..8], "a page in its place")?;
        let (mut rest, mut hash) = (Rest(&bytes[12..bytes.len() - 4]), number(bytes, 4, 8)?);
        while !rest.0.is_empty() {
            let entry = entry(&mut rest, hash, rows, short)?;
            hash = entry.0;
            entries.push(entry);
        }
        start = end;
    }
    need(start == pages.len() && number(directory, 4, 4)? * 12 + 24 == directory.len() as u64, "all term pages")?;
    let (expected, hashes) = expected(events, log, strings, bits);
    need(number(directory, 8, 8)? == entries.len() as u64 && section(3)?.count == entries.len() as u64, "entries")?;
    if let Some(at) = (0..entries.len().max(expected.len())).find(|at| entries.get(*at) != expected.get(*at)) {
        return Err(format!("{:?} in the term index, found {:?}", expected.get(at), entries.get(at)));
    }
    if let Some(filter) = &found[5] {
        checked(filter.stored)?;
        let fingerprints = &filter.stored[16..filter.stored.len() - 4];
        for hash in hashes {
            need(may_contain(filter.stored, fingerprints, hash)?, "a term in the filter")?;
        }
    }
    Ok(())
}

fn entry(rest: &mut Rest<'_>, before: u64, rows: u64, short: usize) -> Result<Entry> {
    if rest.0[0] & 1 == 1 {
        saw("a short entry");
        let word = rest.number(short)? >> 1;
        let width = width_of(rows - 1);
        let row = word & ((1 << width) - 1);
        return Ok((before + (word >> width), 0, 0, row, 1, Vec::new(), vec![row / 1_024]));
    }
    let tag = rest.number(1)?;
    let (form, hash) = (tag >> 1 & 3, before + rest.varint()?);
    let version = if form == 1 { rest.varint()? } else { 0 };
    let row = rest.varint()?;
    let extra = if form == 2 || tag & 8 != 0 { rest.varint()? } else { 0 };
    if form == 2 {
        need(tag == 4, "the tag of a key")?;
        return Ok((hash, 2, 0, row, extra, rest.take(32)?.to_vec(), Vec::new()));
    }
    saw(format!("blocks by code {}", (tag >> 4).min(4)));
    let last = row / 1_024;
    let blocks: Vec<u64> = match tag >> 4 {
        0 => vec![last],
        1 => (0..=(rows - 1) / 1_024).collect(),
        2 => (last + 1 - rest.varint()?..=last).collect(),
        code => {
            let len = rest.varint()? as usize;
            let bits = Rest(rest.take(len)?).packed(len * 8, 1)?;
            let places: Vec<u64> = match code {
                3 => (0..).zip(&bits).filter(|(_, bit)| **bit == 1).map(|(place, _)| place).collect(),
                code => rice(&bits, code - 4),
            };
            let first = last - places.last().ok_or("blocks")?;
            places.into_iter().map(|place| first + place).collect()
        }
    };
    Ok((hash, form, version, row, blocks.len() as u64 + extra, Vec::new(), blocks))
}

/// Where the blocks stand, the first one at 0.
fn rice(bits: &[u64], parameter: u64) -> Vec<u64> {
    let (mut places, mut bits) = (vec![0], bits.iter());
    loop {
        let mut ones = 0;
        loop {
            match bits.next() {
                None => return places,
                Some(0) => break,
                Some(_) => ones += 1,
            }
        }
        let low = (0..parameter).fold(0, |sum, at| sum | bits.next().unwrap() << at);
        places.push(places.last().unwrap() + (ones << parameter | low) + 1);
    }
}

/// The entries that events give, and all hashes in full.
fn expected(events: &[Found], log: Bytes<'_>, strings: &Dictionary, bits: u64) -> (Vec<Entry>, BTreeSet<u64>) {
    let mut terms: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    let mut subjects: BTreeMap<u64, (u64, BTreeSet<u64>)> = BTreeMap::new();
    let mut keys: BTreeMap<(u64, u64), (u64, Vec<u8>)> = BTreeMap::new();
    let mut open = None;
    for (row, event) in (0u64..).zip(events) {
        let subject = subjects.entry(hash(log, 1, event.subject.as_bytes())).or_default();
        subject.0 = event.version;
        subject.1.insert(row);
        let kind = event.subject.split('/').next().unwrap_or_default();
        let mut add = |hash: u64| terms.entry(hash).or_default().insert(row);
        add(hash(log, 2, kind.as_bytes()));
        add(hash(log, 3, event.event_type.as_bytes()));
        event.tags.iter().for_each(|tag| _ = add(hash(log, 4, tag.as_bytes())));
        if event.actor_kind > 0 {
            let moved = u64::from(event.actor_kind).wrapping_mul(GOLDEN);
            add(hash(log, 5, event.actor.as_bytes()).wrapping_add(moved));
        }
        for (dimension, text) in [(6, &event.on_behalf_of), (7, &event.source), (8, &event.correlation)] {
            if !text.is_empty() {
                add(hash(log, dimension, text.as_bytes()));
            }
        }
        if let Some(cause) = event.causation {
            add(hash(log, 9, &cause.to_le_bytes()));
        }
        if !event.id.is_empty() && !is_found(event, strings) {
            add(hash(log, 10, event.id.as_bytes()));
        }
        if let Some((key, content)) = &event.key {
            open = Some(((hash(log, 11, key.as_bytes()), row), content.clone()));
        }
        if event.last_of_batch
            && let Some((place, content)) = open.take()
        {
            keys.insert(place, (row - place.1 + 1, content));
        }
    }
    let hashes = terms.keys().chain(subjects.keys()).copied().chain(keys.keys().map(|(hash, _)| *hash)).collect();
    let blocks = |rows: &BTreeSet<u64>| rows.iter().map(|row| row / 1_024).collect::<BTreeSet<u64>>();
    let cut = |hash: u64| if bits == 64 { hash } else { hash >> (64 - bits) };
    let mut merged: BTreeMap<u64, (u64, u64, BTreeSet<u64>)> = BTreeMap::new();
    for (hash, rows) in &terms {
        let entry = merged.entry(cut(*hash)).or_default();
        entry.0 = entry.0.max(*rows.last().unwrap());
        entry.1 += rows.len() as u64;
        entry.2.extend(blocks(rows));
    }
    let list = |blocks: BTreeSet<u64>| blocks.into_iter().collect::<Vec<u64>>();
    let mut all: Vec<Entry> = merged
        .into_iter()
        .map(|(hash, (last, count, blocks))| (hash, 0, 0, last, count, Vec::new(), list(blocks)))
        .collect();
    all.extend(subjects.into_iter().map(|(hash, (version, rows))| {
        (cut(hash), 1, version, *rows.last().unwrap(), rows.len() as u64, Vec::new(), list(blocks(&rows)))
    }));
    all.extend(
        keys.into_iter().map(|((hash, row), (count, content))| (cut(hash), 2, 0, row, count, content, Vec::new())),
    );
    all.sort_by_key(|entry| (entry.0, entry.1));
    (all, hashes)
}

/// Whether a template finds the event by its id: the first that makes it of what the event is.
fn is_found(event: &Found, strings: &Dictionary) -> bool {
    let (kind, rest) = event.subject.split_once('/').unwrap();
    let makes = |template: &&Template| {
        let number = match template.mode {
            0 if template.text.contains('\u{2}') => {
                let whole = template.text.replace('\u{1}', rest);
                let (front, back) = whole.split_once('\u{2}').unwrap();
                let number = event.id.strip_prefix(front).and_then(|id| id.strip_suffix(back)).unwrap_or_default();
                let plain =
                    number.parse::<u64>().is_ok_and(|value| value < 10u64.pow(18) && value.to_string() == number);
                return template.kind == kind && plain;
            }
            0 => 0,
            1 => event.version as i64 + template.difference,
            _ => event.position as i64 + template.difference,
        };
        let made = template.text.replace('\u{2}', &number.to_string()).replace('\u{1}', rest);
        template.kind == kind && made == event.id
    };
    strings.templates.iter().find(makes).is_some_and(Template::finds)
}
