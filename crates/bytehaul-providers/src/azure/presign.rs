//! Links to a blob and plans for it, made from the key of its account, for those who have none.

use std::time::{Duration, SystemTime};

use url::Url;

use crate::azure::sign::Sas;
use crate::azure::{Azure, AzureCredentials};
use crate::{ProtocolError, ProtocolErrorKind};

impl Azure {
    /// The blob's URL with a SAS of these permissions (`r` to download, `cw` to upload) that is good for so long from now on.
    ///
    /// # Errors
    /// The credentials are with a provider, whom nobody asks here, or they are a SAS: that cannot sign a narrower one, and to
    /// hand it on itself would be to give away all that it opens.
    pub fn presign(
        &self,
        permissions: &str,
        life: Duration,
        now: SystemTime,
    ) -> Result<Url, ProtocolError> {
        let expires = now.checked_add(life).unwrap_or(now);
        let mut sas = Sas::new(permissions, expires);
        // Who is told to use TLS alone cannot use an endpoint that has none.
        sas.https_only = self.url().scheme() == "https";
        self.presign_as(&sas)
    }

    /// The same with all that a SAS can say.
    ///
    /// # Errors
    /// As [`presign`](Self::presign).
    pub fn presign_as(&self, sas: &Sas) -> Result<Url, ProtocolError> {
        let Some(credentials) = self.setup.credentials.given() else {
            let what = "credentials of a provider have to be asked for before they sign";
            return Err(ProtocolError::new(ProtocolErrorKind::Refresh, what));
        };
        let query = match credentials {
            AzureCredentials::SharedKey(key) => key.sas(self.container(), Some(self.blob()), sas),
            AzureCredentials::Sas(_) => {
                let reason =
                    "a SAS cannot sign a narrower one: the account's key can (AZURE_STORAGE_KEY)";
                return Err(ProtocolError::parameter("credentials", reason));
            }
        };
        Ok(self.setup.address.with_query(query.expose()))
    }

    /// A plan with which somebody without the key can upload so many bytes to the blob until then: blocks of the settings' part
    /// size (default 8 MiB, more where there would be too many), whose names are new with each plan.
    ///
    /// # Errors
    /// As [`presign`](Self::presign), and the blob would be larger than one can be.
    #[cfg(feature = "presigned")]
    pub fn plan(
        &self,
        total_size: u64,
        life: Duration,
        now: SystemTime,
    ) -> Result<crate::presigned::UploadPlan, ProtocolError> {
        let config = &self.setup.config;
        let object = crate::Object::new(self.blob(), Some(total_size));
        let size = crate::azure::object::Blob::new(&object, config)?.part_size;
        let url = self.presign("rcw", life, now)?;
        let name = crate::azure::session::fresh_name()?;
        let existing = config.existing;
        crate::presigned::UploadPlan::azure_sas(url.as_str(), total_size, size, &name, existing)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::azure::AzureConfig;

    fn azure(address: &str) -> Azure {
        let key = AzureCredentials::shared_key("acct", "c2VjcmV0").unwrap();
        Azure::new(address, AzureConfig::new(key).account("acct").part_size(10)).unwrap()
    }

    #[test]
    fn links_say_what_they_are_for() {
        let now = UNIX_EPOCH + Duration::from_secs(1_769_862_896);
        let link = azure("az://box/a b").presign("r", Duration::from_secs(60), now);
        let link = link.unwrap();
        let start = "https://acct.blob.core.windows.net/box/a%20b?sv=2023-11-03&se=2026-01-31T12%3A35%3A56Z&sr=b&sp=r&spr=https&sig=";
        assert!(link.as_str().starts_with(start), "{link}");
        let key = AzureCredentials::shared_key("acct", "c2VjcmV0").unwrap();
        let config = AzureConfig::new(key).endpoint("http://127.0.0.1:1/acct");
        let over_http = Azure::new("az://box/f", config).unwrap();
        let over_http = over_http.presign("r", Duration::ZERO, now);
        assert!(over_http.unwrap().as_str().contains("spr=https%2Chttp&"));
    }

    /// It would be handed on with all that it opens, for as long as it does.
    #[test]
    fn a_signature_signs_no_other() {
        let life = Duration::from_secs(60);
        let by_sas = azure("https://h/box/f?sp=rwdl&sig=s3cret");
        let expected = "invalid credentials: a SAS cannot sign a narrower one: the account's key can (AZURE_STORAGE_KEY)";
        let refused = by_sas.presign("r", life, UNIX_EPOCH).unwrap_err();
        assert_eq!(refused.to_string(), expected);
        #[cfg(feature = "presigned")]
        assert_eq!(
            by_sas.plan(1, life, UNIX_EPOCH).unwrap_err().to_string(),
            expected
        );
    }

    #[cfg(feature = "presigned")]
    #[test]
    fn plans_are_whole_and_of_names_of_their_own() {
        let plan = |total| {
            let plan = azure("az://box/f").plan(total, Duration::from_secs(60), UNIX_EPOCH);
            let plan = plan.unwrap();
            plan.validate().unwrap();
            plan
        };
        assert_eq!(plan(25).parts.len(), 3);
        assert_eq!(plan(0).parts.len(), 1);
        assert_ne!(plan(25).upload_id, plan(25).upload_id);
    }
}
