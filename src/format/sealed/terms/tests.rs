//! Every answer of a term index against plain maps.

mod damage;
mod hostile;
mod sizes;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::*;

/// What an index should answer, in the plainest form.
#[derive(Debug, Default, Clone)]
struct Oracle {
    rows: u32,
    terms: BTreeMap<u64, BTreeSet<u32>>,
    /// Rows with their versions.
    subjects: BTreeMap<u64, BTreeMap<u32, u64>>,
    keys: BTreeMap<u64, Vec<(u32, u32, [u8; 32])>>,
}

/// A hash as good as any.
fn hash(kind: &str, number: u64) -> u64 {
    xxh3_64(format!("{kind}{number}").as_bytes())
}

impl Oracle {
    fn build(&self) -> EncodedTerms {
        let mut by_row: BTreeMap<u32, Vec<(u64, Option<u64>)>> = BTreeMap::new();
        for (hash, rows) in &self.terms {
            rows.iter().for_each(|row| by_row.entry(*row).or_default().push((*hash, None)));
        }
        for (hash, rows) in &self.subjects {
            rows.iter().for_each(|(row, version)| by_row.entry(*row).or_default().push((*hash, Some(*version))));
        }
        let mut builder = TermsBuilder::new();
        for (hash, keys) in &self.keys {
            keys.iter().for_each(|(first, count, content)| builder.key(*hash, *first, *count, *content));
        }
        for (row, terms) in by_row {
            // The first comes twice, once at the end, as tags may.
            for (hash, version) in terms.iter().chain(terms.first()) {
                match version {
                    Some(version) => builder.subject(*hash, row, *version),
                    None => builder.term(*hash, row),
                }
            }
        }
        builder.finish(self.rows).unwrap()
    }

    fn blocks(rows: impl IntoIterator<Item = u32>) -> BTreeSet<u32> {
        rows.into_iter().map(|row| row / BLOCK_ROWS).collect()
    }

    /// Asks everything there is to ask and compares.
    fn compare(&self, encoded: &EncodedTerms) {
        let directory = TermsDirectory::parse(&encoded.directory).unwrap();
        assert_eq!((directory.rows(), directory.entries()), (self.rows, encoded.entries));
        assert_eq!(directory.pages_bytes(), encoded.pages.len() as u64);
        let filter = encoded.filter.as_deref().map(|bytes| parse_filter(bytes).unwrap()).unwrap();

        let mut merged: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        self.terms.keys().for_each(|hash| merged.entry(directory.truncate(*hash)).or_default().push(*hash));
        for hash in self.terms.keys().chain(self.subjects.keys()).chain(self.keys.keys()) {
            assert!(filter.may_contain(*hash));
            self.compare_hash(encoded, &directory, *hash, &merged);
            // Neighbours that differ in what is kept, mostly.
            for near in [hash.wrapping_add(1 << 30), hash.wrapping_sub(1 << 30), !hash, 0, u64::MAX] {
                self.compare_hash(encoded, &directory, near, &merged);
            }
        }
        self.compare_all(encoded, &directory, &merged);
    }

    fn compare_hash(
        &self,
        encoded: &EncodedTerms,
        directory: &TermsDirectory,
        hash: u64,
        merged: &BTreeMap<u64, Vec<u64>>,
    ) {
        let truncated = directory.truncate(hash);
        let mut term = None;
        let (mut subjects, mut keys) = (Vec::new(), Vec::new());
        look_up(encoded, directory, hash, &mut |entry| match entry {
            Entry::Term(postings) => {
                let blocks: BTreeSet<u32> = postings.blocks().collect();
                assert_eq!(blocks.len(), postings.block_count() as usize);
                assert!(term.replace((postings.last_row, postings.count, blocks)).is_none());
            }
            Entry::Subject { last_version, postings } => {
                let blocks: BTreeSet<u32> = postings.blocks().collect();
                subjects.push((last_version, postings.last_row, postings.count, blocks));
            }
            Entry::Key { first_row, count, content_hash } => keys.push((first_row, count, *content_hash)),
        });
        let expected_term = merged.get(&truncated).map(|hashes| {
            let rows = || hashes.iter().flat_map(|hash| self.terms[hash].iter().copied());
            (rows().max().unwrap(), rows().count() as u32, Oracle::blocks(rows()))
        });
        assert_eq!(term, expected_term, "{hash:016x}");
        let of_it = |other: &u64| directory.truncate(*other) == truncated;
        let mut expected: Vec<_> = self.subjects.iter().filter(|(other, _)| of_it(other)).collect();
        expected.sort();
        let expected = expected.into_iter().map(|(_, rows)| {
            let (last, version) = rows.last_key_value().unwrap();
            (*version, *last, rows.len() as u32, Oracle::blocks(rows.keys().copied()))
        });
        assert_eq!(subjects, expected.collect::<Vec<_>>());
        let mut expected: Vec<_> =
            self.keys.iter().filter(|(other, _)| of_it(other)).flat_map(|(_, keys)| keys).copied().collect();
        expected.sort();
        keys.sort();
        assert_eq!(keys, expected);
    }

    /// Goes through the pages as verification does.
    fn compare_all(&self, encoded: &EncodedTerms, directory: &TermsDirectory, merged: &BTreeMap<u64, Vec<u64>>) {
        let (mut counts, mut before, mut seen) = ((0, 0, 0), 0, 0u64);
        for page in 0..directory.page_count() {
            let bytes = page_bytes(encoded, directory, page);
            assert!(bytes.len() <= PAGE_BYTES_MAX);
            for entry in TermsPage::parse(bytes, directory).unwrap().entries() {
                let (hash, entry) = entry.unwrap();
                assert!(hash >= before);
                before = hash;
                seen += 1;
                match entry {
                    Entry::Term(_) => counts.0 += 1,
                    Entry::Subject { .. } => counts.1 += 1,
                    Entry::Key { .. } => counts.2 += 1,
                }
            }
        }
        assert_eq!(seen, encoded.entries);
        let keys = self.keys.values().map(Vec::len).sum::<usize>();
        assert_eq!(counts, (merged.len(), self.subjects.len(), keys));
    }
}

fn page_bytes<'a>(encoded: &'a EncodedTerms, directory: &TermsDirectory, page: usize) -> &'a [u8] {
    let place = directory.place(page);
    &encoded.pages[place.start as usize..place.end as usize]
}

fn look_up(encoded: &EncodedTerms, directory: &TermsDirectory, hash: u64, each: &mut dyn FnMut(Entry<'_>)) {
    for page in directory.page_of(hash) {
        let page = TermsPage::parse(page_bytes(encoded, directory, page), directory).unwrap();
        page.find(hash, each).unwrap();
    }
}

/// A term on the rows that its number chooses: few, many, one stretch, all.
fn spread(rows: u32, pattern: u8, number: u32) -> BTreeSet<u32> {
    let all = (0..rows).map(|row| (row, xxh3_64(&[row.to_le_bytes(), number.to_le_bytes()].concat())));
    let one_of = |count: u64| all.clone().filter(move |(_, chance)| chance % count == 0).map(|(row, _)| row).collect();
    match pattern % 8 {
        0 => (0..rows).step_by(700).collect(),
        1 => one_of(64),
        2 => one_of(2_000),
        3 => one_of(20_000),
        4 => (rows / 3..rows / 2).collect(),
        5 => (0..rows).filter(|row| row / BLOCK_ROWS % 3 != 1).step_by(511).collect(),
        _ => BTreeSet::from([number % rows]),
    }
}

/// Few different hashes, some of which differ only in bits that are cut off.
fn hashes() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec((any::<u64>(), 0u64..4), 1..24).prop_map(|pairs| {
        let some = pairs[0].0;
        pairs.into_iter().map(|(hash, low)| if low == 0 { hash } else { some ^ low }).collect()
    })
}

fn oracle() -> impl Strategy<Value = Oracle> {
    let rows = prop_oneof![3 => 1u32..20, 3 => 1u32..5_000, 1 => 5_000u32..300_000];
    let terms = prop::collection::vec((0usize..24, any::<u8>(), any::<u32>()), 0..12);
    let subjects = prop::collection::vec((0usize..24, any::<u8>(), any::<u32>(), any::<u64>()), 0..12);
    let keys = prop::collection::vec((0usize..24, any::<u32>(), 1u32..500, any::<u8>()), 0..12);
    (rows, hashes(), terms, subjects, keys).prop_map(|(rows, hashes, terms, subjects, keys)| {
        let hash = |index: usize| hashes[index % hashes.len()];
        let mut oracle = Oracle { rows, ..Oracle::default() };
        for (index, pattern, number) in terms {
            oracle.terms.entry(hash(index)).or_default().extend(spread(rows, pattern, number));
        }
        for (index, pattern, number, version) in subjects {
            let rows = spread(rows, pattern, number).into_iter().zip(version >> (number % 64)..);
            oracle.subjects.entry(hash(index)).or_default().extend(rows);
        }
        for (index, row, count, content) in keys {
            let first = row % rows;
            let key = (first, count.min(rows - first), [content; 32]);
            oracle.keys.entry(hash(index)).or_default().push(key);
        }
        oracle.terms.retain(|_, rows| !rows.is_empty());
        oracle.subjects.retain(|_, rows| !rows.is_empty());
        oracle
    })
}

proptest! {
    #![proptest_config(crate::trials::cases(150))]

    #[test]
    fn every_answer_is_that_of_a_map(oracle in oracle()) {
        let encoded = oracle.build();
        oracle.compare(&encoded);
        prop_assert_eq!(oracle.build(), encoded);
    }
}

/// A segment with everything in it, over many pages.
fn large(rows: u32, singles: u32) -> Oracle {
    let mut oracle = Oracle { rows, ..Oracle::default() };
    for number in 0..40 {
        oracle.terms.insert(hash("term", number), spread(rows, number as u8, number as u32));
    }
    oracle.terms.insert(hash("kind", 0), (0..rows).collect());
    for number in 0..singles {
        oracle.terms.insert(hash("id", number.into()), [number % rows].into());
    }
    for row in 0..rows.min(20_000) {
        let subject = hash("subject", (row % 1_009).into());
        oracle.subjects.entry(subject).or_default().insert(row, u64::from(row / 1_009) + 1);
    }
    for number in 0..300 {
        let key = (number as u32 % rows, 1, [number as u8; 32]);
        oracle.keys.insert(hash("key", number), vec![key]);
    }
    oracle.terms.retain(|_, rows| !rows.is_empty());
    oracle
}

#[test]
fn many_pages_answer_too() {
    let oracle = large(9_000, 4_000);
    let encoded = oracle.build();
    let directory = TermsDirectory::parse(&encoded.directory).unwrap();
    assert!(directory.page_count() > 5);
    assert!((12 * directory.page_count()..12 * directory.page_count() + 100).contains(&directory.memory()));
    oracle.compare_all(&encoded, &directory, &merged_by(&oracle, &directory));
    let mut found = 0;
    for (hash, rows) in &oracle.terms {
        let mut here = 0;
        look_up(&encoded, &directory, *hash, &mut |entry| {
            if let Entry::Term(postings) = entry {
                assert!(postings.count as usize >= rows.len() && Some(&postings.last_row) >= rows.last());
                let blocks: BTreeSet<u32> = postings.blocks().collect();
                assert!(blocks.is_superset(&Oracle::blocks(rows.iter().copied())));
                here += 1;
            }
        });
        assert_eq!(here, 1);
        found += here;
    }
    assert!(found > 4_000);
    // Absent ones are found once in half a million times.
    let mut wrong = 0;
    (0..20_000).for_each(|number| look_up(&encoded, &directory, hash("absent", number), &mut |_| wrong += 1));
    assert!(wrong < 3, "{wrong}");
    let filter = parse_filter(encoded.filter.as_deref().unwrap()).unwrap();
    let passed = (0..20_000).filter(|number| filter.may_contain(hash("absent", *number))).count();
    assert!((20..200).contains(&passed), "{passed}");
}

/// Whoever verifies a segment makes its term index anew and compares: other bytes for the same terms would make
/// every old one a damaged one. (The filter is `xorf`'s: it is asked, and not compared byte by byte.)
#[test]
fn the_bytes_are_those_of_format_version_1() {
    let bytes_of = |oracle: &Oracle| {
        let encoded = oracle.build();
        xxh3_64(&[encoded.directory, encoded.pages].concat())
    };
    let few = large(3_000, 300);
    let mut scattered = Oracle { rows: 1 << 20, ..Oracle::default() };
    for number in 0..60 {
        let step = 1_024 * (number % 20 + 1) as usize;
        let rows = (number * 512..1u32 << 20)
            .step_by(step)
            .filter(|row: &u32| !xxh3_64(&row.to_le_bytes()).is_multiple_of(9))
            .collect();
        scattered.terms.insert(hash("term", number.into()), rows);
    }
    let found = [bytes_of(&few), bytes_of(&scattered)];
    assert_eq!(found, [0xcdb9_2a39_6e32_37a0, 0x5c13_c2d9_9afd_e7e7], "found {found:#018x?}");
}

fn merged_by(oracle: &Oracle, directory: &TermsDirectory) -> BTreeMap<u64, Vec<u64>> {
    let mut merged: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    oracle.terms.keys().for_each(|hash| merged.entry(directory.truncate(*hash)).or_default().push(*hash));
    merged
}

#[test]
fn the_greatest_segment_has_a_place_for_every_block() {
    let mut oracle = Oracle { rows: ROWS_MAX, ..Oracle::default() };
    let firsts = || (0..BLOCKS_MAX).map(|block| block * BLOCK_ROWS + block % BLOCK_ROWS);
    oracle.terms.insert(1, firsts().collect());
    oracle.terms.insert(1 << 60, firsts().step_by(2).collect());
    oracle.terms.insert(2 << 60, firsts().step_by(3).chain([ROWS_MAX - 1]).collect());
    oracle.terms.insert(3 << 60, firsts().skip(1).collect());
    oracle.terms.insert(4 << 60, [0, ROWS_MAX - 1].into());
    oracle.terms.insert(5 << 60, [ROWS_MAX - 1].into());
    oracle.subjects.insert(5 << 60, firsts().map(|row| (row, u64::MAX)).collect());
    oracle.keys.insert(u64::MAX, vec![(0, ROWS_MAX, [1; 32]), (ROWS_MAX - 1, 1, [2; 32])]);
    oracle.compare(&oracle.build());
}

#[test]
fn entries_of_one_hash_may_fill_pages() {
    let mut oracle = Oracle { rows: 4_000, ..Oracle::default() };
    oracle.terms.insert(7 << 50, (0..4_000).collect());
    oracle.keys.insert(7 << 50, (0..500).map(|row| (row, 1, [row as u8; 32])).collect());
    oracle.keys.insert(9 << 50, vec![(0, 4_000, [0; 32])]);
    for low in 0..100 {
        oracle.subjects.insert(7 << 50 | low, [(low as u32, low)].into());
    }
    let encoded = oracle.build();
    let directory = TermsDirectory::parse(&encoded.directory).unwrap();
    assert!(directory.page_of(7 << 50).len() > 3);
    oracle.compare(&encoded);
}

#[test]
fn a_segment_without_terms_has_none() {
    for rows in [0, 1, 3_000] {
        let encoded = TermsBuilder::new().finish(rows).unwrap();
        assert!(encoded.pages.is_empty());
        Oracle { rows, ..Oracle::default() }.compare(&encoded);
        let directory = TermsDirectory::parse(&encoded.directory).unwrap();
        assert_eq!((directory.page_of(5), directory.place(0)), (0..0, 0..0));
    }
}

#[test]
fn what_cannot_be_is_an_error() {
    let finish = |add: &dyn Fn(&mut TermsBuilder), rows| {
        let mut builder = TermsBuilder::new();
        add(&mut builder);
        builder.finish(rows)
    };
    assert!(finish(&|builder| builder.term(1, 5), 6).is_ok());
    assert!(finish(&|builder| builder.term(1, 5), 5).is_err());
    assert!(finish(&|builder| builder.subject(1, ROWS_MAX - 1, 1), ROWS_MAX).is_ok());
    assert!(finish(&|builder| builder.subject(1, ROWS_MAX, 1), ROWS_MAX + 1).is_err());
    assert!(finish(&|_| (), ROWS_MAX + 1).is_err());
    assert!(finish(&|builder| (0..2).rev().for_each(|row| builder.term(1, row)), 2).is_err());
    assert!(finish(&|builder| builder.key(1, 3, 2, [0; 32]), 5).is_ok());
    assert!(finish(&|builder| builder.key(1, 3, 2, [0; 32]), 4).is_err());
    assert!(finish(&|builder| builder.key(1, 3, 0, [0; 32]), 9).is_err());
    assert!(finish(&|builder| builder.key(1, u32::MAX, 2, [0; 32]), 9).is_err());
}

#[test]
fn a_difference_is_named() {
    let (one, other) = (large(2_000, 50).build(), large(2_000, 51).build());
    let filter = one.filter.as_deref();
    one.diff(&one.pages, &one.directory, filter).unwrap();
    let what = |bad: crate::format::Parsed<()>| bad.unwrap_err().expected.into_owned();
    assert!(what(one.diff(&other.pages, &one.directory, filter)).contains("pages"));
    assert!(what(one.diff(&one.pages, &other.directory, filter)).contains("directory"));
    assert!(what(one.diff(&one.pages, &one.directory, other.filter.as_deref())).contains("the term filter"));
    assert_eq!(what(one.diff(&one.pages, &one.directory, None)), "a filter");
    assert!(one.diff(&one.pages[..one.pages.len() - 1], &one.directory, filter).is_err());
    let mut changed = one.pages.clone();
    changed[17] ^= 1;
    assert_eq!(one.diff(&changed, &one.directory, filter).unwrap_err().offset, 17);
}
