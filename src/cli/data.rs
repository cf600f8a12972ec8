//! `--data`: JSON or other bytes, given in place, in a file or on standard input.

use std::io::Read as _;
use std::path::PathBuf;
use std::str::FromStr;

use annals::limits;
use serde_json::value::RawValue;

use super::fail::{Code, Done, Failure};
use super::text;

pub(crate) const JSON: &str = "application/json";

/// `--data`
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Here(String),
    File(PathBuf),
    Stdin,
}

impl FromStr for Data {
    type Err = String;

    fn from_str(text: &str) -> Result<Data, String> {
        Ok(match text.strip_prefix('@') {
            Some("") => return Err("no file follows `@`".to_owned()),
            Some(file) => Data::File(PathBuf::from(file)),
            None if text == "-" => Data::Stdin,
            None => Data::Here(text.to_owned()),
        })
    }
}

impl Data {
    /// The data and its type. JSON has to be JSON; the blanks around it, such as the last line break of a file, are no
    /// part of it.
    pub(crate) fn content(&self, content_type: Option<&str>) -> Done<(String, Vec<u8>)> {
        let (bytes, place) = self.read()?;
        let content_type = content_type.unwrap_or(JSON);
        if !is_json(content_type) {
            return Ok((content_type.to_owned(), bytes));
        }
        let trimmed = bytes.trim_ascii();
        match serde_json::from_slice::<&RawValue>(trimmed) {
            Ok(_) => Ok((content_type.to_owned(), trimmed.to_vec())),
            Err(error) => Err(Failure::usage(format!("the data is no JSON: {error}, {place}")).hinting(
                "quote it for the shell, as in --data '{\"a\": 1}'; --content-type text/plain takes any text",
            )),
        }
    }

    /// A JSON object, as it was written.
    pub(crate) fn object(&self) -> Done<String> {
        let (bytes, place) = self.read()?;
        let hint = "quote it for the shell, as in --data '{\"content\": \"A\"}'";
        let text = std::str::from_utf8(bytes.trim_ascii())
            .map_err(|_| Failure::usage(format!("the data is no text, {place}")).hinting(hint))?;
        match annals::Document::from_object(text.as_bytes()) {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => Err(Failure::usage(format!("the data is no JSON object: {error}, {place}")).hinting(hint)),
        }
    }

    /// The bytes, and where they come from.
    fn read(&self) -> Done<(Vec<u8>, String)> {
        let (bytes, place) = match self {
            Data::Here(text) => (text.clone().into_bytes(), "--data".to_owned()),
            Data::File(file) => {
                let read = std::fs::File::open(file).and_then(bounded);
                let place = file.display().to_string();
                (read.map_err(|error| Failure::io(format_args!("read {place}"), &error))?, place)
            }
            Data::Stdin => {
                let read = bounded(std::io::stdin());
                (read.map_err(|error| Failure::io("read standard input", &error))?, "standard input".to_owned())
            }
        };
        if bytes.len() > limits::DATA_BYTES_MAX {
            return Err(Failure::new(
                Code::Failure,
                format!("more than {} of data, {place}", text::bytes(limits::DATA_BYTES_MAX as u64)),
            )
            .hinting("keep the document beside the log and its digest in the event"));
        }
        Ok((bytes, place))
    }
}

/// Reads one byte more than may be appended, at most.
fn bounded(source: impl std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limits::DATA_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// `application/json`, and what ends in `+json`.
pub(crate) fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}
