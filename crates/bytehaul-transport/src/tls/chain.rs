//! When a server's certificate is good: its chain, its names, its dates, and its pins.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
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
    /// One of the trusted authorities.
    Checked(Arc<WebPkiServerVerifier>),
    /// Nobody.
    Unchecked,
}

impl Chain {
    pub(super) fn checked(
        roots: RootCertStore,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map(Self::Checked)
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
        matches!(self.chain, Chain::Checked(_)) || !self.pins.is_empty()
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
        if let Chain::Checked(webpki) = &self.chain {
            webpki
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|error| refine(error, end_entity))?;
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

/// An issuer that nobody knows is most often the server itself.
fn refine(error: RustlsError, certificate: &CertificateDer<'_>) -> RustlsError {
    let unknown = matches!(
        error,
        RustlsError::InvalidCertificate(CertificateError::UnknownIssuer)
    );
    match webpki::EndEntityCert::try_from(certificate) {
        Ok(parsed) if unknown && parsed.issuer() == parsed.subject() => {
            Objection::SelfSigned.into()
        }
        _ => error,
    }
}
