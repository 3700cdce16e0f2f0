//! What the provider of an object says that it hashes to: asked, compared, and never published when it does not match.

use bytehaul_testkit::uploads::Fault;

use super::providers::{Counter, Shop};
use super::put::content;
use super::support::{MIB, check_failure};

/// Uploads in one request and in parts, and downloads both: by one connection and several, to a file and to stdout.
#[track_caller]
fn is_compared(shop: Option<Shop>, small: &str, large: &str) {
    let Some(counter) = shop.map(Counter::new) else {
        return;
    };
    let shop = &counter.shop;
    for (key, len, expected) in [("small", 100_000, small), ("large", 11 * MIB, large)] {
        let (bytes, url) = (content(len), shop.url(key));
        counter.write("up.bin", &bytes);
        counter.works(&["put", "-q", "--part-size", "5M", "up.bin", &url]);
        let split = "--min-split-size=1M";
        let get = ["get", "--overwrite", split, "-o", "down.bin", &url];
        for connections in ["1", "4"] {
            let finished = counter.works(&[&get[..], &["--json", "-x", connections]].concat());
            let lines: Vec<serde_json::Value> = { finished.out() }
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            let done = lines.iter().find(|line| line["event"] == "completed");
            let verified = done.unwrap()["verified"].as_str().unwrap_or(NOTHING);
            assert!(is_like(verified, expected), "{key}: {verified}");
            assert!(counter.read("down.bin") == bytes, "{key} is another one");
        }
        if expected == NOTHING {
            continue;
        }
        let corrupted = || shop.gate().set([Fault::corrupt_answer().on("GET")]);
        let quiet = [&get[..], &["-q", "-x", "4"]].concat();
        corrupted();
        let failed = counter.command(&quiet).run().unwrap();
        check_failure(&failed, 5, &["provider's word", "--no-provider-checksum"]);
        assert!(
            counter.read("down.bin") == bytes,
            "what was there was replaced"
        );
        corrupted();
        let stdout = ["get", "-q", "-o", "-", &url];
        let failed = counter.command(&stdout).run().unwrap();
        check_failure(&failed, 5, &["provider's word"]);
        corrupted();
        counter.works(&[&quiet[..], &["--no-provider-checksum"]].concat());
        assert!(counter.read("down.bin") != bytes, "nothing was corrupted");
        shop.gate().set([]);
    }
}

/// Whether it is of this form; `*` stands for the value.
fn is_like(verified: &str, form: &str) -> bool {
    match form.split_once('*') {
        Some((start, end)) => {
            verified.starts_with(start) && verified.ends_with(end) && verified.len() > form.len()
        }
        None => verified == form,
    }
}

#[test]
fn tags_of_s3() {
    is_compared(Shop::s3(), "md5=*", "md5=* of parts of 5242880 bytes");
}

/// What was stored with an encoding comes as it was stored.
#[test]
fn objects_that_are_stored_encoded() {
    let Some(counter) = Shop::s3().map(Counter::new) else {
        return;
    };
    let Shop::S3(server) = &counter.shop else {
        unreachable!()
    };
    let of =
        serde_json::json!({"Key": "packed", "Body": "packed bytes", "ContentEncoding": "gzip"});
    server.call("put_object", of).unwrap();
    counter.works(&["get", "-q", "-o", "down.bin", &counter.shop.url("packed")]);
    assert_eq!(counter.read("down.bin"), b"packed bytes");
}

#[test]
fn sums_of_oss() {
    is_compared(Shop::oss(), "crc64=*", "crc64=*");
}

#[test]
fn stored_digests_of_azure() {
    // That of a blob of blocks is whatever its writer says that it is, which this one does not.
    is_compared(Shop::azure(), "md5=*", NOTHING);
}

const NOTHING: &str = "nothing";
