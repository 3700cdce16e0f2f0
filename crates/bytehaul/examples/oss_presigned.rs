//! Uploads to Aliyun OSS by presigned part URLs, and downloads by a presigned URL: the client holds no credentials.
//!
//! `cargo run --example oss_presigned -- put FILE CHUNK_SIZE COMPLETE_URL PART_URL...`
//! `cargo run --example oss_presigned -- get RANGE_URL FILE`

use std::error::Error;

use bytehaul::{DownloadSpec, Downloader, UploadSpec, Uploader, protocol};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match &words[..] {
        ["put", path, chunk, complete, parts @ ..] if !parts.is_empty() => {
            put(path, chunk.parse()?, complete, parts).await
        }
        ["get", url, path] => get(url, path).await,
        _ => Err(
            "usage: oss_presigned put FILE CHUNK COMPLETE_URL PART_URL... | get URL FILE".into(),
        ),
    }
}

/// The upload id and the numbers of the parts are taken from the URLs; the completion lists exactly these parts.
async fn put(path: &str, chunk: u64, complete: &str, parts: &[&str]) -> Result<(), Box<dyn Error>> {
    let len = std::fs::metadata(path)?.len();
    let plan = protocol::UploadPlan::oss(len, chunk, parts.iter().copied(), complete, None)?;
    let uploader = Uploader::builder().build()?;
    let spec = UploadSpec::file(path, protocol::Presigned::new(plan)).max_connections(4);
    let outcome = uploader.upload(spec).wait().await?;
    println!("{} bytes, etag {:?}", outcome.bytes, outcome.etag);
    Ok(())
}

async fn get(url: &str, path: &str) -> Result<(), Box<dyn Error>> {
    let plan = protocol::DownloadPlan::new(url);
    let spec = DownloadSpec::with_protocol(protocol::PresignedDownload::new(plan)?);
    let downloader = Downloader::builder().build()?;
    let outcome = downloader.download(spec.output_path(path)).wait().await?;
    println!("{} ({} bytes)", outcome.path.display(), outcome.bytes);
    Ok(())
}
