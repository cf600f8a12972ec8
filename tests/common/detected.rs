//! The kinds of error by which damage is detected.

use annals::ErrorKind;

/// What damage may be called.
pub const DETECTED: [ErrorKind; 6] = [
    ErrorKind::Corruption,
    ErrorKind::DamagedTail,
    ErrorKind::NewerFormat,
    ErrorKind::NotAStore,
    ErrorKind::NotFound,
    ErrorKind::Io,
];
