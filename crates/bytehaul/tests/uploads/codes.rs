//! The numbers of what keeps an upload from beginning.

use bytehaul::{ErrorKind, Network, UploadError, UploadSpec, Uploader, protocol};

fn check(result: Result<(), UploadError>, code: u16, kind: ErrorKind) {
    let error = result.expect_err("it cannot begin");
    assert_eq!((error.code(), error.kind()), (code, kind), "{error:?}");
}

#[tokio::test]
async fn what_cannot_begin_has_its_number() {
    let uploader = Uploader::builder().proxy_from_env(false).build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let upload = async |spec: UploadSpec| uploader.upload(spec).wait().await.map(drop);
    // Nobody listens there: whoever sends something first gets 106.
    let form = || protocol::Form::new("http://127.0.0.1:1/");
    let nowhere = directory.path().join("missing");
    check(
        upload(UploadSpec::file(nowhere, form())).await,
        115,
        ErrorKind::Local,
    );
    check(
        upload(UploadSpec::file(directory.path(), form())).await,
        105,
        ErrorKind::Local,
    );
    let nobody_trusted = Network::default().only_these_roots(true);
    let spec = UploadSpec::bytes("b", "bytes", form()).network(nobody_trusted.clone());
    check(upload(spec).await, 119, ErrorKind::Parameter);
    let built = Uploader::builder().network(nobody_trusted).build();
    check(built.map(drop), 119, ErrorKind::Parameter);
}
