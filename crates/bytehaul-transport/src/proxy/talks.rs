//! What becomes of every answer that a proxy can give: whole, in pieces, cut off, and followed at once by the host's bytes.

use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use url::Url;

use super::tunnel::{Step, Talk};
use super::*;
use crate::Origin;

/// What the client says, and the answer to it.
type Exchange<'a> = (&'a [u8], &'a [u8]);

/// How an answer arrives.
#[derive(Clone, Copy, Debug)]
enum Delivery {
    Whole,
    Bytewise,
}

struct Case<'a> {
    proxy: &'a str,
    url: &'a str,
    /// Looked up here.
    address: Option<&'a str>,
    talk: &'a [Exchange<'a>],
}

fn case<'a>(proxy: &'a str, url: &'a str, talk: &'a [Exchange<'a>]) -> Case<'a> {
    Case {
        proxy,
        url,
        address: None,
        talk,
    }
}

impl<'a> Case<'a> {
    fn looked_up(self, address: &'a str) -> Self {
        Self {
            address: Some(address),
            ..self
        }
    }

    /// The case with a proxy that answers so, and hangs up when it has nothing more to say. Success gives what came after.
    async fn run(&self, talk: &[Exchange<'_>], delivery: Delivery) -> Result<Vec<u8>, Error> {
        let proxy = Proxy::parse(self.proxy).unwrap();
        let origin = Origin::of(&Url::parse(self.url).unwrap()).unwrap();
        let address = self.address.map(|address| address.parse().unwrap());
        let (io, peer) = tokio::io::duplex(1 << 20);
        let speak = speak(peer, talk, delivery);
        let ask = async {
            let mut io = tunnel(&proxy, io, &origin, address).await?;
            let mut rest = Vec::new();
            io.read_to_end(&mut rest).await.unwrap();
            Ok(rest)
        };
        let both = async { tokio::join!(ask, speak).0 };
        tokio::time::timeout(Duration::from_secs(3), both)
            .await
            .expect("no answer makes it wait for more than there is")
    }

    /// The tunnel opens, and not a byte of the host is lost.
    async fn opens(&self) {
        let mut talk = self.talk.to_vec();
        let (said, answer) = talk.pop().unwrap();
        for delivery in [Delivery::Whole, Delivery::Bytewise] {
            for host in [&b""[..], b"\r\nhost first"] {
                let answer = [answer, host].concat();
                let talk = [&talk[..], &[(said, &answer[..])]].concat();
                let rest = self.run(&talk, delivery).await.unwrap();
                assert_eq!(rest, host, "{} {delivery:?}", self.proxy);
            }
        }
        self.fails_when_cut().await;
    }

    /// The error has this kind and ends so, and is the same however the answer arrives.
    async fn fails(&self, kind: ErrorKind, ending: &str) {
        for delivery in [Delivery::Whole, Delivery::Bytewise] {
            let error = self.run(self.talk, delivery).await.unwrap_err();
            let text = error.to_string();
            assert_eq!(error.kind(), kind, "{text}");
            assert!(text.ends_with(ending), "{text}");
            let named = Proxy::parse(self.proxy).unwrap().to_string();
            assert!(text.starts_with(&format!("proxy {named} ")), "{text}");
            assert!(!format!("{text} {error:?}").contains("secret"), "{text}");
        }
        self.fails_when_cut().await;
    }

    /// An end at any byte is an error, and one that the proxy is blamed for.
    async fn fails_when_cut(&self) {
        for (turn, (said, answer)) in self.talk.iter().enumerate() {
            for end in 0..answer.len() {
                let talk = [&self.talk[..turn], &[(*said, &answer[..end])]].concat();
                let error = self.run(&talk, Delivery::Whole).await.unwrap_err();
                let kind = error.kind();
                let is_proxys = matches!(
                    kind,
                    ErrorKind::ProxyFailed
                        | ErrorKind::ProxyAuthentication
                        | ErrorKind::ProxyDenied
                        | ErrorKind::ProxyProtocol
                );
                assert!(is_proxys, "{kind:?} {error}");
            }
        }
    }
}

async fn speak(mut peer: DuplexStream, talk: &[Exchange<'_>], delivery: Delivery) {
    for (said, answer) in talk {
        let mut heard = vec![0; said.len()];
        peer.read_exact(&mut heard).await.unwrap();
        assert_eq!(
            heard.escape_ascii().to_string(),
            said.escape_ascii().to_string()
        );
        let length = match delivery {
            Delivery::Whole => answer.len().max(1),
            Delivery::Bytewise => 1,
        };
        for piece in answer.chunks(length) {
            // The other end may have heard enough.
            let _ = peer.write_all(piece).await;
            tokio::task::yield_now().await;
        }
    }
    let _ = peer.shutdown().await;
    let mut more = Vec::new();
    let _ = peer.read_to_end(&mut more).await;
    assert_eq!(
        more.escape_ascii().to_string(),
        "",
        "said after the last answer"
    );
}

const CONNECT: &[u8] = b"CONNECT files.test:443 HTTP/1.1\r\nHost: files.test:443\r\n\r\n";

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

#[tokio::test]
async fn dropping_hangs_up() {
    let (io, mut peer) = tokio::io::duplex(1 << 10);
    let proxy = Proxy::parse("p").unwrap();
    let origin = Origin::of(&Url::parse("https://files.test/").unwrap()).unwrap();
    let asked =
        tokio::time::timeout(Duration::from_millis(20), tunnel(&proxy, io, &origin, None)).await;
    assert!(asked.is_err(), "nobody has answered");
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, CONNECT);
}

proptest! {
    /// Whatever a proxy says, the talk asks for a bounded number of bytes, and comes to an end.
    #[test]
    fn any_answer_is_bounded(
        scheme in "(http|socks4a|socks5h)",
        login in "(|me:secret@)",
        start in prop::sample::select(vec![&b""[..], b"HTTP/1.1 ", b"HTTP/1.1 200", b"\0\x5a", b"\x05\0\x05\0", b"\x05\x02\x01\0\x05\0"]),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let proxy = Proxy::parse(&format!("{scheme}://{login}p")).unwrap();
        let origin = Origin::of(&Url::parse("https://files.test/").unwrap()).unwrap();
        let mut talk = Talk::new(&proxy, &origin, None).unwrap();
        let (all, mut received, mut sends) = ([start, &bytes[..]].concat(), Vec::new(), 0);
        let mut rest = &all[..];
        while let Ok(step) = talk.step(&received) {
            match step {
                Step::Open => break,
                Step::Send(_) => {
                    sends += 1;
                    received.clear();
                }
                Step::Receive(length) => {
                    prop_assert!((1..=257).contains(&length));
                    let Some((taken, left)) = rest.split_at_checked(length) else { break };
                    (received, rest) = (taken.to_vec(), left);
                }
            }
        }
        prop_assert!(sends <= 3);
    }
}
