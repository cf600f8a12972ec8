//! Seeds of what stands beside a log: stored states, what the flow keeps, the files that say which log it is; and of
//! whole logs, which are made of any bytes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use annals::fuzzing::state_bytes;
use annals::sim::{ManualClock, Mode, SimStorage, Storage};
use annals::{Actor, Flow, Folded, NewEvent, NoteRules, Request, Store};

use super::{Random, damaged, seed};

const NOW: i64 = 1_767_225_600_000_000_000;

fn open(disk: &Arc<SimStorage>) -> Store {
    let options = Store::options().background(false).sealing(false).segment_bytes(64 << 10).snapshot_every(1);
    options.clock(Arc::new(ManualClock::new(NOW))).open_on(disk.clone(), Path::new("simulated")).unwrap()
}

fn read(disk: &SimStorage, path: &Path) -> Vec<u8> {
    let file = disk.open(path, Mode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}

fn states() {
    let disk = SimStorage::new();
    let store = open(&disk);
    let edit = |number: u64| {
        let data = format!(r#"{{"n":{number},"f{}":{{"a":[{number}],"b":null}}}}"#, number % 5);
        NewEvent::bytes("note.edited", format!("note/n-{}", number % 3), "application/json", data)
    };
    for part in 0..3 {
        store.append((0..10).map(|number| edit(part * 10 + number))).unwrap();
        for subject in ["note/n-0", "note/n-1"] {
            store.reader().document(subject).unwrap();
        }
    }
    let folded: Folded = store.reader().document("note/n-0").unwrap().unwrap().state;
    store.close().unwrap();
    let name = disk.list("snapshots".as_ref()).unwrap().pop().unwrap().name;
    let whole = read(&disk, &Path::new("snapshots").join(name));
    seed("snapshot", "whole", &whole);
    seed("snapshot", "header", &whole[..64]);
    damaged("snapshot", "whole", &whole);

    let lists: BTreeMap<String, Vec<Option<String>>> =
        BTreeMap::from([("a".to_owned(), vec![None, Some("é".to_owned())]), (String::new(), vec![])]);
    let written = |name: &str, bytes: Option<Vec<u8>>| seed("state", name, &[vec![2], bytes.unwrap()].concat());
    written("folded", state_bytes(&folded));
    written("lists", state_bytes(&vec![vec![7u64, 251, 1 << 40], vec![]]));
    written("map", state_bytes(&lists));
    seed("state", "zeros", &[&[2][..], &[0; 40]].concat());
    seed("state", "json-folded", &[&[1], &serde_json::to_vec(&folded).unwrap()[..]].concat());
    // How many a hostile list says that it has.
    seed("state", "long-list", &[2, 253, 255, 255, 255, 255, 255, 255, 255, 255, 0]);
    seed("state", "json", b"\x01{\"a\":[1,2.5e300,null,\"\\u00e9\"]}");
}

fn kept() {
    let disk = SimStorage::new();
    let store = open(&disk);
    let flow = Flow::builder(&store).table("notes", NoteRules).background(false).start().unwrap();
    let scribe = || Actor::agent("scribe").on_behalf_of("alice");
    for number in 0..3 {
        let data = serde_json::json!({ "content": format!("{number}") });
        flow.request(Request::create("notes", &data).id(format!("n-{number}")).by(scribe())).unwrap();
    }
    flow.grant(annals::Grant::to("scribe").action("notes.*").uses(3), Actor::user("alice")).unwrap();
    flow.set_role("bob", "w", annals::Role::Editor, Actor::user("alice")).unwrap();
    drop(flow);
    store.close().unwrap();
    let file = read(&disk, Path::new("projections/annals.flow.state"));
    let length = u32::from_le_bytes(file[60..64].try_into().unwrap()) as usize;
    let state = zstd::bulk::decompress(&file[64..file.len() - 8], length).unwrap();
    for (name, bytes) in [("file", &file), ("state", &state)] {
        let input = [&[30], &bytes[..]].concat();
        seed("checkpoint", name, &input);
        damaged("checkpoint", name, &input);
    }
    seed("checkpoint", "origin", &[&[0], &state[..]].concat());
}

fn identity(golden: &Path) {
    let golden = |name: &str| std::fs::read(golden.join(name)).unwrap();
    let (anchor, live) = (golden("ANCHOR"), golden("LIVE"));
    let slots = [&anchor[..2144], &anchor[4096..4096 + 2144]].concat();
    for (name, which) in [("as-it-is", 0u8), ("mended", 4), ("ours", 12), ("short", 16), ("ours-read", 44)] {
        seed("identity", &format!("anchor-{name}"), &[&[which], &slots[..]].concat());
        seed("identity", &format!("live-{name}"), &[&[which - which % 3 + 1], &live[..264]].concat());
    }
    seed("identity", "lock", &[&[2], &golden("LOCK")[..]].concat());
}

/// Bytes of which any are a log.
fn logs() {
    for (number, len) in [200usize, 600, 2_000].into_iter().enumerate() {
        let mut random = Random(number as u64 + 77);
        let bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        seed("forms", &format!("{len}-bytes"), &bytes);
        seed("plan", &format!("{}-bytes", len / 10), &bytes[..len / 10]);
        seed("wincode", &format!("{}-bytes", len / 4), &bytes[..len / 4]);
    }
    seed("wincode", "zeros", &[0; 60]);
}

pub(super) fn write_seeds(golden: &Path) {
    states();
    kept();
    identity(golden);
    logs();
}
