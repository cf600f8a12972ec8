//! The command line: what `annals` is asked, who answers it, and how it ends.

mod amend;
mod answer;
mod append;
mod approve;
mod archive;
mod args;
mod backup;
mod bench;
mod capabilities;
mod check;
mod completions;
mod data;
mod decide;
mod demo;
mod diff;
mod door;
mod events;
mod explain;
mod export;
mod fail;
mod grant;
mod grid;
mod head;
mod help;
mod history;
mod import;
mod inspect;
mod interrupt;
mod lines;
mod log;
mod open;
mod out;
mod outcome;
mod paint;
mod parked;
mod policy;
mod pretty;
mod progress;
#[cfg(feature = "sqlite")]
mod projections;
mod receipt;
mod reject;
mod repair;
mod request;
mod requests;
mod restore;
mod roles;
mod seal;
mod segments;
mod select;
mod show;
#[cfg(feature = "sqlite")]
mod sql;
mod stat;
mod state;
mod tables;
mod text;
mod trace;
mod undo;
mod verify;
mod withdraw;
mod workers;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, Parser, Subcommand};

use fail::{Code, Done, Failure};
use out::{Format, Out};

/// An event store in one directory: append, prove, find, replay.
#[derive(Debug, Parser)]
#[command(
    name = "annals",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// How to answer: for a person, as one JSON document, or as one a line
    #[arg(long, global = true, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    #[arg(help = "How to answer: table, json or jsonl; stat also: prometheus")]
    format: Option<Format>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Import(import::Args),
    Export(export::Args),
    Log(log::Args),
    Show(show::Args),
    Append(append::Args),
    State(state::Args),
    History(history::Args),
    Tables(tables::Args),
    Request(request::Args),
    Requests(requests::Args),
    Approve(approve::Args),
    Reject(reject::Args),
    Withdraw(withdraw::Args),
    Amend(amend::Args),
    Undo(undo::Args),
    Explain(explain::Args),
    Trace(trace::Args),
    Grant(grant::Args),
    Grants(grant::ListArgs),
    Revoke(grant::RevokeArgs),
    Roles(roles::Args),
    Policy(policy::Args),
    Capabilities(capabilities::Args),
    #[cfg(feature = "sqlite")]
    Projections(projections::Args),
    #[cfg(feature = "sqlite")]
    Sql(sql::Args),
    Workers(workers::Args),
    Parked(parked::Args),
    /// Have a parked event tried again, with those that wait behind it
    Retry(decide::Args),
    /// Give a parked event up for good, and go on with those that wait behind it
    Skip(decide::Args),
    Stat(stat::Args),
    Segments(segments::Args),
    Verify(verify::Args),
    Receipt(receipt::Args),
    Check(check::Args),
    Seal(seal::Args),
    Archive(archive::Args),
    Repair(repair::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Inspect(inspect::Args),
    Bench(bench::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    Help(help::Args),
    #[command(hide = true)]
    DemoWriter(demo::WriterArgs),
    #[command(hide = true)]
    BenchReader(bench::ReaderArgs),
    #[command(hide = true)]
    BenchWriter(bench::WriterArgs),
}

/// Runs the command that this process was started with.
pub(crate) fn main() -> ExitCode {
    let mut out = Out::stdout();
    let result = run(std::env::args_os(), &mut out);
    // What was written before a failure is part of the answer.
    let result = match (result, out.flush()) {
        (Ok(()), flushed) => flushed,
        (failed, _) => failed,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report().into(),
    }
}

fn run(args: impl IntoIterator<Item = OsString>, out: &mut Out) -> Done {
    match Cli::try_parse_from(args) {
        Ok(cli) => answer(&cli, out),
        Err(error) => misuse(&error, out),
    }
}

fn answer(cli: &Cli, out: &mut Out) -> Done {
    let format = cli.format;
    let or_table = format.unwrap_or(Format::Table);
    if format == Some(Format::Prometheus) && !matches!(cli.verb, Verb::Stat(_)) {
        return Err(Failure::usage("only `annals stat` answers in the format prometheus")
            .hinting("give --format table, json or jsonl"));
    }
    match &cli.verb {
        Verb::Import(args) => import::run(args, or_table, out),
        Verb::Export(args) => export::run(args, format.unwrap_or(Format::Jsonl), out),
        Verb::Log(args) => log::run(args, or_table, out),
        Verb::Show(args) => show::run(args, or_table, out),
        Verb::Append(args) => append::run(args, or_table, out),
        Verb::State(args) => state::run(args, or_table, out),
        Verb::History(args) => history::run(args, or_table, out),
        Verb::Tables(args) => tables::run(args, or_table, out),
        Verb::Request(args) => request::run(args, or_table, out),
        Verb::Requests(args) => requests::run(args, or_table, out),
        Verb::Approve(args) => approve::run(args, or_table, out),
        Verb::Reject(args) => reject::run(args, or_table, out),
        Verb::Withdraw(args) => withdraw::run(args, or_table, out),
        Verb::Amend(args) => amend::run(args, or_table, out),
        Verb::Undo(args) => undo::run(args, or_table, out),
        Verb::Explain(args) => explain::run(args, or_table, out),
        Verb::Trace(args) => trace::run(args, or_table, out),
        Verb::Grant(args) => grant::run(args, or_table, out),
        Verb::Grants(args) => grant::run_list(args, or_table, out),
        Verb::Revoke(args) => grant::run_revoke(args, or_table, out),
        Verb::Roles(args) => roles::run(args, or_table, out),
        Verb::Policy(args) => policy::run(args, or_table, out),
        Verb::Capabilities(args) => capabilities::run(args, or_table, out),
        #[cfg(feature = "sqlite")]
        Verb::Projections(args) => projections::run(args, or_table, out),
        #[cfg(feature = "sqlite")]
        Verb::Sql(args) => sql::run(args, or_table, out),
        Verb::Workers(args) => workers::run(args, or_table, out),
        Verb::Parked(args) => parked::run(args, or_table, out),
        Verb::Retry(args) => decide::run(args, decide::Verb::Retry, or_table, out),
        Verb::Skip(args) => decide::run(args, decide::Verb::Skip, or_table, out),
        Verb::Stat(args) => stat::run(args, or_table, out),
        Verb::Segments(args) => segments::run(args, or_table, out),
        Verb::Verify(args) => verify::run(args, or_table, out),
        Verb::Receipt(args) => receipt::run(args, or_table, out),
        Verb::Check(args) => check::run(args, or_table, out),
        Verb::Seal(args) => seal::run(args, or_table, out),
        Verb::Archive(args) => archive::run(args, or_table, out),
        Verb::Repair(args) => repair::run(args, or_table, out),
        Verb::Backup(args) => backup::run(args, or_table, out),
        Verb::Restore(args) => restore::run(args, or_table, out),
        Verb::Inspect(args) => inspect::run(args, or_table, out),
        Verb::Bench(args) => bench::run(args, or_table, out),
        Verb::Demo(args) => demo::run(args, or_table, out),
        Verb::Completions(args) => completions::run(args, &mut Cli::command(), out),
        Verb::Help(args) => help::run(args, Cli::command(), or_table, out),
        Verb::DemoWriter(args) => demo::write_for_ever(args, out),
        Verb::BenchReader(args) => bench::open_and_tell(args, out),
        Verb::BenchWriter(args) => bench::append_and_wait(args, out),
    }
}

/// What the parser of arguments has to say, in the shape of all other errors.
fn misuse(error: &clap::Error, out: &mut Out) -> Done {
    use clap::error::ErrorKind as K;
    match error.kind() {
        K::DisplayHelp | K::DisplayVersion => return out.line(rendered(error, out).trim_end()),
        K::DisplayHelpOnMissingArgumentOrSubcommand => {
            help::front_page(&Cli::command(), out)?;
            out.flush()?;
            return Err(Failure::Quiet(Code::Usage));
        }
        _ => {}
    }
    let text = error.render().to_string();
    // The first paragraph says what is wrong, in one or several lines; what follows is advice of several kinds.
    let first = text.split("\n\n").next().unwrap_or_default();
    let message = first.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
    let suggested = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
        .into_iter()
        .find_map(|kind| error.get(kind))
        .and_then(|value| match value {
            ContextValue::String(text) => Some(text.clone()),
            ContextValue::Strings(texts) => texts.first().cloned(),
            _ => None,
        });
    let verb = std::env::args().nth(1).filter(|word| Cli::command().find_subcommand(word).is_some());
    let hint = match (suggested, verb) {
        (Some(suggested), _) => format!("did you mean `{suggested}`?"),
        (None, Some(verb)) => format!("`annals help {verb}` shows what it takes"),
        (None, None) => "`annals help` lists all verbs".to_owned(),
    };
    Err(Failure::usage(message).hinting(hint))
}

fn rendered(error: &clap::Error, out: &Out) -> String {
    let styled = error.render();
    if out.paint.is_on() { styled.ansi().to_string() } else { styled.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
