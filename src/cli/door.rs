//! How a writing verb gets at the flow of a store: it takes the lock where that is free, and runs the flow itself; else
//! it asks the application that holds it.

use std::path::Path;
use std::time::Instant;

use annals::{Catalog, Command, Durability, Error, ErrorKind, Flow, Reply, Store};

use super::fail::{Done, Failure};
use super::open::{self, LOCK_RETRY, LOCK_WAIT_MAX};

/// Whether a verb makes the store where nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    Make,
    Refuse,
}

/// Has a command done: by the flow of this process, or by that of the application that writes the store.
pub(crate) fn run(path: &Path, absent: Absent, command: &Command) -> Done<Reply> {
    // A store that is not there is not made in order to say that it knows nothing.
    let durability = open::durability(path, absent == Absent::Make)?;
    let own = |store: &Store| by_own_flow(store, command).map_err(|error| Failure::of_flow(&error, path));
    run_with(path, durability, command, own)
}

/// The same where the store itself can do it, so that no flow has to be started.
pub(crate) fn run_with(
    path: &Path,
    durability: Durability,
    command: &Command,
    own: impl FnOnce(&Store) -> Done<Reply>,
) -> Done<Reply> {
    let began = Instant::now();
    loop {
        let held = match open::try_writing(path, durability) {
            Ok(store) => {
                let reply = own(&store);
                let closed = open::close(&store, path);
                let reply = reply?;
                return closed.map(|()| reply);
            }
            Err(error) if error.kind() == ErrorKind::Locked => error,
            Err(error) => return Err(Failure::of_store(&error, path)),
        };
        match Flow::send(path, command) {
            Ok(reply) => return Ok(reply),
            // Nobody listens: whoever holds the lock is no application that runs the flow, and may end soon.
            Err(error) if error.kind() == ErrorKind::Locked => {}
            Err(error) => return Err(Failure::of_flow(&error, path)),
        }
        if began.elapsed() >= LOCK_WAIT_MAX {
            return Err(Failure::of_store(&held, path));
        }
        std::thread::sleep(LOCK_RETRY);
    }
}

/// Starts the flow as the store has it, does what is due, then the command, and what that makes due.
fn by_own_flow(store: &Store, command: &Command) -> Result<Reply, Error> {
    let flow = Flow::builder(store).background(false).start()?;
    flow.settle()?;
    let reply = flow.run(command)?;
    flow.settle()?;
    Ok(reply)
}

/// Lets the flow of this process do what is due.
pub(crate) fn settle(store: &Store, path: &Path) -> Done {
    let flow = Flow::builder(store).background(false).start();
    flow.and_then(|flow| flow.settle()).map_err(|error| Failure::of_flow(&error, path))
}

/// A flow for looking at, beside whoever writes the store.
pub(crate) fn view(path: &Path) -> Done<Flow> {
    let store = open::reading(path)?;
    Flow::view(&store).map_err(|error| Failure::of_flow(&error, path))
}

/// The tables that a store has, or would have once it was made.
pub(crate) fn catalog(path: &Path, absent: Absent) -> Done<Catalog> {
    match Store::options().read_only(true).open(path) {
        Ok(store) => store.catalog().map_err(|error| Failure::of_store(&error, path)),
        Err(error) if error.kind() == ErrorKind::NotFound && absent == Absent::Make => Ok(Catalog::core()),
        Err(error) => Err(Failure::of_store(&error, path)),
    }
}
