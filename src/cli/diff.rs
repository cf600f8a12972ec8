//! What a change makes of a row, field by field: `-` what was, `+` what would be. Of long texts only what differs is
//! shown, with a little around it; nothing that differs is left out unless a bound is given, and then that is said.

use std::time::Duration;

use annals::FieldChange;
use similar::{ChangeTag, DiffOp, TextDiff, TextDiffConfig};

use super::fail::Done;
use super::out::Out;
use super::paint::Style;
use super::{pretty, text};

/// Lines around those that differ.
const CONTEXT_LINES: usize = 2;
/// Columns above which a text on one line is compared word by word, and JSON laid out.
const LONG_COLUMNS: usize = 60;
/// Columns of what is alike that are shown beside words that differ.
const CONTEXT_COLUMNS: usize = 16;
/// How long it may take to find the smallest difference; then a larger one will do.
const PATIENCE: Duration = Duration::from_millis(250);

/// A line of a difference.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    sign: Sign,
    /// Pieces of text, and whether they are what differs.
    pieces: Vec<(String, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Old,
    New,
    Same,
    /// Says something about the lines.
    Note,
}

impl Line {
    fn new(sign: Sign, text: &str) -> Line {
        Line { sign, pieces: vec![(text::clean(text).into_owned(), false)] }
    }

    fn note(text: String) -> Line {
        Line { sign: Sign::Note, pieces: vec![(text, false)] }
    }
}

/// Prints what changes, so many blanks from the left; of each field no more lines than `lines_max`.
pub(crate) fn print(out: &mut Out, blanks: usize, changes: &[FieldChange], lines_max: Option<usize>) -> Done {
    if changes.is_empty() {
        let nothing = out.paint.dim("nothing: the row is as it is asked for");
        return out.line(format_args!("{:blanks$}{nothing}", ""));
    }
    for change in changes {
        let field = out.paint.bold(&text::clean(&change.path));
        out.line(format_args!("{:blanks$}{field}", ""))?;
        let mut lines = lines(change.from.as_deref(), change.to.as_deref());
        let more = lines.len().saturating_sub(lines_max.unwrap_or(usize::MAX));
        // A note that something is left out takes a line too.
        if more > 1 {
            lines.truncate(lines.len() - more);
            lines.push(Line::note(format!("… {} more", text::counted(more as u64, "line"))));
        }
        lines.iter().try_for_each(|line| line.print(out, blanks))?;
    }
    Ok(())
}

impl Line {
    fn print(&self, out: &mut Out, blanks: usize) -> Done {
        let (sign, style) = match self.sign {
            Sign::Old => ("- ", Style::Removed),
            Sign::New => ("+ ", Style::Green),
            Sign::Same => ("  ", Style::Plain),
            Sign::Note => ("  ", Style::Dim),
        };
        let whole: String = self.pieces.iter().map(|(piece, _)| piece.as_str()).collect();
        let room = out.width.map_or(usize::MAX, |width| width.saturating_sub(blanks + 2).max(8));
        let mut marks = self.pieces.iter().flat_map(|(piece, differs)| piece.chars().map(move |_| *differs));
        for (at, part) in text::wrap(&whole, room).into_iter().enumerate() {
            let sign = if at == 0 { sign } else { "  " };
            let mut line = format!("{:blanks$}{}", "", out.paint.style(style, sign.trim_end()));
            line.push_str(&sign[sign.trim_end().len()..]);
            line.push_str(&self.painted(out, part.trim_end(), style, &mut marks));
            // What the end of the line lost.
            marks.by_ref().take(part.chars().count() - part.trim_end().chars().count()).for_each(drop);
            out.line(line.trim_end())?;
        }
        Ok(())
    }

    /// The text in the style of its line; what differs stands out.
    fn painted(&self, out: &Out, text: &str, style: Style, marks: &mut impl Iterator<Item = bool>) -> String {
        let mut runs: Vec<(bool, String)> = Vec::new();
        for char in text.chars() {
            let differs = marks.next().unwrap_or(false);
            match runs.last_mut() {
                Some((known, run)) if *known == differs => run.push(char),
                _ => runs.push((differs, char.to_string())),
            }
        }
        let runs = runs
            .into_iter()
            .map(|(differs, run)| if differs { out.paint.reversed(style, &run) } else { out.paint.style(style, &run) });
        runs.collect()
    }
}

/// The lines of one field's difference.
fn lines(from: Option<&str>, to: Option<&str>) -> Vec<Line> {
    match (from, to) {
        (Some(from), Some(to)) => both(&Shown::of(from), &Shown::of(to)),
        (from, to) => {
            let side = |json: Option<&str>, sign| json.map(|json| Shown::of(json).all(sign)).unwrap_or_default();
            side(from, Sign::Old).into_iter().chain(side(to, Sign::New)).collect()
        }
    }
}

fn both(old: &Shown, new: &Shown) -> Vec<Line> {
    match (old, new) {
        (Shown::One(old), Shown::One(new)) => {
            if text::width(old).min(text::width(new)) > LONG_COLUMNS {
                return by_words(old, new);
            }
            vec![Line::new(Sign::Old, old), Line::new(Sign::New, new)]
        }
        _ => by_lines(&old.lines(), &new.lines()),
    }
}

/// A value as a person reads it.
enum Shown {
    /// On one line, as JSON.
    One(String),
    /// A text of several lines, or JSON laid out.
    Many(Vec<String>),
}

impl Shown {
    fn of(json: &str) -> Shown {
        if let Ok(text) = serde_json::from_str::<String>(json) {
            if text.contains('\n') {
                // A last line break is a line of its own, which is empty: so it is seen where only that differs.
                return Shown::Many(text.split('\n').map(str::to_owned).collect());
            }
            return Shown::One(json.to_owned());
        }
        let is_long = json.starts_with(['{', '[']) && text::width(json) > LONG_COLUMNS;
        match pretty::layout(json.as_bytes()).filter(|_| is_long) {
            Some(laid) => Shown::Many(laid.lines().map(str::to_owned).collect()),
            None => Shown::One(json.to_owned()),
        }
    }

    fn lines(&self) -> Vec<&str> {
        match self {
            Shown::One(line) => vec![line],
            Shown::Many(lines) => lines.iter().map(String::as_str).collect(),
        }
    }

    fn all(&self, sign: Sign) -> Vec<Line> {
        let mut lines = self.lines();
        // Where nothing is compared, a last line break says nothing.
        if lines.len() > 1 && lines.last() == Some(&"") {
            lines.pop();
        }
        lines.into_iter().map(|line| Line::new(sign, line)).collect()
    }
}

fn compared<'a>(old: &[&'a str], new: &[&'a str]) -> TextDiff<'a, 'a, str> {
    TextDiffConfig::default().timeout(PATIENCE).diff_slices(old, new)
}

fn by_lines(old: &[&str], new: &[&str]) -> Vec<Line> {
    let diff = compared(old, new);
    let mut lines = Vec::new();
    let mut next = 0;
    for group in diff.grouped_ops(CONTEXT_LINES) {
        let first = group.first().map_or(0, |op| op.new_range().start);
        lines.extend(alike(first.saturating_sub(next)));
        next = group.last().map_or(0, |op| op.new_range().end);
        for op in &group {
            for change in diff.iter_changes(op) {
                let sign = match change.tag() {
                    ChangeTag::Equal => Sign::Same,
                    ChangeTag::Delete => Sign::Old,
                    ChangeTag::Insert => Sign::New,
                };
                lines.push(Line::new(sign, change.value()));
            }
        }
    }
    lines.extend(alike(new.len().saturating_sub(next)));
    lines
}

/// Says that lines are left out because they are alike.
fn alike(count: usize) -> Option<Line> {
    (count > 0).then(|| Line::note(format!("… {} as before", text::counted(count as u64, "line"))))
}

fn by_words(old: &str, new: &str) -> Vec<Line> {
    let (old_words, new_words) = (words(old), words(new));
    let diff = compared(&old_words, &new_words);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let ops = diff.ops();
    for (at, op) in ops.iter().enumerate() {
        let removed = old_words.get(op.old_range()).unwrap_or_default().concat();
        let added = new_words.get(op.new_range()).unwrap_or_default().concat();
        if let DiffOp::Equal { .. } = op {
            let kept = shortened(&removed, at > 0, at + 1 < ops.len());
            before.push((kept.clone(), false));
            after.push((kept, false));
            continue;
        }
        before.push((text::clean(&removed).into_owned(), true));
        after.push((text::clean(&added).into_owned(), true));
    }
    vec![Line { sign: Sign::Old, pieces: before }, Line { sign: Sign::New, pieces: after }]
}

/// Words with the blanks behind them.
fn words(text: &str) -> Vec<&str> {
    text.split_inclusive(' ').collect()
}

/// A text that is alike on both sides: only its ends that touch what differs.
fn shortened(text: &str, keep_start: bool, keep_end: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let kept = CONTEXT_COLUMNS * (usize::from(keep_start) + usize::from(keep_end));
    if chars.len() <= kept + CONTEXT_COLUMNS {
        return text::clean(text).into_owned();
    }
    let start: String = chars.iter().take(if keep_start { CONTEXT_COLUMNS } else { 0 }).collect();
    let end: String = chars.iter().skip(if keep_end { chars.len() - CONTEXT_COLUMNS } else { chars.len() }).collect();
    format!("{}…{}", text::clean(&start), text::clean(&end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(from: Option<&str>, to: Option<&str>) -> Vec<String> {
        let sign = |line: &Line| match line.sign {
            Sign::Old => "-",
            Sign::New => "+",
            Sign::Same => " ",
            Sign::Note => "#",
        };
        let text = |line: &Line| line.pieces.iter().map(|(piece, _)| piece.as_str()).collect::<String>();
        lines(from, to).iter().map(|line| format!("{} {}", sign(line), text(line))).collect()
    }

    #[test]
    fn short_values_stand_whole() {
        assert_eq!(shown(Some("\"A\""), Some("\"B\"")), ["- \"A\"", "+ \"B\""]);
        assert_eq!(shown(Some("1"), Some("\"1\"")), ["- 1", "+ \"1\""]);
        assert_eq!(shown(None, Some("[1,2]")), ["+ [1,2]"]);
        assert_eq!(shown(Some("{\"a\":1}"), None), ["- {\"a\":1}"]);
    }

    #[test]
    fn of_long_texts_only_what_differs_is_shown() {
        let text = |changed: &str| {
            let lines: Vec<String> =
                (1..=20).map(|n| if n == 10 { changed.to_owned() } else { format!("l{n}") }).collect();
            serde_json::to_string(&lines.join("\n")).unwrap()
        };
        assert_eq!(
            shown(Some(&text("old")), Some(&text("new"))),
            ["# … 7 lines as before", "  l8", "  l9", "- old", "+ new", "  l11", "  l12", "# … 8 lines as before"]
        );
        // A line break at the end is a difference too.
        assert_eq!(shown(Some("\"a\\nb\""), Some("\"a\\nb\\n\"")), ["  a", "  b", "+ "]);
        let words = |word: &str| format!("\"{} {word} {}\"", "alpha beta ".repeat(10), "gamma delta ".repeat(10));
        assert_eq!(
            shown(Some(&words("old")), Some(&words("new"))),
            ["- …eta alpha beta  old gamma delta gamm…", "+ …eta alpha beta  new gamma delta gamm…"]
        );
    }

    #[test]
    fn every_word_that_differs_is_shown() {
        let old = "the quick brown fox jumps over the lazy dog and then it sleeps for a long while in the warm sun";
        let new = "the slow brown fox jumps over the lazy dog and then it sleeps for a short while in the warm sun";
        let json = |text: &str| serde_json::to_string(text).unwrap();
        let lines = shown(Some(&json(old)), Some(&json(new)));
        assert!(lines[0].contains("quick") && lines[0].contains("long"), "{lines:?}");
        assert!(lines[1].contains("slow") && lines[1].contains("short"), "{lines:?}");
    }
}
