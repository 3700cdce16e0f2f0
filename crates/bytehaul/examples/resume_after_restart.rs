//! Goes on where a killed process stopped, in both directions: the same specs again are all it takes.
//!
//! `cargo run --example resume_after_restart -- get https://example.com/big.iso big.iso`
//! `cargo run --example resume_after_restart -- put video.mp4 https://up.example.com/files/`
//!
//! Run it, kill it at any moment (`kill -9`), and run it again.

use std::error::Error;

use bytehaul::{CheckpointPlace, DownloadSpec, Downloader, UploadSpec, Uploader, protocol};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["get", url, path] => get(url, path).await,
        ["put", path, url] => put(path, url).await,
        _ => Err("usage: resume_after_restart get URL PATH | put PATH URL".into()),
    }
}

/// What has arrived lies beside the target, with a record of which bytes it is.
async fn get(url: &str, path: &str) -> Result<(), Box<dyn Error>> {
    let downloader = Downloader::builder().build()?;
    let spec = DownloadSpec::new(url).output_path(path);
    let outcome = downloader.download(spec).wait().await?;
    println!(
        "{} bytes, {} of them from an earlier run",
        outcome.bytes, outcome.resumed_from
    );
    Ok(())
}

/// What the server has is in a checkpoint beside the source; an application may keep it in its own database instead, see
/// `UploadHandle::checkpoint`.
async fn put(path: &str, url: &str) -> Result<(), Box<dyn Error>> {
    let uploader = Uploader::builder().build()?;
    let spec =
        UploadSpec::file(path, protocol::Tus::new(url)).checkpoints(CheckpointPlace::BesideSource);
    let outcome = uploader.upload(spec).wait().await?;
    println!(
        "{} bytes, {} of them from an earlier run, at {}",
        outcome.bytes,
        outcome.resumed_from,
        outcome.location.unwrap_or_default()
    );
    Ok(())
}
