//! Answering at the control socket.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::address::Address;
use super::{Answer, Call, LINE_BYTES_MAX, VERSION};
use crate::error::{Error, ErrorKind, Result};
use crate::flow::Flow;
use crate::flow::engine::Engine;
use crate::store::Store;

/// Answers that are remembered for who asks again.
const REMEMBERED: usize = 1024;
/// Programs that are answered at a time.
const CONNECTIONS_MAX: usize = 64;
/// How long one that says nothing is kept.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// What listens for as long as it lives.
#[derive(Debug)]
pub(crate) struct Server {
    store: Store,
    listener: UnixListener,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What connections share. None of them keeps the flow, or the store's lock, but while it is answered.
struct Shared {
    engine: Weak<Engine>,
    answers: Mutex<Answers>,
    connections: AtomicUsize,
}

/// What was answered lately, by the id of the call.
#[derive(Default)]
struct Answers {
    by_id: HashMap<String, Arc<OnceLock<String>>>,
    order: VecDeque<String>,
}

impl Server {
    /// Listens at the socket of the flow's store. Only the one process that holds the store's lock does, so whatever
    /// socket stands there was left by one that is gone.
    pub(crate) fn start(engine: &Arc<Engine>) -> Result<Server> {
        let store = engine.store.clone();
        let failed = |error| {
            Error::io(format_args!("listen at {}", store.path().join(super::NAME).display()), error)
                .hinting("a store that is opened with `control_socket(false)` has no such socket")
        };
        let address = Address::of(store.path()).map_err(failed)?;
        let listener = listen(&address).map_err(failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let engine = Arc::downgrade(engine);
        let shared = Arc::new(Shared { engine, answers: Mutex::default(), connections: AtomicUsize::new(0) });
        let listening = listener.try_clone().map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("annals-control".to_owned())
            .spawn(move || accept(&listening, &shared, &stopped))
            .map_err(failed)?;
        Ok(Server { store, listener, stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Read by the thread behind each connection; the one that is made here comes after.
        self.stop.store(true, Ordering::SeqCst);
        self.store.inner.answers.store(false, Ordering::Relaxed);
        // Who waits for the next one wakes: on Linux by this, elsewhere by a connection, if the socket is still there.
        let mut woken = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both).is_ok();
        if let Ok(address) = Address::of(self.store.path()) {
            woken |= UnixStream::connect(&address.path).is_ok();
            // Who finds nothing there knows at once that nobody listens.
            let _ = fs::remove_file(&address.path);
        }
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

fn listen(address: &Address) -> io::Result<UnixListener> {
    if let Ok(found) = fs::symlink_metadata(&address.path) {
        if !found.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something stands there that is no socket"));
        }
        fs::remove_file(&address.path)?;
    }
    let listener = UnixListener::bind(&address.path)?;
    // The directory is the owner's alone as well, so nobody else connects in between.
    fs::set_permissions(&address.path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>, stop: &AtomicBool) {
    for stream in listener.incoming() {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else {
            // Out of descriptors, perhaps; those that are open end some time.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        // A count of threads, nothing is handed over by it.
        if !is_same_user(&stream) || shared.connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            shared.connections.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let theirs = Arc::clone(shared);
        let spawned = std::thread::Builder::new().name("annals-control".to_owned()).spawn(move || {
            // Whoever asks badly, or goes, is not answered further.
            let _ = converse(stream, &theirs);
            theirs.connections.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            shared.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Whether the process at the other end is of the same user as this one.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_same_user(stream: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

/// The modes of directory and socket say so where the system does not.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_same_user(_: &UnixStream) -> bool {
    true
}

fn converse(stream: UnixStream, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE_MAX))?;
    stream.set_write_timeout(Some(IDLE_MAX))?;
    let mut answers = stream.try_clone()?;
    let mut calls = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        (&mut calls).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
        let mut answer = answer(&line, shared);
        answer.push('\n');
        answers.write_all(answer.as_bytes())?;
    }
}

/// The answer to a line, the same one if the same was asked before.
fn answer(line: &[u8], shared: &Shared) -> String {
    let call: Call = match serde_json::from_slice(line) {
        Ok(call) => call,
        Err(error) => return written(Err(Error::invalid(format!("what was asked cannot be read: {error}")))),
    };
    if call.version != VERSION {
        let text = format!("version {} of what is asked; this program knows version {VERSION}", call.version);
        return written(Err(Error::new(ErrorKind::NewerFormat, text)));
    }
    let Some(engine) = shared.engine.upgrade() else {
        return written(Err(Error::new(ErrorKind::Closed, "the flow has stopped")));
    };
    let flow = Flow { engine, _running: None };
    let cell = shared.answers.lock().cell(&call.id);
    cell.get_or_init(|| written(flow.run(&call.command))).clone()
}

fn written(result: Result<crate::flow::Reply>) -> String {
    let broken = r#"{"error":{"kind":"invalid","message":"the answer cannot be written"}}"#;
    serde_json::to_string(&Answer::of(result)).unwrap_or_else(|_| broken.to_owned())
}

/// The answers to lines, one after the other, as whoever sends them over one connection gets them.
#[cfg(any(fuzzing, feature = "fuzzing"))]
pub(crate) fn answers<'l>(flow: &Flow, lines: impl Iterator<Item = &'l [u8]>) -> Vec<String> {
    let engine = Arc::downgrade(&flow.engine);
    let shared = Shared { engine, answers: Mutex::default(), connections: AtomicUsize::new(0) };
    lines.map(|line| answer(line, &shared)).collect()
}

impl Answers {
    /// Where the answer to a call stands, or will.
    fn cell(&mut self, id: &str) -> Arc<OnceLock<String>> {
        if let Some(cell) = self.by_id.get(id) {
            return Arc::clone(cell);
        }
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
        let cell = Arc::new(OnceLock::new());
        self.by_id.insert(id.to_owned(), Arc::clone(&cell));
        self.order.push_back(id.to_owned());
        cell
    }
}
