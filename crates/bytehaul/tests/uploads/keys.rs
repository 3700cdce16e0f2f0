//! Credentials that the server refuses, by a provider that has others: asked again once, in both directions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use bytehaul::protocol::{
    Azure, AzureConfig, AzureCredentials, CredentialSource, Credentials, DownloadProtocol, Gcs,
    GcsToken, Oss, OssConfig, OssCredentials, OssDownload, S3, S3Config, S3Credentials, S3Download,
    UploadProtocol,
};
use bytehaul::{DownloadSpec, Downloader, UploadSource, UploadSpec, Uploader};
use bytehaul_testkit::Object;
use bytehaul_testkit::uploads::{Azurite, GcsServer, OssServer, S3Server, Sas};

/// A provider that gives these at first, and those ever after, and counts.
fn renewed<C: Credentials>(first: C, then: C) -> (CredentialSource<C>, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let source = CredentialSource::provider(move || {
        let credentials = match counter.fetch_add(1, Relaxed) {
            0 => first.clone(),
            _ => then.clone(),
        };
        async move { Ok(credentials) }
    });
    (source, asked)
}

async fn goes_up(protocol: Arc<dyn UploadProtocol>, bytes: &[u8]) {
    let uploader = Uploader::builder().proxy_from_env(false).build().unwrap();
    let source = UploadSource::Bytes(bytes.to_vec().into());
    let spec = UploadSpec::new(source, protocol).name("f");
    let spec = spec.retry_base_delay(Duration::from_millis(5));
    let outcome = uploader.upload(spec).wait().await;
    outcome.unwrap_or_else(|error| panic!("{error:?}"));
}

async fn comes_down(protocol: Arc<dyn DownloadProtocol>, bytes: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    let downloader = Downloader::builder().proxy_from_env(false).build().unwrap();
    let mut spec = DownloadSpec::new(protocol.target()).output_path(path.clone());
    spec.protocol = Some(protocol);
    let outcome = downloader.download(spec).wait().await;
    outcome.unwrap_or_else(|error| panic!("{error:?}"));
    assert!(std::fs::read(&path).unwrap() == bytes);
}

fn content() -> Vec<u8> {
    Object::random(1, 300_000).whole()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_s3_that_are_wrong_at_first() {
    let Some(server) = S3Server::rclone() else {
        return;
    };
    let object = format!("s3://{}/f", S3Server::BUCKET);
    let setup = || {
        let keys = |secret: &str| S3Credentials::new(S3Server::ACCESS_KEY, secret);
        let (source, asked) = renewed(keys("wrong"), keys(S3Server::SECRET_KEY));
        let config = S3Config::new(source).endpoint(server.url().parse().unwrap());
        (config.least_part(1).part_size(100_000), asked)
    };
    let (config, asked) = setup();
    goes_up(Arc::new(S3::new(&object, config).unwrap()), &content()).await;
    assert_eq!(asked.load(Relaxed), 2);
    assert!(server.object("f").unwrap() == content());
    let (config, asked) = setup();
    comes_down(
        Arc::new(S3Download::new(&object, config).unwrap()),
        &content(),
    )
    .await;
    assert_eq!(asked.load(Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sas_that_has_expired_at_first() {
    let Some(server) = Azurite::start() else {
        return;
    };
    let address = format!("az://{}/f", Azurite::CONTAINER);
    let setup = || {
        let sas = |sas: Sas<'_>| AzureCredentials::sas(server.sas("f", sas)).unwrap();
        let late = sas(Sas::new("rcw").expired());
        assert!(late.expires_at() < Some(SystemTime::now()));
        let (source, asked) = renewed(late, sas(Sas::new("rcw")));
        let endpoint = server.gate().url(&format!("/{}", Azurite::ACCOUNT));
        let config = AzureConfig::new(source).endpoint(endpoint);
        (config.part_size(100_000), asked)
    };
    let (config, asked) = setup();
    goes_up(Arc::new(Azure::new(&address, config).unwrap()), &content()).await;
    assert_eq!(asked.load(Relaxed), 2);
    assert!(server.blob("f").unwrap() == content());
    let (config, asked) = setup();
    let from = Azure::new(&address, config).unwrap().download();
    comes_down(Arc::new(from), &content()).await;
    assert_eq!(asked.load(Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_oss_that_are_wrong_at_first() {
    let Some(server) = OssServer::start() else {
        return;
    };
    let object = format!("oss://{}/f", OssServer::BUCKET);
    let setup = || {
        let keys = |id: &str| OssCredentials::new(id, OssServer::SECRET_KEY);
        let (source, asked) = renewed(keys("LTAInobody"), keys(OssServer::ACCESS_KEY));
        let config = OssConfig::new(source).region(OssServer::REGION);
        (config.endpoint(server.url()).part_size(102_400), asked)
    };
    let (config, asked) = setup();
    goes_up(Arc::new(Oss::new(&object, config).unwrap()), &content()).await;
    assert_eq!(asked.load(Relaxed), 2);
    assert!(server.object("f").unwrap() == content());
    let (config, asked) = setup();
    comes_down(
        Arc::new(OssDownload::new(&object, config).unwrap()),
        &content(),
    )
    .await;
    assert_eq!(asked.load(Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_google_that_is_refused_at_first() {
    let Some(server) = GcsServer::start() else {
        return;
    };
    let (source, asked) = renewed(GcsToken::new("old"), GcsToken::new(GcsServer::TOKEN));
    let to = Gcs::new(&format!("gs://{}/f", GcsServer::BUCKET), source).unwrap();
    let to = to.endpoint(server.url().parse().unwrap()).unwrap();
    goes_up(Arc::new(to), &content()).await;
    assert_eq!(asked.load(Relaxed), 2);
    assert!(server.object("f").unwrap() == content());
}
