//! A file of a Metalink document while it is read: which values count, and which contradict each other.

use std::borrow::Cow;

use bytehaul_integrity::{Algorithm, Digest};
use url::Url;

use super::{MetaUrl, MetalinkFile, MetalinkUrl, name, strength};
use crate::piece_hashes::PieceHashes;

/// What is wrong with an element.
pub(super) type Problem = Cow<'static, str>;

#[derive(Default)]
pub(super) struct Draft {
    name: String,
    size: Option<u64>,
    hashes: Vec<Digest>,
    reading: Option<Pieces>,
    pieces: Option<PieceHashes>,
    urls: Vec<MetalinkUrl>,
    metaurls: Vec<MetaUrl>,
}

/// The piece hashes of one algorithm, as far as they are read.
pub(super) struct Pieces {
    /// `None`: of no known one, so that the values do not count.
    algorithm: Option<Algorithm>,
    length: u64,
    count: usize,
    bytes: Vec<u8>,
}

impl Pieces {
    pub(super) fn new(algorithm: Option<Algorithm>, length: &str) -> Result<Self, Problem> {
        let length = number(length).filter(|length| *length > 0);
        Ok(Self {
            algorithm,
            length: length.ok_or("pieces without a length")?,
            count: 0,
            bytes: Vec::new(),
        })
    }
}

impl Draft {
    pub(super) fn named(name: &str) -> Result<Self, Problem> {
        Ok(Self {
            name: name::safe(name)?,
            ..Self::default()
        })
    }

    pub(super) fn size(&mut self, text: &str) -> Result<(), Problem> {
        let size = number(text).ok_or("a size that is no number of bytes")?;
        if self.size.is_some_and(|known| known != size) {
            return Err("two sizes of one file".into());
        }
        self.size = Some(size);
        Ok(())
    }

    pub(super) fn hash(&mut self, algorithm: Option<Algorithm>, text: &str) -> Result<(), Problem> {
        let Some(algorithm) = algorithm else {
            return Ok(());
        };
        let hash = Digest::parse(algorithm, text).map_err(|error| error.to_string())?;
        match self
            .hashes
            .iter()
            .find(|known| known.algorithm() == algorithm)
        {
            Some(known) if *known != hash => Err("two hashes of one algorithm".into()),
            Some(_) => Ok(()),
            None => {
                self.hashes.push(hash);
                Ok(())
            }
        }
    }

    pub(super) fn begin_pieces(&mut self, pieces: Pieces) {
        self.reading = Some(pieces);
    }

    /// Version 3.0 numbers the pieces.
    pub(super) fn expect_piece(&mut self, index: &str) -> Result<(), Problem> {
        match &self.reading {
            Some(pieces) if number(index) != Some(pieces.count as u64) => {
                Err("pieces out of their order".into())
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn piece(&mut self, text: &str) -> Result<(), Problem> {
        let Some(pieces) = &mut self.reading else {
            return Ok(());
        };
        pieces.count += 1;
        let Some(algorithm) = pieces.algorithm else {
            return Ok(());
        };
        if pieces.count > MOST_PIECES {
            return Err("more than 262,144 pieces".into());
        }
        let hash = Digest::parse(algorithm, text).map_err(|error| error.to_string())?;
        pieces.bytes.extend_from_slice(hash.as_bytes());
        Ok(())
    }

    /// Keeps the pieces when they are of a stronger algorithm than those that are known.
    pub(super) fn end_pieces(&mut self) -> Result<(), Problem> {
        let Some(pieces) = self.reading.take() else {
            return Ok(());
        };
        let Some(algorithm) = pieces.algorithm else {
            return Ok(());
        };
        let values = pieces.bytes.chunks_exact(algorithm.digest_len());
        let pieces = PieceHashes::new(algorithm, pieces.length, values)
            .map_err(|_| "pieces without hashes")?;
        let known = self.pieces.as_ref().map(PieceHashes::algorithm);
        if known.is_none_or(|known| strength(algorithm) < strength(known)) {
            self.pieces = Some(pieces);
        }
        Ok(())
    }

    /// What is no absolute URL cannot be used and is left out.
    pub(super) fn url(&mut self, text: &str, priority: u32, location: Option<String>) {
        if let (Ok(url), true) = (Url::parse(text), self.urls.len() < MOST_URLS) {
            self.urls.push(MetalinkUrl {
                url,
                priority,
                location,
            });
        }
    }

    pub(super) fn metaurl(&mut self, text: &str, priority: u32, media_type: String) {
        if let (Ok(url), true) = (Url::parse(text), self.metaurls.len() < MOST_URLS) {
            let media_type = media_type.trim().to_ascii_lowercase();
            self.metaurls.push(MetaUrl {
                url,
                media_type,
                priority,
            });
        }
    }

    pub(super) fn finish(mut self) -> Result<MetalinkFile, Problem> {
        if let (Some(size), Some(pieces)) = (self.size, &self.pieces)
            && !pieces.fits(size)
        {
            return Err("pieces that are not those of a file of this size".into());
        }
        self.hashes.sort_by_key(|hash| strength(hash.algorithm()));
        // Sorting keeps the order of the document among equals.
        self.urls.sort_by_key(|url| url.priority);
        self.metaurls.sort_by_key(|url| url.priority);
        Ok(MetalinkFile {
            name: self.name,
            size: self.size,
            hashes: self.hashes,
            pieces: self.pieces,
            urls: self.urls,
            metaurls: self.metaurls,
        })
    }
}

/// Bytes of a file are counted up to what a signed offset can hold.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits {
        text.parse().ok()?
    } else {
        return None;
    };
    (number <= i64::MAX as u64).then_some(number)
}

const MOST_PIECES: usize = 262_144;
const MOST_URLS: usize = 1000;
