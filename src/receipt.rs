//! A receipt: one event, and the proof that it is in the history that a [`Head`] names. It is checked without the
//! store, by whoever has the receipt and a head that they trust.
//!
//! ```json
//! {
//!   "receipt": 1,
//!   "log": "32 hexadecimal digits",
//!   "size": 1204,
//!   "root": "64 hexadecimal digits",
//!   "position": 17,
//!   "metadata": "hexadecimal digits",
//!   "path": ["64 hexadecimal digits"],
//!   "event": {"specversion": "1.0"}
//! }
//! ```
//!
//! `metadata` is the preimage of the event's leaf without the zero at its front (docs/format.md, "Digests"): every
//! field of the event and the digest of its data. `path` is the audit path of RFC 6962, section 2.1.1, from the leaf
//! up. `event` is the event as [`write_event`](crate::write_event) writes it, byte for byte: its data is hashed as it
//! stands there. Nothing in a receipt is believed: log, size and root must be those of the head, the path must lead
//! from the metadata to the root, the data must have the digest that the metadata names, and `event` must say what the
//! metadata says. Members of other names are refused, since nothing would prove them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};
use crate::event::{Event, LogId};
use crate::format::leaf::{Hash, LeafHasher};
use crate::format::metadata::{Metadata, Unfit, leaf_of};
use crate::format::proof::{PathBuilder, root_of_path};
use crate::head::{Head, hex, unhex, unhex_all};
use crate::json::ImportEvent;
use crate::limits::RECEIPT_BYTES_MAX;
use crate::log::indexer;
use crate::log::shared::Log;
use crate::position::Position;

/// The version of a receipt that this code writes and reads.
const VERSION: u64 = 1;

/// The proof that one event is in a history; see [`Store::receipt`](crate::Store::receipt).
///
/// ```
/// use annals::{NewEvent, Receipt, Store};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path();
/// let store = Store::open(path)?;
/// store.append([
///     NewEvent::bytes("note.created", "note/n-1", "text/plain", *b"A"),
///     NewEvent::bytes("note.edited", "note/n-1", "text/plain", *b"B"),
/// ])?;
/// let head = store.head()?; // Published, printed, given to an auditor.
/// let receipt = store.receipt(2, Some(&head))?.to_json();
///
/// // Elsewhere, without the store:
/// let event = Receipt::from_json(receipt.as_bytes())?.check(&head)?;
/// assert_eq!((event.position().get(), event.data()), (2, &b"B"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Through serde it needs a JSON text as its source, as [`Receipt::from_json`] has it: data is kept byte for byte.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Receipt {
    head: Head,
    position: Position,
    metadata: Vec<u8>,
    path: Vec<Hash>,
    event: Box<RawValue>,
}

/// A receipt as its JSON has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    receipt: u64,
    log: String,
    size: u64,
    root: String,
    position: u64,
    metadata: String,
    path: Vec<String>,
    event: Box<RawValue>,
}

/// The one member that is read before all others.
#[derive(Deserialize)]
struct VersionOnly {
    receipt: u64,
}

impl From<Receipt> for Wire {
    fn from(receipt: Receipt) -> Wire {
        Wire {
            receipt: VERSION,
            log: receipt.head.log.to_string(),
            size: receipt.head.size,
            root: hex(&receipt.head.root),
            position: receipt.position.get(),
            metadata: hex(&receipt.metadata),
            path: receipt.path.iter().map(|hash| hex(hash)).collect(),
            event: receipt.event,
        }
    }
}

impl TryFrom<Wire> for Receipt {
    type Error = Error;

    fn try_from(wire: Wire) -> Result<Receipt> {
        if wire.receipt != VERSION {
            return Err(other_version(wire.receipt));
        }
        let no_hex = |member: &str| no_receipt(format_args!("`{member}` has not the digits it should have"));
        Ok(Receipt {
            head: Head {
                log: LogId(unhex(&wire.log).ok_or_else(|| no_hex("log"))?),
                size: wire.size,
                root: unhex(&wire.root).ok_or_else(|| no_hex("root"))?,
            },
            position: Position::new(wire.position),
            metadata: unhex_all(&wire.metadata).ok_or_else(|| no_hex("metadata"))?,
            path: wire.path.iter().map(|hash| unhex(hash).ok_or_else(|| no_hex("path"))).collect::<Result<_>>()?,
            event: wire.event,
        })
    }
}

fn other_version(version: u64) -> Error {
    Error::new(ErrorKind::NewerFormat, format!("a receipt of version {version}"))
        .hinting("this annals reads version 1; use a newer one")
}

fn no_receipt(what: impl fmt::Display) -> Error {
    Error::invalid(format!("no receipt: {what}")).hinting("`annals receipt STORE POSITION` prints what is meant")
}

/// Something in a receipt is not what the head proves.
fn forged(what: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Corruption, format!("the receipt proves nothing: {what}"))
        .hinting("it was changed, or made for another history; only a new one from the store can prove the event")
}

impl Receipt {
    /// Reads what [`Receipt::to_json`] wrote. Nothing is proven yet; [`Receipt::check`] does that.
    ///
    /// # Errors
    /// `Invalid` if it is no receipt, `TooLarge`, `NewerFormat`.
    pub fn from_json(json: &[u8]) -> Result<Receipt> {
        if json.len() > RECEIPT_BYTES_MAX {
            return Err(Error::new(ErrorKind::TooLarge, format!("a receipt of more than {RECEIPT_BYTES_MAX} bytes")));
        }
        // A newer receipt may have other members; it is called newer, and not wrong.
        match serde_json::from_slice::<VersionOnly>(json) {
            Ok(VersionOnly { receipt: VERSION }) => {}
            Ok(VersionOnly { receipt }) => return Err(other_version(receipt)),
            Err(error) => return Err(no_receipt(error)),
        }
        let wire: Wire = serde_json::from_slice(json).map_err(no_receipt)?;
        wire.try_into()
    }

    /// The receipt as JSON on several lines; the event stands on one of them.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and a text that is JSON already: there is nothing that could fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The head that the receipt was made for, as it says itself.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// The position of the event, as the receipt says itself.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The event, if it is proven to be in the history that `head` names. What is returned was read from what is
    /// under the root: each of its fields is proven, and so is its data.
    ///
    /// The log's id is not under the root: it is proven as far as the head is trusted to name it.
    ///
    /// # Errors
    /// `Corruption` if anything in the receipt is not what the head proves. `Invalid` if it was made for another size
    /// of the log than that of the head: neither proves anything of the other.
    pub fn check(&self, head: &Head) -> Result<Event> {
        if self.head.log != head.log {
            return Err(forged(format_args!("it is of log {}, the head of log {}", self.head.log, head.log)));
        }
        if self.head.size != head.size {
            let (own, wanted) = (self.head.size, head.size);
            return Err(Error::invalid(format!("the receipt is for the first {own} events, the head for {wanted}"))
                .hinting("take a receipt for that head: `annals receipt STORE POSITION --head FILE`"));
        }
        if self.head.root != head.root {
            return Err(forged("its root is not that of the head"));
        }
        let metadata = Metadata::read(&self.metadata, head.log)
            .map_err(|bad| forged(format_args!("byte {} of its metadata is not one of an event", bad.offset)))?;
        let position = metadata.position();
        if position != self.position {
            return Err(forged(format_args!("it is about position {}, its metadata about {position}", self.position)));
        }
        let leaf = leaf_of(&self.metadata);
        let led = position.get().checked_sub(1).and_then(|index| root_of_path(index, head.size, leaf, &self.path));
        if led != Some(head.root) {
            return Err(forged("metadata and path do not lead to the root"));
        }
        let shown = ImportEvent::from_json(self.event.get().as_bytes())
            .map_err(|error| forged(format_args!("its event is none: {error}")))?;
        let event = metadata.with_data(shown.event().data()).map_err(|unfit| match unfit {
            Unfit::Data => forged("the data of its event is not what was recorded").hinting(
                "the data is hashed byte for byte: a program that lays JSON out anew changes it; or somebody else did",
            ),
            Unfit::Spelling => forged("its metadata is not written as that of an event is"),
        })?;
        match same_members(self.event.get(), &event.to_json()) {
            Ok(()) => Ok(event),
            Err(name) => Err(forged(format_args!("`{name}` of its event is not what was recorded"))),
        }
    }
}

/// Compares two objects member by member; the name of one that differs otherwise.
fn same_members(shown: &str, proven: &str) -> Result<(), String> {
    let members = |text| serde_json::from_str::<BTreeMap<String, &RawValue>>(text);
    let (Ok(shown), Ok(proven)) = (members(shown), members(proven)) else { return Err("event".to_owned()) };
    // Texts and short lists may be spelt in more than one way. Data may not, and was held against its digest.
    let same = |left: &RawValue, right: &RawValue| {
        let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).ok();
        left.get() == right.get() || value(left).is_some_and(|left| Some(left) == value(right))
    };
    let differs = |(name, value): &(&String, &&RawValue)| !proven.get(*name).is_some_and(|other| same(value, other));
    let odd = shown.iter().find(differs).map(|(name, _)| name);
    match odd.or_else(|| proven.keys().find(|name| !shown.contains_key(*name))) {
        Some(name) => Err(name.chars().take(64).collect()),
        None => Ok(()),
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("head", &self.head.to_string())
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Makes the receipt of an event among the first events of a log, as many as `size`. Reads all of these; holds the
/// event and some tens of hashes.
pub(crate) fn make(log: &Log, position: Position, size: u64) -> Result<Receipt> {
    let index = position.get().checked_sub(1).filter(|index| *index < size);
    let missing = || Error::not_found(format!("no event at position {position} among the first {size}"));
    let index = index.ok_or_else(missing)?;
    let made = log.with_row(position, |row| {
        (LeafHasher::default().preimage(&row.event, &row.batch).to_vec(), row.event.to_json())
    })?;
    let (preimage, json) = made.ok_or_else(missing)?;
    let mut builder = PathBuilder::new(index);
    indexer::for_each_leaf(log, 0, size, &mut |leaf| builder.push(leaf))?;
    let (path, root) = builder.finish().ok_or_else(missing)?;
    let event = RawValue::from_string(json)
        .map_err(|error| Error::invalid(format!("the event at position {position} cannot be JSON: {error}")))?;
    let metadata = preimage.get(1..).unwrap_or_default().to_vec();
    Ok(Receipt { head: Head { log: log.id, size, root }, position, metadata, path, event })
}

#[cfg(test)]
mod tests;
