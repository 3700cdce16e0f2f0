//! Proxies: the texts that name them, and what they answer.

use bytehaul_transport::{Origin, Proxies, Proxy, Url, own_bytes};

/// No password of a text is shown, whether it names a proxy or not, and what is shown of a proxy names it again.
pub fn proxy_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = Proxies::none().no_proxy(text);
    if text.contains(SECRET) {
        return;
    }
    if let Some((login, host)) = text.rsplit_once('@') {
        let text = format!("{login}:{SECRET}@{host}");
        let shown = match Proxy::parse(&text) {
            Ok(proxy) => format!("{proxy} {proxy:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains(SECRET), "{text:?}: {shown}");
    }
    if let Ok(proxy) = Proxy::parse(text) {
        let shown = proxy.to_string();
        let again = Proxy::parse(&shown).expect("what is shown of a proxy names one");
        assert_eq!(again.to_string(), shown);
    }
}

/// An answer that opens a tunnel has an end, which neither the bytes of the host behind it nor their lack moves.
pub fn proxy_answer(data: &[u8]) {
    let Some((kind, answer)) = data.split_first() else {
        return;
    };
    let proxy = PROXIES[usize::from(*kind) % PROXIES.len()];
    let proxy = Proxy::parse(proxy).expect("these are proxies");
    let url = Url::parse("https://files.test/").expect("this is a url");
    let origin = Origin::of(&url).expect("this is an origin");
    let Some(length) = own_bytes(&proxy, &origin, answer) else {
        return;
    };
    let own = &answer[..length];
    assert_eq!(own_bytes(&proxy, &origin, own), Some(length));
    assert_eq!(
        own_bytes(&proxy, &origin, &[own, b"\r\n\r\nhost"].concat()),
        Some(length)
    );
    assert_eq!(own_bytes(&proxy, &origin, &own[..length - 1]), None);
}

const SECRET: &str = "fuzzedsecret";
const PROXIES: [&str; 4] = ["p", "socks4a://p", "socks5h://p", "socks5h://me:pw@p"];
