//! Heads and dictionaries that no writer makes: what they say is refused, or it is the event's that says it.

use super::*;
use crate::format::sealed::bits::put_varint;
use crate::format::sealed::block::section;
use crate::format::sealed::column;
use crate::format::sealed::sections::ENTRY_BYTES;
use crate::limits::{DATA_BYTES_MAX, META_ENTRIES_MAX};

/// Four events of two subjects, with two tags and an entry of metadata; the first has a key.
fn four_said() -> Vec<Said> {
    let said = (0..4i64).map(|n| Said {
        subject: format!("note/n-{}", n % 2),
        event_type: "edited".into(),
        actor: Some((ActorKind::Agent, "scribe".into())),
        id: format!("id of its own {}", n * 7),
        tags: vec!["t1".into(), "t2".into()],
        meta: vec![("m".into(), "v".into())],
        data: vec![b'd'; 10 + n as usize],
        recorded: n,
        cause: Some(BASE),
        key: (n == 0).then(|| ("key".into(), [3; 32])),
        ..Said::default()
    });
    said.collect()
}

/// Codec and body of a section.
type Section = (u8, Vec<u8>);

fn column(values: &[i64]) -> Option<Section> {
    let mut body = Vec::new();
    Some((column::encode(values, &mut body), body))
}

fn list(values: &[i64]) -> Option<Section> {
    let mut body = Vec::new();
    put_varint(values.len() as u64, &mut body);
    Some((column::encode(values, &mut body), body))
}

/// Some bytes that hold sections behind a head of so many, with other sections of some ids, or without.
fn with(bytes: &[u8], head: usize, changes: Vec<(u8, Option<Section>)>) -> Vec<u8> {
    // Of a dictionary, or of a block.
    let count_at = if head == 8 { 4 } else { 12 };
    let count = u32::from_le_bytes(bytes[count_at..count_at + 4].try_into().unwrap()) as usize;
    let mut sections = std::collections::BTreeMap::new();
    let mut body = head + count * ENTRY_BYTES;
    for entry in bytes[head..body].chunks(ENTRY_BYTES) {
        let end = body + u32::from_le_bytes(entry[4..].try_into().unwrap()) as usize;
        sections.insert(entry[0], (entry[1], bytes[body..end].to_vec()));
        body = end;
    }
    for (id, section) in changes {
        match section {
            Some(section) => sections.insert(id, section),
            None => sections.remove(&id),
        };
    }
    let mut out = bytes[..head].to_vec();
    out[count_at..count_at + 4].copy_from_slice(&(sections.len() as u32).to_le_bytes());
    for (id, (codec, body)) in &sections {
        out.extend_from_slice(&[*id, *codec, 1, 0]);
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    }
    sections.into_values().for_each(|(_, body)| out.extend_from_slice(&body));
    out
}

/// A block of the four, one page of all data.
struct Four {
    head: Vec<u8>,
    facts: BlockFacts,
    dictionary: Arc<Dictionary>,
}

fn block_of_four() -> Four {
    let owned = owned(four_said());
    let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
    let dictionary = dictionary_of(&rows);
    Four {
        head: head_of(&rows, &dictionary, false, 1 << 20).unwrap(),
        facts: facts(&rows),
        dictionary: read_back(&dictionary),
    }
}

impl Four {
    fn parse(&self, head: &[u8], facts: BlockFacts) -> Parsed<Block> {
        Block::parse(head.into(), facts, Arc::clone(&self.dictionary))
    }

    fn with(&self, changes: Vec<(u8, Option<Section>)>) -> Parsed<Block> {
        self.parse(&with(&self.head, 24, changes), self.facts)
    }
}

fn offset(parsed: Parsed<Block>) -> Option<u64> {
    parsed.err().map(|bad| bad.offset)
}

#[test]
fn the_fields_before_the_sections_are_held_against_the_directory() {
    let four = block_of_four();
    assert!(four.parse(&four.head, four.facts).is_ok() && four.with(vec![]).is_ok());
    let of = |rows: u32, base: u64| BlockFacts { rows, base: Position::new(base), ..four.facts };
    let rows = |rows: u32| {
        let mut head = four.head.clone();
        head[..4].copy_from_slice(&rows.to_le_bytes());
        offset(four.parse(&head, of(rows, BASE)))
    };
    assert_eq!((rows(0), rows(1_025)), (Some(0), Some(0)));
    assert_eq!(
        (offset(four.parse(&four.head, of(3, BASE))), offset(four.parse(&four.head, of(5, BASE)))),
        (Some(0), Some(0))
    );
    assert_eq!(offset(four.parse(&four.head, of(4, u64::MAX - 4))), None);
    assert_eq!(offset(four.parse(&four.head, of(4, u64::MAX - 3))), Some(0));
    let poked = |at: usize, byte: u8| {
        let mut head = four.head.clone();
        head[at] = byte;
        offset(four.parse(&head, four.facts))
    };
    assert_eq!((poked(4, 5), poked(8, 2), poked(9, 1)), (Some(4), Some(8), Some(8)));
    for len in 0..24 {
        assert_eq!(offset(four.parse(&four.head[..len], four.facts)), Some(0), "{len} bytes");
    }
}

#[test]
fn sections_of_a_block_are_held_against_each_other() {
    let four = block_of_four();
    let is_block = |changes: Vec<(u8, Option<Section>)>| four.with(changes).is_ok();
    let most = DATA_BYTES_MAX as i64;
    let lens = |last: i64| vec![(section::DATA_LEN, column(&[1, 2, 3, last]))];
    assert!(is_block(lens(0)) && is_block(lens(most)) && !is_block(lens(most + 1)) && !is_block(lens(-1)));

    let tags = |len: i64| vec![(section::TAG_LISTS, list(&[len])), (section::TAGS, None)];
    assert!(is_block(tags(2)) && is_block(tags(255)) && !is_block(tags(256)) && !is_block(tags(-1)));
    let entries =
        |len: i64| vec![(section::META_LISTS, list(&[len])), (section::META_NAMES, None), (section::META_VALUES, None)];
    let max = META_ENTRIES_MAX as i64;
    assert!(is_block(entries(1)) && is_block(entries(max)) && !is_block(entries(max + 1)) && !is_block(entries(-1)));

    let subjects = |references: &[i64]| vec![(section::SUBJECTS, list(references))];
    assert!(is_block(subjects(&[1, 2])) && is_block(subjects(&[2, 2])));
    for references in [[0, 2], [1, 3], [1, -1], [1, 1 << 32]] {
        assert!(!is_block(subjects(&references)), "{references:?}");
    }
    let locals = |local: i64| vec![(section::REFERENCES, column(&[1, 2, 1, local]))];
    assert!(is_block(locals(1)) && !is_block(locals(0)) && !is_block(locals(3)));
    let forms = |last: i64| vec![(section::ID_FORM, column(&[1, 1, 1, last]))];
    assert!(is_block(forms(1)) && !is_block(forms(0)), "as many literal ids as there are");

    let hashes = |len: usize| vec![(section::KEY_HASHES, Some((0, vec![3; len])))];
    assert!(is_block(hashes(32)));
    for len in [31, 33, 64] {
        assert!(offset(four.with(hashes(len))).is_some_and(|at| at > 24), "{len} bytes of hashes");
    }
    assert!(!is_block(vec![(section::KEY_ROWS, list(&[0, 1]))]), "one hash for two keys");
    assert!(!is_block(vec![(section::KEY_LENS, column(&[4]))]), "a text that is longer than all of it");
    assert!(!is_block(vec![(section::PAGE_STORED, column(&[-1]))]));
    assert!(!is_block(vec![(section::PAGE_FIRST, column(&[1]))]));
}

#[test]
fn what_a_row_refers_to_is_there_or_an_error() {
    let four = block_of_four();
    let (mut scratch, mut unpacked) = (Scratch::default(), Unpacked::default());
    let mut is_event = |changes: Vec<(u8, Option<Section>)>| {
        let block = four.with(changes).unwrap();
        block.unpack(&mut unpacked).unwrap();
        let alone = block.event(3, &mut scratch, &[]).is_ok();
        assert_eq!(block.event_unpacked(&unpacked, 3, &mut scratch, &[]).is_ok(), alone);
        assert!(block.event(2, &mut scratch, &[]).is_ok(), "another row");
        alone
    };
    assert!(is_event(vec![]));
    for (id, right) in [(section::TAG_LIST, 1), (section::META_LIST, 1)] {
        let mut with = |last: i64| is_event(vec![(id, column(&[right, right, right, last]))]);
        assert!(with(0) && with(right) && !with(2) && !with(-1) && !with(i64::MIN), "section {id}");
    }
    // Type and actor, of which the dictionary has one each.
    for id in [section::REFERENCES + 1, section::REFERENCES + 2] {
        let mut with = |last: i64| is_event(vec![(id, column(&[1, 1, 1, last]))]);
        assert!(with(0) && with(1) && !with(2) && !with(-1) && !with(1 << 32), "section {id}");
    }
    let block = four.with(vec![]).unwrap();
    let data = [0; 14];
    let mut of = |len: usize| block.event(3, &mut scratch, &data[..len]).is_ok();
    assert!(of(13) && of(0), "all data, or none for whoever wants the rest");
    assert!(!of(12) && !of(14));
    assert!(block.payload_unpacked(&unpacked, 4).is_err() && block.payload_unpacked(&unpacked, 3).is_ok());
    assert!(block.payload_unpacked(&Unpacked::default(), 3).is_err(), "columns of no block");
    let owned =
        owned(four_said().into_iter().chain([Said { subject: "note/n-9".into(), ..Said::default() }]).collect());
    let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
    check(&rows, &Dictionary::default(), false, 1 << 20).unpack(&mut unpacked).unwrap();
    assert!(block.payload_unpacked(&unpacked, 3).is_err(), "columns of another block");
    assert!(block.event_unpacked(&unpacked, 3, &mut scratch, &[]).is_err());
    assert!(block.event_unpacked(&Unpacked::default(), 3, &mut scratch, &[]).is_err());
    assert!(block.recorded_at(3).is_ok() && block.recorded_at(4).is_err());
}

/// The text of the dictionary that a few events have, with another actor in it.
#[test]
fn an_actor_is_a_digit_and_an_id() {
    let kind = |actor: &str| {
        let said = Said { subject: "note/1".into(), event_type: actor.into(), ..Said::default() };
        let owned = owned(vec![said]);
        let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
        let dictionary = Dictionary::default();
        let head = head_of(&rows, &dictionary, false, 1).unwrap();
        // The type's string, and the reference to it, as the actor's.
        let changes = vec![
            (section::REFERENCES + 1, None),
            (section::REFERENCES + 2, column(&[1])),
            (section::STRINGS + 1, None),
            (section::STRINGS + 2, list(&[actor.len() as i64])),
        ];
        let block = Block::parse(with(&head, 24, changes).into(), facts(&rows), Arc::new(dictionary)).unwrap();
        let mut scratch = Scratch::default();
        let event = block.event(0, &mut scratch, &[]).ok()?.event;
        event.actor().map(|actor| (actor.kind(), actor.id().to_owned()))
    };
    assert_eq!(kind("1alice"), Some((ActorKind::User, "alice".into())));
    assert_eq!(kind("5"), Some((ActorKind::from_code(5).unwrap(), String::new())));
    for actor in ["0alice", "6alice", "alice", "é", "/a"] {
        assert_eq!(kind(actor), None, "{actor:?}");
    }
}

#[test]
fn dictionaries_are_held_against_their_limits() {
    let said = |n: i64| Said { id: format!("note-{n}"), ..four_said().swap_remove(n as usize % 4) };
    let owned = owned((0..40).map(said).collect());
    let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
    let mut good = Vec::new();
    dictionary_of(&rows).encode(&mut good);
    let is_dictionary = |bytes: &[u8]| Dictionary::parse(bytes).is_ok();
    assert!(is_dictionary(&good) && is_dictionary(&with(&good, 8, vec![])));
    assert_eq!(Dictionary::parse(&good).unwrap().templates().len(), 1);
    let poked = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        is_dictionary(&bytes)
    };
    assert_eq!(good[..4], [0xFF, 0x03, 0, 0]);
    assert!(!poked(1, 0x07), "a scope of no column");
    assert!(poked(2, 1) && !poked(2, 2) && !poked(3, 1), "flags");
    for len in 0..8 {
        assert!(!is_dictionary(&good[..len]), "{len} bytes");
    }
    let changed = |changes| is_dictionary(&with(&good, 8, changes));
    let (kinds, texts, modes) = (16, 17, 18);
    assert!(changed(vec![(modes, column(&[1]))]) && !changed(vec![(modes, column(&[3]))]));
    assert!(!changed(vec![(kinds, list(&[-1]))]) && !changed(vec![(texts, column(&[-1]))]));
    assert!(!changed(vec![(kinds, list(&[4, 4]))]), "a second template without a text");
}
