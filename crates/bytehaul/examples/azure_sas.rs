//! Uploads to Azure Blob storage and downloads from it by a SAS URL: the client holds no account key.
//!
//! `cargo run --example azure_sas -- put FILE BLOB_URL_WITH_SAS`
//! `cargo run --example azure_sas -- get BLOB_URL_WITH_SAS FILE`

use std::error::Error;

use bytehaul::protocol::presigned::azure::Existing;
use bytehaul::{DownloadSpec, Downloader, UploadSpec, Uploader, protocol};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["put", path, url] => put(path, url).await,
        ["get", url, path] => get(url, path).await,
        _ => Err("usage: azure_sas put FILE URL | get URL FILE".into()),
    }
}

/// Blocks in any order, four at a time, then the list that commits them; a blob that exists is not replaced.
async fn put(path: &str, url: &str) -> Result<(), Box<dyn Error>> {
    let len = std::fs::metadata(path)?.len();
    // The same name for each try at the same upload, another one for another upload.
    let session = format!("{path} {len}");
    let plan = protocol::UploadPlan::azure_sas(url, len, 8 << 20, &session, Existing::Refuse)?;
    let uploader = Uploader::builder().build()?;
    let spec = UploadSpec::file(path, protocol::Presigned::new(plan)).max_connections(4);
    let outcome = uploader.upload(spec).wait().await?;
    println!("{} bytes, etag {:?}", outcome.bytes, outcome.etag);
    Ok(())
}

async fn get(url: &str, path: &str) -> Result<(), Box<dyn Error>> {
    let plan = protocol::DownloadPlan::new(url).range_header("x-ms-version", "2023-11-03");
    let spec = DownloadSpec::with_protocol(protocol::PresignedDownload::new(plan)?);
    let downloader = Downloader::builder().build()?;
    let outcome = downloader.download(spec.output_path(path)).wait().await?;
    println!("{} ({} bytes)", outcome.path.display(), outcome.bytes);
    Ok(())
}
