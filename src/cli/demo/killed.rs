//! A writer that is killed in the middle of appending: another process of this same program.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use annals::{Durability, Position, Query, Store};

use super::{Set, Stage};
use crate::cli::fail::{Code, Done, Failure, shell_word};
use crate::cli::open;
use crate::cli::out::Out;
use crate::cli::text;

const SUBJECT: &str = "clock/demo";
const TYPE: &str = "clock.ticked";
/// Acknowledgements after which the writer is killed, or the time after which it is, if the disk is slow.
const ACKNOWLEDGED_MIN: u64 = 200;
const PATIENCE: Duration = Duration::from_secs(1);

/// Append until killed (a scene of `annals demo`)
#[derive(Debug, clap::Args)]
pub(crate) struct WriterArgs {
    /// The store's directory
    store: PathBuf,
}

/// Appends one event after the other and prints the position of each when it is acknowledged.
pub(crate) fn write_for_ever(args: &WriterArgs, out: &mut Out) -> Done {
    let store = open::writing(&args.store, Durability::Synced)?;
    for tick in 1_u64.. {
        let event = annals::NewEvent::json(TYPE, SUBJECT, &serde_json::json!({ "tick": tick }))
            .map_err(|error| Failure::of_store(&error, &args.store))?
            .actor(annals::Actor::system("demo"));
        let done = store.append([event]).map_err(|error| Failure::of_append(error, &args.store))?;
        out.line(done.last)?;
        out.flush()?;
    }
    Ok(())
}

/// The child, which does not outlive its parent's interest in it.
struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        // Both fail only for a child that has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Plays the scene; gives how many events were acknowledged and how many of the writer's are there.
pub(super) fn scene(set: &Set, stage: &mut Stage<'_>) -> Done<(u64, u64)> {
    stage.title("Kill a writer in the middle of appending")?;
    let store = shell_word(&set.store);
    stage.command(&format!("while annals append {store} --type {TYPE} --subject {SUBJECT}; do :; done"))?;
    let before = open::reading(&set.store)?.reader().tail();
    let (count, last) = kill_in_the_middle(set, before)?;
    stage.line(format_args!(
        "A process did so and was killed (SIGKILL) after {} were acknowledged. On opening again:",
        text::counted(count, "event")
    ))?;

    let opened = open::writing(&set.store, Durability::Synced)?;
    let recovery = opened.recovery().to_string();
    let present = present(&opened, before, set)?;
    stage.line(format_args!("recovery: {}", text::clean(&recovery)))?;
    let tail = opened.reader().tail();
    open::close(&opened, &set.store)?;
    if tail < last {
        return Err(Failure::new(
            Code::Corruption,
            format!("position {last} was acknowledged and the log ends at {tail}, {}", set.store.display()),
        ));
    }
    let verdict = stage.out.paint.green("nothing that was acknowledged is lost");
    stage.line(format_args!("acknowledged {}, present {}: {verdict}", text::count(count), text::count(present)))?;
    Ok((count, present))
}

/// Runs the writer until it has acknowledged enough, kills it, and gives how many positions it had told and the last.
fn kill_in_the_middle(set: &Set, before: Position) -> Done<(u64, Position)> {
    let failed = |error: &std::io::Error| Failure::io("run a second annals", error);
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let mut child = Command::new(program)
        .arg("demo-writer")
        .arg(&set.store)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(&error))?;
    let told = child.stdout.take();
    let mut writer = Writer(child);
    let Some(told) = told else { return Err(Failure::new(Code::Failure, "a second annals has no output")) };
    let mut told = BufReader::new(told);
    let mut line = String::new();
    let (mut count, mut last) = (0, before);
    let mut killed = false;
    let began = Instant::now();
    loop {
        line.clear();
        // After the kill, what it had told before is still in the pipe; a line that was cut off is no word.
        if told.read_line(&mut line).map_err(|error| failed(&error))? == 0 || !line.ends_with('\n') {
            break;
        }
        if let Ok(position) = line.trim().parse() {
            count += 1;
            last = position;
        }
        if !killed && (count >= ACKNOWLEDGED_MIN || began.elapsed() > PATIENCE) {
            writer.0.kill().map_err(|error| failed(&error))?;
            killed = true;
        }
    }
    drop(writer);
    if count == 0 {
        return Err(Failure::new(Code::Failure, format!("a second annals could not append, {}", set.store.display())));
    }
    Ok((count, last))
}

/// The writer's events that are in the log.
fn present(store: &Store, before: Position, set: &Set) -> Done<u64> {
    let query = Query::all().subject(SUBJECT).after(before);
    store.reader().count(&query).map_err(|error| Failure::of_store(&error, &set.store))
}
