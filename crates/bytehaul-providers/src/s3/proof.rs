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
    /// What is said of one of its parts, for its length: that of the first one is that of all others, if the last one has what is left.
    Part(u32),
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
    // What others call the digest of one part may be anything.
    if parts == 1 && location.kind != Kind::Amazon {
        return Step::Nothing;
    }
    let Some(first) = asked.next() else {
        return Step::Part(1);
    };
    let Some((size, rest)) = sizes(first, whole, parts) else {
        return Step::Nothing;
    };
    let known = Step::Known(Expected::composite(digest, size));
    match (parts, asked.next()) {
        // Then there is nothing else that it could be.
        (..=2, _) => known,
        (_, None) => Step::Part(parts),
        (_, Some(last)) => match part_len(last, whole, parts) == Some(rest) {
            true => known,
            false => Step::Nothing,
        },
    }
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
fn composite(told: &Told, bucket: &str) -> Option<(Digest, u32)> {
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

fn count(text: &str) -> Option<u32> {
    let count = text.parse().ok()?;
    (1..=super::listing::MOST).contains(&count).then_some(count)
}

/// Not so of objects that are encrypted with keys of the key service or of the customer, and in directory buckets.
fn is_md5(told: &Told, bucket: &str) -> bool {
    let by_service = told.field("x-amz-server-side-encryption");
    let by_service = by_service.is_some_and(|how| how.starts_with("aws:kms"));
    let by_customer = told.field("x-amz-server-side-encryption-customer-algorithm");
    !by_service && by_customer.is_none() && !bucket.ends_with("--x-s3")
}

/// Bytes of each part but the last, and of that, if the length of the first one makes so many parts.
fn sizes(first: &Told, whole: &Told, parts: u32) -> Option<(NonZeroU64, u64)> {
    let size = part_len(first, whole, parts)?;
    let len = total(whole)?;
    // An object without bytes is one part without bytes.
    let size = NonZeroU64::new(size.max(1))?;
    let before = size.get().checked_mul(u64::from(parts - 1))?;
    let rest = len.checked_sub(before)?;
    let fits = rest <= size.get() && (rest > 0 || parts == 1);
    fits.then_some((size, rest))
}

/// Bytes of a part of this very object, by one who knows how many there are.
fn part_len(part: &Told, whole: &Told, parts: u32) -> Option<u64> {
    let is_known = part.field("x-amz-mp-parts-count")?.parse() == Ok(parts);
    let is_same = part.field("etag") == whole.field("etag");
    if !part.status.is_success() || !is_known || !is_same {
        return None;
    }
    part.field("content-length")?.parse().ok()
}

fn total(whole: &Told) -> Option<u64> {
    match whole.status {
        StatusCode::PARTIAL_CONTENT => {
            let (_, total) = whole.field("content-range")?.rsplit_once('/')?;
            total.parse().ok()
        }
        _ => whole.field("content-length")?.parse().ok(),
    }
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

    fn part(etag: &str, len: &str, parts: &str) -> Told {
        told(
            true,
            206,
            &[
                ("etag", etag),
                ("content-length", len),
                ("x-amz-mp-parts-count", parts),
            ],
        )
    }

    #[test]
    fn parts_are_told_by_the_first_and_the_last_one() {
        let got = told(
            false,
            206,
            &[("etag", PARTS), ("content-range", "bytes 0-9/12")],
        );
        let known = "md5=b5d55eef9b6106b14530433c1a359920 of parts of 5 bytes";
        let (first, last) = (part(PARTS, "5", "3"), part(PARTS, "2", "3"));
        check(OTHER, std::slice::from_ref(&got), "Part(1)");
        check(OTHER, &[got.clone(), first.clone()], "Part(3)");
        check(OTHER, &[got.clone(), first.clone(), last.clone()], known);
        // Parts of other lengths, another version, or one who knows no parts: nothing can be told.
        for first in [
            part(PARTS, "7", "3"),
            part(PARTS, "6", "3"),
            part(PARTS, "3", "3"),
            part("\"another-3\"", "5", "3"),
            part(PARTS, "5", "4"),
            told(true, 200, &[("etag", PARTS), ("content-length", "12")]),
            told(true, 206, &[("etag", PARTS), ("content-length", "5")]),
            told(true, 501, &[]),
        ] {
            check(OTHER, &[got.clone(), first], "Nothing");
        }
        for last in [part(PARTS, "3", "3"), told(true, 403, &[])] {
            check(OTHER, &[got.clone(), first.clone(), last], "Nothing");
        }
        // The checksum of the part is not that of the object.
        let mut with_checksum = first.clone();
        let crc = "7bdVQVfgAvU=".parse().unwrap();
        with_checksum
            .headers
            .insert("x-amz-checksum-crc64nvme", crc);
        check(OTHER, &[got.clone(), with_checksum, last.clone()], known);
        let whole = told(true, 200, &[("etag", PARTS), ("content-length", "12")]);
        check(None, &[got.clone(), whole.clone()], "Part(1)");
        check(None, &[got, whole, first, last], known);
    }

    #[test]
    fn one_part_or_two_have_no_other_lengths() {
        let two = "\"b5d55eef9b6106b14530433c1a359920-2\"";
        let got = told(
            false,
            206,
            &[("etag", two), ("content-range", "bytes 0-9/12")],
        );
        let known = "md5=b5d55eef9b6106b14530433c1a359920 of parts of 7 bytes";
        check(OTHER, &[got.clone(), part(two, "7", "2")], known);
        check(OTHER, &[got.clone(), part(two, "5", "2")], "Nothing");
        check(OTHER, &[got, part(two, "12", "2")], "Nothing");
        let one = "\"b5d55eef9b6106b14530433c1a359920-1\"";
        let whole = |len: &str| told(true, 200, &[("etag", one), ("content-length", len)]);
        let known = "md5=b5d55eef9b6106b14530433c1a359920 of parts of 12 bytes";
        check(None, &[whole("12"), part(one, "12", "1")], known);
        let empty = "md5=b5d55eef9b6106b14530433c1a359920 of parts of 1 bytes";
        check(None, &[whole("0"), part(one, "0", "1")], empty);
        // Others than Amazon make such tags of anything.
        let got = told(false, 200, &[("etag", one), ("content-length", "12")]);
        check(OTHER, &[got], "Nothing");
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
        check(None, std::slice::from_ref(&whole), "Part(1)");
        check(
            None,
            &[whole, part(PARTS, "5", "3"), part(PARTS, "2", "3")],
            "crc32c=c1d04330 of parts of 5 bytes",
        );
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
