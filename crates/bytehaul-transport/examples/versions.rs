//! Measures HTTP/1.1 and HTTP/2 over TLS against each other: a file from a local nginx, over one request and over several.
//!
//! `cargo run --release -p bytehaul-transport --example versions -- [MiB] [rounds]`
//!
//! CPU time is the client's own; nginx needs some too, so that the wall time of a busy machine says little.

use std::error::Error;
use std::time::{Duration, Instant};

use bytehaul_testkit::nginx::Nginx;
use bytehaul_testkit::pki::Authority;
use bytehaul_transport::{Client, HttpVersion, Request, RequestRange, Roots, Tls, Url};
use bytes::{BufMut, BytesMut};
use tokio::task::JoinSet;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let mebibytes: u64 = arguments.next().map_or(Ok(512), |text| text.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let length = mebibytes << 20;
    let dir = tempfile::tempdir()?;
    std::fs::File::create(dir.path().join("f.bin"))?.set_len(length)?;
    let authority = Authority::new();
    let certificate = authority.server(&["localhost", "127.0.0.1"]);
    // One server for all: it speaks what the client asks for.
    let nginx = Nginx::serving(dir.path()).tls(&certificate).http2().start();
    let url = Url::parse(&nginx.url("/files/f.bin"))?;
    println!("{mebibytes} MiB from nginx over TLS, {rounds} rounds: median (best)");
    for requests in [1, 2, 4, 8, 16] {
        let mut times = vec![Vec::new(); VERSIONS.len()];
        for round in 0..=rounds {
            for (version, times) in VERSIONS.into_iter().zip(&mut times) {
                let tls = Tls::new()
                    .add_roots_pem(authority.pem())
                    .roots(Roots::ExtraOnly);
                let client = Client::builder().tls(tls).http_version(version).build()?;
                let before = cpu();
                let wall = fetch(&client, &url, length, requests).await?;
                let took = (wall, cpu() - before);
                // The first round warms the page cache.
                if round > 0 {
                    times.push(took);
                }
            }
        }
        for (version, times) in VERSIONS.into_iter().zip(&mut times) {
            times.sort();
            let (median, best) = (times[times.len() / 2], times[0]);
            times.sort_by_key(|&(_, cpu)| cpu);
            println!(
                "{requests:>2} requests  {:<9} wall {:.2?} ({:.2?})  cpu {:.2?} ({:.2?})",
                version.to_string(),
                median.0,
                best.0,
                times[times.len() / 2].1,
                times[0].1,
            );
        }
    }
    Ok(())
}

/// Reads the file in as many ranges at a time.
async fn fetch(client: &Client, url: &Url, length: u64, requests: u64) -> Outcome<Duration> {
    let began = Instant::now();
    let mut ranges = JoinSet::new();
    for n in 0..requests {
        let range = length * n / requests..length * (n + 1) / requests;
        let (client, url) = (client.clone(), url.clone());
        ranges.spawn(async move {
            let want = range.end - range.start;
            let request = Request::get(url).range(RequestRange::Span(range));
            let mut response = client.send(request).await?;
            let mut buffer = BytesMut::with_capacity(BUFFER);
            let mut got = 0;
            loop {
                let read = response
                    .body_mut()
                    .read(&mut (&mut buffer).limit(BUFFER))
                    .await?;
                if read == 0 {
                    break;
                }
                got += read as u64;
                buffer.clear();
            }
            if got == want {
                Outcome::Ok(())
            } else {
                Err(format!("{got} of {want} bytes").into())
            }
        });
    }
    while let Some(range) = ranges.join_next().await {
        range??;
    }
    Ok(began.elapsed())
}

/// CPU time of this process so far, in user mode and in the kernel; zero where there is no `/proc`.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

const VERSIONS: [HttpVersion; 2] = [HttpVersion::Http1, HttpVersion::Http2];
const BUFFER: usize = 1 << 20;
