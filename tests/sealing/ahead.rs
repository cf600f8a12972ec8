//! Long replays are helped by a thread that decodes ahead, and several readers of whole blocks share what is decoded. That
//! changes no answer: neither the events nor what is said of damage.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use annals::{Durability, EventRef};

use super::*;

/// Some fourteen blocks: enough for it to be worth while to decode ahead.
const EVENTS: u64 = 14_000;
/// At how many places of the sealed file a bit is flipped.
const FLIPS: u64 = 25;

/// An event whose id and data do not pack, so that the file is made of heads of blocks as much as of pages of data.
fn dense(position: u64) -> NewEvent {
    let number =
        |n: u64| (position * 8 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(position | 1);
    let text = |numbers: std::ops::Range<u64>| numbers.map(|n| format!("{:016x}", number(n))).collect::<String>();
    NewEvent::bytes(format!("t.{}", position % 5), format!("note/n-{}", position % 13), "text/plain", text(0..4))
        .id(text(4..8))
}

/// What a replay of everything said: a hash of each event, and how it ended; then the same of one that goes on behind
/// damage, with the damage that it met.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    events: Vec<u64>,
    end: String,
    good: Vec<u64>,
    damage: Vec<String>,
}

fn hash_of(event: &EventRef<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let text = (event.event_type(), event.subject(), event.id(), event.content_type(), event.data());
    let times = (event.recorded_at().to_string(), event.occurred_at().to_string());
    (event.position().get(), event.version(), text, times, event.tags().collect::<Vec<_>>()).hash(&mut hasher);
    hasher.finish()
}

/// Replays a store; beside the outcome, whether a thread decoded ahead of it, where that can be seen.
fn replay(store: &Store) -> (Outcome, bool) {
    let (mut events, mut good, mut damage, mut helped) = (Vec::new(), Vec::new(), Vec::new(), false);
    let end = store.reader().scan(&Query::all(), |event| {
        events.push(hash_of(&event));
        helped |= events.len().is_multiple_of(512) && decodes_ahead();
        ControlFlow::Continue(())
    });
    let through = store.reader().scan_good(
        &Query::all(),
        |event| {
            good.push(hash_of(&event));
            ControlFlow::Continue(())
        },
        |met| damage.push(format!("{met:?}")),
    );
    damage.push(format!("{through:?}"));
    (Outcome { events, end: format!("{end:?}"), good, damage }, helped)
}

/// Whether a thread of this process decodes ahead now.
fn decodes_ahead() -> bool {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let name = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
    threads.map(name).any(|name| name.trim_end() == "annals-ahead")
}

fn opened(path: &Path, cache: bool) -> annals::Result<Store> {
    let options = Store::options().read_only(true);
    if cache { options.open(path) } else { options.cache_bytes(0).open(path) }
}

/// The same answers alone without a cache, alone with a thread that decodes ahead, and from three at once.
fn all_agree(path: &Path, what: &str) -> (Option<Outcome>, bool) {
    let alone = match opened(path, false) {
        Ok(store) => store,
        Err(error) => {
            assert_eq!(format!("{:?}", opened(path, true).unwrap_err()), format!("{error:?}"), "{what}");
            return (None, false);
        }
    };
    let (expected, _) = replay(&alone);
    let store = opened(path, true).unwrap();
    let (found, helped) = replay(&store);
    assert!(found == expected, "{what}, decoded ahead: {} instead of {}", found.end, expected.end);
    // Again, with what is on the shelf now, and with others who put things there.
    let store = opened(path, true).unwrap();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3).map(|_| scope.spawn(|| replay(&store).0)).collect();
        for reader in readers {
            let found = reader.join().unwrap();
            assert!(found == expected, "{what}, three at once: {} instead of {}", found.end, expected.end);
        }
    });
    (Some(expected), helped)
}

#[test]
fn decoding_ahead_and_sharing_change_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let written = Durability::Written { sync_every: Duration::from_secs(60) };
    let store = Store::options().durability(written).sealing(false).open(directory.path()).unwrap();
    for first in (1..=EVENTS).step_by(100) {
        store.append((first..first + 100).map(dense)).unwrap();
    }
    assert_eq!(store.seal().unwrap().segments, 1);
    let sealed = store.segments().into_iter().find(|segment| segment.file.extension().is_some_and(|end| end == "seg"));
    let sealed = directory.path().join(sealed.unwrap().file);
    store.close().unwrap();

    let (whole, helped) = all_agree(directory.path(), "whole");
    let whole = whole.unwrap();
    assert_eq!((whole.events.len() as u64, whole.good.len() as u64), (EVENTS, EVENTS));
    let can_help = cfg!(target_os = "linux") && std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    if can_help {
        assert!(helped, "no thread decoded ahead: this test showed nothing");
    } else {
        writeln!(std::io::stderr(), "SKIPPED in part: no thread decodes ahead here, or none can be seen").unwrap();
    }

    let file = std::fs::OpenOptions::new().read(true).write(true).open(&sealed).unwrap();
    let len = file.metadata().unwrap().len();
    let known: HashSet<u64> = whole.events.iter().copied().collect();
    let (mut in_heads, mut in_pages) = (0, 0);
    for flip in 0..FLIPS {
        let at = (len - 1) * flip / FLIPS + 1;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << (flip % 8))], at).unwrap();
        let (found, _) = all_agree(directory.path(), &format!("byte {at} of {len}"));
        file.write_all_at(&byte, at).unwrap();
        let Some(found) = found else { continue };
        // What was given before the damage, and around it, is right.
        assert!(found.events[..] == whole.events[..found.events.len()], "byte {at}");
        assert!(found.good.iter().all(|event| known.contains(event)), "byte {at}");
        in_heads += u64::from(found.end.contains("expected a block"));
        in_pages += u64::from(found.end.contains("expected a page"));
    }
    assert!(in_heads > 2 && in_pages > 2, "{in_heads} flips in heads, {in_pages} in pages");
}
