//! A spec whose every field has been checked and turned into what the upload works with.

use std::sync::Arc;
use std::time::SystemTime;

use bytehaul_integrity::{Algorithm, Digest, Hasher};
use bytehaul_providers::{Object, UploadProtocol};
use bytehaul_schedule::RetryPolicy;
use bytehaul_transport::SafeUrl;
use http::{HeaderMap, HeaderValue};
use url::Url;

use crate::checksum::Checksum;
use crate::network::Network;
use crate::refresh::Refresh;
use crate::session::job::parse_headers;
use crate::spec::Durability;
use crate::upload::checkpoint::{Checkpoint, source_name};
use crate::upload::error::UploadError;
use crate::upload::spec::{CheckpointPlace, UploadSource, UploadSpec};

/// A checked upload.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) source: UploadSource,
    pub(crate) protocol: Arc<dyn UploadProtocol>,
    /// What the server is told; the length is filled in when the source is open.
    pub(crate) object: Object,
    /// Where to, redacted.
    pub(crate) target: String,
    /// The URL that errors name, redacted.
    pub(crate) safe_url: SafeUrl,
    pub(crate) source_name: String,
    pub(crate) identity: String,
    /// Where the caller's headers and credentials may go.
    pub(crate) endpoint: Option<Url>,
    pub(crate) headers: HeaderMap,
    pub(crate) auth: Option<HeaderValue>,
    pub(crate) refresher: Option<Arc<dyn Refresh>>,
    pub(crate) expires_at: Option<SystemTime>,
    pub(crate) parallel: usize,
    pub(crate) retry: RetryPolicy,
    pub(crate) begin_retry: RetryPolicy,
    pub(crate) speed: u64,
    pub(crate) digest: Option<Digest>,
    pub(crate) place: CheckpointPlace,
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) resume: Resume,
    pub(crate) completed: Completed,
    pub(crate) on_cancel: OnCancel,
    pub(crate) durability: Durability,
    pub(crate) network: Network,
}

/// What becomes of what an earlier run left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Resume {
    GoOn,
    Discard,
}

/// What becomes of the checkpoint of a complete upload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Completed {
    Keep,
    Remove,
}

/// What a cancelled upload does about what it has staged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OnCancel {
    Abort,
    Leave,
}

impl Job {
    /// Checks every field; nothing is sent or opened.
    pub(crate) fn new(spec: UploadSpec) -> Result<Self, UploadError> {
        let target = shown_target(&spec.protocol.target());
        let safe_url = safe_url(&*spec.protocol);
        let valid = spec.protocol.validate();
        valid.map_err(|error| UploadError::protocol(&safe_url, error))?;
        let capabilities = spec.protocol.capabilities();
        let name = name(&spec)?;
        if spec.max_connections > MAX_CONNECTIONS {
            let reason = format!("{} is more than {MAX_CONNECTIONS}", spec.max_connections);
            return Err(UploadError::parameter("connections", reason));
        }
        if matches!(spec.source, UploadSource::Reader(_)) && !capabilities.unknown_length {
            let reason = format!(
                "{} needs to know the length before it begins, which a stream does not tell",
                spec.protocol.name()
            );
            return Err(UploadError::parameter("source", reason));
        }
        if spec.checkpoints == CheckpointPlace::BesideSource
            && !matches!(spec.source, UploadSource::File(_))
        {
            let reason = "only a file has a place beside it";
            return Err(UploadError::parameter("checkpoints", reason));
        }
        let parallel = match (capabilities.parallel, spec.max_connections) {
            (false, _) => 1,
            (true, 0) => AUTOMATIC,
            (true, n) => n as usize,
        };
        let digest = spec.checksum.as_ref().map(Checksum::digest);
        let digest = digest.transpose()?;
        spec.network.check()?;
        let network = spec.connect_timeout.into_iter();
        let network = network.fold(spec.network.clone(), Network::connect_timeout);
        let network = spec
            .read_timeout
            .into_iter()
            .fold(network, Network::read_timeout);
        let identity = identity(&spec);
        let mut object = Object::new(&name, None);
        object.content_type = spec.content_type;
        object.metadata = spec.metadata;
        object.part_size = (spec.part_size > 0).then_some(spec.part_size);
        object.parallel = parallel;
        object.digest = digest;
        let retry = |retries| {
            RetryPolicy::default()
                .max_retries(retries)
                .base_delay(spec.retry_base_delay)
                .max_retry_after(spec.max_retry_after)
        };
        Ok(Self {
            object,
            target,
            safe_url,
            source_name: source_name(&spec.source, &name),
            identity,
            endpoint: spec.protocol.endpoint(),
            protocol: spec.protocol,
            source: spec.source,
            headers: parse_headers(&spec.headers)?,
            auth: spec.auth.map(|auth| auth.field()).transpose()?,
            refresher: spec.refresher,
            expires_at: spec.expires_at,
            parallel,
            retry: retry(spec.max_retries),
            begin_retry: retry(spec.max_begin_retries),
            speed: spec.max_upload_speed,
            digest,
            place: spec.checkpoints,
            checkpoint: spec.checkpoint,
            resume: match spec.resume {
                true => Resume::GoOn,
                false => Resume::Discard,
            },
            completed: match spec.keep_completed {
                true => Completed::Keep,
                false => Completed::Remove,
            },
            on_cancel: match spec.abort_on_cancel {
                true => OnCancel::Abort,
                false => OnCancel::Leave,
            },
            durability: spec.durability,
            network,
        })
    }
}

/// What tells one upload from another: protocol, target and source. Not what is shown of the target, in which long values
/// all look the same.
pub(crate) fn identity(spec: &UploadSpec) -> String {
    let target = target_identity(&spec.protocol.target());
    let name = name(spec).unwrap_or_default();
    let source = source_name(&spec.source, &name);
    format!("{} {target} {source}", spec.protocol.name())
}

pub(crate) fn target_identity(target: &str) -> String {
    let Ok(mut url) = Url::parse(target.trim()) else {
        return crate::session::shown(target);
    };
    // Some protocols have a second name there, which the identity of a URL leaves out. It is kept, so it is not kept as it is.
    if let Some(fragment) = url.fragment() {
        let digest = Hasher::digest(Algorithm::Sha256, fragment.as_bytes()).hex();
        url.set_fragment(None);
        url.query_pairs_mut().append_pair("fragment", &digest[..16]);
    }
    SafeUrl::from(url).identity()
}

/// A target as records show it: redacted, and whole, so that what was begun there can be found by it.
pub(crate) fn shown_target(target: &str) -> String {
    match Url::parse(target.trim()) {
        Ok(url) if url.has_host() => SafeUrl::from(url).redacted(),
        Ok(_) | Err(_) => crate::session::shown(target),
    }
}

/// A URL for messages; of a target that is none, a text in its place.
pub(crate) fn safe_url(protocol: &dyn UploadProtocol) -> SafeUrl {
    let target = protocol.target();
    let url = Url::parse(&target).ok().or_else(|| protocol.endpoint());
    match url {
        Some(url) => SafeUrl::from(&url),
        None => SafeUrl::from(&Url::parse("bytehaul:upload").expect("a constant URL")),
    }
}

fn name(spec: &UploadSpec) -> Result<String, UploadError> {
    let own = match &spec.source {
        // What has no name of its own, such as `..`, is no file either, which is told when it is opened.
        UploadSource::File(path) => {
            let own = path.file_name().unwrap_or(path.as_os_str());
            Some(own.to_string_lossy().into_owned())
        }
        UploadSource::Bytes(_) | UploadSource::Reader(_) => None,
    };
    match spec.name.clone().or(own) {
        Some(name) if !name.is_empty() => Ok(name),
        Some(_) | None => Err(UploadError::parameter("name", "it is empty")),
    }
}

/// Parts in flight where nothing is said: more than one hides the wait for each answer, more than these rarely help and cost memory.
const AUTOMATIC: usize = 4;

/// More would only be an attack on somebody.
const MAX_CONNECTIONS: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_target_is_kept_whole_and_without_secrets() {
        let path = "日".repeat(400);
        let kept = shown_target(&format!("https://u:hunter2@h/{path}?sig=0123456789&v=2"));
        assert!(
            kept.starts_with("https://h/%E6%97%A5") && kept.ends_with("?sig=***&v=2"),
            "{kept}"
        );
        assert_eq!(shown_target(&kept), kept);
    }
}
