//! Objects of Google by the command, under a token and by a signed URL.

use std::fs;

use bytehaul_testkit::process::{Process, Signal};
use bytehaul_testkit::uploads::{Fault, GcsServer};

use crate::command::put::{Desk, content, events};
use crate::command::support::{MIB, bytehaul, check_failure};

/// A command with this token, at this server.
fn command(desk: &Desk, server: &GcsServer, token: &str, words: &[&str]) -> Process<'static> {
    let mut command = bytehaul();
    command
        .current_dir(desk.path("."))
        .env("BYTEHAUL_STATE_DIR", desk.path("state"))
        .env("HOME", desk.path("."))
        .env("STORAGE_EMULATOR_HOST", server.url())
        .env("GOOGLE_OAUTH_ACCESS_TOKEN", token)
        .args(words);
    if words[0] == "put" {
        command.args(["--retry-delay", "5ms"]);
    }
    Process::new(command)
}

#[track_caller]
fn works(desk: &Desk, server: &GcsServer, words: &[&str]) -> String {
    let finished = command(desk, server, GcsServer::TOKEN, words)
        .run()
        .unwrap();
    assert_eq!(finished.code(), Some(0), "{words:?}: {}", finished.err());
    assert!(
        !finished.err().contains(GcsServer::TOKEN),
        "{}",
        finished.err()
    );
    finished.out()
}

fn url(name: &str) -> String {
    format!("gs://{}/{name}", GcsServer::BUCKET)
}

#[test]
fn google_under_a_token() {
    let Some(server) = GcsServer::start() else {
        return;
    };
    let desk = Desk::new();
    for (name, len) in [
        ("plain", 0),
        ("a b+c/100%/%20ü//?#&=", 1000),
        ("large", 3 * MIB + 7),
    ] {
        let bytes = content(len);
        desk.write("f.bin", &bytes);
        let to = url(name);
        works(
            &desk,
            &server,
            &[
                "put",
                "-vv",
                "--no-resume",
                "--part-size",
                "1M",
                "f.bin",
                &to,
            ],
        );
        assert!(
            server.object(name).as_ref() == Some(&bytes),
            "{name} is another one"
        );
    }
    works(&desk, &server, &["put", "-q", "f.bin", &url("dir/")]);
    assert!(server.object("dir/f.bin").is_some());
    // What is there already is not sent again.
    let before = server.gate().received();
    works(
        &desk,
        &server,
        &["put", "-q", "--part-size", "1M", "f.bin", &url("large")],
    );
    assert!(
        server.gate().received() - before < 1000,
        "it was sent again"
    );
    // Another one stands there by now.
    server.put("large", &vec![0; (3 * MIB + 7) as usize]);
    let again = ["put", "-q", "--part-size", "1M", "f.bin", &url("large")];
    works(&desk, &server, &again);
    assert!(server.object("large").as_deref() == Some(&content(3 * MIB + 7)[..]));
    desk.write("other.bin", b"other");
    let words = ["put", "-q", "--no-overwrite", "other.bin", &url("plain")];
    let refused = command(&desk, &server, GcsServer::TOKEN, &words);
    check_failure(&refused.run().unwrap(), 7, &["there already"]);
    assert_eq!(server.object("plain").as_deref(), Some(&b""[..]));
    let words = ["put", "-q", "other.bin", &url("other")];
    let refused = command(&desk, &server, "wrong", &words).run().unwrap();
    check_failure(
        &refused,
        4,
        &["401", "hint: check the name, the credentials"],
    );
    let nobody = command(&desk, &server, "", &words).run().unwrap();
    check_failure(&nobody, 2, &["GOOGLE_OAUTH_ACCESS_TOKEN", "hint: 'gcloud"]);
    let words = [
        "put",
        "-q",
        "-x",
        "2",
        "--tus-concat",
        "other.bin",
        &url("other"),
    ];
    let odd = command(&desk, &server, GcsServer::TOKEN, &words)
        .run()
        .unwrap();
    check_failure(&odd, 2, &["--tus-concat has no meaning for gcs uploads"]);
    assert_eq!(server.object("other"), None);
}

#[test]
fn google_goes_on_and_is_discarded() {
    let Some(server) = GcsServer::start() else {
        return;
    };
    let (desk, bytes) = Desk::with(6 * MIB);
    let (gate, to) = (server.gate(), url("f"));
    let put = [
        "put",
        "-q",
        "--metadata",
        "own=x",
        "--part-size",
        "1M",
        "f.bin",
        &to,
    ];
    let stops = |signal| {
        gate.set([Fault::slow(4 * MIB).on("PUT").always()]);
        let due = gate.received() + 2 * MIB + MIB / 2;
        let stopped = command(&desk, &server, GcsServer::TOKEN, &put);
        let stopped = stopped.stop_when(|| gate.received() >= due, signal).run();
        assert_ne!(stopped.unwrap().code(), Some(0));
        gate.set([]);
        gate.disconnect();
    };
    stops(Signal::KILL);
    let [(_, about)] = &server.sessions("f")[..] else {
        panic!("not one session")
    };
    assert_eq!(about["metadata"]["own"], "x");
    let before = gate.requests().len();
    works(&desk, &server, &put);
    assert!(server.object("f").unwrap() == bytes);
    let sent: u64 = gate.requests()[before..]
        .iter()
        .map(|one| one.received)
        .sum();
    assert!(sent < 5 * MIB, "{sent} bytes were sent again");
    // Another one is begun, and discarded by its id, for which no token is needed.
    desk.write("f.bin", content(6 * MIB + 1));
    stops(Signal::INT);
    assert_eq!(server.sessions("f").len(), 1);
    let listed = works(&desk, &server, &["uploads", "list", "--json"]);
    let listed = events(&listed);
    let open = listed.iter().find(|one| one["stage"] == "sending").unwrap();
    let words = ["uploads", "abort", open["id"].as_str().unwrap()];
    let gone = command(&desk, &server, "", &words).run().unwrap();
    assert_eq!(gone.code(), Some(0), "{}", gone.err());
    assert!(server.sessions("f").is_empty());
    assert!(server.object("f").unwrap() == bytes);
    for entry in fs::read_dir(desk.path("state/uploads")).unwrap() {
        let kept = fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&kept).contains(GcsServer::TOKEN));
    }
}

#[test]
fn google_by_a_signed_url() {
    let Some(server) = GcsServer::start() else {
        return;
    };
    let (desk, bytes) = Desk::with(MIB + 5);
    let signed = server.signed_url("dir/f");
    let words = ["--protocol", "gcs", "--part-size", "256K", "f.bin", &signed];
    let said = desk.works(&[&["-vv"], &words[..]].concat());
    assert!(!said.err().contains(GcsServer::TOKEN), "{}", said.err());
    assert!(server.object("dir/f").unwrap() == bytes);
    let other = signed.replace(GcsServer::TOKEN, "other");
    let words = ["--no-resume", "--protocol", "gcs", "f.bin", &other];
    desk.fails(&words, 4, &["403"]);
}
