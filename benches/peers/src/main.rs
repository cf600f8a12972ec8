//! `peers`: the same work on annals and on what a user would take instead, in one run.

mod args;
mod charts;
mod child;
mod event;
mod figures;
mod machine;
mod page;
mod peer;
mod peers;
mod process;
mod svg;
mod table;
mod told;
mod work;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use args::Args;
use figures::{Part, Results};
use peer::About;

const EVENTS: u64 = 1_000_000;
const LONG_EVENTS: u64 = 5_000_000;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "child") {
        return ExitCode::from(child::main(words.get(1..).unwrap_or_default()) as u8);
    }
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<(), String> {
    let args = Args::parse(words)?;
    if args.help {
        print!("{}", args::HELP);
        return Ok(());
    }
    let chosen = chosen(&args)?;
    if args.list {
        for about in chosen {
            println!("{:16} {}", about.name, version(about));
        }
        return Ok(());
    }
    let results = match &args.from {
        Some(path) => Results::from_json(&read(path)?)?,
        None => measure(&args, chosen, words)?,
    };
    print!("{}", table::draw(&results));
    if let Some(path) = &args.json {
        write(path, &results.to_json()?)?;
    }
    let charts = match &args.charts {
        Some(directory) => charts::draw(&results, directory)?,
        None => Vec::new(),
    };
    if let Some(path) = &args.markdown {
        write(path, &page::write(&results, &charts))?;
    }
    Ok(())
}

fn chosen(args: &Args) -> Result<Vec<&'static About>, String> {
    if args.peers.is_empty() {
        return Ok(peers::ALL.iter().collect());
    }
    if let Some(unknown) = args.peers.iter().find(|name| peers::find(name).is_none()) {
        return Err(format!("{unknown} is not built in; --list names those that are"));
    }
    Ok(peers::ALL.iter().filter(|about| args.peers.iter().any(|name| name == about.name)).collect())
}

/// Its version, with the name of its package where that is another.
fn version(about: &About) -> String {
    let version = peers::version(about.package).unwrap_or("");
    if about.package == about.name {
        version.to_owned()
    } else {
        format!("{} {version}", about.package).trim().to_owned()
    }
}

fn measure(args: &Args, chosen: Vec<&'static About>, words: &[String]) -> Result<Results, String> {
    if let Some(unknown) = args.only.iter().find(|name| work::ALL.iter().all(|(known, _)| known != name)) {
        return Err(format!("there is no work {unknown}; see --help"));
    }
    let base = args.directory.clone().unwrap_or_else(|| PathBuf::from("target/peers"));
    fs::create_dir_all(&base).map_err(|error| format!("{}: {error}", base.display()))?;
    // Removed with all that is in it when the run ends, however it ends but by a signal.
    let directory = tempfile::tempdir_in(&base).map_err(|error| error.to_string())?;
    let mut machine = machine::describe(directory.path());
    machine.command = format!("scripts/peers {}", what(words)).trim().to_owned();
    machine.events = args.events.unwrap_or(EVENTS);
    machine.rounds = args.rounds.unwrap_or(if args.long { 5 } else { 3 }).max(1);
    machine.seconds = args.seconds.unwrap_or(if args.long { 3.0 } else { 0.3 });
    eprintln!("{}, {} cores, {}, load {}", machine.cpu, machine.cores, machine.file_system, machine.load);
    let mut run = work::Run {
        peers: chosen,
        rounds: machine.rounds,
        seconds: machine.seconds,
        events: machine.events,
        long: args.long,
        directory: directory.path().to_owned(),
        logs: std::env::var_os("ANNALS_TEST_DATA").map(PathBuf::from),
        figures: Vec::new(),
        absent: Vec::new(),
    };
    let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|only| only == name);
    for (name, work) in work::ALL {
        if wanted(name) {
            work(&mut run);
            // What was measured stays measured if a later work is cut off.
            if let Some(path) = &args.json {
                write(path, &results(&machine, &run).to_json()?)?;
            }
        }
    }
    if args.long && args.events.is_none() {
        again_with_more(&mut run, &wanted);
    }
    machine.absent = run.absent.clone();
    let left_out = peers::left_out();
    if !left_out.is_empty() && args.peers.is_empty() {
        machine.absent.push(format!("peers that this build is without: {}", left_out.join(", ")));
    }
    Ok(results(&machine, &run))
}

fn results(machine: &figures::Machine, run: &work::Run) -> Results {
    let part = |about: &&'static About| Part {
        name: about.name.to_owned(),
        version: version(about),
        written: about.written.map(str::to_owned),
        durable: about.durable.map(str::to_owned),
        checks: about.checks.to_owned(),
        layout: about.layout.to_owned(),
        indexed: about.indexed,
    };
    let peers = run.peers.iter().map(part).collect();
    Results { machine: machine.clone(), peers, figures: run.figures.clone() }
}

/// The words of the command that say what is measured, without those that say where the results go.
fn what(words: &[String]) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if ["--json", "--charts", "--markdown", "--directory"].contains(&word.as_str()) {
            words.next();
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

/// What depends on how much there is, with five times as much; its works are told apart by their names.
fn again_with_more(run: &mut work::Run, wanted: &dyn Fn(&str) -> bool) {
    let _ = fs::remove_dir_all(run.directory.join("filled"));
    run.events = LONG_EVENTS;
    let before = run.figures.len();
    for (name, work) in work::ALL {
        if wanted(name) && ["fill", "read", "open"].contains(name) {
            work(run);
        }
    }
    for figure in run.figures.get_mut(before..).unwrap_or_default() {
        figure.work.push_str(", 5 million");
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    }
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
