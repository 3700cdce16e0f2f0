//! The same promises against a real nginx.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bytehaul::{DownloadSpec, Evidence};
use bytehaul_testkit::nginx::Nginx;
use bytehaul_testkit::{Object, check_file};
use tempfile::TempDir;

use crate::common::{MIB, downloader, ended, eventually, quick, received};

const LEN: u64 = 6 * MIB;

/// An nginx that serves `f.bin`, and a directory to download into.
struct Real {
    nginx: Nginx,
    object: Object,
    dir: TempDir,
}

impl Real {
    /// `None`, with a word about it, where there is no nginx.
    fn start() -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let object = Object::random(1, LEN);
        fs::create_dir(dir.path().join("www")).expect("create");
        fs::write(dir.path().join("www/f.bin"), object.whole()).expect("write");
        let Some(nginx) = Nginx::start_throttled(&dir.path().join("www"), 4 * MIB) else {
            println!("skipped: nginx is not installed");
            return None;
        };
        Some(Self { nginx, object, dir })
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("file.bin")
    }

    fn spec(&self, location: &str) -> DownloadSpec {
        quick(&self.nginx.url(location)).output_path(self.target())
    }

    /// Downloads all, byte for byte.
    async fn completes(&self, spec: DownloadSpec) -> bytehaul::Outcome {
        let outcome = ended(&downloader().download(spec))
            .await
            .expect("completes");
        check_file(&outcome.path, &self.object).expect("the right bytes");
        fs::remove_file(&outcome.path).expect("remove");
        outcome
    }

    /// Stops after about 2 MiB at 4 MiB/s for each connection, then goes on.
    async fn resumes(&self, location: &str, first: u32, second: u32) -> bytehaul::Outcome {
        let spec = self.spec(location).max_download_speed(6 * MIB);
        let handle = downloader().download(spec.max_connections(first));
        received(&handle, 2 * MIB).await;
        handle.pause().await;
        handle.wait().await.expect_err("paused");
        assert!(!self.target().exists());
        self.completes(self.spec(location).max_connections(second))
            .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_location_gives_the_same_bytes() {
    let Some(real) = Real::start() else { return };
    for location in [
        "files",
        "norange",
        "noetag",
        "novalidator",
        "weaketag",
        "throttled",
        "chunked",
        "gzip",
        "redir",
    ] {
        for connections in [1, 4] {
            println!("{location} with {connections}");
            real.completes(
                real.spec(&format!("/{location}/f.bin"))
                    .max_connections(connections),
            )
            .await;
        }
    }
}

/// Stops with one number of connections and goes on with another, both ways.
async fn resumes_on(location: &str, evidence: Evidence) {
    let Some(real) = Real::start() else { return };
    for (first, second) in [(8, 1), (1, 8)] {
        let outcome = real.resumes(location, first, second).await;
        assert!(outcome.resumed_from >= 2 * MIB, "{outcome:?}");
        assert_eq!(outcome.evidence, evidence);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resumed_by_a_strong_etag() {
    resumes_on("/files/f.bin", Evidence::StrongEtag).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resumed_by_a_weak_etag() {
    resumes_on("/weaketag/f.bin", Evidence::WeakEtag).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resumed_by_last_modified() {
    resumes_on("/noetag/f.bin", Evidence::LastModified).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_resumed_by_nothing() {
    let Some(real) = Real::start() else { return };
    let outcome = real.resumes("/novalidator/f.bin", 4, 4).await;
    assert_eq!(outcome.resumed_from, 0, "nothing to tell a change by");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_connection_that_is_refused_costs_nothing() {
    let Some(real) = Real::start() else { return };
    let outcome = real
        .completes(real.spec("/maxconn2/f.bin").max_connections(8))
        .await;
    assert!(outcome.fetched <= LEN + MIB, "{outcome:?}");
    assert_eq!(outcome.restarts, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_file_is_one_request() {
    let Some(real) = Real::start() else { return };
    real.completes(real.spec("/files/f.bin").min_split_size(10 * MIB))
        .await;
    eventually("the log", || !real.nginx.access_log().is_empty()).await;
    let log = real.nginx.access_log();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].starts_with("GET /files/f.bin 206"), "{log:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_edited_between_two_runs_is_not_mixed() {
    let Some(mut real) = Real::start() else {
        return;
    };
    let spec = real.spec("/throttled/f.bin");
    let handle = downloader().download(spec.max_connections(2).max_download_speed(6 * MIB));
    received(&handle, 2 * MIB).await;
    handle.pause().await;
    // Another time, so that the tag of nginx (time and length) is another one.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    real.object = Object::random(2, LEN);
    fs::write(real.dir.path().join("www/f.bin"), real.object.whole()).expect("write");
    let outcome = real
        .completes(real.spec("/throttled/f.bin").max_connections(4))
        .await;
    assert_eq!(outcome.resumed_from, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses() {
    let Some(real) = Real::start() else { return };
    for (location, status, requests) in [
        ("/e403", 403, 1),
        ("/e404", 404, 1),
        ("/files/absent", 404, 1),
        ("/e429", 429, 2),
        ("/e503", 503, 2),
    ] {
        let spec = real
            .spec(location)
            .max_retries(1)
            .max_retry_after(Duration::from_millis(100));
        let error = ended(&downloader().download(spec))
            .await
            .expect_err("no file");
        assert_eq!(
            error.status().map(|found| found.as_u16()),
            Some(status),
            "{error:?}"
        );
        // A request is logged when it is over, which may be after its answer was read.
        let asked = || {
            let log = real.nginx.access_log();
            log.iter().filter(|line| line.contains(location)).count()
        };
        eventually("the log", || asked() >= requests).await;
        assert_eq!(asked(), requests, "{location}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_of_the_server() {
    let Some(real) = Real::start() else { return };
    let into = real.dir.path().join("into");
    fs::create_dir(&into).expect("create");
    let outcome = real
        .completes(quick(&real.nginx.url("/named/f.bin")).output_dir(&into))
        .await;
    assert_eq!(outcome.path, into.join("na\u{ef}ve file.bin"));
}
