//! How to speak to OSS: where it is, who asks, and what is made there.

use std::path::Path;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::oss::OssCredentials;
use crate::{CredentialSource, Object, ProtocolError};

/// Everything that an OSS protocol needs besides the object's name. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct OssConfig {
    pub(super) credentials: CredentialSource<OssCredentials>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) addressing: Addressing,
    pub(super) existing: Existing,
    pub(super) part_size: Option<u64>,
    pub(super) least_part: u64,
    /// Fields that go with the creation of the object.
    pub(super) headers: HeaderMap,
}

/// Where the bucket's name goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Addressing {
    /// Into the host; into the path where the endpoint is an address or `localhost`.
    #[default]
    Auto,
    /// Into the path.
    Path,
    /// Into the host.
    VirtualHost,
    /// Nowhere: the endpoint is the bucket's own domain (CNAME).
    OwnDomain,
}

/// What happens when the object exists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Existing {
    /// It is replaced, in one step.
    #[default]
    Replace,
    /// The upload fails (`x-oss-forbid-overwrite: true`), and the object stays as it is.
    Refuse,
}

impl OssConfig {
    /// Settings with these credentials and the defaults of everything else. Either [`region`](Self::region) or an
    /// [`endpoint`](Self::endpoint) that names one has to be set.
    pub fn new(credentials: impl Into<CredentialSource<OssCredentials>>) -> Self {
        Self {
            credentials: credentials.into(),
            region: None,
            endpoint: None,
            addressing: Addressing::default(),
            existing: Existing::default(),
            part_size: None,
            least_part: LEAST_PART,
            headers: HeaderMap::new(),
        }
    }

    /// Sets the region, such as `cn-hangzhou`; `oss-cn-hangzhou` is the same. Default: that of the endpoint.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Sets the endpoint, without the bucket, such as `oss-cn-hangzhou-internal.aliyuncs.com` (then by `https`) or
    /// `http://127.0.0.1:9000`. Default: the region's public one.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Sets where the bucket's name goes. Default: [`Addressing::Auto`].
    #[must_use]
    pub fn addressing(mut self, addressing: Addressing) -> Self {
        self.addressing = addressing;
        self
    }

    /// Sets what happens when the object exists. Default: it is replaced when all is there.
    #[must_use]
    pub fn existing(mut self, existing: Existing) -> Self {
        self.existing = existing;
        self
    }

    /// Sets the bytes of one part where the upload does not say. Default 8 MiB; at least 100 KiB, and more for an object that
    /// would else have more than 10,000 parts. What is not larger than a part goes in one request.
    #[must_use]
    pub fn part_size(mut self, bytes: u64) -> Self {
        self.part_size = Some(bytes);
        self
    }

    /// Sets what no part but the last is smaller than, for stores that take less than OSS. Default 100 KiB.
    #[must_use]
    pub fn least_part(mut self, bytes: u64) -> Self {
        self.least_part = bytes;
        self
    }

    /// Sets a field that goes with the creation of the object, such as `x-oss-storage-class`, `x-oss-object-acl`,
    /// `x-oss-server-side-encryption` or `cache-control`. `Debug` shows its name alone: its value
    /// may be a key.
    #[must_use]
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.insert(name, value);
        self
    }

    /// The settings that an environment names, where `lookup` gives a variable's value: `OSS_ACCESS_KEY_ID`,
    /// `OSS_ACCESS_KEY_SECRET`, and where they are set `OSS_SESSION_TOKEN`, `OSS_REGION`, `OSS_ENDPOINT`. Empty ones do not count.
    ///
    /// # Errors
    /// There is no key. No value is in the error.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ProtocolError> {
        Self::found(|name| lookup(name.in_environment))
    }

    /// The same with what `ossutil` keeps in `~/.ossutilconfig` for what the environment leaves out: `accessKeyID`,
    /// `accessKeySecret`, `stsToken`, `region` and `endpoint` of the section `[Credentials]`, `[default]` or `[profile NAME]`.
    /// Key, secret and token are taken from one of the two, never from both.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env). What is no such file has no settings.
    pub fn from_env_and_file(
        lookup: impl Fn(&str) -> Option<String>,
        file: &str,
        profile: Option<&str>,
    ) -> Result<Self, ProtocolError> {
        let has_key = [KEY_ID, KEY_SECRET].iter();
        let has_key = has_key
            .filter_map(|name| lookup(name.in_environment))
            .any(|value| !value.trim().is_empty());
        Self::found(|name| {
            let given = lookup(name.in_environment).filter(|value| !value.trim().is_empty());
            match name.is_of_key && has_key {
                true => given,
                false => given.or_else(|| of_file(file, profile, name.in_file)),
            }
        })
    }

    /// Where that file is, and which profile of it counts: `OSSUTIL_CONFIG_FILE`, or else `.ossutilconfig` at home, and
    /// `OSSUTIL_PROFILE`. `None` where nothing says so.
    pub fn file_and_profile(lookup: impl Fn(&str) -> Option<String>) -> [Option<String>; 2] {
        let of = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let at_home = || {
            let home = of("HOME").or_else(|| of("USERPROFILE"))?;
            let file = Path::new(&home).join(".ossutilconfig");
            file.to_str().map(str::to_owned)
        };
        [
            of("OSSUTIL_CONFIG_FILE").or_else(at_home),
            of("OSSUTIL_PROFILE"),
        ]
    }

    fn found(lookup: impl Fn(Name) -> Option<String>) -> Result<Self, ProtocolError> {
        let of = |name: Name| {
            let value = lookup(name)?.trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let (Some(id), Some(secret)) = (of(KEY_ID), of(KEY_SECRET)) else {
            let reason = "none are there (OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET)";
            return Err(ProtocolError::parameter("credentials", reason));
        };
        let mut credentials = OssCredentials::new(id, secret);
        if let Some(token) = of(TOKEN) {
            credentials = credentials.security_token(token);
        }
        let mut config = Self::new(credentials);
        config.region = of(REGION);
        config.endpoint = of(ENDPOINT);
        Ok(config)
    }

    /// What requests are signed with, for machines that are handed the credentials.
    pub fn credential_source(&self) -> &CredentialSource<OssCredentials> {
        &self.credentials
    }

    /// The fields of the creation for an object with these properties.
    pub(super) fn creation(&self, object: &Object) -> Result<HeaderMap, ProtocolError> {
        let mut headers = self.headers.clone();
        if let Some(media) = &object.content_type {
            let value = HeaderValue::from_str(media);
            let value = value.map_err(|_| ProtocolError::parameter("content type", UNFIT))?;
            headers.insert(CONTENT_TYPE, value);
        }
        let mut size = 0;
        for (name, value) in &object.metadata {
            size += name.len() + value.len();
            let field = HeaderName::try_from(format!("x-oss-meta-{name}"));
            let text = HeaderValue::from_str(value);
            let (Ok(field), Ok(text), true) = (field, text, value.is_ascii()) else {
                return Err(ProtocolError::parameter("metadata", UNFIT));
            };
            if headers.insert(field, text).is_some() {
                let reason =
                    "one name twice; OSS knows no difference between capitals and small letters";
                return Err(ProtocolError::parameter("metadata", reason));
            }
        }
        match size > MOST_METADATA {
            true => Err(ProtocolError::parameter("metadata", "more than 8 KiB")),
            false => Ok(headers),
        }
    }
}

/// Where a setting is found.
#[derive(Clone, Copy)]
struct Name {
    in_environment: &'static str,
    /// In small letters.
    in_file: &'static str,
    /// Whether it belongs to one key with others.
    is_of_key: bool,
}

/// A setting of a file of `ossutil`.
fn of_file(file: &str, profile: Option<&str>, name: &str) -> Option<String> {
    let is_wanted = |section: &str| match profile {
        Some(profile) => {
            section == profile || section.strip_prefix("profile ").map(str::trim) == Some(profile)
        }
        None => section.eq_ignore_ascii_case("credentials") || section == "default",
    };
    let mut is_here = false;
    for line in file.lines().map(str::trim) {
        if let Some(section) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            is_here = is_wanted(section.trim());
            continue;
        }
        if let Some((key, value)) = line.split_once('=').filter(|_| is_here)
            && key.trim().eq_ignore_ascii_case(name)
            && !value.trim().is_empty()
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

const fn name(in_environment: &'static str, in_file: &'static str, is_of_key: bool) -> Name {
    Name {
        in_environment,
        in_file,
        is_of_key,
    }
}

const KEY_ID: Name = name("OSS_ACCESS_KEY_ID", "accesskeyid", true);
const KEY_SECRET: Name = name("OSS_ACCESS_KEY_SECRET", "accesskeysecret", true);
const TOKEN: Name = name("OSS_SESSION_TOKEN", "ststoken", true);
const REGION: Name = name("OSS_REGION", "region", false);
const ENDPOINT: Name = name("OSS_ENDPOINT", "endpoint", false);

const LEAST_PART: u64 = 100 << 10;
const UNFIT: &str = "not fit for a header field, where OSS keeps it";
/// Names and values together ([PutObject](https://help.aliyun.com/zh/oss/developer-reference/putobject)).
const MOST_METADATA: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, region and endpoint, and whether there is a token.
    fn shown(config: Result<OssConfig, ProtocolError>) -> String {
        let Ok(config) = config else {
            return "refused".to_owned();
        };
        assert!(!format!("{config:?}").contains("s3cret"));
        let key = config.credentials.given().unwrap();
        let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let token = if key.security_token.is_some() {
            " token"
        } else {
            ""
        };
        format!(
            "{} {} {}{token}",
            key.access_key_id,
            or(&config.region),
            or(&config.endpoint)
        )
    }

    fn lookup<'a>(variables: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |wanted| {
            let mut all = variables.iter();
            let found = all.find(|(name, _)| format!("OSS_{name}") == wanted);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    const KEY: [(&str, &str); 2] = [("ACCESS_KEY_ID", "ak"), ("ACCESS_KEY_SECRET", "s3cret")];

    #[test]
    fn environments() {
        let check = |more: &[(&str, &str)], expected: &str| {
            let variables = [&KEY[..], more].concat();
            assert_eq!(shown(OssConfig::from_env(lookup(&variables))), expected);
        };
        check(&[], "ak - -");
        check(&[("REGION", " cn-beijing ")], "ak cn-beijing -");
        check(
            &[("ENDPOINT", "h"), ("SESSION_TOKEN", "t"), ("REGION", "")],
            "ak - h token",
        );
        for half in [&[][..], &KEY[..1], &KEY[1..]] {
            assert_eq!(shown(OssConfig::from_env(lookup(half))), "refused");
        }
    }

    #[test]
    fn files() {
        let file = "[Credentials]\nlanguage=EN\nendpoint = oss-cn-hangzhou.aliyuncs.com\naccessKeyID= one\n\
            accessKeySecret = s3cret\nstsToken=t\n[profile b]\naccessKeyId=two\naccessKeySecret=s3cret\nregion=r\n[x\n=";
        let check = |variables: &[(&str, &str)], profile: Option<&str>, expected: &str| {
            let config = OssConfig::from_env_and_file(lookup(variables), file, profile);
            assert_eq!(shown(config), expected, "{variables:?} {profile:?}");
        };
        check(&[], None, "one - oss-cn-hangzhou.aliyuncs.com token");
        check(&[("REGION", "q")], Some("b"), "two q -");
        check(&[], Some("c"), "refused");
        // The token of one key is none of another.
        check(&KEY, None, "ak - oss-cn-hangzhou.aliyuncs.com");
        check(&KEY[..1], None, "refused");
    }

    #[test]
    fn metadata_goes_into_fields() {
        let config = OssConfig::new(OssCredentials::new("ak", "s3cret"));
        let check = |metadata: &[(&str, &str)], expected: Result<&str, &str>| {
            let mut object = Object::new("f", Some(1));
            let owned = metadata.iter();
            object.metadata = owned.map(|(n, v)| ((*n).into(), (*v).into())).collect();
            object.content_type = Some("a/b".into());
            let made = config.creation(&object);
            let made = made.map(|headers| {
                let shown = headers
                    .iter()
                    .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()));
                shown.collect::<Vec<_>>().join(" ")
            });
            let made = made.map_err(|error| error.to_string());
            assert_eq!(made.as_deref().map_err(String::as_str), expected);
        };
        check(&[], Ok("content-type=a/b"));
        check(&[("Own", "x y")], Ok("content-type=a/b x-oss-meta-own=x y"));
        let unfit = "invalid metadata: not fit for a header field, where OSS keeps it";
        for (name, value) in [("a b", "x"), ("a", "ü"), ("a", "x\r\ny: z")] {
            check(&[(name, value)], Err(unfit));
        }
        let twice = "invalid metadata: one name twice; OSS knows no difference between capitals and small letters";
        check(&[("a", "1"), ("A", "2")], Err(twice));
        let long = "x".repeat(8 << 10);
        check(&[("a", &long)], Err("invalid metadata: more than 8 KiB"));
    }

    #[test]
    fn nothing_secret_is_shown() {
        let name = HeaderName::from_static("x-oss-server-side-encryption-key");
        let config = OssConfig::new(OssCredentials::new("ak", "s3cret"))
            .region("cn-hangzhou")
            .header(name.clone(), HeaderValue::from_static("s3cret"));
        let protocol = crate::oss::Oss::new("oss://bucket/key", config.clone()).unwrap();
        for shown in [format!("{config:?}"), format!("{protocol:?}")] {
            assert!(!shown.contains("s3cret"), "{shown}");
            assert!(shown.contains(name.as_str()), "{shown}");
        }
    }
}
