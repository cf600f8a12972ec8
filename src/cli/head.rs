//! Reading small files that somebody kept: a head, a receipt; `-` is standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use annals::{Error, Head};

use super::fail::{Code, Done, Failure};

/// Bytes of a file with a head, which is one line of some 130.
const HEAD_BYTES_MAX: usize = 4096;

/// The head that stands in a file.
pub(crate) fn read(file: &Path) -> Done<Head> {
    let bytes = bytes(file, HEAD_BYTES_MAX, "a head")?;
    let head = String::from_utf8_lossy(&bytes).parse::<Head>();
    head.map_err(|error| of_file(&error, file))
}

/// A whole file of no more than so many bytes; `what` it should be.
pub(crate) fn bytes(file: &Path, bytes_max: usize, what: &str) -> Done<Vec<u8>> {
    let failed = |error| Failure::io(format_args!("read {}", name(file)), &error);
    let source: Box<dyn Read> = if is_stdin(file) {
        Box::new(io::stdin())
    } else {
        if file.is_dir() {
            return Err(Failure::usage(format!("{} is a directory, not {what}", file.display())));
        }
        Box::new(File::open(file).map_err(failed)?)
    };
    let mut bytes = Vec::new();
    source.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > bytes_max {
        return Err(Failure::new(Code::Failure, format!("too large to be {what}, {}", name(file))));
    }
    Ok(bytes)
}

/// What the library says of such a file, with its name.
pub(crate) fn of_file(error: &Error, file: &Path) -> Failure {
    Failure::of_store(error, Path::new(&name(file)))
}

/// How a message calls the file.
pub(crate) fn name(file: &Path) -> String {
    if is_stdin(file) { "standard input".to_owned() } else { file.display().to_string() }
}

pub(crate) fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}
