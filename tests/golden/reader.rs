//! A reader of stores that was written from docs/format.md and uses nothing of the crate but, at the
//! end, its events to compare with. It believes nothing that the page does not say, checks
//! everything that the page lets it check, and is in no hurry.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

pub(crate) type Bytes<'a> = &'a [u8];
pub(crate) type Result<T> = std::result::Result<T, String>;

/// An event as it stands in the files.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) position: u64,
    pub(crate) version: u64,
    pub(crate) epoch: u64,
    pub(crate) recorded_at: i64,
    pub(crate) wall: Option<i64>,
    pub(crate) occurred_at: Option<i64>,
    pub(crate) causation: Option<u64>,
    pub(crate) cause_in_batch: bool,
    pub(crate) imported: bool,
    pub(crate) clock_suspect: bool,
    pub(crate) kept_time: bool,
    pub(crate) last_of_batch: bool,
    pub(crate) actor_kind: u8,
    pub(crate) content: u8,
    pub(crate) id: String,
    pub(crate) subject: String,
    pub(crate) event_type: String,
    pub(crate) actor: String,
    pub(crate) on_behalf_of: String,
    pub(crate) source: String,
    pub(crate) correlation: String,
    pub(crate) content_type: String,
    pub(crate) tags: Vec<String>,
    pub(crate) meta: Vec<(String, String)>,
    pub(crate) key: Option<(String, Vec<u8>)>,
    pub(crate) data: Vec<u8>,
    pub(crate) leaf: [u8; 32],
}

/// A log as it stands in the files.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) events: Vec<Found>,
    pub(crate) root: [u8; 32],
    /// State of each segment's newest slot, 0 where there is none.
    pub(crate) states: Vec<u8>,
    /// Rows of all indexes.
    pub(crate) index_rows: u64,
}

pub(crate) fn number(bytes: Bytes<'_>, at: usize, len: usize) -> Result<u64> {
    let raw = bytes.get(at..at + len).ok_or_else(|| format!("{len} bytes at {at}"))?;
    Ok(raw.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

pub(crate) fn need(holds: bool, what: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

pub(crate) fn hex(bytes: Bytes<'_>) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn named(text: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*text)
}

/// A valid page, up to its check; `None` for zeros. Section "Pages".
fn page<'a>(file: Bytes<'a>, at: usize, magic: &[u8; 8], check_at: usize, seed: u64) -> Result<Option<Bytes<'a>>> {
    let page = file.get(at..at + 4096).ok_or("a page of 4,096 bytes")?;
    if page.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    need(page.starts_with(magic), "the magic of a page")?;
    need(number(page, check_at, 8)? == xxh3_64_with_seed(&page[..check_at], seed), "the check of a page")?;
    need(page[check_at + 8..].iter().all(|byte| *byte == 0), "zeros behind a check")?;
    Ok(Some(&page[..check_at]))
}

pub(crate) fn version_is_known(page: Bytes<'_>) -> Result<()> {
    need(number(page, 10, 2)? <= 1 && number(page, 12, 4)? == 0, "a format that is known")
}

struct Anchor {
    log: Vec<u8>,
    newest_base: u64,
    durable: u64,
    tree_size: u64,
    peaks: Vec<[u8; 32]>,
}

/// Section "ANCHOR".
fn read_anchor(file: Bytes<'_>) -> Result<Anchor> {
    let mut newest: Option<(u64, Anchor)> = None;
    for at in [0, 4096] {
        let Some(page) = page(file, at, b"ANNLANCH", 2136, named(b"ANNLANCH") ^ at as u64)? else { continue };
        version_is_known(page)?;
        let seq = number(page, 24, 8)?;
        need(seq % 2 == at as u64 / 4096, "a slot in its page")?;
        let tree_size = number(page, 72, 8)?;
        let used = tree_size.count_ones() as usize;
        let peaks: Vec<[u8; 32]> = page[88..].chunks(32).take(used).map(|peak| peak.try_into().unwrap()).collect();
        need(page[88 + 32 * used..2136].iter().all(|byte| *byte == 0), "zeros behind the peaks")?;
        let durable = number(page, 64, 8)?;
        need(tree_size <= durable, "a tree over what is durable")?;
        let anchor =
            Anchor { log: page[32..48].to_vec(), newest_base: number(page, 56, 8)?, durable, tree_size, peaks };
        if newest.as_ref().is_none_or(|(other, _)| *other < seq) {
            newest = Some((seq, anchor));
        }
    }
    newest.map(|(_, anchor)| anchor).ok_or_else(|| "a valid slot of ANCHOR".to_owned())
}

struct Segment {
    log: Vec<u8>,
    base: u64,
    epoch: u64,
    salt: u64,
}

/// Section "Segment header".
fn read_header(file: Bytes<'_>) -> Result<Segment> {
    let page = page(file, 0, b"ANNALRAW", 88, named(b"ANNALRAW"))?.ok_or("a segment header")?;
    version_is_known(page)?;
    need([1, 2].contains(&page[20]), "a durability")?;
    need((65_536..=1 << 32).contains(&number(page, 72, 8)?), "segment bytes")?;
    let (base, epoch, salt) = (number(page, 40, 8)?, number(page, 48, 8)?, number(page, 56, 8)?);
    Ok(Segment { log: page[24..40].to_vec(), base, epoch, salt })
}

/// State and end of the newest slot. Section "Slot".
fn read_slots(file: Bytes<'_>, segment: &Segment) -> Result<Option<(u8, u64, u64, u64)>> {
    let mut newest: Option<(u64, (u8, u64, u64, u64))> = None;
    for at in [4096, 8192] {
        let Some(page) = page(file, at, b"ANNLSLOT", 96, segment.salt ^ at as u64)? else { continue };
        let seq = number(page, 8, 8)?;
        need(1 + seq % 2 == at as u64 / 4096, "a slot in its page")?;
        need(page[16..32] == segment.log && number(page, 40, 8)? == segment.base, "a slot of this segment")?;
        let slot = (page[48], number(page, 56, 8)?, number(page, 64, 8)?, number(page, 72, 8)?);
        if newest.is_none_or(|(other, _)| other < seq) {
            newest = Some((seq, slot));
        }
    }
    Ok(newest.map(|(_, slot)| slot))
}

/// The frames of a segment up to the first place that holds none. Returns where they end.
fn read_frames(file: Bytes<'_>, segment: &Segment, log: &mut Log) -> Result<(usize, u64)> {
    let (mut at, mut last_check, mut group) = (12_288, 0, 0);
    while at + 64 <= file.len() {
        let header = &file[at..at + 64];
        if header.iter().all(|byte| *byte == 0) {
            need(file[at..].iter().all(|byte| *byte == 0), "zeros to the end")?;
            break;
        }
        need(header.starts_with(b"ANFR"), "the magic of a frame")?;
        last_check = number(header, 56, 8)?;
        need(last_check == xxh3_64_with_seed(&header[..56], segment.salt ^ at as u64), "a header check")?;
        need(number(header, 6, 2)? == 0 && header[5] & 128 == 0, "reserved bytes of a frame")?;
        need(number(header, 40, 8)? >= group, "a group seq that does not fall")?;
        group = number(header, 40, 8)?;
        at += read_frame(&file[at..], header, segment, log)?;
    }
    Ok((at, last_check))
}

/// One frame; returns its length. Section "Frame".
fn read_frame(bytes: Bytes<'_>, header: Bytes<'_>, segment: &Segment, log: &mut Log) -> Result<usize> {
    let (kind, flags) = (header[4], header[5]);
    let (body_len, count) = (number(header, 8, 4)? as usize, number(header, 12, 4)? as usize);
    let table_len = count * if flags & 16 != 0 { 24 } else { 16 } + if flags & 32 != 0 { 8 } else { 0 };
    let used = 64 + table_len + body_len;
    let len = used.div_ceil(64) * 64;
    let frame = bytes.get(..len).ok_or("a whole frame")?;
    let (table, body) = (&frame[64..64 + table_len], &frame[64 + table_len..used]);
    need(frame[used..].iter().all(|byte| *byte == 0), "zeros behind a frame")?;
    need(u64::from(crc32fast::hash(table)) == number(header, 52, 4)?, "the table CRC")?;
    if kind != 1 {
        need([2, 3].contains(&kind) && count == 0 && flags & 240 == 0, "a frame without events")?;
        return Ok(len);
    }
    let prelude_len = if flags & 64 != 0 { number(body, 0, 4)? as usize } else { 0 };
    let prelude = body.get(..prelude_len).ok_or("a prelude")?;
    let prelude_crc = if prelude.is_empty() { 0 } else { crc32fast::hash(prelude) };
    need(u64::from(prelude_crc) == number(header, 48, 4)?, "the prelude CRC")?;
    let key = read_prelude(prelude)?;
    if let Some((_, hash)) = &key {
        need(Sha256::digest(&body[prelude_len..]).as_slice() == hash, "the content hash")?;
    }
    let first = number(header, 16, 8)?;
    need(first == log.events.len() as u64 + 1, "the next position")?;
    let mut start = prelude_len;
    for index in 0..count {
        let entry = &table[16 * index..16 * index + 16];
        let (version, end) = (number(entry, 0, 8)?, number(entry, 8, 4)? as usize);
        let position = first + index as u64;
        let record = body.get(start..end).ok_or("a record in the body")?;
        let place: Vec<u8> = position.to_le_bytes().into_iter().chain(version.to_le_bytes()).collect();
        let check = crc32fast::hash(record) ^ xxh3_64_with_seed(&place, segment.salt) as u32;
        need(u64::from(check) == number(entry, 12, 4)?, "a record check")?;
        let mut event = read_record(record, first, index)?;
        (event.position, event.version, event.epoch) = (position, version, segment.epoch);
        event.kept_time = flags & 16 != 0;
        event.recorded_at = match event.kept_time {
            true => number(table, 16 * count + 8 * index, 8)?,
            false => number(header, 32, 8)?,
        } as i64;
        event.wall = if flags & 32 != 0 { Some(number(table, table_len - 8, 8)? as i64) } else { None };
        (event.imported, event.clock_suspect) = (flags & 1 != 0, flags & 2 != 0);
        event.last_of_batch = index + 1 == count;
        event.key = if index == 0 { key.clone() } else { None };
        event.leaf = leaf(&event);
        log.events.push(event);
        start = end;
    }
    need(start == body_len, "records that fill the body")?;
    Ok(len)
}

fn read_prelude(prelude: Bytes<'_>) -> Result<Option<(String, Vec<u8>)>> {
    let (mut at, mut key, mut hash) = (4, None, None);
    while at < prelude.len() {
        let (tag, len) = (prelude[at], number(prelude, at + 2, 2)? as usize);
        let value = prelude.get(at + 4..at + 4 + len).ok_or("an entry of a prelude")?;
        match tag {
            1 => key = Some(String::from_utf8(value.to_vec()).map_err(|_| "a key")?),
            2 => hash = Some(value.to_vec()),
            _ => need(tag < 128, "an entry that is known")?,
        }
        at += 4 + len;
    }
    need(key.is_some() == hash.is_some(), "key and hash together")?;
    Ok(key.zip(hash))
}

/// Section "Record".
fn read_record(record: Bytes<'_>, first: u64, index: usize) -> Result<Found> {
    let of = |at, len| number(record, at, len);
    need(of(0, 4)? == record.len() as u64, "the length of a record")?;
    let flags = of(4, 2)?;
    need(flags & 0xFF00 == 0, "record flags that are known")?;
    let (tags, meta, extension) = (record[23] as usize, of(24, 2)? as usize, of(26, 2)? as usize);
    need(extension == 0, "no extension")?;
    let data_len = of(28, 4)? as usize;
    let lists = record.get(48..48 + 2 * tags + 4 * meta).ok_or("the lists of a record")?;
    let text_at = 48 + lists.len() + extension;
    let text = record.get(text_at..record.len() - data_len).ok_or("the text of a record")?;
    let mut at = 0;
    let mut string = |len: u64| -> Result<String> {
        let piece = text.get(at..at + len as usize).ok_or("a string of a record")?;
        at += len as usize;
        String::from_utf8(piece.to_vec()).map_err(|_| "UTF-8".to_owned())
    };
    let subject = string(of(8, 2)?)?;
    let event_type = string(of(10, 2)?)?;
    let actor = string(of(12, 2)?)?;
    let on_behalf_of = string(of(14, 2)?)?;
    let source = string(of(16, 2)?)?;
    let correlation = string(of(18, 2)?)?;
    let content_text = string(of(20, 2)?)?;
    let id = string(of(22, 1)?)?;
    let lens: Vec<u64> = lists.chunks(2).map(|len| number(len, 0, 2)).collect::<Result<_>>()?;
    let tag_texts = lens[..tags].iter().map(|len| string(*len)).collect::<Result<Vec<_>>>()?;
    let meta_texts =
        lens[tags..].chunks(2).map(|pair| Ok((string(pair[0])?, string(pair[1])?))).collect::<Result<Vec<_>>>()?;
    need(at == text.len(), "strings that fill the text")?;
    let (actor_kind, content) = (record[6], record[7]);
    need(actor_kind <= 5, "an actor kind")?;
    let content_type = match content {
        0 => String::new(),
        1 => "application/json".to_owned(),
        2 => "application/octet-stream".to_owned(),
        3 => "text/plain".to_owned(),
        255 => content_text,
        _ => return Err("a content type".to_owned()),
    };
    let cause = of(40, 8)?;
    let cause_in_batch = flags & 4 != 0;
    need(!cause_in_batch || cause < index as u64, "a cause earlier in the batch")?;
    Ok(Found {
        position: 0,
        version: 0,
        epoch: 0,
        recorded_at: 0,
        wall: None,
        occurred_at: if flags & 1 != 0 { Some(of(32, 8)? as i64) } else { None },
        causation: match (cause_in_batch, flags & 2 != 0) {
            (true, _) => Some(first + cause),
            (false, true) => Some(cause),
            (false, false) => None,
        },
        cause_in_batch,
        imported: false,
        clock_suspect: false,
        kept_time: false,
        last_of_batch: false,
        actor_kind,
        content,
        id,
        subject,
        event_type,
        actor,
        on_behalf_of,
        source,
        correlation,
        content_type,
        tags: tag_texts,
        meta: meta_texts,
        key: None,
        data: record[record.len() - data_len..].to_vec(),
        leaf: [0; 32],
    })
}

/// Section "Digests".
pub(crate) fn leaf(event: &Found) -> [u8; 32] {
    let mut out = vec![0];
    for number in [event.position, event.version, event.epoch] {
        out.extend(number.to_le_bytes());
    }
    let recorded = event.recorded_at;
    for time in [recorded, event.wall.unwrap_or(recorded), event.occurred_at.unwrap_or(recorded)] {
        out.extend(time.to_le_bytes());
    }
    out.extend(event.causation.unwrap_or(0).to_le_bytes());
    let flags =
        [(event.last_of_batch, 1), (event.occurred_at.is_some(), 2), (event.imported, 4), (event.clock_suspect, 8)];
    out.push(flags.iter().map(|(on, bit)| if *on { *bit } else { 0 }).sum());
    out.extend([event.actor_kind, 0, 0, 0, 0, 0, 0]);
    let string = |out: &mut Vec<u8>, text: Bytes<'_>| {
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text);
    };
    for text in [
        &event.id,
        &event.subject,
        &event.event_type,
        &event.actor,
        &event.on_behalf_of,
        &event.source,
        &event.correlation,
        &event.content_type,
    ] {
        string(&mut out, text.as_bytes());
    }
    out.extend((event.tags.len() as u32).to_le_bytes());
    event.tags.iter().for_each(|tag| string(&mut out, tag.as_bytes()));
    out.extend((event.meta.len() as u32).to_le_bytes());
    for (name, value) in &event.meta {
        string(&mut out, name.as_bytes());
        string(&mut out, value.as_bytes());
    }
    let (key, hash) = event.key.as_ref().map_or((&b""[..], &b""[..]), |(key, hash)| (key.as_bytes(), hash));
    string(&mut out, key);
    string(&mut out, hash);
    out.extend(Sha256::digest(&event.data));
    Sha256::digest(&out).into()
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::digest([&[1], &left[..], &right[..]].concat()).into()
}

pub(crate) fn peaks(leaves: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let mut peaks: Vec<[u8; 32]> = Vec::new();
    for (size, leaf) in leaves.iter().enumerate() {
        let mut hand = *leaf;
        for _ in 0..size.trailing_ones() {
            hand = node(&peaks.pop().unwrap(), &hand);
        }
        peaks.push(hand);
    }
    peaks
}

fn root(peaks: &[[u8; 32]]) -> [u8; 32] {
    let (last, rest) = peaks.split_last().unwrap();
    rest.iter().rev().fold(*last, |right, peak| node(peak, &right))
}

/// Section "Reading a store from its files alone".
pub(crate) fn read_store(store: &Path) -> Result<Log> {
    let read = |name: &str| fs::read(store.join(name)).map_err(|error| format!("{name}: {error}"));
    let anchor = read_anchor(&read("ANCHOR")?)?;
    let mut names: Vec<String> = fs::read_dir(store.join("log"))
        .map_err(|error| error.to_string())?
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".raw") || name.ends_with(".seg"))
        .collect();
    names.sort();
    let mut log = Log { events: Vec::new(), root: [0; 32], states: Vec::new(), index_rows: 0 };
    let mut newest = 0;
    for name in names {
        let file = read(&format!("log/{name}"))?;
        if name.ends_with(".seg") {
            let base = name[..20].parse().map_err(|_| "a name of 20 digits")?;
            crate::sealed_reader::read_segment(&file, base, &anchor.log, &mut log)?;
            continue;
        }
        let segment = read_header(&file)?;
        need(name == format!("{:020}.raw", segment.base), "a name that says the base")?;
        need(segment.base == log.events.len() as u64 + 1 && segment.log == anchor.log, "the next segment of the log")?;
        newest = segment.base;
        let before = log.events.len();
        let (end, last_check) = read_frames(&file, &segment, &mut log)?;
        let slot = read_slots(&file, &segment)?;
        if let Some((_, offset, position, check)) = slot {
            need((offset, position) == (end as u64, log.events.len() as u64), "a slot that ends where the frames do")?;
            need(check == last_check, "the header check that the slot names")?;
        }
        log.states.push(slot.map_or(0, |(state, ..)| state));
        let rows = &log.events[before..];
        if let Ok(index) = read(&format!("log/{}", name.replace(".raw", ".idx"))) {
            log.index_rows += read_index(&index, &segment, (end as u64, last_check), rows)?;
        }
    }
    need(newest == anchor.newest_base && log.events.len() as u64 >= anchor.durable, "all that ANCHOR names")?;
    let leaves: Vec<[u8; 32]> = log.events.iter().map(|event| event.leaf).collect();
    need(peaks(&leaves[..anchor.tree_size as usize]) == anchor.peaks, "the peaks in ANCHOR")?;
    log.root = root(&peaks(&leaves));
    Ok(log)
}

/// Section "Index of a rolled segment": returns the number of rows.
fn read_index(file: Bytes<'_>, segment: &Segment, end: (u64, u64), rows: &[Found]) -> Result<u64> {
    let header = page(file, 0, b"ANNALIDX", 304, named(b"ANNALIDX"))?.ok_or("the header of an index")?;
    version_is_known(header)?;
    need(header[24..40] == segment.log && number(header, 40, 8)? == segment.base, "an index of this segment")?;
    need(number(header, 48, 8)? == segment.salt, "an index of these very bytes")?;
    need((number(header, 56, 8)?, number(header, 64, 8)?) == end, "an index of the whole segment")?;
    need(number(header, 72, 8)? == file.len() as u64, "an index of its length")?;
    need(number(header, 80, 4)? == rows.len() as u64, "a row for each event")?;
    let mut space = Vec::new();
    for (index, page) in file.chunks(4096).enumerate().skip(1) {
        let check = xxh3_64_with_seed(&page[..4088], segment.salt ^ (index as u64 * 4096));
        need(number(page, 4088, 8)? == check, "the check of a page of an index")?;
        space.extend_from_slice(&page[..4064]);
    }
    let section = |index: usize| -> Result<(usize, usize, usize)> {
        let at = 136 + 24 * index;
        Ok((number(header, at, 8)? as usize, number(header, at + 8, 8)? as usize, number(header, at + 16, 4)? as usize))
    };
    let (terms, postings, filter) = (section(3)?, section(4)?, section(6)?);
    let filter_bytes = space.get(filter.0..filter.0 + filter.1).ok_or("a filter")?;
    let golden = 0x9E37_79B9_7F4A_7C15u64;
    let log_seed = xxh3_64(&segment.log);
    let hash = |dimension: u64, value: Bytes<'_>| {
        xxh3_64_with_seed(value, log_seed.wrapping_add(dimension.wrapping_mul(golden)))
    };
    // Each row is looked for under each of its terms.
    for (row, event) in (0u64..).zip(rows) {
        let mut expected = vec![
            (1, hash(1, event.subject.as_bytes())),
            (2, hash(2, event.subject.split('/').next().unwrap_or_default().as_bytes())),
            (3, hash(3, event.event_type.as_bytes())),
        ];
        expected.extend(event.tags.iter().map(|tag| (4, hash(4, tag.as_bytes()))));
        if event.actor_kind > 0 {
            let kind = u64::from(event.actor_kind).wrapping_mul(golden);
            expected.push((5, hash(5, event.actor.as_bytes()).wrapping_add(kind)));
        }
        for (dimension, text) in
            [(6, &event.on_behalf_of), (7, &event.source), (8, &event.correlation), (10, &event.id)]
        {
            if !text.is_empty() {
                expected.push((dimension, hash(dimension, text.as_bytes())));
            }
        }
        if let Some(cause) = event.causation {
            expected.push((9, hash(9, &cause.to_le_bytes())));
        }
        if let Some((key, _)) = &event.key {
            expected.push((11, hash(11, key.as_bytes())));
        }
        for (dimension, hash) in expected {
            need(may_contain(&header[120..], filter_bytes, hash)?, "a term in the filter")?;
            let entries = space[terms.0..terms.0 + terms.1].chunks(32);
            let mut found =
                entries.filter(|entry| number(entry, 0, 8) == Ok(hash) && u64::from(entry[28]) == dimension);
            let entry = found.next().ok_or("a term in the index")?;
            let (first, count, last) = (number(entry, 16, 4)?, number(entry, 20, 4)?, number(entry, 24, 4)?);
            let listed = match count {
                1 => last == row,
                _ => (first..first + count).any(|index| number(&space, postings.0 + 4 * index as usize, 4) == Ok(row)),
            };
            need(listed, "a row among the postings of its term")?;
            need(dimension != 1 || last != row || number(entry, 8, 8)? == event.version, "the version of a subject")?;
        }
    }
    Ok(rows.len() as u64)
}

/// `shape`: seed, segment length and segment count of a filter.
pub(crate) fn may_contain(shape: Bytes<'_>, fingerprints: Bytes<'_>, hash: u64) -> Result<bool> {
    let (seed, segment, count) = (number(shape, 0, 8)?, number(shape, 8, 4)?, number(shape, 12, 4)?);
    let mut m = hash.wrapping_add(seed);
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        m ^= m >> 33;
        m = m.wrapping_mul(factor);
    }
    m ^= m >> 33;
    let place_0 = ((u128::from(m) * u128::from(count)) >> 64) as u64;
    let place_1 = (place_0 + segment) ^ (m >> 18 & (segment - 1));
    let place_2 = (place_0 + 2 * segment) ^ (m & (segment - 1));
    let all = [place_0, place_1, place_2].iter().fold(0, |sum, place| sum ^ fingerprints[*place as usize]);
    Ok(all == (m ^ m >> 32) as u8)
}

/// Compares with what the crate reads.
pub(crate) fn assert_same(found: &Found, event: &annals::Event) {
    let text = |text: &str| if text.is_empty() { None } else { Some(text.to_owned()) };
    let owned = |text: Option<&str>| text.map(str::to_owned);
    assert_eq!(found.position, event.position().get());
    assert_eq!((found.version, found.epoch), (event.version(), event.epoch()));
    assert_eq!(found.recorded_at, event.recorded_at().as_nanos());
    assert_eq!(found.occurred_at.unwrap_or(found.recorded_at), event.occurred_at().as_nanos());
    assert_eq!(found.causation, event.causation().map(annals::Position::get));
    assert_eq!(text(&found.id), owned(event.given_id()));
    assert_eq!(found.subject, event.subject());
    assert_eq!(found.event_type, event.event_type());
    let kinds = ["", "user", "agent", "external", "system", "unknown"];
    let actor = event.actor().map(|actor| (actor.kind().as_str(), actor.id().to_owned()));
    assert_eq!(
        text(kinds[found.actor_kind as usize]).map(|_| (kinds[found.actor_kind as usize], found.actor.clone())),
        actor
    );
    assert_eq!(text(&found.on_behalf_of), owned(event.on_behalf_of()));
    assert_eq!(text(&found.source), owned(event.source()));
    assert_eq!(text(&found.correlation), owned(event.correlation()));
    assert_eq!(found.content_type, event.content_type());
    assert_eq!(found.tags, event.tags().collect::<Vec<_>>());
    let meta: Vec<(String, String)> = event.meta().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert_eq!(found.meta, meta);
    assert_eq!(found.data, event.data());
    assert_eq!(found.imported, event.is_imported());
}
