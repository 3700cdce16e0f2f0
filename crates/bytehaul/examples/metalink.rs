//! Downloads every file of a Metalink document, with its mirrors, hashes and pieces: `metalink FILE.meta4 [DIRECTORY]`.

use std::error::Error;
use std::path::PathBuf;

use bytehaul::{Downloader, Metalink};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let document = arguments
        .next()
        .ok_or("usage: metalink FILE.meta4 [DIRECTORY]")?;
    let directory = PathBuf::from(arguments.next().unwrap_or_else(|| ".".into()));

    let metalink = Metalink::parse(&std::fs::read(document)?)?;
    let downloader = Downloader::builder().build()?;
    for file in metalink.files() {
        let Some(spec) = file.spec(&directory) else {
            eprintln!("{}: no http or https URL", file.name);
            continue;
        };
        // A name may have directories, which are made here: a download makes files alone.
        if let Some(parent) = spec.output_path.as_deref().and_then(|path| path.parent()) {
            std::fs::create_dir_all(parent)?;
        }
        let outcome = downloader.download(spec).wait().await?;
        println!("{} ({} bytes)", outcome.path.display(), outcome.bytes);
    }
    Ok(())
}
