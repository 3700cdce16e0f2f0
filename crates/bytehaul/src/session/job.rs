//! A spec whose every field has been checked and turned into what the session works with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytehaul_integrity::Digest;
use bytehaul_providers::DownloadProtocol;
use bytehaul_schedule::RetryPolicy;
use bytehaul_transport::SafeUrl;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::error::DownloadError;
use crate::network::Network;
use crate::piece_hashes::PieceHashes;
use crate::refresh::Refresh;
use crate::spec::{
    DownloadSpec, Durability, FileAllocation, FollowMetalink, OnRemoteChange, Overwrite,
};

/// A checked download.
pub(crate) struct Job {
    pub(crate) url: Url,
    pub(crate) safe_url: SafeUrl,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) headers: HeaderMap,
    /// The value of `Authorization`.
    pub(crate) auth: Option<HeaderValue>,
    pub(crate) refresher: Option<Arc<dyn Refresh>>,
    pub(crate) expires_at: Option<SystemTime>,
    pub(crate) protocol: Option<Arc<dyn DownloadProtocol>>,
    pub(crate) place: Place,
    pub(crate) connections: Connections,
    pub(crate) piece_size: Option<u64>,
    pub(crate) min_split: u64,
    pub(crate) allocation: FileAllocation,
    pub(crate) resume: Resume,
    pub(crate) on_change: OnRemoteChange,
    pub(crate) overwrite: Overwrite,
    pub(crate) retry: RetryPolicy,
    pub(crate) speed: u64,
    pub(crate) digest: Option<Digest>,
    pub(crate) verify_declared: bool,
    pub(crate) pieces: Option<PieceHashes>,
    pub(crate) size: Option<u64>,
    pub(crate) follow_metalink: FollowMetalink,
    /// What it sets itself, its own timeouts among it.
    pub(crate) network: Network,
    pub(crate) durability: Durability,
    pub(crate) memory: usize,
}

/// Where the file goes.
#[derive(Debug)]
pub(crate) enum Place {
    /// The caller named it.
    Named(PathBuf),
    /// The server or the URL names it, in this directory.
    Automatic { directory: PathBuf },
}

/// What to take over from an earlier run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Resume {
    /// Nothing.
    Never,
    /// What a validator proves to be of the same version.
    Proven,
    /// Also what only the URL and the length speak for.
    Trusting,
}

/// A further source.
#[derive(Debug)]
#[expect(dead_code, reason = "one source is used so far")]
pub(crate) struct Mirror {
    pub(crate) url: Url,
    /// 1 is the best.
    pub(crate) priority: u32,
    pub(crate) location: Option<String>,
}

impl Resume {
    /// What to take over of this very run.
    pub(crate) fn max_of_own(self) -> Self {
        match self {
            Self::Never => Self::Proven,
            Self::Proven | Self::Trusting => self,
        }
    }
}

/// How many connections a download may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Connections {
    Automatic,
    AtMost(u32),
}

impl Job {
    /// Checks every field; nothing is sent or opened.
    pub(crate) fn new(spec: DownloadSpec) -> Result<Self, DownloadError> {
        let url = parse_url("URL", &spec.url)?;
        let safe_url = SafeUrl::from(&url);
        let place = match spec.output_path {
            // `.`, `..` and `/` name directories; the error is the same as for one with a name of its own.
            Some(path) if path.file_name().is_none() => {
                return Err(bytehaul_storage::Error::TargetIsDirectory { path }.into());
            }
            Some(path) => Place::Named(path),
            None => Place::Automatic {
                directory: spec.output_dir,
            },
        };
        let memory = usize::try_from(spec.memory_budget).unwrap_or(usize::MAX);
        if memory < MIN_MEMORY {
            let reason = format!("{memory} bytes are too few, the least is {MIN_MEMORY}");
            return Err(DownloadError::parameter("memory budget", reason));
        }
        if spec.max_connections > MAX_CONNECTIONS {
            let reason = format!("{} is more than {MAX_CONNECTIONS}", spec.max_connections);
            return Err(DownloadError::parameter("connections", reason));
        }
        let retry = RetryPolicy::default()
            .max_retries(spec.max_retries)
            .base_delay(spec.retry_base_delay)
            .max_retry_after(spec.max_retry_after);
        Ok(Self {
            headers: parse_headers(&spec.headers)?,
            auth: spec.auth.map(|auth| auth.field()).transpose()?,
            refresher: spec.refresher,
            expires_at: spec.expires_at,
            protocol: spec.protocol.clone(),
            url,
            safe_url,
            mirrors: parse_mirrors(spec.mirrors)?,
            place,
            connections: match spec.max_connections {
                0 => Connections::Automatic,
                n => Connections::AtMost(n),
            },
            piece_size: (spec.piece_size > 0).then_some(spec.piece_size),
            min_split: spec.min_split_size,
            allocation: spec.file_allocation,
            resume: match (spec.resume, spec.resume_without_validator) {
                (false, _) => Resume::Never,
                (true, false) => Resume::Proven,
                (true, true) => Resume::Trusting,
            },
            on_change: spec.on_remote_change,
            overwrite: spec.overwrite,
            retry,
            speed: spec.max_download_speed,
            digest: spec
                .checksum
                .map(|checksum| checksum.digest())
                .transpose()?,
            verify_declared: spec.verify_declared,
            size: expected_size(
                planned_size(spec.expected_size, spec.protocol.as_deref())?,
                spec.piece_hashes.as_ref(),
            )?,
            pieces: spec.piece_hashes,
            follow_metalink: spec.follow_metalink,
            network: network(spec.network, spec.connect_timeout, spec.read_timeout)?,
            durability: spec.durability,
            memory,
        })
    }

    /// Compares the length of the file that a server has, as far as it is known, with what was asked for.
    pub(crate) fn check_len(&self, url: &SafeUrl, len: Option<u64>) -> Result<(), DownloadError> {
        let url = || url.clone();
        match (self.size, &self.pieces, len) {
            (Some(expected), _, Some(actual)) if expected != actual => {
                Err(DownloadError::SizeMismatch {
                    url: url(),
                    expected,
                    actual,
                })
            }
            (_, Some(pieces), Some(len)) if !pieces.fits(len) => Err(DownloadError::BadResponse {
                url: url(),
                what: format!(
                    "a file of {len} bytes, which does not have {} pieces of {} bytes",
                    pieces.count(),
                    pieces.piece_length()
                ),
                retries: 0,
            }),
            _ => Ok(()),
        }
    }
}

/// The size that the caller, or else the protocol, knows.
fn planned_size(
    size: Option<u64>,
    protocol: Option<&dyn DownloadProtocol>,
) -> Result<Option<u64>, DownloadError> {
    match (size, protocol.and_then(DownloadProtocol::total_size)) {
        (Some(size), Some(planned)) if size != planned => {
            let reason = format!("{size} bytes are not the {planned} of the protocol");
            Err(DownloadError::parameter("expected size", reason))
        }
        (size, planned) => Ok(size.or(planned)),
    }
}

/// The expected size, when the piece hashes can be those of a file of that size.
fn expected_size(
    size: Option<u64>,
    pieces: Option<&PieceHashes>,
) -> Result<Option<u64>, DownloadError> {
    match (size, pieces) {
        (Some(size), Some(pieces)) if !pieces.fits(size) => {
            let reason = format!(
                "{} of {} bytes each are not those of a file of {size} bytes",
                pieces.count(),
                pieces.piece_length()
            );
            Err(DownloadError::parameter("piece hashes", reason))
        }
        (size, _) => Ok(size),
    }
}

pub(crate) fn parse_url(name: &'static str, text: &str) -> Result<Url, DownloadError> {
    let url = Url::parse(text.trim()).map_err(|reason| {
        DownloadError::parameter(name, format!("{}: {reason}", super::shown(text)))
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        let reason = format!(
            "{}: the scheme {} is not http or https",
            super::shown(text),
            url.scheme()
        );
        return Err(DownloadError::parameter(name, reason));
    }
    Ok(url)
}

fn parse_mirrors(mirrors: Vec<crate::Mirror>) -> Result<Vec<Mirror>, DownloadError> {
    let parse = |mirror: crate::Mirror| {
        if !(BEST..=LAST).contains(&mirror.priority) {
            let reason = format!("{} is not from {BEST} to {LAST}", mirror.priority);
            return Err(DownloadError::parameter("mirror priority", reason));
        }
        Ok(Mirror {
            url: parse_url("mirror", &mirror.url)?,
            priority: mirror.priority,
            location: mirror.location,
        })
    };
    mirrors.into_iter().map(parse).collect()
}

fn network(
    network: Network,
    connect: Option<Duration>,
    read: Option<Duration>,
) -> Result<Network, DownloadError> {
    network.check()?;
    let network = connect.into_iter().fold(network, Network::connect_timeout);
    Ok(read.into_iter().fold(network, Network::read_timeout))
}

pub(crate) fn parse_headers(fields: &[(String, String)]) -> Result<HeaderMap, DownloadError> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| {
            DownloadError::parameter("header", format!("{name:?} is not a header name"))
        })?;
        if OURS.contains(&name.as_str()) {
            return Err(DownloadError::parameter(
                "header",
                format!("{name} is set by the transfer itself"),
            ));
        }
        // The value may be a secret, so it is not repeated.
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| {
            DownloadError::parameter(
                "header",
                format!("the value of {name} has characters that cannot be sent"),
            )
        })?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// Headers that decide which bytes come and how they are framed, or that are for others than the server.
const OURS: [&str; 13] = [
    "range",
    "if-range",
    "accept-encoding",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "proxy-authorization",
    "proxy-connection",
];

const MIN_MEMORY: usize = 64 * 1024;

/// The priorities of Metalink (RFC 5854, section 4.2.16.2).
const BEST: u32 = 1;
const LAST: u32 = 999_999;

/// More would only be an attack on somebody.
const MAX_CONNECTIONS: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut DownloadSpec), expected: &str) {
        let mut spec = DownloadSpec::new(
            "http://user:secret@example.com/a?sig=secretsecretsecretsecretsecret",
        );
        change(&mut spec);
        let text = match Job::new(spec) {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(
            text.contains(expected),
            "{text} does not contain {expected}"
        );
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn bad_fields_are_found_before_anything_is_sent() {
        check(|_| (), "ok");
        check(|s| s.url = "not a url".into(), "invalid URL");
        check(
            |s| s.url = "ftp://user:secret@example.com/".into(),
            "ftp is not http",
        );
        check(|s| s.url = String::new(), "invalid URL");
        check(|s| s.output_path = Some("..".into()), "is a directory");
        check(|s| s.memory_budget = 1, "too few");
        check(|s| s.max_connections = 1000, "more than 256");
        check(
            |s| s.headers.push(("bad name".into(), "x".into())),
            "not a header name",
        );
        check(
            |s| s.headers.push(("x-token".into(), "secret\n".into())),
            "ok",
        );
        check(
            |s| s.headers.push(("x-token".into(), "se\ncret".into())),
            "cannot be sent",
        );
        check(
            |s| s.headers.push(("Range".into(), "bytes=0-".into())),
            "set by the transfer",
        );
        check(
            |s| {
                let header = ("Proxy-Authorization".into(), "secret".into());
                s.headers.push(header);
            },
            "set by the transfer",
        );
        check(
            |s| s.mirrors.push("http://user:secret@:x/".into()),
            "invalid mirror",
        );
        check(
            |s| s.mirrors.push(crate::Mirror::new("http://h/").priority(0)),
            "invalid mirror priority",
        );
        check(
            |s| s.network = Network::default().user_agent("a\nb"),
            "invalid user agent",
        );
        check(
            |s| s.checksum = Some(crate::Checksum::Md5("12".into())),
            "invalid checksum",
        );
    }
}
