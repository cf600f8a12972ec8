//! How the golden store of the present version is made: everything that the format can hold, in a
//! few kilobytes, through the public interface alone, on a simulated disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use annals::io::{File, Mode, Storage};
use annals::sim::{ManualClock, SimStorage};
use annals::{Actor, Append, Durability, ImportCause, ImportEvent, ImportOptions, NewEvent, Store, Timestamp};

use crate::reader::{Found, Log};

pub(crate) const KEY: &str = "edit-17";
pub(crate) const DURABILITIES: [Durability; 2] =
    [Durability::Written { sync_every: Duration::from_millis(50) }, Durability::Synced];
/// Rows of the indexes that lie beside the segments.
pub(crate) const INDEX_ROWS: u64 = 31;
pub(crate) const SECOND: i64 = 1_000_000_000;
pub(crate) const BEGIN: &str = "2026-01-02T03:04:05Z";

type Check = (&'static str, fn(&Log) -> bool);

fn any(log: &Log, what: impl Fn(&Found) -> bool) -> bool {
    log.events.iter().any(what)
}

/// What a golden store is there to hold.
pub(crate) const SHOULD_HOLD: &[Check] = &[
    ("a key", |log| any(log, |event| event.key.is_some())),
    ("a cause", |log| any(log, |event| event.causation.is_some())),
    ("a cause in its batch", |log| any(log, |event| event.cause_in_batch)),
    ("tags", |log| any(log, |event| event.tags.len() == 3)),
    ("metadata", |log| any(log, |event| event.meta.len() == 2)),
    ("an id", |log| any(log, |event| !event.id.is_empty())),
    ("no id", |log| any(log, |event| event.id.is_empty())),
    ("no actor", |log| any(log, |event| event.actor_kind == 0)),
    ("an actor of each kind", |log| (1..=5).all(|kind| any(log, |event| event.actor_kind == kind))),
    ("on_behalf_of", |log| any(log, |event| !event.on_behalf_of.is_empty())),
    ("a content type of each code", |log| {
        [0, 1, 2, 3, 255].iter().all(|code| any(log, |event| event.content == *code))
    }),
    ("an import", |log| any(log, |event| event.imported)),
    ("kept times", |log| any(log, |event| event.kept_time)),
    ("a wall clock", |log| any(log, |event| event.wall.is_some())),
    ("a clock suspect", |log| any(log, |event| event.clock_suspect)),
    ("no data", |log| any(log, |event| event.data.is_empty())),
    ("occurred_at", |log| any(log, |event| event.occurred_at.is_some())),
    ("text beyond ASCII", |log| any(log, |event| !event.subject.is_ascii())),
    ("epoch 2", |log| any(log, |event| event.epoch == 2)),
    ("a segment that was cut", |log| log.states.contains(&4)),
    ("a segment that was rolled", |log| log.states.contains(&2)),
    ("a segment that was closed", |log| log.states.contains(&3)),
];

/// The batch that was appended under [`KEY`].
pub(crate) fn keyed() -> [NewEvent; 2] {
    [
        NewEvent::bytes("note.edited", "note/n-1", "text/plain", "B")
            .actor(Actor::agent("scribe").on_behalf_of("alice")),
        NewEvent::bytes("note.linked", "note/n-2", "application/vnd.example+json", r#"{"to":"n-1"}"#)
            .caused_by_batch(0),
    ]
}

fn open(disk: &Arc<SimStorage>, clock: &Arc<ManualClock>, durability: Durability) -> Store {
    open_with(disk, clock, durability, 64 << 10)
}

pub(crate) fn open_with(
    disk: &Arc<SimStorage>,
    clock: &Arc<ManualClock>,
    durability: Durability,
    segment_bytes: u64,
) -> Store {
    let disk: Arc<SimStorage> = Arc::clone(disk);
    let clock: Arc<ManualClock> = Arc::clone(clock);
    let options = Store::options().durability(durability).segment_bytes(segment_bytes).background(false).clock(clock);
    options.open_on(disk, Path::new("sim")).unwrap()
}

/// A history from elsewhere, with its own times.
pub(crate) fn history() -> Vec<ImportEvent> {
    let time = |n: i64| Timestamp::from_nanos(1_420_070_400 * SECOND + n * 60 * SECOND);
    let event = |n: i64| {
        let event = NewEvent::json(
            "page.edited",
            format!("page/Grüße/{}", n % 3),
            &serde_json::json!({"n": n, "text": "x".repeat(n as usize)}),
        );
        ImportEvent::from(
            event.unwrap().id(format!("old-{n}")).actor(Actor::external("wiki")).source("wiki").occurred_at(time(n)),
        )
        .with_recorded_at(Timestamp::from_nanos(time(n).as_nanos() + 1))
        .with_sequence(n as u64 + 1)
    };
    (0..12)
        .map(|n| if n > 3 { event(n).with_cause(ImportCause::Sequence((n as u64 - 3).into())) } else { event(n) })
        .collect()
}

pub(crate) fn make() -> Arc<SimStorage> {
    let begin = Timestamp::parse(BEGIN).unwrap();
    let clock = Arc::new(ManualClock::new(begin.as_nanos()));
    let disk = SimStorage::new();

    // A `Written` segment: a history that keeps its times, then everything an event can have.
    let store = open(&disk, &clock, DURABILITIES[0]);
    store.import(history(), ImportOptions::new().keep_recorded(true).batch(5)).unwrap();
    let actors = [
        Actor::user("alice"),
        Actor::agent("scribe").on_behalf_of("alice"),
        Actor::external("billing"),
        Actor::system("scheduler"),
        Actor::unknown("somebody"),
    ];
    for (n, actor) in (1i64..).zip(actors) {
        clock.advance(SECOND);
        let event = NewEvent::json("note.created", format!("note/n-{n}"), &serde_json::json!({"content": n})).unwrap();
        store.append([event.actor(actor).tag("workspace:7").tag(format!("n:{n}")).tag("ünïcode")]).unwrap();
    }
    clock.advance(SECOND);
    store.append([NewEvent::bytes("note.touched", "note/n-1", "", *b"")]).unwrap();
    store
        .append([NewEvent::bytes(
            "note.attached",
            "note/n-1",
            "application/octet-stream",
            (0..=255).collect::<Vec<u8>>(),
        )
        .id("evt-1")
        .source("web-app")
        .correlation("req-1")
        .caused_by(13)
        .occurred_at(begin)
        .meta("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .meta("note", "zwölf")])
        .unwrap();
    store.append_with(Append::new(keyed()).key(KEY)).unwrap();
    // The clock is set back, then far ahead: the wall clock is kept, and in the end not believed.
    clock.set_wall(begin.as_nanos() - 3600 * SECOND);
    store.append([NewEvent::bytes("clock.back", "clock/1", "text/plain", "back")]).unwrap();
    clock.set_wall(begin.as_nanos() + 10 * 365 * 86_400 * SECOND);
    store.append([NewEvent::bytes("clock.ahead", "clock/1", "text/plain", "ahead")]).unwrap();
    clock.set_wall(begin.as_nanos() + 60 * SECOND);
    let batch = (0..6).map(|n| NewEvent::bytes("batch.event", format!("batch/{}", n % 2), "", vec![b'b'; n]));
    store.append(batch).unwrap();
    store.close().unwrap();

    // Another mode begins another segment. Its last frame is torn: a sector of it is lost.
    let store = open(&disk, &clock, DURABILITIES[1]);
    clock.advance(SECOND);
    store.append([NewEvent::bytes("note.edited", "note/n-3", "text/plain", "C")]).unwrap();
    store
        .append([NewEvent::bytes("note.deleted", "note/n-4", "text/plain", *b"").actor(Actor::user("alice"))])
        .unwrap();
    clock.advance(SECOND);
    let torn = store.append([NewEvent::bytes("note.lost", "note/n-5", "text/plain", vec![b'l'; 2000])]).unwrap();
    let disk = disk.snapshot();
    disk.reseed(0xc3a6_f5f3_1375_12c6); // However many operations it took to come here.
    tear(&*disk, &format!("log/{:020}.raw", torn.first.get() - 2));

    // It is cut, and a segment of the next epoch begins.
    let store = open(&disk, &clock, DURABILITIES[1]);
    assert_eq!(store.recovery().cut.as_ref().map(|cut| cut.position), Some(torn.first));
    clock.advance(SECOND);
    store
        .append([NewEvent::bytes("note.edited", "note/n-5", "text/plain", "D").caused_by(torn.first.get() - 1)])
        .unwrap();
    store.close().unwrap();
    disk
}

/// Zeros a sector of the last frame.
fn tear(disk: &dyn Storage, path: &str) {
    let file = disk.open(Path::new(path), Mode::Write).unwrap();
    let mut bytes = read(&*file);
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let sector = end / 512 * 512 - 512;
    bytes[sector..sector + 512].fill(0);
    file.write_all_at(&mut [std::io::IoSlice::new(&bytes[sector..sector + 512])], sector as u64).unwrap();
}

fn read(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0; file.len().unwrap() as usize];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}

/// Copies what the disk holds into a directory.
pub(crate) fn write_out(disk: &dyn Storage, to: &Path) {
    write_directory(disk, Path::new(""), to);
}

fn write_directory(disk: &dyn Storage, directory: &Path, to: &Path) {
    fs::create_dir_all(to.join(directory)).unwrap();
    for entry in disk.list(directory).unwrap() {
        let path = directory.join(&entry.name);
        if entry.is_dir {
            write_directory(disk, &path, to);
        } else {
            fs::write(to.join(&path), read(&*disk.open(&path, Mode::Read).unwrap())).unwrap();
        }
    }
}

/// All files below a directory, in order of their paths.
pub(crate) fn all_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(all_files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}
