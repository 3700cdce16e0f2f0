//! Whom to trust, and how the TLS configuration comes about only when the first https URL is asked for.

mod handshake;
mod stream;

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;

pub(crate) use self::handshake::{Alpn, handshake};
pub(crate) use self::stream::TlsStream;
use crate::error::{Error, ErrorKind};

/// TLS settings of a client. TLS 1.2 and 1.3 with rustls and ring.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    extra: Vec<u8>,
    roots: Roots,
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

impl Tls {
    /// The defaults: the system's authorities.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificates of this PEM text too. May be called several times; each text holds one or more.
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
}

/// A checked [`Tls`], and the configuration made from it at its first use.
pub(crate) struct TlsSetup {
    extra: Vec<CertificateDer<'static>>,
    roots: Roots,
    configs: OnceCell<[Arc<ClientConfig>; 3]>,
}

impl TlsSetup {
    pub(crate) fn new(tls: &Tls) -> Result<Self, Error> {
        let invalid = || {
            Error::new(
                ErrorKind::Configuration,
                "extra root certificates are not valid pem",
            )
        };
        let mut extra = Vec::new();
        let mut trial = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&tls.extra) {
            let certificate = certificate.map_err(|error| invalid().with_source(error))?;
            trial
                .add(certificate.clone())
                .map_err(|error| invalid().with_source(error))?;
            extra.push(certificate);
        }
        if extra.is_empty() && tls.extra.iter().any(|byte| !byte.is_ascii_whitespace()) {
            return Err(invalid());
        }
        if extra.is_empty() && tls.roots == Roots::ExtraOnly {
            return Err(Error::new(
                ErrorKind::Configuration,
                "no root certificate is trusted",
            ));
        }
        Ok(Self {
            extra,
            roots: tls.roots,
            configs: OnceCell::new(),
        })
    }

    /// The configuration for connections that offer these protocols. Sessions are shared between them.
    pub(crate) async fn config(&self, alpn: Alpn) -> Result<Arc<ClientConfig>, Error> {
        let config = self.configs.get_or_try_init(|| async {
            let roots = self.trusted().await?;
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| {
                    Error::new(ErrorKind::Configuration, "tls versions").with_source(error)
                })?
                .with_root_certificates(roots)
                .with_no_client_auth();
            Ok(Alpn::ALL.map(|alpn| {
                config.alpn_protocols = alpn.protocols();
                Arc::new(config.clone())
            }))
        });
        let configs = config.await?;
        Ok(Arc::clone(&configs[alpn as usize]))
    }

    async fn trusted(&self) -> Result<RootCertStore, Error> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(self.extra.iter().cloned());
        if self.roots == Roots::ExtraOnly {
            return Ok(store);
        }
        // Some hundred files may have to be read.
        let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
        let loaded = loaded.map_err(|error| {
            Error::new(ErrorKind::Canceled, "load root certificates").with_source(error)
        })?;
        let (added, ignored) = store.add_parsable_certificates(loaded.certs);
        tracing::debug!(
            added,
            ignored,
            errors = loaded.errors.len(),
            "loaded the system's root certificates"
        );
        if store.is_empty() {
            let error = Error::new(
                ErrorKind::Configuration,
                "no root certificate found on this system",
            );
            return Err(match loaded.errors.into_iter().next() {
                Some(cause) => error.with_source(cause),
                None => error,
            });
        }
        Ok(store)
    }
}

impl fmt::Debug for TlsSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSetup")
            .field("extra", &self.extra.len())
            .field("roots", &self.roots)
            .finish_non_exhaustive()
    }
}
