//! Objects of S3, Azure and OSS by the command, against servers that verify signatures and beside the official SDKs.

macro_rules! of_each {
    ($($name:ident: $check:ident($shop:ident);)*) => {
        $(#[test] fn $name() { $check(Shop::$shop()); })*
    };
}

use of_each;

mod google;
#[cfg(feature = "queue")]
mod queued;
mod settings;
mod signed;
mod staged;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bytehaul_testkit::process::{Finished, Process, Signal};
use bytehaul_testkit::uploads::{Azurite, Fault, Gate, OssServer, S3Server};
use tempfile::TempDir;

use super::put::content;
use super::support::{MIB, bytehaul, check_failure};

/// A provider, and its own SDK beside it.
pub(super) enum Shop {
    S3(S3Server),
    Azure(Azurite),
    Oss(OssServer),
}

impl Shop {
    pub(super) fn s3() -> Option<Self> {
        S3Server::start().map(Self::S3)
    }

    pub(super) fn azure() -> Option<Self> {
        Azurite::start().map(Self::Azure)
    }

    pub(super) fn oss() -> Option<Self> {
        OssServer::start().map(Self::Oss)
    }

    pub(super) fn url(&self, key: &str) -> String {
        match self {
            Self::S3(_) => format!("s3://{}/{key}", S3Server::BUCKET),
            Self::Azure(_) => format!("az://{}/{key}", Azurite::CONTAINER),
            Self::Oss(_) => format!("oss://{}/{key}", OssServer::BUCKET),
        }
    }

    pub(super) fn gate(&self) -> &Gate {
        match self {
            Self::S3(server) => server.gate(),
            Self::Azure(server) => server.gate(),
            Self::Oss(server) => server.gate(),
        }
    }

    pub(super) fn secret(&self) -> &'static str {
        match self {
            Self::S3(_) => S3Server::SECRET_KEY,
            Self::Azure(_) => Azurite::KEY,
            Self::Oss(_) => OssServer::SECRET_KEY,
        }
    }

    /// What the environment says, with this secret.
    pub(super) fn variables(&self, secret: &str) -> Vec<(&'static str, String)> {
        let owned = |pairs: &[(&'static str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect()
        };
        match self {
            Self::S3(server) => owned(&[
                ("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY),
                ("AWS_SECRET_ACCESS_KEY", secret),
                ("AWS_ENDPOINT_URL", &server.url()),
            ]),
            Self::Azure(server) => owned(&[
                ("AZURE_STORAGE_ACCOUNT", Azurite::ACCOUNT),
                ("AZURE_STORAGE_KEY", secret),
                (
                    "AZURE_STORAGE_SERVICE_ENDPOINT",
                    &format!("{}/{}", server.gate().url(""), Azurite::ACCOUNT),
                ),
            ]),
            Self::Oss(server) => owned(&[
                ("OSS_ACCESS_KEY_ID", OssServer::ACCESS_KEY),
                ("OSS_ACCESS_KEY_SECRET", secret),
                ("OSS_REGION", OssServer::REGION),
                ("OSS_ENDPOINT", &server.url()),
            ]),
        }
    }

    /// Bytes that were sent in requests since there were so many; what a stopped program had sent may still trickle in before.
    pub(super) fn sent_since(&self, requests: usize) -> u64 {
        let all = self.gate().requests();
        all[requests..].iter().map(|one| one.received).sum()
    }

    /// What the SDK reads.
    pub(super) fn object(&self, key: &str) -> Option<Vec<u8>> {
        match self {
            Self::S3(server) => server.object(key),
            Self::Azure(server) => server.blob(key),
            Self::Oss(server) => server.object(key),
        }
    }

    /// Writes by the SDK.
    fn store(&self, key: &str, content: &[u8]) {
        match self {
            Self::S3(server) => server.put(key, content),
            Self::Azure(server) => server.put(key, content),
            Self::Oss(server) => server.put(key, content),
        }
    }
}

/// A provider, and a directory that commands run in with its credentials.
pub(super) struct Counter {
    pub(super) shop: Shop,
    dir: TempDir,
}

impl Counter {
    pub(super) fn new(shop: Shop) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { shop, dir }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    #[track_caller]
    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// With nothing in the environment but these.
    pub(super) fn command_with(
        &self,
        variables: &[(&'static str, String)],
        words: &[&str],
    ) -> Process<'static> {
        let mut command = bytehaul();
        command
            .current_dir(self.dir.path())
            .env("BYTEHAUL_STATE_DIR", self.dir.path().join("state"))
            .env("HOME", self.dir.path())
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .args(words);
        if matches!(words[0], "put" | "get") {
            command.args(["--retry-delay", "5ms"]);
        }
        Process::new(command).timeout(Duration::from_secs(90))
    }

    pub(super) fn command(&self, words: &[&str]) -> Process<'static> {
        self.command_with(&self.shop.variables(self.shop.secret()), words)
    }

    #[track_caller]
    pub(super) fn works(&self, words: &[&str]) -> Finished {
        let finished = self.command(words).run().unwrap();
        assert_eq!(finished.code(), Some(0), "{words:?}: {}", finished.err());
        finished
    }
}

/// Small and large objects under odd names, up and down, and what the SDK has to do with it.
#[track_caller]
fn goes_up_and_down(shop: Option<Shop>) {
    let Some(counter) = shop.map(Counter::new) else {
        return;
    };
    let shop = &counter.shop;
    for (key, len) in [
        ("plain", 0),
        ("a b+c/100%/%20ü", 1000),
        ("?#&='\"<>", 70_000),
        ("large", 12 * MIB + 7),
    ] {
        let (bytes, url) = (content(len), shop.url(key));
        counter.write("up.bin", &bytes);
        counter.works(&[
            "put",
            "-q",
            "--no-resume",
            "--part-size",
            "5M",
            "up.bin",
            &url,
        ]);
        assert!(
            shop.object(key).as_ref() == Some(&bytes),
            "{key} is another one"
        );
        counter.works(&[
            "get",
            "-q",
            "--overwrite",
            "-x",
            "4",
            "-o",
            "down.bin",
            "--min-split-size",
            "1M",
            &url,
        ]);
        assert!(
            counter.read("down.bin") == bytes,
            "{key} came as another one"
        );
        let again = counter.works(&["get", "-q", "-o", "-", &url]);
        assert!(again.stdout == bytes, "{key} was streamed as another one");
    }
    // The name of the file where the URL says only where to, and the name of the key where nothing is said.
    counter.write("own name.bin", b"own");
    counter.works(&["put", "-q", "own name.bin", &shop.url("dir/")]);
    assert_eq!(
        shop.object("dir/own name.bin").as_deref(),
        Some(&b"own"[..])
    );
    counter.works(&["get", "-q", &shop.url("dir/own name.bin"), "-d", "state"]);
    assert_eq!(counter.read("state/own name.bin"), b"own");
    // What is there already is not sent again, and what is said not to be replaced stays.
    let before = shop.gate().received();
    counter.works(&[
        "put",
        "-q",
        "--part-size",
        "5M",
        "up.bin",
        &shop.url("large"),
    ]);
    assert!(shop.gate().received() - before < MIB, "it was sent again");
    counter.write("other.bin", b"other");
    let words = [
        "put",
        "-q",
        "--no-overwrite",
        "other.bin",
        &shop.url("plain"),
    ];
    check_failure(
        &counter.command(&words).run().unwrap(),
        7,
        &["--no-overwrite"],
    );
    assert_eq!(shop.object("plain").as_deref(), Some(&b""[..]));
    // The SDK's own.
    let bytes = content(3 * MIB);
    shop.store("of/the sdk", &bytes);
    counter.works(&["get", "-q", "-o", "sdk.bin", &shop.url("of/the sdk")]);
    assert!(counter.read("sdk.bin") == bytes);
    let wrong = format!("md5={}", "0".repeat(32));
    let words = [
        "put",
        "-q",
        "--checksum",
        &wrong,
        "up.bin",
        &shop.url("wrong"),
    ];
    check_failure(&counter.command(&words).run().unwrap(), 5, &["checksum"]);
    assert_eq!(shop.object("wrong"), None);
}

/// Other keys than the server knows are refused, and no secret is anywhere.
#[track_caller]
fn keeps_secrets(shop: Option<Shop>) {
    let Some(counter) = shop.map(Counter::new) else {
        return;
    };
    let shop = &counter.shop;
    counter.write("f.bin", &content(1000));
    let url = shop.url("f");
    let hide = |finished: &Finished, secret: &str| {
        let seen = finished.err() + &finished.out();
        assert!(!seen.contains(secret), "{seen}");
        assert!(!seen.to_lowercase().contains("signature="), "{seen}");
    };
    let other = "b3RoZXJzZWNyZXQ=";
    for words in [["put", "-q", "f.bin", &url], ["get", "-q", &url, "-d."]] {
        let refused = counter.command_with(&shop.variables(other), &words);
        let refused = refused.run().unwrap();
        check_failure(
            &refused,
            4,
            &["403", "hint: check the name, the credentials"],
        );
        hide(&refused, other);
    }
    assert_eq!(shop.object("f"), None);
    hide(
        &counter.works(&["put", "-vv", "f.bin", &url]),
        shop.secret(),
    );
    hide(
        &counter.works(&["get", "-vv", "--overwrite", "-o", "g.bin", &url]),
        shop.secret(),
    );
    hide(
        &counter.works(&["uploads", "list", "--json"]),
        shop.secret(),
    );
    for entry in fs::read_dir(counter.path("state/uploads")).unwrap() {
        let kept = fs::read(entry.unwrap().path()).unwrap();
        let kept = String::from_utf8_lossy(&kept).into_owned();
        assert!(!kept.contains(shop.secret()), "{kept}");
    }
    let words = ["get", "-q", "-o", "h.bin", &shop.url("none")];
    check_failure(&counter.command(&words).run().unwrap(), 4, &["404"]);
}

/// Killed over and over, in both directions.
#[track_caller]
fn goes_on_after_kills(shop: Option<Shop>) {
    let Some(counter) = shop.map(Counter::new) else {
        return;
    };
    let (shop, gate) = (&counter.shop, counter.shop.gate());
    let len = 24 * MIB;
    let bytes = content(len);
    counter.write("f.bin", &bytes);
    let url = shop.url("f");
    let up = ["put", "-q", "-x", "2", "--part-size", "5M", "f.bin", &url];
    for share in [7, 9] {
        gate.set([Fault::slow(12 * MIB).on("PUT").always()]);
        let due = gate.received() + share * MIB;
        let killed = counter.command(&up);
        let killed = killed.stop_when(|| gate.received() >= due, Signal::KILL);
        assert_eq!(killed.run().unwrap().signal(), Some(9));
    }
    gate.set([]);
    counter.works(&up);
    assert!(shop.object("f").as_ref() == Some(&bytes));
    let again = gate.received().saturating_sub(len);
    assert!(
        again < 20 * MIB + 5 * MIB,
        "{again} of {len} bytes were sent again"
    );
    // Slowly enough to be killed on the way, wherever that is.
    let slow = ["--json", "-q", "-o", "g.bin", "--limit-rate", "8M", &url];
    let slow = [&["get"], &slow[1..]].concat();
    let killed = counter.command(&slow);
    let killed = killed.stop_after(Duration::from_millis(1800), Signal::KILL);
    assert_eq!(killed.run().unwrap().signal(), Some(9));
    let finished = counter.works(&["get", "--json", "-o", "g.bin", &url]);
    let events = super::put::events(&finished.out());
    let last = events.last().unwrap();
    assert!(last["resumed_from"].as_u64() > Some(MIB), "{last}");
    assert!(last["fetched"].as_u64() < Some(len), "{last}");
    assert!(counter.read("g.bin") == bytes);
}

of_each! {
    s3_up_and_down: goes_up_and_down(s3);
    azure_up_and_down: goes_up_and_down(azure);
    oss_up_and_down: goes_up_and_down(oss);
    s3_secrets: keeps_secrets(s3);
    azure_secrets: keeps_secrets(azure);
    oss_secrets: keeps_secrets(oss);
    s3_after_kills: goes_on_after_kills(s3);
    azure_after_kills: goes_on_after_kills(azure);
    oss_after_kills: goes_on_after_kills(oss);
}
