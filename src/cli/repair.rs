//! `annals repair`: what a repair would lose, and with --accept-loss the repair.

use annals::{Position, Repair, RepairOptions, Store};
use serde::Serialize;

use super::args::StoreArg;
use super::fail::{Code, Done, Failure, shell_word};
use super::out::{Format, Out};
use super::text;
use super::verify::{self, Place};

/// Say what a repair would lose; with --accept-loss, repair
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Go on although events are lost; everything taken out is kept under quarantine/
    #[arg(long)]
    accept_loss: bool,
}

#[derive(Serialize)]
struct Answer {
    done: bool,
    tail: Position,
    lost_events: u64,
    damage: Vec<Place>,
    quarantine: Vec<String>,
    steps: Vec<String>,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> Done {
    let path = args.store.path()?;
    let repair = Store::repair(&path, RepairOptions::new().accept_loss(args.accept_loss))
        .map_err(|error| Failure::of_store(&error, &path))?;
    let shown = match format {
        Format::Table => table(&repair, out),
        _ => out.json(&answer(&repair), format),
    }
    .and_then(|()| out.flush());
    if repair.done || repair.damage.is_empty() {
        return shown;
    }
    Err(Failure::new(Code::Corruption, format!("nothing was repaired yet, {}", path.display())).hinting(format!(
        "save what is good with `annals export {0}`, then `annals repair {0} --accept-loss`",
        shell_word(&path)
    )))
}

fn answer(repair: &Repair) -> Answer {
    Answer {
        done: repair.done,
        tail: repair.tail,
        lost_events: repair.lost_events,
        damage: repair.damage.iter().map(Place::from).collect(),
        quarantine: repair.quarantine.iter().map(|file| file.display().to_string()).collect(),
        steps: repair.steps.clone(),
    }
}

fn table(repair: &Repair, out: &mut Out) -> Done {
    if repair.damage.is_empty() && !repair.done {
        return out.line(format_args!("{}, tail at {}", out.paint.green("nothing to repair"), repair.tail));
    }
    verify::damage(&repair.damage, out)?;
    repair.steps.iter().try_for_each(|step| out.line(format_args!("{} {}", out.paint.cyan("•"), text::clean(step))))?;
    let (verb, tail) = if repair.done { ("repaired:", "tail at") } else { ("a repair would mean:", "tail at") };
    let lost = text::counted(repair.lost_events, "event");
    out.line(format_args!("{} {lost} lost, {tail} {}", out.paint.bold(verb), text::count(repair.tail.get())))?;
    for file in &repair.quarantine {
        out.line(format_args!("kept as {}", text::clean(&file.display().to_string())))?;
    }
    Ok(())
}
