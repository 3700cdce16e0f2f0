//! Which blob: of `az://` and of full URLs, and how names are written in URLs.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use crate::{ProtocolError, Secret};

/// A blob of a container, at the endpoint of its account.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// With the account in its path where the endpoint is no host of its own; without a slash at the end, query or fragment.
    endpoint: String,
    container: String,
    blob: String,
    url: Url,
}

impl Address {
    /// Reads `az://container/blob`, where `blob` is taken as it is, or the URL of a blob, where it is percent-encoded. What
    /// comes second is the SAS of a URL that has one.
    pub(super) fn parse(
        text: &str,
        endpoint: Option<&str>,
        account: Option<&str>,
    ) -> Result<(Self, Option<Secret>), ProtocolError> {
        if let Some(rest) = text.strip_prefix("az://") {
            let (container, blob) = rest
                .split_once('/')
                .ok_or_else(|| refuse("az:// needs a container and a blob, az://container/blob"))?;
            let endpoint = match (endpoint, account) {
                (Some(endpoint), _) => Endpoint::parse(endpoint)?,
                (None, Some(account)) => Endpoint::of_account(account)?,
                (None, None) => {
                    let reason = "az:// needs an account or an endpoint (AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_CONNECTION_STRING)";
                    return Err(ProtocolError::parameter("account", reason));
                }
            };
            return Ok((Self::new(endpoint, container, blob)?, None));
        }
        let url = parsed(text)?;
        let sas = match url.query() {
            None | Some("") => None,
            Some(query) if is_sas(query) => Some(Secret::new(query)),
            Some(_) => return Err(refuse("its query is no shared access signature")),
        };
        let endpoint = Endpoint::around(&url);
        let path = url.path().strip_prefix(&endpoint.path).unwrap_or_default();
        let path = path.strip_prefix('/').unwrap_or(path);
        let (container, blob) = match path.split_once('/') {
            Some((container, blob)) => (decoded(container), decoded(blob)),
            // A blob of the container that needs no name.
            None => ("$root".to_owned(), decoded(path)),
        };
        Ok((Self::new(endpoint, &container, &blob)?, sas))
    }

    /// Whether the credentials of this endpoint, or else of this account in the public cloud, are for it.
    pub(super) fn is_at(
        &self,
        endpoint: Option<&str>,
        account: Option<&str>,
    ) -> Result<bool, ProtocolError> {
        let theirs = match (endpoint, account) {
            (Some(endpoint), _) => Endpoint::parse(endpoint)?,
            (None, Some(account)) => Endpoint::of_account(account)?,
            (None, None) => return Ok(false),
        };
        let theirs = format!("{}{}/", theirs.origin, theirs.path);
        Ok(self.url.as_str().starts_with(&theirs))
    }

    fn new(endpoint: Endpoint, container: &str, blob: &str) -> Result<Self, ProtocolError> {
        let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-$".contains(c);
        if container.is_empty() || container.len() > 63 || !container.chars().all(is_letter) {
            return Err(refuse(
                "its container has no name that a container can have",
            ));
        }
        if blob.is_empty() || blob.chars().count() > MOST_IN_A_NAME {
            let reason = format!("the blob needs a name of 1 to {MOST_IN_A_NAME} characters");
            return Err(refuse(&reason));
        }
        if blob.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(refuse(
                "a URL cannot hold a blob name with . or .. between slashes",
            ));
        }
        let root = format!("{}{}", endpoint.origin, endpoint.path);
        let text = format!("{root}/{}/{}", encoded(container), path_encoded(blob));
        let url = Url::parse(&text).map_err(|error| refuse(&error.to_string()))?;
        Ok(Self {
            endpoint: root,
            container: container.to_owned(),
            blob: blob.to_owned(),
            url,
        })
    }

    /// The blob's URL, without any right to it.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The URL with this query, which is encoded already.
    pub(super) fn with_query(&self, query: &str) -> Url {
        let mut url = self.url.clone();
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        url
    }

    /// The container's URL.
    pub(super) fn container_url(&self) -> Url {
        let text = format!("{}/{}", self.endpoint, encoded(&self.container));
        Url::parse(&text).expect("a blob in it has a URL")
    }

    /// Another blob of the container.
    pub(super) fn of(&self, blob: &str) -> Result<Self, ProtocolError> {
        let endpoint = Endpoint {
            origin: self.endpoint.clone(),
            path: String::new(),
        };
        Self::new(endpoint, &self.container, blob)
    }

    pub(super) fn container(&self) -> &str {
        &self.container
    }

    pub(super) fn blob(&self) -> &str {
        &self.blob
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.endpoint, self.container, self.blob)
    }
}

/// The root of an account's containers.
struct Endpoint {
    origin: String,
    /// Empty, or with a slash in front and none at the end.
    path: String,
}

impl Endpoint {
    fn parse(text: &str) -> Result<Self, ProtocolError> {
        let url =
            Url::parse(text.trim()).map_err(|error| ProtocolError::parameter("endpoint", error))?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() {
            let reason = "it is not an http or https URL without a query";
            return Err(ProtocolError::parameter("endpoint", reason));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        Ok(Self {
            origin: url.origin().ascii_serialization(),
            path,
        })
    }

    fn of_account(account: &str) -> Result<Self, ProtocolError> {
        Self::parse(&format!("https://{account}.{PUBLIC}"))
    }

    /// That of a blob's URL: emulators, which are known by their address, have the account in the path.
    fn around(url: &Url) -> Self {
        let in_path = match url.host() {
            Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
            Some(Host::Domain(name)) => name == "localhost" || name.parse::<IpAddr>().is_ok(),
            None => false,
        };
        let account = url.path().split('/').nth(1).filter(|_| in_path);
        Self {
            origin: url.origin().ascii_serialization(),
            path: account.map_or_else(String::new, |account| format!("/{account}")),
        }
    }
}

fn parsed(text: &str) -> Result<Url, ProtocolError> {
    // Nothing of the text is repeated: it may hold a signature.
    let url = Url::parse(text.trim()).map_err(|error| refuse(&error.to_string()))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err(refuse("it is neither az:// nor http:// nor https://")),
    }
}

/// Whether a query carries a signature.
pub(super) fn is_sas(query: &str) -> bool {
    query.split('&').any(|pair| pair.starts_with("sig="))
}

/// Percent-encoded but for the unreserved characters (RFC 3986 section 2.3).
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3 / 2);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The same, with its slashes.
fn path_encoded(text: &str) -> String {
    let parts: Vec<_> = text.split('/').map(encoded).collect();
    parts.join("/")
}

/// What a percent-encoded text says; a `+` is one.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let escaped = more.first_chunk::<2>().filter(|_| *first == b'%');
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let byte = escaped.and_then(|[high, low]| Some(digit(*high)? * 16 + digit(*low)?));
        rest = match byte.and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => {
                bytes.push(byte);
                &more[2..]
            }
            None => {
                bytes.push(*first);
                more
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn refuse(reason: &str) -> ProtocolError {
    ProtocolError::parameter("blob", reason)
}

/// Where the accounts of the public cloud are.
const PUBLIC: &str = "blob.core.windows.net";

/// Characters of a blob's name, at most.
const MOST_IN_A_NAME: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EMULATOR: &str = "http://127.0.0.1:10000/dev/";

    #[track_caller]
    fn check(text: &str, endpoint: Option<&str>, account: Option<&str>, expected: &str) {
        let shown = match Address::parse(text, endpoint, account) {
            Ok((address, sas)) => format!(
                "{} {} {}{}",
                address.url(),
                address.container(),
                address.blob(),
                sas.map_or_else(String::new, |sas| format!(" ?{}", sas.expose()))
            ),
            Err(_) => "refused".to_owned(),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn blobs_by_name() {
        let acct = Some("acct");
        let host = "https://acct.blob.core.windows.net";
        check("az://box/f", None, acct, &format!("{host}/box/f box f"));
        check(
            "az://box/a b+c//%20?x#y/ü",
            None,
            acct,
            &format!("{host}/box/a%20b%2Bc//%2520%3Fx%23y/%C3%BC box a b+c//%20?x#y/ü"),
        );
        check(
            "az://$web/f",
            None,
            acct,
            &format!("{host}/%24web/f $web f"),
        );
        check(
            "az://box/f",
            Some(EMULATOR),
            None,
            "http://127.0.0.1:10000/dev/box/f box f",
        );
        check(
            "az://box/f",
            Some("https://cdn.test"),
            acct,
            "https://cdn.test/box/f box f",
        );
        check(
            "az://box/f",
            Some("https://a.blob.core.chinacloudapi.cn/"),
            None,
            "https://a.blob.core.chinacloudapi.cn/box/f box f",
        );
        for bad in [
            "az://box",
            "az://box/",
            "az:///f",
            "az://Box/f",
            "az://box/../f",
            "az://box/a/./b",
            "s3://box/f",
            "ftp://h/box/f",
        ] {
            check(bad, None, acct, "refused");
        }
        check("az://box/f", None, None, "refused");
        check("az://box/f", Some("h"), acct, "refused");
        check(
            &format!("az://box/{}", "ü".repeat(1024)),
            None,
            None,
            "refused",
        );
        check(
            &format!("az://box/{}", "ü".repeat(1025)),
            None,
            acct,
            "refused",
        );
    }

    #[test]
    fn blobs_by_url() {
        check(
            "https://acct.blob.core.windows.net/box/a%20b%2Fc",
            None,
            None,
            "https://acct.blob.core.windows.net/box/a%20b/c box a b/c",
        );
        check(
            "https://acct.blob.core.windows.net/f",
            None,
            None,
            "https://acct.blob.core.windows.net/%24root/f $root f",
        );
        check(
            "https://acct-secondary.blob.core.windows.net/box/f",
            None,
            None,
            "https://acct-secondary.blob.core.windows.net/box/f box f",
        );
        check(
            "http://127.0.0.1:10000/dev/box/a+b?sv=1&sig=a%2B",
            None,
            None,
            "http://127.0.0.1:10000/dev/box/a%2Bb box a+b ?sv=1&sig=a%2B",
        );
        check(
            "http://localhost:10000/dev/box/f",
            None,
            Some("other"),
            "http://localhost:10000/dev/box/f box f",
        );
        check(
            "https://files.test/box/f",
            None,
            Some("acct"),
            "https://files.test/box/f box f",
        );
        check("https://files.test/box/f?snapshot=1", None, None, "refused");
        check("https://files.test/", None, None, "refused");
        let error = Address::parse("https://h:bad/c/b?sig=s3cret", None, None).unwrap_err();
        assert!(!error.to_string().contains("s3cret"));
    }

    proptest! {
        /// Any name comes back from the URL that it is in.
        #[test]
        fn names_survive(blob in ".{1,40}") {
            let given = Address::parse(&format!("az://box/{blob}"), Some(EMULATOR), None);
            prop_assume!(blob.split('/').all(|part| part != "." && part != ".."));
            let url = given.unwrap().0;
            let again = Address::parse(url.url().as_str(), None, None).unwrap().0;
            prop_assert_eq!(again.blob(), url.blob());
            prop_assert_eq!(again.url(), url.url());
        }

        #[test]
        fn any_text_is_decoded(text in "[%0-9a-fA-F+ ü]{0,30}") {
            decoded(&text);
            prop_assert_eq!(decoded(&encoded(&text)), text);
        }
    }
}
