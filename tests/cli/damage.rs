//! A damaged store: nothing is changed, what is good is given, what is missing is named, exit 5.

use std::fs;

use crate::run::Place;

/// A store of many small frames, and the path of its segment.
fn place() -> (Place, std::path::PathBuf) {
    let place = Place::new();
    let lines: String = (1..=400)
        .map(|n| format!("{{\"id\":\"e-{n}\",\"type\":\"t\",\"subject\":\"s/{}\",\"data\":{{\"n\":{n}}}}}\n", n % 3))
        .collect();
    place.write("in.jsonl", lines);
    place.good(&["import", "pod", "in.jsonl", "--batch", "10"]);
    let file = place.json(&["segments", "pod"])[0]["file"].as_str().unwrap().to_owned();
    let path = place.path("pod").join(file);
    (place, path)
}

/// Flips a bit in the middle of what stands in a file.
fn flip(path: &std::path::Path, part: u64, of: u64) {
    let mut bytes = fs::read(path).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    // Frames begin behind the first three pages.
    let place = 12_288 + (used - 12_288) * part as usize / of as usize;
    bytes[place] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_bit_is_found_named_and_left_alone() {
    let (place, path) = place();
    let whole = place.good(&["export", "pod"]);
    flip(&path, 1, 2);
    let damaged = fs::read(&path).unwrap();

    let verified = place.run(&["verify", "pod"]);
    verified.is_bad(5, "1 damaged place, pod");
    assert!(verified.out.contains("pod is damaged") && verified.out.contains(" at byte "), "{verified:?}");
    let verified = place.run(&["verify", "pod", "--format", "json"]);
    assert_eq!(verified.code, 5);
    let answer: serde_json::Value = serde_json::from_str(&verified.out).unwrap();
    let (first, last) = (&answer["damage"][0]["first_position"], &answer["damage"][0]["last_position"]);
    let missing = first.as_u64().unwrap()..=last.as_u64().unwrap();

    let exported = place.run(&["export", "pod"]);
    exported.is_bad(5, "1 damaged place: only what is good was written, pod");
    let expected: Vec<&str> = whole
        .lines()
        .enumerate()
        .filter(|(index, _)| !missing.contains(&(*index as u64 + 1)))
        .map(|(_, line)| line)
        .collect();
    assert_eq!(exported.out.lines().collect::<Vec<_>>(), expected);
    assert!(exported.err.contains(&missing.start().to_string()), "{exported:?}");

    let logged = place.run(&["log", "pod", "--limit", "3"]);
    assert_eq!(logged.out.lines().count(), 5, "what is good is shown: {logged:?}");
    place.bad(&["append", "pod", "--type", "t", "--subject", "s/1"], 5, "");
    place.run(&["repair", "pod"]).is_bad(5, "nothing was repaired yet, pod");
    assert_eq!(fs::read(&path).unwrap(), damaged, "nothing was changed");
}

#[test]
fn a_repair_is_a_persons_choice_and_the_store_works_again() {
    let (place, path) = place();
    flip(&path, 1, 2);
    let repaired = place.json(&["repair", "pod", "--accept-loss"]);
    assert_eq!(repaired["done"], true);
    assert!(repaired["lost_events"].as_u64().unwrap() > 0);
    assert!(!repaired["quarantine"].as_array().unwrap().is_empty());
    place.good(&["verify", "pod"]);
    place.good(&["append", "pod", "--type", "t", "--subject", "s/1"]);
    place.good(&["repair", "pod"]);
}

#[test]
fn a_store_of_a_newer_format_is_refused_untouched() {
    let (place, path) = place();
    let mut bytes = fs::read(&path).unwrap();
    // Wherever the version stands in the header, a header that does not check is no reason to touch anything.
    bytes[8] = bytes[8].wrapping_add(1);
    fs::write(&path, &bytes).unwrap();
    let code = place.run(&["append", "pod", "--type", "t", "--subject", "s/1"]).code;
    assert!([1, 5].contains(&code), "{code}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}
