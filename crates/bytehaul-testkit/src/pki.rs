//! A certificate authority that nobody but the test trusts, and the certificates that it signs: good, late, early, wrong.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PublicKeyData, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

/// A private certificate authority. Two of them do not vouch for each other.
///
/// ```
/// use bytehaul_testkit::pki::Authority;
///
/// let authority = Authority::new();
/// let certificate = authority.server(&["localhost", "127.0.0.1", "*.files.test"]);
/// assert!(certificate.chain_pem().starts_with("-----BEGIN CERTIFICATE-----"));
/// assert_ne!(authority.pem(), Authority::new().pem());
/// ```
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// Makes an authority with keys and a name of its own.
    ///
    /// # Panics
    /// When there is no randomness to make a key of.
    #[must_use]
    pub fn new() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut params = params(&[], &format!("bytehaul test authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("an authority is signed");
        let pem = issuer.pem();
        Self { issuer, pem }
    }

    /// The authority's own certificate, which clients are to trust, as PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The authority's own certificate as DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.issuer.der()
    }

    /// A certificate for a server with these names: host names, `*.host`, IPv4 or IPv6 addresses.
    ///
    /// # Panics
    /// When a name is none.
    #[must_use]
    pub fn server(&self, names: &[&str]) -> Certificate {
        self.sign(server_params(names))
    }

    /// The same, but its time was over in 2020.
    ///
    /// # Panics
    /// As [`Authority::server`].
    #[must_use]
    pub fn expired(&self, names: &[&str]) -> Certificate {
        let mut params = server_params(names);
        params.not_after = date_time_ymd(2020, 1, 1);
        self.sign(params)
    }

    /// The same, but its time begins in the year 3000.
    ///
    /// # Panics
    /// As [`Authority::server`].
    #[must_use]
    pub fn not_yet_valid(&self, names: &[&str]) -> Certificate {
        let mut params = server_params(names);
        params.not_before = date_time_ymd(3000, 1, 1);
        self.sign(params)
    }

    /// A certificate with which a client of this name identifies itself.
    ///
    /// # Panics
    /// When there is no randomness to make a key of.
    #[must_use]
    pub fn client(&self, name: &str) -> Certificate {
        let mut params = params(&[], name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Certificate {
        let key = key();
        let signed = params
            .signed_by(&key, &self.issuer)
            .expect("a certificate is signed");
        Certificate::of(&signed, &key)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// A certificate and its private key.
#[derive(Clone)]
pub struct Certificate {
    chain_pem: String,
    key_pem: String,
    der: Vec<u8>,
    spki: Vec<u8>,
}

impl Certificate {
    /// A server's certificate that nobody vouches for but itself.
    ///
    /// # Panics
    /// When a name is none.
    #[must_use]
    pub fn self_signed(names: &[&str]) -> Self {
        let key = key();
        let signed = server_params(names)
            .self_signed(&key)
            .expect("a certificate is signed");
        Self::of(&signed, &key)
    }

    fn of(signed: &rcgen::Certificate, key: &KeyPair) -> Self {
        Self {
            chain_pem: signed.pem(),
            key_pem: key.serialize_pem(),
            der: signed.der().to_vec(),
            spki: key.subject_public_key_info(),
        }
    }

    /// The certificate as PEM, without the authority's.
    #[must_use]
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// The private key as PEM (PKCS #8, ECDSA P-256).
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The certificate as DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the public key as the certificate carries it (SubjectPublicKeyInfo, RFC 7469 section 2.4): what is pinned.
    #[must_use]
    pub fn spki_sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.spki).into()
    }

    /// What a rustls server needs to show this certificate and to offer these protocols (`b"h2"`, `b"http/1.1"`).
    ///
    /// # Panics
    /// When rustls refuses the certificate.
    #[must_use]
    pub fn server_config(&self, protocols: &[&[u8]]) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .expect("the key was written as PEM");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks the default versions")
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(self.der.clone())], key)
            .expect("the key belongs to the certificate");
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("there is randomness to make a key of")
}

fn params(names: &[&str], common_name: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("each name is a host name or an address");
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.use_authority_key_identifier_extension = true;
    params
}

fn server_params(names: &[&str]) -> CertificateParams {
    let mut params = params(names, names.first().copied().unwrap_or("nobody"));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

static NUMBER: AtomicU32 = AtomicU32::new(0);
