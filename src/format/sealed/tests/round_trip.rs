//! Whatever events a block holds, they come back.

use proptest::prelude::*;

use super::*;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(String::new()),
        3 => "[a-z]{1,3}",
        1 => "[é日a-f0-9-]{1,20}",
        1 => (1usize..300).prop_map(|len| "é".repeat(len)),
    ]
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(String::new()),
        2 => (0u64..2_000).prop_map(|n| format!("order-{n}")),
        1 => "[a-f0-9]{40}",
        1 => "[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}",
        1 => "é{1,100}",
        1 => "[ -~]{255}",
    ]
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => (0i64..1 << 30).prop_map(|n| 1_700_000_000_000_000_000 + n * 1_000_000),
        1 => any::<i64>(),
        1 => Just(i64::MIN),
        1 => Just(-1),
    ]
}

fn actor() -> impl Strategy<Value = Option<(ActorKind, String)>> {
    const KINDS: [ActorKind; 5] =
        [ActorKind::User, ActorKind::Agent, ActorKind::External, ActorKind::System, ActorKind::Unknown];
    prop::option::of((prop::sample::select(&KINDS[..]), text()))
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => Just(Vec::new()),
        6 => prop::collection::vec(any::<u8>(), 1..60),
        1 => (1usize..20_000).prop_map(|len| vec![b'x'; len]),
    ]
}

prop_compose! {
    fn said()(
        subject in (0usize..3, 0u32..40),
        strings in (text(), text(), text(), text(), prop::sample::select(&["", "application/json", "text/plain", "text/x-é"][..])),
        actor in actor(),
        id in id(),
        tags in prop::collection::vec(prop::sample::select(&["t1", "t2", "é", "workspace:7"][..]), 0..4),
        meta in prop::collection::vec(("[m-o]", text()), 0..3),
        data in data(),
        times in (time(), prop::option::of(time()), prop::option::weighted(0.1, time())),
        cause in prop::option::weighted(0.3, prop_oneof![Just(0), 1..BASE, any::<u64>()]),
        flags in any::<[bool; 3]>(),
        epoch in prop_oneof![9 => Just(3u64), 1 => any::<u64>()],
        key in prop::option::weighted(0.1, (text(), any::<[u8; 32]>())),
    ) -> Said {
        let (event_type, on_behalf_of, source, correlation, content_type) = strings;
        Said {
            subject: format!("{}/{}", ["note", "order", "é"][subject.0], subject.1),
            event_type,
            actor,
            on_behalf_of,
            source,
            correlation,
            content_type: content_type.into(),
            id,
            tags: tags.into_iter().map(String::from).collect(),
            meta,
            data,
            epoch,
            recorded: times.0,
            occurred: times.1,
            cause,
            imported: flags[0],
            last_of_batch: flags[1],
            clock_suspect: flags[2],
            wall: times.2,
            key,
        }
    }
}

proptest! {
    #![proptest_config(crate::trials::cases(48))]

    #[test]
    fn any_events_come_back(
        said in prop::collection::vec(said(), 1..120),
        by_subject in any::<bool>(),
        target in 1usize..5_000,
        without_dictionary in any::<bool>(),
    ) {
        let owned = owned(said);
        let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
        let mut dictionary = dictionary_of(&rows);
        if without_dictionary {
            dictionary = Dictionary::default();
        }
        check(&rows, &dictionary, by_subject, target);
    }
}

#[test]
fn blocks_of_every_size_come_back() {
    for count in [1usize, 2, 63, 64, 65, 127, 500, 1_023, 1_024] {
        let said = (0..count as i64).map(|n| Said {
            subject: format!("note/n-{}", n * n % 97),
            event_type: ["created", "edited", "read"][n as usize % 3].into(),
            actor: Some((ActorKind::User, format!("user {}", n % 11))),
            content_type: "application/json".into(),
            id: format!("note-{n}"),
            tags: vec![format!("t{}", n % 5)],
            data: vec![b'd'; (n * 31 % 200) as usize],
            recorded: 1_700_000_000_000_000_000 + n / 100,
            occurred: Some(1_700_000_000_000_000_000 - n * 1_000_000_007),
            imported: true,
            last_of_batch: n % 100 == 99,
            ..Said::default()
        });
        let owned = owned(said.collect());
        let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
        let dictionary = dictionary_of(&rows);
        check(&rows, &dictionary, false, 8_192);
        check(&rows, &dictionary, true, 8_192);
    }
}

#[test]
fn rows_may_have_more_tags_and_metadata_than_there_are_rows() {
    let said = (0..3u32).map(|n| Said {
        subject: "note/1".into(),
        tags: (0..u32::from(u8::MAX)).map(|tag| format!("t{n}-{tag}")).collect(),
        meta: (0..crate::limits::META_ENTRIES_MAX)
            .map(|entry| (format!("m{n}-{entry}"), format!("{entry}-{n}")))
            .collect(),
        ..Said::default()
    });
    let owned = owned(said.collect());
    let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
    check(&rows, &Dictionary::default(), false, 1);
    check(&rows, &dictionary_of(&rows), false, 1);
}

/// Its subjects come in another order than those of the segment.
#[test]
fn a_block_in_the_midst_of_a_segment_comes_back() {
    let said = (0..300i64).map(|n| Said {
        subject: format!("note/n-{}", n * n % 97),
        event_type: ["created", "edited", "read"][n as usize * 7 % 3].into(),
        tags: vec![format!("t{}", n % 5)],
        data: vec![b'd'; n as usize % 3],
        ..Said::default()
    });
    let owned = owned(said.collect());
    let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
    let dictionary = dictionary_of(&rows);
    check(&rows[150..], &dictionary, true, 64);
    check(&rows[290..], &dictionary, false, 64);
}

#[test]
fn what_does_not_read_back_is_refused() {
    let two = || owned(vec![Said { subject: "note/n-1".into(), ..Said::default() }; 2]);
    let refused = |owned: &[Owned]| {
        let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
        head_of(&rows, &dictionary_of(&rows), false, 100).is_err()
    };
    assert!(!refused(&two()));
    let with = |change: &dyn Fn(&mut Owned)| {
        let mut owned = two();
        change(&mut owned[1]);
        refused(&owned)
    };
    let again = |row: &mut Owned, position, version| row.event = event_of(&row.said, position, version);
    assert!(with(&|row| again(row, BASE + 2, 58)), "a gap");
    assert!(with(&|row| again(row, BASE + 1, 59)), "a gap in versions");
    assert!(with(&|row| {
        row.said.id = "x".repeat(256);
        again(row, BASE + 1, 58);
    }));
    let owned = two();
    let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
    assert!(head_of(&[], &Dictionary::default(), false, 1).is_err());
    let many: Vec<Row<'_>> = std::iter::repeat_n(rows[0], 1_025).collect();
    assert!(head_of(&many, &Dictionary::default(), false, 1).is_err());
    let mut foreign = DictionaryBuilder::new();
    foreign.add(&event_of(&Said { subject: "note/other".into(), ..Said::default() }, 1, 1).as_ref());
    assert!(head_of(&rows, &foreign.finish(), false, 1).is_err(), "a subject that is not in the dictionary");

    let page = PageEntry { first_rank: 0, offset: 64, stored: 10, raw: 0, crc: 0 };
    let encode = |pages: &[PageEntry]| block::encode(&rows, &Dictionary::default(), false, 64, pages, &mut Vec::new());
    assert!(encode(&[]).is_ok() && encode(&[page]).is_ok());
    assert!(encode(&[PageEntry { raw: 1, ..page }]).is_err());
    assert!(encode(&[PageEntry { offset: 65, ..page }]).is_err());
    assert!(encode(&[PageEntry { first_rank: 1, ..page }]).is_err());
    assert!(encode(&[page, page]).is_err());
}

#[test]
fn what_is_beyond_the_limits_of_an_event_is_refused() {
    let head = |owned: &[Owned], pages: &[PageEntry]| {
        let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
        block::encode(&rows, &Dictionary::default(), false, 64, pages, &mut Vec::new()).is_ok()
    };
    let said = |change: &dyn Fn(&mut Said)| {
        let mut said = Said { subject: "note/n-1".into(), ..Said::default() };
        change(&mut said);
        owned(vec![said])
    };
    let is_taken = |change: &dyn Fn(&mut Said)| head(&said(change), &[]);
    assert!(is_taken(&|said| said.id = "x".repeat(255)) && !is_taken(&|said| said.id = "x".repeat(256)));
    let key = |len: usize| is_taken(&|said| said.key = Some(("k".repeat(len), [0; 32])));
    assert!(key(65_535) && !key(65_536));
    let meta = |count: usize| is_taken(&|said| said.meta = vec![("m".into(), "v".into()); count]);
    assert!(meta(crate::limits::META_ENTRIES_MAX) && !meta(crate::limits::META_ENTRIES_MAX + 1));
    let many = said(&|said| said.meta = vec![("m".into(), "v".into()); crate::limits::META_ENTRIES_MAX + 7]);
    let refused = head_of(&[many[0].row()], &Dictionary::default(), false, 1).unwrap_err();
    assert_eq!(refused.found, (crate::limits::META_ENTRIES_MAX + 7).to_string());
    let row = said(&|_| ());
    let short = BatchFacts { key: Some(("k", &[0; 31])), ..row[0].row().batch };
    let rows = [Row { batch: short, ..row[0].row() }];
    assert!(block::encode(&rows, &Dictionary::default(), false, 64, &[], &mut Vec::new()).is_err());

    let data = |len: usize| {
        let owned = said(&|said| said.data = vec![0; len]);
        let page = PageEntry { first_rank: 0, offset: 64, stored: 10, raw: len as u32, crc: 0 };
        head(&owned, &[page])
    };
    assert!(data(crate::limits::DATA_BYTES_MAX) && !data(crate::limits::DATA_BYTES_MAX + 1));
    let pages = |count: usize, raw: u32| {
        let lens = [16 << 20, 16 << 20, 1];
        let events = (0..count).map(|n| Said { subject: "a/b".into(), data: vec![0; lens[n]], ..Said::default() });
        head(&owned(events.collect()), &[PageEntry { first_rank: 0, offset: 64, stored: 10, raw, crc: 0 }])
    };
    assert!(pages(2, 32 << 20) && !pages(3, (32 << 20) + 1));
}

#[test]
fn a_block_of_too_many_strings_is_refused() {
    let text = |mark: char, n: usize| format!("{mark}{n:0width$}", width = 65_534);
    let said = (0..385).map(|n| Said {
        subject: "a/b".into(),
        event_type: text('e', n),
        source: text('q', n),
        correlation: text('c', n),
        on_behalf_of: text('b', n),
        ..Said::default()
    });
    let owned = owned(said.collect());
    let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
    let refused = head_of(&rows, &Dictionary::default(), false, 1).unwrap_err();
    assert_eq!(refused.found, (3 + 4 * 385 * 65_535).to_string());
}

#[test]
fn a_column_is_shared_up_to_its_limits() {
    let has = |types: &mut dyn Iterator<Item = String>| {
        let said = |event_type| Said { subject: "a/b".into(), event_type, ..Said::default() };
        let owned = owned(types.map(said).collect());
        let dictionary = dictionary_of(&owned.iter().map(Owned::row).collect::<Vec<_>>());
        (dictionary.has(StringColumn::Type), dictionary.has(StringColumn::Subject))
    };
    let names = |count: u32| (0..count).map(|n| n.to_string());
    assert_eq!((has(&mut names(4_096)), has(&mut names(4_097))), ((true, true), (false, true)));
    // 64 names of 1 KiB, of which the last may be longer.
    let long = |more: usize| (0..64).map(move |n| format!("{n:0len$}", len = 1_024 + if n == 63 { more } else { 0 }));
    assert_eq!((has(&mut long(0)), has(&mut long(1))), ((true, true), (false, true)));
}

/// Every column of a segment may be as large as any.
#[test]
fn a_dictionary_of_full_columns_is_read() {
    let text = |mark: char, n: usize, len: usize| format!("{mark}{n:0width$}", width = len - 1);
    let said = (0..64).map(|n| Said {
        subject: text('s', n, 1_024),
        event_type: text('e', n, 1_024),
        actor: Some((ActorKind::User, text('a', n, 1_023))),
        on_behalf_of: text('b', n, 1_024),
        source: text('q', n, 1_024),
        correlation: text('c', n, 1_024),
        content_type: text('t', n, 1_024),
        tags: vec![text('g', n, 1_024)],
        meta: vec![(text('n', n, 1_024), text('v', n, 1_024))],
        ..Said::default()
    });
    let owned = owned(said.collect());
    let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
    let read = read_back(&dictionary_of(&rows));
    for column in StringColumn::ALL {
        assert_eq!(read.references(column).unwrap().map(|(_, string)| string.len()).sum::<usize>(), 64 << 10);
    }
    assert_eq!(read.memory(), 10 * (64 << 10) + 10 * 64 * 4, "texts, and where each ends");
    check(&rows, &dictionary_of(&rows), false, 1);
}

#[test]
fn a_column_with_too_many_strings_is_the_blocks_own() {
    let said = |n: u32| Said {
        subject: format!("note/{n}"),
        event_type: format!("{} {n}", "long".repeat(n as usize % 50)),
        correlation: (n / 2).to_string(),
        ..Said::default()
    };
    let owned = owned((0..5_000).map(said).collect());
    let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
    let dictionary = dictionary_of(&rows);
    let scopes = [StringColumn::Subject, StringColumn::Type, StringColumn::Correlation].map(|c| dictionary.has(c));
    assert_eq!(scopes, [false, false, true]);
    let read = read_back(&dictionary);
    assert_eq!(read.value(StringColumn::Correlation, 2), Some("1"));
    assert_eq!(read.value(StringColumn::Correlation, 0), None);
    assert_eq!(read.references(StringColumn::Correlation).unwrap().count(), 2_500);
    assert!(read.references(StringColumn::Subject).is_none());
    check(&rows[2_000..3_024], &dictionary, false, 100);
}
