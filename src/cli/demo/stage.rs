//! Titles, commands and what they answer: the commands are run by the same code that runs them from a shell.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::Path;

use crate::cli::fail::{Code, Done, Failure, shell_word};
use crate::cli::interrupt;
use crate::cli::out::Out;

/// Blanks before what belongs to a scene.
const INDENT: usize = 3;
/// Columns of lines where there is no terminal.
const WIDTH_OF_A_FILE: usize = 120;

pub(super) struct Stage<'a> {
    pub(super) out: &'a mut Out,
    scene: u32,
}

impl<'a> Stage<'a> {
    pub(super) fn new(out: &'a mut Out) -> Stage<'a> {
        // Long rows say nothing more to whoever reads this in a file.
        out.width.get_or_insert(WIDTH_OF_A_FILE);
        Stage { out, scene: 0 }
    }

    /// Begins a scene.
    pub(super) fn title(&mut self, title: &str) -> Done {
        if interrupt::asked() {
            return Err(Failure::Quiet(Code::Interrupted));
        }
        self.scene += 1;
        self.out.line("")?;
        let number = self.out.paint.cyan(&self.scene.to_string());
        self.out.line(format_args!("{number}  {}", self.out.paint.bold(title)))
    }

    /// A line of a scene.
    pub(super) fn line(&mut self, text: impl Display) -> Done {
        self.out.indent(INDENT);
        let done = self.out.line(text);
        self.out.indent(0);
        done
    }

    /// A line outside of all scenes.
    pub(super) fn say(&mut self, text: impl Display) -> Done {
        self.out.line(text)
    }

    /// Shows a command as it can be copied.
    pub(super) fn command(&mut self, command: &str) -> Done {
        let (prompt, command) = (self.out.paint.dim("$"), self.out.paint.cyan(command));
        self.line(format_args!("{prompt} {command}"))?;
        // What the command itself says on standard error comes after this line.
        self.out.flush()
    }

    /// Shows a command and runs it, which has to end well.
    pub(super) fn run(&mut self, args: &[&str]) -> Done {
        self.run_to(args, Code::Ok)
    }

    /// Shows a command and runs it, which has to end so.
    pub(super) fn run_to(&mut self, args: &[&str], wanted: Code) -> Done {
        let shown = args.iter().map(|arg| shell_word(Path::new(arg))).collect::<Vec<_>>().join(" ");
        self.command(&format!("annals {shown}"))?;
        self.out.indent(INDENT);
        let all = std::iter::once("annals").chain(args.iter().copied()).map(OsString::from);
        let done = crate::cli::run(all, self.out);
        self.out.indent(0);
        match done {
            Err(Failure::Quiet(code)) if code == wanted => self.out.flush(),
            done => done.and_then(|()| self.out.flush()),
        }
    }
}
