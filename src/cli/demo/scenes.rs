//! The scene that imports, and the one that compares two moments.

use annals::{AsOf, Event, Query, Reader, Timestamp};

use super::{SAMPLE_NAME, Set, Stage};
use crate::cli::fail::{Code, Done, Failure, shell_word};
use crate::cli::open;
use crate::cli::text;

/// A document whose status changes between two days, and nothing else in it.
const DOCUMENT: &str = "note/pep-0616";
const DAY_BEFORE: &str = "2020-04-01";
const DAY_AFTER: &str = "2020-04-21";
/// Changed lines that are shown.
const DIFF_LINES: usize = 3;

pub(super) fn import(set: &Set, stage: &mut Stage<'_>) -> Done {
    stage.title("Import a real history: 26 years of 58 Python proposals")?;
    stage.run(&["import", &path(&set.store), &path(&set.sample)])?;
    stage.run(&["seal", &path(&set.store)])
}

pub(super) fn look_back(set: &Set, stage: &mut Stage<'_>) -> Done {
    stage.title("Look back in time: a document on two days of 2020")?;
    let opened = open::reading(&set.store)?;
    let reader = opened.reader();
    let store = shell_word(&set.store);
    for day in [DAY_BEFORE, DAY_AFTER] {
        stage.command(&format!("annals state {store} {DOCUMENT} --as-happened {day}"))?;
    }
    let then = body(&reader, DAY_BEFORE, set)?;
    let later = body(&reader, DAY_AFTER, set)?;
    let lines = then.lines().count() as u64;
    stage.line(format_args!("Of its {}, this differs three weeks later:", text::counted(lines, "line")))?;
    for (sign, line) in differing(&then, &later).into_iter().take(DIFF_LINES) {
        let line = format!("{sign} {}", text::clean(line));
        let line = if sign == '+' { stage.out.paint.green(&line) } else { stage.out.paint.yellow(&line) };
        stage.line(line)?;
    }
    Ok(())
}

pub(super) fn path(path: &std::path::Path) -> String {
    path.display().to_string()
}

fn time(day: &str) -> Done<Timestamp> {
    Timestamp::parse_relative(day, Timestamp::now()).map_err(|error| Failure::usage(error.to_string()))
}

/// The document as it stood at the beginning of a day.
fn body(reader: &Reader, day: &str, set: &Set) -> Done<String> {
    let missing =
        || Failure::new(Code::NotFound, format!("{DOCUMENT} is not as in {SAMPLE_NAME}, {}", path(&set.store)));
    let then = reader.as_of(AsOf::Occurred(time(day)?));
    let newest = Query::all().subject(DOCUMENT).rev().limit(1);
    let event: Event = then.read(&newest).next().ok_or_else(missing)?.map_err(|e| Failure::of_store(&e, &set.store))?;
    let data: serde_json::Value = serde_json::from_slice(event.data()).map_err(|_| missing())?;
    data.get("body").and_then(|body| body.as_str()).map(str::to_owned).ok_or_else(missing)
}

/// The lines between the common beginning and the common end: first those that went, then those that came.
fn differing<'a>(old: &'a str, new: &'a str) -> Vec<(char, &'a str)> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[same..], &new[same..]);
    let same = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let went = old[..old.len() - same].iter().map(|line| ('-', *line));
    let came = new[..new.len() - same].iter().map(|line| ('+', *line));
    went.chain(came).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown() {
        assert_eq!(differing("a\nb\nc", "a\nB\nc"), [('-', "b"), ('+', "B")]);
        assert_eq!(differing("a\nc", "a\nb\nc"), [('+', "b")]);
        assert_eq!(differing("a\na", "a"), [('-', "a")]);
        assert_eq!(differing("a", "a"), []);
    }
}
