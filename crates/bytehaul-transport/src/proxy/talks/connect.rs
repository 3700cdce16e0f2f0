//! Answers to `CONNECT`.

use super::*;

fn connect<'a>(talk: &'a [Exchange<'a>]) -> Case<'a> {
    case("http://p:1", "https://files.test/", talk)
}

#[tokio::test]
async fn connect_opens() {
    for answer in [
        &b"HTTP/1.1 200 Connection established\r\n\r\n"[..],
        b"HTTP/1.0 200 OK\r\nVia: x\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 200 \r\n\r\n",
        b"HTTP/1.1 204 No Content\n\n",
        b"HTTP/1.1 200 OK\nVia: x\n\r\n",
        // Fields that frame a body mean nothing here.
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        connect(&[(CONNECT, answer)]).opens().await;
    }
    let v6 = &b"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n"[..];
    let (url, yes) = ("https://[::1]:8443/x?y", b"HTTP/1.1 200 OK\r\n\r\n");
    case("http://p:1", url, &[(v6, yes)]).opens().await;
    let with_login = &b"CONNECT files.test:80 HTTP/1.1\r\nHost: files.test:80\r\n\
        Proxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n"[..];
    // The name is the proxy's business.
    case(
        "https://me:secret@p:1",
        "http://files.test/",
        &[(with_login, yes)],
    )
    .looked_up("127.0.0.1:80")
    .opens()
    .await;
}

#[tokio::test]
async fn connect_is_refused() {
    use ErrorKind::{ProxyAuthentication, ProxyDenied, ProxyFailed, ProxyProtocol};

    let long_reason = ["HTTP/1.1 403 ", &"x".repeat(500), "\r\n\r\n"].concat();
    let long_shown = format!(": 403 {}", "x".repeat(100));
    for (answer, kind, ending) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\nbody",
            ProxyAuthentication,
            "proxy http://p:1 wants a user name and password: 407 Proxy Authentication Required",
        ),
        (
            "HTTP/1.0 401 Unauthorized\r\n\r\n",
            ProxyAuthentication,
            "401 Unauthorized",
        ),
        (
            "HTTP/1.1 403 Filtered\r\n\r\n",
            ProxyDenied,
            "proxy http://p:1 refuses to connect to files.test:443: 403 Filtered",
        ),
        (
            "HTTP/1.1 405\r\n\r\n",
            ProxyDenied,
            ": 405 Method Not Allowed",
        ),
        (
            "HTTP/1.1 302 Log in first\r\n\r\n",
            ProxyDenied,
            ": 302 Log in first",
        ),
        (
            "HTTP/1.1 501 \r\n\r\n",
            ProxyDenied,
            ": 501 Not Implemented",
        ),
        ("HTTP/1.1 429 Slow\r\n\r\n", ProxyFailed, ": 429 Slow"),
        (
            "HTTP/1.1 500 Unable to connect\r\n\r\n",
            ProxyFailed,
            ": 500 Unable to connect",
        ),
        (
            "HTTP/1.1 503 Service Unavailable\r\n\r\n",
            ProxyFailed,
            "proxy http://p:1 does not reach files.test:443: 503 Service Unavailable",
        ),
        (
            "HTTP/1.1 999 a\u{1b}[2J\r\n\r\n",
            ProxyFailed,
            ": 999 a\u{fffd}[2J",
        ),
        (&long_reason, ProxyDenied, &long_shown),
        (
            "SSH-2.0-OpenSSH_9.2\r\n",
            ProxyProtocol,
            "proxy http://p:1 does not speak its protocol: it answered `SSH-2`",
        ),
        (
            "HTTP/2 200\r\n\r\n",
            ProxyProtocol,
            "it answered `HTTP/2 200`",
        ),
        (
            "HTTP/1.1 20\r\n\r\n",
            ProxyProtocol,
            "it answered `HTTP/1.1 20`",
        ),
        (
            "HTTP/1.1 2000 OK\r\n\r\n",
            ProxyProtocol,
            "it answered `HTTP/1.1 2000 OK`",
        ),
        ("HTTP/1.1\r\n\r\n", ProxyProtocol, "it answered `HTTP/1.1`"),
        ("", ProxyFailed, "it hung up without an answer"),
    ] {
        connect(&[(CONNECT, answer.as_bytes())])
            .fails(kind, ending)
            .await;
    }
    let with_login = &b"CONNECT files.test:443 HTTP/1.1\r\nHost: files.test:443\r\n\
        Proxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n"[..];
    let ending = "proxy http://p:1 does not accept this user name and password: 407 No";
    case(
        "http://me:secret@p:1",
        "https://files.test/",
        &[(with_login, b"HTTP/1.1 407 No\r\n\r\n")],
    )
    .fails(ProxyAuthentication, ending)
    .await;
}

#[tokio::test]
async fn endless_heads_end() {
    for endless in [
        ["HTTP/1.1 200 OK\r\nX: ", &"x".repeat(70_000)].concat(),
        ["HTTP/1.1 200 ", &"\n ".repeat(40_000)].concat(),
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(3000),
    ] {
        let talk: &[Exchange<'_>] = &[(CONNECT, endless.as_bytes())];
        let error = connect(talk).run(talk, Delivery::Whole).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ProxyProtocol);
        assert!(
            error
                .to_string()
                .ends_with("its answer is longer than 64 KiB"),
            "{error}"
        );
    }
}
