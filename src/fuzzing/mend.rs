//! Makes every check of a structure fit what stands there, so that what lies behind the checks is
//! reached. Where a length or a place would have to be guessed too, it is set as well.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{HEADER_USED, SLOT_USED};
use crate::checkpoint::Checkpoint;
use crate::event::LogId;
use crate::format::bytes::{u16_at, u32_at, u64_at};
use crate::format::frame::{self, ENTRY_BYTES, FIRST_OFFSET, HEADER_BYTES};
use crate::format::sealed::blocks;
use crate::format::sealed::envelope::{END_MAGIC, MAGIC as SEALED_MAGIC};
use crate::format::sealed::footer::SECTION_BYTES;
use crate::format::{PAGE_BYTES, anchor, header, idx, live, slot, snapshot, tier, worker};

/// The number at a place; 0 where the bytes do not reach.
pub(super) fn number(bytes: &[u8], at: usize) -> u64 {
    u64_at(bytes, at).unwrap_or_default()
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

fn seal(page: &mut [u8], check_at: usize, seed: u64) {
    if let Some(before) = page.get(..check_at) {
        let check = xxh3_64_with_seed(before, seed);
        put(page, check_at, &check.to_le_bytes());
    }
}

fn named(magic: [u8; 8]) -> u64 {
    u64::from_le_bytes(magic)
}

/// A page as `page` takes it: magic, check, and zeros behind it.
pub(super) fn page(which: u8, page: &mut [u8], salt: u64, offset: u64) {
    let (magic, check_at, seed) = match which % 4 {
        0 => (header::MAGIC, HEADER_USED - 8, named(header::MAGIC)),
        1 => (slot::MAGIC, SLOT_USED - 8, salt ^ offset),
        2 => (anchor::MAGIC, 2136, named(anchor::MAGIC) ^ (offset - PAGE_BYTES as u64)),
        _ => (idx::MAGIC, 304, named(idx::MAGIC)),
    };
    put(page, 0, &magic);
    seal(page, check_at, seed);
    page.iter_mut().skip(check_at + 8).for_each(|byte| *byte = 0);
}

/// Header, slots and frames of a raw segment.
pub(super) fn segment(file: &mut [u8]) {
    let (pages, _) = file.split_at_mut(FIRST_OFFSET as usize);
    put(pages, 0, &header::MAGIC);
    seal(pages, HEADER_USED - 8, named(header::MAGIC));
    let salt = number(pages, 56);
    for offset in slot::OFFSETS {
        let slot = &mut pages[offset as usize..][..PAGE_BYTES];
        // A slot that begins with zeros stays one that was never written.
        if number(slot, 0) != 0 {
            put(slot, 0, &slot::MAGIC);
            seal(slot, SLOT_USED - 8, salt ^ offset);
        }
    }
    let mut offset = FIRST_OFFSET as usize;
    while offset + HEADER_BYTES <= file.len() {
        let len = frame(&mut file[offset..], salt, offset as u64);
        offset += len.unwrap_or(HEADER_BYTES);
    }
}

/// A frame that begins with its magic: all its checks. Returns its length if it is all there.
pub(super) fn frame(bytes: &mut [u8], salt: u64, offset: u64) -> Option<usize> {
    if u32_at(bytes, 0) != Some(frame::MAGIC) {
        return None;
    }
    let (flags, body_len, count) = (*bytes.get(5)?, u32_at(bytes, 8)? as usize, u32_at(bytes, 12)? as usize);
    let each = ENTRY_BYTES + if flags & frame::RECORDED_EACH != 0 { 8 } else { 0 };
    let table_len = count * each + if flags & frame::WALL != 0 { 8 } else { 0 };
    let body_at = HEADER_BYTES + table_len;
    let len = (body_at + body_len).next_multiple_of(frame::ALIGN as usize);
    if len <= bytes.len() {
        let prelude_len = match (bytes[4], flags & frame::PRELUDE) {
            (1, 0) => 0,
            (1, _) => (u32_at(bytes, body_at)? as usize).min(body_len),
            _ => body_len,
        };
        let prelude = &bytes[body_at..body_at + prelude_len];
        let prelude_crc = if prelude.is_empty() { 0 } else { frame::crc(prelude) };
        put(bytes, 48, &prelude_crc.to_le_bytes());
        let first = number(bytes, 16);
        let mut start = prelude_len;
        for index in 0..count {
            let entry = HEADER_BYTES + index * ENTRY_BYTES;
            if index + 1 == count {
                put(bytes, entry + 8, &(body_len as u32).to_le_bytes());
            }
            let end = u32_at(bytes, entry + 8)? as usize;
            let version = number(bytes, entry);
            if let Some(record) = bytes[body_at..body_at + body_len].get(start..end) {
                let position = first.saturating_add(index as u64);
                let check = frame::crc(record) ^ frame::place_mask(position, version, salt);
                put(bytes, entry + 12, &check.to_le_bytes());
            }
            start = end;
        }
        bytes[body_at + body_len..len].fill(0);
        let table_crc = frame::crc(&bytes[HEADER_BYTES..body_at]);
        put(bytes, 52, &table_crc.to_le_bytes());
    }
    seal(bytes, 56, salt ^ offset);
    (len <= bytes.len()).then_some(len)
}

/// The length that a record begins with.
pub(super) fn record_length(record: &mut [u8]) {
    let len = record.len() as u32;
    put(record, 0, &len.to_le_bytes());
}

/// The length that a prelude begins with.
pub(super) fn prelude_length(prelude: &mut [u8]) {
    record_length(prelude);
}

/// The checks of LIVE.
pub(super) fn live(page: &mut [u8]) {
    put(page, 0, &live::MAGIC.to_le_bytes());
    let identity = xxh3_64(&page[..56]);
    put(page, 56, &identity.to_le_bytes());
    let session = number(page, 32);
    for at in [live::word::PUBLISHED * 8, live::word::DURABLE * 8] {
        let check = live::position_check(number(page, at), session);
        put(page, at + 8, &check.to_le_bytes());
    }
}

/// The CRC-32 that some parts of a term index end with.
pub(super) fn crc_at_end(bytes: &mut [u8]) {
    if let Some((checked, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(checked).to_le_bytes();
    }
}

/// A term directory and its first page, each made to fit the other.
pub(super) fn term_page(directory: &mut [u8], page: &mut [u8]) {
    put(page, 0, &0u32.to_le_bytes());
    let first = number(directory, 20);
    put(page, 4, &first.to_le_bytes());
    put(directory, 28, &(page.len() as u32).to_le_bytes());
    crc_at_end(page);
    crc_at_end(directory);
}

/// By the kind that `envelope` takes: header, tail or footer of a sealed file.
pub(super) fn envelope(which: u8, bytes: &mut [u8]) {
    match which % 3 {
        0 => {
            put(bytes, 0, &SEALED_MAGIC);
            bytes.iter_mut().take(120).skip(56).for_each(|byte| *byte = 0);
            seal(bytes, 120, named(SEALED_MAGIC));
        }
        1 => {
            put(bytes, 0, &END_MAGIC);
            let end = number(bytes, 8).wrapping_add(u64::from(u32_at(bytes, 16).unwrap_or_default())).wrapping_add(64);
            put(bytes, 24, &end.to_le_bytes());
            seal(bytes, 56, named(END_MAGIC));
        }
        _ => {
            // Blocks follow from the number of events.
            let count = number(bytes, 16) % 10_000 + 1;
            put(bytes, 16, &count.to_le_bytes());
            put(bytes, 80, &(count.div_ceil(1024) as u32).to_le_bytes());
        }
    }
}

/// A sealed file: all checks from its blocks up to its two ends. Its payload pages have theirs among packed columns.
pub(super) fn sealed(file: &mut [u8]) {
    let len = file.len();
    let Some(tail_at) = len.checked_sub(64).filter(|at| *at >= 128) else { return };
    let footer_at = (number(file, tail_at + 8) as usize).clamp(128, tail_at);
    let (places, table_at) = sections(&file[footer_at..tail_at], footer_at);
    for (id, place) in &places {
        // Blocks = 1, TermPages = 3, TermDirectory = 4, Filter = 5.
        match id {
            1 => block_heads(file, place.clone()),
            3 => {
                let ends = places.iter().find(|(id, _)| *id == 4).map(|(_, place)| page_ends(&file[place.clone()]));
                let mut start = place.start;
                for end in ends.unwrap_or_default() {
                    let end = (place.start + end).clamp(start, place.end);
                    crc_at_end(&mut file[start..end]);
                    start = end;
                }
            }
            4 | 5 => crc_at_end(&mut file[place.clone()]),
            _ => {}
        }
    }
    for (index, (_, place)) in places.iter().enumerate() {
        let crc = crc32fast::hash(&file[place.clone()]);
        put(file, footer_at + table_at + index * SECTION_BYTES + 40, &crc.to_le_bytes());
    }
    let footer_crc = crc32fast::hash(&file[footer_at..tail_at]);
    let tail = &mut file[tail_at..];
    put(tail, 0, &END_MAGIC);
    put(tail, 8, &(footer_at as u64).to_le_bytes());
    put(tail, 16, &((tail_at - footer_at) as u32).to_le_bytes());
    put(tail, 20, &footer_crc.to_le_bytes());
    put(tail, 24, &(len as u64).to_le_bytes());
    let (log, base) = (file[24..40].to_vec(), file[40..48].to_vec());
    put(file, tail_at + 32, &log);
    put(file, tail_at + 48, &base);
    seal(&mut file[tail_at..], 56, named(END_MAGIC));
    put(file, 0, &SEALED_MAGIC);
    seal(file, 120, named(SEALED_MAGIC));
}

/// The sections of a footer that lie before it, and where their table begins in it.
fn sections(footer: &[u8], footer_at: usize) -> (Vec<(u16, std::ops::Range<usize>)>, usize) {
    let short = |at: usize| u16_at(footer, at).unwrap_or_default();
    // The table ends the footer.
    let count = usize::from(short(80)).min(footer.len() / SECTION_BYTES);
    let table_at = footer.len() - count * SECTION_BYTES;
    let place = |index: usize| {
        let at = table_at + index * SECTION_BYTES;
        let start = (number(footer, at + 8) as usize).min(footer_at);
        (short(at), start..start.saturating_add(number(footer, at + 16) as usize).min(footer_at))
    };
    ((0..count).map(place).collect(), table_at)
}

fn block_heads(file: &mut [u8], directory: std::ops::Range<usize>) {
    for at in directory.step_by(blocks::ENTRY_BYTES) {
        let start = (number(file, at) as usize).min(file.len());
        let end = start.saturating_add(u32_at(file, at + 8).unwrap_or_default() as usize).min(file.len());
        let crc = crc32fast::hash(&file[start..end]);
        put(file, at + 12, &crc.to_le_bytes());
    }
}

/// Where each page of a term directory ends.
fn page_ends(directory: &[u8]) -> Vec<usize> {
    let pages = directory.get(20..).unwrap_or_default().chunks_exact(12);
    pages.map(|page| u32_at(page, 8).unwrap_or_default() as usize).collect()
}

/// An index from what carries anything of its header, and its space. Counts are kept small, places
/// and lengths follow from them, and the pages are filled up with zeros.
pub(super) fn idx(data: &[u8]) -> Vec<u8> {
    const HEADER: usize = 304;
    let (head, space) = data.split_at(HEADER.min(data.len()));
    let mut page = head.to_vec();
    page.resize(PAGE_BYTES, 0);
    let count = |at: usize| u64::from(u32_at(&page, at).unwrap_or_default());
    let rows = count(80) % 1000;
    let section = |index: usize| count(136 + index * 24 + 16);
    let types = (section(5) % 100, number(&page, 136 + 5 * 24 + 8) % 4000);
    let filter = count(132) + 2 * count(128);
    let zones = rows.div_ceil(u64::from(idx::ZONE_ROWS));
    let (terms, postings) = (section(3) % 1000, section(4) % 1000);
    let has_filter = page[20] & 2 != 0 && filter <= 4096;
    let sections = [
        (rows, rows * 4),
        (rows, rows * 2),
        (zones, zones * 32),
        (terms, terms * 32),
        (postings, postings * 4),
        (types.0, types.1.max(types.0 * 14)),
        if has_filter { (filter, filter) } else { (0, 0) },
    ];
    page[20] = 1 | if has_filter { 2 } else { 0 };
    put(&mut page, 80, &(rows as u32).to_le_bytes());
    let mut end = 0u64;
    for (index, (count, len)) in sections.into_iter().enumerate() {
        let (at, offset) = (136 + index * 24, end.next_multiple_of(32));
        put(&mut page, at, &offset.to_le_bytes());
        put(&mut page, at + 8, &len.to_le_bytes());
        put(&mut page, at + 16, &(count as u32).to_le_bytes());
        end = offset + len;
    }
    const PAYLOAD: usize = 4064;
    let mut space = space.to_vec();
    space.resize((end as usize).next_multiple_of(PAYLOAD), 0);
    let file_bytes = (1 + space.len() / PAYLOAD) * PAGE_BYTES;
    put(&mut page, 72, &(file_bytes as u64).to_le_bytes());
    self::page(3, &mut page, 0, PAGE_BYTES as u64);
    let salt = number(&page, 48);
    for payload in space.chunks(PAYLOAD) {
        let offset = page.len();
        page.extend_from_slice(payload);
        page.resize(offset + PAGE_BYTES, 0);
        seal(&mut page[offset..], PAGE_BYTES - 8, salt ^ offset as u64);
    }
    page
}

/// A run of lookup tiers from what carries anything of its header, and its space. Counts are kept small, the length
/// and what the header repeats follow from them, and the pages are filled up with zeros.
pub(super) fn tier(data: &[u8]) -> Vec<u8> {
    const HEADER: usize = 128;
    const PAYLOAD: usize = 4064;
    let (head, space) = data.split_at(HEADER.min(data.len()));
    let mut page = head.to_vec();
    page.resize(PAGE_BYTES, 0);
    let count = |at: usize| u32_at(&page, at).unwrap_or_default() as usize;
    let any_id = page[20] & 1 == 1;
    let segments = count(112) % 300 + usize::from(count(112).is_multiple_of(300));
    let (templates, templates_bytes) = if any_id { (0, 0) } else { (count(116) % 50, count(120) % 5000) };
    let (radix, entries) = (count(124) % 12, count(96) % 3000);
    let mut file_pages = 1;
    for bytes in [segments * tier::SEGMENT_BYTES, templates_bytes, ((1 << radix) + 1) * 8, entries * 8] {
        file_pages += bytes.div_ceil(PAYLOAD);
    }
    let mut space = space.to_vec();
    space.resize((file_pages - 1) * PAYLOAD, 0);
    let (mut rows, mut widths) = (0, 0u64);
    for index in 0..segments {
        let segment = &mut space[index * tier::SEGMENT_BYTES..][..tier::SEGMENT_BYTES];
        let own = u64::from(segment[0]) + 1;
        put(segment, 0, &(own as u32).to_le_bytes());
        segment[4] = segment[4] % 48 + 1;
        segment[5..8].fill(0);
        (rows, widths) = (rows + own, widths | 1 << segment[4]);
    }
    let first = (number(&page, 40) >> 8).max(1);
    page[20..24].copy_from_slice(&[u8::from(any_id), 0, 0, 0]);
    for (at, value) in [(40, first), (48, first + rows - 1), (88, (file_pages * PAGE_BYTES) as u64), (104, widths)] {
        put(&mut page, at, &value.to_le_bytes());
    }
    put(&mut page, 96, &(entries as u64).to_le_bytes());
    for (at, value) in [(112, segments), (116, templates), (120, templates_bytes), (124, radix)] {
        put(&mut page, at, &(value as u32).to_le_bytes());
    }
    put(&mut page, 0, &tier::MAGIC);
    put(&mut page, 8, &[1, 0, 1, 0, 0, 0, 0, 0]);
    seal(&mut page, HEADER, named(tier::MAGIC));
    let salt = number(&page, 56) ^ first;
    for payload in space.chunks(PAYLOAD) {
        let offset = page.len();
        page.extend_from_slice(payload);
        page.resize(offset + PAGE_BYTES, 0);
        seal(&mut page[offset..], PAGE_BYTES - 8, salt ^ offset as u64);
    }
    page
}

/// The file of a worker: header, heads of frames, the lengths and number of their entries, and all checks.
pub(super) fn worker(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    bytes.resize(data.len().max(worker::HEADER_BYTES).next_multiple_of(worker::UNIT), 0);
    let len = bytes.len();
    let name_len = 1 + bytes[56] % 64;
    put(&mut bytes, 0, &worker::MAGIC);
    put(&mut bytes, 8, &[1, 0, 1, 0, 0, 0, 0, 0]);
    put(&mut bytes, 48, &(len as u64).to_le_bytes());
    put(&mut bytes, 56, &[name_len, 0, 0, 0, 0, 0, 0, 0]);
    for (index, byte) in bytes[64..504].iter_mut().enumerate() {
        *byte = if index < usize::from(name_len) { b'a' + *byte % 26 } else { 0 };
    }
    let check = xxh3_64_with_seed(&bytes[..504], named(worker::MAGIC));
    put(&mut bytes, 504, &check.to_le_bytes());
    let salt = number(&bytes, 32);
    let (mut offset, mut seq) = (worker::HEADER_BYTES, 1u64);
    while offset + 2 * worker::UNIT <= len {
        let asked = u32::from_le_bytes([bytes[offset + 4], bytes[offset + 5], 0, 0]) as usize;
        let entries_bytes = asked % (len - offset - worker::UNIT).min(4096);
        let whole = worker::frame_bytes(entries_bytes as u64) as usize;
        let body = offset + worker::UNIT;
        let (mut at, end, mut count) = (body, body + entries_bytes, 0u32);
        while at < end {
            let asked =
                u32::from_le_bytes([bytes[at], bytes.get(at + 1).copied().unwrap_or_default() & 1, 0, 0]) as usize;
            // The last one takes what is left, if that is too little for another.
            let entry = if asked < 16 || at + asked + 16 > end { end - at } else { asked };
            put(&mut bytes, at, &(entry as u32).to_le_bytes()[..entry.min(4)]);
            (at, count) = (at + entry, count + 1);
        }
        bytes[end..offset + whole].fill(0xA5);
        let body_check = xxh3_64_with_seed(&bytes[body..offset + whole], salt);
        put(&mut bytes, offset, &worker::FRAME_MAGIC);
        put(&mut bytes, offset + 4, &(entries_bytes as u32).to_le_bytes());
        put(&mut bytes, offset + 8, &count.to_le_bytes());
        put(&mut bytes, offset + 12, &[0; 4]);
        put(&mut bytes, offset + 16, &seq.to_le_bytes());
        put(&mut bytes, offset + 24, &(len as u64).to_le_bytes());
        put(&mut bytes, offset + 40, &body_check.to_le_bytes());
        let check = xxh3_64_with_seed(&bytes[offset..offset + 48], salt ^ offset as u64);
        put(&mut bytes, offset + 48, &check.to_le_bytes());
        put(&mut bytes, offset + 56, &[0, 0, 0, 0, 0, 0, 0, 0xA5]);
        (offset, seq) = (offset + whole, seq + 1);
    }
    bytes
}

/// A file of stored states: its header, and of each record its lengths, checks, and, where it names a position that the
/// log has, the fingerprint of the event there.
pub(super) fn snapshot(data: &[u8], log: LogId, checkpoints: &[Checkpoint]) -> Vec<u8> {
    let mut file = data.to_vec();
    let name_len = usize::from(u16_at(data, 10).unwrap_or_default()) % 64;
    let mut end = (40 + name_len).next_multiple_of(8);
    file.resize(file.len().max(end + 8).next_multiple_of(8), 0);
    put(&mut file, 0, &snapshot::MAGIC);
    put(&mut file, 8, &[1, 0, name_len as u8, 0, 0, 0, 0, 0]);
    put(&mut file, 16, &log.0);
    seal(&mut file, end, named(snapshot::MAGIC));
    end += 8;
    let salt = number(&file, 32);
    while end + 72 <= file.len() {
        let left = file.len() - end - 72;
        let record = &mut file[end..];
        let subject_len = usize::from(u16_at(record, 4).unwrap_or_default()) % 64.min(left + 1);
        let check_at = (64 + subject_len).next_multiple_of(8);
        let state_at = check_at + 8;
        if state_at > record.len() {
            break;
        }
        let room = record.len() - state_at;
        let state_len = u32_at(record, 52).unwrap_or_default() as usize % (room + 1);
        let whole = state_len.next_multiple_of(8).min(room);
        put(record, 0, &snapshot::RECORD_MAGIC);
        put(record, 4, &[subject_len as u8, 0, 0, 0]);
        put(record, 52, &(state_len as u32).to_le_bytes());
        if let Some(at) = checkpoints.get(number(record, 8) as usize) {
            put(record, 24, &at.epoch.to_le_bytes());
            put(record, 32, &at.fingerprint);
        }
        record[state_at + state_len..state_at + whole].fill(0);
        let state_check = xxh3_64_with_seed(&record[state_at..state_at + whole], salt);
        put(record, 56, &state_check.to_le_bytes());
        seal(record, check_at, salt ^ end as u64);
        end += state_at + whole;
    }
    file
}

/// A kept state: magic, length and check; version and checkpoint too, where they are given.
pub(super) fn kept(data: &[u8], at: Option<(u32, Checkpoint)>) -> Vec<u8> {
    let mut file = data.to_vec();
    file.resize(file.len().max(64), 0);
    let end = file.len() - 8;
    put(&mut file, 0, b"annlproj");
    if let Some((version, at)) = at {
        put(&mut file, 8, &u64::from(version).to_le_bytes());
        put(&mut file, 16, &at.position.get().to_le_bytes());
        put(&mut file, 24, &at.epoch.to_le_bytes());
        put(&mut file, 32, &at.fingerprint);
    }
    put(&mut file, 48, &(end as u64 - 56).to_le_bytes());
    let check = xxh3_64(&file[..end]);
    put(&mut file, end, &check.to_le_bytes());
    file
}

/// ANCHOR or LIVE: all checks, and the log that it is of where that is given.
pub(super) fn identity(file: &mut [u8], name: &str, log: Option<LogId>) {
    match name {
        "ANCHOR" => {
            for (slot, offset) in file.chunks_mut(PAGE_BYTES).zip(slot::OFFSETS) {
                // A slot of zeros is one that was never written.
                if slot.iter().all(|byte| *byte == 0) {
                    continue;
                }
                put(slot, 8, &[1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                if let Some(log) = log {
                    put(slot, 32, &log.0);
                }
                page(2, slot, 0, offset);
            }
        }
        "LIVE" if file.len() >= PAGE_BYTES => {
            if let Some(log) = log {
                put(file, 8, &log.0);
            }
            live(file);
        }
        _ => {}
    }
}
