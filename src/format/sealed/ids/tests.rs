//! Templates that are found, and what they find.

use super::*;

fn found(ids: &[(&str, &str, u64, u64)]) -> Vec<Template> {
    let mut finder = TemplateFinder::default();
    for (id, subject_id, version, position) in ids {
        finder.add(id, &Place { kind: "note", subject_id, version: *version, position: *position });
    }
    finder.finish()
}

/// Each template renders what it matched, and finds it.
fn check(templates: &[Template], id: &str, subject_id: &str, version: u64, position: u64) -> bool {
    let place = Place { kind: "note", subject_id, version, position };
    let Some((template, number)) = templates.iter().find_map(|t| Some((t, t.number_of(id, &place)?))) else {
        return false;
    };
    let mut out = String::new();
    template.render(&place, number, &mut out).unwrap();
    assert_eq!(out, id);
    let mut candidates = Vec::new();
    template.candidates(id, &mut candidates);
    let hit = candidates.iter().any(|candidate| match candidate {
        IdCandidate::Position(found) => found.get() == position,
        IdCandidate::Subject { subject, version: of } => {
            *subject == format!("note/{subject_id}") && of.is_none_or(|of| of == version)
        }
    });
    assert_eq!(hit, template.finds(), "{id}: {candidates:?}");
    true
}

#[test]
fn real_shapes_of_ids_follow_templates() {
    let subjects: Vec<String> = (0..40).map(|n| (173_000 + n * 3).to_string()).collect();
    type Shape = fn(&str, u64, u64) -> String;
    let shapes: [(Shape, &str, Mode); 7] = [
        (|subject, version, _| format!("bpic2012-{subject}-{}", version - 1), "bpic2012-\x01-\x02", Mode::Version(-1)),
        (|_, _, position| format!("wiki15-{}", position - 1), "wiki15-\x02", Mode::Position(-1)),
        (|_, _, position| (2_489_368_104 + position * position).to_string(), "\x02", Mode::Column),
        (|subject, _, _| format!("created:{subject}"), "created:\x01", Mode::Column),
        (|subject, version, _| format!("{version}.{subject}.é"), "\x02.\x01.é", Mode::Version(0)),
        (|subject, _, position| format!("{position}/{subject}"), "\x02/\x01", Mode::Position(0)),
        (|_, version, _| format!("v{version}"), "v\x02", Mode::Version(0)),
    ];
    for (shape, text, mode) in shapes {
        let ids: Vec<_> = subjects
            .iter()
            .zip(0..)
            .map(|(subject, n)| (shape(subject, n % 5 + 1, n + 100), subject.as_str(), n % 5 + 1, n + 100))
            .collect();
        let borrowed: Vec<_> = ids.iter().map(|(id, subject, v, p)| (id.as_str(), *subject, *v, *p)).collect();
        let templates = found(&borrowed);
        assert_eq!(templates.len(), 1, "{text:?}");
        assert_eq!((templates[0].text.as_str(), templates[0].mode), (text, mode));
        for (id, subject, version, position) in borrowed {
            assert!(check(&templates, id, subject, version, position), "{id}");
        }
    }
}

#[test]
fn what_follows_no_template_is_left_alone() {
    let hashes: Vec<String> = (0..3000u64).map(|n| format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    let ids: Vec<_> = hashes.iter().map(|id| (id.as_str(), "n-1", 1, 1)).collect();
    assert!(found(&ids).is_empty());
    let template = Template::new("note".into(), "a-\x02".into(), Mode::Version(0)).unwrap();
    for id in ["a-01", "a-", "a-1x", "b-1", "a-1234567890123456789", "a-+1", "a-2"] {
        assert!(!check(std::slice::from_ref(&template), id, "n-1", 1, 1), "{id}");
    }
    for text in ["", "\x01\x01", "\x02-\x02"] {
        assert!(Template::new("note".into(), text.into(), Mode::Column).is_none());
    }
}

#[test]
fn a_stray_becomes_a_literal() {
    let ids: Vec<String> = (0..40).map(|n| format!("e-{}", if n == 20 { 7_000 } else { n })).collect();
    let ids: Vec<_> = ids.iter().zip(0u64..).map(|(id, n)| (id.as_str(), "x", 1, n)).collect();
    let templates = found(&ids);
    assert_eq!(templates[0].mode, Mode::Position(0));
    assert!(check(&templates, "e-19", "x", 1, 19) && !check(&templates, "e-7000", "x", 1, 20));
}

/// Uses that the same template has, so many of which number by position.
fn uses(all: u64, by_position: u64) -> Vec<Template> {
    let ids: Vec<String> =
        (0..all).map(|n| format!("e-{}", if n < by_position { n + 5 } else { n * n + 9_000 })).collect();
    let ids: Vec<_> = ids.iter().zip(0u64..).map(|(id, n)| (id.as_str(), "x", 7 * n % 5, n)).collect();
    found(&ids)
}

#[test]
fn a_template_is_worth_its_place_from_sixteen_uses_on() {
    assert!(uses(15, 15).is_empty());
    assert_eq!(uses(16, 16).len(), 1);
    // One in sixteen may be a stray.
    let mode = |all, by_position| uses(all, by_position)[0].mode;
    assert_eq!((mode(32, 30), mode(32, 29)), (Mode::Position(5), Mode::Column));
    assert_eq!((mode(16, 15), mode(16, 14)), (Mode::Position(5), Mode::Column));
    assert_eq!(mode(31, 30), Mode::Position(5));
}

#[test]
fn the_most_used_templates_come_first_and_no_more_than_there_is_room_for() {
    let texts = |uses: &[(&str, u64)]| -> Vec<String> {
        let ids: Vec<String> =
            uses.iter().flat_map(|(text, uses)| (0..*uses).map(move |n| format!("{text}{}", n * n))).collect();
        let ids: Vec<_> = ids.iter().map(|id| (id.as_str(), "x", 1, 1)).collect();
        found(&ids).into_iter().map(|template| template.text).collect()
    };
    assert_eq!(texts(&[("b-", 17), ("c-", 30), ("a-", 17)]), ["c-\x02", "a-\x02", "b-\x02"]);
    let names: Vec<String> = (0..70).map(|n| format!("{}-", char::from_u32(0x4E00 + n).unwrap())).collect();
    let many: Vec<_> = names.iter().zip(0u64..).map(|(name, n)| (name.as_str(), 20 + n)).collect();
    assert_eq!(texts(&many).len(), TEMPLATES_MAX);
    assert_eq!(texts(&many)[0], format!("{}\x02", names[69]));
}

/// Memory is bounded: what was seen once gives way, what was seen often stays.
#[test]
fn candidates_that_are_seldom_give_way() {
    let mut finder = TemplateFinder::default();
    let add = |finder: &mut TemplateFinder, id: &str| {
        finder.add(id, &Place { kind: "note", subject_id: "x", version: 1, position: 1 });
    };
    let strays = |from: u64, count: u64| (from..from + count).map(|n| format!("{}-1", "é".repeat(n as usize)));
    (0..4).for_each(|n| add(&mut finder, &format!("seen-{n}")));
    strays(1, 1_023).for_each(|id| add(&mut finder, &id));
    assert_eq!(finder.seen.len(), CANDIDATES_MAX);
    add(&mut finder, "another-1");
    assert_eq!(finder.seen.len(), 2, "the one that was seen often, and the new one");
    strays(1, 2_100).for_each(|id| add(&mut finder, &id));
    assert!(finder.seen.len() <= CANDIDATES_MAX);
    (4..16).for_each(|n| add(&mut finder, &format!("seen-{n}")));
    assert_eq!(finder.finish().len(), 1, "all its uses were counted");
    // What was seen less than twice goes first, then less than four times, then less than eight times.
    let mut finder = TemplateFinder::default();
    for uses in 0..7 {
        strays(1, 1_023 + u64::from(uses < 5)).for_each(|id| add(&mut finder, &id));
    }
    add(&mut finder, "another-1");
    assert_eq!(finder.seen.len(), 1);
}

#[test]
fn a_number_is_written_in_one_way() {
    assert_eq!(
        ["0", "7", "10", "999999999999999999"].map(decimal),
        [Some(0), Some(7), Some(10), Some(999_999_999_999_999_999)]
    );
    assert_eq!(["", "00", "07", "1000000000000000000", "-1", "1x", "x1"].map(decimal), [None; 7]);
    let render = |number: u64| {
        let mut out = String::from("n");
        push_decimal(number, &mut out);
        out
    };
    assert_eq!(
        [0, 9, 10, 1_234_567_890, u64::MAX].map(render),
        ["n0", "n9", "n10", "n1234567890", "n18446744073709551615"]
    );
}

#[test]
fn the_subject_is_a_word_and_the_number_the_last() {
    assert_eq!(find_word("a b", "b"), Some(2));
    assert_eq!(["b", "b-x", "x-b", "é b.", "/b/"].map(|text| find_word(text, "b").is_some()), [true; 5]);
    assert_eq!(["ab", "b1", "éb", "bé", "", "x"].map(|text| find_word(text, "b")), [None; 6]);
    assert_eq!(find_word("x", ""), None);
    assert_eq!(last_number("a1b22c"), Some((3, 5, 22)));
    assert_eq!((last_number("x"), last_number("a-007"), last_number("7")), (None, None, Some((0, 1, 7))));
    let text = |id: &str, subject_id: &str| {
        let mut out = "before".into();
        generalise(id, subject_id, &mut out).map(|number| (out, number))
    };
    let told = |text: &str, number| Some((text.to_owned(), number));
    assert_eq!(text("e-8:n-7:9", "n-7"), told("e-8:\x01:\x02", 9), "a number behind the subject");
    assert_eq!(text("e-8:n-7:", "n-7"), told("e-\x02:\x01:", 8), "or else before it");
    assert_eq!(text("e:n-7:", "n-7"), told("e:\x01:", 0));
    assert_eq!(text("e-8:9x", "n-7"), told("e-8:\x02x", 9));
    assert_eq!(
        (text("e", "n-7"), text("", "n-7"), text("e\x01-7", "n-7"), text("e\x02-7", "n-7")),
        (None, None, None, None)
    );
}

/// Where the subject's own digits and the number touch, each way to part them is a candidate.
#[test]
fn an_id_that_may_be_parted_in_several_ways_has_several_candidates() {
    let candidates = |text: &str, mode: Mode, id: &str| {
        let mut out = Vec::new();
        Template::new("note".into(), text.into(), mode).unwrap().candidates(id, &mut out);
        out
    };
    let of = |subject: &str, version: u64| IdCandidate::Subject {
        subject: format!("note/{subject}"),
        version: Some(version),
    };
    let version = Mode::Version(2);
    assert_eq!(candidates("<\x01\x02>", version, "<a123>"), [of("a12", 1), of("a1", 21), of("a", 121)]);
    assert_eq!(candidates("<\x02\x01>", version, "<123a>"), [of("3a", 10), of("a", 121)], "1 less 2 is no version");
    assert_eq!(candidates("<\x01-\x02>", version, "<a-1-23>"), [of("a-1", 21)]);
    assert_eq!(candidates("<\x02-\x01>", version, "<23-a-1>"), [of("a-1", 21)]);
    assert_eq!(candidates("<\x01-\x02>", version, "<a-023>"), [], "no number is written so");
    assert_eq!(candidates("<\x01\x02>", version, "<a1002>"), [of("a100", 0), of("a", 1_000)]);
    for id in ["<a>", "a1>", "<a1", "", "<>"] {
        assert_eq!(candidates("<\x01-\x02>", version, id), [], "{id}");
    }
    let at = |position| IdCandidate::Position(Position::new(position));
    assert_eq!(candidates("e-\x02.x", Mode::Position(-3), "e-7.x"), [at(10)]);
    assert_eq!(candidates("e-\x02.x", Mode::Position(8), "e-7.x"), []);
    assert_eq!(
        candidates("\x01!", Mode::Column, "a!"),
        [IdCandidate::Subject { subject: "note/a".into(), version: None }]
    );
    assert_eq!(candidates("\x01-\x02", Mode::Column, "a-1"), [], "a number that only a column tells finds nothing");
    assert_eq!(candidates("e-\x02", Mode::Version(0), "e-1"), [], "and no version without its subject");
    let long = format!("<a{}>", "1".repeat(30));
    assert_eq!(candidates("<\x01\x02>", Mode::Version(0), &long).len(), DIGITS_MAX);
    assert_eq!(candidates("<\x02\x01>", Mode::Version(0), &format!("<{}a>", "1".repeat(30))).len(), DIGITS_MAX);
}

#[test]
fn a_number_is_kept_where_nothing_else_tells_it() {
    let keeps = |text: &str, mode| Template::new("note".into(), text.into(), mode).unwrap().keeps_number();
    assert!(keeps("e-\x02", Mode::Column));
    assert!(
        !keeps("e-\x01", Mode::Column) && !keeps("e-\x02", Mode::Version(0)) && !keeps("e-\x02", Mode::Position(0))
    );
}

/// Where a number counts the subject's events and those of the log alike, the subject is what finds it.
#[test]
fn a_version_goes_before_a_position() {
    let ids: Vec<String> = (1..40).map(|n| format!("n-1:{n}")).collect();
    let ids: Vec<_> = ids.iter().zip(1u64..).map(|(id, n)| (id.as_str(), "n-1", n, n + 7)).collect();
    assert_eq!(found(&ids)[0].mode, Mode::Version(0));
}
