//! Asking the program that runs the flow.

use std::path::Path;

use super::super::command::{Command, Reply};
use crate::error::{Error, ErrorKind, Result};

/// How long an answer is waited for: as long as a slow disk may take.
#[cfg(unix)]
const ANSWER_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(60);

/// Asks whoever listens at the control socket of a store; once more where the answer was lost on its way.
#[cfg(unix)]
pub(crate) fn send(store: &Path, command: &Command) -> Result<Reply> {
    use super::{Call, VERSION};

    let call = Call { version: VERSION, id: uuid::Uuid::new_v4().to_string(), command: command.clone() };
    let line = serde_json::to_string(&call)
        .map_err(|error| Error::invalid(format!("the command cannot be written as JSON: {error}")))?;
    let answer = match ask(store, &line) {
        Err(Lost::Midway(_)) => ask(store, &line),
        answer => answer,
    };
    match answer {
        Ok(answer) => answer.result(),
        Err(Lost::Nobody(why)) => {
            let text = format!("another process holds {}, and none listens at its control socket", store.display());
            Err(Error::new(ErrorKind::Locked, text).hinting("wait for it to end").caused_by(why))
        }
        Err(Lost::Midway(why)) => {
            let text = format!("the program that holds {} did not answer: {why}", store.display());
            let hint = "whether it was done is in the log; `annals log STORE --reverse --limit 10` shows the newest";
            Err(Error::new(ErrorKind::Io, text).hinting(hint).caused_by(why))
        }
    }
}

#[cfg(not(unix))]
pub(crate) fn send(store: &Path, _: &Command) -> Result<Reply> {
    let text = format!("another process holds {}, and there are no control sockets here", store.display());
    Err(Error::new(ErrorKind::Locked, text).hinting("wait for it to end"))
}

/// Why there is no answer.
#[cfg(unix)]
enum Lost {
    /// Nobody heard it.
    Nobody(std::io::Error),
    /// Whether it was done is not known.
    Midway(std::io::Error),
}

#[cfg(unix)]
fn ask(store: &Path, line: &str) -> Result<super::Answer, Lost> {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    let address = super::address::Address::of(store).map_err(Lost::Nobody)?;
    let mut stream = UnixStream::connect(&address.path).map_err(Lost::Nobody)?;
    stream.set_read_timeout(Some(ANSWER_WAIT_MAX)).map_err(Lost::Nobody)?;
    stream.set_write_timeout(Some(ANSWER_WAIT_MAX)).map_err(Lost::Nobody)?;
    stream.write_all(line.as_bytes()).and_then(|()| stream.write_all(b"\n")).map_err(Lost::Midway)?;
    let mut answer = String::new();
    let read = BufReader::new(stream.take(super::LINE_BYTES_MAX)).read_line(&mut answer).map_err(Lost::Midway)?;
    if read == 0 {
        return Err(Lost::Midway(std::io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_str(&answer).map_err(|error| Lost::Midway(error.into()))
}
