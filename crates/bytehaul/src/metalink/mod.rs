//! What a Metalink document says of its files, and how each becomes a download.

mod described;
mod draft;
mod error;
mod headers;
mod name;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use bytehaul_integrity::{Algorithm, Digest};
use url::Url;

pub(crate) use self::described::{Described, described};
pub use self::error::MetalinkError;
pub(crate) use self::headers::{Description, MOST_MIRRORS, Named, named};
use crate::checksum::Checksum;
use crate::mirror::Mirror;
use crate::piece_hashes::PieceHashes;
use crate::spec::DownloadSpec;

/// A Metalink document: files, where each can be had, and what it must hash to. Version 4 (RFC 5854) and 3.0.
///
/// ```
/// use bytehaul::Metalink;
///
/// let document = br#"<?xml version="1.0" encoding="UTF-8"?>
/// <metalink xmlns="urn:ietf:params:xml:ns:metalink">
///   <file name="example.ext">
///     <size>14471447</size>
///     <hash type="sha-256">17bfc4a6058d2d7d82db859c8b4528e5ab23cd3f7f46ec1f4dd0d2a3d0b8c6a9</hash>
///     <url location="de" priority="1">https://mirror.example/example.ext</url>
///     <url priority="2">https://other.example/example.ext</url>
///   </file>
/// </metalink>"#;
/// let metalink = Metalink::parse(document)?;
/// let specs = metalink.specs("downloads");
/// assert_eq!(specs[0].url, "https://mirror.example/example.ext");
/// assert_eq!(specs[0].mirrors.len(), 1);
/// assert_eq!(specs[0].expected_size, Some(14_471_447));
/// # Ok::<(), bytehaul::MetalinkError>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Metalink {
    files: Vec<MetalinkFile>,
}

impl Metalink {
    /// Reads a document in UTF-8. What is not known, in whatever namespace, is passed over; so are entities of the
    /// document's own (they are not expanded) and hashes of unknown algorithms.
    ///
    /// # Errors
    /// [`MetalinkError`] with line and column: not well-formed, no Metalink, a name that leaves its directory, a size or
    /// a hash that is none, or more than a document may have (16 MiB, 10,000 files, 1,000 URLs and 262,144 pieces a
    /// file, elements 32 deep).
    pub fn parse(document: &[u8]) -> Result<Self, MetalinkError> {
        let files = parse::files(document)?;
        Ok(Self { files })
    }

    /// The files, in the order of the document.
    pub fn files(&self) -> &[MetalinkFile] {
        &self.files
    }

    /// A download below `directory` for each file that an `http` or `https` URL leads to; other files are left out.
    /// See [`MetalinkFile::spec`].
    pub fn specs(&self, directory: impl AsRef<Path>) -> Vec<DownloadSpec> {
        let directory = directory.as_ref();
        let specs = self.files.iter().map(|file| file.spec(directory));
        specs.flatten().collect()
    }
}

/// One file of a [`Metalink`].
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct MetalinkFile {
    /// A relative path of harmless segments with `/` between them. It never leads out of a directory.
    pub name: String,
    /// Its length in bytes.
    pub size: Option<u64>,
    /// Hashes of the whole file, strongest first, at most one of each algorithm.
    pub hashes: Vec<Digest>,
    /// The hashes of its pieces, of the strongest algorithm that has some.
    pub pieces: Option<PieceHashes>,
    /// Where it can be had, best first. Of any scheme.
    pub urls: Vec<MetalinkUrl>,
    /// Other documents that tell where it can be had, such as a torrent; best first. Not used by
    /// [`spec`](Self::spec).
    pub metaurls: Vec<MetaUrl>,
}

impl MetalinkFile {
    /// The URLs that can be downloaded here, best first. Without a hash of SHA-256 or stronger, nothing would tell what
    /// somebody on the way put into an `http` answer, so these are left out beside an `https` one.
    pub fn sources(&self) -> impl Iterator<Item = &MetalinkUrl> {
        let proved = self.hashes.iter().any(|hash| is_strong(hash.algorithm()));
        let secure = self.urls.iter().any(|url| url.url.scheme() == "https");
        self.urls.iter().filter(move |url| match url.url.scheme() {
            "https" => true,
            "http" => proved || !secure,
            _ => false,
        })
    }

    /// A download to `directory/name` from the best URL, with the others as mirrors, the strongest hash as the checksum,
    /// the size and the piece hashes. `None` without an `http` or `https` URL.
    ///
    /// Sends and opens nothing. Where the name has several segments, their directories have to be made before.
    pub fn spec(&self, directory: impl AsRef<Path>) -> Option<DownloadSpec> {
        let mut sources = self.sources();
        let best = sources.next()?;
        let mut spec = DownloadSpec::new(best.url.as_str()).output_path(
            self.name
                .split('/')
                .fold(directory.as_ref().to_path_buf(), |path, segment| {
                    path.join(segment)
                }),
        );
        spec.mirrors = sources.map(MetalinkUrl::mirror).collect();
        spec.checksum = self
            .hashes
            .iter()
            .find_map(|hash| Checksum::try_from(hash).ok());
        spec.expected_size = self.size;
        spec.piece_hashes.clone_from(&self.pieces);
        Some(spec)
    }
}

/// Where a file can be had.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetalinkUrl {
    /// The address, of any scheme.
    pub url: Url,
    /// 1 is the best, 999999 the worst and the default (RFC 5854, section 4.2.16.1).
    pub priority: u32,
    /// The country it is in, as two letters (ISO 3166-1), in lowercase.
    pub location: Option<String>,
}

impl MetalinkUrl {
    fn mirror(&self) -> Mirror {
        let mut mirror = Mirror::from(self.url.as_str());
        mirror.priority = self.priority;
        mirror.location.clone_from(&self.location);
        mirror
    }
}

impl fmt::Debug for MetalinkUrl {
    /// Shows the URL redacted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetalinkUrl")
            .field("url", &crate::session::shown(self.url.as_str()))
            .field("priority", &self.priority)
            .field("location", &self.location)
            .finish()
    }
}

/// A document of another kind that tells where a file can be had (RFC 5854, section 4.2.8).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetaUrl {
    /// The address.
    pub url: Url,
    /// What kind of document it is, such as `torrent`.
    pub media_type: String,
    /// As of a [`MetalinkUrl`].
    pub priority: u32,
}

impl fmt::Debug for MetaUrl {
    /// Shows the URL redacted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetaUrl")
            .field("url", &crate::session::shown(self.url.as_str()))
            .field("media_type", &self.media_type)
            .field("priority", &self.priority)
            .finish()
    }
}

/// The strongest of the digests, if it is strong enough for [`is_strong`].
pub(crate) fn strong(digests: &[Digest]) -> Option<Digest> {
    let strong = digests
        .iter()
        .filter(|digest| is_strong(digest.algorithm()));
    strong
        .min_by_key(|digest| strength(digest.algorithm()))
        .copied()
}

/// The place among all algorithms, of which the first is the strongest.
fn strength(algorithm: Algorithm) -> usize {
    Algorithm::ALL
        .iter()
        .position(|one| *one == algorithm)
        .unwrap_or(usize::MAX)
}

/// Whether a hash of this algorithm binds bytes that a stranger sends to the file that was meant.
pub(crate) fn is_strong(algorithm: Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::Sha256 | Algorithm::Sha512 | Algorithm::Blake3
    )
}

/// The priority of a source that names none.
const LEAST_PRIORITY: u32 = 999_999;
