//! Who did it: the kind of an actor decides what the flow lets it do, the id says which one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What sort of party acts. `Unknown` is what an imported name without a kind gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ActorKind {
    /// A person.
    User,
    /// A program that proposes on its own judgement, such as an AI agent.
    Agent,
    /// A system outside the store's application.
    External,
    /// The application itself.
    System,
    /// The producer did not say.
    Unknown,
}

impl ActorKind {
    /// The word used in JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ActorKind::User => "user",
            ActorKind::Agent => "agent",
            ActorKind::External => "external",
            ActorKind::System => "system",
            ActorKind::Unknown => "unknown",
        }
    }

    /// The kind that a word names, if it names one.
    #[must_use]
    pub fn from_word(word: &str) -> Option<ActorKind> {
        [ActorKind::User, ActorKind::Agent, ActorKind::External, ActorKind::System, ActorKind::Unknown]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }

    /// The code in the format; 0 means that an event has no actor.
    pub(crate) const fn code(self) -> u8 {
        match self {
            ActorKind::User => 1,
            ActorKind::Agent => 2,
            ActorKind::External => 3,
            ActorKind::System => 4,
            ActorKind::Unknown => 5,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<ActorKind> {
        Some(match code {
            1 => ActorKind::User,
            2 => ActorKind::Agent,
            3 => ActorKind::External,
            4 => ActorKind::System,
            5 => ActorKind::Unknown,
            _ => return None,
        })
    }
}

impl fmt::Display for ActorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An actor as the caller names it, optionally acting for somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actor {
    pub(crate) kind: ActorKind,
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) on_behalf_of: Option<String>,
}

impl Actor {
    /// An actor of any kind.
    pub fn new(kind: ActorKind, id: impl Into<String>) -> Actor {
        Actor { kind, id: id.into(), on_behalf_of: None }
    }

    /// A person.
    pub fn user(id: impl Into<String>) -> Actor {
        Actor::new(ActorKind::User, id)
    }

    /// A program that proposes on its own judgement.
    pub fn agent(id: impl Into<String>) -> Actor {
        Actor::new(ActorKind::Agent, id)
    }

    /// A system outside the application.
    pub fn external(id: impl Into<String>) -> Actor {
        Actor::new(ActorKind::External, id)
    }

    /// The application itself.
    pub fn system(id: impl Into<String>) -> Actor {
        Actor::new(ActorKind::System, id)
    }

    /// Somebody of whom only a name is known.
    pub fn unknown(id: impl Into<String>) -> Actor {
        Actor::new(ActorKind::Unknown, id)
    }

    /// The user for whom this actor acts.
    #[must_use]
    pub fn on_behalf_of(mut self, user: impl Into<String>) -> Actor {
        self.on_behalf_of = Some(user.into());
        self
    }

    /// What sort of party this is.
    #[must_use]
    pub fn kind(&self) -> ActorKind {
        self.kind
    }

    /// Which one of its kind.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ActorRef { kind: self.kind, id: &self.id }.fmt(f)
    }
}

/// The actor of a stored event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ActorRef<'a> {
    pub(crate) kind: ActorKind,
    pub(crate) id: &'a str,
}

impl<'a> ActorRef<'a> {
    /// What sort of party this is.
    #[must_use]
    pub fn kind(&self) -> ActorKind {
        self.kind
    }

    /// Which one of its kind.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.id
    }
}

/// `user:alice`; an actor of unknown kind is its bare id.
impl fmt::Display for ActorRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ActorKind::Unknown => f.write_str(self.id),
            kind => write!(f, "{kind}:{}", self.id),
        }
    }
}
