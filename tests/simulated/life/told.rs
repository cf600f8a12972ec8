//! What somebody was told in a life, each with the moment: a number of operations of the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use annals::sim::SimStorage;
use annals::{Phase, RequestId};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fact {
    /// Up to this position events were asked for.
    Asked(u64),
    /// Everything up to this position was acknowledged, or shown to a reader, a subscriber or a projection.
    Acked(u64),
    /// The worker's step for this event returned.
    Step(u64),
    /// The worker's closure was about to return for good.
    Done(u64),
    /// It is being decided that a parked event is skipped; then it was.
    SkipAsked(u64),
    Skipped(u64),
    /// What became of a request.
    Outcome(RequestId, Phase),
    /// ANCHOR is overwritten on purpose; a repair has mended that.
    Spoilt(bool),
    /// A backup up to this position was reported done.
    BackedUp(u64),
}

/// Shared with whoever learns something.
#[derive(Clone)]
pub(crate) struct Told {
    disk: Arc<SimStorage>,
    facts: Arc<Mutex<Vec<(u64, Fact)>>>,
}

impl Told {
    /// What is known at first was known before the first operation.
    pub(crate) fn on(disk: &Arc<SimStorage>, before: &[Fact]) -> Told {
        // How far the log goes is found by opening it.
        let lasts = |fact: &&Fact| !matches!(fact, Fact::Asked(_) | Fact::Acked(_));
        let facts = before.iter().filter(lasts).map(|fact| (0, fact.clone())).collect();
        Told { disk: disk.clone(), facts: Arc::new(Mutex::new(facts)) }
    }

    pub(crate) fn now(&self, fact: Fact) {
        self.at(self.disk.op_count(), fact);
    }

    pub(crate) fn at(&self, ops: u64, fact: Fact) {
        self.facts.lock().unwrap().push((ops, fact));
    }

    /// Everything, in order of time.
    pub(crate) fn all(&self) -> Vec<(u64, Fact)> {
        let mut facts = self.facts.lock().unwrap().clone();
        facts.sort_by_key(|(ops, _)| *ops);
        facts
    }
}

/// What the facts up to a moment come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) steps: BTreeSet<u64>,
    pub(crate) done: BTreeSet<u64>,
    pub(crate) skip_asked: BTreeSet<u64>,
    pub(crate) skipped: BTreeSet<u64>,
    pub(crate) outcomes: BTreeMap<RequestId, Phase>,
    /// ANCHOR may be bad.
    pub(crate) spoilt: bool,
    pub(crate) backed_up: Option<u64>,
}

impl Sum {
    pub(crate) fn of(facts: &[(u64, Fact)], ops: u64) -> Sum {
        let mut sum = Sum::default();
        for (_, fact) in facts.iter().take_while(|(at, _)| *at <= ops) {
            match fact {
                Fact::Asked(_) | Fact::Acked(_) => {}
                Fact::Step(position) => drop(sum.steps.insert(*position)),
                Fact::Done(position) => drop(sum.done.insert(*position)),
                Fact::SkipAsked(position) => drop(sum.skip_asked.insert(*position)),
                Fact::Skipped(position) => drop(sum.skipped.insert(*position)),
                Fact::Outcome(request, phase) => drop(sum.outcomes.insert(*request, *phase)),
                Fact::Spoilt(spoilt) => sum.spoilt = *spoilt,
                Fact::BackedUp(position) => sum.backed_up = Some(*position),
            }
        }
        sum
    }
}
