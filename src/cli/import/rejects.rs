//! Lines that are no events, kept where a person can look at them: JSON lines of line number, reason and text.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::fail::{Done, Failure};

use super::feed::BadLine;

/// The file of rejects, made with the first one.
pub(super) struct Rejects {
    file: PathBuf,
    to: Option<BufWriter<File>>,
    count: u64,
}

#[derive(Serialize)]
struct Reject<'a> {
    line: u64,
    reason: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

impl Rejects {
    /// In the working directory, under the name of the input.
    pub(super) fn beside(input: &Path) -> Rejects {
        let name = input.file_name().filter(|name| *name != "-");
        let file = match name {
            Some(name) => format!("{}.rejects.jsonl", name.to_string_lossy()),
            None => "rejects.jsonl".to_owned(),
        };
        Rejects { file: PathBuf::from(file), to: None, count: 0 }
    }

    pub(super) fn add(&mut self, bad: &BadLine) -> Done {
        let failed = |error: &std::io::Error| Failure::io(format_args!("write {}", self.file.display()), error);
        let to = match &mut self.to {
            Some(to) => to,
            none => none.insert(BufWriter::new(File::create(&self.file).map_err(|error| failed(&error))?)),
        };
        let text = String::from_utf8_lossy(&bad.text);
        let reject = Reject { line: bad.line, reason: &bad.reason, text: &text, truncated: bad.is_cut };
        let mut line = serde_json::to_vec(&reject).unwrap_or_default();
        line.push(b'\n');
        // Flushed one by one: they are few, and an import may end at any moment.
        to.write_all(&line).and_then(|()| to.flush()).map_err(|error| failed(&error))?;
        self.count += 1;
        Ok(())
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}
