//! URLs and plans that the command signs, in the hands of those who have no credentials.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use bytehaul_testkit::process::{Finished, Process, Signal};
use bytehaul_testkit::uploads::Fault;
use serde_json::Value;

use super::{Counter, Shop};
use crate::command::put::content;
use crate::command::support::{MIB, check_failure};

/// A command of somebody who has no credentials.
fn stranger(counter: &Counter, words: &[&str]) -> Process<'static> {
    counter.command_with(&[], words)
}

#[track_caller]
fn works(counter: &Counter, words: &[&str]) -> Finished {
    let finished = stranger(counter, words).run().unwrap();
    assert_eq!(finished.code(), Some(0), "{words:?}: {}", finished.err());
    finished
}

#[track_caller]
fn curl(words: &[&str]) -> Finished {
    let mut command = Command::new("curl");
    command.args(["-q", "-sS", "--noproxy", "*", "--max-time", "30"]);
    Process::new({
        command.args(words);
        command
    })
    .run()
    .expect("curl is installed")
}

#[track_caller]
fn signed(counter: &Counter, words: &[&str]) -> String {
    let said = counter.works(&[&["presign"], words].concat()).out();
    assert!(!said.contains(counter.shop.secret()), "{said}");
    said.trim_end().to_owned()
}

#[track_caller]
fn urls_do_what_they_say(shop: Option<Shop>) {
    let Some(counter) = shop.map(Counter::new) else {
        return;
    };
    let shop = &counter.shop;
    let key = "dir/a b+c 100% ü";
    let (url, bytes) = (shop.url(key), content(3 * MIB));
    shop.store(key, &bytes);
    let get = signed(&counter, &[&url]);
    assert!(curl(&[&get]).stdout == bytes, "curl got another one");
    let words = [
        "get",
        "-q",
        "-x",
        "3",
        "--min-split-size",
        "1M",
        "-o",
        "f.bin",
        &get,
    ];
    works(&counter, &words);
    assert!(counter.read("f.bin") == bytes, "it came as another one");
    // It is good for reading alone.
    let path = |name: &str| counter.path(name).to_str().unwrap().to_owned();
    counter.write("new.bin", b"new");
    // Azure wants to know what is made.
    let kind = "x-ms-blob-type: BlockBlob";
    let to = ["-H", kind, "-T", &path("new.bin")];
    let status = ["-o", "/dev/null", "-w", "%{http_code}", &get];
    assert_eq!(curl(&[&to[..], &status].concat()).out(), "403");
    let put = signed(&counter, &["--method", "put", "--expires", "10m", &url]);
    let written = curl(&[&["-f"], &to[..], &[&put]].concat());
    assert_eq!(written.code(), Some(0), "{}", written.err());
    assert_eq!(shop.object(key).as_deref(), Some(&b"new"[..]));
    counter.write("newer.bin", b"newer");
    let protocol = match shop {
        Shop::Azure(_) => "azure",
        Shop::S3(_) | Shop::Oss(_) => "put",
    };
    works(
        &counter,
        &["put", "-q", "--protocol", protocol, "newer.bin", &put],
    );
    assert_eq!(shop.object(key).as_deref(), Some(&b"newer"[..]));
    let short = signed(&counter, &["--expires", "1s", &url]);
    thread::sleep(Duration::from_millis(2100));
    let late = stranger(&counter, &["get", "-q", "-o", "late.bin", &short]);
    check_failure(&late.run().unwrap(), 4, &["403"]);
}

#[track_caller]
fn plans_are_carried_out(shop: Option<Shop>) {
    let Some(counter) = shop.map(Counter::new) else {
        return;
    };
    let (shop, gate) = (&counter.shop, counter.shop.gate());
    let (len, part) = (11 * MIB + 5, 5 * MIB);
    let (url, bytes) = (shop.url("planned/by ü"), content(len));
    counter.write("f.bin", &bytes);
    let size = len.to_string();
    let words = ["--plan", "--size", &size, "--part-size", "5M", &url];
    let plan = signed(&counter, &words);
    let told: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(told["total_size"], len);
    assert_eq!(told["parts"].as_array().unwrap().len(), 3);
    counter.write("plan.json", plan.as_bytes());
    // One part is there when it is interrupted, and the same plan goes on with the others.
    gate.set([Fault::slow(6 * MIB).on("PUT").always()]);
    let due = gate.received() + part + MIB;
    let put = ["put", "-q", "-x", "1", "--plan", "plan.json", "f.bin"];
    let stopped = stranger(&counter, &put);
    let stopped = stopped.stop_when(|| gate.received() >= due, Signal::INT);
    let stopped = stopped.run().unwrap();
    check_failure(&stopped, 130, &["interrupted"]);
    assert_eq!(shop.object("planned/by ü"), None);
    gate.set([]);
    let before = gate.requests().len();
    works(&counter, &put);
    assert!(shop.object("planned/by ü").as_ref() == Some(&bytes));
    let again = shop.sent_since(before);
    assert!(again < len - part + MIB, "{again} bytes of {len} were sent");
    // A file of another size is not what was signed for.
    counter.write("other.bin", &bytes[1..]);
    let words = ["put", "-q", "--plan", "plan.json", "other.bin"];
    let refused = stranger(&counter, &words).run().unwrap();
    check_failure(&refused, 2, &["bytes"]);
    let kept = fs::read_dir(counter.path("state/uploads")).unwrap();
    for entry in kept {
        let kept = fs::read(entry.unwrap().path()).unwrap();
        let kept = String::from_utf8_lossy(&kept).to_lowercase();
        assert!(
            !kept.contains("signature=") && !kept.contains("sig="),
            "{kept}"
        );
    }
}

/// All of a plan as large as S3 allows is signed; its first and last parts are put by it, and the upload is discarded by it.
#[test]
fn a_plan_of_ten_thousand_parts() {
    let Some(counter) = Shop::s3().map(Counter::new) else {
        return;
    };
    let Shop::S3(server) = &counter.shop else {
        unreachable!("it is that of S3")
    };
    let url = counter.shop.url("huge");
    let size = 10_000 * 5 * MIB;
    let plan = |size: u64| -> Value {
        let size = size.to_string();
        let words = ["--plan", "--part-size", "5M", "--size", &size, &url];
        serde_json::from_str(&signed(&counter, &words)).unwrap()
    };
    let told = plan(size);
    let parts = told["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 10_000);
    let upload = told["upload_id"].as_str().unwrap();
    let mut next = 0;
    for (part, number) in parts.iter().zip(1..) {
        assert_eq!(part["part_number"], number);
        assert_eq!(part["offset"].as_u64(), Some(next));
        next += part["size"].as_u64().unwrap();
        let url = part["url"].as_str().unwrap();
        assert!(url.contains(&format!("partNumber={number}&")), "{url}");
    }
    assert_eq!(next, size);
    counter.write("part.bin", &content(5 * MIB));
    let file = counter.path("part.bin").to_str().unwrap().to_owned();
    for part in [&parts[0], &parts[9_999]] {
        let put = curl(&["-f", "-T", &file, part["url"].as_str().unwrap()]);
        assert_eq!(put.code(), Some(0), "{}", put.err());
    }
    let there = server.parts("huge", upload).unwrap();
    let there: Vec<_> = there.iter().map(|part| (part.number, part.size)).collect();
    assert_eq!(there, [(1, 5 * MIB), (10_000, 5 * MIB)]);
    let abort = told["abort_request"]["url"].as_str().unwrap();
    assert_eq!(curl(&["-f", "-X", "DELETE", abort]).code(), Some(0));
    assert!(server.uploads().is_empty());
    // One byte more, and the parts are larger.
    let larger = plan(size + 1);
    assert!(larger["parts"].as_array().unwrap().len() <= 10_000);
    assert!(larger["chunk_size"].as_u64() > Some(5 * MIB));
}

/// Nobody has the plan then, so nobody could discard what it began.
#[cfg(target_os = "linux")]
#[test]
fn a_plan_that_could_not_be_written_leaves_no_upload() {
    let Some(counter) = Shop::s3().map(Counter::new) else {
        return;
    };
    let Shop::S3(server) = &counter.shop else {
        unreachable!("it is that of S3")
    };
    let url = counter.shop.url("f");
    let mut command = Command::new("/bin/sh");
    command.env_clear().env("HOME", counter.path(""));
    command.args(["-c", "exec \"$@\" >/dev/full", "sh"]);
    command.arg(env!("CARGO_BIN_EXE_bytehaul"));
    command.args(["presign", "--plan", "--size", "11M", &url]);
    command.envs(counter.shop.variables(counter.shop.secret()));
    let finished = Process::new(command).run().unwrap();
    check_failure(&finished, 6, &["write to stdout"]);
    assert!(server.uploads().is_empty());
    let begun = counter.shop.gate().lines();
    assert!(
        begun.iter().any(|line| line.starts_with("POST")),
        "{begun:?}"
    );
}

super::of_each! {
    s3_urls: urls_do_what_they_say(s3);
    azure_urls: urls_do_what_they_say(azure);
    oss_urls: urls_do_what_they_say(oss);
    s3_plans: plans_are_carried_out(s3);
    azure_plans: plans_are_carried_out(azure);
    oss_plans: plans_are_carried_out(oss);
}
