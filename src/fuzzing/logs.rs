//! Stores on simulated disks, and events and queries that are made of whatever bytes there are. The same bytes make the
//! same store, so what was found can be shown again.

use std::io::IoSlice;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::actor::{Actor, ActorKind};
use crate::append::Append;
use crate::error::{Error, ErrorKind};
use crate::event::NewEvent;
use crate::io::{ManualClock, Mode, SimStorage, Storage};
use crate::json::write_event;
use crate::limits;
use crate::options::Options;
use crate::position::Position;
use crate::query::Query;
use crate::reader::Reader;
use crate::store::Store;
use crate::time::Timestamp;

/// 2026-01-01, in ns since 1970.
pub(super) const NOW: i64 = 1_767_225_600_000_000_000;

/// Bytes that are taken one after the other; when there are no more, zeros.
pub(super) struct Dice<'a>(pub(super) &'a [u8]);

impl<'a> Dice<'a> {
    pub(super) fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// A number below `bound`, which is at most 256.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }

    /// True for one byte in so many.
    pub(super) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 1 % many
    }

    pub(super) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    pub(super) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (first, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        first
    }
}

const SUBJECTS: [&str; 8] = ["note/a", "note/b", "note/a/b", "user/u-1", "alone", "x/y", "é/ü", "rare/one"];
const KINDS: [&str; 6] = ["note", "user", "alone", "x", "rare", "nobody"];
const TYPES: [&str; 6] = ["note.created", "note.edited", "note", "user.came.in", "a b", "rare"];
const PATTERNS: [&str; 9] = ["note.*", "note.**", "**", "*", "user.came.in", "*.*", "rare", "no.such", "note.\\*"];
const TAGS: [&str; 4] = ["t-1", "t-2", "workspace:w", "rare"];
const NAMES: [&str; 5] = ["alice", "bob", "scribe", "rare", "nobody"];
const SOURCES: [&str; 4] = ["web", "app://x", "rare", "nowhere"];
const CORRELATIONS: [&str; 4] = ["c-1", "c-2", "rare", "none"];
const KIND_OF_ACTOR: [ActorKind; 5] =
    [ActorKind::User, ActorKind::Agent, ActorKind::External, ActorKind::System, ActorKind::Unknown];

/// One of the events that a log of so many may get next.
fn event(dice: &mut Dice<'_>, tail: u64) -> NewEvent {
    let (subject, event_type) = (dice.pick(&SUBJECTS), dice.pick(&TYPES));
    let (flags, more) = (dice.byte(), dice.byte());
    let len = dice.below(24);
    let data = dice.bytes(len);
    let content_type = ["application/json", "", "text/plain", "a/b"][usize::from(more >> 6)];
    // Some long ones, so that segments roll.
    let data = data.repeat(if flags & 0x80 != 0 { 1 + usize::from(more & 63) } else { 1 });
    let mut event = NewEvent::bytes(event_type, subject, content_type, data);
    if flags & 1 != 0 {
        event = event.actor(Actor::new(dice.pick(&KIND_OF_ACTOR), dice.pick(&NAMES)));
    }
    if flags & 2 != 0 {
        event = event.on_behalf_of(dice.pick(&NAMES));
    }
    if flags & 4 != 0 {
        event = event.source(dice.pick(&SOURCES)).correlation(dice.pick(&CORRELATIONS));
    }
    if flags & 8 != 0 {
        event = match dice.below(4) {
            0 => event.id(format!("evt-{}", dice.byte())),
            1 => event.id(format!("{subject}-{tail}")),
            2 => event.id(format!("{:02x}{tail}", dice.byte())),
            _ => event.id("again"),
        };
    }
    if flags & 16 != 0 {
        event = (0..1 + dice.below(3)).fold(event, |event, _| event.tag(dice.pick(&TAGS)));
    }
    if flags & 32 != 0 {
        event = event.meta("m", dice.pick(&NAMES)).meta("traceparent", "00-1");
    }
    if flags & 64 != 0 {
        let from = if dice.one_in(8) { i64::MIN } else { NOW };
        event = event.occurred_at(Timestamp::from_nanos(from.saturating_add(i64::from(dice.byte()) * 1_000_000)));
    }
    if more & 1 != 0 && tail > 0 {
        event = event.caused_by(1 + u64::from(dice.byte()) % tail);
    }
    event
}

/// Appends batches until the bytes or the events are used up; what is refused, such as two causes that cannot be, is
/// left out. Returns how many events there are.
pub(super) fn fill(store: &Store, clock: &ManualClock, dice: &mut Dice<'_>, events_max: u64) -> u64 {
    let mut tail = store.reader().tail().get();
    while !dice.is_over() && tail < events_max {
        clock.advance(i64::from(dice.byte()) * 1000);
        let size = 1 + dice.below(9);
        let mut append = Append::new((0..size).map(|_| event(dice, tail)).collect::<Vec<_>>());
        if dice.one_in(4) {
            append = append.key(format!("key-{}", dice.byte()));
        }
        if let Ok(done) = store.append_with(append) {
            tail = tail.max(done.last.get());
        }
    }
    tail
}

fn list(dice: &mut Dice<'_>, from: &[&str]) -> Vec<String> {
    // None at all is a list that matches nothing.
    (0..dice.below(4)).map(|_| dice.pick(from).to_owned()).collect()
}

fn position(dice: &mut Dice<'_>, tail: u64) -> Position {
    Position::new(match dice.below(8) {
        0 => 0,
        1 => u64::MAX,
        _ => (u64::from(dice.byte()) << 8 | u64::from(dice.byte())) % (tail + 3),
    })
}

fn moment(dice: &mut Dice<'_>, span: i64) -> Timestamp {
    Timestamp::from_nanos(match dice.below(8) {
        0 => i64::MIN,
        1 => i64::MAX,
        _ => NOW - 1000 + (i64::from(dice.byte()) << 8 | i64::from(dice.byte())) * span / 65_536,
    })
}

/// A query over a log of so many events, recorded within so many ns from [`NOW`].
pub(super) fn query(dice: &mut Dice<'_>, tail: u64, span: i64) -> Query {
    let mut query = alternative(dice, tail, span);
    for _ in 0..dice.below(3) {
        query = query.or(alternative(dice, tail, span));
    }
    if dice.one_in(2) {
        query = query.rev();
    }
    if dice.one_in(3) {
        query = query.limit(u64::from(dice.byte() % 40));
    }
    query
}

fn alternative(dice: &mut Dice<'_>, tail: u64, span: i64) -> Query {
    (0..1 + dice.below(4)).fold(Query::all(), |query, _| match dice.below(15) {
        0 | 1 => query.subjects(list(dice, &SUBJECTS)),
        2 => query.kinds(list(dice, &KINDS)),
        3 | 4 => query.types(list(dice, &PATTERNS)),
        5 => query.tag(dice.pick(&TAGS)),
        6 => query.actor(Actor::new(dice.pick(&KIND_OF_ACTOR), dice.pick(&NAMES))),
        7 => query.actor_id(dice.pick(&NAMES)),
        8 => query.on_behalf_of(dice.pick(&NAMES)),
        9 => query.source(dice.pick(&SOURCES)),
        10 => query.correlation(dice.pick(&CORRELATIONS)),
        11 => query.caused_by(position(dice, tail.min(40))),
        12 => query.after(position(dice, tail)).before(position(dice, tail)),
        13 => query.since(moment(dice, span)).until(moment(dice, span)),
        _ => query.occurred_since(moment(dice, span)).occurred_until(moment(dice, span)),
    })
}

/// The smallest segments, no threads.
pub(super) fn options(clock: &Arc<ManualClock>) -> Options {
    let clock: Arc<ManualClock> = Arc::clone(clock);
    Store::options().background(false).sealing(false).segment_bytes(limits::SEGMENT_BYTES_MIN).clock(clock)
}

pub(super) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(NOW))
}

pub(super) fn open(disk: &Arc<SimStorage>, options: Options) -> Result<Store, Error> {
    options.open_on(Arc::clone(disk) as Arc<dyn Storage>, Path::new("simulated"))
}

/// A store on a disk that is sound.
pub(super) fn sound(disk: &Arc<SimStorage>, options: Options) -> Store {
    ours(open(disk, options))
}

/// What cannot fail on a disk without faults.
pub(super) fn ours<T, E: std::fmt::Debug>(outcome: Result<T, E>) -> T {
    match outcome {
        Ok(value) => value,
        Err(error) => panic!("a sound store fails: {error:?}"),
    }
}

/// Puts a file in the place of whatever stood there.
pub(super) fn put(disk: &SimStorage, path: &Path, bytes: &[u8]) {
    let parent = path.parent().unwrap_or(Path::new(""));
    ours(disk.create_dir_all(parent));
    if ours(disk.metadata(path)).is_some() {
        ours(disk.remove(path));
    }
    let file = ours(disk.open(path, Mode::CreateNew));
    ours(file.write_all_at(&mut [IoSlice::new(bytes)], 0));
    ours(file.sync_data());
}

/// Every event of a view as a line, oldest first.
pub(super) fn lines(reader: &Reader, query: &Query) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    ours(reader.scan(query, |event| {
        let mut line = Vec::new();
        write_event(&event, &mut line);
        // What export does not tell: whether it was given, where it stands in its subject.
        line.extend_from_slice(format!("{:?} {} {}", event.given_id(), event.version(), event.epoch()).as_bytes());
        lines.push(line);
        ControlFlow::Continue(())
    }));
    lines
}

/// Refusing what cannot be done is no failure; anything else is.
pub(super) fn refused(error: &Error, expected: &[ErrorKind]) {
    assert!(expected.contains(&error.kind()), "{:?}: {error}", error.kind());
    assert!(!error.to_string().contains(|char: char| char.is_control()), "{error:?}");
}
