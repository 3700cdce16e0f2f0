//! The one rule that decides whether two answers speak of the same version of a remote file.

use std::fmt;

use bytehaul_integrity::Digest;
use bytehaul_transport::headers::ETag;

/// On what it rests that all bytes of a file are of one version of the remote object, strongest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Evidence {
    /// One response delivered everything, so there was nothing to mix.
    SingleResponse,
    /// Every response named the same digest of the whole file (RFC 9530 and its relatives).
    Digest,
    /// Every response carried the same strong ETag (RFC 9110, section 8.8.3).
    StrongEtag,
    /// Every response carried the same weak ETag, and the length agreed.
    WeakEtag,
    /// Several sources took part, of which stretches of bytes were compared: a MiB without a gap and several shorter ones
    /// before any was used, and more while they delivered.
    Samples,
    /// Every response carried the same `Last-Modified`, and the length agreed.
    LastModified,
    /// Nothing but the length could be compared.
    Length,
}

impl Evidence {
    /// A stable word for logs and machine-readable output, such as `strong-etag`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SingleResponse => "single-response",
            Self::Digest => "digest",
            Self::StrongEtag => "strong-etag",
            Self::WeakEtag => "weak-etag",
            Self::Samples => "samples",
            Self::LastModified => "last-modified",
            Self::Length => "length",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of a remote file's version.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Identity {
    /// The URL without credentials and signature.
    pub(crate) url: String,
    pub(crate) len: Option<u64>,
    pub(crate) etag: Option<ETag>,
    pub(crate) last_modified: Option<String>,
    /// Digests of the whole file that the server named.
    pub(crate) digests: Vec<Digest>,
}

/// What comparing two answers gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// The same version, on this evidence.
    Same(Evidence),
    /// A validator differs, which some servers do for the same bytes (edges of one CDN). Asking again tells a
    /// wobble from a change; the bytes of such an answer are not used either way.
    Doubt(String),
    /// Another version.
    Changed(String),
}

impl Identity {
    /// Whether a change of the file could be noticed at all between two runs.
    pub(crate) fn has_validator(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some() || !self.digests.is_empty()
    }

    /// The identity that a control file holds.
    pub(crate) fn from_stored(stored: &bytehaul_storage::Identity, len: Option<u64>) -> Self {
        Self {
            url: stored.url.clone(),
            len,
            etag: stored
                .etag
                .as_deref()
                .and_then(|text| ETag::parse(text.as_bytes())),
            last_modified: stored.last_modified.clone(),
            digests: stored
                .digests
                .iter()
                .filter_map(bytehaul_storage::KnownDigest::digest)
                .collect(),
        }
    }

    /// The form in which a control file holds it.
    pub(crate) fn to_stored(&self) -> bytehaul_storage::Identity {
        bytehaul_storage::Identity {
            url: self.url.clone(),
            len: self.len,
            etag: self.etag.as_ref().map(ToString::to_string),
            last_modified: self.last_modified.clone(),
            digests: self
                .digests
                .iter()
                .map(bytehaul_storage::KnownDigest::from)
                .collect(),
        }
    }

    /// What an answer without validators can be compared with.
    pub(crate) fn only_length(&self) -> Self {
        Self {
            len: self.len,
            ..Self::default()
        }
    }

    /// Compares an answer with what is known. The URL is not compared: redirects and mirrors change it.
    pub(crate) fn compare(&self, seen: &Self) -> Verdict {
        if let (Some(known), Some(seen)) = (self.len, seen.len)
            && known != seen
        {
            return Verdict::Changed(format!("the length was {known} and is {seen}"));
        }
        match self.compare_digests(seen) {
            Some(true) => return Verdict::Same(Evidence::Digest),
            Some(false) => return Verdict::Changed("the server names another digest".into()),
            None => (),
        }
        self.compare_validators(seen)
    }

    /// On what a transfer with this identity can rest at best.
    pub(crate) fn best(&self) -> Evidence {
        match self.compare(self) {
            Verdict::Same(evidence) => evidence,
            Verdict::Doubt(_) | Verdict::Changed(_) => Evidence::Length,
        }
    }

    /// Whether what an earlier run left may be of this very URL, or is proven to be by a strong validator.
    pub(crate) fn is_resumable_as(&self, seen: &Self) -> bool {
        let strong = matches!(
            self.compare(seen),
            Verdict::Same(Evidence::StrongEtag | Evidence::Digest)
        );
        self.url == seen.url || strong
    }

    fn compare_digests(&self, seen: &Self) -> Option<bool> {
        let mut equal = None;
        for known in &self.digests {
            let Some(other) = seen
                .digests
                .iter()
                .find(|d| d.algorithm() == known.algorithm())
            else {
                continue;
            };
            if other != known {
                return Some(false);
            }
            equal = Some(true);
        }
        equal
    }

    fn compare_validators(&self, seen: &Self) -> Verdict {
        let modified = match (&self.last_modified, &seen.last_modified) {
            (Some(known), Some(seen)) if known == seen => Compared::Equal,
            (Some(known), Some(seen)) => {
                Compared::Differs(format!("last-modified was {known} and is {seen}"))
            }
            (Some(_), None) => Compared::Missing("last-modified is no longer sent"),
            (None, Some(_) | None) => Compared::Unknown,
        };
        match (&self.etag, &seen.etag) {
            (Some(known), Some(seen)) if known.strong_eq(seen) => {
                Verdict::Same(Evidence::StrongEtag)
            }
            (Some(known), Some(seen)) if known.weak_eq(seen) => match modified {
                Compared::Differs(what) => Verdict::Doubt(what),
                Compared::Equal | Compared::Missing(_) | Compared::Unknown => {
                    Verdict::Same(Evidence::WeakEtag)
                }
            },
            (Some(known), Some(seen)) => {
                Verdict::Doubt(format!("the etag was {known} and is {seen}"))
            }
            (Some(known), None) => match modified {
                Compared::Equal => Verdict::Same(Evidence::LastModified),
                Compared::Differs(what) => Verdict::Doubt(what),
                Compared::Missing(_) | Compared::Unknown => {
                    Verdict::Doubt(format!("the etag was {known} and is no longer sent"))
                }
            },
            (None, Some(_) | None) => match modified {
                Compared::Equal => Verdict::Same(Evidence::LastModified),
                Compared::Differs(what) => Verdict::Doubt(what),
                Compared::Missing(what) => Verdict::Doubt(what.into()),
                Compared::Unknown => Verdict::Same(Evidence::Length),
            },
        }
    }
}

enum Compared {
    Equal,
    Differs(String),
    Missing(&'static str),
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(text: &str) -> Identity {
        let mut identity = Identity {
            url: "http://h/f".into(),
            ..Identity::default()
        };
        for field in text.split_whitespace() {
            let (name, value) = field.split_once('=').expect("name=value");
            match name {
                "len" => identity.len = Some(value.parse().expect("a number")),
                "etag" => identity.etag = Some(ETag::parse(value.as_bytes()).expect("an etag")),
                "lm" => identity.last_modified = Some(value.into()),
                "md5" => identity
                    .digests
                    .push(format!("md5={value}").parse().expect("a digest")),
                other => panic!("{other}"),
            }
        }
        identity
    }

    fn check(known: &str, seen: &str, expected: &str) {
        let verdict = match identity(known).compare(&identity(seen)) {
            Verdict::Same(evidence) => evidence.as_str().to_owned(),
            Verdict::Doubt(_) => "doubt".into(),
            Verdict::Changed(_) => "changed".into(),
        };
        assert_eq!(verdict, expected, "{known} | {seen}");
    }

    #[test]
    fn everything_known_is_compared() {
        check("len=5 etag=\"a\"", "len=5 etag=\"a\"", "strong-etag");
        check(
            "len=5 etag=\"a\" lm=x",
            "len=5 etag=\"a\" lm=y",
            "strong-etag",
        );
        check("len=5 etag=\"a\"", "len=6 etag=\"a\"", "changed");
        check("len=5 etag=\"a\"", "len=5 etag=\"b\"", "doubt");
        check("len=5 etag=\"a\"", "len=5", "doubt");
        check("len=5 etag=\"a\" lm=x", "len=5 lm=x", "last-modified");
        check(
            "len=5 etag=W/\"a\" lm=x",
            "len=5 etag=W/\"a\" lm=x",
            "weak-etag",
        );
        check(
            "len=5 etag=W/\"a\" lm=x",
            "len=5 etag=W/\"a\" lm=y",
            "doubt",
        );
        check("len=5 lm=x", "len=5 lm=x", "last-modified");
        check("len=5 lm=x", "len=5 lm=y", "doubt");
        check("len=5 lm=x", "len=5", "doubt");
        check("len=5", "len=5", "length");
        check("len=5", "etag=\"late\"", "length");
    }

    #[test]
    fn a_digest_of_the_whole_file_decides() {
        let (a, b) = (
            "d41d8cd98f00b204e9800998ecf8427e",
            "00000000000000000000000000000000",
        );
        check(
            &format!("etag=\"a\" md5={a}"),
            &format!("etag=\"b\" md5={a}"),
            "digest",
        );
        check(
            &format!("etag=\"a\" md5={a}"),
            &format!("etag=\"a\" md5={b}"),
            "changed",
        );
    }

    #[test]
    fn another_url_needs_a_strong_validator() {
        let here = identity("len=5 lm=x");
        let there = Identity {
            url: "http://h/other".into(),
            ..here.clone()
        };
        assert!(here.is_resumable_as(&here) && !here.is_resumable_as(&there));
        let strong = identity("len=5 etag=\"a\"");
        let moved = Identity {
            url: "http://h/other".into(),
            ..strong.clone()
        };
        assert!(strong.is_resumable_as(&moved));
    }
}
