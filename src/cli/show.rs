//! `annals show`: one event with all it has, or all events of an id.

use annals::EventRef;

use super::args::{Place, StoreArg, no_such_id, no_such_position};
use super::events::EventWriter;
use super::fail::{Done, Failure};
use super::grid::pairs;
use super::out::{Format, Out};
use super::{open, pretty, text};

/// Columns and lines of data that is shown as text.
const TEXT_LINES_MAX: usize = 1000;

/// Show one event with all it has, or with id:ID all events of that id
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// A position such as 17, or id:ID
    #[arg(value_name = "POSITION|id:ID")]
    place: Place,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let store = open::reading(&path)?;
    let reader = store.reader();
    let events = match &args.place {
        Place::At(position) => {
            let found = reader.event(*position).map_err(|error| Failure::of_store(&error, &path))?;
            let missing = || no_such_position(*position, &reader, &path);
            vec![found.ok_or_else(missing)?]
        }
        Place::Id(id) => reader.events_by_id(id).map_err(|error| Failure::of_store(&error, &path))?,
    };
    if let (true, Place::Id(id)) = (events.is_empty(), &args.place) {
        return Err(no_such_id(id, &path));
    }
    if format == Format::Table {
        for (index, event) in events.iter().enumerate() {
            if index > 0 {
                out.line("")?;
            }
            whole(&event.as_ref(), out)?;
        }
        return Ok(());
    }
    // A position names one event, an id any number of them.
    let is_list = format == Format::Json && matches!(args.place, Place::Id(_));
    let mut writer = EventWriter::new(if is_list { Format::Json } else { Format::Jsonl });
    events.iter().try_for_each(|event| writer.event(&event.as_ref(), out))?;
    writer.finish(out)
}

fn whole(event: &EventRef<'_>, out: &mut Out) -> Done {
    out.line(out.paint.bold(&text::clean(event.event_type())))?;
    let mut lines = vec![
        ("position", format!("{}", event.position())),
        ("subject", event.subject().to_owned()),
        ("version", event.version().to_string()),
        ("recorded", event.recorded_at().to_string()),
    ];
    if event.occurred_at() != event.recorded_at() {
        lines.push(("occurred", event.occurred_at().to_string()));
    }
    let mut add = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    add("actor", event.actor().map(|actor| actor.to_string()));
    add("on behalf of", event.on_behalf_of().map(str::to_owned));
    add("source", event.source().map(str::to_owned));
    add("correlation", event.correlation().map(str::to_owned));
    add("caused by", event.causation().map(|position| position.to_string()));
    add("tags", (event.tags().len() > 0).then(|| event.tags().collect::<Vec<_>>().join("  ")));
    add("id", Some(event.id().into_owned()));
    add("imported", event.is_imported().then(|| "yes".to_owned()));
    let size = text::bytes(event.data().len() as u64);
    add("data", (!event.data().is_empty()).then(|| format!("{size}, {}", or_unknown(event.content_type()))));
    let meta: Vec<_> = event.meta().collect();
    pairs(out, lines)?;
    if !meta.is_empty() {
        out.line("")?;
        pairs(out, meta.into_iter().map(|(name, value)| (name, value.to_owned())))?;
    }
    data(event, out)
}

fn or_unknown(content_type: &str) -> &str {
    if content_type.is_empty() { "no content type" } else { content_type }
}

/// JSON laid out, other text line by line; bytes that are no text are left to `export`.
fn data(event: &EventRef<'_>, out: &mut Out) -> Done {
    if event.data().is_empty() {
        return Ok(());
    }
    out.line("")?;
    let laid = pretty::layout(event.data());
    let shown = laid.as_deref().or_else(|| std::str::from_utf8(event.data()).ok());
    let Some(shown) = shown else {
        return out.line(out.paint.dim("(no text: `annals export` gives it in base64)"));
    };
    let mut lines = shown.lines();
    for line in lines.by_ref().take(TEXT_LINES_MAX) {
        out.line(text::clean(line))?;
    }
    match lines.count() {
        0 => Ok(()),
        more => out.line(out.paint.dim(&format!("… and {}", text::counted(more as u64, "more line")))),
    }
}
