//! The control socket: a program beside the one that runs the flow asks over it, and that one appends, decides and
//! executes by its own policy and rules.
//!
//! It is a Unix socket named `control` in the store's directory, of mode 0600, which only processes of the same user
//! are answered on. Whoever asks sends one line of JSON, a [`Call`]; the answer is one line, an [`Answer`]; then either
//! sends the next or closes. A call carries an id: sent again, it gets the answer that it got first.

mod client;
#[cfg(unix)]
mod server;

use serde::{Deserialize, Serialize};

use super::command::{Command, Reply};
use super::outcome::AlreadyDecided;
use crate::error::{Error, ErrorKind, Result};

pub(crate) use client::send;
#[cfg(unix)]
pub(crate) use server::Server;
#[cfg(all(unix, any(fuzzing, feature = "fuzzing")))]
pub(crate) use server::answers;

/// The socket, in the store's directory.
const NAME: &str = "control";
/// The version of what is said over it.
const VERSION: u32 = 1;
/// Bytes of a line at most: an event of the largest size, escaped.
const LINE_BYTES_MAX: u64 = 128 << 20;

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
struct Call {
    version: u32,
    /// Any text that no other call has.
    id: String,
    #[serde(flatten)]
    command: Command,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ok(Reply),
    Error(Told),
}

/// An error on its way to another process.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    kind: ErrorKind,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decided: Option<AlreadyDecided>,
}

impl Answer {
    fn of(result: Result<Reply>) -> Answer {
        match result {
            Ok(reply) => Answer::Ok(reply),
            Err(error) => Answer::Error(Told {
                kind: error.kind(),
                message: error.to_string(),
                hint: error.hint().map(str::to_owned),
                decided: error.already_decided().cloned(),
            }),
        }
    }

    fn result(self) -> Result<Reply> {
        match self {
            Answer::Ok(reply) => Ok(reply),
            Answer::Error(told) => {
                let error = Error::new(told.kind, told.message);
                let error = told.hint.into_iter().fold(error, Error::hinting);
                Err(told.decided.into_iter().fold(error, Error::caused_by))
            }
        }
    }
}

/// An answer as whoever asked reads it; `None` if it is none.
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub(crate) fn read_answer(line: &[u8]) -> Option<Result<Reply>> {
    serde_json::from_slice(line).ok().map(Answer::result)
}

/// Where the socket of a store is, for a call of the operating system that takes only short paths: a long one goes
/// through the directory's descriptor, which has to stay open meanwhile.
#[cfg(unix)]
mod address {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd as _;
    use std::path::{Path, PathBuf};

    /// Bytes that the address of a socket takes on every system.
    const PATH_BYTES_MAX: usize = 100;

    pub(super) struct Address {
        pub(super) path: PathBuf,
        _directory: Option<File>,
    }

    impl Address {
        pub(super) fn of(store: &Path) -> io::Result<Address> {
            let path = store.join(super::NAME);
            if path.as_os_str().len() <= PATH_BYTES_MAX {
                return Ok(Address { path, _directory: None });
            }
            let directory = File::open(store)?;
            let path = PathBuf::from(format!("/proc/self/fd/{}/{}", directory.as_raw_fd(), super::NAME));
            Ok(Address { path, _directory: Some(directory) })
        }
    }
}
