//! stub
use super::fail::Done;
use super::out::{Format, Out};
/// Measure this machine
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}
pub(crate) fn run(_args: &Args, _format: Format, _out: &mut Out) -> Done {
    Ok(())
}
