//! What is staged at a provider and belongs to nothing: told, and discarded, on this machine's word or on the provider's.

use bytehaul_testkit::process::Signal;
use bytehaul_testkit::uploads::{Fault, OssServer, OssSetup};
use serde_json::Value;

use super::{Counter, Shop};
use crate::command::put::{content, events};
use crate::command::support::{MIB, check_failure};

impl Shop {
    /// Keys and ids of the uploads that are open, by the SDK.
    fn open(&self) -> Vec<(String, String)> {
        match self {
            Self::S3(server) => server.uploads(),
            Self::Oss(server) => server.uploads(),
            Self::Azure(_) => panic!("it has no uploads"),
        }
    }

    fn create(&self, key: &str) -> String {
        match self {
            Self::S3(server) => server.create(key),
            Self::Oss(server) => server.create(key),
            Self::Azure(_) => panic!("it has no uploads"),
        }
    }
}

/// `uploads` with these words, which has to work, as events.
#[track_caller]
fn told(counter: &Counter, words: &[&str]) -> Vec<Value> {
    let words = [&["uploads"], words, &["--json"]].concat();
    events(&counter.works(&words).out())
}

fn ids(told: &[Value]) -> Vec<String> {
    let mut ids: Vec<_> = told.iter().map(|one| text(&one["id"])).collect();
    ids.sort();
    ids
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[track_caller]
fn uploads_of_others(shop: Option<Shop>) {
    let Some(counter) = shop.map(Counter::new) else {
        return;
    };
    let shop = &counter.shop;
    let (a, b) = (shop.create("left/a b"), shop.create("left/ü"));
    let other = shop.create("right/c");
    let place = shop.url("left/");
    let mut both = vec![a.clone(), b.clone()];
    both.sort();
    let listed = told(&counter, &["list", "--provider", &place]);
    assert_eq!(ids(&listed), both);
    let of_a = listed.iter().find(|one| one["id"] == *a).unwrap();
    assert_eq!(
        (&of_a["event"], &of_a["key"]),
        (&"open".into(), &"left/a b".into())
    );
    assert_eq!(
        told(&counter, &["list", "--provider", &shop.url("")]).len(),
        3
    );
    let lines = counter
        .works(&["uploads", "list", "--provider", &place])
        .out();
    assert!(
        lines.contains(&a) && lines.contains(" ago  left/a b"),
        "{lines}"
    );
    // Nothing is so old, and an id of another place is none here.
    let old = ["list", "--provider", &place, "--older-than", "1h"];
    assert!(told(&counter, &old).is_empty());
    let old = ["abort", "--provider", &place, "--older-than", "1h"];
    assert!(told(&counter, &old).is_empty());
    assert!(told(&counter, &["abort", "--provider", &place, &other]).is_empty());
    assert_eq!(shop.open().len(), 3);
    let gone = told(&counter, &["abort", "--provider", &place, &a]);
    assert_eq!(
        (ids(&gone), &gone[0]["event"]),
        (vec![a], &"aborted".into())
    );
    let mut left: Vec<_> = shop.open().into_iter().map(|(_, id)| id).collect();
    left.sort();
    let mut expected = vec![b, other.clone()];
    expected.sort();
    assert_eq!(left, expected);
    let old = ["abort", "--provider", &place, "--older-than", "0s"];
    assert_eq!(told(&counter, &old).len(), 1);
    assert_eq!(shop.open(), [("right/c".to_owned(), other)]);
    told(&counter, &["abort", "--provider", &shop.url(""), "--all"]);
    assert!(shop.open().is_empty());
    // Other keys see nothing.
    let words = ["uploads", "list", "--provider", &place];
    let refused = counter.command_with(&shop.variables("b3RoZXI="), &words);
    check_failure(&refused.run().unwrap(), 4, &["403"]);
}

#[test]
fn s3_uploads_of_others() {
    uploads_of_others(Shop::s3());
}

#[test]
fn oss_uploads_of_others() {
    uploads_of_others(Shop::oss());
}

/// What cannot be discarded is told, keeps none of the others, and is not told as discarded.
#[test]
fn an_upload_that_cannot_be_discarded_stops_no_other() {
    let Some(counter) = Shop::oss().map(Counter::new) else {
        return;
    };
    let gate = counter.shop.gate();
    let place = counter.shop.url("");
    let all = ["uploads", "abort", "--provider", &place, "--all"];
    let aborted = |faults: Vec<Fault>| {
        gate.set(faults);
        let aborted = counter.command(&all).run().unwrap();
        gate.set([]);
        aborted
    };
    counter.shop.create("fine");
    let gone = |code: &str| {
        let body = format!("<Error><Code>{code}</Code><Key>NoSuchUpload</Key></Error>");
        Fault::replace(404, &body).on("DELETE")
    };
    let refused = aborted(vec![gone("NoSuchBucket")]);
    check_failure(&refused, 4, &["fine", "404"]);
    assert_eq!(refused.out(), "");
    let id = counter.shop.create("fine");
    let taken = aborted(vec![gone("NoSuchUpload")]);
    assert_eq!(taken.code(), Some(0), "{}", taken.err());
    assert!(taken.out().contains(&id), "{}", taken.out());
    // A key that fits in no URL comes first.
    let id = counter.shop.create("fine");
    let one = |key: &str, id: &str| {
        format!(
            "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>2026-01-01T00:00:00.000Z</Initiated></Upload>"
        )
    };
    let page = format!(
        "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{}{}</ListMultipartUploadsResult>",
        one("a/../b", "1"),
        one("fine", &id)
    );
    let odd = aborted(vec![Fault::replace(200, &page).on("GET")]);
    check_failure(&odd, 2, &["a/../b"]);
    assert!(odd.out().contains(&id), "{}", odd.out());
    assert!(counter.shop.open().is_empty());
}

/// The server's clock was ten minutes behind when the first was begun: the one is old, the other is not.
#[test]
fn what_is_old_is_discarded_and_what_is_new_stays() {
    let behind = OssSetup::new().clock(-600);
    let Some(server) = OssServer::start_with(&behind) else {
        return;
    };
    let old = server.create("old");
    server.set(&OssSetup::new());
    let new = server.create("new");
    let counter = Counter::new(Shop::Oss(server));
    let place = counter.shop.url("");
    let gone = told(
        &counter,
        &["abort", "--provider", &place, "--older-than", "5m"],
    );
    assert_eq!(ids(&gone), [old]);
    assert_eq!(counter.shop.open(), [("new".to_owned(), new)]);
}

/// An upload of `f.bin` to `f` that a signal has ended when more than a part was there.
fn interrupted(counter: &Counter) {
    let gate = counter.shop.gate();
    counter.write("f.bin", &content(16 * MIB));
    gate.set([Fault::slow(8 * MIB).on("PUT").always()]);
    let due = gate.received() + 6 * MIB;
    let url = counter.shop.url("f");
    let words = ["put", "-q", "-x", "1", "--part-size", "5M", "f.bin", &url];
    let stopped = counter.command(&words);
    let stopped = stopped.stop_when(|| gate.received() >= due, Signal::INT);
    check_failure(&stopped.run().unwrap(), 130, &["interrupted"]);
    gate.set([]);
}

#[track_caller]
fn uploads_of_ones_own(shop: Option<Shop>) {
    let Some(counter) = shop.map(Counter::new) else {
        return;
    };
    let shop = &counter.shop;
    shop.store("f", b"what was there before");
    interrupted(&counter);
    let listed = told(&counter, &["list"]);
    let [record] = &listed[..] else {
        panic!("{listed:?}")
    };
    assert_eq!(record["stage"], "sending");
    assert_eq!(record["acknowledged"].as_u64(), Some(5 * MIB), "{record}");
    let id = text(&record["id"]);
    let staged = || match shop {
        Shop::Azure(server) => server.blocks("f").uncommitted.len(),
        Shop::S3(_) | Shop::Oss(_) => shop.open().len(),
    };
    assert!(staged() > 0);
    // Without the keys it cannot be discarded, and stays listed.
    let nobody = counter.command_with(&[], &["uploads", "abort", &id]);
    assert_ne!(nobody.run().unwrap().code(), Some(0));
    assert_eq!(told(&counter, &["list"]).len(), 1);
    let gone = told(&counter, &["abort", &id]);
    assert_eq!(gone[0]["event"], "aborted");
    assert!(told(&counter, &["list"]).is_empty());
    // Azure has no way to discard blocks, which expire.
    assert_eq!(staged() > 0, matches!(shop, Shop::Azure(_)));
    let before = shop.object("f");
    assert_eq!(before.as_deref(), Some(&b"what was there before"[..]));
}

super::of_each! {
    s3_uploads_of_ones_own: uploads_of_ones_own(s3);
    azure_uploads_of_ones_own: uploads_of_ones_own(azure);
    oss_uploads_of_ones_own: uploads_of_ones_own(oss);
}

#[test]
fn azure_blocks_are_listed_and_stay() {
    let Some(counter) = Shop::azure().map(Counter::new) else {
        return;
    };
    interrupted(&counter);
    let place = counter.shop.url("");
    let listed = told(&counter, &["list", "--provider", &place]);
    let [blob] = &listed[..] else {
        panic!("{listed:?}")
    };
    assert_eq!(
        (&blob["event"], &blob["key"]),
        (&"open".into(), &"f".into())
    );
    assert_eq!(blob["blocks"], 1);
    assert_eq!(blob["bytes"], 5 * MIB);
    let words = ["uploads", "abort", "--provider", &place, "--all"];
    let refused = counter.command(&words).run().unwrap();
    check_failure(&refused, 2, &["Azure", "hint: they expire"]);
}

#[test]
fn an_upload_that_another_machine_has_discarded_begins_anew() {
    let Some(counter) = Shop::s3().map(Counter::new) else {
        return;
    };
    interrupted(&counter);
    let (place, url) = (counter.shop.url(""), counter.shop.url("f"));
    told(&counter, &["abort", "--provider", &place, "--all"]);
    let Shop::S3(server) = &counter.shop else {
        unreachable!("it is that of S3")
    };
    assert!(server.uploads().is_empty());
    counter.works(&["put", "-q", "--part-size", "5M", "f.bin", &url]);
    assert!(server.object("f").unwrap() == counter.read("f.bin"));
}
