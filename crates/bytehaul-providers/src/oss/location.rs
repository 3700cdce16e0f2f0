//! Which object: bucket, key and endpoint, and the URLs that they make.

use std::fmt;

use url::{Host, Url};

use super::encoding;
use crate::ProtocolError;
use crate::oss::sign::Resource;
use crate::oss::{Addressing, OssConfig};

/// An object at an endpoint, in a region that may turn out to be another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Location {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) region: String,
    addressing: Addressing,
    /// That of the bucket, ending with a slash.
    base: Url,
    whose: Whose,
}

/// Whose endpoint it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    /// Alibaba's, of a region, which the bucket's name is enough to know again.
    Alibaba,
    Other,
}

impl Location {
    /// An object by `oss://BUCKET/KEY`. The key is taken as it is, with all of its `%`, `?`, `+` and `#`.
    pub(super) fn new(name: &str, config: &OssConfig) -> Result<Self, ProtocolError> {
        let (bucket, key) = split(name)?;
        check_key(key)?;
        Self::of_bucket(bucket, key, config)
    }

    /// A bucket, by `oss://BUCKET` or `oss://BUCKET/PREFIX`.
    pub(super) fn bucket(name: &str, config: &OssConfig) -> Result<Self, ProtocolError> {
        let (bucket, prefix) = split(name)?;
        Self::of_bucket(bucket, prefix, config)
    }

    fn of_bucket(bucket: &str, key: &str, config: &OssConfig) -> Result<Self, ProtocolError> {
        // "Bucket naming conventions", OSS user guide.
        let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let ends = bucket.starts_with('-') || bucket.ends_with('-');
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(fit) || ends {
            let reason = "a bucket's name has 3 to 63 small letters, digits and hyphens";
            return Err(ProtocolError::parameter("bucket", reason));
        }
        let endpoint = config.endpoint.as_deref().map(parse_endpoint).transpose()?;
        let named = endpoint.as_ref().and_then(region_of);
        let region = match (&config.region, named) {
            (Some(region), _) => region.strip_prefix("oss-").unwrap_or(region).to_owned(),
            (None, Some(region)) => region,
            (None, None) => {
                let reason = "none is set, and the endpoint names none (OSS_REGION)";
                return Err(ProtocolError::parameter("region", reason));
            }
        };
        check_region(&region)?;
        let whose = match &endpoint {
            None => Whose::Alibaba,
            Some(url) if region_of(url).is_some() => Whose::Alibaba,
            Some(_) => Whose::Other,
        };
        let endpoint = match endpoint {
            Some(endpoint) => endpoint,
            None => parse_endpoint(&format!("oss-{region}.aliyuncs.com"))?,
        };
        Ok(Self {
            base: base(bucket, endpoint, config.addressing)?,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            region,
            addressing: config.addressing,
            whose,
        })
    }

    /// The same object at the endpoint that a server has named; `None`: it is not to be followed there.
    pub(super) fn at_endpoint(&self, host: &str) -> Option<Self> {
        let is_fit = self.whose == Whose::Alibaba && self.addressing != Addressing::OwnDomain;
        let mut endpoint = parse_endpoint(host).ok().filter(|_| is_fit)?;
        let region = region_of(&endpoint).filter(|region| *region != self.region)?;
        check_region(&region).ok()?;
        // Who uses TLS goes on to use it, and who does not cannot be asked to.
        endpoint.set_scheme(self.base.scheme()).ok()?;
        Some(Self {
            base: base(&self.bucket, endpoint, self.addressing).ok()?,
            region,
            ..self.clone()
        })
    }

    /// The URL of the object, with this query; names and values as they are.
    pub(super) fn url(&self, query: &[(&str, &str)]) -> Result<Url, ProtocolError> {
        self.at(&self.key, query)
    }

    /// The URL of the bucket, with this query.
    pub(super) fn bucket_url(&self, query: &[(&str, &str)]) -> Result<Url, ProtocolError> {
        self.at("", query)
    }

    /// The URL of another object of the bucket.
    pub(super) fn at(&self, key: &str, query: &[(&str, &str)]) -> Result<Url, ProtocolError> {
        let path = format!("{}{}", self.base.path(), encoding::encode_path(key));
        let mut url = self.base.clone();
        url.set_path(&path);
        if url.path() != path {
            return Err(unfit());
        }
        let pairs: Vec<_> = query
            .iter()
            .map(|(name, value)| {
                let encoded = |text: &str| encoding::encode(text.as_bytes()).into_owned();
                (encoded(name), encoded(value))
            })
            .collect();
        url.set_query(
            (!pairs.is_empty())
                .then(|| encoding::query(&pairs))
                .as_deref(),
        );
        Ok(url)
    }

    pub(super) fn object(&self) -> Resource<'_> {
        Resource::object(&self.bucket, &self.key)
    }
}

impl fmt::Display for Location {
    /// The same text for each try at the same object, and another one for each other: what URLs give a meaning of its own is encoded
    /// in the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = encoding::encode_path(&self.key);
        match self.whose {
            Whose::Alibaba => write!(f, "oss://{}/{key}", self.bucket),
            Whose::Other => {
                let host = self.base.as_str().trim_end_matches('/');
                write!(f, "oss+{host}/{key}")
            }
        }
    }
}

fn split(name: &str) -> Result<(&str, &str), ProtocolError> {
    let scheme = name.get(..6).filter(|it| it.eq_ignore_ascii_case("oss://"));
    let Some(rest) = scheme.map(|_| &name[6..]) else {
        let reason = "it is written as oss://BUCKET/KEY";
        return Err(ProtocolError::parameter("object", reason));
    };
    Ok(rest.split_once('/').unwrap_or((rest, "")))
}

/// "Object naming conventions", OSS user guide; and what URLs allow.
fn check_key(key: &str) -> Result<(), ProtocolError> {
    if key.is_empty() || key.len() > MOST_IN_A_KEY {
        return Err(ProtocolError::parameter("key", "it has one to 1,023 bytes"));
    }
    if key.starts_with(['/', '\\']) {
        let reason = "it cannot begin with a slash or a backslash";
        return Err(ProtocolError::parameter("key", reason));
    }
    match key.split('/').any(|segment| matches!(segment, "." | "..")) {
        true => Err(unfit()),
        false => Ok(()),
    }
}

fn unfit() -> ProtocolError {
    let reason = "a URL cannot hold one with . or .. between slashes";
    ProtocolError::parameter("key", reason)
}

fn check_region(region: &str) -> Result<(), ProtocolError> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    match !region.is_empty() && region.len() <= 64 && region.chars().all(word) {
        true => Ok(()),
        false => {
            let reason = "it is one word, such as cn-hangzhou";
            Err(ProtocolError::parameter("region", reason))
        }
    }
}

fn parse_endpoint(text: &str) -> Result<Url, ProtocolError> {
    let reason = "it is a host, with http or https before it and a port behind it if need be";
    let refuse = || ProtocolError::parameter("endpoint", reason);
    let text = text.trim();
    let whole = match text.contains("://") {
        true => text.to_owned(),
        false => format!("https://{text}"),
    };
    let url = Url::parse(&whole).map_err(|_| refuse())?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.path() == "/";
    match matches!(url.scheme(), "http" | "https") && is_plain {
        true => Ok(url),
        false => Err(refuse()),
    }
}

/// The region of an endpoint of Alibaba's ([Regions and endpoints](https://help.aliyun.com/zh/oss/user-guide/regions-and-endpoints)).
fn region_of(endpoint: &Url) -> Option<String> {
    let host = endpoint.host_str()?.strip_suffix(".aliyuncs.com")?;
    let region = host
        .strip_suffix(".oss")
        .or_else(|| host.strip_prefix("oss-"))?;
    let region = region.strip_suffix("-internal").unwrap_or(region);
    // Those that are nearest to whoever asks, wherever the bucket is.
    let is_region = !region.starts_with("accelerate") && !region.contains('.');
    is_region.then(|| region.to_owned())
}

fn base(bucket: &str, endpoint: Url, addressing: Addressing) -> Result<Url, ProtocolError> {
    let mut base = endpoint;
    let is_name = matches!(base.host(), Some(Host::Domain(host)) if host != "localhost");
    let addressing = match (addressing, is_name) {
        (Addressing::Auto, true) => Addressing::VirtualHost,
        (Addressing::Auto, false) => Addressing::Path,
        (given, _) => given,
    };
    match addressing {
        Addressing::OwnDomain => (),
        Addressing::Path | Addressing::Auto => base.set_path(&format!("/{bucket}/")),
        Addressing::VirtualHost => {
            let Some(Host::Domain(host)) = base.host() else {
                let reason = "a bucket's name cannot be put before an address";
                return Err(ProtocolError::parameter("endpoint", reason));
            };
            let host = format!("{bucket}.{host}");
            let set = base.set_host(Some(&host));
            set.map_err(|error| ProtocolError::parameter("bucket", error))?;
        }
    }
    Ok(base)
}

const MOST_IN_A_KEY: usize = 1023;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oss::OssCredentials;

    fn config() -> OssConfig {
        OssConfig::new(OssCredentials::new("ak", "s3cret"))
    }

    #[track_caller]
    fn check(name: &str, config: &OssConfig, expected: Result<&str, &str>) {
        let at = Location::new(name, config);
        let shown = at.and_then(|at| Ok(format!("{} {} {at}", at.region, at.url(&[])?)));
        let shown = shown.map_err(|error| error.to_string());
        assert_eq!(shown.as_deref().map_err(String::as_str), expected, "{name}");
    }

    #[test]
    fn names_become_urls() {
        let hangzhou = config().region("cn-hangzhou");
        check(
            "oss://bkt/k",
            &hangzhou,
            Ok("cn-hangzhou https://bkt.oss-cn-hangzhou.aliyuncs.com/k oss://bkt/k"),
        );
        check(
            "OSS://bkt/a//b b/+ü%2F?x#y",
            &config().region("oss-cn-hangzhou"),
            Ok(
                "cn-hangzhou https://bkt.oss-cn-hangzhou.aliyuncs.com/a//b%20b/%2B%C3%BC%252F%3Fx%23y oss://bkt/a//b%20b/%2B%C3%BC%252F%3Fx%23y",
            ),
        );
        let inside = config().endpoint("http://oss-cn-beijing-internal.aliyuncs.com");
        check(
            "oss://bkt/k",
            &inside,
            Ok("cn-beijing http://bkt.oss-cn-beijing-internal.aliyuncs.com/k oss://bkt/k"),
        );
        check(
            "oss://bkt/k",
            &config().endpoint("cn-beijing.oss.aliyuncs.com"),
            Ok("cn-beijing https://bkt.cn-beijing.oss.aliyuncs.com/k oss://bkt/k"),
        );
        let own = hangzhou.clone().endpoint("http://127.0.0.1:9000");
        let at = "cn-hangzhou http://127.0.0.1:9000/bkt/k oss+http://127.0.0.1:9000/bkt/k";
        check("oss://bkt/k", &own, Ok(at));
        let host = hangzhou.clone().endpoint("https://oss.test/");
        let at = "cn-hangzhou https://bkt.oss.test/k oss+https://bkt.oss.test/k";
        check("oss://bkt/k", &host, Ok(at));
        let at = "cn-hangzhou https://oss.test/bkt/k oss+https://oss.test/bkt/k";
        check(
            "oss://bkt/k",
            &host.clone().addressing(Addressing::Path),
            Ok(at),
        );
        let at = "cn-hangzhou https://oss.test/k oss+https://oss.test/k";
        check(
            "oss://bkt/k",
            &host.addressing(Addressing::OwnDomain),
            Ok(at),
        );
        check(
            "oss://bkt/k",
            &own.addressing(Addressing::VirtualHost),
            Err("invalid endpoint: a bucket's name cannot be put before an address"),
        );
    }

    #[test]
    fn names_that_cannot_be() {
        let config = config().region("r");
        for name in [
            "",
            "oss:",
            "bkt/k",
            "s3://bkt/k",
            "oss:/bkt/k",
            "öss://bkt/k",
        ] {
            let object = "invalid object: it is written as oss://BUCKET/KEY";
            check(name, &config, Err(object));
        }
        for bucket in [
            "",
            "ab",
            "Abc",
            "a.b",
            "-abc",
            "abc-",
            "a@b",
            &"a".repeat(64),
        ] {
            let reason =
                "invalid bucket: a bucket's name has 3 to 63 small letters, digits and hyphens";
            check(&format!("oss://{bucket}/k"), &config, Err(reason));
        }
        let key = "invalid key: it has one to 1,023 bytes";
        check("oss://bkt", &config, Err(key));
        check(
            &format!("oss://bkt/{}", "k".repeat(1024)),
            &config,
            Err(key),
        );
        assert!(Location::new(&format!("oss://bkt/{}", "k".repeat(1023)), &config).is_ok());
        for name in ["oss://bkt//k", "oss://bkt/\\k"] {
            let reason = "invalid key: it cannot begin with a slash or a backslash";
            check(name, &config, Err(reason));
        }
        for name in ["oss://bkt/.", "oss://bkt/a/../b", "oss://bkt/a/.."] {
            let dots = "invalid key: a URL cannot hold one with . or .. between slashes";
            check(name, &config, Err(dots));
        }
        for endpoint in [
            "",
            "ftp://h",
            "http://u:p@h",
            "h/path",
            "h?s3cret",
            "h\u{1}i x",
        ] {
            let reason = "invalid endpoint: it is a host, with http or https before it and a port behind it if need be";
            check(
                "oss://bkt/k",
                &config.clone().endpoint(endpoint),
                Err(reason),
            );
        }
        let none = "invalid region: none is set, and the endpoint names none (OSS_REGION)";
        let nowhere = self::config().endpoint("oss-accelerate.aliyuncs.com");
        check("oss://bkt/k", &nowhere, Err(none));
        let odd = "invalid region: it is one word, such as cn-hangzhou";
        check("oss://bkt/k", &config.region("a/b"), Err(odd));
    }

    #[test]
    fn other_endpoints_are_followed_at_alibaba_alone() {
        let check = |from: OssConfig, host: &str, expected: Option<&str>| {
            let at = Location::new("oss://bkt/k", &from).unwrap();
            let moved = at.at_endpoint(host);
            let shown = moved.map(|moved| format!("{} {}", moved.region, moved.url(&[]).unwrap()));
            assert_eq!(shown.as_deref(), expected, "{host}");
        };
        let hangzhou = || config().region("cn-hangzhou");
        let beijing = "oss-cn-beijing.aliyuncs.com";
        check(
            hangzhou(),
            beijing,
            Some("cn-beijing https://bkt.oss-cn-beijing.aliyuncs.com/k"),
        );
        check(
            config().endpoint("http://oss-cn-hangzhou.aliyuncs.com"),
            beijing,
            Some("cn-beijing http://bkt.oss-cn-beijing.aliyuncs.com/k"),
        );
        check(hangzhou(), "oss-cn-hangzhou.aliyuncs.com", None);
        check(hangzhou(), "evil.test", None);
        check(hangzhou(), "oss-cn-x.aliyuncs.com.evil.test", None);
        check(hangzhou(), "oss-a.b.aliyuncs.com", None);
        check(hangzhou().endpoint("http://127.0.0.1:1"), beijing, None);
    }

    #[test]
    fn urls_of_buckets() {
        let url = |config: OssConfig| {
            let at = Location::bucket("oss://bkt", &config.region("r")).unwrap();
            at.bucket_url(&[("uploads", ""), ("prefix", "a b")])
                .unwrap()
                .to_string()
        };
        assert_eq!(
            url(config()),
            "https://bkt.oss-r.aliyuncs.com/?uploads&prefix=a%20b"
        );
        let own = config().endpoint("http://127.0.0.1:1");
        assert_eq!(url(own), "http://127.0.0.1:1/bkt/?uploads&prefix=a%20b");
    }
}
