//! `annals backup` and `annals restore`, as their users meet them.

use std::fs;

use crate::run::Place;

fn raw(place: &Place, store: &str) -> std::path::PathBuf {
    place.path(store).join("log/00000000000000000001.raw")
}

#[test]
fn a_store_is_backed_up_restored_and_goes_on() {
    let place = Place::new();
    place.pod(&["a", "b", "c"]);
    let told = place.good(&["backup", "pod", "copy"]);
    assert!(told.starts_with("backed up 3 events of pod in "), "{told}");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[1], "up to     position 3", "{told}");
    assert_eq!(lines[2], "segments  1 copied", "{told}");
    assert!(lines[3].starts_with("bytes     ") && lines[3].contains(" copied, "), "{told}");
    assert!(
        lines[4].starts_with("root      ") && told.ends_with("restore   annals restore copy NEW-STORE\n"),
        "{told}"
    );

    place.pod(&["d"]);
    let answer = place.json(&["backup", "pod", "copy"]);
    assert_eq!((&answer["position"], &answer["verified"]), (&4.into(), &true.into()), "{answer}");
    assert_eq!(answer["root"], place.json(&["verify", "pod"])["root"]);
    let again = place.json(&["backup", "pod", "copy"]);
    assert_eq!((&again["kept_segments"], &again["copied_bytes"]), (&1.into(), &0.into()), "{again}");
    assert_eq!(place.good(&["export", "copy"]), place.good(&["export", "pod"]));

    let told = place.good(&["restore", "copy", "new"]);
    assert!(told.starts_with("restored 4 events to new in "), "{told}");
    assert!(told.contains("\ngoes on  at position 5, under epoch 2\n"), "{told}");
    assert_eq!(place.good(&["export", "new"]), place.good(&["export", "pod"]));
    place.good(&["append", "new", "--type", "t", "--subject", "s/1"]);
    assert_eq!(place.json(&["stat", "new"])["epoch"], 2);
    place.good(&["verify", "new"]);
    let answer = place.json(&["restore", "copy", "other"]);
    assert_eq!((&answer["position"], &answer["epoch"]), (&4.into(), &2.into()), "{answer}");

    place.bad(&["restore", "copy", "new"], 4, "new is not empty");
    place.bad(&["backup", "pod", "new"], 4, "new");
    place.bad(&["backup", "pod", "pod"], 1, "pod is the store itself, or lies in it");
    place.bad(&["backup", "pod", "pod/inner"], 1, "pod/inner is the store itself, or lies in it");
}

#[test]
fn wrong_places_and_damage_have_their_exit_codes() {
    let place = Place::new();
    place.pod(&["a", "b", "c"]);
    place.bad(&["backup", "nothing", "copy"], 3, "there is no store at nothing");
    place.bad(&["restore", "nothing", "new"], 3, "there is no backup and no store at nothing");
    assert!(!place.exists("copy") && !place.exists("new"));
    place.bad(&["backup", "pod"], 2, "");
    fs::create_dir(place.path("mine")).unwrap();
    place.write("mine/notes.txt", "mine");
    place.bad(&["backup", "pod", "mine"], 1, "mine holds other files and is no backup");
    place.bad(&["restore", "pod", "mine"], 4, "mine is not empty");
    place.bad(&["restore", "mine", "new"], 3, "mine holds other files and is no store");

    // Somebody writes to the source.
    let held = annals::Store::open(place.path("pod")).unwrap();
    place.bad(&["restore", "pod", "new"], 6, "pod is held by");
    held.append([annals::NewEvent::bytes("t", "s/1", "text/plain", b"x".to_vec())]).unwrap();
    assert_eq!(place.json(&["backup", "pod", "copy"])["position"], 4, "a backup works beside a writer");
    held.close().unwrap();

    let good = fs::read(raw(&place, "copy")).unwrap();
    let mut damaged = good.clone();
    damaged[12_288 + 70] ^= 1;
    fs::write(raw(&place, "copy"), &damaged).unwrap();
    place.bad(&["restore", "copy", "new"], 5, "log/00000000000000000001.raw at byte");
    assert_eq!(place.json(&["backup", "pod", "copy"])["copied_segments"], 1, "the next backup mends it");
    place.good(&["restore", "copy", "new"]);

    let mut bytes = fs::read(raw(&place, "pod")).unwrap();
    bytes[12_288 + 70] ^= 1;
    fs::write(raw(&place, "pod"), bytes).unwrap();
    place.bad(&["backup", "pod", "second"], 5, "log/00000000000000000001.raw at byte");
    place.bad(&["restore", "second", "third"], 3, "");

    // A backup without ANCHOR was not finished.
    fs::remove_file(place.path("copy").join("ANCHOR")).unwrap();
    let refused = place.bad(&["restore", "copy", "third"], 5, "ANCHOR at byte 0");
    assert!(refused.err.contains("never finished"), "{refused:?}");
}
