//! What can go wrong, and what a caller can do about it.
//!
//! One opaque [`Error`] with a [`kind`](Error::kind), a one-line message and, where there is one, a
//! hint that says what to do. [`AppendError`] stands apart because the caller of an append has to
//! branch on it. Bytes that fail a check are always an error value that names file, offset and
//! positions; a panic in this library is a bug.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::position::Position;
use crate::time::Timestamp;

/// The result of most calls of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error that a callback of the user may return.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What kind of failure an [`Error`] is; what a program branches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store, file, event or subject asked for is not there.
    NotFound,
    /// The directory is neither empty nor a store.
    NotAStore,
    /// The store was written by a newer version of the format; it was not touched.
    NewerFormat,
    /// Another process or handle holds the store for writing.
    Locked,
    /// Bytes that were once durable fail a check. Nothing was changed.
    Corruption,
    /// The end of the log is damaged in a way that a power cut does not explain; a person decides.
    DamagedTail,
    /// The operating system refused a call.
    Io,
    /// The disk is full, or a quota or size limit was met. Nothing was written.
    Full,
    /// A sync failed earlier; this handle writes no more, its readers go on.
    Poisoned,
    /// The store was closed.
    Closed,
    /// The caller asked for something that makes no sense; the message says what.
    Invalid,
    /// A value exceeds a limit of [`limits`](crate::limits).
    TooLarge,
    /// A condition did not hold.
    Conflict,
    /// The append came after the time it had to come before.
    TooLate,
    /// An idempotency key was used before with other content.
    KeyReused,
    /// The actor may not do this.
    Denied,
    /// The name is reserved for the store itself.
    Reserved,
    /// The store was opened for reading only.
    ReadOnly,
    /// A cursor or checkpoint stands on an event that the log no longer holds.
    Diverged,
    /// The payload was moved out of the store.
    Archived,
}

/// The place and nature of bytes that failed a check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Corruption {
    /// The file, relative to the store's directory.
    pub file: PathBuf,
    /// Where in the file the bad bytes begin, in bytes.
    pub offset: u64,
    /// The events that can no longer be read for certain, if that is known.
    pub positions: Option<RangeInclusive<Position>>,
    /// What should have stood there.
    pub expected: String,
    /// What stood there.
    pub found: String,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: expected {}, found {}", self.file.display(), self.offset, self.expected, self.found)?;
        match &self.positions {
            Some(range) if range.start() == range.end() => write!(f, " (position {})", range.start()),
            Some(range) => write!(f, " (positions {} to {})", range.start(), range.end()),
            None => Ok(()),
        }
    }
}

impl Corruption {
    pub(crate) fn new(
        file: impl Into<PathBuf>,
        offset: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Corruption {
        Corruption { file: file.into(), offset, positions: None, expected: expected.into(), found: found.into() }
    }

    pub(crate) fn at(mut self, positions: RangeInclusive<Position>) -> Corruption {
        self.positions = Some(positions);
        self
    }
}

/// The error of this crate: a kind, one line that says what and where, and sometimes a hint.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    corruption: Option<Corruption>,
    input_index: Option<u64>,
    source: Option<BoxError>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        let message = message.into();
        Error(Box::new(Inner { kind, message, hint: None, corruption: None, input_index: None, source: None }))
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::NotFound, message)
    }

    /// Wraps a failed call of the operating system; `what` is a verb phrase such as "write log/0.raw".
    pub(crate) fn io(what: impl fmt::Display, source: io::Error) -> Error {
        let kind = if is_full(&source) { ErrorKind::Full } else { ErrorKind::Io };
        Error::new(kind, format!("cannot {what}: {source}")).caused_by(source)
    }

    /// Whether a file that should be there is not: it may have been replaced since it was listed.
    pub(crate) fn is_gone(&self) -> bool {
        let source = self.0.source.as_ref().and_then(|source| source.downcast_ref::<io::Error>());
        self.0.kind == ErrorKind::NotFound || source.is_some_and(|source| source.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn hinting(mut self, hint: impl Into<String>) -> Error {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn caused_by(mut self, source: impl Into<BoxError>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn at_input(mut self, index: u64) -> Error {
        self.0.input_index = Some(index);
        self
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Which event of an import's input is at fault, counted from 0, where one is. Printed, the error begins with it,
    /// counted from 1.
    #[must_use]
    pub fn input_index(&self) -> Option<u64> {
        self.0.input_index
    }

    /// What happened, without the place in an import's input; for whoever knows a better name for it, such as a line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it, where that can be said.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// File, offset and positions of bytes that failed a check.
    #[must_use]
    pub fn corruption(&self) -> Option<&Corruption> {
        self.0.corruption.as_ref()
    }

    /// The end of the log is damaged in a way that no power cut explains.
    pub(crate) fn damaged_tail(corruption: Corruption) -> Error {
        let mut error =
            Error::new(ErrorKind::DamagedTail, format!("the end of the log is damaged, not torn: {corruption}"))
                .hinting(
                    "reading still works; `annals repair --accept-loss` cuts it and keeps the bytes under quarantine/",
                );
        error.0.corruption = Some(corruption);
        error
    }

    /// The same error for another waiter of the same group; the source stays with the first.
    pub(crate) fn duplicate(&self) -> Error {
        Error(Box::new(Inner {
            kind: self.0.kind,
            message: self.0.message.clone(),
            hint: self.0.hint.clone(),
            corruption: self.0.corruption.clone(),
            input_index: self.0.input_index,
            source: None,
        }))
    }
}

/// Why a name is reserved.
fn reserved(name: &str) -> String {
    match name.starts_with("annals.") {
        true => format!("{name:?} is reserved: names that begin with \"annals.\" belong to the store"),
        false => format!("{name:?} is reserved: of the tables of the catalogue, only requests are appended"),
    }
}

/// Says whether the operating system refused for want of room: the disk, a quota or a size limit.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::StorageFull | K::QuotaExceeded | K::FileTooLarge)
}

impl From<Corruption> for Error {
    fn from(corruption: Corruption) -> Error {
        let mut error = Error::new(ErrorKind::Corruption, corruption.to_string())
            .hinting("nothing was changed; `annals verify` lists all damage, reading what is good still works");
        error.0.corruption = Some(corruption);
        error
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(index) = self.0.input_index {
            write!(f, "event {} of the input: ", index.saturating_add(1))?;
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// Why an append was not done. Unless it says otherwise, nothing of the append is in the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A condition did not hold.
    #[error("{condition} does not hold: {found}")]
    Conflict {
        /// The first event that stands against the condition; [`Position::ORIGIN`] if it is the
        /// absence of one.
        position: Position,
        /// The condition, in words.
        condition: String,
        /// What was found instead, in words.
        found: String,
    },
    /// The append would have been recorded at or after the time it had to come before.
    #[error("too late: the append had to come before {before}, and it is {now}")]
    TooLate {
        /// The deadline that the append carried.
        before: Timestamp,
        /// The time it would have been recorded at.
        now: Timestamp,
    },
    /// The idempotency key was used before with other content.
    #[error("the key {key:?} was used at position {position} for other content")]
    KeyReused {
        /// The key.
        key: String,
        /// The first event of the append that used it.
        position: Position,
    },
    /// There is no room. Nothing was written, and appends work again when there is room.
    #[error("no room for the append: {0}")]
    Full(Error),
    /// An earlier sync failed, so this handle writes no more. If this append was under way when it
    /// failed (`unknown`), it may or may not be found after reopening.
    #[error("{reason}")]
    Poisoned {
        /// What failed.
        reason: String,
        /// Whether the outcome of this very append is unknown.
        unknown: bool,
    },
    /// The batch or one of its fields exceeds a limit.
    #[error("{0}")]
    TooLarge(Error),
    /// A field has no legal value, or the append is empty.
    #[error("{0}")]
    Invalid(Error),
    /// A type or a metadata name begins with `annals.`, which is kept for the store itself; or a type says of a
    /// catalogue's table what only the flow may say.
    #[error("{}", reserved(.0))]
    Reserved(String),
    /// The actor may not append this.
    #[error("{0}")]
    Denied(Error),
    /// The store was opened for reading only.
    #[error("the store was opened for reading only")]
    ReadOnly,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The log could not be read to check a condition, or the operating system refused a call
    /// before anything was written.
    #[error("{0}")]
    Failed(Error),
}

impl AppendError {
    /// The same kinds as of [`Error`].
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            AppendError::Conflict { .. } => ErrorKind::Conflict,
            AppendError::TooLate { .. } => ErrorKind::TooLate,
            AppendError::KeyReused { .. } => ErrorKind::KeyReused,
            AppendError::Full(_) => ErrorKind::Full,
            AppendError::Poisoned { .. } => ErrorKind::Poisoned,
            AppendError::TooLarge(_) => ErrorKind::TooLarge,
            AppendError::Invalid(_) => ErrorKind::Invalid,
            AppendError::Reserved(_) => ErrorKind::Reserved,
            AppendError::Denied(_) => ErrorKind::Denied,
            AppendError::ReadOnly => ErrorKind::ReadOnly,
            AppendError::Closed => ErrorKind::Closed,
            AppendError::Failed(error) => error.kind(),
        }
    }

    /// The same outcome for an append that repeats this one in the same group.
    pub(crate) fn for_repetition(&self) -> AppendError {
        match self {
            AppendError::Full(error) => AppendError::Full(error.duplicate()),
            AppendError::Poisoned { reason, unknown } => {
                AppendError::Poisoned { reason: reason.clone(), unknown: *unknown }
            }
            AppendError::TooLarge(error) | AppendError::Invalid(error) | AppendError::Failed(error) => {
                AppendError::Failed(error.duplicate())
            }
            // Nothing that was placed in a group ends so.
            other => AppendError::Failed(Error::new(other.kind(), other.to_string())),
        }
    }
}

impl From<AppendError> for Error {
    fn from(error: AppendError) -> Error {
        match error {
            AppendError::Full(inner)
            | AppendError::TooLarge(inner)
            | AppendError::Invalid(inner)
            | AppendError::Denied(inner)
            | AppendError::Failed(inner) => inner,
            other => {
                let wrapped = Error::new(other.kind(), other.to_string());
                match other {
                    AppendError::Poisoned { .. } => {
                        wrapped.hinting("close the store and open it again; recovery says what survived")
                    }
                    _ => wrapped,
                }
            }
        }
    }
}

impl From<Error> for AppendError {
    fn from(error: Error) -> AppendError {
        match error.kind() {
            ErrorKind::Full => AppendError::Full(error),
            ErrorKind::TooLarge => AppendError::TooLarge(error),
            ErrorKind::Invalid => AppendError::Invalid(error),
            ErrorKind::Denied => AppendError::Denied(error),
            ErrorKind::Closed => AppendError::Closed,
            ErrorKind::ReadOnly => AppendError::ReadOnly,
            _ => AppendError::Failed(error),
        }
    }
}
/// The store, or one of its files, was written by a newer version.
pub(crate) fn newer_format(version: u16) -> Error {
    Error::new(
        ErrorKind::NewerFormat,
        format!("the store is of format version {version}; this program knows version 1"),
    )
    .hinting("use a newer version of annals; nothing was touched")
}
