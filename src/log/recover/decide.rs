//! What a bad place means: the decision, apart from finding and acting.
//!
//! | proven durable | mode | what stands there | verdict |
//! |---|---|---|---|
//! | yes | any | anything bad | corruption |
//! | no | written | anything bad | torn: write-back may be caught at any page |
//! | no | synced | zeros where a header should be, more after them | torn |
//! | no | synced | the beginning of a header, and zeros from there on | torn |
//! | no | synced | a valid header over a body that fails only where zeros stand | torn |
//! | no | synced | a valid header of a frame that the file is too short for | torn |
//! | no | synced | a whole frame of an earlier group | torn: left over from a write that failed |
//! | no | synced | a header that is not zeros | damaged tail |
//! | no | synced | a valid header over a body that fails elsewhere | damaged tail |
//! | no | synced | a whole frame of another position | damaged tail |
//!
//! A sector is written whole or not at all, and what was not written is zeros, because segments are
//! preallocated. A call that was cut short leaves a beginning, and zeros behind it. So a tear leaves
//! zeros where it does harm; anything else was not made by losing power.

use crate::format::header::Mode;
use crate::segment::scan::BadKind;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Cut here, keep what is cut, go on.
    Torn,
    /// Not opened for writing; a person may accept the loss.
    DamagedTail,
    /// It was durable once: not opened for writing, nothing changed.
    Corruption,
}

/// Judges a bad place. `proven` says whether a slot, ANCHOR or a valid later frame shows that what
/// should stand there was durable.
pub(crate) fn judge(proven: bool, mode: Mode, kind: BadKind) -> Verdict {
    match (proven, mode, kind) {
        (true, _, _) => Verdict::Corruption,
        (false, Mode::Written, _) => Verdict::Torn,
        (false, Mode::Synced, BadKind::ZeroHeader | BadKind::CutHeader | BadKind::CutShort | BadKind::GroupSeqFell) => {
            Verdict::Torn
        }
        (false, Mode::Synced, BadKind::BadBody { torn: true }) => Verdict::Torn,
        (false, Mode::Synced, BadKind::BadHeader | BadKind::WrongPosition | BadKind::BadBody { torn: false }) => {
            Verdict::DamagedTail
        }
    }
}

/// Why a place is a tear, for people.
pub(crate) fn reason(kind: BadKind) -> &'static str {
    match kind {
        BadKind::ZeroHeader => "zeros where a frame should begin, and nothing proves it was durable",
        BadKind::BadHeader | BadKind::CutHeader => {
            "a frame's header was half written, and nothing proves it was durable"
        }
        BadKind::BadBody { .. } => "a frame is incomplete, and nothing proves it was durable",
        BadKind::CutShort => "the file ends inside a frame that nothing proves durable",
        BadKind::WrongPosition => "a frame of another place stands where nothing was durable",
        BadKind::GroupSeqFell => "left over from a write that failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_its_verdict() {
        use BadKind::*;
        let kinds = [
            (ZeroHeader, Verdict::Torn),
            (CutHeader, Verdict::Torn),
            (CutShort, Verdict::Torn),
            (GroupSeqFell, Verdict::Torn),
            (BadBody { torn: true }, Verdict::Torn),
            (BadBody { torn: false }, Verdict::DamagedTail),
            (BadHeader, Verdict::DamagedTail),
            (WrongPosition, Verdict::DamagedTail),
        ];
        for (kind, when_synced_and_unproven) in kinds {
            assert_eq!(judge(true, Mode::Synced, kind), Verdict::Corruption, "{kind:?}");
            assert_eq!(judge(true, Mode::Written, kind), Verdict::Corruption, "{kind:?}");
            assert_eq!(judge(false, Mode::Written, kind), Verdict::Torn, "{kind:?}");
            assert_eq!(judge(false, Mode::Synced, kind), when_synced_and_unproven, "{kind:?}");
            assert!(!reason(kind).is_empty());
        }
    }
}
