//! Objects that we put and the providers' own SDKs read, and those that they put in parts and we read, several ranges at once.

use std::sync::Arc;
use std::time::Duration;

use bytehaul::protocol::{
    Azure, AzureConfig, AzureCredentials, DownloadProtocol, Oss, OssConfig, OssCredentials,
    OssDownload, S3, S3Config, S3Credentials, S3Download, UploadProtocol,
};
use bytehaul::{DownloadSpec, Downloader, Evidence, UploadSource, UploadSpec, Uploader};
use bytehaul_testkit::Object;
use bytehaul_testkit::uploads::{Azurite, Gate, OssServer, S3Server};

/// A provider, with what its SDK does for a test.
struct Side<'a> {
    gate: &'a Gate,
    /// Bytes of a part.
    part: u64,
    up: &'a dyn Fn(&str) -> Arc<dyn UploadProtocol>,
    down: &'a dyn Fn(&str) -> Arc<dyn DownloadProtocol>,
    read: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    write_in_parts: &'a dyn Fn(&str, &[u8], u64),
}

impl Side<'_> {
    /// Sizes about the edges of parts, each way.
    async fn agrees(&self) {
        let part = self.part;
        for len in [0, 1, part - 1, part, part + 1, 3 * part + 7] {
            let (ours, theirs) = (format!("ours/{len}"), format!("the sdk's/{len} ü+"));
            let bytes = Object::random(len + 1, len).whole();
            self.put(&ours, &bytes).await;
            assert!(
                (self.read)(&ours).unwrap() == bytes,
                "{ours} is another one"
            );
            self.get(&ours, &bytes).await;
            let bytes = Object::random(len + 2, len).whole();
            (self.write_in_parts)(&theirs, &bytes, part);
            self.get(&theirs, &bytes).await;
        }
    }

    async fn put(&self, key: &str, bytes: &[u8]) {
        let uploader = Uploader::builder().proxy_from_env(false).build().unwrap();
        let source = UploadSource::Bytes(bytes.to_vec().into());
        let spec = UploadSpec::new(source, (self.up)(key))
            .name("f.bin")
            .part_size(self.part)
            .retry_base_delay(Duration::from_millis(5));
        let outcome = uploader.upload(spec).wait().await;
        let outcome = outcome.unwrap_or_else(|error| panic!("{key}: {error:?}"));
        assert_eq!(outcome.bytes, bytes.len() as u64, "{key}");
    }

    async fn get(&self, key: &str, bytes: &[u8]) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.bin");
        let downloader = Downloader::builder().proxy_from_env(false).build().unwrap();
        let protocol = (self.down)(key);
        let mut spec = DownloadSpec::new(protocol.target())
            .output_path(path.clone())
            .max_connections(3)
            .min_split_size(self.part)
            .piece_size(self.part.next_power_of_two() / 2)
            // Slow enough that there is something left for the other connections.
            .max_download_speed(4 * self.part)
            .retry_base_delay(Duration::from_millis(5));
        spec.protocol = Some(protocol);
        let before = self.gate.requests().len();
        let outcome = downloader.download(spec).wait().await;
        let outcome = outcome.unwrap_or_else(|error| panic!("{key}: {error:?}"));
        assert!(
            std::fs::read(&path).unwrap() == bytes,
            "{key} is another one"
        );
        if bytes.len() as u64 > 2 * self.part {
            let asked = self.gate.requests().len() - before;
            assert!(asked > 1, "{key}: in one request");
            // OSS says a digest of the whole.
            let evidence = outcome.evidence;
            let is_sure = matches!(evidence, Evidence::StrongEtag | Evidence::Digest);
            assert!(is_sure, "{key}: {evidence:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_and_we() {
    let Some(server) = S3Server::start() else {
        return;
    };
    let keys = S3Credentials::new(S3Server::ACCESS_KEY, S3Server::SECRET_KEY);
    let config = S3Config::new(keys).endpoint(server.url().parse().unwrap());
    let object = |key: &str| format!("s3://{}/{key}", S3Server::BUCKET);
    let side = Side {
        gate: server.gate(),
        part: 5 << 20,
        up: &|key| Arc::new(S3::new(&object(key), config.clone()).unwrap()),
        down: &|key| Arc::new(S3Download::new(&object(key), config.clone()).unwrap()),
        read: &|key| server.object(key),
        write_in_parts: &|key, bytes, part| server.put_in_parts(key, bytes, part),
    };
    side.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_storage_blob_and_we() {
    let Some(server) = Azurite::start() else {
        return;
    };
    let key = AzureCredentials::shared_key(Azurite::ACCOUNT, Azurite::KEY).unwrap();
    let endpoint = server.gate().url(&format!("/{}", Azurite::ACCOUNT));
    let config = AzureConfig::new(key).endpoint(endpoint);
    let blob = |name: &str| {
        let address = format!("az://{}/{name}", Azurite::CONTAINER);
        Azure::new(&address, config.clone()).unwrap()
    };
    let side = Side {
        gate: server.gate(),
        part: 256 << 10,
        up: &|key| Arc::new(blob(key)),
        down: &|key| Arc::new(blob(key).download()),
        read: &|key| server.blob(key),
        write_in_parts: &|key, bytes, part| server.put_in_blocks(key, bytes, part),
    };
    side.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alibabacloud_oss_v2_and_we() {
    let Some(server) = OssServer::start() else {
        return;
    };
    let keys = OssCredentials::new(OssServer::ACCESS_KEY, OssServer::SECRET_KEY);
    let config = OssConfig::new(keys).region(OssServer::REGION);
    let config = config.endpoint(server.url());
    let object = |key: &str| format!("oss://{}/{key}", OssServer::BUCKET);
    let side = Side {
        gate: server.gate(),
        part: 256 << 10,
        up: &|key| Arc::new(Oss::new(&object(key), config.clone()).unwrap()),
        down: &|key| Arc::new(OssDownload::new(&object(key), config.clone()).unwrap()),
        read: &|key| server.object(key),
        write_in_parts: &|key, bytes, part| server.put_in_parts(key, bytes, part),
    };
    side.agrees().await;
}
