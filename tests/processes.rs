//! Several processes on one store, on the real disk: who may write, who follows whom, what a `kill -9` at any moment
//! leaves, and what a reader meets whose file is cut short under it.
//!
//! Events tell by themselves what they have to be: everything in an event follows from its position and from the
//! bounds of its batch, which its data name. So every prefix can be checked without a record of what was asked for.
//!
//! The children are this very test binary, see [`the_other_process`]. `ANNALS_TEST_KILLS=1000` makes the loop of
//! kills a long one.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use annals::{Append, Durability, ErrorKind, EventRef, NewEvent, Options, Query, StartAt, Store};

const ROLE: &str = "ANNALS_TEST_ROLE";
const STORE: &str = "ANNALS_TEST_STORE";
const SEED: &str = "ANNALS_TEST_SEED";
const WRITTEN: &str = "ANNALS_TEST_WRITTEN";

/// SplitMix64, so that sizes are the same every time; only the moments of kills are not.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn subject(position: u64) -> String {
    format!("s/{}", position % 13)
}

fn version(position: u64) -> u64 {
    // The first event of subject 0 is at position 13.
    if position.is_multiple_of(13) { position / 13 } else { position / 13 + 1 }
}

fn filling(position: u64) -> Vec<u8> {
    let len = Dice(position).below(900) * u64::from(!position.is_multiple_of(3));
    (0..len).map(|at| (position + at) as u8).collect()
}

/// The batch from `first` to `last`; `sent` is a time in ns for whoever measures.
fn batch(first: u64, last: u64) -> Append {
    Append::new((first..=last).map(|position| {
        let sent = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
        let mut data = format!("{position} {first} {last} {sent}\n").into_bytes();
        data.extend(filling(position));
        NewEvent::bytes("written", subject(position), "", data).tag(format!("t-{}", position % 5))
    }))
}

/// What an event says about its batch.
struct Told {
    last: u64,
    sent: u128,
}

/// Checks everything in an event against its position.
fn check(event: &EventRef<'_>, position: u64) -> Told {
    assert_eq!(event.position().get(), position, "a gap");
    let line_end = event.data().iter().position(|byte| *byte == b'\n').unwrap();
    let (line, rest) = event.data().split_at(line_end);
    let numbers: Vec<u128> =
        std::str::from_utf8(line).unwrap().split(' ').map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers[0], u128::from(position), "an event in the wrong place");
    assert!((numbers[1]..=numbers[2]).contains(&numbers[0]));
    assert!(rest[1..] == filling(position), "other bytes at {position}");
    assert_eq!((event.subject(), event.version()), (subject(position).as_str(), version(position)));
    assert_eq!(event.tags().collect::<Vec<_>>(), [format!("t-{}", position % 5)]);
    Told { last: numbers[2] as u64, sent: numbers[3] }
}

/// Checks every event of a store and that the last batch is whole; their number.
fn check_all(store: &Store) -> u64 {
    let (mut count, mut last) = (0, 0);
    let reader = store.reader();
    reader
        .scan(&Query::all(), |event| {
            count += 1;
            last = check(&event, count).last;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!((count, count), (last, reader.tail().get()), "the last batch is there in part");
    count
}

fn options(written: bool) -> Options {
    let durability = Durability::Written { sync_every: Duration::from_millis(5) };
    let durability = if written { durability } else { Durability::Synced };
    Store::options().durability(durability).segment_bytes(64 << 10)
}

fn read_only(path: &Path) -> annals::Result<Store> {
    Store::options().read_only(true).open(path)
}

/// Another process, its lines as they come, and its standard input, which ends with it.
struct Other {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Other {
    fn start(role: &str, path: &Path, written: bool, seed: u64) -> Other {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["the_other_process", "--exact", "--ignored", "--nocapture"])
            .env(ROLE, role)
            .env(STORE, path)
            .env(WRITTEN, if written { "1" } else { "" })
            .env(SEED, seed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let input = child.stdin.take();
        Other { child, input, lines }
    }

    /// What follows this word on the next line that begins with it.
    fn hear(&mut self, word: &str) -> String {
        loop {
            match self.lines.recv_timeout(Duration::from_secs(60)) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(word) {
                        return rest.trim().to_owned();
                    }
                }
                Err(_) => panic!("never heard {word:?}; it said: {}", self.complaint()),
            }
        }
    }

    /// Whatever it said and nobody heard yet, until it ends.
    fn rest(&self) -> Vec<String> {
        self.lines.iter().collect()
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    fn complaint(&mut self) -> String {
        let _ = self.child.kill();
        let mut text = String::new();
        let _ = self.child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut text));
        text
    }

    fn end(&mut self) -> ExitStatus {
        self.input = None;
        self.child.wait().unwrap()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: what [`Other::start`] starts.
#[test]
#[ignore = "the child of the other tests"]
fn the_other_process() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let path = Path::new(&path);
    let written = !std::env::var(WRITTEN).unwrap().is_empty();
    let dice = Dice(std::env::var(SEED).unwrap().parse().unwrap());
    // The harness has begun a line.
    println!();
    match std::env::var(ROLE).unwrap().as_str() {
        "hold" => hold(path),
        "append" => append_for_ever(path, written, dice),
        "write slowly" => write_slowly(path, written, dice),
        "read twice" => read_twice(path),
        other => panic!("no role {other:?}"),
    }
}

fn wait_for_a_line() -> bool {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap() > 0
}

fn hold(path: &Path) {
    match Store::open(path) {
        Ok(_store) => {
            println!("HELD {}", std::process::id());
            wait_for_a_line();
        }
        Err(error) => println!("REFUSED {:?} {error}", error.kind()),
    }
}

#[test]
fn a_second_writer_is_refused_and_told_who_writes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let refused = |pid: &str| {
        let error = Store::open(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked, "{error:?}");
        let named = error.to_string().split(|c: char| !c.is_ascii_digit()).any(|number| number == pid);
        assert!(named, "{error} does not name process {pid}");
        assert!(error.hint().is_some());
    };
    // Another process holds it, until it ends in whatever way.
    for killed in [true, false] {
        let mut other = Other::start("hold", path, false, 0);
        let pid = other.hear("HELD");
        refused(&pid);
        refused(&pid);
        read_only(path).unwrap();
        if killed {
            other.child.kill().unwrap();
        }
        other.end();
        Store::open(path).unwrap().close().unwrap();
    }
    // This process holds it: neither it nor another one gets it twice, and an attempt takes nothing away.
    let store = Store::open(path).unwrap();
    let pid = std::process::id().to_string();
    for _ in 0..3 {
        refused(&pid);
        let mut other = Other::start("hold", path, false, 0);
        let said = other.hear("REFUSED");
        assert!(said.starts_with("Locked") && said.contains(&pid), "{said}");
        store.append([NewEvent::bytes("t", "n/n", "", "")]).unwrap();
    }
    store.close().unwrap();
    let mut other = Other::start("hold", path, false, 0);
    other.hear("HELD");
}

/// Appends 600 batches with pauses, then says so and waits.
fn write_slowly(path: &Path, written: bool, mut dice: Dice) {
    let store = options(written).open(path).unwrap();
    let mut tail = check_all(&store);
    println!("OPEN");
    for _ in 0..600 {
        let last = tail + 1 + dice.below(4);
        store.append_with(batch(tail + 1, last)).unwrap();
        tail = last;
        if dice.below(4) == 0 {
            std::thread::sleep(Duration::from_micros(dice.below(3_000)));
        }
    }
    println!("DONE {tail}");
    wait_for_a_line();
    println!("SEGMENTS {}", store.segments().len());
}

/// Follows a store from its first event until nothing comes any more. The number of events, and the delays in us of
/// those that were waited for.
fn follow(store: &Store, written: bool) -> (u64, Vec<u64>) {
    let mut subscription = store.subscribe(Query::all(), StartAt::Start);
    let (mut count, mut whole_to) = (0, 0);
    let mut delays = vec![];
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(60), "it has come to {count}");
        let caught_up = subscription.caught_up();
        let Some(events) = subscription.next_timeout(Duration::from_millis(300)).unwrap() else {
            // So long without an event: the writer is done.
            if count > 600 { break } else { continue }
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
        for event in events.iter() {
            count += 1;
            let told = check(&event, count);
            whole_to = told.last;
            if caught_up {
                delays.push(now.saturating_sub(told.sent) as u64 / 1_000);
            }
        }
        // A view made now has whole batches, and all that was given out.
        let reader = store.reader();
        assert!(reader.tail().get() >= count && reader.durable() <= reader.tail());
        if !written {
            assert_eq!(reader.durable(), reader.tail(), "what is shown can still be lost");
        }
        let last = reader.event(reader.tail()).unwrap().unwrap();
        assert_eq!(check(&last.as_ref(), reader.tail().get()).last, reader.tail().get(), "a batch in part");
    }
    assert_eq!(whole_to, count);
    assert_eq!(check_all(store), count);
    delays.sort_unstable();
    (count, delays)
}

fn follows(written: bool) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    options(written).open(path).unwrap().close().unwrap();
    // One that was there before the writer, one that comes when it is there, one that comes in the middle.
    let early = read_only(path).unwrap();
    let mut writer = Other::start("write slowly", path, written, 7);
    writer.hear("OPEN");
    let late = || {
        while read_only(path).unwrap().reader().tail().get() < 500 {
            std::thread::sleep(Duration::from_millis(1));
        }
        read_only(path).unwrap()
    };
    let (tail, measured) = std::thread::scope(|scope| {
        let threads = [
            scope.spawn(|| follow(&early, written)),
            scope.spawn(|| follow(&read_only(path).unwrap(), written)),
            scope.spawn(|| follow(&late(), written)),
        ];
        let tail: u64 = writer.hear("DONE").parse().unwrap();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().unwrap();
        let followed: Vec<(u64, Vec<u64>)> = threads.into_iter().map(join).collect();
        assert!(followed.iter().all(|(count, _)| *count == tail));
        (tail, followed.into_iter().map(|(_, delays)| delays).collect::<Vec<_>>())
    });
    writer.say("end");
    let segments: u64 = writer.hear("SEGMENTS").parse().unwrap();
    assert!(segments > 5, "only {segments} segments: nothing is said about following over a roll");
    for delays in measured.iter().filter(|delays| !delays.is_empty()) {
        let at = |share: usize| delays[(delays.len() - 1) * share / 100];
        println!(
            "written {written}: {} of {tail} events followed live over {segments} segments; from before the append to \
             the subscriber of another process: median {} us, 99 % {} us, at most {} us",
            delays.len(),
            at(50),
            at(99),
            at(100)
        );
        // Milliseconds on an idle machine; the tests of others may run beside this one.
        assert!(at(50) < 500_000, "half of the events take longer than half a second");
    }
    assert!(measured.iter().any(|delays| delays.len() as u64 > tail / 4), "nobody followed live");
}

#[test]
fn readers_of_other_processes_follow_a_synced_store() {
    follows(false);
}

#[test]
fn readers_of_other_processes_follow_a_written_store() {
    follows(true);
}

/// Appends batches in every way there is and says each position that was acknowledged, until it is killed.
fn append_for_ever(path: &Path, written: bool, mut dice: Dice) {
    let store = options(written).open(path).unwrap();
    let mut tail = store.reader().tail().get();
    println!("OPEN {tail}");
    loop {
        let mut sizes = || if dice.below(20) == 0 { 1 + dice.below(30) } else { 1 + dice.below(5) };
        if dice_is_even(tail) {
            let last = tail + sizes();
            store.append_with(batch(tail + 1, last)).unwrap();
            tail = last;
            println!("ACK {tail}");
        } else {
            let tickets: Vec<_> = (0..sizes())
                .map(|_| {
                    let (first, last) = (tail + 1, tail + sizes());
                    tail = last;
                    store.submit(batch(first, last))
                })
                .collect();
            for ticket in tickets {
                println!("ACK {}", ticket.wait().unwrap().last);
            }
        }
    }
}

fn dice_is_even(tail: u64) -> bool {
    Dice(tail).below(2) == 0
}

#[test]
fn nothing_that_was_acknowledged_is_lost_by_kills() {
    let kills: u64 = std::env::var("ANNALS_TEST_KILLS").ok().map_or(50, |text| text.parse().unwrap());
    let mut dice = Dice(1);
    let (mut acknowledged, mut unheard, mut while_opening) = (0, 0, 0);
    let mut directory = tempfile::tempdir().unwrap();
    let mut known = 0;
    for cycle in 0..kills {
        if cycle % 25 == 0 {
            directory = tempfile::tempdir().unwrap();
            known = 0;
        }
        let path = directory.path();
        let written = cycle / 5 % 2 == 1;
        let mut other = Other::start("append", path, written, cycle);
        // Half of the time counts from the start, so that openings are hit too.
        if cycle % 2 == 0 {
            let opened: u64 = other.hear("OPEN").parse().unwrap();
            assert!(opened >= known, "cycle {cycle}: it opened at {opened}, {known} were there");
        }
        std::thread::sleep(Duration::from_micros(dice.below(if cycle % 2 == 0 { 60_000 } else { 30_000 })));
        other.child.kill().unwrap();
        let status = other.end();
        assert!(!status.success(), "it ended by itself");
        let heard = other.rest();
        assert_eq!(heard.iter().filter(|line| line.contains("panicked")).count(), 0, "{}", other.complaint());
        while_opening += u64::from(cycle % 2 == 1 && !heard.iter().any(|line| line.starts_with("OPEN")));
        // The last line may have been cut short by the kill; then it says a smaller number.
        let acks = heard.iter().filter_map(|line| line.strip_prefix("ACK ")?.parse::<u64>().ok());
        let told = acks.max().unwrap_or(known).max(known);
        // First as another process that only reads, then as the next writer.
        match read_only(path) {
            Ok(store) => assert!(check_all(&store) >= told, "cycle {cycle}: a reader misses acknowledged events"),
            // The very first opening may not have come so far that there is a store.
            Err(error) => assert!(told == 0 && error.kind() == ErrorKind::NotFound, "cycle {cycle}: {error:?}"),
        }
        let store = options(written).open(path).unwrap_or_else(|error| panic!("cycle {cycle}: {error:?}"));
        let found = check_all(&store);
        assert!(found >= told, "cycle {cycle}: {found} events, {told} were acknowledged; {}", store.recovery());
        if cycle % 3 == 0 {
            let verified = store.verify(|_| ControlFlow::Continue(())).unwrap();
            assert!(verified.damage.is_empty(), "cycle {cycle}: {:?}", verified.damage);
        }
        store.close().unwrap();
        acknowledged += told - known;
        unheard += found - told;
        known = found;
    }
    println!(
        "{kills} kills, {while_opening} of them before the store was open: {acknowledged} events acknowledged and \
         there, {unheard} there that nobody had heard of"
    );
    assert!(acknowledged > kills * 10, "too few appends for the test to mean anything");
}

/// Reads everything, as often as it is told to, and says what it saw: all, or so many right ones and an error.
fn read_twice(path: &Path) {
    let store = read_only(path).unwrap();
    let see = || {
        let mut count = 0;
        let scanned = store.reader().scan(&Query::all(), |event| {
            count += 1;
            check(&event, count);
            ControlFlow::Continue(())
        });
        match scanned {
            Ok(_) => println!("SAW {count}"),
            Err(error) => println!("SAW {count} {:?}", error.kind()),
        }
    };
    if !std::env::var(WRITTEN).unwrap().is_empty() {
        see();
    }
    println!("READY");
    while wait_for_a_line() {
        see();
        println!("READY");
    }
}

/// Nobody of ours truncates a file that others map; somebody else may. A file that was not mapped yet is an error. Of
/// one that is mapped the operating system takes the pages away, and whoever reads one of them dies of `SIGBUS`:
/// docs/guarantees.md says so. What must never be is a wrong event, or the end of the log.
#[test]
#[cfg(unix)]
fn a_file_cut_short_under_a_reader_is_an_error_or_the_end_of_that_process() {
    use std::os::unix::process::ExitStatusExt;
    let original = tempfile::tempdir().unwrap();
    let store = options(false).sealing(false).open(original.path()).unwrap();
    let mut tail = 0;
    while store.segments().len() < 4 {
        store.append_with(batch(tail + 1, tail + 3)).unwrap();
        tail += 3;
    }
    let segments = store.segments();
    store.close().unwrap();
    let (mut errors, mut deaths, mut unharmed) = (0, 0, 0);
    for (segment, is_mapped) in [(0, false), (0, true), (2, true)] {
        let segment = &segments[segment];
        let used = 12_288 + segment.used_bytes;
        for cut in [0, 100, 12_288, 12_289, used / 2, used / 2 / 4096 * 4096, used - 64, used - 1, used] {
            let directory = tempfile::tempdir().unwrap();
            copy(original.path(), directory.path());
            if !is_mapped {
                // With an index beside it a segment is mapped at opening, to hold the two against each other.
                std::fs::remove_file(directory.path().join(&segment.file).with_extension("idx")).unwrap();
            }
            let mut other = Other::start("read twice", directory.path(), is_mapped, 0);
            if is_mapped {
                assert_eq!(other.hear("SAW"), tail.to_string());
            }
            other.hear("READY");
            let file = std::fs::OpenOptions::new().write(true).open(directory.path().join(&segment.file)).unwrap();
            file.set_len(cut).unwrap();
            other.say("again");
            let status = other.end();
            let what = format!("{} cut to {cut} of {used}, mapped {is_mapped}", segment.file.display());
            let rest = other.rest();
            let said: Vec<&str> = rest.iter().filter_map(|line| line.strip_prefix("SAW ")).collect();
            match status.signal() {
                None => {
                    assert!(status.success(), "{what}: {}", other.complaint());
                    let (count, kind) = said[0].split_once(' ').unwrap_or((said[0], ""));
                    let count: u64 = count.parse().unwrap();
                    match kind {
                        "" => assert_eq!(count, tail, "{what}: events are missing in silence"),
                        "Corruption" => assert!(count < tail, "{what}"),
                        other => panic!("{what}: {other}"),
                    }
                    errors += u64::from(!kind.is_empty());
                    unharmed += u64::from(kind.is_empty());
                    // The rest of the last page reads as zeros in a mapping, which the padding of a frame is too.
                    assert!(is_mapped || cut == used || count < tail, "{what}: events that are nowhere");
                }
                // SIGBUS is 7 on Linux, 10 elsewhere.
                Some(7 | 10) => {
                    deaths += 1;
                    assert!(is_mapped, "{what}: it was mapped without a look at its length");
                }
                Some(signal) => panic!("{what}: signal {signal}"),
            }
            // Whoever comes next is told, and reads what is good.
            let next = read_only(directory.path()).unwrap();
            let (mut good, mut damaged) = (0, 0);
            next.reader().scan_good(&Query::all(), |_| count_one(&mut good), |_| damaged += 1).unwrap();
            assert!(cut == used || (good < tail && (damaged > 0 || !next.damage().is_empty())), "{what}");
        }
    }
    println!("{errors} errors, {deaths} deaths by SIGBUS, {unharmed} times nothing was missing");
    assert!(errors > 5 && unharmed >= 3);
}

#[cfg(unix)]
fn count_one(count: &mut u64) -> ControlFlow<()> {
    *count += 1;
    ControlFlow::Continue(())
}

#[cfg(unix)]
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
