//! What can be uploaded: files, bytes and streams, of every size, and what happens when they change.

use std::time::Duration;

use bytehaul::{Checksum, UploadError, UploadSpec, UploadState, Uploader, protocol};
use bytehaul_testkit::uploads::{FormServer, FormSetup};

fn uploader() -> Uploader {
    Uploader::builder().proxy_from_env(false).build().unwrap()
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 253) as u8).collect()
}

#[tokio::test]
async fn files_and_bytes_of_every_size() {
    let Some(server) = FormServer::start() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    for len in [0, 1, 4095, 4096, 4097, 20_000] {
        let content = bytes(len);
        let path = directory.path().join(format!("f{len}"));
        std::fs::write(&path, &content).unwrap();
        let form = || protocol::Form::new(server.url());
        let specs = [
            UploadSpec::file(&path, form()),
            UploadSpec::bytes("b", content.clone(), form()),
        ];
        for spec in specs {
            let handle = uploader().upload(
                spec.part_size(4096)
                    .retry_base_delay(Duration::from_millis(10)),
            );
            let outcome = handle.wait().await.unwrap();
            assert_eq!(outcome.bytes, len as u64);
            let progress = handle.progress();
            assert_eq!(progress.state, UploadState::Completed);
            assert_eq!(progress.acknowledged, len as u64, "{progress:?}");
        }
    }
    assert_eq!(server.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_wrong_checksum_completes_nothing() {
    let Some(server) = FormServer::start() else {
        return;
    };
    let spec = UploadSpec::bytes("b", bytes(10_000), protocol::Form::new(server.url()))
        .part_size(4096)
        .checksum(Checksum::Sha256("00".repeat(32)));
    let error = uploader().upload(spec).wait().await.unwrap_err();
    assert!(
        matches!(error, UploadError::ChecksumMismatch { .. }),
        "{error:?}"
    );
    assert_eq!(error.code(), 116);
}

#[tokio::test]
async fn the_tasks_method_and_headers_are_on_every_request() {
    for method in ["POST", "PUT", "PATCH"] {
        let setup = FormSetup::new().method(method).header("X-Task", "7");
        let Some(server) = FormServer::start_with(&setup) else {
            return;
        };
        let form = protocol::Form::new(server.url()).method(method.parse().unwrap());
        let spec = UploadSpec::bytes("b", bytes(10_000), form)
            .part_size(4096)
            .header("X-Task", "7");
        let outcome = uploader().upload(spec).wait().await.unwrap();
        assert_eq!(outcome.bytes, 10_000);
        let requests = server.gate().requests();
        assert_eq!(requests.len(), 4, "{:?}", server.gate().lines());
        for request in requests {
            assert_eq!(request.header("x-task"), Some("7"));
        }
        assert_eq!(server.violations(), [""; 0], "{method}");
    }
}
