//! Rules as TOML: a list of `[[rule]]`, of which the first that matches decides.

use serde::{Deserialize, Serialize};

use super::{Proposal, Verdict};
use crate::actor::{Actor, ActorKind};
use crate::error::{Error, Result};
use crate::flow::pattern::{Glob, is_action};
use crate::time::parse_duration;

/// Rules of one store at most: each is tried for each request.
const RULES_MAX: usize = 1000;
/// Bytes of the text of all rules at most.
pub(crate) const RULES_BYTES_MAX: usize = 1 << 20;

/// Rules in their order.
///
/// ```
/// use annals::RuleSet;
///
/// let rules = RuleSet::parse(r#"
/// [[rule]]
/// name = "billing writes invoices"
/// actor = "external:billing"
/// action = "invoices.*"
/// then = "approve"
/// "#)?;
/// assert_eq!(rules.rules().len(), 1);
/// assert!(RuleSet::parse("[[rule]]\nname = 'x'\nthen = 'perhaps'").is_err());
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleSet {
    rules: Vec<Rule>,
    text: String,
}

/// One rule: what it is for, and what becomes of it. A constraint that is left out holds for everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Rule {
    /// How decisions name it.
    pub name: String,
    /// Who wants it: `external:billing`, `agent:*`, `*`; a name without a kind is of unknown kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// For whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// What: `invoices.create`, `invoices.*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// To what: `invoice/*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// A tag of the request; `workspace:..` is held against the workspace of the subject instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// `approve`, `reject` or `ask`.
    pub then: Then,
    /// Why it is rejected, or why it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who alone may answer: `user:alice`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub whom: Vec<String>,
    /// How long they have: `2h`, `1d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_within: Option<String>,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Then {
    /// It may be done.
    Approve,
    /// It may not.
    Reject,
    /// A person decides.
    Ask,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "rule")]
    rules: Vec<Rule>,
}

impl RuleSet {
    /// Reads rules.
    ///
    /// # Errors
    /// `Invalid` for what is no TOML, a rule that has no name or another rule's, a word that means nothing; in one
    /// line, with the number of the line or the name of the rule. `TooLarge` above 1 MiB or 1,000 rules.
    pub fn parse(text: &str) -> Result<RuleSet> {
        if text.len() > RULES_BYTES_MAX {
            return Err(Error::new(crate::error::ErrorKind::TooLarge, "rules of more than 1 MiB"));
        }
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            // It repeats what stands there, which may be what a terminal would take for a command.
            let words = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            let message: String = words
                .chars()
                .map(|char| if char.is_control() { char.escape_default().to_string() } else { char.to_string() })
                .collect();
            Error::invalid(format!("no rules: line {line}: {message}"))
        })?;
        if file.rules.len() > RULES_MAX {
            return Err(Error::new(crate::error::ErrorKind::TooLarge, format!("more than {RULES_MAX} rules")));
        }
        for (at, rule) in file.rules.iter().enumerate() {
            rule.check().map_err(|why| Error::invalid(format!("no rules: rule {} ({:?}) {why}", at + 1, rule.name)))?;
            if file.rules[..at].iter().any(|other| other.name == rule.name) {
                return Err(Error::invalid(format!("no rules: two are called {:?}", rule.name)));
            }
        }
        Ok(RuleSet { rules: file.rules, text: text.to_owned() })
    }

    /// The rules in their order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The text that they were read from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the first rule that matches says.
    pub(crate) fn decide(&self, proposal: &Proposal<'_>) -> Option<Verdict> {
        self.rules.iter().find(|rule| rule.matches(proposal)).map(Rule::verdict)
    }
}

impl Rule {
    fn check(&self) -> Result<(), String> {
        if self.name.trim().is_empty() || self.name.len() > 255 {
            return Err("needs a name of 1 to 255 bytes".to_owned());
        }
        if self.then == Then::Reject && self.reason.is_none() {
            return Err("rejects and gives no reason".to_owned());
        }
        if self.then != Then::Ask && (!self.whom.is_empty() || self.answer_within.is_some()) {
            return Err("asks nobody, so `whom` and `answer_within` mean nothing".to_owned());
        }
        if let Some(text) = &self.answer_within {
            parse_duration(text).map_err(|error| error.to_string())?;
        }
        match self.whom.iter().find(|who| !who.starts_with("user:") || who.len() == "user:".len()) {
            Some(who) => Err(format!("asks {who:?}; only users answer, as in \"user:alice\"")),
            None => Ok(()),
        }
    }

    fn matches(&self, proposal: &Proposal<'_>) -> bool {
        fn fits(pattern: Option<&String>, test: impl Fn(Glob<'_>) -> bool) -> bool {
            pattern.is_none_or(|pattern| test(Glob::new(pattern)))
        }
        let actor = proposal.actor;
        self.actor.as_ref().is_none_or(|pattern| is_actor(pattern, actor))
            && fits(self.on_behalf_of.as_ref(), |glob| {
                actor.on_behalf_of.as_deref().is_some_and(|user| glob.matches(user))
            })
            && self.action.as_ref().is_none_or(|action| is_action(action, proposal.table, proposal.action))
            && fits(self.subject.as_ref(), |glob| glob.matches(proposal.subject))
            && self.tag.as_ref().is_none_or(|tag| match tag.strip_prefix(super::super::rows::WORKSPACE) {
                Some(workspace) => proposal.workspace.is_some_and(|known| Glob::new(workspace).matches(known)),
                None => proposal.tags.iter().any(|known| Glob::new(tag).matches(known)),
            })
    }

    fn verdict(&self) -> Verdict {
        let rule = self.name.clone();
        match self.then {
            Then::Approve => Verdict::Approve { rule },
            Then::Reject => Verdict::Reject { rule, reason: self.reason.clone().unwrap_or_default() },
            Then::Ask => {
                let because = self.reason.clone().unwrap_or_else(|| format!("the rule {rule:?} wants it"));
                // Once: somebody may be called `user:bob`.
                let user = |who: &String| Actor::new(ActorKind::User, who.strip_prefix("user:").unwrap_or(who));
                let within = self.answer_within.as_deref().and_then(|text| parse_duration(text).ok());
                Verdict::Ask { rule, because, whom: self.whom.iter().map(user).collect(), within }
            }
        }
    }
}

/// Whether a pattern such as `external:billing` or `agent:*` covers an actor; a pattern without a kind is for actors of
/// unknown kind, and `*` alone covers all. The kinds are compared apart, since an unknown actor may be called anything,
/// `user:alice` too.
fn is_actor(pattern: &str, actor: &Actor) -> bool {
    if pattern == "*" {
        return true;
    }
    let kinded = pattern.split_once(':').and_then(|(kind, id)| Some((ActorKind::from_word(kind)?, id)));
    let (kind, id) = kinded.unwrap_or((ActorKind::Unknown, pattern));
    kind == actor.kind() && Glob::new(id).matches(actor.id())
}
