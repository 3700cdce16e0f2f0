//! Uploads a file in chunks as `multipart/form-data`, with a progress line, and prints the id that the server gave it.
//!
//! `cargo run --example upload_form -- video.mp4 https://api.example.com/upload`

use std::error::Error;

use bytehaul::{UploadSpec, Uploader, protocol};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(url)) = (arguments.next(), arguments.next()) else {
        return Err("usage: upload_form FILE URL".into());
    };
    let uploader = Uploader::builder().build()?;
    let spec = UploadSpec::file(path, protocol::Form::new(url).category("video"))
        .part_size(4 << 20)
        .max_retries(3);
    let handle = uploader.upload(spec);
    let mut progress = handle.progress_stream();
    while let Some(now) = progress.next().await {
        println!(
            "{:?}: {} of {:?} bytes acknowledged, {} a second",
            now.state, now.acknowledged, now.total, now.rate
        );
    }
    let outcome = handle.wait().await?;
    let id = outcome.payload.unwrap_or_default();
    println!("file id {}", String::from_utf8_lossy(&id));
    Ok(())
}
