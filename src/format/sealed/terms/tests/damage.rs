//! Damaged, hostile and misplaced bytes: an error or, under checks that were mended, anything but a
//! panic.

use super::*;

fn small() -> EncodedTerms {
    let mut oracle = large(5_000, 12);
    oracle.subjects = oracle.subjects.into_iter().take(10).collect();
    oracle.keys = oracle.keys.into_iter().take(4).collect();
    oracle.build()
}

/// Gives bytes the check that they ask for, as an attacker would.
fn mend(bytes: &mut [u8]) {
    if let Some((checked, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(checked).to_le_bytes();
    }
}

/// Asks everything, whatever the answers.
fn poke(encoded: &EncodedTerms) {
    if let Some(filter) = &encoded.filter {
        for view in [parse_filter(filter), view_filter(filter)].into_iter().flatten() {
            (0..50).for_each(|number| {
                view.may_contain(hash("term", number));
            });
        }
    }
    let Ok(directory) = TermsDirectory::parse(&encoded.directory) else { return };
    for number in 0..directory.page_count().min(1_000) {
        let place = directory.place(number);
        let Some(bytes) = encoded.pages.get(place.start as usize..place.end as usize) else { continue };
        let Ok(page) = TermsPage::parse(bytes, &directory) else { continue };
        for (hash, entry) in page.entries().flatten() {
            let (postings, rows) = match entry {
                Entry::Term(postings) | Entry::Subject { postings, .. } => (postings, directory.rows()),
                Entry::Key { first_row, count, .. } => {
                    assert!(count > 0 && u64::from(first_row) + u64::from(count) <= u64::from(directory.rows()));
                    continue;
                }
            };
            let blocks: Vec<u32> = postings.blocks().collect();
            assert!(blocks.is_sorted_by(|a, b| a < b));
            assert_eq!(blocks.len(), postings.block_count() as usize);
            assert_eq!(blocks.last(), Some(&(postings.last_row / BLOCK_ROWS)));
            assert!(postings.last_row < rows && postings.count as usize >= blocks.len());
            let _ = page.find(hash.checked_shl(64 - bits(&directory)).unwrap_or(0), &mut |_| ());
        }
        (0..50).for_each(|number| {
            let hash = hash("term", number);
            let _ = page.find(hash, &mut |_| ());
            assert!(directory.page_of(hash).all(|page| !directory.place(page).is_empty()));
        });
    }
}

fn bits(directory: &TermsDirectory) -> u32 {
    directory.truncate(u64::MAX).count_ones()
}

#[test]
fn every_flipped_bit_and_every_missing_byte_is_an_error() {
    let good = small();
    let directory = TermsDirectory::parse(&good.directory).unwrap();
    let page = page_bytes(&good, &directory, 0);
    let filter = good.filter.clone().unwrap();
    for (part, bytes) in [&good.directory[..], page, &filter].into_iter().enumerate() {
        let parses = |bytes: &[u8]| match part {
            0 => TermsDirectory::parse(bytes).is_ok(),
            1 => TermsPage::parse(bytes, &directory).is_ok(),
            _ => parse_filter(bytes).is_ok(),
        };
        assert!(parses(bytes));
        for bit in (0..bytes.len() * 8).step_by(crate::trials::STRIDE) {
            let mut bytes = bytes.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!parses(&bytes), "bit {bit}");
        }
        for end in (0..bytes.len()).step_by(crate::trials::STRIDE) {
            assert!(!parses(&bytes[..end]));
            let mut mended = bytes[..end].to_vec();
            mend(&mut mended);
            // A page or a directory says how long it is, and so does the shape of a filter.
            assert!(!parses(&mended), "to {end}");
        }
        assert!(!parses(&[bytes, &[0]].concat()) && !parses(&vec![0; bytes.len()]));
    }
}

#[test]
fn flipped_bits_under_mended_checks_are_survived() {
    let good = small();
    let directory = TermsDirectory::parse(&good.directory).unwrap();
    let page = page_bytes(&good, &directory, 0).len();
    for bit in (0..page * 8).step_by(crate::trials::STRIDE) {
        let mut bad = good.clone();
        bad.pages[bit / 8] ^= 1 << (bit % 8);
        mend(&mut bad.pages[..page]);
        poke(&bad);
    }
    for bit in (0..good.directory.len() * 8).step_by(crate::trials::STRIDE) {
        let mut bad = good.clone();
        bad.directory[bit / 8] ^= 1 << (bit % 8);
        mend(&mut bad.directory);
        poke(&bad);
    }
    for bit in (0..16 * 8).step_by(crate::trials::STRIDE) {
        let mut bad = good.clone();
        let filter = bad.filter.as_mut().unwrap();
        filter[bit / 8] ^= 1 << (bit % 8);
        mend(filter);
        poke(&bad);
    }
}

#[test]
fn a_page_in_the_place_of_another_is_an_error() {
    let oracle = large(9_000, 4_000);
    let (here, elsewhere) = (oracle.build(), large(9_000, 4_100).build());
    let directory = TermsDirectory::parse(&here.directory).unwrap();
    let other = TermsDirectory::parse(&elsewhere.directory).unwrap();
    let page = |number| TermsPage::parse(page_bytes(&here, &directory, number), &directory).unwrap();
    for hash in oracle.terms.keys() {
        let pages = directory.page_of(*hash);
        for number in 0..directory.page_count() {
            if page(number).find(*hash, &mut |_| ()).is_ok() {
                // The page before says no and is right, where a page ends with the hash that another begins with.
                assert!(pages.contains(&number) || directory.page_of(*hash).end == number, "{pages:?} {number}");
            } else {
                assert!(!pages.contains(&number));
            }
        }
    }
    // Up to where the two differ they have the same pages.
    let mut strange = 0;
    for number in 0..directory.page_count().min(other.page_count()) {
        if directory.first(number) != other.first(number) {
            assert!(TermsPage::parse(page_bytes(&elsewhere, &other, number), &directory).is_err());
            strange += 1;
        }
    }
    assert!(strange > 0);
}

proptest! {
    #![proptest_config(crate::trials::cases(3_000))]

    /// Bytes that nobody would write, under checks that hold.
    #[test]
    fn hostile_bytes_are_survived(
        pokes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..6, any::<u64>()), 1..8),
        part in 0usize..3,
    ) {
        thread_local!(static GOOD: EncodedTerms = small());
        let mut bad = GOOD.with(Clone::clone);
        let page = TermsDirectory::parse(&bad.directory).unwrap().place(0).end as usize;
        let bytes = match part {
            0 => &mut bad.pages[..page],
            1 => &mut bad.directory[..],
            _ => bad.filter.as_deref_mut().unwrap(),
        };
        for (at, kind, value) in pokes {
            let at = at.index(bytes.len());
            let len = [1, 1, 1, 2, 4, 8][kind].min(bytes.len() - at);
            let value = match value % 5 {
                0 => u64::MAX,
                1 => 0x8080_8080_8080_8080,
                2 => (value >> 8) % 32,
                _ => value >> 3,
            };
            bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
        }
        mend(bytes);
        poke(&bad);
    }

    /// A page that is nothing but chance, under a directory of chance.
    #[test]
    fn chance_is_survived(
        body in prop::collection::vec(any::<u8>(), 1..300),
        bits in 19u8..=64,
        short in 1u8..=8,
        rows in 1u32..ROWS_MAX,
        first in any::<u64>(),
    ) {
        let first = first >> (64 - bits);
        let mut pages = [&0u32.to_le_bytes()[..], &first.to_le_bytes(), &body, &[0; 4]].concat();
        mend(&mut pages);
        let directory = super::super::directory::encode(Shape { rows, bits, short }, 1, &[(first, pages.len() as u32)]);
        poke(&EncodedTerms { pages, directory, filter: None, entries: 1 });
    }
}
