//! Which fields are read, which are not, and what each is taken to speak of.

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
    let packed = format!("{both}\ncontent-encoding: gzip\nx-goog-stored-content-encoding: gzip");
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
