//! The physical limit: what fetching or uploading a file costs when nothing is checked, retried or shown.
//!
//! `cargo run --release -p bytehaul-testkit --example limit -- http://127.0.0.1:8080/file -o out -x 8`
//!
//! `cargo run --release -p bytehaul-testkit --example limit -- http://127.0.0.1:8080/put/file --put file`

mod list;
mod send;
mod target;
mod whole;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use bytehaul_testkit::Usage;
use clap::Parser;

/// Hand-written HTTP/1.1 over blocking sockets, written where it belongs with positioned writes.
#[derive(Debug, Parser)]
struct Arguments {
    /// An `http://` URL on a server that answers HEAD and ranges.
    #[arg(required_unless_present = "list")]
    url: Option<String>,
    /// File of URLs, one a line, fetched over kept-alive connections into the directory `--output`. With `--put`, each
    /// line has offset and length of a part before its URL.
    #[arg(long, conflicts_with_all = ["url", "sync", "sha256", "null"])]
    list: Option<PathBuf>,
    /// File, or directory for a list.
    #[arg(short, long, required_unless_present_any = ["null", "put"])]
    output: Option<PathBuf>,
    /// File that is uploaded to the URL in one `PUT`, 64 KiB at a time.
    #[arg(long, conflicts_with_all = ["output", "sync", "sha256", "null"])]
    put: Option<PathBuf>,
    /// Upload by tus: the URL is that where uploads are created.
    #[arg(long, requires = "put", conflicts_with = "list")]
    tus: bool,
    /// Threads with a connection and an equal share each.
    #[arg(short = 'x', long, default_value_t = 1)]
    connections: u64,
    /// Bytes received into before a write. 2 MiB is a little better where memory is warm, and much worse in a virtual
    /// machine whose host takes free memory back in pieces of that size.
    #[arg(long, default_value_t = 1 << 20)]
    buffer: usize,
    /// Flush the data to the disk at the end.
    #[arg(long)]
    sync: bool,
    /// Compute and print the SHA-256 in the receiving thread (one connection only).
    #[arg(long)]
    sha256: bool,
    /// Receive only, write nothing.
    #[arg(long)]
    null: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let began = Instant::now();
    let moved = match (&arguments.list, &arguments.url, &arguments.put) {
        (Some(list), _, Some(file)) => send::parts(file, list, arguments.connections),
        (Some(list), _, None) => {
            list::fetch(list, arguments.output.as_deref(), arguments.connections)
        }
        (None, Some(url), Some(file)) if arguments.tus => send::tus(file, url),
        (None, Some(url), Some(file)) => send::put(file, url),
        (None, Some(url), None) => whole::fetch(url, &arguments),
        (None, None, _) => unreachable!("clap asks for a URL where there is no list"),
    };
    match moved {
        Ok(bytes) => {
            let (wall, usage) = (began.elapsed().as_secs_f64(), Usage::own());
            println!(
                "{bytes} bytes, wall {wall:.3} s, cpu {:.3} s",
                usage.cpu.as_secs_f64()
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("limit: {error}");
            ExitCode::FAILURE
        }
    }
}
