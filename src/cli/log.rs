//! `annals log`: events for a person to read, as they stand or as they come.

use std::path::Path;
use std::time::Duration;

use annals::{Query, Reader, StartAt, Store};
use serde::Serialize;

use super::args::StoreArg;
use super::events::EventWriter;
use super::fail::{Code, Done, Failure, note};
use super::out::{Format, Out};
use super::select::QueryArgs;
use super::{export, interrupt, open};

/// How long to wait for an event before looking whether Ctrl-C was pressed.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// Show events, oldest first; all of them, unless a limit says otherwise
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Newest first
    #[arg(long, conflicts_with = "follow")]
    reverse: bool,
    /// At most N events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Go on with what comes, until Ctrl-C; begins at position 1 unless --after or --since say otherwise
    #[arg(long)]
    follow: bool,
    /// Show how the query would be answered, instead of the events
    #[arg(long, conflicts_with = "follow")]
    explain: bool,
    #[command(flatten)]
    query: QueryArgs,
}

#[derive(Serialize)]
struct Explained {
    query: String,
    plan: String,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let store = open::reading(&path)?;
    let reader = store.reader();
    let mut query = args.query.query(&reader, &path)?;
    if args.reverse {
        query = query.rev();
    }
    if let Some(limit) = args.limit {
        query = query.limit(limit);
    }
    if args.explain {
        return explain(&reader, &query, format, out);
    }
    if args.follow {
        return follow(&store, query, args, format, &path, out);
    }
    let mut writer = EventWriter::new(format);
    let damage = export::scan_good(&reader, &query, &path, &mut writer, out, |_| {})?;
    writer.finish(out)?;
    out.flush()?;
    if writer.count == 0 && damage.is_empty() && format == Format::Table {
        note(format_args!("nothing matches: {query}"));
    }
    export::judge(&damage, &path)
}

fn explain(reader: &Reader, query: &Query, format: Format, out: &mut Out) -> Done {
    let plan = reader.plan(query).to_string();
    match format {
        Format::Table => plan.lines().try_for_each(|line| out.line(line)),
        _ => out.json(&Explained { query: query.to_string(), plan }, format),
    }
}

fn follow(store: &Store, query: Query, args: &Args, format: Format, path: &Path, out: &mut Out) -> Done {
    interrupt::listen();
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut subscription = store.subscribe(query, StartAt::Start);
    let mut writer = EventWriter::new(format);
    while left > 0 {
        if interrupt::asked() {
            writer.finish(out)?;
            return Err(Failure::Quiet(Code::Interrupted));
        }
        // What stands there is printed in large pieces, what comes at once.
        if subscription.caught_up() {
            writer.settle(out)?;
            out.flush()?;
        }
        let batch = subscription.next_timeout(LOOK_AROUND).map_err(|error| Failure::of_store(&error, path))?;
        for event in batch.iter().flat_map(|batch| batch.iter()) {
            writer.event(&event, out)?;
            left -= 1;
            if left == 0 {
                break;
            }
        }
    }
    writer.finish(out)
}
