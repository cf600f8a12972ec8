//! A directory of its own for each test, and `annals` run in it.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// An empty directory, in which every command of a test runs.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    vars: Vec<(&'static str, &'static str)>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap(), vars: Vec::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Sets a variable for all later commands.
    pub(crate) fn set(&mut self, name: &'static str, value: &'static str) {
        self.vars.push((name, value));
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env_remove("ANNALS_STORE").env_remove("ANNALS_ACTOR").env_remove("CLICOLOR_FORCE");
        command.envs(self.vars.iter().copied());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        Ended::of(&self.command(args).output().unwrap())
    }

    /// Runs with a text on standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Ended {
        Ended::of(&assert_cmd::Command::from(self.command(args)).write_stdin(input).output().unwrap())
    }

    /// Runs, and what it prints must be as told.
    pub(crate) fn good(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        ended.out
    }

    /// The JSON that a command answers with.
    pub(crate) fn json(&self, args: &[&str]) -> serde_json::Value {
        let args = [args, &["--format", "json"]].concat();
        let out = self.good(&args);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"))
    }

    /// The lines of JSON that a command answers with.
    pub(crate) fn jsonl(&self, args: &[&str]) -> Vec<serde_json::Value> {
        let out = self.good(&[args, &["--format", "jsonl"]].concat());
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs what must fail: with this exit code, nothing on standard output, one line that begins so, and a hint.
    #[track_caller]
    pub(crate) fn bad(&self, args: &[&str], code: i32, message: &str) -> Ended {
        let ended = self.run(args);
        ended.is_bad(code, message);
        assert_eq!(ended.out, "", "{args:?}");
        ended
    }

    /// Appends events to the store `pod`, about `note/n-1`, one a value.
    pub(crate) fn pod(&self, contents: &[&str]) {
        for content in contents {
            let data = format!("{{\"content\":{content:?}}}");
            self.good(&["append", "pod", "--type", "note.edited", "--subject", "note/n-1", "--data", &data]);
        }
    }
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Ended {
        Ended {
            // What a signal ends has no code; shells show 128 and its number.
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout.clone()).unwrap(),
            err: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn is_bad(&self, code: i32, message: &str) {
        let errors: Vec<&str> = self.err.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{self:?}");
        assert!(errors[0].starts_with(&format!("error: {message}")), "expected {message:?}: {self:?}");
        let hint = self.err.lines().last().unwrap_or_default();
        assert!(hint.starts_with("hint: ") || hint == errors[0], "{self:?}");
        assert_eq!(self.code, code, "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
    }
}
