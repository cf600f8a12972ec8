//! `annals state`: what the events of a subject come to, now or at a moment of the past.

use std::path::Path;

use annals::{AsOf, Folded, Loaded, Position, Reader, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use super::args::{StoreArg, time};
use super::fail::{Code, Done, Failure};
use super::grid::pairs;
use super::out::{Format, Out};
use super::{open, pretty, text};

/// Show what a subject's events come to: each event's data merged into those before it
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// The subject, such as note/n-1
    #[arg(value_name = "SUBJECT")]
    subject: String,
    /// As it was recorded then: a time, or @ and a position
    #[arg(long, value_name = "TIME|@POSITION", value_parser = moment, conflicts_with = "as_happened")]
    #[arg(allow_hyphen_values = true)]
    at: Option<AsOf>,
    /// As it had happened by then, for histories that were imported
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    as_happened: Option<Timestamp>,
}

#[derive(Serialize)]
struct Answer<'a> {
    subject: &'a str,
    state: Option<&'a RawValue>,
    version: u64,
    position: Position,
}

/// A time, or a position as `@17` or a bare number.
fn moment(text: &str) -> Result<AsOf, String> {
    let position = |text: &str| text.parse().map(AsOf::Position);
    match text.strip_prefix('@') {
        Some(rest) => position(rest).map_err(|_| "give a position behind @, such as @17".to_owned()),
        None => position(text).or_else(|_| time(text).map(AsOf::Time)),
    }
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let store = open::reading(&path)?;
    let now = store.reader();
    let moment = args.at.or(args.as_happened.map(AsOf::Occurred));
    let then = moment.map_or_else(|| now.clone(), |moment| now.as_of(moment));
    let failed = |error| Failure::of_store(&error, &path);
    let Some(loaded) = then.document(&args.subject).map_err(failed)? else {
        return Err(unknown(args, &now, moment, &path)?);
    };
    if format == Format::Table {
        return table(args, &then, &loaded, &path, out);
    }
    let json = loaded.state.document.as_ref().map(|document| RawValue::from_string(document.to_json()));
    let json = json.transpose().map_err(|error| Failure::new(Code::Failure, error.to_string()))?;
    let (version, position) = (loaded.version, loaded.position);
    out.json(&Answer { subject: &args.subject, state: json.as_deref(), version, position }, format)
}

/// Why there is nothing to show: nobody knows the subject, or not yet at that moment.
fn unknown(args: &Args, now: &Reader, moment: Option<AsOf>, path: &Path) -> Done<Failure> {
    let subject = &args.subject;
    let first = now.history(subject).next().transpose().map_err(|error| Failure::of_store(&error, path))?;
    let Some((first, moment)) = first.zip(moment) else {
        let failure = Failure::new(Code::NotFound, format!("no event is about {subject:?}, {}", path.display()));
        return Ok(failure.hinting("a subject is kind/id, spelt exactly; `annals log` shows the subjects of events"));
    };
    let (recorded, occurred) = (first.recorded_at(), first.occurred_at());
    let what = match moment {
        AsOf::Occurred(time) => format!("nothing had happened to {subject:?} by {time}"),
        AsOf::Position(position) => format!("nothing was recorded about {subject:?} up to position {position}"),
        _ => format!("nothing was recorded about {subject:?} by that time"),
    };
    let failure = Failure::new(Code::NotFound, format!("{what}, {}", path.display()));
    Ok(failure.hinting(match moment {
        // An imported history was recorded long after it happened.
        AsOf::Time(time) if occurred <= time || first.is_imported() => format!(
            "its history was imported: the first event was recorded at {recorded} and happened at {occurred}; \
             ask for --as-happened TIME"
        ),
        AsOf::Occurred(_) => format!("its first event happened at {occurred}"),
        _ => format!("its first event stands at position {}, recorded at {recorded}", first.position()),
    }))
}

fn table(args: &Args, then: &Reader, loaded: &Loaded<Folded>, path: &Path, out: &mut Out) -> Done {
    out.line(out.paint.bold(&text::clean(&args.subject)))?;
    let last = then.event(loaded.position).map_err(|error| Failure::of_store(&error, path))?;
    let mut lines = vec![("version", text::count(loaded.version)), ("position", format!("{}", loaded.position))];
    if let Some(last) = last {
        let when = format!("{} UTC", text::when(last.occurred_at()));
        let by = last.actor().map(|actor| format!(", by {actor}")).unwrap_or_default();
        lines.push(("last", format!("{} at {when}{by}", last.event_type())));
    }
    let from = match loaded.snapshot {
        Some(position) => format!(" behind the state that was stored at position {position}"),
        None => String::new(),
    };
    lines.push(("folded", format!("{}{from}", text::counted(loaded.replayed, "event"))));
    if loaded.state.passed_over > 0 {
        let passed = text::counted(loaded.state.passed_over, "event");
        lines.push(("passed over", format!("{passed} whose data is no JSON object")));
    }
    pairs(out, lines)?;
    out.line("")?;
    match &loaded.state.document {
        None => out.line(out.paint.dim("(deleted, or no event brought a JSON object)")),
        Some(document) => {
            let json = document.to_json();
            let laid = pretty::layout(json.as_bytes()).unwrap_or(json);
            laid.lines().try_for_each(|line| out.line(text::clean(line)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_position_or_a_time() {
        assert_eq!(moment("@17"), Ok(AsOf::Position(Position::new(17))));
        assert_eq!(moment("17"), Ok(AsOf::Position(Position::new(17))));
        assert!(matches!(moment("2020-01-01"), Ok(AsOf::Time(_))) && matches!(moment("-2h"), Ok(AsOf::Time(_))));
        assert!(moment("@x").is_err() && moment("soon").is_err() && moment("").is_err());
    }
}
