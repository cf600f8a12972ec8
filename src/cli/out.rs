//! Standard output: one buffered writer for all verbs. Where the reader of a pipe has gone, the program ends
//! quietly, since `annals log pod | head` is no error.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal as _, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::fail::{Code, Done, Failure};
use super::paint::Paint;

/// Columns of a terminal that does not say how wide it is.
const WIDTH_UNKNOWN: usize = 80;
/// Columns below which nothing is made to fit.
const WIDTH_MIN: usize = 20;

/// How a verb answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a person.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Jsonl,
    /// The text exposition format of Prometheus; of `stat` alone.
    Prometheus,
}

/// Where a verb's answer goes.
pub(crate) struct Out {
    to: BufWriter<Box<dyn Write>>,
    /// Colours for this output.
    pub(crate) paint: Paint,
    /// Columns of the terminal; `None` where it is none, so nothing needs to fit.
    pub(crate) width: Option<usize>,
    /// Blanks before each line.
    indent: usize,
}

impl Out {
    pub(crate) fn stdout() -> Out {
        let stdout = io::stdout();
        let width = stdout.is_terminal().then(|| match terminal_size::terminal_size_of(&stdout) {
            Some((width, _)) => usize::from(width.0).max(WIDTH_MIN),
            None => WIDTH_UNKNOWN,
        });
        let paint = Paint::stdout();
        Out { to: BufWriter::with_capacity(64 << 10, Box::new(stdout)), paint, width, indent: 0 }
    }

    /// An output that nobody sees.
    pub(crate) fn nowhere() -> Out {
        Out { to: BufWriter::new(Box::new(io::sink())), paint: Paint::none(), width: None, indent: 0 }
    }

    /// Moves all lines to the right by so many blanks from here on.
    pub(crate) fn indent(&mut self, blanks: usize) {
        self.width = self.width.map(|width| (width + self.indent).saturating_sub(blanks).max(WIDTH_MIN));
        self.indent = blanks;
    }

    /// One line.
    pub(crate) fn line(&mut self, text: impl Display) -> Done {
        let text = text.to_string();
        let indent = if text.is_empty() { 0 } else { self.indent };
        told(writeln!(self.to, "{:indent$}{text}", ""))
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Done {
        told(self.to.write_all(bytes))
    }

    /// One JSON document: indented for `json`, on one line for `jsonl`.
    pub(crate) fn json<T: Serialize + ?Sized>(&mut self, value: &T, format: Format) -> Done {
        let text = match format {
            Format::Jsonl => serde_json::to_string(value),
            _ => serde_json::to_string_pretty(value),
        };
        match text {
            Ok(text) if self.indent > 0 => text.lines().try_for_each(|line| self.line(line)),
            Ok(text) => self.bytes(text.as_bytes()).and_then(|()| self.bytes(b"\n")),
            Err(error) => Err(Failure::new(Code::Failure, format!("cannot write the answer as JSON: {error}"))),
        }
    }

    /// A list: one array for `json`, one element a line for `jsonl`.
    pub(crate) fn json_list<T: Serialize>(&mut self, values: &[T], format: Format) -> Done {
        match format {
            Format::Jsonl => values.iter().try_for_each(|value| self.json(value, format)),
            _ => self.json(values, format),
        }
    }

    /// Hands everything over to the operating system.
    pub(crate) fn flush(&mut self) -> Done {
        told(self.to.flush())
    }
}

/// What writing to standard output came to.
fn told(result: io::Result<()>) -> Done {
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::Quiet(Code::Ok)),
        Err(error) => Err(Failure::new(Code::Failure, format!("cannot write to standard output: {error}"))),
    }
}
