//! Ctrl-C, for the verbs that have something to finish. All others die of it as any program does.

use std::sync::atomic::{AtomicBool, Ordering};

use super::fail::Code;

/// Written by the handler, read by whoever works; nothing else hangs on its order.
static ASKED: AtomicBool = AtomicBool::new(false);

/// From here on the first Ctrl-C asks for an end, and a second one does not wait for it.
pub(crate) fn listen() {
    // A verb that cannot listen is ended by the signal itself, which is safe at any moment.
    let _ = ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::Relaxed) {
            std::process::exit(Code::Interrupted as i32);
        }
    });
}

/// Whether Ctrl-C was pressed.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
