//! stub
use super::fail::Done;
use super::out::{Format, Out};
/// Show what it does
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}
#[derive(Debug, clap::Args)]
pub(crate) struct WriterArgs {}
pub(crate) fn run(_args: &Args, _format: Format, _out: &mut Out) -> Done {
    Ok(())
}
pub(crate) fn write_for_ever(_args: &WriterArgs, _out: &mut Out) -> Done {
    Ok(())
}
