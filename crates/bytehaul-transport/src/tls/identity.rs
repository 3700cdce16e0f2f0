//! What makes a client certificate usable: its PEM, its key, and that the two belong together.

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error as RustlsError, InconsistentKeys};

use super::Identity;
use crate::error::{Error, ErrorKind};

/// Checks the certificate and its key.
pub(super) fn load(
    identity: &Identity,
    provider: &CryptoProvider,
) -> Result<SingleCertAndKey, Error> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&identity.chain).collect();
    let chain = chain.map_err(|error| invalid("client certificate is not valid pem", error))?;
    if chain.is_empty() {
        let what = "client certificate's pem holds no certificate";
        return Err(Error::new(ErrorKind::Configuration, what));
    }
    let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|error| {
        let encrypted = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"];
        if encrypted.iter().any(|mark| contains(&identity.key, mark)) {
            Error::new(ErrorKind::Configuration, "client key is encrypted")
        } else {
            invalid("client key is not valid pem", error)
        }
    })?;
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| {
        let what = match error {
            RustlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                "client key does not belong to the client certificate"
            }
            RustlsError::InvalidCertificate(_) => "client certificate cannot be used",
            _ => "client key cannot be used",
        };
        invalid(what, error)
    })?;
    Ok(certified.into())
}

fn invalid(what: &'static str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Configuration, what).with_source(cause)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
