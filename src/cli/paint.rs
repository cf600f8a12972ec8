//! Colours, where somebody is there to see them: not in a pipe, not with NO_COLOR.

use anstream::{AutoStream, ColorChoice};

/// Whether to colour; every method gives its text back as it is where not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

/// What a piece of output is, which decides how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Style {
    #[default]
    Plain,
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
    /// What goes.
    Removed,
}

impl Paint {
    /// Whether there is any colour.
    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    /// No colour.
    pub(crate) fn none() -> Paint {
        Paint { on: false }
    }

    pub(crate) fn stdout() -> Paint {
        Paint { on: AutoStream::choice(&std::io::stdout()) != ColorChoice::Never }
    }

    pub(crate) fn stderr() -> Paint {
        Paint { on: AutoStream::choice(&std::io::stderr()) != ColorChoice::Never }
    }

    pub(crate) fn style(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Plain => return text.to_owned(),
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Red => "1;31",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Cyan => "36",
            Style::Removed => "31",
        };
        if self.on && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// In the style, with its colours the other way round: a blank that differs is seen too.
    pub(crate) fn reversed(self, style: Style, text: &str) -> String {
        if self.on && !text.is_empty() { format!("\x1b[7m{}", self.style(style, text)) } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.style(Style::Bold, text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.style(Style::Dim, text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.style(Style::Red, text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.style(Style::Green, text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.style(Style::Yellow, text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.style(Style::Cyan, text)
    }
}
