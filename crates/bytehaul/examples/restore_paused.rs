//! A queue that outlives its process: `cargo run --example restore_paused -- DIRECTORY [URL…]`.
//!
//! The application keeps one line of JSON for each task, in `DIRECTORY/tasks.json`. Each run imports what is unfinished as
//! paused, without network and without a look at any file, asks which ones to go on with, and keeps what came of
//! it. Kill it at any time and start it again.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytehaul::{DownloadSpec, TaskOptions, TaskState, TransferManager};

/// The application's own table: the state of each URL.
type Table = BTreeMap<String, String>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let Some(directory) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: restore_paused DIRECTORY [URL…]");
        std::process::exit(2);
    };
    let file = directory.join("tasks.json");
    let mut table = load(&file)?;
    for url in arguments {
        table.entry(url).or_insert(TaskState::Paused.to_string());
    }
    let unfinished: Vec<_> = table
        .iter()
        .filter(|(_, state)| **state != TaskState::Complete.to_string())
        .map(|(url, _)| url.clone())
        .collect();

    let transfers = TransferManager::builder().build()?;
    let table = Arc::new(Mutex::new(table));
    let _guard = transfers.on_event({
        let (table, file) = (Arc::clone(&table), file.clone());
        move |event| {
            // The label is the key of the row.
            let (Some(url), Some(state)) = (&event.label, event.kind.state()) else {
                return;
            };
            let mut table = table.lock().expect("nobody panics with it");
            table.insert(url.clone(), state.to_string());
            if let Err(error) = save(&file, &table) {
                eprintln!("{}: {error}", file.display());
            }
        }
    });

    let mut ids = Vec::new();
    for url in unfinished {
        let spec = DownloadSpec::new(&url).output_dir(&directory);
        let options = TaskOptions::new().label(&url).paused();
        ids.push(transfers.enqueue_with(spec, options)?);
        println!("{}: {url}", ids.len());
    }
    println!("which ones? (numbers, or nothing for none)");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let chosen = line.split_whitespace().filter_map(|word| word.parse().ok());
    let chosen: Vec<_> = chosen
        .filter_map(|number: usize| ids.get(number.checked_sub(1)?).copied())
        .collect();
    for &id in &chosen {
        transfers.resume(id).await?;
    }
    for id in chosen {
        match transfers.wait(id).await {
            Ok(outcome) => println!("task {id}: {:?}", outcome.completion()),
            Err(error) => println!("task {id}: {error}"),
        }
    }
    transfers.close().await?;
    Ok(())
}

fn load(file: &Path) -> Result<Table, Box<dyn Error>> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Table::new()),
        Err(error) => Err(error.into()),
    }
}

fn save(file: &Path, table: &Table) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut writer = std::fs::File::create(&new)?;
    writer.write_all(&serde_json::to_vec_pretty(table)?)?;
    writer.sync_all()?;
    std::fs::rename(new, file)
}
