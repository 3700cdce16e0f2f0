//! The arguments as they are typed: their names, forms, defaults and help texts.

mod presign;
mod put;
#[cfg(feature = "queue")]
mod queue;
#[cfg(test)]
mod tests;
mod uploads;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

pub(crate) use crate::args::presign::{PresignArgs, SignedMethod};
pub(crate) use crate::args::put::{ContentDigest, Protocol, PutArgs, TusChecksum};
#[cfg(feature = "queue")]
pub(crate) use crate::args::queue::{AddArgs, AddCommand, QueueCommand, RunArgs, TasksArgs};
pub(crate) use crate::args::uploads::{AbortArgs, ListArgs, UploadsCommand};
use crate::values::{Connections, PositiveSize, PositiveSpan, Rate, Size, Span};

/// Resumable transfers over HTTP with many connections
#[derive(Parser, Debug)]
#[command(
    name = "bytehaul",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Download files
    ///
    /// Partial data lies beside the target and never at it; the target appears when the file is complete and
    /// verified. The same command run again resumes.
    Get(Box<GetArgs>),
    /// Upload a file
    ///
    /// The same command run again resumes, where the protocol and the server can; it sends nothing when the upload is
    /// complete and the file is still the same.
    Put(Box<PutArgs>),
    /// Sign a URL or the plan of an upload with a provider's credentials, for somebody who has none
    Presign(Box<PresignArgs>),
    /// List or discard uploads that were begun
    #[command(subcommand)]
    Uploads(UploadsCommand),
    /// Remember transfers, and run them later
    #[cfg(feature = "queue")]
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Show a download that is killed half-way and resumed; needs no network
    #[cfg(feature = "demo")]
    Demo(DemoArgs),
}

/// What `get` takes.
#[derive(Args, Debug, Serialize, Deserialize)]
pub(crate) struct GetArgs {
    /// What to download
    #[arg(value_name = "URL")]
    pub(crate) urls: Vec<String>,

    /// Target of a single URL; `-` writes the bytes to stdout, in order [default: an automatic name]
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,

    /// Where automatic names go: Content-Disposition, then the URL's last segment, then `download`
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,

    /// URLs, one a line, `#` starts a comment line; `-` is stdin
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input_file: Option<PathBuf>,

    /// Files at once
    #[arg(short, long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: u16,

    /// Connections per file, at most; `auto` decides and adapts
    #[arg(short = 'x', long, value_name = "N", default_value = "auto")]
    pub(crate) connections: Connections,

    /// Unit of assignment and of the resume map [default: automatic]
    #[arg(long, value_name = "SIZE")]
    pub(crate) piece_size: Option<PositiveSize>,

    /// Smaller files use one connection
    #[arg(long, value_name = "SIZE", default_value = "10M")]
    pub(crate) min_split_size: Size,

    /// Whether the space is reserved before the first byte
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Allocation::Prealloc)]
    pub(crate) file_allocation: Allocation,

    /// Ignore what an earlier run left
    #[arg(long)]
    pub(crate) no_resume: bool,

    /// Replace an existing target, after the new one is complete and verified
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// Further source of the same file, repeatable; used at the same time, and checked to be the same
    #[arg(long, value_name = "URL")]
    pub(crate) mirror: Vec<String>,

    /// Metalink file (RFC 5854) that lists files, their sources and their checksums; repeatable
    #[arg(long, value_name = "FILE")]
    pub(crate) metalink: Vec<PathBuf>,

    /// Do not use mirrors that the server names in its answer (RFC 6249)
    #[arg(long)]
    pub(crate) no_metalink: bool,

    /// Also ask for the Metalink document that the server's answer points to
    #[arg(long, conflicts_with = "no_metalink")]
    pub(crate) describedby: bool,

    /// Shell command that prints another URL or headers when the server says 401, 403 or 410; it finds the URL in
    /// BYTEHAUL_URL
    #[arg(long, value_name = "COMMAND")]
    pub(crate) refresh_command: Option<String>,

    /// Do not hold an object against the checksum that its provider names (s3://, az://, oss://)
    #[arg(long)]
    #[serde(default)]
    pub(crate) no_provider_checksum: bool,

    /// Bucket in the host name, with an own S3 endpoint too (s3://)
    #[arg(long)]
    pub(crate) virtual_host: bool,

    #[command(flatten)]
    pub(crate) transfer: TransferArgs,

    #[command(flatten)]
    #[serde(skip)]
    pub(crate) network: NetworkArgs,

    #[command(flatten)]
    #[serde(skip)]
    pub(crate) display: DisplayArgs,
}

/// What `demo` takes.
#[cfg(feature = "demo")]
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Bytes of the file
    #[arg(long, value_name = "SIZE", default_value = "256M")]
    pub(crate) size: Size,
}

/// Checksum, rate and retries: the same for both directions.
#[derive(Args, Debug, Serialize, Deserialize)]
pub(crate) struct TransferArgs {
    /// What the file must hash to: sha-256, sha-512, sha-1, md5, crc32c, crc64nvme, crc64 or blake3; hex or base64
    #[arg(long, value_name = "ALGO=VALUE")]
    pub(crate) checksum: Option<String>,

    /// Bytes a second over all connections and files, such as 500K or 2M [default: none]
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_rate: Option<Rate>,

    /// Failures in a row without progress before giving up
    #[arg(long, value_name = "N", default_value = "5")]
    pub(crate) retries: u32,

    /// Wait before the first retry; doubles with each further one, and a server's Retry-After wins
    #[arg(long, value_name = "DUR", default_value = "1s")]
    pub(crate) retry_delay: Span,

    /// The longest Retry-After that is obeyed; a longer one is cut to this
    #[arg(long, value_name = "DUR", default_value = "5m")]
    pub(crate) max_retry_after: Span,
}

/// How servers are reached.
#[derive(Args, Clone, PartialEq, Eq, Debug)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// Time for one attempt to connect
    #[arg(long, value_name = "DUR", default_value = "10s")]
    pub(crate) connect_timeout: PositiveSpan,

    /// Longest time without a byte
    #[arg(long, value_name = "DUR", default_value = "30s")]
    pub(crate) read_timeout: PositiveSpan,

    /// Request header, repeatable; sent to the origin of the URL only
    #[arg(short = 'H', long, value_name = "K: V")]
    pub(crate) header: Vec<String>,

    /// Proxy for every request: http, https, socks4, socks4a, socks5 or socks5h, credentials in the URL; in place of
    /// the environment's
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,

    /// Hosts that are reached without a proxy, separated by commas; in place of NO_PROXY
    #[arg(long, value_name = "LIST")]
    pub(crate) no_proxy: Option<String>,

    /// Name server in place of the system's, repeatable; tls://… and https://… ask over TLS and HTTPS
    #[arg(long, value_name = "IP[:PORT]")]
    pub(crate) dns_server: Vec<String>,

    /// Address of a host in place of what DNS says, repeatable
    #[arg(long, value_name = "HOST:ADDR[,ADDR]")]
    pub(crate) resolve: Vec<String>,

    /// Use IPv4 only
    #[arg(long)]
    pub(crate) no_ipv6: bool,

    /// Trust the certificates in this PEM file as well as the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,

    /// Trust the certificates of --cacert alone
    #[arg(long, requires = "cacert")]
    pub(crate) cacert_only: bool,

    /// Accept any certificate: whoever is on the way can read and change everything
    #[arg(long)]
    pub(crate) insecure: bool,

    /// Client certificate, as PEM; the key may be in the same file
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,

    /// Key of the client certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Public key that the server has to have, repeatable; in addition to a trusted certificate
    #[arg(long, value_name = "sha256//BASE64")]
    pub(crate) pinned_key: Vec<String>,

    /// Version of HTTP: `auto` takes HTTP/2 where an https server offers it
    #[arg(long, value_name = "VERSION", value_enum, default_value_t = Http::One)]
    pub(crate) http: Http,

    /// Redirects that one request follows, at most
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) max_redirects: u16,

    /// Follow redirects from https to http too: whoever is on the way can read and change what comes
    #[arg(long)]
    pub(crate) insecure_redirects: bool,

    /// What to say in User-Agent [default: bytehaul and its version]
    #[arg(long, value_name = "TEXT")]
    pub(crate) user_agent: Option<String>,

    /// File with users and passwords of hosts [default: the one that NETRC names, or .netrc in the home directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) netrc_file: Option<PathBuf>,

    /// Do not read .netrc
    #[arg(long, conflicts_with = "netrc_file")]
    pub(crate) no_netrc: bool,
}

/// What is shown.
#[derive(Args, Clone, Copy, PartialEq, Eq, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct DisplayArgs {
    /// JSON lines on stdout, one event a line
    #[arg(long)]
    pub(crate) json: bool,

    /// Show errors only
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// More detail; twice for all of it
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// A parser of one group of options, for its defaults.
#[derive(Parser)]
struct Only<T: Args> {
    #[command(flatten)]
    group: T,
}

fn defaults<T: Args>() -> T {
    let only = Only::try_parse_from(["bytehaul"]);
    only.expect("no option of the group is required").group
}

impl Default for NetworkArgs {
    fn default() -> Self {
        defaults()
    }
}

impl Default for DisplayArgs {
    fn default() -> Self {
        defaults()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Allocation {
    /// The file grows as data arrives
    None,
    /// The space is reserved first, so a full disk is found before the first byte
    Prealloc,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Http {
    /// HTTP/1.1, the fastest for one file over many connections
    #[value(name = "1.1")]
    One,
    /// HTTP/2 only; over http it has to be known that the server speaks it
    #[value(name = "2")]
    Two,
    /// HTTP/2 where the server offers it, HTTP/1.1 elsewhere
    Auto,
}
