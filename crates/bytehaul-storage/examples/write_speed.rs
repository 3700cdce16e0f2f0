//! What a part file costs beside a plain loop of `pwrite`: `cargo run --release --example write_speed [directory] [MiB] [case]`.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use bytehaul_integrity::{Algorithm, crc32c};
use bytehaul_storage::{Allocation, Budget, Conflict, Durability, Resume, StartOptions, claim};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), AnyError> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments
        .next()
        .unwrap_or_else(|| std::env::temp_dir().display().to_string());
    let mebibytes: u64 = arguments.next().map_or(Ok(1024), |text| text.parse())?;
    let only = arguments.next();
    let directory = Path::new(&directory);
    println!(
        "{mebibytes} MiB in {}; seconds of wall and of CPU, medians of {ROUNDS}",
        directory.display()
    );
    let cases: Vec<&(&str, Case)> = CASES
        .iter()
        .filter(|(name, _)| only.as_ref().is_none_or(|only| only == name))
        .collect();
    // Interleaved, so that what else the machine does falls on all of them.
    let mut costs = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for ((_, case), costs) in cases.iter().zip(&mut costs) {
            costs.push(measure(*case, directory, mebibytes).await?);
        }
    }
    for ((name, _), costs) in cases.iter().zip(&costs) {
        let median = |of: fn(&Cost) -> Duration| {
            let mut all: Vec<Duration> = costs.iter().map(of).collect();
            all.sort_unstable();
            all[all.len() / 2].as_secs_f64()
        };
        println!(
            "{name:14} wall {:.3}  cpu {:.3}",
            median(|cost| cost.wall),
            median(|cost| cost.cpu)
        );
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Case {
    Plain(Ending),
    PartFile(Allocation, Durability, Option<Algorithm>),
}

#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu: Duration,
}

#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Synced,
    Plain,
}

async fn measure(case: Case, directory: &Path, mebibytes: u64) -> Result<Cost, AnyError> {
    let (started, before) = (Instant::now(), cpu_time()?);
    match case {
        Case::Plain(ending) => plain_loop(directory, mebibytes, ending)?,
        Case::PartFile(allocation, durability, digest) => {
            let options = StartOptions {
                allocation,
                durability,
                digest: digest.map(Into::into),
                ..StartOptions::default()
            };
            part_file(directory, mebibytes, options).await?;
        }
    }
    Ok(Cost {
        wall: started.elapsed(),
        cpu: cpu_time()?.saturating_sub(before),
    })
}

fn plain_loop(directory: &Path, mebibytes: u64, ending: Ending) -> Result<(), AnyError> {
    use std::os::unix::fs::FileExt;
    let path = directory.join("write_speed.plain");
    let file = File::create(&path)?;
    let mut buffer = vec![0u8; MIB];
    let mut sum = 0;
    for at in 0..mebibytes {
        fill(&mut buffer);
        sum ^= crc32c(&buffer);
        file.write_all_at(&buffer, at * MIB as u64)?;
    }
    if ending == Ending::Synced {
        file.sync_data()?;
    }
    std::hint::black_box(sum);
    std::fs::remove_file(path)?;
    Ok(())
}

async fn part_file(
    directory: &Path,
    mebibytes: u64,
    options: StartOptions,
) -> Result<(), AnyError> {
    let target = directory.join("write_speed.target");
    let len = mebibytes * MIB as u64;
    let options = StartOptions {
        len: Some(len),
        ..options
    };
    let claimed = move || claim(&target, Conflict::Overwrite, Resume::Ignore)?.start(options);
    let writer = tokio::task::spawn_blocking(claimed).await??;
    // Nothing here is as slow as a network. With more memory the filling would run ahead, and the bytes be cold when written.
    let budget = Budget::new(3 * MIB);
    for at in 0..mebibytes {
        let mut buffer = budget.buffer(MIB).await;
        while !buffer.is_full() {
            buffer.extend_from_slice(&FILL);
        }
        writer.submit(at * MIB as u64, buffer);
    }
    let finished = writer.finish(None, len).await?;
    std::fs::remove_file(finished.path)?;
    Ok(())
}

/// Stands for what the socket copies in.
fn fill(buffer: &mut [u8]) {
    for chunk in buffer.chunks_mut(FILL.len()) {
        chunk.copy_from_slice(&FILL[..chunk.len()]);
    }
}

/// User and system time of this process.
fn cpu_time() -> Result<Duration, AnyError> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().ok_or("no process name")?;
    let ticks: Vec<u64> = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}

const MIB: usize = 1 << 20;
const ROUNDS: usize = 5;
const CASES: [(&str, Case); 6] = [
    ("plain", Case::Plain(Ending::Plain)),
    ("plain-sync", Case::Plain(Ending::Synced)),
    (
        "part-grow",
        Case::PartFile(Allocation::None, Durability::PowerCut, None),
    ),
    (
        "part",
        Case::PartFile(Allocation::Prealloc, Durability::PowerCut, None),
    ),
    (
        "part-sha-256",
        Case::PartFile(
            Allocation::Prealloc,
            Durability::PowerCut,
            Some(Algorithm::Sha256),
        ),
    ),
    (
        "part-kill",
        Case::PartFile(Allocation::Prealloc, Durability::Kill, None),
    ),
];
static FILL: [u8; 64 << 10] = [0x5a; 64 << 10];
