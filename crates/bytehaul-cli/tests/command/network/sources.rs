//! Further sources: mirrors that are typed, and files that a Metalink lists.

use bytehaul_testkit::process::Process;
use bytehaul_testkit::{Behaviour, Object, Server, check_file};
use sha2::{Digest, Sha256};

use super::super::support::bytehaul;
use super::{LEN, Site};

#[test]
fn a_metalink_file() {
    let site = Site::new(|setup| setup);
    let hash: String = Sha256::digest(site.object.whole())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let list = |name: &str, hash: &str| {
        let url = site.url();
        site.file(
            name,
            &format!(
                r#"<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="f.bin"><size>{LEN}</size>
                <hash type="sha-256">{hash}</hash><url priority="2">http://127.0.0.1:1/gone</url>
                <url priority="1">{url}</url></file></metalink>"#
            ),
        )
    };
    site.works(&["--metalink", &list("good.meta4", &hash)]);
    let wrong = list("wrong.meta4", &"0".repeat(64));
    site.fails(&["--metalink", &wrong], 5, &["sha-256"]);
    let broken = site.file("broken.meta4", "<metalink");
    site.fails(&["--metalink", &broken], 2, &["broken.meta4", "line 1"]);
}

#[test]
fn mirrors_are_used_and_a_dead_one_is_left() {
    let site = Site::new(|setup| setup);
    let mirror = Server::spawn_thread();
    mirror.serve("/copy", site.object.clone());
    let (copy, url) = (mirror.url("/copy"), site.url());
    site.works(&[
        "--mirror",
        &copy,
        "--mirror",
        "http://127.0.0.1:1/gone",
        "--min-split-size",
        "0",
        &url,
    ]);
    // The first source is gone: the next one takes its place.
    site.works(&["--mirror", &copy, "-o", "f.bin", "http://127.0.0.1:1/gone"]);
    assert!(mirror.count("/copy") > 0);
    mirror.serve("/other", Object::random(8, LEN + 1));
    site.works(&["--mirror", &mirror.url("/other"), &url]);
}

#[test]
fn a_mirror_that_flips_a_byte_in_each_mebibyte_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let object = Object::random(9, 48 << 20);
    let slow = || Behaviour::new().rate(8 << 20);
    let (first, honest, liar) = (
        Server::spawn_thread(),
        Server::spawn_thread(),
        Server::spawn_thread(),
    );
    first.serve("/f.bin", object.clone().behaviour(slow()));
    honest.serve("/f.bin", object.clone().behaviour(slow()));
    let mut flipped = object.whole();
    for mebibyte in flipped.chunks_mut(1 << 20) {
        mebibyte[777_777] ^= 1;
    }
    liar.serve("/f.bin", Object::bytes(flipped).behaviour(slow()));
    let mut command = bytehaul();
    command
        .current_dir(dir.path())
        .args(["get", "--json", "--mirror", &honest.url("/f.bin")]);
    command.args(["--mirror", &liar.url("/f.bin"), &first.url("/f.bin")]);
    let finished = Process::new(command).run().unwrap();
    assert_eq!(finished.code(), Some(0), "{}", finished.err());
    check_file(dir.path().join("f.bin"), &object).unwrap();
    let out = finished.out();
    let completed: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let state = |server: &Server| {
        let mirrors = completed["mirrors"].as_array().unwrap();
        let report = mirrors
            .iter()
            .find(|m| m["url"] == server.url("/f.bin"))
            .unwrap();
        report["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        [state(&first), state(&honest), state(&liar)],
        ["used", "used", "quarantined"],
        "{out}"
    );
    let warning = finished
        .err()
        .lines()
        .find(|line| line.starts_with("warning: "))
        .map(str::to_owned);
    assert!(
        warning.is_some_and(|line| line.contains(&liar.url("/f.bin"))),
        "{}",
        finished.err()
    );
}
