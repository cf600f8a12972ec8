//! `annals request`: somebody wants a row created, changed or deleted.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use annals::{Action, Actor, Command, Deadline, Reply, Request};

use super::args::{StoreArg, actor, deadline, duration, needed_actor, user};
use super::data::Data;
use super::door::{self, Absent};
use super::fail::{Code, Done, Failure, shell_word};
use super::out::{Format, Out};
use super::outcome;

/// Request a change of a row, which policy or a person decides: create, update or delete
#[derive(Debug, clap::Args)]
#[command(override_usage = "annals request [OPTIONS] [STORE] <create|update|delete> <TABLE> [ID]")]
pub(crate) struct Args {
    /// The store, what to do, the table, and the id of the row; a row that is created may do without
    #[arg(value_name = "STORE create|update|delete TABLE [ID]", required = true)]
    words: Vec<OsString>,
    /// The row as a JSON object, or what changes of it as a merge patch: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: Option<Data>,
    /// Who wants it: user:alice, agent:scribe, external:.., system:..; ANNALS_ACTOR stands in for it
    #[arg(long, value_name = "ACTOR", value_parser = actor)]
    actor: Option<Actor>,
    /// The user for whom the actor acts
    #[arg(long, value_name = "USER", value_parser = user)]
    on_behalf_of: Option<String>,
    /// Where it comes from
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// A tag; may be given several times. Of a new row, workspace:NAME says where it belongs
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// What ties events of one undertaking together
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// Idempotency key: the same key with the same request is made once
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only if the row has this version
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
    /// It expires unless somebody answers by then: 2h, or a time
    #[arg(long, value_name = "2h|TIME", value_parser = deadline, allow_hyphen_values = true)]
    answer_by: Option<Deadline>,
    /// It is stale unless it is done by then: 1d, or a time
    #[arg(long, value_name = "1d|TIME", value_parser = deadline, allow_hyphen_values = true)]
    execute_by: Option<Deadline>,
    /// Wait so long for the outcome
    #[arg(long, value_name = "30s", value_parser = duration)]
    wait: Option<Duration>,
}

/// What the words of the command line come to.
struct Asked {
    path: PathBuf,
    action: Action,
    table: String,
    id: Option<String>,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let asked = asked(&args.words)?;
    let by = needed_actor(args.actor.as_ref(), "a request")?;
    let request = request(args, &asked, by)?;
    let absent = if asked.action == Action::Create { Absent::Make } else { Absent::Refuse };
    check_table(&asked.table, &asked.path, absent)?;
    let reply = door::run(&asked.path, absent, &Command::Request { request: Box::new(request) })?;
    let Reply::Made { ticketed, outcome } = reply else { return Err(strange()) };
    outcome::tell(&asked.path, &ticketed, outcome, args.wait, format, out)
}

/// The application behind the control socket is of another mind than this program.
pub(crate) fn strange() -> Failure {
    Failure::new(Code::Failure, "the application that writes the store gave an answer to something else")
        .hinting("it may be of another version than this program")
}

/// Tells the words apart; the store may be left to the environment.
fn asked(words: &[OsString]) -> Done<Asked> {
    let text = |word: &OsString| {
        word.to_str().map(str::to_owned).ok_or_else(|| Failure::usage("an argument is no Unicode text"))
    };
    let hint = "as in `annals request STORE update notes n-1 --data '{\"content\": \"B\"}' --actor agent:scribe`";
    let action = |word: Option<&OsString>| word.and_then(|word| word.to_str()).and_then(Action::parse);
    let (store, rest) = match words {
        [store, rest @ ..] if action(rest.first()).is_some() => (Some(PathBuf::from(store)), rest),
        rest if action(rest.first()).is_some() => (None, rest),
        [_, word, ..] => {
            let text = format!("{:?} is none of create, update and delete", word.to_string_lossy());
            return Err(Failure::usage(text).hinting(hint));
        }
        _ => return Err(Failure::usage("nothing is asked for: say create, update or delete").hinting(hint)),
    };
    let path = StoreArg::new(store).path()?;
    let Some(action) = action(rest.first()) else { return Err(Failure::usage("nothing is asked for").hinting(hint)) };
    let (table, id) = match rest {
        [_, table] => (text(table)?, None),
        [_, table, id] => (text(table)?, Some(text(id)?)),
        [_] => return Err(Failure::usage(format!("{action} needs a table")).hinting(hint)),
        _ => return Err(Failure::usage(format!("{action} takes a table and an id, and no more")).hinting(hint)),
    };
    if id.is_none() && action != Action::Create {
        return Err(Failure::usage(format!("{action} needs the id of a row of {table}")).hinting(hint));
    }
    Ok(Asked { path, action, table, id })
}

fn request(args: &Args, asked: &Asked, by: Actor) -> Done<Request> {
    let data = match (&args.data, asked.action) {
        (None, Action::Delete) => String::new(),
        (Some(_), Action::Delete) => {
            return Err(Failure::usage("a delete takes no data").hinting("drop --data"));
        }
        (Some(data), _) => data.object()?,
        (None, action) => {
            return Err(Failure::usage(format!("{action} needs the data of the row, --data"))
                .hinting("give a JSON object, @FILE, or - for standard input"));
        }
    };
    let by = args.on_behalf_of.iter().fold(by, |by, user| by.on_behalf_of(user));
    let mut request = Request::from_json(&asked.table, asked.action, asked.id.clone(), data).by(by);
    if let Some(source) = &args.source {
        request = request.source(source);
    }
    if let Some(correlation) = &args.correlation {
        request = request.correlation(correlation);
    }
    if let Some(key) = &args.key {
        request = request.key(key);
    }
    if let Some(version) = args.if_version {
        request = request.if_version(version);
    }
    if let Some(time) = args.answer_by {
        request = request.answer_by(time);
    }
    if let Some(time) = args.execute_by {
        request = request.execute_by(time);
    }
    Ok(args.tag.iter().fold(request, Request::tag))
}

/// Finds a table that is not there before a store is made or a lock is waited for.
fn check_table(name: &str, path: &Path, absent: Absent) -> Done {
    let catalog = door::catalog(path, absent)?;
    if catalog.table(name).is_some() {
        return Ok(());
    }
    let near = catalog.tables().iter().find(|table| table.name().eq_ignore_ascii_case(name) || table.kind() == name);
    let store = shell_word(path);
    let hint = near.map_or_else(
        || format!("`annals tables {store}` lists those that are there; `annals tables {store} add NAME` adds one"),
        |table| format!("did you mean {}?", table.name()),
    );
    Err(Failure::usage(format!("no table is called {name:?}, {}", path.display())).hinting(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(words: &[&str]) -> Result<(String, Action, String, Option<String>), String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let asked = asked(&words).map_err(|failure| failure.to_string())?;
        Ok((asked.path.display().to_string(), asked.action, asked.table, asked.id))
    }

    #[test]
    fn the_words_of_a_request_are_told_apart() {
        let good = |store: &str, action, table: &str, id: Option<&str>| {
            Ok((store.to_owned(), action, table.to_owned(), id.map(str::to_owned)))
        };
        assert_eq!(told(&["pod", "create", "notes"]), good("pod", Action::Create, "notes", None));
        assert_eq!(told(&["pod", "create", "notes", "n-1"]), good("pod", Action::Create, "notes", Some("n-1")));
        assert_eq!(told(&["create", "update", "notes", "1"]), good("create", Action::Update, "notes", Some("1")));
        assert_eq!(told(&["pod", "delete", "notes", "x"]), good("pod", Action::Delete, "notes", Some("x")));
        for words in [
            &["pod"][..],
            &["pod", "change", "notes"],
            &["pod", "update"],
            &["pod", "update", "notes"],
            &["pod", "delete", "notes"],
            &["pod", "create", "notes", "a", "b"],
        ] {
            assert!(told(words).is_err(), "{words:?}");
        }
    }
}
