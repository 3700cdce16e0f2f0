//! Credentials from `.netrc`, the environment and the URL, and where they go.

use bytehaul_testkit::{Behaviour, Effect, Object, Server};

use super::{SECRET, Site};

#[test]
fn netrc_from_home_and_from_a_file() {
    let site = Site::new(|setup| setup.login("me", SECRET));
    let url = site.nginx.url("/auth/f.bin");
    site.fails(&[&url], 4, &["401"]);
    let entry = format!("machine 127.0.0.1 login me password {SECRET}\n");
    let elsewhere = site.file("elsewhere", &entry);
    site.works(&["--netrc-file", &elsewhere, &url]);
    site.works_with(&[&url], &[("NETRC", &elsewhere)]);
    site.file(".netrc", &entry);
    site.works(&[&url]);
    site.fails(&["--no-netrc", &url], 4, &["401"]);
    site.fails(
        &["--netrc-file", "no-such-file", &url],
        2,
        &["no-such-file"],
    );
    let wrong = site.file("wrong", "machine 127.0.0.1 login me password hunter22");
    site.fails(&["--netrc-file", &wrong, &url], 4, &["401"]);
}

#[test]
fn a_token_goes_to_its_origin_and_no_further() {
    let (here, there) = (Server::spawn_thread(), Server::spawn_thread());
    let site = Site::new(|setup| setup);
    here.serve("/f.bin", site.object.clone());
    here.redirect("/away", there.url("/f.bin"));
    there.serve("/f.bin", site.object.clone());
    let token = ("BYTEHAUL_BEARER", SECRET);
    site.works_with(&[&here.url("/f.bin")], &[token]);
    let field = |server: &Server, name: &str| -> Vec<Option<String>> {
        let requests = server.requests();
        requests
            .iter()
            .map(|r| r.header(name).map(str::to_owned))
            .collect()
    };
    let ours = format!("Bearer {SECRET}");
    assert!(
        field(&here, "authorization")
            .iter()
            .all(|value| value.as_deref() == Some(&ours))
    );
    let cookie = ["-H", "Cookie: hunter2", "-H", "X-Key: hunter2"];
    site.works_with(
        &[&cookie[..], &["-o", "f.bin", &here.url("/away")]].concat(),
        &[token],
    );
    for name in ["authorization", "cookie", "x-key"] {
        let values = field(&there, name);
        assert!(
            !values.is_empty() && values.iter().all(Option::is_none),
            "{name}: {values:?}"
        );
        assert!(field(&here, name).iter().any(Option::is_some), "{name}");
    }
    // A header that was typed counts more.
    site.works_with(
        &["-H", "Authorization: Basic eA==", &here.url("/f.bin")],
        &[token],
    );
    assert_eq!(
        field(&here, "authorization").pop().flatten().as_deref(),
        Some("Basic eA==")
    );
}

#[test]
fn a_command_gives_the_url_that_is_good_now() {
    let server = Server::spawn_thread();
    let site = Site::new(|setup| setup);
    server.serve("/now", site.object.clone());
    let gone = Object::empty().behaviour(Behaviour::new().always(Effect::status(403)));
    server.serve("/f.bin", gone);
    let (url, now) = (
        server.url("/f.bin?signature=hunter2hunter2"),
        server.url("/now"),
    );
    let refresh =
        format!("test \"$BYTEHAUL_REASON\" = 403 && echo \"$BYTEHAUL_URL\" >> asked; echo {now}");
    site.works(&["--refresh-command", &refresh, &url]);
    let asked = std::fs::read_to_string(site.dir.path().join("out/asked")).unwrap();
    assert_eq!(
        asked,
        format!("{url}\n"),
        "once, and with the URL as it was typed"
    );
    site.fails(
        &["--refresh-command", "exit 3", &url],
        4,
        &["renew", "refresh command failed"],
    );
    site.fails(&[&url], 4, &["403"]);
}
