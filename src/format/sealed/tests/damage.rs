//! Heads and dictionaries of any bytes are errors or some values, never a panic.

use super::*;

pub(super) fn sample() -> Vec<Owned> {
    let said = (0..40i64).map(|n| Said {
        subject: format!("note/n-{}", n % 7),
        event_type: ["created", "edited"][n as usize % 2].into(),
        actor: (n % 3 > 0).then(|| (ActorKind::Agent, format!("scribe {}", n % 4))),
        on_behalf_of: "alice".into(),
        source: "é".into(),
        correlation: (n / 3).to_string(),
        content_type: ["application/json", "text/x"][n as usize % 2].into(),
        id: if n % 2 == 0 { format!("note-{n}") } else { format!("{:040x}:{n}", n / 4) },
        tags: vec!["t1".into(); n as usize % 3],
        meta: vec![("m".into(), n.to_string()); n as usize % 2],
        data: vec![b'd'; n as usize % 5 * 10],
        epoch: 3,
        recorded: 1_700_000_000_000_000_000 + n / 10,
        occurred: Some(n * n * 1_000_000),
        cause: (n % 4 == 1).then_some(BASE),
        imported: n % 2 == 0,
        last_of_batch: n % 10 == 9,
        clock_suspect: false,
        wall: (n == 7).then_some(5),
        key: (n % 10 == 0).then(|| (format!("key {n}"), [n as u8; 32])),
    });
    owned(said.collect())
}

/// Asks all that can be asked.
fn use_up(block: &Block) {
    let (mut scratch, mut unpacked) = (Scratch::default(), Unpacked::default());
    let data = vec![0; 4_096];
    let is_unpacked = block.unpack(&mut unpacked).is_ok();
    for row in 0..block.rows() {
        let place = block.payload(row).unwrap_or_default();
        if let Some(data) = data.get(..place.len) {
            let _ = block.event(row, &mut scratch, data).map(|row| format!("{:?}", row.event.tags().count()));
            if is_unpacked {
                let _ = block.event_unpacked(&unpacked, row, &mut scratch, data);
            }
        }
        let _ = (block.recorded_at(row), block.occurred_at(row), block.version(row), block.causation(row));
        let _ = (block.subject(row).is_ok(), block.key(row).is_ok(), block.flags(row));
        let _ = block.given_id(row, &mut scratch);
        let _ = block.tags(row).map(|tags| tags.max());
        for column in StringColumn::ALL {
            let _ = block.reference(column, row).map(|reference| block.value(column, reference).is_some());
        }
    }
    for column in StringColumn::ALL {
        let references = block.references_where(column, &mut |_| true);
        block.rows_where(column, &references, 0..block.rows(), &mut Vec::new());
    }
}

/// Every byte with every bit flipped, and every length.
fn damaged(bytes: &[u8], mut each: impl FnMut(Vec<u8>)) {
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        each(flipped);
    }
    (0..bytes.len()).for_each(|len| each(bytes[..len].to_vec()));
    each([bytes, &[0]].concat());
}

#[test]
fn a_damaged_head_is_an_error_or_some_events() {
    let owned = sample();
    let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
    for dictionary in [dictionary_of(&rows), Dictionary::default()] {
        let read = read_back(&dictionary);
        check(&rows, &dictionary, true, 100);
        let head = head_of(&rows, &dictionary, true, 100).unwrap();
        let (mut whole, mut all) = (0, 0);
        damaged(&head, |bytes| {
            all += 1;
            if let Ok(block) = Block::parse(bytes.into(), facts(&rows), Arc::clone(&read)) {
                whole += 1;
                use_up(&block);
            }
        });
        assert!(whole > 0 && whole < all, "{whole} of {all}");
    }
}

#[test]
fn a_head_of_another_block_is_an_error_or_some_events() {
    let owned = sample();
    let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
    let dictionary = dictionary_of(&rows);
    let head = head_of(&rows, &dictionary, false, 100).unwrap();
    let fewer = BlockFacts { rows: 39, ..facts(&rows) };
    assert!(Block::parse(head.clone().into(), fewer, read_back(&dictionary)).is_err());
    // Without its dictionary.
    let other = Block::parse(head.clone().into(), facts(&rows), Arc::default());
    assert!(other.is_err());
    let empty = DictionaryBuilder::new().finish();
    if let Ok(block) = Block::parse(head.into(), facts(&rows), read_back(&empty)) {
        use_up(&block);
    }
}

#[test]
fn a_damaged_dictionary_is_an_error_or_another_one() {
    let owned = sample();
    let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
    let dictionary = dictionary_of(&rows);
    let head = head_of(&rows, &dictionary, false, 100).unwrap();
    let mut bytes = Vec::new();
    dictionary.encode(&mut bytes);
    damaged(&bytes, |bytes| {
        let Ok(read) = Dictionary::parse(&bytes) else { return };
        for column in StringColumn::ALL {
            let _ = read.references(column).map(Iterator::count);
        }
        rows.iter().for_each(|row| {
            read.id_is_derivable(&row.event);
            read.id_candidates(row.event.given_id().unwrap_or_default());
        });
        if let Ok(block) = Block::parse(head.clone().into(), facts(&rows), Arc::new(read)) {
            use_up(&block);
        }
    });
}

#[test]
fn sections_that_are_not_known_are_skipped_if_they_may_be() {
    let owned = sample();
    let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
    let dictionary = dictionary_of(&rows);
    let head = head_of(&rows, &dictionary, false, 100).unwrap();
    let count = u32::from_le_bytes(head[12..16].try_into().unwrap());
    let table_end = 24 + count as usize * 8;
    let with = |flags: u8| {
        let mut more = head.clone();
        more.splice(table_end..table_end, [100, 9, flags, 0, 3, 0, 0, 0]);
        more.extend_from_slice(b"new");
        more[12] += 1;
        Block::parse(more.into(), facts(&rows), read_back(&dictionary))
    };
    assert!(with(0).is_ok());
    assert!(with(1).is_err());
}
