//! JSON laid out over several lines for a person: every token stays as it was written, so that numbers keep their
//! digits and members their order.

/// Lays out one JSON value; `None` if the bytes are none.
pub(crate) fn layout(json: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(json).ok()?;
    serde_json::from_str::<&serde_json::value::RawValue>(text).ok()?;
    let mut laid = String::with_capacity(text.len() * 2);
    let mut depth = 0;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' => {
                laid.push(char);
                let mut escaped = false;
                for inner in chars.by_ref() {
                    laid.push(inner);
                    if inner == '"' && !escaped {
                        break;
                    }
                    escaped = inner == '\\' && !escaped;
                }
            }
            '{' | '[' => {
                laid.push(char);
                while chars.peek().is_some_and(char::is_ascii_whitespace) {
                    chars.next();
                }
                match chars.peek() {
                    Some(end @ ('}' | ']')) => {
                        laid.push(*end);
                        chars.next();
                    }
                    _ => {
                        depth += 1;
                        break_line(&mut laid, depth);
                    }
                }
            }
            '}' | ']' => {
                depth -= 1;
                break_line(&mut laid, depth);
                laid.push(char);
            }
            ',' => {
                laid.push(char);
                break_line(&mut laid, depth);
            }
            ':' => laid.push_str(": "),
            blank if blank.is_ascii_whitespace() => {}
            other => laid.push(other),
        }
    }
    Some(laid)
}

fn break_line(laid: &mut String, depth: usize) {
    laid.push('\n');
    // Deep nesting is shown, not obeyed: beyond some depth the blanks say nothing more.
    laid.extend(std::iter::repeat_n("  ", depth.min(32)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stay_as_they_were_written() {
        let json = br#"{"b":1.0e5,"a":[1, 2,{}],"s":"x,{\"y\":[]}\\","e":[ ] }"#;
        let laid = "{\n  \"b\": 1.0e5,\n  \"a\": [\n    1,\n    2,\n    {}\n  ],\n  \"s\": \"x,{\\\"y\\\":[]}\\\\\",\n  \"e\": []\n}";
        assert_eq!(layout(json).as_deref(), Some(laid));
        assert_eq!(layout(b"17.50").as_deref(), Some("17.50"));
    }

    #[test]
    fn what_is_no_json_is_not_laid_out() {
        for bytes in [&b"{"[..], b"", b"]", b"{}}", b"\xff"] {
            assert_eq!(layout(bytes), None);
        }
        let deep = "[".repeat(100_000);
        assert_eq!(layout(deep.as_bytes()), None);
    }
}
