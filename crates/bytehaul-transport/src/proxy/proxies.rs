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

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use url::Url;

    use super::*;

    fn read(environment: &[(&str, &str)]) -> Result<Proxies, Error> {
        Proxies::from_variables(|name| {
            let set = environment.iter().find(|(key, _)| *key == name);
            set.map(|(_, value)| (*value).to_owned())
        })
    }

    fn route(proxies: &Proxies, url: &str) -> Option<String> {
        let origin = Origin::of(&Url::parse(url).unwrap()).unwrap();
        proxies.route(&origin).map(|proxy| proxy.to_string())
    }

    #[test]
    fn the_environment() {
        let check = |environment: &[(&str, &str)], url: &str, expected: Option<&str>| {
            let found = route(&read(environment).unwrap(), url);
            assert_eq!(found.as_deref(), expected, "{environment:?} {url}");
        };
        let (p, q) = (Some("http://p:1"), Some("http://q:2"));
        check(&[], "http://h/", None);
        check(&[("http_proxy", "http://p:1")], "http://h/", p);
        check(&[("http_proxy", " p:1/ ")], "http://h/", p);
        check(&[("http_proxy", "http://p:1")], "https://h/", None);
        check(&[("HTTP_PROXY", "http://p:1")], "http://h/", None);
        check(&[("https_proxy", "http://p:1")], "https://h/", p);
        check(&[("HTTPS_PROXY", "http://p:1")], "https://h/", p);
        check(
            &[("HTTPS_PROXY", "q:2"), ("https_proxy", "p:1")],
            "https://h/",
            p,
        );
        check(&[("https_proxy", "http://p:1")], "http://h/", None);
        check(
            &[("ALL_PROXY", "socks5://p")],
            "https://h/",
            Some("socks5://p:1080"),
        );
        check(
            &[("all_proxy", "p:1"), ("ALL_PROXY", "q:2")],
            "http://h/",
            p,
        );
        check(&[("http_proxy", ""), ("all_proxy", "")], "http://h/", None);
        check(&[("http_proxy", " "), ("all_proxy", "q:2")], "http://h/", q);
        check(
            &[("http_proxy", "p:1"), ("all_proxy", "q:2")],
            "http://127.0.0.1/",
            p,
        );
        check(
            &[("http_proxy", "p:1"), ("all_proxy", "q:2")],
            "https://localhost/",
            q,
        );
        check(
            &[("all_proxy", "p:1"), ("no_proxy", "h")],
            "http://h/",
            None,
        );
        check(
            &[("all_proxy", "p:1"), ("NO_PROXY", "h")],
            "http://h/",
            None,
        );
        check(
            &[("all_proxy", "p:1"), ("no_proxy", ""), ("NO_PROXY", "h")],
            "http://h/",
            None,
        );
        check(
            &[("all_proxy", "p:1"), ("no_proxy", "g"), ("NO_PROXY", "h")],
            "http://h/",
            p,
        );
    }

    #[test]
    fn a_variable_that_is_no_proxy_is_named() {
        for name in [
            "http_proxy",
            "https_proxy",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
        ] {
            let error = read(&[(name, "ftp://me:secret@p:1")]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert_eq!(error.to_string(), format!("environment variable {name}"));
            let cause = error.source().unwrap().to_string();
            assert!(cause.starts_with("`***@p:1` is no proxy"), "{cause}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_no_text_is_named() {
        use std::os::unix::ffi::OsStringExt;

        let error = Proxies::from_variables(|_| Some(OsString::from_vec(vec![0xff]))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment variable http_proxy is not UTF-8"
        );
    }

    #[test]
    fn the_own_scheme_comes_first_and_the_list_last() {
        let proxy = |text: &str| Proxy::parse(text).unwrap();
        let proxies = Proxies::none().all(proxy("all:1")).https(proxy("own:2"));
        assert_eq!(route(&proxies, "http://h/").unwrap(), "http://all:1");
        assert_eq!(route(&proxies, "https://h/").unwrap(), "http://own:2");
        let proxies = proxies
            .http(proxy("own:3"))
            .no_proxy("gone")
            .no_proxy("h:443");
        assert_eq!(route(&proxies, "http://h/").unwrap(), "http://own:3");
        assert_eq!(route(&proxies, "https://h/"), None);
        assert_eq!(route(&proxies, "https://gone/").unwrap(), "http://own:2");
        assert_ne!(proxies, Proxies::none());
        assert_eq!(proxies, proxies.clone());
    }
}
