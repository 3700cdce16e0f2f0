//! The two keys of OSS, and the token that goes with keys for a time.

use std::time::SystemTime;

use crate::{Credentials, Secret};

/// An access key and its secret, with a security token where STS has given them for a time.
///
/// `Debug` shows the access key id, which every signed request shows too, and nothing else.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OssCredentials {
    /// The access key id; it is not secret.
    pub access_key_id: String,
    /// The access key secret.
    pub secret: Secret,
    /// The security token (`x-oss-security-token`).
    pub security_token: Option<Secret>,
    /// Until when the server takes them. Default: until somebody revokes them.
    pub expires_at: Option<SystemTime>,
}

impl OssCredentials {
    /// An access key id and its secret.
    pub fn new(access_key_id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        Self {
            access_key_id: access_key_id.into(),
            secret: secret.into(),
            security_token: None,
            expires_at: None,
        }
    }

    /// Sets the security token.
    #[must_use]
    pub fn security_token(mut self, token: impl Into<Secret>) -> Self {
        self.security_token = Some(token.into());
        self
    }

    /// Sets until when the server takes them.
    #[must_use]
    pub fn expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }
}

impl Credentials for OssCredentials {
    fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }
}
