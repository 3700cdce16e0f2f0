//! Digests on both sides: which ones go with a body, and what an answer says of the object that was made of it.

use std::ops::Range;

use bytehaul_integrity::headers::{Response, Scope, declared};
use bytehaul_integrity::{Algorithm, Digest, Hasher};
use http::header::{CONTENT_LENGTH, ETAG, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::{Answer, Completed, DigestJob, ExchangeId, Ids};

/// The digests of one body, as far as they are known by now.
#[derive(Debug)]
pub(super) struct Digests {
    algorithms: Vec<Algorithm>,
    range: Range<u64>,
    asked: Vec<(ExchangeId, Algorithm)>,
    known: Vec<Digest>,
}

impl Digests {
    /// Those of `algorithms` of the body that is this range; `known` is known already.
    pub(super) fn new(
        algorithms: Vec<Algorithm>,
        range: Range<u64>,
        known: Option<Digest>,
    ) -> Self {
        Self {
            algorithms,
            range,
            asked: Vec::new(),
            known: known.into_iter().collect(),
        }
    }

    /// Which bytes they are of.
    pub(super) fn range(&self) -> &Range<u64> {
        &self.range
    }

    /// All that is known.
    pub(super) fn known(&self) -> &[Digest] {
        &self.known
    }

    fn get(&self, algorithm: Algorithm) -> Option<&Digest> {
        self.known
            .iter()
            .find(|digest| digest.algorithm() == algorithm)
    }

    /// One that is wanted and that nobody has been asked for.
    pub(super) fn ask(&mut self, ids: &mut Ids) -> Option<DigestJob> {
        let open = |algorithm: &&Algorithm| {
            self.get(**algorithm).is_none() && !self.asked.iter().any(|(_, of)| of == *algorithm)
        };
        let algorithm = *self.algorithms.iter().find(open)?;
        let id = ids.fresh();
        self.asked.push((id, algorithm));
        Some(DigestJob {
            id,
            range: self.range.clone(),
            algorithm,
        })
    }

    pub(super) fn are_known(&self) -> bool {
        let known = |algorithm: &Algorithm| self.get(*algorithm).is_some();
        self.algorithms.iter().all(known)
    }

    /// Takes one that was asked for.
    pub(super) fn digested(&mut self, id: ExchangeId, digest: Digest) {
        if self.forget(id) == Some(digest.algorithm()) {
            self.learn(digest);
        }
    }

    /// The question came to nothing.
    pub(super) fn forget(&mut self, id: ExchangeId) -> Option<Algorithm> {
        let at = self.asked.iter().position(|(asked, _)| *asked == id)?;
        Some(self.asked.remove(at).1)
    }

    /// Takes what became known otherwise; what was known before stays.
    pub(super) fn learn(&mut self, digest: Digest) {
        if self.get(digest.algorithm()).is_none() {
            self.known.push(digest);
        }
    }

    /// The fields that carry those which were wanted.
    pub(super) fn fields(&self, headers: &mut HeaderMap) {
        for digest in self.algorithms.iter().filter_map(|one| self.get(*one)) {
            let (name, value) = match digest.algorithm() {
                Algorithm::Md5 => ("content-md5", digest.base64()),
                algorithm => (
                    "content-digest",
                    format!("{algorithm}=:{}:", digest.base64()),
                ),
            };
            let value = HeaderValue::from_str(&value).expect("base64 is fit for a field");
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// What an answer says of the bytes of the object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Said {
    /// Nothing that could be compared.
    Nothing,
    /// They have this digest, as they must.
    Same(Digest),
    /// Their digest of this algorithm is another.
    Other(Algorithm),
}

/// Compares what an answer to a request of this method says with the digests that the object must have.
pub(super) fn said(answer: &Answer<'_>, method: &Method, known: &[Digest]) -> Said {
    let head = *method == Method::HEAD;
    let fields = answer
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let mut same = None;
    for declared in declared(fields, Response::Head) {
        let named = declared.digest;
        let algorithm = named.algorithm();
        let Some(ours) = known.iter().find(|ours| ours.algorithm() == algorithm) else {
            continue;
        };
        if *ours == named {
            same = same.or(Some(named));
            continue;
        }
        // It may as well be meant for the few words that the server answered with (RFC 9530, appendix B.7), and after
        // HEAD for no words at all.
        let of_the_answer = match head {
            true => declared.scope == Scope::Message,
            false => Hasher::digest(algorithm, answer.body) == named,
        };
        if !of_the_answer {
            return Said::Other(algorithm);
        }
    }
    let tag = answer.header(ETAG.as_str()).and_then(md5_of_tag);
    let same = same.or_else(|| tag.filter(|tag| known.contains(tag)));
    same.map_or(Said::Nothing, Said::Same)
}

/// What the answer tells of an object that is there.
pub(super) fn completed(answer: &Answer<'_>, verified: Option<Digest>) -> Completed {
    let text = |name: HeaderName| answer.header(name.as_str()).map(str::to_owned);
    let location = text(LOCATION).map(|text| match answer.url.join(&text) {
        Ok(url) => url.into(),
        Err(_) => text,
    });
    Completed {
        location,
        etag: text(ETAG),
        payload: (!answer.body.is_empty()).then(|| answer.body.clone()),
        verified,
    }
}

/// The length that the answer to `HEAD` names; `None` where it names none or several.
pub(super) fn length(answer: &Answer<'_>) -> Option<u64> {
    let mut values = answer.headers.get_all(CONTENT_LENGTH).iter();
    let first = values.next()?;
    if values.any(|other| other != first) {
        return None;
    }
    let digits = first.as_bytes();
    let number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    number.then(|| first.to_str().ok()?.parse().ok()).flatten()
}

/// An entity tag that has the form of an MD5.
fn md5_of_tag(tag: &str) -> Option<Digest> {
    let tag = tag.trim();
    let opaque = tag.strip_prefix("W/").unwrap_or(tag);
    let hex = opaque.strip_prefix('"')?.strip_suffix('"')?;
    (hex.len() == 2 * Algorithm::Md5.digest_len())
        .then(|| Digest::parse(Algorithm::Md5, hex).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;
    use url::Url;

    use super::*;

    fn with_answer<T>(
        fields: &[(&str, &[u8])],
        body: &str,
        run: impl FnOnce(&Answer<'_>) -> T,
    ) -> T {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let url = Url::parse("http://a.test/dir/f").unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        run(&Answer::new(StatusCode::OK, &headers, &body, &url))
    }

    #[test]
    fn what_answers_say() {
        let of = |algorithm, text: &str| Hasher::digest(algorithm, text.as_bytes());
        let (md5, sha) = (
            of(Algorithm::Md5, "object"),
            of(Algorithm::Sha256, "object"),
        );
        let check = |method: Method, name: &str, value: String, body: &str, expected: Said| {
            let value = value.as_bytes();
            let said = with_answer(&[(name, value)], body, |answer| {
                said(answer, &method, &[md5, sha])
            });
            assert_eq!(
                said,
                expected,
                "{method} {name} {}",
                String::from_utf8_lossy(value)
            );
        };
        let field = |digest: Digest| format!("sha-256=:{}:", digest.base64());
        let other = of(Algorithm::Sha256, "other");
        let answer = of(Algorithm::Sha256, "thanks");
        let nothing = of(Algorithm::Sha256, "");
        for name in ["repr-digest", "content-digest"] {
            check(Method::PUT, name, field(sha), "thanks", Said::Same(sha));
            check(
                Method::PUT,
                name,
                field(other),
                "thanks",
                Said::Other(Algorithm::Sha256),
            );
            check(Method::PUT, name, field(answer), "thanks", Said::Nothing);
            check(Method::PUT, name, field(nothing), "", Said::Nothing);
        }
        check(
            Method::HEAD,
            "repr-digest",
            field(nothing),
            "",
            Said::Other(Algorithm::Sha256),
        );
        check(
            Method::HEAD,
            "content-digest",
            field(nothing),
            "",
            Said::Nothing,
        );
        check(
            Method::PUT,
            "content-md5",
            md5.base64(),
            "",
            Said::Same(md5),
        );
        // An entity tag proves, and never disproves.
        for tag in [
            format!("\"{}\"", md5.hex()),
            format!("W/\"{}\"", md5.hex().to_uppercase()),
        ] {
            check(Method::PUT, "etag", tag, "", Said::Same(md5));
        }
        let foreign = of(Algorithm::Md5, "x").hex();
        for tag in [
            format!("\"{foreign}\""),
            format!("\"{}-2\"", md5.hex()),
            md5.hex(),
            "\"".into(),
        ] {
            check(Method::PUT, "etag", tag, "", Said::Nothing);
        }
        for broken in ["sha-256=:AA==:", "sha-256=x", ":::", "sha-512=:AA==:"] {
            check(Method::PUT, "repr-digest", broken.into(), "", Said::Nothing);
        }
    }

    #[test]
    fn lengths() {
        let check = |values: &[&[u8]], expected: Option<u64>| {
            let fields: Vec<_> = values
                .iter()
                .map(|value| ("content-length", *value))
                .collect();
            assert_eq!(with_answer(&fields, "", length), expected, "{values:?}");
        };
        check(&[b"0"], Some(0));
        check(&[b"18446744073709551615"], Some(u64::MAX));
        check(&[b"5", b"5"], Some(5));
        for bad in [
            "18446744073709551616",
            "-1",
            "+5",
            " ",
            "",
            "1e3",
            "5, 5",
            "\u{fc}",
        ] {
            check(&[bad.as_bytes()], None);
        }
        check(&[b"5", b"6"], None);
        check(&[], None);
    }

    #[test]
    fn where_the_object_is() {
        let check = |value: &[u8], expected: Option<&str>| {
            let found = with_answer(&[("location", value)], "", |answer| {
                completed(answer, None).location
            });
            assert_eq!(found.as_deref(), expected);
        };
        check(b"/x?k=v", Some("http://a.test/x?k=v"));
        check(b"g", Some("http://a.test/dir/g"));
        check(b"https://b.test/", Some("https://b.test/"));
        check(b"http://[", Some("http://["));
        check(b"\xff", None);
    }
}
