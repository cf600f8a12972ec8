//! The head of a log: how many events it has and the root of the tree over them, on one line. Whoever keeps that line
//! elsewhere can tell later whether these events are still the ones that they were.
//!
//! ```text
//! annals-head 1 LOG SIZE ROOT
//! ```
//!
//! One blank between the words; `1` is the version of this text. LOG: 32 lower-case hexadecimal digits. SIZE: the
//! number of events, in decimal without leading zeros. ROOT: 64 such digits, the tree head of RFC 6962, section 2.1,
//! over the leaves of positions 1 to SIZE.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::event::LogId;

/// What the line begins with.
const WORD: &str = "annals-head";
/// The version of the line that this code writes and reads.
const VERSION: &str = "1";

/// The digest of a whole history: the log, the number of its first events that are meant, and the root of the tree
/// over them.
///
/// It changes with every event, and no other events have the same. As text it is one line, which
/// [`Store::verify_against`](crate::Store::verify_against) and [`Receipt::check`](crate::Receipt::check) take as what
/// they trust; so it is worth as much as the place where it is kept.
///
/// ```
/// use annals::{Head, NewEvent, Store};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path();
/// let store = Store::open(path)?;
/// store.append([NewEvent::bytes("note.created", "note/n-1", "text/plain", *b"A")])?;
/// let head = store.head()?;
/// assert_eq!(head.size, 1);
/// assert_eq!(head.to_string().parse::<Head>()?, head);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Head {
    /// The log.
    pub log: LogId,
    /// The number of events, which is also the position of the last one.
    pub size: u64,
    /// The tree head of RFC 6962 over positions 1 to `size`.
    pub root: [u8; 32],
}

/// What holding a log against a [`Head`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Against {
    /// The log's first events are those that the head names.
    Same,
    /// The head is of another log than this one.
    OtherLog(LogId),
    /// The log has only so many events, and the head names more.
    Fewer(u64),
    /// The log's first events, as many as the head names, are others; this is their root.
    OtherEvents([u8; 32]),
}

impl Against {
    /// The same as a result, for whom anything but [`Against::Same`] is a failure.
    ///
    /// # Errors
    /// `Corruption`, with one line that says what differs from the head.
    pub fn result(&self, head: &Head) -> Result<()> {
        let (message, hint) = match self {
            Against::Same => return Ok(()),
            Against::OtherLog(found) => (
                format!("another log: the head is of log {}, the store is log {found}", head.log),
                "what was imported is a log of its own; a head goes with the store that it was printed from",
            ),
            Against::Fewer(found) => (
                format!("fewer events than the head names: {found} of {}", head.size),
                "the directory is an older copy of itself, or events were cut from it; look under quarantine/ and in \
                 your copies",
            ),
            Against::OtherEvents(found) => (
                format!(
                    "other events in positions 1 to {} than the head names: their root is {}",
                    head.size,
                    hex(found)
                ),
                "the history was rewritten since the head was printed, or goes on from an older copy; nothing was changed",
            ),
        };
        Err(Error::new(ErrorKind::Corruption, message).hinting(hint))
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WORD} {VERSION} {} {} {}", self.log, self.size, hex(&self.root))
    }
}

/// Reads the line, with or without the line break behind it.
impl FromStr for Head {
    type Err = Error;

    fn from_str(text: &str) -> Result<Head> {
        let bad = |what: &str| Error::invalid(format!("no head: {what}")).hinting(HINT);
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let mut words = line.split(' ');
        if words.next() != Some(WORD) {
            return Err(bad("it does not begin with `annals-head`"));
        }
        match words.next() {
            Some(VERSION) => {}
            Some(version) if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) => {
                let shown: String = version.chars().take(20).collect();
                return Err(Error::new(ErrorKind::NewerFormat, format!("a head of version {shown}"))
                    .hinting("this annals reads version 1; use a newer one"));
            }
            _ => return Err(bad("no version follows `annals-head`")),
        }
        let log = words.next().and_then(unhex).ok_or_else(|| bad("the log's id is not 32 hexadecimal digits"))?;
        let size = words.next().and_then(number).ok_or_else(|| bad("the number of events is no number"))?;
        let root = words.next().and_then(unhex).ok_or_else(|| bad("the root is not 64 hexadecimal digits"))?;
        match words.next() {
            None => Ok(Head { log: LogId(log), size, root }),
            Some(_) => Err(bad("something follows the root")),
        }
    }
}

const HINT: &str = "`annals verify STORE --head` prints the one line that is meant";

/// A number in the one way of writing it.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Two lower-case digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(if value < 10 { b'0' + value } else { b'a' + value - 10 });
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes that `hex` writes so; upper case is refused, so that each has one spelling.
pub(crate) fn unhex_all(text: &str) -> Option<Vec<u8>> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect()
}

/// As [`unhex_all`], for a known number of bytes.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N { None } else { unhex_all(text)?.try_into().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        let mut root = [0; 32];
        root.iter_mut().enumerate().for_each(|(index, byte)| *byte = (index * 8) as u8);
        Head { log: LogId([0xa5; 16]), size: 1_204, root }
    }

    #[test]
    fn a_head_is_one_line_that_reads_back() {
        let text = head().to_string();
        let line = "annals-head 1 a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5 1204 \
                    0008101820283038404850586068707880889098a0a8b0b8c0c8d0d8e0e8f0f8";
        assert_eq!(text, line);
        for ending in ["", "\n", "\r\n"] {
            assert_eq!(format!("{text}{ending}").parse::<Head>().unwrap(), head());
        }
    }

    #[test]
    fn only_that_line_is_a_head() {
        let text = head().to_string();
        for cut in 0..text.len() {
            assert!(text[..cut].parse::<Head>().is_err(), "{cut} bytes");
        }
        for (from, to) in [
            ("annals-head", "annals-heat"),
            (" 1 ", " 01 "),
            (" 1 ", " x "),
            (" 1 ", "  1 "),
            (" a5", " A5"),
            (" a5", " g5"),
            (" a5", " a5a5"),
            ("1204", "01204"),
            ("1204", "+1204"),
            ("1204", "99999999999999999999"),
            ("1204", "ä"),
            ("f8", "f8 more"),
            ("f8", "f8\nmore"),
            ("f8", "F8"),
            ("f8", "f8\n\n"),
        ] {
            let bad = text.replacen(from, to, 1);
            assert_ne!(bad, text);
            assert!(bad.parse::<Head>().is_err(), "{bad}");
        }
        let newer = text.replacen(" 1 ", " 2 ", 1).parse::<Head>().unwrap_err();
        assert_eq!(newer.kind(), ErrorKind::NewerFormat);
    }
}
