//! Each measurement is a process of its own: a peer's threads, memory and crashes touch no other's. This file starts
//! such a process, waits for it, and reads the one line it tells; and it is the entry of that process.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::peer::{About, Durability, Failure, Outcome, Peer};
use crate::{peers, work};

/// What a process was asked: work, peer, directory and what else it needs to know.
pub(crate) struct Job {
    pub(crate) about: &'static About,
    pub(crate) directory: PathBuf,
    wants: BTreeMap<String, String>,
}

impl Job {
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.wants.get(name).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn seconds(&self) -> Duration {
        let seconds = self.wants.get("seconds").and_then(|text| text.parse().ok());
        Duration::try_from_secs_f64(seconds.unwrap_or(1.0)).unwrap_or_default()
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.wants.get(name).map(String::as_str)
    }

    pub(crate) fn durability(&self) -> Durability {
        if self.number("durable") == 1 { Durability::Durable } else { Durability::Written }
    }

    /// Opens the peer in the directory, as durable as the job says.
    pub(crate) fn open(&self) -> Outcome<Box<dyn Peer>> {
        let durability = self.durability();
        let setup = match durability {
            Durability::Written => self.about.written.or(self.about.durable),
            Durability::Durable => self.about.durable,
        };
        if setup.is_none() {
            return Err(Failure::Unsupported("it forces nothing to disk"));
        }
        std::fs::create_dir_all(&self.directory)?;
        (self.about.open)(&self.directory, durability)
    }
}

/// What a process told.
pub(crate) type Told = Map<String, Value>;

/// Makes a map of numbers.
pub(crate) fn told(numbers: &[(&str, f64)]) -> Told {
    numbers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
}

/// The line by which a process that shares its output with a peer's own chatter is understood.
const MARK: &str = "told: ";

/// `peers child WORK PEER DIRECTORY NAME=VALUE..`
pub(crate) fn main(arguments: &[String]) -> i32 {
    let [name, peer, directory, rest @ ..] = arguments else { return 2 };
    let Some(about) = peers::find(peer) else { return 2 };
    let wants =
        rest.iter().filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let job = Job { about, directory: PathBuf::from(directory), wants };
    let answer = match work::child(name, &job) {
        Ok(told) => told,
        Err(Failure::Unsupported(why)) => Map::from_iter([("unsupported".to_owned(), json!(why))]),
        Err(failure) => Map::from_iter([("failed".to_owned(), json!(failure.text()))]),
    };
    println!("\n{MARK}{}", Value::Object(answer));
    0
}

/// Starts such a process.
pub(crate) fn start(name: &str, peer: &str, directory: &Path, wants: &[String]) -> Result<Child, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.arg("child").args([name, peer]).arg(directory).args(wants);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().map_err(|error| error.to_string())
}

/// Runs such a process to its end. What it told, or why it told nothing.
pub(crate) fn run(
    name: &str,
    peer: &str,
    directory: &Path,
    wants: &[String],
    timeout: Duration,
) -> Result<Told, Failure> {
    let mut child = start(name, peer, directory, wants).map_err(Failure::Failed)?;
    let output = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut output) = output {
            let _ = output.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() > timeout => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Failure::Failed(format!("not done after {} s", timeout.as_secs())));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => return Err(Failure::Failed(error.to_string())),
        }
    };
    let text = reader.join().unwrap_or_default();
    let line = text.lines().rev().find_map(|line| line.strip_prefix(MARK));
    let Some(Ok(Value::Object(told))) = line.map(serde_json::from_str) else {
        return Err(Failure::Failed(format!("its process ended with {status}")));
    };
    if told.contains_key("unsupported") {
        // The text came from the constants of this program; the child cannot hand over a reference.
        let why = told.get("unsupported").and_then(Value::as_str).unwrap_or_default();
        return Err(Failure::Unsupported(String::leak(why.to_owned())));
    }
    match told.get("failed").and_then(Value::as_str) {
        Some(why) => Err(Failure::Failed(why.to_owned())),
        None => Ok(told),
    }
}
