//! The place of an event in the log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The place of an event in the whole log: 1 for the first, without gaps.
///
/// Positions are the order of the log; times never are. [`Position::ORIGIN`] (0) stands before every event, so
/// "after the origin" means "from the first event on": wherever a position says where to begin, it is exclusive.
///
/// ```
/// use annals::Position;
///
/// assert_eq!(Position::ORIGIN.next(), Position::new(1));
/// assert_eq!(Position::new(42).to_string(), "42");
/// assert_eq!("42".parse(), Ok(Position::new(42)));
/// ```
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(u64);

impl Position {
    /// Before every event; also the tail of an empty log, and the default.
    pub const ORIGIN: Position = Position(0);

    /// The position of the `ordinal`-th event, the first being 1; 0 is [`Position::ORIGIN`].
    pub const fn new(ordinal: u64) -> Position {
        Position(ordinal)
    }

    /// The ordinal: 1 for the first event, 0 for [`Position::ORIGIN`].
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position behind this one. The last of all, `u64::MAX`, which no log reaches, is its own.
    #[must_use]
    pub const fn next(self) -> Position {
        Position(self.0.saturating_add(1))
    }
}

/// Prints the plain number; width and padding are those of a number.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl From<u64> for Position {
    fn from(ordinal: u64) -> Position {
        Position(ordinal)
    }
}

impl From<Position> for u64 {
    fn from(position: Position) -> u64 {
        position.0
    }
}

/// Reads decimal digits alone; leading zeros are allowed.
impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Position, PositionError> {
        // u64's own parser takes a plus sign, which no position is printed with.
        if text.bytes().all(|byte| byte.is_ascii_digit())
            && let Ok(ordinal) = text.parse()
        {
            return Ok(Position(ordinal));
        }
        Err(PositionError(()))
    }
}

/// A text that is no position.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PositionError(());

impl fmt::Display for PositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a position: a position is a whole number, 1 for the first event")
    }
}

impl std::error::Error for PositionError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_are_the_plain_number() {
        let position = Position::new(1_204);
        assert_eq!(position.to_string(), "1204");
        assert_eq!(format!("{position:020}"), "00000000000000001204");
        assert_eq!("00000000000000001204".parse(), Ok(position));
        assert_eq!(serde_json::to_string(&position).unwrap(), "1204");
        assert_eq!(serde_json::from_str::<Position>("1204").unwrap(), position);
        assert_eq!(u64::from(Position::from(7)), 7);
    }

    #[test]
    fn what_is_no_whole_number_is_refused() {
        for text in [
            "",
            "+1",
            "-1",
            "1.0",
            " 1",
            "1 ",
            "0x1",
            "18446744073709551616",
            "one",
        ] {
            assert_eq!(text.parse::<Position>(), Err(PositionError(())), "{text:?}");
        }
        assert_eq!("18446744073709551615".parse(), Ok(Position::new(u64::MAX)));
    }

    #[test]
    fn the_origin_comes_first_and_is_the_default() {
        assert_eq!(Position::default(), Position::ORIGIN);
        assert!(Position::ORIGIN < Position::ORIGIN.next());
        assert_eq!(Position::new(u64::MAX).next(), Position::new(u64::MAX));
    }
}
