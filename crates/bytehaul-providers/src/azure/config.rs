//! Settings of uploads to Azure, and where they are usually found.

use url::Url;

use crate::azure::AzureCredentials;
use crate::blocks::{Existing, MOST_IN_A_BLOCK};
use crate::{CredentialSource, ProtocolError};

/// Settings for [`Azure`](super::Azure); the default is enough for a URL with a SAS.
#[derive(Clone, Debug, Default)]
pub struct AzureConfig {
    pub(super) account: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) credentials: Option<CredentialSource<AzureCredentials>>,
    pub(super) existing: Existing,
    pub(super) check: BlockCheck,
    pub(super) part_size: Option<u64>,
}

/// What the service compares the bytes of each request with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum BlockCheck {
    /// `Content-MD5`, which everything takes that speaks like Azure. The source is read once more for it, a part ahead.
    #[default]
    Md5,
    /// `x-ms-content-crc64`: the same at a fraction of the processor's time. Azurite does not know it.
    Crc64,
    /// Nothing but what TCP and TLS find.
    None,
}

impl AzureConfig {
    /// The settings of an account whose key is at hand.
    pub fn new(credentials: impl Into<CredentialSource<AzureCredentials>>) -> Self {
        Self::default().credentials(credentials)
    }

    /// Sets the name of the account, for `az://` without an endpoint.
    #[must_use]
    pub fn account(mut self, name: impl Into<String>) -> Self {
        self.account = Some(name.into());
        self
    }

    /// Sets the URL under which the containers are, for `az://`: `https://account.blob.core.windows.net`, or with the account in
    /// the path as emulators have it, `http://127.0.0.1:10000/devstoreaccount1`. Default: the public cloud's for the account.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Sets what requests are authorised with. The SAS of a URL that has one wins.
    #[must_use]
    pub fn credentials(
        mut self,
        credentials: impl Into<CredentialSource<AzureCredentials>>,
    ) -> Self {
        self.credentials = Some(credentials.into());
        self
    }

    /// Sets what happens when the blob exists. Default: it is replaced, when all is there.
    #[must_use]
    pub fn existing(mut self, existing: Existing) -> Self {
        self.existing = existing;
        self
    }

    /// Sets what the service checks. Default [`BlockCheck::Md5`].
    #[must_use]
    pub fn check(mut self, check: BlockCheck) -> Self {
        self.check = check;
        self
    }

    /// Sets the bytes of a block, and of what is put at once. Default 8 MiB; larger where the blob would need more than 50,000.
    #[must_use]
    pub fn part_size(mut self, bytes: u64) -> Self {
        self.part_size = Some(bytes);
        self
    }

    /// The settings that an environment names, where `lookup` gives a variable's value: `AZURE_STORAGE_CONNECTION_STRING`, and
    /// before what is in it `AZURE_STORAGE_ACCOUNT`, `AZURE_STORAGE_KEY` or else `AZURE_STORAGE_SAS_TOKEN`, and
    /// `AZURE_STORAGE_SERVICE_ENDPOINT`. Empty ones do not count. Of a connection string of another account than
    /// `AZURE_STORAGE_ACCOUNT`, nothing does.
    ///
    /// # Errors
    /// One of them cannot be used, or the account has no credentials but those of another. No value is in the error.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ProtocolError> {
        let of = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let mut config = match of("AZURE_STORAGE_CONNECTION_STRING") {
            Some(text) => Self::from_connection_string(&text)?,
            None => Self::default(),
        };
        if let Some(account) = of("AZURE_STORAGE_ACCOUNT") {
            // Endpoint and credentials of another account are not for this one.
            if !config.may_be_of(&account) {
                let has_own = ["AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"];
                if config.credentials.is_some()
                    && !has_own.into_iter().any(|name| of(name).is_some())
                {
                    let reason = "AZURE_STORAGE_CONNECTION_STRING is of another account than AZURE_STORAGE_ACCOUNT: \
                                  unset one, or set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN";
                    return Err(ProtocolError::parameter("account", reason));
                }
                config = Self::default();
            }
            config.account = Some(account);
        }
        if let Some(endpoint) = of("AZURE_STORAGE_SERVICE_ENDPOINT") {
            config.endpoint = Some(endpoint);
        }
        if let Some(key) = of("AZURE_STORAGE_KEY") {
            let Some(account) = config.account.clone() else {
                let reason =
                    "AZURE_STORAGE_KEY is the key of no account: set AZURE_STORAGE_ACCOUNT";
                return Err(ProtocolError::parameter("account", reason));
            };
            return Ok(config.credentials(AzureCredentials::shared_key(account, key)?));
        }
        match of("AZURE_STORAGE_SAS_TOKEN") {
            Some(sas) => Ok(config.credentials(AzureCredentials::sas(sas)?)),
            None => Ok(config),
        }
    }

    /// The settings of a connection string, as the portal shows it: `Name=value;…` with `AccountName`, `AccountKey` or
    /// `SharedAccessSignature`, `BlobEndpoint`, or `DefaultEndpointsProtocol` and `EndpointSuffix`, or
    /// `UseDevelopmentStorage=true` for the emulator.
    ///
    /// # Errors
    /// A pair without `=`, or a value that cannot be used. No value is in the error.
    pub fn from_connection_string(text: &str) -> Result<Self, ProtocolError> {
        let mut pairs = Vec::new();
        for pair in text
            .split(';')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
        {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                ProtocolError::parameter("connection string", "a pair in it has no =")
            })?;
            pairs.push((name.trim(), value.trim()));
        }
        let of = |name: &str| {
            let mut named = pairs
                .iter()
                .filter(|(key, _)| key.eq_ignore_ascii_case(name));
            named.find_map(|(_, value)| Some((*value).to_owned()).filter(|value| !value.is_empty()))
        };
        if of("UseDevelopmentStorage").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(
                Self::new(AzureCredentials::shared_key(EMULATED.0, EMULATED.1)?)
                    .account(EMULATED.0)
                    .endpoint(EMULATED.2),
            );
        }
        let account = of("AccountName");
        let mut config = Self {
            endpoint: of("BlobEndpoint"),
            ..Self::default()
        };
        if config.endpoint.is_none()
            && let Some(account) = &account
        {
            let protocol = of("DefaultEndpointsProtocol").unwrap_or_else(|| "https".to_owned());
            let suffix = of("EndpointSuffix").unwrap_or_else(|| "core.windows.net".to_owned());
            config.endpoint = Some(format!("{protocol}://{account}.blob.{suffix}"));
        }
        let credentials = match (of("AccountKey"), of("SharedAccessSignature"), &account) {
            (Some(key), _, Some(account)) => Some(AzureCredentials::shared_key(account, key)?),
            (_, Some(sas), _) => Some(AzureCredentials::sas(sas)?),
            _ => None,
        };
        config.account = account;
        Ok(match credentials {
            Some(credentials) => config.credentials(credentials),
            None => config,
        })
    }

    /// Whether nothing in a connection string is of another account than this.
    fn may_be_of(&self, account: &str) -> bool {
        match (&self.account, &self.endpoint) {
            (Some(own), _) => own == account,
            (None, Some(endpoint)) => is_of_account(endpoint, account),
            (None, None) => true,
        }
    }

    /// What requests are authorised with, for machines that are handed the credentials; `None`: nothing is set.
    pub fn credential_source(&self) -> Option<&CredentialSource<AzureCredentials>> {
        self.credentials.as_ref()
    }

    pub(super) fn validate(&self) -> Result<(), ProtocolError> {
        match self.part_size {
            Some(0) => Err(ProtocolError::parameter("part size", "it is 0")),
            Some(size) if size > MOST_IN_A_BLOCK => {
                let reason = format!("{size} bytes are more than the {MOST_IN_A_BLOCK} of a block");
                Err(ProtocolError::parameter("part size", reason))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether an endpoint has the account's name in its host or, as emulators have it, for its path.
fn is_of_account(endpoint: &str, account: &str) -> bool {
    Url::parse(endpoint).is_ok_and(|url| {
        let host = url.host_str().and_then(|host| host.split('.').next());
        host == Some(account) || url.path().trim_matches('/') == account
    })
}

/// Account, key and endpoint of every emulator, which Microsoft publishes.
const EMULATED: (&str, &str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoMGGw==",
    "http://127.0.0.1:10000/devstoreaccount1",
);

#[cfg(test)]
mod tests {
    use super::*;

    /// Account, endpoint and credentials.
    fn shown(config: Result<AzureConfig, ProtocolError>) -> String {
        match config {
            Ok(config) => {
                let by = config
                    .credentials
                    .as_ref()
                    .and_then(CredentialSource::given);
                let by = match by {
                    Some(AzureCredentials::SharedKey(key)) => format!("key of {}", key.account()),
                    Some(AzureCredentials::Sas(_)) => "sas".to_owned(),
                    None => "nothing".to_owned(),
                };
                let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
                format!("{} {} {by}", or(config.account), or(config.endpoint))
            }
            Err(error) => {
                assert!(!error.to_string().contains("c2VjcmV0"));
                "refused".to_owned()
            }
        }
    }

    #[test]
    fn connection_strings() {
        let check = |text: &str, expected: &str| {
            let config = AzureConfig::from_connection_string(text);
            assert_eq!(shown(config), expected, "{text}");
        };
        check(
            "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=c2VjcmV0;EndpointSuffix=core.windows.net",
            "acct https://acct.blob.core.windows.net key of acct",
        );
        check(
            " accountname = acct ; accountkey = c2VjcmV0c2U= ;",
            "acct https://acct.blob.core.windows.net key of acct",
        );
        check(
            "BlobEndpoint=https://a.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=a%3D",
            "- https://a.blob.core.windows.net/ sas",
        );
        check(
            "AccountName=dev;AccountKey=c2VjcmV0;BlobEndpoint=http://127.0.0.1:10000/dev;",
            "dev http://127.0.0.1:10000/dev key of dev",
        );
        check(
            "UseDevelopmentStorage=true",
            "devstoreaccount1 http://127.0.0.1:10000/devstoreaccount1 key of devstoreaccount1",
        );
        check("AccountKey=c2VjcmV0", "- - nothing");
        check("c2VjcmV0", "refused");
        check("AccountName=a;AccountKey=c2VjcmV0!", "refused");
        check("", "- - nothing");
    }

    #[test]
    fn environments() {
        let check = |variables: &[(&str, &str)], expected: &str| {
            let lookup = |wanted: &str| {
                let mut all = variables.iter();
                let found = all.find(|(name, _)| format!("AZURE_STORAGE_{name}") == wanted);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(
                shown(AzureConfig::from_env(lookup)),
                expected,
                "{variables:?}"
            );
        };
        let (account, key) = (("ACCOUNT", "acct"), ("KEY", "c2VjcmV0"));
        let sas = ("SAS_TOKEN", "?sig=x");
        check(&[], "- - nothing");
        check(&[account, key], "acct - key of acct");
        check(&[account, key, sas], "acct - key of acct");
        check(&[account, ("KEY", " "), sas], "acct - sas");
        check(&[key], "refused");
        check(
            &[account, ("SERVICE_ENDPOINT", "http://h"), sas],
            "acct http://h sas",
        );
        let whole = ("CONNECTION_STRING", "AccountName=one;AccountKey=c2VjcmV0");
        let at_one = "one https://one.blob.core.windows.net";
        check(&[whole], &format!("{at_one} key of one"));
        check(&[whole, sas], &format!("{at_one} sas"));
        check(&[whole, account, key], "acct - key of acct");
        check(
            &[whole, ("ACCOUNT", "one"), key],
            &format!("{at_one} key of one"),
        );
        check(&[("CONNECTION_STRING", "x")], "refused");
        // What opens one account is not for another.
        check(&[whole, account], "refused");
        check(&[whole, account, sas], "acct - sas");
        check(
            &[whole, ("ACCOUNT", "one")],
            &format!("{at_one} key of one"),
        );
        for (endpoint, expected) in [
            ("https://acct.blob.core.windows.net", true),
            ("http://127.0.0.1:1/acct", true),
            ("https://acct2.blob.core.windows.net", false),
            ("https://one.blob.core.windows.net", false),
        ] {
            let text = format!("BlobEndpoint={endpoint};SharedAccessSignature=sig=x");
            let expected = match expected {
                true => format!("acct {endpoint} sas"),
                false => "refused".to_owned(),
            };
            check(&[("CONNECTION_STRING", &text), account], &expected);
        }
        let loose = ("CONNECTION_STRING", "SharedAccessSignature=sig=x");
        check(&[loose, account], "acct - sas");
    }
}
