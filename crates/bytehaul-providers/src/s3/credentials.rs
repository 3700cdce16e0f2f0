//! The two keys of S3, and the token that goes with keys for a time.

use std::time::SystemTime;

use crate::{Credentials, Secret};

/// An access key and its secret, with a session token where they were given for a time.
///
/// `Debug` shows the access key id, which every signed request shows too, and nothing else.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct S3Credentials {
    /// The access key id; it is not secret.
    pub access_key_id: String,
    /// The secret access key.
    pub secret: Secret,
    /// The session token (`x-amz-security-token`).
    pub session_token: Option<Secret>,
    /// Until when the server takes them. Default: until somebody revokes them.
    pub expires_at: Option<SystemTime>,
}

impl S3Credentials {
    /// An access key id and its secret.
    pub fn new(access_key_id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        Self {
            access_key_id: access_key_id.into(),
            secret: secret.into(),
            session_token: None,
            expires_at: None,
        }
    }

    /// Sets the session token.
    #[must_use]
    pub fn session_token(mut self, token: impl Into<Secret>) -> Self {
        self.session_token = Some(token.into());
        self
    }

    /// Sets until when the server takes them.
    #[must_use]
    pub fn expires_at(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }
}

impl Credentials for S3Credentials {
    fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }
}
