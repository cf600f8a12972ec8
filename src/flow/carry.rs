//! Carrying out what was approved: the rules of the table are asked once more, and the change is made or it fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::decide::{Course, Step};
use super::engine::{Engine, Guard, Handling, Look};
use super::rows::Facts;
use super::rules::{Change, Refusal, Rules};
use super::wanted::Wanted;
use crate::catalog::Action;
use crate::error::Result;
use crate::json::Document;
use crate::position::Position;

/// What the rules of a table say about a change.
pub(crate) enum Checked {
    Fine,
    Refused { rule: String, reason: String },
    Later,
}

/// A change that was approved, for rules that do more than compute. They are asked while nothing is held and once the
/// approval is durable, so others may be first: then what the errand came to is not appended.
pub(crate) struct Errand {
    pub(crate) wanted: Wanted,
    pub(crate) grant: Option<Position>,
    /// What it was found on.
    pub(crate) guard: Guard,
    rules: Arc<dyn Rules>,
    current: Option<Document>,
    done: Step,
}

impl Errand {
    /// Asks the rules.
    pub(crate) fn run(self) -> (Wanted, Course) {
        let asked = ask(&*self.rules, &self.wanted, self.current.as_ref(), |rules, change| rules.execute(change));
        let course = executed(asked, self.done);
        (self.wanted, course)
    }
}

impl Engine {
    /// Carries out a change that was approved earlier.
    pub(crate) fn carry_out(
        &self,
        look: &mut Look<'_>,
        wanted: &Wanted,
        grant: Option<Position>,
        approver: Option<&str>,
    ) -> Result<Course> {
        let Handling::Here(rules) = self.handling(&wanted.table) else { return Ok(Course::Leave) };
        let facts = look.index.facts(look.reader, &wanted.subject)?;
        if let Some(reason) = misses(wanted, &facts) {
            return Ok(Course::Steps(vec![Step::Failed(reason)]));
        }
        let done = Step::Validated { owner: wanted.owner(approver) };
        let Some(rules) = rules else { return Ok(Course::Steps(vec![done])) };
        let current = current(look, wanted)?;
        if rules.is_pure() {
            let asked = ask(&*rules, wanted, current.as_ref(), |rules, change| rules.execute(change));
            return Ok(executed(asked, done));
        }
        Ok(Course::Run(Box::new(Errand { wanted: wanted.clone(), grant, guard: look.guard(), rules, current, done })))
    }

    /// Whether a change of this table can be carried out in the append that approves it.
    pub(crate) fn is_at_once(&self, wanted: &Wanted) -> bool {
        match self.handling(&wanted.table) {
            Handling::Elsewhere => false,
            Handling::Here(rules) => rules.is_none_or(|rules| rules.is_pure()),
        }
    }

    /// Holds a change against its row and rules that only compute, when it is about to be made.
    pub(crate) fn execute(&self, look: &Look<'_>, wanted: &Wanted, facts: &Facts) -> Result<Checked> {
        if let Some(reason) = misses(wanted, facts) {
            return Ok(Checked::Refused { rule: "flow/row".to_owned(), reason });
        }
        let Handling::Here(Some(rules)) = self.handling(&wanted.table) else { return Ok(Checked::Fine) };
        let asked = ask(&*rules, wanted, current(look, wanted)?.as_ref(), |rules, change| rules.execute(change));
        Ok(match asked {
            Ok(()) => Checked::Fine,
            Err(refusal) => Checked::by(&*rules, refusal),
        })
    }
}

impl Checked {
    pub(crate) fn by(rules: &dyn Rules, refusal: Refusal) -> Checked {
        match refusal {
            Refusal::ForGood(reason) => Checked::Refused { rule: format!("rules/{}", rules.name()), reason },
            Refusal::ForNow(_) => Checked::Later,
        }
    }
}

fn executed(asked: std::result::Result<(), Refusal>, done: Step) -> Course {
    match asked {
        Ok(()) => Course::Steps(vec![done]),
        Err(Refusal::ForGood(reason)) => Course::Steps(vec![Step::Failed(reason)]),
        Err(Refusal::ForNow(_)) => Course::Later,
    }
}

/// Asks rules about a change. Rules that panic have not answered: they are asked again.
pub(crate) fn ask<T>(
    rules: &dyn Rules,
    wanted: &Wanted,
    current: Option<&Document>,
    question: impl FnOnce(&dyn Rules, &Change<'_>) -> std::result::Result<T, Refusal>,
) -> std::result::Result<T, Refusal> {
    let change = Change {
        table: &wanted.table,
        action: wanted.action,
        subject: &wanted.subject,
        data: &wanted.data,
        actor: &wanted.actor,
        current,
    };
    // They borrow what nobody else looks at, and say nothing that could be half done.
    catch_unwind(AssertUnwindSafe(|| question(rules, &change)))
        .unwrap_or_else(|_| Err(Refusal::for_now(format!("the rules {} panicked", rules.name()))))
}

/// Why a change does not fit its row, if it does not.
pub(crate) fn misses(wanted: &Wanted, facts: &Facts) -> Option<String> {
    match (wanted.action, facts.is_live) {
        (Action::Create, true) => Some(format!("{} is there already", wanted.subject)),
        (Action::Update | Action::Delete, false) => Some(format!("{} is not there", wanted.subject)),
        _ => None,
    }
}

/// The row as it is; `None` for one that is to be created.
pub(crate) fn current(look: &Look<'_>, wanted: &Wanted) -> Result<Option<Document>> {
    if wanted.action == Action::Create {
        return Ok(None);
    }
    let row = look.reader.row(&wanted.subject, &wanted.table)?;
    Ok(row.and_then(|loaded| loaded.state.document))
}
