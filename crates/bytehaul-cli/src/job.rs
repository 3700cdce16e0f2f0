//! From arguments as typed to what is to be done: every argument is checked here, before anything is tried.

use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use bytehaul::{
    Checksum, DownloadSpec, Downloader, DownloaderBuilder, ErrorKind, FileAllocation, Overwrite,
    SafeUrl,
};
use http::{HeaderName, HeaderValue};
use url::Url;

use crate::args::{Allocation, GetArgs, NetworkArgs, TransferArgs};
use crate::input;
use crate::proxy::ProxyVariables;
use crate::usage::UsageError;
use crate::values::Connections;

/// All that a `get` is to do.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) downloader: DownloaderBuilder,
    pub(crate) jobs: Vec<Job>,
    /// Files at once.
    pub(crate) at_once: usize,
    pub(crate) destination: Destination,
    pub(crate) proxies: ProxyVariables,
}

/// One file.
#[derive(Debug)]
pub(crate) struct Job {
    /// The URL as it may be shown.
    pub(crate) url: String,
    pub(crate) spec: DownloadSpec,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Destination {
    Files,
    Stdout,
}

/// Turns the arguments of `get` into a plan. `variable` reads the environment.
pub(crate) fn resolve(
    args: GetArgs,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Plan, UsageError> {
    refuse_what_is_not_built(&args)?;
    let template = template(&args)?;
    let proxies = ProxyVariables::read(variable, args.network.no_proxy.as_deref());
    let urls = all_urls(args.urls, args.input_file.as_deref())?;
    check_single(
        urls.len(),
        args.output.as_deref(),
        template.checksum.as_ref(),
    )?;
    let destination = match args.output.as_deref() {
        Some(path) if path == Path::new("-") => Destination::Stdout,
        Some(_) | None => Destination::Files,
    };
    if destination == Destination::Stdout && args.display.json {
        return Err(UsageError::new(
            "'-o -' and --json would both write to stdout",
        ));
    }
    let mut jobs = Vec::with_capacity(urls.len());
    for url in urls {
        jobs.push(job(url, &template, &proxies)?);
    }
    let downloader = downloader(&args.network, &args.transfer)?;
    Ok(Plan {
        downloader,
        jobs,
        at_once: usize::from(args.jobs),
        destination,
        proxies,
    })
}

/// Names the first thing that parses but is not built, so that it is never ignored in silence.
fn refuse_what_is_not_built(args: &GetArgs) -> Result<(), UsageError> {
    let network = &args.network;
    let used = [
        ("--proxy", network.proxy.is_some()),
        ("--insecure", network.insecure),
        ("--cert", network.cert.is_some()),
        ("--key", network.key.is_some()),
        ("--mirror", !args.mirror.is_empty()),
    ];
    match used.into_iter().find(|(_, used)| *used) {
        Some((option, _)) => Err(UsageError::unsupported(option)),
        None => Ok(()),
    }
}

/// What all files of the command have in common; only the URL is missing.
fn template(args: &GetArgs) -> Result<DownloadSpec, UsageError> {
    let mut spec = DownloadSpec::new(String::new());
    spec.output_path = args.output.as_deref().map(|path| target(path, &args.dir));
    spec.output_dir = args.dir.clone();
    spec.max_connections = match args.connections {
        Connections::Auto => 0,
        Connections::AtMost(limit) => limit.get(),
    };
    spec.piece_size = args.piece_size.map_or(0, |size| size.0);
    spec.min_split_size = args.min_split_size.0;
    spec.file_allocation = match args.file_allocation {
        Allocation::None => FileAllocation::None,
        Allocation::Prealloc => FileAllocation::Prealloc,
    };
    spec.resume = !args.no_resume;
    spec.overwrite = if args.overwrite {
        Overwrite::Replace
    } else {
        Overwrite::Refuse
    };
    spec.max_retries = args.transfer.retries;
    spec.retry_base_delay = args.transfer.retry_delay.0;
    spec.checksum = args
        .transfer
        .checksum
        .as_deref()
        .map(checksum)
        .transpose()?;
    spec.headers = args
        .network
        .header
        .iter()
        .map(|text| header(text))
        .collect::<Result<_, _>>()?;
    Ok(spec)
}

/// The target of `-o`; a relative one lies in the directory of `-d`, as curl and aria2 have it.
fn target(path: &Path, dir: &Path) -> PathBuf {
    if path == Path::new("-") || dir == Path::new(".") {
        return path.to_owned();
    }
    dir.join(path)
}

fn checksum(text: &str) -> Result<Checksum, UsageError> {
    text.parse().map_err(|error: bytehaul::DownloadError| {
        UsageError::new(error.to_string())
            .hint("write it as ALGO=VALUE, such as sha-256=<64 hex digits>")
    })
}

/// Reads `Name: value`. The value is never repeated in an error, since it may be a secret.
fn header(text: &str) -> Result<(String, String), UsageError> {
    let Some((name, value)) = text.split_once(':') else {
        return Err(UsageError::new("invalid header: there is no colon in it")
            .hint("write it as 'Name: value'"));
    };
    let (name, value) = (name.trim(), value.trim());
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(UsageError::new(format!(
            "invalid header: '{}' is not a header name",
            name.escape_debug()
        )));
    }
    if HeaderValue::from_str(value).is_err() {
        return Err(UsageError::new(format!(
            "invalid header: the value of '{name}' holds a control character"
        )));
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn all_urls(typed: Vec<String>, input_file: Option<&Path>) -> Result<Vec<String>, UsageError> {
    let mut urls = typed;
    if let Some(file) = input_file {
        urls.extend(input::read(file)?);
    }
    if urls.is_empty() {
        return Err(UsageError::new("there is no URL").hint("name one, or a file of them with -i"));
    }
    Ok(urls)
}

/// What makes sense for one file only.
fn check_single(
    files: usize,
    output: Option<&Path>,
    checksum: Option<&Checksum>,
) -> Result<(), UsageError> {
    if files > 1 && output.is_some() {
        return Err(UsageError::new(format!(
            "--output names one target, and there are {files} URLs"
        ))
        .hint("use -d to name a directory for all of them"));
    }
    if files > 1 && checksum.is_some() {
        return Err(UsageError::new(format!(
            "--checksum is that of one file, and there are {files} URLs"
        )));
    }
    Ok(())
}

fn job(url: String, template: &DownloadSpec, proxies: &ProxyVariables) -> Result<Job, UsageError> {
    let parsed = http_url(&url)?;
    let shown = SafeUrl::from(&parsed).to_string();
    if let Some(variable) = proxies.covering(&parsed) {
        let host = parsed.host_str().unwrap_or_default();
        return Err(UsageError::new(format!(
            "{variable} asks for a proxy to {shown}, and proxies are not supported by this version"
        ))
        .hint(format!(
            "connect directly with --no-proxy {host}, or unset {variable}"
        )));
    }
    let mut spec = template.clone();
    spec.url = url;
    match spec.validate() {
        Err(error) if error.kind() == ErrorKind::Parameter => {
            Err(UsageError::new(error.to_string()))
        }
        // What is wrong with this machine belongs to that one file.
        Ok(()) | Err(_) => Ok(Job { url: shown, spec }),
    }
}

fn http_url(text: &str) -> Result<Url, UsageError> {
    let shown = presentable(text);
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            return Err(
                UsageError::new(format!("'{shown}' is not a URL: the scheme is missing"))
                    .hint(format!("did you mean https://{shown}")),
            );
        }
        Err(error) => return Err(UsageError::new(format!("'{shown}' is not a URL: {error}"))),
    };
    match url.scheme() {
        "http" | "https" => Ok(url),
        scheme if LATER_SCHEMES.contains(&scheme) => {
            Err(UsageError::unsupported(format!("{scheme}://")))
        }
        scheme => Err(UsageError::new(format!(
            "'{shown}' has the scheme '{scheme}', which is not http or https"
        ))),
    }
}

/// What may be shown of a text that was meant to be a URL: neither a user's name and password nor a query.
fn presentable(text: &str) -> String {
    let place = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = match place.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), place),
    };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    format!("{scheme}{rest}").escape_debug().to_string()
}

fn downloader(
    network: &NetworkArgs,
    transfer: &TransferArgs,
) -> Result<DownloaderBuilder, UsageError> {
    let mut builder = Downloader::builder()
        .connect_timeout(network.connect_timeout.0)
        .read_timeout(network.read_timeout.0)
        .enable_ipv6(!network.no_ipv6);
    if let Some(rate) = transfer.limit_rate {
        builder = builder.max_download_speed(rate.0);
    }
    if !network.dns_server.is_empty() {
        let servers: Result<Vec<_>, _> = network
            .dns_server
            .iter()
            .map(|text| dns_server(text))
            .collect();
        builder = builder.dns_servers(servers?);
    }
    if let Some(file) = &network.cacert {
        let pem = std::fs::read(file).map_err(|error| {
            UsageError::new(format!(
                "read certificates from {}: {error}",
                file.display()
            ))
        })?;
        builder = builder.add_root_certificates(pem);
    }
    Ok(builder)
}

fn dns_server(text: &str) -> Result<SocketAddr, UsageError> {
    let address = text.parse().or_else(|_| {
        text.parse::<IpAddr>()
            .map(|ip| SocketAddr::new(ip, DNS_PORT))
    });
    address.map_err(|_| {
        UsageError::new(format!("'{text}' is not the address of a name server"))
            .hint("write IP or IP:PORT, and [IP]:PORT for IPv6")
    })
}

/// The name of a file as a bar or a line shows it.
pub(crate) fn short_name<'a>(path: Option<&'a Path>, url: &'a str) -> &'a str {
    let from_path = path.and_then(Path::file_name).and_then(OsStr::to_str);
    let from_url = || {
        url.split(['?', '#'])
            .next()
            .and_then(|url| url.rsplit('/').find(|part| !part.is_empty()))
    };
    from_path.or_else(from_url).unwrap_or(url)
}

const DNS_PORT: u16 = 53;
/// Schemes of protocols that later versions bring.
const LATER_SCHEMES: [&str; 5] = ["s3", "az", "oss", "tus+http", "tus+https"];

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
