//! Patterns over event types.

use std::fmt;

/// A pattern over an event type, whose parts are separated by dots.
///
/// `*` stands for exactly one part, `**` as the last part for one or more, and `\*` for a star
/// itself. Everything else stands for itself, also a star beside other characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TypePattern {
    text: String,
    parts: Vec<Part>,
    /// Ends in `**`, so any number of parts may follow those given, at least one.
    open: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    Any,
    Is(String),
}

impl TypePattern {
    /// Reads a pattern; every text is one.
    #[must_use]
    pub fn new(text: &str) -> TypePattern {
        let mut parts: Vec<Part> = text
            .split('.')
            .map(|part| match part {
                "*" => Part::Any,
                literal => Part::Is(literal.replace("\\*", "*")),
            })
            .collect();
        let open = parts.last() == Some(&Part::Is("**".to_owned())) && text.rsplit('.').next() == Some("**");
        if open {
            parts.pop();
        }
        TypePattern { text: text.to_owned(), parts, open }
    }

    /// The one type that the pattern stands for, if it has no wildcard.
    pub(crate) fn literal(&self) -> Option<String> {
        let parts: Option<Vec<&str>> = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Any => None,
                Part::Is(literal) => Some(literal.as_str()),
            })
            .collect();
        parts.filter(|_| !self.open).map(|parts| parts.join("."))
    }

    /// Whether the pattern covers this type.
    #[must_use]
    pub fn matches(&self, event_type: &str) -> bool {
        let mut rest = event_type.split('.');
        let fits = self.parts.iter().all(|part| match (part, rest.next()) {
            (_, None) => false,
            (Part::Any, Some(_)) => true,
            (Part::Is(literal), Some(found)) => literal == found,
        });
        fits && rest.next().is_some() == self.open
    }
}

/// The text that the pattern was read from.
impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::TypePattern;

    #[test]
    fn one_star_is_one_part_and_two_at_the_end_are_one_or_more() {
        for (pattern, event_type, expected) in [
            ("note.*", "note.created", true),
            ("note.*", "note", false),
            ("note.*", "note.a.b", false),
            ("note.**", "note.a.b", true),
            ("note.**", "note", false),
            ("**", "anything at all", true),
            ("*", "note.created", false),
            ("notes.*.validated", "notes.update.validated", true),
            ("notes.*.validated", "notes.update.failed", false),
            ("**.validated", "notes.validated", false),
            ("a.\\*", "a.*", true),
            ("a.\\*", "a.b", false),
            ("a.\\*\\*", "a.**", true),
            ("a.\\*\\*", "a.b", false),
            ("no*te", "no*te", true),
            ("no*te", "noXte", false),
            ("W_Completeren aanvraag", "W_Completeren aanvraag", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(TypePattern::new(pattern).matches(event_type), expected, "{pattern:?} on {event_type:?}");
        }
    }

    #[test]
    fn a_literal_is_known_as_one() {
        assert_eq!(TypePattern::new("note.created").literal().as_deref(), Some("note.created"));
        assert_eq!(TypePattern::new("a.\\*").literal().as_deref(), Some("a.*"));
        assert_eq!(TypePattern::new("note.*").literal(), None);
        assert_eq!(TypePattern::new("note.**").literal(), None);
    }
}
