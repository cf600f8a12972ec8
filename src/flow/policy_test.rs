//! A candidate policy held against what was decided in the past.

use std::ops::ControlFlow;

use serde::Serialize;

use super::authority::Authority;
use super::decide::judge;
use super::engine::Engine;
use super::index::Index;
use super::life::{Life, request_of};
use super::policy::{DefaultPolicy, RuleSet, Verdict};
use super::request::RequestId;
use super::wanted::Wanted;
use crate::catalog::Phase;
use crate::error::Result;
use crate::query::Query;
use crate::reader::AsOf;

/// What a set of rules would have decided otherwise.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct PolicyTest {
    /// Requests that were held against it.
    pub requests: u64,
    /// Those that it would have decided otherwise, oldest first.
    pub differences: Vec<PolicyDifference>,
}

impl PolicyTest {
    /// How many it would approve that a person refused: what to look at first.
    #[must_use]
    pub fn refused_by_a_person(&self) -> usize {
        self.differences.iter().filter(|difference| difference.a_person_refused).count()
    }
}

/// A request that a set of rules would have decided otherwise.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct PolicyDifference {
    /// The request.
    pub request: RequestId,
    /// What it asked for.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Of what.
    pub subject: String,
    /// Who asked.
    pub actor: String,
    /// What was decided, and by which rule: `approve`, `reject` or `ask`.
    pub was: String,
    /// What would be decided, and by which rule.
    pub would_be: String,
    /// It would be approved, and a person refused it.
    pub a_person_refused: bool,
}

/// Goes through the requests of the past, each with what was in force and known when it was made but for the rules.
pub(crate) fn run(engine: &Engine, rules: RuleSet) -> Result<PolicyTest> {
    let reader = engine.store.reader();
    let rules = std::sync::Arc::new(rules);
    let mut test = PolicyTest::default();
    let mut index = Index::default();
    let mut ids = Vec::new();
    let catalog = reader.catalog()?;
    let requested = catalog.tables().iter().flat_map(|table| {
        crate::catalog::Action::ALL.into_iter().map(|action| table.event_type(action, Phase::Requested))
    });
    reader.scan_metadata(&Query::all().types(super::rows::literal(requested)), |event| {
        if !event.is_imported() && request_of(&catalog, &event).is_some() {
            ids.push(event.position());
        }
        ControlFlow::Continue(())
    })?;
    for id in ids {
        // Everything before the request, and nothing that came with it.
        let then = reader.as_of(AsOf::Position(crate::position::Position::new(id.get() - 1)));
        index.catch_up(&then)?;
        let life = Life::read(&reader, &catalog, id)?;
        let Some((phase, first)) = life.steps.first() else { continue };
        let mut wanted = Wanted::of(&life)?;
        wanted.data = life.requested.data().to_vec();
        let was = match phase {
            Phase::Approved => "approve",
            Phase::Rejected => "reject",
            Phase::Asked => "ask",
            _ => continue,
        };
        let facts = index.facts(&then, &wanted.subject)?;
        let candidate = Authority { rules: std::sync::Arc::clone(&rules), code: None, ..(*index.authority).clone() };
        let (verdict, _) = judge(&DefaultPolicy::new(), &candidate, &wanted, &facts, life.requested.recorded_at());
        test.requests += 1;
        let would_be = match &verdict {
            Verdict::Approve { .. } => "approve",
            Verdict::Reject { .. } => "reject",
            Verdict::Ask { .. } => "ask",
        };
        // What the form and the rules of the table refused is no matter of policy.
        let rule = first.json::<super::payload::Rejected>().ok().and_then(|said| said.rule).unwrap_or_default();
        if was == would_be || rule.starts_with("flow/") || rule.starts_with("rules/") {
            continue;
        }
        let refused = life.step(Phase::Rejected).and_then(|event| event.json::<super::payload::Rejected>().ok());
        test.differences.push(PolicyDifference {
            request: id,
            event_type: life.requested.event_type().to_owned(),
            subject: wanted.subject.clone(),
            actor: wanted.actor.to_string(),
            was: was.to_owned(),
            would_be: format!("{would_be} by {}", verdict.rule()),
            a_person_refused: would_be == "approve" && refused.is_some_and(|said| said.by.is_some()),
        });
    }
    Ok(test)
}
