//! Downloads one URL to a path and shows it happening: `cargo run --example download -- URL PATH [CONNECTIONS]`.

use bytehaul::{DownloadError, DownloadSpec, Downloader};

#[tokio::main]
async fn main() -> Result<(), DownloadError> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(path)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: download URL PATH [CONNECTIONS]");
        std::process::exit(2);
    };
    let connections = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let downloader = Downloader::builder().build()?;
    let spec = DownloadSpec::new(url)
        .output_path(path)
        .max_connections(connections);
    let handle = downloader.download(spec);
    let mut progress = handle.progress_stream();
    while let Some(now) = progress.next().await {
        println!(
            "{:?}: {} of {:?} bytes, {} a second",
            now.state, now.received, now.total, now.rate
        );
    }
    let outcome = handle.wait().await?;
    println!(
        "{}: {} bytes in {:?}, on the evidence of {}",
        outcome.path.display(),
        outcome.bytes,
        outcome.elapsed,
        outcome.evidence
    );
    Ok(())
}
