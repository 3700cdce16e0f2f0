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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MD5: &str = "XrY7u+Ae7tCTyyK7j1rNww==";
    const OTHER: &str = "kAFQmDzST7DWlj99KOF/cg==";
    const SHA: &str = "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=";

    /// Fields as `name: value` lines; the answer as the algorithms, `.` before those of the message.
    fn check(response: Response, fields: &str, want: &str) {
        let found: Vec<String> = declared(lines(fields), response)
            .iter()
            .map(|d| match d.scope {
                Scope::Representation => d.digest.algorithm().to_string(),
                Scope::Message => format!(".{}", d.digest.algorithm()),
            })
            .collect();
        assert_eq!(found.join(" "), want, "{response:?}\n{fields}");
    }

    fn lines(fields: &str) -> impl Iterator<Item = (&str, &str)> {
        fields
            .lines()
            .map(|line| line.split_once(':').expect("a field has a colon"))
    }

    #[test]
    fn scope_follows_the_response() {
        let repr = format!("Repr-Digest: sha-256=:{SHA}:");
        let content = format!("Content-Digest: sha-256=:{SHA}:");
        let md5 = format!("content-md5: {MD5}");
        let old = format!("Digest: SHA-256={SHA}");
        let google = format!("x-goog-hash: md5={MD5}");
        let amazon = format!("x-amz-checksum-sha256: {SHA}");
        let oss = "x-oss-hash-crc64ecma: 11051210869376104954";
        for (fields, whole, partial, head) in [
            (repr.as_str(), "sha-256", "sha-256", "sha-256"),
            (&content, "sha-256", ".sha-256", ".sha-256"),
            (&md5, "md5", ".md5", "md5"),
            (&old, "sha-256", "sha-256", "sha-256"),
            (&google, "md5", "md5", "md5"),
            (&amazon, "sha-256", "", "sha-256"),
            (oss, "crc64", "crc64", "crc64"),
        ] {
            check(Response::Whole, fields, whole);
            check(Response::Partial, fields, partial);
            check(Response::Head, fields, head);
        }
    }

    #[test]
    fn amazon_composites_are_no_proof() {
        let whole = Response::Whole;
        check(whole, "x-amz-checksum-crc32c: 4waSgw==", "crc32c");
        check(whole, "x-amz-checksum-crc64nvme: rosUhgp5mIg=", "crc64nvme");
        check(
            whole,
            "x-amz-checksum-sha1: qpmXMHAlzr9w88O2xjlrhjN9Q9g=",
            "sha-1",
        );
        check(whole, "x-amz-checksum-crc32c: 4waSgw==-3", "");
        check(
            whole,
            "x-amz-checksum-crc32c: 4waSgw==\nx-amz-checksum-type: COMPOSITE",
            "",
        );
        check(
            whole,
            "x-amz-checksum-type: FULL_OBJECT\nx-amz-checksum-crc32c: 4waSgw==",
            "crc32c",
        );
        check(whole, "x-amz-checksum-crc32: y/Q5Jg==", "");
    }

    #[test]
    fn google_hashes_of_unpacked_objects_are_no_proof() {
        let both = format!("x-goog-hash: crc32c=4waSgw==,md5={MD5}");
        check(Response::Whole, &both, "md5 crc32c");
        check(
            Response::Whole,
            &format!("x-goog-hash: crc32c=4waSgw==\nx-goog-hash: md5={MD5}"),
            "md5 crc32c",
        );
        check(
            Response::Whole,
            &format!("{both}\nx-goog-stored-content-encoding: identity"),
            "md5 crc32c",
        );
        check(
            Response::Whole,
            &format!("{both}\nx-goog-stored-content-encoding: gzip"),
            "",
        );
        let packed =
            format!("{both}\ncontent-encoding: gzip\nx-goog-stored-content-encoding: gzip");
        check(Response::Whole, &packed, "md5 crc32c");
    }

    #[test]
    fn agreement_counts_once_and_contradiction_not_at_all() {
        let twice = format!("content-md5: {MD5}\nx-goog-hash: md5={MD5}");
        check(Response::Whole, &twice, "md5");
        let contrary =
            format!("content-md5: {MD5}\nx-goog-hash: md5={OTHER}\nrepr-digest: sha-256=:{SHA}:");
        check(Response::Whole, &contrary, "sha-256");
        check(Response::Partial, &contrary, "sha-256 .md5 md5");
    }

    #[test]
    fn legacy_digest_spellings() {
        let crc = |text: &str| {
            representation_digests([("digest", text)], Response::Whole)
                .first()
                .and_then(Digest::crc)
        };
        assert_eq!(crc("CRC32c=0a72a4df"), Some(0x0a72_a4df));
        assert_eq!(crc("crc32c=72A4"), Some(0x72a4));
        assert_eq!(crc("crc32c="), None);
        check(
            Response::Whole,
            &format!("digest: unixsum=30637, ,md5={MD5},x"),
            "md5",
        );
        check(Response::Whole, "digest: id-sha-256=abc", "");
    }

    #[test]
    fn malformed_fields_prove_nothing() {
        for fields in [
            "content-md5: ",
            "content-md5: xyz",
            "x-oss-hash-crc64ecma: -1",
            "x-oss-hash-crc64ecma: 99999999999999999999999",
            "x-amz-checksum-sha256: ====",
            "x-amz-checksum-: 4waSgw==",
            "x-goog-hash: md5",
            "repr-digest: sha-256=:é:",
        ] {
            check(Response::Whole, fields, "");
        }
    }

    #[test]
    fn the_two_views_split_what_is_declared() {
        let fields = format!("content-md5: {MD5}\nrepr-digest: sha-256=:{SHA}:");
        let whole = representation_digests(lines(&fields), Response::Partial);
        let part = message_digests(lines(&fields), Response::Partial);
        assert_eq!(whole, [Digest::parse(Algorithm::Sha256, SHA).unwrap()]);
        assert_eq!(part, [Digest::parse(Algorithm::Md5, MD5).unwrap()]);
    }

    proptest! {
        #[test]
        fn nothing_panics(value in "\\PC{0,80}", tail in "[ -~]{0,40}", at in 0..NAMES.len()) {
            for response in [Response::Whole, Response::Partial, Response::Head] {
                let _ = declared([(NAMES[at], value.as_str()), (NAMES[at], tail.as_str()), (value.as_str(), "x")], response);
            }
        }

        #[test]
        fn what_was_written_is_read(data in prop::collection::vec(any::<u8>(), 0..64)) {
            let sha = crate::Hasher::digest(Algorithm::Sha512, &data);
            let crc = Crc::Crc64.checksum(&data);
            let dictionary = format!("sha-512=:{}:", sha.base64());
            let number = crc.to_string();
            let found = representation_digests(
                [("repr-digest", dictionary.as_str()), ("x-oss-hash-crc64ecma", number.as_str())],
                Response::Partial,
            );
            prop_assert_eq!(found, [sha, Crc::Crc64.digest(crc)]);
        }
    }

    const NAMES: [&str; 9] = [
        "repr-digest",
        "content-digest",
        "digest",
        "content-md5",
        "x-oss-hash-crc64ecma",
        "x-goog-hash",
        "x-amz-checksum-crc32c",
        "x-amz-checksum-type",
        "x-goog-stored-content-encoding",
    ];
}
