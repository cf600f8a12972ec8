//! Every sequence of commands to a length, against an oracle that is written down apart from the flow, in the plainest
//! way: never a change without a live approval of exactly what was shown, never two decisions, never a lost request.
//!
//! Three commands in each run of the tests; ANNALS_FLOW_LENGTH asks for more: 4 takes minutes, and is what CI plays, 5 an
//! hour or two. Above five, of the sequences that leave the oracle in an equal state one is followed.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "flow_model/oracle.rs"]
mod oracle;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use annals::sim::{ManualClock, SimStorage};
use annals::{Actor, Flow, Grant, NewEvent, Outcome, Phase, Position, Query, Request, RequestId, Store};
use oracle::{Broken, COMMANDS, Command, End, Oracle, Said};
use serde_json::{Value, json};

const START: i64 = 1_700_000_000_000_000_000;
const SUBJECT: &str = "tag/t";

/// The flow on a simulated disk, and what was learnt of it on the way.
struct World {
    disk: Arc<SimStorage>,
    clock: Arc<ManualClock>,
    open: Option<(Store, Flow)>,
    requests: Vec<RequestId>,
    /// What was shown of each, where anybody was asked.
    seen: Vec<String>,
    grants: Vec<Position>,
}

impl World {
    fn new() -> World {
        let (disk, clock) = (SimStorage::new(), Arc::new(ManualClock::new(START)));
        let mut world = World { disk, clock, open: None, requests: Vec::new(), seen: Vec::new(), grants: Vec::new() };
        world.reopen();
        let create = Request::create("tags", &json!({"n": 0})).id("t").by(Actor::user("alice"));
        let made = world.flow().request(create).unwrap();
        assert!(matches!(world.outcome(made.request), Outcome::Validated { .. }));
        world
    }

    fn reopen(&mut self) {
        self.open = None;
        let options = Store::options().background(false).segment_bytes(64 << 10).clock(self.clock.clone());
        let store = options.open_on(self.disk.clone(), Path::new("/simulated")).unwrap();
        let flow = Flow::builder(&store).background(false).start().unwrap();
        self.open = Some((store, flow));
    }

    /// The power goes, whatever is not synced with it.
    fn crash(&mut self) {
        let disk = self.disk.crash(annals::sim::Crash::None);
        // What the old handles still do, they do to a disk that is gone.
        self.open = None;
        self.disk = disk;
        self.reopen();
    }

    fn flow(&self) -> &Flow {
        &self.open.as_ref().unwrap().1
    }

    fn store(&self) -> &Store {
        &self.open.as_ref().unwrap().0
    }

    fn outcome(&self, request: RequestId) -> Outcome {
        self.flow().outcome(request, Duration::ZERO).unwrap()
    }

    fn request(&mut self, request: Request) -> annals::Result<()> {
        let made = self.flow().request(request)?;
        self.note(made.request);
        Ok(())
    }

    fn note(&mut self, request: RequestId) {
        let asked = Query::all().caused_by(request).types(["tags.*.asked"]);
        let asked = self.store().reader().read(&asked).next();
        let digest = asked.map_or(Value::Null, |event| event.unwrap().json::<Value>().unwrap()["digest"].clone());
        self.requests.push(request);
        self.seen.push(digest.as_str().unwrap_or_default().to_owned());
    }

    /// Does a command; whether it was accepted.
    fn run(&mut self, command: Command, number: u32) -> Said {
        let patch = json!({ "n": number });
        let update = |actor: Actor| Request::update("tags", "t", &patch).by(actor).answer_by(Duration::from_secs(3600));
        let alice = || Actor::user("alice");
        let scribe = || Actor::agent("scribe").on_behalf_of("alice");
        let newest = self.requests.last().copied().zip(self.seen.last().cloned());
        let oldest = self.requests.first().copied().zip(self.seen.first().cloned());
        let approve = |world: &World, which: Option<(RequestId, String)>, by: Actor| {
            which.map(|(id, seen)| world.flow().approve(id, seen, by, "").map(drop))
        };
        let done: Option<annals::Result<()>> = match command {
            Command::UserWrites => Some(self.request(update(alice()))),
            Command::AgentAsks => Some(self.request(update(scribe()))),
            Command::ExternalAsks => Some(self.request(update(Actor::external("feed")))),
            Command::UnknownAsks => Some(self.request(update(Actor::unknown("alice")))),
            Command::StrangerWrites => Some(self.request(update(Actor::user("bob")))),
            Command::OwnerApproves => approve(self, newest, alice()),
            Command::OwnerApprovesOldest => approve(self, oldest, alice()),
            Command::StrangerApproves => approve(self, newest, Actor::user("bob")),
            Command::AgentApproves => approve(self, newest, scribe()),
            Command::OwnerApprovesAnother => {
                newest.map(|(id, _)| self.flow().approve(id, "0123456789abcdef0123456789abcdef", alice(), "").map(drop))
            }
            Command::OwnerRejects => newest.map(|(id, _)| self.flow().reject(id, alice(), "").map(drop)),
            Command::RequesterWithdraws => newest.map(|(id, _)| {
                let event = self.store().reader().event(id).unwrap().unwrap();
                let actor = event.actor().unwrap();
                self.flow().withdraw(id, Actor::new(actor.kind(), actor.id())).map(drop)
            }),
            Command::RequesterAmends => newest.map(|(id, _)| {
                let event = self.store().reader().event(id).unwrap().unwrap();
                let actor = event.actor().unwrap();
                let amended = self.flow().amend(id, Actor::new(actor.kind(), actor.id()), &patch)?;
                self.note(amended.successor.unwrap().request);
                Ok(())
            }),
            Command::TimePasses => {
                self.clock.advance(2 * 3600 * 1_000_000_000);
                None
            }
            Command::OwnerGrants => {
                let grant = Grant::to("scribe").action("tags.update").subject("tag/*").uses(1);
                Some(self.flow().grant(grant, alice()).map(|id| self.grants.push(id)))
            }
            Command::OwnerRevokes => self.grants.last().map(|id| self.flow().revoke(*id, alice()).map(drop)),
            Command::AnotherEvent => {
                let event = NewEvent::json("tag.seen", SUBJECT, &json!({"n": 999})).unwrap();
                Some(self.store().append([event]).map(drop).map_err(Into::into))
            }
            Command::FlowSettles => Some(self.flow().settle()),
            Command::PowerFails => {
                self.crash();
                None
            }
        };
        match done {
            None => Said::Nothing,
            Some(Ok(())) => Said::Done,
            Some(Err(error)) => Said::of(error.kind()),
        }
    }

    fn ends(&self) -> Vec<End> {
        let end = |id: &RequestId| match self.outcome(*id) {
            Outcome::Validated { .. } => End::Validated,
            Outcome::Rejected { .. } => End::Rejected,
            Outcome::Failed { .. } => End::Failed,
            Outcome::Expired => End::Expired,
            Outcome::Withdrawn => End::Withdrawn,
            Outcome::Stale { .. } => End::Stale,
            Outcome::Pending => End::Pending,
            other => panic!("{other:?}"),
        };
        self.requests.iter().map(end).collect()
    }

    fn row(&self) -> u64 {
        let row = self.store().reader().document(SUBJECT).unwrap().unwrap().state.document.unwrap();
        row.field("n").unwrap().parse().unwrap()
    }

    /// What must be so whatever happened, read from the log alone.
    fn check_log(&self) {
        let mut lives: std::collections::BTreeMap<Position, Vec<(Phase, Value)>> = Default::default();
        let mut requested = HashSet::new();
        let reader = self.store().reader();
        reader
            .scan(&Query::all().subject(SUBJECT), |event| {
                let phase = event
                    .event_type()
                    .strip_prefix("tags.")
                    .and_then(|rest| rest.split('.').nth(1))
                    .and_then(Phase::parse);
                match phase {
                    Some(Phase::Requested) => drop(requested.insert(event.position())),
                    Some(phase) => {
                        let data = if phase == Phase::Validated { Value::Null } else { event.json().unwrap() };
                        lives.entry(event.causation().unwrap()).or_default().push((phase, data));
                    }
                    None => {}
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        for (id, life) in &lives {
            assert!(requested.contains(id), "a decision about what nobody asked");
            let of = |wanted: &[Phase]| life.iter().filter(|(phase, _)| wanted.contains(phase)).count();
            let ends =
                [Phase::Rejected, Phase::Expired, Phase::Withdrawn, Phase::Failed, Phase::Stale, Phase::Validated];
            assert!(of(&ends) <= 1 && of(&[Phase::Approved]) <= 1 && of(&[Phase::Asked]) <= 1, "{id}: {life:?}");
            assert!(of(&[Phase::Approved]) == 0 || of(&[Phase::Rejected]) == 0, "{id}: {life:?}");
            let at = |wanted: Phase| life.iter().position(|(phase, _)| *phase == wanted);
            if let Some(validated) = at(Phase::Validated) {
                assert!(at(Phase::Approved).is_some_and(|approved| approved < validated), "{id}: {life:?}");
            }
            if let (Some(asked), Some(approved)) = (at(Phase::Asked), at(Phase::Approved)) {
                assert_eq!(life[asked].1["digest"], life[approved].1["digest"], "{id}: not what was shown");
            }
        }
        assert!(self.requests.iter().all(|id| requested.contains(id)), "a request is lost");
    }
}

/// Plays a sequence on both; what they disagree about.
fn play(commands: &[Command], broken: Broken) -> Result<Oracle, String> {
    let (mut world, mut oracle) = (World::new(), Oracle::new(broken));
    for (number, command) in (1u32..).zip(commands) {
        let (said, wanted) = (world.run(*command, number), oracle.run(*command, number));
        if said != wanted {
            return Err(format!("{command:?} was answered with {said:?}, not {wanted:?}"));
        }
        let (ends, wanted) = (world.ends(), oracle.ends());
        if ends != wanted {
            return Err(format!("after {command:?} the requests stand at {ends:?}, not {wanted:?}"));
        }
        if world.row() != oracle.row() {
            return Err(format!("after {command:?} the row is {}, not {}", world.row(), oracle.row()));
        }
    }
    world.check_log();
    Ok(oracle)
}

fn length() -> usize {
    std::env::var("ANNALS_FLOW_LENGTH").map_or(3, |text| text.parse().unwrap())
}

/// All sequences of this length that begin so.
fn each(prefix: &mut Vec<Command>, length: usize, play: &mut impl FnMut(&[Command])) {
    if prefix.len() == length {
        return play(prefix);
    }
    for command in COMMANDS {
        prefix.push(command);
        each(prefix, length, play);
        prefix.pop();
    }
}

#[test]
fn every_sequence_of_commands_does_what_the_oracle_says() {
    let began = std::time::Instant::now();
    let plain = length().min(5);
    let played: usize = std::thread::scope(|scope| {
        let halves = [0, 1].map(|half| {
            scope.spawn(move || {
                let mut played = 0;
                for first in COMMANDS.into_iter().skip(half).step_by(2) {
                    each(&mut vec![first], plain, &mut |commands| {
                        played += 1;
                        if let Err(why) = play(commands, Broken::Nothing) {
                            panic!("{commands:?}: {why}");
                        }
                    });
                }
                played
            })
        });
        halves.into_iter().map(|half| half.join().unwrap()).sum()
    });
    println!("{played} sequences of {plain} commands, {:.0} s", began.elapsed().as_secs_f64());
    if length() > 5 {
        merged(length());
    }
}

/// The same for longer ones: of the sequences that leave the oracle in one state, one goes on.
fn merged(length: usize) {
    let mut frontier: Vec<Vec<Command>> = vec![Vec::new()];
    for depth in 1..=length {
        let (mut known, mut next, mut played) = (HashSet::new(), Vec::new(), 0);
        for prefix in &frontier {
            for command in COMMANDS {
                let mut commands = prefix.clone();
                commands.push(command);
                played += 1;
                let oracle = play(&commands, Broken::Nothing).unwrap_or_else(|why| panic!("{commands:?}: {why}"));
                if known.insert(oracle.state()) {
                    next.push(commands);
                }
            }
        }
        println!("{played} sequences of {depth} commands, {} states", next.len());
        frontier = next;
    }
}

/// An oracle with one rule wrong disagrees with the flow, so that the comparison is one.
#[test]
fn an_oracle_with_a_broken_rule_disagrees() {
    for broken in [
        Broken::AnybodyAnswers,
        Broken::DigestDoesNotMatter,
        Broken::NothingGoesStale,
        Broken::GrantsNeverEnd,
        Broken::NothingExpires,
    ] {
        let mut found = None;
        each(&mut Vec::new(), 3, &mut |commands| {
            if found.is_none() {
                found = play(commands, broken).err();
            }
        });
        assert!(found.is_some(), "{broken:?} makes no difference");
    }
}
