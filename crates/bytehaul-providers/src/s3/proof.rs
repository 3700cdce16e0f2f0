//! What an object has to hash to, by what S3 says of it: its checksum, or the digest that its ETag is.

use std::num::NonZeroU64;

use http::StatusCode;

use super::location::{Kind, Location};
use crate::{Algorithm, Digest, Expected, Told};

/// What is known, or asked next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Known(Expected),
    Nothing,
    /// What is said of the object as a whole.
    Whole,
    /// What is said of its first part: its length is that of all others.
    FirstPart,
}

/// A checksum of the object comes first, which Amazon tells when it is asked for no range. The ETag is the MD5 of an object that was
/// sent in one request, and the MD5 of the MD5s of the parts of others.
pub(super) fn of(told: &[Told], location: &Location) -> Step {
    if let Some(digest) = told.iter().find_map(declared) {
        return Step::Known(digest.into());
    }
    // Google's ETags say nothing of the bytes.
    if location.kind == Kind::Google {
        return match told.is_empty() {
            true => Step::Whole,
            false => Step::Nothing,
        };
    }
    let mut asked = told.iter().filter(|told| told.is_asked);
    let got = told.iter().find(|told| !told.is_asked);
    let whole = match got {
        // Others keep no checksums that they would tell of a whole object only.
        Some(got) if location.kind == Kind::Other => got,
        _ => match asked.next() {
            Some(whole) => whole,
            None => return Step::Whole,
        },
    };
    let Some(whole) = [Some(whole), got]
        .into_iter()
        .flatten()
        .find(|told| told.status.is_success())
    else {
        return Step::Nothing;
    };
    if let Some(md5) = plain_md5(whole, &location.bucket) {
        return Step::Known(md5.into());
    }
    let Some((digest, parts)) = composite(whole, &location.bucket) else {
        return Step::Nothing;
    };
    let Some(first) = asked.next() else {
        return Step::FirstPart;
    };
    let size = part_size(first, whole, parts);
    size.map_or(Step::Nothing, |size| {
        Step::Known(Expected::composite(digest, size))
    })
}

/// The checksum of the whole; what the answer for a part has is that of the part.
fn declared(told: &Told) -> Option<Digest> {
    let is_part = told.field("x-amz-mp-parts-count").is_some();
    (!is_part).then(|| told.declared()).flatten()
}

/// The ETag of an object that was sent in one request: "Checking object integrity", Amazon S3 User Guide.
fn plain_md5(told: &Told, bucket: &str) -> Option<Digest> {
    let tag = told.field("etag").filter(|_| is_md5(told, bucket))?;
    let hex = tag.strip_prefix('"')?.strip_suffix('"')?;
    (hex.len() == 32).then(|| Digest::parse(Algorithm::Md5, hex).ok())?
}

/// A digest of digests of parts, and how many there are: a composite checksum, or the ETag.
fn composite(told: &Told, bucket: &str) -> Option<(Digest, u64)> {
    let checksums = [
        ("x-amz-checksum-crc32c", Algorithm::Crc32c),
        ("x-amz-checksum-sha256", Algorithm::Sha256),
        ("x-amz-checksum-sha1", Algorithm::Sha1),
    ];
    let checksums = checksums.into_iter().filter_map(|(name, algorithm)| {
        let (value, parts) = told.field(name)?.rsplit_once('-')?;
        let digest = Digest::parse_base64(algorithm, value).ok()?;
        Some((digest, count(parts)?))
    });
    let by_tag = || {
        let tag = told.field("etag").filter(|_| is_md5(told, bucket))?;
        let (hex, parts) = tag.strip_prefix('"')?.strip_suffix('"')?.split_once('-')?;
        let digest = (hex.len() == 32).then(|| Digest::parse(Algorithm::Md5, hex).ok())?;
        Some((digest?, count(parts)?))
    };
    { checksums }.next().or_else(by_tag)
}

fn count(text: &str) -> Option<u64> {
    let count = text.parse().ok()?;
    (1..=u64::from(super::listing::MOST))
        .contains(&count)
        .then_some(count)
}

/// Not so of objects that are encrypted with keys of the key service or of the customer, and in directory buckets.
fn is_md5(told: &Told, bucket: &str) -> bool {
    let by_service = told.field("x-amz-server-side-encryption");
    let by_service = by_service.is_some_and(|how| how.starts_with("aws:kms"));
    let by_customer = told.field("x-amz-server-side-encryption-customer-algorithm");
    !by_service && by_customer.is_none() && !bucket.ends_with("--x-s3")
}

/// Bytes of each part but the last, if the length of the first one makes that many.
fn part_size(first: &Told, whole: &Told, parts: u64) -> Option<NonZeroU64> {
    if !first.status.is_success() || first.field("etag") != whole.field("etag") {
        return None;
    }
    let total = |told: &Told| match told.status {
        StatusCode::PARTIAL_CONTENT => told
            .field("content-range")?
            .rsplit_once('/')?
            .1
            .parse()
            .ok(),
        _ if told.is_asked || told.status == StatusCode::OK => {
            told.field("content-length")?.parse().ok()
        }
        _ => None,
    };
    let len: u64 = total(whole)?;
    let size: u64 = first.field("content-length")?.parse().ok()?;
    // An object without bytes is one part without bytes.
    let size = NonZeroU64::new(size.max(1))?;
    (len.div_ceil(size.get()).max(1) == parts).then_some(size)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::s3::{S3Config, S3Credentials};

    fn told(is_asked: bool, status: u16, fields: &[(&'static str, &str)]) -> Told {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        match is_asked {
            true => Told::of_question(status, headers),
            false => Told::of_range(status, headers),
        }
    }

    #[track_caller]
    fn check(endpoint: Option<&str>, told: &[Told], expected: &str) {
        check_in("s3://b/k", endpoint, told, expected);
    }

    #[track_caller]
    fn check_in(name: &str, endpoint: Option<&str>, told: &[Told], expected: &str) {
        let config = S3Config::new(S3Credentials::new("AK", "s3cret"));
        let config = match endpoint {
            Some(url) => config.endpoint(url.parse().unwrap()),
            None => config,
        };
        let location = Location::new(name, &config).unwrap();
        let step = match of(told, &location) {
            Step::Known(expected) => expected.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(step, expected);
    }

    const PLAIN: &str = "\"900150983cd24fb0d6963f7d28e17f72\"";
    const PARTS: &str = "\"b5d55eef9b6106b14530433c1a359920-3\"";
    const OTHER: Option<&str> = Some("http://h.test/");

    #[test]
    fn amazon_is_asked_for_checksums_before_its_tags_are_used() {
        let got = told(
            false,
            206,
            &[("etag", PLAIN), ("content-range", "bytes 0-9/100")],
        );
        check(None, &[], "Whole");
        check(None, std::slice::from_ref(&got), "Whole");
        let crc = [
            ("etag", PLAIN),
            ("x-amz-checksum-crc64nvme", "7bdVQVfgAvU="),
        ];
        let whole = told(true, 200, &crc);
        let known = "crc64nvme=edb7554157e002f5";
        check(None, &[got.clone(), whole.clone()], known);
        check(None, &[whole], known);
        check(None, &[told(false, 200, &crc)], known);
        let bare = told(true, 200, &[("etag", PLAIN)]);
        let md5 = "md5=900150983cd24fb0d6963f7d28e17f72";
        check(None, &[got.clone(), bare], md5);
        // Who may not ask still has the tag.
        check(None, &[got, told(true, 403, &[])], md5);
        check(None, &[told(true, 403, &[])], "Nothing");
    }

    #[test]
    fn parts_are_told_by_the_first_one() {
        let got = told(
            false,
            206,
            &[("etag", PARTS), ("content-range", "bytes 0-9/12")],
        );
        let first = |etag: &str, len: &str| {
            told(
                true,
                206,
                &[
                    ("etag", etag),
                    ("content-length", len),
                    ("x-amz-mp-parts-count", "3"),
                ],
            )
        };
        let parts = "md5=b5d55eef9b6106b14530433c1a359920 of parts of 5 bytes";
        check(OTHER, std::slice::from_ref(&got), "FirstPart");
        check(OTHER, &[got.clone(), first(PARTS, "5")], parts);
        // Of other lengths, of another version, or of one who knows no parts: nothing can be told.
        check(OTHER, &[got.clone(), first(PARTS, "7")], "Nothing");
        check(
            OTHER,
            &[got.clone(), first("\"another-3\"", "5")],
            "Nothing",
        );
        check(
            OTHER,
            &[
                got.clone(),
                told(true, 200, &[("etag", PARTS), ("content-length", "12")]),
            ],
            "Nothing",
        );
        check(OTHER, &[got.clone(), told(true, 501, &[])], "Nothing");
        // The checksum of the part is not that of the object.
        let mut with_checksum = first(PARTS, "5");
        let crc = "7bdVQVfgAvU=".parse().unwrap();
        with_checksum
            .headers
            .insert("x-amz-checksum-crc64nvme", crc);
        check(OTHER, &[got.clone(), with_checksum], parts);
        let whole = told(true, 200, &[("etag", PARTS), ("content-length", "12")]);
        check(None, &[got.clone(), whole.clone()], "FirstPart");
        check(
            None,
            &[got, whole, first(PARTS, "4")],
            "md5=b5d55eef9b6106b14530433c1a359920 of parts of 4 bytes",
        );
    }

    #[test]
    fn composite_checksums_come_before_tags() {
        let whole = told(
            true,
            200,
            &[
                ("etag", PARTS),
                ("content-length", "12"),
                ("x-amz-checksum-type", "COMPOSITE"),
                ("x-amz-checksum-crc32c", "wdBDMA==-3"),
            ],
        );
        check(None, std::slice::from_ref(&whole), "FirstPart");
        let first = told(
            true,
            206,
            &[
                ("etag", PARTS),
                ("content-length", "5"),
                ("x-amz-mp-parts-count", "3"),
            ],
        );
        check(None, &[whole, first], "crc32c=c1d04330 of parts of 5 bytes");
    }

    #[test]
    fn tags_that_are_no_digests() {
        for fields in [
            &[("etag", PLAIN), ("x-amz-server-side-encryption", "aws:kms")][..],
            &[
                ("etag", PLAIN),
                ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
            ],
            &[("etag", "W/\"900150983cd24fb0d6963f7d28e17f72\"")],
            &[("etag", "\"0\"")],
            &[("etag", "\"b5d55eef9b6106b14530433c1a359920-0\"")],
            &[("etag", "\"b5d55eef9b6106b14530433c1a359920-10001\"")],
            &[],
        ] {
            check(OTHER, &[told(false, 206, fields)], "Nothing");
        }
        let plain = told(true, 200, &[("etag", PLAIN)]);
        check_in(
            "s3://b--x-s3/k",
            None,
            std::slice::from_ref(&plain),
            "Nothing",
        );
        let google = Some("https://storage.googleapis.com");
        check(google, std::slice::from_ref(&plain), "Nothing");
        let hashed = [
            ("etag", PLAIN),
            (
                "x-goog-hash",
                "crc32c=wdBDMA==,md5=kAFQmDzST7DWlj99KOF/cg==",
            ),
        ];
        check(google, &[told(false, 206, &hashed)], "crc32c=c1d04330");
    }
}
