//! What the caller gave to be sent along with requests, and to which origin each of it may go.

use std::sync::Arc;

use bytehaul_transport::{Origin, SafeUrl, Url};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use crate::error::DownloadError;
use crate::netrc::Entries;
use crate::refresh::Refreshed;
use crate::session::job;

/// A URL, and what goes with requests to it.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    url: Url,
    headers: Bound<HeaderMap>,
    auth: Option<Bound<HeaderValue>>,
    netrc: Arc<Entries>,
}

/// Something that goes to one origin only.
#[derive(Clone, Debug)]
struct Bound<T> {
    /// `None`: nowhere.
    origin: Option<Origin>,
    value: T,
}

impl Given {
    pub(crate) fn new(
        url: Url,
        headers: HeaderMap,
        auth: Option<HeaderValue>,
        netrc: Arc<Entries>,
    ) -> Self {
        Self {
            headers: Bound::to(&url, headers),
            auth: auth.map(|auth| Bound::to(&url, auth)),
            url,
            netrc,
        }
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn safe_url(&self) -> SafeUrl {
        SafeUrl::from(&self.url)
    }

    /// Whether a URL is of the origin of this one, so that what is given for it may go there.
    pub(crate) fn is_same_origin(&self, url: &Url) -> bool {
        Bound::to(&self.url, ()).is_for(url)
    }

    /// The fields for a request to `url`: to this URL, or to where a redirect from it led.
    ///
    /// What says who is asking is taken from, in this order: an `Authorization` among the headers, the credentials of
    /// their own, the URL (which the transport does), the `.netrc` file.
    pub(crate) fn fields(&self, url: &Url) -> HeaderMap {
        let mut fields = if self.headers.is_for(url) {
            self.headers.value.clone()
        } else {
            HeaderMap::new()
        };
        if fields.contains_key(AUTHORIZATION) {
            return fields;
        }
        let own = self.auth.as_ref().filter(|auth| auth.is_for(url));
        let auth = match own {
            Some(auth) => Some(auth.value.clone()),
            None if self.is_same_origin(url) => self.looked_up(),
            None => None,
        };
        if let Some(auth) = auth {
            fields.insert(AUTHORIZATION, auth);
        }
        fields
    }

    /// The same with another URL; what was given goes there only if it is of the same origin.
    pub(crate) fn at(&self, url: Url) -> Self {
        Self {
            url,
            ..self.clone()
        }
    }

    /// The same with a URL that a server has named. Nothing is looked up for it elsewhere: it would be the server that
    /// chooses to whom, and over what kind of connection, a password goes.
    pub(crate) fn led_to(&self, url: Url) -> Self {
        let netrc = if self.is_same_origin(&url) {
            Arc::clone(&self.netrc)
        } else {
            Arc::default()
        };
        Self {
            netrc,
            ..self.at(url)
        }
    }

    /// What a refresher made of it.
    pub(crate) fn renewed(&self, refreshed: &Refreshed) -> Result<Self, DownloadError> {
        let mut renewed = match &refreshed.url {
            Some(url) => self.at(job::parse_url("refreshed URL", url)?),
            None => self.clone(),
        };
        if let Some(headers) = &refreshed.headers {
            renewed.headers = Bound::to(&renewed.url, job::parse_headers(headers)?);
        }
        if let Some(auth) = &refreshed.auth {
            // A header that was given before would hide them.
            if refreshed.headers.is_none() {
                renewed.headers.value.remove(AUTHORIZATION);
            }
            renewed.auth = Some(Bound::to(&renewed.url, auth.field()?));
        }
        Ok(renewed)
    }

    fn looked_up(&self) -> Option<HeaderValue> {
        // One that cannot be written is of no use.
        self.netrc.auth(&self.url)?.field().ok()
    }
}

impl<T> Bound<T> {
    fn to(url: &Url, value: T) -> Self {
        Self {
            origin: Origin::of(url).ok(),
            value,
        }
    }

    fn is_for(&self, url: &Url) -> bool {
        self.origin.is_some() && self.origin == Origin::of(url).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Auth;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn given(from: &str, headers: &[(&str, &str)], auth: Option<Auth>, netrc: &str) -> Given {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let headers = job::parse_headers(&headers).unwrap();
        let auth = auth.map(|auth| auth.field().unwrap());
        let netrc = Arc::new(Entries::parse(netrc).unwrap());
        Given::new(url(from), headers, auth, netrc)
    }

    /// `Authorization` and `x-key` of a request.
    #[track_caller]
    fn check(given: &Given, to: &str, expected: [&str; 2]) {
        let fields = given.fields(&url(to));
        let field = |name: &str| fields.get(name).map_or("", |value| value.to_str().unwrap());
        assert_eq!([field("authorization"), field("x-key")], expected, "{to}");
    }

    const NETRC: &str = "machine a login n password p\nmachine b login m password q";
    /// `n:p` and `m:q` in base64.
    const OF_A: &str = "Basic bjpw";
    const OF_B: &str = "Basic bTpx";

    #[test]
    fn which_credentials_win() {
        let bearer = || Some(Auth::bearer("t"));
        let headers = [("Authorization", "Own x"), ("x-key", "k")];
        let all = given("http://a/", &headers, bearer(), NETRC);
        check(&all, "http://a/", ["Own x", "k"]);
        let auth = given("http://a/", &headers[1..], bearer(), NETRC);
        check(&auth, "http://a/x", ["Bearer t", "k"]);
        // The transport writes those of the URL.
        let in_url = given("http://u:p@a/", &[], None, NETRC);
        check(&in_url, "http://u:p@a/", ["", ""]);
        check(
            &given("http://a/", &[], None, NETRC),
            "http://a/",
            [OF_A, ""],
        );
    }

    #[test]
    fn nothing_goes_to_another_origin() {
        let all = given(
            "http://a/",
            &[("x-key", "k")],
            Some(Auth::bearer("t")),
            NETRC,
        );
        for other in ["https://a/", "http://a:81/", "http://b/", "http://sub.a/"] {
            check(&all, other, ["", ""]);
            check(&given("http://a/", &[], None, NETRC), other, ["", ""]);
        }
    }

    #[test]
    fn a_mirror_has_what_is_for_its_own_host() {
        let all = given(
            "http://a/",
            &[("x-key", "k")],
            Some(Auth::bearer("t")),
            NETRC,
        );
        check(&all.at(url("http://b/")), "http://b/", [OF_B, ""]);
        check(&all.at(url("http://a/2")), "http://a/2", ["Bearer t", "k"]);
    }

    #[test]
    fn nothing_is_looked_up_for_a_host_that_a_server_names() {
        let file = "machine b login m password q\ndefault login n password p";
        let all = given("http://a/", &[("x-key", "k")], None, file);
        check(&all.led_to(url("http://b/")), "http://b/", ["", ""]);
        check(&all.led_to(url("http://c/")), "http://c/", ["", ""]);
        check(&all.led_to(url("http://a/2")), "http://a/2", [OF_A, "k"]);
    }

    #[test]
    fn what_a_refresher_gives_is_for_the_new_url() {
        let headers = [("Authorization", "Own x"), ("x-key", "k")];
        let old = given("http://a/", &headers, None, "");
        let renew = |refreshed: Refreshed| old.renewed(&refreshed).unwrap();
        let token = renew(Refreshed::new().auth(Auth::bearer("t")));
        check(&token, "http://a/", ["Bearer t", "k"]);
        let moved = renew(Refreshed::new().url("http://b/"));
        check(&moved, "http://b/", ["", ""]);
        check(&moved, "http://a/", ["Own x", "k"]);
        let both = renew(Refreshed::new().url("http://b/").auth(Auth::bearer("t")));
        check(&both, "http://b/", ["Bearer t", ""]);
        check(&both, "http://a/", ["", "k"]);
        let fields = renew(Refreshed::new().header("x-key", "new"));
        check(&fields, "http://a/", ["", "new"]);
    }

    #[test]
    fn what_a_refresher_gives_is_checked() {
        let old = given("http://a/", &[], None, "");
        for refreshed in [
            Refreshed::new().url("ftp://a/"),
            Refreshed::new().url("no url"),
            Refreshed::new().auth(Auth::bearer("a\nb")),
            Refreshed::new().header("range", "bytes=0-"),
        ] {
            assert!(old.renewed(&refreshed).is_err(), "{refreshed:?}");
        }
    }
}
