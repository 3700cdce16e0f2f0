//! How settings become the configuration of connections, made only when the first https URL is asked for.

use std::fmt;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::sync::OnceCell;

use super::chain::{Chain, Verifier};
use super::{Alpn, Checks, Pin, Roots, Tls, TlsVersion, identity};
use crate::error::{Error, ErrorKind};

/// A checked [`Tls`], and the configurations made from it at its first use.
pub(crate) struct TlsSetup {
    trust: Arc<Trust>,
    pins: Vec<Pin>,
    identity: Option<Arc<dyn ResolvesClientCert>>,
    configs: OnceCell<[Arc<ClientConfig>; Alpn::ALL.len()]>,
}

/// Whose certificates are good. Shared by connections to hosts and to those that help to reach them.
struct Trust {
    extra: Vec<CertificateDer<'static>>,
    roots: Roots,
    checks: Checks,
    min_version: TlsVersion,
    provider: Arc<CryptoProvider>,
    chain: OnceCell<Chain>,
}

impl TlsSetup {
    pub(crate) fn new(tls: &Tls) -> Result<Self, Error> {
        let extra = parse_roots(&tls.extra)?;
        if extra.is_empty() && tls.roots == Roots::ExtraOnly && tls.checks == Checks::All {
            let what = "no root certificate is trusted";
            return Err(Error::new(ErrorKind::Configuration, what));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let identity = match &tls.identity {
            Some(given) => Some(Arc::new(identity::load(given, &provider)?) as _),
            None => None,
        };
        Ok(Self {
            trust: Arc::new(Trust {
                extra,
                roots: tls.roots,
                checks: tls.checks,
                min_version: tls.min_version,
                provider,
                chain: OnceCell::new(),
            }),
            pins: tls.pins.clone(),
            identity,
            configs: OnceCell::new(),
        })
    }

    /// The same trust for those who only help to reach a host, proxies and name servers: they are shown no client
    /// certificate, and held against no pin. They have sessions of their own.
    pub(crate) fn for_helpers(&self) -> Self {
        Self {
            trust: Arc::clone(&self.trust),
            pins: Vec::new(),
            identity: None,
            configs: OnceCell::new(),
        }
    }

    /// The configuration for connections that offer these protocols. Sessions are shared between them.
    pub(crate) async fn config(&self, alpn: Alpn) -> Result<Arc<ClientConfig>, Error> {
        let configs = self.configs.get_or_try_init(|| async {
            let mut config = self.base().await?;
            Ok::<_, Error>(Alpn::ALL.map(|alpn| {
                config.alpn_protocols = alpn.protocols();
                Arc::new(config.clone())
            }))
        });
        Ok(Arc::clone(&configs.await?[alpn as usize]))
    }

    async fn base(&self) -> Result<ClientConfig, Error> {
        let trust = &*self.trust;
        let chain = trust.chain.get_or_try_init(|| trust.load()).await?;
        let verifier = Verifier::new(chain.clone(), self.pins.clone(), &trust.provider);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&trust.provider))
            .with_protocol_versions(versions(trust.min_version))
            .map_err(|error| {
                Error::new(ErrorKind::Configuration, "tls versions").with_source(error)
            })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        Ok(match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::clone(identity)),
            None => builder.with_no_client_auth(),
        })
    }
}

impl Trust {
    async fn load(&self) -> Result<Chain, Error> {
        if self.checks == Checks::None {
            bytehaul_log::warn!("certificates are not checked: anybody may be on the other side");
            return Ok(Chain::Unchecked);
        }
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(self.extra.iter().cloned());
        if self.roots == Roots::SystemAndExtra {
            add_system(&mut store).await?;
        }
        Chain::checked(store, &self.extra, &self.provider)
    }
}

/// Adds what can be used of the system's authorities; one that cannot must not take the others away.
async fn add_system(store: &mut RootCertStore) -> Result<(), Error> {
    // Some hundred files may have to be read.
    let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let loaded = loaded.map_err(|error| {
        Error::new(ErrorKind::Canceled, "load root certificates").with_source(error)
    })?;
    let (added, ignored) = store.add_parsable_certificates(loaded.certs);
    bytehaul_log::debug!(
        added,
        ignored,
        errors = loaded.errors.len(),
        "loaded the system's root certificates"
    );
    if store.is_empty() {
        let error = Error::new(ErrorKind::Tls, "no root certificate found on this system");
        return Err(match loaded.errors.into_iter().next() {
            Some(cause) => error.with_source(cause),
            None => error,
        });
    }
    Ok(())
}

fn parse_roots(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let invalid = || {
        let what = "extra root certificates are not valid pem";
        Error::new(ErrorKind::Configuration, what)
    };
    let mut trial = RootCertStore::empty();
    let mut extra = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| invalid().with_source(error))?;
        trial
            .add(certificate.clone())
            .map_err(|error| invalid().with_source(error))?;
        extra.push(certificate);
    }
    if extra.is_empty() && pem.iter().any(|byte| !byte.is_ascii_whitespace()) {
        return Err(invalid());
    }
    Ok(extra)
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match min {
        TlsVersion::Tls12 => rustls::ALL_VERSIONS,
        TlsVersion::Tls13 => ONLY_TLS13,
    }
}

impl fmt::Debug for TlsSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSetup")
            .field("extra", &self.trust.extra.len())
            .field("roots", &self.trust.roots)
            .field("checks", &self.trust.checks)
            .field("min_version", &self.trust.min_version)
            .field("pins", &self.pins)
            .field("identity", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}

static ONLY_TLS13: &[&SupportedProtocolVersion] = &[&TLS13];
