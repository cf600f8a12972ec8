//! Rules of a table: what a change has to be like, whoever wants it.

use std::fmt;
use std::sync::Arc;

use crate::actor::Actor;
use crate::catalog::{Action, Table};
use crate::json::Document;
use crate::json::merge::unescaped;

/// Characters of a note's longest text at most, by [`NoteRules`].
const NOTE_CHARS_MAX: usize = 10_000;

/// A change that is held against a table's rules.
#[derive(Debug, Clone, Copy)]
pub struct Change<'c> {
    pub(crate) table: &'c Table,
    pub(crate) action: Action,
    pub(crate) subject: &'c str,
    pub(crate) data: &'c [u8],
    pub(crate) actor: &'c Actor,
    pub(crate) current: Option<&'c Document>,
}

impl<'c> Change<'c> {
    /// The table.
    #[must_use]
    pub fn table(&self) -> &'c Table {
        self.table
    }

    /// What is to be done.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// To what.
    #[must_use]
    pub fn subject(&self) -> &'c str {
        self.subject
    }

    /// The object or the merge patch as JSON; empty if the row is to go.
    #[must_use]
    pub fn data(&self) -> &'c [u8] {
        self.data
    }

    /// Who wants it.
    #[must_use]
    pub fn actor(&self) -> &'c Actor {
        self.actor
    }

    /// The row as it is; `None` if there is none.
    #[must_use]
    pub fn current(&self) -> Option<&'c Document> {
        self.current
    }

    /// The row as it would be; `None` if there would be none.
    #[must_use]
    pub fn after(&self) -> Option<Document> {
        match self.action {
            Action::Create => Document::from_object(self.data).ok(),
            Action::Delete => None,
            Action::Update => {
                let mut row = self.current.cloned().unwrap_or_default();
                row.merge(self.data).is_ok().then_some(row)
            }
        }
    }
}

/// Why a change is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not to be: the request fails.
    ForGood(String),
    /// Something that it takes is not there just now: it is tried again.
    ForNow(String),
}

impl Refusal {
    /// It is not to be, and why.
    pub fn for_good(reason: impl Into<String>) -> Refusal {
        Refusal::ForGood(reason.into())
    }

    /// Not now, and why.
    pub fn for_now(reason: impl Into<String>) -> Refusal {
        Refusal::ForNow(reason.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::ForGood(reason) | Refusal::ForNow(reason) => f.write_str(reason),
        }
    }
}

/// Rules of a table.
///
/// ```
/// use annals::{Change, Refusal, Rules};
///
/// struct Titled;
///
/// impl Rules for Titled {
///     fn name(&self) -> &str {
///         "titled"
///     }
///
///     fn check(&self, change: &Change<'_>) -> Result<Option<Vec<u8>>, Refusal> {
///         match change.after() {
///             Some(row) if row.field("title").is_none() => Err(Refusal::for_good("it needs a title")),
///             _ => Ok(None),
///         }
///     }
/// }
/// ```
pub trait Rules: Send + Sync + 'static {
    /// Their name, which the table's definition in the log carries.
    fn name(&self) -> &str;

    /// Looks at a change before anybody is asked. May give it another form, as JSON: that is what is shown, approved
    /// and done. `None` leaves it as it is.
    ///
    /// # Errors
    /// Why it is not to be.
    fn check(&self, change: &Change<'_>) -> Result<Option<Vec<u8>>, Refusal>;

    /// Looks at a change that was approved, when it is about to be made. It can only refuse: what was approved is what
    /// is made.
    ///
    /// # Errors
    /// Why it is not to be.
    fn execute(&self, change: &Change<'_>) -> Result<(), Refusal> {
        self.check(change).map(|_| ())
    }

    /// Whether they do nothing but compute. Else nobody asks them before a change is approved, and [`Rules::execute`]
    /// runs on the flow's own thread (or in [`Flow::settle`](crate::Flow::settle)) once the approval is durable. It may
    /// run more than once for the same change, after a crash or where somebody was first meanwhile, and for a change that
    /// is withdrawn while it runs: what it does elsewhere has to bear that. While it runs, only what is left to that
    /// thread waits.
    fn is_pure(&self) -> bool {
        true
    }
}

impl fmt::Debug for dyn Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rules({})", self.name())
    }
}

/// Notes: no text of more than 10,000 characters.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoteRules;

impl Rules for NoteRules {
    fn name(&self) -> &str {
        "notes"
    }

    fn check(&self, change: &Change<'_>) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(row) = change.after() else { return Ok(None) };
        for (field, value) in row.fields() {
            let chars = unescaped(&value).map_or(0, |text| text.chars().count());
            if chars > NOTE_CHARS_MAX {
                let reason = format!("{field} has {chars} characters; a note has {NOTE_CHARS_MAX} at most");
                return Err(Refusal::ForGood(reason));
            }
        }
        Ok(None)
    }
}

/// Keys: only their hashes, under `hash`; a key itself never gets into the log, which forgets nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct SecretRules;

/// Fields in which somebody would put a key.
const SECRET_FIELDS: [&str; 7] = ["key", "secret", "token", "password", "value", "apikey", "api_key"];
/// Hex digits of the shortest hash that is taken for one: 256 bits.
const HASH_DIGITS_MIN: usize = 64;

impl Rules for SecretRules {
    fn name(&self) -> &str {
        "secrets"
    }

    fn check(&self, change: &Change<'_>) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(row) = change.after() else { return Ok(None) };
        for (field, _) in row.fields() {
            if SECRET_FIELDS.contains(&field.to_ascii_lowercase().as_str()) {
                let reason =
                    format!("{field} would hold a secret, and the log forgets nothing: store its hash, under `hash`");
                return Err(Refusal::ForGood(reason));
            }
        }
        let hash = row.field("hash").and_then(|value| unescaped(&value)).unwrap_or_default();
        let digits = hash.rsplit_once(':').map_or(hash.as_str(), |(_, digits)| digits);
        let is_hex = digits.len() >= HASH_DIGITS_MIN && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_phc = ["$argon2", "$scrypt$", "$2b$", "$pbkdf2"].iter().any(|begin| hash.starts_with(begin));
        if is_hex || is_phc {
            return Ok(None);
        }
        Err(Refusal::ForGood(
            "`hash` has to be a hash of at least 256 bits in hex, or one such as $argon2id$..".to_owned(),
        ))
    }
}

/// The rules of this name that every program has.
pub(crate) fn shipped(name: &str) -> Option<Arc<dyn Rules>> {
    match name {
        "notes" => Some(Arc::new(NoteRules)),
        "secrets" => Some(Arc::new(SecretRules)),
        _ => None,
    }
}
