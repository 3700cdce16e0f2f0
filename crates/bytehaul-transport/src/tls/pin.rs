//! How a server's public key is named by its hash.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use thiserror::Error;

/// The SHA-256 of a public key: of the DER of the SubjectPublicKeyInfo in a certificate (RFC 7469 section 2.4). It stays
/// the same when a certificate is renewed with the same key.
///
/// Its text is that of `curl --pinnedpubkey`, `sha256//` and base64; `sha256/` and base64 is read too.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin([u8; 32]);

/// A text that is no [`Pin`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a pin is sha256// and the base64 of 32 bytes")]
pub struct InvalidPin;

impl Pin {
    /// The pin of this certificate's key.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, rustls::Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        let hash = ring::digest::digest(&ring::digest::SHA256, &key);
        Ok(Self(
            hash.as_ref().try_into().expect("sha-256 has 32 bytes"),
        ))
    }
}

impl From<[u8; 32]> for Pin {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl FromStr for Pin {
    type Err = InvalidPin;

    fn from_str(text: &str) -> Result<Self, InvalidPin> {
        let hash = text
            .strip_prefix("sha256//")
            .or_else(|| text.strip_prefix("sha256/"))
            .ok_or(InvalidPin)?;
        let hash = BASE64.decode(hash.as_bytes()).map_err(|_| InvalidPin)?;
        hash.try_into().map(Self).map_err(|_| InvalidPin)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256//{}", BASE64.encode(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let pin = Pin::from([0xfb; 32]);
        let shown = pin.to_string();
        assert_eq!(
            shown,
            "sha256//+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s="
        );
        assert_eq!(shown.parse(), Ok(pin));
        assert_eq!(shown.replace("//+", "/+").parse(), Ok(pin));
        for bad in [
            "",
            "sha256//",
            "sha1//+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=",
            "sha256//+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s",
            "sha256//+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+w==",
            "sha256//not base64",
        ] {
            assert_eq!(bad.parse::<Pin>(), Err(InvalidPin), "{bad}");
        }
    }
}
