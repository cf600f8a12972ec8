//! `annals policy`: the rules by which requests are decided.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use annals::{Actor, Command, PolicyDifference, Position, Reply, RuleSet};
use clap::{Subcommand, ValueHint};
use serde::Serialize;

use super::args::{StoreArg, actor, person};
use super::door::{self, Absent};
use super::fail::{Done, Failure};
use super::grid::{Cell, Column, Grid};
use super::out::{Format, Out};
use super::paint::Style;
use super::{request, text};

/// Bytes of a file of rules; a larger one is read far enough to be refused.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Show the rules by which requests are decided, set them, or try them on the requests of the past
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what is in force
    Show,
    /// Set the rules, in the place of those that are set
    Set {
        /// A file of [[rule]]s in TOML; an empty one for no rules; - for standard input
        #[arg(value_name = "FILE.toml", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// The user who sets them; ANNALS_ACTOR stands in for it, else who is logged in
        #[arg(long, value_name = "ACTOR", value_parser = actor)]
        actor: Option<Actor>,
    },
    /// Show what rules would have decided otherwise, above all what they would approve and a person refused
    Test {
        /// A file of [[rule]]s in TOML; - for standard input
        #[arg(value_name = "FILE.toml", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

#[derive(Serialize)]
struct Set {
    rules: usize,
    position: Position,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    match &args.verb {
        Some(Verb::Set { file, actor }) => set(file, actor.as_ref(), &path, format, out),
        Some(Verb::Test { file }) => test(file, &path, format, out),
        Some(Verb::Show) | None => show(&path, format, out),
    }
}

fn show(path: &Path, format: Format, out: &mut Out) -> Done {
    let policy = door::view(path)?.policy().map_err(|error| Failure::of_flow(&error, path))?;
    if format != Format::Table {
        return out.json(&policy, format);
    }
    if let Some(code) = &policy.code {
        out.line(format_args!("policy {}: the code of the application decides", out.paint.bold(&text::clean(code))))?;
    }
    let Some(position) = policy.position.filter(|_| !policy.rules.trim().is_empty()) else {
        if policy.code.is_none() {
            out.line("no rules are set: users do what they want with what is theirs, all others are asked about")?;
        }
        return Ok(());
    };
    out.line(out.paint.dim(&format!("# set at position {position}; the first rule that matches decides")))?;
    policy.rules.trim_end().lines().try_for_each(|line| out.line(text::clean(line)))
}

fn set(file: &Path, by: Option<&Actor>, path: &Path, format: Format, out: &mut Out) -> Done {
    let by = person(by)?;
    let (rules, set) = read(file)?;
    let command = Command::SetPolicy { rules, by };
    let Reply::Done { position } = door::run(path, Absent::Make, &command)? else { return Err(request::strange()) };
    let count = set.rules().len();
    if format != Format::Table {
        return out.json(&Set { rules: count, position }, format);
    }
    let rules = text::counted(count as u64, "rule");
    out.line(format_args!("{rules} {} in force, position {position}", if count == 1 { "is" } else { "are" }))
}

fn test(file: &Path, path: &Path, format: Format, out: &mut Out) -> Done {
    let (rules, _) = read(file)?;
    let mut test = door::view(path)?.test_policy(&rules).map_err(|error| Failure::of_flow(&error, path))?;
    // What a person refused is what to look at first.
    test.differences.sort_by_key(|difference| (!difference.a_person_refused, difference.request));
    if format != Format::Table {
        return out.json(&test, format);
    }
    let refused = test.refused_by_a_person();
    let all = text::counted(test.requests, "request");
    let differences = test.differences.len() as u64;
    out.line(match differences {
        0 => format!("{all} of the past would be decided as they were"),
        _ => format!("{} of {all} would be decided otherwise", text::count(differences)),
    })?;
    if refused > 0 {
        let refused = text::count(refused as u64);
        out.line(out.paint.red(&format!("{refused} of them would be approved, and a person refused them")))?;
    }
    if differences == 0 {
        return Ok(());
    }
    out.line("")?;
    table(&test.differences, out)
}

fn table(differences: &[PolicyDifference], out: &mut Out) -> Done {
    let mut grid = Grid::new([
        Column::number("request"),
        Column::text("who"),
        Column::text("what").left_out(1),
        Column::text("subject"),
        Column::text("was").whole(),
        Column::text("would be").giving_way(),
    ]);
    for difference in differences {
        let style = if difference.a_person_refused { Style::Red } else { Style::Plain };
        let was = if difference.a_person_refused { "refused" } else { &difference.was };
        let cells = [
            Cell::from(difference.request.to_string()),
            Cell::from(difference.actor.as_str()),
            Cell::from(difference.event_type.trim_end_matches(".requested")),
            Cell::from(difference.subject.as_str()),
            Cell::styled(was, style),
            Cell::styled(&difference.would_be, style),
        ];
        grid.row(out, cells)?;
    }
    grid.settle(out)
}

/// The rules of a file, as they stand there and as they are read.
fn read(file: &Path) -> Done<(String, RuleSet)> {
    let mut bytes = Vec::new();
    let place = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
    let read = match file == Path::new("-") {
        true => std::io::stdin().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes),
        false => std::fs::File::open(file).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)),
    };
    read.map_err(|error| Failure::io(format_args!("read {place}"), &error))?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::usage(format!("the rules are no text, {place}")))?;
    let rules = RuleSet::parse(&text).map_err(|error| {
        Failure::usage(format!("{error}, {place}"))
            .hinting("a rule has a name and says then = \"approve\", \"reject\" or \"ask\"")
    })?;
    Ok((text, rules))
}
