//! `bytehaul uploads`: what was begun is known, and can be discarded at the server.

use std::fs;

use bytehaul_testkit::process::{Finished, Signal};
use bytehaul_testkit::uploads::{Fault, FormServer, S3Server, TusServer};
use serde_json::json;

use super::put::{Desk, events, only};
use super::support::{MIB, check_failure};

#[track_caller]
fn abort(desk: &Desk, code: i32, words: &[&str]) -> Finished {
    let finished = desk
        .command(&[&["uploads", "abort"], words].concat())
        .run()
        .unwrap();
    assert_eq!(finished.code(), Some(code), "{words:?}: {}", finished.err());
    finished
}

/// An upload to tus that a signal has ended half-way.
fn half_done(desk: &Desk, server: &TusServer, signal: Signal) -> String {
    let gate = server.gate();
    gate.set([Fault::slow(4 * MIB).on("PATCH").always()]);
    let due = gate.received() + 2 * MIB;
    let stopped = desk.put(&[
        "-q",
        "--protocol",
        "tus",
        "--part-size",
        "512K",
        "f.bin",
        &server.url(),
    ]);
    let stopped = stopped
        .stop_when(|| gate.received() > due, signal)
        .run()
        .unwrap();
    assert_ne!(stopped.code(), Some(0), "it was faster than the signal");
    gate.set([]);
    only(server.uploads())
}

#[test]
fn an_unfinished_upload_is_listed_and_discarded() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let (desk, _) = Desk::with(8 * MIB);
    let empty = desk.command(&["uploads", "list"]).run().unwrap();
    assert_eq!((empty.code(), empty.out().as_str()), (Some(0), ""));
    let upload = half_done(&desk, &server, Signal::INT);
    let listed = desk.listed();
    let [record] = &listed[..] else {
        panic!("{listed:?}")
    };
    assert_eq!(record["protocol"], "tus");
    assert_eq!(record["url"], server.url());
    assert_eq!(record["source"], desk.path("f.bin").to_str().unwrap());
    assert_eq!(
        (&record["stage"], &record["total"]),
        (&"sending".into(), &(8 * MIB).into())
    );
    assert!(
        record["acknowledged"].as_u64().unwrap() >= MIB / 2,
        "{record}"
    );
    assert_eq!(record["in_use"], false);
    let line = desk.command(&["uploads", "list"]).run().unwrap().out();
    let id = line.split_whitespace().next().unwrap();
    assert!(
        record["id"].as_str().unwrap().starts_with(id) && id.len() >= 8,
        "{line}"
    );
    assert!(
        line.contains("sending") && line.contains("/8.0 MiB") && line.contains("f.bin"),
        "{line}"
    );
    assert!(!line.contains(&upload), "{line}");

    // Nothing needs the source.
    fs::remove_file(desk.path("f.bin")).unwrap();
    server.gate().set([Fault::refuse(403).on("DELETE")]);
    check_failure(&abort(&desk, 4, &[id]), 4, &[&server.url(), "403"]);
    assert_eq!(desk.listed().len(), 1);
    let said = abort(&desk, 0, &[id]).err();
    assert!(said.contains(id) && said.contains("discarded"), "{said}");
    assert_eq!(server.uploads(), [""; 0]);
    assert!(desk.listed().is_empty());
    check_failure(&abort(&desk, 2, &[id]), 2, &["no upload has the id"]);
}

#[test]
fn one_in_use_is_left_alone() {
    let Some(server) = TusServer::start() else {
        return;
    };
    let (desk, _) = Desk::with(4 * MIB);
    server.gate().set([Fault::slow(MIB).on("PATCH").always()]);
    let url = server.url();
    let words = ["-q", "--protocol", "tus", "f.bin", &url];
    let running = desk.put(&words);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| running.run().unwrap());
        while server.gate().received() == 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let listed = desk.listed();
        assert_eq!(listed[0]["in_use"], true, "{listed:?}");
        let id = listed[0]["id"].as_str().unwrap();
        check_failure(&abort(&desk, 6, &[id]), 6, &["hint: wait"]);
        abort(&desk, 0, &["--all"]);
        desk.fails(&words[1..], 6, &["f.bin", "hint: wait"]);
        assert_eq!(running.join().unwrap().code(), Some(0));
    });
    assert_eq!(desk.listed()[0]["stage"], "complete");
}

#[test]
fn all_old_ones_and_unreadable_ones() {
    let (Some(tus), Some(form)) = (TusServer::start(), FormServer::start()) else {
        return;
    };
    let (desk, _) = Desk::with(8 * MIB);
    half_done(&desk, &tus, Signal::KILL);
    desk.works(&["f.bin", &form.url()]);
    desk.write("state/uploads/odd~00.bytehaul-upload", "junk");
    let listed = desk.listed();
    assert_eq!(listed.len(), 3);
    let odd = listed.iter().find(|record| record["id"] == "00").unwrap();
    assert_eq!(odd["stage"], "unreadable");
    assert!(odd["error"].is_string());
    abort(&desk, 0, &["--older-than", "1h"]);
    assert_eq!(desk.listed().len(), 3);
    form.gate().forget();
    let said = abort(&desk, 2, &["--all", "--json"]);
    let said: Vec<_> = events(&said.out())
        .iter()
        .map(|event| event["event"].clone())
        .collect();
    assert_eq!(
        said.iter().filter(|event| *event == "aborted").count(),
        2,
        "{said:?}"
    );
    assert_eq!(tus.uploads(), [""; 0]);
    assert_eq!(form.gate().lines(), [""; 0]);
    abort(&desk, 0, &["--all", "--forget"]);
    assert!(desk.listed().is_empty());
    assert!(!desk.path("state/uploads/odd~00.bytehaul-upload").exists());
}

#[test]
fn a_presigned_one_needs_its_plan() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let (desk, _) = Desk::with(2 * 5 * MIB);
    let hour = std::time::Duration::from_secs(3600);
    let plan = |key: &str| {
        let upload = server.create(key);
        let of = json!({"Key": key, "UploadId": upload});
        let urls = server.presign_parts(key, &upload, 2, hour);
        let parts = urls.iter().zip(0..).map(|(url, number)| {
            json!({"part_number": number + 1, "offset": number * 5 * MIB, "size": 5 * MIB, "url": url})
        });
        json!({
            "upload_id": upload, "total_size": 10 * MIB, "parts": parts.collect::<Vec<_>>(),
            "complete_request": {"url": server.presign("complete_multipart_upload", of.clone(), hour), "body_format": "s3"},
            "abort_request": {"url": server.presign("abort_multipart_upload", of, hour)},
        })
        .to_string()
    };
    desk.write("plan.json", plan("f"));
    desk.write("other.json", plan("g"));
    server
        .gate()
        .set([Fault::refuse(503).at("partNumber=1").always()]);
    desk.fails(
        &["-x", "1", "--retries", "0", "--plan", "plan.json", "f.bin"],
        3,
        &["503"],
    );
    server.gate().set([]);
    let listed = desk.listed();
    let id = listed[0]["id"].as_str().unwrap();
    check_failure(
        &abort(&desk, 2, &[id]),
        2,
        &["presigned", "hint: give its plan"],
    );
    check_failure(
        &abort(&desk, 2, &["--plan", "other.json", id]),
        2,
        &["another upload"],
    );
    assert_eq!(server.uploads().len(), 2);
    abort(&desk, 0, &["--plan", "plan.json", id]);
    let keys: Vec<_> = server.uploads().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["g"]);
    assert!(desk.listed().is_empty());
}
