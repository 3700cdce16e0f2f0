//! Objects of providers: which one a URL names, and with whose credentials, by the environment and the usual files.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytehaul::protocol::azure::Existing as AzureExisting;
use bytehaul::protocol::oss::Existing as OssExisting;
use bytehaul::protocol::s3::{Addressing, SharedFiles};
use bytehaul::protocol::{
    Azure, AzureConfig, DownloadProtocol, Oss, OssConfig, OssDownload, ProtocolError, S3, S3Config,
    S3Download, UploadProtocol,
};

use crate::args::Protocol;
use crate::failure;
use crate::usage::UsageError;

/// Who keeps the objects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Provider {
    S3,
    Azure,
    Oss,
}

/// A provider, and what it takes to be let in. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    S3(S3Config),
    Azure(AzureConfig),
    Oss(OssConfig),
}

/// Where the bucket's name goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bucket {
    /// Wherever it usually does.
    Usual,
    /// Into the name of the host.
    InHost,
}

/// What becomes of an object that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Existing {
    Replace,
    Refuse,
}

impl Provider {
    /// The provider that the scheme of a URL names.
    pub(crate) fn of_url(url: &str) -> Option<Self> {
        let (scheme, _) = url.split_once("://")?;
        let mut all = [Self::S3, Self::Azure, Self::Oss].into_iter();
        all.find(|provider| provider.scheme().eq_ignore_ascii_case(scheme))
    }

    /// The provider of a protocol by its name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let mut all = [Self::S3, Self::Azure, Self::Oss].into_iter();
        all.find(|provider| provider.protocol().word() == name)
    }

    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Self::S3 => Protocol::S3,
            Self::Azure => Protocol::Azure,
            Self::Oss => Protocol::Oss,
        }
    }

    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Azure => "az",
            Self::Oss => "oss",
        }
    }

    /// The form of its URLs.
    pub(crate) fn form(self) -> &'static str {
        match self {
            Self::S3 => "s3://BUCKET/KEY",
            Self::Azure => "az://CONTAINER/BLOB",
            Self::Oss => "oss://BUCKET/KEY",
        }
    }
}

impl Store {
    /// The settings that the environment and the provider's own files name.
    pub(crate) fn new(
        provider: Provider,
        bucket: Bucket,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, UsageError> {
        if bucket == Bucket::InHost && provider != Provider::S3 {
            return Err(UsageError::new(format!(
                "--virtual-host has no meaning for {}://",
                provider.scheme()
            ))
            .hint("it is for s3"));
        }
        match provider {
            Provider::S3 => {
                let [keys, settings] = SharedFiles::paths(variable);
                let keys = keys.as_deref().map(text).transpose()?.flatten();
                let settings = settings.as_deref().map(text).transpose()?.flatten();
                let mut files = SharedFiles::default();
                (files.credentials, files.config) = (keys.as_deref(), settings.as_deref());
                let config = S3Config::from_env(variable, files).map_err(refused)?;
                Ok(Self::S3(match bucket {
                    Bucket::Usual => config,
                    Bucket::InHost => config.addressing(Addressing::VirtualHost),
                }))
            }
            Provider::Azure => AzureConfig::from_env(variable)
                .map(Self::Azure)
                .map_err(refused),
            Provider::Oss => {
                let [file, profile] = OssConfig::file_and_profile(variable);
                let file = file.as_deref().map(Path::new).map(text).transpose()?;
                let file = file.flatten().unwrap_or_default();
                OssConfig::from_env_and_file(variable, &file, profile.as_deref())
                    .map(Self::Oss)
                    .map_err(refused)
            }
        }
    }

    /// The upload to an object.
    pub(crate) fn upload(
        self,
        object: &str,
        existing: Existing,
    ) -> Result<Arc<dyn UploadProtocol>, ProtocolError> {
        let refuse = existing == Existing::Refuse;
        Ok(match self {
            Self::S3(config) => Arc::new(S3::new(object, config.if_none_match_any(refuse))?),
            Self::Azure(config) => {
                let existing = match existing {
                    Existing::Replace => AzureExisting::Replace,
                    Existing::Refuse => AzureExisting::Refuse,
                };
                Arc::new(Azure::new(object, config.existing(existing))?)
            }
            Self::Oss(config) => {
                let existing = match existing {
                    Existing::Replace => OssExisting::Replace,
                    Existing::Refuse => OssExisting::Refuse,
                };
                Arc::new(Oss::new(object, config.existing(existing))?)
            }
        })
    }

    /// The download of an object.
    pub(crate) fn download(self, object: &str) -> Result<Arc<dyn DownloadProtocol>, ProtocolError> {
        Ok(match self {
            Self::S3(config) => Arc::new(S3Download::new(object, config)?),
            Self::Azure(config) => Arc::new(Azure::new(object, config)?.download()),
            Self::Oss(config) => Arc::new(OssDownload::new(object, config)?),
        })
    }
}

/// The object that a URL names, its scheme in small letters. One that ends with a slash, or has no key at all, is a place for an
/// object of this name.
pub(crate) fn object(url: &str, name: Option<&str>) -> Result<String, UsageError> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let url = format!("{}://{rest}", scheme.to_ascii_lowercase());
    let is_place = rest.ends_with('/') || !rest.contains('/');
    match (is_place, name) {
        (false, _) => Ok(url),
        (true, Some(name)) => Ok(format!("{}/{name}", url.strip_suffix('/').unwrap_or(&url))),
        (true, None) => {
            let shown = url.escape_debug();
            Err(
                UsageError::new(format!("'{shown}' names no object, and no file names one"))
                    .hint("write the whole key"),
            )
        }
    }
}

/// The protocol of a record by its target, with the credentials that are there now; `None`: they are for another endpoint.
pub(crate) fn of_target(
    provider: Provider,
    target: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Arc<dyn UploadProtocol>>, UsageError> {
    for bucket in [Bucket::Usual, Bucket::InHost] {
        if bucket == Bucket::InHost && provider != Provider::S3 {
            continue;
        }
        let store = Store::new(provider, bucket, variable)?;
        for object in objects(provider, target) {
            let protocol = store.clone().upload(&object, Existing::Replace);
            if let Ok(protocol) = protocol
                && protocol.target() == target
            {
                return Ok(Some(protocol));
            }
        }
    }
    Ok(None)
}

/// The objects that a target may be of: it does not say where the endpoint ends and where the bucket begins.
fn objects(provider: Provider, target: &str) -> Vec<String> {
    if provider == Provider::Azure {
        return vec![target.to_owned()];
    }
    let scheme = provider.scheme();
    let Ok(url) = url::Url::parse(target) else {
        return Vec::new();
    };
    let decoded = |key: &str| {
        let key = percent_encoding::percent_decode_str(key).decode_utf8();
        key.map(std::borrow::Cow::into_owned).unwrap_or_default()
    };
    let path = url.path().strip_prefix('/').unwrap_or_default();
    let host = url.host_str().unwrap_or_default();
    if url.scheme() == scheme {
        return vec![format!("{scheme}://{host}/{}", decoded(path))];
    }
    let first = host.split('.').next().unwrap_or_default();
    let mut found = vec![format!("{scheme}://{first}/{}", decoded(path))];
    let mut rest = path;
    while let Some((segment, behind)) = rest.split_once('/').filter(|_| found.len() < MOST) {
        found.push(format!("{scheme}://{segment}/{}", decoded(behind)));
        rest = behind;
    }
    found
}

/// A file of a provider's tools, if it is there.
fn text(path: &Path) -> Result<Option<String>, UsageError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(UsageError::new(format!("read {}: {error}", path.display()))),
    }
}

pub(crate) fn refused(error: ProtocolError) -> UsageError {
    UsageError::new(failure::chain(&error))
}

/// Segments that an endpoint's own path may have, and some more.
const MOST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_objects_or_places() {
        let check = |url: &str, name: Option<&str>, expected: Option<&str>| {
            let object = object(url, name).ok();
            assert_eq!(object.as_deref(), expected, "{url}");
        };
        check("s3://b/k", None, Some("s3://b/k"));
        check("S3://b/K k?#%20+", Some("f"), Some("s3://b/K k?#%20+"));
        check("az://c/dir/", Some("a b"), Some("az://c/dir/a b"));
        check("oss://b/", Some("f"), Some("oss://b/f"));
        check("oss://b", Some("f"), Some("oss://b/f"));
        check("s3://b//", Some("f"), Some("s3://b//f"));
        check("s3://b/dir/", None, None);
        check("s3://b", None, None);
    }

    #[test]
    fn schemes_name_providers() {
        let check = |url: &str, expected| assert_eq!(Provider::of_url(url), expected, "{url}");
        check("s3://b/k", Some(Provider::S3));
        check("AZ://c/b", Some(Provider::Azure));
        check("oss://b/k", Some(Provider::Oss));
        for other in ["s3:/b", "https://s3/", "s3", "tus+s3://h/", ""] {
            check(other, None);
        }
    }

    #[test]
    fn records_are_of_objects_again() {
        let endpoint = |name: &str, url: &'static str| {
            let name = name.to_owned();
            move |wanted: &str| {
                let value = match wanted {
                    "AWS_ACCESS_KEY_ID" | "OSS_ACCESS_KEY_ID" => "ak",
                    "AWS_SECRET_ACCESS_KEY" | "OSS_ACCESS_KEY_SECRET" => "s3cret",
                    "OSS_REGION" => "cn-hangzhou",
                    "AZURE_STORAGE_ACCOUNT" => "acct",
                    "AZURE_STORAGE_KEY" => "c2VjcmV0",
                    _ if wanted == name && !url.is_empty() => url,
                    _ => return None,
                };
                Some(value.to_owned())
            }
        };
        let check = |provider: Provider, variable: &str, url: &'static str| {
            let variable = endpoint(variable, url);
            let scheme = provider.scheme();
            for key in ["k", "a b/c?d#e%20+ü", "x//y/z", "a/b/c/d/e/f/g/h/i/j"] {
                if provider == Provider::Oss && key.starts_with('/') {
                    continue;
                }
                let store = Store::new(provider, Bucket::Usual, &variable).unwrap();
                let object = format!("{scheme}://bucket/{key}");
                let to = store.upload(&object, Existing::Replace).unwrap();
                let again = of_target(provider, &to.target(), &variable).unwrap();
                let again = again.unwrap_or_else(|| panic!("{} is lost", to.target()));
                assert_eq!(again.target(), to.target());
                let other = endpoint("none", "");
                let other = of_target(provider, &to.target(), &other).unwrap();
                assert_eq!(other.is_none(), !url.is_empty());
            }
        };
        check(Provider::S3, "", "");
        check(Provider::S3, "AWS_ENDPOINT_URL", "http://127.0.0.1:9000");
        check(
            Provider::S3,
            "AWS_ENDPOINT_URL_S3",
            "https://h.test/deep/s3/",
        );
        check(Provider::Azure, "", "");
        let at = "http://127.0.0.1:10000/acct";
        check(Provider::Azure, "AZURE_STORAGE_SERVICE_ENDPOINT", at);
        check(Provider::Oss, "", "");
        check(Provider::Oss, "OSS_ENDPOINT", "http://127.0.0.1:9000");
        check(Provider::Oss, "OSS_ENDPOINT", "https://oss.example.test");
    }

    #[test]
    fn nothing_secret_is_shown() {
        let variable = |name: &str| match name {
            "AWS_ACCESS_KEY_ID" => Some("ak".to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("s3cret".to_owned()),
            _ => None,
        };
        let store = Store::new(Provider::S3, Bucket::Usual, &variable).unwrap();
        assert!(!format!("{store:?}").contains("s3cret"));
        let none = Store::new(Provider::S3, Bucket::Usual, &|_: &str| None).unwrap_err();
        assert!(none.to_string().contains("AWS_ACCESS_KEY_ID"), "{none}");
    }
}
