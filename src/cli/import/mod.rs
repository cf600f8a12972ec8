//! `annals import`: JSON lines into a store.
//!
//! The file is opened before the store is created, so that a wrong path leaves nothing behind. One thread reads and
//! parses, this one appends; so an import is as fast as the slower of the two, and Ctrl-C is heard while a pipe is
//! silent. What came before a bad line, or before Ctrl-C, is kept and synced.

mod feed;
mod rejects;

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use annals::{Durability, ImportOptions, ImportReport, limits};
use clap::ValueEnum;
use indicatif::ProgressBar;
use serde::Serialize;

use super::args::StoreArg;
use super::fail::{Code, Done, Failure, note, shell_word, warn};
use super::lines::{self, Counter};
use super::out::{Format, Out};
use super::{interrupt, open, progress, text};
use feed::Feed;
use rejects::Rejects;

/// Import JSON lines (CloudEvents or the plain envelope), plain or .zst
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// The file of events, or - for standard input
    #[arg(value_name = "FILE|-", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Events of one append, 1 to 65,535
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=limits::BATCH_EVENTS_MAX as i64))]
    batch: u32,
    /// When an append is acknowledged: synced survives power loss, written is synced a moment later; the end is synced in both
    #[arg(long, value_enum, value_name = "written|synced", hide_possible_values = true, default_value_t = Mode::Synced)]
    durability: Mode,
    /// Keep the times of recording, into an empty store or one that holds the beginning of this input
    #[arg(long)]
    keep_recorded: bool,
    /// Go on after a bad line; rejects are written to FILE.rejects.jsonl in this directory
    #[arg(long)]
    keep_going: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    Written,
    Synced,
}

impl From<Mode> for Durability {
    fn from(mode: Mode) -> Durability {
        match mode {
            Mode::Synced => Durability::Synced,
            Mode::Written => Durability::Written { sync_every: open::SYNC_EVERY },
        }
    }
}

/// The answer to `--format json`.
#[derive(Serialize)]
struct Answer {
    read: u64,
    appended: u64,
    skipped: u64,
    rejected: u64,
    outside_causes: u64,
    large: u64,
    without_force: u64,
    tail: u64,
    bytes: u64,
    seconds: f64,
    interrupted: bool,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let input = lines::open(&args.file)?;
    interrupt::listen();
    let store = open::writing(&path, args.durability.into())?;
    let began = Instant::now();

    let bar = Bar::new(&input.counter, input.total_bytes);
    let rejects = args.keep_going.then(|| Rejects::beside(&args.file));
    let feed = RefCell::new(Feed::start(input.lines, rejects));
    let events = std::iter::from_fn(|| feed.borrow_mut().next());
    let options = ImportOptions::new()
        .batch(args.batch as usize)
        .keep_recorded(args.keep_recorded)
        .on_group(|so_far| {
            bar.show(so_far, began.elapsed());
            if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        // Where the refusal is the end, the feed ends; so there is a report of what came before in any case.
        .on_reject(|_, error| {
            feed.borrow_mut().reject_last(error.to_string());
            ControlFlow::Continue(())
        });
    let imported = store.import(events, options);
    bar.clear();
    let feed = feed.into_inner();
    let report = match imported {
        Ok(report) => report,
        Err(error) => {
            // What was committed stays. Where closing fails too, it is for the reason that is told.
            let _ = store.close();
            return Err(Failure::of_store(&error, &path));
        }
    };
    store.sync().map_err(|error| Failure::of_store(&error, &path))?;
    let answer = Answer {
        read: report.read,
        appended: report.appended,
        skipped: report.skipped,
        rejected: feed.rejected(),
        outside_causes: report.outside_causes,
        large: report.large,
        without_force: report.without_force,
        tail: report.tail.get(),
        bytes: feed.bytes(),
        seconds: began.elapsed().as_secs_f64(),
        interrupted: interrupt::asked() || report.interrupted,
    };
    let log_bytes = store.stats().log_bytes;
    open::close(&store, &path)?;
    remark(&answer);
    match format {
        Format::Table => summary(&answer, log_bytes, out)?,
        _ => out.json(&answer, format)?,
    }
    outcome(args, &answer, &feed, &path)
}

/// What is worth knowing, once for the whole import.
fn remark(answer: &Answer) {
    if answer.large > 0 {
        warn(format_args!(
            "{} with more than {} of data: events are small facts; keep documents beside the log",
            text::counted(answer.large, "event"),
            text::bytes(limits::DATA_BYTES_WARN as u64)
        ));
    }
    if answer.outside_causes > 0 {
        note(format_args!(
            "{} caused by something outside this input; what it was is kept as metadata `causationid`",
            text::counted(answer.outside_causes, "event")
        ));
    }
    if answer.without_force > 0 {
        note(format_args!(
            "{} decided, granted or asked for something elsewhere; here that is history without force",
            text::counted(answer.without_force, "event")
        ));
    }
}

fn summary(answer: &Answer, log_bytes: u64, out: &mut Out) -> Done {
    let took = Duration::from_secs_f64(answer.seconds);
    let verb = out.paint.green("imported");
    let mut line = format!("{verb} {} in {}", text::counted(answer.appended, "event"), text::span(took));
    if answer.appended > 0 {
        line.push_str(&format!(" ({} a second)", text::count(text::per_second(answer.appended, took))));
    }
    if answer.skipped > 0 {
        line.push_str(&format!(", skipped {} that were there", text::count(answer.skipped)));
    }
    out.line(line)?;
    out.line(format_args!(
        "{} of JSON lines; the log holds {} in {}, synced",
        text::bytes(answer.bytes),
        text::counted(answer.tail, "event"),
        text::bytes(log_bytes)
    ))
}

/// Success, or what stands in its way: Ctrl-C, a bad line, rejects.
fn outcome(args: &Args, answer: &Answer, feed: &Feed, path: &Path) -> Done {
    let again = format!("`annals import {} {}` goes on from there", shell_word(path), shell_word(&args.file));
    if answer.interrupted {
        return Err(Failure::new(
            Code::Interrupted,
            format!("interrupted at position {}, {}", answer.tail, path.display()),
        )
        .hinting(format!("what was read before is in the store and synced; {again}")));
    }
    if let Some((line, reason)) = feed.stopped_at() {
        return Err(Failure::new(Code::Failure, format!("line {line}: {reason}, {}", args.file.display()))
            .hinting("what came before it is in the store; repair the line and import again, or use --keep-going"));
    }
    match feed.rejects_file() {
        Some(file) if answer.rejected > 0 => Err(Failure::new(
            Code::Failure,
            format!("{} rejected, {}", text::counted(answer.rejected, "line"), file.display()),
        )
        .hinting("all others are in the store; each reject stands there with its line and its reason")),
        _ => Ok(()),
    }
}

/// A bar over the bytes of a file, or a count of what a pipe has brought.
struct Bar {
    bar: ProgressBar,
    counter: Counter,
}

impl Bar {
    fn new(counter: &Counter, total: Option<u64>) -> Bar {
        let bar = total.map_or_else(|| progress::endless("importing"), |total| progress::bytes("importing", total));
        Bar { bar, counter: counter.clone() }
    }

    fn show(&self, report: &ImportReport, elapsed: Duration) {
        self.bar.set_position(self.counter.bytes());
        self.bar.set_message(format!(
            "{} ({} a second)",
            text::counted(report.read, "event"),
            text::count(text::per_second(report.read, elapsed))
        ));
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
