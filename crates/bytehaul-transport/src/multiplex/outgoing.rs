//! Where the frames that h2 sends begin and end, so that others can be put between them.

use bytes::Buf;

use super::frames::HEADER;

/// Tells the boundaries of the frames that h2 sends, where others may be put between them.
pub(super) struct Outgoing {
    /// Bytes of the preface (RFC 9113 section 3.4), of a frame's payload with the rest of its header.
    left: usize,
    length: [u8; 3],
    have: usize,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            left: PREFACE,
            length: [0; 3],
            have: 0,
        }
    }

    pub(super) fn is_between(&self) -> bool {
        self.left == 0 && self.have == 0
    }

    /// These bytes were sent.
    pub(super) fn sent(&mut self, mut bytes: &[u8]) {
        while bytes.has_remaining() {
            if self.left > 0 {
                let step = self.left.min(bytes.len());
                bytes.advance(step);
                self.left -= step;
                continue;
            }
            self.length[self.have] = bytes.get_u8();
            self.have += 1;
            if self.have == self.length.len() {
                let [a, b, c] = self.length;
                self.left = u32::from_be_bytes([0, a, b, c]) as usize + HEADER - self.have;
                self.have = 0;
            }
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
                outgoing.sent(part);
                at += part.len();
                assert_eq!(outgoing.is_between(), ends.contains(&at), "{at} by {step}");
            }
        }
    }
}
