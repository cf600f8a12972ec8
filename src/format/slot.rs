//! The two slots of a raw segment, pages 1 and 2, written in turn: how far the segment was surely
//! durable. Written when the writer has been idle, at roll, at close and by recovery, never per
//! commit.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic `ANNLSLOT` |
//! | 8 | 8 | seq: the higher of two valid slots is the newer |
//! | 16 | 16 | log id |
//! | 32 | 8 | epoch |
//! | 40 | 8 | base position of the segment |
//! | 48 | 1 | state: 1 idle, 2 rolled, 3 clean, 4 cut |
//! | 49 | 7 | zero |
//! | 56 | 8 | end offset: where the last durable frame ends |
//! | 64 | 8 | end position: that of the last durable event; base - 1 if there is none |
//! | 72 | 8 | header check of the last durable frame; 0 if there is none |
//! | 80 | 8 | highest group seq used |
//! | 88 | 8 | recorded_at of the last durable event of the log, ns since 1970 |
//! | 96 | 8 | check: xxh3-64 of bytes 0 to 95, seed = salt ^ offset of the slot in the file |
//! | 104 | 3992 | zero |

use super::bytes::{Put, array, counter_at, i64_at, u64_at};
use super::page::{self, Page};
use super::{PAGE_BYTES, Read};
use crate::event::LogId;
use crate::position::Position;
use crate::time::Timestamp;

pub(crate) const MAGIC: [u8; 8] = *b"ANNLSLOT";
const CHECK_AT: usize = 96;
/// Where the slots stand in the file.
pub(crate) const OFFSETS: [u64; 2] = [PAGE_BYTES as u64, 2 * PAGE_BYTES as u64];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The writer had nothing to do for a while.
    Idle,
    /// The segment is full; nothing is ever added.
    Rolled,
    /// The writer closed.
    Clean,
    /// Recovery cut what followed; nothing is ever added.
    Cut,
}

impl State {
    pub(crate) const fn code(self) -> u8 {
        match self {
            State::Idle => 1,
            State::Rolled => 2,
            State::Clean => 3,
            State::Cut => 4,
        }
    }

    fn from_code(code: u8) -> Option<State> {
        [State::Idle, State::Rolled, State::Clean, State::Cut].into_iter().find(|state| state.code() == code)
    }

    /// Whether the segment takes no more frames.
    pub(crate) const fn is_final(self) -> bool {
        matches!(self, State::Rolled | State::Cut)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) seq: u64,
    pub(crate) log: LogId,
    pub(crate) epoch: u64,
    pub(crate) base: Position,
    pub(crate) state: State,
    pub(crate) end_offset: u64,
    pub(crate) end_position: Position,
    pub(crate) last_header_check: u64,
    pub(crate) group_seq: u64,
    pub(crate) recorded_at: Timestamp,
}

impl Slot {
    /// The slot that this one belongs into.
    pub(crate) fn offset(&self) -> u64 {
        OFFSETS[(self.seq % 2) as usize]
    }

    pub(crate) fn encode(&self, salt: u64) -> Box<Page> {
        let mut page = Box::new([0u8; PAGE_BYTES]);
        Put(&mut page[..])
            .bytes(0, &MAGIC)
            .u64(8, self.seq)
            .bytes(16, &self.log.0)
            .u64(32, self.epoch)
            .u64(40, self.base.get())
            .bytes(48, &[self.state.code()])
            .u64(56, self.end_offset)
            .u64(64, self.end_position.get())
            .u64(72, self.last_header_check)
            .u64(80, self.group_seq)
            .i64(88, self.recorded_at.as_nanos());
        page::seal(&mut page, CHECK_AT, salt ^ self.offset());
        page
    }

    pub(crate) fn read(page: &[u8], salt: u64, offset: u64) -> Read<Slot> {
        page::read(page, MAGIC, CHECK_AT, salt ^ offset, |fields| {
            Some(Read::Valid(Slot {
                seq: counter_at(fields, 8)?,
                log: LogId(array(fields, 16)?),
                epoch: counter_at(fields, 32)?,
                base: Position::new(u64_at(fields, 40)?),
                state: State::from_code(*fields.get(48)?)?,
                end_offset: u64_at(fields, 56)?,
                end_position: Position::new(u64_at(fields, 64)?),
                last_header_check: u64_at(fields, 72)?,
                group_seq: counter_at(fields, 80)?,
                recorded_at: Timestamp::from_nanos(i64_at(fields, 88)?),
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its bits and those of an offset overlap.
    const SALT: u64 = 0x3040;

    fn slot(seq: u64, state: State) -> Slot {
        Slot {
            seq,
            log: LogId([7; 16]),
            epoch: 3,
            base: Position::new(10),
            state,
            end_offset: 12_288,
            end_position: Position::new(20),
            last_header_check: 5,
            group_seq: 6,
            recorded_at: Timestamp::from_nanos(-1),
        }
    }

    #[test]
    fn it_comes_back_from_its_own_place_of_its_own_segment() {
        for (seq, state) in (0..).zip([State::Idle, State::Rolled, State::Clean, State::Cut]) {
            let slot = slot(seq, state);
            assert_eq!(slot.offset(), 4096 * (1 + seq % 2));
            let page = slot.encode(SALT);
            assert_eq!(Slot::read(&page[..], SALT, slot.offset()), Read::Valid(slot));
            for (salt, offset) in [(SALT, 12_288 - slot.offset()), (SALT, 0), (SALT + 1, slot.offset())] {
                assert!(matches!(Slot::read(&page[..], salt, offset), Read::Bad(_)), "{seq} {salt} {offset}");
            }
            assert_eq!(state.is_final(), matches!(state, State::Rolled | State::Cut));
        }
        assert_eq!(Slot::read(&[0; PAGE_BYTES], SALT, 4096), Read::Zero);
    }

    #[test]
    fn a_state_that_is_none_and_numbers_without_a_next_are_damage() {
        let mended = |change: &dyn Fn(&mut Page)| {
            let mut page = slot(0, State::Idle).encode(SALT);
            change(&mut page);
            page::seal(&mut page, CHECK_AT, SALT ^ 4096);
            Slot::read(&page[..], SALT, 4096)
        };
        assert_eq!(mended(&|_| {}), Read::Valid(slot(0, State::Idle)));
        for state in [0, 5, 255] {
            assert!(matches!(mended(&|page| page[48] = state), Read::Bad(_)), "{state}");
        }
        for top in [15, 39, 87] {
            assert!(matches!(mended(&|page| page[top] = 0x80), Read::Bad(_)), "{top}");
        }
    }
}
