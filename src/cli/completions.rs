//! `annals completions`: a script that teaches a shell the command line.

use clap::Command;
use clap_complete::{Shell, generate};

use super::fail::Done;
use super::out::Out;

/// Print a script of completions for a shell
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// bash, elvish, fish, powershell or zsh
    #[arg(value_enum, value_name = "SHELL", hide_possible_values = true)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, command: &mut Command, out: &mut Out) -> Done {
    let mut script = Vec::new();
    generate(args.shell, command, "annals", &mut script);
    out.bytes(&script)
}
