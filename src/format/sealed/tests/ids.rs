//! Ids that producers give are found again.

use super::*;
use crate::format::sealed::dictionary::IdCandidate;

fn said(subject: String, id: String) -> Said {
    Said { subject, id, event_type: "x".into(), ..Said::default() }
}

#[test]
fn ids_that_follow_a_template_cost_nothing_and_are_found() {
    type Shape = fn(u64) -> String;
    let shapes: [(Shape, bool); 4] = [
        // Versions begin with 92, as the subject has 13 bytes.
        (|n| format!("bpic2012-{}-{}", 173_000 + n % 10, n / 10), true),
        (|n| format!("wiki15-{n}"), true),
        (|n| (2_489_368_104 + n * n).to_string(), false),
        (|n| format!("{:016x}{:016x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15), n), false),
    ];
    for (shape, derivable) in shapes {
        let said = (0..1_000).map(|n| said(format!("a/{}", 173_000 + n % 10), shape(n)));
        let owned = owned(said.collect());
        let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
        let dictionary = dictionary_of(&rows);
        check(&rows, &dictionary, false, 1);
        let parsed = read_back(&dictionary);
        for row in &rows {
            let event = &row.event;
            assert_eq!(parsed.id_is_derivable(event), derivable, "{:?}", event.given_id());
            assert_eq!(dictionary.id_is_derivable(event), derivable);
            let hit = |candidate: &IdCandidate| match candidate {
                IdCandidate::Position(position) => *position == event.position(),
                IdCandidate::Subject { subject, version } => {
                    subject == event.subject() && version.is_none_or(|version| version == event.version())
                }
            };
            assert_eq!(parsed.id_candidates(event.given_id().unwrap()).iter().any(hit), derivable);
        }
        assert!(parsed.id_candidates("another").is_empty());
        let bare: Vec<Owned> =
            super::owned(owned.iter().map(|row| Said { id: String::new(), ..row.said.clone() }).collect());
        let bare: Vec<Row<'_>> = bare.iter().map(Owned::row).collect();
        let len = |rows: &[Row<'_>]| head_of(rows, &dictionary_of(rows), false, 1).unwrap().len();
        if derivable {
            let own = head_of(&rows, &dictionary, false, 1).unwrap().len();
            assert!(own < len(&bare) + 20, "{own} bytes with ids, {} without", len(&bare));
        }
    }
}

#[test]
fn ids_of_several_kinds_keep_apart() {
    let said = |n: u64| match n % 3 {
        0 => said(format!("order/o{}", n % 5), format!("order-{n}")),
        1 => said(format!("note/{n}"), format!("note-{n}")),
        _ => said("list/all".into(), format!("{:040x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))),
    };
    let owned = owned((0..900).map(said).collect());
    let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
    let dictionary = dictionary_of(&rows);
    check(&rows, &dictionary, true, 1);
    let of = |id: &str| dictionary.id_candidates(id);
    assert_eq!(of("order-12"), [IdCandidate::Position(Position::new(BASE + 12))]);
    assert_eq!(of("note-13"), [IdCandidate::Subject { subject: "note/13".into(), version: None }]);
    assert!(dictionary.id_is_derivable(&rows[0].event) && !dictionary.id_is_derivable(&rows[2].event));
}

/// Where ids share stems, these are what the term index has of them, also when the dictionary was read.
#[test]
fn stems_of_ids_are_looked_for_where_they_are_indexed() {
    let indexed = |shared: u64| {
        let id = |n: u64| format!("a-parent-of-many-{}:{}", n / shared, n % shared);
        let owned = owned((0..400).map(|n| said("note/1".into(), id(n))).collect());
        let rows: Vec<Row<'_>> = owned.iter().map(Owned::row).collect();
        read_back(&dictionary_of(&rows)).indexed_id("a-parent-of-many-3:2").to_owned()
    };
    assert_eq!(indexed(4), "a-parent-of-many-3:");
    assert_eq!(indexed(1), "a-parent-of-many-3:2");
}
