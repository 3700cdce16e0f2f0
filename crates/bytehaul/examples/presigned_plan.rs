//! Uploads a file by a plan of presigned URLs that a back end has made, for S3, OSS, GCS or anything else that can be presigned.
//!
//! `cargo run --example presigned_plan -- FILE plan.json`; `bytehaul::protocol::presigned` says what is in a plan.

use std::error::Error;

use bytehaul::{CheckpointPlace, UploadSpec, Uploader, protocol};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(plan)) = (arguments.next(), arguments.next()) else {
        return Err("usage: presigned_plan FILE PLAN".into());
    };
    let read = move || -> Result<protocol::UploadPlan, Box<dyn Error + Send + Sync>> {
        Ok(serde_json::from_slice(&std::fs::read(&plan)?)?)
    };
    let first = read().map_err(|error| error as Box<dyn Error>)?;
    // A real application asks its back end for new URLs here; this one reads the file again, which somebody has renewed.
    let presigned = protocol::Presigned::new(first).refresher(move || {
        let renewed = read();
        async move { renewed }
    });
    let uploader = Uploader::builder().build()?;
    let spec = UploadSpec::file(path, presigned)
        .max_connections(4)
        .checkpoints(CheckpointPlace::BesideSource);
    let handle = uploader.upload(spec);
    let outcome = handle.wait().await?;
    println!(
        "{} bytes over {} connections, etag {:?}",
        outcome.bytes, outcome.connections, outcome.etag
    );
    Ok(())
}
