//! `annals help`: the verbs by what they are for, one verb, or the exit codes.

use clap::Command;
use serde::Serialize;

use super::fail::{Done, Failure};
use super::grid::{Cell, Column, Grid};
use super::out::{Format, Out};
use super::paint::Style;
use super::text;

/// Show help on annals, on a verb, or on exit-codes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A verb, or exit-codes
    #[arg(value_name = "VERB|exit-codes")]
    topic: Option<String>,
}

/// The verbs as a person looks for them.
const GROUPS: &[(&str, &[&str])] = &[
    ("Write", &["append", "import"]),
    ("Read", &["log", "show", "state", "history", "export"]),
    ("Decide", &["request", "requests", "approve", "reject", "withdraw", "amend", "undo", "explain", "trace"]),
    ("Govern", &["policy", "roles", "grant", "grants", "revoke", "capabilities"]),
    ("Ask", &["sql", "tables", "projections"]),
    ("Work", &["workers", "parked", "retry", "skip"]),
    ("Look after", &["stat", "segments", "seal", "archive", "verify", "repair", "backup", "restore", "inspect"]),
    ("Prove", &["receipt", "check"]),
    ("Get to know", &["demo", "bench", "completions", "help"]),
];

#[derive(Serialize)]
struct ExitCode {
    code: u8,
    meaning: &'static str,
}

const EXIT_CODES: &[ExitCode] = &[
    ExitCode { code: 0, meaning: "done, or validated" },
    ExitCode { code: 1, meaning: "failure, a failed request, a newer format, a bad line of input" },
    ExitCode { code: 2, meaning: "misuse of the command line, an unknown table" },
    ExitCode { code: 3, meaning: "not found: no store, file, event, subject or request" },
    ExitCode { code: 4, meaning: "conflict, stale, withdrawn, expired, decided already" },
    ExitCode { code: 5, meaning: "corruption" },
    ExitCode { code: 6, meaning: "locked by another process" },
    ExitCode { code: 7, meaning: "denied, rejected, reserved" },
    ExitCode { code: 8, meaning: "asked, or approved and waiting" },
    ExitCode { code: 130, meaning: "interrupted" },
];

pub(crate) fn run(args: &Args, mut command: Command, format: Format, out: &mut Out) -> Done {
    let Some(topic) = &args.topic else { return front_page(&command, out) };
    if topic == "exit-codes" {
        return exit_codes(format, out);
    }
    command.build();
    match command.find_subcommand_mut(topic) {
        Some(verb) => {
            let help = verb.render_help();
            let help = if out.paint.is_on() { help.ansi().to_string() } else { help.to_string() };
            out.line(help.trim_end())
        }
        None => Err(Failure::usage(format!("no verb is called {topic:?}")).hinting("`annals help` lists all verbs")),
    }
}

/// What `annals` says when it is asked nothing.
pub(crate) fn front_page(command: &Command, out: &mut Out) -> Done {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    out.line(format_args!("{} {}", out.paint.bold("annals"), command.get_version().unwrap_or_default()))?;
    out.line(about)?;
    for (title, verbs) in GROUPS {
        out.line("")?;
        out.line(out.paint.bold(title))?;
        // Some verbs come with a feature.
        for verb in verbs.iter().filter(|verb| command.find_subcommand(verb).is_some()) {
            let about = command.find_subcommand(verb).and_then(Command::get_about).map(ToString::to_string);
            let line = format!("  {}  {}", out.paint.cyan(&format!("{verb:<12}")), about.unwrap_or_default());
            out.line(line)?;
        }
    }
    out.line("")?;
    let example = out.paint.cyan("annals demo");
    out.line(format_args!(
        "Begin with {example}. `annals help VERB` tells more, `annals help exit-codes` what a script gets."
    ))?;
    out.line("Every verb takes --format table|json|jsonl. ANNALS_STORE stands in for STORE, ANNALS_ACTOR for --actor.")
}

fn exit_codes(format: Format, out: &mut Out) -> Done {
    if format != Format::Table {
        return out.json_list(EXIT_CODES, format);
    }
    let mut grid = Grid::new([Column::number("code").styled(Style::Cyan), Column::text("means")]);
    for ExitCode { code, meaning } in EXIT_CODES {
        grid.row(out, [Cell::from(text::count(u64::from(*code))), Cell::from(*meaning)])?;
    }
    grid.settle(out)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn the_front_page_names_every_verb_once() {
        let command = Cli::command();
        let shown = command.get_subcommands().filter(|verb| !verb.is_hide_set()).map(Command::get_name);
        let mut shown: Vec<_> = shown.collect();
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        grouped.retain(|verb| command.find_subcommand(verb).is_some());
        shown.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(shown, grouped);
    }
}
