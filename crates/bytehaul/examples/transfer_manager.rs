//! Downloads several URLs, two at a time, and shows it happening: `cargo run --example transfer_manager -- DIRECTORY URL…`.

use std::error::Error;

use bytehaul::{
    DownloadSpec, EventKind, TaskOptions, TransferError, TransferEvent, TransferManager,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let Some(directory) = arguments.next() else {
        eprintln!("usage: transfer_manager DIRECTORY URL…");
        std::process::exit(2);
    };
    let transfers = TransferManager::builder()
        .max_downloads(2)
        .queue_capacity(1000)
        .build()?;
    // Hears of all tasks, until the guard is dropped.
    let _guard = transfers.on_event(show);

    let mut ids = Vec::new();
    for (row, url) in arguments.enumerate() {
        let spec = DownloadSpec::new(url).output_dir(&directory);
        // What the application calls the task comes back in each of its events.
        let options = TaskOptions::new().label(format!("row {row}"));
        match transfers.enqueue_with(spec, options) {
            Ok(id) => ids.push(id),
            Err(TransferError::Duplicate { existing, .. }) => println!("the same as {existing}"),
            Err(error) => println!("refused with code {}: {error}", error.code()),
        }
    }

    // The last one may wait a little.
    if let Some(&last) = ids.last()
        && transfers.pause(last).await.is_ok()
    {
        let snapshot = transfers.snapshot();
        println!(
            "{} run, {} wait, {} paused",
            snapshot.downloads.active.len(),
            snapshot.downloads.queued.len(),
            snapshot.downloads.paused.len()
        );
        transfers.resume(last).await?;
    }

    for id in ids {
        if let Err(error) = transfers.wait(id).await {
            println!("task {id} failed with code {}: {error}", error.code());
        }
    }
    // Waits until the listener has been called with everything.
    transfers.close().await?;
    Ok(())
}

fn show(event: &TransferEvent) {
    let label = event.label.as_deref().unwrap_or_default();
    match &event.kind {
        EventKind::State(state) => println!("{label}: {state}"),
        EventKind::Progress(progress) => println!(
            "{label}: {} of {:?} bytes, {} a second",
            progress.done, progress.total, progress.rate
        ),
        EventKind::Completed(completion) => println!("{label}: {} bytes", completion.bytes),
        EventKind::Failed(failure) => println!("{label}: {} ({})", failure.message, failure.code),
        EventKind::Canceled => println!("{label}: canceled"),
        _ => (),
    }
}
