//! `annals seal` and `annals archive`, as their users meet them.

use std::fs;

use crate::run::Place;

#[test]
fn a_store_is_sealed_archived_and_comes_back() {
    let place = Place::new();
    place.pod(&["a", "b", "c"]);
    let (before, head) = (place.good(&["export", "pod"]), place.good(&["verify", "pod", "--head"]));
    let told = place.good(&["seal", "pod"]);
    assert!(told.starts_with("sealed 1 segment with 3 events: "), "{told}");
    assert_eq!(place.good(&["seal", "pod"]), "nothing to seal\n");
    let segments = place.json(&["segments", "pod"]);
    assert_eq!((&segments[0]["form"], &segments[0]["last"]), (&"sealed".into(), &3.into()), "{segments}");
    assert_eq!(segments[1]["form"], "active");
    assert_eq!(place.good(&["export", "pod"]), before);
    place.write("head", &head);
    place.good(&["verify", "pod", "--against", "head"]);

    place.pod(&["d"]);
    let (before, seal) = (place.good(&["export", "pod"]), place.json(&["seal", "pod"]));
    assert_eq!((&seal["segments"], &seal["events"]), (&1.into(), &1.into()), "{seal}");
    assert_eq!(place.good(&["export", "pod"]), before);

    let told = place.json(&["archive", "pod", "--before", "2200-01-01", "--to", "old"]);
    assert_eq!((&told["segments"], &told["events"]), (&2.into(), &4.into()), "{told}");
    assert_eq!(place.good(&["export", "pod"]), before, "data is read from where it went");
    fs::rename(place.path("old"), place.path("elsewhere")).unwrap();
    place.bad(&["export", "pod"], 1, "the data of positions 1 to 3 is archived");
    place.good(&["verify", "pod", "--against", "head"]);
    assert_eq!(place.json(&["segments", "pod"])[0]["form"], "archived");
    let told = place.good(&["archive", "pod", "--back", "elsewhere"]);
    assert!(told.starts_with("brought back 2 segments with 4 events: "), "{told}");
    assert_eq!(place.good(&["export", "pod"]), before);
    assert_eq!(place.good(&["archive", "pod", "--back", "elsewhere"]), "no segment that fits\n");
}

#[test]
fn what_cannot_be_sealed_or_archived_is_said_in_a_line() {
    let place = Place::new();
    place.bad(&["seal", "nothing"], 3, "there is no store at nothing");
    assert!(!place.exists("nothing"));
    place.pod(&["a"]);
    place.bad(&["archive", "pod"], 2, "");
    place.bad(&["archive", "pod", "--before", "soonish", "--to", "old"], 2, "invalid value 'soonish' for");
    place.bad(&["archive", "pod", "--before", "2200-01-01", "--to", "pod/old"], 1, "");
    place.good(&["verify", "pod"]);
}

#[test]
fn repair_never_cuts_sealed_history() {
    let place = Place::new();
    for content in ["a", "b"] {
        place.pod(&[content]);
        place.good(&["seal", "pod"]);
    }
    place.pod(&["c"]);
    let before = place.good(&["export", "pod"]);
    fs::remove_file(place.path("pod/ANCHOR")).unwrap();
    let told = place.json(&["repair", "pod", "--accept-loss"]);
    assert_eq!((&told["tail"], &told["lost_events"]), (&3.into(), &0.into()), "{told}");
    assert_eq!(place.good(&["export", "pod"]), before);
    place.pod(&["d"]);
    assert_eq!(place.json(&["stat", "pod"])["tail"], 4);

    let sealed = place.path("pod/log/00000000000000000001.seg");
    let mut bytes = fs::read(&sealed).unwrap();
    let last = bytes.len() - 10;
    bytes[last] ^= 4;
    fs::write(&sealed, bytes).unwrap();
    let names = || {
        let entries = fs::read_dir(place.path("pod/log")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let files = names();
    place.bad(&["repair", "pod", "--accept-loss"], 5, "");
    assert_eq!(names(), files);
}
