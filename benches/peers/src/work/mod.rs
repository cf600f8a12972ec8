//! The kinds of work: one file each, with what the process does that measures and what the run asks of it.

mod append;
mod condition;
mod fanout;
mod fill;
mod open;
mod read;
mod safety;
mod size;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::child::{self, Job, Told};
use crate::figures::{Better, Figure};
use crate::peer::{About, Failure, Outcome};

/// A kind of work: its name, and what the run does for it.
pub(crate) type Work = (&'static str, fn(&mut Run));

/// The kinds, in the order of a run; each name is one for `--only`. Conditional appends come late, as they add to the
/// filled stores.
pub(crate) const ALL: &[Work] = &[
    ("append", append::run),
    ("durable", append::run_durable),
    ("fanout", fanout::run),
    ("fill", fill::run),
    ("read", read::run),
    ("open", open::run),
    ("safety", safety::run),
    ("condition", condition::run),
    ("size", size::run),
];

/// What the process of a measurement does.
pub(crate) fn child(name: &str, job: &Job) -> Outcome<Told> {
    match name {
        "append" => append::child(job),
        "fanout" => fanout::child(job),
        "fill" => fill::child(job),
        "read" => read::child(job),
        "open" => open::child(job),
        "condition" => condition::child(job),
        "acknowledge" => safety::acknowledge(job),
        "check" => safety::check(job),
        _ => Err(Failure::Failed(format!("there is no work {name}"))),
    }
}

/// A run: who takes part, how long, and what came of it.
pub(crate) struct Run {
    pub(crate) peers: Vec<&'static About>,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) events: u64,
    pub(crate) long: bool,
    pub(crate) directory: PathBuf,
    pub(crate) logs: Option<PathBuf>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) absent: Vec<String>,
}

/// One number of what a process tells: its name there, the case, its unit, which way is better.
pub(crate) type Case<'a> = (&'a str, &'a str, &'a str, Better);

/// What is to be measured in rounds.
pub(crate) struct Spec<'a> {
    /// The work that the figures belong to.
    pub(crate) work: &'a str,
    /// The process to start.
    pub(crate) child: &'a str,
    pub(crate) wants: Vec<String>,
    pub(crate) cases: &'a [Case<'a>],
    /// Whether it runs on the store that `fill` left, and not on a new one.
    pub(crate) filled: bool,
}

impl Run {
    /// Where `fill` leaves a peer's store.
    pub(crate) fn filled(&self, peer: &str) -> PathBuf {
        self.directory.join("filled").join(peer.replace(' ', "-"))
    }

    /// A new directory.
    pub(crate) fn fresh(&self) -> PathBuf {
        let path = self.directory.join("fresh");
        let _ = fs::remove_dir_all(&path);
        path
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(if self.long { 1_800 } else { 240 })
    }

    /// Those that append in a way of their own: what differs only in how it is packed later takes no part.
    pub(crate) fn appenders(&self) -> Vec<&'static About> {
        self.peers.iter().copied().filter(|about| about.name != "annals sealed").collect()
    }

    /// Fills a peer's store if `fill` did not.
    pub(crate) fn fill_if_absent(&self, about: &About) {
        let directory = self.filled(about.name);
        if !directory.exists() {
            // A failure shows in what is then measured on it.
            let _ = child::run(
                "fill",
                about.name,
                &directory,
                &[want("events", self.events), want("batch", 1_000)],
                self.timeout(),
            );
        }
    }

    /// Runs the rounds, each peer once in each, in an order that turns; who fails once is not asked again.
    pub(crate) fn measure(&mut self, peers: &[&'static About], spec: &Spec<'_>) {
        let mut found: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
        let mut failures: BTreeMap<&str, Failure> = BTreeMap::new();
        let mut notes: BTreeMap<(&str, &str), String> = BTreeMap::new();
        if spec.filled && spec.child != "fill" {
            peers.iter().for_each(|about| self.fill_if_absent(about));
        }
        for round in 0..self.rounds {
            for at in 0..peers.len() {
                let Some(about) = peers.get((at + round) % peers.len()) else { continue };
                if failures.contains_key(about.name) {
                    continue;
                }
                let directory = if spec.filled { self.filled(about.name) } else { self.fresh() };
                match child::run(spec.child, about.name, &directory, &spec.wants, self.timeout()) {
                    Ok(told) => {
                        for (key, ..) in spec.cases {
                            if let Some(value) = told.get(*key).and_then(Value::as_f64) {
                                found.entry((about.name, key)).or_default().push(value);
                            } else if let Some(why) = told.get(&format!("no {key}")).and_then(Value::as_str) {
                                notes.insert((about.name, key), why.to_owned());
                            }
                        }
                    }
                    Err(failure) => {
                        failures.insert(about.name, failure);
                    }
                }
                settle();
            }
        }
        for (key, case, unit, better) in spec.cases {
            for about in peers {
                let note = notes.get(&(about.name, *key)).cloned();
                self.add(Figure {
                    work: spec.work.to_owned(),
                    case: (*case).to_owned(),
                    unit: (*unit).to_owned(),
                    better: *better,
                    peer: about.name.to_owned(),
                    rounds: found.remove(&(about.name, *key)).unwrap_or_default(),
                    verdict: None,
                    note: note.or_else(|| failures.get(about.name).map(Failure::text)),
                });
            }
        }
    }

    /// A dash for each case.
    pub(crate) fn dash(&mut self, about: &'static About, spec: &Spec<'_>, why: &str) {
        for (_, case, unit, better) in spec.cases {
            self.add(Figure {
                work: spec.work.to_owned(),
                case: (*case).to_owned(),
                unit: (*unit).to_owned(),
                better: *better,
                peer: about.name.to_owned(),
                rounds: Vec::new(),
                verdict: None,
                note: Some(why.to_owned()),
            });
        }
    }

    /// Keeps a figure, and says so.
    pub(crate) fn add(&mut self, mut figure: Figure) {
        // What a peer says may name files; where they stood is nobody's concern.
        let place = format!("{}/", self.directory.display());
        figure.note = figure.note.map(|note| note.replace(&place, ""));
        let value = match (figure.median(), &figure.verdict) {
            (Some(median), _) => format!("{median:.4} {}", figure.unit),
            (None, Some(verdict)) => verdict.clone(),
            (None, None) => "-".to_owned(),
        };
        let note = figure.note.as_ref().map(|note| format!("  ({note})")).unwrap_or_default();
        eprintln!("{:10} {:45} {:14} {value}{note}", figure.work, figure.case, figure.peer);
        self.figures.push(figure);
    }
}

/// What one measurement left to be written must not be written during the next.
fn settle() {
    rustix::fs::sync();
}

/// A name and a value, as a process is told them.
pub(crate) fn want(name: &str, value: impl std::fmt::Display) -> String {
    format!("{name}={value}")
}
