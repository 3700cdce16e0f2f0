//! One file by each protocol, and that the same command run again sends nothing.

use std::fs;

use bytehaul_testkit::nginx::Nginx;
use bytehaul_testkit::uploads::{DraftServer, FormServer, Gate, TusPy, TusServer};

use super::{Desk, md5, only};
use crate::command::support::MIB;

/// Runs it twice.
#[track_caller]
fn check(desk: &Desk, gate: &Gate, words: &[&str], stored: impl Fn() -> Option<Vec<u8>>) {
    let bytes = fs::read(desk.path("f.bin")).unwrap();
    let first = desk.works(words).err();
    assert!(first.contains("f.bin: "), "{first}");
    assert!(stored().unwrap() == bytes, "other bytes arrived");
    gate.forget();
    let again = desk.works(words).err();
    assert!(again.contains("nothing was sent"), "{again}");
    // It may be asked for, with the few fields of a form.
    assert!(gate.received() < 1024, "{:?}", gate.lines());
    // The last byte is another one now.
    let mut bytes = bytes;
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
        desk.write("f.bin", &bytes);
        desk.works(words);
        assert!(
            gate.received() > 0,
            "a changed file was taken for the old one"
        );
    }
}

#[test]
fn form() {
    let Some(server) = FormServer::start() else {
        return;
    };
    for len in [0, 1, 3 * MIB + 5] {
        let (desk, bytes) = Desk::with(len);
        let md5 = md5(&bytes);
        let words = [
            "--category",
            "video",
            "--part-size",
            "1M",
            "f.bin",
            &server.url(),
        ];
        check(&desk, server.gate(), &words, || server.complete(&md5));
        // Another category is another upload.
        server.gate().forget();
        desk.works(&["--category", "audio", "f.bin", &server.url()]);
        assert!(!server.gate().requests().is_empty());
        server.gate().forget();
    }
    assert_eq!(server.violations(), [""; 0]);
}

#[test]
fn tus() {
    for len in [0, 3 * MIB + 5] {
        let Some(server) = TusServer::start() else {
            return;
        };
        let (desk, _) = Desk::with(len);
        let url = format!("tus+{}", server.url());
        let words = [
            &["--metadata", "order=47=11", "--content-type", "video/mp4"][..],
            &["--part-size", "1M", "f.bin", &url],
        ]
        .concat();
        let mut first = None;
        check(&desk, server.gate(), &words, || {
            let upload = only(server.uploads());
            let metadata = server.metadata(&upload);
            assert_eq!(metadata["order"], "47=11");
            assert_eq!(
                (&metadata["filename"], &metadata["filetype"]),
                (&"f.bin".into(), &"video/mp4".into())
            );
            server.stored(&upload)
        });
        first.get_or_insert(server.uploads().len());
        assert_eq!(first, Some(if len == 0 { 1 } else { 2 }));
    }
}

#[test]
fn tus_in_parallel_and_with_checksums() {
    let Some(server) = TusPy::start() else {
        return;
    };
    let (desk, bytes) = Desk::with(5 * MIB);
    let words = [
        "--json",
        "--protocol",
        "tus",
        "--tus-concat",
        "-x",
        "3",
        "f.bin",
        &server.url(),
    ];
    let out = desk.works(&words).out();
    let completed = super::events(&out).pop().unwrap();
    let location = completed["location"].as_str().unwrap();
    assert_eq!(server.stored(location).unwrap(), bytes);
    assert!(
        completed["connections"].as_u64().unwrap() > 1,
        "{completed}"
    );

    let Some(server) = bytehaul_testkit::uploads::TusSetup::new()
        .checksum()
        .start()
    else {
        return;
    };
    let words = [
        "--protocol",
        "tus",
        "--tus-checksum",
        "sha-1",
        "f.bin",
        &server.url(),
    ];
    check(&desk, server.gate(), &words, || {
        server.stored(&only(server.uploads()))
    });
}

#[test]
fn tus_draft() {
    let Some(server) = DraftServer::start() else {
        return;
    };
    let (desk, _) = Desk::with(3 * MIB + 5);
    let words = [
        "--protocol",
        "tus-draft",
        "--part-size",
        "1M",
        "f.bin",
        &server.url(),
    ];
    check(&desk, server.gate(), &words, || {
        server.stored(&only(server.uploads()))
    });
    assert_eq!(server.rejections(), [""; 0]);
}

#[test]
fn put() {
    for len in [0, 2 * MIB + 5] {
        let (desk, bytes) = Desk::with(len);
        fs::create_dir(desk.path("www")).unwrap();
        let nginx = Nginx::serving(&desk.path("www")).start();
        let gate = Gate::before(nginx.port());
        let url = gate.url("/put/there.bin");
        let stored = || fs::read(desk.path("www/there.bin")).ok();
        let words = [
            "--protocol",
            "put",
            "--content-digest",
            "sha-256",
            "f.bin",
            &url,
        ];
        desk.works(&words);
        assert_eq!(stored().unwrap(), bytes);
        let digest = format!("md5={}", md5(&bytes));
        let said = desk.works(&["--protocol", "put", "--checksum", &digest, "f.bin", &url]);
        assert!(said.err().contains("md5 verified"), "{}", said.err());
        assert_eq!(stored().unwrap(), bytes);
    }
}
