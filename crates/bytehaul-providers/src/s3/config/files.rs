//! The environment variables and the two files that Amazon's own tools read.

use std::collections::HashMap;
use std::path::PathBuf;

use url::Url;

use crate::s3::{S3Config, S3Credentials};
use crate::{ProtocolError, Secret};

/// The texts of the shared files of Amazon's tools, as far as they are there. Not shown by `Debug`.
#[derive(Clone, Copy, Default)]
pub struct SharedFiles<'a> {
    /// That of `~/.aws/credentials`.
    pub credentials: Option<&'a str>,
    /// That of `~/.aws/config`.
    pub config: Option<&'a str>,
}

impl std::fmt::Debug for SharedFiles<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedFiles")
            .field("credentials", &self.credentials.map(str::len))
            .field("config", &self.config.map(str::len))
            .finish()
    }
}

impl SharedFiles<'_> {
    /// Where the files are, credentials first: `AWS_SHARED_CREDENTIALS_FILE` and `AWS_CONFIG_FILE`, else in `.aws` at home.
    /// `None` where nothing says where that is.
    pub fn paths(lookup: impl Fn(&str) -> Option<String>) -> [Option<PathBuf>; 2] {
        let home = value(&lookup, "HOME").or_else(|| value(&lookup, "USERPROFILE"));
        let path = |variable: &str, name: &str| {
            let given = value(&lookup, variable).map(PathBuf::from);
            given.or_else(|| Some(PathBuf::from(home.as_ref()?).join(".aws").join(name)))
        };
        [
            path("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            path("AWS_CONFIG_FILE", "config"),
        ]
    }
}

impl S3Config {
    /// Reads `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION` (or `AWS_DEFAULT_REGION`),
    /// `AWS_ENDPOINT_URL_S3` (or `AWS_ENDPOINT_URL`), and what they leave open from the profile `AWS_PROFILE` (or `default`) of
    /// the files. Neither environment nor files are looked at by this function itself. An empty variable is one that is not
    /// set.
    ///
    /// What only a process, a browser or a service can give (`credential_process`, SSO, roles, metadata services) is for a
    /// [`ProvideCredentials`](crate::ProvideCredentials).
    ///
    /// # Errors
    /// [`Parameter`](crate::ProtocolErrorKind::Parameter): there are no credentials, or half of them, or the endpoint is no URL.
    pub fn from_env(
        lookup: impl Fn(&str) -> Option<String>,
        files: SharedFiles<'_>,
    ) -> Result<Self, ProtocolError> {
        let env = |name: &str| value(&lookup, name);
        let profile = env("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        let keys = section(files.credentials.unwrap_or_default(), &profile);
        let settings = section(files.config.unwrap_or_default(), &profile);
        let of_file = |name: &str| keys.get(name).or_else(|| settings.get(name)).cloned();

        let credentials = match (env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => Some((id, secret, env("AWS_SESSION_TOKEN"))),
            (None, None) => {
                match (
                    of_file("aws_access_key_id"),
                    of_file("aws_secret_access_key"),
                ) {
                    (Some(id), Some(secret)) => Some((id, secret, of_file("aws_session_token"))),
                    (None, None) => None,
                    (Some(_), None) | (None, Some(_)) => return Err(half("of the profile")),
                }
            }
            (Some(_), None) | (None, Some(_)) => return Err(half("of the environment")),
        };
        let Some((id, secret, token)) = credentials else {
            let reason = "none found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws/credentials";
            return Err(ProtocolError::parameter("credentials", reason));
        };
        let mut credentials = S3Credentials::new(id, Secret::new(secret));
        credentials.session_token = token.map(Secret::new);
        let mut config = Self::new(credentials);
        let region = env("AWS_REGION").or_else(|| env("AWS_DEFAULT_REGION"));
        config.region = region.or_else(|| of_file("region"));
        let endpoint = env("AWS_ENDPOINT_URL_S3").or_else(|| env("AWS_ENDPOINT_URL"));
        if let Some(endpoint) = endpoint.or_else(|| of_file("endpoint_url")) {
            let url = Url::parse(&endpoint);
            config.endpoint =
                Some(url.map_err(|error| ProtocolError::parameter("endpoint", error))?);
        }
        Ok(config)
    }
}

fn half(place: &str) -> ProtocolError {
    let reason = format!("of key id and secret {place} one is missing");
    ProtocolError::parameter("credentials", reason)
}

fn value(lookup: impl Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    lookup(name).filter(|value| !value.is_empty())
}

/// What a file says in the section of a profile, which is `[name]` or `[profile name]`; indented lines belong to the one
/// before them and are left out.
fn section(text: &str, profile: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut is_in = false;
    for line in text.lines() {
        let bare = line.trim();
        if bare.starts_with(['#', ';']) || bare.is_empty() {
            continue;
        }
        if let Some(name) = bare
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next())
        {
            let name = name.trim();
            let name = name.strip_prefix("profile ").unwrap_or(name).trim();
            is_in = name == profile;
        } else if is_in
            && !line.starts_with([' ', '\t'])
            && let Some((name, value)) = bare.split_once('=')
        {
            let value = value.trim();
            if !value.is_empty() {
                found.insert(name.trim().to_ascii_lowercase(), value.to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = "\
# made by hand
[default]
aws_access_key_id = AKFILE
aws_secret_access_key=file/secret==
[other]
aws_access_key_id = AKOTHER
aws_secret_access_key = other
aws_session_token = token
[half]
aws_access_key_id = AKHALF
";
    const SETTINGS: &str = "\
[default]
region = eu-west-1
s3 =
  endpoint_url = http://nested.test
[profile other]
region = eu-north-1
endpoint_url = http://other.test:9000
";

    /// Key id, secret, token, region and endpoint; or the error.
    fn read(env: &[(&str, &str)], files: SharedFiles<'_>) -> String {
        let lookup = |name: &str| {
            let found = env.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let config = match S3Config::from_env(lookup, files) {
            Ok(config) => config,
            Err(error) => return error.to_string(),
        };
        let keys = config.credentials.given().unwrap();
        let token = keys.session_token.as_ref().map(Secret::expose);
        let endpoint = config.endpoint.as_ref().map(Url::as_str);
        let region = config.region.as_deref();
        let all = [
            Some(&*keys.access_key_id),
            Some(keys.secret.expose()),
            token,
            region,
            endpoint,
        ];
        let all: Vec<_> = all.iter().map(|one| one.unwrap_or("-")).collect();
        all.join(" ")
    }

    #[test]
    fn the_environment_first_and_then_the_files() {
        let both = SharedFiles {
            credentials: Some(KEYS),
            config: Some(SETTINGS),
        };
        let check = |env: &[(&str, &str)], files: SharedFiles<'_>, expected: &str| {
            assert_eq!(read(env, files), expected, "{env:?}");
        };
        let none = SharedFiles::default();
        let keys = [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "s")];
        let with = |more: &[(&'static str, &'static str)]| [&keys[..], more].concat();
        check(&keys, none, "AK s - - -");
        check(&keys, both, "AK s - eu-west-1 -");
        check(&[], both, "AKFILE file/secret== - eu-west-1 -");
        check(
            &[("AWS_ACCESS_KEY_ID", "")],
            both,
            "AKFILE file/secret== - eu-west-1 -",
        );
        check(
            &[("AWS_PROFILE", "other")],
            both,
            "AKOTHER other token eu-north-1 http://other.test:9000/",
        );
        let more = with(&[
            ("AWS_SESSION_TOKEN", "t"),
            ("AWS_DEFAULT_REGION", "r2"),
            ("AWS_REGION", "r1"),
            ("AWS_ENDPOINT_URL", "http://a.test"),
            ("AWS_ENDPOINT_URL_S3", "http://b.test"),
        ]);
        check(&more, both, "AK s t r1 http://b.test/");
        let missing = "invalid credentials: none found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
                       or a profile in ~/.aws/credentials";
        check(&[], none, missing);
        check(&[("AWS_PROFILE", "nobody")], both, missing);
        check(
            &keys[..1],
            both,
            "invalid credentials: of key id and secret of the environment one is missing",
        );
        check(
            &[("AWS_PROFILE", "half")],
            both,
            "invalid credentials: of key id and secret of the profile one is missing",
        );
        check(
            &with(&[("AWS_ENDPOINT_URL", "nonsense")]),
            both,
            "invalid endpoint: relative URL without a base",
        );
    }

    #[test]
    fn where_the_files_are() {
        let check = |env: &[(&str, &str)], expected: [Option<&str>; 2]| {
            let lookup = |name: &str| {
                let found = env.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(
                SharedFiles::paths(lookup),
                expected.map(|path| path.map(PathBuf::from))
            );
        };
        check(&[], [None, None]);
        check(
            &[("HOME", "/h")],
            [Some("/h/.aws/credentials"), Some("/h/.aws/config")],
        );
        let own = [("HOME", "/h"), ("AWS_CONFIG_FILE", "/c")];
        check(&own, [Some("/h/.aws/credentials"), Some("/c")]);
    }
}
