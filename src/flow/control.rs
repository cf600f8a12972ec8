//! The control socket of a running flow.

use std::path::Path;

use super::command::{Command, Reply};
use crate::error::{Error, ErrorKind, Result};

/// Asks whoever listens at the control socket of a store.
pub(crate) fn send(store: &Path, _: &Command) -> Result<Reply> {
    let text = format!("another process holds {}, and no application listens at its control socket", store.display());
    Err(Error::new(ErrorKind::Locked, text).hinting("wait for it to end"))
}
