//! One store with all that a store can have, and everything that can be asked of it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use annals::sim::SimStorage;
use annals::{
    Actor, Append, BoxError, EventRef, Flow, Grant, MemoryProjection, NewEvent, Options, Query, Request, State, Store,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::sim;

const LONG: Duration = Duration::from_secs(30);

/// A fold that any missing, doubled or exchanged event changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chain {
    events: u64,
    hash: u64,
}

impl State for Chain {
    const NAME: &'static str = "chain";

    fn apply(&mut self, event: EventRef<'_>) -> Result<(), BoxError> {
        self.events += 1;
        for byte in event.data().iter().chain(&event.position().get().to_le_bytes()) {
            self.hash = self.hash.wrapping_mul(31).wrapping_add(u64::from(*byte));
        }
        Ok(())
    }
}

/// A store that was closed, the same store as it was when it was closed before, and another one like it.
pub(crate) struct Made {
    pub(crate) disk: Arc<SimStorage>,
    pub(crate) older: Arc<SimStorage>,
    pub(crate) foreign: Arc<SimStorage>,
    pub(crate) expected: Answers,
}

/// Everything that can be asked without changing anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) events: Vec<String>,
    /// By subject, type, tag, key, id and version.
    pub(crate) lookups: Vec<String>,
    pub(crate) states: Vec<String>,
    pub(crate) flow: Vec<String>,
    pub(crate) workers: String,
}

pub(crate) fn options() -> Options {
    sim::options(&sim::clock()).snapshot_every(8).sealing(false)
}

fn open(disk: &Arc<SimStorage>, options: Options) -> annals::Result<Store> {
    options.open_on(disk.clone(), Path::new("simulated"))
}

fn event(number: u64) -> NewEvent {
    let text = format!("{{\"n\":{number},\"text\":\"{}\"}}", "lorem ipsum ".repeat(number as usize % 5));
    let kind = format!("bird.kind{}", number % 5);
    let event = NewEvent::bytes(kind, format!("bird/b-{}", number % 11), "application/json", text)
        .actor(Actor::user(format!("u-{}", number % 3)));
    if number.is_multiple_of(3) { event.id(format!("evt-{number}")) } else { event.tag(format!("t-{}", number % 7)) }
}

impl Made {
    pub(crate) fn new() -> Made {
        let (disk, older) = life(&SimStorage::new());
        // After a restart random bytes are others: another log.
        let (foreign, _) = life(&SimStorage::new().snapshot());
        let expected = ask(&disk).unwrap();
        assert_ne!(ask(&older).unwrap().workers, expected.workers);
        Made { disk, older, foreign, expected }
    }
}

/// Three sealed segments, a full raw one with its index, one that takes appends; stored states, a kept projection, the
/// flow with its kept fold, and a worker that has done, parked and put off events.
fn life(disk: &Arc<SimStorage>) -> (Arc<SimStorage>, Arc<SimStorage>) {
    let mut number = 0;
    let mut append = |store: &Store, until: u64| {
        while number < until {
            let batch = 1 + number % 4;
            let append = Append::new((number..number + batch).map(event));
            let append = if number % 5 == 0 { append.key(format!("key-{number}")) } else { append };
            store.append_with(append).unwrap();
            number += batch;
        }
    };
    let store = open(disk, options()).unwrap();
    append(&store, 60);
    store.seal().unwrap();
    live(&store, 1);
    append(&store, 90);
    store.close().unwrap();
    let older = disk.snapshot();
    let disk = older.snapshot();
    let store = open(&disk, options()).unwrap();
    append(&store, 120);
    store.seal().unwrap();
    append(&store, 180);
    store.seal().unwrap();
    let large = |number: u64| NewEvent::bytes("large", format!("file/{number}"), "", vec![number as u8; 20 << 10]);
    for number in 0..3 {
        store.append([large(number)]).unwrap();
    }
    append(&store, 240);
    live(&store, 2);
    append(&store, 250);
    store.close().unwrap();
    let sealed = sim::files(&disk).iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "seg")).count();
    assert_eq!(sealed, 3);
    (disk.snapshot(), older)
}

/// What flow, worker, projection and states do in one session.
fn live(store: &Store, session: u64) {
    let alice = || Actor::user("alice");
    let flow = Flow::builder(store).background(false).start().unwrap();
    let id = format!("d-{session}");
    flow.request(Request::create("documents", &json!({"title": "A"})).id(&id).by(alice())).unwrap();
    let wish = |title: &str| {
        let update = Request::update("documents", &id, &json!({ "title": title }));
        flow.request(update.by(Actor::agent("scribe").on_behalf_of("alice"))).unwrap().request
    };
    let first = wish("B");
    let digest = flow.pending_for(&alice(), 10).unwrap().last().unwrap().digest.clone();
    flow.approve(first, digest, alice(), "fine").unwrap();
    wish("C");
    if session == 1 {
        flow.grant(Grant::to("scribe").action("tags.*").uses(3), alice()).unwrap();
    }
    drop(flow);

    for subject in 0..11 {
        store.reader().load::<Chain>(&format!("bird/b-{subject}")).unwrap();
    }
    let chain = store.project(MemoryProjection::<Chain>::default()).unwrap();
    assert!(chain.wait_for(store.reader().tail(), LONG).unwrap());
    drop(chain);

    let hour = Duration::from_secs(3_600);
    let worker = store.worker("told").on(Query::all().types(["bird.kind1"])).backoff(hour, hour);
    let worker = worker.run(|event, step| {
        step.run("a step", || Ok::<_, BoxError>(event.position().to_string().repeat(20)))?;
        match event.position().get() % 4 {
            1 => Err(annals::permanent("refused").into()),
            2 => Err("later".into()),
            _ => Ok(()),
        }
    });
    let worker = worker.unwrap();
    // It is at rest when nothing of what it tells has changed for a while.
    let (mut last, mut since) = (String::new(), Instant::now());
    while since.elapsed() < Duration::from_millis(150) {
        let status = format!("{:?}", worker.status());
        if status != last || worker.status().in_flight > 0 {
            (last, since) = (status, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Asks a store that is opened for reading.
pub(crate) fn ask(disk: &Arc<SimStorage>) -> annals::Result<Answers> {
    let store = open(disk, options().read_only(true))?;
    answers(&store)
}

/// Asks a store that is opened for writing, and sees that it goes on.
pub(crate) fn ask_writer(disk: &Arc<SimStorage>) -> annals::Result<Answers> {
    let store = open(disk, options())?;
    let answers = answers(&store)?;
    // What was done under a key is not done again, however old it is.
    let again = store.append_with(Append::new((0..1).map(event)).key("key-0"))?;
    assert!(again.duplicate && again.first.get() == 1, "{again:?}");
    let before = store.reader().tail();
    let done = store.append([event(10_000)])?;
    assert_eq!(done.first, before.next());
    let flow = Flow::builder(&store).background(false).start()?;
    flow.settle()?;
    Ok(answers)
}

/// What a projection comes to that goes on from what was kept.
pub(crate) fn project(disk: &Arc<SimStorage>) -> annals::Result<(Chain, Chain)> {
    let store = open(disk, options())?;
    let chain = store.project(MemoryProjection::<Chain>::default())?;
    assert!(chain.wait_for(store.reader().tail(), LONG)?);
    let mut naive = Chain::default();
    store.reader().scan(&Query::all(), |event| {
        naive.apply(event).unwrap();
        ControlFlow::Continue(())
    })?;
    Ok((chain.with(|model| model.state().clone()), naive))
}

fn answers(store: &Store) -> annals::Result<Answers> {
    let reader = store.reader();
    let (mut events, mut lookups) = (Vec::new(), Vec::new());
    reader.scan(&Query::all(), |event| {
        events.push(format!("{} {} {}", event.version(), event.recorded_at(), event.to_json()));
        ControlFlow::Continue(())
    })?;
    for query in [
        Query::all().subject("bird/b-3"),
        Query::all().types(["bird.kind2"]).rev(),
        Query::all().tag("t-4"),
        Query::all().actor(Actor::user("u-1")).limit(7),
    ] {
        let found: Vec<u64> =
            reader.read(&query).map(|event| event.map(|event| event.position().get())).collect::<Result<_, _>>()?;
        lookups.push(format!("{query}: {found:?}"));
    }
    for id in ["evt-3", "evt-99", "evt-249", "none"] {
        lookups.push(format!("{:?}", reader.event_by_id(id)?.map(|event| event.position())));
    }
    lookups.push(format!("{} {}", reader.version("bird/b-3")?, reader.version("bird/none")?));
    let mut states = Vec::new();
    for subject in ["bird/b-1", "bird/b-7"] {
        let loaded = reader.load::<Chain>(subject)?;
        states.push(format!("{:?} {} {}", loaded.state, loaded.version, loaded.position));
    }
    let document = reader.document("document/d-1")?.and_then(|loaded| loaded.state.document);
    states.push(document.map_or_else(String::new, |document| document.to_json()));
    let flow = Flow::view(store)?;
    let mut told: Vec<String> = flow.pending(100)?.iter().map(|pending| format!("{pending:?}")).collect();
    told.push(format!("{:?}", flow.grants()?));
    let workers = format!("{:?} {:?}", store.workers()?, store.parked(None)?);
    Ok(Answers { events, lookups, states, flow: told, workers })
}

/// The files of a disk by name, but those that only say who has it open.
pub(crate) fn files(disk: &SimStorage) -> BTreeMap<PathBuf, Vec<u8>> {
    sim::files(disk).into_iter().filter(|(path, _)| !path.ends_with("LOCK")).collect()
}
