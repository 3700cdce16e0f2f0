//! Answers that are right and rare: interim ones before the last, one without a length, and one request at a time.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytehaul::protocol::s3::Addressing;
use bytehaul::protocol::{Form, Put, S3, S3Config, S3Credentials};
use bytehaul::{
    Checkpoint, CheckpointPlace, ErrorKind, UploadError, UploadOutcome, UploadSpec, Uploader,
};
use tokio::sync::watch;

use crate::scripted::Scripted;

async fn upload(spec: UploadSpec) -> Result<UploadOutcome, UploadError> {
    let uploader = Uploader::builder().proxy_from_env(false).build().unwrap();
    let spec = spec.retry_base_delay(Duration::from_millis(5));
    uploader.upload(spec).wait().await
}

#[tokio::test]
async fn interim_answers_are_none() {
    let last =
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 14\r\n\r\n{\"fileId\":\"7\"}";
    for interim in [
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
    ] {
        let server = Scripted::start(move |_, _| format!("{interim}{last}"));
        let put = UploadSpec::bytes("b", "bytes", Put::new(server.url()));
        let outcome = upload(put).await.unwrap();
        assert_eq!(outcome.payload.as_deref(), Some(&b"{\"fileId\":\"7\"}"[..]));
        assert_eq!(server.seen(), ["put /f"]);
        let form = UploadSpec::bytes("b", "bytes", Form::new(server.url()));
        let outcome = upload(form).await.unwrap();
        assert_eq!(outcome.payload.as_deref(), Some(&b"7"[..]));
        assert_eq!((server.seen().len(), outcome.retries), (2, 0));
    }
}

/// After a part whose answer was lost, the length of the object is all that says where to go on.
#[tokio::test]
async fn an_answer_without_the_length_that_is_needed_has_its_number() {
    let server = Scripted::start(|number, first| match (number, first) {
        (0, "put /f") => "HTTP/1.1 201 Created\r\nConnection: close\r\n\r\n".to_owned(),
        // The connection is closed in place of an answer.
        (_, "put /f") => String::new(),
        (_, "head /f") => "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned(),
        other => panic!("{other:?}"),
    });
    let put = Put::new(server.url()).resumable(true);
    let spec = UploadSpec::bytes("b", vec![7; 3000], put).part_size(1000);
    let error = upload(spec).await.unwrap_err();
    assert_eq!(
        (error.code(), error.kind()),
        (110, ErrorKind::Server),
        "{error:?}"
    );
    assert_eq!(server.seen(), ["put /f", "put /f", "head /f"]);
}

/// A protocol that cannot have two parts on their way has one, whatever is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_form_protocol_sends_one_request_at_a_time() {
    let blank = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let server = Scripted::start(move |_, _| blank.to_owned());
    let spec = UploadSpec::bytes("b", vec![7; 8000], Form::new(server.url()))
        .part_size(1000)
        .max_connections(8);
    let outcome = upload(spec).await.unwrap();
    assert_eq!((outcome.bytes, outcome.connections), (8000, 1));
    assert_eq!(server.seen().len(), 9);
    assert_eq!(server.most_in_flight(), 1);
}

/// Of an upload in ranges nothing but its length tells the object from another, so how far it may be is known before it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_in_ranges_is_within_what_is_kept() {
    const PARTS: u64 = 40;
    let kept = Arc::new(OnceLock::<watch::Receiver<Option<Checkpoint>>>::new());
    let beyond = Arc::new(Mutex::new(Vec::new()));
    let server = Scripted::start({
        let (kept, beyond) = (Arc::clone(&kept), Arc::clone(&beyond));
        move |number, first| {
            if first == "head /f" {
                let len = PARTS * 1000;
                return format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n"
                );
            }
            let checkpoint = kept.wait().borrow().clone();
            let reach = checkpoint.and_then(|it| it.session.extra.get("reach")?.parse().ok());
            let end = (number as u64 + 1) * 1000;
            if reach.is_none_or(|reach: u64| reach < end) {
                beyond.lock().unwrap().push((end, reach));
            }
            "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_owned()
        }
    });
    let put = Put::new(server.url()).resumable(true);
    let directory = tempfile::tempdir().unwrap();
    // Saved every now and then, and so not for each part by itself.
    let spec = UploadSpec::bytes("b", vec![7; PARTS as usize * 1000], put)
        .part_size(1000)
        .checkpoints(CheckpointPlace::Directory(directory.path().to_owned()));
    let uploader = Uploader::builder().proxy_from_env(false).build().unwrap();
    let handle = uploader.upload(spec);
    kept.set(handle.checkpoint_watch()).unwrap();
    handle.wait().await.unwrap();
    assert_eq!(server.seen().len() as u64, PARTS + 1);
    assert_eq!(*beyond.lock().unwrap(), []);
}

/// S3 begins to answer a completion before it knows how it ends, so the object may be there behind such an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_behind_a_success_leaves_the_object_in_doubt() {
    fn answer(status: &str, body: &str) -> String {
        let len = body.len();
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nETag: \"e\"\r\nContent-Length: {len}\r\n\r\n{body}"
        )
    }
    for (status, said, code) in [
        ("200 OK", "InternalError", 130),
        ("500 Oh", "InternalError", 130),
        // That one was not even read to its end.
        ("400 Bad Request", "RequestTimeout", 109),
    ] {
        let server = Scripted::start(move |_, first| match first.split_once(' ').unwrap() {
            ("post", target) if target.contains("uploads") => answer(
                "200 OK",
                "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>",
            ),
            ("post", _) => answer(status, &format!("<Error><Code>{said}</Code></Error>")),
            ("put", _) => answer("200 OK", ""),
            _ => answer("404 Not Found", ""),
        });
        let endpoint = server.url().replace("/f", "/");
        let config = S3Config::new(S3Credentials::new("AK", "s3cret"))
            .endpoint(endpoint.parse().unwrap())
            .addressing(Addressing::Path);
        let s3 = S3::new("s3://b/f", config).unwrap();
        let spec = UploadSpec::bytes("b", vec![7; (5 << 20) + 1], s3)
            .part_size(5 << 20)
            .max_retries(2);
        let error = upload(spec).await.unwrap_err();
        assert_eq!(error.code(), code, "{status}: {error:?}");
    }
}
