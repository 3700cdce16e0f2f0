//! Which servers are trusted: by authority, date, name, pin and version, and what is said of the others.

use std::process::Command;
use std::sync::Arc;

use bytehaul_testkit::pki::{Authority, Certificate};
use bytehaul_transport::{Class, Client, ErrorKind, Pin, Roots, Tls, TlsVersion};
use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::tls_peer::{Peer, any, chain, client, config, forgetful, trusting};

const NAMES: &[&str] = &["localhost", "127.0.0.1"];

#[tokio::test]
async fn each_fault_of_a_certificate_is_said() {
    let authority = Authority::new();
    let many: Vec<String> = (0..9).map(|n| format!("host{n}.test")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (certificate, host, said) in [
        (
            authority.expired(NAMES),
            "localhost",
            "the certificate expired on Wed, 01 Jan 2020 00:00:00 GMT",
        ),
        (
            authority.not_yet_valid(NAMES),
            "localhost",
            "the certificate is not valid before Wed, 01 Jan 3000 00:00:00 GMT, and the clock here says",
        ),
        (
            authority.server(&["other.test", "*.files.test", "10.0.0.1"]),
            "localhost",
            "the certificate is for other.test, *.files.test, 10.0.0.1, not for localhost",
        ),
        (
            authority.server(&["other.test"]),
            "127.0.0.1",
            "the certificate is for other.test, not for 127.0.0.1",
        ),
        (
            authority.server(&many),
            "localhost",
            "host4.test and 4 more, not for localhost",
        ),
        (
            authority.server(&[]),
            "localhost",
            "the certificate names no host as an alternative name, not localhost",
        ),
        (
            Authority::new().server(NAMES),
            "localhost",
            "the certificate is from an unknown authority, \"bytehaul test authority ",
        ),
        (
            Certificate::self_signed(NAMES),
            "localhost",
            "the certificate is self-signed and not trusted",
        ),
        (
            authority.client("somebody"),
            "localhost",
            "the certificate is not meant for servers",
        ),
    ] {
        let peer = Peer::start(any(&certificate)).await;
        let error = peer
            .ask(&client(trusting(&authority)), host)
            .await
            .unwrap_err();
        let text = chain(&error);
        assert_eq!(
            (error.kind(), error.kind().class()),
            (ErrorKind::Tls, Class::Fatal),
            "{text}"
        );
        let begin = format!(
            "tls handshake with {host} (https://{host}:{}/): ",
            peer.address.port()
        );
        assert!(text.starts_with(&begin) && text.contains(said), "{text}");
        assert!(!text.contains('\n') && peer.seen().is_empty(), "{text}");
    }
}

#[tokio::test]
async fn any_certificate_is_good_where_none_is_checked() {
    let authority = Authority::new();
    for certificate in [
        authority.expired(NAMES),
        authority.not_yet_valid(NAMES),
        authority.server(&["other.test"]),
        Certificate::self_signed(NAMES),
        authority.client("somebody"),
    ] {
        for versions in [&[&TLS12][..], &[&TLS13]] {
            let peer = Peer::start(config(&certificate, versions, None)).await;
            // Not even one authority has to be there.
            let tls = Tls::new()
                .roots(Roots::ExtraOnly)
                .danger_accept_invalid_certificates();
            peer.ask(&client(tls), "localhost").await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_self_signed_certificate_can_be_trusted() {
    let certificate = Certificate::self_signed(NAMES);
    let peer = Peer::start(any(&certificate)).await;
    let tls = Tls::new()
        .add_roots_pem(certificate.chain_pem())
        .roots(Roots::ExtraOnly);
    peer.ask(&client(tls), "localhost").await.unwrap();
}

#[tokio::test]
async fn a_pin_is_asked_for_in_addition() {
    let authority = Authority::new();
    let certificate = authority.server(NAMES);
    let right = Pin::from(certificate.spki_sha256());
    let wrong = Pin::from([7; 32]);
    let seen = format!("the server's key is none of the pinned ones, it is {right}");
    let unchecked = Tls::new().danger_accept_invalid_certificates();
    let stranger = trusting(&Authority::new());
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let peer = Peer::start(config(&certificate, versions, None)).await;
        for (tls, pins, said) in [
            (trusting(&authority), vec![right], None),
            (trusting(&authority), vec![wrong, right], None),
            (trusting(&authority), vec![wrong], Some(seen.as_str())),
            (unchecked.clone(), vec![right], None),
            (unchecked.clone(), vec![wrong], Some(seen.as_str())),
            (stranger.clone(), vec![right], Some("unknown authority")),
        ] {
            let asked = peer.ask(&client(tls.pin_sha256(pins)), "localhost").await;
            match (asked, said) {
                (Ok(()), None) => {}
                (Err(error), Some(said)) => {
                    assert_eq!(error.kind(), ErrorKind::Tls);
                    assert!(chain(&error).contains(said), "{}", chain(&error));
                }
                (asked, said) => panic!("{asked:?} instead of {said:?}"),
            }
        }
    }
}

/// Who has the pinned certificate but not its key is not the server.
#[tokio::test]
async fn a_pin_needs_the_proof_that_the_key_is_there() {
    let certificate = Certificate::self_signed(NAMES);
    let other = Certificate::self_signed(NAMES);
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let peer = Peer::start(impostor(&certificate, &other, versions)).await;
        let unchecked = Tls::new().danger_accept_invalid_certificates();
        // What it says is otherwise taken for true.
        peer.ask(&client(unchecked.clone()), "localhost")
            .await
            .unwrap();
        let pinned = unchecked.pin_sha256([certificate.spki_sha256()]);
        let error = peer.ask(&client(pinned), "localhost").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls);
        assert!(
            chain(&error).contains("the server's signature is not that of its certificate's key"),
            "{}",
            chain(&error)
        );
    }
}

/// A server that shows the one's certificate and signs with the other's key.
fn impostor(
    shown: &Certificate,
    own: &Certificate,
    versions: crate::tls_peer::Versions<'_>,
) -> rustls::ServerConfig {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::sign::{CertifiedKey, SingleCertAndKey};

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from_pem_slice(own.key_pem().as_bytes()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let chain = vec![CertificateDer::from(shown.der().to_vec())];
    let resolver = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver))
}

#[tokio::test]
async fn the_oldest_version_can_be_chosen() {
    let authority = Authority::new();
    let certificate = authority.server(NAMES);
    let old = Peer::start(config(&certificate, &[&TLS12], None)).await;
    old.ask(&client(trusting(&authority)), "localhost")
        .await
        .unwrap();
    assert_eq!(old.seen()[0].version, ProtocolVersion::TLSv1_2);
    let modern = || client(trusting(&authority).min_version(TlsVersion::Tls13));
    let error = old.ask(&modern(), "localhost").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls);
    let text = chain(&error);
    assert!(
        text.ends_with("the server speaks no version of tls that is allowed here"),
        "{text}"
    );
    let new = Peer::start(any(&certificate)).await;
    new.ask(&modern(), "localhost").await.unwrap();
    assert_eq!(new.seen()[0].version, ProtocolVersion::TLSv1_3);
}

#[tokio::test]
async fn a_name_is_sent_and_an_address_is_not() {
    let authority = Authority::new();
    let peer = Peer::start(any(&authority.server(NAMES))).await;
    let client = client(trusting(&authority));
    peer.ask(&client, "localhost").await.unwrap();
    peer.ask(&client, "127.0.0.1").await.unwrap();
    let names: Vec<_> = peer.seen().into_iter().map(|seen| seen.name).collect();
    assert_eq!(names, [Some("localhost".to_owned()), None]);
}

#[tokio::test]
async fn http_1_1_is_what_is_offered() {
    let authority = Authority::new();
    let mut server = any(&authority.server(NAMES));
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let peer = Peer::start(server.clone()).await;
    peer.ask(&client(trusting(&authority)), "localhost")
        .await
        .unwrap();
    assert_eq!(peer.seen()[0].alpn.as_deref(), Some("http/1.1"));

    server.alpn_protocols = vec![b"other".to_vec()];
    let peer = Peer::start(server).await;
    let error = peer
        .ask(&client(trusting(&authority)), "localhost")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls);
    let text = chain(&error);
    assert!(
        text.ends_with("the server speaks none of the offered application protocols"),
        "{text}"
    );
}

#[tokio::test]
async fn sessions_are_resumed_by_clones_and_by_nobody_else() {
    let authority = Authority::new();
    let certificate = authority.server(NAMES);
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let peer = Peer::start(config(&certificate, versions, None)).await;
        let resumed = async |client: &Client| {
            peer.ask(client, "localhost").await.unwrap();
            peer.seen().last().unwrap().resumed
        };
        let first = forgetful(trusting(&authority));
        assert!(!resumed(&first).await);
        assert!(resumed(&first).await && resumed(&first.clone()).await);
        let second = std::time::Duration::from_secs(1);
        assert!(resumed(&first.with_timeouts(second, second)).await);
        for other in [
            trusting(&authority),
            trusting(&authority).pin_sha256([certificate.spki_sha256()]),
            Tls::new().danger_accept_invalid_certificates(),
        ] {
            assert!(!resumed(&forgetful(other)).await);
        }
        assert!(resumed(&first).await);
    }
}

/// What one client took without looking is not trusted by the next that does look.
#[tokio::test]
async fn a_session_that_was_not_checked_opens_no_door() {
    let peer = Peer::start(any(&Certificate::self_signed(NAMES))).await;
    let unchecked = forgetful(Tls::new().danger_accept_invalid_certificates());
    peer.ask(&unchecked, "localhost").await.unwrap();
    peer.ask(&unchecked, "localhost").await.unwrap();
    assert!(peer.seen()[1].resumed);
    let checked = forgetful(trusting(&Authority::new()));
    let error = peer.ask(&checked, "localhost").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls);
}

#[tokio::test]
async fn a_client_that_checks_nothing_says_so_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let log = || std::fs::read_to_string(file.path()).unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(Arc::new(file.reopen().unwrap()))
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let authority = Authority::new();
    let peer = Peer::start(any(&authority.server(NAMES))).await;
    peer.ask(&client(trusting(&authority)), "localhost")
        .await
        .unwrap();
    assert_eq!(log(), "");
    let unchecked = forgetful(Tls::new().danger_accept_invalid_certificates());
    for _ in 0..3 {
        peer.ask(&unchecked.clone(), "localhost").await.unwrap();
    }
    let log = log();
    assert_eq!(
        log.matches("certificates are not checked").count(),
        1,
        "{log}"
    );
}

/// The authorities of the system are those that the environment names, which is a matter of the whole process.
#[test]
fn the_authorities_of_the_system_are_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "tls_trust::in_a_system_of_its_own",
            "--include-ignored",
        ])
        .env("SSL_CERT_FILE", dir.path().join("system.pem"))
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[tokio::test]
#[ignore = "needs an environment of its own, and is run with it by the test above"]
async fn in_a_system_of_its_own() {
    let file = std::env::var_os("SSL_CERT_FILE").unwrap();
    let authority = Authority::new();
    let peer = Peer::start(any(&authority.server(NAMES))).await;
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    std::fs::write(&file, junk).unwrap();
    let error = peer
        .ask(&client(Tls::new()), "localhost")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls);
    assert!(
        error
            .to_string()
            .starts_with("no root certificate found on this system"),
        "{error}"
    );

    std::fs::write(&file, format!("{junk}{}{junk}", authority.pem())).unwrap();
    let other = Authority::new();
    for tls in [Tls::new(), Tls::new().add_roots_pem(other.pem())] {
        peer.ask(&client(tls), "localhost").await.unwrap();
    }
    let error = peer
        .ask(&client(trusting(&other)), "localhost")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls);
}
