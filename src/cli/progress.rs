//! Progress of long work: on standard error, and only where somebody watches.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over so many bytes.
pub(crate) fn bytes(verb: &'static str, total: u64) -> ProgressBar {
    let bar = bar(Some(total));
    bar.set_style(style("{prefix} {bar:32.cyan/dim} {percent:>3} %  {binary_bytes_per_sec}  {msg}"));
    bar.set_prefix(verb);
    bar
}

/// A bar over so many events.
pub(crate) fn events(verb: &'static str, total: u64) -> ProgressBar {
    let bar = bar(Some(total));
    bar.set_style(style("{prefix} {bar:32.cyan/dim} {percent:>3} %  {msg}"));
    bar.set_prefix(verb);
    bar
}

/// Work whose end is not known.
pub(crate) fn endless(verb: &'static str) -> ProgressBar {
    let bar = bar(None);
    bar.set_style(style("{spinner:.cyan} {prefix}  {msg}"));
    bar.set_prefix(verb);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn bar(total: Option<u64>) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(10)
    } else {
        ProgressDrawTarget::hidden()
    };
    ProgressBar::with_draw_target(total, target)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━━─")
        .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
}
