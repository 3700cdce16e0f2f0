//! Client certificates: given, missing, wrong, and what is no certificate or key at all.

use bytehaul_testkit::pki::Authority;
use bytehaul_transport::http::{HeaderMap, HeaderValue};
use bytehaul_transport::{Class, Client, ErrorKind, HttpVersion, Request, Tls};
use rustls::version::{TLS12, TLS13};

use crate::tls_peer::{Peer, any, chain, client, config, forgetful, trusting};

#[tokio::test]
async fn a_server_that_asks_gets_the_right_one() {
    let authority = Authority::new();
    let certificate = authority.server(&["localhost"]);
    let right = authority.client("us");
    let expired = authority.expired(&["us"]);
    let stranger = Authority::new().client("us");
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let peer = Peer::start(config(&certificate, versions, Some(&authority))).await;
        let tls = trusting(&authority).identity_pem(right.chain_pem(), right.key_pem());
        for _ in 0..2 {
            peer.ask(&forgetful(tls.clone()), "localhost")
                .await
                .unwrap();
        }
        assert_eq!(peer.seen()[0].certificates, 1);

        for (identity, said) in [
            (
                None,
                "the server wants a client certificate, and none was given",
            ),
            (
                Some(&stranger),
                "the server refused the client certificate: its authority is unknown to the server",
            ),
            (
                Some(&expired),
                "the server refused the client certificate: it has expired",
            ),
        ] {
            let tls = match identity {
                Some(one) => trusting(&authority).identity_pem(one.chain_pem(), one.key_pem()),
                None => trusting(&authority),
            };
            let error = peer.ask(&client(tls), "localhost").await.unwrap_err();
            let text = chain(&error);
            assert_eq!(
                (error.kind(), error.kind().class()),
                (ErrorKind::Tls, Class::Fatal),
                "{text}"
            );
            assert!(text.ends_with(said), "{text}");
        }
    }
}

#[tokio::test]
async fn a_server_that_does_not_ask_gets_none() {
    let authority = Authority::new();
    let peer = Peer::start(any(&authority.server(&["localhost"]))).await;
    let own = authority.client("us");
    let tls = trusting(&authority).identity_pem(own.chain_pem(), own.key_pem());
    peer.ask(&client(tls), "localhost").await.unwrap();
    assert_eq!(peer.seen()[0].certificates, 0);
}

/// The server has said no and gone before all of the request could be sent.
#[tokio::test]
async fn a_large_request_does_not_hide_the_reason() {
    let authority = Authority::new();
    let server = config(
        &authority.server(&["localhost"]),
        &[&TLS13],
        Some(&authority),
    );
    let peer = Peer::start(server).await;
    for length in [10, 100_000] {
        let mut headers = HeaderMap::new();
        headers.insert(
            "x-large",
            HeaderValue::from_str(&"x".repeat(length)).unwrap(),
        );
        let request = Request::get(peer.url("localhost")).headers(headers);
        let error = client(trusting(&authority))
            .send(request)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{}", chain(&error));
    }
}

/// With HTTP/2 it is a task of the client's own that reads what the server says.
#[tokio::test]
async fn http_2_does_not_hide_the_reason() {
    let authority = Authority::new();
    let certificate = authority.server(&["localhost"]);
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let mut server = config(&certificate, versions, Some(&authority));
        server.alpn_protocols = vec![b"h2".to_vec()];
        let peer = Peer::start(server).await;
        let request = Request::get(peer.url("localhost")).http_version(HttpVersion::Http2);
        let error = client(trusting(&authority))
            .send(request)
            .await
            .unwrap_err();
        let text = chain(&error);
        assert_eq!(error.kind(), ErrorKind::Tls, "{text}");
        assert!(
            text.contains("the server wants a client certificate, and none was given"),
            "{text}"
        );
    }
}

#[test]
fn what_cannot_be_used_is_told_when_building() {
    let authority = Authority::new();
    let (one, other) = (authority.client("one"), authority.client("other"));
    let (certificate, key) = (one.chain_pem(), one.key_pem());
    let both = format!("{certificate}{key}");
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for (certificate, key, said) in [
        (certificate, key, None),
        (&both, &both, None),
        (
            certificate,
            other.key_pem(),
            Some("client key does not belong to the client certificate"),
        ),
        (
            key,
            key,
            Some("client certificate's pem holds no certificate"),
        ),
        (
            "",
            key,
            Some("client certificate's pem holds no certificate"),
        ),
        (
            certificate,
            certificate,
            Some("client key is not valid pem"),
        ),
        (certificate, "", Some("client key is not valid pem")),
        (certificate, &encrypted, Some("client key is encrypted")),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            key,
            Some("client certificate cannot be used"),
        ),
        (
            certificate,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            Some("client key cannot be used"),
        ),
    ] {
        let built = Client::builder()
            .tls(Tls::new().identity_pem(certificate, key))
            .build();
        match (built, said) {
            (Ok(_), None) => {}
            (Err(error), Some(said)) => {
                assert_eq!(error.kind(), ErrorKind::Configuration);
                assert_eq!(error.to_string(), said);
                let secret = key.lines().nth(1).unwrap_or("?").to_owned();
                assert!(!format!("{error:?}{}", chain(&error)).contains(&secret));
            }
            (built, said) => panic!("{built:?} instead of {said:?}"),
        }
    }
}
