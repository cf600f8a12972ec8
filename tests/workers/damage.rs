//! Every bit of a worker's file flipped, every length cut, every sector zeroed or put back: detected, or harmless. And
//! what is detected starts no worker, and is changed by nobody.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use annals::{Parked, WorkerInfo};

use super::*;

/// A store whose worker has done everything that a file can tell, and the file as it was at the moment when a step had
/// just been acknowledged, and after the end.
fn made(path: &Path) -> (Store, Vec<u8>, Vec<u8>) {
    let store = Store::open(path).unwrap();
    let subjects = ["s/a", "s/b", "s/a", "s/c", "s/d", "s/d", "s/e"];
    store.append(subjects.iter().map(|subject| event("job", subject, "x"))).unwrap();
    let file = path.join("workers/told.log");
    let (seen, in_closure) = (Arc::new(Mutex::new(Vec::new())), file.clone());
    let bytes = Arc::clone(&seen);
    let hour = Duration::from_secs(3_600);
    let handle = store
        .worker("told")
        .backoff(hour, hour)
        .run(move |event, step| {
            step.run("a step", || Ok::<_, BoxError>(event.position().to_string().repeat(300)))?;
            match event.position().get() {
                1 => Err(annals::permanent("refused").into()),
                2 => Err("later".into()),
                4 => Ok(step.sleep("a while", hour)?),
                5 => Ok(()),
                6 => Err(annals::permanent("refused too").into()),
                _ => {
                    *bytes.lock() = std::fs::read(&in_closure).unwrap();
                    Err("the last".into())
                }
            }
        })
        .unwrap();
    until("all are somewhere", || {
        let status = handle.status();
        (status.parked, status.waiting) == (3, 3)
    });
    store.skip("told", 6, Actor::user("alice"), "not needed").unwrap();
    drop(handle);
    let (acknowledged, ended) = (seen.lock().clone(), std::fs::read(&file).unwrap());
    (store, acknowledged, ended)
}

fn told(store: &Store) -> annals::Result<(Vec<WorkerInfo>, Vec<Parked>)> {
    Ok((store.workers()?, store.parked(None)?))
}

/// Behind the last byte that is not zero.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

struct Case {
    store: Store,
    file: PathBuf,
    whole: Vec<u8>,
    expected: (Vec<WorkerInfo>, Vec<Parked>),
}

impl Case {
    fn new(store: &Store, path: &Path, whole: Vec<u8>) -> Case {
        let file = path.join("workers/told.log");
        std::fs::write(&file, &whole).unwrap();
        Case { store: store.clone(), file, whole, expected: told(store).unwrap() }
    }

    /// Whether changed bytes are detected; else they must say the same.
    #[track_caller]
    fn detected(&self, bytes: &[u8]) -> bool {
        std::fs::write(&self.file, bytes).unwrap();
        self.is_detected()
    }

    #[track_caller]
    fn is_detected(&self) -> bool {
        match told(&self.store) {
            Ok(found) => {
                assert_eq!(found, self.expected);
                false
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corruption, "{error:?}");
                assert_eq!(error.corruption().unwrap().file, Path::new("workers/told.log"));
                true
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_detected_or_harmless() {
    let directory = tempfile::tempdir().unwrap();
    let (store, acknowledged, ended) = made(directory.path());
    for whole in [acknowledged, ended] {
        let used = used(&whole);
        let case = Case::new(&store, directory.path(), whole);
        assert!(used > 3_000 && case.whole.len() > used, "{used} of {}", case.whole.len());
        let mut file = std::fs::OpenOptions::new().write(true).open(&case.file).unwrap();
        let mut put = |at: usize, byte: u8| {
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            file.write_all(&[byte]).unwrap();
        };
        // In the room behind the last frame a few bits stand for all.
        for bit in (0..used * 8).chain((used * 8..case.whole.len() * 8).step_by(37)) {
            put(bit / 8, case.whole[bit / 8] ^ (1 << (bit % 8)));
            assert!(case.is_detected() || bit / 8 >= used, "bit {bit} of {used} bytes in use");
            put(bit / 8, case.whole[bit / 8]);
        }
    }
}

#[test]
fn every_cut_is_detected() {
    let directory = tempfile::tempdir().unwrap();
    let (store, acknowledged, ended) = made(directory.path());
    for whole in [acknowledged, ended] {
        let case = Case::new(&store, directory.path(), whole);
        for len in 0..case.whole.len() {
            assert!(case.detected(&case.whole[..len]), "cut to {len} bytes");
        }
        // Longer than it says is what a crash can leave.
        let longer = [&case.whole[..], &[0; 9_000]].concat();
        assert!(!case.detected(&longer));
    }
}

#[test]
fn sectors_that_are_zeroed_or_put_back_are_detected_but_in_the_last_write() {
    let directory = tempfile::tempdir().unwrap();
    let (store, acknowledged, ended) = made(directory.path());
    let case = Case::new(&store, directory.path(), ended);
    let frames = annals::inspect(&case.file).unwrap().worker.unwrap().last;
    let last = frames.iter().rfind(|frame| frame.entries > 0).unwrap().offset as usize / 512;
    let mut undetected = Vec::new();
    for sector in 0..case.whole.len() / 512 {
        for put in [vec![0; 512], acknowledged[sector * 512..][..512].to_vec(), case.whole[512..1_024].to_vec()] {
            let mut bytes = case.whole.clone();
            bytes[sector * 512..][..512].copy_from_slice(&put);
            if bytes == case.whole {
                continue;
            }
            std::fs::write(&case.file, &bytes).unwrap();
            match told(&case.store) {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption),
                Ok(found) if found == case.expected => {}
                Ok(_) => {
                    let kind = if put == [0; 512] { "zeroed" } else { "put back, or another" };
                    undetected.push((sector, kind));
                }
            }
        }
    }
    // A write that was never finished looks the same; docs/guarantees.md says so.
    assert!(
        undetected.iter().all(|(sector, _)| *sector >= last),
        "{undetected:?}, and the last write begins in {last}"
    );
}

#[test]
fn a_damaged_or_foreign_file_starts_no_worker_and_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let (path, other) = (directory.path().join("a"), directory.path().join("b"));
    let (store, _, ended) = made(&path);
    let (foreign_store, _, foreign) = made(&other);
    drop(foreign_store);
    let file = path.join("workers/told.log");
    let mut flipped = ended.clone();
    flipped[700] ^= 4;
    let mut newer = ended.clone();
    newer[10] = 2;
    let check = xxhash_rust::xxh3::xxh3_64_with_seed(&newer[..504], u64::from_le_bytes(*b"ANNLWORK"));
    newer[504..512].copy_from_slice(&check.to_le_bytes());
    for (bytes, kind) in [
        (flipped, ErrorKind::Corruption),
        (foreign, ErrorKind::Corruption),
        (Vec::new(), ErrorKind::Corruption),
        (vec![0; 4_096], ErrorKind::Corruption),
        (newer, ErrorKind::NewerFormat),
    ] {
        std::fs::write(&file, &bytes).unwrap();
        let error = worker(&store, "told").run(|_, _| Ok(())).unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_eq!(store.retry("told", 1, Actor::user("a"), "x").unwrap_err().kind(), kind);
        assert_eq!(store.workers().unwrap_err().kind(), kind);
        assert!(std::fs::read(&file).unwrap() == bytes, "it was changed");
        if kind == ErrorKind::Corruption {
            let found = store.verify(|_| std::ops::ControlFlow::Continue(())).unwrap();
            assert_eq!(found.damage.len(), 1, "{found:?}");
            assert_eq!(found.damage[0].file, Path::new("workers/told.log"));
            assert_eq!(store.backup(directory.path().join("copy")).unwrap_err().kind(), kind);
            assert!(!annals::inspect(&file).unwrap().is_good() || bytes.is_empty() || bytes[16..32] != ended[16..32]);
        }
        assert!(worker(&store, "another").run(|_, _| Ok(())).is_ok(), "others go on");
        std::fs::remove_file(path.join("workers/another.log")).unwrap();
    }
    std::fs::write(&file, &ended).unwrap();
    let name = path.join("workers/renamed.log");
    std::fs::copy(&file, &name).unwrap();
    assert_eq!(worker(&store, "renamed").run(|_, _| Ok(())).unwrap_err().kind(), ErrorKind::Corruption);
    std::fs::remove_file(&name).unwrap();
    let inspected = annals::inspect(&file).unwrap();
    assert!(inspected.is_good(), "{inspected}");
    let view = inspected.worker.as_ref().unwrap();
    assert_eq!((view.name.as_str(), view.open, view.parked, view.checkpoint), ("told", 3, 2, 1));
    assert!(inspected.to_string().contains("worker told"), "{inspected}");
    let listed = annals::inspect(&path).unwrap();
    let row = listed.files.iter().find(|row| row.path == "workers/told.log").unwrap();
    assert_eq!((row.summary.as_str(), row.good), ("what the worker told knows", true));
}

#[test]
fn a_torn_end_is_left_out_told_and_kept_for_people() {
    let directory = tempfile::tempdir().unwrap();
    let (store, acknowledged, _) = made(directory.path());
    let file = directory.path().join("workers/told.log");
    // The last frame cut off in its middle: its write was never acknowledged, as far as anybody can tell.
    let used = used(&acknowledged);
    let mut torn = acknowledged;
    torn[used - 700..].fill(0);
    std::fs::write(&file, &torn).unwrap();
    let found = store.verify(|_| std::ops::ControlFlow::Continue(())).unwrap();
    assert!(found.is_good() && found.torn.as_ref().unwrap().contains("workers/told.log"), "{found:?}");
    let handle = worker(&store, "told").run(|_, _| Err("no".into())).unwrap();
    assert!(handle.status().cut.is_some());
    drop(handle);
    let kept = std::fs::read(directory.path().join("quarantine/worker-told.log")).unwrap();
    assert!(kept == torn);
    let found = store.verify(|_| std::ops::ControlFlow::Continue(())).unwrap();
    assert!(found.is_good() && found.torn.is_none(), "{found:?}");
}
