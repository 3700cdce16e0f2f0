//! Uploads a file to a tus server, shows how far it is, and goes on where an earlier run stopped.
//!
//! `cargo run --release --example upload_tus -- video.mp4 https://up.example.com/files/`

use std::error::Error;

use bytehaul::{CheckpointPlace, UploadSpec, Uploader, protocol};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(path), Some(url)) = (args.next(), args.next()) else {
        return Err("usage: upload_tus FILE URL".into());
    };
    let uploader = Uploader::builder().build()?;
    let spec =
        UploadSpec::file(path, protocol::Tus::new(url)).checkpoints(CheckpointPlace::BesideSource);
    let handle = uploader.upload(spec);
    let mut progress = handle.progress_stream();
    while let Some(p) = progress.next().await {
        eprintln!(
            "{:?}: {} sent, {} acknowledged, {} durable of {:?} at {} B/s",
            p.state, p.sent, p.acknowledged, p.durable, p.total, p.rate
        );
    }
    let outcome = handle.wait().await?;
    println!("{}", outcome.location.unwrap_or_default());
    Ok(())
}
