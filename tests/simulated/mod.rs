//! What the tests on the simulated disk share: a store played on it, the record of what was asked
//! and what was told at which moment, and whether a disk that is found holds what it must.
//!
//! A moment is a number of operations on the disk. [`Run::at`] says what a power cut at a moment
//! may leave: at least what anybody had been told, at most what had been asked for, whole batches,
//! the same bytes.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

pub(crate) mod explore;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use annals::sim::{FileId, ManualClock, Op, SimStorage, Trace};
use annals::{Append, Durability, EventRef, NewEvent, Options, Query, Store};
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(crate) const SEGMENT_BYTES: u64 = 64 << 10;
/// 2020-01-01.
pub(crate) const CLOCK_START: i64 = 1_577_836_800_000_000_000;
/// Words of LIVE (docs/format.md): each position's check is stored behind it.
pub(crate) const WORD_PUBLISHED: usize = 16;
const WORD_DURABLE: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Synced,
    Written,
}

pub(crate) fn root() -> &'static Path {
    Path::new("/simulated")
}

pub(crate) fn options(mode: Mode) -> Options {
    let durability = match mode {
        Mode::Synced => Durability::Synced,
        Mode::Written => Durability::Written { sync_every: Duration::from_secs(3600) },
    };
    let clock = Arc::new(ManualClock::new(CLOCK_START));
    Store::options().durability(durability).segment_bytes(SEGMENT_BYTES).background(false).clock(clock)
}

pub(crate) fn open(disk: &Arc<SimStorage>, mode: Mode) -> annals::Result<Store> {
    options(mode).open_on(disk.clone(), root())
}

/// A file of the store that means anything after a power cut. LOCK is for people, LIVE for processes
/// of the same boot.
pub(crate) fn counts(path: &Path) -> bool {
    path != Path::new("LOCK") && path != Path::new("LIVE")
}

/// The segments and nothing else.
pub(crate) fn is_raw(path: &Path) -> bool {
    path.starts_with("log") && path.extension().is_some_and(|extension| extension == "raw")
}

/// A small generator, so that a script is the same every time.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }
}

/// One event of a line: a hash of everything in it, and its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) signature: u64,
    pub(crate) epoch: u64,
}

/// A history as it was attempted: event `n` stands at position `n + 1`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    pub(crate) events: Vec<Known>,
    /// Last positions of batches, 0 included.
    pub(crate) ends: BTreeSet<u64>,
}

/// What may be found from a moment on.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) ops: u64,
    /// Every position up to here survives.
    pub(crate) must: u64,
    /// No position beyond this was ever asked for.
    pub(crate) may: u64,
    /// Somebody was shown everything up to here.
    pub(crate) shown: u64,
    pub(crate) line: Arc<Line>,
}

impl Mark {
    pub(crate) fn nothing() -> Mark {
        let line = Line { events: Vec::new(), ends: BTreeSet::from([0]) };
        Mark { ops: 0, must: 0, may: 0, shown: 0, line: Arc::new(line) }
    }

    /// The same if only the process is killed: what was shown survives in both modes.
    pub(crate) fn killed(&self) -> Mark {
        Mark { must: self.must.max(self.shown), ..self.clone() }
    }

    /// Whether a history is one of those that may be found.
    pub(crate) fn check(&self, found: &[Known]) -> Result<(), String> {
        let tail = found.len() as u64;
        if tail < self.must {
            return Err(format!("{} events are there, and {} had been promised", tail, self.must));
        }
        if tail > self.may {
            return Err(format!("{} events are there, and only {} had been asked for", tail, self.may));
        }
        if !self.line.ends.contains(&tail) {
            return Err(format!("the log ends within a batch, at {tail}"));
        }
        for (index, (found, known)) in found.iter().zip(&self.line.events).enumerate() {
            if found != known {
                return Err(format!("position {} holds another event: {found:?}, not {known:?}", index + 1));
            }
        }
        Ok(())
    }
}

/// A played store with everything that was done to its disk.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) trace: Trace,
    pub(crate) mode: Mode,
    /// In order of their moments; the first is at 0.
    pub(crate) marks: Vec<Mark>,
}

impl Run {
    pub(crate) fn at(&self, ops: u64) -> &Mark {
        let index = self.marks.partition_point(|mark| mark.ops <= ops);
        &self.marks[index.saturating_sub(1)]
    }

    pub(crate) fn ops(&self) -> u64 {
        self.trace.ops().len() as u64
    }
}

pub(crate) fn signature(event: &EventRef<'_>) -> u64 {
    let mut hash = 0;
    let mut add = |bytes: &[u8]| hash = xxh3_64_with_seed(bytes, hash ^ bytes.len() as u64);
    for number in [event.position().get(), event.version(), event.epoch(), event.is_imported().into()] {
        add(&number.to_le_bytes());
    }
    add(&event.recorded_at().as_nanos().to_le_bytes());
    add(&event.occurred_at().as_nanos().to_le_bytes());
    add(event.subject().as_bytes());
    add(event.event_type().as_bytes());
    add(event.content_type().as_bytes());
    add(event.given_id().unwrap_or_default().as_bytes());
    add(event.correlation().unwrap_or_default().as_bytes());
    event.tags().for_each(|tag| add(tag.as_bytes()));
    add(event.data());
    hash
}

/// Reads a whole store through its public face.
pub(crate) fn read_all(store: &Store) -> Result<Vec<Known>, String> {
    let reader = store.reader();
    let mut found: Vec<Known> = Vec::new();
    let mut gap = None;
    let through = reader
        .scan(&Query::all(), |event| {
            if event.position().get() != found.len() as u64 + 1 {
                gap.get_or_insert(event.position());
            }
            found.push(Known { signature: signature(&event), epoch: event.epoch() });
            ControlFlow::Continue(())
        })
        .map_err(|error| format!("reading fails: {error:?}"))?;
    match gap {
        Some(position) => Err(format!("a gap before position {position}")),
        None if through != reader.tail() || reader.tail().get() != found.len() as u64 => {
            Err(format!("{} events were read through {through}, and the tail is {}", found.len(), reader.tail()))
        }
        None => Ok(found),
    }
}

/// Plays a store on a disk and keeps the record.
pub(crate) struct Player {
    pub(crate) disk: Arc<SimStorage>,
    pub(crate) mode: Mode,
    pub(crate) store: Store,
    clock: Arc<ManualClock>,
    background: bool,
    dice: Dice,
    before: Mark,
    /// What opening found.
    pub(crate) found: Vec<Known>,
    ends: BTreeSet<u64>,
    /// Moments at which more was asked for: operations so far, the last position attempted.
    asked: Vec<(u64, u64)>,
    /// What each event was made of: subject and data.
    made: Vec<(String, Vec<u8>)>,
}

impl Player {
    /// Opens a store on a disk that was found as `before` says, and checks that it holds that.
    pub(crate) fn begin(disk: &Arc<SimStorage>, mode: Mode, before: &Mark, seed: u64) -> Result<Player, String> {
        let player = Player::begin_with(disk, mode, before, seed, false)?;
        before.check(&player.found)?;
        Ok(player)
    }

    /// The same on a disk whose last writer was killed, without losing anything.
    pub(crate) fn begin_killed(disk: &Arc<SimStorage>, mode: Mode, before: &Mark, seed: u64) -> Result<Player, String> {
        let player = Player::begin_with(disk, mode, before, seed, false)?;
        before.killed().check(&player.found)?;
        Ok(player)
    }

    pub(crate) fn begin_with(
        disk: &Arc<SimStorage>,
        mode: Mode,
        before: &Mark,
        seed: u64,
        background: bool,
    ) -> Result<Player, String> {
        let clock = Arc::new(ManualClock::new(CLOCK_START + before.line.events.len() as i64 * 1000));
        let wanted = options(mode).clock(clock.clone()).background(background);
        let store = wanted.open_on(disk.clone(), root()).map_err(|error| format!("opening fails: {error:?}"))?;
        let found = read_all(&store)?;
        let ends = before.line.ends.range(..=found.len() as u64).copied().collect();
        Ok(Player {
            disk: disk.clone(),
            mode,
            store,
            clock,
            background,
            dice: Dice(seed),
            before: before.clone(),
            found,
            ends,
            asked: Vec::new(),
            made: Vec::new(),
        })
    }

    pub(crate) fn tail(&self) -> u64 {
        (self.found.len() + self.made.len()) as u64
    }

    /// A batch of so many events, each of up to so many bytes.
    pub(crate) fn batch(&mut self, events: u64, data_bytes_max: u64) -> Vec<NewEvent> {
        (0..events)
            .map(|_| {
                let subject = format!("note/n-{}", self.dice.below(7));
                // Zeros too: what looks like a sector that was never written.
                let zeros = self.dice.below(8) == 0;
                let data: Vec<u8> = (0..self.dice.below(data_bytes_max + 1))
                    .map(|_| if zeros { 0 } else { self.dice.roll() as u8 })
                    .collect();
                self.made.push((subject.clone(), data.clone()));
                NewEvent::bytes("note.edited", subject, "text/plain", data).tag("t")
            })
            .collect()
    }

    /// Appends a batch that must succeed.
    pub(crate) fn append(&mut self, append: impl Into<Append>) -> Result<(), String> {
        let append = append.into();
        let (first, events) = (self.tail() + 1 - append.events().len() as u64, append.events().len() as u64);
        self.asked.push((self.disk.op_count(), self.tail()));
        self.ends.insert(self.tail());
        self.clock.advance(1_000_003);
        let done = self.store.append_with(append).map_err(|error| format!("appending fails: {error:?}"))?;
        if (done.first.get(), done.last.get()) != (first, first + events - 1) || done.duplicate {
            return Err(format!("positions {first} and on were due, and this was done: {done:?}"));
        }
        Ok(())
    }

    pub(crate) fn append_random(&mut self, events_max: u64, data_bytes_max: u64) -> Result<(), String> {
        let events = 1 + self.dice.below(events_max);
        let batch = self.batch(events, data_bytes_max);
        self.append(Append::new(batch))
    }

    /// The same under a key, twice: the second time it only says where it stands.
    pub(crate) fn append_keyed(&mut self, key: &str) -> Result<(), String> {
        let batch = self.batch(3, 100);
        self.append(Append::new(batch.clone()).key(key))?;
        let again = self.store.append_with(Append::new(batch).key(key)).map_err(|error| format!("{error:?}"))?;
        if again.duplicate { Ok(()) } else { Err(format!("a key was taken twice: {again:?}")) }
    }

    pub(crate) fn sync(&self) -> Result<(), String> {
        self.store.sync().map_err(|error| format!("syncing fails: {error:?}"))
    }

    /// Makes sealed segments of all raw ones.
    pub(crate) fn seal(&self) -> Result<(), String> {
        self.store.seal().map(drop).map_err(|error| format!("sealing fails: {error:?}"))
    }

    pub(crate) fn reopen(&mut self) -> Result<(), String> {
        self.store.close().map_err(|error| format!("closing fails: {error:?}"))?;
        let wanted = options(self.mode).clock(self.clock.clone()).background(self.background);
        self.store =
            wanted.open_on(self.disk.clone(), root()).map_err(|error| format!("reopening fails: {error:?}"))?;
        if self.store.recovery().clean { Ok(()) } else { Err("a store that was closed is not clean".to_owned()) }
    }

    /// Ends the run without closing: whatever happens to the disk next is not this store's doing.
    pub(crate) fn finish(self) -> Result<Run, String> {
        let trace = self.disk.trace();
        let events = read_all(&self.store)?;
        if events.len() as u64 != self.tail() {
            return Err(format!("{} events are there, and {} were appended", events.len(), self.tail()));
        }
        self.check_contents()?;
        let live = live_files(&self.disk, &trace, None);
        let line = Arc::new(Line { events, ends: self.ends });
        let marks = marks(&trace, self.mode, &live, &self.before, line, self.found.len() as u64, &self.asked);
        Ok(Run { trace, mode: self.mode, marks })
    }

    /// Whether the store reads as it was written.
    fn check_contents(&self) -> Result<(), String> {
        let mut wrong = None;
        let mut made = self.made.iter();
        let found = self.found.len() as u64;
        let query = Query::all().after(annals::Position::new(found));
        let read = self.store.reader().scan(&query, |event| {
            let expected = made.next();
            if expected.is_none_or(|(subject, data)| event.subject() != subject || event.data() != data) {
                wrong.get_or_insert(event.position());
            }
            ControlFlow::Continue(())
        });
        read.map_err(|error| format!("{error:?}"))?;
        match wrong {
            Some(position) => Err(format!("position {position} reads otherwise than it was written")),
            None => Ok(()),
        }
    }
}

/// The files that were LIVE in a run: a repair takes it away.
pub(crate) fn live_files(disk: &SimStorage, trace: &Trace, before: Option<FileId>) -> BTreeSet<FileId> {
    let path = Path::new("LIVE");
    let created = trace.ops().iter().filter_map(|op| match op {
        Op::Create { path: created, file } if **created == *path => Some(*file),
        _ => None,
    });
    created.chain(disk.file_id(path)).chain(before).collect()
}

/// What follows from a run: at which moment what was asked for, shown and promised.
pub(crate) fn marks(
    trace: &Trace,
    mode: Mode,
    live: &BTreeSet<FileId>,
    before: &Mark,
    line: Arc<Line>,
    found: u64,
    asked: &[(u64, u64)],
) -> Vec<Mark> {
    let mut marks = vec![Mark { ops: 0, ..before.clone() }];
    let mut asked = asked.iter().peekable();
    let mut now = Mark { ops: 0, must: 0, may: found, shown: 0, line };
    let (mut published, mut durable, mut is_open) = (0, 0, false);
    for (index, op) in trace.ops().iter().enumerate() {
        while let Some((_, last)) = asked.next_if(|(ops, _)| *ops <= index as u64) {
            now.may = now.may.max(*last);
            marks.push(Mark { ops: index as u64, ..now.clone() });
        }
        let Op::StoreWord { file, index: word, value } = op else { continue };
        if !live.contains(file) {
            continue;
        }
        match *word {
            WORD_PUBLISHED => published = *value,
            WORD_DURABLE => durable = *value,
            // With its check a position is told to whoever follows.
            word if word == WORD_PUBLISHED + 1 => {
                is_open = true;
                now.shown = now.shown.max(published);
            }
            _ => continue,
        }
        if is_open {
            now.must = now.must.max(if mode == Mode::Synced { now.shown } else { durable });
            marks.push(Mark { ops: index as u64 + 1, ..now.clone() });
        }
    }
    marks
}
