//! Which object: bucket, key and endpoint, and the URLs that they make.

use std::fmt;

use url::{Host, Url};

use super::encoding;
use crate::ProtocolError;
use crate::s3::{Addressing, S3Config};

/// An object at an endpoint, in a region that may turn out to be another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Location {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) region: String,
    pub(super) kind: Kind,
    addressing: Addressing,
    /// One's own.
    endpoint: Option<Url>,
    /// That of the bucket, ending with a slash.
    base: Url,
}

/// Whose endpoint it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Amazon,
    Google,
    Other,
}

impl Location {
    /// An object by `s3://BUCKET/KEY`. The key is taken as it is, with all of its `%`, `?`, `+` and `#`.
    pub(super) fn new(name: &str, config: &S3Config) -> Result<Self, ProtocolError> {
        let (bucket, key) = split(name)?;
        check_key(key)?;
        Self::of_bucket(bucket, key, config)
    }

    /// A bucket, by `s3://BUCKET` or `s3://BUCKET/PREFIX`.
    pub(super) fn bucket(name: &str, config: &S3Config) -> Result<Self, ProtocolError> {
        let (bucket, prefix) = split(name)?;
        Self::of_bucket(bucket, prefix, config)
    }

    fn of_bucket(bucket: &str, key: &str, config: &S3Config) -> Result<Self, ProtocolError> {
        let fit = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if bucket.is_empty() || bucket.len() > 255 || !bucket.chars().all(fit) || is_dots(bucket) {
            let reason = "a bucket's name has letters, digits, dots and hyphens";
            return Err(ProtocolError::parameter("bucket", reason));
        }
        let kind = match &config.endpoint {
            None => Kind::Amazon,
            Some(url) if is_of(url, "storage.googleapis.com") => Kind::Google,
            Some(url) if is_of(url, "amazonaws.com") || is_of(url, "amazonaws.com.cn") => {
                Kind::Amazon
            }
            Some(_) => Kind::Other,
        };
        let region = match (&config.region, kind) {
            (Some(region), _) => region.clone(),
            (None, Kind::Google) => "auto".to_owned(),
            (None, Kind::Amazon | Kind::Other) => "us-east-1".to_owned(),
        };
        let base = base(bucket, &region, config.endpoint.as_ref(), config.addressing)?;
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            region,
            kind,
            addressing: config.addressing,
            endpoint: config.endpoint.clone(),
            base,
        })
    }

    /// The same object in the region that a server has named; `None`: it is not to be followed there.
    pub(super) fn in_region(&self, region: &str) -> Option<Self> {
        if region == self.region {
            return None;
        }
        let endpoint = self.endpoint.as_ref();
        Some(Self {
            base: base(&self.bucket, region, endpoint, self.addressing).ok()?,
            region: region.to_owned(),
            ..self.clone()
        })
    }

    /// The URL of the object, with this query; names and values as they are.
    pub(super) fn url(&self, query: &[(&str, &str)]) -> Result<Url, ProtocolError> {
        self.at(&self.key, query)
    }

    /// The URL of another object of the bucket.
    pub(super) fn at(&self, key: &str, query: &[(&str, &str)]) -> Result<Url, ProtocolError> {
        let path = format!(
            "{}{}",
            self.base.path(),
            encoding::encode_path(key.as_bytes())
        );
        let mut url = self.base.clone();
        url.set_path(&path);
        if url.path() != path {
            return Err(unfit());
        }
        let pairs = query.iter().map(|(name, value)| {
            let (name, value) = (name.as_bytes(), value.as_bytes());
            format!("{}={}", encoding::encode(name), encoding::encode(value))
        });
        let pairs: Vec<_> = pairs.collect();
        url.set_query((!pairs.is_empty()).then(|| pairs.join("&")).as_deref());
        Ok(url)
    }

    /// The URL of the bucket, with this query.
    pub(super) fn bucket_url(&self, query: &[(&str, &str)]) -> Result<Url, ProtocolError> {
        let mut url = self.at("", query)?;
        if url.path().len() > 1 && url.path().ends_with('/') {
            let path = url.path().trim_end_matches('/').to_owned();
            url.set_path(&path);
        }
        Ok(url)
    }

    pub(super) fn is_tls(&self) -> bool {
        self.base.scheme() == "https"
    }
}

impl fmt::Display for Location {
    /// The same text for each try at the same object, and another one for each other: what URLs give a meaning of its own is encoded
    /// in the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = encoding::encode_path(self.key.as_bytes());
        match &self.endpoint {
            None => write!(f, "s3://{}/{key}", self.bucket),
            Some(endpoint) => write!(
                f,
                "s3+{}/{}/{key}",
                endpoint.as_str().trim_end_matches('/'),
                self.bucket
            ),
        }
    }
}

fn split(name: &str) -> Result<(&str, &str), ProtocolError> {
    let scheme = name.get(..5).filter(|it| it.eq_ignore_ascii_case("s3://"));
    let Some(rest) = scheme.map(|_| &name[5..]) else {
        return Err(ProtocolError::parameter(
            "object",
            "it is written as s3://BUCKET/KEY",
        ));
    };
    Ok(rest.split_once('/').unwrap_or((rest, "")))
}

/// "Creating object key names", Amazon S3 User Guide; and what URLs allow.
fn check_key(key: &str) -> Result<(), ProtocolError> {
    if key.is_empty() || key.len() > 1024 {
        return Err(ProtocolError::parameter("key", "it has one to 1,024 bytes"));
    }
    match key.split('/').any(is_dots) {
        true => Err(unfit()),
        false => Ok(()),
    }
}

fn unfit() -> ProtocolError {
    let reason = "a URL cannot hold one with . or .. between slashes";
    ProtocolError::parameter("key", reason)
}

fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

fn is_of(url: &Url, domain: &str) -> bool {
    let host = url.host_str().unwrap_or_default();
    let before = host.strip_suffix(domain);
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn base(
    bucket: &str,
    region: &str,
    endpoint: Option<&Url>,
    addressing: Addressing,
) -> Result<Url, ProtocolError> {
    let word = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if region.is_empty() || region.len() > 64 || !region.chars().all(word) {
        return Err(ProtocolError::parameter(
            "region",
            "it is one word, such as eu-west-1",
        ));
    }
    let mut base = match endpoint {
        Some(endpoint) => endpoint.clone(),
        None => {
            let end = match region.starts_with("cn-") {
                true => ".cn",
                false => "",
            };
            let url = Url::parse(&format!("https://s3.{region}.amazonaws.com{end}/"));
            url.map_err(|error| ProtocolError::parameter("region", error))?
        }
    };
    let is_plain = base.username().is_empty()
        && base.password().is_none()
        && base.query().is_none()
        && base.fragment().is_none();
    if !matches!(base.scheme(), "http" | "https") || !is_plain {
        let reason = "it is http or https, a host, and a port and a path if need be";
        return Err(ProtocolError::parameter("endpoint", reason));
    }
    let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    // A certificate for *.s3.… covers no bucket with a dot.
    let is_label = bucket.len() <= 63 && bucket.chars().all(label);
    let in_host = match addressing {
        Addressing::Auto => endpoint.is_none() && is_label,
        Addressing::Path => false,
        Addressing::VirtualHost => true,
    };
    let mut path = base.path().trim_end_matches('/').to_owned();
    if in_host {
        let Some(Host::Domain(host)) = base.host() else {
            let reason = "a bucket's name cannot be put before an address";
            return Err(ProtocolError::parameter("endpoint", reason));
        };
        let host = format!("{bucket}.{host}");
        let set = base.set_host(Some(&host));
        set.map_err(|error| ProtocolError::parameter("bucket", error))?;
    } else {
        path.push('/');
        path.push_str(bucket);
    }
    path.push('/');
    base.set_path(&path);
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::S3Credentials;

    fn config() -> S3Config {
        S3Config::new(S3Credentials::new("AK", "s3cret"))
    }

    #[track_caller]
    fn check(name: &str, config: &S3Config, expected: Result<&str, &str>) {
        let url = Location::new(name, config).and_then(|at| at.url(&[]));
        let url = url.map(String::from).map_err(|error| error.to_string());
        assert_eq!(url.as_deref().map_err(String::as_str), expected, "{name}");
    }

    #[test]
    fn names_become_urls() {
        let amazon = config().region("eu-west-1");
        check(
            "s3://b/k",
            &amazon,
            Ok("https://b.s3.eu-west-1.amazonaws.com/k"),
        );
        check(
            "S3://b/a//b/",
            &amazon,
            Ok("https://b.s3.eu-west-1.amazonaws.com/a//b/"),
        );
        check(
            "s3://b//k",
            &amazon,
            Ok("https://b.s3.eu-west-1.amazonaws.com//k"),
        );
        check(
            "s3://b.c/a b+ü%2F?x#y",
            &amazon,
            Ok("https://s3.eu-west-1.amazonaws.com/b.c/a%20b%2B%C3%BC%252F%3Fx%23y"),
        );
        check(
            "s3://b/k",
            &config().region("cn-north-1"),
            Ok("https://b.s3.cn-north-1.amazonaws.com.cn/k"),
        );
        let own = config().endpoint("http://127.0.0.1:9000".parse().unwrap());
        check("s3://b/k", &own, Ok("http://127.0.0.1:9000/b/k"));
        let deep = config().endpoint("https://h.test/s3/".parse().unwrap());
        check("s3://b/k", &deep, Ok("https://h.test/s3/b/k"));
        let host = deep.addressing(Addressing::VirtualHost);
        check("s3://b/k", &host, Ok("https://b.h.test/s3/k"));
        let path = config().addressing(Addressing::Path);
        check(
            "s3://b/k",
            &path,
            Ok("https://s3.us-east-1.amazonaws.com/b/k"),
        );
        check(
            "s3://b/k",
            &own.addressing(Addressing::VirtualHost),
            Err("invalid endpoint: a bucket's name cannot be put before an address"),
        );
    }

    #[test]
    fn names_that_cannot_be() {
        let config = config();
        for name in ["", "s3:", "b/k", "http://b/k", "s3:/b/k", "ü3://b/k"] {
            check(
                name,
                &config,
                Err("invalid object: it is written as s3://BUCKET/KEY"),
            );
        }
        let bucket = "invalid bucket: a bucket's name has letters, digits, dots and hyphens";
        for name in [
            "s3:///k",
            "s3://a b/k",
            "s3://../k",
            "s3://a@b/k",
            "s3://a:1/k",
        ] {
            check(name, &config, Err(bucket));
        }
        let key = "invalid key: it has one to 1,024 bytes";
        check("s3://b", &config, Err(key));
        check("s3://b/", &config, Err(key));
        check(&format!("s3://b/{}", "k".repeat(1025)), &config, Err(key));
        let dots = "invalid key: a URL cannot hold one with . or .. between slashes";
        for name in ["s3://b/.", "s3://b/a/../b", "s3://b/a/.."] {
            check(name, &config, Err(dots));
        }
        // These are no dots to a URL.
        check(
            "s3://b/%2e%2E/...",
            &config,
            Ok("https://b.s3.us-east-1.amazonaws.com/%252e%252E/..."),
        );
        let region = "invalid region: it is one word, such as eu-west-1";
        check("s3://b/k", &config.clone().region("a.b/"), Err(region));
        let endpoint =
            "invalid endpoint: it is http or https, a host, and a port and a path if need be";
        for url in ["ftp://h/", "http://u:p@h/", "http://h/?q=1"] {
            let config = config.clone().endpoint(url.parse().unwrap());
            check("s3://b/k", &config, Err(endpoint));
        }
    }

    #[test]
    fn another_region_is_another_host_at_amazon_alone() {
        let at = Location::new("s3://b/k", &config()).unwrap();
        assert_eq!(at.in_region("us-east-1"), None);
        assert_eq!(at.in_region("evil.test/"), None);
        let moved = at.in_region("eu-west-1").unwrap();
        assert_eq!(
            moved.url(&[]).unwrap().host_str(),
            Some("b.s3.eu-west-1.amazonaws.com")
        );
        let own = config().endpoint("http://h.test/".parse().unwrap());
        let at = Location::new("s3://b/k", &own).unwrap();
        let moved = at.in_region("garage").unwrap();
        assert_eq!(moved.url(&[]).unwrap(), at.url(&[]).unwrap());
        assert_eq!(moved.region, "garage");
        assert_eq!(moved.to_string(), at.to_string());
    }

    #[test]
    fn urls_of_buckets() {
        let bucket = |config: &S3Config| {
            let at = Location::bucket("s3://b", config).unwrap();
            at.bucket_url(&[("uploads", "")]).unwrap().to_string()
        };
        assert_eq!(
            bucket(&config()),
            "https://b.s3.us-east-1.amazonaws.com/?uploads="
        );
        let own = config().endpoint("http://h.test/".parse().unwrap());
        assert_eq!(bucket(&own), "http://h.test/b?uploads=");
    }
}
