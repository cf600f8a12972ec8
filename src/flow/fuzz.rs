//! What fuzzers call of the flow, whose parts nobody else may name.

use std::time::Duration;

use super::authority::Authority;
use super::policy::{Proposal, RuleSet, Then, Verdict};
use super::{Flow, NoteRules, Page, Rule, control, keep};
use crate::actor::{Actor, ActorKind};
use crate::append::Append;
use crate::catalog::{Action, Catalog, Table};
use crate::error::{Error, ErrorKind};
use crate::json::{ImportCause, ImportEvent};
use crate::position::Position;
use crate::query::TypePattern;
use crate::store::Store;
use crate::time::parse_duration;

/// A kept index, if the bytes are one.
pub(crate) fn image(state: &[u8]) {
    keep::read_and_use(state);
}

/// What is asked about a flow by whoever only looks, over a log of so many events.
pub(crate) fn look_around(store: &Store, events: u64) {
    let Some(flow) = looked(Flow::view(store)) else { return };
    let alice = Actor::user("alice");
    looked(flow.pending(Page::first(20))).into_iter().flatten().for_each(|pending| {
        assert!(serde_json::to_string(&pending).is_ok());
    });
    looked(flow.pending_for(&alice, Page::last(20)));
    looked(flow.requests(Page::first(20)));
    looked(flow.grants());
    looked(flow.roles());
    looked(flow.policy());
    looked(flow.test_policy("[[rule]]\nname = 'all'\nthen = 'approve'"));
    for position in 0..=events.min(40) {
        looked(flow.outcome(position, Duration::ZERO));
        looked(flow.explain(position));
        looked(flow.trace(position));
    }
}

/// Looking fails for what is not there or cannot be, never for anything else.
fn looked<T>(outcome: Result<T, Error>) -> Option<T> {
    outcome
        .map_err(|error| {
            let kinds = [ErrorKind::NotFound, ErrorKind::Corruption, ErrorKind::Invalid, ErrorKind::Conflict];
            assert!(kinds.contains(&error.kind()), "{:?}: {error}", error.kind());
        })
        .ok()
}

/// Lines that a program sends to the control socket. Each gets an answer, and the same again if it is sent again; then
/// the bytes themselves, as an answer that somebody reads.
pub(crate) fn converse(store: &Store, data: &[u8]) {
    if let Some(answer) = control::read_answer(data) {
        let _ = answer.map_err(|error| (error.already_decided().cloned(), error.hint().map(str::to_owned)));
    }
    let started = Flow::builder(store).table("notes", NoteRules).background(false).start();
    let Ok(flow) = started else { panic!("a flow does not start: {started:?}") };
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').take(24).collect();
    let before = store.reader().tail();
    #[cfg(unix)]
    for (line, answers) in
        lines.iter().zip(lines.iter().map(|line| control::answers(&flow, [*line, *line].into_iter())))
    {
        let [first, second] = answers.as_slice() else { panic!("not every line is answered") };
        let text = String::from_utf8_lossy(line);
        assert!(control::read_answer(first.as_bytes()).is_some() && !first.contains('\n'), "{text}: {first}");
        let is_call = first.starts_with(r#"{"ok""#);
        assert!(!is_call || first == second, "{text}: {first}, then {second}");
    }
    assert!(store.reader().tail() >= before);
    settled(&flow);
    let tail = store.reader().tail().get();
    look_around(store, tail);
}

/// What is due is done once.
fn settled(flow: &Flow) {
    let Some(()) = looked(flow.settle()) else { return };
    let tail = flow.store().reader().tail();
    looked(flow.settle());
    assert_eq!(flow.store().reader().tail(), tail, "settling what is settled appends");
}

/// Events that somebody got into the log as if the flow had written them, one a line as an import takes it: a flow that
/// meets them reads them, or says what it cannot read, and goes on.
pub(crate) fn history(store: &Store, data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n').take(40) {
        let Ok(import) = ImportEvent::from_json(line) else { continue };
        let mut event = import.event().clone();
        if let Some(ImportCause::Sequence(cause)) = import.cause() {
            event = event.caused_by(Position::new(cause.get() % (store.reader().tail().get() + 1)));
        }
        let _ = store.append_reserved(Append::new([event]));
    }
    let tail = store.reader().tail().get();
    if tail == 0 {
        return;
    }
    let _ = store.catalog().map(|catalog| catalog.own_tables().len());
    look_around(store, tail);
    let Ok(flow) = Flow::builder(store).table("notes", NoteRules).background(false).start() else { return };
    settled(&flow);
    look_around(store, store.reader().tail().get());
    drop(flow);
    // What was kept of it is read by the next one, which knows the same.
    look_around(store, store.reader().tail().get());
}

/// Rules as TOML: each decides as a naive reading of it does, and comes whole out of a text of its own.
pub(crate) fn rules(text: &str) {
    let rules = match RuleSet::parse(text) {
        Ok(rules) => rules,
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::TooLarge), "{error}");
            assert!(!error.to_string().contains(char::is_control), "{error}");
            return;
        }
    };
    let printed = print(rules.rules());
    match RuleSet::parse(&printed) {
        Ok(again) => assert_eq!(again.rules(), rules.rules(), "{printed}"),
        Err(error) => panic!("{error} in what was printed: {printed}"),
    }
    let authority = Authority::default();
    let catalog = Catalog::core();
    let tables = [Table::new("notes"), Table::new("invoices"), catalog.tables()[0].clone()];
    let mut actors = vec![
        Actor::user("alice"),
        Actor::agent("scribe").on_behalf_of("alice"),
        Actor::new(ActorKind::External, "billing"),
        Actor::new(ActorKind::Unknown, "user:alice"),
        Actor::system(""),
    ];
    let (mut subjects, mut tags) = (vec!["note/n-1".to_owned(), "invoice/7".to_owned()], vec!["t".to_owned()]);
    // What the rules themselves name, so that they have something to match.
    for rule in rules.rules().iter().take(8) {
        let fill = |text: &Option<String>| text.as_ref().map(|text| text.replace('*', "a"));
        // What goes on behind the end of a pattern is not covered by it.
        let more = |text: &Option<String>| fill(text).map(|text| text + "z");
        if let Some(actor) = fill(&rule.actor) {
            let (kind, id) = actor.split_once(':').unwrap_or(("unknown", &actor));
            let kind = ActorKind::from_word(kind).unwrap_or(ActorKind::Unknown);
            let actor = Actor::new(kind, id);
            actors.push(fill(&rule.on_behalf_of).into_iter().fold(actor, Actor::on_behalf_of));
        }
        subjects.extend(fill(&rule.subject).into_iter().chain(more(&rule.subject)));
        tags.extend(fill(&rule.tag).into_iter().chain(more(&rule.tag)));
    }
    for (number, actor) in actors.iter().enumerate() {
        for subject in &subjects {
            for action in Action::ALL {
                let tags = &tags[..(number + subject.len()) % (tags.len() + 1)];
                let workspace = tags.iter().find_map(|tag| tag.strip_prefix("workspace:"));
                let table = &tables[(number + subject.len()) % tables.len()];
                let (owner, data) = (None, b"{}".as_slice());
                let proposal =
                    Proposal { table, action, subject, data, actor, tags, owner, workspace, authority: &authority };
                let expected = rules.rules().iter().find(|rule| fits(rule, &proposal)).map(said);
                assert_eq!(rules.decide(&proposal), expected, "{text} on {proposal:?}");
            }
        }
    }
}

/// Rules as TOML, without a writer of TOML: a JSON string is one of TOML, but for one character.
fn print(rules: &[Rule]) -> String {
    let quote = |text: &str| serde_json::to_string(text).unwrap_or_default().replace('\u{7f}', "\\u007f");
    let mut toml = String::new();
    for rule in rules {
        let then = match rule.then {
            Then::Approve => "approve",
            Then::Reject => "reject",
            Then::Ask => "ask",
        };
        toml += &format!("[[rule]]\nthen = '{then}'\nname = {}\n", quote(&rule.name));
        let fields = [
            ("actor", &rule.actor),
            ("on_behalf_of", &rule.on_behalf_of),
            ("action", &rule.action),
            ("subject", &rule.subject),
            ("tag", &rule.tag),
            ("reason", &rule.reason),
            ("answer_within", &rule.answer_within),
        ];
        for (name, value) in fields {
            toml += &value.iter().map(|value| format!("{name} = {}\n", quote(value))).collect::<String>();
        }
        let whom: Vec<String> = rule.whom.iter().map(|who| quote(who)).collect();
        toml += &format!("whom = [{}]\n", whom.join(", "));
    }
    toml
}

/// Which of a naive reading's positions in the text the pattern can have come to: one character at a time, every way at once.
fn naive(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for char in pattern.chars() {
        if char == '*' {
            let first = reached.iter().position(|at| *at).unwrap_or(text.len() + 1);
            reached.iter_mut().skip(first).for_each(|at| *at = true);
            continue;
        }
        for at in (0..text.len()).rev() {
            reached[at + 1] = reached[at] && text[at] == char;
        }
        reached[0] = false;
    }
    reached[text.len()]
}

/// Whether a rule is about a proposal, by the words of its documentation.
fn fits(rule: &Rule, proposal: &Proposal<'_>) -> bool {
    const KINDS: [ActorKind; 5] =
        [ActorKind::User, ActorKind::Agent, ActorKind::External, ActorKind::System, ActorKind::Unknown];
    let actor = rule.actor.as_ref().is_none_or(|pattern| {
        let kinded = KINDS.iter().find_map(|kind| Some((*kind, pattern.strip_prefix(&format!("{kind}:"))?)));
        let (kind, id) = kinded.unwrap_or((ActorKind::Unknown, pattern));
        pattern == "*" || (proposal.actor.kind() == kind && naive(id, proposal.actor.id()))
    });
    let user = match (&rule.on_behalf_of, &proposal.actor.on_behalf_of) {
        (None, _) => true,
        (Some(pattern), Some(user)) => naive(pattern, user),
        (Some(_), None) => false,
    };
    let name = format!("{}.{}", proposal.table.name(), proposal.action);
    let action = rule.action.as_ref().is_none_or(|pattern| pattern == "*" || TypePattern::new(pattern).matches(&name));
    let subject = rule.subject.as_ref().is_none_or(|pattern| naive(pattern, proposal.subject));
    let tag = rule.tag.as_ref().is_none_or(|pattern| match pattern.strip_prefix("workspace:") {
        Some(pattern) => proposal.workspace.is_some_and(|workspace| naive(pattern, workspace)),
        None => proposal.tags.iter().any(|tag| naive(pattern, tag)),
    });
    actor && user && action && subject && tag
}

/// What a rule says, by its fields.
fn said(rule: &Rule) -> Verdict {
    let name = rule.name.clone();
    match rule.then {
        Then::Approve => Verdict::Approve { rule: name },
        Then::Reject => Verdict::Reject { rule: name, reason: rule.reason.clone().unwrap_or_default() },
        Then::Ask => Verdict::Ask {
            because: rule.reason.clone().unwrap_or_else(|| format!("the rule {name:?} wants it")),
            whom: rule.whom.iter().filter_map(|who| who.strip_prefix("user:")).map(Actor::user).collect(),
            within: rule.answer_within.as_ref().and_then(|text| parse_duration(text).ok()),
            rule: name,
        },
    }
}
