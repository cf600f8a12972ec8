//! Lines of a file that may be compressed, may never end, and may hold no line break at all: read one by one, with a
//! bound on the memory that any of them takes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fail::{Done, Failure};

/// What a zstd frame begins with.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// What a skippable frame begins with, the low four bits of the first byte being free: `pzstd` writes one first.
const ZSTD_SKIPPABLE_MAGIC: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

/// Bytes that were read from a file so far, for whoever shows progress.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(crate) fn bytes(&self) -> u64 {
        // A figure for people: nothing hangs on its order.
        self.0.load(Ordering::Relaxed)
    }
}

struct Counted<R> {
    inner: R,
    counter: Counter,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(into)?;
        self.counter.0.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// A file of lines that is open, and how much of it was read.
pub(crate) struct Input {
    pub(crate) lines: Lines,
    pub(crate) counter: Counter,
    /// Bytes of the file as it is stored, if that is known.
    pub(crate) total_bytes: Option<u64>,
}

/// Opens a file, or standard input for `-`.
pub(crate) fn open(path: &Path) -> Done<Input> {
    let failed = |error: &io::Error| Failure::io(format_args!("read {}", path.display()), error);
    let counter = Counter::default();
    let (source, total_bytes): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(path).map_err(|error| failed(&error))?;
        let meta = file.metadata().map_err(|error| failed(&error))?;
        if meta.is_dir() {
            return Err(Failure::usage(format!("{} is a directory, not a file of events", path.display())));
        }
        (Box::new(file), meta.is_file().then_some(meta.len()))
    };
    let counted = Counted { inner: source, counter: counter.clone() };
    let lines = Lines::new(Box::new(decompressed(counted).map_err(|error| failed(&error))?));
    Ok(Input { lines, counter, total_bytes })
}

/// The content, decompressed where it is compressed; its first bytes decide, not its name.
fn decompressed(mut source: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
    let mut magic = Vec::with_capacity(ZSTD_MAGIC.len());
    source.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut magic)?;
    let skippable =
        magic.len() == 4 && magic[0] & 0xf0 == ZSTD_SKIPPABLE_MAGIC[0] && magic[1..] == ZSTD_SKIPPABLE_MAGIC[1..];
    let is_compressed = magic == ZSTD_MAGIC || skippable;
    let whole: Chain<Cursor<Vec<u8>>, _> = Cursor::new(magic).chain(source);
    Ok(if is_compressed {
        Box::new(BufReader::with_capacity(256 << 10, zstd::stream::read::Decoder::new(whole)?))
    } else {
        Box::new(BufReader::with_capacity(256 << 10, whole))
    })
}

/// What stands in one line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The line, without its end.
    Whole,
    /// It is longer than a line may be; its beginning was kept, the rest skipped.
    TooLong,
    /// There is no further line.
    End,
}

/// Reads lines into a buffer that is used again.
pub(crate) struct Lines {
    source: Box<dyn BufRead + Send>,
}

impl Lines {
    pub(crate) fn new(source: Box<dyn BufRead + Send>) -> Lines {
        Lines { source }
    }

    /// Reads the next line into `line`, of which no more than `bytes_max` are kept.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>, bytes_max: usize) -> io::Result<Line> {
        line.clear();
        let mut too_long = false;
        let mut any = false;
        loop {
            let ready = match self.source.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if ready.is_empty() {
                break;
            }
            any = true;
            let end = ready.iter().position(|byte| *byte == b'\n');
            let part = &ready[..end.unwrap_or(ready.len())];
            let room = bytes_max - line.len();
            too_long |= part.len() > room;
            line.extend_from_slice(&part[..part.len().min(room)]);
            let used = end.map_or(part.len(), |end| end + 1);
            self.source.consume(used);
            if end.is_some() {
                break;
            }
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(match (any, too_long) {
            (false, _) => Line::End,
            (true, true) => Line::TooLong,
            (true, false) => Line::Whole,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8], bytes_max: usize) -> Vec<(Line, String)> {
        // A tiny buffer, so that lines span several fills.
        let mut lines = Lines::new(Box::new(BufReader::with_capacity(3, Cursor::new(content.to_vec()))));
        let mut line = Vec::new();
        let mut read = Vec::new();
        loop {
            match lines.next(&mut line, bytes_max).unwrap() {
                Line::End => return read,
                kind => read.push((kind, String::from_utf8_lossy(&line).into_owned())),
            }
        }
    }

    #[test]
    fn lines_end_with_a_break_or_with_the_file() {
        let whole = |text: &str| (Line::Whole, text.to_owned());
        assert_eq!(read(b"", 10), []);
        assert_eq!(read(b"one\ntwo", 10), [whole("one"), whole("two")]);
        assert_eq!(read(b"one\r\n\ntwo\n", 10), [whole("one"), whole(""), whole("two")]);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_one_is_read() {
        let lines = read(b"12345\n123456\n1234567890\nx\n", 5);
        let kinds: Vec<_> = lines.iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [&Line::Whole, &Line::TooLong, &Line::TooLong, &Line::Whole]);
        assert_eq!(lines[2].1, "12345");
        assert_eq!(lines[3].1, "x");
    }

    #[test]
    fn compressed_content_is_known_by_its_first_bytes() {
        let packed = zstd::encode_all(&b"one\ntwo\n"[..], 3).unwrap();
        let mut skippable = vec![0x51, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 0, 0];
        skippable.extend_from_slice(&packed);
        for content in [packed, skippable, b"one\ntwo\n".to_vec()] {
            let mut text = String::new();
            decompressed(Cursor::new(content)).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "one\ntwo\n");
        }
        let mut text = String::new();
        decompressed(Cursor::new(b"{}")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "{}");
    }
}
