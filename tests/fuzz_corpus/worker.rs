//! Seeds of a worker's file: one that has done everything that a file can tell, as it was on the way and at the end.

use std::time::Duration;

use annals::{Actor, BoxError, NewEvent, Store, permanent};

use super::{damaged, seed};

pub(super) fn write_seeds() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let subjects = ["s/a", "s/b", "s/a", "s/c", "s/d", "s/d"];
    store.append(subjects.iter().map(|subject| NewEvent::bytes("job", *subject, "", "x"))).unwrap();
    let hour = Duration::from_secs(3_600);
    let handle = store.worker("mail").backoff(hour, hour).run(move |event, step| {
        step.run("send", || Ok::<_, BoxError>(event.position()))?;
        match event.position().get() {
            1 | 5 => Err(permanent("refused").into()),
            4 => Ok(step.sleep("a while", hour)?),
            _ => Err("later".into()),
        }
    });
    let handle = handle.unwrap();
    let file = directory.path().join("workers/mail.log");
    let bytes = || {
        let bytes = std::fs::read(&file).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        bytes[..end].to_vec()
    };
    while handle.status().parked + handle.status().waiting < 6 {
        std::thread::sleep(Duration::from_millis(5));
    }
    seed("worker", "running", &bytes());
    store.skip("mail", 5, Actor::user("alice"), "not needed").unwrap();
    store.retry("mail", 1, Actor::agent("scribe").on_behalf_of("bob"), "again").unwrap();
    while handle.status().parked < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(handle);
    seed("worker", "ended", &bytes());
    damaged("worker", "ended", &bytes());
    // Another opening makes it anew, in as few frames as can be.
    drop(store.worker("mail").backoff(hour, hour).run(|_, _| Err("later".into())).unwrap());
    seed("worker", "anew", &bytes());
}
