//! What a small file costs to publish: `cargo run --release --example small_files [directory] [files] [at once]`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytehaul_storage::{Budget, Conflict, Durability, Resume, StartOptions, claim};
use tokio::sync::Semaphore;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let files: usize = arguments.next().map_or(Ok(2000), |text| text.parse())?;
    let at_once: usize = arguments.next().map_or(Ok(16), |text| text.parse())?;
    let directory = Arc::new(tempfile::tempdir_in(directory)?);
    let started = Instant::now();
    for file in 0..files {
        plain(&directory.path().join(format!("plain-{file}")))?;
    }
    println!(
        "create, write, rename, one after another: {:.3} s",
        started.elapsed().as_secs_f64()
    );

    for durability in [Durability::PowerCut, Durability::Kill] {
        let started = Instant::now();
        let (budget, gate) = (Budget::default(), Arc::new(Semaphore::new(at_once)));
        let mut tasks = tokio::task::JoinSet::new();
        for file in 0..files {
            let turn = Arc::clone(&gate).acquire_owned().await?;
            let (budget, directory) = (budget.clone(), Arc::clone(&directory));
            tasks.spawn(async move {
                let target = directory.path().join(format!("{durability:?}-{file}"));
                let published = publish(target, durability, &budget).await;
                drop(turn);
                published
            });
        }
        while let Some(published) = tasks.join_next().await {
            published??;
        }
        println!(
            "part files, {at_once} at once, to survive a {durability:?}: {:.3} s",
            started.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

fn plain(target: &Path) -> Result<(), AnyError> {
    let part = target.with_extension("part");
    std::fs::write(&part, [0x5a; LEN])?;
    std::fs::rename(part, target)?;
    Ok(())
}

async fn publish(target: PathBuf, durability: Durability, budget: &Budget) -> Result<(), AnyError> {
    let options = StartOptions {
        len: Some(LEN as u64),
        durability,
        ..StartOptions::default()
    };
    let claimed = move || claim(&target, Conflict::Refuse, Resume::Continue)?.start(options);
    let writer = tokio::task::spawn_blocking(claimed).await??;
    let mut buffer = budget.buffer(LEN).await;
    buffer.extend_from_slice(&[0x5a; LEN]);
    writer.submit(0, buffer);
    writer.finish(None, LEN as u64).await?;
    Ok(())
}

const LEN: usize = 64 << 10;
