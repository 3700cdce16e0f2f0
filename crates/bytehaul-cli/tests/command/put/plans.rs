//! Presigned plans: of S3 by boto3, and of Azure under a SAS.

use std::time::Duration;

use bytehaul_testkit::process::Signal;
use bytehaul_testkit::uploads::{Azurite, Fault, S3Server, Sas};
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::Desk;
use crate::command::support::MIB;

const PART: u64 = 5 * MIB;
const LEN: u64 = 2 * PART + 1000;
const HOUR: Duration = Duration::from_secs(3600);

/// What a back end would answer for a multipart upload of `LEN` bytes.
fn s3_plan(server: &S3Server, key: &str, upload: &str, expires: Duration) -> Value {
    let of = json!({"Key": key, "UploadId": upload});
    let urls = server.presign_parts(key, upload, 3, expires);
    let parts = urls.iter().zip(0..).map(|(url, number)| {
        let offset = number * PART;
        json!({"part_number": number + 1, "offset": offset, "size": PART.min(LEN - offset), "url": url})
    });
    json!({
        "upload_id": upload,
        "total_size": LEN,
        "chunk_size": PART,
        "parts": parts.collect::<Vec<_>>(),
        "complete_request": {
            "url": server.presign("complete_multipart_upload", of.clone(), expires),
            "body_format": "s3",
        },
        "abort_request": {"url": server.presign("abort_multipart_upload", of, expires)},
        "head_request": {"url": server.presign("head_object", json!({"Key": key}), expires)},
    })
}

#[test]
fn s3() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let (desk, bytes) = Desk::with(LEN);
    let upload = server.create("f.bin");
    desk.write(
        "plan.json",
        s3_plan(&server, "f.bin", &upload, HOUR).to_string(),
    );
    let gate = server.gate();
    // The second part is slow, and what was sent of it is lost by the interruption.
    gate.set([Fault::slow(MIB).at("partNumber=2").always()]);
    let words = ["-q", "-x", "1", "--plan", "plan.json", "f.bin"];
    let stopped = desk.put(&words);
    let stopped = stopped
        .stop_when(|| gate.received() > PART + MIB / 2, Signal::INT)
        .run()
        .unwrap();
    assert_eq!(stopped.code(), Some(130), "{}", stopped.err());
    assert!(
        stopped.err().contains("the server has 5.0 MiB"),
        "{}",
        stopped.err()
    );
    gate.set([]);
    gate.forget();
    // The signatures are other ones, the upload is the same; the plan comes by stdin now.
    let newer = s3_plan(&server, "f.bin", &upload, 2 * HOUR).to_string();
    let words = ["--json", "--plan", "-", "f.bin"];
    let finished = desk.put(&words).input(newer).run().unwrap();
    assert_eq!(finished.code(), Some(0), "{}", finished.err());
    assert!(server.object("f.bin").unwrap() == bytes);
    let sent: u64 = gate
        .requests()
        .iter()
        .filter(|one| one.method == "PUT")
        .map(|one| one.received)
        .sum();
    assert_eq!(sent, LEN - PART);
    let completed = super::events(&finished.out()).pop().unwrap();
    assert_eq!(
        (&completed["sent"], &completed["resumed_from"]),
        (&(LEN - PART).into(), &PART.into())
    );
    assert!(completed["etag"].is_string(), "{completed}");

    gate.forget();
    let again = desk.works(&[
        "--plan",
        "plan.json",
        "f.bin",
        "https://example.com/not-used",
    ]);
    assert!(again.err().contains("nothing was sent"), "{}", again.err());
    assert_eq!(gate.received(), 0, "{:?}", gate.lines());
}

#[test]
fn a_plan_that_has_expired_is_renewed_by_a_command() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let (desk, bytes) = Desk::with(LEN);
    let upload = server.create("f.bin");
    let short = s3_plan(&server, "f.bin", &upload, Duration::from_secs(1));
    desk.write("plan.json", short.to_string());
    std::thread::sleep(Duration::from_millis(2100));
    let words = ["--plan", "plan.json", "f.bin"];
    desk.fails(
        &words,
        4,
        &["403", "hint: the signed URLs may have expired"],
    );
    let refresh = [
        "--refresh-command",
        "echo \"$BYTEHAUL_URL\" >> asked; cat newer.json",
    ];
    desk.write("newer.json", "no plan, but topsecret");
    let failed = desk.fails(&[&refresh[..], &words].concat(), 4, &["refresh command"]);
    assert!(!failed.err().contains("topsecret"), "{}", failed.err());
    desk.write(
        "newer.json",
        s3_plan(&server, "f.bin", &upload, HOUR).to_string(),
    );
    desk.works(&[&refresh[..], &words].concat());
    assert!(server.object("f.bin").unwrap() == bytes);
}

#[test]
fn azure() {
    let Some(server) = Azurite::start() else {
        return;
    };
    let (desk, bytes) = Desk::with(LEN);
    let plan = |sas: Sas<'_>| {
        let url = server.sas_url("f.bin", sas);
        let headers = json!({"x-ms-version": "2023-11-03"});
        let ids: Vec<_> = (0..3)
            .map(|number| BASE64.encode(format!("block-{number}").as_bytes()))
            .collect();
        let parts = ids.iter().zip(0..).map(|(id, number)| {
            let offset = number * PART;
            let escaped = id
                .replace('=', "%3D")
                .replace('+', "%2B")
                .replace('/', "%2F");
            json!({
                "part_number": number + 1, "offset": offset, "size": PART.min(LEN - offset),
                "url": format!("{url}&comp=block&blockid={escaped}"),
                "headers": headers, "provider_part_id": id,
            })
        });
        let list: String = ids
            .iter()
            .map(|id| format!("<Latest>{id}</Latest>"))
            .collect();
        json!({
            "total_size": LEN, "chunk_size": PART, "parts": parts.collect::<Vec<_>>(),
            "complete_request": {
                "method": "PUT", "url": format!("{url}&comp=blocklist"), "headers": headers,
                "body": format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{list}</BlockList>"),
            },
        })
    };
    let words = ["--plan", "plan.json", "f.bin"];
    desk.write("plan.json", plan(Sas::new("cw").expired()).to_string());
    desk.fails(
        &words,
        4,
        &["403", "hint: the signed URLs may have expired"],
    );
    desk.write("plan.json", plan(Sas::new("cw")).to_string());
    desk.works(&words);
    assert!(server.blob("f.bin").unwrap() == bytes);
    server.gate().forget();
    desk.works(&words);
    assert_eq!(server.gate().lines(), [""; 0]);
}

#[test]
fn a_plan_that_does_not_fit_sends_nothing() {
    let desk = Desk::new();
    desk.write("f.bin", [7; 10]);
    let part = |size: u64| json!({"part_number": 1, "offset": 0, "size": size, "url": "http://127.0.0.1:1/f?signature=topsecret"});
    for (plan, words) in [
        (
            json!({"total_size": 10, "parts": [part(9)]}),
            &["invalid"][..],
        ),
        (
            json!({"total_size": 11, "parts": [part(11)]}),
            &["total_size is 11", "10 bytes"],
        ),
        (json!({"total_size": 10, "parts": []}), &["invalid"]),
        (
            json!({"total_size": "topsecret", "parts": []}),
            &["not a plan", "line 1"],
        ),
        (json!(5), &["not a plan"]),
    ] {
        desk.write("plan.json", plan.to_string());
        let failed = desk.fails(&["--plan", "plan.json", "f.bin"], 2, words);
        assert!(!failed.err().contains("topsecret"), "{}", failed.err());
    }
}
