//! How large an index is, and how long it takes to make. Figures are printed; only sizes are judged.

use std::time::Instant;

use super::*;

/// Chance that is the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        ((u128::from(xxh3_64(&self.0.to_le_bytes())) * u128::from(end)) >> 64) as u64
    }
}

fn report(what: &str, encoded: &EncodedTerms, rows: u32) -> f64 {
    let (pages, directory) = (encoded.pages.len(), encoded.directory.len());
    let filter = encoded.filter.as_ref().map_or(0, Vec::len);
    let each = (pages + directory + filter) as f64 / f64::from(rows);
    let entry = pages as f64 / encoded.entries as f64;
    println!(
        "{what}: {} entries, pages {pages}, directory {directory}, filter {filter}: {each:.3} bytes a row, {entry:.2} an entry",
        encoded.entries
    );
    each
}

/// 13,087 subjects of 20 rows. `open`: so many subjects take their turns by chance at any time, as
/// loans or orders do; all of them if none ever ends early.
fn loans(open: usize) -> (EncodedTerms, u32) {
    const SUBJECTS: u64 = 13_087;
    let rows = 262_200;
    let mut chance = Chance(1);
    let mut builder = TermsBuilder::new();
    let mut active: Vec<(u64, u64)> = (0..open as u64).map(|subject| (subject, 0)).collect();
    let mut next = open as u64;
    let mut row = 0;
    while row < rows {
        let index = chance.below(active.len() as u64) as usize;
        let (subject, version) = &mut active[index];
        *version += 1;
        builder.subject(hash("s", *subject), row, *version);
        builder.term(hash("kind", 0), row);
        builder.term(hash("source", 0), row);
        let kind = chance.below(6).min(chance.below(6)) * 6 + chance.below(6).min(chance.below(6));
        builder.term(hash("type", kind), row);
        builder.term(hash("actor", chance.below(69).min(chance.below(69))), row);
        row += 1;
        if *version >= 20 && active.len() > 1 {
            active.swap_remove(index);
            if next < SUBJECTS {
                active.push((next, 0));
                next += 1;
            }
        }
    }
    (builder.finish(rows).unwrap(), rows)
}

#[test]
fn an_index_is_small() {
    let (all_at_once, rows) = loans(13_087);
    assert!(report("loans, all subjects at any time", &all_at_once, rows) <= 1.6);
    for open in [3_000, 300] {
        let (encoded, rows) = loans(open);
        assert!(report(&format!("loans, {open} subjects at a time"), &encoded, rows) <= 1.6);
    }

    let rows = 66_000;
    let ids = |with_ids: bool| {
        let (mut builder, mut chance) = (TermsBuilder::new(), Chance(2));
        let mut versions = vec![0; 5_000];
        for row in 0..rows {
            let subject = chance.below(5_000).min(chance.below(5_000));
            versions[subject as usize] += 1;
            builder.subject(hash("s", subject), row, versions[subject as usize]);
            builder.term(hash("kind", 0), row);
            builder.term(hash("source", 0), row);
            builder.term(hash("type", chance.below(5)), row);
            builder.term(hash("actor", chance.below(900).min(chance.below(900))), row);
            if with_ids {
                builder.term(hash("id", row.into()), row);
            }
        }
        builder.finish(rows).unwrap()
    };
    report("edits, 5,000 subjects, no ids", &ids(false), rows);
    report("edits, 5,000 subjects, 66,000 ids", &ids(true), rows);

    let mut builder = TermsBuilder::new();
    (0..66_000).for_each(|row| builder.term(hash("id", row.into()), row));
    let encoded = builder.finish(rows).unwrap();
    report("66,000 ids only", &encoded, rows);
    assert!(encoded.pages.len() as u64 <= encoded.entries * 6);
}

/// `cargo test --lib -- --ignored --nocapture terms::tests::sizes`
#[test]
#[ignore = "measures"]
fn how_fast_it_is_made() {
    let rows = 1_000_000u32;
    let mut chance = Chance(3);
    for (what, ids, subjects) in
        [("few ids", false, 50_000), ("an id each", true, 50_000), ("all new", true, 1_000_000)]
    {
        let given: Vec<[u64; 6]> = (0..rows)
            .map(|row| {
                let subject = if subjects == 1_000_000 { u64::from(row) } else { chance.below(subjects) };
                [
                    hash("s", subject),
                    hash("kind", 0),
                    hash("type", chance.below(40)),
                    hash("actor", chance.below(1_000)),
                    hash("tag", chance.below(if subjects == 1_000_000 { 1 << 40 } else { 200 })),
                    if ids { hash("id", row.into()) } else { hash("source", 0) },
                ]
            })
            .collect();
        for _ in 0..3 {
            let start = Instant::now();
            let mut builder = TermsBuilder::new();
            for (row, terms) in (0..).zip(&given) {
                builder.subject(terms[0], row, 1);
                terms[1..].iter().for_each(|term| builder.term(*term, row));
            }
            let added = start.elapsed();
            let encoded = builder.finish(rows).unwrap();
            let all = start.elapsed();
            let each = |time: std::time::Duration| time.as_nanos() / u128::from(rows);
            println!("{what}: {} ns a row, {} of them adding", each(all), each(added));
            report(what, &encoded, rows);
        }
    }

    let (encoded, _) = loans(3_000);
    let directory = TermsDirectory::parse(&encoded.directory).unwrap();
    let start = Instant::now();
    let mut found = 0;
    for number in 0..13_087 {
        look_up(&encoded, &directory, hash("s", number), &mut |entry| {
            if let Entry::Subject { postings, .. } = entry {
                found += postings.blocks().count();
            }
        });
    }
    println!("a lookup: {} ns, {found} blocks", start.elapsed().as_nanos() / 13_087);
}
