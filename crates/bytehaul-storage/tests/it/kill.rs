//! A child program is killed in the midst of writing; the next run claims only right bytes, and loses only what was in memory.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::common::{claim, filled, object, options, total};
use bytehaul_storage::{Allocation, Budget, StartOptions};

/// Not a test of its own: what the child does.
#[test]
fn child_writes_until_killed() {
    let Ok(target) = std::env::var(CHILD) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(write_for_ever(Path::new(&target)));
}

async fn write_for_ever(target: &Path) {
    let claim = claim(target);
    let done = claim
        .left()
        .map(|left| left.durable.clone())
        .unwrap_or_default();
    let options = StartOptions {
        allocation: Allocation::Prealloc,
        piece_size: 64 << 10,
        save_every: Duration::from_millis(15),
        ..options(LEN)
    };
    let writer = claim.start(options).unwrap();
    let budget = Budget::new(1 << 20);
    // Out of order: from both ends of the missing chunks.
    let mut starts: Vec<u64> = (0..LEN).step_by(CHUNK as usize).collect();
    starts.retain(|start| {
        !done
            .iter()
            .any(|range| range.contains(start) && range.contains(&(start + CHUNK - 1)))
    });
    let half = starts.split_off(starts.len() / 2);
    let order: Vec<u64> = starts
        .iter()
        .zip(half.iter().rev())
        .flat_map(|(a, b)| [*a, *b])
        .collect();
    for chunks in order.chunks(5) {
        for &start in chunks {
            writer.submit(start, filled(&budget, &object(start..start + CHUNK)).await);
        }
        writer.settled().await.unwrap();
        println!("written {}", writer.status().borrow().written);
        std::io::stdout().flush().unwrap();
    }
    std::future::pending::<()>().await;
}

#[test]
fn a_killed_program_loses_only_what_was_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("x");
    let bytes = object(0..LEN);
    let mut last = 0;
    // Each round goes on where the one before was killed.
    for round in 0..8 {
        let acknowledged = write_and_kill(&target, Duration::from_millis(round * 7 % 40));
        let claim = claim(&target);
        let durable = claim
            .left()
            .map(|left| left.durable.clone())
            .unwrap_or_default();
        let kept = total(&durable);
        assert!(
            kept >= acknowledged.max(last),
            "round {round}: kept {kept}, acknowledged {acknowledged}, before {last}"
        );
        assert!(claim.left().is_none_or(|left| left.refuted == 0));
        drop(claim);
        let part = std::fs::read(directory.path().join("x.bytehaul-part")).unwrap_or_default();
        for range in durable {
            let range = range.start as usize..range.end as usize;
            assert!(
                part[range.clone()] == bytes[range.clone()],
                "round {round}: {range:?}"
            );
        }
        last = kept;
    }
    assert!(last > 0, "the rounds must get somewhere");
}

/// Lets a child write for a while after its first word, kills it, and says what it had told by then.
fn write_and_kill(target: &Path, after: Duration) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_writes_until_killed", "--nocapture"])
        .env(CHILD, target)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (first, told) = mpsc::channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut last = 0;
        for line in output.lines().map_while(Result::ok) {
            if let Some(written) = line.strip_prefix("written ") {
                last = written.parse().unwrap();
                let _ = first.send(());
            }
        }
        last
    });
    // A child that found everything written says nothing.
    let _ = told.recv_timeout(Duration::from_secs(2));
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

const LEN: u64 = CHUNK * 256;
const CHUNK: u64 = 48 << 10;
const CHILD: &str = "BYTEHAUL_TEST_KILLED_CHILD";
