//! A store that does everything at once, and the check of it, as a program for the scripts under `scripts/faults`:
//!
//! ```text
//! busy write STORE LEDGER SEED SECONDS    works until the time is over (exit 0) or an error ends it (exit 3)
//! busy check STORE LEDGER                 says in one line what it found (exit 0), or what is wrong (exit 1)
//! ```
//!
//! LEDGER is a file outside of the file system that is made to fail; it says what was acknowledged.

#[cfg(feature = "sqlite")]
#[path = "../tests/busy/mod.rs"]
mod busy;

use std::process::ExitCode;

#[cfg(feature = "sqlite")]
fn main() -> ExitCode {
    use std::path::Path;
    use std::time::Duration;

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["write", store, ledger, seed, seconds] => {
            let (Ok(seed), Ok(seconds)) = (seed.parse(), seconds.parse()) else { return usage() };
            let time = Duration::from_secs_f64(seconds);
            match busy::write::write(Path::new(store), Path::new(ledger), seed, time) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("ended: {error}");
                    ExitCode::from(3)
                }
            }
        }
        ["check", store, ledger] => match busy::check::check(Path::new(store), Path::new(ledger)) {
            Ok(found) => {
                println!("good: {} acknowledgements held, {} events", found.acknowledged, found.events);
                ExitCode::SUCCESS
            }
            Err(error) => {
                println!("VIOLATION: {error}");
                ExitCode::FAILURE
            }
        },
        _ => usage(),
    }
}

#[cfg(not(feature = "sqlite"))]
fn main() -> ExitCode {
    eprintln!("this example keeps tables: build it with the feature sqlite");
    ExitCode::from(2)
}

#[cfg(feature = "sqlite")]
fn usage() -> ExitCode {
    eprintln!("busy write STORE LEDGER SEED SECONDS | busy check STORE LEDGER");
    ExitCode::from(2)
}
