//! `annals approve`: a user approves what they saw.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use annals::{Actor, Command, Pending, Phase};

use super::answer::{self, Answer, Reason};
use super::args::needed_actor;
use super::fail::{Code, Done, Failure, shell_word, tell};
use super::out::{Format, Out};
use super::{door, outcome, requests};

/// Approve a request, as it was shown to you
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Args {
    #[command(flatten)]
    answer: Answer,
    /// The digest of what you saw, from `annals requests`; without it you are shown the request and asked
    #[arg(long, value_name = "DIGEST")]
    seen: Option<String>,
    #[command(flatten)]
    reason: Reason,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.answer.store.path()?;
    let by = needed_actor(args.answer.actor.as_ref(), "an approval")?;
    let request = args.answer.request;
    let seen = match &args.seen {
        Some(digest) => digest.clone(),
        None => ask(args, &by, &path, format, out)?,
    };
    let command = Command::Approve { request, seen, by, reason: args.reason.text() };
    let answered = answer::send(&path, &command)?;
    answer::tell("approved", &answered, format, out)?;
    outcome::end(&answered.outcome)
}

/// Shows the request and asks; gives the digest of what was shown.
fn ask(args: &Args, by: &Actor, path: &Path, format: Format, out: &mut Out) -> Done<String> {
    let request = args.answer.request;
    let is_person = io::stdin().is_terminal() && io::stdout().is_terminal() && format == Format::Table;
    if !is_person {
        let hint = format!("`annals requests {}` shows what would change, and the digest of it", shell_word(path));
        return Err(Failure::usage("an approval names the digest of what was seen, --seen").hinting(hint));
    }
    let flow = door::view(path)?;
    let entry = outcome::entry(&flow, request, path)?;
    if entry.request.state != Phase::Asked || entry.outcome.is_final() {
        return Err(not_asked(&entry.request, &entry.outcome, path));
    }
    requests::block(&entry.request, None, out)?;
    out.flush()?;
    tell(&format!("\n{} ", out.paint.bold(&format!("Approve it as {by}? [y/N]"))));
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(|error| Failure::io("read the answer", &error))?;
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(entry.request.digest.clone()),
        _ => {
            out.line("nothing was decided: it still waits")?;
            Err(Failure::Quiet(Code::Asked))
        }
    }
}

fn not_asked(request: &Pending, outcome: &annals::Outcome, path: &Path) -> Failure {
    let text = match outcome.is_final() {
        true => format!("request {} has ended: {outcome}", request.request),
        false => format!("request {} is {}, and nobody is asked about it", request.request, request.state),
    };
    let hint = format!("`annals trace {} {}` shows its whole life", shell_word(path), request.request);
    Failure::new(Code::Conflict, text).hinting(hint)
}
