//! What the flow has to do, in a few plain rules over one row of alice's: no log, no conditions, no index.

use annals::ErrorKind;

/// What somebody does, or what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Command {
    UserWrites,
    AgentAsks,
    ExternalAsks,
    UnknownAsks,
    StrangerWrites,
    OwnerApproves,
    OwnerApprovesOldest,
    StrangerApproves,
    AgentApproves,
    OwnerApprovesAnother,
    OwnerRejects,
    RequesterWithdraws,
    RequesterAmends,
    TimePasses,
    OwnerGrants,
    OwnerRevokes,
    AnotherEvent,
    FlowSettles,
    PowerFails,
}

pub(crate) const COMMANDS: [Command; 19] = [
    Command::UserWrites,
    Command::AgentAsks,
    Command::ExternalAsks,
    Command::UnknownAsks,
    Command::StrangerWrites,
    Command::OwnerApproves,
    Command::OwnerApprovesOldest,
    Command::StrangerApproves,
    Command::AgentApproves,
    Command::OwnerApprovesAnother,
    Command::OwnerRejects,
    Command::RequesterWithdraws,
    Command::RequesterAmends,
    Command::TimePasses,
    Command::OwnerGrants,
    Command::OwnerRevokes,
    Command::AnotherEvent,
    Command::FlowSettles,
    Command::PowerFails,
];

/// What a command was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// There was nothing that it could be about, or nobody to answer.
    Nothing,
    Done,
    Denied,
    Conflict,
    Other,
}

impl Said {
    pub(crate) fn of(kind: ErrorKind) -> Said {
        match kind {
            ErrorKind::Denied => Said::Denied,
            ErrorKind::Conflict => Said::Conflict,
            _ => Said::Other,
        }
    }
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum End {
    Pending,
    Validated,
    Rejected,
    Failed,
    Expired,
    Withdrawn,
    Stale,
}

/// A rule that the oracle has wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    Nothing,
    AnybodyAnswers,
    DigestDoesNotMatter,
    NothingGoesStale,
    GrantsNeverEnd,
    NothingExpires,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum By {
    Alice,
    Bob,
    Agent,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wish {
    by: By,
    number: u32,
    end: End,
    /// Hours until it expires.
    hours_left: i32,
}

/// The row, the requests and the grants.
#[derive(Debug, Clone)]
pub(crate) struct Oracle {
    broken: Broken,
    row: u32,
    wishes: Vec<Wish>,
    /// Uses that are left of each, and whether it was revoked.
    grants: Vec<(u32, bool)>,
}

impl Oracle {
    pub(crate) fn new(broken: Broken) -> Oracle {
        Oracle { broken, row: 0, wishes: Vec::new(), grants: Vec::new() }
    }

    pub(crate) fn row(&self) -> u64 {
        u64::from(self.row)
    }

    pub(crate) fn ends(&self) -> Vec<End> {
        self.wishes.iter().map(|wish| wish.end).collect()
    }

    /// All that what follows depends on; the numbers that were written are only names.
    pub(crate) fn state(&self) -> String {
        let wishes: Vec<_> =
            self.wishes.iter().map(|wish| (wish.by, wish.end, wish.hours_left, wish.number == self.row)).collect();
        format!("{wishes:?} {:?}", self.grants)
    }

    pub(crate) fn run(&mut self, command: Command, number: u32) -> Said {
        match command {
            Command::UserWrites => self.wish(By::Alice, number),
            Command::StrangerWrites => self.wish(By::Bob, number),
            Command::AgentAsks => self.wish(By::Agent, number),
            Command::ExternalAsks | Command::UnknownAsks => self.wish(By::Other, number),
            Command::OwnerApproves => self.answer(self.wishes.len().checked_sub(1), |oracle, at| oracle.approve(at)),
            Command::OwnerApprovesOldest => self.answer(Some(0), |oracle, at| oracle.approve(at)),
            Command::OwnerRejects => self.answer(self.wishes.len().checked_sub(1), |oracle, at| {
                oracle.wishes[at].end = End::Rejected;
                Said::Done
            }),
            Command::OwnerApprovesAnother => self.answer(self.wishes.len().checked_sub(1), |oracle, at| {
                if oracle.broken == Broken::DigestDoesNotMatter { oracle.approve(at) } else { Said::Conflict }
            }),
            Command::StrangerApproves => self.stranger_approves(),
            // An agent is told so before anything else.
            Command::AgentApproves if self.wishes.is_empty() => Said::Nothing,
            Command::AgentApproves => Said::Denied,
            Command::RequesterWithdraws => self.take_back(End::Withdrawn),
            Command::RequesterAmends => match self.take_back(End::Withdrawn) {
                Said::Done => {
                    let by = self.wishes.last().map_or(By::Other, |wish| wish.by);
                    let hours_left = self.wishes.last().map_or(1, |wish| wish.hours_left);
                    let said = self.wish(by, number);
                    // The time to answer is that of the one whose place it takes.
                    self.wishes.last_mut().into_iter().for_each(|wish| wish.hours_left = hours_left);
                    said
                }
                said => said,
            },
            Command::TimePasses => {
                for wish in self.wishes.iter_mut().filter(|wish| wish.end == End::Pending) {
                    wish.hours_left -= 2;
                    if wish.hours_left <= 0 && self.broken != Broken::NothingExpires {
                        wish.end = End::Expired;
                    }
                }
                Said::Nothing
            }
            Command::OwnerGrants => {
                self.grants.push((1, false));
                Said::Done
            }
            Command::OwnerRevokes => match self.grants.last_mut() {
                None => Said::Nothing,
                Some((_, true)) => Said::Conflict,
                Some((_, revoked)) => {
                    *revoked = true;
                    Said::Done
                }
            },
            Command::AnotherEvent | Command::FlowSettles => Said::Done,
            Command::PowerFails => Said::Nothing,
        }
    }

    fn wish(&mut self, by: By, number: u32) -> Said {
        let end = match by {
            By::Alice => End::Validated,
            By::Bob => End::Rejected,
            By::Agent if self.spend() => End::Validated,
            By::Agent | By::Other => End::Pending,
        };
        if end == End::Validated {
            self.write(number);
        }
        self.wishes.push(Wish { by, number, end, hours_left: 1 });
        Said::Done
    }

    /// Uses the oldest grant that is good.
    fn spend(&mut self) -> bool {
        let never_ends = self.broken == Broken::GrantsNeverEnd;
        match self.grants.iter_mut().find(|(left, revoked)| *left > 0 && (!*revoked || never_ends)) {
            Some((left, _)) => {
                *left -= 1;
                true
            }
            None => false,
        }
    }

    fn write(&mut self, number: u32) {
        self.row = number;
        if self.broken != Broken::NothingGoesStale {
            self.wishes.iter_mut().filter(|wish| wish.end == End::Pending).for_each(|wish| wish.end = End::Stale);
        }
    }

    fn approve(&mut self, at: usize) -> Said {
        let number = self.wishes[at].number;
        self.wishes[at].end = End::Validated;
        self.write(number);
        Said::Done
    }

    /// Alice answers.
    fn answer(&mut self, at: Option<usize>, answer: impl FnOnce(&mut Oracle, usize) -> Said) -> Said {
        let Some(wish) = at.and_then(|at| self.wishes.get(at)) else { return Said::Nothing };
        match (wish.by, wish.end) {
            (By::Alice, _) => Said::Denied,
            (_, End::Pending) => answer(self, at.unwrap_or_default()),
            _ => Said::Conflict,
        }
    }

    fn stranger_approves(&mut self) -> Said {
        let Some(at) = self.wishes.len().checked_sub(1) else { return Said::Nothing };
        match (self.wishes[at].by, self.wishes[at].end) {
            (By::Bob, _) => Said::Denied,
            (_, End::Pending) if self.broken == Broken::AnybodyAnswers => self.approve(at),
            (_, End::Pending) => Said::Denied,
            _ => Said::Conflict,
        }
    }

    fn take_back(&mut self, end: End) -> Said {
        match self.wishes.last_mut() {
            None => Said::Nothing,
            Some(wish) if wish.end == End::Pending => {
                wish.end = end;
                Said::Done
            }
            Some(_) => Said::Conflict,
        }
    }
}
