//! Copies of events one behind the other, in memory that is used again for the next ones.

use super::{EventRef, Head};

/// Memory that is kept for the next events, at most: there may be a thousand subscribers.
const KEPT_BYTES: usize = 256 << 10;

/// Some events, copied out of the log.
#[derive(Debug, Default)]
pub(crate) struct CopiedEvents {
    heads: Vec<Place>,
    text: String,
    /// Of each event its lists, then its data.
    bytes: Vec<u8>,
}

/// An event and where its parts end; they begin where those of the event before end.
#[derive(Debug)]
struct Place {
    head: Head,
    text_end: usize,
    lists_end: usize,
    data_end: usize,
}

impl CopiedEvents {
    /// Forgets all events, and keeps the memory if it is little.
    pub(crate) fn clear(&mut self) {
        if self.text.capacity() + self.bytes.capacity() > KEPT_BYTES {
            *self = CopiedEvents::default();
        }
        self.heads.clear();
        self.text.clear();
        self.bytes.clear();
    }

    pub(crate) fn push(&mut self, event: &EventRef<'_>) {
        self.text.push_str(event.text);
        self.bytes.extend_from_slice(event.lists);
        let lists_end = self.bytes.len();
        self.bytes.extend_from_slice(event.data);
        let (text_end, data_end) = (self.text.len(), self.bytes.len());
        self.heads.push(Place { head: event.head, text_end, lists_end, data_end });
    }

    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// Bytes of all strings and data.
    pub(crate) fn byte_len(&self) -> usize {
        self.text.len() + self.bytes.len()
    }

    pub(crate) fn last(&self) -> Option<&Head> {
        self.heads.last().map(|place| &place.head)
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = EventRef<'_>> {
        let (mut text_start, mut bytes_start) = (0, 0);
        self.heads.iter().map(move |place| {
            let event = EventRef {
                head: place.head,
                lists: self.bytes.get(bytes_start..place.lists_end).unwrap_or_default(),
                text: self.text.get(text_start..place.text_end).unwrap_or_default(),
                data: self.bytes.get(place.lists_end..place.data_end).unwrap_or_default(),
            };
            (text_start, bytes_start) = (place.text_end, place.data_end);
            event
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{LogId, TextLens};
    use crate::position::Position;
    use crate::time::Timestamp;

    fn head(position: u64, subject: u16, tag_count: u8) -> Head {
        Head {
            log: LogId([7; 16]),
            epoch: 1,
            position: Position::new(position),
            version: 1,
            recorded_at: Timestamp::from_nanos(position as i64),
            occurred_at: None,
            causation: None,
            actor: None,
            content: None,
            lens: TextLens { subject, ..TextLens::default() },
            tag_count,
            imported: false,
        }
    }

    #[test]
    fn events_come_back_as_they_were() {
        let events = [
            EventRef { head: head(1, 4, 1), lists: &[2, 0], text: "note/n-1: é", data: b"first" },
            EventRef { head: head(2, 3, 0), lists: &[], text: "a/b", data: b"" },
            EventRef { head: head(3, 0, 2), lists: &[1, 0, 3, 0], text: "", data: &[0, 255] },
        ];
        let mut copied = CopiedEvents::default();
        for round in 0..2 {
            copied.clear();
            assert!(copied.last().is_none());
            events.iter().skip(round).for_each(|event| copied.push(event));
            assert_eq!(copied.len(), events.len() - round);
            assert_eq!(copied.last(), Some(&events[2].head));
            assert_eq!(copied.iter().len(), copied.len());
            for (copy, event) in copied.iter().zip(&events[round..]) {
                assert_eq!(
                    (copy.head, copy.lists, copy.text, copy.data),
                    (event.head, event.lists, event.text, event.data)
                );
            }
        }
    }

    #[test]
    fn much_memory_is_not_kept() {
        let mut copied = CopiedEvents::default();
        let large = vec![1; KEPT_BYTES + 1];
        copied.push(&EventRef { head: head(1, 0, 0), lists: &[], text: "", data: &large });
        assert_eq!(copied.byte_len(), large.len());
        copied.clear();
        assert_eq!((copied.byte_len(), copied.bytes.capacity()), (0, 0));
    }
}
