//! Killed at any moment, by SIGKILL or with its runtime: the next run has every byte right and asks for few of them twice.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytehaul::DownloadSpec;
use bytehaul_testkit::process::{Process, Signal};
use bytehaul_testkit::{Behaviour, Object};

use crate::common::{Bed, MIB, downloader, ended, quick, received};

const LEN: u64 = 6 * MIB;
const RATE: u64 = 4 * MIB;

/// Bytes that may be on their way when a run is killed, in buffers and sockets: half a second of them, on a busy machine.
const LOST_AT_MOST: u64 = RATE / 2;

fn object() -> Object {
    Object::random(1, LEN)
}

fn spec(url: &str, target: &Path, connections: u32) -> DownloadSpec {
    quick(url).output_path(target).max_connections(connections)
}

/// What the killed process does: this test's own program, run again with these variables. Without them, a whole download.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_that_is_killed() {
    let (Some(url), Some(target)) = (std::env::var(URL).ok(), std::env::var_os(TARGET)) else {
        let bed = Bed::serving(&object());
        bed.completes(bed.spec().max_connections(8), &object())
            .await;
        return;
    };
    let mut spec = spec(&url, &PathBuf::from(target), 8);
    spec.mirrors
        .extend(std::env::var(MIRROR).ok().map(bytehaul::Mirror::new));
    let handle = downloader().download(spec);
    ended(&handle)
        .await
        .expect("completes when nobody kills it");
}

const URL: &str = "BYTEHAUL_TEST_URL";
const MIRROR: &str = "BYTEHAUL_TEST_MIRROR";
const TARGET: &str = "BYTEHAUL_TEST_TARGET";

/// Runs a download of `/f` in another process and kills that when the server has sent so many bytes.
fn killed_at(bed: &Bed, sent: u64) {
    killed_with(bed, None, || bed.server.bytes_sent() >= sent);
}

/// Runs a download in a process of its own and kills it when `is_time`.
fn killed_with(bed: &Bed, mirror: Option<&str>, is_time: impl Fn() -> bool + Send) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args([
            "--exact",
            "crash::the_process_that_is_killed",
            "--nocapture",
        ])
        .env(URL, bed.server.url("/f"))
        .env(TARGET, bed.target())
        .envs(mirror.map(|url| (MIRROR, url)));
    let finished = Process::new(command)
        .timeout(Duration::from_secs(20))
        .stop_when(is_time, Signal::KILL)
        .run()
        .expect("runs until it is killed");
    assert_eq!(finished.signal(), Some(9), "{}", finished.out());
}

#[test]
fn killed_at_a_moment_of_chance() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bed = Bed::serving(&object());
    // By another 1/7 each time, so that no moment is special.
    for sent in [1, MIB / 7, LEN / 7, 3 * LEN / 7, 5 * LEN / 7] {
        bed.server.behave("/f", Behaviour::new().total_rate(RATE));
        bed.server.reset_log();
        killed_at(&bed, sent);
        assert!(!bed.target().exists(), "published half a file");
        let had = bed.server.bytes_sent();
        bed.server.behave("/f", Behaviour::new());
        let outcome = runtime.block_on(bed.completes(bed.spec().max_connections(4), &object()));
        assert!(
            outcome.resumed_from + LOST_AT_MOST >= had,
            "{had} bytes were sent, {} were found again",
            outcome.resumed_from
        );
        std::fs::remove_file(bed.target()).expect("remove");
    }
}

#[test]
fn killed_again_and_again() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bed = Bed::serving(&object().behaviour(Behaviour::new().total_rate(RATE)));
    for _ in 0..4 {
        let before = bed.server.bytes_sent();
        killed_at(&bed, before + LEN / 5);
        bed.is_kept();
    }
    bed.server.behave("/f", Behaviour::new());
    runtime.block_on(bed.completes(bed.spec().max_connections(1), &object()));
    let sent = bed.server.bytes_sent();
    assert!(
        sent <= LEN + 4 * LOST_AT_MOST,
        "{sent} bytes for a file of {LEN}"
    );
}

/// What a mirror had delivered when everything ended is as good as what the first had.
#[test]
fn killed_while_a_mirror_delivers() {
    const LONG: u64 = 40 * MIB;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let file = Object::random(2, LONG);
    let slow = Behaviour::new().total_rate(6 * MIB);
    let bed = Bed::serving(&file.clone().behaviour(slow.clone()));
    let mirror = bytehaul_testkit::Server::spawn_thread();
    mirror.serve("/f", file.clone().etag("\"copy\"").behaviour(slow));
    // Its proof takes less than 2 MiB, so what is beyond was delivered; and enough of the rest is there by then.
    killed_with(&bed, Some(&mirror.url("/f")), || {
        mirror.bytes_sent() > 4 * MIB && bed.server.bytes_sent() > 14 * MIB
    });
    bed.is_kept();
    bed.server.behave("/f", Behaviour::new());
    let outcome = runtime.block_on(bed.completes(bed.spec(), &file));
    assert!(outcome.resumed_from > 10 * MIB, "{outcome:?}");
}

/// Drops the runtime under a download, several times at moments of chance, each time with another number of connections.
#[test]
fn runtimes_that_are_dropped_at_moments_of_chance() {
    let bed = Bed::serving(&object().behaviour(Behaviour::new().total_rate(RATE)));
    let moments = Object::random(std::process::id().into(), 6).whole();
    println!("moments: {moments:?}");
    for moment in moments {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let connections = [8, 1, 3][usize::from(moment) % 3];
        // A downloader of its own: its connections live on this runtime.
        let handle = runtime.block_on(async {
            downloader().download(spec(&bed.server.url("/f"), &bed.target(), connections))
        });
        std::thread::sleep(Duration::from_millis(u64::from(moment) * 3 / 4));
        drop(runtime);
        assert!(
            !bed.target().exists() || std::fs::metadata(bed.target()).expect("there").len() == LEN
        );
        drop(handle);
        if bed.target().exists() {
            break;
        }
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let fresh = Bed {
        downloader: downloader(),
        ..bed
    };
    if !fresh.target().exists() {
        fresh.server.behave("/f", Behaviour::new());
        runtime.block_on(fresh.completes(fresh.spec().max_connections(4), &object()));
    }
    fresh.is_published(&object());
}

/// A process that is killed holds no lock any more, and its part file is no obstacle for a download of another file.
#[test]
fn what_a_killed_process_left_is_no_obstacle() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bed = Bed::serving(&object().behaviour(Behaviour::new().total_rate(RATE)));
    killed_at(&bed, 2 * MIB);
    let other = Object::random(2, MIB);
    bed.server.serve("/g", other.clone());
    runtime.block_on(bed.completes(bed.spec_of("/g"), &other));
}

/// While another process is at it, it is locked.
#[test]
fn another_process_holds_the_lock() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bed = Bed::serving(&object().behaviour(Behaviour::new().total_rate(RATE)));
    std::thread::scope(|scope| {
        let theirs = scope.spawn(|| killed_at(&bed, 5 * LEN / 7));
        while bed.server.bytes_sent() < MIB {
            std::thread::sleep(Duration::from_millis(5));
        }
        let error = runtime.block_on(bed.fetch(bed.spec())).expect_err("locked");
        assert_eq!(error.code(), 126, "{error:?}");
        theirs.join().expect("it was killed");
    });
    bed.server.behave("/f", Behaviour::new());
    let outcome = runtime.block_on(bed.completes(bed.spec(), &object()));
    assert!(outcome.resumed_from > 0, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_file_that_fits_its_checksum_and_makes_no_sense() {
    let bed = Bed::serving(&object().behaviour(Behaviour::new().total_rate(RATE)));
    let handle = bed.start(bed.spec().piece_size(256 * 1024).max_connections(4));
    received(&handle, 2 * MIB).await;
    handle.pause().await;
    let mut bytes = std::fs::read(bed.control()).expect("read");
    // 256 KiB as a number of seven bits a byte; the same number of bytes can say zero.
    let at = bytes
        .windows(3)
        .position(|three| three == [0x80, 0x80, 0x10])
        .expect("the piece size");
    bytes[at + 2] = 0;
    let version = u32::from_le_bytes(bytes[8..12].try_into().expect("four"));
    let len = u32::from_le_bytes(bytes[12..16].try_into().expect("four"));
    let body = &bytes[20..20 + len as usize];
    let crc = bytehaul_integrity::crc32c(body);
    let crc = bytehaul_integrity::crc32c_append(crc, &version.to_le_bytes());
    let crc = bytehaul_integrity::crc32c_append(crc, &u64::from(len).to_le_bytes());
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(bed.control(), &bytes).expect("write");
    bed.server.behave("/f", Behaviour::new());
    let outcome = bed.completes(bed.spec(), &object()).await;
    assert_eq!(outcome.resumed_from, 0);
}
