//! Answers of SOCKS 4 and 5.

use super::*;

#[tokio::test]
async fn socks4_opens() {
    let granted = b"\0\x5a\0\0\0\0\0\0";
    let by_name = b"\x04\x01\0\x50\0\0\0\x01\0files.test\0";
    case("socks4a://p", "http://files.test/", &[(by_name, granted)])
        .opens()
        .await;
    let by_user = b"\x04\x01\x01\xbb\0\0\0\x01me\0files.test\0";
    case(
        "socks4a://me:secret@p",
        "https://files.test/",
        &[(by_user, granted)],
    )
    .opens()
    .await;
    let literal = b"\x04\x01\x1f\x90\x7f\0\0\x01\0";
    case(
        "socks4a://p",
        "http://127.0.0.1:8080/",
        &[(literal, granted)],
    )
    .opens()
    .await;
    case(
        "socks4://p",
        "http://files.test:8080/",
        &[(literal, granted)],
    )
    .looked_up("127.0.0.1:8080")
    .opens()
    .await;
}

#[tokio::test]
async fn socks4_is_refused() {
    use ErrorKind::{ProxyAuthentication, ProxyDenied, ProxyFailed, ProxyProtocol};

    let asked = b"\x04\x01\0\x50\0\0\0\x01\0files.test\0";
    for (answer, kind, ending) in [
        (
            &b"\0\x5b\0\0\0\0\0\0"[..],
            ProxyFailed,
            "proxy socks4a://p:1080 does not reach files.test:80: request rejected or failed (91)",
        ),
        (
            b"\0\x5d",
            ProxyAuthentication,
            "the user name could not be confirmed (93)",
        ),
        (
            b"\0\x01",
            ProxyProtocol,
            "it answered `\\x00\\x01`, which is not SOCKS 4",
        ),
        (
            b"HTTP/1.1 400 Bad Request",
            ProxyProtocol,
            "it answered `HT`, which is not SOCKS 4",
        ),
        (b"", ProxyFailed, "it hung up without an answer"),
    ] {
        case("socks4a://p", "http://files.test/", &[(asked, answer)])
            .fails(kind, ending)
            .await;
    }
    let ending = "SOCKS 4 has no room for an IPv6 address";
    let no_room = case("socks4://p", "http://files.test/", &[]).looked_up("[::1]:80");
    no_room.fails(ProxyDenied, ending).await;
    let unknown = case("socks4://p", "http://files.test/", &[]);
    unknown
        .fails(ProxyDenied, "it takes addresses only, and none is known")
        .await;
}

const HELLO: &[u8] = b"\x05\x01\0";
const HELLO_WITH_LOGIN: &[u8] = b"\x05\x02\0\x02";
const LOGIN: &[u8] = b"\x01\x02me\x06secret";
const ASK_BY_NAME: &[u8] = b"\x05\x01\0\x03\x0afiles.test\0\x50";
const GRANTED: &[u8] = b"\x05\0\0\x01\x7f\0\0\x01\x12\x34";

#[tokio::test]
async fn socks5_opens() {
    let url = "http://files.test/";
    for granted in [
        GRANTED,
        b"\x05\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x34",
        b"\x05\0\0\x03\x04host\x12\x34",
        b"\x05\0\xff\x03\0\x12\x34",
    ] {
        case(
            "socks5h://p",
            url,
            &[(HELLO, b"\x05\0"), (ASK_BY_NAME, granted)],
        )
        .opens()
        .await;
    }
    // It may do without the login.
    let anyone = [(HELLO_WITH_LOGIN, &b"\x05\0"[..]), (ASK_BY_NAME, GRANTED)];
    case("socks5h://me:secret@p", url, &anyone).opens().await;
    for welcome in [b"\x01\0", b"\x05\0"] {
        let login = [
            (HELLO_WITH_LOGIN, &b"\x05\x02"[..]),
            (LOGIN, welcome),
            (ASK_BY_NAME, GRANTED),
        ];
        case("socks5h://me:secret@p", url, &login).opens().await;
    }
    for (url, address, asked) in [
        (
            "http://files.test/",
            "127.0.0.1:80",
            &b"\x05\x01\0\x01\x7f\0\0\x01\0\x50"[..],
        ),
        (
            "https://files.test/",
            "[::1]:443",
            b"\x05\x01\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb",
        ),
    ] {
        case("socks5://p", url, &[(HELLO, b"\x05\0"), (asked, GRANTED)])
            .looked_up(address)
            .opens()
            .await;
    }
    let literal: &[u8] = b"\x05\x01\0\x01\x7f\0\0\x01\0\x50";
    case(
        "socks5h://p",
        "http://127.0.0.1/",
        &[(HELLO, b"\x05\0"), (literal, GRANTED)],
    )
    .opens()
    .await;
}

#[tokio::test]
async fn socks5_turns_logins_down() {
    use ErrorKind::{ProxyAuthentication, ProxyProtocol};

    let (url, with_login) = ("http://files.test/", "socks5h://me:secret@p");
    let talk = [(HELLO, &b"\x05\xff"[..])];
    let ending =
        "proxy socks5h://p:1080 wants a user name and password: it takes nobody without a login";
    case("socks5h://p", url, &talk)
        .fails(ProxyAuthentication, ending)
        .await;
    let talk = [(HELLO_WITH_LOGIN, &b"\x05\xff"[..])];
    case(with_login, url, &talk)
        .fails(ProxyAuthentication, "it wants another kind of login")
        .await;
    let talk = [(HELLO, &b"\x05\x02"[..])];
    let ending = "it answered `\\x05\\x02`, which is not SOCKS 5";
    case("socks5h://p", url, &talk)
        .fails(ProxyProtocol, ending)
        .await;
    for (answer, kind, ending) in [
        (
            &b"\x01\x01"[..],
            ProxyAuthentication,
            "proxy socks5h://p:1080 does not accept this user name and password: the login failed (1)",
        ),
        (b"", ProxyAuthentication, "it hung up on the login"),
        (
            b"\x02\0",
            ProxyProtocol,
            "it answered `\\x02\\x00`, which is not SOCKS 5",
        ),
    ] {
        let talk = [(HELLO_WITH_LOGIN, &b"\x05\x02"[..]), (LOGIN, answer)];
        case(with_login, url, &talk).fails(kind, ending).await;
    }
}

#[tokio::test]
async fn socks5_is_refused() {
    use ErrorKind::{ProxyDenied, ProxyFailed, ProxyProtocol};

    for (code, kind, ending) in [
        (1, ProxyFailed, "general failure (1)"),
        (
            2,
            ProxyDenied,
            "proxy socks5h://p:1080 refuses to connect to files.test:80: not allowed by its rules (2)",
        ),
        (3, ProxyFailed, "network unreachable (3)"),
        (
            4,
            ProxyFailed,
            "proxy socks5h://p:1080 does not reach files.test:80: host unreachable (4)",
        ),
        (5, ProxyFailed, "connection refused (5)"),
        (6, ProxyFailed, "TTL expired (6)"),
        (7, ProxyDenied, "command not supported (7)"),
        (8, ProxyDenied, "address type not supported (8)"),
        (200, ProxyFailed, "unknown failure (200)"),
    ] {
        let answer = [5, code, 0, 1, 0, 0, 0, 0, 0, 0];
        let talk = [(HELLO, &b"\x05\0"[..]), (ASK_BY_NAME, &answer[..])];
        case("socks5h://p", "http://files.test/", &talk)
            .fails(kind, ending)
            .await;
    }
    for (hello, answer) in [
        (&b"HTTP/1.1 400"[..], &b""[..]),
        (b"\x04\0", b""),
        (b"\x05\0", b"\x05\0\0\x09"),
    ] {
        let asked = if answer.is_empty() {
            &b""[..]
        } else {
            ASK_BY_NAME
        };
        let talk = [(HELLO, hello), (asked, answer)];
        case("socks5h://p", "http://files.test/", &talk)
            .fails(ProxyProtocol, "which is not SOCKS 5")
            .await;
    }
    let talk = [(HELLO, &b""[..])];
    let ending = "it hung up without an answer";
    case("socks5h://p", "http://files.test/", &talk)
        .fails(ProxyFailed, ending)
        .await;
}
