//! The TLS settings that a caller can make, as they were given.

mod buffers;
mod chain;
mod failure;
mod handshake;
mod identity;
mod pin;
mod setup;
mod stream;

use std::fmt;

use zeroize::Zeroizing;

pub(crate) use self::failure::{explain, is_refusal};
pub(crate) use self::handshake::{Alpn, handshake};
pub use self::pin::{InvalidPin, Pin};
pub(crate) use self::setup::TlsSetup;
pub(crate) use self::stream::TlsStream;

/// TLS settings of a client. TLS 1.2 and 1.3 with rustls and ring.
///
/// Sessions are resumed (tickets of TLS 1.3, tickets and ids of 1.2) among all clones of a client, and never between clients
/// that were built on their own.
///
/// ```
/// use bytehaul_transport::{Client, Pin, Roots, Tls, TlsVersion};
///
/// # fn build(authority: &str, certificate: &str, key: &str) -> Result<Client, Box<dyn std::error::Error>> {
/// let tls = Tls::new()
///     .add_roots_pem(authority)
///     .roots(Roots::ExtraOnly)
///     .identity_pem(certificate, key)
///     .pin_sha256(["sha256//YLh1dUR9y6Kja30RrAn7JKnbQG/uEtLMkBgFF2Fuihg=".parse::<Pin>()?])
///     .min_version(TlsVersion::Tls13);
/// Ok(Client::builder().tls(tls).build()?)
/// # }
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Tls {
    extra: Vec<u8>,
    roots: Roots,
    identity: Option<Identity>,
    pins: Vec<Pin>,
    checks: Checks,
    min_version: TlsVersion,
}

/// Which certificate authorities are trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// Those of the system, and the extra ones. They are read from disk at the first https request.
    #[default]
    SystemAndExtra,
    /// The extra ones alone.
    ExtraOnly,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// A client certificate and its key, as they were given.
#[derive(Clone, PartialEq)]
struct Identity {
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

/// How much of a server's certificate is checked, apart from its pins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Checks {
    #[default]
    All,
    None,
}

impl Tls {
    /// The defaults: the system's authorities.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificates of this PEM text too. May be called several times; each text holds one or more. One that is
    /// no certificate is an error of [`build`](crate::ClientBuilder::build), whereas those of the system that cannot be
    /// read are left out.
    #[must_use]
    pub fn add_roots_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.extra.extend_from_slice(pem.as_ref());
        self.extra.push(b'\n');
        self
    }

    /// Which authorities to trust. Default: [`Roots::SystemAndExtra`].
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// Shows this certificate to servers that ask for one: PEM of the certificate and those between it and its authority,
    /// the client's own first, and PEM of its key (PKCS#8, PKCS#1 or SEC1, not encrypted). Both may be the same text with
    /// all of it. Only the host of a URL sees it, no proxy and no name server. Default: none.
    ///
    /// A text that is no PEM, and a key that is not the certificate's, are errors of
    /// [`build`](crate::ClientBuilder::build).
    #[must_use]
    pub fn identity_pem(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.identity = Some(Identity {
            chain: chain.as_ref().to_vec(),
            key: Zeroizing::new(key.as_ref().to_vec()),
        });
        self
    }

    /// Talks only to servers whose key has one of these hashes, whatever else is trusted: in addition to all other checks,
    /// and also where [those are off](Self::danger_accept_invalid_certificates). It is the server's own certificate that is
    /// held against them (the hash of its SubjectPublicKeyInfo, RFC 7469 section 2.4), as `curl --pinnedpubkey` does. Proxies
    /// and name servers are not. May be called several times. Default: none, any key.
    #[must_use]
    pub fn pin_sha256<P: Into<Pin>>(mut self, pins: impl IntoIterator<Item = P>) -> Self {
        self.pins.extend(pins.into_iter().map(Into::into));
        self
    }

    /// Takes any certificate of anybody: **whoever is on the way can read and change everything**, unless
    /// [pins](Self::pin_sha256) say which key is right. Holds for proxies and name servers too. A client built so logs a
    /// warning once, at its first TLS connection.
    #[must_use]
    pub fn danger_accept_invalid_certificates(mut self) -> Self {
        self.checks = Checks::None;
        self
    }

    /// The oldest version that is spoken. Default: [`TlsVersion::Tls12`].
    #[must_use]
    pub fn min_version(mut self, version: TlsVersion) -> Self {
        self.min_version = version;
        self
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("extra_bytes", &self.extra.len())
            .field("roots", &self.roots)
            .field("identity", &self.identity.is_some())
            .field("pins", &self.pins)
            .field("checks", &self.checks)
            .field("min_version", &self.min_version)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_key() {
        let tls = Tls::new().identity_pem("CHAIN", "SECRET");
        let shown = format!("{tls:?}");
        assert!(shown.contains("identity: true"), "{shown}");
        let bytes = format!("{:?}", b"SECRET");
        assert!(
            !shown.contains("SECRET") && !shown.contains(bytes.trim_matches(['[', ']'])),
            "{shown}"
        );
    }

    #[test]
    fn equal_when_all_is_equal() {
        let base = || Tls::new().add_roots_pem("a");
        assert_eq!(base(), base());
        for other in [
            base().add_roots_pem("b"),
            base().roots(Roots::ExtraOnly),
            base().identity_pem("c", "k"),
            base().pin_sha256([[0; 32]]),
            base().danger_accept_invalid_certificates(),
            base().min_version(TlsVersion::Tls13),
        ] {
            assert_ne!(base(), other);
        }
        assert_ne!(
            Tls::new().identity_pem("c", "k"),
            Tls::new().identity_pem("c", "l")
        );
    }
}
