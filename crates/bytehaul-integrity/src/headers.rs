//! Expected digests from response header fields: which field speaks of what, and how it spells it.
//!
//! Works on strings, so that any HTTP stack can use it. A field that is malformed, unknown or contradicted by another
//! is ignored: a server's bad header proves nothing about the bytes.
//!
//! ```
//! use bytehaul_integrity::headers::{Response, representation_digests};
//!
//! let fields = [("content-type", "text/plain"), ("Repr-Digest", "sha-256=:uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=:")];
//! let digests = representation_digests(fields, Response::Partial);
//! assert_eq!(digests[0].to_string(), "sha-256=b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9");
//! ```

mod dictionary;
#[cfg(test)]
mod tests;

use crate::{Algorithm, Crc, Digest};

/// What kind of response the fields came with; it decides what some of them speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Response {
    /// The content is the whole representation: 200 to a GET.
    Whole,
    /// The content is a part of it: 206.
    Partial,
    /// There is no content: the answer to a HEAD.
    Head,
}

/// What a digest was taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The whole representation, whichever part of it this response carries.
    Representation,
    /// The content of this one response only.
    Message,
}

/// A digest that a response declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// The expected value.
    pub digest: Digest,
    /// What it is the value of.
    pub scope: Scope,
}

/// The digests of the whole representation that the fields declare, the strongest algorithm first, at most one of each.
///
/// `fields` are the names (in any case) and values of the header fields, in any order; lines of one field may come apart.
pub fn representation_digests<'a>(
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    response: Response,
) -> Vec<Digest> {
    only(Scope::Representation, declared(fields, response))
}

/// The digests of just this response's content, in the order and form of [`representation_digests`].
///
/// For [`Response::Whole`] there are none: its content is the representation.
pub fn message_digests<'a>(
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    response: Response,
) -> Vec<Digest> {
    only(Scope::Message, declared(fields, response))
}

/// Everything that the fields declare: the strongest algorithm first, at most one value for each algorithm and scope.
///
/// | field | of what |
/// |---|---|
/// | `Repr-Digest` (RFC 9530), `Digest` (RFC 3230), `x-oss-hash-crc64ecma` | the representation |
/// | `Content-Digest` (RFC 9530) | this response's content; after a HEAD, of the empty content |
/// | `Content-MD5` (RFC 2616, section 14.15) | as `Content-Digest`; after a HEAD, what a GET would have sent |
/// | `x-amz-checksum-*` | the representation; ignored in a 206, where it is a part's on S3 and the object's elsewhere, and when it is the composite of part checksums |
/// | `x-goog-hash` | the representation; ignored when the object was unpacked on its way, as it is that of the packed one |
///
/// Values that contradict each other cancel out.
pub fn declared<'a>(
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    response: Response,
) -> Vec<Declared> {
    let mut reading = Reading::new(response);
    for (name, value) in fields {
        reading.field(&name.to_ascii_lowercase(), value.trim());
    }
    let mut declared = agreed(&reading.found());
    declared.sort_by_key(|declared| strength(declared.digest.algorithm()));
    declared
}

/// What was found so far, and what may still take it back: fields come in any order.
struct Reading {
    response: Response,
    found: Vec<Declared>,
    amazon: Vec<Digest>,
    google: Vec<Digest>,
    composite: bool,
    stored_encoded: bool,
    sent_encoded: bool,
}

impl Reading {
    fn new(response: Response) -> Self {
        Self {
            response,
            found: Vec::new(),
            amazon: Vec::new(),
            google: Vec::new(),
            composite: false,
            stored_encoded: false,
            sent_encoded: false,
        }
    }

    /// Takes one field; its name is in lowercase and its value trimmed.
    fn field(&mut self, name: &str, value: &str) {
        match name {
            "repr-digest" => self.push(Scope::Representation, dictionary::digests(value)),
            "content-digest" => self.push(self.content_digest(), dictionary::digests(value)),
            "digest" => self.push(Scope::Representation, legacy(value)),
            "content-md5" => self.push(self.content_md5(), Digest::parse(Algorithm::Md5, value)),
            "x-oss-hash-crc64ecma" => self.push(
                Scope::Representation,
                Digest::parse_decimal(Crc::Crc64, value),
            ),
            "x-goog-hash" => self.google.extend(legacy(value)),
            "x-goog-stored-content-encoding" => self.stored_encoded = encoded(value),
            "content-encoding" => self.sent_encoded = encoded(value),
            "x-amz-checksum-type" => self.composite = value.eq_ignore_ascii_case("composite"),
            _ => self.amazon.extend(amazon(name, value)),
        }
    }

    fn push(&mut self, scope: Scope, digests: impl IntoIterator<Item = Digest>) {
        self.found
            .extend(digests.into_iter().map(|digest| Declared { digest, scope }));
    }

    fn content_digest(&self) -> Scope {
        match self.response {
            Response::Whole => Scope::Representation,
            Response::Partial | Response::Head => Scope::Message,
        }
    }

    fn content_md5(&self) -> Scope {
        match self.response {
            Response::Whole | Response::Head => Scope::Representation,
            Response::Partial => Scope::Message,
        }
    }

    fn found(mut self) -> Vec<Declared> {
        if !self.composite && self.response != Response::Partial {
            let amazon = std::mem::take(&mut self.amazon);
            self.push(Scope::Representation, amazon);
        }
        if !self.stored_encoded || self.sent_encoded {
            let google = std::mem::take(&mut self.google);
            self.push(Scope::Representation, google);
        }
        self.found
    }
}

/// `ALGORITHM=VALUE, …` as in RFC 3230 and `x-goog-hash`; a member that cannot be read does not spoil the others.
fn legacy(value: &str) -> impl Iterator<Item = Digest> + '_ {
    value.split(',').filter_map(|member| {
        let (name, value) = member.split_once('=')?;
        let algorithm = name.parse().ok()?;
        let short = (1..8).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_hexdigit());
        if algorithm == Algorithm::Crc32c && short {
            // The hash registry of RFC 3230 lets the leading zeros of a hexadecimal CRC-32C be left out.
            return Digest::parse(algorithm, &format!("{value:0>8}")).ok();
        }
        Digest::parse(algorithm, value).ok()
    })
}

/// Composite values (`VALUE-N`, of N parts) are no valid base64 of the algorithm's length and fall through.
fn amazon(name: &str, value: &str) -> Option<Digest> {
    let algorithm = match name.strip_prefix("x-amz-checksum-")? {
        "sha256" => Algorithm::Sha256,
        "sha512" => Algorithm::Sha512,
        "sha1" => Algorithm::Sha1,
        "md5" => Algorithm::Md5,
        "crc32c" => Algorithm::Crc32c,
        "crc64nvme" => Algorithm::Crc64Nvme,
        _ => return None,
    };
    Digest::parse_base64(algorithm, value).ok()
}

fn encoded(value: &str) -> bool {
    !value.is_empty() && !value.eq_ignore_ascii_case("identity")
}

/// One of each algorithm and scope; none where they differ.
fn agreed(found: &[Declared]) -> Vec<Declared> {
    let same = |a: &Declared, b: &Declared| {
        a.scope == b.scope && a.digest.algorithm() == b.digest.algorithm()
    };
    found
        .iter()
        .enumerate()
        .filter(|(at, one)| !found[..*at].iter().any(|earlier| same(earlier, one)))
        .filter(|(_, one)| {
            found
                .iter()
                .all(|other| !same(other, one) || other.digest == one.digest)
        })
        .map(|(_, one)| *one)
        .collect()
}

fn only(scope: Scope, declared: Vec<Declared>) -> Vec<Digest> {
    declared
        .into_iter()
        .filter(|declared| declared.scope == scope)
        .map(|declared| declared.digest)
        .collect()
}

fn strength(algorithm: Algorithm) -> usize {
    Algorithm::ALL
        .iter()
        .position(|one| *one == algorithm)
        .expect("ALL has every algorithm")
}
