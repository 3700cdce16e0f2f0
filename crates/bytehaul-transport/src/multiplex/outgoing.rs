//! Where the frames that h2 sends begin and end, so that others can be put between them, and what of bodies is among them.

use bytes::Buf;

use super::frames::{DATA, END_STREAM, HEADER};

/// Tells the boundaries of the frames that h2 sends, where others may be put between them.
pub(super) struct Outgoing {
    /// Bytes of the preface (RFC 9113 section 3.4), or of a frame's payload.
    left: usize,
    header: [u8; HEADER],
    have: usize,
    /// The frame whose payload is being sent, where it is of a body.
    data: Option<Sent>,
}

/// Bytes of a request's body that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) id: u32,
    pub(super) length: usize,
    pub(super) ends: bool,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            left: PREFACE,
            header: [0; HEADER],
            have: 0,
            data: None,
        }
    }

    pub(super) fn is_between(&self) -> bool {
        self.left == 0 && self.have == 0
    }

    /// These bytes were sent. Tells of each body among them how much it was.
    pub(super) fn sent(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Sent)) {
        while bytes.has_remaining() {
            if self.left > 0 {
                let step = self.left.min(bytes.len());
                bytes.advance(step);
                self.left -= step;
                self.tell(step, &mut tell);
                continue;
            }
            let step = bytes.len().min(HEADER - self.have);
            bytes.copy_to_slice(&mut self.header[self.have..self.have + step]);
            self.have += step;
            if self.have == HEADER {
                self.begin();
                self.tell(0, &mut tell);
            }
        }
    }

    fn begin(&mut self) {
        let [a, b, c, kind, flags, i, j, k, l] = self.header;
        self.left = u32::from_be_bytes([0, a, b, c]) as usize;
        self.have = 0;
        self.data = (kind == DATA).then_some(Sent {
            id: u32::from_be_bytes([i & 0x7f, j, k, l]),
            length: 0,
            ends: flags & END_STREAM != 0,
        });
    }

    fn tell(&self, length: usize, tell: &mut impl FnMut(Sent)) {
        if let Some(data) = self.data
            && (length > 0 || self.left == 0)
        {
            let ends = data.ends && self.left == 0;
            tell(Sent {
                length,
                ends,
                ..data
            });
        }
    }
}

/// Bytes of the preface.
const PREFACE: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize) -> Vec<u8> {
        let mut frame = vec![7; HEADER + length];
        frame[..3].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes()[1..]);
        frame
    }

    fn data(id: u8, length: usize, flags: u8) -> Vec<u8> {
        let mut frame = frame(length);
        frame[3..HEADER].copy_from_slice(&[DATA, flags, 0, 0, 0, id]);
        frame
    }

    #[test]
    fn bodies_are_told_as_they_go() {
        let sent = [
            vec![b'p'; PREFACE],
            frame(20),
            data(1, 100, 0),
            data(3, 0, END_STREAM),
            frame(0),
            data(1, 30, END_STREAM),
        ];
        for step in [1, 7, 9, 1000] {
            let mut outgoing = Outgoing::new();
            let (mut bytes, mut ends) = ([0; 4], Vec::new());
            for part in sent.concat().chunks(step) {
                outgoing.sent(part, |sent| {
                    bytes[sent.id as usize] += sent.length;
                    ends.extend(sent.ends.then_some((sent.id, bytes[1])));
                });
            }
            assert_eq!(bytes, [0, 130, 0, 0], "by {step}");
            assert_eq!(ends, [(3, 100), (1, 130)], "by {step}");
        }
    }

    #[test]
    fn boundaries_of_what_is_sent() {
        let sent = [vec![b'p'; PREFACE], frame(6), frame(0), frame(300)];
        let ends: Vec<usize> = sent
            .iter()
            .scan(0, |at, part| {
                *at += part.len();
                Some(*at)
            })
            .collect();
        let bytes = sent.concat();
        for step in [1, 2, 3, 5, 9, 24, 100, 1000] {
            let mut outgoing = Outgoing::new();
            assert!(!outgoing.is_between());
            let mut at = 0;
            for part in bytes.chunks(step) {
                outgoing.sent(part, |_| {});
                at += part.len();
                assert_eq!(outgoing.is_between(), ends.contains(&at), "{at} by {step}");
            }
        }
    }
}
