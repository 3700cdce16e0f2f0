//! What the bytes of a served object are, and which headers describe them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::Behaviour;

/// One version of a remote object: its bytes, its validators and its further headers.
///
/// Random content is a function of a seed and the offset, so an object of many gigabytes costs no memory.
/// Every object starts with a strong `ETag` made from its content and a fixed `Last-Modified`.
#[derive(Clone)]
pub struct Object {
    content: Content,
    flipped: Option<u64>,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) behaviour: Behaviour,
}

impl Object {
    /// `len` bytes that depend on `seed` and the offset alone.
    #[must_use]
    pub fn random(seed: u64, len: u64) -> Self {
        Self::new(
            Content::Random { seed, len },
            format!("\"{seed:x}-{len:x}\""),
        )
    }

    /// Exactly these bytes.
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Vec<u8> = bytes.into();
        let mark = bytes.iter().fold(bytes.len() as u64, |mark, &byte| {
            scramble(mark ^ u64::from(byte))
        });
        Self::new(Content::Bytes(bytes.into()), format!("\"{mark:x}\""))
    }

    /// An empty body: the carrier of behaviours that answer without content, such as redirects.
    #[must_use]
    pub fn empty() -> Self {
        Self::bytes(Vec::new())
    }

    fn new(content: Content, etag: String) -> Self {
        Self {
            content,
            flipped: None,
            etag: Some(etag),
            last_modified: Some(DEFAULT_LAST_MODIFIED.to_owned()),
            headers: vec![(
                "Content-Type".to_owned(),
                "application/octet-stream".to_owned(),
            )],
            behaviour: Behaviour::new(),
        }
    }

    /// Sets the `ETag` header, quotes (and `W/`) included.
    #[must_use]
    pub fn etag(mut self, etag: impl Into<String>) -> Self {
        self.etag = Some(etag.into());
        self
    }

    /// Sends no `ETag`.
    #[must_use]
    pub fn no_etag(mut self) -> Self {
        self.etag = None;
        self
    }

    /// Sets the `Last-Modified` header as it is written on the wire.
    #[must_use]
    pub fn last_modified(mut self, date: impl Into<String>) -> Self {
        self.last_modified = Some(date.into());
        self
    }

    /// Sends no `Last-Modified`.
    #[must_use]
    pub fn no_last_modified(mut self) -> Self {
        self.last_modified = None;
        self
    }

    /// Sends neither `ETag` nor `Last-Modified`.
    #[must_use]
    pub fn no_validator(self) -> Self {
        self.no_etag().no_last_modified()
    }

    /// Sets the `Content-Disposition` header as it is written on the wire.
    #[must_use]
    pub fn content_disposition(self, value: impl Into<String>) -> Self {
        self.header("Content-Disposition", value)
    }

    /// Sets the `Content-Type` header; the default is `application/octet-stream`.
    #[must_use]
    pub fn content_type(self, value: impl Into<String>) -> Self {
        self.header("Content-Type", value)
    }

    /// Sets a header of every answer that carries this object, replacing one of the same name.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.headers
            .retain(|(old, _)| !old.eq_ignore_ascii_case(&name));
        self.headers.push((name, value.into()));
        self
    }

    /// Inverts the byte at `offset` without changing any header: a silently damaged copy.
    #[must_use]
    pub fn flipped_at(mut self, offset: u64) -> Self {
        self.flipped = Some(offset);
        self
    }

    /// How the server misbehaves while it serves this object; see [`Behaviour`].
    #[must_use]
    pub fn behaviour(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }

    /// Length of the content in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.content {
            Content::Random { len, .. } => *len,
            Content::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Whether the content is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of `range`, cut off at the end of the object.
    #[must_use]
    pub fn expected(&self, range: Range<u64>) -> Vec<u8> {
        let end = range.end.min(self.len());
        let wanted = end.saturating_sub(range.start);
        let mut out =
            vec![0; usize::try_from(wanted).expect("a range that is held in memory fits usize")];
        self.fill(range.start, &mut out);
        out
    }

    /// All bytes of the object in memory.
    #[must_use]
    pub fn whole(&self) -> Vec<u8> {
        self.expected(0..self.len())
    }

    /// Writes the bytes from `offset` on into `out`; what lies behind the end of the object becomes zero.
    pub fn fill(&self, offset: u64, out: &mut [u8]) {
        match &self.content {
            Content::Random { seed, .. } => fill_random(*seed, offset, out),
            Content::Bytes(bytes) => fill_bytes(bytes, offset, out),
        }
        if let Some(at) = self.flipped.and_then(|at| at.checked_sub(offset))
            && let Some(byte) = usize::try_from(at).ok().and_then(|at| out.get_mut(at))
        {
            *byte = !*byte;
        }
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Object");
        match &self.content {
            Content::Random { seed, .. } => out.field("seed", seed),
            Content::Bytes(_) => &mut out,
        };
        out.field("len", &self.len())
            .field("etag", &self.etag)
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
enum Content {
    Random { seed: u64, len: u64 },
    Bytes(Arc<[u8]>),
}

fn fill_random(seed: u64, offset: u64, out: &mut [u8]) {
    let key = scramble(seed);
    let mut index = offset / 8;
    let skip = usize::try_from(offset % 8).expect("a remainder of eight fits usize");
    let head = if skip == 0 {
        0
    } else {
        out.len().min(8 - skip)
    };
    let (first, rest) = out.split_at_mut(head);
    if head > 0 {
        first.copy_from_slice(&word(key, index)[skip..skip + head]);
        index += 1;
    }
    let mut chunks = rest.chunks_exact_mut(8);
    for chunk in &mut chunks {
        chunk.copy_from_slice(&word(key, index));
        index += 1;
    }
    let last = chunks.into_remainder();
    let left = last.len();
    last.copy_from_slice(&word(key, index)[..left]);
}

fn fill_bytes(bytes: &[u8], offset: u64, out: &mut [u8]) {
    let from = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
    let here = out.len().min(bytes.len() - from);
    out[..here].copy_from_slice(&bytes[from..from + here]);
    out[here..].fill(0);
}

fn word(key: u64, index: u64) -> [u8; 8] {
    scramble(key.wrapping_add(index)).to_le_bytes()
}

/// The finalizer of splitmix64: each input bit changes about half of the output bits.
pub(super) fn scramble(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const DEFAULT_LAST_MODIFIED: &str = "Thu, 02 Jan 2025 03:04:05 GMT";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_do_not_depend_on_how_the_range_is_cut() {
        let object = Object::random(7, 1000);
        let whole = object.whole();
        for start in 0..40u64 {
            for len in 0..40u64 {
                let from = usize::try_from(start).unwrap();
                let to = usize::try_from(start + len).unwrap();
                assert_eq!(object.expected(start..start + len), whole[from..to]);
            }
        }
        assert_eq!(object.expected(990..2000), whole[990..]);
        assert_ne!(whole, Object::random(8, 1000).whole());
    }

    #[test]
    fn fixed_bytes_end_in_zeros() {
        let object = Object::bytes(*b"abc");
        let mut out = [9; 5];
        object.fill(1, &mut out);
        assert_eq!(out, *b"bc\0\0\0");
        object.fill(77, &mut out);
        assert_eq!(out, [0; 5]);
    }

    #[test]
    fn one_byte_is_flipped_and_no_header() {
        let good = Object::random(1, 100);
        let bad = good.clone().flipped_at(42);
        let differing: Vec<_> = good
            .whole()
            .iter()
            .zip(bad.whole())
            .enumerate()
            .filter(|(_, (a, b))| **a != *b)
            .map(|(at, _)| at)
            .collect();
        assert_eq!(differing, [42]);
        assert_eq!(good.etag, bad.etag);
        assert_eq!(bad.expected(42..43), [!good.whole()[42]]);
    }
}
