//! Subjects: what an event is about.
//!
//! A subject is `kind/id`, such as `note/n-1`. The kind ends at the first `/`; the id may hold any further ones, as in
//! `repository/rust-lang/cargo`. Both are free text within [`SUBJECT_BYTES_MAX`], without control characters. The
//! subject is the unit of versioning: its events are numbered 1, 2, 3 and so on.

use std::fmt;

use crate::limits::SUBJECT_BYTES_MAX;

/// The kind of a subject: what stands before the first `/`, or the whole text where there is none.
///
/// ```
/// use annals::subject::kind_of;
///
/// assert_eq!(kind_of("repository/rust-lang/cargo"), "repository");
/// ```
pub fn kind_of(subject: &str) -> &str {
    match split(subject) {
        Some((kind, _)) => kind,
        None => subject,
    }
}

/// Kind and id of a subject; `None` where there is no `/`.
pub fn split(subject: &str) -> Option<(&str, &str)> {
    cut(subject, b'/')
}

/// What stands before and behind the first of an ASCII character. Names are short: looking at byte after byte is faster
/// here than the search of [`str::split_once`], and an append does it for each event.
pub(crate) fn cut(text: &str, at: u8) -> Option<(&str, &str)> {
    debug_assert!(at.is_ascii(), "anything else could lie within a character");
    let place = text.bytes().position(|byte| byte == at)?;
    Some((&text[..place], &text[place + 1..]))
}

/// Checks that a text can be a subject.
///
/// # Errors
///
/// What stands in its way; see [`SubjectError`].
pub fn validate(subject: &str) -> Result<(), SubjectError> {
    if subject.len() > SUBJECT_BYTES_MAX {
        return Err(SubjectError::TooLong { bytes: subject.len() });
    }
    validate_parts(subject)?;
    match control_character(subject) {
        Some(found) => Err(SubjectError::ControlCharacter { found }),
        None => Ok(()),
    }
}

/// Checks kind and id of a subject that is neither too long nor holds a control character.
pub(crate) fn validate_parts(subject: &str) -> Result<(), SubjectError> {
    match split(subject) {
        None if subject.is_empty() => Err(SubjectError::Empty),
        None => Err(SubjectError::NoSlash),
        Some(("", _)) => Err(SubjectError::EmptyKind),
        Some((_, "")) => Err(SubjectError::EmptyId),
        Some(_) => Ok(()),
    }
}

/// The first control character (Unicode category Cc) of a text.
///
/// Texts that people see must hold none: it could break a line of output, or command a terminal.
pub(crate) fn control_character(text: &str) -> Option<char> {
    if is_printable_ascii(text) { None } else { text.chars().find(|char| char.is_control()) }
}

/// Whether a text surely holds no control character: nearly every one is plain ASCII and settled by this loop, which
/// compiles to vector instructions.
pub(crate) fn is_printable_ascii(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & (0x20..0x7f).contains(&byte))
}

/// Why a text cannot be a subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SubjectError {
    /// There is no text.
    Empty,
    /// There is no `/` to end the kind.
    NoSlash,
    /// Nothing stands before the first `/`.
    EmptyKind,
    /// Nothing stands behind the first `/`.
    EmptyId,
    /// It holds a control character.
    ControlCharacter {
        /// The first one.
        found: char,
    },
    /// It is longer than [`SUBJECT_BYTES_MAX`].
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

impl fmt::Display for SubjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubjectError::Empty => f.write_str("the subject is empty: it must be kind/id, such as note/n-1"),
            SubjectError::NoSlash => f.write_str("the subject has no `/`: it must be kind/id, such as note/n-1"),
            SubjectError::EmptyKind => f.write_str("the subject has no kind before its first `/`"),
            SubjectError::EmptyId => f.write_str("the subject has no id behind its first `/`"),
            SubjectError::ControlCharacter { found } => {
                write!(f, "the subject holds a control character, U+{:04X}", u32::from(*found))
            }
            SubjectError::TooLong { bytes } => {
                write!(f, "the subject is {bytes} bytes long, at most {SUBJECT_BYTES_MAX} are allowed")
            }
        }
    }
}

impl std::error::Error for SubjectError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_ends_at_the_first_slash() {
        assert_eq!(split("note/n-1"), Some(("note", "n-1")));
        assert_eq!(split("page/en.wikipedia/Talk:A/B"), Some(("page", "en.wikipedia/Talk:A/B")));
        assert_eq!(split("note"), None);
        assert_eq!(kind_of("note/n-1"), "note");
        assert_eq!(kind_of("note"), "note");
        assert_eq!(kind_of("/n-1"), "");
    }

    #[test]
    fn free_text_is_a_subject() {
        for subject in ["note/n-1", "a/b", "page/nl.wikipedia/Café Zürich", "aanvraag/één/twee/", "a//", "日/本", " / "]
        {
            assert_eq!(validate(subject), Ok(()), "{subject:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_subject_says_why() {
        let control = |found| SubjectError::ControlCharacter { found };
        for (subject, error) in [
            ("", SubjectError::Empty),
            ("note", SubjectError::NoSlash),
            ("/", SubjectError::EmptyKind),
            ("/n-1", SubjectError::EmptyKind),
            ("note/", SubjectError::EmptyId),
            ("note/a\nb", control('\n')),
            ("no\0te/a", control('\0')),
            ("note/a\u{7f}", control('\u{7f}')),
            ("note/é\u{9b}", control('\u{9b}')),
        ] {
            assert_eq!(validate(subject), Err(error), "{subject:?}");
            assert!(!error.to_string().contains(char::is_control));
        }
        assert_eq!(control('\u{1b}').to_string(), "the subject holds a control character, U+001B");
    }

    #[test]
    fn the_limit_is_exact() {
        let longest = format!("note/{}", "x".repeat(SUBJECT_BYTES_MAX - 5));
        assert_eq!(validate(&longest), Ok(()));
        let longer = format!("{longest}x");
        assert_eq!(validate(&longer), Err(SubjectError::TooLong { bytes: SUBJECT_BYTES_MAX + 1 }));
    }
}
