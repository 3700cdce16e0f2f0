//! The way to an origin, straight or through a proxy, which is what connections are kept by.

use std::sync::Arc;

use crate::origin::{Origin, Scheme};
use crate::proxy::{Proxies, Proxy};
use crate::version::HttpVersion;

/// How requests get to an origin. Two requests with equal routes can share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    /// Straight to the host.
    Direct(Origin),
    /// Through a proxy that passes bytes on and does not look at them.
    Tunnel(Arc<Proxy>, Origin),
    /// To a proxy that is told the whole URL of each request (RFC 9112 section 3.2.2), whichever `http` origin it is of.
    Forward(Arc<Proxy>),
}

/// Which protocols a new connection may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speak {
    Http1,
    Http2,
    /// Whatever the host prefers (ALPN).
    Either,
}

impl Route {
    /// The route to the origin. HTTP/2 is only ever spoken with the host itself.
    pub(crate) fn to(origin: &Origin, proxies: &Proxies, speak: Speak) -> Self {
        let Some(proxy) = proxies.route(origin) else {
            return Self::Direct(origin.clone());
        };
        if proxy.is_http() && origin.scheme() == Scheme::Http && speak != Speak::Http2 {
            return Self::Forward(proxy);
        }
        Self::Tunnel(proxy, origin.clone())
    }
}

impl Speak {
    /// What may be spoken with an origin. Without TLS nothing tells whether the host knows HTTP/2.
    pub(crate) fn with(origin: &Origin, version: HttpVersion) -> Self {
        match (version, origin.scheme()) {
            (HttpVersion::Http1, _) | (HttpVersion::Auto, Scheme::Http) => Self::Http1,
            (HttpVersion::Auto, Scheme::Https) => Self::Either,
            (HttpVersion::Http2, _) => Self::Http2,
        }
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[track_caller]
    fn check(url: &str, proxy: &str, version: HttpVersion, expected: &str) {
        let origin = Origin::of(&Url::parse(url).unwrap()).unwrap();
        let proxies = match proxy {
            "" => Proxies::none(),
            proxy => Proxies::none().all(Proxy::parse(proxy).unwrap()),
        };
        let route = Route::to(&origin, &proxies, Speak::with(&origin, version));
        let told = match route {
            Route::Direct(_) => "direct",
            Route::Tunnel(..) => "tunnel",
            Route::Forward(_) => "forward",
        };
        assert_eq!(told, expected, "{url} {proxy} {version}");
    }

    #[test]
    fn the_way_depends_on_both_ends() {
        use HttpVersion::{Auto, Http1, Http2};
        for version in [Http1, Auto] {
            check("http://a/", "", version, "direct");
            check("http://a/", "http://p", version, "forward");
            check("http://a/", "https://p", version, "forward");
            check("http://a/", "socks5://p", version, "tunnel");
            check("https://a/", "http://p", version, "tunnel");
            check("https://a/", "socks5h://p", version, "tunnel");
        }
        check("http://a/", "http://p", Http2, "tunnel");
    }
}
