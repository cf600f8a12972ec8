//! The parsers of sealed segments: each part alone, and the whole file with every check made to fit.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zstd::dict::DecoderDictionary;

use super::{LOG, mend, use_up};
use crate::error::{Error, ErrorKind};
use crate::format::Read;
use crate::format::bytes::{u16_at, u32_at};
use crate::format::leaf::LeafHasher;
use crate::format::sealed::block::{Block, BlockFacts, Row, Scratch, Unpacked};
use crate::format::sealed::dictionary::{Dictionary, StringColumn};
use crate::format::sealed::envelope::{FOOTER_MAX, SealedHeader, Tail};
use crate::format::sealed::footer::Footer;
use crate::format::sealed::page;
use crate::format::sealed::terms::{Entry, TermsDirectory, TermsPage, parse_filter, view_filter};
use crate::format::term::{Dimension, TermHasher};
use crate::io::{Mode, SimStorage, Storage};
use crate::position::Position;
use crate::segment::Cursor;
use crate::segment::sealed::shelf::Shelf;
use crate::segment::sealed::{Ends, SealedSegment};

/// Bytes that no parser may hold for a part of a small input.
const MEMORY_MAX: usize = 64 << 20;
/// More rows of one file than this say nothing new.
const ROWS_MAX: u32 = 3_000;

/// What stands after a length of two bytes, and what stands behind it.
fn two_parts(data: &[u8]) -> (&[u8], &[u8]) {
    let len = usize::from(u16_at(data, 0).unwrap_or_default());
    let rest = data.get(2..).unwrap_or_default();
    rest.split_at(len.min(rest.len()))
}

/// The head of a block, behind the dictionary that it refers to (and that one's length, a u16).
pub fn block(data: &[u8]) {
    let (strings, head) = two_parts(data);
    let Ok(dictionary) = Dictionary::parse(strings) else { return };
    let facts = BlockFacts { log: LOG, base: Position::new(7), rows: u32_at(head, 0).unwrap_or_default() };
    let Ok(block) = Block::parse(head.into(), facts, Arc::new(dictionary)) else { return };
    assert!(block.memory() < MEMORY_MAX);
    let mut unpacked = Unpacked::default();
    let whole = block.unpack(&mut unpacked).is_ok();
    let (mut scratch, mut other_scratch) = (Scratch::default(), Scratch::default());
    let mut hasher = LeafHasher::default();
    for row in 0..block.rows() {
        let Ok(place) = block.payload(row) else { continue };
        if place.len > 0 {
            let page = block.page(place.page);
            assert!(page.is_some_and(|page| place.start + place.len <= page.raw as usize), "{place:?} of {page:?}");
        }
        let data = vec![b'x'; place.len.min(1 << 16)];
        let alone = block.event(row, &mut scratch, &data);
        let walked = block.event_unpacked(&unpacked, row, &mut other_scratch, &data);
        match (&alone, &walked) {
            (Ok(alone), Ok(walked)) => {
                use_up::assert_same(&alone.event, &walked.event);
                assert_eq!(alone.event.position(), Position::new(7 + u64::from(row)));
                use_up::use_event(&alone.event);
                let _ = hasher.leaf(&alone.event, &alone.batch);
            }
            (Ok(_), Err(bad)) => assert!(!whole, "row {row} is read alone and not in a walk: {bad:?}"),
            (Err(bad), Ok(_)) => panic!("row {row} is read in a walk and not alone: {bad:?}"),
            (Err(_), Err(_)) => {}
        }
        ask_block(&block, row);
    }
    assert!(block.event(block.rows(), &mut scratch, &[]).is_err());
}

/// Everything else that is asked of a row of a block.
fn ask_block(block: &Block, row: u32) {
    let mut scratch = Scratch::default();
    let _ = (block.recorded_at(row), block.occurred_at(row), block.epoch(row), block.version(row));
    let _ = (block.causation(row), block.subject(row), block.flags(row), block.key(row));
    let _ = block.given_id(row, &mut scratch);
    let _ = block.tags(row).map(|tags| tags.take(300).for_each(drop));
    // Narrowing a query must never lose a row.
    for column in StringColumn::ALL.into_iter().take(7).filter(|_| row.is_multiple_of(64)) {
        let Ok(reference) = block.reference(column, row) else { continue };
        let mut rows = Vec::new();
        block.rows_where(column, &[reference], 0..block.rows(), &mut rows);
        assert!(rows.contains(&row), "{column:?} {reference} of row {row}");
        if let Some(text) = block.value(column, reference) {
            let references = block.references_where(column, &mut |other| other == text);
            assert!(references.contains(&reference), "{column:?} {reference} of row {row}");
        }
    }
    for column in [StringColumn::Tag, StringColumn::MetaName, StringColumn::MetaValue] {
        block.rows_where(column, &[1, 2, u32::MAX], row..u32::MAX, &mut Vec::new());
    }
}

/// The strings and id templates of a segment. What is read is written again, and is the same.
pub fn dictionary(data: &[u8]) {
    let Ok(dictionary) = Dictionary::parse(data) else { return };
    assert!(dictionary.memory() < MEMORY_MAX);
    let mut again = Vec::new();
    dictionary.encode(&mut again);
    let Ok(again) = Dictionary::parse(&again) else { panic!("a dictionary that was read is refused") };
    for column in StringColumn::ALL {
        let strings = |dictionary: &Dictionary| -> Option<Vec<(u32, String)>> {
            Some(dictionary.references(column)?.map(|(reference, text)| (reference, text.to_owned())).collect())
        };
        assert_eq!(strings(&dictionary), strings(&again));
        for (reference, text) in strings(&dictionary).into_iter().flatten().take(20) {
            assert_eq!(dictionary.value(column, reference), Some(&*text));
            let _ = dictionary.reference(column, &text);
        }
    }
    for id in ["evt-7", "7", "bpic-12-0", "", "99999999999999999999", "a-b-c-4-5"] {
        let _ = dictionary.id_candidates(id);
    }
    let _ = (0..300).map(|index| dictionary.template(index)).all(|template| template.is_some());
}

/// By the first byte: a page of the term index behind its directory (and that one's length, a u16), or a filter.
pub fn terms(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    if which & 1 == 1 {
        let mut mended = rest.to_vec();
        mend::crc_at_end(&mut mended);
        for bytes in [rest, &mended] {
            let Ok(filter) = parse_filter(bytes) else { continue };
            let Ok(view) = view_filter(bytes) else { panic!("a filter that was read is refused") };
            for hash in [0, 1, u64::MAX, 0x0123_4567_89AB_CDEF] {
                assert_eq!(filter.may_contain(hash), view.may_contain(hash));
            }
        }
        return;
    }
    let (directory, page) = two_parts(rest);
    look_at_terms(directory, page);
    let (mut directory, mut page) = (directory.to_vec(), page.to_vec());
    mend::term_page(&mut directory, &mut page);
    look_at_terms(&directory, &page);
}

fn look_at_terms(directory: &[u8], page: &[u8]) {
    let Ok(directory) = TermsDirectory::parse(directory) else { return };
    assert!(directory.memory() < MEMORY_MAX);
    for number in 0..directory.page_count() {
        let place = directory.place(number);
        assert!(place.start < place.end && place.end <= directory.pages_bytes());
    }
    for hash in [0, 1 << 63, u64::MAX] {
        assert!(directory.page_of(hash).end <= directory.page_count());
    }
    let Ok(page) = TermsPage::parse(page, &directory) else { return };
    let blocks = directory.rows().div_ceil(1024);
    let bits = directory.truncate(u64::MAX).count_ones();
    for entry in page.entries() {
        let Ok((truncated, entry)) = entry else { break };
        match &entry {
            Entry::Term(postings) | Entry::Subject { postings, .. } => {
                assert!(postings.last_row < directory.rows());
                let listed: Vec<u32> = postings.blocks().collect();
                assert!(listed.is_sorted_by(|one, other| one < other) && listed.iter().all(|block| *block < blocks));
                assert_eq!(listed.len() as u32, postings.block_count());
            }
            Entry::Key { first_row, count, .. } => assert!(first_row + count <= directory.rows()),
        }
        let mut found = 0;
        let asked = page.find(truncated << (64 - bits), &mut |_| found += 1);
        assert!(asked.is_err() || found > 0, "an entry that is listed is not found");
    }
}

/// By the first byte: a header, a tail or a footer. What is read is written again as it was.
pub fn envelope(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    let mut mended = rest.to_vec();
    mend::envelope(*which, &mut mended);
    for bytes in [rest, &mended] {
        match which % 3 {
            0 => {
                if let Read::Valid(header) = SealedHeader::read(bytes) {
                    assert_eq!(SealedHeader::read(&header.encode()), Read::Valid(header));
                }
            }
            1 => {
                let file_len = mend::number(bytes, 24);
                if let Ok(tail) = Tail::read(bytes, file_len) {
                    assert!(tail.footer_len <= FOOTER_MAX && tail.footer_at < file_len);
                    assert_eq!(Tail::read(&tail.encode(), file_len).ok(), Some(tail));
                }
            }
            _ => {
                let (base, bytes) = bytes.split_at(bytes.len().min(8));
                let (base, footer_at) = (Position::new(mend::number(base, 0)), 1 << 40);
                if let Ok(footer) = Footer::parse(bytes, LOG, base, footer_at) {
                    let again = Footer::parse(&footer.encode(), LOG, base, footer_at);
                    assert_eq!(again.ok().as_ref(), Some(&footer));
                }
            }
        }
    }
}

/// A payload page: its raw length (u32), its dictionary behind that one's length (a u16; 0: none), the stored bytes.
pub fn payload(data: &[u8]) {
    let raw_len = u32_at(data, 0).unwrap_or_default() as usize;
    let (dictionary, stored) = two_parts(data.get(4..).unwrap_or_default());
    let Ok(prepared) = DecoderDictionary::try_copy(dictionary) else { return };
    let prepared = (!dictionary.is_empty()).then_some(&prepared);
    let mut raw = Vec::new();
    for raw_len in [raw_len, stored.len()] {
        match page::decode(stored, raw_len, prepared, &mut raw) {
            Ok(()) => assert_eq!(raw.len(), raw_len),
            Err(bad) => assert!(!bad.expected.is_empty()),
        }
        assert!(raw.capacity() <= page::PAGE_RAW_MAX.max(stored.len()));
    }
}

/// A whole sealed file on a simulated disk, opened and asked everything.
pub fn sealed(data: &[u8]) {
    look_at_file(data);
    let mut bytes = data.to_vec();
    mend::sealed(&mut bytes);
    look_at_file(&bytes);
}

fn look_at_file(bytes: &[u8]) {
    let Read::Valid(header) = SealedHeader::read(bytes.get(..128).unwrap_or_default()) else { return };
    let path = Path::new("00000000000000000001.seg");
    let storage: Arc<dyn Storage> = SimStorage::new();
    let written = storage.open(path, Mode::CreateNew).and_then(|file| file.write_all_at(&mut [IoSlice::new(bytes)], 0));
    assert!(written.is_ok());
    let Ok(ends) = Ends::read(&*storage, path, header.log, header.base) else { return };
    let sealed = SealedSegment::new(storage, Arc::new(Shelf::new(1 << 20)), PathBuf::from(path), ends);
    let whole = sealed.check_parts().and_then(|()| sealed.check_blocks(&mut |_| Ok(()))).is_ok();
    let hasher = TermHasher::new(header.log);
    let mut good = 0;
    for walking in [false, true] {
        let mut cursor = Cursor::walking(walking);
        for row in 0..sealed.rows().min(ROWS_MAX) {
            let mut subject = None;
            let read = sealed.with_row(&mut cursor, row, !sealed.footer.archived, |row: Row<'_>| {
                use_up::use_event(&row.event);
                subject = Some((row.event.subject().to_owned(), row.event.given_id().map(str::to_owned)));
            });
            expected(&read);
            good += u32::from(read.is_ok() && !walking);
            let Some((subject, id)) = subject.filter(|_| row % 97 == 0 && !walking) else { continue };
            let horizon = sealed.position(sealed.rows() - 1);
            let mut seen = 0;
            let hash = hasher.subject(&subject);
            expected(&sealed.each_row_of(&subject, hash, horizon, &mut |_| {
                seen += 1;
                Ok(seen < 50)
            }));
            if let Some(id) = id {
                expected(&sealed.rows_of_id(&id, horizon));
            }
            expected(&sealed.blocks_of(&[hash, 0, u64::MAX]));
        }
    }
    expected(&sealed.find_key("key-1", hasher.hash(Dimension::Key, b"key-1")));
    expected(&sealed.for_each_preimage(0, &mut |_, _| Ok(true)));
    let _ = (sealed.archive(), sealed.places(), sealed.blocks());
    assert!(!whole || sealed.footer.archived || good <= sealed.rows());
}

/// Reading a damaged file is an error of the file.
fn expected<T>(outcome: &Result<T, Error>) {
    if let Err(error) = outcome {
        let kinds = [ErrorKind::Corruption, ErrorKind::Archived, ErrorKind::Io, ErrorKind::NotFound];
        assert!(kinds.contains(&error.kind()), "{error:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds() -> Vec<Vec<u8>> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/sealed");
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let whole = entries.filter(|path| path.to_string_lossy().contains("whole-"));
        whole.map(|path| std::fs::read(path).unwrap()).collect()
    }

    fn opens(bytes: &[u8]) -> bool {
        let storage: Arc<dyn Storage> = SimStorage::new();
        let path = Path::new("1.seg");
        let file = storage.open(path, Mode::CreateNew).unwrap();
        file.write_all_at(&mut [IoSlice::new(bytes)], 0).unwrap();
        let Read::Valid(header) = SealedHeader::read(bytes) else { return false };
        let Ok(ends) = Ends::read(&*storage, path, header.log, header.base) else { return false };
        let sealed = SealedSegment::new(storage, Arc::new(Shelf::new(0)), path.to_owned(), ends);
        sealed.read_block(0).is_ok()
    }

    /// What is whole stays as it is, and most of what is not gets past the checks.
    #[test]
    fn mending_gets_damage_past_the_checks() {
        assert!(seeds().len() > 2);
        for seed in seeds() {
            let mut same = seed.clone();
            mend::sealed(&mut same);
            assert!(same == seed, "mending changes a whole file");
            let (mut through, mut tried) = (0, 0);
            for at in (128..seed.len()).step_by((seed.len() / 200).max(1)) {
                let mut bytes = seed.clone();
                bytes[at] ^= 4;
                mend::sealed(&mut bytes);
                tried += 1;
                through += usize::from(opens(&bytes));
            }
            assert!(through * 2 > tried, "{through} of {tried} get past the checks");
        }
    }
}
