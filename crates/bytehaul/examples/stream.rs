//! Writes one URL to standard output, in order, over several connections: `cargo run --example stream -- URL > FILE`.

use bytehaul::{DownloadSpec, Downloader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(url) = std::env::args().nth(1) else {
        eprintln!("usage: stream URL");
        std::process::exit(2);
    };
    let downloader = Downloader::builder().build()?;
    let mut body = downloader.stream(DownloadSpec::new(url).max_connections(8));
    tokio::io::copy(&mut body, &mut tokio::io::stdout()).await?;
    Ok(())
}
