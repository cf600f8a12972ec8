//! The one table that says which event may follow which in a request's life, who may append it, and what of the rest
//! of the log has to stand still for it. docs/flow.md shows it as a picture that is made from here.
//!
//! Where a request stands is the phase of the last event of its life; before `requested` there is nothing.

#[cfg(test)]
use std::fmt::Write as _;

use crate::catalog::Phase;

/// Who may append an event of a request's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Whoever wants something.
    Anyone,
    /// The policy that is in force.
    Policy,
    /// A person who may answer.
    Decider,
    /// The time that was set for an answer has passed.
    Clock,
    /// Who asked for it.
    Requester,
    /// Who asked for it, or who approved it.
    RequesterOrDecider,
    /// The flow itself: what was decided on has changed.
    Flow,
    /// What carries out the change.
    Handler,
}

/// What must hold for a step besides where the request stands; checked in the condition of the append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// The idempotency key is unused, or was used for the same.
    Key,
    /// The row has the version that the request names, if it names one.
    RowVersion,
    /// The digest is that of what was shown.
    Digest,
    /// The subject has not changed since it was looked at.
    Basis,
    /// The grant that it stands on was not revoked, has not run out and is not used up.
    Grant,
    /// Its deadline has not passed.
    InTime,
}

/// One step of a request's life.
#[derive(Debug)]
pub(crate) struct Transition {
    pub(crate) from: &'static [Option<Phase>],
    pub(crate) phase: Phase,
    pub(crate) who: Who,
    pub(crate) needs: &'static [Need],
}

use Need::{Basis, Digest, Grant, InTime, Key, RowVersion};
use Phase::{Approved, Asked, Expired, Failed, Rejected, Requested, Stale, Validated, Withdrawn};

const OPEN: Option<Phase> = Some(Requested);

/// Every step there is. What is not here cannot happen.
pub(crate) const TRANSITIONS: &[Transition] = &[
    Transition { from: &[None], phase: Requested, who: Who::Anyone, needs: &[Key, RowVersion] },
    Transition { from: &[OPEN], phase: Asked, who: Who::Policy, needs: &[Basis] },
    Transition { from: &[OPEN], phase: Approved, who: Who::Policy, needs: &[Basis, Grant, InTime] },
    Transition { from: &[OPEN], phase: Rejected, who: Who::Policy, needs: &[] },
    Transition { from: &[Some(Asked)], phase: Approved, who: Who::Decider, needs: &[Digest, Basis, InTime] },
    Transition { from: &[Some(Asked)], phase: Rejected, who: Who::Decider, needs: &[] },
    Transition { from: &[OPEN, Some(Asked)], phase: Expired, who: Who::Clock, needs: &[] },
    Transition { from: &[OPEN, Some(Asked)], phase: Withdrawn, who: Who::Requester, needs: &[] },
    Transition { from: &[Some(Asked)], phase: Stale, who: Who::Flow, needs: &[] },
    Transition { from: &[Some(Approved)], phase: Validated, who: Who::Handler, needs: &[Basis, Grant, InTime] },
    Transition { from: &[Some(Approved)], phase: Withdrawn, who: Who::RequesterOrDecider, needs: &[] },
    Transition { from: &[Some(Approved)], phase: Failed, who: Who::Handler, needs: &[] },
    Transition { from: &[Some(Approved)], phase: Stale, who: Who::Flow, needs: &[] },
];

/// Phases behind which nothing follows.
pub(crate) const ENDS: [Phase; 6] = [Rejected, Expired, Withdrawn, Failed, Stale, Validated];

/// Whether nothing follows a phase.
pub(crate) fn is_end(phase: Phase) -> bool {
    ENDS.contains(&phase)
}

/// The step that leads from where a request stands to a phase; `None` if there is none.
pub(crate) fn step(from: Option<Phase>, phase: Phase) -> Option<&'static Transition> {
    TRANSITIONS.iter().find(|step| step.phase == phase && step.from.contains(&from))
}

impl Transition {
    /// Whether it can only be taken before what it stands on runs out.
    pub(crate) fn is_timed(&self) -> bool {
        self.needs.contains(&InTime)
    }
}

/// Where a request stands when an event of this phase is met: where it stood, if there is no such step.
pub(crate) fn after(from: Option<Phase>, phase: Phase) -> Option<Phase> {
    if step(from, phase).is_some() { Some(phase) } else { from }
}

/// The table as docs/flow.md shows it.
#[cfg(test)]
pub(crate) fn picture() -> String {
    let mut text = "| from | event | who | needs |\n|---|---|---|---|\n".to_owned();
    for step in TRANSITIONS {
        let from: Vec<&str> = step
            .from
            .iter()
            .map(|from| match from {
                None => "-",
                Some(Requested) => "open",
                Some(phase) => phase.as_str(),
            })
            .collect();
        let needs: Vec<&str> = step.needs.iter().map(|need| need.as_str()).collect();
        let _ =
            writeln!(text, "| {} | {} | {} | {} |", from.join(", "), step.phase, step.who.as_str(), needs.join("; "));
    }
    text
}

#[cfg(test)]
impl Who {
    const fn as_str(self) -> &'static str {
        match self {
            Who::Anyone => "anyone",
            Who::Policy => "the policy",
            Who::Decider => "a decider",
            Who::Clock => "the clock",
            Who::Requester => "the requester",
            Who::RequesterOrDecider => "the requester or the decider",
            Who::Flow => "the flow",
            Who::Handler => "the handler",
        }
    }
}

#[cfg(test)]
impl Need {
    const fn as_str(self) -> &'static str {
        match self {
            Need::Key => "key unused, or used for the same",
            Need::RowVersion => "`if_version`, where given",
            Need::Digest => "digest of what was shown",
            Need::Basis => "subject unchanged",
            Need::Grant => "grant still good, where it stands on one",
            Need::InTime => "before `execute_by`, where given",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of docs/flow.md once more, as pairs: what may follow what, written out by hand.
    const MAY_FOLLOW: [(Option<Phase>, &[Phase]); 10] = [
        (None, &[Requested]),
        (OPEN, &[Asked, Approved, Rejected, Expired, Withdrawn]),
        (Some(Asked), &[Approved, Rejected, Expired, Withdrawn, Stale]),
        (Some(Approved), &[Withdrawn, Failed, Stale, Validated]),
        (Some(Rejected), &[]),
        (Some(Expired), &[]),
        (Some(Withdrawn), &[]),
        (Some(Failed), &[]),
        (Some(Stale), &[]),
        (Some(Validated), &[]),
    ];

    #[test]
    fn every_pair_of_state_and_event_is_as_the_page_says() {
        for (from, may) in MAY_FOLLOW {
            for phase in Phase::ALL {
                assert_eq!(step(from, phase).is_some(), may.contains(&phase), "{from:?} then {phase}");
                let then = after(from, phase);
                assert_eq!(then, if may.contains(&phase) { Some(phase) } else { from }, "{from:?} then {phase}");
            }
        }
    }

    #[test]
    fn no_state_has_two_ways_to_the_same_event() {
        for (from, _) in MAY_FOLLOW {
            for phase in Phase::ALL {
                let ways = TRANSITIONS.iter().filter(|step| step.phase == phase && step.from.contains(&from)).count();
                assert!(ways <= 1, "{from:?} then {phase}");
            }
        }
    }

    #[test]
    fn an_end_is_what_nothing_follows() {
        for (from, may) in MAY_FOLLOW {
            let Some(phase) = from else { continue };
            assert_eq!(is_end(phase), may.is_empty(), "{phase}");
        }
    }

    #[test]
    fn only_what_brings_the_change_nearer_has_to_be_in_time() {
        for step in TRANSITIONS {
            assert_eq!(step.is_timed(), matches!(step.phase, Approved | Validated), "{step:?}");
        }
    }

    #[test]
    fn the_page_shows_the_table() {
        let page = include_str!("../../docs/flow.md");
        assert!(page.contains(&picture()), "docs/flow.md has to hold this table:\n{}", picture());
    }
}
