//! What nobody may read over the user's shoulder, in a log or in a list.

use bytehaul_testkit::process::Process;
use bytehaul_testkit::uploads::{Fault, FormServer, TusSetup};

use super::{Desk, only};
use crate::command::support::bytehaul;

const SECRET: &str = "topsecret";

/// Runs it with all details, and a token in the environment; then nothing that anybody sees may hold the secret.
#[track_caller]
fn check(desk: &Desk, code: i32, words: &[&str]) {
    let mut command = bytehaul();
    command
        .current_dir(desk.path(""))
        .env("BYTEHAUL_STATE_DIR", desk.path("state"))
        .env("HOME", desk.path(""))
        .env("BYTEHAUL_BEARER", SECRET)
        .args(["put", "-vv", "--retries", "1", "--retry-delay", "5ms"])
        .args(words);
    let finished = Process::new(command).run().unwrap();
    assert_eq!(finished.code(), Some(code), "{}", finished.err());
    assert!(
        finished.err().lines().count() > 2,
        "no details: {}",
        finished.err()
    );
    let lists = [&["uploads", "list"][..], &["uploads", "list", "--json"]];
    let lists = lists.map(|words| desk.command(words).run().unwrap());
    assert!(lists.iter().all(|list| !list.stdout.is_empty()));
    for seen in [&finished, &lists[0], &lists[1]] {
        assert!(!seen.err().contains(SECRET), "{}", seen.err());
        assert!(!seen.out().contains(SECRET), "{}", seen.out());
    }
}

#[test]
fn a_token_reaches_the_server_and_nobody_else() {
    let Some(server) = TusSetup::new().token(SECRET).start() else {
        return;
    };
    let (desk, bytes) = Desk::with(1000);
    let url = server.url();
    desk.fails(
        &["--protocol", "tus", "f.bin", &url],
        4,
        &["401", "hint: give credentials"],
    );
    check(&desk, 0, &["--protocol", "tus", "f.bin", &url]);
    assert_eq!(server.stored(&only(server.uploads())).unwrap(), bytes);
    let kept = desk.state();
    assert!(
        !kept
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes())
    );
}

#[test]
fn passwords_and_signatures_of_the_url_are_not_shown_or_kept() {
    let Some(server) = FormServer::start() else {
        return;
    };
    let (desk, _) = Desk::with(1000);
    let url = server.url().replace("http://", "http://me:topsecret@") + "#topsecret";
    check(&desk, 0, &["-H", "X-Api-Key: topsecret", "f.bin", &url]);
    let kept = desk.state();
    assert!(
        !kept
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes())
    );
}

#[test]
fn the_url_of_an_upload_is_not_shown() {
    let Some(server) = TusSetup::new().start() else {
        return;
    };
    let (desk, _) = Desk::with(1000);
    let location = format!("{}/none?token={SECRET}", server.url());
    let created = Fault::replace(201, "")
        .header("Location", &location)
        .header("Tus-Resumable", "1.0.0");
    server.gate().set([
        created.on("POST").always(),
        Fault::refuse(403).at("token").always(),
    ]);
    let url = server.url();
    check(&desk, 4, &["--protocol", "tus", "f.bin", &url]);
}
