//! Objects of very many parts, against servers that take small ones: as many as S3 has at most; and of the others, whose servers
//! are slow, as many as they take in a few seconds.

use std::sync::Arc;
use std::time::Duration;

use bytehaul::protocol::{
    Azure, AzureConfig, AzureCredentials, Oss, OssConfig, OssCredentials, S3, S3Config,
    S3Credentials, UploadProtocol,
};
use bytehaul::{
    CheckpointPlace, Durability, UploadError, UploadOutcome, UploadSource, UploadSpec, Uploader,
};
use bytehaul_testkit::Object;
use bytehaul_testkit::uploads::{Azurite, Fault, Gate, OssServer, OssSetup, S3Server};

/// Uploads it until a part of the last ones is refused, and again to its end.
async fn goes_on_near_the_end(
    parts: u64,
    gate: &Gate,
    protocol: Arc<dyn UploadProtocol>,
) -> Vec<u8> {
    let (len, first) = (parts * PART - 100, parts - 50);
    let directory = tempfile::tempdir().unwrap();
    let (path, bytes) = (
        directory.path().join("f.bin"),
        Object::random(1, len).whole(),
    );
    std::fs::write(&path, &bytes).unwrap();
    let uploader = Uploader::builder().proxy_from_env(false).build().unwrap();
    let spec = UploadSpec::new(UploadSource::File(path), protocol)
        .part_size(PART)
        .max_retries(0)
        .retry_base_delay(Duration::from_millis(5))
        .durability(Durability::Kill)
        .checkpoints(CheckpointPlace::Directory(directory.path().join("kept")));
    let run = async |spec: &UploadSpec| -> Result<UploadOutcome, UploadError> {
        uploader.upload(spec.clone()).wait().await
    };
    gate.set([Fault::refuse(500).on("PUT").after(first).always()]);
    let error = run(&spec).await.unwrap_err();
    assert_eq!(error.code(), 109, "{error}");
    gate.set([]);
    gate.forget();
    let outcome = run(&spec).await.unwrap();
    assert_eq!(outcome.bytes, len);
    let known = outcome.resumed_from / PART;
    assert!(
        (first - LANES..=first).contains(&known),
        "{known} parts were known"
    );
    let requests = gate.requests();
    let parts = requests.iter().filter(|one| one.method == "PUT");
    let sent: u64 = parts.map(|one| one.received.min(PART)).sum();
    assert!(
        sent <= len - (first - LANES) * PART + PART,
        "{sent} bytes were sent again"
    );
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_parts_of_s3() {
    const PARTS: u64 = 10_000;
    let Some(server) = S3Server::rclone() else {
        return;
    };
    let config = S3Config::new(S3Credentials::new(
        S3Server::ACCESS_KEY,
        S3Server::SECRET_KEY,
    ));
    let config = config.endpoint(server.url().parse().unwrap()).least_part(1);
    let to = S3::new(&format!("s3://{}/many", S3Server::BUCKET), config).unwrap();
    let bytes = goes_on_near_the_end(PARTS, server.gate(), Arc::new(to)).await;
    assert!(server.object("many").unwrap() == bytes);
    assert!(server.uploads().is_empty());
}

/// A page of the list of parts has a thousand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_parts_of_oss_than_a_page_lists() {
    const PARTS: u64 = 1_100;
    let Some(server) = OssServer::start_with(&OssSetup::new().least_part(1)) else {
        return;
    };
    let keys = OssCredentials::new(OssServer::ACCESS_KEY, OssServer::SECRET_KEY);
    let config = OssConfig::new(keys).region(OssServer::REGION).least_part(1);
    let config = config.endpoint(server.url());
    let to = Oss::new(&format!("oss://{}/many", OssServer::BUCKET), config).unwrap();
    let bytes = goes_on_near_the_end(PARTS, server.gate(), Arc::new(to)).await;
    assert!(server.object("many").unwrap() == bytes);
    assert!(server.uploads().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_blocks_of_azure() {
    const PARTS: u64 = 1_000;
    let Some(server) = Azurite::start() else {
        return;
    };
    let key = AzureCredentials::shared_key(Azurite::ACCOUNT, Azurite::KEY).unwrap();
    let config = AzureConfig::new(key);
    let config = config.endpoint(server.gate().url(&format!("/{}", Azurite::ACCOUNT)));
    let to = Azure::new(&format!("az://{}/many", Azurite::CONTAINER), config).unwrap();
    let bytes = goes_on_near_the_end(PARTS, server.gate(), Arc::new(to)).await;
    assert!(server.blob("many").unwrap() == bytes);
    assert_eq!(server.blocks("many").committed.len() as u64, PARTS);
}

/// Bytes of one.
const PART: u64 = 256;

/// Those that may be in flight when the first run ends, and what it was about to write down.
const LANES: u64 = 8;
