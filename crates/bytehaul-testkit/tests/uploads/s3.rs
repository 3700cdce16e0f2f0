//! The S3 server takes what boto3 presigned, through curl, and refuses what it did not.

use std::thread;
use std::time::Duration;

use bytehaul_testkit::uploads::{Fault, S3Part, S3Server};
use serde_json::json;

use crate::{ask, content, tus::tus_js, value};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn presigned() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let part = 5 << 20;
    let bytes = content(part + 1000);
    let upload = server.create("a/b.bin");
    let urls = server.presign_parts("a/b.bin", &upload, 3000, HOUR);
    assert_eq!(urls.len(), 3000);
    assert!(urls[0].starts_with(&server.url()));
    server
        .gate()
        .set([Fault::refuse(503).at("partNumber=2&").on("PUT")]);
    let put = |url: &str, body: &[u8]| {
        let (status, head) = ask("PUT", url, &[], body);
        (status, value(&head, "etag").map(str::to_owned))
    };
    let (status, first) = put(&urls[0], &bytes[..part]);
    assert_eq!(status, 200);
    assert_eq!(put(&urls[1], &bytes[part..]), (503, None));
    let (status, second) = put(&urls[1], &bytes[part..]);
    assert_eq!(status, 200);
    assert_eq!(
        put(&urls[2].replace("uploadId=", "uploadId=x"), b"x").0,
        403
    );
    let etags = [first.unwrap(), second.unwrap()];
    let listed = [part as u64, 1000].into_iter().zip(&etags).zip(1..);
    let listed: Vec<_> = listed
        .map(|((size, etag), number)| S3Part {
            number,
            size,
            etag: etag.clone(),
        })
        .collect();
    assert_eq!(server.parts("a/b.bin", &upload).unwrap(), listed);
    assert_eq!(server.uploads(), [("a/b.bin".to_owned(), upload.clone())]);
    let params = json!({"Key": "a/b.bin", "UploadId": upload});
    let url = server.presign("complete_multipart_upload", params.clone(), HOUR);
    let parts = [1, 2].map(|number| {
        let etag = &etags[number - 1];
        format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
    });
    let xml = format!(
        "<CompleteMultipartUpload>{}</CompleteMultipartUpload>",
        parts.concat()
    );
    assert_eq!(ask("POST", &url, &[], xml.as_bytes()).0, 200);
    assert_eq!(server.object("a/b.bin").unwrap(), bytes);
    assert_eq!(
        server.parts("a/b.bin", &upload).unwrap_err(),
        "NoSuchUpload"
    );
    let url = server.presign("put_object", json!({"Key": "c"}), Duration::from_secs(1));
    thread::sleep(Duration::from_millis(2100));
    assert_eq!(put(&url, b"late").0, 403);
    assert_eq!(server.object("c"), None);
    server.put("c", b"in time");
    assert_eq!(server.object("c").unwrap(), b"in time");
    let upload = server.create("d");
    let url = server.presign(
        "abort_multipart_upload",
        json!({"Key": "d", "UploadId": upload}),
        HOUR,
    );
    assert_eq!(ask("DELETE", &url, &[], b"").0, 204);
    assert_eq!(server.uploads(), []);
}

#[test]
fn its_tus_joins_parallel_parts() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let bytes = content(900_000);
    let options = r#"{"parallelUploads": 3, "metadata": {"filename": "f"}}"#;
    let done = tus_js(&bytes, &server.tus_url("joined"), options);
    let requests = server.tus_gate().requests();
    assert!(done.success(), "{} {requests:?}", done.err());
    let creations = requests.iter().filter(|one| one.method == "POST");
    let concats: Vec<_> = creations
        .filter_map(|one| one.header("upload-concat"))
        .collect();
    assert_eq!(concats[..3], ["partial"; 3]);
    assert!(concats[3].starts_with("final;"), "{concats:?}");
    assert_eq!(server.object("joined").unwrap(), bytes);
}
