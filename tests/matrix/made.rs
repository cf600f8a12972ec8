//! One store with all that a store can have, and everything that can be asked of it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use annals::sim::SimStorage;
use annals::{
    Actor, Append, BoxError, ErrorKind, EventRef, Flow, Grant, MemoryProjection, NewEvent, Options, Query, Request,
    State, Store,
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

/// An answer, or what kept it from being given.
pub(crate) type Answer = Result<String, ErrorKind>;

/// Everything that can be asked without changing anything, each question by itself: damage that one of them meets says
/// nothing of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answers {
    /// What a scan gave, and how it ended.
    pub(crate) scan: (Vec<String>, Answer),
    /// What a scan gave that passes over damage, how it ended, and whether it told of any.
    pub(crate) good: (Vec<String>, Answer, bool),
    /// By question.
    pub(crate) asked: BTreeMap<&'static str, Answer>,
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
        assert_eq!(expected.scan.0.len() as u64, LAST);
        assert!(expected.scan.1.is_ok() && !expected.good.2 && expected.asked.values().all(Result::is_ok));
        assert_ne!(ask(&older).unwrap().asked[WORKERS], expected.asked[WORKERS]);
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
    Ok(answers(&open(disk, options().read_only(true))?))
}

/// Asks a store that is opened for writing, and sees that it goes on.
pub(crate) fn ask_writer(disk: &Arc<SimStorage>) -> annals::Result<Answers> {
    let store = open(disk, options())?;
    let answers = answers(&store);
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

/// The newest event.
const LAST: u64 = 273;
/// The question that old and missing files of workers answer otherwise.
pub(crate) const WORKERS: &str = "workers";

fn answers(store: &Store) -> Answers {
    let reader = store.reader();
    let told = |event: EventRef<'_>| format!("{} {} {}", event.version(), event.recorded_at(), event.to_json());
    let ended = |end: annals::Result<annals::Position>| end.map(|end| end.to_string()).map_err(|error| error.kind());
    let (mut events, mut good, mut is_damaged) = (Vec::new(), Vec::new(), false);
    let end = reader.scan(&Query::all(), |event| {
        events.push(told(event));
        ControlFlow::Continue(())
    });
    let scan = (events, ended(end));
    let each = |event: EventRef<'_>| {
        good.push(told(event));
        ControlFlow::Continue(())
    };
    let end = reader.scan_good(&Query::all(), each, |_| is_damaged = true);
    let good = (good, ended(end), is_damaged);

    let mut asked = BTreeMap::new();
    let mut ask = |question, answer: annals::Result<String>| {
        assert!(asked.insert(question, answer.map_err(|error| error.kind())).is_none(), "{question} twice");
    };
    for (question, query) in [
        ("a subject", Query::all().subject("bird/b-3")),
        ("a type, backward", Query::all().types(["bird.kind2"]).rev()),
        ("the last of a type", Query::all().types(["bird.kind2"]).rev().limit(1)),
        ("a tag", Query::all().tag("t-4")),
        ("the first of an actor", Query::all().actor(Actor::user("u-1")).limit(7)),
        ("what is early", Query::all().before(40).subject("bird/b-5")),
    ] {
        let positions = reader.read(&query).map(|event| event.map(|event| event.position().to_string()));
        ask(question, positions.collect::<annals::Result<Vec<String>>>().map(|found| found.join(" ")));
    }
    ask("a count", reader.count(&Query::all().types(["bird.kind1"])).map(|count| count.to_string()));
    let ids = [("an early id", "evt-3"), ("an id", "evt-99"), ("a late id", "evt-249"), ("no id", "none")];
    for (question, id) in ids {
        ask(question, reader.event_by_id(id).map(|event| format!("{:?}", event.map(|event| event.position()))));
    }
    for (question, subject) in [("a version", "bird/b-3"), ("another version", "bird/b-9"), ("no version", "bird/none")]
    {
        ask(question, reader.version(subject).map(|version| version.to_string()));
    }
    let place = |event: Option<annals::Event>| format!("{:?}", event.map(|event| event.position()));
    ask("an event of a version", reader.event_of_version("bird/b-3", 9).map(place));
    ask("the last event", reader.event(LAST).map(place));
    ask("an event", reader.event(77).map(place));
    for (question, subject) in [("a state", "bird/b-1"), ("another state", "bird/b-7")] {
        let loaded = reader.load::<Chain>(subject);
        ask(question, loaded.map(|found| format!("{:?} {} {}", found.state, found.version, found.position)));
    }
    let document = reader.document("document/d-1");
    ask("a document", document.map(|found| format!("{:?}", found.and_then(|loaded| loaded.state.document))));
    let view = || Flow::view(store);
    ask("what is pending", view().and_then(|flow| flow.pending(100)).map(|pending| format!("{pending:?}")));
    ask("what is granted", view().and_then(|flow| flow.grants()).map(|grants| format!("{grants:?}")));
    ask("the head", reader.head().map(|head| head.to_string()));
    let workers = store.workers().and_then(|workers| Ok(format!("{workers:?} {:?}", store.parked(None)?)));
    ask(WORKERS, workers);
    Answers { scan, good, asked }
}

/// The files of a disk by name, but those that only say who has it open.
pub(crate) fn files(disk: &SimStorage) -> BTreeMap<PathBuf, Vec<u8>> {
    sim::files(disk).into_iter().filter(|(path, _)| !path.ends_with("LOCK")).collect()
}
