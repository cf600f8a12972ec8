//! What there is to know about this machine and this process.

use std::hash::{BuildHasher, RandomState};
use std::io::Read;

use xxhash_rust::xxh3::xxh3_64;

/// Names the present boot of the machine; 0 if the system doesn't say.
#[must_use]
pub fn boot_id() -> u64 {
    match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(text) => xxh3_64(text.trim().as_bytes()).max(1),
        Err(_) => 0,
    }
}

/// Who this process is, in a line for the lock file: pid, host, program, since.
#[must_use]
pub fn process_line() -> String {
    let pid = std::process::id();
    let program = std::env::current_exe().ok();
    let program = program.as_deref().and_then(std::path::Path::file_name).unwrap_or_default().to_string_lossy();
    // Names come from outside; a line break in one must not forge a second line.
    let clean = |text: &str| text.replace(|c: char| c.is_control() || c == ',', "?");
    format!("pid {pid}, host {}, program {}, since {:.0}\n", clean(&host()), clean(&program), jiff::Timestamp::now())
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// Lets other threads of the machine go before this one, as far as the system does so. Not the last of all: whoever
/// closes a store waits for what this one has begun, and on a machine without an idle core a nice value of 19 makes
/// minutes of a second's work.
pub fn lower_priority() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 10);
}

/// Random bytes from the operating system, for identities and salts: they differ from all others,
/// but they are no secret keys.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let device = std::fs::File::open("/dev/urandom").and_then(|mut device| device.read_exact(&mut bytes));
    if device.is_err() {
        // The standard library seeds its hash maps from the system's randomness, wherever it runs.
        let state = RandomState::new();
        for (i, chunk) in bytes.chunks_mut(8).enumerate() {
            chunk.copy_from_slice(&state.hash_one(i).to_le_bytes()[..chunk.len()]);
        }
    }
    bytes
}

/// Whether the process that [`process_line`] told of is there; `None` where that cannot be said.
#[must_use]
pub fn is_there(line: &str) -> Option<bool> {
    let mut fields = line.trim().split(", ");
    let pid: u32 = fields.next()?.strip_prefix("pid ")?.parse().ok()?;
    let here = fields.next()?.strip_prefix("host ")? == host();
    let can_tell = here && cfg!(target_os = "linux") && std::path::Path::new("/proc/self").exists();
    can_tell.then(|| std::path::Path::new("/proc").join(pid.to_string()).exists())
}
