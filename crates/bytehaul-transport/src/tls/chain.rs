//! When a server's certificate is good: its chain, its names, its dates, and its pins.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error as RustlsError, OtherError, RootCertStore,
    SignatureScheme,
};
use thiserror::Error as ThisError;

use super::Pin;
use crate::error::{Error, ErrorKind};

/// Who has to have signed.
#[derive(Clone, Debug)]
pub(super) enum Chain {
    /// One of the trusted authorities, or nobody where the certificate itself was given as trusted.
    Checked {
        webpki: Arc<WebPkiServerVerifier>,
        given: Arc<[CertificateDer<'static>]>,
    },
    /// Nobody.
    Unchecked,
}

impl Chain {
    pub(super) fn checked(
        roots: RootCertStore,
        given: &[CertificateDer<'static>],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map(|webpki| Self::Checked {
                webpki,
                given: given.into(),
            })
            .map_err(|error| {
                let what = "root certificates cannot be used";
                Error::new(ErrorKind::Configuration, what).with_source(error)
            })
    }
}

/// Judges the certificates of one kind of servers.
#[derive(Debug)]
pub(super) struct Verifier {
    chain: Chain,
    pins: Vec<Pin>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// What webpki has no error for.
#[derive(Debug, ThisError)]
pub(super) enum Objection {
    #[error("the certificate is self-signed and not trusted")]
    SelfSigned,
    #[error(
        "the certificate is from an unknown authority, \"{name}\", whose own certificate could be added to the trusted ones"
    )]
    UnknownAuthority { name: String },
    #[error(
        "the certificate was not signed by the trusted authority whose name it has for its issuer"
    )]
    Namesake,
    #[error("the server's key is none of the pinned ones, it is {seen}")]
    Pin { seen: Pin },
}

impl Verifier {
    pub(super) fn new(chain: Chain, pins: Vec<Pin>, provider: &CryptoProvider) -> Self {
        Self {
            chain,
            pins,
            algorithms: provider.signature_verification_algorithms,
        }
    }

    /// Whether the server must prove that it has its certificate's key. Without it a pin would say nothing.
    fn needs_proof(&self) -> bool {
        matches!(self.chain, Chain::Checked { .. }) || !self.pins.is_empty()
    }

    fn check_pins(&self, certificate: &CertificateDer<'_>) -> Result<(), RustlsError> {
        if self.pins.is_empty() {
            return Ok(());
        }
        let seen = Pin::of(certificate)?;
        if self.pins.contains(&seen) {
            return Ok(());
        }
        Err(Objection::Pin { seen }.into())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        if let Chain::Checked { webpki, given } = &self.chain {
            let judged = webpki.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
            match judged {
                // webpki looks at the dates before it says so, and not at the name.
                Err(error) if is_authority(&error) && given.contains(end_entity) => {
                    verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                }
                judged => {
                    judged.map_err(|error| refine(error, end_entity, intermediates))?;
                }
            }
        }
        self.check_pins(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        if !self.needs_proof() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        if !self.needs_proof() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl From<Objection> for RustlsError {
    fn from(objection: Objection) -> Self {
        CertificateError::Other(OtherError(Arc::new(objection))).into()
    }
}

/// Whether the certificate is that of an authority, as `openssl req -x509` makes them for servers too.
fn is_authority(error: &RustlsError) -> bool {
    let RustlsError::InvalidCertificate(CertificateError::Other(other)) = error else {
        return false;
    };
    let cause = other.0.downcast_ref::<webpki::Error>();
    cause == Some(&webpki::Error::CaUsedAsEndEntity)
}

/// Says more of an issuer that nobody knows: it is the server itself, has only the name of one that is known, or has a name of
/// its own. The last certificate that was sent is the one whose issuer is missing.
fn refine(
    error: RustlsError,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> RustlsError {
    let RustlsError::InvalidCertificate(
        fault @ (CertificateError::UnknownIssuer
        | CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }),
    ) = &error
    else {
        return error;
    };
    if let Ok(own) = webpki::EndEntityCert::try_from(end_entity)
        && own.issuer() == own.subject()
    {
        return Objection::SelfSigned.into();
    }
    if *fault != CertificateError::UnknownIssuer {
        return Objection::Namesake.into();
    }
    let last = intermediates.last().unwrap_or(end_entity);
    let issuer = webpki::EndEntityCert::try_from(last).ok();
    match issuer.and_then(|last| display_name(last.issuer())) {
        Some(name) => Objection::UnknownAuthority { name }.into(),
        None => error,
    }
}

/// The common name in the DER of a distinguished name, or else its organization, for nothing but to be shown.
fn display_name(der: &[u8]) -> Option<String> {
    [COMMON_NAME, ORGANIZATION].into_iter().find_map(|oid| {
        let at = der.windows(oid.len()).position(|window| window == oid)?;
        let [
            UTF8_STRING | PRINTABLE_STRING | IA5_STRING,
            length,
            rest @ ..,
        ] = &der[at + oid.len()..]
        else {
            return None;
        };
        // Longer ones than 127 bytes have their length written otherwise, and are longer than is of use.
        let text = std::str::from_utf8(rest.get(..usize::from(*length))?).ok()?;
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        (!text.trim().is_empty()).then_some(text)
    })
}

/// `2.5.4.3` and `2.5.4.10` (X.520), with tag and length.
const COMMON_NAME: [u8; 5] = [6, 3, 0x55, 4, 3];
const ORGANIZATION: [u8; 5] = [6, 3, 0x55, 4, 10];

const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_as_they_are_in_certificates() {
        let organization = b"1\x0c0\x0a\x06\x03\x55\x04\x0a\x13\x03Org";
        let common = b"1\x0f0\x0d\x06\x03\x55\x04\x03\x0c\x06A \xc3\xa9\nB";
        let both = [&organization[..], common].concat();
        for (der, shown) in [
            (&organization[..], Some("Org")),
            (common, Some("A \u{e9}B")),
            (&both, Some("A \u{e9}B")),
            (&common[..common.len() - 1], None),
            (b"\x06\x03\x55\x04\x03\x0c\x02\xff\xff", None),
            (b"\x06\x03\x55\x04\x03\x0c\x01 ", None),
            (b"\x06\x03\x55\x04\x03", None),
            (b"", None),
        ] {
            assert_eq!(display_name(der).as_deref(), shown);
        }
    }

    proptest! {
        #[test]
        fn no_name_does_harm(head in any::<bool>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let der = if head { [&COMMON_NAME[..], &bytes].concat() } else { bytes };
            let shown = display_name(&der).unwrap_or_default();
            prop_assert!(!shown.contains(char::is_control) && shown.len() < 256);
        }
    }
}
