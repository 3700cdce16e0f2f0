//! What becomes of every answer that a proxy can give: whole, in pieces, cut off, and followed at once by the host's bytes.

mod connect;
mod socks;

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

const CONNECT: &[u8] = b"CONNECT files.test:443 HTTP/1.1\r\nHost: files.test:443\r\n\r\n";
