//! URLs that somebody else has signed, and that end while they are needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use bytehaul::protocol::{Presigned, UploadPlan};
use bytehaul::{UploadSpec, Uploader};
use bytehaul_testkit::Object;
use bytehaul_testkit::uploads::S3Server;
use serde_json::json;

const PART: u64 = 5 << 20;

fn plan(server: &S3Server, upload: &str, len: u64, valid: Duration) -> UploadPlan {
    let count = u32::try_from(len.div_ceil(PART)).unwrap();
    let complete = json!({"Key": KEY, "UploadId": upload});
    UploadPlan::s3(
        upload,
        len,
        PART,
        server.presign_parts(KEY, upload, count, valid),
        server.presign("complete_multipart_upload", complete, valid),
        None,
    )
}

/// The server refuses signatures that have ended: with new ones the upload goes on where it was. Where URLs say when they end,
/// new ones are there before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urls_that_expire_on_the_way_are_renewed() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let server = Arc::new(server);
    let content = Object::random(5, PART + 1000).whole();
    let len = content.len() as u64;
    let uploader = Uploader::builder().proxy_from_env(false).build().unwrap();
    for is_known in [true, false] {
        server.gate().forget();
        let upload = server.create(KEY);
        let mut first = plan(&server, &upload, len, Duration::from_secs(1));
        if !is_known {
            // What the back end says comes before what is in the URLs.
            let wrong = Some(SystemTime::now() + HOUR);
            let parts = first.parts.iter_mut().map(|part| &mut part.expires_at);
            let commit = first.complete_request.as_mut();
            let all = parts.chain(commit.map(|commit| &mut commit.expires_at));
            all.for_each(|at| *at = wrong);
        }
        let renewals = Arc::new(AtomicU32::new(0));
        let presigned = Presigned::new(first).refresher({
            let (server, renewals) = (Arc::clone(&server), Arc::clone(&renewals));
            move || {
                renewals.fetch_add(1, Relaxed);
                let plan = plan(&server, &upload, len, HOUR);
                async move { Ok(plan) }
            }
        });
        // Whoever is this slow is not done when they end.
        let spec = UploadSpec::bytes("f", content.clone(), presigned)
            .max_connections(1)
            .max_upload_speed(PART / 2);
        let outcome = uploader.upload(spec).wait().await.unwrap();
        assert_eq!(outcome.bytes, len);
        assert_eq!(server.object(KEY).as_ref(), Some(&content));
        let lines = server.gate().lines();
        let count = |status: &str| lines.iter().filter(|line| line.ends_with(status)).count();
        assert_eq!(count(" 403") > 0, !is_known, "{lines:?}");
        assert_eq!(renewals.load(Relaxed), 1, "{lines:?}");
        // What had been taken was not sent again: two parts and the completion.
        assert_eq!(count(" 200"), 3, "{lines:?}");
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const KEY: &str = "expiring.bin";
