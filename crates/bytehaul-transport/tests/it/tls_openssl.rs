//! The client against OpenSSL's own server: versions, ciphers, sessions, and certificates and keys of every kind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytehaul_testkit::pki::Authority;
use bytehaul_transport::{Client, Error, ErrorKind, Pin, Tls, TlsVersion, Url};
use tempfile::TempDir;

use crate::server::{get, read_all};
use crate::tls_peer::{chain, client, forgetful, trusting};

/// `openssl s_server -www`: it answers with a page about the connection. Dropping it stops it.
struct OpenSsl {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl OpenSsl {
    /// With a certificate for localhost, and what else is to be said to it. `{dir}` stands for a directory with these files.
    fn start(authority: &Authority, files: &[(&str, &str)], arguments: &str) -> Self {
        let certificate = authority.server(&["localhost"]);
        let dir = tempfile::tempdir().unwrap();
        let own = [
            ("cert.pem", certificate.chain_pem()),
            ("key.pem", certificate.key_pem()),
            ("ca.pem", authority.pem()),
        ];
        for (name, text) in own.iter().chain(files) {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let mut child = Command::new("openssl")
            .args(["s_server", "-www", "-accept", "127.0.0.1:0"])
            .args(["-cert", "cert.pem", "-key", "key.pem"])
            .args(arguments.split_whitespace())
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map(Result::unwrap);
        let accept = lines.find(|line| line.starts_with("ACCEPT")).unwrap();
        let port = accept.rsplit(':').next().unwrap().parse().unwrap();
        // It stops when nobody reads what it says.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            port,
            _dir: dir,
        }
    }

    async fn page(&self, client: &Client) -> Result<String, Error> {
        let url = Url::parse(&format!("https://localhost:{}/", self.port)).unwrap();
        let mut response = get(client, url).await?;
        let page = read_all(response.body_mut(), 16_384).await?;
        Ok(String::from_utf8_lossy(&page).into_owned())
    }

    async fn refusal(&self, client: &Client) -> String {
        let error = self.page(client).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{}", chain(&error));
        chain(&error)
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn versions_and_ciphers() {
    let authority = Authority::new();
    let both = || client(trusting(&authority));
    let modern = || client(trusting(&authority).min_version(TlsVersion::Tls13));

    let any = OpenSsl::start(&authority, &[], "");
    assert!(any.page(&both()).await.unwrap().contains("New, TLSv1.3"));
    assert!(any.page(&modern()).await.unwrap().contains("New, TLSv1.3"));

    let old = OpenSsl::start(&authority, &[], "-tls1_2");
    assert!(old.page(&both()).await.unwrap().contains("New, TLSv1.2"));
    let no_version = "the server speaks no version of tls that is allowed here";
    let said = old.refusal(&modern()).await;
    assert!(said.ends_with(no_version), "{said}");

    let ancient = OpenSsl::start(&authority, &[], "-tls1_1 -cipher DEFAULT@SECLEVEL=0");
    let said = ancient.refusal(&both()).await;
    assert!(said.ends_with(no_version), "{said}");

    let weak = OpenSsl::start(&authority, &[], "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA");
    let said = weak.refusal(&both()).await;
    assert!(said.contains("it accepts no common cipher"), "{said}");
}

#[tokio::test]
async fn sessions_are_resumed() {
    let authority = Authority::new();
    for (arguments, version) in [
        ("-tls1_3", "TLSv1.3"),
        ("-tls1_2", "TLSv1.2"),
        ("-tls1_2 -no_ticket", "TLSv1.2"),
    ] {
        let server = OpenSsl::start(&authority, &[], arguments);
        let client = forgetful(trusting(&authority));
        for how in ["New", "Reused", "Reused"] {
            let page = server.page(&client.clone()).await.unwrap();
            assert!(
                page.contains(&format!("{how}, {version}")),
                "{arguments}: {page}"
            );
        }
    }
}

#[tokio::test]
async fn a_client_certificate_is_required() {
    let authority = Authority::new();
    let right = authority.client("us");
    let wrong = Authority::new().client("us");
    for version in ["-tls1_3", "-tls1_2"] {
        let arguments = format!("{version} -Verify 1 -verify_return_error -CAfile ca.pem");
        let server = OpenSsl::start(&authority, &[], &arguments);
        let with = |one: &bytehaul_testkit::pki::Certificate| {
            trusting(&authority).identity_pem(one.chain_pem(), one.key_pem())
        };
        let page = server.page(&client(with(&right))).await.unwrap();
        assert!(page.contains("Client certificate"), "{page}");
        let said = server.refusal(&client(with(&wrong))).await;
        assert!(
            said.contains("the server refused the client certificate"),
            "{said}"
        );
        let said = server.refusal(&client(trusting(&authority))).await;
        assert!(said.contains("wants a client certificate"), "{said}");
    }
}

/// Keys as they are found in files: of three kinds, in three forms.
#[tokio::test]
async fn keys_of_every_form() {
    let authority = Authority::new();
    for (form, begin) in [
        (
            "genrsa -traditional -out key.pem 2048",
            "BEGIN RSA PRIVATE KEY",
        ),
        ("genrsa -out key.pem 2048", "BEGIN PRIVATE KEY"),
        (
            "ecparam -name prime256v1 -genkey -noout -out key.pem",
            "BEGIN EC PRIVATE KEY",
        ),
        (
            "ecparam -name secp384r1 -genkey -noout -out key.pem",
            "BEGIN EC PRIVATE KEY",
        ),
        (
            "genpkey -algorithm ed25519 -out key.pem",
            "BEGIN PRIVATE KEY",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        openssl(dir.path(), form);
        openssl(
            dir.path(),
            "req -x509 -key key.pem -subj /CN=us -days 2 -out cert.pem -addext basicConstraints=critical,CA:FALSE",
        );
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let (certificate, key) = (read("cert.pem"), read("key.pem"));
        assert!(key.contains(begin), "{key}");
        let arguments = "-Verify 1 -verify_return_error -CAfile clients.pem";
        let server = OpenSsl::start(&authority, &[("clients.pem", &certificate)], arguments);
        let tls = trusting(&authority).identity_pem(&certificate, &key);
        let page = server.page(&client(tls)).await;
        assert!(page.is_ok(), "{form}: {}", chain(&page.unwrap_err()));
    }
}

/// The pin that OpenSSL computes, of an RSA key and not of one of our own making.
#[tokio::test]
async fn pins_are_those_that_others_compute() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    openssl(
        dir.path(),
        "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -subj /CN=localhost -days 2 -out cert.pem",
    );
    openssl(
        dir.path(),
        "x509 -in cert.pem -pubkey -noout -out public.pem",
    );
    openssl(
        dir.path(),
        "pkey -pubin -in public.pem -outform der -out public.der",
    );
    openssl(dir.path(), "dgst -sha256 -binary -out hash public.der");
    openssl(dir.path(), "base64 -in hash -out hash.txt");
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let files = [
        ("cert.pem", &*read("cert.pem")),
        ("key.pem", &read("key.pem")),
    ];
    let server = OpenSsl::start(&authority, &files, "");
    let pin: Pin = format!("sha256//{}", read("hash.txt").trim())
        .parse()
        .unwrap();
    let unchecked = || Tls::new().danger_accept_invalid_certificates();
    server
        .page(&client(unchecked().pin_sha256([pin])))
        .await
        .unwrap();
    let said = server
        .refusal(&client(unchecked().pin_sha256([[0; 32]])))
        .await;
    assert!(said.ends_with(&format!("it is {pin}")), "{said}");
}

/// `openssl req -x509` makes certificates of authorities, which are good for a server where they are given themselves.
#[tokio::test]
async fn a_servers_own_certificate_can_be_trusted() {
    let authority = Authority::new();
    for (name, good) in [("localhost", true), ("elsewhere.test", false)] {
        let dir = tempfile::tempdir().unwrap();
        let arguments = format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -subj /CN={name} -days 2 -out cert.pem \
             -addext subjectAltName=DNS:{name}"
        );
        openssl(dir.path(), &arguments);
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let (pem, key) = (read("cert.pem"), read("key.pem"));
        let server = OpenSsl::start(&authority, &[("cert.pem", &pem), ("key.pem", &key)], "");
        let own = client(trusting(&authority).add_roots_pem(&pem));
        if good {
            server.page(&own).await.unwrap();
        } else {
            let said = server.refusal(&own).await;
            assert!(
                said.contains("is for elsewhere.test, not for localhost"),
                "{said}"
            );
        }
        let said = server.refusal(&client(trusting(&authority))).await;
        assert!(said.contains("that of an authority"), "{said}");
    }
}

/// One that has the name of a trusted one by chance, but a key of another kind.
#[tokio::test]
async fn namesakes_are_not_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    for (kind, name) in [
        ("rsa:2048", "a"),
        ("ec -pkeyopt ec_paramgen_curve:P-256", "b"),
    ] {
        let arguments = format!(
            "req -x509 -newkey {kind} -nodes -keyout {name}.key -subj /CN=localhost -days 2 -out {name}.pem \
             -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE"
        );
        openssl(dir.path(), &arguments);
    }
    for (shown, trusted) in [("a", "b"), ("b", "a")] {
        let (pem, key) = (read(&format!("{shown}.pem")), read(&format!("{shown}.key")));
        let server = OpenSsl::start(&authority, &[("cert.pem", &pem), ("key.pem", &key)], "");
        let trusted = read(&format!("{trusted}.pem"));
        let tls = trusting(&authority).add_roots_pem(trusted);
        let said = server.refusal(&client(tls)).await;
        assert!(
            said.ends_with("the certificate is self-signed and not trusted"),
            "{said}"
        );
        server
            .page(&client(trusting(&authority).add_roots_pem(pem)))
            .await
            .unwrap();
    }
}

fn openssl(dir: &Path, arguments: &str) {
    let done = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(dir)
        .output()
        .expect("openssl is installed");
    assert!(done.status.success(), "{arguments}: {done:?}");
}
