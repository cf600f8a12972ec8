//! `annals capabilities`: what a store knows and this program can do, for programs that ask.

use serde::Serialize;

use super::args::StoreArg;
use super::fail::{Done, Failure};
use super::grid::pairs;
use super::out::{Format, Out};
use super::{door, open, text};

/// Optional parts of this program.
const FEATURES: &[(&str, bool)] = &[
    ("bincode", cfg!(feature = "bincode")),
    ("sqlite", cfg!(feature = "sqlite")),
    ("tracing", cfg!(feature = "tracing")),
];

/// Show what a store knows: its tables, its types of events, its policy
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    version: &'static str,
    /// Types of events that the tables generate, decisions apart.
    event_types: usize,
    decision_types: usize,
    tables: usize,
    own_tables: usize,
    /// Durable consumers that the store knows.
    workers: usize,
    /// The policy that decides: `default`, or the name of one that is code.
    policy: String,
    /// Rules that are set.
    rules: usize,
    /// Grants that can be used now.
    grants: usize,
    features: Vec<&'static str>,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let failed = |error| Failure::of_flow(&error, &path);
    let store = open::reading(&path)?;
    let catalog = store.catalog().map_err(failed)?;
    let flow = door::view(&path)?;
    let policy = flow.policy().map_err(failed)?;
    let now = annals::Timestamp::now();
    let answer = Answer {
        version: env!("CARGO_PKG_VERSION"),
        event_types: catalog.event_types().count(),
        decision_types: catalog.decision_types().count(),
        tables: catalog.tables().len(),
        own_tables: catalog.own_tables().len(),
        workers: store.workers().map_err(failed)?.len(),
        policy: policy.code.unwrap_or_else(|| "default".to_owned()),
        rules: annals::RuleSet::parse(&policy.rules).map_or(0, |rules| rules.rules().len()),
        grants: flow.grants().map_err(failed)?.iter().filter(|grant| grant.is_live(now)).count(),
        features: FEATURES.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect(),
    };
    if format != Format::Table {
        return out.json(&answer, format);
    }
    let count = |number: usize| text::count(number as u64);
    pairs(
        out,
        [
            ("version", answer.version.to_owned()),
            ("event types", count(answer.event_types)),
            ("decision types", count(answer.decision_types)),
            ("tables", format!("{}, of which {} are its own", count(answer.tables), count(answer.own_tables))),
            ("workers", count(answer.workers)),
            ("policy", answer.policy),
            ("rules", count(answer.rules)),
            ("live grants", count(answer.grants)),
            ("features", answer.features.join(", ")),
        ],
    )
}
