//! What is given up waits for a person, and holds up nothing but its key.

use super::*;

/// A worker that fails for what `fails` says, and counts what it finished.
fn picky(
    store: &Store,
    name: &str,
    fails: &Arc<Mutex<Vec<u64>>>,
    done: &Arc<Mutex<Vec<u64>>>,
) -> annals::Result<annals::WorkerHandle> {
    let (fails, done) = (Arc::clone(fails), Arc::clone(done));
    worker(store, name).retries(2).run(move |event, step| {
        let position = event.position().get();
        step.run("before", || {
            done.lock().push(position * 1_000);
            Ok::<_, BoxError>(())
        })?;
        if fails.lock().contains(&position) {
            return Err(format!("{position} is refused").into());
        }
        done.lock().push(position);
        Ok(())
    })
}

fn by() -> Actor {
    Actor::user("alice").on_behalf_of("bob")
}

type Positions = Arc<Mutex<Vec<u64>>>;

/// Two keys; the second event of the first one fails.
fn parked_store(path: &std::path::Path) -> (Store, Positions, Positions) {
    let store = Store::open(path).unwrap();
    let subjects = ["s/a", "s/a", "s/b", "s/a", "s/a"];
    store.append(subjects.iter().map(|subject| event("job", subject, "x"))).unwrap();
    (store, Arc::new(Mutex::new(vec![2])), Arc::default())
}

fn positions(store: &Store) -> Vec<(u64, u32, Option<u64>)> {
    let parked = store.parked(None).unwrap();
    parked.iter().map(|one| (one.position.get(), one.attempts, one.behind.map(Position::get))).collect()
}

fn without_steps(done: &Arc<Mutex<Vec<u64>>>) -> Vec<u64> {
    done.lock().iter().copied().filter(|position| *position < 1_000).collect()
}

#[test]
fn exhausted_retries_park_the_event_and_later_ones_of_its_key_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, fails, done) = parked_store(directory.path());
    let handle = picky(&store, "park", &fails, &done).unwrap();
    assert!(handle.wait_for(5, LONG).unwrap(), "parked counts as finished");
    assert_eq!(positions(&store), [(2, 3, None), (4, 0, Some(2)), (5, 0, Some(2))]);
    store.append([event("job", "s/a", "x"), event("job", "s/b", "x")]).unwrap();
    assert!(handle.wait_for(7, LONG).unwrap());
    assert_eq!(positions(&store).last(), Some(&(6, 0, Some(2))));
    assert_eq!(without_steps(&done), [1, 3, 7]);
    let parked = store.parked(Some("park")).unwrap();
    assert_eq!((parked[0].error.as_str(), parked[0].key.as_str()), ("2 is refused", "s/a"));
    // It stays so over a restart, of the worker and of the store.
    drop(handle);
    store.close().unwrap();
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(positions(&store).len(), 4);
    let handle = picky(&store, "park", &fails, &done).unwrap();
    store.append([event("job", "s/a", "x")]).unwrap();
    assert!(handle.wait_for(8, LONG).unwrap());
    assert_eq!(positions(&store).last(), Some(&(8, 0, Some(2))));
}

#[test]
fn retry_puts_it_and_those_behind_it_back_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let (store, fails, done) = parked_store(directory.path());
    let handle = picky(&store, "park", &fails, &done).unwrap();
    assert!(handle.wait_for(5, LONG).unwrap());
    let error = store.retry("park", 4, by(), "too early").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.hint().unwrap().contains("position 2"), "{error:?}");
    // Still refused: parked again, those behind it too.
    store.retry("park", 2, by(), "perhaps").unwrap();
    until("parked again", || positions(&store).len() == 3);
    assert_eq!(positions(&store), [(2, 3, None), (4, 0, Some(2)), (5, 0, Some(2))]);
    fails.lock().clear();
    store.retry("park", 2, by(), "the other side is mended").unwrap();
    until("all", || without_steps(&done).len() == 5);
    assert_eq!(without_steps(&done), [1, 3, 2, 4, 5]);
    assert_eq!(positions(&store), []);
    assert_eq!(done.lock().iter().filter(|step| **step == 2_000).count(), 1, "a step was done again");
    assert_eq!(store.retry("park", 2, by(), "again").unwrap_err().kind(), ErrorKind::NotFound);
    let decisions = store.workers().unwrap().remove(0).decisions;
    assert_eq!(decisions.len(), 2);
    assert_eq!((decisions[1].skipped, decisions[1].by.clone()), (false, by()));
    assert_eq!(decisions[1].reason, "the other side is mended");
}

#[test]
fn skip_leaves_it_finished_and_lets_those_behind_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let (store, fails, done) = parked_store(directory.path());
    let handle = picky(&store, "park", &fails, &done).unwrap();
    assert!(handle.wait_for(5, LONG).unwrap());
    store.skip("park", 4, by(), "not needed").unwrap();
    assert_eq!(positions(&store), [(2, 3, None), (5, 0, Some(2))]);
    store.skip("park", 2, by(), "gone for good").unwrap();
    until("the one behind", || without_steps(&done).len() == 3);
    assert_eq!((without_steps(&done), positions(&store)), (vec![1, 3, 5], vec![]));
    store.append([event("job", "s/a", "x")]).unwrap();
    assert!(handle.wait_for(6, LONG).unwrap());
    assert_eq!(without_steps(&done), [1, 3, 5, 6], "the key is free again");
}

#[test]
fn decisions_are_taken_without_the_worker_and_happen_when_it_runs() {
    let directory = tempfile::tempdir().unwrap();
    for skip in [false, true] {
        let path = directory.path().join(format!("{skip}"));
        let (store, fails, done) = parked_store(&path);
        let handle = picky(&store, "park", &fails, &done).unwrap();
        assert!(handle.wait_for(5, LONG).unwrap());
        drop(handle);
        fails.lock().clear();
        if skip {
            store.skip("park", 2, by(), "gone").unwrap();
        } else {
            store.retry("park", 2, by(), "mended").unwrap();
        }
        assert_eq!((positions(&store), without_steps(&done)), (vec![], vec![1, 3]));
        store.close().unwrap();
        let store = Store::open(&path).unwrap();
        assert_eq!(store.workers().unwrap()[0].decisions.len(), 1);
        let _handle = picky(&store, "park", &fails, &done).unwrap();
        let expected: &[u64] = if skip { &[1, 3, 4, 5] } else { &[1, 3, 2, 4, 5] };
        until("all", || without_steps(&done).len() == expected.len());
        assert_eq!(without_steps(&done), expected);
    }
}

#[test]
fn a_permanent_error_parks_at_once_wherever_it_comes_from() {
    #[derive(Debug)]
    struct Wrapped(annals::Permanent);
    impl std::fmt::Display for Wrapped {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("it was no use")
        }
    }
    impl std::error::Error for Wrapped {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.append(jobs(1, 3)).unwrap();
    let handle = worker(&store, "permanent")
        .run(|event, step| match event.position().get() {
            1 => Err(annals::Permanent("gone".into()).into()),
            2 => Err(step.run("send", || Err::<(), _>(annals::permanent("moved"))).unwrap_err()),
            _ => Err(Wrapped(annals::permanent("410")).into()),
        })
        .unwrap();
    assert!(handle.wait_for(3, LONG).unwrap());
    let parked = store.parked(None).unwrap();
    let told: Vec<_> = parked.iter().map(|one| (one.attempts, one.error.as_str())).collect();
    assert_eq!(told, [(1, "gone"), (1, "moved"), (1, "it was no use: 410")]);
}
