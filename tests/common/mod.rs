//! What the integration tests share: random events and queries, and what they mean, written down a second time in
//! the plainest way there is, so that no fast path of the library can agree with itself alone.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

pub mod check;
pub mod query;
pub mod sim;

use annals::{Actor, ActorKind, Event, EventRef, NewEvent, Position, Timestamp};

/// SplitMix64 (Steele, Lea, Flood 2014): each seed gives another sequence, and always the same.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// Whether something happens that does so in `chances` of 16 cases.
    pub fn happens(&mut self, chances: u64) -> bool {
        self.below(16) < chances
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    pub fn text(&mut self, from: &[&str]) -> String {
        (*self.pick(from)).to_owned()
    }
}

// Words that events and queries are made of: few, so that they meet, and odd ones among them.
pub const SUBJECTS: &[&str] =
    &["note/n-1", "note/n-2", "note/n-3", "note/a/b", "user/u-1", "user/n-1", "Straße/ü 1", "repo/rust-lang/cargo"];
pub const KINDS: &[&str] = &["note", "user", "Straße", "repo", "nobody"];
pub const TYPES: &[&str] = &[
    "note.created",
    "note.edited",
    "notes.create.validated",
    "notes.update.validated",
    "notes.update.failed",
    "plain",
    "a.*",
    "a.b",
    "a.**",
    "W_Completeren aanvraag",
    "..",
];
pub const PATTERNS: &[&str] = &[
    "note.created",
    "note.*",
    "note.**",
    "notes.*.validated",
    "notes.**",
    "*",
    "**",
    "*.*",
    "a.\\*",
    "a.*",
    "a.\\*\\*",
    "plain",
    "pla*n",
    "nothing.of.this",
    "*.*.*",
    "..",
    "",
    "**.validated",
    "W_Completeren aanvraag",
];
pub const ACTORS: &[&str] = &["alice", "bob", "scribe"];
pub const ACTOR_KINDS: &[ActorKind] =
    &[ActorKind::User, ActorKind::Agent, ActorKind::External, ActorKind::System, ActorKind::Unknown];
pub const TAGS: &[&str] = &["t-0", "t-1", "t-2", "workspace:7", "ü"];
pub const SOURCES: &[&str] = &["web-app", "urn:x", "mail"];
pub const CORRELATIONS: &[&str] = &["req-1", "req-2", "req-3"];
pub const IDS: &[&str] = &["evt-1", "evt-2", "evt-3", "0"];

/// What caused an event: a position, or an earlier event of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    At(u64),
    InBatch(usize),
}

/// An event as a test asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    pub subject: String,
    pub event_type: String,
    pub content_type: String,
    pub data: Vec<u8>,
    pub id: Option<String>,
    pub actor: Option<(ActorKind, String)>,
    pub on_behalf_of: Option<String>,
    pub source: Option<String>,
    pub correlation: Option<String>,
    pub cause: Option<Cause>,
    pub tags: Vec<String>,
    pub meta: Vec<(String, String)>,
    pub occurred_at: Option<i64>,
}

impl Spec {
    /// The plainest event.
    pub fn plain(subject: &str, data: &str) -> Spec {
        Spec {
            subject: subject.to_owned(),
            event_type: "note.created".to_owned(),
            content_type: "text/plain".to_owned(),
            data: data.as_bytes().to_vec(),
            id: None,
            actor: None,
            on_behalf_of: None,
            source: None,
            correlation: None,
            cause: None,
            tags: Vec::new(),
            meta: Vec::new(),
            occurred_at: None,
        }
    }

    /// A random event, the `index`-th of its batch; `now` is about when it is recorded, in ns.
    pub fn random(rng: &mut Rng, index: usize, now: i64) -> Spec {
        let data = match rng.below(40) {
            0 => Vec::new(),
            1 => (0..2000 + rng.below(4000)).map(|_| rng.next() as u8).collect(),
            2..10 => vec![0; rng.index(300)],
            _ => format!("{{\"n\":{}}}", rng.next()).into_bytes(),
        };
        let maybe = |rng: &mut Rng, chances: u64, from: &[&str]| rng.happens(chances).then(|| rng.text(from));
        Spec {
            subject: rng.text(SUBJECTS),
            event_type: rng.text(TYPES),
            content_type: rng.text(&["application/json", "text/plain", ""]),
            data,
            id: maybe(rng, 3, IDS),
            actor: rng.happens(8).then(|| (*rng.pick(ACTOR_KINDS), rng.text(ACTORS))),
            on_behalf_of: maybe(rng, 3, ACTORS),
            source: maybe(rng, 4, SOURCES),
            correlation: maybe(rng, 4, CORRELATIONS),
            cause: match rng.below(8) {
                0 => Some(Cause::At(1 + rng.below(20))),
                1 if index > 0 => Some(Cause::InBatch(rng.index(index))),
                _ => None,
            },
            tags: (0..rng.below(7).saturating_sub(3)).map(|_| rng.text(TAGS)).collect(),
            meta: (0..rng.below(6).saturating_sub(3)).map(|at| (format!("m-{at}"), rng.text(TYPES))).collect(),
            occurred_at: rng.happens(6).then(|| now + rng.below(2000) as i64 - 1500),
        }
    }

    /// So many random events, as a batch.
    pub fn batch(rng: &mut Rng, count: usize, now: i64) -> Vec<Spec> {
        (0..count).map(|index| Spec::random(rng, index, now)).collect()
    }

    pub fn event(&self) -> NewEvent {
        let mut event = NewEvent::bytes(&self.event_type, &self.subject, &self.content_type, self.data.clone());
        if let Some(id) = &self.id {
            event = event.id(id);
        }
        if let Some((kind, id)) = &self.actor {
            event = event.actor(Actor::new(*kind, id));
        }
        if let Some(user) = &self.on_behalf_of {
            event = event.on_behalf_of(user);
        }
        if let Some(source) = &self.source {
            event = event.source(source);
        }
        if let Some(correlation) = &self.correlation {
            event = event.correlation(correlation);
        }
        event = match self.cause {
            Some(Cause::At(position)) => event.caused_by(position),
            Some(Cause::InBatch(index)) => event.caused_by_batch(index),
            None => event,
        };
        for tag in &self.tags {
            event = event.tag(tag);
        }
        for (name, value) in &self.meta {
            event = event.meta(name, value);
        }
        match self.occurred_at {
            Some(time) => event.occurred_at(Timestamp::from_nanos(time)),
            None => event,
        }
    }

    pub fn events(specs: &[Spec]) -> Vec<NewEvent> {
        specs.iter().map(Spec::event).collect()
    }
}

/// An event as it stands in the log, every part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    pub position: u64,
    pub version: u64,
    pub epoch: u64,
    pub recorded_at: i64,
    pub occurred_at: i64,
    /// `None` is the derived one.
    pub given_id: Option<String>,
    pub subject: String,
    pub event_type: String,
    pub actor: Option<(ActorKind, String)>,
    pub on_behalf_of: Option<String>,
    pub source: Option<String>,
    pub correlation: Option<String>,
    pub causation: Option<u64>,
    pub tags: Vec<String>,
    pub meta: Vec<(String, String)>,
    pub content_type: String,
    pub data: Vec<u8>,
}

impl Plain {
    /// What becomes of a spec: `first` is the position of its batch's first event.
    pub fn of_spec(spec: &Spec, first: u64, index: usize, version: u64, epoch: u64, recorded_at: i64) -> Plain {
        let spec = spec.clone();
        Plain {
            position: first + index as u64,
            version,
            epoch,
            recorded_at,
            occurred_at: spec.occurred_at.unwrap_or(recorded_at),
            given_id: spec.id,
            subject: spec.subject,
            event_type: spec.event_type,
            actor: spec.actor,
            on_behalf_of: spec.on_behalf_of,
            source: spec.source,
            correlation: spec.correlation,
            causation: spec.cause.map(|cause| match cause {
                Cause::At(position) => position,
                Cause::InBatch(earlier) => first + earlier as u64,
            }),
            tags: spec.tags,
            meta: spec.meta,
            // Without a content type there is none to be found either.
            content_type: spec.content_type,
            data: spec.data,
        }
    }

    pub fn of_ref(event: &EventRef<'_>) -> Plain {
        let text = |value: Option<&str>| value.map(str::to_owned);
        assert_eq!(event.subject().split_once('/'), Some((event.kind(), event.subject_id())));
        Plain {
            position: event.position().get(),
            version: event.version(),
            epoch: event.epoch(),
            recorded_at: event.recorded_at().as_nanos(),
            occurred_at: event.occurred_at().as_nanos(),
            given_id: text(event.given_id()),
            subject: event.subject().to_owned(),
            event_type: event.event_type().to_owned(),
            actor: event.actor().map(|actor| (actor.kind(), actor.id().to_owned())),
            on_behalf_of: text(event.on_behalf_of()),
            source: text(event.source()),
            correlation: text(event.correlation()),
            causation: event.causation().map(Position::get),
            tags: event.tags().map(str::to_owned).collect(),
            meta: event.meta().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            content_type: event.content_type().to_owned(),
            data: event.data().to_vec(),
        }
    }

    pub fn of(event: &Event) -> Plain {
        Plain::of_ref(&event.as_ref())
    }

    /// The id that the event is found by; `log` is the log's own in hexadecimal.
    pub fn id(&self, log: &str) -> String {
        self.given_id.clone().unwrap_or_else(|| format!("{log}-{}-{}", self.epoch, self.position))
    }
}

/// Runs a future on this thread: the smallest executor there is.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::task::Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
