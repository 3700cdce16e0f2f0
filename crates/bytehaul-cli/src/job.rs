//! From arguments as typed to what is to be done: every argument is checked here, before anything is tried.

mod google;
pub(crate) mod protocol;
pub(crate) mod provider;
pub(crate) mod put;
#[cfg(feature = "queue")]
pub(crate) mod queue;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use bytehaul::{
    Auth, Checksum, DownloadSpec, Downloader, DownloaderBuilder, ErrorKind, FileAllocation,
    FollowMetalink, Mirror, Overwrite, SafeUrl,
};
use http::{HeaderName, HeaderValue};
use url::Url;

use crate::args::{Allocation, GetArgs, NetworkArgs};
use crate::input;
use crate::job::provider::{Bucket, Provider, Store};
use crate::metalink;
use crate::network;
use crate::refresh;
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
}

/// One file.
#[derive(Debug)]
pub(crate) struct Job {
    /// The URL as it may be shown.
    pub(crate) url: String,
    pub(crate) spec: DownloadSpec,
}

impl Job {
    /// Whether it is let in with the credentials of a provider.
    pub(crate) fn is_provided(&self) -> bool {
        self.spec.protocol.is_some()
    }
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
    let template = template(&args, token(&variable)?)?;
    let listed = metalink::read(&args.metalink, &args.dir)?;
    let urls = all_urls(args.urls, args.input_file.as_deref(), &listed)?;
    check_single(
        urls.len() + listed.len(),
        args.output.as_deref(),
        template.checksum.as_ref(),
        &template.mirrors,
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
    let bucket = match args.virtual_host {
        true => Bucket::InHost,
        false => Bucket::Usual,
    };
    let mut jobs = Vec::with_capacity(urls.len() + listed.len());
    for url in urls {
        let refresh = args.refresh_command.as_deref();
        jobs.push(match Provider::of_url(&url) {
            Some(provider) => {
                no_refresh(provider, refresh)?;
                let object = provider::object(&url, None)?;
                let store = Store::new(provider, bucket, &variable)?;
                provided(&object, store, &template)?
            }
            None => job(url, &template, refresh)?,
        });
    }
    for file in listed {
        jobs.push(listed_job(file, &template)?);
    }
    let mut downloader = Downloader::builder().network(network::settings(&args.network)?);
    if let Some(rate) = args.transfer.limit_rate {
        downloader = downloader.max_download_speed(rate.0);
    }
    Ok(Plan {
        downloader,
        jobs,
        at_once: usize::from(args.jobs),
        destination,
    })
}

/// What all files of the command have in common; only the URL is missing.
fn template(args: &GetArgs, auth: Option<Auth>) -> Result<DownloadSpec, UsageError> {
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
    spec.max_retry_after = args.transfer.max_retry_after.0;
    spec.mirrors = args
        .mirror
        .iter()
        .map(|url| http_url(url).map(|_| Mirror::from(url.as_str())))
        .collect::<Result<_, _>>()?;
    spec.follow_metalink = match (args.no_metalink, args.describedby) {
        (true, _) => FollowMetalink::Off,
        (false, false) => FollowMetalink::Headers,
        (false, true) => FollowMetalink::HeadersAndDescription,
    };
    spec.verify_declared = !args.no_provider_checksum;
    spec.checksum = args
        .transfer
        .checksum
        .as_deref()
        .map(checksum)
        .transpose()?;
    spec.headers = headers(&args.network)?;
    spec.auth = auth;
    Ok(spec)
}

/// The token of the environment, if there is one.
pub(crate) fn token(
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Option<Auth>, UsageError> {
    variable(BEARER)
        .map(|token| bearer(token.trim()))
        .transpose()
}

/// The headers of the command line.
pub(crate) fn headers(args: &NetworkArgs) -> Result<Vec<(String, String)>, UsageError> {
    args.header.iter().map(|text| header(text)).collect()
}

fn bearer(token: &str) -> Result<Auth, UsageError> {
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(UsageError::new(format!(
            "{BEARER} holds no token that can be sent"
        )));
    }
    Ok(Auth::bearer(token))
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

fn all_urls(
    typed: Vec<String>,
    input_file: Option<&Path>,
    listed: &[DownloadSpec],
) -> Result<Vec<String>, UsageError> {
    let mut urls = typed;
    if let Some(file) = input_file {
        urls.extend(input::read(file)?);
    }
    if urls.is_empty() && listed.is_empty() {
        return Err(UsageError::new("there is no URL").hint("name one, or a file of them with -i"));
    }
    Ok(urls)
}

/// What makes sense for one file only.
fn check_single(
    files: usize,
    output: Option<&Path>,
    checksum: Option<&Checksum>,
    mirrors: &[Mirror],
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
    if files > 1 && !mirrors.is_empty() {
        return Err(UsageError::new(format!(
            "--mirror is a source of one file, and there are {files} URLs"
        )));
    }
    Ok(())
}

fn job(url: String, template: &DownloadSpec, refresh: Option<&str>) -> Result<Job, UsageError> {
    let parsed = http_url(&url)?;
    let shown = SafeUrl::from(&parsed).to_string();
    let mut spec = template.clone();
    spec.refresher = refresh.map(|program| refresh::command(program.to_owned(), url.clone()));
    spec.url = url;
    checked(shown, spec)
}

/// An object of a provider, whose requests are signed: neither headers nor a token are meant for it.
fn provided(object: &str, store: Store, template: &DownloadSpec) -> Result<Job, UsageError> {
    let protocol = store.download(object).map_err(provider::refused)?;
    let mut spec = template.clone();
    spec.headers.clear();
    spec.auth = None;
    spec.url = protocol.target();
    let shown = SafeUrl::from(&http_url(&spec.url)?).to_string();
    spec.protocol = Some(protocol);
    checked(shown, spec)
}

fn no_refresh(provider: Provider, refresh: Option<&str>) -> Result<(), UsageError> {
    match refresh {
        None => Ok(()),
        Some(_) => Err(UsageError::new(format!(
            "--refresh-command has no meaning for {}://, whose credentials are those of the environment",
            provider.scheme()
        ))),
    }
}

/// A file of a Metalink file: its sources are that file's, so neither headers nor a token are meant for them.
fn listed_job(file: DownloadSpec, template: &DownloadSpec) -> Result<Job, UsageError> {
    let shown = SafeUrl::from(&http_url(&file.url)?).to_string();
    let mut spec = template.clone();
    spec.headers.clear();
    spec.auth = None;
    spec.output_path = spec.output_path.or(file.output_path);
    spec.checksum = spec.checksum.or(file.checksum);
    spec.piece_hashes = file.piece_hashes;
    spec.expected_size = file.expected_size;
    spec.url = file.url;
    spec.mirrors.extend(file.mirrors);
    checked(shown, spec)
}

fn checked(shown: String, spec: DownloadSpec) -> Result<Job, UsageError> {
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
        scheme if scheme.starts_with("tus+") => Err(UsageError::new(format!(
            "{scheme}:// is for uploads, which 'bytehaul put' makes"
        ))),
        scheme => Err(UsageError::new(format!(
            "'{shown}' has the scheme '{scheme}', which is not http or https"
        ))),
    }
}

/// What may be shown of a text that was meant to be a URL: neither a user's name and password nor a query.
fn presentable(text: &str) -> String {
    let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (format!("{scheme}://"), rest),
        Some(_) | None => (String::new(), text),
    };
    // A password may hold a `?` or a `#` that should have been encoded, so the `@` comes first.
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let place = rest.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}{place}").escape_debug().to_string()
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

/// The variable with a token: an argument would be seen by everybody on this machine.
const BEARER: &str = "BYTEHAUL_BEARER";

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
