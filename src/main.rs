//! The `annals` command: one small file per verb, over the public API of the library alone.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
