//! The same damage to a store with sealed segments in it: two sealed ones, the first of two blocks, a full raw one, and
//! one that takes appends. Beyond what holds for any store: the other segments stay readable, a damaged index never
//! means that an event, an id or a key is absent, and a full check finds every changed byte of a sealed file.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use annals::{AppendError, Expected, Reader};

use super::*;

const SEGMENT_BYTES: u64 = 512 << 10;
/// Every so many bits of a sealed file one is flipped.
const BITS_STEP: usize = 509;

struct Sealed {
    golden: Golden,
    /// Files of sealed segments with the positions that they hold.
    segments: Vec<(PathBuf, RangeInclusive<u64>)>,
    /// Keys with the first event of their batch.
    keys: BTreeMap<u64, u64>,
}

fn event(number: u64) -> NewEvent {
    let event = NewEvent::bytes(
        format!("note.kind{}", number % 5),
        format!("note/n-{}", number % 17),
        "application/json",
        format!("{{\"n\":{number}}}"),
    )
    .actor(Actor::user(format!("u-{}", number % 3)));
    match number % 4 {
        // Follows a template, stands literally in the block, has none.
        0 => event.id(format!("evt-{number}")),
        1 => event.id(format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        _ => event.tag(format!("t-{}", number % 11)),
    }
}

fn batch(number: u64) -> Append {
    let append = Append::new((number..number + size(number)).map(event));
    if keyed(number) { append.key(format!("key-{number}")) } else { append }
}

fn size(number: u64) -> u64 {
    1 + number % 29
}

fn keyed(number: u64) -> bool {
    number % 3 != 1
}

fn options() -> annals::Options {
    Store::options().segment_bytes(SEGMENT_BYTES).sealing(false)
}

fn golden() -> Sealed {
    let directory = scratch();
    let root = directory.path().join("store");
    let store = options().open(&root).unwrap();
    let (mut number, mut keys) = (0, BTreeMap::new());
    let mut append_to = |until: u64| {
        while number < until {
            let done = store.append_with(batch(number)).unwrap();
            assert_eq!(done.first.get(), number + 1);
            if keyed(number) {
                keys.insert(number, number + 1);
            }
            number += size(number);
        }
        number
    };
    append_to(1_100);
    store.seal().unwrap();
    let end = append_to(1_250);
    store.seal().unwrap();
    let end = append_to(end + 50);
    // Fills the raw segment, so that another one is begun.
    let large = |number: u64| NewEvent::bytes("large", format!("file/{number}"), "", vec![number as u8; 60 << 10]);
    let before = store.segments().len();
    let mut large_events = 0;
    while store.segments().len() == before {
        store.append([large(end + large_events)]).unwrap();
        large_events += 1;
    }
    let segments: Vec<_> = store
        .segments()
        .into_iter()
        .filter(|segment| segment.file.extension().is_some_and(|extension| extension == "seg"))
        .map(|segment| (segment.file, segment.first.get()..=segment.last.get()))
        .collect();
    assert_eq!(segments.len(), 2);
    assert!(segments[0].1.end() > &1_024, "the first has two blocks");
    let events = read_all(&store).unwrap();
    store.close().unwrap();
    let files = files_of(&root);
    Sealed { golden: Golden { _directory: directory, root, files, events, closed: true }, segments, keys }
}

impl Sealed {
    fn bytes(&self, file: &Path) -> &[u8] {
        &self.golden.files.iter().find(|(path, _)| path == file).unwrap().1
    }

    /// Damages a copy; `hurt` are the positions that may be unreadable then.
    fn try_case(&self, what: &str, count: &mut Count, hurt: &RangeInclusive<u64>, damage: &dyn Fn(&Path)) {
        let at = self.golden.root.with_file_name("damaged");
        self.golden.restore(&at);
        damage(&at);
        count.cases += 1;
        let before = sealed_files(&at);
        let mut errors = 0;
        let store = Store::options().read_only(true).open(&at);
        let store = store.unwrap_or_else(|error| panic!("{what}: not even to be read: {error:?}"));
        errors += self.read_and_ask(&store, what, hurt);
        let verified = store.verify(|_| ControlFlow::Continue(()));
        let noticed = verified.as_ref().map_or(true, |found| !found.is_good());
        assert!(noticed, "{what}: a full check finds nothing");
        drop(store);
        match options().open(&at) {
            Err(error) => {
                self.golden.expect_detected(what, &error);
                errors += 1;
            }
            Ok(store) => {
                errors += self.read_and_ask(&store, what, hurt);
                errors += self.append_again(&store, what);
                // Sealing what can be sealed harms nothing.
                let _ = store.seal();
                errors += self.read_and_ask(&store, what, hurt);
            }
        }
        for (file, bytes) in &before {
            let now = std::fs::read(at.join(file));
            assert!(now.is_ok_and(|now| now == *bytes), "{what}: {} was touched", file.display());
        }
        if errors > 0 { count.detected += 1 } else { count.harmless += 1 }
    }

    /// Everything that can be asked: right, or an error. Returns the number of errors.
    fn read_and_ask(&self, store: &Store, what: &str, hurt: &RangeInclusive<u64>) -> u64 {
        let (reader, events) = (store.reader(), &self.golden.events);
        let mut errors = 0;
        let mut good = Vec::new();
        let mut told = 0;
        let scanned = reader.scan_good(
            &Query::all(),
            |event| {
                good.push((event.position().get(), line(&event)));
                ControlFlow::Continue(())
            },
            |_| told += 1,
        );
        scanned.unwrap_or_else(|error| panic!("{what}: passing over damage fails: {error:?}"));
        for (position, line) in &good {
            assert_eq!(*line, events[*position as usize - 1], "{what}: position {position}");
        }
        assert!(good.is_sorted_by(|one, other| one.0 < other.0), "{what}: out of order");
        let lost = events.len() - good.len();
        let readable: std::collections::BTreeSet<u64> = good.iter().map(|(position, _)| *position).collect();
        for position in (1..=events.len() as u64).filter(|position| !readable.contains(position)) {
            assert!(hurt.contains(&position), "{what}: position {position} of another segment is lost");
        }
        assert!(lost == 0 || told > 0, "{what}: {lost} events are passed over in silence");
        errors += told;
        match read_all(store) {
            Ok(all) => assert!(all == *events, "{what}: {} of {} events", all.len(), events.len()),
            Err(error) => {
                self.golden.expect_detected(what, &error);
                errors += 1;
            }
        }
        let mut ask = |outcome: annals::Result<()>| {
            if let Err(error) = outcome {
                self.golden.expect_detected(what, &error);
                errors += 1;
            }
        };
        let (sealed, tail) = (*self.segments[1].1.end(), events.len() as u64);
        for position in [1, 3, 1_000, 1_024, 1_025, 1_101, sealed - 5, sealed, sealed + 3, tail] {
            ask(self.ask_of(&reader, position, what));
        }
        for query in queries() {
            ask(self.ask_query(&reader, &query, what));
        }
        errors
    }

    /// An event by all of its names.
    fn ask_of(&self, reader: &Reader, position: u64, what: &str) -> annals::Result<()> {
        let expected = &self.golden.events[position as usize - 1];
        let found = reader.event(position)?;
        let Some(found) = found else { panic!("{what}: position {position} is absent") };
        assert_eq!(line(&found.as_ref()), *expected, "{what}");
        let (subject, version) = (found.subject().to_owned(), found.version());
        let by_version = reader.event_of_version(&subject, version)?;
        let by_version = by_version.unwrap_or_else(|| panic!("{what}: version {version} of {subject} is absent"));
        assert_eq!(by_version.position().get(), position, "{what}");
        if let Some(id) = found.as_ref().given_id() {
            let by_id = reader.event_by_id(id)?.unwrap_or_else(|| panic!("{what}: id {id} is absent"));
            assert_eq!(by_id.position().get(), position, "{what}");
        }
        let of_subject = format!("\"{subject}\"");
        let versions = self.golden.events.iter().filter(|line| line.contains(&of_subject)).count() as u64;
        assert_eq!(reader.version(&subject)?, versions, "{what}: {subject}");
        let history: Vec<u64> =
            reader.history(&*subject).map(|event| event.map(|event| event.version())).collect::<Result<_, _>>()?;
        assert!(history.iter().copied().eq(1..=versions), "{what}: the history of {subject}");
        Ok(())
    }

    fn ask_query(&self, reader: &Reader, (query, matches): &Asked, what: &str) -> annals::Result<()> {
        let expected = self.golden.events.iter().filter(|line| matches(line)).count() as u64;
        assert_eq!(reader.count(query)?, expected, "{what}: {query}");
        let backwards = reader.read(query).rev().collect::<Result<Vec<_>, _>>()?;
        assert!(backwards.is_sorted_by(|one, other| one.position() > other.position()), "{what}: {query}");
        assert_eq!(backwards.len() as u64, expected, "{what}: {query} backwards");
        Ok(())
    }

    /// A key that was used is a duplicate for ever, and a subject has the version it has.
    fn append_again(&self, store: &Store, what: &str) -> u64 {
        let mut errors = 0;
        let tail = store.reader().tail();
        for (number, first) in self.keys.iter().step_by(17) {
            match store.append_with(batch(*number)) {
                Ok(done) => {
                    assert!(done.duplicate && done.first.get() == *first, "{what}: key-{number} is taken twice")
                }
                Err(AppendError::Failed(error)) => {
                    self.golden.expect_detected(what, &error);
                    errors += 1;
                }
                Err(other) => panic!("{what}: key-{number}: {other:?}"),
            }
            match store.append_with(Append::new([event(1)]).key(format!("key-{number}"))) {
                Err(AppendError::KeyReused { position, .. }) => assert_eq!(position.get(), *first, "{what}"),
                Err(AppendError::Failed(_)) => errors += 1,
                other => panic!("{what}: other events under key-{number}: {other:?}"),
            }
        }
        for subject in ["note/n-3", "note/n-16"] {
            match store.append_with(Append::new([event(3)]).expect(subject, Expected::NoSubject)) {
                Err(AppendError::Conflict { .. }) => {}
                Err(AppendError::Failed(_)) => errors += 1,
                other => panic!("{what}: {subject} is not there: {other:?}"),
            }
        }
        assert_eq!(store.reader().tail(), tail, "{what}: something was appended");
        errors
    }
}

type Asked = (Query, Box<dyn Fn(&str) -> bool>);

fn queries() -> Vec<Asked> {
    let asked = |query: Query, part: &'static str| -> Asked { (query, Box::new(move |line| line.contains(part))) };
    vec![
        asked(Query::all().subject("note/n-3"), "\"note/n-3\""),
        asked(Query::all().types(["note.kind4"]), "\"note.kind4\""),
        asked(Query::all().types(["note.*"]), "\"note.kind"),
        asked(Query::all().tag("t-7"), "\"t-7\""),
        asked(Query::all().actor_id("u-2"), "\"u-2\""),
        asked(Query::all().kind("file"), "\"file/"),
        asked(Query::all().subject("note/n-99"), "\"note/n-99\""),
    ]
}

/// Every sealed file wherever it lies in a store.
fn sealed_files(at: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = files_of(at);
    found.retain(|(path, _)| path.extension().is_some_and(|extension| extension == "seg"));
    found
}

#[test]
fn a_flipped_bit_of_a_sealed_segment_is_detected_and_hides_nothing() {
    let all = std::env::var("ANNALS_FLIPS").is_ok_and(|what| what == "all");
    let sealed = golden();
    let mut count = Count::default();
    for (file, positions) in &sealed.segments {
        let bits = sealed.bytes(file).len() * 8;
        let mut wanted: Vec<usize> = (0..bits).step_by(if all { 1 } else { BITS_STEP }).collect();
        if !all {
            // The two ends, more densely.
            wanted.extend((0..128 * 8).step_by(61));
            wanted.extend((bits.saturating_sub(600 * 8)..bits).step_by(127));
        }
        for bit in wanted {
            sealed.try_case(&format!("{} bit {bit}", file.display()), &mut count, positions, &|at| {
                rewrite(at, file, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            });
        }
    }
    println!("sealed: {count:?}");
    assert!(count.detected > 0);
}

#[test]
fn a_sealed_segment_cut_short_missing_or_exchanged_is_detected() {
    let (sealed, other) = (golden(), golden());
    let mut count = Count::default();
    let all = 1..=*sealed.segments[1].1.end();
    for (file, positions) in &sealed.segments {
        let bytes = sealed.bytes(file);
        for len in (0..bytes.len()).step_by((bytes.len() / 23).max(1)).chain([bytes.len() - 1]) {
            sealed.try_case(&format!("{} cut to {len}", file.display()), &mut count, positions, &|at| {
                rewrite(at, file, |bytes| bytes.truncate(len));
            });
        }
        sealed.try_case(&format!("{} longer", file.display()), &mut count, positions, &|at| {
            rewrite(at, file, |bytes| bytes.extend([0; 512]));
        });
        sealed.try_case(&format!("{} deleted", file.display()), &mut count, positions, &|at| {
            std::fs::remove_file(at.join(file)).unwrap();
        });
        sealed.try_case(&format!("{} of another store", file.display()), &mut count, positions, &|at| {
            std::fs::write(at.join(file), other.bytes(file)).unwrap();
        });
    }
    let (one, two) = (&sealed.segments[0].0, &sealed.segments[1].0);
    sealed.try_case("both exchanged", &mut count, &all, &|at| {
        std::fs::write(at.join(one), sealed.bytes(two)).unwrap();
        std::fs::write(at.join(two), sealed.bytes(one)).unwrap();
    });
    sealed.try_case("one in the place of the other", &mut count, &sealed.segments[1].1, &|at| {
        std::fs::write(at.join(two), sealed.bytes(one)).unwrap();
    });
    println!("sealed files: {count:?}");
    assert_eq!(count.harmless, 0);
}

#[test]
fn a_sector_of_a_sealed_segment_zeroed_or_exchanged_is_detected() {
    let sealed = golden();
    let mut count = Count::default();
    for (file, positions) in &sealed.segments {
        let bytes = sealed.bytes(file);
        let sectors = bytes.len() / 512;
        for sector in (0..sectors).step_by((sectors / 31).max(1)) {
            let here = sector * 512..(sector + 1) * 512;
            let there = (sector * 7 + 25) % sectors * 512;
            if bytes[here.clone()].iter().any(|byte| *byte != 0) {
                sealed.try_case(&format!("{} sector {sector} zeroed", file.display()), &mut count, positions, &|at| {
                    rewrite(at, file, |bytes| bytes[here.clone()].fill(0));
                });
            }
            if bytes[here.clone()] != bytes[there..there + 512] {
                let what = format!("{} sectors {sector} and {} exchanged", file.display(), there / 512);
                sealed.try_case(&what, &mut count, positions, &|at| {
                    rewrite(at, file, |bytes| {
                        let kept = bytes[here.clone()].to_vec();
                        bytes.copy_within(there..there + 512, here.start);
                        bytes[there..there + 512].copy_from_slice(&kept);
                    });
                });
            }
        }
    }
    println!("sealed sectors: {count:?}");
    assert!(count.detected > 0);
}
