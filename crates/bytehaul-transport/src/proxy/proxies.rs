//! Which proxy a URL goes through, by its scheme and host, as it is set here or in the environment.

use std::ffi::OsString;
use std::sync::Arc;

use super::Proxy;
use super::exemptions::Exemptions;
use crate::{Error, ErrorKind, Origin, Scheme};

/// Which proxy for which URL: one for `http`, one for `https`, one for all that have no own, and hosts that need none.
///
/// As with curl no host is exempt that is not in the list, not even `localhost`.
///
/// ```
/// use bytehaul_transport::{Proxies, Proxy};
///
/// let proxies = Proxies::none()
///     .all(Proxy::parse("socks5h://proxy.example")?)
///     .no_proxy("localhost,127.0.0.0/8,.internal.example");
/// # Ok::<(), bytehaul_transport::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Arc<Proxy>>,
    https: Option<Arc<Proxy>>,
    all: Option<Arc<Proxy>>,
    exempt: Exemptions,
}

impl Proxies {
    /// No proxy for anything.
    pub fn none() -> Self {
        Self::default()
    }

    /// What the environment says: `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, and where one of these is unset or
    /// empty, the same in capitals.
    ///
    /// `HTTP_PROXY` alone is never read: a web server sets it for a CGI program to what a visitor wrote into a `Proxy` field.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration), naming the variable, when one is no proxy, see [`Proxy::parse`].
    pub fn from_env() -> Result<Self, Error> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// As [`from_env`](Self::from_env), with the variables that `variable` gives.
    ///
    /// # Errors
    ///
    /// As [`from_env`](Self::from_env).
    pub fn from_variables<V: Into<OsString>>(
        variable: impl Fn(&str) -> Option<V>,
    ) -> Result<Self, Error> {
        let first = |names: &[&'static str]| {
            names
                .iter()
                .find_map(|name| read(name, &variable).transpose())
        };
        let proxy = |names: &[&'static str]| {
            let Some((name, text)) = first(names).transpose()? else {
                return Ok(None);
            };
            let proxy = Proxy::parse(&text).map_err(|error| {
                let what = format!("environment variable {name}");
                Error::new(ErrorKind::Configuration, what).with_source(error)
            })?;
            Ok(Some(Arc::new(proxy)))
        };
        Ok(Self {
            http: proxy(&["http_proxy"])?,
            https: proxy(&["https_proxy", "HTTPS_PROXY"])?,
            all: proxy(&["all_proxy", "ALL_PROXY"])?,
            exempt: match first(&["no_proxy", "NO_PROXY"]).transpose()? {
                Some((_, list)) => Exemptions::parse(&list),
                None => Exemptions::default(),
            },
        })
    }

    /// The proxy of all URLs whose scheme has no own.
    #[must_use]
    pub fn all(mut self, proxy: Proxy) -> Self {
        self.all = Some(Arc::new(proxy));
        self
    }

    /// The proxy of `http` URLs.
    #[must_use]
    pub fn http(mut self, proxy: Proxy) -> Self {
        self.http = Some(Arc::new(proxy));
        self
    }

    /// The proxy of `https` URLs.
    #[must_use]
    pub fn https(mut self, proxy: Proxy) -> Self {
        self.https = Some(Arc::new(proxy));
        self
    }

    /// The hosts that are spoken to directly, in place of those said before. Entries are parted by commas or white space:
    ///
    /// - `*`: every host
    /// - `example.com`, `.example.com`, `*.example.com`: this name and all below it
    /// - `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]`, `10.0.0.0/8`, `fd00::/8`: addresses, as they stand in URLs: no name is
    ///   looked up for this
    /// - any but the networks and bare IPv6 addresses with `:port`: that port only, the scheme's own where a URL has none
    ///
    /// Anything else holds for no host.
    #[must_use]
    pub fn no_proxy(mut self, list: &str) -> Self {
        self.exempt = Exemptions::parse(list);
        self
    }

    /// The proxy that requests to the origin go through.
    pub(crate) fn route(&self, origin: &Origin) -> Option<Arc<Proxy>> {
        let own = match origin.scheme() {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        let proxy = own.as_ref().or(self.all.as_ref())?;
        (!self.exempt.hold(origin)).then(|| Arc::clone(proxy))
    }
}

/// A variable that is set and not empty.
fn read<V: Into<OsString>>(
    name: &'static str,
    variable: impl Fn(&str) -> Option<V>,
) -> Result<Option<(&'static str, String)>, Error> {
    let Some(value) = variable(name) else {
        return Ok(None);
    };
    let Ok(value) = value.into().into_string() else {
        let what = format!("environment variable {name} is not UTF-8");
        return Err(Error::new(ErrorKind::Configuration, what));
    };
    Ok((!value.trim().is_empty()).then_some((name, value)))
}
