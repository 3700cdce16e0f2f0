//! Which texts name a proxy and what they mean; which do not, and that neither shows a password.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(text: &str, expected: &str, login: Option<(&[u8], &[u8])>) {
    let proxy = Proxy::parse(text).unwrap();
    assert_eq!(proxy.to_string(), expected);
    let found = proxy
        .login
        .as_ref()
        .map(|login| (&login.user[..], &login.password[..]));
    assert_eq!(found, login, "{text}");
}

#[test]
fn texts_that_name_a_proxy() {
    check("proxy", "http://proxy:1080", None);
    check("proxy:3128", "http://proxy:3128", None);
    check(" proxy:3128/\n", "http://proxy:3128", None);
    check("http://proxy:80", "http://proxy:80", None);
    check("http://proxy:/", "http://proxy:1080", None);
    check("HTTPS://Proxy", "https://proxy:443", None);
    check("https://proxy:3129", "https://proxy:3129", None);
    check("socks://proxy", "socks5://proxy:1080", None);
    check("socks4://proxy", "socks4://proxy:1080", None);
    check("socks4a://proxy", "socks4a://proxy:1080", None);
    check("socks5://proxy", "socks5://proxy:1080", None);
    check("socks5h://127.0.0.1", "socks5h://127.0.0.1:1080", None);
    check("[::1]:3128", "http://[::1]:3128", None);
    check(
        "socks5://[2001:DB8::1]",
        "socks5://[2001:db8::1]:1080",
        None,
    );
    check(
        "http://b\u{fc}cher.example",
        "http://xn--bcher-kva.example:1080",
        None,
    );
}

#[test]
fn credentials_of_a_text() {
    check("me:pw@proxy:1", "http://proxy:1", Some((b"me", b"pw")));
    check("http://me@proxy:1", "http://proxy:1", Some((b"me", b"")));
    check("http://@proxy:1", "http://proxy:1", None);
    check("http://:pw@proxy:1", "http://proxy:1", Some((b"", b"pw")));
    check(
        "http://me:p:w@proxy:1",
        "http://proxy:1",
        Some((b"me", b"p:w")),
    );
    check(
        "http://me:p@w@proxy:1",
        "http://proxy:1",
        Some((b"me", b"p@w")),
    );
    check(
        "socks5://a%40b:%2f%3f%23%ff@proxy",
        "socks5://proxy:1080",
        Some((b"a@b", b"/?#\xff")),
    );
    check(
        "socks5://a%3Ab:x@proxy",
        "socks5://proxy:1080",
        Some((b"a:b", b"x")),
    );
}

#[test]
fn texts_that_do_not() {
    let check = |text: &str, expected: &str| {
        let error = Proxy::parse(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
        assert!(error.to_string().ends_with(expected), "{error}");
    };
    check("", "`` is no proxy: not a host name or address");
    check("http://", "not a host name or address");
    check(
        "http://proxy:x",
        "`http://proxy:***` is no proxy: the port is not a number",
    );
    check("http://proxy:0", "the port is not between 1 and 65535");
    check("http://proxy:65536", "the port is not between 1 and 65535");
    check("http://proxy:+1", "the port is not a number");
    check(
        "http://pro xy",
        "`http://pro xy` is no proxy: not a host name or address",
    );
    check("http://[::1", "not a host name or address");
    check(
        "ftp://proxy",
        "is no proxy: none of http, https, socks4, socks4a, socks5, socks5h",
    );
    check(
        "http://proxy/path",
        "more than host and port, or credentials that are not percent-encoded",
    );
    check(
        "http://me:12/3@proxy:1",
        "more than host and port, or credentials that are not percent-encoded",
    );
    check(
        &format!("{}.x", "x".repeat(300)),
        "the host name is too long",
    );
    check(
        "http://a%3Ab:x@proxy",
        "proxy http://proxy:1080 cannot be sent a colon in the user name",
    );
    check(
        "socks4://a%00b@proxy",
        "cannot be sent a NUL in the user name",
    );
    let long = "x".repeat(256);
    check(
        &format!("socks4://{long}@p"),
        "cannot be sent a user name of more than 255 bytes",
    );
    check(
        &format!("socks5://{long}@p"),
        "cannot be sent a user name of more than 255 bytes",
    );
    check(
        &format!("socks5://u:{long}@p"),
        "cannot be sent a password of more than 255 bytes",
    );
    assert!(Proxy::parse(&format!("http://{long}:{long}@p")).is_ok());
}

#[test]
fn credentials_are_a_field_of_http_only() {
    let proxy = |text: &str| Proxy::parse(text).unwrap();
    let value = proxy("http://Aladdin:open%20sesame@p")
        .authorization()
        .unwrap();
    assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert!(value.is_sensitive());
    let own = proxy("https://else@p")
        .credentials("Aladdin", "open sesame")
        .unwrap();
    assert_eq!(own.authorization().unwrap(), value);
    assert_eq!(proxy("http://p").authorization(), None);
    assert_eq!(proxy("socks5://Aladdin:x@p").authorization(), None);
    assert!(proxy("http://p").credentials("a:b", "").is_err());
    assert_ne!(proxy("http://a:b@p"), proxy("http://a:c@p"));
}

#[test]
fn what_each_protocol_takes() {
    let check = |scheme: &str, http: bool, tls: bool, names: bool, v6: bool| {
        let proxy = Proxy::parse(&format!("{scheme}://p")).unwrap();
        let found = (proxy.is_http(), proxy.needs_tls(), proxy.resolves_names());
        assert_eq!(found, (http, tls, names), "{scheme}");
        assert_eq!(proxy.takes("::1".parse().unwrap()), v6, "{scheme}");
        assert!(proxy.takes("127.0.0.1".parse().unwrap()), "{scheme}");
    };
    check("http", true, false, true, true);
    check("https", true, true, true, true);
    check("socks4", false, false, false, false);
    check("socks4a", false, false, true, false);
    check("socks5", false, false, false, true);
    check("socks5h", false, false, true, true);
}

proptest! {
    /// However wrong a text with a password is, the password is shown by nothing that comes of it.
    #[test]
    fn no_password_is_shown(
        scheme in "(|http://|https://|socks4://|socks5h://|ftp://|://|x)",
        user in "[a-z@:/?#%\\[\\] ]{0,3}",
        before in "[a-z@:/?#%\\[\\]\\\\ \n]{0,4}",
        after in "[a-z0-9:/?#%\\[\\]\\\\ \n]{0,4}",
        host in "(|@proxy|@proxy:3128|@[::1]:1/|@pro xy:x|@|@proxy:99999/path)",
    ) {
        let text = format!("{scheme}{user}:{before}hunter{after}{host}");
        let shown = match Proxy::parse(&text) {
            Ok(proxy) => format!("{proxy} {proxy:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        // Without an `@` behind it, what stands in the place of a host is a host.
        let is_host = !host.contains('@')
            && (before.contains('@') || user.contains('@') || before.starts_with("//"));
        prop_assert!(is_host || !shown.contains("hunter"), "{text:?}: {shown}");
    }

    /// What a proxy is shown as names the same proxy.
    #[test]
    fn what_is_shown_can_be_read(text in "(http|https|socks4a?|socks5h?)://[a-z0-9.-]{1,20}(:[0-9]{1,5})?") {
        if let Ok(proxy) = Proxy::parse(&text) {
            prop_assert_eq!(Proxy::parse(&proxy.to_string()).unwrap(), proxy);
        }
    }
}
