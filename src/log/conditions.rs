//! Whether an append may be done: its key, then its conditions, against the committed log and
//! against the members of the group that stand before it.

use super::core::Core;
use super::writer::{Member, Writer};
use crate::append::{Appended, Condition, Expected};
use crate::error::{AppendError, Error};
use crate::position::Position;
use crate::query::Query;

impl Writer {
    /// Looks the key up first: a match answers without any condition. `true` if the member is
    /// settled by it.
    pub(crate) fn settle_by_key(
        &self,
        core: &Core,
        members: &mut [Box<Member>],
        index: usize,
    ) -> Result<bool, AppendError> {
        let Some((key, hash)) = members[index].prepared.key.clone() else { return Ok(false) };
        let content = members[index].prepared.draft.prelude().key.map(|(_, content)| *content);
        let has_key = |member: &Member| member.prepared.key.as_ref().is_some_and(|(other, _)| *other == key);
        let twin =
            members[..index].iter().position(|member| has_key(member) && member.twin_of.is_none() && is_in_log(member));
        if let Some(first) = twin {
            let other = members[first].prepared.draft.prelude().key.map(|(_, content)| *content);
            if other != content {
                members[index].leans_on_group = members[first].is_staged();
                let position = match (&members[first].outcome, members[first].placed) {
                    // It was itself a repetition of what the log holds.
                    (Some(Ok(done)), _) => done.first,
                    (_, placed) => placed.map_or(Position::ORIGIN, |(header, _)| header.first),
                };
                return Err(AppendError::KeyReused { key, position });
            }
            members[index].twin_of = Some(first);
            return Ok(true);
        }
        match core.log.find_key(&key, hash)? {
            None => Ok(false),
            Some(hit) if Some(hit.content_hash) == content => {
                let done = Appended { first: hit.first, last: hit.last, recorded_at: hit.recorded_at, duplicate: true };
                members[index].outcome = Some(Ok(done));
                Ok(true)
            }
            Some(hit) => Err(AppendError::KeyReused { key, position: hit.first }),
        }
    }

    pub(crate) fn check_conditions(
        &self,
        core: &Core,
        earlier: &[Box<Member>],
        member: &mut Member,
    ) -> Result<(), AppendError> {
        let mut leans = false;
        let verdict = member.prepared.conditions.iter().try_for_each(|condition| match condition {
            Condition::Expect { subject, expected } => {
                self.check_version(core, earlier, subject, *expected, &mut leans)
            }
            Condition::Unless { query, after } => self.check_nothing_since(core, earlier, query, *after, &mut leans),
        });
        // A refusal that stands on a neighbour which then fails would be a refusal without a cause.
        member.leans_on_group = leans && verdict.is_err();
        verdict
    }

    fn check_version(
        &self,
        core: &Core,
        earlier: &[Box<Member>],
        subject: &str,
        expected: Expected,
        leans: &mut bool,
    ) -> Result<(), AppendError> {
        let hash = core.log.hasher.subject(subject);
        let same = |(member, event): (u32, u32)| {
            earlier
                .get(member as usize)
                .and_then(|member| member.prepared.events.get(event as usize))
                .is_some_and(|event| event.subject() == subject)
        };
        let in_group = self.overlay.version(hash, same);
        let (version, last) = match in_group {
            Some(version) => (version, None),
            None => match core.log.last_of_subject(subject, hash, core.log.tail())? {
                Some((position, version)) => (version, Some(position)),
                None => (0, None),
            },
        };
        let wanted = match expected {
            Expected::Any => return Ok(()),
            Expected::NoSubject if version == 0 => return Ok(()),
            Expected::Exists if version > 0 => return Ok(()),
            Expected::Exactly(wanted) if version == wanted => return Ok(()),
            Expected::NoSubject => "have no event".to_owned(),
            Expected::Exists => "have an event".to_owned(),
            Expected::Exactly(wanted) => format!("be at version {wanted}"),
        };
        *leans = in_group.is_some();
        let first_against = match expected {
            Expected::NoSubject => 1,
            Expected::Exactly(wanted) if version > wanted => wanted + 1,
            _ => version,
        };
        let position = match last {
            Some(last) if first_against == version => last,
            _ => self.position_of_version(core, earlier, subject, hash, first_against)?,
        };
        Err(AppendError::Conflict {
            position,
            condition: format!("{subject} has to {wanted}"),
            found: if version == 0 { "it has none".to_owned() } else { format!("it is at version {version}") },
        })
    }

    /// The position of a subject's event of this version, in the log or in the group.
    fn position_of_version(
        &self,
        core: &Core,
        earlier: &[Box<Member>],
        subject: &str,
        hash: u64,
        version: u64,
    ) -> Result<Position, AppendError> {
        if version == 0 {
            return Ok(Position::ORIGIN);
        }
        if let Some(position) = core.log.position_of_version(subject, hash, version, core.log.tail())? {
            return Ok(position);
        }
        for member in earlier.iter().filter(|member| member.is_staged()) {
            let Some((header, _)) = member.placed else { continue };
            for (index, event) in member.prepared.events.iter().enumerate() {
                if event.subject() == subject && member.prepared.draft.version(index) == version {
                    return Ok(Position::new(header.first.get() + index as u64));
                }
            }
        }
        Ok(Position::ORIGIN)
    }

    fn check_nothing_since(
        &self,
        core: &Core,
        earlier: &[Box<Member>],
        query: &Query,
        after: Position,
        leans: &mut bool,
    ) -> Result<(), AppendError> {
        let conflict = |position: Position| AppendError::Conflict {
            position,
            condition: format!("nothing that matches \"{query}\" after position {after}"),
            found: format!("position {position} does"),
        };
        if after < core.log.tail()
            && let Some(position) = (core.matcher)(&core.log, query, after)?
        {
            return Err(conflict(position));
        }
        for member in earlier.iter().filter(|member| member.is_staged()) {
            let Some((header, _)) = member.placed else { continue };
            let ours = |_| AppendError::Failed(Error::invalid("a frame of the group cannot be read back"));
            let frame = member.prepared.draft.view(header, self.active.facts()).map_err(ours)?;
            for index in 0..header.count {
                let event = frame.event(index).map_err(ours)?;
                if event.position() > after && query.matches(&event) {
                    *leans = true;
                    return Err(conflict(event.position()));
                }
            }
        }
        Ok(())
    }
}

/// Staged, or committed by an earlier flush of the same group.
fn is_in_log(member: &Member) -> bool {
    member.is_staged() || matches!(member.outcome, Some(Ok(_)))
}
