//! What a store keeps beside its log: stored states, what projections keep, and the three files that say which log it is
//! and who has it. The log that they stand beside is sound, so whatever they say, it must stay what it is.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::logs::{self, ours};
use super::{look_into, mend};
use crate::actor::Actor;
use crate::checkpoint::Checkpoint;
use crate::error::ErrorKind;
use crate::event::{LogId, NewEvent};
use crate::flow;
use crate::format::PAGE_BYTES;
use crate::io::{SimStorage, Storage};
use crate::json::Document;
use crate::position::Position;
use crate::projection::kept;
use crate::query::Query;
use crate::reader::AsOf;
use crate::snapshot::codec;
use crate::snapshot::{Folded, State};
use crate::store::Store;

/// A log on a disk, closed, and what stands in it.
struct Sound {
    disk: Arc<SimStorage>,
    log: LogId,
    /// One for each position, the origin first.
    checkpoints: Vec<Checkpoint>,
    lines: Vec<Vec<u8>>,
    /// The file of stored documents.
    states: PathBuf,
    log_digest: u64,
}

/// Notes and their edits in a sealed segment, a rolled one and one that takes appends.
fn sound() -> &'static Sound {
    static SOUND: OnceLock<Sound> = OnceLock::new();
    SOUND.get_or_init(|| {
        let (clock, disk) = (logs::clock(), SimStorage::new());
        let store = logs::sound(&disk, logs::options(&clock).snapshot_every(1));
        let edit = |number: usize| {
            let data = format!(r#"{{"n":{number},"f{}":{{"a":[{number}],"b":null}}}}"#, number % 5);
            NewEvent::bytes("note.edited", format!("note/n-{}", number % 3), "application/json", data)
                .actor(Actor::user("alice"))
        };
        for part in 0..3 {
            ours(store.append((0..10).map(|number| edit(part * 10 + number))));
            if part == 0 {
                ours(store.seal());
            }
            for subject in ["note/n-0", "note/n-1"] {
                ours(store.reader().document(subject));
            }
        }
        let checkpoint = |position: u64| ours(store.reader().checkpoint(position)).unwrap_or_default();
        let checkpoints = (0..=30).map(checkpoint).collect();
        let (log, lines) = (store.reader().log.id, logs::lines(&store.reader(), &Query::all()));
        ours(store.close());
        let name = ours(disk.list("snapshots".as_ref())).pop().map(|entry| entry.name).unwrap_or_default();
        let states = Path::new("snapshots").join(name);
        let log_digest = log_digest(&disk);
        Sound { disk, log, checkpoints, lines, states, log_digest }
    })
}

fn log_digest(disk: &SimStorage) -> u64 {
    disk.digest_of(|path| path.starts_with("log"))
}

/// A file of stored states beside a sound log, as it is and with its checks made to fit, and asked for.
pub fn snapshot(data: &[u8]) {
    let sound = sound();
    look_into(data, "annals_document.snap");
    let mended = mend::snapshot(data, sound.log, &sound.checkpoints);
    look_into(&mended, "annals_document.snap");
    for bytes in [data, &mended] {
        let disk = sound.disk.snapshot();
        logs::put(&disk, &sound.states, bytes);
        let store = logs::sound(&disk, logs::options(&logs::clock()).snapshot_every(1));
        let reader = store.reader();
        for subject in ["note/n-0", "note/n-1", "note/n-2", "nobody"] {
            for reader in [&reader, &reader.as_of(AsOf::Position(Position::new(17)))] {
                let loaded = ours(reader.document(subject));
                // A state that holds what the log does not have is never taken; what else it says stands behind checks
                // that fit, so nobody can know better.
                if let Some(loaded) = loaded {
                    assert!(loaded.position <= Position::new(30), "{loaded:?}");
                    let _ = loaded.state.document.map(|document| document.to_json());
                }
            }
        }
        let _ = ours(reader.load::<Sample>("note/n-0"));
        let verified = ours(store.verify(|_| ControlFlow::Continue(())));
        assert!(verified.damage.is_empty(), "{verified:?}");
        assert!(logs::lines(&reader, &Query::all()) == sound.lines);
        // What was written meanwhile is read by the next one.
        ours(store.close());
        let store = logs::sound(&disk, logs::options(&logs::clock()).read_only(true));
        ours(store.reader().document("note/n-1"));
    }
}

/// A state with whatever a state can have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Sample {
    text: String,
    number: i64,
    size: u128,
    ratio: f64,
    letter: char,
    maybe: Option<Box<Sample>>,
    list: Vec<(u16, bool, i8)>,
    lists: Vec<Vec<u64>>,
    by_name: BTreeMap<String, u32>,
    kind: Kind,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
enum Kind {
    #[default]
    Unit,
    Tuple(u32, f32),
    Named {
        document: Document,
        at: Position,
    },
}

impl State for Sample {
    const NAME: &'static str = "annals.document";
    const SNAPSHOT_VERSION: u32 = 1;

    fn apply(&mut self, event: crate::event::EventRef<'_>) -> Result<(), crate::error::BoxError> {
        self.text = event.subject().to_owned();
        Ok(())
    }
}

/// A written state behind a byte that says how it was written; also packed as an honest program would.
pub fn state(data: &[u8]) {
    let Some((how, written)) = data.split_first() else { return };
    let mut packed = vec![how % 4, 0, 0, 0];
    packed.extend_from_slice(&(written.len() as u32).to_le_bytes());
    packed.extend_from_slice(&ours(zstd::bulk::compress(written, 1)));
    for bytes in [data, &packed] {
        come_back::<Sample>(bytes);
        come_back::<Folded>(bytes);
        come_back::<Vec<Vec<u64>>>(bytes);
        come_back::<BTreeMap<String, Vec<Option<String>>>>(bytes);
        come_back::<serde_json::Value>(bytes);
        flow::fuzz::image(bytes);
    }
}

/// What is read is written so that the same is read again.
fn come_back<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(state) = codec::decode::<T>(bytes) else { return };
    // No number is JSON for it, so a state may have no form there.
    let Ok(written) = codec::encode(&state) else { return };
    let Ok(again) = codec::decode::<T>(&written) else { panic!("a state that was written is refused") };
    assert_eq!(codec::encode(&again).ok(), Some(written));
}

/// What a projection or the flow has kept: the file as it is, with its check made to fit, and, as the checkpoint of this
/// history, in the place of what the flow has kept, with its state packed as it would be. The first byte says where.
pub fn checkpoint(data: &[u8]) {
    let sound = sound();
    let Some((where_to, rest)) = data.split_first() else { return };
    for bytes in [rest.to_vec(), mend::kept(rest, None)] {
        let Some((version, at, state)) = kept::read(&bytes) else { continue };
        let again = kept::write(version, &at, state);
        assert_eq!(kept::read(&again), Some((version, at, state)));
        assert!(!at.to_string().contains(char::is_control));
        come_back::<Sample>(state);
    }
    let at = sound.checkpoints[usize::from(*where_to) % sound.checkpoints.len()];
    let mut packed = vec![2, 0, 0, 0];
    packed.extend_from_slice(&(rest.len() as u32).to_le_bytes());
    packed.extend_from_slice(&ours(zstd::bulk::compress(rest, 1)));
    for bytes in [mend::kept(rest, Some((1, at))), kept::write(1, &at, &packed)] {
        let disk = sound.disk.snapshot();
        logs::put(&disk, Path::new("projections/annals.flow.state"), &bytes);
        let store = logs::sound(&disk, logs::options(&logs::clock()));
        flow::fuzz::look_around(&store, 30);
        assert!(logs::lines(&store.reader(), &Query::all()) == sound.lines);
    }
}

/// ANCHOR, LIVE or LOCK beside a sound log. By the first byte: which one, whether its check is made to fit and its log is
/// this one, and whether somebody only reads. What follows is what carries anything of the file: two slots of 2144 bytes
/// of ANCHOR, 264 bytes of LIVE, any of LOCK.
pub fn identity(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    let sound = sound();
    let (name, mut bytes) = match which % 3 {
        0 => {
            let (first, second) = rest.split_at(rest.len().min(2144));
            let mut file = vec![0; 2 * PAGE_BYTES];
            file[..first.len()].copy_from_slice(first);
            let second = &second[..second.len().min(2144)];
            file[PAGE_BYTES..][..second.len()].copy_from_slice(second);
            ("ANCHOR", file)
        }
        1 => {
            let mut file = rest.to_vec();
            file.resize(PAGE_BYTES, 0);
            ("LIVE", file)
        }
        _ => ("LOCK", rest.to_vec()),
    };
    if which & 4 != 0 {
        mend::identity(&mut bytes, name, (which & 8 != 0).then_some(sound.log));
    }
    if which & 16 != 0 {
        bytes.truncate(rest.len());
    }
    let disk = sound.disk.snapshot();
    logs::put(&disk, Path::new(name), &bytes);
    let read_only = which & 32 != 0;
    match logs::open(&disk, logs::options(&logs::clock()).read_only(read_only)) {
        // Of another log, as far as ANCHOR knows: somebody who only reads is told so wherever it matters.
        Ok(store) if !store.damage().is_empty() => assert!(read_only),
        Ok(store) => {
            assert!(logs::lines(&store.reader(), &Query::all()) == sound.lines, "{name} changes what is in the log");
            ours(store.verify(|_| ControlFlow::Continue(())));
            if !read_only && store.append([NewEvent::bytes("t", "s", "", "")]).is_ok() {
                assert_eq!(store.reader().tail(), Position::new(31));
            }
            let _ = store.close();
        }
        Err(error) => {
            use ErrorKind::{Corruption, DamagedTail, NewerFormat, NotAStore};
            logs::refused(&error, &[Corruption, DamagedTail, NewerFormat, NotAStore]);
            // Whatever says that this is no log of ours, it is no reason to touch it.
            assert_eq!(log_digest(&disk), sound.log_digest, "{error}");
        }
    }
    // The truth is in the log: with its own files back, everything is there.
    if which % 3 != 0 {
        let store: Store = logs::sound(&disk, logs::options(&logs::clock()).read_only(true));
        assert!(logs::lines(&store.reader(), &Query::all().before(31)) == sound.lines);
    }
}

/// The bytes of a state as it is written before it is packed; `None` where it is written as JSON.
#[must_use]
pub fn state_bytes<T: Serialize + DeserializeOwned>(state: &T) -> Option<Vec<u8>> {
    let stored = codec::encode(state).ok()?;
    let (head, packed) = stored.split_first_chunk::<8>()?;
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    (head[0] == 2).then(|| zstd::bulk::decompress(packed, length).ok()).flatten()
}

/// The state that stands in such bytes.
#[must_use]
pub fn state_of_bytes<T: DeserializeOwned>(written: &[u8]) -> Option<T> {
    let mut stored = vec![2, 0, 0, 0];
    stored.extend_from_slice(&(written.len() as u32).to_le_bytes());
    stored.extend_from_slice(&zstd::bulk::compress(written, 1).ok()?);
    codec::decode(&stored).ok()
}
