//! Blobs of Azure Storage: uploads in blocks, downloads of ranges, links and plans, under a Shared Key or a SAS.
//!
//! ```
//! use bytehaul_providers::azure::{Azure, AzureConfig};
//!
//! let lookup = |name: &str| match name {
//!     "AZURE_STORAGE_ACCOUNT" => Some("account".to_owned()),
//!     "AZURE_STORAGE_KEY" => Some("c2VjcmV0".to_owned()),
//!     _ => None,
//! };
//! let to = Azure::new("az://container/dir/a blob", AzureConfig::from_env(lookup)?)?;
//! let by_link = Azure::new("https://account.blob.core.windows.net/container/blob?sv=2023-11-03&sig=…&sp=cw", AzureConfig::default());
//! # let _ = (to, by_link);
//! # Ok::<(), bytehaul_providers::ProtocolError>(())
//! ```
//!
//! # What is sent, and what ends an upload
//! What fits in one part is put at once (Put Blob). Anything else is put as blocks, in any order and several at a time, and
//! then the list of them is put, always: only then the blob appears, or changes, in one step (Put Block, Put Block List). The
//! names of the blocks begin with what no other upload has, so that uploads to the same blob do not mix.
//!
//! A resumed upload asks the service which blocks it has (Get Block List), and that counts: what it lacks is sent again. Blocks
//! of which no receipt tells count as well if the source is unchanged. A list whose answer was lost is put again, which comes to
//! the same; where the service refuses that, the blocks that make up the blob tell whether it is this upload's. A SAS
//! that may not read is enough for an upload, which then rests on its receipts.
//!
//! Cancelling sends nothing: blocks that are not committed expire within a week, and deleting the blob would delete somebody's.
//!
//! # What it does not do
//! Page and append blobs, leases, tiers, snapshots, and tokens of Entra ID (a user delegation SAS stands for one).

pub mod sign;

mod access;
mod address;
mod answers;
mod config;
mod digests;
mod download;
mod listing;
mod object;
mod presign;
mod requests;
mod session;
mod staged;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use url::Url;

use crate::azure::address::Address;
use crate::azure::object::Blob;
use crate::azure::session::Session;
use crate::{
    Capabilities, CredentialSource, Left, Object, ProtocolError, UploadProtocol, UploadSession,
};

pub use self::access::{AzureCredentials, SasToken};
pub use self::config::{AzureConfig, BlockCheck};
pub use self::download::AzureDownload;
pub use self::staged::{ListStaged, Staged};
pub use crate::blocks::{BlockIds, Existing, block_list};

/// A blob to upload to or to download from.
#[derive(Clone, Debug)]
pub struct Azure {
    setup: Arc<Setup>,
}

/// What all sessions of a blob have in common.
#[derive(Debug)]
struct Setup {
    address: Address,
    credentials: CredentialSource<AzureCredentials>,
    config: AzureConfig,
}

impl Azure {
    /// A blob by `az://container/blob`, where the name is taken as it is, or by its URL, where it is percent-encoded and a SAS may
    /// follow. Where none does, the URL has to be at the endpoint of the settings, or else of their account: credentials go
    /// nowhere else. Nothing is sent.
    ///
    /// # Errors
    /// The address or a setting cannot be used, or there are no credentials, or not for this URL. No signature is in the error.
    pub fn new(address: &str, config: AzureConfig) -> Result<Self, ProtocolError> {
        config.validate()?;
        let (endpoint, account) = (config.endpoint.as_deref(), config.account.as_deref());
        let is_url = !address.starts_with("az://");
        let (address, sas) = Address::parse(address, endpoint, account)?;
        let credentials = match (sas, &config.credentials) {
            (Some(sas), _) => AzureCredentials::sas(sas)?.into(),
            (None, Some(credentials)) => {
                let of_key = match credentials.given() {
                    Some(AzureCredentials::SharedKey(key)) => Some(key.account()),
                    Some(AzureCredentials::Sas(_)) | None => None,
                };
                if is_url && !address.is_at(endpoint, account.or(of_key))? {
                    let reason = "they are not known to be for this URL: give its signature with it, or set its account or endpoint \
                                  (AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_SERVICE_ENDPOINT)";
                    return Err(ProtocolError::parameter("credentials", reason));
                }
                credentials.clone()
            }
            (None, None) => {
                let reason = "none are there (AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_CONNECTION_STRING)";
                return Err(ProtocolError::parameter("credentials", reason));
            }
        };
        let setup = Setup {
            address,
            credentials,
            config,
        };
        Ok(Self {
            setup: Arc::new(setup),
        })
    }

    /// The blob's URL without any right to it.
    pub fn url(&self) -> &Url {
        self.setup.address.url()
    }

    /// The container's name.
    pub fn container(&self) -> &str {
        self.setup.address.container()
    }

    /// The blob's name, as it is.
    pub fn blob(&self) -> &str {
        self.setup.address.blob()
    }
}

impl UploadProtocol for Azure {
    fn name(&self) -> &str {
        NAME
    }

    /// The URL, without the SAS.
    fn target(&self) -> String {
        self.url().to_string()
    }

    /// None: requests are signed as they are, and nothing may be added to them.
    fn endpoint(&self) -> Option<Url> {
        None
    }

    fn validate(&self) -> Result<(), ProtocolError> {
        self.setup.config.validate()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
            .parallel(true)
            .unknown_length(true)
            .resumable(true)
    }

    fn open(
        &self,
        object: &Object,
        left: Option<Left>,
    ) -> Result<Box<dyn UploadSession>, ProtocolError> {
        let blob = Blob::new(object, &self.setup.config)?;
        Ok(Box::new(Session::new(Arc::clone(&self.setup), blob, left)?))
    }
}

const NAME: &str = "azure";

#[cfg(test)]
mod of_urls {
    use super::*;

    /// Credentials that are not in the URL itself go to the endpoint that they are for, and to no other that is typed.
    #[test]
    fn credentials_go_where_they_belong() {
        let sas = || AzureConfig::new(AzureCredentials::sas("sig=s3cret").unwrap());
        let key = || AzureConfig::new(AzureCredentials::shared_key("acct", "c2VjcmV0").unwrap());
        let check = |config: AzureConfig, url: &str, expected: bool| match Azure::new(url, config) {
            Ok(_) => assert!(expected, "{url}"),
            Err(error) => {
                assert!(!expected, "{url}: {error}");
                let error = error.to_string();
                assert!(error.starts_with("invalid credentials: "), "{error}");
                assert!(!error.contains("s3cret"), "{error}");
            }
        };
        let public = "https://acct.blob.core.windows.net/c/b";
        for config in [sas().account("acct"), key(), key().account("acct")] {
            check(config.clone(), public, true);
            check(config.clone(), "https://acct.blob.core.windows.net/b", true);
            check(
                config.clone(),
                "http://acct.blob.core.windows.net/c/b",
                false,
            );
            check(config.clone(), "https://any.host/c/b", false);
            check(
                config.clone(),
                "https://acct.blob.core.windows.net:444/c/b",
                false,
            );
            check(
                config.clone(),
                "https://acct2.blob.core.windows.net/c/b",
                false,
            );
            check(config, "http://127.0.0.1:1/acct/c/b", false);
        }
        let emulator = || sas().account("acct").endpoint("http://127.0.0.1:1/acct/");
        check(emulator(), "http://127.0.0.1:1/acct/c/b", true);
        check(emulator(), "http://127.0.0.1:1/acct2/c/b", false);
        check(emulator(), "http://127.0.0.1:2/acct/c/b", false);
        check(emulator(), public, false);
        check(
            sas().endpoint("https://own.test"),
            "https://own.test/c/b",
            true,
        );
        check(sas(), public, false);
        // One that is in the URL is for it.
        check(sas(), "https://any.host/c/b?sig=own", true);
        check(AzureConfig::default(), "https://any.host/c/b?sig=own", true);
        check(AzureConfig::default(), public, false);
    }
}
