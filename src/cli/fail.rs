//! How a verb ends badly: an exit code, one line that says what and where, and a hint.

use std::fmt::{self, Display};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use annals::{AppendError, Error, ErrorKind};

use super::paint::Paint;

/// What most functions of the command line return.
pub(crate) type Done<T = ()> = Result<T, Failure>;

/// The exit codes of every verb; `annals help exit-codes` prints them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Ok = 0,
    Failure = 1,
    Usage = 2,
    NotFound = 3,
    Conflict = 4,
    Corruption = 5,
    Locked = 6,
    Denied = 7,
    Asked = 8,
    Interrupted = 130,
}

impl Code {
    fn of(kind: ErrorKind) -> Code {
        match kind {
            ErrorKind::NotFound | ErrorKind::NotAStore => Code::NotFound,
            ErrorKind::Conflict | ErrorKind::TooLate | ErrorKind::KeyReused => Code::Conflict,
            ErrorKind::Corruption | ErrorKind::DamagedTail => Code::Corruption,
            ErrorKind::Locked => Code::Locked,
            ErrorKind::Denied | ErrorKind::Reserved => Code::Denied,
            _ => Code::Failure,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code as u8)
    }
}

/// Why a verb did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Everything there is to say has been said, or there is nobody left to hear it.
    Quiet(Code),
    /// One line for a person, and what to do about it.
    Told { code: Code, message: String, hint: Option<String> },
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure::Told { code, message: message.into(), hint: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Code::Usage, message)
    }

    #[must_use]
    pub(crate) fn hinting(self, text: impl Into<String>) -> Failure {
        match self {
            Failure::Told { code, message, .. } => Failure::Told { code, message, hint: Some(text.into()) },
            quiet @ Failure::Quiet(_) => quiet,
        }
    }

    /// A failed call of the operating system outside the store; `what` is a verb phrase.
    pub(crate) fn io(what: impl Display, error: &io::Error) -> Failure {
        let code = if error.kind() == io::ErrorKind::NotFound { Code::NotFound } else { Code::Failure };
        Failure::new(code, format!("cannot {what}: {error}"))
    }

    /// What a store says, with the place of the store.
    pub(crate) fn of_store(error: &Error, store: &Path) -> Failure {
        let hint = error.hint().map(str::to_owned).or_else(|| hint_of(error.kind(), store));
        Failure::Told { code: Code::of(error.kind()), message: placed(error, store), hint }
    }

    /// What a flow says. Values that make no sense came from the command line, so they are misuse of it.
    pub(crate) fn of_flow(error: &Error, store: &Path) -> Failure {
        match Failure::of_store(error, store) {
            Failure::Told { code, message, hint } => {
                let code = if error.kind() == ErrorKind::Invalid { Code::Usage } else { code };
                // The library does not know how the store was called here.
                let hint = hint.map(|hint| hint.replace(" STORE", &format!(" {}", shell_word(store))));
                Failure::Told { code, message, hint }
            }
            quiet @ Failure::Quiet(_) => quiet,
        }
    }

    /// What an append says. Values that make no sense came from the command line, so they are misuse of it.
    pub(crate) fn of_append(error: AppendError, store: &Path) -> Failure {
        let (code, stands_against) = match &error {
            AppendError::Conflict { position, .. } | AppendError::KeyReused { position, .. } => {
                (Code::Conflict, Some(*position))
            }
            AppendError::Invalid(_) => (Code::Usage, None),
            other => (Code::of(other.kind()), None),
        };
        let hint = match stands_against {
            Some(position) if position.get() > 0 => {
                Some(format!("`annals show {} {position}` shows what stands against it", shell_word(store)))
            }
            Some(_) => Some("nothing was appended; drop --expect to append in any case".to_owned()),
            None => None,
        };
        let reason = match &error {
            AppendError::Conflict { condition, found, .. } => {
                Some(format!("{condition}, but {found}, {}", store.display()))
            }
            _ => None,
        };
        match Failure::of_store(&Error::from(error), store) {
            Failure::Told { message, hint: known, .. } => {
                Failure::Told { code, message: reason.unwrap_or(message), hint: hint.or(known) }
            }
            quiet @ Failure::Quiet(_) => quiet,
        }
    }

    /// Prints error and hint, and gives the exit code.
    pub(crate) fn report(&self) -> Code {
        match self {
            Failure::Quiet(code) => *code,
            Failure::Told { code, message, hint } => {
                let paint = Paint::stderr();
                let mut lines = format!("{} {}\n", paint.red("error:"), one_line(message));
                if let Some(hint) = hint {
                    lines.push_str(&format!("{} {}\n", paint.cyan("hint:"), one_line(hint)));
                }
                tell(&lines);
                *code
            }
        }
    }
}

/// `error, STORE`, unless the error already names the place.
fn placed(error: &Error, store: &Path) -> String {
    let (message, place) = (error.to_string(), store.display().to_string());
    if message.contains(&place) { message } else { format!("{message}, {place}") }
}

fn hint_of(kind: ErrorKind, store: &Path) -> Option<String> {
    let store = shell_word(store);
    Some(match kind {
        ErrorKind::NotFound | ErrorKind::NotAStore => {
            "check the path; `annals import` and `annals append` make a store where nothing is".to_owned()
        }
        ErrorKind::NewerFormat => "use a newer annals; the store was not touched".to_owned(),
        ErrorKind::Locked => "wait for it to end, or read: every reading verb works beside a writer".to_owned(),
        ErrorKind::Corruption | ErrorKind::DamagedTail => format!(
            "nothing was changed; `annals verify {store}` lists the damage, `annals export {store}` saves what is good"
        ),
        ErrorKind::Full => "nothing was lost; make room and try again".to_owned(),
        ErrorKind::Reserved => "choose another name; those that begin with `annals.` are the store's own".to_owned(),
        _ => return None,
    })
}

/// A path as it can be pasted into a shell.
pub(crate) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text;
    }
    // What a shell leaves alone between double quotes reads better there, if it holds single ones.
    let is_calm = text.contains('\'') && !text.contains(['"', '$', '`', '\\', '!']);
    if is_calm { format!("\"{text}\"") } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Line breaks and other control characters of a message, made visible: a message is one line.
fn one_line(text: &str) -> String {
    super::text::clean(text.trim_end()).into_owned()
}

/// Writes to standard error; where that is gone, there is nobody to tell.
pub(crate) fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// `warning: ...` on standard error.
pub(crate) fn warn(text: impl Display) {
    tell(&format!("{} {}\n", Paint::stderr().yellow("warning:"), one_line(&text.to_string())));
}

/// `note: ...` on standard error.
pub(crate) fn note(text: impl Display) {
    tell(&format!("{} {}\n", Paint::stderr().cyan("note:"), one_line(&text.to_string())));
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Quiet(code) => write!(f, "exit {}", *code as u8),
            Failure::Told { message, .. } => f.write_str(message),
        }
    }
}
